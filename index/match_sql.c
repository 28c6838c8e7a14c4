#include "index/match_sql.h"

#include <limits.h>
#include <stdlib.h>

#include "base/cidr.h"
#include "base/codec.h"
#include "base/limits.h"
#include "index/doc_verdict.h"
#include "index/match_words.h"
#include "index/shard.h"

#define FTS_DEPTH 16 /* of parentheses; FTS5's parser has a stack of 100 */
#define SQL_DEPTH 20 /* likewise SQLite's: what is deeper becomes a table of its own */
#define SQL_BYTES (16u << 20)
#define MOST_MS   ((INT64_C(1) << 42) - 1) /* what an id can tell */

enum kind { PLAN_ALL, PLAN_NONE, PLAN_WORDS, PLAN_ROW, PLAN_PLACE, PLAN_AND, PLAN_OR, PLAN_NOT };

struct parameter {
	enum { PARAMETER_INT, PARAMETER_TEXT, PARAMETER_BLOB } kind;
	int64_t number;
	struct slice bytes;
};

/* PLAN_WORDS: `text` is an FTS5 expression. PLAN_ROW: SQL, where ? stands for the next of
 * `parameter` and ! for the same again. PLAN_PLACE: places from the first parameter to before the
 * second. */
struct node {
	enum kind kind;
	struct slice text;
	struct parameter parameter[3];
	unsigned depth; /* of parentheses in an FTS5 expression */
	struct node *child;
	struct node *next;
	struct node *all; /* of the plan, to free */
};

struct match_plan {
	struct match_tree *texts;
	struct node *all;
	struct node *root;
	unsigned leaves;
};

static struct node *node_new(struct match_plan *p, enum kind kind)
{
	struct node *n = mem_new(sizeof(*n));

	n->kind = kind;
	n->all = p->all;
	p->all = n;
	return n;
}

static void parameter_int(struct node *n, unsigned i, int64_t v)
{
	n->parameter[i] = (struct parameter) { PARAMETER_INT, v, { NULL, 0 } };
}

static void parameter_text(struct match_plan *p, struct node *n, unsigned i, struct slice text)
{
	n->parameter[i] = (struct parameter) { PARAMETER_TEXT, 0, match_text(p->texts, text) };
}

static void parameter_blob(struct match_plan *p, struct node *n, unsigned i, const void *at,
                           size_t len)
{
	struct slice bytes = slice_of(at, len);

	n->parameter[i] = (struct parameter) { PARAMETER_BLOB, 0, match_text(p->texts, bytes) };
}

static struct node *row(struct match_plan *p, const char *sql)
{
	struct node *n = node_new(p, PLAN_ROW);

	n->text = slice_str(sql);
	return n;
}

/* ---- leaves ---- */

static struct node *leaf_received(struct match_plan *p, const struct match *m)
{
	int64_t low = MAX_OF(m->low, INT64_C(0));
	struct message_id id;
	struct node *n;

	if (low >= m->high || low > MOST_MS)
		return node_new(p, PLAN_NONE);
	n = node_new(p, PLAN_PLACE);
	id = id_floor(low);
	parameter_int(n, 0, id_rowid(&id));
	id = id_floor(MIN_OF(m->high, MOST_MS));
	parameter_int(n, 1, m->high > MOST_MS ? INT64_MAX : id_rowid(&id));
	return n;
}

static struct node *leaf_range(struct match_plan *p, const struct match *m, const char *sql)
{
	struct node *n;

	if (m->low >= m->high)
		return node_new(p, PLAN_NONE);
	n = row(p, sql);
	parameter_int(n, 0, m->low);
	parameter_int(n, 1, m->high);
	return n;
}

static struct node *leaf_id(struct match_plan *p, const struct match *m)
{
	struct message_id id;
	struct node *n;

