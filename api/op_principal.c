/* api/op_principal.c - who may ask: principals made, changed, shown and removed */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ops.h"
#include "base/codec.h"
#include "store/crypt.h"

#define ARCHIVES_MAX 10000

/* ---- showing ---- */

static void put_time(json_t *o, const char *name, int64_t ms)
{
	char text[25];

	time_format(text, ms);
	json_put_text(o, name, slice_str(text));
}

/* By name, or by id where the archive is gone. */
static json_t *archive_names(const struct access *a, struct config *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < a->archive_count; i++) {
		const struct archive_info *info = config_archive(c, slice_str(a->archives[i]));

		json_push(list, json_of_slice(slice_str(info ? info->name : a->archives[i])));
	}
	return list;
}

static json_t *principal_json(const struct principal *p, struct config *c)
{
	json_t *o = json_object();
	json_t *keys = json_array();

	json_put_text(o, "Name", slice_str(p->name));
	json_put_text(o, "Role", slice_str(access_role_name(p->access.role)));
	if (p->access.role == ROLE_AUDITOR && p->access.all_archives)
		json_put_bool(o, "AllArchives", true);
	else if (p->access.role == ROLE_AUDITOR)
		json_put(o, "Archives", archive_names(&p->access, c));
	if (p->uid != NO_UID)
		json_put_int(o, "Uid", p->uid);
	json_put_bool(o, "Disabled", p->disabled);
	put_time(o, "Created", p->created_ms);
	for (size_t i = 0; i < p->key_count; i++) {
		json_t *key = json_object();

		json_put_text(key, "AccessKeyId", slice_str(p->keys[i].id));
		put_time(key, "Created", p->keys[i].created_ms);
		json_push(keys, key);
	}
	json_put(o, "Keys", keys);
	return o;
}

enum rc op_principals(struct request *r, struct err *e)
{
	struct slice name = json_member_text(r->args, "name");
	struct principals *ps = engine_principals(r->en);
	struct config *c = engine_config(r->en);
	enum rc rc = RC_OK;

	if (name.at && !principal_by_name(ps, name))
		rc = err_set(e, RC_NOTFOUND, "there is no principal \"%.*s\"",
		             (int)MIN_OF(name.len, 64u), (const char *)name.at);
	for (size_t i = 0; rc == RC_OK && i < principals_count(ps); i++)
		if (!name.at || slice_equal(name, slice_str(principals_at(ps, i)->name)))
			rc = request_row(r, principal_json(principals_at(ps, i), c), e);
	config_unref(&c);
	principals_unref(&ps);
	return rc;
}

/* ---- changing ---- */

struct change {
	struct request *r;
	const char *what; /* for the audit entry */
	struct slice name;
	struct access access;  /* the list is freed with it */
	struct access_key key; /* the new one; wiped at the end */
	bool keyed;
	enum rc (*run)(struct change *x, struct err *e); /* in a transaction */
};

/* Ids of the archives that are named, from the configuration `c`, which keeps them. */
static enum rc take_archives(struct change *x, struct config *c, struct err *e)
{
	const json_t *names = json_member_array(x->r->args, "archives");
	size_t count = json_array_size(names);
	const char **ids;

	x->access.all_archives = json_member_bool(x->r->args, "all_archives", false);
	if (count > ARCHIVES_MAX)
		return err_set(e, RC_INVALID, "at most %d archives", ARCHIVES_MAX);
	ids = mem_array(count + 1, sizeof(*ids));
	x->access.archives = ids;
	for (size_t i = 0; i < count; i++) {
		struct slice name = json_text(json_array_get(names, i));
		const struct archive_info *a = config_archive(c, name);

		if (!a)
			return err_set(e, RC_INVALID, "there is no archive \"%.*s\"",
			               (int)MIN_OF(name.len, 64u), (const char *)name.at);
		ids[x->access.archive_count++] = a->id;
	}
	return RC_OK;
}

static json_t *detail_of(const struct change *x)
{
	json_t *o = json_object();
	json_t *ids;
	struct slice removed = json_member_text(x->r->args, "key");

	json_put_text(o, "what", slice_str(x->what));
	json_put_text(o, "name", x->name);
	if (x->access.archives) {
		ids = json_array();
		for (size_t i = 0; i < x->access.archive_count; i++)
			json_push(ids, json_of_slice(slice_str(x->access.archives[i])));
		json_put(o, "archives", ids);
		json_put_bool(o, "all_archives", x->access.all_archives);
	}
	if (json_member_text(x->r->args, "role").at)
		json_put_text(o, "role", json_member_text(x->r->args, "role"));
	if (json_object_get(x->r->args, "uid"))
		json_put_int(o, "uid", json_member_int(x->r->args, "uid", NO_UID));
	if (x->keyed)
		json_put_text(o, "key", slice_str(x->key.id));
	else if (removed.at)
		json_put_text(o, "key", removed);
	return o;
}

