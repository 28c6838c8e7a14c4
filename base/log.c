#include "base/log.h"

#include <errno.h>
#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"

static const char *program_name = "mm";
static enum log_level least_level = LOG_INFO;

void log_init(const char *program, enum log_level least)
{
	program_name = program;
	least_level = least;
}

/* The bytes of the control character that stands there, which a terminal may obey; 0: it is none.
 */
static unsigned control_bytes(const char *text)
{
	unsigned char c = (unsigned char)text[0];

	if (c < 0x20 || c == 0x7f)
		return 1;
	return c == 0xc2 && ((unsigned char)text[1] & 0xe0) == 0x80 ? 2 : 0;
}

static size_t append_escaped(char *line, size_t at, size_t room, const char *text)
{
	static const char digits[] = "0123456789abcdef";

	while (*text && at + 9 < room) {
		unsigned n = control_bytes(text);

		if (n == 0)
			line[at++] = *text++;
		for (; n; n--, text++) {
			line[at++] = '\\';
			line[at++] = 'x';
			line[at++] = digits[(unsigned char)*text >> 4];
			line[at++] = digits[(unsigned char)*text & 15];
		}
	}
	return at;
}

/* One write(2), so that lines of several processes on one stderr stay whole. */
static void write_line(const char *line, size_t n)
{
	while (write(STDERR_FILENO, line, n) < 0 && errno == EINTR) /* tidy: the log itself */
		;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };
	char text[1500];
	char line[2048];
	char when[25];
	va_list ap;
	int n;
	size_t at;

	if (level < least_level)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	time_format(when, clock_now_ms());
	n = snprintf(line, sizeof(line), "%s %s[%d] %s: ", when, program_name, (int)getpid(),
	             names[level]);
	at = append_escaped(line, (size_t)n, sizeof(line) - 1, text);
	line[at++] = '\n';
	write_line(line, at);
}

void must_failed(const char *what, const char *file, int line)
{
	void *frames[32];

	log_line(LOG_ERROR, "must hold: %s (%s:%d)", what, file, line);
	backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
	abort();
}

static void *or_die(void *p)
{
	if (!p) {
		log_line(LOG_ERROR, "out of memory");
		abort();
	}
	return p;
}

void *mem_new(size_t bytes)
{
	return or_die(calloc(1, bytes ? bytes : 1));
}

void *mem_array(size_t count, size_t bytes)
{
	return or_die(calloc(count ? count : 1, bytes ? bytes : 1));
}

void *mem_resize(void *old, size_t bytes)
{
	return or_die(realloc(old, bytes ? bytes : 1));
}

char *mem_string(const char *s)
{
	return or_die(strdup(s));
}
