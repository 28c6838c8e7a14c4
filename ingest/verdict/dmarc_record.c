#include "ingest/verdict/dmarc_record.h"

/* Of a known tag: none is there, it is good, it can't be read or is there twice. */
enum found { ABSENT, GOOD, WRONG };

struct parts {
	enum found p, sp, adkim, aspf, pct, rua;
};

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static struct slice trim(struct slice s)
{
	while (s.len && is_blank(s.at[0]))
		s = slice_from(s, 1);
	while (s.len && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

/* The next "name = value"; false at the end. */
static bool next_tag(struct slice *rest, struct slice *name, struct slice *value)
{
	if (!rest->len)
		return false;
	*name = slice_cut(slice_cut(*rest, ';', rest), '=', value);
	*name = trim(*name);
	*value = trim(*value);
	return true;
}

static bool is_version(struct slice name, struct slice value)
{
	return slice_equal_nocase(name, slice_str("v")) && slice_equal(value, slice_str("DMARC1"));
}

bool dmarc_record_is(struct slice text)
{
	struct slice name, value;

	/* No blank may stand in front of it. */
	return text.len && !is_blank(text.at[0]) && next_tag(&text, &name, &value) &&
	       is_version(name, value);
}

static enum found read_policy(enum dmarc_policy *out, struct slice value)
{
	static const char *const words[] = { "none", "quarantine", "reject" };

	for (unsigned i = 0; i < COUNT(words); i++)
		if (slice_equal_nocase(value, slice_str(words[i]))) {
			*out = (enum dmarc_policy)i;
			return GOOD;
		}
	return WRONG;
}

static enum found read_mode(bool *strict, struct slice value)
{
	bool s = slice_equal_nocase(value, slice_str("s"));

	if (!s && !slice_equal_nocase(value, slice_str("r")))
		return WRONG;
	*strict = s;
	return GOOD;
}

static enum found read_pct(unsigned *out, struct slice value)
{
	uint64_t n;

	if (value.len > 3 || !slice_to_u64(value, &n) || n > 100)
		return WRONG;
	*out = (unsigned)n;
	return GOOD;
}

static bool is_alpha(uint8_t c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* scheme ":" and something behind it, all of it printable without blanks (RFC 3986 as far as it
 * matters here). */
static bool is_uri(struct slice uri)
{
	size_t colon = slice_find_byte(uri, ':');

	if (colon == SIZE_MAX || colon == 0 || colon + 1 == uri.len || !is_alpha(uri.at[0]))
		return false;
	for (size_t i = 0; i < uri.len; i++) {
		uint8_t c = uri.at[i];
		bool digit = c >= '0' && c <= '9';

		if (c <= ' ' || c >= 0x7f || memchr("\"<>\\^`{|}", c, 9))
			return false;
		if (i < colon && !is_alpha(c) && !digit && c != '+' && c != '-' && c != '.')
			return false;
	}
	return true;
}

static enum found read_uris(struct slice list)
{
	while (list.len)
		if (is_uri(trim(slice_cut(list, ',', &list))))
			return GOOD;
	return WRONG;
}

static void once(enum found *at, enum found now)
{
	*at = *at == ABSENT ? now : WRONG;
}

static void read_tag(struct dmarc_record *r, struct parts *f, struct slice name, struct slice value)
{
	if (slice_equal_nocase(name, slice_str("p")))
		once(&f->p, read_policy(&r->p, value));
	else if (slice_equal_nocase(name, slice_str("sp")))
		once(&f->sp, read_policy(&r->sp, value));
	else if (slice_equal_nocase(name, slice_str("adkim")))
		once(&f->adkim, read_mode(&r->strict_dkim, value));
	else if (slice_equal_nocase(name, slice_str("aspf")))
		once(&f->aspf, read_mode(&r->strict_spf, value));
	else if (slice_equal_nocase(name, slice_str("pct")))
		once(&f->pct, read_pct(&r->pct, value));
	else if (slice_equal_nocase(name, slice_str("rua")))
		once(&f->rua, read_uris(value));
}

const char *dmarc_record_read(struct dmarc_record *out, struct slice text)
{
	struct dmarc_record r = { .pct = 100 };
	struct parts f = { 0 };
	struct slice name, value;

	(void)next_tag(&text, &name, &value); /* v */
	while (next_tag(&text, &name, &value))
		read_tag(&r, &f, name, value);
	if (f.adkim != GOOD)
		r.strict_dkim = false;
	if (f.aspf != GOOD)
		r.strict_spf = false;
	if (f.pct != GOOD)
		r.pct = 100;
	if (f.p != GOOD || f.sp == WRONG) {
		if (f.rua != GOOD)
			return f.p != GOOD ? "a record without p=" : "a record with a wrong sp=";
		r.p = r.sp = DMARC_ASKS_NONE;
	} else if (f.sp == ABSENT) {
		r.sp = r.p;
	}
	*out = r;
	return NULL;
}
