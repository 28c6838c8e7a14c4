#include "base/sigv4_seen.h"

#include <stdlib.h>

#include "base/codec.h"

struct entry {
	uint8_t signature[32];
	uint32_t owner;
	int64_t until_ms; /* 0: the slot is free */
};

struct sigv4_seen {
	struct entry *slots;
	size_t mask; /* slots - 1; a power of two, at least twice the room: probes stay short */
	size_t room;
	size_t share;
	size_t count;    /* entries, expired ones included */
	size_t *counts;  /* the same of each owner */
	uint32_t owners; /* that `counts` has */
	int64_t next_ms; /* no entry expires earlier */
	int64_t latest_ms;
};

struct sigv4_seen *sigv4_seen_new(size_t room, size_t share)
{
	struct sigv4_seen *s = mem_new(sizeof(*s));
	size_t slots = 4;

	MUST(room >= 1 && room <= SIZE_MAX / 4 / sizeof(*s->slots));
	while (slots < 2 * room)
		slots *= 2;
	s->slots = mem_array(slots, sizeof(*s->slots));
	s->mask = slots - 1;
	s->room = room;
	s->share = share;
	s->next_ms = INT64_MAX;
	return s;
}

void sigv4_seen_free(struct sigv4_seen **s)
{
	if (!*s)
		return;
	free((*s)->slots);
	free((*s)->counts);
	free(*s);
	*s = NULL;
}

size_t sigv4_seen_count(const struct sigv4_seen *s)
{
	return s->count;
}

/* The slot that has the signature, or the free one where it would go. A signature is as good as
 * random, so its first bytes are the hash. */
static struct entry *find(struct sigv4_seen *s, const uint8_t signature[32])
{
	size_t at = (size_t)get_le64(signature) & s->mask;

	while (s->slots[at].until_ms && memcmp(s->slots[at].signature, signature, 32) != 0)
		at = (at + 1) & s->mask;
	return &s->slots[at];
}

static void put(struct sigv4_seen *s, uint32_t owner, const uint8_t signature[32], int64_t until_ms)
{
	struct entry *slot = find(s, signature);

	memcpy(slot->signature, signature, 32);
	slot->owner = owner;
	slot->until_ms = until_ms;
	s->counts[owner]++;
	s->next_ms = MIN_OF(s->next_ms, until_ms);
	s->count++;
}

/* Leaves out what has expired. All entries move, as the free slots between them may. */
static void sweep(struct sigv4_seen *s)
{
	struct entry *old = s->slots;
	size_t slots = s->mask + 1;

	s->slots = mem_array(slots, sizeof(*s->slots));
	s->count = 0;
	memset(s->counts, 0, s->owners * sizeof(*s->counts));
	s->next_ms = INT64_MAX;
	for (size_t i = 0; i < slots; i++)
		if (old[i].until_ms > s->latest_ms)
			put(s, old[i].owner, old[i].signature, old[i].until_ms);
	free(old);
}

static void know_owner(struct sigv4_seen *s, uint32_t owner)
{
	size_t owners = (size_t)owner + 1;

	if (owner < s->owners)
		return;
	s->counts = mem_resize(s->counts, owners * sizeof(*s->counts));
	memset(s->counts + s->owners, 0, (owners - s->owners) * sizeof(*s->counts));
	s->owners = (uint32_t)owners;
}

enum sigv4_turn sigv4_seen_add(struct sigv4_seen *s, uint32_t owner, const char *signature,
                               int64_t until_ms, int64_t now_ms)
{
	uint8_t raw[32];

	MUST(hex_decode(raw, sizeof(raw), slice_str(signature)));
	s->latest_ms = MAX_OF(s->latest_ms, now_ms);
	if (until_ms <= s->latest_ms || find(s, raw)->until_ms)
		return SIGV4_AGAIN;
	know_owner(s, owner);
	if ((s->count == s->room || s->counts[owner] >= s->share) && s->next_ms <= s->latest_ms)
		sweep(s);
	if (s->counts[owner] >= s->share)
		return SIGV4_SHARE;
	if (s->count == s->room)
		return SIGV4_FULL;
	put(s, owner, raw, until_ms);
	return SIGV4_FIRST;
}
