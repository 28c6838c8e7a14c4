#include "query/parse.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/limits.h"
#include "index/token.h"
#include "query/lex.h"
#include "query/text.h"

#define NEAR_MOST   10000 /* words; more is no nearness */
#define NEAR_CHOICE 64    /* combinations of (a OR b) NEAR (c OR d) */

/*
 * Recursive descent: or_group → and_group → term → near_chain → primary. A function gives NULL when
 * there is nothing to match by; `failed` is latched by the first error and ends every loop. `field`
 * is what the words of a group are words of: subject:(a OR b).
 */
struct parser {
	struct match_tree *tree;
	struct lexer lexer;
	struct item item; /* the one to be read */
	const struct query_env *env;
	struct query_notes *notes;
	struct err *e;
	enum rc failed;
	size_t terms; /* words, phrases and values met so far, ignored ones too */
	unsigned parens;
	unsigned braces;
	bool mixed; /* the note about AND and OR is made */
};

/* A list that is appended to in constant time. */
struct nodes {
	struct match *first;
	struct match *last;
};

static struct match *or_group(struct parser *p, const struct word *field);
static struct match *term(struct parser *p, const struct word *field);

static size_t column_of(const struct parser *p, size_t at)
{
	size_t column = 1;

	for (size_t i = 0; i < at && i < p->lexer.text.len; i++)
		column += (p->lexer.text.at[i] & 0xc0) != 0x80;
	return column;
}

static void note(struct parser *p, size_t at, const char *fmt, ...) PRINTF(3, 4);

static void note(struct parser *p, size_t at, const char *fmt, ...)
{
	struct query_note *n;
	va_list args;

	if (!p->notes)
		return;
	if (p->notes->count == QUERY_NOTES) {
		p->notes->more++;
		return;
	}
	n = &p->notes->note[p->notes->count++];
	n->column = column_of(p, at);
	va_start(args, fmt);
	(void)vsnprintf(n->text, sizeof(n->text), fmt, args);
	va_end(args);
	/* The text is whole characters, although the room may have cut the last. */
	for (size_t len = strlen(n->text); len && !slice_is_utf8(slice_str(n->text)); len--)
		n->text[len - 1] = '\0';
}

static void advance(struct parser *p)
{
	p->item = lex_next(&p->lexer);
}

/* ---- building ---- */

static void nodes_add(struct nodes *list, struct match *m)
{
	if (!m)
		return;
	m->next = NULL;
	if (list->last)
		list->last->next = m;
	else
		list->first = m;
	list->last = m;
}

/* As nodes_add; a node of the same kind as the list is for gives its children instead. */
static void nodes_join(struct nodes *list, struct match *m, enum match_kind kind)
{
	if (!m || m->kind != kind) {
		nodes_add(list, m);
		return;
	}
	for (struct match *c = m->child, *next; c; c = next) {
		next = c->next;
		nodes_add(list, c);
	}
}

static struct match *nodes_close(struct parser *p, const struct nodes *list, enum match_kind kind)
{
	struct match *m;

	if (!list->first || list->first == list->last)
		return list->first;
	m = match_new(p->tree, kind);
	m->child = list->first;
	return m;
}

static struct match *negate(struct parser *p, struct match *m)
{
	struct match * not ;

	if (!m)
		return NULL;
	if (m->kind == MATCH_NOT)
		return m->child;
	if (m->kind == MATCH_ALL || m->kind == MATCH_NONE)
		return match_new(p->tree, m->kind == MATCH_ALL ? MATCH_NONE : MATCH_ALL);
	not = match_new(p->tree, MATCH_NOT);
	not ->child = m;
	return not ;
}

static struct match *range(struct parser *p, enum match_kind kind, int64_t low, int64_t high)
{
	struct match *m = match_new(p->tree, kind);

	m->low = low;
	m->high = high;
	return m;
}

static struct match *with_text(struct parser *p, enum match_kind kind, struct slice text)
{
	struct match *m = match_new(p->tree, kind);

