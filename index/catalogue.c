#include "index/index_parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "store/crypt.h"

/* Derived: files and key ring say which shards there are, and each says the rest about itself. The
 * table spares a start the opening of every sealed shard. */
static const char schema[] =
        "CREATE TABLE IF NOT EXISTS shard("
        "archive INTEGER NOT NULL, number INTEGER NOT NULL, key INTEGER NOT NULL,"
        "sealed INTEGER NOT NULL, replaces INTEGER NOT NULL, created_ms INTEGER NOT NULL,"
        "messages INTEGER NOT NULL, not_indexed INTEGER NOT NULL, problems INTEGER NOT NULL,"
        "received_low INTEGER NOT NULL, received_high INTEGER NOT NULL,"
        "sent_low INTEGER, sent_high INTEGER, root BLOB,"
        "PRIMARY KEY(archive, number)) STRICT;"
        /* Archives whose index is not whole; 0: all. */
        "CREATE TABLE IF NOT EXISTS rebuilding(archive INTEGER PRIMARY KEY) STRICT";

enum rc catalogue_put(struct index *ix, struct shard *s, struct err *e)
{
	uint8_t root[32];
	struct stmt *stmt;
	enum rc rc = RC_OK;

	if (!ix->control)
		return RC_OK;
	if (s->sealed)
		rc = db_sealed_root(s->path, s->key, root, e);
	if (rc == RC_OK)
		rc = db_prepare(
		        ix->control, &stmt,
		        "INSERT OR REPLACE INTO shard VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,"
		        "?9, ?10, ?11, ?12, ?13, ?14)",
		        e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(stmt, 1, s->meta.archive);
	stmt_bind_int(stmt, 2, (int64_t)s->meta.number);
	stmt_bind_int(stmt, 3, (int64_t)s->key_id);
	stmt_bind_int(stmt, 4, s->sealed);
	stmt_bind_int(stmt, 5, (int64_t)s->meta.replaces);
	stmt_bind_int(stmt, 6, s->meta.created_ms);
	stmt_bind_int(stmt, 7, (int64_t)s->stats.messages);
	stmt_bind_int(stmt, 8, (int64_t)s->stats.not_indexed);
	stmt_bind_int(stmt, 9, (int64_t)s->stats.problems);
	stmt_bind_int(stmt, 10, s->stats.received_low);
	stmt_bind_int(stmt, 11, s->stats.received_high);
	if (s->stats.sent) {
		stmt_bind_int(stmt, 12, s->stats.sent_low);
		stmt_bind_int(stmt, 13, s->stats.sent_high);
	}
	if (s->sealed)
		stmt_bind_blob(stmt, 14, slice_of(root, sizeof(root)));
	rc = stmt_run(stmt, e);
	stmt_free(&stmt);
	return rc;
}

enum rc catalogue_drop(struct index *ix, const struct shard *s, struct err *e)
{
	struct stmt *stmt;
	enum rc rc;

	if (!ix->control)
		return RC_OK;
	rc = db_prepare(ix->control, &stmt,
	                "DELETE FROM shard WHERE archive = ?1 AND number = ?2 AND key = ?3", e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(stmt, 1, s->meta.archive);
	stmt_bind_int(stmt, 2, (int64_t)s->meta.number);
	stmt_bind_int(stmt, 3, (int64_t)s->key_id);
	rc = stmt_run(stmt, e);
	stmt_free(&stmt);
	return rc;
}

/* True when the row is that of this sealed file. */
static bool row_matches(struct shard *s, struct stmt *row)
{
	uint8_t root[32];

	return s->sealed && (uint64_t)stmt_int(row, 0) == s->key_id && stmt_int(row, 1) &&
	       db_sealed_root(s->path, s->key, root, NULL) == RC_OK &&
	       slice_equal(stmt_blob(row, 11), slice_of(root, sizeof(root)));
}

static void row_take(struct shard *s, struct stmt *row)
{
	s->meta.replaces = (uint64_t)stmt_int(row, 2);
	s->meta.created_ms = stmt_int(row, 3);
	s->stats.messages = (uint64_t)stmt_int(row, 4);
	s->stats.not_indexed = (uint64_t)stmt_int(row, 5);
	s->stats.problems = (uint64_t)stmt_int(row, 6);
	s->stats.received_low = stmt_int(row, 7);
	s->stats.received_high = stmt_int(row, 8);
	s->stats.sent = !stmt_is_null(row, 9);
	s->stats.sent_low = stmt_int(row, 9);
	s->stats.sent_high = stmt_int(row, 10);
}

/* RC_NOTFOUND: no row of the table tells about this file. */
static enum rc load_from_table(struct index *ix, struct shard *s, struct err *e)
{
	struct stmt *row;
	enum rc rc;

