#include "tests/unit/test.h"

#include <stdlib.h>

#include "ingest/mime/mime.h"
#include "ingest/parsed.h"

static struct mime *reader;

static int start(void **state)
{
	(void)state;
	reader = mime_new();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	mime_free(&reader);
	return 0;
}

/* Reads a copy (the reader writes over its input) and decodes what it wrote. */
static void read_mail(struct slice mail, unsigned mode, struct parsed *p)
{
	uint8_t *copy = mem_new(mail.len + 1);
	struct buf out;
	struct err e;

	memcpy(copy, mail.at, mail.len);
	buf_init(&out, PARSED_MAX_BYTES);
	assert_int_equal(mime_read(reader, copy, mail.len, mode, &out), RC_OK);
	EXPECT_OK(parsed_decode(p, buf_slice(&out), &e), &e);
	buf_free(&out);
	free(copy);
}

#define H     "From: A <a@x.example>\r\nMIME-Version: 1.0\r\n"
#define MIXED H "Content-Type: multipart/mixed; boundary=b\r\n\r\n"

struct mail_case {
	const char *name;
	const char *mail;
	enum parsed_text where;
	const char *has;   /* in that text; NULL: the text is empty */
	const char * not ; /* not in it; may be NULL */
	uint32_t flags;    /* exactly these, sent date left out */
};

#define ATT  PARSED_HAS_ATTACHMENT
#define PROB PARSED_HAS_PROBLEM
#define NOTI PARSED_NOT_INDEXED

