/*
 * ingest/queue/queue.h - parked messages and their tasks, on disk
 *
 * What     An encrypted database of its own with each message that waits for something beyond this machine: its
 *          bytes, receipt, what the rules did so far, and its tasks. The pipeline parks; the runner
 *          (ingest/queue/run.h) takes tasks that are due and puts down what came of them; the pipeline carries
 *          dispositions of what has ended over into control.db.
 * Order    All changes of both threads are in one transaction that stays open. It is ended by queue_land, at each
 *          checkpoint behind store and index and before the spool's positions, and by the runner's queue_commit every
 *          100 ms. What is parked and committed early is found by its id when the spool is read again: parking is
 *          idempotent until queue_told, which comes with the positions. What a message was judged on to is not: it
 *          is noted in memory until queue_land, when the archives that it says have the message do have it.
 * Calls    Tasks that are calls (HTTP) of one message are due one after the other; mail tasks are due at once.
 * Key      A file lies under a key of its own; queue_rotate writes what lives into a new one and destroys the old
 *          key, so that nothing is left of what has ended (P4).
 * Fails    RC_NOSPACE: what wasn't committed is gone; the pipeline takes back, the runner reads anew (queue_lost).
 *          Else final, as for any database of mm.
 * Damage   Who asks for a message's bytes where a page with them doesn't authenticate is told that they aren't whole.
 *          Another page that turns out damaged: RC_NOSPACE, and the file is written anew, without what can't be read.
 * Owner    Borrows the key ring. Texts in results live until the next call of the same thread, where nothing else
 *          is said.
 * Threads  Any: serialised inside.
 * On disk  docs/formats.md, "Outbound queue"
 */
#ifndef MM_INGEST_QUEUE_QUEUE_H
#define MM_INGEST_QUEUE_QUEUE_H

#include "base/id.h"
#include "base/json.h"
#include "ingest/disposition.h"
#include "ingest/rules.h"
#include "store/keyring.h"

struct queue;

enum rc queue_open(struct queue **out, const char *dir, struct keyring *keys, uint64_t max_bytes,
		   struct err *e) MUST_USE;
/* Commits. NULL is fine. */
void queue_close(struct queue **q);

/* ---- the pipeline's ---- */

struct queue_task {
	enum rule_action_kind kind;
	/* what shares connections and outages: a domain, "relay/r-...", an endpoint's name */
	const char *destination;
	json_t *spec; /* taken over: docs/formats.md, "Outbound queue" */
	bool decides; /* the run waits for it */
};

struct queue_message {
	struct message_id id;
	int64_t received_ms;
	struct slice meta; /* JSON of the receipt, verdicts included */
	struct slice raw;
	const char *rule_set;
	int64_t version;
	const json_t *past; /* of a run that waits; NULL: it came to its end */
	const uint32_t *archives; /* that it was put into now */
	size_t archive_count;
	bool notice; /* one of ours (a DSN): no disposition follows, and it leaves no row */
	int64_t of;  /* of a notice: the number, here, of the message that it tells of, whose archives it shares */
};

/* RC_EXISTS: it is parked already; RC_NOTFOUND: what it is of is gone. Nothing was changed then. `tasks` is one at
 * least. */
enum rc queue_park(struct queue *q, const struct queue_message *m, const struct queue_task *tasks, size_t count,
		   struct err *e) MUST_USE;
/* A message that was judged on (queue_go_on_next), for the next queue_land: its past is replaced; archives (those that
 * are new) and tasks (maybe none) are added. All is copied but the tasks' specs. Archives that destroyed it before
 * then (queue_forget) are left out. */
