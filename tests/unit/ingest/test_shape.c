#include "ingest/shape_resources.h"
#include "tests/unit/ingest/quoted.h"

/* A file with every member that there is. */
static const char whole[] =
        "{'Archives':[{'ArchiveName':'corp','Retention':{'RetentionPeriod':'ONE_YEAR'}},"
        "{'ArchiveName':'short','Retention':{'RetentionDays':30}},{'ArchiveName':'a1'}],"
        "'AddressLists':[{'AddressListName':'vip.1_-','Addresses':['*@c.example','a@b.example']}],"
        "'TrafficPolicies':[{'TrafficPolicyName':'open','DefaultAction':'ALLOW',"
        "'MaxMessageSizeBytes':1000,'PolicyStatements':[{'Action':'DENY','Conditions':["
        "{'StringExpression':{'Evaluate':{'Attribute':'RECIPIENT'},'Operator':'EQUALS',"
        "'Values':['x@y.example']}},"
        "{'IpExpression':{'Evaluate':{'Attribute':'SENDER_IP'},'Operator':'CIDR_MATCHES',"
        "'Values':['192.0.2.0/24']}},"
        "{'Ipv6Expression':{'Evaluate':{'Attribute':'SENDER_IPV6'},"
        "'Operator':'NOT_CIDR_MATCHES','Values':['2001:db8::/32']}},"
        "{'TlsExpression':{'Evaluate':{'Attribute':'TLS_PROTOCOL'},"
        "'Operator':'MINIMUM_TLS_VERSION','Value':'TLS1_2'}},"
        "{'BooleanExpression':{'Evaluate':{'IsInAddressList':{'Attribute':'RECIPIENT',"
        "'AddressLists':['vip.1_-']}},'Operator':'IS_TRUE'}}]}]}],"
        "'RuleSets':[{'RuleSetName':'all','Rules':[{'Name':'keep','Conditions':["
        "{'BooleanExpression':{'Evaluate':{'Attribute':'TLS'},'Operator':'IS_TRUE'}},"
        "{'StringExpression':{'Evaluate':{'MimeHeaderAttribute':'X-A'},'Operator':'CONTAINS',"
        "'Values':['v']}},"
        "{'NumberExpression':{'Evaluate':{'Attribute':'MESSAGE_SIZE'},'Operator':'LESS_THAN',"
        "'Value':1.5}},"
        "{'IpExpression':{'Evaluate':{'Attribute':'SOURCE_IP'},'Operator':'CIDR_MATCHES',"
        "'Values':['10.0.0.1','2001:db8::/32']}}],'Unless':[],"
        "'Actions':[{'Archive':{'TargetArchive':'corp','ActionFailurePolicy':'DROP'}},"
        "{'AddHeader':{'HeaderName':'X-Seen','HeaderValue':'yes'}},"
        "{'ReplaceRecipient':{'ReplaceWith':['a@b.example']}},{'Drop':{}}]}]}],"
        "'IngressPoints':[{'IngressPointName':'inbound','Type':'OPEN','TlsPolicy':'OPTIONAL',"
        "'TlsWrapped':false,'Listen':'127.0.0.1:2525','BareNewlines':'KEEP',"
        "'AllowOddLocalParts':true,'Status':'ACTIVE','TrafficPolicyName':'open',"
        "'RuleSetName':'all'}]}";

static void test_everything(void **state)
{
	json_t *file = quoted(whole);
	struct err e = { 0 };

	(void)state;
	EXPECT_OK(shape_check(&shape_apply_file, file, NULL, SHAPE_STRICT, &e), &e);
	json_decref(file);
}

static void test_null_is_absent(void **state)
{
	json_t *file = quoted("{'Archives':null,'AddressLists':[],'Nonsense':null,"
	                      "'TrafficPolicies':[{'TrafficPolicyName':'abc',"
	                      "'DefaultAction':'DENY','PolicyStatements':[],"
	                      "'MaxMessageSizeBytes':null,'Tags':null}]}");
	struct err e = { 0 };

	(void)state;
	EXPECT_OK(shape_check(&shape_apply_file, file, NULL, SHAPE_STRICT, &e), &e);
	json_decref(file);
}

