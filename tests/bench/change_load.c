/*
 * tests/bench/change_load.c - what one change of resources costs, in CPU time
 *
 * change_load [MEMBERS]: 40 rule sets of 40 rules, 100 policies, an address list of MEMBERS
 * (100,000) addresses that some of them ask. Prints microseconds of CPU for each of: mmd's part of
 * an update of a policy and of a rule set (storing, compiling, what is handed to mm-smtpd),
 * mm-smtpd's part of it, and both parts for one member more; and the bytes handed over. Disk waits
 * are not in it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "ingest/address_list.h"
#include "ingest/config.h"
#include "ingest/resources.h"
#include "ingest/wire.h"

#define ROUNDS 200

struct load {
	struct db *db;
	struct config *config;
	struct config *child;
	struct address_list *list; /* the child's */
	struct address_set *sent;
	size_t bytes;
};

static int64_t cpu_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* tidy: CPU time, no clock */
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static void or_exit(enum rc rc, const struct err *e)
{
	if (rc == RC_OK)
		return;
	(void)fprintf(stderr, "change_load: %s\n", e->text);
	exit(1);
}

static json_t *conditions(int n, bool listed)
{
	json_t *list = json_array();

	for (int i = 0; i < n; i++)
		json_push(list, json_pack("{s:{s:{s:s},s:s,s:[s,s]}}", "StringExpression",
		                          "Evaluate", "Attribute", "RECIPIENT", "Operator",
		                          "ENDS_WITH", "Values", "@one.example", "@two.example"));
	if (listed)
		json_push(list, json_pack("{s:{s:{s:{s:s,s:[s]}},s:s}}", "BooleanExpression",
		                          "Evaluate", "IsInAddressList", "Attribute", "RECIPIENT",
		                          "AddressLists", "vip", "Operator", "IS_TRUE"));
	return list;
}

static json_t *rules(int salt)
{
	json_t *list = json_array();

	for (int i = 0; i < 40; i++)
		json_push(list,
		          json_pack("{s:o,s:o,s:[{s:{s:s,s:s}},{s:{s:s}}]}", "Name",
		                    json_sprintf("r%d", i), "Conditions",
		                    conditions(3, i % 10 == 0), "Actions", "AddHeader",
		                    "HeaderName", "X-A", "HeaderValue", salt % 2 ? "odd" : "even",
		                    "Archive", "TargetArchive", "corp"));
	return list;
}

static json_t *statements(int salt)
{
	json_t *list = json_array();

	for (int i = 0; i < 10; i++)
		json_push(list, json_pack("{s:s,s:o}", "Action", (i + salt) % 2 ? "ALLOW" : "DENY",
		                          "Conditions", conditions(3, i == 0)));
	return list;
}

static void take(struct load *l, struct apply_result *r)
{
	if (r->made) {
		config_unref(&l->config);
		l->config = config_ref(r->made);
	}
	apply_result_free(r);
}

static void create(struct load *l, enum resource_kind kind, json_t *json)
{
	struct apply_result r = { .base = l->config };
	struct err e = { 0 };

	or_exit(resources_create(l->db, kind, json, &r, &e), &e);
	json_decref(json);
	take(l, &r);
}

static void fill(struct load *l, int members)
{
	json_t *addresses = json_array();

	for (int i = 0; i < members; i++)
		json_push(addresses, json_sprintf("someone.%d@customer%d.example", i, i % 997));
	create(l, RESOURCE_ARCHIVE, json_pack("{s:s}", "ArchiveName", "corp"));
	create(l, RESOURCE_ADDRESS_LIST,
	       json_pack("{s:s,s:o}", "AddressListName", "vip", "Addresses", addresses));
	for (int i = 0; i < 100; i++)
		create(l, RESOURCE_TRAFFIC_POLICY,
		       json_pack("{s:o,s:s,s:o}", "TrafficPolicyName", json_sprintf("policy%d", i),
		                 "DefaultAction", "DENY", "PolicyStatements", statements(i)));
	for (int i = 0; i < 40; i++)
		create(l, RESOURCE_RULE_SET,
		       json_pack("{s:o,s:o}", "RuleSetName", json_sprintf("rules%d", i), "Rules",
		                 rules(i)));
	for (int i = 0; i < 10; i++)
		create(l, RESOURCE_INGRESS_POINT,
		       json_pack("{s:o,s:s,s:o,s:o,s:o}", "IngressPointName",
		                 json_sprintf("point%d", i), "Type", "OPEN", "Listen",
		                 json_sprintf("127.0.0.1:%d", 2600 + i), "TrafficPolicyName",
		                 json_sprintf("policy%d", i), "RuleSetName",
		                 json_sprintf("rules%d", i)));
}

static struct address_list *child_list(void *arg, struct slice id)
{
	struct load *l = arg;

	(void)id;
	return l->list;
}

