#include "ingest/action/compose.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cidr.h"
#include "base/sealed.h"
#include "ingest/action/dkim_sign.h"
#include "ingest/action/encode.h"
#include "ingest/head.h"
#include "ingest/verdict/arc.h"
#include "ingest/verdict/auth_results.h"
#include "ingest/verdict/from.h"
#include "smtp/address.h"

#define FRONT_MOST   1048576 /* bytes of the fields in front */
#define RESULTS_MOST 65536
#define HELO_SHOWN   100 /* of one that is no name */
#define HOPS_OURS    3
#define HOPS_ANY     50

/* ---- Received (RFC 5321 section 4.4) ---- */

/* RFC 3848, and RFC 6531 section 3.7.3. */
static const char *protocol(const json_t *receipt)
{
	static const char *const words[2][2][2] = {
		{ { "ESMTP", "ESMTPA" }, { "ESMTPS", "ESMTPSA" } },
		{ { "UTF8SMTP", "UTF8SMTPA" }, { "UTF8SMTPS", "UTF8SMTPSA" } },
	};
	bool utf8 = json_member_bool(receipt, "smtputf8", false);
	bool tls = json_member_object(receipt, "tls") != NULL;
	bool auth = json_member_text(receipt, "auth").len > 0;

	if (!json_member_bool(receipt, "esmtp", false))
		return "SMTP";
	return words[utf8][tls][auth];
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]"; empty where the peer isn't known. */
static void literal_of(char out[IP_TEXT + 8], struct slice address)
{
	struct ip ip;
	char text[IP_TEXT];

	out[0] = '\0';
	if (!ip_parse(&ip, address))
		return;
	ip_format(text, &ip);
	(void)snprintf(out, IP_TEXT + 8, "[%s%s]", ip.family == 6 ? "IPv6:" : "", text);
}

/* What a client called itself that is no name, as a comment. */
static void add_strange_helo(struct fold *f, struct slice helo)
{
	char text[HELO_SHOWN + 8];
	size_t n = 6;

	memcpy(text, "(helo ", n);
	for (size_t i = 0; i < MIN_OF(helo.len, (size_t)HELO_SHOWN); i++) {
		uint8_t c = helo.at[i];

		text[n++] = (char)(c <= ' ' || c > 126 || strchr("()\\", c) ? '?' : c);
	}
	text[n++] = ')';
	fold_word(f, slice_of(text, n));
}

/* FROM, and the TCP-info that a name must have. */
static void add_from(struct fold *f, const struct mail *m)
{
	bool named = smtp_domain_valid(m->helo, 0);
	char literal[IP_TEXT + 8], info[IP_TEXT + 10];

	literal_of(literal, m->ip);
	(void)snprintf(info, sizeof(info), "(%s)", literal);
	fold_word(f, slice_str("from"));
	if (named)
		fold_word(f, m->helo);
	else
		fold_word(f, slice_str(literal[0] ? literal : "unknown"));
	if (literal[0])
		fold_word(f, slice_str(info));
	if (!named && m->helo.len)
		add_strange_helo(f, m->helo);
}

static void add_by(struct fold *f, const struct compose *c)
{
	char id[ID_TEXT + 1], text[80];

	id_format(id, &c->mail->id);
	(void)snprintf(text, sizeof(text), "(mm %.60s)", c->instance);
	fold_word(f, slice_str("by"));
	fold_word(f, slice_str(c->hostname));
	fold_word(f, slice_str(text));
	fold_word(f, slice_str("with"));
	fold_word(f, slice_str(protocol(c->mail->receipt)));
	fold_word(f, slice_str("id"));
	fold_word(f, slice_str(id));
}

/* FOR, where it tells nobody of another recipient. */
static bool add_for(struct fold *f, const char *recipient)
{
	char text[LIMIT_SMTP_PATH + 8];

	if (!recipient || strlen(recipient) > LIMIT_SMTP_PATH ||
	    !smtp_address_valid(slice_str(recipient), ADDRESS_ODD))
		return false;
	(void)snprintf(text, sizeof(text), "<%s>;", recipient);
	fold_word(f, slice_str("for"));
	fold_word(f, slice_str(text));
	return true;
}

static enum rc add_received(const struct compose *c, struct buf *out)
{
	char date[ENCODE_DATE];
	struct fold f;

	encode_date(date, c->mail->received_ms);
	fold_begin(&f, out, "Received");
	add_from(&f, c->mail);
	add_by(&f, c);
	if (!add_for(&f, c->recipient))
		fold_more(&f, slice_str(";"));
	fold_word(&f, slice_str(date));
	return fold_end(&f);
}

/* ---- fields of rules ---- */

