#include "tests/unit/test.h"

#include <fcntl.h>

#include "base/clock.h"
#include "base/log.h"
#include "ingest/verdict/resolver.h"
#include "tests/unit/verdict/dns_server.h"

static struct dns_server server;
static struct loop *loop;
static struct resolver *resolver;
static unsigned open_askers;

static int open_with(const struct resolver_options *more)
{
	struct resolver_options o = *more;
	struct err e;

	dns_server_start(&server);
	o.forward = server.forward;
	loop = loop_new();
	open_askers = 0;
	EXPECT_OK(resolver_new(&resolver, loop, &o, &e), &e);
	return 0;
}

static int begin(void **state)
{
	const struct resolver_options o = { .deadline_ms = 1500 };

	(void)state;
	return open_with(&o);
}

static int begin_two(void **state)
{
	const struct resolver_options o = { .deadline_ms = 700, .lookups = 2 };

	(void)state;
	return open_with(&o);
}

static int begin_patient(void **state)
{
	const struct resolver_options o = { .deadline_ms = 3000 };

	(void)state;
	return open_with(&o);
}

static int begin_forty(void **state)
{
	const struct resolver_options o = { .deadline_ms = 1500, .lookups = 40 };

	(void)state;
	return open_with(&o);
}

static int end(void **state)
{
	(void)state;
	resolver_free(&resolver);
	loop_free(&loop);
	dns_server_stop(&server);
	return 0;
}

/* ---- askers ---- */

struct asker {
	struct answers *answers;
	struct resolver_ask *ask;
	unsigned done;
};

static void on_done(void *arg)
{
	struct asker *a = arg;

	a->done++;
	a->ask = NULL;
	if (--open_askers == 0)
		loop_stop(loop);
}

static void want(struct asker *a, enum dns_type type, const char *name)
{
	struct dns_answer out;

	if (!a->answers)
		a->answers = answers_new();
	assert_int_equal(answers_get(a->answers, type, slice_str(name), &out), RC_AGAIN);
}

static void ask(struct asker *a)
{
	open_askers++;
	a->ask = resolver_ask(resolver, a->answers, on_done, a);
	assert_int_equal(a->done, 0);
}

static struct dns_answer answer_of(const struct asker *a, enum dns_type type, const char *name)
{
	struct dns_answer out;

	EXPECT(name, answers_get(a->answers, type, slice_str(name), &out) == RC_OK);
	return out;
}

static void run(struct asker *a)
{
	ask(a);
	loop_run(loop, NULL, NULL);
	assert_int_equal(a->done, 1);
}

static const struct {
	const char *name;
	enum dns_type type;
	enum dns_status want;
	const char *text; /* of the first record */
} cases[] = {
	{ "txt.example", DNS_TXT, DNS_RECORDS, "hello" },
	{ "alias.example", DNS_TXT, DNS_RECORDS, "hello" },
	{ "mx.example", DNS_MX, DNS_RECORDS, "first.example" },
	{ "a.example", DNS_A, DNS_RECORDS, NULL },
	{ "a.example", DNS_AAAA, DNS_NO_DATA, NULL },
	{ "none.example", DNS_TXT, DNS_NO_DATA, NULL },
	{ "x.example", DNS_TXT, DNS_NO_NAME, NULL },
	{ "fail.example", DNS_TXT, DNS_FAILED, NULL },
	/* what libunbound would answer by itself */
	{ "txt.test", DNS_TXT, DNS_RECORDS, "hello" },
	{ "txt.mm.test", DNS_TXT, DNS_RECORDS, "hello" },
	{ "txt.localhost", DNS_TXT, DNS_RECORDS, "hello" },
	{ "txt.invalid", DNS_TXT, DNS_RECORDS, "hello" },
	{ "txt.onion", DNS_TXT, DNS_RECORDS, "hello" },
	{ "txt.home.arpa", DNS_TXT, DNS_RECORDS, "hello" },
	{ "txt.1.10.in-addr.arpa", DNS_TXT, DNS_RECORDS, "hello" },
	{ "txt.1.0.127.in-addr.arpa", DNS_TXT, DNS_RECORDS, "hello" },
	{ "txt.2.0.192.in-addr.arpa", DNS_TXT, DNS_RECORDS, "hello" },
	{ "txt.8.b.d.0.1.0.0.2.ip6.arpa", DNS_TXT, DNS_RECORDS, "hello" },
};

static void all_is_looked_up_together(void **state)
{
	struct asker a = { .answers = NULL };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		want(&a, cases[i].type, cases[i].name);
	run(&a);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct dns_answer got = answer_of(&a, cases[i].type, cases[i].name);

		EXPECT(cases[i].name, got.status == cases[i].want);
		EXPECT(cases[i].name, !got.secure);
		if (cases[i].text)
			EXPECT_SLICE(cases[i].name, got.records[0].text, cases[i].text);
	}
	answers_free(&a.answers);
}