	m->text = match_text(p->tree, text);
	return m;
}

static struct match *copy_leaf(struct parser *p, const struct match *from, uint32_t fields)
{
	struct match *m = match_new(p->tree, MATCH_TEXT);

	m->text = from->text;
	m->prefix = from->prefix;
	m->fields = fields;
	return m;
}

/* ---- leaves ---- */

static enum rc stop_at_first(void *arg, const struct token *t)
{
	(void)t;
	*(bool *)arg = true;
	return RC_LIMIT;
}

static bool has_token(struct slice text)
{
	bool found = false;

	(void)!token_each(text, stop_at_first, &found);
	return found;
}

/* What would be an operator in capitals. */
static bool is_small_operator(const struct item *it)
{
	return it->kind == ITEM_WORD && !it->prefix &&
	       (slice_equal(it->text, slice_str("and")) || slice_equal(it->text, slice_str("or")) ||
	        slice_equal(it->text, slice_str("not")));
}

static struct match *text_leaf(struct parser *p, uint32_t fields, const struct item *it)
{
	struct slice text = it->text;
	struct match *m;

	while (text.len && text.at[0] == '*')
		text = slice_from(text, 1);
	if (!has_token(text)) {
		note(p, it->from, "\"%.*s\" has no letter or digit: ignored", SHOWN(it->text));
		return NULL;
	}
	/* *@d.example and *.pdf say nothing else than d.example and pdf. */
	if (slice_find_byte(text, '*') != SIZE_MAX ||
	    (text.len < it->text.len && text.at[0] != '@' && text.at[0] != '.'))
		note(p, it->from, "only a * at the end of a word or behind a quote is a wildcard");
	if (text.len > 2 && text.at[0] == '/' && text.at[text.len - 1] == '/')
		note(p, it->from, "regular expressions are not known: searched as words");
	if (is_small_operator(it))
		note(p, it->from,
		     "\"%.*s\" is searched as a word: operators are written in capitals",
		     SHOWN(text));
	m = with_text(p, MATCH_TEXT, text);
	m->fields = fields;
	m->prefix = it->prefix;
	return m;
}

static struct match *flag_leaf(struct parser *p, const struct word *field, struct slice text)
{
	struct match *m = match_new(p->tree, MATCH_FLAG);
	uint32_t flags = DOC_HAS_ATTACHMENT;
	bool yes = true;

	if (field->kind == WORD_HAS)
		p->failed = value_has(text, &flags, p->e);
	else
		p->failed = value_bool(text, &yes, p->e);
	m->number = flags;
	return yes ? m : negate(p, m);
}

static struct match *verdict_leaf(struct parser *p, const struct word *field, struct slice text)
{
	struct match *m = match_new(p->tree, MATCH_VERDICT);
	enum doc_verdict kind = (enum doc_verdict)field->fields;
	uint32_t bits;

	p->failed = value_verdict(text, &kind, &bits, p->e);
	m->number = kind;
	m->low = bits;
	return m;
}

static struct match *id_leaf(struct parser *p, const struct item *it)
{
	char id[ID_TEXT + 1];
	struct slice msgid = value_msgid(it->text);

	if (value_id(it->text, id))
		return with_text(p, MATCH_ID, slice_str(id));
	note(p, it->from, "\"%.*s\" is no id of this archive: taken as a Message-ID", SHOWN(msgid));
	return msgid.len ? with_text(p, MATCH_MSGID, msgid) : NULL;
}

static struct match *date_leaf(struct parser *p, enum word_kind kind, struct slice text,
                               enum compare op)
{
	int64_t low = INT64_MIN;
	int64_t high = INT64_MAX;
	int64_t now = p->env->now_ms;

	if (kind == WORD_AFTER)
		p->failed = value_date(text, now, &low, p->e);
	else if (kind == WORD_BEFORE)
		p->failed = value_date(text, now, &high, p->e);
	else if (kind == WORD_NEWER_THAN)
		p->failed = value_age(text, now, &low, p->e);
	else if (kind == WORD_OLDER_THAN)
		p->failed = value_age(text, now, &high, p->e);
	else
		p->failed = value_dates(text, op, now, &low, &high, p->e);
	return range(p, kind == WORD_SENT ? MATCH_SENT : MATCH_RECEIVED, low, high);
}

