#include "ingest/scans.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/log.h"
#include "ingest/scan_result.h"
#include "ingest/scan_wire.h"

#define LOOK_MS    100  /* between two looks at deadlines */
#define TRY_MS     1000 /* between two tries of a scanner that is down */
#define AGAIN_MS   100  /* before a child that ended is made again; then twice that each time */
#define AGAIN_MOST 10000
#define LIVED_MS   30000 /* a life that sets it back */

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

struct group;

/* One message for one scanner: in its lane's line, or under way. */
struct job {
	struct job *next;
	struct group *group;
	struct lane *lane;
	char *instance;
	uint64_t number;
	int64_t asked_ms;
	int64_t out_ms; /* when the child got it */
	bool suspect;   /* a child died while it had it */
};

/* What was asked about one message. */
struct group {
	struct group *next; /* of all */
	struct scans *scans;
	uint64_t number;
	uint64_t epoch;
	json_t *addons;
	json_t *facts;
	int fd; /* the message; -1: it couldn't be copied */
	size_t open;
	struct job *jobs; /* until the thread has them */
};

struct lane {
	const struct addon *addon;
	struct job *first;
	struct job *last;
	unsigned out;
	int64_t down_ms;    /* since when; 0: it isn't */
	int64_t next_ms;    /* when it is tried again */
	int64_t good_ms;    /* its last good answer */
	char why[SCAN_WHY]; /* of an outage that was logged; empty: none */
	uint64_t scanned;
	uint64_t failed;
	size_t waiting;
};

struct said {
	struct said *next;
	uint64_t number;
	json_t *addons;
};

struct scans {
	struct scan_home *home;
	const struct addons *addons;
	void (*woken)(void *arg);
	void *arg;
	struct loop *loop;
	struct loop_timer *look;
	struct loop_timer *again;
	pthread_t thread;
	struct lane *lanes; /* in the order of the configuration, without DNS block lists */
	size_t lane_count;
	struct channel *child;
	bool ready;
	bool lost; /* the home has ended, and that was logged */
	int64_t born_ms;
	int64_t again_ms;
	struct job *out;
	unsigned out_count;
	unsigned suspects;
	uint64_t next_job;
	pthread_mutex_t lock; /* below, and the lanes' counts and reasons */
	struct group *groups;
	struct said *first;
	struct said **last;
	uint64_t next_number;
	uint64_t epoch;
};

static void pump(struct scans *s);

/* ---- the message, shared ---- */

