/*
 * base/sigv4_seen.h - signatures that were used and may not be used again
 *
 * What     A table of fixed size. A signature stays until the time at which it would be refused
 *          anyway (until_ms of its claim); it is never forgotten earlier, so a full table refuses.
 *          Only verified signatures go in: nobody without a secret can fill it, and an owner of
 *          secrets no more than his share.
 * Clock    The highest time that it was told counts: what would have been forgotten by then is
 *          refused as seen, so that a clock set back doesn't open the door again.
 * Threads  The owner's.
 */
#ifndef MM_BASE_SIGV4_SEEN_H
#define MM_BASE_SIGV4_SEEN_H

#include "base/slice.h"

struct sigv4_seen;

enum sigv4_turn {
	SIGV4_FIRST, /* not seen before; it is now */
	SIGV4_AGAIN, /* seen, or too old to tell */
	SIGV4_SHARE, /* the owner has his share, until something of it expires */
	SIGV4_FULL,  /* no room until something expires */
};

/* For at most `room` (1 or more) signatures at a time, and `share` of one owner; 96 bytes each. */
struct sigv4_seen *sigv4_seen_new(size_t room, size_t share);
void sigv4_seen_free(struct sigv4_seen **s); /* NULL is fine */
/* `signature` is the 64 hex digits of a claim that was verified. Owners are numbered from 0 on,
 * without large gaps: 8 bytes each. */
enum sigv4_turn sigv4_seen_add(struct sigv4_seen *s, uint32_t owner, const char *signature,
                               int64_t until_ms, int64_t now_ms);
size_t
sigv4_seen_count(const struct sigv4_seen *s); /* entries, expired ones not yet swept included */

#endif
