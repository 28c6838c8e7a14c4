/* tests/unit/base/test_child.c - children get what they are given and nothing else */
#include "base/child.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/unit/test.h"

struct rig {
	struct loop *loop;
	struct child *child;
	const char *script;
	int out; /* read end of the child's descriptor 3 */
	unsigned starts;
	unsigned ends;
	unsigned stop_after; /* ends */
	char how[200];
	int64_t again_ms;
	bool refuse;
	char text[4096];
	size_t len;
};

static enum rc on_start(void *arg, struct child_start *s, struct err *e)
{
	struct rig *r = arg;
	int p[2];

	r->starts++;
	if (r->refuse)
		return err_set(e, RC_AGAIN, "not yet");
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	s->args[0] = "-c";
	s->args[1] = r->script;
	s->fds[0].fd = p[1];
	s->fds[0].at = 3;
	s->nfds = 1;
	if (r->out >= 0)
		close(r->out);
	r->out = p[0];
	return RC_OK;
}

static void on_ended(void *arg, const char *how, int64_t again_ms)
{
	struct rig *r = arg;

	r->ends++;
	(void)snprintf(r->how, sizeof(r->how), "%s", how);
	r->again_ms = again_ms;
	if (r->ends == r->stop_after)
		loop_stop(r->loop);
}

static const struct child_ops ops = { .start = on_start, .ended = on_ended };

static void run(struct rig *r)
{
	ssize_t n;

	r->out = -1;
	r->loop = loop_new();
	r->child = child_new(r->loop, "/bin/sh", &ops, r);
	loop_run(r->loop, NULL, NULL);
	while (r->out >= 0 &&
	       (n = read(r->out, r->text + r->len, sizeof(r->text) - 1 - r->len)) > 0)
		r->len += (size_t)n;
}

static void finish(struct rig *r)
{
	child_free(&r->child);
	loop_free(&r->loop);
	if (r->out >= 0)
		close(r->out);
}

/* Open descriptors, environment, signals: as little as can be. */
static void test_clean_start(void **state)
{
	struct rig r = { .script = "ls /proc/self/fd >&3; "
		                   "grep -E 'SigBlk|SigIgn' /proc/self/status >&3; env >&3; exit 3",
		         .stop_after = 1 };
	int null = open("/dev/null", O_RDONLY);
	int leak = fcntl(null, F_DUPFD, 50); /* not close-on-exec */
	struct err e;
	char path[4096];

	(void)state;
	assert_true(leak >= 50);
	assert_int_equal(setenv("MM_PASSPHRASE", "secret", 1), 0);
	assert_int_equal(setenv("TZ", "UTC", 1), 0);
	signal(SIGPIPE, SIG_IGN);
	run(&r);
	assert_string_equal(r.how, "exit 3");
	assert_int_equal(r.again_ms, 100);
	assert_null(strstr(r.text, "secret"));
	assert_non_null(strstr(r.text, "TZ=UTC"));
	assert_non_null(strstr(r.text, "SigBlk:\t0000000000000000"));
	/* Signals 1 to 28; glibc itself may ignore two of its own. */
	assert_memory_equal(strstr(r.text, "SigIgn:") + 8 + 9, "0000000\n", 8);
	/* The last one is the directory that ls reads. */
	assert_memory_equal(r.text, "0\n1\n2\n3\n4\nSig", 13);
	close(null);
	close(leak);
	EXPECT_OK(child_path("unit_base_test_child", path, sizeof(path), &e), &e);
	assert_true(slice_ends_nocase(slice_str(path), slice_str("/unit/unit_base_test_child")));
	finish(&r);
}

static void test_restarts(void **state)
{
	struct rig r = { .script = "kill -9 $$", .stop_after = 3 };

	(void)state;
	run(&r);
	assert_int_equal(r.starts, 3);
	assert_string_equal(r.how, "signal 9 (Killed)");
	assert_int_equal(r.again_ms, 400); /* after 100 and 200 */
	assert_int_equal(child_restarts(r.child), 3);
	assert_int_equal(child_pid(r.child), -1);
	finish(&r);
}

static void test_failed_starts(void **state)
{
	struct rig r = { .script = "", .refuse = true, .stop_after = 2 };

	(void)state;
	run(&r);
	assert_string_equal(r.how, "not yet");
	assert_int_equal(r.again_ms, 200);
	finish(&r);
	r = (struct rig) { .script = "", .stop_after = 1, .out = -1 };
	r.loop = loop_new();
	r.child = child_new(r.loop, "/no/such/program", &ops, &r);
	loop_run(r.loop, NULL, NULL);
	assert_non_null(strstr(r.how, "No such file"));
	finish(&r);
}

struct stopping {
	struct rig *rig;
	int64_t term_ms, kill_ms;
};

static void stop_it(void *arg)
{
	struct stopping *s = arg;

	child_stop(s->rig->child, s->term_ms, s->kill_ms);
}

static void test_stop(void **state)
{
	static const struct {
		const char *script;
		int64_t term_ms, kill_ms;
		const char *how;
	} stops[] = {
		{ "exec sleep 60", 0, 60000, "signal 15 (Terminated)" },
		{ "exec sleep 61", -1, 0, "signal 9 (Killed)" },
		{ "trap '' TERM; while :; do sleep 0.05; done", 0, 100, "signal 9 (Killed)" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(stops); i++) {
		struct rig r = { .script = stops[i].script, .stop_after = 1, .out = -1 };
		struct stopping s = { &r, stops[i].term_ms, stops[i].kill_ms };
		struct loop_timer *t;

		r.loop = loop_new();
		r.child = child_new(r.loop, "/bin/sh", &ops, &r);
		t = loop_timer_new(r.loop, stop_it, &s);
		loop_timer_set(t, 100);
		loop_run(r.loop, NULL, NULL);
		EXPECT_SLICE(stops[i].script, slice_str(r.how), stops[i].how);
		assert_int_equal(r.again_ms, -1);
		loop_timer_free(&t);
		finish(&r);
	}
}

static void test_stop_before_start(void **state)
{
	struct rig r = { .script = "exit 0", .stop_after = 1, .out = -1 };

	(void)state;
	r.loop = loop_new();
	r.child = child_new(r.loop, "/bin/sh", &ops, &r);
	child_stop(r.child, 0, 0);
	loop_run(r.loop, NULL, NULL);
	assert_int_equal(r.starts, 0);
	assert_int_equal(r.again_ms, -1);
	finish(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean_start),       cmocka_unit_test(test_restarts),
		cmocka_unit_test(test_failed_starts),     cmocka_unit_test(test_stop),
		cmocka_unit_test(test_stop_before_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
