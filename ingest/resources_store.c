#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "ingest/address_list.h"
#include "ingest/config.h"
#include "ingest/members.h"
#include "ingest/resources_db.h"
#include "ingest/tags.h"
#include "ingest/tokens.h"
#include "ingest/trust_store.h"

static bool has(const json_t *object, const char *member)
{
	const json_t *value = json_object_get(object, member);

	return value && !json_is_null(value);
}

struct slice store_name(const json_t *item, enum resource_kind kind)
{
	if (kind == RESOURCE_ADDON_INSTANCE)
		return json_member_text(item, "AddonSubscriptionId");
	return json_member_text(item, resource_kinds[kind].name);
}

/* ---- ids ---- */

void store_new_id(char out[RESOURCE_ID_ROOM], const char *prefix)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	char random[25];

	for (size_t i = 0; i < 24; i++)
		random[i] = digits[randombytes_uniform(36)];
	random[24] = '\0';
	(void)snprintf(out, RESOURCE_ID_ROOM, "%s%s", prefix, random);
}

/* What is stored under one kind and, as ?2, a text. */
static enum rc prepare(const struct storing *st, struct stmt **s, const char *sql,
                       enum resource_kind kind, struct slice text)
{
	enum rc rc = db_prepare(st->control, s, sql, st->e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(*s, 1, slice_str(resource_kinds[kind].plural));
	stmt_bind_text(*s, 2, text);
	return RC_OK;
}

static enum rc find(const struct storing *st, enum resource_kind kind, const char *sql,
                    struct slice text, char id[RESOURCE_ID_ROOM])
{
	struct stmt *s;
	enum rc rc = prepare(st, &s, sql, kind, text.len ? text : slice_str(""));

	if (rc != RC_OK)
		return rc;
	rc = stmt_step(s, st->e);
	if (rc == RC_OK)
		(void)snprintf(id, RESOURCE_ID_ROOM, "%.*s", (int)stmt_text(s, 0).len,
		               (const char *)stmt_text(s, 0).at);
	stmt_free(&s);
	return rc;
}

/* An id always means itself, also where another one has it as its name. */
enum rc store_find(const struct storing *st, enum resource_kind kind, struct slice reference,
                   char id[RESOURCE_ID_ROOM])
{
	const uint8_t *slash = reference.len ? memrchr(reference.at, '/', reference.len) : NULL;
	struct slice name =
	        slash ? slice_from(reference, (size_t)(slash - reference.at) + 1) : reference;

	return find(st, kind,
	            "SELECT id FROM resource WHERE kind = ?1 AND (id = ?2 OR name = ?2)"
	            " ORDER BY id = ?2 DESC LIMIT 1",
	            name, id);
}

enum rc store_find_name(const struct storing *st, enum resource_kind kind, struct slice name,
                        char id[RESOURCE_ID_ROOM])
{
	return find(st, kind, "SELECT id FROM resource WHERE kind = ?1 AND name = ?2", name, id);
}

/* Rule sets say the same names again and again. */
static enum rc find_once(struct storing *st, enum resource_kind kind, struct slice reference,
                         char id[RESOURCE_ID_ROOM])
{
	char *text = slice_string(reference);
	struct slice known = json_member_text(st->found[kind], text);
	enum rc rc = RC_OK;

	if (known.at) {
		(void)snprintf(id, RESOURCE_ID_ROOM, "%s", (const char *)known.at);
	} else {
		rc = store_find(st, kind, reference, id);
		if (rc == RC_OK && !st->found[kind])
			st->found[kind] = json_object();
		if (rc == RC_OK)
			json_put_text(st->found[kind], text, slice_str(id));
	}
	free(text);
	return rc;
}

/* An add-on's instance has no name of its own: by its id or ARN, or by its add-on's name. */
static enum rc find_analyzer(struct storing *st, struct slice reference, char id[RESOURCE_ID_ROOM])
{
	char subscription[RESOURCE_ID_ROOM];
	enum rc rc = find_once(st, RESOURCE_ADDON_INSTANCE, reference, id);

