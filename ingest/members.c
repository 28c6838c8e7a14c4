#include "ingest/members.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "ingest/address_list.h"

#define MOST_BYTES 320 /* of one address in the API's shape: characters; four bytes each at most   \
	                */

/* `list` is the number of address_list: ids are long, members many. `address` is NULL where it is
 * as folded. */
static const char schema[] =
        "CREATE TABLE IF NOT EXISTS address_list ("
        " number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
        " members INTEGER NOT NULL) STRICT;"
        "CREATE TABLE IF NOT EXISTS address_member ("
        " list INTEGER NOT NULL, folded TEXT NOT NULL, address TEXT, created_ms INTEGER NOT NULL,"
        " PRIMARY KEY (list, folded)) STRICT, WITHOUT ROWID;";

#define LIST_NUMBER "(SELECT number FROM address_list WHERE id = ?1)"

static void fold(struct slice address, char folded[4 * MOST_BYTES + 1], struct slice *out)
{
	size_t n = MIN_OF(address.len, (size_t)4 * MOST_BYTES);

	for (size_t i = 0; i < n; i++) {
		uint8_t c = address.at[i];

		folded[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
	}
	*out = slice_of(folded, n);
}

/* With the list's id as its first parameter. */
static enum rc prepare(struct db *control, struct stmt **s, const char *sql, struct slice list,
                       struct err *e)
{
	enum rc rc = db_prepare(control, s, sql, e);

	if (rc == RC_OK)
		stmt_bind_text(*s, 1, list);
	return rc;
}

static enum rc run(struct db *control, const char *sql, struct slice list, struct err *e)
{
	struct stmt *s;
	enum rc rc = prepare(control, &s, sql, list, e);

	if (rc != RC_OK)
		return rc;
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

enum rc members_new_list(struct db *control, struct slice list, struct err *e)
{
	return run(control, "INSERT INTO address_list (id, members) VALUES (?1, 0)", list, e);
}

enum rc members_drop_list(struct db *control, struct slice list, struct err *e)
{
	enum rc rc = run(control, "DELETE FROM address_member WHERE list = " LIST_NUMBER, list, e);

	return rc == RC_OK ? run(control, "DELETE FROM address_list WHERE id = ?1", list, e) : rc;
}

static enum rc count_more(struct db *control, struct slice list, int64_t more, struct err *e)
{
	struct stmt *s;
	enum rc rc =
	        prepare(control, &s, "UPDATE address_list SET members = members + ?2 WHERE id = ?1",
	                list, e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_int(s, 2, more);
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

static const char add_sql[] = "INSERT OR IGNORE INTO address_member"
                              " (list, folded, address, created_ms)"
                              " VALUES (" LIST_NUMBER ", ?2, ?3, ?4)";

static enum rc add_one(struct db *control, struct stmt *s, struct slice address, int64_t now_ms,
                       struct members_change *m, struct err *e)
{
	char room[4 * MOST_BYTES + 1];
	struct slice folded;
	enum rc rc;

	fold(address, room, &folded);
	stmt_bind_text(s, 2, folded);
	stmt_bind_text(s, 3, slice_equal(folded, address) ? slice_of(NULL, 0) : address);
	stmt_bind_int(s, 4, now_ms);
	rc = stmt_run(s, e);
	if (rc != RC_OK || db_changes(control) == 0)
		return rc;
	m->added++;
	if (m->set)
		address_set_add(m->set, folded);
	return RC_OK;
}

enum rc members_add(struct db *control, struct slice list, struct slice address, int64_t now_ms,
                    struct members_change *m, struct err *e)
{
	int64_t before = m->added;
	struct stmt *s;
	enum rc rc = prepare(control, &s, add_sql, list, e);

	if (rc != RC_OK)
		return rc;
	rc = add_one(control, s, address, now_ms, m, e);
	stmt_free(&s);
	return rc == RC_OK && m->added > before ? count_more(control, list, 1, e) : rc;
}

static enum rc remove_one(struct db *control, struct stmt *s, struct slice folded,
                          struct members_change *m, struct err *e)
{
	enum rc rc;

	stmt_bind_text(s, 2, folded);
	rc = stmt_run(s, e);
	if (rc != RC_OK || db_changes(control) == 0)
		return rc;
	m->removed++;
	if (m->set)
		address_set_remove(m->set, folded);
	return RC_OK;
}

static const char remove_sql[] =
        "DELETE FROM address_member WHERE list = " LIST_NUMBER " AND folded = ?2";

enum rc members_remove(struct db *control, struct slice list, struct slice address,
                       struct members_change *m, struct err *e)
{
	char room[4 * MOST_BYTES + 1];
	int64_t before = m->removed;
	struct slice folded;
	struct stmt *s;
	enum rc rc = prepare(control, &s, remove_sql, list, e);

	if (rc != RC_OK)
		return rc;
	fold(address, room, &folded);
	rc = remove_one(control, s, folded, m, e);
	stmt_free(&s);
	if (rc == RC_OK && m->removed == before)
		return err_set(e, RC_NOTFOUND, "the address is not in the list");
	return rc == RC_OK ? count_more(control, list, -1, e) : rc;
}

/* ---- the whole list ---- */

/* Those that are not in `wanted` (folded text -> anything). */
static enum rc find_unwanted(struct db *control, struct slice list, const json_t *wanted,
                             json_t *unwanted, struct err *e)
{
	struct stmt *s;
	enum rc rc =
	        prepare(control, &s, "SELECT folded FROM address_member WHERE list = " LIST_NUMBER,
	                list, e);

	if (rc != RC_OK)
		return rc;
	while ((rc = stmt_step(s, e)) == RC_OK) {
		struct slice folded = stmt_text(s, 0);

		if (!json_object_getn(wanted, (const char *)folded.at, folded.len))
			json_push(unwanted, json_of_slice(folded));
	}
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc remove_unwanted(struct db *control, struct slice list, const json_t *addresses,
                               struct members_change *m, struct err *e)
{
	json_t *wanted = json_object();
	json_t *unwanted = json_array();
	struct stmt *s = NULL;
	enum rc rc;

	for (size_t i = 0; i < json_array_size(addresses); i++) {
		char room[4 * MOST_BYTES + 1];
		struct slice folded;

		fold(json_text(json_array_get(addresses, i)), room, &folded);
		MUST(json_object_setn_new_nocheck(wanted, (const char *)folded.at, folded.len,
		                                  json_true()) == 0);
	}
	rc = find_unwanted(control, list, wanted, unwanted, e);
	if (rc == RC_OK)
		rc = prepare(control, &s, remove_sql, list, e);
	for (size_t i = 0; i < json_array_size(unwanted) && rc == RC_OK; i++)
		rc = remove_one(control, s, json_text(json_array_get(unwanted, i)), m, e);
	stmt_free(&s);
	json_decref(wanted);
	json_decref(unwanted);
	return rc;
}

enum rc members_replace(struct db *control, struct slice list, const json_t *addresses,
                        int64_t now_ms, struct members_change *m, struct err *e)
{
	int64_t added = m->added;
	int64_t removed = m->removed;
	struct stmt *s = NULL;
	enum rc rc = remove_unwanted(control, list, addresses, m, e);

	if (rc == RC_OK)
		rc = prepare(control, &s, add_sql, list, e);
	for (size_t i = 0; i < json_array_size(addresses) && rc == RC_OK; i++)
		rc = add_one(control, s, json_text(json_array_get(addresses, i)), now_ms, m, e);
	stmt_free(&s);
	if (rc != RC_OK || (m->added == added && m->removed == removed))
		return rc;
	return count_more(control, list, m->added - added - (m->removed - removed), e);
}

enum rc members_count(struct db *control, struct slice list, int64_t *count, struct err *e)
{
	struct stmt *s;
	enum rc rc =
	        prepare(control, &s, "SELECT members FROM address_list WHERE id = ?1", list, e);

	if (rc != RC_OK)
		return rc;
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		*count = stmt_int(s, 0);
	stmt_free(&s);
	return rc;
}

/* ---- reading ---- */

#define ADDRESS "coalesce(address, folded)"

enum rc members_all(struct db *control, struct slice list, json_t **out, struct err *e)
{
	struct stmt *s;
	enum rc rc = prepare(control, &s,
	                     "SELECT " ADDRESS " FROM address_member WHERE list = " LIST_NUMBER
	                     " ORDER BY folded",
	                     list, e);

	*out = NULL;
	if (rc != RC_OK)
		return rc;
	*out = json_array();
	while ((rc = stmt_step(s, e)) == RC_OK)
		json_push(*out, json_of_slice(stmt_text(s, 0)));
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static json_t *member_json(struct stmt *s)
{
	json_t *o = json_object();

	json_put_text(o, "Address", stmt_text(s, 0));
	json_put_int(o, "CreatedMs", stmt_int(s, 1));
	return o;
}

enum rc members_get(struct db *control, struct slice list, struct slice address, json_t **out,
                    struct err *e)
{
	char room[4 * MOST_BYTES + 1];
	struct slice folded;
	struct stmt *s;
	enum rc rc = prepare(control, &s,
	                     "SELECT " ADDRESS ", created_ms FROM address_member"
	                     " WHERE list = " LIST_NUMBER " AND folded = ?2",
	                     list, e);

	*out = NULL;
	if (rc != RC_OK)
		return rc;
	fold(address, room, &folded);
	stmt_bind_text(s, 2, folded);
	rc = stmt_step(s, e);
	if (rc == RC_OK)
		*out = member_json(s);
	else if (rc == RC_NOTFOUND)
		(void)err_set(e, RC_NOTFOUND, "the address is not in the list");
	stmt_free(&s);
	return rc;
}

/* A cursor is the last member's folded text, in hexadecimal digits. */
static enum rc read_cursor(struct slice after, struct buf *folded, struct err *e)
{
	uint8_t raw[4 * MOST_BYTES];

	if (after.len % 2 || after.len > 2 * sizeof(raw) || !hex_decode(raw, after.len / 2, after))
		return err_set(e, RC_INVALID, "NextToken: not one of this list");
	return buf_add(folded, slice_of(raw, after.len / 2));
}

static enum rc write_cursor(struct buf *next, struct slice folded)
{
	char text[8 * MOST_BYTES + 1];

	hex_encode(text, folded.at, folded.len);
	return buf_add(next, slice_str(text));
}

static enum rc read_page(struct stmt *s, struct slice prefix, size_t limit, json_t *list,
                         struct buf *next, struct err *e)
{
	struct buf last;
	enum rc rc = RC_OK;

	buf_init(&last, 4 * MOST_BYTES);
	while (rc == RC_OK && (rc = stmt_step(s, e)) == RC_OK) {
		if (!slice_equal(slice_part(stmt_text(s, 2), 0, prefix.len), prefix))
			break;
		if (json_array_size(list) == limit) {
			rc = write_cursor(next, buf_slice(&last));
			break;
		}
		json_push(list, member_json(s));
		buf_clear(&last);
		rc = buf_add(&last, stmt_text(s, 2));
	}
	buf_free(&last);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc members_page(struct db *control, struct slice list, struct slice prefix, struct slice after,
                     size_t limit, json_t **out, struct buf *next, struct err *e)
{
	char room[4 * MOST_BYTES + 1];
	struct buf from;
	struct slice begin;
	struct stmt *s = NULL;
	enum rc rc;

	*out = NULL;
	buf_init(&from, 4 * MOST_BYTES);
	fold(prefix, room, &begin);
	rc = read_cursor(after, &from, e);
	if (rc == RC_OK)
		rc = prepare(control, &s,
		             "SELECT " ADDRESS ", created_ms, folded FROM address_member"
		             " WHERE list = " LIST_NUMBER " AND folded > ?2 AND folded >= ?3"
		             " ORDER BY folded LIMIT ?4",
		             list, e);
	if (rc == RC_OK) {
		json_t *page = json_array();

		stmt_bind_text(s, 2, from.len ? buf_slice(&from) : slice_str(""));
		stmt_bind_text(s, 3, begin.len ? begin : slice_str(""));
		stmt_bind_int(s, 4, (int64_t)limit + 1);
		rc = read_page(s, begin, limit, page, next, e);
		if (rc == RC_OK)
			*out = page;
		else
			json_decref(page);
	}
	stmt_free(&s);
	buf_free(&from);
	return rc;
}

/* ---- databases of before there was a table ---- */

/* One list whose JSON has its members; the versions that were keep theirs. */
static enum rc move_one(struct db *control, struct slice list, json_t *json, int64_t created_ms,
                        struct err *e)
{
	struct members_change m = { 0 };
	struct buf text;
	struct stmt *s;
	enum rc rc = members_new_list(control, list, e);

	if (rc == RC_OK)
		rc = members_replace(control, list, json_member_array(json, "Addresses"),
		                     created_ms, &m, e);
	(void)json_object_del(json, "Addresses");
	if (rc == RC_OK)
		rc = prepare(
		        control, &s,
		        "UPDATE resource SET json = ?2 WHERE kind = 'AddressLists' AND id = ?1",
		        list, e);
	if (rc != RC_OK)
		return rc;
	buf_init(&text, 4096);
	rc = json_write(&text, json);
	stmt_bind_text(s, 2, buf_slice(&text));
	if (rc == RC_OK)
		rc = stmt_run(s, e);
	stmt_free(&s);
	buf_free(&text);
	return rc;
}

/* RC_NOTFOUND: there is none left. */
static enum rc move_next(struct db *control, struct err *e)
{
	json_t *json = NULL;
	char *id = NULL;
	int64_t created_ms = 0;
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "SELECT id, json, created_ms FROM resource"
	                        " WHERE kind = 'AddressLists'"
	                        " AND id NOT IN (SELECT id FROM address_list) LIMIT 1",
	                        e);

	if (rc != RC_OK)
		return rc;
	rc = stmt_step(s, e);
	if (rc == RC_OK) {
		id = slice_string(stmt_text(s, 0));
		created_ms = stmt_int(s, 2);
		rc = json_read(&json, stmt_text(s, 1), e);
	}
	stmt_free(&s);
	if (rc == RC_OK)
		rc = move_one(control, slice_str(id), json, created_ms, e);
	json_decref(json);
	free(id);
	return rc;
}

static enum rc move_lists(struct db *control, struct err *e)
{
	enum rc rc;

	do
		rc = move_next(control, e);
	while (rc == RC_OK);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc members_open(struct db *control, struct err *e)
{
	enum rc rc = db_exec(control, schema, e);

	if (rc == RC_OK)
		rc = db_begin(control, e);
	if (rc != RC_OK)
		return rc;
	return db_end(control, move_lists(control, e), e);
}
