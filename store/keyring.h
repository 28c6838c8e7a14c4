/*
 * store/keyring.h - every key, wrapped, in two replicas
 *
 * What     The master key wraps archive, control, audit, spool, log and queue keys; an archive's key wraps the
 *          keys of its lots and shards. An archive's key may be under a further key from outside, too.
 *          Two files, keys.a and keys.b, hold one 512-byte slot a key, at the same number in both. A
 *          slot is overwritten in place and synced.
 * Why      A message past its retention is forgotten by destroying the key of its lot: one sector
 *          in each of two files, not a rewrite of data.
 * Lot      What expires together: (archive, day of receipt in UTC, class, generation). A destroyed
 *          lot leaves its slot behind as a tombstone and is never made again: late mail of that day
 *          gets the next generation.
 * Order    keyring_add returns when the key is synced in both replicas: a key is on disk before the
 *          first byte is encrypted under it. keyring_destroy overwrites and syncs replica A, then B.
 * Fails    RC_CRYPTO when the master key is wrong. One bad replica of a slot is repaired from the other
 *          at open, and counted; so is one that the disk doesn't give. Where both are bad the key is
 *          lost, and all others still open; then nothing is taken for destroyed because its key isn't
 *          found, and no key is made in its place.
 * Threads  Any; calls are serialised inside.
 * On disk  docs/formats.md, "Key ring"
 */
#ifndef MM_STORE_KEYRING_H
#define MM_STORE_KEYRING_H

#include "base/err.h"
#include "base/slice.h"

#define KEY_BYTES  32
#define KEY_CHECK  16
#define KEY_OUTERS 32 /* further keys that a ring can be given */

enum key_kind {
	KEY_ARCHIVE = 1, /* wraps KEY_LOT and KEY_SHARD of `archive` */
	KEY_LOT,         /* encrypts blocks; archive, day, class, generation */
	KEY_SHARD,       /* encrypts one index file; archive, object = number of the shard */
	KEY_SPOOL,       /* X25519 secret key of one spool file; object = number of the file */
	KEY_CONTROL,     /* encrypts control.db */
	KEY_AUDIT,       /* encrypts the audit log */
	KEY_LOG,         /* encrypts one file of the sealed log; object = number of the file */
	KEY_QUEUE,       /* encrypts the outbound queue; object = number of the file */
};

enum key_state { KEY_FREE, KEY_LIVE, KEY_DESTROYED };

struct key_info {
	uint64_t       id; /* unique for the life of the data directory, never used again; not 0 */
	enum key_kind  kind;
	enum key_state state;
	uint32_t       archive; /* number of the archive, 0 where none */
	int32_t        day;     /* lots: days since 1970-01-01 */
	uint16_t       class;
	uint32_t       generation;
	uint64_t       object;
	int64_t        created_ms;
	int64_t        destroyed_ms;
	uint8_t        outer[KEY_CHECK]; /* KEY_ARCHIVE: of the further key that it is under; zero: none */
};

struct keyring;

/* How the master key is had: a file "DIR.key" whose lines are documented in docs/formats.md
 * ("Master key"): a raw key, a passphrase by argon2id, or a command that prints the key. */
enum rc master_key_create(const char *path, struct err *e) MUST_USE;
/* As above, but the key comes from a passphrase of at least 12 bytes (argon2id, moderate cost), read
 * from the file that MM_PASSPHRASE_FILE names, else from the terminal; master_key_read reads it again. */
enum rc master_key_create_passphrase(const char *path, struct err *e) MUST_USE;
enum rc master_key_read(const char *path, uint8_t key[KEY_BYTES], struct err *e) MUST_USE;
/* All that a key file gives: the master key, and what its lines "kms ARN COMMAND" print. */
struct key_file {
	uint8_t master[KEY_BYTES];
	struct key_outer {
		char *arn;
		bool there; /* the command gave one */
		uint8_t key[KEY_BYTES];
		uint8_t check[KEY_CHECK];
	} outer[KEY_OUTERS];
	size_t outers;
};
/* As master_key_read. A further key that its command doesn't give is told in the log and left out. */
enum rc key_file_read(const char *path, struct key_file *out, struct err *e) MUST_USE;
const struct key_outer *key_file_outer(const struct key_file *f, struct slice arn); /* or NULL */
void    key_file_copy(struct key_file *to, const struct key_file *from);
void    key_file_wipe(struct key_file *f); /* the keys; ARNs, checks and what was there stay */
void    key_file_free(struct key_file *f);
/* The same key, written to another place (the recovery copy). */
enum rc master_key_copy(const char *path, const uint8_t key[KEY_BYTES], struct err *e) MUST_USE;

