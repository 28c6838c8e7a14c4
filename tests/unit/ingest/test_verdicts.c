#include "tests/unit/test.h"

#include <dirent.h>
#include <signal.h>

#include "base/clock.h"
#include "base/home.h"
#include "base/log.h"
#include "ingest/verdicts.h"
#include "tests/unit/verdict/dns_server.h"

static char program[4200];
static struct dns_server server;
static struct loop *loop;
static struct home *home;
static struct verdicts *verdicts;
static struct loop_timer *patience;

static void on_woken(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

static void on_patience(void *arg)
{
	(void)arg;
	fail_msg("no verdict within a minute");
}

/* ---- the program that is tested ---- */

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
	(void)snprintf(program, sizeof(program), "%s/../bin/mm-verdict", self);
	log_init("test", LOG_ERROR); /* each death is told of */
	return 0;
}

static int open_with(int64_t deadline_ms, const char *forward)
{
	json_t *dns = json_object();
	struct verdicts_options o = { .deadline_ms = deadline_ms, .receiver = "mm.example" };
	struct err e;

	json_put_text(dns, "forward", slice_str(forward));
	EXPECT_OK(verdicts_home_start(&home, dns, program, &e), &e);
	json_decref(dns);
	loop = loop_new();
	patience = loop_timer_new(loop, on_patience, NULL);
	loop_timer_set(patience, 60000);
	o.loop = loop;
	o.home = home;
	o.woken = on_woken;
	verdicts = verdicts_new(&o);
	return 0;
}

static int begin(void **state)
{
	(void)state;
	dns_server_start(&server);
	return open_with(20000, server.forward);
}

static int begin_short(void **state)
{
	(void)state;
	dns_server_start(&server);
	return open_with(1000, server.forward);
}

static int end(void **state)
{
	(void)state;
	verdicts_free(&verdicts);
	loop_timer_free(&patience);
	loop_free(&loop);
	home_stop(&home);
	dns_server_stop(&server);
	return 0;
}

/* ---- messages ---- */

#define MOST 400

struct sent {
	uint64_t number;
	char text[256];
	json_t *said;
};

static struct sent sent[MOST];
static size_t sent_count;
static json_t *receipt;

static struct sent *ask_as(const char *mail_from, const char *text)
{
	struct sent *s = &sent[sent_count++];
	struct mail m = { .received_ms = 1700000000000,
		          .ip = slice_str("192.0.2.1"),
		          .helo = slice_str("mail.example"),
		          .mail_from = slice_str(mail_from),
		          .json = receipt };

	(void)snprintf(s->text, sizeof(s->text), "%s", text);
	s->number = verdicts_ask(verdicts, &m, slice_str(s->text));
	assert_true(s->number > 0);
	return s;
}

static struct sent *ask(const char *mail_from)
{
	return ask_as(mail_from, "From: a@spf.one.example\r\n\r\nbody\r\n");
}

static struct sent *find(uint64_t number)
{
	for (size_t i = 0; i < sent_count; i++)
		if (sent[i].number == number)
			return &sent[i];
	fail_msg("a verdict for number %llu", (unsigned long long)number);
	return NULL;
}

static size_t take_all(void)
{
	uint64_t number;
	json_t *said;
	size_t n = 0;

	while (verdicts_take(verdicts, &number, &said)) {
		struct sent *s = find(number);

		assert_null(s->said);
		s->said = said;
		n++;
	}
	return n;
}

static void wait_for(size_t count)
{
	for (size_t n = take_all(); n < count; n += take_all())
		loop_run(loop, NULL, NULL);
}

static void forget_sent(void)
{
	for (size_t i = 0; i < sent_count; i++)
		json_decref(sent[i].said);
	memset(sent, 0, sizeof(sent));
	sent_count = 0;
}

static void expect(const struct sent *s, const char *part, const char *member, const char *want)
{
	struct slice got = json_member_text(json_object_get(s->said, part), member);
	char said[2000];

	if (slice_equal(got, slice_str(want)))
		return;
	fail_msg("%s: %s.%s: want \"%s\", said %.*s", s->text, part, member, want,
	         (int)MIN_OF(json_dumpb(s->said, said, sizeof(said), 0), sizeof(said)), said);
}

/* ---- cases ---- */

static void verdicts_come(void **state)
{
	struct sent *a = ask("x@spf.one.example");
	struct sent *b = ask("x@nobody.example");
	struct sent *c = ask("x@fail.example");

	(void)state;
	wait_for(3);
	expect(a, "spf", "verdict", "PASS");
	expect(a, "spf", "domain", "spf.one.example");
	expect(a, "dkim", "result", "none");
	expect(a, "dmarc", "result", "none");
	expect(b, "spf", "verdict", "GRAY");
	expect(c, "spf", "verdict", "PROCESSING_FAILED");
	forget_sent();
}