	if (!id_parse(&id, m->text))
		return node_new(p, PLAN_NONE);
	n = row(p, "(m.at >= ? AND m.at <= ? AND m.id = ?)");
	parameter_int(n, 0, shard_lowest_place(&id));
	parameter_int(n, 1, shard_highest_place(&id));
	parameter_blob(p, n, 2, id.b, ID_BYTES);
	return n;
}

static struct node *leaf_text(struct match_plan *p, struct slice text, const char *sql)
{
	struct node *n = row(p, sql);

	parameter_text(p, n, 0, text);
	return n;
}

static struct node *leaf_msgid(struct match_plan *p, struct slice text)
{
	text = slice_trim(text);
	if (text.len && text.at[0] == '<')
		text = slice_from(text, 1);
	if (text.len && text.at[text.len - 1] == '>')
		text.len--;
	return leaf_text(p, text,
	                 "(mm_hash(m.message_id) = mm_hash(?) AND m.message_id = ! COLLATE "
	                 "NOCASE)");
}

static struct node *leaf_ip(struct match_plan *p, struct slice text)
{
	struct cidr net;

	if (!cidr_parse(&net, text, true))
		return node_new(p, PLAN_NONE);
	return leaf_text(p, text, "mm_in_net(m.ip, ?)");
}

static struct node *leaf_sha256(struct match_plan *p, struct slice text)
{
	uint8_t hash[32];
	struct node *n;

	if (!hex_decode(hash, sizeof(hash), text))
		return node_new(p, PLAN_NONE);
	n = row(p, "(m.sha256 = ?)");
	parameter_blob(p, n, 0, hash, sizeof(hash));
	return n;
}

/* The columns of `message` that hold a field as text. */
static const char *row_column(enum doc_field f)
{
	return f == DOC_BODY || f == DOC_ATTACHMENT || f == DOC_HEADERS ? NULL : shard_columns[f];
}

static enum rc leaf_contains(struct match_plan *p, const struct match *m, struct node **out)
{
	struct buf sql;
	enum rc rc = RC_OK;

	buf_init(&sql, 4096);
	for (int f = 0; f < DOC_FIELDS && rc == RC_OK; f++) {
		const char *column = row_column((enum doc_field)f);

		if (!(m->fields & FIELD_BIT(f)) || !column)
			continue;
		rc = buf_addf(&sql, "%smm_contains(m.\"%s\", %s)", sql.len ? " OR " : "(", column,
		              sql.len ? "!" : "?");
	}
	if (rc == RC_OK && sql.len)
		rc = buf_add_str(&sql, ")");
	*out = node_new(p, sql.len ? PLAN_ROW : PLAN_NONE);
	(*out)->text = match_text(p->texts, buf_slice(&sql));
	parameter_text(p, *out, 0, m->text);
	buf_free(&sql);
	return rc;
}

static enum rc leaf_words(struct match_plan *p, const struct match *m, struct node **out,
                          struct err *e)
{
	struct buf b;
	enum rc rc;

	buf_init(&b, SQL_BYTES);
	rc = m->kind == MATCH_TEXT ? words_of_text(&b, m, e) : words_of_near(&b, m, e);
	*out = node_new(p, b.len ? PLAN_WORDS : PLAN_NONE);
	(*out)->text = match_text(p->texts, buf_slice(&b));
	buf_free(&b);
	return rc;
}

