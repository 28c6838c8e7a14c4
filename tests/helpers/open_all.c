/*
 * tests/helpers/open_all.c - everything that the master key opens in a data directory
 *
 * open_all --data DIR --key-file FILE [--only keys]
 *
 * Prints to stdout, decrypted and unpacked, all that the live slots of the key ring open: every
 * block of every segment (also superseded ones, and those behind a torn tail), every page of
 * control.db and of every index file (free ones too), every frame of every WAL (of older logs too),
 * every chunk of every sealed shard and its terms, every audit entry, every record of every spool
 * file (also behind its end, and in spares) and every big file that a record names. What was opened
 * is counted on stderr. With --only keys it prints the live keys instead, a line each: id, kind and
 * the key itself in hex. It works below the store and the index on purpose: a word that no program
 * would show any more is printed all the same.
 *
 * Run it on a copy: opening a key ring mends it, and opening a database may write its WAL back.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/file.h"
#include "base/log.h"
#include "index/shard.h"
#include "ingest/spool/record.h"
#include "store/audit.h"
#include "store/segment.h"
#include "store/vfs.h"

#define FILE_BYTES ((size_t)1 << 31)

struct all {
	const char *dir;
	struct keyring *kr;
	struct key_info *keys;
	size_t key_count;
	unsigned long long slots, blocks, pages, frames, chunks, terms, entries, records, bigs;
	unsigned long long closed_blocks, closed_pages; /* no live key opens them */
};

/* Where a walk through the folders is. */
struct at {
	struct all *all;
	const char *dir;
	uint32_t archive;
};

static void die(const char *what, const struct err *e)
{
	(void)fprintf(stderr, "open_all: %s: %s\n", what, e->text);
	exit(1);
}

static void print(const void *bytes, size_t n)
{
	MUST(fwrite(bytes, 1, n, stdout) == n);
	MUST(putchar('\n') != EOF);
}

/* So that a test can say where it found a word. */
static void print_place(const char *path)
{
	(void)printf("@@ %s\n", path);
}

static enum rc keep_key(void *arg, const struct key_info *k)
{
	struct all *a = arg;

	if (k->state != KEY_LIVE)
		return RC_OK;
	a->keys = mem_resize(a->keys, (a->key_count + 1) * sizeof(*a->keys));
	a->keys[a->key_count++] = *k;
	a->slots++;
	return RC_OK;
}

static bool key_get(struct all *a, uint64_t id, uint8_t key[KEY_BYTES])
{
	return keyring_get(a->kr, id, key, NULL) == RC_OK;
}

static struct slice read_file(const char *path)
{
	struct buf b;
	struct err e = { 0 };

	buf_init(&b, FILE_BYTES);
	if (file_read_all(path, &b, &e) != RC_OK)
		die(path, &e);
	return slice_of(b.at, b.len); /* freed by the caller */
}

static void each_name(const char *dir, enum rc (*each)(void *arg, const char *name, struct err *e),
                      void *arg)
{
	struct err e = { 0 };

	if (dir_exists(dir) && dir_list(dir, each, arg, &e) != RC_OK)
		die(dir, &e);
}

static bool ends(const char *name, const char *tail)
{
	return slice_ends_nocase(slice_str(name), slice_str(tail));
}

/* ---- segments ---- */

static void open_block(struct all *a, const struct block_header *b, struct slice whole,
                       const struct segment_header *h)
{
	ZSTD_DCtx *z = ZSTD_createDCtx();
	uint8_t *plain = mem_new((size_t)b->plain + 1);
	uint8_t key[KEY_BYTES];

	MUST(z);
	if (key_get(a, b->lot, key) && block_open(plain, b, whole, h, key, z) == RC_OK) {
		print(plain, b->plain);
		a->blocks++;
	} else {
		a->closed_blocks++;
	}
	free(plain);
	(void)ZSTD_freeDCtx(z);
}

