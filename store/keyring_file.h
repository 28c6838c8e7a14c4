/*
 * store/keyring_file.h - the two replicas of the key ring on disk, for store/keyring.c alone
 *
 * What     Reads, repairs, grows and overwrites the slots of keys.a and keys.b. Knows nothing of
 *          wrapping; every slot and header is authenticated under the seal key.
 * Order    Every change is written and synced in replica A, then in B. So at most one replica is
 *          torn by a crash, and the higher write count says which one is newer.
 * On disk  docs/formats.md, "Key ring"
 */
#ifndef MM_STORE_KEYRING_FILE_H
#define MM_STORE_KEYRING_FILE_H

#include "base/file.h"
#include "store/crypt.h"

#define SLOT_BYTES    512
#define WRAPPED_BYTES (KEY_BYTES + CRYPT_OVERHEAD)

struct keyring_header {
	uint8_t  uuid[16];
	uint32_t slots;   /* slots 1..slots are written in both replicas */
	uint64_t next_id; /* no id at or above this was ever given */
	uint64_t writes;
};

struct keyring_slot {
	struct key_info info;
	uint64_t writes;     /* 0: never used */
	uint64_t wrapped_by; /* key id, 0: the master key */
	uint8_t  wrapped[WRAPPED_BYTES];
};

struct keyring_files {
	struct file *replica[2];
	struct keyring_header header;
	const uint8_t *seal; /* KEY_BYTES, borrowed */
	unsigned repaired;
	uint32_t *lost_slots; /* damaged in both replicas */
	size_t lost;
};

enum rc keyring_files_create(const char *dir, const uint8_t seal[KEY_BYTES],
			     struct err *e) MUST_USE;
/* Calls `each` for every slot that is not lost, free ones too, after the repair of a bad replica. */
enum rc keyring_files_open(struct keyring_files *kf, const char *dir, const uint8_t seal[KEY_BYTES],
			   enum rc (*each)(void *arg, uint32_t number,
					   const struct keyring_slot *s, struct err *e),
			   void *arg, struct err *e) MUST_USE;
void    keyring_files_close(struct keyring_files *kf);
/* Appends `more` free slots. */
enum rc keyring_files_grow(struct keyring_files *kf, uint32_t more, struct err *e) MUST_USE;
/* Makes it durable that no id at or above `next_id` was given. */
enum rc keyring_files_reserve(struct keyring_files *kf, uint64_t next_id, struct err *e) MUST_USE;
/* Overwrites slots; durable in both replicas on return. */
enum rc keyring_files_write(struct keyring_files *kf, const uint32_t *numbers,
			    const struct keyring_slot *slots, size_t count,
			    struct err *e) MUST_USE;
/* Compares both replicas in `dir` with `known`: by number up to header.slots, what each slot should hold,
 * NULL where it is free or lost. For keyring_check. */
enum rc keyring_files_check(const struct keyring_files *kf, const char *dir,
			    const struct keyring_slot *const *known, keyring_problem problem,
			    void *arg, struct err *e) MUST_USE;

#endif
