/* ingest/shape_scalars.c - texts, numbers, enumerations and lists of the service model, in its
 * order */
#include "base/cidr.h"
#include "ingest/address_list.h"
#include "ingest/shape_model.h"
#include "ingest/shape_table.h"

/* ---- what mm asks beyond the model ---- */

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

/* clang-format off */

/* ---- texts: length in characters (0: no upper bound), pattern ---- */

TEXT(AddonInstanceArn, 0, 0);
TEXT(AddonInstanceId, 4, 67, .pattern = "^ai-[a-zA-Z0-9]{1,64}$");
TEXT(AddonName, 0, 0);
TEXT(AddonSubscriptionArn, 0, 0);
TEXT(AddonSubscriptionId, 4, 67, .pattern = "^as-[a-zA-Z0-9]{1,64}$");
TEXT(Address, 3, 320, .sensitive = true, .fault = address_entry_fault);
TEXT(AddressListArn, 0, 0);
TEXT(AddressListId, 1, 255, .pattern = "^[a-zA-Z0-9-]+$");
TEXT(AddressListName, 1, 255, .pattern = "^[a-zA-Z0-9_.-]+$");
TEXT(AddressPrefix, 1, 320, .sensitive = true);
TEXT(AnalyzerArn, 0, 0, .pattern = "^[a-zA-Z0-9:_/+=,@.#-]+$");
TEXT(ArchiveArn, 0, 0);
TEXT(ArchiveId, 3, 66, .pattern = "^a-[\\w]{1,64}$");
TEXT(ArchiveIdString, 1, 66);
TEXT(ArchiveNameString, 1, 64, .pattern = "^[a-zA-Z0-9][a-zA-Z0-9_-]*[a-zA-Z0-9]$");
TEXT(ArchivedMessageId, 0, 0);
TEXT(BounceMessage, 1, 500, .sensitive = true, .pattern = "^[\\r\\n\\x20-\\x7e]+$");
TEXT(CAContent, 1, 500000, .sensitive = true, .pattern = "^[\\P{C}\\s]*$");
TEXT(CrlContent, 1, 500000, .sensitive = true, .pattern = "^[\\P{C}\\s]*$");
TEXT(DiagnosticMessage, 1, 256, .sensitive = true, .pattern = "^[\\x20-\\x7e]+$");
TEXT(EmailAddress, 0, 254, .sensitive = true, .pattern = "^[a-zA-Z0-9._+-]+@[a-zA-Z0-9.-]+$");
TEXT(ErrorMessage, 0, 0);
TEXT(ExportId, 1, 64);
TEXT(HeaderName, 1, 64, .pattern = "^[xX]\\-[a-zA-Z0-9\\-]+$");
TEXT(HeaderValue, 1, 128, .fault = header_value_fault);
TEXT(IamRoleArn, 20, 2048, .pattern = "^[a-zA-Z0-9:_/+=,@.#-]+$");
TEXT(IdOrArn, 1, 2048, .pattern = "^[a-zA-Z0-9:_/+=,@.#-]+$");
TEXT(IdempotencyToken, 1, 128);
TEXT(IngressPointARecord, 0, 0);
TEXT(IngressPointArn, 0, 0);
TEXT(IngressPointId, 1, 100);
TEXT(IngressPointName, 3, 63, .pattern = "^[A-Za-z0-9_\\-]+$");
TEXT(Ipv4Cidr, 0, 0,
     .fault = network4_fault, .pattern =
	     "^((25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\\.){3}(25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)/([0-9]|[12][0"
	     "-9]|3[0-2])$");
TEXT(Ipv6Cidr, 0, 49,
     .fault = network6_fault, .pattern =
	     "^(([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,7}:"
	     "|([0-9a-fA-F]{1,4}:){1,6}:[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,5}(:[0-9a-fA-F]{1,4}){1,2}"
	     "|([0-9a-fA-F]{1,4}:){1,4}(:[0-9a-fA-F]{1,4}){1,3}|([0-9a-fA-F]{1,4}:){1,3}(:[0-9a-fA-F]{1,4}){1,4}"
	     "|([0-9a-fA-F]{1,4}:){1,2}(:[0-9a-fA-F]{1,4}){1,5}|[0-9a-fA-F]{1,4}:((:[0-9a-fA-F]{1,4}){1,6})|:((:"
	     "[0-9a-fA-F]{1,4}){1,7}|:))\\/(12[0-8]|1[0-1][0-9]|[1-9][0-9]|[0-9])$");