	if (!ix->control || !s->sealed)
		return RC_NOTFOUND;
	rc = db_prepare(ix->control, &row,
	                "SELECT key, sealed, replaces, created_ms, messages, not_indexed, problems,"
	                "received_low, received_high, sent_low, sent_high, root FROM shard "
	                "WHERE archive = ?1 AND number = ?2",
	                e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(row, 1, s->meta.archive);
	stmt_bind_int(row, 2, (int64_t)s->meta.number);
	rc = stmt_step(row, e);
	if (rc == RC_OK && row_matches(s, row))
		row_take(s, row);
	else if (rc == RC_OK)
		rc = RC_NOTFOUND;
	stmt_free(&row);
	return rc;
}

/* RC_NOTFOUND: the process was stopped between making the file and its tables. */
static enum rc check_born(struct shard *s, struct err *e)
{
	struct db *db;
	int64_t tables = 0;
	enum rc rc = db_open(&db, s->path, s->key, DB_WRITE, e);

	if (rc == RC_OK)
		rc = db_int(db, "SELECT count(*) FROM sqlite_schema", 0, &tables, e);
	db_close(&db);
	return rc == RC_OK && tables == 0 ? RC_NOTFOUND : rc;
}

static enum rc load_from_file(struct index *ix, struct shard *s, struct err *e)
{
	struct shard_meta meta;
	struct conn *c = NULL;
	enum rc rc = s->sealed ? RC_OK : check_born(s, e);

	if (rc == RC_OK)
		rc = conn_open(&c, s->path, s->key, s->sealed, DB_WRITE, e);
	if (rc == RC_OK)
		rc = conn_meta(c, &meta, e);
	if (rc == RC_OK && (meta.archive != s->meta.archive || meta.number != s->meta.number))
		rc = err_set(e, RC_CORRUPT, "%s is shard %u/%08llu", s->path, meta.archive,
		             (unsigned long long)meta.number);
	if (rc == RC_OK) {
		s->meta = meta;
		rc = conn_stats(c, &s->stats, e);
	}
	conn_close(&c);
	return rc == RC_OK ? catalogue_put(ix, s, e) : rc;
}

/* ---- what is there ---- */

/* The shard keys of the ring. */
struct keys {
	struct key_info *list;
	size_t count;
};

static enum rc keep_key(void *arg, const struct key_info *k)
{
	struct keys *keys = arg;

	if (k->kind != KEY_SHARD || k->state != KEY_LIVE)
		return RC_OK;
	keys->list = mem_resize(keys->list, (keys->count + 1) * sizeof(*keys->list));
	keys->list[keys->count++] = *k;
	return RC_OK;
}

struct folder {
	struct index *ix;
	const struct keys *keys;
	uint32_t archive;
	const char *path;
};

/* "00000012.db" or "00000012.shard". */
static bool name_parse(const char *name, uint64_t *number, bool *sealed)
{
	struct slice rest;
	struct slice digits = slice_cut(slice_str(name), '.', &rest);

	*sealed = slice_equal(rest, slice_str("shard"));
	return digits.len >= 8 && slice_to_u64(digits, number) &&
	       (*sealed || slice_equal(rest, slice_str("db")));
}

/* What an interrupted seal or rewrite left behind. */
static bool is_scratch(const char *name)
{
	static const char *const tails[] = { ".tmp", ".new", ".build", ".build-wal", ".tmp-wal" };

	for (size_t i = 0; i < COUNT(tails); i++)
		if (slice_ends_nocase(slice_str(name), slice_str(tails[i])))
			return true;
	return false;
}

static const struct key_info *key_of(const struct keys *keys, uint32_t archive, uint64_t number)
{
	const struct key_info *found = NULL;

	/* The newest, should a number have been given twice. */
	for (size_t i = 0; i < keys->count; i++)
		if (keys->list[i].archive == archive && keys->list[i].object == number &&
		    (!found || keys->list[i].id > found->id))
			found = &keys->list[i];
	return found;
}

/* A shard that can't be read is listed all the same: searches then say that it is damaged, and a
 * rebuild destroys its key. Its range is unknown, so every search asks it. */
static void list_damaged(struct shard *s, const struct err *e)
{
	log_error("%s", e->text);
	s->stats = (struct shard_stats) { 0 };
	s->damaged = true;
	shard_list(s);
}

static enum rc load_file(struct folder *f, uint64_t number, bool sealed, struct err *e)
{
	const struct key_info *k = key_of(f->keys, f->archive, number);
	struct shard_meta meta = { .archive = f->archive, .number = number };
	struct shard *s;
	enum rc rc;

