/* tests/unit/verdict/signing.h - keys, their records, signed messages, and answers of DNS, for
 * tests */
#ifndef MM_TESTS_UNIT_VERDICT_SIGNING_H
#define MM_TESTS_UNIT_VERDICT_SIGNING_H

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "ingest/verdict/signature.h"

#define TEST_NOW INT64_C(1700000000)

static inline void put_text(struct buf *b, const char *text)
{
	MUST(buf_add_str(b, text) == RC_OK);
}

static inline EVP_PKEY *make_key(unsigned rsa_bits) /* 0: Ed25519 */
{
	EVP_PKEY *key = rsa_bits ? EVP_RSA_gen(rsa_bits) : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	MUST(key);
	return key;
}

/* "v=DKIM1; k=...; `more` p=..." */
static inline void key_record(struct buf *out, EVP_PKEY *key, const char *more)
{
	uint8_t raw[2048];
	uint8_t *end = raw;
	size_t len = 32;

	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
		len = (size_t)i2d_PUBKEY(key, &end);
	else
		MUST(EVP_PKEY_get_raw_public_key(key, raw, &len) == 1);
	put_text(out, "v=DKIM1; k=");
	put_text(out, EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA ? "rsa; " : "ed25519; ");
	put_text(out, more);
	put_text(out, "p=");
	MUST(base64_encode(out, slice_of(raw, len)) == RC_OK);
}

static inline void answer_text(struct answers *a, const char *name, const char *text)
{
	const struct dns_record record = { .text = slice_str(text) };
	const struct dns_answer answer = { .status = DNS_RECORDS, .records = &record, .count = 1 };

	answers_put(a, DNS_TXT, slice_str(name), &answer);
}

static inline void answer_none(struct answers *a, const char *name, enum dns_status status)
{
	const struct dns_answer answer = { .status = status };

	answers_put(a, DNS_TXT, slice_str(name), &answer);
}

/* The key's record under the name of selector and domain. */
static inline void answer_key(struct answers *a, const char *name, EVP_PKEY *key, const char *more)
{
	struct buf record;

	buf_init(&record, 8192);
	key_record(&record, key, more);
	answer_text(a, name, buf_text(&record));
	buf_free(&record);
}

/* Of a SHA-256, as RFC 6376 section 3.3 and RFC 8463 section 3 have it. */
static inline void put_signature(struct buf *out, EVP_PKEY *key, const uint8_t hash[32])
{
	uint8_t raw[1024];
	size_t len = sizeof(raw);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
		MUST(EVP_PKEY_sign_init(ctx) == 1 &&
		     EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1);
		MUST(EVP_PKEY_sign(ctx, raw, &len, hash, 32) == 1);
	} else {
		MUST(EVP_DigestSignInit(md, NULL, NULL, NULL, key) == 1);
		MUST(EVP_DigestSign(md, raw, &len, hash, 32) == 1);
	}
	EVP_PKEY_CTX_free(ctx);
	EVP_MD_CTX_free(md);
	MUST(base64_encode(out, slice_of(raw, len)) == RC_OK);
}

struct signer {
	EVP_PKEY *key;
	const char *tags; /* all but bh= and b=, ended by ";" */
	enum canon header;
	struct body_hash body; /* form and length */
};

/* `message` with a DKIM-Signature in front. */
static inline void sign_message(struct buf *out, const struct signer *by, struct slice message)
{
	struct signature s = { .header = by->header };
	struct body_hash hash = by->body;
	struct header_index *index;
	struct raw_message m;
	struct taglist tags;
	struct raw_field f;
	struct buf field;

	MUST(raw_read(&m, message, NULL) == RC_OK);
	body_hashes(m.body, &hash, 1);
	buf_init(&field, 1 << 21);
	put_text(&field, "DKIM-Signature: ");
	put_text(&field, by->tags);
	put_text(&field, "\r\n\tbh=");
	MUST(base64_encode(&field, slice_of(hash.sha256, 32)) == RC_OK);
	put_text(&field, ";\r\n\tb=");
	f.whole = buf_slice(&field);
	f.name = slice_part(f.whole, 0, 14);
	f.value = slice_from(f.whole, 15);
	(void)taglist_read(&tags, f.value);
	index = header_index_new(&m);
	signature_hash_header(&s, index, &f, &tags);
	header_index_free(&index);
	raw_free(&m);
	MUST(buf_add(out, buf_slice(&field)) == RC_OK);
	put_signature(out, by->key, s.header_sha256);
	put_text(out, "\r\n");
	MUST(buf_add(out, message) == RC_OK);
	buf_free(&field);
}

/* Both steps; the message is overwritten between them. NULL: not enough is known (RC_AGAIN). The
 * caller frees it. */
static inline struct dkim *dkim_of(struct slice message, struct answers *a, int64_t now_s)
{
	char *copy = slice_string(message);
	struct raw_message m;
	struct dkim *d;

	MUST(raw_read(&m, slice_of(copy, message.len), NULL) == RC_OK);
	d = dkim_new(&m, now_s);
	raw_free(&m);
	memset(copy, 'X', message.len);
	free(copy);
	if (dkim_check(d, a) == RC_AGAIN)
		dkim_free(&d);
	return d;
}

#endif
