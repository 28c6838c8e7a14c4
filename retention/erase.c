#include "retention/erase.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "store/audited.h"

enum rc erase_prepare(struct db *control, struct err *e)
{
	return db_exec(control,
	               "CREATE TABLE IF NOT EXISTS erased ("
	               " archive INTEGER NOT NULL, id BLOB NOT NULL, sha256 BLOB NOT NULL,"
	               " when_ms INTEGER NOT NULL, who TEXT NOT NULL, reason TEXT NOT NULL,"
	               " done INTEGER NOT NULL, PRIMARY KEY(id, archive)) STRICT, WITHOUT ROWID;"
	               "CREATE INDEX IF NOT EXISTS erased_open ON erased(archive) WHERE done = 0;",
	               e);
}

/* ---- a day ---- */

struct day {
	const struct sweep *s;
	const struct erasure *x;
	int32_t day;
	size_t from; /* its items */
	size_t to;
	const struct audited *known;
	uint64_t *lots; /* live ones */
	uint64_t *seen; /* messages that were read of each */
	size_t count;
	uint64_t *all; /* those and the tombstones: rows may name either */
	size_t all_count;
	uint32_t generation; /* the newest so far */
	struct block_list *blocks;
	struct removal *removal; /* under way */
};

static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, ID_BYTES); /* items begin with their id */
}

static int32_t day_of(const struct message_id *id)
{
	return (int32_t)day_of_ms(id_received_ms(id));
}

static void push(uint64_t **list, size_t *count, uint64_t v)
{
	*list = mem_resize(*list, (*count + 1) * sizeof(**list));
	(*list)[(*count)++] = v;
}

static enum rc take_lot(void *arg, const struct key_info *k)
{
	struct day *d = arg;

	if (k->kind != KEY_LOT || k->archive != d->x->archive || k->day != d->day)
		return RC_OK;
	push(&d->all, &d->all_count, k->id);
	if (k->state == KEY_LIVE)
		push(&d->lots, &d->count, k->id);
	d->generation = MAX_OF(d->generation, k->generation);
	return RC_OK;
}

static enum rc day_begin(struct day *d, const struct sweep *s, const struct erasure *x,
                         const struct audited *known, size_t from, struct err *e)
{
	enum rc rc;

	*d = (struct day) { .s = s,
		            .x = x,
		            .known = known,
		            .from = from,
		            .to = from,
		            .day = day_of(&x->items[from].id) };
	while (d->to < x->count && day_of(&x->items[d->to].id) == d->day)
		d->to++;
	rc = keyring_each(s->keys, take_lot, d);
	d->seen = mem_array(d->count + 1, sizeof(*d->seen));
	return rc == RC_OK ? rc : err_set(e, rc, "read the key ring for an erasure");
}

/* May what the day's live lots hold be erased? */
static enum rc may_go(const struct day *d, struct err *e)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < d->count; i++) {
		const struct due_lot lot = { .lot = d->lots[i],
			                     .archive = d->x->archive,
			                     .day = d->day };

		rc = may_destroy(d->s, &lot, DESTROY_ERASED, clock_now_ms(), e);
	}
	return rc;
}

/* What the store doesn't show, as the last block of an open segment when it went bad, would be lost
 * with the key of its lot, beyond all repair. */
static enum rc check_whole(const struct day *d, struct err *e)
{
	for (size_t i = 0; i < d->count; i++) {
		uint64_t given = audited_given(d->known, d->lots[i]);

		if (d->seen[i] < given)
			return err_set(
			        e, RC_CORRUPT,
			        "lot %llu of archive %s was given %llu messages, %llu can be read:"
			        " mmctl verify",
			        (unsigned long long)d->lots[i], d->x->archive_name,
			        (unsigned long long)given, (unsigned long long)d->seen[i]);
	}
	return RC_OK;
}

static void day_end(struct day *d)
{
	free(d->lots);
	free(d->seen);
	free(d->all);
}

static struct message_id *ids_of(const struct erasure *x, size_t from, size_t to)
{
	struct message_id *ids = mem_array(to - from + 1, sizeof(*ids));

	for (size_t i = from; i < to; i++)
		ids[i - from] = x->items[i].id;
	return ids;
}

