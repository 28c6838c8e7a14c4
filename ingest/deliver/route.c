#include "ingest/deliver/route.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ingest/deliver/public.h"
#include "ingest/verdict/idn.h"

struct run {
	struct route *route;
	const struct route_question *q;
	struct answers *answers;
	bool again;               /* an answer is missing */
	bool failed;              /* one can't be had now */
	bool refused;             /* an address is one that nothing may be sent to */
	char name[ROUTE_NAME];    /* as DNS has it */
	char why[IP_TEXT];        /* the refused address */
	bool secure[ROUTE_HOSTS]; /* the way to the host's name, then to its addresses */
};

/* ---- routes ---- */

struct route *route_new(void)
{
	struct route *r = mem_new(sizeof(*r));

	r->refs = 1;
	return r;
}

struct route *route_ref(struct route *r)
{
	r->refs++;
	return r;
}

static void clear(struct route *r)
{
	for (size_t i = 0; i < r->count; i++)
		dane_free(&r->hosts[i].dane);
	*r = (struct route) { .refs = r->refs };
}

void route_free(struct route **at)
{
	struct route *r = *at;

	*at = NULL;
	if (!r || --r->refs)
		return;
	clear(r);
	free(r);
}

void route_end(struct smtp_result *out, enum smtp_end end, unsigned code, const char *enhanced,
               const char *fmt, ...)
{
	va_list args;

	*out = (struct smtp_result) { .end = end, .code = code };
	(void)snprintf(out->enhanced, sizeof(out->enhanced), "%s", enhanced);
	va_start(args, fmt);
	(void)vsnprintf(out->text, sizeof(out->text), fmt, args);
	va_end(args);
	for (char *c = out->text; *c; c++)
		if (*c < 32 || *c > 126)
			*c = '?';
}

static enum rc end_route(struct run *r, enum smtp_end end, const char *enhanced, const char *fmt,
                         ...) PRINTF(4, 5);

/* For good, so that a run is over. */
static enum rc end_route(struct run *r, enum smtp_end end, const char *enhanced, const char *fmt,
                         ...)
{
	char text[SMTP_RESULT_TEXT];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	clear(r->route);
	route_end(&r->route->end, end, 0, enhanced, "%s", text);
	return RC_OK;
}

/* ---- addresses ---- */

static void ask(struct run *r, enum dns_type type, const char *name, struct dns_answer *out)
{
	if (answers_get(r->answers, type, slice_str(name), out) == RC_OK)
		return;
	*out = (struct dns_answer) { .status = DNS_NO_DATA };
	r->again = true;
}

static bool take(struct run *r, struct ip *ips, size_t *count, const struct ip *ip)
{
	if (r->q->mx && !public_allows(r->q->settings, ip)) {
		r->refused = true;
		ip_format(r->why, ip);
		return false;
	}
	ips[(*count)++] = *ip;
	return true;
}

/* Of both families by turns. Returns whether both answers are secure. */
static bool find_addresses(struct run *r, const char *name, struct ip ips[ROUTE_IPS], size_t *count)
{
	struct dns_answer six, four;

	ask(r, DNS_AAAA, name, &six);
	ask(r, DNS_A, name, &four);
	r->failed |= six.status == DNS_FAILED || four.status == DNS_FAILED;
	for (size_t i = 0; i < MAX_OF(six.count, four.count); i++) {
		if (i < six.count && *count < ROUTE_IPS)
			(void)take(r, ips, count, &six.records[i].ip);
		if (i < four.count && *count < ROUTE_IPS)
			(void)take(r, ips, count, &four.records[i].ip);
	}
	return six.secure && four.secure;
}

static bool is_literal(struct slice name, struct ip *ip)
{
	if (name.len > 2 && name.at[0] == '[' && name.at[name.len - 1] == ']')
		name = slice_part(name, 1, name.len - 2);
	if (slice_starts_nocase(name, slice_str("IPv6:")))
		name = slice_from(name, 5);
	return ip_parse(ip, name);
}

/* ---- the servers of a domain ---- */

/* NULL: one more than are tried, or a name that no host has. */
static struct route_host *add_host(struct run *r, struct slice name, uint16_t preference,
                                   bool secure)
{
	struct route_host *h = &r->route->hosts[r->route->count];

	if (r->route->count == ROUTE_HOSTS)
		return NULL;
	*h = (struct route_host) { .preference = preference };
	if (name.len && !idn_to_ascii(h->name, name))
		return NULL;
	r->secure[r->route->count++] = secure;
	return h;
}

