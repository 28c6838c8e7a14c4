/* tests/unit/verdict/packet.h - packets of DNS, put together record by record, right and wrong ones */
#ifndef MM_TESTS_UNIT_VERDICT_PACKET_H
#define MM_TESTS_UNIT_VERDICT_PACKET_H

#include <stdio.h>

#include "base/buf.h"
#include "ingest/verdict/answers.h"

#define PACKET_CNAME 5
#define PACKET_LONGEST 65535

struct packet {
	struct buf bytes;
	size_t answers;
};

static inline void packet_byte(struct packet *p, unsigned v)
{
	MUST(buf_add_byte(&p->bytes, (uint8_t)v) == RC_OK);
}

static inline void packet_u16(struct packet *p, unsigned v)
{
	packet_byte(p, v >> 8);
	packet_byte(p, v & 255);
}

/* "a.b.example"; "@": a pointer to the question's name. */
static inline void packet_name(struct packet *p, const char *name)
{
	if (strcmp(name, "@") == 0) {
		packet_u16(p, 0xc00c);
		return;
	}
	while (*name) {
		size_t n = strcspn(name, ".");

		packet_byte(p, (unsigned)n);
		MUST(buf_add(&p->bytes, slice_of(name, n)) == RC_OK);
		name += n + (name[n] == '.');
	}
	packet_byte(p, 0);
}

static inline void packet_begin(struct packet *p, unsigned rcode, const char *name, unsigned type)
{
	*p = (struct packet) { .answers = 0 };
	buf_init(&p->bytes, PACKET_LONGEST);
	packet_u16(p, 7);
	packet_u16(p, 0x8180 | rcode);
	packet_u16(p, 1); /* questions */
	packet_u16(p, 0);
	packet_u16(p, 0);
	packet_u16(p, 0);
	packet_name(p, name);
	packet_u16(p, type);
	packet_u16(p, 1);
}

static inline void packet_raw(struct packet *p, const char *owner, unsigned type, struct slice data)
{
	packet_name(p, owner);
	packet_u16(p, type);
	packet_u16(p, 1);
	packet_u16(p, 0);
	packet_u16(p, 60); /* time to live */
	packet_u16(p, (unsigned)data.len);
	MUST(buf_add(&p->bytes, data) == RC_OK);
	p->answers++;
	p->bytes.at[6] = (uint8_t)(p->answers >> 8);
	p->bytes.at[7] = (uint8_t)p->answers;
}

/* Of one string; `text` up to 255 bytes. */
static inline void packet_text(struct packet *p, const char *owner, const char *text)
{
	uint8_t data[256] = { (uint8_t)strlen(text) };

	memcpy(data + 1, text, data[0]);
	packet_raw(p, owner, DNS_TXT, slice_of(data, 1U + data[0]));
}

/* A record that is a name, behind `skip` bytes of a number. */
static inline void packet_pointing(struct packet *p, const char *owner, unsigned type, size_t skip,
				   unsigned number, const char *to)
{
	struct packet data = { .answers = 0 };

	buf_init(&data.bytes, PACKET_LONGEST);
	if (skip)
		packet_u16(&data, number);
	packet_name(&data, to);
	packet_raw(p, owner, type, buf_slice(&data.bytes));
	buf_free(&data.bytes);
}

#endif
