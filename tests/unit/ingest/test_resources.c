#include "ingest/resources.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/limits.h"
#include "ingest/config.h"
#include "tests/unit/fault.h"
#include "tests/unit/ingest/quoted.h"

struct fixture {
	char dir[32];
	char *path;
	struct db *db;
};

/* The test clock is opened once in a process, so it is one file for all tests. */
static char clock_path[] = "/tmp/mm-resources-clock-XXXXXX";

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

static const uint8_t key[KEY_BYTES] = { 7 };

static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));
	struct err e = { 0 };

	memcpy(f->dir, "/tmp/mm-resources-XXXXXX", 25);
	assert_non_null(mkdtemp(f->dir));
	f->path = path_join(f->dir, "control.db");
	(void)set_clock(0);
	EXPECT_OK(db_open(&f->db, f->path, key, DB_CREATE, &e), &e);
	EXPECT_OK(resources_open(f->db, &e), &e);
	EXPECT_OK(resources_open(f->db, &e), &e);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };

	db_close(&f->db);
	EXPECT_OK(db_remove(f->path, &e), &e);
	assert_int_equal(rmdir(f->dir), 0);
	free(f->path);
	free(f);
	return 0;
}

static enum rc apply(struct fixture *f, const char *text, struct apply_result *r, struct err *e)
{
	char *json = quoted_text(text);
	enum rc rc = resources_apply(f->db, slice_str(json), r, e);

	free(json);
	return rc;
}

/* created, updated, unchanged */
static void expect_apply(struct fixture *f, const char *text, size_t created, size_t updated,
                         size_t unchanged)
{
	struct apply_result r = { 0 };
	struct err e = { 0 };

	EXPECT_OK(apply(f, text, &r, &e), &e);
	if (r.created != created || r.updated != updated || r.unchanged != unchanged)
		fail_msg("%s: %zu created, %zu updated, %zu unchanged", text, r.created, r.updated,
		         r.unchanged);
	apply_result_free(&r);
}

static json_t *snapshot(struct fixture *f)
{
	struct err e = { 0 };
	json_t *out;

	EXPECT_OK(resources_snapshot(f->db, &out, &e), &e);
	return out;
}

static void expect_refused(struct fixture *f, const char *text, const char *want)
{
	struct apply_result r = { 0 };
	json_t *before = snapshot(f);
	json_t *after;
	struct err e = { 0 };
	enum rc rc = apply(f, text, &r, &e);

	EXPECT(text, rc == RC_INVALID);
	assert_null(r.changes);
	if (strcmp(e.text, want) != 0)
		fail_msg("%s\n got: %s\nwant: %s", text, e.text, want);
	after = snapshot(f);
	EXPECT(text, json_equal(before, after));
	json_decref(before);
	json_decref(after);
}

static struct config *compile(struct fixture *f)
{
	json_t *json = snapshot(f);
	struct config *c = NULL;
	struct err e = { 0 };

	EXPECT_OK(config_new(&c, json, &e), &e);
	json_decref(json);
	return c;
}

/* The example of the contract, word for word. */
static const char contract[] =
        "{'Archives':[{'ArchiveName':'corp','Retention':{'RetentionPeriod':'ONE_YEAR'}}, "
        "{'ArchiveName':'short','Retention':{'RetentionDays':30}}],"
        "'AddressLists':[{'AddressListName':'vip','Addresses':['*@c.example']}],"
        "'TrafficPolicies':[{'TrafficPolicyName':'open','DefaultAction':'ALLOW',"
        "'PolicyStatements':[]}],"
        "'RuleSets':[{'RuleSetName':'all','Rules':[{'Name':'keep','Conditions':[],'Actions':"
        "[{'Archive':{'TargetArchive':'corp'}}]}]}],"
        "'IngressPoints':[{'IngressPointName':'inbound','Type':'OPEN','TlsPolicy':'OPTIONAL',"
        "'TlsWrapped':false,'Listen':'127.0.0.1:2525','TrafficPolicyName':'open',"
        "'RuleSetName':'all'}]}";

static bool is_id(const char *id, const char *prefix)
{
	size_t n = strlen(prefix);

	if (strncmp(id, prefix, n) != 0 || strlen(id) != n + 24)
		return false;
	return strspn(id + n, "0123456789abcdefghijklmnopqrstuvwxyz") == 24;
}

