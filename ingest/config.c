#include "ingest/config.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "ingest/shape_resources.h"

/* What is handed out, with the memory behind it. */
struct point {
	struct ingress_point public;
	char *texts[5];
	struct password_hash *passwords;
};

struct named_list {
	char *id;
	char *name;
	struct address_list *list;
};

struct config {
	atomic_uint refs;
	int64_t generation;
	struct archive_info *archives;
	size_t archive_count;
	struct named_list *lists;
	size_t list_count;
	struct policy **policies;
	size_t policy_count;
	struct rule_set **rule_sets;
	size_t rule_set_count;
	struct point *points;
	size_t point_count;
};

/* "arn:aws:ses:...:mailmanager-archive/a-..." is its id. Names and ids hold no '/'. */
static struct slice reference_name(struct slice reference)
{
	const uint8_t *slash = reference.len ? memrchr(reference.at, '/', reference.len) : NULL;

	return slash ? slice_from(reference, (size_t)(slash - reference.at) + 1) : reference;
}

static bool is_text(struct slice s, const char *text)
{
	return slice_equal(s, slice_str(text));
}

static char *member_copy(const json_t *json, const char *member)
{
	return slice_string(json_member_text(json, member));
}

/* Checks a resource of the snapshot without the members that the database added. */
static enum rc check_shape(const struct shape *shape, const json_t *json, const char *id,
                           struct err *e)
{
	json_t *bare = json_copy((json_t *)(uintptr_t)json);
	enum rc rc;

	if (!json_is_object(bare) || !json_member_text(json, id).len) {
		json_decref(bare);
		return err_set(e, RC_INVALID, "a resource without %s", id);
	}
	(void)json_object_del(bare, id);
	(void)json_object_del(bare, "Version");
	(void)json_object_del(bare, "ArchiveNumber");
	rc = shape_check(shape, bare, NULL, SHAPE_STRICT, e);
	json_decref(bare);
	return rc;
}

/* ---- archives ---- */

static enum rc read_retention(struct archive_info *a, const json_t *retention, struct err *e)
{
	int64_t days = json_member_int(retention, "RetentionDays", 0);

	if (days > 0) {
		a->period = (struct retention) { .days = (unsigned)days };
		return RC_OK;
	}
	if (!retention_from_name(&a->period, json_member_text(retention, "RetentionPeriod")))
		return err_set(e, RC_INVALID, "Retention: must not be null");
	return RC_OK;
}

static enum rc add_archive(struct config *c, const json_t *json, struct err *e)
{
	struct archive_info *a = &c->archives[c->archive_count++];
	int64_t number = json_member_int(json, "ArchiveNumber", 0);

	a->id = member_copy(json, "ArchiveId");
	a->name = member_copy(json, "ArchiveName");
	a->number = (uint32_t)number;
	if (number < 1 || number > UINT32_MAX)
		return err_set(e, RC_INVALID, "an archive without number");
	return read_retention(a, json_member_object(json, "Retention"), e);
}

/* ---- lists, policies, rule sets ---- */

static enum rc add_list(struct config *c, const json_t *json, struct err *e)
{
	struct named_list *l = &c->lists[c->list_count++];

	l->id = member_copy(json, "AddressListId");
	l->name = member_copy(json, "AddressListName");
	return address_list_new(&l->list, json_member_array(json, "Addresses"), e);
}

static struct address_list *find_list(const struct config *c, struct slice reference)
{
	struct slice name = reference_name(reference);

	for (size_t i = 0; i < c->list_count; i++)
		if (is_text(name, c->lists[i].id))
			return c->lists[i].list;
	for (size_t i = 0; i < c->list_count; i++)
		if (is_text(name, c->lists[i].name))
			return c->lists[i].list;
	return NULL;
}

static struct address_list *find_list_for(void *arg, struct slice reference)
{
	return find_list(arg, reference);
}

