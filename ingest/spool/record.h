/*
 * ingest/spool/record.h - the bytes of a spool file
 *
 * What     The header of a file, the header of a record, what a record holds, and the keys. Writer
 *          and reader share this code; neither does I/O here.
 * Why      A file must be writable by a process that can't read what it wrote before (a chain of
 *          keys), readable by mmd alone (the chain's start is sealed to the file's public key), and
 *          legible after any cut or flipped bit (records are self-delimiting and authenticated).
 * Group    What one sync covers. A group begins on a multiple of SPOOL_GROUP_ALIGN, so a torn write
 *          of the next group can't touch a block that was acknowledged. Records inside begin on a
 *          multiple of SPOOL_RECORD_ALIGN, so a scan after damage looks at one place in 64.
 * Keys     K0 is random. Record n is sealed under keys derived from Kn; K(n+1) is derived from Kn, and
 *          Kn is wiped. Within a record every 64 KiB piece is one AEAD box: nonce = piece number and
 *          a flag on the last piece; the record's header is bound to each piece.
 * Threads  Pure functions.
 * On disk  docs/formats.md, "Spool"
 */
#ifndef MM_INGEST_SPOOL_RECORD_H
#define MM_INGEST_SPOOL_RECORD_H

#include "base/id.h"
#include "base/slice.h"

#define SPOOL_KEY 32
#define SPOOL_TAG 16
#define SPOOL_PIECE 65536
#define SPOOL_EPOCH 8

#define SPOOL_FILE_HEADER  512  /* at 0, and once more at capacity - SPOOL_GROUP_ALIGN */
#define SPOOL_FIRST        4096 /* where the first record begins */
#define SPOOL_GROUP_ALIGN  4096
#define SPOOL_RECORD_ALIGN 64
#define SPOOL_HEADER       64 /* of a record */
#define SPOOL_TRAILER      72 /* the last bytes of what a message's record holds */
#define SPOOL_BIG_REF      40 /* the first bytes of what a BIG record holds */
#define SPOOL_END_BODY     16 /* what an END record holds */
/* The end of a file that no message's record may use: room for END, then the second header. */
#define SPOOL_RESERVE 8192

#define SPOOL_MIN_CAPACITY     262144
#define SPOOL_DEFAULT_CAPACITY 67108864
#define SPOOL_META_MAX         262144  /* meta of one message; a quarter of the file if that is less */
#define SPOOL_RECORD_MAX       1048576 /* of one record with everything; a reader refuses more */

enum spool_type {
	SPOOL_MESSAGE = 1, /* raw, meta, trailer */
	SPOOL_BIG,         /* reference, meta, trailer; raw is in a file of its own */
	SPOOL_END,         /* the file was ended on purpose; nothing follows */
};

struct spool_keys { /* of one record */
	uint8_t seal[SPOOL_KEY];
	uint8_t mac[SPOOL_KEY];
};

struct spool_file_header {
	uint64_t number;
	uint8_t  epoch[SPOOL_EPOCH]; /* random; tells this use of the file from earlier ones */
	uint32_t writer;             /* 0 mm-smtpd, 1 imports */
	uint64_t capacity;
	int64_t  begun_ms;
	uint8_t  public_key[SPOOL_KEY];
};

struct spool_header { /* of a record */
	enum spool_type type;
	uint8_t         epoch[SPOOL_EPOCH];
	uint64_t        n;             /* from 0 in each file */
	uint64_t        length;        /* sealed bytes behind this header, padding not counted */
	uint64_t        synced_before; /* the file was on disk up to here when this was written */
};

struct spool_trailer {
	struct message_id id;
	int64_t           received_ms; /* that of the id; readers believe the id */
	uint32_t          flags; /* 0 */
	uint32_t          meta_bytes;
	uint64_t          raw_bytes;
	uint8_t           sha256[32]; /* of raw */
};

struct spool_big_ref {
	uint64_t number;
	uint8_t  key[SPOOL_KEY];
};

