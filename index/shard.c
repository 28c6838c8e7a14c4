#include "index/shard.h"

#include <stdlib.h>
#include <unicode/uchar.h>

#include "base/codec.h"
#include "index/token.h"
#include "store/crypt.h"

const char *const shard_columns[DOC_FIELDS] = {
	"body",          "subject",     "from",     "to",         "cc",      "bcc",
	"envelope_from", "envelope_to", "filename", "attachment", "headers",
};

/* The first index has hashes, since ids of messages are long and hardly compress. The second spares
 * conditions and sorts that need no text the reading of whole rows. */
static const char schema[] =
        "CREATE TABLE meta(name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;"
        "CREATE TABLE message("
        "n INTEGER PRIMARY KEY, at INTEGER NOT NULL UNIQUE, id BLOB NOT NULL,"
        "lot INTEGER NOT NULL, sent_ms INTEGER,"
        "bytes INTEGER NOT NULL, flags INTEGER NOT NULL, sha256 BLOB NOT NULL,"
        "subject TEXT NOT NULL, \"from\" TEXT NOT NULL, \"to\" TEXT NOT NULL, cc TEXT NOT NULL,"
        "bcc TEXT NOT NULL, envelope_from TEXT NOT NULL, envelope_to TEXT NOT NULL,"
        "filename TEXT NOT NULL, message_id TEXT NOT NULL, ingress TEXT NOT NULL,"
        "ip TEXT NOT NULL, problem TEXT NOT NULL) STRICT;"
        "CREATE INDEX message_msgid ON message(mm_hash(message_id));"
        "CREATE INDEX message_facts ON message(sent_ms, bytes, flags, lot);"
        "CREATE VIRTUAL TABLE fts USING fts5(body, subject, \"from\", \"to\", cc, bcc,"
        "envelope_from, envelope_to, filename, attachment, headers, content='', tokenize='mm',"
        "detail=full);"
        "INSERT INTO fts(fts, rank) VALUES('hashsize', 8388608);";

struct conn {
	struct db *db;
	struct fts *fts;
	struct stmt *find;
	struct stmt *row;
	struct stmt *place;
	struct stmt *later;
	struct stmt *is_crowded;
	struct stmt *at_place;
	bool crowded; /* rows lie at far places; false: the shard must be asked */
	struct stmt *add_row;
	struct stmt *add_words;
};

/* ---- places ---- */

#define SEQUENCE_MASK ((INT64_C(1) << ID_SEQUENCE_BITS) - 1)

int64_t shard_lowest_place(const struct message_id *id)
{
	return id_rowid(id) & ~SEQUENCE_MASK;
}

/* Never past the millisecond, so that a range of time is a range of places. */
int64_t shard_highest_place(const struct message_id *id)
{
	return id_rowid(id) | SEQUENCE_MASK;
}

/* The last of the places at and behind that which the id gives. */
static int64_t last_near(const struct message_id *id)
{
	return MIN_OF(shard_highest_place(id) - SHARD_PROBES, id_rowid(id)) + SHARD_PROBES;
}

/* Where an id may lie whose near places are taken: anywhere in its millisecond. Whoever makes up
 * ids can fill the near places of one, but not all of these. */
static void far_places(const struct message_id *id, int64_t out[SHARD_FAR])
{
	uint8_t hash[SHARD_FAR * 4];

	sha256(hash, slice_of(id->b, ID_BYTES));
	sha256(hash + 32, slice_of(hash, 32));
	for (size_t i = 0; i < SHARD_FAR; i++)
		out[i] = shard_lowest_place(id) | (get_le32(hash + i * 4) & SEQUENCE_MASK);
}

/* ---- opening ---- */

