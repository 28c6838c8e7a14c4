#include "store/keyring_file.h"

#include <sodium.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/log.h"

#define HEADER_MAGIC "MMKEYRNG"
#define SLOT_MAGIC   UINT32_C(0x534b4d4d) /* "MMKS" */
#define VERSION      1
#define SUM_BYTES    32
#define SLOT_OUTER   (72 + WRAPPED_BYTES)
#define SLOT_SUM     (SLOT_BYTES - SUM_BYTES)
#define HEADER_SUM   SLOT_SUM
#define HEADER_CHECK (HEADER_SUM - SUM_BYTES)
#define FIRST_SLOTS  256
#define SLOTS_MAX    (UINT32_C(1) << 26)
#define CHUNK_SLOTS  1024

/* What a replica holds at one place. */
enum found { FOUND_GOOD, FOUND_BAD, FOUND_OTHER_KEY };

static const char *const replica_names[2] = { "keys.a", "keys.b" };

static uint64_t slot_offset(uint32_t number)
{
	return (uint64_t)number * SLOT_BYTES;
}

/* --- header ------------------------------------------------------------------------------------*/

static void header_encode(uint8_t raw[SLOT_BYTES], const struct keyring_header *h,
                          const uint8_t *seal)
{
	memset(raw, 0, SLOT_BYTES);
	memcpy(raw, HEADER_MAGIC, 8);
	put_le32(raw + 8, VERSION);
	put_le32(raw + 12, h->slots);
	memcpy(raw + 16, h->uuid, sizeof(h->uuid));
	put_le64(raw + 32, h->next_id);
	put_le64(raw + 40, h->writes);
	MUST(crypto_generichash(raw + HEADER_CHECK, SUM_BYTES, raw, HEADER_CHECK, seal,
	                        KEY_BYTES) == 0);
	MUST(crypto_generichash(raw + HEADER_SUM, SUM_BYTES, raw, HEADER_SUM, NULL, 0) == 0);
}

/* The plain sum tells a damaged header from one that another master key made. */
static enum found header_decode(struct keyring_header *h, const uint8_t raw[SLOT_BYTES],
                                const uint8_t *seal)
{
	uint8_t sum[SUM_BYTES];

	MUST(crypto_generichash(sum, SUM_BYTES, raw, HEADER_SUM, NULL, 0) == 0);
	if (memcmp(raw, HEADER_MAGIC, 8) != 0 || get_le32(raw + 8) != VERSION ||
	    sodium_memcmp(sum, raw + HEADER_SUM, SUM_BYTES) != 0)
		return FOUND_BAD;
	MUST(crypto_generichash(sum, SUM_BYTES, raw, HEADER_CHECK, seal, KEY_BYTES) == 0);
	if (sodium_memcmp(sum, raw + HEADER_CHECK, SUM_BYTES) != 0)
		return FOUND_OTHER_KEY;
	h->slots = get_le32(raw + 12);
	memcpy(h->uuid, raw + 16, sizeof(h->uuid));
	h->next_id = get_le64(raw + 32);
	h->writes = get_le64(raw + 40);
	return h->slots <= SLOTS_MAX ? FOUND_GOOD : FOUND_BAD;
}

/* `unread`: replicas that could not be read; one that can't be written either stays as it is. */
static enum rc header_write(struct keyring_files *kf, const bool unread[2], struct err *e)
{
	uint8_t raw[SLOT_BYTES];
	enum rc rc = RC_OK;

	kf->header.writes++;
	header_encode(raw, &kf->header, kf->seal);
	for (int r = 0; r < 2 && rc == RC_OK; r++) {
		rc = file_write_at(kf->replica[r], slice_of(raw, sizeof(raw)), 0, e);
		if (rc == RC_OK)
			rc = file_sync(kf->replica[r], NULL, e);
		if (rc != RC_OK && unread[r]) {
			log_error("%s: the header is not repaired", file_name(kf->replica[r]));
			rc = RC_OK;
		}
	}
	return rc;
}

static const bool all_read[2];

/* --- slots -------------------------------------------------------------------------------------*/