static void test_contract(void **state)
{
	struct fixture *f = *state;
	const struct ingress_point *p;
	struct config *c;

	expect_apply(f, contract, 6, 0, 0);
	c = compile(f);
	assert_int_equal(config_ingress_count(c), 1);
	p = config_ingress_by_name(c, slice_str("inbound"));
	assert_non_null(p);
	assert_ptr_equal(p, config_ingress_at(c, 0));
	assert_ptr_equal(p, config_ingress_by_id(c, slice_str(p->id)));
	assert_true(is_id(p->id, "inp-"));
	assert_true(is_id(p->rule_set_id, "rs-"));
	assert_true(is_id(policy_id(p->policy), "tp-"));
	assert_int_equal(p->type, INGRESS_OPEN);
	assert_int_equal(p->tls, INGRESS_TLS_OPTIONAL);
	assert_false(p->tls_wrapped || p->keep_bare || p->odd_local || p->closed);
	assert_string_equal(p->listen, "127.0.0.1:2525");
	assert_string_equal(p->host, "127.0.0.1");
	assert_int_equal(p->port, 2525);
	assert_int_equal(p->rule_set_version, 1);
	assert_string_equal(rule_set_name(p->rules), "all");
	assert_ptr_equal(p->rules, config_rule_set(c, slice_str(p->rule_set_id), 1));
	assert_null(config_rule_set(c, slice_str(p->rule_set_id), 2));
	assert_int_equal(p->password_count, 0);
	config_unref(&c);
}

static void test_archives(void **state)
{
	struct fixture *f = *state;
	const struct archive_info *corp;
	const struct archive_info *brief;
	struct config *c;
	struct buf arn;

	expect_apply(f, contract, 6, 0, 0);
	expect_apply(f,
	             "{'Archives':[{'ArchiveName':'plain'},{'ArchiveName':'ever','Retention':"
	             "{'RetentionPeriod':'PERMANENT'}}]}",
	             2, 0, 0);
	c = compile(f);
	assert_int_equal(config_archive_count(c), 4);
	corp = config_archive(c, slice_str("corp"));
	brief = config_archive(c, slice_str("short"));
	assert_true(is_id(corp->id, "a-"));
	assert_int_equal(corp->number, 1);
	assert_int_equal(corp->period.months, 12);
	assert_int_equal(brief->number, 2);
	assert_int_equal(brief->period.days, 30);
	assert_int_equal(config_archive(c, slice_str("plain"))->period.months, 6);
	assert_true(config_archive(c, slice_str("ever"))->period.permanent);
	assert_int_equal(config_archive_at(c, 3)->number, 4);
	assert_ptr_equal(config_archive_by_number(c, 2), brief);
	assert_ptr_equal(config_archive(c, slice_str(corp->id)), corp);
	assert_null(config_archive(c, slice_str("none")));
	assert_null(config_archive_by_number(c, 5));
	buf_init(&arn, 256);
	assert_int_equal(buf_addf(&arn, "arn:aws:ses:us-east-1:000000000000:mailmanager-archive/%s",
	                          corp->id),
	                 RC_OK);
	assert_ptr_equal(config_archive(c, buf_slice(&arn)), corp);
	buf_free(&arn);
	config_unref(&c);
}

