#include "ingest/verdicts.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/home.h"
#include "base/log.h"
#include "ingest/scan_result.h"
#include "ingest/scans.h"
#include "ingest/verdict/resolver.h"
#include "ingest/verdict/verdict_words.h"
#include "ingest/verdict_wire.h"

/* Behind the deadline: more than one message may compute (CPU_MS, verdict/serve.c). */
#define GRACE_MS      8000
#define LOOK_MS       250
#define START_MS      10000
#define FIRST_WAIT_MS 100
#define LAST_WAIT_MS  5000
#define MOST_DEATHS   16 /* of children that a message was with; it isn't asked about any more */
#define FACTS         (VERDICT_BATCH * 65536)

/* A message whose verdict isn't there. */
struct ask {
	TAILQ_ENTRY(ask) link;
	uint64_t number;
	struct slice raw;
	json_t *facts;
	int64_t due_ms;
	bool with_child;
	bool suspect;    /* the child died with it, and it isn't known of which one */
	unsigned blamed; /* how often the child died of this one */
	unsigned deaths; /* how often it died with it */
	bool client;     /* it is no message: lists alone are asked */
};

struct said {
	TAILQ_ENTRY(said) link;
	uint64_t number;
	json_t *verdicts;
};

TAILQ_HEAD(asks, ask);
TAILQ_HEAD(saids, said);

struct verdicts {
	struct verdicts_options o;
	int64_t grace_ms;
	pthread_mutex_t lock; /* asks, saids, totals, last, posted */
	struct asks asks;     /* in the order in which they are sent */
	struct saids saids;
	struct verdicts_totals totals;
	uint64_t last;
	bool posted;
	/* the loop's */
	struct channel *channel; /* NULL: no child */
	int leash;
	volatile uint64_t *mark;
	bool ready;
	size_t child_has; /* messages, forgotten ones too */
	size_t together;  /* suspects that are asked about at once: all, or half of those that it
	                     died with */
	int64_t started_ms;
	int64_t wait_ms;
	struct loop_timer *again;
	struct loop_timer *look;
	bool looking; /* its time comes */
	bool news;    /* `woken` is to be called */
};

static void start_child(void *arg);
static void send_what_waits(struct verdicts *v);

/* ---- configuration ---- */

enum rc verdicts_deadline(const json_t *dns, int64_t *ms, struct err *e)
{
	return resolver_deadline(dns, ms, e);
}

enum rc verdicts_configure(const json_t *dns, struct err *e)
{
	struct resolver_options o;
	int64_t ms;
	enum rc rc = resolver_options_read(&o, dns, e);

	return rc == RC_OK ? resolver_deadline(dns, &ms, e) : rc;
}

enum rc verdicts_home_start(struct home **out, const json_t *dns, const char *program,
                            struct err *e)
{
	const char *anchor = json_string_value(json_object_get(dns, "trust_anchor"));
	enum rc rc = verdicts_configure(dns, e);
	struct buf text;

	*out = NULL;
	if (rc != RC_OK)
		return rc;
	if (anchor) { /* each child reads it; that it isn't there is said at the start */
		buf_init(&text, 1 << 20);
		rc = file_read_all(anchor, &text, e);
		buf_free(&text);
	}
	if (rc != RC_OK)
		return err_in(e, "dns.trust_anchor");
	return home_start(out, program ? program : "mm-verdict", json_deep_copy(dns), e);
}

/* ---- with the lock ---- */

static void lock(struct verdicts *v)
{
	MUST(pthread_mutex_lock(&v->lock) == 0);
}

static void unlock(struct verdicts *v)
{
	MUST(pthread_mutex_unlock(&v->lock) == 0);
}

static void ask_free(struct verdicts *v, struct ask *a)
{
	TAILQ_REMOVE(&v->asks, a, link);
	v->totals.waiting--;
	json_decref(a->facts);
	free(a);
}

/* `verdicts` is given away. */
static void settle(struct verdicts *v, struct ask *a, json_t *verdicts)
{
	struct said *s = mem_new(sizeof(*s));

	s->number = a->number;
	s->verdicts = verdicts;
	TAILQ_INSERT_TAIL(&v->saids, s, link);
	ask_free(v, a);
	v->news = true;
}

static void settle_failed(struct verdicts *v, struct ask *a, const char *why)
{
	v->totals.failed++;
	settle(v, a, verdicts_failed(why));
}

static struct ask *find(struct verdicts *v, uint64_t number)
{
	struct ask *a;

