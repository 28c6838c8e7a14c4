#include "ingest/verdict/signature.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

bool signature_settle(struct signature *s, enum dkim_result result, const char *why)
{
	if (s->result == DKIM_NONE) {
		s->result = result;
		(void)snprintf(s->why, sizeof(s->why), "%.*s", (int)sizeof(s->why) - 1, why);
	}
	return false;
}

static bool settle_tag(struct signature *s, enum dkim_result result, const char *tag,
                       const char *why)
{
	char text[80];

	(void)snprintf(text, sizeof(text), "%s= %s", tag, why);
	return signature_settle(s, result, text);
}

/* ---- tags ---- */

/* For people, whatever stands there. */
static void copy_printable(char *out, size_t room, struct slice text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len && n + 1 < room; i++)
		if (!fws_is(text.at[i]))
			out[n++] = (char)(text.at[i] > ' ' && text.at[i] < 127 ? text.at[i] : '?');
	out[n] = '\0';
}

static bool read_required(struct signature *s, enum signature_kind kind, const struct taglist *t)
{
	static const char *const names[] = { "a", "b", "d", "s", "h", "bh" };
	size_t count = kind == SIGNATURE_ARC_SEAL ? 4 : COUNT(names);
	bool has_domain = dkim_name(s->domain, taglist_value(t, "d"), 2);
	bool has_selector = dkim_name(s->selector, taglist_value(t, "s"), 1);

	copy_printable(s->name, sizeof(s->name), taglist_value(t, "a"));
	copy_printable(s->start, sizeof(s->start), taglist_value(t, "b"));
	for (size_t i = 0; i < count; i++)
		if (!taglist_find(t, names[i]))
			return settle_tag(s, DKIM_NEUTRAL, names[i], "isn't there");
	if (!has_domain)
		return settle_tag(s, DKIM_NEUTRAL, "d", "is no domain");
	if (!has_selector)
		return settle_tag(s, DKIM_NEUTRAL, "s", "is no name");
	return true;
}

static bool read_algorithm(struct signature *s, const struct taglist *t)
{
	if (taglist_is(t, "a", "rsa-sha1", false))
		return settle_tag(s, DKIM_PERMERROR, "a", "is rsa-sha1, which RFC 8301 forbids");
	if (taglist_is(t, "a", "rsa-sha256", false))
		s->algorithm = DKIM_RSA_SHA256;
	else if (taglist_is(t, "a", "ed25519-sha256", false))
		s->algorithm = DKIM_ED25519_SHA256;
	else
		return settle_tag(s, DKIM_NEUTRAL, "a", "is no algorithm of RFC 6376 or 8463");
	return true;
}

static bool read_base64(uint8_t *out, size_t room, size_t *len, struct slice text)
{
	struct buf bytes;
	bool good;

	buf_init(&bytes, room);
	good = fws_base64(&bytes, text) == RC_OK && bytes.len > 0;
	if (good) {
		memcpy(out, bytes.at, bytes.len);
		*len = bytes.len;
	}
	buf_free(&bytes);
	return good;
}

static bool read_form(enum canon *out, struct slice word)
{
	*out = slice_equal(word, slice_str("relaxed")) ? CANON_RELAXED : CANON_SIMPLE;
	return *out == CANON_RELAXED || slice_equal(word, slice_str("simple"));
}

/* RFC 8617 doesn't say what holds without c=; those who seal and validate mean relaxed. */
static bool read_forms(struct signature *s, enum signature_kind kind, const struct taglist *t)
{
	struct slice body;
	struct slice value = taglist_value(t, "c");
	struct slice header = slice_cut(value, '/', &body);

	if (!value.at && kind == SIGNATURE_ARC_MESSAGE)
		s->header = s->body.how = CANON_RELAXED;
	if (!value.at)
		return true; /* simple/simple otherwise */
	if (!read_form(&s->header, header) || (body.at && !read_form(&s->body.how, body)))
		return settle_tag(s, DKIM_NEUTRAL, "c", "is no form of RFC 6376");
	return true;
}

static bool read_number(uint64_t *out, const struct taglist *t, const char *name)
{
	struct slice value = taglist_value(t, name);

	*out = 0;
	return !value.at || slice_to_u64(value, out);
}

