/*
 * index/doc.h - one message as the index sees it: flat text fields, no MIME
 *
 * All text is UTF-8 (invalid bytes are replaced before they come here). Slices are borrowed for the
 * call. A field with several values (addresses, file names) has one a line.
 */
#ifndef MM_INDEX_DOC_H
#define MM_INDEX_DOC_H

#include "base/id.h"

/* The order is that of the FTS5 columns; it is part of the shard format. A word in the first column costs
 * no mark of the column, so it is the one with most words. */
enum doc_field {
	DOC_BODY,          /* plain and HTML text parts, inline message/rfc822 too */
	DOC_SUBJECT,
	DOC_FROM,          /* From and Sender: display names and addresses */
	DOC_TO,
	DOC_CC,
	DOC_BCC,
	DOC_ENVELOPE_FROM,
	DOC_ENVELOPE_TO,   /* as received, and after ReplaceRecipient */
	DOC_FILENAME,
	DOC_ATTACHMENT,    /* text of attachments: text parts now, office and PDF later */
	DOC_HEADERS,       /* Message-ID, In-Reply-To, References, List-Id, X-Mailer: tokens only */
	DOC_FIELDS
};

enum doc_flag {
	DOC_HAS_ATTACHMENT = 1,
	DOC_PARSE_PROBLEM = 2, /* something could not be read; `problem` says what */
	DOC_NOT_INDEXED = 4,   /* part of the text is not in the index (limit, encrypted, a PDF) */
	DOC_HAS_SENT = 8,      /* sent_ms is known */
	/* the bits from 256 on are verdicts: index/doc_verdict.h */
};

struct index_doc {
	struct message_id id;
	uint64_t          lot;         /* key id: what is destroyed together */
	int64_t           sent_ms;     /* Date:, when DOC_HAS_SENT */
	uint64_t          bytes;       /* of the message as received */
	uint32_t          flags;
	uint8_t           sha256[32];
	struct slice      field[DOC_FIELDS];
	struct slice      message_id;  /* Message-ID without angle brackets */
	struct slice      ingress;     /* name of the ingress point, or "import" */
	struct slice      ip;          /* of the peer, as text */
	struct slice      problem;     /* for people: what could not be read and why */
};

#endif