static const struct mail_case mails[] = {
	{ "plain", H "Subject: s\r\n\r\nhello needle\r\n", PARSED_BODY, "hello needle", NULL, 0 },
	{ "subject", H "Subject: =?utf-8?q?=C3=BC?= s\r\n\r\nx", PARSED_SUBJECT, "ü s", NULL, 0 },
	{ "two subjects", "Subject: a\r\nSubject: b\r\n\r\n", PARSED_SUBJECT, "a\nb", NULL, 0 },
	{ "no blank line", "Subject: needle", PARSED_SUBJECT, "needle", NULL, 0 },
	{ "empty", "", PARSED_BODY, NULL, NULL, 0 },
	{ "no header", "just needle text\r\n\r\nmore", PARSED_BODY, "needle", NULL, 0 },
	{ "text behind junk", "From: a@b\r\nneedle junk\r\n\r\nbody", PARSED_BODY, "needle", NULL,
	  0 },
	{ "message id", "Message-ID: <x@y>\r\n\r\n", PARSED_MESSAGE_ID, "x@y", "<", 0 },
	{ "every message id", "Message-ID: <x@y>\r\nMessage-ID: <z@y>\r\n\r\n", PARSED_OTHER, "z@y",
	  NULL, 0 },
	{ "list id", "List-Id: The <needle.list>\r\n\r\n", PARSED_OTHER, "needle.list", NULL, 0 },
	{ "receipt", "Disposition-Notification-To: a@b\r\n\r\n", PARSED_BODY, NULL, NULL,
	  PARSED_READ_RECEIPT },
	{ "no date", "Date: never\r\n\r\n", PARSED_PROBLEM, "Date", NULL, PROB },
	{ "empty date", "Date:\r\n\r\n", PARSED_PROBLEM, NULL, NULL, 0 },
	{ "html", H "Content-Type: text/html\r\n\r\n<p>f<b>oo</b>&auml;", PARSED_BODY, "fooä", "<",
	  0 },
	{ "html meta", H "Content-Type: text/html\r\n\r\n<meta charset=windows-1251>\xcf",
	  PARSED_BODY, "П", NULL, 0 },
	{ "base64", H "Content-Transfer-Encoding: base64\r\n\r\nbmVlZGxl\r\n", PARSED_BODY,
	  "needle", NULL, 0 },
	{ "broken base64", H "Content-Transfer-Encoding: base64\r\n\r\nbmVl!ZGxl\r\n", PARSED_BODY,
	  "needle", NULL, PROB },
	{ "qp and charset",
	  H "Content-Type: text/plain; charset=\"ISO-8859-1\"\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n=E4=\r\nx",
	  PARSED_BODY, "äx", NULL, 0 },
	{ "unknown transfer encoding", H "Content-Transfer-Encoding: x-y\r\n\r\nneedle",
	  PARSED_BODY, "needle", NULL, PROB },
	{ "unknown charset", H "Content-Type: text/plain; charset=x-z\r\n\r\nneedle \xff",
	  PARSED_BODY, "needle ÿ", NULL, PROB },
	{ "both alternatives",
	  H "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nplainword\r\n--b\r\n"
	    "Content-Type: text/html\r\n\r\n<b>htmlword</b>\r\n--b--\r\n",
	  PARSED_BODY, "htmlword", NULL, 0 },
	{ "the other alternative",
	  H "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nplainword\r\n--b\r\n"
	    "Content-Type: text/html\r\n\r\n<b>htmlword</b>\r\n--b--\r\n",
	  PARSED_BODY, "plainword", NULL, 0 },
	{ "attachment's name",
	  MIXED "--b\r\nContent-Type: application/pdf\r\n"
	        "Content-Disposition: attachment; filename=\"in voice.pdf\"\r\n\r\nx\r\n--b--\r\n",
	  PARSED_FILENAME, "in voice.pdf", NULL, ATT },
	{ "RFC 2231 name",
	  MIXED "--b\r\nContent-Disposition: attachment; filename*0*=UTF-8''a%C3; "
	        "filename*1*=%A4.pdf\r\n\r\nx\r\n--b--\r\n",
	  PARSED_FILENAME, "aä.pdf", NULL, ATT },
	{ "RFC 2047 name",
	  MIXED
	  "--b\r\nContent-Type: image/png; name=\"=?utf-8?B?w6QucG5n?=\"\r\n\r\nx\r\n--b--\r\n",
	  PARSED_FILENAME, "ä.png", NULL, ATT },
	{ "both names",
	  MIXED "--b\r\nContent-Type: image/png; name=one.png\r\n"
	        "Content-Disposition: attachment; filename=two.png\r\n\r\nx\r\n--b--\r\n",
	  PARSED_FILENAME, "one.png\ntwo.png", NULL, ATT },
	{ "csv attachment",
	  MIXED "--b\r\nContent-Type: text/csv; name=a.csv\r\n\r\nneedle,1\r\n--b--\r\n",
	  PARSED_ATTACHMENT, "needle,1", NULL, ATT },
	{ "html attachment",
	  MIXED "--b\r\nContent-Type: text/html\r\nContent-Disposition: attachment\r\n\r\n"
	        "<i>nee</i>dle\r\n--b--\r\n",
	  PARSED_ATTACHMENT, "needle", NULL, ATT },
	{ "calendar", MIXED "--b\r\nContent-Type: text/calendar\r\n\r\nSUMMARY:needle\r\n--b--\r\n",
	  PARSED_BODY, "needle", NULL, 0 },
	{ "inline image of the HTML",
	  H "Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: "
	    "text/html\r\n\r\nx"
	    "\r\n--b\r\nContent-Type: image/png\r\nContent-ID: <i>\r\n\r\nx\r\n--b--\r\n",
	  PARSED_ATTACHMENT, NULL, NULL, 0 },
	{ "inline message",
	  MIXED
	  "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: innersub\r\n\r\nneedle\r\n--b--\r\n",
	  PARSED_BODY, "innersub\nneedle", NULL, 0 },
	{ "attached message",
	  MIXED "--b\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n"
	        "From: i@j.example\r\nSubject: innersub\r\n\r\nneedle\r\n--b--\r\n",
	  PARSED_ATTACHMENT, "i@j.example\ninnersub\nneedle", NULL, ATT },
	{ "message in base64",
	  H "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	    "U3ViamVjdDogaW5uZXJzdWINCg0KbmVlZGxl\r\n",
	  PARSED_BODY, "innersub\nneedle", NULL, 0 },
	{ "multipart in base64",
	  H "Content-Type: multipart/mixed; boundary=x\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	    "LS14DQpDb250ZW50LVR5cGU6IHRleHQvcGxhaW4NCg0KbmVlZGxlYjY0bXANCi0teC0tDQo=\r\n",
	  PARSED_BODY, "needleb64mp", NULL, 0 },
	{ "delivery status",
	  MIXED "--b\r\nContent-Type: message/delivery-status\r\n\r\nFinal-Recipient: "
	        "needle\r\n--b--\r\n",
	  PARSED_BODY, "needle", NULL, 0 },
	{ "no boundary parameter",
	  H "Content-Type: multipart/mixed\r\n\r\n--x\r\n\r\nneedle\r\n--x--\r\n", PARSED_BODY,
	  "needle", NULL, PROB },
	{ "no end", MIXED "--b\r\n\r\nneedle", PARSED_BODY, "needle", NULL, 0 },
	{ "behind the end", MIXED "--b\r\n\r\nx\r\n--b--\r\nneedle footer\r\n", PARSED_BODY,
	  "needle", NULL, 0 },
	{ "in front", MIXED "needle front\r\n--b\r\n\r\nx\r\n--b--\r\n", PARSED_BODY, "needle",
	  NULL, 0 },
	{ "two content types",
	  H "Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\nbmVlZGxl\r\n--b--\r\n",
	  PARSED_BODY, "needle", NULL, PROB },
	{ "two transfer encodings, the first",
	  H
	  "Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
	  "bmVlZGxl=3D\r\n",
	  PARSED_BODY, "needle", NULL, PROB },
	{ "boundary by RFC 2231",
	  H "Content-Type: multipart/mixed; boundary*0=\"a\"; boundary*1=\"b\"\r\n\r\n--ab\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\nbmVlZGxl\r\n--ab--\r\n",
	  PARSED_BODY, "needle", NULL, 0 },
	{ "PGP/MIME",
	  H
	  "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; "
	  "boundary=b\r\n\r\n"
	  "--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n"
	  "Content-Type: application/octet-stream\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n--b--\r\n",
	  PARSED_PROBLEM, "encrypted (PGP/MIME)", NULL, PROB | NOTI | ATT },
	{ "inline PGP", H "\r\n-----BEGIN PGP MESSAGE-----\r\nx\r\n", PARSED_PROBLEM,
	  "encrypted (PGP)", NULL, PROB | NOTI },
	{ "S/MIME",
	  H "Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nx\r\n",
	  PARSED_PROBLEM, "encrypted (S/MIME)", NULL, PROB | NOTI | ATT },
	{ "signature",
	  H "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nneedle\r\n--b\r\n"
	    "Content-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n",
	  PARSED_BODY, "needle", NULL, 0 },
	{ "PDF",
	  MIXED "--b\r\nContent-Type: application/pdf; name=\"=?utf-8?q?r=C3=A4port.pdf?=\"\r\n\r\n"
	        "%PDF-1.7 x\r\n--b--\r\n",
	  PARSED_PROBLEM, "not indexed: text of räport.pdf (application/pdf)", NULL, NOTI | ATT },
	{ "archive without a name",
	  MIXED "--b\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n"
	        "\r\nUEsDBBQAAAAIAA==\r\n--b--\r\n",
	  PARSED_PROBLEM, "not indexed: text of an attachment (application/zip)", NULL,
	  NOTI | ATT },
	{ "office document called something else",
	  MIXED "--b\r\nContent-Type: application/octet-stream; name=a.docx\r\n"
	        "Content-Transfer-Encoding: base64\r\n\r\nUEsDBBQAAAAIAA==\r\n--b--\r\n",
	  PARSED_PROBLEM, "not indexed: text of a.docx (application/octet-stream)", NULL,
	  NOTI | ATT },
	{ "text called something else",
	  MIXED "--b\r\nContent-Type: application/octet-stream; name=a.patch\r\n\r\n"
	        "-needle\r\n--b--\r\n",
	  PARSED_ATTACHMENT, "-needle", NULL, ATT },
	{ "image, sound and film have no text",
	  MIXED "--b\r\nContent-Type: image/png\r\n\r\n\x89PNG\1\2\r\n--b\r\n"
	        "Content-Type: audio/mpeg\r\n\r\n\1\2\r\n--b\r\n"
	        "Content-Type: video/mp4\r\n\r\n\1\2\r\n--b--\r\n",
	  PARSED_PROBLEM, NULL, NULL, ATT },
	{ "type alone", H "Content-Type: text\r\n\r\nneedle", PARSED_BODY, "needle", NULL, 0 },
	{ "nonsense type", H "Content-Type: ;;; =\r\n\r\nneedle", PARSED_BODY, "needle", NULL, 0 },
	{ "boundary of another's beginning",
	  H "Content-Type: multipart/mixed; boundary=AA\r\n\r\n--AA\r\n"
	    "Content-Type: multipart/alternative; "
	    "boundary=AAB\r\n\r\n--AAB\r\n\r\ninner\r\n--AAB--\r\n"
	    "--AA\r\n\r\nouter needle\r\n--AA--\r\n",
	  PARSED_BODY, "outer needle", NULL, 0 },
};