static struct match *size_leaf(struct parser *p, enum word_kind kind, const struct item *it,
                               enum compare op)
{
	int64_t low = 0;
	int64_t high = INT64_MAX;
	bool at_least = false;

	if (kind == WORD_LARGER)
		p->failed = value_size(it->text, &low, p->e);
	else if (kind == WORD_SMALLER)
		p->failed = value_size(it->text, &high, p->e);
	else
		p->failed = value_sizes(it->text, op, &low, &high, &at_least, p->e);
	if (at_least)
		note(p, it->from, "a single size means that many bytes or more; exact is size=%.*s",
		     SHOWN(it->text));
	return range(p, MATCH_BYTES, kind == WORD_LARGER ? low + 1 : low, high);
}

static struct match *typed_leaf(struct parser *p, const struct word *field, const struct item *it,
                                enum compare op)
{
	struct slice text = it->text;

	switch (field->kind) {
	case WORD_SIZE:
	case WORD_LARGER:
	case WORD_SMALLER:
		return size_leaf(p, field->kind, it, op);
	case WORD_HAS:
	case WORD_HAS_ATTACHMENT:
		return flag_leaf(p, field, text);
	case WORD_VERDICT:
		return verdict_leaf(p, field, text);
	case WORD_ID:
		return id_leaf(p, it);
	case WORD_MSGID:
		text = value_msgid(text);
		return text.len ? with_text(p, MATCH_MSGID, text) : NULL;
	case WORD_INGRESS:
		return with_text(p, MATCH_INGRESS, text);
	case WORD_IP:
		p->failed = value_ip(text, p->e);
		return with_text(p, MATCH_IP, text);
	case WORD_SHA256:
		p->failed = value_sha256(text, p->e);
		return with_text(p, MATCH_SHA256, text);
	default:
		return date_leaf(p, field->kind, text, op);
	}
}

/* The leaf of a word or phrase in `field` (NULL: all fields). */
static struct match *leaf(struct parser *p, const struct word *field, const struct item *it,
                          enum compare op)
{
	struct match *m;

	p->terms++;
	if (it->open_quote)
		note(p, it->from, "the quote is not closed: read to the end");
	if (it->unknown)
		note(p, it->from, "\"%.*s\" is no field: searched as text",
		     (int)MIN_OF(slice_find_byte(it->text, ':'), (size_t)60) + 1,
		     (const char *)it->text.at);
	if (!field || field->kind == WORD_TEXT)
		return text_leaf(p, field ? field->fields : FIELDS_ALL, it);
	m = typed_leaf(p, field, it, op);
	if (p->failed != RC_OK)
		p->failed = err_in(p->e, "column %zu, %s", column_of(p, it->from), field->name);
	return m;
}

/* ---- groups ---- */

static bool go_deeper(struct parser *p, size_t at)
{
	if (p->parens + p->braces < LIMIT_QUERY_DEPTH)
		return true;
	p->failed = err_set(p->e, RC_LIMIT, "column %zu: groups nest deeper than %d",
	                    column_of(p, at), LIMIT_QUERY_DEPTH);
	return false;
}

static struct match *paren_group(struct parser *p, const struct word *field)
{
	size_t at = p->item.from;
	struct match *m;

	if (!go_deeper(p, at))
		return NULL;
	p->parens++;
	advance(p);
	m = or_group(p, field);
	p->parens--;
	if (p->item.kind == ITEM_CLOSE)
		advance(p);
	else if (p->failed == RC_OK)
		note(p, at, "the parenthesis is not closed: it ends here");
	return m;
}

static bool brace_ends(const struct parser *p)
{
	return p->failed != RC_OK || p->item.kind == ITEM_BRACE_CLOSE || p->item.kind == ITEM_END ||
	       (p->item.kind == ITEM_CLOSE && p->parens);
}

