/* ingest/shape_nested.c - structures and unions of the service model, in its order */
#include "ingest/shape_model.h"
#include "ingest/shape_table.h"

#define KEYS       "no key command can be configured for it"

/* clang-format off */

STRUCT(AddHeaderAction,
	NEED(HeaderName, HeaderName),
	NEED(HeaderValue, HeaderValue));

STRUCT(AddonInstance,
	MAY(AddonInstanceId, AddonInstanceId),
	MAY(AddonSubscriptionId, AddonSubscriptionId),
	MAY(AddonName, AddonName),
	MAY(AddonInstanceArn, AddonInstanceArn),
	MAY(CreatedTimestamp, Timestamp));

STRUCT(AddonSubscription,
	MAY(AddonSubscriptionId, AddonSubscriptionId),
	MAY(AddonName, AddonName),
	MAY(AddonSubscriptionArn, AddonSubscriptionArn),
	MAY(CreatedTimestamp, Timestamp));

STRUCT(AddressFilter,
	MAY(AddressPrefix, AddressPrefix));

STRUCT(AddressList,
	NEED(AddressListId, AddressListId),
	NEED(AddressListArn, AddressListArn),
	NEED(AddressListName, AddressListName),
	NEED(CreatedTimestamp, Timestamp),
	NEED(LastUpdatedTimestamp, Timestamp));

STRUCT(Analysis,
	NEED(Analyzer, AnalyzerArn),
	NEED(ResultField, ResultField));

STRUCT(Archive,
	NEED(ArchiveId, ArchiveIdString),
	MAY(ArchiveName, ArchiveNameString),
	MAY(ArchiveState, ArchiveState),
	MAY(LastUpdatedTimestamp, Timestamp));

STRUCT(ArchiveAction,
	MAY(ActionFailurePolicy, ActionFailurePolicy),
	NEED(TargetArchive, IdOrArn));

STRUCT(ArchiveBooleanExpression,
	NEED(Evaluate, ArchiveBooleanToEvaluate),
	NEED(Operator, ArchiveBooleanOperator));

UNION(ArchiveBooleanToEvaluate,
	MAY(Attribute, ArchiveBooleanEmailAttribute));

UNION(ArchiveFilterCondition,
	MAY(StringExpression, ArchiveStringExpression),
	MAY(BooleanExpression, ArchiveBooleanExpression));

STRUCT(ArchiveFilters,
	MAY(Include, ArchiveFilterConditions),
	MAY(Unless, ArchiveFilterConditions));

UNION(ArchiveRetention,
	MAY(RetentionPeriod, RetentionPeriod),
	OURS(RetentionDays, RetentionDays));

STRUCT(ArchiveStringExpression,
	NEED(Evaluate, ArchiveStringToEvaluate),
	NEED(Operator, ArchiveStringOperator),
	NEED(Values, StringValueList));

UNION(ArchiveStringToEvaluate,
	MAY(Attribute, ArchiveStringEmailAttribute));

STRUCT(BounceAction,
	MAY(ActionFailurePolicy, ActionFailurePolicy),
	NEED(RoleArn, IamRoleArn),
	NEED(Sender, EmailAddress),
	NEED(StatusCode, StatusCode),
	NEED(SmtpReplyCode, SmtpReplyCode),
	NEED(DiagnosticMessage, DiagnosticMessage),
	MAY(Message, BounceMessage));

STRUCT(DeliverToMailboxAction,
	MAY(ActionFailurePolicy, ActionFailurePolicy),
	NEED(MailboxArn, NameOrArn),
	NEED(RoleArn, IamRoleArn));

STRUCT(DeliverToQBusinessAction,
	MAY(ActionFailurePolicy, ActionFailurePolicy),
	NEED(ApplicationId, QBusinessApplicationId),
	NEED(IndexId, QBusinessIndexId),
	NEED(RoleArn, IamRoleArn));

EMPTY(DropAction);

STRUCT(Envelope,
	MAY(Helo, String),
	MAY(From, String),
	MAY(To, StringList));

UNION(ExportDestinationConfiguration,
	MAY(S3, S3ExportDestinationConfiguration));

STRUCT(ExportStatus,
	MAY(SubmissionTimestamp, Timestamp),
	MAY(CompletionTimestamp, Timestamp),
	MAY(State, ExportState),
	MAY(ErrorMessage, ErrorMessage));

