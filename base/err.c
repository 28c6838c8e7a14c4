#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void PRINTF(2, 0) set_text(struct err *e, const char *fmt, va_list ap)
{
	if (vsnprintf(e->text, sizeof(e->text), fmt, ap) < 0)
		e->text[0] = '\0';
}

enum rc err_set(struct err *e, enum rc code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	e->code = code;
	e->sys = 0;
	va_start(ap, fmt);
	set_text(e, fmt, ap);
	va_end(ap);
	return code;
}

static enum rc code_of_errno(int sys)
{
	switch (sys) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return RC_NOSPACE;
	case ENOENT:
		return RC_NOTFOUND;
	case EEXIST:
		return RC_EXISTS;
	case EACCES:
	case EPERM:
		return RC_DENIED;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return RC_LIMIT;
	default:
		return RC_IO;
	}
}

enum rc err_sys(struct err *e, const char *fmt, ...)
{
	int sys = errno;
	enum rc code = code_of_errno(sys);
	va_list ap;
	size_t n;

	if (!e)
		return code;
	e->code = code;
	e->sys = sys;
	va_start(ap, fmt);
	set_text(e, fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	(void)snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerror(sys));
	return code;
}

enum rc err_in(struct err *e, const char *fmt, ...)
{
	char before[sizeof(e->text)];
	va_list ap;
	size_t n;

	if (!e)
		return RC_IO;
	memcpy(before, e->text, sizeof(before));
	va_start(ap, fmt);
	set_text(e, fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	(void)snprintf(e->text + n, sizeof(e->text) - n, ": %s", before);
	return e->code;
}

const char *rc_name(enum rc code)
{
	static const char *const names[] = { "ok",       "again",        "not found", "exists",
		                             "invalid",  "limit",        "denied",    "held",
		                             "no space", "input/output", "corrupt",   "crypto" };

	return (size_t)code < COUNT(names) ? names[code] : "unknown";
}

int rc_exit(enum rc code)
{
	return code == RC_OK ? 0 : code == RC_INVALID ? 2 : 1;
}
