/*
 * ingest/verdict/signature.h - what DKIM-Signature, ARC-Message-Signature and ARC-Seal have in
 *   common
 *
 * What     Reads the tags that all have (a, b, d, s, t, x; bh, c, h, l, q of those that sign a
 *          message), hashes the header as it was signed (RFC 6376 sections 3.7 and 5.4.2),
 *          compares the body's hash, and verifies with the key from DNS.
 * Settled  A signature begins as DKIM_NONE; what is found first stays. Each step does nothing on
 *          one that is settled.
 * Time     CLOCK_SKEW_S is granted to t= and x=.
 * Bounds   Hashing a header takes (F + N) log F comparisons of names and at most every field
 *          once, with F fields in the message and N names in h=; both lie in the header block,
 *          which is at most 1 MiB. One signature costs one verification with a key of at most
 *          4096 bits (dkim_key.h).
 * Owner    A struct signature is plain memory that holds all it needs: the message may go.
 * Threads  Any.
 */
#ifndef MM_INGEST_VERDICT_SIGNATURE_H
#define MM_INGEST_VERDICT_SIGNATURE_H

#include "ingest/verdict/canon.h"
#include "ingest/verdict/dkim.h"
#include "ingest/verdict/dkim_key.h"
#include "ingest/verdict/tags.h"

#define CLOCK_SKEW_S         300
#define SIGNATURE_BYTES_MOST 512

enum signature_kind { SIGNATURE_DKIM, SIGNATURE_ARC_MESSAGE, SIGNATURE_ARC_SEAL };

struct signature {
	enum dkim_result result;
	char why[160];
	enum dkim_algorithm algorithm;
	enum canon header;
	struct body_hash body; /* what body_hashes is to find */
	bool subdomain;        /* i= is below d= (set by who reads i=) */
	bool partial;
	char domain[256];                    /* in lower case */
	char selector[256];                  /* likewise */
	char name[24];                       /* a=, printable ASCII */
	char start[9];                       /* of b= */
	uint8_t body_sha256[CANON_SHA256];   /* bh= */
	uint8_t header_sha256[CANON_SHA256]; /* of what was signed */
	uint8_t bytes[SIGNATURE_BYTES_MOST]; /* b= */
	size_t len;
	unsigned key_bits;
	bool testing;
};

/* Where the fields of a name are, for all signatures of a message. Lives no longer than the
 * message. */
struct header_index;

struct header_index *header_index_new(const struct raw_message *m);
void header_index_free(struct header_index **index); /* NULL is fine */

/* Reads the field's tags into `tags` and the signature; false: it is settled. */
bool signature_read(struct signature *s, enum signature_kind kind, const struct raw_field *f,
                    int64_t now_s, struct taglist *tags);
/* Settles a signature that isn't settled yet; gives false, so that callers can return it. */
bool signature_settle(struct signature *s, enum dkim_result result, const char *why);
/* Is the name in h= of these tags? */
bool signature_signs(const struct taglist *tags, const char *name);
void signature_hash_header(struct signature *s, const struct header_index *index,
                           const struct raw_field *f, const struct taglist *tags);
/* What comes last in every hash of a header: the field itself, with an empty b=. */
void signature_hash_itself(struct evp_md_ctx_st *ctx, enum canon how, const struct raw_field *f,
                           const struct taglist *tags);
/* After body_hashes. */
void signature_check_body(struct signature *s);
/* RC_OK: it is settled; or RC_AGAIN. */
enum rc signature_verify(struct signature *s, struct answers *a) MUST_USE;

#endif
