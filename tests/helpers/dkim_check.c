/*
 * tests/helpers/dkim_check.c - DKIM and ARC by the resolver, for tests/peers/T510, T515 and T518
 *
 * dkim_check ADDR@PORT      sends every lookup to that server
 *
 * Each line on stdin is a command in JSON, answered by one line of JSON on stdout. Messages are
 * base64; "now" is in seconds.
 *
 * {"op": "check", "raw", "now"}
 *         "dkim": the best result; "signatures": of each "result", "why", "domain", "selector",
 *         "identity", "algorithm", "bits"; "arc", "arc_why", "sets", "sealer".
 * {"op": "seal", "raw", "now", "domain", "selector", "authserv", "key": PEM, "results"}
 *         "set": the three fields that go in front of the message (base64), after it was checked;
 *         or "error".
 * {"op": "bench", "raw", "now", "count": N}
 *         "us": microseconds for one check of DKIM, with the key's record at hand.
 */
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/json.h"
#include "base/log.h"
#include "ingest/verdict/arc.h"
#include "ingest/verdict/dkim.h"
#include "ingest/verdict/resolver.h"

#define LINE_BYTES ((size_t)1 << 27)

struct state {
	struct loop *loop;
	struct resolver *resolver;
};

struct question {
	struct buf text;
	struct raw_message m;
	int64_t now_s;
	struct answers *answers;
	struct dkim *dkim;
	struct arc *arc;
	struct arc_answer arc_answer;
};

static void done(void *arg)
{
	loop_stop(arg);
}

static void look_up(struct state *s, struct answers *a)
{
	(void)resolver_ask(s->resolver, a, done, s->loop);
	loop_run(s->loop, NULL, NULL);
}

static enum rc read_question(struct question *q, const json_t *command, struct err *e)
{
	buf_init(&q->text, LINE_BYTES);
	q->now_s = json_member_int(command, "now", 0);
	q->answers = answers_new();
	if (base64_decode(&q->text, json_member_text(command, "raw")) != RC_OK)
		return err_set(e, RC_INVALID, "raw isn't base64");
	return raw_read(&q->m, buf_slice(&q->text), e);
}

static void free_question(struct question *q)
{
	dkim_free(&q->dkim);
	arc_free(&q->arc);
	answers_free(&q->answers);
	raw_free(&q->m);
	buf_free(&q->text);
}

static void judge(struct state *s, struct question *q)
{
	enum rc dkim, arc;

	q->dkim = dkim_new(&q->m, q->now_s);
	q->arc = arc_new(&q->m, q->now_s);
	for (;;) {
		dkim = dkim_check(q->dkim, q->answers);
		arc = arc_check(q->arc, q->answers, &q->arc_answer);
		if (dkim == RC_OK && arc == RC_OK)
			return;
		look_up(s, q->answers);
	}
}

static json_t *signature_json(const struct dkim_signature *d)
{
	json_t *out = json_object();

	json_put_text(out, "result", slice_str(dkim_word(d->result)));
	json_put_text(out, "why", slice_str(d->why));
	json_put_text(out, "domain", d->domain);
	json_put_text(out, "selector", d->selector);
	json_put_text(out, "identity", d->identity);
	json_put_text(out, "algorithm", d->algorithm);
	json_put_int(out, "bits", d->key_bits);
	return out;
}

static void run_check(struct state *s, struct question *q, json_t *out)
{
	json_t *list = json_array();

	judge(s, q);
	for (size_t i = 0; i < dkim_count(q->dkim); i++)
		json_push(list, signature_json(dkim_at(q->dkim, i)));
	json_put_text(out, "dkim", slice_str(dkim_word(dkim_best(q->dkim))));
	json_put(out, "signatures", list);
	json_put_text(out, "arc", slice_str(arc_word(q->arc_answer.result)));
	json_put_text(out, "arc_why", slice_str(q->arc_answer.why));
	json_put_text(out, "sealer", slice_str(q->arc_answer.sealer));
	json_put_int(out, "sets", q->arc_answer.sets);
}

