/*
 * query/export.h - export packages: mail that leaves, with its proof
 *
 * What     A folder with the messages byte for byte, a manifest with the hash of each, what failed
 *          and why, who asked for what, and how to check all of it with sha256sum alone.
 * Files    manifest.jsonl  one line a message: path, sha256, bytes, id, archive, received, sent,
 *                          message_id, envelope_from, envelope_to; mbox: offset, stored_bytes
 *          native/NNNN/ID.eml  the messages, 1000 a folder; or native/mail.mbox
 *          failures.csv    id,stage,reason: always there
 *          index.csv       one row a message
 *          summary.csv     found = exported + failed
 *          custody.json    who, when, query, archive, counts, version, head of the audit chain
 *          SHA256SUMS      of all of these but itself
 *          README.txt      what this is and how to check it
 * mbox     mboxrd. After a "From " line (LF) come the message's bytes, its line ends kept, with one
 *          ">" more before every line that matches ^>*From_; a line begins at the first byte and
 *          after each LF. Then LF where the message does not end in one, and an empty line (LF).
 *          `offset` and `stored_bytes` say where the quoted bytes are, without what was added
 *          around them; taking one ">" off each ^>+From_ line gives the exact message.
 * Names    Made from ids alone, never from what a message says.
 * CSV      RFC 4180 (CRLF); a cell that a spreadsheet could run gets a leading single quote.
 * Order    Everything is written and synced, then manifest.jsonl.part gets its name: a package
 *          without manifest.jsonl is not finished.
 * Fails    RC_EXISTS: `dir` is not empty. RC_NOSPACE, RC_IO: the package is not finished.
 * Threads  One.
 */
#ifndef MM_QUERY_EXPORT_H
#define MM_QUERY_EXPORT_H

#include "index/index.h"
#include "store/audit.h"

enum export_kind { EXPORT_EML, EXPORT_MBOX };

/* For custody.json. Borrowed for the call of export_open; NULL where unknown. */
struct export_info {
	const char *who;
	int64_t     when_ms;
	const char *archive;
	const char *query;     /* as typed */
	const char *canonical; /* as understood */
	int64_t     low, high; /* received, half-open; INT64_MIN and INT64_MAX: open */
	const char *case_name; /* free text: what it is for */
	const char *version;   /* of mm */
	bool        has_audit_head;
	struct audit_head audit_head;
};

struct export_counts {
	uint64_t found; /* exported + failed */
	uint64_t exported;
	uint64_t failed;
	uint64_t bytes; /* of the exported messages */
	uint8_t  sums_sha256[32]; /* of SHA256SUMS, and so of the whole package */
};

struct export;

/* `dir` is new or empty. */
enum rc export_open(struct export **out, const char *dir, enum export_kind kind,
		    const struct export_info *info, struct err *e) MUST_USE;
/* A message whose bytes don't have the row's hash becomes a failure (stage "verify"), and so does an
 * id that was added before (stage "write"). Not RC_OK means that the package can't go on. */
enum rc export_add(struct export *x, const struct index_row *row, struct slice raw,
		   struct err *e) MUST_USE;
/* A message that can't be exported. Stages: "find", "read", "verify", "write". */
enum rc export_fail(struct export *x, const struct message_id *id, const char *stage,
		    const char *reason, struct err *e) MUST_USE;
/* Finishes and syncs the package, gives its counts and frees `x`, also on failure. */
enum rc export_close(struct export **x, struct export_counts *counts, struct err *e) MUST_USE;
/* Frees `x` and leaves what is there without a manifest. NULL is fine. */
void    export_abort(struct export **x);

struct export_report {
	uint64_t messages; /* lines of the manifest */
	uint64_t good;
	uint64_t failures; /* rows of failures.csv */
	uint64_t problems; /* times that `problem` was called */
	uint8_t  sums_sha256[32]; /* of SHA256SUMS; zeros when it can't be read */
};

/* Checks a package by itself: every line of the manifest against its bytes, counts, sums, files that
 * nobody named. Calls `problem` (path relative to `dir`) for each fault; RC_OK when it could look at
 * all, whatever it found. RC_NOTFOUND: `dir` is no folder. */
enum rc export_verify(const char *dir,
		      void (*problem)(void *arg, const char *path, const char *what), void *arg,
		      struct export_report *out, struct err *e) MUST_USE;

/* Adds a message's bytes to `out` with mboxrd quoting, and the way back. */
enum rc mbox_quote(struct slice raw, struct buf *out) MUST_USE;
enum rc mbox_unquote(struct slice stored, struct buf *out) MUST_USE;

#endif
