#include "store/logbook.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/file.h"
#include "base/log.h"

#define ROLL_BYTES  ((uint64_t)16 << 20)
#define ROLL_LEAST  ((uint64_t)64 << 10)
#define READ_MAX    ((size_t)32 << 20) /* of one file: what it may have, and a frame more */
#define LAST_NUMBER 99999999u

struct part {
	uint32_t number;
	uint64_t key;       /* 0: the ring has none */
	int64_t created_ms; /* of the key */
	uint64_t bytes;
};

struct logbook {
	char *dir;
	struct keyring *keys;
	struct part *parts; /* in order of their numbers */
	size_t count;
	uint64_t *orphans; /* keys without a file */
	size_t orphan_count;
	struct file *file;            /* the last part; NULL: the next append begins another */
	struct logbook_header header; /* of it */
	struct logbook_keys sealing;  /* of it */
	uint64_t frames;              /* in it */
	uint64_t roll_bytes;
	bool dirty;
	struct buf frame;
};

/* --- what is there -----------------------------------------------------------------------------*/

static char *part_path(const struct logbook *b, uint32_t number)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "%08u.log", number);
	return path_join(b->dir, name);
}

static struct part *push_part(struct logbook *b, const struct part *p)
{
	b->parts = mem_resize(b->parts, (b->count + 1) * sizeof(*b->parts));
	b->parts[b->count] = *p;
	return &b->parts[b->count++];
}

static struct part *find_part(struct logbook *b, uint64_t number)
{
	for (size_t i = 0; i < b->count; i++)
		if (b->parts[i].number == number)
			return &b->parts[i];
	return NULL;
}

static uint64_t size_of(const struct logbook *b, uint32_t number)
{
	char *path = part_path(b, number);
	struct file *f = NULL;
	uint64_t size = 0;

	if (file_open(&f, path, FILE_READ, NULL) == RC_OK && file_size(f, &size, NULL) != RC_OK)
		size = 0;
	file_close(&f);
	free(path);
	return size;
}

static enum rc take_name(void *arg, const char *name, struct err *e)
{
	struct logbook *b = arg;
	struct part p = { 0 };
	struct slice s = slice_str(name);
	uint64_t number;

	(void)e;
	if (s.len != 12 || strcmp(name + 8, ".log") != 0 ||
	    !slice_to_u64(slice_part(s, 0, 8), &number) || number == 0)
		return RC_OK;
	p.number = (uint32_t)number;
	p.bytes = size_of(b, p.number);
	(void)push_part(b, &p);
	return RC_OK;
}

static enum rc take_key(void *arg, const struct key_info *k)
{
	struct logbook *b = arg;
	struct part *p;

	if (k->kind != KEY_LOG || k->state != KEY_LIVE)
		return RC_OK;
	p = find_part(b, k->object);
	if (p && k->id > p->key) {
		p->key = k->id;
		p->created_ms = k->created_ms;
	} else if (!p) {
		b->orphans = mem_resize(b->orphans, (b->orphan_count + 1) * sizeof(*b->orphans));
		b->orphans[b->orphan_count++] = k->id;
	}
	return RC_OK;
}

enum rc logbook_relist(struct logbook *b, struct err *e)
{
	enum rc rc = RC_OK;

	b->count = 0;
	b->orphan_count = 0;
	if (dir_exists(b->dir))
		rc = dir_list(b->dir, take_name, b, e);
	return rc == RC_OK ? keyring_each(b->keys, take_key, b) : rc;
}

enum rc logbook_open(struct logbook **out, const char *dir, struct keyring *kr, struct err *e)
{
	struct logbook *b = mem_new(sizeof(*b));
	enum rc rc;

	*out = NULL;
	b->dir = path_join(dir, "logs");
	b->keys = kr;
	b->roll_bytes = ROLL_BYTES;
	buf_init(&b->frame,
	         LOGBOOK_FRAME_MAX + LOGBOOK_HEADER + LOGBOOK_FRAME_HEADER + CRYPT_OVERHEAD);
	rc = logbook_relist(b, e);
	if (rc != RC_OK)
		logbook_close(&b);
	*out = b;
	return rc;
}

static void leave_file(struct logbook *b)
{
	file_close(&b->file);
	crypt_wipe(&b->sealing, sizeof(b->sealing));
	b->dirty = false;
}

