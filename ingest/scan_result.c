#include "ingest/scan_result.h"

#include <stdio.h>

static const char *const verdicts[] = { "PASS", "FAIL", "GRAY", "PROCESSING_FAILED" };

json_t *scan_result_text(struct slice s, size_t most)
{
	char text[SCAN_FIELD_TEXT];
	size_t n = MIN_OF(s.len, MIN_OF(most, sizeof(text)));

	for (size_t i = 0; i < n; i++)
		text[i] = (char)(s.at[i] >= ' ' && s.at[i] < 127 ? s.at[i] : '?');
	return json_of_slice(slice_of(text, n));
}

json_t *scan_result_failed(const char *why)
{
	json_t *o = json_object();

	json_put_text(o, "verdict", slice_str("PROCESSING_FAILED"));
	json_put(o, "why", scan_result_text(slice_str(why), SCAN_WHY));
	return o;
}

static const char *verdict_of(const json_t *from)
{
	struct slice word = json_member_text(from, "verdict");

	for (size_t i = 0; i < COUNT(verdicts); i++)
		if (slice_equal(word, slice_str(verdicts[i])))
			return verdicts[i];
	return NULL;
}

/* ---- fields ---- */

static bool is_name(const char *s)
{
	size_t n = 0;
	bool letter = false;

	for (; s[n]; n++) {
		bool fits = (s[n] >= 'a' && s[n] <= 'z') || (s[n] >= 'A' && s[n] <= 'Z') ||
		            (s[n] >= '0' && s[n] <= '9');

		if (!fits && s[n] != '_' && s[n] != ' ')
			return false;
		letter = letter || fits;
	}
	return letter && n <= SCAN_FIELD_NAME;
}

static json_t *value_of(const json_t *from)
{
	char text[40];

	if (json_is_string(from))
		return scan_result_text(json_text(from), SCAN_FIELD_TEXT);
	if (json_is_boolean(from))
		return json_boolean(json_is_true(from));
	if (!json_is_number(from))
		return NULL;
	if (json_is_integer(from))
		(void)snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(from));
	else
		(void)snprintf(text, sizeof(text), "%.10g", json_real_value(from));
	return json_of_slice(slice_str(text));
}

/* The next character that counts, in lower case; 0 at the end. */
static int next_of(struct slice *s)
{
	while (s->len) {
		int c = s->at[0];

		*s = slice_from(*s, 1);
		if (c >= 'A' && c <= 'Z')
			return c - 'A' + 'a';
		if (c != '_' && c != ' ' && c != '\t' && c != '\r' && c != '\n' && c != '\f' &&
		    c != '\v')
			return c;
	}
	return 0;
}

bool scans_same_field(struct slice a, struct slice b)
{
	int x;

	do {
		x = next_of(&a);
		if (x != next_of(&b))
			return false;
	} while (x);
	return true;
}

static json_t *find_field(const json_t *fields, struct slice name)
{
	const char *member;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)fields, member, value)
	{
		if (scans_same_field(slice_str(member), name))
			return value;
	}
	return NULL;
}

static enum rc read_fields(json_t *out, const json_t *from, struct err *e)
{
	const char *member;
	json_t *value;

	if (from && !json_is_object(from))
		return err_set(e, RC_INVALID, "\"fields\" is no object");
	if (json_object_size(from) > SCAN_FIELDS)
		return err_set(e, RC_INVALID, "more than %d fields", SCAN_FIELDS);
	json_object_foreach((json_t *)(uintptr_t)from, member, value)
	{
		json_t *v;

		if (!is_name(member))
			return err_set(e, RC_INVALID, "the name of a field is wrong");
		if (find_field(out, slice_str(member)))
			return err_set(e, RC_INVALID, "the field %s is there twice", member);
		v = value_of(value);
		if (!v)
			return err_set(e, RC_INVALID, "the field %s is no text, number or boolean",
			               member);
		json_put(out, member, v);
	}
	return RC_OK;
}

enum rc scan_result_read(json_t **out, const json_t *from, struct err *e)
{
	const char *verdict = verdict_of(from);
	struct slice why = json_member_text(from, "why");
	json_t *fields;
	enum rc rc;

	*out = NULL;
	if (!verdict)
		return err_set(e, RC_INVALID,
		               "\"verdict\" is none of PASS, FAIL, GRAY, PROCESSING_FAILED");
	fields = json_object();
	rc = read_fields(fields, json_object_get(from, "fields"), e);
	if (rc != RC_OK) {
		json_decref(fields);
		return rc;
	}
	if (strcmp(verdict, "PROCESSING_FAILED") == 0) {
		json_decref(fields);
		*out = scan_result_failed("");
		json_put(*out, "why",
		         scan_result_text(why.len ? why : slice_str("the scanner says so"),
		                          SCAN_WHY));
		return RC_OK;
	}
	if (!find_field(fields, slice_str("isPassed")))
		json_put_bool(fields, "isPassed", strcmp(verdict, "PASS") == 0);
	*out = json_object();
	json_put_text(*out, "verdict", slice_str(verdict));
	json_put(*out, "fields", fields);
	return RC_OK;
}

/* ---- for rules ---- */

static enum rule_verdict rule_verdict_of(const json_t *said)
{
	const char *verdict = verdict_of(said);

	if (!verdict)
		return RULE_PROCESSING_FAILED;
	return verdict == verdicts[0]   ? RULE_PASS
	       : verdict == verdicts[1] ? RULE_FAIL
	       : verdict == verdicts[2] ? RULE_GRAY
	                                : RULE_PROCESSING_FAILED;
}

struct rule_result scans_field(const json_t *addons, struct slice instance, struct slice field)
{
	char id[128];
	const json_t *said;
	const json_t *value;

	if (instance.len >= sizeof(id))
		return (struct rule_result) { .kind = RULE_RESULT_NONE };
	(void)snprintf(id, sizeof(id), "%.*s", (int)instance.len, (const char *)instance.at);
	said = json_member_object(addons, id);
	if (!said)
		return (struct rule_result) { .kind = RULE_RESULT_NONE };
	value = find_field(json_member_object(said, "fields"), field);
	if (scans_same_field(field, slice_str("verdict")) ||
	    (!value && scans_same_field(field, slice_str("result"))))
		return (struct rule_result) { .kind = RULE_RESULT_VERDICT,
			                      .verdict = rule_verdict_of(said) };
	if (json_is_boolean(value))
		return (struct rule_result) { .kind = RULE_RESULT_BOOLEAN,
			                      .yes = json_is_true(value) };
	if (json_is_string(value))
		return (struct rule_result) { .kind = RULE_RESULT_TEXT, .text = json_text(value) };
	return (struct rule_result) { .kind = RULE_RESULT_NONE };
}
