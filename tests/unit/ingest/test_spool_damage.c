/* Torn tails and flipped bits, on the bytes of real spool files. */
#include <time.h>

#include "ingest/spool/reader.h"
#include "tests/unit/ingest/spool_rig.h"

struct image { /* one spool file in memory, with what is needed to read it */
	struct buf bytes;
	uint64_t number;
	uint8_t secret[KEY_BYTES];
	struct file *scratch;
	char path[64];
	uint64_t begins[64]; /* of the records, when the file is whole */
	uint64_t ends[64];
	size_t count;
};

struct outcome {
	uint64_t lost; /* records told as damage */
	size_t told;
	size_t got;
	bool seen[64];
	enum rc end;
};

static void on_lost(void *arg, uint64_t offset, uint64_t records, const char *text)
{
	struct outcome *o = arg;

	(void)offset;
	assert_non_null(text);
	o->lost += records;
	o->told++;
}

static enum rc take_key(void *arg, const struct key_info *k)
{
	uint64_t *want = arg;

	if (k->kind == KEY_SPOOL && k->object == want[0])
		want[1] = k->id;
	return RC_OK;
}

static struct outcome read_image(struct image *im, struct slice bytes, uint64_t synced)
{
	struct outcome o = { 0 };
	struct spool_reader *r;
	struct spool_found found;
	struct buf into;
	struct err e = { 0 };
	enum rc rc;

	EXPECT_OK(file_truncate(im->scratch, bytes.len, &e), &e);
	EXPECT_OK(file_write_at(im->scratch, bytes, 0, &e), &e);
	o.end = spool_reader_open(&r, im->scratch, im->number, im->secret, on_lost, &o, &e);
	if (o.end != RC_OK)
		return o;
	buf_init(&into, SPOOL_RECORD_MAX);
	while ((rc = spool_reader_next(r, bytes.len, synced, &into, &found, &e)) == RC_OK) {
		uint64_t n;

		assert_true(slice_to_u64(
		        slice_part(slice_from(found.meta, 5), 0, found.meta.len - 6), &n));
		assert_true(n < COUNT(o.seen) && !o.seen[n]);
		o.seen[n] = true;
		o.got++;
		if (im->count <= n) {
			im->begins[n] = found.begin;
			im->ends[n] = found.end;
			im->count = n + 1;
		}
	}
	o.end = rc;
	buf_free(&into);
	spool_reader_free(&r);
	return o;
}

/* A file of `count` records, some in groups, ended or not. */
static struct image *image_new(size_t count, bool ended)
{
	struct image *im = mem_new(sizeof(*im));
	struct rig *rig = rig_new(0);
	uint64_t key[2] = { 0 };
	char path[96];
	struct err e = { 0 };

	rig_open_writer(rig);
	for (size_t i = 0; i < count; i++) {
		(void)rig_commit(rig, (i * 977) % 5000);
		if (i % 3 == 0)
			rig_drain(rig);
	}
	rig_drain(rig);
	im->number = rig->last_file;
	if (ended)
		spool_writer_stop(rig->w);
	(void)snprintf(path, sizeof(path), "%s/spool/%08llu.spool", rig->dir,
	               (unsigned long long)im->number);
	buf_init(&im->bytes, SPOOL_MIN_CAPACITY);
	EXPECT_OK(file_read_all(path, &im->bytes, &e), &e);
	key[0] = im->number;
	assert_int_equal(keyring_each(rig->kr, take_key, key), RC_OK);
	EXPECT_OK(keyring_get(rig->kr, key[1], im->secret, &e), &e);
	rig_free(&rig);
	(void)snprintf(im->path, sizeof(im->path), "/tmp/mm-spool-image-XXXXXX");
	im->scratch = file_adopt(mkstemp(im->path), "image");
	assert_int_equal(read_image(im, buf_slice(&im->bytes), 0).got, count);
	assert_int_equal(im->count, count);
	return im;
}

static void image_free(struct image *im)
{
	(void)unlink(im->path);
	file_close(&im->scratch);
	buf_free(&im->bytes);
	free(im);
}

/* The last group was being written: it is cut at each byte, what follows is what lay there before.
 */