/* ---- looking ---- */

static void found(void *arg, const struct store_message *m, uint64_t bytes)
{
	const struct erasure *x = arg;
	struct erase_item *item = bsearch(m->id.b, x->items, x->count, sizeof(*item), by_id);

	MUST(item);
	if (item->found) /* a second copy */
		return;
	memcpy(item->sha256, m->sha256, sizeof(item->sha256));
	item->bytes = bytes;
	item->found = true;
}

static enum rc look_day(const struct sweep *s, struct erasure *x, struct day *d, struct err *e)
{
	struct message_id *ids = ids_of(x, d->from, d->to);
	struct store_erasure look = { .archive = x->archive,
		                      .day = d->day,
		                      .lots = d->lots,
		                      .lot_count = d->count,
		                      .ids = ids,
		                      .id_count = d->to - d->from,
		                      .gone = found,
		                      .arg = x,
		                      .found = d->seen };
	enum rc rc = may_go(d, e);

	if (rc == RC_OK)
		rc = store_erase(s->store, &look, e);
	free(ids);
	return rc == RC_OK ? check_whole(d, e) : rc;
}

static enum rc check_found(const struct sweep *s, const struct erasure *x, struct err *e)
{
	for (size_t i = 0; i < x->count; i++) {
		char id[ID_TEXT + 1];

		id_format(id, &x->items[i].id);
		if (!store_has(s->store, x->archive, &x->items[i].id))
			return err_set(e, RC_NOTFOUND, "archive %s has no message %s",
			               x->archive_name, id);
	}
	return RC_OK;
}

static enum rc look_days(const struct sweep *s, struct erasure *x, struct err *e)
{
	struct audited *known;
	enum rc rc = audited_load(&known, s->audit, e);

	for (size_t from = 0; rc == RC_OK && from < x->count;) {
		struct day d;

		rc = day_begin(&d, s, x, known, from, e);
		if (rc == RC_OK)
			rc = look_day(s, x, &d, e);
		from = d.to;
		day_end(&d);
	}
	audited_free(&known);
	return rc;
}

enum rc erase_look(const struct sweep *s, struct erasure *x, struct err *e)
{
	size_t unique = 0;
	enum rc rc;

	if (!x->reason[0])
		return err_set(e, RC_INVALID, "an erasure needs a reason");
	if (x->count)
		qsort(x->items, x->count, sizeof(*x->items), by_id);
	for (size_t i = 0; i < x->count; i++)
		if (i == 0 || id_compare(&x->items[i].id, &x->items[unique - 1].id) != 0)
			x->items[unique++] = x->items[i];
	x->count = unique;
	rc = check_found(s, x, e);
	if (rc == RC_OK)
		rc = look_days(s, x, e);
	for (size_t i = 0; rc == RC_OK && i < x->count; i++)
		if (!x->items[i].found)
			rc = err_set(e, RC_CORRUPT,
			             "a message's block can't be read: mmctl verify");
	return rc;
}

/* ---- the run ---- */

struct words {
	const struct message_id *ids;
	size_t count;
};

static bool row_goes(void *arg, const struct message_id *id, uint64_t lot)
{
	const struct words *w = arg;

	(void)lot;
	return bsearch(id->b, w->ids, w->count, sizeof(*w->ids), by_id) != NULL;
}

/* Hides them: from here on no search finds them, and no key opens the old words. */
static enum rc remove_words(const struct sweep *s, const struct day *d, struct erase_report *report,
                            struct err *e)
{
	struct message_id *ids = ids_of(d->x, d->from, d->to);
	struct words w = { ids, d->to - d->from };
	struct word_removal r = { .archive = d->x->archive,
		                  .lots = d->all,
		                  .count = d->all_count,
		                  .gone = row_goes,
		                  .arg = &w };
	enum rc rc = sweep_words(s, &r, e);

	report->shards_rewritten += r.shards;
	free(ids);
	return rc;
}

/* Rows and words are taken out on a thread of their own, while what stays is read and compressed:
 * both take a processor for seconds. Nothing that was copied is accounted for or gets its name
 * before they are gone. */
