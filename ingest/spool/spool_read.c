#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/limits.h"
#include "base/log.h"
#include "ingest/spool/spool_core.h"
#include "store/crypt.h"

#define NEWEST_AHEAD_MS (INT64_C(7) * MS_PER_DAY) /* a receipt time that is believed, unseen */

/* ---- damage ---- */

static void tell_damage(void *arg, uint64_t offset, uint64_t records, const char *text)
{
	struct live_file *f = arg;
	struct spool *sp = f->sp;

	if (offset < f->quiet_before || (records == 0 && f->quiet_before))
		return;
	pthread_mutex_lock(&sp->lock);
	sp->damaged += records;
	pthread_mutex_unlock(&sp->lock);
	log_error("spool file %08llu.spool is damaged at %llu: %s", (unsigned long long)f->number,
	          (unsigned long long)offset, text);
	if (sp->opt.damage)
		sp->opt.damage(sp->opt.app, f->number, offset, text);
}

/* ---- finishing ---- */

static void set_read_out(struct live_file *f)
{
	spool_reader_free(&f->reader);
	file_close(&f->file);
	pthread_mutex_lock(&f->sp->lock);
	f->read_out = true;
	pthread_mutex_unlock(&f->sp->lock);
}

/* Unlinks the big files whose records end at or before `upto`. */
static enum rc drop_bigs(struct live_file *f, uint64_t upto, struct err *e)
{
	while (f->bigs_count && f->bigs[0].end <= upto) {
		enum rc rc = spool_remove_big(f->sp, f->bigs[0].number, e);

		if (rc != RC_OK)
			return rc;
		f->bigs_count--;
		memmove(f->bigs, f->bigs + 1, f->bigs_count * sizeof(*f->bigs));
	}
	return RC_OK;
}

/* A file that is read to its end and done to there: its key first, then its bytes. */
static enum rc finish_file(struct live_file *f, struct err *e)
{
	struct spool *sp = f->sp;
	enum rc rc = keyring_destroy(sp->kr, &f->key, 1, e);

	if (rc == RC_OK)
		rc = drop_bigs(f, UINT64_MAX, e);
	if (rc == RC_OK)
		rc = spool_retire(sp, &f, e);
	return rc;
}

static struct live_file *find_finished(struct spool *sp)
{
	struct live_file *f;

	pthread_mutex_lock(&sp->lock);
	f = sp->files;
	while (f && !(f->read_out && f->done.offset >= f->delivered.offset))
		f = f->next;
	pthread_mutex_unlock(&sp->lock);
	return f;
}

static enum rc finish_files(struct spool *sp, struct err *e)
{
	struct live_file *f;
	enum rc rc = RC_OK;

	while (rc == RC_OK && (f = find_finished(sp)))
		rc = finish_file(f, e);
	return rc;
}

/* Big files of writers that are gone, when everything that could refer to them has been read. */
static enum rc sweep_bigs(struct spool *sp, struct err *e)
{
	enum rc rc = RC_OK;

	if (!spool_recovered(sp))
		return RC_OK;
	while (rc == RC_OK) {
		const struct big_file *b;
		uint64_t number;

		pthread_mutex_lock(&sp->lock);
		for (b = sp->bigs; b && (!b->settled || b->referenced); b = b->next)
			;
		number = b ? b->number : 0;
		pthread_mutex_unlock(&sp->lock);
		if (!number)
			break;
		rc = spool_remove_big(sp, number, e);
	}
	return rc;
}

/* ---- reading ---- */

/* Behind what is done. A position that can't be is no reason to lose mail: the ids of what is read
 * again make that harmless. */
static void seek_done(struct live_file *f)
{
	struct err e = { 0 };

	if (spool_reader_seek(f->reader, f->done.offset, f->done.records, &e) == RC_OK)
		return;
	log_error("%s: reading from its beginning", e.text);
	pthread_mutex_lock(&f->sp->lock);
	f->done = f->delivered = (struct spool_position) { .file = f->number };
	pthread_mutex_unlock(&f->sp->lock);
}

/* A spare that was renamed and not begun has the header of a file whose key is destroyed. One whose
 * key lives took this file's place, and what was accepted here is gone. */
static enum rc check_foreign(const struct live_file *f, struct err *e)
{
	uint8_t raw[SPOOL_FILE_HEADER];
	struct spool_file_header h;
	uint64_t key;
	size_t got;
	enum rc rc = file_read_some(f->file, raw, sizeof(raw), 0, &got, e);

	if (rc != RC_OK)
		return rc;
	if (got < sizeof(raw) || !spool_file_header_peek(&h, raw) || h.number == f->number ||
	    keyring_find(f->sp->kr, KEY_SPOOL, 0, h.number, &key, NULL) != RC_OK)
		return RC_NOTFOUND;
	return err_set(e, RC_CORRUPT, "%s is spool file %llu", file_name(f->file),
	               (unsigned long long)h.number);
}