static void slot_sum(uint8_t sum[SUM_BYTES], const uint8_t raw[SLOT_BYTES],
                     const struct keyring_files *kf)
{
	crypto_generichash_state h;

	MUST(crypto_generichash_init(&h, kf->seal, KEY_BYTES, SUM_BYTES) == 0);
	MUST(crypto_generichash_update(&h, kf->header.uuid, sizeof(kf->header.uuid)) == 0);
	MUST(crypto_generichash_update(&h, raw, SLOT_SUM) == 0);
	MUST(crypto_generichash_final(&h, sum, SUM_BYTES) == 0);
}

static void slot_encode(uint8_t raw[SLOT_BYTES], uint32_t number, const struct keyring_slot *s,
                        const struct keyring_files *kf)
{
	const struct key_info *k = &s->info;

	memset(raw, 0, SLOT_BYTES);
	put_le32(raw, SLOT_MAGIC);
	put_le32(raw + 4, number);
	put_le64(raw + 8, s->writes);
	put_le64(raw + 16, k->id);
	raw[24] = (uint8_t)k->state;
	raw[25] = (uint8_t)k->kind;
	put_le16(raw + 26, k->class);
	put_le32(raw + 28, k->archive);
	put_le32(raw + 32, (uint32_t)k->day);
	put_le32(raw + 36, k->generation);
	put_le64(raw + 40, k->object);
	put_le64(raw + 48, (uint64_t)k->created_ms);
	put_le64(raw + 56, (uint64_t)k->destroyed_ms);
	put_le64(raw + 64, s->wrapped_by);
	memcpy(raw + 72, s->wrapped, WRAPPED_BYTES);
	memcpy(raw + SLOT_OUTER, k->outer, KEY_CHECK);
	slot_sum(raw + SLOT_SUM, raw, kf);
}

static bool slot_is_sane(const struct keyring_slot *s)
{
	const struct key_info *k = &s->info;

	if (!s->writes || k->id == 0)
		return false;
	if (k->state == KEY_FREE)
		return true;
	return (k->state == KEY_LIVE || k->state == KEY_DESTROYED) && k->kind >= KEY_ARCHIVE &&
	       k->kind <= KEY_QUEUE;
}

static enum found slot_decode(struct keyring_slot *s, uint32_t number,
                              const uint8_t raw[SLOT_BYTES], const struct keyring_files *kf)
{
	struct key_info *k = &s->info;
	uint8_t sum[SUM_BYTES];

	memset(s, 0, sizeof(*s));
	if (sodium_is_zero(raw, SLOT_BYTES))
		return FOUND_GOOD;
	slot_sum(sum, raw, kf);
	if (sodium_memcmp(sum, raw + SLOT_SUM, SUM_BYTES) != 0 || get_le32(raw + 4) != number)
		return FOUND_BAD;
	s->writes = get_le64(raw + 8);
	k->id = get_le64(raw + 16);
	k->state = raw[24];
	k->kind = raw[25];
	k->class = get_le16(raw + 26);
	k->archive = get_le32(raw + 28);
	k->day = (int32_t)get_le32(raw + 32);
	k->generation = get_le32(raw + 36);
	k->object = get_le64(raw + 40);
	k->created_ms = (int64_t)get_le64(raw + 48);
	k->destroyed_ms = (int64_t)get_le64(raw + 56);
	s->wrapped_by = get_le64(raw + 64);
	memcpy(s->wrapped, raw + 72, WRAPPED_BYTES);
	memcpy(k->outer, raw + SLOT_OUTER, KEY_CHECK);
	return slot_is_sane(s) ? FOUND_GOOD : FOUND_BAD;
}

/* --- opening and repair ------------------------------------------------------------------------*/

/* The replica that is right about this slot, or -1. Of two good ones that differ it is the later
 * write. */
static int choose(const struct keyring_slot s[2], const bool good[2])
{
	if (good[0] && good[1])
		return s[0].writes < s[1].writes;
	return good[0] ? 0 : good[1] ? 1 : -1;
}

struct mending {
	int bad;      /* the replica */
	bool there;   /* it reaches so far */
	bool is_good; /* only older */
	bool unread;  /* the disk didn't give it */
};

/* A is written first: a good but older slot in B is what a crash leaves, in A it is damage. What
 * can't be read may not take a write either: then it stays for the next start. */