static bool is_x_name(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] <= ' ' || name.at[i] > 126 || name.at[i] == ':')
			return false;
	return name.len > 2 && name.len <= 256 && slice_starts_nocase(name, slice_str("X-"));
}

static enum rc add_headers(const json_t *headers, struct buf *out, struct err *e)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < json_array_size(headers); i++) {
		const json_t *h = json_array_get(headers, i);
		struct slice name = json_member_text(h, "name");
		char *copy;

		if (!is_x_name(name))
			return err_set(e, RC_INVALID,
			               "a header field that a rule adds begins with X-");
		copy = slice_string(name);
		rc = encode_field(out, copy, json_member_text(h, "value"));
		free(copy);
	}
	return rc == RC_OK ? RC_OK : err_set(e, rc, "the header fields that rules add");
}

/* ---- what is there already ---- */

/* Would the first line go on with a field in front of it, or is it none? Then all of it is body: an
 * empty line comes between. A line of mbox is skipped by readers. */
static bool needs_line(struct slice raw)
{
	size_t n = 0;

	if (!raw.len || raw.at[0] == '\n' || slice_starts_nocase(raw, slice_str("\r\n")))
		return false;
	if (slice_equal(slice_part(raw, 0, 5), slice_str("From ")) ||
	    slice_equal(slice_part(raw, 0, 6), slice_str(">From ")))
		return false;
	while (n < raw.len && raw.at[n] > ' ' && raw.at[n] < 127 && raw.at[n] != ':')
		n++;
	if (n == 0)
		return true;
	while (n < raw.len && (raw.at[n] == ' ' || raw.at[n] == '\t'))
		n++;
	return n == raw.len || raw.at[n] != ':';
}

/* What stands before the next CR that isn't of a CRLF; `rest` is left with what is behind it. */
static struct slice take_to_cr(struct slice *rest)
{
	struct slice all = *rest;
	size_t n = 0;

	while (n < all.len && (all.at[n] != '\r' || (n + 1 < all.len && all.at[n + 1] == '\n')))
		n++;
	*rest = slice_from(all, n + 1);
	return slice_part(all, 0, n);
}

/* A bare CR ends a line for some readers: what stands behind it is a field to them. */
static bool claims(const struct raw_field *f, const char *hostname)
{
	struct slice rest = f->whole;

	if (auth_results_claims(f, hostname))
		return true;
	(void)take_to_cr(&rest);
	while (rest.len) {
		struct raw_field hidden = { .whole = take_to_cr(&rest) };

		hidden.name = slice_trim(slice_cut(hidden.whole, ':', &hidden.value));
		if (hidden.value.at && auth_results_claims(&hidden, hostname))
			return true;
	}
	return false;
}

struct cutting {
	const struct compose *c;
	struct compose_cut *cuts;
	size_t count;
};

/* Fields that stand side by side are one cut. */
static enum rc cut(struct cutting *x, const struct raw_field *f, struct err *e)
{
	size_t from = (size_t)(f->whole.at - x->c->raw.at);

	if (x->count && x->cuts[x->count - 1].to == from) {
		x->cuts[x->count - 1].to += f->whole.len;
		return RC_OK;
	}
	if (x->count == COMPOSE_CUTS)
		return err_set(e, RC_LIMIT,
		               "more than %d header fields claim to be our Authentication-Results",
		               COMPOSE_CUTS);
	x->cuts[x->count++] = (struct compose_cut) { from, from + f->whole.len };
	return RC_OK;
}

/* Fields of `m` that stay are moved together. */
static enum rc cut_claims(struct cutting *x, struct raw_message *m, struct err *e)
{
	size_t kept = 0;
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < m->count; i++) {
		if (claims(&m->fields[i], x->c->hostname))
			rc = cut(x, &m->fields[i], e);
		else
			m->fields[kept++] = m->fields[i];
	}
	m->count = kept;
	return rc;
}

/* ---- the message as it is sent ---- */

static bool has_plain_lines(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.at[i];

		if (c > '\r')
			continue;
		if (c == '\0' || (c == '\r' && (i + 1 == s.len || s.at[i + 1] != '\n')) ||
		    (c == '\n' && (i == 0 || s.at[i - 1] != '\r')))
			return false;
	}
	return true;
}

/* Some take other control characters for blanks, and so cut or fold by them. */
static bool has_control(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] < ' ' && s.at[i] != '\t' && s.at[i] != '\r' && s.at[i] != '\n')
			return true;
	return false;
}

/* Does every reader see the same fields? */
static bool has_plain_fields(const struct raw_message *m)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct raw_field *f = &m->fields[i];

		if (!f->name.len || f->whole.at[f->name.len] != ':' || has_control(f->value))
			return false;
	}
	return true;
}