/* *judged: the code is about the file's bytes, not about what is around them. */
static enum rc open_reader(struct live_file *f, bool *judged, struct err *e)
{
	uint8_t secret[KEY_BYTES];
	char *path = spool_path(f->sp, f->number, SPOOL_NAME_FILE);
	enum rc rc = keyring_get(f->sp->kr, f->key, secret, e);

	*judged = false;
	if (rc == RC_OK && !f->file) {
		rc = file_open(&f->file, path, FILE_READ, e);
		*judged = rc == RC_NOTFOUND;
	}
	free(path);
	if (rc == RC_OK) {
		*judged = true;
		rc = spool_reader_open(&f->reader, f->file, f->number, secret, tell_damage, f, e);
		if (rc == RC_NOTFOUND)
			rc = check_foreign(f, e);
	}
	crypt_wipe(secret, sizeof(secret));
	if (rc == RC_OK)
		seek_done(f);
	return rc;
}

/* The file can't be begun to be read. Nothing in it, or damage? */
static enum rc give_up(struct live_file *f, uint64_t durable, enum rc rc, const struct err *why)
{
	uint64_t lost = f->messages - MIN_OF(f->messages, f->done.records);

	if (rc == RC_CORRUPT || durable > 0 || f->done.offset > 0)
		tell_damage(f, f->done.offset, MAX_OF(lost, (uint64_t)1), why->text);
	set_read_out(f);
	return RC_AGAIN;
}

/* Reads the next record of one file. RC_AGAIN: none now. */
static enum rc read_file(struct live_file *f, bool settled, uint64_t durable,
                         struct spool_record *r, struct spool_found *found, struct err *e)
{
	uint64_t limit = settled ? f->capacity : durable;
	struct err why = { 0 };
	enum rc rc = RC_OK;

	if (!f->reader) {
		bool judged;

		rc = open_reader(f, &judged, &why);
		if (judged && (rc == RC_NOTFOUND || rc == RC_CORRUPT))
			return give_up(f, durable, rc, &why);
		if (rc != RC_OK)
			return err_set(e, RC_IO, "spool file %llu: %s",
			               (unsigned long long)f->number, why.text);
	}
	rc = spool_reader_next(f->reader, limit, MAX_OF(durable, f->done.offset), &r->bytes, found,
	                       e);
	if (rc == RC_NOTFOUND || (rc == RC_AGAIN && settled)) {
		set_read_out(f);
		return RC_AGAIN;
	}
	if (rc == RC_AGAIN)
		f->scanned = durable;
	return rc;
}

static void mark_referenced(struct live_file *f, const struct spool_found *found)
{
	struct spool *sp = f->sp;

	f->bigs = mem_resize(f->bigs, (f->bigs_count + 1) * sizeof(*f->bigs));
	f->bigs[f->bigs_count++] = (struct file_big) { found->big.number, found->end };
	pthread_mutex_lock(&sp->lock);
	for (struct big_file *b = sp->bigs; b; b = b->next) {
		if (b->number != found->big.number)
			continue;
		b->referenced = true;
		b->bytes = spool_sealed_bytes(found->trailer.raw_bytes);
	}
	pthread_mutex_unlock(&sp->lock);
}

/* Adds the raw bytes of a big file to `out`. RC_CORRUPT: they aren't what the record says. */
static enum rc read_pieces(const struct file *f, const struct spool_found *found, struct buf *out,
                           struct err *e)
{
	uint8_t bound[SPOOL_BIG_BOUND];
	uint64_t left = found->trailer.raw_bytes;
	uint64_t at = 0;
	enum rc rc = RC_OK;

	spool_big_bound(bound, found->big.number);
	for (uint64_t i = 0; rc == RC_OK && left; i++) {
		size_t n = (size_t)MIN_OF(left, (uint64_t)SPOOL_PIECE);
		uint8_t *to = out->at + out->len;

		left -= n;
		rc = file_read_at(f, to, n + SPOOL_TAG, at, e);
		at += n + SPOOL_TAG;
		if (rc == RC_OK &&
		    !spool_open_piece(to, to, n, i, left == 0, slice_of(bound, sizeof(bound)),
		                      found->big.key))
			rc = err_set(e, RC_CORRUPT, "%s is damaged before %llu", file_name(f),
			             (unsigned long long)at);
		out->len += n;
	}
	return rc;
}

