/*
 * base/err.h - few result codes, one text
 *
 * A function that can fail returns enum rc and takes struct err *e last. The text grows context on
 * the way up (err_in) and is logged or shown once, at the top. `e` may be NULL where the caller
 * needs the code alone.
 */
#ifndef MM_BASE_ERR_H
#define MM_BASE_ERR_H

#include "base/compiler.h"

enum rc {
	RC_OK = 0,
	RC_AGAIN,    /* not now; the same call may succeed later */
	RC_NOTFOUND, /* no such thing */
	RC_EXISTS,   /* it is there already */
	RC_INVALID,  /* the caller's (or peer's, or user's) input is wrong */
	RC_LIMIT,    /* a limit of ours was reached */
	RC_DENIED,   /* not allowed */
	RC_HELD,     /* a legal hold forbids it */
	RC_NOSPACE,  /* the disk is full */
	RC_IO,       /* the system failed us */
	RC_CORRUPT,  /* stored bytes are not what was written */
	RC_CRYPTO,   /* wrong key, or a cryptographic call failed */
};

struct err {
	enum rc code;
	int sys; /* errno, or 0 */
	char text[496];
};

/* Set code and text; returns the code, so that callers write `return err_set(...)`. */
enum rc err_set(struct err *e, enum rc code, const char *fmt, ...) PRINTF(3, 4);
/* From errno: ENOSPC, EDQUOT and EFBIG give RC_NOSPACE, ENOENT RC_NOTFOUND, EEXIST RC_EXISTS, EACCES and
 * EPERM RC_DENIED, EMFILE, ENFILE and ENOMEM RC_LIMIT, all else RC_IO. */
enum rc err_sys(struct err *e, const char *fmt, ...) PRINTF(2, 3);
/* Put context in front of the text: "context: text". Returns the code that is set. */
enum rc err_in(struct err *e, const char *fmt, ...) PRINTF(2, 3);
const char *rc_name(enum rc code);
/* Exit code of a tool: 0 ok, 2 usage or configuration (RC_INVALID), else 1. */
int rc_exit(enum rc code);

#endif
