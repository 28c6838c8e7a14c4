/*
 * store/audit.h - the log that shows tampering
 *
 * What     Entries of JSON, each encrypted under the audit key and chained: the hash of entry n
 *          covers the hash of entry n-1 and the ciphertext of n, so the chain can be checked from
 *          the first entry to the head without reading one.
 * Why      A cut, an edit, an insertion or a reordering anywhere before the last anchored head is
 *          found by mm-audit verify. Whoever keeps an anchor (a head outside) also finds a cut tail.
 * Order    audit_add buffers and gives the entry its number; audit_sync makes everything added
 *          durable (shared by all who wait). A read or search is answered after audit_sync.
 * Fails    RC_IO and RC_NOSPACE: the answer must not be given. Entries that are damaged before the last
 *          synced one are logged at open, told by whatever reads them, and never written over: the log goes
 *          on behind them. RC_CORRUPT at open when a file is missing or cut, or its header is damaged. A
 *          torn last entry is sealed, never cut.
 * Threads  Any; audit_sync groups.
 * On disk  docs/formats.md, "Audit log"
 */
#ifndef MM_STORE_AUDIT_H
#define MM_STORE_AUDIT_H

#include <jansson.h>
#include <stdatomic.h>

#include "base/err.h"
#include "store/keyring.h"

struct audit;

struct audit_head {
	uint64_t entries;
	int64_t  when_ms; /* of the last entry */
	uint8_t  hash[32];
};

enum rc audit_open(struct audit **out, const char *dir, struct keyring *kr, struct err *e) MUST_USE;
void    audit_close(struct audit **a);
/* `event` is a word of store/audit_events.h; `who` the principal ("root", "uid 1000", "mmd");
 * `detail` an object whose reference is taken over, or NULL. Time is the clock's, never before the
 * entry before it. */
enum rc audit_add(struct audit *a, const char *event, const char *who, json_t *detail,
		  struct err *e) MUST_USE;
/* Whether it is a word of store/audit_events.h. */
bool    audit_is_event(struct slice word);
/* From now on each entry says what *control is when it is added: how many changes of the control database
 * are on disk (db_count). It outlives the log. */
void    audit_witness(struct audit *a, const _Atomic uint64_t *control);
enum rc audit_sync(struct audit *a, struct err *e) MUST_USE;
/* The last entry that is on disk. */
void    audit_head(struct audit *a, struct audit_head *out);

struct audit_entry {
	uint64_t      number; /* from 1 */
	int64_t       when_ms;
	const char   *event;
	const char   *who;
	json_t       *detail; /* borrowed; NULL where none */
	const uint8_t *hash;  /* 32 bytes */
	uint64_t      control; /* audit_witness; 0: it isn't known */
};
/* From entry `from` on, in order. Stops at RC != RC_OK of `each`. RC_CORRUPT names the entry where the
 * chain breaks, after those behind it that authenticate were given too. */
enum rc audit_each(struct audit *a, uint64_t from,
		   enum rc (*each)(void *arg, const struct audit_entry *entry, struct err *e),
		   void *arg, struct err *e) MUST_USE;
/* Checks chain and tags of the files as they lie on disk, from the first entry; `anchor` (may be
 * NULL) is a head known from outside, which the log must contain. RC_CORRUPT tells of both. */
enum rc audit_verify(struct audit *a, const struct audit_head *anchor, struct audit_head *seen,
		     struct err *e) MUST_USE;
/* RC_CORRUPT: the log never had that head, or has it no more. A damaged entry is proved by the next one.
 * Reads the log from there on only. */
enum rc audit_has(struct audit *a, const struct audit_head *head, struct err *e) MUST_USE;
/* Its newest file had a break when it was opened. */
bool    audit_is_damaged(const struct audit *a);
/* "mm-audit-head 1 ENTRIES TIME HASH", one line, and its parse. */
void audit_head_format(char out[160], const struct audit_head *h);
bool audit_head_parse(struct audit_head *h, struct slice line);

#endif
