#include "ingest/gate_auth.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

#define WINDOW_MS     60000
#define SLOTS         4096 /* addresses that are remembered; the one idle longest gives way */
#define PROBES        8
#define MOST_HASHES   4
#define PASSWORD_ROOM 1024 /* longer ones are wrong by definition */

struct guesser {
	struct ip from;
	uint8_t count; /* of when */
	int64_t when[AUTH_GUESSES];
};

struct gate_check {
	struct gate_check *next;
	struct gate_auth *auth;
	char hashes[MOST_HASHES][crypto_pwhash_STRBYTES];
	int64_t versions[MOST_HASHES]; /* of the passwords, from 1 */
	size_t hash_count;
	bool known;
	char password[PASSWORD_ROOM];
	size_t password_len;
	struct ip from;
	int64_t since_ms;
	int64_t good; /* the version that was right; 0: none was */
	void (*done)(void *arg, int64_t version);
	void *arg;
};

struct gate_auth {
	struct guesser *guessers;
	size_t pending; /* the loop's: asked, and not told */
	int wake;       /* eventfd: something was finished */
	struct loop_watch *woken;
	pthread_t thread;
	pthread_mutex_t lock; /* below */
	pthread_cond_t more;
	struct gate_check *first;
	struct gate_check **last;
	struct gate_check *finished;
	bool stop;
};

/* --- who guesses --- */

/* What counts as one address: IPv4, or the /64 that one subscriber has. */
static struct ip guesser_key(const struct ip *ip)
{
	struct ip key = *ip;

	if (key.family == 6)
		memset(key.b + 8, 0, 8);
	return key;
}

static int64_t last_guess(const struct guesser *g)
{
	return g->count ? g->when[g->count - 1] : INT64_MIN;
}

static struct guesser *find_guesser(struct gate_auth *a, const struct ip *key)
{
	uint64_t h = key->family;
	struct guesser *oldest = NULL;

	for (size_t i = 0; i < sizeof(key->b); i++)
		h = (h ^ key->b[i]) * UINT64_C(0x100000001b3);
	h ^= h >> 29;
	for (size_t i = 0; i < PROBES; i++) {
		struct guesser *g = &a->guessers[(h + i) % SLOTS];

		if (g->count && ip_equal(&g->from, key))
			return g;
		if (!oldest || last_guess(g) < last_guess(oldest))
			oldest = g;
	}
	oldest->count = 0;
	oldest->from = *key;
	return oldest;
}

/* Counts a try; false when there were too many. */
static bool may_guess(struct gate_auth *a, const struct ip *key, int64_t now)
{
	struct guesser *g = find_guesser(a, key);
	size_t old = 0;

	while (old < g->count && g->when[old] <= now - WINDOW_MS)
		old++;
	memmove(g->when, g->when + old, (g->count - old) * sizeof(g->when[0]));
	g->count = (uint8_t)(g->count - old);
	if (g->count == AUTH_GUESSES)
		return false;
	g->when[g->count++] = now;
	return true;
}

static void give_back(struct gate_auth *a, const struct ip *key, int64_t when)
{
	struct guesser *g = find_guesser(a, key);

	for (size_t i = 0; i < g->count; i++) {
		if (g->when[i] != when)
			continue;
		memmove(g->when + i, g->when + i + 1, (g->count - i - 1u) * sizeof(g->when[0]));
		g->count--;
		return;
	}
}

/* --- the thread --- */

static void check_free(struct gate_check *c)
{
	sodium_memzero(c->password, sizeof(c->password));
	free(c);
}

static void tell(struct gate_check *c)
{
	c->auth->pending--;
	if (c->good)
		give_back(c->auth, &c->from, c->since_ms);
	if (c->done)
		c->done(c->arg, c->good);
	check_free(c);
}

static struct gate_check *take_finished(struct gate_auth *a)
{
	struct gate_check *c;

	MUST(pthread_mutex_lock(&a->lock) == 0);
	c = a->finished;
	a->finished = NULL;
	MUST(pthread_mutex_unlock(&a->lock) == 0);
	return c;
}

static void on_woken(void *arg, unsigned what)
{
	struct gate_auth *a = arg;
	uint64_t n;
	struct gate_check *c;

	(void)what;
	if (read(a->wake, &n, sizeof(n)) < 0) /* the count is of no use */
		n = 0;
	c = take_finished(a);
	while (c) {
		struct gate_check *next = c->next;

		tell(c);
		c = next;
	}
}

static void finish(struct gate_auth *a, struct gate_check *c)
{
	uint64_t one = 1;

	MUST(pthread_mutex_lock(&a->lock) == 0);
	c->next = a->finished;
	a->finished = c;
	MUST(pthread_mutex_unlock(&a->lock) == 0);
	MUST(write(a->wake, &one, sizeof(one)) == (ssize_t)sizeof(one)); /* tidy: an eventfd */
}

