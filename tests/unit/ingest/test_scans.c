#include "tests/unit/test.h"

#include <dirent.h>
#include <signal.h>

#include "base/log.h"
#include "ingest/scans.h"
#include "tests/unit/ingest/fake_scanner.h"
#include "tests/unit/ingest/quoted.h"

#define WAIT_S 60 /* for what comes at once, on a machine that does much else */

static char program[4200];

/* What a test has: a home, the thread, and up to two scanners. */
struct rig {
	struct home *home;
	struct addons addons;
	json_t *config;
	struct scans *scans;
	struct fake *fake[2];
	pthread_mutex_t lock;
	pthread_cond_t woken;
	unsigned wakes;
};

static struct rig rig; /* of the test that runs */

static void on_woken(void *arg)
{
	struct rig *r = arg;

	(void)pthread_mutex_lock(&r->lock);
	r->wakes++;
	(void)pthread_cond_broadcast(&r->woken);
	(void)pthread_mutex_unlock(&r->lock);
}

static void open_scans(struct rig *r, const char *config)
{
	struct err e = { 0 };

	r->config = quoted(config);
	(void)pthread_mutex_init(&r->lock, NULL);
	(void)pthread_cond_init(&r->woken, NULL);
	EXPECT_OK(addons_read(&r->addons, r->config, &e), &e);
	EXPECT_OK(scans_home(&r->home, r->config, program, &e), &e);
	EXPECT_OK(scans_new(&r->scans, r->home, &r->addons, on_woken, r, &e), &e);
}

/* With the port of the first scanner in the place of the first "@", of the second in that of the
 * next. */
static void open_rig(struct rig *r, bool http, const char *config)
{
	struct slice rest = slice_str(config);
	struct buf text;

	*r = (struct rig) { .fake = { fake_new(http, 0, NULL), fake_new(http, 0, NULL) } };
	buf_init(&text, 4096);
	for (int i = 0; rest.len; i++) {
		assert_int_equal(buf_add(&text, slice_cut(rest, '@', &rest)), RC_OK);
		if (rest.len)
			assert_int_equal(buf_addf(&text, "%u", r->fake[i]->port), RC_OK);
	}
	open_scans(r, buf_text(&text));
	buf_free(&text);
}

/* Of a test that failed, too: its threads would go on in the next one. */
static int close_rig(void **state)
{
	struct rig *r = &rig;

	(void)state;
	scans_free(&r->scans);
	home_stop(&r->home);
	addons_free(&r->addons);
	json_decref(r->config);
	fake_free(&r->fake[0]);
	fake_free(&r->fake[1]);
	rig = (struct rig) { .home = NULL };
	return 0;
}

static const struct slice recipients[] = { { (const uint8_t *)"b@corp.example", 14 },
	                                   { (const uint8_t *)"c@corp.example", 14 } };

static uint64_t ask_all(struct rig *r, const char *const *names, size_t count, struct slice raw)
{
	struct scan_instance i[4];
	char ids[4][32];
	struct scan_facts f = { .id = slice_str("01ABC"),
		                .helo = slice_str("mx.shop.example"),
		                .mail_from = slice_str("a@shop.example"),
		                .recipients = recipients,
		                .recipient_count = 2 };

	(void)ip_parse(&f.client, slice_str("192.0.2.1"));
	for (size_t k = 0; k < count; k++) {
		(void)snprintf(ids[k], sizeof(ids[k]), "ai-%zu", k);
		i[k] = (struct scan_instance) { slice_str(ids[k]), slice_str(names[k]) };
	}
	return scans_ask(r->scans, i, count, raw, &f);
}

static uint64_t ask(struct rig *r, const char *name, const char *raw)
{
	return ask_all(r, &name, 1, slice_str(raw));
}

