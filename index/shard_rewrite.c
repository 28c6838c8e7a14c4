#include "index/shard.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/log.h"
#include "store/crypt.h"

/*
 * FTS5 can't take messages out for good, and a contentless table has no text to index again. But
 * its vocabulary lists every term with document, column and position. It comes term by term;
 * documents are written one by one. So the list is dealt into buckets of neighbouring documents,
 * which are tables rows of the new (encrypted) file, and each bucket is then sorted in memory.
 */

#define BUCKET_WORDS                                                                               \
	(1u << 20) /* positions in a bucket, about; a bucket has one document at least */
#define FLUSH_BYTES 131072u
#define PIECE_BYTES (FLUSH_BYTES + 1024)

struct bucket {
	size_t first; /* of `kept`; it ends where the next begins */
	struct buf part;
	uint32_t parts;
};

/* One term at one place. */
struct instance {
	uint32_t doc; /* of `kept` */
	uint32_t position;
	uint8_t column;
	uint8_t len;
	const uint8_t *term;
};

struct rewrite {
	struct conn *from;
	struct conn *to;
	struct db *from_db;
	struct db *to_db;
	const int64_t *gone;
	size_t gone_count;
	int64_t *kept;
	size_t kept_count;
	struct bucket *bucket;
	size_t buckets;
	struct stmt *put_part;
	/* Few go: the engine's index is copied, their words are taken out of it, and it is merged
	 * into one piece without them. Else the words of those that stay are written anew. `kept`
	 * are those whose words are dealt: the former or the latter. */
	bool few;
};

