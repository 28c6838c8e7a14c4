/* tests/unit/ingest/test_lookups.c - questions of traffic policies, with a real mm-verdict and a
 * DNS server behind them */
#include "ingest/lookups.h"

#include <stdio.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/home.h"
#include "base/log.h"
#include "ingest/verdicts.h"
#include "ingest/wire.h"
#include "tests/unit/ingest/quoted.h"
#include "tests/unit/verdict/dns_server.h"

static const char addons_text[] =
        "{'IP':{'dnsbl':'listed.test','lists':'ip'},'CLEAR':{'dnsbl':'clear.test','lists':'ip'},"
        "'DOM':{'dnsbl':'listed.test','lists':'domain','key':'k3y'},"
        "'MUTE':{'dnsbl':'mute.test','lists':'ip'},"
        "'SCANNER':{'clamd':'/run/x'}}";
static const char snapshot_text[] =
        "{'AddonInstances':[{'AddonInstanceId':'ai-ip','AddonName':'IP'},"
        "{'AddonInstanceId':'ai-clear','AddonName':'CLEAR'},"
        "{'AddonInstanceId':'ai-dom','AddonName':'DOM'},"
        "{'AddonInstanceId':'ai-mute','AddonName':'MUTE'},"
        "{'AddonInstanceId':'ai-scan','AddonName':'SCANNER'},"
        "{'AddonInstanceId':'ai-else','AddonName':'ELSE'}]}";

static struct dns_server server;
static struct loop *loop;
static struct loop_timer *patience;
static struct home *home;
static struct addons addons;
static struct config *config;
static struct lookups *lookups;

/* What was told. */
static unsigned told;
static uint64_t told_life;
static uint64_t told_number;
static json_t *said;

static struct config *config_now(void *arg)
{
	(void)arg;
	return config_ref(config);
}

static void on_told(void *arg, uint64_t life, struct slice body)
{
	struct reader r = reader_over(body);
	struct err e;

	(void)arg;
	told++;
	told_life = life;
	told_number = read_u64(&r);
	json_decref(said);
	EXPECT_OK(json_read(&said, r.rest, &e), &e);
	loop_stop(loop);
}

static void on_patience(void *arg)
{
	(void)arg;
	fail_msg("no answer within a minute");
}

static void home_of(const json_t *lists)
{
	json_t *dns = json_object();
	char program[4200];
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct err e;

	assert_true(n > 0);
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	(void)snprintf(program, sizeof(program), "%s/../bin/mm-verdict", self);
	json_put_text(dns, "forward", slice_str(server.forward));
	json_put(dns, "lists", json_deep_copy(lists));
	EXPECT_OK(verdicts_home_start(&home, dns, program, &e), &e);
	json_decref(dns);
}

static int begin(void **state)
{
	json_t *text = quoted(addons_text);
	json_t *snapshot = quoted(snapshot_text);
	struct lookups_options o = {
		.addons = &addons, .deadline_ms = 1000, .config = config_now, .told = on_told
	};
	struct err e;

	(void)state;
	log_init("test", LOG_ERROR);
	dns_server_start(&server);
	EXPECT_OK(addons_read(&addons, text, &e), &e);
	EXPECT_OK(config_new(&config, snapshot, &e), &e);
	(void)json_object_del(text, "SCANNER");
	home_of(text);
	json_decref(text);
	json_decref(snapshot);
	o.loop = loop = loop_new();
	o.home = home;
	patience = loop_timer_new(loop, on_patience, NULL);
	loop_timer_set(patience, 60000);
	lookups = lookups_new(&o);
	told = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	lookups_free(&lookups);
	loop_timer_free(&patience);
	loop_free(&loop);
	home_stop(&home);
	dns_server_stop(&server);
	config_unref(&config);
	addons_free(&addons);
	json_decref(said);
	said = NULL;
	return 0;
}

