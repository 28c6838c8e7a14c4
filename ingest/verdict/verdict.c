#include "ingest/verdict/verdict.h"

#include <stdlib.h>

#include "base/codec.h"
#include "ingest/verdict/from.h"
#include "ingest/verdict/idn.h"
#include "ingest/verdict/verdict_words.h"

#define ADDRESS 1024 /* longest MAIL FROM that is looked at */
#define HOST    256

static const char too_long[] = "DNS took too long";

struct verdict {
	bool readable; /* the message; else DKIM, ARC and DMARC can't be known */
	char unreadable[160];
	bool policy_asked;
	bool spf_done, dkim_done, arc_done, dmarc_done;
	struct spf_question question;
	char mail_from[ADDRESS];
	char helo[HOST];
	char receiver[HOST];
	uint32_t sample;
	struct from from;
	struct spf_answer spf;
	struct dkim *dkim;
	struct arc *arc;
	struct arc_answer arc_answer;
	struct dmarc_answer dmarc;
};

void verdict_init(void)
{
	char name[256];

	dkim_init();
	dmarc_init();
	/* libidn2's tables, and whatever it asks the system for. */
	MUST(idn_to_ascii(name, slice_str("m\xc3\xbcll.example")));
}

/* ---- what the message and its envelope say ---- */

static struct slice keep(char *to, size_t room, struct slice s)
{
	size_t n = MIN_OF(s.len, room);

	if (n)
		memcpy(to, s.at, n);
	return slice_of(to, n);
}

/* Its domain in A-labels, where it has one that DNS can have; else as it is, for SPF to say so. */
static struct slice keep_mail_from(char to[ADDRESS], struct slice from)
{
	char domain[256];
	size_t at = from.len;
	size_t n;

	while (at && from.at[at - 1] != '@')
		at--;
	if (at == 0 || !idn_to_ascii(domain, slice_from(from, at)) || at + strlen(domain) > ADDRESS)
		return keep(to, ADDRESS, from);
	n = strlen(domain);
	memcpy(to, from.at, at);
	memcpy(to + at, domain, n);
	return slice_of(to, at + n);
}

static void set_question(struct verdict *v, const struct verdict_facts *f)
{
	v->question = (struct spf_question) {
		.client = f->ip,
		.mail_from = keep_mail_from(v->mail_from, f->mail_from),
		.helo = keep(v->helo, sizeof(v->helo), f->helo),
		.receiver = keep(v->receiver, sizeof(v->receiver), f->receiver),
		.now_ms = f->now_ms,
	};
	v->spf_done = f->ip.family == 0;
	v->spf = (struct spf_answer) { .result = SPF_NONE };
	(void)snprintf(v->spf.why, sizeof(v->spf.why), "the client's address isn't known");
}

/* Its From may stand behind the limit, where others read it: it must not escape by that. */
static void set_unreadable(struct verdict *v, const char *why)
{
	(void)snprintf(v->unreadable, sizeof(v->unreadable), "%.*s", (int)sizeof(v->unreadable) - 1,
	               why);
	v->dmarc = (struct dmarc_answer) { .result = DMARC_FAIL,
		                           .policy = DMARC_ASKS_REJECT,
		                           .disposition = DMARC_ASKS_REJECT };
	(void)snprintf(v->dmarc.why, sizeof(v->dmarc.why), "%s", v->unreadable);
	v->dmarc_done = true;
}

struct verdict *verdict_new(struct slice raw, const struct verdict_facts *f)
{
	struct verdict *v = mem_new(sizeof(*v));
	struct raw_message m;
	struct err e;

	set_question(v, f);
	v->sample = (uint32_t)(get_le64(f->id.b + ID_BYTES - 8) % 100); /* its random half */
	v->readable = raw_read(&m, raw, &e) == RC_OK;
	if (!v->readable) {
		set_unreadable(v, e.text);
		return v;
	}
	v->dkim = dkim_new(&m, f->now_ms / 1000);
	v->arc = arc_new(&m, f->now_ms / 1000);
	from_read(&v->from, &m);
	raw_free(&m);
	return v;
}

void verdict_free(struct verdict **at)
{
	struct verdict *v = *at;

	if (!v)
		return;
	*at = NULL;
	dkim_free(&v->dkim);
	arc_free(&v->arc);
	from_free(&v->from);
	free(v);
}

/* ---- the four ---- */

/* DMARC's own lookups don't wait for what SPF and DKIM say, and go out before theirs. */
static void run_dmarc(struct verdict *v, struct answers *a)
{
	bool known = v->spf_done && v->dkim_done;
	const struct dmarc_question q = {
		.from_domains = v->from.domains,
		.from_count = v->from.count,
		.from_odd = v->from.odd,
		.spf = known ? &v->spf : NULL,
		.dkim = known ? v->dkim : NULL,
		.sample = v->sample,
	};

	v->dmarc_done = dmarc_check(&q, a, &v->dmarc) == RC_OK && known;
}

enum rc verdict_run(struct verdict *v, struct answers *a)
{
	if (!v->policy_asked && !v->dmarc_done)
		run_dmarc(v, a);
	v->policy_asked = true;
	if (!v->spf_done)
		v->spf_done = spf_check(&v->question, a, &v->spf) == RC_OK;
	if (!v->readable)
		return v->spf_done ? RC_OK : RC_AGAIN;
	if (!v->dkim_done)
		v->dkim_done = dkim_check(v->dkim, a) == RC_OK;
	if (!v->arc_done)
		v->arc_done = arc_check(v->arc, a, &v->arc_answer) == RC_OK;
	if (!v->dmarc_done)
		run_dmarc(v, a);
	return v->spf_done && v->dkim_done && v->arc_done && v->dmarc_done ? RC_OK : RC_AGAIN;
}

