/*
 * tests/helpers/rot.c - opens and reads a data directory again and again
 *
 * rot --data DIR --key-file FILE
 *
 * Each line on stdin is a command in JSON, answered by one line of JSON on stdout. Who runs this
 * damages DIR between two commands and puts it back; the process lives on, so thousands of damaged
 * directories cost no start of a program.
 *
 * {"ask": [REQUEST, ...]}  Opens DIR as a tool does without a running mmd, makes the requests of
 *                          api/operations.h and closes it. "open" has the error of the opening;
 *                          "answers" has for each request {"rows", "bytes", "result", "error"}:
 *                          bytes are told by their SHA-256 and the row that they came behind.
 * {"spool": true}          Opens the spool alone and reads all behind the stored positions:
 *                          "records" (id to SHA-256 of the bytes), "damage".
 * {"audit": true}          Opens and verifies the audit log alone, as mm-audit verify does:
 * "entries" or "open".
 * {"places": true}         What lies where, as far as only the keys can tell: "blocks" of segments,
 *                          "frames" of WALs, "records" of spool files; the audit log's "anchor".
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/requests.h"
#include "base/codec.h"
#include "base/log.h"
#include "ingest/anchor.h"
#include "ingest/spool/record.h"
#include "store/crypt.h"
#include "store/segment.h"
#include "store/vfs.h"

#define FILE_BYTES ((size_t)1 << 28)

/* Nobody waits but the test, and no power fails: in place of libc's. */
int sched_setscheduler(pid_t pid, int policy, const struct sched_param *param)
{
	(void)pid;
	(void)policy;
	(void)param;
	return 0;
}

int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

int fsync(int fd)
{
	(void)fd;
	return 0;
}

struct rot {
	const char *dir;
	const char *key_file;
};

static json_t *text_of(const struct err *e)
{
	return json_of_slice(slice_str(e->text[0] ? e->text : rc_name(e->code)));
}

static void put_hash(json_t *o, const char *name, struct slice bytes)
{
	uint8_t sum[32];
	char text[65];

	sha256(sum, bytes);
	hex_encode(text, sum, sizeof(sum));
	json_put_text(o, name, slice_str(text));
}

/* ---- requests ---- */

struct answer {
	json_t *rows;
	json_t *bytes;
};

static enum rc on_json(void *arg, struct slice line, struct err *e)
{
	struct answer *a = arg;
	json_t *row;
	enum rc rc = json_read(&row, line, e);

	if (rc == RC_OK)
		json_push(a->rows, row);
	return rc;
}

static enum rc on_bytes(void *arg, struct slice bytes, struct err *e)
{
	struct answer *a = arg;
	json_t *o = json_object();

	(void)e;
	json_put_int(o, "row", (int64_t)json_array_size(a->rows) - 1);
	put_hash(o, "sha256", bytes);
	json_push(a->bytes, o);
	return RC_OK;
}

static json_t *ask(struct engine *en, const json_t *request)
{
	struct answer a = { json_array(), json_array() };
	const struct request_reader reader = { on_json, on_bytes, &a };
	struct buf text;
	struct buf result;
	struct err e = { 0 };
	json_t *out = json_object();
	json_t *value = NULL;

	buf_init(&text, FILE_BYTES);
	buf_init(&result, FILE_BYTES);
	MUST(json_write(&text, request) == RC_OK);
	if (request_local(api_handle, en, buf_slice(&text), &reader, &result, &e) != RC_OK)
		json_put(out, "error", text_of(&e));
	else if (json_read(&value, buf_slice(&result), &e) == RC_OK)
		json_put(out, "result", value);
	json_put(out, "rows", a.rows);
	json_put(out, "bytes", a.bytes);
	buf_free(&text);
	buf_free(&result);
	return out;
}

