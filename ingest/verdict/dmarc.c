#include "ingest/verdict/dmarc.h"

#include <libpsl.h>
#include <stdio.h>

#include "ingest/verdict/dmarc_record.h"

#define PREFIX "_dmarc."
#define NAME   256

static const psl_ctx_t *suffixes;

void dmarc_init(void)
{
	if (!suffixes)
		suffixes = psl_latest(NULL); /* the system's list, or the one that is built in */
	MUST(suffixes);
}

/* ---- domains ---- */

/* Letters, digits, '-', '_' and dots between labels; into lower case. */
static bool normal(char out[NAME], struct slice domain)
{
	size_t label = 0;

	if (domain.len == 0 || domain.len > 253)
		return false;
	for (size_t i = 0; i < domain.len; i++) {
		uint8_t c = domain.at[i];

		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (c == '.' && label == 0)
			return false;
		if (c != '.' && c != '-' && c != '_' && (c < 'a' || c > 'z') &&
		    (c < '0' || c > '9'))
			return false;
		label = c == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
		out[i] = (char)c;
	}
	out[domain.len] = 0;
	return label > 0;
}

bool dmarc_organisation(char out[256], struct slice domain)
{
	char name[NAME];
	const char *found;

	MUST(suffixes);
	if (!normal(name, domain))
		return false;
	found = psl_registrable_domain(suffixes, name);
	if (!found)
		return false;
	(void)snprintf(out, NAME, "%s", found);
	return true;
}

static bool aligned(const char *from, struct slice domain, bool strict)
{
	char theirs[NAME];
	char ours[NAME];

	if (slice_equal_nocase(slice_str(from), domain))
		return true;
	return !strict && dmarc_organisation(ours, slice_str(from)) &&
	       dmarc_organisation(theirs, domain) && strcmp(ours, theirs) == 0;
}

/* ---- the policy of one domain (section 6.6.3) ---- */

enum discovery { FOUND, NOTHING, FAILED };

struct policy {
	enum discovery discovery;
	struct dmarc_record record;
	enum dmarc_policy asked; /* p or sp */
	char domain[NAME];       /* whose record it is; the From domain where there is none */
	const char *why;
};

/* FOUND, with the record in `text`; NOTHING: none, *many: more than one. */
static enum rc ask(struct answers *a, const char *domain, enum discovery *got, struct slice *text,
                   bool *many)
{
	char name[sizeof(PREFIX) + NAME];
	struct dns_answer answer;
	enum rc rc;

	(void)snprintf(name, sizeof(name), PREFIX "%s", domain);
	rc = answers_get(a, DNS_TXT, slice_str(name), &answer);
	if (rc != RC_OK)
		return rc;
	*got = answer.status == DNS_FAILED ? FAILED : NOTHING;
	*many = false;
	for (size_t i = 0; answer.status == DNS_RECORDS && i < answer.count; i++) {
		if (!dmarc_record_is(answer.records[i].text))
			continue;
		*many = *got == FOUND;
		*got = FOUND;
		*text = answer.records[i].text;
		if (*many)
			break;
	}
	return RC_OK;
}

static void take(struct policy *p, struct slice text, bool many, bool of_organisation)
{
	p->discovery = NOTHING;
	p->why = many ? "several records" : dmarc_record_read(&p->record, text);
	if (p->why)
		return;
	p->discovery = FOUND;
	p->asked = of_organisation ? p->record.sp : p->record.p;
}

/* `from` is in lower case. Both names are asked for together. */
static enum rc discover(struct policy *p, struct answers *a, const char *from)
{
	enum discovery own = NOTHING;
	enum discovery above = NOTHING;
	struct slice text = { 0 };
	struct slice text_above = { 0 };
	char organisation[NAME];
	bool many, many_above;
	bool has = dmarc_organisation(organisation, slice_str(from)) &&
	           strcmp(organisation, from) != 0;
	enum rc rc = ask(a, from, &own, &text, &many);
	enum rc rc_above = has ? ask(a, organisation, &above, &text_above, &many_above) : RC_OK;

	*p = (struct policy) { .discovery = NOTHING, .why = "no record" };
	(void)snprintf(p->domain, sizeof(p->domain), "%s", from);
	if (rc != RC_OK)
		return rc;
	if (own == FOUND) {
		take(p, text, many, false);
		return RC_OK;
	}
	if (own == FAILED) {
		p->discovery = FAILED;
		return RC_OK;
	}
	if (rc_above != RC_OK || above == NOTHING)
		return rc_above;
	(void)snprintf(p->domain, sizeof(p->domain), "%s", organisation);
	p->discovery = above;
	if (above == FOUND)
		take(p, text_above, many_above, true);
	return RC_OK;
}

/* ---- the message ---- */

/* Those outside of the sample get the next weaker policy (section 6.6.4). */
static enum dmarc_policy after_sample(const struct policy *p, uint32_t sample)
{
	if (p->asked == DMARC_ASKS_NONE || sample < p->record.pct)
		return p->asked;
	return p->asked == DMARC_ASKS_REJECT ? DMARC_ASKS_QUARANTINE : DMARC_ASKS_NONE;
}

