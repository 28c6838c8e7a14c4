#include "ingest/ledger.h"

#include "base/codec.h"
#include "store/crypt.h"

enum rc ledger_prepare(struct db *control, struct err *e)
{
	return db_exec(control,
	               "CREATE TABLE IF NOT EXISTS ledger (key BLOB PRIMARY KEY, id BLOB NOT NULL)"
	               " STRICT, WITHOUT ROWID;",
	               e);
}

void ledger_key(uint8_t out[LEDGER_KEY], uint32_t archive, struct slice source,
                const uint8_t sha256_of_bytes[32])
{
	struct sha256 *h = sha256_new();
	uint8_t number[4];
	uint8_t hash[32];

	put_le32(number, archive);
	sha256_add(h, slice_of(number, sizeof(number)));
	sha256_add(h, slice_of(sha256_of_bytes, 32));
	sha256_add(h, source);
	sha256_end(&h, hash);
	memcpy(out, hash, LEDGER_KEY);
}

enum rc ledger_put(struct db *control, const struct ledger_entry *entry, struct err *e)
{
	struct stmt *st;
	enum rc rc = db_prepare(control, &st, "INSERT OR IGNORE INTO ledger VALUES(?,?)", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_blob(st, 1, slice_of(entry->key, LEDGER_KEY));
	stmt_bind_blob(st, 2, slice_of(entry->id.b, ID_BYTES));
	rc = stmt_run(st, e);
	stmt_free(&st);
	return rc;
}

enum rc ledger_get(struct db *control, const uint8_t key[LEDGER_KEY], struct message_id *id,
                   struct err *e)
{
	struct stmt *st;
	struct slice found;
	enum rc rc = db_prepare(control, &st, "SELECT id FROM ledger WHERE key = ?", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_blob(st, 1, slice_of(key, LEDGER_KEY));
	rc = stmt_step(st, e);
	if (rc == RC_OK) {
		found = stmt_blob(st, 0);
		memcpy(id->b, found.at, MIN_OF(found.len, (size_t)ID_BYTES));
	}
	stmt_free(&st);
	return rc;
}
