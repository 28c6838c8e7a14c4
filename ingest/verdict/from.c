#include "ingest/verdict/from.h"

#include <stdlib.h>

#include "ingest/mime/headers.h"
#include "ingest/verdict/cfws.h"
#include "ingest/verdict/idn.h"
#include "ingest/verdict/tags.h"

#define NAME 256
/* What can't be read is looked at for so many bytes in all; an "@" costs some by itself. */
#define WORK    ((size_t)4 << 20)
#define WORK_AT 256

struct domain {
	uint8_t text[IDN_SHOWN];
	size_t len;
};

/* ---- domains ---- */

/* False: that is no domain. One that is there already is fine, and so is one too many. */
static bool add(struct from *f, struct slice shown)
{
	char name[NAME];
	char *at;

	if (!idn_to_ascii(name, shown))
		return false;
	for (size_t i = 0; i < f->count; i++)
		if (slice_equal(f->domains[i], slice_str(name)))
			return true;
	if (f->count == FROM_DOMAINS)
		return true;
	at = f->names + f->count * NAME;
	memcpy(at, name, strlen(name) + 1);
	f->domains[f->count++] = slice_str(at);
	return true;
}

/* ---- the grammar ---- */

static bool is_atom(uint8_t c)
{
	return c > ' ' && c != 0x7f && !strchr("()<>[]:;@\\,.\"", c);
}

static bool take_quoted(struct slice *s)
{
	for (size_t i = 1; i < s->len; i++) {
		if (s->at[i] == '\\') {
			i++;
		} else if (s->at[i] == '"') {
			*s = slice_from(*s, i + 1);
			return true;
		}
	}
	return false;
}

static size_t atom_length(struct slice s)
{
	size_t n = 0;

	while (n < s.len && is_atom(s.at[n]))
		n++;
	return n;
}

static bool is_coded(struct slice s)
{
	return slice_find(s, slice_str("=?")) != SIZE_MAX;
}

/* Words and dots in any order: a phrase or a local part. */
struct words {
	bool some;
	bool coded; /* one has the marks of an encoded word */
};

static bool take_words(struct slice *s, struct words *w)
{
	*w = (struct words) { .some = false };
	for (;;) {
		size_t n;

		if (!cfws_skip(s))
			return false;
		if (!s->len)
			return true;
		n = s->at[0] == '.' ? 1 : atom_length(*s);
		if (s->at[0] == '"') {
			if (!take_quoted(s))
				return false;
		} else if (n) {
			w->coded = w->coded || is_coded(slice_part(*s, 0, n));
			*s = slice_from(*s, n);
		} else {
			return true;
		}
		w->some = true;
	}
}

/* Atoms with single dots between them, comments and blanks around each. */
static bool take_domain(struct slice *s, struct domain *out)
{
	size_t len = 0;

	for (;;) {
		size_t n;

		if (!cfws_skip(s))
			return false;
		n = atom_length(*s);
		if (n == 0 || len + n + 1 > sizeof(out->text))
			return false;
		memcpy(out->text + len, s->at, n);
		len += n;
		*s = slice_from(*s, n);
		if (!cfws_skip(s))
			return false;
		if (!cfws_byte(s, '.'))
			break;
		out->text[len++] = '.';
	}
	out->len = len;
	return true;
}

/* Behind "local@". An encoded word isn't allowed there, and readers that decode it see another
 * address. */
static bool take_rest(struct slice *s, struct from *f, const struct words *local)
{
	struct domain d;

	return !local->coded && take_domain(s, &d) && add(f, slice_of(d.text, d.len));
}

/* "@a,@b:" in front of an address (RFC 5322 section 4.4). */
static bool take_route(struct slice *s)
{
	struct domain hop;

	for (;;) {
		if (!cfws_byte(s, '@') || !take_domain(s, &hop))
			return false;
		if (cfws_byte(s, ':'))
			return true;
		while (cfws_byte(s, ','))
			if (!cfws_skip(s))
				return false;
	}
}

/* Behind "<". */
static bool take_angle(struct slice *s, struct from *f)
{
	struct words local;

	if (!cfws_skip(s) || (s->len && s->at[0] == '@' && !take_route(s)))
		return false;
	return take_words(s, &local) && local.some && cfws_byte(s, '@') &&
	       take_rest(s, f, &local) && cfws_byte(s, '>');
}

/* One mailbox, the begin of a group, or nothing. */
static bool take_one(struct slice *s, struct from *f, bool *group)
{
	struct words words;

	if (!take_words(s, &words))
		return false;
	if (cfws_byte(s, '<'))
		return take_angle(s, f) && cfws_skip(s);
	if (!words.some)
		return true;
	if (cfws_byte(s, '@'))
		return take_rest(s, f, &words);
	if (*group || !cfws_byte(s, ':'))
		return false;
	*group = true;
	return true;
}

static bool read_list(struct slice s, struct from *f)
{
	bool group = false;

	for (;;) {
		bool was = group;

		if (!take_one(&s, f, &group))
			return false;
		if (group && !was) /* its name was read */
			continue;
		if (group && cfws_byte(&s, ';')) {
			group = false;
			if (!cfws_skip(&s))
				return false;
			if (!s.len)
				return true;
		}
		if (!s.len)
			return !group;
		if (!cfws_byte(&s, ','))
			return false;
	}
}