struct removal {
	const struct sweep *s;
	const struct day *day;
	struct erase_report *report;
	pthread_t thread;
	bool running;
	enum rc rc;
	struct err why;
};

static void *run_removal(void *arg)
{
	struct removal *r = arg;

	r->rc = remove_words(r->s, r->day, r->report, &r->why);
	return NULL;
}

static void removal_begin(struct removal *r, const struct sweep *s, const struct day *d,
                          struct erase_report *report)
{
	*r = (struct removal) { .s = s, .day = d, .report = report };
	r->running = pthread_create(&r->thread, NULL, run_removal, r) == 0;
	if (!r->running)
		(void)run_removal(r);
}

/* They are gone; may be asked again. */
static enum rc removal_end(struct removal *r, struct err *e)
{
	if (r->running)
		MUST(pthread_join(r->thread, NULL) == 0);
	r->running = false;
	if (r->rc != RC_OK)
		*e = r->why;
	return r->rc;
}

static void on_block(void *arg, const struct store_block *b)
{
	const struct day *d = arg;

	block_list_add(d->blocks, b);
}

static enum rc account(void *arg, struct err *e)
{
	struct day *d = arg;
	enum rc rc = removal_end(d->removal, e);

	if (rc == RC_OK)
		rc = check_whole(d, e);
	if (rc != RC_OK)
		return rc;
	rc = block_list_account(&d->blocks, d->s->audit, BLOCKS_COPIED, e);

	d->blocks = block_list_new();
	return rc == RC_OK ? audit_sync(d->s->audit, e) : rc;
}

static enum rc copy_rest(const struct sweep *s, struct day *d, uint64_t into,
                         struct erase_report *report, struct err *e)
{
	struct message_id *ids = ids_of(d->x, d->from, d->to);
	struct store_erasure copy = { .archive = d->x->archive,
		                      .day = d->day,
		                      .lots = d->lots,
		                      .lot_count = d->count,
		                      .ids = ids,
		                      .id_count = d->to - d->from,
		                      .into = into,
		                      .to = { on_block, account, d },
		                      .found = d->seen };
	enum rc rc;
	enum rc emptied;

	d->blocks = block_list_new();
	rc = store_erase(s->store, &copy, e);
	if (rc == RC_OK) /* `account` is not asked where nothing stays */
		rc = check_whole(d, e);
	/* What failed before it was accounted for isn't there either. */
	emptied = rc == RC_OK ? block_list_account(&d->blocks, s->audit, BLOCKS_COPIED, e) : RC_OK;
	block_list_free(&d->blocks);
	free(ids);
	report->kept += copy.kept;
	if (rc == RC_OK && copy.kept == 0)
		push(&d->lots, &d->count, into);
	return rc == RC_OK ? emptied : rc;
}

/* Takes the words out, and copies what stays into a lot of its own. */
static enum rc renew(const struct sweep *s, struct day *d, struct erase_report *report,
                     struct err *e)
{
	const struct key_info want = { .kind = KEY_LOT,
		                       .archive = d->x->archive,
		                       .day = d->day,
		                       .generation = d->generation + 1 };
	struct removal removal;
	enum rc removed;
	uint64_t into;
	enum rc rc = keyring_add(s->keys, &want, &into, e);

	if (rc != RC_OK)
		return rc;
	removal_begin(&removal, s, d, report);
	d->removal = &removal;
	rc = copy_rest(s, d, into, report, e);
	removed = removal_end(&removal, e);
	rc = removed == RC_OK ? rc : removed;
	/* Nothing has a name under it yet, and the next try makes another. */
	if ((rc == RC_CORRUPT || removed != RC_OK) &&
	    keyring_destroy(s->keys, &into, 1, NULL) != RC_OK)
		log_warn("key %llu of an erasure that failed stays", (unsigned long long)into);
	return rc;
}

static enum rc erase_day(const struct sweep *s, struct day *d, struct erase_report *report,
                         struct err *e)
{
	/* Whoever allowed it may have thought better of it since, also before a kill. */
	enum rc rc = may_go(d, e);

	/* No live lot: a sweep has destroyed the day since. */
	if (rc == RC_OK && d->count == 0)
		return remove_words(s, d, report, e);
	if (rc == RC_OK)
		rc = renew(s, d, report, e);
	if (rc == RC_OK)
		rc = keyring_destroy(s->keys, d->lots, d->count, e);
	if (rc == RC_OK)
		report->lots += d->count;
	return rc;
}

