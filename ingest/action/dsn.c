#include "ingest/action/dsn.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "ingest/action/encode.h"
#include "ingest/head.h"
#include "smtp/address.h"

#define TEXT_MOST   1048576 /* for people; 100 recipients take a tenth */
#define LINE_MOST   998     /* RFC 5322 section 2.1.1 */
#define SHOWN       400     /* bytes of a text from outside */
#define MESSAGE_ID  250
#define BOUNDARY    64
#define QUOTED_TEXT "quoted-printable"
#define MAILER      "MAILER-DAEMON"

/* ---- may he have one? ---- */

/* The first word of a value, behind comments' and blanks' end. */
static struct slice first_word(struct slice value)
{
	size_t n = 0;

	value = slice_trim(value);
	while (n < value.len && value.at[n] > ' ' && value.at[n] != ';' && value.at[n] != '(')
		n++;
	return slice_part(value, 0, n);
}

static bool is_one_of(struct slice word, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (slice_equal_nocase(word, slice_str(words[i])))
			return true;
	return false;
}

static const char *automatic(struct slice raw)
{
	static const char *const bulk[] = { "bulk", "junk", "list" };
	struct head h = head_of(raw);
	struct head_field f;

	while (head_next(&h, &f)) {
		if (slice_equal_nocase(f.name, slice_str("Auto-Submitted")) &&
		    !slice_equal_nocase(first_word(f.value), slice_str("no")))
			return "the message was sent by a program (Auto-Submitted)";
		if (slice_equal_nocase(f.name, slice_str("Precedence")) &&
		    is_one_of(first_word(f.value), bulk, COUNT(bulk)))
			return "the message is bulk mail (Precedence)";
	}
	return NULL;
}

/* RFC 3461 section 4.1: without NOTIFY failures are told, and delays may be. */
bool dsn_wanted(const char *notify, enum dsn_kind kind)
{
	static const char *const words[] = {
		[DSN_FAILED] = "FAILURE",
		[DSN_DELAYED] = "DELAY",
		[DSN_RELAYED] = "SUCCESS",
		[DSN_DELIVERED] = "SUCCESS",
	};
	struct slice list = slice_str(notify);

	if (!list.len)
		return kind == DSN_FAILED || kind == DSN_DELAYED;
	while (list.len)
		if (slice_equal_nocase(slice_cut(list, ',', &list), slice_str(words[kind])))
			return true;
	return false;
}

const char *dsn_forbidden(const struct mail *m, struct slice raw, const char *notify,
                          enum dsn_kind kind)
{
	const json_t *spf = json_member_object(mail_verdicts(m), "spf");

	if (!m->mail_from.len)
		return "the message has no sender to tell (<>)";
	if (!dsn_wanted(notify, kind))
		return "the sender asked not to be told (NOTIFY)";
	if (slice_equal(json_member_text(spf, "verdict"), slice_str("FAIL")))
		return "its sender is forged, says SPF";
	return automatic(raw);
}

/* ---- parts of fields ---- */

static bool is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] > 127)
			return false;
	return true;
}

/* A field of message/delivery-status: text that is made printable, folded at blanks. */
static enum rc status_field(struct buf *out, const char *name, const char *type, struct slice value)
{
	struct buf text;
	struct fold f;
	enum rc rc;

	buf_init(&text, 8 * SHOWN);
	rc = buf_add_str(&text, type);
	if (rc == RC_OK)
		rc = encode_printable(&text, value, SHOWN);
	fold_begin(&f, out, name);
	encode_text(&f, buf_slice(&text));
	buf_free(&text);
	if (rc != RC_OK)
		return rc;
	return fold_end(&f);
}

/* An address in a field: of RFC 822, or where it isn't ASCII of RFC 6533. */
static enum rc address_field(struct buf *out, const char *name, const char *address)
{
	struct slice a = slice_part(slice_str(address), 0, 2 * SHOWN);
	struct buf text;
	enum rc rc;

