#include <stdio.h>
#include <stdlib.h>

#include "ingest/rule_set.h"
#include "ingest/rules.h"
#include "ingest/rules_readings.h"

/* SILENT: nobody says anything that could hit or miss. */
enum known { UNKNOWN, MISS, HIT, SILENT };

/* Growing list of recipients' indices, ascending. */
struct index_list {
	uint32_t *at;
	size_t count;
	size_t room;
};

/* What the outcome borrows. */
struct outcome_memory {
	struct index_list *lists; /* one for each execution */
	size_t execution_room;
	size_t recipient_room;
	struct index_list *matched; /* one for each rule */
	struct rule_matched *told;  /* the same, as the outcome has it */
};

struct run {
	const struct rule_set *rs;
	const struct rule_facts *facts;
	const struct rule_trace *trace;
	struct rule_outcome *out;
	struct outcome_memory *memory;
	uint8_t *cache;  /* enum known of each condition, for what no recipient changes */
	uint8_t **found; /* of each rule_words: what its matcher found; NULL: it wasn't asked yet */
	uint8_t *told;  /* of each condition: was what it compared of the message told? NULL: nobody
	                   listens */
	uint8_t *added; /* for each recipient a bit for each AddHeader action that it had */
	size_t added_row; /* bytes of a row */
	struct index_list matched;
	size_t first_live;            /* nobody before it is live, nor ever will be */
	const struct rule_past *past; /* NULL: this is the first run */
	bool ended;                   /* it stopped, or was told to end */
};

/* ---- lists ---- */

static void list_add(struct index_list *l, uint32_t index)
{
	size_t at = l->count;

	while (at > 0 && l->at[at - 1] >= index)
		at--;
	if (at < l->count && l->at[at] == index)
		return;
	if (l->count == l->room) {
		l->room = l->room ? l->room * 2 : 8;
		l->at = mem_resize(l->at, l->room * sizeof(*l->at));
	}
	memmove(l->at + at + 1, l->at + at, (l->count - at) * sizeof(*l->at));
	l->at[at] = index;
	l->count++;
}

static uint8_t *added_of(const struct run *r, size_t recipient)
{
	return r->added + recipient * r->added_row;
}

/* Adds a recipient that is live. */
static enum rc add_recipient(struct run *r, struct slice address, int brought_by, struct err *e)
{
	struct rule_outcome *out = r->out;
	struct outcome_memory *m = r->memory;

	if (out->recipient_count == LIMIT_RULE_RECIPIENTS)
		return err_set(e, RC_LIMIT, "more than %d recipients", LIMIT_RULE_RECIPIENTS);
	if (out->recipient_count == m->recipient_room) {
		size_t room = m->recipient_room ? m->recipient_room * 2 : 16;

		out->recipients = mem_resize(out->recipients, room * sizeof(*out->recipients));
		r->added = mem_resize(r->added, room * r->added_row + 1);
		m->recipient_room = room;
	}
	memset(added_of(r, out->recipient_count), 0, r->added_row);
	out->recipients[out->recipient_count++] = (struct rule_recipient) {
		.address = address, .brought_by = brought_by, .ended_by = -1
	};
	out->live++;
	return RC_OK;
}

/* ---- what a condition looks at ---- */

/* Headers that AddHeader gave to this recipient. */
static bool added_readings(const struct run *r, const struct rule_condition *c, size_t recipient,
                           const struct reader_of *to)
{
	const uint8_t *bits = added_of(r, recipient);

	for (size_t i = 0; i < r->rs->count; i++) {
		const struct rule *rule = &r->rs->rules[i];

		for (size_t k = 0; k < rule->action_count; k++) {
			const struct rule_action *a = &rule->actions[k];
			size_t bit = rule->first_action + k;

			if (!(bits[bit / 8] >> bit % 8 & 1))
				continue;
			if (slice_equal_nocase(slice_str(a->header_name), slice_str(c->header)) &&
			    to->see(to->arg, "header that a rule added",
			            slice_str(a->header_value)))
				return true;
		}
	}
	return false;
}