static uint32_t find_archive_for(void *arg, struct slice reference)
{
	const struct archive_info *a = config_archive(arg, reference);

	return a ? a->number : 0;
}

static enum rc add_policy(struct config *c, const json_t *json, struct err *e)
{
	return policy_new(&c->policies[c->policy_count++], json, find_list_for, c, e);
}

enum rc config_compile_rule_set(const struct config *c, const json_t *json, struct rule_set **out,
                                struct err *e)
{
	struct rule_lookup look = { .list = find_list_for,
		                    .archive = find_archive_for,
		                    .arg = (void *)(uintptr_t)c };
	enum rc rc;

	*out = NULL;
	rc = check_shape(&shape_apply_rule_set, json, "RuleSetId", e);
	return rc == RC_OK ? rule_set_new(out, json, &look, e) : rc;
}

static enum rc add_rule_set(struct config *c, const json_t *json, struct err *e)
{
	return config_compile_rule_set(c, json, &c->rule_sets[c->rule_set_count++], e);
}

/* ---- ingress points ---- */

static enum rc find_parts(struct config *c, struct ingress_point *p, const json_t *json,
                          struct err *e)
{
	struct slice policy = json_member_text(json, "TrafficPolicyId");

	for (size_t i = 0; i < c->policy_count; i++)
		if (is_text(policy, policy_id(c->policies[i])))
			p->policy = c->policies[i];
	for (size_t i = 0; i < c->rule_set_count; i++)
		if (strcmp(p->rule_set_id, rule_set_id(c->rule_sets[i])) == 0)
			p->rules = c->rule_sets[i];
	if (!p->policy)
		return err_set(e, RC_NOTFOUND, "TrafficPolicyId: there is no such traffic policy");
	if (!p->rules)
		return err_set(e, RC_NOTFOUND, "RuleSetId: there is no such rule set");
	p->rule_set_version = rule_set_version(p->rules);
	return RC_OK;
}

static enum rc read_listen(struct point *point, struct err *e)
{
	struct ingress_point *p = &point->public;
	struct slice text = slice_str(p->listen);
	const uint8_t *colon = memrchr(text.at, ':', text.len);
	struct slice host;

	if (!colon || !ip_port_parse(&p->ip, &p->port, text))
		return err_set(e, RC_INVALID, "Listen: must be ADDRESS:PORT");
	host = slice_part(text, 0, (size_t)(colon - text.at));
	if (host.at[0] == '[')
		host = slice_part(host, 1, host.len - 2);
	p->host = point->texts[3] = slice_string(host);
	return RC_OK;
}

static enum rc add_point(struct config *c, const json_t *json, struct err *e)
{
	struct point *point = &c->points[c->point_count++];
	struct ingress_point *p = &point->public;
	enum rc rc;

	p->id = point->texts[0] = member_copy(json, "IngressPointId");
	p->name = point->texts[1] = member_copy(json, "IngressPointName");
	p->listen = point->texts[2] = member_copy(json, "Listen");
	p->rule_set_id = point->texts[4] = member_copy(json, "RuleSetId");
	p->type = is_text(json_member_text(json, "Type"), "AUTH") ? INGRESS_AUTH : INGRESS_OPEN;
	p->tls = is_text(json_member_text(json, "TlsPolicy"), "OPTIONAL") ? INGRESS_TLS_OPTIONAL
	                                                                  : INGRESS_TLS_REQUIRED;
	p->tls_wrapped = json_member_bool(json, "TlsWrapped", false);
	p->keep_bare = is_text(json_member_text(json, "BareNewlines"), "KEEP");
	p->odd_local = json_member_bool(json, "AllowOddLocalParts", false);
	p->closed = is_text(json_member_text(json, "Status"), "CLOSED");
	rc = find_parts(c, p, json, e);
	return rc == RC_OK ? read_listen(point, e) : rc;
}

