#include "ingest/config.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/codec.h"
#include "ingest/scans.h"
#include "ingest/shape_resources.h"
#include "ingest/trust_store.h"

/* One compiled resource at one version; configurations share it. */
struct part {
	atomic_uint refs;
	char *id;
	char *name;
	int64_t version;
	char *handed; /* its JSON as mm-smtpd gets it; NULL: it gets none */
	union {
		struct archive_info archive; /* its texts are the part's */
		struct relay_info relay;     /* the same */
		struct address_list *list;
		struct policy *policy;
		struct rule_set *rules;
		struct ingress_point point; /* but for what it refers to; its texts are these: */
	} made;
	char *texts[4];
};

struct point {
	struct ingress_point public;
	struct password_hash *passwords;
};

/* In the order in which they refer to each other. */
enum config_kind { ARCHIVES, RELAYS, LISTS, ANALYZERS, POLICIES, RULE_SETS, POINTS, CONFIG_KINDS };

struct parts {
	struct part **at;
	size_t count;
};

struct config {
	atomic_uint refs;
	int64_t generation;
	struct parts parts[CONFIG_KINDS];
	struct point *points; /* one for each of parts[POINTS] */
	size_t point_count;
	json_t *passwords; /* as in the snapshot */
};

/* One on its way. */
struct making {
	struct config *c;
	const struct config_source *from;
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
	(void)json_object_del(bare, "ArchiveState");
	(void)json_object_del(bare, "PendingSinceMs");
	if (shape == &shape_apply_address_list) /* address_list_new checks them, if they are here */
		json_put(bare, "Addresses", json_array());
	rc = shape_check(shape, bare, NULL, SHAPE_OPEN, e);
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

static enum rc make_archive(const struct making *m, struct part *p, const json_t *json,
                            struct err *e)
{
	struct archive_info *a = &p->made.archive;
	int64_t number = json_member_int(json, "ArchiveNumber", 0);

	(void)m;
	a->id = p->id;
	a->name = p->name;
	if (json_object_get(json, "KmsKeyArn"))
		a->kms = p->texts[0] = slice_string(json_member_text(json, "KmsKeyArn"));
	a->number = (uint32_t)number;
	a->pending_since_ms = json_member_int(json, "PendingSinceMs", 0);
	a->pending = is_text(json_member_text(json, "ArchiveState"), "PENDING_DELETION");
	if (number < 1 || number > UINT32_MAX)
		return err_set(e, RC_INVALID, "an archive without number");
	return read_retention(a, json_member_object(json, "Retention"), e);
}

/* ---- relays ---- */

static enum relay_tls relay_tls_of(const json_t *json, const struct relay_info *r)
{
	struct slice said = json_member_text(json, "Tls");

	if (is_text(said, "WRAPPED") || (!said.len && r->port == 465))
		return RELAY_TLS_WRAPPED;
	return is_text(said, "REQUIRED") || (!said.len && r->secret) ? RELAY_TLS_REQUIRED
	                                                             : RELAY_TLS_OPTIONAL;
}

static enum rc make_relay(const struct making *m, struct part *p, const json_t *json, struct err *e)
{
	struct relay_info *r = &p->made.relay;
	const json_t *login = json_member_object(json, "Authentication");

	(void)m;
	r->id = p->id;
	r->name = p->name;
	r->server = p->texts[0] = member_copy(json, "ServerName");
	r->port = (uint16_t)json_member_int(json, "ServerPort", 25);
	if (json_object_get(login, "SecretArn"))
		r->secret = p->texts[1] = member_copy(login, "SecretArn");
	r->tls = relay_tls_of(json, r);
	if (r->secret && r->tls == RELAY_TLS_OPTIONAL)
		return err_set(e, RC_INVALID,
		               "Tls: OPTIONAL would tell the secret to who listens; a relay with "
		               "SecretArn needs"
		               " REQUIRED or WRAPPED");
	return RC_OK;
}

/* ---- lists, policies, rule sets ---- */

static const struct part *find_part(const struct config *c, enum config_kind kind,
                                    struct slice reference)
{
	const struct parts *all = &c->parts[kind];
	struct slice name = reference_name(reference);

