/*
 * tests/helpers/spf_check.c - check_host() by the resolver, for tests/peers/T560-spf-suite.py
 *
 * spf_check ADDR@PORT       sends every lookup to that server
 *
 * Each line on stdin is a question in JSON, {"client", "mail_from", "helo", "receiver"}, answered
 * by one line of JSON: "result", "explanation", "why", "domain", and the "rounds" of lookups.
 *
 * spf_check bench COUNT     prints how many ns a check takes when all answers are there
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "ingest/verdict/resolver.h"
#include "ingest/verdict/spf.h"
#include "tests/unit/verdict/zone.h"

struct run {
	struct loop *loop;
	struct resolver *resolver;
	struct answers *answers;
	struct spf_question question;
	struct spf_answer answer;
	int rounds;
};

static void check(void *arg)
{
	struct run *r = arg;

	if (spf_check(&r->question, r->answers, &r->answer) == RC_OK) {
		loop_stop(r->loop);
		return;
	}
	r->rounds++;
	(void)resolver_ask(r->resolver, r->answers, check, r);
}

static void answer(struct run *r, const char *line)
{
	json_t *q = NULL;
	json_t *out = json_object();
	struct buf text;
	struct err e;

	MUST(json_read(&q, slice_str(line), &e) == RC_OK);
	r->question = (struct spf_question) {
		.mail_from = json_member_text(q, "mail_from"),
		.helo = json_member_text(q, "helo"),
		.receiver = json_member_text(q, "receiver"),
		.now_ms = clock_now_ms(),
	};
	(void)ip_parse(&r->question.client, json_member_text(q, "client"));
	r->rounds = 0;
	r->answers = answers_new();
	loop_post(r->loop, check, r);
	loop_run(r->loop, NULL, NULL);
	answers_free(&r->answers);
	json_put_text(out, "result", slice_str(spf_word(r->answer.result)));
	json_put_text(out, "explanation", slice_str(r->answer.explanation));
	json_put_text(out, "why", slice_str(r->answer.why));
	json_put_text(out, "domain", slice_str(r->answer.domain));
	json_put_int(out, "rounds", r->rounds);
	buf_init(&text, 65536);
	MUST(json_write(&text, out) == RC_OK);
	MUST(puts(buf_text(&text)) >= 0 && fflush(stdout) == 0);
	buf_free(&text);
	json_decref(out);
	json_decref(q);
}

/* What large senders publish: two includes, one of them with an include of its own. */
static const char usual[] =
        "shop.example TXT v=spf1 include:_spf.a.example include:_spf.b.example ip4:192.0.2.0/24 "
        "-all\n"
        "shop.example TXT a-verification=0123456789abcdef0123456789abcdef\n"
        "_spf.a.example TXT v=spf1 ip4:203.0.113.0/24 ip4:198.51.100.0/24 ip6:2001:db8:1::/36 "
        "ip6:2001:db8:2::/36 ip6:2001:db8:3::/36 ip4:203.0.113.64/26 ~all\n"
        "_spf.b.example TXT v=spf1 ip4:198.51.100.0/25 ip4:198.51.100.128/26 "
        "ip4:198.51.100.192/27 ip4:203.0.113.128/25 -all\n";

static int bench(const char *text)
{
	struct spf_question q = { .mail_from = slice_str("ann@shop.example"),
		                  .helo = slice_str("mail.shop.example") };
	struct answers *a = answers_new();
	struct spf_answer out;
	uint64_t count;
	int64_t began;

	MUST(slice_to_u64(slice_str(text), &count) && count > 0);
	MUST(ip_parse(&q.client, slice_str("192.0.2.77")));
	while (spf_check(&q, a, &out) == RC_AGAIN)
		MUST(zone_answer_all(a, slice_str(usual)) > 0);
	MUST(out.result == SPF_PASS);
	began = clock_mono_ms();
	for (uint64_t i = 0; i < count; i++)
		MUST(spf_check(&q, a, &out) == RC_OK);
	(void)printf("%.0f ns\n", (double)(clock_mono_ms() - began) * 1e6 / (double)count);
	answers_free(&a);
	return 0;
}

int main(int argc, char **argv)
{
	struct run r = { .loop = loop_new() };
	struct resolver_options o = { .forward = argc > 1 ? argv[1] : "" };
	char *line = NULL;
	size_t room = 0;
	struct err e;

	log_init("spf_check", LOG_INFO);
	if (argc == 3 && strcmp(argv[1], "bench") == 0)
		return bench(argv[2]);
	if (resolver_new(&r.resolver, r.loop, &o, &e) != RC_OK) {
		(void)fprintf(stderr, "spf_check: %s\n", e.text);
		return 1;
	}
	while (getline(&line, &room, stdin) > 0)
		answer(&r, line);
	free(line);
	resolver_free(&r.resolver);
	loop_free(&r.loop);
	return 0;
}
