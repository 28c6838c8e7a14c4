#include "ingest/lookups.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/limits.h"
#include "base/log.h"
#include "ingest/scan_result.h"
#include "ingest/scans.h"
#include "ingest/verdict/lists.h"
#include "ingest/verdicts.h"
#include "ingest/wire.h"

#define ID_MOST   64
#define QUIET_MS  60000   /* between two warnings about an add-on */
#define TOLD_MOST 1048576 /* eight results; each field of one is bounded */

_Static_assert(POLICY_ADDONS <= LISTS_MOST, "mm-verdict takes all that a policy asks");

/* An instance that a question names. */
struct asked {
	char id[ID_MOST + 1];
	const struct addon *list; /* NULL: no block list stands for it */
	char addon[ADDON_NAME_MOST + 1];
};

struct question {
	TAILQ_ENTRY(question) link;
	uint64_t number;  /* mm-smtpd's */
	uint64_t verdict; /* its number there */
	size_t count;
	struct asked at[POLICY_ADDONS];
};

TAILQ_HEAD(questions, question);

struct lookups {
	struct lookups_options o;
	struct verdicts *verdicts; /* NULL: no block list is configured, or no DNS */
	struct questions open;
	size_t open_count;
	uint64_t life;
	int64_t warned_ms[ADDONS_MOST + 1]; /* by the add-on's place in the configuration; the last:
	                                       of none there */
};

static void on_woken(void *arg);

static bool any_list(const struct addons *a)
{
	for (size_t i = 0; i < a->count; i++)
		if (a->at[i].kind == ADDON_DNSBL)
			return true;
	return false;
}

struct lookups *lookups_new(const struct lookups_options *o)
{
	struct lookups *l = mem_new(sizeof(*l));
	struct verdicts_options vo = { .loop = o->loop,
		                       .home = o->home,
		                       .deadline_ms = o->deadline_ms,
		                       .woken = on_woken,
		                       .arg = l };

	l->o = *o;
	TAILQ_INIT(&l->open);
	if (o->home && any_list(o->addons))
		l->verdicts = verdicts_new(&vo);
	return l;
}

static void drop(struct lookups *l, struct question *q)
{
	TAILQ_REMOVE(&l->open, q, link);
	l->open_count--;
	free(q);
}

static void drop_all(struct lookups *l)
{
	while (!TAILQ_EMPTY(&l->open))
		drop(l, TAILQ_FIRST(&l->open));
	if (l->verdicts)
		verdicts_forget(l->verdicts);
}

void lookups_free(struct lookups **at)
{
	struct lookups *l = *at;

	*at = NULL;
	if (!l)
		return;
	drop_all(l);
	verdicts_free(&l->verdicts);
	free(l);
}

/* ---- answers ---- */

static void warn(struct lookups *l, const struct asked *a, const char *why)
{
	size_t place = a->list ? (size_t)(a->list - l->o.addons->at) : ADDONS_MOST;
	int64_t now = clock_mono_ms();

	if (l->warned_ms[place] && now - l->warned_ms[place] < QUIET_MS)
		return;
	l->warned_ms[place] = now;
	log_warn("the add-on %s, which a traffic policy asks: %s; it is PROCESSING_FAILED",
	         a->addon[0] ? a->addon : "of an instance that has gone", why);
}

/* A new reference; failed where `a` has no list. */
static json_t *said_of(const struct lookups *l, const struct asked *a, const json_t *addons)
{
	json_t *said = a->list ? json_member_object(addons, a->id) : NULL;

	if (said)
		return json_incref(said);
	if (a->list)
		return scan_result_failed("mm-verdict didn't say it");
	return scan_result_failed(addons_find(l->o.addons, slice_str(a->addon))
	                                  ? "it is no DNS block list, or there is no DNS"
	                                  : "no block list is configured for it");
}

/* What failed may be asked again, and of the rest only the address stays the same for a connection.
 */
static json_t *result_of(struct lookups *l, const struct asked *a, const json_t *addons)
{
	json_t *one = said_of(l, a, addons);
	const char *why = json_string_value(json_object_get(one, "why"));

	if (why)
		warn(l, a, why);
	else if (a->list && a->list->lists_ip)
		json_put_bool(one, "connection", true);
	return one;
}