/* Is `name` that domain, or below it? */
static bool is_within(struct slice name, struct slice domain)
{
	return domain.len && slice_ends_nocase(name, domain) &&
	       (name.len == domain.len || name.at[name.len - domain.len - 1] == '.');
}

static bool has_passed(const json_t *part)
{
	return slice_equal(json_member_text(part, "result"), slice_str("pass"));
}

/* Did the domain of From say, by DKIM or SPF, that it sent the message? */
static bool is_vouched_for(const json_t *verdicts, struct slice from)
{
	const json_t *spf = json_member_object(verdicts, "spf");
	const json_t *list = json_member_array(json_member_object(verdicts, "dkim"), "signatures");

	if (has_passed(json_member_object(verdicts, "dmarc")))
		return true;
	for (size_t i = 0; i < json_array_size(list); i++)
		if (has_passed(json_array_get(list, i)) &&
		    is_within(from, json_member_text(json_array_get(list, i), "domain")))
			return true;
	return has_passed(spf) &&
	       slice_equal(json_member_text(spf, "identity"), slice_str("mailfrom")) &&
	       is_within(from, json_member_text(spf, "domain"));
}

/* Whoever wrote our name into From would have it signed by us: not unless it is known who sent it.
 */
static bool is_authentic(const struct compose *c, struct slice from)
{
	const json_t *receipt = c->mail ? c->mail->receipt : NULL;

	return !c->trace || json_member_text(receipt, "auth").len ||
	       json_member_object(receipt, "client_cert") ||
	       (from.len && is_vouched_for(mail_verdicts(c->mail), from));
}

/* Our fields, and behind them those that were received. */
static struct raw_message joined(const struct raw_message *front, const struct raw_message *raw)
{
	struct raw_message m = { .count = front->count + raw->count, .body = raw->body };

	m.fields = mem_array(MAX_OF(m.count, (size_t)1), sizeof(*m.fields));
	for (size_t i = 0; i < m.count; i++)
		m.fields[i] = i < front->count ? front->fields[i] : raw->fields[i - front->count];
	return m;
}

/* False: nobody knows, so nobody can say so in a seal. */
static bool chain_of(const struct mail *m, enum arc_result *cv)
{
	static const enum arc_result all[] = { ARC_NONE, ARC_PASS, ARC_FAIL };
	struct slice word = json_member_text(json_member_object(mail_verdicts(m), "arc"), "result");

	for (size_t i = 0; i < COUNT(all); i++) {
		*cv = all[i];
		if (slice_equal(word, slice_str(arc_word(*cv))))
			return true;
	}
	return false;
}

/* A chain that has failed and says so, or is full, or isn't the one that was judged, gets no set
 * more: that is no failure. */
static enum rc add_seal(const struct compose *c, const struct auth_results *r,
                        const struct raw_message *m, struct buf *out, struct err *e)
{
	const struct arc_sealer by = { c->arc->domain, c->arc->selector, c->hostname, c->arc->key,
		                       c->now_ms / 1000 };
	enum arc_result cv;
	struct buf results;
	enum rc rc;

	if (!c->mail || !chain_of(c->mail, &cv))
		return RC_OK;
	buf_init(&results, RESULTS_MOST);
	rc = auth_results_text(r, &results);
	if (rc == RC_OK)
		rc = arc_seal(&by, m, cv, buf_slice(&results), out, e);
	buf_free(&results);
	return rc == RC_EXISTS || rc == RC_LIMIT || rc == RC_INVALID ? RC_OK : rc;
}

static enum rc sign(const struct compose *c, const struct auth_results *r,
                    const struct raw_message *m, struct buf *out, struct err *e)
{
	struct buf seal;
	enum rc rc = RC_OK;

	if (!has_plain_lines(c->raw) || !has_plain_fields(m))
		return RC_OK;
	buf_init(&seal, FRONT_MOST);
	if (c->arc)
		rc = add_seal(c, r, m, &seal, e);
	if (rc == RC_OK && c->dkim && is_authentic(c, r->from))
		rc = dkim_sign(c->dkim, m, c->now_ms / 1000, out, e);
	if (rc == RC_OK && buf_add(out, buf_slice(&seal)) != RC_OK)
		rc = err_set(e, RC_LIMIT, "no room for a set of ARC");
	buf_free(&seal);
	return rc;
}

/* ---- all together ---- */

static enum rc write_ours(const struct compose *c, const struct auth_results *r, struct buf *out,
                          struct err *e)
{
	enum rc rc = add_headers(c->headers, out, e);

	if (rc != RC_OK || !c->trace)
		return rc;
	if (r->verdicts)
		rc = auth_results_field(r, out);
	if (rc == RC_OK)
		rc = add_received(c, out);
	return rc == RC_OK ? RC_OK : err_set(e, rc, "the fields that say how a message came");
}

