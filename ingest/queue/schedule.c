#include "ingest/queue/schedule.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/compiler.h"

#define BUCKETS 4096
#define MINUTE  60000

struct waiting {
	int64_t due_ms;
	int64_t number;
};

/* A heap by due_ms, then number. */
struct heap {
	struct waiting *at;
	size_t count;
	size_t room;
};

struct destination {
	TAILQ_ENTRY(destination) link;  /* in turn */
	SLIST_ENTRY(destination) chain; /* in its bucket */
	char *name;
	struct heap tasks;
	unsigned under_way;
	int64_t rest_ms;  /* not before then */
	int64_t paced_ms; /* when its next task may begin, of its rate */
};

TAILQ_HEAD(turns, destination);
SLIST_HEAD(bucket, destination);

struct under_way {
	int64_t number;
	struct destination *to;
};

struct schedule {
	struct schedule_limits limits;
	struct turns turns; /* the next one is the first */
	struct bucket buckets[BUCKETS];
	struct under_way *now;
	size_t now_count;
	size_t known;
};

/* ---- a heap ---- */

static bool is_before(const struct waiting *a, const struct waiting *b)
{
	return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->number < b->number;
}

static void swap(struct waiting *a, struct waiting *b)
{
	struct waiting t = *a;

	*a = *b;
	*b = t;
}

static void heap_put(struct heap *h, struct waiting w)
{
	size_t i = h->count++;

	if (i == h->room) {
		h->room = h->room ? h->room * 2 : 4;
		h->at = mem_resize(h->at, h->room * sizeof(*h->at));
	}
	h->at[i] = w;
	for (; i && is_before(&h->at[i], &h->at[(i - 1) / 2]); i = (i - 1) / 2)
		swap(&h->at[i], &h->at[(i - 1) / 2]);
}

static struct waiting heap_take(struct heap *h)
{
	struct waiting first = h->at[0];
	size_t i = 0;

	h->at[0] = h->at[--h->count];
	for (;;) {
		size_t least = i;

		for (size_t k = 2 * i + 1; k <= 2 * i + 2 && k < h->count; k++)
			if (is_before(&h->at[k], &h->at[least]))
				least = k;
		if (least == i)
			return first;
		swap(&h->at[i], &h->at[least]);
		i = least;
	}
}

/* ---- destinations ---- */

static size_t bucket_of(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return h % BUCKETS;
}

static struct destination *find(struct schedule *s, const char *name, bool make)
{
	struct bucket *b = &s->buckets[bucket_of(name)];
	struct destination *d;

	SLIST_FOREACH(d, b, chain)
	if (strcmp(d->name, name) == 0)
		return d;
	if (!make)
		return NULL;
	d = mem_new(sizeof(*d));
	d->name = mem_string(name);
	SLIST_INSERT_HEAD(b, d, chain);
	TAILQ_INSERT_TAIL(&s->turns, d, link);
	return d;
}

static void destroy(struct schedule *s, struct destination *d)
{
	SLIST_REMOVE(&s->buckets[bucket_of(d->name)], d, destination, chain);
	TAILQ_REMOVE(&s->turns, d, link);
	free(d->name);
	free(d->tasks.at);
	free(d);
}

/* One that rests, or whose pace says more than a new one's would, is kept until that is over. */
static void destroy_if_done(struct schedule *s, struct destination *d, int64_t now_ms)
{
	if (!d->tasks.count && !d->under_way && d->rest_ms <= now_ms &&
	    (!d->paced_ms || d->paced_ms <= now_ms - MINUTE))
		destroy(s, d);
}

/* When its next task may begin. */
static int64_t ready_ms(const struct destination *d)
{
	int64_t ms = d->tasks.at[0].due_ms;

	ms = ms < d->rest_ms ? d->rest_ms : ms;
	return ms < d->paced_ms ? d->paced_ms : ms;
}

/* ---- from outside ---- */

struct schedule *schedule_new(const struct schedule_limits *l)
{
	struct schedule *s = mem_new(sizeof(*s));

	s->limits = *l;
	s->now = mem_array(l->at_once + 1, sizeof(*s->now));
	TAILQ_INIT(&s->turns);
	return s;
}

void schedule_clear(struct schedule *s)
{
	struct destination *d;

	TAILQ_FOREACH(d, &s->turns, link)
	d->tasks.count = 0;
	s->known = s->now_count;
}

void schedule_free(struct schedule **at)
{
	struct schedule *s = *at;

	*at = NULL;
	if (!s)
		return;
	while (!TAILQ_EMPTY(&s->turns))
		destroy(s, TAILQ_FIRST(&s->turns));
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

	heap_put(&d->tasks, (struct waiting) { due_ms, number });
	s->known++;
}

static struct destination *next_in_turn(struct schedule *s, int64_t now_ms)
{
	struct destination *d = TAILQ_FIRST(&s->turns);

	while (d) {
		struct destination *next = TAILQ_NEXT(d, link);

		if (d->tasks.count && d->under_way < s->limits.per_destination &&
		    ready_ms(d) <= now_ms)
			break;
		destroy_if_done(s, d, now_ms);
		d = next;
	}
	return d;
}

/* Who had his turn is the last then. */
bool schedule_next(struct schedule *s, int64_t now_ms, int64_t *number)
{
	struct destination *d;

	do {
		d = s->now_count < s->limits.at_once ? next_in_turn(s, now_ms) : NULL;
		if (!d)
			return false;
		*number = heap_take(&d->tasks).number;
		s->known--;
	} while (find_now(s, *number)); /* it was made due by hand */
	s->known++;
	TAILQ_REMOVE(&s->turns, d, link);
	TAILQ_INSERT_TAIL(&s->turns, d, link);
	if (s->limits.per_minute)
		d->paced_ms = (d->paced_ms > now_ms - MINUTE ? d->paced_ms : now_ms - MINUTE) +
		              MINUTE / s->limits.per_minute;
	d->under_way++;
	s->now[s->now_count++] = (struct under_way) { *number, d };
	return true;
}

void schedule_ended(struct schedule *s, int64_t number, int64_t now_ms)
{
	struct under_way *u = find_now(s, number);
	struct destination *d;

	if (!u)
		return;
	d = u->to;
	*u = s->now[--s->now_count];
	s->known--;
	d->under_way--;
	destroy_if_done(s, d, now_ms);
}

void schedule_rest(struct schedule *s, int64_t number, int64_t until_ms)
{
	struct under_way *u = find_now(s, number);

	if (u && u->to->rest_ms < until_ms)
		u->to->rest_ms = until_ms;
}

void schedule_woke(struct schedule *s, int64_t number)
{
	struct under_way *u = find_now(s, number);

	if (u)
		u->to->rest_ms = 0;
}

void schedule_hurry(struct schedule *s, const char *destination)
{
	struct destination *d = find(s, destination, false);

	if (d)
		d->rest_ms = 0;
}

int64_t schedule_wake_ms(const struct schedule *s, int64_t now_ms)
{
	const struct destination *d;
	int64_t first = INT64_MAX;

	if (s->now_count >= s->limits.at_once)
		return INT64_MAX;
	TAILQ_FOREACH(d, &s->turns, link)
	{
		int64_t ms;

		if (!d->tasks.count || d->under_way == s->limits.per_destination)
			continue;
		ms = ready_ms(d);
		first = ms < first ? ms : first;
	}
	return first < now_ms ? now_ms : first;
}

size_t schedule_under_way(const struct schedule *s)
{
	return s->now_count;
}

size_t schedule_known(const struct schedule *s)
{
	return s->known;
}