	TAILQ_FOREACH(a, &v->asks, link)
	if (a->number == number)
		return a;
	return NULL;
}

/* Behind everything that the loop's thread does with the lock. */
static void unlock_and_tell(struct verdicts *v)
{
	bool news = v->news;

	v->news = false;
	unlock(v);
	if (news && v->o.woken)
		v->o.woken(v->o.arg);
}

/* ---- shared memory ---- */

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

/* *at is mapped for writing. */
static enum rc memory_new(struct file **f, uint8_t **at, size_t bytes, struct err *e)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("mm-verdict", flags | MFD_NOEXEC_SEAL);
	void *map;
	enum rc rc;

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create("mm-verdict", flags);
	if (fd < 0)
		return err_sys(e, "memory for mm-verdict");
	*f = file_adopt(fd, "memory for mm-verdict");
	rc = file_truncate(*f, bytes, e);
	if (rc == RC_OK) {
		map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED)
			rc = err_sys(e, "map memory for mm-verdict");
		else
			*at = map;
	}
	if (rc != RC_OK)
		file_close(f);
	return rc;
}

/* Nobody changes it any more. */
static enum rc seal(struct file *f, uint8_t *at, size_t bytes, struct err *e)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;

	(void)munmap(at, bytes); /* F_SEAL_WRITE wants no mapping for writing */
	if (fcntl(file_fd(f), F_ADD_SEALS, seals) != 0)
		return err_sys(e, "seal memory for mm-verdict");
	return RC_OK;
}

/* ---- batches ---- */

struct batch {
	struct ask *asks[VERDICT_BATCH];
	size_t count;
	size_t raw;
};

static bool fits(const struct batch *b, const struct ask *a)
{
	return b->count == 0 ||
	       (b->count < VERDICT_BATCH && b->raw + a->raw.len <= VERDICT_BATCH_SIZE);
}

/* Facts first; `at` counts from the begin of the memory, which isn't known before their length is:
 * they are written twice. */
static enum rc write_facts(const struct batch *b, size_t before, struct buf *out)
{
	json_t *list = json_array();
	int64_t now = clock_mono_ms();
	size_t at = before;
	enum rc rc;

	for (size_t i = 0; i < b->count; i++) {
		struct ask *a = b->asks[i];

		json_put_int(a->facts, "at", (int64_t)at);
		json_put_int(a->facts, "len", (int64_t)a->raw.len);
		json_put_int(a->facts, "left", MAX_OF(a->due_ms - now, (int64_t)1));
		json_push(list, json_incref(a->facts));
		at += a->raw.len;
	}
	buf_clear(out);
	rc = json_write(out, list);
	json_decref(list);
	return rc;
}

/* Blanks behind JSON are fine: room for numbers that get longer. */
static enum rc facts_of(const struct batch *b, struct buf *out)
{
	enum rc rc = write_facts(b, 0, out);
	size_t room = out->len + b->count * 20;

	if (rc == RC_OK)
		rc = write_facts(b, room, out);
	if (rc == RC_OK && out->len > room)
		rc = RC_LIMIT;
	while (rc == RC_OK && out->len < room)
		rc = buf_add_byte(out, ' ');
	return rc;
}

static enum rc fill(const struct batch *b, struct slice facts, struct file **f, struct err *e)
{
	size_t bytes = facts.len + b->raw;
	uint8_t *at = NULL;
	size_t to = facts.len;
	enum rc rc = memory_new(f, &at, bytes, e);

	if (rc != RC_OK)
		return rc;
	memcpy(at, facts.at, facts.len);
	for (size_t i = 0; i < b->count; i++) {
		struct slice raw = b->asks[i]->raw;

		if (raw.len)
			memcpy(at + to, raw.at, raw.len);
		to += raw.len;
	}
	rc = seal(*f, at, bytes, e);
	if (rc != RC_OK)
		file_close(f);
	return rc;
}

static enum rc send_filled(struct verdicts *v, const struct batch *b, size_t facts, struct file *f,
                           struct err *e)
{
	json_t *o = json_object();
	struct buf body;
	int fd = file_fd(f);
	enum rc rc;

	json_put_int(o, "facts", (int64_t)facts);
	json_put_int(o, "bytes", (int64_t)(facts + b->raw));
	buf_init(&body, VERDICT_TEXT);
	rc = json_write(&body, o);
	if (rc == RC_OK)
		rc = channel_send(v->channel, VERDICT_ASK, buf_slice(&body), &fd, 1, e);
	buf_free(&body);
	json_decref(o);
	return rc;
}