static void check_mail(const struct mail_case *c)
{
	struct parsed p;
	struct slice text;

	read_mail(slice_str(c->mail), MIME_FULL, &p);
	text = p.text[c->where];
	if (c->has ? slice_find(text, slice_str(c->has)) == SIZE_MAX : text.len > 0)
		fail_msg("%s: got \"%.*s\"", c->name, (int)text.len, (const char *)text.at);
	if (c->not &&slice_find(text, slice_str(c->not )) != SIZE_MAX)
		fail_msg("%s: has \"%s\"", c->name, c->not );
	if ((p.flags & ~(uint32_t)PARSED_HAS_SENT) != c->flags)
		fail_msg("%s: flags %x, problem \"%.*s\"", c->name, p.flags,
		         (int)p.text[PARSED_PROBLEM].len, (const char *)p.text[PARSED_PROBLEM].at);
	parsed_free(&p);
}

static void test_mails(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(mails); i++)
		check_mail(&mails[i]);
}

/* The plain reader finds the same words in all but what needs GMime. */
static void test_plain_reader(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(mails); i++) {
		const struct mail_case *c = &mails[i];
		struct parsed p;

		if (!c->has || !strstr(c->has, "needle") || strstr(c->name, "base64"))
			continue;
		read_mail(slice_str(c->mail), MIME_PLAIN, &p);
		if (slice_find(p.text[PARSED_BODY], slice_str("needle")) == SIZE_MAX &&
		    slice_find(p.text[PARSED_ATTACHMENT], slice_str("needle")) == SIZE_MAX &&
		    slice_find(p.text[PARSED_SUBJECT], slice_str("needle")) == SIZE_MAX &&
		    slice_find(p.text[PARSED_OTHER], slice_str("needle")) == SIZE_MAX)
			fail_msg("%s: \"%.*s\"", c->name, (int)p.text[PARSED_BODY].len,
			         (const char *)p.text[PARSED_BODY].at);
		parsed_free(&p);
	}
}

