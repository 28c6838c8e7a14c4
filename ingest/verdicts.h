/*
 * ingest/verdicts.h - SPF, DKIM, ARC and DMARC of messages, asked of mm-verdict
 *
 * What     The pipeline's thread asks (verdicts_ask) and takes what has come (verdicts_take), in any
 *          order; `woken` tells it
 *          that something has. The loop's thread has the child: it starts it, hands it messages in batches of
 *          shared memory that the child only reads, and checks what it says, word by word
 *          (ingest/verdict/verdict_words).
 * Home     mmd may not connect, and neither may what it starts: verdicts_home_start before mmd confines itself.
 * Late     A message has its verdict after `deadline` at the latest: the child says what it knows by
 *          then. One that says nothing for GRACE_MS more hangs, and is ended.
 * Death    A child that dies, hangs or talks nonsense is started again, and what it had is asked again, each with a new
 *          deadline. It tells in shared memory which message it works at: one that it has died of
 *          twice is PROCESSING_FAILED.
 *          Where it worked at none (an answer of DNS, then) what it had is asked again by halves, with nothing beside,
 *          until the message is found, or it doesn't die any more.
 * Bounds   VERDICT_UNDER_WAY messages are with the child; the caller bounds how many wait.
 * Trust    The child may have been broken into, by a sender or his DNS: it can lie about verdicts and the block lists
 *          that it was asked about, and nothing else.
 * Owner    `raw` lives until its verdict was taken, or verdicts_forget.
 * Threads  verdicts_ask, _take, _forget, _count: any. The rest: the loop's. `woken` is called there, without locks.
 */
#ifndef MM_INGEST_VERDICTS_H
#define MM_INGEST_VERDICTS_H

#include "base/json.h"
#include "base/loop.h"
#include "ingest/mail.h"

struct home;
struct scan_instance;
struct verdicts;

struct verdicts_options {
	struct loop *loop;
	struct home *home;
	int64_t deadline_ms;  /* 0: 10 s */
	const char *receiver; /* our host's name; lives as long as the verdicts */
	void (*woken)(void *arg);
	void *arg;
};

struct verdicts_totals {
	uint64_t asked;
	uint64_t failed;   /* got no verdict from the child at all */
	uint64_t died;     /* children that ended, hung or talked nonsense */
	size_t waiting;    /* now, with and without the child */
};

/* `dns` is the configuration's section (not NULL). `program`: NULL: "mm-verdict". RC_INVALID: the
 * section says what can't be; then nothing is started. */
enum rc verdicts_home_start(struct home **out, const json_t *dns, const char *program,
			    struct err *e) MUST_USE;
/* The section's deadline, checked. */
enum rc verdicts_deadline(const json_t *dns, int64_t *ms, struct err *e) MUST_USE;
/* Only checks the section. */
enum rc verdicts_configure(const json_t *dns, struct err *e) MUST_USE;

struct verdicts *verdicts_new(const struct verdicts_options *o);
/* Ends the child. After the last loop_run, not within `woken`. NULL is fine. */
void verdicts_free(struct verdicts **v);

/* Its number, never 0. */
uint64_t verdicts_ask(struct verdicts *v, const struct mail *m, struct slice raw);
/* And what the DNS block lists behind those add-on instances (scans_lists) say, as "addons" of what is said, beside
 * the verdicts, by the instances' ids. `dns` had "lists": the configuration's add-ons that are block lists. */
uint64_t verdicts_ask_lists(struct verdicts *v, const struct mail *m, struct slice raw,
			    const struct scan_instance *asked, size_t count);
/* Of a client that has sent no message yet: those lists alone, about the ip, helo and mail_from of `m`. What is said
 * has "addons", or, where mm-verdict failed, nothing of use. */
uint64_t verdicts_ask_client(struct verdicts *v, const struct mail *m,
			     const struct scan_instance *asked, size_t count);
/* False: nothing has come. `said` is a new reference: what is kept beside the message (docs/verdicts.md). */
bool verdicts_take(struct verdicts *v, uint64_t *number, json_t **said);
/* What was asked and not taken is forgotten; numbers aren't used again. */
void verdicts_forget(struct verdicts *v);
void verdicts_count(struct verdicts *v, struct verdicts_totals *out);

#ifdef MM_TEST
/* For tests: how long after the deadline a silent child hangs (0: as it is), and the number of messages with it. */
void verdicts_set_grace(struct verdicts *v, int64_t ms);
size_t verdicts_with_child(struct verdicts *v);
#endif

#endif