static void test_torn_tail(void **state)
{
	struct image *im = image_new(15, false); /* the last group are the records 13 and 14 */
	uint8_t *torn = mem_new(im->bytes.len);
	uint64_t begin = im->begins[13];

	(void)state;
	assert_int_equal(begin % SPOOL_GROUP_ALIGN, 0);
	for (int fill = 0; fill < 2; fill++) {
		for (uint64_t cut = begin; cut < im->ends[14]; cut++) {
			size_t tail = im->bytes.len - SPOOL_GROUP_ALIGN - (size_t)cut;
			uint64_t whole = cut < im->ends[13] ? 13 : 14;
			struct outcome o;

			memcpy(torn, im->bytes.at, im->bytes.len);
			memset(torn + cut, fill ? 0xa5 : 0, tail);
			/* Padding at the end of the last record isn't missed. */
			if (cut >= im->ends[14] - SPOOL_RECORD_ALIGN)
				continue;
			o = read_image(im, slice_of(torn, im->bytes.len), 0);
			if (o.got < whole || o.got > whole + 1 || o.told)
				fail_msg("cut at %llu: %zu records, %zu alarms",
				         (unsigned long long)cut, o.got, o.told);
		}
	}
	free(torn);
	image_free(im);
}

/* The blocks of a torn group may reach the disk in any order: no alarm, nothing before it is lost.
 */
static void test_torn_middle(void **state)
{
	struct image *im = image_new(15, false);
	uint8_t *torn = mem_new(im->bytes.len);
	struct outcome o;

	(void)state;
	memcpy(torn, im->bytes.at, im->bytes.len);
	memset(torn + im->begins[13], 0, 512);
	o = read_image(im, slice_of(torn, im->bytes.len), 0);
	assert_int_equal(o.got, 14); /* record 14 is whole and may as well be read */
	assert_int_equal(o.told, 0);
	assert_false(o.seen[13]);
	/* The same hole is damage when the writer has said that it was synced. */
	o = read_image(im, slice_of(torn, im->bytes.len), im->ends[14]);
	assert_int_equal(o.got, 14);
	assert_int_equal(o.lost, 1);
	/* And so is one at the end. */
	memset(torn + im->begins[14], 0, 512);
	o = read_image(im, slice_of(torn, im->bytes.len), im->ends[14]);
	assert_int_equal(o.got, 13);
	assert_true(o.lost >= 1);
	free(torn);
	image_free(im);
}

/* The record that a byte belongs to, or SIZE_MAX: gap or header. */
static size_t owner(const struct image *im, uint64_t at)
{
	for (size_t i = 0; i < im->count; i++)
		if (at >= im->begins[i] && at < im->ends[i])
			return i;
	return SIZE_MAX;
}

/* Any flipped bit costs at most its record, and if it does there is an alarm for exactly that one.
 */
static void test_bit_flips(void **state)
{
	struct image *im = image_new(20, true);
	unsigned seed = (unsigned)time(NULL);
	size_t in_records = 0;

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < 1500; round++) {
		uint64_t at = (uint64_t)rand() % (im->ends[19] + 4096);
		uint8_t bit = (uint8_t)(1u << (rand() % 8));
		size_t hit = owner(im, at);
		struct outcome o;

		im->bytes.at[at] ^= bit;
		o = read_image(im, buf_slice(&im->bytes), 0);
		im->bytes.at[at] ^= bit;
		if (hit == SIZE_MAX) {
			if (o.got != 20 || o.lost)
				fail_msg("byte %llu: %zu records, %llu lost",
				         (unsigned long long)at, o.got, (unsigned long long)o.lost);
			if (at < SPOOL_FILE_HEADER)
				assert_int_equal(o.told, 1);
			continue;
		}
		in_records++;
		if (o.got + o.lost != 20 || o.lost > 1 || (o.lost && o.seen[hit]))
			fail_msg("byte %llu of record %zu: %zu records, %llu lost",
			         (unsigned long long)at, hit, o.got, (unsigned long long)o.lost);
		/* Only a flip in the padding is harmless. */
		if (o.lost == 0)
			assert_true(at + SPOOL_RECORD_ALIGN >= im->ends[hit]);
	}
	assert_true(in_records > 500);
	image_free(im);
}

/* Whole stretches, over record and group ends: all behind them is read, what they hit is counted.
 */
static void test_holes(void **state)
{
	struct image *im = image_new(20, true);
	uint8_t *copy = mem_new(im->bytes.len);
	unsigned seed = (unsigned)time(NULL);

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < 400; round++) {
		uint64_t from = SPOOL_FIRST + (uint64_t)rand() % (im->ends[19] - SPOOL_FIRST);
		uint64_t n = 1 + (uint64_t)rand() % 30000;
		struct outcome o;

		n = MIN_OF(n, im->ends[19] - from);
		memcpy(copy, im->bytes.at, im->bytes.len);
		for (uint64_t i = from; i < from + n; i++)
			copy[i] = (uint8_t)rand();
		o = read_image(im, slice_of(copy, im->bytes.len), 0);
		assert_int_equal(o.end, RC_NOTFOUND); /* END was found */
		assert_int_equal(o.got + o.lost, 20);
		for (size_t i = 0; i < 20; i++)
			if (im->ends[i] <= from || im->begins[i] >= from + n)
				assert_true(o.seen[i]);
	}
	free(copy);
	image_free(im);
}

