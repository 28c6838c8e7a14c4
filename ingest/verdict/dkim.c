#include "ingest/verdict/dkim.h"

#include <stdio.h>
#include <stdlib.h>

#include "ingest/verdict/signature.h"

#define IDENTITY 400

struct item {
	struct dkim_signature shown;
	struct signature s;
	char identity[IDENTITY];
};

struct dkim {
	size_t count;
	size_t checked; /* the first ones */
	struct item *items;
};

void dkim_init(void)
{
	canon_init();
}

/* ---- i= ---- */

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* dkim-quoted-printable (RFC 6376 section 2.11); false: it is none, or too long. */
static bool unquote(uint8_t out[IDENTITY], size_t *len, struct slice text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.at[i];

		if (fws_is(c))
			continue;
		if (c == '=') {
			int high = i + 2 < text.len ? hex(text.at[i + 1]) : -1;
			int low = i + 2 < text.len ? hex(text.at[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (uint8_t)(high << 4 | low);
			i += 2;
		}
		if (n + 1 >= IDENTITY)
			return false;
		out[n++] = c;
	}
	*len = n;
	return true;
}

/* Is `name` d= itself or below it? */
static bool is_within(struct signature *s, const char *name)
{
	size_t n = strlen(name);
	size_t d = strlen(s->domain);

	s->subdomain = n > d;
	if (n < d || strcmp(name + (n - d), s->domain) != 0)
		return false;
	return n == d || name[n - d - 1] == '.';
}

static bool read_identity(struct item *it, const struct taglist *t)
{
	struct slice value = taglist_value(t, "i");
	uint8_t plain[IDENTITY];
	char domain[256];
	size_t len = 0;
	size_t at;

	if (!value.at) {
		(void)snprintf(it->identity, sizeof(it->identity), "@%s", it->s.domain);
		return true;
	}
	if (!unquote(plain, &len, value))
		return signature_settle(&it->s, DKIM_NEUTRAL, "i= isn't quoted-printable");
	for (at = len; at > 0 && plain[at - 1] != '@'; at--)
		;
	if (at == 0 || !dkim_name(domain, slice_of(plain + at, len - at), 1))
		return signature_settle(&it->s, DKIM_NEUTRAL, "i= is no address");
	if (!is_within(&it->s, domain))
		return signature_settle(&it->s, DKIM_PERMERROR, "i= isn't within d=");
	for (size_t i = 0; i < at; i++)
		it->identity[i] = (char)(plain[i] > ' ' && plain[i] < 127 ? plain[i] : '?');
	(void)snprintf(it->identity + at, sizeof(it->identity) - at, "%s", domain);
	return true;
}

/* ---- the two steps ---- */

static bool read_one(struct item *it, const struct raw_field *f, int64_t now_s, struct taglist *t)
{
	bool good = signature_read(&it->s, SIGNATURE_DKIM, f, now_s, t);

	if (good && !taglist_is(t, "v", "1", false))
		good = signature_settle(&it->s, DKIM_NEUTRAL, "v= isn't 1");
	if (good && !signature_signs(t, "from"))
		good = signature_settle(&it->s, DKIM_PERMERROR, "From isn't signed");
	return good && read_identity(it, t);
}

static void show(struct item *it)
{
	struct signature *s = &it->s;
	struct dkim_signature *d = &it->shown;

	d->result = s->result == DKIM_NONE ? DKIM_TEMPERROR : s->result;
	(void)snprintf(d->why, sizeof(d->why), "%s",
	               s->result == DKIM_NONE ? "the key isn't known yet" : s->why);
	d->domain = slice_str(s->domain);
	d->selector = slice_str(s->selector);
	d->identity = slice_str(it->identity);
	d->algorithm = slice_str(s->name);
	d->start = slice_str(s->start);
	d->key_bits = s->key_bits;
	d->testing = s->testing;
	d->partial = s->partial;
}

static bool is_one(const struct raw_field *f)
{
	return raw_named(f, "DKIM-Signature");
}

static void make_room(struct dkim *d, const struct raw_message *m)
{
	for (size_t i = 0; i < m->count && d->count < DKIM_REPORTED; i++)
		d->count += is_one(&m->fields[i]);
	d->checked = MIN_OF(d->count, (size_t)DKIM_SIGNATURES);
	d->items = mem_array(MAX_OF(d->count, (size_t)1), sizeof(*d->items));
	for (size_t i = d->checked; i < d->count; i++)
		(void)signature_settle(&d->items[i].s, DKIM_UNCHECKED,
		                       "only the first 10 signatures are checked");
}

static void read_all(struct dkim *d, const struct raw_message *m, int64_t now_s)
{
	struct header_index *index = NULL;
	struct taglist tags;
	size_t n = 0;

	for (size_t i = 0; n < d->checked; i++) {
		struct item *it = &d->items[n];

		if (!is_one(&m->fields[i]))
			continue;
		n++;
		if (!read_one(it, &m->fields[i], now_s, &tags))
			continue;
		if (!index)
			index = header_index_new(m);
		signature_hash_header(&it->s, index, &m->fields[i], &tags);
	}
	header_index_free(&index);
}

static void hash_bodies(struct dkim *d, struct slice body)
{
	struct body_hash wanted[DKIM_SIGNATURES];
	size_t count = 0;

	for (size_t i = 0; i < d->checked; i++)
		if (d->items[i].s.result == DKIM_NONE)
			wanted[count++] = d->items[i].s.body;
	if (count)
		body_hashes(body, wanted, count);
	count = 0;
	for (size_t i = 0; i < d->checked; i++) {
		if (d->items[i].s.result != DKIM_NONE)
			continue;
		d->items[i].s.body = wanted[count++];
		signature_check_body(&d->items[i].s);
	}
}

struct dkim *dkim_new(const struct raw_message *m, int64_t now_s)
{
	struct dkim *d = mem_new(sizeof(*d));

	_Static_assert(DKIM_SIGNATURES <= BODY_HASHES, "each signature may ask for another hash");
	_Static_assert(DKIM_SIGNATURES == 10, "a text names it");
	make_room(d, m);
	read_all(d, m, now_s);
	hash_bodies(d, m->body);
	for (size_t i = 0; i < d->count; i++)
		show(&d->items[i]);
	return d;
}

void dkim_free(struct dkim **d)
{
	if (*d)
		free((*d)->items);
	free(*d);
	*d = NULL;
}

/* All keys are asked for at a time. */
enum rc dkim_check(struct dkim *d, struct answers *a)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < d->checked; i++) {
		if (signature_verify(&d->items[i].s, a) == RC_AGAIN)
			rc = RC_AGAIN;
		show(&d->items[i]);
	}
	return rc;
}

