#include "tests/unit/index/place.h"

#include <unistd.h>

#include "index/doc_verdict.h"
#include "index/token.h"

/*
 * Random queries over generated documents, against a matcher that knows nothing of engines: it
 * keeps the words of each field in an array. Its tokens come from token_each, which test_token.c
 * tests.
 */

#define DOCS  320
#define WORDS 64

struct field_words {
	unsigned count;
	char word[WORDS][TOKEN_MAX + 1]; /* one a position */
	char pair[WORDS][16];
	char address[WORDS][TOKEN_MAX + 1];
};

struct doc {
	struct message_id id;
	int64_t received, sent;
	uint64_t bytes;
	uint32_t flags;
	char text[DOC_FIELDS][400];
	char message_id[40];
	const char *ip;
	const char *ingress;
	uint8_t sha256[32];
	struct field_words words[DOC_FIELDS];
};

static struct doc docs[DOCS];
static unsigned seed;

static unsigned dice(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static const char *const vocabulary[] = { "alpha",
	                                  "beta",
	                                  "gamma",
	                                  "Straße",
	                                  "strasse",
	                                  "東京都",
	                                  "京都",
	                                  "検索",
	                                  "ภาษา",
	                                  "año",
	                                  "anos",
	                                  "C++",
	                                  "e-mail",
	                                  "mail",
	                                  "INV-7",
	                                  "7",
	                                  "an",
	                                  "and",
	                                  "or",
	                                  "not",
	                                  "near",
	                                  "NEAR",
	                                  "\"x\"",
	                                  "(y)",
	                                  "foo@b.example",
	                                  "ann@b.example",
	                                  "b.example",
	                                  "x.b.example",
	                                  "*",
	                                  "alphabet",
	                                  "东",
	                                  "京",
	                                  "a:b",
	                                  "'q'",
	                                  "--" };

static const char *word(void)
{
	return vocabulary[dice(COUNT(vocabulary))];
}

static void words_put(char *out, size_t room, unsigned count)
{
	out[0] = '\0';
	while (count--)
		snprintf(out + strlen(out), room - strlen(out), "%s%s", word(), dice(6) ? " " : "");
}

/* ---- the plain matcher ---- */

static enum rc keep(void *arg, const struct token *t)
{
	struct field_words *w = arg;

	if (t->position >= WORDS)
		return RC_LIMIT;
	if (t->kind == TOKEN_WORD) {
		assert_int_equal(t->position, w->count);
		assert_true(t->text.len < sizeof(w->word[0]));
		memcpy(w->word[w->count++], t->text.at, t->text.len);
	} else if (t->kind == TOKEN_PAIR) {
		assert_true(t->text.len < sizeof(w->pair[0]));
		memcpy(w->pair[t->position], t->text.at, t->text.len);
	} else if (t->kind == TOKEN_ADDRESS) {
		assert_true(t->text.len < sizeof(w->address[0]));
		memcpy(w->address[t->position], t->text.at, t->text.len);
	}
	return RC_OK;
}

static struct field_words words_of(const char *text)
{
	struct field_words w;

	memset(&w, 0, sizeof(w));
	assert_int_equal(token_each(slice_str(text), keep, &w), RC_OK);
	return w;
}

static bool is_prefix(const char *prefix, const char *whole)
{
	return strncmp(prefix, whole, strlen(prefix)) == 0;
}

static bool is_address(const struct field_words *q, const char *text)
{
	/* An address that begins with the first word and has as many words as the query. */
	struct field_words again;

	if (!q->address[0][0])
		return false;
	again = words_of(q->address[0]);
	(void)text;
	return again.count == q->count;
}

/* Does the phrase stand at position `at`? */
static bool phrase_at(const struct field_words *d, const struct field_words *q, const char *text,
                      bool prefix, unsigned at)
{
	if (is_address(q, text))
		return prefix ? is_prefix(q->address[0], d->address[at])
		              : strcmp(q->address[0], d->address[at]) == 0;
	for (unsigned i = 0; i < q->count; i++) {
		bool last = i + 1 == q->count;
		const char *there = at + i < d->count ? d->word[at + i] : NULL;

		if (!there)
			return false;
		/* Characters that stand together must stand together there. */
		if (q->pair[i][0] && strcmp(q->pair[i], d->pair[at + i]) != 0)
			return false;
		if (q->address[i][0] && !(prefix && last)) {
			if (strcmp(q->address[i], d->address[at + i]) != 0)
				return false;
		} else if (prefix && last ? !is_prefix(q->word[i], there)
		                          : strcmp(q->word[i], there) != 0) {
			return false;
		}
	}
	return q->count > 0;
}

static bool match_text_at(const struct doc *d, const struct match *m)
{
	char text[256];
	struct field_words q;

	snprintf(text, sizeof(text), "%.*s", (int)m->text.len, (const char *)m->text.at);
	q = words_of(text);
	for (int f = 0; f < DOC_FIELDS; f++)
		for (unsigned at = 0; m->fields & FIELD_BIT(f) && at < d->words[f].count; at++)
			if (phrase_at(&d->words[f], &q, text, m->prefix, at))
				return true;
	return false;
}

/* Two phrases of one word each, so that FTS5's length of a phrase is ours. */
static bool match_near(const struct doc *d, const struct match *m)
{
	const struct match *a = m->child;
	const struct match *b = a->next;
	char text_a[64], text_b[64];
	struct field_words qa, qb;

	snprintf(text_a, sizeof(text_a), "%.*s", (int)a->text.len, (const char *)a->text.at);
	snprintf(text_b, sizeof(text_b), "%.*s", (int)b->text.len, (const char *)b->text.at);
	qa = words_of(text_a);
	qb = words_of(text_b);
	for (int f = 0; f < DOC_FIELDS; f++) {
		const struct field_words *w = &d->words[f];

		if (!(a->fields & FIELD_BIT(f)))
			continue;
		for (unsigned i = 0; i < w->count; i++)
			for (unsigned k = 0; k < w->count; k++)
				if (phrase_at(w, &qa, text_a, false, i) &&
				    phrase_at(w, &qb, text_b, false, k) &&
				    (i > k ? i - k : k - i) <= m->number + 1)
					return true;
	}
	return false;
}

static bool match_contains(const struct doc *d, const struct match *m)
{
	static const int shown[] = {
		DOC_SUBJECT, DOC_FROM,          DOC_TO,          DOC_CC,
		DOC_BCC,     DOC_ENVELOPE_FROM, DOC_ENVELOPE_TO, DOC_FILENAME
	};

	for (size_t i = 0; i < COUNT(shown); i++)
		if (m->fields & FIELD_BIT(shown[i]) &&
		    slice_contains_nocase(slice_str(d->text[shown[i]]), m->text))
			return true;
	return false;
}

static bool matches(const struct doc *d, const struct match *m)
{
	char id[ID_TEXT + 1];

	switch (m->kind) {
	case MATCH_ALL:
		return true;
	case MATCH_NONE:
		return false;
	case MATCH_AND:
		for (const struct match *c = m->child; c; c = c->next)
			if (!matches(d, c))
				return false;
		return true;
	case MATCH_OR:
		for (const struct match *c = m->child; c; c = c->next)
			if (matches(d, c))
				return true;
		return false;
	case MATCH_NOT:
		return !matches(d, m->child);
	case MATCH_TEXT:
		return match_text_at(d, m);
	case MATCH_NEAR:
		return match_near(d, m);
	case MATCH_RECEIVED:
		return d->received >= m->low && d->received < m->high;
	case MATCH_SENT:
		return d->flags & DOC_HAS_SENT && d->sent >= m->low && d->sent < m->high;
	case MATCH_BYTES:
		return (int64_t)d->bytes >= m->low && (int64_t)d->bytes < m->high;
	case MATCH_FLAG:
		return (d->flags & m->number) != 0;
	case MATCH_VERDICT:
		return (d->flags >> (8 + 4 * m->number) & 15) << (8 + 4 * m->number) == m->low;
	case MATCH_ID:
		id_format(id, &d->id);
		return slice_equal(m->text, slice_str(id));
	case MATCH_MSGID:
		return slice_equal_nocase(m->text, slice_str(d->message_id));
	case MATCH_INGRESS:
		return slice_equal_nocase(m->text, slice_str(d->ingress));
	case MATCH_IP:
		return strcmp(d->ip, "10.1.2.3") == 0; /* the only network that is asked for */
	case MATCH_CONTAINS:
		return match_contains(d, m);
	case MATCH_SHA256:
		return d->sha256[0] == 0; /* the only hash that is asked for */
	}
	return false;
}

/* ---- documents and queries ---- */

static void doc_make(struct doc *d, uint32_t i)
{
	memset(d, 0, sizeof(*d));
	d->received = DAY0 + (int64_t)dice(1000) * 60000;
	d->id = place_id(d->received, i);
	d->bytes = dice(10000);
	d->flags = dice(8) | dice(3) << 8 | dice(4) << 12 | dice(3) << 24;
	if (dice(4)) {
		d->flags |= DOC_HAS_SENT;
		d->sent = DAY0 + (int64_t)dice(1000) * 60000;
	}
	for (int f = 0; f < DOC_FIELDS; f++)
		words_put(d->text[f], sizeof(d->text[f]), dice(f == DOC_BODY ? 12 : 3));
	for (int f = 0; f < DOC_FIELDS; f++)
		d->words[f] = words_of(d->text[f]);
	snprintf(d->message_id, sizeof(d->message_id), "Msg%u@x.example", dice(50));
	d->ip = dice(3) ? "192.0.2.1" : "10.1.2.3";
	d->ingress = dice(3) ? "inbound" : "import";
	memset(d->sha256, (int)dice(40), sizeof(d->sha256));
}

static void doc_add(struct place *p, const struct doc *d)
{
	struct index_doc x = {
		.id = d->id, .lot = 1, .sent_ms = d->sent, .bytes = d->bytes, .flags = d->flags
	};

	memcpy(x.sha256, d->sha256, 32);
	for (int f = 0; f < DOC_FIELDS; f++)
		x.field[f] = slice_str(d->text[f]);
	x.message_id = slice_str(d->message_id);
	x.ingress = slice_str(d->ingress);
	x.ip = slice_str(d->ip);
	place_add(p, 1, &x);
}

static struct slice random_text(struct match_tree *t)
{
	char text[128];

	words_put(text, sizeof(text), 1 + dice(2));
	return match_text(t, slice_str(text));
}

static uint32_t random_fields(void)
{
	static const uint32_t fields[] = { FIELDS_ALL,
		                           FIELDS_ALL,
		                           FIELDS_TO,
		                           FIELDS_FROM,
		                           FIELD_BIT(DOC_BODY),
		                           FIELD_BIT(DOC_SUBJECT) | FIELD_BIT(DOC_BODY),
		                           0 };

	return fields[dice(COUNT(fields))];
}

static void random_range(struct match *m, int64_t from, int64_t step)
{
	m->low = from + (int64_t)dice(1000) * step;
	m->high = m->low + ((int64_t)dice(600) - 50) * step;
}

static struct match *random_near(struct match_tree *t)
{
	static const char *const single[] = {
		"alpha", "beta", "gamma", "Straße", "an", "near", "7"
	};
	struct match *m = match_new(t, MATCH_NEAR);
	uint32_t fields = random_fields();

	m->number = dice(5);
	for (int i = 0; i < 2; i++) {
		struct match *c = match_new(t, MATCH_TEXT);

		c->fields = fields;
		c->text = match_text(t, slice_str(single[dice(COUNT(single))]));
		match_add(m, c);
	}
	return m;
}

static struct match *random_leaf(struct match_tree *t)
{
	struct match *m;
	char text[ID_TEXT + 1];

	if (dice(3)) {
		m = match_new(t, MATCH_TEXT);
		m->fields = random_fields();
		m->text = random_text(t);
		m->prefix = dice(4) == 0;
		return m;
	}
	m = match_new(t, (enum match_kind[]) { MATCH_ALL, MATCH_NONE, MATCH_NEAR, MATCH_RECEIVED,
	                                       MATCH_SENT, MATCH_BYTES, MATCH_FLAG, MATCH_ID,
	                                       MATCH_MSGID, MATCH_INGRESS, MATCH_IP, MATCH_CONTAINS,
	                                       MATCH_SHA256, MATCH_VERDICT }[dice(14)]);
	m->fields = random_fields();
	m->number = 1u << dice(4);
	if (m->kind == MATCH_NEAR)
		return random_near(t);
	if (m->kind == MATCH_VERDICT) {
		m->number = (unsigned[]) { DOC_SPF, DOC_DKIM, DOC_DMARC_ASKS }[dice(3)];
		m->low = (int64_t)dice(3) << (8 + 4 * m->number);
	}
	if (m->kind == MATCH_RECEIVED || m->kind == MATCH_SENT)
		random_range(m, DAY0, 60000);
	if (m->kind == MATCH_BYTES)
		random_range(m, 0, 10);
	if (m->kind == MATCH_ID) {
		id_format(text, &docs[dice(DOCS)].id);
		m->text = match_text(t, slice_str(text));
	}
	if (m->kind == MATCH_MSGID)
		m->text = slice_str("mSG7@x.EXAMPLE");
	if (m->kind == MATCH_INGRESS)
		m->text = slice_str("IMPORT");
	if (m->kind == MATCH_IP)
		m->text = slice_str("10.0.0.0/8");
	if (m->kind == MATCH_CONTAINS)
		m->text = slice_str(dice(2) ? "PHA" : "-");
	if (m->kind == MATCH_SHA256)
		m->text = slice_str("00000000000000000000000000000000"
		                    "00000000000000000000000000000000");
	return m;
}

static struct match *random_tree(struct match_tree *t, unsigned depth)
{
	unsigned kind = depth ? dice(8) : 9;
	struct match *m;

	if (kind > 5)
		return random_leaf(t);
	if (kind == 5) {
		m = match_new(t, MATCH_NOT);
		match_add(m, random_tree(t, depth - 1));
		return m;
	}
	m = match_new(t, kind < 3 ? MATCH_AND : MATCH_OR);
	for (unsigned i = dice(4); i > 0; i--)
		match_add(m, random_tree(t, depth - 1));
	return m;
}

struct hits {
	unsigned count;
	struct message_id last;
	bool found[DOCS];
};

static enum rc take_hit(void *arg, const struct index_row *row, struct err *e)
{
	struct hits *h = arg;
	uint32_t i = (uint32_t)(id_rowid(&row->id) & ((1 << ID_SEQUENCE_BITS) - 1));

	(void)e;
	assert_true(i < DOCS && !h->found[i]);
	assert_true(h->count == 0 || id_compare(&row->id, &h->last) < 0);
	h->found[i] = true;
	h->count++;
	h->last = row->id;
	return RC_OK;
}

static void compare(struct place *p, struct index_view *v, const struct match *m)
{
	static struct hits h;
	struct buf why;
	unsigned want = 0;
	uint64_t counted;

	memset(&h, 0, sizeof(h));
	EXPECT_OK(index_view_each(v, m, SORT_RECEIVED_DOWN, 0, take_hit, &h, &p->e), &p->e);
	EXPECT_OK(index_view_count(v, m, &counted, &p->e), &p->e);
	for (unsigned i = 0; i < DOCS; i++) {
		bool ours = matches(&docs[i], m);

		want += ours;
		if (ours != h.found[i]) {
			buf_init(&why, 1 << 20);
			(void)!index_explain(m, &why);
			fail_msg("document %u: naive %d, index %d, seed %u: %s", i, ours,
			         h.found[i], seed, buf_text(&why));
		}
	}
	assert_int_equal(h.count, want);
	assert_int_equal(counted, want);
}

static void test_random_queries(void **state)
{
	struct place *p = *state;
	struct index_view *v;

	const char *given = getenv("MM_SEED");

	seed = given ? (unsigned)atol(given) : (unsigned)getpid(); /* tidy: a test */
	print_message("seed %u\n", seed);
	for (uint32_t i = 0; i < DOCS; i++) {
		doc_make(&docs[i], i);
		doc_add(p, &docs[i]);
		if (i % 100 == 99)
			place_seal(p); /* three sealed shards that overlap, and an open one */
	}
	place_commit(p);
	v = place_view(p, 1);
	for (int round = 0; round < 1500; round++) {
		struct match_tree *t = match_tree_new();

		compare(p, v, random_tree(t, 4));
		match_tree_free(&t);
	}
	index_view_close(&v);
}

static struct match *text(struct match_tree *t, const char *s)
{
	struct match *m = match_new(t, MATCH_TEXT);

	m->fields = FIELDS_ALL;
	m->text = match_text(t, slice_str(s));
	return m;
}

/* As deep as is allowed, of every shape that SQLite's parsers might not stand. */
static void test_deep_trees(void **state)
{
	struct place *p = *state;
	struct index_doc d = place_doc(place_id(DAY0, 1), "alpha", "beta");

	place_add(p, 1, &d);
	place_commit(p);
	for (int shape = 0; shape < 5; shape++)
		for (int depth = 1; depth <= 66; depth++) {
			struct match_tree *t = match_tree_new();
			struct match *m = text(t, "alpha");
			struct index_view *v = place_view(p, 1);
			uint64_t hits;
			enum rc rc;

			for (int i = 1; i < depth; i++) {
				struct match *up = match_new(t, shape == 0   ? MATCH_NOT
				                                : i % 2 == 0 ? MATCH_AND
				                                             : MATCH_OR);
				struct match *side = text(t, shape == 1 ? "alpha" : "nowhere");

				if (shape == 3) {
					side = match_new(t, MATCH_BYTES);
					side->high = up->kind == MATCH_AND ? 1000 : 0;
					side->low = up->kind == MATCH_AND ? 0 : -5;
				}
				if (shape == 4) { /* nothing simplifies a NOT of a list away */
					struct match *not = match_new(t, MATCH_NOT);

					match_add(not, m);
					m = match_new(t, MATCH_NOT);
					match_add(m, not );
					i += 2;
				}
				if (shape == 2 && up->kind == MATCH_AND)
					side = text(t, "beta");
				if (shape == 1 || (shape == 2 && up->kind == MATCH_AND) ||
				    shape >= 3)
					match_add(up, side);
				match_add(up, m);
				m = up;
			}
			rc = index_view_count(v, m, &hits, &p->e);
			if (depth <= 64)
				EXPECT_OK(rc, &p->e);
			if (depth == 66 && shape != 4)
				assert_int_equal(rc, RC_LIMIT);
			index_view_close(&v);
			match_tree_free(&t);
		}
}

static void test_wide_trees(void **state)
{
	struct place *p = *state;
	struct index_doc d = place_doc(place_id(DAY0, 1), "w77", "beta");

	place_add(p, 1, &d);
	place_commit(p);
	for (int shape = 0; shape < 3; shape++) {
		struct match_tree *t = match_tree_new();
		struct match *m = match_new(t, MATCH_OR);

		for (int i = 0; i < 4096; i++) {
			char w[16];
			struct match *c;

			snprintf(w, sizeof(w), "w%d", i);
			c = text(t, w);
			if (shape && i % 2) {
				c = match_new(t, MATCH_BYTES);
				c->low = 1000 + i;
				c->high = 2000 + i;
			}
			if (shape == 2) {
				struct match *not = match_new(t, MATCH_NOT);

				match_add(not, c);
				c = not ;
			}
			match_add(m, c);
		}
		m->kind = shape == 2 ? MATCH_AND : MATCH_OR;
		assert_int_equal(place_hits(p, 1, m), shape == 1 ? 0 : 1);
		if (shape == 0) {
			struct index_view *v = place_view(p, 1);
			uint64_t hits;

			match_add(m, text(t, "one too many"));
			assert_int_equal(index_view_count(v, m, &hits, &p->e), RC_LIMIT);
			index_view_close(&v);
		}
		match_tree_free(&t);
	}
}

/* Words that other conditions keep apart: each group of them takes memory of its own. */
static void test_many_lists(void **state)
{
	struct place *p = *state;
	struct index_doc d = place_doc(place_id(DAY0, 1), "w77", "beta");
	struct match_tree *t = match_tree_new();
	struct match *m = match_new(t, MATCH_OR);
	struct index_view *v;
	uint64_t hits;

	place_add(p, 1, &d);
	place_commit(p);
	for (int i = 0; i < 257; i++) {
		struct match *both = match_new(t, MATCH_AND);
		struct match *size = match_new(t, MATCH_BYTES);
		char w[16];

		snprintf(w, sizeof(w), "w%d", i);
		size->high = 1 << 30;
		match_add(both, text(t, w));
		match_add(both, size);
		if (i == 256)
			assert_int_equal(place_hits(p, 1, m), 1);
		match_add(m, both);
	}
	v = place_view(p, 1);
	assert_int_equal(index_view_count(v, m, &hits, &p->e), RC_LIMIT);
	assert_non_null(strstr(p->e.text, "257"));
	index_view_close(&v);
	match_tree_free(&t);
}

/* What people type, and what is in no grammar. */
static void test_odd_words(void **state)
{
	static const struct {
		const char *query;
		uint64_t hits;
	} cases[] = {
		{ "e-mail", 1 },
		{ "C++", 1 },
		{ "INV-2024/0815", 1 },
		{ "strasse", 1 },
		{ "STRAẞE", 1 },
		{ "foo@bar.example", 1 },
		{ "foo", 1 },
		{ "bar.example", 1 },
		{ "BAR", 1 },
		{ "oo@bar.example", 0 },
		{ "foo@bar", 0 },
		{ "++", 0 },
		{ "\"", 0 },
		{ "\" OR \"", 0 },
		{ "*", 0 },
		{ "AND", 0 },
		{ "NEAR(", 0 },
		{ "{subject}:x", 0 },
		{ "'; DROP", 0 },
		{ "", 0 },
		{ "(((", 0 },
		{ "^C", 1 },
		{ "mail. C", 1 },
		{ "ﬁnal", 1 },
		{ "\xff\xfe", 0 },
	};
	struct place *p = *state;
	struct index_doc d = place_doc(place_id(DAY0, 1), "e-mail C++ INV-2024/0815 Straße final",
	                               "write to foo@bar.example.");
	struct match m = { .kind = MATCH_TEXT, .fields = FIELDS_ALL, .prefix = true };

	place_add(p, 1, &d);
	place_commit(p);
	for (size_t i = 0; i < COUNT(cases); i++)
		EXPECT(cases[i].query, place_count(p, 1, cases[i].query) == cases[i].hits);
	m.text = slice_str("foo@bar");
	assert_int_equal(place_hits(p, 1, &m), 1);
	m.text = slice_str("bar.exam");
	assert_int_equal(place_hits(p, 1, &m), 1);
	m.text = slice_str("stra");
	assert_int_equal(place_hits(p, 1, &m), 1);
	m.text = slice_str("trasse");
	assert_int_equal(place_hits(p, 1, &m), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_odd_words),  CASE(test_deep_trees),     CASE(test_wide_trees),
		CASE(test_many_lists), CASE(test_random_queries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
