#include "ingest/decided.h"

#include <stdlib.h>

#include "ingest/disposition.h"

static bool shares_recipient(const struct rule_execution *a, const struct rule_execution *b)
{
	for (size_t i = 0; i < a->recipient_count; i++)
		for (size_t k = 0; k < b->recipient_count; k++)
			if (a->recipients[i] == b->recipients[k])
				return true;
	return false;
}

static bool is_of(const struct rule_execution *x, uint32_t recipient)
{
	for (size_t i = 0; i < x->recipient_count; i++)
		if (x->recipients[i] == recipient)
			return true;
	return false;
}

json_t *decided_headers(const struct rule_outcome *o, const struct rule_execution *upto, uint32_t recipient)
{
	json_t *list = json_array();

	for (const struct rule_execution *x = o->executions; x < upto; x++) {
		json_t *header;

		if (x->what->kind != RULE_ADD_HEADER)
			continue;
		if (recipient == UINT32_MAX ? !shares_recipient(x, upto) : !is_of(x, recipient))
			continue;
		header = json_object();
		json_put_text(header, "name", slice_str(x->what->header_name));
		json_put_text(header, "value", slice_str(x->what->header_value));
		json_push(list, header);
	}
	return list;
}

/* Those whom that execution took out, by dropping them or since it failed. */
static json_t *dropped_by(const struct rule_outcome *o, size_t execution)
{
	json_t *who = json_array();

	for (size_t i = 0; i < o->recipient_count; i++) {
		const struct rule_recipient *r = &o->recipients[i];

		if (r->state == RECIPIENT_DROPPED && r->ended_by == (int)execution)
			json_push(who, json_of_slice(r->address));
	}
	return who;
}

/* Recipients that are in no archive because a rule dropped them: nothing else would tell. */
static json_t *dropped_recipients(const struct rule_outcome *o)
{
	json_t *list = json_array();

	for (size_t i = 0; i < o->execution_count; i++) {
		const struct rule_execution *x = &o->executions[i];
		json_t *who = dropped_by(o, i);
		json_t *one;

		if (json_array_size(who) == 0) {
			json_decref(who);
			continue;
		}
		one = json_object();
		json_put_int(one, "rule", x->rule);
		json_put_text(one, "rule_name", slice_str(x->rule_name));
		json_put(one, "recipients", who);
		json_push(list, one);
	}
	return list;
}

static void put_unless_empty(json_t *o, const char *name, json_t *list)
{
	if (json_array_size(list))
		json_put(o, name, list);
	else
		json_decref(list);
}

json_t *decided_json(const struct rule_set *rs, const struct rule_outcome *o,
                     const struct rule_execution *x)
{
	json_t *d = json_object();
	json_t *covered = json_array();
	json_t *replaced = json_array();
	json_t *headers = decided_headers(o, x, UINT32_MAX);

	json_put_text(d, "rule_set", slice_str(rule_set_id(rs)));
	json_put_text(d, "rule_set_name", slice_str(rule_set_name(rs)));
	json_put_int(d, "rule_set_version", rule_set_version(rs));
	json_put_int(d, "rule", x->rule);
	json_put_text(d, "rule_name", slice_str(x->rule_name));
	json_put_int(d, "action", x->action);
	for (size_t i = 0; i < x->recipient_count; i++)
		json_push(covered, json_of_slice(o->recipients[x->recipients[i]].address));
	json_put(d, "recipients", covered);
	for (size_t i = o->envelope_count; i < o->recipient_count; i++)
		json_push(replaced, json_of_slice(o->recipients[i].address));
	put_unless_empty(d, "replaced", replaced);
	put_unless_empty(d, "headers", headers);
	put_unless_empty(d, "dropped", dropped_recipients(o));
	return d;
}

/* ---- two of them ---- */

static int by_text(const void *a, const void *b)
{
	const char *const *x = a;
	const char *const *y = b;

	return strcmp(*x, *y);
}

/* The list's texts, sorted, each once. */
static json_t *sorted_set(const json_t *list)
{
	size_t n = json_array_size(list);
	const char **texts = mem_array(n + 1, sizeof(*texts));
	json_t *set = json_array();
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		if (json_is_string(json_array_get(list, i)))
			texts[count++] = json_string_value(json_array_get(list, i));
	qsort(texts, count, sizeof(*texts), by_text);
	for (size_t i = 0; i < count; i++)
		if (i == 0 || strcmp(texts[i], texts[i - 1]) != 0)
			json_push(set, json_of_slice(slice_str(texts[i])));
	free(texts);
	return set;
}

/* Those of all rules together. */
static json_t *all_dropped(const json_t *decided)
{
	const json_t *list = json_member_array(decided, "dropped");
	json_t *all = json_array();
	json_t *set;

	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *who = json_member_array(json_array_get(list, i), "recipients");

		for (size_t k = 0; k < json_array_size(who); k++)
			json_push(all, json_incref(json_array_get(who, k)));
	}
	set = sorted_set(all);
	json_decref(all);
	return set;
}

static json_t *headers_of(const json_t *decided)
{
	json_t *list = json_member_array(decided, "headers");

	return list ? json_incref(list) : json_array();
}

/* Takes both over. */
static void put_if_other(json_t *out, const char *name, json_t *then, json_t *now)
{
	json_t *both;

	if (json_equal(then, now)) {
		json_decref(then);
		json_decref(now);
		return;
	}
	both = json_object();
	json_put(both, "then", then);
	json_put(both, "now", now);
	json_put(out, name, both);
}

json_t *decided_difference(const json_t *then, const json_t *now)
{
	static const char *const sets[] = { "recipients", "replaced" };
	json_t *out = json_object();

	for (size_t i = 0; i < COUNT(sets); i++)
		put_if_other(out, sets[i], sorted_set(json_member_array(then, sets[i])),
		             sorted_set(json_member_array(now, sets[i])));
	put_if_other(out, "headers", headers_of(then), headers_of(now));
	put_if_other(out, "dropped", all_dropped(then), all_dropped(now));
	if (json_object_size(out))
		return out;
	json_decref(out);
	return NULL;
}

const struct rule_execution *decided_archive(const struct rule_outcome *o, uint32_t archive)
{
	for (size_t i = 0; i < o->execution_count; i++) {
		const struct rule_execution *x = &o->executions[i];

		if (x->what->kind == RULE_ARCHIVE && !x->failed && x->what->archive == archive)
			return x;
	}
	return NULL;
}

const char *decided_word(const struct rule_outcome *o)
{
	bool archived = false;
	bool failed = false;

	for (size_t i = 0; i < o->execution_count; i++)
		if (o->executions[i].what->kind == RULE_ARCHIVE)
			*(o->executions[i].failed ? &failed : &archived) = true;
	if (failed)
		return disposition_name(DISPOSITION_FAILED);
	if (archived)
		return "archived";
	if (o->unmatched)
		return disposition_name(DISPOSITION_UNMATCHED);
	return disposition_name(o->live == 0 ? DISPOSITION_DROPPED : DISPOSITION_NO_ACTION);
}