/* The next result, and its number. */
static json_t *take(struct rig *r, uint64_t *number)
{
	struct timespec until;
	json_t *addons = NULL;
	bool there;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	(void)pthread_mutex_lock(&r->lock);
	while (!(there = scans_take(r->scans, number, &addons)) &&
	       pthread_cond_timedwait(&r->woken, &r->lock, &until) == 0)
		;
	(void)pthread_mutex_unlock(&r->lock);
	assert_true(there);
	return addons;
}

static void expect_said(json_t *addons, const char *want)
{
	json_t *o = quoted(want);
	char *text = json_dumps(addons, JSON_COMPACT);

	if (!json_equal(addons, o))
		fail_msg("%s, want %s", text, want);
	free(text);
	json_decref(o);
	json_decref(addons);
}

static void expect(struct rig *r, uint64_t asked, const char *want)
{
	uint64_t number;
	json_t *addons = take(r, &number);

	assert_int_equal(number, asked);
	expect_said(addons, want);
}

static void expect_failed(struct rig *r, uint64_t asked, const char *why)
{
	uint64_t number;
	json_t *addons = take(r, &number);
	const json_t *said = json_object_get(addons, "ai-0");

	assert_int_equal(number, asked);
	EXPECT_SLICE(why, json_member_text(said, "verdict"), "PROCESSING_FAILED");
	assert_null(json_object_get(said, "fields"));
	if (!strstr(json_string_value(json_object_get(said, "why")), why))
		fail_msg("\"%s\", want \"%s\"", json_string_value(json_object_get(said, "why")),
		         why);
	json_decref(addons);
}

/* Has the scanner's outage been noticed? */
static bool is_down(struct rig *r, const char *name)
{
	json_t *all = scans_status(r->scans);
	bool down = json_object_get(json_object_get(all, name), "down") != NULL;

	json_decref(all);
	return down;
}

static int64_t counted(struct rig *r, const char *name, const char *what)
{
	json_t *all = scans_status(r->scans);
	int64_t n = json_member_int(json_object_get(all, name), what, -1);

	json_decref(all);
	return n;
}

#define CLEAN "{'ai-0':{'verdict':'PASS','fields':{'category':'CLEAN','isPassed':true}}}"
#define MALWARE                                                                                    \
	"{'ai-0':{'verdict':'FAIL','fields':{'category':'MALWARE','signature':'Eicar',"            \
	"'isPassed':false}}}"

static const char ok[] = "stream: OK"; /* with their NUL */
static const char found[] = "stream: Eicar FOUND";

/* ---- clamd ---- */

static void expect_bytes(struct fake *f, struct slice raw)
{
	(void)pthread_mutex_lock(&f->lock);
	assert_int_equal(f->last.len, raw.len);
	assert_memory_equal(f->last.at, raw.at, raw.len);
	(void)pthread_mutex_unlock(&f->lock);
}

static void test_clamd(void **state)
{
	uint8_t *large = mem_new(3000001);
	const char *name = "V";

	(void)state;
	open_rig(&rig, false, "{'V':{'clamd':'127.0.0.1:@'}}");
	fake_says(rig.fake[0], ok, sizeof(ok));
	expect(&rig, ask(&rig, "V", "Subject: x\r\n\r\nbody\r\n"), CLEAN);
	expect_bytes(rig.fake[0], slice_str("Subject: x\r\n\r\nbody\r\n"));
	fake_says(rig.fake[0], found, sizeof(found));
	expect(&rig, ask(&rig, "V", ""), MALWARE);
	for (size_t i = 0; i < 3000001; i++)
		large[i] = (uint8_t)(i * 7 + (i >> 8));
	expect(&rig, ask_all(&rig, &name, 1, slice_of(large, 3000001)), MALWARE);
	expect_bytes(rig.fake[0], slice_of(large, 3000001));
	assert_int_equal(counted(&rig, "V", "scanned"), 3);
	assert_int_equal(counted(&rig, "V", "failed"), 0);
	free(large);
}