static void test_every_period(void **state)
{
	static const struct {
		const char *word;
		unsigned months;
	} periods[] = {
		{ "THREE_MONTHS", 3 },   { "SIX_MONTHS", 6 },       { "NINE_MONTHS", 9 },
		{ "ONE_YEAR", 12 },      { "EIGHTEEN_MONTHS", 18 }, { "TWO_YEARS", 24 },
		{ "THIRTY_MONTHS", 30 }, { "THREE_YEARS", 36 },     { "FOUR_YEARS", 48 },
		{ "FIVE_YEARS", 60 },    { "SIX_YEARS", 72 },       { "SEVEN_YEARS", 84 },
		{ "EIGHT_YEARS", 96 },   { "NINE_YEARS", 108 },     { "TEN_YEARS", 120 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(periods); i++) {
		char text[200];
		struct config *c;

		(void)snprintf(text, sizeof(text),
		               "{'Archives':[{'ArchiveName':'a%zu','Retention':{'RetentionPeriod':"
		               "'%s'}}]}",
		               i, periods[i].word);
		expect_apply(f, text, 1, 0, 0);
		c = compile(f);
		assert_int_equal(config_archive_at(c, i)->period.months, periods[i].months);
		config_unref(&c);
	}
}

static void test_twice_is_once(void **state)
{
	struct fixture *f = *state;
	json_t *before;
	json_t *after;

	expect_apply(f, contract, 6, 0, 0);
	before = snapshot(f);
	expect_apply(f, contract, 0, 0, 6);
	/* A null and a default that is written out change nothing. */
	expect_apply(f, "{'Archives':[{'ArchiveName':'corp','Tags':null}]}", 0, 0, 1);
	expect_apply(
	        f,
	        "{'IngressPoints':[{'IngressPointName':'inbound','Type':'OPEN','TlsPolicy':"
	        "'OPTIONAL','Listen':'127.0.0.1:2525','TrafficPolicyName':'open','RuleSetName':"
	        "'all','Status':'ACTIVE','BareNewlines':'REJECT'}]}",
	        0, 0, 1);
	expect_apply(f, "{}", 0, 0, 0);
	after = snapshot(f);
	assert_true(json_equal(before, after));
	json_decref(before);
	json_decref(after);
}

static const char *rule_set_id_of(const struct config *c)
{
	return config_ingress_at(c, 0)->rule_set_id;
}

static void test_versions(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };
	struct rule_set *rs = NULL;
	struct config *old;
	struct config *new;
	json_t *json;

	expect_apply(f, contract, 6, 0, 0);
	old = compile(f);
	expect_apply(f, "{'RuleSets':[{'RuleSetName':'all','Rules':[]}]}", 0, 1, 0);
	new = compile(f);
	assert_true(config_generation(new) > config_generation(old));
	assert_string_equal(rule_set_id_of(old), rule_set_id_of(new));
	assert_int_equal(config_ingress_at(old, 0)->rule_set_version, 1);
	assert_int_equal(config_ingress_at(new, 0)->rule_set_version, 2);
	assert_int_equal(rule_set_rules(config_ingress_at(new, 0)->rules), 0);
	assert_null(config_rule_set(new, slice_str(rule_set_id_of(new)), 1));
	EXPECT_OK(resources_version(f->db, RESOURCE_RULE_SET, slice_str(rule_set_id_of(new)), 1,
	                            &json, &e),
	          &e);
	EXPECT_OK(config_compile_rule_set(new, json, &rs, &e), &e);
	json_decref(json);
	assert_int_equal(rule_set_rules(rs), 1);
	assert_int_equal(rule_set_version(rs), 1);
	assert_string_equal(rule_set_id(rs), rule_set_id_of(new));
	config_unref(&old);
	config_unref(&new);
	rule_set_free(&rs);
	assert_int_equal(
	        resources_version(f->db, RESOURCE_RULE_SET, slice_str("rs-x"), 1, &json, &e),
	        RC_NOTFOUND);
}

/* A file that doesn't speak of retention must not shorten it. */
static void test_retention_is_kept(void **state)
{
	struct fixture *f = *state;
	struct config *c;

	expect_apply(f,
	             "{'Archives':[{'ArchiveName':'corp','Retention':{'RetentionPeriod':"
	             "'PERMANENT'}}]}",
	             1, 0, 0);
	expect_apply(f, "{'Archives':[{'ArchiveName':'corp'}]}", 0, 0, 1);
	c = compile(f);
	assert_true(config_archive(c, slice_str("corp"))->period.permanent);
	config_unref(&c);
	expect_apply(f, "{'Archives':[{'ArchiveName':'corp','Retention':{'RetentionDays':5}}]}", 0,
	             1, 0);
	c = compile(f);
	assert_int_equal(config_archive(c, slice_str("corp"))->period.days, 5);
	assert_false(config_archive(c, slice_str("corp"))->period.permanent);
	assert_int_equal(config_archive(c, slice_str("corp"))->number, 1);
	config_unref(&c);
}

#define POINT(name, more)                                                                          \
	"{'IngressPointName':'" name "','Type':'OPEN','TrafficPolicyName':'open',"                 \
	"'RuleSetName':'all'" more "}"
#define OTHER_LISTEN ",'Listen':'127.0.0.1:2626'"

