#include "query/lex.h"

#include "query/text.h"

/* The character at byte `at`, and its length; 0 at the end. */
static size_t char_at(const struct lexer *l, size_t at, uint32_t *point)
{
	*point = ' ';
	return at < l->text.len ? text_char(slice_from(l->text, at), point) : 0;
}

static bool ends_run(uint32_t c)
{
	return text_is_blank(c) || text_is_quote(c) || (c < 0x80 && strchr("(){}", (int)c));
}

static void skip_blanks(struct lexer *l)
{
	uint32_t c;
	size_t n;

	while ((n = char_at(l, l->at, &c)) > 0 && text_is_blank(c))
		l->at += n;
}

static bool at_end_of_run(const struct lexer *l, size_t at)
{
	uint32_t c;

	return char_at(l, at, &c) == 0 || ends_run(c);
}

/* Where the run that begins at `at` ends. */
static size_t run_end(const struct lexer *l, size_t at)
{
	uint32_t c;
	size_t n;

	while ((n = char_at(l, at, &c)) > 0 && !ends_run(c))
		at += n;
	return at;
}

static struct slice cut_stars(struct slice s, bool *prefix)
{
	*prefix = s.len > 0 && s.at[s.len - 1] == '*';
	while (s.len && s.at[s.len - 1] == '*')
		s.len--;
	return s;
}

static struct item phrase(struct lexer *l, size_t quote_bytes)
{
	struct item it = { .kind = ITEM_PHRASE, .from = l->at };
	size_t begin = l->at + quote_bytes;
	size_t at = begin;
	uint32_t c;
	size_t n;

	while ((n = char_at(l, at, &c)) > 0 && !text_is_quote(c))
		at += n;
	it.text = slice_part(l->text, begin, at - begin);
	it.open_quote = n == 0;
	l->at = at + n;
	if (n && l->at < l->text.len && l->text.at[l->at] == '*' && at_end_of_run(l, l->at + 1)) {
		it.prefix = true;
		l->at++;
	}
	return it;
}

/* Digits at `at` that a run of `l` ends behind; *end is where. */
static bool number_at(const struct lexer *l, size_t at, uint64_t *number, size_t *end)
{
	size_t n = at;

	while (n < l->text.len && l->text.at[n] >= '0' && l->text.at[n] <= '9')
		n++;
	*end = n;
	return slice_to_u64(slice_part(l->text, at, n - at), number) && at_end_of_run(l, n);
}

/* NEAR, NEAR/5, NEAR(5), and AROUND in the same ways; AROUND 5 when something follows. */
static bool near_operator(struct lexer *l, struct slice run, struct item *it)
{
	struct lexer ahead = *l;
	size_t name = slice_starts_nocase(run, slice_str("AROUND")) ? 6 : 4;
	size_t end;

	if (!slice_equal(slice_part(run, 0, name), slice_str(name == 6 ? "AROUND" : "NEAR")))
		return false;
	ahead.at = l->at + name;
	it->number = NEAR_UNSAID;
	if (run.len > name) {
		if (run.at[name] != '/' || !number_at(l, ahead.at + 1, &it->number, &end) ||
		    end != l->at + run.len)
			return false;
		it->kind = ITEM_NEAR;
		l->at = end;
		return true;
	}
	it->kind = ITEM_NEAR;
	l->at = ahead.at;
	if (ahead.at < l->text.len && l->text.at[ahead.at] == '(') {
		if (number_at(l, ahead.at + 1, &it->number, &end) && end < l->text.len &&
		    l->text.at[end] == ')')
			l->at = end + 1;
		else
			it->number = NEAR_UNSAID; /* a group of words */
		return true;
	}
	skip_blanks(&ahead);
	if (ahead.at == l->at)
		return true;
	if (number_at(l, ahead.at, &it->number, &end)) {
		ahead.at = end;
		skip_blanks(&ahead);
		if (ahead.at < l->text.len && l->text.at[ahead.at] != ')') {
			l->at = end;
			return true;
		}
	}
	it->number = NEAR_UNSAID; /* a word */
	return true;
}

static bool is_operator(struct lexer *l, struct slice run, struct item *it)
{
	static const struct {
		const char *text;
		enum item_kind kind;
	} ops[] = {
		{ "AND", ITEM_AND }, { "&&", ITEM_AND }, { "&", ITEM_AND },   { "OR", ITEM_OR },
		{ "||", ITEM_OR },   { "|", ITEM_OR },   { "NOT", ITEM_NOT },
	};

	for (size_t i = 0; i < COUNT(ops); i++)
		if (slice_equal(run, slice_str(ops[i].text))) {
			it->kind = ops[i].kind;
			l->at += run.len;
			return true;
		}
	return near_operator(l, run, it);
}