static enum rc meta_set(struct conn *c, const char *name, int64_t value, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(c->db, &s, "INSERT INTO meta(name, value) VALUES(?1, ?2)", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(name));
	stmt_bind_int(s, 2, value);
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

/* Which Unicode the words were folded by: for people, when a search is looked into. */
static int64_t unicode_version(void)
{
	UVersionInfo v;

	u_getUnicodeVersion(v);
	return v[0] * 100 + v[1];
}

static enum rc create_tables(struct conn *c, const struct shard_meta *meta, struct err *e)
{
	const struct {
		const char *name;
		int64_t value;
	} values[] = {
		{ "format", SHARD_FORMAT },          { "tokenizer", TOKENIZER_VERSION },
		{ "unicode", unicode_version() },    { "archive", meta->archive },
		{ "number", (int64_t)meta->number }, { "replaces", (int64_t)meta->replaces },
		{ "created_ms", meta->created_ms },  { "ordered", 1 },
	};
	enum rc rc = db_begin(c->db, e);

	if (rc == RC_OK)
		rc = db_exec(c->db, schema, e);
	for (size_t i = 0; rc == RC_OK && i < COUNT(values); i++)
		rc = meta_set(c, values[i].name, values[i].value, e);
	if (rc == RC_OK)
		rc = db_commit(c->db, e);
	return rc;
}

enum rc conn_create(struct conn **out, const char *path, const uint8_t key[KEY_BYTES],
                    const struct shard_meta *meta, struct err *e)
{
	struct conn *c = mem_new(sizeof(*c));
	enum rc rc = db_open(&c->db, path, key, DB_CREATE, e);

	if (rc == RC_OK)
		rc = fts_register(&c->fts, c->db, e);
	if (rc == RC_OK)
		rc = create_tables(c, meta, e);
	if (rc != RC_OK)
		conn_close(&c);
	*out = c;
	return rc;
}

static enum rc meta_get(struct conn *c, const char *name, int64_t *value, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(c->db, &s, "SELECT value FROM meta WHERE name = ?1", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(name));
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		*value = stmt_int(s, 0);
	else if (rc == RC_NOTFOUND)
		rc = err_set(e, RC_CORRUPT, "%s: the shard does not say its %s", db_path(c->db),
		             name);
	stmt_free(&s);
	return rc;
}

static enum rc check_version(struct conn *c, struct err *e)
{
	int64_t format;
	int64_t tokenizer;
	enum rc rc = meta_get(c, "format", &format, e);

	if (rc == RC_OK)
		rc = meta_get(c, "tokenizer", &tokenizer, e);
	if (rc == RC_OK && (format != SHARD_FORMAT || tokenizer != TOKENIZER_VERSION))
		return err_set(e, RC_INVALID,
		               "%s has format %lld and tokens %lld, this program has %d and %d: "
		               "reindex",
		               db_path(c->db), (long long)format, (long long)tokenizer,
		               SHARD_FORMAT, TOKENIZER_VERSION);
	return rc;
}

enum rc conn_open(struct conn **out, const char *path, const uint8_t key[KEY_BYTES], bool sealed,
                  enum db_mode mode, struct err *e)
{
	struct conn *c = mem_new(sizeof(*c));
	enum rc rc =
	        sealed ? db_open_sealed(&c->db, path, key, e) : db_open(&c->db, path, key, mode, e);

	if (rc == RC_OK)
		rc = fts_register(&c->fts, c->db, e);
	if (rc == RC_OK)
		rc = check_version(c, e);
	if (rc != RC_OK)
		conn_close(&c);
	*out = c;
	return rc;
}

void conn_close(struct conn **c)
{
	if (!*c)
		return;
	stmt_free(&(*c)->find);
	stmt_free(&(*c)->row);
	stmt_free(&(*c)->place);
	stmt_free(&(*c)->later);
	stmt_free(&(*c)->is_crowded);
	stmt_free(&(*c)->at_place);
	stmt_free(&(*c)->add_row);
	stmt_free(&(*c)->add_words);
	db_close(&(*c)->db);
	free(*c);
	*c = NULL;
}

struct db *conn_db(struct conn *c)
{
	return c->db;
}

void conn_set_raw(struct conn *c, bool raw)
{
	fts_set_raw(c->fts, raw);
}

enum rc conn_meta(struct conn *c, struct shard_meta *out, struct err *e)
{
	int64_t archive = 0;
	int64_t number = 0;
	int64_t replaces = 0;
	enum rc rc = meta_get(c, "archive", &archive, e);

	if (rc == RC_OK)
		rc = meta_get(c, "number", &number, e);
	if (rc == RC_OK)
		rc = meta_get(c, "replaces", &replaces, e);
	if (rc == RC_OK)
		rc = meta_get(c, "created_ms", &out->created_ms, e);
	out->archive = (uint32_t)archive;
	out->number = (uint64_t)number;
	out->replaces = (uint64_t)replaces;
	return rc;
}

enum rc conn_ordered(struct conn *c, bool *ordered, struct err *e)
{
	int64_t value = 0;
	enum rc rc = meta_get(c, "ordered", &value, e);

	*ordered = value != 0;
	return rc;
}

enum rc conn_set_unordered(struct conn *c, struct err *e)
{
	return db_exec(c->db, "UPDATE meta SET value = 0 WHERE name = 'ordered'", e);
}

enum rc conn_stats(struct conn *c, struct shard_stats *out, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(c->db, &s,
	                        "SELECT count(*), min(at), max(at), min(sent_ms), max(sent_ms),"
	                        "sum((flags & ?1) <> 0), sum((flags & ?2) <> 0) FROM message",
	                        e);

	*out = (struct shard_stats) { 0 };
	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, DOC_NOT_INDEXED);
	stmt_bind_int(s, 2, DOC_PARSE_PROBLEM);
	rc = stmt_step(s, e);
	if (rc == RC_OK) {
		out->messages = (uint64_t)stmt_int(s, 0);
		out->received_low = stmt_int(s, 1) >> ID_SEQUENCE_BITS;
		out->received_high = stmt_int(s, 2) >> ID_SEQUENCE_BITS;
		out->sent = !stmt_is_null(s, 3);
		out->sent_low = stmt_int(s, 3);
		out->sent_high = stmt_int(s, 4);
		out->not_indexed = (uint64_t)stmt_int(s, 5);
		out->problems = (uint64_t)stmt_int(s, 6);
	}
	stmt_free(&s);
	return rc;
}

