/* tests/unit/query/test_export.c - packages: what goes in comes out, and every change is seen */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "query/export.h"
#include "query/text.h"
#include "store/crypt.h"
#include "tests/unit/fault.h"

static const struct message {
	const char *name;
	const char *bytes;
	size_t len; /* 0: of the string */
} messages[] = {
	{ "plain", "Subject: a\r\n\r\nhello\r\n", 0 },
	{ "empty", "", 0 },
	{ "no line end", "Subject: a\r\n\r\nhello", 0 },
	{ "LF", "Subject: a\n\nhello\n", 0 },
	{ "bare CR", "a\r\rb\rFrom x\r", 0 },
	{ "NUL", "a\0b\r\n\0", 6 },
	{ "ends in empty lines", "a\r\n\r\n\r\n\n\n", 0 },
	{ "only LF", "\n", 0 },
	{ "only CR", "\r", 0 },
	{ "From x", "From x", 0 },
	{ "From", "From ", 0 },
	{ ">>From", ">>From x", 0 },
	{ "From tab", "From\tx", 0 },
	{ "blank From", " From x", 0 },
	{ "From:", "From: x", 0 },
	{ "second line From", "\r\nFrom x", 0 },
	{ "From with date", "From x@y Thu Jan  1 00:00:00 2026", 0 },
	{ "many", "a\nFrom b\n>From c\n>>>From d\nFrom e\r\nx From f\n>\n>Fro\nFrom", 0 },
};

static struct slice bytes_of(size_t i)
{
	return slice_of(messages[i].bytes,
	                messages[i].len ? messages[i].len : strlen(messages[i].bytes));
}

/* ---- a package ---- */

struct box {
	char root[64];
	char dir[80];
};

static void box_make(struct box *b)
{
	(void)snprintf(b->root, sizeof(b->root), "/tmp/mm-test-export-XXXXXX");
	assert_non_null(mkdtemp(b->root));
	(void)snprintf(b->dir, sizeof(b->dir), "%s/out", b->root);
	crypt_init();
}

static enum rc remove_one(void *arg, const char *name, struct err *e)
{
	char *path = path_join(arg, name);

	if (dir_exists(path)) {
		(void)!dir_list(path, remove_one, path, e);
		(void)rmdir(path);
	} else {
		(void)!file_remove(path, e);
	}
	free(path);
	return RC_OK;
}

static void box_remove(struct box *b)
{
	struct err e;

	(void)!dir_list(b->root, remove_one, b->root, &e);
	(void)rmdir(b->root);
}

static const struct export_info info = {
	.who = "uid 1000",
	.when_ms = 1700000000000,
	.archive = "corp",
	.query = "from:ann",
	.canonical = "from:ann",
	.low = INT64_MIN,
	.high = INT64_MAX,
	.version = "test",
};

static struct index_row row_of(size_t n, struct slice raw)
{
	uint8_t random[8] = { (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16) };
	struct index_row row = { .received_ms = 1700000000000 + (int64_t)n, .bytes = raw.len };

	row.id = id_make(row.received_ms, (uint32_t)n, random);
	row.subject = slice_str("=1+1");
	row.envelope_from = slice_str("a@b.example");
	row.envelope_to = slice_str("c@d.example\ne@f.example");
	sha256(row.sha256, raw);
	return row;
}

static void add(struct export *x, size_t n, struct slice raw)
{
	struct index_row row = row_of(n, raw);
	struct err e = { 0 };

	EXPECT_OK(export_add(x, &row, raw, &e), &e);
}

static void make_package(struct box *b, enum export_kind kind)
{
	struct export_counts counts;
	struct export *x;
	struct err e = { 0 };

	box_make(b);
	EXPECT_OK(export_open(&x, b->dir, kind, &info, &e), &e);
	for (size_t i = 0; i < COUNT(messages); i++)
		add(x, i, bytes_of(i));
	EXPECT_OK(export_close(&x, &counts, &e), &e);
	assert_null(x);
	assert_int_equal(counts.found, COUNT(messages));
	assert_int_equal(counts.exported, COUNT(messages));
	assert_int_equal(counts.failed, 0);
}

