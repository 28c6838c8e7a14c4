/*
 * AUTH PLAIN and LOGIN: RFC 4954, RFC 4616, and the draft that LOGIN never got beyond
 */
#include "base/codec.h"
#include "base/limits.h"
#include "smtp/session.h"

#define NAME_BYTES 255 /* authzid, user and password each: RFC 4616 section 2 */

static void wipe(struct buf *b)
{
	if (b->at)
		explicit_bzero(b->at, b->room);
	buf_free(b);
}

void smtp_auth_forget(struct smtp_session *s)
{
	wipe(&s->auth);
	s->auth_step = AUTH_IDLE;
}

static void auth_fail(struct smtp_session *s, const char *enhanced, const char *text)
{
	smtp_auth_forget(s);
	smtp_session_enter(s, STATE_READY);
	smtp_refuse(s, 501, enhanced, text);
}

static bool name_valid(struct slice name)
{
	return name.len <= NAME_BYTES && slice_is_utf8(name) &&
	       slice_find_byte(name, '\0') == SIZE_MAX;
}

/* The session is WAIT_AUTH until the answer; slices live for the call, so the app copies them. */
static void auth_ask(struct smtp_session *s, struct slice authzid, struct slice user,
                     struct slice password)
{
	struct buf secret;

	if (user.len == 0 || password.len == 0 || !name_valid(authzid) || !name_valid(user) ||
	    !name_valid(password)) {
		auth_fail(s, "5.5.2", "Not valid credentials");
		return;
	}
	/* The slices outlive whatever the answer does to the session. */
	secret = s->auth;
	buf_init(&s->auth, LIMIT_SMTP_AUTH_LINE);
	s->auth_step = AUTH_IDLE;
	smtp_session_enter(s, STATE_READY);
	s->waiting = WAIT_AUTH;
	s->ops->auth(s->app, s, authzid, user, password);
	wipe(&secret);
}

/* RFC 4616: [authzid] NUL authcid NUL passwd */
static void plain_done(struct smtp_session *s)
{
	struct slice rest = buf_slice(&s->auth);
	struct slice authzid = slice_cut(rest, '\0', &rest);
	struct slice user = slice_cut(rest, '\0', &rest);

	auth_ask(s, authzid, user, rest);
}

static void login_user_done(struct smtp_session *s)
{
	s->auth_step = AUTH_LOGIN_PASSWORD;
	smtp_session_enter(s, STATE_AUTH);
	smtp_reply(s, 334, NULL, "UGFzc3dvcmQ6"); /* "Password:" */
}

/* `response` is base64 text; `s->auth` holds the user while the password is taken. */
static void auth_response(struct smtp_session *s, struct slice response)
{
	size_t user_len = s->auth.len;

	if (buf_reserve(&s->auth, response.len) != RC_OK ||
	    base64_decode(&s->auth, response) != RC_OK) {
		auth_fail(s, "5.5.2", "Not valid base64");
		return;
	}
	switch (s->auth_step) {
	case AUTH_PLAIN:
		plain_done(s);
		break;
	case AUTH_LOGIN_USER:
		login_user_done(s);
		break;
	default:
		auth_ask(s, slice_of(NULL, 0), slice_of(s->auth.at, user_len),
		         slice_from(buf_slice(&s->auth), user_len));
	}
}

void smtp_auth_line(struct smtp_session *s, struct slice line)
{
	if (slice_equal(line, slice_str("*")))
		auth_fail(s, "5.7.0", "Authentication cancelled");
	else
		auth_response(s, line);
}

static bool auth_allowed(struct smtp_session *s)
{
	if (!s->config->auth)
		smtp_refuse(s, 502, "5.5.1", "Authentication is not offered");
	else if (!s->tls)
		smtp_refuse(s, 538, "5.7.11", "Encryption is required for authentication");
	else if (s->authenticated)
		smtp_refuse(s, 503, "5.5.1", "Authenticated already");
	else if (!s->esmtp)
		smtp_refuse(s, 503, "5.5.1", "Send EHLO first");
	else
		return true;
	return false;
}

void smtp_command_auth(struct smtp_session *s, struct slice args)
{
	struct slice response;
	struct slice mechanism = slice_cut(args, ' ', &response);
	bool plain = slice_equal_nocase(mechanism, slice_str("PLAIN"));

	if (!auth_allowed(s))
		return;
	if (mechanism.len == 0) {
		smtp_refuse(s, 501, "5.5.4", "A mechanism is needed");
		return;
	}
	if (!plain && !slice_equal_nocase(mechanism, slice_str("LOGIN"))) {
		smtp_refuse(s, 504, "5.5.4", "Only PLAIN and LOGIN are known");
		return;
	}
	s->auth_step = plain ? AUTH_PLAIN : AUTH_LOGIN_USER;
	if (response.len == 0) {
		smtp_session_enter(s, STATE_AUTH);
		smtp_reply(s, 334, NULL, plain ? "" : "VXNlcm5hbWU6"); /* "Username:" */
		return;
	}
	if (slice_equal(response, slice_str("="))) /* an empty response, RFC 4954 section 4 */
		response.len = 0;
	auth_response(s, response);
}
