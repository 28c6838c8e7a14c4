/*
 * ingest/deliver.h - objects written to S3 by mm-deliver, which may connect outwards
 *
 * What     mmd starts the home of mm-deliver before it confines itself, and tells it the endpoint and its
 *          keys once. For each export the home makes a child, which looks the endpoint's name up, confines
 *          itself, and gets objects over a channel, piece after piece. It signs (base/sigv4) and puts them
 *          by libcurl, in parts where an object is larger than one, tries again what fails for the while,
 *          and takes a half-made object back. It keeps nothing and can open nothing.
 * Why      mmd may not connect, and what it starts inherits that. The home reads no byte from outside; it
 *          knows one endpoint, so that a mmd that was broken into can send mail nowhere else.
 * Trust    The child may have been broken into by its server: its answers are a code and a text.
 * Fails    RC_DENIED: the endpoint refuses (wrong key, no right, no such bucket); RC_IO: it can't be
 *          reached, or fails for longer than the tries take; RC_INVALID: it doesn't take the object. What
 *          failed isn't used again: deliver_free.
 * Threads  A home: any. A deliver: one.
 */
#ifndef MM_INGEST_DELIVER_H
#define MM_INGEST_DELIVER_H

#include "base/buf.h"

struct deliver_options {
	const char *url;        /* "https://s3.example:9000", without a path */
	const char *region;     /* NULL: us-east-1 */
	bool path_style;        /* URL/BUCKET/KEY; else the bucket is in front of the host's name */
	const char *access_key;
	const char *secret_key;
	const char *program;    /* NULL: "mm-deliver" */
	uint64_t part_bytes;    /* 0: 8 MiB; S3 wants 5 MiB at least */
	unsigned tries;         /* 0: 4 */
	unsigned wait_ms;       /* before the second try, then twice that each; 0: 500 */
};

struct deliver_home;

/* Nothing in `o` is kept. RC_INVALID: a URL that is none. */
enum rc deliver_home_start(struct deliver_home **out, const struct deliver_options *o,
			   struct err *e) MUST_USE;
void    deliver_home_stop(struct deliver_home **h); /* waits for it; NULL is fine */

struct deliver;

/* A child for a bucket and the beginning of all keys (without "/" at its end; may be empty). While it is
 * waited for `go_on` is asked now and then; not RC_OK ends the wait with that. */
enum rc deliver_new(struct deliver **out, struct deliver_home *h, struct slice bucket,
		    struct slice prefix, enum rc (*go_on)(void *arg, struct err *e), void *arg,
		    struct err *e) MUST_USE;
/* An object that isn't ended is taken back by the child, which then ends. NULL is fine. */
void    deliver_free(struct deliver **d);
/* One object at a time; `key` is below the prefix. */
enum rc deliver_begin(struct deliver *d, const char *key, const char *type, struct err *e) MUST_USE;
enum rc deliver_add(struct deliver *d, struct slice bytes, struct err *e) MUST_USE;
/* RC_OK: the object is there. */
enum rc deliver_end(struct deliver *d, struct err *e) MUST_USE;

/* "s3://BUCKET/PREFIX" in its parts, the prefix without "/" at either end. False for what a signer and a
 * server could take for different paths, too. */
bool deliver_location(struct slice location, struct slice *bucket, struct slice *prefix);
/* "http://HOST[:PORT]" or https in its parts; `host` with the brackets of an IPv6 address. */
bool deliver_url(struct slice url, bool *tls, struct slice *host, uint16_t *port);

#endif