/* mmd writes it, the child reads it. */
static int64_t hand_over(struct load *l, const struct config *had, int64_t *mmd_us)
{
	struct config_source from = { .base = l->child, .list = child_list, .arg = l };
	struct config *next;
	struct buf text;
	struct err e = { 0 };
	json_t *json;
	int64_t begin = cpu_us();

	buf_init(&text, WIRE_CONFIG_MAX);
	or_exit(config_write(l->config, had, &text), &e);
	*mmd_us += cpu_us() - begin;
	l->bytes = text.len;
	begin = cpu_us();
	or_exit(json_read(&json, buf_slice(&text), &e), &e);
	or_exit(config_next(&next, json, &from, &e), &e);
	json_decref(json);
	config_unref(&l->child);
	l->child = next;
	begin = cpu_us() - begin;
	buf_free(&text);
	return begin;
}

static void update(struct load *l, enum resource_kind kind, const char *what)
{
	int64_t mmd_us = 0;
	int64_t child_us = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct config *had = config_ref(l->config);
		struct apply_result r = { .base = l->config };
		struct err e = { 0 };
		char name[32];
		json_t *json =
		        kind == RESOURCE_RULE_SET
		                ? json_pack("{s:o}", "Rules", rules(i / 10 + 1))
		                : json_pack("{s:o}", "PolicyStatements", statements(i / 10 + 1));
		int64_t begin = cpu_us();

		(void)snprintf(name, sizeof(name),
		               kind == RESOURCE_RULE_SET ? "rules%d" : "policy%d", i % 10);
		or_exit(resources_update(l->db, kind, slice_str(name), json, &r, &e), &e);
		take(l, &r);
		mmd_us += cpu_us() - begin;
		json_decref(json);
		child_us += hand_over(l, had, &mmd_us);
		config_unref(&had);
	}
	(void)printf("%s: mmd %lld us, mm-smtpd %lld us, %zu bytes handed over\n", what,
	             (long long)mmd_us / ROUNDS, (long long)child_us / ROUNDS, l->bytes);
}

static void differs(void *arg, bool added, struct slice form)
{
	struct address_set *set = arg;

	if (added)
		address_set_add(set, form);
	else
		address_set_remove(set, form);
}

static void join(struct load *l)
{
	struct address_list *list = config_address_list(l->config, slice_str("vip"));
	int64_t mmd_us = 0;
	int64_t child_us = 0;

	for (int i = 0; i < ROUNDS; i++) {
		json_t *one = json_pack("[o]", json_sprintf("new%d@b.example", i));
		struct apply_result r = { .base = l->config };
		struct address_set *now;
		struct address_set *set;
		struct err e = { 0 };
		int64_t begin = cpu_us();

		or_exit(resources_register(l->db, slice_str("vip"), one, &r, &e), &e);
		take(l, &r);
		mmd_us += cpu_us() - begin;
		begin = cpu_us();
		now = address_list_set(list);
		set = address_set_copy(l->sent);
		address_set_compare(l->sent, now, differs, set);
		address_set_unref(&set);
		address_set_unref(&l->sent);
		l->sent = now;
		child_us += cpu_us() - begin;
		json_decref(one);
	}
	(void)printf("a member more: mmd %lld us; finding, handing over and adding it in mm-smtpd "
	             "%lld us\n",
	             (long long)mmd_us / ROUNDS, (long long)child_us / ROUNDS);
}

int main(int argc, char **argv)
{
	static const uint8_t key[KEY_BYTES] = { 1 };
	int members = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 100000;
	char dir[] = "/tmp/mm-change-load-XXXXXX";
	struct load l = { 0 };
	struct err e = { 0 };
	int64_t begin;
	int64_t unused = 0;
	char *path;

	clock_init();
	MUST(mkdtemp(dir));
	path = path_join(dir, "control.db");
	or_exit(db_open(&l.db, path, key, DB_CREATE, &e), &e);
	or_exit(resources_open(l.db, &e), &e);
	or_exit(resources_compile(l.db, NULL, &l.config, &e), &e);
	fill(&l, members);
	config_unref(&l.config);
	begin = cpu_us();
	or_exit(resources_compile(l.db, NULL, &l.config, &e), &e);
	(void)printf("all of it compiled: %lld us\n", (long long)(cpu_us() - begin));
	l.list = config_address_list(l.config, slice_str("vip"));
	l.sent = address_list_set(l.list);
	begin = hand_over(&l, NULL, &unused);
	(void)printf("all of it to a new mm-smtpd: mmd %lld us, mm-smtpd %lld us, %zu bytes\n",
	             (long long)unused, (long long)begin, l.bytes);
	update(&l, RESOURCE_TRAFFIC_POLICY, "a policy");
	update(&l, RESOURCE_RULE_SET, "a rule set");
	join(&l);
	address_set_unref(&l.sent);
	config_unref(&l.child);
	config_unref(&l.config);
	db_close(&l.db);
	or_exit(db_remove(path, &e), &e);
	(void)rmdir(dir);
	free(path);
	return 0;
}