/* `ids` with a blank behind each. */
static bool ask(uint64_t life, uint64_t number, const char *ip, const char *from, const char *ids)
{
	struct slice rest = slice_str(ids);
	struct buf b;
	bool good;

	buf_init(&b, WIRE_NEWS_MAX);
	assert_int_equal(buf_put_u64(&b, number), RC_OK);
	assert_int_equal(buf_put_slice(&b, slice_str(ip)), RC_OK);
	assert_int_equal(buf_put_slice(&b, slice_str("mail.helo.example")), RC_OK);
	assert_int_equal(buf_put_slice(&b, slice_str(from)), RC_OK);
	while (rest.len)
		assert_int_equal(buf_put_slice(&b, slice_cut(rest, ' ', &rest)), RC_OK);
	good = lookups_ask(lookups, life, buf_slice(&b));
	buf_free(&b);
	return good;
}

static void wait_for(unsigned n)
{
	while (told < n)
		loop_run(loop, NULL, NULL);
}

static void expect(const char *want)
{
	json_t *j = quoted(want);
	char *text = json_dumps(said, JSON_COMPACT | JSON_SORT_KEYS);

	if (!json_equal(said, j))
		fail_msg("got %s, want %s", text, want);
	free(text);
	json_decref(j);
}

#define LISTED(what)                                                                               \
	"{'verdict':'FAIL','fields':{'isListed':true,'listedOn':'listed.test','listed':'" what     \
	"','codes':'127.0.0.2','isPassed':false}"

static void lists_are_asked(void **state)
{
	char last[256];

	(void)state;
	assert_true(ask(1, 7, "192.0.2.7", "a@shop.example", "ai-ip ai-clear ai-dom "));
	wait_for(1);
	assert_int_equal(told_number, 7);
	assert_int_equal(told_life, 1);
	expect("{'ai-ip':" LISTED("192.0.2.7") ",'connection':true},"
	                                       "'ai-clear':{'verdict':'PASS','fields':{'isListed':"
	                                       "false,'listedOn':'','isPassed':"
	                                       "true},'connection':true},'ai-dom':" LISTED(
	                                               "shop.example") "}}");
	/* 2 questions about the address, 2 about the domains: not one about the sender's SPF */
	assert_int_equal(atomic_load(&server.asked), 4);
	assert_true(ask(1, 8, "2001:db8::1", "", "ai-ip "));
	wait_for(2);
	expect("{'ai-ip':" LISTED("2001:db8::1") ",'connection':true}}");
	dns_last(&server, last);
	assert_string_equal(last, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2."
	                          "listed.test");
}

#define FAILED(why) "{'verdict':'PROCESSING_FAILED','why':'" why "'}"

/* At once where there is nothing to be asked, at the deadline where nobody answers. */
static void nothing_is_said(void **state)
{
	(void)state;
	assert_true(ask(1, 1, "192.0.2.7", "a@shop.example", "ai-scan ai-else ai-gone "));
	assert_int_equal(told, 1);
	expect("{'ai-scan':" FAILED(
	        "it is no DNS block list, or there is no DNS") ",'ai-else'"
	                                                       ":" FAILED(
	                                                               "no "
	                                                               "blo"
	                                                               "ck "
	                                                               "lis"
	                                                               "t "
	                                                               "is "
	                                                               "con"
	                                                               "fig"
	                                                               "ure"
	                                                               "d "
	                                                               "for"
	                                                               " i"
	                                                               "t") ",'ai-gone'"
	                                                                    ":" FAILED("no "
	                                                                               "blo"
	                                                                               "ck "
	                                                                               "lis"
	                                                                               "t "
	                                                                               "is "
	                                                                               "con"
	                                                                               "fig"
	                                                                               "ure"
	                                                                               "d "
	                                                                               "for"
	                                                                               " "
	                                                                               "it") "}");
	assert_true(ask(1, 2, "192.0.2.7", "a@shop.example", "ai-mute ai-clear ai-scan "));
	assert_int_equal(told, 1);
	wait_for(2);
	assert_string_equal(
	        json_string_value(json_object_get(json_object_get(said, "ai-mute"), "why")),
	        "no answer of DNS in time");
	assert_false(json_member_bool(json_object_get(said, "ai-mute"), "connection", false));
	EXPECT_SLICE("clear", json_member_text(json_object_get(said, "ai-clear"), "verdict"),
	             "PASS");
}

