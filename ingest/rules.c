#include "ingest/rules.h"

#include <stdlib.h>

#include "ingest/client_cert.h"
#include "ingest/rule_set.h"

struct compiling {
	const struct rule_lookup *look;
	struct rule_set *rs;
};

static const struct {
	const char *word;
	enum rule_subject_kind about;
	enum rule_field_name field;
} attributes[] = {
	{ "READ_RECEIPT_REQUESTED", ABOUT_READ_RECEIPT, RULE_FIELDS },
	{ "TLS", ABOUT_TLS, RULE_FIELDS },
	{ "TLS_WRAPPED", ABOUT_TLS_WRAPPED, RULE_FIELDS },
	{ "MAIL_FROM", ABOUT_MAIL_FROM, RULE_FIELDS },
	{ "HELO", ABOUT_HELO, RULE_FIELDS },
	{ "RECIPIENT", ABOUT_RECIPIENT, RULE_FIELDS },
	{ "SUBJECT", ABOUT_FIELD, RULE_SUBJECT },
	{ "FROM", ABOUT_FIELD, RULE_FROM },
	{ "SENDER", ABOUT_FIELD, RULE_SENDER },
	{ "TO", ABOUT_FIELD, RULE_TO },
	{ "CC", ABOUT_FIELD, RULE_CC },
	{ "MESSAGE_SIZE", ABOUT_SIZE, RULE_FIELDS },
	{ "SOURCE_IP", ABOUT_IP, RULE_FIELDS },
	{ "SPF", ABOUT_SPF, RULE_FIELDS },
	{ "DKIM", ABOUT_DKIM, RULE_FIELDS },
};

static const char *const verdict_words[] = { [RULE_PROCESSING_FAILED] = "PROCESSING_FAILED",
	                                     [RULE_PASS] = "PASS",
	                                     [RULE_FAIL] = "FAIL",
	                                     [RULE_GRAY] = "GRAY" };
static const char *const dmarc_words[] = { [RULE_DMARC_UNKNOWN] = "UNKNOWN",
	                                   [RULE_DMARC_NONE] = "NONE",
	                                   [RULE_DMARC_QUARANTINE] = "QUARANTINE",
	                                   [RULE_DMARC_REJECT] = "REJECT" };

/* Its index from `first` on, or -1. */
static int word_index(const char *const *words, size_t first, size_t count, struct slice word)
{
	for (size_t i = first; i < count; i++)
		if (slice_equal(word, slice_str(words[i])))
			return (int)i;
	return -1;
}

const char *rule_verdict_word(enum rule_verdict v)
{
	return verdict_words[v];
}

bool rule_verdict_parse(struct slice word, enum rule_verdict *out)
{
	int i = word_index(verdict_words, 0, COUNT(verdict_words), word);

	if (i >= 0)
		*out = (enum rule_verdict)i;
	return i >= 0;
}

const char *rule_dmarc_word(enum rule_dmarc d)
{
	return dmarc_words[d];
}

bool rule_dmarc_parse(struct slice word, enum rule_dmarc *out)
{
	int i = word_index(dmarc_words, RULE_DMARC_NONE, COUNT(dmarc_words), word);

	if (i >= 0)
		*out = (enum rule_dmarc)i;
	return i >= 0;
}

static bool is_word(const json_t *object, const char *member, const char *word)
{
	return slice_equal(json_member_text(object, member), slice_str(word));
}

static char *member_copy(const json_t *json, const char *member)
{
	return slice_string(json_member_text(json, member));
}

static enum rc read_attribute(struct rule_condition *c, const json_t *holder, struct err *e)
{
	struct slice word = json_member_text(holder, "Attribute");

	for (size_t i = 0; i < COUNT(attributes); i++) {
		if (!slice_equal(word, slice_str(attributes[i].word)))
			continue;
		c->about = attributes[i].about;
		c->field = attributes[i].field;
		return RC_OK;
	}
	return err_set(e, RC_INVALID, "an expression about nothing known");
}

/* `asked` is an Analysis. */
static enum rc compile_analysis(struct rule_condition *c, const json_t *asked,
                                enum rule_result_kind wants, const struct compiling *k,
                                struct err *e)
{
	struct slice ref = json_member_text(asked, "Analyzer");
	struct slice field = json_member_text(asked, "ResultField");
	const char *id = k->look->analyzer ? k->look->analyzer(k->look->arg, ref) : NULL;