/* Every place of the file is tried: a block needs no directory to be found. */
static void open_blocks(struct all *a, struct slice file, const struct segment_keys *keys,
                        const struct segment_header *known)
{
	for (size_t at = 0; at + BLOCK_HEADER <= file.len; at++) {
		struct segment_header h = *known;
		struct block_header b;

		if (get_le32(file.at + at) != UINT32_C(0x4b424d4d) || /* "MMBK" */
		    !block_header_decode(&b, file.at + at, &h, keys) ||
		    b.stored > file.len - at - BLOCK_HEADER)
			continue;
		memcpy(h.uuid, b.uuid, sizeof(h.uuid));
		open_block(a, &b, slice_part(file, at, BLOCK_HEADER + (size_t)b.stored), &h);
	}
}

static enum rc open_segment(void *arg, const char *name, struct err *e)
{
	struct at *at = arg;
	struct segment_header h = { .archive = at->archive };
	struct segment_keys keys;
	uint8_t key[KEY_BYTES];
	char *path = path_join(at->dir, name);
	struct slice file = read_file(path);

	(void)e;
	print_place(path);
	h.serial = strtoull(name, NULL, 16);
	for (size_t i = 0; i < at->all->key_count; i++) {
		const struct key_info *k = &at->all->keys[i];

		if (k->kind != KEY_ARCHIVE || k->archive != at->archive ||
		    !key_get(at->all, k->id, key))
			continue;
		segment_keys_derive(&keys, key);
		open_blocks(at->all, file, &keys, &h);
	}
	free((void *)(uintptr_t)file.at);
	free(path);
	return RC_OK;
}

/* ---- databases ---- */

static bool is_database_key(const struct key_info *k)
{
	return k->kind == KEY_SHARD || k->kind == KEY_CONTROL;
}

/* One page of a main file under any key that fits. */
static bool try_page(struct all *a, const uint8_t *sealed, enum box box, uint64_t number,
                     const uint8_t *salts)
{
	uint8_t page[PAGE_BYTES];
	uint8_t key[KEY_BYTES];
	struct page_key pk;

	for (size_t i = 0; i < a->key_count; i++) {
		if (!is_database_key(&a->keys[i]) || !key_get(a, a->keys[i].id, key))
			continue;
		page_key_make(&pk, key);
		if (page_open(page, sealed, box, number, salts, &pk) != RC_OK)
			continue;
		print(page, PAGE_PLAIN);
		return true;
	}
	return false;
}

static void open_pages(struct all *a, struct slice file)
{
	for (size_t at = 0; at + PAGE_BYTES <= file.len; at += PAGE_BYTES) {
		if (try_page(a, file.at + at, BOX_PAGE, at / PAGE_BYTES + 1, NULL))
			a->pages++;
		else
			a->closed_pages++;
	}
}

/* The salts of a frame are in its own header, so frames of a log that was begun anew open too. */
static bool try_frame(struct all *a, const uint8_t *disk, uint64_t number)
{
	uint8_t head[WAL_FRAME_HEADER];
	uint8_t key[KEY_BYTES];
	struct page_key pk;

	for (size_t i = 0; i < a->key_count; i++) {
		if (!is_database_key(&a->keys[i]) || !key_get(a, a->keys[i].id, key))
			continue;
		page_key_make(&pk, key);
		if (header_open(head, disk, WAL_FRAME_HEADER, BOX_FRAME_HEADER, number, &pk) ==
		    RC_OK)
			return try_page(a, disk + WAL_FRAME_HEADER + CRYPT_OVERHEAD, BOX_FRAME_PAGE,
			                number, head + 8);
	}
	return false;
}

static void open_frames(struct all *a, struct slice file)
{
	for (uint64_t f = 0; wal_disk_offset(f + 1) <= file.len; f++) {
		if (try_frame(a, file.at + wal_disk_offset(f), f))
			a->frames++;
		else
			a->closed_pages++;
	}
}