static void expect_fault(const char *text, const char *want)
{
	json_t *file = quoted(text);
	struct err e = { 0 };
	enum rc rc = shape_check(&shape_apply_file, file, NULL, SHAPE_STRICT, &e);

	json_decref(file);
	EXPECT(text, rc == RC_INVALID);
	if (strcmp(e.text, want) != 0)
		fail_msg("%.300s\n got: %s\nwant: %s", text, e.text, want);
}

/* `whole` with the first `from` made `to`. */
static void expect_change(const char *from, const char *to, const char *want)
{
	const char *at = strstr(whole, from);
	struct buf text;

	EXPECT(from, at != NULL);
	buf_init(&text, 1 << 20);
	assert_int_equal(buf_add(&text, slice_of(whole, (size_t)(at - whole))), RC_OK);
	assert_int_equal(buf_add_str(&text, to), RC_OK);
	assert_int_equal(buf_add_str(&text, at + strlen(from)), RC_OK);
	expect_fault(buf_text(&text), want);
	buf_free(&text);
}

#define POLICY0    "TrafficPolicies[0].PolicyStatements[0]"
#define CONDITION0 "RuleSets[0].Rules[0].Conditions"
#define ACTION0    "RuleSets[0].Rules[0].Actions"

static const struct {
	const char *from;
	const char *to;
	const char *want;
} changes[] = {
	/* names and unknown members */
	{ "'corp','Ret", "'c','Ret",
	  "Archives[0].ArchiveName: must match ^[a-zA-Z0-9][a-zA-Z0-9_-]*[a-zA-Z0-9]$" },
	{ "'corp','Ret", "'-corp','Ret",
	  "Archives[0].ArchiveName: must match ^[a-zA-Z0-9][a-zA-Z0-9_-]*[a-zA-Z0-9]$" },
	{ "'corp','Ret", "'','Ret",
	  "Archives[0].ArchiveName: Member must have length greater than or equal to 1" },
	{ "'ArchiveName':'corp',", "", "Archives[0].ArchiveName: Member must not be null" },
	{ "'ArchiveName':'corp',", "'ArchiveName':7,",
	  "Archives[0].ArchiveName: must be a string" },
	{ "'ArchiveName':'corp',", "'ArchiveNam':'corp',",
	  "Archives[0]: unknown member \"ArchiveNam\"" },
	{ "'ArchiveName':'corp',", "'ArchiveName':'corp','KmsKeyArn':'x',",
	  "Archives[0].KmsKeyArn: must match "
	  "^arn:aws(|-cn|-us-gov|-eusc):kms:[a-z0-9-]{1,20}:[0-9]{12}:(key|alias)/.+$" },
	{ "'ArchiveName':'corp',", "'ArchiveName':'corp','Tags':[{'Key':'a b','Value':''}],",
	  "Archives[0].Tags[0].Key: must match ^[a-zA-Z0-9/_\\+=\\.:@\\-]+$" },
	{ "{'Archives':", "{'Archive':", "unknown member \"Archive\"" },
	{ "{'Archives':",
	  "{'Relays':[{'RelayName':'r','ServerName':'h','ServerPort':0,'Authentication':{}}],"
	  "'Archives':",
	  "Relays[0].ServerPort: Member must have value greater than or equal to 1" },
	{ "{'Archives':",
	  "{'Relays':[{'RelayName':'r','ServerName':'h','ServerPort':1,'Authentication':{}}],"
	  "'Archives':",
	  "Relays[0].Authentication: must have exactly one of: SecretArn, NoAuthentication" },
	/* retention */
	{ "'ONE_YEAR'", "'ONE_WEEK'",
	  "Archives[0].Retention.RetentionPeriod: Member must satisfy enum value set: "
	  "[THREE_MONTHS, SIX_MONTHS, NINE_MONTHS, ONE_YEAR, EIGHTEEN_MONTHS, TWO_YEARS, "
	  "THIRTY_MONTHS, THREE_YEARS, FOUR_YEARS, FIVE_YEARS, SIX_YEARS, SEVEN_YEARS, "
	  "EIGHT_YEARS, NINE_YEARS, TEN_YEARS, PERMANENT]" },
	{ "'RetentionDays':30", "'RetentionDays':0",
	  "Archives[1].Retention.RetentionDays: Member must have value greater than or equal to "
	  "1" },
	{ "'RetentionDays':30", "'RetentionDays':36501",
	  "Archives[1].Retention.RetentionDays: Member must have value less than or equal to "
	  "36500" },
	{ "'RetentionDays':30", "'RetentionDays':'30'",
	  "Archives[1].Retention.RetentionDays: must be an integer" },
	{ "'RetentionDays':30", "'RetentionDays':30,'RetentionPeriod':'ONE_YEAR'",
	  "Archives[1].Retention: must have exactly one of: RetentionPeriod, RetentionDays" },
	{ "'RetentionDays':30", "",
	  "Archives[1].Retention: must have exactly one of: RetentionPeriod, RetentionDays" },
	/* address lists */
	{ "'vip.1_-','Add", "'v ip','Add",
	  "AddressLists[0].AddressListName: must match ^[a-zA-Z0-9_.-]+$" },
	{ "'*@c.example'", "'a*b*@c.example'",
	  "AddressLists[0].Addresses[0]: must have at most one \"*\"" },
	{ "'a@b.example']}]", "'ab']}]",
	  "AddressLists[0].Addresses[1]: Member must have length greater than or equal to 3" },
	{ ",'Addresses':['*@c.example','a@b.example']", "",
	  "AddressLists[0].Addresses: Member must not be null" },
	{ "['*@c.example','a@b.example']", "{}", "AddressLists[0].Addresses: must be a list" },
	/* traffic policies */
	{ "'open','Def", "'op','Def",
	  "TrafficPolicies[0].TrafficPolicyName: Member must have length greater than or equal to "
	  "3" },
	{ "'open','Def", "'op.en','Def",
	  "TrafficPolicies[0].TrafficPolicyName: must match ^[A-Za-z0-9_\\-]+$" },
	{ "'ALLOW'", "'PERHAPS'",
	  "TrafficPolicies[0].DefaultAction: Member must satisfy enum value set: [ALLOW, DENY]" },
	{ ":1000", ":0",
	  "TrafficPolicies[0].MaxMessageSizeBytes: Member must have value greater than or equal to "
	  "1" },
	{ "'RECIPIENT'},'Op", "'SENDER'},'Op",
	  POLICY0 ".Conditions[0].StringExpression.Evaluate.Attribute: Member must satisfy enum "
	          "value set: [RECIPIENT]" },
	{ "{'Attribute':'RECIPIENT'},'Op", "{'Analysis':{'Analyzer':'x','ResultField':'y-z'}},'Op",
	  POLICY0 ".Conditions[0].StringExpression.Evaluate.Analysis.ResultField: must match "
	          "^(addon\\.)?[\\sa-zA-Z0-9_]+$" },
	{ "'EQUALS','Values':['x@y", "'MATCHES','Values':['x@y",
	  POLICY0 ".Conditions[0].StringExpression.Operator: Member must satisfy enum value set: "
	          "[EQUALS, NOT_EQUALS, STARTS_WITH, ENDS_WITH, CONTAINS]" },
	{ "192.0.2.0/24", "192.0.2.0",
	  POLICY0 ".Conditions[1].IpExpression.Values[0]: must be an IPv4 network with its prefix "
	          "length, such as 192.0.2.0/24" },
	{ "192.0.2.0/24", "2001:db8::/32",
	  POLICY0 ".Conditions[1].IpExpression.Values[0]: must be an IPv4 network with its prefix "
	          "length, such as 192.0.2.0/24" },
	{ "2001:db8::/32']}},{'Tls", "192.0.2.0/24']}},{'Tls",
	  POLICY0
	  ".Conditions[2].Ipv6Expression.Values[0]: must be an IPv6 network with its prefix "
	  "length, such as 2001:db8::/32" },
	{ "'TLS1_2'", "'TLS1_1'",
	  POLICY0
	  ".Conditions[3].TlsExpression.Value: Member must satisfy enum value set: [TLS1_2, "
	  "TLS1_3]" },
	{ "['vip.1_-']", "['a','b']",
	  POLICY0 ".Conditions[4].BooleanExpression.Evaluate.IsInAddressList.AddressLists: Member "
	          "must have length less than or equal to 1" },
	{ "{'TlsExpression'",
	  "{'IpExpression':{'Evaluate':{'Attribute':'SENDER_IP'},'Operator':"
	  "'CIDR_MATCHES','Values':[]},'TlsExpression'",
	  POLICY0 ".Conditions[3]: must have exactly one of: StringExpression, IpExpression, "
	          "Ipv6Expression, TlsExpression, BooleanExpression" },
	/* rule conditions */
	{ "'Name':'keep'", "'Name':'a-name-that-is-longer-than-the-model-allows'",
	  "RuleSets[0].Rules[0].Name: Member must have length less than or equal to 32" },
	{ "'Name':'keep'", "'Name':'two words'",
	  "RuleSets[0].Rules[0].Name: must match ^[a-zA-Z0-9_.-]+$" },
	{ "'RuleSetName':'all','R", "'RuleSetName':'a/b','R",
	  "RuleSets[0].RuleSetName: must match ^[a-zA-Z0-9_.-]+$" },
	{ "'TLS'}", "'DKIM'}",
	  CONDITION0
	  "[0].BooleanExpression.Evaluate.Attribute: Member must satisfy enum value set: "
	  "[READ_RECEIPT_REQUESTED, TLS, TLS_WRAPPED]" },
	{ "{'MimeHeaderAttribute':'X-A'}", "{'MimeHeaderAttribute':'Subject'}",
	  CONDITION0 "[1].StringExpression.Evaluate.MimeHeaderAttribute: must match "
	             "^X-[a-zA-Z0-9-]{1,256}$" },
	{ "{'MimeHeaderAttribute':'X-A'}", "{'ClientCertificateAttribute':'O'}",
	  CONDITION0
	  "[1].StringExpression.Evaluate.ClientCertificateAttribute: Member must satisfy "
	  "enum value set: [CN, SAN_RFC822_NAME, SAN_DNS_NAME, SAN_DIRECTORY_NAME, "
	  "SAN_UNIFORM_RESOURCE_IDENTIFIER, SAN_IP_ADDRESS, SAN_REGISTERED_ID, "
	  "SERIAL_NUMBER]" },
	{ "['v']", "[]",
	  CONDITION0
	  "[1].StringExpression.Values: Member must have length greater than or equal to "
	  "1" },
	{ "['v']", "['1','2','3','4','5','6','7','8','9','10','11']",
	  CONDITION0 "[1].StringExpression.Values: Member must have length less than or equal to "
	             "10" },
	{ "['v']", "['']",
	  CONDITION0
	  "[1].StringExpression.Values[0]: Member must have length greater than or equal "
	  "to 1" },
	{ "1.5", "'1.5'", CONDITION0 "[2].NumberExpression.Value: must be a number" },
	{ "'10.0.0.1'", "'10.0.0.256'",
	  CONDITION0 "[3].IpExpression.Values[0]: must be an IP network such as 192.0.2.0/24 or "
	             "2001:db8::/32" },
	{ "{'NumberExpression'", "{'VerdictExpression':{},'NumberExpression'",
	  CONDITION0 "[2].VerdictExpression.Evaluate: Member must not be null" },
	{ "{'NumberExpression'",
	  "{'VerdictExpression':{'Evaluate':{'Attribute':'DMARC'}},'NumberExpression'",
	  CONDITION0
	  "[2].VerdictExpression.Evaluate.Attribute: Member must satisfy enum value set: "
	  "[SPF, DKIM]" },
	{ "{'NumberExpression'",
	  "{'VerdictExpression':{'Evaluate':{'Analysis':{'Analyzer':'ai-1','ResultField':'a-b'}}},"
	  "'NumberExpression'",
	  CONDITION0 "[2].VerdictExpression.Evaluate.Analysis.ResultField: must match "
	             "^(addon\\.)?[\\sa-zA-Z0-9_]+$" },
	{ "{'NumberExpression'", "{'DmarcExpression':{'Values':['PASS']},'NumberExpression'",
	  CONDITION0 "[2].DmarcExpression.Values[0]: Member must satisfy enum value set: [NONE, "
	             "QUARANTINE, REJECT]" },
	/* actions */
	{ "{'Drop':{}}", "{'Drop':{'Now':true}}", ACTION0 "[3].Drop: unknown member \"Now\"" },
	{ "{'Drop':{}}", "{}",
	  ACTION0
	  "[3]: must have exactly one of: Drop, Relay, Archive, WriteToS3, Send, AddHeader, "
	  "ReplaceRecipient, DeliverToMailbox, DeliverToQBusiness, PublishToSns, Bounce, "
	  "InvokeLambda" },
	{ "{'Drop':{}}", "{'Relay':{}}", ACTION0 "[3].Relay.Relay: Member must not be null" },
	{ "{'Drop':{}}", "{'Send':{}}", ACTION0 "[3].Send.RoleArn: Member must not be null" },
	{ "{'Drop':{}}", "{'InvokeLambda':{'FunctionArn':'f'}}",
	  ACTION0
	  "[3].InvokeLambda.FunctionArn: Member must have length greater than or equal to 20" },
	{ "'DROP'", "'RETRY'",
	  ACTION0 "[0].Archive.ActionFailurePolicy: Member must satisfy enum value set: [CONTINUE, "
	          "DROP]" },
	{ "'X-Seen'", "'Seen'",
	  ACTION0 "[1].AddHeader.HeaderName: must match ^[xX]\\-[a-zA-Z0-9\\-]+$" },
	{ "'yes'", "'yes\\r\\nBcc: x'",
	  ACTION0 "[1].AddHeader.HeaderValue: must be one line without control characters" },
	{ "['a@b.example']}},{'Drop", "[]}},{'Drop",
	  ACTION0 "[2].ReplaceRecipient.ReplaceWith: Member must have length greater than or equal "
	          "to 1" },
	{ "['a@b.example']}},{'Drop", "['a b@c']}},{'Drop",
	  ACTION0 "[2].ReplaceRecipient.ReplaceWith[0]: must match "
	          "^[a-zA-Z0-9._+-]+@[a-zA-Z0-9.-]+$" },
	{ "['a@b.example']}},{'Drop", "['a@b','a@b']}},{'Drop",
	  ACTION0 "[2].ReplaceRecipient.ReplaceWith[1]: is there twice" },
	/* ingress points */
	{ "'inbound'", "'in'",
	  "IngressPoints[0].IngressPointName: Member must have length greater than or equal to 3" },
	{ "'OPEN'", "'SHUT'",
	  "IngressPoints[0].Type: Member must satisfy enum value set: [OPEN, AUTH, MTLS]" },
	{ "'OPTIONAL'", "'FIPS'",
	  "IngressPoints[0].TlsPolicy: \"FIPS\" is not built yet; it needs a validated "
	  "cryptographic "
	  "module" },
	{ "'TlsWrapped':false", "'TlsWrapped':'no'",
	  "IngressPoints[0].TlsWrapped: must be true or false" },
	{ "'127.0.0.1:2525'", "'localhost:2525'",
	  "IngressPoints[0].Listen: must be ADDRESS:PORT, such as 127.0.0.1:2525 or [::1]:25" },
	{ "'127.0.0.1:2525'", "'127.0.0.1:0'",
	  "IngressPoints[0].Listen: must be ADDRESS:PORT, such as 127.0.0.1:2525 or [::1]:25" },
	{ "'Listen':'127.0.0.1:2525',", "", "IngressPoints[0].Listen: Member must not be null" },
	{ "'KEEP'", "'FIX'",
	  "IngressPoints[0].BareNewlines: Member must satisfy enum value set: [REJECT, KEEP]" },
	{ "'ACTIVE'", "'UPDATING'",
	  "IngressPoints[0].Status: Member must satisfy enum value set: [ACTIVE, CLOSED]" },
	{ "'Status':'ACTIVE'", "'IngressPointConfiguration':{'SmtpPassword':'12345678'}",
	  "IngressPoints[0].IngressPointConfiguration: \"SmtpPassword\" is not built yet; a "
	  "password is set by "
	  "\"mmctl passwd\"" },
	{ "'Status':'ACTIVE'", "'NetworkConfiguration':{}",
	  "IngressPoints[0]: \"NetworkConfiguration\" is not built yet; say where to listen by "
	  "\"Listen\"" },
};

