#include "ingest/judge.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/limits.h"
#include "base/log.h"
#include "ingest/decided.h"
#include "ingest/logs.h"
#include "ingest/past.h"
#include "ingest/queue/queue.h"
#include "ingest/resources.h"
#include "ingest/tasks.h"
#include "retention/erase.h"

/* Rule sets of older versions that spooled messages still refer to. */
struct old_rules {
	struct old_rules *next;
	struct rule_set *rules;
	char id[RESOURCE_ID_ROOM];
	int64_t version;
};

struct judge {
	struct pipeline_parts parts;
	struct filing *filing;
	struct old_rules *old;
	int64_t generation; /* of the config that `old` was compiled with */
	struct buf meta;
};

struct judge *judge_new(const struct pipeline_parts *parts, struct filing *f)
{
	struct judge *j = mem_new(sizeof(*j));

	j->parts = *parts;
	j->filing = f;
	buf_init(&j->meta, LIMIT_REQUEST);
	return j;
}

static void forget_old(struct judge *j)
{
	while (j->old) {
		struct old_rules *next = j->old->next;

		rule_set_free(&j->old->rules);
		free(j->old);
		j->old = next;
	}
}

void judge_free(struct judge **jp)
{
	if (!*jp)
		return;
	forget_old(*jp);
	buf_free(&(*jp)->meta);
	free(*jp);
	*jp = NULL;
}

/* ---- the rule set of that version ---- */

static enum rc compile_old(struct judge *j, const struct config *c, struct slice id,
                           int64_t version, const struct rule_set **out, struct err *e)
{
	struct old_rules *o;
	json_t *json;
	enum rc rc = resources_version(j->parts.control, RESOURCE_RULE_SET, id, version, &json, e);

	if (rc != RC_OK)
		return rc;
	o = mem_new(sizeof(*o));
	rc = config_compile_rule_set(c, json, &o->rules, e);
	json_decref(json);
	if (rc != RC_OK) {
		free(o);
		return rc;
	}
	(void)snprintf(o->id, sizeof(o->id), "%.*s", (int)id.len, (const char *)id.at);
	o->version = version;
	o->next = j->old;
	j->old = o;
	*out = o->rules;
	return RC_OK;
}

static enum rc find_rules(struct judge *j, const struct config *c, const struct mail *m,
                          const struct rule_set **out, struct err *e)
{
	*out = config_rule_set(c, m->rule_set, m->rule_set_version);
	if (*out)
		return RC_OK;
	if (j->generation != config_generation(c))
		forget_old(j);
	j->generation = config_generation(c);
	for (struct old_rules *o = j->old; o; o = o->next)
		if (o->version == m->rule_set_version &&
		    slice_equal(slice_str(o->id), m->rule_set)) {
			*out = o->rules;
			return RC_OK;
		}
	return compile_old(j, c, m->rule_set, m->rule_set_version, out, e);
}

/* ---- into one archive ---- */

static void put(struct judge *j, uint32_t archive, uint64_t lot, const struct judged *m,
                const struct slice *recipients, size_t count)
{
	struct store_message sm = {
		.id = m->mail->id, .lot = lot, .meta = buf_slice(&j->meta), .raw = m->raw
	};
	struct document_envelope env = { .lot = lot, .bytes = m->raw.len };
	struct document doc;

	memcpy(sm.sha256, m->sha256, sizeof(sm.sha256));
	mail_envelope(m->mail, &env);
	memcpy(env.sha256, m->sha256, sizeof(env.sha256));
	if (recipients) {
		env.recipients = recipients;
		env.recipient_count = count;
	}
	document_make(&doc, m->parsed, &env);
	filing_add(j->filing, archive, &sm, &doc);
}

static enum rc archive_into(struct judge *j, uint32_t archive, const struct judged *m,
                            json_t *decided, const struct slice *recipients, size_t count,
                            struct err *e)
{
	json_t *meta = json_object();
	uint64_t lot;
	enum rc rc;

	json_put(meta, "receipt", json_incref(m->mail->receipt));
	json_put(meta, "archive", decided);
	buf_clear(&j->meta);
	rc = json_write(&j->meta, meta);
	json_decref(meta);
	if (rc != RC_OK)
		return err_set(e, rc, "what is kept beside the message is too long");
	rc = keyring_lot(j->parts.keys, archive, (int32_t)day_of_ms(m->mail->received_ms), 0, &lot,
	                 e);
	if (rc == RC_OK)
		put(j, archive, lot, m, recipients, count);
	return rc;
}