/* ---- conditions ---- */

static bool see_hit(void *arg, const char *what, struct slice text)
{
	(void)what;
	return text_hits(arg, text);
}

static struct reader_of hits_of(const struct rule_condition *c)
{
	return (struct reader_of) { see_hit, (void *)(uintptr_t)c };
}

static bool number_hits(const struct rule_condition *c, double n)
{
	switch (c->number_op) {
	case NUMBER_EQUALS:
		return n >= c->number && n <= c->number;
	case NUMBER_NOT_EQUALS:
		return n < c->number || n > c->number;
	case NUMBER_LESS:
		return n < c->number;
	case NUMBER_GREATER:
		return n > c->number;
	case NUMBER_LESS_OR_EQUAL:
		return n <= c->number;
	case NUMBER_GREATER_OR_EQUAL:
		return n >= c->number;
	}
	return false;
}

static enum known hit_if(bool hit)
{
	return hit ? HIT : MISS;
}

static bool is_among(const struct rule_condition *c, unsigned word)
{
	return c->words >> word & 1;
}

static struct rule_result result_of(const struct rule_condition *c, const struct rule_facts *f)
{
	if (!f->analysis)
		return (struct rule_result) { .kind = RULE_RESULT_NONE };
	return f->analysis(f->analysis_arg, slice_str(c->analyzer), slice_str(c->result_field));
}

static enum known analysis_hits(const struct rule_condition *c, const struct rule_facts *f)
{
	struct rule_result got = result_of(c, f);

	if (c->wants == RULE_RESULT_VERDICT)
		return hit_if(is_among(
		        c, got.kind == RULE_RESULT_VERDICT ? got.verdict : RULE_PROCESSING_FAILED));
	if (got.kind != c->wants)
		return SILENT;
	return hit_if(got.kind == RULE_RESULT_BOOLEAN ? got.yes
	                                              : text_test_hits(&c->text, got.text));
}

struct words_reader {
	const struct matcher *matcher;
	uint8_t *found;
};

static bool see_words(void *arg, const char *what, struct slice text)
{
	const struct words_reader *to = arg;

	(void)what;
	matcher_read(to->matcher, text, to->found);
	return false;
}

/* The texts are read once for all conditions that compare them. */
static bool words_hit(const struct run *r, const struct rule_condition *c)
{
	const struct rule_words *w = c->words_in;
	struct words_reader to = { w->matcher, r->found[w->slot] };
	const struct reader_of all = { see_words, &to };

	if (!to.found) {
		to.found = mem_new(matcher_found_bytes(w->matcher));
		r->found[w->slot] = to.found;
		(void)message_readings(c, r->facts, &all);
	}
	for (size_t i = 0; i < c->text.count; i++)
		if (matcher_has(w->matcher, to.found, c->first_word + i))
			return true;
	return false;
}

/* What is the same for every recipient. */
static enum known message_hits(const struct rule_condition *c, const struct rule_facts *f)
{
	struct reader_of hits = hits_of(c);

	switch (c->about) {
	case ABOUT_READ_RECEIPT:
		return hit_if(f->read_receipt);
	case ABOUT_TLS:
		return hit_if(f->tls != POLICY_TLS_NONE);
	case ABOUT_TLS_WRAPPED:
		return hit_if(f->tls_wrapped);
	case ABOUT_MAIL_FROM:
	case ABOUT_HELO:
	case ABOUT_FIELD:
	case ABOUT_HEADER:
	case ABOUT_CLIENT_CERT:
		return hit_if(message_readings(c, f, &hits));
	case ABOUT_SIZE:
		return hit_if(number_hits(c, (double)f->bytes));
	case ABOUT_IP:
		return hit_if(net_test_hits(&c->nets, &f->peer));
	case ABOUT_SPF:
		return hit_if(is_among(c, f->spf));
	case ABOUT_DKIM:
		return hit_if(is_among(c, f->dkim));
	case ABOUT_DMARC:
		return hit_if(is_among(c, f->dmarc));
	case ABOUT_ANALYSIS:
		return analysis_hits(c, f);
	case ABOUT_RECIPIENT:
	case ABOUT_NOTHING:
		break;
	}
	MUST(!"a condition about the message");
	return MISS;
}