static void without_dns(void **state)
{
	struct lookups_options o = {
		.loop = loop, .addons = &addons, .config = config_now, .told = on_told
	};

	(void)state;
	lookups_free(&lookups);
	lookups = lookups_new(&o);
	assert_true(ask(1, 1, "192.0.2.7", "a@shop.example", "ai-ip "));
	assert_int_equal(told, 1);
	expect("{'ai-ip':" FAILED("it is no DNS block list, or there is no DNS") "}");
}

static void no_address(void **state)
{
	(void)state;
	assert_true(ask(1, 1, "", "", "ai-ip "));
	wait_for(1);
	expect("{'ai-ip':" FAILED("there is no client\\u0027s address") "}");
}

/* Another mm-smtpd counts from 1 again: what its predecessor asked is not its answer. */
static void another_life(void **state)
{
	(void)state;
	assert_true(ask(1, 1, "192.0.2.7", "", "ai-mute "));
	assert_true(ask(1, 2, "192.0.2.7", "", "ai-ip "));
	assert_true(ask(2, 1, "192.0.2.8", "", "ai-ip "));
	wait_for(1);
	assert_int_equal(told_life, 2);
	expect("{'ai-ip':" LISTED("192.0.2.8") ",'connection':true}}");
	loop_timer_set(patience, 60000);
	assert_true(ask(2, 2, "192.0.2.9", "", "ai-mute "));
	wait_for(2);
	assert_int_equal(told_number, 2);
}

static bool ask_bytes(const void *at, size_t n)
{
	return lookups_ask(lookups, 1, slice_of(at, n));
}

/* An mm-smtpd that was broken into. */
static void nonsense_is_none(void **state)
{
	static const char good[] = "\1\0\0\0\0\0\0\0"
	                           "\7\0\0\0"
	                           "1.2.3.4"
	                           "\0\0\0\0"
	                           "\0\0\0\0"
	                           "\2\0\0\0"
	                           "ai";
	static char long_helo[3000];
	const size_t n = sizeof(good) - 1;
	char bad[sizeof(good) + 8];
	struct buf b;

	(void)state;
	assert_true(ask_bytes(good, n));
	assert_int_equal(told, 1);
	for (size_t i = 0; i < n; i++)
		assert_false(ask_bytes(good, i));
	memcpy(bad, good, n);
	bad[12] = 'x'; /* no address */
	assert_false(ask_bytes(bad, n));
	memcpy(bad, good, n);
	bad[n - 1] = 0; /* no text */
	assert_false(ask_bytes(bad, n));
	memcpy(bad, good, n);
	memset(bad + n, 0, 4); /* an empty id */
	assert_false(ask_bytes(bad, n + 4));
	assert_false(ask(1, 1, "192.0.2.7", "", ""));
	assert_false(ask(1, 1, "192.0.2.7", "", "1 2 3 4 5 6 7 8 9 "));
	assert_false(ask(1, 1, "192.0.2.7", "",
	                 "ai-0123456789012345678901234567890123456789012345678901234567890123 "));
	buf_init(&b, 8192);
	assert_int_equal(buf_add(&b, slice_of(good, 19)), RC_OK);
	assert_int_equal(buf_put_slice(&b, slice_of(long_helo, sizeof(long_helo))), RC_OK);
	assert_int_equal(buf_add(&b, slice_of(good + 23, n - 23)), RC_OK);
	assert_false(ask_bytes(b.at, b.len));
	buf_free(&b);
	assert_int_equal(told, 1);
	/* more than may be open */
	for (unsigned i = 0; i < WIRE_ASKS_MOST; i++)
		assert_true(ask(1, i, "192.0.2.7", "", "ai-mute "));
	assert_false(ask(1, 1, "192.0.2.7", "", "ai-mute "));
	assert_int_equal(told, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lists_are_asked, begin, end),
		cmocka_unit_test_setup_teardown(nothing_is_said, begin, end),
		cmocka_unit_test_setup_teardown(without_dns, begin, end),
		cmocka_unit_test_setup_teardown(no_address, begin, end),
		cmocka_unit_test_setup_teardown(another_life, begin, end),
		cmocka_unit_test_setup_teardown(nonsense_is_none, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
