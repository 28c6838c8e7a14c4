#include "smtp/params.h"

#include "base/codec.h"
#include "smtp/address.h"

#define ENVID_BYTES      100 /* RFC 3461 section 4.4 */
#define ORCPT_BYTES      500 /* section 4.2 */
#define XTEXT_AUTH_BYTES 500 /* RFC 4954 section 3 */
#define SIZE_DIGITS      20  /* RFC 1870 section 3 */

struct parsing {
	void *out;
	bool utf8;
	struct smtp_params_room *room;
};

struct param {
	const char *keyword;
	bool value; /* it has one; else it must not */
	bool (*take)(struct parsing *p, struct slice value);
};

bool smtp_is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] > 0x7f)
			return false;
	return true;
}

static bool printable(struct slice s, bool utf8)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] < ' ' || s.at[i] == 0x7f || (s.at[i] > 0x7f && !utf8))
			return false;
	return !utf8 || slice_is_utf8(s);
}

static bool room_add(struct smtp_params_room *room, struct slice s, struct slice *out)
{
	if (s.len > sizeof(room->at) - room->used)
		return false;
	*out = slice_of(room->at + room->used, s.len);
	memcpy(room->at + room->used, s.at, s.len);
	room->used += s.len;
	return true;
}

bool smtp_xtext_decode(struct slice text, struct smtp_params_room *room, struct slice *out)
{
	size_t n = 0;
	uint8_t *to = room->at + room->used;

	if (text.len > sizeof(room->at) - room->used)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.at[i];

		if (c < '!' || c > '~' || c == '=')
			return false;
		if (c == '+') {
			/* hexchar has capital digits only */
			struct slice hex = slice_part(text, i + 1, 2);

			if (hex.len != 2 || !hex_decode(&c, 1, hex) || hex.at[0] >= 'a' ||
			    hex.at[1] >= 'a')
				return false;
			i += 2;
		}
		to[n++] = c;
	}
	*out = slice_of(to, n);
	room->used += n;
	return printable(*out, false);
}

/* One of two words, as a constant. */
static bool one_of(struct slice value, const char *a, const char *b, struct slice *out)
{
	*out = slice_str(slice_equal_nocase(value, slice_str(a)) ? a : b);
	return slice_equal_nocase(value, *out);
}

static bool take_size(struct parsing *p, struct slice v)
{
	struct smtp_mail_params *mail = p->out;

	for (size_t i = 0; i < v.len; i++)
		if (v.at[i] < '0' || v.at[i] > '9')
			return false;
	if (v.len > SIZE_DIGITS)
		return false;
	if (!slice_to_u64(v, &mail->size))
		mail->size = UINT64_MAX;
	return true;
}

static bool take_body(struct parsing *p, struct slice v)
{
	struct smtp_mail_params *mail = p->out;

	return one_of(v, "7BIT", "8BITMIME", &mail->body);
}

static bool take_utf8(struct parsing *p, struct slice v)
{
	struct smtp_mail_params *mail = p->out;

	(void)v;
	mail->smtputf8 = true;
	return true;
}

static bool take_ret(struct parsing *p, struct slice v)
{
	struct smtp_mail_params *mail = p->out;

	return one_of(v, "FULL", "HDRS", &mail->ret);
}

static bool take_envid(struct parsing *p, struct slice v)
{
	struct smtp_mail_params *mail = p->out;

	return v.len <= ENVID_BYTES && smtp_xtext_decode(v, p->room, &mail->envid);
}

static bool take_auth(struct parsing *p, struct slice v)
{
	struct smtp_mail_params *mail = p->out;

	if (v.len > XTEXT_AUTH_BYTES || !smtp_xtext_decode(v, p->room, &mail->auth))
		return false;
	return slice_equal(mail->auth, slice_str("<>")) ||
	       smtp_address_valid(mail->auth, ADDRESS_ODD);
}

static bool take_notify(struct parsing *p, struct slice v)
{
	struct smtp_rcpt_params *rcpt = p->out;
	struct slice rest = v;
	bool never = slice_equal_nocase(v, slice_str("NEVER"));

	while (!never && rest.len) {
		struct slice word = slice_cut(rest, ',', &rest);

		if (!slice_equal_nocase(word, slice_str("SUCCESS")) &&
		    !slice_equal_nocase(word, slice_str("FAILURE")) &&
		    !slice_equal_nocase(word, slice_str("DELAY")))
			return false;
	}
	rcpt->notify = v;
	return v.at[v.len - 1] != ',';
}

