#include "store/audit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "store/audit_file.h"

#define ROLL_BYTES    ((uint64_t)16 << 20)
#define PENDING_BYTES ((size_t)4 << 20)   /* past this audit_add syncs by itself */
#define PENDING_MAX   ((size_t)256 << 20) /* four of the largest entries */
#define FILE_MAX      ((size_t)512 << 20)
#define FILES_MAX     99999999u

/* One file of the log, as its header and the header of the next say. */
struct part {
	struct audit_file_header header; /* .at is not set where `hollow` */
	bool hollow;                     /* no valid header: a crash while it was made */
	uint64_t end;                    /* where its part of the chain ends */
	uint64_t size;                   /* of the file when the log was opened */
};

struct audit {
	pthread_mutex_t lock;
	pthread_cond_t synced;
	char *dir;
	struct audit_keys keys;
	struct part *parts;
	size_t nparts;
	struct file *file;        /* the last part; NULL when the next flush begins another */
	struct audit_place added; /* after the last audit_add */
	struct audit_place durable;
	const _Atomic uint64_t *control; /* audit_witness; NULL: none */
	struct buf pending; /* entries after `durable`, but those that a running sync took */
	bool syncing;
	bool damaged; /* audit_is_damaged */
};

static char *part_path(const struct audit *a, uint32_t number)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "%08u.log", number);
	return path_join(a->dir, name);
}

static enum rc read_part(const struct audit *a, uint32_t number, struct buf *bytes, struct err *e)
{
	char *path = part_path(a, number);
	enum rc rc;

	buf_clear(bytes);
	rc = file_read_all(path, bytes, e);
	free(path);
	return rc;
}

/* --- following the chain -----------------------------------------------------------------------*/

struct walk {
	const struct audit *a;
	struct audit_place at;
	struct buf json;
	enum rc (*each)(struct walk *w, struct err *e); /* may be NULL; after w->at moved */
	void *arg;
	uint64_t from;                   /* breaks before this entry are nobody's concern */
	unsigned breaks;                 /* of the chain, behind which it was found again */
	struct err breaking;             /* the first of them */
	uint64_t most;                   /* no later entry belongs into the part */
	const struct audit_head *wanted; /* is looked for; NULL: none */
	bool had;
};

/* Also an entry that is damaged is proved by the next one, which has its hash. */
static void look_for(struct walk *w)
{
	if (w->wanted && w->at.entries == w->wanted->entries)
		w->had |= memcmp(w->at.hash, w->wanted->hash, AUDIT_HASH) == 0;
}

static enum rc break_error(const struct part *p, uint64_t at, uint64_t entry, struct err *e)
{
	return err_set(e, RC_CORRUPT, "audit file %08u: the chain breaks at byte %llu, entry %llu",
	               p->header.number, (unsigned long long)at, (unsigned long long)entry);
}

/* The chain goes on at `next`, and it isn't proved what was before that. */
static void step_over(struct walk *w, const struct part *p, uint64_t at,
                      const struct audit_place *next)
{
	if (next->entries >= w->from && w->breaks++ == 0)
		(void)break_error(p, at, w->at.entries + 1, &w->breaking);
	w->at = *next;
	look_for(w);
}

/* Moves *end behind a break to the next entry that mm wrote. Without one it is the end of the
 * chain, as it is where what follows may be what a crash left: not `whole`, and none knows that it
 * was synced. */
static bool find_again(struct walk *w, const struct part *p, struct slice bytes, bool whole,
                       uint64_t *end)
{
	struct slice rest = slice_from(bytes, (size_t)*end);
	struct audit_raw_entry entry;
	struct audit_place next = { .when_ms = w->at.when_ms };
	size_t at;

	if (!whole && !audit_was_synced(rest, w->at.entries + 1, &w->a->keys))
		return false;
	if (!audit_entry_find(&entry, &at, rest, w->at.entries + 1, w->most, &w->a->keys))
		return false;
	next.entries = entry.number - 1;
	memcpy(next.hash, entry.before, AUDIT_HASH);
	step_over(w, p, *end, &next);
	*end += at;
	return true;
}

/* Walks the entries of a part and sets *end to where they end. `whole`: all of the bytes were
 * synced. */
