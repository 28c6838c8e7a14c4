#include "ingest/policy.h"

#include <stdlib.h>

#include "ingest/operator.h"
#include "ingest/scan_result.h"

enum condition_kind {
	COND_RECIPIENT,
	COND_IP4,
	COND_IP6,
	COND_TLS_LEAST,
	COND_TLS_IS,
	COND_LIST,
	COND_SAYS_TEXT, /* an add-on's instance */
	COND_SAYS_YES,
};

enum known { MISS, HIT, WANTED };

struct condition {
	enum condition_kind kind;
	struct text_test text;
	struct net_test nets;
	enum policy_tls tls;
	struct address_list *list;
	bool in_list;      /* IS_TRUE */
	const char *asked; /* the add-on's instance; one of the policy's `asks` */
	char *field;       /* its ResultField, without "addon." */
};

struct statement {
	enum policy_verdict action;
	struct condition *conditions;
	size_t count;
};

struct policy {
	char *name;
	char *id;
	int64_t version;
	enum policy_verdict otherwise;
	uint64_t max_bytes;
	struct statement *statements;
	size_t count;
	json_t *said; /* PolicyStatements, for who follows a judgement */
	char *asks[POLICY_ADDONS];
	size_t ask_count;
};

struct compiling {
	struct policy *p;
	const struct policy_lookup *look;
};

/* One judgement. */
struct judging {
	const struct policy *p;
	const struct policy_facts *f;
	const struct policy_trace *trace;
	bool lacking; /* an add-on that was asked says PROCESSING_FAILED */
};

static bool is_word(const json_t *object, const char *member, const char *word)
{
	return slice_equal(json_member_text(object, member), slice_str(word));
}

static enum rc compile_tls(struct condition *c, const json_t *expression)
{
	c->kind = is_word(expression, "Operator", "IS") ? COND_TLS_IS : COND_TLS_LEAST;
	c->tls = is_word(expression, "Value", "TLS1_3") ? POLICY_TLS_1_3 : POLICY_TLS_1_2;
	return RC_OK;
}

static enum rc compile_list(struct condition *c, const json_t *expression,
                            const struct compiling *k, struct err *e)
{
	const json_t *asked =
	        json_object_get(json_object_get(expression, "Evaluate"), "IsInAddressList");
	struct slice ref = json_text(json_array_get(json_member_array(asked, "AddressLists"), 0));

	c->kind = COND_LIST;
	c->in_list = is_word(expression, "Operator", "IS_TRUE");
	c->list = ref.len ? k->look->list(k->look->arg, ref) : NULL;
	if (!c->list)
		return err_set(e, RC_NOTFOUND, "no address list \"%.*s\"", (int)ref.len,
		               (const char *)ref.at);
	(void)address_list_ref(c->list);
	return RC_OK;
}

static enum rc compile_asked(struct condition *c, const char *id, struct policy *p, struct err *e)
{
	for (size_t i = 0; i < p->ask_count && !c->asked; i++)
		if (strcmp(p->asks[i], id) == 0)
			c->asked = p->asks[i];
	if (c->asked)
		return RC_OK;
	if (p->ask_count == POLICY_ADDONS)
		return err_set(e, RC_INVALID, "a traffic policy asks %d add-ons at most",
		               POLICY_ADDONS);
	c->asked = p->asks[p->ask_count++] = mem_string(id);
	return RC_OK;
}

static enum rc compile_analysis(struct condition *c, const json_t *analysis,
                                const struct compiling *k, struct err *e)
{
	struct slice ref = json_member_text(analysis, "Analyzer");
	struct slice field = json_member_text(analysis, "ResultField");
	const char *id = k->look->analyzer ? k->look->analyzer(k->look->arg, ref) : NULL;

	if (!id)
		return err_set(e, RC_NOTFOUND, "no add-on instance \"%.*s\"",
		               (int)MIN_OF(ref.len, (size_t)200),
		               ref.at ? (const char *)ref.at : "");
	if (slice_starts_nocase(field, slice_str("addon.")))
		field = slice_from(field, strlen("addon."));
	c->field = slice_string(field);
	return compile_asked(c, id, k->p, e);
}