STRUCT(ExportSummary,
	MAY(ExportId, ExportId),
	MAY(Status, ExportStatus));

STRUCT(ImportDataFormat,
	NEED(ImportDataType, ImportDataType));

STRUCT(ImportJob,
	NEED(JobId, JobId),
	NEED(Name, JobName),
	NEED(Status, ImportJobStatus),
	NEED(PreSignedUrl, PreSignedUrl),
	MAY(ImportedItemsCount, JobItemsCount),
	MAY(FailedItemsCount, JobItemsCount),
	NEED(ImportDataFormat, ImportDataFormat),
	NEED(AddressListId, AddressListId),
	NEED(CreatedTimestamp, Timestamp),
	MAY(StartTimestamp, Timestamp),
	MAY(CompletedTimestamp, Timestamp),
	MAY(Error, ErrorMessage));

STRUCT(IngressAnalysis,
	NEED(Analyzer, AnalyzerArn),
	NEED(ResultField, ResultField));

STRUCT(IngressBooleanExpression,
	NEED(Evaluate, IngressBooleanToEvaluate),
	NEED(Operator, IngressBooleanOperator));

UNION(IngressBooleanToEvaluate,
	MAY(Analysis, IngressAnalysis),
	MAY(IsInAddressList, IngressIsInAddressList));

UNION(IngressIpToEvaluate,
	MAY(Attribute, IngressIpv4Attribute));

STRUCT(IngressIpv4Expression,
	NEED(Evaluate, IngressIpToEvaluate),
	NEED(Operator, IngressIpOperator),
	NEED(Values, Ipv4Cidrs));

STRUCT(IngressIpv6Expression,
	NEED(Evaluate, IngressIpv6ToEvaluate),
	NEED(Operator, IngressIpOperator),
	NEED(Values, Ipv6Cidrs));

UNION(IngressIpv6ToEvaluate,
	MAY(Attribute, IngressIpv6Attribute));

STRUCT(IngressIsInAddressList,
	NEED(Attribute, IngressAddressListEmailAttribute),
	NEED(AddressLists, IngressAddressListArnList));

STRUCT(IngressPoint,
	NEED(IngressPointName, IngressPointName),
	NEED(IngressPointId, IngressPointId),
	NEED(Status, IngressPointStatus),
	NEED(Type, IngressPointType),
	MAY(ARecord, IngressPointARecord));

STRUCT(IngressPointAuthConfiguration,
	MAY(IngressPointPasswordConfiguration, IngressPointPasswordConfiguration),
	MAY(SecretArn, SecretArn),
	MAY(TlsAuthConfiguration, TlsAuthConfiguration));

UNION(IngressPointConfiguration,
	MAY(SmtpPassword, SmtpPassword),
	MAY(SecretArn, SecretArn),
	MAY(TlsAuthConfiguration, TlsAuthConfiguration));

STRUCT(IngressPointPasswordConfiguration,
	MAY(SmtpPasswordVersion, String),
	MAY(PreviousSmtpPasswordVersion, String),
	MAY(PreviousSmtpPasswordExpiryTimestamp, Timestamp));

STRUCT(IngressStringExpression,
	NEED(Evaluate, IngressStringToEvaluate),
	NEED(Operator, IngressStringOperator),
	NEED(Values, StringList));

UNION(IngressStringToEvaluate,
	MAY(Attribute, IngressStringEmailAttribute),
	MAY(Analysis, IngressAnalysis));

STRUCT(IngressTlsProtocolExpression,
	NEED(Evaluate, IngressTlsProtocolToEvaluate),
	NEED(Operator, IngressTlsProtocolOperator),
	NEED(Value, IngressTlsProtocolAttribute));

UNION(IngressTlsProtocolToEvaluate,
	MAY(Attribute, IngressTlsAttribute));

STRUCT(InvokeLambdaAction,
	MAY(ActionFailurePolicy, ActionFailurePolicy),
	NEED(FunctionArn, LambdaFunctionArn),
	NEED(InvocationType, LambdaInvocationType),
	NEED(RoleArn, IamRoleArn),
	MAY(RetryTimeMinutes, LambdaRetryTimeMinutes));

