#include "ingest/spool/reader.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/crypt.h"

#define WINDOW     262144
#define MIN_RECORD 128 /* END is the smallest */

struct place {
	uint64_t at;              /* the end of the last record, or of what was given up */
	uint64_t n;               /* number of the next record */
	uint64_t n_at;            /* where record n may begin at the earliest */
	uint64_t counted;         /* of the records from n on, so many were already told as lost */
	uint8_t chain[SPOOL_KEY]; /* Kn */
};

struct spool_reader {
	const struct file *file;
	struct spool_file_header header;
	struct place now;
	struct place before; /* spool_reader_undo */
	void (*lost)(void *arg, uint64_t offset, uint64_t records, const char *text);
	void *arg;
	/* What may be a torn write: told only if a later record says that it was synced. */
	bool header_lost; /* one of the two, at header_at */
	uint64_t header_at;
	uint64_t hole_at;
	uint64_t hole_records;
	/* K(n+1), K(n+2)... as far as a scan needed them. */
	uint8_t (*ahead)[SPOOL_KEY];
	size_t ahead_count;
	size_t ahead_room;
	uint8_t *window;
	uint64_t window_at;
	size_t window_len;
	size_t window_room;
};

/* ---- the header ---- */

static enum rc read_header(const struct file *f, uint64_t at, uint8_t out[SPOOL_FILE_HEADER],
                           struct err *e)
{
	size_t got;
	enum rc rc = file_read_some(f, out, SPOOL_FILE_HEADER, at, &got, e);

	if (rc == RC_OK && got < SPOOL_FILE_HEADER)
		memset(out, 0, SPOOL_FILE_HEADER);
	return rc;
}

/* Both headers are unreadable. Was anything synced under one of them? A record that says so is
 * proof enough to raise an alarm, although it can't be authenticated any more. */
static enum rc look_for_traces(const struct file *f, uint64_t size,
                               const uint8_t epoch[SPOOL_EPOCH], bool *traces, struct err *e)
{
	uint8_t *chunk = mem_new(SPOOL_PIECE);
	struct spool_header h;
	enum rc rc = RC_OK;

	*traces = false;
	for (uint64_t at = SPOOL_FIRST; rc == RC_OK && at < size && !*traces; at += SPOOL_PIECE) {
		size_t got;

		rc = file_read_some(f, chunk, SPOOL_PIECE, at, &got, e);
		for (size_t i = 0; rc == RC_OK && i + SPOOL_HEADER <= got; i += SPOOL_RECORD_ALIGN)
			if (spool_header_peek(&h, chunk + i, epoch) && h.synced_before > 0)
				*traces = true;
	}
	free(chunk);
	return rc;
}

/* Neither copy opens: never begun, torn when it was begun, or damaged? */
static enum rc judge_headers(const struct file *f, uint64_t size, uint64_t number,
                             uint8_t copies[2][SPOOL_FILE_HEADER], struct err *e)
{
	for (int i = 0; i < 2; i++) {
		struct spool_file_header h;
		bool traces;
		enum rc rc;

		if (!spool_file_header_peek(&h, copies[i]) || h.number != number)
			continue;
		rc = look_for_traces(f, size, h.epoch, &traces, e);
		if (rc != RC_OK)
			return rc;
		if (traces)
			return err_set(e, RC_CORRUPT, "%s: both of its headers are damaged",
			               file_name(f));
	}
	return err_set(e, RC_NOTFOUND, "%s was never begun", file_name(f));
}

static enum rc open_header(struct spool_reader *r, uint64_t number, const uint8_t secret[SPOOL_KEY],
                           struct err *e)
{
	uint8_t copies[2][SPOOL_FILE_HEADER] = { 0 };
	uint64_t places[2] = { 0, 0 };
	bool good[2];
	uint64_t size;
	enum rc rc = file_size(r->file, &size, e);