/* ---- before and after ---- */

static json_t *describe(const struct erasure *x, bool resumed)
{
	json_t *list = json_array();

	for (size_t i = 0; i < x->count; i++) {
		char id[ID_TEXT + 1];
		char sha[65];

		id_format(id, &x->items[i].id);
		hex_encode(sha, x->items[i].sha256, 32);
		json_array_append_new(list, json_pack("{s:s,s:s}", "id", id, "sha256", sha));
	}
	return json_pack("{s:s,s:i,s:s,s:b,s:o}", "archive", x->archive_name, "archive_number",
	                 (int)x->archive, "reason", x->reason, "resumed", resumed, "what", list);
}

static enum rc remember(const struct sweep *s, const struct erasure *x, struct err *e)
{
	struct stmt *st;
	enum rc rc = db_begin(s->control, e);

	if (rc != RC_OK)
		return rc;
	rc = db_prepare(s->control, &st, "INSERT OR REPLACE INTO erased VALUES(?,?,?,?,?,?,0)", e);
	for (size_t i = 0; rc == RC_OK && i < x->count; i++) {
		stmt_bind_int(st, 1, x->archive);
		stmt_bind_blob(st, 2, slice_of(x->items[i].id.b, ID_BYTES));
		stmt_bind_blob(st, 3, slice_of(x->items[i].sha256, 32));
		stmt_bind_int(st, 4, clock_now_ms());
		stmt_bind_text(st, 5, slice_str(x->who));
		stmt_bind_text(st, 6, slice_str(x->reason));
		rc = stmt_run(st, e);
	}
	stmt_free(&st);
	return db_end(s->control, rc, e);
}

static enum rc add_entry(const struct sweep *s, const char *event, const struct erasure *x,
                         json_t *detail, struct err *e)
{
	enum rc rc = audit_add(s->audit, event, x->who, detail, e);

	return rc == RC_OK ? audit_sync(s->audit, e) : rc;
}

static enum rc mark_done(const struct sweep *s, const struct erasure *x, struct err *e)
{
	struct stmt *st;
	enum rc rc = db_begin(s->control, e);

	if (rc != RC_OK)
		return rc;
	rc = db_prepare(s->control, &st, "UPDATE erased SET done = 1 WHERE id = ? AND archive = ?",
	                e);
	for (size_t i = 0; rc == RC_OK && i < x->count; i++) {
		stmt_bind_blob(st, 1, slice_of(x->items[i].id.b, ID_BYTES));
		stmt_bind_int(st, 2, x->archive);
		rc = stmt_run(st, e);
	}
	stmt_free(&st);
	return db_end(s->control, rc, e);
}

static enum rc record(const struct sweep *s, const struct erasure *x, bool resumed,
                      const struct erase_report *report, struct err *e)
{
	json_t *detail = describe(x, resumed);
	enum rc rc;

	json_object_set_new(detail, "kept", json_integer((json_int_t)report->kept));
	json_object_set_new(detail, "lots", json_integer((json_int_t)report->lots));
	json_object_set_new(detail, "shards", json_integer(report->shards_rewritten));
	rc = add_entry(s, "erase_done", x, detail, e);
	return rc == RC_OK ? mark_done(s, x, e) : rc;
}

static enum rc say(const struct err *why, struct err *e)
{
	return why->code == RC_OK ? RC_OK : err_set(e, why->code, "%s", why->text);
}

/* What is told, and left for the next try, which the others need not wait for. */
static bool can_wait(enum rc rc)
{
	return rc == RC_CORRUPT || is_forbidden(rc);
}

/* Every day that can be read and may go; `done` gets the items of those. The first other is told.
 */
static enum rc erase_days(const struct sweep *s, const struct erasure *x,
                          const struct audited *known, struct erasure *done,
                          struct erase_report *report, struct err *e)
{
	enum rc left = RC_OK;
	enum rc rc = RC_OK;