	if (is_ascii(a))
		return status_field(out, name, "rfc822; ", a);
	buf_init(&text, 16 * SHOWN);
	rc = buf_addf(out, "%s: utf-8; ", name);
	if (rc == RC_OK)
		rc = encode_utf8_xtext(&text, a);
	if (rc == RC_OK)
		rc = buf_add(out, slice_part(buf_slice(&text), 0, LINE_MOST - 50));
	buf_free(&text);
	return rc == RC_OK ? buf_add_str(out, "\r\n") : rc;
}

/* As the sender wrote it in ORCPT: type, and address in xtext. */
static enum rc original_field(struct buf *out, const char *orcpt)
{
	struct slice address;
	struct slice type = slice_cut(slice_str(orcpt), ';', &address);
	struct buf text;
	enum rc rc;

	if (!address.len || !type.len)
		return RC_OK;
	buf_init(&text, 16 * SHOWN);
	rc = encode_printable(&text, type, SHOWN);
	if (rc == RC_OK)
		rc = buf_add_str(&text, ";");
	address = slice_part(address, 0, 2 * SHOWN);
	if (rc == RC_OK && is_ascii(address) && !slice_equal_nocase(type, slice_str("utf-8")))
		rc = encode_xtext(&text, address);
	else if (rc == RC_OK && is_ascii(address)) /* \x{HEX} is in it already */
		rc = encode_printable(&text, address, 2 * SHOWN);
	else if (rc == RC_OK)
		rc = encode_utf8_xtext(&text, address);
	if (rc == RC_OK)
		rc = buf_addf(out, "Original-Recipient: %.*s\r\n",
		              (int)MIN_OF(text.len, (size_t)LINE_MOST - 50), buf_text(&text));
	buf_free(&text);
	return rc;
}

static enum rc date_field(struct buf *out, const char *name, int64_t ms)
{
	char date[ENCODE_DATE];

	encode_date(date, ms);
	return buf_addf(out, "%s: %s\r\n", name, date);
}

/* "5.1.1", or what is said where there is none such. */
static const char *status_of(const struct dsn_recipient *r)
{
	static const char *const whole[] = {
		[DSN_FAILED] = "5.0.0",
		[DSN_DELAYED] = "4.0.0",
		[DSN_RELAYED] = "2.0.0",
		[DSN_DELIVERED] = "2.0.0",
	};
	size_t digits = 0, dots = 0;

	for (const char *c = r->status; c && *c; c++) {
		if (*c == '.' && digits > 0 && dots < 2) {
			dots++;
			digits = 0;
		} else if (*c >= '0' && *c <= '9' && digits < 3) {
			digits++;
		} else {
			return whole[r->kind];
		}
	}
	return dots == 2 && digits && strchr("245", r->status[0]) ? r->status : whole[r->kind];
}

/* A reply of SMTP begins with its code; all else is what we say (RFC 3464 section 2.3.6). */
static bool is_reply(const char *diagnostic)
{
	for (size_t i = 0; i < 3; i++)
		if (diagnostic[i] < '0' || diagnostic[i] > '9')
			return false;
	return diagnostic[3] == ' ' || diagnostic[3] == '-' || diagnostic[3] == '\0';
}

/* ---- the text for people ---- */

/* What may help, by the class of the status (RFC 3463). */
static const struct advice {
	const char *status; /* begins so */
	const char *text;
} advices[] = {
	{ "5.1.", "Check the address for typing errors, or ask the recipient for the right one." },
	{ "5.2.2", "The mailbox is full: tell the recipient in another way." },
	{ "5.2.3", "The message is too large for the recipient: send less at a time." },
	{ "5.3.4", "The message is too large for the server: send less at a time." },
	{ "5.2.", "The mailbox takes no mail now: tell the recipient in another way." },
	{ "5.4.6", "The message went in a circle between servers: show this to your postmaster." },
	{ "5.4.7", "The server couldn't be reached in time: send the message again later." },
	{ "5.7.",
	  "The recipient's side doesn't accept this message by its rules: ask the recipient, "
	  "in another way, or your postmaster." },
	{ "5.", "If it happens again, show this to your postmaster." },
	{ "4.", "You need to do nothing: it will be tried again." },
	{ "2.", "You need to do nothing." },
};

