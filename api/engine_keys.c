#include "api/engine_keys.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "ingest/resources.h"

/* The ring keeps what it needs; of the file stays whose keys there are. */
static void give_outers(struct engine *en)
{
	for (size_t i = 0; i < en->given->outers; i++) {
		struct key_outer *o = &en->given->outer[i];

		if (o->there)
			keyring_take_outer(en->keys, o->key, o->check);
	}
	key_file_wipe(en->given);
}

static enum rc read_keys(struct engine *en, const struct engine_options *opt, struct err *e)
{
	char *path = engine_key_path(en->dir, opt->key_file);
	enum rc rc = RC_OK;

	if (!opt->keys)
		rc = key_file_read(path, en->given, e);
	else
		key_file_copy(en->given, opt->keys);
	free(path);
	return rc;
}

enum rc engine_keys_open(struct engine *en, const struct engine_options *opt, struct err *e)
{
	enum rc rc;

	en->given = mem_new(sizeof(*en->given));
	rc = read_keys(en, opt, e);
	if (rc == RC_OK)
		rc = keyring_open(&en->keys, en->dir, en->given->master, e);
	if (rc == RC_OK)
		give_outers(en);
	return rc;
}

/* RC_EXISTS: a lot of it lives. */
static enum rc is_its_lot(void *arg, const struct key_info *k)
{
	const uint32_t *number = arg;

	return k->kind == KEY_LOT && k->state == KEY_LIVE && k->archive == *number ? RC_EXISTS
	                                                                           : RC_OK;
}

bool engine_has_lots(struct engine *en, uint32_t archive)
{
	return keyring_each(en->keys, is_its_lot, &archive) != RC_OK;
}

struct locked {
	struct engine *en;
	const json_t *archives;
	struct err *e;
};

/* What an archive is called, by its number. */
static enum rc say_locked(const struct locked *l, const struct key_info *k)
{
	for (size_t i = 0; i < json_array_size(l->archives); i++) {
		const json_t *a = json_array_get(l->archives, i);
		struct slice arn = json_member_text(a, "KmsKeyArn");
		const struct key_outer *o = key_file_outer(l->en->given, arn);

		if (json_member_int(a, "ArchiveNumber", 0) != (int64_t)k->archive)
			continue;
		return err_set(l->e, RC_CRYPTO,
		               "archive %s is under the key %.*s, %s: nothing is opened without "
		               "it (docs/formats.md, \"Master key\")",
		               json_string_value(json_object_get(a, "ArchiveName")),
		               (int)MIN_OF(arn.len, 200U), (const char *)arn.at,
		               !o          ? "which the key file has no kms line for"
		               : !o->there ? "which its command in the key file doesn't give"
		                           : "and its command in the key file gives another one");
	}
	return err_set(l->e, RC_CRYPTO, "archive %u is under a key that the key file doesn't give",
	               k->archive);
}

static bool is_known(const struct locked *l, uint32_t archive)
{
	for (size_t i = 0; i < json_array_size(l->archives); i++)
		if (json_member_int(json_array_get(l->archives, i), "ArchiveNumber", 0) ==
		    (int64_t)archive)
			return true;
	return false;
}

/* The key of an archive that is no more waits for the next sweep, which needs no other one for it.
 */
static enum rc check_unlocked(void *arg, const struct key_info *k)
{
	const struct locked *l = arg;

	if (k->kind != KEY_ARCHIVE || keyring_has_outer(l->en->keys, k))
		return RC_OK;
	if (!is_known(l, k->archive) && !engine_has_lots(l->en, k->archive))
		return RC_OK;
	return say_locked(l, k);
}

enum rc engine_keys_check(struct engine *en, struct err *e)
{
	json_t *all = NULL;
	struct locked l = { .en = en, .e = e };
	enum rc rc = resources_show(en->control, "Archives", NULL, &all, e);

	l.archives = json_member_array(all, "Archives");
	if (rc == RC_OK)
		rc = keyring_each(en->keys, check_unlocked, &l);
	json_decref(all);
	return rc;
}

/* The key that the archive shall be under. RC_INVALID: there is none such. */
static enum rc outer_of(const struct engine *en, const struct archive_info *a,
                        const struct key_outer **out, struct err *e)
{
	*out = a->kms ? key_file_outer(en->given, slice_str(a->kms)) : NULL;
	if (!a->kms || (*out && (*out)->there))
		return RC_OK;
	return err_set(e, RC_INVALID, "KmsKeyArn: no key command is configured for %.200s%s",
	               a->kms, *out ? ", or it has failed when mm started" : "");
}

static enum rc find_archive_key(struct engine *en, const struct archive_info *a, struct err *e)
{
	uint64_t id;

	return keyring_find(en->keys, KEY_ARCHIVE, a->number, 0, &id, e);
}

/* RC_EXISTS: the key is one of that archive's, or was. */
static enum rc is_of(void *arg, const struct key_info *k)
{
	const uint32_t *number = arg;

	return k->archive == *number ? RC_EXISTS : RC_OK;
}

static bool ring_knows(struct engine *en, uint32_t archive)
{
	return keyring_each(en->keys, is_of, &archive) != RC_OK;
}

static enum rc take_highest(void *arg, const struct key_info *k)
{
	uint32_t *highest = arg;

	*highest = MAX_OF(*highest, k->archive);
	return RC_OK;
}

enum rc engine_keys_number(struct engine *en, struct err *e)
{
	uint32_t highest = 0;

	(void)keyring_each(en->keys, take_highest, &highest);
	return resources_keep_numbers(en->control, highest, e);
}

enum rc engine_check_keys(struct engine *en, const struct config *c, struct err *e)
{
	const struct key_outer *outer;
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < config_archive_count(c); i++) {
		const struct archive_info *a = config_archive_at(c, i);

		rc = find_archive_key(en, a, e);
		if (!config_archive_by_number(en->config, a->number) && ring_knows(en, a->number))
			rc = err_set(
			        e, RC_CORRUPT,
			        "the number %u of the new archive %s is taken: the key ring has a"
			        " key of an archive %u that control.db doesn't know",
			        a->number, a->name, a->number);
		if (rc == RC_NOTFOUND)
			rc = outer_of(en, a, &outer, e);
	}
	return rc;
}

/* RC_NOTFOUND: it has none yet. What was made while a slot of the ring is lost, and nothing was
 * ever under a key of it, loses nothing by a new one: who can't start can't repair. */
static enum rc find_or_never(struct engine *en, const struct archive_info *a, struct err *e)
{
	enum rc rc = find_archive_key(en, a, e);

	if (rc != RC_CORRUPT || ring_knows(en, a->number))
		return rc;
	log_warn("archive %s has no key, and nothing is in it: it gets one", a->name);
	return RC_NOTFOUND;
}

enum rc engine_keys_ensure(struct engine *en, const struct config *c, struct err *e)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < config_archive_count(c); i++) {
		const struct archive_info *a = config_archive_at(c, i);
		struct key_info want = { .kind = KEY_ARCHIVE, .archive = a->number };
		const struct key_outer *outer = NULL;
		uint64_t id;

		rc = find_or_never(en, a, e);
		if (rc != RC_NOTFOUND)
			continue;
		rc = outer_of(en, a, &outer, e);
		if (outer)
			memcpy(want.outer, outer->check, KEY_CHECK);
		if (rc == RC_OK)
			rc = keyring_add(en->keys, &want, &id, e);
	}
	return rc;
}