static enum rc walk_bytes(struct walk *w, const struct part *p, struct slice bytes, bool whole,
                          uint64_t *end, struct err *e)
{
	struct audit_raw_entry entry;
	enum rc rc = RC_OK;

	*end = AUDIT_FILE_HEADER;
	while (rc == RC_OK && *end < bytes.len) {
		if (audit_entry_peek(&entry, slice_from(bytes, (size_t)*end)) &&
		    audit_entry_take(&w->at, &entry, &w->json, &w->a->keys)) {
			*end += entry.bytes;
			look_for(w);
			rc = w->each ? w->each(w, e) : RC_OK;
		} else if (!find_again(w, p, bytes, whole, end)) {
			break;
		}
	}
	return rc;
}

static bool same_place(const struct audit_place *x, const struct audit_place *y)
{
	return x->entries == y->entries && memcmp(x->hash, y->hash, AUDIT_HASH) == 0;
}

/* A part that the log holds must still have its header, and its entries up to the known end. Where
 * they don't lead to the `next` part the chain goes on there; NULL: there is none. */
static enum rc walk_part(struct walk *w, const struct part *p, const struct part *next,
                         struct err *e)
{
	struct audit_file_header h;
	struct buf bytes;
	uint64_t end;
	enum rc rc;

	w->most = next ? next->header.at.entries : UINT64_MAX;
	buf_init(&bytes, FILE_MAX);
	rc = read_part(w->a, p->header.number, &bytes, e);
	if (rc == RC_NOTFOUND)
		rc = err_set(e, RC_CORRUPT, "audit file %08u is gone", p->header.number);
	if (rc == RC_OK && (!audit_header_decode(&h, buf_slice(&bytes), &w->a->keys) ||
	                    !same_place(&h.at, &w->at) || h.number != p->header.number))
		rc = err_set(e, RC_CORRUPT, "audit file %08u: its header is not what was written",
		             p->header.number);
	if (rc == RC_OK)
		rc = walk_bytes(w, p, slice_part(buf_slice(&bytes), 0, (size_t)p->end), true, &end,
		                e);
	if (rc == RC_OK && !next && end != p->end)
		rc = break_error(p, end, w->at.entries + 1, e);
	if (rc == RC_OK && next && (end != p->end || !same_place(&w->at, &next->header.at)))
		step_over(w, p, end, &next->header.at);
	buf_free(&bytes);
	return rc;
}

/* From part `first` on. RC_CORRUPT where the chain breaks, after all that could be read was given
 * to `each`, or all that it wanted (RC_NOTFOUND). */
static enum rc walk_parts(struct walk *w, const struct part *parts, size_t n, size_t first,
                          struct err *e)
{
	enum rc rc = RC_OK;

	for (size_t i = first, next; i < n && rc == RC_OK; i = next) {
		for (next = i + 1; next < n && parts[next].hollow;)
			next++;
		rc = parts[i].hollow ? RC_OK
		                     : walk_part(w, &parts[i], next < n ? &parts[next] : NULL, e);
	}
	if ((rc != RC_OK && rc != RC_NOTFOUND) || !w->breaks)
		return rc;
	if (w->breaks > 1)
		return err_set(e, RC_CORRUPT, "%s, and at %u more places behind it",
		               w->breaking.text, w->breaks - 1);
	return err_set(e, RC_CORRUPT, "%s", w->breaking.text);
}

/* --- opening -----------------------------------------------------------------------------------*/

static void push_part(struct audit *a, const struct part *p)
{
	a->parts = mem_resize(a->parts, (a->nparts + 1) * sizeof(*a->parts));
	a->parts[a->nparts++] = *p;
}

/* Only the header is read. */
static enum rc peek_part(const struct audit *a, struct part *p, struct err *e)
{
	uint8_t raw[AUDIT_FILE_HEADER];
	uint32_t number = p->header.number;
	char *path = part_path(a, number);
	struct file *f;
	size_t got = 0;
	enum rc rc = file_open(&f, path, FILE_READ, e);

