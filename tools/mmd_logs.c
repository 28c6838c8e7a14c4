/* tools/mmd_logs.c - the section "logs" of mmd's configuration */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/mmd_settings.h"
#include "tools/mmd_settings_parts.h"

#define KEEP_DAYS_MOST 36500
#define BYTES_LEAST    ((int64_t)1 << 20)

static const char *const members[LOG_NAMES] = { "application", "policy_debug" };

const char *settings_log(const struct settings *s, enum log_name name)
{
	return s->logs.where[name] == LOG_PLAIN ? s->logs.path[name] : NULL;
}

/* Where the file is, or will be made, once links are followed; false: nowhere. */
static bool real_place(const char *path, char out[PATH_MAX + 1])
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? slice_string(slice_of(path, MAX_OF((size_t)(slash - path), (size_t)1)))
	                  : mem_string(".");
	bool there = realpath(path, out) || realpath(dir, out);

	free(dir);
	return there;
}

/* A line in the clear beside sealed mail is what P2 forbids, with addresses or not: who wants it
 * there says "sealed". */
static bool is_inside(const char *path, const char *data)
{
	char place[PATH_MAX + 1];
	char dir[PATH_MAX + 1];
	size_t n;

	if (!data || !realpath(data, dir) || !real_place(path, place))
		return false;
	n = strlen(dir);
	return strncmp(place, dir, n) == 0 && (place[n] == '/' || place[n] == '\0' || n == 1);
}

static enum rc read_log(struct settings *s, const json_t *logs, enum log_name name, struct err *e)
{
	const char *path = json_string_value(json_object_get(logs, members[name]));
	enum rc rc;

	if (!path)
		return RC_OK;
	if (strcmp(path, "sealed") == 0) {
		s->logs.where[name] = LOG_SEALED;
		return RC_OK;
	}
	if (is_inside(path, s->engine.dir))
		return err_set(e, RC_INVALID,
		               "configuration: logs.%s: in the data directory a log is \"sealed\"",
		               members[name]);
	s->logs.where[name] = LOG_PLAIN;
	s->logs.path[name] = path;
	rc = logs_open_file(path, s->engine.dir, &s->logs.file[name], e);
	if (rc == RC_OK)
		return rc;
	(void)err_in(e, "configuration: logs.%s", members[name]);
	return RC_INVALID;
}

static enum rc read_limits(struct settings *s, const json_t *logs, struct err *e)
{
	int64_t rate = json_member_int(logs, "rate", LOG_RATE_DEFAULT);
	int64_t days = json_member_int(logs, "keep_days", LOG_KEEP_DAYS);
	int64_t bytes = json_member_int(logs, "max_bytes", (int64_t)LOG_MAX_BYTES);

	if (rate < 1 || rate > LOG_RATE_MOST)
		return err_set(e, RC_INVALID, "configuration: logs.rate is 1 to %d", LOG_RATE_MOST);
	if (days < 1 || days > KEEP_DAYS_MOST)
		return err_set(e, RC_INVALID, "configuration: logs.keep_days is 1 to %d",
		               KEEP_DAYS_MOST);
	if (bytes < BYTES_LEAST)
		return err_set(e, RC_INVALID, "configuration: logs.max_bytes is at least %lld",
		               (long long)BYTES_LEAST);
	s->logs.addresses = json_member_bool(logs, "addresses", false);
	s->logs.rate = (unsigned)rate;
	s->logs.keep_days = (unsigned)days;
	s->logs.max_bytes = (uint64_t)bytes;
	return RC_OK;
}

enum rc settings_read_logs(struct settings *s, struct err *e)
{
	static const struct member known[] = {
		{ "application", MEMBER_TEXT }, { "policy_debug", MEMBER_TEXT },
		{ "addresses", MEMBER_BOOL },   { "rate", MEMBER_NUMBER },
		{ "keep_days", MEMBER_NUMBER }, { "max_bytes", MEMBER_NUMBER },
	};
	const json_t *logs = json_object_get(s->json, "logs");
	enum rc rc = settings_members(logs, "logs.", known, COUNT(known), e);

	if (rc == RC_OK)
		rc = read_limits(s, logs, e);
	for (int i = 0; rc == RC_OK && i < LOG_NAMES; i++)
		rc = read_log(s, logs, (enum log_name)i, e);
	return rc;
}
