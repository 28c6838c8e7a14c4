/*
 * base/log.h - one line a fact, on stderr
 *
 * "2026-11-23T21:46:19.123Z mmd[4711] info: text". Control characters in the text are shown as
 * \xNN, so a peer can't forge a line. Logs hold ids; they never hold message content, and addresses
 * only where the configuration asks for them.
 */
#ifndef MM_BASE_LOG_H
#define MM_BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* `program` must live as long as the process. Lines below `least` are dropped. */
void log_init(const char *program, enum log_level least);
void log_line(enum log_level level, const char *fmt, ...) PRINTF(2, 3);

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

#endif
