/*
 * query/package.h - the files of an export package (inside query/)
 */
#ifndef MM_QUERY_PACKAGE_H
#define MM_QUERY_PACKAGE_H

#include "base/buf.h"
#include "base/file.h"
#include "store/crypt.h"

#define PACKAGE_MANIFEST "manifest.jsonl"
#define PACKAGE_PART     "manifest.jsonl.part"
#define PACKAGE_FAILURES "failures.csv"
#define PACKAGE_INDEX    "index.csv"
#define PACKAGE_SUMMARY  "summary.csv"
#define PACKAGE_CUSTODY  "custody.json"
#define PACKAGE_README   "README.txt"
#define PACKAGE_SUMS     "SHA256SUMS"
#define PACKAGE_NATIVE   "native"
#define PACKAGE_MBOX     "native/mail.mbox"

/* A file that is written from its beginning to its end and hashed on the way. Nothing is synced. */
struct out {
	struct file   *f;
	struct sha256 *hash;
	struct buf     wait; /* not written yet */
	uint64_t       at;   /* bytes added */
};

/* RC_EXISTS when there is such a file. */
enum rc out_open(struct out *o, const char *dir, const char *name, struct err *e) MUST_USE;
enum rc out_add(struct out *o, struct slice s, struct err *e) MUST_USE;
enum rc out_str(struct out *o, const char *s, struct err *e) MUST_USE;
/* Writes what waits and closes. */
enum rc out_end(struct out *o, uint8_t sha[32], struct err *e) MUST_USE;
/* Closes whatever is open; also after out_end, and on a zeroed struct. */
void    out_drop(struct out *o);

/* Gives the pieces of a message with mboxrd quoting, in order. */
enum rc mbox_pieces(struct slice raw, enum rc (*add)(void *arg, struct slice piece, struct err *e),
		    void *arg, struct err *e) MUST_USE;

#endif