static void print_terms(struct all *a, const char *path, const uint8_t key[KEY_BYTES], bool sealed)
{
	struct conn *c;
	struct stmt *s = NULL;
	struct err e = { 0 };

	if (conn_open(&c, path, key, sealed, DB_WRITE, &e) != RC_OK) {
		(void)fprintf(stderr, "open_all: no terms: %s\n", e.text);
		return;
	}
	if (db_exec(conn_db(c), "CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, fts, row)",
	            &e) != RC_OK ||
	    db_prepare(conn_db(c), &s, "SELECT term FROM temp.words", &e) != RC_OK)
		die(path, &e);
	for (; stmt_step(s, &e) == RC_OK; a->terms++)
		print(stmt_text(s, 0).at, stmt_text(s, 0).len);
	stmt_free(&s);
	conn_close(&c);
}

static void open_sealed(struct all *a, const char *path)
{
	uint8_t *bytes = mem_new(SEALED_CHUNK);
	uint8_t key[KEY_BYTES];

	for (size_t i = 0; i < a->key_count; i++) {
		struct sealed *s;
		struct err e = { 0 };

		if (a->keys[i].kind != KEY_SHARD || !key_get(a, a->keys[i].id, key) ||
		    sealed_open(&s, path, key, NULL) != RC_OK)
			continue;
		for (uint64_t at = 0; at < sealed_size(s); at += SEALED_CHUNK) {
			size_t n = (size_t)MIN_OF(sealed_size(s) - at, (uint64_t)SEALED_CHUNK);

			if (sealed_read(s, bytes, n, at, &e) != RC_OK)
				die(path, &e);
			print(bytes, n);
			a->chunks++;
		}
		sealed_close(&s);
		print_terms(a, path, key, true);
	}
	free(bytes);
}

/* Terms by the engine: last of all, since that writes a WAL back. */
static void open_terms(struct all *a, const char *path)
{
	uint8_t key[KEY_BYTES];

	for (size_t i = 0; i < a->key_count; i++) {
		struct db *db;

		if (a->keys[i].kind != KEY_SHARD || !key_get(a, a->keys[i].id, key) ||
		    db_open(&db, path, key, DB_READ, NULL) != RC_OK)
			continue;
		db_close(&db);
		print_terms(a, path, key, false);
	}
}

static enum rc open_index_file(void *arg, const char *name, struct err *e)
{
	struct at *at = arg;
	char *path = path_join(at->dir, name);
	struct slice file = read_file(path);

	(void)e;
	print_place(path);
	if (ends(name, ".shard") || ends(name, ".new"))
		open_sealed(at->all, path);
	else if (ends(name, "-wal"))
		open_frames(at->all, file);
	else
		open_pages(at->all, file); /* also a journal, or what else should not be there */
	free((void *)(uintptr_t)file.at);
	free(path);
	return RC_OK;
}

static enum rc open_index_terms(void *arg, const char *name, struct err *e)
{
	struct at *at = arg;
	char *path = path_join(at->dir, name);

	(void)e;
	print_place(path);
	if (ends(name, ".db"))
		open_terms(at->all, path);
	free(path);
	return RC_OK;
}

/* ---- the spool ---- */

struct spool_file {
	struct all *all;
	struct slice bytes;
	struct spool_file_header h;
	uint8_t chain[SPOOL_KEY];
	uint64_t n; /* `chain` is Kn */
};

