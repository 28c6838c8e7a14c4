/*
 * ingest/ledger.h - which messages an import has stored already
 *
 * What     One row a message: a hash over archive, where it came from (file, place in it) and its
 *          bytes, with the id it got. Written in the pipeline's checkpoint with the message.
 * Why      A second run of the same import, or one after a crash, stores nothing twice; two files
 *          with the same bytes are two messages.
 * Threads  As the struct db.
 */
#ifndef MM_INGEST_LEDGER_H
#define MM_INGEST_LEDGER_H

#include "base/id.h"
#include "store/db.h"

#define LEDGER_KEY 16

struct ledger_entry {
	uint8_t           key[LEDGER_KEY];
	struct message_id id;
};

enum rc ledger_prepare(struct db *control, struct err *e) MUST_USE;
/* `source` names the message where it came from ("/home/a/mail.mbox#4711"); `sha256` its bytes. */
void ledger_key(uint8_t out[LEDGER_KEY], uint32_t archive, struct slice source,
		const uint8_t sha256[32]);
/* In the caller's transaction; a key that is there already is left as it is. */
enum rc ledger_put(struct db *control, const struct ledger_entry *entry, struct err *e) MUST_USE;
/* RC_NOTFOUND when the key is new. */
enum rc ledger_get(struct db *control, const uint8_t key[LEDGER_KEY], struct message_id *id,
		   struct err *e) MUST_USE;

#endif
