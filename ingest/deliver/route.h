/*
 * ingest/deliver/route.h - which servers take the mail of a domain, in which order, and how they are known
 *
 * What     A function of answers (ingest/verdict/answers.h), as a verdict is: run it, look up what it lacks, run it
 *          again. For a domain: RFC 5321 section 5.1 (MX, random among equals, the domain's own address where there
 *          is none, never behind ourselves), RFC 7505 (null MX), RFC 7672 (DANE, where all that leads to the records
 *          is secure) and the record of MTA-STS. For a host: its addresses.
 * Ends     A route without a host has an end: NEVER for what DNS says for good, LATER for what it can't say now,
 *          SET_UP where all addresses are such that nothing may be sent to (ingest/deliver/public.h).
 * Bounds   ROUTE_HOSTS servers of ROUTE_IPS addresses each, both families by turns.
 * Not done An MX that is a CNAME has DANE at its own name alone (RFC 7672 section 2.2.2 lets the other be tried,
 *          too).
 * Owner    References are counted: a connection outlives its destination's newest route.
 * Threads  One.
 */
#ifndef MM_INGEST_DELIVER_ROUTE_H
#define MM_INGEST_DELIVER_ROUTE_H

#include "ingest/deliver/dane.h"
#include "ingest/deliver/mta_sts.h"
#include "ingest/outbound_settings.h"
#include "smtp/client.h"

#define ROUTE_HOSTS 8
#define ROUTE_IPS   4
#define ROUTE_NAME  256

struct route_question {
	bool mx;          /* of a domain; else a host */
	const char *name;
	const char *own;  /* our own name */
	const struct outbound_settings *settings;
	uint32_t seed;    /* for the order among equals: the same for each run */
};

struct route_host {
	char name[ROUTE_NAME]; /* "" where an address is all there is */
	uint16_t preference;
	bool failed; /* the TLSA records can't be had: it may not be spoken to now */
	bool verify; /* its name, against the CAs (MTA-STS) */
	struct ip ips[ROUTE_IPS];
	size_t ip_count;
	struct dane dane;
};

struct route {
	unsigned refs;
	struct route_host hosts[ROUTE_HOSTS];
	size_t count;             /* 0: `end` says why */
	char domain[ROUTE_NAME];  /* as DNS has it; "" for an address */
	struct smtp_result end;
	char sts_id[STS_ID];      /* "": no record */
	struct ip sts_ips[ROUTE_IPS]; /* of its policy's host */
	size_t sts_ip_count;
};

struct route *route_new(void);
struct route *route_ref(struct route *r);
void route_free(struct route **r); /* drops this reference; NULL is fine */
/* RC_AGAIN: answers are wanted. Else it is whole. From the beginning each time. */
enum rc route_run(struct route *r, const struct route_question *q, struct answers *a) MUST_USE;
/* What the policy demands: servers that it doesn't name are taken out, the others are verified. */
void route_enforce(struct route *r, const struct sts_policy *p);
/* Cleans the text. */
void route_end(struct smtp_result *out, enum smtp_end end, unsigned code, const char *enhanced, const char *fmt,
	       ...) PRINTF(5, 6);

#endif
