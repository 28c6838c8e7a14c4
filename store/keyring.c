#include "store/keyring.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "store/crypt.h"
#include "store/hash.h"
#include "store/keyring_file.h"

#define IDS_RESERVED 4096
#define GROW_LEAST   256u
#define GROW_MOST    8192u
#define BOUND_BYTES  48
#define ARCHIVE_LINE UINT32_C(0x10000) /* the "class" of the line that holds an archive's key */

/* A key that is live or a tombstone. */
struct kept {
	struct keyring_slot slot;
	uint32_t number;
	bool marked; /* in the batch that keyring_destroy gathers */
	UT_hash_handle hh;
};

struct line_key {
	uint32_t archive;
	int32_t day;
	uint32_t class; /* 32 bits: no padding that the hash would see */
};

/* The generations of one (archive, day, class), or the key of one archive. */
struct line {
	struct line_key key;
	uint32_t top;    /* highest generation ever made */
	uint32_t live;   /* how many live */
	uint64_t newest; /* the live lot of the highest generation, 0: none */
	uint32_t newest_generation;
	UT_hash_handle hh;
};

struct free_slot {
	uint32_t number;
	uint64_t writes;
};

struct secrets {
	uint8_t wrap[KEY_BYTES];
	uint8_t seal[KEY_BYTES];
	struct outer {
		uint8_t check[KEY_CHECK];
		uint8_t wrap[KEY_BYTES]; /* of both keys: neither is enough */
	} outer[KEY_OUTERS];
	size_t outers;
};

struct keyring {
	pthread_mutex_t lock;
	struct keyring_files files;
	struct secrets *secrets; /* in locked memory where the system lets us */
	struct kept *by_id;
	struct line *lines;
	struct free_slot *free;
	size_t frees;
	size_t free_room;
	uint64_t next_id;
};

/* --- in memory ---------------------------------------------------------------------------------*/

static struct kept *find(struct keyring *kr, uint64_t id)
{
	struct kept *k;

	HASH_FIND(hh, kr->by_id, &id, sizeof(id), k);
	return k;
}

static struct kept *find_live(struct keyring *kr, uint64_t id)
{
	struct kept *k = find(kr, id);

	return k && k->slot.info.state == KEY_LIVE ? k : NULL;
}

static struct kept *find_kind(struct keyring *kr, enum key_kind kind, uint32_t archive,
                              uint64_t object)
{
	struct kept *best = NULL;

	for (struct kept *k = kr->by_id; k; k = k->hh.next) {
		const struct key_info *i = &k->slot.info;

		if (i->state == KEY_LIVE && i->kind == kind && i->archive == archive &&
		    (kind == KEY_ARCHIVE || i->object == object) &&
		    (!best || i->id > best->slot.info.id))
			best = k;
	}
	return best;
}

static void push_free(struct keyring *kr, uint32_t number, uint64_t writes)
{
	if (kr->frees == kr->free_room) {
		kr->free_room = kr->free_room ? kr->free_room * 2 : 1024;
		kr->free = mem_resize(kr->free, kr->free_room * sizeof(*kr->free));
	}
	kr->free[kr->frees++] = (struct free_slot) { number, writes };
}

static struct line_key line_key_of(const struct key_info *i)
{
	if (i->kind == KEY_ARCHIVE)
		return (struct line_key) { i->archive, 0, ARCHIVE_LINE };
	return (struct line_key) { i->archive, i->day, i->class };
}

static struct line *line_of(struct keyring *kr, struct line_key key, bool make)
{
	struct line *l;

	HASH_FIND(hh, kr->lines, &key, sizeof(key), l);
	if (!l && make) {
		l = mem_new(sizeof(*l));
		l->key = key;
		HASH_ADD(hh, kr->lines, key, sizeof(l->key), l);
	}
	return l;
}

static bool has_line(const struct key_info *i)
{
	return i->kind == KEY_LOT || i->kind == KEY_ARCHIVE;
}

static void line_offer(struct line *l, const struct key_info *i)
{
	if (l->newest && i->generation < l->newest_generation)
		return;
	l->newest = i->id;
	l->newest_generation = i->generation;
}