	if (rc != RC_NOTFOUND)
		return rc;
	rc = find_once(st, RESOURCE_ADDON_SUBSCRIPTION, reference, subscription);
	return rc == RC_OK ? find_once(st, RESOURCE_ADDON_INSTANCE, slice_str(subscription), id)
	                   : rc;
}

static enum rc resolve(struct storing *st, enum resource_kind kind, const json_t *reference,
                       const struct shape_path *path, json_t **id)
{
	char found[RESOURCE_ID_ROOM];
	enum rc rc = kind == RESOURCE_ADDON_INSTANCE
	                     ? find_analyzer(st, json_text(reference), found)
	                     : find_once(st, kind, json_text(reference), found);

	if (rc == RC_NOTFOUND)
		return shape_fault(st->e, path, "none of the %s is named or has the id \"%.100s\"",
		                   resource_kinds[kind].plural, json_string_value(reference));
	if (rc == RC_OK)
		*id = json_of_slice(slice_str(found));
	return rc;
}

/* ---- the stored form: no null, defaults written out, references as ids ---- */

json_t *store_without_nulls(const json_t *value)
{
	json_t *made;

	if (json_is_object(value)) {
		const char *name;
		json_t *item;

		made = json_object();
		json_object_foreach((json_t *)(uintptr_t)value, name, item)
		{
			if (!json_is_null(item))
				json_put(made, name, store_without_nulls(item));
		}
		return made;
	}
	if (!json_is_array(value))
		return json_incref((json_t *)(uintptr_t)value);
	made = json_array();
	for (size_t i = 0; i < json_array_size(value); i++)
		json_push(made, store_without_nulls(json_array_get(value, i)));
	return made;
}

static enum rc resolve_tree(struct storing *st, json_t *value, const struct shape_path *path);

static enum rc resolve_text(struct storing *st, json_t *object, const char *name,
                            enum resource_kind kind, const struct shape_path *path)
{
	json_t *id;
	enum rc rc = resolve(st, kind, json_object_get(object, name), path, &id);

	if (rc == RC_OK)
		json_put(object, name, id);
	return rc;
}

static enum rc resolve_member(struct storing *st, json_t *object, const char *name,
                              const struct shape_path *path)
{
	json_t *value = json_object_get(object, name);
	json_t *id;
	enum rc rc;

	if (strcmp(name, "TargetArchive") == 0)
		return resolve_text(st, object, name, RESOURCE_ARCHIVE, path);
	if (strcmp(name, "Relay") == 0 && json_is_string(value)) /* the action has that name, too */
		return resolve_text(st, object, name, RESOURCE_RELAY, path);
	if (strcmp(name, "Analyzer") == 0)
		return resolve_text(st, object, name, RESOURCE_ADDON_INSTANCE, path);
	if (strcmp(name, "AddressLists") == 0) {
		struct shape_path first = { .up = path, .index = 0 };

		rc = resolve(st, RESOURCE_ADDRESS_LIST, json_array_get(value, 0), &first, &id);
		if (rc == RC_OK)
			MUST(json_array_set_new(value, 0, id) == 0);
		return rc;
	}
	return resolve_tree(st, value, path);
}

/* In policies and rule sets only these four members refer to something. */
static enum rc resolve_tree(struct storing *st, json_t *value, const struct shape_path *path)
{
	enum rc rc = RC_OK;
	const char *name;
	json_t *item;
	void *next;

