#include "ingest/shape_resources.h"

#include "base/cidr.h"
#include "ingest/address_list.h"

/* A set of bytes written as in a bracket of the patterns: "a-zA-Z0-9_.-" (a '-' at the end is
 * itself). */
static bool in_class(uint8_t c, const char *class)
{
	for (const char *p = class; *p; p++) {
		if (p[1] == '-' && p[2]) {
			if (c >= (uint8_t)p[0] && c <= (uint8_t)p[2])
				return true;
			p += 2;
		} else if (c == (uint8_t)*p) {
			return true;
		}
	}
	return false;
}

static bool all_in(struct slice s, const char *class)
{
	for (size_t i = 0; i < s.len; i++)
		if (!in_class(s.at[i], class))
			return false;
	return s.len > 0;
}

#define ALNUM "a-zA-Z0-9"

static bool is_archive_name(struct slice s)
{
	return s.len >= 2 && all_in(s, ALNUM "_-") && all_in(slice_part(s, 0, 1), ALNUM) &&
	       all_in(slice_from(s, s.len - 1), ALNUM);
}

static bool is_dotted_name(struct slice s)
{
	return all_in(s, ALNUM "_.-");
}

static bool is_plain_name(struct slice s)
{
	return all_in(s, ALNUM "_-");
}

static bool is_reference(struct slice s)
{
	return all_in(s, ALNUM ":_/+=,@.#-");
}

static bool is_header_name(struct slice s)
{
	return s.len > 2 && (s.at[0] == 'x' || s.at[0] == 'X') && s.at[1] == '-' &&
	       all_in(slice_from(s, 2), ALNUM "-");
}

static bool is_mime_header(struct slice s)
{
	return s.len > 2 && s.len <= 258 && s.at[0] == 'X' && s.at[1] == '-' &&
	       all_in(slice_from(s, 2), ALNUM "-");
}

static bool is_email_address(struct slice s)
{
	struct slice domain;
	struct slice local = slice_cut(s, '@', &domain);

	return all_in(local, ALNUM "._+-") && all_in(domain, ALNUM ".-");
}

static bool is_password(struct slice s)
{
	return all_in(s, ALNUM "!@#$%^&*()_+=[]{}|.,?-");
}

static const char *header_value_fault(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] < ' ' && s.at[i] != '\t')
			return "must be one line without control characters";
	return NULL;
}

static const char *network_fault(struct slice s)
{
	struct cidr net;

	return cidr_parse(&net, s, true) ? NULL
	                                 : "must be an IP network such as 192.0.2.0/24 or "
	                                   "2001:db8::/32";
}

static const char *network4_fault(struct slice s)
{
	struct cidr net;

	return cidr_parse(&net, s, false) && slice_find_byte(s, ':') == SIZE_MAX
	               ? NULL
	               : "must be an IPv4 network with its prefix length, such as 192.0.2.0/24";
}

static const char *network6_fault(struct slice s)
{
	struct cidr net;

	return cidr_parse(&net, s, false) && net.base.family == 6
	               ? NULL
	               : "must be an IPv6 network with its prefix length, such as 2001:db8::/32";
}

static const char *listen_fault(struct slice s)
{
	struct ip ip;
	uint16_t port;

	return ip_port_parse(&ip, &port, s) ? NULL
	                                    : "must be ADDRESS:PORT, such as 127.0.0.1:2525 or "
	                                      "[::1]:25";
}

/* Rows of the tables below. */
#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}
#define NEED(text, of)                                                                             \
	{                                                                                          \
		.name = text, .shape = &of, .required = true                                       \
	}
#define MAY(text, of)                                                                              \
	{                                                                                          \
		.name = text, .shape = &of                                                         \
	}
#define VALUE(text)                                                                                \
	{                                                                                          \
		.name = text                                                                       \
	}
#define VALUE_LATER(text, w)                                                                       \
	{                                                                                          \
		.name = text, .later = w                                                           \
	}
