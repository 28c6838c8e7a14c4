#include "ingest/verdict/canon.h"

#include <openssl/evp.h>
#include <pthread.h>

/* What is fed to both forms in turn; it stays in the processor's cache. */
#define CHUNK ((size_t)16384)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256;

static void fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	MUST(sha256);
}

void canon_init(void)
{
	MUST(pthread_once(&once, fetch) == 0);
}

const EVP_MD *sha256_algorithm(void)
{
	canon_init();
	return sha256;
}

EVP_MD_CTX *canon_sha256_new(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	MUST(ctx && EVP_DigestInit_ex(ctx, sha256_algorithm(), NULL));
	return ctx;
}

void sha256_take(void *ctx, struct slice part)
{
	MUST(EVP_DigestUpdate(ctx, part.at, part.len));
}

void canon_sha256_end(EVP_MD_CTX *ctx, uint8_t out[CANON_SHA256])
{
	MUST(EVP_DigestFinal_ex(ctx, out, NULL));
}

/* ---- what comes out, gathered ---- */

static void flush(struct canon_out *o)
{
	if (o->len)
		o->take(o->arg, slice_of(o->at, o->len));
	o->len = 0;
}

static void put(struct canon_out *o, const void *at, size_t len)
{
	if (len > sizeof(o->at) - o->len)
		flush(o);
	if (len > sizeof(o->at)) {
		o->take(o->arg, slice_of(at, len));
		return;
	}
	if (len)
		memcpy(o->at + o->len, at, len);
	o->len += len;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* ---- header fields ---- */

/* Without its line end, if it has one. */
static struct slice without_end(struct slice s)
{
	if (s.len && s.at[s.len - 1] == '\n')
		s.len--;
	if (s.len && s.at[s.len - 1] == '\r')
		s.len--;
	return s;
}

static void put_lower(struct canon_out *o, struct slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.at[i];

		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		put(o, &c, 1);
	}
}

struct relaxing {
	bool some;  /* of the value came already */
	bool blank; /* blanks that count as one if the value goes on */
};

/* A part of a value: lines unfolded, runs of blanks made one, none at the ends. */
static void relax(struct canon_out *o, struct relaxing *r, struct slice part)
{
	for (size_t i = 0; i < part.len;) {
		size_t from = i;

		while (i < part.len && !is_blank(part.at[i]) &&
		       !(part.at[i] == '\r' && i + 1 < part.len && part.at[i + 1] == '\n'))
			i++;
		if (i > from) {
			if (r->blank && r->some)
				put(o, " ", 1);
			put(o, part.at + from, i - from);
			r->some = true;
			r->blank = false;
		} else if (is_blank(part.at[i])) {
			r->blank = true;
			i++;
		} else {
			i += 2;
		}
	}
}

static void relaxed(struct canon_out *o, const struct raw_field *f, struct slice gap)
{
	struct slice value = without_end(f->value);
	struct relaxing r = { 0 };

	put_lower(o, f->name);
	put(o, ":", 1);
	if (gap.at) {
		size_t before = (size_t)(gap.at - value.at);

		relax(o, &r, slice_part(value, 0, before));
		value = slice_from(value, before + gap.len);
	}
	relax(o, &r, value);
}

static void simple(struct canon_out *o, const struct raw_field *f, struct slice gap)
{
	struct slice whole = without_end(f->whole);

	if (gap.at) {
		size_t before = (size_t)(gap.at - whole.at);

		put(o, whole.at, before);
		whole = slice_from(whole, before + gap.len);
	}
	put(o, whole.at, whole.len);
}

void canon_field(enum canon how, const struct raw_field *f, canon_take *take, void *arg)
{
	struct canon_out o = { .take = take, .arg = arg };
	struct slice end = slice_from(f->whole, without_end(f->whole).len);

	if (how == CANON_RELAXED || end.len == 0)
		end = slice_str("\r\n");
	(how == CANON_RELAXED ? relaxed : simple)(&o, f, slice_of(NULL, 0));
	put(&o, end.at, end.len);
	flush(&o);
}

void canon_signature_field(enum canon how, const struct raw_field *f, struct slice gap,
                           canon_take *take, void *arg)
{
	struct canon_out o = { .take = take, .arg = arg };

	(how == CANON_RELAXED ? relaxed : simple)(&o, f, gap);
	flush(&o);
}

/* ---- bodies ---- */

void canon_body_begin(struct canon_body *b, enum canon how, canon_take *take, void *arg)
{
	*b = (struct canon_body) { .how = how };
	b->out.take = take;
	b->out.arg = arg;
}

/* Bytes of a line that is not empty: what was put off comes first. */
static void put_content(struct canon_body *b, const uint8_t *at, size_t len)
{
	for (; b->lines; b->lines--)
		put(&b->out, "\r\n", 2);
	if (b->blank)
		put(&b->out, " ", 1);
	b->blank = false;
	b->some = true;
	put(&b->out, at, len);
}