/* Headers that programs read differently: every address of every reading is there. */
static void test_ambiguous_senders(void **state)
{
	static const struct {
		const char *name;
		const char *raw;
		size_t len; /* 0: a string */
		const char *all[3];
		enum parsed_field field;
	} cases[] = {
		{ "two From",
		  "From: <f@attack.example>\r\nFrom: <admin@legit.example>\r\n",
		  0,
		  { "f@attack.example", "admin@legit.example" },
		  PARSED_FROM },
		{ "leading blank",
		  " From: <f@attack.example>\r\nFrom: <admin@legit.example>\r\n",
		  0,
		  { "f@attack.example", "admin@legit.example" },
		  PARSED_FROM },
		{ "folded name",
		  "From\r\n : <f@attack.example>\r\nFrom: <admin@legit.example>\r\n",
		  0,
		  { "f@attack.example", "admin@legit.example" },
		  PARSED_FROM },
		{ "Sender",
		  "From\r\n : <f@attack.example>\r\nSender: <admin@legit.example>\r\n",
		  0,
		  { "admin@legit.example" },
		  PARSED_SENDER },
		{ "two in one",
		  "From: <f@attack.example>, <admin@legit.example>\r\n",
		  0,
		  { "f@attack.example", "admin@legit.example" },
		  PARSED_FROM },
		{ "encoded",
		  "From: =?utf-8?B?PGFkbWluQGxlZ2l0LmV4YW1wbGU+?=,<second@attack.example>\r\n",
		  0,
		  { "second@attack.example", "admin@legit.example" },
		  PARSED_FROM },
		{ "quoted pair",
		  "From: <admin@legit.example>\\,<second@attack.example>\r\n",
		  0,
		  { "admin@legit.example", "second@attack.example" },
		  PARSED_FROM },
		{ "precedence",
		  "From: admin@legit.example,<second@attack.example>\r\n",
		  0,
		  { "admin@legit.example", "second@attack.example" },
		  PARSED_FROM },
		{ "NUL",
		  "From: <admin@legit.example\0.attack.example>\r\n",
		  45,
		  { "admin@legit.example", "admin@legit.example.attack.example" },
		  PARSED_FROM },
		{ "group",
		  "From: g:a@legit.example,b@attack.example;\r\n",
		  0,
		  { "a@legit.example", "b@attack.example" },
		  PARSED_FROM },
		{ "comment",
		  "From: (admin@legit.example) a@attack.example\r\n",
		  0,
		  { "a@attack.example", "admin@legit.example" },
		  PARSED_FROM },
		{ "bare CR",
		  "From: a@attack.example\rFrom: admin@legit.example\r\n",
		  0,
		  { "a@attack.example", "admin@legit.example" },
		  PARSED_FROM },
		{ "behind a CR line",
		  "Subject: a\r\n\r\r\nFrom: <admin@legit.example>\r\n",
		  0,
		  { "admin@legit.example" },
		  PARSED_FROM },
		{ "Resent",
		  "Resent-From: a@b.example\r\nFrom: c@d.example\r\n",
		  0,
		  { "a@b.example", "c@d.example" },
		  PARSED_FROM },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t len = cases[i].len ? cases[i].len : strlen(cases[i].raw);
		struct parsed p;
		struct buf mail;

		buf_init(&mail, 4096);
		assert_int_equal(buf_add(&mail, slice_of(cases[i].raw, len)), RC_OK);
		assert_int_equal(buf_add_str(&mail, "\r\nx\r\n"), RC_OK);
		read_mail(buf_slice(&mail), MIME_FULL, &p);
		for (size_t k = 0; k < COUNT(cases[i].all) && cases[i].all[k]; k++) {
			bool found = false;

			for (size_t a = 0; a < p.address_count[cases[i].field]; a++)
				found = found || slice_equal(p.addresses[cases[i].field][a].address,
				                             slice_str(cases[i].all[k]));
			if (!found)
				fail_msg("%s: no %s", cases[i].name, cases[i].all[k]);
		}
		parsed_free(&p);
		buf_free(&mail);
	}
}

