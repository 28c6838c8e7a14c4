/*
 * MAIL and RCPT: SIZE (RFC 1870), BODY (6152), SMTPUTF8 (6531), RET, ENVID, NOTIFY, ORCPT (3461,
 * 6533)
 *
 * What is given on was checked when it was received, and what isn't as it must be is left out all
 * the same: a parameter is never worth a line that a caller could break.
 */
#include <stdio.h>

#include "smtp/client_inside.h"
#include "smtp/params.h"

#define ENVID_BYTES 100 /* RFC 3461 section 4.4 */
#define ORCPT_BYTES 500 /* section 4.2 */

/* A parameter's value; `over` once it is longer than it may be. */
struct value {
	char at[ORCPT_BYTES + 1];
	size_t len;
	size_t limit;
	bool over;
};

static void put(struct value *v, const char *text, size_t len)
{
	v->over = v->over || len > v->limit - v->len;
	if (v->over)
		return;
	memcpy(v->at + v->len, text, len);
	v->len += len;
	v->at[v->len] = '\0';
}

static bool is_xchar(uint8_t c)
{
	return c >= '!' && c <= '~' && c != '+' && c != '=';
}

static void put_xtext(struct value *v, struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		char text[4];
		int n = snprintf(text, sizeof(text), is_xchar(s.at[i]) ? "%c" : "+%02X", s.at[i]);

		put(v, text, (size_t)n);
	}
}

/* The code point at the start; `s` is UTF-8. */
static uint32_t point_next(struct slice s, size_t *len)
{
	uint8_t lead = s.at[0];
	uint32_t point;

	*len = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	point = *len == 1 ? lead : lead & (0x7fu >> *len);
	for (size_t i = 1; i < *len; i++)
		point = point << 6 | (s.at[i] & 0x3f);
	return point;
}

/* RFC 6533 section 3: utf-8-addr-unitext where the line may be UTF-8, else utf-8-addr-xtext. */
static void put_utf8(struct value *v, struct slice s, bool utf8)
{
	size_t len;

	for (size_t i = 0; i < s.len; i += len) {
		uint32_t point = point_next(slice_from(s, i), &len);
		char text[16];
		int n = snprintf(text, sizeof(text), "\\x{%02X}", (unsigned)point);

		if (point > 0x9f ? utf8 : point < 0x7f && is_xchar((uint8_t)point))
			put(v, (const char *)s.at + i, len);
		else
			put(v, text, (size_t)n);
	}
}

static bool is_type(struct slice type)
{
	for (size_t i = 0; i < type.len; i++)
		if (!is_xchar(type.at[i]) || strchr("()<>@,:\\\"/[]?;", type.at[i]))
			return false;
	return type.len > 0;
}

static bool orcpt_value(struct value *v, const char *orcpt, bool utf8)
{
	struct slice address;
	struct slice type = slice_cut(slice_str(orcpt), ';', &address);

	*v = (struct value) { .limit = ORCPT_BYTES };
	if (!is_type(type) || address.len == 0 || !slice_is_utf8(address))
		return false;
	put(v, (const char *)type.at, type.len);
	put(v, ";", 1);
	if (slice_equal_nocase(type, slice_str("utf-8")))
		put_utf8(v, address, utf8);
	else
		put_xtext(v, address);
	return !v->over;
}

static bool is_notify(struct slice list)
{
	for (size_t i = 0; i < list.len; i++)
		if (list.at[i] != ',' && (list.at[i] < 'A' || list.at[i] > 'Z') &&
		    (list.at[i] < 'a' || list.at[i] > 'z'))
			return false;
	return list.len > 0 && list.len <= 32; /* "SUCCESS,FAILURE,DELAY" */
}

static const char *ret_text(const char *ret)
{
	if (ret && slice_equal_nocase(slice_str(ret), slice_str("FULL")))
		return " RET=FULL";
	return ret && slice_equal_nocase(slice_str(ret), slice_str("HDRS")) ? " RET=HDRS" : "";
}

void client_say_mail(struct smtp_client *c)
{
	const struct client_script *s = c->script;
	const struct smtp_client_mail *m = s->m;
	bool dsn = c->has & SMTP_HAS_DSN;
	struct value envid = { .limit = ENVID_BYTES };
	char size[32] = "";

	if (c->has & SMTP_HAS_SIZE)
		(void)snprintf(size, sizeof(size), " SIZE=%llu", (unsigned long long)s->bytes);
	if (dsn && m->envid)
		put_xtext(&envid, slice_str(m->envid));
	if (envid.over)
		envid.at[0] = '\0';
	client_say(c, "MAIL FROM:<%s>%s%s%s%s%s%s\r\n", m->mail_from, size,
	           m->eight_bit ? " BODY=8BITMIME" : "", s->utf8 ? " SMTPUTF8" : "",
	           dsn ? ret_text(m->ret) : "", envid.at[0] ? " ENVID=" : "", envid.at);
}

void client_say_rcpt(struct smtp_client *c, const struct smtp_client_rcpt *r)
{
	bool dsn = c->has & SMTP_HAS_DSN;
	bool notify = dsn && r->notify && is_notify(slice_str(r->notify));
	struct value orcpt = { .len = 0 };
	bool has_orcpt = dsn && r->orcpt && orcpt_value(&orcpt, r->orcpt, c->script->utf8);

	client_say(c, "RCPT TO:<%s>%s%s%s%s\r\n", r->address, notify ? " NOTIFY=" : "",
	           notify ? r->notify : "", has_orcpt ? " ORCPT=" : "", has_orcpt ? orcpt.at : "");
}