/* Bytes that go out as they are: with the blanks between words, where they are what they become. */
static size_t run_of(const struct canon_body *b, struct slice part)
{
	size_t n = 0;

	if (b->how == CANON_SIMPLE) {
		n = slice_find_byte(part, '\r');
		return n == SIZE_MAX ? part.len : n;
	}
	for (; n < part.len; n++) {
		uint8_t c = part.at[n];

		if (c > ' ')
			continue;
		if (c == '\r' || c == '\t')
			break;
		if (c == ' ' &&
		    (n + 1 == part.len || is_blank(part.at[n + 1]) || part.at[n + 1] == '\r'))
			break;
	}
	return n;
}

static void end_line(struct canon_body *b)
{
	b->cr = false;
	b->blank = false;
	b->lines++;
}

void canon_body_add(struct canon_body *b, struct slice part)
{
	size_t i = 0;

	while (i < part.len) {
		if (b->cr && part.at[i] == '\n') {
			end_line(b);
			i++;
			continue;
		}
		if (b->cr)
			put_content(b, (const uint8_t *)"\r", 1);
		b->cr = part.at[i] == '\r';
		if (b->cr) {
			i++;
		} else if (b->how == CANON_RELAXED && is_blank(part.at[i])) {
			b->blank = true;
			i++;
		} else {
			size_t n = run_of(b, slice_from(part, i));

			put_content(b, part.at + i, n);
			i += n;
		}
	}
}

void canon_body_end(struct canon_body *b)
{
	if (b->cr)
		put_content(b, (const uint8_t *)"\r", 1);
	if (b->some || b->how == CANON_SIMPLE)
		put(&b->out, "\r\n", 2);
	flush(&b->out);
}

/* ---- hashes of bodies ---- */

struct hashing {
	struct canon_body body;
	EVP_MD_CTX *ctx;                       /* NULL: nobody asked for this form */
	uint64_t at;                           /* canonical bytes so far */
	struct body_hash *wanted[BODY_HASHES]; /* in the order of their limits */
	size_t count;
	size_t next; /* the first that isn't found */
};

static uint64_t limit_of(const struct body_hash *w)
{
	return w->limited ? w->limit : UINT64_MAX;
}

static void want(struct hashing *h, struct body_hash *w)
{
	size_t i = h->count++;

	for (; i > 0 && limit_of(h->wanted[i - 1]) > limit_of(w); i--)
		h->wanted[i] = h->wanted[i - 1];
	h->wanted[i] = w;
}

/* The hash as it stands goes to all that end here. */
static void look(struct hashing *h, uint64_t at)
{
	EVP_MD_CTX *copy = EVP_MD_CTX_new();

	MUST(copy);
	for (; h->next < h->count && limit_of(h->wanted[h->next]) <= at; h->next++) {
		MUST(EVP_MD_CTX_copy_ex(copy, h->ctx));
		canon_sha256_end(copy, h->wanted[h->next]->sha256);
	}
	EVP_MD_CTX_free(copy);
}

static void take_body(void *arg, struct slice part)
{
	struct hashing *h = arg;

	while (h->next < h->count && limit_of(h->wanted[h->next]) - h->at <= part.len) {
		size_t n = (size_t)(limit_of(h->wanted[h->next]) - h->at);

		sha256_take(h->ctx, slice_part(part, 0, n));
		h->at += n;
		part = slice_from(part, n);
		look(h, h->at);
	}
	if (h->next < h->count)
		sha256_take(h->ctx, part);
	h->at += part.len;
}

static void begin(struct hashing *h, enum canon how)
{
	canon_body_begin(&h->body, how, take_body, h);
	h->ctx = canon_sha256_new();
	look(h, 0);
}

static void end(struct hashing *h)
{
	canon_body_end(&h->body);
	look(h, UINT64_MAX);
	for (size_t i = 0; i < h->count; i++)
		h->wanted[i]->total = h->at;
	EVP_MD_CTX_free(h->ctx);
}

void body_hashes(struct slice body, struct body_hash *wanted, size_t count)
{
	struct hashing forms[2] = { 0 };

	MUST(count <= BODY_HASHES);
	for (size_t i = 0; i < count; i++)
		want(&forms[wanted[i].how], &wanted[i]);
	for (size_t f = 0; f < 2; f++)
		if (forms[f].count)
			begin(&forms[f], (enum canon)f);
	while (body.len) {
		struct slice chunk = slice_part(body, 0, CHUNK);

		for (size_t f = 0; f < 2; f++)
			if (forms[f].count)
				canon_body_add(&forms[f].body, chunk);
		body = slice_from(body, chunk.len);
	}
	for (size_t f = 0; f < 2; f++)
		if (forms[f].count)
			end(&forms[f]);
}
