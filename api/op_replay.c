/* api/op_replay.c - which archived messages another rule set would treat otherwise than is
 * recorded; nothing is done */
#include <stdlib.h>

#include "api/ask.h"
#include "api/ops.h"
#include "api/trial.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/limits.h"
#include "ingest/decided.h"
#include "retention/erase.h"
#include "retention/schedule.h"

#define BATCH 64
#define BATCH_BYTES                                                                                \
	(64u << 20) /* of messages that are read and not judged yet; a single one may be larger */

struct waiting {
	struct message_id id;
	struct buf meta;
	struct buf raw;
};

struct replay {
	struct trial t;
	struct ask *a;
	struct db *control;
	struct parse_pool *pool;
	struct waiting items[BATCH];
	struct parse_job jobs[BATCH];
	size_t count;
	size_t bytes;
	uint64_t total;
	uint64_t done;
	uint64_t differ;
	uint64_t imported;   /* no rule set judged them: nothing to compare with */
	uint64_t unverified; /* nobody found out their verdicts: PROCESSING_FAILED */
	uint64_t failed;
	json_t *now; /* of those that differ, how many would end as what */
};

/* ---- what would be otherwise ---- */

/* Should it be there, and isn't, for no other reason than the rules? */
static enum rc is_lacking(struct replay *p, const struct archive_info *b,
                          const struct message_id *id, bool *lacking, struct err *e)
{
	int32_t day = (int32_t)day_of_ms(id_received_ms(id));
	bool erased = false;
	enum rc rc = RC_OK;

	*lacking = !store_has(p->t.r->en->store, b->number, id) &&
	           retention_due_ms(&b->period, day) > clock_now_ms();
	if (*lacking)
		rc = erased_has(p->control, b->number, id, &erased, e);
	*lacking = *lacking && !erased;
	return rc;
}

/* Archives beside the one that is searched: {"then":[…],"now":[…]}, only names that are in one
 * alone. */
static enum rc compare_archives(struct replay *p, const struct rule_outcome *o,
                                const struct message_id *id, json_t *differs, struct err *e)
{
	json_t *then = json_array();
	json_t *now = json_array();
	enum rc rc = RC_OK;

	for (size_t i = 0; i < config_archive_count(p->t.config) && rc == RC_OK; i++) {
		const struct archive_info *b = config_archive_at(p->t.config, i);
		bool goes = decided_archive(o, b->number) != NULL;
		bool lacking = false;

		if (b->number == p->a->archive->number || b->pending)
			continue;
		if (goes)
			rc = is_lacking(p, b, id, &lacking, e);
		if (lacking)
			json_push(now, json_of_slice(slice_str(b->name)));
		if (!goes && store_has(p->t.r->en->store, b->number, id))
			json_push(then, json_of_slice(slice_str(b->name)));
	}
	if (rc == RC_OK && json_array_size(then) + json_array_size(now)) {
		json_t *both = json_object();

		json_put(both, "then", json_incref(then));
		json_put(both, "now", json_incref(now));
		json_put(differs, "archives", both);
	}
	json_decref(then);
	json_decref(now);
	return rc;
}

/* {} where all is as it is recorded. */
static enum rc compare(struct replay *p, const struct mail *m, const struct rule_outcome *o,
                       json_t *differs, struct err *e)
{
	const json_t *then = json_object_get(m->json, "archive");
	const struct rule_execution *here = decided_archive(o, p->a->archive->number);
	json_t *now;
	json_t *parts;

	if (!here) {
		json_put_bool(differs, "not_archived", true);
		return compare_archives(p, o, &m->id, differs, e);
	}
	now = decided_json(p->t.rules, o, here);
	parts = decided_difference(then, now);
	if (parts)
		MUST(json_object_update(differs, parts) == 0);
	json_decref(parts);
	json_decref(now);
	return compare_archives(p, o, &m->id, differs, e);
}

static json_t *then_json(const struct mail *m)
{
	static const char *const members[] = { "rule_set", "rule_set_name", "rule_set_version",
		                               "rule", "rule_name" };
	const json_t *decided = json_object_get(m->json, "archive");
	json_t *o = json_object();

	for (size_t i = 0; i < COUNT(members); i++)
		if (json_object_get(decided, members[i]))
			json_put(o, members[i], json_incref(json_object_get(decided, members[i])));
	return o;
}

