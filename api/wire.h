/*
 * api/wire.h - bodies of requests and answers, in the two protocols of the control API
 *
 * What     AWS JSON 1.0 and Smithy RPC v2 CBOR to json_t and back, by the shape of the operation's input
 *          or output; and the body of an error.
 * Values   are the same whatever protocol they came by: no null, no member that the model hasn't; a
 *          timestamp is an integer, milliseconds since 1970; a double without fraction (up to 2^53) is an
 *          integer, so that what is stored doesn't depend on how a client writes it. Text is UTF-8
 *          without NUL.
 * Reads    what clients may write: numbers of a timestamp with fraction and exponent, or behind CBOR's tag
 *          1; doubles as integers; CBOR of definite and indefinite length; no body at all for {}. Unknown
 *          members are passed over, also in CBOR. Refused are: another type, a member that is there twice, a
 *          null in a list, an integer of more than 32 bits, a time outside the years 1 to 9999, other tags,
 *          bytes that aren't UTF-8, and anything behind the value.
 * Then     shape_check says whether the values are allowed; here they are only of the right type.
 * Writes   members in the order of the shape, and nothing that isn't in it. What mm adds to the model
 *          (SHAPE_OURS) is written: an SDK shows it as unknown, but it isn't hidden.
 * Bounds   WIRE_BODY_MAX bytes, WIRE_VALUES_MAX values (names, too), WIRE_DEPTH_MAX levels of CBOR; so memory
 *          stays under 64 MiB, whatever the body.
 * Threads  Any.
 * Tests    tests/unit/api/test_wire.c, fuzz_wire_json, fuzz_wire_cbor
 */
#ifndef MM_API_WIRE_H
#define MM_API_WIRE_H

#include "api/errors.h"
#include "ingest/shape.h"

/* Two files of certificates with 500,000 characters each, their line ends escaped. */
#define WIRE_BODY_MAX  (2u << 20)
/* The largest rule set has some 70,000. */
#define WIRE_VALUES_MAX 100000
#define WIRE_DEPTH_MAX  32

enum wire_protocol { WIRE_AWS_JSON, WIRE_RPC_CBOR };

/* `*out` is a new reference, or NULL. RC_INVALID is a SerializationException with that text, RC_LIMIT a body
 * that is too large. */
enum rc wire_decode(enum wire_protocol protocol, const struct shape *shape, struct slice body,
		    json_t **out, struct err *e) MUST_USE;
/* Adds the body of an answer. RC_INVALID: `value` isn't of the shape, a mistake of ours. RC_LIMIT: past the
 * limit of `out`. `out` is then as it was. */
enum rc wire_encode(enum wire_protocol protocol, const struct shape *shape, const json_t *value,
		    struct buf *out, struct err *e) MUST_USE;
/* Adds {"__type","Message","message"}. */
enum rc wire_encode_error(enum wire_protocol protocol, enum api_error error, const char *message,
			  struct buf *out) MUST_USE;

/* "application/x-amz-json-1.0" */
const char *wire_content_type(enum wire_protocol protocol);
/* Headers of answers. An error has its name in the second as well; the third is for CBOR alone. */
#define WIRE_REQUEST_ID     "x-amzn-RequestId"
#define WIRE_ERROR_TYPE     "x-amzn-errortype"
#define WIRE_PROTOCOL       "smithy-protocol"
#define WIRE_PROTOCOL_VALUE "rpc-v2-cbor"

#endif
