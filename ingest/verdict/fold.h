/*
 * ingest/verdict/fold.h - writes a header field in lines of at most FOLD_COLUMNS columns
 *
 * A word that is longer by itself gets a line of its own, unbroken. What fails (the buffer is
 * full) is kept until fold_end.
 */
#ifndef MM_INGEST_VERDICT_FOLD_H
#define MM_INGEST_VERDICT_FOLD_H

#include "base/buf.h"

#define FOLD_COLUMNS 78

struct fold {
	struct buf *out;
	size_t column;
	enum rc rc;
};

/* Begins with "Name:". */
void fold_begin(struct fold *f, struct buf *out, const char *name);
/* A word behind a blank; the blank may become the begin of a line. */
void fold_word(struct fold *f, struct slice word);
/* A word right behind the last one; a line may begin between them. */
void fold_more(struct fold *f, struct slice word);
/* All words of a text that blanks part. */
void fold_text(struct fold *f, struct slice text);
/* The last line's end. */
enum rc fold_end(struct fold *f) MUST_USE;

#endif