static void line_add(struct keyring *kr, const struct key_info *i)
{
	struct line *l = line_of(kr, line_key_of(i), true);

	l->top = MAX_OF(l->top, i->generation);
	if (i->state != KEY_LIVE)
		return;
	l->live++;
	line_offer(l, i);
}

/* After the newest live lot died an older one may live still: seldom, so it is looked for. */
static void line_remove(struct keyring *kr, const struct key_info *i)
{
	struct line *l = line_of(kr, line_key_of(i), false);

	MUST(l && l->live);
	l->live--;
	if (l->newest != i->id)
		return;
	l->newest = 0;
	for (struct kept *k = l->live ? kr->by_id : NULL; k; k = k->hh.next) {
		const struct key_info *o = &k->slot.info;

		if (o->kind == i->kind && o->state == KEY_LIVE && o->id != i->id &&
		    o->archive == i->archive && o->day == i->day && o->class == i->class)
			line_offer(l, o);
	}
}

static void keep(struct keyring *kr, uint32_t number, const struct keyring_slot *s)
{
	struct kept *k = mem_new(sizeof(*k));

	k->slot = *s;
	k->number = number;
	HASH_ADD(hh, kr->by_id, slot.info.id, sizeof(k->slot.info.id), k);
	if (has_line(&s->info))
		line_add(kr, &s->info);
}

/* --- opening -----------------------------------------------------------------------------------*/

static enum rc take_slot(void *arg, uint32_t number, const struct keyring_slot *s, struct err *e)
{
	struct keyring *kr = arg;

	if (s->info.id >= kr->next_id)
		kr->next_id = s->info.id + 1;
	if (s->info.state == KEY_FREE) {
		push_free(kr, number, s->writes);
		return RC_OK;
	}
	if (find(kr, s->info.id))
		return err_set(e, RC_CORRUPT, "key %llu is in two slots of the key ring",
		               (unsigned long long)s->info.id);
	keep(kr, number, s);
	return RC_OK;
}

static struct keyring *keyring_new(const uint8_t master[KEY_BYTES])
{
	struct keyring *kr = mem_new(sizeof(*kr));

	crypt_init();
	MUST(pthread_mutex_init(&kr->lock, NULL) == 0);
	/* Guarded pages; locking them is tried and may fail under a small RLIMIT_MEMLOCK. */
	kr->secrets = sodium_malloc(sizeof(*kr->secrets));
	MUST(kr->secrets);
	kr->secrets->outers = 0;
	crypt_derive(kr->secrets->wrap, master, "mm key ring wrap 1");
	crypt_derive(kr->secrets->seal, master, "mm key ring seal 1");
	kr->next_id = 1;
	return kr;
}

enum rc keyring_create(const char *dir, const uint8_t master[KEY_BYTES], struct err *e)
{
	struct keyring *kr = keyring_new(master);
	enum rc rc = keyring_files_create(dir, kr->secrets->seal, e);

	keyring_close(&kr);
	return rc;
}

enum rc keyring_open(struct keyring **out, const char *dir, const uint8_t master[KEY_BYTES],
                     struct err *e)
{
	struct keyring *kr = keyring_new(master);
	enum rc rc = keyring_files_open(&kr->files, dir, kr->secrets->seal, take_slot, kr, e);

	*out = NULL;
	if (rc != RC_OK) {
		keyring_close(&kr);
		return rc;
	}
	if (kr->next_id < kr->files.header.next_id)
		kr->next_id = kr->files.header.next_id;
	*out = kr;
	return RC_OK;
}

void keyring_close(struct keyring **krp)
{
	struct keyring *kr = *krp;
	struct kept *k;
	struct kept *next;
	struct line *l;
	struct line *after;

	if (!kr)
		return;
	for (k = kr->by_id; k; k = next) {
		next = k->hh.next;
		HASH_DEL(kr->by_id, k);
		crypt_wipe(k, sizeof(*k));
		free(k);
	}
	for (l = kr->lines; l; l = after) {
		after = l->hh.next;
		HASH_DEL(kr->lines, l);
		free(l);
	}
	keyring_files_close(&kr->files);
	sodium_free(kr->secrets);
	free(kr->free);
	(void)pthread_mutex_destroy(&kr->lock);
	free(kr);
	*krp = NULL;
}