static enum rc leaf(struct match_plan *p, const struct match *m, struct node **out, struct err *e)
{
	if (++p->leaves > MATCH_LEAVES)
		return err_set(e, RC_LIMIT, "a query has at most %d conditions", MATCH_LEAVES);
	switch (m->kind) {
	case MATCH_TEXT:
	case MATCH_NEAR:
		return leaf_words(p, m, out, e);
	case MATCH_CONTAINS:
		return leaf_contains(p, m, out);
	case MATCH_RECEIVED:
		*out = leaf_received(p, m);
		return RC_OK;
	case MATCH_SENT:
		*out = leaf_range(p, m,
		                  "(m.sent_ms IS NOT NULL AND m.sent_ms >= ? AND m.sent_ms < ?)");
		return RC_OK;
	case MATCH_BYTES:
		*out = leaf_range(p, m, "(m.bytes >= ? AND m.bytes < ?)");
		return RC_OK;
	case MATCH_FLAG:
		*out = row(p, "((m.flags & ?) <> 0)");
		parameter_int(*out, 0, (int64_t)m->number);
		return RC_OK;
	case MATCH_VERDICT:
		*out = row(p, "((m.flags & ?) = ?)");
		parameter_int(*out, 0, doc_verdict_mask((enum doc_verdict)m->number));
		parameter_int(*out, 1, m->low);
		return RC_OK;
	case MATCH_ID:
		*out = leaf_id(p, m);
		return RC_OK;
	case MATCH_MSGID:
		*out = leaf_msgid(p, m->text);
		return RC_OK;
	case MATCH_INGRESS:
		*out = leaf_text(p, m->text, "(m.ingress = ? COLLATE NOCASE)");
		return RC_OK;
	case MATCH_IP:
		*out = leaf_ip(p, m->text);
		return RC_OK;
	case MATCH_SHA256:
		*out = leaf_sha256(p, m->text);
		return RC_OK;
	default:
		*out = node_new(p, m->kind == MATCH_ALL ? PLAN_ALL : PLAN_NONE);
		return RC_OK;
	}
}

/* ---- simplification ---- */

static void append(struct node ***tail, struct node *n)
{
	n->next = NULL;
	**tail = n;
	*tail = &n->next;
}

/* Children into one list: constants that decide or say nothing are dropped, a child of the parent's
 * own kind gives its children. False: the whole is decided (AND with none, OR with all). */
static bool gather(struct node *list, enum kind kind, struct node **out)
{
	enum kind neutral = kind == PLAN_AND ? PLAN_ALL : PLAN_NONE;
	enum kind decides = kind == PLAN_AND ? PLAN_NONE : PLAN_ALL;
	struct node **tail = out;

	*out = NULL;
	for (struct node *n = list, *next; n; n = next) {
		next = n->next;
		if (n->kind == decides)
			return false;
		if (n->kind == neutral)
			continue;
		if (n->kind != kind) {
			append(&tail, n);
			continue;
		}
		for (struct node *c = n->child, *after; c; c = after) {
			after = c->next;
			append(&tail, c);
		}
	}
	return true;
}

static bool is_words(const struct node *n)
{
	return n->kind == PLAN_WORDS && n->depth + 2 <= FTS_DEPTH;
}

static bool is_not_words(const struct node *n)
{
	return n->kind == PLAN_NOT && is_words(n->child);
}

static unsigned count_of(const struct node *list, bool (*which)(const struct node *))
{
	unsigned count = 0;

	for (const struct node *n = list; n; n = n->next)
		count += which(n);
	return count;
}

/* "(a AND b)" of those of a list; one alone stays as it is, of none there is none. */
static enum rc join(struct match_plan *p, const struct node *list,
                    bool (*which)(const struct node *), const char *with, struct node **out)
{
	unsigned count = count_of(list, which);
	struct node *joined = node_new(p, PLAN_WORDS);
	bool first = true;
	struct buf b;
	enum rc rc;

	*out = count ? joined : NULL;
	buf_init(&b, SQL_BYTES);
	rc = buf_add_str(&b, count > 1 ? "(" : "");
	for (const struct node *n = list; n && rc == RC_OK; n = n->next) {
		const struct node *words = n->kind == PLAN_NOT ? n->child : n;

		if (!which(n))
			continue;
		rc = buf_add_str(&b, first ? "" : with);
		first = false;
		joined->depth = MAX_OF(joined->depth, words->depth + (count > 1));
		if (rc == RC_OK)
			rc = buf_add(&b, words->text);
	}
	if (rc == RC_OK)
		rc = buf_add_str(&b, count > 1 ? ")" : "");
	joined->text = match_text(p->texts, buf_slice(&b));
	buf_free(&b);
	return rc;
}

