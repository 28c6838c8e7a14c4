/*
 * ingest/action/compose.h - the bytes that a mail task sends
 *
 * What     Received bytes with fields in front: ours (Received, Authentication-Results), those that rules added, ARC and
 *          DKIM where keys are there (docs/outbound.md, "What is sent"). Fields that claim to be our
 *          Authentication-Results are left out. Nothing else of the message changes, no line end either.
 * Safe     Every value from outside (HELO, addresses, verdicts' domains) is checked or made printable: none begins a field. A
 *          message may begin with a folded line or without a header: an empty line, or nothing, is put between.
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
	const struct mail *mail; /* receipt, verdicts */
	struct slice raw;
	const char *hostname; /* ours: by, authserv-id */
	const char *instance; /* of the data directory, 16 letters and digits */
	const json_t *headers; /* [{"name","value"}] that rules added, in order; NULL: none */
	const char *recipient; /* for "for"; NULL where there are several */
	bool trace;            /* Received and Authentication-Results; false: `headers` alone (WriteToS3) */
	const struct compose_key *dkim; /* NULL: not signed */
	const struct compose_key *arc;
	int64_t now_ms;
};

/* Adds the fields in front, each ended by CRLF; and the parts of `raw` that are sent behind them are the whole but for the
 * `cuts`, ascending ranges of whole fields. RC_LIMIT: more than COMPOSE_CUTS fields claim to be ours (they are then all cut by one range
 * each as far as it goes; the action fails). */
#define COMPOSE_CUTS 64
struct compose_cut {
	size_t from;
	size_t to;
};
enum rc compose_front(const struct compose *c, struct buf *out, struct compose_cut cuts[COMPOSE_CUTS], size_t *cut_count,
		      struct err *e) MUST_USE;
/* Front and message in sealed memory (memfd): its descriptor is the caller's. */
enum rc compose_memory(const struct compose *c, int *fd, uint64_t *bytes, struct err *e) MUST_USE;

/* Why the message goes in a circle, or NULL: three Received fields of `instance`, or 50 of any. */
const char *compose_loop(struct slice raw, const char *instance);

/* The domain of From that a DKIM key is looked for; empty: none or several. */
struct slice compose_from_domain(struct slice raw);

#endif