#define STRUCT(name, ...)                                                                          \
	static const struct shape_member name##_members[] = { __VA_ARGS__, END };                  \
	static const struct shape name = { .kind = SHAPE_STRUCT, .members = name##_members }
#define UNION(name, ...)                                                                           \
	static const struct shape_member name##_members[] = { __VA_ARGS__, END };                  \
	static const struct shape name = { .kind = SHAPE_UNION, .members = name##_members }
#define ENUM(name, ...)                                                                            \
	static const struct shape_value name##_values[] = { __VA_ARGS__, END };                    \
	static const struct shape name = { .kind = SHAPE_ENUM, .values = name##_values }
#define LIST(name, of, least, most)                                                                \
	static const struct shape name = {                                                         \
		.kind = SHAPE_LIST, .item = &of, .min = least, .max = most                         \
	}
#define STRING(name, least, most)                                                                  \
	static const struct shape name = { .kind = SHAPE_STRING, .min = least, .max = most }
#define STRING_LIKE(name, least, most, text, test)                                                 \
	static const struct shape name = {                                                         \
		.kind = SHAPE_STRING, .min = least, .max = most, .pattern = text, .matches = test  \
	}
#define STRING_WITHOUT(name, least, most, test)                                                    \
	static const struct shape name = {                                                         \
		.kind = SHAPE_STRING, .min = least, .max = most, .fault = test                     \
	}
#define LATER(name, text) static const struct shape name = { .kind = SHAPE_LATER, .later = text }

static const struct shape boolean = { .kind = SHAPE_BOOL };
static const struct shape number = { .kind = SHAPE_DOUBLE };

STRING_LIKE(reference, 1, 2048, "^[a-zA-Z0-9:_/+=,@.#-]+$", is_reference);
LIST(one_reference, reference, 1, 1);
LATER(later_tags, "tags come with the control API");
LATER(later_analysis, "it comes with add-ons");
LATER(later_verdict, "it comes with the checks of SPF and DKIM");
LATER(later_dmarc, "it comes with the check of DMARC");
LATER(later_certificate, "it comes with MTLS ingress points");
LATER(later_outbound, "it comes with the outbound queue");
LATER(later_s3, "it comes with S3 storage");

/* Conditions of both kinds */
ENUM(boolean_operator, VALUE("IS_TRUE"), VALUE("IS_FALSE"));
ENUM(string_operator, VALUE("EQUALS"), VALUE("NOT_EQUALS"), VALUE("STARTS_WITH"),
     VALUE("ENDS_WITH"), VALUE("CONTAINS"));
ENUM(ip_operator, VALUE("CIDR_MATCHES"), VALUE("NOT_CIDR_MATCHES"));

/* Archives */
ENUM(retention_period, VALUE("THREE_MONTHS"), VALUE("SIX_MONTHS"), VALUE("NINE_MONTHS"),
     VALUE("ONE_YEAR"), VALUE("EIGHTEEN_MONTHS"), VALUE("TWO_YEARS"), VALUE("THIRTY_MONTHS"),
     VALUE("THREE_YEARS"), VALUE("FOUR_YEARS"), VALUE("FIVE_YEARS"), VALUE("SIX_YEARS"),
     VALUE("SEVEN_YEARS"), VALUE("EIGHT_YEARS"), VALUE("NINE_YEARS"), VALUE("TEN_YEARS"),
     VALUE("PERMANENT"));
static const struct shape retention_days = { .kind = SHAPE_INT, .min = 1, .max = 36500 };
UNION(retention, MAY("RetentionPeriod", retention_period), MAY("RetentionDays", retention_days));
STRING_LIKE(archive_name, 1, 64, "^[a-zA-Z0-9][a-zA-Z0-9_-]*[a-zA-Z0-9]$", is_archive_name);
LATER(later_kms, "keys are kept in the key ring under the master key");
STRUCT(archive, NEED("ArchiveName", archive_name), MAY("Retention", retention),
       MAY("KmsKeyArn", later_kms), MAY("Tags", later_tags));

/* Address lists */
STRING_LIKE(address_list_name, 1, 255, "^[a-zA-Z0-9_.-]+$", is_dotted_name);
STRING_WITHOUT(address_entry, 3, 320, address_entry_fault);
LIST(address_entries, address_entry, 0, ADDRESS_LIST_MOST);
STRUCT(address_list, NEED("AddressListName", address_list_name), NEED("Addresses", address_entries),
       MAY("Tags", later_tags));

/* Traffic policies */
STRING(policy_text, 0, 0);
LIST(policy_texts, policy_text, 0, 0);
STRING_WITHOUT(network4, 0, 0, network4_fault);
LIST(networks4, network4, 0, 0);
STRING_WITHOUT(network6, 0, 49, network6_fault);
LIST(networks6, network6, 0, 0);
ENUM(accept_action, VALUE("ALLOW"), VALUE("DENY"));
ENUM(policy_recipient, VALUE("RECIPIENT"));
ENUM(policy_ip4, VALUE("SENDER_IP"));
ENUM(policy_ip6, VALUE("SENDER_IPV6"));
ENUM(policy_tls_attribute, VALUE("TLS_PROTOCOL"));
ENUM(policy_tls_operator, VALUE("MINIMUM_TLS_VERSION"), VALUE("IS"));
ENUM(policy_tls_value, VALUE("TLS1_2"), VALUE("TLS1_3"));
UNION(policy_string_left, MAY("Attribute", policy_recipient), MAY("Analysis", later_analysis));
UNION(policy_ip4_left, MAY("Attribute", policy_ip4));
UNION(policy_ip6_left, MAY("Attribute", policy_ip6));
UNION(policy_tls_left, MAY("Attribute", policy_tls_attribute));
STRUCT(policy_in_list, NEED("Attribute", policy_recipient), NEED("AddressLists", one_reference));
UNION(policy_boolean_left, MAY("Analysis", later_analysis), MAY("IsInAddressList", policy_in_list));
STRUCT(policy_string, NEED("Evaluate", policy_string_left), NEED("Operator", string_operator),
       NEED("Values", policy_texts));
STRUCT(policy_ip4_match, NEED("Evaluate", policy_ip4_left), NEED("Operator", ip_operator),
       NEED("Values", networks4));
STRUCT(policy_ip6_match, NEED("Evaluate", policy_ip6_left), NEED("Operator", ip_operator),
       NEED("Values", networks6));
STRUCT(policy_tls_match, NEED("Evaluate", policy_tls_left), NEED("Operator", policy_tls_operator),
       NEED("Value", policy_tls_value));
STRUCT(policy_boolean, NEED("Evaluate", policy_boolean_left), NEED("Operator", boolean_operator));
UNION(policy_condition, MAY("StringExpression", policy_string),
      MAY("IpExpression", policy_ip4_match), MAY("Ipv6Expression", policy_ip6_match),
      MAY("TlsExpression", policy_tls_match), MAY("BooleanExpression", policy_boolean));
/* The upper bounds of conditions and statements are the service's quotas (spec section 8.2). */
LIST(policy_conditions, policy_condition, 1, 10);
STRUCT(policy_statement, NEED("Conditions", policy_conditions), NEED("Action", accept_action));
LIST(policy_statements, policy_statement, 0, 20);
STRING_LIKE(point_name, 3, 63, "^[A-Za-z0-9_\\-]+$", is_plain_name);
static const struct shape max_message = { .kind = SHAPE_INT, .min = 1 };
STRUCT(traffic_policy, NEED("TrafficPolicyName", point_name),
       NEED("PolicyStatements", policy_statements), NEED("DefaultAction", accept_action),
       MAY("MaxMessageSizeBytes", max_message), MAY("Tags", later_tags));

/* Rule conditions */
STRING(rule_text, 1, 4096);
LIST(rule_texts, rule_text, 1, 10);
STRING_WITHOUT(rule_network, 1, 43, network_fault);
LIST(rule_networks, rule_network, 1, 10);
STRING_LIKE(mime_header, 0, 0, "^X-[a-zA-Z0-9-]{1,256}$", is_mime_header);
ENUM(rule_boolean_attribute, VALUE("READ_RECEIPT_REQUESTED"), VALUE("TLS"), VALUE("TLS_WRAPPED"));
ENUM(rule_list_attribute, VALUE("RECIPIENT"), VALUE("MAIL_FROM"), VALUE("SENDER"), VALUE("FROM"),
     VALUE("TO"), VALUE("CC"));
ENUM(rule_string_attribute, VALUE("MAIL_FROM"), VALUE("HELO"), VALUE("RECIPIENT"), VALUE("SENDER"),
     VALUE("FROM"), VALUE("SUBJECT"), VALUE("TO"), VALUE("CC"));
ENUM(rule_number_attribute, VALUE("MESSAGE_SIZE"));
ENUM(rule_number_operator, VALUE("EQUALS"), VALUE("NOT_EQUALS"), VALUE("LESS_THAN"),
     VALUE("GREATER_THAN"), VALUE("LESS_THAN_OR_EQUAL"), VALUE("GREATER_THAN_OR_EQUAL"));
ENUM(rule_ip_attribute, VALUE("SOURCE_IP"));
STRUCT(rule_in_list, NEED("Attribute", rule_list_attribute), NEED("AddressLists", one_reference));
UNION(rule_boolean_left, MAY("Attribute", rule_boolean_attribute), MAY("Analysis", later_analysis),
      MAY("IsInAddressList", rule_in_list));
UNION(rule_string_left, MAY("Attribute", rule_string_attribute),
      MAY("MimeHeaderAttribute", mime_header), MAY("Analysis", later_analysis),
      MAY("ClientCertificateAttribute", later_certificate));
UNION(rule_number_left, MAY("Attribute", rule_number_attribute));
UNION(rule_ip_left, MAY("Attribute", rule_ip_attribute));
STRUCT(rule_boolean, NEED("Evaluate", rule_boolean_left), NEED("Operator", boolean_operator));
STRUCT(rule_string, NEED("Evaluate", rule_string_left), NEED("Operator", string_operator),
       NEED("Values", rule_texts));
STRUCT(rule_number, NEED("Evaluate", rule_number_left), NEED("Operator", rule_number_operator),
       NEED("Value", number));
STRUCT(rule_ip, NEED("Evaluate", rule_ip_left), NEED("Operator", ip_operator),
       NEED("Values", rule_networks));
UNION(rule_condition, MAY("BooleanExpression", rule_boolean), MAY("StringExpression", rule_string),
      MAY("NumberExpression", rule_number), MAY("IpExpression", rule_ip),
      MAY("VerdictExpression", later_verdict), MAY("DmarcExpression", later_dmarc));
LIST(rule_conditions, rule_condition, 0, 10);

/* Rule actions */
ENUM(failure_policy, VALUE("CONTINUE"), VALUE("DROP"));
STRUCT(archive_action, NEED("TargetArchive", reference),
       MAY("ActionFailurePolicy", failure_policy));
static const struct shape_member no_members[] = { END };
static const struct shape drop_action = { .kind = SHAPE_STRUCT, .members = no_members };
STRING_LIKE(header_name, 1, 64, "^[xX]\\-[a-zA-Z0-9\\-]+$", is_header_name);
STRING_WITHOUT(header_value, 1, 128, header_value_fault);
STRUCT(add_header_action, NEED("HeaderName", header_name), NEED("HeaderValue", header_value));
STRING_LIKE(email_address, 0, 254, "^[a-zA-Z0-9._+-]+@[a-zA-Z0-9.-]+$", is_email_address);
static const struct shape replacements = {
	.kind = SHAPE_LIST, .item = &email_address, .min = 1, .max = 100, .unique = true
};
STRUCT(replace_action, NEED("ReplaceWith", replacements));
UNION(rule_action, MAY("Drop", drop_action), MAY("Relay", later_outbound),
      MAY("Archive", archive_action), MAY("WriteToS3", later_s3), MAY("Send", later_outbound),
      MAY("AddHeader", add_header_action), MAY("ReplaceRecipient", replace_action),
      MAY("DeliverToMailbox", later_outbound), MAY("DeliverToQBusiness", later_outbound),
      MAY("PublishToSns", later_outbound), MAY("Bounce", later_outbound),
      MAY("InvokeLambda", later_outbound));
LIST(rule_actions, rule_action, 1, 10);

/* Rule sets */
STRING_LIKE(rule_name, 1, 32, "^[a-zA-Z0-9_.-]+$", is_dotted_name);
STRUCT(rule, MAY("Name", rule_name), MAY("Conditions", rule_conditions),
       MAY("Unless", rule_conditions), NEED("Actions", rule_actions));
LIST(rules, rule, 0, 40);
STRING_LIKE(rule_set_name, 1, 100, "^[a-zA-Z0-9_.-]+$", is_dotted_name);
STRUCT(rule_set, NEED("RuleSetName", rule_set_name), NEED("Rules", rules), MAY("Tags", later_tags));

/* Ingress points */
ENUM(point_type, VALUE("OPEN"), VALUE("AUTH"),
     VALUE_LATER("MTLS", "it comes with client certificates and trust stores"));
ENUM(tls_policy, VALUE("REQUIRED"), VALUE("OPTIONAL"),
     VALUE_LATER("FIPS", "it needs a validated cryptographic module"));
ENUM(point_status, VALUE("ACTIVE"), VALUE("CLOSED"));
ENUM(bare_newlines, VALUE("REJECT"), VALUE("KEEP"));
STRING_WITHOUT(listen_address, 1, 64, listen_fault);
STRING(id_text, 1, 100);
LATER(later_secret, "a password is set by \"mmctl passwd\"");
LATER(later_network, "say where to listen by \"Listen\"");
STRUCT(ingress_point, NEED("IngressPointName", point_name), NEED("Type", point_type),
       MAY("RuleSetName", rule_set_name), MAY("RuleSetId", id_text),
       MAY("TrafficPolicyName", point_name), MAY("TrafficPolicyId", id_text),
       NEED("Listen", listen_address), MAY("TlsPolicy", tls_policy), MAY("TlsWrapped", boolean),
       MAY("BareNewlines", bare_newlines), MAY("AllowOddLocalParts", boolean),
       MAY("Status", point_status), MAY("IngressPointConfiguration", later_secret),
       MAY("NetworkConfiguration", later_network), MAY("Tags", later_tags));

LIST(archives, archive, 0, 0);
LIST(address_lists, address_list, 0, 0);
LIST(traffic_policies, traffic_policy, 0, 0);
LIST(rule_sets, rule_set, 0, 0);
LIST(ingress_points, ingress_point, 0, 0);
LATER(later_relays, "relays come with the outbound queue");
LATER(later_addons, "they come with add-ons");
static const struct shape_member apply_file_members[] = { MAY("Archives", archives),
	                                                  MAY("AddressLists", address_lists),
	                                                  MAY("TrafficPolicies", traffic_policies),
	                                                  MAY("RuleSets", rule_sets),
	                                                  MAY("IngressPoints", ingress_points),
	                                                  MAY("Relays", later_relays),
	                                                  MAY("AddonInstances", later_addons),
	                                                  MAY("AddonSubscriptions", later_addons),
	                                                  END };

const struct shape shape_apply_file = { .kind = SHAPE_STRUCT, .members = apply_file_members };
const struct shape shape_archive = { .kind = SHAPE_STRUCT, .members = archive_members };
const struct shape shape_address_list = { .kind = SHAPE_STRUCT, .members = address_list_members };
const struct shape shape_traffic_policy = { .kind = SHAPE_STRUCT,
	                                    .members = traffic_policy_members };
const struct shape shape_rule_set = { .kind = SHAPE_STRUCT, .members = rule_set_members };
const struct shape shape_ingress_point = { .kind = SHAPE_STRUCT, .members = ingress_point_members };
const struct shape shape_smtp_password = { .kind = SHAPE_STRING,
	                                   .min = 8,
	                                   .max = 64,
	                                   .pattern = "^[A-Za-z0-9!@#$%^&*()_+\\-=\\[\\]{}|.,?]+$",
	                                   .matches = is_password };
