/*
 * ingest/calls.h - HTTP requests of actions, made by the caller of mm-deliver
 *
 * What     mmd's side of the caller, a confined child that has libcurl. A call names one of the configured endpoints;
 *          it is signed (SigV4) or has an HMAC, by keys that the home of mm-deliver was given before mmd confined itself and that mmd has
 *          wiped. One try: again is the queue's matter.
 * Death    As ingest/outbound.h: CALL_LATER.
 * Trust    The child may have been broken into by a server: an answer is a status, and up to CALL_ANSWER bytes that the
 *          action reads as hostile text.
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
	const char *path;     /* escaped */
	const char *query;    /* escaped and sorted; "" */
	const struct call_field *fields; /* signed, too */
	size_t field_count;
	int body;             /* descriptor of sealed memory; -1: none; duplicated */
	uint64_t body_bytes;
	int64_t deadline_ms;  /* of the whole call */
};

enum call_end {
	CALL_ANSWERED, /* `status` and `answer` */
	CALL_LATER,    /* no connection, a time-out, TLS failed */
	CALL_SET_UP,   /* no such endpoint, or one that isn't allowed */
};

struct call_result {
	enum call_end end;
	unsigned status;
	struct slice answer; /* at most CALL_ANSWER bytes of the body */
	const char *function_error; /* X-Amz-Function-Error; "" without */
	const char *why;     /* for people: printable ASCII */
};

struct calls_options {
	struct loop *loop;
	struct home *home;
	void (*ended)(void *arg, uint64_t number, const struct call_result *r);
	void *arg;
};

/* Checks `endpoints` of the configuration. */
enum rc calls_configure(const json_t *endpoints, struct err *e) MUST_USE;
struct calls *calls_new(const struct calls_options *o);
void calls_free(struct calls **c); /* what is under way ends without `ended`; NULL is fine */
/* Its number, never 0; `ended` comes once, never within this call. */
uint64_t calls_ask(struct calls *c, const struct call *what);
size_t calls_under_way(const struct calls *c);

#endif