static const json_t *analysis_of(const json_t *expression)
{
	return json_member_object(json_member_object(expression, "Evaluate"), "Analysis");
}

static enum rc compile_string(struct condition *c, const json_t *x, const struct compiling *k,
                              struct err *e)
{
	const json_t *analysis = analysis_of(x);
	enum rc rc = text_test_new(&c->text, x, e);

	c->kind = analysis ? COND_SAYS_TEXT : COND_RECIPIENT;
	return rc == RC_OK && analysis ? compile_analysis(c, analysis, k, e) : rc;
}

static enum rc compile_boolean(struct condition *c, const json_t *x, const struct compiling *k,
                               struct err *e)
{
	const json_t *analysis = analysis_of(x);

	if (!analysis)
		return compile_list(c, x, k, e);
	c->kind = COND_SAYS_YES;
	c->in_list = is_word(x, "Operator", "IS_TRUE");
	return compile_analysis(c, analysis, k, e);
}

static enum rc compile_condition(struct condition *c, const json_t *json, const struct compiling *k,
                                 struct err *e)
{
	const json_t *x;

	if ((x = json_member_object(json, "StringExpression")))
		return compile_string(c, x, k, e);
	if ((x = json_member_object(json, "IpExpression"))) {
		c->kind = COND_IP4;
		return net_test_new(&c->nets, x, e);
	}
	if ((x = json_member_object(json, "Ipv6Expression"))) {
		c->kind = COND_IP6;
		return net_test_new(&c->nets, x, e);
	}
	if ((x = json_member_object(json, "TlsExpression")))
		return compile_tls(c, x);
	if ((x = json_member_object(json, "BooleanExpression")))
		return compile_boolean(c, x, k, e);
	return err_set(e, RC_INVALID, "a condition of no known kind");
}

static enum rc compile_statement(struct statement *s, const json_t *json, const struct compiling *k,
                                 struct err *e)
{
	const json_t *conditions = json_member_array(json, "Conditions");
	size_t n = json_array_size(conditions);

	s->action = is_word(json, "Action", "ALLOW") ? POLICY_ALLOW : POLICY_DENY;
	s->conditions = mem_array(n + 1, sizeof(*s->conditions));
	if (n == 0)
		return err_set(e, RC_INVALID, "Conditions: must not be empty");
	for (size_t i = 0; i < n; i++) {
		enum rc rc = compile_condition(&s->conditions[s->count++],
		                               json_array_get(conditions, i), k, e);

		if (rc != RC_OK)
			return err_in(e, "Conditions[%zu]", i);
	}
	return RC_OK;
}

static char *member_copy(const json_t *json, const char *member)
{
	return slice_string(json_member_text(json, member));
}

enum rc policy_new(struct policy **out, const json_t *json, const struct policy_lookup *look,
                   struct err *e)
{
	const json_t *statements = json_member_array(json, "PolicyStatements");
	struct err mine = { 0 };
	struct policy *p = mem_new(sizeof(*p));
	struct compiling k = { p, look };

	*out = NULL;
	p->name = member_copy(json, "TrafficPolicyName");
	p->id = member_copy(json, "TrafficPolicyId");
	p->version = json_member_int(json, "Version", 0);
	p->otherwise = is_word(json, "DefaultAction", "ALLOW") ? POLICY_ALLOW : POLICY_DENY;
	p->max_bytes = (uint64_t)MAX_OF(json_member_int(json, "MaxMessageSizeBytes", 0), 0);
	p->statements = mem_array(json_array_size(statements) + 1, sizeof(*p->statements));
	p->said = json_deep_copy(statements);
	for (size_t i = 0; i < json_array_size(statements); i++) {
		enum rc rc = compile_statement(&p->statements[p->count++],
		                               json_array_get(statements, i), &k, &mine);

		if (rc != RC_OK) {
			policy_free(&p);
			return err_set(e, rc, "PolicyStatements[%zu].%s", i, mine.text);
		}
	}
	*out = p;
	return RC_OK;
}