static void run_requests(const struct rot *r, const json_t *requests, json_t *out)
{
	const struct engine_options opt = {
		.dir = r->dir, .key_file = r->key_file, .program = "rot", .parse_workers = 1
	};
	struct engine *en;
	struct err e = { 0 };
	json_t *answers = json_array();

	if (engine_open(&en, &opt, &e) != RC_OK)
		json_put(out, "open", text_of(&e));
	for (size_t i = 0; en && i < json_array_size(requests); i++)
		json_push(answers, ask(en, json_array_get(requests, i)));
	json_put(out, "answers", answers);
	engine_close(&en);
}

/* ---- keys ---- */

struct keys {
	struct keyring *ring;
	struct key_info *list;
	size_t count;
};

static enum rc keep_key(void *arg, const struct key_info *k)
{
	struct keys *keys = arg;

	if (k->state != KEY_LIVE)
		return RC_OK;
	keys->list = mem_resize(keys->list, (keys->count + 1) * sizeof(*keys->list));
	keys->list[keys->count++] = *k;
	return RC_OK;
}

static enum rc keys_open(const struct rot *r, struct keys *keys, struct err *e)
{
	uint8_t master[KEY_BYTES];
	enum rc rc = master_key_read(r->key_file, master, e);

	*keys = (struct keys) { 0 };
	if (rc == RC_OK)
		rc = keyring_open(&keys->ring, r->dir, master, e);
	return rc == RC_OK ? keyring_each(keys->ring, keep_key, keys) : rc;
}

static void keys_close(struct keys *keys)
{
	keyring_close(&keys->ring);
	free(keys->list);
}

static bool key_at(const struct keys *keys, size_t i, enum key_kind kind, uint8_t key[KEY_BYTES])
{
	return keys->list[i].kind == kind &&
	       keyring_get(keys->ring, keys->list[i].id, key, NULL) == RC_OK;
}

/* ---- the spool alone ---- */

static void tell_damage(void *app, uint64_t file, uint64_t offset, const char *text)
{
	char line[256];

	(void)snprintf(line, sizeof(line), "%08llu.spool at %llu: %s", (unsigned long long)file,
	               (unsigned long long)offset, text);
	json_push(app, json_of_slice(slice_str(line)));
}

static enum rc read_spool(const struct rot *r, struct keys *keys, struct spool_options *opt,
                          json_t *records, struct err *e)
{
	struct spool *sp;
	struct spool_record record;
	enum rc rc = spool_open(&sp, r->dir, keys->ring, opt, e);

	spool_record_init(&record);
	while (rc == RC_OK) {
		char id[ID_TEXT + 1];

		rc = spool_next(sp, &record, e);
		if (rc != RC_OK)
			break;
		id_format(id, &record.id);
		put_hash(records, id, record.raw);
	}
	spool_record_free(&record);
	spool_close(&sp);
	return rc == RC_AGAIN ? RC_OK : rc;
}

static enum rc open_control(const struct rot *r, const struct keys *keys, struct db **control,
                            struct err *e)
{
	char *path = path_join(r->dir, "control.db");
	uint8_t key[KEY_BYTES];
	enum rc rc = err_set(e, RC_NOTFOUND, "no key of control.db");

	*control = NULL;
	for (size_t i = 0; i < keys->count; i++)
		if (key_at(keys, i, KEY_CONTROL, key))
			rc = db_open(control, path, key, DB_WRITE, e);
	free(path);
	return rc;
}

static enum rc spool_positions_read(const struct rot *r, const struct keys *keys,
                                    struct spool_position **positions, size_t *count,
                                    int64_t *newest, struct err *e)
{
	struct db *control;
	enum rc rc = open_control(r, keys, &control, e);

	if (rc == RC_OK)
		rc = pipeline_positions(control, positions, count, e);
	if (rc == RC_OK)
		rc = pipeline_newest(control, newest, e);
	db_close(&control);
	return rc;
}

