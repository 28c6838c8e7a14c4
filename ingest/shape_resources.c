/* ingest/shape_resources.c - the file of mmctl apply: what in it isn't the model's */
#include "ingest/shape_resources.h"

#include "base/cidr.h"
#include "ingest/address_list.h"
#include "ingest/shape_table.h"

static const char *listen_fault(struct slice s)
{
	struct ip ip;
	uint16_t port;

	return ip_port_parse(&ip, &port, s) ? NULL
	                                    : "must be ADDRESS:PORT, such as 127.0.0.1:2525 or "
	                                      "[::1]:25";
}

/* clang-format off */

TEXT(ListenAddress, 1, 64, .fault = listen_fault);
ENUM(BareNewlines, "REJECT KEEP");
ENUM(RelayTls, "OPTIONAL REQUIRED WRAPPED");
ENUM(Judge, "AFTER_REPLY BEFORE_REPLY");
WHOLE(JudgeSeconds, 1, 240);
LIST(Addresses, Address, 0, ADDRESS_LIST_MOST);

STRUCT(apply_archive,
	NEED(ArchiveName, ArchiveNameString),
	MAY(Retention, ArchiveRetention),
	MAY(KmsKeyArn, KmsKeyArn),
	MAY(Tags, TagList));

STRUCT(apply_address_list,
	NEED(AddressListName, AddressListName),
	NEED(Addresses, Addresses),
	MAY(Tags, TagList));

STRUCT(apply_traffic_policy,
	NEED(TrafficPolicyName, TrafficPolicyName),
	NEED(PolicyStatements, PolicyStatementList),
	NEED(DefaultAction, AcceptAction),
	MAY(MaxMessageSizeBytes, MaxMessageSizeBytes),
	MAY(Tags, TagList));

STRUCT(apply_rule_set,
	NEED(RuleSetName, RuleSetName),
	NEED(Rules, Rules),
	MAY(Tags, TagList));

UNION(apply_point_configuration,
	LATER(SmtpPassword, SmtpPassword, "a password is set by \"mmctl passwd\""),
	LATER(SecretArn, SecretArn, "a password is set by \"mmctl passwd\""),
	MAY(TlsAuthConfiguration, TlsAuthConfiguration));

STRUCT(apply_ingress_point,
	NEED(IngressPointName, IngressPointName),
	NEED(Type, IngressPointType),
	OURS(RuleSetName, RuleSetName),
	MAY(RuleSetId, RuleSetId),
	OURS(TrafficPolicyName, TrafficPolicyName),
	MAY(TrafficPolicyId, TrafficPolicyId),
	NEED_OURS(Listen, ListenAddress),
	MAY(TlsPolicy, TlsPolicy),
	OURS(TlsWrapped, Boolean),
	OURS(BareNewlines, BareNewlines),
	OURS(AllowOddLocalParts, Boolean),
	OURS(Judge, Judge),
	OURS(JudgeSeconds, JudgeSeconds),
	OURS(Status, IngressPointStatusToUpdate),
	MAY(IngressPointConfiguration, apply_point_configuration),
	LATER(NetworkConfiguration, NetworkConfiguration, "say where to listen by \"Listen\""),
	MAY(Tags, TagList));

STRUCT(apply_relay,
	NEED(RelayName, RelayName),
	NEED(ServerName, RelayServerName),
	NEED(ServerPort, RelayServerPort),
	NEED(Authentication, RelayAuthentication),
	OURS(Tls, RelayTls),
	MAY(Tags, TagList));

STRUCT(apply_addon_subscription,
	NEED(AddonName, AddonName),
	MAY(Tags, TagList));

STRUCT(apply_addon_instance,
	OURS(AddonName, AddonName),
	MAY(AddonSubscriptionId, AddonSubscriptionId),
	MAY(Tags, TagList));

LIST(apply_archives, apply_archive, 0, 0);
LIST(apply_address_lists, apply_address_list, 0, 0);
LIST(apply_traffic_policies, apply_traffic_policy, 0, 0);
LIST(apply_rule_sets, apply_rule_set, 0, 0);
LIST(apply_ingress_points, apply_ingress_point, 0, 0);

LIST(apply_relays, apply_relay, 0, 0);
LIST(apply_addon_subscriptions, apply_addon_subscription, 0, 0);
LIST(apply_addon_instances, apply_addon_instance, 0, 0);

STRUCT(apply_file,
	MAY(Archives, apply_archives),
	MAY(AddressLists, apply_address_lists),
	MAY(TrafficPolicies, apply_traffic_policies),
	MAY(RuleSets, apply_rule_sets),
	MAY(IngressPoints, apply_ingress_points),
	MAY(Relays, apply_relays),
	MAY(AddonSubscriptions, apply_addon_subscriptions),
	MAY(AddonInstances, apply_addon_instances));
