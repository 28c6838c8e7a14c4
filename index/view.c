#include "index/index_parts.h"

#include <stdlib.h>
#include <unistd.h>

#include "index/match_sql.h"

#define COUNT_THREADS  8 /* that count at most, a caller's among them */
#define COUNT_A_THREAD 4 /* parts that are worth one */

/* A shard as the view has it. Unsealed ones are read in a transaction that began with the view;
 * sealed ones never change and are opened when their turn comes. */
struct part {
	struct shard *shard; /* held */
	struct conn *conn;
	struct stmt *cursor;
	int64_t n; /* of the row that the cursor stands on */
	int64_t key;
	int64_t at;
};

struct index_view {
	struct part *part;
	size_t count;
};

static void part_release(struct part *p)
{
	stmt_free(&p->cursor);
	if (p->conn)
		conn_rest(p->conn);
	if (p->conn && !p->shard->sealed)
		db_rollback(conn_db(p->conn));
	shard_return(p->shard, &p->conn);
}

static enum rc part_open(struct part *p, struct err *e)
{
	int64_t ignored;
	enum rc rc;

	if (p->conn)
		return RC_OK;
	rc = shard_borrow(p->shard, &p->conn, e);
	if (rc != RC_OK || p->shard->sealed)
		return rc;
	rc = db_exec(conn_db(p->conn), "BEGIN", e);
	if (rc == RC_OK) /* the snapshot begins with the first read */
		rc = db_int(conn_db(p->conn), "SELECT 1 FROM message LIMIT 1", 0, &ignored, e);
	return rc;
}

/* Sealed shards give their connection back as soon as they have said all. */
static void part_done(struct part *p)
{
	stmt_free(&p->cursor);
	if (p->shard->sealed)
		part_release(p);
}

static bool overlaps(const struct shard *s, int64_t low, int64_t high)
{
	/* An unsealed shard may grow between this look and the view's first read. */
	if (!s->sealed)
		return low < high;
	return s->stats.messages > 0 && s->stats.received_high >= low &&
	       s->stats.received_low < high;
}

/* What helps. */
static void told(enum rc rc, struct err *e)
{
	struct err why;

	if (rc != RC_CORRUPT || !e)
		return;
	why = *e;
	(void)err_set(e, rc, "%.400s: reindex", why.text);
}

enum rc index_view_open(struct index_view **out, struct index *ix, uint32_t archive, int64_t low,
                        int64_t high, struct err *e)
{
	struct index_view *v = mem_new(sizeof(*v));
	struct shard **list;
	size_t count = shards_hold(ix, archive, false, &list);
	enum rc rc = RC_OK;

	if (catalogue_rebuilding(ix, archive))
		rc = err_set(e, RC_CORRUPT,
		             "the index is being rebuilt (one that was broken off: by mmd, or by "
		             "reindex)");
	v->part = mem_array(count + 1, sizeof(*v->part));
	for (size_t i = 0; i < count; i++) {
		/* Nobody knows what would have been found there. */
		if (list[i]->damaged)
			rc = err_set(e, RC_CORRUPT, "%s is damaged: reindex", list[i]->path);
		if (!overlaps(list[i], low, high))
			continue;
		shard_hold(list[i]);
		v->part[v->count++].shard = list[i];
	}
	shards_drop(&list, count);
	for (size_t i = 0; rc == RC_OK && i < v->count; i++) {
		if (v->part[i].shard->sealed)
			continue;
		rc = part_open(&v->part[i], e);
		told(rc, e);
	}
	if (rc != RC_OK)
		index_view_close(&v);
	*out = v;
	return rc;
}

void index_view_close(struct index_view **v)
{
	if (!*v)
		return;
	for (size_t i = 0; i < (*v)->count; i++) {
		part_release(&(*v)->part[i]);
		shard_drop((*v)->part[i].shard);
	}
	free((*v)->part);
	free(*v);
	*v = NULL;
}

unsigned index_view_shards(const struct index_view *v)
{
	return (unsigned)v->count;
}

/* ---- counting ---- */

static enum rc part_count(struct part *p, struct match_plan *plan, uint64_t *hits, struct err *e)
{
	struct stmt *s;
	enum rc rc = part_open(p, e);

	if (rc == RC_OK)
		rc = match_plan_count(plan, p->conn, &s, e);
	if (rc == RC_OK) {
		rc = stmt_step(s, e);
		if (rc == RC_OK)
			*hits += (uint64_t)stmt_int(s, 0);
		stmt_free(&s);
	}
	part_done(p);
	return rc;
}

/* What several threads count together: each takes the next part that none has. */
struct counting {
	struct index_view *view;
	const struct match *match;
	_Atomic size_t next;
};