	for (size_t i = 0; i < all->count; i++)
		if (is_text(name, all->at[i]->id))
			return all->at[i];
	for (size_t i = 0; i < all->count; i++)
		if (is_text(name, all->at[i]->name))
			return all->at[i];
	return NULL;
}

static const struct part *find_id(const struct config *c, enum config_kind kind, struct slice id)
{
	for (size_t i = 0; c && i < c->parts[kind].count; i++)
		if (is_text(id, c->parts[kind].at[i]->id))
			return c->parts[kind].at[i];
	return NULL;
}

/* A list is one object for its life: policies and rules that are not compiled anew keep it. */
static enum rc make_list(const struct making *m, struct part *p, const json_t *json, struct err *e)
{
	const struct part *before = find_id(m->from->base, LISTS, slice_str(p->id));
	struct address_list *given = NULL;

	if (before)
		given = before->made.list;
	else if (m->from->list)
		given = m->from->list(m->from->arg, slice_str(p->id));
	if (!given)
		return address_list_new(&p->made.list, json_member_array(json, "Addresses"), e);
	p->made.list = address_list_ref(given);
	return RC_OK;
}

static struct address_list *find_list_for(void *arg, struct slice reference)
{
	const struct part *p = find_part(arg, LISTS, reference);

	return p ? p->made.list : NULL;
}

static uint32_t find_archive_for(void *arg, struct slice reference)
{
	const struct archive_info *a = config_archive(arg, reference);

	return a ? a->number : 0;
}

/* All that a rule needs to know of an add-on's instance is its id; who asks scanners, the add-on's
 * name. */
static enum rc make_analyzer(const struct making *m, struct part *p, const json_t *json,
                             struct err *e)
{
	(void)m;
	(void)e;
	p->texts[0] = member_copy(json, "AddonName");
	return RC_OK;
}

static const char *find_analyzer_for(void *arg, struct slice reference)
{
	const struct part *p = find_part(arg, ANALYZERS, reference);

	return p ? p->id : NULL;
}

static enum rc make_policy(const struct making *m, struct part *p, const json_t *json,
                           struct err *e)
{
	struct policy_lookup look = { .list = find_list_for,
		                      .analyzer = find_analyzer_for,
		                      .arg = m->c };

	return policy_new(&p->made.policy, json, &look, e);
}

enum rc config_compile_rule_set(const struct config *c, const json_t *json, struct rule_set **out,
                                struct err *e)
{
	struct rule_lookup look = { .list = find_list_for,
		                    .archive = find_archive_for,
		                    .analyzer = find_analyzer_for,
		                    .arg = (void *)(uintptr_t)c };
	enum rc rc;

	*out = NULL;
	rc = check_shape(&shape_apply_rule_set, json, "RuleSetId", e);
	return rc == RC_OK ? rule_set_new(out, json, &look, e) : rc;
}

static enum rc make_rule_set(const struct making *m, struct part *p, const json_t *json,
                             struct err *e)
{
	struct rule_lookup look = { .list = find_list_for,
		                    .archive = find_archive_for,
		                    .analyzer = find_analyzer_for,
		                    .arg = m->c };

	return rule_set_new(&p->made.rules, json, &look, e);
}

/* ---- ingress points ---- */

static enum rc read_listen(struct part *part, struct err *e)
{
	struct ingress_point *p = &part->made.point;
	struct slice text = slice_str(p->listen);
	const uint8_t *colon = memrchr(text.at, ':', text.len);
	struct slice host;

	if (!colon || !ip_port_parse(&p->ip, &p->port, text))
		return err_set(e, RC_INVALID, "Listen: must be ADDRESS:PORT");
	host = slice_part(text, 0, (size_t)(colon - text.at));
	if (host.at[0] == '[')
		host = slice_part(host, 1, host.len - 2);
	p->host = part->texts[1] = slice_string(host);
	return RC_OK;
}

static enum rc make_point(const struct making *m, struct part *part, const json_t *json,
                          struct err *e)
{
	struct ingress_point *p = &part->made.point;

