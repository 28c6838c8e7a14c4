/* ingest/queue/queue_core.h - what the files of the queue share; for ingest/queue/queue*.c alone */
#ifndef MM_INGEST_QUEUE_QUEUE_CORE_H
#define MM_INGEST_QUEUE_QUEUE_CORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "ingest/queue/queue.h"
#include "store/db.h"

/* Of a message. GO_ON: the pipeline judges it on. ENDED: only its disposition is left. DEAD: only dead letters
 * are. */
enum message_state { MESSAGE_WAITS, MESSAGE_GO_ON, MESSAGE_ENDED, MESSAGE_DEAD };

enum queue_sql {
	SQL_FIND, SQL_ADD_MESSAGE, SQL_ADD_BODY, SQL_OF, SQL_WAITING, SQL_JUDGED, SQL_SHARED, SQL_ADD_TASK, SQL_GO_ON,
	SQL_TELL, SQL_TOLD, SQL_TOLD_ENDED, SQL_DUE, SQL_FRESH, SQL_JOB, SQL_SET_TASK, SQL_LATER,
	SQL_REMOVE_TASK, SQL_PUT_SPEC, SQL_PUT_PAST, SQL_GO_ON_PAST, SQL_DECIDERS, SQL_PUT_MESSAGE, SQL_HOW,
	SQL_REVIVE, SQL_SINCE, SQL_REASON, SQL_COUNT_TASKS, SQL_FIRST_CALL, SQL_DROP_BODY, SQL_DROP_NOTICE,
	SQL_COUNTED, SQL_ANY, SQL_TOTALS, SQL_COUNT_STATES, SQL_EACH, SQL_EACH_OF, SQL_DEAD_BEFORE, SQL_FORGET_ID,
	SQL_FORGET_DAY, SQL_DROP_TASKS, SQL_ARCHIVES, SQL_COUNT
};

#define QUEUE_SUM_BYTES "SELECT CAST(total(bytes) AS INTEGER) FROM message WHERE state NOT IN (2, 3)"
#define QUEUE_JSON_MOST (64u << 20) /* a rule set can bring 65,536 recipients */
#define QUEUE_RAW_MOST  ((size_t)1 << 30)

struct queue_told {
	int64_t message;
	enum disposition_kind kind;
};

/* What a message was judged on to, until it lands. */
struct judgement {
	struct message_id id;
	int64_t received_ms;
	json_t *past;
	json_t *archives; /* that are new */
	struct queue_task *tasks; /* with destinations and specs of their own */
	size_t count;
};

struct fresh {
	int64_t number;
	bool hurry;
};

struct queue {
	char *dir;
	struct keyring *keys;
	uint64_t max_bytes;
	pthread_mutex_t lock; /* everything below */
	struct db *db;
	struct db *reader; /* of bytes: a damaged page would take db's transaction back */
	uint64_t file; /* its number */
	uint64_t key;
	struct stmt *sql[SQL_COUNT];
	bool broken; /* a rotation failed half way: nothing is written any more */
	bool tight; /* something was lost since the last landing, for want of room */
	bool open;  /* a transaction */
	bool dirty; /* and something is in it */
	bool ended; /* there is what rotation would take out */
	bool damaged; /* a page that db met: the file is written anew ahead of the next transaction */
	int64_t renew_ms; /* not before then (clock_mono_ms): there was no room for it */
	unsigned renewals; /* because of damage */
	int64_t *gone; /* messages that ended: their bytes are removed when the next transaction begins */
	size_t gone_count;
	size_t gone_committed; /* that many of the first ones ended in earlier transactions */
	size_t gone_removed; /* and these in the open one */
	size_t gone_room;
	_Atomic uint64_t bytes; /* of all messages, but those that only dead letters are left of */
	struct judgement *judged;
	size_t judged_count;
	size_t judged_room;
	struct queue_told *told; /* whose dispositions were given out */
	size_t told_count;
	struct fresh *fresh; /* tasks that became due */
	size_t fresh_count;
	size_t fresh_committed; /* the first ones of them */
	size_t fresh_room;
	bool due_news; /* committed, and the runner wasn't woken since */
	bool other_news;
	bool fresh_other; /* the same, not committed yet */
	bool untold; /* a disposition may wait to be carried over */
	bool lost_pipeline; /* something that wasn't committed: each side is told once */
	bool lost_runner;
	uint64_t losses;
	bool together; /* the runner has put down what belongs to the end of a task, or is about to */
	uint64_t together_losses; /* then */
	void (*wake_runner)(void *arg);
	void (*wake_pipeline)(void *arg);
	void *arg;
};

/* Each call of the others begins and ends with these. */
void queue_lock(struct queue *q);
void queue_unlock(struct queue *q);
/* Unlocks, too. `rc`; RC_NOSPACE for a page that turned out damaged: what wasn't committed is gone, and comes again
 * into a file that is written anew. */