static enum known condition_hits(struct run *r, const struct rule_condition *c, size_t recipient)
{
	struct reader_of hits = hits_of(c);
	enum known hit;

	if (c->about == ABOUT_RECIPIENT)
		return hit_if(text_hits(c, r->out->recipients[recipient].address));
	if (r->cache[c->slot] == UNKNOWN)
		r->cache[c->slot] = (uint8_t)(c->words_in ? hit_if(words_hit(r, c))
		                                          : message_hits(c, r->facts));
	hit = (enum known)r->cache[c->slot];
	if (hit == MISS && c->about == ABOUT_HEADER)
		hit = hit_if(added_readings(r, c, recipient, &hits));
	return hit;
}

/* ---- the trace ---- */

static void tell_compared(const struct run *r, const char *what, struct slice value, bool hit)
{
	struct rule_compared compared = { what, value, hit, false };

	r->trace->compared(r->trace->arg, &compared);
}

struct telling {
	const struct run *r;
	const struct rule_condition *c;
};

static bool see_all(void *arg, const char *what, struct slice text)
{
	const struct telling *t = arg;

	tell_compared(t->r, what, text, text_hits(t->c, text));
	return false;
}

static bool see_own(void *arg, const char *what, struct slice text)
{
	const struct telling *t = arg;
	struct rule_compared compared = { what, text, text_hits(t->c, text), true };

	t->r->trace->compared(t->r->trace->arg, &compared);
	return false;
}

static void tell_word(const struct run *r, const char *what, const char *word, enum known hit)
{
	tell_compared(r, what, slice_str(word), hit == HIT);
}

static void tell_result(const struct run *r, const struct rule_condition *c, enum known hit)
{
	struct rule_result got = result_of(c, r->facts);

	if (c->wants == RULE_RESULT_VERDICT)
		tell_word(r, got.kind == RULE_RESULT_VERDICT ? "result" : "no result, taken as",
		          rule_verdict_word(got.kind == RULE_RESULT_VERDICT
		                                    ? got.verdict
		                                    : RULE_PROCESSING_FAILED),
		          hit);
	else if (got.kind != c->wants)
		tell_word(r, "no result", "", hit);
	else if (got.kind == RULE_RESULT_TEXT)
		tell_compared(r, "result", got.text, hit == HIT);
	else
		tell_word(r, "result", got.yes ? "true" : "false", hit);
}

/* What isn't text. */
static void tell_fact(const struct run *r, const struct rule_condition *c, enum known hit)
{
	const struct rule_facts *f = r->facts;
	char text[IP_TEXT];

	switch (c->about) {
	case ABOUT_READ_RECEIPT:
		tell_word(r, "read receipt asked for", f->read_receipt ? "true" : "false", hit);
		break;
	case ABOUT_TLS:
		tell_word(r, "TLS", f->tls != POLICY_TLS_NONE ? "true" : "false", hit);
		break;
	case ABOUT_TLS_WRAPPED:
		tell_word(r, "TLS from the first byte", f->tls_wrapped ? "true" : "false", hit);
		break;
	case ABOUT_SIZE:
		(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)f->bytes);
		tell_word(r, "bytes", text, hit);
		break;
	case ABOUT_IP:
		ip_format(text, &f->peer);
		tell_word(r, "peer", text, hit);
		break;
	case ABOUT_SPF:
		tell_word(r, "SPF", rule_verdict_word(f->spf), hit);
		break;
	case ABOUT_DKIM:
		tell_word(r, "DKIM", rule_verdict_word(f->dkim), hit);
		break;
	case ABOUT_DMARC:
		tell_word(r, "DMARC asks", rule_dmarc_word(f->dmarc), hit);
		break;
	case ABOUT_ANALYSIS:
		tell_result(r, c, hit);
		break;
	default:
		break;
	}
}

