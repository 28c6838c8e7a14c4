/* tests/unit/ingest/test_gate.c - the gate behind real SMTP sessions, with a real spool behind it
 */
#include "ingest/gate.h"

#include <stdio.h>
#include <stdlib.h>

#include <unistd.h>

#include "base/codec.h"
#include "base/file.h"
#include "base/log.h"
#include "ingest/spool/spool.h"
#include "ingest/wire.h"
#include "store/crypt.h"
#include "tests/unit/cert.h"
#include "tests/unit/ingest/quoted.h"
#include "tests/unit/test.h"

static struct buf chain, key;

struct rig {
	char dir[32];
	struct loop *loop;
	struct keyring *keys;
	struct spool *spool;
	struct gate *gate;
	unsigned files; /* that the writer gets; then it waits */
	int64_t ask_ms;
	struct gate_session *session;
	unsigned wakes;
	bool tls_asked;
	struct buf asked; /* the last question about add-ons */
	unsigned asks;
	char said[8192];
};

/* --- the process around the gate --- */

static void on_need(struct rig *r, bool big)
{
	struct spool_new_file f;
	struct err e;

	if (!big && !r->files)
		return;
	if (big) {
		EXPECT_OK(spool_make_big(r->spool, SPOOL_WRITER_SMTP, &f, &e), &e);
		spool_writer_give_big(gate_spool(r->gate), f.number, f.fd);
		return;
	}
	r->files--;
	EXPECT_OK(spool_make_file(r->spool, SPOOL_WRITER_SMTP, &f, &e), &e);
	EXPECT_OK(spool_writer_give_file(gate_spool(r->gate), f.number, f.fd, f.capacity,
	                                 f.public_key, &e),
	          &e);
}

static void on_need_file(void *app)
{
	on_need(app, false);
}

static void on_need_big(void *app)
{
	on_need(app, true);
}

static void on_progress(void *app, uint64_t file, uint64_t offset, uint64_t messages)
{
	spool_durable(((struct rig *)app)->spool, SPOOL_WRITER_SMTP, file, offset, messages);
}

static void on_ask(void *app, struct slice body)
{
	struct rig *r = app;

	r->asks++;
	buf_clear(&r->asked);
	assert_int_equal(buf_add(&r->asked, body), RC_OK);
}

static const struct gate_host host = { on_need_file, on_need_big, on_progress, on_ask };

static void on_wake(void *arg)
{
	struct rig *r = arg;

	r->wakes++;
	loop_stop(r->loop);
}

static void on_start_tls(void *arg)
{
	((struct rig *)arg)->tls_asked = true;
}

static const struct gate_session_ops session_ops = { on_wake, on_start_tls };

static void after_round(void *arg)
{
	gate_flush(((struct rig *)arg)->gate);
}

/* Recipients at local.test are let in by the policy of the file; then two lists are asked. */
static void ask_lists(json_t *config)
{
	json_t *policy = json_array_get(json_object_get(config, "TrafficPolicies"), 0);
	json_t *statements = json_object_get(policy, "PolicyStatements");
	json_t *instances = quoted("[{'AddonInstanceId':'ai-ip','Version':1,'AddonName':'IP'},"
	                           "{'AddonInstanceId':'ai-dom','Version':1,'AddonName':'DOM'}]");

	json_put(config, "AddonInstances", instances);
	json_push(statements,
	          quoted("{'Action':'DENY','Conditions':[{'StringExpression':{'Evaluate':{"
	                 "'Attribute':'RECIPIENT'},'Operator':'STARTS_WITH','Values':['guarded']}},"
	                 "{'BooleanExpression':{'Evaluate':{'Analysis':{'Analyzer':'ai-ip',"
	                 "'ResultField':'isListed'}},'Operator':'IS_TRUE'}}]}"));
	json_push(statements,
	          quoted("{'Action':'DENY','Conditions':[{'StringExpression':{'Evaluate':{"
	                 "'Attribute':'RECIPIENT'},'Operator':'STARTS_WITH','Values':['guarded']}},"
	                 "{'StringExpression':{'Evaluate':{'Analysis':{'Analyzer':'ai-dom',"
	                 "'ResultField':'verdict'}},'Operator':'EQUALS','Values':['FAIL',"
	                 "'PROCESSING_FAILED']}}]}"));
}

