/*
 * ingest/action/dkim_sign.h - DKIM-Signature of what is sent (RFC 6376, 8301, 8463), and the keys
 *
 * What     Signs relaxed/relaxed, From and the usual fields oversigned, no l=, no i=. By RSA (2,048 bits) or
 *          Ed25519. The canonicaliser is the verifier's (ingest/verdict/canon.h).
 *          Keys are rows of control.db (table dkim_key): domain, selector, algorithm, private key (PEM).
 * In use   One key of a domain signs. The first one does at once; a later one when it is put to use, so that its
 *          record can be published before: what is signed by a key that DNS doesn't have is worth less than what
 *          isn't signed at all. When the key in use is deleted, the one that was put to use before it signs again.
 * Inside   a transaction of the caller, who commits: create, use and delete.
 * Threads  Signing: any. Keys: as the struct db.
 * On disk  docs/formats.md, "DKIM keys"
 */
#ifndef MM_INGEST_ACTION_DKIM_SIGN_H
#define MM_INGEST_ACTION_DKIM_SIGN_H

#include "ingest/action/compose.h"
#include "ingest/verdict/raw.h"
#include "store/db.h"

/* Adds the field, ended by CRLF. `m` is the message as it is sent: fields that stand in front are among its
 * fields. RC_INVALID: domain or selector is no name, or the key is of another kind. */
enum rc dkim_sign(const struct compose_key *k, const struct raw_message *m, int64_t now_s, struct buf *out,
		  struct err *e) MUST_USE;

/* What mmctl and lists show of a key. */
struct dkim_row {
	const char *domain;    /* lower case, A-labels */
	const char *selector;
	const char *algorithm; /* "rsa", "ed25519" */
	const char *record;    /* the text of its TXT record */
	int64_t created_ms;
	bool in_use;
};

enum rc dkim_keys_prepare(struct db *control, struct err *e) MUST_USE;
/* Makes a key; *record (to be freed): the TXT record's text, *name: its owner name. RC_EXISTS: that selector is
 * there. `selector` NULL: of the date ("mm20261129"). `algorithm` "rsa" or "ed25519". */
enum rc dkim_key_create(struct db *control, struct slice domain, const char *selector, const char *algorithm,
			char **name, char **record, struct err *e) MUST_USE;
/* RC_NOTFOUND, these two. */
enum rc dkim_key_use(struct db *control, struct slice domain, struct slice selector, struct err *e) MUST_USE;
enum rc dkim_key_delete(struct db *control, struct slice domain, struct slice selector, struct err *e) MUST_USE;
/* By domain, the key in use first. */
enum rc dkim_keys_each(struct db *control, enum rc (*each)(void *arg, const struct dkim_row *row, struct err *e),
		       void *arg, struct err *e) MUST_USE;
/* The key in use of the domain, or of the nearest domain above it that has one: RC_NOTFOUND. The key and texts are
 * the caller's. */
enum rc dkim_key_find(struct db *control, struct slice domain, char **found, char **selector, struct evp_pkey_st **key,
		      struct err *e) MUST_USE;
/* That very key, in use or not: RC_NOTFOUND. */
enum rc dkim_key_named(struct db *control, struct slice domain, struct slice selector, struct evp_pkey_st **key,
		       struct err *e) MUST_USE;
/* Frees the key; the texts are the caller's. */
void compose_key_free(struct compose_key *k);

#endif
