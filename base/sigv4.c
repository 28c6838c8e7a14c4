#include "base/sigv4.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/sigv4_parts.h"

/* ---- hashes ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
/* Fetched once: a fetch reads OpenSSL's configuration file, which a sandbox would forbid later. */
static EVP_MD *sha256_algorithm;
static EVP_MAC_CTX *hmac_template;

static void init_once(void)
{
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	sha256_algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
	hmac_template = EVP_MAC_CTX_new(hmac);
	MUST(sha256_algorithm && hmac_template);
	/* Any key: a context without one can't be copied. */
	MUST(EVP_MAC_init(hmac_template, (const uint8_t *)digest, sizeof(digest), params) == 1);
	EVP_MAC_free(hmac); /* the context holds it */
}

void sigv4_init(void)
{
	MUST(pthread_once(&once, init_once) == 0);
}

static void sha256_hex(char out[SIGV4_HASH + 1], struct slice bytes)
{
	uint8_t sum[32];

	MUST(EVP_Digest(bytes.len ? (const void *)bytes.at : "", bytes.len, sum, NULL,
	                sha256_algorithm, NULL) == 1);
	hex_encode(out, sum, sizeof(sum));
}

void sigv4_hash(char out[SIGV4_HASH + 1], struct slice bytes)
{
	sigv4_init();
	sha256_hex(out, bytes);
}

static void hmac(EVP_MAC_CTX *ctx, uint8_t out[32], struct slice key, struct slice text)
{
	size_t n;

	MUST(EVP_MAC_init(ctx, key.at, key.len, NULL) == 1);
	MUST(EVP_MAC_update(ctx, text.at, text.len) == 1);
	MUST(EVP_MAC_final(ctx, out, &n, 32) == 1 && n == 32);
}

void sigv4_mac(char out[SIGV4_HASH + 1], struct slice key, struct slice text)
{
	uint8_t sum[32];
	EVP_MAC_CTX *ctx;

	sigv4_init();
	ctx = EVP_MAC_CTX_dup(hmac_template);
	MUST(ctx);
	hmac(ctx, sum, key, text);
	EVP_MAC_CTX_free(ctx);
	hex_encode(out, sum, sizeof(sum));
}

/* ---- canonical parts ---- */

static bool is_unreserved(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

static enum rc add_escaped(struct buf *out, uint8_t c)
{
	static const char digits[] = "0123456789ABCDEF";
	const uint8_t escape[3] = { '%', (uint8_t)digits[c >> 4], (uint8_t)digits[c & 15] };

	return is_unreserved(c) ? buf_add_byte(out, c) : buf_add(out, slice_of(escape, 3));
}

enum rc sigv4_escape(struct buf *out, struct slice text, bool path)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; i < text.len && rc == RC_OK; i++)
		rc = path && text.at[i] == '/' ? buf_add_byte(out, '/')
		                               : add_escaped(out, text.at[i]);
	return rc;
}

/* The byte at the front of `s`, an escape decoded; it is taken off. */
static bool take_decoded(struct slice *s, uint8_t *c, bool *escaped)
{
	size_t n = s->at[0] == '%' ? 3 : 1;

	*escaped = n == 3;
	if (n == 3 && !hex_decode(c, 1, slice_part(*s, 1, 2)))
		return false;
	if (n == 1)
		*c = s->at[0];
	*s = slice_from(*s, n);
	return true;
}

/* The same text with its escapes in one spelling; "/" stays where `path` is true. */
static enum rc add_respelled(struct buf *out, struct slice text, bool path)
{
	enum rc rc = RC_OK;

	while (text.len && rc == RC_OK) {
		bool escaped;
		uint8_t c;

		if (!take_decoded(&text, &c, &escaped))
			return RC_INVALID;
		rc = path && c == '/' ? buf_add_byte(out, '/') : add_escaped(out, c);
	}
	return rc;
}