static enum rc mend(struct keyring_files *kf, const struct mending *m, uint32_t number,
                    const uint8_t *raw, struct err *e)
{
	const char *name = file_name(kf->replica[m->bad]);
	bool damaged = !m->is_good || m->bad == 0;
	enum rc rc = file_write_at(kf->replica[m->bad], slice_of(raw, SLOT_BYTES),
	                           slot_offset(number), e);

	if (rc != RC_OK && !m->unread)
		return rc;
	if (rc != RC_OK) {
		log_error("%s: slot %u can't be read and is not repaired", name, number);
		return RC_OK;
	}
	kf->repaired += damaged;
	if (m->there && damaged)
		log_warn("%s: slot %u was damaged and is repaired", name, number);
	return RC_OK;
}

struct loading {
	struct keyring_files *kf;
	uint8_t *raw[2];             /* CHUNK_SLOTS slots each */
	size_t got[2];               /* bytes of this chunk that each replica has */
	bool unread[2][CHUNK_SLOTS]; /* the disk didn't give that slot */
	struct err why;              /* the last time it didn't */
	enum rc (*each)(void *arg, uint32_t number, const struct keyring_slot *s, struct err *e);
	void *arg;
};

/* Neither replica has the slot: its key is lost, and what the files hold there is left as it is,
 * for whoever may still make something of it. A replica that is made anew gets the bytes of the
 * other, since zeros would be a free slot. */
static enum rc lose(struct keyring_files *kf, uint32_t number, uint8_t *const raw[2],
                    const bool there[2], struct err *e)
{
	kf->lost_slots = mem_resize(kf->lost_slots, (kf->lost + 1) * sizeof(*kf->lost_slots));
	kf->lost_slots[kf->lost++] = number;
	log_error("slot %u of the key ring is damaged in both replicas: its key is lost", number);
	if (there[0] == there[1])
		return RC_OK;
	return file_write_at(kf->replica[there[0]], slice_of(raw[!there[0]], SLOT_BYTES),
	                     slot_offset(number), e);
}

static enum rc load_slot(struct loading *l, uint32_t number, size_t at, struct err *e)
{
	struct keyring_slot s[2];
	uint8_t *raw[2] = { l->raw[0] + at, l->raw[1] + at };
	bool there[2] = { at + SLOT_BYTES <= l->got[0], at + SLOT_BYTES <= l->got[1] };
	bool good[2];
	bool unread[2] = { l->unread[0][at / SLOT_BYTES], l->unread[1][at / SLOT_BYTES] };
	int right;
	enum rc rc = RC_OK;

	for (int r = 0; r < 2; r++)
		good[r] = there[r] && !unread[r] &&
		          slot_decode(&s[r], number, raw[r], l->kf) == FOUND_GOOD;
	right = choose(s, good);
	/* What the disk doesn't give may be good: nothing is taken for lost because of it. */
	if (right < 0 && (unread[0] || unread[1]))
		return err_set(e, l->why.code, "slot %u of the key ring: %s", number, l->why.text);
	if (right < 0)
		return lose(l->kf, number, raw, there, e);
	if (unread[!right] || !there[!right] || memcmp(raw[0], raw[1], SLOT_BYTES) != 0) {
		const struct mending m = { !right, there[!right], good[!right], unread[!right] };

		rc = mend(l->kf, &m, number, raw[right], e);
	}
	return rc == RC_OK ? l->each(l->arg, number, &s[right], e) : rc;
}

/* One replica's slots, one by one where the disk doesn't give them at once. */
static void read_chunk(struct loading *l, int r, uint32_t first, uint32_t count)
{
	const struct file *f = l->kf->replica[r];

	memset(l->unread[r], 0, sizeof(l->unread[r]));
	if (file_read_some(f, l->raw[r], (size_t)count * SLOT_BYTES, slot_offset(first), &l->got[r],
	                   &l->why) == RC_OK)
		return;
	l->got[r] = 0;
	for (uint32_t i = 0; i < count; i++) {
		size_t got = SLOT_BYTES;

		if (file_read_some(f, l->raw[r] + (size_t)i * SLOT_BYTES, SLOT_BYTES,
		                   slot_offset(first + i), &got, &l->why) != RC_OK) {
			log_error("%s: slot %u: %s", file_name(f), first + i, l->why.text);
			l->unread[r][i] = true;
			got = SLOT_BYTES;
		}
		l->got[r] += got;
		if (got < SLOT_BYTES)
			break;
	}
}

