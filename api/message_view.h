/*
 * api/message_view.h - a message in the API's shapes: Row, Metadata, Envelope
 *
 * What     Put together from the row of the index (decoded text), what is kept beside the message (how it
 *          came) and its header (fields that the index doesn't have, as they stand).
 * Limits   A text is cut at `most` bytes, with "..." at its end; so is the list of Received fields.
 * Threads  Any.
 */
#ifndef MM_API_MESSAGE_VIEW_H
#define MM_API_MESSAGE_VIEW_H

#include "api/api_options.h"
#include "ingest/config.h"
#include "index/index.h"
#include "ingest/mail.h"

struct message_view {
	const struct archive_info *archive;
	const struct api_options *options; /* region and account of ARNs */
	struct message_id id;
	const struct index_row *row; /* NULL: the index has none */
	struct slice meta;           /* as the store has it */
	struct slice raw;
	size_t most;
};

/* New references. RC_CORRUPT or RC_INVALID when what is kept beside the message can't be read. */
enum rc view_row(const struct message_view *v, json_t **out, struct err *e) MUST_USE;
enum rc view_metadata(const struct message_view *v, json_t **metadata, json_t **envelope,
		      struct err *e) MUST_USE;

#endif