/* One choice of a brace group: a term, or several with AND in between. */
static struct match *brace_choice(struct parser *p, const struct word *field)
{
	struct nodes both = { 0 };
	bool more = true;

	while (more && !brace_ends(p)) {
		nodes_join(&both, term(p, field), MATCH_AND);
		more = p->item.kind == ITEM_AND && p->failed == RC_OK;
		if (more)
			advance(p);
	}
	return nodes_close(p, &both, MATCH_AND);
}

/* { a b }: one of them (Gmail). An OR in between is fine. */
static struct match *brace_group(struct parser *p, const struct word *field)
{
	struct nodes list = { 0 };
	size_t at = p->item.from;

	if (!go_deeper(p, at))
		return NULL;
	p->braces++;
	advance(p);
	while (!brace_ends(p)) {
		size_t before = p->item.from;

		nodes_join(&list, brace_choice(p, field), MATCH_OR);
		if (p->item.from == before && !brace_ends(p))
			advance(p); /* OR, or a parenthesis that nothing opened */
	}
	p->braces--;
	if (p->item.kind == ITEM_BRACE_CLOSE)
		advance(p);
	else if (p->failed == RC_OK)
		note(p, at, "the brace is not closed: it ends here");
	return nodes_close(p, &list, MATCH_OR);
}

/* A field's name without a value: searched as what it is. */
static struct match *bare_field(struct parser *p, const struct word *outer, const struct item *it)
{
	note(p, it->from, "\"%.*s\" has no value: searched as text", SHOWN(it->text));
	struct item as_word = { .kind = ITEM_WORD, .from = it->from, .text = it->text };

	return leaf(p, outer && outer->kind == WORD_TEXT ? outer : NULL, &as_word, COMPARE_NONE);
}

/* field:value, field: value, field:"phrase", field:(a OR b) */
static struct match *field_term(struct parser *p, const struct word *outer)
{
	struct item name = p->item;
	struct item value;

	if (name.attached)
		p->item = lex_value(&p->lexer, name.field);
	else
		advance(p);
	value = p->item;
	switch (value.kind) {
	case ITEM_OPEN:
		return paren_group(p, name.field);
	case ITEM_BRACE_OPEN:
		return brace_group(p, name.field);
	case ITEM_PHRASE:
	case ITEM_WORD:
		if (value.text.len == 0 && name.field->kind != WORD_TEXT)
			break;
		value.unknown = false; /* subject: Re: is what it looks like */
		advance(p);
		return leaf(p, name.field, &value, name.op);
	case ITEM_ALL:
		advance(p);
		return leaf(p, name.field, &value, name.op);
	default:
		break;
	}
	if (name.attached || value.kind == ITEM_PHRASE)
		advance(p);
	return bare_field(p, outer, &name);
}

/* NULL without moving when no term begins here. */
static struct match *primary(struct parser *p, const struct word *field)
{
	struct item it = p->item;

	switch (it.kind) {
	case ITEM_OPEN:
		return paren_group(p, field);
	case ITEM_BRACE_OPEN:
		return brace_group(p, field);
	case ITEM_FIELD:
		return field_term(p, field);
	case ITEM_WORD:
	case ITEM_PHRASE:
		advance(p);
		return leaf(p, field, &it, COMPARE_NONE);
	case ITEM_ALL:
		advance(p);
		p->terms++;
		return match_new(p->tree, MATCH_ALL);
	default:
		return NULL;
	}
}

/* ---- NEAR ---- */

/* How many texts a side of NEAR stands for; 0 when it isn't made of texts. */
static size_t near_choices(const struct match *m)
{
	size_t n = 0;

	if (m->kind == MATCH_TEXT)
		return 1;
	if (m->kind != MATCH_OR)
		return 0;
	for (const struct match *c = m->child; c; c = c->next, n++)
		if (c->kind != MATCH_TEXT)
			return 0;
	return n;
}