/* `addons` NULL: nobody said anything. */
static void tell(struct lookups *l, const struct question *q, const json_t *addons)
{
	json_t *all = json_object();
	struct buf body;
	enum rc rc;

	for (size_t i = 0; i < q->count; i++)
		json_put(all, q->at[i].id, result_of(l, &q->at[i], addons));
	buf_init(&body, TOLD_MOST);
	rc = buf_put_u64(&body, q->number);
	if (rc == RC_OK)
		rc = json_write(&body, all);
	if (rc != RC_OK) { /* it is failed to mm-smtpd, too */
		body.len = MIN_OF(body.len, (size_t)8);
		rc = buf_add(&body, slice_str("{}"));
	}
	MUST(rc == RC_OK);
	l->o.told(l->o.arg, l->life, buf_slice(&body));
	buf_free(&body);
	json_decref(all);
}

static void on_woken(void *arg)
{
	struct lookups *l = arg;
	uint64_t number;
	json_t *said;

	while (verdicts_take(l->verdicts, &number, &said)) {
		struct question *q = TAILQ_FIRST(&l->open);

		while (q && q->verdict != number)
			q = TAILQ_NEXT(q, link);
		if (q) {
			tell(l, q, json_member_object(said, "addons"));
			drop(l, q);
		}
		json_decref(said);
	}
}

/* ---- questions ---- */

static bool read_asked(struct question *q, struct reader *r)
{
	while (r->ok && r->rest.len && q->count < POLICY_ADDONS) {
		struct slice id = read_slice(r);

		if (!r->ok || !id.len || id.len > ID_MOST || slice_find_byte(id, 0) != SIZE_MAX)
			return false;
		memcpy(q->at[q->count++].id, id.at, id.len);
	}
	return r->ok && !r->rest.len && q->count > 0;
}

static bool read_question(struct question *q, struct mail *m, struct slice body)
{
	struct reader r = reader_over(body);
	struct ip ip;

	q->number = read_u64(&r);
	m->ip = read_slice(&r);
	m->helo = read_slice(&r);
	m->mail_from = read_slice(&r);
	return r.ok && (!m->ip.len || ip_parse(&ip, m->ip)) && m->helo.len <= LIMIT_SMTP_LINE &&
	       m->mail_from.len <= LIMIT_SMTP_LINE && read_asked(q, &r);
}

static void find_lists(struct lookups *l, struct question *q)
{
	struct config *c = l->o.config(l->o.arg);

	for (size_t i = 0; i < q->count; i++) {
		struct asked *a = &q->at[i];
		struct slice name = config_addon(c, slice_str(a->id));
		const struct addon *addon = addons_find(l->o.addons, name);

		memcpy(a->addon, name.len ? (const char *)name.at : "",
		       MIN_OF(name.len, (size_t)ADDON_NAME_MOST));
		if (l->verdicts && addon && addon->kind == ADDON_DNSBL)
			a->list = addon;
	}
	config_unref(&c);
}

/* False: there is nothing to be asked. */
static bool ask(struct lookups *l, struct question *q, const struct mail *m)
{
	struct scan_instance lists[POLICY_ADDONS];
	size_t n = 0;

	for (size_t i = 0; i < q->count; i++)
		if (q->at[i].list)
			lists[n++] = (struct scan_instance) { slice_str(q->at[i].id),
				                              slice_str(q->at[i].addon) };
	if (n)
		q->verdict = verdicts_ask_client(l->verdicts, m, lists, n);
	return n > 0;
}

bool lookups_ask(struct lookups *l, uint64_t life, struct slice body)
{
	struct question *q = mem_new(sizeof(*q));
	struct mail m = { .import = false };

	if (life != l->life)
		drop_all(l);
	l->life = life;
	if (l->open_count >= WIRE_ASKS_MOST || !read_question(q, &m, body)) {
		free(q);
		return false;
	}
	find_lists(l, q);
	TAILQ_INSERT_TAIL(&l->open, q, link);
	l->open_count++;
	if (!ask(l, q, &m)) {
		tell(l, q, NULL);
		drop(l, q);
	}
	return true;
}
