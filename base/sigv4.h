/*
 * base/sigv4.h - AWS Signature Version 4: who signed this request, and signing our own
 *
 * What     One canonical form for both directions. Header form (Authorization) and query form
 *          (X-Amz-Signature: a presigned URL). No I/O and no clock: time is a parameter.
 * Signing  The request's fields are those that are signed: `host`, `x-amz-date` in header form, and
 *          whatever else may not be changed under way. Fields that aren't signed are left out.
 * Checking Two steps, so that the secret can be looked up between them, and the first one before a
 *          body is read. sigv4_claim: what the request says of itself (form, key id, scope, time,
 *          signed headers); all that is wrong without knowing a secret is found here. sigv4_verify:
 *          the body's hash and the signature.
 *
 *          A key id that isn't known is verified too, against a random secret of the length of the
 *          others and with a sigv4_derived that is never filled: then it can't be told from a wrong
 *          signature, by verdict, text or time.
 * Refused  beyond a wrong signature: a header that decides and isn't signed (host, every x-amz-*,
 *          in a call content-type), is there twice or has runs of blanks, which the canonical form
 *          would hide; signed headers out of order, twice, in upper case or absent; a scope of
 *          another day than the time; a path that isn't plain; session tokens; both forms at once;
 *          STREAMING-... payloads, whose chunks would carry signatures of their own.
 * Cost     Canonical request, SHA-256 of it, one HMAC where sigv4_derived has the day's key, six
 *          where it doesn't and for every failure, whatever it has.
 * Owner    Nothing is kept; a claim is a plain value and points nowhere.
 * Threads  Any. sigv4_init once before a sandbox is entered: it fetches from OpenSSL.
 */
#ifndef MM_BASE_SIGV4_H
#define MM_BASE_SIGV4_H

#include "base/buf.h"
#include "base/limits.h"

#define SIGV4_SKEW_MS     INT64_C(300000) /* clocks may differ by this */
#define SIGV4_EXPIRES_MAX 604800          /* seconds that a presigned URL lives at most */
#define SIGV4_HASH        64              /* hex digits of a SHA-256 */
#define SIGV4_TIME        16              /* "20260102T030405Z" */
#define SIGV4_UNSIGNED    "UNSIGNED-PAYLOAD"

void sigv4_init(void);

/* ---- the request ---- */

struct http_field {
	struct slice name; /* in any case */
	struct slice value;
};

enum sigv4_path {
	SIGV4_PATH_TWICE, /* the path as on the wire, escaped once more: every service but S3 */
	SIGV4_PATH_ONCE,  /* as on the wire, in one spelling of its escapes: S3 */
};

struct sigv4_request {
	struct slice method;
	struct slice path;  /* as on the wire; never decoded or normalised here */
	struct slice query; /* as on the wire, without "?" */
	const struct http_field *fields;
	size_t count;
	enum sigv4_path rule;
};

/* Lower-case hex of the SHA-256, with a NUL. */
void sigv4_hash(char out[SIGV4_HASH + 1], struct slice bytes);
/* Lower-case hex of the HMAC-SHA256, with a NUL: for signatures of our own form. The key isn't empty. */
void sigv4_mac(char out[SIGV4_HASH + 1], struct slice key, struct slice text);
/* "20260102T030405Z", with a NUL. */
void sigv4_time(char out[SIGV4_TIME + 1], int64_t ms);
/* All but A-Z a-z 0-9 - . _ ~ becomes %XX; "/" stays where `path` is true. For object names and for
 * values of a query. RC_LIMIT. */
enum rc sigv4_escape(struct buf *out, struct slice text, bool path) MUST_USE;
/* True for a path that every reader takes for the same one: it begins with "/", has no empty, "."
 * or ".." part and no escaped dot, slash, backslash or control character. It may end in "/". */
bool sigv4_path_is_plain(struct slice path);

/* The canonical request over the headers `names` ("a;b;c", lower case, sorted). A parameter
 * X-Amz-Signature is left out. RC_INVALID: a broken %XX, or a name without a field; RC_LIMIT. */
