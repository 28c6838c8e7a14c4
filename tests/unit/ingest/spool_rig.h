/* tests/unit/ingest/spool_rig.h - a data directory, a key ring, a spool and one writer for tests */
#ifndef MM_TESTS_UNIT_INGEST_SPOOL_RIG_H
#define MM_TESTS_UNIT_INGEST_SPOOL_RIG_H

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "ingest/spool/record.h"
#include "ingest/spool/spool.h"
#include "store/crypt.h"
#include "tests/unit/test.h"

#define RIG_MESSAGES 4096

struct rig_message { /* what the writer was given, and what became of it */
	size_t bytes;
	bool finished;
	bool accepted;
	struct message_id id;
	int64_t received_ms;
	struct err err;
};

struct rig {
	char dir[64];
	struct keyring *kr;
	struct spool *sp;
	struct spool_writer *w;
	struct spool_options options;
	struct spool_writer_options writer;
	bool withhold_files; /* need_file is not answered */
	bool withhold_bigs;
	bool deaf; /* progress is not passed on */
	void (*on_done)(void);
	unsigned asked_files;
	unsigned asked_bigs;
	unsigned went_on; /* calls of go_on, and whose the last one was */
	void *went_on_owner;
	enum rc make_rc; /* of the last spool_make_file */
	struct rig_message sent[RIG_MESSAGES];
	size_t count;
	size_t damage;
	uint64_t last_file; /* the last progress */
	uint64_t last_offset;
};

UNUSED static const uint8_t rig_master[KEY_BYTES] = { 1, 2, 3 };

/* Bytes that depend on the message's number, so that a mixed-up record is seen. */
UNUSED static void rig_content(size_t number, uint8_t *out, size_t n)
{
	uint32_t x = (uint32_t)(number * 2654435761u + 1);

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		out[i] = (uint8_t)x;
	}
}

UNUSED static void rig_give_file(struct rig *rig)
{
	struct spool_new_file nf;
	struct err e = { 0 };

	rig->make_rc = spool_make_file(rig->sp, rig->writer.writer, &nf, &e);
	if (rig->make_rc == RC_OK)
		EXPECT_OK(spool_writer_give_file(rig->w, nf.number, nf.fd, nf.capacity,
		                                 nf.public_key, &e),
		          &e);
}

UNUSED static void rig_give_big(struct rig *rig)
{
	struct spool_new_file nf;
	struct err e = { 0 };

	EXPECT_OK(spool_make_big(rig->sp, rig->writer.writer, &nf, &e), &e);
	spool_writer_give_big(rig->w, nf.number, nf.fd);
}

UNUSED static void rig_need_file(void *app)
{
	struct rig *rig = app;

	rig->asked_files++;
	if (!rig->withhold_files)
		rig_give_file(rig);
}

UNUSED static void rig_need_big(void *app)
{
	struct rig *rig = app;

	rig->asked_bigs++;
	if (!rig->withhold_bigs)
		rig_give_big(rig);
}

UNUSED static void rig_progress(void *app, uint64_t file, uint64_t offset, uint64_t messages)
{
	struct rig *rig = app;

	if (rig->deaf)
		return;
	rig->last_file = file;
	rig->last_offset = offset;
	spool_durable(rig->sp, rig->writer.writer, file, offset, messages);
}

UNUSED static void rig_done(void *app, void *cookie, const struct message_id *id,
                            int64_t received_ms, const struct durable *proof, const struct err *err)
{
	struct rig *rig = app;
	struct rig_message *m = cookie;

	if (rig->on_done)
		rig->on_done();
	assert_false(m->finished);
	m->finished = true;
	m->accepted = proof != NULL;
	m->id = *id;
	m->received_ms = received_ms;
	assert_true((proof == NULL) == (err != NULL));
	if (err)
		m->err = *err;
}

UNUSED static void rig_go_on(void *app, void *cookie)
{
	struct rig *rig = app;

	rig->went_on++;
	rig->went_on_owner = cookie;
}

