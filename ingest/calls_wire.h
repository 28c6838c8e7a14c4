/*
 * ingest/calls_wire.h - what mmd and the caller of mm-deliver tell each other
 *
 * The home (base/home.h) has {"calls":[...]} as its configuration, an object for each endpoint:
 *   {"name","url","region","access_key","secret","path_style"}   the name is the service's by which it is signed
 *   {"name":"webhooks/...","url","secret"}
 * A child's task is {"caller":true}, with a leash. It looks the endpoints' names up, confines itself, says READY,
 * and answers each ASK by one SAY, unless a DROP came before. Numbers are little endian, texts have their length in
 * front (base/codec.h).
 */
#ifndef MM_INGEST_CALLS_WIRE_H
#define MM_INGEST_CALLS_WIRE_H

#include "ingest/calls.h"

#define CALLS_ENDPOINTS 20 /* a sandbox's ports */
#define CALLS_EACH      10 /* under way at one endpoint */
#define CALLS_MOST      (CALLS_ENDPOINTS * CALLS_EACH)
#define CALLS_FIELDS    16 /* of one call */
#define CALLS_TEXT      32768 /* longest ASK */
#define CALLS_SAID      (CALL_ANSWER + 2048)
#define CALLS_WHY       256
#define CALLS_ERROR     64

enum calls_to_child {
	/* u64 number, u64 milliseconds, endpoint, method, host prefix, path, query, u16 count of fields, (name, value)
	 * each; 1 descriptor: the body, sealed; or none */
	CALLS_ASK = 16,
	CALLS_DROP, /* u64 number */
};

enum calls_to_mmd {
	CALLS_READY = 32,
	CALLS_SAY, /* u64 number, u8 enum call_end, u16 status, function error, why, answer */
};

#endif
