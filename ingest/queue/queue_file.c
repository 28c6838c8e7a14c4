/* ingest/queue/queue_file.c - the files of the queue, one at a time, each under a key of its own */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "ingest/queue/queue_core.h"
#include "store/crypt.h"

#define PART_BYTES (32u << 20)

static const char schema[] =
        "CREATE TABLE IF NOT EXISTS message ("
        " number INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, received INTEGER NOT "
        "NULL,"
        " parked INTEGER NOT NULL, bytes INTEGER NOT NULL, notice INTEGER NOT NULL, state INTEGER "
        "NOT NULL,"
        " how INTEGER NOT NULL DEFAULT 0, tell INTEGER NOT NULL DEFAULT 0, kind INTEGER NOT NULL "
        "DEFAULT 0,"
        " text TEXT NOT NULL DEFAULT '', rule_set TEXT NOT NULL, version INTEGER NOT NULL, "
        "archives TEXT NOT NULL,"
        " origin BLOB NOT NULL, origin_received INTEGER NOT NULL,"
        " past TEXT, meta TEXT NOT NULL) STRICT;"
        "CREATE INDEX IF NOT EXISTS message_origin ON message (origin);"
        "CREATE INDEX IF NOT EXISTS message_origin_received ON message (origin_received);"
        "CREATE INDEX IF NOT EXISTS message_state ON message (state, number) WHERE state <> 0;"
        "CREATE INDEX IF NOT EXISTS message_tell ON message (number) WHERE tell = 1;"
        "CREATE TABLE IF NOT EXISTS body (message INTEGER PRIMARY KEY, raw BLOB NOT NULL) STRICT;"
        "CREATE TABLE IF NOT EXISTS task ("
        " number INTEGER PRIMARY KEY AUTOINCREMENT, message INTEGER NOT NULL, kind INTEGER NOT "
        "NULL,"
        " state INTEGER NOT NULL, decides INTEGER NOT NULL, destination TEXT NOT NULL, due INTEGER "
        "NOT NULL,"
        " since INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0, spec TEXT NOT NULL,"
        " reason TEXT NOT NULL DEFAULT '') STRICT;"
        "CREATE INDEX IF NOT EXISTS task_message ON task (message, number);"
        "CREATE INDEX IF NOT EXISTS task_dead ON task (due) WHERE state = 3;";

/* What a new file takes over; numbers stay, and are never given again. */
struct copied {
	const char *read;
	const char *write;
	int columns;
};

static const struct copied copies[] = {
	{ "SELECT number, id, received, parked, bytes, notice, state, how, tell, kind, text, "
	  "rule_set, version, archives, origin, origin_received, past, meta FROM message",
	  "INSERT INTO message(number, id, received, parked, bytes, notice, state, how, tell, "
	  "kind, text, rule_set, version, archives, origin, origin_received, past, meta)"
	  " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	  18 },
	{ "SELECT number, message, kind, state, decides, destination, due, since, tries, spec, "
	  "reason FROM task",
	  "INSERT INTO task VALUES(?,?,?,?,?,?,?,?,?,?,?)", 11 },
};
static const struct copied numbers = { "SELECT name, seq FROM sqlite_sequence",
	                               "INSERT INTO sqlite_sequence VALUES(?,?)", 2 };

static char *file_path(const struct queue *q, uint64_t number)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "%08llu.db", (unsigned long long)number);
	return path_join(q->dir, name);
}

struct keys_found {
	struct key_found {
		uint64_t file; /* its number */
		uint64_t key;
	} * at;
	size_t count;
};

static enum rc see_key(void *arg, const struct key_info *k)
{
	struct keys_found *f = arg;

	if (k->kind != KEY_QUEUE || k->state != KEY_LIVE)
		return RC_OK;
	f->at = mem_resize(f->at, (f->count + 1) * sizeof(*f->at));
	f->at[f->count++] = (struct key_found) { k->object, k->id };
	return RC_OK;
}

/* A rotation was cut off, or failed: as long as the older file's key lives it has everything. Of
 * two keys of one number the later one is that of the file. NULL: there is none. */
static const struct key_found *choose(const struct queue *q, const struct keys_found *f)
{
	const struct key_found *chosen = NULL;
	bool has = false;

	for (size_t i = 0; i < f->count; i++) {
		char *path = file_path(q, f->at[i].file);
		bool exists = file_exists(path);

		free(path);
		if (chosen && (has != exists ? has : f->at[i].file > chosen->file))
			continue;
		chosen = &f->at[i];
		has = exists;
	}
	return chosen;
}

/* The connections to one file. */
struct pair {
	struct db *db;
	struct db *reader;
};

static void close_pair(struct pair *p)
{
	db_close(&p->reader);
	db_close(&p->db);
}

static enum rc open_pair(const struct queue *q, uint64_t number, uint64_t key, struct pair *out,
                         struct err *e)
{
	char *path = file_path(q, number);
	uint8_t bytes[KEY_BYTES];
	enum rc rc = keyring_get(q->keys, key, bytes, e);

