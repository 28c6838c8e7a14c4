#include "api/account.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/json.h"
#include "base/log.h"
#include "store/hash.h"

#define KEYS_MAX 4096 /* roles times operations times principals are far below */

struct counted {
	char *key;
	char *event;
	char *who; /* of the last one */
	char *op;
	char *outcome; /* may be NULL */
	char *named;   /* the key that it is counted by, or NULL */
	int64_t since_ms;
	uint64_t again; /* counted since, not entered */
	UT_hash_handle hh;
};

struct tally {
	struct audit *audit;
	pthread_mutex_t lock; /* below */
	struct counted *all;
};

struct tally *tally_new(struct audit *a)
{
	struct tally *t = mem_new(sizeof(*t));

	t->audit = a;
	MUST(pthread_mutex_init(&t->lock, NULL) == 0);
	return t;
}

static void counted_free(struct tally *t, struct counted *c)
{
	HASH_DEL(t->all, c);
	free(c->key);
	free(c->event);
	free(c->who);
	free(c->op);
	free(c->outcome);
	free(c->named);
	free(c);
}

static json_t *detail_of(const char *op, const char *outcome)
{
	json_t *o = json_object();

	json_put_text(o, "op", slice_str(op));
	if (outcome)
		json_put_text(o, "outcome", slice_str(outcome));
	return o;
}

/* With the lock held. What was counted, where there is something. */
static enum rc enter_count(struct tally *t, struct counted *c, struct err *e)
{
	json_t *detail;
	char since[25];
	enum rc rc;

	if (c->again == 0)
		return RC_OK;
	time_format(since, c->since_ms);
	detail = detail_of(c->op, c->outcome);
	if (c->named)
		json_put_text(detail, "key", slice_str(c->named));
	json_put_int(detail, "again", (int64_t)c->again);
	json_put_text(detail, "since", slice_str(since));
	rc = audit_add(t->audit, c->event, c->who, detail, e);
	if (rc == RC_OK)
		c->again = 0;
	return rc;
}

static bool is_over(const struct counted *c, int64_t now_ms)
{
	return now_ms < c->since_ms || now_ms - c->since_ms >= ACCOUNT_WINDOW_MS;
}

/* With the lock held; `all`: whether their time is over or not. */
static enum rc settle(struct tally *t, bool all, struct err *e)
{
	int64_t now_ms = clock_now_ms();
	enum rc rc = RC_OK;
	struct counted *c;
	struct counted *next;

	HASH_ITER(hh, t->all, c, next)
	{
		if (!all && !is_over(c, now_ms))
			continue;
		rc = enter_count(t, c, e);
		if (rc != RC_OK)
			break;
		counted_free(t, c);
	}
	return rc;
}

enum rc tally_settle(struct tally *t, struct err *e)
{
	enum rc rc;

	(void)pthread_mutex_lock(&t->lock);
	rc = settle(t, false, e);
	(void)pthread_mutex_unlock(&t->lock);
	return rc == RC_OK ? audit_sync(t->audit, e) : rc;
}

void tally_free(struct tally **at)
{
	struct tally *t = *at;
	struct err e = { 0 };
	struct counted *c;
	struct counted *next;

	if (!t)
		return;
	*at = NULL;
	if (settle(t, true, &e) != RC_OK || audit_sync(t->audit, &e) != RC_OK)
		log_error("the audit log: counts of requests are lost: %s", e.text);
	HASH_ITER(hh, t->all, c, next)
	counted_free(t, c);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}

static char *key_of(const struct asked *x)
{
	struct buf b;
	char *key;

	buf_init(&b, 1024);
	MUST(buf_addf(&b, "%s|%s|%s|%s", x->event, x->op, x->outcome ? x->outcome : "",
	              x->counted) == RC_OK);
	key = mem_string(buf_text(&b));
	buf_free(&b);
	return key;
}

/* As typed, it may be anything. */
static void put_typed(json_t *detail, const char *member, struct slice text)
{
	if (text.len)
		json_put(detail, member, json_of_slice(slice_part(text, 0, 64)));
}

static enum rc enter_first(struct tally *t, const struct asked *x, struct err *e)
{
	json_t *detail = detail_of(x->op, x->outcome);

	put_typed(detail, "archive", x->archive);
	put_typed(detail, "key", x->key);
	put_typed(detail, "address", x->address);
	if (x->times > 1)
		json_put_int(detail, "count", (int64_t)x->times);
	return audit_add(t->audit, x->event, x->who, detail, e);
}

/* With the lock held. */
static void remember(struct tally *t, const struct asked *x, char *key)
{
	struct counted *c = mem_new(sizeof(*c));

	c->key = key;
	c->event = mem_string(x->event);
	c->who = mem_string(x->who);
	c->op = mem_string(x->op);
	c->outcome = x->outcome ? mem_string(x->outcome) : NULL;
	c->named = x->key.len && *x->counted ? mem_string(x->counted) : NULL;
	c->since_ms = clock_now_ms();
	HASH_ADD_KEYPTR(hh, t->all, c->key, strlen(c->key), c);
}

enum rc tally_add(struct tally *t, const struct asked *x, struct err *e)
{
	char *key = key_of(x);
	struct counted *c;
	bool first = true;
	enum rc rc = RC_OK;

	(void)pthread_mutex_lock(&t->lock);
	HASH_FIND_STR(t->all, key, c);
	if (c && !is_over(c, clock_now_ms())) {
		first = false;
		c->again += x->times ? x->times : 1;
		free(c->who);
		c->who = mem_string(x->who);
	} else if (c) {
		rc = enter_count(t, c, e);
		if (rc == RC_OK)
			counted_free(t, c);
	} else if (HASH_COUNT(t->all) >= KEYS_MAX) {
		rc = settle(t, true, e);
	}
	if (rc == RC_OK && first)
		rc = enter_first(t, x, e);
	if (rc == RC_OK && first) {
		remember(t, x, key);
		key = NULL;
	}
	(void)pthread_mutex_unlock(&t->lock);
	free(key);
	return rc == RC_OK ? audit_sync(t->audit, e)
	                   : rc; /* what isn't on disk yet may be a first one */
}
