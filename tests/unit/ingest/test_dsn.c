#include "ingest/action/dsn.h"

#include "ingest/action/encode.h"
#include "ingest/verdict/raw.h"
#include "tests/unit/ingest/quoted.h"
#include "tests/unit/store/scratch.h"

#define MAIL                                                                                       \
	"From: Ann <ann@shop.example>\r\n"                                                         \
	"Message-ID: <1@shop.example>\r\n"                                                         \
	"Subject: one\r\n"                                                                         \
	"\r\n"                                                                                     \
	"Hello\r\n"

static const int64_t now = INT64_C(1772442900123); /* Mon, 02 Mar 2026 09:15:00 */

static struct mail mail_from(const char *sender, const char *verdicts)
{
	struct mail m = { .json = json_object() };

	m.receipt = m.json;
	json_put_text(m.json, "mail_from", slice_str(sender));
	m.mail_from = json_member_text(m.json, "mail_from");
	if (verdicts)
		mail_set_verdicts(&m, quoted(verdicts));
	return m;
}

/* ---- who may have one ---- */

static void who_may_have_one(void **state)
{
	static const struct {
		const char *sender, *verdicts, *head, *notify;
		enum dsn_kind kind;
		const char *why; /* a part of it; NULL: he may */
	} cases[] = {
		{ "a@b.example", NULL, "", NULL, DSN_FAILED, NULL },
		{ "a@b.example", NULL, "", NULL, DSN_DELAYED, NULL },
		{ "a@b.example", NULL, "", NULL, DSN_RELAYED, "NOTIFY" },
		{ "a@b.example", NULL, "", "", DSN_FAILED, NULL },
		{ "", NULL, "", NULL, DSN_FAILED, "<>" },
		{ "a@b.example", "{'spf':{'verdict':'FAIL'}}", "", NULL, DSN_FAILED, "SPF" },
		{ "a@b.example", "{'spf':{'verdict':'GRAY'}}", "", NULL, DSN_FAILED, NULL },
		{ "a@b.example", "{'spf':{'verdict':'PASS'}}", "", "FAILURE", DSN_FAILED, NULL },
		{ "a@b.example", NULL, "", "NEVER", DSN_FAILED, "NOTIFY" },
		{ "a@b.example", NULL, "", "never", DSN_DELAYED, "NOTIFY" },
		{ "a@b.example", NULL, "", "SUCCESS,delay", DSN_FAILED, "NOTIFY" },
		{ "a@b.example", NULL, "", "SUCCESS,delay", DSN_DELAYED, NULL },
		{ "a@b.example", NULL, "", "FAILURE", DSN_DELAYED, "NOTIFY" },
		{ "a@b.example", NULL, "", "SUCCESS", DSN_RELAYED, NULL },
		{ "a@b.example", NULL, "", NULL, DSN_DELIVERED, "NOTIFY" },
		{ "a@b.example", NULL, "", "FAILURE,DELAY", DSN_DELIVERED, "NOTIFY" },
		{ "a@b.example", NULL, "", "failure,success", DSN_DELIVERED, NULL },
		{ "", NULL, "", "SUCCESS", DSN_RELAYED, "<>" },
		{ "a@b.example", "{'spf':{'verdict':'FAIL'}}", "", "SUCCESS", DSN_RELAYED, "SPF" },
		{ "a@b.example", NULL, "Precedence: list\r\n", "SUCCESS", DSN_DELIVERED, "bulk" },
		{ "a@b.example", NULL, "Auto-Submitted: auto-replied\r\n", NULL, DSN_FAILED,
		  "program" },
		{ "a@b.example", NULL, "auto-submitted:\r\n auto-generated; x=y\r\n", NULL,
		  DSN_FAILED, "program" },
		{ "a@b.example", NULL, "Auto-Submitted: No\r\n", NULL, DSN_FAILED, NULL },
		{ "a@b.example", NULL, "Auto-Submitted: no (really)\r\n", NULL, DSN_FAILED, NULL },
		{ "a@b.example", NULL, "Auto-Submitted: none\r\n", NULL, DSN_FAILED, "program" },
		{ "a@b.example", NULL, "Precedence: bulk\r\n", NULL, DSN_FAILED, "bulk" },
		{ "a@b.example", NULL, "PRECEDENCE :Junk\r\n", NULL, DSN_FAILED, "bulk" },
		{ "a@b.example", NULL, "Precedence: list\r\n", NULL, DSN_FAILED, "bulk" },
		{ "a@b.example", NULL, "Precedence: first-class\r\n", NULL, DSN_FAILED, NULL },
		{ "a@b.example", NULL, "List-Id: <x.y>\r\n", NULL, DSN_FAILED, NULL },
		{ "a@b.example", NULL, "\r\nPrecedence: bulk\r\n", NULL, DSN_FAILED, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct mail m = mail_from(cases[i].sender, cases[i].verdicts);
		const char *why =
		        dsn_forbidden(&m, slice_str(cases[i].head), cases[i].notify, cases[i].kind);

		if (!why != !cases[i].why || (why && !strstr(why, cases[i].why)))
			fail_msg("%zu: %s", i, why ? why : "may");
		mail_free(&m);
	}
}

/* ---- what is written ---- */

static struct dsn dsn_of(const struct mail *m, const struct dsn_recipient *recipients, size_t count)
{
	return (struct dsn) { .mail = m,
		              .raw = slice_str(MAIL),
		              .hostname = "mm.test",
		              .now_ms = now,
		              .arrived_ms = now - 7200000,
		              .tried_ms = now - 1000,
		              .until_ms = now + 86400000,
		              .recipients = recipients,
		              .recipient_count = count,
		              .id = "0cq7nh44uo.1" };
}

static void written(struct buf *out, const struct dsn *d)
{
	struct err e;

	buf_init(out, 4 << 20);
	EXPECT_OK(dsn_write(d, out, &e), &e);
}

static void expect_part(const struct buf *out, const char *part)
{
	if (slice_find(buf_slice(out), slice_str(part)) == SIZE_MAX)
		fail_msg("not there: \"%s\" in\n%s", part, buf_text(out));
}

static void expect_seven_bit(struct slice s, const char *name)
{
	size_t column = 0;

	for (size_t i = 0; i < s.len; i++) {
		bool ends = s.at[i] == '\r' && i + 1 < s.len && s.at[i + 1] == '\n';

		EXPECT(name, s.at[i] && s.at[i] < 128 && (s.at[i] != '\n' || s.at[i - 1] == '\r') &&
		                     (s.at[i] != '\r' || ends));
		column = ends ? 0 : column + 1;
		EXPECT(name, column <= 999);
	}
}

static void a_failure(void **state)
{
	static const struct dsn_recipient r = {
		"bob@b.example", "rfc822;Bob+x@b.example", DSN_FAILED,
		"5.1.1",         "550 5.1.1 no such user", "mx.b.example"
	};
	struct mail m = mail_from("ann@shop.example", NULL);
	struct dsn d = dsn_of(&m, &r, 1);
	struct buf out;

	(void)state;
	d.envid = "e=1";
	written(&out, &d);
	EXPECT_SLICE(
	        "a failure", buf_slice(&out),
	        "Date: Mon, 02 Mar 2026 09:15:00 +0000\r\n"
	        "From: Mail Delivery System <MAILER-DAEMON@mm.test>\r\n"
	        "To: <ann@shop.example>\r\n"
	        "Subject: Your message was not delivered\r\n"
	        "Message-ID: <0cq7nh44uo.1@mm.test>\r\n"
	        "In-Reply-To: <1@shop.example>\r\n"
	        "References: <1@shop.example>\r\n"
	        "Auto-Submitted: auto-replied\r\n"
	        "MIME-Version: 1.0\r\n"
	        "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	        " boundary=\"=_mm_0cq7nh44uo_1_0\"\r\n"
	        "\r\n"
	        "--=_mm_0cq7nh44uo_1_0\r\n"
	        "Content-Type: text/plain; charset=us-ascii\r\n"
	        "Content-Description: Notice\r\n"
	        "Content-Transfer-Encoding: 7bit\r\n"
	        "\r\n"
	        "This is the mail server mm.test.\r\n"
	        "\r\n"
	        "Your message could not be delivered to the recipients below, and it will not\r\n"
	        "be tried again.\r\n"
	        "\r\n"
	        "  <bob@b.example> was not delivered (5.1.1)\r\n"
	        "    mx.b.example says: 550 5.1.1 no such user\r\n"
	        "    Check the address for typing errors, or ask the recipient for the right "
	        "one.\r\n"
	        "\r\n"
	        "The message came in on Mon, 02 Mar 2026 07:15:00 +0000.\r\n"
	        "A report for programs, and the message or its header, follow.\r\n"
	        "\r\n"
	        "--=_mm_0cq7nh44uo_1_0\r\n"
	        "Content-Type: message/delivery-status\r\n"
	        "Content-Description: Delivery report\r\n"
	        "Content-Transfer-Encoding: 7bit\r\n"
	        "\r\n"
	        "Original-Envelope-Id: e+3D1\r\n"
	        "Reporting-MTA: dns; mm.test\r\n"
	        "Arrival-Date: Mon, 02 Mar 2026 07:15:00 +0000\r\n"
	        "\r\n"
	        "Original-Recipient: rfc822;Bob+2Bx@b.example\r\n"
	        "Final-Recipient: rfc822; bob@b.example\r\n"
	        "Action: failed\r\n"
	        "Status: 5.1.1\r\n"
	        "Remote-MTA: dns; mx.b.example\r\n"
	        "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
	        "Last-Attempt-Date: Mon, 02 Mar 2026 09:14:59 +0000\r\n"
	        "\r\n"
	        "--=_mm_0cq7nh44uo_1_0\r\n"
	        "Content-Type: text/rfc822-headers\r\n"
	        "Content-Description: The header of your message\r\n"
	        "Content-Transfer-Encoding: 7bit\r\n"
	        "\r\n"
	        "From: Ann <ann@shop.example>\r\n"
	        "Message-ID: <1@shop.example>\r\n"
	        "Subject: one\r\n"
	        "\r\n"
	        "--=_mm_0cq7nh44uo_1_0--\r\n");
	buf_free(&out);
	mail_free(&m);
}

static void other_kinds(void **state)
{
	static const struct dsn_recipient boxed = { "eve@b.example",    NULL,
		                                    DSN_DELIVERED,      "2.1.5",
		                                    "250 2.1.5 stored", "mx.b.example" };
	const struct dsn_recipient r[2] = {
		{ "bob@b.example", NULL, DSN_DELAYED, "4.4.1", "no connection", "mx.b.example" },
		{ "eve@b.example", NULL, DSN_RELAYED, "2.0.0", "250 ok", "" },
	};
	struct mail m = mail_from("ann@shop.example", NULL);
	struct dsn d = dsn_of(&m, r, 2);
	struct buf out;

	(void)state;
	written(&out, &d);
	expect_part(&out, "Subject: Your message is delayed\r\n");
	expect_part(&out, " until\r\nTue, 03 Mar 2026 09:15:00 +0000.\r\n");
	expect_part(&out, "(4.4.1)\r\n    mx.b.example: no connection\r\n");
	expect_part(&out, "Action: delayed\r\nStatus: 4.4.1\r\nRemote-MTA: dns; mx.b.example\r\n"
	                  "Diagnostic-Code: x-mm; no connection\r\n"
	                  "Last-Attempt-Date: Mon, 02 Mar 2026 09:14:59 +0000\r\n"
	                  "Will-Retry-Until: Tue, 03 Mar 2026 09:15:00 +0000\r\n\r\n"
	                  "Final-Recipient: rfc822; eve@b.example\r\nAction: relayed\r\n"
	                  "Status: 2.0.0\r\nDiagnostic-Code: smtp; 250 ok\r\n"
	                  "Last-Attempt-Date: ");
	buf_free(&out);
	d.recipients = r + 1;
	d.recipient_count = 1;
	written(&out, &d);
	expect_part(&out, "Subject: Your message was handed on\r\n");
	assert_int_equal(slice_find(buf_slice(&out), slice_str("Remote-MTA")), SIZE_MAX);
	expect_part(&out, "handed on for the recipients below. You will not be\r\ntold");
	expect_part(&out, "> was handed to a server that sends you no notices (2.0.0)\r\n");
	buf_free(&out);
	d.recipients = &boxed;
	written(&out, &d);
	expect_part(&out, "Subject: Your message was delivered\r\n");
	expect_part(&out, "Your message was delivered to the recipients below.\r\n");
	expect_part(&out, "<eve@b.example> was delivered (2.1.5)\r\n");
	expect_part(&out,
	            "Action: delivered\r\nStatus: 2.1.5\r\nRemote-MTA: dns; mx.b.example\r\n");
	buf_free(&out);
	mail_free(&m);
}

static void a_status_is_one(void **state)
{
	static const struct {
		const char *given;
		enum dsn_kind kind;
		const char *want;
	} cases[] = {
		{ "5.7.1", DSN_FAILED, "5.7.1" },    { "5.100.999", DSN_FAILED, "5.100.999" },
		{ "", DSN_FAILED, "5.0.0" },         { NULL, DSN_DELAYED, "4.0.0" },
		{ "5.7", DSN_FAILED, "5.0.0" },      { "5.7.1\r\nX: y", DSN_FAILED, "5.0.0" },
		{ "3.0.0", DSN_FAILED, "5.0.0" },    { "5.7.1.1", DSN_FAILED, "5.0.0" },
		{ "5..1", DSN_FAILED, "5.0.0" },     { "5.7.", DSN_FAILED, "5.0.0" },
		{ "5.7.1000", DSN_FAILED, "5.0.0" }, { "x", DSN_RELAYED, "2.0.0" },
		{ NULL, DSN_DELIVERED, "2.0.0" },    { "2.1.5", DSN_DELIVERED, "2.1.5" },
	};
	struct mail m = mail_from("ann@shop.example", NULL);

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct dsn_recipient r = { "b@b.example",  NULL, cases[i].kind,
			                         cases[i].given, "",   "" };
		struct dsn d = dsn_of(&m, &r, 1);
		struct buf out;
		char want[64];

		(void)snprintf(want, sizeof(want), "\r\nStatus: %s\r\n", cases[i].want);
		written(&out, &d);
		expect_part(&out, want);
		buf_free(&out);
	}
	mail_free(&m);
}

