/* api/op_queue.c - the outbound queue and its dead letters: shown, tried again, held, dropped. Who
 * may not read mail sees no address. */
#include "api/engine_queue.h"
#include "api/ops.h"
#include "base/clock.h"
#include "base/codec.h"

#define PAGE 256

/* ---- showing ---- */

static void put_time(json_t *o, const char *name, int64_t ms)
{
	char text[25];

	time_format(text, ms);
	json_put_text(o, name, slice_str(text));
}

/* Who is still to get it, or, of a dead letter, for whom it failed. */
static json_t *recipients_json(const struct queue_job *j)
{
	const json_t *to = json_member_array(j->spec, "recipients");
	json_t *list = json_array();

	for (size_t i = 0; i < json_array_size(to); i++) {
		const json_t *one = json_array_get(to, i);
		json_t *o = json_object();

		json_put_text(o, "address", json_member_text(one, "to"));
		json_put_text(o, "state",
		              json_object_get(one, "end") ? json_member_text(one, "end")
		                                          : slice_str("waits"));
		if (json_member_text(one, "text").len)
			json_put_text(o, "said", json_member_text(one, "text"));
		if (json_member_text(one, "host").len)
			json_put_text(o, "host", json_member_text(one, "host"));
		json_push(list, o);
	}
	return list;
}

static bool shows_addresses(const struct request *r)
{
	return access_may(r->access, ACCESS_READ_MESSAGE, NULL);
}

/* What a server said may have an address in it: words with "@" go. */
static json_t *without_addresses(const char *text)
{
	struct slice rest = slice_str(text);
	struct buf b;
	json_t *made;

	buf_init(&b, 4 * rest.len + 16);
	while (rest.len) {
		struct slice word = slice_cut(rest, ' ', &rest);
		bool address = slice_find(word, slice_str("@")) != SIZE_MAX;

		MUST(buf_add(&b, b.len ? slice_str(" ") : slice_str("")) == RC_OK &&
		     buf_add(&b, address ? slice_str("[address]") : word) == RC_OK);
	}
	made = json_of_slice(buf_slice(&b));
	buf_free(&b);
	return made;
}

static json_t *job_json(const struct queue_job *j, bool addresses, bool whole)
{
	json_t *o = json_object();
	char id[ID_TEXT + 1];

	id_format(id, &j->id);
	json_put_int(o, "task", j->number);
	json_put_text(o, "message", slice_str(id));
	json_put_text(o, "action", slice_str(j->notice ? "notice" : rule_action_word(j->kind)));
	json_put_text(o, "state", slice_str(task_state_name(j->state)));
	json_put_text(o, "destination", slice_str(j->destination));
	put_time(o, "received", j->received_ms);
	put_time(o, "since", j->since_ms);
	if (j->state == TASK_DUE || j->state == TASK_DEAD)
		put_time(o, j->state == TASK_DUE ? "due" : "died", j->due_ms);
	json_put_int(o, "tries", j->tries);
	if (j->reason[0])
		json_put(o, "reason",
		         addresses ? json_of_slice(slice_str(j->reason))
		                   : without_addresses(j->reason));
	if (!whole)
		return o;
	if (json_object_get(j->spec, "rule"))
		json_put_int(o, "rule", json_member_int(j->spec, "rule", 0));
	if (json_member_text(j->spec, "rule_set_name").len)
		json_put_text(o, "rule_set", json_member_text(j->spec, "rule_set_name"));
	if (addresses)
		json_put(o, "recipients", recipients_json(j));
	return o;
}

struct listing {
	json_t *rows;
	bool addresses;
	int64_t last;
};

static enum rc gather(void *arg, const struct queue_job *j, struct err *e)
{
	struct listing *l = arg;

	(void)e;
	l->last = j->number;
	json_push(l->rows, job_json(j, l->addresses, false));
	return RC_OK;
}

/* A page at a time: nobody who reads slowly keeps the queue. */
enum rc op_queue_list(struct request *r, struct err *e)
{
	bool dead = json_member_bool(r->args, "dead", false);
	int64_t limit = json_member_int(r->args, "limit", 0);
	int64_t left = limit > 0 ? limit : INT64_MAX;
	int64_t at = 0;
	size_t got = PAGE;
	enum rc rc = RC_OK;

	while (rc == RC_OK && left > 0 && got == PAGE) {
		struct listing l = { .rows = json_array(),
			             .addresses = shows_addresses(r),
			             .last = at };

		rc = queue_each(engine_queue_of(r->en->queue), dead, at,
		                (size_t)MIN_OF((int64_t)PAGE, left), gather, &l, e);
		got = json_array_size(l.rows);
		for (size_t i = 0; rc == RC_OK && i < got; i++)
			rc = request_row(r, json_incref(json_array_get(l.rows, i)), e);
		at = l.last;
		left -= (int64_t)got;
		json_decref(l.rows);
	}
	return rc;
}

static enum rc gather_queued(void *arg, const struct queue_job *j, struct err *e)
{
	struct listing *l = arg;
	json_t *row = job_json(j, l->addresses, false);

	(void)e;
	json_put_text(row, "disposition",
	              slice_str(j->state == TASK_DEAD ? "dead-letter" : "queued"));
	json_push(l->rows, row);
	return RC_OK;
}