/* The file of the tests by foreign clients; `hash` becomes the password's. */
static struct config *read_config(const char *hash)
{
	struct buf text;
	json_t *j = NULL;
	struct config *c = NULL;
	struct err e;

	buf_init(&text, 1 << 20);
	EXPECT_OK(file_read_all("tests/data/front.json", &text, &e), &e);
	EXPECT_OK(json_read(&j, buf_slice(&text), &e), &e);
	if (hash)
		json_put_text(json_array_get(json_object_get(j, "Passwords"), 0), "Hash",
		              slice_str(hash));
	ask_lists(j);
	EXPECT_OK(config_new(&c, j, &e), &e);
	json_decref(j);
	buf_free(&text);
	return c;
}

static void configure(struct rig *r)
{
	struct tls_cert cert = { buf_slice(&chain), buf_slice(&key) };
	struct gate_options opt = {
		.hostname = "gw.test", .message_bytes = 1000000, .certs = &cert, .cert_count = 1
	};
	struct config *c = read_config(NULL);

	opt.ask_ms = r->ask_ms;
	struct err e;

	EXPECT_OK(gate_configure(r->gate, c, &opt, &e), &e);
	config_unref(&c);
}

static void rig_start_with(struct rig *r, unsigned files, int64_t ask_ms)
{
	static const uint8_t master[KEY_BYTES] = { 7 };
	struct spool_options opt = { .file_bytes = 1048576 };
	struct spool_writer_options writer = { .writer = SPOOL_WRITER_SMTP };
	struct err e;

	memset(r, 0, sizeof(*r));
	memcpy(r->dir, "/tmp/mm-gate.XXXXXX", 20);
	assert_non_null(mkdtemp(r->dir));
	r->files = files;
	r->ask_ms = ask_ms;
	buf_init(&r->asked, WIRE_NEWS_MAX);
	r->loop = loop_new();
	EXPECT_OK(keyring_create(r->dir, master, &e), &e);
	EXPECT_OK(keyring_open(&r->keys, r->dir, master, &e), &e);
	EXPECT_OK(spool_open(&r->spool, r->dir, r->keys, &opt, &e), &e);
	EXPECT_OK(gate_new(&r->gate, r->loop, &writer, &host, r, &e), &e);
	configure(r);
	gate_flush(r->gate);
}

static void rig_start(struct rig *r, unsigned files)
{
	rig_start_with(r, files, 0);
}

static enum rc remove_one(void *arg, const char *name, struct err *e)
{
	char *path = path_join(arg, name);
	enum rc rc = file_remove(path, e);

	free(path);
	return rc;
}

static void rig_end(struct rig *r)
{
	char *spool = path_join(r->dir, "spool");
	struct err e;

	gate_session_free(&r->session);
	gate_free(&r->gate);
	buf_free(&r->asked);
	spool_close(&r->spool);
	keyring_close(&r->keys);
	loop_free(&r->loop);
	EXPECT_OK(dir_list(spool, remove_one, spool, &e), &e);
	assert_int_equal(rmdir(spool), 0);
	free(spool);
	EXPECT_OK(dir_list(r->dir, remove_one, r->dir, &e), &e);
	assert_int_equal(rmdir(r->dir), 0);
}

/* --- a session --- */

#define EXPECT_SAYS(said, code) EXPECT(said, strncmp(said, code, 3) == 0)

/* What came out since the last call. */
static const char *hear(struct rig *r)
{
	struct smtp_session *s = gate_session_smtp(r->session);
	struct slice out = smtp_session_output(s);

	(void)snprintf(r->said, sizeof(r->said), "%.*s", (int)out.len, (const char *)out.at);
	smtp_session_output_sent(s, out.len);
	return r->said;
}

static void begin(struct rig *r, const char *ingress)
{
	struct gate_point *p = gate_point(r->gate, slice_str(ingress));
	struct gate_peer peer = { .port = 4711, .local_port = 25 };

	assert_non_null(p);
	assert_true(ip_parse(&peer.ip, slice_str("192.0.2.7")));
	assert_true(ip_parse(&peer.local_ip, slice_str("2001:db8::1")));
	gate_session_free(&r->session);
	r->session = gate_session_new(r->gate, p, &peer, &session_ops, r);
	gate_point_free(&p);
	smtp_session_greet(gate_session_smtp(r->session));
	EXPECT_SAYS(hear(r), "220");
}

