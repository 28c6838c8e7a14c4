#include "tests/unit/test.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "ingest/parse.h"

/* Sanitizers need more address space than any limit leaves. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NO_MEMORY_LIMIT
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NO_MEMORY_LIMIT
#endif
#endif

static char program[4200];
static struct parse_pool *pool;

static int start(void **state)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	(void)state;
	assert_true(n > 0);
	self[n] = '\0';
	slash = strrchr(self, '/');
	assert_non_null(slash);
	*slash = '\0';
	(void)snprintf(program, sizeof(program), "%s/../bin/mm-parse", self);
	log_init("test", LOG_ERROR); /* the pool tells of each death */
	return 0;
}

static int open_pool(void **state)
{
	struct err e;

	(void)state;
	EXPECT_OK(parse_pool_new(&pool, 2, program, &e), &e);
	return 0;
}

static int close_pool(void **state)
{
	(void)state;
	parse_pool_free(&pool);
	return 0;
}

/* --- mails --- */

struct mails {
	struct parse_job *jobs;
	char **texts;
	size_t count;
};

static void make_mails(struct mails *m, size_t count)
{
	*m = (struct mails) { mem_array(count, sizeof(*m->jobs)), mem_array(count, sizeof(char *)),
		              count };
	for (size_t i = 0; i < count; i++) {
		char text[256];
		int n = snprintf(text, sizeof(text),
		                 "From: a%zu@x.example\r\nSubject: s%zu\r\n\r\nword%zu\r\n", i, i,
		                 i);

		assert_true(n > 0);
		m->texts[i] = mem_string(text);
		m->jobs[i].raw = slice_str(m->texts[i]);
	}
}

static void set_mail(struct mails *m, size_t i, const char *text)
{
	free(m->texts[i]);
	m->texts[i] = mem_string(text);
	m->jobs[i].raw = slice_str(m->texts[i]);
}

static void free_mails(struct mails *m)
{
	for (size_t i = 0; i < m->count; i++) {
		parse_job_free(&m->jobs[i]);
		free(m->texts[i]);
	}
	free(m->texts);
	free(m->jobs);
}

static void expect_good(const struct mails *m, size_t i)
{
	char subject[32];
	const struct parse_job *j = &m->jobs[i];

	(void)snprintf(subject, sizeof(subject), "s%zu", i);
	if (j->outcome != PARSE_OK)
		fail_msg("mail %zu: outcome %d, \"%.*s\"", i, (int)j->outcome,
		         (int)j->parsed.text[PARSED_PROBLEM].len,
		         (const char *)j->parsed.text[PARSED_PROBLEM].at);
	EXPECT_SLICE("subject", j->parsed.text[PARSED_SUBJECT], subject);
}

static void run(struct mails *m)
{
	struct err e;

	EXPECT_OK(parse_begin(pool, m->jobs, m->count, &e), &e);
	EXPECT_OK(parse_wait(pool, &e), &e);
}

/* --- tests --- */

static void test_many(void **state)
{
	struct mails m;

	(void)state;
	for (size_t count = 0; count < 2000; count = count * 3 + 1) {
		make_mails(&m, count);
		run(&m);
		for (size_t i = 0; i < count; i++)
			expect_good(&m, i);
		free_mails(&m);
	}
}

/* Larger than a batch, larger than what is read. */
static void test_large(void **state)
{
	static const size_t sizes[] = { 1000000, 17000000, 70000000 };
	struct mails m;

	(void)state;
	make_mails(&m, COUNT(sizes) + 5);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		char *text = mem_new(sizes[i] + 1);
		static const char front[] = "Subject: large\r\n\r\n";

		memset(text, 'x', sizes[i]);
		memcpy(text, front, sizeof(front) - 1);
		free(m.texts[i]);
		m.texts[i] = text;
		m.jobs[i].raw = slice_of(text, sizes[i]);
	}
	run(&m);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		assert_int_equal(m.jobs[i].outcome, PARSE_OK);
		EXPECT_SLICE("subject", m.jobs[i].parsed.text[PARSED_SUBJECT], "large");
	}
	assert_false(m.jobs[0].parsed.flags & PARSED_NOT_INDEXED);
	assert_true(m.jobs[1].parsed.flags & PARSED_NOT_INDEXED);
	assert_true(slice_starts_nocase(m.jobs[2].parsed.text[PARSED_PROBLEM],
	                                slice_str("not fully parsed: over 64 MiB")));
	for (size_t i = COUNT(sizes); i < m.count; i++)
		expect_good(&m, i);
	free_mails(&m);
}

