#include <stdio.h>

#include "smtp/session.h"

#define ANY (IN(GREETED) | IN(READY) | IN(MAIL) | IN(RCPT) | IN(BDAT))

enum command_flag {
	CLEAR = 1, /* also before TLS where TLS is required: RFC 3207 section 4 */
	NO_ARGS = 2,
	OWN = 4, /* judges the state by itself */
};

static const struct command {
	const char *verb;
	unsigned allowed;
	unsigned flags;
	void (*run)(struct smtp_session *s, struct slice args);
} commands[] = {
	{ "MAIL", IN(READY), 0, smtp_command_mail },
	{ "RCPT", IN(MAIL) | IN(RCPT), 0, smtp_command_rcpt },
	{ "DATA", IN(MAIL) | IN(RCPT), NO_ARGS, smtp_command_data },
	{ "BDAT", ANY, CLEAR | OWN, smtp_command_bdat },
	{ "EHLO", ANY, CLEAR, smtp_command_ehlo },
	{ "HELO", ANY, CLEAR, smtp_command_helo },
	{ "QUIT", ANY, CLEAR | NO_ARGS, smtp_command_quit },
	{ "RSET", ANY, NO_ARGS, smtp_command_rset },
	{ "STARTTLS", IN(READY) | IN(MAIL) | IN(RCPT) | IN(BDAT), CLEAR | NO_ARGS,
	  smtp_command_starttls },
	{ "AUTH", IN(READY), 0, smtp_command_auth },
	{ "NOOP", ANY, CLEAR, smtp_command_noop },
	{ "VRFY", ANY, 0, smtp_command_vrfy },
	{ "EXPN", ANY, 0, smtp_command_expn },
	{ "HELP", ANY, 0, smtp_command_help },
};

/* First words of protocols that a browser or a proxy can be made to speak to us. */
static const char *const aliens[] = {
	"GET",     "POST",  "PUT", "HEAD",  "DELETE",      "OPTIONS", "PATCH",
	"CONNECT", "TRACE", "PRI", "HOST:", "USER-AGENT:", "PROXY",
};

void smtp_refusal_set(struct smtp_refusal *r, unsigned code, const char *enhanced, const char *text)
{
	r->code = code;
	(void)snprintf(r->enhanced, sizeof(r->enhanced), "%s", enhanced ? enhanced : "");
	(void)snprintf(r->text, sizeof(r->text), "%s", text ? text : "");
}

bool smtp_command_refused(const struct smtp_session *s, unsigned allowed, bool clear,
                          struct smtp_refusal *why)
{
	if (!clear && s->config->tls == SMTP_TLS_REQUIRED && !s->tls)
		smtp_refusal_set(why, 530, "5.7.0", "Must issue a STARTTLS command first");
	else if (allowed & 1u << s->state)
		return false;
	else if (s->state == STATE_GREETED)
		smtp_refusal_set(why, 503, "5.5.1", "Send EHLO first");
	else
		smtp_refusal_set(why, 503, "5.5.1", "Bad sequence of commands");
	return true;
}

static bool has_control(struct slice line)
{
	for (size_t i = 0; i < line.len; i++)
		if (line.at[i] < ' ' || line.at[i] == 0x7f)
			return true;
	return false;
}

static void unknown(struct smtp_session *s, struct slice verb)
{
	for (size_t i = 0; i < COUNT(aliens); i++)
		if (slice_equal_nocase(verb, slice_str(aliens[i]))) {
			smtp_refuse(s, 500, "5.5.1", "This is SMTP");
			smtp_session_close(s);
			return;
		}
	smtp_refuse(s, 500, "5.5.1", "Command not recognized");
}

static void run(struct smtp_session *s, const struct command *c, struct slice args)
{
	struct smtp_refusal why;

	if (!(c->flags & OWN) && smtp_command_refused(s, c->allowed, c->flags & CLEAR, &why))
		smtp_refuse(s, why.code, why.enhanced, why.text);
	else if (args.len && (c->flags & NO_ARGS))
		smtp_refuse(s, 501, "5.5.4", "No arguments allowed");
	else
		c->run(s, args);
}

static struct slice trim_end(struct slice line)
{
	while (line.len && (line.at[line.len - 1] == ' ' || line.at[line.len - 1] == '\t'))
		line.len--;
	return line;
}

void smtp_command(struct smtp_session *s, struct slice line)
{
	struct slice args;
	struct slice verb;

	line = trim_end(line);
	if (has_control(line)) {
		smtp_refuse(s, 500, "5.5.2", "Control character in a command");
		/* octets may follow that can't be told from commands */
		if (slice_starts_nocase(line, slice_str("BDAT")))
			smtp_session_close(s);
		return;
	}
	verb = slice_cut(line, ' ', &args);
	for (size_t i = 0; i < COUNT(commands); i++)
		if (slice_equal_nocase(verb, slice_str(commands[i].verb))) {
			run(s, &commands[i], args);
			return;
		}
	unknown(s, verb);
}