static void wait_for_answer(struct rig *r)
{
	gate_flush(r->gate);
	loop_run(r->loop, after_round, r);
}

static const char *say_bytes(struct rig *r, struct slice in)
{
	struct smtp_session *s = gate_session_smtp(r->session);

	while (in.len) {
		size_t n = smtp_session_input(s, in);

		in = slice_from(in, n);
		if (!n && smtp_session_wants_input(s))
			break;
		while (in.len && !smtp_session_wants_input(s))
			wait_for_answer(r);
	}
	while (!smtp_session_wants_input(s) && !r->tls_asked && !smtp_session_closing(s))
		wait_for_answer(r);
	return hear(r);
}

static const char *say(struct rig *r, const char *text)
{
	return say_bytes(r, slice_str(text));
}

static void secure(struct rig *r)
{
	EXPECT_SAYS(say(r, "EHLO a.test\r\n"), "250");
	EXPECT_SAYS(say(r, "STARTTLS\r\n"), "220");
	assert_true(r->tls_asked);
	r->tls_asked = false;
	assert_true(gate_session_secured(r->session, "TLSv1.3", "TLS_AES_256_GCM_SHA384",
	                                 slice_of(NULL, 0)));
	smtp_session_tls_started(gate_session_smtp(r->session));
	EXPECT_SAYS(say(r, "EHLO a.test\r\n"), "250");
}

/* --- the tests --- */

static const char OPEN[] = "inp-aaaaaaaaaaaaaaaaaaaaaaaa";
static const char AUTH[] = "inp-cccccccccccccccccccccccc";

static json_t *next_meta(struct rig *r, struct spool_record *rec)
{
	json_t *j = NULL;
	struct err e;

	EXPECT_OK(spool_next(r->spool, rec, &e), &e);
	EXPECT_OK(json_read(&j, rec->meta, &e), &e);
	return j;
}

static void test_envelope(void **state)
{
	struct rig r;
	struct spool_record rec;
	json_t *j, *rcpt;

	(void)state;
	rig_start(&r, 2);
	begin(&r, OPEN);
	EXPECT_SAYS(say(&r, "EHLO a.test\r\n"), "250");
	EXPECT_SAYS(say(&r, "MAIL FROM:<s@x.test> BODY=8BITMIME RET=HDRS ENVID=a+2Bb\r\n"), "250");
	EXPECT_SAYS(say(&r, "RCPT TO:<\"a\\\"b\"@local.test> NOTIFY=NEVER\r\n"), "250");
	EXPECT_SAYS(say(&r, "RCPT TO:<b@remote.test>\r\n"), "550");
	EXPECT_SAYS(say(&r, "RCPT TO:<c@local.test> ORCPT=rfc822;c+40d.test\r\n"), "250");
	EXPECT_SAYS(say(&r, "DATA\r\n"), "354");
	EXPECT_SAYS(say(&r, "Subject: x\r\n\r\n..dot\r\n.\r\n"), "250");
	spool_record_init(&rec);
	j = next_meta(&r, &rec);
	EXPECT_SLICE("raw", rec.raw, "Subject: x\r\n\r\n.dot\r\n");
	EXPECT_SLICE("from", json_member_text(j, "mail_from"), "s@x.test");
	EXPECT_SLICE("body", json_member_text(j, "body"), "8BITMIME");
	EXPECT_SLICE("ret", json_member_text(j, "ret"), "HDRS");
	EXPECT_SLICE("envid", json_member_text(j, "envid"), "a+b");
	EXPECT_SLICE("ip", json_member_text(j, "ip"), "192.0.2.7");
	EXPECT_SLICE("local", json_member_text(j, "local"), "[2001:db8::1]:25");
	EXPECT_SLICE("helo", json_member_text(j, "helo"), "a.test");
	EXPECT_SLICE("ingress", json_member_text(j, "ingress"), "inbound");
	EXPECT_SLICE("rules", json_member_text(j, "rule_set"), "rs-aaaaaaaaaaaaaaaaaaaaaaaa");
	EXPECT_SLICE("policy", json_member_text(j, "policy"), "tp-aaaaaaaaaaaaaaaaaaaaaaaa");
	assert_int_equal(json_member_int(j, "policy_version", 0), 7);
	assert_int_equal(json_member_int(j, "rule_set_version", 0), 3);
	assert_int_equal(json_member_int(j, "port", 0), 4711);
	assert_true(json_member_bool(j, "esmtp", false));
	assert_null(json_object_get(j, "auth"));
	assert_null(json_object_get(j, "tls"));
	rcpt = json_member_array(j, "rcpt");
	assert_int_equal(json_array_size(rcpt), 2);
	EXPECT_SLICE("quoted", json_member_text(json_array_get(rcpt, 0), "to"),
	             "\"a\\\"b\"@local.test");
	EXPECT_SLICE("notify", json_member_text(json_array_get(rcpt, 0), "notify"), "NEVER");
	EXPECT_SLICE("orcpt", json_member_text(json_array_get(rcpt, 1), "orcpt"),
	             "rfc822;c@d.test");
	json_decref(j);
	spool_record_free(&rec);
	rig_end(&r);
}

