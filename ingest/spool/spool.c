#include "ingest/spool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "ingest/spool/record.h"
#include "ingest/spool/spool_core.h"
#include "store/crypt.h"

#define DEFAULT_MAX_BYTES (UINT64_C(4) << 30)
#define DEFAULT_SPARES    4
#define NUMBER_DIGITS     8
#define BIGS_BESIDE       1000 /* big files that are given out and empty */

#define DRIFT_MS 1000 /* of a writer's times before its floor and its clock */

static const char *const suffixes[] = { [SPOOL_NAME_FILE] = ".spool", [SPOOL_NAME_BIG] = ".big" };

char *spool_path(const struct spool *sp, uint64_t number, enum spool_name kind)
{
	char name[40];

	(void)snprintf(name, sizeof(name), "%0*llu%s", NUMBER_DIGITS, (unsigned long long)number,
	               suffixes[kind]);
	return path_join(sp->dir, name);
}

/* "00000017.spool" -> 17. False for any other name. */
static bool parse_name(struct slice name, enum spool_name kind, uint64_t *number)
{
	struct slice suffix = slice_str(suffixes[kind]);
	struct slice digits;

	if (name.len < NUMBER_DIGITS + suffix.len ||
	    !slice_equal(slice_from(name, name.len - suffix.len), suffix))
		return false;
	digits = slice_part(name, 0, name.len - suffix.len);
	if (digits.len > NUMBER_DIGITS && digits.at[0] == '0')
		return false;
	return slice_to_u64(digits, number) && *number > 0 && *number < UINT64_MAX / 2;
}

void live_file_free(struct live_file **f)
{
	spool_reader_free(&(*f)->reader);
	file_close(&(*f)->file);
	free((*f)->bigs);
	free(*f);
	*f = NULL;
}

/* ---- open ---- */

static enum rc size_of(const char *path, uint64_t *bytes, struct err *e)
{
	struct file *f;
	enum rc rc = file_open(&f, path, FILE_READ, e);

	if (rc != RC_OK)
		return rc;
	rc = file_size(f, bytes, e);
	file_close(&f);
	return rc;
}

struct key_list {
	struct key_info *at;
	size_t count;
};

static enum rc collect_key(void *arg, const struct key_info *k)
{
	struct key_list *l = arg;

	if (k->kind != KEY_SPOOL || k->state != KEY_LIVE)
		return RC_OK;
	l->at = mem_resize(l->at, (l->count + 1) * sizeof(*l->at));
	l->at[l->count++] = *k;
	return RC_OK;
}

struct opening {
	struct spool *sp;
	struct key_list keys;
	struct live_file **files_end;
};

static void saw_number(struct spool *sp, uint64_t number)
{
	if (number >= sp->next_number)
		sp->next_number = number + 1;
}

static struct live_file *live_file_new(struct spool *sp, uint64_t number, uint64_t key)
{
	struct live_file *f = mem_new(sizeof(*f));

	f->sp = sp;
	f->number = number;
	f->key = key;
	f->done.file = number;
	f->delivered.file = number;
	return f;
}

/* A file with a live key may hold accepted mail: it is settled and will be read. */
static enum rc open_settled(struct opening *o, uint64_t number, const struct key_info *key,
                            const char *path, struct err *e)
{
	struct live_file *f = live_file_new(o->sp, number, key->id);
	enum rc rc = size_of(path, &f->capacity, e);

	if (rc != RC_OK) {
		live_file_free(&f);
		return rc;
	}
	f->settled = true;
	f->writer = key->class;
	for (size_t i = 0; i < o->sp->opt.positions_count; i++)
		if (o->sp->opt.positions[i].file == number)
			f->done = f->delivered = o->sp->opt.positions[i];
	*o->files_end = f;
	o->files_end = &f->next;
	return RC_OK;
}

static void keep_spare(struct spool *sp, uint64_t number)
{
	struct spare_file *s = mem_new(sizeof(*s));

	s->number = number;
	s->next = sp->spares;
	sp->spares = s;
	sp->spare_count++;
}

/* A file without a live key holds nothing that could be read. */
static enum rc open_spare(struct spool *sp, uint64_t number, const char *path, struct err *e)
{
	uint64_t bytes;
	enum rc rc = size_of(path, &bytes, e);