	for (size_t from = 0; rc == RC_OK && from < x->count;) {
		struct err why = { 0 };
		struct day d;

		rc = day_begin(&d, s, x, known, from, &why);
		if (rc == RC_OK)
			rc = erase_day(s, &d, report, &why);
		for (; rc == RC_OK && from < d.to; from++)
			done->items[done->count++] = x->items[from];
		if (rc != RC_OK && left == RC_OK)
			*e = why;
		if (can_wait(rc)) {
			log_error("an erasure from archive %s is not finished: %s", x->archive_name,
			          why.text);
			left = rc;
			rc = RC_OK;
		}
		from = d.to;
		day_end(&d);
	}
	return rc == RC_OK ? left : rc;
}

static enum rc forget_copies(const struct sweep *s, const struct erasure *x, struct err *e)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; s->forget && rc == RC_OK && i < x->count; i++)
		rc = s->forget(s->copies, x->archive, 0, &x->items[i].id, e);
	return rc == RC_OK && s->forgotten ? s->forgotten(s->copies, e) : rc;
}

/* From the intent to the record: also the way of a restart. */
static enum rc carry_out(const struct sweep *s, const struct erasure *x, bool resumed,
                         struct erase_report *report, struct err *e)
{
	struct erasure done = *x;
	struct audited *known = NULL;
	struct err why = { 0 };
	enum rc left;
	enum rc rc = add_entry(s, "erase_intent", x, describe(x, resumed), e);

	if (rc == RC_OK)
		rc = audited_load(&known, s->audit, e);
	if (rc != RC_OK) {
		audited_free(&known);
		return rc;
	}
	done.items = mem_array(x->count, sizeof(*done.items));
	done.count = 0;
	left = erase_days(s, x, known, &done, report, &why);
	audited_free(&known);
	rc = can_wait(left) ? RC_OK : left;
	if (rc == RC_OK)
		rc = index_drop_dead(s->index, e);
	if (rc == RC_OK)
		rc = store_forget(s->store, e);
	report->messages = done.count;
	if (rc == RC_OK)
		rc = forget_copies(s, &done, e);
	if (rc == RC_OK && done.count)
		rc = record(s, &done, resumed, report, e);
	free(done.items);
	return rc == RC_OK || rc == left ? say(&why, e) : rc;
}

enum rc erase_run(const struct sweep *s, const struct erasure *x, struct erase_report *report,
                  struct err *e)
{
	enum rc rc = x->count ? remember(s, x, e) : RC_OK;

	*report = (struct erase_report) { 0 };
	if (rc == RC_OK && x->count)
		rc = carry_out(s, x, false, report, e);
	return rc == RC_OK ? RC_OK : err_in(e, "erase from archive %s", x->archive_name);
}

/* ---- what was interrupted, and what was done ---- */

static const char *name_of(const struct sweep *s, uint32_t archive)
{
	for (size_t i = 0; i < s->archive_count; i++)
		if (s->archives[i].number == archive)
			return s->archives[i].name;
	return "?";
}

/* What one person asked for with one reason. */
struct open_rows {
	struct erasure x;
	char *who;
	char *reason;
};

static void open_rows_free(struct open_rows *o)
{
	free(o->x.items);
	free(o->who);
	free(o->reason);
}

/* True while the row is of the same erasure as those before it. */
static bool belongs(struct open_rows *o, struct stmt *st)
{
	struct slice who = stmt_text(st, 3);
	struct slice reason = stmt_text(st, 4);

	if (o->x.count == 0) {
		o->x.archive = (uint32_t)stmt_int(st, 0);
		o->who = slice_string(who);
		o->reason = slice_string(reason);
	}
	return o->x.archive == (uint32_t)stmt_int(st, 0) && slice_equal(who, slice_str(o->who)) &&
	       slice_equal(reason, slice_str(o->reason));
}

