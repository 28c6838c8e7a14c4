/* api/model.c - the operations: inputs and outputs, then the table of them */
#include "api/model.h"

#define SHAPE_SCOPE static
#include "ingest/shape_table.h"

/* clang-format off */

#define INPUT(op, ...)  STRUCT(op##Request, __VA_ARGS__)
#define OUTPUT(op, ...) STRUCT(op##Response, __VA_ARGS__)
#define NO_OUTPUT(op)   EMPTY(op##Response)

/* ---- archives ---- */

INPUT(CreateArchive,
	MAY(ClientToken, IdempotencyToken),
	NEED(ArchiveName, ArchiveNameString),
	MAY(Retention, ArchiveRetention),
	MAY(KmsKeyArn, KmsKeyArn),
	MAY(Tags, TagList));
OUTPUT(CreateArchive,
	NEED(ArchiveId, ArchiveIdString));

INPUT(GetArchive,
	NEED(ArchiveId, ArchiveIdString));
OUTPUT(GetArchive,
	NEED(ArchiveId, ArchiveIdString),
	NEED(ArchiveName, ArchiveNameString),
	NEED(ArchiveArn, ArchiveArn),
	NEED(ArchiveState, ArchiveState),
	NEED(Retention, ArchiveRetention),
	MAY(CreatedTimestamp, Timestamp),
	MAY(LastUpdatedTimestamp, Timestamp),
	MAY(KmsKeyArn, KmsKeyArn));

INPUT(UpdateArchive,
	NEED(ArchiveId, ArchiveIdString),
	MAY(ArchiveName, ArchiveNameString),
	MAY(Retention, ArchiveRetention));
NO_OUTPUT(UpdateArchive);

INPUT(DeleteArchive,
	NEED(ArchiveId, ArchiveIdString));
NO_OUTPUT(DeleteArchive);

INPUT(ListArchives,
	MAY(NextToken, PaginationToken),
	MAY(PageSize, PageSize));
OUTPUT(ListArchives,
	NEED(Archives, ArchivesList),
	MAY(NextToken, PaginationToken));

INPUT(StartArchiveSearch,
	NEED(ArchiveId, ArchiveId),
	MAY(Filters, ArchiveFilters),
	NEED(FromTimestamp, Timestamp),
	NEED(ToTimestamp, Timestamp),
	NEED(MaxResults, SearchMaxResults));
OUTPUT(StartArchiveSearch,
	MAY(SearchId, SearchId));

INPUT(GetArchiveSearch,
	NEED(SearchId, SearchId));
OUTPUT(GetArchiveSearch,
	MAY(ArchiveId, ArchiveId),
	MAY(Filters, ArchiveFilters),
	MAY(FromTimestamp, Timestamp),
	MAY(ToTimestamp, Timestamp),
	MAY(MaxResults, SearchMaxResults),
	MAY(Status, SearchStatus));

INPUT(GetArchiveSearchResults,
	NEED(SearchId, SearchId));
OUTPUT(GetArchiveSearchResults,
	MAY(Rows, RowsList));

INPUT(ListArchiveSearches,
	NEED(ArchiveId, ArchiveId),
	MAY(NextToken, PaginationToken),
	MAY(PageSize, PageSize));
OUTPUT(ListArchiveSearches,
	MAY(Searches, SearchSummaryList),
	MAY(NextToken, PaginationToken));

INPUT(StopArchiveSearch,
	NEED(SearchId, SearchId));
NO_OUTPUT(StopArchiveSearch);

INPUT(StartArchiveExport,
	NEED(ArchiveId, ArchiveId),
	MAY(Filters, ArchiveFilters),
	NEED(FromTimestamp, Timestamp),
	NEED(ToTimestamp, Timestamp),
	MAY(MaxResults, ExportMaxResults),
	NEED(ExportDestinationConfiguration, ExportDestinationConfiguration),
	MAY(IncludeMetadata, Boolean));
OUTPUT(StartArchiveExport,
	MAY(ExportId, ExportId));

INPUT(GetArchiveExport,
	NEED(ExportId, ExportId));
OUTPUT(GetArchiveExport,
	MAY(ArchiveId, ArchiveId),
	MAY(Filters, ArchiveFilters),
	MAY(FromTimestamp, Timestamp),
	MAY(ToTimestamp, Timestamp),
	MAY(MaxResults, ExportMaxResults),
	MAY(ExportDestinationConfiguration, ExportDestinationConfiguration),
	MAY(Status, ExportStatus));

