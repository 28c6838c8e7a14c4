#include "ingest/verdict/spf.h"

#include <stdarg.h>
#include <stdio.h>

#include "ingest/verdict/spf_macro.h"
#include "ingest/verdict/spf_record.h"

/* Section 4.6.4 */
#define TERMS 10 /* that ask DNS, in all records of a check; so includes aren't nested deeper */
#define VOIDS 2
#define NAMES 10 /* of an mx; of the client's, for ptr and %{p} */

#define AHEAD 3 /* levels of includes that are looked into for what to ask */

#define LOCAL_BYTES 256 /* more than SMTP lets through */
#define HELO_BYTES  255

enum step {
	STEP_NO,    /* no match, nothing wrong: on to what comes next */
	STEP_MATCH, /* this mechanism */
	STEP_END,   /* check.result is the result */
	STEP_AGAIN, /* an answer lacks */
};

struct check {
	const struct spf_question *q;
	struct answers *a;
	struct spf_answer *out;
	struct spf_macros macros;
	enum spf_result result;
	unsigned terms;
	unsigned voids;
	bool p_counted;
	char sender[LOCAL_BYTES + 1 + SPF_NAME];
};

/* A domain whose record is evaluated. */
struct frame {
	struct slice domain;
	struct spf_record record;
	char name[SPF_NAME]; /* the domain's bytes */
};

static const char *const words[] = {
	[SPF_NONE] = "none",           [SPF_NEUTRAL] = "neutral",   [SPF_PASS] = "pass",
	[SPF_FAIL] = "fail",           [SPF_SOFTFAIL] = "softfail", [SPF_TEMPERROR] = "temperror",
	[SPF_PERMERROR] = "permerror",
};

const char *spf_word(enum spf_result r)
{
	return words[r];
}

static void frame_set(struct frame *f, struct slice domain)
{
	f->domain = slice_of(f->name, MIN_OF(domain.len, sizeof(f->name) - 1));
	memmove(f->name, domain.at, f->domain.len);
}

static enum step end(struct check *c, enum spf_result r, const char *fmt, ...) PRINTF(3, 4);

static enum step end(struct check *c, enum spf_result r, const char *fmt, ...)
{
	va_list args;

	c->result = r;
	va_start(args, fmt);
	(void)vsnprintf(c->out->why, sizeof(c->out->why), fmt, args);
	va_end(args);
	return STEP_END;
}

/* What decided inside an include is told behind it. */
static void say_in(struct check *c, struct slice mechanism)
{
	char inner[sizeof(c->out->why)];

	memcpy(inner, c->out->why, sizeof(inner));
	(void)end(c, c->result, "%.*s: %s", (int)mechanism.len, (const char *)mechanism.at, inner);
}

static const char *type_word(enum dns_type t)
{
	return t == DNS_A     ? "A"
	       : t == DNS_PTR ? "PTR"
	       : t == DNS_MX  ? "MX"
	       : t == DNS_TXT ? "TXT"
	                      : "AAAA";
}

static enum dns_type address_type(const struct check *c)
{
	return c->q->client.family == 4 ? DNS_A : DNS_AAAA;
}

/* What isn't ASCII comes from a sender's local part, and is in no name (RFC 8616 section 4). */
static bool is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] >= 0x80)
			return false;
	return true;
}

static enum rc ask(struct check *c, enum dns_type type, struct slice name, struct dns_answer *out)
{
	if (is_ascii(name))
		return answers_get(c->a, type, name, out);
	*out = (struct dns_answer) { .status = DNS_NO_NAME };
	return RC_OK;
}

/* --- limits --- */

static enum step count_term(struct check *c)
{
	if (++c->terms > TERMS)
		return end(c, SPF_PERMERROR, "more than %d terms that ask DNS", TERMS);
	return STEP_NO;
}

static enum step count_void(struct check *c)
{
	if (++c->voids > VOIDS)
		return end(c, SPF_PERMERROR, "more than %d lookups that find nothing", VOIDS);
	return STEP_NO;
}

/* STEP_MATCH when there are records. */
static enum step look_up(struct check *c, enum dns_type type, struct slice name,
                         struct dns_answer *out)
{
	if (ask(c, type, name, out) != RC_OK)
		return STEP_AGAIN;
	if (out->status == DNS_FAILED)
		return end(c, SPF_TEMPERROR, "DNS failed: %s of %.*s", type_word(type),
		           (int)name.len, (const char *)name.at);
	return out->status == DNS_RECORDS ? STEP_MATCH : STEP_NO;
}

