#include "index/token.h"

#include <unicode/utf8.h>

#include "index/token_fold.h"

/* A token that is being built. */
struct text {
	uint8_t at[TOKEN_MAX];
	size_t len;
	bool full; /* a character did not fit: no later one is added either */
};

/* A stretch of the source. */
struct range {
	size_t from;
	size_t to; /* 0: none */
};

/* What stands without a blank and may hold addresses and host names: letters, digits and . _ + - @
 * . A part is what stands between its @s. */
struct compound {
	size_t end;
	struct range part;
	bool after_at;   /* the part follows an @ */
	bool before_at;  /* and is followed by one */
	bool named;      /* the part's first word was seen */
	size_t host_end; /* host names are looked for behind it */
};

struct tokens {
	enum rc (*each)(void *arg, const struct token *t);
	void *arg;
	enum rc rc;
	struct slice source;
	uint32_t position; /* of the next word */

	bool in_word;
	struct text word;
	struct range word_at;
	struct range address; /* whole tokens that begin with this word */
	struct range host;
	struct compound compound;

	bool single; /* the unit before was one of a script without spaces */
	uint8_t single_text[4];
	size_t single_len;
	size_t single_from;
};

static void text_add(struct text *t, const uint8_t *at, size_t len)
{
	if (t->full)
		return;
	if (len <= TOKEN_MAX - t->len) {
		memcpy(t->at + t->len, at, len);
		t->len += len;
		return;
	}
	t->full = true;
	/* As many whole characters as fit. */
	len = TOKEN_MAX - t->len;
	while (len > 0 && (at[len] & 0xc0) == 0x80)
		len--;
	memcpy(t->at + t->len, at, len);
	t->len += len;
}

static void emit(struct tokens *ts, enum token_kind kind, uint32_t position, struct slice text,
                 size_t from, size_t to)
{
	struct token t = { kind, position, text, from, to };

	if (ts->rc == RC_OK)
		ts->rc = ts->each(ts->arg, &t);
}

/* ---- whole addresses and host names ---- */

static bool is_punctuation(uint8_t c)
{
	return c == '.' || c == '_' || c == '+' || c == '-';
}

/* Outside of ASCII. Apart, so that the fast paths don't carry a unit's buffer. */
static __attribute__((noinline)) enum unit_class class_beyond(struct slice source, size_t at,
                                                              size_t *next)
{
	struct unit u;

	unit_read(&u, source, at);
	*next = u.next;
	return u.class;
}

/* The class of the unit at `at`, and where the next begins. */
static enum unit_class class_at(struct slice source, size_t at, size_t *next)
{
	if (source.at[at] >= 0x80)
		return class_beyond(source, at, next);
	*next = at + 1;
	return ascii_word[source.at[at]] ? UNIT_WORD : UNIT_SEPARATE;
}

/* A letter or digit of ASCII that nothing can combine with, since ASCII or nothing follows. */
static bool is_plain(struct slice source, size_t at)
{
	return ascii_word[source.at[at]] && (at + 1 >= source.len || source.at[at + 1] < 0x80);
}

static size_t compound_end(struct slice source, size_t at)
{
	size_t next;

	while (at < source.len) {
		uint8_t c = source.at[at];
		enum unit_class class;

		if (ascii_word[c] || is_punctuation(c) || c == '@') {
			at++;
			continue;
		}
		if (c < 0x80)
			break;
		class = class_at(source, at, &next);
		if (class == UNIT_SEPARATE || class == UNIT_SINGLE)
			break;
		at = next;
	}
	return at;
}

/* Labels joined by single dots, from `at` (the start of a word) to at most `end`. */
static size_t host_scan(struct slice source, size_t at, size_t end, unsigned *labels)
{
	size_t last = at; /* behind the last letter or digit */
	size_t next;

	*labels = 1;
	while (at < end) {
		uint8_t c = source.at[at];

		if (c == '-') {
			at++;
			continue;
		}
		if (c == '.') {
			if (at + 1 >= end || class_at(source, at + 1, &next) != UNIT_WORD)
				break;
			++*labels;
			at++;
			continue;
		}
		if (c < 0x80 && !ascii_word[c])
			break;
		if (class_at(source, at, &next) == UNIT_WORD)
			last = next;
		at = next;
	}
	return last;
}

