/* ingest/queue/queue_core.h - what the files of the queue share; for ingest/queue/queue*.c alone */
#ifndef MM_INGEST_QUEUE_QUEUE_CORE_H
#define MM_INGEST_QUEUE_QUEUE_CORE_H

#include <pthread.h>

#include "ingest/queue/queue.h"
#include "store/db.h"

/* Of a message. GO_ON: the pipeline judges it on. ENDED: only its disposition is left. DEAD: only dead letters
 * are. */
enum message_state { MESSAGE_WAITS, MESSAGE_GO_ON, MESSAGE_ENDED, MESSAGE_DEAD };

enum queue_sql {
	SQL_FIND, SQL_ADD_MESSAGE, SQL_ADD_BODY, SQL_JUDGED, SQL_ADD_TASK, SQL_GO_ON, SQL_TELL, SQL_TOLD,
			SQL_TOLD_ENDED,
	SQL_DUE, SQL_FRESH, SQL_JOB, SQL_BODY, SQL_SET_TASK, SQL_REMOVE_TASK, SQL_PUT_SPEC, SQL_PUT_PAST,
			SQL_GO_ON_PAST, SQL_DECIDERS, SQL_PUT_MESSAGE,
	SQL_HOW, SQL_REVIVE, SQL_SINCE, SQL_REASON, SQL_COUNT_TASKS, SQL_NEXT_CALL, SQL_DROP_BODY, SQL_TOTALS,
			SQL_COUNT_STATES, SQL_EACH, SQL_EACH_OF, SQL_DEAD_BEFORE,
	SQL_FORGET, SQL_DROP_TASKS, SQL_MESSAGE_OF, SQL_ARCHIVES, SQL_COUNT
};

struct queue_told {
	int64_t message;
	enum disposition_kind kind;
};

struct queue {
	char *dir;
	struct keyring *keys;
	uint64_t max_bytes;
	pthread_mutex_t lock; /* everything below */
	struct db *db;
	uint64_t file; /* its number */
	uint64_t key;
	struct stmt *sql[SQL_COUNT];
	bool open;  /* a transaction */
	bool dirty; /* and something is in it */
	bool ended; /* there is what rotation would take out */
	uint64_t bytes; /* of all messages */
	struct queue_told *told; /* whose dispositions were given out */
	size_t told_count;
	int64_t *fresh; /* numbers of tasks that became due */
	size_t fresh_count;
	size_t fresh_committed; /* the first ones of them */
	size_t fresh_room;
	bool due_news; /* committed, and the runner wasn't woken since */
	bool other_news;
	bool fresh_other; /* the same, not committed yet */
	bool untold; /* a disposition may wait to be carried over */
	bool lost[2];
	void (*wake_runner)(void *arg);
	void (*wake_pipeline)(void *arg);
	void *arg;
};

/* All with the lock held. The statement, ready for its bindings. */
enum rc queue_sql(struct queue *q, enum queue_sql which, struct stmt **out, struct err *e) MUST_USE;
/* A transaction is open; something will be changed. */
enum rc queue_change(struct queue *q, struct err *e) MUST_USE;
/* Nothing of the transaction is left. */
void queue_undo(struct queue *q);
enum rc queue_commit_locked(struct queue *q, struct err *e) MUST_USE;
/* The task became due: the runner is told when that is committed. */
void queue_fresh(struct queue *q, int64_t number);
/* One integer of the first row; RC_NOTFOUND. `at` is bound to ?1. */
enum rc queue_int(struct queue *q, enum queue_sql which, int64_t at, int64_t *out, struct err *e) MUST_USE;
/* Runs a statement whose ?1 is `at`. */
enum rc queue_run_at(struct queue *q, enum queue_sql which, int64_t at, struct err *e) MUST_USE;
/* When the last task of a message is through, it ends. */
enum rc queue_settle(struct queue *q, int64_t message, struct err *e) MUST_USE;
/* JSON as text in a parameter. RC_LIMIT. */
enum rc queue_bind_json(struct stmt *s, int at, const json_t *value, struct err *e) MUST_USE;
/* A column of JSON, NULL where it is NULL. */
enum rc queue_read_json(struct stmt *s, int column, json_t **out, struct err *e) MUST_USE;
/* Opens the file, or makes one; leaves no other. */
enum rc queue_file_open(struct queue *q, struct err *e) MUST_USE;
enum rc queue_file_renew(struct queue *q, struct err *e) MUST_USE;

#endif