	f->ix->last_number = MAX_OF(f->ix->last_number, number);
	s = shard_new(f->ix, &meta, sealed);
	if (!k && keyring_lost(f->ix->kr)) {
		(void)err_set(e, RC_CORRUPT, "%s: its key is lost: reindex", s->path);
		s->key_lost = true;
		list_damaged(s, e);
		return RC_OK;
	}
	if (!k) {
		s->remove_file = true; /* its key was destroyed, and it with it */
		shard_drop(s);
		return RC_OK;
	}
	s->key_id = k->id;
	rc = keyring_get(f->ix->kr, k->id, s->key, e);
	if (rc == RC_OK)
		rc = load_from_table(f->ix, s, e);
	if (rc == RC_NOTFOUND)
		rc = load_from_file(f->ix, s, e);
	if (rc == RC_CORRUPT || rc == RC_CRYPTO || rc == RC_INVALID) {
		list_damaged(s, e);
		return RC_OK;
	}
	s->remove_file = rc == RC_NOTFOUND;
	if (rc == RC_NOTFOUND) /* nothing was ever in it */
		rc = catalogue_drop(f->ix, s, e) == RC_OK ? RC_NOTFOUND : e->code;
	if (rc == RC_OK)
		shard_list(s);
	else
		shard_drop(s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc load_name(void *arg, const char *name, struct err *e)
{
	struct folder *f = arg;
	uint64_t number;
	bool sealed;
	char *path;
	char *other;
	enum rc rc = RC_OK;

	if (is_scratch(name)) {
		path = path_join(f->path, name);
		rc = file_remove(path, e);
		free(path);
		return rc == RC_NOTFOUND ? RC_OK : rc;
	}
	if (!name_parse(name, &number, &sealed))
		return RC_OK;
	other = shard_file(f->ix, f->archive, number, true);
	path = shard_file(f->ix, f->archive, number, false);
	/* A sealed file is whole when it has its name: the open one is of no use any more. */
	if (!sealed && file_exists(other))
		rc = db_remove(path, e);
	else
		rc = load_file(f, number, sealed, e);
	free(path);
	free(other);
	return rc;
}

struct load {
	struct index *ix;
	struct keys keys;
};

static enum rc load_folder(void *arg, const char *name, struct err *e)
{
	struct load *l = arg;
	uint64_t archive;
	struct folder f = { .ix = l->ix, .keys = &l->keys };
	char *path;
	enum rc rc;

	if (!slice_to_u64(slice_str(name), &archive) || archive == 0 || archive > UINT32_MAX)
		return RC_OK;
	path = path_join(l->ix->dir, name);
	f.archive = (uint32_t)archive;
	f.path = path;
	rc = dir_list(path, load_name, &f, e);
	free(path);
	return rc;
}

/* A rewrite whose old shard was not destroyed yet: the new one counts. */
static void mark_replaced(struct index *ix)
{
	for (struct shard *s = ix->shards; s; s = s->next)
		for (struct shard *old = ix->shards; old && s->meta.replaces; old = old->next)
			if (old->meta.archive == s->meta.archive &&
			    old->meta.number == s->meta.replaces)
				shard_set_dead(old);
}

/* A file is removed after its key is destroyed: one that is gone before it was lost, and what was
 * in it is not found any more. */
static enum rc list_missing(struct index *ix, uint32_t archive, uint64_t number, uint64_t key_id,
                            bool sealed, struct err *e)
{
	struct shard_meta meta = { .archive = archive, .number = number };
	struct key_info info;
	struct shard *s;
	enum rc rc = keyring_info(ix->kr, key_id, &info, e);

	if (rc == RC_NOTFOUND || (rc == RC_OK && info.state != KEY_LIVE))
		return RC_OK;
	if (rc != RC_OK)
		return rc;
	s = shard_new(ix, &meta, sealed);
	s->key_id = key_id;
	(void)err_set(e, RC_CORRUPT, "%s is missing: reindex", s->path);
	list_damaged(s, e);
	return RC_OK;
}

static enum rc list_all_missing(struct index *ix, struct err *e)
{
	struct stmt *row;
	enum rc rc = db_prepare(ix->control, &row,
	                        "SELECT archive, number, key, sealed FROM shard WHERE "
	                        "(archive, number) NOT IN (SELECT archive, number FROM temp.there)",
	                        e);

	if (rc != RC_OK)
		return rc;
	while ((rc = stmt_step(row, e)) == RC_OK) {
		rc = list_missing(ix, (uint32_t)stmt_int(row, 0), (uint64_t)stmt_int(row, 1),
		                  (uint64_t)stmt_int(row, 2), stmt_int(row, 3) != 0, e);
		if (rc != RC_OK)
			break;
	}
	stmt_free(&row);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc fill_there(struct index *ix, struct err *e)
{
	struct stmt *add = NULL;
	enum rc rc = db_exec(ix->control, "DELETE FROM temp.there", e);

	if (rc == RC_OK)
		rc = db_prepare(ix->control, &add, "INSERT INTO temp.there VALUES(?1, ?2)", e);
	for (struct shard *s = ix->shards; s && rc == RC_OK; s = s->next) {
		stmt_bind_int(add, 1, s->meta.archive);
		stmt_bind_int(add, 2, (int64_t)s->meta.number);
		rc = stmt_run(add, e);
	}
	stmt_free(&add);
	return rc;
}

/* Rows of files that are gone: their shards were destroyed, or are missing. */
static enum rc settle_rows(struct index *ix, struct err *e)
{
	enum rc rc = db_exec(ix->control, "CREATE TEMP TABLE there(archive, number)", e);

	if (rc == RC_OK)
		rc = fill_there(ix, e);
	if (rc == RC_OK)
		rc = list_all_missing(ix, e);
	if (rc == RC_OK)
		rc = fill_there(ix, e);
	if (rc == RC_OK)
		rc = db_exec(ix->control,
		             "DELETE FROM shard WHERE (archive, number) NOT IN "
		             "(SELECT archive, number FROM temp.there); DROP TABLE temp.there",
		             e);
	return rc;
}

/* ---- rebuilds ---- */

bool catalogue_rebuilding(struct index *ix, uint32_t archive)
{
	bool found = false;

	lock_index(ix);
	for (size_t i = 0; i < ix->rebuilding_count; i++)
		found = found || ix->rebuilding[i] == 0 || ix->rebuilding[i] == archive;
	unlock_index(ix);
	return found;
}

bool index_rebuild_left(struct index *ix, uint32_t *archive)
{
	bool left;

	lock_index(ix);
	left = ix->rebuilding_count > 0;
	*archive = left ? ix->rebuilding[0] : 0;
	unlock_index(ix);
	return left;
}

static void note_rebuilding(struct index *ix, uint32_t archive)
{
	lock_index(ix);
	ix->rebuilding =
	        mem_resize(ix->rebuilding, (ix->rebuilding_count + 1) * sizeof(*ix->rebuilding));
	ix->rebuilding[ix->rebuilding_count++] = archive;
	unlock_index(ix);
}

static enum rc load_rebuilding(struct index *ix, struct err *e)
{
	struct stmt *row;
	enum rc rc = db_prepare(ix->control, &row, "SELECT archive FROM rebuilding", e);

	if (rc != RC_OK)
		return rc;
	while ((rc = stmt_step(row, e)) == RC_OK)
		note_rebuilding(ix, (uint32_t)stmt_int(row, 0));
	stmt_free(&row);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc change_rebuilding(struct index *ix, const char *sql, uint32_t archive, struct err *e)
{
	struct stmt *change;
	enum rc rc;

	if (!ix->control)
		return RC_OK;
	rc = db_prepare(ix->control, &change, sql, e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(change, 1, archive);
	rc = stmt_run(change, e);
	stmt_free(&change);
	return rc;
}

enum rc index_rebuild_begin(struct index *ix, uint32_t archive, struct err *e)
{
	enum rc rc =
	        change_rebuilding(ix, "INSERT OR IGNORE INTO rebuilding VALUES(?1)", archive, e);

	if (rc == RC_OK)
		note_rebuilding(ix, archive);
	return rc;
}

enum rc index_rebuild_end(struct index *ix, uint32_t archive, struct err *e)
{
	enum rc rc = change_rebuilding(ix, "DELETE FROM rebuilding WHERE archive = ?1 OR ?1 = 0",
	                               archive, e);
	size_t left = 0;

	if (rc != RC_OK)
		return rc;
	lock_index(ix);
	for (size_t i = 0; i < ix->rebuilding_count && archive != 0; i++)
		if (ix->rebuilding[i] != archive)
			ix->rebuilding[left++] = ix->rebuilding[i];
	ix->rebuilding_count = left;
	unlock_index(ix);
	return RC_OK;
}

enum rc catalogue_load(struct index *ix, struct err *e)
{
	struct load l = { .ix = ix };
	enum rc rc = keyring_each(ix->kr, keep_key, &l.keys);

	if (rc == RC_OK && ix->control)
		rc = db_exec(ix->control, schema, e);
	for (size_t i = 0; i < l.keys.count; i++)
		ix->last_number = MAX_OF(ix->last_number, l.keys.list[i].object);
	if (rc == RC_OK)
		rc = dir_list(ix->dir, load_folder, &l, e);
	if (rc == RC_OK && ix->control)
		rc = settle_rows(ix, e);
	if (rc == RC_OK)
		mark_replaced(ix);
	if (rc == RC_OK && ix->control)
		rc = load_rebuilding(ix, e);
	free(l.keys.list);
	return rc;
}
