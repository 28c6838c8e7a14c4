#include "api/job_filter.h"

#include "index/index.h"

struct attribute {
	const char *name;
	enum match_kind kind;
	uint32_t fields;
};

static const struct attribute attributes[] = {
	{ "TO", MATCH_CONTAINS, FIELD_BIT(DOC_TO) },
	{ "FROM", MATCH_CONTAINS, FIELD_BIT(DOC_FROM) },
	{ "CC", MATCH_CONTAINS, FIELD_BIT(DOC_CC) },
	{ "SUBJECT", MATCH_CONTAINS, FIELD_BIT(DOC_SUBJECT) },
	{ "ENVELOPE_TO", MATCH_CONTAINS, FIELD_BIT(DOC_ENVELOPE_TO) },
	{ "ENVELOPE_FROM", MATCH_CONTAINS, FIELD_BIT(DOC_ENVELOPE_FROM) },
	{ "BODY", MATCH_TEXT, FIELD_BIT(DOC_BODY) },
	{ "ATTACHMENT", MATCH_TEXT, FIELD_BIT(DOC_ATTACHMENT) },
	{ "FILENAME", MATCH_TEXT, FIELD_BIT(DOC_FILENAME) },
	{ "MESSAGE_ID", MATCH_MSGID, 0 },
	{ "ALL", MATCH_TEXT, FIELDS_ALL },
};

static const struct attribute *attribute_of(const json_t *expression)
{
	struct slice name =
	        json_member_text(json_member_object(expression, "Evaluate"), "Attribute");

	for (size_t i = 0; i < COUNT(attributes); i++)
		if (slice_equal(name, slice_str(attributes[i].name)))
			return &attributes[i];
	return NULL;
}

static struct match *value_match(struct match_tree *t, const struct attribute *a, struct slice text)
{
	struct match *m = match_new(t, a->kind);

	m->fields = a->fields;
	if (a->kind == MATCH_TEXT && text.len > 1 && text.at[text.len - 1] == '*') {
		m->prefix = true;
		text.len--;
	}
	m->text = match_text(t, text);
	return m;
}

static struct match *string_match(struct match_tree *t, const json_t *expression)
{
	const struct attribute *a = attribute_of(expression);
	const json_t *values = json_member_array(expression, "Values");
	struct match *any;

	if (!a || !json_array_size(values))
		return NULL;
	any = match_new(t, MATCH_OR);
	for (size_t i = 0; i < json_array_size(values); i++)
		match_add(any, value_match(t, a, json_text(json_array_get(values, i))));
	return any;
}

static struct match *not_of(struct match_tree *t, struct match *m)
{
	struct match *not = match_new(t, MATCH_NOT);

	match_add(not, m);
	return not ;
}

static struct match *boolean_match(struct match_tree *t, const json_t *expression)
{
	struct slice name =
	        json_member_text(json_member_object(expression, "Evaluate"), "Attribute");
	struct slice operator= json_member_text(expression, "Operator");
	struct match *m;

	if (!slice_equal(name, slice_str("HAS_ATTACHMENTS")))
		return NULL;
	m = match_new(t, MATCH_FLAG);
	m->number = DOC_HAS_ATTACHMENT;
	return slice_equal(operator, slice_str("IS_FALSE")) ? not_of(t, m) : m;
}

static enum rc add_list(struct match_tree *t, const json_t *filters, const char *member,
                        bool unless, struct match *all, struct err *e)
{
	const json_t *list = json_member_array(filters, member);

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);
		const json_t *string = json_member_object(one, "StringExpression");
		struct match *m =
		        string ? string_match(t, string)
		               : boolean_match(t, json_member_object(one, "BooleanExpression"));

		if (!m)
			return err_set(e, RC_INVALID, "Filters.%s[%zu]: this can't be searched for",
			               member, i);
		match_add(all, unless ? not_of(t, m) : m);
	}
	return RC_OK;
}

enum rc job_filter(struct match_tree *t, const json_t *input, struct match **out, struct err *e)
{
	const json_t *filters = json_member_object(input, "Filters");
	struct match *all = match_new(t, MATCH_AND);
	struct match *received = match_new(t, MATCH_RECEIVED);
	enum rc rc;

	received->low = json_member_int(input, "FromTimestamp", 0);
	received->high = json_member_int(input, "ToTimestamp", 0);
	match_add(all, received);
	rc = add_list(t, filters, "Include", false, all, e);
	if (rc == RC_OK)
		rc = add_list(t, filters, "Unless", true, all, e);
	if (rc == RC_OK)
		rc = index_check(all, e);
	if (rc == RC_LIMIT)
		rc = e->code = RC_INVALID;
	*out = all;
	return rc;
}