static enum rc load_chunk(struct loading *l, uint32_t first, uint32_t count, struct err *e)
{
	enum rc rc = RC_OK;

	for (int r = 0; r < 2; r++)
		read_chunk(l, r, first, count);
	for (uint32_t i = 0; i < count && rc == RC_OK; i++)
		rc = load_slot(l, first + i, (size_t)i * SLOT_BYTES, e);
	return rc;
}

static enum rc load_slots(struct loading *l, struct err *e)
{
	uint32_t slots = l->kf->header.slots;
	enum rc rc = RC_OK;

	l->raw[0] = mem_array(CHUNK_SLOTS, SLOT_BYTES);
	l->raw[1] = mem_array(CHUNK_SLOTS, SLOT_BYTES);
	for (uint32_t at = 0; at < slots && rc == RC_OK; at += CHUNK_SLOTS)
		rc = load_chunk(l, at + 1, MIN_OF(slots - at, (uint32_t)CHUNK_SLOTS), e);
	free(l->raw[0]);
	free(l->raw[1]);
	return rc;
}

static enum rc header_choose(struct keyring_files *kf, const enum found found[2],
                             const struct keyring_header h[2], const char *dir, struct err *e)
{
	if (found[0] == FOUND_GOOD && found[1] == FOUND_GOOD &&
	    memcmp(h[0].uuid, h[1].uuid, sizeof(h[0].uuid)) != 0)
		return err_set(e, RC_CORRUPT, "%s: keys.a and keys.b are of two key rings", dir);
	if (found[0] != FOUND_GOOD && found[1] != FOUND_GOOD) {
		if (found[0] == FOUND_OTHER_KEY || found[1] == FOUND_OTHER_KEY)
			return err_set(e, RC_CRYPTO, "%s: the master key is not this key ring's",
			               dir);
		return err_set(e, RC_CORRUPT, "%s: keys.a and keys.b have no valid header", dir);
	}
	if (found[0] == FOUND_GOOD && (found[1] != FOUND_GOOD || h[0].writes >= h[1].writes))
		kf->header = h[0];
	else
		kf->header = h[1];
	return RC_OK;
}

/* Reads both headers; *differ says that they are not the same, `unread` which one the disk didn't
 * give. */
static enum rc headers_read(struct keyring_files *kf, const char *dir, bool unread[2], bool *differ,
                            struct err *e)
{
	struct err why = { 0 };
	struct keyring_header h[2];
	enum found found[2];
	uint8_t raw[2][SLOT_BYTES];
	enum rc rc;

	memset(raw, 0, sizeof(raw));
	for (int r = 0; r < 2; r++) {
		size_t got = 0;

		unread[r] =
		        file_read_some(kf->replica[r], raw[r], SLOT_BYTES, 0, &got, &why) != RC_OK;
		if (unread[r])
			log_error("%s: %s", file_name(kf->replica[r]), why.text);
		found[r] = !unread[r] && got == SLOT_BYTES ? header_decode(&h[r], raw[r], kf->seal)
		                                           : FOUND_BAD;
	}
	if ((unread[0] || unread[1]) && found[0] != FOUND_GOOD && found[1] != FOUND_GOOD)
		return err_set(e, why.code, "%s", why.text);
	rc = header_choose(kf, found, h, dir, e);
	if (rc != RC_OK)
		return rc;
	for (int r = 0; r < 2; r++)
		if (found[r] != FOUND_GOOD) {
			kf->repaired++;
			log_warn("%s: the header was damaged and is repaired",
			         file_name(kf->replica[r]));
		}
	*differ = unread[0] || unread[1] || memcmp(raw[0], raw[1], SLOT_BYTES) != 0;
	return RC_OK;
}

