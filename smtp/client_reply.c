#include <stdio.h>

#include "smtp/client_inside.h"

#define CODE_DIGITS 3

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

uint8_t client_clean(uint8_t c)
{
	if (c == '\t')
		return ' ';
	return c >= ' ' && c <= '~' ? c : '?';
}

/* 0: none. The second digit may be any: 57x and 59x are met. */
static unsigned code_read(struct slice line)
{
	if (line.len < CODE_DIGITS || line.at[0] < '2' || line.at[0] > '5' ||
	    !is_digit(line.at[1]) || !is_digit(line.at[2]))
		return 0;
	if (line.len > CODE_DIGITS && line.at[3] != ' ' && line.at[3] != '-')
		return 0;
	return (unsigned)(line.at[0] - '0') * 100 + (unsigned)(line.at[1] - '0') * 10 +
	       (unsigned)(line.at[2] - '0');
}

/* RFC 3463 section 2: class "." 1*3digit "." 1*3digit, then a blank or the end; its length, or 0.
 */
static size_t enhanced_length(struct slice text, unsigned code)
{
	size_t at = 1;

	if (text.len == 0 || text.at[0] - '0' != (int)(code / 100) || text.at[0] == '3')
		return 0;
	for (int part = 0; part < 2; part++) {
		size_t digits = 0;

		if (at == text.len || text.at[at++] != '.')
			return 0;
		while (at < text.len && digits < 4 && is_digit(text.at[at])) {
			digits++;
			at++;
		}
		if (digits == 0 || digits > 3)
			return 0;
	}
	return at == text.len || text.at[at] == ' ' ? at : 0;
}

static void text_add(struct smtp_client *c, struct slice text)
{
	char *to = c->reply.text;

	text = slice_trim(text);
	if (c->reply_text && text.len && c->reply_text < SMTP_RESULT_TEXT - 1)
		to[c->reply_text++] = ' ';
	for (size_t i = 0; i < text.len && c->reply_text < SMTP_RESULT_TEXT - 1; i++)
		to[c->reply_text++] = (char)client_clean(text.at[i]);
	to[c->reply_text] = '\0';
}

void client_reply_forget(struct smtp_client *c)
{
	c->reply = (struct smtp_result) { 0 };
	c->reply_text = 0;
	c->reply_lines = 0;
}

bool client_reply_line(struct smtp_client *c, struct slice line, bool *whole)
{
	unsigned code = code_read(line);
	struct slice text = slice_from(line, CODE_DIGITS + 1);
	size_t n = enhanced_length(text, code);

	if (code == 0 || (c->reply_lines && code != c->reply.code) ||
	    c->reply_lines == LIMIT_SMTP_REPLY_LINES) {
		client_reply_forget(c);
		text_add(c, slice_part(line, 0, 80));
		return false;
	}
	c->reply.code = code;
	if (n && !c->reply.enhanced[0])
		memcpy(c->reply.enhanced, text.at, n); /* at most "5.123.123" */
	if (c->phase == PHASE_HELLO && c->reply_lines)
		client_capability(c, text);
	text_add(c, slice_from(text, n));
	c->reply_lines++;
	*whole = line.len == CODE_DIGITS || line.at[CODE_DIGITS] == ' ';
	return true;
}

/* Codes that say that our side isn't set up for this server: RFC 4954 section 6, RFC 3207
 * section 4. */
static bool is_set_up(unsigned code)
{
	return code == 530 || code == 534 || code == 535 || code == 538;
}

struct smtp_result client_reply_result(const struct smtp_client *c)
{
	struct smtp_result r = c->reply;

	if (!r.enhanced[0])
		(void)snprintf(r.enhanced, sizeof(r.enhanced), "%u.0.0", r.code / 100 % 10);
	r.end = SMTP_NEVER;
	if (r.code < 300)
		r.end = SMTP_DONE;
	else if (r.code < 500)
		r.end = SMTP_LATER;
	else if (is_set_up(r.code))
		r.end = SMTP_SET_UP;
	return r;
}