static bool near_fits(const struct match *a, const struct match *b)
{
	const struct match *x = a->kind == MATCH_OR ? a->child : a;
	size_t n = near_choices(a);
	size_t k = near_choices(b);

	if (n == 0 || k == 0 || n > NEAR_CHOICE || k > NEAR_CHOICE || n * k > NEAR_CHOICE)
		return false;
	for (size_t i = 0; i < n; i++, x = x->next) {
		const struct match *y = b->kind == MATCH_OR ? b->child : b;

		for (size_t j = 0; j < k; j++, y = y->next)
			if ((x->fields & y->fields) == 0)
				return false;
	}
	return true;
}

/* a NEAR b of single texts, or one of them for each combination. Both sides are copied. */
static struct match *near_pair(struct parser *p, const struct match *a, const struct match *b,
                               uint64_t words)
{
	struct nodes any = { 0 };
	const struct match *x = a->kind == MATCH_OR ? a->child : a;

	for (size_t i = near_choices(a); i; i--, x = x->next) {
		const struct match *y = b->kind == MATCH_OR ? b->child : b;

		for (size_t j = near_choices(b); j; j--, y = y->next) {
			struct match *m = match_new(p->tree, MATCH_NEAR);
			uint32_t fields = x->fields & y->fields;

			m->number = words;
			m->fields = fields;
			m->child = copy_leaf(p, x, fields);
			m->child->next = copy_leaf(p, y, fields);
			nodes_add(&any, m);
		}
	}
	return nodes_close(p, &any, MATCH_OR);
}

static uint64_t near_words(struct parser *p)
{
	uint64_t words = p->item.number;

	if (words == NEAR_UNSAID)
		return QUERY_NEAR;
	if (words > NEAR_MOST)
		note(p, p->item.from, "more than %d words apart: taken as %d", NEAR_MOST,
		     NEAR_MOST);
	return MIN_OF(words, (uint64_t)NEAR_MOST);
}

/* a NEAR/5 b NEAR/5 c is (a NEAR/5 b) and (b NEAR/5 c). */
static struct match *near_chain(struct parser *p, const struct word *field)
{
	struct match *left = primary(p, field);
	struct nodes all = { 0 };
	bool left_in = false; /* `left` is in `all` already, by itself or in a pair */

	while (p->item.kind == ITEM_NEAR && p->failed == RC_OK) {
		size_t at = p->item.from;
		uint64_t words = near_words(p);
		struct match *right;

		advance(p);
		right = primary(p, field);
		if (!left || !right) {
			note(p, at, "NEAR wants a word or phrase on both sides: ignored");
			left = left ? left : right;
			continue;
		}
		if (near_fits(left, right)) {
			nodes_join(&all, near_pair(p, left, right, words), MATCH_AND);
			left_in = true;
		} else {
			note(p, at,
			     "NEAR stands between words or phrases of the same field: "
			     "taken as AND");
			if (!left_in)
				nodes_join(&all, left, MATCH_AND);
			left_in = false;
		}
		left = right;
	}
	if (!left_in)
		nodes_join(&all, left, MATCH_AND);
	return nodes_close(p, &all, MATCH_AND);
}

/* ---- AND, OR ---- */

/* Whether a group ends here. A closing mark that nothing opened is passed over. */
static bool group_ends(struct parser *p)
{
	for (;; advance(p)) {
		if (p->failed != RC_OK || p->item.kind == ITEM_END || p->item.kind == ITEM_OR)
			return true;
		if (p->item.kind != ITEM_CLOSE && p->item.kind != ITEM_BRACE_CLOSE)
			return false;
		if (p->item.kind == ITEM_CLOSE ? p->parens : p->braces)
			return true;
		note(p, p->item.from, "nothing is open to be closed here: ignored");
	}
}

static struct match *term(struct parser *p, const struct word *field)
{
	bool negative = false;
	size_t at = p->item.from;
	size_t before = p->terms;
	struct match *m;

