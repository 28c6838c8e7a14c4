/*
 * tests/helpers/sigv4_check.c - the verifier and the signer, for tests/peers/T800-sigv4.py
 *
 * Each line on stdin is a command in JSON, answered by one line of JSON on stdout.
 *
 * {"op": "check", "raw": BASE64, "now": MS, "use": "call", "keys": {ID: SECRET}, "once": false}
 *         Reads the request, head and body, as mm-httpd does, and verifies it. "verdict": "good" or
 *         the exception's name, with "text"; or the "status" that the head was refused with. With
 *         "once" a signature is good only once.
 * {"op": "sign", "method", "path", "query", "fields": [[NAME, VALUE], ...], "payload", "s3": false,
 *  "id", "secret", "region", "service"}
 *         "authorization". With "seconds" and "at" (ms): "query", that of a presigned URL.
 * {"op": "bench", "raw", "now", "keys", "count": N}
 *         Microseconds for claim and verification: "warm" with the derived key at hand, "cold"
 *         without, "wrong" with another secret.
 */
#include <stdio.h>
#include <stdlib.h>

#include "api/http_head.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/codec.h"
#include "base/log.h"
#include "base/sigv4_seen.h"

#define LINE_BYTES ((size_t)1 << 24)
#define UNKNOWN    "no key has this secret, but it is as long"

struct state {
	struct sigv4_derived derived;
	struct sigv4_seen *seen;
};

struct request {
	struct http_head head;
	struct sigv4_request signed_part;
	char hash[SIGV4_HASH + 1];
	struct buf raw;
};

static bool read_request(struct request *q, const json_t *command, json_t *out)
{
	buf_init(&q->raw, LINE_BYTES);
	MUST(base64_decode(&q->raw, json_member_text(command, "raw")) == RC_OK);
	http_head_init(&q->head, LINE_BYTES);
	if (http_head_read(&q->head, buf_slice(&q->raw)) != HTTP_WHOLE) {
		json_put_int(out, "status", q->head.status);
		json_put_text(out, "text", slice_str(q->head.why ? q->head.why : "not whole"));
		return false;
	}
	sigv4_hash(q->hash, slice_part(buf_slice(&q->raw), q->head.head_bytes, q->head.body_bytes));
	q->signed_part = (struct sigv4_request) {
		.method = q->head.method_name,
		.path = q->head.path,
		.query = q->head.query,
		.fields = q->head.fields,
		.count = q->head.count,
		.rule = SIGV4_PATH_TWICE,
	};
	return true;
}

static enum sigv4_verdict verify(const struct request *q, const json_t *command,
                                 struct sigv4_claim *claim, struct sigv4_derived *derived,
                                 struct err *e)
{
	bool link = slice_equal(json_member_text(command, "use"), slice_str("link"));
	struct slice secret;
	enum sigv4_verdict v = sigv4_claim(claim, &q->signed_part, link ? SIGV4_LINK : SIGV4_CALL,
	                                   "ses", json_member_int(command, "now", 0), e);

	if (v != SIGV4_GOOD)
		return v;
	secret = json_member_text(json_member_object(command, "keys"), claim->key_id);
	if (!secret.at)
		return sigv4_verify(claim, &q->signed_part, slice_str(q->hash), slice_str(UNKNOWN),
		                    NULL, e);
	return sigv4_verify(claim, &q->signed_part, slice_str(q->hash), secret, derived, e);
}

static void run_check(struct state *s, const json_t *command, json_t *out)
{
	struct request q = { 0 };
	struct sigv4_claim claim;
	struct err e = { 0 };
	const char *verdict = "good";
	enum sigv4_verdict v;

	if (read_request(&q, command, out)) {
		v = verify(&q, command, &claim, &s->derived, &e);
		if (v != SIGV4_GOOD)
			verdict = sigv4_exception(v);
		else if (json_member_bool(command, "once", false) &&
		         sigv4_seen_add(s->seen, 0, claim.signature, claim.until_ms,
		                        json_member_int(command, "now", 0)) != SIGV4_FIRST)
			verdict = "seen";
		json_put_text(out, "verdict", slice_str(verdict));
		json_put_text(out, "text", slice_str(e.text));
	}
	buf_free(&q.raw);
}