static void tell_readings(const struct run *r, const struct rule_condition *c, size_t recipient,
                          enum known hit)
{
	struct telling t = { r, c };
	struct reader_of all = { see_all, &t };
	struct reader_of own = { see_own, &t };

	if (!r->told)
		return;
	if (c->about == ABOUT_RECIPIENT) {
		(void)see_own(&t, "recipient", r->out->recipients[recipient].address);
		return;
	}
	if (!r->told[c->slot]) {
		(void)message_readings(c, r->facts, &all);
		tell_fact(r, c, hit);
	}
	if (c->about == ABOUT_HEADER)
		(void)added_readings(r, c, recipient, &own);
}

/* Judges one, and tells of it. */
static bool condition_holds(struct run *r, struct rule_step *step, const struct rule_condition *c,
                            size_t recipient)
{
	enum known hit = condition_hits(r, c, recipient);

	step->held = hit != SILENT && (hit == HIT) != c->negated;
	if (!r->trace)
		return step->held;
	step->again = r->told && r->told[c->slot];
	tell_readings(r, c, recipient, hit);
	if (r->told && c->about != ABOUT_RECIPIENT)
		r->told[c->slot] = 1;
	r->trace->step(r->trace->arg, step);
	return step->held;
}

static bool rule_applies(struct run *r, unsigned number, size_t recipient)
{
	const struct rule *rule = &r->rs->rules[number];
	struct rule_step step = { .rule = number,
		                  .rule_name = rule->name,
		                  .recipient = r->out->recipients[recipient].address };
	bool applies = true;

	for (size_t i = 0; i < rule->conditions.count && applies; i++) {
		step.condition = (int)i;
		applies = condition_holds(r, &step, &rule->conditions.at[i], recipient);
	}
	step.unless = true;
	for (size_t i = 0; i < rule->unless.count && applies; i++) {
		step.condition = (int)i;
		applies = !condition_holds(r, &step, &rule->unless.at[i], recipient);
	}
	step.unless = step.again = false;
	step.condition = -1;
	step.held = applies;
	if (r->trace)
		r->trace->step(r->trace->arg, &step);
	return applies;
}

/* ---- what is past ---- */

static bool is_past(const struct run *r, unsigned rule, unsigned action)
{
	const struct rule_past *p = r->past;

	return p &&
	       (rule + 1 < p->rule_count || (rule + 1 == p->rule_count && action <= p->action));
}

static const struct rule_answer *answer_of(const struct run *r, unsigned rule, unsigned action)
{
	for (size_t i = 0; r->past && i < r->past->answer_count; i++) {
		const struct rule_answer *a = &r->past->answers[i];

		if (a->rule == rule && a->action == action)
			return a;
	}
	return NULL;
}

/* ---- actions ---- */

/* A new execution with the matched recipients; its index. */
static int record(struct run *r, unsigned rule, unsigned action)
{
	struct rule_outcome *out = r->out;
	struct outcome_memory *m = r->memory;
	size_t at = out->execution_count++;

	if (at == m->execution_room) {
		m->execution_room = m->execution_room ? m->execution_room * 2 : 8;
		out->executions =
		        mem_resize(out->executions, m->execution_room * sizeof(*out->executions));
		m->lists = mem_resize(m->lists, m->execution_room * sizeof(*m->lists));
	}
	m->lists[at] = (struct index_list) { 0 };
	out->executions[at] = (struct rule_execution) { .rule = rule,
		                                        .rule_name = r->rs->rules[rule].name,
		                                        .action = action,
		                                        .what = &r->rs->rules[rule].actions[action],
		                                        .past = is_past(r, rule, action) };
	for (size_t i = 0; i < r->matched.count; i++)
		list_add(&m->lists[at], r->matched.at[i]);
	return (int)at;
}

