#include "ingest/verdict/auth_results.h"

#include <stdio.h>

#include "ingest/verdict/cfws.h"
#include "ingest/verdict/fold.h"
#include "ingest/verdict/tags.h"

#define ID_ROOM 512

/* ---- writing ---- */

struct writer {
	struct buf *out;
	enum rc rc;
	bool some; /* a result was written */
};

static void add(struct writer *w, const char *text)
{
	if (w->rc == RC_OK)
		w->rc = buf_add_str(w->out, text);
}

static void add_byte(struct writer *w, uint8_t c)
{
	if (w->rc == RC_OK)
		w->rc = buf_add_byte(w->out, c);
}

static bool is_token(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] > 126 || !cfws_is_token(s.at[i]))
			return false;
	return s.len > 0;
}

/* In quotes; what isn't printable ASCII becomes "?". */
static void add_quoted(struct writer *w, struct slice s)
{
	add_byte(w, '"');
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.at[i] >= ' ' && s.at[i] < 127 ? s.at[i] : '?';

		if (c == '"' || c == '\\')
			add_byte(w, '\\');
		add_byte(w, c);
	}
	add_byte(w, '"');
}

static void add_slice(struct writer *w, struct slice s)
{
	if (w->rc == RC_OK)
		w->rc = buf_add(w->out, s);
}

/* A token as it is, "@domain" and "local@domain" where both are tokens, else in quotes. */
static void add_value(struct writer *w, struct slice s)
{
	struct slice domain;
	struct slice local = slice_cut(s, '@', &domain);
	bool plain =
	        domain.at ? is_token(domain) && (local.len == 0 || is_token(local)) : is_token(s);

	if (plain)
		add_slice(w, s);
	else
		add_quoted(w, s);
}

/* Without a value nothing is written. */
static void add_property(struct writer *w, const char *name, struct slice value)
{
	if (value.len == 0)
		return;
	add(w, " ");
	add(w, name);
	add(w, "=");
	add_value(w, value);
}

/* RFC 8601 has small letters alone; what isn't that was never found out. */
static struct slice result_of(const json_t *part)
{
	struct slice word = json_member_text(part, "result");

	for (size_t i = 0; i < word.len; i++)
		if (word.at[i] < 'a' || word.at[i] > 'z')
			word.len = 0;
	return word.len ? word : slice_str("temperror");
}

static void add_result(struct writer *w, const char *method, const json_t *part)
{
	struct slice word = result_of(part);
	struct slice why = json_member_text(part, "why");

	if (w->some)
		add(w, "; ");
	w->some = true;
	add(w, method);
	add(w, "=");
	add_slice(w, word);
	if (why.len && !slice_equal(word, slice_str("pass"))) {
		add(w, " reason=");
		add_quoted(w, why);
	}
}

static void add_member(struct writer *w, const char *name, const json_t *part, const char *member)
{
	add_property(w, name, json_member_text(part, member));
}

static void add_spf(struct writer *w, const json_t *spf)
{
	bool of_helo = slice_equal(json_member_text(spf, "identity"), slice_str("helo"));

	add_result(w, "spf", spf);
	add_member(w, of_helo ? "smtp.helo" : "smtp.mailfrom", spf, "domain");
}

static void add_dkim(struct writer *w, const json_t *dkim)
{
	const json_t *list = json_member_array(dkim, "signatures");

	if (json_array_size(list) == 0)
		add_result(w, "dkim", dkim);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *s = json_array_get(list, i);

		if (slice_equal(json_member_text(s, "result"), slice_str("unchecked")))
			continue;
		add_result(w, "dkim", s);
		add_member(w, "header.d", s, "domain");
		add_member(w, "header.i", s, "identity");
		add_member(w, "header.s", s, "selector");
		add_member(w, "header.a", s, "algorithm");
		add_member(w, "header.b", s, "b");
	}
}

static void add_arc(struct writer *w, const json_t *arc)
{
	int64_t oldest = json_member_int(arc, "oldest_pass", 0);
	char number[24];

	add_result(w, "arc", arc);
	if (oldest > 0) {
		(void)snprintf(number, sizeof(number), "%lld", (long long)oldest);
		add_property(w, "header.oldest-pass", slice_str(number));
	}
}

