/*
 * ingest/action/dkim_sign.h - DKIM-Signature of what is sent (RFC 6376, 8301, 8463), and the keys
 *
 * What     Signs relaxed/relaxed, From and the usual fields oversigned, no l=. By RSA (2,048 bits) or Ed25519. The canonicaliser is the
 *          verifier's (ingest/verdict/canon.h).
 *          Keys are rows of control.db (table dkim_key): domain, selector, algorithm, private key (PEM).
 * Threads  Signing: any. Keys: as the struct db.
 */
#ifndef MM_INGEST_ACTION_DKIM_SIGN_H
#define MM_INGEST_ACTION_DKIM_SIGN_H

#include "ingest/action/compose.h"
#include "store/db.h"

/* Adds the field, ended by CRLF. `front`: fields that will stand before `raw` (signed as far as they are among those that are). */
enum rc dkim_sign(const struct compose_key *k, struct slice front, struct slice raw, int64_t now_s, struct buf *out,
		  struct err *e) MUST_USE;

enum rc dkim_keys_prepare(struct db *control, struct err *e) MUST_USE;
/* Makes a key; *record (to be freed): the TXT record's text, *name: its owner name. RC_EXISTS: that selector is there. `selector` NULL: of the
 * date ("mm20261129"). `algorithm` "rsa" or "ed25519". */
enum rc dkim_key_create(struct db *control, struct slice domain, const char *selector, const char *algorithm, char **name,
			char **record, struct err *e) MUST_USE;
enum rc dkim_key_delete(struct db *control, struct slice domain, struct slice selector, struct err *e) MUST_USE;
enum rc dkim_keys_each(struct db *control, enum rc (*each)(void *arg, const char *domain, const char *selector,
		       const char *algorithm, const char *record, int64_t created_ms, struct err *e), void *arg, struct err *e) MUST_USE;
/* The newest key of the domain, or of the nearest domain above it that has one: RC_NOTFOUND. The key and texts are the caller's. */
enum rc dkim_key_find(struct db *control, struct slice domain, char **found, char **selector, struct evp_pkey_st **key,
		      struct err *e) MUST_USE;

#endif
