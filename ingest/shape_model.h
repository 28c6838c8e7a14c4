/*
 * ingest/shape_model.h - the shapes of the service model (Amazon SES Mail Manager, 2023-10-17)
 *
 * What     All that operations are made of. Each is shape_NAME, by its name in the model, written once:
 *          texts, numbers, enumerations and lists in ingest/shape_scalars.c, structures and unions in
 *          ingest/shape_nested.c. Inputs and outputs of operations are in api/model.c, the file of mmctl
 *          apply in ingest/shape_resources.c.
 * Ours     What mm adds, asks beyond the model or doesn't do yet is marked in the tables
 *          (ingest/shape.h); docs/api.md lists it.
 * Tests    tests/peers/T805-model.py compares all of it with the SDK.
 */
#ifndef MM_INGEST_SHAPE_MODEL_H
#define MM_INGEST_SHAPE_MODEL_H

#include "ingest/shape.h"

/* clang-format off */

/* Texts, numbers */
extern const struct shape shape_AddonInstanceArn, shape_AddonInstanceId, shape_AddonName,
	shape_AddonSubscriptionArn, shape_AddonSubscriptionId, shape_Address, shape_AddressListArn,
	shape_AddressListId, shape_AddressListName, shape_AddressPageSize, shape_AddressPrefix,
	shape_AnalyzerArn, shape_ArchiveArn, shape_ArchiveId, shape_ArchiveIdString,
	shape_ArchiveNameString, shape_ArchivedMessageId, shape_Boolean, shape_BounceMessage,
	shape_CAContent, shape_CrlContent, shape_DiagnosticMessage, shape_Double,
	shape_EmailAddress, shape_ErrorMessage, shape_ExportId, shape_ExportMaxResults,
	shape_HeaderName, shape_HeaderValue, shape_IamRoleArn, shape_IdOrArn,
	shape_IdempotencyToken, shape_IngressPointARecord, shape_IngressPointArn,
	shape_IngressPointId, shape_IngressPointName, shape_Integer, shape_Ipv4Cidr,
	shape_Ipv6Cidr, shape_JobId, shape_JobItemsCount, shape_JobName, shape_KmsKeyArn,
	shape_KmsKeyId, shape_LambdaFunctionArn, shape_LambdaRetryTimeMinutes,
	shape_MaxMessageSizeBytes, shape_MimeHeaderAttribute, shape_NameOrArn, shape_PageSize,
	shape_PaginationToken, shape_PreSignedUrl, shape_QBusinessApplicationId,
	shape_QBusinessIndexId, shape_RelayArn, shape_RelayId, shape_RelayName,
	shape_RelayServerName, shape_RelayServerPort, shape_ResultField, shape_RuleIpStringValue,
	shape_RuleName, shape_RuleSetArn, shape_RuleSetId, shape_RuleSetName,
	shape_RuleStringValue, shape_S3Bucket, shape_S3Location, shape_S3Prefix,
	shape_S3PresignedURL, shape_SearchId, shape_SearchMaxResults, shape_SecretArn,
	shape_SenderIpAddress, shape_SmtpPassword, shape_SmtpReplyCode, shape_SnsTopicArn,
	shape_StatusCode, shape_String, shape_StringValue, shape_TagKey, shape_TagValue,
	shape_TaggableResourceArn, shape_Timestamp, shape_TrafficPolicyArn, shape_TrafficPolicyId,
	shape_TrafficPolicyName, shape_VpcEndpointId, shape_RetentionDays;

/* Enumerations */
extern const struct shape shape_AcceptAction, shape_ActionFailurePolicy,
	shape_ArchiveBooleanEmailAttribute, shape_ArchiveBooleanOperator, shape_ArchiveState,
	shape_ArchiveStringEmailAttribute, shape_ArchiveStringOperator, shape_ExportState,
	shape_ImportDataType, shape_ImportJobStatus, shape_IngressAddressListEmailAttribute,
	shape_IngressBooleanOperator, shape_IngressIpOperator, shape_IngressIpv4Attribute,
	shape_IngressIpv6Attribute, shape_IngressPointStatus, shape_IngressPointStatusToUpdate,
	shape_IngressPointType, shape_IngressStringEmailAttribute, shape_IngressStringOperator,
	shape_IngressTlsAttribute, shape_IngressTlsProtocolAttribute,
	shape_IngressTlsProtocolOperator, shape_IpType, shape_LambdaInvocationType, shape_MailFrom,
	shape_RetentionPeriod, shape_RuleAddressListEmailAttribute,
	shape_RuleBooleanEmailAttribute, shape_RuleBooleanOperator,
	shape_RuleClientCertificateAttribute, shape_RuleDmarcOperator, shape_RuleDmarcPolicy,
	shape_RuleIpEmailAttribute, shape_RuleIpOperator, shape_RuleNumberEmailAttribute,
	shape_RuleNumberOperator, shape_RuleStringEmailAttribute, shape_RuleStringOperator,
	shape_RuleVerdict, shape_RuleVerdictAttribute, shape_RuleVerdictOperator,
	shape_SearchState, shape_SnsNotificationEncoding, shape_SnsNotificationPayloadType,
	shape_TlsPolicy, shape_TrustStoreResponseOption;

