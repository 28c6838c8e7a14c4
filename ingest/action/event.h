/*
 * ingest/action/event.h - a message as the service's notifications describe it
 *
 * What     "mail" and "receipt" of SES's email-receiving notifications, built of the receipt, the verdicts and
 *          the message's header fields as they stand: unfolded, valid UTF-8, encoded words not decoded.
 *          docs/calls.md, "Events", has each member.
 * Bounds   Names and values of the header fields have `most` bytes together; where there are more, the first
 *          ones are in it and `headersTruncated` is true.
 * Threads  Any.
 */
#ifndef MM_INGEST_ACTION_EVENT_H
#define MM_INGEST_ACTION_EVENT_H

#include "ingest/action/payload.h"

/* New references. `action` of the receipt is given away. */
json_t *event_mail(const struct payload_facts *f, size_t most);
json_t *event_receipt(const struct payload_facts *f, json_t *action);

/* The first field of that name in one line of at most `most` bytes, added; nothing where there is none. */
void event_header(struct slice raw, const char *name, size_t most, struct buf *out);

#endif