static void part_begin(struct compound *c, struct slice source, size_t at)
{
	size_t end = at;

	while (end < c->end && source.at[end] != '@')
		end++;
	c->after_at = at > 0 && source.at[at - 1] == '@';
	c->before_at = end < c->end;
	c->part = (struct range) { at, end };
	c->named = false;
}

/* The whole address whose first word begins at `at`: what is left of the @ without the punctuation
 * at its ends, and the host name right of it. */
static struct range address_at(const struct compound *c, struct slice source, size_t at)
{
	struct range none = { 0, 0 };
	size_t domain = c->part.to + 1;
	size_t next;
	unsigned labels;

	if (!c->before_at || domain >= c->end || class_at(source, domain, &next) != UNIT_WORD)
		return none;
	return (struct range) { at, host_scan(source, domain, c->end, &labels) };
}

/* Called at the start of each word. */
static void wholes_at(struct tokens *ts, size_t at)
{
	struct compound *c = &ts->compound;
	bool first;
	unsigned labels;

	if (at >= c->end) {
		c->end = compound_end(ts->source, at);
		c->host_end = at;
		part_begin(c, ts->source, at);
		c->after_at = false; /* an @ that nothing stands left of */
	}
	while (at >= c->part.to && c->part.to < c->end)
		part_begin(c, ts->source, c->part.to + 1);
	first = !c->named;
	c->named = true;
	if (first)
		ts->address = address_at(c, ts->source, at);
	if (at < c->host_end || (c->before_at && !(c->after_at && first)))
		return;
	c->host_end = host_scan(ts->source, at, c->part.to, &labels);
	if (labels > 1)
		ts->host = (struct range) { at, c->host_end };
}

static __attribute__((noinline)) size_t add_unit(struct text *t, struct slice source, size_t at)
{
	struct unit u;

	unit_read(&u, source, at);
	text_add(t, u.text, u.len);
	return u.next;
}

static void emit_whole(struct tokens *ts, enum token_kind kind, struct range r)
{
	struct text t;
	size_t at = r.from;

	t.len = 0;
	t.full = false;
	while (at < r.to && !t.full) {
		uint8_t c = ts->source.at[at];

		if (is_plain(ts->source, at))
			text_add(&t, &ascii_word[c], 1);
		else if (c < 0x80 && !ascii_word[c])
			text_add(&t, &ts->source.at[at], 1);
		else {
			at = add_unit(&t, ts->source, at);
			continue;
		}
		at++;
	}
	emit(ts, kind, ts->position - 1, slice_of(t.at, t.len), r.from, r.to);
}

/* ---- words ---- */

static void word_begin(struct tokens *ts, size_t at)
{
	ts->in_word = true;
	ts->single = false;
	ts->word.len = 0;
	ts->word.full = false;
	ts->word_at.from = at;
	ts->address.to = 0;
	ts->host.to = 0;
	wholes_at(ts, at);
}

static void word_end(struct tokens *ts)
{
	if (!ts->in_word)
		return;
	ts->in_word = false;
	emit(ts, TOKEN_WORD, ts->position++, slice_of(ts->word.at, ts->word.len), ts->word_at.from,
	     ts->word_at.to);
	if (ts->address.to)
		emit_whole(ts, TOKEN_ADDRESS, ts->address);
	if (ts->host.to)
		emit_whole(ts, TOKEN_HOST, ts->host);
}

static void single_add(struct tokens *ts, const uint8_t *text, size_t len, size_t from, size_t to)
{
	uint8_t pair[8];

	if (ts->single) {
		memcpy(pair, ts->single_text, ts->single_len);
		memcpy(pair + ts->single_len, text, len);
		emit(ts, TOKEN_PAIR, ts->position - 1, slice_of(pair, ts->single_len + len),
		     ts->single_from, to);
	}
	emit(ts, TOKEN_WORD, ts->position++, slice_of(text, len), from, to);
	ts->single = true;
	memcpy(ts->single_text, text, len);
	ts->single_len = len;
	ts->single_from = from;
}