UNUSED static void rig_damage(void *app, uint64_t file, uint64_t offset, const char *text)
{
	struct rig *rig = app;

	(void)file;
	(void)offset;
	(void)text;
	rig->damage++;
}

UNUSED static void rig_open_spool(struct rig *rig)
{
	struct err e = { 0 };

	rig->options.damage = rig_damage;
	rig->options.app = rig;
	EXPECT_OK(spool_open(&rig->sp, rig->dir, rig->kr, &rig->options, &e), &e);
}

UNUSED static void rig_open_writer(struct rig *rig)
{
	static const struct spool_writer_ops ops = { .need_file = rig_need_file,
		                                     .need_big = rig_need_big,
		                                     .progress = rig_progress,
		                                     .go_on = rig_go_on,
		                                     .done = rig_done };
	struct err e = { 0 };

	EXPECT_OK(spool_writer_new(&rig->w, &rig->writer, &ops, rig, &e), &e);
	spool_writer_flush(rig->w);
}

/* `file_bytes` 0 is SPOOL_MIN_CAPACITY. */
UNUSED static struct rig *rig_new(uint64_t file_bytes)
{
	struct rig *rig = mem_new(sizeof(*rig));
	struct err e = { 0 };

	crypt_init();
	log_init("test", LOG_ERROR + 1);
	temp_folder(rig->dir, sizeof(rig->dir));
	EXPECT_OK(keyring_create(rig->dir, rig_master, &e), &e);
	EXPECT_OK(keyring_open(&rig->kr, rig->dir, rig_master, &e), &e);
	rig->options.file_bytes = file_bytes ? file_bytes : SPOOL_MIN_CAPACITY;
	rig_open_spool(rig);
	return rig;
}

/* Waits until nothing is in flight. */
UNUSED static void rig_drain(struct rig *rig)
{
	spool_writer_flush(rig->w);
	while (spool_writer_waiting(rig->w)) {
		struct pollfd p = { .fd = spool_writer_event_fd(rig->w), .events = POLLIN };

		assert_int_equal(poll(&p, 1, 20000), 1);
		spool_writer_reap(rig->w);
		spool_writer_flush(rig->w);
	}
}

/* Ends the file and waits until that is told. */
UNUSED static void rig_end_file(struct rig *rig)
{
	uint64_t before = rig->last_offset;

	spool_writer_end_file(rig->w);
	while (rig->last_offset == before) {
		struct pollfd p = { .fd = spool_writer_event_fd(rig->w), .events = POLLIN };

		assert_int_equal(poll(&p, 1, 20000), 1);
		spool_writer_reap(rig->w);
	}
}

/* Commits one message of so many bytes in steps of 10,000; not flushed. */
UNUSED static struct rig_message *rig_commit(struct rig *rig, size_t bytes)
{
	struct rig_message *m = &rig->sent[rig->count];
	struct spool_draft *d;
	uint8_t *content = mem_new(bytes + 1);
	char meta[64];
	struct err e = { 0 };

	assert_true(rig->count < RIG_MESSAGES);
	m->bytes = bytes;
	rig_content(rig->count, content, bytes);
	(void)snprintf(meta, sizeof(meta), "{\"n\":%zu}", rig->count);
	EXPECT_OK(spool_begin(rig->w, &d, &e), &e);
	for (size_t at = 0; at < bytes; at += 10000)
		(void)!spool_add(d, slice_of(content + at, MIN_OF(bytes - at, (size_t)10000)), &e);
	spool_commit(&d, slice_str(meta), m);
	rig->count++;
	free(content);
	return m;
}

UNUSED static struct rig_message *rig_send(struct rig *rig, size_t bytes)
{
	struct rig_message *m = rig_commit(rig, bytes);

	rig_drain(rig);
	return m;
}