	if (rc == RC_OK)
		rc = db_open(&out->db, path, bytes, DB_CREATE, e);
	if (rc == RC_OK)
		rc = db_exec(out->db, schema, e);
	if (rc == RC_OK)
		rc = dir_sync(q->dir, e);
	if (rc == RC_OK)
		rc = db_open(&out->reader, path, bytes, DB_READ, e);
	crypt_wipe(bytes, sizeof(bytes));
	free(path);
	return rc;
}

static enum rc make(const struct queue *q, uint64_t number, uint64_t *key, struct pair *out,
                    struct err *e)
{
	struct key_info want = { .kind = KEY_QUEUE, .object = number };
	enum rc rc = keyring_add(q->keys, &want, key, e);

	return rc == RC_OK ? open_pair(q, number, *key, out, e) : rc;
}

static enum rc remove_file(const struct queue *q, uint64_t number, struct err *e)
{
	char *path = file_path(q, number);
	enum rc rc = db_remove(path, e);

	free(path);
	return rc;
}

/* All keys and files but the chosen one's go. */
static enum rc leave_one(struct queue *q, const struct keys_found *f,
                         const struct key_found *chosen, struct err *e)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < f->count; i++) {
		if (&f->at[i] == chosen)
			continue;
		rc = keyring_destroy(q->keys, &f->at[i].key, 1, e);
		if (rc == RC_OK && f->at[i].file != chosen->file)
			rc = remove_file(q, f->at[i].file, e);
	}
	return rc == RC_OK && chosen->file > 1 ? remove_file(q, chosen->file - 1, e) : rc;
}

static enum rc make_folder(const struct queue *q, struct err *e)
{
	char *parent = path_join(q->dir, "..");
	enum rc rc = dir_make(q->dir, e);

	if (rc == RC_OK)
		rc = dir_sync(parent, e);
	free(parent);
	return rc;
}

/* There is its key; it is gone, or a kill came between the two when it was made first. */
static void tell_if_gone(const struct queue *q)
{
	char *path = file_path(q, q->file);

	if (!file_exists(path))
		log_error("%s isn't there, though its key is: if mm has run before, what waited in "
		          "the outbound"
		          " queue is lost",
		          path);
	free(path);
}

static enum rc open_one(struct queue *q, const struct keys_found *f, struct pair *out,
                        struct err *e)
{
	const struct key_found *chosen = choose(q, f);
	enum rc rc;

	q->file = 1;
	if (!chosen)
		return make(q, q->file, &q->key, out, e);
	rc = leave_one(q, f, chosen, e);
	if (rc != RC_OK)
		return rc;
	q->file = chosen->file;
	q->key = chosen->key;
	tell_if_gone(q);
	return open_pair(q, q->file, q->key, out, e);
}

enum rc queue_file_open(struct queue *q, struct err *e)
{
	struct keys_found f = { .count = 0 };
	struct pair p = { 0 };
	enum rc rc = dir_exists(q->dir) ? RC_OK : make_folder(q, e);

	if (rc == RC_OK)
		rc = keyring_each(q->keys, see_key, &f);
	if (rc == RC_OK)
		rc = open_one(q, &f, &p, e);
	q->db = p.db; /* queue_close closes what was opened */
	q->reader = p.reader;
	free(f.at);
	return rc;
}

/* ---- rotation ---- */

static enum rc copy_row(struct stmt *from, struct stmt *to, int columns, struct err *e)
{
	for (int i = 0; i < columns; i++)
		stmt_copy(to, i + 1, from, i);
	return stmt_run(to, e);
}

/* Many bytes in one transaction would lie in the log first, and in the file then. Nobody reads what
 * is half written, as the old key lives. */
static enum rc part(struct db *to, uint64_t *bytes, struct err *e)
{
	enum rc rc;

	if (*bytes < PART_BYTES)
		return RC_OK;
	*bytes = 0;
	rc = db_commit(to, e);
	return rc == RC_OK ? db_begin(to, e) : rc;
}

static enum rc copy_table(struct db *from, struct db *to, const struct copied *what, struct err *e)
{
	uint64_t bytes = 0;
	struct stmt *read = NULL;
	struct stmt *write = NULL;
	enum rc rc = db_prepare(from, &read, what->read, e);

	if (rc == RC_OK)
		rc = db_prepare(to, &write, what->write, e);
	while (rc == RC_OK && (rc = stmt_step(read, e)) == RC_OK) {
		bytes += stmt_blob(read, what->columns - 1).len;
		rc = copy_row(read, write, what->columns, e);
		if (rc == RC_OK)
			rc = part(to, &bytes, e);
	}
	stmt_free(&read);
	stmt_free(&write);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

struct waiting {
	int64_t number;
	struct message_id id;
};

/* Those that haven't ended. */
static enum rc find_waiting(struct db *from, struct waiting **list, size_t *count, struct err *e)
{
	struct stmt *s = NULL;
	size_t room = 0;
	enum rc rc = db_prepare(from, &s, "SELECT number, id FROM message WHERE state <> 2", e);

