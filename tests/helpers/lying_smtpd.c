/*
 * tests/helpers/lying_smtpd.c - an mm-smtpd that was broken into
 *
 * Put in the place of mm-smtpd by tests/crash/T380-lying.py. Each time mmd starts it, it tries the
 * next lie: records in the spool that no gate writes, then nonsense on the channel. How often it
 * was started stands in the file "lies" beside it. When it knows no more, it becomes
 * "mm-smtpd.real".
 */
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/json.h"
#include "ingest/spool/record.h"
#include "ingest/spool/writer.h"
#include "ingest/wire.h"
#include "store/crypt.h"

struct liar {
	char *dir;
	json_t *config;
	int fd; /* of the spool file */
	uint64_t number;
	uint64_t capacity;
	uint64_t at;
	uint64_t n;
	uint8_t epoch[SPOOL_EPOCH];
	uint8_t chain[SPOOL_KEY];
	uint64_t big; /* a big file, and one more */
	uint32_t sequence;
};

static void tell(unsigned type, struct slice body)
{
	struct err e;

	if (channel_put(WIRE_CHANNEL_FD, type, body, NULL, 0, &e) != RC_OK)
		exit(1);
}

static void put_at(int fd, const void *bytes, size_t len, uint64_t at)
{
	MUST(pwrite(fd, bytes, len, (off_t)at) == (ssize_t)len); /* tidy: not a file of ours */
}

static void begin_file(struct liar *l, const uint8_t public_key[SPOOL_KEY])
{
	struct spool_file_header h = { .number = l->number, .capacity = l->capacity };
	uint8_t bytes[SPOOL_FILE_HEADER];

	crypt_random(l->epoch, sizeof(l->epoch));
	crypt_random(l->chain, sizeof(l->chain));
	memcpy(h.epoch, l->epoch, sizeof(h.epoch));
	memcpy(h.public_key, public_key, sizeof(h.public_key));
	spool_file_header_put(bytes, &h, l->chain);
	put_at(l->fd, bytes, sizeof(bytes), 0);
	put_at(l->fd, bytes, sizeof(bytes), l->capacity - SPOOL_GROUP_ALIGN);
	l->at = SPOOL_FIRST;
	l->n = 0;
}

/* One record of `plain` bytes. */
static void put_record(struct liar *l, enum spool_type type, struct slice plain)
{
	struct spool_header h = { .type = type, .n = l->n };
	uint64_t sealed = spool_sealed_bytes(plain.len);
	uint8_t *bytes = mem_new((size_t)spool_record_bytes(sealed));
	uint8_t *to = bytes + SPOOL_HEADER;
	struct spool_keys keys;

	h.length = sealed;
	memcpy(h.epoch, l->epoch, sizeof(h.epoch));
	spool_chain_keys(&keys, l->chain);
	spool_chain_next(l->chain);
	spool_header_put(bytes, &h, &keys);
	for (size_t i = 0; i < plain.len; i += SPOOL_PIECE) {
		size_t n = MIN_OF(plain.len - i, (size_t)SPOOL_PIECE);

		memcpy(to, plain.at + i, n);
		to += n + SPOOL_TAG;
	}
	spool_seal_all(bytes + SPOOL_HEADER, plain.len, slice_of(bytes, SPOOL_HEADER), keys.seal);
	put_at(l->fd, bytes, (size_t)spool_record_bytes(sealed), l->at);
	l->at += spool_record_bytes(sealed);
	l->n++;
	free(bytes);
}

static struct message_id next_id(struct liar *l, int64_t ms)
{
	uint8_t random[8];

	crypt_random(random, sizeof(random));
	return id_make(ms, ++l->sequence, random);
}

struct lie {
	struct message_id id;
	int64_t received_ms;
	struct slice meta;
	struct slice raw;
	bool other_hash;
};