	if (rc != RC_OK)
		return rc;
	if (keyring_lost(sp->kr)) {
		log_error("%s has no key: it is a spare, or its key is lost, and with it what was "
		          "accepted and not yet archived",
		          path);
		return RC_OK;
	}
	if (bytes != sp->opt.file_bytes || sp->spare_count >= sp->opt.spares)
		return file_remove(path, e);
	keep_spare(sp, number);
	return RC_OK;
}

static enum rc open_big(struct spool *sp, uint64_t number, const char *path, struct err *e)
{
	struct big_file *b;
	uint64_t bytes;
	enum rc rc = size_of(path, &bytes, e);

	if (rc != RC_OK)
		return rc;
	b = mem_new(sizeof(*b));
	*b = (struct big_file) {
		.next = sp->bigs, .number = number, .settled = true, .bytes = bytes
	};
	sp->bigs = b;
	return RC_OK;
}

static enum rc open_name(void *arg, const char *name, struct err *e)
{
	struct opening *o = arg;
	uint64_t number;
	char *path = path_join(o->sp->dir, name);
	enum rc rc = RC_OK;

	if (parse_name(slice_str(name), SPOOL_NAME_BIG, &number)) {
		saw_number(o->sp, number);
		rc = open_big(o->sp, number, path, e);
	} else if (parse_name(slice_str(name), SPOOL_NAME_FILE, &number)) {
		const struct key_info *key = NULL;

		saw_number(o->sp, number);
		for (size_t i = 0; i < o->keys.count; i++)
			if (o->keys.at[i].object == number)
				key = &o->keys.at[i];
		rc = key ? open_settled(o, number, key, path, e)
		         : open_spare(o->sp, number, path, e);
	} else {
		log_warn("%s is not a file of the spool: left alone", path);
	}
	free(path);
	return rc;
}

static bool has_file(const struct spool *sp, uint64_t number)
{
	for (const struct live_file *f = sp->files; f; f = f->next)
		if (f->number == number)
			return true;
	return false;
}

/* A crash between a key and its file leaves a key alone: nothing was ever sealed to it. */
static enum rc destroy_stray_keys(struct opening *o, struct err *e)
{
	uint64_t *ids = mem_array(o->keys.count, sizeof(*ids));
	size_t n = 0;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < o->keys.count; i++) {
		saw_number(o->sp, o->keys.at[i].object);
		if (!has_file(o->sp, o->keys.at[i].object)) {
			log_warn("spool: key %llu has no file %08llu.spool: destroyed",
			         (unsigned long long)o->keys.at[i].id,
			         (unsigned long long)o->keys.at[i].object);
			ids[n++] = o->keys.at[i].id;
		}
	}
	if (n)
		rc = keyring_destroy(o->sp->kr, ids, n, e);
	free(ids);
	return rc;
}

static void sort_files(struct spool *sp)
{
	struct live_file *sorted = NULL;
	struct live_file *f;

	while ((f = sp->files)) {
		struct live_file **at = &sorted;

		sp->files = f->next;
		while (*at && (*at)->number < f->number)
			at = &(*at)->next;
		f->next = *at;
		*at = f;
	}
	sp->files = sorted;
}

static enum rc open_dir(struct spool *sp, const char *data_dir, struct err *e)
{
	struct opening o = { .sp = sp, .files_end = &sp->files };
	enum rc rc = dir_make(sp->dir, e);

	if (rc == RC_OK)
		rc = dir_sync(data_dir, e);
	if (rc == RC_OK)
		rc = keyring_each(sp->kr, collect_key, &o.keys);
	if (rc == RC_OK)
		rc = dir_list(sp->dir, open_name, &o, e);
	if (rc == RC_OK)
		rc = destroy_stray_keys(&o, e);
	free(o.keys.at);
	sort_files(sp);
	return rc;
}