static const char *advice_for(const char *status)
{
	size_t i = 0;

	while (i + 1 < COUNT(advices) &&
	       strncmp(status, advices[i].status, strlen(advices[i].status)) != 0)
		i++;
	return advices[i].text;
}

static enum dsn_kind worst(const struct dsn *d)
{
	enum dsn_kind kind = DSN_DELIVERED;

	for (size_t i = 0; i < d->recipient_count; i++)
		kind = MIN_OF(kind, d->recipients[i].kind);
	return kind;
}

/* Lines as they are, with CRLF; other control characters become "?". */
static enum rc add_lines(struct buf *out, struct slice text)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < text.len; i++) {
		uint8_t c = text.at[i];
		bool ends =
		        c == '\n' || (c == '\r' && (i + 1 == text.len || text.at[i + 1] != '\n'));

		if (ends)
			rc = buf_add_str(out, "\r\n");
		else if (c != '\r')
			rc = buf_add_byte(out, (c < ' ' && c != '\t') || c == 127 ? '?' : c);
	}
	return rc == RC_OK ? buf_add_str(out, "\r\n") : rc;
}

/* In one line; UTF-8 stays. */
static enum rc add_inline(struct buf *out, const char *text)
{
	struct slice s = slice_part(slice_str(text), 0, SHOWN);
	enum rc rc = RC_OK;

	if (!slice_is_utf8(s))
		return encode_printable(out, s, SHOWN);
	for (size_t i = 0; rc == RC_OK && i < s.len; i++)
		rc = buf_add_byte(out, s.at[i] < ' ' || s.at[i] == 127 ? '?' : s.at[i]);
	return rc;
}

static enum rc add_what_was_said(struct buf *out, const struct dsn_recipient *r)
{
	enum rc rc = RC_OK;

	if (r->diagnostic && r->diagnostic[0]) {
		rc = buf_add_str(out, "    ");
		if (rc == RC_OK && r->remote && r->remote[0]) {
			rc = encode_printable(out, slice_str(r->remote), SHOWN);
			if (rc == RC_OK)
				rc = buf_add_str(out, is_reply(r->diagnostic) ? " says: " : ": ");
		}
		if (rc == RC_OK)
			rc = encode_printable(out, slice_str(r->diagnostic), SHOWN);
		if (rc == RC_OK)
			rc = buf_add_str(out, "\r\n");
	}
	return rc;
}

static enum rc add_recipient_text(struct buf *out, const struct dsn_recipient *r)
{
	static const char *const became[] = {
		[DSN_FAILED] = "was not delivered",
		[DSN_DELAYED] = "is not delivered yet",
		[DSN_RELAYED] = "was handed to a server that sends you no notices",
		[DSN_DELIVERED] = "was delivered",
	};
	enum rc rc = buf_add_str(out, "  <");

	if (rc == RC_OK)
		rc = add_inline(out, r->address);
	if (rc == RC_OK)
		rc = buf_addf(out, "> %s (%s)\r\n", became[r->kind], status_of(r));
	if (rc == RC_OK)
		rc = add_what_was_said(out, r);
	return rc == RC_OK ? buf_addf(out, "    %s\r\n\r\n", advice_for(status_of(r))) : rc;
}

static enum rc add_begin_text(const struct dsn *d, struct buf *out)
{
	static const char *const texts[] = {
		[DSN_FAILED] =
		        "Your message could not be delivered to the recipients below, and it "
		        "will not\r\nbe tried again.\r\n",
		[DSN_DELAYED] = "Your message is not lost: it could not be delivered yet to the "
		                "recipients\r\nbelow, and it will be tried again",
		[DSN_RELAYED] =
		        "Your message was handed on for the recipients below. You will not be\r\n"
		        "told when it arrives.\r\n",
		[DSN_DELIVERED] = "Your message was delivered to the recipients below.\r\n",
	};
	enum dsn_kind kind = worst(d);
	char date[ENCODE_DATE];
	enum rc rc = buf_addf(out, "This is the mail server %.255s.\r\n\r\n", d->hostname);

	if (rc == RC_OK)
		rc = buf_add_str(out, texts[kind]);
	encode_date(date, d->until_ms);
	if (rc == RC_OK && kind == DSN_DELAYED)
		rc = buf_addf(out, " until\r\n%s.\r\n", date);
	return rc;
}

