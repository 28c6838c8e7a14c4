#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>

#include "base/codec.h"
#include "ingest/verdict/arc_set.h"
#include "ingest/verdict/cfws.h"
#include "ingest/verdict/fold.h"
#include "ingest/verdict/signature.h"

#define SET_MOST  131072 /* bytes of the three fields */
#define NAME_MOST 20     /* fields of one name that are signed; the last ones */

/* What ARC-Message-Signature signs (section 4.1.2: no Authentication-Results and nothing of ARC).
 * From is signed once more than it is there, so that none can be added. */
static const char *const signed_names[] = {
	"From",
	"To",
	"Cc",
	"Reply-To",
	"Subject",
	"Date",
	"Message-ID",
	"In-Reply-To",
	"References",
	"MIME-Version",
	"Content-Type",
	"Content-Transfer-Encoding",
	"List-Id",
	"List-Unsubscribe",
	"List-Unsubscribe-Post",
	"DKIM-Signature",
};

struct sealing {
	const struct arc_sealer *by;
	const struct raw_message *m;
	enum arc_result cv;
	struct arc_sets sets;
	unsigned instance;
	struct buf results; /* the three fields */
	struct buf message;
	struct buf seal;
};

/* ---- making a signature ---- */

static bool is_rsa(const struct arc_sealer *by)
{
	return EVP_PKEY_get_base_id(by->key) == EVP_PKEY_RSA;
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

/* Adds to a field that ends in "b=" the signature and the line end. */
static enum rc add_signature(const struct arc_sealer *by, struct buf *field,
                             const uint8_t sha256[CANON_SHA256], struct err *e)
{
	uint8_t raw[SIGNATURE_BYTES_MOST];
	size_t len = sizeof(raw);
	bool good = is_rsa(by) ? sign_rsa(by->key, sha256, raw, &len)
	                       : sign_ed25519(by->key, sha256, raw, &len);
	struct fold f = { .out = field, .column = 3 };
	struct buf text;
	enum rc rc;

	ERR_clear_error();
	if (!good)
		return err_set(e, RC_CRYPTO, "OpenSSL can't sign with the key of %s", by->selector);
	buf_init(&text, 2 * SIGNATURE_BYTES_MOST);
	rc = base64_encode(&text, slice_of(raw, len));
	for (struct slice rest = buf_slice(&text); rest.len; rest = slice_from(rest, 64))
		fold_more(&f, slice_part(rest, 0, 64));
	if (rc == RC_OK)
		rc = fold_end(&f);
	buf_free(&text);
	return rc == RC_OK ? RC_OK : err_set(e, rc, "a set of ARC that is too long");
}

/* ---- the fields ---- */

static struct raw_field field_of(const struct buf *text, const char *name)
{
	struct slice whole = buf_slice(text);

	return (struct raw_field) { slice_part(whole, 0, strlen(name)),
		                    slice_from(whole, strlen(name) + 1), whole };
}

static void word(struct fold *f, const char *name, const char *value, const char *end)
{
	char text[600];

	(void)snprintf(text, sizeof(text), "%s%s%s", name, value, end);
	fold_word(f, slice_str(text));
}

static void number(struct fold *f, const char *name, int64_t value)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%lld", (long long)value);
	word(f, name, text, ";");
}

static enum rc write_results(struct sealing *s, struct slice results)
{
	struct fold f;

	fold_begin(&f, &s->results, "ARC-Authentication-Results");
	number(&f, "i=", s->instance);
	word(&f, s->by->authserv, "", ";");
	fold_text(&f, results);
	return fold_end(&f);
}

static void write_common(struct sealing *s, struct fold *f)
{
	number(f, "i=", s->instance);
	word(f, "a=", is_rsa(s->by) ? "rsa-sha256" : "ed25519-sha256", ";");
	word(f, "d=", s->by->domain, ";");
	word(f, "s=", s->by->selector, ";");
	number(f, "t=", s->by->now_s);
}