bool sigv4_decode(char *out, size_t room, struct slice text)
{
	size_t n = 0;

	while (text.len) {
		bool escaped;
		uint8_t c;

		if (n + 1 >= room || !take_decoded(&text, &c, &escaped) || c < 0x20 || c >= 0x7f)
			return false;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return true;
}

static bool part_is_plain(struct slice part)
{
	if (part.len == 0 || slice_equal(part, slice_str(".")) ||
	    slice_equal(part, slice_str("..")))
		return false;
	while (part.len) {
		bool escaped;
		uint8_t c;

		if (!take_decoded(&part, &c, &escaped) || c < 0x20 || c == 0x7f || c == '\\')
			return false;
		if (escaped && (c == '.' || c == '/'))
			return false;
	}
	return true;
}

bool sigv4_path_is_plain(struct slice path)
{
	if (path.len == 0 || path.at[0] != '/')
		return false;
	path = slice_from(path, 1);
	while (path.len)
		if (!part_is_plain(slice_cut(path, '/', &path)))
			return false;
	return true;
}

/* ---- the query ---- */

struct sigv4_param sigv4_param_next(struct slice *query)
{
	struct sigv4_param p = { 0 };

	while (query->len && p.name.len == 0 && p.value.len == 0) {
		struct slice pair = slice_cut(*query, '&', query);

		p.name = slice_cut(pair, '=', &p.value);
	}
	return p;
}

/* Where an escaped parameter lies in the scratch buffer. */
struct place {
	size_t at;
	size_t name;
	size_t value;
};

struct params {
	struct buf text;
	struct place places[LIMIT_SIGV4_PARAMS];
	size_t count;
};

static int compare_slices(struct slice a, struct slice b)
{
	size_t n = MIN_OF(a.len, b.len);
	int order = n ? memcmp(a.at, b.at, n) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static struct slice place_name(const struct params *p, size_t i)
{
	return slice_part(buf_slice(&p->text), p->places[i].at, p->places[i].name);
}

static struct slice place_value(const struct params *p, size_t i)
{
	return slice_part(buf_slice(&p->text), p->places[i].at + p->places[i].name,
	                  p->places[i].value);
}

static bool params_in_order(const struct params *p, size_t a, size_t b)
{
	int order = compare_slices(place_name(p, a), place_name(p, b));

	return order < 0 ||
	       (order == 0 && compare_slices(place_value(p, a), place_value(p, b)) <= 0);
}

static enum rc params_add(struct params *p, struct sigv4_param param)
{
	struct place place = { .at = p->text.len };
	size_t i = p->count;
	enum rc rc = add_respelled(&p->text, param.name, false);

	if (p->count == LIMIT_SIGV4_PARAMS)
		return RC_LIMIT;
	place.name = p->text.len - place.at;
	if (rc == RC_OK)
		rc = add_respelled(&p->text, param.value, false);
	if (rc != RC_OK)
		return rc;
	place.value = p->text.len - place.at - place.name;
	p->places[p->count++] = place;
	if (slice_equal(place_name(p, i), slice_str("X-Amz-Signature"))) {
		p->count--;
		return RC_OK;
	}
	for (; i > 0 && !params_in_order(p, i - 1, i); i--) {
		place = p->places[i];
		p->places[i] = p->places[i - 1];
		p->places[i - 1] = place;
	}
	return RC_OK;
}

/* By name and value, not as lines: "a-b=" comes before "a=" as a line. */
static enum rc add_query(struct buf *out, struct slice query)
{
	struct params p = { .count = 0 };
	enum rc rc = RC_OK;

	buf_init(&p.text, LIMIT_SIGV4_TEXT);
	while (rc == RC_OK) {
		struct sigv4_param param = sigv4_param_next(&query);

		if (param.name.len == 0 && param.value.len == 0)
			break;
		rc = params_add(&p, param);
	}
	for (size_t i = 0; i < p.count && rc == RC_OK; i++) {
		rc = i ? buf_add_byte(out, '&') : RC_OK;
		if (rc == RC_OK)
			rc = buf_add(out, place_name(&p, i));
		if (rc == RC_OK)
			rc = buf_add_byte(out, '=');
		if (rc == RC_OK)
			rc = buf_add(out, place_value(&p, i));
	}
	buf_free(&p.text);
	return rc;
}

/* ---- the headers ---- */

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* Trimmed, each run of blanks one space. */
static enum rc add_value(struct buf *out, struct slice value)
{
	enum rc rc = RC_OK;

	value = slice_trim(value);
	while (value.len && rc == RC_OK) {
		size_t word = 0;

		while (word < value.len && !is_blank(value.at[word]))
			word++;
		rc = buf_add(out, slice_part(value, 0, word));
		value = slice_from(value, word);
		if (value.len && rc == RC_OK)
			rc = buf_add_byte(out, ' ');
		while (value.len && is_blank(value.at[0]))
			value = slice_from(value, 1);
	}
	return rc;
}

/* "name:value,value" of all fields of that name. */
static enum rc add_header(struct buf *out, const struct sigv4_request *r, struct slice name)
{
	bool found = false;
	enum rc rc = buf_add(out, name);

	for (size_t i = 0; i < r->count && rc == RC_OK; i++) {
		if (!slice_equal_nocase(r->fields[i].name, name))
			continue;
		rc = buf_add_byte(out, found ? ',' : ':');
		if (rc == RC_OK)
			rc = add_value(out, r->fields[i].value);
		found = true;
	}
	if (rc == RC_OK && !found)
		return RC_INVALID;
	return rc == RC_OK ? buf_add_byte(out, '\n') : rc;
}

static enum rc add_headers(struct buf *out, const struct sigv4_request *r, struct slice names)
{
	enum rc rc = RC_OK;

	while (names.len && rc == RC_OK)
		rc = add_header(out, r, slice_cut(names, ';', &names));
	return rc;
}

/* ---- the canonical request ---- */

static enum rc add_line_end(struct buf *out, enum rc rc)
{
	return rc == RC_OK ? buf_add_byte(out, '\n') : rc;
}

enum rc sigv4_canonical(struct buf *out, const struct sigv4_request *r, struct slice names,
                        struct slice payload, struct err *e)
{
	enum rc rc = add_line_end(out, buf_add(out, r->method));

	if (rc == RC_OK)
		rc = r->rule == SIGV4_PATH_ONCE ? add_respelled(out, r->path, true)
		                                : sigv4_escape(out, r->path, true);
	rc = add_line_end(out, rc);
	if (rc == RC_OK)
		rc = add_query(out, r->query);
	rc = add_line_end(out, rc);
	if (rc == RC_OK)
		rc = add_headers(out, r, names);
	rc = add_line_end(out, rc);
	if (rc == RC_OK)
		rc = buf_add(out, names);
	rc = add_line_end(out, rc);
	if (rc == RC_OK)
		rc = buf_add(out, payload);
	if (rc == RC_LIMIT)
		return err_set(e, rc, "the request is too long to be signed");
	if (rc != RC_OK)
		return err_set(e, rc, "the request has no canonical form");
	return RC_OK;
}

enum rc sigv4_string_to_sign(struct buf *out, const struct sigv4_scope *s,
                             const struct sigv4_request *r, struct slice names,
                             struct slice payload, struct err *e)
{
	char hash[SIGV4_HASH + 1];
	struct buf text;
	enum rc rc;

	sigv4_init();
	buf_init(&text, LIMIT_SIGV4_TEXT);
	rc = sigv4_canonical(&text, r, names, payload, e);
	if (rc == RC_OK)
		sha256_hex(hash, buf_slice(&text));
	buf_free(&text);
	if (rc != RC_OK)
		return rc;
	rc = buf_addf(out, SIGV4_ALGORITHM "\n%s\n%.8s/%.*s/%.*s/" SIGV4_END "\n%s", s->time,
	              s->time, (int)s->region.len, (const char *)s->region.at, (int)s->service.len,
	              (const char *)s->service.at, hash);
	return rc == RC_OK ? RC_OK : err_set(e, rc, "the scope of the signature is too long");
}

/* ---- the chain of keys ---- */

static void derive(EVP_MAC_CTX *ctx, uint8_t key[32], const struct sigv4_scope *s,
                   struct slice secret)
{
	struct buf first;

	buf_init(&first, LIMIT_SIGV4_TEXT);
	MUST(buf_add_str(&first, "AWS4") == RC_OK && buf_add(&first, secret) == RC_OK);
	hmac(ctx, key, buf_slice(&first), slice_of(s->time, 8));
	OPENSSL_cleanse(first.at, first.len);
	buf_free(&first);
	hmac(ctx, key, slice_of(key, 32), s->region);
	hmac(ctx, key, slice_of(key, 32), s->service);
	hmac(ctx, key, slice_of(key, 32), slice_str(SIGV4_END));
}

void sigv4_signature(char out[SIGV4_HASH + 1], const struct sigv4_scope *s, struct slice text,
                     struct slice secret)
{
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(hmac_template);
	uint8_t key[32];
	uint8_t mac[32];

	MUST(ctx);
	derive(ctx, key, s, secret);
	hmac(ctx, mac, slice_of(key, sizeof(key)), text);
	hex_encode(out, mac, sizeof(mac));
	OPENSSL_cleanse(key, sizeof(key));
	EVP_MAC_CTX_free(ctx);
}

static bool derived_fits(const struct sigv4_derived *d, const struct sigv4_scope *s,
                         struct slice secret)
{
	return d && memcmp(d->day, s->time, 8) == 0 &&
	       slice_equal(slice_str(d->region), s->region) &&
	       slice_equal(slice_str(d->service), s->service) && d->secret_len == secret.len &&
	       CRYPTO_memcmp(d->secret, secret.at, secret.len) == 0;
}

static void derived_fill(struct sigv4_derived *d, const struct sigv4_scope *s, struct slice secret,
                         const uint8_t key[32])
{
	*d = (struct sigv4_derived) { .day = "" };
	if (s->region.len >= sizeof(d->region) || s->service.len >= sizeof(d->service) ||
	    secret.len > sizeof(d->secret))
		return;
	memcpy(d->day, s->time, 8);
	memcpy(d->region, s->region.at, s->region.len);
	memcpy(d->service, s->service.at, s->service.len);
	memcpy(d->secret, secret.at, secret.len);
	d->secret_len = secret.len;
	memcpy(d->key, key, 32);
}

static bool signed_by(EVP_MAC_CTX *ctx, const uint8_t key[32], struct slice text,
                      const char *signature)
{
	char want[SIGV4_HASH + 1];
	uint8_t mac[32];

	hmac(ctx, mac, slice_of(key, 32), text);
	hex_encode(want, mac, sizeof(mac));
	return CRYPTO_memcmp(want, signature, SIGV4_HASH) == 0;
}

/* What fails has taken the same calls, whatever `d` holds: one try with a key at hand, be it the
 * right one or none, the chain, and one try with its end. */
bool sigv4_matches(const char *signature, const struct sigv4_scope *s, struct slice text,
                   struct slice secret, struct sigv4_derived *d)
{
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(hmac_template);
	bool fits = derived_fits(d, s, secret);
	uint8_t key[32] = { 0 };
	bool good;

	MUST(ctx);
	if (fits)
		memcpy(key, d->key, sizeof(key));
	good = signed_by(ctx, key, text, signature) && fits;
	if (!good) {
		derive(ctx, key, s, secret);
		good = signed_by(ctx, key, text, signature);
		if (good && d)
			derived_fill(d, s, secret, key);
	}
	OPENSSL_cleanse(key, sizeof(key));
	EVP_MAC_CTX_free(ctx);
	return good;
}