static void test_headers_are_kept(void **state)
{
	struct parsed p;

	(void)state;
	read_mail(slice_str("X-A: =?utf-8?q?=C3=A4?=\r\n b\r\nX-A: 2\r\n\r\n"), MIME_FULL, &p);
	assert_int_equal(p.header_count, 2);
	EXPECT_SLICE("name", p.headers[0].name, "X-A");
	EXPECT_SLICE("value", p.headers[0].value, "ä b");
	EXPECT_SLICE("raw", p.headers[0].raw, " =?utf-8?q?=C3=A4?=\r\n b");
	EXPECT_SLICE("value", p.headers[1].value, "2");
	parsed_free(&p);
}

static void test_dates(void **state)
{
	struct parsed p;

	(void)state;
	read_mail(slice_str("Date: rubbish\r\nDate: 5 Jan 2026 10:14 +0000\r\n\r\n"), MIME_FULL,
	          &p);
	assert_true(p.flags & PARSED_HAS_SENT);
	assert_false(p.flags & PARSED_HAS_PROBLEM);
	assert_true(p.sent_ms == INT64_C(1767608040000));
	parsed_free(&p);
}

/* Past a limit everything readable is still there, and the document says so. */
static void test_over_limits(void **state)
{
	static const struct {
		const char *name;
		const char *front;
		const char *unit;
		unsigned count;
		const char *back;
	} cases[] = {
		{ "parts", MIXED, "--b\r\n\r\nx\r\n", 20000, "--b\r\n\r\nneedle\r\n--b--\r\n" },
		{ "headers", H, "X: y\r\n", 20000, "\r\nneedle\r\n" },
		{ "groups", H "To: ", "g:", 2500, "\r\nSubject: needle\r\n\r\nneedle\r\n" },
		{ "a long header", H "Subject: ", "word ", 300000, "\r\n\r\nneedle\r\n" },
		{ "depth", H, "Content-Type: message/rfc822\r\n\r\n", 200,
		  "Subject: x\r\n\r\nneedle\r\n" },
		{ "addresses", H "To: ", "a@b,", 11000, "\r\n\r\nneedle\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct parsed p;
		struct buf mail;

		buf_init(&mail, 8000000);
		assert_int_equal(buf_add_str(&mail, cases[i].front), RC_OK);
		for (unsigned n = 0; n < cases[i].count; n++)
			assert_int_equal(buf_add_str(&mail, cases[i].unit), RC_OK);
		assert_int_equal(buf_add_str(&mail, cases[i].back), RC_OK);
		read_mail(buf_slice(&mail), MIME_FULL, &p);
		EXPECT(cases[i].name,
		       slice_find(p.text[PARSED_BODY], slice_str("needle")) != SIZE_MAX);
		EXPECT(cases[i].name, slice_starts_nocase(p.text[PARSED_PROBLEM],
		                                          slice_str("not fully parsed: ")));
		EXPECT(cases[i].name, p.flags & PARSED_NOT_INDEXED);
		EXPECT(cases[i].name, p.address_count[PARSED_FROM] == 1);
		parsed_free(&p);
		buf_free(&mail);
	}
}

static void test_text_limit(void **state)
{
	struct parsed p;
	struct buf mail;

	(void)state;
	buf_init(&mail, 40000000);
	assert_int_equal(buf_add_str(&mail, H "\r\nfirst "), RC_OK);
	while (mail.len < 18000000)
		assert_int_equal(buf_add_str(&mail, "word wörd\r\n"), RC_OK);
	read_mail(buf_slice(&mail), MIME_FULL, &p);
	assert_true(p.text[PARSED_BODY].len <= 16777216 + 1);
	assert_true(p.text[PARSED_BODY].len > 16777000);
	assert_true(p.flags & PARSED_NOT_INDEXED);
	EXPECT_SLICE("problem", p.text[PARSED_PROBLEM], "text over the limit of 16 MiB");
	parsed_free(&p);
	buf_free(&mail);
}

/* The reader leaves nothing of a message in the next one. */
static void test_clean_between(void **state)
{
	struct parsed p;

	(void)state;
	read_mail(slice_str(mails[20].mail), MIME_FULL, &p);
	parsed_free(&p);
	read_mail(slice_str("X: y\r\n\r\n"), MIME_FULL, &p);
	for (size_t i = 0; i < PARSED_TEXTS; i++)
		assert_int_equal(p.text[i].len, 0);
	assert_int_equal(p.flags, 0);
	assert_int_equal(p.header_count, 1);
	parsed_free(&p);
}

/* For who shows the message: text parts as they are, in place of the index's text. */
static void bodies_are_shown_as_they_are(void **state)
{
	static const char mail[] =
	        MIXED "--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
	              "--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: "
	              "quoted-printable\r\n\r\n<p>ht=6Dl</p>\r\n"
	              "--b\r\nContent-Type: text/html\r\nContent-Disposition: "
	              "attachment\r\n\r\n<p>not me</p>\r\n--b--\r\n";
	static const unsigned modes[] = { MIME_FULL, MIME_PLAIN };
	struct parsed p;

	(void)state;
	for (size_t i = 0; i < COUNT(modes); i++) {
		read_mail(slice_str(mail), modes[i] | MIME_SHOW, &p);
		EXPECT_SLICE("plain", slice_trim(p.text[PARSED_PLAIN]), "plain");
		EXPECT_SLICE("html", slice_trim(p.text[PARSED_HTML]), "<p>html</p>");
		EXPECT("no index text", p.text[PARSED_BODY].len == 0 || modes[i] == MIME_PLAIN);
		parsed_free(&p);
		read_mail(slice_str(mail), modes[i], &p);
		EXPECT("for the index", p.text[PARSED_PLAIN].len + p.text[PARSED_HTML].len == 0);
		EXPECT("its words", slice_find(p.text[PARSED_BODY], slice_str("html")) != SIZE_MAX);
		parsed_free(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mails),
		cmocka_unit_test(test_plain_reader),
		cmocka_unit_test(test_ambiguous_senders),
		cmocka_unit_test(test_headers_are_kept),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_over_limits),
		cmocka_unit_test(test_text_limit),
		cmocka_unit_test(test_clean_between),
		cmocka_unit_test(bodies_are_shown_as_they_are),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
