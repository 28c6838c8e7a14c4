/* tests/unit/api/test_account.c - the first of its kind is entered at once, the others are counted
 */
#include "api/account.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "tests/unit/store/scratch.h"

static const uint8_t master[KEY_BYTES] = "account test master key 32 bytes";

/* The test clock is opened once in a process, so it is one file for all tests. */
static char clock_path[] = "/tmp/mm-account-clock-XXXXXX";

static void set_clock(int64_t offset_ms)
{
	FILE *f = fopen(clock_path, "r+");

	assert_non_null(f);
	(void)fprintf(f, "%020lld\n", (long long)offset_ms);
	(void)fclose(f);
}

struct fixture {
	struct scratch s;
	struct keyring *kr;
	struct audit *a;
	struct tally *t;
	struct err e;
	char seen[2000]; /* "event who op outcome archive again;" of each entry */
};

static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));

	set_clock(0);
	scratch_make(&f->s);
	EXPECT_OK(keyring_create(f->s.dir, master, &f->e), &f->e);
	EXPECT_OK(keyring_open(&f->kr, f->s.dir, master, &f->e), &f->e);
	EXPECT_OK(audit_open(&f->a, f->s.dir, f->kr, &f->e), &f->e);
	f->t = tally_new(f->a);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	tally_free(&f->t);
	audit_close(&f->a);
	keyring_close(&f->kr);
	scratch_remove(&f->s);
	free(f);
	return 0;
}

static enum rc note(void *arg, const struct audit_entry *x, struct err *e)
{
	struct fixture *f = arg;
	size_t at = strlen(f->seen);
	struct slice op = json_member_text(x->detail, "op");
	struct slice outcome = json_member_text(x->detail, "outcome");
	struct slice archive = json_member_text(x->detail, "archive");

	(void)e;
	(void)snprintf(f->seen + at, sizeof(f->seen) - at, "%s %s %.*s %.*s %.*s %lld;", x->event,
	               x->who, (int)op.len, (const char *)op.at, (int)outcome.len,
	               (const char *)outcome.at, (int)archive.len, (const char *)archive.at,
	               (long long)json_member_int(x->detail, "again", 0));
	return RC_OK;
}

static void expect(struct fixture *f, const char *want)
{
	f->seen[0] = '\0';
	EXPECT_OK(audit_each(f->a, 1, note, f, &f->e), &f->e);
	assert_string_equal(f->seen, want);
}

static void ask(struct fixture *f, const char *who, const char *op, const char *outcome)
{
	const struct asked x = { .event = "request",
		                 .who = who,
		                 .counted = who,
		                 .op = op,
		                 .outcome = outcome,
		                 .archive = slice_str("corp") };

	EXPECT_OK(tally_add(f->t, &x, &f->e), &f->e);
}

static void test_counted(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 1000; i++)
		ask(f, "ann", "status", NULL);
	expect(f, "request ann status  corp 0;");
	ask(f, "ann", "show", NULL); /* each kind for itself */
	ask(f, "ann", "status", "invalid");
	ask(f, "bob", "status", NULL);
	expect(f, "request ann status  corp 0;request ann show  corp 0;"
	          "request ann status invalid corp 0;request bob status  corp 0;");
	set_clock(ACCOUNT_WINDOW_MS - 60000);
	EXPECT_OK(tally_settle(f->t, &f->e), &f->e);
	ask(f, "bob", "status", NULL);
	set_clock(ACCOUNT_WINDOW_MS);
	ask(f, "ann", "status", NULL);
	expect(f, "request ann status  corp 0;request ann show  corp 0;"
	          "request ann status invalid corp 0;request bob status  corp 0;"
	          "request ann status   999;request ann status  corp 0;");
	EXPECT_OK(tally_settle(f->t, &f->e), &f->e);
	expect(f, "request ann status  corp 0;request ann show  corp 0;"
	          "request ann status invalid corp 0;request bob status  corp 0;"
	          "request ann status   999;request ann status  corp 0;request bob status   1;");
}

/* A clean stop enters what was counted; a clock that was set back ends the time. */
static void test_ends(void **state)
{
	struct fixture *f = *state;

	ask(f, "ann", "list", NULL);
	ask(f, "ann", "list", NULL);
	set_clock(-3600000);
	ask(f, "ann", "list", NULL);
	ask(f, "ann", "list", NULL);
	ask(f, "ann", "list", NULL);
	tally_free(&f->t);
	expect(f, "request ann list  corp 0;request ann list   1;request ann list  corp 0;"
	          "request ann list   2;");
}

/* However many users knock who are nobody: one entry, and their number. */
static void test_strangers(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 5000; i++) {
		char who[32];
		struct asked x = { .event = "denied", .who = who, .counted = "", .op = "" };

		(void)snprintf(who, sizeof(who), "uid %d", 70000 + i);
		EXPECT_OK(tally_add(f->t, &x, &f->e), &f->e);
	}
	tally_free(&f->t);
	expect(f, "denied uid 70000    0;denied uid 74999    4999;");
}

static enum rc note_refused(void *arg, const struct audit_entry *x, struct err *e)
{
	struct fixture *f = arg;
	size_t at = strlen(f->seen);
	struct slice key = json_member_text(x->detail, "key");
	struct slice address = json_member_text(x->detail, "address");

	(void)e;
	(void)snprintf(f->seen + at, sizeof(f->seen) - at, "%.*s %.*s %lld %lld;", (int)key.len,
	               (const char *)key.at, (int)address.len, (const char *)address.at,
	               (long long)json_member_int(x->detail, "count", 1),
	               (long long)json_member_int(x->detail, "again", 0));
	return RC_OK;
}

/* Keys that are nobody's are counted together, a principal's for itself. */
static void test_refused(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 100; i++) {
		char key[32];
		struct asked x = { .event = "api_refused",
			           .who = "nobody",
			           .counted = i % 4 ? "" : key,
			           .op = "api",
			           .outcome = "InvalidSignatureException",
			           .address = slice_str("192.0.2.1"),
			           .times = 7 };

		(void)snprintf(key, sizeof(key), "%s%d", i % 4 ? "K" : "MM", i % 4 ? i : 5);
		x.key = slice_str(key);
		EXPECT_OK(tally_add(f->t, &x, &f->e), &f->e);
	}
	tally_free(&f->t);
	f->seen[0] = '\0';
	EXPECT_OK(audit_each(f->a, 1, note_refused, f, &f->e), &f->e);
	assert_string_equal(f->seen, "MM5 192.0.2.1 7 0;K1 192.0.2.1 7 0;MM5  1 168;  1 518;");
}

/* Whatever keys there are, memory is bounded. */
static void test_many(void **state)
{
	struct fixture *f = *state;
	struct audit_head head;

	for (int i = 0; i < 10000; i++) {
		char who[32];

		(void)snprintf(who, sizeof(who), "p%d", i);
		ask(f, who, "status", NULL);
	}
	audit_head(f->a, &head);
	assert_int_equal(head.entries, 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strangers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};
	int fd = mkstemp(clock_path);
	int failed;

	if (fd < 0 || write(fd, "00000000000000000000\n", 21) != 21)
		return 1;
	(void)close(fd);
	(void)setenv("MM_TEST_CLOCK", clock_path, 1);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(clock_path);
	return failed;
}
