#include "ingest/verdict/arc.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ingest/verdict/arc_set.h"
#include "ingest/verdict/signature.h"

struct arc {
	struct arc_answer answer;
	bool settled;
	struct signature message; /* the ARC-Message-Signature of the last set */
	struct signature *seals;  /* one for each set; the first set's first */
};

static bool fail(struct arc *arc, const char *fmt, ...) PRINTF(2, 3);

/* What is found first stays. */
static bool fail(struct arc *arc, const char *fmt, ...)
{
	va_list args;

	if (!arc->settled) {
		va_start(args, fmt);
		(void)vsnprintf(arc->answer.why, sizeof(arc->answer.why), fmt, args);
		va_end(args);
		arc->answer.result = ARC_FAIL;
		arc->settled = true;
	}
	return false;
}

/* A signature that is settled without being good ends the chain. */
static bool take_signature(struct arc *arc, const struct signature *s, const char *name, size_t set)
{
	if (s->result == DKIM_NONE || s->result == DKIM_PASS)
		return true;
	return fail(arc, "%s of set %zu: %.100s", name, set, s->why);
}

/* ---- section 5.2, steps 2 and 3 ---- */

static bool read_seal(struct arc *arc, const struct arc_sets *sets, size_t i, int64_t now_s,
                      struct taglist *tags)
{
	struct signature *s = &arc->seals[i];
	struct slice cv;

	if (!signature_read(s, SIGNATURE_ARC_SEAL, sets->at[i].seal, now_s, tags))
		return take_signature(arc, s, "ARC-Seal", i + 1);
	cv = taglist_value(tags, "cv");
	if (slice_equal(cv, slice_str("fail")))
		return fail(arc, "the sealer of set %zu says that the chain had failed", i + 1);
	if (!slice_equal(cv, slice_str(i == 0 ? "none" : "pass")))
		return fail(arc, "cv= of set %zu isn't %s", i + 1, i == 0 ? "none" : "pass");
	if (taglist_find(tags, "h"))
		return fail(arc, "ARC-Seal of set %zu has h=", i + 1);
	return true;
}

/* Each seal signs all sets up to its own; what comes before it is hashed once for all. */
static bool read_seals(struct arc *arc, const struct arc_sets *sets, int64_t now_s)
{
	EVP_MD_CTX *before = canon_sha256_new();
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct taglist tags;
	bool good = true;

	MUST(ctx);
	for (size_t i = 0; good && i < sets->count; i++) {
		good = read_seal(arc, sets, i, now_s, &tags);
		canon_field(CANON_RELAXED, sets->at[i].results, sha256_take, before);
		canon_field(CANON_RELAXED, sets->at[i].message, sha256_take, before);
		MUST(EVP_MD_CTX_copy_ex(ctx, before));
		signature_hash_itself(ctx, CANON_RELAXED, sets->at[i].seal, &tags);
		canon_sha256_end(ctx, arc->seals[i].header_sha256);
		canon_field(CANON_RELAXED, sets->at[i].seal, sha256_take, before);
	}
	EVP_MD_CTX_free(ctx);
	EVP_MD_CTX_free(before);
	return good;
}

/* ---- step 4, but for the key ---- */

static bool read_message_signature(struct arc *arc, const struct arc_sets *sets,
                                   const struct raw_message *m, int64_t now_s)
{
	const struct raw_field *f = sets->at[sets->count - 1].message;
	struct signature *s = &arc->message;
	struct header_index *index;
	struct taglist tags;

	if (signature_read(s, SIGNATURE_ARC_MESSAGE, f, now_s, &tags)) {
		if (signature_signs(&tags, "arc-seal"))
			(void)signature_settle(s, DKIM_PERMERROR,
			                       "h= has ARC-Seal (section 4.1.2)");
		index = header_index_new(m);
		signature_hash_header(s, index, f, &tags);
		header_index_free(&index);
		body_hashes(m->body, &s->body, 1);
		signature_check_body(s);
	}
	if (s->partial)
		(void)signature_settle(s, DKIM_POLICY, "l= leaves a part of the body unsigned");
	return take_signature(arc, s, "ARC-Message-Signature", sets->count);
}

struct arc *arc_new(const struct raw_message *m, int64_t now_s)
{
	struct arc *arc = mem_new(sizeof(*arc));
	struct arc_sets sets;
	struct err e = { 0 };

	if (arc_sets_read(&sets, m, &e) != RC_OK) {
		(void)fail(arc, "%s", e.text);
	} else if (sets.count) {
		arc->seals = mem_array(sets.count, sizeof(*arc->seals));
		if (read_seals(arc, &sets, now_s))
			(void)read_message_signature(arc, &sets, m, now_s);
		(void)snprintf(arc->answer.sealer, sizeof(arc->answer.sealer), "%s",
		               arc->seals[sets.count - 1].domain);
	}
	arc->answer.sets = sets.highest;
	if (sets.highest == 0)
		arc->settled = true; /* ARC_NONE, or failed */
	return arc;
}

void arc_free(struct arc **arc)
{
	if (*arc)
		free((*arc)->seals);
	free(*arc);
	*arc = NULL;
}

/* ---- steps 4 and 6: with keys ---- */

static bool verify(struct arc *arc, struct signature *s, const char *name, size_t set,
                   struct answers *a, bool *lacking, bool *unknown)
{
	if (signature_verify(s, a) == RC_AGAIN)
		*lacking = true;
	if (s->result != DKIM_TEMPERROR)
		return take_signature(arc, s, name, set);
	if (!*unknown)
		(void)snprintf(arc->answer.why, sizeof(arc->answer.why), "%s of set %zu: %.100s",
		               name, set, s->why);
	*unknown = true;
	return true;
}

/* All keys are asked for at a time; one that fails ends it, whatever is unknown of the others. */
static enum rc verify_all(struct arc *arc, struct answers *a)
{
	size_t n = arc->answer.sets;
	bool lacking = false;
	bool unknown = false;
	bool good = verify(arc, &arc->message, "ARC-Message-Signature", n, a, &lacking, &unknown);

	for (size_t i = n; good && i > 0; i--)
		good = verify(arc, &arc->seals[i - 1], "ARC-Seal", i, a, &lacking, &unknown);
	if (!good)
		return RC_OK;
	if (lacking)
		return RC_AGAIN;
	arc->settled = true;
	arc->answer.result = unknown ? ARC_TEMPERROR : ARC_PASS;
	return RC_OK;
}

enum rc arc_check(struct arc *arc, struct answers *a, struct arc_answer *out)
{
	enum rc rc = arc->settled ? RC_OK : verify_all(arc, a);

	if (rc == RC_OK)
		*out = arc->answer;
	return rc;
}

const char *arc_word(enum arc_result r)
{
	static const char *const words[] = {
		[ARC_NONE] = "none",
		[ARC_PASS] = "pass",
		[ARC_FAIL] = "fail",
		[ARC_TEMPERROR] = "temperror",
	};

	return words[r];
}
