#include "index/match_words.h"

#include <stdlib.h>

#include "index/shard.h"
#include "index/token.h"

#define NEAR_MOST 1000000

/* The tokens that stand at one position. */
struct place {
	struct slice word;
	struct slice pair;
	struct slice address;
	size_t to; /* in the source: the end of the word */
	size_t address_to;
};

struct words {
	struct place *place;
	size_t count;
	struct match_tree *texts;
};

static enum rc keep_token(void *arg, const struct token *t)
{
	struct words *w = arg;
	struct slice text = match_text(w->texts, t->text);
	struct place *p;

	if (t->position >= PHRASE_TOKENS)
		return RC_LIMIT;
	if (t->kind == TOKEN_WORD) {
		w->place = mem_resize(w->place, (w->count + 1) * sizeof(*w->place));
		w->place[w->count++] = (struct place) { .word = text, .to = t->to };
		return RC_OK;
	}
	p = &w->place[t->position];
	if (t->kind == TOKEN_PAIR)
		p->pair = text;
	if (t->kind == TOKEN_ADDRESS) {
		p->address = text;
		p->address_to = t->to;
	}
	return RC_OK;
}

static enum rc words_make(struct words *w, struct slice text)
{
	*w = (struct words) { .texts = match_tree_new() };
	return token_each(text, keep_token, w);
}

static void words_free(struct words *w)
{
	match_tree_free(&w->texts);
	free(w->place);
}

/* A text that is one address, whose whole token says all that its words say. A token that was cut
 * says less. */
static bool is_address(const struct words *w)
{
	return w->count > 0 && w->place[0].address.len > 0 &&
	       w->place[0].address.len < TOKEN_MAX - 3 &&
	       w->place[0].address_to >= w->place[w->count - 1].to;
}

/* The token of position i in a phrase, empty where the one before has said it. */
static struct slice chosen(const struct words *w, size_t i)
{
	const struct place *p = &w->place[i];
	struct slice none = { NULL, 0 };

	if (p->pair.len)
		return p->pair;
	if (i > 0 && w->place[i - 1].pair.len)
		return i + 1 == w->count ? none : p->word;
	return p->address.len ? p->address : p->word;
}

static enum rc add_phrase(struct buf *out, const struct words *w, bool prefix)
{
	size_t count = is_address(w) ? 1 : w->count;
	enum rc rc = buf_add_str(out, "\"");

	for (size_t i = 0; i < count && rc == RC_OK; i++) {
		struct slice token = chosen(w, i);

		if (token.len && i > 0)
			rc = buf_add_str(out, " ");
		if (rc == RC_OK)
			rc = buf_add(out, token);
	}
	if (rc == RC_OK)
		rc = buf_add_str(out, prefix ? "\" *" : "\"");
	return rc;
}

/* "{subject body} : " */
static enum rc add_columns(struct buf *out, uint32_t fields)
{
	bool first = true;
	enum rc rc;

	if ((fields & FIELDS_ALL) == FIELDS_ALL)
		return RC_OK;
	rc = buf_add_str(out, "{");
	for (int f = 0; f < DOC_FIELDS && rc == RC_OK; f++) {
		if (!(fields & FIELD_BIT(f)))
			continue;
		rc = buf_addf(out, "%s%s", first ? "" : " ", shard_columns[f]);
		first = false;
	}
	return rc == RC_OK ? buf_add_str(out, "} : ") : rc;
}

enum rc words_of_text(struct buf *out, const struct match *m, struct err *e)
{
	struct words w;
	enum rc rc = words_make(&w, m->text);

	if (rc == RC_OK && w.count > 0 && (m->fields & FIELDS_ALL)) {
		rc = add_columns(out, m->fields);
		if (rc == RC_OK)
			rc = add_phrase(out, &w, m->prefix);
	}
	words_free(&w);
	return rc == RC_OK ? RC_OK
	                   : err_set(e, RC_LIMIT, "a phrase has at most %d words", PHRASE_TOKENS);
}

static enum rc near_phrases(struct buf *out, const struct match *m, bool *all)
{
	enum rc rc = RC_OK;

	for (const struct match *c = m->child; c && rc == RC_OK; c = c->next) {
		struct words w;

		rc = words_make(&w, c->text);
		*all = *all && w.count > 0 && c->kind == MATCH_TEXT;
		if (rc == RC_OK && w.count > 0 && c != m->child)
			rc = buf_add_str(out, " ");
		if (rc == RC_OK && w.count > 0)
			rc = add_phrase(out, &w, c->prefix);
		words_free(&w);
	}
	return rc;
}

enum rc words_of_near(struct buf *out, const struct match *m, struct err *e)
{
	uint32_t fields = m->child ? m->child->fields : 0;
	bool all = m->child && (fields & FIELDS_ALL);
	enum rc rc;

	if (!all)
		return RC_OK;
	rc = add_columns(out, fields);
	if (rc == RC_OK)
		rc = buf_add_str(out, "NEAR(");
	if (rc == RC_OK)
		rc = near_phrases(out, m, &all);
	if (rc == RC_OK)
		rc = buf_addf(out, ", %llu)",
		              (unsigned long long)MIN_OF(m->number, (uint64_t)NEAR_MOST));
	if (!all)
		buf_clear(out);
	return rc == RC_OK ? RC_OK
	                   : err_set(e, RC_LIMIT, "a phrase has at most %d words", PHRASE_TOKENS);
}
