/* tools/mmd_settings_parts.h - what the files of mmd's settings share: checks of members, and sections of their own */
#ifndef MM_TOOLS_MMD_SETTINGS_PARTS_H
#define MM_TOOLS_MMD_SETTINGS_PARTS_H

#include "tools/mmd_settings.h"

enum member_type { MEMBER_TEXT, MEMBER_NUMBER, MEMBER_FILES, MEMBER_OBJECT, MEMBER_BOOL };

struct member {
	const char *name;
	enum member_type type;
};

/* A member that isn't known, or is of another type: RC_INVALID names it behind `where`. */
enum rc settings_members(const json_t *object, const char *where, const struct member *known,
			 size_t count, struct err *e) MUST_USE;
enum rc settings_read_logs(struct settings *s, struct err *e) MUST_USE;

#endif