/* The message itself where it is asked for, fits and is lines of 7 bits; else its header. */
static void what_comes_back(void **state)
{
	static const struct {
		const char *raw;
		const char *want;
	} cases[] = {
		{ MAIL, "message/rfc822\r\nContent-Description: Your message\r\n"
		        "Content-Transfer-Encoding: 7bit\r\n\r\n" MAIL "\r\n--=" },
		{ "A: 1\r\n\r\n\xc3\xb6\r\n",
		  "text/rfc822-headers\r\nContent-Description: The header of your message\r\n"
		  "Content-Transfer-Encoding: 7bit\r\n\r\nA: 1\r\n\r\n--=" },
		{ "A: \xc3\xb6\r\nB: x \r\n\r\n\xc3\xb6\r\n",
		  "text/rfc822-headers\r\nContent-Description: The header of your message\r\n"
		  "Content-Transfer-Encoding: quoted-printable\r\n\r\nA: =C3=B6\r\nB: "
		  "x=20\r\n\r\n--=" },
		{ "A: 1\rB\nC: =\r\n\r\n", "quoted-printable\r\n\r\nA: 1=0DB=0AC: =3D\r\n\r\n--=" },
		{ "A: 1\r\n\r\nb\nc", "7bit\r\n\r\nA: 1\r\n\r\n--=" },
		{ "", "message/rfc822\r\nContent-Description: Your message\r\n"
		      "Content-Transfer-Encoding: 7bit\r\n\r\n\r\n--=" },
		{ "no end", "message/rfc822\r\nContent-Description: Your message\r\n"
		            "Content-Transfer-Encoding: 7bit\r\n\r\nno end\r\n--=" },
	};
	const struct dsn_recipient r = { "b@b.example", NULL, DSN_FAILED, "5.1.1", "", "" };
	struct mail m = mail_from("ann@shop.example", NULL);
	struct dsn d = dsn_of(&m, &r, 1);
	struct buf out;

	(void)state;
	d.full = true;
	for (size_t i = 0; i < COUNT(cases); i++) {
		d.raw = slice_str(cases[i].raw);
		written(&out, &d);
		expect_part(&out, cases[i].want);
		expect_seven_bit(buf_slice(&out), cases[i].raw);
		buf_free(&out);
	}
	mail_free(&m);
}

