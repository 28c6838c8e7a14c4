#include "ingest/verdict/from.h"

#include <idn2.h>
#include <stdlib.h>

#include "ingest/verdict/cfws.h"
#include "ingest/verdict/tags.h"

#define NAME  256
#define SHOWN 1024 /* a domain as it stands, perhaps in UTF-8 */

/* ---- domains ---- */

static bool is_ascii(const char *s)
{
	for (; *s; s++)
		if (*s & 0x80)
			return false;
	return true;
}

/* A name of DNS in A-labels. */
static bool to_ascii(char out[NAME], const char *shown)
{
	char *made = NULL;
	bool good;

	if (is_ascii(shown)) {
		good = strlen(shown) < NAME;
		if (good)
			memcpy(out, shown, strlen(shown) + 1);
	} else {
		good = idn2_to_ascii_8z(shown, &made, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) ==
			       IDN2_OK &&
		       strlen(made) < NAME;
		if (good)
			memcpy(out, made, strlen(made) + 1);
		idn2_free(made);
	}
	for (char *c = out; good && *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c | 0x20);
	return good;
}

static bool is_name(const char *s)
{
	size_t label = 0;

	if (strlen(s) > 253)
		return false;
	for (; *s; s++) {
		bool plain = (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '-' || *s == '_';

		if (*s == '.' ? label == 0 : !plain)
			return false;
		label = *s == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return label > 0;
}

/* False: that is no domain. One that is there already is fine, and so is one too many. */
static bool add(struct from *f, const char *shown)
{
	char name[NAME];
	char *at;

	if (!to_ascii(name, shown) || !is_name(name))
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

/* Atoms with single dots between them, comments and blanks around each; the atoms into `out`. */
static bool take_domain(struct slice *s, char out[SHOWN])
{
	size_t len = 0;

	for (;;) {
		size_t n;

		if (!cfws_skip(s))
			return false;
		n = atom_length(*s);
		if (n == 0 || len + n + 2 > SHOWN)
			return false;
		memcpy(out + len, s->at, n);
		len += n;
		*s = slice_from(*s, n);
		if (!cfws_skip(s))
			return false;
		if (!cfws_byte(s, '.'))
			break;
		out[len++] = '.';
	}
	out[len] = 0;
	return true;
}

/* Behind "local@". */
static bool take_rest(struct slice *s, struct from *f)
{
	char domain[SHOWN];

	return take_domain(s, domain) && add(f, domain);
}

/* "@a,@b:" in front of an address (RFC 5322 section 4.4). */
static bool take_route(struct slice *s)
{
	char hop[SHOWN];

	for (;;) {
		if (!cfws_byte(s, '@') || !take_domain(s, hop))
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
	return take_words(s, &some) && some && cfws_byte(s, '@') && take_rest(s, f) && cfws_byte(s, '>');
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

/* Every name behind an "@". */
static void read_all(struct slice s, struct from *f)
{
	size_t at;

	while ((at = slice_find_byte(s, '@')) != SIZE_MAX) {
		char domain[SHOWN];
		size_t n = 0;

		s = slice_from(s, at + 1);
		while (s.len && fws_is(s.at[0]))
			s = slice_from(s, 1);
		while (n < s.len && n + 1 < SHOWN && is_shown(s.at[n])) {
			domain[n] = (char)s.at[n];
			n++;
		}
		while (n && domain[n - 1] == '.')
			n--;
		domain[n] = 0;
		if (n)
			(void)add(f, domain);
	}
}

/* ---- fields ---- */

/* Blanks and folds at its end are of no address. */
static bool read_field(struct slice value, struct from *f)
{
	struct from whole = { .names = mem_array(FROM_DOMAINS, NAME) };
	bool good = read_list(slice_trim(value), &whole) && whole.count > 0;

	for (size_t i = 0; good && i < whole.count; i++)
		(void)add(f, (const char *)whole.domains[i].at);
	free(whole.names);
	if (!good)
		read_all(value, f);
	return good;
}

void from_read(struct from *out, const struct raw_message *m)
{
	size_t fields = 0;
	bool good = true;

	*out = (struct from) { .names = mem_array(FROM_DOMAINS, NAME) };
	for (size_t i = 0; i < m->count; i++) {
		if (!raw_named(&m->fields[i], "from"))
			continue;
		fields++;
		if (!read_field(m->fields[i].value, out))
			good = false;
	}
	out->odd = fields != 1 || (!good && out->count != 1);
}

void from_free(struct from *f)
{
	free(f->names);
	*f = (struct from) { .count = 0 };
}