/* ---- looking ---- */

struct problems {
	unsigned count;
	char last[400];
	char all[4000];
};

static void on_problem(void *arg, const char *path, const char *what)
{
	struct problems *p = arg;
	size_t used = strlen(p->all);

	p->count++;
	(void)snprintf(p->last, sizeof(p->last), "%s %s", path, what);
	(void)snprintf(p->all + used, sizeof(p->all) - used, "%s %s\n", path, what);
}

static struct problems look(const struct box *b, struct export_report *out)
{
	struct problems p = { 0 };
	struct err e = { 0 };

	EXPECT_OK(export_verify(b->dir, on_problem, &p, out, &e), &e);
	assert_int_equal(p.count, out->problems);
	return p;
}

static void read_file(const struct box *b, const char *name, struct buf *out)
{
	char *path = path_join(b->dir, name);
	struct err e = { 0 };

	buf_init(out, 64 << 20);
	EXPECT_OK(file_read_all(path, out, &e), &e);
	free(path);
}

static int shell(const struct box *b, const char *command)
{
	char line[1024];

	(void)snprintf(line, sizeof(line), "cd %s && %s", b->dir, command);
	return system(line);
}

static const char *eml_name(size_t n, char out[64])
{
	struct index_row row = row_of(n, bytes_of(n % COUNT(messages)));
	char id[ID_TEXT + 1];

	id_format(id, &row.id);
	(void)snprintf(out, 64, "native/0001/%s.eml", id);
	return out;
}

/* ---- tests ---- */

static void eml_is_exact(void **state)
{
	struct export_report report;
	struct box b;

	(void)state;
	make_package(&b, EXPORT_EML);
	for (size_t i = 0; i < COUNT(messages); i++) {
		char name[64];
		struct buf got;

		read_file(&b, eml_name(i, name), &got);
		EXPECT(messages[i].name, slice_equal(buf_slice(&got), bytes_of(i)));
		buf_free(&got);
	}
	struct problems p = look(&b, &report);

	assert_string_equal(p.all, "");
	assert_int_equal(report.messages, COUNT(messages));
	assert_int_equal(report.good, COUNT(messages));
	assert_int_equal(shell(&b, "sha256sum --quiet -c SHA256SUMS"), 0);
	box_remove(&b);
}

static void mbox_is_exact(void **state)
{
	struct export_report report;
	struct box b;

	(void)state;
	make_package(&b, EXPORT_MBOX);
	struct problems p = look(&b, &report);

	assert_string_equal(p.all, "");
	assert_int_equal(report.good, COUNT(messages));
	assert_int_equal(shell(&b, "sha256sum --quiet -c SHA256SUMS"), 0);
	/* The program of README.txt, by an interpreter that knows nothing of us. */
	assert_int_equal(shell(&b, "sed '1,/In Python:/d; s/^    //' README.txt >../p.py && "
	                           "python3 ../p.py"),
	                 0);
	/* An independent reader counts as many messages. */
	assert_int_equal(shell(&b, "python3 -c \"import mailbox,sys;"
	                           "sys.exit(len(mailbox.mbox('native/mail.mbox'))!=18)\""),
	                 0);
	box_remove(&b);
}