static void large_ones_are_cut(void **state)
{
	static const char line[] = "A: 0123456789012345678901234567890123456789\r\n";
	const struct dsn_recipient r = { "b@b.example", NULL, DSN_FAILED, "5.1.1", "", "" };
	struct mail m = mail_from("ann@shop.example", NULL);
	struct dsn d = dsn_of(&m, &r, 1);
	struct buf raw, out;

	(void)state;
	d.full = true;
	buf_init(&raw, 1 << 20);
	while (raw.len <= DSN_RETURNED)
		assert_int_equal(buf_add_str(&raw, line), RC_OK);
	d.raw = buf_slice(&raw);
	written(&out, &d);
	expect_part(&out, "text/rfc822-headers");
	assert_true(out.len > DSN_RETURNED - 100 && out.len < DSN_RETURNED + 2500);
	expect_part(&out, "456789\r\n\r\n--=_mm"); /* at the end of a line */
	buf_free(&out);
	memset(raw.at, 'a', raw.len); /* one line */
	written(&out, &d);
	expect_seven_bit(buf_slice(&out), "one line");
	buf_free(&out);
	buf_free(&raw);
	mail_free(&m);
}

/* A message that has our boundary in it. */
static void boundaries(void **state)
{
	const struct dsn_recipient r = { "b@b.example", NULL, DSN_FAILED, "5.1.1", "", "" };
	struct mail m = mail_from("ann@shop.example", NULL);
	struct dsn d = dsn_of(&m, &r, 1);
	struct buf out;

	(void)state;
	d.full = true;
	d.raw = slice_str("A: 1\r\n\r\n--=_mm_0cq7nh44uo_1_0\r\n--=_mm_0cq7nh44uo_1_1--\r\n");
	written(&out, &d);
	expect_part(&out, "boundary=\"=_mm_0cq7nh44uo_1_2\"");
	buf_free(&out);
	mail_free(&m);
}

