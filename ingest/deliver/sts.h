/*
 * ingest/deliver/sts.h - policies of MTA-STS: fetched, and kept for as long as they say (RFC 8461)
 *
 * What     Fetches https://mta-sts.DOMAIN/.well-known/mta-sts.txt, with its certificate checked, when the domain's
 *          record names a version that isn't here. One that was fetched holds until its max_age is over, also where
 *          record or policy can't be had any more: who is in between can't take it away. One that can't be fetched
 *          isn't tried again for some minutes.
 * Bounds   STS_DOMAINS policies; the one that was used longest ago goes.
 * Lost     with the child: nothing of it is on disk.
 * Threads  The loop's.
 */
#ifndef MM_INGEST_DELIVER_STS_H
#define MM_INGEST_DELIVER_STS_H

#include "base/cidr.h"
#include "base/loop.h"
#include "ingest/deliver/http.h"
#include "ingest/deliver/mta_sts.h"

#define STS_DOMAINS 1000

struct sts;
struct sts_ask;

struct sts *sts_new(struct loop *l, struct http *http, uint16_t port);
void sts_free(struct sts **s); /* behind all asks; NULL is fine */
/* `id` of the domain's record, "" without one; `ips` of the policy's host. `done` comes once, never within this
 * call; the policy lives for the call, NULL: there is none. Asks for one domain come one after the other. */
struct sts_ask *sts_ask(struct sts *s, const char *domain, const char *id, const struct ip *ips, size_t count,
			void (*done)(void *arg, const struct sts_policy *p), void *arg);
void sts_cancel(struct sts_ask **a); /* no `done` any more; NULL is fine */

#endif
