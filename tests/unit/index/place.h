/* tests/unit/index/place.h - a data directory with key ring and control database, and documents */
#ifndef MM_TESTS_UNIT_INDEX_PLACE_H
#define MM_TESTS_UNIT_INDEX_PLACE_H

#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "index/index.h"
#include "store/crypt.h"

#define DAY0 INT64_C(1767225600000) /* 2026-01-01 */

struct place {
	char dir[64];
	struct keyring *kr;
	struct db *control;
	struct index *ix;
	struct index_options opt;
	struct err e;
};

static const uint8_t place_master[KEY_BYTES] = { 42 };

static inline void place_open(struct place *p)
{
	char path[96];
	static const uint8_t key[KEY_BYTES] = { 7 };

	EXPECT_OK(keyring_open(&p->kr, p->dir, place_master, &p->e), &p->e);
	snprintf(path, sizeof(path), "%s/control.db", p->dir);
	EXPECT_OK(db_open(&p->control, path, key, DB_CREATE, &p->e), &p->e);
	EXPECT_OK(index_open(&p->ix, p->dir, p->kr, p->control, &p->opt, &p->e), &p->e);
}

static inline void place_close(struct place *p)
{
	index_close(&p->ix);
	db_close(&p->control);
	keyring_close(&p->kr);
}

static inline void place_reopen(struct place *p)
{
	place_close(p);
	place_open(p);
}

/* Keys of archives 1 and 2. */
static inline void place_archives(struct place *p)
{
	uint64_t id;

	EXPECT_OK(keyring_open(&p->kr, p->dir, place_master, &p->e), &p->e);
	for (uint32_t i = 1; i <= 2; i++) {
		struct key_info want = { .kind = KEY_ARCHIVE, .archive = i };

		EXPECT_OK(keyring_add(p->kr, &want, &id, &p->e), &p->e);
	}
	keyring_close(&p->kr);
}

static inline int place_setup(void **state)
{
	struct place *p = mem_new(sizeof(*p));

	crypt_init();
	temp_folder(p->dir, sizeof(p->dir));
	EXPECT_OK(keyring_create(p->dir, place_master, &p->e), &p->e);
	place_archives(p);
	place_open(p);
	*state = p;
	return 0;
}

static enum rc place_drop(void *arg, const char *name, struct err *e)
{
	char *path = path_join(arg, name);
	struct stat st;
	enum rc rc = RC_OK;

	if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		rc = dir_list(path, place_drop, path, e);
		(void)rmdir(path);
	} else {
		rc = file_remove(path, e);
	}
	free(path);
	return rc;
}

static inline int place_teardown(void **state)
{
	struct place *p = *state;

	place_close(p);
	assert_int_equal(dir_list(p->dir, place_drop, p->dir, &p->e), RC_OK);
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

static inline struct message_id place_id(int64_t ms, uint32_t sequence)
{
	static const uint8_t random[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	return id_make(ms, sequence, random);
}

/* A document with a subject and a body; all else is empty or fixed. */
static inline struct index_doc place_doc(struct message_id id, const char *subject,
                                         const char *body)
{
	struct index_doc d = { .id = id, .lot = 1, .bytes = 100 };

	d.field[DOC_SUBJECT] = slice_str(subject);
	d.field[DOC_BODY] = slice_str(body);
	d.ingress = slice_str("inbound");
	d.ip = slice_str("192.0.2.1");
	return d;
}

static inline void place_add(struct place *p, uint32_t archive, const struct index_doc *d)
{
	EXPECT_OK(index_add(p->ix, archive, d, &p->e), &p->e);
}

static inline void place_commit(struct place *p)
{
	EXPECT_OK(index_commit(p->ix, &p->e), &p->e);
}

static inline unsigned place_seal(struct place *p)
{
	unsigned sealed;

	EXPECT_OK(index_seal(p->ix, true, &sealed, &p->e), &p->e);
	return sealed;
}

static inline struct index_view *place_view(struct place *p, uint32_t archive)
{
	struct index_view *v;

	EXPECT_OK(index_view_open(&v, p->ix, archive, 0, INT64_MAX, &p->e), &p->e);
	return v;
}

static inline uint64_t place_hits(struct place *p, uint32_t archive, const struct match *m)
{
	struct index_view *v = place_view(p, archive);
	uint64_t hits;

	EXPECT_OK(index_view_count(v, m, &hits, &p->e), &p->e);
	index_view_close(&v);
	return hits;
}

/* Hits of a word or phrase in any field. */
static inline uint64_t place_count(struct place *p, uint32_t archive, const char *text)
{
	struct match m = { .kind = MATCH_TEXT, .fields = FIELDS_ALL, .text = slice_str(text) };

	return place_hits(p, archive, &m);
}

static inline uint64_t place_all(struct place *p, uint32_t archive)
{
	struct match m = { .kind = MATCH_ALL };

	return place_hits(p, archive, &m);
}

#endif
