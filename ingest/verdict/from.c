#include "ingest/verdict/from.h"

#include <stdlib.h>

#include "ingest/verdict/cfws.h"
#include "ingest/verdict/idn.h"
#include "ingest/verdict/tags.h"

#define NAME 256

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

/* Words and dots in any order: a phrase or a local part. *some: there is one. */
static bool take_words(struct slice *s, bool *some)
{
	*some = false;
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
			*s = slice_from(*s, n);
		} else {
			return true;
		}
		*some = true;
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

/* Behind "local@". */
static bool take_rest(struct slice *s, struct from *f)
{
	struct domain d;

	return take_domain(s, &d) && add(f, slice_of(d.text, d.len));
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
	bool some;

	if (!cfws_skip(s) || (s->len && s->at[0] == '@' && !take_route(s)))
		return false;
	return take_words(s, &some) && some && cfws_byte(s, '@') && take_rest(s, f) &&
	       cfws_byte(s, '>');
}

/* One mailbox, the begin of a group, or nothing. */
static bool take_one(struct slice *s, struct from *f, bool *group)
{
	bool some;

	if (!take_words(s, &some))
		return false;
	if (cfws_byte(s, '<'))
		return take_angle(s, f) && cfws_skip(s);
	if (!some)
		return true;
	if (cfws_byte(s, '@'))
		return take_rest(s, f);
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

/* Every name behind an "@", blanks and comments between them or not. False: one has none. */
static bool read_all(struct slice s, struct from *f)
{
	bool good = true;
	size_t at;

	while ((at = slice_find_byte(s, '@')) != SIZE_MAX) {
		size_t n = 0;

		s = slice_from(s, at + 1);
		/* What has no end is looked for once. */
		if (good && !cfws_skip(&s))
			good = false;
		while (n < s.len && is_shown(s.at[n]))
			n++;
		at = n;
		while (n && s.at[n - 1] == '.')
			n--;
		if (!add(f, slice_part(s, 0, n)))
			good = false;
		s = slice_from(s, at);
	}
	return good;
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
	return read_all(value, f) ? CARELESS : UNREADABLE;
}

void from_read(struct from *out, const struct raw_message *m)
{
	size_t fields = 0;
	enum reading worst = WHOLE;
	enum reading how;

	*out = (struct from) { .names = mem_array(FROM_DOMAINS, NAME) };
	for (size_t i = 0; i < m->count; i++) {
		if (!raw_named(&m->fields[i], "from"))
			continue;
		fields++;
		how = read_field(m->fields[i].value, out);
		worst = MAX_OF(worst, how);
	}
	out->odd = fields != 1 || worst == UNREADABLE || (worst == CARELESS && out->count != 1);
}

void from_free(struct from *f)
{
	free(f->names);
	*f = (struct from) { .count = 0 };
}
