/*
 * api/access.h - who may do what
 *
 * What     Three roles, the classes that requests (api/operations.h) and the API's operations are of,
 *          and one table of both. Nothing else decides it.
 * Roles    admin: everything. operator: manages the flow and reads no mail. auditor: reads what is in
 *          the archives it was given, and changes nothing.
 * Archives An archive that isn't given is treated like one that doesn't exist: whoever looks an archive
 *          up asks access_may first, so that both end in the same place with the same words.
 * Threads  Any.
 */
#ifndef MM_API_ACCESS_H
#define MM_API_ACCESS_H

#include <stdbool.h>

#include "base/slice.h"

enum access_role { ROLE_ADMIN, ROLE_OPERATOR, ROLE_AUDITOR, ROLES };

enum access_class {
	ACCESS_STATUS,         /* counts, and whether all is well */
	ACCESS_READ_CONFIG,    /* ingress points, policies, rule sets, lists; what became of mail in no archive */
	ACCESS_CHANGE_FLOW,    /* the same, and passwords, made, changed and removed */
	ACCESS_READ_ARCHIVE,   /* an archive's settings and counts; what is known of a message but its words */
	ACCESS_MANAGE_ARCHIVE, /* archives made, changed, removed; mail put into them */
	ACCESS_SEARCH,
	ACCESS_EXPORT,
	ACCESS_READ_MESSAGE,
	ACCESS_VERIFY,         /* store, index and log against each other */
	ACCESS_AUDIT,          /* the audit log: as far as the role and its archives allow */
	ACCESS_RETENTION,      /* plans, sweeps, erasures */
	ACCESS_ADMIN,          /* principals, maintenance */
	ACCESS_CLASSES
};

/* What one principal has; borrowed strings. */
struct access {
	enum access_role role;
	bool all_archives;           /* of an auditor: those that there are and those to come */
	const char *const *archives; /* ids; of an auditor */
	size_t archive_count;
};

/* May it do this with the archive of that id? `archive` NULL: may it at all, with whatever archive. */
bool access_may(const struct access *a, enum access_class class, const char *archive);
/* Does it reach every archive in this class, so that what belongs to none may be shown as well? */
bool access_everywhere(const struct access *a, enum access_class class);

const char *access_role_name(enum access_role role); /* "admin" */
bool access_role_parse(struct slice word, enum access_role *role);
/* For a refusal: "search", "change the flow of mail". */
const char *access_class_name(enum access_class class);

#endif