	c->about = ABOUT_ANALYSIS;
	c->wants = wants;
	if (!id)
		return err_set(e, RC_NOTFOUND, "no add-on instance \"%.*s\"",
		               (int)MIN_OF(ref.len, (size_t)200),
		               ref.at ? (const char *)ref.at : "");
	c->analyzer = mem_string(id);
	if (slice_starts_nocase(field, slice_str("addon.")))
		field = slice_from(field, strlen("addon."));
	c->result_field = slice_string(field);
	return RC_OK;
}

static enum rc compile_boolean(struct rule_condition *c, const json_t *x, const struct compiling *k,
                               struct err *e)
{
	const json_t *left = json_member_object(x, "Evaluate");
	const json_t *asked = json_member_object(left, "IsInAddressList");
	struct slice ref;

	c->negated = is_word(x, "Operator", "IS_FALSE");
	if (json_member_object(left, "Analysis"))
		return compile_analysis(c, json_member_object(left, "Analysis"),
		                        RULE_RESULT_BOOLEAN, k, e);
	if (!asked)
		return read_attribute(c, left, e);
	ref = json_text(json_array_get(json_member_array(asked, "AddressLists"), 0));
	c->list = ref.len ? k->look->list(k->look->arg, ref) : NULL;
	if (!c->list)
		return err_set(e, RC_NOTFOUND, "no address list \"%.*s\"", (int)ref.len,
		               (const char *)ref.at);
	(void)address_list_ref(c->list);
	return read_attribute(c, asked, e);
}

static enum rc read_certificate_attribute(struct rule_condition *c, struct slice word,
                                          struct err *e)
{
	c->about = ABOUT_CLIENT_CERT;
	c->attribute = client_cert_member(word);
	return c->attribute ? RC_OK
	                    : err_set(e, RC_INVALID, "a certificate's attribute that isn't known");
}

static enum rc compile_string(struct rule_condition *c, const json_t *x, const struct compiling *k,
                              struct err *e)
{
	const json_t *left = json_member_object(x, "Evaluate");
	struct slice of_certificate = json_member_text(left, "ClientCertificateAttribute");
	enum rc rc = text_test_new(&c->text, x, e);

	if (rc != RC_OK)
		return rc;
	c->negated = c->text.negated;
	if (json_member_object(left, "Analysis"))
		return compile_analysis(c, json_member_object(left, "Analysis"), RULE_RESULT_TEXT,
		                        k, e);
	if (of_certificate.len)
		return read_certificate_attribute(c, of_certificate, e);
	if (!json_member_text(left, "MimeHeaderAttribute").len)
		return read_attribute(c, left, e);
	c->about = ABOUT_HEADER;
	c->header = member_copy(left, "MimeHeaderAttribute");
	return RC_OK;
}

static enum rc compile_number(struct rule_condition *c, const json_t *x, struct err *e)
{
	static const char *const words[] = {
		"EQUALS",       "NOT_EQUALS",         "LESS_THAN",
		"GREATER_THAN", "LESS_THAN_OR_EQUAL", "GREATER_THAN_OR_EQUAL"
	};

	c->about = ABOUT_SIZE;
	c->number = json_member_number(x, "Value", 0);
	for (size_t i = 0; i < COUNT(words); i++) {
		if (!is_word(x, "Operator", words[i]))
			continue;
		c->number_op = (enum number_operator)i;
		return RC_OK;
	}
	return err_set(e, RC_INVALID, "a NumberExpression without operator");
}

static enum rc compile_words(struct rule_condition *c, const json_t *x, const char *const *words,
                             size_t count, struct err *e)
{
	const json_t *values = json_member_array(x, "Values");

	c->negated = is_word(x, "Operator", "NOT_EQUALS");
	for (size_t i = 0; i < json_array_size(values); i++) {
		int at = word_index(words, 0, count, json_text(json_array_get(values, i)));

		if (at < 0)
			return err_set(e, RC_INVALID, "Values[%zu]: is no such word", i);
		c->words |= 1u << at;
	}
	return RC_OK;
}