static void test_each_constraint(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(changes); i++)
		expect_change(changes[i].from, changes[i].to, changes[i].want);
}

/* "{before}{item},{item},...{after}" */
static void expect_many(const char *before, const char *item, size_t n, const char *after,
                        const char *want)
{
	struct buf text;
	enum rc rc;

	buf_init(&text, 16 << 20);
	rc = buf_add_str(&text, before);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = buf_addf(&text, "%s%s", i ? "," : "", item);
	if (rc == RC_OK)
		rc = buf_add_str(&text, after);
	assert_int_equal(rc, RC_OK);
	if (want) {
		expect_fault(buf_text(&text), want);
	} else {
		json_t *file = quoted(buf_text(&text));
		struct err e = { 0 };

		EXPECT_OK(shape_check(&shape_apply_file, file, NULL, SHAPE_STRICT, &e), &e);
		json_decref(file);
	}
	buf_free(&text);
}

#define A_RULE      "{'Actions':[{'Drop':{}}]}"
#define A_CONDITION "{'BooleanExpression':{'Evaluate':{'Attribute':'TLS'},'Operator':'IS_TRUE'}}"
#define A_STATEMENT                                                                                \
	"{'Action':'DENY','Conditions':[{'TlsExpression':{'Evaluate':{'Attribute':'TLS_PROTOCOL'}" \
	",'Operator':'IS','Value':'TLS1_3'}}]}"