static void open_big(struct spool_file *f, const struct spool_big_ref *ref)
{
	char name[PATH_MAX];
	uint8_t bound[SPOOL_BIG_BOUND];
	uint8_t *plain = mem_new(SPOOL_PIECE);
	struct slice file;

	(void)snprintf(name, sizeof(name), "%s/spool/%08llu.big", f->all->dir,
	               (unsigned long long)ref->number);
	if (!file_exists(name)) {
		free(plain);
		return;
	}
	file = read_file(name);
	spool_big_bound(bound, ref->number);
	for (size_t at = 0, i = 0; at + SPOOL_TAG < file.len; at += SPOOL_PIECE + SPOOL_TAG, i++) {
		size_t n = MIN_OF(file.len - at - SPOOL_TAG, (size_t)SPOOL_PIECE);

		for (int last = 0; last < 2; last++)
			if (spool_open_piece(plain, file.at + at, n, i, last != 0,
			                     slice_of(bound, sizeof(bound)), ref->key))
				print(plain, n);
	}
	f->all->bigs++;
	free((void *)(uintptr_t)file.at);
	free(plain);
}

static void open_record(struct spool_file *f, size_t at, const struct spool_header *h)
{
	struct slice whole = slice_from(f->bytes, at);
	uint64_t plain = spool_plain_bytes(h->length);
	struct spool_keys keys;
	uint8_t *out;

	for (; f->n < h->n; f->n++)
		spool_chain_next(f->chain);
	spool_chain_keys(&keys, f->chain);
	if (!spool_header_check(whole.at, &keys) || SPOOL_HEADER + h->length > whole.len)
		return;
	out = mem_new((size_t)plain + 1);
	if (spool_open_all(out, whole.at + SPOOL_HEADER, plain, slice_part(whole, 0, SPOOL_HEADER),
	                   keys.seal)) {
		print(out, (size_t)plain);
		f->all->records++;
		if (h->type == SPOOL_BIG && plain >= SPOOL_BIG_REF) {
			struct spool_big_ref ref;

			spool_big_ref_get(&ref, out);
			open_big(f, &ref);
		}
	}
	free(out);
}

/* All records that were ever written under the header at `at`, wherever the file was ended. */
static void open_records(struct spool_file *f, size_t at, const uint8_t secret[KEY_BYTES])
{
	struct spool_header h;

	if (at + SPOOL_FILE_HEADER > f->bytes.len ||
	    !spool_file_header_get(&f->h, f->chain, f->bytes.at + at, secret))
		return;
	f->n = 0;
	for (size_t i = 0; i + SPOOL_HEADER <= f->bytes.len; i += SPOOL_RECORD_ALIGN)
		if (spool_header_peek(&h, f->bytes.at + i, f->h.epoch) && h.n >= f->n &&
		    h.n < f->n + f->bytes.len / SPOOL_RECORD_ALIGN)
			open_record(f, i, &h);
}

static enum rc open_spool_file(void *arg, const char *name, struct err *e)
{
	struct at *at = arg;
	struct spool_file f = { .all = at->all };
	char *path = path_join(at->dir, name);
	uint8_t secret[KEY_BYTES];

	(void)e;
	print_place(path);
	f.bytes = read_file(path);
	for (size_t i = 0; i < at->all->key_count; i++) {
		const struct key_info *k = &at->all->keys[i];

		if (k->kind != KEY_SPOOL || !key_get(at->all, k->id, secret))
			continue;
		open_records(&f, 0, secret);
		if (f.bytes.len >= SPOOL_RESERVE)
			open_records(&f, f.bytes.len - SPOOL_GROUP_ALIGN, secret);
	}
	free((void *)(uintptr_t)f.bytes.at);
	free(path);
	return RC_OK;
}

/* ---- the rest ---- */

static enum rc print_entry(void *arg, const struct audit_entry *entry, struct err *e)
{
	struct all *a = arg;
	char *text = entry->detail ? json_dumps(entry->detail, JSON_COMPACT) : NULL;

	(void)e;
	(void)printf("%s %s %s\n", entry->event, entry->who, text ? text : "");
	free(text);
	a->entries++;
	return RC_OK;
}

static void open_audit(struct all *a)
{
	struct audit *log;
	struct err e = { 0 };

	print_place("the audit log");
	if (audit_open(&log, a->dir, a->kr, &e) != RC_OK ||
	    audit_each(log, 1, print_entry, a, &e) != RC_OK)
		die("the audit log", &e);
	audit_close(&log);
}