INPUT(ListArchiveExports,
	NEED(ArchiveId, ArchiveId),
	MAY(NextToken, PaginationToken),
	MAY(PageSize, PageSize));
OUTPUT(ListArchiveExports,
	MAY(Exports, ExportSummaryList),
	MAY(NextToken, PaginationToken));

INPUT(StopArchiveExport,
	NEED(ExportId, ExportId));
NO_OUTPUT(StopArchiveExport);

INPUT(GetArchiveMessage,
	NEED(ArchivedMessageId, ArchivedMessageId));
OUTPUT(GetArchiveMessage,
	MAY(MessageDownloadLink, S3PresignedURL),
	MAY(Metadata, Metadata),
	MAY(Envelope, Envelope));

INPUT(GetArchiveMessageContent,
	NEED(ArchivedMessageId, ArchivedMessageId));
OUTPUT(GetArchiveMessageContent,
	MAY(Body, MessageBody));

/* ---- rule sets ---- */

INPUT(CreateRuleSet,
	MAY(ClientToken, IdempotencyToken),
	NEED(RuleSetName, RuleSetName),
	NEED(Rules, Rules),
	MAY(Tags, TagList));
OUTPUT(CreateRuleSet,
	NEED(RuleSetId, RuleSetId));

INPUT(GetRuleSet,
	NEED(RuleSetId, RuleSetId));
OUTPUT(GetRuleSet,
	NEED(RuleSetId, RuleSetId),
	NEED(RuleSetArn, RuleSetArn),
	NEED(RuleSetName, RuleSetName),
	NEED(CreatedDate, Timestamp),
	NEED(LastModificationDate, Timestamp),
	NEED(Rules, Rules));

INPUT(UpdateRuleSet,
	NEED(RuleSetId, RuleSetId),
	MAY(RuleSetName, RuleSetName),
	MAY(Rules, Rules));
NO_OUTPUT(UpdateRuleSet);

INPUT(DeleteRuleSet,
	NEED(RuleSetId, RuleSetId));
NO_OUTPUT(DeleteRuleSet);

INPUT(ListRuleSets,
	MAY(NextToken, PaginationToken),
	MAY(PageSize, PageSize));
OUTPUT(ListRuleSets,
	NEED(RuleSets, RuleSets),
	MAY(NextToken, PaginationToken));

/* ---- traffic policies ---- */

INPUT(CreateTrafficPolicy,
	MAY(ClientToken, IdempotencyToken),
	NEED(TrafficPolicyName, TrafficPolicyName),
	NEED(PolicyStatements, PolicyStatementList),
	NEED(DefaultAction, AcceptAction),
	MAY(MaxMessageSizeBytes, MaxMessageSizeBytes),
	MAY(Tags, TagList));
OUTPUT(CreateTrafficPolicy,
	NEED(TrafficPolicyId, TrafficPolicyId));

INPUT(GetTrafficPolicy,
	NEED(TrafficPolicyId, TrafficPolicyId));
OUTPUT(GetTrafficPolicy,
	NEED(TrafficPolicyName, TrafficPolicyName),
	NEED(TrafficPolicyId, TrafficPolicyId),
	MAY(TrafficPolicyArn, TrafficPolicyArn),
	MAY(PolicyStatements, PolicyStatementList),
	MAY(MaxMessageSizeBytes, MaxMessageSizeBytes),
	MAY(DefaultAction, AcceptAction),
	MAY(CreatedTimestamp, Timestamp),
	MAY(LastUpdatedTimestamp, Timestamp));

INPUT(UpdateTrafficPolicy,
	NEED(TrafficPolicyId, TrafficPolicyId),
	MAY(TrafficPolicyName, TrafficPolicyName),
	MAY(PolicyStatements, PolicyStatementList),
	MAY(DefaultAction, AcceptAction),
	MAY(MaxMessageSizeBytes, MaxMessageSizeBytes));
NO_OUTPUT(UpdateTrafficPolicy);

INPUT(DeleteTrafficPolicy,
	NEED(TrafficPolicyId, TrafficPolicyId));
NO_OUTPUT(DeleteTrafficPolicy);

INPUT(ListTrafficPolicies,
	MAY(PageSize, PageSize),
	MAY(NextToken, PaginationToken));