static void send_one(struct rig *r)
{
	EXPECT_SAYS(say(r, "MAIL FROM:<>\r\n"), "250");
	EXPECT_SAYS(say(r, "RCPT TO:<c@local.test>\r\n"), "250");
	EXPECT_SAYS(say(r, "DATA\r\n"), "354");
}

/* The peer leaves at every point of a transaction; only what was ended is kept. */
static void test_lost_connections(void **state)
{
	static const struct {
		const char *last;
		bool kept;
	} ends[] = {
		{ "half a line", false },
		{ "", false },
		{ "all\r\n.", false },
		{ "all\r\n.\r\n", true },
	};
	struct rig r;
	struct spool_record rec;
	struct err e;

	(void)state;
	rig_start(&r, 2);
	spool_record_init(&rec);
	for (size_t i = 0; i < COUNT(ends); i++) {
		struct slice in = slice_str(ends[i].last);

		begin(&r, OPEN);
		EXPECT_SAYS(say(&r, "HELO a.test\r\n"), "250");
		send_one(&r);
		assert_int_equal(smtp_session_input(gate_session_smtp(r.session), in), in.len);
		assert_int_equal(gate_session_doing(r.session),
		                 ends[i].kept ? GATE_WAITS : GATE_BODY);
		gate_session_free(&r.session); /* the loop never ran: no answer came */
	}
	gate_stop(r.gate);
	spool_writer_gone(r.spool, SPOOL_WRITER_SMTP);
	json_decref(next_meta(&r, &rec));
	EXPECT_SLICE("raw", rec.raw, "all\r\n");
	assert_int_equal(spool_next(r.spool, &rec, &e), RC_AGAIN);
	assert_int_equal(r.wakes, 0);
	spool_record_free(&rec);
	rig_end(&r);
}

static void test_no_storage(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, 0);
	begin(&r, OPEN);
	EXPECT_SAYS(say(&r, "EHLO a.test\r\n"), "250");
	EXPECT_SAYS(say(&r, "MAIL FROM:<>\r\n"), "250");
	EXPECT_SAYS(say(&r, "RCPT TO:<c@local.test>\r\n"), "250");
	EXPECT_SAYS(say(&r, "DATA\r\n"), "452");
	gate_pause(r.gate, true);
	EXPECT_SAYS(say(&r, "RSET\r\n"), "250");
	EXPECT_SAYS(say(&r, "MAIL FROM:<>\r\n"), "452");
	assert_non_null(strstr(r.said, "4.3.1"));
	gate_pause(r.gate, false);
	EXPECT_SAYS(say(&r, "MAIL FROM:<>\r\n"), "250");
	rig_end(&r);
}

/* Base64 of NUL, user, NUL, password. */
static const char *auth_plain(const char *authzid, const char *user, const char *password)
{
	static char line[400];
	struct buf raw, text;

	buf_init(&raw, 1000);
	buf_init(&text, 1000);
	MUST(buf_add_str(&raw, authzid) == RC_OK && buf_add_byte(&raw, 0) == RC_OK);
	MUST(buf_add_str(&raw, user) == RC_OK && buf_add_byte(&raw, 0) == RC_OK);
	MUST(buf_add_str(&raw, password) == RC_OK);
	MUST(base64_encode(&text, buf_slice(&raw)) == RC_OK);
	(void)snprintf(line, sizeof(line), "AUTH PLAIN %s\r\n", buf_text(&text));
	buf_free(&raw);
	buf_free(&text);
	return line;
}