static void put_trailer(struct buf *b, const struct lie *m)
{
	struct spool_trailer t = { .id = m->id,
		                   .received_ms = m->received_ms,
		                   .meta_bytes = (uint32_t)m->meta.len,
		                   .raw_bytes = m->raw.len };
	uint8_t bytes[SPOOL_TRAILER];

	MUST(crypto_hash_sha256(t.sha256, m->raw.at, m->raw.len) == 0);
	t.sha256[0] ^= m->other_hash;
	spool_trailer_put(bytes, &t);
	MUST(buf_add(b, slice_of(bytes, sizeof(bytes))) == RC_OK);
}

static void put_message(struct liar *l, const struct lie *m)
{
	struct buf b;

	buf_init(&b, SPOOL_RECORD_MAX);
	MUST(buf_add(&b, m->raw) == RC_OK && buf_add(&b, m->meta) == RC_OK);
	put_trailer(&b, m);
	put_record(l, SPOOL_MESSAGE, buf_slice(&b));
	buf_free(&b);
}

static void put_big(struct liar *l, uint64_t number, const uint8_t key[SPOOL_KEY],
                    const struct lie *m)
{
	struct spool_big_ref ref = { .number = number };
	uint8_t bytes[SPOOL_BIG_REF];
	struct buf b;

	memcpy(ref.key, key, SPOOL_KEY);
	spool_big_ref_put(bytes, &ref);
	buf_init(&b, SPOOL_RECORD_MAX);
	MUST(buf_add(&b, slice_of(bytes, sizeof(bytes))) == RC_OK && buf_add(&b, m->meta) == RC_OK);
	put_trailer(&b, m);
	put_record(l, SPOOL_BIG, buf_slice(&b));
	buf_free(&b);
}

static void tell_durable(uint64_t file, uint64_t offset, uint64_t messages)
{
	uint8_t body[24];

	put_le64(body, file);
	put_le64(body + 8, offset);
	put_le64(body + 16, messages);
	tell(WIRE_DURABLE, slice_of(body, sizeof(body)));
}

/* Until a message of that type; its descriptor. */
static int wait_for(struct liar *l, unsigned wanted, struct buf *body)
{
	for (;;) {
		int fds[CHANNEL_FDS];
		unsigned type;
		size_t nfds;
		struct err e;

		if (channel_get(WIRE_CHANNEL_FD, &type, body, fds, &nfds, &e) != RC_OK)
			exit(1);
		if (type == WIRE_CONFIG)
			MUST(json_read(&l->config, buf_slice(body), &e) == RC_OK);
		if (type == WIRE_MARK)
			tell(WIRE_MARKED, buf_slice(body));
		if (type == WIRE_STOP)
			exit(0);
		if (type == wanted)
			return fds[0];
	}
}

static void get_file(struct liar *l)
{
	struct buf body;

	buf_init(&body, WIRE_CONFIG_MAX);
	tell(WIRE_NEED_FILE, slice_of(NULL, 0));
	l->fd = wait_for(l, WIRE_SPOOL_FILE, &body);
	l->number = get_le64(body.at);
	l->capacity = get_le64(body.at + 8);
	begin_file(l, body.at + 16);
	buf_free(&body);
}

/* The beginning of a meta that names the rule set as it is. */
static void begin_meta(const struct liar *l, struct buf *b)
{
	const json_t *snapshot = json_object_get(l->config, "snapshot");
	const json_t *rules = json_array_get(json_object_get(snapshot, "RuleSets"), 0);

	buf_clear(b);
	MUST(buf_addf(
	             b,
	             "{\"v\":1,\"mail_from\":\"ann@shop.example\",\"ip\":\"127.0.0.1\",\"ingress\":"
	             "\"inbound\",\"rule_set\":\"%s\",\"rule_set_version\":%lld,\"rcpt\":[",
	             json_string_value(json_object_get(rules, "RuleSetId")),
	             (long long)json_member_int(rules, "Version", 0)) == RC_OK);
}