static void addresses_in_utf8(void **state)
{
	const struct dsn_recipient r = { "j\xc3\xb6rg\\@m\xc3\xbcnchen.example",
		                         "utf-8;j\xc3\xb6rg@b.example",
		                         DSN_FAILED,
		                         "5.1.1",
		                         "550 n\xc3\xb6",
		                         "" };
	struct mail m = mail_from("\xe6\x9d\xb1@b.example", NULL);
	struct dsn d = dsn_of(&m, &r, 1);
	struct buf out;

	(void)state;
	written(&out, &d);
	expect_part(&out, "To: =?UTF-8?B?5p2xQGIuZXhhbXBsZQ==?= :;\r\n");
	expect_part(&out, "Content-Type: text/plain; charset=utf-8\r\n");
	expect_part(&out, "  <j=C3=B6rg\\@m=C3=BCnchen.example> was not delivered (5.1.1)\r\n");
	expect_part(&out, "Original-Recipient: utf-8;j\\x{F6}rg@b.example\r\n"
	                  "Final-Recipient: utf-8; j\\x{F6}rg\\x{5C}@m\\x{FC}nchen.example\r\n");
	expect_part(&out, "Diagnostic-Code: smtp; 550 n??\r\n");
	expect_seven_bit(buf_slice(&out), "utf-8");
	buf_free(&out);
	mail_free(&m);
}

