#include "ingest/mime/findings.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

#include "ingest/mime/address.h"
#include "ingest/mime/charset.h"
#include "ingest/mime/date.h"
#include "ingest/mime/html.h"

#define KEEP       1048576 /* buffers that grew larger are given back */
#define LINE_LIMIT 1048576 /* of the texts that come from headers */
#define FEW        32      /* addresses that are compared one by one */
#define UNREAD     3072    /* of the problem text; the rest is for what is broken */
#define SNIFF      4096    /* content that tells text from the rest */

void findings_init(struct findings *f)
{
	*f = (struct findings) { .text_left = LIMIT_INDEXED_TEXT };
	for (size_t i = 0; i < PARSED_TEXTS; i++)
		buf_init(&f->text[i], LINE_LIMIT);
	buf_init(&f->text[PARSED_BODY], LIMIT_INDEXED_TEXT + 4096);
	buf_init(&f->text[PARSED_ATTACHMENT], LIMIT_INDEXED_TEXT + 4096);
	buf_init(&f->text[PARSED_PROBLEM], 4096);
	buf_init(&f->text[PARSED_PLAIN], LIMIT_INDEXED_TEXT + 4096);
	buf_init(&f->text[PARSED_HTML], LIMIT_INDEXED_TEXT + 4096);
	for (size_t i = 0; i < COUNT(f->scratch); i++)
		buf_init(&f->scratch[i], LIMIT_INDEXED_TEXT + 4096);
}

static void empty(struct buf *b)
{
	if (b->room > KEEP)
		buf_free(b);
	buf_clear(b);
	b->len = 0;
}

void findings_clear(struct findings *f)
{
	f->flags = 0;
	f->has_date = false;
	f->sent_ms = 0;
	for (size_t i = 0; i < PARSED_TEXTS; i++)
		empty(&f->text[i]);
	for (size_t i = 0; i < COUNT(f->scratch); i++)
		empty(&f->scratch[i]);
	memset(f->address_count, 0, sizeof(f->address_count));
	f->header_count = 0;
	f->text_left = LIMIT_INDEXED_TEXT;
	arena_clear(&f->arena);
}

void findings_free(struct findings *f)
{
	for (size_t i = 0; i < PARSED_TEXTS; i++)
		buf_free(&f->text[i]);
	for (size_t i = 0; i < COUNT(f->scratch); i++)
		buf_free(&f->scratch[i]);
	for (size_t i = 0; i < PARSED_FIELDS; i++)
		free(f->addresses[i]);
	free(f->headers);
	arena_free(&f->arena);
}

enum rc findings_encode(const struct findings *f, struct buf *out)
{
	struct parsed p = { .flags = f->flags, .sent_ms = f->sent_ms };

	for (size_t i = 0; i < PARSED_TEXTS; i++)
		p.text[i] = buf_slice(&f->text[i]);
	memcpy(p.addresses, f->addresses, sizeof(p.addresses));
	memcpy(p.address_count, f->address_count, sizeof(p.address_count));
	p.headers = f->headers;
	p.header_count = f->header_count;
	return parsed_encode(&p, out);
}

/* --- text --- */

static void add_reason(struct findings *f, const char *what)
{
	struct buf *b = &f->text[PARSED_PROBLEM];

	if (slice_find(buf_slice(b), slice_str(what)) != SIZE_MAX)
		return;
	if (b->len && b->limit - b->len > strlen(what) + 2)
		(void)!buf_add_str(b, "; ");
	(void)!buf_add_str(b, what);
}

void found_problem(struct findings *f, uint32_t flag, const char *what)
{
	f->flags |= PARSED_HAS_PROBLEM | flag;
	add_reason(f, what);
}

/* At most `most` bytes of a name as it stands in the message, decoded. */
static void add_shown(struct buf *out, struct slice name, size_t most)
{
	struct buf text;
	size_t n;

	buf_init(&text, LIMIT_HEADER);
	header_decode(&text, slice_trim(slice_part(name, 0, LIMIT_HEADER / 8)));
	n = MIN_OF(text.len, most);
	while (n < text.len && n > 0 && (text.at[n] & 0xc0) == 0x80)
		n--;
	(void)!buf_add(out, slice_part(buf_slice(&text), 0, n));
	buf_free(&text);
}