static void quoting_round_trips(void **state)
{
	static const char parts[][8] = { "\n", "\r\n", ">", "From ", "From", "x", "\r", "" };
	unsigned seed = 20240611;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		struct buf raw, stored, back;

		buf_init(&raw, 4096);
		buf_init(&stored, 8192);
		buf_init(&back, 8192);
		for (unsigned n = round % 24; n; n--) {
			seed = seed * 1103515245u + 12345u;
			assert_int_equal(buf_add_str(&raw, parts[seed >> 16 & 7]), RC_OK);
		}
		assert_int_equal(mbox_quote(buf_slice(&raw), &stored), RC_OK);
		assert_int_equal(mbox_unquote(buf_slice(&stored), &back), RC_OK);
		if (!slice_equal(buf_slice(&raw), buf_slice(&back)))
			fail_msg("seed 20240611, round %u: %s", round, buf_text(&raw));
		/* No line of it can be taken for the beginning of a message. */
		EXPECT(buf_text(&raw),
		       slice_find(buf_slice(&stored), slice_str("\nFrom ")) == SIZE_MAX);
		buf_free(&raw);
		buf_free(&stored);
		buf_free(&back);
	}
}

static void large_messages(void **state)
{
	struct export_report report;
	struct err e = { 0 };
	size_t len = 3 << 20;
	uint8_t *big = mem_new(len);

	(void)state;
	for (size_t i = 0; i < len; i++)
		big[i] = (uint8_t)(i % 97 == 0 ? '\n' : i * 7);
	for (size_t i = 98; i + 5 < len; i += 970)
		memcpy(big + i, "From ", 5);
	for (int kind = 0; kind < 2; kind++) {
		struct export *x;
		struct box b;

		box_make(&b);
		EXPECT_OK(export_open(&x, b.dir, (enum export_kind)kind, &info, &e), &e);
		add(x, 1, slice_of(big, len));
		add(x, 2, slice_str("small\r\n"));
		EXPECT_OK(export_close(&x, NULL, &e), &e);
		struct problems p = look(&b, &report);

		assert_string_equal(p.all, "");
		assert_int_equal(report.good, 2);
		box_remove(&b);
	}
	free(big);
}

static void thousand_a_folder(void **state)
{
	struct export_report report;
	struct err e = { 0 };
	struct export *x;
	struct box b;

	(void)state;
	box_make(&b);
	EXPECT_OK(export_open(&x, b.dir, EXPORT_EML, &info, &e), &e);
	for (size_t i = 0; i < 1001; i++)
		add(x, i, slice_str("x\r\n"));
	EXPECT_OK(export_close(&x, NULL, &e), &e);
	assert_int_equal(shell(&b, "test $(ls native/0001 | wc -l) = 1000 -a "
	                           "$(ls native/0002 | wc -l) = 1"),
	                 0);
	(void)look(&b, &report);
	assert_int_equal(report.good, 1001);
	assert_int_equal(report.problems, 0);
	box_remove(&b);
}

static void failures_are_listed(void **state)
{
	struct export_counts counts;
	struct export_report report;
	struct err e = { 0 };
	struct export *x;
	struct buf csv;
	struct box b;
	struct index_row row = row_of(1, slice_str("x"));
	struct index_row twice = row_of(2, slice_str("y"));

	(void)state;
	box_make(&b);
	EXPECT_OK(export_open(&x, b.dir, EXPORT_EML, &info, &e), &e);
	/* Other bytes than were received. */
	EXPECT_OK(export_add(x, &row, slice_str("X"), &e), &e);
	EXPECT_OK(export_fail(x, &row.id, "read", "=damaged, \"block\"\nof two lines", &e), &e);
	EXPECT_OK(export_add(x, &twice, slice_str("y"), &e), &e);
	EXPECT_OK(export_add(x, &twice, slice_str("y"), &e), &e);
	EXPECT_OK(export_close(&x, &counts, &e), &e);
	assert_int_equal(counts.found, 4);
	assert_int_equal(counts.exported, 1);
	assert_int_equal(counts.failed, 3);
	read_file(&b, "failures.csv", &csv);
	assert_non_null(strstr(buf_text(&csv), ",verify,"));
	assert_non_null(strstr(buf_text(&csv), ",write,"));
	assert_non_null(
	        strstr(buf_text(&csv), ",read,\"'=damaged, \"\"block\"\"\nof two lines\"\r\n"));
	buf_free(&csv);
	struct problems p = look(&b, &report);

	assert_string_equal(p.all, "");
	assert_int_equal(report.failures, 3);
	box_remove(&b);
}

