#include "api/access.h"

#include <string.h>

#include "base/compiler.h"

enum reach { NO, GIVEN, ALL };

static const struct {
	const char *name;
	enum reach reach[ROLES]; /* admin, operator, auditor */
} classes[ACCESS_CLASSES] = {
	[ACCESS_STATUS] = { "ask for the status", { ALL, ALL, GIVEN } },
	[ACCESS_READ_CONFIG] = { "see how mail flows", { ALL, ALL, NO } },
	[ACCESS_CHANGE_FLOW] = { "change how mail flows", { ALL, ALL, NO } },
	[ACCESS_READ_ARCHIVE] = { "see archives", { ALL, ALL, GIVEN } },
	[ACCESS_MANAGE_ARCHIVE] = { "manage archives", { ALL, NO, NO } },
	[ACCESS_SEARCH] = { "search", { ALL, NO, GIVEN } },
	[ACCESS_EXPORT] = { "export", { ALL, NO, GIVEN } },
	[ACCESS_READ_MESSAGE] = { "read messages", { ALL, NO, GIVEN } },
	[ACCESS_VERIFY] = { "verify", { ALL, NO, GIVEN } },
	[ACCESS_AUDIT] = { "read the audit log", { ALL, ALL, GIVEN } },
	[ACCESS_RETENTION] = { "destroy mail", { ALL, NO, NO } },
	[ACCESS_ADMIN] = { "administer mm", { ALL, NO, NO } },
};

static const char *const roles[ROLES] = { "admin", "operator", "auditor" };

bool access_everywhere(const struct access *a, enum access_class class)
{
	enum reach reach = classes[class].reach[a->role];

	return reach == ALL || (reach == GIVEN && a->all_archives);
}

bool access_may(const struct access *a, enum access_class class, const char *archive)
{
	enum reach reach = classes[class].reach[a->role];

	if (reach != GIVEN || a->all_archives || !archive)
		return reach != NO;
	for (size_t i = 0; i < a->archive_count; i++)
		if (strcmp(a->archives[i], archive) == 0)
			return true;
	return false;
}

const char *access_role_name(enum access_role role)
{
	return roles[role];
}

bool access_role_parse(struct slice word, enum access_role *role)
{
	for (int i = 0; i < ROLES; i++)
		if (slice_equal(word, slice_str(roles[i]))) {
			*role = (enum access_role)i;
			return true;
		}
	return false;
}

const char *access_class_name(enum access_class class)
{
	return classes[class].name;
}