static void test_no_program(void **state)
{
	struct parse_pool *p = NULL;
	struct err e;

	(void)state;
	assert_int_not_equal(parse_pool_new(&p, 1, "/no/such/program", &e), RC_OK);
	assert_null(p);
	/* One that starts and is no worker. */
	assert_int_equal(parse_pool_new(&p, 1, "/bin/true", &e), RC_IO);
	assert_null(p);
}

/* The recipes that hurt MIME readers, each among good mails. */
static void test_bombs(void **state)
{
	static const struct {
		const char *front;
		const char *unit;
		unsigned count;
		const char *back;
	} recipes[] = {
		{ "To: ", "g:", 2500, "\r\n\r\nneedle\r\n" },
		{ "To: ", "g:", 41000, "\r\n\r\nneedle\r\n" },
		{ "To: ", "g:", 200000, "\r\n\r\nneedle\r\n" },
		{ "Content-Type: message/rfc822\r\n\r\nTo: ", "g:", 200000, "\r\n\r\nneedle\r\n" },
		{ "A: b\r\n", "Content-Type: message/rfc822\r\n\r\n", 100000,
		  "x: y\r\n\r\nneedle\r\n" },
		{ "Content-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\r\n\r\nx\r\n", 1000000,
		  "--b\r\n\r\nneedle\r\n--b--\r\n" },
		{ "Content-Type: multipart/mixed; boundary*=b\r\n\r\n", "--b\r\n\r\nx\r\n", 100000,
		  "--b\r\n\r\nneedle\r\n--b--\r\n" },
		{ "Subject: ", "aaaaaaaaaa", 1000000, "\r\n\r\nneedle\r\n" },
		{ "Subject: ", "=?utf-8?q?a?= ", 1000000, "\r\n\r\nneedle\r\n" },
		{ "Subject: a", "\r\n b", 1000000, "\r\n\r\nneedle\r\n" },
		{ "To: ", "a@b.c,", 500000, "\r\n\r\nneedle\r\n" },
		{ "Content-Type: text/plain; ", "KKKKKKKK", 9, "=\"\xd1\x9c\"\r\n\r\nneedle\r\n" },
		{ "Content-Type: text/plain; charset=", "x", 100000, "\r\n\r\nneedle\r\n" },
		{ "Content-Type: text/html\r\n\r\n", "<div>", 1000000, "needle\r\n" },
	};
	struct mails m;

	(void)state;
#ifdef __SANITIZE_THREAD__
	skip(); /* the worker is built with it too, and ten times slower than its limit of time */
#endif
	make_mails(&m, COUNT(recipes) * 2);
	for (size_t i = 0; i < COUNT(recipes); i++) {
		struct buf b;

		buf_init(&b, 40000000);
		assert_int_equal(buf_add_str(&b, recipes[i].front), RC_OK);
		for (unsigned n = 0; n < recipes[i].count; n++)
			assert_int_equal(buf_add_str(&b, recipes[i].unit), RC_OK);
		assert_int_equal(buf_add_str(&b, recipes[i].back), RC_OK);
		set_mail(&m, i * 2, buf_text(&b));
		buf_free(&b);
	}
	run(&m);
	for (size_t i = 0; i < COUNT(recipes); i++) {
		const struct parse_job *j = &m.jobs[i * 2];

		expect_good(&m, i * 2 + 1);
		assert_int_equal(j->outcome, PARSE_OK);
		EXPECT(recipes[i].unit,
		       slice_find(j->parsed.text[PARSED_BODY], slice_str("needle")) != SIZE_MAX);
	}
	free_mails(&m);
}

#ifdef MM_TEST
/* --- builds whose worker obeys "X-MM-Test" --- */

static void test_killed_in_the_middle(void **state)
{
	struct parse_totals before, after;
	struct mails m;
	struct err e;

	(void)state;
	for (unsigned round = 0; round < 6; round++) {
		parse_count(pool, &before);
		make_mails(&m, 600);
		EXPECT_OK(parse_begin(pool, m.jobs, m.count, &e), &e);
		assert_int_equal(kill(parse_worker_pid(pool, round % 2), SIGKILL), 0);
		EXPECT_OK(parse_wait(pool, &e), &e);
		for (size_t i = 0; i < m.count; i++)
			expect_good(&m, i);
		free_mails(&m);
		/* Idle. */
		assert_int_equal(kill(parse_worker_pid(pool, round % 2), SIGKILL), 0);
		make_mails(&m, 10);
		run(&m);
		for (size_t i = 0; i < m.count; i++)
			expect_good(&m, i);
		free_mails(&m);
		parse_count(pool, &after);
		assert_true(after.restarts > before.restarts);
		assert_int_equal(after.died, before.died);
	}
}

