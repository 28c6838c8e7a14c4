/*
 * ingest/action/compose.h - the bytes that a mail task sends
 *
 * What     Received bytes with fields in front, in the order of a journey, the newest on top: DKIM-Signature and
 *          the set of ARC where keys are there, the fields that rules added, Authentication-Results, Received
 *          (docs/outbound.md, "What is sent"). Fields that claim to be our Authentication-Results are left out.
 *          Nothing else of the message changes, no line end either.
 * Safe     Every value from outside (HELO, addresses, verdicts' domains) is checked or made printable: none begins
 *          a field. A message may begin with a folded line or without a header: an empty line is put between, and
 *          all of it is body.
 * Signed   is what every reader takes in the same way. A message with a bare CR, a bare LF or a NUL, or with a
 *          line in its header that is no field or has a control character, is sent as it is, without a signature
 *          and a seal: others would find them broken, which is worse than none.
 *          DKIM says that a domain sent the message. Of what was received (`trace`) only that is signed of which
 *          mm knows who sent it: it came by AUTH or MTLS, or DMARC, a signature, or SPF passed for the domain of
 *          From. Else who writes our domain into From would have our word for it.
 * Threads  Any.
 */
#ifndef MM_INGEST_ACTION_COMPOSE_H
#define MM_INGEST_ACTION_COMPOSE_H

#include "base/buf.h"
#include "ingest/mail.h"

struct compose_key { /* DKIM or ARC */
	const char *domain;
	const char *selector;
	struct evp_pkey_st *key;
};

struct compose {
	const struct mail *mail; /* receipt, verdicts; may be NULL without `trace` and `arc` */
	struct slice raw;
	const char *hostname; /* ours: by, authserv-id */
	const char *instance; /* of the data directory, 16 letters and digits */
	const json_t *headers; /* [{"name","value"}] that rules added, in order; NULL: none */
	const char *recipient; /* for "for"; NULL where there are several */
	bool trace;            /* Received and Authentication-Results; false: `headers` alone (WriteToS3) */
	const struct compose_key *dkim; /* NULL: not signed */
	/* Sealed where verdicts say how the chain arrived: not where nobody could find out, nor one that has
	 * failed and says so, nor one that is full. */
	const struct compose_key *arc;
	int64_t now_ms;
};

/* Adds the fields in front, each ended by CRLF; and the parts of `raw` that are sent behind them are the whole but
 * for the `cuts`, ascending ranges of whole fields. RC_LIMIT: there are more of them than COMPOSE_CUTS, or the
 *          header is larger than can be looked
 * through (ingest/verdict/raw.h): the action fails. RC_INVALID: a field of `headers` isn't X-. */
#define COMPOSE_CUTS 64
struct compose_cut {
	size_t from;
	size_t to;
};
enum rc compose_front(const struct compose *c, struct buf *out, struct compose_cut cuts[COMPOSE_CUTS],
		      size_t *cut_count, struct err *e) MUST_USE;
/* Front and message in sealed memory (base/sealed.h): its descriptor is the caller's. */
enum rc compose_memory(const struct compose *c, int *fd, uint64_t *bytes, struct err *e) MUST_USE;

/* Why the message goes in a circle, or NULL: three Received fields of `instance`, or 50 of any. Of a header beyond
 * ingest/head.h's limits that much is looked at. */
const char *compose_loop(struct slice raw, const char *instance);

/* The domain of From that a DKIM key is looked for, in lower case, in A-labels; false: none or several, or
 * what is sent has no header. */
bool compose_from_domain(char out[256], struct slice raw);

#endif