static void test_auth(void **state)
{
	static const struct {
		const char *authzid, *user, *password, *code;
	} tries[] = {
		{ "", "auth", "wrong", "535" },
		{ "", "inbound", "correct horse", "535" }, /* another ingress point's name */
		{ "", "nobody", "correct horse", "535" },
		{ "other", "auth", "correct horse", "535" },
		{ "auth", "auth", "correct horse", "235" },
		{ "", "auth", "correct horse", "235" },
		{ "", "inp-cccccccccccccccccccccccc", "correct horse", "235" },
	};
	struct rig r;
	struct spool_record rec;
	json_t *j;

	(void)state;
	rig_start(&r, 2);
	for (size_t i = 0; i < COUNT(tries); i++) {
		begin(&r, AUTH);
		secure(&r);
		EXPECT_SAYS(say(&r, auth_plain(tries[i].authzid, tries[i].user, tries[i].password)),
		            tries[i].code);
	}
	send_one(&r);
	EXPECT_SAYS(say(&r, ".\r\n"), "250");
	spool_record_init(&rec);
	j = next_meta(&r, &rec);
	EXPECT_SLICE("auth", json_member_text(j, "auth"), AUTH);
	EXPECT_SLICE("tls", json_member_text(json_object_get(j, "tls"), "version"), "TLSv1.3");
	json_decref(j);
	spool_record_free(&rec);
	/* Leaving while the password is being checked. */
	begin(&r, AUTH);
	secure(&r);
	r.wakes = 0;
	(void)!smtp_session_input(gate_session_smtp(r.session),
	                          slice_str(auth_plain("", "auth", "correct horse")));
	assert_int_equal(gate_session_doing(r.session), GATE_WAITS);
	gate_session_free(&r.session);
	rig_end(&r);
}

/* Tries that run in parallel count before they are checked. */
static void test_guesses(void **state)
{
	struct gate_session *many[30] = { NULL };
	struct rig r;
	unsigned waiting = 0, later = 0;

	(void)state;
	rig_start(&r, 2);
	for (size_t i = 0; i < COUNT(many); i++) {
		begin(&r, AUTH);
		secure(&r);
		many[i] = r.session;
		r.session = NULL;
	}
	for (size_t i = 0; i < COUNT(many); i++) {
		r.session = many[i];
		(void)!smtp_session_input(gate_session_smtp(many[i]),
		                          slice_str(auth_plain("", "auth", "guess")));
		if (gate_session_doing(many[i]) == GATE_WAITS)
			waiting++;
		else if (strncmp(hear(&r), "454", 3) == 0)
			later++;
	}
	assert_int_equal(waiting, 20);
	assert_int_equal(later, 10);
	r.session = NULL;
	for (size_t i = 0; i < COUNT(many); i++)
		gate_session_free(&many[i]);
	rig_end(&r);
}

static void test_configure(void **state)
{
	struct rig r;
	struct tls_cert bad = { slice_str("junk"), slice_str("junk") };
	struct gate_options opt = {
		.hostname = "gw.test", .message_bytes = 10, .certs = &bad, .cert_count = 1
	};
	struct config *c;
	struct err e;

	(void)state;
	rig_start(&r, 2);
	begin(&r, OPEN);
	EXPECT_SAYS(say(&r, "EHLO a.test\r\n"), "250");
	assert_non_null(strstr(r.said, "SIZE 1000000"));
	c = read_config(NULL);
	assert_int_equal(gate_configure(r.gate, c, &opt, &e), RC_INVALID);
	begin(&r, OPEN); /* as before */
	EXPECT_SAYS(say(&r, "EHLO a.test\r\n"), "250");
	assert_non_null(strstr(r.said, "SIZE 1000000"));
	opt.cert_count = 0;
	opt.message_bytes = 5000;
	EXPECT_OK(gate_configure(r.gate, c, &opt, &e), &e);
	config_unref(&c);
	/* An open connection goes on as it began; a new one sees the new state. */
	EXPECT_SAYS(say(&r, "EHLO a.test\r\n"), "250");
	assert_non_null(strstr(r.said, "STARTTLS"));
	begin(&r, OPEN);
	EXPECT_SAYS(say(&r, "EHLO a.test\r\n"), "250");
	assert_null(strstr(r.said, "STARTTLS"));
	assert_non_null(strstr(r.said, "SIZE 5000"));
	assert_null(gate_point(r.gate, slice_str("inp-none")));
	rig_end(&r);
}