/* Could the one that failed for now have been a pass? Not by any name below the domain: a forger
 * would find one whose servers don't answer. */
static bool might_align(const char *from, struct slice domain)
{
	char organisation[NAME];

	return slice_equal_nocase(slice_str(from), domain) ||
	       (dmarc_organisation(organisation, slice_str(from)) &&
	        slice_equal_nocase(slice_str(organisation), domain));
}

static void align(const struct dmarc_question *q, const char *from, const struct policy *p,
                  struct dmarc_answer *out, bool *unsure)
{
	*unsure = false;
	if (q->spf && q->spf->result == SPF_PASS)
		out->spf_aligned = aligned(from, slice_str(q->spf->domain), p->record.strict_spf);
	else if (q->spf && q->spf->result == SPF_TEMPERROR)
		*unsure = might_align(from, slice_str(q->spf->domain));
	for (size_t i = 0; q->dkim && i < dkim_count(q->dkim); i++) {
		const struct dkim_signature *s = dkim_at(q->dkim, i);

		if (s->result == DKIM_PASS && aligned(from, s->domain, p->record.strict_dkim))
			out->dkim_aligned = true;
		else if (s->result == DKIM_TEMPERROR && might_align(from, s->domain))
			*unsure = true;
	}
}

static void say(struct dmarc_answer *out, enum dmarc_result result, const char *why)
{
	out->result = result;
	(void)snprintf(out->why, sizeof(out->why), "%s", why);
}

static enum rc check_one(const struct dmarc_question *q, struct answers *a, const char *from,
                         struct dmarc_answer *out)
{
	struct policy p;
	bool unsure;
	enum rc rc = discover(&p, a, from);

	if (rc != RC_OK)
		return rc;
	(void)snprintf(out->domain, sizeof(out->domain), "%s", p.domain);
	if (p.discovery == FAILED) {
		say(out, DMARC_TEMPERROR, "the record can't be had now");
		return RC_OK;
	}
	if (p.discovery == NOTHING) {
		say(out, DMARC_NONE, p.why);
		return RC_OK;
	}
	align(q, from, &p, out, &unsure);
	out->policy = p.asked;
	if (out->spf_aligned || out->dkim_aligned) {
		say(out, DMARC_PASS, "");
	} else if (unsure) {
		say(out, DMARC_TEMPERROR, "SPF or DKIM of that domain can't be checked now");
	} else {
		out->disposition = after_sample(&p, q->sample);
		say(out, DMARC_FAIL,
		    out->disposition == p.asked
		            ? "nothing that passed is aligned"
		            : "nothing that passed is aligned; not in the sample");
	}
	return RC_OK;
}

/* Nothing can align with several domains: the strictest of them has its way. */
static enum rc check_odd(const struct dmarc_question *q, struct answers *a,
                         struct dmarc_answer *out)
{
	enum rc rc = RC_OK;
	bool failed = false;
	char from[NAME];

	say(out, DMARC_FAIL,
	    q->from_count ? "From isn't one address of one domain" : "From has no domain");
	for (size_t i = 0; i < q->from_count && i < DMARC_FROM; i++) {
		struct policy p;
		enum rc one =
		        normal(from, q->from_domains[i]) ? discover(&p, a, from) : RC_NOTFOUND;

		if (one == RC_AGAIN)
			rc = one;
		if (one != RC_OK)
			continue;
		failed |= p.discovery == FAILED;
		if (!out->domain[0] || (p.discovery == FOUND && p.asked > out->policy)) {
			(void)snprintf(out->domain, sizeof(out->domain), "%s", p.domain);
			out->policy = p.discovery == FOUND ? p.asked : DMARC_ASKS_NONE;
		}
		if (p.discovery == FOUND)
			out->disposition = MAX_OF(out->disposition, after_sample(&p, q->sample));
	}
	if (q->from_count > DMARC_FROM)
		out->policy = out->disposition = DMARC_ASKS_REJECT;
	/* What is known to be asked for is the least: no further domain, of whose name the sender
	 * disposes, takes it back. */
	if (failed && out->disposition == DMARC_ASKS_NONE)
		say(out, DMARC_TEMPERROR, "a record of a domain of From can't be had now");
	return rc;
}

enum rc dmarc_check(const struct dmarc_question *q, struct answers *a, struct dmarc_answer *out)
{
	char from[NAME];

	*out = (struct dmarc_answer) { .result = DMARC_NONE };
	if (q->from_odd || q->from_count != 1 || !normal(from, q->from_domains[0]))
		return check_odd(q, a, out);
	return check_one(q, a, from, out);
}

const char *dmarc_word(enum dmarc_result r)
{
	static const char *const words[] = { "none", "pass", "fail", "temperror", "permerror" };

	return words[r];
}

const char *dmarc_policy_word(enum dmarc_policy p)
{
	static const char *const words[] = { "NONE", "QUARANTINE", "REJECT" };

	return words[p];
}
