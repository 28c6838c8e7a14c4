#include "base/id.h"

static void put_be64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (56 - 8 * i));
}

static uint64_t get_be64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

struct message_id id_make(int64_t received_ms, uint32_t sequence, const uint8_t random[8])
{
	struct message_id id;
	uint64_t ms = received_ms < 0 ? 0 : (uint64_t)received_ms & ((UINT64_C(1) << 42) - 1);

	put_be64(id.b, ms << ID_SEQUENCE_BITS | (sequence & ((1u << ID_SEQUENCE_BITS) - 1)));
	memcpy(id.b + 8, random, 8);
	return id;
}

int64_t id_rowid(const struct message_id *id)
{
	return (int64_t)(get_be64(id->b) & INT64_MAX);
}

int64_t id_received_ms(const struct message_id *id)
{
	return id_rowid(id) >> ID_SEQUENCE_BITS;
}

int id_compare(const struct message_id *a, const struct message_id *b)
{
	return memcmp(a->b, b->b, ID_BYTES);
}

static const char digits[] = "0123456789abcdefghijklmnopqrstuv";

void id_format(char out[ID_TEXT + 1], const struct message_id *id)
{
	for (unsigned i = 0; i < ID_TEXT; i++) {
		unsigned bit = i * 5;
		unsigned pair = (unsigned)id->b[bit / 8] << 8;

		if (bit / 8 + 1 < ID_BYTES)
			pair |= id->b[bit / 8 + 1];
		out[i] = digits[pair >> (11 - bit % 8) & 31];
	}
	out[ID_TEXT] = '\0';
}

bool id_parse(struct message_id *id, struct slice text)
{
	unsigned word = 0;
	unsigned bits = 0;
	size_t at = 0;

	if (text.len != ID_TEXT)
		return false;
	for (size_t i = 0; i < ID_TEXT; i++) {
		const char *digit = text.at[i] ? strchr(digits, text.at[i]) : NULL;

		if (!digit)
			return false;
		word = (word << 5 | (unsigned)(digit - digits)) & 0xfff;
		bits += 5;
		if (bits >= 8 && at < ID_BYTES) {
			bits -= 8;
			id->b[at++] = (uint8_t)(word >> bits);
		}
	}
	return (word & 3) == 0; /* 130 bits were read, the last two are not part of the id */
}

struct message_id id_at(const struct message_id *id, int64_t received_ms)
{
	uint32_t sequence = (uint32_t)((uint64_t)id_rowid(id) & ((1u << ID_SEQUENCE_BITS) - 1));

	return id_make(received_ms, sequence, id->b + 8);
}

struct message_id id_floor(int64_t ms)
{
	static const uint8_t zero[8];

	return id_make(ms, 0, zero);
}