	for (size_t i = 0; i < json_array_size(value) && rc == RC_OK; i++) {
		struct shape_path here = { .up = path, .index = i };

		rc = resolve_tree(st, json_array_get(value, i), &here);
	}
	json_object_foreach_safe(value, next, name, item)
	{
		struct shape_path here = { .up = path, .member = name };

		if (rc == RC_OK)
			rc = resolve_member(st, value, name, &here);
	}
	return rc;
}

static void put_default(json_t *object, const char *member, json_t *value)
{
	if (json_object_get(object, member))
		json_decref(value);
	else
		json_put(object, member, value);
}

static enum rc resolve_point(struct storing *st, json_t *point, enum resource_kind kind,
                             const struct shape_path *path)
{
	const struct resource_kind_info *info = &resource_kinds[kind];
	const char *given = has(point, info->name) ? info->name : info->id;
	struct shape_path here = { .up = path, .member = given };
	json_t *id;
	enum rc rc = resolve(st, kind, json_object_get(point, given), &here, &id);

	if (rc != RC_OK)
		return rc;
	(void)json_object_del(point, info->name);
	json_put(point, info->id, id);
	return RC_OK;
}

/* What an MTLS point needs, and no other one may have. */
static enum rc settle_trust(const struct storing *st, const json_t *point,
                            const struct shape_path *path)
{
	struct slice type = json_member_text(point, "Type");
	struct slice policy = json_member_text(point, "TlsPolicy");
	struct shape_path tls = { .up = path, .member = "TlsPolicy" };
	struct tls_trust *trust;
	struct err why;

	if (!slice_equal(type, slice_str("MTLS")))
		return trust_store_of(point)
		               ? shape_fault(st->e, path,
		                             TRUST_STORE
		                             ": only an ingress point of type MTLS has one")
		               : RC_OK;
	if (policy.len && !slice_equal(policy, slice_str("REQUIRED")))
		return shape_fault(st->e, &tls, "must be REQUIRED where Type is MTLS");
	if (trust_store_read(&trust, point, &why) != RC_OK)
		return shape_fault(st->e, path, "%s", why.text);
	tls_trust_free(&trust);
	return RC_OK;
}

static enum rc settle_point(const struct storing *st, json_t *point, const json_t *before,
                            const struct shape_path *path)
{
	struct shape_path type = { .up = path, .member = "Type" };

	if (before && !json_equal(json_object_get(point, "Type"), json_object_get(before, "Type")))
		return shape_fault(st->e, &type, "can't be changed (it is %s)",
		                   json_string_value(json_object_get(before, "Type")));
	if (settle_trust(st, point, path) != RC_OK)
		return RC_INVALID;
	put_default(point, "TlsPolicy", json_string("REQUIRED"));
	put_default(point, "TlsWrapped", json_false());
	put_default(point, "BareNewlines", json_string("REJECT"));
	put_default(point, "AllowOddLocalParts", json_false());
	put_default(point, "Judge", json_string("AFTER_REPLY"));
	put_default(point, "Status", json_string("ACTIVE"));
	return RC_OK;
}

/* An archive that exists keeps its retention when the file doesn't say one: a forgotten line must
 * not shorten it. What it is under was decided when its key was made. */
static enum rc settle_archive(const struct storing *st, json_t *archive, const json_t *before,
                              const struct shape_path *path)
{
	struct shape_path kms = { .up = path, .member = "KmsKeyArn" };
	json_t *kept = json_object_get(before, "Retention");
	json_t *under = json_object_get(before, "KmsKeyArn");

	if (under)
		put_default(archive, "KmsKeyArn", json_incref(under));
	if (before && !json_equal(json_object_get(archive, "KmsKeyArn"), under) &&
	    (under || json_object_get(archive, "KmsKeyArn")))
		return shape_fault(st->e, &kms, "is fixed when an archive is made");
	if (kept)
		put_default(archive, "Retention", json_incref(kept));
	else
		put_default(archive, "Retention",
		            json_pack("{s:s}", "RetentionPeriod", "SIX_MONTHS"));
	return RC_OK;
}

/* Of the add-on that has this name, or this subscription. */
static enum rc resolve_instance(struct storing *st, json_t *item, const struct shape_path *path)
{
	const char *given = has(item, "AddonName") ? "AddonName" : "AddonSubscriptionId";
	struct shape_path here = { .up = path, .member = given };
	json_t *id;
	enum rc rc =
	        resolve(st, RESOURCE_ADDON_SUBSCRIPTION, json_object_get(item, given), &here, &id);

	if (rc != RC_OK)
		return rc;
	(void)json_object_del(item, "AddonName");
	json_put(item, "AddonSubscriptionId", id);
	return RC_OK;
}

/* Those of a point that are given: an update gives what changes. */
static enum rc resolve_points(struct storing *st, json_t *point, const struct shape_path *path)
{
	static const enum resource_kind parts[] = { RESOURCE_RULE_SET, RESOURCE_TRAFFIC_POLICY };
	enum rc rc = RC_OK;

