/*
 * tools/mmctl_http.h - one signed call of the control API over HTTP
 *
 * What     POST / in AWS JSON 1.0, signed by base/sigv4, carried by libcurl. Each call has an id of its own
 *          among what is signed, so that the same call twice in a second has two signatures.
 * Trust    The server may be anybody: https is checked against the CA file (the system's without one) and the
 *          host's name; no proxy, no redirect, no other protocol. What doesn't say that it is mm's answer is
 *          dropped unread; of one that does LIMIT_REQUEST bytes are taken and 64 KiB of head, and all of it
 *          has to come within the time.
 * Fails    RC_AGAIN: nobody there could be asked (not reached, certificate refused), so nothing was done;
 *          RC_IO: asked, but without a good answer; RC_LIMIT: too long, either way.
 */
#ifndef MM_TOOLS_MMCTL_HTTP_H
#define MM_TOOLS_MMCTL_HTTP_H

#include "base/buf.h"
#include "base/limits.h"

#define HTTP_SECRET 128

struct http_site {
	bool tls;
	char host[300]; /* as in the Host field: with the port where it isn't the scheme's own */
	struct buf ca;  /* PEM; empty: the system's */
	uint64_t seconds; /* for a call */
	char key_id[LIMIT_SIGV4_KEY_ID + 1];
	char secret[HTTP_SECRET + 1]; /* its owner wipes it */
};

struct http_reply {
	long status;
	struct buf body; /* the caller's to free, also after a failure */
};

enum rc http_ask(const struct http_site *site, const char *operation, struct slice body,
		 struct http_reply *r, struct err *e) MUST_USE;

#endif
