/*
 * The file of mmctl apply, and a snapshot: whatever the bytes, they are refused with a text or give
 * a configuration that judges.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ingest/config.h"
#include "ingest/shape_resources.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ids, as the database would give them. */
static void give_ids(json_t *file, const char *kind, const char *member, const char *prefix)
{
	json_t *list = json_member_array(file, kind);

	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *one = json_array_get(list, i);
		char id[32];

		if (!json_is_object(one))
			continue;
		(void)snprintf(id, sizeof(id), "%s%zu", prefix, i);
		json_put_text(one, member, slice_str(id));
		json_put_int(one, "Version", 1);
		if (strcmp(kind, "Archives") == 0)
			json_put_int(one, "ArchiveNumber", (int64_t)i + 1);
	}
}

static void make_snapshot(json_t *file)
{
	json_t *points = json_member_array(file, "IngressPoints");

	give_ids(file, "Archives", "ArchiveId", "a-");
	give_ids(file, "AddressLists", "AddressListId", "al-");
	give_ids(file, "AddonInstances", "AddonInstanceId", "ai-");
	give_ids(file, "TrafficPolicies", "TrafficPolicyId", "tp-");
	give_ids(file, "RuleSets", "RuleSetId", "rs-");
	for (size_t i = 0; i < json_array_size(points); i++) {
		json_t *one = json_array_get(points, i);

		if (!json_is_object(one))
			continue;
		json_put_text(one, "RuleSetId", slice_str("rs-0"));
		json_put_text(one, "TrafficPolicyId", slice_str("tp-0"));
	}
	give_ids(file, "IngressPoints", "IngressPointId", "inp-");
}

/* Of every kind, by the field's length. */
static struct rule_result analysis(const void *arg, struct slice instance, struct slice field)
{
	(void)arg;
	(void)instance;
	return (struct rule_result) { .kind = (enum rule_result_kind)(field.len % 4),
		                      .verdict = (enum rule_verdict)(field.len % 3),
		                      .text = field,
		                      .yes = field.len & 1 };
}

/* Each reading is there to be read. */
struct seen {
	size_t bytes;
	size_t steps;
};

static void see(void *arg, const struct rule_compared *c)
{
	struct seen *s = arg;

	for (size_t i = 0; i < c->value.len; i++)
		s->bytes += c->value.at[i] != 0;
	s->bytes += strlen(c->what);
}

static void step(void *arg, const struct rule_step *s)
{
	struct seen *seen = arg;

	seen->steps += s->held;
}

static void judge_rules(const struct rule_set *rs)
{
	static const char *const names[] = { "a@b.example", "postmaster@c.example" };
	const struct slice to[] = { slice_str(names[0]), slice_str(names[1]) };
	const struct rule_address from = { slice_str("x@y.example"), slice_str("X <x@y.example>") };
	const struct slice subject = slice_str("Re: test");
	const struct rule_header header = { slice_str("X-A"), slice_str("v") };
	struct rule_facts f = { .mail_from = slice_str("x@y.example"),
		                .helo = slice_str("y.example"),
		                .bytes = 1000,
		                .headers = &header,
		                .header_count = 1,
		                .spf = RULE_GRAY,
		                .dmarc = RULE_DMARC_REJECT,
		                .analysis = analysis };
	struct seen seen = { 0 };
	const struct rule_trace trace = { step, &seen, see, NULL };
	struct rule_outcome out;
	size_t live;
	struct err e = { 0 };

	f.fields[RULE_FROM] = (struct rule_field) { &from, 1, NULL, 0 };
	f.fields[RULE_SUBJECT] = (struct rule_field) { NULL, 0, &subject, 1 };
	if (rules_run(rs, &f, to, COUNT(to), &out, NULL, &e) != RC_OK)
		abort();
	if (out.live > out.recipient_count || out.unsettled > out.live)
		abort();
	live = out.live;
	rule_outcome_free(&out);
	/* Who looks on changes nothing. */
	if (rules_run(rs, &f, to, COUNT(to), &out, &trace, &e) != RC_OK || out.live != live)
		abort();
	rule_outcome_free(&out);
}

static struct address_list *given(void *arg, struct slice id)
{
	return config_address_list(arg, id);
}

/* What compiles can be handed over: whole, and what is new of it (nothing). */
static void hand_over(struct config *c)
{
	struct config_source from = { .list = given, .arg = c };
	const struct config *had = NULL;
	struct config *made[2] = { 0 };

	for (int i = 0; i < 2; i++) {
		struct err e = { 0 };
		struct buf text;
		json_t *json;

		buf_init(&text, 1 << 30);
		from.base = i ? made[0] : NULL;
		if (config_write(c, had, &text) != RC_OK ||
		    json_read(&json, buf_slice(&text), &e) != RC_OK ||
		    config_next(&made[i], json, &from, &e) != RC_OK ||
		    config_ingress_count(made[i]) != config_ingress_count(c))
			abort();
		json_decref(json);
		buf_free(&text);
		had = c;
	}
	config_unref(&made[0]);
	config_unref(&made[1]);
}

static void judge(const json_t *snapshot)
{
	struct policy_facts f = { .recipient = slice_str("a@b.example"), .tls = POLICY_TLS_1_2 };
	struct config *c;
	struct err e = { 0 };

	if (config_new(&c, snapshot, &e) != RC_OK) {
		if (c || !e.text[0])
			abort();
		return;
	}
	for (size_t i = 0; i < config_ingress_count(c); i++) {
		const struct ingress_point *p = config_ingress_at(c, i);

		(void)policy_decide(p->policy, &f, NULL);
		judge_rules(p->rules);
	}
	hand_over(c);
	config_unref(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { 0 };
	json_t *file;

	if (json_read(&file, slice_of(data, size), &e) != RC_OK)
		return 0;
	judge(file);
	if (shape_check(&shape_apply_file, file, NULL, SHAPE_STRICT, &e) == RC_OK) {
		make_snapshot(file);
		judge(file);
	} else if (!e.text[0]) {
		abort();
	}
	json_decref(file);
	return 0;
}