void queue_judged(struct queue *q, const struct queue_message *m, const struct queue_task *tasks, size_t count);
/* The pipeline's commit: what was judged on, and all else. RC_NOSPACE also where what it parked was lost earlier. */
enum rc queue_land(struct queue *q, struct err *e) MUST_USE;
/* Is it still to be judged on? Not where all its archives have destroyed it. */
enum rc queue_goes_on(struct queue *q, const struct message_id *id, bool *goes_on, struct err *e) MUST_USE;
/* What was judged on since the last queue_land is forgotten: it is to be judged on again. */
void queue_take_back(struct queue *q);
bool queue_has_judged(struct queue *q); /* since the last queue_land */
/* Is there no room for more? What only dead letters are left of doesn't count. */
bool queue_full(struct queue *q);

struct queue_parked {
	struct message_id id;
	int64_t received_ms;
	json_t *past; /* with an answer to where it stopped */
	struct buf meta;
	struct buf raw;
	bool whole; /* its bytes are there, and undamaged */
};

/* The next message that is to be judged on, behind that number (from 0, where nothing was judged on since the last
 * queue_land). RC_NOTFOUND: none. */
enum rc queue_go_on_next(struct queue *q, int64_t behind, int64_t *number, struct queue_parked *out,
			 struct err *e) MUST_USE;
void queue_parked_free(struct queue_parked *p);
/* Dispositions that are to be carried over, up to so many; they are gone with queue_told, once control.db is
 * committed. */
enum rc queue_tell(struct queue *q, size_t most,
		   enum rc (*each)(void *arg, const struct disposition *d, struct err *e), void *arg,
		   size_t *count, struct err *e) MUST_USE;
enum rc queue_told(struct queue *q, struct err *e) MUST_USE;
/* control.db wasn't committed: they are to be told again. */
void queue_not_told(struct queue *q);
/* May there be any? */
bool queue_untold(struct queue *q);

/* ---- the runner's ---- */

enum task_state { TASK_BEHIND, TASK_DUE, TASK_HELD, TASK_DEAD, TASK_STATES };
const char *task_state_name(enum task_state s);

/* A task that is due (at due_ms), or was made so. */
struct queue_due {
	int64_t number;
	int64_t due_ms;
	const char *destination;
	enum rule_action_kind kind;
	bool hurry; /* somebody asked for it */
};

/* All that are due, however late: commits; with `all` false, those that became due since the last call and are
 * committed. */
enum rc queue_due(struct queue *q, bool all, void (*each)(void *arg, const struct queue_due *d), void *arg,
		  struct err *e) MUST_USE;
/* `woken` is called when something was committed that the other side is to look for: the runner (due tasks), or
 * the pipeline (judge on, or tell). From any thread, with no lock held. */
void queue_set_woken(struct queue *q, void (*runner)(void *arg), void (*pipeline)(void *arg), void *arg);

struct queue_job {
	int64_t number;  /* of the task */
	int64_t message; /* of the message, in the queue */
	struct message_id id;
	int64_t received_ms;
	enum rule_action_kind kind;
	enum task_state state;
	bool decides;
	bool notice;
	char *destination;
	json_t *spec;
	json_t *past;
	unsigned tries;
	int64_t since_ms; /* it was due first */
	int64_t due_ms;
	char *reason; /* of the last try; "" */
	bool whole;   /* meta and raw were asked for, and are there */
	struct buf meta;
	struct buf raw;
};

/* RC_NOTFOUND: it was dropped. With `whole` meta and raw are read, too; where raw is damaged it stays empty. */
enum rc queue_job(struct queue *q, int64_t number, bool whole, struct queue_job *out, struct err *e) MUST_USE;
void queue_job_free(struct queue_job *j);

/* The runner's commit. */
enum rc queue_commit(struct queue *q, struct err *e) MUST_USE;
/* Since the last call something that wasn't committed got lost: the runner is to read all that is due anew. */
bool queue_lost(struct queue *q);
/* How often something that wasn't committed got lost: who did several things that belong together compares. */
uint64_t queue_losses(struct queue *q);
/* Commits, and then writes a megabyte and takes it away again: RC_OK where the disk takes what is to come.
 * RC_NOSPACE. */
enum rc queue_probe(struct queue *q, struct err *e) MUST_USE;

