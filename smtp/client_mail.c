#include <stdlib.h>

#include "smtp/address.h"
#include "smtp/client_inside.h"
#include "smtp/params.h"

static size_t place_data(const struct client_script *s)
{
	return PLACE_RCPT + s->m->count;
}

/* The place itself, or the next one that is said. */
static size_t place_next(const struct client_script *s, size_t place)
{
	if (place == PLACE_RSET && !s->reset)
		place++;
	while (place >= PLACE_RCPT && place < place_data(s) &&
	       s->fates[place - PLACE_RCPT] == FATE_LOCAL)
		place++;
	return place;
}

static bool any(const struct client_script *s, enum client_fate fate)
{
	for (size_t i = 0; i < s->m->count; i++)
		if (s->fates[i] == fate)
			return true;
	return false;
}

void client_script_settle(struct smtp_client *c, const struct smtp_result *r)
{
	struct client_script *s = c->script;

	for (size_t i = 0; i < s->m->count; i++)
		if (s->fates[i] == FATE_OPEN || s->fates[i] == FATE_TAKEN) {
			s->results[i] = *r;
			s->fates[i] = FATE_KNOWN;
		}
}

void client_script_free(struct smtp_client *c)
{
	struct client_script *s = c->script;

	c->script = NULL;
	if (!s)
		return;
	free(s->results);
	free(s->fates);
	free(s);
}

static void over(struct smtp_client *c)
{
	c->due |= DUE_ENDED | DUE_READY;
}

/* --- what needn't be asked --- */

static bool utf8_header(struct slice message)
{
	size_t end = MIN_OF(slice_find(message, slice_str("\r\n\r\n")),
	                    slice_find(message, slice_str("\n\n")));

	return !smtp_is_ascii(slice_part(message, 0, end));
}

static bool address_valid(struct slice address)
{
	return smtp_address_valid(address, ADDRESS_UTF8 | ADDRESS_ODD);
}

/* True: nobody can be asked for; *why says so. */
static bool judge_mail(const struct smtp_client *c, struct smtp_result *why)
{
	const struct smtp_client_mail *m = c->script->m;
	struct slice from = slice_str(m->mail_from);
	bool utf8 = c->has & SMTP_HAS_SMTPUTF8;

	if (from.len && !address_valid(from))
		client_result(why, SMTP_NEVER, "5.1.7", "the sender's address is not valid");
	else if (c->size_limit && c->script->bytes > c->size_limit)
		client_result(why, SMTP_NEVER, "5.3.4",
		              "the message has %llu bytes and the server takes %llu",
		              (unsigned long long)c->script->bytes,
		              (unsigned long long)c->size_limit);
	else if (m->eight_bit && !(c->has & SMTP_HAS_8BITMIME))
		client_result(why, SMTP_NEVER, "5.6.1",
		              "the message has 8-bit content and the server does not take it");
	else if (!utf8 && !smtp_is_ascii(from))
		client_result(why, SMTP_NEVER, "5.6.7",
		              "the sender's address is UTF-8 and the server does not take it");
	else if (!utf8 && !c->config->lmtp && m->smtputf8 && m->eight_bit &&
	         utf8_header(m->message))
		client_result(why, SMTP_NEVER, "5.6.9",
		              "the message's header is UTF-8 and the server does not take it");
	else
		return false;
	return true;
}

static void judge_rcpt(struct smtp_client *c, size_t i)
{
	struct client_script *s = c->script;
	struct slice address = slice_str(s->m->rcpts[i].address);
	bool ascii = smtp_is_ascii(address);

	if (!address_valid(address) && !slice_equal_nocase(address, slice_str("postmaster")))
		client_result(&s->results[i], SMTP_NEVER, "5.1.3",
		              "the recipient's address is not valid");
	else if (!ascii && !(c->has & SMTP_HAS_SMTPUTF8))
		client_result(&s->results[i], SMTP_NEVER, "5.6.7",
		              "the recipient's address is UTF-8 and the server does not take it");
	else
		return;
	s->fates[i] = FATE_LOCAL;
}

/* SMTPUTF8 is said where it was said to us, or an address (which a rule may have put in) needs it.
 */
static bool wants_utf8(const struct smtp_client_mail *m)
{
	bool wants = m->smtputf8 || !smtp_is_ascii(slice_str(m->mail_from));

	for (size_t i = 0; i < m->count; i++)
		wants = wants || !smtp_is_ascii(slice_str(m->rcpts[i].address));
	return wants;
}

void client_script_begin(struct smtp_client *c, const struct smtp_client_mail *m)
{
	struct client_script *s = mem_new(sizeof(*s));
	struct smtp_result why;

	s->m = m;
	s->results = mem_array(m->count, sizeof(*s->results));
	s->fates = mem_array(m->count, sizeof(*s->fates));
	s->bytes = client_body_bytes(m->message);
	s->utf8 = (c->has & SMTP_HAS_SMTPUTF8) && wants_utf8(m);
	s->reset = c->needs_reset;
	c->script = s;
	if (judge_mail(c, &why))
		client_script_settle(c, &why);
	else
		for (size_t i = 0; i < m->count; i++)
			judge_rcpt(c, i);
	if (!any(s, FATE_OPEN)) {
		over(c);
		return;
	}
	s->said = place_next(s, PLACE_RSET);
	s->heard = s->said;
	c->phase = PHASE_ENVELOPE;
	client_envelope_say(c);
}

