#include "ingest/checkpoint.h"

#include "ingest/anchor.h"

#include <stdlib.h>

#include "base/clock.h"
#include "ingest/queue/queue.h"
#include "store/block_list.h"

#define TOLD_AT_ONCE 1000 /* dispositions of the queue in a checkpoint */

struct checkpoint {
	struct pipeline_parts parts;
	struct disposition *dispositions;
	size_t disposition_count;
	size_t disposition_room;
	struct ledger_entry *ledger;
	size_t ledger_count;
	size_t ledger_room;
	struct spool_position *after; /* the last one of each file */
	size_t after_count;
	struct beyond *beyond;
	size_t beyond_count;
	size_t beyond_room;
	uint64_t messages; /* since the last checkpoint */
	bool from_queue;   /* there is something of the queue's */
	uint64_t done;
	int64_t since_ms;
};

struct checkpoint *checkpoint_new(const struct pipeline_parts *parts)
{
	struct checkpoint *c = mem_new(sizeof(*c));

	c->parts = *parts;
	return c;
}

void checkpoint_free(struct checkpoint **c)
{
	if (!*c)
		return;
	free((*c)->dispositions);
	free((*c)->ledger);
	free((*c)->after);
	free((*c)->beyond);
	free(*c);
	*c = NULL;
}

/* Room for one more in an array that doubles. */
static void *grow(void *array, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return array;
	*room = *room ? *room * 2 : 64;
	return mem_resize(array, *room * size);
}

void checkpoint_disposition(struct checkpoint *c, const struct disposition *d)
{
	c->dispositions =
	        grow(c->dispositions, c->disposition_count, &c->disposition_room, sizeof(*d));
	c->dispositions[c->disposition_count++] = *d;
}

void checkpoint_ledger(struct checkpoint *c, const uint8_t key[LEDGER_KEY],
                       const struct message_id *id)
{
	struct ledger_entry *entry;

	c->ledger = grow(c->ledger, c->ledger_count, &c->ledger_room, sizeof(*c->ledger));
	entry = &c->ledger[c->ledger_count++];
	memcpy(entry->key, key, LEDGER_KEY);
	entry->id = *id;
}

static bool is_empty(const struct checkpoint *c)
{
	return !c->messages && !c->from_queue;
}

void checkpoint_message(struct checkpoint *c)
{
	if (is_empty(c))
		c->since_ms = clock_mono_ms();
	c->messages++;
}

void checkpoint_queue(struct checkpoint *c)
{
	if (is_empty(c))
		c->since_ms = clock_mono_ms();
	c->from_queue = true;
}

void checkpoint_position(struct checkpoint *c, const struct spool_position *after)
{
	size_t i = 0;

	while (i < c->after_count && c->after[i].file != after->file)
		i++;
	if (i == c->after_count) {
		c->after = mem_resize(c->after, (i + 1) * sizeof(*c->after));
		c->after_count++;
	}
	c->after[i] = *after;
}

void checkpoint_beyond(struct checkpoint *c, const struct spool_record *r)
{
	c->beyond = grow(c->beyond, c->beyond_count, &c->beyond_room, sizeof(*c->beyond));
	c->beyond[c->beyond_count++] = (struct beyond) { r->after.file, r->after.offset, r->id };
}

int64_t checkpoint_age_ms(const struct checkpoint *c)
{
	return is_empty(c) ? -1 : clock_mono_ms() - c->since_ms;
}

uint64_t checkpoint_done(const struct checkpoint *c)
{
	return c->done;
}

static enum rc sync_store(struct checkpoint *c, struct err *e)
{
	struct block_list *blocks = block_list_new();
	enum rc rc = store_sync(c->parts.store, block_list_add, blocks, e);
	enum rc accounted =
	        block_list_account(&blocks, c->parts.audit, BLOCKS_NEW, rc == RC_OK ? e : NULL);

	if (rc == RC_OK)
		rc = accounted;
	if (rc == RC_OK)
		rc = audit_sync(c->parts.audit, e);
	if (rc == RC_OK)
		store_accounted(c->parts.store);
	return rc;
}

/* ---- control.db ---- */