static EVP_PKEY *read_key(const json_t *command)
{
	struct slice pem = json_member_text(command, "key");
	BIO *b = BIO_new_mem_buf(pem.at, (int)pem.len);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);

	BIO_free(b);
	return key;
}

static void put_base64(json_t *out, const char *name, struct slice bytes)
{
	struct buf text;

	buf_init(&text, LINE_BYTES);
	MUST(base64_encode(&text, bytes) == RC_OK);
	json_put_text(out, name, buf_slice(&text));
	buf_free(&text);
}

static void run_seal(struct state *s, const json_t *command, struct question *q, json_t *out)
{
	char *domain = slice_string(json_member_text(command, "domain"));
	char *selector = slice_string(json_member_text(command, "selector"));
	char *authserv = slice_string(json_member_text(command, "authserv"));
	const struct arc_sealer by = { domain, selector, authserv, read_key(command), q->now_s };
	struct buf set;
	struct err e = { 0 };

	judge(s, q);
	buf_init(&set, LINE_BYTES);
	if (!by.key)
		json_put_text(out, "error", slice_str("key isn't a private key in PEM"));
	else if (arc_seal(&by, &q->m, q->arc_answer.result, json_member_text(command, "results"),
	                  &set, &e) != RC_OK)
		json_put_text(out, "error", slice_str(e.text));
	else
		put_base64(out, "set", buf_slice(&set));
	buf_free(&set);
	EVP_PKEY_free(by.key);
	free(domain);
	free(selector);
	free(authserv);
}

static void run_bench(struct state *s, const json_t *command, struct question *q, json_t *out)
{
	int64_t count = json_member_int(command, "count", 1);
	int64_t began;
	struct dkim *d;
	char text[32];

	judge(s, q);
	began = clock_mono_ms();
	for (int64_t i = 0; i < count; i++) {
		d = dkim_new(&q->m, q->now_s);
		MUST(dkim_check(d, q->answers) == RC_OK);
		dkim_free(&d);
	}
	(void)snprintf(text, sizeof(text), "%.2f",
	               (double)(clock_mono_ms() - began) * 1000 / (double)count);
	json_put_text(out, "us", slice_str(text));
	json_put_text(out, "dkim", slice_str(dkim_word(dkim_best(q->dkim))));
}

static void run(struct state *s, const json_t *command, json_t *out)
{
	struct slice op = json_member_text(command, "op");
	struct question q = { 0 };
	struct err e = { 0 };

	if (read_question(&q, command, &e) != RC_OK)
		json_put_text(out, "error", slice_str(e.text));
	else if (slice_equal(op, slice_str("check")))
		run_check(s, &q, out);
	else if (slice_equal(op, slice_str("seal")))
		run_seal(s, command, &q, out);
	else if (slice_equal(op, slice_str("bench")))
		run_bench(s, command, &q, out);
	free_question(&q);
}

static void answer(struct state *s, const char *line)
{
	json_t *out = json_object();
	json_t *command = NULL;
	struct buf text;
	struct err e = { 0 };

	if (json_read(&command, slice_str(line), &e) != RC_OK)
		json_put_text(out, "error", slice_str(e.text));
	else
		run(s, command, out);
	json_decref(command);
	buf_init(&text, LINE_BYTES);
	MUST(json_write(&text, out) == RC_OK);
	MUST(puts(buf_text(&text)) >= 0 && fflush(stdout) == 0);
	buf_free(&text);
	json_decref(out);
}

int main(int argc, char **argv)
{
	const struct resolver_options o = { .forward = argc > 1 ? argv[1] : NULL,
		                            .deadline_ms = 20000 };
	struct state s = { .loop = loop_new() };
	char *line = NULL;
	size_t room = 0;
	struct err e;

	log_init("dkim_check", LOG_INFO);
	dkim_init();
	if (resolver_new(&s.resolver, s.loop, &o, &e) != RC_OK) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	while (getline(&line, &room, stdin) > 0)
		answer(&s, line);
	free(line);
	resolver_free(&s.resolver);
	loop_free(&s.loop);
	return 0;
}