unsigned keyring_repaired(const struct keyring *kr)
{
	return kr->files.repaired;
}

size_t keyring_lost(const struct keyring *kr)
{
	return kr->files.lost;
}

uint32_t keyring_lost_slot(const struct keyring *kr, size_t i)
{
	return kr->files.lost_slots[i];
}

enum rc keyring_check(struct keyring *kr, const char *dir, keyring_problem problem, void *arg,
                      struct err *e)
{
	const struct keyring_slot **known;
	enum rc rc;

	MUST(pthread_mutex_lock(&kr->lock) == 0);
	known = mem_new(((size_t)kr->files.header.slots + 1) * sizeof(*known));
	for (const struct kept *k = kr->by_id; k; k = k->hh.next)
		known[k->number] = &k->slot;
	rc = keyring_files_check(&kr->files, dir, known, problem, arg, e);
	MUST(pthread_mutex_unlock(&kr->lock) == 0);
	free(known);
	return rc;
}

/* --- further keys ------------------------------------------------------------------------------*/

static const struct outer *find_outer(const struct keyring *kr, const uint8_t check[KEY_CHECK])
{
	for (size_t i = 0; i < kr->secrets->outers; i++)
		if (sodium_memcmp(kr->secrets->outer[i].check, check, KEY_CHECK) == 0)
			return &kr->secrets->outer[i];
	return NULL;
}

void keyring_take_outer(struct keyring *kr, const uint8_t key[KEY_BYTES], uint8_t check[KEY_CHECK])
{
	uint8_t derived[KEY_BYTES];
	struct outer *o;

	crypt_derive(derived, key, "mm archive key check 1");
	memcpy(check, derived, KEY_CHECK);
	MUST(pthread_mutex_lock(&kr->lock) == 0);
	if (!find_outer(kr, check)) {
		MUST(kr->secrets->outers < KEY_OUTERS);
		o = &kr->secrets->outer[kr->secrets->outers++];
		memcpy(o->check, check, KEY_CHECK);
		crypt_derive(derived, key, "mm archive key wrap 1");
		MUST(crypto_generichash(o->wrap, KEY_BYTES, derived, KEY_BYTES, kr->secrets->wrap,
		                        KEY_BYTES) == 0);
	}
	MUST(pthread_mutex_unlock(&kr->lock) == 0);
	crypt_wipe(derived, sizeof(derived));
}

bool keyring_has_outer(struct keyring *kr, const struct key_info *k)
{
	bool has;

	MUST(pthread_mutex_lock(&kr->lock) == 0);
	has = sodium_is_zero(k->outer, KEY_CHECK) || find_outer(kr, k->outer);
	MUST(pthread_mutex_unlock(&kr->lock) == 0);
	return has;
}

/* What wraps a key that no other key of the ring does. */
static enum rc wrap_of(const struct keyring *kr, const struct key_info *k, const uint8_t **wrap,
                       struct err *e)
{
	const struct outer *o = find_outer(kr, k->outer);

	*wrap = kr->secrets->wrap;
	if (sodium_is_zero(k->outer, KEY_CHECK))
		return RC_OK;
	if (!o)
		return err_set(e, RC_CRYPTO, "archive %u is under a further key, which isn't there",
		               k->archive);
	*wrap = o->wrap;
	return RC_OK;
}

/* --- wrapping ----------------------------------------------------------------------------------*/

static void bound_of(uint8_t out[BOUND_BYTES], const struct keyring *kr, uint32_t number,
                     const struct keyring_slot *s)
{
	memset(out, 0, BOUND_BYTES);
	memcpy(out, kr->files.header.uuid, 16);
	put_le32(out + 16, number);
	put_le32(out + 20, s->info.archive);
	put_le64(out + 24, s->info.id);
	put_le64(out + 32, s->wrapped_by);
	out[40] = (uint8_t)s->info.kind;
}