static void nonsense_is_a_failure(void **state)
{
	struct asker a = { .answers = NULL };

	(void)state;
	want(&a, DNS_TXT, "garbage.example");
	want(&a, DNS_TXT, "wrong.example");
	run(&a);
	assert_int_equal(answer_of(&a, DNS_TXT, "garbage.example").status, DNS_FAILED);
	assert_int_equal(answer_of(&a, DNS_TXT, "wrong.example").status, DNS_FAILED);
	answers_free(&a.answers);
}

static void a_silent_server_has_a_deadline(void **state)
{
	struct asker slow = { .answers = NULL };
	struct asker quick = { .answers = NULL };
	struct resolver_totals t;
	int64_t begun = clock_mono_ms();

	(void)state;
	want(&slow, DNS_TXT, "silent.example");
	want(&slow, DNS_TXT, "txt.example");
	want(&quick, DNS_TXT, "txt.example");
	ask(&slow);
	run(&quick);
	assert_int_equal(slow.done, 1);
	assert_true(clock_mono_ms() - begun >= 1400); /* the other one was waited for too */
	assert_int_equal(answer_of(&slow, DNS_TXT, "silent.example").status, DNS_FAILED);
	assert_int_equal(answer_of(&slow, DNS_TXT, "txt.example").status, DNS_RECORDS);
	resolver_count(resolver, &t);
	assert_int_equal(t.asked, 3);
	assert_int_equal(t.failed, 1);
	assert_int_equal(t.under_way, 0);
	answers_free(&slow.answers);
	answers_free(&quick.answers);
}

/* Two at a time, and what waits in line has a deadline too. */
static void lookups_wait_in_line(void **state)
{
	struct asker a = { .answers = NULL };
	char name[40];

	(void)state;
	want(&a, DNS_TXT, "silent.1.example");
	want(&a, DNS_TXT, "silent.2.example");
	want(&a, DNS_TXT, "txt.3.example");
	run(&a);
	assert_int_equal(answer_of(&a, DNS_TXT, "txt.3.example").status, DNS_FAILED);
	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "txt.%d.other.example", i);
		want(&a, DNS_TXT, name);
	}
	a.done = 0;
	run(&a);
	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "txt.%d.other.example", i);
		assert_int_equal(answer_of(&a, DNS_TXT, name).status, DNS_RECORDS);
	}
	answers_free(&a.answers);
}

/* One who asks for more than there is room for, all of it silent, leaves room for the next one. */
static void who_asks_for_much_is_not_alone(void **state)
{
	struct asker greedy = { .answers = NULL };
	struct asker modest = { .answers = NULL };
	char name[40];

	(void)state;
	for (int i = 0; i < 80; i++) {
		(void)snprintf(name, sizeof(name), "silent.%d.example", i);
		want(&greedy, DNS_TXT, name);
	}
	ask(&greedy);
	want(&modest, DNS_TXT, "txt.example");
	want(&modest, DNS_MX, "mx.example");
	run(&modest);
	assert_int_equal(answer_of(&modest, DNS_TXT, "txt.example").status, DNS_RECORDS);
	assert_int_equal(answer_of(&modest, DNS_MX, "mx.example").status, DNS_RECORDS);
	answers_free(&greedy.answers);
	answers_free(&modest.answers);
}

/* Nor do many of them take all there is. */
static void many_who_ask_for_much_leave_room(void **state)
{
	struct asker greedy[12] = { { .answers = NULL } };
	struct asker first = { .answers = NULL };
	struct asker modest = { .answers = NULL };
	char name[40];

	(void)state;
	for (int i = 0; i < 12; i++) {
		for (int k = 0; k < 40; k++) {
			(void)snprintf(name, sizeof(name), "silent.%d.n%d.example", k, i);
			want(&greedy[i], DNS_TXT, name);
		}
		ask(&greedy[i]);
	}
	open_askers = 0; /* whoever is done first ends it */
	want(&first, DNS_A, "a.example");
	run(&first);
	answers_free(&first.answers);
	/* all lookups that could be started are under way now */
	want(&modest, DNS_TXT, "txt.example");
	want(&modest, DNS_MX, "mx.example");
	run(&modest);
	assert_int_equal(answer_of(&modest, DNS_TXT, "txt.example").status, DNS_RECORDS);
	assert_int_equal(answer_of(&modest, DNS_MX, "mx.example").status, DNS_RECORDS);
	for (int i = 0; i < 12; i++) {
		assert_int_equal(greedy[i].done, 0);
		resolver_cancel(&greedy[i].ask);
		answers_free(&greedy[i].answers);
	}
	answers_free(&modest.answers);
}

static void nothing_wanted_is_done_at_once(void **state)
{
	struct asker a = { .answers = answers_new() };

	(void)state;
	run(&a);
	assert_int_equal(atomic_load(&server.asked), 0);
	answers_free(&a.answers);
}