void found_unread(struct findings *f, struct slice name, struct slice type)
{
	struct buf what;

	f->flags |= PARSED_NOT_INDEXED;
	if (f->text[PARSED_PROBLEM].len > UNREAD)
		return;
	buf_init(&what, 512);
	(void)!buf_add_str(&what, "not indexed: text of ");
	if (name.len)
		add_shown(&what, name, 200);
	else
		(void)!buf_add_str(&what, "an attachment");
	(void)!buf_add_str(&what, " (");
	add_shown(&what, type, 100);
	(void)!buf_add_str(&what, ")");
	add_reason(f, buf_text(&what));
	buf_free(&what);
}

void found_text(struct findings *f, enum parsed_text where, struct slice utf8)
{
	struct buf *b = &f->text[where];
	struct slice fits = slice_part(utf8, 0, f->text_left);

	if (utf8.len == 0)
		return;
	if (fits.len < utf8.len) {
		while (fits.len && (utf8.at[fits.len] & 0xc0) == 0x80)
			fits.len--;
		found_problem(f, PARSED_NOT_INDEXED, "text over the limit of 16 MiB");
	}
	f->text_left -= fits.len;
	(void)charset_add(b, fits);
	if (f->text_left && b->len && b->at[b->len - 1] != '\n') {
		f->text_left--;
		(void)!buf_add_byte(b, '\n');
	}
}

/* A line of a list; what is in it already isn't added again. */
static void add_line(struct findings *f, enum parsed_text where, struct slice line)
{
	struct buf *b = &f->text[where];

	if (line.len == 0)
		return;
	if (b->len && buf_add_byte(b, '\n') != RC_OK) {
		found_problem(f, PARSED_NOT_INDEXED, "header text over the limit of 1 MiB");
		return;
	}
	if (!charset_add(b, line))
		found_problem(f, PARSED_NOT_INDEXED, "header text over the limit of 1 MiB");
}

void found_filename(struct findings *f, struct slice utf8)
{
	struct buf *line = &f->scratch[2];

	f->flags |= PARSED_HAS_ATTACHMENT;
	buf_clear(line);
	header_decode(line, slice_trim(utf8)); /* an encoded word, which RFC 2231 forbids here */
	if (slice_find(buf_slice(&f->text[PARSED_FILENAME]), buf_slice(line)) == SIZE_MAX)
		add_line(f, PARSED_FILENAME, buf_slice(line));
}

/* --- addresses --- */

struct field {
	struct findings *f;
	enum parsed_field field;
	enum parsed_text text;
	bool over;
	GHashTable *known;
};

/* Copies in the arena end in NUL. */
static gpointer key_of(struct slice copy)
{
	return (gpointer)(uintptr_t)copy.at;
}

/* With many addresses by a hash table of those that were there when the scan began, and its own. */
static bool is_known(struct field *t, struct slice address)
{
	const struct findings *f = t->f;
	size_t count = f->address_count[t->field];

	if (count > FEW && !t->known) {
		t->known = g_hash_table_new(g_str_hash, g_str_equal);
		for (size_t i = 0; i < count; i++)
			(void)g_hash_table_add(t->known, key_of(f->addresses[t->field][i].address));
	}
	if (t->known) {
		struct slice copy = arena_copy(&t->f->arena, address);

		return !g_hash_table_add(t->known, key_of(copy));
	}
	for (size_t i = 0; i < count; i++)
		if (slice_equal(f->addresses[t->field][i].address, address))
			return true;
	return false;
}

