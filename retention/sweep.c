#include "retention/sweep.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "retention/clockguard.h"
#include "store/crypt.h"

#define SWEEP_WHO 128 /* "principal NAME (uid N)" */

enum rc sweep_prepare(struct db *control, struct err *e)
{
	enum rc rc = db_exec(
	        control,
	        "CREATE TABLE IF NOT EXISTS sweep_lot ("
	        " lot INTEGER PRIMARY KEY, archive INTEGER NOT NULL, day INTEGER NOT NULL,"
	        " generation INTEGER NOT NULL, plan TEXT NOT NULL, who TEXT NOT NULL) STRICT;",
	        e);

	return rc == RC_OK ? clockguard_prepare(control, e) : rc;
}

/* ---- the plan ---- */

struct gather {
	const struct sweep *s;
	struct sweep_plan *plan;
	size_t room;
	int64_t now_ms;
};

static const struct retention_archive *archive_of(const struct sweep *s, uint32_t number)
{
	for (size_t i = 0; i < s->archive_count; i++)
		if (s->archives[i].number == number)
			return &s->archives[i];
	return NULL;
}

static int64_t due_ms(const struct retention_archive *a, int32_t day)
{
	int64_t due = retention_due_ms(&a->period, day);

	return a->end_ms ? MIN_OF(due, a->end_ms) : due;
}

static enum rc gather_lot(void *arg, const struct key_info *k)
{
	struct gather *g = arg;
	const struct retention_archive *a;
	int64_t due;

	if (k->kind != KEY_LOT || k->state != KEY_LIVE)
		return RC_OK;
	a = archive_of(g->s, k->archive);
	if (!a)
		return RC_OK; /* an archive nobody knows is kept: never destroy on missing knowledge
		               */
	due = due_ms(a, k->day);
	if (due > g->now_ms)
		return RC_OK;
	if (g->plan->count == g->room) {
		g->room = g->room ? g->room * 2 : 64;
		g->plan->lots = mem_resize(g->plan->lots, g->room * sizeof(*g->plan->lots));
	}
	g->plan->lots[g->plan->count++] = (struct due_lot) {
		.lot = k->id,
		.archive = k->archive,
		.archive_name = a->name,
		.day = k->day,
		.generation = k->generation,
		.due_ms = due,
		.ended = retention_due_ms(&a->period, k->day) > g->now_ms,
	};
	return RC_OK;
}

static int by_archive_and_day(const void *a, const void *b)
{
	const struct due_lot *x = a;
	const struct due_lot *y = b;

	if (x->archive != y->archive)
		return x->archive < y->archive ? -1 : 1;
	if (x->day != y->day)
		return x->day < y->day ? -1 : 1;
	return (x->lot > y->lot) - (x->lot < y->lot);
}

/* The most days that fall due in one archive. */
static unsigned count_days(const struct sweep_plan *plan)
{
	unsigned most = 0;
	unsigned days = 0;

	for (size_t i = 0; i < plan->count; i++) {
		const struct due_lot *lot = &plan->lots[i];

		if (i == 0 || lot->archive != lot[-1].archive)
			days = 1;
		else if (lot->day != lot[-1].day && !(lot->ended && lot[-1].ended))
			days++;
		most = MAX_OF(most, days);
	}
	return most;
}

static void name_plan(struct sweep_plan *plan)
{
	struct sha256 *h = sha256_new();
	uint8_t hash[32];

	for (size_t i = 0; i < plan->count; i++) {
		uint8_t raw[8];

		put_le64(raw, plan->lots[i].lot);
		sha256_add(h, slice_of(raw, sizeof(raw)));
	}
	sha256_end(&h, hash);
	hex_encode(plan->id, hash, 16);
}

static enum rc plan_at(const struct sweep *s, int64_t now_ms, struct sweep_plan *plan,
                       struct err *e)
{
	struct gather g = { .s = s, .plan = plan, .now_ms = now_ms };
	enum rc rc;

	*plan = (struct sweep_plan) { .made_ms = now_ms };
	rc = keyring_each(s->keys, gather_lot, &g);
	if (rc != RC_OK)
		return err_set(e, rc, "read the key ring for a retention plan");
	if (plan->count)
		qsort(plan->lots, plan->count, sizeof(*plan->lots), by_archive_and_day);
	plan->days = count_days(plan);
	name_plan(plan);
	return RC_OK;
}