OUTPUT(ListTrafficPolicies,
	MAY(TrafficPolicies, TrafficPolicyList),
	MAY(NextToken, PaginationToken));

/* ---- ingress points ---- */

INPUT(CreateIngressPoint,
	MAY(ClientToken, IdempotencyToken),
	NEED(IngressPointName, IngressPointName),
	NEED(Type, IngressPointType),
	NEED(RuleSetId, RuleSetId),
	NEED(TrafficPolicyId, TrafficPolicyId),
	MAY(IngressPointConfiguration, IngressPointConfiguration),
	MAY(NetworkConfiguration, NetworkConfiguration),
	MAY(TlsPolicy, TlsPolicy),
	MAY(Tags, TagList));
OUTPUT(CreateIngressPoint,
	NEED(IngressPointId, IngressPointId));

INPUT(GetIngressPoint,
	NEED(IngressPointId, IngressPointId),
	MAY(IncludeTrustStoreContents, TrustStoreResponseOption));
OUTPUT(GetIngressPoint,
	NEED(IngressPointId, IngressPointId),
	NEED(IngressPointName, IngressPointName),
	MAY(IngressPointArn, IngressPointArn),
	MAY(Status, IngressPointStatus),
	MAY(Type, IngressPointType),
	MAY(ARecord, IngressPointARecord),
	MAY(RuleSetId, RuleSetId),
	MAY(TrafficPolicyId, TrafficPolicyId),
	MAY(IngressPointAuthConfiguration, IngressPointAuthConfiguration),
	MAY(NetworkConfiguration, NetworkConfiguration),
	MAY(TlsPolicy, TlsPolicy),
	MAY(CreatedTimestamp, Timestamp),
	MAY(LastUpdatedTimestamp, Timestamp));

INPUT(UpdateIngressPoint,
	NEED(IngressPointId, IngressPointId),
	MAY(IngressPointName, IngressPointName),
	MAY(StatusToUpdate, IngressPointStatusToUpdate),
	MAY(RuleSetId, RuleSetId),
	MAY(TrafficPolicyId, TrafficPolicyId),
	MAY(IngressPointConfiguration, IngressPointConfiguration),
	MAY(TlsPolicy, TlsPolicy));
NO_OUTPUT(UpdateIngressPoint);

INPUT(DeleteIngressPoint,
	NEED(IngressPointId, IngressPointId));
NO_OUTPUT(DeleteIngressPoint);

INPUT(ListIngressPoints,
	MAY(PageSize, PageSize),
	MAY(NextToken, PaginationToken));
OUTPUT(ListIngressPoints,
	MAY(IngressPoints, IngressPointsList),
	MAY(NextToken, PaginationToken));

/* ---- relays ---- */

INPUT(CreateRelay,
	MAY(ClientToken, IdempotencyToken),
	NEED(RelayName, RelayName),
	NEED(ServerName, RelayServerName),
	NEED(ServerPort, RelayServerPort),
	NEED(Authentication, RelayAuthentication),
	MAY(Tags, TagList));
OUTPUT(CreateRelay,
	NEED(RelayId, RelayId));

INPUT(GetRelay,
	NEED(RelayId, RelayId));
OUTPUT(GetRelay,
	NEED(RelayId, RelayId),
	MAY(RelayArn, RelayArn),
	MAY(RelayName, RelayName),
	MAY(ServerName, RelayServerName),
	MAY(ServerPort, RelayServerPort),
	MAY(Authentication, RelayAuthentication),
	MAY(CreatedTimestamp, Timestamp),
	MAY(LastModifiedTimestamp, Timestamp));

INPUT(UpdateRelay,
	NEED(RelayId, RelayId),
	MAY(RelayName, RelayName),
	MAY(ServerName, RelayServerName),
	MAY(ServerPort, RelayServerPort),
	MAY(Authentication, RelayAuthentication));
NO_OUTPUT(UpdateRelay);

INPUT(DeleteRelay,
	NEED(RelayId, RelayId));
NO_OUTPUT(DeleteRelay);

INPUT(ListRelays,
	MAY(PageSize, Integer),
	MAY(NextToken, PaginationToken));
OUTPUT(ListRelays,
	NEED(Relays, Relays),
	MAY(NextToken, PaginationToken));

/* ---- address lists ---- */

INPUT(CreateAddressList,
	MAY(ClientToken, IdempotencyToken),
	NEED(AddressListName, AddressListName),
	MAY(Tags, TagList));