static void test_headers(void **state)
{
	struct image *im = image_new(6, true);
	size_t second = im->bytes.len - SPOOL_GROUP_ALIGN;
	uint8_t *empty = mem_new(im->bytes.len);
	struct outcome o;

	(void)state;
	for (size_t at = 0; at < 192; at += 5) {
		im->bytes.at[second + at] ^= 4;
		o = read_image(im, buf_slice(&im->bytes), 0);
		assert_int_equal(o.got, 6);
		assert_int_equal(o.told, 1);
		assert_int_equal(o.lost, 0);
		/* Both: an alarm, for records say that the file was synced. */
		im->bytes.at[100] ^= 1;
		o = read_image(im, buf_slice(&im->bytes), 0);
		assert_int_equal(o.end, RC_CORRUPT);
		im->bytes.at[100] ^= 1;
		im->bytes.at[second + at] ^= 4;
	}
	/* Zeros, or another use of the file: never begun. */
	o = read_image(im, slice_of(empty, im->bytes.len), 0);
	assert_int_equal(o.end, RC_NOTFOUND);
	im->number++;
	o = read_image(im, buf_slice(&im->bytes), 0);
	assert_int_equal(o.end, RC_NOTFOUND);
	im->number--;
	/* Another key. */
	im->secret[7] ^= 1;
	o = read_image(im, buf_slice(&im->bytes), 0);
	assert_int_equal(o.end, RC_CORRUPT);
	free(empty);
	image_free(im);
}

/* The end of a file is gone, with its second header and some records or none: an alarm. */
static void test_cut_file(void **state)
{
	struct image *im = image_new(6, true);
	struct outcome o;

	(void)state;
	for (size_t cut = 1; cut < im->bytes.len - im->ends[5]; cut += 50000) {
		o = read_image(im, slice_of(im->bytes.at, im->bytes.len - cut), 0);
		assert_int_equal(o.got, 6);
		assert_true(o.told >= 1);
		assert_true(o.lost >= 1);
	}
	o = read_image(im, slice_of(im->bytes.at, (size_t)im->ends[3]), 0);
	assert_int_equal(o.got, 4);
	assert_true(o.told >= 1);
	image_free(im);
}

/* Records can't be moved, swapped or repeated. */
static void test_moved(void **state)
{
	struct image *im = image_new(9, true);
	uint8_t *copy = mem_new(im->bytes.len);
	size_t a = (size_t)im->begins[4];
	size_t n = (size_t)(im->ends[4] - im->begins[4]);
	struct outcome o;

	(void)state;
	memcpy(copy, im->bytes.at, im->bytes.len);
	memcpy(copy + im->ends[8] + 4096, copy + a, n); /* a second time, behind all */
	o = read_image(im, slice_of(copy, im->bytes.len), 0);
	assert_true(o.got <= 9);
	memcpy(copy, im->bytes.at, im->bytes.len);
	memcpy(copy + im->begins[1], im->bytes.at + im->begins[2], 4096);
	o = read_image(im, slice_of(copy, im->bytes.len), 0);
	assert_int_equal(o.got + o.lost, 9);
	free(copy);
	image_free(im);
}

/* ---- big files ---- */

static void flip_in(struct rig *rig, const char *suffix, uint64_t at)
{
	char dir[80];
	struct err e = { 0 };
	struct rig_snapshot *s = mem_new(sizeof(*s));

	(void)snprintf(dir, sizeof(dir), "%s/spool", rig->dir);
	s->dir = dir;
	EXPECT_OK(dir_list(dir, rig_snap, s, &e), &e);
	for (size_t i = 0; i < s->count; i++) {
		struct slice name = slice_str(s->names[i]);
		char *path = path_join(dir, s->names[i]);

		if (slice_find(name, slice_str(suffix)) != SIZE_MAX && s->bytes[i].len > at) {
			s->bytes[i].at[at] ^= 0x20;
			EXPECT_OK(file_replace(path, buf_slice(&s->bytes[i]), &e), &e);
		}
		buf_free(&s->bytes[i]);
		free(path);
	}
	free(s);
}