static void write_names(const struct raw_message *m, struct fold *f)
{
	char text[64];

	word(f, "h=", "From", ""); /* once more than there are */
	for (size_t n = 0; n < COUNT(signed_names); n++) {
		size_t count = 0;

		for (size_t i = 0; i < m->count && count < NAME_MOST; i++)
			count += raw_named(&m->fields[i], signed_names[n]);
		(void)snprintf(text, sizeof(text), ":%s", signed_names[n]);
		for (; count; count--)
			fold_more(f, slice_str(text));
	}
	fold_more(f, slice_str(";"));
}

static enum rc write_body_hash(const struct raw_message *m, struct fold *f)
{
	struct body_hash hash = { .how = CANON_RELAXED };
	struct buf text;
	enum rc rc;

	body_hashes(m->body, &hash, 1);
	buf_init(&text, 64);
	rc = base64_encode(&text, slice_of(hash.sha256, sizeof(hash.sha256)));
	word(f, "bh=", buf_text(&text), ";");
	buf_free(&text);
	return rc;
}

/* A field that ends in "b=", without a line end yet. */
static enum rc begin_signature(struct fold *f)
{
	if (f->rc == RC_OK)
		f->rc = buf_add_str(f->out, "\r\n\tb=");
	return f->rc;
}

static enum rc write_message(struct sealing *s, struct err *e)
{
	struct header_index *index;
	struct signature made = { .header = CANON_RELAXED };
	struct taglist tags;
	struct raw_field field;
	struct fold f;
	enum rc rc;

	fold_begin(&f, &s->message, "ARC-Message-Signature");
	write_common(s, &f);
	word(&f, "c=", "relaxed/relaxed", ";");
	write_names(s->m, &f);
	rc = write_body_hash(s->m, &f);
	if (rc != RC_OK || begin_signature(&f) != RC_OK)
		return err_set(e, RC_LIMIT, "a set of ARC that is too long");
	field = field_of(&s->message, "ARC-Message-Signature");
	MUST(taglist_read(&tags, field.value) == NULL);
	index = header_index_new(s->m);
	signature_hash_header(&made, index, &field, &tags);
	header_index_free(&index);
	return add_signature(s->by, &s->message, made.header_sha256, e);
}

/* Section 5.1.1, or 5.1.2: a chain that failed isn't signed along. */
static void hash_chain(const struct sealing *s, EVP_MD_CTX *ctx)
{
	const struct raw_field results = field_of(&s->results, "ARC-Authentication-Results");
	const struct raw_field message = field_of(&s->message, "ARC-Message-Signature");

	for (size_t i = 0; s->cv == ARC_PASS && i < s->sets.count; i++) {
		canon_field(CANON_RELAXED, s->sets.at[i].results, sha256_take, ctx);
		canon_field(CANON_RELAXED, s->sets.at[i].message, sha256_take, ctx);
		canon_field(CANON_RELAXED, s->sets.at[i].seal, sha256_take, ctx);
	}
	canon_field(CANON_RELAXED, &results, sha256_take, ctx);
	canon_field(CANON_RELAXED, &message, sha256_take, ctx);
}

static enum rc write_seal(struct sealing *s, struct err *e)
{
	EVP_MD_CTX *ctx = canon_sha256_new();
	uint8_t hash[CANON_SHA256];
	struct taglist tags;
	struct raw_field field;
	struct fold f;

	fold_begin(&f, &s->seal, "ARC-Seal");
	write_common(s, &f);
	word(&f, "cv=", arc_word(s->cv), ";");
	if (begin_signature(&f) != RC_OK) {
		EVP_MD_CTX_free(ctx);
		return err_set(e, RC_LIMIT, "a set of ARC that is too long");
	}
	field = field_of(&s->seal, "ARC-Seal");
	MUST(taglist_read(&tags, field.value) == NULL);
	hash_chain(s, ctx);
	signature_hash_itself(ctx, CANON_RELAXED, &field, &tags);
	canon_sha256_end(ctx, hash);
	EVP_MD_CTX_free(ctx);
	return add_signature(s->by, &s->seal, hash, e);
}

/* ---- may it be sealed? ---- */

static enum rc check_sealer(const struct arc_sealer *by, struct slice results, struct err *e)
{
	char name[256];