enum rc spool_open(struct spool **out, const char *dir, struct keyring *kr,
                   const struct spool_options *opt, struct err *e)
{
	struct spool *sp;
	enum rc rc;

	*out = NULL;
	if (opt->file_bytes &&
	    (opt->file_bytes < SPOOL_MIN_CAPACITY || opt->file_bytes % SPOOL_GROUP_ALIGN != 0))
		return err_set(e, RC_INVALID,
		               "a spool file has %d bytes at least, and a multiple of %d",
		               SPOOL_MIN_CAPACITY, SPOOL_GROUP_ALIGN);
	sp = mem_new(sizeof(*sp));
	sp->dir = path_join(dir, "spool");
	sp->kr = kr;
	sp->opt = *opt;
	if (!sp->opt.file_bytes)
		sp->opt.file_bytes = SPOOL_DEFAULT_CAPACITY;
	if (!sp->opt.max_bytes)
		sp->opt.max_bytes = DEFAULT_MAX_BYTES;
	if (!sp->opt.message_bytes)
		sp->opt.message_bytes = LIMIT_MESSAGE_BYTES;
	if (!sp->opt.spares)
		sp->opt.spares = DEFAULT_SPARES;
	MUST(pthread_mutex_init(&sp->lock, NULL) == 0);
	sp->next_number = 1;
	sp->newest_ms = opt->newest_ms;
	for (size_t i = 0; i < opt->positions_count; i++)
		saw_number(sp, opt->positions[i].file);
	rc = open_dir(sp, dir, e);
	sp->opt.positions = NULL;
	if (rc == RC_OK) {
		spool_look_through(sp);
		sp->believed_ms = MAX_OF(sp->newest_ms, clock_now_ms()) + DRIFT_MS;
	} else {
		spool_close(&sp);
	}
	*out = sp;
	return rc;
}

void spool_close(struct spool **sp)
{
	struct live_file *f;
	struct big_file *b;
	struct spare_file *s;

	if (!*sp)
		return;
	while ((f = (*sp)->files)) {
		(*sp)->files = f->next;
		live_file_free(&f);
	}
	while ((b = (*sp)->bigs)) {
		(*sp)->bigs = b->next;
		free(b);
	}
	while ((s = (*sp)->spares)) {
		(*sp)->spares = s->next;
		free(s);
	}
	pthread_mutex_destroy(&(*sp)->lock);
	free((*sp)->dir);
	free(*sp);
	*sp = NULL;
}

/* ---- making files ---- */

/* The size of a big file that may still grow. */
static uint64_t bytes_now(const struct spool *sp, const struct big_file *b)
{
	char *path = spool_path(sp, b->number, SPOOL_NAME_BIG);
	uint64_t bytes = 0;

	(void)!size_of(path, &bytes, NULL);
	free(path);
	return bytes;
}

/* Under the lock. */
static uint64_t disk_bytes(const struct spool *sp)
{
	uint64_t sum = sp->making + sp->spare_count * sp->opt.file_bytes;

	for (const struct live_file *f = sp->files; f; f = f->next)
		sum += f->capacity;
	for (const struct big_file *b = sp->bigs; b; b = b->next)
		sum += b->bytes ? b->bytes : bytes_now(sp, b);
	return sum;
}

/* Big files are asked for one by one, and an empty one takes no room: their number has a limit too.
 */
static bool too_many_bigs(const struct spool *sp)
{
	uint64_t n = 0;

	for (const struct big_file *b = sp->bigs; b; b = b->next)
		n++;
	return n >= BIGS_BESIDE + sp->opt.max_bytes / LIMIT_SPOOL_INLINE;
}

/* Reserves a number and, for a spool file, a spare or the room for a new one. */
static enum rc reserve(struct spool *sp, uint64_t bytes, uint64_t *number, uint64_t *spare,
                       struct err *e)
{
	enum rc rc = RC_OK;
	uint64_t used;

	*spare = 0;
	pthread_mutex_lock(&sp->lock);
	used = disk_bytes(sp);
	if (bytes && sp->spares) {
		struct spare_file *s = sp->spares;

		*spare = s->number;
		sp->spares = s->next;
		sp->spare_count--;
		sp->making += bytes;
		free(s);
	} else if (used >= sp->opt.max_bytes || bytes > sp->opt.max_bytes - used) {
		rc = err_set(e, RC_NOSPACE, "the spool holds %llu of %llu bytes",
		             (unsigned long long)used, (unsigned long long)sp->opt.max_bytes);
	} else if (!bytes && too_many_bigs(sp)) {
		rc = err_set(e, RC_NOSPACE, "the spool holds as many big files as it may");
	} else {
		sp->making += bytes;
	}
	if (rc == RC_OK)
		*number = sp->next_number++;
	pthread_mutex_unlock(&sp->lock);
	return rc;
}

