/* Calls from one part of mm into another that fail when a test says so; see fault.h. */
#include "base/codec.h"
#include "index/index.h"
#include "index/shard.h"
#include "store/audit.h"
#include "store/crypt.h"
#include "store/db.h"
#include "store/store.h"
#include "tests/unit/fault.h"

static enum rc told(struct err *e)
{
	return err_sys(e, "a fault that the test asked for");
}

#define WRAP(name, parameters, arguments)                                                          \
	enum rc __real_##name parameters;                                                          \
	enum rc __wrap_##name parameters;                                                          \
	enum rc __wrap_##name parameters                                                           \
	{                                                                                          \
		return fault_is_due(FAULT_PART) ? told(e) : __real_##name arguments;               \
	}

WRAP(db_exec, (struct db * db, const char *sql, struct err *e), (db, sql, e))
WRAP(db_begin, (struct db * db, struct err *e), (db, e))
WRAP(db_commit, (struct db * db, struct err *e), (db, e))
WRAP(db_int, (struct db * db, const char *sql, int64_t none, int64_t *out, struct err *e),
     (db, sql, none, out, e))
WRAP(stmt_step, (struct stmt * s, struct err *e), (s, e))
WRAP(stmt_run, (struct stmt * s, struct err *e), (s, e))
WRAP(keyring_get, (struct keyring * kr, uint64_t id, uint8_t key[KEY_BYTES], struct err *e),
     (kr, id, key, e))
WRAP(keyring_add, (struct keyring * kr, const struct key_info *want, uint64_t *id, struct err *e),
     (kr, want, id, e))

enum rc __real_db_end(struct db *db, enum rc rc, struct err *e);
enum rc __wrap_db_end(struct db *db, enum rc rc, struct err *e);
enum rc __wrap_db_end(struct db *db, enum rc rc, struct err *e)
{
	return __real_db_end(db, rc == RC_OK && fault_is_due(FAULT_PART) ? told(e) : rc, e);
}

enum rc __real_keyring_destroy(struct keyring *kr, const uint64_t *ids, size_t count,
                               struct err *e);
enum rc __wrap_keyring_destroy(struct keyring *kr, const uint64_t *ids, size_t count,
                               struct err *e);
enum rc __wrap_keyring_destroy(struct keyring *kr, const uint64_t *ids, size_t count, struct err *e)
{
	if (fault_is_due(FAULT_SPARED))
		return RC_OK;
	return fault_is_due(FAULT_PART) ? told(e) : __real_keyring_destroy(kr, ids, count, e);
}

/* Those that leave something behind. */

enum rc __real_db_prepare(struct db *db, struct stmt **out, const char *sql, struct err *e);
enum rc __wrap_db_prepare(struct db *db, struct stmt **out, const char *sql, struct err *e);
enum rc __wrap_db_prepare(struct db *db, struct stmt **out, const char *sql, struct err *e)
{
	*out = NULL;
	return fault_is_due(FAULT_PART) ? told(e) : __real_db_prepare(db, out, sql, e);
}

enum rc __real_audit_add(struct audit *a, const char *event, const char *who, json_t *detail,
                         struct err *e);
enum rc __wrap_audit_add(struct audit *a, const char *event, const char *who, json_t *detail,
                         struct err *e);
enum rc __wrap_audit_add(struct audit *a, const char *event, const char *who, json_t *detail,
                         struct err *e)
{
	if (!fault_is_due(FAULT_PART | FAULT_AUDIT))
		return __real_audit_add(a, event, who, detail, e);
	json_decref(detail);
	return told(e);
}

enum rc __real_audit_sync(struct audit *a, struct err *e);
enum rc __wrap_audit_sync(struct audit *a, struct err *e);
enum rc __wrap_audit_sync(struct audit *a, struct err *e)
{
	return fault_is_due(FAULT_PART | FAULT_AUDIT) ? told(e) : __real_audit_sync(a, e);
}

enum rc __real_keyring_each(struct keyring *kr, enum rc (*each)(void *, const struct key_info *),
                            void *arg);
enum rc __wrap_keyring_each(struct keyring *kr, enum rc (*each)(void *, const struct key_info *),
                            void *arg);
enum rc __wrap_keyring_each(struct keyring *kr, enum rc (*each)(void *, const struct key_info *),
                            void *arg)
{
	return fault_is_due(FAULT_PART) ? RC_IO : __real_keyring_each(kr, each, arg);
}
