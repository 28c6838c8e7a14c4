/* ingest/outbound_attempt.c - attempts and results on their way between mmd and the sender */
#include "ingest/outbound_parts.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- to it ---- */

static void put(json_t *o, const char *member, const char *text)
{
	if (text)
		json_put_text(o, member, slice_str(text));
}

static json_t *target_json(const struct outbound_target *t)
{
	json_t *o = json_object();

	if (t->route == OUTBOUND_MX) {
		put(o, "domain", t->domain);
		return o;
	}
	put(o, "host", t->host);
	json_put_int(o, "port", t->port);
	json_put_int(o, "tls", t->tls);
	json_put_bool(o, "lmtp", t->lmtp);
	put(o, "user", t->user);
	put(o, "password", t->password);
	return o;
}

static json_t *recipients_json(const struct outbound_mail *m)
{
	json_t *all = json_array();

	for (size_t i = 0; i < m->recipient_count; i++) {
		json_t *o = json_object();

		put(o, "to", m->recipients[i].address);
		put(o, "notify", m->recipients[i].notify);
		put(o, "orcpt", m->recipients[i].orcpt);
		json_push(all, o);
	}
	return all;
}

enum rc outbound_ask(struct buf *out, uint64_t number, const struct outbound_mail *m)
{
	json_t *o = json_object();
	enum rc rc;

	json_put_int(o, "n", (int64_t)number);
	json_put(o, "target", target_json(m->target));
	put(o, "from", m->mail_from);
	put(o, "ret", m->ret);
	put(o, "envid", m->envid);
	json_put_bool(o, "utf8", m->smtputf8);
	json_put_bool(o, "eight", m->eight_bit);
	json_put(o, "rcpt", recipients_json(m));
	buf_init(out, OUTBOUND_ASK_MOST);
	rc = json_write(out, o);
	json_decref(o);
	return rc;
}

/* ---- from it ---- */

void outbound_clean(char *out, size_t room, struct slice text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len && n + 1 < room; i++)
		out[n++] = text.at[i] < 32 || text.at[i] > 126 ? ' ' : (char)text.at[i];
	out[n] = 0;
}

static bool is_enhanced(const char *s)
{
	size_t first = strspn(s, "245");
	size_t digits;

	for (int i = 0; first == 1 && i < 2; i++) {
		s += i == 0 ? 1 : 0;
		if (*s++ != '.')
			return false;
		digits = strspn(s, "0123456789");
		if (digits < 1 || digits > 3)
			return false;
		s += digits;
	}
	return first == 1 && *s == 0;
}

static bool read_result(struct outbound_result *r, const json_t *o)
{
	int64_t how = json_member_int(o, "end", -1);
	int64_t code = json_member_int(o, "code", -1);

	*r = (struct outbound_result) { .end = OUTBOUND_LATER };
	if (how < OUTBOUND_DONE || how > OUTBOUND_SET_UP || code < 0 || code > 599 ||
	    (code > 0 && code < 200))
		return false;
	r->end = (enum outbound_end)how;
	r->code = (unsigned)code;
	r->dsn = json_member_bool(o, "dsn", false);
	outbound_clean(r->enhanced, sizeof(r->enhanced), json_member_text(o, "enhanced"));
	outbound_clean(r->text, sizeof(r->text), json_member_text(o, "text"));
	return is_enhanced(r->enhanced);
}

bool outbound_said(struct outbound_result **results, size_t count, const json_t *said)
{
	const json_t *list = json_member_array(said, "results");
	bool good = json_array_size(list) == count;

	*results = mem_array(count, sizeof(**results));
	for (size_t i = 0; good && i < count; i++)
		good = read_result(&(*results)[i], json_array_get(list, i));
	return good;
}
