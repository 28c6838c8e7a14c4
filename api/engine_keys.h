/*
 * api/engine_keys.h - the engine's keys: those that the key file gives, and each archive's
 *
 * What     The key ring is opened by the master key; archives that name a KmsKeyArn take a further key of
 *          the key file, too (docs/formats.md, "Master key").
 * Threads  engine_keys_ensure with `writing` held, as engine_adopt; engine_has_lots any; the others while the
 *          engine opens.
 */
#ifndef MM_API_ENGINE_KEYS_H
#define MM_API_ENGINE_KEYS_H

#include "api/engine.h"

/* Reads the key file, but where `opt` brings its keys, and opens the key ring: en->given, en->keys, which
 * engine_close frees also where this fails. */
enum rc engine_keys_open(struct engine *en, const struct engine_options *opt, struct err *e) MUST_USE;
/* RC_CRYPTO, and which archive it is: one is under a key that isn't there. Mail that is accepted must find its
 * archive, so nothing starts then. One that is no more and has no lots wants no key. Reads en->control. */
enum rc engine_keys_check(struct engine *en, struct err *e) MUST_USE;
/* Archive numbers that the ring has a key or a tombstone of are given to no new archive. */
enum rc engine_keys_number(struct engine *en, struct err *e) MUST_USE;
/* An archive has its key before anything can be put into it. RC_INVALID as engine_check_keys. */
enum rc engine_keys_ensure(struct engine *en, const struct config *c, struct err *e) MUST_USE;
/* Does a lot of that archive live? */
bool engine_has_lots(struct engine *en, uint32_t archive);

#endif