static struct point *find_point(struct config *c, struct slice id)
{
	for (size_t i = 0; i < c->point_count; i++)
		if (is_text(id, c->points[i].public.id))
			return &c->points[i];
	return NULL;
}

/* The snapshot has them newest first. */
static enum rc add_password(struct config *c, const json_t *json, struct err *e)
{
	struct point *point = find_point(c, json_member_text(json, "IngressPointId"));
	struct slice hash = json_member_text(json, "Hash");
	size_t at;

	if (!point || !hash.len)
		return err_set(e, RC_INVALID, "a password of no ingress point");
	at = point->public.password_count++;
	point->passwords = mem_resize(point->passwords, (at + 1) * sizeof(*point->passwords));
	point->passwords[at] =
	        (struct password_hash) { .hash = slice_string(hash),
		                         .version = json_member_int(json, "Version", 0),
		                         .expires_ms = json_member_int(json, "ExpiresMs", 0) };
	point->public.passwords = point->passwords;
	return RC_OK;
}

/* ---- all of it ---- */

static const struct {
	const char *member;
	const char *id; /* NULL: a row of the database, not a resource in shape */
	const char *name;
	const struct shape *shape;
	enum rc (*add)(struct config *c, const json_t *json, struct err *e);
} kinds[] = {
	{ "Archives", "ArchiveId", "ArchiveName", &shape_apply_archive, add_archive },
	{ "AddressLists", "AddressListId", "AddressListName", &shape_apply_address_list, add_list },
	{ "TrafficPolicies", "TrafficPolicyId", "TrafficPolicyName", &shape_apply_traffic_policy,
	  add_policy },
	{ "RuleSets", "RuleSetId", "RuleSetName", &shape_apply_rule_set, add_rule_set },
	{ "IngressPoints", "IngressPointId", "IngressPointName", &shape_apply_ingress_point, add_point },
	{ "Passwords", NULL, "IngressPointId", NULL, add_password },
};

static void make_room(struct config *c, const json_t *snapshot)
{
	size_t n[COUNT(kinds)];

	for (size_t k = 0; k < COUNT(kinds); k++)
		n[k] = json_array_size(json_member_array(snapshot, kinds[k].member)) + 1;
	c->archives = mem_array(n[0], sizeof(*c->archives));
	c->lists = mem_array(n[1], sizeof(*c->lists));
	c->policies = mem_array(n[2], sizeof(*c->policies));
	c->rule_sets = mem_array(n[3], sizeof(*c->rule_sets));
	c->points = mem_array(n[4], sizeof(*c->points));
}

static enum rc add_kind(struct config *c, const json_t *snapshot, size_t k, struct err *e)
{
	const json_t *list = json_member_array(snapshot, kinds[k].member);

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *json = json_array_get(list, i);
		struct err mine = { 0 };
		enum rc rc = RC_OK;

		if (kinds[k].shape)
			rc = check_shape(kinds[k].shape, json, kinds[k].id, &mine);
		if (rc == RC_OK)
			rc = kinds[k].add(c, json, &mine);
		if (rc != RC_OK)
			return err_set(
			        e, rc, "%s \"%.100s\": %s", kinds[k].member,
			        (const char *)(json_member_text(json, kinds[k].name).len
			                               ? json_member_text(json, kinds[k].name).at
			                               : (const uint8_t *)"?"),
			        mine.text);
	}
	return RC_OK;
}

enum rc config_new(struct config **out, const json_t *snapshot, struct err *e)
{
	struct config *c;

	*out = NULL;
	if (!json_is_object(snapshot))
		return err_set(e, RC_INVALID, "a snapshot that is no object");
	c = mem_new(sizeof(*c));
	atomic_init(&c->refs, 1);
	c->generation = json_member_int(snapshot, "Generation", 0);
	make_room(c, snapshot);
	for (size_t k = 0; k < COUNT(kinds); k++) {
		enum rc rc = add_kind(c, snapshot, k, e);

		if (rc != RC_OK) {
			config_unref(&c);
			return rc;
		}
	}
	*out = c;
	return RC_OK;
}