void logbook_close(struct logbook **bp)
{
	struct logbook *b = *bp;
	struct err e = { 0 };

	if (!b)
		return;
	if (logbook_sync(b, &e) != RC_OK)
		log_error("the last records of the log may be lost: %s", e.text);
	leave_file(b);
	if (b->frame.at)
		crypt_wipe(b->frame.at, b->frame.room);
	buf_free(&b->frame);
	free(b->parts);
	free(b->orphans);
	free(b->dir);
	free(b);
	*bp = NULL;
}

void logbook_count(const struct logbook *b, size_t *files, uint64_t *bytes)
{
	*files = b->count;
	*bytes = 0;
	for (size_t i = 0; i < b->count; i++)
		*bytes += b->parts[i].bytes;
}

/* --- writing -----------------------------------------------------------------------------------*/

static enum rc make_folder(const struct logbook *b, struct err *e)
{
	char *parent;
	enum rc rc;

	if (dir_exists(b->dir))
		return RC_OK;
	rc = dir_make(b->dir, e);
	if (rc != RC_OK)
		return rc;
	parent = path_join(b->dir, "..");
	rc = dir_sync(parent, e);
	free(parent);
	return rc;
}

static enum rc new_key(struct logbook *b, struct part *p, struct err *e)
{
	struct key_info want = { .kind = KEY_LOG, .object = p->number };
	struct key_info made;
	uint8_t key[KEY_BYTES];
	enum rc rc = keyring_add(b->keys, &want, &p->key, e);

	if (rc == RC_OK)
		rc = keyring_info(b->keys, p->key, &made, e);
	if (rc == RC_OK)
		rc = keyring_get(b->keys, p->key, key, e);
	if (rc != RC_OK)
		return rc;
	p->created_ms = made.created_ms;
	logbook_keys_of(&b->sealing, key);
	crypt_wipe(key, sizeof(key));
	return RC_OK;
}

/* A name of its own, with its header in it, both on disk. */
static enum rc make_file(struct logbook *b, const struct part *p, int64_t now_ms, struct err *e)
{
	uint8_t raw[LOGBOOK_HEADER];
	char *path = part_path(b, p->number);
	enum rc rc = file_open(&b->file, path, FILE_CREATE, e);

	if (rc == RC_OK) {
		b->header = (struct logbook_header) { .number = p->number, .created_ms = now_ms };
		crypt_random(b->header.uuid, sizeof(b->header.uuid));
		logbook_header_encode(raw, &b->header, &b->sealing);
		rc = file_write_at(b->file, slice_of(raw, sizeof(raw)), 0, e);
		if (rc == RC_OK)
			rc = file_sync(b->file, NULL, e);
		if (rc == RC_OK)
			rc = dir_sync(b->dir, e);
		if (rc != RC_OK)
			(void)!file_remove(path, NULL);
	}
	free(path);
	return rc;
}

/* Behind the last one, though its file be gone: no reader takes one for another. */
static enum rc begin_file(struct logbook *b, int64_t now_ms, struct err *e)
{
	struct part p = { .bytes = LOGBOOK_HEADER };
	enum rc rc = make_folder(b, e);

	p.number = MAX_OF(b->header.number, b->count ? b->parts[b->count - 1].number : 0u);
	if (rc == RC_OK && p.number >= LAST_NUMBER)
		rc = err_set(e, RC_LIMIT, "the sealed log has had %u files", LAST_NUMBER);
	if (rc != RC_OK)
		return rc;
	p.number++;
	rc = new_key(b, &p, e);
	if (rc == RC_OK)
		rc = make_file(b, &p, now_ms, e);
	if (rc != RC_OK) {
		leave_file(b);
		if (p.key)
			(void)!keyring_destroy(b->keys, &p.key, 1, NULL);
		return rc;
	}
	b->frames = 0;
	(void)push_part(b, &p);
	return RC_OK;
}

static bool file_is_over(const struct logbook *b, int64_t now_ms)
{
	return b->parts[b->count - 1].bytes >= b->roll_bytes ||
	       day_of_ms(now_ms) != day_of_ms(b->header.created_ms);
}

enum rc logbook_append(struct logbook *b, struct slice entries, int64_t now_ms, struct err *e)
{
	struct part *p;
	enum rc rc = RC_OK;