/* At every stage: in line, under way, answered and not told yet. */
static void askers_may_go(void **state)
{
	struct asker gone[3] = { { .answers = NULL } };
	struct asker a = { .answers = NULL };

	(void)state;
	for (size_t i = 0; i < COUNT(gone); i++) {
		want(&gone[i], DNS_TXT, i == 1 ? "txt.example" : "silent.example");
		ask(&gone[i]);
	}
	resolver_cancel(&gone[0].ask);
	open_askers--;
	answers_free(&gone[0].answers);
	want(&a, DNS_TXT, "a.b.example");
	ask(&a);
	open_askers -= 2; /* only `a` is waited for */
	loop_run(loop, NULL, NULL);
	resolver_cancel(&gone[1].ask);
	resolver_cancel(&gone[2].ask);
	answers_free(&gone[1].answers);
	answers_free(&gone[2].answers);
	answers_free(&a.answers);
	assert_int_equal(gone[0].done + gone[2].done, 0);
	open_askers = 0;
}

static void it_may_end_with_lookups_under_way(void **state)
{
	struct asker a = { .answers = NULL };
	struct asker b = { .answers = NULL };

	(void)state;
	want(&a, DNS_TXT, "silent.example");
	ask(&a);
	open_askers = 0; /* only the other one is waited for */
	want(&b, DNS_TXT, "txt.example");
	run(&b);
	resolver_free(&resolver); /* and not `a`'s */
	assert_int_equal(a.done, 0);
	answers_free(&a.answers);
	answers_free(&b.answers);
	open_askers = 0;
}

/* libunbound reads names as zone files have them: a backslash must stay one, a blank a blank. */
static void odd_names_are_themselves(void **state)
{
	struct asker a = { .answers = NULL };
	char last[256];

	(void)state;
	want(&a, DNS_TXT, "txt.a\\.b \"@(.example");
	run(&a);
	dns_last(&server, last);
	assert_string_equal(last, "txt.a\\.b \"@(.example");
	assert_int_equal(answer_of(&a, DNS_TXT, "txt.a\\.b \"@(.example").status, DNS_RECORDS);
	answers_free(&a.answers);
}

/* What is asked for takes the one server longer than any deadline, again and again, as a sender may
 * have it: whoever comes behind is answered at once, all that he asks for. */
static void silent_names_do_not_cost_others_the_server(void **state)
{
	struct asker slow[3] = { { .answers = NULL } };
	struct asker honest = { .answers = NULL };
	char name[40];

	(void)state;
	for (int i = 0; i < 3; i++) {
		for (int k = 0; k < 8; k++) {
			(void)snprintf(name, sizeof(name), "silent.%d.n%d.example", k, i);
			want(&slow[i], DNS_TXT, name);
		}
		run(&slow[i]);
		answers_free(&slow[i].answers);
	}
	for (int k = 0; k < 4; k++) {
		(void)snprintf(name, sizeof(name), "txt.%d.example", k);
		want(&honest, DNS_TXT, name);
	}
	run(&honest);
	for (int k = 0; k < 4; k++) {
		(void)snprintf(name, sizeof(name), "txt.%d.example", k);
		assert_int_equal(answer_of(&honest, DNS_TXT, name).status, DNS_RECORDS);
	}
	answers_free(&honest.answers);
}

static void wrong_options_are_refused(void **state)
{
	static const struct resolver_options wrong[] = {
		{ .forward = "localhost" },
		{ .trust_anchor = "/nowhere/anchor" },
		{ .trust_anchor = "/etc/passwd" },
		{ .stubs = { { "lab", "x" } }, .stub_count = 1 },
		{ .stubs = { { "a b", "127.0.0.1" } }, .stub_count = 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct loop *l = loop_new();
		struct resolver *r;
		struct err e = { 0 };

		assert_int_not_equal(resolver_new(&r, l, &wrong[i], &e), RC_OK);
		assert_null(r);
		assert_true(e.text[0]);
		loop_free(&l);
	}
}

static void ports_for_a_sandbox(void **state)
{
	uint16_t ports[RESOLVER_STUBS + 1];
	struct resolver_options o = { .stubs = { { "lab", "127.0.0.1@5300" } }, .stub_count = 1 };

	(void)state;
	assert_int_equal(resolver_ports(&o, ports), 2);
	assert_int_equal(ports[0], 53);
	assert_int_equal(ports[1], 5300);
	o.forward = "127.0.0.1@5301";
	assert_int_equal(resolver_ports(&o, ports), 2);
	assert_int_equal(ports[0], 5301);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(all_is_looked_up_together),
		CASE(nonsense_is_a_failure),
		CASE(a_silent_server_has_a_deadline),
		cmocka_unit_test_setup_teardown(lookups_wait_in_line, begin_two, end),
		cmocka_unit_test_setup_teardown(who_asks_for_much_is_not_alone, begin_forty, end),
		cmocka_unit_test_setup_teardown(many_who_ask_for_much_leave_room, begin_forty, end),
		CASE(nothing_wanted_is_done_at_once),
		CASE(askers_may_go),
		CASE(it_may_end_with_lookups_under_way),
		CASE(odd_names_are_themselves),
		cmocka_unit_test_setup_teardown(silent_names_do_not_cost_others_the_server,
		                                begin_patient, end),
		cmocka_unit_test(wrong_options_are_refused),
		cmocka_unit_test(ports_for_a_sandbox),
	};

	log_init("test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
