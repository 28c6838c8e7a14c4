/* ingest/scans_run.c - the thread of scans: lines, outages, the child, deadlines */
#include "ingest/scans_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sealed.h"

#define LOOK_MS    100  /* between two looks at deadlines */
#define TRY_MS     1000 /* between two tries of a scanner that is down; or less, by its deadline */
#define AGAIN_MOST 10000
#define LIVED_MS   30000 /* a life that sets SCANS_AGAIN_MS back */
#define DEAF_MS    10000 /* without an answer to a DROP */
#define TOLD_MS    10000 /* between two outages of a scanner in the log */

static void pump(struct scans *s);

/* ---- results ---- */

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
		said->addons = g->addons; /* and no reference of ours */
		g->addons = NULL;
		*s->last = said;
		s->last = &said->next;
	}
	(void)pthread_mutex_unlock(&s->lock);
	scans_group_free(g);
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
	scans_job_free(j);
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
	struct job **at = &l->first;

	while (*at && (*at)->asked_ms < j->asked_ms) /* who has the nearest deadline is first */
		at = &(*at)->next;
	j->next = *at;
	*at = j;
	if (!j->next)
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
	if (!first || (l->told_ms && clock_mono_ms() - l->told_ms < TOLD_MS))
		return;
	log_error("the scanner of %s: %s; its verdict is PROCESSING_FAILED until it answers",
	          l->addon->name, why);
	l->told = true;
	l->told_ms = clock_mono_ms();
}

static void is_down(struct scans *s, struct lane *l, const char *why)
{
	int64_t now = clock_mono_ms();

	if (!l->down_ms)
		l->down_ms = now;
	l->next_ms = now + MIN_OF((int64_t)TRY_MS, l->addon->deadline_ms / 4);
	alarm_once(s, l, why);
}

/* A message can be made to have that answer, and must not slow down the others: it takes a row of
 * them. */
static void is_broken(struct scans *s, struct lane *l, const char *why)
{
	if (++l->broken >= l->addon->at_once)
		is_down(s, l, why);
	else
		alarm_once(s, l, why);
}