static void add_address(struct field *t, struct slice address, struct slice display)
{
	struct findings *f = t->f;
	size_t n = f->address_count[t->field];

	if (n == PARSED_MAX_ADDRESSES) {
		t->over = true;
		return;
	}
	if (n == f->address_room[t->field]) {
		f->address_room[t->field] = n ? n * 2 : 16;
		f->addresses[t->field] =
		        mem_resize(f->addresses[t->field],
		                   f->address_room[t->field] * sizeof(struct parsed_address));
	}
	f->addresses[t->field][n] = (struct parsed_address) { arena_copy(&f->arena, address),
		                                              arena_copy(&f->arena, display) };
	f->address_count[t->field] = n + 1;
}

static bool take_mailbox(void *arg, struct slice address, struct slice display)
{
	struct field *t = arg;

	if (address.len)
		add_address(t, address, display);
	add_line(t->f, t->text, display);
	return !t->over;
}

/* What the structured reading has is not told again. */
static bool take_scanned(void *arg, struct slice address, struct slice display)
{
	struct field *t = arg;

	(void)display;
	if (is_known(t, address))
		return true;
	add_address(t, address, slice_of(NULL, 0));
	add_line(t->f, t->text, address);
	return !t->over;
}

/* NUL bytes: some programs end the address there, some take them out. */
static void scan_without_nul(struct slice raw, const struct address_sink *sink)
{
	struct buf b;

	if (slice_find_byte(raw, 0) == SIZE_MAX)
		return;
	buf_init(&b, raw.len);
	while (raw.len) {
		struct slice piece = slice_cut(raw, 0, &raw);

		if (buf_add(&b, piece) != RC_OK)
			break;
	}
	address_scan(buf_slice(&b), sink);
	buf_free(&b);
}

static void found_addresses(struct findings *f, enum parsed_field field, struct slice raw,
                            struct slice decoded)
{
	struct field t = { f, field, (enum parsed_text)(PARSED_FROM_TEXT + field), false, NULL };
	struct address_sink sink = { take_mailbox, &t };
	struct buf line;

	buf_init(&line, LIMIT_HEADER);
	header_unfold(&line, raw);
	address_list(buf_slice(&line), &sink);
	sink.mailbox = take_scanned;
	address_scan(decoded, &sink);
	if (slice_is_utf8(raw))
		scan_without_nul(raw, &sink);
	buf_free(&line);
	if (t.known)
		g_hash_table_destroy(t.known);
	if (t.over) {
		found_problem(f, PARSED_NOT_INDEXED,
		              "not fully parsed: 10,240 addresses in a field");
		found_text(f, PARSED_BODY, decoded);
	}
}

/* --- headers --- */

enum header_use { USE_NONE, USE_ADDRESSES, USE_TEXT, USE_ID, USE_DATE, USE_RECEIPT };

struct known_header {
	const char *name;
	enum header_use use;
	unsigned where;
};

static const struct known_header *known_header(struct slice name)
{
	static const struct known_header known[] = {
		{ "From", USE_ADDRESSES, PARSED_FROM },
		{ "Resent-From", USE_ADDRESSES, PARSED_FROM },
		{ "Sender", USE_ADDRESSES, PARSED_SENDER },
		{ "Resent-Sender", USE_ADDRESSES, PARSED_SENDER },
		{ "To", USE_ADDRESSES, PARSED_TO },
		{ "Resent-To", USE_ADDRESSES, PARSED_TO },
		{ "Cc", USE_ADDRESSES, PARSED_CC },
		{ "Resent-Cc", USE_ADDRESSES, PARSED_CC },
		{ "Bcc", USE_ADDRESSES, PARSED_BCC },
		{ "Resent-Bcc", USE_ADDRESSES, PARSED_BCC },
		{ "Subject", USE_TEXT, PARSED_SUBJECT },
		{ "Message-ID", USE_ID, PARSED_MESSAGE_ID },
		{ "Resent-Message-ID", USE_TEXT, PARSED_OTHER },
		{ "In-Reply-To", USE_TEXT, PARSED_IN_REPLY_TO },
		{ "References", USE_TEXT, PARSED_REFERENCES },
		{ "Reply-To", USE_TEXT, PARSED_OTHER },
		{ "List-Id", USE_TEXT, PARSED_OTHER },
		{ "List-Post", USE_TEXT, PARSED_OTHER },
		{ "X-Mailer", USE_TEXT, PARSED_OTHER },
		{ "User-Agent", USE_TEXT, PARSED_OTHER },
		{ "Thread-Topic", USE_TEXT, PARSED_OTHER },
		{ "Organization", USE_TEXT, PARSED_OTHER },
		{ "Keywords", USE_TEXT, PARSED_OTHER },
		{ "Comments", USE_TEXT, PARSED_OTHER },
		{ "Date", USE_DATE, 0 },
		{ "Disposition-Notification-To", USE_RECEIPT, 0 },
		{ "Return-Receipt-To", USE_RECEIPT, 0 },
		{ "X-Confirm-Reading-To", USE_RECEIPT, 0 },
	};

	for (size_t i = 0; i < COUNT(known); i++)
		if (slice_equal_nocase(name, slice_str(known[i].name)))
			return &known[i];
	return NULL;
}

