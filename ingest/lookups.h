/*
 * ingest/lookups.h - what add-ons say of a client before it sends a message: mmd's part
 *
 * What     Takes the questions of mm-smtpd's traffic policies (WIRE_ASK), has mm-verdict ask the DNS block lists that
 *          stand for the add-ons, and tells what they say (WIRE_TOLD): once for each question, in any order, within the
 *          deadline and what a hanging mm-verdict takes to be noticed.
 * Child    An mm-verdict of its own: neither a message that takes long, or kills it, nor a thousand of them hold up
 *          a reply to RCPT; and the other way round.
 * Others   An instance of an add-on that isn't configured, or that a scanner stands for, is PROCESSING_FAILED at
 *          once; so are all where there is no DNS.
 * Trouble  PROCESSING_FAILED; the log has a warning for each add-on, one a minute at most.
 * Trust    mm-smtpd may have been broken into: a question that is none, or one too many, is nonsense. It can have
 *          any name asked for at the lists that are configured, and nothing else.
 * Threads  The loop's; `told` is called there, also from within lookups_ask.
 */
#ifndef MM_INGEST_LOOKUPS_H
#define MM_INGEST_LOOKUPS_H

#include "base/loop.h"
#include "ingest/addons.h"
#include "ingest/config.h"

struct home;
struct lookups;

struct lookups_options {
	struct loop *loop;
	struct home *home; /* of mm-verdict; NULL: there is no DNS */
	const struct addons *addons;
	int64_t deadline_ms;
	struct config *(*config)(void *arg); /* a new reference */
	/* The body of a WIRE_TOLD, for the mm-smtpd of that life. */
	void (*told)(void *arg, uint64_t life, struct slice body);
	void *arg;
};

/* Addons and home outlive it. A child is started only where a block list is configured. */
struct lookups *lookups_new(const struct lookups_options *o);
void lookups_free(struct lookups **l); /* after the last loop_run; NULL is fine */
/* `body` of a WIRE_ASK. False: nonsense. A new `life` forgets the questions of the one before it. */
bool lookups_ask(struct lookups *l, uint64_t life, struct slice body) MUST_USE;

#endif