static const struct {
	const char *file;
	const char *want;
} refused[] = {
	{ "nonsense", "not JSON: line 1, column 8: invalid token near 'nonsense'" },
	{ "{'RuleSets':[{'RuleSetName':'r','Rules':[{'Actions':[{'Archive':{'TargetArchive':'no'}}"
	  "]}]}]}",
	  "RuleSets[0].Rules[0].Actions[0].Archive.TargetArchive: none of the Archives is named or "
	  "has the id \"no\"" },
	{ "{'RuleSets':[{'RuleSetName':'r','Rules':[{'Unless':[{'BooleanExpression':{'Evaluate':"
	  "{'IsInAddressList':{'Attribute':'FROM','AddressLists':['no']}},'Operator':'IS_TRUE'}}],"
	  "'Actions':[{'Drop':{}}]}]}]}",
	  "RuleSets[0].Rules[0].Unless[0].BooleanExpression.Evaluate.IsInAddressList.AddressLists["
	  "0]: none of the AddressLists is named or has the id \"no\"" },
	{ "{'TrafficPolicies':[{'TrafficPolicyName':'abc','DefaultAction':'DENY',"
	  "'PolicyStatements':[{'Action':'ALLOW','Conditions':[{'BooleanExpression':{'Evaluate':"
	  "{'IsInAddressList':{'Attribute':'RECIPIENT','AddressLists':['corp']}},'Operator':"
	  "'IS_TRUE'}}]}]}]}",
	  "TrafficPolicies[0].PolicyStatements[0].Conditions[0].BooleanExpression.Evaluate."
	  "IsInAddressList.AddressLists[0]: none of the AddressLists is named or has the id "
	  "\"corp\"" },
	{ "{'Archives':[{'ArchiveName':'new'}],'IngressPoints':[{'IngressPointName':'pnt','Type':"
	  "'OPEN','TrafficPolicyName':'open','RuleSetName':'none','Listen':'127.0.0.1:26'}]}",
	  "IngressPoints[0].RuleSetName: none of the RuleSets is named or has the id \"none\"" },
	{ "{'IngressPoints':[{'IngressPointName':'pnt','Type':'OPEN','TrafficPolicyId':'tp-0',"
	  "'RuleSetName':'all','Listen':'127.0.0.1:26'}]}",
	  "IngressPoints[0].TrafficPolicyId: none of the TrafficPolicies is named or has the id "
	  "\"tp-0\"" },
	{ "{'IngressPoints':[{'IngressPointName':'pnt','Type':'OPEN','TrafficPolicyName':'open',"
	  "'Listen':'127.0.0.1:26'}]}",
	  "IngressPoints[0]: must have exactly one of: RuleSetName, RuleSetId" },
	{ "{'IngressPoints':[" POINT("pnt", OTHER_LISTEN ",'TrafficPolicyId':'tp-0'") "]}",
	  "IngressPoints[0]: must have exactly one of: TrafficPolicyName, TrafficPolicyId" },
	{ "{'IngressPoints':[{'IngressPointName':'inbound','Type':'AUTH','TrafficPolicyName':"
	  "'open','RuleSetName':'all','Listen':'127.0.0.1:2525'}]}",
	  "IngressPoints[0].Type: can't be changed (it is OPEN)" },
	{ "{'IngressPoints':[" POINT("pnt", ",'Listen':'127.0.0.1:2525'") "]}",
	  "IngressPoints: \"inbound\" and \"pnt\" both have Listen 127.0.0.1:2525" },
	{ "{'IngressPoints':[" POINT("pnt", ",'Listen':'[::ffff:127.0.0.1]:2525'") "]}",
	  "IngressPoints: \"inbound\" and \"pnt\" both have Listen [::ffff:127.0.0.1]:2525" },
	{ "{'Archives':[{'ArchiveName':'new'},{'ArchiveName':'new'}]}",
	  "Archives[1].ArchiveName: \"new\" is there twice" },
	{ "{'Archives':[{'ArchiveName':'new','ArchiveName':'new2'}]}",
	  "not JSON: line 1, column 47: duplicate object key near '\"ArchiveName\"'" },
	{ "{'Archives':[{'ArchiveName':'new'}],'RuleSets':[{'RuleSetName':'r','Rules':[{'Actions':"
	  "[{'Drop':{}},{'Relay':{'Relay':'x'}}]}]}]}",
	  "RuleSets[0].Rules[0].Actions[1].Relay.Relay: none of the Relays is named or has the id "
	  "\"x\"" },
};

static void test_refused(void **state)
{
	struct fixture *f = *state;
	struct config *c;

	expect_apply(f, contract, 6, 0, 0);
	for (size_t i = 0; i < COUNT(refused); i++)
		expect_refused(f, refused[i].file, refused[i].want);
	/* What was refused has used up no number. */
	expect_apply(f, "{'Archives':[{'ArchiveName':'next'}]}", 1, 0, 0);
	c = compile(f);
	assert_int_equal(config_archive(c, slice_str("next"))->number, 3);
	config_unref(&c);
}

static void test_closed_points_share(void **state)
{
	struct fixture *f = *state;
	struct config *c;

	expect_apply(f, contract, 6, 0, 0);
	expect_apply(f,
	             "{'IngressPoints':[" POINT(
	                     "pnt", ",'Listen':'127.0.0.1:2525','Status':'CLOSED'") "]}",
	             1, 0, 0);
	expect_apply(f,
	             "{'IngressPoints':[" POINT("six", ",'Listen':'[::1]:2525','TlsWrapped':true,"
	                                               "'BareNewlines':'KEEP','AllowOddLocalParts':"
	                                               "true") "]}",
	             1, 0, 0);
	c = compile(f);
	assert_true(config_ingress_by_name(c, slice_str("pnt"))->closed);
	const struct ingress_point *six = config_ingress_by_name(c, slice_str("six"));

	assert_string_equal(six->host, "::1");
	assert_int_equal(six->ip.family, 6);
	assert_int_equal(six->tls, INGRESS_TLS_REQUIRED);
	assert_true(six->tls_wrapped && six->keep_bare && six->odd_local && !six->closed);
	config_unref(&c);
}