/* "(words NOT without)" in `words`. */
static enum rc take_without(struct match_plan *p, struct node *words, const struct node *without)
{
	struct buf b;
	enum rc rc;

	buf_init(&b, SQL_BYTES);
	rc = buf_addf(&b, "(%.*s NOT ", (int)words->text.len, (const char *)words->text.at);
	if (rc == RC_OK)
		rc = buf_addf(&b, "%.*s)", (int)without->text.len, (const char *)without->text.at);
	words->text = match_text(p->texts, buf_slice(&b));
	words->depth = 1 + MAX_OF(words->depth, without->depth);
	buf_free(&b);
	return rc;
}

/* One FTS5 expression for all children that are words, and one for all that are NOT words; in an
 * AND the two are one. */
static enum rc merge_words(struct match_plan *p, enum kind kind, struct node **list)
{
	bool all = kind == PLAN_AND;
	struct node *words, *without, *rest;
	struct node **tail = &rest;
	enum rc rc = join(p, *list, is_words, all ? " AND " : " OR ", &words);

	if (rc == RC_OK)
		rc = join(p, *list, is_not_words, all ? " OR " : " AND ", &without);
	if (rc != RC_OK)
		return rc;
	if (words)
		append(&tail, words);
	if (words && without && all) {
		rc = take_without(p, words, without);
	} else if (without) {
		struct node *not = node_new(p, PLAN_NOT);

		not ->child = without;
		append(&tail, not );
	}
	for (struct node *n = *list, *next; n; n = next) {
		next = n->next;
		if (!is_words(n) && !is_not_words(n))
			append(&tail, n);
	}
	*tail = NULL;
	*list = rest;
	return rc;
}

static enum rc build(struct match_plan *p, const struct match *m, unsigned depth, struct node **out,
                     struct err *e);

static enum rc build_list(struct match_plan *p, const struct match *m, unsigned depth,
                          struct node **out, struct err *e)
{
	enum kind kind = m->kind == MATCH_AND ? PLAN_AND : PLAN_OR;
	struct node *children = NULL;
	struct node **tail = &children;
	struct node *n;
	enum rc rc = RC_OK;

	for (const struct match *c = m->child; c && rc == RC_OK; c = c->next) {
		rc = build(p, c, depth + 1, &n, e);
		if (rc == RC_OK)
			append(&tail, n);
	}
	if (rc != RC_OK)
		return rc;
	if (!gather(children, kind, &n)) {
		*out = node_new(p, kind == PLAN_AND ? PLAN_NONE : PLAN_ALL);
		return RC_OK;
	}
	if (n && merge_words(p, kind, &n) != RC_OK)
		return err_set(e, RC_LIMIT, "the query is too long");
	if (n && !n->next) {
		*out = n;
		return RC_OK;
	}
	*out = node_new(p, n ? kind : kind == PLAN_AND ? PLAN_ALL : PLAN_NONE);
	(*out)->child = n;
	return RC_OK;
}

static enum rc build_not(struct match_plan *p, const struct match *m, unsigned depth,
                         struct node **out, struct err *e)
{
	struct node *n;
	enum rc rc;

	if (!m->child)
		return err_set(e, RC_INVALID, "NOT of nothing");
	rc = build(p, m->child, depth + 1, &n, e);
	if (rc != RC_OK)
		return rc;
	if (n->kind == PLAN_NOT) {
		*out = n->child;
		return RC_OK;
	}
	*out = node_new(p, n->kind == PLAN_ALL    ? PLAN_NONE
	                   : n->kind == PLAN_NONE ? PLAN_ALL
	                                          : PLAN_NOT);
	(*out)->child = n;
	return RC_OK;
}