/* The rules that acted, in their order. */
static json_t *now_json(const struct rule_outcome *o)
{
	json_t *out = json_object();
	json_t *rules = json_array();

	for (size_t i = 0; i < o->execution_count; i++) {
		const struct rule_execution *x = &o->executions[i];
		json_t *one;

		if (i && o->executions[i - 1].rule == x->rule)
			continue;
		one = json_object();
		json_put_int(one, "rule", x->rule);
		json_put_text(one, "rule_name", slice_str(x->rule_name));
		json_push(rules, one);
	}
	json_put_text(out, "disposition", slice_str(decided_word(o)));
	json_put(out, "rules", rules);
	return out;
}

static void count_now(struct replay *p, const char *word)
{
	json_put_int(p->now, word, json_member_int(p->now, word, 0) + 1);
}

/* Takes `differs` over. */
static enum rc send_difference(struct replay *p, const struct mail *m, const struct rule_outcome *o,
                               json_t *differs, struct err *e)
{
	char id[ID_TEXT + 1];
	char when[25];
	json_t *row = json_object();

	p->differ++;
	count_now(p, decided_word(o));
	id_format(id, &m->id);
	time_format(when, m->received_ms);
	json_put_text(row, "id", slice_str(id));
	json_put_text(row, "received", slice_str(when));
	json_put(row, "then", then_json(m));
	json_put(row, "now", now_json(o));
	json_put(row, "differs", differs);
	return request_row(p->t.r, row, e);
}

static enum rc send_problem(struct replay *p, const struct message_id *id, const char *why,
                            struct err *e)
{
	char text[ID_TEXT + 1];
	json_t *row = json_object();

	p->failed++;
	id_format(text, id);
	json_put_text(row, "id", slice_str(text));
	json_put_text(row, "problem", slice_str(why));
	return request_row(p->t.r, row, e);
}

/* ---- one after the other ---- */

static enum rc judge(struct replay *p, const struct mail *m, const struct trial_message *message,
                     struct err *e)
{
	struct rule_outcome o;
	struct err why = { 0 };
	json_t *differs;
	enum rc rc;

	if (json_object_get(json_object_get(m->json, "archive"), "import")) {
		p->imported++;
		return RC_OK;
	}
	p->unverified += mail_verdicts(m) == NULL;
	if (trial_run(&p->t, message, NULL, &o, &why) != RC_OK)
		return send_problem(p, &m->id, why.text, e);
	differs = json_object();
	rc = compare(p, m, &o, differs, e);
	if (rc == RC_OK && json_object_size(differs))
		rc = send_difference(p, m, &o, differs, e);
	else
		json_decref(differs);
	rule_outcome_free(&o);
	return rc;
}

static enum rc judge_waiting(struct replay *p, const struct waiting *w, const struct parse_job *job,
                             struct err *e)
{
	struct err why = { 0 };
	struct mail m;
	struct trial_message message = { &m, &job->parsed, w->raw.len };
	enum rc rc = mail_read_stored(&m, &w->id, buf_slice(&w->meta), &why);

	rc = rc == RC_OK ? judge(p, &m, &message, e) : send_problem(p, &w->id, why.text, e);
	mail_free(&m);
	return rc;
}

static enum rc tell(struct replay *p, struct err *e)
{
	json_t *o = json_object();

	json_put_int(o, "done", (int64_t)p->done);
	json_put_int(o, "total", (int64_t)p->total);
	return request_row(p->t.r, o, e);
}

static void empty(struct replay *p)
{
	for (size_t i = 0; i < p->count; i++) {
		parse_job_free(&p->jobs[i]);
		buf_free(&p->items[i].meta);
		buf_free(&p->items[i].raw);
	}
	p->count = p->bytes = 0;
}

static enum rc flush(struct replay *p, struct err *e)
{
	enum rc rc = RC_OK;

	if (p->count == 0)
		return RC_OK;
	rc = parse_begin(p->pool, p->jobs, p->count, e);
	if (rc == RC_OK)
		rc = parse_wait(p->pool, e);
	for (size_t i = 0; i < p->count && rc == RC_OK; i++)
		rc = judge_waiting(p, &p->items[i], &p->jobs[i], e);
	p->done += p->count;
	empty(p);
	return rc == RC_OK ? tell(p, e) : rc;
}

/* As message_get, by the one connection that there is for all. */
static enum rc load(struct replay *p, struct waiting *w, struct err *e)
{
	uint32_t archive = p->a->archive->number;
	bool erased = false;
	enum rc rc = store_get(p->t.r->en->store, archive, &w->id, &w->meta, &w->raw, e);