static enum rc read_big(struct spool *sp, const struct spool_found *found, struct buf *out,
                        struct err *e)
{
	char *path = spool_path(sp, found->big.number, SPOOL_NAME_BIG);
	struct file *f = NULL;
	uint64_t bytes = 0;
	enum rc rc = file_open(&f, path, FILE_READ, e);

	if (rc == RC_OK)
		rc = file_size(f, &bytes, e);
	if (rc == RC_OK &&
	    (found->trailer.raw_bytes == 0 || found->trailer.raw_bytes > sp->opt.message_bytes ||
	     spool_sealed_bytes(found->trailer.raw_bytes) > bytes))
		rc = err_set(e, RC_CORRUPT, "%s has %llu bytes, its message would have %llu", path,
		             (unsigned long long)bytes,
		             (unsigned long long)found->trailer.raw_bytes);
	if (rc == RC_OK && buf_reserve(out, (size_t)found->trailer.raw_bytes + SPOOL_TAG) != RC_OK)
		rc = err_set(e, RC_LIMIT, "out of memory for a message of %llu bytes",
		             (unsigned long long)found->trailer.raw_bytes);
	if (rc == RC_OK)
		rc = read_pieces(f, found, out, e);
	file_close(&f);
	free(path);
	return rc;
}

/* Reads the big file of a BIG record behind its plain bytes. RC_NOTFOUND: it is lost, that was
 * told. */
static enum rc attach_big(struct live_file *f, struct spool_found *found, struct spool_record *r,
                          struct err *e)
{
	size_t meta_at = (size_t)(found->meta.at - r->bytes.at);
	size_t raw_at = r->bytes.len;
	struct err why = { 0 };
	enum rc rc = read_big(f->sp, found, &r->bytes, &why);

	if (rc == RC_NOTFOUND || rc == RC_CORRUPT) {
		/* Who doesn't know the key may not own the file: it stays until nobody can refer to
		 * it. */
		tell_damage(f, found->begin, 1, why.text);
		return RC_NOTFOUND;
	}
	if (rc != RC_OK) {
		spool_reader_undo(f->reader);
		if (e)
			*e = why;
		return rc;
	}
	mark_referenced(f, found);
	found->meta.at = r->bytes.at + meta_at;
	found->raw = slice_of(r->bytes.at + raw_at, r->bytes.len - raw_at);
	return RC_OK;
}

static void hear_nothing(void *arg, uint64_t offset, uint64_t records, const char *text)
{
	(void)arg;
	(void)offset;
	(void)records;
	(void)text;
}

static int64_t newest_in(struct live_file *f, struct buf *bytes)
{
	struct spool_reader *reader = NULL;
	struct spool_found found;
	uint8_t secret[KEY_BYTES];
	struct file *file = NULL;
	char *path = spool_path(f->sp, f->number, SPOOL_NAME_FILE);
	int64_t newest = 0;
	enum rc rc = keyring_get(f->sp->kr, f->key, secret, NULL);

	if (rc == RC_OK)
		rc = file_open(&file, path, FILE_READ, NULL);
	if (rc == RC_OK)
		rc = spool_reader_open(&reader, file, f->number, secret, hear_nothing, NULL, NULL);
	crypt_wipe(secret, sizeof(secret));
	if (rc == RC_OK)
		(void)!spool_reader_seek(reader, f->done.offset, f->done.records, NULL);
	while (rc == RC_OK) {
		rc = spool_reader_next(reader, f->capacity, f->done.offset, bytes, &found, NULL);
		if (rc == RC_OK)
			newest = MAX_OF(newest, id_received_ms(&found.trailer.id));
	}
	spool_reader_free(&reader);
	file_close(&file);
	free(path);
	return newest;
}

void spool_look_through(struct spool *sp)
{
	int64_t most = MAX_OF(sp->newest_ms, clock_now_ms()) + NEWEST_AHEAD_MS;
	struct buf bytes;

	buf_init(&bytes, SPOOL_RECORD_MAX);
	for (struct live_file *f = sp->files; f; f = f->next)
		if (f->writer == SPOOL_WRITER_SMTP)
			sp->newest_ms = MAX_OF(sp->newest_ms, MIN_OF(newest_in(f, &bytes), most));
	buf_free(&bytes);
}

static void deliver(struct live_file *f, const struct spool_found *found, struct spool_record *r)
{
	r->writer = f->writer;
	r->id = found->trailer.id;
	r->received_ms = id_received_ms(&r->id); /* the other could be any number */
	r->meta = found->meta;
	r->raw = found->raw;
	memcpy(r->sha256, found->trailer.sha256, sizeof(r->sha256));
	r->after = (struct spool_position) { f->number, found->end, found->records };
	pthread_mutex_lock(&f->sp->lock);
	f->delivered = r->after;
	if (f->writer == SPOOL_WRITER_SMTP)
		spool_received(f->sp, r->received_ms);
	pthread_mutex_unlock(&f->sp->lock);
}