static void test_killers(void **state)
{
	static const struct {
		size_t at;
		const char *mail;
		enum parse_outcome outcome;
		const char *problem;
		const char *subject;
	} killers[] = {
		{ 3, "X-MM-Test: crash\r\nSubject: found\r\n\r\nx", PARSE_DIED, "the reader died",
		  "found" },
		{ 17, "X-MM-Test: crash-always\r\nSubject: lost\r\n\r\nx", PARSE_DIED,
		  "the reader died", "" },
		{ 18, "X-MM-Test: spin\r\nSubject: found\r\n\r\nx", PARSE_TIMEOUT, "took too long",
		  "found" },
#ifndef NO_MEMORY_LIMIT
		{ 40, "X-MM-Test: eat\r\nSubject: found\r\n\r\nx", PARSE_DIED, "the reader died",
		  "found" },
#endif
	};
	struct parse_totals totals;
	struct mails m;

	(void)state;
	make_mails(&m, 50);
	for (size_t i = 0; i < COUNT(killers); i++)
		set_mail(&m, killers[i].at, killers[i].mail);
	run(&m);
	for (size_t i = 0; i < m.count; i++) {
		bool killer = false;

		for (size_t k = 0; k < COUNT(killers); k++)
			killer = killer || killers[k].at == i;
		if (!killer)
			expect_good(&m, i);
	}
	for (size_t k = 0; k < COUNT(killers); k++) {
		const struct parse_job *j = &m.jobs[killers[k].at];

		EXPECT(killers[k].mail, j->outcome == killers[k].outcome);
		EXPECT(killers[k].mail, slice_contains_nocase(j->parsed.text[PARSED_PROBLEM],
		                                              slice_str(killers[k].problem)));
		EXPECT(killers[k].mail, j->parsed.flags & PARSED_NOT_INDEXED);
		EXPECT_SLICE(killers[k].mail, j->parsed.text[PARSED_SUBJECT], killers[k].subject);
	}
	parse_count(pool, &totals);
	assert_int_equal(totals.messages, 50);
	assert_int_equal(totals.timeouts, 1);
	assert_int_equal(totals.died, COUNT(killers) - 1);
	free_mails(&m);
}

static atomic_bool busy;

static void tell_workers(int what)
{
	for (unsigned i = 0; i < 2 && parse_worker_pid(pool, i) > 0; i++)
		(void)kill(parse_worker_pid(pool, i), what);
}

/* Both workers run for 30 ms in 230, as they would on a machine that others keep busy. */
static void *machine(void *arg)
{
	while (atomic_load(&busy)) {
		tell_workers(SIGSTOP);
		clock_sleep_ms(200);
		tell_workers(SIGCONT);
		clock_sleep_ms(30);
	}
	return arg;
}