/* By its address, as anybody else's. */
static void who_has_authenticated_has_spf_too(void **state)
{
	struct sent *a;

	(void)state;
	json_put_text(receipt, "auth", slice_str("ann"));
	a = ask("x@spf.one.example");
	(void)json_object_del(receipt, "auth");
	wait_for(1);
	expect(a, "spf", "result", "pass");
	forget_sent();
}

static void a_slow_one_holds_up_itself_alone(void **state)
{
	struct sent *slow = ask("x@silent.example");

	(void)state;
	for (int i = 0; i < 200; i++)
		(void)ask("x@spf.one.example");
	wait_for(200);
	assert_null(slow->said);
	wait_for(1);
	expect(slow, "spf", "verdict", "PROCESSING_FAILED");
	expect(slow, "dkim", "verdict", "GRAY");
	forget_sent();
}

static void a_large_one_is_alone(void **state)
{
	size_t n = 3U << 20;
	char *big = mem_new(n + 1);
	struct mail m = { .ip = slice_str("192.0.2.1"),
		          .mail_from = slice_str("x@spf.one.example"),
		          .json = receipt };

	(void)state;
	memset(big, 'x', n);
	memcpy(big, "Subject: x\r\n\r\n", 14);
	sent[0].number = verdicts_ask(verdicts, &m, slice_of(big, n));
	sent_count = 1;
	(void)ask("x@spf.one.example");
	(void)ask("x@spf.one.example");
	wait_for(3);
	for (size_t i = 0; i < 3; i++)
		expect(&sent[i], "spf", "verdict", "PASS");
	forget_sent();
	free(big);
}

static void what_it_dies_of_is_found(const char *text)
{
	struct verdicts_totals t;
	struct sent *bad;

	for (int i = 0; i < 30; i++)
		(void)ask("x@spf.one.example");
	bad = ask_as("x@spf.one.example", text);
	for (int i = 0; i < 30; i++)
		(void)ask("x@spf.one.example");
	wait_for(61);
	for (size_t i = 0; i < 61; i++)
		expect(&sent[i], "spf", "verdict", &sent[i] == bad ? "PROCESSING_FAILED" : "PASS");
	verdicts_count(verdicts, &t);
	assert_int_equal(t.died, 2);
	assert_int_equal(t.failed, 1);
	assert_int_equal(t.waiting, 0);
	forget_sent();
}

static void a_message_that_kills(void **state)
{
	(void)state;
	what_it_dies_of_is_found("X-MM-Verdict: crash\r\n\r\n");
}

static void a_message_that_takes_all_time(void **state)
{
	(void)state;
	what_it_dies_of_is_found("X-MM-Verdict: spin\r\n\r\n");
}

static void nonsense_is_a_death(void **state)
{
	(void)state;
	what_it_dies_of_is_found("X-MM-Verdict: nonsense\r\n\r\n");
}

/* What a scanner says isn't the child's to say. */
static void others_verdicts_are_nonsense(void **state)
{
	(void)state;
	what_it_dies_of_is_found("X-MM-Verdict: others\r\n\r\n");
}

/* It dies of an answer, at no message: it is found by halves. */
static void a_death_of_nobody_knows_what(void **state)
{
	struct verdicts_totals t = { 0 };
	size_t half = 0;

	(void)state;
	atomic_store(&server.mute, true); /* so that it has all of them when it dies */
	for (int i = 0; i < 40; i++)
		(void)(i == 17 ? ask_as("x@spf.one.example", "X-MM-Verdict: crash later\r\n\r\n")
		               : ask("x@spf.one.example"));
	for (; t.died < 2; verdicts_count(verdicts, &t)) {
		if (t.died == 1)
			half = MAX_OF(half, verdicts_with_child(verdicts));
		loop_post(loop, on_woken, NULL);
		loop_run(loop, NULL, NULL);
	}
	assert_int_equal(half, 20);
	atomic_store(&server.mute, false);
	wait_for(40);
	for (size_t i = 0; i < 40; i++)
		expect(&sent[i], "spf", "verdict", i == 17 ? "PROCESSING_FAILED" : "PASS");
	verdicts_count(verdicts, &t);
	assert_int_equal(t.failed, 1);
	assert_in_range(t.died, 3, 12);
	forget_sent();
}

