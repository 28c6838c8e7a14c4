#include "ingest/backoff.h"

#include "base/compiler.h"

#define FIRST_MS   1000
#define LONGEST_MS 300000
#define UNSEEN_MS  15000      /* the longest where room wouldn't tell */
#define MORE_BYTES (1u << 20) /* what comes and goes on a disk anyway */

void backoff_failed(struct backoff *b, int64_t now_ms, uint64_t room, bool full)
{
	int64_t longest_ms = full ? LONGEST_MS : UNSEEN_MS;

	b->wait_ms = b->wait_ms ? MIN_OF(b->wait_ms * 2, longest_ms) : FIRST_MS;
	b->next_ms = now_ms + b->wait_ms;
	b->room = room;
}

bool backoff_waits(const struct backoff *b, int64_t now_ms, uint64_t room)
{
	return b->wait_ms && now_ms < b->next_ms && room <= b->room + MORE_BYTES;
}