/* ---- one message ---- */

#define JUDGE_ARCHIVES 400 /* 40 rules of 10 actions */

struct tally {
	unsigned archived;
	bool parked;                       /* the queue has it, or had it */
	uint32_t archives[JUDGE_ARCHIVES]; /* that have it now */
	size_t archive_count;
	const struct rule_execution *failed; /* an Archive whose archive is gone or not open */
	const struct rule_execution *erased; /* one from which that id was erased */
	const struct rule_execution *dropped;
};

/* An id that was erased stays so: only a front that lies says it again. */
static enum rc archive_once(struct judge *j, const struct rule_set *rs,
                            const struct rule_outcome *o, const struct rule_execution *x,
                            const struct judged *m, const struct slice *all, struct tally *t,
                            struct err *e)
{
	bool erased;
	enum rc rc = erased_has(j->parts.control, x->what->archive, &m->mail->id, &erased, e);

	if (rc != RC_OK)
		return rc;
	if (erased) {
		t->erased = x;
		return RC_OK;
	}
	t->archived++;
	t->archives[t->archive_count++] = x->what->archive;
	return archive_into(j, x->what->archive, m, decided_json(rs, o, x), all, o->recipient_count,
	                    e);
}

static enum rc carry_out(struct judge *j, const struct rule_set *rs, const struct rule_outcome *o,
                         const struct judged *m, struct tally *t, struct err *e)
{
	struct slice *all = mem_array(o->recipient_count, sizeof(*all));
	enum rc rc = RC_OK;

	for (size_t i = 0; i < o->recipient_count; i++)
		all[i] = o->recipients[i].address;
	for (size_t i = 0; rc == RC_OK && i < o->execution_count; i++) {
		const struct rule_execution *x = &o->executions[i];

		if (x->what->kind == RULE_DROP) {
			t->dropped = x;
		} else if (x->past) {
			continue;
		} else if (x->what->kind == RULE_ARCHIVE && x->failed) {
			t->failed = x;
		} else if (x->what->kind == RULE_ARCHIVE) {
			rc = archive_once(j, rs, o, x, m, all, t, e);
		}
	}
	free(all);
	return rc;
}

static void copy_name(char *out, size_t room, const char *s)
{
	(void)snprintf(out, room, "%.*s", (int)room - 1, s ? s : "");
}

/* Why that Archive action wasn't done: it failed, or the id was erased from there. */
static void explain_failure(const struct config *c, const struct rule_action *a, bool failed,
                            struct disposition *d)
{
	const struct archive_info *known = config_archive_by_number(c, a->archive);

	if (!failed)
		(void)snprintf(d->text, sizeof(d->text), "its id was erased from the archive %s",
		               a->archive_ref);
	else if (known)
		(void)snprintf(d->text, sizeof(d->text), "the archive %s is being deleted",
		               known->name);
	else
		(void)snprintf(d->text, sizeof(d->text), "the archive %s does not exist",
		               a->archive_ref);
}

/* It is dropped whole, and nothing else is asked for. */
static bool only_dropped(const struct rule_outcome *o)
{
	if (o->unmatched || o->live)
		return false;
	for (size_t i = 0; i < o->execution_count; i++)
		if (o->executions[i].what->kind == RULE_ARCHIVE ||
		    rule_is_task(o->executions[i].what->kind))
			return false;
	return true;
}

/* ---- for the outbound queue ---- */

/* What is kept with a parked message, as an archive has it. */
static enum rc park_meta(struct judge *j, const struct mail *m, struct err *e)
{
	json_t *meta = json_object();
	enum rc rc;

	json_put(meta, "receipt", json_incref(m->receipt));
	buf_clear(&j->meta);
	rc = json_write(&j->meta, meta);
	json_decref(meta);
	return rc == RC_OK ? rc : err_set(e, rc, "what is kept beside the message is too long");
}