	for (size_t i = 0; i < COUNT(parts) && rc == RC_OK; i++)
		if (has(point, resource_kinds[parts[i]].name) ||
		    has(point, resource_kinds[parts[i]].id))
			rc = resolve_point(st, point, parts[i], path);
	return rc;
}

enum rc store_check_point(const struct storing *st, const json_t *point,
                          const struct shape_path *path)
{
	static const enum resource_kind needed[] = { RESOURCE_RULE_SET, RESOURCE_TRAFFIC_POLICY };

	for (size_t k = 0; k < COUNT(needed); k++) {
		const struct resource_kind_info *info = &resource_kinds[needed[k]];

		if (has(point, info->name) == has(point, info->id))
			return shape_fault(st->e, path, "must have exactly one of: %s, %s",
			                   info->name, info->id);
	}
	return RC_OK;
}

enum rc store_resolve(struct storing *st, enum resource_kind kind, json_t *item,
                      const struct shape_path *path)
{
	switch (kind) {
	case RESOURCE_TRAFFIC_POLICY:
	case RESOURCE_RULE_SET:
		return resolve_tree(st, item, path);
	case RESOURCE_INGRESS_POINT:
		return resolve_points(st, item, path);
	case RESOURCE_ADDON_INSTANCE:
		return resolve_instance(st, item, path);
	case RESOURCE_ARCHIVE:
	case RESOURCE_ADDRESS_LIST:
	case RESOURCE_RELAY:
	case RESOURCE_ADDON_SUBSCRIPTION:
	case RESOURCE_KINDS:
		break;
	}
	return RC_OK;
}

enum rc store_settle(const struct storing *st, enum resource_kind kind, json_t *item,
                     const json_t *before, const struct shape_path *path)
{
	if (kind == RESOURCE_ARCHIVE)
		return settle_archive(st, item, before, path);
	return kind == RESOURCE_INGRESS_POINT ? settle_point(st, item, before, path) : RC_OK;
}

enum rc store_changeable(const struct storing *st, enum resource_kind kind, const json_t *stored,
                         const struct shape_path *path)
{
	if (kind != RESOURCE_ARCHIVE || !has(stored, "ArchiveState"))
		return RC_OK;
	(void)shape_fault(st->e, path, "archive \"%s\" is being deleted",
	                  json_string_value(json_object_get(stored, "ArchiveName")));
	st->e->code = RC_EXISTS;
	return RC_EXISTS;
}

/* ---- writing ---- */

enum rc store_load(const struct storing *st, enum resource_kind kind, struct slice id,
                   json_t **json, int64_t *version)
{
	struct stmt *s;
	enum rc rc = prepare(
	        st, &s, "SELECT version, json FROM resource WHERE kind = ?1 AND id = ?2", kind, id);

	*json = NULL;
	*version = 0;
	if (rc != RC_OK)
		return rc;
	rc = stmt_step(s, st->e);
	if (rc == RC_OK) {
		*version = stmt_int(s, 0);
		rc = json_read(json, stmt_text(s, 1), st->e);
	}
	stmt_free(&s);
	return rc;
}

struct row {
	enum resource_kind kind;
	struct slice id;
	struct slice name;
	struct slice json;
	int64_t version;
};

static enum rc write_row(const struct storing *st, const struct row *row, const char *sql)
{
	struct stmt *s;
	enum rc rc = db_prepare(st->control, &s, sql, st->e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(resource_kinds[row->kind].plural));
	stmt_bind_text(s, 2, row->id);
	stmt_bind_int(s, 3, row->version);
	stmt_bind_text(s, 4, row->json);
	stmt_bind_int(s, 5, st->now_ms);
	if (strstr(sql, "?6"))
		stmt_bind_text(s, 6, row->name);
	rc = stmt_run(s, st->e);
	stmt_free(&s);
	return rc;
}

static enum rc add_archive_number(const struct storing *st, struct slice id)
{
	struct stmt *s;
	enum rc rc =
	        db_prepare(st->control, &s, "INSERT INTO archive_number (id) VALUES (?)", st->e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, id);
	rc = stmt_run(s, st->e);
	stmt_free(&s);
	if (rc == RC_OK && db_last_rowid(st->control) > UINT32_MAX)
		return err_set(st->e, RC_LIMIT, "no archive number is left");
	return rc;
}

static enum rc write_all(const struct storing *st, const struct row *row)
{
	enum rc rc;

	if (row->version == 1)
		rc = write_row(st, row,
		               "INSERT INTO resource"
		               " (kind, id, version, json, created_ms, updated_ms, name)"
		               " VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)");
	else
		rc = write_row(st, row,
		               "UPDATE resource SET version = ?3, json = ?4, updated_ms = ?5,"
		               " name = ?6 WHERE kind = ?1 AND id = ?2");
	if (rc == RC_OK)
		rc = write_row(st, row,
		               "INSERT INTO resource_version (kind, id, version, json, created_ms)"
		               " VALUES (?1, ?2, ?3, ?4, ?5)");
	if (rc == RC_OK && row->kind == RESOURCE_ARCHIVE && row->version == 1)
		rc = add_archive_number(st, row->id);
	if (rc == RC_OK && row->kind == RESOURCE_ADDRESS_LIST && row->version == 1)
		rc = members_new_list(st->control, row->id, st->e);
	return rc;
}

static enum rc write_item(const struct storing *st, enum resource_kind kind, const json_t *item,
                          struct slice id, int64_t version)
{
	struct row row = {
		.kind = kind, .id = id, .name = store_name(item, kind), .version = version
	};
	struct buf text;
	enum rc rc;