enum rc sweep_plan_make(const struct sweep *s, struct sweep_plan *plan, struct err *e)
{
	return plan_at(s, clock_now_ms(), plan, e);
}

void sweep_plan_free(struct sweep_plan *plan)
{
	free(plan->lots);
	*plan = (struct sweep_plan) { 0 };
}

enum rc may_destroy(const struct sweep *s, const struct due_lot *lot, enum destroy_why why,
                    int64_t now_ms, struct err *e)
{
	const struct retention_archive *a = archive_of(s, lot->archive);

	if (!a)
		return err_set(e, RC_DENIED, "archive number %u is not known", lot->archive);
	if (why == DESTROY_EXPIRED && due_ms(a, lot->day) > now_ms)
		return err_set(e, RC_DENIED,
		               "mail of day %d in archive %s is not past its retention", lot->day,
		               a->name);
	return RC_OK;
}

bool is_forbidden(enum rc rc)
{
	return rc == RC_HELD || rc == RC_DENIED;
}

enum rc sweep_guard(const struct sweep *s, const struct sweep_plan *plan, struct err *e)
{
	return clockguard_check(s->control, plan->days, e);
}

/* ---- the run ---- */

static json_t *describe_lots(const struct sweep_plan *plan)
{
	json_t *lots = json_array();

	for (size_t i = 0; i < plan->count; i++) {
		const struct due_lot *lot = &plan->lots[i];
		int64_t year;
		unsigned month;
		unsigned day;
		char text[16];

		civil_from_days(lot->day, &year, &month, &day);
		(void)snprintf(text, sizeof(text), "%04d-%02u-%02u", (int)(year % 10000),
		               month % 100, day % 100);
		json_array_append_new(lots,
		                      json_pack("{s:I,s:s,s:i,s:s,s:i}", "lot",
		                                (json_int_t)lot->lot, "archive", lot->archive_name,
		                                "archive_number", (int)lot->archive, "day", text,
		                                "generation", (int)lot->generation));
	}
	return lots;
}

static enum rc remember_lots(const struct sweep *s, const struct sweep_plan *plan, const char *who,
                             struct err *e)
{
	struct stmt *st;
	enum rc rc = db_begin(s->control, e);

	if (rc != RC_OK)
		return rc;
	rc = db_prepare(s->control, &st, "INSERT OR IGNORE INTO sweep_lot VALUES(?,?,?,?,?,?)", e);
	for (size_t i = 0; rc == RC_OK && i < plan->count; i++) {
		const struct due_lot *lot = &plan->lots[i];

		stmt_bind_int(st, 1, (int64_t)lot->lot);
		stmt_bind_int(st, 2, lot->archive);
		stmt_bind_int(st, 3, lot->day);
		stmt_bind_int(st, 4, lot->generation);
		stmt_bind_text(st, 5, slice_str(plan->id));
		stmt_bind_text(st, 6, slice_str(who));
		rc = stmt_run(st, e);
	}
	stmt_free(&st);
	return db_end(s->control, rc, e);
}

struct removal {
	struct word_removal words; /* its lots are ascending */
	struct sha256 *ids;        /* over the ids of what goes */
};

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool row_goes(void *arg, const struct message_id *id, uint64_t lot)
{
	struct removal *r = arg;

	if (!bsearch(&lot, r->words.lots, r->words.count, sizeof(lot), by_number))
		return false;
	sha256_add(r->ids, slice_of(id->b, ID_BYTES));
	return true;
}

enum { DEAD_SHARDS = 64 };

enum rc sweep_words(const struct sweep *s, struct word_removal *r, struct err *e)
{
	uint64_t before = 0; /* what the last round reported first, and destroyed */
	enum rc rc = RC_LIMIT;

	while (rc == RC_LIMIT) {
		uint64_t dead[DEAD_SHARDS];
		size_t count = 0;
		uint64_t removed = 0;
		enum rc killed;

		rc = index_remove(s->index, r->archive, r->lots, r->count, r->gone, r->arg, dead,
		                  DEAD_SHARDS, &count, &removed, e);
		r->messages += removed;
		r->shards += (unsigned)count;
		/* After a failure too: what was written anew is not shown again after a start. */
		killed = keyring_destroy(s->keys, dead, count, rc == RC_CORRUPT ? NULL : e);
		if (killed != RC_OK)
			return killed;
		if (rc == RC_LIMIT && (count == 0 || dead[0] == before))
			return err_in(e, "take messages out of the index of archive %u",
			              r->archive);
		before = count ? dead[0] : 0;
	}
	return rc;
}

