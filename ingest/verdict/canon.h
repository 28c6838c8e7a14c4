/*
 * ingest/verdict/canon.h - canonical forms of header fields and bodies (RFC 6376 section 3.4),
 *   and their hashes
 *
 * What     Both forms, streamed: nothing of the size of the message is kept, and a body may come
 *          in parts, cut anywhere.
 * Bytes    As they stand. CRLF ends a line; a bare CR or LF is a byte like others, which a
 *          signer would have seen the same.
 * Bodies   body_hashes reads a body once, whatever is asked for: each of the two forms has one
 *          running SHA-256, which is looked at where a length ends. So its time doesn't grow
 *          with the number of signatures.
 * Threads  Any.
 */
#ifndef MM_INGEST_VERDICT_CANON_H
#define MM_INGEST_VERDICT_CANON_H

#include "ingest/verdict/raw.h"

enum canon { CANON_SIMPLE, CANON_RELAXED };

#define CANON_SHA256 32

/* Takes the canonical form part by part. */
typedef void canon_take(void *arg, struct slice part);

struct canon_out {
	canon_take *take;
	void *arg;
	size_t len;
	uint8_t at[1024];
};

/* A field as others sign it: with one line end. */
void canon_field(enum canon how, const struct raw_field *f, canon_take *take, void *arg);
/* The field that holds the signature itself: without `gap`, a part of the field's value (what is in
 * b=), and without the line end (section 3.7). */
void canon_signature_field(enum canon how, const struct raw_field *f, struct slice gap,
                           canon_take *take, void *arg);

struct canon_body {
	enum canon how;
	bool some;      /* something came that isn't an empty line */
	bool blank;     /* a run of blanks that counts as one if the line goes on */
	bool cr;        /* a CR that may begin a line end */
	uint64_t lines; /* line ends that count only if something follows */
	struct canon_out out;
};

void canon_body_begin(struct canon_body *b, enum canon how, canon_take *take, void *arg);
void canon_body_add(struct canon_body *b, struct slice part);
void canon_body_end(struct canon_body *b);

/* A hash that is asked for. */
struct body_hash {
	enum canon how;
	bool limited;   /* l= is there: */
	uint64_t limit; /* bytes of the canonical form */
	/* Found: */
	uint64_t total;               /* bytes of the whole canonical form */
	uint8_t sha256[CANON_SHA256]; /* of the first `limit` bytes, or of all that there are */
};

#define BODY_HASHES 16

/* At most BODY_HASHES. */
void body_hashes(struct slice body, struct body_hash *wanted, size_t count);

/* Fetches SHA-256 once: a fetch reads OpenSSL's configuration file, which a sandbox would forbid
 * later. */
void canon_init(void);
/* A running SHA-256, from its beginning; the caller frees it with EVP_MD_CTX_free. */
struct evp_md_ctx_st *canon_sha256_new(void);
/* A canon_take whose `arg` is a running SHA-256. */
void sha256_take(void *ctx, struct slice part);
void canon_sha256_end(struct evp_md_ctx_st *ctx, uint8_t out[CANON_SHA256]);
const struct evp_md_st *sha256_algorithm(void);

#endif