struct folders {
	struct all *all;
	const char *name;
	enum rc (*each)(void *arg, const char *name, struct err *e);
};

static enum rc open_folder(void *arg, const char *name, struct err *e)
{
	struct folders *f = arg;
	char *parent = path_join(f->all->dir, f->name);
	char *path = path_join(parent, name);
	struct at at = { f->all, path, (uint32_t)strtoul(name, NULL, 10) };

	(void)e;
	each_name(path, f->each, &at);
	free(path);
	free(parent);
	return RC_OK;
}

static void open_archives(struct all *a, const char *name,
                          enum rc (*each)(void *arg, const char *name, struct err *e))
{
	struct folders f = { a, name, each };
	char *path = path_join(a->dir, name);

	each_name(path, open_folder, &f);
	free(path);
}

static void open_control(struct all *a)
{
	static const char *const names[] = { "control.db", "control.db-wal", "control.db-journal" };

	for (size_t i = 0; i < COUNT(names); i++) {
		char *path = path_join(a->dir, names[i]);
		struct slice file = file_exists(path) ? read_file(path) : slice_of(NULL, 0);

		print_place(path);
		if (ends(path, "-wal"))
			open_frames(a, file);
		else
			open_pages(a, file);
		free((void *)(uintptr_t)file.at);
		free(path);
	}
}

static void open_everything(struct all *a)
{
	char *spool = path_join(a->dir, "spool");
	struct at at = { a, spool, 0 };

	open_archives(a, "seg", open_segment);
	open_control(a);
	open_archives(a, "index", open_index_file);
	open_archives(a, "index", open_index_terms);
	each_name(spool, open_spool_file, &at);
	open_audit(a);
	free(spool);
}

static void print_keys(struct all *a)
{
	for (size_t i = 0; i < a->key_count; i++) {
		uint8_t key[KEY_BYTES];
		char hex[2 * KEY_BYTES + 1];

		MUST(key_get(a, a->keys[i].id, key));
		hex_encode(hex, key, sizeof(key));
		(void)printf("%llu %d %s\n", (unsigned long long)a->keys[i].id,
		             (int)a->keys[i].kind, hex);
	}
}

int main(int argc, char **argv)
{
	struct all a = { 0 };
	const char *key_file = NULL;
	bool keys_only = false;
	uint8_t master[KEY_BYTES];
	struct err e = { 0 };

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--data") == 0)
			a.dir = argv[i + 1];
		else if (strcmp(argv[i], "--key-file") == 0)
			key_file = argv[i + 1];
		else if (strcmp(argv[i], "--only") == 0)
			keys_only = strcmp(argv[i + 1], "keys") == 0;
	}
	if (!a.dir || !key_file) {
		(void)fprintf(stderr, "usage: open_all --data DIR --key-file FILE [--only keys]\n");
		return 2;
	}
	vfs_init();
	if (master_key_read(key_file, master, &e) != RC_OK ||
	    keyring_open(&a.kr, a.dir, master, &e) != RC_OK)
		die("the key ring", &e);
	(void)keyring_each(a.kr, keep_key, &a);
	if (keys_only)
		print_keys(&a);
	else
		open_everything(&a);
	(void)fprintf(stderr,
	              "{\"slots\":%llu,\"blocks\":%llu,\"pages\":%llu,\"frames\":%llu,"
	              "\"chunks\":%llu,\"terms\":%llu,\"entries\":%llu,\"records\":%llu,"
	              "\"bigs\":%llu,\"closed_blocks\":%llu,\"closed_pages\":%llu}\n",
	              a.slots, a.blocks, a.pages, a.frames, a.chunks, a.terms, a.entries, a.records,
	              a.bigs, a.closed_blocks, a.closed_pages);
	keyring_close(&a.kr);
	free(a.keys);
	return fflush(stdout) == 0 ? 0 : 1;
}