	buf_init(&text, LIMIT_CONFIG_FILE);
	rc = json_write(&text, item);
	if (rc != RC_OK)
		(void)err_set(st->e, rc, "a resource of more than %d bytes", LIMIT_CONFIG_FILE);
	row.json = buf_slice(&text);
	if (rc == RC_OK)
		rc = write_all(st, &row);
	buf_free(&text);
	return rc;
}

void store_room(struct storing *st, size_t changes)
{
	struct apply_result *r = st->result;

	r->changes = mem_resize(r->changes, (r->count + changes + 1) * sizeof(*r->changes));
	memset(r->changes + r->count, 0, (changes + 1) * sizeof(*r->changes));
}

struct apply_change *store_note(struct storing *st, enum resource_kind kind, struct slice id,
                                struct slice name, enum apply_what what, int64_t version)
{
	struct apply_result *r = st->result;
	struct apply_change *c = &r->changes[r->count++];

	c->kind = kind;
	(void)snprintf(c->id, sizeof(c->id), "%.*s", (int)id.len, (const char *)id.at);
	c->name = slice_string(name);
	c->version = version;
	c->what = what;
	r->unchanged += what == APPLY_UNCHANGED;
	r->updated += what == APPLY_UPDATED;
	r->created += what == APPLY_CREATED;
	r->deleted += what == APPLY_DELETED;
	return c;
}

struct address_set *store_list_set(struct storing *st, struct slice id)
{
	struct address_list *list = NULL;
	struct address_set *now;
	struct list_edit *x;

	if (config_has(st->result->base, "AddressLists", id, 0))
		list = config_address_list(st->result->base, id);
	if (!list)
		return NULL;
	for (x = st->edits; x; x = x->next)
		if (x->list == list)
			return x->set;
	x = mem_new(sizeof(*x));
	now = address_list_set(list);
	*x = (struct list_edit) { st->edits, address_list_ref(list), address_set_copy(now) };
	address_set_unref(&now);
	st->edits = x;
	return x->set;
}

/* What isn't in the resource's own row. `addresses` and `tags` may be NULL. */
static enum rc write_beside(struct storing *st, struct slice id, const json_t *addresses,
                            const json_t *tags, struct members_change *m, bool *tagged)
{
	enum rc rc = RC_OK;

	if (addresses) {
		m->set = store_list_set(st, id);
		rc = members_replace(st->control, id, addresses, st->now_ms, m, st->e);
	}
	if (rc == RC_OK && tags)
		rc = tags_replace(st->control, id, tags, tagged, st->e);
	return rc;
}

static json_t *take_member(json_t *object, const char *member)
{
	json_t *value = json_object_get(object, member);

	if (value)
		(void)json_incref(value);
	(void)json_object_del(object, member);
	return value;
}

enum rc store_item(struct storing *st, enum resource_kind kind, json_t *item, const json_t *before,
                   int64_t old, char id[RESOURCE_ID_ROOM])
{
	json_t *addresses = take_member(item, "Addresses");
	json_t *tags = take_member(item, "Tags");
	struct members_change m = { 0 };
	bool tagged = false;
	int64_t version = old;
	enum rc rc = RC_OK;

	if (!id[0])
		store_new_id(id, resource_kinds[kind].prefix);
	if (!json_equal(item, before))
		rc = write_item(st, kind, item, slice_str(id), ++version);
	if (rc == RC_OK)
		rc = write_beside(st, slice_str(id), addresses, tags, &m, &tagged);
	if (rc == RC_OK && m.added + m.removed && version == old)
		rc = write_item(st, kind, item, slice_str(id), ++version);
	json_decref(addresses);
	json_decref(tags);
	if (rc == RC_OK) {
		enum apply_what what = old == 0                   ? APPLY_CREATED
		                       : version != old || tagged ? APPLY_UPDATED
		                                                  : APPLY_UNCHANGED;
		struct apply_change *c =
		        store_note(st, kind, slice_str(id), store_name(item, kind), what, version);

		c->members_added = m.added;
		c->members_removed = m.removed;
	}
	return rc;
}

/* ---- the state that would result ---- */

static enum rc check_listens(const struct storing *st, const struct config *c)
{
	for (size_t i = 0; i < config_ingress_count(c); i++) {
		const struct ingress_point *p = config_ingress_at(c, i);

		for (size_t k = 0; k < i; k++) {
			const struct ingress_point *q = config_ingress_at(c, k);

			if (!p->closed && !q->closed && p->port == q->port &&
			    ip_equal(&p->ip, &q->ip))
				return err_set(st->e, RC_INVALID,
				               "IngressPoints: \"%s\" and \"%s\" both have Listen "
				               "%s",
				               q->name, p->name, p->listen);
		}
	}
	return RC_OK;
}

/* A broken configuration never gets in: what will be loaded is compiled before it is committed. */
static enum rc check_state(const struct storing *st, struct config **c)
{
	enum rc rc = resources_compile(st->control, st->result->base, c, st->e);