struct counter {
	struct counting *all;
	pthread_t thread;
	uint64_t hits;
	enum rc rc;
	struct err why;
};

static void *count_parts(void *arg)
{
	struct counter *c = arg;
	struct index_view *v = c->all->view;
	struct match_plan *plan; /* a thread's own: SQL is bound to its memory */

	c->rc = match_plan_make(&plan, c->all->match, &c->why);
	while (c->rc == RC_OK && !match_plan_is_none(plan)) {
		size_t i = atomic_fetch_add(&c->all->next, 1);

		if (i >= v->count)
			break;
		c->rc = part_count(&v->part[i], plan, &c->hits, &c->why);
	}
	if (c->rc != RC_OK)
		atomic_store(&c->all->next, v->count);
	match_plan_free(&plan);
	return NULL;
}

/* Those of all searches beside the callers' own. */
static _Atomic size_t counters;

/* Besides the caller's; to be given back. */
static size_t more_threads(const struct index_view *v)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	size_t most = MIN_OF(cores > 1 ? (size_t)cores - 1 : 0, (size_t)COUNT_THREADS - 1);
	size_t want = v->count >= COUNT_A_THREAD ? v->count / COUNT_A_THREAD - 1 : 0;
	size_t had = atomic_load(&counters);
	size_t more;

	do
		more = MIN_OF(want, had < most ? most - had : 0);
	while (!atomic_compare_exchange_weak(&counters, &had, had + more));
	return more;
}

enum rc index_view_count(struct index_view *v, const struct match *m, uint64_t *hits, struct err *e)
{
	struct counting all = { .view = v, .match = m };
	struct counter counter[COUNT_THREADS] = { { .all = &all } };
	size_t more = more_threads(v);
	size_t started = 1;
	enum rc rc = RC_OK;

	for (; started <= more; started++) { /* without one the others have more to do */
		counter[started].all = &all;
		if (pthread_create(&counter[started].thread, NULL, count_parts,
		                   &counter[started]) != 0)
			break;
	}
	(void)count_parts(&counter[0]);
	*hits = 0;
	for (size_t i = 0; i < started; i++) {
		if (i > 0)
			MUST(pthread_join(counter[i].thread, NULL) == 0);
		*hits += counter[i].hits;
		if (rc == RC_OK && counter[i].rc != RC_OK) {
			rc = counter[i].rc;
			*e = counter[i].why;
			told(rc, e);
		}
	}
	(void)atomic_fetch_sub(&counters, more);
	return rc;
}

/* ---- hits in order over all shards ---- */

struct merge {
	struct index_view *view;
	struct match_plan *plan;
	enum index_sort sort;
	uint64_t limit;
	size_t opened;      /* parts before it were begun */
	struct part **heap; /* those that stand on a row, the first in order on top */
	size_t heap_count;
};

static bool before(const struct merge *m, const struct part *a, const struct part *b)
{
	int order = match_order(m->sort, a->key, a->at, b->key, b->at);

	return order < 0 || (order == 0 && a < b);
}

static void heap_down(struct merge *m, size_t i)
{
	for (;;) {
		size_t top = i;
		struct part *swap;

		for (size_t k = 2 * i + 1; k <= 2 * i + 2 && k < m->heap_count; k++)
			if (before(m, m->heap[k], m->heap[top]))
				top = k;
		if (top == i)
			return;
		swap = m->heap[i];
		m->heap[i] = m->heap[top];
		m->heap[top] = swap;
		i = top;
	}
}