void stats_add(struct shard_stats *to, const struct shard_stats *more)
{
	if (more->messages == 0)
		return;
	if (to->messages == 0) {
		*to = *more;
		return;
	}
	to->messages += more->messages;
	to->not_indexed += more->not_indexed;
	to->problems += more->problems;
	to->received_low = MIN_OF(to->received_low, more->received_low);
	to->received_high = MAX_OF(to->received_high, more->received_high);
	if (!more->sent)
		return;
	to->sent_low = to->sent ? MIN_OF(to->sent_low, more->sent_low) : more->sent_low;
	to->sent_high = to->sent ? MAX_OF(to->sent_high, more->sent_high) : more->sent_high;
	to->sent = true;
}

/* ---- rows ---- */

static enum rc prepare_once(struct conn *c, struct stmt **s, const char *sql, struct err *e)
{
	return *s ? RC_OK : db_prepare(c->db, s, sql, e);
}

static bool copy_bytes(void *to, size_t n, struct slice from)
{
	if (from.len != n)
		return false;
	memcpy(to, from.at, n);
	return true;
}

/* The place of the id; or with RC_NOTFOUND the first free one of the near places, -1 if there is
 * none. */
static enum rc find_near(struct conn *c, const struct message_id *id, int64_t *at, struct err *e)
{
	int64_t free_at = id_rowid(id);
	enum rc rc = prepare_once(c, &c->find,
	                          "SELECT at, id FROM message WHERE at >= ?1 AND at <= ?2 "
	                          "ORDER BY at",
	                          e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(c->find, 1, id_rowid(id));
	stmt_bind_int(c->find, 2, last_near(id));
	while ((rc = stmt_step(c->find, e)) == RC_OK) {
		*at = stmt_int(c->find, 0);
		if (*at == free_at)
			free_at++;
		if (slice_equal(stmt_blob(c->find, 1), slice_of(id->b, ID_BYTES))) {
			stmt_reset(c->find);
			return RC_OK;
		}
	}
	*at = free_at <= last_near(id) ? free_at : -1;
	return rc;
}

/* *of: whose row lies at the place. RC_NOTFOUND: nobody's. */
static enum rc id_at_place(struct conn *c, int64_t at, struct message_id *of, struct err *e)
{
	enum rc rc = prepare_once(c, &c->at_place, "SELECT id FROM message WHERE at = ?1", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(c->at_place, 1, at);
	rc = stmt_step(c->at_place, e);
	if (rc == RC_OK && !copy_bytes(of->b, ID_BYTES, stmt_blob(c->at_place, 0)))
		rc = err_set(e, RC_CORRUPT, "%s: a row without an id", db_path(c->db));
	stmt_reset(c->at_place);
	return rc;
}

/* As find_near, among the far places. */
static enum rc find_far(struct conn *c, const struct message_id *id, int64_t *at, struct err *e)
{
	int64_t places[SHARD_FAR];
	int64_t free_at = -1;