static enum rc send_batch(struct verdicts *v, const struct batch *b, struct err *e)
{
	struct file *f = NULL;
	struct buf facts;
	enum rc rc;

	buf_init(&facts, FACTS);
	rc = facts_of(b, &facts);
	if (rc != RC_OK)
		rc = err_set(e, rc, "the facts of %zu messages are too long", b->count);
	if (rc == RC_OK)
		rc = fill(b, buf_slice(&facts), &f, e);
	if (rc == RC_OK)
		rc = send_filled(v, b, facts.len, f, e);
	file_close(&f);
	buf_free(&facts);
	return rc;
}

/* Suspects go alone: the first of them, while nothing else is with the child. */
static bool may_send(const struct verdicts *v, const struct ask *a, bool suspects, size_t sent)
{
	if (a->with_child || v->child_has + sent >= VERDICT_UNDER_WAY)
		return false;
	return !suspects || (a->suspect && v->child_has == 0 && sent < v->together);
}

static bool any_suspect(struct verdicts *v)
{
	struct ask *a;

	TAILQ_FOREACH(a, &v->asks, link)
	if (a->suspect)
		return true;
	v->together = VERDICT_UNDER_WAY;
	return false;
}

/* With the lock. What can't be sent now is tried again by the next look. */
static bool send_one_batch(struct verdicts *v, bool suspects, size_t *sent)
{
	struct batch b = { .count = 0 };
	struct err e = { 0 };
	struct ask *a;

	TAILQ_FOREACH(a, &v->asks, link)
	{
		if (!may_send(v, a, suspects, *sent + b.count))
			continue;
		if (!fits(&b, a))
			break;
		b.asks[b.count++] = a;
		b.raw += a->raw.len;
	}
	if (b.count == 0)
		return false;
	if (send_batch(v, &b, &e) != RC_OK) {
		log_warn("%s", e.text);
		return false;
	}
	for (size_t i = 0; i < b.count; i++)
		b.asks[i]->with_child = true;
	*sent += b.count;
	return true;
}

static void send_what_waits(struct verdicts *v)
{
	size_t sent = 0;
	bool suspects = any_suspect(v);

	if (!v->channel || !v->ready)
		return;
	while (send_one_batch(v, suspects, &sent))
		;
	v->child_has += sent;
}

/* ---- the child's death ---- */

static void stop_child(struct verdicts *v)
{
	channel_free(&v->channel);
	if (v->leash >= 0)
		(void)close(v->leash);
	v->leash = -1;
	if (v->mark)
		(void)munmap((void *)(uintptr_t)v->mark, VERDICT_MARK);
	v->mark = NULL;
	v->ready = false;
	v->child_has = 0;
}

/* One that was with it: again, unless that was often enough. */
static void again(struct verdicts *v, struct ask *a, bool blamed)
{
	a->with_child = false;
	a->due_ms = clock_mono_ms() + v->o.deadline_ms;
	a->blamed += blamed;
	if (a->blamed < 2 && ++a->deaths < MOST_DEATHS)
		return;
	settle_failed(v, a, "mm-verdict can't read it");
	v->together = VERDICT_UNDER_WAY;
}

/* Which of them it was isn't known: half of them is asked about first. */
static void suspect_all(struct verdicts *v)
{
	struct ask *a, *next;
	size_t count = 0;

	TAILQ_FOREACH(a, &v->asks, link)
	count += a->with_child;
	if (count)
		v->together = MAX_OF(count / 2, (size_t)1);
	for (a = TAILQ_FIRST(&v->asks); a; a = next) {
		next = TAILQ_NEXT(a, link);
		if (!a->with_child)
			continue;
		a->suspect = true;
		again(v, a, count == 1);
	}
}

/* The one that it worked at; all others are beyond suspicion. */
static void blame(struct verdicts *v, uint64_t number)
{
	struct ask *a, *next;

	for (a = TAILQ_FIRST(&v->asks); a; a = next) {
		next = TAILQ_NEXT(a, link);
		if (a->with_child)
			again(v, a, a->number == number);
	}
}

/* With the lock. */
static void lose_child(struct verdicts *v, const char *why, uint64_t number)
{
	log_warn("mm-verdict ended with %zu messages at hand: %s", v->child_has, why);
	v->totals.died++;
	stop_child(v);
	if (number)
		blame(v, number);
	else
		suspect_all(v);
	loop_timer_set(v->again, v->wait_ms);
	v->wait_ms = MIN_OF(v->wait_ms * 2, (int64_t)LAST_WAIT_MS);
}

