/*
 * tests/helpers/compose_run.c - what a mail task would send, for tests/peers and tests/cli
 *
 * compose_run [DIR KEY-FILE]    a data directory that no mmd has: its keys sign
 *
 * Each line on stdin is a question in JSON, answered by one line of JSON on stdout. Bytes are
 * base64.
 *
 * {"raw", "receipt", "verdicts", "headers", "recipient", "trace", "now_ms", "dkim", "arc"}
 *         "out": the message as it is sent; "loop": why it goes in a circle; or "error". "dkim" and
 * "arc" are
 *         {"domain", "selector", "key": PEM}; "dkim": true takes the key of the directory for the
 * domain of From.
 * {"dsn": {"raw", "sender", "recipients": [{"address", "orcpt", "kind", "status", "diagnostic",
 * "remote"}], "full", "envid", "bounce", "now_ms"}}    "out": the notification.
 */
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/engine.h"
#include "base/codec.h"
#include "base/log.h"
#include "ingest/action/dkim_sign.h"
#include "ingest/action/dsn.h"
#include "ingest/verdict/canon.h"
#include "store/crypt.h"

#define LINE_BYTES ((size_t)1 << 27)
#define HOSTNAME   "mm.test"
#define INSTANCE   "k7q2w9x4b1n8m3z6"
#define MOST_TOLD  100

static struct engine *en;