static enum rc compile_verdict(struct rule_condition *c, const json_t *x, const struct compiling *k,
                               struct err *e)
{
	const json_t *left = json_member_object(x, "Evaluate");
	const json_t *analysis = json_member_object(left, "Analysis");
	enum rc rc = compile_words(c, x, verdict_words, COUNT(verdict_words), e);

	if (rc != RC_OK)
		return rc;
	return analysis ? compile_analysis(c, analysis, RULE_RESULT_VERDICT, k, e)
	                : read_attribute(c, left, e);
}

/* Nothing equals what isn't known, whatever the values. */
static enum rc compile_dmarc(struct rule_condition *c, const json_t *x, struct err *e)
{
	enum rc rc = compile_words(c, x, dmarc_words, COUNT(dmarc_words), e);

	c->about = ABOUT_DMARC;
	c->words &= ~(1u << RULE_DMARC_UNKNOWN);
	return rc;
}

static enum rc compile_condition(struct rule_condition *c, const json_t *json,
                                 const struct compiling *k, struct err *e)
{
	const json_t *x;

	c->about = ABOUT_NOTHING;
	c->slot = k->rs->condition_count++;
	if ((x = json_member_object(json, "BooleanExpression")))
		return compile_boolean(c, x, k, e);
	if ((x = json_member_object(json, "StringExpression")))
		return compile_string(c, x, k, e);
	if ((x = json_member_object(json, "VerdictExpression")))
		return compile_verdict(c, x, k, e);
	if ((x = json_member_object(json, "DmarcExpression")))
		return compile_dmarc(c, x, e);
	if ((x = json_member_object(json, "NumberExpression")))
		return compile_number(c, x, e);
	if ((x = json_member_object(json, "IpExpression"))) {
		enum rc rc = net_test_new(&c->nets, x, e);

		c->about = ABOUT_IP;
		c->negated = c->nets.negated;
		return rc;
	}
	return err_set(e, RC_INVALID, "a condition of no known kind");
}

static enum rc compile_conditions(struct rule_conditions *out, const json_t *rule,
                                  const char *member, const struct compiling *k, struct err *e)
{
	const json_t *list = json_member_array(rule, member);

	out->at = mem_array(json_array_size(list) + 1, sizeof(*out->at));
	for (size_t i = 0; i < json_array_size(list); i++) {
		enum rc rc =
		        compile_condition(&out->at[out->count++], json_array_get(list, i), k, e);

		if (rc != RC_OK)
			return err_in(e, "%s[%zu]", member, i);
	}
	return RC_OK;
}

static void compile_replace(struct rule_action *a, const json_t *x)
{
	const json_t *list = json_member_array(x, "ReplaceWith");
	size_t n = json_array_size(list);
	const char **texts = mem_array(n + 1, sizeof(*texts));

	for (size_t i = 0; i < n; i++)
		texts[i] = slice_string(json_text(json_array_get(list, i)));
	a->kind = RULE_REPLACE_RECIPIENT;
	a->replace_with = texts;
	a->replace_count = n;
}

static const struct {
	const char *word;
	enum rule_action_kind kind;
} action_words[RULE_ACTION_KINDS] = {
	{ "Archive", RULE_ARCHIVE },
	{ "Drop", RULE_DROP },
	{ "AddHeader", RULE_ADD_HEADER },
	{ "ReplaceRecipient", RULE_REPLACE_RECIPIENT },
	{ "Send", RULE_SEND },
	{ "Relay", RULE_RELAY },
	{ "DeliverToMailbox", RULE_MAILBOX },
	{ "Bounce", RULE_BOUNCE },
	{ "WriteToS3", RULE_S3 },
	{ "PublishToSns", RULE_SNS },
	{ "InvokeLambda", RULE_LAMBDA },
	{ "DeliverToQBusiness", RULE_QBUSINESS },
};

const char *rule_action_word(enum rule_action_kind k)
{
	for (size_t i = 0; i < COUNT(action_words); i++)
		if (action_words[i].kind == k)
			return action_words[i].word;
	return "?";
}

bool rule_action_parse(struct slice word, enum rule_action_kind *out)
{
	for (size_t i = 0; i < COUNT(action_words); i++)
		if (slice_equal(slice_str(action_words[i].word), word)) {
			*out = action_words[i].kind;
			return true;
		}
	return false;
}

