/*
 * base/request_parts.h - what request.c (answers, and the client) and request_server.c share
 */
#ifndef MM_BASE_REQUEST_PARTS_H
#define MM_BASE_REQUEST_PARTS_H

#include <sys/un.h>

#include "base/request.h"

#define FRAME_HEAD   4
#define STUCK_MS     30000 /* a peer that neither reads nor writes for so long is cut off */
#define GATHER_BYTES 65536 /* of small frames that wait for others */

/* Where an answer goes: a socket (fd >= 0) or the reader in this process. */
struct request_writer {
	int fd;
	bool front; /* who will send no more has given up */
	struct buf gathered;
	int64_t flushed_ms;
	bool ended;
	bool failed; /* by an 'E' */
	bool broken; /* nobody reads; all further writes fail */
	const struct request_reader *reader;
	struct buf *result;
	struct err *failure; /* what an 'E' said, RC_OK before */
};

/* Calls the handler, and ends an answer that it left open. */
void request_run(request_handle handle, void *arg, const struct request_peer *peer, struct slice json,
		 struct request_writer *w);
/* Whether nobody waits for the answer any more, whose socket is w->fd. */
bool request_peer_has_gone(const struct request_writer *w);
/* The payload of an 'E'. */
enum rc request_error_text(struct buf *out, const struct err *why) MUST_USE;

enum rc request_address(struct sockaddr_un *a, const char *path, struct err *e) MUST_USE;
/* RC_AGAIN with e->sys when nobody listens there. */
enum rc request_connect(const char *path, int *out, struct err *e) MUST_USE;

#endif