/* --- the envelope --- */

static void place_say(struct smtp_client *c, size_t place)
{
	struct client_script *s = c->script;

	if (place == PLACE_RSET)
		client_say(c, "RSET\r\n");
	else if (place == PLACE_MAIL)
		client_say_mail(c);
	else if (place < place_data(s))
		client_say_rcpt(c, &s->m->rcpts[place - PLACE_RCPT]);
	else
		client_say(c, "DATA\r\n");
	s->ends[place] = c->asked;
	s->awaited++;
	s->no_more = place == place_data(s);
	s->said = place_next(s, place + 1);
}

void client_envelope_say(struct smtp_client *c)
{
	struct client_script *s = c->script;

	while (!s->no_more && c->out.len < CLIENT_ENOUGH &&
	       (s->awaited == 0 || (c->has & SMTP_HAS_PIPELINING))) {
		if (s->said == place_data(s) && s->awaited == 0 && !any(s, FATE_TAKEN))
			s->no_more = true; /* all refused */
		else
			place_say(c, s->said);
	}
}

static void mail_heard(struct smtp_client *c, const struct smtp_result *r)
{
	c->needs_reset = r->end == SMTP_DONE;
	if (c->needs_reset)
		return;
	client_script_settle(c, r);
	c->script->no_more = true;
}

static void rcpt_heard(struct smtp_client *c, size_t i, const struct smtp_result *r)
{
	struct client_script *s = c->script;

	if (s->fates[i] != FATE_OPEN) /* MAIL was refused */
		return;
	s->results[i] = *r;
	s->fates[i] = r->end == SMTP_DONE ? FATE_TAKEN : FATE_KNOWN;
	/* RFC 5321 section 4.5.3.1.10 has all 552 be passing; it mostly means a full mailbox or a
	 * large message */
	if (r->code == 552 && slice_equal(slice_str(r->enhanced), slice_str("5.5.3")))
		s->results[i].end = SMTP_LATER;
}

static void data_heard(struct smtp_client *c, const struct smtp_result *r)
{
	bool taken = any(c->script, FATE_TAKEN);

	if (r->end == SMTP_DONE)
		client_nonsense(c, "the server's reply to DATA has a code of 2xx");
	else if (r->code >= 400)
		client_script_settle(c, r);
	else if (taken || !c->config->lmtp)
		client_body_begin(c, !taken); /* empty: RFC 2920 section 3.1 */
	else                                  /* RFC 2033 section 4.2 */
		client_nonsense(c, "the server wants a message for no recipient");
}

static void place_heard(struct smtp_client *c, size_t place, const struct smtp_result *r)
{
	struct smtp_result why = *r;

	if (place == place_data(c->script)) {
		data_heard(c, r);
	} else if (r->code >= 300 && r->code < 400) {
		client_nonsense(c, "the server sent a code of 3xx before DATA");
	} else if (place == PLACE_MAIL) {
		mail_heard(c, r);
	} else if (place != PLACE_RSET) {
		rcpt_heard(c, place - PLACE_RCPT, r);
	} else if (r->end != SMTP_DONE) {
		why.end = SMTP_LATER;
		client_shut(c, &why, false);
	}
}

void client_envelope_heard(struct smtp_client *c)
{
	struct client_script *s = c->script;
	struct smtp_result r = client_reply_result(c);
	size_t place = s->heard;

	if (s->awaited == 0 || c->began < s->ends[place]) {
		client_nonsense(c, "the server sent a reply before its command");
		return;
	}
	s->awaited--;
	s->heard = place_next(s, place + 1);
	place_heard(c, place, &r);
	if (c->phase != PHASE_ENVELOPE)
		return;
	client_envelope_say(c);
	if (s->awaited == 0)
		over(c);
}

/* --- the message --- */

void client_body_heard(struct smtp_client *c)
{
	struct smtp_result r = client_reply_result(c);

	if (r.code < 400)
		client_nonsense(c, "the server replied before the end of the message");
	else
		client_shut(c, &r, false);
}

void client_end_heard(struct smtp_client *c)
{
	struct client_script *s = c->script;
	struct smtp_result r = client_reply_result(c);

	if (c->began < c->asked) {
		client_body_heard(c);
		return;
	}
	if (r.code >= 300 && r.code < 400) {
		client_nonsense(c, "the server's reply to the message has a code of 3xx");
		return;
	}
	c->needs_reset = false;
	r.dsn = r.end == SMTP_DONE && (c->has & SMTP_HAS_DSN);
	if (!c->config->lmtp)
		client_script_settle(c, &r);
	for (size_t i = 0; i < s->m->count; i++)
		if (s->fates[i] == FATE_TAKEN) { /* LMTP: the next one */
			s->results[i] = r;
			s->fates[i] = FATE_KNOWN;
			break;
		}
	if (!any(s, FATE_TAKEN))
		over(c);
}
