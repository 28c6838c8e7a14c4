/* tests/unit/query/test_parse.c - what people type, and how it is understood */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/limits.h"
#include "query/parse.h"
#include "query/print.h"

/* 2025-06-15T15:06:40Z, a Sunday */
static const struct query_env env = { INT64_C(1750000000000) };

struct parsed {
	struct match_tree *tree;
	struct match *match;
	struct query_notes notes;
	struct buf text;
	struct err e;
	enum rc rc;
};

static void parse(struct parsed *p, struct slice text)
{
	*p = (struct parsed) { .tree = match_tree_new() };
	buf_init(&p->text, 64 << 20);
	p->rc = query_parse(p->tree, text, &env, &p->match, &p->notes, &p->e);
	if (p->rc == RC_OK)
		assert_int_equal(query_print(p->match, &p->text), RC_OK);
}

static void parsed_free(struct parsed *p)
{
	match_tree_free(&p->tree);
	buf_free(&p->text);
}

static const struct {
	const char *text;
	const char *canonical;
} cases[] = {
	/* everything */
	{ "", "*" },
	{ " \t\r\n\xe3\x80\x80", "*" },
	{ "*", "*" },
	{ "NOT *", "NOT *" },
	{ "NOT NOT *", "*" },
	/* words, phrases, prefixes */
	{ "hello", "hello" },
	{ "hello world", "hello world" },
	{ "\"hello world\"", "\"hello world\"" },
	{ "\"hello\"", "hello" },
	{ "hel*", "hel*" },
	{ "hel**", "hel*" },
	{ "\"hello wor\"*", "\"hello wor\"*" },
	{ "a\"b c\"d", "a \"b c\" d" },
	{ "\xe2\x80\x9c"
	  "a b\xe2\x80\x9d \xef\xbc\x82"
	  "c d\xef\xbc\x82 \xe2\x80\x9e"
	  "e f\xe2\x80\x9c",
	  "\"a b\" \"c d\" \"e f\"" },
	{ "\xe6\x9d\xb1\xe4\xba\xac\xe3\x80\x80\xe4\xba\xac\xe9\x83\xbd*",
	  "\xe6\x9d\xb1\xe4\xba\xac \xe4\xba\xac\xe9\x83\xbd*" },
	{ "foo@bar.example INV-2024/0815", "foo@bar.example INV-2024/0815" },
	{ "and or not near around", "and or not near around" },
	{ "\"AND\" \"NEAR/5\" \"-x\" \"a:b\"", "\"AND\" \"NEAR/5\" \"-x\" \"a:b\"" },
	/* operators */
	{ "a AND b", "a b" },
	{ "a && b & c", "a b c" },
	{ "a OR b", "a OR b" },
	{ "a | b || c", "a OR b OR c" },
	{ "a b OR c", "(a b) OR c" },
	{ "a OR b c", "a OR (b c)" },
	{ "(a OR b) c", "(a OR b) c" },
	{ "a (b c) (d (e f))", "a b c d e f" },
	{ "a OR (b OR (c OR d))", "a OR b OR c OR d" },
	{ "((a))", "a" },
	{ "-a", "NOT a" },
	{ "a -b", "a NOT b" },
	{ "a NOT b", "a NOT b" },
	{ "a AND NOT b", "a NOT b" },
	{ "NOT NOT a", "a" },
	{ "-(a b)", "NOT (a b)" },
	{ "-(a OR b) c", "NOT (a OR b) c" },
	{ "-\"a b\" -from:x", "NOT \"a b\" NOT from:x" },
	{ "{a b}", "a OR b" },
	{ "{a OR b} c", "(a OR b) c" },
	{ "{a b AND c}", "a OR (b c)" },
	{ "{from:a from:b} -{c d}", "(from:a OR from:b) NOT (c OR d)" },
	{ "subject:{a b}", "subject:a OR subject:b" },
	{ "{a -b}", "a OR NOT b" },
	/* nearness */
	{ "a NEAR/5 b", "a NEAR/5 b" },
	{ "a NEAR(5) b", "a NEAR/5 b" },
	{ "a AROUND 5 b", "a NEAR/5 b" },
	{ "a AROUND(5) b", "a NEAR/5 b" },
	{ "a AROUND/5 b", "a NEAR/5 b" },
	{ "a NEAR b", "a NEAR/10 b" },
	{ "a AROUND b", "a NEAR/10 b" },
	{ "a NEAR 5", "a NEAR/10 5" },
	{ "a NEAR/0 b", "a NEAR/0 b" },
	{ "a AROUND(0) b", "a NEAR/0 b" },
	{ "a AROUND 0 b", "a NEAR/0 b" },
	{ "a NEAR(5 OR b)", "(a NEAR/10 5) OR (a NEAR/10 b)" },
	{ "a AROUND 5x", "a NEAR/10 5x" },
	{ "\"a b\" NEAR/3 c*", "\"a b\" NEAR/3 c*" },
	{ "a NEAR/3 b c", "(a NEAR/3 b) c" },
	{ "-a NEAR/3 b", "NOT (a NEAR/3 b)" },
	{ "a NEAR/3 b NEAR/4 c", "(a NEAR/3 b) (b NEAR/4 c)" },
	{ "(a OR b) NEAR/5 c", "(a NEAR/5 c) OR (b NEAR/5 c)" },
	{ "subject:(a NEAR/5 b)", "subject:a NEAR/5 subject:b" },
	{ "subject:a NEAR/5 b", "subject:a NEAR/5 subject:b" },
	{ "from:a NEAR/5 subject:b", "from:a subject:b" },
	{ "a NEAR/5 has:attachment", "a has:attachment" },
	{ "x NEAR/2 has:attachment NEAR/2 y", "x has:attachment y" },
	{ "a NEAR/99999999999999999999 b", "a NEAR/99999999999999999999 b" },
	{ "NEARBY AROUNDS NEAR/x", "NEARBY AROUNDS NEAR/x" },
	{ "a NEAR/999999 b", "a NEAR/10000 b" },
	/* text fields and their other names */
	{ "from:ann to:bob cc:c bcc:d", "from:ann to:bob cc:c bcc:d" },
	{ "FROM:Ann Subject:X", "from:Ann subject:X" },
	{ "recipients:a recip:b", "to:a to:b" },
	{ "participants:a addressed:b contact:c", "participants:a participants:b participants:c" },
	{ "subject:a body:b filename:c", "subject:a body:b filename:c" },
	{ "attachment:a attachmentnames:b.ppt file:c", "filename:a filename:b.ppt filename:c" },
	{ "envelope-from:a rcpt:b envelope-to:c deliveredto:d",
	  "envelope-from:a rcpt:b rcpt:c rcpt:d" },
	{ "list:a headers:b", "headers:a headers:b" },
	{ "from:*@d.example filename:*.pdf", "from:@d.example filename:.pdf" },
	{ "subject:\"a b\" subject:c* subject:\"d e\"*",
	  "subject:\"a b\" subject:c* subject:\"d e\"*" },
	{ "subject:(a OR b)", "subject:a OR subject:b" },
	{ "subject:(a -b body:c)", "subject:a NOT subject:b body:c" },
	{ "from: ann", "from:ann" },
	{ "subject: \"a b\" c", "subject:\"a b\" c" },
	{ "subject: (a b)", "subject:a subject:b" },
	{ "subject:AND subject:-x", "subject:\"AND\" subject:\"-x\"" },
	{ "subject: Re: x", "subject:\"Re:\" x" },
	/* flags */
	{ "has:attachment has:problem is:unindexed", "has:attachment has:problem is:unindexed" },
	{ "hasattachment:true hasattachment:no", "has:attachment NOT has:attachment" },
	{ "-has:attachments", "NOT has:attachment" },
	{ "has:(attachment OR problem)", "has:attachment OR has:problem" },
	/* verdicts */
	{ "spf:pass dkim:FAIL arc:none dmarc:temperror",
	  "spf:pass dkim:fail arc:none dmarc:temperror" },
	{ "dmarc:reject DMARC:quarantine dmarc:none", "dmarc:reject dmarc:quarantine dmarc:none" },
	{ "spf:(softfail OR neutral) -dkim:policy",
	  "(spf:softfail OR spf:neutral) NOT dkim:policy" },
	{ "spf:unchecked dmarc:\"unchecked\"", "spf:unchecked dmarc:unchecked" },
	/* dates */
	{ "received:2024", "received:2024-01-01T00:00:00Z..2025-01-01T00:00:00Z" },
	{ "received:2024-02", "received:2024-02-01T00:00:00Z..2024-03-01T00:00:00Z" },
	{ "received:2024-02-29", "received:2024-02-29T00:00:00Z..2024-03-01T00:00:00Z" },
	{ "date:2024/2/9", "received:2024-02-09T00:00:00Z..2024-02-10T00:00:00Z" },
	{ "sent:20240209", "sent:2024-02-09T00:00:00Z..2024-02-10T00:00:00Z" },
	{ "received:2024-01..2024-03", "received:2024-01-01T00:00:00Z..2024-04-01T00:00:00Z" },
	{ "received:2024-01-01..2024-02-01",
	  "received:2024-01-01T00:00:00Z..2024-02-02T00:00:00Z" },
	{ "received:2024-01-01T10:00:00Z..2024-01-01T11:00:00Z",
	  "received:2024-01-01T10:00:00Z..2024-01-01T11:00:00Z" },
	{ "received:2024..", "received>=2024-01-01T00:00:00Z" },
	{ "received:..2024", "received<2025-01-01T00:00:00Z" },
	{ "after:2024-01-01", "received>=2024-01-01T00:00:00Z" },
	{ "after:2024/1/1 before:2024/2/1",
	  "received>=2024-01-01T00:00:00Z received<2024-02-01T00:00:00Z" },
	{ "newer:2024 older:2025", "received>=2024-01-01T00:00:00Z received<2025-01-01T00:00:00Z" },
	{ "after:2024-01-01T01:30:00+02:00", "received>=2023-12-31T23:30:00Z" },
	{ "after:2024-01-01T01:30", "received>=2024-01-01T01:30:00Z" },
	{ "after:\"2024-01-01 01:30:00.25Z\"", "received>=2024-01-01T01:30:00.250Z" },
	{ "after:1704067200", "received>=2024-01-01T00:00:00Z" },
	{ "received>=2024-01-01", "received>=2024-01-01T00:00:00Z" },
	{ "received>2024-01-01", "received>=2024-01-02T00:00:00Z" },
	{ "received<=2024-01-01", "received<2024-01-02T00:00:00Z" },
	{ "sent<2024-01-01", "sent<2024-01-01T00:00:00Z" },
	{ "sent=2024-01", "sent:2024-01-01T00:00:00Z..2024-02-01T00:00:00Z" },
	{ "received:>=2024", "received>=2024-01-01T00:00:00Z" },
	{ "received>2024-01-01T00:00:00Z", "received>=2024-01-01T00:00:00.001Z" },
	{ "received:(2023 OR 2024-01)", "received:2023-01-01T00:00:00Z..2024-01-01T00:00:00Z OR "
	                                "received:2024-01-01T00:00:00Z..2024-02-01T00:00:00Z" },
	{ "received: 2024-01-01T10:00:00Z", "received:2024-01-01T10:00:00Z..2024-01-01T10:00:01Z" },
	{ "received:today", "received:2025-06-15T00:00:00Z..2025-06-16T00:00:00Z" },
	{ "after:yesterday", "received>=2025-06-14T00:00:00Z" },
	{ "older_than:1y", "received<2024-06-15T15:06:40Z" },
	{ "newer_than:2d", "received>=2025-06-13T15:06:40Z" },
	{ "newer_than:12h older_than:1w", "received>=2025-06-15T03:06:40Z "
	                                  "received<2025-06-08T15:06:40Z" },
	{ "older_than:4m", "received<2025-02-15T15:06:40Z" },
	{ "older_than:18months", "received<2023-12-15T15:06:40Z" },
	/* sizes */
	{ "larger:10M", "size>=10485761" },
	{ "smaller:10K", "size<10240" },
	{ "size:10k..2m", "size:10240..2097152" },
	{ "size:1..1048567", "size:1..1048567" },
	{ "size:..5", "size<6" },
	{ "size:5..", "size>=5" },
	{ "size:1536", "size>=1536" },
	{ "size=1536", "size:1536..1536" },
	{ "size>1.5M", "size>=1572865" },
	{ "size:>1MB size<=2GiB", "size>=1048577 size<2147483649" },
	{ "smaller:0", "size<0" },
	/* ids */
	{ "id:0123456789ABCDEFGHIJKLMNO0", "id:0123456789abcdefghijklmno0" },
	{ "id:<a@b.example>", "msgid:a@b.example" },
	{ "msgid:<a(1)@b.example> x", "msgid:\"a(1)@b.example\" x" },
	{ "msgid:<\"a b\"@c>", "msgid:<\"a b\"@c>" },
	{ "rfc822msgid:a@b message-id:c@d", "msgid:a@b msgid:c@d" },
	{ "ingress:in-1 ip:192.0.2.1 ip:2001:db8::/32",
	  "ingress:in-1 ip:192.0.2.1 ip:2001:db8::/32" },
	{ "ip: fe80::1", "ip:fe80::1" },
	{ "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	  "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
	/* odd things */
	{ "e-mail", "e-mail" },
	{ "C++", "C++" },
	{ "\"open", "open" },
	{ "\"open phrase", "\"open phrase\"" },
	{ "(a b", "a b" },
	{ "a) b", "a b" },
	{ "a } b", "a b" },
	{ "{a b", "a OR b" },
	{ "({a) b}", "a b" },
	{ ")(", "NOT *" },
	{ "()", "NOT *" },
	{ "() a {}", "a" },
	{ "{ () a }", "a" },
	{ "a AND", "a" },
	{ "AND a", "a" },
	{ "a AND AND b", "a b" },
	{ "a OR", "a" },
	{ "OR a", "a" },
	{ "a OR OR b", "a OR b" },
	{ "AND", "NOT *" },
	{ "a NOT", "a" },
	{ "a NEAR/5", "a" },
	{ "NEAR/5 b", "b" },
	{ "a NEAR/5 NEAR/6 b", "a NEAR/6 b" },
	{ "a -", "a" },
	{ "- a", "a" },
	{ "--help", "\"--help\"" },
	{ "a & b -- c", "a b c" },
	{ "!!!", "NOT *" },
	{ "!!! OR a", "a" },
	{ "a \"\" b", "a b" },
	{ "from:", "\"from:\"" },
	{ "from: ", "\"from:\"" },
	{ "from: to:bob", "\"from:\" to:bob" },
	{ "from: OR a", "\"from:\" OR a" },
	{ "(from:)", "\"from:\"" },
	{ "after:", "\"after:\"" },
	{ "after:\"\"", "\"after:\"" },
	{ "from:\"\"", "NOT *" },
	{ "from:!!", "NOT *" },
	{ "subject:* x", "x" },
	{ "http://x.example/?a=b&c", "\"http://x.example/?a=b&c\"" },
	{ "Re: hello", "\"Re:\" hello" },
	{ "note:x label:y", "\"note:x\" \"label:y\"" },
	{ "12:30", "\"12:30\"" },
	{ ":x ::", "\":x\"" },
	{ "a*b *c", "\"a*b\" c" },
	{ "subject:/re/", "subject:\"/re/\"" },
	{ "a\x01\x1b[31mb", "a \"[31mb\"" },
	{ "a\xff\xfe"
	  "b",
	  "a\xef\xbf\xbd\xef\xbf\xbd"
	  "b" },
	{ "'; DROP TABLE message; --", "DROP TABLE \"message;\"" },
};

/* Complains and goes on, so that one change shows all its effects. */
static bool means(const char *text, const char *canonical)
{
	struct parsed p;
	bool same;

	parse(&p, slice_str(text));
	same = p.rc == RC_OK && slice_equal(buf_slice(&p.text), slice_str(canonical));
	if (!same)
		print_error("%s\n  got:  %s%s\n  want: %s\n", text, buf_text(&p.text), p.e.text,
		            canonical);
	parsed_free(&p);
	return same;
}

static void texts_are_understood(void **state)
{
	bool good = true;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		good = means(cases[i].text, cases[i].canonical) && good;
		good = means(cases[i].canonical, cases[i].canonical) && good;
	}
	assert_true(good);
}

