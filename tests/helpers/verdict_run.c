/*
 * tests/helpers/verdict_run.c - verdicts of messages by mm-verdict itself, for tests/peers
 *
 * verdict_run ADDR@PORT [SECONDS]    every lookup goes to that server; the deadline of a message
 * (10)
 *
 * Each line on stdin is a message in JSON, {"raw" (base64), "ip", "helo", "from", "auth", "id",
 * "ms"}, answered by one line of JSON, what is kept beside the message (docs/verdicts.md). Up to
 * MOST are with mm-verdict at a time; answers are in the order of the questions.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/home.h"
#include "base/limits.h"
#include "base/log.h"
#include "ingest/verdicts.h"

#define MOST 500

struct question {
	uint64_t number;
	struct buf raw;
	json_t *json;
	json_t *said;
};

static struct loop *loop;
static struct verdicts *verdicts;
static struct question questions[MOST];
static size_t first, count;

static void on_woken(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

static void ask(const char *line)
{
	struct question *q = &questions[(first + count++) % MOST];
	struct mail m = { .received_ms = clock_now_ms() };
	struct err e;

	MUST(json_read(&q->json, slice_str(line), &e) == RC_OK);
	buf_init(&q->raw, LIMIT_MESSAGE_BYTES);
	MUST(base64_decode(&q->raw, json_member_text(q->json, "raw")) == RC_OK);
	m.ip = json_member_text(q->json, "ip");
	m.helo = json_member_text(q->json, "helo");
	m.mail_from = json_member_text(q->json, "from");
	m.received_ms = json_member_int(q->json, "ms", m.received_ms);
	(void)id_parse(&m.id, json_member_text(q->json, "id"));
	m.json = q->json; /* "auth" */
	q->number = verdicts_ask(verdicts, &m, buf_slice(&q->raw));
}

static void take(void)
{
	uint64_t number;
	json_t *said;

	while (verdicts_take(verdicts, &number, &said))
		for (size_t i = 0; i < count; i++)
			if (questions[(first + i) % MOST].number == number)
				questions[(first + i) % MOST].said = said;
}

static void print_first(void)
{
	struct question *q = &questions[first % MOST];
	struct buf text;

	for (take(); !q->said; take())
		loop_run(loop, NULL, NULL);
	buf_init(&text, 1 << 20);
	MUST(json_write(&text, q->said) == RC_OK);
	MUST(puts(buf_text(&text)) >= 0 && fflush(stdout) == 0);
	buf_free(&text);
	buf_free(&q->raw);
	json_decref(q->said);
	json_decref(q->json);
	*q = (struct question) { .number = 0 };
	first++;
	count--;
}

int main(int argc, char **argv)
{
	json_t *dns = json_object();
	struct verdicts_options o = { .receiver = "mm.test", .woken = on_woken };
	uint64_t seconds = 0;
	char *line = NULL;
	size_t room = 0;
	struct err e;

	log_init("verdict_run", LOG_INFO);
	json_put_text(dns, "forward", slice_str(argc > 1 ? argv[1] : ""));
	if (verdicts_home_start(&o.home, dns, NULL, &e) != RC_OK) {
		(void)fprintf(stderr, "verdict_run: %s\n", e.text);
		return 1;
	}
	json_decref(dns);
	MUST(argc < 3 || slice_to_u64(slice_str(argv[2]), &seconds));
	o.deadline_ms = (int64_t)seconds * 1000;
	loop = o.loop = loop_new();
	verdicts = verdicts_new(&o);
	while (getline(&line, &room, stdin) > 0) {
		if (strcmp(line, "\n") != 0) { /* an empty line asks for all answers */
			ask(line);
			if (count < MOST)
				continue;
		}
		while (count)
			print_first();
	}
	while (count)
		print_first();
	free(line);
	verdicts_free(&verdicts);
	loop_free(&loop);
	home_stop(&o.home);
	return 0;
}
