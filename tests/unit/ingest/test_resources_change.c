/* tests/unit/ingest/test_resources_change.c - single changes of resources, tags, tokens, members */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/file.h"
#include "ingest/address_list.h"
#include "ingest/config.h"
#include "ingest/members.h"
#include "ingest/resources.h"
#include "ingest/tags.h"
#include "ingest/tokens.h"
#include "tests/unit/fault.h"
#include "tests/unit/ingest/quoted.h"

struct fixture {
	char dir[32];
	char *path;
	struct db *db;
	struct config *config;
	struct apply_result r;
	struct err e;
	unsigned hooks; /* how often the hook was called */
	bool refuse;    /* what it says */
};

static char clock_path[] = "/tmp/mm-change-clock-XXXXXX";

static int set_clock(int64_t offset_ms)
{
	char text[24];
	struct file *f = NULL;
	struct err e = { 0 };

	(void)snprintf(text, sizeof(text), "%020lld\n", (long long)offset_ms);
	EXPECT_OK(file_open(&f, clock_path, FILE_WRITE, &e), &e);
	EXPECT_OK(file_write_at(f, slice_str(text), 0, &e), &e);
	file_close(&f);
	return 0;
}

static int make_clock(void **state)
{
	int fd = mkstemp(clock_path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	setenv("MM_TEST_CLOCK", clock_path, 1);
	return set_clock(0);
}

static int remove_clock(void **state)
{
	(void)state;
	return unlink(clock_path);
}

static enum rc hook(void *arg, const struct apply_result *r, struct config *c, struct err *e)
{
	struct fixture *f = arg;

	(void)r;
	(void)c;
	f->hooks++;
	return f->refuse ? err_set(e, RC_DENIED, "no") : RC_OK;
}

static const uint8_t key[KEY_BYTES] = { 7 };

static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));

	memcpy(f->dir, "/tmp/mm-change-XXXXXX", 22);
	assert_non_null(mkdtemp(f->dir));
	f->path = path_join(f->dir, "control.db");
	(void)set_clock(0);
	EXPECT_OK(db_open(&f->db, f->path, key, DB_CREATE, &f->e), &f->e);
	EXPECT_OK(resources_open(f->db, &f->e), &f->e);
	EXPECT_OK(resources_compile(f->db, NULL, &f->config, &f->e), &f->e);
	f->r.before_commit = hook;
	f->r.arg = f;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	apply_result_free(&f->r);
	config_unref(&f->config);
	db_close(&f->db);
	EXPECT_OK(db_remove(f->path, &f->e), &f->e);
	assert_int_equal(rmdir(f->dir), 0);
	free(f->path);
	free(f);
	return 0;
}

/* Works with the configuration that a change made, as mmd does. */
static void adopt(struct fixture *f)
{
	if (!f->r.made)
		return;
	config_unref(&f->config);
	f->config = config_ref(f->r.made);
}

static void begin(struct fixture *f)
{
	apply_result_free(&f->r);
	f->r.base = f->config;
	f->e = (struct err) { 0 };
}

static enum rc create(struct fixture *f, enum resource_kind kind, const char *text)
{
	json_t *json = quoted(text);
	enum rc rc;

	begin(f);
	rc = resources_create(f->db, kind, json, &f->r, &f->e);
	json_decref(json);
	if (rc == RC_OK)
		adopt(f);
	return rc;
}

static const char *made(struct fixture *f, enum resource_kind kind, const char *text)
{
	enum rc rc = create(f, kind, text);

	if (rc != RC_OK)
		fail_msg("%s: %s: %s", text, rc_name(rc), f->e.text);
	return f->r.changes[0].id;
}

static enum rc update(struct fixture *f, enum resource_kind kind, const char *ref, const char *text)
{
	json_t *json = quoted(text);
	enum rc rc;

	begin(f);
	rc = resources_update(f->db, kind, slice_str(ref), json, &f->r, &f->e);
	json_decref(json);
	if (rc == RC_OK)
		adopt(f);
	return rc;
}

static enum rc drop(struct fixture *f, enum resource_kind kind, const char *ref)
{
	enum rc rc;

	begin(f);
	rc = resources_delete(f->db, kind, slice_str(ref), &f->r, &f->e);
	if (rc == RC_OK)
		adopt(f);
	return rc;
}

static json_t *got(struct fixture *f, enum resource_kind kind, const char *ref)
{
	json_t *json = NULL;

	EXPECT_OK(resources_get(f->db, kind, slice_str(ref), &json, &f->e), &f->e);
	return json;
}

static void expect_rc(struct fixture *f, enum rc rc, enum rc want, const char *text)
{
	if (rc != want || !strstr(f->e.text, text))
		fail_msg("%s: \"%s\" instead of %s: \"%s\"", rc_name(rc), f->e.text, rc_name(want),
		         text);
}

#define POLICY "{'TrafficPolicyName':'open','DefaultAction':'ALLOW','PolicyStatements':[]}"
#define RULES  "{'RuleSetName':'all','Rules':[{'Name':'d','Actions':[{'Drop':{}}]}]}"
#define POINT                                                                                      \
	"{'IngressPointName':'inbound','Type':'OPEN','TlsPolicy':'OPTIONAL','Listen':"             \
	"'127.0.0.1:2525','TrafficPolicyName':'open','RuleSetName':'all'}"
#define ADDRESS "{'IsInAddressList':{'Attribute':'RECIPIENT','AddressLists':['vip']}}"
#define LISTING                                                                                    \
	"{'TrafficPolicyName':'listed','DefaultAction':'DENY','PolicyStatements':[{'Action':"      \
	"'ALLOW','Conditions':[{'BooleanExpression':{'Evaluate':" ADDRESS                          \
	",'Operator':'IS_TRUE'}}]}]}"

/* ---- create, update, delete ---- */

static void test_create(void **state)
{
	struct fixture *f = *state;
	json_t *json;
	char id[RESOURCE_ID_ROOM];

	(void)snprintf(id, sizeof(id), "%s", made(f, RESOURCE_RULE_SET, RULES));
	assert_int_equal(strncmp(id, "rs-", 3), 0);
	assert_int_equal(f->hooks, 1);
	assert_true(config_has(f->config, "RuleSets", slice_str(id), 1));
	json = got(f, RESOURCE_RULE_SET, id);
	EXPECT_SLICE("name", json_member_text(json, "RuleSetName"), "all");
	json_decref(json);
	expect_rc(f, create(f, RESOURCE_RULE_SET, RULES), RC_EXISTS,
	          "RuleSetName: the name is taken");
	expect_rc(f, create(f, RESOURCE_RULE_SET, "{'RuleSetName':'x'}"), RC_INVALID,
	          "Rules: Member must not be null");
	expect_rc(f, create(f, RESOURCE_INGRESS_POINT, POINT), RC_INVALID,
	          "TrafficPolicyName: none of");
	(void)made(f, RESOURCE_TRAFFIC_POLICY, POLICY);
	(void)made(f, RESOURCE_INGRESS_POINT, POINT);
	assert_int_equal(config_ingress_count(f->config), 1);
	f->refuse = true;
	expect_rc(f, create(f, RESOURCE_RULE_SET, "{'RuleSetName':'other','Rules':[]}"), RC_DENIED,
	          "no");
	f->refuse = false;
	assert_int_equal(resources_get(f->db, RESOURCE_RULE_SET, slice_str("other"), &json, &f->e),
	                 RC_NOTFOUND);
}