static enum rc build(struct match_plan *p, const struct match *m, unsigned depth, struct node **out,
                     struct err *e)
{
	if (depth > LIMIT_QUERY_DEPTH)
		return err_set(e, RC_LIMIT, "the query is nested deeper than %d",
		               LIMIT_QUERY_DEPTH);
	if (m->kind == MATCH_AND || m->kind == MATCH_OR)
		return build_list(p, m, depth, out, e);
	if (m->kind == MATCH_NOT)
		return build_not(p, m, depth, out, e);
	return leaf(p, m, out, e);
}

/* Expressions of FTS5 in the whole. */
static unsigned lists_of(const struct node *n)
{
	unsigned count = n->kind == PLAN_WORDS;

	for (const struct node *c = n->child; c; c = c->next)
		count += lists_of(c);
	return count;
}

enum rc match_plan_make(struct match_plan **out, const struct match *m, struct err *e)
{
	struct match_plan *p = mem_new(sizeof(*p));
	enum rc rc;

	p->texts = match_tree_new();
	rc = build(p, m, 0, &p->root, e);
	if (rc == RC_OK && lists_of(p->root) > MATCH_LISTS)
		rc = err_set(e, RC_LIMIT,
		             "a query has at most %d groups of words that stand apart, beside "
		             "other conditions; this one has %u: ask for parts of it",
		             MATCH_LISTS, lists_of(p->root));
	if (rc != RC_OK)
		match_plan_free(&p);
	*out = p;
	return rc;
}

void match_plan_free(struct match_plan **p)
{
	struct node *n;

	if (!*p)
		return;
	while ((n = (*p)->all) != NULL) {
		(*p)->all = n->all;
		free(n);
	}
	match_tree_free(&(*p)->texts);
	free(*p);
	*p = NULL;
}

bool match_plan_is_none(const struct match_plan *p)
{
	return p->root->kind == PLAN_NONE;
}

/* ---- SQL ---- */

struct sql {
	struct buf with; /* tables for what is nested deep, the innermost first */
	struct buf text;
	unsigned tables;
	const struct parameter **bound;
	unsigned count;
	bool ordered;              /* the shard's numbers are in the order of places */
	const struct node *driver; /* the words that the FTS5 table itself runs, or NULL */
	enum rc rc;
};

static void put(struct sql *s, struct buf *b, const char *text)
{
	if (s->rc == RC_OK)
		s->rc = buf_add_str(b, text);
}

static void put_parameter(struct sql *s, struct buf *b, const struct parameter *x)
{
	s->bound = mem_resize(s->bound, (s->count + 1) * sizeof(*s->bound));
	s->bound[s->count++] = x;
	if (s->rc == RC_OK)
		s->rc = buf_addf(b, "?%u", s->count);
}

static void put_row(struct sql *s, struct buf *b, const struct node *n)
{
	unsigned used = 0;

	for (size_t i = 0; i < n->text.len && s->rc == RC_OK; i++) {
		uint8_t c = n->text.at[i];

		if (c == '?')
			put_parameter(s, b, &n->parameter[used++]);
		else if (c == '!')
			s->rc = buf_addf(b, "?%u", s->count);
		else
			s->rc = buf_add_byte(b, c);
	}
}

static void put_bound(struct sql *s, struct buf *b, const struct parameter *x)
{
	put(s, b, "ifnull((SELECT n FROM message WHERE at >= ");
	put_parameter(s, b, x);
	put(s, b, " ORDER BY at LIMIT 1), 9223372036854775807)");
}

/* Numbers are what FTS5 can stop at. */
static void put_places(struct sql *s, struct buf *b, const struct node *n, const char *rowid)
{
	put(s, b, "(");
	put(s, b, s->ordered ? rowid : "m.at");
	put(s, b, " >= ");
	(s->ordered ? put_bound : put_parameter)(s, b, &n->parameter[0]);
	put(s, b, " AND ");
	put(s, b, s->ordered ? rowid : "m.at");
	put(s, b, " < ");
	(s->ordered ? put_bound : put_parameter)(s, b, &n->parameter[1]);
	put(s, b, ")");
}