/* A message that is in the queue already, by a replay, stays as it is. */
static enum rc park(struct judge *j, const struct rule_set *rs, const struct rule_outcome *o,
                    const struct judged *m, struct tally *t, struct err *e)
{
	json_t *past = o->waits ? past_json(o, m->past) : NULL;
	struct queue_message q = { .id = m->mail->id,
		                   .received_ms = m->mail->received_ms,
		                   .raw = m->raw,
		                   .rule_set = rule_set_id(rs),
		                   .version = rule_set_version(rs),
		                   .past = past,
		                   .archives = t->archives,
		                   .archive_count = t->archive_count };
	struct tasks tasks;
	enum rc rc = RC_OK;

	tasks_make(&tasks, rs, o, m->mail);
	t->parked = m->past || tasks.count;
	if (m->past) {
		queue_judged(j->parts.queue, &q, tasks.at, tasks.count);
	} else if (tasks.count) {
		rc = park_meta(j, m->mail, e);
		q.meta = buf_slice(&j->meta);
		if (rc == RC_OK)
			rc = queue_park(j->parts.queue, &q, tasks.at, tasks.count, e);
	}
	tasks_free(&tasks);
	json_decref(past);
	return rc == RC_EXISTS ? RC_OK : rc;
}

/* It can't be judged on: what is parked of it ends with the tasks that it has. */
static void give_up_parked(struct judge *j, const struct judged *m, const struct err *e)
{
	const struct queue_message q = { .id = m->mail->id, .rule_set = "" };
	char id[ID_TEXT + 1];

	id_format(id, &m->mail->id);
	log_error("message %s can't be judged on: %s", id, e ? e->text : "");
	queue_judged(j->parts.queue, &q, NULL, 0);
}

static bool settle(const struct config *c, const struct rule_set *rs, const struct rule_outcome *o,
                   const struct tally *t, enum judge_reply reply, struct disposition *d)
{
	const struct rule_execution *undone = t->failed ? t->failed : t->erased;
	const struct rule_execution *x = undone ? undone : t->dropped;

	if ((t->archived || t->parked) && !undone)
		return false;
	copy_name(d->rule_set, sizeof(d->rule_set), rule_set_id(rs));
	d->rule_set_version = rule_set_version(rs);
	d->rule = x ? (int)x->rule : -1;
	if (x)
		copy_name(d->rule_name, sizeof(d->rule_name), x->rule_name);
	if (undone) {
		d->kind = DISPOSITION_FAILED;
		explain_failure(c, undone->what, t->failed != NULL, d);
	} else if (o->unmatched) {
		d->kind = DISPOSITION_UNMATCHED;
	} else if (o->live) {
		d->kind = DISPOSITION_NO_ACTION;
	} else {
		d->kind = reply == REPLY_REFUSED ? DISPOSITION_REFUSED : DISPOSITION_DROPPED;
	}
	return true;
}

/* ---- the log of what rules do ---- */

struct telling {
	struct logs *logs;
	const struct config *config;
	const struct rule_set *rules;
	const struct message_id *id;
};

static void no_step(void *arg, const struct rule_step *step)
{
	(void)arg;
	(void)step;
}

static void tell_deed(void *arg, const struct rule_deed *deed)
{
	const struct telling *t = arg;
	struct disposition why = { .text = "" };
	struct log_rule r = { .when_ms = clock_now_ms(),
		              .id = t->id,
		              .rule_set_id = rule_set_id(t->rules),
		              .rule_set_name = rule_set_name(t->rules),
		              .rule_name = deed->rule_name,
		              .rule = deed->rule,
		              .action = deed->action,
		              .what = deed->what,
		              .goes_on = deed->what && rule_is_task(deed->what->kind),
		              .recipients = deed->recipients,
		              .matched = deed->matched,
		              .matched_count = deed->matched_count };

	if (deed->failed) {
		explain_failure(t->config, deed->what, true, &why);
		r.failure = why.text;
	}
	logs_rule(t->logs, &r);
}

static enum rc run_rules(const struct rule_set *rs, const struct rule_facts *facts,
                         const struct judged *m, struct rule_outcome *out,
                         const struct rule_trace *trace, struct err *e)
{
	const struct mail *mail = m->mail;

	if (m->past)
		return rules_run_on(rs, facts, mail->recipients, mail->envelope_count, m->past, out,
		                    trace, e);
	return rules_run(rs, facts, mail->recipients, mail->recipient_count, out, trace, e);
}