/* References by id and ARN, and in one file in any order of kinds. */
static void test_references(void **state)
{
	struct fixture *f = *state;
	struct config *c;
	char text[600];

	expect_apply(
	        f,
	        "{'RuleSets':[{'RuleSetName':'r','Rules':[{'Conditions':[{'BooleanExpression':"
	        "{'Evaluate':{'IsInAddressList':{'Attribute':'RECIPIENT','AddressLists':['l']}},"
	        "'Operator':'IS_TRUE'}}],'Actions':[{'Archive':{'TargetArchive':'aa'}}]}]}],"
	        "'AddressLists':[{'AddressListName':'l','Addresses':['x@y.example']}],"
	        "'Archives':[{'ArchiveName':'aa'}]}",
	        3, 0, 0);
	c = compile(f);
	assert_true(
	        address_list_has(config_address_list(c, slice_str("l")), slice_str("x@y.example")));
	(void)snprintf(text, sizeof(text),
	               "{'RuleSets':[{'RuleSetName':'byid','Rules':[{'Actions':[{'Archive':"
	               "{'TargetArchive':'%s'}},{'Archive':{'TargetArchive':'arn:aws:ses:eu:0:"
	               "mailmanager-archive/%s'}}]}]}]}",
	               config_archive(c, slice_str("aa"))->id,
	               config_archive(c, slice_str("aa"))->id);
	config_unref(&c);
	expect_apply(f, text, 1, 0, 0);
	/* The list that a rule asks is the one that is there now. */
	expect_apply(f, "{'AddressLists':[{'AddressListName':'l','Addresses':['z@y.example']}]}", 0,
	             1, 0);
	c = compile(f);
	assert_false(
	        address_list_has(config_address_list(c, slice_str("l")), slice_str("x@y.example")));
	config_unref(&c);
}

static enum rc refuse(void *arg, const struct apply_result *r, struct config *c, struct err *e)
{
	assert_int_equal(config_archive_count(c), 2);
	*(size_t *)arg = r->count;
	return err_set(e, RC_IO, "no audit");
}

static void test_hook(void **state)
{
	struct fixture *f = *state;
	size_t seen = 0;
	struct apply_result r = { .before_commit = refuse, .arg = &seen };
	struct err e = { 0 };
	struct config *c;

	assert_int_equal(apply(f, contract, &r, &e), RC_IO);
	assert_string_equal(e.text, "no audit");
	assert_int_equal(seen, 6);
	c = compile(f);
	assert_int_equal(config_archive_count(c), 0);
	config_unref(&c);
	expect_apply(f, contract, 6, 0, 0);
	seen = 0;
	EXPECT_OK(apply(f, contract, &r, &e), &e);
	assert_int_equal(seen, 0);
	apply_result_free(&r);
}

static void test_result(void **state)
{
	struct fixture *f = *state;
	struct apply_result r = { 0 };
	struct err e = { 0 };

	expect_apply(f, "{'Archives':[{'ArchiveName':'corp'}]}", 1, 0, 0);
	EXPECT_OK(apply(f, contract, &r, &e), &e);
	assert_int_equal(r.count, 6);
	assert_int_equal(r.changes[0].kind, RESOURCE_ARCHIVE);
	assert_int_equal(r.changes[0].what, APPLY_UPDATED);
	assert_int_equal(r.changes[0].version, 2);
	assert_string_equal(r.changes[0].name, "corp");
	assert_true(is_id(r.changes[0].id, "a-"));
	assert_int_equal(r.changes[5].kind, RESOURCE_INGRESS_POINT);
	assert_int_equal(r.changes[5].what, APPLY_CREATED);
	apply_result_free(&r);
}

/* ---- show ---- */