STRUCT(MessageBody,
	MAY(Text, String),
	MAY(Html, String),
	MAY(MessageMalformed, Boolean));

STRUCT(Metadata,
	MAY(Timestamp, Timestamp),
	MAY(IngressPointId, IngressPointId),
	MAY(TrafficPolicyId, TrafficPolicyId),
	MAY(RuleSetId, RuleSetId),
	MAY(SenderHostname, String),
	MAY(SenderIpAddress, SenderIpAddress),
	MAY(TlsCipherSuite, String),
	MAY(TlsProtocol, String),
	MAY(SendingMethod, String),
	MAY(SourceIdentity, String),
	MAY(SendingPool, String),
	MAY(ConfigurationSet, String),
	MAY(SourceArn, String));

UNION(NetworkConfiguration,
	MAY(PublicNetworkConfiguration, PublicNetworkConfiguration),
	MAY(PrivateNetworkConfiguration, PrivateNetworkConfiguration));

EMPTY(NoAuthentication);

UNION(PolicyCondition,
	MAY(StringExpression, IngressStringExpression),
	MAY(IpExpression, IngressIpv4Expression),
	MAY(Ipv6Expression, IngressIpv6Expression),
	MAY(TlsExpression, IngressTlsProtocolExpression),
	MAY(BooleanExpression, IngressBooleanExpression));

STRUCT(PolicyStatement,
	NEED(Conditions, PolicyConditions),
	NEED(Action, AcceptAction));

STRUCT(PrivateNetworkConfiguration,
	NEED(VpcEndpointId, VpcEndpointId));

STRUCT(PublicNetworkConfiguration,
	NEED(IpType, IpType));

STRUCT(Relay,
	MAY(RelayId, RelayId),
	MAY(RelayName, RelayName),
	MAY(LastModifiedTimestamp, Timestamp));

STRUCT(RelayAction,
	MAY(ActionFailurePolicy, ActionFailurePolicy),
	NEED(Relay, IdOrArn),
	MAY(MailFrom, MailFrom));

UNION(RelayAuthentication,
	MAY(SecretArn, SecretArn),
	MAY(NoAuthentication, NoAuthentication));

STRUCT(ReplaceRecipientAction,
	NEED_HERE(ReplaceWith, Recipients));

STRUCT(Row,
	MAY(ArchivedMessageId, ArchivedMessageId),
	MAY(ReceivedTimestamp, Timestamp),
	MAY(Date, String),
	MAY(To, String),
	MAY(From, String),
	MAY(Cc, String),
	MAY(Subject, String),
	MAY(MessageId, String),
	MAY(HasAttachments, Boolean),
	MAY(ReceivedHeaders, EmailReceivedHeadersList),
	MAY(InReplyTo, String),
	MAY(XMailer, String),
	MAY(XOriginalMailer, String),
	MAY(XPriority, String),
	MAY(IngressPointId, IngressPointId),
	MAY(SenderHostname, String),
	MAY(SenderIpAddress, SenderIpAddress),
	MAY(Envelope, Envelope),
	MAY(SourceArn, String));

STRUCT(Rule,
	MAY(Name, RuleName),
	MAY(Conditions, RuleConditions),
	MAY(Unless, RuleConditions),
	NEED(Actions, RuleActions));

UNION(RuleAction,
	MAY(Drop, DropAction),
	MAY(Relay, RelayAction),
	MAY(Archive, ArchiveAction),
	MAY(WriteToS3, S3Action),
	MAY(Send, SendAction),
	MAY(AddHeader, AddHeaderAction),
	MAY(ReplaceRecipient, ReplaceRecipientAction),
	MAY(DeliverToMailbox, DeliverToMailboxAction),
	MAY(DeliverToQBusiness, DeliverToQBusinessAction),
	MAY(PublishToSns, SnsAction),
	MAY(Bounce, BounceAction),
	MAY(InvokeLambda, InvokeLambdaAction));

STRUCT(RuleBooleanExpression,
	NEED(Evaluate, RuleBooleanToEvaluate),
	NEED(Operator, RuleBooleanOperator));

UNION(RuleBooleanToEvaluate,
	MAY(Attribute, RuleBooleanEmailAttribute),
	MAY(Analysis, Analysis),
	MAY(IsInAddressList, RuleIsInAddressList));

