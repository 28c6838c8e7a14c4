/*
 * base/codec.h - numbers and bytes in the forms that files and people see
 *
 * On-disk numbers are little endian and are put and read by these helpers, never by copying a
 * struct. Readers run over a slice and latch: after the first short read `ok` is false and every
 * further read gives zero, so a decoder checks once at its end.
 */
#ifndef MM_BASE_CODEC_H
#define MM_BASE_CODEC_H

#include "base/buf.h"

static inline void put_le16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void put_le32(uint8_t *p, uint32_t v)
{
	put_le16(p, (uint16_t)v);
	put_le16(p + 2, (uint16_t)(v >> 16));
}

static inline void put_le64(uint8_t *p, uint64_t v)
{
	put_le32(p, (uint32_t)v);
	put_le32(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t get_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)get_le16(p) | (uint32_t)get_le16(p + 2) << 16;
}

static inline uint64_t get_le64(const uint8_t *p)
{
	return (uint64_t)get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}

struct reader {
	struct slice rest;
	bool ok;
};

static inline struct reader reader_over(struct slice s)
{
	return (struct reader) { s, true };
}

uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
struct slice read_bytes(struct reader *r, size_t n);
/* A 32-bit length, then that many bytes: what buf_put_slice writes. */
struct slice read_slice(struct reader *r);

enum rc buf_put_u8(struct buf *b, uint8_t v) MUST_USE;
enum rc buf_put_u16(struct buf *b, uint16_t v) MUST_USE;
enum rc buf_put_u32(struct buf *b, uint32_t v) MUST_USE;
enum rc buf_put_u64(struct buf *b, uint64_t v) MUST_USE;
enum rc buf_put_slice(struct buf *b, struct slice s) MUST_USE;

/* Lower-case hex. `out` has room for 2 * n + 1 characters. */
void hex_encode(char *out, const void *in, size_t n);
/* Exactly 2 * n hex digits of either case; false otherwise. */
bool hex_decode(uint8_t *out, size_t n, struct slice text);

/* RFC 4648 base64 with padding, strict: no blank, no missing padding, no stray bits. The output is
 * added to `out`; RC_INVALID leaves it as it was. */
enum rc base64_decode(struct buf *out, struct slice text) MUST_USE;
enum rc base64_encode(struct buf *out, struct slice bytes) MUST_USE;

/* RFC 3339 in UTC with milliseconds: "2026-11-23T21:46:19.123Z". `out` has 25 bytes. */
void time_format(char out[25], int64_t ms);
/* "YYYY-MM-DD", a full RFC 3339 time with zone, or a bare integer of epoch seconds. False if none.
 */
bool time_parse(struct slice text, int64_t *ms);
/* Days since 1970-01-01 of a proleptic Gregorian date, and back. Month 1..12. */
int64_t days_from_civil(int64_t year, unsigned month, unsigned day);
void civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day);
unsigned days_in_month(int64_t year, unsigned month);

#define MS_PER_DAY INT64_C(86400000)

/* The UTC day an instant falls into; floors for instants before 1970. */
static inline int64_t day_of_ms(int64_t ms)
{
	return ms >= 0 ? ms / MS_PER_DAY : -((-ms + MS_PER_DAY - 1) / MS_PER_DAY);
}

#endif
