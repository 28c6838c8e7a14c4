/*
 * tests/bench/rule_cost.c - what it costs to judge a message, in CPU time
 *
 * rule_cost LIST RUNS: parses the messages whose paths are the lines of LIST (not measured), then
 * judges each by 40 rules of 10 conditions of every family, which all have to be judged for most
 * mail: five in Conditions that hold and five in Unless that don't. Prints a JSON object: messages,
 * conditions (judged in one run, counted by a trace), ns (a condition, of each run), us (a message,
 * of each run), and of the worst text there is (CONTAINS of a 4,096-byte value that nearly matches
 * everywhere, in a subject of 64, 128 and 256 KiB) the ns a byte of text: the same for all, as
 * matching is linear.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "base/json.h"
#include "ingest/document.h"
#include "ingest/parse.h"
#include "ingest/rules.h"

#define RULES  40
#define BATCH  64
#define WORST  4096
#define REPEAT 20

struct load {
	struct parsed *mail;
	uint64_t *bytes;
	size_t count;
	struct address_list *list;
	uint64_t conditions;
};

static int64_t cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* tidy: CPU time, no clock */
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void or_exit(enum rc rc, const struct err *e)
{
	if (rc == RC_OK)
		return;
	(void)fprintf(stderr, "rule_cost: %s\n", e->text);
	exit(1);
}

/* ---- the mail ---- */

static void parse_batch(struct load *l, struct parse_pool *pool, struct buf *raw, size_t n)
{
	struct parse_job jobs[BATCH] = { 0 };
	struct err e = { 0 };

	for (size_t i = 0; i < n; i++)
		jobs[i].raw = buf_slice(&raw[i]);
	or_exit(parse_begin(pool, jobs, n, &e), &e);
	or_exit(parse_wait(pool, &e), &e);
	l->mail = mem_resize(l->mail, (l->count + n) * sizeof(*l->mail));
	l->bytes = mem_resize(l->bytes, (l->count + n) * sizeof(*l->bytes));
	for (size_t i = 0; i < n; i++) {
		l->bytes[l->count] = raw[i].len;
		l->mail[l->count++] = jobs[i].parsed;
		buf_free(&raw[i]);
	}
}

static void read_mail(struct load *l, const char *list)
{
	struct buf raw[BATCH];
	struct parse_pool *pool;
	struct err e = { 0 };
	struct slice rest;
	struct buf names;
	size_t n = 0;

	buf_init(&names, 64u << 20);
	or_exit(file_read_all(list, &names, &e), &e);
	or_exit(parse_pool_new(&pool, 2, NULL, &e), &e);
	rest = buf_slice(&names);
	while (rest.len) {
		char *path = slice_string(slice_cut(rest, '\n', &rest));

		buf_init(&raw[n], 64u << 20);
		or_exit(file_read_all(path, &raw[n++], &e), &e);
		free(path);
		if (n == BATCH || rest.len == 0) {
			parse_batch(l, pool, raw, n);
			n = 0;
		}
	}
	parse_pool_free(&pool);
	buf_free(&names);
}

/* ---- the rules ---- */

static json_t *texts(const char *about, const char *name, const char *op, int rule)
{
	json_t *values = json_array();
	char text[64];

	for (int i = 0; i < 10; i++) {
		(void)snprintf(text, sizeof(text), "word%d%d@rare.example", rule, i);
		json_push(values, json_string(text));
	}
	return json_pack("{s:{s:{s:s},s:s,s:o}}", "StringExpression", "Evaluate", about, name,
	                 "Operator", op, "Values", values);
}

static json_t *rule_of(int rule)
{
	json_t *yes = json_array();
	json_t *unless = json_array();

	json_push(yes, texts("Attribute", "SUBJECT", "NOT_EQUALS", rule));
	json_push(yes, texts("Attribute", "FROM", "NOT_EQUALS", rule));
	json_push(yes,
	          json_pack("{s:{s:{s:s},s:s,s:f}}", "NumberExpression", "Evaluate", "Attribute",
	                    "MESSAGE_SIZE", "Operator", "GREATER_THAN", "Value", 1.0));
	json_push(yes, json_pack("{s:{s:{s:s},s:s,s:[s,s]}}", "IpExpression", "Evaluate",
	                         "Attribute", "SOURCE_IP", "Operator", "NOT_CIDR_MATCHES", "Values",
	                         "10.0.0.0/8", "2001:db8::/32"));
	json_push(yes, json_pack("{s:{s:{s:s},s:s,s:[s]}}", "VerdictExpression", "Evaluate",
	                         "Attribute", "SPF", "Operator", "NOT_EQUALS", "Values", "FAIL"));
	json_push(unless, texts("Attribute", "SUBJECT", "CONTAINS", rule));
	json_push(unless, texts("Attribute", "TO", "ENDS_WITH", rule));
	json_push(unless, texts("MimeHeaderAttribute", "X-Mailer", "CONTAINS", rule));
	json_push(unless, json_pack("{s:{s:{s:{s:s,s:[s]}},s:s}}", "BooleanExpression", "Evaluate",
	                            "IsInAddressList", "Attribute", "FROM", "AddressLists", "list",
	                            "Operator", "IS_TRUE"));
	json_push(unless, json_pack("{s:{s:s,s:[s,s]}}", "DmarcExpression", "Operator", "EQUALS",
	                            "Values", "QUARANTINE", "REJECT"));
	return json_pack("{s:o,s:o,s:[{s:{s:s}}]}", "Conditions", yes, "Unless", unless, "Actions",
	                 "Archive", "TargetArchive", "one");
}

