#include "ingest/verdict/dnsbl.h"

#include <stdio.h>

#include "ingest/scan_result.h"
#include "ingest/verdict/idn.h"

#define NAME_MOST  253
#define CODES_MOST 6

/* What is asked about. */
struct names {
	char at[DNSBL_DOMAINS][256];
	size_t count;
	bool odd; /* MAIL FROM has a domain that can't be asked about */
};

/* ---- names ---- */

static void add_domain(struct names *n, const char *domain)
{
	for (size_t i = 0; i < n->count; i++)
		if (strcmp(n->at[i], domain) == 0)
			return;
	if (n->count < DNSBL_DOMAINS)
		(void)snprintf(n->at[n->count++], sizeof(n->at[0]), "%s", domain);
}

/* Two labels at least, and the last one isn't a number: lists of domains don't like to be asked
 * about addresses. */
static bool is_domain(const char *s)
{
	const char *dot = strrchr(s, '.');

	return dot && dot != s && dot[1] && strspn(dot + 1, "0123456789") != strlen(dot + 1);
}

static struct slice domain_of(struct slice address)
{
	size_t at = address.len;

	while (at > 0 && address.at[at - 1] != '@')
		at--;
	return at ? slice_from(address, at) : slice_of(NULL, 0);
}

static void find_domains(struct names *n, const struct dnsbl_question *q)
{
	struct slice sender = domain_of(q->mail_from);
	bool literal = sender.len && sender.at[0] == '[';
	char name[256];

	if (sender.len && !literal && idn_to_ascii(name, sender)) {
		if (is_domain(name))
			add_domain(n, name);
	} else {
		n->odd = sender.len && !literal;
	}
	if (q->helo.len && idn_to_ascii(name, q->helo) && is_domain(name))
		add_domain(n, name);
	for (size_t i = 0; i < q->from_count; i++)
		if (idn_to_ascii(name, q->from_domains[i]) && is_domain(name))
			add_domain(n, name);
}

static void reverse_ip(char out[80], const struct ip *ip)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	if (ip->family == 4) {
		(void)snprintf(out, 80, "%u.%u.%u.%u", ip->b[3], ip->b[2], ip->b[1], ip->b[0]);
		return;
	}
	for (size_t i = 16; i-- > 0;) {
		out[n++] = digits[ip->b[i] & 15];
		out[n++] = '.';
		out[n++] = digits[ip->b[i] >> 4];
		out[n++] = i ? '.' : '\0';
	}
}

/* The name that is asked for; without its first labels where it would be too long. */
static struct slice make_name(char out[600], const struct addon *list, const char *what)
{
	size_t n;

	(void)snprintf(out, 600, "%s.%s%s%s", what, list->key ? list->key : "",
	               list->key ? "." : "", list->zone);
	n = strlen(out);
	while (n > NAME_MOST && strchr(out, '.')) {
		out = strchr(out, '.') + 1;
		n = strlen(out);
	}
	return slice_of(out, n);
}

/* ---- answers ---- */

static const char *refusal_of(const struct ip *ip)
{
	const uint8_t *b = ip->b;

	if (ip->family != 4 || b[0] != 127)
		return "an answer that is no block list's";
	if (b[1] == 255 && b[2] == 255)
		return b[3] == 252   ? "the list says: there is no such zone"
		       : b[3] == 254 ? "the list says: a public resolver asked it"
		       : b[3] == 255 ? "the list says: too many questions"
		                     : "the list refuses to answer";
	if (b[1] == 0 && b[2] == 0 && b[3] == 1)
		return "127.0.0.1, which is no block list's answer";
	if (b[1] == 0 && b[2] == 1 && b[3] == 255)
		return "the list says: it has no addresses";
	return NULL;
}

static void fail(struct dnsbl_answer *out, const char *why)
{
	out->result = DNSBL_FAILED;
	(void)snprintf(out->why, sizeof(out->why), "%s", why);
}

static void list_codes(struct dnsbl_answer *out, const struct dns_answer *got)
{
	char code[IP_TEXT];
	size_t n = 0;

	for (size_t i = 0; i < MIN_OF(got->count, (size_t)CODES_MOST); i++) {
		ip_format(code, &got->records[i].ip);
		n += (size_t)snprintf(out->codes + n, sizeof(out->codes) - n, "%s%s", i ? " " : "",
		                      code);
	}
}

/* What one name's answer makes of the result so far. */
static void take(struct dnsbl_answer *out, const char *what, const struct dns_answer *got)
{
	const char *refusal = NULL;

	if (out->result == DNSBL_LISTED || got->status == DNS_NO_NAME || got->status == DNS_NO_DATA)
		return;
	if (got->status == DNS_FAILED) {
		fail(out, "the lookup failed");
		return;
	}
	for (size_t i = 0; !refusal && i < got->count; i++)
		refusal = refusal_of(&got->records[i].ip);
	if (refusal) {
		fail(out, refusal);
		return;
	}
	out->result = DNSBL_LISTED;
	out->why[0] = 0;
	(void)snprintf(out->what, sizeof(out->what), "%s", what);
	list_codes(out, got);
}

static enum rc ask(const struct addon *list, const char *asked, const char *what, struct answers *a,
                   struct dnsbl_answer *out)
{
	char room[600];
	struct dns_answer got;
	enum rc rc = answers_get(a, DNS_A, make_name(room, list, asked), &got);

	if (rc == RC_OK)
		take(out, what, &got);
	return rc;
}

enum rc dnsbl_check(const struct addon *list, const struct dnsbl_question *q, struct answers *a,
                    struct dnsbl_answer *out)
{
	struct names n = { .count = 0 };
	char reversed[80];
	char shown[IP_TEXT];
	enum rc rc = RC_OK;

	*out = (struct dnsbl_answer) { .result = DNSBL_CLEAR };
	if (list->lists_ip) {
		if (q->client.family == 0) {
			fail(out, "there is no client's address");
			return RC_OK;
		}
		reverse_ip(reversed, &q->client);
		ip_format(shown, &q->client);
		return ask(list, reversed, shown, a, out);
	}
	find_domains(&n, q);
	for (size_t i = 0; i < n.count; i++)
		if (ask(list, n.at[i], n.at[i], a, out) != RC_OK)
			rc = RC_AGAIN; /* the others are asked for all the same */
	if (rc == RC_OK && n.odd && out->result == DNSBL_CLEAR)
		fail(out, "the domain of MAIL FROM is no name of DNS");
	return rc;
}

json_t *dnsbl_json(const struct addon *list, const struct dnsbl_answer *a)
{
	bool listed = a->result == DNSBL_LISTED;
	json_t *fields;
	json_t *o;

	if (a->result == DNSBL_FAILED)
		return scan_result_failed(a->why);
	fields = json_object();
	json_put_bool(fields, "isListed", listed);
	json_put_text(fields, "listedOn", slice_str(listed ? list->zone : ""));
	if (listed) {
		json_put_text(fields, "listed", slice_str(a->what));
		json_put_text(fields, "codes", slice_str(a->codes));
	}
	json_put_bool(fields, "isPassed", !listed);
	o = json_object();
	json_put_text(o, "verdict", slice_str(listed ? "FAIL" : "PASS"));
	json_put(o, "fields", fields);
	return o;
}