static void empty_package(void **state)
{
	struct export_report report;
	struct err e = { 0 };
	struct export *x;
	struct buf csv;
	struct box b;

	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		box_make(&b);
		EXPECT_OK(export_open(&x, b.dir, (enum export_kind)kind, &info, &e), &e);
		EXPECT_OK(export_close(&x, NULL, &e), &e);
		read_file(&b, "failures.csv", &csv);
		EXPECT_SLICE("head", buf_slice(&csv), "id,stage,reason\r\n");
		buf_free(&csv);
		struct problems p = look(&b, &report);

		assert_string_equal(p.all, "");
		assert_int_equal(report.messages, 0);
		box_remove(&b);
	}
}

static void folder_must_be_empty(void **state)
{
	struct export *x;
	struct err e = { 0 };
	struct box b;

	(void)state;
	make_package(&b, EXPORT_EML);
	assert_int_equal(export_open(&x, b.dir, EXPORT_EML, &info, &e), RC_EXISTS);
	assert_null(x);
	box_remove(&b);
}

static void unfinished_has_no_manifest(void **state)
{
	struct export_report report;
	struct err e = { 0 };
	struct export *x;
	struct box b;

	(void)state;
	box_make(&b);
	EXPECT_OK(export_open(&x, b.dir, EXPORT_EML, &info, &e), &e);
	add(x, 1, slice_str("x"));
	export_abort(&x);
	assert_null(x);
	assert_int_not_equal(shell(&b, "test -e manifest.jsonl"), 0);
	struct problems p = look(&b, &report);

	assert_non_null(strstr(p.all, "manifest.jsonl is missing"));
	assert_non_null(strstr(p.all, "native/0001/"));
	box_remove(&b);
	assert_int_equal(export_verify("/nonexistent/x", on_problem, &p, &report, &e), RC_NOTFOUND);
}

/* Every way to spoil a package, and a word of the complaint. */
static enum rc export_few(struct box *b, enum export_kind kind, struct export_counts *counts)
{
	const struct message_id lost = { { 1 } };
	struct export *x;
	struct err e = { 0 };
	enum rc rc = export_open(&x, b->dir, kind, &info, &e);

	for (size_t i = 0; rc == RC_OK && i < 3; i++) {
		struct index_row row = row_of(i, bytes_of(i));

		rc = export_add(x, &row, bytes_of(i), &e);
	}
	if (rc == RC_OK)
		rc = export_fail(x, &lost, "read", "a block is damaged", &e);
	if (rc == RC_OK)
		return export_close(&x, counts, &e);
	export_abort(&x);
	return rc;
}

/* Every call fails once: the export says so, and has no manifest, or has all. Only opening and
 * syncing the folder come behind the manifest's name. */
static void export_fails(enum export_kind kind)
{
	bool hit = true;
	unsigned named = 0;
	unsigned n;

	for (n = 1; hit; n++) {
		struct export_counts counts = { 0 };
		struct export_report report;
		struct box b;
		char *manifest;
		enum rc rc;

		box_make(&b);
		manifest = path_join(b.dir, "manifest.jsonl");
		fault_arm(FAULT_CHANGE, n, EIO, false);
		rc = export_few(&b, kind, &counts);
		hit = fault_disarm();
		assert_int_equal(rc, hit ? RC_IO : RC_OK);
		if (access(manifest, F_OK) == 0) {
			named++;
			assert_int_equal(look(&b, &report).count, 0);
			assert_int_equal(report.good, 3);
			assert_int_equal(report.failures, 1);
		}
		assert_true(hit || (counts.exported == 3 && counts.failed == 1));
		free(manifest);
		box_remove(&b);
	}
	assert_true(n > 20);
	assert_int_equal(named, 2 + 1);
}