static void test_update(void **state)
{
	struct fixture *f = *state;
	json_t *json;
	char id[RESOURCE_ID_ROOM];

	(void)made(f, RESOURCE_RULE_SET, RULES);
	(void)made(f, RESOURCE_TRAFFIC_POLICY, POLICY);
	(void)snprintf(id, sizeof(id), "%s", made(f, RESOURCE_INGRESS_POINT, POINT));
	/* One member alone, the others stay. */
	EXPECT_OK(update(f, RESOURCE_INGRESS_POINT, id, "{'Status':'CLOSED'}"), &f->e);
	assert_true(config_ingress_at(f->config, 0)->closed);
	assert_int_equal(config_ingress_at(f->config, 0)->port, 2525);
	assert_int_equal(f->r.changes[0].version, 2);
	EXPECT_OK(update(f, RESOURCE_INGRESS_POINT, id, "{'Status':'CLOSED'}"), &f->e);
	assert_int_equal(f->r.unchanged, 1);
	expect_rc(f, update(f, RESOURCE_INGRESS_POINT, id, "{'Type':'AUTH'}"), RC_INVALID,
	          "Type: can't be changed");
	/* Lists are replaced whole. */
	EXPECT_OK(update(f, RESOURCE_RULE_SET, "all", "{'Rules':[]}"), &f->e);
	assert_int_equal(rule_set_rules(config_ingress_at(f->config, 0)->rules), 0);
	assert_int_equal(config_ingress_at(f->config, 0)->rule_set_version, 2);
	EXPECT_OK(update(f, RESOURCE_RULE_SET, "all", "{'RuleSetName':'renamed'}"), &f->e);
	json = got(f, RESOURCE_RULE_SET, "renamed");
	assert_int_equal(json_member_int(json, "Version", 0), 3);
	json_decref(json);
	(void)made(f, RESOURCE_RULE_SET, RULES);
	expect_rc(f, update(f, RESOURCE_RULE_SET, "all", "{'RuleSetName':'renamed'}"), RC_EXISTS,
	          "the name is taken");
	/* By name what was an id. */
	EXPECT_OK(update(f, RESOURCE_INGRESS_POINT, id, "{'RuleSetName':'all'}"), &f->e);
	assert_string_equal(rule_set_name(config_ingress_at(f->config, 0)->rules), "all");
	expect_rc(f, update(f, RESOURCE_RULE_SET, "rs-none", "{'Rules':[]}"), RC_NOTFOUND,
	          "none of the RuleSets");
	expect_rc(f,
	          update(f, RESOURCE_RULE_SET, "all",
	                 "{'Rules':[{'Actions':[{'Archive':{"
	                 "'TargetArchive':'nope'}}]}]}"),
	          RC_INVALID, "Rules[0].Actions[0].Archive.TargetArchive");
}

static void test_delete(void **state)
{
	struct fixture *f = *state;
	char id[RESOURCE_ID_ROOM];
	int64_t generation;
	json_t *json = NULL;

	(void)snprintf(id, sizeof(id), "%s", made(f, RESOURCE_RULE_SET, RULES));
	(void)made(f, RESOURCE_TRAFFIC_POLICY, POLICY);
	(void)made(f, RESOURCE_INGRESS_POINT, POINT);
	expect_rc(f, drop(f, RESOURCE_RULE_SET, id), RC_EXISTS,
	          "it is in use by \"inbound\" of the IngressPoints");
	expect_rc(f, drop(f, RESOURCE_TRAFFIC_POLICY, "open"), RC_EXISTS, "in use by");
	EXPECT_OK(drop(f, RESOURCE_INGRESS_POINT, "inbound"), &f->e);
	generation = config_generation(f->config);
	EXPECT_OK(drop(f, RESOURCE_RULE_SET, id), &f->e);
	assert_true(config_generation(f->config) > generation);
	assert_int_equal(f->r.deleted, 1);
	expect_rc(f, drop(f, RESOURCE_RULE_SET, id), RC_NOTFOUND, "none of the RuleSets");
	/* Mail that was accepted before is judged by it. */
	EXPECT_OK(resources_version(f->db, RESOURCE_RULE_SET, slice_str(id), 1, &json, &f->e),
	          &f->e);
	json_decref(json);
	assert_int_equal(
	        resources_version(f->db, RESOURCE_RULE_SET, slice_str(id), 2, &json, &f->e),
	        RC_NOTFOUND);
	/* The name is free; the id isn't used again. */
	assert_string_not_equal(made(f, RESOURCE_RULE_SET, RULES), id);
}

static void test_relays_and_addons(void **state)
{
	struct fixture *f = *state;
	char id[RESOURCE_ID_ROOM];
	char text[200];
	json_t *json;

	(void)made(f, RESOURCE_RELAY,
	           "{'RelayName':'out','ServerName':'mx.example','ServerPort':25,'Authentication':"
	           "{'NoAuthentication':{}}}");
	EXPECT_OK(update(f, RESOURCE_RELAY, "out",
	                 "{'Authentication':{'SecretArn':'arn:aws:secretsmanager:eu-west-1:"
	                 "123456789012:secret:s'}}"),
	          &f->e);
	json = got(f, RESOURCE_RELAY, "out");
	assert_int_equal(json_object_size(json_member_object(json, "Authentication")), 1);
	assert_int_equal(json_member_int(json, "ServerPort", 0), 25);
	json_decref(json);
	(void)snprintf(id, sizeof(id), "%s",
	               made(f, RESOURCE_ADDON_SUBSCRIPTION, "{'AddonName':'SPAMHAUS_DBL'}"));
	expect_rc(f, create(f, RESOURCE_ADDON_SUBSCRIPTION, "{'AddonName':'SPAMHAUS_DBL'}"),
	          RC_EXISTS, "the name is taken");
	(void)snprintf(text, sizeof(text), "{'AddonSubscriptionId':'%s'}", id);
	(void)made(f, RESOURCE_ADDON_INSTANCE, text);
	expect_rc(f, create(f, RESOURCE_ADDON_INSTANCE, text), RC_EXISTS,
	          "has an instance already");
	expect_rc(f, create(f, RESOURCE_ADDON_INSTANCE, "{}"), RC_INVALID, "must not be null");
	expect_rc(f, drop(f, RESOURCE_ADDON_SUBSCRIPTION, id), RC_EXISTS, "in use by \"ai-");
	EXPECT_OK(drop(f, RESOURCE_ADDON_INSTANCE, id),
	          &f->e); /* its name is the subscription's id */
	EXPECT_OK(drop(f, RESOURCE_ADDON_SUBSCRIPTION, id), &f->e);
	EXPECT_OK(drop(f, RESOURCE_RELAY, "out"), &f->e);
}