static void test_clamd_unix_and_by_name(void **state)
{
	char path[] = "/tmp/mm-fake-XXXXXX";
	char config[300];

	(void)state;
	assert_non_null(mkdtemp(path));
	(void)snprintf(config, sizeof(config), "%s/sock", path);
	rig.fake[0] = fake_new(false, 0, config);
	rig.fake[1] = fake_new(false, 0, NULL);
	fake_says(rig.fake[0], found, sizeof(found));
	fake_says(rig.fake[1], ok, sizeof(ok));
	(void)snprintf(config, sizeof(config),
	               "{'U':{'clamd':'%s/sock'},'N':{'clamd':'localhost:%u'}}", path,
	               rig.fake[1]->port);
	open_scans(&rig, config);
	expect(&rig, ask(&rig, "U", "x"), MALWARE);
	expect(&rig, ask(&rig, "N", "x"), CLEAN);
	(void)snprintf(config, sizeof(config), "%s/sock", path);
	(void)unlink(config);
	(void)rmdir(path);
}

static void test_clamd_goes_wrong(void **state)
{
	static const char size[] = "INSTREAM size limit exceeded. ERROR";
	static const char memory[] = "stream: Can't allocate memory ERROR";
	static const char nonsense[] = "220 mail.example ESMTP";
	static char endless[4096];
	uint8_t *large = mem_new(3000000);
	const char *name = "V";

	(void)state;
	memset(endless, 'x', sizeof(endless));
	open_rig(&rig, false, "{'V':{'clamd':'127.0.0.1:@'}}");
	fake_says(rig.fake[0], nonsense, sizeof(nonsense));
	expect_failed(&rig, ask(&rig, "V", "x"), "no answer of clamd's: 220 mail");
	assert_true(is_down(&rig, "V"));
	fake_says(rig.fake[0], ok, sizeof(ok));
	expect(&rig, ask(&rig, "V", "x"), CLEAN);
	assert_false(is_down(&rig, "V"));
	fake_says(rig.fake[0], memory, sizeof(memory));
	expect_failed(&rig, ask(&rig, "V", "x"), "allocate");
	rig.fake[0]->way = FAKE_HANGS_UP;
	expect_failed(&rig, ask(&rig, "V", "x"), "hung up");
	rig.fake[0]->way = FAKE_POURS;
	fake_says(rig.fake[0], endless, sizeof(endless));
	expect_failed(&rig, ask(&rig, "V", "x"), "without an end");
	/* It says so before it has all of a message that is too long, and that is no outage. */
	rig.fake[0]->way = FAKE_ANSWERS;
	fake_says(rig.fake[0], ok, sizeof(ok));
	expect(&rig, ask(&rig, "V", "x"), CLEAN);
	rig.fake[0]->way = FAKE_EARLY;
	fake_says(rig.fake[0], size, sizeof(size));
	expect_failed(&rig, ask_all(&rig, &name, 1, slice_of(large, 3000000)), "");
	rig.fake[0]->way = FAKE_ANSWERS;
	expect_failed(&rig, ask(&rig, "V", "x"), "size limit exceeded");
	assert_false(is_down(&rig, "V"));
	free(large);
}

/* ---- HTTP ---- */

static void says_http(struct fake *f, const char *status, const char *body)
{
	char text[2048];
	char *json = quoted_text(body);
	int n = snprintf(
	        text, sizeof(text),
	        "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
	        status, strlen(json), json);

	fake_says(f, text, (size_t)n);
	free(json);
}

static void expect_head(struct fake *f, const char *line)
{
	(void)pthread_mutex_lock(&f->lock);
	if (slice_find(buf_slice(&f->last), slice_str(line)) == SIZE_MAX)
		fail_msg("no \"%s\" in \"%.*s\"", line, (int)f->last.len, (const char *)f->last.at);
	(void)pthread_mutex_unlock(&f->lock);
}