/* All hashes, whether one was right or not: the time tells nothing. */
static void verify(struct gate_check *c)
{
	int64_t good = 0;

	for (size_t i = 0; i < c->hash_count; i++)
		if (crypto_pwhash_str_verify(c->hashes[i], c->password, c->password_len) == 0)
			good = c->versions[i];
	c->good = c->known ? good : 0;
}

static struct gate_check *next_check(struct gate_auth *a)
{
	struct gate_check *c;

	MUST(pthread_mutex_lock(&a->lock) == 0);
	while (!a->first && !a->stop)
		MUST(pthread_cond_wait(&a->more, &a->lock) == 0);
	c = a->stop ? NULL : a->first;
	if (c) {
		a->first = c->next;
		if (!a->first)
			a->last = &a->first;
	}
	MUST(pthread_mutex_unlock(&a->lock) == 0);
	return c;
}

static void *check_all(void *arg)
{
	struct gate_auth *a = arg;
	struct gate_check *c;

	while ((c = next_check(a))) {
		verify(c);
		finish(a, c);
	}
	return NULL;
}

struct gate_auth *gate_auth_new(struct loop *l)
{
	struct gate_auth *a = mem_new(sizeof(*a));

	a->guessers = mem_array(SLOTS, sizeof(*a->guessers));
	a->last = &a->first;
	MUST(pthread_mutex_init(&a->lock, NULL) == 0 && pthread_cond_init(&a->more, NULL) == 0);
	a->wake = eventfd(0, EFD_CLOEXEC);
	MUST(a->wake >= 0);
	a->woken = loop_watch_new(l, a->wake, LOOP_READ, on_woken, a);
	MUST(pthread_create(&a->thread, NULL, check_all, a) == 0);
	return a;
}

static void drop(struct gate_check *c)
{
	while (c) {
		struct gate_check *next = c->next;

		check_free(c);
		c = next;
	}
}

void gate_auth_free(struct gate_auth **at)
{
	struct gate_auth *a = *at;

	if (!a)
		return;
	*at = NULL;
	MUST(pthread_mutex_lock(&a->lock) == 0);
	a->stop = true;
	MUST(pthread_cond_signal(&a->more) == 0);
	MUST(pthread_mutex_unlock(&a->lock) == 0);
	MUST(pthread_join(a->thread, NULL) == 0);
	drop(a->first);
	drop(a->finished);
	loop_watch_free(&a->woken);
	(void)close(a->wake);
	(void)pthread_mutex_destroy(&a->lock);
	(void)pthread_cond_destroy(&a->more);
	free(a->guessers);
	free(a);
}

/* The hashes that count now. Where there is none, one that nothing fits, for its cost. */
static void copy_hashes(struct gate_check *c, const struct ingress_point *p)
{
	static const char nothing_fits[] = "$argon2id$v=19$m=65536,t=2,p=1$bW1fbm9fcGFzc3dvcmRfXw$"
	                                   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
	int64_t now = clock_now_ms();

	for (size_t i = 0; i < p->password_count && c->hash_count < MOST_HASHES; i++) {
		const struct password_hash *h = &p->passwords[i];
		size_t len = strlen(h->hash);

		if ((h->expires_ms && h->expires_ms <= now) || len >= sizeof(c->hashes[0]))
			continue;
		c->versions[c->hash_count] = MAX_OF(h->version, INT64_C(1));
		memcpy(c->hashes[c->hash_count++], h->hash, len + 1);
	}
	if (c->hash_count)
		return;
	memcpy(c->hashes[c->hash_count++], nothing_fits, sizeof(nothing_fits));
	c->known = false;
}

static void enqueue(struct gate_auth *a, struct gate_check *c)
{
	a->pending++;
	MUST(pthread_mutex_lock(&a->lock) == 0);
	*a->last = c;
	a->last = &c->next;
	MUST(pthread_cond_signal(&a->more) == 0);
	MUST(pthread_mutex_unlock(&a->lock) == 0);
}

struct gate_check *gate_auth_check(struct gate_auth *a, const struct ip *peer,
                                   const struct ingress_point *p, bool known, struct slice password,
                                   void (*done)(void *arg, int64_t version), void *arg)
{
	int64_t now = clock_mono_ms();
	struct ip key = guesser_key(peer);
	struct gate_check *c;

	if (a->pending >= AUTH_QUEUE || !may_guess(a, &key, now))
		return NULL;
	c = mem_new(sizeof(*c));
	c->auth = a;
	c->from = key;
	c->since_ms = now;
	c->known = known && password.len <= PASSWORD_ROOM;
	c->password_len = MIN_OF(password.len, PASSWORD_ROOM);
	if (c->password_len)
		memcpy(c->password, password.at, c->password_len);
	c->done = done;
	c->arg = arg;
	copy_hashes(c, p);
	enqueue(a, c);
	return c;
}

void gate_check_forget(struct gate_check *c)
{
	c->done = NULL;
}