	if (b->file && file_is_over(b, now_ms)) {
		if (logbook_sync(b, e) != RC_OK)
			log_error("records of the log may be lost: %s", e->text);
		leave_file(b);
	}
	if (!b->file)
		rc = begin_file(b, now_ms, e);
	if (rc != RC_OK)
		return rc;
	p = &b->parts[b->count - 1];
	buf_clear(&b->frame);
	rc = logbook_frame_add(&b->frame, b->frames, entries, &b->header, &b->sealing);
	if (rc != RC_OK)
		return err_set(e, rc, "%zu bytes of records are too many for one write",
		               entries.len);
	rc = file_write_at(b->file, buf_slice(&b->frame), p->bytes, e);
	if (rc != RC_OK) { /* what is torn there stays the end of that file */
		leave_file(b);
		return rc;
	}
	p->bytes += b->frame.len;
	b->frames++;
	b->dirty = true;
	return RC_OK;
}

enum rc logbook_sync(struct logbook *b, struct err *e)
{
	enum rc rc;

	if (!b->file || !b->dirty)
		return RC_OK;
	b->dirty = false;
	rc = file_sync(b->file, NULL, e);
	if (rc != RC_OK)
		leave_file(b);
	return rc;
}

/* --- forgetting --------------------------------------------------------------------------------*/

static bool is_open(const struct logbook *b, const struct part *p)
{
	return b->file && p == &b->parts[b->count - 1];
}

static bool too_old(const struct part *p, const struct logbook_limits *keep, int64_t now_ms)
{
	return keep->keep_days &&
	       day_of_ms(p->created_ms) + (int64_t)keep->keep_days < day_of_ms(now_ms);
}

/* Those that go: without a key, too old, or more than there may be. The one that is written stays.
 */
static void choose(const struct logbook *b, const struct logbook_limits *keep, int64_t now_ms,
                   bool *go)
{
	bool lost = keyring_lost(b->keys) > 0; /* then a key that isn't there says nothing */
	size_t files;
	uint64_t bytes;

	logbook_count(b, &files, &bytes);
	for (size_t i = 0; i < b->count; i++) {
		const struct part *p = &b->parts[i];

		if (is_open(b, p))
			continue;
		go[i] = p->key ? too_old(p, keep, now_ms) || files > LOGBOOK_FILES ||
		                         (keep->max_bytes && bytes > keep->max_bytes)
		               : !lost;
		if (go[i]) {
			files--;
			bytes -= p->bytes;
		}
	}
}

static enum rc remove_part(const struct logbook *b, const struct part *p, struct err *e)
{
	char *path = part_path(b, p->number);
	enum rc rc = file_remove(path, e);

	free(path);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc remove_parts(struct logbook *b, const bool *go, struct err *e)
{
	enum rc rc = RC_OK;
	size_t kept = 0;

	for (size_t i = 0; i < b->count; i++) {
		struct part p = b->parts[i];
		bool gone = go[i] && rc == RC_OK;

		if (gone) {
			rc = remove_part(b, &p, e);
			gone = rc == RC_OK;
		}
		if (go[i])
			p.key = 0; /* its name is tried again */
		if (!gone)
			b->parts[kept++] = p;
	}
	b->count = kept;
	return rc;
}

enum rc logbook_tidy(struct logbook *b, const struct logbook_limits *keep, int64_t now_ms,
                     struct err *e)
{
	bool *go = mem_array(b->count + 1, sizeof(*go));
	uint64_t *ids = mem_array(b->count + b->orphan_count + 1, sizeof(*ids));
	size_t n = 0;
	enum rc rc;

	if (keep->max_bytes) /* so that the file at hand is a small part of it */
		b->roll_bytes = MAX_OF(MIN_OF(ROLL_BYTES, keep->max_bytes / 8), ROLL_LEAST);
	choose(b, keep, now_ms, go);
	for (size_t i = 0; i < b->count; i++)
		if (go[i] && b->parts[i].key)
			ids[n++] = b->parts[i].key;
	for (size_t i = 0; i < b->orphan_count; i++)
		ids[n++] = b->orphans[i];
	rc = keyring_destroy(b->keys, ids, n, e);
	if (rc == RC_OK) {
		b->orphan_count = 0;
		rc = remove_parts(b, go, e);
	}
	free(ids);
	free(go);
	return rc;
}

/* --- reading -----------------------------------------------------------------------------------*/

struct reading {
	const struct part *part;
	const struct logbook_reader *r;
	struct logbook_place *place;
	struct logbook_header header;
	struct logbook_keys keys;
	struct buf bytes;
	struct buf entries;
	bool last; /* more may come behind its end */
};

static enum rc tell(const struct reading *x, const char *what, struct err *e)
{
	char text[120];