bool rule_is_task(enum rule_action_kind k)
{
	return k >= RULE_SEND && k < RULE_ACTION_KINDS;
}

/* The one member of the union, and its kind. */
static const json_t *action_members(const json_t *json, enum rule_action_kind *kind)
{
	for (size_t i = 0; i < COUNT(action_words); i++) {
		const json_t *x = json_member_object(json, action_words[i].word);

		if (x) {
			*kind = action_words[i].kind;
			return x;
		}
	}
	return NULL;
}

static void compile_task(struct rule_action *a, const json_t *x)
{
	a->spec = json_incref((json_t *)(uintptr_t)x);
	a->decides = a->on_failure == RULE_DROP_MESSAGE ||
	             (a->kind == RULE_LAMBDA && is_word(x, "InvocationType", "REQUEST_RESPONSE"));
}

static enum rc compile_action(struct rule_action *a, const json_t *json, const struct compiling *k,
                              struct err *e)
{
	const json_t *x = action_members(json, &a->kind);
	struct slice ref;

	if (!x)
		return err_set(e, RC_INVALID, "an action of no known kind");
	a->on_failure =
	        is_word(x, "ActionFailurePolicy", "DROP") ? RULE_DROP_MESSAGE : RULE_CONTINUE;
	switch (a->kind) {
	case RULE_DROP:
		break;
	case RULE_ARCHIVE:
		ref = json_member_text(x, "TargetArchive");
		a->archive_ref = slice_string(ref);
		a->archive = k->look->archive(k->look->arg, ref);
		break;
	case RULE_ADD_HEADER:
		a->header_name = member_copy(x, "HeaderName");
		a->header_value = member_copy(x, "HeaderValue");
		break;
	case RULE_REPLACE_RECIPIENT:
		compile_replace(a, x);
		break;
	default:
		compile_task(a, x);
		break;
	}
	return RC_OK;
}

static enum rc compile_rule(struct rule *r, const json_t *json, const struct compiling *k,
                            struct err *e)
{
	const json_t *actions = json_member_array(json, "Actions");
	size_t n = json_array_size(actions);
	enum rc rc;

	r->name = member_copy(json, "Name");
	r->first_action = k->rs->action_count;
	r->actions = mem_array(n + 1, sizeof(*r->actions));
	rc = compile_conditions(&r->conditions, json, "Conditions", k, e);
	if (rc == RC_OK)
		rc = compile_conditions(&r->unless, json, "Unless", k, e);
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		rc = compile_action(&r->actions[r->action_count++], json_array_get(actions, i), k,
		                    e);
		if (rc != RC_OK)
			(void)err_in(e, "Actions[%zu]", i);
	}
	k->rs->action_count += n;
	return rc;
}

/* ---- words that are looked for together ---- */

static bool same_texts(const struct rule_condition *a, const struct rule_condition *b)
{
	if (a->about != b->about)
		return false;
	return a->about == ABOUT_FIELD
	               ? a->field == b->field
	               : slice_equal_nocase(slice_str(a->header), slice_str(b->header));
}

static struct rule_words *words_of(struct rule_set *rs, const struct rule_condition *c)
{
	struct rule_words *w = rs->words;

	while (w && !same_texts(w->of, c))
		w = w->next;
	if (w)
		return w;
	w = mem_new(sizeof(*w));
	w->of = c;
	w->slot = rs->words_count++;
	w->next = rs->words;
	rs->words = w;
	return w;
}

static void gather_from(struct rule_set *rs, const struct rule_conditions *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct rule_condition *c = &list->at[i];
		struct rule_words *w;
		size_t bytes = 0;

		if ((c->about != ABOUT_FIELD && c->about != ABOUT_HEADER) || c->list ||
		    c->text.op != TEXT_CONTAINS)
			continue;
		for (size_t k = 0; k < c->text.count; k++)
			bytes += c->text.values[k].len;
		w = words_of(rs, c);
		if (w->bytes + bytes > RULE_WORDS_BYTES)
			continue;
		c->words_in = w;
		c->first_word = w->count;
		w->bytes += bytes;
		w->values =
		        mem_resize(w->values, (w->count + c->text.count + 1) * sizeof(*w->values));
		for (size_t k = 0; k < c->text.count; k++)
			w->values[w->count++] = c->text.values[k];
	}
}