	if (rc == RC_OK)
		rc = erased_has(p->control, archive, &w->id, &erased, e);
	return rc == RC_OK && erased ? err_set(e, RC_NOTFOUND, "it was erased") : rc;
}

/* A message that the index has and the store can't give is told, and the others go on. */
static enum rc take(void *arg, const struct index_row *row, struct err *e)
{
	struct replay *p = arg;
	struct waiting *w = &p->items[p->count];
	struct err why = { 0 };
	enum rc rc;

	w->id = row->id;
	buf_init(&w->meta, LIMIT_REQUEST);
	buf_init(&w->raw, LIMIT_REQUEST);
	rc = load(p, w, &why);
	if (rc != RC_OK) {
		buf_free(&w->meta);
		buf_free(&w->raw);
		p->done++;
		return send_problem(p, &row->id, why.text[0] ? why.text : rc_name(rc), e);
	}
	p->jobs[p->count] = (struct parse_job) { .raw = buf_slice(&w->raw) };
	p->bytes += w->raw.len;
	p->count++;
	return p->count == BATCH || p->bytes >= BATCH_BYTES ? flush(p, e) : RC_OK;
}

/* ---- the whole ---- */

static enum rc account(struct replay *p, struct err *e)
{
	struct ask *a = p->a;
	json_t *detail = json_object();

	json_put_text(detail, "archive", slice_str(a->archive->name));
	json_put_int(detail, "archive_number", a->archive->number);
	json_put_text(detail, "query", a->text);
	json_put_int(detail, "hits", (int64_t)p->total);
	json_put_text(detail, "rule_set", slice_str(rule_set_name(p->t.rules)));
	json_put_int(detail, "rule_set_version", rule_set_version(p->t.rules));
	return request_account(a->r, "replay", detail, e);
}

static json_t *result_json(struct replay *p)
{
	json_t *o = json_object();

	json_put_text(o, "rule_set_name", slice_str(rule_set_name(p->t.rules)));
	json_put_int(o, "rule_set_version", rule_set_version(p->t.rules));
	json_put_int(o, "messages", (int64_t)p->done);
	json_put_int(o, "differ", (int64_t)p->differ);
	json_put_int(o, "same", (int64_t)(p->done - p->differ - p->imported - p->failed));
	json_put_int(o, "imported", (int64_t)p->imported);
	json_put_int(o, "without_verdicts", (int64_t)p->unverified);
	json_put_int(o, "failed", (int64_t)p->failed);
	json_put(o, "now", json_incref(p->now));
	json_put(o, "notes", ask_notes(p->a));
	return o;
}

static enum rc replay_all(struct replay *p, struct err *e)
{
	struct index *ix = p->t.r->en->index;
	struct query_stats stats;
	enum rc rc = query_count(ix, &p->a->query, &stats, e);

	p->total = stats.hits;
	if (p->a->query.limit)
		p->total = MIN_OF(p->total, p->a->query.limit);
	if (rc == RC_OK)
		rc = account(p, e);
	if (rc == RC_OK)
		rc = engine_control(p->t.r->en, &p->control, e);
	if (rc == RC_OK)
		rc = parse_pool_new(&p->pool, 2, NULL, e);
	if (rc == RC_OK)
		rc = query_run(ix, &p->a->query, take, p, &stats, e);
	if (rc == RC_OK)
		rc = flush(p, e);
	empty(p);
	parse_pool_free(&p->pool);
	db_close(&p->control);
	if (rc == RC_OK)
		p->t.r->result = result_json(p);
	return rc;
}

static enum rc replay(struct request *r, struct ask *a, struct err *e)
{
	struct replay *p = mem_new(sizeof(*p));
	enum rc rc = trial_begin(&p->t, r, e);

	p->a = a;
	p->now = json_object();
	if (rc == RC_OK && !p->t.rules)
		rc = err_set(e, RC_INVALID, "which rule set?");
	if (rc == RC_OK)
		rc = replay_all(p, e);
	trial_end(&p->t);
	json_decref(p->now);
	free(p);
	return rc;
}

/* By what a rule set does with a message it can be told what the message says: as explain-message.
 */
enum rc op_replay(struct request *r, struct err *e)
{
	struct ask a;
	enum rc rc = request_need(r, ACCESS_READ_CONFIG, e);

	if (rc != RC_OK)
		return rc;
	rc = ask_begin(&a, r, e);
	if (rc == RC_OK)
		rc = replay(r, &a, e);
	ask_end(&a);
	return rc;
}
