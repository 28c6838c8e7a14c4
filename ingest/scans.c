#include "ingest/scans_parts.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"

/* ---- asking ---- */

void scans_job_free(struct job *j)
{
	free(j->instance);
	free(j);
}

void scans_group_free(struct group *g)
{
	while (g->jobs) {
		struct job *j = g->jobs;

		g->jobs = j->next;
		scans_job_free(j);
	}
	json_decref(g->addons);
	json_decref(g->facts);
	buf_free(&g->raw);
	free(g);
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

static bool is_list(const struct scans *s, const struct scan_instance *i)
{
	const struct addon *a = addons_find(s->addons, i->addon);

	return a && a->kind == ADDON_DNSBL;
}

size_t scans_lists(const struct scans *s, const struct scan_instance *instances, size_t count,
                   struct scan_instance *out)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		if (is_list(s, &instances[i]))
			out[n++] = instances[i];
	return n;
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
	buf_init(&g->raw, SCANS_MESSAGE);
	for (size_t i = 0; i < count; i++)
		if (!is_list(s, &instances[i]))
			add_job(s, g, &instances[i], now);
	g->too_large = g->open && buf_add(&g->raw, raw) != RC_OK;
	(void)pthread_mutex_lock(&s->lock);
	number = g->number = ++s->next_number;
	g->epoch = s->epoch;
	g->next = s->groups;
	s->groups = g;
	(void)pthread_mutex_unlock(&s->lock);
	loop_post(s->loop, scans_on_asked, g);
	return number;
}

uint64_t scans_ask_mail(struct scans *s, const struct scan_instance *instances, size_t count,
                        const struct mail *m, struct slice raw)
{
	char id[ID_TEXT + 1];
	struct scan_facts f = { .helo = m->helo,
		                .mail_from = m->mail_from,
		                .user = json_member_text(m->receipt, "auth"),
		                .recipients = m->recipients,
		                .recipient_count = m->envelope_count };

	id_format(id, &m->id);
	f.id = slice_str(id);
	(void)ip_parse(&f.client, m->ip);
	return scans_ask(s, instances, count, raw, &f);
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
	loop_post(s->loop, scans_on_forget, s);
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

/* Without DNS block lists, whose keys are no scanner's business. */
enum rc scans_home(struct home **out, const json_t *config, const char *program, struct err *e)
{
	json_t *o = json_object();
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)config, name, value)
	{
		if (!json_object_get(value, "dnsbl"))
			json_put(o, name, json_incref(value));
	}
	return home_start(out, program ? program : "mm-scan", o, e);
}

enum rc scans_new(struct scans **out, struct home *home, const struct addons *addons,
                  void (*woken)(void *arg), void *arg, struct err *e)
{
	struct scans *s = mem_new(sizeof(*s));

	s->home = home;
	s->addons = addons;
	s->woken = woken;
	s->arg = arg;
	s->last = &s->first;
	s->leash = -1;
	s->again_ms = SCANS_AGAIN_MS;
	make_lanes(s, addons);
	(void)pthread_mutex_init(&s->lock, NULL);
	s->loop = loop_new();
	s->look = loop_timer_new(s->loop, scans_on_look, s);
	s->again = loop_timer_new(s->loop, scans_start_child, s);
	if (home)
		scans_start_child(s);
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

		scans_job_free(j);
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
	scans_end_child(s);
	loop_timer_free(&s->look);
	loop_timer_free(&s->again);
	loop_free(&s->loop);
	free_jobs(s->out);
	for (size_t i = 0; i < s->lane_count; i++)
		free_jobs(s->lanes[i].first);
	while (s->groups) {
		struct group *g = s->groups;

		s->groups = g->next;
		scans_group_free(g);
	}
	drop_results(s);
	free(s->lanes);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}