static void found_date(struct findings *f, struct slice value)
{
	int64_t ms;

	if (f->flags & PARSED_HAS_SENT || value.len == 0)
		return;
	if (date_parse(value, &ms)) {
		f->sent_ms = ms;
		f->flags |= PARSED_HAS_SENT;
	} else {
		f->has_date = true;
	}
}

/* The first is the message's own, without brackets; all of them can be searched. */
static void found_id(struct findings *f, struct slice value)
{
	struct slice rest;
	struct slice id = value;

	add_line(f, PARSED_OTHER, value);
	if (f->text[PARSED_MESSAGE_ID].len)
		return;
	if (slice_find_byte(value, '<') != SIZE_MAX) {
		(void)slice_cut(value, '<', &rest);
		id = slice_cut(rest, '>', &rest);
	}
	add_line(f, PARSED_MESSAGE_ID, slice_trim(id));
}

static void found_header(struct findings *f, const struct header *h, struct slice value)
{
	const struct known_header *k = known_header(h->name);

	if (!k)
		return;
	switch (k->use) {
	case USE_ADDRESSES:
		found_addresses(f, (enum parsed_field)k->where, h->raw, value);
		break;
	case USE_TEXT:
		add_line(f, (enum parsed_text)k->where, value);
		break;
	case USE_ID:
		found_id(f, value);
		break;
	case USE_DATE:
		found_date(f, value);
		break;
	case USE_RECEIPT:
		f->flags |= PARSED_READ_RECEIPT;
		add_line(f, PARSED_OTHER, value);
		break;
	case USE_NONE:
		break;
	}
}

/* Unfolded and decoded, in scratch[2]. */
static struct slice header_value(struct findings *f, struct slice raw)
{
	struct buf *line = &f->scratch[1];
	struct buf *value = &f->scratch[2];

	buf_clear(line);
	buf_clear(value);
	header_unfold(line, raw);
	header_decode(value, buf_slice(line));
	return slice_trim(buf_slice(value));
}

static struct parsed_header *keep_header(struct findings *f, const struct header *h)
{
	struct slice value = header_value(f, h->raw);

	if (f->header_count == f->header_room) {
		f->header_room = f->header_room ? f->header_room * 2 : 64;
		f->headers = mem_resize(f->headers, f->header_room * sizeof(*f->headers));
	}
	f->headers[f->header_count] = (struct parsed_header) {
		arena_copy(&f->arena, h->name),
		arena_copy(&f->arena, value),
		arena_copy(&f->arena, h->raw),
	};
	return &f->headers[f->header_count++];
}

/* A bare CR ends a line for some programs: what then would be headers of their own is read as such,
 * too. */
static void found_behind_cr(struct findings *f, struct slice raw)
{
	struct slice rest = raw;
	struct header h;

	if (slice_find_byte(raw, '\r') == SIZE_MAX)
		return;
	(void)slice_cut(rest, '\r', &rest);
	while (rest.len && f->header_count < PARSED_MAX_HEADERS) {
		struct slice line = slice_cut(rest, '\r', &rest);

		if (header_line(line, &h.name, &h.raw))
			found_header(f, &h, keep_header(f, &h)->value);
	}
}

