/*
 * api/operations.h - every request, once: OPERATION(word, handler, class, enters, what it does)
 *
 * class    what a principal's role must allow (api/access.h); a handler asks for more where its arguments
 *          decide it.
 * enters   OWN: the handler makes the audit entry, before anything is shown or changed for good; PLAIN:
 *          that it was asked is entered before the handler runs (api/account.h).
 */
OPERATION("status", op_status, ACCESS_STATUS, PLAIN, "counts of what is spooled, archived, failed")
OPERATION("apply", op_apply, ACCESS_CHANGE_FLOW, OWN, "create or update resources from a file")
OPERATION("show", op_show, ACCESS_READ_ARCHIVE, PLAIN, "resources as JSON")
OPERATION("dump", op_dump, ACCESS_READ_CONFIG, PLAIN, "resources as a file that apply takes")
OPERATION("api", op_api, ACCESS_STATUS, OWN, "an operation of the control API")
OPERATION("passwd", op_passwd, ACCESS_CHANGE_FLOW, OWN, "set the password of an ingress point")
OPERATION("list", op_list, ACCESS_READ_ARCHIVE, PLAIN, "messages in no archive, or erased from one")
OPERATION("why", op_why, ACCESS_READ_ARCHIVE, OWN, "what became of a message, by which rule")
OPERATION("search", op_search, ACCESS_SEARCH, OWN, "rows, ids or the count of a query's hits")
OPERATION("message", op_message, ACCESS_READ_MESSAGE, OWN, "one message's bytes, or its text for a reader")
OPERATION("explain", op_explain, ACCESS_READ_CONFIG, OWN, "what a rule set does with a message that is given")
OPERATION("explain-message", op_explain_message, ACCESS_READ_MESSAGE, OWN, "the same with an archived message")
OPERATION("replay", op_replay, ACCESS_READ_MESSAGE, OWN, "which archived messages a rule set would treat otherwise")
OPERATION("export", op_export, ACCESS_EXPORT, OWN, "rows and bytes of a query's hits")
OPERATION("import", op_import, ACCESS_MANAGE_ARCHIVE, OWN, "messages from files, in batches")
OPERATION("verify", op_verify, ACCESS_VERIFY, OWN, "check store, index and log")
OPERATION("reindex", op_reindex, ACCESS_ADMIN, OWN, "rebuild the index from the store")
OPERATION("seal", op_seal, ACCESS_ADMIN, OWN, "seal open shards")
OPERATION("repack", op_repack, ACCESS_ADMIN, PLAIN, "merge the small blocks of past days")
OPERATION("retention-plan", op_retention_plan, ACCESS_RETENTION, OWN, "what a sweep would destroy now")
OPERATION("retention-run", op_retention_run, ACCESS_RETENTION, OWN, "destroy what is past its retention")
OPERATION("erase", op_erase, ACCESS_RETENTION, OWN, "destroy single messages")
OPERATION("audit-list", op_audit_list, ACCESS_AUDIT, PLAIN, "entries of the audit log")
OPERATION("audit-verify", op_audit_verify, ACCESS_AUDIT, PLAIN, "check the audit log's chain")
OPERATION("principals", op_principals, ACCESS_ADMIN, PLAIN, "who may ask, as what")
OPERATION("principal-create", op_principal_create, ACCESS_ADMIN, OWN, "make a principal, and its first key")
OPERATION("principal-archives", op_principal_archives, ACCESS_ADMIN, OWN, "what an auditor has")
OPERATION("principal-enable", op_principal_enable, ACCESS_ADMIN, OWN, "let it ask, or no longer")
OPERATION("principal-delete", op_principal_delete, ACCESS_ADMIN, OWN, "remove one and its keys")
OPERATION("principal-key-add", op_principal_key_add, ACCESS_ADMIN, OWN, "a second key for a principal")
OPERATION("principal-key-remove", op_principal_key_remove, ACCESS_ADMIN, OWN, "remove one of its keys")
