/* tests/fuzz/fuzz_wire_cbor.c - bodies of the control API in CBOR: tests/fuzz/wire_oracle.h */
#include "tests/fuzz/wire_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	wire_oracle(WIRE_RPC_CBOR, data, size);
	return 0;
}