static bool write_all(int fd, struct slice raw)
{
	while (raw.len) {
		ssize_t n = write(fd, raw.at, raw.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		raw = slice_from(raw, (size_t)n);
	}
	return true;
}

static int share_message(struct slice raw)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("mm-scan", flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create("mm-scan", flags);
	/* Nobody changes it: the child maps what mmd wrote. */
	if (fd >= 0 && (!write_all(fd, raw) ||
	                fcntl(fd, F_ADD_SEALS,
	                      F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

/* ---- results ---- */

static void job_free(struct job *j)
{
	free(j->instance);
	free(j);
}

static void group_free(struct group *g)
{
	while (g->jobs) {
		struct job *j = g->jobs;

		g->jobs = j->next;
		job_free(j);
	}
	json_decref(g->addons);
	json_decref(g->facts);
	if (g->fd >= 0)
		(void)close(g->fd);
	free(g);
}

/* With the lock held. */
static void unlink_group(struct scans *s, const struct group *g)
{
	struct group **at = &s->groups;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
}

static void deliver(struct scans *s, struct group *g)
{
	struct said *said = mem_new(sizeof(*said));
	bool wanted;

	(void)pthread_mutex_lock(&s->lock);
	unlink_group(s, g);
	wanted = g->epoch == s->epoch;
	if (wanted) {
		said->number = g->number;
		said->addons = json_incref(g->addons);
		*s->last = said;
		s->last = &said->next;
	}
	(void)pthread_mutex_unlock(&s->lock);
	group_free(g);
	if (wanted)
		s->woken(s->arg);
	else
		free(said);
}

/* The job is in no list any more. Takes `said` over. */
static void finish(struct scans *s, struct job *j, json_t *said)
{
	struct group *g = j->group;
	bool failed = json_object_get(said, "why") != NULL;

	json_put(g->addons, j->instance, said);
	if (j->lane) {
		(void)pthread_mutex_lock(&s->lock);
		j->lane->scanned += !failed;
		j->lane->failed += failed;
		(void)pthread_mutex_unlock(&s->lock);
	}
	s->suspects -= j->suspect;
	job_free(j);
	if (--g->open == 0)
		deliver(s, g);
}

static void fail(struct scans *s, struct job *j, const char *why)
{
	finish(s, j, scan_result_failed(why));
}

/* ---- lines ---- */

static void count_waiting(struct scans *s, struct lane *l, int by)
{
	(void)pthread_mutex_lock(&s->lock);
	l->waiting = by > 0 ? l->waiting + 1 : l->waiting - 1;
	(void)pthread_mutex_unlock(&s->lock);
}

static void append(struct scans *s, struct job *j)
{
	struct lane *l = j->lane;

	j->next = NULL;
	if (l->last)
		l->last->next = j;
	else
		l->first = j;
	l->last = j;
	count_waiting(s, l, 1);
}

static void put_back(struct scans *s, struct job *j)
{
	struct lane *l = j->lane;

	j->next = l->first;
	l->first = j;
	if (!l->last)
		l->last = j;
	count_waiting(s, l, 1);
}

static void unlink_waiting(struct scans *s, struct job *j)
{
	struct lane *l = j->lane;
	struct job *before = NULL;

	for (struct job *k = l->first; k != j; k = k->next)
		before = k;
	if (before)
		before->next = j->next;
	else
		l->first = j->next;
	if (l->last == j)
		l->last = before;
	j->next = NULL;
	count_waiting(s, l, -1);
}

static void unlink_out(struct scans *s, struct job *j)
{
	struct job **at = &s->out;

	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	j->next = NULL;
	s->out_count--;
	j->lane->out--;
}

/* ---- outages ---- */

static void alarm_once(struct scans *s, struct lane *l, const char *why)
{
	bool first;

	(void)pthread_mutex_lock(&s->lock);
	first = l->why[0] == 0;
	if (first)
		(void)snprintf(l->why, sizeof(l->why), "%s", why);
	(void)pthread_mutex_unlock(&s->lock);
	if (first)
		log_error(
		        "the scanner of %s: %s; its verdict is PROCESSING_FAILED until it answers",
		        l->addon->name, why);
}

static void is_down(struct scans *s, struct lane *l, const char *why)
{
	int64_t now = clock_mono_ms();

	if (!l->down_ms)
		l->down_ms = now;
	l->next_ms = now + TRY_MS;
	alarm_once(s, l, why);
}

static void is_well(struct scans *s, struct lane *l)
{
	bool over;

	l->down_ms = 0;
	l->good_ms = clock_mono_ms();
	(void)pthread_mutex_lock(&s->lock);
	over = l->why[0] && !l->first; /* as long as there is a line, it may be too slow still */
	if (over)
		l->why[0] = 0;
	(void)pthread_mutex_unlock(&s->lock);
	if (over)
		log_info("the scanner of %s answers again", l->addon->name);
}

/* ---- the child ---- */

static void ask_again_later(struct scans *s)
{
	loop_timer_set(s->again, s->again_ms);
	s->again_ms = MIN_OF(s->again_ms * 2, (int64_t)AGAIN_MOST);
}

/* What it had is tried once more, alone. */
static void take_back(struct scans *s)
{
	while (s->out) {
		struct job *j = s->out;

		unlink_out(s, j);
		if (j->suspect || j->lane->down_ms) {
			fail(s, j, "mm-scan died while it had it");
			continue;
		}
		j->suspect = true;
		s->suspects++;
		put_back(s, j);
	}
}

static void on_closed(void *arg, const char *why)
{
	struct scans *s = arg;

	log_error("mm-scan: its child ended: %s", why);
	channel_free(&s->child);
	s->ready = false;
	if (clock_mono_ms() - s->born_ms > LIVED_MS)
		s->again_ms = AGAIN_MS;
	take_back(s);
	ask_again_later(s);
}

static void settle(struct scans *s, struct job *j, enum scan_end how, const char *why,
                   const json_t *result)
{
	struct lane *l = j->lane;
	json_t *said = NULL;
	struct err e;

	unlink_out(s, j);
	if (how == SCAN_RESULT && scan_result_read(&said, result, &e) == RC_OK) {
		is_well(s, l);
		finish(s, j, said);
		return;
	}
	switch (how) {
	case SCAN_UNFIT:
		is_well(s, l);
		fail(s, j, why);
		break;
	case SCAN_AWAY:
		is_down(s, l, why);
		s->suspects -= j->suspect; /* it wasn't looked at */
		j->suspect = false;
		put_back(s, j); /* it waits for the scanner, until its deadline */
		break;
	default:
		is_down(s, l, why[0] ? why : "mm-scan says nonsense");
		fail(s, j, why[0] ? why : "mm-scan says nonsense");
	}
}

static void on_said(struct scans *s, const json_t *o)
{
	uint64_t number = (uint64_t)json_member_int(o, "n", 0);
	int64_t how = json_member_int(o, "end", SCAN_BROKEN);
	const char *why = json_string_value(json_object_get(o, "why"));
	struct job *j = s->out;

	while (j && j->number != number)
		j = j->next;
	if (j) /* else it was dropped meanwhile */
		settle(s, j, how >= 0 && how < SCAN_ENDS ? (enum scan_end)how : SCAN_BROKEN,
		       why ? why : "", json_member_object(o, "result"));
}

static void on_message(void *arg, unsigned type, struct slice body, int *fds, size_t nfds)
{
	struct scans *s = arg;
	struct err e;
	json_t *o;

	(void)fds;
	(void)nfds;
	if (type == SCAN_READY) {
		s->ready = true;
		s->lost = false;
	} else if (type == SCAN_SAID && json_read(&o, body, &e) == RC_OK) {
		on_said(s, o);
		json_decref(o);
	}
	pump(s);
}

static const struct channel_ops child_ops = { on_message, on_closed };

static void start_child(void *arg)
{
	struct scans *s = arg;
	struct err e = { 0 };
	int fd;

	if (scan_home_child(s->home, &fd, &e) == RC_OK) {
		s->born_ms = clock_mono_ms();
		s->child = channel_new(s->loop, fd, SCAN_TEXT, &child_ops, s);
		return;
	}
	if (!s->lost)
		log_error("%s; no scanner is asked", e.text);
	s->lost = true;
	ask_again_later(s);
}

/* ---- handing out ---- */

static enum rc send_ask(struct scans *s, const struct job *j, struct err *e)
{
	json_t *o = json_object();
	struct buf text;
	enum rc rc;

	json_put_int(o, "n", (int64_t)j->number);
	json_put_int(o, "addon", j->lane - s->lanes);
	json_put(o, "facts", json_incref(j->group->facts));
	buf_init(&text, SCAN_TEXT);
	rc = json_write(&text, o);
	if (rc == RC_OK)
		rc = channel_send(s->child, SCAN_ASK, buf_slice(&text), &j->group->fd, 1, e);
	else
		rc = err_set(e, RC_INVALID, "its envelope is too long for a scanner");
	buf_free(&text);
	json_decref(o);
	return rc;
}

/* False: not now. */
static bool hand_out(struct scans *s, struct job *j)
{
	struct err e = { 0 };
	enum rc rc = send_ask(s, j, &e);

	if (rc == RC_IO || rc == RC_LIMIT)
		return false;
	unlink_waiting(s, j);
	if (rc != RC_OK) {
		fail(s, j, e.text);
		return true;
	}
	j->out_ms = clock_mono_ms();
	j->next = s->out;
	s->out = j;
	s->out_count++;
	j->lane->out++;
	return true;
}

static bool may_ask(const struct lane *l, int64_t now)
{
	if (!l->first)
		return false;
	return l->down_ms ? l->out == 0 && now >= l->next_ms : l->out < l->addon->at_once;
}

/* One that a child died of may be the one: it is tried by itself. */
static void try_suspect(struct scans *s, int64_t now)
{
	if (s->out_count)
		return;
	for (size_t i = 0; i < s->lane_count; i++) {
		struct lane *l = &s->lanes[i];

		if (l->first && l->first->suspect && (!l->down_ms || may_ask(l, now))) {
			(void)hand_out(s, l->first);
			return;
		}
	}
}

static void fail_waiting(struct scans *s, struct lane *l)
{
	while (l->first) {
		struct job *j = l->first;

		unlink_waiting(s, j);
		fail(s, j, l->why);
	}
}

static void pump(struct scans *s)
{
	int64_t now = clock_mono_ms();

	if (s->ready && s->suspects)
		try_suspect(s, now);
	for (size_t i = 0; i < s->lane_count; i++) {
		struct lane *l = &s->lanes[i];

		while (s->ready && !s->suspects && may_ask(l, now) && hand_out(s, l->first))
			;
		if (l->down_ms && now - l->down_ms > l->addon->deadline_ms)
			fail_waiting(s, l);
	}
}

/* ---- deadlines ---- */

static void send_drop(struct scans *s, uint64_t number)
{
	char text[40];
	struct err e;

	(void)snprintf(text, sizeof(text), "{\"n\":%llu}", (unsigned long long)number);
	if (s->child)
		(void)!channel_send(s->child, SCAN_DROP, slice_str(text), NULL, 0, &e);
}

static void drop_late(struct scans *s, struct job *j)
{
	struct lane *l = j->lane;
	char why[SCAN_WHY];

	(void)snprintf(why, sizeof(why), "no answer within %lld s",
	               (long long)l->addon->deadline_ms / 1000);
	unlink_out(s, j);
	send_drop(s, j->number);
	if (l->good_ms < j->out_ms) /* others were answered: it's the message that takes so long */
		is_down(s, l, why);
	fail(s, j, why);
}

static void fail_late(struct scans *s, struct lane *l, int64_t now)
{
	while (l->first && now - l->first->asked_ms >= l->addon->deadline_ms) {
		struct job *j = l->first;

		unlink_waiting(s, j);
		if (!l->down_ms)
			alarm_once(s, l, "more is asked of it than it answers in time");
		fail(s, j, l->why);
	}
}

static void on_look(void *arg)
{
	struct scans *s = arg;
	int64_t now = clock_mono_ms();
	bool busy;

	for (struct job *j = s->out, *next; j; j = next) {
		next = j->next;
		if (now - j->asked_ms >= j->lane->addon->deadline_ms)
			drop_late(s, j);
	}
	for (size_t i = 0; i < s->lane_count; i++)
		fail_late(s, &s->lanes[i], now);
	pump(s);
	busy = s->out != NULL;
	for (size_t i = 0; i < s->lane_count; i++)
		busy = busy || s->lanes[i].first;
	if (busy)
		loop_timer_set(s->look, LOOK_MS);
}

/* ---- from the pipeline ---- */

static void on_asked(void *arg)
{
	struct group *g = arg;
	struct scans *s = g->scans;
	struct job *j = g->jobs;

	g->jobs = NULL;
	g->open++; /* it isn't delivered within the loop */
	while (j) {
		struct job *next = j->next;

		if (!j->lane)
			fail(s, j, "no scanner is configured for it");
		else if (g->fd < 0)
			fail(s, j, "there is no memory for the message");
		else
			append(s, j);
		j = next;
	}
	if (--g->open == 0)
		deliver(s, g);
	pump(s);
	loop_timer_set(s->look, LOOK_MS);
}

static void drop_old(struct scans *s, uint64_t epoch)
{
	for (struct job *j = s->out, *next; j; j = next) {
		next = j->next;
		if (j->group->epoch == epoch)
			continue;
		unlink_out(s, j);
		send_drop(s, j->number);
		fail(s, j, "nobody waits for it");
	}
	for (size_t i = 0; i < s->lane_count; i++)
		for (struct job *j = s->lanes[i].first, *next; j; j = next) {
			next = j->next;
			if (j->group->epoch == epoch)
				continue;
			unlink_waiting(s, j);
			fail(s, j, "nobody waits for it");
		}
}

static void on_forget(void *arg)
{
	struct scans *s = arg;
	uint64_t epoch;

	(void)pthread_mutex_lock(&s->lock);
	epoch = s->epoch;
	(void)pthread_mutex_unlock(&s->lock);
	drop_old(s, epoch);
}

static json_t *facts_json(const struct scan_facts *f)
{
	json_t *o = json_object();
	json_t *rcpt = json_array();
	char ip[IP_TEXT];

	ip_format(ip, &f->client);
	json_put(o, "id", json_of_slice(f->id));
	if (f->client.family)
		json_put_text(o, "ip", slice_str(ip));
	json_put(o, "helo", json_of_slice(f->helo));
	json_put(o, "from", json_of_slice(f->mail_from));
	json_put(o, "user", json_of_slice(f->user));
	for (size_t i = 0; i < f->recipient_count; i++)
		json_push(rcpt, json_of_slice(f->recipients[i]));
	json_put(o, "rcpt", rcpt);
	return o;
}

static struct lane *lane_of(struct scans *s, struct slice name)
{
	for (size_t i = 0; i < s->lane_count; i++)
		if (slice_equal(name, slice_str(s->lanes[i].addon->name)))
			return &s->lanes[i];
	return NULL;
}

static void add_job(struct scans *s, struct group *g, const struct scan_instance *i, int64_t now)
{
	struct job *j = mem_new(sizeof(*j));

	j->group = g;
	j->lane = lane_of(s, i->addon);
	j->instance = slice_string(i->id);
	j->number = ++s->next_job;
	j->asked_ms = now;
	j->next = g->jobs;
	g->jobs = j;
	g->open++;
}

uint64_t scans_ask(struct scans *s, const struct scan_instance *instances, size_t count,
                   struct slice raw, const struct scan_facts *facts)
{
	struct group *g = mem_new(sizeof(*g));
	int64_t now = clock_mono_ms();
	uint64_t number;

	g->scans = s;
	g->addons = json_object();
	g->facts = facts_json(facts);
	g->fd = -1;
	for (size_t i = 0; i < count; i++) {
		const struct addon *a = addons_find(s->addons, instances[i].addon);

		if (!a || a->kind != ADDON_DNSBL)
			add_job(s, g, &instances[i], now);
	}
	if (g->open)
		g->fd = share_message(raw);
	(void)pthread_mutex_lock(&s->lock);
	number = g->number = ++s->next_number;
	g->epoch = s->epoch;
	g->next = s->groups;
	s->groups = g;
	(void)pthread_mutex_unlock(&s->lock);
	loop_post(s->loop, on_asked, g);
	return number;
}

static void drop_results(struct scans *s)
{
	while (s->first) {
		struct said *said = s->first;

		s->first = said->next;
		json_decref(said->addons);
		free(said);
	}
	s->last = &s->first;
}

bool scans_take(struct scans *s, uint64_t *number, json_t **addons)
{
	struct said *said;

	(void)pthread_mutex_lock(&s->lock);
	said = s->first;
	if (said) {
		s->first = said->next;
		if (!s->first)
			s->last = &s->first;
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (!said)
		return false;
	*number = said->number;
	*addons = said->addons;
	free(said);
	return true;
}

void scans_forget(struct scans *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->epoch++;
	drop_results(s);
	(void)pthread_mutex_unlock(&s->lock);
	loop_post(s->loop, on_forget, s);
}

json_t *scans_status(struct scans *s)
{
	json_t *all = json_object();

	(void)pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->lane_count; i++) {
		const struct lane *l = &s->lanes[i];
		json_t *o = json_object();

		json_put_int(o, "scanned", (int64_t)l->scanned);
		json_put_int(o, "failed", (int64_t)l->failed);
		json_put_int(o, "waiting", (int64_t)l->waiting);
		if (l->why[0])
			json_put(o, "down", scan_result_text(slice_str(l->why), SCAN_WHY));
		json_put(all, l->addon->name, o);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return all;
}

/* ---- the thread ---- */

static void *run(void *arg)
{
	struct scans *s = arg;

	loop_run(s->loop, NULL, NULL);
	return NULL;
}

static void make_lanes(struct scans *s, const struct addons *addons)
{
	s->lanes = mem_array(addons->count + 1, sizeof(*s->lanes));
	for (size_t i = 0; i < addons->count; i++)
		if (addons->at[i].kind != ADDON_DNSBL)
			s->lanes[s->lane_count++].addon = &addons->at[i];
}

enum rc scans_new(struct scans **out, struct scan_home *home, const struct addons *addons,
                  void (*woken)(void *arg), void *arg, struct err *e)
{
	struct scans *s = mem_new(sizeof(*s));

	s->home = home;
	s->addons = addons;
	s->woken = woken;
	s->arg = arg;
	s->last = &s->first;
	s->again_ms = AGAIN_MS;
	make_lanes(s, addons);
	(void)pthread_mutex_init(&s->lock, NULL);
	s->loop = loop_new();
	s->look = loop_timer_new(s->loop, on_look, s);
	s->again = loop_timer_new(s->loop, start_child, s);
	if (home)
		start_child(s);
	if (pthread_create(&s->thread, NULL, run, s) != 0) {
		s->thread = 0;
		scans_free(&s);
		return err_set(e, RC_IO, "no thread for scans");
	}
	*out = s;
	return RC_OK;
}

static void free_jobs(struct job *j)
{
	while (j) {
		struct job *next = j->next;

		job_free(j);
		j = next;
	}
}

void scans_free(struct scans **at)
{
	struct scans *s = *at;

	*at = NULL;
	if (!s)
		return;
	if (s->thread) {
		loop_stop(s->loop);
		(void)pthread_join(s->thread, NULL);
	}
	channel_free(&s->child);
	loop_timer_free(&s->look);
	loop_timer_free(&s->again);
	loop_free(&s->loop);
	free_jobs(s->out);
	for (size_t i = 0; i < s->lane_count; i++)
		free_jobs(s->lanes[i].first);
	while (s->groups) {
		struct group *g = s->groups;

		s->groups = g->next;
		group_free(g);
	}
	drop_results(s);
	free(s->lanes);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}