/* xorshift: which of equal servers is first needs no secret. */
static uint32_t next_random(uint32_t *seed)
{
	uint32_t x = *seed ? *seed : 1;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	*seed = x;
	return x;
}

/* `to` gets the records' places; those of one preference in a random order. */
static void order(const struct run *r, const struct dns_answer *mx, size_t *to)
{
	uint32_t seed = r->q->seed;

	for (size_t i = 0; i < mx->count; i++)
		to[i] = i;
	for (size_t i = 0, end; i < mx->count; i = end) {
		end = i;
		while (end < mx->count && mx->records[end].preference == mx->records[i].preference)
			end++;
		for (size_t k = end - 1; k > i; k--) {
			size_t other = i + next_random(&seed) % (k - i + 1);
			size_t kept = to[k];

			to[k] = to[other];
			to[other] = kept;
		}
	}
}

/* Section 5.1: of a list that we are in, those that are nearer than we are. */
static uint32_t own_preference(const struct run *r, const struct dns_answer *mx)
{
	for (size_t i = 0; i < mx->count; i++)
		if (slice_equal_nocase(mx->records[i].text, slice_str(r->q->own)))
			return mx->records[i].preference;
	return UINT32_MAX;
}

static void add_servers(struct run *r, const struct dns_answer *mx, uint32_t below)
{
	size_t places[ANSWERS_RECORDS];

	order(r, mx, places);
	for (size_t i = 0; i < mx->count; i++) {
		const struct dns_record *one = &mx->records[places[i]];

		if (one->text.len && one->preference < below)
			(void)add_host(r, one->text, one->preference, mx->secure);
	}
}

static bool is_null(const struct dns_answer *mx)
{
	return mx->count == 1 && mx->records[0].text.len == 0;
}

static enum rc end_loop(struct run *r)
{
	return end_route(r, SMTP_NEVER, "5.4.6",
	                 "mail for %s loops back: its nearest mail server is this one", r->q->name);
}

/* RC_AGAIN, or the servers, or the route's end. */
static enum rc find_servers(struct run *r)
{
	struct dns_answer mx;
	uint32_t nearest;

	ask(r, DNS_MX, r->name, &mx);
	if (r->again)
		return RC_AGAIN;
	switch (mx.status) {
	case DNS_FAILED:
		return end_route(r, SMTP_LATER, "4.4.3",
		                 "the MX records of %s can't be looked up now", r->q->name);
	case DNS_NO_NAME:
		return end_route(r, SMTP_NEVER, "5.1.2", "the domain %s doesn't exist", r->q->name);
	case DNS_NO_DATA:
		if (slice_equal_nocase(slice_str(r->name), slice_str(r->q->own)))
			return end_loop(r);
		(void)add_host(r, slice_str(r->name), 0, mx.secure);
		return RC_OK;
	case DNS_RECORDS:
		break;
	}
	if (is_null(&mx))
		return end_route(r, SMTP_NEVER, "5.1.10", "the domain %s takes no mail (null MX)",
		                 r->q->name);
	nearest = own_preference(r, &mx);
	add_servers(r, &mx, nearest);
	if (r->route->count == 0 && nearest == UINT32_MAX)
		return end_route(r, SMTP_NEVER, "5.4.4", "the MX records of %s name no host",
		                 r->q->name);
	return r->route->count ? RC_OK : end_loop(r);
}

/* Keeps the hosts that have an address. */
static void find_hosts(struct run *r)
{
	struct route *route = r->route;
	size_t kept = 0;

	for (size_t i = 0; i < route->count; i++) {
		struct route_host *h = &route->hosts[i];

		if (h->name[0])
			r->secure[i] &= find_addresses(r, h->name, h->ips, &h->ip_count);
		if (!h->ip_count)
			continue;
		r->secure[kept] = r->secure[i];
		route->hosts[kept++] = *h;
	}
	route->count = kept;
}

static enum rc end_without(struct run *r)
{
	if (r->failed)
		return end_route(r, SMTP_LATER, "4.4.3",
		                 "no address of a mail server of %s can be looked up now",
		                 r->q->name);
	if (r->refused)
		return end_route(r, SMTP_SET_UP, "5.7.1",
		                 "%s, a mail server of %s, isn't a public address; send.allow lets "
		                 "mail go there",
		                 r->why, r->q->name);
	if (!r->q->mx)
		return end_route(r, SMTP_LATER, "4.4.4", "the host %s has no address", r->q->name);
	return end_route(r, SMTP_NEVER, "5.4.4", "no mail server of %s has an address", r->q->name);
}

