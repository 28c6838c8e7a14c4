/*
 * outbound_run CONFIG [PROGRAM] - mail handed to the sender of mm-deliver, without mmd and without
 * a queue
 *
 * CONFIG is JSON {"send","dns","hostname"}; PROGRAM is mm-deliver's path. Reads lines of JSON from
 * stdin:
 * {"target":{"domain"} or
 * {"host","port","tls","lmtp","user","password"},"from","rcpt":["ADDRESS",...],"data", "times",
 * "utf8"} sends `data` so many times (utf8: it came with SMTPUTF8 and has 8-bit content);
 * {"ports":[...]} is outbound_ports. Prints a line for each end:
 * {"n","host", "tls","results":[{"end","code","enhanced","text","dsn"}]}, and one with "n" alone
 * when it has the number. Ends when stdin has and nothing is under way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/home.h"
#include "base/log.h"
#include "base/sealed.h"
#include "ingest/outbound.h"

#define LINE (64 << 20)

struct run {
	struct loop *loop;
	struct outbound *outbound;
	struct loop_watch *watch;
	struct buf in;
	bool ended;
};

static void print(json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);

	(void)puts(text);
	(void)fflush(stdout);
	free(text);
	json_decref(o);
}

static void stop_if_done(const struct run *r)
{
	if (r->ended && outbound_under_way(r->outbound) == 0)
		loop_stop(r->loop);
}

static void on_ended(void *arg, uint64_t number, const struct outbound_result *results,
                     size_t count, const char *host, const char *tls)
{
	static const char *const ends[] = { "done", "later", "never", "set-up" };
	json_t *o = json_object();
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *one = json_object();

		json_put_text(one, "end", slice_str(ends[results[i].end]));
		json_put_int(one, "code", results[i].code);
		json_put_text(one, "enhanced", slice_str(results[i].enhanced));
		json_put_text(one, "text", slice_str(results[i].text));
		json_put_bool(one, "dsn", results[i].dsn);
		json_push(list, one);
	}
	json_put_int(o, "n", (int64_t)number);
	json_put_text(o, "host", slice_str(host));
	json_put_text(o, "tls", slice_str(tls));
	json_put(o, "results", list);
	print(o);
	stop_if_done(arg);
}

static const char *text_of(const json_t *o, const char *member)
{
	return json_string_value(json_object_get(o, member));
}

static struct outbound_target target_of(const json_t *o)
{
	struct outbound_target t = {
		.route = json_object_get(o, "domain") ? OUTBOUND_MX : OUTBOUND_HOST,
		.domain = text_of(o, "domain"),
		.host = text_of(o, "host"),
		.port = (uint16_t)json_member_int(o, "port", 25),
		.tls = (enum outbound_tls)json_member_int(o, "tls", 0),
		.lmtp = json_member_bool(o, "lmtp", false),
		.user = text_of(o, "user"),
		.password = text_of(o, "password"),
	};

	return t;
}

static void send_one(struct run *r, const json_t *o, int message, size_t bytes)
{
	struct outbound_recipient rcpts[100] = { { NULL, NULL, NULL } };
	const json_t *list = json_member_array(o, "rcpt");
	struct outbound_target t = target_of(json_object_get(o, "target"));
	struct outbound_mail m = { .target = &t,
		                   .mail_from = text_of(o, "from"),
		                   .smtputf8 = json_member_bool(o, "utf8", false),
		                   .eight_bit = json_member_bool(o, "utf8", false),
		                   .recipients = rcpts,
		                   .recipient_count = json_array_size(list),
		                   .message = message,
		                   .bytes = bytes };
	json_t *said = json_object();

	for (size_t i = 0; i < m.recipient_count; i++)
		rcpts[i].address = json_string_value(json_array_get(list, i));
	json_put_int(said, "n", (int64_t)outbound_send(r->outbound, &m));
	print(said);
}

static void send_all(struct run *r, const json_t *o)
{
	struct slice data = json_member_text(o, "data");
	int64_t times = json_member_int(o, "times", 1);
	struct err e;
	int fd;

	if (sealed_new(&fd, "message", data, &e) != RC_OK)
		log_error("%s", e.text);
	for (; fd >= 0 && times; times--)
		send_one(r, o, fd, data.len);
	if (fd >= 0)
		(void)close(fd);
}

static void set_ports(struct run *r, const json_t *list)
{
	uint16_t ports[64];
	size_t n = 0;

	for (; n < json_array_size(list) && n < COUNT(ports); n++)
		ports[n] = (uint16_t)json_integer_value(json_array_get(list, n));
	outbound_ports(r->outbound, ports, n);
}

static void obey(struct run *r, struct slice line)
{
	json_t *o = NULL;
	struct err e;

	if (json_read(&o, line, &e) != RC_OK)
		log_error("%s", e.text);
	else if (json_member_array(o, "ports"))
		set_ports(r, json_member_array(o, "ports"));
	else
		send_all(r, o);
	json_decref(o);
}

static void on_input(void *arg, unsigned what)
{
	struct run *r = arg;
	uint8_t piece[65536];
	ssize_t n = read(STDIN_FILENO, piece, sizeof(piece));
	size_t end;

	(void)what;
	if (n > 0)
		MUST(buf_add(&r->in, slice_of(piece, (size_t)n)) == RC_OK);
	while ((end = slice_find_byte(buf_slice(&r->in), '\n')) != SIZE_MAX) {
		obey(r, slice_part(buf_slice(&r->in), 0, end));
		buf_drop(&r->in, end + 1);
	}
	if (n > 0)
		return;
	loop_watch_free(&r->watch);
	r->ended = true;
	stop_if_done(r);
}

int main(int argc, char **argv)
{
	struct run r = { .ended = false };
	struct outbound_options o = { .ended = on_ended, .arg = &r };
	json_t *config = NULL;
	struct err e = { 0 };
	enum rc rc = RC_INVALID;

	log_init("outbound_run", LOG_INFO);
	clock_init();
	if (argc > 1)
		rc = json_read(&config, slice_str(argv[1]), &e);
	if (rc == RC_OK)
		rc = outbound_configure(json_object_get(config, "send"), &e);
	if (rc == RC_OK)
		rc = outbound_home_start(
		        &o.home, json_object_get(config, "send"), json_object_get(config, "dns"),
		        text_of(config, "hostname"), argc > 2 ? argv[2] : NULL, &e);
	if (rc != RC_OK) {
		log_error("%s", e.text);
		return rc_exit(rc);
	}
	buf_init(&r.in, LINE);
	o.loop = r.loop = loop_new();
	o.send = json_object_get(config, "send");
	r.outbound = outbound_new(&o);
	r.watch = loop_watch_new(r.loop, STDIN_FILENO, LOOP_READ, on_input, &r);
	loop_run(r.loop, NULL, NULL);
	outbound_free(&r.outbound);
	loop_watch_free(&r.watch);
	loop_free(&r.loop);
	home_stop(&o.home);
	buf_free(&r.in);
	json_decref(config);
	return 0;
}