static void a_child_that_hangs(void **state)
{
	struct sent *bad;
	struct sent *good;

	(void)state;
	verdicts_set_grace(verdicts, 300);
	bad = ask_as("x@spf.one.example", "X-MM-Verdict: hang\r\n\r\n");
	good = ask("x@spf.one.example");
	wait_for(2);
	expect(bad, "spf", "verdict", "PROCESSING_FAILED");
	expect(good, "spf", "verdict", "PASS");
	forget_sent();
}

static void what_was_forgotten_does_not_come(void **state)
{
	struct verdicts_totals t;
	struct sent *kept;

	(void)state;
	for (int i = 0; i < 50; i++)
		(void)ask("x@silent.one.example");
	while (verdicts_with_child(verdicts) < 50) {
		loop_post(loop, on_woken, NULL);
		loop_run(loop, NULL, NULL);
	}
	verdicts_forget(verdicts);
	forget_sent();
	kept = ask("x@spf.one.example");
	wait_for(1);
	expect(kept, "spf", "verdict", "PASS");
	while (verdicts_with_child(verdicts) >
	       0) { /* what is said of those is heard, and is no nonsense */
		loop_post(loop, on_woken, NULL);
		loop_run(loop, NULL, NULL);
	}
	verdicts_count(verdicts, &t);
	assert_int_equal(t.died, 0);
	forget_sent();
}

/* As the pipeline's does it, while the loop's thread has the child. */
static void *ask_and_take(void *arg)
{
	uint64_t number;
	json_t *said;
	size_t n = 0;

	(void)arg;
	for (int i = 0; i < 300; i++)
		(void)ask("x@spf.one.example");
	while (n < 300) {
		if (!verdicts_take(verdicts, &number, &said)) {
			clock_sleep_ms(1);
			continue;
		}
		find(number)->said = said;
		n++;
	}
	(void)ask("x@spf.one.example");
	verdicts_forget(verdicts);
	loop_stop(loop);
	return NULL;
}

static void ignore_news(void *arg)
{
	(void)arg;
}

static void another_thread_asks(void **state)
{
	struct verdicts_options o = { .loop = loop, .home = home, .woken = ignore_news };
	pthread_t thread;

	(void)state;
	verdicts_free(&verdicts);
	verdicts = verdicts_new(&o);
	assert_int_equal(pthread_create(&thread, NULL, ask_and_take, NULL), 0);
	loop_run(loop, NULL, NULL);
	assert_int_equal(pthread_join(thread, NULL), 0);
	for (size_t i = 0; i < 300; i++)
		expect(&sent[i], "spf", "verdict", "PASS");
	forget_sent();
}

/* ---- processes ---- */