TEXT(JobId, 1, 255, .pattern = "^[a-zA-Z0-9-]+$");
TEXT(JobName, 1, 255, .pattern = "^[a-zA-Z0-9_.-]+$");
TEXT(KmsKeyArn, 0, 0,
     .pattern = "^arn:aws(|-cn|-us-gov|-eusc):kms:[a-z0-9-]{1,20}:[0-9]{12}:(key|alias)/.+$");
TEXT(KmsKeyId, 20, 2048, .pattern = "^[a-zA-Z0-9-:/]+$");
TEXT(LambdaFunctionArn, 20, 2048, .pattern = "^[a-zA-Z0-9:_/+=,@.#-]+$");
TEXT(MimeHeaderAttribute, 0, 0, .pattern = "^X-[a-zA-Z0-9-]{1,256}$");
TEXT(NameOrArn, 1, 2048, .pattern = "^[a-zA-Z0-9:_/+=,@.#-]+$");
TEXT(PaginationToken, 1, 2048);
TEXT(PreSignedUrl, 0, 0, .sensitive = true);
TEXT(QBusinessApplicationId, 36, 36, .pattern = "^[a-z0-9-]+$");
TEXT(QBusinessIndexId, 36, 36, .pattern = "^[a-z0-9-]+$");
TEXT(RelayArn, 0, 0);
TEXT(RelayId, 1, 100, .pattern = "^[a-zA-Z0-9-]+$");
TEXT(RelayName, 1, 100, .pattern = "^[a-zA-Z0-9-_]+$");
TEXT(RelayServerName, 1, 100, .pattern = "^[a-zA-Z0-9-\\.]+$");
TEXT(ResultField, 1, 256, .pattern = "^(addon\\.)?[\\sa-zA-Z0-9_]+$");
TEXT(RuleIpStringValue, 1, 43, .fault = network_fault, .pattern = "^(([0-9]|.|:|/)*)$");
TEXT(RuleName, 1, 32, .pattern = "^[a-zA-Z0-9_.-]+$");
TEXT(RuleSetArn, 0, 0);
TEXT(RuleSetId, 1, 100);
TEXT(RuleSetName, 1, 100, .pattern = "^[a-zA-Z0-9_.-]+$");
TEXT(RuleStringValue, 1, 4096, .sensitive = true);
TEXT(S3Bucket, 1, 62, .pattern = "^[a-zA-Z0-9.-]+$");
TEXT(S3Location, 0, 0, .pattern = "^s3://[a-zA-Z0-9.-]{3,63}(/[a-zA-Z0-9!_.*'()/-]*)*$");
TEXT(S3Prefix, 1, 62, .pattern = "^[a-zA-Z0-9!_.*'()/-]+$");
TEXT(S3PresignedURL, 0, 0);
TEXT(SearchId, 1, 64);
TEXT(SecretArn, 0, 0,
     .pattern =
	     "^arn:(aws|aws-cn|aws-us-gov|aws-eusc):secretsmanager:[a-z0-9-]+:\\d{12}:secret:[a-zA-Z0-9/_+=,.@-]+$");
TEXT(SenderIpAddress, 0, 0, .sensitive = true);
TEXT(SmtpPassword, 8, 64, .sensitive = true, .pattern = "^[A-Za-z0-9!@#$%^&*()_+\\-=\\[\\]{}|.,?]+$");
TEXT(SmtpReplyCode, 3, 3, .pattern = "^[45][0-9][0-9]$");
TEXT(SnsTopicArn, 20, 2048,
     .pattern = "^arn:(aws|aws-cn|aws-us-gov|aws-eusc):sns:[a-z0-9-]+:\\d{12}:[\\w\\-]{1,256}$");
TEXT(StatusCode, 5, 9, .pattern = "^[45]\\.[0-9]{1,3}\\.[0-9]{1,3}$");
TEXT(String, 0, 0);
TEXT(StringValue, 1, 2048);
TEXT(TagKey, 1, 128, .pattern = "^[a-zA-Z0-9/_\\+=\\.:@\\-]+$");
TEXT(TagValue, 0, 256, .pattern = "^[a-zA-Z0-9/_\\+=\\.:@\\-]*$");
TEXT(TaggableResourceArn, 20, 1011,
     .pattern = "^arn:aws(|-cn|-us-gov|-eusc):ses:[a-z0-9-]{1,20}:[0-9]{12}:(mailmanager-|addon-).+$");