/* The same for what a mechanism itself asks. */
static enum step found(struct check *c, enum dns_type type, struct slice name,
                       struct dns_answer *out)
{
	enum step s = look_up(c, type, name, out);

	return s == STEP_NO ? count_void(c) : s;
}

/* --- the client's names: ptr and %{p} --- */

static bool is_under(struct slice name, struct slice domain)
{
	return slice_ends_nocase(name, domain) &&
	       (name.len == domain.len || name.at[name.len - domain.len - 1] == '.');
}

/* Has that name the client's address (5.5)? A failure is a no. */
static enum rc is_clients(struct check *c, struct slice name, bool *yes)
{
	struct dns_answer d;
	enum rc rc = ask(c, address_type(c), name, &d);

	*yes = false;
	for (size_t i = 0; rc == RC_OK && i < d.count; i++)
		*yes = *yes || ip_equal(&d.records[i].ip, &c->q->client);
	return rc;
}

/* At most NAMES count, those behind are as if they weren't there. */
static enum rc clients_names(struct check *c, struct dns_answer *out)
{
	char reverse[SPF_NAME];
	size_t len = spf_reverse_name(reverse, &c->q->client);
	enum rc rc = ask(c, DNS_PTR, slice_of(reverse, len), out);

	out->count = MIN_OF(out->count, NAMES);
	return rc;
}

/* Which %{p} is the best: the domain itself, one under it, any. */
static int rank(struct slice name, struct slice domain)
{
	return slice_equal_nocase(name, domain) ? 3 : is_under(name, domain) ? 2 : 1;
}

/* Finds %{p} (7.3). Its question counts as a term's once, however often the name is used. */
static enum step find_validated(struct check *c, const struct frame *f, bool counts)
{
	struct dns_answer d;
	bool again = false;
	int best = 0;

	c->macros.validated = (struct slice) { 0 };
	if (counts && !c->p_counted && count_term(c) != STEP_NO)
		return STEP_END;
	c->p_counted = c->p_counted || counts;
	if (clients_names(c, &d) != RC_OK)
		return STEP_AGAIN;
	for (size_t i = 0; i < d.count; i++) {
		struct slice name = d.records[i].text;
		int r = rank(name, f->domain);
		bool yes;

		if (is_clients(c, name, &yes) != RC_OK)
			again = true;
		else if (yes && r > best) {
			best = r;
			c->macros.validated = name;
		}
	}
	return again ? STEP_AGAIN : STEP_NO;
}

/* --- names --- */

/* The name that a domain-spec means, in `*name`, whose bytes are in `out` or the frame. */
static enum step target(struct check *c, const struct frame *f, struct slice spec, bool counts,
                        char out[SPF_NAME], struct slice *name)
{
	enum step s = STEP_NO;

	*name = f->domain;
	if (spec.len == 0)
		return STEP_NO;
	if (spf_has_letter(spec, 'p'))
		s = find_validated(c, f, counts);
	c->macros.domain = f->domain;
	*name = slice_of(out, spf_expand_name(out, spec, &c->macros));
	return s;
}

/* --- mechanisms --- */

static bool in_network(const struct check *c, const struct spf_mechanism *m)
{
	return (m->kind == SPF_IP4 || m->kind == SPF_IP6) &&
	       cidr_contains(&m->network, &c->q->client);
}

static bool has_address(const struct check *c, const struct spf_mechanism *m,
                        const struct dns_answer *d)
{
	for (size_t i = 0; i < d->count; i++) {
		const struct cidr net = { d->records[i].ip,
			                  c->q->client.family == 4 ? m->bits4 : m->bits6 };

		if (cidr_contains(&net, &c->q->client))
			return true;
	}
	return false;
}

static enum step run_a(struct check *c, const struct spf_mechanism *m, struct slice name)
{
	struct dns_answer d;
	enum step s = found(c, address_type(c), name, &d);

	return s == STEP_MATCH && !has_address(c, m, &d) ? STEP_NO : s;
}

/* The addresses of all hosts are asked for at once, and looked at in their order. */
static bool all_there(struct check *c, const struct dns_answer *mx)
{
	struct dns_answer d;
	bool there = true;

	for (size_t i = 0; i < mx->count && i < NAMES; i++)
		if (ask(c, address_type(c), mx->records[i].text, &d) != RC_OK)
			there = false;
	return there;
}

/* A host without addresses isn't a void lookup of its own: many have none of the client's family.
 * A term whose hosts have none at all has found nothing. */