static int compare_numbers(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a;
	int64_t y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static bool find_number(const int64_t *numbers, size_t count, int64_t n, size_t *out)
{
	const int64_t *found =
	        count ? bsearch(&n, numbers, count, sizeof(n), compare_numbers) : NULL;

	if (found && out)
		*out = (size_t)(found - numbers);
	return found != NULL;
}

/* Positions of a document: SQLite's variable-length numbers, one a column. */
static uint64_t words_in(struct slice sizes)
{
	uint64_t sum = 0;
	uint64_t n = 0;

	for (size_t i = 0; i < sizes.len; i++) {
		n = n << 7 | (sizes.at[i] & 0x7f);
		if (sizes.at[i] & 0x80)
			continue;
		sum += n;
		n = 0;
	}
	return sum;
}

static void keep(struct rewrite *r, int64_t n, uint64_t words, uint64_t *filled)
{
	if (r->buckets == 0 || *filled + words > BUCKET_WORDS) {
		struct bucket *b;

		r->bucket = mem_resize(r->bucket, (r->buckets + 1) * sizeof(*r->bucket));
		b = &r->bucket[r->buckets++];
		*b = (struct bucket) { .first = r->kept_count };
		buf_init(&b->part, PIECE_BYTES);
		*filled = 0;
	}
	*filled += words;
	if ((r->kept_count & (r->kept_count - 1)) == 0) /* room for the next power of two */
		r->kept = mem_resize(r->kept,
		                     MAX_OF(r->kept_count * 2, (size_t)1) * sizeof(*r->kept));
	r->kept[r->kept_count++] = n;
}

static enum rc choose_rows(struct rewrite *r, struct err *e)
{
	struct stmt *s;
	uint64_t filled = 0;
	enum rc rc = db_prepare(r->from_db, &s,
	                        "SELECT n, (SELECT sz FROM fts_docsize WHERE id = n) "
	                        "FROM message ORDER BY n",
	                        e);

	if (rc != RC_OK)
		return rc;
	while ((rc = stmt_step(s, e)) == RC_OK)
		if (find_number(r->gone, r->gone_count, stmt_int(s, 0), NULL) == r->few)
			keep(r, stmt_int(s, 0), words_in(stmt_blob(s, 1)), &filled);
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* ---- rows ---- */

static const char row_types[] = "iiblniibtttttttttttt"; /* b blob, t text, n number or NULL */

static void copy_column(struct stmt *to, struct stmt *from, int i)
{
	if (row_types[i] == 'b')
		stmt_bind_blob(to, i + 1, stmt_blob(from, i));
	else if (row_types[i] == 't')
		stmt_bind_text(to, i + 1, stmt_text(from, i));
	else if (row_types[i] == 'n' && stmt_is_null(from, i))
		stmt_bind_null(to, i + 1);
	else
		stmt_bind_int(to, i + 1, stmt_int(from, i));
}

static enum rc copy_rows(struct rewrite *r, struct err *e)
{
	struct stmt *from = NULL;
	struct stmt *to = NULL;
	enum rc rc = db_prepare(r->from_db, &from, "SELECT * FROM message ORDER BY n", e);

	if (rc == RC_OK)
		rc = db_prepare(
		        r->to_db, &to,
		        "INSERT INTO message VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,"
		        "?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
		        e);
	while (rc == RC_OK && (rc = stmt_step(from, e)) == RC_OK) {
		if (find_number(r->gone, r->gone_count, stmt_int(from, 0), NULL))
			continue;
		for (int i = 0; row_types[i]; i++)
			copy_column(to, from, i);
		rc = stmt_run(to, e);
	}
	stmt_free(&from);
	stmt_free(&to);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* ---- the engine's index as it is ---- */

static void copy_value(struct stmt *to, struct stmt *from, char type, int i)
{
	struct slice bytes;

	if (type != 'b') {
		stmt_bind_int(to, i + 1, stmt_int(from, i));
		return;
	}
	bytes = stmt_blob(from, i);
	stmt_bind_blob(to, i + 1, bytes.len ? bytes : slice_of("", 0)); /* not NULL */
}

static enum rc copy_table(struct rewrite *r, const char *types, const char *get, const char *put,
                          struct err *e)
{
	struct stmt *from = NULL;
	struct stmt *to = NULL;
	enum rc rc = db_prepare(r->from_db, &from, get, e);

	if (rc == RC_OK)
		rc = db_prepare(r->to_db, &to, put, e);
	while (rc == RC_OK && (rc = stmt_step(from, e)) == RC_OK) {
		for (int i = 0; types[i]; i++)
			copy_value(to, from, types[i], i);
		rc = stmt_run(to, e);
	}
	stmt_free(&from);
	stmt_free(&to);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc copy_engine(struct rewrite *r, struct err *e)
{
	enum rc rc;

	/* The tables behind `fts` may be written to in this scratch file, before it is first asked.
	 */
	MUST(sqlite3_db_config(db_sqlite(r->to_db), SQLITE_DBCONFIG_DEFENSIVE, 0, NULL) ==
	     SQLITE_OK);
	rc = copy_table(r, "ib", "SELECT id, block FROM fts_data ORDER BY id",
	                "INSERT OR REPLACE INTO fts_data VALUES(?1, ?2)", e);

	if (rc == RC_OK)
		rc = copy_table(r, "ibi", "SELECT segid, term, pgno FROM fts_idx",
		                "INSERT OR REPLACE INTO fts_idx VALUES(?1, ?2, ?3)", e);
	if (rc == RC_OK)
		rc = copy_table(r, "ib", "SELECT id, sz FROM fts_docsize ORDER BY id",
		                "INSERT INTO fts_docsize VALUES(?1, ?2)", e);
	return rc;
}

/* ---- words into buckets ---- */

static struct bucket *bucket_of(struct rewrite *r, size_t doc)
{
	size_t low = 0;
	size_t high = r->buckets;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (r->bucket[mid].first <= doc)
			low = mid;
		else
			high = mid;
	}
	return &r->bucket[low];
}

static enum rc flush(struct rewrite *r, struct bucket *b, struct err *e)
{
	int64_t number = (int64_t)(b - r->bucket) << 32 | b->parts;
	enum rc rc;

	if (b->part.len == 0)
		return RC_OK;
	stmt_bind_int(r->put_part, 1, number);
	stmt_bind_blob(r->put_part, 2, buf_slice(&b->part));
	rc = stmt_run(r->put_part, e);
	b->parts++;
	buf_clear(&b->part);
	return rc;
}

static enum rc deal(struct rewrite *r, size_t doc, uint8_t column, uint32_t position,
                    struct slice term, struct err *e)
{
	struct bucket *b = bucket_of(r, doc);
	uint8_t head[10];
	enum rc rc;

	if (term.len == 0 || term.len > 255)
		return err_set(e, RC_CORRUPT, "%s: a term of %zu bytes", db_path(r->from_db),
		               term.len);
	put_le32(head, (uint32_t)doc);
	put_le32(head + 4, position);
	head[8] = column;
	head[9] = (uint8_t)term.len;
	rc = buf_add(&b->part, slice_of(head, sizeof(head)));
	if (rc == RC_OK)
		rc = buf_add(&b->part, term);
	if (rc == RC_OK && b->part.len >= FLUSH_BYTES)
		return flush(r, b, e);
	return rc == RC_OK ? rc : err_set(e, rc, "%s: out of memory", db_path(r->from_db));
}

static int column_of(struct slice name)
{
	for (int i = 0; i < DOC_FIELDS; i++)
		if (slice_equal(name, slice_str(shard_columns[i])))
			return i;
	return -1;
}

static enum rc deal_all(struct rewrite *r, struct err *e)
{
	struct stmt *s;
	size_t doc;
	enum rc rc = db_exec(r->from_db,
	                     "CREATE VIRTUAL TABLE IF NOT EXISTS temp.instance USING "
	                     "fts5vocab(main, fts, instance)",
	                     e);

	/* The range is cheap to ask for, and of one day or one message it leaves little. */
	if (rc == RC_OK)
		rc = db_prepare(r->from_db, &s,
		                "SELECT doc, col, offset, term FROM temp.instance "
		                "WHERE doc BETWEEN ?1 AND ?2",
		                e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, r->kept_count ? r->kept[0] : 0);
	stmt_bind_int(s, 2, r->kept_count ? r->kept[r->kept_count - 1] : -1);
	while ((rc = stmt_step(s, e)) == RC_OK) {
		int column = column_of(stmt_text(s, 1));

		if (!find_number(r->kept, r->kept_count, stmt_int(s, 0), &doc))
			continue;
		if (column < 0)
			rc = err_set(e, RC_CORRUPT, "%s: a word in no column", db_path(r->from_db));
		else
			rc = deal(r, doc, (uint8_t)column, (uint32_t)stmt_int(s, 2),
			          stmt_text(s, 3), e);
		if (rc != RC_OK)
			break;
	}
	stmt_free(&s);
	rc = rc == RC_NOTFOUND ? RC_OK : rc;
	for (size_t i = 0; rc == RC_OK && i < r->buckets; i++)
		rc = flush(r, &r->bucket[i], e);
	return rc;
}

/* ---- words out of buckets ---- */

static int compare_instances(const void *a, const void *b)
{
	const struct instance *x = a;
	const struct instance *y = b;

	if (x->doc != y->doc)
		return x->doc < y->doc ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return (x->position > y->position) - (x->position < y->position);
}

static enum rc load(struct rewrite *r, struct bucket *b, struct buf *bytes, struct err *e)
{
	struct stmt *s;
	int64_t first = (int64_t)(b - r->bucket) << 32;
	enum rc rc = db_prepare(r->to_db, &s,
	                        "SELECT bytes FROM part WHERE number >= ?1 AND number < ?2 "
	                        "ORDER BY number",
	                        e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, first);
	stmt_bind_int(s, 2, first + b->parts);
	while ((rc = stmt_step(s, e)) == RC_OK)
		if (buf_add(bytes, stmt_blob(s, 0)) != RC_OK) {
			rc = err_set(e, RC_LIMIT, "%s: out of memory", db_path(r->from_db));
			break;
		}
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static struct instance *sorted(struct slice bytes, size_t *count)
{
	struct reader rd = reader_over(bytes);
	struct instance *list;
	size_t n = 0;

	for (; rd.rest.len >= 10; n++)
		rd.rest = slice_from(rd.rest, 10u + rd.rest.at[9]);
	list = mem_array(n + 1, sizeof(*list));
	rd = reader_over(bytes);
	for (size_t i = 0; i < n; i++) {
		list[i].doc = read_u32(&rd);
		list[i].position = read_u32(&rd);
		list[i].column = read_u8(&rd);
		list[i].len = read_u8(&rd);
		list[i].term = read_bytes(&rd, list[i].len).at;
	}
	MUST(rd.ok); /* we wrote it, and it was authenticated */
	qsort(list, n, sizeof(*list), compare_instances);
	*count = n;
	return list;
}

/* Writes the words of document `doc`, whose instances begin at `at`; returns where they end. */
static enum rc put_doc(struct rewrite *r, struct stmt *s, uint32_t doc, const struct instance *list,
                       size_t count, size_t *at, struct buf lists[DOC_FIELDS], struct err *e)
{
	uint32_t last[DOC_FIELDS];
	enum rc rc = RC_OK;

	for (int f = 0; f < DOC_FIELDS; f++) {
		buf_clear(&lists[f]);
		last[f] = UINT32_MAX;
	}
	for (; rc == RC_OK && *at < count && list[*at].doc == doc; ++*at) {
		const struct instance *x = &list[*at];

		rc = fts_raw_add(&lists[x->column], slice_of(x->term, x->len), x->position,
		                 &last[x->column]);
	}
	if (rc != RC_OK)
		return err_set(e, rc, "%s: the words of a row have a gap", db_path(r->from_db));
	stmt_bind_int(s, 1, r->kept[doc]);
	for (int f = 0; f < DOC_FIELDS; f++)
		stmt_bind_text(s, f + 2, lists[f].at ? buf_slice(&lists[f]) : slice_of("", 0));
	return stmt_run(s, e);
}

static enum rc put_bucket(struct rewrite *r, struct bucket *b, struct stmt *s,
                          struct buf lists[DOC_FIELDS], struct err *e)
{
	size_t end = b == &r->bucket[r->buckets - 1] ? r->kept_count : b[1].first;
	struct instance *list;
	struct buf bytes;
	size_t count;
	size_t at = 0;
	enum rc rc;

	buf_init(&bytes, SIZE_MAX / 8);
	rc = load(r, b, &bytes, e);
	if (rc != RC_OK) {
		buf_free(&bytes);
		return rc;
	}
	list = sorted(buf_slice(&bytes), &count);
	for (size_t doc = b->first; rc == RC_OK && doc < end; doc++)
		rc = put_doc(r, s, (uint32_t)doc, list, count, &at, lists, e);
	free(list);
	buf_free(&bytes);
	return rc;
}

#define COLUMNS                                                                                    \
	"body, subject, \"from\", \"to\", cc, bcc, envelope_from, envelope_to, filename, "         \
	"attachment, headers"
#define VALUES "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12"

static enum rc put_words(struct rewrite *r, struct err *e)
{
	struct buf lists[DOC_FIELDS];
	struct stmt *s;
	enum rc rc = db_prepare(r->to_db, &s,
	                        r->few ? "INSERT INTO fts(fts, rowid, " COLUMNS
	                                 ") VALUES('delete', " VALUES ")"
	                               : "INSERT INTO fts(rowid, " COLUMNS ") VALUES(" VALUES ")",
	                        e);

	if (rc != RC_OK)
		return rc;
	for (int f = 0; f < DOC_FIELDS; f++)
		buf_init(&lists[f], SIZE_MAX / 8);
	for (size_t i = 0; rc == RC_OK && i < r->buckets; i++)
		rc = put_bucket(r, &r->bucket[i], s, lists, e);
	for (int f = 0; f < DOC_FIELDS; f++)
		buf_free(&lists[f]);
	stmt_free(&s);
	return rc;
}

/* ---- the whole ---- */

/* Words that were taken out are gone for good where no older piece is left that they were taken
 * from. */
static enum rc check_merged(struct rewrite *r, struct err *e)
{
	int64_t pieces;
	enum rc rc = db_int(r->to_db, "SELECT count(DISTINCT segid) FROM fts_idx", 0, &pieces, e);

	if (rc == RC_OK && pieces > 1)
		return err_set(e, RC_CORRUPT, "%s: the engine keeps %lld pieces after a merge",
		               db_path(r->from_db), (long long)pieces);
	return rc;
}

static enum rc fill(struct rewrite *r, struct err *e)
{
	bool ordered;
	bool crowded = false;
	enum rc rc = conn_ordered(r->from, &ordered, e);

	if (rc == RC_OK)
		rc = conn_crowded(r->from, &crowded, e);
	if (rc == RC_OK)
		rc = db_begin(r->to_db, e);
	if (rc == RC_OK && !ordered)
		rc = conn_set_unordered(r->to, e);
	if (rc == RC_OK && crowded)
		rc = conn_set_crowded(r->to, e);
	if (rc == RC_OK)
		rc = choose_rows(r, e);
	if (rc == RC_OK)
		rc = copy_rows(r, e);
	if (rc == RC_OK && r->few)
		rc = copy_engine(r, e);
	if (rc == RC_OK)
		rc = db_exec(r->to_db, "CREATE TABLE part(number INTEGER PRIMARY KEY, bytes BLOB)",
		             e);
	if (rc == RC_OK)
		rc = db_prepare(r->to_db, &r->put_part, "INSERT INTO part VALUES(?1, ?2)", e);
	if (rc == RC_OK)
		rc = deal_all(r, e);
	if (rc == RC_OK)
		rc = put_words(r, e);
	stmt_free(&r->put_part);
	if (rc == RC_OK)
		rc = db_exec(r->to_db, "DROP TABLE part", e);
	if (rc == RC_OK)
		rc = db_commit(r->to_db, e);
	if (rc == RC_OK)
		rc = conn_optimize(r->to, e);
	return rc == RC_OK ? check_merged(r, e) : rc;
}

static void rewrite_free(struct rewrite *r)
{
	for (size_t i = 0; i < r->buckets; i++)
		buf_free(&r->bucket[i].part);
	free(r->bucket);
	free(r->kept);
}

static enum rc build(struct conn *from, struct conn *to, const int64_t *gone, size_t count,
                     const char *path, const uint8_t key[KEY_BYTES], struct err *e)
{
	struct rewrite r = { .from = from, .to = to, .gone = gone, .gone_count = count };
	int64_t rows;
	enum rc rc;

	r.from_db = conn_db(from);
	r.to_db = conn_db(to);
	rc = db_int(r.from_db, "SELECT count(*) FROM message", 0, &rows, e);
	r.few = (int64_t)count * 4 < rows;
	if (rc == RC_OK)
		rc = fill(&r, e);
	rewrite_free(&r);
	return rc == RC_OK ? db_seal(conn_db(to), path, key, e) : rc;
}

enum rc shard_rewrite(struct conn *from, const char *path, const uint8_t key[KEY_BYTES],
                      const struct shard_meta *meta, const int64_t *gone, size_t count,
                      struct err *e)
{
	char scratch[PATH_MAX];
	uint8_t scratch_key[KEY_BYTES];
	struct conn *to = NULL;
	enum rc rc;

	if ((size_t)snprintf(scratch, sizeof(scratch), "%s.build", path) >= sizeof(scratch))
		return err_set(e, RC_INVALID, "%s: the path is too long", path);
	crypt_random(scratch_key, sizeof(scratch_key));
	rc = db_remove(scratch, e);
	if (rc == RC_OK)
		rc = conn_create(&to, scratch, scratch_key, meta, e);
	/* The engine remembers of its tables what it has made: copy_engine needs one that has not.
	 */
	if (rc == RC_OK) {
		conn_close(&to);
		rc = conn_open(&to, scratch, scratch_key, false, DB_WRITE, e);
	}
	if (rc == RC_OK) {
		conn_set_raw(to, true);
		/* The scratch file is thrown away, also if the machine stops: it is never synced,
		 * and what is in its WAL stays there. */
		rc = db_exec(conn_db(to),
		             "PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0;"
		             "PRAGMA cache_size=-65536",
		             e);
		(void)sqlite3_db_config(db_sqlite(conn_db(to)), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
		                        NULL);
	}
	if (rc == RC_OK)
		rc = build(from, to, gone, count, path, key, e);
	conn_close(&to);
	crypt_wipe(scratch_key, sizeof(scratch_key));
	if (rc == RC_OK)
		return db_remove(scratch, e);
	if (db_remove(scratch, NULL) != RC_OK)
		log_warn("%s: could not be removed", scratch);
	return rc;
}
