/*
 * ingest/mime/findings.h - what was found in one message so far
 *
 * What     The worker's side of a struct parsed: buffers that grow, an arena for the small texts, and
 *          the limit of all indexed text together. One struct findings serves all messages.
 */
#ifndef MM_INGEST_MIME_FINDINGS_H
#define MM_INGEST_MIME_FINDINGS_H

#include "ingest/mime/arena.h"
#include "ingest/mime/headers.h"
#include "ingest/mime/transfer.h"
#include "ingest/parsed.h"

struct findings {
	uint32_t flags;
	bool show;     /* text parts as they are, for who shows the message */
	bool has_date; /* a Date header was read; it may have been no date */
	int64_t sent_ms;
	struct buf text[PARSED_TEXTS];
	struct parsed_address *addresses[PARSED_FIELDS];
	size_t address_count[PARSED_FIELDS];
	size_t address_room[PARSED_FIELDS];
	struct parsed_header *headers;
	size_t header_count;
	size_t header_room;
	struct arena arena;
	size_t text_left; /* of LIMIT_INDEXED_TEXT */
	struct buf scratch[3]; /* decoded, converted, a header */
};

void findings_init(struct findings *f);
void findings_free(struct findings *f);
/* Empty for the next message; memory that a large one took is given back. */
void findings_clear(struct findings *f);
enum rc findings_encode(const struct findings *f, struct buf *out) MUST_USE;

/* Something couldn't be read. Each text is told once. `flag`: PARSED_NOT_INDEXED when text is missing
 * by it, else 0. */
void found_problem(struct findings *f, uint32_t flag, const char *what);
/* Nothing is broken, but mm has no reader for this text: PARSED_NOT_INDEXED alone. */
void found_unread(struct findings *f, struct slice name, struct slice type);
/* UTF-8 text for the index, with a line end behind it; cut where the message's limit is reached. */
void found_text(struct findings *f, enum parsed_text where, struct slice utf8);
void found_filename(struct findings *f, struct slice utf8);
/* The headers of the message itself. */
void found_headers(struct findings *f, const struct header_block *b);
/* The headers of a message inside: their text goes to `where` (body or attachment). */
void found_inner_headers(struct findings *f, const struct header_block *b, enum parsed_text where);
/* What stood in the block and is no header, or beyond its limits: after the body, as text. */
void found_junk(struct findings *f, const struct header_block *b, enum parsed_text where);

/* A leaf of the tree. Slices live for the call. */
struct part {
	struct slice type;    /* "text/html" in any case; empty: text/plain */
	struct slice charset;
	struct slice name; /* one of its names as it stands, or empty */
	enum transfer transfer;
	struct slice content; /* as it stands in the message */
	bool attached;        /* Content-Disposition: attachment, or it has a name */
	bool inside_attached; /* a part of an attached message */
	bool related;         /* has a Content-ID and isn't called an attachment: belongs to the HTML */
};
void found_part(struct findings *f, const struct part *p);
/* The content without its transfer encoding: in place or in f->scratch[0]. */
struct slice part_bytes(struct findings *f, const struct part *p);

#endif