	for (; p->item.kind == ITEM_NOT; advance(p))
		negative = !negative;
	m = near_chain(p, field);
	if (p->terms == before && at != p->item.from && !m && p->item.kind != ITEM_NEAR)
		note(p, at, "nothing to search for follows here: ignored");
	return negative ? negate(p, m) : m;
}

/* Terms side by side. *terms counts those that something could be searched by. */
static struct match *and_group(struct parser *p, const struct word *field, size_t *terms)
{
	struct nodes list = { 0 };
	bool joined = true; /* an AND here has nothing to its left */
	size_t at = p->item.from;

	*terms = 0;
	while (!group_ends(p)) {
		if (p->item.kind == ITEM_AND) {
			if (joined)
				note(p, p->item.from, "AND has nothing on its left: ignored");
			at = p->item.from;
			joined = true;
			advance(p);
			continue;
		}
		struct match *m = term(p, field);

		joined = false;
		*terms += m != NULL;
		nodes_join(&list, m, MATCH_AND);
	}
	if (joined && list.first && p->failed == RC_OK)
		note(p, at, "AND has nothing on its right: ignored");
	return nodes_close(p, &list, MATCH_AND);
}

static struct match *or_group(struct parser *p, const struct word *field)
{
	struct nodes list = { 0 };
	size_t terms;
	size_t most = 0;
	size_t at = p->item.from;
	bool any = false;

	for (;;) {
		size_t before = p->terms;

		nodes_join(&list, and_group(p, field, &terms), MATCH_OR);
		most = MAX_OF(most, terms);
		if (p->failed == RC_OK && p->terms == before && (any || p->item.kind == ITEM_OR))
			note(p, at, "OR has nothing on one side: ignored");
		if (p->item.kind != ITEM_OR || p->failed != RC_OK)
			break;
		any = true;
		at = p->item.from;
		advance(p);
	}
	if (any && most > 1 && !p->mixed && p->failed == RC_OK) {
		note(p, at, "AND binds before OR: a b OR c is (a b) OR c");
		p->mixed = true;
	}
	return nodes_close(p, &list, MATCH_OR);
}

/* ---- the whole ---- */

/* Nodes from here to the deepest leaf. The canonical text has fewer parentheses in one another. */
static unsigned depth_of(const struct match *m)
{
	unsigned deepest = 0;

	for (const struct match *c = m->child; c; c = c->next) {
		unsigned d = depth_of(c);

		deepest = MAX_OF(deepest, d);
	}
	return deepest + 1;
}

static enum rc parse_clean(struct parser *p, struct match **out)
{
	struct match *m;
	bool blank;

	advance(p);
	blank = p->item.kind == ITEM_END;
	m = or_group(p, NULL);
	if (p->failed != RC_OK)
		return p->failed;
	if (!m && !blank)
		note(p, 0, "nothing to search for is left: no message matches");
	*out = m ? m : match_new(p->tree, blank ? MATCH_ALL : MATCH_NONE);
	if (depth_of(*out) > LIMIT_QUERY_DEPTH)
		return err_set(p->e, RC_LIMIT, "the query nests deeper than %d levels",
		               LIMIT_QUERY_DEPTH);
	return RC_OK;
}

enum rc query_parse(struct match_tree *t, struct slice text, const struct query_env *env,
                    struct match **out, struct query_notes *notes, struct err *e)
{
	struct parser p = { .tree = t, .env = env, .notes = notes, .e = e };
	struct buf clean;
	enum rc rc;

	*out = NULL;
	if (notes)
		*notes = (struct query_notes) { 0 };
	if (text.len > LIMIT_QUERY_TEXT)
		return err_set(e, RC_LIMIT, "the query has %zu bytes, the limit is %d", text.len,
		               LIMIT_QUERY_TEXT);
	buf_init(&clean, 3 * (size_t)LIMIT_QUERY_TEXT + 1);
	rc = text_clean(text, &clean);
	if (rc == RC_OK) {
		p.lexer.text = buf_slice(&clean);
		rc = parse_clean(&p, out);
	}
	buf_free(&clean);
	return rc;
}
