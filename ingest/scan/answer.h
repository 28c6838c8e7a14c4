/*
 * ingest/scan/answer.h - what a scanner answered, made a result
 *
 * What     Three forms: clamd's line, rspamd's JSON, and the JSON of our own contract (docs/scanners.md). Each
 *          gives how the scan ended, and for SCAN_RESULT a result (ingest/scan_result.h); else why, for people.
 * Trust    An answer comes from outside, and parts of it (names of what was found, symbols' options) from who
 *          sent the message. It is any bytes, of at most SCAN_ANSWER.
 * Threads  Pure functions.
 */
#ifndef MM_INGEST_SCAN_ANSWER_H
#define MM_INGEST_SCAN_ANSWER_H

#include "ingest/scan_result.h"
#include "ingest/scan_wire.h"

#define SCAN_ANSWER       4194304 /* of rspamd: it lists every URL of a message */
#define SCAN_ANSWER_CLAMD 4096
#define SCAN_ANSWER_HTTP  262144

struct scan_answer {
	enum scan_end end;
	char why[SCAN_WHY];
	json_t *result; /* SCAN_RESULT: a new reference; else NULL */
};

/* `reply` without its NUL. */
void scan_read_clamd(struct scan_answer *out, struct slice reply);
void scan_read_rspamd(struct scan_answer *out, struct slice body);
void scan_read_http(struct scan_answer *out, struct slice body);

#endif
