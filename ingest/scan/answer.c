#include "ingest/scan/answer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SYMBOLS_TEXT 1900 /* shorter than a field's text may be */

static void give_up(struct scan_answer *out, enum scan_end end, const char *what, struct slice more)
{
	size_t n;

	*out = (struct scan_answer) { .end = end };
	(void)snprintf(out->why, sizeof(out->why), "%s%.*s", what,
	               (int)MIN_OF(more.len, (size_t)100), more.at ? (const char *)more.at : "");
	n = strlen(out->why);
	for (size_t i = 0; i < n; i++)
		if (out->why[i] < ' ' || out->why[i] > 126)
			out->why[i] = '?';
}

/* Where, and what is wrong. What stands there may be of the message, and reasons are logged. */
static void no_json(struct scan_answer *out, const struct err *e)
{
	struct slice text = slice_str(e->text);
	size_t near = slice_find(text, slice_str(" near "));

	give_up(out, SCAN_BROKEN, "no JSON: ", slice_part(text, 0, MIN_OF(near, text.len)));
}

/* Takes `fields` over. */
static void give(struct scan_answer *out, const char *verdict, json_t *fields)
{
	json_t *o = json_object();
	struct err e;

	*out = (struct scan_answer) { .end = SCAN_RESULT };
	json_put_text(o, "verdict", slice_str(verdict));
	json_put(o, "fields", fields);
	if (scan_result_read(&out->result, o, &e) != RC_OK)
		give_up(out, SCAN_BROKEN, e.text, slice_of(NULL, 0));
	json_decref(o);
}

/* ---- clamd ---- */

/* Cuts it off. */
static bool ends_in(struct slice *s, const char *word)
{
	struct slice w = slice_str(word);

	if (s->len < w.len || !slice_equal(slice_from(*s, s->len - w.len), w))
		return false;
	s->len -= w.len;
	return true;
}

/* "stream: OK", "stream: NAME FOUND", "... ERROR". */
void scan_read_clamd(struct scan_answer *out, struct slice reply)
{
	static const char stream[] = "stream: ";
	struct slice s = slice_trim(reply);
	json_t *fields;

	if (ends_in(&s, " ERROR")) {
		/* Too large, or too deep: of the message. All else is the scanner's trouble. */
		bool size = slice_contains_nocase(s, slice_str("size limit"));

		give_up(out, size ? SCAN_UNFIT : SCAN_BROKEN, "clamd: ", s);
		return;
	}
	if (s.len <= strlen(stream) || memcmp(s.at, stream, strlen(stream)) != 0) {
		give_up(out, SCAN_BROKEN, "no answer of clamd's: ", s);
		return;
	}
	s = slice_from(s, strlen(stream));
	fields = json_object();
	if (slice_equal(s, slice_str("OK"))) {
		json_put_text(fields, "category", slice_str("CLEAN"));
		give(out, "PASS", fields);
	} else if (ends_in(&s, " FOUND") && s.len) {
		json_put_text(fields, "category", slice_str("MALWARE"));
		json_put(fields, "signature", scan_result_text(s, 200));
		give(out, "FAIL", fields);
	} else {
		json_decref(fields);
		give_up(out, SCAN_BROKEN, "no answer of clamd's: ", s);
	}
}

/* ---- rspamd ---- */

/* It hands on bytes of the message as they were; what is needed of its answer is ASCII. A NUL that
 * it wrote as an escape would be refused, too. */
static char *ascii_of(struct slice body)
{
	char *text = slice_string(body);

	for (size_t i = 0; i < body.len; i++) {
		if ((unsigned char)text[i] >= 0x80)
			text[i] = '?';
		if (i >= 5 && memcmp(text + i - 5, "\\u0000", 6) == 0)
			memcpy(text + i - 1, "3f", 2);
	}
	return text;
}

static const struct {
	const char *action;
	const char *verdict;
	const char *category;
} actions[] = {
	{ "no action", "PASS", "LEGIT" },     { "greylist", "GRAY", "SUSPECT" },
	{ "add header", "GRAY", "SUSPECT" },  { "rewrite subject", "GRAY", "SUSPECT" },
	{ "soft reject", "GRAY", "SUSPECT" }, { "quarantine", "FAIL", "SPAM" },
	{ "discard", "FAIL", "SPAM" },        { "reject", "FAIL", "SPAM" },
};

static void put_number(json_t *fields, const char *name, const json_t *from, const char *member)
{
	double n = json_member_number(from, member, NAN);
	char text[40];

	if (!isfinite(n))
		return;
	(void)snprintf(text, sizeof(text), "%.2f", n);
	if (strlen(text) < 32)
		json_put_text(fields, name, slice_str(text));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Their names, sorted, with a blank on both sides of each: a rule can ask for one by CONTAINS. */
static void put_symbols(json_t *fields, const json_t *symbols)
{
	const char **names = mem_array(json_object_size(symbols) + 1, sizeof(*names));
	size_t count = 0;
	const char *member;
	json_t *value;
	struct buf text;

	json_object_foreach((json_t *)(uintptr_t)symbols, member, value)
	{
		names[count++] = member;
	}
	qsort(names, count, sizeof(*names), by_name);
	buf_init(&text, SYMBOLS_TEXT);
	(void)!buf_add_byte(&text, ' ');
	for (size_t i = 0; i < count; i++)
		(void)!buf_addf(&text, "%s ", names[i]); /* one that doesn't fit is left out */
	json_put(fields, "symbols", scan_result_text(buf_slice(&text), SYMBOLS_TEXT));
	buf_free(&text);
	free(names);
}

static void read_checked(struct scan_answer *out, const json_t *o)
{
	struct slice action = json_member_text(o, "action");
	json_t *fields;
	size_t i = 0;

	while (i < COUNT(actions) && !slice_equal(action, slice_str(actions[i].action)))
		i++;
	if (i == COUNT(actions)) {
		give_up(out, SCAN_BROKEN, "no action of rspamd's: ", action);
		return;
	}
	fields = json_object();
	json_put_text(fields, "category", slice_str(actions[i].category));
	json_put_text(fields, "action", action);
	put_number(fields, "score", o, "score");
	put_number(fields, "requiredScore", o, "required_score");
	put_symbols(fields, json_member_object(o, "symbols"));
	give(out, actions[i].verdict, fields);
}

void scan_read_rspamd(struct scan_answer *out, struct slice body)
{
	char *text = ascii_of(body);
	json_t *o;
	struct err e;

	if (json_read(&o, slice_of(text, body.len), &e) == RC_OK) {
		read_checked(out, o);
		json_decref(o);
	} else {
		no_json(out, &e);
	}
	free(text);
}

/* ---- our own ---- */

void scan_read_http(struct scan_answer *out, struct slice body)
{
	json_t *o;
	struct err e;
	enum rc rc = json_read(&o, body, &e);

	*out = (struct scan_answer) { .end = SCAN_RESULT };
	if (rc != RC_OK) {
		no_json(out, &e);
		return;
	}
	if (scan_result_read(&out->result, o, &e) != RC_OK)
		give_up(out, SCAN_BROKEN, "no result: ", slice_str(e.text));
	json_decref(o);
}