static bool has_query(const struct taglist *t)
{
	struct slice list = taglist_value(t, "q");
	struct slice item;

	if (!list.at)
		return true;
	while (fws_next(&list, ':', &item))
		if (slice_equal(item, slice_str("dns/txt")))
			return true;
	return false;
}

/* What only those have that sign a message. */
static bool read_message_tags(struct signature *s, enum signature_kind kind,
                              const struct taglist *t)
{
	size_t len = 0;

	if (!read_base64(s->body_sha256, sizeof(s->body_sha256), &len, taglist_value(t, "bh")) ||
	    len != sizeof(s->body_sha256))
		return settle_tag(s, DKIM_NEUTRAL, "bh", "is no SHA-256 in base64");
	if (!read_forms(s, kind, t))
		return false;
	s->body.limited = taglist_find(t, "l") != NULL;
	if (!read_number(&s->body.limit, t, "l"))
		return settle_tag(s, DKIM_NEUTRAL, "l", "is no number");
	if (!has_query(t))
		return settle_tag(s, DKIM_NEUTRAL, "q", "doesn't have dns/txt");
	return true;
}

static bool read_times(struct signature *s, const struct taglist *t, int64_t now_s)
{
	uint64_t made, ends;
	uint64_t now = now_s > 0 ? (uint64_t)now_s : 0;

	if (!read_number(&made, t, "t"))
		return settle_tag(s, DKIM_NEUTRAL, "t", "is no number");
	if (!read_number(&ends, t, "x"))
		return settle_tag(s, DKIM_NEUTRAL, "x", "is no number");
	if (taglist_find(t, "x") && taglist_find(t, "t") && ends <= made)
		return settle_tag(s, DKIM_PERMERROR, "x", "isn't later than t=");
	if (taglist_find(t, "x") && now > CLOCK_SKEW_S && ends < now - CLOCK_SKEW_S)
		return settle_tag(s, DKIM_FAIL, "x", "has passed: the signature has expired");
	if (made > now + CLOCK_SKEW_S)
		return settle_tag(s, DKIM_FAIL, "t", "lies in the future");
	return true;
}

bool signature_read(struct signature *s, enum signature_kind kind, const struct raw_field *f,
                    int64_t now_s, struct taglist *tags)
{
	const char *wrong = taglist_read(tags, f->value);

	*s = (struct signature) { .header = CANON_SIMPLE };
	if (wrong)
		return signature_settle(s, DKIM_NEUTRAL, wrong);
	if (!read_required(s, kind, tags) || !read_algorithm(s, tags))
		return false;
	if (!read_base64(s->bytes, sizeof(s->bytes), &s->len, taglist_value(tags, "b")))
		return settle_tag(s, DKIM_NEUTRAL, "b", "is no signature in base64");
	if (kind == SIGNATURE_ARC_SEAL)
		s->header = CANON_RELAXED;
	else if (!read_message_tags(s, kind, tags))
		return false;
	return read_times(s, tags, now_s);
}

bool signature_signs(const struct taglist *tags, const char *name)
{
	struct slice list = taglist_value(tags, "h");
	struct slice item;

	while (fws_next(&list, ':', &item))
		if (slice_equal_nocase(item, slice_str(name)))
			return true;
	return false;
}

/* ---- the header, as it was signed ---- */

struct header_index {
	const struct raw_message *m;
	uint32_t *order; /* numbers of fields by name; of the same name, the last one first */
};

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static int compare_names(struct slice a, struct slice b)
{
	for (size_t i = 0; i < a.len && i < b.len; i++) {
		int d = lower(a.at[i]) - lower(b.at[i]);

		if (d)
			return d;
	}
	return a.len < b.len ? -1 : a.len > b.len;
}

static int compare_fields(const void *a, const void *b, void *arg)
{
	const struct raw_message *m = arg;
	uint32_t i = *(const uint32_t *)a;
	uint32_t j = *(const uint32_t *)b;
	int d = compare_names(m->fields[i].name, m->fields[j].name);

	return d ? d : i < j ? 1 : -1;
}

struct header_index *header_index_new(const struct raw_message *m)
{
	struct header_index *x = mem_new(sizeof(*x));
	struct raw_message both = *m;