OUTPUT(CreateAddressList,
	NEED(AddressListId, AddressListId));

INPUT(GetAddressList,
	NEED(AddressListId, AddressListId));
OUTPUT(GetAddressList,
	NEED(AddressListId, AddressListId),
	NEED(AddressListArn, AddressListArn),
	NEED(AddressListName, AddressListName),
	NEED(CreatedTimestamp, Timestamp),
	NEED(LastUpdatedTimestamp, Timestamp));

INPUT(DeleteAddressList,
	NEED(AddressListId, AddressListId));
NO_OUTPUT(DeleteAddressList);

INPUT(ListAddressLists,
	MAY(NextToken, PaginationToken),
	MAY(PageSize, PageSize));
OUTPUT(ListAddressLists,
	NEED(AddressLists, AddressLists),
	MAY(NextToken, PaginationToken));

INPUT(RegisterMemberToAddressList,
	NEED(AddressListId, AddressListId),
	NEED(Address, Address));
NO_OUTPUT(RegisterMemberToAddressList);

INPUT(DeregisterMemberFromAddressList,
	NEED(AddressListId, AddressListId),
	NEED(Address, Address));
NO_OUTPUT(DeregisterMemberFromAddressList);

INPUT(GetMemberOfAddressList,
	NEED(AddressListId, AddressListId),
	NEED(Address, Address));
OUTPUT(GetMemberOfAddressList,
	NEED(Address, Address),
	NEED(CreatedTimestamp, Timestamp));

INPUT(ListMembersOfAddressList,
	NEED(AddressListId, AddressListId),
	MAY(Filter, AddressFilter),
	MAY(NextToken, PaginationToken),
	MAY(PageSize, AddressPageSize));
OUTPUT(ListMembersOfAddressList,
	NEED(Addresses, SavedAddresses),
	MAY(NextToken, PaginationToken));

INPUT(CreateAddressListImportJob,
	MAY(ClientToken, IdempotencyToken),
	NEED(AddressListId, AddressListId),
	NEED(Name, JobName),
	NEED(ImportDataFormat, ImportDataFormat));
OUTPUT(CreateAddressListImportJob,
	NEED(JobId, JobId),
	NEED(PreSignedUrl, PreSignedUrl));

INPUT(GetAddressListImportJob,
	NEED(JobId, JobId));