/* RFC 3461 section 4.2: type ";" xtext. RFC 6533 section 3: for the type utf-8 the address is UTF-8
 * or ASCII with \x{HEX} in it, which stays as it is. */
static bool take_orcpt(struct parsing *p, struct slice v)
{
	struct smtp_rcpt_params *rcpt = p->out;
	struct slice address;
	struct slice type = slice_cut(v, ';', &address);
	struct slice whole;

	if (type.len == 0 || address.len == 0 || v.len > ORCPT_BYTES)
		return false;
	for (size_t i = 0; i < type.len; i++)
		if (type.at[i] <= ' ' || type.at[i] >= 0x7f ||
		    strchr("()<>@,:\\\"/[]?=+", type.at[i]))
			return false;
	if (!room_add(p->room, slice_part(v, 0, type.len + 1), &whole))
		return false;
	if (slice_equal_nocase(type, slice_str("utf-8"))) {
		if (!printable(address, p->utf8) || !room_add(p->room, address, &address))
			return false;
	} else if (!smtp_xtext_decode(address, p->room, &address)) {
		return false;
	}
	rcpt->orcpt = slice_of(whole.at, whole.len + address.len);
	return true;
}

static const struct param mail_table[] = {
	{ "SIZE", true, take_size },      { "BODY", true, take_body },
	{ "SMTPUTF8", false, take_utf8 }, { "RET", true, take_ret },
	{ "ENVID", true, take_envid },    { "AUTH", true, take_auth },
};

static const struct param rcpt_table[] = {
	{ "NOTIFY", true, take_notify },
	{ "ORCPT", true, take_orcpt },
};

/* A keyword goes into a reply, so it is shown only when it is one. */
static enum rc unknown(struct slice keyword, struct err *e)
{
	bool shown = keyword.len > 0 && keyword.len <= 32;

	for (size_t i = 0; i < keyword.len; i++)
		if (keyword.at[i] <= ' ' || keyword.at[i] >= 0x7f)
			shown = false;
	if (!shown)
		return err_set(e, RC_INVALID, "a parameter is not valid");
	return err_set(e, RC_NOTFOUND, "parameter %.*s is not supported", (int)keyword.len,
	               (const char *)keyword.at);
}

static enum rc take_one(const struct param *table, size_t count, struct slice word, unsigned *seen,
                        struct parsing *p, struct err *e)
{
	struct slice value;
	struct slice keyword = slice_cut(word, '=', &value);
	bool has_value = keyword.len < word.len;

	for (size_t i = 0; i < count; i++) {
		const struct param *t = &table[i];

		if (!slice_equal_nocase(keyword, slice_str(t->keyword)))
			continue;
		if (*seen & 1u << i)
			return err_set(e, RC_INVALID, "parameter %s is given twice", t->keyword);
		*seen |= 1u << i;
		if (has_value != t->value || (has_value && value.len == 0))
			return err_set(e, RC_INVALID, "parameter %s %s", t->keyword,
			               t->value ? "needs a value" : "has no value");
		if (!t->take(p, value))
			return err_set(e, RC_INVALID, "the value of %s is not valid", t->keyword);
		return RC_OK;
	}
	return unknown(keyword, e);
}

static enum rc take_all(const struct param *table, size_t count, struct slice text,
                        struct parsing *p, struct err *e)
{
	unsigned seen = 0;

	p->room->used = 0;
	if (text.len && text.at[0] != ' ')
		return err_set(e, RC_INVALID, "the path is not followed by a blank");
	while (text.len) {
		struct slice word = slice_cut(text, ' ', &text);
		enum rc rc = RC_OK;

		if (word.len)
			rc = take_one(table, count, word, &seen, p, e);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

enum rc smtp_mail_params_parse(struct smtp_mail_params *out, struct slice text,
                               struct smtp_params_room *room, struct err *e)
{
	struct parsing p = { out, true, room };

	*out = (struct smtp_mail_params) { 0 };
	return take_all(mail_table, COUNT(mail_table), text, &p, e);
}

enum rc smtp_rcpt_params_parse(struct smtp_rcpt_params *out, struct slice text, bool utf8,
                               struct smtp_params_room *room, struct err *e)
{
	struct parsing p = { out, utf8, room };

	*out = (struct smtp_rcpt_params) { 0 };
	return take_all(rcpt_table, COUNT(rcpt_table), text, &p, e);
}