static uint64_t marked(const struct verdicts *v)
{
	return v->mark ? *v->mark : 0;
}

/* ---- what the child says ---- */

static bool was_asked(const struct ask *a, const char *id)
{
	const json_t *lists = json_member_array(a->facts, "lists");

	for (size_t i = 0; i < json_array_size(lists); i++)
		if (slice_equal(json_member_text(json_array_get(lists, i), "id"), slice_str(id)))
			return true;
	return false;
}

/* "addons" of what the child said, made anew, into `verdicts`; it may say none. Of instances that
 * it wasn't asked about, as those of a virus scanner, it has nothing to say. */
static enum rc take_addons(const struct ask *a, const json_t *o, json_t *verdicts, struct err *e)
{
	const json_t *from = json_object_get(o, "addons");
	json_t *addons = json_object();
	enum rc rc = RC_OK;
	const char *id;
	json_t *value;

	if (from && (!json_is_object(from) || json_object_size(from) > ADDONS_MOST))
		rc = err_set(e, RC_INVALID, "add-ons that nobody asked for");
	json_object_foreach((json_t *)(uintptr_t)from, id, value)
	{
		json_t *one = NULL;

		if (rc == RC_OK && a && !was_asked(a, id))
			rc = err_set(e, RC_INVALID, "an add-on that nobody asked for");
		if (rc == RC_OK)
			rc = scan_result_read(&one, value, e);
		if (rc == RC_OK)
			json_put(addons, id, one);
	}
	if (rc == RC_OK && from)
		json_put(verdicts, "addons", json_incref(addons));
	json_decref(addons);
	return rc;
}

/* Is it an answer to `a` (NULL: to what was forgotten)? */
static bool answers_it(const struct verdicts *v, const json_t *o, const struct ask *a,
                       uint64_t number)
{
	bool verdicts = json_object_get(o, "verdicts") != NULL;
	bool addons = json_object_get(o, "addons") != NULL;

	return (verdicts || addons) && json_object_size(o) == 1u + verdicts + addons &&
	       number != 0 && number <= v->last && v->child_has > 0 &&
	       (!a || (a->with_child && a->client == !verdicts));
}

/* *said is a new reference. */
static enum rc read_answer(const struct ask *a, const json_t *o, json_t **said, struct err *e)
{
	json_t *verdicts = json_object_get(o, "verdicts");
	enum rc rc = verdicts ? verdicts_valid(verdicts, e) : RC_OK;

	*said = verdicts ? json_incref(verdicts) : json_object();
	return rc == RC_OK ? take_addons(a, o, *said, e) : rc;
}

/* *number: of whom it spoke, where that can be told. */
static enum rc hear_answer(struct verdicts *v, struct slice body, uint64_t *number, struct err *e)
{
	json_t *o = NULL;
	json_t *said = NULL;
	struct ask *a;
	enum rc rc = json_read(&o, body, e);

	*number = 0;
	if (rc != RC_OK)
		return rc;
	*number = (uint64_t)json_member_int(o, "number", 0);
	a = find(v, *number);
	if (!answers_it(v, o, a, *number))
		rc = err_set(e, RC_INVALID, "an answer that nobody asked for");
	else
		rc = read_answer(a, o, &said, e);
	if (rc == RC_OK) {
		if (--v->child_has == 0)
			v->together = VERDICT_UNDER_WAY;
		v->wait_ms = FIRST_WAIT_MS;
		if (a) /* else it was forgotten */
			settle(v, a, json_incref(said));
	}
	json_decref(said);
	json_decref(o);
	return rc;
}

static void on_message(void *arg, unsigned type, struct slice body, int *fds, size_t nfds)
{
	struct verdicts *v = arg;
	struct err e = { .text = "nonsense" };
	uint64_t number = 0;
	enum rc rc = RC_INVALID;

	(void)fds;
	lock(v);
	if (type == VERDICT_READY && !v->ready && nfds == 0) {
		v->ready = true;
		rc = RC_OK;
	} else if (type == VERDICT_FAILED && !v->ready) {
		struct err said;

		rc = err_set(&said, RC_IO, "%.*s", (int)MIN_OF(body.len, (size_t)400),
		             (const char *)body.at);
		e = said;
	} else if (type == VERDICT_ANSWER && v->ready && nfds == 0) {
		rc = hear_answer(v, body, &number, &e);
	}
	if (rc != RC_OK)
		lose_child(v, e.text, number ? number : marked(v));
	else if (type == VERDICT_READY || v->child_has + VERDICT_BATCH <= VERDICT_UNDER_WAY)
		send_what_waits(v);
	unlock_and_tell(v);
}