static void gather_words(struct rule_set *rs)
{
	for (size_t i = 0; i < rs->count; i++) {
		gather_from(rs, &rs->rules[i].conditions);
		gather_from(rs, &rs->rules[i].unless);
	}
	for (struct rule_words *w = rs->words; w; w = w->next) {
		w->matcher = matcher_new(w->values, w->count);
		free(w->values);
		w->values = NULL;
	}
}

enum rc rule_set_new(struct rule_set **out, const json_t *json, const struct rule_lookup *look,
                     struct err *e)
{
	const json_t *rules = json_member_array(json, "Rules");
	struct rule_set *rs = mem_new(sizeof(*rs));
	struct compiling k = { look, rs };
	struct err mine = { 0 };

	*out = NULL;
	rs->name = member_copy(json, "RuleSetName");
	rs->id = member_copy(json, "RuleSetId");
	rs->version = json_member_int(json, "Version", 0);
	rs->rules = mem_array(json_array_size(rules) + 1, sizeof(*rs->rules));
	for (size_t i = 0; i < json_array_size(rules); i++) {
		enum rc rc =
		        compile_rule(&rs->rules[rs->count++], json_array_get(rules, i), &k, &mine);

		if (rc != RC_OK) {
			rule_set_free(&rs);
			return err_set(e, rc, "Rules[%zu].%s", i, mine.text);
		}
	}
	gather_words(rs);
	*out = rs;
	return RC_OK;
}

static void words_free(struct rule_words *w)
{
	while (w) {
		struct rule_words *next = w->next;

		matcher_free(&w->matcher);
		free(w);
		w = next;
	}
}

static void conditions_free(struct rule_conditions *list)
{
	for (size_t i = 0; i < list->count; i++) {
		struct rule_condition *c = &list->at[i];

		text_test_free(&c->text);
		net_test_free(&c->nets);
		address_list_unref(&c->list);
		free(c->header);
		free(c->analyzer);
		free(c->result_field);
	}
	free(list->at);
}

/* Texts are const for who reads an action; here they die. */
static void text_free(const char *text)
{
	free((void *)(uintptr_t)text);
}

static void action_free(struct rule_action *a)
{
	text_free(a->archive_ref);
	text_free(a->header_name);
	text_free(a->header_value);
	for (size_t i = 0; i < a->replace_count; i++)
		text_free(a->replace_with[i]);
	free((void *)(uintptr_t)a->replace_with);
	json_decref((json_t *)(uintptr_t)a->spec);
}

void rule_set_free(struct rule_set **rs)
{
	struct rule_set *old = *rs;

	*rs = NULL;
	if (!old)
		return;
	for (size_t i = 0; i < old->count; i++) {
		struct rule *r = &old->rules[i];

		conditions_free(&r->conditions);
		conditions_free(&r->unless);
		for (size_t k = 0; k < r->action_count; k++)
			action_free(&r->actions[k]);
		free(r->actions);
		free(r->name);
	}
	words_free(old->words);
	free(old->rules);
	free(old->name);
	free(old->id);
	free(old);
}

const char *rule_set_name(const struct rule_set *rs)
{
	return rs->name;
}

const char *rule_set_id(const struct rule_set *rs)
{
	return rs->id;
}

int64_t rule_set_version(const struct rule_set *rs)
{
	return rs->version;
}

bool rule_set_sends(const struct rule_set *rs)
{
	for (size_t i = 0; i < rs->count; i++)
		for (size_t k = 0; k < rs->rules[i].action_count; k++)
			if (rs->rules[i].actions[k].kind == RULE_SEND ||
			    rs->rules[i].actions[k].kind == RULE_RELAY)
				return true;
	return false;
}

static bool conditions_ask(const struct rule_conditions *c, const char *instance)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->at[i].analyzer && strcmp(c->at[i].analyzer, instance) == 0)
			return true;
	return false;
}

bool rule_set_asks(const struct rule_set *rs, const char *instance)
{
	for (size_t i = 0; i < rs->count; i++)
		if (conditions_ask(&rs->rules[i].conditions, instance) ||
		    conditions_ask(&rs->rules[i].unless, instance))
			return true;
	return false;
}

size_t rule_set_rules(const struct rule_set *rs)
{
	return rs->count;
}
