/*
 * ingest/verdict/dkim_key.h - keys of DKIM and ARC, from DNS (RFC 6376 section 3.6, RFC 8301,
 *   RFC 8463)
 *
 * What     "s1._domainkey.shop.example" TXT, read, and judged: may it verify what it is asked
 *          for?
 * Strict   v= is DKIM1 and the first, where it is there; k= is that of the signature (rsa where
 *          it isn't there); h= and s=, where they are there, allow sha256 and email; an empty p=
 *          is a revoked key. RSA has 1024 to 4096 bits (RFC 8301; above, it costs too much time)
 *          and an odd exponent of at most KEY_EXPONENT_BITS. g= is ignored (RFC 6376 section C.2
 *          tells what it was).
 * Forms    p= of RSA is a SubjectPublicKeyInfo, or an RSAPublicKey as section 3.6.1 has it; of
 *          Ed25519 its 32 bytes. The DER is read here: nothing that a stranger writes reaches
 *          OpenSSL's decoders.
 * Several  records: section 3.6.2.2 leaves it undefined. The first one, as DNS gives them, that
 *          can be used is taken, so that others beside it (of another algorithm, or of no DKIM
 *          at all) do no harm.
 * Threads  Any.
 */
#ifndef MM_INGEST_VERDICT_DKIM_KEY_H
#define MM_INGEST_VERDICT_DKIM_KEY_H

#include "ingest/verdict/answers.h"

#define KEY_RSA_LEAST     1024
#define KEY_RSA_MOST      4096
#define KEY_EXPONENT_BITS 64

enum dkim_algorithm { DKIM_RSA_SHA256, DKIM_ED25519_SHA256 };

struct dkim_key {
	struct evp_pkey_st *pkey;
	unsigned bits; /* known as soon as p= was read, also of a key that isn't taken */
	bool testing;  /* t=y */
	bool strict;   /* t=s: i= must have the very domain of d= */
};

/* RC_OK; RC_AGAIN: DNS wasn't asked; RC_IO: DNS gave no answer (temperror); RC_NOTFOUND: there is
 * none; RC_INVALID: none that may be used. The caller frees what is in `out` by dkim_key_free in
 * any case. `selector` and `domain` are names (dkim_name). */
enum rc dkim_key_get(struct dkim_key *out, struct answers *a, const char *selector,
                     const char *domain, enum dkim_algorithm use, struct err *e) MUST_USE;
/* One record: RC_OK or RC_INVALID. */
enum rc dkim_key_read(struct dkim_key *out, struct slice record, enum dkim_algorithm use,
                      struct err *e) MUST_USE;
void dkim_key_free(struct dkim_key *k);

/* `signature` of a SHA-256: is it made with this key? */
bool dkim_key_verifies(const struct dkim_key *k, enum dkim_algorithm use, const uint8_t sha256[32],
                       struct slice signature);

/* A name as d= and s= have it, of at least `labels` labels, in lower case and A-labels (RFC 8616)
 * into `out`; false: it is none, and `out` is empty. */
bool dkim_name(char out[256], struct slice name, unsigned labels);

#endif