/* ---- what can't be read ---- */

static bool is_shown(uint8_t c)
{
	return c >= 0x80 || c == '-' || c == '_' || c == '.' || (c >= '0' && c <= '9') ||
	       ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* Blanks and comments; false: one has no end. Each "(" could be looked at to the end, so all of it
 * is counted. */
static bool skip(struct slice *s, struct from *f)
{
	size_t before = s->len;
	bool good = f->work > 0 && cfws_skip(s);

	f->work -= MIN_OF(f->work, good ? before - s->len : before);
	return good;
}

/* What some readers leave out without a word. */
static bool is_dropped(uint8_t c)
{
	return c == '"' || c == '\\' || c == 0x7f || (c < ' ' && !fws_is(c));
}

static struct slice without_dots(const uint8_t *at, size_t len)
{
	while (len && at[len - 1] == '.')
		len--;
	return slice_of(at, len);
}

/* The name that `s` begins with as a lenient reader has it: without blanks and comments around its
 * dots, and without quotes and control characters. */
static void add_lenient(struct slice s, struct from *f)
{
	uint8_t name[IDN_SHOWN];
	size_t len = 0;
	size_t before;

	do {
		(void)skip(&s, f);
		before = s.len;
		for (; s.len && (is_shown(s.at[0]) || is_dropped(s.at[0])); s = slice_from(s, 1)) {
			if (len == sizeof(name))
				return;
			if (is_shown(s.at[0]))
				name[len++] = s.at[0];
		}
		(void)skip(&s, f);
	} while (s.len < before && s.len && len && (s.at[0] == '.' || name[len - 1] == '.'));
	(void)add(f, without_dots(name, len));
}

/* Every name behind an "@", by both readings. False: one has none. */
static bool read_all(struct slice s, struct from *f)
{
	bool good = true;
	size_t at;

	while ((at = slice_find_byte(s, '@')) != SIZE_MAX && f->work) {
		size_t n = 0;

		s = slice_from(s, at + 1);
		f->work -= MIN_OF(f->work, (size_t)WORK_AT);
		add_lenient(s, f);
		if (!skip(&s, f))
			good = false;
		while (n < s.len && is_shown(s.at[n]))
			n++;
		if (!add(f, without_dots(s.at, n)))
			good = false;
		s = slice_from(s, n);
	}
	if (!f->work) /* as if there were too many */
		f->count = FROM_DOMAINS;
	return good;
}

/* The same with its encoded words read, wherever they stand. */
static void read_decoded(struct slice value, struct from *f)
{
	struct buf line, text;

	if (!is_coded(value))
		return;
	buf_init(&line, 4 * LIMIT_HEADER);
	buf_init(&text, 4 * LIMIT_HEADER);
	header_unfold(&line, value);
	header_decode(&text, buf_slice(&line));
	(void)read_all(buf_slice(&text), f);
	buf_free(&line);
	buf_free(&text);
}

/* ---- fields ---- */

enum reading { WHOLE, CARELESS, UNREADABLE };

/* Blanks and folds at its end are of no address. */
static enum reading read_field(struct slice value, struct from *f)
{
	struct from whole = { .names = mem_array(FROM_DOMAINS, NAME) };
	bool good = read_list(slice_trim(value), &whole) && whole.count > 0;

	for (size_t i = 0; good && i < whole.count; i++)
		(void)add(f, whole.domains[i]);
	free(whole.names);
	if (good)
		return WHOLE;
	read_decoded(slice_part(value, 0, LIMIT_HEADER), f);
	return read_all(value, f) ? CARELESS : UNREADABLE;
}

/* The fields that rules and search have for From, whose reader of headers takes what others leave
 * out: a name behind blanks, behind a line of blanks. Returns how many there are. */
static size_t read_as_shown(struct from *out, const struct raw_message *m, enum reading *worst)
{
	const struct raw_field *last = m->count ? &m->fields[m->count - 1] : NULL;
	struct header_block b;
	const struct header *h;
	size_t fields = 0;
	size_t at = 0;

	if (!last)
		return 0;
	header_block_init(&b);
	header_split(&b,
	             slice_of(m->fields[0].whole.at,
	                      (size_t)(last->whole.at - m->fields[0].whole.at) + last->whole.len),
	             false);
	for (; (h = header_find(&b, "From", &at)) != NULL; fields++) {
		enum reading how = read_field(h->raw, out);

		*worst = MAX_OF(*worst, how);
	}
	header_block_free(&b);
	return fields;
}

void from_read(struct from *out, const struct raw_message *m)
{
	size_t fields = 0;
	size_t shown;
	enum reading worst = WHOLE;
	enum reading how;

	*out = (struct from) { .names = mem_array(FROM_DOMAINS, NAME), .work = WORK };
	for (size_t i = 0; i < m->count; i++) {
		if (!raw_named(&m->fields[i], "from"))
			continue;
		fields++;
		how = read_field(m->fields[i].value, out);
		worst = MAX_OF(worst, how);
	}
	shown = read_as_shown(out, m, &worst);
	out->odd = fields != 1 || shown > 1 || worst == UNREADABLE ||
	           (worst == CARELESS && out->count != 1);
}

void from_free(struct from *f)
{
	free(f->names);
	*f = (struct from) { .count = 0 };
}