TEXT(TrafficPolicyArn, 0, 0);
TEXT(TrafficPolicyId, 1, 100);
TEXT(TrafficPolicyName, 3, 63, .pattern = "^[A-Za-z0-9_\\-]+$");
TEXT(VpcEndpointId, 0, 0, .pattern = "^vpce-[a-zA-Z0-9]{17}$");

/* ---- numbers: from, to (0: no upper bound) ---- */

WHOLE(AddressPageSize, 1, 1000);
WHOLE(ExportMaxResults, INT32_MIN, INT32_MAX);
WHOLE(Integer, INT32_MIN, INT32_MAX);
WHOLE(JobItemsCount, INT32_MIN, INT32_MAX);
WHOLE(LambdaRetryTimeMinutes, 0, 2160);
WHOLE(MaxMessageSizeBytes, 1, 0);
WHOLE(PageSize, 1, 50);
WHOLE(RelayServerPort, 1, 65535);
const struct shape shape_SearchMaxResults = { .name = "SearchMaxResults",
	                                      .kind = SHAPE_INT,
	                                      .max = 1000,
	                                      .max_more = INT32_MAX };
WHOLE(RetentionDays, 1, 36500); /* ours */
const struct shape shape_Boolean = { .name = "Boolean", .kind = SHAPE_BOOL };
const struct shape shape_Double = { .name = "Double", .kind = SHAPE_DOUBLE };
const struct shape shape_Timestamp = { .name = "Timestamp", .kind = SHAPE_TIMESTAMP };

/* ---- enumerations ---- */

ENUM(AcceptAction, "ALLOW DENY");
ENUM(ActionFailurePolicy, "CONTINUE DROP");
ENUM(ArchiveBooleanEmailAttribute, "HAS_ATTACHMENTS");
ENUM(ArchiveBooleanOperator, "IS_TRUE IS_FALSE");
ENUM(ArchiveState, "ACTIVE PENDING_DELETION");
ENUM(ArchiveStringEmailAttribute, "TO FROM CC SUBJECT ENVELOPE_TO ENVELOPE_FROM",
     .more = "BODY ATTACHMENT FILENAME MESSAGE_ID ALL");
ENUM(ArchiveStringOperator, "CONTAINS");
ENUM(ExportState, "QUEUED PREPROCESSING PROCESSING COMPLETED FAILED CANCELLED");
ENUM(ImportDataType, "CSV JSON");
ENUM(ImportJobStatus, "CREATED PROCESSING COMPLETED FAILED STOPPED");
ENUM(IngressAddressListEmailAttribute, "RECIPIENT");
ENUM(IngressBooleanOperator, "IS_TRUE IS_FALSE");
ENUM(IngressIpOperator, "CIDR_MATCHES NOT_CIDR_MATCHES");
ENUM(IngressIpv4Attribute, "SENDER_IP");
ENUM(IngressIpv6Attribute, "SENDER_IPV6");
ENUM(IngressPointStatus, "PROVISIONING DEPROVISIONING UPDATING ACTIVE "
     "CLOSED FAILED ASSOCIATED_VPC_ENDPOINT_DOES_NOT_EXIST");
ENUM(IngressPointStatusToUpdate, "ACTIVE CLOSED");
ENUM(IngressPointType, "OPEN AUTH MTLS");
ENUM(IngressStringEmailAttribute, "RECIPIENT");
ENUM(IngressStringOperator, "EQUALS NOT_EQUALS STARTS_WITH ENDS_WITH CONTAINS");
ENUM(IngressTlsAttribute, "TLS_PROTOCOL");
ENUM(IngressTlsProtocolAttribute, "TLS1_2 TLS1_3");
ENUM(IngressTlsProtocolOperator, "MINIMUM_TLS_VERSION IS");
ENUM(IpType, "IPV4 DUAL_STACK");
ENUM(LambdaInvocationType, "EVENT REQUEST_RESPONSE");
ENUM(MailFrom, "REPLACE PRESERVE");
ENUM(RetentionPeriod, "THREE_MONTHS SIX_MONTHS NINE_MONTHS ONE_YEAR EIGHTEEN_MONTHS TWO_YEARS "
     "THIRTY_MONTHS THREE_YEARS FOUR_YEARS FIVE_YEARS SIX_YEARS SEVEN_YEARS "
     "EIGHT_YEARS NINE_YEARS TEN_YEARS PERMANENT");