static void heap_push(struct merge *m, struct part *p)
{
	size_t i = m->heap_count++;

	while (i > 0 && before(m, p, m->heap[(i - 1) / 2])) {
		m->heap[i] = m->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	m->heap[i] = p;
}

/* To the cursor's next row; RC_NOTFOUND when there is none. */
static enum rc part_next(struct part *p, struct err *e)
{
	enum rc rc = stmt_step(p->cursor, e);

	if (rc == RC_OK) {
		p->n = stmt_int(p->cursor, 0);
		p->key = stmt_int(p->cursor, 1);
		return conn_place(p->conn, p->n, &p->at, e);
	}
	part_done(p);
	return rc;
}

static enum rc begin_next(struct merge *m, struct err *e)
{
	bool streams = m->sort == SORT_RECEIVED_DOWN || m->sort == SORT_RECEIVED_UP;
	struct part *p = &m->view->part[m->opened++];
	enum rc rc = part_open(p, e);

	if (rc == RC_OK) /* where SQLite must sort, it may know how much is wanted */
		rc = match_plan_select(m->plan, p->conn, m->sort, streams ? 0 : m->limit,
		                       &p->cursor, e);
	if (rc == RC_OK)
		rc = part_next(p, e);
	if (rc == RC_OK)
		heap_push(m, p);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* Parts are in the order of the best row that each may have (order_parts): can the next one have a
 * row that comes before all that we stand on? */
static bool next_may_come_first(const struct merge *m)
{
	const struct shard *s;
	int64_t top;

	if (m->opened == m->view->count)
		return false;
	if (m->heap_count == 0)
		return true;
	s = m->view->part[m->opened].shard;
	top = m->heap[0]->at >> ID_SEQUENCE_BITS;
	if (!s->sealed)
		return true;
	if (m->sort == SORT_RECEIVED_DOWN)
		return s->stats.received_high >= top;
	if (m->sort == SORT_RECEIVED_UP)
		return s->stats.received_low <= top;
	return true;
}

static int newest_first(const void *a, const void *b)
{
	const struct shard *x = ((const struct part *)a)->shard;
	const struct shard *y = ((const struct part *)b)->shard;

	if (!x->sealed || !y->sealed) /* the unsealed first: what they hold may change */
		return x->sealed - y->sealed;
	return (x->stats.received_high < y->stats.received_high) -
	       (x->stats.received_high > y->stats.received_high);
}

static int oldest_first(const void *a, const void *b)
{
	const struct shard *x = ((const struct part *)a)->shard;
	const struct shard *y = ((const struct part *)b)->shard;

	if (!x->sealed || !y->sealed) /* the unsealed first: what they hold may change */
		return x->sealed - y->sealed;
	return (x->stats.received_low > y->stats.received_low) -
	       (x->stats.received_low < y->stats.received_low);
}

/* The next hit of all; RC_NOTFOUND at the end. It is advanced past by merge_next. */
static enum rc merge_top(struct merge *m, struct part **out, struct err *e)
{
	enum rc rc = RC_OK;

	while (rc == RC_OK && next_may_come_first(m))
		rc = begin_next(m, e);
	if (rc == RC_OK && m->heap_count == 0)
		return RC_NOTFOUND;
	*out = rc == RC_OK ? m->heap[0] : NULL;
	return rc;
}

static enum rc merge_next(struct merge *m, struct err *e)
{
	enum rc rc = part_next(m->heap[0], e);

	if (rc == RC_NOTFOUND) {
		m->heap[0] = m->heap[--m->heap_count];
		rc = RC_OK;
	}
	if (rc == RC_OK)
		heap_down(m, 0);
	return rc;
}

typedef enum rc (*row_callback)(void *arg, const struct index_row *row, struct err *e);

static enum rc merge_run(struct merge *m, row_callback each, void *arg, struct err *e)
{
	struct index_row row;
	struct part *p;
	enum rc rc = RC_OK;

	for (uint64_t n = 0; rc == RC_OK && (m->limit == 0 || n < m->limit); n++) {
		rc = merge_top(m, &p, e);
		if (rc == RC_OK)
			rc = conn_row(p->conn, p->n, &row, e);
		if (rc == RC_OK)
			rc = each(arg, &row, e);
		if (rc == RC_NOTFOUND && m->heap_count > 0)
			return rc; /* the caller's */
		if (rc == RC_OK)
			rc = merge_next(m, e);
	}
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc index_view_each(struct index_view *v, const struct match *m, enum index_sort sort,
                        uint64_t limit, row_callback each, void *arg, struct err *e)
{
	struct merge merge = { .view = v, .sort = sort, .limit = limit };
	enum rc rc = match_plan_make(&merge.plan, m, e);

	if (rc != RC_OK)
		return rc;
	merge.heap = mem_array(v->count + 1, sizeof(*merge.heap));
	qsort(v->part, v->count, sizeof(*v->part),
	      sort == SORT_RECEIVED_UP ? oldest_first : newest_first);
	if (!match_plan_is_none(merge.plan))
		rc = merge_run(&merge, each, arg, e);
	for (size_t i = 0; i < v->count; i++)
		part_done(&v->part[i]);
	free(merge.heap);
	match_plan_free(&merge.plan);
	return rc;
}

enum rc index_check(const struct match *m, struct err *e)
{
	struct match_plan *plan;
	enum rc rc = match_plan_make(&plan, m, e);

	if (rc == RC_OK)
		match_plan_free(&plan);
	return rc;
}

enum rc index_explain(const struct match *m, struct buf *out)
{
	struct match_plan *plan;
	enum rc rc = match_plan_make(&plan, m, NULL);

	if (rc != RC_OK)
		return rc;
	rc = match_plan_is_none(plan) ? buf_add_str(out, "nothing can match\n")
	                              : match_plan_explain(plan, out);
	match_plan_free(&plan);
	return rc;
}