static void run_spool(const struct rot *r, json_t *out)
{
	json_t *records = json_object();
	json_t *damage = json_array();
	struct spool_position *positions = NULL;
	struct spool_options opt = { .damage = tell_damage, .app = damage };
	struct keys keys;
	struct err e = { 0 };
	enum rc rc = keys_open(r, &keys, &e);

	if (rc == RC_OK)
		rc = spool_positions_read(r, &keys, &positions, &opt.positions_count,
		                          &opt.newest_ms, &e);
	opt.positions = positions;
	if (rc == RC_OK)
		rc = read_spool(r, &keys, &opt, records, &e);
	if (rc != RC_OK)
		json_put(out, "open", text_of(&e));
	json_put(out, "records", records);
	json_put(out, "damage", damage);
	free(positions);
	keys_close(&keys);
}

/* ---- the audit log alone ---- */

static enum rc read_audit(const struct rot *r, struct keys *keys, struct audit_head *head,
                          struct err *e)
{
	struct audit *log = NULL;
	struct db *control = NULL;
	enum rc rc = open_control(r, keys, &control, e);

	if (rc == RC_OK)
		rc = audit_open(&log, r->dir, keys->ring, e);
	if (rc == RC_OK)
		rc = audit_verify(log, NULL, head, e);
	if (rc == RC_OK)
		rc = anchor_check(control, log, e);
	audit_close(&log);
	db_close(&control);
	return rc;
}

static void run_audit(const struct rot *r, json_t *out)
{
	struct keys keys;
	struct audit_head head = { 0 };
	struct err e = { 0 };
	enum rc rc = keys_open(r, &keys, &e);

	if (rc == RC_OK)
		rc = read_audit(r, &keys, &head, &e);
	if (rc != RC_OK)
		json_put(out, "open", text_of(&e));
	json_put_int(out, "entries", (int64_t)head.entries);
	keys_close(&keys);
}

/* ---- places ---- */

struct places {
	const struct rot *r;
	struct keys keys;
	json_t *list;
	const char *folder; /* under DIR; "" is DIR itself */
	uint32_t archive;
	enum rc (*each)(struct places *p, const char *name, struct slice file);
};

static json_t *new_place(struct places *p, const char *name, uint64_t at, uint64_t bytes)
{
	json_t *o = json_object();
	char path[300];

	(void)snprintf(path, sizeof(path), "%s%s%s", p->folder, p->folder[0] ? "/" : "", name);
	json_put_text(o, "file", slice_str(path));
	json_put_int(o, "at", (int64_t)at);
	json_put_int(o, "bytes", (int64_t)bytes);
	json_push(p->list, o);
	return o;
}

static void list_blocks(struct places *p, const char *name, struct slice file,
                        const struct segment_keys *keys)
{
	struct segment_header h = { .archive = p->archive, .serial = strtoull(name, NULL, 16) };
	struct block_header b;
	uint8_t key[KEY_BYTES];

	for (size_t at = SEGMENT_HEADER; at + BLOCK_HEADER <= file.len;) {
		json_t *o;

		if (!block_header_decode(&b, file.at + at, &h, keys))
			return;
		o = new_place(p, name, at, BLOCK_HEADER + (uint64_t)b.stored);
		json_put_int(o, "block", b.number);
		json_put_bool(o, "live", keyring_get(p->keys.ring, b.lot, key, NULL) == RC_OK);
		at += BLOCK_HEADER + (size_t)b.stored;
	}
}

static enum rc segment_places(struct places *p, const char *name, struct slice file)
{
	struct segment_keys keys;
	uint8_t key[KEY_BYTES];

	for (size_t i = 0; i < p->keys.count; i++)
		if (p->keys.list[i].archive == p->archive &&
		    key_at(&p->keys, i, KEY_ARCHIVE, key)) {
			segment_keys_derive(&keys, key);
			list_blocks(p, name, file, &keys);
		}
	return RC_OK;
}