static enum step run_mx(struct check *c, const struct spf_mechanism *m, struct slice name)
{
	struct dns_answer mx;
	struct dns_answer d;
	enum step s = found(c, DNS_MX, name, &mx);
	bool any = false;

	if (s != STEP_MATCH)
		return s;
	if (mx.count > NAMES)
		return end(c, SPF_PERMERROR, "more than %d MX of %.*s", NAMES, (int)name.len,
		           (const char *)name.at);
	if (!all_there(c, &mx))
		return STEP_AGAIN;
	for (size_t i = 0; i < mx.count; i++) {
		s = look_up(c, address_type(c), mx.records[i].text, &d);
		any = any || s == STEP_MATCH;
		if (s == STEP_END || (s == STEP_MATCH && has_address(c, m, &d)))
			return s;
	}
	return any ? STEP_NO : count_void(c);
}

static enum step run_ptr(struct check *c, struct slice name)
{
	struct dns_answer d;
	bool again = false;

	if (clients_names(c, &d) != RC_OK)
		return STEP_AGAIN;
	if (d.status == DNS_FAILED)
		return STEP_NO;
	for (size_t i = 0; i < d.count; i++) {
		bool yes;

		if (!is_under(d.records[i].text, name))
			continue;
		if (is_clients(c, d.records[i].text, &yes) != RC_OK)
			again = true;
		else if (yes)
			return STEP_MATCH;
	}
	if (again)
		return STEP_AGAIN;
	return d.status == DNS_RECORDS ? STEP_NO : count_void(c);
}

static enum step evaluate(struct check *c, struct frame *f);

/* The table of section 5.2. */
static enum step run_include(struct check *c, const struct spf_mechanism *m, struct slice name)
{
	struct frame inner;
	enum step s;

	frame_set(&inner, name);
	s = evaluate(c, &inner);
	if (s != STEP_END)
		return s;
	switch (c->result) {
	case SPF_PASS:
		return STEP_MATCH;
	case SPF_FAIL:
	case SPF_SOFTFAIL:
	case SPF_NEUTRAL:
		return STEP_NO;
	case SPF_TEMPERROR:
		break;
	default:
		c->result = SPF_PERMERROR;
		break;
	}
	say_in(c, m->text);
	return STEP_END;
}

static enum step run_mechanism(struct check *c, const struct frame *f,
                               const struct spf_mechanism *m)
{
	char bytes[SPF_NAME];
	struct dns_answer d;
	struct slice name;
	enum step s;

	if (m->kind == SPF_ALL)
		return STEP_MATCH;
	if (!spf_asks(m->kind))
		return in_network(c, m) ? STEP_MATCH : STEP_NO;
	s = count_term(c);
	if (s == STEP_NO)
		s = target(c, f, m->domain, true, bytes, &name);
	if (s != STEP_NO || !is_ascii(name))
		return s;
	switch (m->kind) {
	case SPF_INCLUDE:
		return run_include(c, m, name);
	case SPF_A:
		return run_a(c, m, name);
	case SPF_MX:
		return run_mx(c, m, name);
	case SPF_PTR:
		return run_ptr(c, name);
	default:
		return found(c, DNS_A, name, &d);
	}
}

/* --- records --- */

static enum step parse(struct check *c, struct frame *f, struct slice text)
{
	struct slice bad;

	if (spf_record_read(&f->record, text, &bad))
		return STEP_NO;
	if (text.len > SPF_RECORD_BYTES)
		return end(c, SPF_PERMERROR, "the record of %.*s has %zu bytes", (int)f->domain.len,
		           f->name, text.len);
	return end(c, SPF_PERMERROR, "the record of %.*s is wrong at \"%.*s\"", (int)f->domain.len,
	           f->name, (int)MIN_OF(bad.len, 80), (const char *)bad.at);
}

/* Sections 4.3 to 4.6. */
static enum step read_record(struct check *c, struct frame *f)
{
	struct dns_answer d;
	struct slice record = { 0 };
	size_t count = 0;

	if (slice_find_byte(f->domain, '.') == SIZE_MAX)
		return end(c, SPF_NONE, "\"%.*s\" is no domain", (int)f->domain.len, f->name);
	if (ask(c, DNS_TXT, f->domain, &d) != RC_OK)
		return STEP_AGAIN;
	if (d.status == DNS_FAILED)
		return end(c, SPF_TEMPERROR, "DNS failed: TXT of %.*s", (int)f->domain.len,
		           f->name);
	for (size_t i = 0; i < d.count; i++) {
		if (!spf_is_record(d.records[i].text))
			continue;
		record = d.records[i].text;
		count++;
	}
	if (count == 0)
		return end(c, SPF_NONE, "%.*s has no SPF record", (int)f->domain.len, f->name);
	if (count > 1)
		return end(c, SPF_PERMERROR, "%.*s has %zu SPF records", (int)f->domain.len,
		           f->name, count);
	return parse(c, f, record);
}