/* The entry goes before the commit, as with all that is changed. */
static enum rc commit(struct change *x, struct err *e)
{
	struct engine *en = x->r->en;
	enum rc rc = db_begin(en->control, e);

	if (rc != RC_OK)
		return rc;
	rc = x->run(x, e);
	if (rc == RC_OK)
		rc = request_account(x->r, "principal", detail_of(x), e);
	if (rc == RC_OK)
		rc = db_commit(en->control, e);
	if (rc != RC_OK)
		db_rollback(en->control);
	return rc == RC_OK ? engine_reload_principals(en, e) : rc;
}

static enum rc tell(struct engine *en, struct err *e)
{
	return en->principals_changed ? en->principals_changed(en->changed_arg, e) : RC_OK;
}

static enum rc change(struct change *x, struct err *e)
{
	struct config *c = engine_config(x->r->en);
	enum rc rc = request_text(x->r, "name", &x->name, e);

	if (rc == RC_OK && (json_object_get(x->r->args, "archives") ||
	                    json_object_get(x->r->args, "all_archives")))
		rc = take_archives(x, c, e);
	(void)pthread_mutex_lock(&x->r->en->writing);
	if (rc == RC_OK)
		rc = commit(x, e);
	(void)pthread_mutex_unlock(&x->r->en->writing);
	if (rc == RC_OK)
		rc = tell(x->r->en, e);
	x->r->result = json_object();
	if (rc == RC_OK && x->keyed) {
		json_put_text(x->r->result, "AccessKeyId", slice_str(x->key.id));
		json_put_text(x->r->result, "SecretAccessKey", slice_str(x->key.secret));
	}
	crypt_wipe(&x->key, sizeof(x->key));
	free((void *)(uintptr_t)x->access.archives);
	config_unref(&c);
	return rc;
}

static enum rc create(struct change *x, struct err *e)
{
	struct principal_new n = { .name = x->name,
		                   .access = x->access,
		                   .uid = json_member_int(x->r->args, "uid", NO_UID) };

	x->keyed = n.uid == NO_UID; /* who is known by his uid gets one when he wants one */
	if (!access_role_parse(json_member_text(x->r->args, "role"), &n.access.role))
		return err_set(e, RC_INVALID, "a role is one of admin, operator, auditor");
	if (n.uid == 0 || n.uid == (int64_t)geteuid())
		return err_set(e, RC_INVALID,
		               "root and the owner of the directory are administrators already");
	return principal_create(x->r->en->control, &n, x->keyed ? &x->key : NULL, e);
}

enum rc op_principal_create(struct request *r, struct err *e)
{
	struct change x = { .r = r, .what = "created", .run = create };

	return change(&x, e);
}

static enum rc set_archives(struct change *x, struct err *e)
{
	return principal_set_archives(x->r->en->control, x->name, &x->access, e);
}

enum rc op_principal_archives(struct request *r, struct err *e)
{
	struct change x = { .r = r, .what = "archives", .run = set_archives };

	return change(&x, e);
}

static enum rc enable(struct change *x, struct err *e)
{
	bool enabled = json_member_bool(x->r->args, "enabled", false);

	return principal_set_disabled(x->r->en->control, x->name, !enabled, e);
}

enum rc op_principal_enable(struct request *r, struct err *e)
{
	bool enabled = json_member_bool(r->args, "enabled", false);
	struct change x = { .r = r, .what = enabled ? "enabled" : "disabled", .run = enable };

	return change(&x, e);
}

static enum rc delete (struct change *x, struct err *e) {
	return principal_delete(x->r->en->control, x->name, e);
}

enum rc op_principal_delete(struct request *r, struct err *e)
{
	struct change x = { .r = r, .what = "deleted", .run = delete };

	return change(&x, e);
}

static enum rc add_key(struct change *x, struct err *e)
{
	x->keyed = true;
	return principal_add_key(x->r->en->control, x->name, &x->key, e);
}

enum rc op_principal_key_add(struct request *r, struct err *e)
{
	struct change x = { .r = r, .what = "key added", .run = add_key };

	return change(&x, e);
}

static enum rc remove_key(struct change *x, struct err *e)
{
	struct slice key;
	enum rc rc = request_text(x->r, "key", &key, e);

	return rc == RC_OK ? principal_remove_key(x->r->en->control, x->name, key, e) : rc;
}

enum rc op_principal_key_remove(struct request *r, struct err *e)
{
	struct change x = { .r = r, .what = "key removed", .run = remove_key };

	return change(&x, e);
}