static enum rc unwrap_by(const struct keyring *kr, const struct kept *k,
                         const uint8_t wrap[KEY_BYTES], uint8_t key[KEY_BYTES], struct err *e)
{
	uint8_t bound[BOUND_BYTES];

	bound_of(bound, kr, k->number, &k->slot);
	if (crypt_open(key, slice_of(k->slot.wrapped, WRAPPED_BYTES),
	               slice_of(bound, sizeof(bound)), wrap) == RC_OK)
		return RC_OK;
	return err_set(e, RC_CORRUPT, "key %llu does not unwrap",
	               (unsigned long long)k->slot.info.id);
}

/* Two levels at most: the master key, or an archive's key that the master key wraps. */
static enum rc unwrap(struct keyring *kr, const struct kept *k, uint8_t key[KEY_BYTES],
                      struct err *e)
{
	uint8_t outer[KEY_BYTES];
	const uint8_t *wrap;
	const struct kept *by;
	enum rc rc;

	if (!k->slot.wrapped_by) {
		rc = wrap_of(kr, &k->slot.info, &wrap, e);
		return rc == RC_OK ? unwrap_by(kr, k, wrap, key, e) : rc;
	}
	by = find_live(kr, k->slot.wrapped_by);
	if (!by && keyring_lost(kr))
		return err_set(e, RC_CORRUPT, "the key of archive %u is lost",
		               k->slot.info.archive);
	if (!by || by->slot.wrapped_by)
		return err_set(e, RC_NOTFOUND, "the key of archive %u is destroyed",
		               k->slot.info.archive);
	rc = wrap_of(kr, &by->slot.info, &wrap, e);
	if (rc == RC_OK)
		rc = unwrap_by(kr, by, wrap, outer, e);
	if (rc == RC_OK)
		rc = unwrap_by(kr, k, outer, key, e);
	crypt_wipe(outer, sizeof(outer));
	return rc;
}

static enum rc wrap_random(struct keyring *kr, uint32_t number, struct keyring_slot *s,
                           struct err *e)
{
	uint8_t bound[BOUND_BYTES];
	uint8_t outer[KEY_BYTES];
	uint8_t key[KEY_BYTES];
	const uint8_t *wrap = outer;
	enum rc rc;

	if (s->wrapped_by)
		rc = unwrap(kr, find_live(kr, s->wrapped_by), outer, e);
	else
		rc = wrap_of(kr, &s->info, &wrap, e);
	if (rc == RC_OK) {
		crypt_random(key, sizeof(key));
		bound_of(bound, kr, number, s);
		crypt_seal(s->wrapped, slice_of(key, sizeof(key)), slice_of(bound, sizeof(bound)),
		           wrap);
	}
	crypt_wipe(key, sizeof(key));
	crypt_wipe(outer, sizeof(outer));
	return rc;
}

/* --- adding ------------------------------------------------------------------------------------*/

static enum rc check_want(struct keyring *kr, const struct key_info *want, uint64_t *wrapped_by,
                          struct err *e)
{
	const struct line_key archive = { want->archive, 0, ARCHIVE_LINE };
	const struct line *l = line_of(kr, archive, false);

	*wrapped_by = 0;
	if (want->kind < KEY_ARCHIVE || want->kind > KEY_QUEUE)
		return err_set(e, RC_INVALID, "no such kind of key: %d", (int)want->kind);
	if (want->kind == KEY_ARCHIVE && l && l->newest)
		return err_set(e, RC_EXISTS, "archive %u has a key", want->archive);
	if (want->kind != KEY_LOT && want->kind != KEY_SHARD)
		return RC_OK;
	if (!l || !l->newest)
		return err_set(e, RC_NOTFOUND, "archive %u has no key", want->archive);
	*wrapped_by = l->newest;
	return RC_OK;
}

static enum rc make_room(struct keyring *kr, struct err *e)
{
	uint32_t old = kr->files.header.slots;
	uint32_t more = MAX_OF(GROW_LEAST, MIN_OF(old / 4, GROW_MOST));
	enum rc rc = RC_OK;

