/*
 * ingest/scans.h - messages judged by scanners, asked by the pipeline
 *
 * What     mmd's side of mm-scan. The pipeline asks for a message, for all add-on instances that its rule set
 *          speaks of, and takes results when they are there, in any order: an object for the receipt's "addons".
 *          Nothing here waits: a message's bytes are copied, and a thread of its own does the rest. mm-scan gets
 *          them in sealed memory.
 * Home     mm-scan is started before mmd confines itself, for mmd may connect to nothing (base/home.h). The
 *          thread has it make the child that speaks to scanners, and for each scan a connection, which that
 *          child gets from mmd with the message. A child that dies, or doesn't listen any more, is made again;
 *          what it had is asked once more, one message at a time, so that one that it dies of costs no other its
 *          verdict.
 * Lanes    Each scanner has a line and at most `at_once` of it under way. From when it is asked for, in line or
 *          not, a scan has the scanner's deadline.
 * Trouble  Each way a scan can fail gives PROCESSING_FAILED, and the rules decide what then: no message is lost
 *          or stays for it.
 *          away     (no connection) it waits in line for the scanner to come back, until its deadline. When a
 *                   scanner has been away for longer than that, scans fail at once, but for one a second that
 *                   tries it.
 *          broken   (hung up, nonsense, an error of its own) it isn't tried again: it may be the message that
 *                   breaks it.
 *          late     it is dropped.
 *          An error is logged once for each such outage, and a line at its end.
 * Owner    Addons and home outlive the scans.
 * Threads  scans_ask, scans_take, scans_forget: one (the pipeline's). scans_status: any. `woken` comes from the
 *          thread of scans, with no lock held.
 */
#ifndef MM_INGEST_SCANS_H
#define MM_INGEST_SCANS_H

#include "base/cidr.h"
#include "base/home.h"
#include "ingest/addons.h"
#include "ingest/mail.h"

/* Before mmd confines itself. `config` is the configuration's section, read by addons_read before; it isn't
 * kept. `program` NULL: "mm-scan". home_stop ends it. */
enum rc scans_home(struct home **out, const json_t *config, const char *program,
		   struct err *e) MUST_USE;

/* What scanners are told of the envelope. All live for the call. */
struct scan_facts {
	struct slice id; /* of the message, as text */
	struct ip client;
	struct slice helo;
	struct slice mail_from; /* empty for <> */
	struct slice user;      /* who logged in; empty: nobody */
	const struct slice *recipients;
	size_t recipient_count;
};

struct scan_instance {
	struct slice id;    /* AddonInstanceId */
	struct slice addon; /* AddonName of its subscription */
};

struct scans;

/* `home` NULL: no scanner is configured, and each scan fails. */
enum rc scans_new(struct scans **out, struct home *home, const struct addons *addons,
		  void (*woken)(void *arg), void *arg, struct err *e) MUST_USE;
void scans_free(struct scans **s); /* gives up what is under way; NULL is fine */

/* Returns the number under which the result comes; never 0. Of `instances`, those of a DNS block list are left out
 * (mm-verdict asks it); without any that is left the result comes, too, and is empty. */
uint64_t scans_ask(struct scans *s, const struct scan_instance *instances, size_t count,
		   struct slice raw, const struct scan_facts *facts);
/* Those of a DNS block list, into `out`, which has room for `count`. Returns how many. */
size_t scans_lists(const struct scans *s, const struct scan_instance *instances, size_t count,
		   struct scan_instance *out);
/* The same with the facts of a message's envelope. */
uint64_t scans_ask_mail(struct scans *s, const struct scan_instance *instances, size_t count,
			const struct mail *m, struct slice raw);
/* False: none is there now. *addons: {"<instance id>":{...}}, a new reference. */
bool scans_take(struct scans *s, uint64_t *number, json_t **addons);
/* Gives up all that was asked: their results don't come. */
void scans_forget(struct scans *s);

/* For "mmctl status": {"NAME":{"scanned","failed","waiting"}}, and "down" with the reason during an outage. A new
 * reference. */
json_t *scans_status(struct scans *s);

#endif