static void a_bounce_of_a_rule(void **state)
{
	static const char action[] =
	        "{'Sender':'postmaster@corp.example','StatusCode':'5.7.1','SmtpReplyCode':'554',"
	        "'DiagnosticMessage':'not here','Message':'Sorry.\\nAsk us.'}";
	const struct dsn_recipient r = { "b@b.example", NULL, DSN_DELAYED, "4.0.0", "x", "y" };
	struct mail m = mail_from("ann@shop.example", NULL);
	struct dsn d = dsn_of(&m, &r, 1);
	json_t *bounce = quoted(action);
	struct buf out;
	struct err e;

	(void)state;
	buf_init(&out, 1 << 20);
	EXPECT_OK(dsn_write_bounce(&d, bounce, &out, &e), &e);
	expect_part(&out, "From: Mail Delivery System <postmaster@corp.example>\r\n");
	expect_part(&out,
	            "Content-Transfer-Encoding: 7bit\r\n\r\nSorry.\r\nAsk us.\r\n\r\n"
	            "  <b@b.example> was not delivered (5.7.1)\r\n    554 5.7.1 not here\r\n");
	expect_part(&out, "Action: failed\r\nStatus: 5.7.1\r\n"
	                  "Diagnostic-Code: smtp; 554 5.7.1 not here\r\nLast-Attempt-Date");
	buf_free(&out);
	json_decref(bounce);
	bounce = quoted("{'Sender':'a@b\\r\\nX: y','StatusCode':'5.7.1','SmtpReplyCode':'554',"
	                "'DiagnosticMessage':'a\\r\\nX: y'}");
	EXPECT_OK(dsn_write_bounce(&d, bounce, &out, &e), &e);
	expect_part(&out, "From: Mail Delivery System <MAILER-DAEMON@mm.test>\r\n");
	expect_part(&out, "Diagnostic-Code: smtp; 554 5.7.1 a??X: y\r\n");
	expect_part(&out, "This is the mail server mm.test.\r\n");
	buf_free(&out);
	json_decref(bounce);
	buf_init(&out, 300);
	assert_int_equal(dsn_write(&d, &out, &e), RC_LIMIT);
	assert_int_equal(out.len, 0);
	buf_free(&out);
	mail_free(&m);
}