static enum rc make_key(struct spool *sp, unsigned writer, uint64_t number, uint64_t *id,
                        uint8_t public_key[SPOOL_KEY], struct err *e)
{
	struct key_info want = { .kind = KEY_SPOOL, .class = (uint16_t)writer, .object = number };
	uint8_t secret[KEY_BYTES];
	enum rc rc = keyring_add(sp->kr, &want, id, e);

	if (rc != RC_OK)
		return rc;
	rc = keyring_get(sp->kr, *id, secret, e);
	if (rc == RC_OK)
		spool_public_key(public_key, secret);
	crypt_wipe(secret, sizeof(secret));
	return rc;
}

static enum rc hand_out(const struct file *f, int *fd, struct err *e)
{
	*fd = fcntl(file_fd(f), F_DUPFD_CLOEXEC, 3);
	return *fd < 0 ? err_sys(e, "%s: duplicate its descriptor", file_name(f)) : RC_OK;
}

/* The file under its new name: a spare renamed, or zeros. */
static enum rc make_bytes(struct spool *sp, uint64_t number, uint64_t spare, int *fd, struct err *e)
{
	char *path = spool_path(sp, number, SPOOL_NAME_FILE);
	struct file *f = NULL;
	enum rc rc;

	if (spare) {
		char *old = spool_path(sp, spare, SPOOL_NAME_FILE);

		rc = file_rename(old, path, e);
		if (rc == RC_OK)
			rc = file_open(&f, path, FILE_WRITE, e);
		free(old);
	} else {
		rc = file_open(&f, path, FILE_CREATE, e);
		if (rc == RC_OK)
			rc = file_fill_zero(f, sp->opt.file_bytes, e);
		if (rc == RC_OK)
			rc = file_sync(f, NULL, e);
	}
	if (rc == RC_OK)
		rc = dir_sync(sp->dir, e);
	if (rc == RC_OK)
		rc = hand_out(f, fd, e);
	if (rc != RC_OK && f)
		(void)!file_remove(path, NULL);
	file_close(&f);
	free(path);
	return rc;
}

/* A spare that came to nothing, if it still has its name. */
static void give_back(struct spool *sp, uint64_t spare)
{
	char *path = spool_path(sp, spare, SPOOL_NAME_FILE);

	if (file_exists(path)) {
		pthread_mutex_lock(&sp->lock);
		keep_spare(sp, spare);
		pthread_mutex_unlock(&sp->lock);
	}
	free(path);
}

static void add_file(struct spool *sp, struct live_file *f)
{
	struct live_file **at;

	pthread_mutex_lock(&sp->lock);
	for (at = &sp->files; *at && (*at)->number < f->number; at = &(*at)->next)
		;
	f->next = *at;
	*at = f;
	pthread_mutex_unlock(&sp->lock);
}

enum rc spool_make_file(struct spool *sp, unsigned writer, struct spool_new_file *out,
                        struct err *e)
{
	struct live_file *f;
	uint64_t spare;
	uint64_t key = 0;
	enum rc rc;

	MUST(writer < SPOOL_WRITERS);
	*out = (struct spool_new_file) { .fd = -1, .capacity = sp->opt.file_bytes };
	rc = reserve(sp, sp->opt.file_bytes, &out->number, &spare, e);
	if (rc != RC_OK)
		return rc;
	f = live_file_new(sp, out->number, 0);
	f->writer = writer;
	f->capacity = sp->opt.file_bytes;
	rc = make_key(sp, writer, out->number, &key, out->public_key, e);
	f->key = key;
	if (rc == RC_OK)
		rc = make_bytes(sp, out->number, spare, &out->fd, e);
	if (rc == RC_OK) {
		add_file(sp, f);
	} else {
		if (key)
			(void)!keyring_destroy(sp->kr, &key, 1, NULL);
		live_file_free(&f);
		if (spare)
			give_back(sp, spare);
	}
	pthread_mutex_lock(&sp->lock);
	sp->making -= sp->opt.file_bytes;
	pthread_mutex_unlock(&sp->lock);
	return rc;
}