static enum rc write_text(const struct dsn *d, struct buf *out)
{
	enum rc rc = d->message ? add_lines(out, slice_str(d->message)) : add_begin_text(d, out);
	char date[ENCODE_DATE];

	if (rc == RC_OK)
		rc = buf_add_str(out, "\r\n");
	for (size_t i = 0; rc == RC_OK && i < d->recipient_count; i++)
		rc = add_recipient_text(out, &d->recipients[i]);
	encode_date(date, d->arrived_ms);
	if (rc == RC_OK)
		rc = buf_addf(out,
		              "The message came in on %s.\r\n"
		              "A report for programs, and the message or its header, follow.\r\n",
		              date);
	return rc;
}

/* ---- which part is written how ---- */

/* Lines that every server and every reader takes as they are. */
static bool is_seven_bit(struct slice s)
{
	size_t column = 0;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.at[i];
		bool ends = c == '\r' && i + 1 < s.len && s.at[i + 1] == '\n';

		if (ends) {
			column = 0;
			i++;
		} else if (c == 0 || c > 127 || c == '\r' || c == '\n' || ++column > LINE_MOST) {
			return false;
		}
	}
	return true;
}

/* All of it up to the empty line, at most DSN_RETURNED bytes, whole lines. */
static struct slice header_of(struct slice raw)
{
	struct slice head = slice_part(raw, 0, DSN_RETURNED);
	struct slice rest = head;

	while (rest.len) {
		size_t end = slice_find_byte(rest, '\n');

		if (end == SIZE_MAX)
			return rest.at == head.at || head.len == raw.len
			               ? head
			               : slice_part(head, 0, (size_t)(rest.at - head.at));
		if (end == 0 || (end == 1 && rest.at[0] == '\r'))
			return slice_part(head, 0, (size_t)(rest.at - head.at));
		rest = slice_from(rest, end + 1);
	}
	return head;
}

struct returned {
	struct slice bytes;
	const char *type;
	bool quoted;
};

static struct returned returned_of(const struct dsn *d)
{
	struct returned r = { d->raw, "message/rfc822", false };

	if (d->full && d->raw.len <= DSN_RETURNED && is_seven_bit(d->raw))
		return r;
	r.bytes = header_of(d->raw);
	r.type = "text/rfc822-headers";
	r.quoted = !is_seven_bit(r.bytes);
	return r;
}

/* One that no line of what is returned is. */
static void choose_boundary(char out[BOUNDARY], const struct dsn *d, struct slice returned)
{
	char id[33];
	unsigned n = 0;

	(void)snprintf(id, sizeof(id), "%.32s", d->id);
	for (char *c = id; *c; c++)
		if (!(*c >= '0' && *c <= '9') && !(*c >= 'a' && *c <= 'z') &&
		    !(*c >= 'A' && *c <= 'Z'))
			*c = '_';
	do
		(void)snprintf(out, BOUNDARY, "=_mm_%s_%u", id, n++);
	while (slice_find(returned, slice_str(out)) != SIZE_MAX);
}

/* ---- the message ---- */

struct writing {
	const struct dsn *d;
	struct buf *out;
	char boundary[BOUNDARY];
};

static enum rc begin_part(struct writing *w, const char *type, const char *what, bool quoted)
{
	return buf_addf(w->out,
	                "\r\n--%s\r\nContent-Type: %s\r\nContent-Description: %s\r\n"
	                "Content-Transfer-Encoding: %s\r\n\r\n",
	                w->boundary, type, what, quoted ? QUOTED_TEXT : "7bit");
}

static enum rc text_part(struct writing *w)
{
	struct buf text;
	bool quoted;
	enum rc rc;

	buf_init(&text, TEXT_MOST);
	rc = write_text(w->d, &text);
	quoted = !is_seven_bit(buf_slice(&text));
	if (rc == RC_OK)
		rc = begin_part(
		        w, quoted ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii",
		        "Notice", quoted);
	if (rc == RC_OK && quoted)
		rc = encode_quoted(w->out, buf_slice(&text));
	else if (rc == RC_OK)
		rc = buf_add(w->out, buf_slice(&text));
	buf_free(&text);
	return rc;
}