static void good(struct liar *l, unsigned i)
{
	char raw[64];
	struct buf meta;
	struct lie m = { .received_ms = clock_now_ms() };

	buf_init(&meta, SPOOL_RECORD_MAX);
	begin_meta(l, &meta);
	MUST(buf_addf(&meta, "{\"to\":\"a@corp.example\"}]}") == RC_OK);
	(void)snprintf(raw, sizeof(raw), "Subject: good %u\r\n\r\nx\r\n", i);
	m.id = next_id(l, m.received_ms);
	m.meta = buf_slice(&meta);
	m.raw = slice_str(raw);
	put_message(l, &m);
	buf_free(&meta);
}

static void lie(struct liar *l, const char *subject, const char *meta, struct message_id id,
                int64_t received_ms)
{
	char raw[200];
	struct lie m = { .id = id, .received_ms = received_ms, .meta = slice_str(meta) };

	(void)snprintf(raw, sizeof(raw), "Subject: lie %s\r\n\r\nx\r\n", subject);
	m.raw = slice_str(raw);
	put_message(l, &m);
}

static void lie_about_meta(struct liar *l)
{
	static const char *const metas[] = {
		"",
		"{",
		"{}",
		"[]",
		"null",
		"{\"rule_set\":7,\"rcpt\":7,\"tls\":[],\"ip\":{}}",
		"{\"rule_set\":\"rs-none\",\"rule_set_version\":9223372036854775807}",
		/* what an import would be */
		"{\"archive\":1,\"ledger\":"
		"\"00000000000000000000000000000000\"}",
		"{\"archive\":4000000000,\"ledger\":"
		"\"00000000000000000000000000000000\"}",
		"{\"archive\":1}",
	};
	int64_t now = clock_now_ms();
	struct message_id same = next_id(l, now);

	for (size_t i = 0; i < COUNT(metas); i++)
		lie(l, "meta", metas[i], next_id(l, now), now);
	/* What became of a message must not be said anew under its id. */
	lie(l, "meta", metas[6], same, now);
	lie(l, "meta", "{", same, now);
}

static void lie_about_recipients(struct liar *l)
{
	int64_t now = clock_now_ms();
	struct buf b;

	buf_init(&b, SPOOL_RECORD_MAX);
	begin_meta(l, &b);
	for (unsigned i = 0; i < 50000; i++)
		MUST(buf_addf(&b, "%s{\"to\":\"a%u\"}", i ? "," : "", i) == RC_OK);
	MUST(buf_add_str(&b, "]}") == RC_OK);
	lie(l, "recipients", buf_text(&b), next_id(l, now), now);
	begin_meta(l, &b);
	MUST(buf_add_str(&b, "{\"to\":\"") == RC_OK);
	for (unsigned i = 0; i < 900000; i++)
		MUST(buf_add_byte(&b, 'a') == RC_OK);
	MUST(buf_add_str(&b, "@corp.example\"}]}") == RC_OK);
	lie(l, "address", buf_text(&b), next_id(l, now), now);
	buf_free(&b);
}

static void lie_about_time_and_id(struct liar *l)
{
	static const int64_t times[] = { INT64_MIN, -1, 0, INT64_C(1) << 40, (INT64_C(1) << 42) - 1,
		                         INT64_MAX };
	int64_t now = clock_now_ms();
	struct message_id same = next_id(l, now);
	struct message_id ones;
	struct buf b;

	buf_init(&b, SPOOL_RECORD_MAX);
	begin_meta(l, &b);
	MUST(buf_add_str(&b, "{\"to\":\"a@corp.example\"}]}") == RC_OK);
	memset(&ones, 0xff, sizeof(ones));
	for (size_t i = 0; i < COUNT(times); i++) {
		lie(l, "time", buf_text(&b), next_id(l, now), times[i]);
		if (times[i] >= 0 && times[i] < INT64_C(1) << 42)
			lie(l, "id", buf_text(&b), next_id(l, times[i]), times[i]);
	}
	lie(l, "ones", buf_text(&b), ones, now);
	lie(l, "first", buf_text(&b), same, now);
	lie(l, "second", buf_text(&b), same, now);
	buf_free(&b);
}