	if (!dkim_name(name, slice_str(by->domain), 2) ||
	    !dkim_name(name, slice_str(by->selector), 1) ||
	    !dkim_name(name, slice_str(by->authserv), 1))
		return err_set(e, RC_INVALID,
		               "d=, s= and the authserv-id of a sealer are names of DNS");
	if (!is_rsa(by) && EVP_PKEY_get_base_id(by->key) != EVP_PKEY_ED25519)
		return err_set(e, RC_INVALID, "a sealer's key is RSA or Ed25519");
	if (is_rsa(by) && (EVP_PKEY_get_bits(by->key) < KEY_RSA_LEAST ||
	                   EVP_PKEY_get_bits(by->key) > KEY_RSA_MOST))
		return err_set(e, RC_INVALID, "a sealer's RSA key has %d to %d bits", KEY_RSA_LEAST,
		               KEY_RSA_MOST);
	for (size_t i = 0; i < results.len; i++)
		if (results.at[i] < ' ' || results.at[i] > 126)
			return err_set(e, RC_INVALID,
			               "results that aren't one line of printable ASCII");
	return RC_OK;
}

/* Did the last sealer say already that the chain had failed? */
static bool is_marked(const struct arc_sets *sets)
{
	const struct raw_field *seal = sets->highest ? sets->at[sets->highest - 1].seal : NULL;
	struct taglist tags;

	return seal && !taglist_read(&tags, seal->value) && taglist_is(&tags, "cv", "fail", false);
}

static enum rc check_chain(struct sealing *s, struct err *e)
{
	struct err structure;
	enum rc rc = arc_sets_read(&s->sets, s->m, &structure);

	s->instance = s->sets.highest + 1;
	if (s->m->count && fws_is(s->m->fields[0].whole.at[0]))
		return err_set(e, RC_INVALID,
		               "a header whose first line goes on with what stands before it");
	if (s->cv == ARC_TEMPERROR)
		return err_set(e, RC_INVALID, "a chain that couldn't be judged can't be sealed");
	if (s->cv == ARC_PASS && (rc != RC_OK || s->sets.count == 0))
		return err_set(e, RC_INVALID, "a chain that isn't there can't have passed");
	if (s->cv == ARC_NONE && (rc != RC_OK || s->sets.highest))
		return err_set(e, RC_INVALID, "a chain is there and wasn't judged");
	if (s->cv == ARC_FAIL && is_marked(&s->sets))
		return err_set(e, RC_EXISTS,
		               "the last sealer says already that the chain has failed");
	if (s->instance > ARC_SETS)
		return err_set(e, RC_LIMIT, "the chain has %d sets already", ARC_SETS);
	return RC_OK;
}

enum rc arc_seal(const struct arc_sealer *by, const struct raw_message *m, enum arc_result cv,
                 struct slice results, struct buf *out, struct err *e)
{
	struct sealing s = { .by = by, .m = m, .cv = cv };
	enum rc rc = check_sealer(by, results, e);

	buf_init(&s.results, SET_MOST);
	buf_init(&s.message, SET_MOST);
	buf_init(&s.seal, SET_MOST);
	if (rc == RC_OK)
		rc = check_chain(&s, e);
	if (rc == RC_OK && write_results(&s, results) != RC_OK)
		rc = err_set(e, RC_LIMIT, "a set of ARC that is too long");
	if (rc == RC_OK)
		rc = write_message(&s, e);
	if (rc == RC_OK)
		rc = write_seal(&s, e);
	if (rc == RC_OK && (buf_reserve(out, s.seal.len + s.message.len + s.results.len) != RC_OK ||
	                    buf_add(out, buf_slice(&s.seal)) != RC_OK ||
	                    buf_add(out, buf_slice(&s.message)) != RC_OK ||
	                    buf_add(out, buf_slice(&s.results)) != RC_OK))
		rc = err_set(e, RC_LIMIT, "no room for a set of ARC");
	buf_free(&s.results);
	buf_free(&s.message);
	buf_free(&s.seal);
	return rc;
}
