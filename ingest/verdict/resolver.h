/*
 * ingest/verdict/resolver.h - libunbound on the loop: looks up what answers lack
 *
 * What     An asker has a struct answers (answers.h). resolver_ask looks up all that is wanted there, at
 *          once, puts the answers in and says when the last one is there. The asker runs its function again, and
 *          asks again if that wants more. Nothing blocks: lookups go over the loop's event base.
 * Answers  CNAMEs are followed by libunbound, and once more in its answer: records count only under the name that
 *          the chain ends at. Strings of a TXT record are joined, MX are sorted by preference. A packet that
 *          isn't well formed, or has more than answers.h takes, is DNS_FAILED; so is a bogus one (DNSSEC).
 * Bounds   `lookups` under way at once, of one asker no more than 32, and no more than an eighth of those that could
 *          be started still (but one): who comes last finds room, whatever those before him ask for. What is
 *          beyond waits, and askers take turns. An ask has deadline_ms, in line or under way; what isn't there then is
 *          DNS_FAILED. What libunbound still works at behind that keeps its place in the bound, up to the same
 *          number again.
 *          The caches hold about cache_bytes.
 * Servers  By default recursion from the root. `forward` sends every lookup there, also those of names
 *          and addresses that
 *          libunbound answers by itself otherwise (test., localhost., 10.in-addr.arpa.), and to loopback servers.
 * Before   a sandbox: resolver_new reads resolv.conf and the trust anchor, and opens all that isn't a socket.
 * Owner    Who asks frees the ask before its answers: resolver_cancel, at any time, also in `done`.
 * Threads  The loop's.
 */
#ifndef MM_INGEST_VERDICT_RESOLVER_H
#define MM_INGEST_VERDICT_RESOLVER_H

#include "base/json.h"
#include "base/loop.h"
#include "ingest/verdict/answers.h"

#define RESOLVER_STUBS           16
#define RESOLVER_DEADLINE_S      10
#define RESOLVER_DEADLINE_MOST_S 300
/* One for each lookup that is under way or left, and some: what waits for one inside libunbound has no deadline. */
#define RESOLVER_SOCKETS         1408

struct resolver_stub {
	const char *zone;   /* "lab" */
	const char *server; /* "ADDR@PORT" */
};

struct resolver_options {
	const char *forward;      /* "ADDR@PORT" or "ADDR"; NULL: none */
	bool resolv_conf;         /* the servers of /etc/resolv.conf */
	const char *trust_anchor; /* a file of DS or DNSKEY records; NULL: no DNSSEC */
	struct resolver_stub stubs[RESOLVER_STUBS]; /* zones that have a server of their own */
	size_t stub_count;
	int64_t deadline_ms; /* 0: 5000 */
	unsigned lookups;    /* 0: 512 */
	size_t cache_bytes;  /* 0: 32 MiB */
};

struct resolver;
struct resolver_ask;

/* Nothing in `o` is kept. RC_INVALID: an address, a zone or an anchor that is none. */
enum rc resolver_new(struct resolver **out, struct loop *l, const struct resolver_options *o,
		     struct err *e) MUST_USE;
/* What is under way ends without `done`. NULL is fine. */
void resolver_free(struct resolver **r);

/* `done` is called once, from the loop, never from within resolver_ask; also where nothing was wanted. `a` and
 * `arg` live until then, or until resolver_cancel. Behind `done` the ask is gone. */
struct resolver_ask *resolver_ask(struct resolver *r, struct answers *a, void (*done)(void *arg),
				  void *arg);
/* No `done` any more; questions without an answer stay without. NULL is fine. */
void resolver_cancel(struct resolver_ask **ask);

/* The ports that TCP goes to, for a sandbox; 53 is among them unless all lookups are forwarded. Returns how
 * many; at most RESOLVER_STUBS + 1. */
size_t resolver_ports(const struct resolver_options *o, uint16_t out[RESOLVER_STUBS + 1]);
/* "ADDR@PORT" or "ADDR" (port 53). */
bool resolver_server(struct slice text, struct ip *ip, uint16_t *port);

/* The configuration's section dns (docs/man/mmd.8.md): strings stay its own. RC_INVALID: it can't be taken. */
enum rc resolver_options_read(struct resolver_options *o, const json_t *dns, struct err *e) MUST_USE;
/* How long a message waits for its verdict. */
enum rc resolver_deadline(const json_t *dns, int64_t *ms, struct err *e) MUST_USE;

/* An answer of DNS to a question, as resolver_ask takes it: `packet` is hostile. The records are in *records, to
 * be freed by resolver_records_free; what can't be taken gives DNS_FAILED. */
void resolver_read(struct dns_answer *out, struct dns_record **records, enum dns_type type,
		   const char *name, struct slice packet);
void resolver_records_free(struct dns_record **records, size_t count);

struct resolver_totals {
	uint64_t asked;   /* lookups */
	uint64_t failed;  /* DNS_FAILED, late ones among them */
	uint64_t late;    /* past their deadline */
	size_t under_way; /* now */
	size_t in_line;   /* now */
	size_t left;      /* now: late or cancelled ones that libunbound still works at */
};

void resolver_count(const struct resolver *r, struct resolver_totals *out);

#endif