/* The first file of a running writer that isn't read out, if something new is in it. Under the
 * lock. */
static struct live_file *pick_live(struct spool *sp, unsigned writer)
{
	struct live_file *last = NULL;

	for (struct live_file *f = sp->files; f; f = f->next) {
		if (f->settled || f->read_out || f->writer != writer || f->durable == 0)
			continue;
		if (last) /* the writer has gone on, so this one was ended, though END can't be read
		           */
			last->read_out = true;
		if (f->durable > f->scanned && f->durable > f->delivered.offset)
			return f;
		last = f;
	}
	return NULL;
}

/* A file to read from: settled ones first, then one of the writer whose turn it is. */
static struct live_file *pick(struct spool *sp, bool *settled, uint64_t *durable)
{
	struct live_file *hit = NULL;

	pthread_mutex_lock(&sp->lock);
	for (struct live_file *f = sp->files; f && !hit; f = f->next)
		if (f->settled && !f->read_out)
			hit = f;
	for (unsigned i = 1; i <= SPOOL_WRITERS && !hit; i++) {
		unsigned writer = (sp->turn + 1) % SPOOL_WRITERS;

		sp->turn = writer;
		hit = pick_live(sp, writer);
	}
	if (hit) {
		*settled = hit->settled;
		*durable = hit->durable;
	}
	pthread_mutex_unlock(&sp->lock);
	return hit;
}

static enum rc tidy(struct spool *sp, struct err *e)
{
	enum rc rc = finish_files(sp, e);

	return rc == RC_OK ? sweep_bigs(sp, e) : rc;
}

enum rc spool_next(struct spool *sp, struct spool_record *r, struct err *e)
{
	struct live_file *f;
	bool settled;
	uint64_t durable;
	enum rc rc;

	r->bytes.limit = SPOOL_RECORD_MAX + (size_t)sp->opt.message_bytes + SPOOL_PIECE;
	while ((f = pick(sp, &settled, &durable))) {
		struct spool_found found;

		rc = read_file(f, settled, durable, r, &found, e);
		if (rc == RC_OK && found.type == SPOOL_BIG)
			rc = attach_big(f, &found, r, e);
		if (rc == RC_OK) {
			deliver(f, &found, r);
			return RC_OK;
		}
		if (rc != RC_AGAIN && rc != RC_NOTFOUND)
			return rc;
	}
	rc = tidy(sp, e);
	return rc == RC_OK ? RC_AGAIN : rc;
}

void spool_record_init(struct spool_record *r)
{
	*r = (struct spool_record) { 0 };
}

void spool_record_free(struct spool_record *r)
{
	buf_free(&r->bytes);
}

/* ---- what is done ---- */

/* Under the lock. */
static struct live_file *find(struct spool *sp, uint64_t number)
{
	struct live_file *f = sp->files;

	while (f && f->number != number)
		f = f->next;
	return f;
}

enum rc spool_done(struct spool *sp, const struct spool_position *upto, struct err *e)
{
	struct live_file *f;
	enum rc rc = RC_OK;

	pthread_mutex_lock(&sp->lock);
	f = find(sp, upto->file);
	if (f && upto->offset > f->done.offset)
		f->done = *upto;
	pthread_mutex_unlock(&sp->lock);
	if (f)
		rc = drop_bigs(f, upto->offset, e);
	return rc == RC_OK ? tidy(sp, e) : rc;
}

void spool_rewind(struct spool *sp)
{
	pthread_mutex_lock(&sp->lock);
	for (struct live_file *f = sp->files; f; f = f->next) {
		spool_reader_free(&f->reader);
		f->read_out = false;
		f->scanned = 0;
		f->quiet_before = MAX_OF(f->quiet_before, f->delivered.offset);
		f->delivered = f->done;
		f->bigs_count = 0;
	}
	pthread_mutex_unlock(&sp->lock);
}

void spool_positions(struct spool *sp, const struct spool_position *upto, size_t upto_count,
                     struct spool_position **out, size_t *count)
{
	size_t files = 0;
	size_t n = 0;

	pthread_mutex_lock(&sp->lock);
	for (const struct live_file *f = sp->files; f; f = f->next)
		files++;
	*out = mem_array(files, sizeof(**out));
	for (const struct live_file *f = sp->files; f; f = f->next) {
		struct spool_position p = f->done;

		for (size_t i = 0; i < upto_count; i++)
			if (upto[i].file == f->number && upto[i].offset > p.offset)
				p = upto[i];
		if (p.offset > 0)
			(*out)[n++] = p;
	}
	pthread_mutex_unlock(&sp->lock);
	*count = n;
}