	free(path);
	if (rc != RC_OK)
		return rc;
	rc = file_size(f, &p->size, e);
	if (rc == RC_OK)
		rc = file_read_some(f, raw, sizeof(raw), 0, &got, e);
	file_close(&f);
	p->hollow = !audit_header_decode(&p->header, slice_of(raw, got), &a->keys) ||
	            p->header.number != number;
	p->header.number = number;
	return rc;
}

static enum rc take_name(void *arg, const char *name, struct err *e)
{
	struct audit *a = arg;
	struct part p = { 0 };
	struct slice s = slice_str(name);
	uint64_t number;

	if (s.len != 12 || strcmp(name + 8, ".log") != 0 ||
	    !slice_to_u64(slice_part(s, 0, 8), &number))
		return RC_OK;
	if (number != a->nparts + 1)
		return err_set(e, RC_CORRUPT, "audit file %08zu is missing", a->nparts + 1);
	p.header.number = (uint32_t)number;
	push_part(a, &p);
	return RC_OK;
}

/* A part ends where the header that goes on from it says. What lies between the two is what crashes
 * left of files that were being made. */
static enum rc link_parts(struct audit *a, struct err *e)
{
	struct part *last = NULL;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < a->nparts && rc == RC_OK; i++) {
		struct part *p = &a->parts[i];

		rc = peek_part(a, p, e);
		if (rc != RC_OK || p->hollow)
			continue;
		if (p->header.before != (last ? last->header.number : 0))
			return err_set(e, RC_CORRUPT, "audit file %08u has no valid header",
			               p->header.before);
		if (last && last->size < p->header.before_end)
			return err_set(e, RC_CORRUPT, "audit file %08u was cut at byte %llu",
			               last->header.number, (unsigned long long)last->size);
		if (last)
			last->end = p->header.before_end;
		last = p;
	}
	return rc;
}

/* What follows the last valid entry must be what a crash left, not what was synced once. */
static enum rc check_rest(const struct audit *a, const struct part *p, uint64_t from,
                          struct buf *bytes, struct err *e)
{
	enum rc rc = read_part(a, p->header.number, bytes, e);
	struct slice rest = slice_from(buf_slice(bytes), (size_t)from);

	if (rc != RC_OK)
		return rc;
	if (audit_was_synced(rest, a->added.entries + 1, &a->keys))
		return break_error(p, from, a->added.entries + 1, e);
	if (rest.len)
		log_warn("audit file %08u: %zu bytes of an unfinished entry are left behind",
		         p->header.number, rest.len);
	return RC_OK;
}

/* The last part that has a header is followed entry by entry to find the head. Damage in it, as in
 * the parts before it, keeps nobody from going on: what wants a whole log walks it. */
static enum rc find_head(struct audit *a, struct err *e)
{
	struct walk w = { .a = a, .most = UINT64_MAX };
	size_t last = a->nparts;
	struct buf bytes;
	enum rc rc = RC_OK;

	while (last > 0 && a->parts[last - 1].hollow)
		last--;
	buf_init(&bytes, FILE_MAX);
	buf_init(&w.json, AUDIT_ENTRY_MAX);
	if (last > 0) {
		struct part *p = &a->parts[last - 1];

		w.at = p->header.at;
		rc = read_part(a, p->header.number, &bytes, e);
		if (rc == RC_OK)
			rc = walk_bytes(&w, p, buf_slice(&bytes), false, &p->end, e);
		a->durable = w.at;
		a->added = w.at;
		if (rc == RC_OK)
			rc = check_rest(a, p, p->end, &bytes, e);
		a->damaged = w.breaks > 0;
		if (rc == RC_OK && a->damaged)
			log_error(
			        "%s; the log goes on behind it, and 'mm-audit verify' fails until "
			        "the file is as it was (mmd(8), \"When something is damaged\")",
			        w.breaking.text);
	}
	for (size_t i = last; i < a->nparts && rc == RC_OK; i++)
		rc = check_rest(a, &a->parts[i], 0, &bytes, e);
	buf_free(&w.json);
	buf_free(&bytes);
	return rc;
}

/* Appends go on in the last part when it ends with a whole entry; else the next flush begins one.
 */
static enum rc resume(struct audit *a, struct err *e)
{
	const struct part *p = a->nparts ? &a->parts[a->nparts - 1] : NULL;
	uint64_t size;
	char *path;
	enum rc rc;