	(void)m;
	p->id = part->id;
	p->name = part->name;
	p->listen = part->texts[0] = member_copy(json, "Listen");
	p->rule_set_id = part->texts[2] = member_copy(json, "RuleSetId");
	part->texts[3] = member_copy(json, "TrafficPolicyId");
	p->type = is_text(json_member_text(json, "Type"), "AUTH")   ? INGRESS_AUTH
	          : is_text(json_member_text(json, "Type"), "MTLS") ? INGRESS_MTLS
	                                                            : INGRESS_OPEN;
	p->tls = is_text(json_member_text(json, "TlsPolicy"), "OPTIONAL") ? INGRESS_TLS_OPTIONAL
	                                                                  : INGRESS_TLS_REQUIRED;
	p->tls_wrapped = json_member_bool(json, "TlsWrapped", false);
	p->keep_bare = is_text(json_member_text(json, "BareNewlines"), "KEEP");
	p->odd_local = json_member_bool(json, "AllowOddLocalParts", false);
	p->closed = is_text(json_member_text(json, "Status"), "CLOSED");
	if (is_text(json_member_text(json, "Judge"), "BEFORE_REPLY"))
		p->judge_ms = json_member_int(json, "JudgeSeconds", JUDGE_SECONDS) * 1000;
	if (p->type == INGRESS_MTLS && trust_store_read(&p->trust, json, e) != RC_OK)
		return RC_INVALID;
	return read_listen(part, e);
}

static enum rc link_point(struct config *c, const struct part *part, struct err *e)
{
	struct ingress_point *p = &c->points[c->point_count++].public;
	const struct part *policy = find_id(c, POLICIES, slice_str(part->texts[3]));
	const struct part *rules = find_id(c, RULE_SETS, slice_str(part->texts[2]));