static enum rc drop_passed(struct checkpoint *c, const struct spool_position *all, size_t count,
                           struct err *e)
{
	struct stmt *st;
	enum rc rc = db_prepare(c->parts.control, &st,
	                        "DELETE FROM spool_beyond WHERE file = ? AND position <= ?", e);

	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; rc == RC_OK && i < count; i++) {
		stmt_bind_int(st, 1, (int64_t)all[i].file);
		stmt_bind_int(st, 2, (int64_t)all[i].offset);
		rc = stmt_run(st, e);
	}
	stmt_free(&st);
	return rc;
}

static bool is_passed(const struct beyond *b, const struct spool_position *all, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (all[i].file == b->file)
			return b->offset <= all[i].offset;
	return false;
}

static enum rc put_beyond(struct checkpoint *c, const struct spool_position *all, size_t count,
                          struct err *e)
{
	struct stmt *st;
	enum rc rc = drop_passed(c, all, count, e);

	if (rc == RC_OK)
		rc = db_prepare(c->parts.control, &st,
		                "INSERT OR REPLACE INTO spool_beyond VALUES(?,?,?)", e);
	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; rc == RC_OK && i < c->beyond_count; i++) {
		const struct beyond *b = &c->beyond[i];

		if (is_passed(b, all, count))
			continue;
		stmt_bind_int(st, 1, (int64_t)b->file);
		stmt_bind_int(st, 2, (int64_t)b->offset);
		stmt_bind_blob(st, 3, slice_of(b->id.b, ID_BYTES));
		rc = stmt_run(st, e);
	}
	stmt_free(&st);
	return rc;
}

static enum rc put_positions(struct checkpoint *c, struct err *e)
{
	struct spool_position *all;
	size_t count;
	struct stmt *st;
	enum rc rc = db_exec(c->parts.control, "DELETE FROM spool_position", e);

	if (rc == RC_OK)
		rc = db_prepare(c->parts.control, &st, "INSERT INTO spool_position VALUES(?,?,?)",
		                e);
	if (rc != RC_OK)
		return rc;
	spool_positions(c->parts.spool, c->after, c->after_count, &all, &count);
	for (size_t i = 0; rc == RC_OK && i < count; i++) {
		stmt_bind_int(st, 1, (int64_t)all[i].file);
		stmt_bind_int(st, 2, (int64_t)all[i].offset);
		stmt_bind_int(st, 3, (int64_t)all[i].records);
		rc = stmt_run(st, e);
	}
	stmt_free(&st);
	if (rc == RC_OK)
		rc = put_beyond(c, all, count, e);
	free(all);
	return rc;
}

static enum rc put_newest(struct checkpoint *c, struct err *e)
{
	struct stmt *st;
	enum rc rc = db_prepare(c->parts.control, &st,
	                        "INSERT OR REPLACE INTO spool_newest VALUES(1,?)", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(st, 1, spool_newest_ms(c->parts.spool));
	rc = stmt_run(st, e);
	stmt_free(&st);
	return rc;
}

static enum rc carry_over(void *arg, const struct disposition *d, struct err *e)
{
	struct checkpoint *c = arg;

	return disposition_ended(c->parts.control, d, e);
}

static enum rc put_rows(struct checkpoint *c, struct err *e)
{
	enum rc rc = RC_OK;
	size_t told;

	for (size_t i = 0; rc == RC_OK && i < c->disposition_count; i++)
		rc = disposition_put(c->parts.control, &c->dispositions[i], e);
	for (size_t i = 0; rc == RC_OK && i < c->ledger_count; i++)
		rc = ledger_put(c->parts.control, &c->ledger[i], e);
	if (rc == RC_OK && c->from_queue)
		rc = queue_tell(c->parts.queue, TOLD_AT_ONCE, carry_over, c, &told, e);
	if (rc == RC_OK)
		rc = put_positions(c, e);
	if (rc == RC_OK)
		rc = put_newest(c, e);
	return rc == RC_OK && !c->parts.keep_anchor
	               ? anchor_put(c->parts.control, c->parts.audit, e)
	               : rc;
}

static enum rc write_control(struct checkpoint *c, struct err *e)
{
	enum rc rc = db_begin(c->parts.control, e);