/* The frames of the log that is in use; `commit` ends a transaction. */
static void list_frames(struct places *p, const char *name, struct slice file,
                        const struct page_key *k)
{
	uint8_t log[WAL_HEADER];
	uint8_t head[WAL_FRAME_HEADER];

	if (file.len < WAL_HEADER_DISK ||
	    header_open(log, file.at, WAL_HEADER, BOX_WAL_HEADER, 0, k) != RC_OK)
		return;
	for (uint64_t f = 0; wal_disk_offset(f + 1) <= file.len; f++) {
		const uint8_t *at = file.at + wal_disk_offset(f);
		json_t *o;

		if (header_open(head, at, WAL_FRAME_HEADER, BOX_FRAME_HEADER, f, k) != RC_OK ||
		    memcmp(head + 8, log + 16, 8) != 0)
			return;
		o = new_place(p, name, wal_disk_offset(f), WAL_FRAME_DISK);
		json_put_int(o, "frame", (int64_t)f);
		json_put_int(o, "page",
		             (int64_t)((uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 |
		                       (uint32_t)head[2] << 8 | head[3]));
		json_put_bool(o, "commit", (head[4] | head[5] | head[6] | head[7]) != 0);
	}
}

static enum rc wal_places(struct places *p, const char *name, struct slice file)
{
	struct page_key k;
	uint8_t key[KEY_BYTES];

	if (!slice_ends_nocase(slice_str(name), slice_str("-wal")))
		return RC_OK;
	for (size_t i = 0; i < p->keys.count; i++)
		if (key_at(&p->keys, i, KEY_CONTROL, key) || key_at(&p->keys, i, KEY_SHARD, key)) {
			page_key_make(&k, key);
			list_frames(p, name, file, &k);
		}
	return RC_OK;
}

/* What a BIG record refers to. */
static void put_big(json_t *o, struct slice whole, const struct spool_header *h,
                    const struct spool_keys *keys)
{
	uint64_t plain = spool_plain_bytes(h->length);
	uint8_t *out = mem_new((size_t)plain + 1);
	struct spool_big_ref ref;

	if (h->type == SPOOL_BIG &&
	    spool_open_all(out, whole.at + SPOOL_HEADER, plain, slice_part(whole, 0, SPOOL_HEADER),
	                   keys->seal)) {
		spool_big_ref_get(&ref, out);
		json_put_int(o, "big", (int64_t)ref.number);
	}
	free(out);
}

static void list_records(struct places *p, const char *name, struct slice file,
                         const struct spool_file_header *fh, uint8_t chain[SPOOL_KEY])
{
	uint64_t n = 0;

	for (size_t at = SPOOL_FIRST; at + SPOOL_HEADER <= file.len;) {
		struct spool_keys keys;
		struct spool_header h;
		json_t *o;

		spool_chain_keys(&keys, chain);
		if (!spool_header_peek(&h, file.at + at, fh->epoch) || h.n != n ||
		    !spool_header_check(file.at + at, &keys)) {
			at += SPOOL_RECORD_ALIGN; /* between two groups */
			continue;
		}
		o = new_place(p, name, at, SPOOL_HEADER + h.length);
		json_put_int(o, "record", (int64_t)n++);
		json_put_int(o, "type", h.type);
		json_put_int(o, "synced", (int64_t)h.synced_before);
		put_big(o, slice_from(file, at), &h, &keys);
		spool_chain_next(chain);
		at += (size_t)spool_record_bytes(h.length);
	}
}

static enum rc spool_places(struct places *p, const char *name, struct slice file)
{
	struct spool_file_header fh;
	uint8_t chain[SPOOL_KEY];
	uint8_t secret[KEY_BYTES];

	for (size_t i = 0; i < p->keys.count && file.len >= SPOOL_FILE_HEADER; i++)
		if (p->keys.list[i].object == strtoull(name, NULL, 10) &&
		    key_at(&p->keys, i, KEY_SPOOL, secret) &&
		    spool_file_header_get(&fh, chain, file.at, secret)) {
			json_put_bool(new_place(p, name, 0, SPOOL_FIRST), "live", true);
			list_records(p, name, file, &fh, chain);
		}
	return RC_OK;
}

static enum rc each_file(void *arg, const char *name, struct err *e)
{
	struct places *p = arg;
	char *folder = path_join(p->r->dir, p->folder);
	char *path = path_join(folder, name);
	struct buf file;
	enum rc rc = RC_OK;

	buf_init(&file, FILE_BYTES);
	if (!dir_exists(path))
		rc = file_read_all(path, &file, e);
	if (rc == RC_OK)
		rc = p->each(p, name, buf_slice(&file));
	buf_free(&file);
	free(path);
	free(folder);
	return rc;
}

static enum rc walk_folder(struct places *p, const char *folder,
                           enum rc (*each)(struct places *p, const char *name, struct slice file),
                           struct err *e)
{
	char *path = path_join(p->r->dir, folder);
	enum rc rc;

	p->folder = folder;
	p->each = each;
	rc = dir_exists(path) ? dir_list(path, each_file, p, e) : RC_OK;
	free(path);
	return rc;
}

static enum rc walk_archives(struct places *p, struct err *e)
{
	enum rc rc = RC_OK;

	for (p->archive = 1; rc == RC_OK && p->archive < 10; p->archive++) {
		char folder[32];

		(void)snprintf(folder, sizeof(folder), "seg/%u", p->archive);
		rc = walk_folder(p, folder, segment_places, e);
		(void)snprintf(folder, sizeof(folder), "index/%u", p->archive);
		if (rc == RC_OK)
			rc = walk_folder(p, folder, wal_places, e);
	}
	return rc;
}

/* How much of the audit log control.db knows. */
static enum rc put_anchor(struct places *p, json_t *out, struct err *e)
{
	struct db *control;
	struct audit_head head = { 0 };
	enum rc rc = open_control(p->r, &p->keys, &control, e);

	if (rc == RC_OK)
		rc = anchor_get(control, &head, e);
	db_close(&control);
	json_put_int(out, "anchor", (int64_t)head.entries);
	return rc;
}

static void run_places(const struct rot *r, json_t *out)
{
	struct places p = { .r = r, .list = json_array() };
	struct err e = { 0 };
	enum rc rc = keys_open(r, &p.keys, &e);

	if (rc == RC_OK)
		rc = walk_archives(&p, &e);
	if (rc == RC_OK)
		rc = walk_folder(&p, "", wal_places, &e);
	if (rc == RC_OK)
		rc = walk_folder(&p, "spool", spool_places, &e);
	if (rc == RC_OK)
		rc = put_anchor(&p, out, &e);
	if (rc != RC_OK)
		json_put(out, "open", text_of(&e));
	json_put(out, "places", p.list);
	keys_close(&p.keys);
}

/* ---- */

static void run(const struct rot *r, const char *line)
{
	json_t *out = json_object();
	json_t *command = NULL;
	struct buf text;
	struct err e = { 0 };

	buf_init(&text, FILE_BYTES);
	if (json_read(&command, slice_str(line), &e) != RC_OK)
		json_put(out, "open", text_of(&e));
	else if (json_member_array(command, "ask"))
		run_requests(r, json_member_array(command, "ask"), out);
	else if (json_member_bool(command, "spool", false))
		run_spool(r, out);
	else if (json_member_bool(command, "audit", false))
		run_audit(r, out);
	else
		run_places(r, out);
	json_decref(command);
	MUST(json_write(&text, out) == RC_OK);
	MUST(puts(buf_text(&text)) >= 0 && fflush(stdout) == 0);
	json_decref(out);
	buf_free(&text);
}

int main(int argc, char **argv)
{
	struct rot r = { 0 };
	char *line = NULL;
	size_t room = 0;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--data") == 0)
			r.dir = argv[i + 1];
		else if (strcmp(argv[i], "--key-file") == 0)
			r.key_file = argv[i + 1];
	}
	if (!r.dir || !r.key_file) {
		(void)fprintf(stderr, "usage: rot --data DIR --key-file FILE\n");
		return 2;
	}
	log_init("rot", LOG_INFO);
	crypt_init();
	vfs_init();
	while (getline(&line, &room, stdin) > 0)
		run(&r, line);
	free(line);
	return 0;
}