static void add_big(struct spool *sp, uint64_t number, unsigned writer)
{
	struct big_file *b = mem_new(sizeof(*b));

	b->number = number;
	b->writer = writer;
	pthread_mutex_lock(&sp->lock);
	b->next = sp->bigs;
	sp->bigs = b;
	pthread_mutex_unlock(&sp->lock);
}

enum rc spool_make_big(struct spool *sp, unsigned writer, struct spool_new_file *out, struct err *e)
{
	struct file *f = NULL;
	uint64_t spare;
	char *path;
	enum rc rc;

	MUST(writer < SPOOL_WRITERS);
	*out = (struct spool_new_file) { .fd = -1 };
	rc = reserve(sp, 0, &out->number, &spare, e);
	if (rc != RC_OK)
		return rc;
	path = spool_path(sp, out->number, SPOOL_NAME_BIG);
	rc = file_open(&f, path, FILE_CREATE, e);
	if (rc == RC_OK)
		rc = dir_sync(sp->dir, e);
	if (rc == RC_OK)
		rc = hand_out(f, &out->fd, e);
	if (rc == RC_OK)
		add_big(sp, out->number, writer);
	else if (f)
		(void)!file_remove(path, NULL);
	file_close(&f);
	free(path);
	return rc;
}

/* ---- news of writers ---- */

void spool_durable(struct spool *sp, unsigned writer, uint64_t file, uint64_t offset,
                   uint64_t messages)
{
	int64_t now = clock_now_ms();

	pthread_mutex_lock(&sp->lock);
	for (struct live_file *f = sp->files; f; f = f->next) {
		if (f->number != file || f->writer != writer || offset <= f->durable ||
		    offset > f->capacity)
			continue;
		if (f->durable == 0)
			f->used_mono_ms = clock_mono_ms();
		f->durable = offset;
		f->messages = MAX_OF(messages, f->messages);
		sp->newest_ms = MAX_OF(sp->newest_ms, now);
		sp->believed_ms = MAX_OF(sp->believed_ms, now + DRIFT_MS);
	}
	pthread_mutex_unlock(&sp->lock);
}

void spool_received(struct spool *sp, int64_t ms)
{
	sp->newest_ms = MAX_OF(sp->newest_ms, MIN_OF(ms, sp->believed_ms));
}

int64_t spool_newest_ms(struct spool *sp)
{
	int64_t newest;

	pthread_mutex_lock(&sp->lock);
	newest = sp->newest_ms;
	pthread_mutex_unlock(&sp->lock);
	return newest;
}

void spool_writer_gone(struct spool *sp, unsigned writer)
{
	pthread_mutex_lock(&sp->lock);
	for (struct live_file *f = sp->files; f; f = f->next)
		if (f->writer == writer)
			f->settled = true;
	for (struct big_file *b = sp->bigs; b; b = b->next)
		if (b->writer == writer)
			b->settled = true;
	/* What it wrote behind a clock that was set back may not have been read yet. */
	if (clock_now_ms() < sp->newest_ms)
		sp->newest_ms += DRIFT_MS;
	sp->believed_ms = MAX_OF(sp->believed_ms, sp->newest_ms + DRIFT_MS);
	pthread_mutex_unlock(&sp->lock);
}

/* ---- the end of files ---- */

static void take_off(struct spool *sp, const struct live_file *f)
{
	struct live_file **at = &sp->files;

	while (*at && *at != f)
		at = &(*at)->next;
	if (*at)
		*at = f->next;
}

enum rc spool_retire(struct spool *sp, struct live_file **f, struct err *e)
{
	char *path = spool_path(sp, (*f)->number, SPOOL_NAME_FILE);
	enum rc rc = RC_OK;
	bool keep;

