/*
 * ingest/verdict/sign.h - what a DKIM-Signature and a set of ARC have in common when they are made (RFC 6376)
 *
 * What     The words of their tags, the names in h=, the hash of the body, the signature. Always sha256, always
 *          relaxed/relaxed, by the canonicaliser and the hashes that the verifier has (canon.h, signature.h).
 * Use      A field is begun (fold_begin), gets its tags, ends in sign_begin, and is signed by sign_message or
 *          sign_hash.
 * Threads  Any; a key may be used by several at a time.
 */
#ifndef MM_INGEST_VERDICT_SIGN_H
#define MM_INGEST_VERDICT_SIGN_H

#include "ingest/verdict/canon.h"
#include "ingest/verdict/fold.h"

struct evp_pkey_st;

struct sign_key {
	struct evp_pkey_st *key;
	const char *selector; /* for messages */
};

/* RC_INVALID: it is neither RSA of KEY_RSA_LEAST to KEY_RSA_MOST bits nor Ed25519. */
enum rc sign_check_key(const struct sign_key *k, struct err *e) MUST_USE;
const char *sign_algorithm(const struct sign_key *k); /* "rsa-sha256", "ed25519-sha256" */

void sign_word(struct fold *f, const char *name, const char *value, const char *end);
void sign_number(struct fold *f, const char *name, int64_t value);

/* How often a name is in h=: as often as it is in the message; once more, so that none can be added behind the
 * signer's back (section 8.15); or so where the message has one. */
enum sign_more { SIGN_PRESENT, SIGN_OVER, SIGN_OVER_PRESENT };

struct sign_name {
	const char *name;
	enum sign_more more;
};

/* "h=...;". The first name must be SIGN_OVER. Of a name the last SIGN_NAMES fields are signed. */
#define SIGN_NAMES 20
void sign_names(struct fold *f, const struct raw_message *m, const struct sign_name *names, size_t count);
/* "bh=...;" */
enum rc sign_body(struct fold *f, const struct raw_message *m) MUST_USE;
/* The line that begins with "b=". */
enum rc sign_begin(struct fold *f) MUST_USE;

/* The field that is written in `text`, as signatures see it. */
struct raw_field sign_field(const struct buf *text, const char *name);
/* Signs the message and the field `name` in `text` itself, and ends the field. */
enum rc sign_message(const struct sign_key *k, const struct raw_message *m, struct buf *text, const char *name,
		     struct err *e) MUST_USE;
/* The same with a hash of the caller's. */
enum rc sign_hash(const struct sign_key *k, struct buf *text, const uint8_t sha256[CANON_SHA256],
		  struct err *e) MUST_USE;

#endif