	*p = part->made.point;
	if (!policy)
		return err_set(e, RC_NOTFOUND, "TrafficPolicyId: there is no such traffic policy");
	if (!rules)
		return err_set(e, RC_NOTFOUND, "RuleSetId: there is no such rule set");
	p->policy = policy->made.policy;
	p->rules = rules->made.rules;
	p->rule_set_version = rules->version;
	if (p->type == INGRESS_OPEN && rule_set_sends(p->rules) &&
	    !policy_limits_recipients(p->policy))
		return err_set(e, RC_INVALID,
		               "it is OPEN and its rule set sends or relays, so its traffic policy "
		               "must limit the"
		               " recipients: DefaultAction DENY, and in each ALLOW statement "
		               "RECIPIENT EQUALS"
		               " or ENDS_WITH \"@DOMAIN\", or an address list");
	return RC_OK;
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
		return err_set(e, RC_INVALID, "Passwords: a password of no ingress point");
	at = point->public.password_count++;
	point->passwords = mem_resize(point->passwords, (at + 1) * sizeof(*point->passwords));
	point->passwords[at] =
	        (struct password_hash) { .hash = slice_string(hash),
		                         .version = json_member_int(json, "Version", 0),
		                         .expires_ms = json_member_int(json, "ExpiresMs", 0) };
	point->public.passwords = point->passwords;
	return RC_OK;
}

/* ---- parts ---- */

static void text_free(const char *text)
{
	free((void *)(uintptr_t)text);
}

static void free_list(struct part *p)
{
	address_list_unref(&p->made.list);
}

static void free_policy(struct part *p)
{
	policy_free(&p->made.policy);
}

static void free_rule_set(struct part *p)
{
	rule_set_free(&p->made.rules);
}

static void free_point(struct part *p)
{
	tls_trust_free(&p->made.point.trust);
}

static const struct {
	const char *member;
	const char *id;
	const char *name;
	const struct shape *shape;
	enum rc (*make)(const struct making *m, struct part *p, const json_t *json, struct err *e);
	void (*free)(struct part *p); /* NULL: nothing but texts */
} kinds[CONFIG_KINDS] = {
	{ "Archives", "ArchiveId", "ArchiveName", &shape_apply_archive, make_archive, NULL },
	{ "Relays", "RelayId", "RelayName", &shape_apply_relay, make_relay, NULL },
	{ "AddressLists", "AddressListId", "AddressListName", &shape_apply_address_list, make_list,
	  free_list },
	{ "AddonInstances", "AddonInstanceId", "AddonSubscriptionId", &shape_apply_addon_instance,
	  make_analyzer, NULL },
	{ "TrafficPolicies", "TrafficPolicyId", "TrafficPolicyName", &shape_apply_traffic_policy,
	  make_policy, free_policy },
	{ "RuleSets", "RuleSetId", "RuleSetName", &shape_apply_rule_set, make_rule_set,
	  free_rule_set },
	{ "IngressPoints", "IngressPointId", "IngressPointName", &shape_apply_ingress_point,
	  make_point, free_point },
};

static void part_unref(enum config_kind kind, struct part *p)
{
	if (atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	if (kinds[kind].free)
		kinds[kind].free(p);
	for (size_t i = 0; i < COUNT(p->texts); i++)
		free(p->texts[i]);
	free(p->handed);
	free(p->id);
	free(p->name);
	free(p);
}

/* mm-smtpd judges by policies, not by rules: of a rule set it needs the version. */
static char *handed_text(enum config_kind kind, const json_t *json)
{
	json_t *copy = json_copy((json_t *)(uintptr_t)json);
	char *text;

	if (kind == RULE_SETS)
		json_put(copy, "Rules", json_array());
	if (kind == LISTS)
		(void)json_object_del(copy, "Addresses");
	text = kind < LISTS ? NULL : json_dumps(copy, JSON_COMPACT);
	json_decref(copy);
	MUST(text || kind < LISTS);
	return text;
}

static enum rc part_new(const struct making *m, enum config_kind kind, const json_t *json,
                        struct part **out, struct err *e)
{
	struct part *p;
	enum rc rc = check_shape(kinds[kind].shape, json, kinds[kind].id, e);

	if (rc != RC_OK)
		return rc;
	p = mem_new(sizeof(*p));
	atomic_init(&p->refs, 1);
	p->id = member_copy(json, kinds[kind].id);
	p->name = member_copy(json, kinds[kind].name);
	p->version = json_member_int(json, "Version", 0);
	p->handed = handed_text(kind, json);
	rc = kinds[kind].make(m, p, json, e);
	if (rc == RC_OK)
		*out = p;
	else
		part_unref(kind, p);
	return rc;
}

static enum rc same_part(const struct making *m, enum config_kind kind, const json_t *json,
                         struct part **out, struct err *e)
{
	struct part *p = (struct part *)(uintptr_t)find_id(m->from->base, kind,
	                                                   json_member_text(json, kinds[kind].id));

	if (!p || p->version != json_member_int(json, "Version", 0))
		return err_set(e, RC_NOTFOUND, "it is said to be there already, and isn't");
	(void)atomic_fetch_add(&p->refs, 1);
	*out = p;
	return RC_OK;
}

static enum rc add_kind(const struct making *m, const json_t *snapshot, enum config_kind kind,
                        struct err *e)
{
	const json_t *list = json_member_array(snapshot, kinds[kind].member);
	struct parts *all = &m->c->parts[kind];

	all->at = mem_array(json_array_size(list) + 1, sizeof(*all->at));
	if (kind == POINTS)
		m->c->points = mem_array(json_array_size(list) + 1, sizeof(*m->c->points));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *json = json_array_get(list, i);
		struct slice name = json_member_text(json, kinds[kind].name);
		struct part **at = &all->at[all->count];
		struct err mine = { 0 };
		enum rc rc = json_member_bool(json, CONFIG_SAME, false)
		                     ? same_part(m, kind, json, at, &mine)
		                     : part_new(m, kind, json, at, &mine);

		all->count += rc == RC_OK;
		if (rc == RC_OK && kind == POINTS)
			rc = link_point(m->c, *at, &mine);
		if (rc != RC_OK)
			return err_set(e, rc, "%s \"%.100s\": %s", kinds[kind].member,
			               name.len ? (const char *)name.at : "?", mine.text);
	}
	return RC_OK;
}

static enum rc add_all(const struct making *m, const json_t *snapshot, struct err *e)
{
	json_t *passwords = json_member_array(snapshot, "Passwords");
	enum rc rc = RC_OK;

