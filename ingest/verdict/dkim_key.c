#include "ingest/verdict/dkim_key.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <stdio.h>

#include "ingest/verdict/canon.h"
#include "ingest/verdict/idn.h"
#include "ingest/verdict/tags.h"

/* Decoded bytes of p=: a key of 4096 bits has 550. */
#define KEY_BYTES_MOST 3072

/* ---- names ---- */

bool dkim_name(char out[256], struct slice name, unsigned labels)
{
	unsigned count = 1;

	out[0] = '\0';
	if (!idn_to_ascii(out, name)) {
		out[0] = '\0';
		return false;
	}
	for (const char *c = out; *c; c++)
		count += *c == '.';
	if (count < labels)
		out[0] = '\0';
	return count >= labels;
}

/* ---- DER, of the two shapes that an RSA key has ---- */

#define DER_INTEGER  0x02
#define DER_BITS     0x03
#define DER_SEQUENCE 0x30

/* Takes the next value from `rest`, which must be of this kind. */
static bool der_next(struct slice *rest, uint8_t kind, struct slice *value)
{
	size_t len;
	size_t more = 0;

	if (rest->len < 2 || rest->at[0] != kind)
		return false;
	len = rest->at[1];
	if (len > 0x80) {
		more = len - 0x80;
		if (more > 2 || rest->len < 2 + more)
			return false;
		len = 0;
		for (size_t i = 0; i < more; i++)
			len = len << 8 | rest->at[2 + i];
	} else if (len == 0x80) {
		return false;
	}
	if (len > rest->len - 2 - more)
		return false;
	*value = slice_part(*rest, 2 + more, len);
	*rest = slice_from(*rest, 2 + more + len);
	return true;
}

/* A positive number, without its leading zeros. */
static bool der_number(struct slice *rest, struct slice *number)
{
	if (!der_next(rest, DER_INTEGER, number) || number->len == 0 || number->at[0] & 0x80)
		return false;
	while (number->len && number->at[0] == 0)
		*number = slice_from(*number, 1);
	return number->len > 0;
}

static bool read_rsa_numbers(struct slice key, struct slice *n, struct slice *e)
{
	struct slice inner;

	return der_next(&key, DER_SEQUENCE, &inner) && key.len == 0 && der_number(&inner, n) &&
	       der_number(&inner, e) && inner.len == 0;
}

/* AlgorithmIdentifier of rsaEncryption: its parameters are NULL (RFC 3279 section 2.3.1), or left
 * out. */
static bool is_rsa(struct slice algorithm)
{
	static const uint8_t oid[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
		                       0xf7, 0x0d, 0x01, 0x01, 0x01 };
	struct slice rest = slice_from(algorithm, sizeof(oid));

	return slice_equal(slice_part(algorithm, 0, sizeof(oid)), slice_of(oid, sizeof(oid))) &&
	       (rest.len == 0 || slice_equal(rest, slice_of("\x05\x00", 2)));
}

/* SubjectPublicKeyInfo, or RSAPublicKey by itself. */
static bool read_rsa(struct slice der, struct slice *n, struct slice *e)
{
	struct slice rest = der;
	struct slice inner, algorithm, bits;

	if (read_rsa_numbers(der, n, e))
		return true;
	return der_next(&rest, DER_SEQUENCE, &inner) && rest.len == 0 &&
	       der_next(&inner, DER_SEQUENCE, &algorithm) && is_rsa(algorithm) &&
	       der_next(&inner, DER_BITS, &bits) && inner.len == 0 && bits.len > 0 &&
	       bits.at[0] == 0 && read_rsa_numbers(slice_from(bits, 1), n, e);
}

static unsigned bits_of(struct slice number)
{
	unsigned bits = (unsigned)(number.len * 8);

	for (uint8_t top = 0x80; top && !(number.at[0] & top); top >>= 1)
		bits--;
	return bits;
}

static EVP_PKEY *make_rsa(struct slice n, struct slice e)
{
	BIGNUM *modulus = BN_bin2bn(n.at, (int)n.len, NULL);
	BIGNUM *exponent = BN_bin2bn(e.at, (int)e.len, NULL);
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;

	if (modulus && exponent && b && ctx &&
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, modulus) &&
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, exponent))
		params = OSSL_PARAM_BLD_to_param(b);
	if (!params || EVP_PKEY_fromdata_init(ctx) <= 0 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		key = NULL;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b);
	EVP_PKEY_CTX_free(ctx);
	BN_free(modulus);
	BN_free(exponent);
	return key;
}

static enum rc take_rsa(struct dkim_key *out, struct slice der, struct err *err)
{
	struct slice n, e;

	if (!read_rsa(der, &n, &e))
		return err_set(err, RC_INVALID, "p= isn't an RSA key");
	out->bits = bits_of(n);
	if (out->bits < KEY_RSA_LEAST)
		return err_set(err, RC_INVALID, "an RSA key of %u bits: RFC 8301 asks for %d",
		               out->bits, KEY_RSA_LEAST);
	if (out->bits > KEY_RSA_MOST)
		return err_set(err, RC_INVALID,
		               "an RSA key of %u bits; those above %d aren't tried", out->bits,
		               KEY_RSA_MOST);
	if (bits_of(e) > KEY_EXPONENT_BITS || bits_of(e) < 2 || !(e.at[e.len - 1] & 1) ||
	    !(n.at[n.len - 1] & 1))
		return err_set(err, RC_INVALID,
		               "an RSA key with an impossible exponent or modulus");
	out->pkey = make_rsa(n, e);
	return out->pkey ? RC_OK : err_set(err, RC_INVALID, "OpenSSL takes no such RSA key");
}