	if (!kr->frees) {
		rc = keyring_files_grow(&kr->files, more, e);
		for (uint32_t i = more; rc == RC_OK && i > 0; i--)
			push_free(kr, old + i, 0);
	}
	if (rc == RC_OK && kr->next_id >= kr->files.header.next_id)
		rc = keyring_files_reserve(&kr->files, kr->next_id + IDS_RESERVED, e);
	return rc;
}

static enum rc add_locked(struct keyring *kr, const struct key_info *want, uint64_t *id,
                          struct err *e)
{
	struct keyring_slot s = { .info = *want };
	struct free_slot slot;
	enum rc rc = check_want(kr, want, &s.wrapped_by, e);

	if (rc == RC_OK)
		rc = make_room(kr, e);
	if (rc != RC_OK)
		return rc;
	slot = kr->free[--kr->frees];
	s.info.id = kr->next_id++;
	s.info.state = KEY_LIVE;
	s.info.created_ms = clock_now_ms();
	s.info.destroyed_ms = 0;
	s.writes = slot.writes + 1;
	rc = wrap_random(kr, slot.number, &s, e);
	if (rc == RC_OK)
		rc = keyring_files_write(&kr->files, &slot.number, &s, 1, e);
	if (rc != RC_OK) {
		if (rc != RC_IO) /* else its sector may take no write: not until the next start */
			push_free(kr, slot.number, s.writes);
		return rc;
	}
	keep(kr, slot.number, &s);
	*id = s.info.id;
	return RC_OK;
}

enum rc keyring_add(struct keyring *kr, const struct key_info *want, uint64_t *id, struct err *e)
{
	enum rc rc;

	MUST(pthread_mutex_lock(&kr->lock) == 0);
	rc = add_locked(kr, want, id, e);
	MUST(pthread_mutex_unlock(&kr->lock) == 0);
	return rc;
}

enum rc keyring_lot(struct keyring *kr, uint32_t archive, int32_t day, uint16_t class, uint64_t *id,
                    struct err *e)
{
	struct key_info want = { .kind = KEY_LOT, .archive = archive, .day = day, .class = class };
	const struct line *l;
	enum rc rc = RC_OK;

	MUST(pthread_mutex_lock(&kr->lock) == 0);
	l = line_of(kr, line_key_of(&want), false);
	if (l && l->newest) {
		*id = l->newest;
	} else {
		/* Each lost slot may have been of a later one. */
		want.generation = (l ? l->top : 0) + 1 + (uint32_t)kr->files.lost;
		rc = add_locked(kr, &want, id, e);
	}
	MUST(pthread_mutex_unlock(&kr->lock) == 0);
	return rc;
}

/* --- asking ------------------------------------------------------------------------------------*/

enum rc keyring_find(struct keyring *kr, enum key_kind kind, uint32_t archive, uint64_t object,
                     uint64_t *id, struct err *e)
{
	const struct kept *k;

	MUST(pthread_mutex_lock(&kr->lock) == 0);
	k = find_kind(kr, kind, archive, object);
	*id = k ? k->slot.info.id : 0;
	MUST(pthread_mutex_unlock(&kr->lock) == 0);
	if (k)
		return RC_OK;
	if (keyring_lost(kr))
		return err_set(
		        e, RC_CORRUPT,
		        "a key of kind %d for archive %u is not there: it may be that of slot "
		        "%u, which is damaged in both replicas of the key ring",
		        (int)kind, archive, keyring_lost_slot(kr, 0));
	return err_set(e, RC_NOTFOUND, "no key of kind %d for archive %u, object %llu", (int)kind,
	               archive, (unsigned long long)object);
}

enum rc keyring_get(struct keyring *kr, uint64_t id, uint8_t key[KEY_BYTES], struct err *e)
{
	const struct kept *k;
	enum rc rc;