static struct parameter words_parameter(const struct node *n)
{
	return (struct parameter) { PARAMETER_TEXT, 0, n->text };
}

static void put_words(struct sql *s, struct buf *b, struct node *n, const char *rowid)
{
	n->parameter[0] = words_parameter(n);
	put(s, b, rowid);
	put(s, b, " IN (SELECT rowid FROM fts WHERE fts MATCH ");
	put_parameter(s, b, &n->parameter[0]);
	put(s, b, ")");
}

static void put_node(struct sql *s, struct buf *b, struct node *n, const char *rowid,
                     unsigned depth);

/* `count` children from `n` on, halved so that the expression's depth grows with the logarithm. */
static void put_list(struct sql *s, struct buf *b, struct node *n, unsigned count, const char *with,
                     const char *rowid, unsigned depth)
{
	struct node *second = n;

	if (count == 1) {
		put_node(s, b, n, rowid, depth);
		return;
	}
	for (unsigned i = 0; i < count / 2; i++)
		second = second->next;
	put(s, b, "(");
	put_list(s, b, n, count / 2, with, rowid, depth + 1);
	put(s, b, with);
	put_list(s, b, second, count - count / 2, with, rowid, depth + 1);
	put(s, b, ")");
}

static unsigned children(const struct node *n)
{
	unsigned count = 0;

	for (const struct node *c = n->child; c; c = c->next)
		count++;
	return count;
}

static void put_branch(struct sql *s, struct buf *b, struct node *n, const char *rowid,
                       unsigned depth)
{
	if (n->kind != PLAN_NOT) {
		put_list(s, b, n->child, children(n), n->kind == PLAN_AND ? " AND " : " OR ", rowid,
		         depth);
		return;
	}
	put(s, b, "NOT (");
	put_node(s, b, n->child, rowid, depth + 1);
	put(s, b, ")");
}

static void put_table(struct sql *s, struct buf *b, struct node *n, const char *rowid)
{
	struct buf inner;
	unsigned number;

	buf_init(&inner, SQL_BYTES);
	put_branch(s, &inner, n, "m.n", 0);
	number = ++s->tables;
	if (s->rc == RC_OK)
		s->rc = buf_addf(&s->with,
		                 "%st%u(n) AS MATERIALIZED (SELECT m.n FROM message m WHERE ",
		                 s->with.len ? ", " : "WITH ", number);
	if (s->rc == RC_OK)
		s->rc = buf_add(&s->with, buf_slice(&inner));
	put(s, &s->with, ")");
	buf_free(&inner);
	put(s, b, rowid);
	if (s->rc == RC_OK)
		s->rc = buf_addf(b, " IN (SELECT n FROM t%u)", number);
}

static void put_node(struct sql *s, struct buf *b, struct node *n, const char *rowid,
                     unsigned depth)
{
	switch (n->kind) {
	case PLAN_ALL:
		put(s, b, "1");
		break;
	case PLAN_NONE:
		put(s, b, "0");
		break;
	case PLAN_WORDS:
		put_words(s, b, n, rowid);
		break;
	case PLAN_ROW:
		put_row(s, b, n);
		break;
	case PLAN_PLACE:
		put_places(s, b, n, rowid);
		break;
	default:
		if (depth > SQL_DEPTH)
			put_table(s, b, n, rowid);
		else
			put_branch(s, b, n, rowid, depth);
	}
}

static bool needs_row(const struct sql *s, const struct node *n)
{
	if (n->kind == PLAN_ROW || (n->kind == PLAN_PLACE && !s->ordered))
		return true;
	for (const struct node *c = n->child; c; c = c->next)
		if (needs_row(s, c))
			return true;
	return false;
}