static void run_on_busy_machine(struct mails *m, const struct parse_limits *limits)
{
	pthread_t thread;

	parse_set_limits(pool, limits);
	atomic_store(&busy, true);
	assert_int_equal(pthread_create(&thread, NULL, machine, NULL), 0);
	run(m);
	atomic_store(&busy, false);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* Little time is not standing still. */
static void test_busy_machine(void **state)
{
	static const struct parse_limits patient = { 100, 3000, 300000 };
	static const struct parse_limits strict = { 100, 300000, 1000 };
	static const char slow[] = "X-MM-Test: slow\r\nSubject: found\r\n\r\nx";
	struct mails m;

	(void)state;
	make_mails(&m, 2);
	set_mail(&m, 0, slow);
	run_on_busy_machine(&m, &patient);
	assert_int_equal(m.jobs[0].outcome, PARSE_OK);
	EXPECT_SLICE(slow, m.jobs[0].parsed.text[PARSED_SUBJECT], "found");
	expect_good(&m, 1);
	free_mails(&m);
	make_mails(&m, 2);
	set_mail(&m, 0, slow);
	run_on_busy_machine(&m, &strict);
	assert_int_not_equal(m.jobs[0].outcome, PARSE_OK);
	free_mails(&m);
}

/* Those that are there when it begins: one that is stopped while it starts is waited for, for
 * minutes. */
static void test_stands_still(void **state)
{
	static const struct parse_limits limits = { 100, 1000, 300000 };
	struct parse_totals totals;
	struct mails m;

	(void)state;
	make_mails(&m, 1);
	set_mail(&m, 0, "X-MM-Test: slow\r\nSubject: found\r\n\r\nx");
	parse_set_limits(pool, &limits);
	tell_workers(SIGSTOP);
	run(&m);
	parse_count(pool, &totals);
	assert_true(totals.restarts > 0);
	free_mails(&m);
}
#endif

/* --- real mail: MM_CORPUS names a folder --- */

static struct buf corpus_text[512];
static struct parse_job corpus_jobs[512];
static char *corpus_names[512];
static size_t corpus_count;
static size_t corpus_total;

static bool has_word(const struct parsed *p, struct slice word)
{
	for (size_t i = 0; i < PARSED_TEXTS; i++)
		if (slice_find(p->text[i], word) != SIZE_MAX)
			return true;
	return false;
}

/* The made-up hostile mails carry words that begin with "needle" where a reader must look. */
static void expect_needles(size_t i)
{
	struct slice raw = corpus_jobs[i].raw;

	if (!strstr(corpus_names[i], "synthetic-hostile") || strstr(corpus_names[i], "html-only"))
		return; /* html-only has them in comments, scripts and styles */
	for (;;) {
		size_t at = slice_find(raw, slice_str("needle"));
		size_t n = 6;

		if (at == SIZE_MAX)
			return;
		raw = slice_from(raw, at);
		while (n < raw.len && ((raw.at[n] >= 'a' && raw.at[n] <= 'z') ||
		                       (raw.at[n] >= '0' && raw.at[n] <= '9')))
			n++;
		if (!has_word(&corpus_jobs[i].parsed, slice_part(raw, 0, n)))
			fail_msg("%s: %.*s isn't found", corpus_names[i], (int)n,
			         (const char *)raw.at);
		raw = slice_from(raw, n);
	}
}

static void run_corpus(void)
{
	struct err e;

	EXPECT_OK(parse_begin(pool, corpus_jobs, corpus_count, &e), &e);
	EXPECT_OK(parse_wait(pool, &e), &e);
	for (size_t i = 0; i < corpus_count; i++) {
		if (corpus_jobs[i].outcome != PARSE_OK)
			fail_msg("%s: outcome %d", corpus_names[i], (int)corpus_jobs[i].outcome);
		expect_needles(i);
		parse_job_free(&corpus_jobs[i]);
		buf_free(&corpus_text[i]);
		free(corpus_names[i]);
	}
	corpus_total += corpus_count;
	corpus_count = 0;
}

static int take_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type != FTW_F)
		return 0;
	buf_init(&corpus_text[corpus_count], 67108864);
	if (file_read_all(path, &corpus_text[corpus_count], NULL) != RC_OK)
		return 0;
	corpus_jobs[corpus_count].raw = buf_slice(&corpus_text[corpus_count]);
	corpus_names[corpus_count++] = mem_string(path);
	if (corpus_count == COUNT(corpus_jobs))
		run_corpus();
	return 0;
}

static void test_corpus(void **state)
{
	const char *folder = getenv("MM_CORPUS");
	struct parse_totals totals;

	(void)state;
	if (!folder) {
		print_message("skipped: MM_CORPUS names no folder of mails\n");
		return;
	}
	assert_int_equal(nftw(folder, take_file, 16, FTW_PHYS), 0);
	run_corpus();
	parse_count(pool, &totals);
	print_message("%zu files read\n", corpus_total);
	assert_true(corpus_total > 0);
	assert_int_equal(totals.restarts, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_program),
		cmocka_unit_test_setup_teardown(test_many, open_pool, close_pool),
		cmocka_unit_test_setup_teardown(test_large, open_pool, close_pool),
		cmocka_unit_test_setup_teardown(test_bombs, open_pool, close_pool),
#ifdef MM_TEST
		cmocka_unit_test_setup_teardown(test_killed_in_the_middle, open_pool, close_pool),
		cmocka_unit_test_setup_teardown(test_killers, open_pool, close_pool),
		cmocka_unit_test_setup_teardown(test_busy_machine, open_pool, close_pool),
		cmocka_unit_test_setup_teardown(test_stands_still, open_pool, close_pool),
#endif
		cmocka_unit_test_setup_teardown(test_corpus, open_pool, close_pool),
	};

#ifndef MM_TEST
	print_message("skipped: what needs a worker of a test build\n");
#endif
	return cmocka_run_group_tests(tests, start, NULL);
}