/* ---- anything at all ---- */

static const char *const pieces[] = {
	"From: a@shop.example",
	"\r\n",
	"\r\n ",
	":",
	" ",
	"\r",
	"\n",
	"\xc3\xb6",
	"\xff",
	"Status: 2.0.0",
	"Action: relayed",
	"\r\n\r\n",
	"--=_mm_0cq7nh44uo_1_0",
	"Message-ID: <a@b>",
	"@",
	"=",
	"+",
	"\\",
	"Final-Recipient: rfc822; x@y",
	"0123456789012345678901234567890123456789",
	"<",
	">",
	"\"",
	"\x01",
	";",
	"\xe6\x9d\xb1",
	"rfc822",
};

static char *random_text(uint64_t *seed, unsigned most)
{
	struct buf b;
	char *text;

	buf_init(&b, 65536);
	for (unsigned n = (unsigned)(scratch_random(seed) % (most + 1)); n; n--)
		assert_int_equal(buf_add_str(&b, pieces[scratch_random(seed) % COUNT(pieces)]),
		                 RC_OK);
	text = slice_string(buf_slice(&b));
	buf_free(&b);
	return text;
}

/* Lines that begin so. */
static unsigned lines_of(struct slice rest, const char *begin)
{
	unsigned count = 0;

	while (rest.len) {
		count += slice_starts_nocase(rest, slice_str(begin));
		(void)slice_cut(rest, '\n', &rest);
	}
	return count;
}

/* The report: no text of ours or of anybody has the two words that it stands between. */
static struct slice report_of(const struct buf *out)
{
	struct slice all = buf_slice(out);
	struct slice rest =
	        slice_from(all, slice_find(all, slice_str("\nContent-Type: message/delivery-")));

	return slice_part(rest, 0, slice_find(rest, slice_str("\nContent-Type: text/rfc822-")));
}

static void try_one(uint64_t seed)
{
	uint64_t first = seed;
	char *sender = random_text(&seed, 4), *raw = random_text(&seed, 20);
	char *texts[5];
	struct dsn_recipient r = { .kind = (enum dsn_kind)(seed % 3) };
	struct mail m = mail_from(sender, NULL);
	struct dsn d = dsn_of(&m, &r, 1);
	struct raw_message parsed;
	struct buf out;
	char name[40], line[64];

	for (size_t i = 0; i < COUNT(texts); i++)
		texts[i] = random_text(&seed, 8);
	r.address = texts[0];
	r.orcpt = texts[1];
	r.status = texts[2];
	r.diagnostic = texts[3];
	r.remote = texts[4];
	d.raw = slice_str(raw);
	d.full = false;
	d.envid = texts[4];
	(void)snprintf(name, sizeof(name), "seed %llu", (unsigned long long)first);
	written(&out, &d);
	expect_seven_bit(buf_slice(&out), name);
	assert_int_equal(raw_read(&parsed, buf_slice(&out), NULL), RC_OK);
	EXPECT(name, parsed.count == 8 || parsed.count == 10);
	EXPECT(name, lines_of(report_of(&out), "Action: ") == 1);
	EXPECT(name, lines_of(report_of(&out), "Status: ") == 1);
	EXPECT(name, lines_of(report_of(&out), "Final-Recipient: ") == 1);
	EXPECT(name, lines_of(buf_slice(&out), "Date: ") == 1);
	(void)snprintf(line, sizeof(line), "--%.*s", 40,
	               strstr(buf_text(&out), "boundary=\"") + strlen("boundary=\""));
	*strchr(line, '"') = 0;
	EXPECT(name, lines_of(buf_slice(&out), line) == 4);
	raw_free(&parsed);
	buf_free(&out);
	for (size_t i = 0; i < COUNT(texts); i++)
		free(texts[i]);
	free(sender);
	free(raw);
	mail_free(&m);
}