static void calls_fail(void **state)
{
	(void)state;
	export_fails(EXPORT_EML);
	export_fails(EXPORT_MBOX);
}

static const struct damage {
	const char *name;
	enum export_kind kind;
	const char *command; /* %s: a file of native/ */
	const char *complaint;
} damages[] = {
	{ "missing message", EXPORT_EML, "rm $f", "is missing" },
	{ "longer message", EXPORT_EML, "printf x >>$f", "has 22 bytes, the manifest says 21" },
	{ "flipped byte", EXPORT_EML, "printf X | dd of=$f conv=notrunc status=none",
	  "another sha256" },
	{ "extra file", EXPORT_EML, "touch native/0001/x.eml", "does not belong" },
	{ "extra folder", EXPORT_EML, "mkdir x", "does not belong" },
	{ "extra hidden file", EXPORT_EML, "touch native/.x", "does not belong" },
	{ "link", EXPORT_EML, "mv native ../n && ln -s ../n native", "does not belong" },
	{ "manifest cut in a line", EXPORT_EML, "truncate -s -30 manifest.jsonl",
	  "last line is cut" },
	{ "manifest cut by a line", EXPORT_EML, "sed -i '$d' manifest.jsonl",
	  "manifest.jsonl has another sha256" },
	{ "line twice", EXPORT_EML, "sed -i '1p' manifest.jsonl", "twice" },
	{ "line and its file cut", EXPORT_EML,
	  "sed -i 1d manifest.jsonl && rm $f && sed -i 1d SHA256SUMS && h=$(sha256sum "
	  "manifest.jsonl) && sed -i \"s/.*manifest.jsonl/$h/\" SHA256SUMS",
	  "counts 18 found" },
	{ "path outside", EXPORT_EML, "sed -i '1s:native/:../native/:' manifest.jsonl",
	  "can't be read" },
	{ "failure wiped", EXPORT_EML, "printf 'id,stage,reason\\r\\nx,y,z\\r\\n' >failures.csv",
	  "failures.csv has another sha256" },
	{ "no failures.csv", EXPORT_EML, "rm failures.csv", "failures.csv can't be read" },
	{ "no sums", EXPORT_EML, "rm SHA256SUMS", "SHA256SUMS is missing" },
	{ "a sum taken out", EXPORT_EML, "sed -i '/README/d' SHA256SUMS", "is not in SHA256SUMS" },
	{ "custody changed", EXPORT_EML, "sed -i s/1000/1001/ custody.json",
	  "custody.json has another" },
	{ "mbox byte", EXPORT_MBOX, "sed -i '0,/hello/s//hallo/' native/mail.mbox",
	  "has other bytes" },
	{ "mbox cut", EXPORT_MBOX, "truncate -s -30 native/mail.mbox", "ends before" },
	{ "mbox between messages", EXPORT_MBOX,
	  "sed -i '0,/^From a@b/s//From z@b/' native/mail.mbox", "mail.mbox has another sha256" },
	{ "mbox gone", EXPORT_MBOX, "rm native/mail.mbox", "open" },
};

static void damage_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(damages); i++) {
		struct export_report report;
		char command[600];
		char name[64];
		struct box b;

		make_package(&b, damages[i].kind);
		(void)snprintf(command, sizeof(command), "f=%s; %s", eml_name(0, name),
		               damages[i].command);
		EXPECT(damages[i].name, shell(&b, command) == 0);
		struct problems p = look(&b, &report);

		if (!strstr(p.all, damages[i].complaint))
			fail_msg("%s: no \"%s\" in:\n%s", damages[i].name, damages[i].complaint,
			         p.all);
		box_remove(&b);
	}
}

