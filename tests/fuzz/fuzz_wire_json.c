/* tests/fuzz/fuzz_wire_json.c - bodies of the control API in AWS JSON 1.0: tests/fuzz/wire_oracle.h
 */
#include "tests/fuzz/wire_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	wire_oracle(WIRE_AWS_JSON, data, size);
	return 0;
}