enum rc sigv4_canonical(struct buf *out, const struct sigv4_request *r, struct slice names,
                        struct slice payload, struct err *e) MUST_USE;

/* ---- signing ---- */

struct sigv4_signer {
	struct slice key_id;
	struct slice secret;
	struct slice region;
	struct slice service;
};

/* Adds the value of an Authorization header over all fields of the request. `payload` is the body's
 * hash or SIGV4_UNSIGNED. RC_INVALID: no host, no good x-amz-date, a broken escape, or an
 * x-amz-content-sha256 that is another one than `payload`. */
enum rc sigv4_sign(struct buf *out, const struct sigv4_signer *s, const struct sigv4_request *r,
                   struct slice payload, struct err *e) MUST_USE;
/* Adds the whole query of a presigned URL: that of the request, then X-Amz-Algorithm to
 * X-Amz-Signature. It lives for `seconds` (1..SIGV4_EXPIRES_MAX) from at_ms on. */
enum rc sigv4_presign(struct buf *out, const struct sigv4_signer *s, const struct sigv4_request *r,
                      struct slice payload, int64_t at_ms, unsigned seconds,
                      struct err *e) MUST_USE;

/* ---- checking ---- */

enum sigv4_verdict {
	SIGV4_GOOD = 0,
	SIGV4_MISSING,   /* no signature at all */
	SIGV4_MALFORMED, /* or something is left unsigned that decides */
	SIGV4_TOKEN,     /* a session token */
	SIGV4_SCOPE,     /* for another service */
	SIGV4_OUTDATED,  /* signed too long ago, too far in the future, or its life is over */
	SIGV4_BODY,      /* x-amz-content-sha256 isn't the hash of the body */
	SIGV4_WRONG,     /* the signature, or a key that isn't known */
};

/* The name that SDKs know for it; all are answered with 403. */
const char *sigv4_exception(enum sigv4_verdict v);

enum sigv4_use {
	SIGV4_CALL, /* the body counts; header form or query form */
	SIGV4_LINK, /* a presigned URL of ours: query form, the body is anything */
};

struct sigv4_claim {
	enum sigv4_use use;
	bool presigned;
	char key_id[LIMIT_SIGV4_KEY_ID + 1];
	char time[SIGV4_TIME + 1]; /* the first 8 are the scope's day */
	char region[LIMIT_SIGV4_REGION + 1];
	char service[LIMIT_SIGV4_REGION + 1];
	char names[LIMIT_SIGV4_NAMES + 1]; /* of the signed headers */
	char signature[SIGV4_HASH + 1];
	int64_t at_ms;    /* signed at */
	int64_t until_ms; /* from here on this signature is refused as outdated */
};

/* Reads and checks what the request says of itself. `service` is the only one allowed. `e` has a
 * text for the client, also for SIGV4_WRONG of the other function. */
enum sigv4_verdict sigv4_claim(struct sigv4_claim *c, const struct sigv4_request *r,
                               enum sigv4_use use, const char *service, int64_t now_ms,
                               struct err *e) MUST_USE;

#define SIGV4_SECRET_KEPT 64

/* The signing key of one secret for one day, region and service; kept by the caller beside the
 * secret, zeroed at first. Only a good signature fills it. */
struct sigv4_derived {
	char day[9];
	char region[LIMIT_SIGV4_REGION + 1];
	char service[LIMIT_SIGV4_REGION + 1];
	uint8_t secret[SIGV4_SECRET_KEPT]; /* whose it is; a longer one isn't kept */
	size_t secret_len;
	uint8_t key[32];
};

/* `payload` is sigv4_hash of the body that was read; in a SIGV4_LINK it isn't looked at. `d` may be
 * NULL. The request is the one that the claim came from, unchanged. */
enum sigv4_verdict sigv4_verify(const struct sigv4_claim *c, const struct sigv4_request *r,
                                struct slice payload, struct slice secret, struct sigv4_derived *d,
                                struct err *e) MUST_USE;

#endif