	if (size >= SPOOL_RESERVE)
		places[1] = size - SPOOL_GROUP_ALIGN;
	for (int i = 0; i < 2 && rc == RC_OK; i++)
		rc = read_header(r->file, places[i], copies[i], e);
	if (rc != RC_OK)
		return rc;
	for (int i = 0; i < 2; i++) {
		struct spool_file_header h;
		uint8_t k0[SPOOL_KEY];

		good[i] = spool_file_header_get(&h, k0, copies[i], secret) && h.number == number;
		if (good[i]) {
			r->header = h;
			memcpy(r->now.chain, k0, SPOOL_KEY);
		}
		crypt_wipe(k0, sizeof(k0));
	}
	if (!good[0] && !good[1])
		return judge_headers(r->file, size, number, copies, e);
	/* It was written whole, and synced, before anything was accepted into it. */
	if (size < r->header.capacity)
		r->lost(r->arg, size, 1, "the file was cut");
	r->header_lost = !good[0] || !good[1];
	r->header_at = places[good[0] ? 1 : 0];
	return RC_OK;
}

enum rc spool_reader_open(struct spool_reader **out, const struct file *f, uint64_t number,
                          const uint8_t secret[SPOOL_KEY],
                          void (*lost)(void *arg, uint64_t offset, uint64_t records,
                                       const char *text),
                          void *arg, struct err *e)
{
	struct spool_reader *r = mem_new(sizeof(*r));
	enum rc rc;

	*out = NULL;
	r->file = f;
	r->lost = lost;
	r->arg = arg;
	rc = open_header(r, number, secret, e);
	if (rc != RC_OK) {
		spool_reader_free(&r);
		return rc;
	}
	r->now.at = SPOOL_FIRST;
	r->now.n_at = SPOOL_FIRST;
	*out = r;
	return RC_OK;
}

static void forget_ahead(struct spool_reader *r)
{
	if (r->ahead)
		crypt_wipe(r->ahead, r->ahead_room * SPOOL_KEY);
	free(r->ahead);
	r->ahead = NULL;
	r->ahead_count = 0;
	r->ahead_room = 0;
}

void spool_reader_free(struct spool_reader **r)
{
	if (!*r)
		return;
	forget_ahead(*r);
	free((*r)->window);
	crypt_wipe(*r, sizeof(**r));
	free(*r);
	*r = NULL;
}

enum rc spool_reader_seek(struct spool_reader *r, uint64_t offset, uint64_t records, struct err *e)
{
	if (offset < SPOOL_FIRST && records == 0)
		return RC_OK;
	if (offset < SPOOL_FIRST || offset > r->header.capacity ||
	    offset % SPOOL_RECORD_ALIGN != 0 || records > (offset - SPOOL_FIRST) / MIN_RECORD)
		return err_set(e, RC_CORRUPT, "%s: position %llu behind %llu records can't be",
		               file_name(r->file), (unsigned long long)offset,
		               (unsigned long long)records);
	while (r->now.n < records) {
		spool_chain_next(r->now.chain);
		r->now.n++;
	}
	r->now.at = offset;
	r->now.n_at = offset;
	return RC_OK;
}

void spool_reader_undo(struct spool_reader *r)
{
	forget_ahead(r);
	r->now = r->before;
}

/* ---- bytes and keys ---- */

/* n bytes at `at`; they must be before `limit`. */
static enum rc fetch(struct spool_reader *r, uint64_t at, size_t n, uint64_t limit,
                     const uint8_t **out, struct err *e)
{
	size_t want;
	enum rc rc;

	if (at < r->window_at || at + n > r->window_at + r->window_len) {
		want = (size_t)MIN_OF((uint64_t)MAX_OF(n, (size_t)WINDOW), limit - at);
		if (want > r->window_room) {
			r->window = mem_resize(r->window, want);
			r->window_room = want;
		}
		r->window_at = at;
		r->window_len = 0;
		rc = file_read_some(r->file, r->window, want, at, &r->window_len, e);
		if (rc != RC_OK)
			return rc;
		if (r->window_len < n)
			return RC_NOTFOUND; /* the file is shorter than it was */
	}
	*out = r->window + (at - r->window_at);
	return RC_OK;
}