static void on_closed(void *arg, const char *why)
{
	struct verdicts *v = arg;

	lock(v);
	lose_child(v, why, marked(v));
	unlock_and_tell(v);
}

/* ---- the child's life ---- */

static enum rc make_child(struct verdicts *v, struct err *e)
{
	static const struct channel_ops ops = { on_message, on_closed };
	struct file *memory = NULL;
	uint8_t *at = NULL;
	int leash[2] = { -1, -1 };
	int extra[VERDICT_EXTRA];
	int fd = -1;
	enum rc rc = memory_new(&memory, &at, VERDICT_MARK, e);

	if (rc != RC_OK)
		return rc;
	v->mark = (volatile uint64_t *)(void *)at;
	v->started_ms = clock_mono_ms();
	rc = home_leash(leash, e);
	if (rc == RC_OK) {
		v->leash = leash[1];
		extra[VERDICT_LEASH] = leash[0];
		extra[VERDICT_MEMORY] = file_fd(memory);
		rc = home_child(v->o.home, &fd, json_object(), extra, VERDICT_EXTRA, e);
		(void)close(leash[0]);
	}
	file_close(&memory);
	if (rc == RC_OK)
		v->channel = channel_new(v->o.loop, fd, VERDICT_TEXT, &ops, v);
	else
		stop_child(v);
	return rc;
}

static void start_child(void *arg)
{
	struct verdicts *v = arg;
	struct err e = { 0 };

	if (v->channel || make_child(v, &e) == RC_OK)
		return;
	log_error("%s", e.text);
	loop_timer_set(v->again, v->wait_ms);
	v->wait_ms = MIN_OF(v->wait_ms * 2, (int64_t)LAST_WAIT_MS);
}

/* It hangs at a message, or nobody knows where: then what is past its time has failed. */
static void end_hanging(struct verdicts *v, int64_t now)
{
	uint64_t number = marked(v);
	struct ask *a, *next;

	for (a = TAILQ_FIRST(&v->asks); a; a = next) {
		next = TAILQ_NEXT(a, link);
		if (a->with_child && now >= a->due_ms && (number == 0 || a->number == number))
			settle_failed(v, a, "mm-verdict took too long over it");
	}
	lose_child(v, "it hangs", number ? number : UINT64_MAX);
}

/* One that is set already stays: who asks often must not put it off. */
static void look_soon(struct verdicts *v)
{
	if (v->looking || TAILQ_EMPTY(&v->asks))
		return;
	v->looking = true;
	loop_timer_set(v->look, LOOK_MS);
}

static void on_look(void *arg)
{
	struct verdicts *v = arg;
	struct ask *a, *next;
	int64_t now = clock_mono_ms();
	bool hangs = v->channel && !v->ready && now > v->started_ms + START_MS;

	lock(v);
	for (a = TAILQ_FIRST(&v->asks); a; a = next) {
		next = TAILQ_NEXT(a, link);
		if (a->with_child)
			hangs |= now >= a->due_ms + v->grace_ms;
		else if (now >= a->due_ms)
			settle_failed(v, a, "mm-verdict wasn't there in time");
	}
	if (hangs)
		end_hanging(v, now);
	send_what_waits(v);
	v->looking = false;
	look_soon(v);
	unlock_and_tell(v);
}

static void on_asked(void *arg)
{
	struct verdicts *v = arg;

	lock(v);
	v->posted = false;
	send_what_waits(v);
	look_soon(v);
	unlock_and_tell(v);
}

struct verdicts *verdicts_new(const struct verdicts_options *o)
{
	struct verdicts *v = mem_new(sizeof(*v));

	v->o = *o;
	if (!v->o.deadline_ms)
		v->o.deadline_ms = (int64_t)RESOLVER_DEADLINE_S * 1000;
	v->grace_ms = GRACE_MS;
	v->leash = -1;
	v->wait_ms = FIRST_WAIT_MS;
	v->together = VERDICT_UNDER_WAY;
	TAILQ_INIT(&v->asks);
	TAILQ_INIT(&v->saids);
	MUST(pthread_mutex_init(&v->lock, NULL) == 0);
	v->again = loop_timer_new(o->loop, start_child, v);
	v->look = loop_timer_new(o->loop, on_look, v);
	start_child(v);
	return v;
}

