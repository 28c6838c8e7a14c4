/*
 * ingest/gate_addons.h - what add-ons say of a client, for the traffic policy that judges its recipients
 *
 * What     mm-smtpd looks nothing up. A policy that comes to a condition about an add-on has its question sent to mmd,
 *          which has mm-verdict ask the block lists (ingest/lookups.h); the reply to RCPT waits for it. One question
 *          is about all add-ons that the policy names.
 * Kept     What is about the client's address: for the connection. What is about MAIL FROM and HELO, and what failed:
 *          for the transaction. So no list is asked twice about the same.
 * Late     What mmd hasn't said in time is PROCESSING_FAILED; it is not waited for again.
 * Bounds   One question a connection at a time; WIRE_ASKS_MOST together, those of connections that have gone
 *          among them: with more, gate_lookup_ask says no.
 * Threads  The loop's.
 */
#ifndef MM_INGEST_GATE_ADDONS_H
#define MM_INGEST_GATE_ADDONS_H

#include "base/cidr.h"
#include "base/json.h"
#include "base/loop.h"
#include "ingest/policy.h"

struct gate_addons; /* the gate's */
struct gate_lookup; /* what is known for one connection */

/* `ask` gets the body of a WIRE_ASK. */
struct gate_addons *gate_addons_new(struct loop *l, void (*ask)(void *app, struct slice body),
				    void *app);
void gate_addons_free(struct gate_addons **a); /* all lookups are freed; NULL is fine */
/* How long a question may take, from now on. */
void gate_addons_wait(struct gate_addons *a, int64_t ms);
/* The body of a WIRE_TOLD. */
void gate_addons_told(struct gate_addons *a, struct slice body);
/* Who waits goes on now, with what is known, and nothing is asked any more. */
void gate_addons_close(struct gate_addons *a);

struct gate_question {
	struct ip client;
	struct slice helo;
	struct slice mail_from;
};

/* `done` is called once for each gate_lookup_ask that said yes, never from within it; then all is known that the
 * policy names, unless gate_addons_close was called. */
struct gate_lookup *gate_lookup_new(struct gate_addons *a, void (*done)(void *arg), void *arg);
void gate_lookup_free(struct gate_lookup **l); /* `done` won't be called any more; NULL is fine */
/* All that `p` names and isn't known. `p` lives until `done`. False: nothing more can be asked now. */
bool gate_lookup_ask(struct gate_lookup *l, const struct policy *p,
		     const struct gate_question *q) MUST_USE;
bool gate_lookup_waits(const struct gate_lookup *l);
/* For struct policy_facts. */
const json_t *gate_lookup_known(const struct gate_lookup *l);
/* The transaction is over: `done` won't be called, and what was of it is forgotten. NULL is fine. */
void gate_lookup_forget(struct gate_lookup *l);

#endif