	return rc == RC_OK ? db_end(c->parts.control, put_rows(c, e), e) : rc;
}

/* The queue forgets what has ended once the spool has moved on: what comes from there again it
 * knows. */
static enum rc move_on(struct checkpoint *c, struct err *e)
{
	enum rc rc = write_control(c, e);

	for (size_t i = 0; rc == RC_OK && i < c->after_count; i++)
		rc = spool_done(c->parts.spool, &c->after[i], e);
	if (!c->parts.queue)
		return rc;
	if (rc == RC_OK)
		return queue_told(c->parts.queue, e);
	queue_not_told(c->parts.queue);
	return rc;
}

enum rc checkpoint_write(struct checkpoint *c, struct err *e)
{
	enum rc rc = sync_store(c, e);

	if (rc == RC_OK)
		rc = index_commit(c->parts.index, e);
	if (rc == RC_OK && c->parts.queue)
		rc = queue_land(c->parts.queue, e);
	if (rc == RC_OK)
		rc = move_on(c, e);
	if (rc != RC_OK)
		return err_in(e, "checkpoint");
	c->done += c->messages;
	checkpoint_forget(c);
	return RC_OK;
}

void checkpoint_forget(struct checkpoint *c)
{
	c->messages = 0;
	c->from_queue = false;
	c->disposition_count = 0;
	c->ledger_count = 0;
	c->after_count = 0;
	c->beyond_count = 0;
}

/* ---- tables ---- */

enum rc pipeline_prepare(struct db *control, struct err *e)
{
	return db_exec(
	        control,
	        "CREATE TABLE IF NOT EXISTS spool_position ("
	        " file INTEGER PRIMARY KEY, position INTEGER NOT NULL, records INTEGER NOT NULL)"
	        " STRICT;"
	        "CREATE TABLE IF NOT EXISTS spool_beyond ("
	        " file INTEGER NOT NULL, position INTEGER NOT NULL, id BLOB NOT NULL,"
	        " PRIMARY KEY (file, position)) STRICT, WITHOUT ROWID;"
	        "CREATE TABLE IF NOT EXISTS spool_newest ("
	        " one INTEGER PRIMARY KEY CHECK (one = 1), received_ms INTEGER NOT NULL) STRICT;",
	        e);
}

enum rc pipeline_newest(struct db *control, int64_t *ms, struct err *e)
{
	*ms = 0;
	return db_int(control, "SELECT received_ms FROM spool_newest", 0, ms, e);
}

enum rc pipeline_positions(struct db *control, struct spool_position **out, size_t *count,
                           struct err *e)
{
	struct stmt *st;
	enum rc rc =
	        db_prepare(control, &st, "SELECT file, position, records FROM spool_position", e);

	*out = NULL;
	*count = 0;
	if (rc != RC_OK)
		return rc;
	while ((rc = stmt_step(st, e)) == RC_OK) {
		*out = mem_resize(*out, (*count + 1) * sizeof(**out));
		(*out)[(*count)++] = (struct spool_position) { (uint64_t)stmt_int(st, 0),
			                                       (uint64_t)stmt_int(st, 1),
			                                       (uint64_t)stmt_int(st, 2) };
	}
	stmt_free(&st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc checkpoint_beyond_read(struct db *control, struct beyond **out, size_t *count,
                               struct err *e)
{
	struct stmt *st;
	size_t room = 0;
	enum rc rc = db_prepare(
	        control, &st, "SELECT file, position, id FROM spool_beyond ORDER BY file, position",
	        e);

	*out = NULL;
	*count = 0;
	if (rc != RC_OK)
		return rc;
	while ((rc = stmt_step(st, e)) == RC_OK) {
		struct slice id = stmt_blob(st, 2);
		struct beyond *b;

		*out = grow(*out, *count, &room, sizeof(**out));
		b = &(*out)[(*count)++];
		*b = (struct beyond) { .file = (uint64_t)stmt_int(st, 0),
			               .offset = (uint64_t)stmt_int(st, 1) };
		memcpy(b->id.b, id.at, MIN_OF(id.len, (size_t)ID_BYTES));
	}
	stmt_free(&st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}