static void add_dmarc(struct writer *w, const json_t *dmarc, struct slice from)
{
	static const char *const words[] = { "none", "quarantine", "reject" };
	struct slice asks = json_member_text(dmarc, "asks");
	struct slice result = result_of(dmarc);
	bool judged =
	        slice_equal(result, slice_str("pass")) || slice_equal(result, slice_str("fail"));

	add_result(w, "dmarc", dmarc);
	for (size_t i = 0; judged && i < COUNT(words); i++)
		if (slice_equal_nocase(asks, slice_str(words[i])))
			add_property(w, "policy.dmarc", slice_str(words[i]));
	add_property(w, "header.from", from);
}

enum rc auth_results_text(const struct auth_results *r, struct buf *out)
{
	const json_t *spf = json_member_object(r->verdicts, "spf");
	const json_t *dkim = json_member_object(r->verdicts, "dkim");
	const json_t *arc = json_member_object(r->verdicts, "arc");
	const json_t *dmarc = json_member_object(r->verdicts, "dmarc");
	struct writer w = { .out = out };

	if (spf)
		add_spf(&w, spf);
	if (dkim)
		add_dkim(&w, dkim);
	if (arc)
		add_arc(&w, arc);
	if (dmarc)
		add_dmarc(&w, dmarc, r->from);
	if (!w.some)
		add(&w, "none");
	return w.rc;
}

enum rc auth_results_field(const struct auth_results *r, struct buf *out)
{
	struct buf text;
	struct writer w = { .out = &text };
	size_t before = out->len;
	struct fold f;
	enum rc rc;

	buf_init(&text, out->limit);
	add_value(&w, slice_str(r->authserv));
	add(&w, "; ");
	rc = w.rc == RC_OK ? auth_results_text(r, &text) : w.rc;
	fold_begin(&f, out, "Authentication-Results");
	fold_text(&f, buf_slice(&text));
	if (rc == RC_OK)
		rc = fold_end(&f);
	if (rc != RC_OK)
		out->len = before;
	buf_free(&text);
	return rc;
}

/* ---- finding ---- */

static bool is_in_name(uint8_t c)
{
	uint8_t low = c | 0x20;

	return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
	       c == '.';
}

static struct slice without_dot(struct slice id)
{
	if (id.len && id.at[id.len - 1] == '.')
		id.len--;
	return id;
}

/* Our name by itself, not as a part of a longer one; a final dot may follow. */
static bool has_name(struct slice text, struct slice id)
{
	for (size_t i = 0; i + id.len <= text.len; i++) {
		size_t end = i + id.len;

		if (!slice_equal_nocase(slice_part(text, i, id.len), id) ||
		    (i > 0 && is_in_name(text.at[i - 1])))
			continue;
		if (end < text.len && text.at[end] == '.')
			end++;
		if (end == text.len || !is_in_name(text.at[end]))
			return true;
	}
	return false;
}

/* Our name, whatever blanks, quotes and escapes stand between its letters. */
static bool has_letters(struct slice text, struct slice id)
{
	struct buf squeezed;
	bool has;

	buf_init(&squeezed, text.len);
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] > ' ' && text.at[i] != '"' && text.at[i] != '\\')
			MUST(buf_add_byte(&squeezed, text.at[i]) == RC_OK);
	has = slice_contains_nocase(buf_slice(&squeezed), id);
	buf_free(&squeezed);
	return has;
}

/* [CFWS] authserv-id [CFWS version] [CFWS], and ";" or the end (section 2.2). */
static bool read_id(struct slice value, char id[ID_ROOM])
{
	struct slice rest = value;
	size_t digits = 0;

	if (!cfws_skip(&rest) || !cfws_word(&rest, id, ID_ROOM) || !cfws_skip(&rest))
		return false;
	while (digits < rest.len && rest.at[digits] >= '0' && rest.at[digits] <= '9')
		digits++;
	rest = slice_from(rest, digits);
	return cfws_skip(&rest) && (rest.len == 0 || rest.at[0] == ';');
}

bool auth_results_claims(const struct raw_field *f, const char *authserv)
{
	struct slice ours = without_dot(slice_str(authserv));
	struct slice rest;
	char id[ID_ROOM];

	if (!raw_named(f, "Authentication-Results") || ours.len == 0)
		return false;
	if (!read_id(f->value, id))
		return has_letters(f->value, ours);
	if (slice_equal_nocase(without_dot(slice_str(id)), ours))
		return true;
	return has_name(slice_cut(f->value, ';', &rest), ours);
}