#define ASKS(ref)                                                                                  \
	"{'RuleSetName':'asks','Rules':[{'Conditions':[{'VerdictExpression':{'Evaluate':{"         \
	"'Analysis':{'Analyzer':'" ref "','ResultField':'addon.verdict'}},'Operator':'EQUALS',"    \
	"'Values':['FAIL']}}],'Actions':[{'Drop':{}}]}]}"

static const char *analyzer_of(const json_t *rule_set)
{
	const json_t *rule = json_array_get(json_member_array(rule_set, "Rules"), 0);
	const json_t *condition = json_array_get(json_member_array(rule, "Conditions"), 0);
	const json_t *x = json_object_get(condition, "VerdictExpression");
	const json_t *left = json_object_get(x, "Evaluate");

	return json_string_value(json_object_get(json_object_get(left, "Analysis"), "Analyzer"));
}

#define POLICY_ASKS(ref)                                                                           \
	"{'TrafficPolicyName':'asks','DefaultAction':'ALLOW','PolicyStatements':[{'Action':"       \
	"'DENY','Conditions':[{'BooleanExpression':{'Evaluate':{'Analysis':{'Analyzer':'" ref      \
	"','ResultField':'addon.is listed'}},'Operator':'IS_TRUE'}}]}]}"

/* A policy, too; what it asks can't be deleted, and the front can compile it. */
static void test_policies_of_addons(void **state)
{
	struct fixture *f = *state;
	char instance[RESOURCE_ID_ROOM];
	char policy[RESOURCE_ID_ROOM];
	const char *const *ids;
	struct config *c;
	struct config *front;
	struct buf text;
	json_t *json;

	expect_rc(f, create(f, RESOURCE_TRAFFIC_POLICY, POLICY_ASKS("SPAMHAUS_DBL")), RC_INVALID,
	          "PolicyStatements[0].Conditions[0].BooleanExpression.Evaluate.Analysis.Analyzer: "
	          "none of the AddonInstances is named or has the id \"SPAMHAUS_DBL\"");
	(void)made(f, RESOURCE_ADDON_SUBSCRIPTION, "{'AddonName':'SPAMHAUS_DBL'}");
	(void)snprintf(instance, sizeof(instance), "%s",
	               made(f, RESOURCE_ADDON_INSTANCE, "{'AddonName':'SPAMHAUS_DBL'}"));
	(void)snprintf(policy, sizeof(policy), "%s",
	               made(f, RESOURCE_TRAFFIC_POLICY, POLICY_ASKS("SPAMHAUS_DBL")));
	expect_rc(f, drop(f, RESOURCE_ADDON_INSTANCE, instance), RC_EXISTS,
	          "in use by \"asks\" of the TrafficPolicies");
	EXPECT_OK(resources_compile(f->db, NULL, &c, &f->e), &f->e);
	assert_int_equal(config_policy_count(c), 1);
	assert_int_equal(policy_asks(config_policy_at(c, 0), &ids), 1);
	assert_string_equal(ids[0], instance);
	EXPECT_SLICE("add-on", config_addon(c, slice_str(instance)), "SPAMHAUS_DBL");
	assert_int_equal(config_addon(c, slice_str("ai-none")).len, 0);
	buf_init(&text, 1 << 20);
	EXPECT_OK(config_write(c, NULL, &text), &f->e);
	EXPECT_OK(json_read(&json, buf_slice(&text), &f->e), &f->e);
	EXPECT_OK(config_new(&front, json, &f->e), &f->e);
	assert_int_equal(policy_asks(config_policy_at(front, 0), &ids), 1);
	json_decref(json);
	buf_free(&text);
	config_unref(&front);
	config_unref(&c);
	EXPECT_OK(drop(f, RESOURCE_TRAFFIC_POLICY, policy), &f->e);
	EXPECT_OK(drop(f, RESOURCE_ADDON_INSTANCE, instance), &f->e);
}

/* A rule asks an instance that there is, by its id, its ARN or its add-on's name, and holds it. */
static void test_rules_of_addons(void **state)
{
	struct fixture *f = *state;
	char subscription[RESOURCE_ID_ROOM];
	char instance[RESOURCE_ID_ROOM];
	char rules[RESOURCE_ID_ROOM];
	char text[600];
	struct config *c;
	json_t *json;

	expect_rc(f, create(f, RESOURCE_RULE_SET, ASKS("ai-123")), RC_INVALID,
	          "Rules[0].Conditions[0].VerdictExpression.Evaluate.Analysis.Analyzer: none of "
	          "the AddonInstances is named or has the id \"ai-123\"");
	(void)snprintf(subscription, sizeof(subscription), "%s",
	               made(f, RESOURCE_ADDON_SUBSCRIPTION, "{'AddonName':'SPAMHAUS_DBL'}"));
	expect_rc(f, create(f, RESOURCE_RULE_SET, ASKS("SPAMHAUS_DBL")), RC_INVALID,
	          "none of the AddonInstances");
	(void)snprintf(instance, sizeof(instance), "%s",
	               made(f, RESOURCE_ADDON_INSTANCE, "{'AddonName':'SPAMHAUS_DBL'}"));
	(void)snprintf(rules, sizeof(rules), "%s",
	               made(f, RESOURCE_RULE_SET, ASKS("SPAMHAUS_DBL")));
	json = got(f, RESOURCE_RULE_SET, rules);
	assert_string_equal(analyzer_of(json), instance);
	json_decref(json);
	(void)snprintf(text, sizeof(text), "{'Rules':[]}");
	EXPECT_OK(update(f, RESOURCE_RULE_SET, rules, text), &f->e);
	(void)snprintf(text, sizeof(text),
	               ASKS("arn:aws:ses:us-east-1:123456789012:addon-instance/%s"), instance);
	EXPECT_OK(update(f, RESOURCE_RULE_SET, rules, text), &f->e);
	expect_rc(f, drop(f, RESOURCE_ADDON_INSTANCE, instance), RC_EXISTS,
	          "in use by \"asks\" of the RuleSets");
	/* Compiled, also from what the front gets; a dump names the add-on. */
	EXPECT_OK(resources_compile(f->db, NULL, &c, &f->e), &f->e);
	assert_true(config_has(c, "AddonInstances", slice_str(instance), 1));
	config_unref(&c);
	EXPECT_OK(resources_dump(f->db, &json, &f->e), &f->e);
	assert_string_equal(analyzer_of(json_array_get(json_member_array(json, "RuleSets"), 0)),
	                    "SPAMHAUS_DBL");
	json_decref(json);
	EXPECT_OK(drop(f, RESOURCE_RULE_SET, rules), &f->e);
	EXPECT_OK(drop(f, RESOURCE_ADDON_INSTANCE, instance), &f->e);
	/* A version of before can't be compiled any more: what it asked is gone. */
	EXPECT_OK(resources_version(f->db, RESOURCE_RULE_SET, slice_str(rules), 1, &json, &f->e),
	          &f->e);
	EXPECT_OK(resources_compile(f->db, NULL, &c, &f->e), &f->e);
	{
		struct rule_set *rs;

		assert_int_equal(config_compile_rule_set(c, json, &rs, &f->e), RC_NOTFOUND);
		assert_null(rs);
	}
	json_decref(json);
	config_unref(&c);
}