static void custody_says_who_and_what(void **state)
{
	struct export_info full = info;
	struct err e = { 0 };
	struct export *x;
	struct buf text;
	struct box b;

	(void)state;
	full.low = 1704067200000;
	full.high = 1706745600000;
	full.case_name = "case \x1b 7";
	full.has_audit_head = true;
	full.audit_head.entries = 42;
	memset(full.audit_head.hash, 0xab, 32);
	box_make(&b);
	EXPECT_OK(export_open(&x, b.dir, EXPORT_EML, &full, &e), &e);
	add(x, 1, slice_str("x"));
	EXPECT_OK(export_close(&x, NULL, &e), &e);
	read_file(&b, "custody.json", &text);
	static const char *const parts[] = {
		"\"who\": \"uid 1000\"",
		"\"when\": \"2023-11-14T22:13:20.000Z\"",
		"\"query\": \"from:ann\"",
		"\"received_from\": \"2024-01-01T00:00:00.000Z\"",
		"\"received_before\": \"2024-02-01T00:00:00.000Z\"",
		"\"entries\": 42",
		"\"hash\": \"abab",
		"\"found\": 1",
		"\"archive\": \"corp\"",
		"\\u001B",
	};

	for (size_t i = 0; i < COUNT(parts); i++)
		EXPECT(parts[i], strstr(buf_text(&text), parts[i]));
	buf_free(&text);
	read_file(&b, "manifest.jsonl", &text);
	EXPECT("envelope", strstr(buf_text(&text), "\"envelope_to\":[\"c@d.example\","
	                                           "\"e@f.example\"]"));
	buf_free(&text);
	read_file(&b, "index.csv", &text);
	EXPECT("no formula", strstr(buf_text(&text), ",'=1+1,"));
	buf_free(&text);
	box_remove(&b);
}

static void csv_cells(void **state)
{
	static const struct {
		const char *cell;
		size_t len;
		const char *want;
	} cases[] = {
		{ "=1+1", 0, "'=1+1" },
		{ "+1", 0, "'+1" },
		{ "-1", 0, "'-1" },
		{ "@SUM(1)", 0, "'@SUM(1)" },
		{ "\tx", 0, "'\tx" },
		{ "\rx", 0, "\"'\rx\"" },
		{ "\0=1", 3, "'\xef\xbf\xbd=1" },
		{ "=HYPERLINK(\"http://x.invalid\",\"a\")", 0,
		  "\"'=HYPERLINK(\"\"http://x.invalid\"\",\"\"a\"\")\"" },
		{ "\"=1\"", 0, "\"\"\"=1\"\"\"" },
		{ ",=1", 0, "\",=1\"" },
		{ "\xef\xbc\x9d"
		  "1",
		  0,
		  "'\xef\xbc\x9d"
		  "1" },
		{ "a,\"b\"", 0, "\"a,\"\"b\"\"\"" },
		{ "plain", 0, "plain" },
		{ "", 0, "" },
		{ "a\xff", 0, "a\xef\xbf\xbd" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t len = cases[i].len ? cases[i].len : strlen(cases[i].cell);
		struct buf out;

		buf_init(&out, 1000);
		assert_int_equal(csv_cell(slice_of(cases[i].cell, len), &out), RC_OK);
		EXPECT_SLICE(cases[i].cell, buf_slice(&out), cases[i].want);
		buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eml_is_exact),
		cmocka_unit_test(mbox_is_exact),
		cmocka_unit_test(quoting_round_trips),
		cmocka_unit_test(large_messages),
		cmocka_unit_test(thousand_a_folder),
		cmocka_unit_test(failures_are_listed),
		cmocka_unit_test(empty_package),
		cmocka_unit_test(folder_must_be_empty),
		cmocka_unit_test(unfinished_has_no_manifest),
		cmocka_unit_test(calls_fail),
		cmocka_unit_test(damage_is_found),
		cmocka_unit_test(custody_says_who_and_what),
		cmocka_unit_test(csv_cells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