static void test_rspamd_and_our_own(void **state)
{

	(void)state;
	open_rig(&rig, true,
	         "{'R':{'rspamd':'http://127.0.0.1:@'},'O':{'http':'http://localhost:@/scan/"
	         "it?a=1'}}");
	says_http(rig.fake[0], "200 OK", "{'action':'reject','score':21,'symbols':{'GTUBE':{}}}");
	expect(&rig, ask(&rig, "R", "Subject: x\r\n\r\nbody"),
	       "{'ai-0':{'verdict':'FAIL','fields':{'category':'SPAM','action':'reject','score':'"
	       "21.00',"
	       "'symbols':' GTUBE ','isPassed':false}}}");
	expect_head(rig.fake[0], "POST /checkv2 HTTP/1.1\r\n");
	expect_head(rig.fake[0], "\r\nIP: 192.0.2.1\r\n");
	expect_head(rig.fake[0], "\r\nHelo: mx.shop.example\r\n");
	expect_head(rig.fake[0], "\r\nFrom: a@shop.example\r\n");
	expect_head(rig.fake[0], "\r\nRcpt: b@corp.example\r\nRcpt: c@corp.example\r\n");
	expect_head(rig.fake[0], "\r\nQueue-Id: 01ABC\r\n");
	expect_head(rig.fake[0], "\r\n\r\nSubject: x\r\n\r\nbody");
	says_http(rig.fake[1], "200 OK", "{'verdict':'GRAY','fields':{'category':'BULK','n':3}}");
	expect(&rig, ask(&rig, "O", "x"),
	       "{'ai-0':{'verdict':'GRAY','fields':{'category':'BULK','n':'3','isPassed':false}}}");
	expect_head(rig.fake[1], "POST /scan/it?a=1 HTTP/1.1\r\nHost: localhost:");
	expect_head(rig.fake[1], "\r\nMM-Mail-From: a@shop.example\r\n");
	expect_head(rig.fake[1], "\r\nMM-Addon: O\r\n");
}

/* What is told of a message that came in. */
static void test_facts_of_mail(void **state)
{
	static const char meta[] =
	        "{'v':1,'mail_from':'ann@shop.example','rcpt':[{'to':'bob@corp.example'}],"
	        "'auth':'inp-7','auth_version':2,'helo':'laptop.example','ip':'192.0.2.7'}";
	const struct scan_instance i = { slice_str("ai-0"), slice_str("O") };
	const struct message_id id = { { 1 } };
	char *text = quoted_text(meta);
	struct mail m;
	struct err e;

	(void)state;
	open_rig(&rig, true, "{'O':{'http':'http://127.0.0.1:@/'}}");
	says_http(rig.fake[0], "200 OK", "{'verdict':'PASS'}");
	EXPECT_OK(mail_read(&m, &id, 5, slice_str(text), false, &e), &e);
	expect(&rig, scans_ask_mail(rig.scans, &i, 1, &m, slice_str("x")),
	       "{'ai-0':{'verdict':'PASS','fields':{'isPassed':true}}}");
	expect_head(rig.fake[0],
	            "\r\nMM-Client-IP: 192.0.2.7\r\nMM-Helo: laptop.example\r\n"
	            "MM-Mail-From: ann@shop.example\r\nMM-Rcpt-To: bob@corp.example\r\n");
	expect_head(rig.fake[0], "\r\nMM-User: inp-7\r\n");
	mail_free(&m);
	free(text);
}