static void test_show(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };
	const json_t *one;
	json_t *out;
	int64_t ms;

	expect_apply(f, contract, 6, 0, 0);
	EXPECT_OK(resources_show(f->db, NULL, NULL, &out, &e), &e);
	assert_int_equal(json_object_size(out), RESOURCE_KINDS);
	assert_int_equal(json_array_size(json_member_array(out, "Archives")), 2);
	json_decref(out);
	EXPECT_OK(resources_show(f->db, "ingress-points", "inbound", &out, &e), &e);
	assert_int_equal(json_object_size(out), 1);
	one = json_array_get(json_member_array(out, "IngressPoints"), 0);
	EXPECT_SLICE("rule set", json_member_text(one, "RuleSetName"), "all");
	EXPECT_SLICE("policy", json_member_text(one, "TrafficPolicyName"), "open");
	assert_int_equal(json_member_int(one, "Version", 0), 1);
	assert_true(time_parse(json_member_text(one, "CreatedTimestamp"), &ms));
	json_decref(out);
	EXPECT_OK(resources_show(f->db, NULL, "corp", &out, &e), &e);
	assert_int_equal(json_object_size(out), 1);
	assert_int_equal(json_array_size(json_member_array(out, "Archives")), 1);
	json_decref(out);
	assert_int_equal(resources_show(f->db, "archive", "nope", &out, &e), RC_NOTFOUND);
	assert_string_equal(e.text, "Archives: none is named or has the id \"nope\"");
	assert_int_equal(resources_show(f->db, NULL, "nope", &out, &e), RC_NOTFOUND);
	assert_int_equal(resources_show(f->db, "engines", NULL, &out, &e), RC_INVALID);
}

static void test_kind_words(void **state)
{
	static const struct {
		const char *word;
		int kind;
	} words[] = {
		{ "Archives", RESOURCE_ARCHIVE },
		{ "archive", RESOURCE_ARCHIVE },
		{ "ADDRESS-LISTS", RESOURCE_ADDRESS_LIST },
		{ "address_list", RESOURCE_ADDRESS_LIST },
		{ "TrafficPolicies", RESOURCE_TRAFFIC_POLICY },
		{ "traffic-policy", RESOURCE_TRAFFIC_POLICY },
		{ "rulesets", RESOURCE_RULE_SET },
		{ "IngressPoint", RESOURCE_INGRESS_POINT },
		{ "relays", RESOURCE_RELAY },
		{ "addon-instance", RESOURCE_ADDON_INSTANCE },
		{ "engines", -1 },
		{ "", -1 },
		{ "archivesarchivesarchivesarchivesarchives", -1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(words); i++) {
		enum resource_kind kind;
		bool known = resource_kind_parse(words[i].word, &kind);

		EXPECT(words[i].word, known == (words[i].kind >= 0));
		if (known)
			EXPECT(words[i].word, (int)kind == words[i].kind);
	}
}

/* ---- passwords ---- */

static const char with_auth[] =
        "{'TrafficPolicies':[{'TrafficPolicyName':'open','DefaultAction':'ALLOW',"
        "'PolicyStatements':[]}],'RuleSets':[{'RuleSetName':'all','Rules':[]}],"
        "'IngressPoints':[{'IngressPointName':'submit','Type':'AUTH','Listen':'127.0.0.1:587',"
        "'TrafficPolicyName':'open','RuleSetName':'all'},{'IngressPointName':'open','Type':"
        "'OPEN','Listen':'127.0.0.1:25','TrafficPolicyName':'open','RuleSetName':'all'}]}";

static int64_t set_password(struct fixture *f, const char *password)
{
	struct err e = { 0 };
	int64_t version = 0;

	EXPECT_OK(resources_set_password(f->db, slice_str("submit"), slice_str(password), &version,
	                                 &e),
	          &e);
	return version;
}

/* How many of the point's hashes there are, and which of them the password fits. */
static void expect_passwords(struct fixture *f, size_t count, const char *newest,
                             const char *previous)
{
	struct config *c = compile(f);
	const struct ingress_point *p = config_ingress_by_name(c, slice_str("submit"));

	assert_int_equal(p->password_count, count);
	assert_int_equal(p->type, INGRESS_AUTH);
	assert_true(ingress_is_user(p, slice_str("submit")));
	assert_true(ingress_is_user(p, slice_str(p->id)));
	assert_false(ingress_is_user(p, slice_str("open")));
	if (count > 0) {
		assert_int_equal(p->passwords[0].expires_ms, 0);
		assert_int_equal(strncmp(p->passwords[0].hash, "$argon2id$", 10), 0);
		assert_int_equal(
		        crypto_pwhash_str_verify(p->passwords[0].hash, newest, strlen(newest)), 0);
	}
	if (count > 1) {
		assert_true(p->passwords[1].expires_ms > clock_now_ms() + 13 * MS_PER_DAY);
		assert_true(p->passwords[1].expires_ms <= clock_now_ms() + 14 * MS_PER_DAY);
		assert_int_equal(
		        crypto_pwhash_str_verify(p->passwords[1].hash, previous, strlen(previous)),
		        0);
	}
	config_unref(&c);
}

static void expect_no_hash(struct fixture *f)
{
	struct err e = { 0 };
	struct buf text;
	json_t *out;

	EXPECT_OK(resources_show(f->db, NULL, NULL, &out, &e), &e);
	buf_init(&text, 1 << 20);
	assert_int_equal(json_write(&text, out), RC_OK);
	assert_int_equal(slice_find(buf_slice(&text), slice_str("argon2")), SIZE_MAX);
	assert_true(slice_find(buf_slice(&text), slice_str("\"SmtpPasswordVersion\":\"3\"")) !=
	            SIZE_MAX);
	buf_free(&text);
	json_decref(out);
}

static void test_passwords(void **state)
{
	struct fixture *f = *state;

	expect_apply(f, with_auth, 4, 0, 0);
	expect_passwords(f, 0, NULL, NULL);
	assert_int_equal(set_password(f, "first.password"), 1);
	expect_passwords(f, 1, "first.password", NULL);
	assert_int_equal(set_password(f, "second.password"), 2);
	expect_passwords(f, 2, "second.password", "first.password");
	assert_int_equal(set_password(f, "third.password"), 3);
	expect_passwords(f, 2, "third.password", "second.password");
	expect_no_hash(f);
	(void)set_clock(14 * MS_PER_DAY + 60000);
	expect_passwords(f, 1, "third.password", NULL);
	/* A password outlives a change of its ingress point. */
	expect_apply(f,
	             "{'IngressPoints':[{'IngressPointName':'submit','Type':'AUTH','Listen':"
	             "'127.0.0.1:588','TrafficPolicyName':'open','RuleSetName':'all'}]}",
	             0, 1, 0);
	expect_passwords(f, 1, "third.password", NULL);
}

static void test_password_refused(void **state)
{
	static const struct {
		const char *point;
		const char *password;
		enum rc rc;
		const char *want;
	} cases[] = {
		{ "submit", "short", RC_INVALID,
		  "SmtpPassword: Member must have length greater than or equal to 8" },
		{ "submit", "with a blank", RC_INVALID,
		  "SmtpPassword: must match ^[A-Za-z0-9!@#$%^&*()_+\\-=\\[\\]{}|.,?]+$" },
		{ "open", "long.enough", RC_INVALID, "ingress point \"open\" is not of type AUTH" },
		{ "nobody", "long.enough", RC_NOTFOUND,
		  "no ingress point is named or has the id \"nobody\"" },
		{ "", "long.enough", RC_NOTFOUND, "no ingress point is named or has the id \"\"" },
	};
	struct fixture *f = *state;

	expect_apply(f, with_auth, 4, 0, 0);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct err e = { 0 };

		assert_int_equal(resources_set_password(f->db, slice_str(cases[i].point),
		                                        slice_str(cases[i].password), NULL, &e),
		                 cases[i].rc);
		assert_string_equal(e.text, cases[i].want);
	}
}