	for (int k = 0; k < CONFIG_KINDS && rc == RC_OK; k++)
		rc = add_kind(m, snapshot, (enum config_kind)k, e);
	for (size_t i = 0; i < json_array_size(passwords) && rc == RC_OK; i++)
		rc = add_password(m->c, json_array_get(passwords, i), e);
	m->c->passwords = passwords ? json_incref(passwords) : json_array();
	return rc;
}

enum rc config_next(struct config **out, const json_t *snapshot, const struct config_source *from,
                    struct err *e)
{
	struct making m = { .from = from };
	enum rc rc;

	*out = NULL;
	if (!json_is_object(snapshot))
		return err_set(e, RC_INVALID, "a snapshot that is no object");
	m.c = mem_new(sizeof(*m.c));
	atomic_init(&m.c->refs, 1);
	m.c->generation = json_member_int(snapshot, "Generation", 0);
	rc = add_all(&m, snapshot, e);
	if (rc == RC_OK)
		*out = m.c;
	else
		config_unref(&m.c);
	return rc;
}

enum rc config_new(struct config **out, const json_t *snapshot, struct err *e)
{
	struct config_source nothing = { .base = NULL };

	return config_next(out, snapshot, &nothing, e);
}

struct config *config_ref(struct config *c)
{
	(void)atomic_fetch_add(&c->refs, 1);
	return c;
}

static void config_free(struct config *c)
{
	for (size_t i = 0; i < c->point_count; i++) {
		for (size_t k = 0; k < c->points[i].public.password_count; k++)
			text_free(c->points[i].passwords[k].hash);
		free(c->points[i].passwords);
	}
	free(c->points);
	for (int k = CONFIG_KINDS - 1; k >= 0; k--) {
		for (size_t i = 0; i < c->parts[k].count; i++)
			part_unref((enum config_kind)k, c->parts[k].at[i]);
		free(c->parts[k].at);
	}
	json_decref(c->passwords);
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

/* ---- for the next one, and for mm-smtpd ---- */

bool config_has(const struct config *c, const char *plural, struct slice id, int64_t version)
{
	for (int k = 0; c && k < CONFIG_KINDS; k++) {
		const struct part *p;

		if (strcmp(kinds[k].member, plural) != 0)
			continue;
		p = find_id(c, (enum config_kind)k, id);
		return p && (version == 0 || p->version == version);
	}
	return false;
}

static enum rc write_part(enum config_kind kind, const struct part *p, const struct config *had,
                          struct buf *out)
{
	if (!config_has(had, kinds[kind].member, slice_str(p->id), p->version))
		return buf_add(out, slice_str(p->handed));
	return buf_addf(out, "{\"%s\":\"%s\",\"Version\":%lld,\"%s\":true}", kinds[kind].id, p->id,
	                (long long)p->version, CONFIG_SAME);
}

static enum rc write_kind(const struct config *c, enum config_kind kind, const struct config *had,
                          struct buf *out)
{
	enum rc rc = buf_addf(out, ",\"%s\":[", kinds[kind].member);

	for (size_t i = 0; i < c->parts[kind].count && rc == RC_OK; i++) {
		if (i)
			rc = buf_add_byte(out, ',');
		if (rc == RC_OK)
			rc = write_part(kind, c->parts[kind].at[i], had, out);
	}
	return rc == RC_OK ? buf_add_byte(out, ']') : rc;
}

enum rc config_write(const struct config *c, const struct config *had, struct buf *out)
{
	enum rc rc = buf_addf(out, "{\"Generation\":%lld,\"Passwords\":", (long long)c->generation);

	if (rc == RC_OK)
		rc = json_write(out, c->passwords);
	for (int k = LISTS; k < CONFIG_KINDS && rc == RC_OK; k++)
		rc = write_kind(c, (enum config_kind)k, had, out);
	return rc == RC_OK ? buf_add_byte(out, '}') : rc;
}

size_t config_list_count(const struct config *c)
{
	return c->parts[LISTS].count;
}

struct address_list *config_list_at(const struct config *c, size_t i, const char **id)
{
	*id = c->parts[LISTS].at[i]->id;
	return c->parts[LISTS].at[i]->made.list;
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

int64_t archive_end_ms(const struct archive_info *a)
{
	return a->pending ? a->pending_since_ms + ARCHIVE_PENDING_DAYS * MS_PER_DAY : 0;
}

size_t config_relay_count(const struct config *c)
{
	return c->parts[RELAYS].count;
}

const struct relay_info *config_relay_at(const struct config *c, size_t i)
{
	return i < c->parts[RELAYS].count ? &c->parts[RELAYS].at[i]->made.relay : NULL;
}

const struct relay_info *config_relay(const struct config *c, struct slice reference)
{
	const struct part *p = find_part(c, RELAYS, reference);

	return p ? &p->made.relay : NULL;
}

size_t config_archive_count(const struct config *c)
{
	return c->parts[ARCHIVES].count;
}

const struct archive_info *config_archive_at(const struct config *c, size_t i)
{
	return i < c->parts[ARCHIVES].count ? &c->parts[ARCHIVES].at[i]->made.archive : NULL;
}

const struct archive_info *config_archive(const struct config *c, struct slice reference)
{
	const struct part *p = find_part(c, ARCHIVES, reference);

	return p ? &p->made.archive : NULL;
}

const struct archive_info *config_archive_by_number(const struct config *c, uint32_t number)
{
	for (size_t i = 0; i < c->parts[ARCHIVES].count; i++)
		if (c->parts[ARCHIVES].at[i]->made.archive.number == number)
			return &c->parts[ARCHIVES].at[i]->made.archive;
	return NULL;
}

bool config_archive_open(const void *config, uint32_t number)
{
	const struct archive_info *a = config_archive_by_number(config, number);

	return a && !a->pending;
}

const struct rule_set *config_rule_set(const struct config *c, struct slice id, int64_t version)
{
	const struct part *p = find_id(c, RULE_SETS, id);

	return p && p->version == version ? p->made.rules : NULL;
}

struct address_list *config_address_list(const struct config *c, struct slice reference)
{
	const struct part *p = find_part(c, LISTS, reference);

	return p ? p->made.list : NULL;
}

struct slice config_addon(const struct config *c, struct slice instance)
{
	const struct part *p = find_id(c, ANALYZERS, instance);

	return p ? slice_str(p->texts[0]) : slice_of(NULL, 0);
}

size_t config_policy_count(const struct config *c)
{
	return c->parts[POLICIES].count;
}

const struct policy *config_policy_at(const struct config *c, size_t i)
{
	return i < c->parts[POLICIES].count ? c->parts[POLICIES].at[i]->made.policy : NULL;
}

size_t config_scans(const struct config *c, struct slice rule_set, int64_t version,
                    struct scan_instance *out, size_t room)
{
	const struct rule_set *rs = config_rule_set(c, rule_set, version);
	size_t n = 0;

	for (size_t i = 0; n < room && i < c->parts[ANALYZERS].count; i++) {
		const struct part *p = c->parts[ANALYZERS].at[i];

		if (!rs || rule_set_asks(rs, p->id))
			out[n++] =
			        (struct scan_instance) { slice_str(p->id), slice_str(p->texts[0]) };
	}
	return n;
}
