/* ingest/deliver/sender_parts.h - attempts, destinations and their lines; for ingest/deliver/sender.c and pool.c
 * alone */
#ifndef MM_INGEST_DELIVER_SENDER_PARTS_H
#define MM_INGEST_DELIVER_SENDER_PARTS_H

#include <sys/queue.h>

#include "base/json.h"
#include "ingest/deliver/line.h"
#include "ingest/deliver/sts.h"
#include "ingest/verdict/resolver.h"

/* A message on its way to one target. */
struct job {
	TAILQ_ENTRY(job) link; /* in its destination's line */
	uint64_t number;
	json_t *ask; /* the strings below are its own */
	int fd;
	struct slice message; /* mapped while it is sent */
	struct smtp_client_mail mail;
	struct smtp_client_rcpt *rcpts;
	int64_t due_ms; /* to be begun */
	bool again;     /* a connection was gone before it; it has a second one */
};

void job_free(struct job *j);

struct pool;

struct pool_options {
	struct line_place place;
	struct resolver *resolver;
	struct sts *sts; /* NULL: MTA-STS isn't looked at */
	/* The job is over, and still the owner's. All live for the call. One result stands for all recipients where
	 * `count` is 1. */
	void (*ended)(void *arg, struct job *j, const struct smtp_result *results, size_t count, const char *host,
		      const char *tls);
	void *arg;
};

struct pool *pool_new(const struct pool_options *o);
/* Takes the job until `ended`. `target` is its member of the same name. False: it says nonsense. */
bool pool_add(struct pool *p, struct job *j, const json_t *target);

#endif
