#include "ingest/verdict/spf_record.h"

#include "ingest/verdict/spf_macro.h"

#define VERSION "v=spf1"

/* What a mechanism may have behind its name. */
enum argument { ARG_NONE, ARG_DOMAIN, ARG_DOMAIN_MAY, ARG_DUAL, ARG_NETWORK };

static const struct {
	const char *name;
	enum spf_kind kind;
	enum argument argument;
	bool asks;
} mechanisms[] = {
	{ "all", SPF_ALL, ARG_NONE, false },      { "include", SPF_INCLUDE, ARG_DOMAIN, true },
	{ "a", SPF_A, ARG_DUAL, true },           { "mx", SPF_MX, ARG_DUAL, true },
	{ "ptr", SPF_PTR, ARG_DOMAIN_MAY, true }, { "ip4", SPF_IP4, ARG_NETWORK, false },
	{ "ip6", SPF_IP6, ARG_NETWORK, false },   { "exists", SPF_EXISTS, ARG_DOMAIN, true },
};

bool spf_asks(enum spf_kind kind)
{
	for (size_t i = 0; i < COUNT(mechanisms); i++)
		if (mechanisms[i].kind == kind)
			return mechanisms[i].asks;
	return false;
}

static bool is_alpha(uint8_t c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool is_name_byte(uint8_t c)
{
	return is_alpha(c) || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

static size_t name_length(struct slice s)
{
	size_t n = 0;

	while (n < s.len && is_name_byte(s.at[n]))
		n++;
	return n;
}

static bool is_modifier(struct slice term)
{
	size_t n = name_length(term);

	return n > 0 && n < term.len && term.at[n] == '=' && is_alpha(term.at[0]);
}

bool spf_is_record(struct slice text)
{
	return slice_starts_nocase(text, slice_str(VERSION)) &&
	       (text.len == strlen(VERSION) || text.at[strlen(VERSION)] == ' ');
}

/* The next term, without blanks; empty when there is none. */
static struct slice next_term(struct slice *rest)
{
	size_t n = 0;
	struct slice term;

	while (n < rest->len && rest->at[n] == ' ')
		n++;
	*rest = slice_from(*rest, n);
	term = slice_part(*rest, 0, slice_find_byte(*rest, ' '));
	*rest = slice_from(*rest, term.len);
	return term;
}

static bool read_bits(struct slice digits, unsigned most, uint8_t *out)
{
	uint64_t n;

	if (digits.len > 1 && digits.at[0] == '0')
		return false;
	if (!slice_to_u64(digits, &n) || n > most)
		return false;
	*out = (uint8_t)n;
	return true;
}

/* How many digits end the text. */
static size_t digits_at_end(struct slice s)
{
	size_t n = 0;

	while (n < s.len && s.at[s.len - 1 - n] >= '0' && s.at[s.len - 1 - n] <= '9')
		n++;
	return n;
}

/* Takes `slashes` and digits off the end, where they are there. */
static bool cut_prefix(struct slice *s, const char *slashes, struct slice *digits)
{
	size_t n = digits_at_end(*s);
	struct slice front = slice_part(*s, 0, s->len - n);

	*digits = slice_from(*s, s->len - n);
	if (n == 0 || !slice_ends_nocase(front, slice_str(slashes)))
		return false;
	*s = slice_part(front, 0, front.len - strlen(slashes));
	return true;
}

/* [ "/" digits ] [ "//" digits ], from the right: a domain-spec may have slashes in it too, but
 * none ends in one and digits, because a top label has no slash and isn't all digits. */
static bool read_dual(struct spf_mechanism *m, struct slice *argument)
{
	struct slice digits;

	m->bits4 = 32;
	m->bits6 = 128;
	if (cut_prefix(argument, "//", &digits) && !read_bits(digits, 128, &m->bits6))
		return false;
	return !cut_prefix(argument, "/", &digits) || read_bits(digits, 32, &m->bits4);
}

/* An IPv4-mapped network stays one of IPv6, which no IPv4 client is in (section 5). */
static bool read_network(struct spf_mechanism *m, struct slice text)
{
	struct slice digits;
	struct slice address = slice_cut(text, '/', &digits);
	bool v6 = m->kind == SPF_IP6;
	struct ip *base = &m->network.base;

	if ((slice_find_byte(address, ':') != SIZE_MAX) != v6 || !ip_parse(base, address))
		return false;
	if (v6 && base->family == 4) {
		memcpy(base->b + 12, base->b, 4);
		memset(base->b, 0, 10);
		memset(base->b + 10, 0xff, 2);
		base->family = 6;
	}
	m->network.bits = v6 ? 128 : 32;
	return address.len == text.len || read_bits(digits, v6 ? 128 : 32, &m->network.bits);
}

/* `rest` is what is behind the name, with the ":" or "/" that begins it. */
static bool read_argument(struct spf_mechanism *m, enum argument kind, struct slice rest)
{
	bool given;

	if (kind == ARG_DUAL && !read_dual(m, &rest))
		return false;
	given = rest.len > 0;
	if (given && (kind == ARG_NONE || rest.at[0] != ':'))
		return false;
	rest = slice_from(rest, 1);
	if (kind == ARG_NETWORK)
		return read_network(m, rest);
	m->domain = rest;
	if (!given)
		return kind != ARG_DOMAIN;
	return spf_domain_spec(rest);
}

static enum spf_result qualifier(struct slice *term)
{
	enum spf_result r = SPF_PASS;

	switch (term->len ? term->at[0] : 0) {
	case '+':
		break;
	case '-':
		r = SPF_FAIL;
		break;
	case '~':
		r = SPF_SOFTFAIL;
		break;
	case '?':
		r = SPF_NEUTRAL;
		break;
	default:
		return SPF_PASS;
	}
	*term = slice_from(*term, 1);
	return r;
}

static bool read_mechanism(struct spf_mechanism *m, struct slice term)
{
	struct slice name;

	*m = (struct spf_mechanism) { .text = term };
	m->result = qualifier(&term);
	name = slice_part(term, 0, name_length(term));
	for (size_t i = 0; i < COUNT(mechanisms); i++) {
		if (!slice_equal_nocase(name, slice_str(mechanisms[i].name)))
			continue;
		m->kind = mechanisms[i].kind;
		return read_argument(m, mechanisms[i].argument, slice_from(term, name.len));
	}
	return false;
}

/* A name that is known is that modifier, and wrong where its value is (6.1, 6.2). */
static bool read_modifier(struct spf_record *r, struct slice term)
{
	size_t n = name_length(term);
	struct slice name = slice_part(term, 0, n);
	struct slice value = slice_from(term, n + 1);
	struct slice *known = slice_equal_nocase(name, slice_str("redirect")) ? &r->redirect
	                      : slice_equal_nocase(name, slice_str("exp"))    ? &r->exp
	                                                                      : NULL;

	if (!known)
		return spf_macro_string(value);
	if (known->len || !spf_domain_spec(value))
		return false;
	*known = value;
	return true;
}

bool spf_record_read(struct spf_record *out, struct slice text, struct slice *bad)
{
	struct slice rest = slice_from(text, strlen(VERSION));
	struct spf_mechanism m;

	*out = (struct spf_record) { .terms = rest };
	*bad = slice_part(text, 0, strlen(VERSION));
	if (text.len > SPF_RECORD_BYTES)
		return false;
	for (;;) {
		*bad = next_term(&rest);
		if (bad->len == 0)
			return true;
		if (is_modifier(*bad) ? !read_modifier(out, *bad) : !read_mechanism(&m, *bad))
			return false;
	}
}

bool spf_record_next(struct slice *terms, struct spf_mechanism *out)
{
	struct slice term;

	while ((term = next_term(terms)).len)
		if (!is_modifier(term) && read_mechanism(out, term))
			return true;
	return false;
}