ENUM(RuleAddressListEmailAttribute, "RECIPIENT MAIL_FROM SENDER FROM TO CC");
ENUM(RuleBooleanEmailAttribute, "READ_RECEIPT_REQUESTED TLS TLS_WRAPPED");
ENUM(RuleBooleanOperator, "IS_TRUE IS_FALSE");
ENUM(RuleClientCertificateAttribute, "CN SAN_RFC822_NAME SAN_DNS_NAME SAN_DIRECTORY_NAME "
     "SAN_UNIFORM_RESOURCE_IDENTIFIER SAN_IP_ADDRESS SAN_REGISTERED_ID SERIAL_NUMBER");
ENUM(RuleDmarcOperator, "EQUALS NOT_EQUALS");
ENUM(RuleDmarcPolicy, "NONE QUARANTINE REJECT");
ENUM(RuleIpEmailAttribute, "SOURCE_IP");
ENUM(RuleIpOperator, "CIDR_MATCHES NOT_CIDR_MATCHES");
ENUM(RuleNumberEmailAttribute, "MESSAGE_SIZE");
ENUM(RuleNumberOperator, "EQUALS NOT_EQUALS LESS_THAN GREATER_THAN LESS_THAN_OR_EQUAL GREATER_THAN_OR_EQUAL");
ENUM(RuleStringEmailAttribute, "MAIL_FROM HELO RECIPIENT SENDER FROM SUBJECT TO CC");
ENUM(RuleStringOperator, "EQUALS NOT_EQUALS STARTS_WITH ENDS_WITH CONTAINS");
ENUM(RuleVerdict, "PASS FAIL GRAY PROCESSING_FAILED");
ENUM(RuleVerdictAttribute, "SPF DKIM");
ENUM(RuleVerdictOperator, "EQUALS NOT_EQUALS");
ENUM(SearchState, "QUEUED RUNNING COMPLETED FAILED CANCELLED");
ENUM(SnsNotificationEncoding, "UTF-8 BASE64");
ENUM(SnsNotificationPayloadType, "HEADERS CONTENT");
ENUM(TlsPolicy, "REQUIRED OPTIONAL FIPS", .not_yet = "FIPS", .later = "it needs a validated cryptographic module");
ENUM(TrustStoreResponseOption, "EXCLUDE INCLUDE");

/* ---- lists: items, least, most (0: no upper bound) ---- */

LIST(AddonInstances, AddonInstance, 0, 0);
LIST(AddonSubscriptions, AddonSubscription, 0, 0);
LIST(AddressLists, AddressList, 0, 0);
LIST(ArchiveFilterConditions, ArchiveFilterCondition, 0, 10);
LIST(ArchivesList, Archive, 0, 0);
LIST(EmailReceivedHeadersList, String, 0, 0);
LIST(ExportSummaryList, ExportSummary, 0, 0);
LIST(ImportJobs, ImportJob, 0, 0);
LIST(IngressAddressListArnList, AddressListArn, 1, 1, .unique = true);
LIST(IngressPointsList, IngressPoint, 0, 0);
LIST(Ipv4Cidrs, Ipv4Cidr, 0, 0);
LIST(Ipv6Cidrs, Ipv6Cidr, 0, 0);
LIST(PolicyConditions, PolicyCondition, 1, 0, .quota = 10);
LIST(PolicyStatementList, PolicyStatement, 0, 0, .quota = 20);
LIST(Recipients, EmailAddress, 1, 100, .unique = true);
LIST(Relays, Relay, 0, 0);
LIST(RowsList, Row, 0, 0);
LIST(RuleActions, RuleAction, 1, 10);
LIST(RuleAddressListArnList, AddressListArn, 1, 1, .unique = true);
LIST(RuleConditions, RuleCondition, 0, 10);
LIST(RuleDmarcValueList, RuleDmarcPolicy, 1, 10);
LIST(RuleIpValueList, RuleIpStringValue, 1, 10);
LIST(RuleSets, RuleSet, 0, 0);
LIST(RuleStringList, RuleStringValue, 1, 10);
LIST(RuleVerdictValueList, RuleVerdict, 1, 10);
LIST(Rules, Rule, 0, 40);
LIST(SavedAddresses, SavedAddress, 0, 0);
LIST(SearchSummaryList, SearchSummary, 0, 0);
LIST(StringList, String, 0, 0);
LIST(StringValueList, StringValue, 1, 10);
LIST(TagKeyList, TagKey, 0, 200);
LIST(TagList, Tag, 0, 200);
LIST(TrafficPolicyList, TrafficPolicy, 0, 0);