static void run_sign(const json_t *command, json_t *out)
{
	const json_t *list = json_member_array(command, "fields");
	struct http_field fields[LIMIT_HTTP_FIELDS];
	struct sigv4_request r = {
		.method = json_member_text(command, "method"),
		.path = json_member_text(command, "path"),
		.query = json_member_text(command, "query"),
		.fields = fields,
		.count = MIN_OF(json_array_size(list), COUNT(fields)),
		.rule = json_member_bool(command, "s3", false) ? SIGV4_PATH_ONCE : SIGV4_PATH_TWICE,
	};
	const struct sigv4_signer signer = { json_member_text(command, "id"),
		                             json_member_text(command, "secret"),
		                             json_member_text(command, "region"),
		                             json_member_text(command, "service") };
	struct slice payload = json_member_text(command, "payload");
	int64_t seconds = json_member_int(command, "seconds", 0);
	struct buf text;
	struct err e = { 0 };
	enum rc rc;

	for (size_t i = 0; i < r.count; i++)
		fields[i] = (struct http_field) {
			json_text(json_array_get(json_array_get(list, i), 0)),
			json_text(json_array_get(json_array_get(list, i), 1))
		};
	buf_init(&text, LINE_BYTES);
	if (seconds)
		rc = sigv4_presign(&text, &signer, &r, payload, json_member_int(command, "at", 0),
		                   (unsigned)seconds, &e);
	else
		rc = sigv4_sign(&text, &signer, &r, payload, &e);
	json_put_text(out,
	              rc != RC_OK ? "error"
	              : seconds   ? "query"
	                          : "authorization",
	              rc != RC_OK ? slice_str(e.text) : buf_slice(&text));
	buf_free(&text);
}

static void bench(const struct request *q, const json_t *command, const char *name,
                  struct sigv4_derived *derived, json_t *out)
{
	int64_t count = json_member_int(command, "count", 1);
	int64_t began = clock_mono_ms();
	struct sigv4_claim claim;
	struct err e;
	char line[32];

	for (int64_t i = 0; i < count; i++)
		(void)verify(q, command, &claim, derived, &e);
	(void)snprintf(line, sizeof(line), "%.2f",
	               (double)(clock_mono_ms() - began) * 1000 / (double)count);
	json_put_text(out, name, slice_str(line));
}

static void run_bench(struct state *s, json_t *command, json_t *out)
{
	struct request q = { 0 };

	if (read_request(&q, command, out)) {
		bench(&q, command, "warm", &s->derived, out);
		bench(&q, command, "cold", NULL, out);
		MUST(json_object_clear(json_member_object(command, "keys")) == 0);
		bench(&q, command, "wrong", &s->derived, out);
	}
	buf_free(&q.raw);
}

static void run(struct state *s, const char *line)
{
	json_t *out = json_object();
	json_t *command = NULL;
	struct slice op;
	struct buf text;
	struct err e = { 0 };

	buf_init(&text, LINE_BYTES);
	if (json_read(&command, slice_str(line), &e) != RC_OK)
		json_put_text(out, "error", slice_str(e.text));
	op = json_member_text(command, "op");
	if (slice_equal(op, slice_str("check")))
		run_check(s, command, out);
	else if (slice_equal(op, slice_str("sign")))
		run_sign(command, out);
	else if (slice_equal(op, slice_str("bench")))
		run_bench(s, command, out);
	json_decref(command);
	MUST(json_write(&text, out) == RC_OK);
	MUST(puts(buf_text(&text)) >= 0 && fflush(stdout) == 0);
	json_decref(out);
	buf_free(&text);
}

int main(void)
{
	struct state s = { .seen = sigv4_seen_new(1000, 1000) };
	char *line = NULL;
	size_t room = 0;

	log_init("sigv4_check", LOG_INFO);
	sigv4_init();
	while (getline(&line, &room, stdin) > 0)
		run(&s, line);
	free(line);
	sigv4_seen_free(&s.seen);
	return 0;
}