static bool is_name_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

static bool is_letter(uint8_t c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* name: or, for dates and sizes, name>= and its like. */
static bool is_field(struct lexer *l, struct slice run, struct item *it)
{
	size_t n = 0;

	while (n < run.len && is_name_byte(run.at[n]))
		n++;
	if (n == 0 || n == run.len)
		return false;
	struct slice rest = slice_from(run, n);

	it->field = word_find(slice_part(run, 0, n));
	if (rest.at[0] == ':') {
		it->unknown = !it->field && is_letter(run.at[0]);
		rest = slice_from(rest, 1);
		if (it->field && word_compares(it->field))
			it->op = compare_take(&rest);
	} else if (it->field && word_compares(it->field)) {
		it->op = compare_take(&rest);
		if (it->op == COMPARE_NONE)
			it->field = NULL;
	} else {
		it->field = NULL;
	}
	if (!it->field)
		return false;
	it->kind = ITEM_FIELD;
	it->text = slice_part(run, 0, run.len - rest.len);
	l->at += it->text.len;
	uint32_t c;

	it->attached = char_at(l, l->at, &c) > 0 && !text_is_blank(c) && c != ')' && c != '}';
	return true;
}

static struct item word(struct lexer *l)
{
	struct item it = { .kind = ITEM_WORD, .from = l->at };
	struct slice run = slice_part(l->text, l->at, run_end(l, l->at) - l->at);

	if (is_operator(l, run, &it) || is_field(l, run, &it))
		return it;
	it.text = cut_stars(run, &it.prefix);
	if (it.text.len == 0) {
		it.kind = ITEM_ALL;
		it.text = run;
	}
	l->at += run.len;
	return it;
}

struct item lex_next(struct lexer *l)
{
	static const char marks[] = "(){}";
	static const enum item_kind kinds[] = { ITEM_OPEN, ITEM_CLOSE, ITEM_BRACE_OPEN,
		                                ITEM_BRACE_CLOSE };
	uint32_t c;
	uint32_t after;
	size_t n;

	skip_blanks(l);
	n = char_at(l, l->at, &c);
	if (n == 0)
		return (struct item) { .kind = ITEM_END, .from = l->at };
	if (text_is_quote(c))
		return phrase(l, n);
	for (size_t i = 0; i < COUNT(kinds); i++)
		if (c == (uint32_t)marks[i])
			return (struct item) { .kind = kinds[i], .from = l->at++ };
	if (c == '-' && char_at(l, l->at + 1, &after) > 0 && !text_is_blank(after) &&
	    after != '-' && after != ')' && after != '}')
		return (struct item) { .kind = ITEM_NOT, .from = l->at++ };
	return word(l);
}

struct item lex_value(struct lexer *l, const struct word *field)
{
	struct item it = { .kind = ITEM_WORD, .from = l->at };
	bool bracket = l->at < l->text.len && l->text.at[l->at] == '<' &&
	               (field->kind == WORD_MSGID || field->kind == WORD_ID);
	size_t close = bracket ? slice_find_byte(slice_from(l->text, l->at), '>') : SIZE_MAX;
	uint32_t c;
	size_t n = char_at(l, l->at, &c);

	if (close != SIZE_MAX) {
		it.text = slice_part(l->text, l->at, close + 1);
		l->at += close + 1;
		return it;
	}
	if (text_is_quote(c))
		return phrase(l, n);
	if (c == '(' || c == '{')
		return lex_next(l);
	struct slice run = slice_part(l->text, l->at, run_end(l, l->at) - l->at);

	l->at += run.len;
	it.text = field->kind == WORD_TEXT ? cut_stars(run, &it.prefix) : run;
	return it;
}

bool lex_is_value(struct slice text)
{
	struct lexer l = { text, 0 };

	return text.len > 0 && run_end(&l, 0) == text.len;
}

bool lex_is_plain(struct slice text)
{
	struct lexer l = { text, 0 };
	struct item it;

	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] < 0x80 && !is_name_byte(text.at[i]) &&
		    (text.at[i] == 0 || !strchr("@.'+/", text.at[i])))
			return false;
	if (text.len == 0 || strchr("-+/", text.at[0]))
		return false;
	it = lex_next(&l);
	return it.kind == ITEM_WORD && !it.prefix && slice_equal(it.text, text);
}