void verdict_late(struct verdict *v, struct answers *a)
{
	if (!v->spf_done) {
		v->spf.result = SPF_TEMPERROR;
		v->spf.explanation[0] = 0;
		(void)snprintf(v->spf.why, sizeof(v->spf.why), "%s", too_long);
		v->spf_done = true;
	}
	v->dkim_done = v->readable; /* a key that isn't there yet is said to be a temperror */
	if (v->readable && !v->dmarc_done)
		run_dmarc(v, a);
}

/* ---- JSON ---- */

/* Printable ASCII, whatever it was. */
static void put_text(json_t *o, const char *member, struct slice s)
{
	char text[512];
	size_t n = MIN_OF(s.len, sizeof(text));

	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		text[i] = (char)(s.at[i] >= ' ' && s.at[i] < 0x7f ? s.at[i] : '?');
	json_put_text(o, member, slice_of(text, n));
}

static json_t *begin(const char *verdict, const char *result)
{
	json_t *o = json_object();

	if (verdict)
		json_put_text(o, "verdict", slice_str(verdict));
	json_put_text(o, "result", slice_str(result));
	return o;
}

static json_t *unknown_why(bool with_verdict, const char *why)
{
	json_t *o = begin(with_verdict ? "PROCESSING_FAILED" : NULL, "temperror");

	put_text(o, "why", slice_str(why));
	return o;
}

static json_t *unknown(const struct verdict *v, bool with_verdict)
{
	return unknown_why(with_verdict, v->readable ? too_long : v->unreadable);
}

static json_t *spf_json(const struct verdict *v)
{
	json_t *o;

	if (!v->spf_done)
		return unknown_why(true, too_long);
	o = begin(verdict_of_spf(v->spf.result), spf_word(v->spf.result));
	if (v->spf.domain[0]) {
		json_put_text(o, "identity", slice_str(v->spf.of_helo ? "helo" : "mailfrom"));
		put_text(o, "domain", slice_str(v->spf.domain));
	}
	put_text(o, "why", slice_str(v->spf.why));
	put_text(o, "explanation", slice_str(v->spf.explanation));
	return o;
}

static json_t *signature_json(const struct dkim_signature *s)
{
	json_t *o = begin(NULL, dkim_word(s->result));

	put_text(o, "domain", s->domain);
	put_text(o, "selector", s->selector);
	put_text(o, "identity", s->identity);
	put_text(o, "algorithm", s->algorithm);
	put_text(o, "b", s->start);
	if (s->key_bits)
		json_put_int(o, "bits", s->key_bits);
	if (s->testing)
		json_put_bool(o, "testing", true);
	if (s->partial)
		json_put_bool(o, "partial", true);
	put_text(o, "why", slice_str(s->why));
	return o;
}

static json_t *dkim_json(const struct verdict *v)
{
	enum dkim_result best = v->dkim_done ? dkim_best(v->dkim) : DKIM_TEMPERROR;
	json_t *o;
	json_t *list;

	if (!v->dkim_done)
		return unknown(v, true);
	o = begin(verdict_of_dkim(best), dkim_word(best));
	list = json_array();
	for (size_t i = 0; i < dkim_count(v->dkim); i++)
		json_push(list, signature_json(dkim_at(v->dkim, i)));
	json_put(o, "signatures", list);
	return o;
}

static json_t *arc_json(const struct verdict *v)
{
	const struct arc_answer *a = &v->arc_answer;
	json_t *o;

	if (!v->arc_done)
		return unknown(v, true);
	o = begin(verdict_of_arc(a->result), arc_word(a->result));
	json_put_int(o, "sets", a->sets);
	put_text(o, "sealer", slice_str(a->sealer));
	if (a->oldest_pass)
		json_put_int(o, "oldest_pass", a->oldest_pass);
	put_text(o, "why", slice_str(a->why));
	return o;
}

static json_t *dmarc_json(const struct verdict *v)
{
	const struct dmarc_answer *a = &v->dmarc;
	json_t *o;

	if (!v->dmarc_done)
		return unknown(v, false);
	o = begin(NULL, dmarc_word(a->result));
	if (a->result != DMARC_NONE && (a->result != DMARC_TEMPERROR || a->policy))
		json_put_text(o, "policy", slice_str(dmarc_policy_word(a->policy)));
	if (a->result != DMARC_TEMPERROR)
		json_put_text(o, "asks", slice_str(dmarc_policy_word(a->disposition)));
	put_text(o, "domain", slice_str(a->domain));
	if (a->result == DMARC_PASS || a->result == DMARC_FAIL) {
		json_put_bool(o, "spf_aligned", a->spf_aligned);
		json_put_bool(o, "dkim_aligned", a->dkim_aligned);
	}
	put_text(o, "why", slice_str(a->why));
	return o;
}

json_t *verdict_json(struct verdict *v)
{
	json_t *o = json_object();

	json_put(o, "spf", spf_json(v));
	json_put(o, "dkim", dkim_json(v));
	json_put(o, "arc", arc_json(v));
	json_put(o, "dmarc", dmarc_json(v));
	return o;
}

size_t verdict_from(const struct verdict *v, const struct slice **domains)
{
	*domains = v->from.domains;
	return v->from.count;
}