UNION(RuleCondition,
	MAY(BooleanExpression, RuleBooleanExpression),
	MAY(StringExpression, RuleStringExpression),
	MAY(NumberExpression, RuleNumberExpression),
	MAY(IpExpression, RuleIpExpression),
	MAY(VerdictExpression, RuleVerdictExpression),
	MAY(DmarcExpression, RuleDmarcExpression));

STRUCT(RuleDmarcExpression,
	NEED(Operator, RuleDmarcOperator),
	NEED(Values, RuleDmarcValueList));

STRUCT(RuleIpExpression,
	NEED(Evaluate, RuleIpToEvaluate),
	NEED(Operator, RuleIpOperator),
	NEED(Values, RuleIpValueList));

UNION(RuleIpToEvaluate,
	MAY(Attribute, RuleIpEmailAttribute));

STRUCT(RuleIsInAddressList,
	NEED(Attribute, RuleAddressListEmailAttribute),
	NEED(AddressLists, RuleAddressListArnList));

STRUCT(RuleNumberExpression,
	NEED(Evaluate, RuleNumberToEvaluate),
	NEED(Operator, RuleNumberOperator),
	NEED(Value, Double));

UNION(RuleNumberToEvaluate,
	MAY(Attribute, RuleNumberEmailAttribute));

STRUCT(RuleSet,
	MAY(RuleSetId, RuleSetId),
	MAY(RuleSetName, RuleSetName),
	MAY(LastModificationDate, Timestamp));

STRUCT(RuleStringExpression,
	NEED(Evaluate, RuleStringToEvaluate),
	NEED(Operator, RuleStringOperator),
	NEED(Values, RuleStringList));

UNION(RuleStringToEvaluate,
	MAY(Attribute, RuleStringEmailAttribute),
	MAY(MimeHeaderAttribute, MimeHeaderAttribute),
	MAY(Analysis, Analysis),
	MAY(ClientCertificateAttribute, RuleClientCertificateAttribute));

STRUCT(RuleVerdictExpression,
	NEED(Evaluate, RuleVerdictToEvaluate),
	NEED(Operator, RuleVerdictOperator),
	NEED(Values, RuleVerdictValueList));

UNION(RuleVerdictToEvaluate,
	MAY(Attribute, RuleVerdictAttribute),
	MAY(Analysis, Analysis));

STRUCT(S3Action,
	MAY(ActionFailurePolicy, ActionFailurePolicy),
	NEED(RoleArn, IamRoleArn),
	NEED(S3Bucket, S3Bucket),
	MAY(S3Prefix, S3Prefix),
	MAY(S3SseKmsKeyId, KmsKeyId));

STRUCT(S3ExportDestinationConfiguration,
	MAY(S3Location, S3Location));

STRUCT(SavedAddress,
	NEED(Address, Address),
	NEED(CreatedTimestamp, Timestamp));

STRUCT(SearchStatus,
	MAY(SubmissionTimestamp, Timestamp),
	MAY(CompletionTimestamp, Timestamp),
	MAY(State, SearchState),
	MAY(ErrorMessage, ErrorMessage));

STRUCT(SearchSummary,
	MAY(SearchId, SearchId),
	MAY(Status, SearchStatus));

STRUCT(SendAction,
	MAY(ActionFailurePolicy, ActionFailurePolicy),
	NEED(RoleArn, IamRoleArn));

STRUCT(SnsAction,
	MAY(ActionFailurePolicy, ActionFailurePolicy),
	NEED(TopicArn, SnsTopicArn),
	NEED(RoleArn, IamRoleArn),
	MAY(Encoding, SnsNotificationEncoding),
	MAY(PayloadType, SnsNotificationPayloadType));

STRUCT(Tag,
	NEED(Key, TagKey),
	NEED(Value, TagValue));

STRUCT(TlsAuthConfiguration,
	MAY(TrustStore, TrustStore));

STRUCT(TrafficPolicy,
	NEED(TrafficPolicyName, TrafficPolicyName),
	NEED(TrafficPolicyId, TrafficPolicyId),
	NEED(DefaultAction, AcceptAction));

STRUCT(TrustStore,
	NEED(CAContent, CAContent),
	MAY(CrlContent, CrlContent),
	LATER(KmsKeyArn, KmsKeyArn, KEYS));