/* The place is in characters, from 1. */
static void bad_values_are_refused(void **state)
{
	static const struct {
		const char *text;
		const char *part;
	} bad[] = {
		{ "after:yesterdayish", "column 7, after: a date is wanted" },
		{ "\xc3\xa9t\xc3\xa9 after:x", "column 11, after" },
		{ "before:2024-13-01", "column 8, before" },
		{ "received:2023-02-29", "column 10, received" },
		{ "received:2024-02..2024-01", "ends before it begins" },
		{ "received:..", "a date is missing" },
		{ "received:2024-01-01..x", "not \"x\"" },
		{ "received>=soon", "column 11" },
		{ "after:0000-01-01", "no such day" },
		{ "after:2026-11-31", "no such day or month" },
		{ "received:2026-00..", "no such day or month" },
		{ "after:9999", "a date is wanted" },
		{ "after:123", "a date is wanted" },
		{ "after:162222222222222222", "a date is wanted" },
		{ "after:253370764800", "a date is wanted" },
		{ "received:(2024 OR never)", "column 19, received" },
		{ "older_than:1x", "an age is wanted" },
		{ "older_than:99999y", "an age is wanted" },
		{ "larger:abc", "column 8, larger: a size is wanted" },
		{ "spf:passed", "column 5, spf: none, neutral, pass" },
		{ "dkim:reject", "column 6, dkim: none" },
		{ "a dmarc:gray",
		  "column 9, dmarc: none, pass, fail, temperror, permerror or unchecked "
		  "is wanted (or what it asks for: quarantine, reject)" },
		{ "arc:(pass OR policy)", "column 14, arc" },
		{ "size:2m..1m", "ends before it begins" },
		{ "size:1..", NULL },
		{ "larger:99999999999999999999", "a size is wanted" },
		{ "larger:-1", "a size is wanted" },
		{ "larger:1.", "a size is wanted" },
		{ "has:drive", "attachment, problem or unindexed" },
		{ "hasattachment:maybe", "true or false" },
		{ "ip:300.1.1.1", "an address or a network" },
		{ "ip:1.2.3.4/33", "an address or a network" },
		{ "ip:localhost", "an address or a network" },
		{ "sha256:abc", "64 hex digits" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct parsed p;

		parse(&p, slice_str(bad[i].text));
		EXPECT(bad[i].text, p.rc == (bad[i].part ? RC_INVALID : RC_OK));
		if (bad[i].part && !strstr(p.e.text, bad[i].part))
			fail_msg("%s: %s", bad[i].text, p.e.text);
		parsed_free(&p);
	}
}

static void notes_say_what_was_done(void **state)
{
	static const struct {
		const char *text;
		size_t column;
		const char *part;
	} noted[] = {
		{ "a note:x", 3, "\"note:\" is no field" },
		{ "a \"b", 3, "not closed" },
		{ "a (b", 3, "not closed" },
		{ "a )", 3, "ignored" },
		{ "a AND", 3, "on its right" },
		{ "OR a", 1, "one side" },
		{ "a !!!", 3, "no letter or digit" },
		{ "from:", 1, "has no value" },
		{ "a b OR c", 5, "AND binds before OR" },
		{ "size:5", 6, "or more" },
		{ "id:x@y", 4, "Message-ID" },
		{ "a*b", 1, "wildcard" },
		{ "a NEAR/5 has:problem", 3, "taken as AND" },
		{ "!!!", 1, "no letter" },
		{ "a and b", 3, "capitals" },
		{ "subject:(a or b)", 12, "capitals" },
		{ "not a", 1, "capitals" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(noted); i++) {
		struct parsed p;

		parse(&p, slice_str(noted[i].text));
		EXPECT(noted[i].text, p.rc == RC_OK && p.notes.count > 0);
		EXPECT(noted[i].text, p.notes.note[0].column == noted[i].column);
		EXPECT(noted[i].text, strstr(p.notes.note[0].text, noted[i].part));
		parsed_free(&p);
	}
	static const char *const silent[] = { "a b",
		                              "a OR b",
		                              "from:x -y",
		                              "{a b}",
		                              "12:30",
		                              "(a b) OR c is:unindexed",
		                              "from:*@d.example",
		                              "\"this and that\"",
		                              "a AND b",
		                              "android" };

	for (size_t i = 0; i < COUNT(silent); i++) {
		struct parsed p;

		parse(&p, slice_str(silent[i]));
		EXPECT(silent[i], p.notes.count == 0 || strstr(silent[i], "(a b)"));
		parsed_free(&p);
	}
}

static void notes_are_bounded(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, slice_str("! ! ! ! ! ! ! ! ! ! ! ! ! ! ! ! ! ! ! !"));
	assert_int_equal(p.notes.count, QUERY_NOTES);
	assert_int_equal(p.notes.more, 5); /* 20, and that nothing is left */
	parsed_free(&p);
}

/* Parses n times `open`, then `middle`, then n times `close`. */
static enum rc nested(const char *open, const char *middle, const char *close, size_t n)
{
	struct parsed p;
	struct buf text;
	enum rc rc;

	buf_init(&text, 1 << 20);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(buf_add_str(&text, open), RC_OK);
	assert_int_equal(buf_add_str(&text, middle), RC_OK);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(buf_add_str(&text, close), RC_OK);
	parse(&p, buf_slice(&text));
	rc = p.rc;
	parsed_free(&p);
	buf_free(&text);
	return rc;
}

static void limits_hold(void **state)
{
	(void)state;
	assert_int_equal(nested("(", "a", ")", LIMIT_QUERY_DEPTH), RC_OK);
	assert_int_equal(nested("(", "a", ")", LIMIT_QUERY_DEPTH + 1), RC_LIMIT);
	assert_int_equal(nested("{", "a", "}", LIMIT_QUERY_DEPTH + 1), RC_LIMIT);
	assert_int_equal(nested("-(a ", "b", ")", 31), RC_OK);
	assert_int_equal(nested("-(a ", "b", ")", 32), RC_LIMIT);
	assert_int_equal(nested("(a OR b ", "c", ")", LIMIT_QUERY_DEPTH), RC_LIMIT);
	assert_int_equal(nested("subject:(", "c", ")", 30000 / 10), RC_LIMIT);
	assert_int_equal(nested("NOT ", "c", "", 16000), RC_OK);
	assert_int_equal(nested("a ", "c", "", 32000), RC_OK);
	assert_int_equal(nested("a OR ", "c", "", 13000), RC_OK);
	assert_int_equal(nested("a NEAR/2 ", "c", "", 7000), RC_OK);
	assert_int_equal(nested("x", "", "", LIMIT_QUERY_TEXT), RC_OK);
	assert_int_equal(nested("x", "", "", LIMIT_QUERY_TEXT + 1), RC_LIMIT);
}

static void fields_are_those_promised(void **state)
{
	static const struct {
		const char *text;
		uint32_t fields;
	} leaves[] = {
		{ "x", FIELDS_ALL },
		{ "to:x", FIELD_BIT(DOC_TO) | FIELD_BIT(DOC_CC) | FIELD_BIT(DOC_BCC) |
		                  FIELD_BIT(DOC_ENVELOPE_TO) },
		{ "rcpt:x", FIELD_BIT(DOC_ENVELOPE_TO) },
		{ "from:x", FIELD_BIT(DOC_FROM) },
		{ "participants:x", FIELDS_FROM | FIELDS_TO },
		{ "attachment:x", FIELD_BIT(DOC_FILENAME) },
		{ "header-from:x", FIELD_BIT(DOC_FROM) },
		{ "attached-text:x", FIELD_BIT(DOC_ATTACHMENT) },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(leaves); i++) {
		struct parsed p;

		parse(&p, slice_str(leaves[i].text));
		EXPECT(leaves[i].text, p.match->kind == MATCH_TEXT);
		EXPECT(leaves[i].text, p.match->fields == leaves[i].fields);
		EXPECT_SLICE(leaves[i].text, p.match->text, "x");
		parsed_free(&p);
	}
}

/* What the canonical text says about ranges is what the tree has. */
static void ranges_are_half_open(void **state)
{
	struct parsed p;
	int64_t day = 19723 * MS_PER_DAY; /* 2024-01-01 */

	(void)state;
	parse(&p, slice_str("received:2024-01-01"));
	assert_int_equal(p.match->kind, MATCH_RECEIVED);
	assert_int_equal(p.match->low, day);
	assert_int_equal(p.match->high, day + MS_PER_DAY);
	parsed_free(&p);
	parse(&p, slice_str("before:2024-01-01"));
	assert_true(p.match->low == INT64_MIN);
	assert_int_equal(p.match->high, day);
	parsed_free(&p);
	parse(&p, slice_str("larger:1K"));
	assert_int_equal(p.match->low, 1025);
	assert_true(p.match->high == INT64_MAX);
	parsed_free(&p);
}

static void trees_print_as_json(void **state)
{
	static const struct {
		const char *text;
		const char *json;
	} trees[] = {
		{ "*", "{\"all\":true}" },
		{ "subject:a* -\"b c\"", "{\"and\":[{\"text\":\"a\",\"prefix\":true,\"fields\":"
		                         "[\"subject\"]},{\"not\":{\"text\":\"b c\"}}]}" },
		{ "a NEAR/3 b", "{\"near\":[{\"text\":\"a\"},{\"text\":\"b\"}],\"words\":3}" },
		{ "received:2024-01-01 OR has:attachment",
		  "{\"or\":[{\"received\":{\"from\":\"2024-01-01T00:00:00.000Z\",\"to\":"
		  "\"2024-01-02T00:00:00.000Z\"}},{\"has\":[\"attachment\"]}]}" },
		{ "size>=5", "{\"bytes\":{\"from\":5}}" },
		{ "msgid:a@b", "{\"msgid\":\"a@b\"}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(trees); i++) {
		struct parsed p;
		json_t *j;
		char *text;

		parse(&p, slice_str(trees[i].text));
		j = query_json(p.match);
		text = json_dumps(j, JSON_COMPACT);
		assert_string_equal(text, trees[i].json);
		free(text);
		json_decref(j);
		parsed_free(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_understood),
		cmocka_unit_test(bad_values_are_refused),
		cmocka_unit_test(notes_say_what_was_done),
		cmocka_unit_test(notes_are_bounded),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(fields_are_those_promised),
		cmocka_unit_test(ranges_are_half_open),
		cmocka_unit_test(trees_print_as_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