	while (rc == RC_OK && (rc = stmt_step(s, e)) == RC_OK) {
		struct slice id = stmt_blob(s, 1);
		struct waiting *w;

		if (*count == room) {
			room = room ? 2 * room : 64;
			*list = mem_resize(*list, room * sizeof(**list));
		}
		w = &(*list)[(*count)++];
		*w = (struct waiting) { .number = stmt_int(s, 0) };
		memcpy(w->id.b, id.at, MIN_OF(id.len, (size_t)ID_BYTES));
	}
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* *bytes grows. Nothing, where they are damaged, or stayed behind before. */
static enum rc copy_body(struct stmt *read, struct stmt *write, const struct waiting *w,
                         uint64_t *bytes, struct err *e)
{
	struct err why = { 0 };
	char id[ID_TEXT + 1];
	enum rc rc;

	stmt_bind_int(read, 1, w->number);
	rc = stmt_step(read, &why);
	if (rc == RC_OK) {
		*bytes += stmt_blob(read, 1).len;
		rc = copy_row(read, write, 2, e);
		stmt_reset(read);
		return rc;
	}
	stmt_reset(read);
	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc != RC_CORRUPT)
		return err_set(e, rc, "%s", why.text);
	id_format(id, &w->id);
	log_error("message %s of the outbound queue: its bytes are damaged, and left out: %s", id,
	          why.text);
	return RC_OK;
}

/* Those of messages that have ended stay behind. */
static enum rc copy_bodies(const struct queue *q, struct db *to, struct err *e)
{
	struct waiting *list = NULL;
	size_t count = 0;
	uint64_t bytes = 0;
	struct stmt *read = NULL;
	struct stmt *write = NULL;
	enum rc rc = find_waiting(q->db, &list, &count, e);

	if (rc == RC_OK)
		rc = db_prepare(q->reader, &read, "SELECT message, raw FROM body WHERE message = ?",
		                e);
	if (rc == RC_OK)
		rc = db_prepare(to, &write, "INSERT INTO body VALUES(?,?)", e);
	for (size_t i = 0; rc == RC_OK && i < count; i++) {
		rc = copy_body(read, write, &list[i], &bytes, e);
		if (rc == RC_OK)
			rc = part(to, &bytes, e);
	}
	stmt_free(&read);
	stmt_free(&write);
	free(list);
	return rc;
}

static enum rc copy_all(const struct queue *q, struct db *to, struct err *e)
{
	struct db *from = q->db;
	enum rc rc = db_begin(to, e);

	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; rc == RC_OK && i < COUNT(copies); i++)
		rc = copy_table(from, to, &copies[i], e);
	if (rc == RC_OK)
		rc = copy_bodies(q, to, e);
	if (rc == RC_OK)
		rc = db_exec(to, "DELETE FROM sqlite_sequence", e); /* what inserting left */
	if (rc == RC_OK)
		rc = copy_table(from, to, &numbers, e);
	return db_end(to, rc, e);
}

static void switch_to(struct queue *q, uint64_t number, uint64_t key, const struct pair *fresh)
{
	for (size_t i = 0; i < SQL_COUNT; i++)
		stmt_free(&q->sql[i]);
	close_pair(&(struct pair) { q->db, q->reader });
	q->db = fresh->db;
	q->reader = fresh->reader;
	q->file = number;
	q->key = key;
	q->damaged = false;
	q->gone_count = q->gone_committed = 0; /* they weren't copied */
}

/* The old key goes before anything is written into the new file: of two live keys the older one's
 * file is the one that is read at the next start. If its destruction fails it may be gone in a
 * replica, and nobody knows which file that will be: nothing is written into either any more. */
enum rc queue_file_renew(struct queue *q, struct err *e)
{
	uint64_t old = q->file;
	struct pair fresh = { 0 };
	uint64_t key = 0;
	enum rc rc;

	if (q->broken) /* the file that would be removed may be the one whose key lives */
		return err_set(e, RC_IO, "the outbound queue could not be written anew");
	rc = remove_file(q, old + 1, e); /* of an earlier try */
	if (rc == RC_OK)
		rc = make(q, old + 1, &key, &fresh, e);
	if (rc == RC_OK)
		rc = copy_all(q, fresh.db, e);
	if (rc != RC_OK) {
		close_pair(&fresh);
		/* A key that stays would be chosen some day, or destroyed in its file's stead. */
		q->broken = key && keyring_destroy(q->keys, &key, 1, NULL) != RC_OK;
		if (!q->broken)
			(void)!remove_file(q, old + 1, NULL);
		return q->broken ? err_set(e, RC_IO,
		                           "the outbound queue's new key could not be destroyed")
		                 : rc;
	}
	rc = keyring_destroy(q->keys, &q->key, 1, e);
	if (rc != RC_OK) {
		close_pair(&fresh);
		q->broken = true;
		return err_set(e, RC_IO, "the outbound queue's old key could not be destroyed");
	}
	switch_to(q, old + 1, key, &fresh);
	return remove_file(q, old, e);
}