#define A_TLS                                                                                      \
	"{'TlsExpression':{'Evaluate':{'Attribute':'TLS_PROTOCOL'},'Operator':'IS','Value':"       \
	"'TLS1_3'}}"

static const struct {
	const char *before;
	const char *item;
	size_t most;
	const char *after;
	const char *want;
} counts[] = {
	{ "{'RuleSets':[{'RuleSetName':'r','Rules':[", A_RULE, 40, "]}]}",
	  "RuleSets[0].Rules: Member must have length less than or equal to 40" },
	{ "{'RuleSets':[{'RuleSetName':'r','Rules':[{'Actions':[{'Drop':{}}],'Conditions':[",
	  A_CONDITION, 10, "]}]}]}",
	  "RuleSets[0].Rules[0].Conditions: Member must have length less than or equal to 10" },
	{ "{'RuleSets':[{'RuleSetName':'r','Rules':[{'Actions':[{'Drop':{}}],'Unless':[",
	  A_CONDITION, 10, "]}]}]}",
	  "RuleSets[0].Rules[0].Unless: Member must have length less than or equal to 10" },
	{ "{'RuleSets':[{'RuleSetName':'r','Rules':[{'Actions':[", "{'Drop':{}}", 10, "]}]}]}",
	  "RuleSets[0].Rules[0].Actions: Member must have length less than or equal to 10" },
	{ "{'TrafficPolicies':[{'TrafficPolicyName':'abc','DefaultAction':'DENY',"
	  "'PolicyStatements':[",
	  A_STATEMENT, 20, "]}]}",
	  "TrafficPolicies[0].PolicyStatements: Member must have length less than or equal to 20" },
	{ "{'TrafficPolicies':[{'TrafficPolicyName':'abc','DefaultAction':'DENY',"
	  "'PolicyStatements':[{'Action':'ALLOW','Conditions':[",
	  A_TLS, 10, "]}]}]}",
	  "TrafficPolicies[0].PolicyStatements[0].Conditions: Member must have length less than or "
	  "equal to 10" },
	{ "{'AddressLists':[{'AddressListName':'l','Addresses':[", "'a@b.example'", 1000000, "]}]}",
	  "AddressLists[0].Addresses: Member must have length less than or equal to 1000000" },
};