enum rc queue_leave(struct queue *q, enum rc rc, struct err *e) MUST_USE;

/* All with the lock held. The statement, ready for its bindings. */
enum rc queue_sql(struct queue *q, enum queue_sql which, struct stmt **out, struct err *e) MUST_USE;
/* A transaction is open; something will be changed. When one begins the bytes of what ended before go. */
enum rc queue_change(struct queue *q, struct err *e) MUST_USE;
/* Nothing of the transaction is left. */
void queue_undo(struct queue *q);
enum rc queue_commit_locked(struct queue *q, struct err *e) MUST_USE;
/* Where the next change may find no room again, what was put down before it isn't lost with it. */
enum rc queue_save_results(struct queue *q, struct err *e) MUST_USE;
/* The task became due: the runner is told when that is committed. */
void queue_fresh(struct queue *q, int64_t number, bool hurry);
/* RC_NOTFOUND. */
enum rc queue_find(struct queue *q, const struct message_id *id, int64_t *number, struct err *e) MUST_USE;
enum rc queue_add_tasks(struct queue *q, int64_t message, const struct queue_task *tasks, size_t count,
			struct err *e) MUST_USE;
json_t *queue_archives(const struct queue_message *m); /* as they are kept */
void queue_free_specs(const struct queue_task *tasks, size_t count);
void queue_forget_judged(struct queue *q);
/* The new archives of a message that was judged on, and didn't land; NULL: it wasn't. */
json_t *queue_judged_archives(const struct queue *q, const struct message_id *id);
enum rc queue_land_locked(struct queue *q, struct err *e) MUST_USE;
/* The first call of a message that isn't through becomes due, where it is behind one that was. */
enum rc queue_next_call(struct queue *q, int64_t message, struct err *e) MUST_USE;
/* A message that counts (for queue_full), and soon will no more. */
enum rc queue_uncount(struct queue *q, int64_t message, struct err *e) MUST_USE;
/* One integer of the first row; RC_NOTFOUND. `at` is bound to ?1. */
enum rc queue_int(struct queue *q, enum queue_sql which, int64_t at, int64_t *out, struct err *e) MUST_USE;
/* Runs a statement whose ?1 is `at`. */
enum rc queue_run_at(struct queue *q, enum queue_sql which, int64_t at, struct err *e) MUST_USE;
/* A task was carried out, or given up: what its message does now. `how` as in the table. RC_NOTFOUND. */
enum how { THROUGH, BOUNCED, GIVEN_UP };
enum rc queue_end_task(struct queue *q, int64_t number, enum how how, const struct queue_answer *a,
		       struct err *e) MUST_USE;
/* RC_NOSPACE: what was put down since queue_begin_together is lost. */
enum rc queue_end_together(struct queue *q, struct err *e) MUST_USE;
/* Appends to raw; may commit. Not whole: it isn't there, or damaged. */
enum rc queue_read_body(struct queue *q, int64_t message, struct buf *raw, bool *whole, struct err *e) MUST_USE;
enum rc queue_job_locked(struct queue *q, int64_t number, bool whole, struct queue_job *out, struct err *e) MUST_USE;
enum rc queue_set_task(struct queue *q, int64_t number, enum task_state state, int64_t due_ms, int tries,
		       struct err *e) MUST_USE;
enum rc queue_put_since(struct queue *q, int64_t number, int64_t now_ms, struct err *e) MUST_USE;
/* `value` NULL: nothing is changed. */
enum rc queue_put_json(struct queue *q, enum queue_sql which, int64_t number, const json_t *value,
		       struct err *e) MUST_USE;
/* Its bytes go, and what its receipt says; the disposition is left, or of a notice nothing. */
enum rc queue_end(struct queue *q, int64_t message, enum disposition_kind kind, const char *text,
		  struct err *e) MUST_USE;
/* When the last task of a message is through, it ends. */
enum rc queue_settle(struct queue *q, int64_t message, struct err *e) MUST_USE;
/* JSON as text in a parameter. RC_LIMIT. */
enum rc queue_bind_json(struct stmt *s, int at, const json_t *value, struct err *e) MUST_USE;
/* A column of JSON, NULL where it is NULL. */
enum rc queue_read_json(struct stmt *s, int column, json_t **out, struct err *e) MUST_USE;
/* Opens the file, or makes one; leaves no other. */
enum rc queue_file_open(struct queue *q, struct err *e) MUST_USE;
/* Where it is damaged. RC_OK, too, where a copy has no room: the damage stays, and what doesn't meet it goes on. */
enum rc queue_renew_damaged(struct queue *q, struct err *e) MUST_USE;
/* With no transaction open. RC_NOSPACE: nothing has changed. */
enum rc queue_file_renew(struct queue *q, struct err *e) MUST_USE;

#endif