static void nothing_gets_in(void **state)
{
	uint64_t seed = scratch_seed();
	unsigned tries = scratch_long() ? 300000 : 5000;

	(void)state;
	for (unsigned i = 0; i < tries; i++)
		try_one(scratch_random(&seed) | 1);
}

/* ---- dates ---- */

static void dates(void **state)
{
	static const struct {
		int64_t ms;
		const char *want;
	} cases[] = {
		{ 0, "Thu, 01 Jan 1970 00:00:00 +0000" },
		{ -1, "Thu, 01 Jan 1970 00:00:00 +0000" },
		{ INT64_C(951782399999), "Mon, 28 Feb 2000 23:59:59 +0000" },
		{ INT64_C(951782400000), "Tue, 29 Feb 2000 00:00:00 +0000" },
		{ INT64_C(1795914649000), "Sun, 29 Nov 2026 01:10:49 +0000" },
		{ INT64_MAX, "Fri, 31 Dec 9999 23:59:59 +0000" },
	};
	char got[ENCODE_DATE];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		encode_date(got, cases[i].ms);
		assert_string_equal(got, cases[i].want);
	}
}

static void quoted_printable(void **state)
{
	struct buf out;
	char text[200];

	(void)state;
	buf_init(&out, 4096);
	memset(text, 'a', sizeof(text));
	assert_int_equal(encode_quoted(&out, slice_of(text, 80)), RC_OK);
	assert_int_equal(slice_find(buf_slice(&out), slice_str("=\r\n")), 75);
	assert_int_equal(out.len, 83);
	buf_clear(&out);
	memset(text, 0xe9, sizeof(text));
	assert_int_equal(encode_quoted(&out, slice_of(text, 30)), RC_OK);
	assert_int_equal(slice_find(buf_slice(&out), slice_str("=\r\n")), 75);
	buf_clear(&out);
	assert_int_equal(encode_quoted(&out, slice_str("a \r\nb\t\r\n c \rd ")), RC_OK);
	EXPECT_SLICE("blanks", buf_slice(&out), "a=20\r\nb=09\r\n c =0Dd=20");
	buf_free(&out);
}

static void many_recipients_fit(void **state)
{
	unsigned counts[] = { 100, 500, 1000, 2000, 4000 };
	char diag[400];
	(void)state;
	memset(diag, 'x', sizeof(diag));
	memcpy(diag, "550 5.1.1 ", 10);
	diag[399] = 0;
	for (size_t k = 0; k < 5; k++) {
		struct dsn_recipient *l = mem_array(counts[k], sizeof(*l));
		struct mail m = mail_from("a@b.example", NULL);
		struct err e = { 0 };
		struct buf text;
		for (unsigned i = 0; i < counts[k]; i++)
			l[i] = (struct dsn_recipient) { .address = "somebody@a.example",
				                        .kind = DSN_FAILED,
				                        .status = "5.1.1",
				                        .diagnostic = diag,
				                        .remote = "mx.a.example" };
		struct dsn d = { .mail = &m,
			         .raw = slice_str(MAIL),
			         .hostname = "h.example",
			         .now_ms = now,
			         .arrived_ms = now,
			         .tried_ms = now,
			         .recipients = l,
			         .recipient_count = counts[k],
			         .id = "x" };
		buf_init(&text, 1u << 20);
		print_message("%u recipients: %s", counts[k], rc_name(dsn_write(&d, &text, &e)));
		print_message(" code in err %d\n", e.code);
		buf_free(&text);
		free(l);
		mail_free(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_recipients_fit), cmocka_unit_test(who_may_have_one),
		cmocka_unit_test(a_failure),           cmocka_unit_test(other_kinds),
		cmocka_unit_test(a_status_is_one),     cmocka_unit_test(what_comes_back),
		cmocka_unit_test(large_ones_are_cut),  cmocka_unit_test(boundaries),
		cmocka_unit_test(addresses_in_utf8),   cmocka_unit_test(a_bounce_of_a_rule),
		cmocka_unit_test(nothing_gets_in),     cmocka_unit_test(dates),
		cmocka_unit_test(quoted_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