static enum rc take_ed25519(struct dkim_key *out, struct slice raw, struct err *e)
{
	if (raw.len != 32)
		return err_set(e, RC_INVALID, "p= isn't an Ed25519 key");
	out->bits = 256;
	out->pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw.at, raw.len);
	return out->pkey ? RC_OK : err_set(e, RC_INVALID, "OpenSSL takes no such Ed25519 key");
}

/* ---- records ---- */

static bool has_word(struct slice list, const char *word)
{
	struct slice item;

	while (fws_next(&list, ':', &item))
		if (slice_equal(item, slice_str(word)))
			return true;
	return false;
}

/* A list that isn't there allows all. */
static bool allows(const struct taglist *t, const char *name, const char *word)
{
	struct slice list = taglist_value(t, name);

	return !list.at || has_word(list, word);
}

static const char *check_record(const struct taglist *t, enum dkim_algorithm use)
{
	const struct tag *v = taglist_find(t, "v");

	if (v && (v != &t->at[0] || !slice_equal(v->value, slice_str("DKIM1"))))
		return "a key record of another version";
	if (!taglist_find(t, "p"))
		return "a key record without p=";
	if (!taglist_is(t, "k", use == DKIM_RSA_SHA256 ? "rsa" : "ed25519", use == DKIM_RSA_SHA256))
		return "a key of another algorithm (k=)";
	if (!allows(t, "h", "sha256"))
		return "the key forbids sha256 (h=)";
	if (!allows(t, "s", "*") && !allows(t, "s", "email"))
		return "the key isn't for mail (s=)";
	if (taglist_value(t, "p").len == 0)
		return "the key is revoked";
	return NULL;
}

enum rc dkim_key_read(struct dkim_key *out, struct slice record, enum dkim_algorithm use,
                      struct err *e)
{
	struct taglist t;
	const char *wrong = taglist_read(&t, record);
	struct buf bytes;
	enum rc rc;

	*out = (struct dkim_key) { 0 };
	if (!wrong)
		wrong = check_record(&t, use);
	if (wrong)
		return err_set(e, RC_INVALID, "%s", wrong);
	out->testing = has_word(taglist_value(&t, "t"), "y");
	out->strict = has_word(taglist_value(&t, "t"), "s");
	buf_init(&bytes, KEY_BYTES_MOST);
	rc = fws_base64(&bytes, taglist_value(&t, "p"));
	if (rc != RC_OK)
		rc = err_set(e, RC_INVALID, "p= isn't base64");
	else if (use == DKIM_RSA_SHA256)
		rc = take_rsa(out, buf_slice(&bytes), e);
	else
		rc = take_ed25519(out, buf_slice(&bytes), e);
	buf_free(&bytes);
	ERR_clear_error();
	return rc;
}

/* A record that speaks of DKIM is the one whose fault is told. */
static enum rc read_records(struct dkim_key *out, const struct dns_answer *answer,
                            enum dkim_algorithm use, struct err *e)
{
	struct dkim_key last = { 0 };
	struct err one = { 0 };
	enum rc rc = RC_NOTFOUND;

	(void)err_set(e, RC_NOTFOUND, "no key record");
	for (size_t i = 0; i < answer->count; i++) {
		struct slice text = answer->records[i].text;

		if (dkim_key_read(out, text, use, &one) == RC_OK)
			return RC_OK;
		if (rc == RC_NOTFOUND || slice_starts_nocase(text, slice_str("v=DKIM1"))) {
			rc = err_set(e, RC_INVALID, "%s", one.text);
			last = *out;
		}
	}
	*out = last;
	return rc;
}

enum rc dkim_key_get(struct dkim_key *out, struct answers *a, const char *selector,
                     const char *domain, enum dkim_algorithm use, struct err *e)
{
	struct dns_answer answer;
	char name[600];
	enum rc rc;

	*out = (struct dkim_key) { 0 };
	(void)snprintf(name, sizeof(name), "%s._domainkey.%s", selector, domain);
	rc = answers_get(a, DNS_TXT, slice_str(name), &answer);
	if (rc != RC_OK)
		return rc;
	switch (answer.status) {
	case DNS_RECORDS:
		return read_records(out, &answer, use, e);
	case DNS_FAILED:
		return err_set(e, RC_IO, "no answer from DNS for the key");
	case DNS_NO_DATA:
	case DNS_NO_NAME:
		break;
	}
	return err_set(e, RC_NOTFOUND, "no key in DNS");
}

void dkim_key_free(struct dkim_key *k)
{
	EVP_PKEY_free(k->pkey);
	k->pkey = NULL;
}

/* ---- use ---- */

static bool verify_rsa(EVP_PKEY *key, const uint8_t sha256[32], struct slice signature)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	bool good = ctx && EVP_PKEY_verify_init(ctx) == 1 &&
	            EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
	            EVP_PKEY_CTX_set_signature_md(ctx, sha256_algorithm()) == 1 &&
	            EVP_PKEY_verify(ctx, signature.at, signature.len, sha256, 32) == 1;

	EVP_PKEY_CTX_free(ctx);
	return good;
}

static bool verify_ed25519(EVP_PKEY *key, const uint8_t sha256[32], struct slice signature)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx && signature.len == 64 &&
	            EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
	            EVP_DigestVerify(ctx, signature.at, signature.len, sha256, 32) == 1;

	EVP_MD_CTX_free(ctx);
	return good;
}

bool dkim_key_verifies(const struct dkim_key *k, enum dkim_algorithm use, const uint8_t sha256[32],
                       struct slice signature)
{
	bool good = use == DKIM_RSA_SHA256 ? verify_rsa(k->pkey, sha256, signature)
	                                   : verify_ed25519(k->pkey, sha256, signature);

	ERR_clear_error(); /* of what is wrong, nothing must stay in the thread */
	return good;
}