static void is_well(struct scans *s, struct lane *l)
{
	bool over;

	l->down_ms = 0;
	l->broken = 0;
	l->good_ms = clock_mono_ms();
	(void)pthread_mutex_lock(&s->lock);
	over = l->why[0] && (!l->slow || !l->first);
	if (over) {
		l->why[0] = 0;
		l->slow = false;
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (over && l->told)
		log_info("the scanner of %s answers again", l->addon->name);
	l->told = l->told && !over;
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

void scans_end_child(struct scans *s)
{
	channel_free(&s->child);
	if (s->leash >= 0)
		(void)close(s->leash);
	s->leash = -1;
	s->ready = false;
	s->drops = 0;
}

static void on_closed(void *arg, const char *why)
{
	struct scans *s = arg;

	log_error("mm-scan: its child ended: %s", why);
	scans_end_child(s);
	if (clock_mono_ms() - s->born_ms > LIVED_MS)
		s->again_ms = SCANS_AGAIN_MS;
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
		is_broken(s, l, why[0] ? why : "mm-scan says nonsense");
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
	} else if (type == SCAN_DROPPED && s->drops) {
		s->drops--;
		s->drop_ms = clock_mono_ms();
	} else if (type == SCAN_SAID && json_read(&o, body, &e) == RC_OK) {
		on_said(s, o);
		json_decref(o);
	}
	pump(s);
}

static const struct channel_ops child_ops = { on_message, on_closed };

static enum rc make_child(struct scans *s, int *fd, struct err *e)
{
	int leash[2];
	enum rc rc = home_leash(leash, e);

	if (rc != RC_OK)
		return rc;
	rc = home_child(s->home, fd, json_object(), leash, 1, e);
	(void)close(leash[0]);
	if (rc == RC_OK)
		s->leash = leash[1];
	else
		(void)close(leash[1]);
	return rc;
}

void scans_start_child(void *arg)
{
	struct scans *s = arg;
	struct err e = { 0 };
	int fd;

	if (make_child(s, &fd, &e) == RC_OK) {
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

/* The end of the channel on which the connection comes. */
static enum rc connect_for(struct scans *s, const struct job *j, int *fd, struct err *e)
{
	json_t *task = json_object();

	json_put_int(task, "connect", j->lane - s->lanes);
	return home_child(s->home, fd, task, NULL, 0, e);
}

static enum rc send_ask(struct scans *s, const struct job *j, struct slice text, struct err *e)
{
	int fds[2] = { -1, -1 };
	enum rc rc = sealed_new(&fds[0], "mm-scan", buf_slice(&j->group->raw), e);

	if (rc == RC_OK)
		rc = connect_for(s, j, &fds[1], e);
	if (rc == RC_OK)
		rc = channel_send(s->child, SCAN_ASK, text, fds, 2, e);
	for (size_t i = 0; i < COUNT(fds); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	return rc;
}

static enum rc ask(struct scans *s, const struct job *j, struct err *e)
{
	json_t *o = json_object();
	struct buf text;
	enum rc rc;

	json_put_int(o, "n", (int64_t)j->number);
	json_put_int(o, "scanner", j->lane - s->lanes);
	json_put(o, "facts", json_incref(j->group->facts));
	buf_init(&text, SCAN_TEXT);
	rc = json_write(&text, o);
	if (rc == RC_OK)
		rc = send_ask(s, j, buf_slice(&text), e);
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
	enum rc rc = ask(s, j, &e);

	if (rc != RC_OK && rc != RC_INVALID)
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

		struct job *j = l->first;

		while (j && !j->suspect)
			j = j->next;
		if (j && (!l->down_ms || may_ask(l, now))) {
			(void)hand_out(s, j);
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
	if (!s->child || channel_send(s->child, SCAN_DROP, slice_str(text), NULL, 0, &e) != RC_OK)
		return;
	if (s->drops++ == 0)
		s->drop_ms = clock_mono_ms();
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
		if (!l->down_ms && l->why[0] == 0) {
			l->slow = true;
			alarm_once(s, l,
			           s->ready ? "more is asked of it than it answers in time"
			                    : "mm-scan doesn't run");
		}
		fail(s, j, l->why);
	}
}

/* One that is set already stays: who asks often must not put it off. */
static void look_soon(struct scans *s)
{
	bool busy = s->out || s->drops;

	for (size_t i = 0; i < s->lane_count; i++)
		busy = busy || s->lanes[i].first;
	if (s->looking || !busy)
		return;
	s->looking = true;
	loop_timer_set(s->look, LOOK_MS);
}

void scans_on_look(void *arg)
{
	struct scans *s = arg;
	int64_t now = clock_mono_ms();

	s->looking = false;
	if (s->drops && now - s->drop_ms > DEAF_MS)
		on_closed(s, "it doesn't listen");
	for (struct job *j = s->out, *next; j; j = next) {
		next = j->next;
		if (now - j->asked_ms >= j->lane->addon->deadline_ms)
			drop_late(s, j);
	}
	for (size_t i = 0; i < s->lane_count; i++)
		fail_late(s, &s->lanes[i], now);
	pump(s);
	look_soon(s);
}

/* ---- from the pipeline ---- */

void scans_on_asked(void *arg)
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
		else if (g->too_large)
			fail(s, j, "it is too large to be scanned");
		else
			append(s, j);
		j = next;
	}
	if (--g->open == 0)
		deliver(s, g);
	pump(s);
	look_soon(s);
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

void scans_on_forget(void *arg)
{
	struct scans *s = arg;
	uint64_t epoch;

	(void)pthread_mutex_lock(&s->lock);
	epoch = s->epoch;
	(void)pthread_mutex_unlock(&s->lock);
	drop_old(s, epoch);
}