static void statement_free(struct statement *s)
{
	for (size_t i = 0; i < s->count; i++) {
		text_test_free(&s->conditions[i].text);
		net_test_free(&s->conditions[i].nets);
		address_list_unref(&s->conditions[i].list);
		free(s->conditions[i].field);
	}
	free(s->conditions);
}

void policy_free(struct policy **p)
{
	struct policy *old = *p;

	*p = NULL;
	if (!old)
		return;
	for (size_t i = 0; i < old->count; i++)
		statement_free(&old->statements[i]);
	for (size_t i = 0; i < old->ask_count; i++)
		free(old->asks[i]);
	free(old->statements);
	json_decref(old->said);
	free(old->name);
	free(old->id);
	free(old);
}

static bool net_holds(const struct condition *c, const struct policy_facts *f, uint8_t family)
{
	bool hit = f->peer.family == family && net_test_hits(&c->nets, &f->peer);

	return hit != c->nets.negated;
}

static bool attribute_holds(const struct condition *c, const struct policy_facts *f)
{
	switch (c->kind) {
	case COND_RECIPIENT:
		return text_test_hits(&c->text, f->recipient) != c->text.negated;
	case COND_IP4:
		return net_holds(c, f, 4);
	case COND_IP6:
		return net_holds(c, f, 6);
	case COND_TLS_LEAST:
		return f->tls != POLICY_TLS_NONE && f->tls >= c->tls;
	case COND_TLS_IS:
		return f->tls == c->tls;
	case COND_LIST:
		return address_list_has(c->list, f->recipient) == c->in_list;
	case COND_SAYS_TEXT:
	case COND_SAYS_YES:
		break;
	}
	MUST(!"a kind of condition about the recipient or the connection");
	return false;
}

/* *said: what the instance says in that field, as a text; *failed: it says PROCESSING_FAILED. */
static struct rule_result ask_addon(const struct condition *c, const json_t *addons,
                                    struct slice *said, bool *failed)
{
	struct slice id = slice_str(c->asked);
	struct rule_result r = scans_field(addons, id, slice_str(c->field));
	struct rule_result v = scans_field(addons, id, slice_str("verdict"));

	*failed = v.verdict == RULE_PROCESSING_FAILED;
	*said = slice_of("", 0);
	if (r.kind == RULE_RESULT_TEXT)
		*said = r.text;
	else if (r.kind == RULE_RESULT_BOOLEAN)
		*said = slice_str(r.yes ? "true" : "false");
	else if (r.kind == RULE_RESULT_VERDICT || *failed)
		*said = slice_str(rule_verdict_word(v.verdict));
	return r;
}

static enum known analysis_holds(struct judging *j, const struct condition *c,
                                 struct policy_step *step)
{
	struct rule_result r;
	bool failed;

	if (!json_object_get(j->f->addons, c->asked))
		return WANTED;
	r = ask_addon(c, j->f->addons, &step->said, &failed);
	step->asked = true;
	step->field = slice_str(c->field);
	j->lacking = j->lacking || failed;
	if (c->kind == COND_SAYS_YES)
		return r.kind == RULE_RESULT_BOOLEAN && r.yes == c->in_list ? HIT : MISS;
	if (r.kind != RULE_RESULT_TEXT && r.kind != RULE_RESULT_VERDICT)
		return MISS;
	return text_test_hits(&c->text, step->said) != c->text.negated ? HIT : MISS;
}

static enum known condition_holds(struct judging *j, const struct condition *c,
                                  struct policy_step *step)
{
	if (c->kind == COND_SAYS_TEXT || c->kind == COND_SAYS_YES)
		return analysis_holds(j, c, step);
	return attribute_holds(c, j->f) ? HIT : MISS;
}

static void tell(const struct judging *j, struct policy_step *step, bool held)
{
	step->held = held;
	if (j->trace)
		j->trace->step(j->trace->arg, step);
}