/* The open rows that come behind those of `before`. */
static enum rc read_open(const struct sweep *s, const struct open_rows *before, struct open_rows *o,
                         struct err *e)
{
	struct stmt *st;
	enum rc rc = db_prepare(s->control, &st,
	                        "SELECT archive, id, sha256, who, reason FROM erased WHERE done = 0"
	                        " AND (archive, who, reason) > (?, ?, ?)"
	                        " ORDER BY archive, who, reason, id",
	                        e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(st, 1, before->x.archive);
	stmt_bind_text(st, 2, slice_str(before->who ? before->who : ""));
	stmt_bind_text(st, 3, slice_str(before->reason ? before->reason : ""));
	while ((rc = stmt_step(st, e)) == RC_OK && belongs(o, st)) {
		struct slice id = stmt_blob(st, 1);
		struct slice sha = stmt_blob(st, 2);
		struct erase_item *item;

		o->x.items = mem_resize(o->x.items, (o->x.count + 1) * sizeof(*o->x.items));
		item = &o->x.items[o->x.count++];
		*item = (struct erase_item) { .found = true };
		memcpy(item->id.b, id.at, MIN_OF(id.len, (size_t)ID_BYTES));
		memcpy(item->sha256, sha.at, MIN_OF(sha.len, sizeof(item->sha256)));
	}
	stmt_free(&st);
	o->x.who = o->who;
	o->x.reason = o->reason;
	o->x.archive_name = name_of(s, o->x.archive);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc erase_recover(const struct sweep *s, struct err *e)
{
	struct open_rows before = { 0 };
	struct err left = { 0 };
	enum rc rc;
	size_t count;

	do {
		struct open_rows now = { 0 };
		struct erase_report report = { 0 };
		struct err why = { 0 };

		rc = read_open(s, &before, &now, e);
		count = now.x.count;
		if (rc == RC_OK && count) {
			log_warn("an erasure was interrupted: going on with %zu messages", count);
			rc = carry_out(s, &now.x, true, &report, &why);
			if (can_wait(rc) && left.code == RC_OK)
				left = why;
			if (rc != RC_OK)
				rc = can_wait(rc) ? RC_OK : say(&why, e);
		}
		open_rows_free(&before);
		before = now;
	} while (rc == RC_OK && count);
	open_rows_free(&before);
	return rc == RC_OK ? say(&left, e) : rc;
}

enum rc erased_has(struct db *control, uint32_t archive, const struct message_id *id, bool *has,
                   struct err *e)
{
	struct stmt *st;
	enum rc rc =
	        db_prepare(control, &st, "SELECT 1 FROM erased WHERE id = ? AND archive = ?", e);

	*has = false;
	if (rc != RC_OK)
		return rc;
	stmt_bind_blob(st, 1, slice_of(id->b, ID_BYTES));
	stmt_bind_int(st, 2, archive);
	rc = stmt_step(st, e);
	*has = rc == RC_OK;
	stmt_free(&st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc erased_select(struct db *control, const struct message_id *id, struct stmt **rows,
                      struct err *e)
{
	enum rc rc = db_prepare(control, rows,
	                        id ? "SELECT id, archive, when_ms, who, reason, done FROM erased"
	                             " WHERE id = ?1"
	                           : "SELECT id, archive, when_ms, who, reason, done FROM erased"
	                             " ORDER BY id DESC",
	                        e);

	if (rc == RC_OK && id)
		stmt_bind_blob(*rows, 1, slice_of(id->b, ID_BYTES));
	return rc;
}

enum rc erased_next(struct stmt *rows, struct erased *x, struct err *e)
{
	enum rc rc = stmt_step(rows, e);
	struct slice id;

	if (rc != RC_OK)
		return rc;
	id = stmt_blob(rows, 0);
	*x = (struct erased) { .archive = (uint32_t)stmt_int(rows, 1),
		               .when_ms = stmt_int(rows, 2),
		               .who = stmt_text(rows, 3),
		               .reason = stmt_text(rows, 4),
		               .done = stmt_int(rows, 5) != 0 };
	memcpy(x->id.b, id.at, MIN_OF(id.len, (size_t)ID_BYTES));
	return RC_OK;
}

enum rc erased_count(struct db *control, uint32_t archive, uint64_t *rows, struct err *e)
{
	struct stmt *st;
	enum rc rc =
	        db_prepare(control, &st, "SELECT count(*) FROM erased WHERE ?1 IN (0, archive)", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(st, 1, archive);
	rc = stmt_step(st, e);
	*rows = rc == RC_OK ? (uint64_t)stmt_int(st, 0) : 0;
	stmt_free(&st);
	return rc;
}