/* FROM and WHERE. `row`: columns of `message` are wanted. `drive`: words may drive. */
static void put_from(struct sql *s, struct match_plan *p, bool row, bool drive)
{
	struct node *root = p->root;
	struct node *words = root->kind == PLAN_AND ? root->child : root;
	bool join = row;

	while (words && words->kind != PLAN_WORDS)
		words = root->kind == PLAN_AND ? words->next : NULL;
	if (!words || !drive) {
		put(s, &s->text, " FROM message m WHERE ");
		/* The plus: not row by row of what is found, but along the places. */
		put_node(s, &s->text, root, drive ? "m.n" : "+m.n", 0);
		return;
	}
	for (struct node *n = root->kind == PLAN_AND ? root->child : NULL; n; n = n->next)
		join = join || (n != words && needs_row(s, n));
	s->driver = words;
	put(s, &s->text, " FROM fts");
	if (join)
		put(s, &s->text, " CROSS JOIN message m ON m.n = fts.rowid");
	put(s, &s->text, " WHERE fts MATCH ");
	words->parameter[0] = words_parameter(words);
	put_parameter(s, &s->text, &words->parameter[0]);
	for (struct node *n = root->kind == PLAN_AND ? root->child : NULL; n; n = n->next) {
		if (n == words)
			continue;
		put(s, &s->text, " AND ");
		/* The plus keeps SQLite from looking rows up by it, for which it would run the
		 * MATCH anew or not at all; a range of receipt alone is what FTS5 itself can stop
		 * at. */
		put_node(s, &s->text, n, n->kind == PLAN_PLACE ? "fts.rowid" : "+fts.rowid", 1);
	}
}

static const char *key_of(enum index_sort sort, bool driven)
{
	switch (sort) {
	case SORT_SENT_DOWN:
		return "ifnull(m.sent_ms, -9223372036854775807)";
	case SORT_SENT_UP:
		return "ifnull(m.sent_ms, 9223372036854775807)";
	case SORT_BYTES_DOWN:
	case SORT_BYTES_UP:
		return "m.bytes";
	case SORT_RANK: /* smaller is better; a whole number serves the merge as well */
		return driven ? "CAST(bm25(fts) * 1000000 AS INTEGER)" : "0";
	default:
		return "0";
	}
}

static void put_order(struct sql *s, enum index_sort sort)
{
	bool up = sort == SORT_RECEIVED_UP || sort == SORT_SENT_UP || sort == SORT_BYTES_UP;
	bool key = sort != SORT_RECEIVED_UP && sort != SORT_RECEIVED_DOWN;

	put(s, &s->text, " ORDER BY ");
	if (key)
		put(s, &s->text, up || sort == SORT_RANK ? "2, " : "2 DESC, ");
	put(s, &s->text, s->ordered ? "1" : "m.at");
	put(s, &s->text, up ? "" : " DESC");
}

int match_order(enum index_sort sort, int64_t key_a, int64_t at_a, int64_t key_b, int64_t at_b)
{
	int key = (key_a > key_b) - (key_a < key_b);
	int at = (at_a > at_b) - (at_a < at_b);

	switch (sort) {
	case SORT_RECEIVED_UP:
	case SORT_SENT_UP:
	case SORT_BYTES_UP:
		return key ? key : at;
	case SORT_RANK:
		return key ? key : -at;
	default:
		return key ? -key : -at;
	}
}

static void sql_begin(struct sql *s, bool ordered)
{
	*s = (struct sql) { .ordered = ordered, .rc = RC_OK };
	buf_init(&s->with, SQL_BYTES);
	buf_init(&s->text, SQL_BYTES);
}

static void sql_end(struct sql *s)
{
	buf_free(&s->with);
	buf_free(&s->text);
	free(s->bound);
}

static void sql_bind(const struct sql *s, struct stmt *stmt)
{
	for (unsigned i = 0; i < s->count; i++) {
		const struct parameter *x = s->bound[i];

		if (x->kind == PARAMETER_INT)
			stmt_bind_int(stmt, (int)i + 1, x->number);
		else if (x->kind == PARAMETER_TEXT)
			stmt_bind_text(stmt, (int)i + 1, x->bytes);
		else
			stmt_bind_blob(stmt, (int)i + 1, x->bytes);
	}
}