/* More ids that agree in time and sequence than the index has places for, one behind the other. */
static void lie_about_order(struct liar *l)
{
	static const uint32_t sequences[] = { 77, (1u << ID_SEQUENCE_BITS) - 1, 0 };
	int64_t now = clock_now_ms();
	struct buf b;

	buf_init(&b, SPOOL_RECORD_MAX);
	begin_meta(l, &b);
	MUST(buf_add_str(&b, "{\"to\":\"a@corp.example\"}]}") == RC_OK);
	for (unsigned i = 0; i < 300; i++) {
		uint8_t random[8];

		crypt_random(random, sizeof(random));
		lie(l, "order", buf_text(&b), id_make(now, sequences[i % 3], random), now);
	}
	for (unsigned i = 0; i < 200; i++)
		lie(l, "day", buf_text(&b), next_id(l, now + i * MS_PER_DAY), now);
	buf_free(&b);
}

static void lie_about_bytes(struct liar *l)
{
	struct lie m = { .received_ms = clock_now_ms() };
	struct buf b;

	buf_init(&b, SPOOL_RECORD_MAX);
	begin_meta(l, &b);
	MUST(buf_add_str(&b, "{\"to\":\"a@corp.example\"}]}") == RC_OK);
	m.meta = buf_slice(&b);
	m.id = next_id(l, m.received_ms);
	put_message(l, &m); /* no byte at all */
	m.id = next_id(l, m.received_ms);
	m.raw = slice_str("Subject: lie hash\r\n\r\nx\r\n");
	m.other_hash = true;
	put_message(l, &m);
	buf_free(&b);
}

/* A record that names a big file by a wrong key must not be the end of that file. */
static void lie_about_big_files(struct liar *l, unsigned step)
{
	static uint8_t piece[SPOOL_PIECE + SPOOL_TAG] = "Subject: good big\r\n\r\n";
	static uint8_t key[SPOOL_KEY];
	static const uint8_t wrong[SPOOL_KEY];
	uint8_t bound[SPOOL_BIG_BOUND];
	struct lie m = { .received_ms = clock_now_ms() };
	struct buf b;
	int fd;

	buf_init(&b, WIRE_CONFIG_MAX);
	if (step == 0) {
		tell(WIRE_NEED_BIG, slice_of(NULL, 0));
		fd = wait_for(l, WIRE_BIG_FILE, &b);
		l->big = get_le64(b.at);
		crypt_random(key, sizeof(key));
	}
	begin_meta(l, &b);
	MUST(buf_add_str(&b, "{\"to\":\"a@corp.example\"}]}") == RC_OK);
	m.meta = buf_slice(&b);
	m.id = next_id(l, m.received_ms);
	m.raw = slice_of(piece, SPOOL_PIECE);
	if (step == 0) {
		uint8_t *copy = mem_new(sizeof(piece));

		memcpy(copy, piece, sizeof(piece));
		spool_big_bound(bound, l->big);
		spool_seal_piece(copy, SPOOL_PIECE, 0, true, slice_of(bound, sizeof(bound)), key);
		put_at(fd, copy, sizeof(piece), 0);
		free(copy);
		put_big(l, l->big, wrong, &m);
		put_big(l, l->big + 1000, key, &m);
		put_big(l, l->number, key, &m); /* a spool file's number */
	} else {
		put_big(l, l->big, key, &m);
	}
	buf_free(&b);
}

static void lie_in_the_spool(struct liar *l)
{
	get_file(l);
	good(l, 1);
	lie_about_meta(l);
	good(l, 2);
	lie_about_time_and_id(l);
	lie_about_order(l);
	lie_about_bytes(l);
	good(l, 3);
	lie_about_big_files(l, 0);
	put_record(l, SPOOL_MESSAGE, slice_str("short"));
	good(l, 4);
	tell_durable(l->number, l->at, l->n);
	clock_sleep_ms(3000); /* a checkpoint */
	lie_about_big_files(l, 1);
	tell_durable(l->number, l->at, l->n);
	get_file(l);
	lie_about_recipients(l);
	tell_durable(l->number, l->at, l->n);
	clock_sleep_ms(1000);
}