static void test_counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(counts); i++) {
		expect_many(counts[i].before, counts[i].item, counts[i].most, counts[i].after,
		            NULL);
		expect_many(counts[i].before, counts[i].item, counts[i].most + 1, counts[i].after,
		            counts[i].want);
	}
}

/* 'n' characters of two bytes each: length is counted in characters. */
static void check_length(size_t n, bool good)
{
	json_t *file = quoted("{'RuleSets':[{'RuleSetName':'r','Rules':[{'Actions':[{'Drop':{}}],"
	                      "'Conditions':[{'StringExpression':{'Evaluate':{'Attribute':"
	                      "'SUBJECT'},'Operator':'EQUALS','Values':['x']}}]}]}]}");
	char *text = mem_new(2 * n + 1);
	json_t *at = json_array_get(json_object_get(file, "RuleSets"), 0);
	struct err e = { 0 };

	for (size_t i = 0; i < n; i++)
		memcpy(text + 2 * i, "\xc3\xa9", 2);
	at = json_array_get(json_object_get(at, "Rules"), 0);
	at = json_array_get(json_object_get(at, "Conditions"), 0);
	at = json_object_get(json_object_get(at, "StringExpression"), "Values");
	json_array_set_new(at, 0, json_string(text));
	assert_int_equal(shape_check(&shape_apply_file, file, NULL, SHAPE_STRICT, &e) == RC_OK,
	                 good);
	if (!good)
		assert_string_equal(e.text, CONDITION0
		                    "[0].StringExpression.Values[0]: Member must have length less "
		                    "than or equal to 4096");
	free(text);
	json_decref(file);
}