static void test_http_goes_wrong(void **state)
{
	static const struct {
		const char *status;
		const char *body;
		const char *why;
		bool outage;
	} cases[] = {
		{ "500 Oh", "{'verdict':'PASS'}", "it answers 500", true },
		{ "413 Too large", "", "it answers 413", false },
		{ "302 Found\r\nLocation: http://127.0.0.1:1/", "{'verdict':'PASS'}", "302", true },
		{ "200 OK", "{'verdict':'MAYBE'}", "no result", true },
		{ "200 OK", "<html>", "no JSON", true },
		{ "200 OK", "", "no JSON", true },
	};

	(void)state;
	open_rig(&rig, true, "{'O':{'http':'http://127.0.0.1:@/'}}");
	for (size_t i = 0; i < COUNT(cases); i++) {
		says_http(rig.fake[0], "200 OK", "{'verdict':'PASS'}");
		expect(&rig, ask(&rig, "O", "x"),
		       "{'ai-0':{'verdict':'PASS','fields':{'isPassed':true}}}");
		assert_false(is_down(&rig, "O"));
		says_http(rig.fake[0], cases[i].status, cases[i].body);
		expect_failed(&rig, ask(&rig, "O", "x"), cases[i].why);
		EXPECT(cases[i].why, is_down(&rig, "O") == cases[i].outage);
	}
	fake_says(rig.fake[0], "SSH-2.0-x\r\n", 11);
	expect_failed(&rig, ask(&rig, "O", "x"), "");
	rig.fake[0]->way = FAKE_HANGS_UP;
	expect_failed(&rig, ask(&rig, "O", "x"), "");
	rig.fake[0]->way = FAKE_POURS;
	fake_says(rig.fake[0], "HTTP/1.1 200 OK\r\n\r\n", 19);
	expect_failed(&rig, ask(&rig, "O", "x"), "more than 262144 bytes");
}

/* ---- who is away, or slow ---- */

static uint16_t some_port(void)
{
	struct fake *f = fake_new(false, 0, NULL);
	uint16_t port = f->port;

	fake_free(&f);
	return port;
}

static void test_away_for_a_while(void **state)
{
	uint16_t port = some_port();
	char config[100];
	uint64_t asked[3];

	(void)state;
	(void)snprintf(config, sizeof(config), "{'V':{'clamd':'127.0.0.1:%u','deadline':600}}",
	               port);
	open_scans(&rig, config);
	for (int i = 0; i < 3; i++)
		asked[i] = ask(&rig, "V", "x");
	while (!is_down(&rig, "V"))
		clock_sleep_ms(5);
	rig.fake[0] = fake_new(false, port, NULL);
	fake_says(rig.fake[0], ok, sizeof(ok));
	for (int i = 0; i < 3; i++) {
		uint64_t number;
		json_t *said = take(&rig, &number);

		assert_true(number >= asked[0] && number <= asked[2]);
		expect_said(said, CLEAN);
	}
	assert_false(is_down(&rig, "V"));
	assert_int_equal(counted(&rig, "V", "failed"), 0);
}

static void test_away_for_long(void **state)
{
	uint16_t port = some_port();
	char config[100];
	uint64_t number;

	(void)state;
	(void)snprintf(config, sizeof(config), "{'V':{'clamd':'127.0.0.1:%u','deadline':1}}", port);
	open_scans(&rig, config);
	for (int i = 0; i < 30; i++)
		(void)ask(&rig, "V", "x");
	for (int i = 0; i < 30; i++)
		json_decref(take(&rig, &number));
	assert_int_equal(counted(&rig, "V", "failed"), 30);
	/* now no message waits for it any more, and it is tried all the same */
	for (int i = 0; i < 30; i++)
		expect_failed(&rig, ask(&rig, "V", "x"), "no connection");
	rig.fake[0] = fake_new(false, port, NULL);
	fake_says(rig.fake[0], ok, sizeof(ok));
	do {
		(void)ask(&rig, "V", "x");
		json_decref(take(&rig, &number));
		clock_sleep_ms(20);
	} while (is_down(&rig, "V"));
	expect(&rig, ask(&rig, "V", "x"), CLEAN);
}

static void test_slow(void **state)
{

	(void)state;
	open_rig(&rig, false,
	         "{'V':{'clamd':'127.0.0.1:@','deadline':1},'W':{'clamd':'127.0.0.1:@'}}");
	fake_says(rig.fake[0], ok, sizeof(ok));
	fake_says(rig.fake[1], found, sizeof(found));
	rig.fake[0]->way = FAKE_HOLDS;
	expect_failed(&rig, ask(&rig, "V", "x"), "no answer within 1 s");
	assert_true(is_down(&rig, "V"));
	expect(&rig, ask(&rig, "W", "x"), MALWARE); /* costs no other scanner anything */
	rig.fake[0]->way = FAKE_ANSWERS;
	expect(&rig, ask(&rig, "V", "x"), CLEAN);
	assert_false(is_down(&rig, "V"));
}

