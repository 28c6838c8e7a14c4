/*
 * api/link.h - links to single messages, good for a few minutes
 *
 * What     An ArchivedMessageId is ARCHIVEID.MESSAGEID: it names a message without more. A link is
 *          URL/message/ARCHIVEID/MESSAGEID?principal=NAME&X-Amz-..., signed as a presigned URL under the key
 *          HTTP_LINK_KEY. mm-httpd checks signature and life; who follows one has the rights that the
 *          principal then has. A link outlives no start of mmd, whose secret is another.
 * Threads  Any.
 */
#ifndef MM_API_LINK_H
#define MM_API_LINK_H

#include "base/buf.h"
#include "base/id.h"

#define LINK_SECRET 40 /* hex digits */

/* A new secret: one for each life of an engine, kept in memory alone. */
void link_draw(char out[LINK_SECRET + 1]);

/* "a-...": up to the last dot; false where it is no ArchivedMessageId. */
bool link_split(struct slice archived_id, struct slice *archive, struct message_id *id);

struct link {
	const char *url; /* "http://127.0.0.1:8025" */
	const char *secret;
	const char *region;
	const char *archive; /* its id */
	const char *principal; /* "" : the owner of the directory */
	struct message_id id;
	int64_t at_ms;
	unsigned seconds;
};

/* The principal that a link's query names; false, and *name as it was, where it names none. */
bool link_principal(struct slice query, struct slice *name);
enum rc link_make(const struct link *l, struct buf *out, struct err *e) MUST_USE;
/* For the file of an import job, by PUT: URL/import/JOB?...; `archive` and `id` aren't looked at. */
enum rc link_make_upload(const struct link *l, struct slice job, struct buf *out,
			 struct err *e) MUST_USE;

#endif