/* A replica that is gone is made empty here and then repaired slot by slot. */
static enum rc replicas_open(struct keyring_files *kf, const char *dir, struct err *e)
{
	bool made = false;
	enum rc rc = RC_OK;
	char *path[2] = { path_join(dir, replica_names[0]), path_join(dir, replica_names[1]) };

	if (!file_exists(path[0]) && !file_exists(path[1]))
		rc = err_set(e, RC_NOTFOUND, "%s has no key ring (keys.a, keys.b)", dir);
	for (int r = 0; r < 2 && rc == RC_OK; r++) {
		made = made || !file_exists(path[r]);
		rc = file_open(&kf->replica[r], path[r], FILE_APPEND, e);
	}
	if (rc == RC_OK && made)
		rc = dir_sync(dir, e);
	free(path[0]);
	free(path[1]);
	return rc;
}

static enum rc load_all(struct keyring_files *kf, const char *dir, struct loading *l, struct err *e)
{
	bool differ = false;
	bool unread[2] = { false, false };
	enum rc rc = replicas_open(kf, dir, e);

	if (rc == RC_OK)
		rc = headers_read(kf, dir, unread, &differ, e);
	if (rc == RC_OK)
		rc = load_slots(l, e);
	for (int r = 0; r < 2 && rc == RC_OK; r++)
		rc = file_sync(kf->replica[r], NULL, e);
	/* The header last: a replica is called whole only when its slots are. */
	if (rc == RC_OK && differ)
		rc = header_write(kf, unread, e);
	return rc;
}

enum rc keyring_files_open(struct keyring_files *kf, const char *dir, const uint8_t seal[KEY_BYTES],
                           enum rc (*each)(void *arg, uint32_t number, const struct keyring_slot *s,
                                           struct err *e),
                           void *arg, struct err *e)
{
	struct loading *l = mem_new(sizeof(*l));
	enum rc rc;

	*l = (struct loading) { .kf = kf, .each = each, .arg = arg };
	*kf = (struct keyring_files) { .seal = seal };
	rc = load_all(kf, dir, l, e);
	free(l);
	if (rc != RC_OK)
		keyring_files_close(kf);
	return rc;
}

void keyring_files_close(struct keyring_files *kf)
{
	file_close(&kf->replica[0]);
	file_close(&kf->replica[1]);
	free(kf->lost_slots);
	kf->lost_slots = NULL;
}

/* --- changes -----------------------------------------------------------------------------------*/

enum rc keyring_files_create(const char *dir, const uint8_t seal[KEY_BYTES], struct err *e)
{
	struct keyring_header h = { .slots = FIRST_SLOTS, .next_id = 1, .writes = 1 };
	size_t n = (size_t)slot_offset(FIRST_SLOTS + 1);
	uint8_t *content = mem_new(n);
	enum rc rc = RC_OK;

	crypt_random(h.uuid, sizeof(h.uuid));
	header_encode(content, &h, seal);
	for (int r = 0; r < 2 && rc == RC_OK; r++) {
		char *path = path_join(dir, replica_names[r]);

		if (file_exists(path))
			rc = err_set(e, RC_EXISTS, "%s exists", path);
		else
			rc = file_replace(path, slice_of(content, n), e);
		free(path);
	}
	free(content);
	return rc;
}

enum rc keyring_files_grow(struct keyring_files *kf, uint32_t more, struct err *e)
{
	uint32_t slots = kf->header.slots + more;
	enum rc rc = RC_OK;

	if (slots > SLOTS_MAX)
		return err_set(e, RC_LIMIT, "the key ring is full (%u slots)", kf->header.slots);
	for (int r = 0; r < 2 && rc == RC_OK; r++) {
		rc = file_fill_zero(kf->replica[r], slot_offset(slots + 1), e);
		if (rc == RC_OK)
			rc = file_sync(kf->replica[r], NULL, e);
	}
	if (rc != RC_OK)
		return rc;
	kf->header.slots = slots;
	rc = header_write(kf, all_read, e);
	if (rc != RC_OK)
		kf->header.slots = slots - more;
	return rc;
}

enum rc keyring_files_reserve(struct keyring_files *kf, uint64_t next_id, struct err *e)
{
	uint64_t old = kf->header.next_id;
	enum rc rc;

