/*
 * ingest/disposition.h - what became of each accepted message that is in no archive
 *
 * What     A row in control.db for every message that ended without being archived, or with an action
 *          that failed: kind, rule, versions. What was archived carries its disposition with it, beside
 *          the bytes. Together they list every message that was ever answered with 250.
 * Why      "Nothing just vanishes" (P1): a message that no rule acted on, or that a rule dropped, can
 *          be asked about by its id.
 * Privacy  No address, no subject: ids, rule names and counts only, so nothing is left to forget.
 * Threads  As the struct db.
 * On disk  docs/formats.md, "Control database": table disposition
 */
#ifndef MM_INGEST_DISPOSITION_H
#define MM_INGEST_DISPOSITION_H

#include "base/id.h"
#include "store/db.h"

enum disposition_kind {
	DISPOSITION_UNMATCHED, /* no rule acted on any recipient */
	DISPOSITION_DROPPED,   /* every recipient was dropped by a rule */
	DISPOSITION_NO_ACTION, /* rules acted, but nothing final was asked for */
	DISPOSITION_FAILED,    /* an action could not be carried out; `text` says why */
	DISPOSITION_LOST,      /* the spool's record is damaged: its bytes are gone */
	DISPOSITION_REFUSED,   /* dropped before its reply: its sender was told 550 */
	DISPOSITION_DELIVERED, /* all that was to be done beyond this machine is done */
	DISPOSITION_BOUNCED,   /* not all of it, and its sender was told */
	DISPOSITION_DEAD,      /* a dead letter, or several: not all of it, and nobody was told */
	DISPOSITION_KINDS
};

struct disposition {
	struct message_id     id;
	int64_t               received_ms;
	enum disposition_kind kind;
	char                  policy[40];
	int64_t               policy_version;
	char                  rule_set[40];
	int64_t               rule_set_version;
	int                   rule; /* index of the rule that decided; -1 none */
	char                  rule_name[40];
	char                  text[200];
};

/* A table of before policies were recorded gets their columns, empty. */
enum rc disposition_prepare(struct db *control, struct err *e) MUST_USE;
/* The first of an id stays. A replay finds none, since rows and the spool's positions are committed together;
 * so a second one is of a front that says another message's id. In the caller's transaction. */
enum rc disposition_put(struct db *control, const struct disposition *d, struct err *e) MUST_USE;
/* What the outbound queue says, of delivered, bounced, dead-letter and dropped: the last one counts, but one of
 * before it
 * was parked (an archive that was gone) stays. In the caller's transaction. */
enum rc disposition_ended(struct db *control, const struct disposition *d, struct err *e) MUST_USE;
/* RC_NOTFOUND when the message is archived whole, or was never accepted. */
enum rc disposition_get(struct db *control, const struct message_id *id, struct disposition *out,
			struct err *e) MUST_USE;
/* Newest first; `kind` DISPOSITION_KINDS for all; `limit` 0: all. */
enum rc disposition_each(struct db *control, enum disposition_kind kind, uint64_t limit,
			 enum rc (*each)(void *arg, const struct disposition *d, struct err *e),
			 void *arg, struct err *e) MUST_USE;
enum rc disposition_count(struct db *control, uint64_t counts[DISPOSITION_KINDS],
			  struct err *e) MUST_USE;
const char *disposition_name(enum disposition_kind kind);
bool        disposition_parse(struct slice word, enum disposition_kind *kind);

#endif