static void test_length_is_in_characters(void **state)
{
	(void)state;
	check_length(4096, true);
	check_length(4097, false);
}

static void test_password(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ "12345678", true },
		{ "Az09!@#$%^&*()_+-=[]{}|.,?", true },
		{ "1234567", false },
		{ "with blank1", false },
		{ "with/slash", false },
		{ "quote\"12345", false },
		{ "0123456789012345678901234567890123456789012345678901234567890123", true },
		{ "01234567890123456789012345678901234567890123456789012345678901234", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		json_t *text = json_string(cases[i].text);
		struct err e;
		enum rc rc = shape_check(&shape_SmtpPassword, text, NULL, SHAPE_STRICT, &e);

		json_decref(text);
		EXPECT(cases[i].text, (rc == RC_OK) == cases[i].good);
	}
}

/* What differs between a file and the API. */
static void test_who_asks(void **state)
{
	static const struct {
		const char *text;
		const struct shape *shape;
		unsigned how;
		const char *want; /* NULL: it is right */
	} cases[] = {
		{ "{'RetentionPeriod':'ONE_YEAR','New':1}", &shape_ArchiveRetention, SHAPE_API,
		  NULL },
		{ "{'RetentionPeriod':'ONE_YEAR','New':1}", &shape_ArchiveRetention, SHAPE_STRICT,
		  "unknown member \"New\"" },
		{ "{'RetentionDays':3}", &shape_ArchiveRetention, SHAPE_STRICT, NULL },
		{ "{'RetentionDays':3}", &shape_ArchiveRetention, SHAPE_API,
		  "must have exactly one of: RetentionPeriod" },
		{ "{'RetentionDays':3,'RetentionPeriod':'ONE_YEAR'}", &shape_ArchiveRetention,
		  SHAPE_API, NULL },
		{ "{'Attribute':'BODY'}", &shape_ArchiveStringToEvaluate, SHAPE_API,
		  "Attribute: Member must satisfy enum value set: [TO, FROM, CC, SUBJECT, "
		  "ENVELOPE_TO, ENVELOPE_FROM]" },
		{ "{'Attribute':'BODY'}", &shape_ArchiveStringToEvaluate, SHAPE_API | SHAPE_MORE,
		  NULL },
		{ "{}", &shape_ReplaceRecipientAction, SHAPE_API,
		  "ReplaceWith: Member must not be null" },
		{ "{'Relay':{'Relay':'r-1'}}", &shape_RuleAction, SHAPE_API, NULL },
		/* a network that mm reads and the model's pattern doesn't allow */
		{ "['::ffff:192.0.2.0/120']", &shape_Ipv6Cidrs, SHAPE_API,
		  "[0]: must be an IPv6 network with its prefix length, such as 2001:db8::/32" },
		{ "['01.2.3.4/8']", &shape_Ipv4Cidrs, SHAPE_API,
		  "[0]: must be an IPv4 network with its prefix length, such as 192.0.2.0/24" },
		{ "1700000000123", &shape_Timestamp, SHAPE_API, NULL },
		{ "1700000000.5", &shape_Timestamp, SHAPE_API, "must be a time" },
		{ "-1", &shape_Integer, SHAPE_API, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *text = quoted_text(cases[i].text);
		json_t *value = NULL;
		struct err e = { 0 };
		enum rc rc = json_read(&value, slice_str(text), &e);

		EXPECT(cases[i].text, rc == RC_OK);
		rc = shape_check(cases[i].shape, value, NULL, cases[i].how, &e);
		json_decref(value);
		free(text);
		EXPECT(cases[i].text, (rc == RC_OK) == !cases[i].want);
		if (cases[i].want && strcmp(e.text, cases[i].want) != 0)
			fail_msg("%s\n got: %s\nwant: %s", cases[i].text, e.text, cases[i].want);
	}
}

/* The model's bound of a list, and the service's quota, which is the operation's business. */
static void test_quota(void **state)
{
	json_t *many = json_array();
	struct err e = { 0 };

	(void)state;
	for (int i = 0; i < 21; i++)
		json_push(many, quoted(A_STATEMENT));
	EXPECT_OK(shape_check(&shape_PolicyStatementList, many, NULL, SHAPE_API, &e), &e);
	assert_int_equal(shape_check(&shape_PolicyStatementList, many, NULL, SHAPE_STRICT, &e),
	                 RC_INVALID);
	json_decref(many);
}

static void test_not_an_object(void **state)
{
	(void)state;
	expect_fault("[]", "must be an object");
	expect_fault("'text'", "must be an object");
	expect_fault("{'RuleSets':[null]}", "RuleSets[0]: must be an object");
	expect_fault("{'RuleSets':{}}", "RuleSets: must be a list");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_null_is_absent),
		cmocka_unit_test(test_each_constraint),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_length_is_in_characters),
		cmocka_unit_test(test_password),
		cmocka_unit_test(test_who_asks),
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_not_an_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
