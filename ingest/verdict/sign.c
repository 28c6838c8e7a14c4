#include "ingest/verdict/sign.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>

#include "base/codec.h"
#include "ingest/verdict/signature.h"

/* ---- keys ---- */

static bool is_rsa(const struct sign_key *k)
{
	return EVP_PKEY_get_base_id(k->key) == EVP_PKEY_RSA;
}

const char *sign_algorithm(const struct sign_key *k)
{
	return is_rsa(k) ? "rsa-sha256" : "ed25519-sha256";
}

enum rc sign_check_key(const struct sign_key *k, struct err *e)
{
	int bits = EVP_PKEY_get_bits(k->key);

	if (!is_rsa(k) && EVP_PKEY_get_base_id(k->key) != EVP_PKEY_ED25519)
		return err_set(e, RC_INVALID, "the key of %s is neither RSA nor Ed25519",
		               k->selector);
	if (is_rsa(k) && (bits < KEY_RSA_LEAST || bits > KEY_RSA_MOST))
		return err_set(e, RC_INVALID, "the RSA key of %s has %d bits, not %d to %d",
		               k->selector, bits, KEY_RSA_LEAST, KEY_RSA_MOST);
	return RC_OK;
}

static bool sign_rsa(EVP_PKEY *key, const uint8_t sha256[CANON_SHA256], uint8_t *out, size_t *len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	bool good = ctx && EVP_PKEY_sign_init(ctx) == 1 &&
	            EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
	            EVP_PKEY_CTX_set_signature_md(ctx, sha256_algorithm()) == 1 &&
	            EVP_PKEY_sign(ctx, out, len, sha256, CANON_SHA256) == 1;

	EVP_PKEY_CTX_free(ctx);
	return good;
}

static bool sign_ed25519(EVP_PKEY *key, const uint8_t sha256[CANON_SHA256], uint8_t *out,
                         size_t *len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
	            EVP_DigestSign(ctx, out, len, sha256, CANON_SHA256) == 1;

	EVP_MD_CTX_free(ctx);
	return good;
}

/* ---- tags ---- */

void sign_word(struct fold *f, const char *name, const char *value, const char *end)
{
	char text[600];

	(void)snprintf(text, sizeof(text), "%s%s%s", name, value, end);
	fold_word(f, slice_str(text));
}

void sign_number(struct fold *f, const char *name, int64_t value)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%lld", (long long)value);
	sign_word(f, name, text, ";");
}

static size_t times(const struct raw_message *m, const struct sign_name *n)
{
	size_t count = 0;

	for (size_t i = 0; i < m->count && count < SIGN_NAMES; i++)
		count += raw_named(&m->fields[i], n->name);
	return count + (n->more == SIGN_OVER || (n->more == SIGN_OVER_PRESENT && count));
}

void sign_names(struct fold *f, const struct raw_message *m, const struct sign_name *names,
                size_t count)
{
	char text[64];

	sign_word(f, "h=", names[0].name, "");
	for (size_t n = 0; n < count; n++) {
		(void)snprintf(text, sizeof(text), ":%s", names[n].name);
		for (size_t left = times(m, &names[n]) - (n == 0); left; left--)
			fold_more(f, slice_str(text));
	}
	fold_more(f, slice_str(";"));
}

enum rc sign_body(struct fold *f, const struct raw_message *m)
{
	struct body_hash hash = { .how = CANON_RELAXED };
	struct buf text;
	enum rc rc;

	body_hashes(m->body, &hash, 1);
	buf_init(&text, 64);
	rc = base64_encode(&text, slice_of(hash.sha256, sizeof(hash.sha256)));
	sign_word(f, "bh=", buf_text(&text), ";");
	buf_free(&text);
	return rc;
}

enum rc sign_begin(struct fold *f)
{
	if (f->rc == RC_OK)
		f->rc = buf_add_str(f->out, "\r\n\tb=");
	return f->rc;
}

/* ---- the signature ---- */

struct raw_field sign_field(const struct buf *text, const char *name)
{
	struct slice whole = buf_slice(text);

	return (struct raw_field) { slice_part(whole, 0, strlen(name)),
		                    slice_from(whole, strlen(name) + 1), whole };
}

enum rc sign_hash(const struct sign_key *k, struct buf *field, const uint8_t sha256[CANON_SHA256],
                  struct err *e)
{
	uint8_t raw[SIGNATURE_BYTES_MOST];
	size_t len = sizeof(raw);
	bool good = is_rsa(k) ? sign_rsa(k->key, sha256, raw, &len)
	                      : sign_ed25519(k->key, sha256, raw, &len);
	struct fold f = { .out = field, .column = 3 };
	struct buf text;
	enum rc rc;

	ERR_clear_error();
	if (!good)
		return err_set(e, RC_CRYPTO, "OpenSSL can't sign with the key of %s", k->selector);
	buf_init(&text, 2 * SIGNATURE_BYTES_MOST);
	rc = base64_encode(&text, slice_of(raw, len));
	for (struct slice rest = buf_slice(&text); rest.len; rest = slice_from(rest, 64))
		fold_more(&f, slice_part(rest, 0, 64));
	if (rc == RC_OK)
		rc = fold_end(&f);
	buf_free(&text);
	return rc == RC_OK ? RC_OK : err_set(e, rc, "a signature field that is too long");
}

enum rc sign_message(const struct sign_key *k, const struct raw_message *m, struct buf *text,
                     const char *name, struct err *e)
{
	struct signature made = { .header = CANON_RELAXED };
	struct raw_field field = sign_field(text, name);
	struct header_index *index;
	struct taglist tags;

	MUST(taglist_read(&tags, field.value) == NULL);
	index = header_index_new(m);
	signature_hash_header(&made, index, &field, &tags);
	header_index_free(&index);
	return sign_hash(k, text, made.header_sha256, e);
}
