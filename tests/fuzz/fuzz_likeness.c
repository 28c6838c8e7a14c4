/*
 * tests/fuzz/fuzz_likeness.c - which messages are alike, by headers of any bytes
 *
 * Input    a message.
 * Oracle   The key is the same in capitals, and whatever follows the first 16 KiB.
 */
#include <stdlib.h>

#include "store/likeness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD (16u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t room = MAX_OF(size, (size_t)HEAD) + 1;
	uint8_t *other = malloc(room);
	uint8_t key[LIKENESS_BYTES];
	uint8_t same[LIKENESS_BYTES];

	MUST(other);
	for (size_t i = 0; i < size; i++)
		other[i] = data[i] >= 'a' && data[i] <= 'z' ? (uint8_t)(data[i] - 32) : data[i];
	memset(other + size, 'x', room - size);
	likeness(key, slice_of(data, size));
	likeness(same, slice_of(other, size < HEAD ? size : room));
	MUST(memcmp(key, same, sizeof(key)) == 0);
	free(other);
	return 0;
}
