/*
 * ingest/calls.h - HTTP requests of actions, made by the caller of mm-deliver
 *
 * What     mmd's side of the caller, a confined child that has libcurl. A call names one of the configured
 *          endpoints; it is signed (SigV4) or has an HMAC, by keys that the home of mm-deliver was given before
 *          mmd confined itself and that mmd has wiped. One try (but where a connection that was used before is
 *          found closed): again is the queue's matter.
 * Lines    Each endpoint has a line and at most CALLS_EACH under way (ingest/calls_wire.h), so that one that is
 *          slow holds up no other. A call's deadline counts from when it is asked, in line or not.
 * Names    are looked up by a new child, before its sandbox. One is made each minute that something is asked,
 *          beside the one that works, and at once (5 s) where a call found nobody; the one before ends what it
 *          has.
 * Death    As ingest/outbound.h: CALL_LATER for all that it had, and a new child. So it is with one that hangs.
 * Trust    The child may have been broken into by a server: an answer is a status, and up to CALL_ANSWER bytes
 *          that the action reads as hostile text.
 * Threads  The loop's (the queue's thread).
 */
#ifndef MM_INGEST_CALLS_H
#define MM_INGEST_CALLS_H

#include "base/json.h"
#include "base/loop.h"

#define CALL_ANSWER 65536

struct home;
struct calls;

struct call_field {
	const char *name; /* lower case */
	const char *value;
};

struct call {
	const char *endpoint; /* "s3", "sns", "lambda", "qbusiness", or "webhooks/NAME" */
	const char *method;
	const char *host_prefix; /* "bucket." in front of the endpoint's host; NULL: none */
	const char *path;     /* escaped; a webhook has its own, and its own query */
	const char *query;    /* escaped and sorted; "" */
	const struct call_field *fields; /* at most 16; signed, too (not by a webhook's HMAC) */
	size_t field_count;
	int body;             /* descriptor of sealed memory; -1: none; duplicated */
	uint64_t body_bytes;
	int64_t deadline_ms;  /* of the whole call */
};

enum call_end {
	CALL_ANSWERED, /* `status` and `answer`, whatever the status is */
	CALL_LATER,    /* no connection, a time-out, TLS failed, the answer broke off; it may have been done */
	CALL_SET_UP,   /* no such endpoint, or a request that can't be made to it */
};

struct call_result {
	enum call_end end;
	unsigned status;
	struct slice answer; /* at most CALL_ANSWER bytes of the body: its beginning where it is longer */
	const char *function_error; /* X-Amz-Function-Error; "" without */
	const char *why;     /* for people: printable ASCII */
};

struct calls_options {
	struct loop *loop;
	struct home *home;
	void (*ended)(void *arg, uint64_t number, const struct call_result *r);
	void *arg;
};

/* Checks `lambda`, `sns`, `qbusiness` and `webhooks` of the configuration's `endpoints` (docs/man/mmd.8.md), and
 * that they and `s3` aren't more than a sandbox has ports for. Other members aren't looked at. */
enum rc calls_configure(const json_t *endpoints, struct err *e) MUST_USE;
/* Starts the home, with the endpoints and their secrets, of which files are read; before mmd confines itself.
 * `endpoints` is checked, `s3` too, and isn't kept. *out is NULL where no endpoint is configured. `program` NULL:
 * "mm-deliver". home_stop ends it. */
enum rc calls_home(struct home **out, const json_t *endpoints, const char *program,
		   struct err *e) MUST_USE;
/* Wipes the secrets that stand in the configuration itself; each is "" afterwards. */
void calls_wipe(json_t *endpoints);
struct calls *calls_new(const struct calls_options *o);
void calls_free(struct calls **c); /* what is under way ends without `ended`; NULL is fine */
/* Its number, never 0; `ended` comes once, never within this call. */
uint64_t calls_ask(struct calls *c, const struct call *what);
size_t calls_under_way(const struct calls *c);

#endif
