/*
 * tests/fuzz/wire_oracle.h - bodies of the control API
 *
 * Input    byte 0: which of the 120 inputs and outputs; the rest is the body.
 * Oracle   It is refused with a text, or gives a value that is the same after the way there and back in
 *          both protocols; and the check of that value by its shape ends.
 */
#ifndef MM_TESTS_FUZZ_WIRE_ORACLE_H
#define MM_TESTS_FUZZ_WIRE_ORACLE_H

#include <stdlib.h>

#include "api/model.h"
#include "api/wire.h"

static inline void there_and_back(enum wire_protocol protocol, const struct shape *shape,
				  const json_t *value)
{
	struct err e = { 0 };
	struct buf body;
	json_t *back;
	enum rc rc;

	buf_init(&body, 64u << 20);
	if (wire_encode(protocol, shape, value, &body, &e) != RC_OK)
		abort();
	rc = wire_decode(protocol, shape, buf_slice(&body), &back, &e);
	if (rc == RC_OK ? !json_equal(value, back) : rc != RC_LIMIT)
		abort();
	json_decref(back);
	buf_free(&body);
}

static inline void wire_oracle(enum wire_protocol protocol, const uint8_t *data, size_t size)
{
	const struct model_operation *op;
	const struct shape *shape;
	struct err e = { 0 };
	json_t *value;
	enum rc rc;

	if (!size)
		return;
	op = &model_operations[data[0] / 2 % MODEL_OPERATIONS];
	shape = data[0] % 2 ? op->output : op->input;
	rc = wire_decode(protocol, shape, slice_of(data + 1, size - 1), &value, &e);
	if (rc == RC_OK ? !json_is_object(value) : value || !e.text[0])
		abort();
	if (rc != RC_OK)
		return;
	there_and_back(WIRE_AWS_JSON, shape, value);
	there_and_back(WIRE_RPC_CBOR, shape, value);
	if (shape_check(shape, value, NULL, SHAPE_API, &e) != RC_OK && !e.text[0])
		abort();
	json_decref(value);
}

#endif