/* ---- when a call fails ---- */

static enum rc open_tables(struct fixture *f, json_t **out, struct err *e)
{
	(void)out;
	return resources_open(f->db, e);
}

static enum rc change_all(struct fixture *f, json_t **out, struct err *e)
{
	struct apply_result r = { 0 };
	enum rc rc = apply(f,
	                   "{'Archives':[{'ArchiveName':'third'}],"
	                   "'RuleSets':[{'RuleSetName':'all','Rules':[{'Name':'keep','Conditions':"
	                   "[],'Actions':[{'Archive':{'TargetArchive':'third'}}]}]}],"
	                   "'IngressPoints':[{'IngressPointName':'submit','Type':'AUTH','Listen':"
	                   "'127.0.0.1:588','TrafficPolicyName':'open','RuleSetName':'all'}]}",
	                   &r, e);

	(void)out;
	assert_int_equal(r.count, rc == RC_OK ? 3 : 0);
	apply_result_free(&r);
	return rc;
}

static enum rc change_password(struct fixture *f, json_t **out, struct err *e)
{
	(void)out;
	return resources_set_password(f->db, slice_str("submit"), slice_str("new.password"), NULL,
	                              e);
}

static enum rc read_all(struct fixture *f, json_t **out, struct err *e)
{
	return resources_snapshot(f->db, out, e);
}

static enum rc show_one(struct fixture *f, json_t **out, struct err *e)
{
	return resources_show(f->db, "ingress-point", "submit", out, e);
}

static enum rc show_version(struct fixture *f, json_t **out, struct err *e)
{
	struct config *c = compile(f);
	char *id = mem_string(rule_set_id_of(c));
	enum rc rc;

	config_unref(&c);
	fault_arm(FAULT_PART, 1, EIO, false);
	rc = resources_version(f->db, RESOURCE_RULE_SET, slice_str(id), 1, out, e);
	free(id);
	return rc;
}