static bool same_archive(const struct rule_action *a, const struct rule_action *b)
{
	if (a->archive || b->archive)
		return a->archive == b->archive;
	return slice_equal(slice_str(a->archive_ref), slice_str(b->archive_ref));
}

/* The matched recipients leave the envelope. */
static void drop_matched(struct run *r, int execution)
{
	for (size_t i = 0; i < r->matched.count; i++) {
		struct rule_recipient *one = &r->out->recipients[r->matched.at[i]];

		one->state = RECIPIENT_DROPPED;
		one->ended_by = execution;
		r->out->live--;
	}
	r->matched.count = 0;
}

static bool archive_is_open(const struct run *r, unsigned rule, unsigned action)
{
	const struct rule_action *what = &r->rs->rules[rule].actions[action];
	const struct rule_answer *past = answer_of(r, rule, action);
	const struct rule_facts *f = r->facts;

	if (past)
		return past->said == RULE_SAID_DONE;
	return what->archive &&
	       (!f->archive_open || f->archive_open(f->archive_arg, what->archive));
}

static void run_archive(struct run *r, unsigned rule, unsigned action)
{
	const struct rule_action *what = &r->rs->rules[rule].actions[action];
	struct rule_outcome *out = r->out;
	size_t at = 0;
	bool open;

	while (at < out->execution_count && (out->executions[at].what->kind != RULE_ARCHIVE ||
	                                     !same_archive(out->executions[at].what, what)))
		at++;
	if (at < out->execution_count && out->executions[at].past) {
		open = !out->executions[at].failed;
	} else {
		open = archive_is_open(r, rule, action);
		if (at == out->execution_count)
			(void)record(r, rule, action);
		out->executions[at].failed = !open;
	}
	for (size_t i = 0; i < r->matched.count; i++) {
		list_add(&r->memory->lists[at], r->matched.at[i]);
		if (open)
			out->recipients[r->matched.at[i]].archived = true;
	}
	if (!open && what->on_failure == RULE_DROP_MESSAGE)
		drop_matched(r, (int)at);
}

static void run_drop(struct run *r, unsigned rule, unsigned action)
{
	drop_matched(r, record(r, rule, action));
}

static void run_add_header(struct run *r, unsigned rule, unsigned action)
{
	size_t bit = r->rs->rules[rule].first_action + action;

	(void)record(r, rule, action);
	for (size_t i = 0; i < r->matched.count; i++)
		added_of(r, r->matched.at[i])[bit / 8] |= (uint8_t)(1u << bit % 8);
}

/* What a replacement takes over from those it stands for. */
struct heritage {
	bool archived;
	bool handed;
	uint8_t *added;
};

static bool is_replacement(const struct rule_action *a, struct slice address)
{
	for (size_t i = 0; i < a->replace_count; i++)
		if (slice_equal_nocase(slice_str(a->replace_with[i]), address))
			return true;
	return false;
}

/* Ends the matched recipients but those who are among the replacements themselves. */
static void end_replaced(struct run *r, const struct rule_action *a, int execution,
                         struct heritage *h)
{
	h->archived = true;
	h->handed = true;
	for (size_t i = 0; i < r->matched.count; i++) {
		size_t index = r->matched.at[i];
		struct rule_recipient *one = &r->out->recipients[index];

		h->archived = h->archived && one->archived;
		h->handed = h->handed && one->handed;
		for (size_t k = 0; k < r->added_row; k++)
			h->added[k] |= added_of(r, index)[k];
		if (is_replacement(a, one->address))
			continue;
		one->state = RECIPIENT_REPLACED;
		one->ended_by = execution;
		r->out->live--;
	}
}