/* Kn for an n that may be ahead. */
static const uint8_t *chain_at(struct spool_reader *r, uint64_t n)
{
	size_t steps = (size_t)(n - r->now.n);

	if (steps == 0)
		return r->now.chain;
	if (steps > r->ahead_room) {
		size_t room = MAX_OF(steps, 2 * r->ahead_room);

		r->ahead = mem_resize(r->ahead, room * SPOOL_KEY);
		r->ahead_room = room;
	}
	while (r->ahead_count < steps) {
		uint8_t *next = r->ahead[r->ahead_count];
		const uint8_t *last = r->ahead_count ? r->ahead[r->ahead_count - 1] : r->now.chain;

		memcpy(next, last, SPOOL_KEY);
		spool_chain_next(next);
		r->ahead_count++;
	}
	return r->ahead[steps - 1];
}

/* Record n lies at [.., end): what follows is n + 1. */
static void move_behind(struct spool_reader *r, uint64_t n, uint64_t end)
{
	uint8_t chain[SPOOL_KEY];

	memcpy(chain, chain_at(r, n), SPOOL_KEY);
	spool_chain_next(chain);
	memcpy(r->now.chain, chain, SPOOL_KEY);
	crypt_wipe(chain, sizeof(chain));
	forget_ahead(r);
	r->now.n = n + 1;
	r->now.at = end;
	r->now.n_at = end;
	r->now.counted = 0;
}

/* ---- holes ---- */

static void tell_lost(struct spool_reader *r, uint64_t offset, uint64_t records)
{
	char text[96];

	(void)snprintf(text, sizeof(text), "%llu accepted record%s can't be read",
	               (unsigned long long)records, records == 1 ? "" : "s");
	r->lost(r->arg, offset, records, text);
}

/* Records are missing from `at` on. */
static void note_hole(struct spool_reader *r, uint64_t at, uint64_t records, uint64_t synced)
{
	uint64_t fresh = records - MIN_OF(records, r->now.counted);

	if (fresh == 0)
		return;
	if (at < synced) {
		tell_lost(r, at, fresh);
		return;
	}
	if (r->hole_records == 0)
		r->hole_at = at;
	r->hole_records += fresh;
}

/* A record says that everything before `synced` was on disk. */
static void attest(struct spool_reader *r, uint64_t synced)
{
	if (r->header_lost && synced > 0) {
		r->lost(r->arg, r->header_at, 0, "one of the two headers is damaged");
		r->header_lost = false;
	}
	if (r->hole_records && synced > r->hole_at) {
		tell_lost(r, r->hole_at, r->hole_records);
		r->hole_records = 0;
	}
}

/* ---- records ---- */

/* Splits the plain bytes of a record. False when lengths contradict each other. */
static bool dissect(struct spool_found *out, enum spool_type type, struct slice plain)
{
	size_t front = type == SPOOL_BIG ? SPOOL_BIG_REF : 0;
	uint64_t raw_here;
	size_t body;

	if (type == SPOOL_END)
		return plain.len == SPOOL_END_BODY;
	if (plain.len < front + SPOOL_TRAILER)
		return false;
	spool_trailer_get(&out->trailer, plain.at + plain.len - SPOOL_TRAILER);
	body = plain.len - front - SPOOL_TRAILER;
	raw_here = type == SPOOL_MESSAGE ? out->trailer.raw_bytes : 0;
	if (out->trailer.meta_bytes > body || raw_here != body - out->trailer.meta_bytes)
		return false;
	if (type == SPOOL_BIG)
		spool_big_ref_get(&out->big, plain.at);
	out->raw = slice_part(plain, front, (size_t)raw_here);
	out->meta = slice_part(plain, front + (size_t)raw_here, out->trailer.meta_bytes);
	return true;
}

/* Opens the body of a record whose header is authentic. *good tells whether it is intact. */
static enum rc open_body(struct spool_reader *r, uint64_t at, const struct spool_header *h,
                         uint64_t limit, struct buf *into, struct spool_found *out, bool *good,
                         struct err *e)
{
	uint64_t plain = spool_plain_bytes(h->length);
	struct spool_keys keys;
	const uint8_t *bytes;
	enum rc rc = fetch(r, at, (size_t)(SPOOL_HEADER + h->length), limit, &bytes, e);