	kf->header.next_id = next_id;
	rc = header_write(kf, all_read, e);
	if (rc != RC_OK)
		kf->header.next_id = old;
	return rc;
}

enum rc keyring_files_write(struct keyring_files *kf, const uint32_t *numbers,
                            const struct keyring_slot *slots, size_t count, struct err *e)
{
	uint8_t raw[SLOT_BYTES];
	enum rc rc = RC_OK;

	for (int r = 0; r < 2 && rc == RC_OK; r++) {
		for (size_t i = 0; i < count && rc == RC_OK; i++) {
			slot_encode(raw, numbers[i], &slots[i], kf);
			rc = file_write_at(kf->replica[r], slice_of(raw, sizeof(raw)),
			                   slot_offset(numbers[i]), e);
		}
		if (rc == RC_OK)
			rc = file_sync(kf->replica[r], NULL, e);
	}
	return rc;
}

/* --- checking ----------------------------------------------------------------------------------*/

struct checking {
	const struct keyring_files *kf;
	const struct keyring_slot *const *known;
	const char *name; /* of the replica */
	keyring_problem problem;
	void *arg;
};

static bool is_lost(const struct keyring_files *kf, uint32_t number)
{
	for (size_t i = 0; i < kf->lost; i++)
		if (kf->lost_slots[i] == number)
			return true;
	return false;
}

/* A lost slot was told when the ring was opened. */
static enum rc check_slot(const struct checking *c, uint32_t number, const uint8_t raw[SLOT_BYTES],
                          struct err *e)
{
	const struct keyring_slot *known = c->known[number];
	uint8_t want[SLOT_BYTES];
	struct keyring_slot s;
	const char *what = NULL;

	if (!known && is_lost(c->kf, number))
		return RC_OK;
	if (slot_decode(&s, number, raw, c->kf) != FOUND_GOOD) {
		what = "is damaged";
	} else if (known) {
		slot_encode(want, number, known, c->kf);
		if (memcmp(want, raw, SLOT_BYTES) != 0)
			what = "is not what the ring wrote there";
	} else if (s.info.state != KEY_FREE) {
		what = "has a key that the ring doesn't know";
	}
	return what ? c->problem(c->arg, c->name, number, what, e) : RC_OK;
}

static enum rc check_header(const struct checking *c, const uint8_t raw[SLOT_BYTES], struct err *e)
{
	const struct keyring_header *want = &c->kf->header;
	struct keyring_header h;

	if (header_decode(&h, raw, c->kf->seal) != FOUND_GOOD)
		return c->problem(c->arg, c->name, 0, "is damaged", e);
	if (memcmp(h.uuid, want->uuid, sizeof(h.uuid)) != 0 || h.slots != want->slots ||
	    h.next_id != want->next_id)
		return c->problem(c->arg, c->name, 0, "is not what the ring wrote there", e);
	return RC_OK;
}

static enum rc check_replica(const struct checking *c, const char *path, struct err *e)
{
	struct file *f = NULL;
	struct err why = { 0 };
	enum rc rc = RC_OK;

	if (file_open(&f, path, FILE_READ, &why) != RC_OK)
		return c->problem(c->arg, c->name, 0, why.text, e);
	for (uint32_t n = 0; rc == RC_OK && n <= c->kf->header.slots; n++) {
		uint8_t raw[SLOT_BYTES];

		if (file_read_at(f, raw, SLOT_BYTES, slot_offset(n), &why) != RC_OK)
			rc = c->problem(c->arg, c->name, n, why.text, e);
		else
			rc = n ? check_slot(c, n, raw, e) : check_header(c, raw, e);
	}
	file_close(&f);
	return rc;
}

enum rc keyring_files_check(const struct keyring_files *kf, const char *dir,
                            const struct keyring_slot *const *known, keyring_problem problem,
                            void *arg, struct err *e)
{
	enum rc rc = RC_OK;

	for (int r = 0; r < 2 && rc == RC_OK; r++) {
		const struct checking c = { kf, known, replica_names[r], problem, arg };
		char *path = path_join(dir, replica_names[r]);

		rc = check_replica(&c, path, e);
		free(path);
	}
	return rc;
}