/* Which of the sent messages this is; all of it is checked. */
UNUSED static size_t rig_check(struct rig *rig, const struct spool_record *r)
{
	struct slice digits = slice_part(slice_from(r->meta, 5), 0, r->meta.len - 6);
	uint8_t *content;
	uint8_t hash[32];
	uint64_t n = SIZE_MAX;

	assert_true(r->meta.len > 6 && slice_to_u64(digits, &n) && n < rig->count);
	assert_int_equal(r->raw.len, rig->sent[n].bytes);
	content = mem_new(r->raw.len + 1);
	rig_content((size_t)n, content, r->raw.len);
	assert_true(slice_equal(r->raw, slice_of(content, r->raw.len)));
	free(content);
	sha256(hash, r->raw);
	assert_memory_equal(hash, r->sha256, 32);
	if (rig->sent[n].accepted) {
		assert_int_equal(id_compare(&r->id, &rig->sent[n].id), 0);
		assert_int_equal(r->received_ms, rig->sent[n].received_ms);
	}
	return (size_t)n;
}

/* Reads all there is; counts how often each was seen. */
UNUSED static size_t rig_read_all(struct rig *rig, unsigned *seen, bool done)
{
	struct spool_record r;
	struct err e = { 0 };
	size_t count = 0;
	enum rc rc;

	spool_record_init(&r);
	while ((rc = spool_next(rig->sp, &r, &e)) == RC_OK) {
		size_t n = rig_check(rig, &r);

		if (seen)
			seen[n]++;
		if (done)
			EXPECT_OK(spool_done(rig->sp, &r.after, &e), &e);
		count++;
	}
	if (rc != RC_AGAIN)
		fail_msg("spool_next: %s: %s", rc_name(rc), e.text);
	spool_record_free(&r);
	return count;
}

struct rig_snapshot {
	const char *dir;
	char names[64][32];
	struct buf bytes[64];
	size_t count;
};

UNUSED static enum rc rig_snap(void *arg, const char *name, struct err *e)
{
	struct rig_snapshot *s = arg;
	char *path = path_join(s->dir, name);
	enum rc rc;

	assert_true(s->count < COUNT(s->bytes));
	(void)snprintf(s->names[s->count], sizeof(s->names[0]), "%s", name);
	buf_init(&s->bytes[s->count], 64 << 20);
	rc = file_read_all(path, &s->bytes[s->count], e);
	s->count++;
	free(path);
	return rc;
}

/* As after a kill of the writer: what it would have written at its end is taken back. */
UNUSED static void rig_kill_writer(struct rig *rig)
{
	struct rig_snapshot *s = mem_new(sizeof(*s));
	char dir[80];
	struct err e = { 0 };

	(void)snprintf(dir, sizeof(dir), "%s/spool", rig->dir);
	s->dir = dir;
	rig->deaf = true;
	EXPECT_OK(dir_list(dir, rig_snap, s, &e), &e);
	spool_writer_free(&rig->w);
	for (size_t i = 0; i < s->count; i++) {
		char *path = path_join(dir, s->names[i]);

		EXPECT_OK(file_replace(path, buf_slice(&s->bytes[i]), &e), &e);
		buf_free(&s->bytes[i]);
		free(path);
	}
	rig->deaf = false;
	free(s);
}

UNUSED static void rig_reopen(struct rig *rig)
{
	spool_close(&rig->sp);
	rig_open_spool(rig);
}

UNUSED static enum rc rig_remove(void *arg, const char *name, struct err *e)
{
	char *path = path_join(arg, name);

	(void)e;
	(void)unlink(path);
	free(path);
	return RC_OK;
}

UNUSED static void rig_free(struct rig **rig)
{
	char path[80];
	struct err e = { 0 };

	spool_writer_free(&(*rig)->w);
	spool_close(&(*rig)->sp);
	keyring_close(&(*rig)->kr);
	(void)snprintf(path, sizeof(path), "%s/spool", (*rig)->dir);
	(void)!dir_list(path, rig_remove, path, &e);
	(void)rmdir(path);
	(void)!dir_list((*rig)->dir, rig_remove, (*rig)->dir, &e);
	assert_int_equal(rmdir((*rig)->dir), 0);
	free(*rig);
	*rig = NULL;
}

#endif