void verdicts_free(struct verdicts **at)
{
	struct verdicts *v = *at;

	if (!v)
		return;
	*at = NULL;
	stop_child(v);
	verdicts_forget(v);
	loop_timer_free(&v->again);
	loop_timer_free(&v->look);
	(void)pthread_mutex_destroy(&v->lock);
	free(v);
}

/* ---- the pipeline's side ---- */

static json_t *facts_new(const struct verdicts *v, const struct mail *m)
{
	json_t *o = json_object();
	char id[ID_TEXT + 1];

	id_format(id, &m->id);
	json_put_text(o, "id", slice_str(id));
	json_put_int(o, "now", m->received_ms);
	json_put(o, "ip", json_of_slice(m->ip));
	json_put(o, "helo", json_of_slice(m->helo));
	json_put(o, "from", json_of_slice(m->mail_from));
	json_put_text(o, "receiver", slice_str(v->o.receiver ? v->o.receiver : ""));
	return o;
}

uint64_t verdicts_ask(struct verdicts *v, const struct mail *m, struct slice raw)
{
	return verdicts_ask_lists(v, m, raw, NULL, 0);
}

static void put_lists(json_t *facts, const struct scan_instance *asked, size_t count)
{
	json_t *lists = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *one = json_object();

		json_put(one, "id", json_of_slice(asked[i].id));
		json_put(one, "addon", json_of_slice(asked[i].addon));
		json_push(lists, one);
	}
	json_put(facts, "lists", lists);
}

static struct ask *ask_new(const struct verdicts *v, const struct mail *m, struct slice raw,
                           const struct scan_instance *asked, size_t count)
{
	struct ask *a = mem_new(sizeof(*a));

	a->raw = raw;
	a->facts = facts_new(v, m);
	if (count)
		put_lists(a->facts, asked, count);
	return a;
}

static uint64_t enqueue(struct verdicts *v, struct ask *a)
{
	uint64_t number;
	bool post;

	a->due_ms = clock_mono_ms() + v->o.deadline_ms;
	lock(v);
	number = a->number = ++v->last;
	json_put_int(a->facts, "number", (int64_t)number);
	TAILQ_INSERT_TAIL(&v->asks, a, link);
	v->totals.asked++;
	v->totals.waiting++;
	post = !v->posted;
	v->posted = true;
	unlock(v);
	if (post)
		loop_post(v->o.loop, on_asked, v);
	return number;
}

uint64_t verdicts_ask_lists(struct verdicts *v, const struct mail *m, struct slice raw,
                            const struct scan_instance *asked, size_t count)
{
	return enqueue(v, ask_new(v, m, raw, asked, count));
}

uint64_t verdicts_ask_client(struct verdicts *v, const struct mail *m,
                             const struct scan_instance *asked, size_t count)
{
	struct ask *a = ask_new(v, m, slice_of(NULL, 0), asked, count);

	a->client = true;
	json_put_bool(a->facts, "client", true);
	return enqueue(v, a);
}

bool verdicts_take(struct verdicts *v, uint64_t *number, json_t **said)
{
	struct said *s;

	lock(v);
	s = TAILQ_FIRST(&v->saids);
	if (s)
		TAILQ_REMOVE(&v->saids, s, link);
	unlock(v);
	if (!s)
		return false;
	*number = s->number;
	*said = s->verdicts;
	free(s);
	return true;
}

void verdicts_forget(struct verdicts *v)
{
	struct said *s;

	lock(v);
	while (!TAILQ_EMPTY(&v->asks))
		ask_free(v, TAILQ_FIRST(&v->asks));
	while ((s = TAILQ_FIRST(&v->saids))) {
		TAILQ_REMOVE(&v->saids, s, link);
		json_decref(s->verdicts);
		free(s);
	}
	unlock(v);
}

void verdicts_count(struct verdicts *v, struct verdicts_totals *out)
{
	lock(v);
	*out = v->totals;
	unlock(v);
}

#ifdef MM_TEST
void verdicts_set_grace(struct verdicts *v, int64_t ms)
{
	v->grace_ms = ms ? ms : GRACE_MS;
}

size_t verdicts_with_child(struct verdicts *v)
{
	size_t n;

	lock(v);
	n = v->child_has;
	unlock(v);
	return n;
}
#endif
