/*
 * api/http_call.h - calls from mm-httpd to mmd
 *
 * What     A call takes a lane, a connection to mmd's request server (base/request.h), sends JSON text, and
 *          hears the answer. Then the lane waits for the next call; one whose call was given up or failed
 *          is closed, and counts until mmd is through with it. Lanes are asked for ahead, so that a call
 *          rarely waits for one; at most HTTP_WIRE_LANES are there at a time, and calls beyond that wait in
 *          line. So do those of a principal beyond half of mmd's threads, that he can't hold up others, and
 *          those for links, which may take as long as their client likes, beyond two.
 * Owner    Who made a call frees it, whenever he likes, also in its callbacks; mmd then finds its
 *          asker gone.
 * Threads  The loop's.
 */
#ifndef MM_API_HTTP_CALL_H
#define MM_API_HTTP_CALL_H

#include "base/buf.h"
#include "base/loop.h"

struct http_lanes;
struct http_call;

struct http_call_ops {
	/* A line of JSON before the result. May be NULL. */
	void (*row)(void *arg, struct slice line);
	/* Bytes; returns how many were taken. The rest comes again after http_call_resume. May be
	 * NULL: they are dropped. */
	size_t (*bytes)(void *arg, struct slice bytes);
	/* The end: the result as JSON text. Slices live for the call. */
	void (*done)(void *arg, struct slice result);
	/* The end: what mmd says went wrong, or that mmd can't be asked. */
	void (*failed)(void *arg, const struct err *why);
};

/* `need` asks mmd for one more lane. */
struct http_lanes *http_lanes_new(struct loop *l, void (*need)(void *arg), void *arg);
void http_lanes_free(struct http_lanes **l); /* after its calls */
/* A lane that came; takes the descriptor over. */
void http_lanes_add(struct http_lanes *l, int fd);

/* What is asked; copied. */
struct http_question {
	struct slice text;
	struct slice bytes; /* behind it; may be empty */
	const char *who; /* the principal; NULL for a link, and for mm-httpd's own */
	bool link;
};

/* `ops` lives as long as the call. No callback comes before the loop's next round. */
struct http_call *http_call_new(struct http_lanes *l, const struct http_question *q,
                                const struct http_call_ops *ops, void *arg);
void http_call_resume(struct http_call *c);
void http_call_free(struct http_call **c); /* NULL is fine */

#endif