/* A rule set of a file, as it would be stored, and nothing is. */
static void test_rule_set_of_a_file(void **state)
{
	struct fixture *f = *state;
	json_t *given = quoted("{'RuleSetName':'new','Rules':[{'Name':null,'Actions':[{'Archive':{"
	                       "'TargetArchive':'kept'}}]}]}");
	json_t *bad = quoted("{'RuleSetName':'new','Rules':[{'Actions':[{'Archive':{"
	                     "'TargetArchive':'nowhere'}}]}]}");
	struct rule_set *rs;
	struct config *c;
	json_t *made_of;
	json_t *all;
	char archive[RESOURCE_ID_ROOM];

	(void)snprintf(archive, sizeof(archive), "%s",
	               made(f, RESOURCE_ARCHIVE, "{'ArchiveName':'kept'}"));
	EXPECT_OK(resources_rule_set(f->db, given, &made_of, &f->e), &f->e);
	EXPECT_OK(resources_compile(f->db, NULL, &c, &f->e), &f->e);
	EXPECT_OK(config_compile_rule_set(c, made_of, &rs, &f->e), &f->e);
	assert_int_equal(rule_set_version(rs), 0);
	assert_string_equal(rule_set_name(rs), "new");
	rule_set_free(&rs);
	assert_int_equal(resources_rule_set(f->db, bad, &all, &f->e), RC_INVALID);
	assert_null(all);
	assert_non_null(strstr(f->e.text, "Rules[0].Actions[0].Archive.TargetArchive: none of"));
	EXPECT_OK(resources_show(f->db, "rule-sets", NULL, &all, &f->e), &f->e);
	assert_int_equal(json_array_size(json_member_array(all, "RuleSets")), 0);
	json_decref(all);
	json_decref(made_of);
	json_decref(given);
	json_decref(bad);
	config_unref(&c);
}

static void test_passwords(void **state)
{
	struct fixture *f = *state;

	(void)made(f, RESOURCE_RULE_SET, RULES);
	(void)made(f, RESOURCE_TRAFFIC_POLICY, POLICY);
	(void)made(f, RESOURCE_INGRESS_POINT,
	           "{'IngressPointName':'auth','Type':'AUTH','Listen':'127.0.0.1:2526',"
	           "'TrafficPolicyName':'open','RuleSetName':'all',"
	           "'IngressPointConfiguration':{'SmtpPassword':'longenough'}}");
	assert_int_equal(config_ingress_at(f->config, 0)->password_count, 1);
	EXPECT_OK(update(f, RESOURCE_INGRESS_POINT, "auth",
	                 "{'IngressPointConfiguration':{'SmtpPassword':'longenough2'}}"),
	          &f->e);
	assert_int_equal(config_ingress_at(f->config, 0)->password_count, 2);
	assert_int_equal(f->r.updated, 1);
	expect_rc(f,
	          update(f, RESOURCE_INGRESS_POINT, "auth",
	                 "{'IngressPointConfiguration':{'SmtpPassword':'short'}}"),
	          RC_INVALID, "SmtpPassword: ");
	expect_rc(f,
	          create(f, RESOURCE_INGRESS_POINT,
	                 "{'IngressPointName':'open','Type':'OPEN','Listen':'127.0.0.1:2527',"
	                 "'TrafficPolicyName':'open','RuleSetName':'all',"
	                 "'IngressPointConfiguration':{'SmtpPassword':'longenough'}}"),
	          RC_INVALID, "has no password");
}

static void test_quotas(void **state)
{
	struct fixture *f = *state;
	struct resource_limits limits = { .rule_sets = 2, .archives = 1, .list_members = 2 };
	json_t *three = quoted("['a@b.example','c@d.example','e@f.example']");

	f->r.limits = &limits;
	(void)made(f, RESOURCE_RULE_SET, "{'RuleSetName':'a','Rules':[]}");
	(void)made(f, RESOURCE_RULE_SET, "{'RuleSetName':'b','Rules':[]}");
	expect_rc(f, create(f, RESOURCE_RULE_SET, "{'RuleSetName':'c','Rules':[]}"), RC_LIMIT,
	          "RuleSets: at most 2");
	EXPECT_OK(drop(f, RESOURCE_RULE_SET, "a"), &f->e);
	(void)made(f, RESOURCE_RULE_SET, "{'RuleSetName':'c','Rules':[]}");
	(void)made(f, RESOURCE_ARCHIVE, "{'ArchiveName':'one'}");
	expect_rc(f, create(f, RESOURCE_ARCHIVE, "{'ArchiveName':'two'}"), RC_LIMIT, "at most 1");
	EXPECT_OK(drop(f, RESOURCE_ARCHIVE, "one"), &f->e);
	(void)made(f, RESOURCE_ARCHIVE, "{'ArchiveName':'two'}"); /* of active ones */
	(void)made(f, RESOURCE_ADDRESS_LIST, "{'AddressListName':'vip'}");
	begin(f);
	expect_rc(f, resources_register(f->db, slice_str("vip"), three, &f->r, &f->e), RC_LIMIT,
	          "at most 2 addresses");
	json_decref(three);
}