/* The rules can't be run, whyever: that is its disposition. */
static enum rc cannot(struct judge *j, const struct judged *m, struct judge_said *said,
                      const struct err *e)
{
	said->record = true;
	said->disposition.kind = DISPOSITION_FAILED;
	copy_name(said->disposition.text, sizeof(said->disposition.text), e ? e->text : "");
	if (m->past)
		give_up_parked(j, m, e);
	return RC_OK;
}

static enum rc judge_by_rules(struct judge *j, const struct config *c, const struct rule_set *rs,
                              const struct judged *m, struct judge_said *said, struct err *e)
{
	struct rule_facts facts = { .bytes = m->raw.len,
		                    .archive_open = config_archive_open,
		                    .archive_arg = c };
	struct telling telling = { j->parts.logs, c, rs, &m->mail->id };
	struct rule_trace trace = { .step = no_step, .arg = &telling, .deed = tell_deed };
	bool told = logs_wants(j->parts.logs, LOG_APPLICATION);
	size_t mark = logs_mark(j->parts.logs);
	struct rule_outcome outcome;
	struct tally t = { 0 };
	enum rc rc;

	document_facts(&facts, m->parsed);
	mail_facts(m->mail, &facts);
	facts.stops = j->parts.queue;
	rc = run_rules(rs, &facts, m, &outcome, told ? &trace : NULL, e);
	if (rc == RC_OK) {
		said->refuse = m->reply == REPLY_WAITS && only_dropped(&outcome);
		if (!said->refuse)
			rc = carry_out(j, rs, &outcome, m, &t, e);
		if (rc == RC_OK && !said->refuse && j->parts.queue)
			rc = park(j, rs, &outcome, m, &t, e);
		said->record = settle(c, rs, &outcome, &t, m->reply, &said->disposition);
		rule_outcome_free(&outcome);
	} else if (rc == RC_LIMIT || (rc == RC_CORRUPT && m->past)) {
		logs_undo(j->parts.logs, mark); /* nothing of it is carried out */
		rc = cannot(j, m, said, e);
	}
	document_facts_free(&facts);
	return rc;
}

static enum rc judge_one(struct judge *j, const struct config *c, const struct judged *m,
                         struct judge_said *said, struct err *e)
{
	struct disposition *d = &said->disposition;
	const struct rule_set *rs;
	json_t *decided;
	bool goes_on = true;
	enum rc rc = RC_OK;

	*said = (struct judge_said) { .refuse = false };
	*d = (struct disposition) { .id = m->mail->id,
		                    .received_ms = m->mail->received_ms,
		                    .policy_version = m->mail->policy_version,
		                    .rule = -1 };
	(void)snprintf(d->policy, sizeof(d->policy), "%.*s", (int)m->mail->policy.len,
	               (const char *)m->mail->policy.at);
	if (m->past)
		rc = queue_goes_on(j->parts.queue, &m->mail->id, &goes_on, e);
	if (rc != RC_OK || !goes_on) /* all its archives have destroyed it meanwhile */
		return rc;
	if (m->mail->import) {
		if (!config_archive_open(c, m->mail->archive)) {
			said->record = true;
			d->kind = DISPOSITION_FAILED;
			copy_name(
			        d->text, sizeof(d->text),
			        "the archive that it was imported into is being deleted, or gone");
			return RC_OK;
		}
		decided = json_object();
		json_put_text(decided, "import", slice_str("mm-import"));
		return archive_into(j, m->mail->archive, m, decided, NULL, 0, e);
	}
	rc = find_rules(j, c, m->mail, &rs, e);
	if (rc == RC_NOTFOUND || rc == RC_INVALID)
		return cannot(j, m, said, e);
	return rc == RC_OK ? judge_by_rules(j, c, rs, m, said, e) : rc;
}

enum rc judge_message(struct judge *j, const struct config *c, const struct judged *m,
                      struct judge_said *said, struct err *e)
{
	struct logs *logs = j->parts.logs;
	size_t mark = logs_mark(logs);
	enum rc rc;

	if (!m->mail->import && !m->past && m->reply != REPLY_REFUSED &&
	    logs_wants(logs, LOG_APPLICATION))
		logs_ingress(logs, m->mail, m->raw.len);
	rc = judge_one(j, c, m, said, e);
	if (rc != RC_OK || said->refuse) /* it is judged again */
		logs_undo(logs, mark);
	return rc;
}
