#include <openssl/evp.h>

#include "ingest/verdict/arc_set.h"
#include "ingest/verdict/sign.h"
#include "ingest/verdict/signature.h"

#define SET_MOST 131072 /* bytes of the three fields */

/* What ARC-Message-Signature signs (section 4.1.2: no Authentication-Results and nothing of ARC).
 * From is signed once more than it is there, so that none can be added. */
static const struct sign_name signed_names[] = {
	{ "From", SIGN_OVER },
	{ "To", SIGN_PRESENT },
	{ "Cc", SIGN_PRESENT },
	{ "Reply-To", SIGN_PRESENT },
	{ "Subject", SIGN_PRESENT },
	{ "Date", SIGN_PRESENT },
	{ "Message-ID", SIGN_PRESENT },
	{ "In-Reply-To", SIGN_PRESENT },
	{ "References", SIGN_PRESENT },
	{ "MIME-Version", SIGN_PRESENT },
	{ "Content-Type", SIGN_PRESENT },
	{ "Content-Transfer-Encoding", SIGN_PRESENT },
	{ "List-Id", SIGN_PRESENT },
	{ "List-Unsubscribe", SIGN_PRESENT },
	{ "List-Unsubscribe-Post", SIGN_PRESENT },
	{ "DKIM-Signature", SIGN_PRESENT },
};

struct sealing {
	const struct arc_sealer *by;
	struct sign_key key;
	const struct raw_message *m;
	enum arc_result cv;
	struct arc_sets sets;
	unsigned instance;
	struct buf results; /* the three fields */
	struct buf message;
	struct buf seal;
};

/* ---- the fields ---- */

static enum rc write_results(struct sealing *s, struct slice results)
{
	struct fold f;

	fold_begin(&f, &s->results, "ARC-Authentication-Results");
	sign_number(&f, "i=", s->instance);
	sign_word(&f, s->by->authserv, "", ";");
	fold_text(&f, results);
	return fold_end(&f);
}

static void write_common(struct sealing *s, struct fold *f)
{
	sign_number(f, "i=", s->instance);
	sign_word(f, "a=", sign_algorithm(&s->key), ";");
	sign_word(f, "d=", s->by->domain, ";");
	sign_word(f, "s=", s->by->selector, ";");
	sign_number(f, "t=", s->by->now_s);
}

static enum rc write_message(struct sealing *s, struct err *e)
{
	struct fold f;
	enum rc rc;

	fold_begin(&f, &s->message, "ARC-Message-Signature");
	write_common(s, &f);
	sign_word(&f, "c=", "relaxed/relaxed", ";");
	sign_names(&f, s->m, signed_names, COUNT(signed_names));
	rc = sign_body(&f, s->m);
	if (rc != RC_OK || sign_begin(&f) != RC_OK)
		return err_set(e, RC_LIMIT, "a set of ARC that is too long");
	return sign_message(&s->key, s->m, &s->message, "ARC-Message-Signature", e);
}

/* Section 5.1.1, or 5.1.2: a chain that failed isn't signed along. */
static void hash_chain(const struct sealing *s, EVP_MD_CTX *ctx)
{
	const struct raw_field results = sign_field(&s->results, "ARC-Authentication-Results");
	const struct raw_field message = sign_field(&s->message, "ARC-Message-Signature");

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
	sign_word(&f, "cv=", arc_word(s->cv), ";");
	if (sign_begin(&f) != RC_OK) {
		EVP_MD_CTX_free(ctx);
		return err_set(e, RC_LIMIT, "a set of ARC that is too long");
	}
	field = sign_field(&s->seal, "ARC-Seal");
	MUST(taglist_read(&tags, field.value) == NULL);
	hash_chain(s, ctx);
	signature_hash_itself(ctx, CANON_RELAXED, &field, &tags);
	canon_sha256_end(ctx, hash);
	EVP_MD_CTX_free(ctx);
	return sign_hash(&s->key, &s->seal, hash, e);
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
	for (size_t i = 0; i < results.len; i++)
		if (results.at[i] < ' ' || results.at[i] > 126)
			return err_set(e, RC_INVALID,
			               "results that aren't one line of printable ASCII");
	return sign_check_key(&(struct sign_key) { by->key, by->selector }, e);
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
	struct sealing s = { .by = by, .key = { by->key, by->selector }, .m = m, .cv = cv };
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