	x->m = m;
	x->order = mem_array(m->count + 1, sizeof(*x->order));
	for (size_t i = 0; i < m->count; i++)
		x->order[i] = (uint32_t)i;
	qsort_r(x->order, m->count, sizeof(*x->order), compare_fields, &both);
	return x;
}

void header_index_free(struct header_index **index)
{
	if (*index)
		free((*index)->order);
	free(*index);
	*index = NULL;
}

/* The first place whose name isn't less. */
static size_t find_name(const struct header_index *x, struct slice name)
{
	size_t from = 0;
	size_t to = x->m->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (compare_names(x->m->fields[x->order[middle]].name, name) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* The next field of that name from the bottom; NULL when there is no more. `taken` counts for each
 * name, at its first place. */
static const struct raw_field *next_of(const struct header_index *x, uint32_t *taken,
                                       struct slice name, const struct raw_field *itself)
{
	size_t first = find_name(x, name);
	const struct raw_field *f;

	while (first + taken[first] < x->m->count) {
		f = &x->m->fields[x->order[first + taken[first]]];
		if (!slice_equal_nocase(f->name, name))
			return NULL;
		taken[first]++;
		if (f != itself)
			return f;
	}
	return NULL;
}

void signature_hash_itself(EVP_MD_CTX *ctx, enum canon how, const struct raw_field *f,
                           const struct taglist *tags)
{
	const struct tag *b = taglist_find(tags, "b");

	canon_signature_field(how, f, b ? b->raw : slice_of(NULL, 0), sha256_take, ctx);
}

void signature_hash_header(struct signature *s, const struct header_index *index,
                           const struct raw_field *f, const struct taglist *tags)
{
	uint32_t *taken = mem_array(index->m->count + 1, sizeof(*taken));
	struct slice list = taglist_value(tags, "h");
	EVP_MD_CTX *ctx = canon_sha256_new();
	const struct raw_field *signed_field;
	struct slice name;

	while (fws_next(&list, ':', &name)) {
		signed_field = name.len ? next_of(index, taken, name, f) : NULL;
		if (signed_field)
			canon_field(s->header, signed_field, sha256_take, ctx);
	}
	signature_hash_itself(ctx, s->header, f, tags);
	canon_sha256_end(ctx, s->header_sha256);
	EVP_MD_CTX_free(ctx);
	free(taken);
}

/* ---- the verdict ---- */

void signature_check_body(struct signature *s)
{
	if (s->body.limited && s->body.limit > s->body.total) {
		(void)settle_tag(s, DKIM_FAIL, "l", "is longer than the body");
		return;
	}
	s->partial = s->body.limited && s->body.limit < s->body.total;
	if (memcmp(s->body_sha256, s->body.sha256, CANON_SHA256) != 0)
		(void)signature_settle(s, DKIM_FAIL, "the body isn't the one that was signed");
}

static void judge(struct signature *s, const struct dkim_key *key)
{
	if (key->strict && s->subdomain)
		(void)settle_tag(s, DKIM_PERMERROR, "i",
		                 "is below d=, which the key forbids (t=s)");
	else if (!dkim_key_verifies(key, s->algorithm, s->header_sha256,
	                            slice_of(s->bytes, s->len)))
		(void)signature_settle(s, DKIM_FAIL,
		                       "the signature doesn't fit the header and the key");
	else if (s->partial)
		(void)settle_tag(s, DKIM_POLICY, "l", "leaves a part of the body unsigned");
	else
		(void)signature_settle(s, DKIM_PASS, "");
}

enum rc signature_verify(struct signature *s, struct answers *a)
{
	struct dkim_key key;
	struct err e = { 0 };
	enum rc rc;

	if (s->result != DKIM_NONE)
		return RC_OK;
	rc = dkim_key_get(&key, a, s->selector, s->domain, s->algorithm, &e);
	if (rc == RC_AGAIN)
		return rc;
	s->key_bits = key.bits;
	s->testing = key.testing;
	if (rc == RC_OK)
		judge(s, &key);
	else
		(void)signature_settle(s, rc == RC_IO ? DKIM_TEMPERROR : DKIM_PERMERROR, e.text);
	dkim_key_free(&key);
	return RC_OK;
}
