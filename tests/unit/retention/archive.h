/* tests/unit/retention/archive.h - a data directory with two archives and mail of several days */
#ifndef MM_TESTS_UNIT_RETENTION_ARCHIVE_H
#define MM_TESTS_UNIT_RETENTION_ARCHIVE_H

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "retention/clockguard.h"
#include "retention/erase.h"
#include "store/crypt.h"
#include "tests/unit/fault.h"
#include "tests/unit/store/scratch.h"

#define ARCHIVES 2
#define DAYS     3 /* of mail in each archive: 10 and 9 days old, and today's */
#define A_DAY    3 /* messages */

struct yard {
	char dir[64];
	struct keyring *keys;
	struct db *control;
	struct audit *audit;
	struct store *store;
	struct index *index;
	struct retention_archive archives[ARCHIVES];
	struct sweep sweep;
	struct err e;
};

static const uint8_t yard_master[KEY_BYTES] = { 42 };
static const unsigned yard_age[DAYS] = { 10, 9, 0 };

static inline void yard_open(struct yard *y)
{
	static const uint8_t key[KEY_BYTES] = { 7 };
	static const struct store_options store = { 0 };
	static const struct index_options index = { 0 };
	char *path = path_join(y->dir, "control.db");

	EXPECT_OK(keyring_open(&y->keys, y->dir, yard_master, &y->e), &y->e);
	EXPECT_OK(db_open(&y->control, path, key, DB_CREATE, &y->e), &y->e);
	EXPECT_OK(sweep_prepare(y->control, &y->e), &y->e);
	EXPECT_OK(erase_prepare(y->control, &y->e), &y->e);
	EXPECT_OK(audit_open(&y->audit, y->dir, y->keys, &y->e), &y->e);
	EXPECT_OK(store_open(&y->store, y->dir, y->keys, &store, &y->e), &y->e);
	EXPECT_OK(index_open(&y->index, y->dir, y->keys, y->control, &index, &y->e), &y->e);
	EXPECT_OK(clockguard_start(y->control, 0, &y->e), &y->e);
	y->archives[0] = (struct retention_archive) { 1, "corp", { .days = 5 }, 0 };
	y->archives[1] = (struct retention_archive) { 2, "kept", { .permanent = true }, 0 };
	y->sweep = (struct sweep) { .keys = y->keys,
		                    .store = y->store,
		                    .index = y->index,
		                    .audit = y->audit,
		                    .control = y->control,
		                    .archives = y->archives,
		                    .archive_count = ARCHIVES };
	free(path);
}

static inline void yard_close(struct yard *y)
{
	index_close(&y->index);
	store_close(&y->store);
	audit_close(&y->audit);
	db_close(&y->control);
	keyring_close(&y->keys);
}

static inline void yard_reopen(struct yard *y)
{
	yard_close(y);
	yard_open(y);
}

/* Noon of a day so many days ago, and a number within the day. */
static inline struct message_id yard_id(uint32_t archive, unsigned age, uint32_t n)
{
	static const uint8_t random[8] = { 9 };
	int64_t day = day_of_ms(clock_now_ms()) - age;

	return id_make(day * INT64_C(86400000) + 43200000, archive * 100 + n, random);
}

static inline uint64_t yard_lot(struct yard *y, uint32_t archive, unsigned age)
{
	uint64_t lot;

	EXPECT_OK(keyring_lot(y->keys, archive, (int32_t)(day_of_ms(clock_now_ms()) - age), 0, &lot,
	                      &y->e),
	          &y->e);
	return lot;
}

/* Every message has a word of its own, "d<age>n<number>", and one of its day, "day<age>". */
static inline void yard_add(struct yard *y, uint32_t archive, unsigned age, uint32_t n)
{
	char text[100];
	struct message_id id = yard_id(archive, age, n);
	struct store_message m = { .id = id, .lot = yard_lot(y, archive, age) };
	struct index_doc d = { .id = id, .lot = m.lot };

	(void)snprintf(text, sizeof(text), "day%u d%un%u common", age, age, n);
	m.meta = slice_str("{}");
	m.raw = slice_str(text);
	sha256(m.sha256, m.raw);
	memcpy(d.sha256, m.sha256, sizeof(d.sha256));
	d.field[DOC_SUBJECT] = m.raw;
	d.ingress = slice_str("in");
	EXPECT_OK(store_put(y->store, archive, &m, &y->e), &y->e);
	EXPECT_OK(index_add(y->index, archive, &d, &y->e), &y->e);
}

static inline void yard_commit(struct yard *y)
{
	EXPECT_OK(store_sync(y->store, NULL, NULL, &y->e), &y->e);
	EXPECT_OK(index_commit(y->index, &y->e), &y->e);
}

/* Closed; each test has an open copy of it. Before and after all of a program's tests. */
static struct yard yard_made;

