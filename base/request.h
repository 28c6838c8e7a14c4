/*
 * base/request.h - requests over a Unix socket, and their answers
 *
 * What     One connection, one request: a frame with JSON text. The answer is any number of frames
 *          ('J' a line of JSON: a row or progress; 'B' bytes) and exactly one last frame: 'D', the
 *          result as JSON, or 'E', {"code":"not found","text":"..."}.
 *          A handler writes its answer through struct request_writer and doesn't know whether it
 *          goes over a socket (request_server) or straight to the tool that runs it by itself
 *          (request_local).
 * Format   Each frame: u32 little-endian length, then that many bytes. In an answer the first byte
 *          is the kind.
 * Sockets  DIR/mmd.sock is for whoever reaches the directory. One for others is bound ahead of the
 *          sandbox (request_socket), has connections and threads of its own, and bounds what each user
 *          may take of them (struct request_share): who may use it at all is the mode of its file, who
 *          it is the kernel says.
 * Limits   Requests up to LIMIT_REQUEST, to be sent within 30 s; 64 connections; answers' frames up
 *          to LIMIT_REQUEST; a client that doesn't read for 30 s is cut off.
 * Fails    When the client has gone, every write fails (RC_IO) and the handler stops; one that has gone
 *          before a thread comes to its request is dropped. A front has gone when it ends its side of
 *          an adopted connection, any other client when it has closed the socket.
 * Threads  The server calls `handle` on threads of its own. The loop's thread accepts connections and
 *          reads their requests; those of adopted ones, which bring many, the server's threads wait for
 *          themselves: one wake a request, and none of the loop's. A writer is used by one thread.
 */
#ifndef MM_BASE_REQUEST_H
#define MM_BASE_REQUEST_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/loop.h"

enum request_kind {
	REQUEST_JSON = 'J',
	REQUEST_BYTES = 'B',
	REQUEST_DONE = 'D',
	REQUEST_ERROR = 'E',
};

struct request_peer {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	bool front; /* a process that speaks for others: its connection came by request_server_adopt */
};

struct request_writer;

/* --- the handler's side --- */

enum rc request_json(struct request_writer *w, struct slice line, struct err *e) MUST_USE;
enum rc request_bytes(struct request_writer *w, struct slice bytes, struct err *e) MUST_USE;
/* Small frames wait up to 100 ms for others; this sends them now (progress). */
enum rc request_flush(struct request_writer *w, struct err *e) MUST_USE;
/* True when nobody reads any more; for work that is long and writes little. */
bool request_gone(struct request_writer *w);
/* The last frame. Exactly one of them; what a handler leaves open is ended by the caller as a
 * failure. */
enum rc request_done(struct request_writer *w, struct slice result, struct err *e) MUST_USE;
void request_fail(struct request_writer *w, const struct err *why);
bool request_ended(const struct request_writer *w);

/* --- the reader's side of an answer; each may be NULL, then such frames are dropped. Not RC_OK
 * stops the request and becomes its result. Slices live for the call. --- */

struct request_reader {
	enum rc (*json)(void *arg, struct slice line, struct err *e);
	enum rc (*bytes)(void *arg, struct slice bytes, struct err *e);
	void *arg;
};

/* Asks the server at `path` and reads the answer; blocks. `result` gets the JSON of 'D'. RC_AGAIN with a
 * number of the system's in e->sys when no server listens there; the code and text of an 'E', without
 * such a number; else RC_IO. */
enum rc request_call(const char *path, struct slice json, const struct request_reader *r,
		     struct buf *result, struct err *e) MUST_USE;

typedef void (*request_handle)(void *arg, const struct request_peer *peer, struct slice json,
			       struct request_writer *w);

/* The same without a socket: calls `handle` in this thread, as this user. */
enum rc request_local(request_handle handle, void *handle_arg, struct slice json,
		      const struct request_reader *r, struct buf *result, struct err *e) MUST_USE;

/* --- the server --- */

struct request_server;

/* Removes a socket that is left at `path` (the caller has the lock of the directory), binds it with
 * mode 0600 and starts `threads` threads. `path` is at most 107 bytes. */
enum rc request_server_new(struct request_server **out, struct loop *l, const char *path,
			   unsigned threads, request_handle handle, void *arg,
			   struct err *e) MUST_USE;
/* Takes over one end of a socket pair, non-blocking: it brings requests when its holder has some, one at a
 * time, from a peer that is `front`; after a failure it is closed. Such connections have no deadline before
 * a request and aren't counted among the 64; who hands them out bounds them by the next function. */
void request_server_adopt(struct request_server *s, int fd);
/* Whether fewer than `most` adopted connections are open. If not, again(arg) is called once on the loop's
 * thread, when the next of them ends: that is when the server is through with it, whatever its holder
 * did. */
bool request_server_room(struct request_server *s, unsigned most, void (*again)(void *arg),
			 void *arg);
/* A socket at `path`, which is absolute, bound with `mode` and listening. One that is left there and
 * nobody listens on is replaced; RC_AGAIN when somebody does, RC_EXISTS when it is no socket. */
enum rc request_socket(const char *path, mode_t mode, int *out, struct err *e) MUST_USE;

struct request_share {
	unsigned per_user; /* connections at once; 0: any number */
	/* How many bytes this user's request may have; on the loop's thread, `arg` is the handler's. NULL:
	 * LIMIT_REQUEST. */
	size_t (*bytes)(void *arg, const struct request_peer *peer);
	/* How many all requests may have that are here at a time, in frames above 64 KiB; the next one is
	 * refused by RC_AGAIN. 0: any number. */
	size_t together;
};

/* A server for others on a socket of request_socket, which it closes and whose name it leaves. Without one
 * (-1): for connections of request_server_adopt alone. `share` may be NULL: as request_server_new. */
void request_server_share(struct request_server **out, struct loop *l, int fd, unsigned threads,
			  const struct request_share *share, request_handle handle, void *arg);
/* No more requests; those that run find their client gone. Waits for them, removes the socket. Behind the last run of
 * the loop, which may still have an again() posted. */
void request_server_free(struct request_server **s);
unsigned request_server_running(const struct request_server *s);

#endif