	pthread_mutex_lock(&sp->lock);
	take_off(sp, *f);
	keep = (*f)->capacity == sp->opt.file_bytes && sp->spare_count < sp->opt.spares;
	if (keep)
		keep_spare(sp, (*f)->number);
	pthread_mutex_unlock(&sp->lock);
	if (!keep)
		rc = file_remove(path, e);
	live_file_free(f);
	free(path);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc spool_remove_big(struct spool *sp, uint64_t number, struct err *e)
{
	char *path = spool_path(sp, number, SPOOL_NAME_BIG);
	struct big_file **at = &sp->bigs;
	enum rc rc = file_remove(path, e);

	free(path);
	if (rc != RC_OK && rc != RC_NOTFOUND)
		return rc;
	pthread_mutex_lock(&sp->lock);
	while (*at && (*at)->number != number)
		at = &(*at)->next;
	if (*at) {
		struct big_file *b = *at;

		*at = b->next;
		free(b);
	}
	pthread_mutex_unlock(&sp->lock);
	return RC_OK;
}

void spool_backlog(struct spool *sp, struct spool_totals *out)
{
	*out = (struct spool_totals) { 0 };
	pthread_mutex_lock(&sp->lock);
	for (const struct live_file *f = sp->files; f; f = f->next) {
		uint64_t known = MAX_OF(f->messages, f->delivered.records);
		uint64_t end = MAX_OF(f->durable, f->delivered.offset);

		out->files++;
		out->messages += known - MIN_OF(known, f->done.records);
		out->bytes += end - MIN_OF(end, f->done.offset);
		if (f->settled && !f->read_out)
			out->messages++;
	}
	out->disk_bytes = disk_bytes(sp);
	out->damaged = sp->damaged;
	out->spares = sp->spare_count;
	pthread_mutex_unlock(&sp->lock);
}

bool spool_holds_since(struct spool *sp, int64_t mono_ms, uint64_t *moved)
{
	bool holds = false;

	*moved = 0;
	pthread_mutex_lock(&sp->lock);
	for (const struct live_file *f = sp->files; f; f = f->next)
		if (f->settled || (f->durable > 0 && f->used_mono_ms <= mono_ms)) {
			holds = true;
			/* It only grows: a file that goes takes along a part that is below 0.
			 */
			*moved += f->done.offset - f->capacity;
		}
	pthread_mutex_unlock(&sp->lock);
	return holds;
}

bool spool_recovered(struct spool *sp)
{
	bool all = true;

	pthread_mutex_lock(&sp->lock);
	for (const struct live_file *f = sp->files; f; f = f->next)
		if (f->settled && !f->read_out)
			all = false;
	pthread_mutex_unlock(&sp->lock);
	return all;
}

/* ---- waiting for what is accepted now ---- */

void spool_mark(struct spool *sp, struct spool_mark **out, size_t *count)
{
	size_t n = 0;

	pthread_mutex_lock(&sp->lock);
	for (const struct live_file *f = sp->files; f; f = f->next)
		n++;
	*out = mem_array(n, sizeof(**out));
	*count = n;
	n = 0;
	for (const struct live_file *f = sp->files; f; f = f->next)
		(*out)[n++] =
		        (struct spool_mark) { f->number,
			                      f->settled && !f->read_out
			                              ? UINT64_MAX
			                              : MAX_OF(f->messages, f->delivered.records) };
	pthread_mutex_unlock(&sp->lock);
}

/* Under the lock. */
static uint64_t behind(const struct live_file *f, uint64_t records)
{
	uint64_t most = MAX_OF(f->messages, f->delivered.records);
	uint64_t done = f->done.records;

	/* Records that were lost at the end of a file are never delivered. */
	if (f->read_out)
		most = f->delivered.records;
	else if (records == UINT64_MAX)
		return MAX_OF(most, done + 1) - done;
	most = MIN_OF(most, records);
	return most - MIN_OF(most, done);
}

uint64_t spool_behind(struct spool *sp, const struct spool_mark *marks, size_t count)
{
	uint64_t sum = 0;

	pthread_mutex_lock(&sp->lock);
	for (const struct live_file *f = sp->files; f; f = f->next)
		for (size_t i = 0; i < count; i++)
			if (marks[i].file == f->number)
				sum += behind(f, marks[i].records);
	pthread_mutex_unlock(&sp->lock);
	return sum;
}
