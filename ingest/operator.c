#include "ingest/operator.h"

#include <stdlib.h>

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static bool read_operator(struct text_test *t, struct slice word)
{
	static const struct {
		const char *word;
		enum text_operator op;
		bool negated;
	} known[] = {
		{ "EQUALS", TEXT_EQUALS, false },           { "NOT_EQUALS", TEXT_EQUALS, true },
		{ "STARTS_WITH", TEXT_STARTS_WITH, false }, { "ENDS_WITH", TEXT_ENDS_WITH, false },
		{ "CONTAINS", TEXT_CONTAINS, false },
	};

	for (size_t i = 0; i < COUNT(known); i++) {
		if (!slice_equal(word, slice_str(known[i].word)))
			continue;
		t->op = known[i].op;
		t->negated = known[i].negated;
		return true;
	}
	return false;
}

/* Of each beginning of `low` the longest end of it that is a beginning too: how much still matches
 * when the next byte doesn't. */
static void find_borders(struct slice low, uint32_t *border)
{
	uint32_t k = 0;

	for (size_t i = 1; i < low.len; i++) {
		while (k > 0 && low.at[i] != low.at[k])
			k = border[k - 1];
		k += low.at[i] == low.at[k];
		border[i] = k;
	}
}

enum rc text_test_new(struct text_test *out, const json_t *expression, struct err *e)
{
	const json_t *values = json_member_array(expression, "Values");
	size_t n = json_array_size(values);
	size_t bytes = 0;
	uint8_t *text;

	*out = (struct text_test) { 0 };
	if (!values || !read_operator(out, json_member_text(expression, "Operator")))
		return err_set(e, RC_INVALID, "a StringExpression without operator or values");
	for (size_t i = 0; i < n; i++)
		bytes += json_text(json_array_get(values, i)).len;
	out->values = mem_new(n * sizeof(*out->values) + bytes + 1);
	if (out->op == TEXT_CONTAINS)
		out->borders = mem_array(bytes + 1, sizeof(*out->borders));
	text = (uint8_t *)(out->values + n);
	for (size_t i = 0, at = 0; i < n; i++) {
		struct slice v = json_text(json_array_get(values, i));

		out->values[out->count++] = slice_of(text, v.len);
		for (size_t k = 0; k < v.len; k++)
			*text++ = lower(v.at[k]);
		if (out->borders)
			find_borders(out->values[i], out->borders + at);
		at += v.len;
	}
	return RC_OK;
}

void text_test_free(struct text_test *t)
{
	free(t->values);
	free(t->borders);
	*t = (struct text_test) { 0 };
}

/* `low` is in lower case already. */
static bool same(const uint8_t *text, struct slice low)
{
	for (size_t i = 0; i < low.len; i++)
		if (lower(text[i]) != low.at[i])
			return false;
	return true;
}

/* Each step takes a byte of the text, or gives up some of what was matched before: 2n at most. */
static bool contains(struct slice text, struct slice low, const uint32_t *border)
{
	size_t k = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = lower(text.at[i]);

		while (k > 0 && c != low.at[k])
			k = border[k - 1];
		if (c == low.at[k] && ++k == low.len)
			return true;
	}
	return false;
}

static bool hits(const struct text_test *t, struct slice text, size_t value)
{
	struct slice low = t->values[value];

	if (text.len < low.len || (t->op == TEXT_EQUALS && text.len != low.len))
		return false;
	if (low.len == 0)
		return true;
	if (t->op == TEXT_CONTAINS)
		return contains(text, low, t->borders + (low.at - t->values[0].at));
	return same(t->op == TEXT_ENDS_WITH ? text.at + (text.len - low.len) : text.at, low);
}

bool text_test_hits(const struct text_test *t, struct slice text)
{
	for (size_t i = 0; i < t->count; i++)
		if (hits(t, text, i))
			return true;
	return false;
}

enum rc net_test_new(struct net_test *out, const json_t *expression, struct err *e)
{
	struct slice word = json_member_text(expression, "Operator");
	const json_t *values = json_member_array(expression, "Values");
	size_t n = json_array_size(values);

	*out = (struct net_test) { .negated = slice_equal(word, slice_str("NOT_CIDR_MATCHES")) };
	if (!values || (!out->negated && !slice_equal(word, slice_str("CIDR_MATCHES"))))
		return err_set(e, RC_INVALID, "an IpExpression without operator or values");
	out->nets = mem_array(n + 1, sizeof(*out->nets));
	for (size_t i = 0; i < n; i++)
		if (!cidr_parse(&out->nets[out->count++], json_text(json_array_get(values, i)),
		                true)) {
			net_test_free(out);
			return err_set(e, RC_INVALID, "Values[%zu]: is no IP network", i);
		}
	return RC_OK;
}

void net_test_free(struct net_test *t)
{
	free(t->nets);
	*t = (struct net_test) { 0 };
}

bool net_test_hits(const struct net_test *t, const struct ip *ip)
{
	for (size_t i = 0; i < t->count; i++)
		if (cidr_contains(&t->nets[i], ip))
			return true;
	return false;
}
