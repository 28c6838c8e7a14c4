#include "ingest/queue/schedule.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/compiler.h"
#include "store/crypt.h"

#define BUCKETS 65536
#define MINUTE  60000

struct node {
	int64_t ms;
	int64_t order; /* of two of one time the lesser one is first */
	size_t place;
};

struct heap {
	struct node **at;
	size_t count;
	size_t room;
	uint64_t compared;
};

struct destination {
	struct node node;               /* in `turns`, in `idle`, or in neither */
	struct heap *in;                /* which of them */
	SLIST_ENTRY(destination) chain; /* in its bucket */
	char *name;
	struct heap tasks; /* by the time when they are due; the order is their number */
	unsigned under_way;
	int64_t turn_ms;  /* when it had its last one */
	int64_t rest_ms;  /* not before then */
	int64_t paced_ms; /* when its next task may begin, of its rate */
};

SLIST_HEAD(bucket, destination);

struct under_way {
	int64_t number;
	struct destination *to;
};

/* `turns` has the destinations with a task that there is a place for, by the time when it may
 * begin, or of their last turn, where that is later: who had one comes behind all who waited then.
 * So who isn't ready costs nothing until he is. */
struct schedule {
	struct schedule_limits limits;
	struct heap turns;
	struct heap idle;              /* no task: by the time when they may be forgotten */
	int64_t order;                 /* of who had a turn, or came, last */
	uint8_t key[CRYPT_BUCKET_KEY]; /* senders choose the names */
	struct bucket buckets[BUCKETS];
	struct under_way *now;
	size_t now_count;
	size_t known;
	uint64_t seen; /* destinations that were looked at */
};

/* ---- a heap ---- */

static bool is_before(struct heap *h, const struct node *a, const struct node *b)
{
	h->compared++;
	return a->ms != b->ms ? a->ms < b->ms : a->order < b->order;
}

static void heap_set(struct heap *h, size_t i, struct node *n)
{
	h->at[i] = n;
	n->place = i;
}

static void rise(struct heap *h, struct node *n, size_t i)
{
	for (; i && is_before(h, n, h->at[(i - 1) / 2]); i = (i - 1) / 2)
		heap_set(h, i, h->at[(i - 1) / 2]);
	heap_set(h, i, n);
}

static void sink(struct heap *h, struct node *n, size_t i)
{
	for (size_t k; (k = 2 * i + 1) < h->count; i = k) {
		if (k + 1 < h->count && is_before(h, h->at[k + 1], h->at[k]))
			k++;
		if (!is_before(h, h->at[k], n))
			break;
		heap_set(h, i, h->at[k]);
	}
	heap_set(h, i, n);
}

static void heap_put(struct heap *h, struct node *n)
{
	if (h->count == h->room) {
		h->room = h->room ? h->room * 2 : 4;
		h->at = mem_resize(h->at, h->room * sizeof(struct node *));
	}
	rise(h, n, h->count++);
}

static void heap_remove(struct heap *h, const struct node *n)
{
	size_t i = n->place;
	struct node *last = h->at[--h->count];

	if (last == n)
		return;
	if (i && is_before(h, last, h->at[(i - 1) / 2]))
		rise(h, last, i);
	else
		sink(h, last, i);
}

static struct node *heap_first(const struct heap *h)
{
	return h->count ? h->at[0] : NULL;
}

/* ---- destinations ---- */

static struct bucket *bucket_of(struct schedule *s, const char *name)
{
	return &s->buckets[crypt_bucket(s->key, slice_str(name)) % BUCKETS];
}

static struct destination *find(struct schedule *s, const char *name, bool make)
{
	struct bucket *b = bucket_of(s, name);
	struct destination *d;

	SLIST_FOREACH(d, b, chain)
	{
		s->seen++;
		if (strcmp(d->name, name) == 0)
			return d;
	}
	if (!make)
		return NULL;
	d = mem_new(sizeof(*d));
	d->name = mem_string(name);
	d->node.order = s->order++;
	SLIST_INSERT_HEAD(b, d, chain);
	return d;
}

static void forget_tasks(struct destination *d)
{
	for (size_t i = 0; i < d->tasks.count; i++)
		free(d->tasks.at[i]);
	d->tasks.count = 0;
}

static void destroy(struct schedule *s, struct destination *d)
{
	if (d->in)
		heap_remove(d->in, &d->node);
	SLIST_REMOVE(bucket_of(s, d->name), d, destination, chain);
	forget_tasks(d);
	free(d->tasks.at);
	free(d->name);
	free(d);
}

/* One that rests, or whose pace says more than a new one's would, is kept until that is over. */
static int64_t idle_ms(const struct destination *d)
{
	return MAX_OF(d->rest_ms, d->paced_ms ? d->paced_ms + MINUTE : 0);
}

static int64_t turn_ms(const struct destination *d)
{
	int64_t ready = MAX_OF(heap_first(&d->tasks)->ms, MAX_OF(d->rest_ms, d->paced_ms));

	return MAX_OF(ready, d->turn_ms);
}

