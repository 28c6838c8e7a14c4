#include "ingest/deliver/mta_sts.h"

#define PATTERN 255

static bool is_alnum(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ---- the record ---- */

bool sts_record_is(struct slice text)
{
	struct slice rest;
	struct slice first = slice_trim(slice_cut(text, ';', &rest));

	return slice_equal(first, slice_str("v=STSv1")) && first.len < text.len;
}

bool sts_record_read(char id[STS_ID], struct slice text)
{
	struct slice rest;

	id[0] = 0;
	if (!sts_record_is(text))
		return false;
	(void)slice_cut(text, ';', &rest);
	while (rest.len) {
		struct slice field = slice_trim(slice_cut(rest, ';', &rest));

		if (!slice_starts_nocase(field, slice_str("id=")))
			continue;
		field = slice_from(field, 3);
		if (field.len == 0 || field.len >= STS_ID)
			return false;
		for (size_t i = 0; i < field.len; i++) {
			if (!is_alnum(field.at[i]))
				return false;
			id[i] = (char)field.at[i];
		}
		id[field.len] = 0;
		return true;
	}
	return false;
}

/* ---- the policy ---- */

enum field { VERSION, MODE, MAX_AGE, FIELDS };

struct reading {
	struct sts_policy *p;
	bool seen[FIELDS];
};

/* Letters, digits, '-', '.', and "*." in front. */
static bool add_pattern(struct sts_policy *p, struct slice name)
{
	bool star = name.len > 2 && name.at[0] == '*' && name.at[1] == '.';
	uint8_t last = '.';

	if (name.len == 0 || name.len > PATTERN || p->count == STS_MX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.at[i];

		if (i >= (star ? 2U : 0U)) {
			if (!is_alnum(c) && c != '-' && c != '_' && (c != '.' || last == '.'))
				return false;
			last = c;
		}
		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (buf_add_byte(&p->patterns, c) != RC_OK)
			return false;
	}
	p->count++;
	return buf_add_byte(&p->patterns, 0) == RC_OK;
}

static bool read_mode(struct sts_policy *p, struct slice value)
{
	static const char *const names[] = { "none", "testing", "enforce" };

	for (size_t i = 0; i < COUNT(names); i++)
		if (slice_equal(value, slice_str(names[i]))) {
			p->mode = (enum sts_mode)i;
			return true;
		}
	return false;
}

static bool read_age(struct sts_policy *p, struct slice value)
{
	uint64_t n;

	if (value.len > 10 || !slice_to_u64(value, &n))
		return false;
	p->max_age = (int64_t)MIN_OF(n, (uint64_t)STS_AGE);
	return true;
}

/* Of a field that is there again the first counts (section 3.2). */
static bool first(struct reading *r, enum field f)
{
	bool seen = r->seen[f];

	r->seen[f] = true;
	return !seen;
}

static enum rc read_field(struct reading *r, struct slice key, struct slice value, struct err *e)
{
	if (slice_equal(key, slice_str("mx")))
		return add_pattern(r->p, value)
		               ? RC_OK
		               : err_set(e, RC_INVALID, "MTA-STS: an mx that is none, or too many");
	if (slice_equal(key, slice_str("version")) && first(r, VERSION) &&
	    !slice_equal(value, slice_str("STSv1")))
		return err_set(e, RC_INVALID, "MTA-STS: a version that isn't known");
	if (slice_equal(key, slice_str("mode")) && first(r, MODE) && !read_mode(r->p, value))
		return err_set(e, RC_INVALID, "MTA-STS: a mode that isn't known");
	if (slice_equal(key, slice_str("max_age")) && first(r, MAX_AGE) && !read_age(r->p, value))
		return err_set(e, RC_INVALID, "MTA-STS: max_age is no number");
	return RC_OK;
}

enum rc sts_policy_read(struct sts_policy *p, struct slice text, struct err *e)
{
	struct reading r = { .p = p };
	enum rc rc = RC_OK;

	*p = (struct sts_policy) { .mode = STS_NONE };
	buf_init(&p->patterns, STS_TEXT);
	if (text.len > STS_TEXT)
		return err_set(e, RC_INVALID, "MTA-STS: the policy is too long");
	while (rc == RC_OK && text.len) {
		struct slice value;
		struct slice line = slice_trim(slice_cut(text, '\n', &text));
		struct slice key = slice_trim(slice_cut(line, ':', &value));

		if (line.len && key.len == line.len)
			return err_set(e, RC_INVALID, "MTA-STS: a line without a colon");
		rc = read_field(&r, key, slice_trim(value), e);
	}
	for (size_t i = 0; rc == RC_OK && i < FIELDS; i++)
		if (!r.seen[i])
			rc = err_set(e, RC_INVALID, "MTA-STS: version, mode or max_age is missing");
	if (rc == RC_OK && p->mode != STS_NONE && !p->count)
		rc = err_set(e, RC_INVALID, "MTA-STS: no mx");
	return rc;
}

void sts_policy_free(struct sts_policy *p)
{
	buf_free(&p->patterns);
	p->count = 0;
}

bool sts_policy_names(const struct sts_policy *p, const char *host)
{
	const char *at = buf_text(&p->patterns);
	const char *dot = strchr(host, '.');

	for (size_t i = 0; i < p->count; i++, at += strlen(at) + 1) {
		bool star = at[0] == '*';
		const char *name = star ? dot : host;

		if (name && name != (star ? host : NULL) &&
		    slice_equal_nocase(slice_str(name), slice_str(star ? at + 1 : at)))
			return true;
	}
	return false;
}
