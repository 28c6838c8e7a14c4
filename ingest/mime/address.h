/*
 * ingest/mime/address.h - the addresses of a header, by every reading
 *
 * What     One pass splits the value into mailboxes (RFC 5322 section 3.4, groups and source routes
 *          too, without recursion). A second one takes everything that looks like local@domain out
 *          of the decoded text, wherever it stands: in a comment, a display name, an encoded word,
 *          behind a backslash. What other programs may take for the sender is among these.
 */
#ifndef MM_INGEST_MIME_ADDRESS_H
#define MM_INGEST_MIME_ADDRESS_H

#include "base/slice.h"

struct address_sink {
	/* A mailbox. `address` is local@domain without blanks, or empty when the piece has none (then
	 * `display` is its text). `display` is "Name <local@domain>" or the address alone. False ends. */
	bool (*mailbox)(void *arg, struct slice address, struct slice display);
	void *arg;
};

/* `unfolded` is one line of UTF-8 or raw bytes; slices handed on are UTF-8 and live for the call. */
void address_list(struct slice unfolded, const struct address_sink *sink);
/* Everything that looks like an address in decoded text; display is empty. */
void address_scan(struct slice text, const struct address_sink *sink);

#endif