	*good = false;
	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc != RC_OK)
		return rc;
	buf_clear(into);
	if (buf_reserve(into, (size_t)plain) != RC_OK)
		return err_set(e, RC_LIMIT, "out of memory for a record of the spool");
	spool_chain_keys(&keys, chain_at(r, h->n));
	*good = spool_open_all(into->at, bytes + SPOOL_HEADER, plain, slice_of(bytes, SPOOL_HEADER),
	                       keys.seal);
	crypt_wipe(&keys, sizeof(keys));
	if (!*good)
		return RC_OK;
	into->len = (size_t)plain;
	*good = dissect(out, h->type, buf_slice(into));
	return RC_OK;
}

/* Is there an authentic header at `at`? */
static enum rc header_at(struct spool_reader *r, uint64_t at, uint64_t limit,
                         struct spool_header *h, bool *good, struct err *e)
{
	struct spool_keys keys;
	const uint8_t *bytes;
	enum rc rc = fetch(r, at, SPOOL_HEADER, limit, &bytes, e);

	*good = false;
	if (rc != RC_OK || !spool_header_peek(h, bytes, r->header.epoch))
		return rc;
	/* No more records than fit can have come before it. */
	if (h->n < r->now.n || h->n - r->now.n > (at - r->now.n_at) / MIN_RECORD ||
	    spool_record_bytes(h->length) > limit - at)
		return RC_OK;
	spool_chain_keys(&keys, chain_at(r, h->n));
	*good = spool_header_check(bytes, &keys);
	crypt_wipe(&keys, sizeof(keys));
	return RC_OK;
}

/* The next authentic header from now.at on. RC_AGAIN: none. */
static enum rc find_header(struct spool_reader *r, uint64_t limit, uint64_t *at,
                           struct spool_header *h, struct err *e)
{
	for (*at = r->now.at; *at + SPOOL_HEADER <= limit; *at += SPOOL_RECORD_ALIGN) {
		bool good;
		enum rc rc = header_at(r, *at, limit, h, &good, e);

		if (rc == RC_NOTFOUND)
			break;
		if (rc != RC_OK || good)
			return rc;
	}
	return RC_AGAIN;
}

/* Nothing more before `limit`. */
static enum rc run_dry(struct spool_reader *r, uint64_t limit, uint64_t synced)
{
	if (r->now.at < synced) {
		note_hole(r, r->now.at, r->now.counted + 1, synced);
		r->now.counted++;
		r->now.at = limit;
	}
	return RC_AGAIN;
}

enum rc spool_reader_next(struct spool_reader *r, uint64_t limit, uint64_t synced, struct buf *into,
                          struct spool_found *out, struct err *e)
{
	limit = MIN_OF(limit, r->header.capacity);
	synced = MIN_OF(synced, limit);
	attest(r, synced);
	for (;;) {
		struct spool_header h;
		uint64_t at;
		uint64_t end;
		bool good;
		enum rc rc = find_header(r, limit, &at, &h, e);

		if (rc == RC_AGAIN)
			return run_dry(r, limit, synced);
		if (rc != RC_OK)
			return rc;
		memset(out, 0, sizeof(*out));
		rc = open_body(r, at, &h, limit, into, out, &good, e);
		if (rc != RC_OK)
			return rc;
		end = at + spool_record_bytes(h.length);
		attest(r, h.synced_before);
		if (h.n > r->now.n || !good)
			note_hole(r, r->now.at, h.n - r->now.n + (good ? 0 : 1),
			          MAX_OF(synced, h.synced_before));
		r->before = (struct place) { .at = at, .n = h.n, .n_at = at };
		memcpy(r->before.chain, chain_at(r, h.n), SPOOL_KEY);
		move_behind(r, h.n, end);
		if (!good)
			continue;
		if (h.type == SPOOL_END)
			return RC_NOTFOUND;
		out->type = h.type;
		out->begin = at;
		out->end = end;
		out->records = r->now.n;
		return RC_OK;
	}
}