static void test_pages(void **state)
{
	struct fixture *f = *state;
	struct buf next;
	char text[100];
	json_t *page;

	for (int i = 0; i < 5; i++) {
		(void)snprintf(text, sizeof(text), "{'RuleSetName':'n%d','Rules':[]}", 9 - i);
		(void)made(f, RESOURCE_RULE_SET, text);
	}
	buf_init(&next, 100);
	EXPECT_OK(resources_list(f->db, RESOURCE_RULE_SET, NULL, slice_str(""), 2, &page, &next,
	                         &f->e),
	          &f->e);
	assert_int_equal(json_array_size(page), 2);
	EXPECT_SLICE("first", json_member_text(json_array_get(page, 0), "RuleSetName"), "n9");
	json_decref(page);
	/* What is made and deleted meanwhile shifts nothing: n8, the cursor's, and the last one go.
	 */
	EXPECT_OK(drop(f, RESOURCE_RULE_SET, "n8"), &f->e);
	EXPECT_OK(drop(f, RESOURCE_RULE_SET, "n5"), &f->e);
	(void)made(f, RESOURCE_RULE_SET, "{'RuleSetName':'later','Rules':[]}");
	(void)snprintf(text, sizeof(text), "%s", buf_text(&next));
	buf_clear(&next);
	EXPECT_OK(resources_list(f->db, RESOURCE_RULE_SET, NULL, slice_str(text), 10, &page, &next,
	                         &f->e),
	          &f->e);
	assert_int_equal(next.len, 0);
	assert_int_equal(json_array_size(page), 3);
	EXPECT_SLICE("n7", json_member_text(json_array_get(page, 0), "RuleSetName"), "n7");
	EXPECT_SLICE("later", json_member_text(json_array_get(page, 2), "RuleSetName"), "later");
	json_decref(page);
	assert_int_equal(resources_list(f->db, RESOURCE_RULE_SET, NULL, slice_str("x"), 1, &page,
	                                &next, &f->e),
	                 RC_INVALID);
	buf_free(&next);
}

/* ---- archives ---- */

static void test_archive_life(void **state)
{
	struct fixture *f = *state;
	char id[RESOURCE_ID_ROOM];
	json_t *json;

	(void)snprintf(id, sizeof(id), "%s", made(f, RESOURCE_ARCHIVE, "{'ArchiveName':'corp'}"));
	(void)made(f, RESOURCE_RULE_SET,
	           "{'RuleSetName':'all','Rules':[{'Actions':[{'Archive':{'TargetArchive':'corp'}}]"
	           "}]}");
	EXPECT_OK(drop(f, RESOURCE_ARCHIVE, "corp"), &f->e);
	assert_int_equal(f->r.updated, 1);
	assert_true(config_archive(f->config, slice_str(id))->pending);
	EXPECT_OK(drop(f, RESOURCE_ARCHIVE, "corp"), &f->e);
	assert_int_equal(f->r.unchanged, 1);
	json = got(f, RESOURCE_ARCHIVE, id);
	EXPECT_SLICE("state", json_member_text(json, "ArchiveState"), "PENDING_DELETION");
	json_decref(json);
	json = quoted("[{'Key':'k','Value':'v'}]");
	begin(f);
	expect_rc(f, resources_tag(f->db, RESOURCE_ARCHIVE, slice_str(id), json, &f->r, &f->e),
	          RC_EXISTS, "is being deleted");
	json_decref(json);
	expect_rc(f,
	          update(f, RESOURCE_ARCHIVE, id, "{'Retention':{'RetentionPeriod':'PERMANENT'}}"),
	          RC_EXISTS, "archive \"corp\" is being deleted");
	expect_rc(f, create(f, RESOURCE_ARCHIVE, "{'ArchiveName':'corp'}"), RC_EXISTS, "taken");
	begin(f);
	expect_rc(f, resources_end_archive(f->db, slice_str(id), &f->r, &f->e), RC_DENIED,
	          "isn't to be destroyed yet");
	(void)set_clock(ARCHIVE_PENDING_DAYS * MS_PER_DAY + 1000);
	begin(f);
	EXPECT_OK(resources_end_archive(f->db, slice_str(id), &f->r, &f->e), &f->e);
	adopt(f);
	assert_null(config_archive(f->config, slice_str(id)));
	/* The rule set that aims at it still loads, alone and with all. */
	config_unref(&f->config);
	EXPECT_OK(resources_compile(f->db, NULL, &f->config, &f->e), &f->e);
	EXPECT_OK(update(f, RESOURCE_RULE_SET, "all", "{'RuleSetName':'still'}"), &f->e);
	/* The name is free, the number isn't used again. */
	(void)made(f, RESOURCE_ARCHIVE, "{'ArchiveName':'corp'}");
	assert_int_equal(config_archive(f->config, slice_str("corp"))->number, 2);
}

static void test_retention_weekly(void **state)
{
	struct fixture *f = *state;

	f->r.limits = &resource_limits_aws;
	(void)made(f, RESOURCE_ARCHIVE, "{'ArchiveName':'corp'}");
	EXPECT_OK(
	        update(f, RESOURCE_ARCHIVE, "corp", "{'Retention':{'RetentionPeriod':'ONE_YEAR'}}"),
	        &f->e);
	expect_rc(f,
	          update(f, RESOURCE_ARCHIVE, "corp",
	                 "{'Retention':{'RetentionPeriod':'TWO_YEARS'}}"),
	          RC_LIMIT, "Retention: it was changed less than 7 days ago");
	EXPECT_OK(update(f, RESOURCE_ARCHIVE, "corp", "{'ArchiveName':'corp2'}"), &f->e);
	EXPECT_OK(update(f, RESOURCE_ARCHIVE, "corp2",
	                 "{'Retention':{'RetentionPeriod':'ONE_YEAR'}}"),
	          &f->e); /* as it is */
	expect_rc(f,
	          update(f, RESOURCE_ARCHIVE, "corp2",
	                 "{'Retention':{'RetentionPeriod':'TWO_YEARS'}}"),
	          RC_LIMIT, "7 days");
	(void)set_clock(7 * MS_PER_DAY + 1000);
	EXPECT_OK(update(f, RESOURCE_ARCHIVE, "corp2",
	                 "{'Retention':{'RetentionPeriod':'TWO_YEARS'}}"),
	          &f->e);
	f->r.limits = NULL; /* profile "open" */
	EXPECT_OK(update(f, RESOURCE_ARCHIVE, "corp2",
	                 "{'Retention':{'RetentionPeriod':'ONE_YEAR'}}"),
	          &f->e);
}

/* ---- tags ---- */

static size_t tag_count(struct fixture *f, const char *id)
{
	json_t *tags;
	size_t n;

	EXPECT_OK(tags_list(f->db, slice_str(id), &tags, &f->e), &f->e);
	n = json_array_size(tags);
	json_decref(tags);
	return n;
}