/* What a task says to a run that waits for it: FAILED for those recipients (the outcome's indices); none: for all. */
struct queue_answer {
	enum rule_said said;
	const uint32_t *failed;
	size_t failed_count;
};

/* What the runner parks from here on belongs to the end of a task: where it gets lost ahead of that (another thread
 * found no room) the end is RC_NOSPACE. */
void queue_begin_together(struct queue *q);
/* What came of a try. `spec` NULL: as it is. The answer counts of a task that decides: when the last one of those has
 * ended, the message is judged on. One that was held meanwhile stays held. */
enum rc queue_later(struct queue *q, int64_t number, int64_t due_ms, const json_t *spec, const char *reason,
		    struct err *e) MUST_USE;
/* The rest of it at once: it was tried for some. */
enum rc queue_go_on(struct queue *q, int64_t number, int64_t now_ms, const json_t *spec, struct err *e) MUST_USE;
/* The same without having been tried. */
enum rc queue_put_off(struct queue *q, int64_t number, int64_t due_ms, const char *reason, struct err *e) MUST_USE;
/* It is through. `bounced`: not as was asked for, and its sender was told. */
enum rc queue_done(struct queue *q, int64_t number, bool bounced, const struct queue_answer *a,
		   struct err *e) MUST_USE;
enum rc queue_dead(struct queue *q, int64_t number, const json_t *spec, const char *reason,
		   const struct queue_answer *a, int64_t now_ms, struct err *e) MUST_USE;
/* By hand. RC_NOTFOUND: no such task, or not in such a state.
 * DUE, HELD, DEAD. A held call stands behind an earlier one of its message that isn't through. */
enum rc queue_retry(struct queue *q, int64_t number, int64_t now_ms, struct err *e) MUST_USE;
enum rc queue_hold(struct queue *q, int64_t number, struct err *e) MUST_USE;                  /* DUE, BEHIND */
/* It is given up: as an action that failed for those whom it wasn't done for. */
enum rc queue_drop(struct queue *q, int64_t number, struct err *e) MUST_USE;
/* Are there dead letters that died before? */
bool queue_has_expired(struct queue *q, int64_t before_ms);
/* They are dropped. */
enum rc queue_expire(struct queue *q, int64_t before_ms, size_t *count, struct err *e) MUST_USE;
/* A message was destroyed in an archive: by a sweep (`id` NULL: all that were received on that UTC day), or
 * erased. Where that was the last archive that had it, it leaves the queue, and so do the notices about it. Commits. */
enum rc queue_forget(struct queue *q, uint32_t archive, int32_t day, const struct message_id *id, size_t *count,
		     struct err *e) MUST_USE;
/* What has ended leaves no trace: see Key. Bytes that are damaged are left out, and told of in the log. */
enum rc queue_rotate(struct queue *q, struct err *e) MUST_USE;

/* ---- to be looked at ---- */

struct queue_totals {
	uint64_t messages;
	uint64_t bytes;
	uint64_t tasks[TASK_STATES];
};
enum rc queue_count(struct queue *q, struct queue_totals *out, struct err *e) MUST_USE;
/* Is no message there, nor a dead letter? What has ended doesn't count. Unlike queue_count it reads little. */
enum rc queue_is_empty(struct queue *q, bool *empty, struct err *e) MUST_USE;
/* Tasks in order of their numbers, behind one, up to so many; without meta and raw. dead: those alone, else all
 * others. */
enum rc queue_each(struct queue *q, bool dead, int64_t behind, size_t most,
		   enum rc (*each)(void *arg, const struct queue_job *j, struct err *e), void *arg,
		   struct err *e) MUST_USE;
/* The same of one message's, all of them. */
enum rc queue_each_of(struct queue *q, const struct message_id *id,
		      enum rc (*each)(void *arg, const struct queue_job *j, struct err *e), void *arg,
		      struct err *e) MUST_USE;
/* Is the message parked? */
enum rc queue_has(struct queue *q, const struct message_id *id, bool *has, struct err *e) MUST_USE;

#endif