/* Rows name the lot that their message came with; an erasure may have moved it to a later
 * generation since. So the tombstones of a day that goes count as lots of it. */
struct generations {
	const struct sweep_plan *plan;
	size_t from;
	size_t to;
	uint64_t *lots;
	size_t count;
};

static enum rc add_generation(void *arg, const struct key_info *k)
{
	struct generations *g = arg;
	size_t low = g->from;
	size_t high = g->to;

	if (k->kind != KEY_LOT || k->archive != g->plan->lots[g->from].archive)
		return RC_OK;
	while (high - low > 1) { /* the plan is in order of days */
		size_t mid = low + (high - low) / 2;

		if (g->plan->lots[mid].day <= k->day)
			low = mid;
		else
			high = mid;
	}
	if (k->state == KEY_DESTROYED && g->plan->lots[low].day == k->day) {
		g->lots = mem_resize(g->lots, (g->count + 1) * sizeof(*g->lots));
		g->lots[g->count++] = k->id;
	}
	return RC_OK;
}

/* Ascending, in memory to be freed. */
static enum rc lots_of(const struct sweep *s, const struct sweep_plan *plan, size_t from, size_t to,
                       uint64_t **lots, size_t *count)
{
	struct generations g = { .plan = plan, .from = from, .to = to, .count = to - from };
	enum rc rc;

	g.lots = mem_array(g.count, sizeof(*g.lots));
	for (size_t i = from; i < to; i++)
		g.lots[i - from] = plan->lots[i].lot;
	rc = keyring_each(s->keys, add_generation, &g);
	qsort(g.lots, g.count, sizeof(*g.lots), by_number);
	*lots = g.lots;
	*count = g.count;
	return rc;
}

static enum rc forget_copies(const struct sweep *s, const struct sweep_plan *plan, size_t from,
                             size_t to, struct err *e)
{
	enum rc rc = RC_OK;

	for (size_t i = from; s->forget && rc == RC_OK && i < to; i++)
		rc = s->forget(s->copies, plan->lots[i].archive, plan->lots[i].day, NULL, e);
	return rc;
}

/* The lots of one archive. */
static enum rc destroy_some(const struct sweep *s, const struct sweep_plan *plan, size_t from,
                            size_t to, struct sha256 *ids, struct sweep_report *report,
                            struct err *e)
{
	struct removal r = {
		.words = { .archive = plan->lots[from].archive, .gone = row_goes, .arg = &r },
		.ids = ids
	};
	uint64_t *lots;
	enum rc rc = lots_of(s, plan, from, to, &lots, &r.words.count);

	r.words.lots = lots;
	if (rc != RC_OK)
		(void)err_set(e, rc, "read the key ring for a purge");
	if (rc == RC_OK)
		rc = forget_copies(s, plan, from, to, e);
	if (rc == RC_OK)
		rc = sweep_words(s, &r.words, e);
	if (rc == RC_OK)
		rc = keyring_destroy(s->keys, lots, r.words.count, e);
	report->messages += r.words.messages;
	report->shards_rewritten += r.words.shards;
	free(lots);
	return rc;
}

static enum rc refuse(const struct sweep *s, const struct sweep_plan *plan, const char *who,
                      struct err *e)
{
	struct err ignored = { 0 };
	enum rc code = e->code;

	log_error("the retention sweep is refused: %s", e->text);
	if (audit_add(s->audit, "purge_refused", who,
	              json_pack("{s:s,s:s,s:i}", "plan", plan->id, "reason", e->text, "days",
	                        (int)plan->days),
	              &ignored) != RC_OK ||
	    audit_sync(s->audit, &ignored) != RC_OK)
		log_error("and the refusal could not be recorded: %s", ignored.text);
	return code;
}

/* Rows and words go with the keys, so this is the moment before: whatever was allowed when the plan
 * was made, or before a kill, is asked again. *may gets the lots of [from, to) that may go, whose
 * memory is the caller's; the first that may not is told, `left` says why. */
static enum rc ask_again(const struct sweep *s, const struct sweep_plan *plan, size_t from,
                         size_t to, const char *who, struct sweep_plan *may, struct err *left,
                         struct err *e)
{
	struct err first = { 0 };

