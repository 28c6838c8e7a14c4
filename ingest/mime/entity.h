/*
 * ingest/mime/entity.h - the readers of bodies, and what they share; for ingest/mime alone
 */
#ifndef MM_INGEST_MIME_ENTITY_H
#define MM_INGEST_MIME_ENTITY_H

#include "ingest/mime/findings.h"

#define DEEPEST_ENCODED 4 /* messages in base64 in messages in base64 */

/* How a header block says that its content is to be read. Values as they stand (unfolded is fine). */
struct entity {
	struct slice type; /* of Content-Type */
	struct slice transfer;
	struct slice disposition;
	struct slice content_id;
	bool inside_attached;
	unsigned encoded_depth;
};

/* The MIME library's tree of a multipart or message. `front` is memory of `front_len` bytes in front
 * of the body that may be overwritten: the library is given a header of its own there. False when
 * that is too small, or there were no parts: the caller reads the body in another way. */
bool tree_read(struct findings *f, const struct entity *e, uint8_t *front, size_t front_len,
	       struct slice body);
/* A single part by its headers. */
void leaf_read(struct findings *f, const struct entity *e, struct slice content);
/* The plain reader. The body of an entity with these headers. */
void plain_read(struct findings *f, const struct entity *e, struct slice body);
/* A whole message in memory that may be overwritten. With encoded_depth 0 its headers are the
 * message's own. */
void message_read(struct findings *f, uint8_t *bytes, size_t len, const struct entity *e, bool plain);

/* "multipart/...", and what else has parts inside. */
bool entity_has_parts(struct slice type);

#endif