/* After each change of it. */
static void put_in_place(struct schedule *s, struct destination *d)
{
	s->seen++;
	if (d->in)
		heap_remove(d->in, &d->node);
	d->in = NULL;
	if (d->tasks.count && d->under_way < s->limits.per_destination) {
		d->in = &s->turns;
		d->node.ms = turn_ms(d);
	} else if (!d->tasks.count && !d->under_way) {
		d->in = &s->idle;
		d->node.ms = idle_ms(d);
	}
	if (d->in)
		heap_put(d->in, &d->node);
}

/* The first one of a heap, where its time has come. */
static struct destination *first_until(struct schedule *s, const struct heap *h, int64_t now_ms)
{
	struct node *n = heap_first(h);

	s->seen++;
	return n && n->ms <= now_ms ? CONTAINER(n, struct destination, node) : NULL;
}

/* ---- from outside ---- */

struct schedule *schedule_new(const struct schedule_limits *l)
{
	struct schedule *s = mem_new(sizeof(*s));

	s->limits = *l;
	crypt_random(s->key, sizeof(s->key));
	s->now = mem_array(l->at_once + 1, sizeof(*s->now));
	return s;
}

void schedule_clear(struct schedule *s)
{
	struct destination *d;

	for (size_t i = 0; i < BUCKETS; i++)
		SLIST_FOREACH(d, &s->buckets[i], chain)
		{
			forget_tasks(d);
			put_in_place(s, d);
		}
	s->known = s->now_count;
}

void schedule_free(struct schedule **at)
{
	struct schedule *s = *at;

	*at = NULL;
	if (!s)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (!SLIST_EMPTY(&s->buckets[i]))
			destroy(s, SLIST_FIRST(&s->buckets[i]));
	free(s->turns.at);
	free(s->idle.at);
	free(s->now);
	free(s);
}

static struct under_way *find_now(const struct schedule *s, int64_t number)
{
	for (size_t i = 0; i < s->now_count; i++)
		if (s->now[i].number == number)
			return &s->now[i];
	return NULL;
}

void schedule_add(struct schedule *s, int64_t number, const char *destination, int64_t due_ms)
{
	struct destination *d = find(s, destination, true);
	struct node *task = mem_new(sizeof(*task));

	*task = (struct node) { .ms = due_ms, .order = number };
	heap_put(&d->tasks, task);
	s->known++;
	put_in_place(s, d);
}

static int64_t take_task(struct destination *d)
{
	struct node *task = heap_first(&d->tasks);
	int64_t number = task->order;

	heap_remove(&d->tasks, task);
	free(task);
	return number;
}

static void has_turn(struct schedule *s, struct destination *d, int64_t number, int64_t now_ms)
{
	d->turn_ms = now_ms;
	d->node.order = s->order++;
	if (s->limits.per_minute)
		d->paced_ms = MAX_OF(d->paced_ms, now_ms - MINUTE) + MINUTE / s->limits.per_minute;
	d->under_way++;
	s->now[s->now_count++] = (struct under_way) { number, d };
}

bool schedule_next(struct schedule *s, int64_t now_ms, int64_t *number)
{
	struct destination *d;

	while ((d = first_until(s, &s->idle, now_ms)))
		destroy(s, d);
	while (s->now_count < s->limits.at_once && (d = first_until(s, &s->turns, now_ms))) {
		bool begins;

		*number = take_task(d);
		begins = !find_now(s, *number); /* else it was made due by hand */
		if (begins)
			has_turn(s, d, *number, now_ms);
		else
			s->known--;
		put_in_place(s, d);
		if (begins)
			return true;
	}
	return false;
}

void schedule_ended(struct schedule *s, int64_t number)
{
	struct under_way *u = find_now(s, number);
	struct destination *d;

	if (!u)
		return;
	d = u->to;
	*u = s->now[--s->now_count];
	s->known--;
	d->under_way--;
	put_in_place(s, d);
}

static void set_rest(struct schedule *s, struct destination *d, int64_t until_ms)
{
	d->rest_ms = until_ms;
	put_in_place(s, d);
}

void schedule_rest(struct schedule *s, int64_t number, int64_t until_ms)
{
	const struct under_way *u = find_now(s, number);

	if (u && u->to->rest_ms < until_ms)
		set_rest(s, u->to, until_ms);
}

void schedule_woke(struct schedule *s, int64_t number)
{
	const struct under_way *u = find_now(s, number);

	if (u)
		set_rest(s, u->to, 0);
}

void schedule_hurry(struct schedule *s, const char *destination)
{
	struct destination *d = find(s, destination, false);

	if (d)
		set_rest(s, d, 0);
}

int64_t schedule_wake_ms(struct schedule *s, int64_t now_ms)
{
	const struct node *n = heap_first(&s->turns);

	s->seen++;
	return n && s->now_count < s->limits.at_once ? MAX_OF(n->ms, now_ms) : INT64_MAX;
}

size_t schedule_under_way(const struct schedule *s)
{
	return s->now_count;
}

size_t schedule_known(const struct schedule *s)
{
	return s->known;
}

uint64_t schedule_steps(const struct schedule *s)
{
	return s->seen + s->turns.compared + s->idle.compared;
}