	*may = *plan;
	may->lots = mem_array(to - from, sizeof(*may->lots));
	may->count = 0;
	for (size_t i = from; i < to; i++) {
		struct err why = { 0 };
		enum rc rc = may_destroy(s, &plan->lots[i], DESTROY_EXPIRED, clock_now_ms(), &why);

		if (rc == RC_OK)
			may->lots[may->count++] = plan->lots[i];
		else if (!is_forbidden(rc))
			return err_set(e, rc, "%s", why.text);
		else if (first.code == RC_OK)
			first = why;
	}
	if (first.code != RC_OK) {
		(void)refuse(s, plan, who, &first);
		*left = left->code == RC_OK ? first : *left;
	}
	return RC_OK;
}

/* An archive whose index can't be read keeps its lots, which are due again, and what may not go any
 * more stays: `left` says why (its code is RC_OK where there is none), and `done` gets the others.
 */
static enum rc destroy_lots(const struct sweep *s, const struct sweep_plan *plan, const char *who,
                            struct sweep_plan *done, struct sha256 *ids,
                            struct sweep_report *report, struct err *left, struct err *e)
{
	enum rc rc = RC_OK;

	for (size_t from = 0; rc == RC_OK && from < plan->count;) {
		struct err why = { 0 };
		struct sweep_plan may;
		size_t to = from;

		while (to < plan->count && plan->lots[to].archive == plan->lots[from].archive)
			to++;
		rc = ask_again(s, plan, from, to, who, &may, left, &why);
		if (rc == RC_OK && may.count)
			rc = destroy_some(s, &may, 0, may.count, ids, report, &why);
		for (size_t i = 0; rc == RC_OK && i < may.count; i++)
			done->lots[done->count++] = may.lots[i];
		free(may.lots);
		if (rc == RC_CORRUPT) {
			log_error("archive %s is not purged: %s", plan->lots[from].archive_name,
			          why.text);
			*left = left->code == RC_OK ? why : *left;
			rc = RC_OK;
		} else if (rc != RC_OK) {
			(void)err_set(e, rc, "%s", why.text);
		}
		from = to;
	}
	report->lots = done->count;
	if (rc == RC_OK)
		rc = index_drop_dead(s->index, e);
	if (rc == RC_OK)
		rc = store_forget(s->store, e);
	return rc;
}

static enum rc record(const struct sweep *s, const struct sweep_plan *plan, const char *who,
                      bool resumed, const struct sweep_report *report, struct sha256 **ids,
                      struct err *e)
{
	uint8_t hash[32];
	char text[65];
	enum rc rc;

	sha256_end(ids, hash);
	hex_encode(text, hash, sizeof(hash));
	rc = audit_add(s->audit, "purge_done", who,
	               json_pack("{s:s,s:b,s:I,s:I,s:i,s:s,s:o}", "plan", plan->id, "resumed",
	                         resumed, "lots", (json_int_t)report->lots, "messages",
	                         (json_int_t)report->messages, "shards",
	                         (int)report->shards_rewritten, "ids_sha256", text, "what",
	                         describe_lots(plan)),
	               e);
	if (rc == RC_OK)
		rc = audit_sync(s->audit, e);
	return rc == RC_OK ? db_exec(s->control, "DELETE FROM sweep_lot", e) : rc;
}

/* From the intent to the record: also the way of a restart. */
static enum rc carry_out(const struct sweep *s, const struct sweep_plan *plan, const char *who,
                         bool resumed, struct sweep_report *report, struct err *e)
{
	struct sweep_plan done = *plan;
	struct err left = { 0 };
	struct sha256 *ids;
	uint8_t unused[32];
	enum rc rc = audit_add(s->audit, "purge_intent", who,
	                       json_pack("{s:s,s:b,s:o}", "plan", plan->id, "resumed", resumed,
	                                 "what", describe_lots(plan)),
	                       e);

	if (rc == RC_OK)
		rc = audit_sync(s->audit, e);
	if (rc != RC_OK)
		return rc;
	done.lots = mem_array(plan->count, sizeof(*done.lots));
	done.count = 0;
	ids = sha256_new();
	rc = destroy_lots(s, plan, who, &done, ids, report, &left, e);
	if (rc == RC_OK && s->forgotten)
		rc = s->forgotten(s->copies, e);
	if (rc == RC_OK)
		rc = record(s, &done, who, resumed, report, &ids, e);
	/* Days that are still due don't count as swept. */
	if (rc == RC_OK && left.code == RC_OK)
		rc = clockguard_swept(s->control, e);
	else if (rc == RC_OK)
		rc = err_set(e, left.code, "%s", left.text);
	if (ids)
		sha256_end(&ids, unused);
	free(done.lots);
	return rc == RC_OK ? RC_OK : err_in(e, "purge under plan %s", plan->id);
}