static void test_tags(void **state)
{
	struct fixture *f = *state;
	json_t *more = quoted("[{'Key':'a','Value':'2'},{'Key':'c','Value':''}]");
	json_t *keys = quoted("['a','none']");
	json_t *many = json_array();
	json_t *json;
	char id[RESOURCE_ID_ROOM];
	bool changed = false;

	(void)snprintf(id, sizeof(id), "%s",
	               made(f, RESOURCE_RULE_SET,
	                    "{'RuleSetName':'all','Rules':[],'Tags':[{'Key':'a','Value':'1'}]}"));
	json = got(f, RESOURCE_RULE_SET, id);
	assert_int_equal(json_array_size(json_member_array(json, "Tags")), 1);
	json_decref(json);
	EXPECT_OK(tags_add(f->db, slice_str(id), more, &changed, &f->e), &f->e);
	assert_true(changed);
	changed = false;
	EXPECT_OK(tags_add(f->db, slice_str(id), more, &changed, &f->e), &f->e);
	assert_false(changed);
	assert_int_equal(tag_count(f, id), 2);
	EXPECT_OK(tags_remove(f->db, slice_str(id), keys, &changed, &f->e), &f->e);
	assert_int_equal(tag_count(f, id), 1);
	for (int i = 0; i < TAGS_MOST; i++)
		json_push(many,
		          json_pack("{s:o,s:s}", "Key", json_sprintf("k%d", i), "Value", "v"));
	f->hooks = 0;
	begin(f);
	expect_rc(f, resources_tag(f->db, RESOURCE_RULE_SET, slice_str(id), many, &f->r, &f->e),
	          RC_LIMIT, "at most 200 tags");
	assert_int_equal(tag_count(f, id), 1);
	begin(f);
	EXPECT_OK(resources_tag(f->db, RESOURCE_RULE_SET, slice_str(id), more, &f->r, &f->e),
	          &f->e);
	assert_int_equal(f->hooks, 1);
	assert_null(f->r.made);
	assert_int_equal(tag_count(f, id), 2);
	begin(f);
	expect_rc(f, resources_tag(f->db, RESOURCE_RULE_SET, slice_str(id), keys, &f->r, &f->e),
	          RC_INVALID, "Tags[0]: must be an object");
	begin(f);
	expect_rc(f, resources_tag(f->db, RESOURCE_RELAY, slice_str(id), more, &f->r, &f->e),
	          RC_NOTFOUND, "none of the Relays");
	begin(f);
	EXPECT_OK(resources_untag(f->db, RESOURCE_RULE_SET, slice_str(id), keys, &f->r, &f->e),
	          &f->e);
	assert_int_equal(tag_count(f, id), 1);
	begin(f);
	EXPECT_OK(resources_untag(f->db, RESOURCE_RULE_SET, slice_str(id), keys, &f->r, &f->e),
	          &f->e);
	assert_int_equal(f->r.unchanged, 1);
	assert_int_equal(f->hooks, 2);
	EXPECT_OK(drop(f, RESOURCE_RULE_SET, id), &f->e);
	assert_int_equal(tag_count(f, id), 0);
	json_decref(more);
	json_decref(keys);
	json_decref(many);
}

/* ---- tokens ---- */

static enum rc create_once(struct fixture *f, const char *who, const char *token, const char *name)
{
	json_t *json = json_pack("{s:s,s:[]}", "RuleSetName", name, "Rules");
	struct token t = { slice_str("CreateRuleSet"), slice_str(who), slice_str(token), json };
	enum rc rc;

	begin(f);
	f->r.token = &t;
	rc = resources_create(f->db, RESOURCE_RULE_SET, json, &f->r, &f->e);
	f->r.token = NULL;
	json_decref(json);
	if (rc == RC_OK)
		adopt(f);
	return rc;
}

static void test_tokens(void **state)
{
	struct fixture *f = *state;
	char id[RESOURCE_ID_ROOM];

	EXPECT_OK(create_once(f, "who", "t1", "a"), &f->e);
	(void)snprintf(id, sizeof(id), "%s", f->r.changes[0].id);
	EXPECT_OK(create_once(f, "who", "t1", "a"), &f->e);
	assert_string_equal(f->r.changes[0].id, id);
	assert_int_equal(f->r.created, 0);
	expect_rc(f, create_once(f, "who", "t1", "b"), RC_EXISTS, "other parameters");
	expect_rc(f, create_once(f, "another", "t1", "a"), RC_EXISTS, "the name is taken");
	expect_rc(f, create_once(f, "who", "", "a"), RC_EXISTS, "the name is taken");
	/* What failed keeps no token. */
	EXPECT_OK(create_once(f, "another", "t1", "c"), &f->e);
	(void)set_clock(TOKEN_HOURS * INT64_C(3600000) + 1000);
	expect_rc(f, create_once(f, "who", "t1", "a"), RC_EXISTS, "the name is taken");
	EXPECT_OK(create_once(f, "who", "t1", "d"), &f->e);
}

/* ---- members of address lists ---- */

static enum rc join(struct fixture *f, const char *list, const char *text)
{
	json_t *addresses = quoted(text);
	enum rc rc;

	begin(f);
	rc = resources_register(f->db, slice_str(list), addresses, &f->r, &f->e);
	json_decref(addresses);
	return rc;
}

static enum rc leave(struct fixture *f, const char *list, const char *address)
{
	begin(f);
	return resources_deregister(f->db, slice_str(list), slice_str(address), &f->r, &f->e);
}

static bool covers(struct fixture *f, const char *address)
{
	return address_list_has(config_address_list(f->config, slice_str("vip")),
	                        slice_str(address));
}

static bool allowed(struct fixture *f, const char *address)
{
	struct policy_facts facts = { .recipient = slice_str(address) };

	return policy_decide(config_ingress_at(f->config, 0)->policy, &facts, NULL) == POLICY_ALLOW;
}