	far_places(id, places);
	for (size_t i = 0; i < SHARD_FAR; i++) {
		struct message_id of;
		enum rc rc = id_at_place(c, places[i], &of, e);

		*at = places[i];
		if (rc == RC_OK && id_compare(&of, id) == 0)
			return RC_OK;
		if (rc == RC_NOTFOUND && free_at < 0)
			free_at = places[i];
		if (rc != RC_OK && rc != RC_NOTFOUND)
			return rc;
	}
	*at = free_at;
	return RC_NOTFOUND;
}

enum rc conn_crowded(struct conn *c, bool *crowded, struct err *e)
{
	enum rc rc = RC_OK;

	if (!c->crowded) {
		rc = prepare_once(c, &c->is_crowded, "SELECT 1 FROM meta WHERE name = 'crowded'",
		                  e);
		if (rc != RC_OK)
			return rc;
		rc = stmt_step(c->is_crowded, e);
		stmt_reset(c->is_crowded);
		c->crowded = rc == RC_OK;
	}
	*crowded = c->crowded;
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc conn_set_crowded(struct conn *c, struct err *e)
{
	return db_exec(c->db, "INSERT OR IGNORE INTO meta(name, value) VALUES('crowded', 1)", e);
}

/* The place of the id; or with RC_NOTFOUND the first free one it may have (*far: of the far
 * places), -1 if there is none. */
static enum rc find_place(struct conn *c, const struct message_id *id, int64_t *at, bool *far,
                          struct err *e)
{
	bool crowded;
	int64_t far_at;
	enum rc rc = find_near(c, id, at, e);

	*far = false;
	if (rc != RC_NOTFOUND)
		return rc;
	rc = conn_crowded(c, &crowded, e);
	if (rc != RC_OK)
		return rc;
	if (!crowded && *at >= 0)
		return RC_NOTFOUND;
	rc = find_far(c, id, &far_at, e);
	*far = *at < 0;
	if (rc == RC_OK || *far)
		*at = far_at;
	return rc;
}

enum rc conn_find(struct conn *c, const struct message_id *id, int64_t *at, struct err *e)
{
	bool far;