/* As much as an honest one may want at a time, all at once: mmd gives it. */
static void ask_for_all(struct liar *l)
{
	uint8_t heads[8 * SPOOL_ASKED_BIGS] = { 0 };
	struct buf body;

	for (size_t i = 0; i < COUNT(heads); i += 8)
		put_le16(heads + i + 4, WIRE_NEED_BIG);
	put_le16(heads + sizeof(heads) - 4, WIRE_NEED_FILE); /* the last in place of a big one */
	MUST(write(WIRE_CHANNEL_FD, heads, sizeof(heads)) ==
	     (ssize_t)sizeof(heads)); /* tidy: a socket */
	buf_init(&body, WIRE_CONFIG_MAX);
	for (size_t i = 1; i < SPOOL_ASKED_BIGS; i++)
		(void)close(wait_for(l, WIRE_BIG_FILE, &body));
	(void)close(wait_for(l, WIRE_SPOOL_FILE, &body));
	buf_free(&body);
}

static void lie_on_the_channel(struct liar *l, unsigned which)
{
	uint8_t body[32] = { 0 };

	get_file(l);
	switch (which) {
	case 1:
		for (uint64_t i = 0; i < 1000; i++)
			tell_durable(i, l->capacity, UINT64_MAX);
		tell_durable(l->number, UINT64_MAX, UINT64_MAX);
		tell(WIRE_STATS, slice_of(body, 32));
		tell(999, slice_of(NULL, 0));
		break;
	case 2:
		for (int i = 0; i < 2000; i++)
			tell(i % 2 ? WIRE_NEED_FILE : WIRE_NEED_BIG, slice_of(NULL, 0));
		break;
	default:
		put_le64(body, UINT64_MAX);
		tell(WIRE_MARKED, slice_of(body, 8));
	}
	for (;;)
		(void)wait_for(l, WIRE_STOP, &(struct buf) { .limit = WIRE_CONFIG_MAX });
}

/* How many times it was started before. */
static unsigned count_starts(const struct liar *l)
{
	char *path = path_join(l->dir, "lies");
	int fd = open(path, O_CREAT | O_APPEND | O_WRONLY, 0600); /* tidy: not the data directory */
	struct stat st;

	MUST(fd >= 0 && fstat(fd, &st) == 0 && write(fd, "x", 1) == 1); /* tidy: as above */
	(void)close(fd);
	free(path);
	return (unsigned)st.st_size;
}

/* An id that was archived before: the test has put it into the file "again". */
static void say_again(struct liar *l, const char *path)
{
	struct message_id id;
	struct buf text;
	struct buf meta;

	buf_init(&text, ID_TEXT + 1);
	buf_init(&meta, SPOOL_RECORD_MAX);
	MUST(file_read_all(path, &text, NULL) == RC_OK && id_parse(&id, buf_slice(&text)));
	MUST(unlink(path) == 0);
	get_file(l);
	begin_meta(l, &meta);
	MUST(buf_add_str(&meta, "{\"to\":\"a@corp.example\"}]}") == RC_OK);
	lie(l, "again", buf_text(&meta), id, id_received_ms(&id));
	tell_durable(l->number, l->at, l->n);
	clock_sleep_ms(1000);
	buf_free(&text);
	buf_free(&meta);
	exit(1);
}

int main(void)
{
	struct liar l = { .sequence = 7 };
	char self[4096] = "";
	unsigned starts;
	char *again;
	char *real;

	MUST(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	*strrchr(self, '/') = '\0';
	l.dir = self;
	real = path_join(l.dir, "mm-smtpd.real");
	starts = count_starts(&l);
	clock_init();
	crypt_init();
	again = path_join(l.dir, "again");
	if (starts >= 4 && file_exists(again))
		say_again(&l, again);
	if (starts >= 4) {
		(void)execl(real, real, (char *)NULL);
		return 1;
	}
	if (starts == 0) {
		ask_for_all(&l);
		lie_in_the_spool(&l);
	}
	lie_on_the_channel(&l, starts);
	return 0;
}
