/*
 * ingest/gate_auth.h - passwords of AUTH, checked one at a time beside the loop
 *
 * What     One thread computes argon2id for a queue of AUTH_QUEUE checks; the verdict comes back on
 *          the loop. An unknown user costs as much time as a known one.
 * Guesses  At most AUTH_GUESSES failed tries in 60 s from one address (IPv6: one /64). A try counts
 *          from its start, so that parallel ones can't pass; a good one gives it back.
 * Why      A check takes 64 MiB and tens of milliseconds on purpose: on the loop, or many at a
 *          time, it would be the attack.
 * Threads  The loop's.
 */
#ifndef MM_INGEST_GATE_AUTH_H
#define MM_INGEST_GATE_AUTH_H

#include "base/cidr.h"
#include "base/loop.h"
#include "ingest/config.h"

#define AUTH_QUEUE   32
#define AUTH_GUESSES 20

struct gate_auth;
struct gate_check;

struct gate_auth *gate_auth_new(struct loop *l);
/* Waits for the check that runs; others are dropped without an answer. NULL is fine. */
void gate_auth_free(struct gate_auth **a);
/* Copies what it needs. `known`: the user is this ingress point's; if not, the answer will be no, at
 * the same cost. NULL when the queue is full or the address has guessed too often: try later. Else
 * `done` follows from the loop, never from within this call: with the version of the password that it is, or 0. */
struct gate_check *gate_auth_check(struct gate_auth *a, const struct ip *peer,
				   const struct ingress_point *p, bool known,
				   struct slice password,
				   void (*done)(void *arg, int64_t version), void *arg);
/* `done` won't be called any more. */
void gate_check_forget(struct gate_check *c);

#endif