void found_headers(struct findings *f, const struct header_block *b)
{
	for (size_t i = 0; i < b->count && f->header_count < PARSED_MAX_HEADERS; i++) {
		const struct parsed_header *kept = keep_header(f, &b->at[i]);

		found_header(f, &b->at[i], kept->value);
		found_behind_cr(f, b->at[i].raw);
	}
	if (f->has_date && !(f->flags & PARSED_HAS_SENT))
		found_problem(f, 0, "the Date header is no date");
	if (b->over) {
		char what[80];

		(void)snprintf(what, sizeof(what), "not fully parsed: %s", b->over);
		found_problem(f, PARSED_NOT_INDEXED, what);
	}
}

void found_inner_headers(struct findings *f, const struct header_block *b, enum parsed_text where)
{
	for (size_t i = 0; i < b->count; i++) {
		const struct known_header *k = known_header(b->at[i].name);

		if (k && (k->use == USE_ADDRESSES || k->use == USE_TEXT || k->use == USE_ID))
			found_text(f, where, header_value(f, b->at[i].raw));
	}
}

void found_junk(struct findings *f, const struct header_block *b, enum parsed_text where)
{
	if (b->junk.len == 0)
		return;
	buf_clear(&f->scratch[1]);
	charset_guess(&f->scratch[1], buf_slice(&b->junk));
	found_text(f, where, buf_slice(&f->scratch[1]));
}

/* --- parts --- */

struct slice part_bytes(struct findings *f, const struct part *p)
{
	struct transfer_result r = { 0 };
	struct buf *out = &f->scratch[0];

	buf_clear(out);
	if (p->transfer == TRANSFER_BASE64)
		transfer_base64(out, p->content, &r);
	else if (p->transfer == TRANSFER_QP)
		transfer_qp(out, p->content, &r);
	else
		return p->content;
	if (r.damaged)
		found_problem(f, 0, "a broken transfer encoding");
	if (r.cut)
		found_problem(f, PARSED_NOT_INDEXED, "text over the limit of 16 MiB");
	return buf_slice(out);
}

/* What is text although its type doesn't begin with "text/". */
static bool is_text(struct slice type)
{
	static const char *const types[] = {
		"application/json",
		"application/xml",
		"application/xhtml+xml",
		"application/ics",
		"application/sql",
		"application/yaml",
		"application/x-sh",
		"application/x-perl",
		"message/delivery-status",
		"message/disposition-notification",
		"message/feedback-report",
		"message/rfc822-headers",
		"message/partial",
		"message/external-body",
		"message/rfc822",
		"message/global",
		"message/news",
		"message/global-delivery-status",
		"message/global-headers",
	};

	if (type.len == 0 || slice_starts_nocase(type, slice_str("text/")) ||
	    slice_equal_nocase(type, slice_str("text")))
		return true;
	for (size_t i = 0; i < COUNT(types); i++)
		if (slice_equal_nocase(type, slice_str(types[i])))
			return true;
	return false;
}

static bool is_html(struct slice type)
{
	return slice_equal_nocase(type, slice_str("text/html")) ||
	       slice_equal_nocase(type, slice_str("application/xhtml+xml")) ||
	       slice_equal_nocase(type, slice_str("text/enriched")) ||
	       slice_equal_nocase(type, slice_str("text/richtext"));
}

static bool is_signature(struct slice type)
{
	return slice_equal_nocase(type, slice_str("application/pgp-signature")) ||
	       slice_equal_nocase(type, slice_str("application/pkcs7-signature")) ||
	       slice_equal_nocase(type, slice_str("application/x-pkcs7-signature")) ||
	       slice_equal_nocase(type, slice_str("application/pgp-encrypted"));
}

/* What has no text in it, as far as a search is concerned. */
static bool is_wordless(const struct part *p)
{
	static const char *const fronts[] = { "image/", "audio/", "video/", "font/", "model/" };

	for (size_t i = 0; i < COUNT(fronts); i++)
		if (slice_starts_nocase(p->type, slice_str(fronts[i])))
			return true;
	return p->related || is_signature(p->type) || slice_trim(p->content).len == 0;
}