enum rc request_tasks(struct request *r, const struct message_id *id, unsigned *found,
                      struct err *e)
{
	struct listing l = { .rows = json_array(), .addresses = shows_addresses(r) };
	enum rc rc = queue_each_of(engine_queue_of(r->en->queue), id, gather_queued, &l, e);

	for (size_t i = 0; rc == RC_OK && i < json_array_size(l.rows); i++) {
		++*found;
		rc = request_row(r, json_incref(json_array_get(l.rows, i)), e);
	}
	json_decref(l.rows);
	return rc;
}

enum rc request_queue_counts(struct request *r, struct err *e)
{
	struct queue_totals t;
	enum rc rc = queue_count(engine_queue_of(r->en->queue), &t, e);

	if (rc != RC_OK)
		return rc;
	json_put_int(r->result, "queued", (int64_t)t.messages);
	json_put_int(r->result, "queued_bytes", (int64_t)t.bytes);
	json_put_int(r->result, "queue_held", (int64_t)t.tasks[TASK_HELD]);
	json_put_int(r->result, "dead_letters", (int64_t)t.tasks[TASK_DEAD]);
	return RC_OK;
}

static enum rc no_task(int64_t number, struct err *e)
{
	return err_set(e, RC_NOTFOUND, "there is no task %lld in the outbound queue",
	               (long long)number);
}

enum rc op_queue_show(struct request *r, struct err *e)
{
	int64_t number = json_member_int(r->args, "task", -1);
	struct queue_job j;
	enum rc rc = queue_job(engine_queue_of(r->en->queue), number, false, &j, e);

	if (rc == RC_NOTFOUND)
		return no_task(number, e);
	if (rc != RC_OK)
		return rc;
	r->result = job_json(&j, shows_addresses(r), true);
	queue_job_free(&j);
	return RC_OK;
}

/* ---- changing ---- */

struct change {
	struct queue *queue;
	struct slice what; /* "retry", "hold", "drop" */
	bool dead;         /* of dead letters; else of the others */
	int64_t done;
};

static enum rc change_one(struct change *c, int64_t number, struct err *e)
{
	struct queue_job j;
	enum rc rc = queue_job(c->queue, number, false, &j, e);
	bool dead;

	if (rc != RC_OK)
		return rc;
	dead = j.state == TASK_DEAD;
	queue_job_free(&j);
	if (dead != c->dead)
		return RC_NOTFOUND;
	if (slice_equal(c->what, slice_str("retry")))
		rc = queue_retry(c->queue, number, clock_now_ms(), e);
	else if (slice_equal(c->what, slice_str("hold")) && !c->dead)
		rc = queue_hold(c->queue, number, e);
	else if (slice_equal(c->what, slice_str("drop")))
		rc = queue_drop(c->queue, number, e);
	else
		return err_set(e, RC_INVALID, "do is retry, drop or (not of dead letters) hold");
	c->done += rc == RC_OK;
	return rc;
}

static enum rc see_number(void *arg, const struct queue_job *j, struct err *e)
{
	(void)e;
	*(int64_t *)arg = j->number;
	return RC_OK;
}

/* Those that are there now; what can't be changed in that way is left out. */
static enum rc change_all(struct change *c, struct err *e)
{
	int64_t at = 0;

	for (;;) {
		int64_t next = at;
		enum rc rc = queue_each(c->queue, c->dead, at, 1, see_number, &next, e);

		if (rc != RC_OK || next == at)
			return rc;
		at = next;
		rc = change_one(c, at, e);
		if (rc != RC_OK && rc != RC_NOTFOUND)
			return rc;
	}
}

static enum rc account(struct request *r, const struct change *c, int64_t number, struct err *e)
{
	json_t *detail = json_object();

	json_put_text(detail, "do", c->what);
	json_put_bool(detail, "dead", c->dead);
	if (number >= 0)
		json_put_int(detail, "task", number);
	else
		json_put_bool(detail, "all", true);
	return request_account(r, "queue", detail, e);
}

enum rc op_queue_change(struct request *r, struct err *e)
{
	int64_t number = json_member_int(r->args, "task", -1);
	struct change c = { .queue = engine_queue_of(r->en->queue),
		            .what = json_member_text(r->args, "do"),
		            .dead = json_member_bool(r->args, "dead", false) };
	uint64_t losses = queue_losses(c.queue);
	enum rc rc = account(r, &c, number, e);

	if (rc == RC_OK)
		rc = number >= 0 ? change_one(&c, number, e) : change_all(&c, e);
	if (rc == RC_NOTFOUND)
		return c.dead ? err_set(e, rc, "there is no dead letter %lld", (long long)number)
		              : no_task(number, e);
	if (rc == RC_OK)
		rc = queue_commit(c.queue, e);
	if (rc == RC_OK && queue_losses(c.queue) != losses)
		rc = err_set(e, RC_AGAIN, "the outbound queue lost changes: do it again");
	if (rc != RC_OK)
		return rc;
	engine_queue_wake(r->en->queue);
	r->result = json_object();
	json_put_int(r->result, "changed", c.done);
	return RC_OK;
}
