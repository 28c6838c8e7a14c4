/*
 * base/id.h - the id of a message, fixed when it is committed to the spool
 *
 * 16 bytes, big endian, so that ids sort by time of receipt:
 *   0..7   a 63-bit number: milliseconds since 1970 (42 bits) << 21 | 21 bits of sequence. It is the
 *          row id that the index tries first. The top bit of the sequence is 0 for mm-smtpd and 1
 *          for imports, so the two writers never meet.
 *   8..15  random
 * As text: 26 characters of lower-case base32hex (0-9 a-v), which sort the same way.
 */
#ifndef MM_BASE_ID_H
#define MM_BASE_ID_H

#include "base/slice.h"

#define ID_BYTES 16
#define ID_TEXT  26 /* without the NUL */
#define ID_SEQUENCE_BITS 21

struct message_id {
	uint8_t b[ID_BYTES];
};

struct message_id id_make(int64_t received_ms, uint32_t sequence, const uint8_t random[8]);
int64_t id_received_ms(const struct message_id *id);
int64_t id_rowid(const struct message_id *id); /* never negative */
int     id_compare(const struct message_id *a, const struct message_id *b);
void    id_format(char out[ID_TEXT + 1], const struct message_id *id);
bool    id_parse(struct message_id *id, struct slice text);
/* The id of the same message had it been received at another time: sequence and random part stay. For
 * imports that keep an older time of receipt. */
struct message_id id_at(const struct message_id *id, int64_t received_ms);
/* The smallest id that a message received at `ms` can have. */
struct message_id id_floor(int64_t ms);

#endif