	if (!p || p->hollow)
		return RC_OK;
	path = part_path(a, p->header.number);
	rc = file_open(&a->file, path, FILE_WRITE, e);
	free(path);
	if (rc == RC_OK)
		rc = file_size(a->file, &size, e);
	/* What a process that was killed wrote may not have been synced. */
	if (rc == RC_OK)
		rc = file_sync(a->file, NULL, e);
	if (rc == RC_OK && (size != p->end || size >= ROLL_BYTES))
		file_close(&a->file);
	return rc;
}

static enum rc get_keys(struct audit *a, struct keyring *kr, struct err *e)
{
	struct key_info want = { .kind = KEY_AUDIT };
	uint8_t key[KEY_BYTES];
	uint64_t id;
	enum rc rc = keyring_find(kr, KEY_AUDIT, 0, 0, &id, e);

	if (rc == RC_NOTFOUND && a->nparts)
		return err_set(e, RC_CORRUPT, "the key ring has no key of this audit log");
	if (rc == RC_NOTFOUND)
		rc = keyring_add(kr, &want, &id, e);
	if (rc == RC_OK)
		rc = keyring_get(kr, id, key, e);
	if (rc != RC_OK)
		return rc;
	crypt_derive(a->keys.seal, key, "mm audit entry 1");
	crypt_derive(a->keys.header, key, "mm audit file 1");
	crypt_wipe(key, sizeof(key));
	return RC_OK;
}

static enum rc open_all(struct audit *a, const char *dir, struct keyring *kr, struct err *e)
{
	enum rc rc = RC_OK;

	if (!file_exists(a->dir)) {
		rc = dir_make(a->dir, e);
		if (rc == RC_OK)
			rc = dir_sync(dir, e);
	}
	if (rc == RC_OK)
		rc = dir_list(a->dir, take_name, a, e);
	if (rc == RC_OK)
		rc = get_keys(a, kr, e);
	if (rc == RC_OK)
		rc = link_parts(a, e);
	if (rc == RC_OK)
		rc = find_head(a, e);
	return rc == RC_OK ? resume(a, e) : rc;
}

static void free_audit(struct audit *a)
{
	file_close(&a->file);
	buf_free(&a->pending);
	crypt_wipe(&a->keys, sizeof(a->keys));
	(void)pthread_cond_destroy(&a->synced);
	(void)pthread_mutex_destroy(&a->lock);
	free(a->parts);
	free(a->dir);
	free(a);
}

enum rc audit_open(struct audit **out, const char *dir, struct keyring *kr, struct err *e)
{
	struct audit *a = mem_new(sizeof(*a));
	enum rc rc;

	crypt_init();
	*out = NULL;
	MUST(pthread_mutex_init(&a->lock, NULL) == 0);
	MUST(pthread_cond_init(&a->synced, NULL) == 0);
	buf_init(&a->pending, PENDING_MAX);
	a->dir = path_join(dir, "audit");
	rc = open_all(a, dir, kr, e);
	if (rc != RC_OK) {
		free_audit(a);
		return rc;
	}
	*out = a;
	return RC_OK;
}

void audit_close(struct audit **ap)
{
	struct err e = { 0 };

	if (!*ap)
		return;
	if (audit_sync(*ap, &e) != RC_OK)
		log_error("the last audit entries are lost: %s", e.text);
	free_audit(*ap);
	*ap = NULL;
}

/* --- adding ------------------------------------------------------------------------------------*/

bool audit_is_event(struct slice word)
{
	static const char *const words[] = {
#define EVENT(word, meaning) #word,
#include "store/audit_events.h"
#undef EVENT
	};

	for (size_t i = 0; i < COUNT(words); i++)
		if (slice_equal(slice_str(words[i]), word))
			return true;
	return false;
}

void audit_witness(struct audit *a, const _Atomic uint64_t *control)
{
	MUST(pthread_mutex_lock(&a->lock) == 0);
	a->control = control;
	MUST(pthread_mutex_unlock(&a->lock) == 0);
}

