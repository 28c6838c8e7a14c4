/*
 * ingest/parse_area.h - the memory that mmd and one worker share
 *
 * What     One memfd, mapped once on both sides, sealed so that neither can change its size: a head,
 *          room for the raw messages, room for the results. It is sparse: only what a batch touches
 *          takes memory.
 * Order    mmd fills head and messages, then sends PARSE_GO; the worker fills results, then answers
 *          PARSE_DONE. In between each leaves the other's side alone, so there is no lock.
 * Trust    mmd reads every number once, into memory of its own, and checks it there. The worker trusts
 *          mmd. The bytes of the messages are the worker's to overwrite.
 */
#ifndef MM_INGEST_PARSE_AREA_H
#define MM_INGEST_PARSE_AREA_H

#include <stdint.h>

#include "ingest/parsed.h"

#define PARSE_SOCKET 3 /* the worker's descriptors */
#define PARSE_MEMORY 4

#define PARSE_GO   'g'
#define PARSE_DONE 'd'

#define PARSE_BATCH       256
#define PARSE_BATCH_BYTES 16777216 /* a batch of several messages; a single one may be larger */
#define PARSE_HEAD        16384
#define PARSE_RAW         67108864 /* more of one message isn't read */
#define PARSE_RESULT      PARSED_MAX_BYTES
#define PARSE_AREA        (PARSE_HEAD + PARSE_RAW + PARSE_RESULT)

struct parse_request {
	uint32_t at; /* in the raw room */
	uint32_t len;
	uint32_t mode; /* bits of enum mime_mode */
};

struct parse_result {
	uint32_t at; /* in the result room */
	uint32_t len; /* 0: it couldn't be encoded */
};

struct parse_head {
	uint32_t count;
	struct parse_request request[PARSE_BATCH];
	uint32_t done; /* results there; fewer than count when the room was full */
	struct parse_result result[PARSE_BATCH];
};

_Static_assert(sizeof(struct parse_head) <= PARSE_HEAD, "the head has its room");

#endif