enum rc keyring_create(const char *dir, const uint8_t master[KEY_BYTES], struct err *e) MUST_USE;
enum rc keyring_open(struct keyring **out, const char *dir, const uint8_t master[KEY_BYTES],
		     struct err *e) MUST_USE;
void    keyring_close(struct keyring **kr); /* wipes what it knows */
/* A further key, for archives that are under it: what says so in key_info.outer goes into `check`. At most
 * KEY_OUTERS of them. */
void    keyring_take_outer(struct keyring *kr, const uint8_t key[KEY_BYTES],
			   uint8_t check[KEY_CHECK]);
/* Can it be unwrapped, or does it take a further key that the ring wasn't given? */
bool    keyring_has_outer(struct keyring *kr, const struct key_info *k);
/* Slots repaired from the other replica since open. */
unsigned keyring_repaired(const struct keyring *kr);
/* Slots that are damaged in both replicas. */
size_t keyring_lost(const struct keyring *kr);
uint32_t keyring_lost_slot(const struct keyring *kr, size_t i);

/* Reads both replicas in `dir` and reports each slot (0: the header, or the file) that isn't what the ring
 * holds in memory; stops where that doesn't return RC_OK. What was lost at open is not reported. No key is
 * made or destroyed meanwhile, and `problem` must not call the ring. */
typedef enum rc (*keyring_problem)(void *arg, const char *replica, uint32_t slot, const char *what,
				   struct err *e);
enum rc keyring_check(struct keyring *kr, const char *dir, keyring_problem problem, void *arg,
		      struct err *e) MUST_USE;

/* Makes a random key. `want` gives kind, archive, day, class, generation, object, outer; *id is set. */
enum rc keyring_add(struct keyring *kr, const struct key_info *want, uint64_t *id,
		    struct err *e) MUST_USE;
/* The live lot of (archive, day, class), made (next generation) where there is none. */
enum rc keyring_lot(struct keyring *kr, uint32_t archive, int32_t day, uint16_t class, uint64_t *id,
		    struct err *e) MUST_USE;
/* The newest live key of that kind, archive and object; for all kinds but lots. RC_NOTFOUND; RC_CORRUPT
 * when it may be one that was lost. */
enum rc keyring_find(struct keyring *kr, enum key_kind kind, uint32_t archive, uint64_t object,
		     uint64_t *id, struct err *e) MUST_USE;
/* RC_NOTFOUND when the key is destroyed or never was; RC_CRYPTO when it takes a further key that isn't there.
 * The caller wipes `key`. */
enum rc keyring_get(struct keyring *kr, uint64_t id, uint8_t key[KEY_BYTES],
		    struct err *e) MUST_USE;
/* RC_NOTFOUND when there is no such key; tombstones are found, so a lot that isn't was lost, or the ring
 * is an older copy. */
enum rc keyring_info(struct keyring *kr, uint64_t id, struct key_info *out, struct err *e) MUST_USE;
/* Overwrites the key material of all of them: one sync of A, then one of B. A lot becomes a
 * tombstone, other kinds free their slot. Unknown or destroyed ids are fine (a restart repeats). */
enum rc keyring_destroy(struct keyring *kr, const uint64_t *ids, size_t count,
			struct err *e) MUST_USE;
/* Calls `each` for every live key and tombstone in order of id, under no lock; stops at not RC_OK. */
enum rc keyring_each(struct keyring *kr, enum rc (*each)(void *arg, const struct key_info *k),
		     void *arg);

#endif