/* ---- recipients that add-ons are asked about ---- */

/* As a peer's bytes come in; what isn't taken is left. */
static struct slice put_in(struct rig *r, struct slice in)
{
	struct smtp_session *s = gate_session_smtp(r->session);

	while (in.len && smtp_session_wants_input(s))
		in = slice_from(in, smtp_session_input(s, in));
	return in;
}

static void tell(struct rig *r, const char *said)
{
	json_t *j = quoted(said);
	struct buf body;

	buf_init(&body, 4096);
	assert_int_equal(buf_add(&body, slice_part(buf_slice(&r->asked), 0, 8)), RC_OK);
	assert_int_equal(json_write(&body, j), RC_OK);
	gate_told(r->gate, buf_slice(&body));
	buf_free(&body);
	json_decref(j);
}

/* The question: its texts behind the number, each with a blank. */
static const char *asked(const struct rig *r)
{
	static char text[1024];
	struct reader in = reader_over(slice_from(buf_slice(&r->asked), 8));
	size_t n = 0;

	text[0] = 0;
	while (in.rest.len) {
		struct slice s = read_slice(&in);

		assert_true(in.ok);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s ", (int)s.len,
		                      s.len ? (const char *)s.at : "");
	}
	return text;
}

#define IP_SAYS(listed, connection)                                                                \
	"'ai-ip':{'verdict':'PASS','fields':{'isListed':" listed "},'connection':" connection "}"
#define DOM_SAYS(verdict) "'ai-dom':{'verdict':'" verdict "','fields':{}}"

static void hello(struct rig *r)
{
	begin(r, OPEN);
	EXPECT_SAYS(say(r, "EHLO a.test\r\n"), "250");
	EXPECT_SAYS(say(r, "MAIL FROM:<s@x.test>\r\n"), "250");
}

static void test_held_recipient(void **state)
{
	struct rig r;
	struct spool_record rec;
	struct slice left;
	json_t *j;

	(void)state;
	rig_start(&r, 2);
	hello(&r);
	EXPECT_SAYS(say(&r, "RCPT TO:<c@local.test>\r\n"), "250");
	assert_int_equal(r.asks, 0); /* what is decided without them */
	left = put_in(&r, slice_str("RCPT TO:<guarded@local.test>\r\nRCPT TO:<guarded2@local."
	                            "test>\r\nRSET\r\n"));
	assert_int_equal(r.asks, 1);
	assert_string_equal(asked(&r), "192.0.2.7 a.test s@x.test ai-ip ai-dom ");
	assert_int_equal(gate_session_doing(r.session), GATE_WAITS);
	EXPECT_SLICE("left", left, "RCPT TO:<guarded2@local.test>\r\nRSET\r\n");
	EXPECT_SLICE("said", slice_str(hear(&r)), "");
	tell(&r, "{" IP_SAYS("false", "true") "," DOM_SAYS("PASS") "}");
	assert_int_equal(r.wakes, 1);
	EXPECT_SAYS(hear(&r), "250");
	tell(&r, "{" IP_SAYS("true", "true") "}");  /* once more: nobody waits */
	left = put_in(&r, slice_part(left, 0, 31)); /* the next recipient: it is known */
	EXPECT_SAYS(hear(&r), "250");
	assert_int_equal(r.asks, 1);
	EXPECT_SAYS(say(&r, "DATA\r\n"), "354");
	EXPECT_SAYS(say(&r, "x\r\n.\r\n"), "250");
	spool_record_init(&rec);
	j = next_meta(&r, &rec);
	assert_int_equal(json_array_size(json_member_array(j, "rcpt")), 3);
	json_decref(j);
	spool_record_free(&rec);
	/* The next transaction: the address is known, the sender isn't. */
	EXPECT_SAYS(say(&r, "MAIL FROM:<bad@y.test>\r\n"), "250");
	(void)put_in(&r, slice_str("RCPT TO:<guarded@local.test>\r\n"));
	assert_string_equal(asked(&r), "192.0.2.7 a.test bad@y.test ai-dom ");
	tell(&r, "{" DOM_SAYS("FAIL") "}");
	EXPECT_SAYS(hear(&r), "550");
	EXPECT_SAYS(say(&r, "RCPT TO:<guarded@local.test>\r\n"), "550");
	EXPECT_SAYS(say(&r, "RCPT TO:<c@local.test>\r\n"), "250");
	EXPECT_SAYS(say(&r, "DATA\r\n"), "354");
	EXPECT_SAYS(say(&r, "y\r\n.\r\n"), "250");
	spool_record_init(&rec);
	j = next_meta(&r, &rec);
	assert_int_equal(json_array_size(json_member_array(j, "rcpt")),
	                 1); /* without the refused */
	json_decref(j);
	spool_record_free(&rec);
	rig_end(&r);
}