/* NULL: it isn't there. Of the question. */
static const char *text_of(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

static void read_raw(struct buf *raw, const json_t *o)
{
	buf_init(raw, LINE_BYTES);
	MUST(base64_decode(raw, json_member_text(o, "raw")) == RC_OK);
}

static void put_base64(json_t *out, struct slice bytes)
{
	struct buf text;

	buf_init(&text, LINE_BYTES);
	MUST(base64_encode(&text, bytes) == RC_OK);
	json_put_text(out, "out", buf_slice(&text));
	buf_free(&text);
}

/* ---- keys ---- */

struct key {
	struct compose_key k;
	char *domain, *selector; /* of a key of the directory */
};

static bool find_key(struct key *key, struct slice raw)
{
	char from[256];
	struct err e;

	return en && compose_from_domain(from, raw) &&
	       dkim_key_find(en->control, slice_str(from), &key->domain, &key->selector,
	                     &key->k.key, &e) == RC_OK;
}

static const struct compose_key *key_of(struct key *key, const json_t *given, struct slice raw)
{
	struct slice pem = json_member_text(given, "key");
	BIO *b;

	*key = (struct key) { .domain = NULL };
	if (json_is_object(given)) {
		b = BIO_new_mem_buf(pem.at, (int)pem.len);
		key->k.key = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
		BIO_free(b);
		key->k.domain = text_of(given, "domain");
		key->k.selector = text_of(given, "selector");
		MUST(key->k.key && key->k.domain && key->k.selector);
		return &key->k;
	}
	if (!json_is_true(given) || !find_key(key, raw))
		return NULL;
	key->k.domain = key->domain;
	key->k.selector = key->selector;
	return &key->k;
}

static void key_free(struct key *key)
{
	compose_key_free(&key->k);
	free(key->domain);
	free(key->selector);
}

/* ---- answers ---- */

static void read_memory(struct buf *to, int fd, uint64_t bytes)
{
	buf_init(to, LINE_BYTES);
	MUST(buf_reserve(to, bytes) == RC_OK && pread(fd, to->at, bytes, 0) == (ssize_t)bytes);
	to->len = bytes;
	MUST(close(fd) == 0);
}

static void run_compose(const json_t *q, json_t *out)
{
	struct mail m = { .json = json_incref(json_object_get(q, "receipt")) };
	struct compose c = { .mail = &m, .hostname = HOSTNAME, .instance = INSTANCE };
	struct key dkim, arc;
	struct buf raw, sent;
	struct err e = { 0 };
	uint64_t bytes;
	int fd;

	read_raw(&raw, q);
	m.receipt = m.json;
	m.helo = json_member_text(m.receipt, "helo");
	m.ip = json_member_text(m.receipt, "ip");
	m.received_ms = c.now_ms = json_member_int(q, "now_ms", 0);
	if (json_member_object(q, "verdicts"))
		mail_set_verdicts(&m, json_incref(json_member_object(q, "verdicts")));
	c.raw = buf_slice(&raw);
	c.headers = json_member_array(q, "headers");
	c.recipient = text_of(q, "recipient");
	c.trace = json_member_bool(q, "trace", true);
	c.dkim = key_of(&dkim, json_object_get(q, "dkim"), c.raw);
	c.arc = key_of(&arc, json_object_get(q, "arc"), c.raw);
	if (compose_memory(&c, &fd, &bytes, &e) == RC_OK) {
		read_memory(&sent, fd, bytes);
		put_base64(out, buf_slice(&sent));
		buf_free(&sent);
	} else {
		json_put_text(out, "error", slice_str(e.text));
	}
	if (compose_loop(c.raw, INSTANCE))
		json_put_text(out, "loop", slice_str(compose_loop(c.raw, INSTANCE)));
	key_free(&dkim);
	key_free(&arc);
	buf_free(&raw);
	mail_free(&m);
}

static struct dsn_recipient recipient_of(const json_t *o)
{
	return (struct dsn_recipient) { text_of(o, "address"),
		                        text_of(o, "orcpt"),
		                        (enum dsn_kind)json_member_int(o, "kind", DSN_FAILED),
		                        text_of(o, "status"),
		                        text_of(o, "diagnostic"),
		                        text_of(o, "remote") };
}

static void run_dsn(const json_t *q, json_t *out)
{
	struct dsn_recipient told[MOST_TOLD];
	const json_t *list = json_member_array(q, "recipients");
	struct mail m = { .mail_from = json_member_text(q, "sender") };
	int64_t now = json_member_int(q, "now_ms", 0);
	struct dsn d = { .mail = &m,
		         .hostname = HOSTNAME,
		         .envid = text_of(q, "envid"),
		         .full = json_member_bool(q, "full", false),
		         .now_ms = now,
		         .arrived_ms = now - 3600000,
		         .tried_ms = now,
		         .until_ms = now + 86400000,
		         .recipients = told,
		         .recipient_count = MIN_OF(json_array_size(list), (size_t)MOST_TOLD),
		         .id = "0cq7nh44uo0000000000000001" };
	const json_t *bounce = json_member_object(q, "bounce");
	struct buf raw, text;
	struct err e = { 0 };
	enum rc rc;

	for (size_t i = 0; i < d.recipient_count; i++)
		told[i] = recipient_of(json_array_get(list, i));
	read_raw(&raw, q);
	d.raw = buf_slice(&raw);
	buf_init(&text, LINE_BYTES);
	rc = bounce ? dsn_write_bounce(&d, bounce, &text, &e) : dsn_write(&d, &text, &e);
	if (rc == RC_OK)
		put_base64(out, buf_slice(&text));
	else
		json_put_text(out, "error", slice_str(e.text));
	buf_free(&text);
	buf_free(&raw);
}

static void answer(const char *line)
{
	json_t *out = json_object();
	json_t *q = NULL;
	struct buf text;
	struct err e;

	MUST(json_read(&q, slice_str(line), &e) == RC_OK);
	if (json_member_object(q, "dsn"))
		run_dsn(json_member_object(q, "dsn"), out);
	else
		run_compose(q, out);
	buf_init(&text, LINE_BYTES);
	MUST(json_write(&text, out) == RC_OK);
	MUST(puts(buf_text(&text)) >= 0 && fflush(stdout) == 0);
	buf_free(&text);
	json_decref(out);
	json_decref(q);
}

int main(int argc, char **argv)
{
	struct engine_options opt = { .program = "compose_run" };
	char *line = NULL;
	size_t room = 0;
	struct err e = { 0 };

	log_init("compose_run", LOG_ERROR);
	crypt_init();
	canon_init();
	if (argc > 2) {
		opt.dir = argv[1];
		opt.key_file = argv[2];
		if (engine_open(&en, &opt, &e) != RC_OK) {
			(void)fprintf(stderr, "compose_run: %s\n", e.text);
			return 1;
		}
	}
	while (getline(&line, &room, stdin) > 0)
		answer(line);
	free(line);
	engine_close(&en);
	return 0;
}