	MUST(pthread_mutex_lock(&kr->lock) == 0);
	k = find_live(kr, id);
	if (k)
		rc = unwrap(kr, k, key, e);
	else
		rc = err_set(e, RC_NOTFOUND, "key %llu is destroyed or never was",
		             (unsigned long long)id);
	MUST(pthread_mutex_unlock(&kr->lock) == 0);
	if (rc != RC_OK)
		crypt_wipe(key, KEY_BYTES);
	return rc;
}

enum rc keyring_info(struct keyring *kr, uint64_t id, struct key_info *out, struct err *e)
{
	const struct kept *k;

	MUST(pthread_mutex_lock(&kr->lock) == 0);
	k = find(kr, id);
	if (k)
		*out = k->slot.info;
	MUST(pthread_mutex_unlock(&kr->lock) == 0);
	if (k)
		return RC_OK;
	return err_set(e, RC_NOTFOUND, "there is no key %llu", (unsigned long long)id);
}

static int by_id(const void *a, const void *b)
{
	const struct key_info *x = a;
	const struct key_info *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

enum rc keyring_each(struct keyring *kr, enum rc (*each)(void *arg, const struct key_info *k),
                     void *arg)
{
	struct key_info *all;
	size_t n = 0;
	enum rc rc = RC_OK;

	MUST(pthread_mutex_lock(&kr->lock) == 0);
	all = mem_array(HASH_COUNT(kr->by_id) + 1, sizeof(*all));
	for (struct kept *k = kr->by_id; k; k = k->hh.next)
		all[n++] = k->slot.info;
	MUST(pthread_mutex_unlock(&kr->lock) == 0);
	qsort(all, n, sizeof(*all), by_id);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = each(arg, &all[i]);
	free(all);
	return rc;
}

/* --- destroying --------------------------------------------------------------------------------*/

/* What is left of a destroyed key: a tombstone of a lot, else a free slot that remembers its id. */
static struct keyring_slot remains_of(const struct keyring_slot *s, int64_t now)
{
	struct keyring_slot left = { .writes = s->writes + 1 };

	if (s->info.kind == KEY_LOT) {
		left.info = s->info;
		left.info.state = KEY_DESTROYED;
		left.info.destroyed_ms = now;
	} else {
		left.info.id = s->info.id;
		left.info.state = KEY_FREE;
	}
	return left;
}

static void bury(struct keyring *kr, struct kept *k, const struct keyring_slot *left)
{
	k->marked = false;
	crypt_wipe(k->slot.wrapped, sizeof(k->slot.wrapped));
	if (has_line(&k->slot.info))
		line_remove(kr, &k->slot.info);
	if (left->info.state == KEY_DESTROYED) {
		k->slot = *left;
		return;
	}
	push_free(kr, k->number, left->writes);
	HASH_DEL(kr->by_id, k);
	free(k);
}

static enum rc destroy_locked(struct keyring *kr, const uint64_t *ids, size_t count, struct err *e)
{
	struct kept **dead = mem_array(count, sizeof(struct kept *));
	struct keyring_slot *left = mem_array(count, sizeof(*left));
	uint32_t *numbers = mem_array(count, sizeof(*numbers));
	int64_t now = clock_now_ms();
	size_t n = 0;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < count; i++) {
		struct kept *k = find_live(kr, ids[i]);

		if (!k || k->marked)
			continue;
		k->marked = true;
		dead[n] = k;
		numbers[n] = k->number;
		left[n++] = remains_of(&k->slot, now);
	}
	if (n)
		rc = keyring_files_write(&kr->files, numbers, left, n, e);
	for (size_t i = 0; i < n; i++) {
		if (rc == RC_OK)
			bury(kr, dead[i], &left[i]);
		else
			dead[i]->marked = false; /* still live in memory: the caller tries again */
	}
	free(dead);
	free(left);
	free(numbers);
	return rc;
}

enum rc keyring_destroy(struct keyring *kr, const uint64_t *ids, size_t count, struct err *e)
{
	enum rc rc;

	if (!count)
		return RC_OK;
	MUST(pthread_mutex_lock(&kr->lock) == 0);
	rc = destroy_locked(kr, ids, count, e);
	MUST(pthread_mutex_unlock(&kr->lock) == 0);
	return rc;
}