static enum rc sql_prepare(struct sql *s, struct db *db, struct stmt **out, struct err *e)
{
	enum rc rc = s->rc;

	if (rc == RC_OK)
		rc = buf_add(&s->with, buf_slice(&s->text));
	if (rc != RC_OK)
		return err_set(e, RC_LIMIT, "the query is too long");
	rc = db_prepare(db, out, buf_text(&s->with), e);
	if (rc == RC_OK)
		sql_bind(s, *out);
	return rc;
}

enum rc match_plan_count(struct match_plan *p, struct conn *c, struct stmt **out, struct err *e)
{
	struct sql s;
	bool ordered;
	enum rc rc = conn_ordered(c, &ordered, e);

	if (rc != RC_OK)
		return rc;
	sql_begin(&s, ordered);
	put(&s, &s.text, " SELECT count(*)");
	put_from(&s, p, false, true);
	rc = sql_prepare(&s, conn_db(c), out, e);
	sql_end(&s);
	return rc;
}

/* The select list needs to know what drives, and that is decided while FROM is written. */
static void put_select(struct sql *s, struct match_plan *p, enum index_sort sort)
{
	bool received = sort == SORT_RECEIVED_DOWN || sort == SORT_RECEIVED_UP;
	bool row = !s->ordered || (!received && sort != SORT_RANK);
	struct buf from;

	put_from(s, p, row, s->ordered || !received);
	from = s->text;
	buf_init(&s->text, SQL_BYTES);
	put(s, &s->text, s->driver ? " SELECT fts.rowid, " : " SELECT m.n, ");
	put(s, &s->text, key_of(sort, s->driver != NULL));
	if (s->rc == RC_OK)
		s->rc = buf_add(&s->text, buf_slice(&from));
	buf_free(&from);
	put_order(s, sort);
}

enum rc match_plan_select(struct match_plan *p, struct conn *c, enum index_sort sort,
                          uint64_t limit, struct stmt **out, struct err *e)
{
	struct sql s;
	bool ordered;
	enum rc rc = conn_ordered(c, &ordered, e);

	if (rc != RC_OK)
		return rc;
	sql_begin(&s, ordered);
	put_select(&s, p, sort);
	if (limit && s.rc == RC_OK)
		s.rc = buf_addf(&s.text, " LIMIT %llu",
		                (unsigned long long)MIN_OF(limit, (uint64_t)INT64_MAX));
	rc = sql_prepare(&s, conn_db(c), out, e);
	sql_end(&s);
	return rc;
}

static enum rc explain_parameter(struct buf *out, unsigned number, const struct parameter *x)
{
	char hex[65];

	if (x->kind == PARAMETER_INT)
		return buf_addf(out, "  ?%u = %lld\n", number, (long long)x->number);
	if (x->kind == PARAMETER_TEXT)
		return buf_addf(out, "  ?%u = %.*s\n", number, (int)x->bytes.len,
		                (const char *)x->bytes.at);
	hex_encode(hex, x->bytes.at, MIN_OF(x->bytes.len, (size_t)32));
	return buf_addf(out, "  ?%u = x'%s'\n", number, hex);
}

enum rc match_plan_explain(struct match_plan *p, struct buf *out)
{
	struct sql s;
	enum rc rc;

	sql_begin(&s, true);
	put_select(&s, p, SORT_RECEIVED_DOWN);
	rc = s.rc;
	if (rc == RC_OK)
		rc = buf_addf(out, "%s%s\n", buf_text(&s.with), buf_text(&s.text));
	for (unsigned i = 0; rc == RC_OK && i < s.count; i++)
		rc = explain_parameter(out, i + 1, s.bound[i]);
	sql_end(&s);
	return rc;
}
