/*
 * tests/helpers/call_run.c - requests of actions by the caller itself, for tests/peers
 *
 * call_run ENDPOINTS [PROGRAM]    the configuration's section "endpoints" as JSON; what stands for
 * mm-deliver
 *
 * Each line on stdin is a call in JSON, answered by a line when it has ended, in any order:
 *   {"id", "action", "spec", "raw" (base64), "receipt", "message", "received", "recipients", "text"
 * (base64)} an action of the API with its members, for a message. "recipients" and "text" may be
 * absent.
 *   {"id", "call": {"endpoint", "method", "path", "query", "prefix", "fields": [[NAME, VALUE]],
 * "body" (base64), "ms"}} a bare request. Answers: {"id", "end", "status", "answer" (base64),
 * "function_error", "why"}, and for an action "result": {"end", "disposition", "text"}; or {"id",
 * "refused": RC, "why"} for one that can't be made. "ready" comes first. At the end of stdin what
 * is under way is waited for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/home.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/sealed.h"
#include "ingest/action/payload.h"

#define MOST ((size_t)3 * LIMIT_MESSAGE_BYTES)

struct asked {
	struct asked *next;
	uint64_t number;
	json_t *json;
	const struct payload_kind *kind; /* NULL: a bare request */
};

static struct loop *loop;
static struct calls *calls;
static json_t *endpoints;
static struct asked *asked;
static struct buf input;
static bool ended;

static void print(json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);

	(void)puts(text);
	(void)fflush(stdout);
	free(text);
	json_decref(o);
}

static json_t *base64_json(struct slice s)
{
	struct buf text;
	json_t *o;

	buf_init(&text, MOST);
	MUST(base64_encode(&text, s) == RC_OK);
	o = json_of_slice(buf_slice(&text));
	buf_free(&text);
	return o;
}

static void read_base64(struct buf *out, const json_t *o, const char *member)
{
	buf_init(out, MOST);
	MUST(base64_decode(out, json_member_text(o, member)) == RC_OK);
}

static void stop_at_end(void)
{
	if (ended && !asked)
		loop_stop(loop);
}

/* ---- ends ---- */

static json_t *result_json(const struct asked *a, const struct call_result *r)
{
	static const char *const ends[] = { "done", "later", "never", "set-up" };
	static const char *const words[] = { "CONTINUE", "STOP_RULE", "STOP_RULE_SET" };
	struct payload_result said;
	json_t *o = json_object();

	a->kind->read(&said, json_object_get(a->json, "spec"), r);
	json_put_text(o, "end", slice_str(ends[said.end]));
	json_put_text(o, "disposition", slice_str(words[said.disposition]));
	json_put_text(o, "text", slice_str(said.text));
	return o;
}

static void on_ended(void *arg, uint64_t number, const struct call_result *r)
{
	static const char *const ends[] = { "answered", "later", "set-up" };
	struct asked **at = &asked;
	struct asked *a;
	json_t *o = json_object();

	(void)arg;
	while (*at && (*at)->number != number)
		at = &(*at)->next;
	MUST(*at);
	a = *at;
	*at = a->next;
	json_put(o, "id", json_incref(json_object_get(a->json, "id")));
	json_put_text(o, "end", slice_str(ends[r->end]));
	json_put_int(o, "status", r->status);
	json_put(o, "answer", base64_json(r->answer));
	json_put_text(o, "function_error", slice_str(r->function_error));
	json_put_text(o, "why", slice_str(r->why));
	if (a->kind)
		json_put(o, "result", result_json(a, r));
	print(o);
	json_decref(a->json);
	free(a);
	stop_at_end();
}

/* ---- asking ---- */

static void add(json_t *json, const struct payload_kind *kind, uint64_t number)
{
	struct asked *a = mem_new(sizeof(*a));

	*a = (struct asked) { asked, number, json_incref(json), kind };
	asked = a;
}

static void refuse(const json_t *json, enum rc rc, const struct err *e)
{
	json_t *o = json_object();

	json_put(o, "id", json_incref(json_object_get(json, "id")));
	json_put_text(o, "refused", slice_str(rc_name(rc)));
	json_put_text(o, "why", slice_str(e->text));
	print(o);
}

static void ask_payload(json_t *json, const struct payload_kind *k, const struct payload_facts *f)
{
	struct payload p;
	struct err e = { 0 };
	int fd = -1;
	enum rc rc;

	payload_init(&p);
	rc = payload_make(&p, k, f, &e);
	if (rc == RC_OK && !k->gives_body) {
		rc = sealed_new(&fd, "message", f->raw, &e);
		p.call.body = fd;
		p.call.body_bytes = f->raw.len;
	}
	p.call.deadline_ms = json_member_int(json, "ms", p.call.deadline_ms);
	if (rc == RC_OK)
		add(json, k, calls_ask(calls, &p.call));
	else
		refuse(json, rc, &e);
	if (fd >= 0)
		(void)close(fd);
	payload_free(&p);
}