static enum step run_terms(struct check *c, const struct frame *f)
{
	struct slice rest = f->record.terms;
	struct spf_mechanism m;

	while (spf_record_next(&rest, &m)) {
		enum step s = run_mechanism(c, f, &m);

		if (s == STEP_MATCH && m.kind == SPF_INCLUDE) {
			c->result = m.result;
			say_in(c, m.text);
			return STEP_END;
		}
		if (s == STEP_MATCH)
			return end(c, m.result, "%.*s", (int)m.text.len, (const char *)m.text.at);
		if (s != STEP_NO)
			return s;
	}
	return STEP_NO;
}

/* check_host(). A redirect replaces the frame's domain and record. */
static enum step evaluate(struct check *c, struct frame *f)
{
	bool redirected = false;

	for (;;) {
		char bytes[SPF_NAME];
		struct slice name;
		enum step s = read_record(c, f);

		if (s == STEP_END && redirected && c->result == SPF_NONE)
			c->result = SPF_PERMERROR;
		if (s == STEP_NO)
			s = run_terms(c, f);
		if (s != STEP_NO)
			return s;
		if (f->record.redirect.len == 0)
			return end(c, SPF_NEUTRAL, "nothing in the record of %.*s matches",
			           (int)f->domain.len, f->name);
		s = count_term(c);
		if (s == STEP_NO)
			s = target(c, f, f->record.redirect, true, bytes, &name);
		if (s != STEP_NO)
			return s;
		frame_set(f, name);
		redirected = true;
	}
}

/* --- explanation (6.2): whatever is wrong with it, there is none --- */

static enum step explain(struct check *c, const struct frame *f)
{
	char bytes[SPF_NAME];
	struct dns_answer d;
	struct slice name;
	enum step s;

	if (c->result != SPF_FAIL || f->record.exp.len == 0)
		return STEP_END;
	s = target(c, f, f->record.exp, false, bytes, &name);
	if (s == STEP_AGAIN || ask(c, DNS_TXT, name, &d) != RC_OK)
		return STEP_AGAIN;
	if (d.count != 1 || !spf_explain_string(d.records[0].text))
		return STEP_END;
	if (spf_has_letter(d.records[0].text, 'p') && find_validated(c, f, false) == STEP_AGAIN)
		return STEP_AGAIN;
	c->macros.domain = f->domain;
	spf_expand_text(c->out->explanation, sizeof(c->out->explanation), d.records[0].text,
	                &c->macros);
	return STEP_END;
}

/* --- what will be asked later is asked now, so that its answers come together --- */

/* Level by level, so that what is asked stays the same from round to round, and of a record that
 * keeps to the limit no term is asked about that isn't in it. Of one that goes beyond, twice as
 * many at most. */
struct ahead {
	unsigned terms; /* that may still be looked at */
	unsigned voids; /* that may still be, or turn out to be, void: as many as one by one */
};

/* Is the answer there, and not empty? */
static bool ask_early(struct check *c, enum dns_type type, struct slice name, struct ahead *left,
                      struct dns_answer *d)
{
	if (left->voids == 0)
		return false;
	if (ask(c, type, name, d) == RC_OK && d->status == DNS_RECORDS)
		return true;
	left->voids--;
	return false;
}

static void ask_hosts(struct check *c, struct slice name, struct ahead *left)
{
	struct dns_answer mx;

	if (ask_early(c, DNS_MX, name, left, &mx) && mx.count <= NAMES && !all_there(c, &mx))
		left->voids--;
}

static void ask_level(struct check *c, struct frame *f, unsigned depth, struct ahead *left);

/* Terms with macros are left out: what they ask may tell their owner something. */
static void ask_one(struct check *c, const struct frame *f, const struct spf_mechanism *m,
                    unsigned depth, struct ahead *left)
{
	enum dns_type type = m->kind == SPF_A ? address_type(c) : DNS_A;
	char bytes[SPF_NAME];
	struct frame inner;
	struct dns_answer d;
	struct slice name;

	left->terms -= depth == 0;
	if (m->kind == SPF_PTR || spf_has_macro(m->domain))
		return;
	(void)target(c, f, m->domain, false, bytes, &name);
	if (m->kind == SPF_INCLUDE) {
		frame_set(&inner, name);
		if (depth == 0)
			(void)ask(c, DNS_TXT, name, &d);
		else
			ask_level(c, &inner, depth - 1, left);
	} else if (depth == 0 && m->kind == SPF_MX) {
		ask_hosts(c, name, left);
	} else if (depth == 0) {
		(void)ask_early(c, type, name, left, &d);
	}
}

