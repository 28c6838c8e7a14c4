/*
 * ingest/document.h - from a parsed message and its envelope to what index and rules want
 *
 * Owner    A struct document owns the texts that had to be put together; the index document's other
 *          slices point into the parsed message and the envelope: keep them while it is used.
 */
#ifndef MM_INGEST_DOCUMENT_H
#define MM_INGEST_DOCUMENT_H

#include "index/doc.h"
#include "ingest/parsed.h"
#include "ingest/rules.h"

/* What was known beside the message. */
struct document_envelope {
	struct message_id id;
	uint64_t lot;
	uint64_t bytes;
	uint8_t sha256[32];
	struct slice mail_from; /* empty for <> */
	const struct slice *recipients; /* as received, then those of ReplaceRecipient */
	size_t recipient_count;
	struct slice ingress;
	struct slice ip;
	struct slice problem; /* of receipt, as the spool recorded it; may be empty */
	const json_t *verdicts; /* of the receipt (docs/verdicts.md); NULL: nobody looked */
};

struct document {
	struct index_doc doc;
	struct buf from;
	struct buf envelope_to;
	struct buf headers;
	struct buf problem;
};

/* Texts beyond the limits of the buffers are cut at a line, and the document is marked. */
void document_make(struct document *d, const struct parsed *p, const struct document_envelope *env);
void document_free(struct document *d);

/* The parts of a rule's facts that come from the message: fields, headers, read_receipt. The caller
 * fills the rest. Slices point into `p`. */
void document_facts(struct rule_facts *facts, const struct parsed *p);
/* Frees the arrays that document_facts made. */
void document_facts_free(struct rule_facts *facts);

#endif