/* Nothing is due. A clock that is not trusted must not say when that was. */
static enum rc run_empty(const struct sweep *s, const struct sweep_plan *plan, bool attended,
                         struct err *e)
{
	struct err why = { 0 };
	enum rc rc = attended ? RC_OK : sweep_guard(s, plan, &why);

	if (rc == RC_OK)
		return clockguard_swept(s->control, e);
	return rc == RC_DENIED ? RC_OK : err_set(e, rc, "%s", why.text);
}

/* Into the log first: there it lasts when another copy of the control database is put back. */
static enum rc enter_attended(const struct sweep *s, const struct sweep_plan *plan, const char *who,
                              struct err *e)
{
	enum rc rc = audit_add(s->audit, "attended", who, json_pack("{s:s}", "plan", plan->id), e);

	if (rc == RC_OK)
		rc = audit_sync(s->audit, e);
	return rc == RC_OK ? clockguard_attended(s->control, e) : rc;
}

enum rc sweep_run(const struct sweep *s, const struct sweep_plan *plan, const char *who,
                  bool attended, struct sweep_report *report, struct err *e)
{
	int64_t now_ms = clock_now_ms();
	enum rc rc = attended ? enter_attended(s, plan, who, e) : RC_OK;

	*report = (struct sweep_report) { 0 };
	if (rc != RC_OK)
		return rc;
	if (plan->count == 0)
		return run_empty(s, plan, attended, e);
	if (!attended) {
		rc = sweep_guard(s, plan, e);
		if (rc == RC_DENIED)
			return refuse(s, plan, who, e);
		if (rc != RC_OK)
			return rc;
	}
	for (size_t i = 0; i < plan->count; i++) {
		rc = may_destroy(s, &plan->lots[i], DESTROY_EXPIRED, now_ms, e);
		if (rc != RC_OK)
			return rc;
	}
	rc = remember_lots(s, plan, who, e);
	return rc == RC_OK ? carry_out(s, plan, who, false, report, e) : rc;
}

/* The lots of a run that was killed, as the plan they were. */
static enum rc read_remembered(const struct sweep *s, struct sweep_plan *plan, char who[SWEEP_WHO],
                               struct err *e)
{
	struct stmt *st;
	enum rc rc = db_prepare(s->control, &st,
	                        "SELECT lot, archive, day, generation, plan, who FROM sweep_lot"
	                        " ORDER BY archive, day, lot",
	                        e);

	if (rc != RC_OK)
		return rc;
	while ((rc = stmt_step(st, e)) == RC_OK) {
		const struct retention_archive *a = archive_of(s, (uint32_t)stmt_int(st, 1));

		plan->lots = mem_resize(plan->lots, (plan->count + 1) * sizeof(*plan->lots));
		plan->lots[plan->count++] = (struct due_lot) {
			.lot = (uint64_t)stmt_int(st, 0),
			.archive = (uint32_t)stmt_int(st, 1),
			.archive_name = a ? a->name : "?",
			.day = (int32_t)stmt_int(st, 2),
			.generation = (uint32_t)stmt_int(st, 3),
		};
		(void)snprintf(plan->id, sizeof(plan->id), "%.*s", (int)stmt_text(st, 4).len,
		               (const char *)stmt_text(st, 4).at);
		(void)snprintf(who, SWEEP_WHO, "%.*s", (int)stmt_text(st, 5).len,
		               (const char *)stmt_text(st, 5).at);
	}
	stmt_free(&st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc sweep_recover(const struct sweep *s, struct sweep_report *report, struct err *e)
{
	struct sweep_plan plan = { .made_ms = clock_now_ms() };
	char who[SWEEP_WHO] = "mmd";
	enum rc rc = read_remembered(s, &plan, who, e);

	*report = (struct sweep_report) { 0 };
	if (rc == RC_OK && plan.count) {
		log_warn("a purge was interrupted: going on with its %zu lots", plan.count);
		rc = carry_out(s, &plan, who, true, report, e);
	}
	sweep_plan_free(&plan);
	return rc;
}