static void test_big_damage(void **state)
{
	static const uint64_t places[] = { 0, 65535, 65536, 65552, 299999, 300016 };

	(void)state;
	for (size_t i = 0; i < COUNT(places); i++) {
		struct rig *rig = rig_new(0);
		unsigned seen[4] = { 0 };
		struct spool_totals totals;

		rig_open_writer(rig);
		(void)rig_send(rig, 100);
		(void)rig_send(rig, 300000);
		(void)rig_send(rig, 100);
		(void)rig_send(rig, 300000); /* with nothing behind it */
		spool_writer_free(&rig->w);
		flip_in(rig, ".big", places[i]);
		rig_reopen(rig);
		assert_int_equal(rig_read_all(rig, seen, true), 2);
		assert_true(seen[0] && !seen[1] && seen[2] && !seen[3]);
		assert_int_equal(rig->damage, 2);
		spool_backlog(rig->sp, &totals);
		assert_int_equal(totals.damaged, 2);
		assert_int_equal(totals.files, 0);
		assert_int_equal(totals.disk_bytes % SPOOL_MIN_CAPACITY, 0); /* no big file */
		rig_free(&rig);
	}
}

/* A draft that streams when the writer is killed leaves a file that nothing refers to. */
static void test_big_orphan(void **state)
{
	struct rig *rig = rig_new(0);
	struct spool_draft *d;
	uint8_t *bytes = mem_new(500000);
	struct spool_totals totals;
	struct err e = { 0 };

	(void)state;
	rig_open_writer(rig);
	(void)rig_send(rig, 300000);
	EXPECT_OK(spool_begin(rig->w, &d, &e), &e);
	EXPECT_OK(spool_add(d, slice_of(bytes, 500000), &e), &e);
	spool_close(&rig->sp); /* mmd is killed too */
	rig_open_spool(rig);
	spool_backlog(rig->sp, &totals);
	assert_true(totals.disk_bytes > 800000); /* the orphan counts while it is there */
	assert_int_equal(rig_read_all(rig, NULL, false), 1);
	rig_reopen(rig); /* the one that is referred to is still there */
	assert_int_equal(rig_read_all(rig, NULL, true), 1);
	spool_backlog(rig->sp, &totals);
	assert_int_equal(totals.disk_bytes % SPOOL_MIN_CAPACITY, 0);
	spool_abort(&d);
	free(bytes);
	rig_free(&rig);
}

/* The END of a live file is damaged: an alarm, and the writer's next file is read all the same. */
static void test_end_damaged(void **state)
{
	struct rig *rig = rig_new(0);
	struct spool_totals totals;

	(void)state;
	rig_open_writer(rig);
	(void)rig_send(rig, 100);
	rig_end_file(rig);
	(void)rig_send(rig, 100);
	flip_in(rig, ".spool", SPOOL_FIRST + SPOOL_GROUP_ALIGN + 20);
	assert_int_equal(rig_read_all(rig, NULL, true), 2);
	assert_int_equal(rig->damage, 1);
	spool_backlog(rig->sp, &totals);
	assert_int_equal(totals.messages, 0);
	assert_int_equal(totals.files, 2);
	rig_free(&rig);
}

/* A whole spool with damage: the callback is called once, also after a rewind. */
static void test_damage_told_once(void **state)
{
	struct rig *rig = rig_new(0);
	unsigned seen[20] = { 0 };

	(void)state;
	rig_open_writer(rig);
	for (int i = 0; i < 20; i++)
		(void)rig_send(rig, 3000);
	spool_writer_free(&rig->w);
	flip_in(rig, ".spool", SPOOL_FIRST + 5 * 4096 + 200);
	rig_reopen(rig);
	assert_int_equal(rig_read_all(rig, seen, false), 19);
	assert_int_equal(seen[5], 0);
	assert_int_equal(rig->damage, 1);
	spool_rewind(rig->sp);
	assert_int_equal(rig_read_all(rig, seen, true), 19);
	assert_int_equal(rig->damage, 1);
	rig_free(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_torn_tail),        cmocka_unit_test(test_torn_middle),
		cmocka_unit_test(test_bit_flips),        cmocka_unit_test(test_holes),
		cmocka_unit_test(test_headers),          cmocka_unit_test(test_moved),
		cmocka_unit_test(test_cut_file),         cmocka_unit_test(test_big_damage),
		cmocka_unit_test(test_big_orphan),       cmocka_unit_test(test_end_damaged),
		cmocka_unit_test(test_damage_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