static void test_members(void **state)
{
	struct fixture *f = *state;
	char id[RESOURCE_ID_ROOM];
	json_t *json;

	(void)snprintf(id, sizeof(id), "%s",
	               made(f, RESOURCE_ADDRESS_LIST, "{'AddressListName':'vip'}"));
	(void)made(f, RESOURCE_TRAFFIC_POLICY, LISTING);
	(void)made(f, RESOURCE_RULE_SET, RULES);
	(void)made(f, RESOURCE_INGRESS_POINT,
	           "{'IngressPointName':'inbound','Type':'OPEN','Listen':'127.0.0.1:2525',"
	           "'TrafficPolicyName':'listed','RuleSetName':'all'}");
	assert_false(allowed(f, "a@b.example"));
	f->hooks = 0;
	EXPECT_OK(join(f, "vip", "['A@b.example','*@c.example']"), &f->e);
	assert_int_equal(f->hooks, 1);
	assert_int_equal(f->r.changes[0].members_added, 2);
	assert_null(f->r.made); /* policies and rules ask the list as it is now */
	assert_true(allowed(f, "a@B.example"));
	/* Again: success, nothing changes. */
	EXPECT_OK(join(f, "vip", "['a@b.example']"), &f->e);
	assert_int_equal(f->hooks, 1);
	EXPECT_OK(members_get(f->db, slice_str(id), slice_str("a@B.EXAMPLE"), &json, &f->e), &f->e);
	EXPECT_SLICE("as given first", json_member_text(json, "Address"), "A@b.example");
	json_decref(json);
	/* Two members that cover the same: the other one stays. */
	EXPECT_OK(join(f, "vip", "['c.example']"), &f->e);
	EXPECT_OK(leave(f, "vip", "*@C.example"), &f->e);
	assert_true(covers(f, "x@c.example"));
	EXPECT_OK(leave(f, "vip", "c.example"), &f->e);
	assert_false(covers(f, "x@c.example"));
	expect_rc(f, leave(f, "vip", "c.example"), RC_NOTFOUND, "not in the list");
	expect_rc(f, join(f, "vip", "['no address']"), RC_INVALID, "Addresses[0]: ");
	expect_rc(f, join(f, "none", "['a@b.example']"), RC_NOTFOUND, "none of the AddressLists");
	/* Taken back: neither stored nor in use. */
	f->refuse = true;
	expect_rc(f, join(f, "vip", "['y@z.example']"), RC_DENIED, "no");
	f->refuse = false;
	assert_false(covers(f, "y@z.example"));
	assert_int_equal(members_get(f->db, slice_str(id), slice_str("y@z.example"), &json, &f->e),
	                 RC_NOTFOUND);
	expect_rc(f, drop(f, RESOURCE_ADDRESS_LIST, "vip"), RC_EXISTS,
	          "in use by \"listed\" of the TrafficPolicies");
}

static void test_files_and_members(void **state)
{
	struct fixture *f = *state;
	static const char file[] =
	        "{\"AddressLists\":[{\"AddressListName\":\"vip\",\"Addresses\":[\"a@b.example\","
	        "\"new@b.example\"]}]}";
	json_t *json;

	(void)made(f, RESOURCE_ADDRESS_LIST,
	           "{'AddressListName':'vip','Addresses':['a@b.example','old@b.example']}");
	assert_true(covers(f, "old@b.example"));
	begin(f);
	EXPECT_OK(resources_apply(f->db, slice_str(file), &f->r, &f->e), &f->e);
	adopt(f);
	assert_int_equal(f->r.changes[0].members_added, 1);
	assert_int_equal(f->r.changes[0].members_removed, 1);
	assert_int_equal(f->r.changes[0].version, 2);
	assert_true(covers(f, "new@b.example") && !covers(f, "old@b.example"));
	begin(f);
	EXPECT_OK(resources_apply(f->db, slice_str(file), &f->r, &f->e), &f->e);
	assert_int_equal(f->r.unchanged, 1);
	/* What is compiled from the database is the same. */
	config_unref(&f->config);
	EXPECT_OK(resources_compile(f->db, NULL, &f->config, &f->e), &f->e);
	assert_true(covers(f, "new@b.example") && !covers(f, "old@b.example"));
	EXPECT_OK(resources_show(f->db, "address-list", "vip", &json, &f->e), &f->e);
	assert_int_equal(
	        json_array_size(json_member_array(
	                json_array_get(json_member_array(json, "AddressLists"), 0), "Addresses")),
	        2);
	json_decref(json);
}

static void test_member_pages(void **state)
{
	struct fixture *f = *state;
	json_t *all = json_array();
	struct buf next;
	char id[RESOURCE_ID_ROOM];
	char cursor[2000] = "";
	size_t n = 0;

	(void)snprintf(id, sizeof(id), "%s",
	               made(f, RESOURCE_ADDRESS_LIST, "{'AddressListName':'vip'}"));
	for (int i = 0; i < 25; i++)
		json_push(all, json_sprintf("User%02d@b.example", i));
	json_push(all, json_string("other@b.example"));
	begin(f);
	EXPECT_OK(resources_register(f->db, slice_str("vip"), all, &f->r, &f->e), &f->e);
	json_decref(all);
	buf_init(&next, 4000);
	do {
		json_t *page;

		buf_clear(&next);
		EXPECT_OK(members_page(f->db, slice_str(id), slice_str("uSeR"), slice_str(cursor),
		                       10, &page, &next, &f->e),
		          &f->e);
		n += json_array_size(page);
		json_decref(page);
		(void)snprintf(cursor, sizeof(cursor), "%s", buf_text(&next));
		/* Behind us, and the cursor's own. */
		EXPECT_OK(join(f, "vip", "['user00a@b.example']"), &f->e);
		if (n == 10)
			EXPECT_OK(leave(f, "vip", "user09@b.example"), &f->e);
	} while (next.len);
	assert_int_equal(n, 25);
	buf_free(&next);
}

/* A database of before there was a table of members. */
static void test_migration(void **state)
{
	struct fixture *f = *state;
	int64_t versions;

	EXPECT_OK(db_exec(f->db,
	                  "INSERT INTO resource VALUES ('AddressLists', 'al-old', 'vip', 1,"
	                  " '{\"AddressListName\":\"vip\",\"Addresses\":[\"A@b.example\","
	                  "\"a@b.example\",\"c.example\"]}', 5, 5);"
	                  "INSERT INTO resource_version (kind, id, version, json, created_ms)"
	                  " SELECT kind, id, version, json, 5 FROM resource;"
	                  "DROP TABLE address_member; DROP TABLE address_list; DROP TABLE tag;"
	                  "DROP TABLE token;",
	                  &f->e),
	          &f->e);
	EXPECT_OK(resources_open(f->db, &f->e), &f->e);
	EXPECT_OK(resources_open(f->db, &f->e), &f->e);
	config_unref(&f->config);
	EXPECT_OK(resources_compile(f->db, NULL, &f->config, &f->e), &f->e);
	assert_true(covers(f, "a@b.example") && covers(f, "x@c.example"));
	EXPECT_OK(members_count(f->db, slice_str("al-old"), &versions, &f->e), &f->e);
	assert_int_equal(versions, 2);
	EXPECT_OK(db_int(f->db, "SELECT length(json) FROM resource", 0, &versions, &f->e), &f->e);
	assert_int_equal(versions, strlen("{\"AddressListName\":\"vip\"}"));
	begin(f);
	EXPECT_OK(join(f, "vip", "['new@b.example']"), &f->e);
	assert_true(covers(f, "new@b.example"));
}