static size_t find_live(struct run *r, struct slice address)
{
	const struct rule_outcome *out = r->out;

	while (r->first_live < out->recipient_count &&
	       out->recipients[r->first_live].state != RECIPIENT_LIVE)
		r->first_live++;
	for (size_t i = r->first_live; i < out->recipient_count; i++)
		if (out->recipients[i].state == RECIPIENT_LIVE &&
		    slice_equal_nocase(out->recipients[i].address, address))
			return i;
	return SIZE_MAX;
}

/* The headers that were added to those it stands for are its own now. */
static void inherit_headers(struct run *r, size_t recipient, const struct heritage *h)
{
	const struct rule_outcome *out = r->out;

	for (size_t k = 0; k < r->added_row; k++)
		added_of(r, recipient)[k] |= h->added[k];
	for (size_t i = 0; i < out->execution_count; i++) {
		const struct rule_execution *x = &out->executions[i];
		size_t bit = r->rs->rules[x->rule].first_action + x->action;

		if (x->what->kind == RULE_ADD_HEADER && h->added[bit / 8] >> bit % 8 & 1)
			list_add(&r->memory->lists[i], (uint32_t)recipient);
	}
}

static enum rc bring(struct run *r, struct slice address, int execution, const struct heritage *h,
                     struct err *e)
{
	size_t at = find_live(r, address);

	if (at == SIZE_MAX) {
		enum rc rc = add_recipient(r, address, execution, e);

		if (rc != RC_OK)
			return rc;
		at = r->out->recipient_count - 1;
		r->out->recipients[at].archived = h->archived;
		r->out->recipients[at].handed = h->handed;
	}
	r->out->recipients[at].acted = true;
	r->out->recipients[at].archived = r->out->recipients[at].archived && h->archived;
	r->out->recipients[at].handed = r->out->recipients[at].handed && h->handed;
	inherit_headers(r, at, h);
	list_add(&r->matched, (uint32_t)at);
	return RC_OK;
}

static enum rc run_replace(struct run *r, unsigned rule, unsigned action, struct err *e)
{
	const struct rule_action *what = &r->rs->rules[rule].actions[action];
	struct heritage h = { .added = mem_new(r->added_row + 1) };
	int execution = record(r, rule, action);
	enum rc rc = RC_OK;

	end_replaced(r, what, execution, &h);
	r->matched.count = 0;
	for (size_t i = 0; i < what->replace_count && rc == RC_OK; i++)
		rc = bring(r, slice_str(what->replace_with[i]), execution, &h, e);
	free(h.added);
	return rc;
}

/* Only those whom it failed for leave the envelope. */
static void drop_failed(struct run *r, int execution, const struct rule_answer *a)
{
	struct index_list all = r->matched;
	struct index_list failed = { 0 };
	struct index_list rest = { 0 };

	for (size_t i = 0; i < all.count; i++) {
		bool one = a->failed_count == 0;

		for (size_t k = 0; k < a->failed_count && !one; k++)
			one = a->failed[k] == all.at[i];
		list_add(one ? &failed : &rest, all.at[i]);
	}
	r->matched = failed;
	drop_matched(r, execution);
	free(failed.at);
	free(all.at);
	r->matched = rest;
}

/* Its result decides what follows. */
static void go_by(struct run *r, int execution, const struct rule_answer *a)
{
	struct rule_execution *x = &r->out->executions[execution];

	x->failed = a->said == RULE_SAID_FAILED;
	if (x->failed && x->what->on_failure == RULE_DROP_MESSAGE)
		drop_failed(r, execution, a);
	if (a->said == RULE_SAID_STOP_RULE || a->said == RULE_SAID_STOP_RULE_SET)
		r->matched.count = 0;
	r->ended = a->said == RULE_SAID_STOP_RULE_SET;
}