/* What mmd leaves out, says too late or doesn't say is PROCESSING_FAILED: 451, since it is not
 * known. */
static void test_no_answer(void **state)
{
	struct rig r;

	(void)state;
	rig_start_with(&r, 2, 50);
	hello(&r);
	(void)put_in(&r, slice_str("RCPT TO:<guarded@local.test>\r\n"));
	wait_for_answer(&r); /* for the deadline */
	EXPECT_SAYS(hear(&r), "451");
	assert_non_null(strstr(r.said, "4.7.1"));
	tell(&r, "{" IP_SAYS("false", "true") "," DOM_SAYS("PASS") "}"); /* too late */
	EXPECT_SAYS(say(&r, "RCPT TO:<guarded@local.test>\r\n"), "451");
	assert_int_equal(r.asks, 1);
	EXPECT_SAYS(say(&r, "RSET\r\n"), "250");
	EXPECT_SAYS(say(&r, "MAIL FROM:<>\r\n"), "250");
	(void)put_in(&r, slice_str("RCPT TO:<guarded@local.test>\r\n"));
	assert_string_equal(asked(&r), "192.0.2.7 a.test  ai-ip ai-dom ");
	tell(&r, "{" IP_SAYS("true", "true") "}");
	EXPECT_SAYS(hear(&r), "550"); /* for what is known */
	rig_end(&r);
}

/* The peer, the server or the time ends the transaction while it waits. */
static void test_ends_while_waiting(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, 2);
	for (int i = 0; i < 3; i++) {
		hello(&r);
		(void)put_in(&r, slice_str("RCPT TO:<guarded@local.test>\r\n"));
		assert_int_equal(gate_session_doing(r.session), GATE_WAITS);
		r.wakes = 0;
		if (i == 0)
			gate_session_free(&r.session);
		else if (i == 1)
			smtp_session_timeout(gate_session_smtp(r.session), "4.3.2", "bye");
		else
			gate_wait_no_more(r.gate);
		assert_int_equal(r.wakes, i == 2);
		tell(&r, "{" IP_SAYS("false", "true") "}");
		assert_int_equal(r.wakes, i == 2);
		if (i)
			EXPECT_SAYS(hear(&r), i == 1 ? "421" : "451");
	}
	EXPECT_SAYS(say(&r, "RCPT TO:<guarded@local.test>\r\n"), "451"); /* it stops */
	EXPECT_SAYS(say(&r, "RCPT TO:<c@local.test>\r\n"), "250");
	assert_int_equal(r.asks, 3);
	rig_end(&r);
}

/* Questions of peers that have gone count until mmd has answered them. */
static void test_too_many_questions(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, 2);
	for (unsigned i = 0; i < WIRE_ASKS_MOST; i++) {
		hello(&r);
		(void)put_in(&r, slice_str("RCPT TO:<guarded@local.test>\r\n"));
		assert_int_equal(r.asks, i + 1);
	}
	hello(&r);
	EXPECT_SAYS(say(&r, "RCPT TO:<guarded@local.test>\r\n"), "451");
	assert_non_null(strstr(r.said, "4.3.2"));
	tell(&r, "{}");
	(void)put_in(&r, slice_str("RCPT TO:<guarded@local.test>\r\n"));
	assert_int_equal(gate_session_doing(r.session), GATE_WAITS);
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_envelope),
		cmocka_unit_test(test_lost_connections),
		cmocka_unit_test(test_no_storage),
		cmocka_unit_test(test_auth),
		cmocka_unit_test(test_guesses),
		cmocka_unit_test(test_configure),
		cmocka_unit_test(test_held_recipient),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_ends_while_waiting),
		cmocka_unit_test(test_too_many_questions),
	};
	int failed;

	log_init("test_gate", LOG_ERROR);
	tls_init();
	crypt_init();
	cert_make("gw.test", &chain, &key);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	buf_free(&chain);
	buf_free(&key);
	return failed;
}
