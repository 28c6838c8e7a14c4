/*
 * ingest/deliver/endpoint.h - the places that the caller may call, and how a request to one is signed
 *
 * What     Read from the home's configuration (ingest/calls_wire.h), looked up before the sandbox. Services are
 *          signed by base/sigv4, over all fields of the request; a webhook gets X-MM-Signature
 *          (docs/calls.md, "Webhooks").
 * Lookup   Each name in a process of its own, so that a slow one holds up no other, ENDPOINT_LOOKUP_MS at most.
 *          One without an address stays without: its calls end as passing.
 * Threads  One.
 */
#ifndef MM_INGEST_DELIVER_ENDPOINT_H
#define MM_INGEST_DELIVER_ENDPOINT_H

#include "base/json.h"
#include "base/sigv4.h"
#include "ingest/calls_wire.h"

#define ENDPOINT_LOOKUP_MS 5000

struct endpoint {
	char *name;    /* "s3", "webhooks/orders" */
	char *service; /* of SigV4; NULL: a webhook */
	bool tls;
	char *host; /* with the brackets of an IPv6 address */
	uint16_t port;
	char *target; /* of a webhook: path and query */
	bool path_style;
	char *region;
	char *access_key;
	char *secret;
	char *addresses; /* "192.0.2.1,[2001:db8::1]"; NULL: none */
};

struct endpoints {
	struct endpoint at[CALLS_ENDPOINTS];
	size_t count;
	bool tls; /* of one at least */
};

/* `config` is the array. The texts are copied. */
enum rc endpoints_read(struct endpoints *all, const json_t *config, struct err *e) MUST_USE;
void endpoints_look_up(struct endpoints *all);
const struct endpoint *endpoints_find(const struct endpoints *all, struct slice name);

/* A request's fields in their final form. */
struct endpoint_request {
	const struct endpoint *to;
	struct slice method;
	struct slice host;   /* of the Host field */
	struct slice path;   /* escaped */
	struct slice query;
	const struct http_field *more; /* at most CALLS_FIELDS */
	size_t more_count;
	struct slice body;
	int64_t now_ms;
	/* made by endpoint_sign: */
	struct http_field fields[CALLS_FIELDS + 4];
	size_t count;
	char when[SIGV4_TIME + 1];
	char hash[SIGV4_HASH + 1];
	struct buf signature;
};

/* Fills `fields`, which point into `r`; r->signature is initialised here, and the caller's to free. */
enum rc endpoint_sign(struct endpoint_request *r, struct err *e) MUST_USE;

#endif