static void ask_action(json_t *json)
{
	const struct payload_kind *k = payload_kind(json_member_text(json, "action"));
	struct payload_facts f = { .action = json_object_get(json, "spec"),
		                   .recipients = json_object_get(json, "recipients"),
		                   .endpoints = endpoints,
		                   .now_ms = clock_now_ms() };
	struct message_id id;
	struct mail m;
	struct buf meta;
	struct buf raw;
	struct buf text;
	struct err e = { 0 };

	MUST(k && id_parse(&id, json_member_text(json, "message")));
	buf_init(&meta, MOST);
	MUST(json_write(&meta, json_object_get(json, "receipt")) == RC_OK);
	MUST(mail_read_stored(&m, &id, buf_slice(&meta), &e) == RC_OK);
	m.received_ms = json_member_int(json, "received", 0);
	read_base64(&raw, json, "raw");
	read_base64(&text, json, "text");
	f.mail = &m;
	f.raw = buf_slice(&raw);
	f.text = buf_slice(&text);
	ask_payload(json, k, &f);
	mail_free(&m);
	buf_free(&meta);
	buf_free(&raw);
	buf_free(&text);
}

static size_t read_fields(struct call_field fields[16], const json_t *list)
{
	size_t n = MIN_OF(json_array_size(list), (size_t)16);

	for (size_t i = 0; i < n; i++) {
		const json_t *pair = json_array_get(list, i);

		fields[i].name = json_string_value(json_array_get(pair, 0));
		fields[i].value = json_string_value(json_array_get(pair, 1));
	}
	return n;
}

static const char *text_or(const json_t *o, const char *member, const char *none)
{
	const char *text = json_string_value(json_object_get(o, member));

	return text ? text : none;
}

static void ask_bare(json_t *json)
{
	const json_t *o = json_object_get(json, "call");
	struct call_field fields[16];
	struct buf body;
	struct call c = { .endpoint = text_or(o, "endpoint", "s3"),
		          .method = text_or(o, "method", "POST"),
		          .host_prefix = text_or(o, "prefix", ""),
		          .path = text_or(o, "path", "/"),
		          .query = text_or(o, "query", ""),
		          .fields = fields,
		          .field_count = read_fields(fields, json_object_get(o, "fields")),
		          .body = -1,
		          .deadline_ms = json_member_int(o, "ms", 30000) };
	struct err e;

	read_base64(&body, o, "body");
	if (body.len)
		MUST(sealed_new(&c.body, "body", buf_slice(&body), &e) == RC_OK);
	c.body_bytes = body.len;
	add(json, NULL, calls_ask(calls, &c));
	if (c.body >= 0)
		(void)close(c.body);
	buf_free(&body);
}

static void on_line(struct slice line)
{
	json_t *o;
	struct err e;

	MUST(json_read(&o, line, &e) == RC_OK);
	if (json_object_get(o, "call"))
		ask_bare(o);
	else
		ask_action(o);
	json_decref(o);
}

static void on_input(void *arg, unsigned what)
{
	uint8_t *piece = loop_scratch(loop);
	ssize_t n = read(0, piece, LOOP_SCRATCH);
	size_t begin = input.len; /* there is no line's end before */
	size_t end;

	(void)what;
	if (n <= 0) {
		loop_watch_set(*(struct loop_watch **)arg, 0);
		ended = true;
		stop_at_end();
		return;
	}
	MUST(buf_add(&input, slice_of(piece, (size_t)n)) == RC_OK);
	while ((end = slice_find_byte(slice_from(buf_slice(&input), begin), '\n')) != SIZE_MAX) {
		on_line(slice_part(buf_slice(&input), 0, begin + end));
		buf_drop(&input, begin + end + 1);
		begin = 0;
	}
}

int main(int argc, char **argv)
{
	struct calls_options o = { .ended = on_ended };
	struct loop_watch *watch;
	struct err e = { 0 };
	enum rc rc =
	        argc == 2 || argc == 3 ? json_read(&endpoints, slice_str(argv[1]), &e) : RC_INVALID;

	log_init("call_run", LOG_INFO);
	if (rc == RC_OK)
		rc = calls_configure(endpoints, &e);
	if (rc == RC_OK)
		rc = calls_home(&o.home, endpoints, argc == 3 ? argv[2] : NULL, &e);
	if (rc != RC_OK || !o.home) {
		log_error("%s", e.text);
		return 1;
	}
	calls_wipe(endpoints);
	buf_init(&input, MOST);
	o.loop = loop = loop_new();
	calls = calls_new(&o);
	watch = loop_watch_new(loop, 0, LOOP_READ, on_input, &watch);
	(void)puts("ready");
	(void)fflush(stdout);
	loop_run(loop, NULL, NULL);
	MUST(calls_under_way(calls) == 0);
	calls_free(&calls);
	loop_watch_free(&watch);
	loop_free(&loop);
	home_stop(&o.home);
	json_decref(endpoints);
	buf_free(&input);
	return 0;
}