static struct address_list *find_list(void *arg, struct slice reference)
{
	(void)reference;
	return arg;
}

static uint32_t find_archive(void *arg, struct slice reference)
{
	(void)arg;
	(void)reference;
	return 1;
}

static struct rule_set *compile(struct load *l, json_t *rules)
{
	struct rule_lookup look = { .list = find_list, .archive = find_archive, .arg = l->list };
	json_t *json = json_pack("{s:s,s:o}", "RuleSetName", "bench", "Rules", rules);
	struct rule_set *rs;
	struct err e = { 0 };

	or_exit(rule_set_new(&rs, json, &look, &e), &e);
	json_decref(json);
	return rs;
}

static struct rule_set *all_rules(struct load *l)
{
	json_t *rules = json_array();

	for (int i = 0; i < RULES; i++)
		json_push(rules, rule_of(i));
	return compile(l, rules);
}

/* ---- judging ---- */

static void count_step(void *arg, const struct rule_step *s)
{
	*(uint64_t *)arg += s->condition >= 0;
}

static void judge(const struct rule_set *rs, const struct rule_facts *facts, uint64_t *conditions)
{
	struct slice to = slice_str("sales@corp.example");
	struct rule_trace trace = { count_step, conditions, NULL, NULL };
	struct rule_outcome o;
	struct err e = { 0 };

	or_exit(rules_run(rs, facts, &to, 1, &o, conditions ? &trace : NULL, &e), &e);
	rule_outcome_free(&o);
}

/* Everything that the pipeline does for it: facts and run. */
static int64_t judge_all(struct load *l, const struct rule_set *rs, uint64_t *conditions)
{
	int64_t began = cpu_ns();

	for (size_t i = 0; i < l->count; i++) {
		struct rule_facts f = { .bytes = l->bytes[i],
			                .mail_from = slice_str("ann@shop.example"),
			                .helo = slice_str("mx.shop.example"),
			                .spf = RULE_PASS,
			                .dmarc = RULE_DMARC_NONE };

		(void)ip_parse(&f.peer, slice_str("192.0.2.1"));
		document_facts(&f, &l->mail[i]);
		judge(rs, &f, conditions);
		document_facts_free(&f);
	}
	return cpu_ns() - began;
}

/* "aaa...b" in "aaaa...". */
static json_t *worst_ns(struct load *l)
{
	static uint8_t text[256 * 1024];
	char value[WORST + 1];
	json_t *list = json_array();
	struct rule_set *rs;

	memset(value, 'a', WORST);
	value[WORST - 1] = 'b';
	value[WORST] = '\0';
	memset(text, 'a', sizeof(text));
	rs = compile(l, json_pack("[{s:[{s:{s:{s:s},s:s,s:[s]}}],s:[{s:{}}]}]", "Conditions",
	                          "StringExpression", "Evaluate", "Attribute", "SUBJECT",
	                          "Operator", "CONTAINS", "Values", value, "Actions", "Drop"));
	for (size_t n = sizeof(text) / 4; n <= sizeof(text); n *= 2) {
		struct slice subject = slice_of(text, n);
		struct rule_facts f = { .bytes = n };
		int64_t began = cpu_ns();

		f.fields[RULE_SUBJECT] = (struct rule_field) { NULL, 0, &subject, 1 };
		for (int i = 0; i < REPEAT; i++)
			judge(rs, &f, NULL);
		json_push(list, json_real((double)(cpu_ns() - began) / REPEAT / (double)n));
	}
	rule_set_free(&rs);
	return list;
}

int main(int argc, char **argv)
{
	struct load l = { 0 };
	json_t *ns = json_array();
	json_t *us = json_array();
	json_t *names = json_pack("[s,s]", "boss@corp.example", "*.vip.example");
	struct rule_set *rs;
	struct err e = { 0 };
	uint64_t runs;

	if (argc != 3 || !slice_to_u64(slice_str(argv[2]), &runs)) {
		(void)fprintf(stderr, "usage: rule_cost LIST RUNS\n");
		return 2;
	}
	or_exit(address_list_new(&l.list, names, &e), &e);
	json_decref(names);
	read_mail(&l, argv[1]);
	rs = all_rules(&l);
	(void)judge_all(&l, rs, &l.conditions); /* counts, and warms up */
	for (uint64_t i = 0; i < runs; i++) {
		double spent = (double)judge_all(&l, rs, NULL);

		json_push(ns, json_real(spent / (double)MAX_OF(l.conditions, (uint64_t)1)));
		json_push(us, json_real(spent / 1000 / (double)MAX_OF(l.count, (size_t)1)));
	}
	json_t *out =
	        json_pack("{s:I,s:I,s:o,s:o,s:o}", "messages", (json_int_t)l.count, "conditions",
	                  (json_int_t)l.conditions, "ns", ns, "us", us, "worst", worst_ns(&l));

	(void)json_dumpf(out, stdout, JSON_COMPACT);
	(void)printf("\n");
	json_decref(out);
	rule_set_free(&rs);
	address_list_unref(&l.list);
	for (size_t i = 0; i < l.count; i++)
		parsed_free(&l.mail[i]);
	free(l.mail);
	free(l.bytes);
	return 0;
}