/* Lists */
extern const struct shape shape_AddonInstances, shape_AddonSubscriptions, shape_AddressLists,
	shape_ArchiveFilterConditions, shape_ArchivesList, shape_EmailReceivedHeadersList,
	shape_ExportSummaryList, shape_ImportJobs, shape_IngressAddressListArnList,
	shape_IngressPointsList, shape_Ipv4Cidrs, shape_Ipv6Cidrs, shape_PolicyConditions,
	shape_PolicyStatementList, shape_Recipients, shape_Relays, shape_RowsList,
	shape_RuleActions, shape_RuleAddressListArnList, shape_RuleConditions,
	shape_RuleDmarcValueList, shape_RuleIpValueList, shape_RuleSets, shape_RuleStringList,
	shape_RuleVerdictValueList, shape_Rules, shape_SavedAddresses, shape_SearchSummaryList,
	shape_StringList, shape_StringValueList, shape_TagKeyList, shape_TagList,
	shape_TrafficPolicyList;

/* Structures and unions */
extern const struct shape shape_AddHeaderAction, shape_AddonInstance, shape_AddonSubscription,
	shape_AddressFilter, shape_AddressList, shape_Analysis, shape_Archive, shape_ArchiveAction,
	shape_ArchiveBooleanExpression, shape_ArchiveBooleanToEvaluate,
	shape_ArchiveFilterCondition, shape_ArchiveFilters, shape_ArchiveRetention,
	shape_ArchiveStringExpression, shape_ArchiveStringToEvaluate, shape_BounceAction,
	shape_DeliverToMailboxAction, shape_DeliverToQBusinessAction, shape_DropAction,
	shape_Envelope, shape_ExportDestinationConfiguration, shape_ExportStatus,
	shape_ExportSummary, shape_ImportDataFormat, shape_ImportJob, shape_IngressAnalysis,
	shape_IngressBooleanExpression, shape_IngressBooleanToEvaluate, shape_IngressIpToEvaluate,
	shape_IngressIpv4Expression, shape_IngressIpv6Expression, shape_IngressIpv6ToEvaluate,
	shape_IngressIsInAddressList, shape_IngressPoint, shape_IngressPointAuthConfiguration,
	shape_IngressPointConfiguration, shape_IngressPointPasswordConfiguration,
	shape_IngressStringExpression, shape_IngressStringToEvaluate,
	shape_IngressTlsProtocolExpression, shape_IngressTlsProtocolToEvaluate,
	shape_InvokeLambdaAction, shape_MessageBody, shape_Metadata, shape_NetworkConfiguration,
	shape_NoAuthentication, shape_PolicyCondition, shape_PolicyStatement,
	shape_PrivateNetworkConfiguration, shape_PublicNetworkConfiguration, shape_Relay,
	shape_RelayAction, shape_RelayAuthentication, shape_ReplaceRecipientAction, shape_Row,
	shape_Rule, shape_RuleAction, shape_RuleBooleanExpression, shape_RuleBooleanToEvaluate,
	shape_RuleCondition, shape_RuleDmarcExpression, shape_RuleIpExpression,
	shape_RuleIpToEvaluate, shape_RuleIsInAddressList, shape_RuleNumberExpression,
	shape_RuleNumberToEvaluate, shape_RuleSet, shape_RuleStringExpression,
	shape_RuleStringToEvaluate, shape_RuleVerdictExpression, shape_RuleVerdictToEvaluate,
	shape_S3Action, shape_S3ExportDestinationConfiguration, shape_SavedAddress,
	shape_SearchStatus, shape_SearchSummary, shape_SendAction, shape_SnsAction, shape_Tag,
	shape_TlsAuthConfiguration, shape_TrafficPolicy, shape_TrustStore;

#endif