static enum rc recipient_fields(struct writing *w, const struct dsn_recipient *r)
{
	static const char *const actions[] = {
		[DSN_FAILED] = "failed",
		[DSN_DELAYED] = "delayed",
		[DSN_RELAYED] = "relayed",
		[DSN_DELIVERED] = "delivered",
	};
	struct buf *out = w->out;
	enum rc rc = buf_add_str(out, "\r\n");

	if (rc == RC_OK && r->orcpt)
		rc = original_field(out, r->orcpt);
	if (rc == RC_OK)
		rc = address_field(out, "Final-Recipient", r->address);
	if (rc == RC_OK)
		rc = buf_addf(out, "Action: %s\r\nStatus: %s\r\n", actions[r->kind], status_of(r));
	if (rc == RC_OK && r->remote && r->remote[0])
		rc = status_field(out, "Remote-MTA", "dns; ", slice_str(r->remote));
	if (rc == RC_OK && r->diagnostic && r->diagnostic[0])
		rc = status_field(out, "Diagnostic-Code",
		                  is_reply(r->diagnostic) ? "smtp; " : "x-mm; ",
		                  slice_str(r->diagnostic));
	if (rc == RC_OK)
		rc = date_field(out, "Last-Attempt-Date", w->d->tried_ms);
	if (rc == RC_OK && r->kind == DSN_DELAYED)
		rc = date_field(out, "Will-Retry-Until", w->d->until_ms);
	return rc;
}

static enum rc status_part(struct writing *w)
{
	const struct dsn *d = w->d;
	struct buf envid;
	enum rc rc = begin_part(w, "message/delivery-status", "Delivery report", false);

	buf_init(&envid, 4 * SHOWN);
	if (rc == RC_OK && d->envid && d->envid[0]) {
		rc = encode_xtext(&envid, slice_part(slice_str(d->envid), 0, SHOWN / 2));
		if (rc == RC_OK)
			rc = buf_addf(w->out, "Original-Envelope-Id: %s\r\n", buf_text(&envid));
	}
	buf_free(&envid);
	if (rc == RC_OK)
		rc = status_field(w->out, "Reporting-MTA", "dns; ", slice_str(d->hostname));
	if (rc == RC_OK)
		rc = date_field(w->out, "Arrival-Date", d->arrived_ms);
	for (size_t i = 0; rc == RC_OK && i < d->recipient_count; i++)
		rc = recipient_fields(w, &d->recipients[i]);
	return rc;
}

static enum rc returned_part(struct writing *w, const struct returned *r)
{
	const char *what = r->type[0] == 'm' ? "Your message" : "The header of your message";
	enum rc rc = begin_part(w, r->type, what, r->quoted);

	if (rc == RC_OK)
		rc = r->quoted ? encode_quoted(w->out, r->bytes) : buf_add(w->out, r->bytes);
	return rc == RC_OK ? buf_addf(w->out, "\r\n--%s--\r\n", w->boundary) : rc;
}

static enum rc to_field(struct buf *out, struct slice to)
{
	enum rc rc;

	if (encode_is_printable(to) && to.len <= LIMIT_SMTP_PATH) {
		rc = buf_add_str(out, "To: <");
		if (rc == RC_OK)
			rc = buf_add(out, to);
		return rc == RC_OK ? buf_add_str(out, ">\r\n") : rc;
	}
	rc = encode_field(out, "To", slice_part(to, 0, SHOWN));
	if (rc != RC_OK)
		return rc;
	out->len -= 2; /* an empty group of that name: its line goes on */
	return buf_add_str(out, " :;\r\n");
}

static enum rc from_field(struct buf *out, const struct dsn *d)
{
	static const char who[] = "Mail Delivery System";

	if (d->from && smtp_address_valid(slice_str(d->from), ADDRESS_ODD))
		return buf_addf(out, "From: %s <%s>\r\n", who, d->from);
	return buf_addf(out, "From: %s <" MAILER "@%.255s>\r\n", who, d->hostname);
}

