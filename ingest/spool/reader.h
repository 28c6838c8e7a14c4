/*
 * ingest/spool/reader.h - the records of one spool file
 *
 * What     Finds the next record that authenticates, whatever lies before it, and tells torn tails from
 *          damage by what is known to have been synced.
 * Why      One routine reads live files, settled files, files with a hole and files of garbage; a fuzzer
 *          drives it without a key ring.
 * How      From the end of the last good record it looks at every multiple of 64 for a header of this
 *          epoch whose MAC is right for its number, so a gap between groups, a hole and a tail are the
 *          same case. A number that is missing was lost.
 * Fails    RC_IO: a read failed, nothing moved. Damage is told to `lost`, and reading goes on behind it.
 * Threads  One at a time.
 */
#ifndef MM_INGEST_SPOOL_READER_H
#define MM_INGEST_SPOOL_READER_H

#include "base/buf.h"
#include "base/file.h"
#include "ingest/spool/record.h"

struct spool_reader;

struct spool_found {
	enum spool_type      type; /* MESSAGE or BIG */
	struct spool_trailer trailer;
	struct slice         meta; /* into `into` */
	struct slice         raw;  /* the same; empty for BIG */
	struct spool_big_ref big;  /* BIG only */
	uint64_t             begin;
	uint64_t             end;     /* the reader's place afterwards */
	uint64_t             records; /* in the file up to `end`, lost ones too */
};

/* `f` is borrowed for the reader's life. RC_NOTFOUND: no writer began the file under this number.
 * RC_CORRUPT: it was begun, and both headers are unreadable. `lost` is called for damage: at `offset` so
 * many records (0: none, a spare copy of the header) are gone; `text` says why. Of a file that was cut
 * it is called at once; how many records it had there nobody knows. */
enum rc spool_reader_open(struct spool_reader **out, const struct file *f, uint64_t number,
			  const uint8_t secret[SPOOL_KEY],
			  void (*lost)(void *arg, uint64_t offset, uint64_t records, const char *text),
			  void *arg, struct err *e) MUST_USE;
void    spool_reader_free(struct spool_reader **r);
/* Goes on behind `offset`, which `records` records precede. RC_CORRUPT when that can't be. */
enum rc spool_reader_seek(struct spool_reader *r, uint64_t offset, uint64_t records,
			  struct err *e) MUST_USE;
/* Reads up to `limit`; all before `synced` (<= limit) is known to have been on disk. `into` is emptied and
 * takes the record's plain bytes; its limit must be SPOOL_RECORD_MAX at least. RC_AGAIN: no further
 * record before `limit`. RC_NOTFOUND: the file was ended on purpose, here. */
enum rc spool_reader_next(struct spool_reader *r, uint64_t limit, uint64_t synced, struct buf *into,
			  struct spool_found *out, struct err *e) MUST_USE;
/* Takes the last successful spool_reader_next back. */
void    spool_reader_undo(struct spool_reader *r);

#endif
