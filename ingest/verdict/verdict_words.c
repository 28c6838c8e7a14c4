#include "ingest/verdict/verdict_words.h"

#define LONGEST 512

static const char pass[] = "PASS";
static const char fail[] = "FAIL";
static const char gray[] = "GRAY";
static const char failed[] = "PROCESSING_FAILED";

const char *verdict_of_spf(enum spf_result r)
{
	switch (r) {
	case SPF_PASS:
		return pass;
	case SPF_FAIL:
		return fail;
	case SPF_NONE:
	case SPF_NEUTRAL:
	case SPF_SOFTFAIL:
		return gray;
	case SPF_TEMPERROR:
	case SPF_PERMERROR:
		break;
	}
	return failed;
}

const char *verdict_of_dkim(enum dkim_result r)
{
	switch (r) {
	case DKIM_PASS:
		return pass;
	case DKIM_NONE:
		return gray;
	case DKIM_TEMPERROR:
		return failed;
	case DKIM_FAIL:
	case DKIM_POLICY:
	case DKIM_NEUTRAL:
	case DKIM_PERMERROR:
	case DKIM_UNCHECKED:
		break;
	}
	return fail;
}

const char *verdict_of_arc(enum arc_result r)
{
	switch (r) {
	case ARC_PASS:
		return pass;
	case ARC_FAIL:
		return fail;
	case ARC_NONE:
		return gray;
	case ARC_TEMPERROR:
		break;
	}
	return failed;
}

/* ---- what somebody else says ---- */

enum kind { WORD, TEXT, NUMBER, FLAG, SIGNATURES };

struct member {
	const char *name;
	enum kind kind;
	bool must;
	const char *words; /* of WORD: with a blank in front of and behind each */
};

#define VERDICTS  " PASS FAIL GRAY PROCESSING_FAILED "
#define POLICIES  " NONE QUARANTINE REJECT "
#define DKIM_SAYS " none pass fail policy neutral temperror permerror "

static const struct member spf_members[] = {
	{ "verdict", WORD, true, VERDICTS },
	{ "result", WORD, true, " none neutral pass fail softfail temperror permerror " },
	{ "identity", WORD, false, " mailfrom helo " },
	{ "domain", TEXT, false, NULL },
	{ "why", TEXT, false, NULL },
	{ "explanation", TEXT, false, NULL },
};

static const struct member dkim_members[] = {
	{ "verdict", WORD, true, VERDICTS },
	{ "result", WORD, true, DKIM_SAYS },
	{ "signatures", SIGNATURES, false, NULL },
	{ "why", TEXT, false, NULL },
};

static const struct member signature_members[] = {
	{ "result", WORD, true, DKIM_SAYS "unchecked " },
	{ "domain", TEXT, false, NULL },
	{ "selector", TEXT, false, NULL },
	{ "identity", TEXT, false, NULL },
	{ "algorithm", TEXT, false, NULL },
	{ "b", TEXT, false, NULL },
	{ "bits", NUMBER, false, NULL },
	{ "testing", FLAG, false, NULL },
	{ "partial", FLAG, false, NULL },
	{ "why", TEXT, false, NULL },
};

static const struct member arc_members[] = {
	{ "verdict", WORD, true, VERDICTS },
	{ "result", WORD, true, " none pass fail temperror " },
	{ "sets", NUMBER, false, NULL },
	{ "sealer", TEXT, false, NULL },
	{ "oldest_pass", NUMBER, false, NULL },
	{ "why", TEXT, false, NULL },
};

static const struct member dmarc_members[] = {
	{ "result", WORD, true, " none pass fail temperror permerror " },
	{ "policy", WORD, false, POLICIES },
	{ "asks", WORD, false, POLICIES },
	{ "domain", TEXT, false, NULL },
	{ "spf_aligned", FLAG, false, NULL },
	{ "dkim_aligned", FLAG, false, NULL },
	{ "why", TEXT, false, NULL },
};

static bool is_text(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] < ' ' || s.at[i] >= 0x7f)
			return false;
	return s.at && s.len > 0 && s.len <= LONGEST;
}

/* No blank is in it, so it is one of the words. */
static bool is_word(struct slice s, const char *words)
{
	char padded[40];

	if (!is_text(s) || s.len + 3 > sizeof(padded) || slice_find_byte(s, ' ') != SIZE_MAX)
		return false;
	(void)snprintf(padded, sizeof(padded), " %.*s ", (int)s.len, (const char *)s.at);
	return strstr(words, padded) != NULL;
}

static bool object_holds(const json_t *o, const struct member *known, size_t count);

static bool signatures_hold(const json_t *list)
{
	if (!json_is_array(list) || json_array_size(list) > DKIM_REPORTED)
		return false;
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!object_holds(json_array_get(list, i), signature_members,
		                  COUNT(signature_members)))
			return false;
	return true;
}

static bool value_holds(const json_t *value, const struct member *m)
{
	switch (m->kind) {
	case WORD:
		return is_word(json_text(value), m->words);
	case TEXT:
		return is_text(json_text(value));
	case NUMBER:
		return json_is_integer(value) && json_integer_value(value) >= 0 &&
		       json_integer_value(value) <= 65536;
	case FLAG:
		return json_is_boolean(value);
	case SIGNATURES:
		return signatures_hold(value);
	}
	return false;
}

static bool object_holds(const json_t *o, const struct member *known, size_t count)
{
	size_t found = 0;

	if (!json_is_object(o))
		return false;
	for (size_t i = 0; i < count; i++) {
		const json_t *value = json_object_get(o, known[i].name);

		if (value ? !value_holds(value, &known[i]) : known[i].must)
			return false;
		found += value != NULL;
	}
	return found == json_object_size(o);
}

enum rc verdicts_valid(const json_t *verdicts, struct err *e)
{
	static const struct {
		const char *name;
		const struct member *members;
		size_t count;
	} parts[] = {
		{ "spf", spf_members, COUNT(spf_members) },
		{ "dkim", dkim_members, COUNT(dkim_members) },
		{ "arc", arc_members, COUNT(arc_members) },
		{ "dmarc", dmarc_members, COUNT(dmarc_members) },
	};

	if (!json_is_object(verdicts) || json_object_size(verdicts) != COUNT(parts))
		return err_set(e, RC_INVALID, "verdicts aren't the four");
	for (size_t i = 0; i < COUNT(parts); i++)
		if (!object_holds(json_object_get(verdicts, parts[i].name), parts[i].members,
		                  parts[i].count))
			return err_set(e, RC_INVALID, "no verdict of %s", parts[i].name);
	return RC_OK;
}

json_t *verdicts_failed(const char *why)
{
	static const char *const parts[] = { "spf", "dkim", "arc", "dmarc" };
	json_t *o = json_object();

	for (size_t i = 0; i < COUNT(parts); i++) {
		json_t *part = json_object();

		if (strcmp(parts[i], "dmarc") != 0)
			json_put_text(part, "verdict", slice_str(failed));
		json_put_text(part, "result", slice_str("temperror"));
		json_put_text(part, "why", slice_str(why));
		json_put(o, parts[i], part);
	}
	return o;
}