struct config *config_ref(struct config *c)
{
	(void)atomic_fetch_add(&c->refs, 1);
	return c;
}

static void text_free(const char *text)
{
	free((void *)(uintptr_t)text);
}

static void point_free(struct point *p)
{
	for (size_t i = 0; i < COUNT(p->texts); i++)
		free(p->texts[i]);
	for (size_t i = 0; i < p->public.password_count; i++)
		text_free(p->passwords[i].hash);
	free(p->passwords);
}

static void config_free(struct config *c)
{
	for (size_t i = 0; i < c->point_count; i++)
		point_free(&c->points[i]);
	for (size_t i = 0; i < c->rule_set_count; i++)
		rule_set_free(&c->rule_sets[i]);
	for (size_t i = 0; i < c->policy_count; i++)
		policy_free(&c->policies[i]);
	for (size_t i = 0; i < c->list_count; i++) {
		free(c->lists[i].id);
		free(c->lists[i].name);
		address_list_unref(&c->lists[i].list);
	}
	for (size_t i = 0; i < c->archive_count; i++) {
		text_free(c->archives[i].id);
		text_free(c->archives[i].name);
	}
	free(c->points);
	free(c->rule_sets);
	free(c->policies);
	free(c->lists);
	free(c->archives);
	free(c);
}

void config_unref(struct config **c)
{
	struct config *old = *c;

	*c = NULL;
	if (old && atomic_fetch_sub(&old->refs, 1) == 1)
		config_free(old);
}

int64_t config_generation(const struct config *c)
{
	return c->generation;
}

/* ---- look-ups ---- */

size_t config_ingress_count(const struct config *c)
{
	return c->point_count;
}

const struct ingress_point *config_ingress_at(const struct config *c, size_t i)
{
	return i < c->point_count ? &c->points[i].public : NULL;
}

const struct ingress_point *config_ingress_by_name(const struct config *c, struct slice name)
{
	for (size_t i = 0; i < c->point_count; i++)
		if (is_text(name, c->points[i].public.name))
			return &c->points[i].public;
	return NULL;
}

const struct ingress_point *config_ingress_by_id(const struct config *c, struct slice id)
{
	for (size_t i = 0; i < c->point_count; i++)
		if (is_text(id, c->points[i].public.id))
			return &c->points[i].public;
	return NULL;
}

bool ingress_is_user(const struct ingress_point *p, struct slice user)
{
	return is_text(user, p->id) || is_text(user, p->name);
}

size_t config_archive_count(const struct config *c)
{
	return c->archive_count;
}

const struct archive_info *config_archive_at(const struct config *c, size_t i)
{
	return i < c->archive_count ? &c->archives[i] : NULL;
}

const struct archive_info *config_archive(const struct config *c, struct slice reference)
{
	struct slice name = reference_name(reference);

	for (size_t i = 0; i < c->archive_count; i++)
		if (is_text(name, c->archives[i].id))
			return &c->archives[i];
	for (size_t i = 0; i < c->archive_count; i++)
		if (is_text(name, c->archives[i].name))
			return &c->archives[i];
	return NULL;
}

const struct archive_info *config_archive_by_number(const struct config *c, uint32_t number)
{
	for (size_t i = 0; i < c->archive_count; i++)
		if (c->archives[i].number == number)
			return &c->archives[i];
	return NULL;
}

const struct rule_set *config_rule_set(const struct config *c, struct slice id, int64_t version)
{
	for (size_t i = 0; i < c->rule_set_count; i++)
		if (is_text(id, rule_set_id(c->rule_sets[i])) &&
		    rule_set_version(c->rule_sets[i]) == version)
			return c->rule_sets[i];
	return NULL;
}

const struct address_list *config_address_list(const struct config *c, struct slice reference)
{
	return find_list(c, reference);
}