/* ---- DANE and MTA-STS ---- */

/* RFC 7672 section 2.2: only where the names and the addresses are secure. */
static void find_tlsa(struct run *r)
{
	struct route *route = r->route;

	for (size_t i = 0; i < route->count; i++) {
		struct route_host *h = &route->hosts[i];
		struct dns_answer tlsa;
		char name[256];

		if (!r->secure[i] || !h->name[0] || !dane_name(name, h->name, r->q->settings->port))
			continue;
		ask(r, DNS_TLSA, name, &tlsa);
		h->failed = tlsa.status == DNS_FAILED;
		if (tlsa.status == DNS_RECORDS && tlsa.secure)
			dane_read(&h->dane, &tlsa);
	}
}

/* More than one record counts as none (RFC 8461 section 3.1). */
static void find_sts(struct run *r)
{
	struct route *route = r->route;
	struct dns_answer txt;
	char name[ROUTE_NAME + 16];
	size_t found = 0;

	(void)snprintf(name, sizeof(name), "_mta-sts.%s", r->name);
	ask(r, DNS_TXT, name, &txt);
	for (size_t i = 0; i < txt.count; i++)
		if (sts_record_is(txt.records[i].text) && ++found == 1)
			(void)sts_record_read(route->sts_id, txt.records[i].text);
	if (found != 1)
		route->sts_id[0] = 0;
	if (!route->sts_id[0])
		return;
	(void)snprintf(name, sizeof(name), "mta-sts.%s", r->name);
	(void)find_addresses(r, name, route->sts_ips, &route->sts_ip_count);
}

void route_enforce(struct route *r, const struct sts_policy *p)
{
	size_t kept = 0;

	if (p->mode != STS_ENFORCE)
		return;
	for (size_t i = 0; i < r->count; i++) {
		struct route_host *h = &r->hosts[i];

		if (!sts_policy_names(p, h->name)) {
			dane_free(&h->dane);
			continue;
		}
		h->verify = true;
		r->hosts[kept++] = *h;
	}
	if (!kept && r->count)
		route_end(&r->end, SMTP_LATER, 0, "4.7.5",
		          "no mail server of %s is in its MTA-STS policy", r->domain);
	r->count = kept;
}

/* ---- the whole ---- */

static enum rc run_mx(struct run *r)
{
	enum rc rc = find_servers(r);

	if (rc != RC_OK || r->route->count == 0)
		return rc;
	if (r->q->settings->sts)
		find_sts(r);
	r->failed = false; /* the policy's host is no mail server */
	r->refused = false;
	find_hosts(r);
	if (r->again)
		return RC_AGAIN;
	if (r->route->count == 0)
		return end_without(r);
	if (r->q->settings->dane)
		find_tlsa(r);
	return r->again ? RC_AGAIN : RC_OK;
}

/* Its name was found to be one. */
static enum rc run_host(struct run *r)
{
	(void)add_host(r, slice_str(r->name), 0, false);
	find_hosts(r);
	if (r->again)
		return RC_AGAIN;
	return r->route->count ? RC_OK : end_without(r);
}

static enum rc run_literal(struct run *r, const struct ip *ip)
{
	struct route_host *h = add_host(r, slice_of(NULL, 0), 0, false);

	if (!take(r, h->ips, &h->ip_count, ip))
		return end_without(r);
	return RC_OK;
}

/* libunbound reads no hosts file. */
static enum rc run_localhost(struct run *r)
{
	struct route_host *h = add_host(r, slice_str("localhost"), 0, false);

	(void)ip_parse(&h->ips[0], slice_str("127.0.0.1"));
	(void)ip_parse(&h->ips[1], slice_str("::1"));
	h->ip_count = 2;
	return RC_OK;
}

enum rc route_run(struct route *route, const struct route_question *q, struct answers *a)
{
	struct run r = { .route = route, .q = q, .answers = a };
	struct ip ip;

	clear(route);
	if (is_literal(slice_str(q->name), &ip))
		return run_literal(&r, &ip);
	if (!idn_to_ascii(r.name, slice_str(q->name)))
		return end_route(&r, q->mx ? SMTP_NEVER : SMTP_SET_UP, "5.1.2",
		                 "%s is no domain's name", q->name);
	memcpy(route->domain, r.name, sizeof(route->domain));
	if (!q->mx && slice_equal_nocase(slice_str(r.name), slice_str("localhost")))
		return run_localhost(&r);
	return q->mx ? run_mx(&r) : run_host(&r);
}
