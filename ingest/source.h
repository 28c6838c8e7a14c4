/*
 * ingest/source.h - messages in files and folders, for imports
 *
 * What     Walks a path: an mbox file (its first bytes are "From "), a Maildir (cur and new; tmp is
 *          left out), a file with one message, or a folder of any of these. Gives each message with its
 *          bytes and a name that stays the same between runs.
 * mbox     A message begins after a line "From " that is the first or follows an empty line. One ">"
 *          is taken off lines ">From ", ">>From " (mboxrd), so what mm-export wrote comes back as it
 *          was. The empty line before the next "From " belongs to the format, not to the message.
 * Names    "PATH" for a file, "PATH#OFFSET" in an mbox, "FOLDER/NAME" without flags for a Maildir
 *          (moving a message from new to cur, or setting its flags, changes nothing). Paths are real
 *          paths.
 * Fails    What can't be read is told to `failed` and the walk goes on.
 */
#ifndef MM_INGEST_SOURCE_H
#define MM_INGEST_SOURCE_H

#include "base/buf.h"

struct source_ops {
	/* One message; slices live for the call. Not RC_OK ends the walk. */
	enum rc (*message)(void *arg, const char *name, struct slice raw, struct err *e);
	/* A file or message that can't be taken. */
	enum rc (*failed)(void *arg, const char *name, const char *why, struct err *e);
	void *arg;
};

enum rc source_walk(const char *path, const struct source_ops *ops, struct err *e) MUST_USE;

/* The time of the topmost Received: header whose date can be read (RFC 5321 section 4.4, RFC 5322
 * section 3.3, obsolete zones too). False when there is none. */
bool source_received(struct slice raw, int64_t *ms);
/* One date-time of RFC 5322. */
bool date_parse(struct slice text, int64_t *ms);

#endif