/* What it answers, so that mail programs put the two together. Only an id that is one. */
static enum rc thread_fields(struct buf *out, struct slice raw)
{
	struct head h = head_of(raw);
	struct head_field f;
	struct slice id;

	while (head_next(&h, &f)) {
		if (!slice_equal_nocase(f.name, slice_str("Message-ID")))
			continue;
		id = slice_trim(f.value);
		for (size_t i = 0; i < id.len; i++)
			if (id.at[i] <= ' ' || id.at[i] > 126)
				return RC_OK;
		if (id.len < 3 || id.len > MESSAGE_ID || id.at[0] != '<' ||
		    id.at[id.len - 1] != '>')
			return RC_OK;
		return buf_addf(out, "In-Reply-To: %.*s\r\nReferences: %.*s\r\n", (int)id.len,
		                (const char *)id.at, (int)id.len, (const char *)id.at);
	}
	return RC_OK;
}

static enum rc write_head(struct writing *w)
{
	static const char *const subjects[] = {
		[DSN_FAILED] = "Your message was not delivered",
		[DSN_DELAYED] = "Your message is delayed",
		[DSN_RELAYED] = "Your message was handed on",
		[DSN_DELIVERED] = "Your message was delivered",
	};
	const struct dsn *d = w->d;
	struct buf *out = w->out;
	enum rc rc = date_field(out, "Date", d->now_ms);

	if (rc == RC_OK)
		rc = from_field(out, d);
	if (rc == RC_OK)
		rc = to_field(out, d->mail->mail_from);
	if (rc == RC_OK)
		rc = buf_addf(out, "Subject: %s\r\nMessage-ID: <%.64s@%.255s>\r\n",
		              subjects[worst(d)], d->id, d->hostname);
	if (rc == RC_OK)
		rc = thread_fields(out, d->raw);
	return rc == RC_OK ? buf_addf(out,
	                              "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
	                              "Content-Type: multipart/report; "
	                              "report-type=delivery-status;\r\n boundary=\"%s\"\r\n",
	                              w->boundary)
	                   : rc;
}

enum rc dsn_write(const struct dsn *d, struct buf *out, struct err *e)
{
	struct returned back = returned_of(d);
	struct writing w = { .d = d, .out = out };
	size_t before = out->len;
	enum rc rc;

	choose_boundary(w.boundary, d, back.bytes);
	rc = write_head(&w);
	if (rc == RC_OK)
		rc = text_part(&w);
	if (rc == RC_OK)
		rc = status_part(&w);
	if (rc == RC_OK)
		rc = returned_part(&w, &back);
	if (rc == RC_OK)
		return RC_OK;
	out->len = before;
	return err_set(e, rc, "a notification for %zu recipients is too long", d->recipient_count);
}

/* ---- Bounce ---- */

enum rc dsn_write_bounce(const struct dsn *d, const json_t *bounce, struct buf *out, struct err *e)
{
	char *sender = slice_string(json_member_text(bounce, "Sender"));
	char *status = slice_string(json_member_text(bounce, "StatusCode"));
	char *message = slice_string(json_member_text(bounce, "Message"));
	struct slice code = json_member_text(bounce, "SmtpReplyCode");
	struct slice text = json_member_text(bounce, "DiagnosticMessage");
	struct dsn_recipient *all = mem_array(d->recipient_count + 1, sizeof(*all));
	char said[2 * SHOWN];
	struct dsn own = *d;
	enum rc rc;

	(void)snprintf(said, sizeof(said), "%.*s %s %.*s", (int)MIN_OF(code.len, (size_t)3),
	               (const char *)code.at, status, (int)MIN_OF(text.len, (size_t)SHOWN),
	               (const char *)text.at);
	for (size_t i = 0; i < d->recipient_count; i++) {
		all[i] = d->recipients[i];
		all[i].kind = DSN_FAILED;
		all[i].status = status;
		all[i].diagnostic = said;
		all[i].remote = "";
	}
	own.recipients = all;
	own.from = sender;
	own.message = message[0] ? message : NULL;
	rc = dsn_write(&own, out, e);
	free(all);
	free(sender);
	free(status);
	free(message);
	return rc;
}