static void singles_add(struct tokens *ts, const struct unit *u, size_t from)
{
	int32_t i = 0;

	word_end(ts);
	while (i < (int32_t)u->len) {
		int32_t start = i;
		UChar32 c;

		U8_NEXT(u->text, i, (int32_t)u->len, c);
		if (c >= 0)
			single_add(ts, u->text + start, (size_t)(i - start), from, u->next);
	}
}

static void unit_add(struct tokens *ts, const struct unit *u, size_t at)
{
	switch (u->class) {
	case UNIT_SEPARATE:
		word_end(ts);
		ts->single = false;
		break;
	case UNIT_IGNORE:
		break;
	case UNIT_SINGLE:
		singles_add(ts, u, at);
		break;
	case UNIT_WORD:
		if (!ts->in_word)
			word_begin(ts, at);
		text_add(&ts->word, u->text, u->len);
		ts->word_at.to = u->next;
		break;
	}
}

/* Whether what is at `at`, right behind a word of ASCII, may make more of it than a word. */
static bool goes_on(struct slice s, size_t at)
{
	uint8_t c;

	if (at >= s.len)
		return false;
	c = s.at[at];
	if (c >= 0x80)
		return true;
	if (c != '@' && !is_punctuation(c))
		return false;
	if (at + 1 >= s.len)
		return false;
	c = s.at[at + 1];
	return c >= 0x80 || ascii_word[c] || c == '@' || is_punctuation(c);
}

/* A plain word, which is most of most mail. Returns its end, or `at` when it is not that simple. */
static size_t plain_word(struct tokens *ts, size_t at)
{
	struct slice s = ts->source;
	uint8_t *text = ts->word.at; /* free between words */
	size_t end = at;
	uint8_t c;

	if (at < ts->compound.end)
		return at;
	while (end < s.len && (c = ascii_word[s.at[end]]) != 0) {
		if (end - at < TOKEN_MAX)
			text[end - at] = c;
		end++;
	}
	if (end == at || goes_on(s, end))
		return at;
	ts->single = false;
	emit(ts, TOKEN_WORD, ts->position++, slice_of(text, MIN_OF(end - at, (size_t)TOKEN_MAX)),
	     at, end);
	return end;
}

/* Letters and digits of ASCII from `at` on, in a word that isn't plain_word's. Returns their end.
 */
static size_t word_letters(struct tokens *ts, size_t at)
{
	struct slice s = ts->source;

	if (!ts->in_word)
		word_begin(ts, at);
	do {
		text_add(&ts->word, &ascii_word[s.at[at]], 1);
		at++;
	} while (at < s.len && is_plain(s, at));
	ts->word_at.to = at;
	return at;
}

/* A unit that no fast path took. Returns its end. */
static __attribute__((noinline)) size_t other_unit(struct tokens *ts, size_t at)
{
	struct unit u;

	unit_read(&u, ts->source, at);
	unit_add(ts, &u, at);
	return u.next;
}

static size_t ascii_separator(struct tokens *ts, size_t at)
{
	uint8_t c = ts->source.at[at];

	word_end(ts);
	/* Text of such scripts is wrapped anywhere: a line break parts no pair. */
	if (c != '\r' && c != '\n')
		ts->single = false;
	return at + 1;
}

enum rc token_each(struct slice text, enum rc (*each)(void *arg, const struct token *t), void *arg)
{
	struct tokens ts = { .each = each, .arg = arg, .source = text };
	size_t at = 0;

	while (at < text.len && ts.rc == RC_OK) {
		size_t end = at;

		if (!ts.in_word && ascii_word[text.at[at]])
			end = plain_word(&ts, at);
		if (end != at)
			at = end;
		else if (is_plain(text, at))
			at = word_letters(&ts, at);
		else if (text.at[at] < 0x80 && !ascii_word[text.at[at]])
			at = ascii_separator(&ts, at);
		else
			at = other_unit(&ts, at);
	}
	word_end(&ts);
	return ts.rc;
}