/* The terms that are `depth` includes or redirects below this record. */
static void ask_level(struct check *c, struct frame *f, unsigned depth, struct ahead *left)
{
	struct spf_mechanism m;
	struct slice rest;

	if (read_record(c, f) != STEP_NO)
		return;
	rest = f->record.terms;
	while (spf_record_next(&rest, &m)) {
		if (m.kind == SPF_ALL || in_network(c, &m) || left->terms == 0)
			return;
		if (spf_asks(m.kind))
			ask_one(c, f, &m, depth, left);
	}
	m = (struct spf_mechanism) { .kind = SPF_INCLUDE, .domain = f->record.redirect };
	if (m.domain.len && left->terms > 0)
		ask_one(c, f, &m, depth, left);
}

static void ask_ahead(struct check *c, struct slice domain)
{
	struct ahead left = { TERMS, VOIDS + 1 };
	struct frame f;

	for (unsigned depth = 0; depth < AHEAD; depth++) {
		frame_set(&f, domain);
		ask_level(c, &f, depth, &left);
	}
}

/* --- who is asked about --- */

/* What can be the domain of a mailbox; the rest of section 4.3 is found where it is looked up. */
static bool is_domain(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.at[i] | 0x20;

		if ((c < 'a' || c > 'z') && (s.at[i] < '0' || s.at[i] > '9') &&
		    slice_find_byte(slice_str("-._"), s.at[i]) == SIZE_MAX)
			return false;
	}
	return s.len > 0 && s.len < SPF_NAME;
}

/* Puts sender and domain together (2.4, 4.3). */
static bool identify(struct check *c, struct slice *domain)
{
	struct slice local = c->q->mail_from;
	size_t at = local.len;

	c->out->of_helo = local.len == 0;
	while (at > 0 && local.at[at - 1] != '@')
		at--;
	*domain = c->out->of_helo ? c->q->helo : slice_from(local, at);
	if (at == 0 && !c->out->of_helo)
		return false;
	local = slice_part(local, 0, at ? at - 1 : 0);
	if (local.len == 0)
		local = slice_str("postmaster");
	if (domain->len && domain->at[domain->len - 1] == '.')
		domain->len--;
	if (local.len > LOCAL_BYTES || !is_domain(*domain))
		return false;
	memcpy(c->sender, local.at, local.len);
	c->sender[local.len] = '@';
	memcpy(c->sender + local.len + 1, domain->at, domain->len);
	c->macros = (struct spf_macros) {
		.sender = slice_of(c->sender, local.len + 1 + domain->len),
		.local = slice_of(c->sender, local.len),
		.sender_domain = slice_of(c->sender + local.len + 1, domain->len),
		.helo = slice_part(c->q->helo, 0, HELO_BYTES),
		.receiver = c->q->receiver,
		.client = c->q->client,
		.now_s = c->q->now_ms / 1000,
	};
	return true;
}

static enum step run(struct check *c, struct frame *f)
{
	struct slice domain;
	enum step s;

	if (!identify(c, &domain))
		return end(c, SPF_NONE, "%s has no domain", c->out->of_helo ? "HELO" : "MAIL FROM");
	for (size_t i = 0; i < domain.len; i++)
		c->out->domain[i] =
		        (char)(domain.at[i] >= 'A' && domain.at[i] <= 'Z' ? domain.at[i] | 0x20
		                                                          : domain.at[i]);
	if (c->q->client.family == 0)
		return end(c, SPF_NONE, "the client has no IP address");
	frame_set(f, domain);
	s = evaluate(c, f);
	if (s == STEP_END)
		return explain(c, f);
	ask_ahead(c, domain);
	return s;
}

enum rc spf_check(const struct spf_question *q, struct answers *a, struct spf_answer *out)
{
	struct check c = { .q = q, .a = a, .out = out };
	struct frame f;

	*out = (struct spf_answer) { 0 };
	if (run(&c, &f) == STEP_AGAIN)
		return RC_AGAIN;
	out->result = c.result;
	for (char *p = out->why; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
	return RC_OK;
}