OUTPUT(GetAddressListImportJob,
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

INPUT(ListAddressListImportJobs,
	NEED(AddressListId, AddressListId),
	MAY(NextToken, PaginationToken),
	MAY(PageSize, PageSize));
OUTPUT(ListAddressListImportJobs,
	NEED(ImportJobs, ImportJobs),
	MAY(NextToken, PaginationToken));

INPUT(StartAddressListImportJob,
	NEED(JobId, JobId));
NO_OUTPUT(StartAddressListImportJob);

INPUT(StopAddressListImportJob,
	NEED(JobId, JobId));
NO_OUTPUT(StopAddressListImportJob);

/* ---- add-ons ---- */

INPUT(CreateAddonSubscription,
	MAY(ClientToken, IdempotencyToken),
	NEED(AddonName, AddonName),
	MAY(Tags, TagList));
OUTPUT(CreateAddonSubscription,
	NEED(AddonSubscriptionId, AddonSubscriptionId));

INPUT(GetAddonSubscription,
	NEED(AddonSubscriptionId, AddonSubscriptionId));
OUTPUT(GetAddonSubscription,
	MAY(AddonName, AddonName),
	MAY(AddonSubscriptionArn, AddonSubscriptionArn),
	MAY(CreatedTimestamp, Timestamp));

INPUT(DeleteAddonSubscription,
	NEED(AddonSubscriptionId, AddonSubscriptionId));
NO_OUTPUT(DeleteAddonSubscription);

INPUT(ListAddonSubscriptions,
	MAY(NextToken, PaginationToken),
	MAY(PageSize, PageSize));
OUTPUT(ListAddonSubscriptions,
	MAY(AddonSubscriptions, AddonSubscriptions),
	MAY(NextToken, PaginationToken));

INPUT(CreateAddonInstance,
	MAY(ClientToken, IdempotencyToken),
	NEED(AddonSubscriptionId, AddonSubscriptionId),
	MAY(Tags, TagList));
OUTPUT(CreateAddonInstance,
	NEED(AddonInstanceId, AddonInstanceId));

INPUT(GetAddonInstance,
	NEED(AddonInstanceId, AddonInstanceId));
OUTPUT(GetAddonInstance,
	MAY(AddonSubscriptionId, AddonSubscriptionId),
	MAY(AddonName, AddonName),
	MAY(AddonInstanceArn, AddonInstanceArn),
	MAY(CreatedTimestamp, Timestamp));

INPUT(DeleteAddonInstance,
	NEED(AddonInstanceId, AddonInstanceId));
NO_OUTPUT(DeleteAddonInstance);

INPUT(ListAddonInstances,
	MAY(NextToken, PaginationToken),
	MAY(PageSize, PageSize));
OUTPUT(ListAddonInstances,
	MAY(AddonInstances, AddonInstances),
	MAY(NextToken, PaginationToken));

/* ---- tags ---- */

INPUT(TagResource,
	NEED(ResourceArn, TaggableResourceArn),
	NEED(Tags, TagList));
NO_OUTPUT(TagResource);

INPUT(UntagResource,
	NEED(ResourceArn, TaggableResourceArn),
	NEED(TagKeys, TagKeyList));
NO_OUTPUT(UntagResource);

INPUT(ListTagsForResource,
	NEED(ResourceArn, TaggableResourceArn));
OUTPUT(ListTagsForResource,
	NEED(Tags, TagList));

/* ---- the table ---- */

/* ---- ours: a text is JSON ---- */

TEXT(Document, 0, 0);

#define OUR_OUTPUT(op) OUTPUT(op, NEED(Text, Document))

INPUT(MmApply,
	NEED(Text, Document));
OUR_OUTPUT(MmApply);

EMPTY(MmDumpRequest);
OUR_OUTPUT(MmDump);

INPUT(MmShow,
	MAY(Kind, Document),
	MAY(Name, Document));
OUR_OUTPUT(MmShow);

EMPTY(MmStatusRequest);
OUR_OUTPUT(MmStatus);

INPUT(MmPasswd,
	NEED(Name, Document),
	NEED(Password, SmtpPassword));
OUR_OUTPUT(MmPasswd);

#define V (1u << API_VALIDATION)
#define A (1u << API_ACCESS_DENIED)
#define Q (1u << API_QUOTA)
#define C (1u << API_CONFLICT)
#define N (1u << API_NOT_FOUND)
#define T (1u << API_THROTTLING)

#define OPERATION(op, of_group, of_class, marked, listed, ...)                                     \
	{ .name = #op, .group = MODEL_##of_group, .class = ACCESS_##of_class,                       \
	  .trait = MODEL_##marked, .errors = listed, .input = &shape_##op##Request,                \
	  .output = &shape_##op##Response, __VA_ARGS__ }
#define ONCE      .once = true
#define PAGES(of) .result = #of

const struct model_operation model_operations[MODEL_OPERATIONS] = {
	/* archives */
	OPERATION(CreateArchive, ARCHIVES, MANAGE_ARCHIVE, IDEMPOTENT, V | A | Q | C | T),
	OPERATION(GetArchive, ARCHIVES, READ_ARCHIVE, READONLY, V | A | N | T),
	OPERATION(UpdateArchive, ARCHIVES, MANAGE_ARCHIVE, IDEMPOTENT, V | A | Q | C | N | T),
	OPERATION(DeleteArchive, ARCHIVES, MANAGE_ARCHIVE, IDEMPOTENT, V | A | C | T),
	OPERATION(ListArchives, ARCHIVES, READ_ARCHIVE, READONLY, V | A | T, PAGES(Archives)),
	OPERATION(StartArchiveSearch, ARCHIVES, SEARCH, UNMARKED, V | A | Q | C | N | T, ONCE),
	OPERATION(GetArchiveSearch, ARCHIVES, SEARCH, READONLY, V | A | T),
	OPERATION(GetArchiveSearchResults, ARCHIVES, SEARCH, READONLY, V | A | C | T),
	OPERATION(ListArchiveSearches, ARCHIVES, SEARCH, READONLY, V | A | N | T, PAGES(Searches)),
	OPERATION(StopArchiveSearch, ARCHIVES, SEARCH, IDEMPOTENT, V | A | T, ONCE),
	OPERATION(StartArchiveExport, ARCHIVES, EXPORT, UNMARKED, V | A | Q | N | T, ONCE),
	OPERATION(GetArchiveExport, ARCHIVES, EXPORT, UNMARKED, V | A | T),
	OPERATION(ListArchiveExports, ARCHIVES, EXPORT, READONLY, V | A | N | T, PAGES(Exports)),
	OPERATION(StopArchiveExport, ARCHIVES, EXPORT, UNMARKED, V | A | T, ONCE),
	OPERATION(GetArchiveMessage, ARCHIVES, READ_MESSAGE, READONLY, V | A | T),
	OPERATION(GetArchiveMessageContent, ARCHIVES, READ_MESSAGE, UNMARKED, V | A | T),
	/* rule sets */
	OPERATION(CreateRuleSet, RULE_SETS, CHANGE_FLOW, IDEMPOTENT, V | Q | C),
	OPERATION(GetRuleSet, RULE_SETS, READ_CONFIG, READONLY, V | N),
	OPERATION(UpdateRuleSet, RULE_SETS, CHANGE_FLOW, IDEMPOTENT, V | C | N),
	OPERATION(DeleteRuleSet, RULE_SETS, CHANGE_FLOW, IDEMPOTENT, V | C),
	OPERATION(ListRuleSets, RULE_SETS, READ_CONFIG, READONLY, V, PAGES(RuleSets)),
	/* traffic policies */
	OPERATION(CreateTrafficPolicy, TRAFFIC_POLICIES, CHANGE_FLOW, IDEMPOTENT, V | Q | C),
	OPERATION(GetTrafficPolicy, TRAFFIC_POLICIES, READ_CONFIG, READONLY, V | N),
	OPERATION(UpdateTrafficPolicy, TRAFFIC_POLICIES, CHANGE_FLOW, IDEMPOTENT, V | C | N),
	OPERATION(DeleteTrafficPolicy, TRAFFIC_POLICIES, CHANGE_FLOW, IDEMPOTENT, V | C | N),
	OPERATION(ListTrafficPolicies, TRAFFIC_POLICIES, READ_CONFIG, READONLY, V, PAGES(TrafficPolicies)),
	/* ingress points */
	OPERATION(CreateIngressPoint, INGRESS_POINTS, CHANGE_FLOW, IDEMPOTENT, V | Q | C),
	OPERATION(GetIngressPoint, INGRESS_POINTS, READ_CONFIG, READONLY, V | N),
	OPERATION(UpdateIngressPoint, INGRESS_POINTS, CHANGE_FLOW, IDEMPOTENT, V | C | N),
	OPERATION(DeleteIngressPoint, INGRESS_POINTS, CHANGE_FLOW, IDEMPOTENT, V | C | N),
	OPERATION(ListIngressPoints, INGRESS_POINTS, READ_CONFIG, READONLY, V, PAGES(IngressPoints)),
	/* relays */
	OPERATION(CreateRelay, RELAYS, CHANGE_FLOW, IDEMPOTENT, V | Q | C),
	OPERATION(GetRelay, RELAYS, READ_CONFIG, READONLY, V | N),
	OPERATION(UpdateRelay, RELAYS, CHANGE_FLOW, IDEMPOTENT, V | C | N),
	OPERATION(DeleteRelay, RELAYS, CHANGE_FLOW, IDEMPOTENT, V | C | N),
	OPERATION(ListRelays, RELAYS, READ_CONFIG, READONLY, V, PAGES(Relays)),
	/* address lists */
	OPERATION(CreateAddressList, ADDRESS_LISTS, CHANGE_FLOW, IDEMPOTENT, V | A | Q | C | T),
	OPERATION(GetAddressList, ADDRESS_LISTS, READ_CONFIG, READONLY, V | A | N | T),
	OPERATION(DeleteAddressList, ADDRESS_LISTS, CHANGE_FLOW, IDEMPOTENT, V | A | C | T),
	OPERATION(ListAddressLists, ADDRESS_LISTS, READ_CONFIG, READONLY, V | A | T, PAGES(AddressLists)),
	OPERATION(RegisterMemberToAddressList, ADDRESS_LISTS, CHANGE_FLOW, IDEMPOTENT, V | A | Q | C | N | T),
	OPERATION(DeregisterMemberFromAddressList, ADDRESS_LISTS, CHANGE_FLOW, IDEMPOTENT, V | A | C | N | T),
	OPERATION(GetMemberOfAddressList, ADDRESS_LISTS, READ_CONFIG, READONLY, V | A | N | T),
	OPERATION(ListMembersOfAddressList, ADDRESS_LISTS, READ_CONFIG, READONLY, V | A | N | T, PAGES(Addresses)),
	OPERATION(CreateAddressListImportJob, ADDRESS_LISTS, CHANGE_FLOW, IDEMPOTENT, V | A | N | T),
	OPERATION(GetAddressListImportJob, ADDRESS_LISTS, READ_CONFIG, READONLY, V | A | N | T),
	OPERATION(ListAddressListImportJobs, ADDRESS_LISTS, READ_CONFIG, READONLY, V | A | N | T, PAGES(ImportJobs)),
	OPERATION(StartAddressListImportJob, ADDRESS_LISTS, CHANGE_FLOW, IDEMPOTENT, V | A | Q | C | N | T, ONCE),
	OPERATION(StopAddressListImportJob, ADDRESS_LISTS, CHANGE_FLOW, IDEMPOTENT, V | A | C | N | T, ONCE),
	/* add-ons */
	OPERATION(CreateAddonSubscription, ADD_ONS, CHANGE_FLOW, IDEMPOTENT, V | Q | C | T),
	OPERATION(GetAddonSubscription, ADD_ONS, READ_CONFIG, READONLY, V | N),
	OPERATION(DeleteAddonSubscription, ADD_ONS, CHANGE_FLOW, IDEMPOTENT, V | C),
	OPERATION(ListAddonSubscriptions, ADD_ONS, READ_CONFIG, READONLY, V, PAGES(AddonSubscriptions)),
	OPERATION(CreateAddonInstance, ADD_ONS, CHANGE_FLOW, IDEMPOTENT, V | Q | C | N),
	OPERATION(GetAddonInstance, ADD_ONS, READ_CONFIG, READONLY, V | N),
	OPERATION(DeleteAddonInstance, ADD_ONS, CHANGE_FLOW, IDEMPOTENT, V | C),
	OPERATION(ListAddonInstances, ADD_ONS, READ_CONFIG, READONLY, V, PAGES(AddonInstances)),
	/* tags */
	OPERATION(TagResource, TAGS, CHANGE_FLOW, IDEMPOTENT, V | Q | C | N),
	OPERATION(UntagResource, TAGS, CHANGE_FLOW, IDEMPOTENT, V | C | N),
	OPERATION(ListTagsForResource, TAGS, READ_CONFIG, READONLY, V | N),
};

const struct model_operation model_ours[MODEL_OURS] = {
	OPERATION(MmApply, GROUPS, CHANGE_FLOW, UNMARKED, V | A | Q | C | N | T, ONCE),
	OPERATION(MmDump, GROUPS, READ_CONFIG, READONLY, V | A | T),
	OPERATION(MmShow, GROUPS, READ_ARCHIVE, READONLY, V | A | N | T),
	OPERATION(MmStatus, GROUPS, STATUS, READONLY, V | A | T),
	OPERATION(MmPasswd, GROUPS, CHANGE_FLOW, UNMARKED, V | A | C | N | T, ONCE),
};

/* clang-format on */

const struct model_operation *model_find(struct slice name)
{
	for (size_t i = 0; i < MODEL_OPERATIONS; i++)
		if (slice_equal(name, slice_str(model_operations[i].name)))
			return &model_operations[i];
	for (size_t i = 0; i < MODEL_OURS; i++)
		if (slice_equal(name, slice_str(model_ours[i].name)))
			return &model_ours[i];
	return NULL;
}

bool model_has_token(const struct model_operation *op)
{
	return shape_member(op->input, "ClientToken");
}

const char *model_group_name(enum model_group group)
{
	static const char *const names[MODEL_GROUPS] = {
		[MODEL_ARCHIVES] = "Archives",
		[MODEL_RULE_SETS] = "Rule sets",
		[MODEL_TRAFFIC_POLICIES] = "Traffic policies",
		[MODEL_INGRESS_POINTS] = "Ingress points",
		[MODEL_RELAYS] = "Relays",
		[MODEL_ADDRESS_LISTS] = "Address lists",
		[MODEL_ADD_ONS] = "Add-ons",
		[MODEL_TAGS] = "Tags",
	};

	MUST(group < MODEL_GROUPS);
	return names[group];
}