static void run_task(struct run *r, unsigned rule, unsigned action)
{
	const struct rule_action *what = &r->rs->rules[rule].actions[action];
	const struct rule_answer *answer = answer_of(r, rule, action);
	int at = record(r, rule, action);

	for (size_t i = 0; i < r->matched.count; i++)
		r->out->recipients[r->matched.at[i]].handed = true;
	if (answer) {
		go_by(r, at, answer);
	} else if (what->decides && r->facts->stops) {
		r->out->waits = true;
		r->ended = true;
	}
}

/* `action` at what->action_count: there was nobody to act for. */
static void tell_deed(const struct run *r, unsigned rule, unsigned action)
{
	const struct rule *of = &r->rs->rules[rule];
	struct rule_deed d = { .rule = rule,
		               .rule_name = of->name,
		               .recipients = r->out->recipients,
		               .matched = r->matched.at,
		               .matched_count = r->matched.count };

	if (!r->trace || !r->trace->deed || is_past(r, rule, action))
		return;
	if (action < of->action_count) {
		d.action = action;
		d.what = &of->actions[action];
		d.failed = d.what->kind == RULE_ARCHIVE && !archive_is_open(r, rule, action);
	}
	r->trace->deed(r->trace->arg, &d);
}

static enum rc run_actions(struct run *r, unsigned rule, struct err *e)
{
	const struct rule *what = &r->rs->rules[rule];
	enum rc rc = RC_OK;

	if (!r->matched.count)
		tell_deed(r, rule, (unsigned)what->action_count);
	for (unsigned i = 0; i < what->action_count && r->matched.count && !r->ended && rc == RC_OK;
	     i++) {
		tell_deed(r, rule, i);
		switch (what->actions[i].kind) {
		case RULE_ARCHIVE:
			run_archive(r, rule, i);
			break;
		case RULE_DROP:
			run_drop(r, rule, i);
			break;
		case RULE_ADD_HEADER:
			run_add_header(r, rule, i);
			break;
		case RULE_REPLACE_RECIPIENT:
			rc = run_replace(r, rule, i, e);
			break;
		default:
			run_task(r, rule, i);
			break;
		}
	}
	return rc;
}

/* ---- the run ---- */

/* Whom the rule applies to: found out, or known of the run that stopped. */
static bool is_matched(struct run *r, unsigned rule, uint32_t recipient)
{
	const struct rule_matched *m;

	if (!r->past || rule >= r->past->rule_count)
		return rule_applies(r, rule, recipient);
	m = &r->past->rules[rule];
	for (size_t i = 0; i < m->count; i++)
		if (m->recipients[i] == recipient)
			return true;
	return false;
}

static enum rc run_rule(struct run *r, unsigned rule, struct err *e)
{
	struct rule_outcome *out = r->out;
	struct index_list *kept = &r->memory->matched[rule];

	r->matched.count = 0;
	for (size_t i = r->first_live; i < out->recipient_count; i++) {
		if (out->recipients[i].state != RECIPIENT_LIVE || !is_matched(r, rule, (uint32_t)i))
			continue;
		list_add(&r->matched, (uint32_t)i);
		list_add(kept, (uint32_t)i);
		out->recipients[i].acted = true;
		out->unmatched = false;
	}
	out->matched_count = rule + 1;
	return run_actions(r, rule, e);
}

/* The same run came to the same place. */
static enum rc check_past(const struct run *r, struct err *e)
{
	const struct rule_past *p = r->past;

	if (!p)
		return RC_OK;
	for (size_t i = 0; i < p->rule_count && i < r->out->matched_count; i++)
		if (r->memory->matched[i].count != p->rules[i].count)
			return err_set(e, RC_CORRUPT,
			               "what is known of its run isn't of this rule set");
	for (size_t i = 0; i < r->out->execution_count; i++)
		if (r->out->executions[i].rule + 1 == p->rule_count &&
		    r->out->executions[i].action == p->action)
			return RC_OK;
	return err_set(e, RC_CORRUPT, "its run doesn't come to where it stopped");
}