/* What another scanner is asked meanwhile puts no deadline off. */
static void test_slow_beside_others(void **state)
{
	uint64_t slow, number = 0;
	unsigned asked = 0;

	(void)state;
	open_rig(&rig, false,
	         "{'V':{'clamd':'127.0.0.1:@','deadline':1},'W':{'clamd':'127.0.0.1:@'}}");
	fake_says(rig.fake[1], ok, sizeof(ok));
	rig.fake[0]->way = FAKE_HOLDS;
	slow = ask(&rig, "V", "x");
	for (; number != slow && asked < 3000; asked++) {
		json_t *addons = NULL;

		(void)ask(&rig, "W", "x");
		clock_sleep_ms(10);
		while (number != slow && scans_take(rig.scans, &number, &addons))
			json_decref(addons);
	}
	assert_true(number == slow);
	assert_true(asked > 50);
}

static void test_so_many_at_once(void **state)
{
	uint64_t number;

	(void)state;
	open_rig(&rig, false, "{'V':{'clamd':'127.0.0.1:@','at_once':3,'deadline':600}}");
	fake_says(rig.fake[0], ok, sizeof(ok));
	rig.fake[0]->way = FAKE_HOLDS;
	for (int i = 0; i < 20; i++)
		(void)ask(&rig, "V", "x");
	while (rig.fake[0]->now < 3)
		clock_sleep_ms(5);
	assert_int_equal(counted(&rig, "V", "waiting"), 17);
	rig.fake[0]->way = FAKE_ANSWERS;
	for (int i = 0; i < 20; i++)
		expect_said(take(&rig, &number), CLEAN);
	/* one that has answered may not have hung up yet when the next one comes */
	assert_true(rig.fake[0]->most >= 3 && rig.fake[0]->most <= 6);
	assert_int_equal(rig.fake[0]->all, 20);
	assert_int_equal(counted(&rig, "V", "waiting"), 0);
}

/* ---- what else is asked ---- */

static void test_several_instances(void **state)
{
	static const char *const names[] = { "V", "UNKNOWN", "D", "W" };
	struct scan_instance all[4], lists[4];

	(void)state;
	open_rig(&rig, false,
	         "{'V':{'clamd':'127.0.0.1:@'},'D':{'dnsbl':'a.example','lists':'ip'},"
	         "'W':{'clamd':'127.0.0.1:@'}}");
	fake_says(rig.fake[0], ok, sizeof(ok));
	fake_says(rig.fake[1], found, sizeof(found));
	expect(&rig, ask_all(&rig, names, 4, slice_str("x")),
	       "{'ai-0':{'verdict':'PASS','fields':{'category':'CLEAN','isPassed':true}},"
	       "'ai-1':{'verdict':'PROCESSING_FAILED','why':'no scanner is configured for it'},"
	       "'ai-3':{'verdict':'FAIL','fields':{'category':'MALWARE','signature':'Eicar',"
	       "'isPassed':false}}}");
	for (size_t i = 0; i < 4; i++)
		all[i] = (struct scan_instance) { slice_str("ai"), slice_str(names[i]) };
	assert_int_equal(scans_lists(rig.scans, all, 4, lists), 1);
	EXPECT_SLICE("the list", lists[0].addon, "D");
	expect(&rig, ask(&rig, "D", "x"), "{}");
	expect(&rig, ask_all(&rig, names, 0, slice_str("x")), "{}");
}