size_t dkim_count(const struct dkim *d)
{
	return d->count;
}

const struct dkim_signature *dkim_at(const struct dkim *d, size_t i)
{
	MUST(i < d->count);
	return &d->items[i].shown;
}

enum dkim_result dkim_best(const struct dkim *d)
{
	/* One that may yet turn out good comes before those that can't. */
	static const enum dkim_result order[] = { DKIM_PASS,     DKIM_TEMPERROR, DKIM_POLICY,
		                                  DKIM_FAIL,     DKIM_PERMERROR, DKIM_NEUTRAL,
		                                  DKIM_UNCHECKED };

	for (size_t r = 0; r < COUNT(order); r++)
		for (size_t i = 0; i < d->count; i++)
			if (d->items[i].shown.result == order[r])
				return order[r];
	return DKIM_NONE;
}

const char *dkim_word(enum dkim_result r)
{
	static const char *const words[] = {
		[DKIM_NONE] = "none",           [DKIM_PASS] = "pass",
		[DKIM_FAIL] = "fail",           [DKIM_POLICY] = "policy",
		[DKIM_NEUTRAL] = "neutral",     [DKIM_TEMPERROR] = "temperror",
		[DKIM_PERMERROR] = "permerror", [DKIM_UNCHECKED] = "unchecked",
	};

	return words[r];
}