static inline int yard_start(void **state)
{
	struct yard *y = &yard_made;
	unsigned sealed;

	(void)state;
	log_init("test", LOG_ERROR + 1);
	crypt_init();
	temp_folder(y->dir, sizeof(y->dir));
	EXPECT_OK(keyring_create(y->dir, yard_master, &y->e), &y->e);
	yard_open(y);
	for (uint32_t a = 1; a <= ARCHIVES; a++) {
		struct key_info want = { .kind = KEY_ARCHIVE, .archive = a };
		uint64_t id;

		EXPECT_OK(keyring_add(y->keys, &want, &id, &y->e), &y->e);
		for (unsigned d = 0; d < DAYS; d++)
			for (uint32_t n = 0; n < A_DAY; n++)
				yard_add(y, a, yard_age[d], n);
	}
	yard_commit(y);
	EXPECT_OK(index_seal(y->index, true, &sealed, &y->e), &y->e);
	yard_close(y);
	return 0;
}

static inline int yard_stop(void **state)
{
	(void)state;
	scratch_remove_path(yard_made.dir);
	return 0;
}

static inline void yard_copy(struct yard *y)
{
	static unsigned copies;

	memset(y, 0, sizeof(*y));
	(void)snprintf(y->dir, sizeof(y->dir), "%.40s-%u", yard_made.dir, ++copies);
	scratch_copy(yard_made.dir, y->dir);
	yard_open(y);
}

static inline void yard_end(struct yard *y)
{
	yard_close(y);
	scratch_remove_path(y->dir);
}

static inline uint64_t yard_count(struct yard *y, uint32_t archive, const char *word)
{
	struct match m = { .kind = MATCH_TEXT, .fields = FIELDS_ALL, .text = slice_str(word) };
	struct index_view *v;
	uint64_t hits;

	EXPECT_OK(index_view_open(&v, y->index, archive, 0, INT64_MAX, &y->e), &y->e);
	EXPECT_OK(index_view_count(v, &m, &hits, &y->e), &y->e);
	index_view_close(&v);
	return hits;
}

/* The message, from the store. */
static inline enum rc yard_get(struct yard *y, uint32_t archive, unsigned age, uint32_t n)
{
	const struct message_id id = yard_id(archive, age, n);
	char text[100];
	struct buf raw;
	enum rc rc;

	buf_init(&raw, 1000);
	rc = store_get(y->store, archive, &id, NULL, &raw, &y->e);
	(void)snprintf(text, sizeof(text), "day%u d%un%u common", age, age, n);
	if (rc == RC_OK)
		EXPECT_SLICE("raw", buf_slice(&raw), text);
	buf_free(&raw);
	return rc;
}

static inline enum rc yard_spoil_file(void *arg, const char *name, struct err *e)
{
	char *path = path_join(arg, name);
	struct file *f;

	EXPECT_OK(file_open(&f, path, FILE_WRITE, e), e);
	EXPECT_OK(file_write_at(f, slice_str("xxxx"), 100, e), e);
	file_close(&f);
	free(path);
	return RC_OK;
}

/* The archive's shards are damaged. */
static inline void yard_spoil(struct yard *y, uint32_t archive)
{
	char path[96];

	yard_close(y);
	(void)snprintf(path, sizeof(path), "%s/index/%u", y->dir, archive);
	EXPECT_OK(dir_list(path, yard_spoil_file, path, &y->e), &y->e);
	yard_open(y);
}

struct yard_events {
	const char *event;
	unsigned count;
};

static enum rc yard_event(void *arg, const struct audit_entry *entry, struct err *e)
{
	struct yard_events *v = arg;

	(void)e;
	v->count += strcmp(entry->event, v->event) == 0;
	return RC_OK;
}

/* How many entries of that kind the audit log has; all of it is read and checked. */
static inline unsigned yard_audited(struct yard *y, const char *event)
{
	struct yard_events v = { .event = event };

	EXPECT_OK(audit_sync(y->audit, &y->e), &y->e);
	EXPECT_OK(audit_each(y->audit, 1, yard_event, &v, &y->e), &y->e);
	return v.count;
}

static inline int64_t yard_number(struct yard *y, const char *sql)
{
	int64_t v;

	EXPECT_OK(db_int(y->control, sql, -1, &v, &y->e), &y->e);
	return v;
}

/* What has copies of mail elsewhere (struct sweep): the `fail_at`-th call fails. */
struct copies {
	unsigned calls;
	unsigned fail_at;
	unsigned ends;
};

UNUSED static enum rc copies_forget(void *arg, uint32_t archive, int32_t day,
				    const struct message_id *id, struct err *e)
{
	struct copies *c = arg;

	(void)day;
	(void)id;
	assert_int_equal(archive, 1);
	return ++c->calls == c->fail_at ? err_set(e, RC_IO, "copies stay") : RC_OK;
}

UNUSED static enum rc copies_forgotten(void *arg, struct err *e)
{
	struct copies *c = arg;

	c->ends++;
	return ++c->calls == c->fail_at ? err_set(e, RC_IO, "copies stay") : RC_OK;
}

#endif