static void test_without_any_scanner(void **state)
{
	struct err e;

	(void)state;
	(void)pthread_mutex_init(&rig.lock, NULL);
	(void)pthread_cond_init(&rig.woken, NULL);
	EXPECT_OK(addons_read(&rig.addons, NULL, &e), &e);
	EXPECT_OK(scans_new(&rig.scans, NULL, &rig.addons, on_woken, &rig, &e), &e);
	expect_failed(&rig, ask(&rig, "V", "x"), "no scanner is configured for it");
}

static void test_forgotten(void **state)
{
	uint64_t number;
	json_t *said;

	(void)state;
	open_rig(&rig, false,
	         "{'V':{'clamd':'127.0.0.1:@','at_once':2},'W':{'clamd':'127.0.0.1:@'}}");
	fake_says(rig.fake[0], ok, sizeof(ok));
	rig.fake[0]->way = FAKE_HOLDS;
	for (int i = 0; i < 10; i++)
		(void)ask(&rig, "V", "x");
	(void)ask(&rig, "UNKNOWN", "x"); /* its result is there, and goes */
	while (rig.fake[0]->now < 2)
		clock_sleep_ms(5);
	scans_forget(rig.scans);
	assert_false(scans_take(rig.scans, &number, &said));
	while (counted(&rig, "V", "waiting"))
		clock_sleep_ms(5);
	rig.fake[0]->way = FAKE_ANSWERS;
	expect(&rig, ask(&rig, "V", "x"), CLEAN);
	assert_false(scans_take(rig.scans, &number, &said));
	assert_true(rig.fake[0]->all <= 4);
}

static void test_freed_under_way(void **state)
{

	(void)state;
	open_rig(&rig, false, "{'V':{'clamd':'127.0.0.1:@','at_once':2}}");
	rig.fake[0]->way = FAKE_HOLDS;
	for (int i = 0; i < 10; i++)
		(void)ask(&rig, "V", "x");
	while (rig.fake[0]->now < 2)
		clock_sleep_ms(5);
	(void)ask(&rig, "V", "x"); /* its thread may not have it yet */
}

/* ---- processes that die ---- */

/* Of that parent; 0: none. */
static pid_t child_of(pid_t parent, const char *name)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	pid_t pid = 0;

	while (!pid && (d = readdir(proc)) != NULL) {
		char path[300];
		char text[300] = "";
		char comm[64] = "";
		int ppid = 0;
		FILE *f;

		(void)snprintf(path, sizeof(path), "/proc/%s/stat", d->d_name);
		f = d->d_name[0] >= '1' && d->d_name[0] <= '9' ? fopen(path, "re") : NULL;
		if (!f)
			continue;
		if (fgets(text, sizeof(text), f) &&
		    sscanf(text, "%*d (%63[^)]) %*c %d", comm, &ppid) == 2 && ppid == parent &&
		    strcmp(comm, name) == 0)
			pid = (pid_t)strtol(d->d_name, NULL, 10);
		(void)fclose(f);
	}
	(void)closedir(proc);
	return pid;
}

/* Who hears tasks, kept by our child. */
static pid_t home_of(pid_t keeper)
{
	pid_t pid;

	while ((pid = child_of(keeper, "mm-scan")) == 0)
		clock_sleep_ms(5);
	return pid;
}

/* Who speaks to scanners: the home's oldest child is it while no connection is being made. */
static void kill_child(pid_t home)
{
	pid_t pid;

	while ((pid = child_of(home, "mm-scan")) == 0)
		clock_sleep_ms(5);
	assert_int_equal(kill(pid, SIGKILL), 0);
}