/* Signatures in front of our other fields, which are signed along where they are of a kind that is.
 */
static enum rc put_together(const struct compose *c, const struct auth_results *r,
                            const struct raw_message *raw, struct slice ours, struct buf *out,
                            struct err *e)
{
	struct raw_message front, all;
	enum rc rc = raw_read(&front, ours, e);

	if (rc != RC_OK)
		return rc;
	all = joined(&front, raw);
	if (c->dkim || c->arc)
		rc = sign(c, r, &all, out, e);
	raw_free(&all);
	raw_free(&front);
	if (rc == RC_OK && buf_add(out, ours) != RC_OK)
		rc = err_set(e, RC_LIMIT, "no room for the fields in front");
	return rc;
}

static enum rc finish(const struct compose *c, const struct auth_results *r,
                      const struct raw_message *raw, struct buf *out, struct err *e)
{
	size_t before = out->len;
	struct buf ours;
	enum rc rc;

	buf_init(&ours, FRONT_MOST);
	rc = write_ours(c, r, &ours, e);
	if (rc == RC_OK)
		rc = put_together(c, r, raw, buf_slice(&ours), out, e);
	if (rc == RC_OK && out->len > before && needs_line(c->raw) &&
	    buf_add_str(out, "\r\n") != RC_OK)
		rc = err_set(e, RC_LIMIT, "no room for the fields in front");
	if (rc != RC_OK)
		out->len = before;
	buf_free(&ours);
	return rc;
}

enum rc compose_front(const struct compose *c, struct buf *out,
                      struct compose_cut cuts[COMPOSE_CUTS], size_t *cut_count, struct err *e)
{
	struct auth_results r = { .authserv = c->hostname,
		                  .verdicts = c->mail ? mail_verdicts(c->mail) : NULL };
	struct cutting x = { .c = c, .cuts = cuts };
	struct raw_message raw = { .body = c->raw };
	char from[256] = "";
	enum rc rc = RC_OK;

	*cut_count = 0;
	if ((c->trace || c->dkim || c->arc) && !needs_line(c->raw))
		rc = raw_read(&raw, c->raw, e);
	if (rc == RC_OK && c->trace)
		rc = cut_claims(&x, &raw, e);
	if (rc == RC_OK && compose_from_domain(from, c->raw))
		r.from = slice_str(from);
	if (rc == RC_OK)
		rc = finish(c, &r, &raw, out, e);
	raw_free(&raw);
	*cut_count = rc == RC_OK ? x.count : 0;
	return rc;
}

enum rc compose_memory(const struct compose *c, int *fd, uint64_t *bytes, struct err *e)
{
	struct compose_cut cuts[COMPOSE_CUTS];
	struct slice parts[COMPOSE_CUTS + 2];
	size_t at = 0, count;
	struct buf front;
	enum rc rc;

	*fd = -1;
	*bytes = 0;
	buf_init(&front, 2 * FRONT_MOST);
	rc = compose_front(c, &front, cuts, &count, e);
	if (rc == RC_OK) {
		parts[0] = buf_slice(&front);
		for (size_t i = 0; i < count; i++) {
			parts[i + 1] = slice_part(c->raw, at, cuts[i].from - at);
			at = cuts[i].to;
		}
		parts[count + 1] = slice_from(c->raw, at);
		for (size_t i = 0; i < count + 2; i++)
			*bytes += parts[i].len;
		rc = sealed_parts(fd, "mm-mail", parts, count + 2, e);
	}
	buf_free(&front);
	return rc;
}

/* ---- about a message ---- */

const char *compose_loop(struct slice raw, const char *instance)
{
	struct head h = head_of(raw);
	struct head_field f;
	unsigned any = 0, ours = 0;

	while (head_next(&h, &f)) {
		if (!slice_equal_nocase(f.name, slice_str("Received")))
			continue;
		any++;
		ours += slice_contains_nocase(f.value, slice_str(instance));
	}
	if (ours >= HOPS_OURS)
		return "the message goes in a circle: it has been here three times";
	return any >= HOPS_ANY ? "the message goes in a circle: 50 servers had it" : NULL;
}

bool compose_from_domain(char out[256], struct slice raw)
{
	struct raw_message m;
	struct from from;
	bool one;

	if (needs_line(raw) || raw_read(&m, raw, NULL) != RC_OK)
		return false;
	from_read(&from, &m);
	one = from.count == 1 && !from.odd;
	if (one)
		(void)snprintf(out, 256, "%.*s", (int)from.domains[0].len,
		               (const char *)from.domains[0].at);
	from_free(&from);
	raw_free(&m);
	return one;
}