static inline uint64_t spool_align(uint64_t at, uint64_t step)
{
	return (at + step - 1) / step * step;
}

/* Bytes that `plain` (> 0) bytes take when sealed: a tag behind each piece. */
static inline uint64_t spool_sealed_bytes(uint64_t plain)
{
	return plain + (plain + SPOOL_PIECE - 1) / SPOOL_PIECE * SPOOL_TAG;
}

/* The inverse; 0 where no plain length gives `sealed`. */
uint64_t spool_plain_bytes(uint64_t sealed);
/* Bytes of a whole record in the file, padding included. */
static inline uint64_t spool_record_bytes(uint64_t sealed)
{
	return spool_align(SPOOL_HEADER + sealed, SPOOL_RECORD_ALIGN);
}

/* Encodes a header and seals `k0` in it to h->public_key. */
void spool_file_header_put(uint8_t out[SPOOL_FILE_HEADER], const struct spool_file_header *h,
			   const uint8_t k0[SPOOL_KEY]);
/* Reads the clear fields; false when magic or version is another. Proves nothing. */
bool spool_file_header_peek(struct spool_file_header *h, const uint8_t in[SPOOL_FILE_HEADER]);
/* Opens with the file's secret key and checks the whole header. */
bool spool_file_header_get(struct spool_file_header *h, uint8_t k0[SPOOL_KEY],
			   const uint8_t in[SPOOL_FILE_HEADER], const uint8_t secret[SPOOL_KEY]);
/* The public half of a KEY_SPOOL. */
void spool_public_key(uint8_t out[SPOOL_KEY], const uint8_t secret[SPOOL_KEY]);

/* Kn gives the keys of record n, and becomes K(n+1). */
void spool_chain_keys(struct spool_keys *out, const uint8_t chain[SPOOL_KEY]);
void spool_chain_next(uint8_t chain[SPOOL_KEY]);

void spool_header_put(uint8_t out[SPOOL_HEADER], const struct spool_header *h,
		      const struct spool_keys *k);
/* Cheap: is this the beginning of a record of this epoch, as far as one can tell without a key? */
bool spool_header_peek(struct spool_header *h, const uint8_t in[SPOOL_HEADER],
		       const uint8_t epoch[SPOOL_EPOCH]);
bool spool_header_check(const uint8_t in[SPOOL_HEADER], const struct spool_keys *k);

/* One piece, in place: `piece` has `n` bytes and room for the tag behind them. `bound` is the record's
 * header, or for a big file what spool_big_bound gives. */
void spool_seal_piece(uint8_t *piece, size_t n, uint64_t index, bool last, struct slice bound,
		      const uint8_t key[SPOOL_KEY]);
/* `sealed` has n + SPOOL_TAG bytes; `out` takes n and may be the same place. */
bool spool_open_piece(uint8_t *out, const uint8_t *sealed, size_t n, uint64_t index, bool last,
		      struct slice bound, const uint8_t key[SPOOL_KEY]);
/* All pieces of `plain` bytes laid out with gaps for the tags. */
void spool_seal_all(uint8_t *pieces, uint64_t plain, struct slice bound,
		    const uint8_t key[SPOOL_KEY]);
bool spool_open_all(uint8_t *out, const uint8_t *sealed, uint64_t plain, struct slice bound,
		    const uint8_t key[SPOOL_KEY]);
#define SPOOL_BIG_BOUND 16
void spool_big_bound(uint8_t out[SPOOL_BIG_BOUND], uint64_t number);

void spool_trailer_put(uint8_t out[SPOOL_TRAILER], const struct spool_trailer *t);
void spool_trailer_get(struct spool_trailer *t, const uint8_t in[SPOOL_TRAILER]);
void spool_big_ref_put(uint8_t out[SPOOL_BIG_REF], const struct spool_big_ref *r);
void spool_big_ref_get(struct spool_big_ref *r, const uint8_t in[SPOOL_BIG_REF]);

#endif