/* The caller frees; NULL when `who` or `detail` is not UTF-8. */
static char *entry_text(const char *event, const char *who, json_t *detail)
{
	json_t *o = json_pack("{s:s, s:s}", "event", event, "who", who);
	char *text;

	if (!o) {
		json_decref(detail);
		return NULL;
	}
	if (detail && json_object_set_new(o, "detail", detail) != 0) {
		json_decref(o);
		return NULL;
	}
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

/* One more member for the object; with the lock held, so that the log's entries never count
 * backwards. */
static char *add_control(char *text, uint64_t control)
{
	size_t end = strlen(text) - 1;

	text = mem_resize(text, end + 40);
	(void)snprintf(text + end, 40, ",\"control\":%llu}", (unsigned long long)control);
	return text;
}

enum rc audit_add(struct audit *a, const char *event, const char *who, json_t *detail,
                  struct err *e)
{
	int64_t when = clock_now_ms();
	bool full;
	char *text;
	enum rc rc;

	if (!audit_is_event(slice_str(event))) {
		json_decref(detail);
		return err_set(e, RC_INVALID, "no such audit event: %s", event);
	}
	text = entry_text(event, who, detail);
	if (!text)
		return err_set(e, RC_INVALID, "audit entry %s is no JSON", event);
	MUST(pthread_mutex_lock(&a->lock) == 0);
	if (a->control)
		text = add_control(text, atomic_load(a->control));
	rc = audit_entry_add(&a->pending, &a->added, MAX_OF(when, a->added.when_ms),
	                     a->durable.entries, slice_str(text), &a->keys);
	full = a->pending.len > PENDING_BYTES;
	MUST(pthread_mutex_unlock(&a->lock) == 0);
	free(text);
	if (rc != RC_OK)
		return err_set(e, rc, "audit entry %s is too large, or too many wait", event);
	/* It is added either way; what is wrong is told to who waits for it. */
	if (full)
		(void)!audit_sync(a, NULL);
	return RC_OK;
}

/* --- syncing -----------------------------------------------------------------------------------*/

static enum rc write_part(struct audit *a, const struct part *p, struct slice entries,
                          struct err *e)
{
	uint8_t header[AUDIT_FILE_HEADER];
	enum rc rc;

	audit_header_encode(header, &p->header, &a->keys);
	rc = file_write_at(a->file, slice_of(header, sizeof(header)), 0, e);
	if (rc == RC_OK)
		rc = file_write_at(a->file, entries, AUDIT_FILE_HEADER, e);
	if (rc == RC_OK)
		rc = file_sync(a->file, NULL, e);
	return rc == RC_OK ? dir_sync(a->dir, e) : rc;
}

/* The one that the chain ends in; NULL while the log is empty. */
static const struct part *last_part(const struct audit *a)
{
	size_t n = a->nparts;

	while (n > 0 && a->parts[n - 1].hollow)
		n--;
	return n ? &a->parts[n - 1] : NULL;
}

/* Header and entries are one sync; a crash leaves a hollow file or a torn entry, both unanswered
 * for. */
static enum rc begin_part(struct audit *a, struct slice entries, struct err *e)
{
	const struct part *last = last_part(a);
	struct part p = { .end = AUDIT_FILE_HEADER + entries.len };
	char *path;
	enum rc rc;

	p.header.number = (uint32_t)a->nparts + 1;
	p.header.before = last ? last->header.number : 0;
	p.header.before_end = last ? last->end : 0;
	p.header.at = a->durable;
	if (p.header.number > FILES_MAX)
		return err_set(e, RC_LIMIT, "the audit log has %u files", FILES_MAX);
	path = part_path(a, p.header.number);
	rc = file_open(&a->file, path, FILE_CREATE, e);
	if (rc == RC_OK) {
		rc = write_part(a, &p, entries, e);
		if (rc != RC_OK) {
			file_close(&a->file);
			(void)!file_remove(path, NULL);
		}
	}
	free(path);
	if (rc != RC_OK)
		return rc;
	MUST(pthread_mutex_lock(&a->lock) == 0);
	push_part(a, &p);
	MUST(pthread_mutex_unlock(&a->lock) == 0);
	return RC_OK;
}

/* By the one thread that syncs; the lock is not held. */
static enum rc flush(struct audit *a, struct slice entries, struct err *e)
{
	struct part *p = a->nparts ? &a->parts[a->nparts - 1] : NULL;
	uint64_t end;
	enum rc rc;

	if (!a->file)
		return begin_part(a, entries, e);
	end = p->end + entries.len;
	rc = file_write_at(a->file, entries, p->end, e);
	if (rc == RC_OK)
		rc = file_sync(a->file, NULL, e);
	if (rc != RC_OK)
		return rc;
	MUST(pthread_mutex_lock(&a->lock) == 0);
	p->end = end;
	MUST(pthread_mutex_unlock(&a->lock) == 0);
	if (end >= ROLL_BYTES)
		file_close(&a->file);
	return RC_OK;
}

/* After a failure the entries wait in front of those that came meanwhile. */
static void put_back(struct audit *a, struct buf *taken)
{
	MUST(buf_add(taken, buf_slice(&a->pending)) == RC_OK);
	buf_free(&a->pending);
	a->pending = *taken;
}

static enum rc sync_once(struct audit *a, struct err *e)
{
	struct buf taken = a->pending;
	struct audit_place reached = a->added;
	enum rc rc;

	/* Both together fit again should this fail. */
	buf_init(&a->pending, PENDING_MAX - taken.len);
	a->syncing = true;
	MUST(pthread_mutex_unlock(&a->lock) == 0);
	rc = flush(a, buf_slice(&taken), e);
	MUST(pthread_mutex_lock(&a->lock) == 0);
	a->syncing = false;
	if (rc == RC_OK) {
		a->durable = reached;
		buf_free(&taken);
	} else {
		put_back(a, &taken);
	}
	MUST(pthread_cond_broadcast(&a->synced) == 0);
	return rc;
}

enum rc audit_sync(struct audit *a, struct err *e)
{
	uint64_t wanted;
	enum rc rc = RC_OK;

	MUST(pthread_mutex_lock(&a->lock) == 0);
	wanted = a->added.entries;
	while (rc == RC_OK && a->durable.entries < wanted) {
		if (a->syncing)
			MUST(pthread_cond_wait(&a->synced, &a->lock) == 0);
		else
			rc = sync_once(a, e);
	}
	MUST(pthread_mutex_unlock(&a->lock) == 0);
	return rc == RC_OK ? RC_OK : (err_in(e, "audit log"), rc);
}

/* --- reading -----------------------------------------------------------------------------------*/

void audit_head(struct audit *a, struct audit_head *out)
{
	MUST(pthread_mutex_lock(&a->lock) == 0);
	out->entries = a->durable.entries;
	out->when_ms = a->durable.when_ms;
	memcpy(out->hash, a->durable.hash, sizeof(out->hash));
	MUST(pthread_mutex_unlock(&a->lock) == 0);
}

struct reading {
	uint64_t from;
	enum rc (*each)(void *arg, const struct audit_entry *entry, struct err *e);
	void *arg;
};

/* The parts as they are now; the caller frees. */
static struct part *copy_parts(struct audit *a, size_t *n)
{
	struct part *copy;

	MUST(pthread_mutex_lock(&a->lock) == 0);
	*n = a->nparts;
	copy = mem_array(*n + 1, sizeof(*copy));
	if (*n)
		memcpy(copy, a->parts, *n * sizeof(*copy));
	MUST(pthread_mutex_unlock(&a->lock) == 0);
	return copy;
}

static enum rc show_entry(struct walk *w, struct err *e)
{
	struct reading *r = w->arg;
	struct audit_entry entry = { .number = w->at.entries,
		                     .when_ms = w->at.when_ms,
		                     .hash = w->at.hash };
	json_error_t je;
	json_t *o;
	enum rc rc;

	if (w->at.entries < r->from)
		return RC_OK;
	o = json_loadb((const char *)w->json.at, w->json.len, 0, &je);
	if (json_unpack(o, "{s:s, s:s}", "event", &entry.event, "who", &entry.who) != 0) {
		json_decref(o);
		return err_set(e, RC_CORRUPT, "audit entry %llu is no JSON object: %s",
		               (unsigned long long)w->at.entries, je.text);
	}
	entry.detail = json_object_get(o, "detail");
	entry.control = (uint64_t)json_member_int(o, "control", 0);
	rc = r->each(r->arg, &entry, e);
	json_decref(o);
	return rc;
}

static bool is_behind(const struct part *p, uint64_t from)
{
	return !p->hollow && p->header.at.entries >= from;
}

/* From the last part that begins before entry `from` on. */
static enum rc walk_from(struct walk *w, uint64_t from, struct err *e)
{
	size_t n;
	size_t first = 0;
	struct part *parts = copy_parts((struct audit *)(uintptr_t)w->a, &n);
	enum rc rc;

	buf_init(&w->json, AUDIT_ENTRY_MAX);
	for (size_t i = 0; i < n && !is_behind(&parts[i], from); i++)
		first = parts[i].hollow ? first : i;
	if (n && from > 0)
		w->at = parts[first].header.at;
	look_for(w);
	rc = walk_parts(w, parts, n, first, e);
	buf_free(&w->json);
	free(parts);
	return rc;
}

enum rc audit_each(struct audit *a, uint64_t from,
                   enum rc (*each)(void *arg, const struct audit_entry *entry, struct err *e),
                   void *arg, struct err *e)
{
	struct reading r = { .from = MAX_OF(from, UINT64_C(1)), .each = each, .arg = arg };
	struct walk w = { .a = a, .each = show_entry, .arg = &r, .from = r.from };

	return walk_from(&w, r.from, e);
}

static enum rc until_there(struct walk *w, struct err *e)
{
	return w->at.entries < w->wanted->entries ? RC_OK : err_set(e, RC_NOTFOUND, "enough");
}

enum rc audit_has(struct audit *a, const struct audit_head *head, struct err *e)
{
	struct walk w = { .a = a, .each = until_there, .wanted = head, .from = UINT64_MAX };
	enum rc rc = walk_from(&w, head->entries, e);

	if ((rc == RC_OK || rc == RC_NOTFOUND) && !w.had)
		return err_set(e, RC_CORRUPT, "the log has %llu entries, not the one of the head",
		               (unsigned long long)w.at.entries);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc audit_verify(struct audit *a, const struct audit_head *anchor, struct audit_head *seen,
                     struct err *e)
{
	struct walk w = { .a = a, .wanted = anchor && anchor->entries ? anchor : NULL };
	enum rc rc = walk_from(&w, 0, e);
	struct err broken = rc == RC_CORRUPT && e ? *e : (struct err) { 0 };

	if ((rc == RC_OK || rc == RC_CORRUPT) && w.wanted && !w.had)
		rc = err_set(e, RC_CORRUPT,
		             "%s%sthe audit log ends at entry %llu, and its entry %llu"
		             " is not the one of the anchor",
		             rc == RC_OK ? "" : broken.text, rc == RC_OK ? "" : "; ",
		             (unsigned long long)w.at.entries, (unsigned long long)anchor->entries);
	if (seen) {
		seen->entries = w.at.entries;
		seen->when_ms = w.at.when_ms;
		memcpy(seen->hash, w.at.hash, sizeof(seen->hash));
	}
	return rc;
}

bool audit_is_damaged(const struct audit *a)
{
	return a->damaged;
}

void audit_head_format(char out[160], const struct audit_head *h)
{
	char when[25];
	char hash[2 * AUDIT_HASH + 1];

	time_format(when, h->when_ms);
	hex_encode(hash, h->hash, AUDIT_HASH);
	(void)snprintf(out, 160, "mm-audit-head 1 %llu %s %s", (unsigned long long)h->entries, when,
	               hash);
}

bool audit_head_parse(struct audit_head *h, struct slice line)
{
	struct slice rest = slice_trim(line);
	struct slice word = slice_cut(rest, ' ', &rest);
	struct slice version = slice_cut(rest, ' ', &rest);
	struct slice entries = slice_cut(rest, ' ', &rest);
	struct slice when = slice_cut(rest, ' ', &rest);

	return slice_equal(word, slice_str("mm-audit-head")) &&
	       slice_equal(version, slice_str("1")) && slice_to_u64(entries, &h->entries) &&
	       time_parse(when, &h->when_ms) && hex_decode(h->hash, AUDIT_HASH, rest);
}