	if (!x->r->problem)
		return RC_OK;
	(void)snprintf(text, sizeof(text), "log file %08u, byte %llu: %s", x->part->number,
	               (unsigned long long)x->place->offset, what);
	return x->r->problem(x->r->arg, text, e);
}

static enum rc give_entries(const struct reading *x, struct err *e)
{
	struct slice rest = buf_slice(&x->entries);
	struct logbook_entry entry;
	enum rc rc = RC_OK;

	while (rc == RC_OK && logbook_entry_take(&rest, &entry))
		rc = x->r->entry(x->r->arg, &entry, e);
	return rc;
}

/* What is missing behind a damaged frame is that one itself. */
static enum rc walk(struct reading *x, struct err *e)
{
	struct slice rest = buf_slice(&x->bytes);
	enum logbook_found found = LOGBOOK_FRAME;
	bool damaged = false;
	enum rc rc = RC_OK;

	while (rc == RC_OK && (found == LOGBOOK_FRAME || found == LOGBOOK_DAMAGED)) {
		uint64_t expected = x->place->frame;
		size_t before = rest.len;

		found = logbook_frame_take(&rest, &x->place->frame, &x->entries, &x->header,
		                           &x->keys);
		if (found == LOGBOOK_DAMAGED ||
		    (found == LOGBOOK_FRAME && x->place->frame != expected + 1 && !damaged))
			rc = tell(x, "records are damaged, or missing", e);
		if (rc == RC_OK && found == LOGBOOK_FRAME)
			rc = give_entries(x, e);
		damaged = found == LOGBOOK_DAMAGED;
		x->place->offset += before - rest.len;
	}
	return rc;
}

/* What follows place->offset; the header is read in any case. */
static enum rc load(struct reading *x, const struct logbook *b, bool *good, struct err *e)
{
	uint8_t raw[LOGBOOK_HEADER];
	char *path = part_path(b, x->part->number);
	struct file *f = NULL;
	size_t got = 0;
	uint64_t size;
	enum rc rc = file_open(&f, path, FILE_READ, e);

	free(path);
	if (rc == RC_OK)
		rc = file_read_some(f, raw, sizeof(raw), 0, &got, e);
	*good = rc == RC_OK && logbook_header_decode(&x->header, slice_of(raw, got), &x->keys) &&
	        x->header.number == x->part->number;
	x->place->offset = MAX_OF(x->place->offset, (uint64_t)LOGBOOK_HEADER);
	if (rc == RC_OK)
		rc = file_size(f, &size, e);
	if (rc == RC_OK && *good && size > x->place->offset) {
		size_t n = (size_t)MIN_OF(size - x->place->offset, (uint64_t)READ_MAX);

		rc = buf_reserve(&x->bytes, n);
		if (rc == RC_OK)
			rc = file_read_some(f, x->bytes.at, n, x->place->offset, &x->bytes.len, e);
	}
	file_close(&f);
	return rc;
}

static enum rc read_part(struct logbook *b, struct reading *x, struct err *e)
{
	uint8_t key[KEY_BYTES];
	bool good = false;
	enum rc rc;

	if (!x->part->key)
		return keyring_lost(b->keys) ? tell(x, "its key is lost", e) : RC_OK;
	rc = keyring_get(b->keys, x->part->key, key, e);
	if (rc == RC_NOTFOUND)
		return RC_OK; /* forgotten meanwhile */
	if (rc != RC_OK)
		return rc;
	logbook_keys_of(&x->keys, key);
	crypt_wipe(key, sizeof(key));
	buf_init(&x->bytes, READ_MAX);
	buf_init(&x->entries, LOGBOOK_FRAME_MAX);
	rc = load(x, b, &good, e);
	if (rc == RC_NOTFOUND)
		rc = RC_OK;
	else if (rc == RC_OK && good)
		rc = walk(x, e);
	else if (rc == RC_OK && !x->last)
		rc = tell(x, "its header is damaged", e);
	if (x->entries.at)
		crypt_wipe(x->entries.at, x->entries.room);
	buf_free(&x->entries);
	buf_free(&x->bytes);
	crypt_wipe(&x->keys, sizeof(x->keys));
	return rc;
}

enum rc logbook_read(struct logbook *b, struct logbook_place *place, const struct logbook_reader *r,
                     struct err *e)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < b->count; i++) {
		struct reading x = {
			.part = &b->parts[i], .r = r, .place = place, .last = i + 1 == b->count
		};

		if (x.part->number < place->file)
			continue;
		if (x.part->number > place->file)
			*place = (struct logbook_place) { .file = x.part->number };
		rc = read_part(b, &x, e);
	}
	return rc;
}