static long parent_of(long pid)
{
	char path[64], text[512];
	FILE *f;
	size_t n;
	char *at;

	(void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return -1;
	n = fread(text, 1, sizeof(text) - 1, f);
	(void)fclose(f);
	text[n] = 0;
	at = strrchr(text, ')');
	return at && at[2] != 'Z' ? strtol(at + 4, NULL, 10) : -1;
}

/* Processes whose parent is this one; *last is one of them. */
static size_t children_of(long parent, long *last)
{
	DIR *d = opendir("/proc");
	struct dirent *entry;
	size_t n = 0;

	assert_non_null(d);
	while ((entry = readdir(d))) {
		long pid = strtol(entry->d_name, NULL, 10);

		if (pid > 0 && parent_of(pid) == parent) {
			*last = pid;
			n++;
		}
	}
	(void)closedir(d);
	return n;
}

/* Who hears tasks: kept by our child. */
static long home_pid(void)
{
	long keeper, at_home;

	assert_int_equal(children_of(getpid(), &keeper), 1);
	while (children_of(keeper, &at_home) != 1)
		clock_sleep_ms(5);
	return at_home;
}

static void a_child_that_is_killed(void **state)
{
	long at_home, child;

	(void)state;
	(void)ask("x@spf.one.example");
	wait_for(1);
	forget_sent();
	at_home = home_pid();
	assert_int_equal(children_of(at_home, &child), 1);
	atomic_store(&server.mute, true);
	for (int i = 0; i < 20; i++)
		(void)ask("x@spf.two.example");
	while (verdicts_with_child(verdicts) < 20) {
		loop_timer_set(patience, 60000);
		loop_post(loop, on_woken, NULL);
		loop_run(loop, NULL, NULL);
	}
	assert_int_equal(kill((pid_t)child, SIGKILL), 0);
	atomic_store(&server.mute, false);
	wait_for(20);
	for (size_t i = 0; i < 20; i++)
		expect(&sent[i], "spf", "verdict", "PASS");
	forget_sent();
}

/* Also one that doesn't hear, since it is stopped. */
static void a_leash_kills(void **state)
{
	long at_home, child, other;

	(void)state;
	(void)ask("x@spf.one.example");
	wait_for(1);
	forget_sent();
	at_home = home_pid();
	assert_int_equal(children_of(at_home, &child), 1);
	assert_int_equal(kill((pid_t)child, SIGSTOP), 0);
	verdicts_free(&verdicts);
	for (int i = 0; i < 500 && children_of(at_home, &other); i++)
		clock_sleep_ms(10);
	assert_int_equal(children_of(at_home, &other), 0);
}

static void ask_20(void)
{
	for (int k = 0; k < 20; k++)
		(void)ask("x@spf.one.example");
}

static void expect_20(void)
{
	wait_for(20);
	for (size_t k = 0; k < 20; k++)
		expect(&sent[k], "spf", "verdict", "PASS");
	forget_sent();
}

/* With all that is under way; the one that is left goes on too. Its death may be later than the
 * answers, and before it is made again nobody could go on without its keeper. */
static void a_home_that_is_killed_is_made_again(void **state)
{
	long keeper;

	(void)state;
	assert_int_equal(children_of(getpid(), &keeper), 1);
	for (int i = 0; i < 2; i++) {
		long at_home = home_pid();

		ask_20();
		assert_int_equal(kill((pid_t)at_home, SIGKILL), 0);
		expect_20();
		while (home_pid() == at_home)
			clock_sleep_ms(5);
	}
	ask_20();
	assert_int_equal(kill((pid_t)keeper, SIGKILL), 0);
	expect_20();
}

static void a_home_that_is_gone(void **state)
{
	long keeper, at_home;
	struct sent *a;

	(void)state;
	assert_int_equal(children_of(getpid(), &keeper), 1);
	at_home = home_pid();
	assert_int_equal(kill((pid_t)keeper, SIGKILL), 0);
	assert_int_equal(kill((pid_t)at_home, SIGKILL), 0);
	a = ask("x@spf.one.example");
	wait_for(1);
	expect(a, "spf", "verdict", "PROCESSING_FAILED");
	forget_sent();
}

static void wrong_sections_start_nothing(void **state)
{
	json_t *dns = json_object();
	struct home *h;
	struct err e;

	(void)state;
	json_put_text(dns, "forward", slice_str("localhost"));
	assert_int_equal(verdicts_home_start(&h, dns, program, &e), RC_INVALID);
	assert_null(h);
	(void)json_object_del(dns, "forward");
	json_put_text(dns, "trust_anchor", slice_str("/nowhere/anchor"));
	assert_int_equal(verdicts_home_start(&h, dns, program, &e), RC_NOTFOUND);
	assert_null(h);
	json_decref(dns);
}

/* A configuration that only the child finds to be wrong: messages get their verdict in time all the
 * same. */
static void a_child_that_cannot_start(void **state)
{
	json_t *dns = json_object();
	struct verdicts_options o = { .deadline_ms = 700 };
	struct sent *a;
	struct err e;

	(void)state;
	json_put_text(dns, "trust_anchor", slice_str("/etc/passwd"));
	EXPECT_OK(verdicts_home_start(&home, dns, program, &e), &e);
	json_decref(dns);
	loop = loop_new();
	o.loop = loop;
	o.home = home;
	o.woken = on_woken;
	verdicts = verdicts_new(&o);
	a = ask("x@spf.one.example");
	wait_for(1);
	expect(a, "spf", "verdict", "PROCESSING_FAILED");
	expect(a, "dmarc", "result", "temperror");
	forget_sent();
	verdicts_free(&verdicts);
	loop_free(&loop);
	home_stop(&home);
}

#define CASE(f)  cmocka_unit_test_setup_teardown(f, begin, end)
#define SHORT(f) cmocka_unit_test_setup_teardown(f, begin_short, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(verdicts_come),
		CASE(who_has_authenticated_has_spf_too),
		SHORT(a_slow_one_holds_up_itself_alone),
		CASE(a_large_one_is_alone),
		CASE(a_message_that_kills),
		CASE(a_message_that_takes_all_time),
		CASE(nonsense_is_a_death),
		CASE(others_verdicts_are_nonsense),
		CASE(a_death_of_nobody_knows_what),
		SHORT(a_child_that_hangs),
		SHORT(what_was_forgotten_does_not_come),
		CASE(another_thread_asks),
		CASE(a_child_that_is_killed),
		CASE(a_leash_kills),
		CASE(a_home_that_is_killed_is_made_again),
		SHORT(a_home_that_is_gone),
		cmocka_unit_test(wrong_sections_start_nothing),
		cmocka_unit_test(a_child_that_cannot_start),
	};
	int failed;

	receipt = json_object();
	failed = cmocka_run_group_tests(tests, start, NULL);
	json_decref(receipt);
	return failed;
}
