/* ingest/scans_parts.h - scans on the pipeline's thread, and on their own; for ingest/scans*.c alone */
#ifndef MM_INGEST_SCANS_PARTS_H
#define MM_INGEST_SCANS_PARTS_H

#include <pthread.h>

#include "base/channel.h"
#include "base/limits.h"
#include "ingest/scan_result.h"
#include "ingest/scan_wire.h"
#include "ingest/scans.h"

#define SCANS_MESSAGE  (2u * LIMIT_MESSAGE_BYTES) /* an import may be larger than what SMTP takes */
#define SCANS_AGAIN_MS 100 /* before a child that ended is made again; then twice that each time */

struct lane;
struct group;

/* One message for one scanner: in its lane's line, or under way. */
struct job {
	struct job *next;
	struct group *group;
	struct lane *lane;
	char *instance;
	uint64_t number;
	int64_t asked_ms;
	int64_t out_ms; /* when the child got it */
	bool suspect;   /* a child died while it had it */
};

/* What was asked about one message. */
struct group {
	struct group *next; /* of all */
	struct scans *scans;
	uint64_t number;
	uint64_t epoch;
	json_t *addons;
	json_t *facts;
	struct buf raw;
	bool too_large; /* raw isn't there */
	size_t open;
	struct job *jobs; /* until the thread has them */
};

struct lane {
	const struct addon *addon;
	struct job *first;
	struct job *last;
	unsigned out;
	int64_t down_ms;    /* since when; 0: it isn't */
	int64_t next_ms;    /* when it is tried again */
	int64_t good_ms;    /* its last good answer */
	char why[SCAN_WHY]; /* of an outage that was logged; empty: none */
	bool slow;          /* that one is a line that gets no shorter */
	bool told;          /* it is in the log */
	int64_t told_ms;    /* when one was, the last time */
	unsigned broken;    /* bad answers since the last good one */
	uint64_t scanned;
	uint64_t failed;
	size_t waiting;
};

struct said {
	struct said *next;
	uint64_t number;
	json_t *addons;
};

struct scans {
	struct home *home;
	const struct addons *addons;
	void (*woken)(void *arg);
	void *arg;
	struct loop *loop;
	struct loop_timer *look;
	bool looking; /* it is set */
	struct loop_timer *again;
	pthread_t thread;
	struct lane *lanes; /* in the order of the configuration, without DNS block lists */
	size_t lane_count;
	struct channel *child;
	int leash;
	bool ready;
	unsigned drops;  /* that it hasn't answered */
	int64_t drop_ms; /* when it got the first of them, or answered one */
	bool lost;       /* the home has ended, and that was logged */
	int64_t born_ms;
	int64_t again_ms;
	struct job *out;
	unsigned out_count;
	unsigned suspects;
	uint64_t next_job;
	pthread_mutex_t lock; /* below, and the lanes' counts and reasons */
	struct group *groups;
	struct said *first;
	struct said **last;
	uint64_t next_number;
	uint64_t epoch;
};

/* On the thread of scans, by loop_post: a group that was asked; what was asked before the newest epoch is given up. */
void scans_on_asked(void *group);
void scans_on_forget(void *scans);
void scans_on_look(void *scans); /* deadlines */
void scans_start_child(void *scans);
void scans_end_child(struct scans *s);
/* Nobody has the thing any more. */
void scans_job_free(struct job *j);
void scans_group_free(struct group *g);

#endif
