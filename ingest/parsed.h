/*
 * ingest/parsed.h - what a message says, as the sandboxed worker read it
 *
 * What     The parsed document: texts for the index, addresses and headers for the rules. The worker
 *          fills a struct parsed and encodes it; mmd decodes a copy of those bytes.
 * Readings A message that can be read in several ways is given as the union of them: every address
 *          of every From line, every alternative of a body, every name of an attachment.
 * Trust    The worker may have been broken into. The decoder takes nothing for granted: every length
 *          and count is checked, every text is valid UTF-8 without NUL, nothing may follow. What it
 *          can't check is whether the text is what the message says.
 * Format   Little endian. u32 magic, u32 flags, u64 sent_ms, PARSED_TEXTS texts, for each field its
 *          count (u32) and (address, display) pairs, then a count (u32) of headers and their (name,
 *          value, raw) triples. A text is its length (u32) and its bytes.
 * Threads  Any; a decoded document belongs to one.
 */
#ifndef MM_INGEST_PARSED_H
#define MM_INGEST_PARSED_H

#include "base/buf.h"

enum parsed_text {
	PARSED_SUBJECT, /* all Subject lines, one a line */
	PARSED_FROM_TEXT, /* "Name <local@domain>", one a line; what isn't an address is kept as it is */
	PARSED_SENDER_TEXT,
	PARSED_TO_TEXT,
	PARSED_CC_TEXT,
	PARSED_BCC_TEXT,
	PARSED_MESSAGE_ID, /* without angle brackets; the first one */
	PARSED_IN_REPLY_TO, /* as they stand, one header a line */
	PARSED_REFERENCES,
	PARSED_OTHER,      /* every Message-ID, List-Id, X-Mailer, User-Agent... for DOC_HEADERS */
	PARSED_BODY,
	PARSED_FILENAME,   /* one a line */
	PARSED_ATTACHMENT,
	PARSED_PROBLEM,    /* for people; empty when everything was read */
	PARSED_PLAIN,      /* only for who shows the message: its plain and its HTML text parts as they are */
	PARSED_HTML,       /* once decoded, in place of PARSED_BODY */
	PARSED_TEXTS
};

/* The order is that of rule_field_name (ingest/rules.h) behind its SUBJECT. */
enum parsed_field {
	PARSED_FROM, /* From and Resent-From */
	PARSED_SENDER, /* Sender and Resent-Sender */
	PARSED_TO,
	PARSED_CC,
	PARSED_BCC,
	PARSED_FIELDS
};

enum parsed_flag {
	PARSED_HAS_ATTACHMENT = 1,
	PARSED_HAS_PROBLEM = 2, /* something could not be read */
	PARSED_NOT_INDEXED = 4, /* part of the text is not in here */
	PARSED_HAS_SENT = 8,
	PARSED_READ_RECEIPT = 16, /* Disposition-Notification-To and its relatives */
};

struct parsed_address {
	struct slice address; /* local@domain; never empty, no blanks outside quotes */
	struct slice display; /* "Name <local@domain>"; may be empty: the address was found in the text */
};

struct parsed_header {
	struct slice name;  /* as it stands, without trailing blanks */
	struct slice value; /* unfolded, decoded, UTF-8 */
	struct slice raw;   /* as it stands behind the colon, folds included; any bytes */
};

struct parsed {
	uint32_t flags;
	int64_t sent_ms; /* Date:, with PARSED_HAS_SENT, years 1900 to 9999; else 0 */
	struct slice text[PARSED_TEXTS];
	struct parsed_address *addresses[PARSED_FIELDS];
	size_t address_count[PARSED_FIELDS];
	struct parsed_header *headers; /* those of the message itself, in order */
	size_t header_count;
	uint8_t *memory; /* what a decoded document's slices point into */
};

/* Longest encoding that is made or taken: all indexed text, the header block three times. */
#define PARSED_MAX_BYTES 33554432
/* Most addresses in one field, and most headers: the pre-scan's limits. */
#define PARSED_MAX_ADDRESSES 10240
#define PARSED_MAX_HEADERS   10000

/* Adds the encoding to `out`. RC_LIMIT when it doesn't fit. */
enum rc parsed_encode(const struct parsed *p, struct buf *out) MUST_USE;
/* Takes a copy of `bytes` and checks the copy. RC_CORRUPT leaves *out empty. */
enum rc parsed_decode(struct parsed *out, struct slice bytes, struct err *e) MUST_USE;
/* Frees what parsed_decode made. An empty document is fine. */
void parsed_free(struct parsed *p);

#endif