	return find_place(c, id, at, &far, e);
}

/* STRICT tables take no NULL where none is meant, so an absent text is an empty one. */
static void bind_text(struct stmt *s, int at, struct slice text)
{
	stmt_bind_text(s, at, text.at ? text : slice_of("", 0));
}

static enum rc add_row(struct conn *c, const struct index_doc *d, int64_t at, struct err *e)
{
	static const enum doc_field shown[] = { DOC_SUBJECT,     DOC_FROM,    DOC_TO,
		                                DOC_CC,          DOC_BCC,     DOC_ENVELOPE_FROM,
		                                DOC_ENVELOPE_TO, DOC_FILENAME };
	enum rc rc = prepare_once(c, &c->add_row,
	                          "INSERT INTO message VALUES(NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7,"
	                          "?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
	                          e);
	struct stmt *s = c->add_row;
	int column = 8;

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 1, at);
	stmt_bind_blob(s, 2, slice_of(d->id.b, ID_BYTES));
	stmt_bind_int(s, 3, (int64_t)d->lot);
	if (d->flags & DOC_HAS_SENT)
		stmt_bind_int(s, 4, d->sent_ms);
	else
		stmt_bind_null(s, 4);
	stmt_bind_int(s, 5, (int64_t)d->bytes);
	stmt_bind_int(s, 6, d->flags);
	stmt_bind_blob(s, 7, slice_of(d->sha256, sizeof(d->sha256)));
	for (size_t i = 0; i < COUNT(shown); i++)
		bind_text(s, column++, d->field[shown[i]]);
	bind_text(s, column++, d->message_id);
	bind_text(s, column++, d->ingress);
	bind_text(s, column++, d->ip);
	bind_text(s, column++, d->problem);
	return stmt_run(s, e);
}

static enum rc add_words(struct conn *c, int64_t n, const struct slice field[DOC_FIELDS],
                         struct err *e)
{
	enum rc rc = prepare_once(c, &c->add_words,
	                          "INSERT INTO fts(rowid, body, subject, \"from\", \"to\", cc, bcc,"
	                          "envelope_from, envelope_to, filename, attachment, headers)"
	                          "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
	                          e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(c->add_words, 1, n);
	for (int f = 0; f < DOC_FIELDS; f++)
		bind_text(c->add_words, f + 2, field[f]);
	return stmt_run(c->add_words, e);
}

/* Numbers follow the places as long as no row comes in before one that is there. */
static enum rc note_order(struct conn *c, int64_t at, struct err *e)
{
	enum rc rc = prepare_once(c, &c->later, "SELECT 1 FROM message WHERE at > ?1 LIMIT 1", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(c->later, 1, at);
	rc = stmt_step(c->later, e);
	stmt_reset(c->later);
	if (rc == RC_OK)
		return conn_set_unordered(c, e);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static struct shard_stats stats_of(const struct index_doc *d)
{
	struct shard_stats s = { .messages = 1 };

	s.not_indexed = (d->flags & DOC_NOT_INDEXED) != 0;
	s.problems = (d->flags & DOC_PARSE_PROBLEM) != 0;
	s.received_low = id_received_ms(&d->id);
	s.received_high = s.received_low;
	s.sent = (d->flags & DOC_HAS_SENT) != 0;
	s.sent_low = s.sent ? d->sent_ms : 0;
	s.sent_high = s.sent_low;
	return s;
}

enum rc conn_add(struct conn *c, const struct index_doc *d, struct shard_stats *stats,
                 struct err *e)
{
	struct shard_stats one = stats_of(d);
	int64_t at;
	bool far;
	enum rc rc = find_place(c, &d->id, &at, &far, e);

	if (rc == RC_OK)
		return RC_OK;
	if (rc != RC_NOTFOUND)
		return rc;
	if (at < 0)
		return err_set(e, RC_LIMIT, "%s: no place for an id", db_path(c->db));
	rc = note_order(c, at, e);
	if (rc == RC_OK && far)
		rc = conn_set_crowded(c, e);
	if (rc == RC_OK)
		rc = add_row(c, d, at, e);
	if (rc == RC_OK)
		rc = add_words(c, db_last_rowid(c->db), d->field, e);
	if (rc == RC_OK)
		stats_add(stats, &one);
	return rc;
}

static enum rc no_row(struct conn *c, int64_t n, struct err *e)
{
	return err_set(e, RC_CORRUPT, "%s: no whole row %lld", db_path(c->db), (long long)n);
}

enum rc conn_place(struct conn *c, int64_t n, int64_t *at, struct err *e)
{
	enum rc rc = prepare_once(c, &c->place, "SELECT at FROM message WHERE n = ?1", e);

	if (rc != RC_OK)
		return rc;
	stmt_reset(c->place);
	stmt_bind_int(c->place, 1, n);
	rc = stmt_step(c->place, e);
	if (rc == RC_OK)
		*at = stmt_int(c->place, 0);
	stmt_reset(c->place);
	return rc == RC_NOTFOUND ? no_row(c, n, e) : rc;
}

enum rc conn_row(struct conn *c, int64_t n, struct index_row *out, struct err *e)
{
	struct stmt *s;
	enum rc rc = prepare_once(c, &c->row, "SELECT * FROM message WHERE n = ?1", e);

	if (rc != RC_OK)
		return rc;
	s = c->row;
	stmt_reset(s);
	stmt_bind_int(s, 1, n);
	rc = stmt_step(s, e);
	if (rc == RC_NOTFOUND ||
	    (rc == RC_OK && (!copy_bytes(out->id.b, ID_BYTES, stmt_blob(s, 2)) ||
	                     !copy_bytes(out->sha256, 32, stmt_blob(s, 7)))))
		return no_row(c, n, e);
	if (rc != RC_OK)
		return rc;
	out->received_ms = id_received_ms(&out->id);
	out->lot = (uint64_t)stmt_int(s, 3);
	out->sent_ms = stmt_int(s, 4);
	out->bytes = (uint64_t)stmt_int(s, 5);
	out->flags = (uint32_t)stmt_int(s, 6);
	out->subject = stmt_text(s, 8);
	out->from = stmt_text(s, 9);
	out->to = stmt_text(s, 10);
	out->cc = stmt_text(s, 11);
	out->bcc = stmt_text(s, 12);
	out->envelope_from = stmt_text(s, 13);
	out->envelope_to = stmt_text(s, 14);
	out->filename = stmt_text(s, 15);
	out->message_id = stmt_text(s, 16);
	out->ingress = stmt_text(s, 17);
	out->ip = stmt_text(s, 18);
	out->problem = stmt_text(s, 19);
	return RC_OK;
}

/* A statement that stands on a row keeps the snapshot, whatever ROLLBACK says. */
void conn_rest(struct conn *c)
{
	if (c->row)
		stmt_reset(c->row);
	if (c->find)
		stmt_reset(c->find);
}

/* ---- upkeep ---- */

/* The first call with a negative count makes one job of all segments, the next go on with it. */
enum rc conn_optimize(struct conn *c, struct err *e)
{
	int64_t before;
	int64_t after;
	const char *sql = "INSERT INTO fts(fts, rank) VALUES('merge', -500)";
	enum rc rc;

	for (;;) {
		rc = db_int(c->db, "SELECT total_changes()", 0, &before, e);
		if (rc == RC_OK)
			rc = db_exec(c->db, sql, e);
		if (rc == RC_OK)
			rc = db_int(c->db, "SELECT total_changes()", 0, &after, e);
		/* The documentation: fewer than two changes means that nothing was left to do. */
		if (rc != RC_OK || after - before < 2)
			return rc;
		sql = "INSERT INTO fts(fts, rank) VALUES('merge', 500)";
	}
}

/* Rows of `message` and of the words' table must be the same ones. */
static enum rc check_rows(struct conn *c, struct err *e)
{
	int64_t missing;
	enum rc rc = db_int(c->db,
	                    "SELECT (SELECT count(*) FROM message WHERE n NOT IN "
	                    "(SELECT id FROM fts_docsize)) + (SELECT count(*) FROM fts_docsize "
	                    "WHERE id NOT IN (SELECT n FROM message))",
	                    0, &missing, e);

	if (rc == RC_OK && missing)
		return err_set(e, RC_CORRUPT, "%s: %lld rows have no words, or words no row",
		               db_path(c->db), (long long)missing);
	return rc;
}

static enum rc check_terms(struct conn *c, struct err *e)
{
	int64_t strays;
	enum rc rc = db_exec(c->db,
	                     "CREATE VIRTUAL TABLE IF NOT EXISTS temp.instance USING "
	                     "fts5vocab(main, fts, instance)",
	                     e);

	if (rc == RC_OK)
		rc = db_int(c->db,
		            "SELECT count(*) FROM temp.instance WHERE doc NOT IN "
		            "(SELECT n FROM message)",
		            0, &strays, e);
	if (rc == RC_OK && strays)
		return err_set(e, RC_CORRUPT, "%s: %lld words have no row", db_path(c->db),
		               (long long)strays);
	return rc;
}

static enum rc check_order(struct conn *c, struct err *e)
{
	bool ordered;
	int64_t back;
	enum rc rc = conn_ordered(c, &ordered, e);

	if (rc == RC_OK && ordered)
		rc = db_int(c->db,
		            "SELECT count(*) FROM (SELECT at < lag(at) OVER (ORDER BY n) AS back "
		            "FROM message) WHERE back",
		            0, &back, e);
	if (rc == RC_OK && ordered && back)
		return err_set(e, RC_CORRUPT, "%s: %lld rows are not in order", db_path(c->db),
		               (long long)back);
	return rc;
}

enum rc conn_check(struct conn *c, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(c->db, &s, "PRAGMA integrity_check(1)", e);

	if (rc != RC_OK)
		return rc;
	rc = stmt_step(s, e);
	if (rc == RC_OK && !slice_equal(stmt_text(s, 0), slice_str("ok")))
		rc = err_set(e, RC_CORRUPT, "%s: %.*s", db_path(c->db), (int)stmt_text(s, 0).len,
		             (const char *)stmt_text(s, 0).at);
	stmt_free(&s);
	if (rc == RC_OK)
		rc = check_rows(c, e);
	if (rc == RC_OK)
		rc = check_terms(c, e);
	if (rc == RC_OK)
		rc = check_order(c, e);
	return rc;
}