static void finish(struct run *r)
{
	struct rule_outcome *out = r->out;

	for (size_t i = 0; i < out->execution_count; i++) {
		out->executions[i].recipients = r->memory->lists[i].at;
		out->executions[i].recipient_count = r->memory->lists[i].count;
	}
	for (size_t i = 0; i < out->recipient_count; i++)
		if (out->recipients[i].state == RECIPIENT_LIVE && !out->recipients[i].archived &&
		    !out->recipients[i].handed)
			out->unsettled++;
	for (size_t i = 0; i < out->matched_count; i++)
		r->memory->told[i] = (struct rule_matched) { r->memory->matched[i].at,
			                                     r->memory->matched[i].count };
	out->matched = r->memory->told;
}

static enum rc run_all(struct run *r, const struct slice *recipients, size_t count, struct err *e)
{
	struct rule_outcome *out = r->out;
	enum rc rc = RC_OK;

	r->cache = mem_new(r->rs->condition_count + 1);
	r->found = mem_array(r->rs->words_count + 1, sizeof(uint8_t *));
	if (r->trace && r->trace->compared)
		r->told = mem_new(r->rs->condition_count + 1);
	r->memory = mem_new(sizeof(*r->memory));
	r->memory->matched = mem_array(r->rs->count + 1, sizeof(*r->memory->matched));
	r->memory->told = mem_array(r->rs->count + 1, sizeof(*r->memory->told));
	*out = (struct rule_outcome) { .unmatched = true,
		                       .envelope_count = count,
		                       .memory = r->memory };
	for (size_t i = 0; i < count && rc == RC_OK; i++)
		rc = add_recipient(r, recipients[i], -1, e);
	for (unsigned i = 0; i < r->rs->count && out->live && !r->ended && rc == RC_OK; i++)
		rc = run_rule(r, i, e);
	if (rc == RC_OK)
		rc = check_past(r, e);
	if (rc == RC_OK)
		finish(r);
	for (size_t i = 0; i < r->rs->words_count; i++)
		free(r->found[i]);
	free((void *)r->found);
	free(r->cache);
	free(r->told);
	free(r->added);
	free(r->matched.at);
	if (rc != RC_OK)
		rule_outcome_free(out);
	return rc;
}

enum rc rules_run(const struct rule_set *rs, const struct rule_facts *facts,
                  const struct slice *recipients, size_t count, struct rule_outcome *out,
                  const struct rule_trace *trace, struct err *e)
{
	struct run r = { .rs = rs,
		         .facts = facts,
		         .trace = trace,
		         .out = out,
		         .added_row = (rs->action_count + 7) / 8 };

	return run_all(&r, recipients, count, e);
}

enum rc rules_run_on(const struct rule_set *rs, const struct rule_facts *facts,
                     const struct slice *recipients, size_t count, const struct rule_past *past,
                     struct rule_outcome *out, const struct rule_trace *trace, struct err *e)
{
	struct run r = { .rs = rs,
		         .facts = facts,
		         .trace = trace,
		         .out = out,
		         .past = past,
		         .added_row = (rs->action_count + 7) / 8 };

	return run_all(&r, recipients, count, e);
}

void rule_outcome_free(struct rule_outcome *out)
{
	struct outcome_memory *m = out->memory;

	for (size_t i = 0; m && i < out->execution_count; i++)
		free(m->lists[i].at);
	for (size_t i = 0; m && i < out->matched_count; i++)
		free(m->matched[i].at);
	if (m) {
		free(m->lists);
		free(m->matched);
		free(m->told);
	}
	free(m);
	free(out->recipients);
	free(out->executions);
	*out = (struct rule_outcome) { 0 };
}