/* ---- what mm-smtpd gets ---- */

static struct address_list *given(void *arg, struct slice id)
{
	struct fixture *f = arg;

	return config_address_list(f->config, id);
}

/* Made from nothing, then from the differences. */
static void test_hand_over(void **state)
{
	struct fixture *f = *state;
	struct config_source from = { .list = given, .arg = f };
	struct config *had = NULL;
	struct config *child = NULL;
	struct buf text;

	buf_init(&text, 1 << 20);
	(void)made(f, RESOURCE_ADDRESS_LIST,
	           "{'AddressListName':'vip','Addresses':['a@b.example']}");
	(void)made(f, RESOURCE_TRAFFIC_POLICY, LISTING);
	(void)made(f, RESOURCE_TRAFFIC_POLICY, POLICY);
	(void)made(f, RESOURCE_RULE_SET, RULES);
	(void)made(f, RESOURCE_INGRESS_POINT, POINT);
	for (int i = 0; i < 3; i++) {
		json_t *json = NULL;
		struct config *next;

		buf_clear(&text);
		EXPECT_OK(config_write(f->config, had, &text), &f->e);
		EXPECT_OK(json_read(&json, buf_slice(&text), &f->e), &f->e);
		from.base = child;
		EXPECT_OK(config_next(&next, json, &from, &f->e), &f->e);
		json_decref(json);
		config_unref(&child);
		child = next;
		if (i == 1) {
			assert_null(strstr(buf_text(&text), "PolicyStatements"));
			assert_int_equal(config_ingress_at(child, 0)->rule_set_version, 2);
			assert_true(policy_max_bytes(config_ingress_at(child, 0)->policy) == 0);
		}
		if (i == 2)
			assert_true(policy_max_bytes(config_ingress_at(child, 0)->policy) == 7);
		config_unref(&had);
		had = config_ref(f->config);
		if (i == 0)
			EXPECT_OK(update(f, RESOURCE_RULE_SET, "all", "{'Rules':[]}"), &f->e);
		if (i == 1)
			EXPECT_OK(update(f, RESOURCE_TRAFFIC_POLICY, "open",
			                 "{'MaxMessageSizeBytes':7}"),
			          &f->e);
	}
	/* Control: who hasn't what is named alone can't load it. */
	{
		json_t *json = NULL;
		struct config *next = NULL;

		buf_clear(&text);
		EXPECT_OK(config_write(f->config, had, &text), &f->e);
		EXPECT_OK(json_read(&json, buf_slice(&text), &f->e), &f->e);
		from.base = NULL;
		assert_int_not_equal(config_next(&next, json, &from, &f->e), RC_OK);
		json_decref(json);
	}
	/* Nor who has it at another version. */
	EXPECT_OK(update(f, RESOURCE_TRAFFIC_POLICY, "open", "{'MaxMessageSizeBytes':8}"), &f->e);
	{
		json_t *json = NULL;
		struct config *next = NULL;

		buf_clear(&text);
		EXPECT_OK(config_write(f->config, f->config, &text), &f->e);
		EXPECT_OK(json_read(&json, buf_slice(&text), &f->e), &f->e);
		from.base = child;
		assert_int_not_equal(config_next(&next, json, &from, &f->e), RC_OK);
		json_decref(json);
	}
	config_unref(&had);
	config_unref(&child);
	buf_free(&text);
}

/* ---- when a call fails ---- */

static enum rc act_create(struct fixture *f)
{
	return create_once(f, "who", "token", "another");
}

static enum rc act_update(struct fixture *f)
{
	return update(f, RESOURCE_RULE_SET, "all", "{'Rules':[],'Tags':[{'Key':'k','Value':'v'}]}");
}

static enum rc act_join(struct fixture *f)
{
	return join(f, "vip", "['new@b.example','another@b.example']");
}

static enum rc act_leave(struct fixture *f)
{
	return leave(f, "vip", "a@b.example");
}

static enum rc act_delete(struct fixture *f)
{
	return drop(f, RESOURCE_ADDRESS_LIST, "vip");
}

static enum rc act_end(struct fixture *f)
{
	return drop(f, RESOURCE_ARCHIVE, "corp");
}

/* All or nothing: in the database, and in the list that is in use. */
static void test_calls_fail(void **state)
{
	enum rc (*const acts[])(struct fixture *) = { act_create, act_update, act_join,
		                                      act_leave,  act_end,    act_delete };
	struct fixture *f = *state;

	(void)made(f, RESOURCE_ADDRESS_LIST,
	           "{'AddressListName':'vip','Addresses':['a@b.example']}");
	(void)made(f, RESOURCE_ARCHIVE, "{'ArchiveName':'corp'}");
	(void)made(f, RESOURCE_RULE_SET, RULES);
	for (size_t i = 0; i < COUNT(acts); i++) {
		bool hit = true;

		for (unsigned n = 1; hit; n++) {
			struct address_list *list =
			        address_list_ref(config_address_list(f->config, slice_str("vip")));
			size_t members = address_list_count(list);
			json_t *before;
			json_t *after;
			enum rc rc;

			EXPECT_OK(resources_show(f->db, NULL, NULL, &before, &f->e), &f->e);
			fault_arm(FAULT_PART, n, EIO, false);
			rc = acts[i](f);
			hit = fault_disarm();
			if (rc != (hit ? RC_IO : RC_OK))
				fail_msg("act %zu, call %u: %s: %s", i, n, rc_name(rc), f->e.text);
			EXPECT_OK(resources_show(f->db, NULL, NULL, &after, &f->e), &f->e);
			assert_true(hit == (json_equal(before, after) != 0));
			assert_true(!hit || address_list_count(list) == members);
			assert_null(hit ? f->r.changes : NULL);
			address_list_unref(&list);
			json_decref(before);
			json_decref(after);
		}
	}
}

static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	TEST(test_create),
	TEST(test_update),
	TEST(test_delete),
	TEST(test_relays_and_addons),
	TEST(test_rules_of_addons),
	TEST(test_policies_of_addons),
	TEST(test_rule_set_of_a_file),
	TEST(test_passwords),
	TEST(test_quotas),
	TEST(test_pages),
	TEST(test_archive_life),
	TEST(test_retention_weekly),
	TEST(test_tags),
	TEST(test_tokens),
	TEST(test_members),
	TEST(test_files_and_members),
	TEST(test_member_pages),
	TEST(test_migration),
	TEST(test_hand_over),
	TEST(test_calls_fail),
};

int main(void)
{
	return cmocka_run_group_tests(tests, make_clock, remove_clock);
}
