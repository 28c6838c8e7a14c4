/*
 * api/http_keys.h - the access keys that mm-httpd knows, and who may not come in
 *
 * What     Key ids with their secrets and principals, as mmd gives them, and the secret of links. A
 * key that isn't known gets a random secret, so that a call under it is refused like one with a
 *          wrong signature. Signatures that may be used once are remembered (base/sigv4_seen.h):
 *          a presigned one lives for at most ONCE_SECONDS, a key has a share of the memory, and
 *          what was signed before that memory began isn't taken, since it may have been used then.
 * Refused  Who can't say who he is is counted by why, and by the key where there is such a one, for mmd,
 *          which sums it up: an audit log that anyone could fill would be none.
 * Threads  The loop's.
 */
#ifndef MM_API_HTTP_KEYS_H
#define MM_API_HTTP_KEYS_H

#include "base/cidr.h"
#include "base/json.h"
#include "base/sigv4.h"

#define HTTP_LINK_KEY "mm-link" /* key id of links to messages and of uploads */
#define ONCE_SECONDS  600
#define ONCE_SHARE    8192 /* signatures of one key: 27 calls a second for the 5 minutes one stays */

struct http_keys;

struct http_keys *http_keys_new(void);
void http_keys_free(struct http_keys **k);
/* {"Keys":[{"AccessKeyId","SecretAccessKey","Principal"}]}: all that work from now on. A key that
 * stays keeps its derived one. */
enum rc http_keys_set(struct http_keys *k, const json_t *all, struct err *e) MUST_USE;
void http_keys_set_link(struct http_keys *k, struct slice secret);
/* No signature that counts once was taken by this process before that time; others may have. */
void http_keys_set_began(struct http_keys *k, int64_t ms);

/* Steps two and three of a check: the signature, and whether it was seen before where it may be
 * used only `once`. `*principal` is the name (it lives until the next http_keys_set), NULL for a
 * link. SIGV4_GOOD with `*later`, a text for the client: it can't be told now whether it was seen;
 * the same call, signed again in a while, is good. */
enum sigv4_verdict http_keys_verify(struct http_keys *k, const struct sigv4_claim *c,
                                    const struct sigv4_request *r, struct slice body, bool once,
                                    int64_t now_ms, const char **principal, const char **later,
                                    struct err *e) MUST_USE;

/* Counts one. */
void http_keys_refused(struct http_keys *k, const char *why, const char *key,
                       const struct ip *from);
/* What was counted since the last call, [{"why","key","address","count"}]: a new reference, NULL when it is
 * nothing. */
json_t *http_keys_take_refused(struct http_keys *k);

#endif