static void test_child_dies(void **state)
{
	pid_t home;
	uint64_t asked;

	(void)state;
	open_rig(&rig, false,
	         "{'V':{'clamd':'127.0.0.1:@','deadline':600},'W':{'clamd':'127.0.0.1:@'}}");
	fake_says(rig.fake[0], ok, sizeof(ok));
	fake_says(rig.fake[1], found, sizeof(found));
	expect(&rig, ask(&rig, "V", "x"), CLEAN);
	home = home_of(child_of(getpid(), "mm-scan"));
	/* what it had is asked once more */
	rig.fake[0]->way = FAKE_HOLDS;
	asked = ask(&rig, "V", "x");
	while (rig.fake[0]->all < 2)
		clock_sleep_ms(5);
	clock_sleep_ms(100); /* who connected ends */
	kill_child(home);
	while (rig.fake[0]->all < 3)
		clock_sleep_ms(5);
	rig.fake[0]->way = FAKE_ANSWERS;
	expect(&rig, asked, CLEAN);
	assert_false(is_down(&rig, "V"));
	/* and no third time */
	rig.fake[0]->way = FAKE_HOLDS;
	asked = ask(&rig, "V", "x");
	while (rig.fake[0]->all < 4)
		clock_sleep_ms(5);
	clock_sleep_ms(100);
	kill_child(home);
	while (rig.fake[0]->all < 5)
		clock_sleep_ms(5);
	clock_sleep_ms(100);
	kill_child(home);
	expect_failed(&rig, asked, "died");
	rig.fake[0]->way = FAKE_ANSWERS;
	expect(&rig, ask(&rig, "V", "x"), CLEAN);
	expect(&rig, ask(&rig, "W", "x"), MALWARE);
}

static void kill_home(pid_t home)
{
	assert_int_equal(kill(home, SIGKILL), 0);
	while (child_of(home, "mm-scan"))
		clock_sleep_ms(5);
}

/* It is made again, by one of two processes; only both together are its end. */
static void test_home_dies(void **state)
{
	pid_t keeper, home;

	(void)state;
	open_rig(&rig, false, "{'V':{'clamd':'127.0.0.1:@','deadline':5}}");
	fake_says(rig.fake[0], ok, sizeof(ok));
	expect(&rig, ask(&rig, "V", "x"), CLEAN);
	keeper = child_of(getpid(), "mm-scan");
	kill_home(home_of(keeper));
	expect(&rig, ask(&rig, "V", "x"), CLEAN);
	home = home_of(keeper);
	assert_int_equal(kill(keeper, SIGKILL), 0);
	while (child_of(keeper, "mm-scan"))
		clock_sleep_ms(5);
	expect(&rig, ask(&rig, "V", "x"), CLEAN);
	kill_home(home);
	expect_failed(&rig, ask(&rig, "V", "x"), "");
	assert_true(is_down(&rig, "V"));
}

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
	(void)snprintf(program, sizeof(program), "%s/../bin/mm-scan", self);
	(void)signal(SIGPIPE, SIG_IGN);
	log_init("test", LOG_ERROR + 1); /* it tells of each outage */
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_clamd, close_rig),
		cmocka_unit_test_teardown(test_clamd_unix_and_by_name, close_rig),
		cmocka_unit_test_teardown(test_clamd_goes_wrong, close_rig),
		cmocka_unit_test_teardown(test_rspamd_and_our_own, close_rig),
		cmocka_unit_test_teardown(test_facts_of_mail, close_rig),
		cmocka_unit_test_teardown(test_http_goes_wrong, close_rig),
		cmocka_unit_test_teardown(test_away_for_a_while, close_rig),
		cmocka_unit_test_teardown(test_away_for_long, close_rig),
		cmocka_unit_test_teardown(test_slow, close_rig),
		cmocka_unit_test_teardown(test_slow_beside_others, close_rig),
		cmocka_unit_test_teardown(test_so_many_at_once, close_rig),
		cmocka_unit_test_teardown(test_several_instances, close_rig),
		cmocka_unit_test_teardown(test_without_any_scanner, close_rig),
		cmocka_unit_test_teardown(test_forgotten, close_rig),
		cmocka_unit_test_teardown(test_freed_under_way, close_rig),
		cmocka_unit_test_teardown(test_child_dies, close_rig),
		cmocka_unit_test_teardown(test_home_dies, close_rig),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
