/*
 * From the greeting to the first transaction: EHLO, HELO, LHLO, STARTTLS, AUTH
 */
#include <stdlib.h>

#include "base/codec.h"
#include "smtp/client_inside.h"

#define NAME_BYTES 255 /* user and password each: RFC 4616 section 2 */
#define AUTH_ROOM  4096
#define LINE_BYTES 510 /* RFC 5321 section 4.5.3.1.4 without CRLF */

static const struct {
	const char *keyword;
	unsigned has;
} capabilities[] = {
	{ "PIPELINING", SMTP_HAS_PIPELINING },
	{ "SIZE", SMTP_HAS_SIZE },
	{ "8BITMIME", SMTP_HAS_8BITMIME },
	{ "SMTPUTF8", SMTP_HAS_SMTPUTF8 },
	{ "DSN", SMTP_HAS_DSN },
	{ "STARTTLS", SMTP_HAS_STARTTLS },
	{ "ENHANCEDSTATUSCODES", SMTP_HAS_ENHANCED },
};

static void mechanisms(struct smtp_client *c, struct slice list)
{
	while (list.len) {
		struct slice word = slice_cut(list, ' ', &list);

		if (slice_equal_nocase(word, slice_str("PLAIN")))
			c->says |= SMTP_HAS_AUTH_PLAIN;
		else if (slice_equal_nocase(word, slice_str("LOGIN")))
			c->says |= SMTP_HAS_AUTH_LOGIN;
	}
}

void client_capability(struct smtp_client *c, struct slice line)
{
	struct slice values;
	struct slice keyword = slice_cut(slice_trim(line), ' ', &values);

	for (size_t i = 0; i < COUNT(capabilities); i++)
		if (slice_equal_nocase(keyword, slice_str(capabilities[i].keyword)))
			c->says |= capabilities[i].has;
	if (slice_equal_nocase(keyword, slice_str("SIZE")) &&
	    !slice_to_u64(slice_trim(values), &c->says_limit))
		c->says_limit = 0; /* RFC 1870 section 4: no number, no limit that is known */
	if (slice_equal_nocase(keyword, slice_str("AUTH")))
		mechanisms(c, values);
	else if (slice_starts_nocase(keyword, slice_str("AUTH="))) /* before RFC 2554 */
		mechanisms(c, slice_from(slice_trim(line), 5));
}

void client_hello(struct smtp_client *c)
{
	const char *verb = c->helo ? "HELO" : "EHLO";

	c->has = 0;
	c->size_limit = 0;
	c->says = 0;
	c->says_limit = 0;
	c->phase = PHASE_HELLO;
	client_say(c, "%s %.255s\r\n", c->config->lmtp ? "LHLO" : verb, c->config->hostname);
}

static void give_up(struct smtp_client *c, enum smtp_end end, const char *enhanced,
                    const char *text)
{
	struct smtp_result why;

	client_result(&why, end, enhanced, "%s", text);
	client_shut(c, &why, true);
}

/* The host doesn't talk to us: another one may. */
static void refused(struct smtp_client *c)
{
	struct smtp_result why = client_reply_result(c);

	why.end = why.code == 521 ? SMTP_NEVER : SMTP_LATER;
	client_shut(c, &why, true);
}

void client_greeting_heard(struct smtp_client *c)
{
	if (c->reply.code < 300)
		client_hello(c);
	else if (c->reply.code < 400)
		client_nonsense(c, "the server's greeting has a code of 3xx");
	else
		refused(c);
}

/* --- AUTH --- */

/* Base64 of the parts, behind `before`. */
static void say_secret(struct smtp_client *c, const char *before, const struct slice *parts,
                       size_t n)
{
	struct buf plain;
	struct buf text;

	buf_init(&plain, AUTH_ROOM);
	buf_init(&text, AUTH_ROOM);
	MUST(buf_reserve(&plain, AUTH_ROOM / 2) == RC_OK &&
	     buf_reserve(&text, AUTH_ROOM / 2) == RC_OK);
	MUST(buf_reserve(&c->out, AUTH_ROOM / 2) == RC_OK); /* no growing leaves a copy behind */
	for (size_t i = 0; i < n; i++)
		MUST(buf_add(&plain, parts[i]) == RC_OK);
	MUST(base64_encode(&text, buf_slice(&plain)) == RC_OK);
	client_say(c, "%s%s\r\n", before, buf_text(&text));
	explicit_bzero(plain.at, plain.room);
	explicit_bzero(text.at, text.room);
	buf_free(&plain);
	buf_free(&text);
}

static void say_plain(struct smtp_client *c, const char *before)
{
	struct slice nul = slice_of("", 1);
	const struct slice parts[] = { nul, slice_str(c->config->user), nul,
		                       slice_str(c->config->password) };

	say_secret(c, before, parts, COUNT(parts));
	c->auth = AUTH_ANSWERED;
}

