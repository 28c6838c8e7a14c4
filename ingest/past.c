#include "ingest/past.h"

#include <stdlib.h>

static const char *const words[RULE_SAIDS] = { "DONE", "FAILED", "STOP_RULE", "STOP_RULE_SET" };

static json_t *numbers_json(const uint32_t *at, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_push(list, json_integer(at[i]));
	return list;
}

static json_t *answer_json(const struct rule_answer *a)
{
	json_t *one = json_array();

	json_push(one, json_integer(a->rule));
	json_push(one, json_integer(a->action));
	json_push(one, json_of_slice(slice_str(words[a->said])));
	if (a->failed_count)
		json_push(one, numbers_json(a->failed, a->failed_count));
	return one;
}

/* What a later run must not find out anew: whether archives were open, and what tasks said. */
static json_t *answers_json(const struct rule_outcome *o, const struct rule_past *before)
{
	json_t *list = json_array();

	for (size_t i = 0; i < o->execution_count; i++) {
		const struct rule_execution *x = &o->executions[i];
		const struct rule_answer a = { .rule = x->rule,
			                       .action = x->action,
			                       .said = x->failed ? RULE_SAID_FAILED
			                                         : RULE_SAID_DONE };

		if (x->what->kind == RULE_ARCHIVE && !x->past)
			json_push(list, answer_json(&a));
	}
	for (size_t i = 0; before && i < before->answer_count; i++)
		json_push(list, answer_json(&before->answers[i]));
	return list;
}

json_t *past_json(const struct rule_outcome *o, const struct rule_past *before)
{
	const struct rule_execution *last = &o->executions[o->execution_count - 1];
	json_t *past = json_object();
	json_t *matched = json_array();

	for (size_t i = 0; i < o->matched_count; i++)
		json_push(matched, numbers_json(o->matched[i].recipients, o->matched[i].count));
	json_put(past, "matched", matched);
	json_put_int(past, "action", last->action);
	json_put(past, "answers", answers_json(o, before));
	return past;
}

void past_answer(json_t *past, enum rule_said said, const uint32_t *failed, size_t count)
{
	const struct rule_answer a = {
		.rule = (unsigned)json_array_size(json_member_array(past, "matched")) - 1,
		.action = (unsigned)json_member_int(past, "action", 0),
		.said = said,
		.failed = failed,
		.failed_count = count,
	};

	json_push(json_member_array(past, "answers"), answer_json(&a));
}

/* ---- and back ---- */

static size_t count_numbers(const json_t *lists)
{
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(lists); i++)
		n += json_array_size(json_array_get(lists, i));
	return n;
}

static bool read_number(const json_t *j, uint32_t most, uint32_t *out)
{
	json_int_t v = json_integer_value(j);

	*out = (uint32_t)v;
	return json_is_integer(j) && v >= 0 && v < most;
}

/* Into what is left of p->numbers. */
static bool read_numbers(uint32_t **at, const json_t *list, const uint32_t **out, size_t *count)
{
	*out = *at;
	*count = json_array_size(list);
	for (size_t i = 0; i < *count; i++)
		if (!read_number(json_array_get(list, i), LIMIT_RULE_RECIPIENTS, (*at)++))
			return false;
	return true;
}

static bool read_answer(const json_t *one, uint32_t **at, struct rule_answer *out)
{
	struct slice word = json_text(json_array_get(one, 2));
	uint32_t rule;
	uint32_t action;
	size_t said = 0;

	while (said < RULE_SAIDS && !slice_equal(word, slice_str(words[said])))
		said++;
	if (said == RULE_SAIDS || !read_number(json_array_get(one, 0), UINT16_MAX, &rule) ||
	    !read_number(json_array_get(one, 1), UINT16_MAX, &action))
		return false;
	*out = (struct rule_answer) { .rule = rule,
		                      .action = action,
		                      .said = (enum rule_said)said };
	return read_numbers(at, json_array_get(one, 3), &out->failed, &out->failed_count);
}

static bool answers_stop(const struct rule_past *p)
{
	for (size_t i = 0; i < p->answer_count; i++)
		if (p->answers[i].rule + 1 == p->rule_count && p->answers[i].action == p->action)
			return true;
	return false;
}

static bool read_all(struct past *p, const json_t *matched, const json_t *answers)
{
	uint32_t *at = p->numbers;

	for (size_t i = 0; i < p->is.rule_count; i++)
		if (!read_numbers(&at, json_array_get(matched, i), &p->rules[i].recipients,
		                  &p->rules[i].count))
			return false;
	for (size_t i = 0; i < p->is.answer_count; i++)
		if (!read_answer(json_array_get(answers, i), &at, &p->answers[i]))
			return false;
	return p->is.rule_count && answers_stop(&p->is);
}

enum rc past_read(struct past *p, const json_t *json, struct err *e)
{
	const json_t *matched = json_member_array(json, "matched");
	const json_t *answers = json_member_array(json, "answers");
	json_int_t action = json_member_int(json, "action", -1);
	size_t n = count_numbers(matched);

	/* of FAILED: within answers, beside three more */
	n += count_numbers(answers);
	for (size_t i = 0; i < json_array_size(answers); i++)
		n += json_array_size(json_array_get(json_array_get(answers, i), 3));
	*p = (struct past) {
		.is = { .rule_count = json_array_size(matched),
		        .action = (unsigned)action,
		        .answer_count = json_array_size(answers) },
		.rules = mem_array(json_array_size(matched) + 1, sizeof(*p->rules)),
		.answers = mem_array(json_array_size(answers) + 1, sizeof(*p->answers)),
		.numbers = mem_array(n + 1, sizeof(*p->numbers)),
	};
	p->is.rules = p->rules;
	p->is.answers = p->answers;
	if (action >= 0 && action < UINT16_MAX && read_all(p, matched, answers))
		return RC_OK;
	past_free(p);
	return err_set(e, RC_CORRUPT, "what is kept of a run of rules can't be read");
}

void past_free(struct past *p)
{
	free(p->rules);
	free(p->answers);
	free(p->numbers);
	*p = (struct past) { 0 };
}