/* What fails changes nothing; what can't be read is an error, never "no such". */
static void test_calls_fail(void **state)
{
	enum rc (*const acts[])(struct fixture *, json_t **,
	                        struct err *) = { open_tables, change_all, change_password,
		                                  read_all, show_one };
	struct fixture *f = *state;
	json_t *none = NULL;
	struct err e = { 0 };

	expect_apply(f, with_auth, 4, 0, 0);
	assert_int_equal(set_password(f, "first.password"), 1);
	for (size_t i = 0; i < COUNT(acts); i++) {
		bool hit = true;
		unsigned n;

		for (n = 1; hit; n++) {
			json_t *before = snapshot(f);
			json_t *out = NULL;
			json_t *after;
			enum rc rc;

			fault_arm(FAULT_PART, n, EIO, false);
			rc = acts[i](f, &out, &e);
			hit = fault_disarm();
			if (rc != (hit ? RC_IO : RC_OK))
				fail_msg("act %zu, call %u: %s: %s", i, n, rc_name(rc), e.text);
			after = snapshot(f);
			assert_true(!hit || json_equal(before, after));
			assert_true(!hit || !out);
			json_decref(before);
			json_decref(after);
			json_decref(out);
		}
		assert_true(n > 2);
	}
	assert_int_equal(show_version(f, &none, &e), RC_IO);
	assert_true(fault_disarm());
}

/* ---- the whole, after a restart ---- */

static void test_reopen(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };
	json_t *before;
	json_t *after;

	expect_apply(f, contract, 6, 0, 0);
	before = snapshot(f);
	db_close(&f->db);
	EXPECT_OK(db_open(&f->db, f->path, key, DB_WRITE, &e), &e);
	EXPECT_OK(resources_open(f->db, &e), &e);
	after = snapshot(f);
	assert_true(json_equal(before, after));
	expect_apply(f, contract, 0, 0, 6);
	json_decref(before);
	json_decref(after);
}

static void test_config_references(void **state)
{
	struct fixture *f = *state;
	struct config *one;
	struct config *two;

	expect_apply(f, contract, 6, 0, 0);
	one = compile(f);
	two = config_ref(one);
	config_unref(&one);
	assert_null(one);
	assert_int_equal(config_ingress_count(two), 1);
	config_unref(&two);
	config_unref(&two);
}

/* A snapshot that was tampered with is refused, whatever is wrong with it. */
static void test_bad_snapshots(void **state)
{
	static const char *const bad[] = {
		"[]",
		"{'Archives':[{}]}",
		"{'Archives':[{'ArchiveId':'a-1','ArchiveName':'aa','Retention':{'RetentionDays':1}"
		"}]}",
		"{'Archives':[{'ArchiveId':'a-1','ArchiveName':'aa','ArchiveNumber':1}]}",
		"{'Archives':['text']}",
		"{'RuleSets':[{'RuleSetId':'rs-1','RuleSetName':'r','Rules':[{}]}]}",
		"{'IngressPoints':[{'IngressPointId':'inp-1','IngressPointName':'pnt','Type':'OPEN'"
		","
		"'Listen':'127.0.0.1:25','RuleSetId':'rs-1','TrafficPolicyId':'tp-1'}]}",
		"{'Passwords':[{'IngressPointId':'inp-1','Hash':'x'}]}",
		"{'TrafficPolicies':[{'TrafficPolicyId':'tp-1','TrafficPolicyName':'abc',"
		"'DefaultAction':'DENY','PolicyStatements':[{'Action':'ALLOW','Conditions':"
		"[{'BooleanExpression':{'Evaluate':{'IsInAddressList':{'Attribute':'RECIPIENT',"
		"'AddressLists':['no']}},'Operator':'IS_TRUE'}}]}]}]}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		json_t *json = quoted(bad[i]);
		struct config *c = NULL;
		struct err e = { 0 };

		EXPECT(bad[i], config_new(&c, json, &e) != RC_OK);
		EXPECT(bad[i], c == NULL && e.text[0]);
		json_decref(json);
	}
}

#define WITH_DB(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DB(test_contract),
		WITH_DB(test_archives),
		WITH_DB(test_every_period),
		WITH_DB(test_twice_is_once),
		WITH_DB(test_versions),
		WITH_DB(test_retention_is_kept),
		WITH_DB(test_refused),
		WITH_DB(test_closed_points_share),
		WITH_DB(test_references),
		WITH_DB(test_hook),
		WITH_DB(test_result),
		WITH_DB(test_show),
		cmocka_unit_test(test_kind_words),
		WITH_DB(test_passwords),
		WITH_DB(test_password_refused),
		WITH_DB(test_calls_fail),
		WITH_DB(test_reopen),
		WITH_DB(test_config_references),
		cmocka_unit_test(test_bad_snapshots),
	};

	return cmocka_run_group_tests(tests, make_clock, remove_clock);
}