static void auth_say(struct smtp_client *c)
{
	size_t secret = strlen(c->config->user) + strlen(c->config->password) + 2;

	c->phase = PHASE_AUTH;
	if (!(c->has & SMTP_HAS_AUTH_PLAIN)) {
		client_say(c, "AUTH LOGIN\r\n");
		c->auth = AUTH_WANTS_USER;
	} else if ((secret + 2) / 3 * 4 + strlen("AUTH PLAIN ") <= LINE_BYTES) {
		say_plain(c, "AUTH PLAIN ");
	} else { /* RFC 4954 section 4: an initial response must fit into the line of a command */
		client_say(c, "AUTH PLAIN\r\n");
		c->auth = AUTH_WANTS_PLAIN;
	}
}

static void auth_begin(struct smtp_client *c)
{
	const char *user = c->config->user;
	const char *password = c->config->password ? c->config->password : "";

	if (!c->tls && !c->config->auth_clear)
		give_up(c, SMTP_SET_UP, "5.7.11", "credentials are not sent without TLS");
	else if (!(c->has & (SMTP_HAS_AUTH_PLAIN | SMTP_HAS_AUTH_LOGIN)))
		give_up(c, SMTP_SET_UP, "5.7.4",
		        "the server offers neither AUTH PLAIN nor AUTH LOGIN");
	else if (!*user || !*password || strlen(user) > NAME_BYTES || strlen(password) > NAME_BYTES)
		give_up(c, SMTP_SET_UP, "5.7.8", "user and password must have 1 to 255 bytes");
	else
		auth_say(c);
}

static void auth_go_on(struct smtp_client *c)
{
	struct slice user = slice_str(c->config->user);
	struct slice password = slice_str(c->config->password);

	switch (c->auth) {
	case AUTH_WANTS_PLAIN:
		say_plain(c, "");
		break;
	case AUTH_WANTS_USER:
		say_secret(c, "", &user, 1);
		c->auth = AUTH_WANTS_PASSWORD;
		break;
	case AUTH_WANTS_PASSWORD:
		say_secret(c, "", &password, 1);
		c->auth = AUTH_ANSWERED;
		break;
	default:
		client_nonsense(c, "the server asks for more than AUTH has to say");
	}
}

void client_auth_heard(struct smtp_client *c)
{
	struct smtp_result why = client_reply_result(c);

	if (why.code == 334) {
		auth_go_on(c);
	} else if (why.code < 300 && c->auth == AUTH_ANSWERED) {
		c->authenticated = true;
		c->due |= DUE_READY;
	} else if (why.code < 400) {
		client_nonsense(c, "the server's reply to AUTH makes no sense");
	} else {
		why.end = why.code < 500 ? SMTP_LATER : SMTP_SET_UP;
		client_shut(c, &why, true);
	}
}

/* --- what comes behind EHLO --- */

static void go_on(struct smtp_client *c)
{
	bool offered = c->has & SMTP_HAS_STARTTLS;
	bool wanted =
	        c->config->tls == SMTP_CLIENT_TLS_MAY || c->config->tls == SMTP_CLIENT_TLS_MUST;

	if (!c->tls && wanted && offered && !c->tls_refused) {
		c->phase = PHASE_STARTTLS;
		client_say(c, "STARTTLS\r\n");
	} else if (!c->tls && c->config->tls == SMTP_CLIENT_TLS_MUST) {
		give_up(c, SMTP_SET_UP, "5.7.10",
		        "TLS is required and the server does not offer it");
	} else if (c->config->user && !c->authenticated) {
		auth_begin(c);
	} else {
		c->due |= DUE_READY;
	}
}

void client_hello_heard(struct smtp_client *c)
{
	unsigned code = c->reply.code;

	if (code < 300) {
		c->has = c->helo ? 0 : c->says;
		c->size_limit = c->helo ? 0 : c->says_limit;
		go_on(c);
	} else if (code < 400) {
		client_nonsense(c, "the server's reply to EHLO has a code of 3xx");
	} else if (code >= 500 && c->config->lmtp && code <= 504) {
		give_up(c, SMTP_SET_UP, "5.5.1", "the server does not speak LMTP");
	} else if (code >= 500 && code != 521 && !c->config->lmtp && !c->helo) {
		c->helo = true; /* RFC 5321 section 3.2 */
		client_hello(c);
	} else {
		refused(c);
	}
}

void client_starttls_heard(struct smtp_client *c)
{
	struct smtp_result why = client_reply_result(c);

	if (why.code < 300) {
		c->has = 0;
		c->size_limit = 0;
		c->phase = PHASE_TLS;
		c->due |= DUE_STARTTLS;
	} else if (why.code < 400) {
		client_nonsense(c, "the server's reply to STARTTLS has a code of 3xx");
	} else if (c->config->tls == SMTP_CLIENT_TLS_MUST) {
		why.end = why.code < 500 ? SMTP_LATER : SMTP_SET_UP;
		client_shut(c, &why, true);
	} else {
		c->tls_refused = true;
		go_on(c);
	}
}