static enum known statement_holds(struct judging *j, size_t at)
{
	const struct statement *s = &j->p->statements[at];
	struct policy_step whole = { .statement = (int)at, .condition = -1, .action = s->action };
	enum known holds = HIT;

	for (size_t i = 0; i < s->count && holds == HIT; i++) {
		struct policy_step step = whole;

		step.condition = (int)i;
		holds = condition_holds(j, &s->conditions[i], &step);
		if (holds != WANTED)
			tell(j, &step, holds == HIT);
	}
	if (holds != WANTED)
		tell(j, &whole, holds == HIT);
	return holds;
}

static enum policy_verdict verdict_of(const struct judging *j, enum policy_verdict action)
{
	return action == POLICY_DENY && j->lacking ? POLICY_LATER : action;
}

enum policy_verdict policy_decide(const struct policy *p, const struct policy_facts *f,
                                  const struct policy_trace *trace)
{
	static const enum policy_verdict order[] = { POLICY_DENY, POLICY_ALLOW };
	struct policy_step otherwise = { .statement = -1, .condition = -1, .action = p->otherwise };
	struct judging j = { .p = p, .f = f, .trace = trace };

	for (size_t pass = 0; pass < COUNT(order); pass++) {
		j.lacking = false;
		for (size_t i = 0; i < p->count; i++) {
			enum known holds = MISS;

			if (p->statements[i].action != order[pass])
				continue;
			if (order[pass] == POLICY_DENY)
				j.lacking = false; /* of this one alone */
			holds = statement_holds(&j, i);
			if (holds == WANTED)
				return POLICY_ASK;
			if (holds == HIT)
				return verdict_of(&j, order[pass]);
		}
	}
	tell(&j, &otherwise, true);
	return verdict_of(&j, p->otherwise);
}

size_t policy_asks(const struct policy *p, const char *const **ids)
{
	*ids = (const char *const *)p->asks;
	return p->ask_count;
}

/* Of what was said, since a compiled text doesn't tell which operator it came from. */
static bool limits_recipient(const json_t *condition)
{
	const json_t *text = json_member_object(condition, "StringExpression");
	const json_t *list = json_member_object(condition, "BooleanExpression");
	const json_t *values = json_member_array(text, "Values");

	if (list && json_object_get(json_object_get(list, "Evaluate"), "IsInAddressList"))
		return is_word(list, "Operator", "IS_TRUE");
	if (!text || !is_word(json_object_get(text, "Evaluate"), "Attribute", "RECIPIENT") ||
	    !json_array_size(values))
		return false;
	if (is_word(text, "Operator", "EQUALS"))
		return true;
	for (size_t i = 0; i < json_array_size(values); i++)
		if (slice_find(json_text(json_array_get(values, i)), slice_str("@")) == SIZE_MAX)
			return false;
	return is_word(text, "Operator", "ENDS_WITH");
}

bool policy_limits_recipients(const struct policy *p)
{
	if (p->otherwise == POLICY_ALLOW)
		return false;
	for (size_t i = 0; i < p->count; i++) {
		const json_t *conditions =
		        json_member_array(json_array_get(p->said, i), "Conditions");
		bool limits = p->statements[i].action == POLICY_DENY;

		for (size_t k = 0; k < json_array_size(conditions) && !limits; k++)
			limits = limits_recipient(json_array_get(conditions, k));
		if (!limits)
			return false;
	}
	return true;
}

uint64_t policy_max_bytes(const struct policy *p)
{
	return p->max_bytes;
}

const char *policy_name(const struct policy *p)
{
	return p->name;
}

const char *policy_id(const struct policy *p)
{
	return p->id;
}

int64_t policy_version(const struct policy *p)
{
	return p->version;
}

const json_t *policy_condition(const struct policy *p, int statement, int condition)
{
	const json_t *s = statement < 0 ? NULL : json_array_get(p->said, (size_t)statement);

	return condition < 0
	               ? NULL
	               : json_array_get(json_member_array(s, "Conditions"), (size_t)condition);
}