/* Text by its bytes, whatever its type says: no control characters but those of texts, and no
 * format that only looks like text. */
static bool looks_like_text(struct slice bytes)
{
	static const char *const formats[] = { "%PDF-", "{\\rtf", "%!PS",
		                               "-----BEGIN PGP MESSAGE" };

	for (size_t i = 0; i < COUNT(formats); i++)
		if (slice_starts_nocase(slice_trim(slice_part(bytes, 0, 64)),
		                        slice_str(formats[i])))
			return false;
	for (size_t i = 0; i < bytes.len; i++)
		if (bytes.at[i] < ' ' && !memchr("\t\n\v\f\r\033", bytes.at[i], 6))
			return false;
	return true;
}

/* Patches and tables come as application/octet-stream: by its beginning, so that a large archive
 * isn't decoded for nothing. */
static bool begins_like_text(struct findings *f, const struct part *p)
{
	struct slice front = slice_part(p->content, 0, SNIFF);
	struct transfer_result ignored = { 0 };

	buf_clear(&f->scratch[0]);
	if (p->transfer == TRANSFER_BASE64)
		transfer_base64(&f->scratch[0], front, &ignored);
	else if (p->transfer == TRANSFER_QP)
		transfer_qp(&f->scratch[0], front, &ignored);
	else
		return looks_like_text(front);
	return looks_like_text(buf_slice(&f->scratch[0]));
}

/* To UTF-8, in scratch[1] when it wasn't that already. */
static struct slice part_text(struct findings *f, const struct part *p, struct slice bytes)
{
	struct charset_result r = { 0 };
	struct buf *out = &f->scratch[1];
	struct slice charset = p->charset;

	if (charset.len == 0 && is_html(p->type))
		charset = html_charset(bytes);
	buf_clear(out);
	charset_to_utf8(out, bytes, charset, &r);
	if (r.unknown)
		found_problem(f, 0, "an unknown character set");
	else if (r.damaged)
		found_problem(f, 0, "bytes that are not of the character set");
	if (r.cut)
		found_problem(f, PARSED_NOT_INDEXED, "text over the limit of 16 MiB");
	return buf_slice(out);
}

static void found_encrypted(struct findings *f, struct slice text)
{
	if (slice_find(text, slice_str("-----BEGIN PGP MESSAGE-----")) != SIZE_MAX)
		found_problem(f, PARSED_NOT_INDEXED, "encrypted (PGP)");
}

void found_part(struct findings *f, const struct part *p)
{
	enum parsed_text where =
	        p->attached || p->inside_attached ? PARSED_ATTACHMENT : PARSED_BODY;
	struct slice text;
	bool guessed = !is_text(p->type);

	if (p->attached || (!is_text(p->type) && !p->related && !is_signature(p->type)))
		f->flags |= PARSED_HAS_ATTACHMENT;
	if (p->content.len == 0 || (guessed && is_wordless(p)))
		return;
	if (guessed && !begins_like_text(f, p)) {
		found_unread(f, p->name, p->type);
		return;
	}
	if (p->transfer == TRANSFER_UNKNOWN)
		found_problem(f, 0, "an unknown transfer encoding");
	text = part_bytes(f, p);
	if (guessed && !looks_like_text(text)) {
		found_unread(f, p->name, p->type);
		return;
	}
	text = part_text(f, p, text);
	if (f->show) {
		if (where == PARSED_BODY)
			found_text(f, is_html(p->type) ? PARSED_HTML : PARSED_PLAIN, text);
		return;
	}
	if (is_html(p->type)) {
		buf_clear(&f->scratch[0]);
		if (!html_to_text(&f->scratch[0], text))
			found_problem(f, PARSED_NOT_INDEXED, "text over the limit of 16 MiB");
		text = buf_slice(&f->scratch[0]);
	}
	found_encrypted(f, text);
	found_text(f, where, text);
}
