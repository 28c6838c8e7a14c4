/*
 * ingest/policy.h - traffic policies: may this recipient be served?
 *
 * What     A compiled TrafficPolicy and its verdict for one recipient, asked at RCPT. All DENY
 *          statements are judged first, then all ALLOW statements, then DefaultAction (spec section
 *          4, developer guide). A statement holds when all its conditions hold.
 * Why      Asked for every recipient of every mail before a byte of it is taken: no allocation, no
 *          lock but that of an address list, well below 5 us for a policy of ordinary size.
 * Several  values: the positive operators hold when any value matches; NOT_EQUALS and
 *          NOT_CIDR_MATCHES only when none does. So an IPv6 peer matches no SENDER_IP value, and
 *          NOT_CIDR_MATCHES on SENDER_IP holds for it; SENDER_IPV6 the other way round.
 * TLS      On a connection in the clear no TlsExpression holds.
 * Add-ons  A condition may ask what an add-on's instance says (Analysis: DNS block lists, docs/scanners.md). Where
 *          a judgement comes to one that nothing is known of, it ends with POLICY_ASK; who asked finds out about
 *          all that policy_asks names, and asks again. As in rules nothing is concluded from nothing: where the
 *          instance says nothing, the condition doesn't hold, whatever its operator. A StringExpression on the
 *          verdict compares its word, so that PROCESSING_FAILED can be asked for.
 * Text     ASCII letters compare without case.
 * Owner    The config that made it.
 * Threads  Any; immutable.
 */
#ifndef MM_INGEST_POLICY_H
#define MM_INGEST_POLICY_H

#include "base/cidr.h"
#include "base/json.h"
#include "ingest/address_list.h"

#define POLICY_ADDONS 8 /* instances that one policy may ask */

enum policy_verdict {
	POLICY_DENY,
	POLICY_ALLOW,
	POLICY_LATER, /* denied, but perhaps only for want of what an add-on would have said */
	POLICY_ASK,   /* not known yet: an add-on is to be asked */
};
/* Ordered: a higher version is a greater number. */
enum policy_tls { POLICY_TLS_NONE = 0, POLICY_TLS_1_2 = 12, POLICY_TLS_1_3 = 13 };

struct policy_facts {
	struct slice recipient; /* local@domain as given in RCPT */
	struct ip peer;
	enum policy_tls tls;
	bool authenticated; /* for the trace; no expression of the API asks it */
	/* What add-ons' instances said, {"<id>":{...}} as in ingest/scan_result.h; NULL: nothing is known. */
	const json_t *addons;
};

/* One step of a judgement, in the order of judging. */
struct policy_step {
	int statement; /* index in PolicyStatements; -1: DefaultAction decided */
	int condition; /* index in its Conditions; -1: the statement as a whole */
	bool held;
	enum policy_verdict action; /* of the statement, or the default */
	bool asked;        /* the condition asks an add-on; these live for the call: */
	struct slice field; /* its ResultField, without "addon." */
	struct slice said;  /* "true", a text, "PROCESSING_FAILED"; empty: there is no such field */
};

struct policy_trace {
	void (*step)(void *arg, const struct policy_step *step);
	void *arg;
};

struct policy;

/* Finds an address list by name, id or ARN; NULL when there is none. */
typedef struct address_list *address_list_finder(void *arg, struct slice reference);

/* What a policy refers to, by name, id or ARN. */
struct policy_lookup {
	address_list_finder *list;
	/* The id of an add-on's instance, or NULL; lives for the call. NULL: there are none. */
	const char *(*analyzer)(void *arg, struct slice reference);
	void *arg;
};

/* `json` is a TrafficPolicy in the API's shape (ingest/shape_resources.h checks it first).
 * RC_INVALID names the member; RC_NOTFOUND an address list, or an add-on's instance, that isn't there. */
enum rc policy_new(struct policy **out, const json_t *json, const struct policy_lookup *look,
		   struct err *e) MUST_USE;
void policy_free(struct policy **p);

/* `trace` may be NULL; of a judgement that ends with POLICY_ASK it has heard a part. Judging stops as soon as the
 * verdict is known. POLICY_LATER: it would be POLICY_DENY, but another answer of an add-on that says
 * PROCESSING_FAILED
 * could have made it POLICY_ALLOW: what failed stands in the statement that denied, or in one that would have
 * allowed,
 * and no statement denied by what is known alone. */
enum policy_verdict policy_decide(const struct policy *p, const struct policy_facts *f,
				  const struct policy_trace *trace);
/* Does it let in only recipients that it names? DefaultAction DENY, and each ALLOW statement has a condition on
 * RECIPIENT that
 * is no open door: EQUALS, ENDS_WITH of a text with "@", or IsInAddressList IS_TRUE. Who relays for strangers
 * must. */
bool policy_limits_recipients(const struct policy *p);
/* The ids of the add-ons' instances that its conditions name, each once. */
size_t policy_asks(const struct policy *p, const char *const **ids);
/* MaxMessageSizeBytes, or 0: the policy sets no limit. */
uint64_t policy_max_bytes(const struct policy *p);
const char *policy_name(const struct policy *p);
const char *policy_id(const struct policy *p);
int64_t policy_version(const struct policy *p);
/* What a step of a trace was about, in the API's shape; lives as long as the policy. NULL: there is no such
 * condition. */
const json_t *policy_condition(const struct policy *p, int statement, int condition);

#endif