	if (rc == RC_OK)
		return check_listens(st, *c);
	return rc == RC_NOTFOUND ? err_set(st->e, RC_INVALID, "%s", st->e->text) : rc;
}

/* Members of lists, tags: what makes no new version. */
static bool of_members_alone(const struct apply_result *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->changes[i].what != APPLY_UPDATED || r->changes[i].version)
			return false;
	return true;
}

static enum rc finish(struct storing *st)
{
	struct apply_result *r = st->result;
	enum rc rc = of_members_alone(r) ? RC_OK : check_state(st, &r->made);

	if (rc == RC_OK && r->before_commit)
		rc = r->before_commit(r->arg, r, r->made, st->e);
	return rc == RC_OK ? db_commit(st->control, st->e) : rc;
}

static void drop_edits(struct storing *st, bool use)
{
	while (st->edits) {
		struct list_edit *x = st->edits;

		st->edits = x->next;
		if (use)
			address_list_take(x->list, x->set);
		address_list_unref(&x->list);
		address_set_unref(&x->set);
		free(x);
	}
}

/* RC_OK: what it made then is the result. */
static enum rc find_token(struct storing *st)
{
	char id[TOKEN_ID_ROOM];
	enum rc rc = tokens_find(st->control, st->result->token, st->now_ms, id, st->e);

	if (rc != RC_OK)
		return rc;
	store_room(st, 1);
	(void)store_note(st, RESOURCE_KINDS, slice_str(id), slice_str(""), APPLY_UNCHANGED, 0);
	return RC_OK;
}

enum rc store_run(struct storing *st, enum rc (*work)(struct storing *st, void *arg), void *arg)
{
	struct apply_result *r = st->result;
	enum rc rc = db_begin(st->control, st->e);
	bool changed;

	if (rc != RC_OK)
		return rc;
	st->now_ms = clock_now_ms();
	rc = r->token ? find_token(st) : RC_NOTFOUND;
	if (rc == RC_NOTFOUND)
		rc = work(st, arg);
	changed = r->created + r->updated + r->deleted > 0;
	if (rc == RC_OK && changed && r->token)
		rc = tokens_keep(st->control, r->token, st->now_ms, slice_str(r->changes[0].id),
		                 st->e);
	if (rc == RC_OK && changed)
		rc = finish(st);
	else if (rc == RC_OK && st->keep)
		rc = db_commit(st->control, st->e);
	if (rc != RC_OK || !(changed || st->keep))
		db_rollback(st->control);
	drop_edits(st, rc == RC_OK && changed);
	for (int k = 0; k < RESOURCE_KINDS; k++) {
		json_decref(st->found[k]);
		st->found[k] = NULL;
	}
	if (rc != RC_OK)
		apply_result_free(r);
	return rc;
}

/* Keeps what the caller set. */
void apply_result_free(struct apply_result *result)
{
	for (size_t i = 0; i < result->count; i++)
		free(result->changes[i].name);
	free(result->changes);
	config_unref(&result->made);
	*result = (struct apply_result) { .before_commit = result->before_commit,
		                          .arg = result->arg,
		                          .base = result->base,
		                          .limits = result->limits,
		                          .open = result->open,
		                          .token = result->token };
}
