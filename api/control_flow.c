/* api/control_flow.c - resources by the API: made, read, changed, deleted, listed, the same way for
 * each kind */
#include "api/control_flow.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/engine_scans.h"
#include "api/job.h"
#include "api/ops.h"
#include "base/clock.h"
#include "base/codec.h"
#include "ingest/arn.h"
#include "ingest/members.h"
#include "ingest/tags.h"
#include "ingest/tokens.h"
#include "ingest/trust_store.h"

#define PAGE        50
#define MEMBER_PAGE 1000

/* ---- what an operation is about ---- */

static enum resource_kind kind_of(const struct model_operation *op)
{
	switch (op->group) {
	case MODEL_ARCHIVES:
		return RESOURCE_ARCHIVE;
	case MODEL_RULE_SETS:
		return RESOURCE_RULE_SET;
	case MODEL_TRAFFIC_POLICIES:
		return RESOURCE_TRAFFIC_POLICY;
	case MODEL_INGRESS_POINTS:
		return RESOURCE_INGRESS_POINT;
	case MODEL_RELAYS:
		return RESOURCE_RELAY;
	case MODEL_ADDRESS_LISTS:
		return RESOURCE_ADDRESS_LIST;
	case MODEL_ADD_ONS:
		return strstr(op->name, "Instance") ? RESOURCE_ADDON_INSTANCE
		                                    : RESOURCE_ADDON_SUBSCRIPTION;
	case MODEL_TAGS:
	case MODEL_GROUPS:
		break;
	}
	MUST(!"an operation on resources");
	return RESOURCE_KINDS;
}

static struct slice id_of(const struct control_call *c)
{
	return control_text(c, resource_kind_id(kind_of(c->op)));
}

static struct arn_home home(const struct control_call *c)
{
	return (struct arn_home) { c->r->en->api.region, c->r->en->api.account };
}

static enum rc missing(enum resource_kind kind, struct slice id, struct err *e)
{
	return err_set(e, RC_NOTFOUND, "none of the %s has the id \"%.*s\"",
	               resource_kind_plural(kind), (int)MIN_OF(id.len, 100U), (const char *)id.at);
}

/* An archive that isn't the asker's is none. */
static bool sees(const struct control_call *c, enum resource_kind kind, struct slice id)
{
	char *text = slice_string(id);
	bool seen = kind != RESOURCE_ARCHIVE || access_may(c->r->access, ACCESS_READ_ARCHIVE, text);

	free(text);
	return seen;
}

/* ---- reading ---- */

/* Times that are kept as text, inside of what is shown. */
static void times_to_numbers(json_t *value)
{
	const char *name;
	json_t *item;
	void *next;
	int64_t ms;

	json_object_foreach_safe(value, next, name, item)
	{
		struct slice text = json_text(item);

		if (json_is_object(item))
			times_to_numbers(item);
		else if (strstr(name, "Timestamp") && text.at && time_parse(text, &ms))
			json_put_int(value, name, ms);
	}
}

/* A listening point's name for others: HOST, and :PORT where that isn't 25. */
static void put_address(const struct control_call *c, json_t *point)
{
	struct slice listen = json_member_text(point, "Listen");
	struct ip ip;
	uint16_t port;
	char text[300];
	const char *host = c->r->en->api.hostname;
	json_t *network = json_pack("{s:{s:s}}", "PublicNetworkConfiguration", "IpType", "IPV4");

	json_put(point, "NetworkConfiguration", network);
	if (!ip_port_parse(&ip, &port, listen))
		return;
	(void)snprintf(text, sizeof(text), port == 25 ? "%s" : "%s:%u", host, (unsigned)port);
	json_put_text(point, "ARecord", slice_str(text));
}

/* An instance shows the name of what it is one of. */
static void put_addon_name(struct db *db, json_t *instance)
{
	struct slice id = json_member_text(instance, "AddonSubscriptionId");
	struct err ignored;
	json_t *subscription;

	if (resources_get(db, RESOURCE_ADDON_SUBSCRIPTION, id, &subscription, &ignored) != RC_OK)
		return;
	json_put(instance, "AddonName", json_incref(json_object_get(subscription, "AddonName")));
	json_decref(subscription);
}

/* What is stored becomes what the model shows: all names that it has for the two times, and the
 * ARN. The encoder leaves out what the operation's shape hasn't. */
static void dress(const struct control_call *c, struct db *db, enum resource_kind kind, json_t *o)
{
	static const char *const created[] = { "CreatedTimestamp", "CreatedDate" };
	static const char *const updated[] = { "LastUpdatedTimestamp", "LastModificationDate",
		                               "LastModifiedTimestamp" };
	const struct arn_home h = home(c);
	const char *id = json_string_value(json_object_get(o, resource_kind_id(kind)));
	char arn[ARN_ROOM], member[64];

	times_to_numbers(o);
	for (size_t i = 1; i < COUNT(created); i++)
		control_put_time(o, created[i], json_member_int(o, created[0], 0));
	for (size_t i = 1; i < COUNT(updated); i++)
		control_put_time(o, updated[i], json_member_int(o, updated[0], 0));
	arn_write(arn, &h, kind, id);
	(void)snprintf(member, sizeof(member), "%.*sArn",
	               (int)(strlen(resource_kind_id(kind)) - strlen("Id")),
	               resource_kind_id(kind));
	json_put_text(o, member, slice_str(arn));
	if (kind == RESOURCE_ARCHIVE && !json_object_get(o, "ArchiveState"))
		json_put_text(o, "ArchiveState", slice_str("ACTIVE"));
	if (kind == RESOURCE_INGRESS_POINT)
		put_address(c, o);
	if (kind == RESOURCE_ADDON_INSTANCE)
		put_addon_name(db, o);
}

/* By its id alone: a name or an ARN is not an id. */
static enum rc find(const struct control_call *c, struct db *db, enum resource_kind kind,
                    struct slice id, json_t **out, struct err *e)
{
	enum rc rc = sees(c, kind, id) ? resources_get(db, kind, id, out, e) : RC_NOTFOUND;

	if (rc == RC_OK && !slice_equal(id, json_member_text(*out, resource_kind_id(kind)))) {
		json_decref(*out);
		rc = RC_NOTFOUND;
	}
	if (rc == RC_OK)
		return rc;
	*out = NULL;
	return rc == RC_NOTFOUND ? missing(kind, id, e) : rc;
}

/* Is the resource there whose id the input has? It is looked for before anything is judged, so that
 * a name is never taken for an id. */
static enum rc find_of(struct control_call *c, enum resource_kind kind, json_t **out, struct err *e)
{
	struct db *db;
	enum rc rc = engine_reader(c->r->en, &db, e);

	*out = NULL;
	if (rc == RC_OK)
		rc = find(c, db, kind, control_text(c, resource_kind_id(kind)), out, e);
	engine_reader_end(c->r->en, &db);
	return rc;
}

static enum rc exists(struct control_call *c, struct err *e)
{
	json_t *found;
	enum rc rc = find_of(c, kind_of(c->op), &found, e);

	json_decref(found);
	return rc;
}

/* The same of another resource that the input may refer to. */
static enum rc check_reference(struct control_call *c, enum resource_kind kind, struct err *e)
{
	const char *member = resource_kind_id(kind);
	struct err why = { 0 };
	json_t *found = NULL;
	enum rc rc = RC_OK;

	if (control_text(c, member).at)
		rc = find_of(c, kind, &found, &why);
	json_decref(found);
	return rc == RC_OK ? rc : err_set(e, rc, "%s: %s", member, why.text);
}

/* What it has in the clear only for who asks for it. */
static void put_trust_store(const struct control_call *c, json_t *point)
{
	json_t *store = trust_store_of(point);
	bool shown =
	        slice_equal(control_text(c, "IncludeTrustStoreContents"), slice_str("INCLUDE"));
	json_t *tls;

	if (!store)
		return;
	tls = json_object();
	if (shown)
		json_put(tls, "TrustStore", json_incref(store));
	json_put(point, "IngressPointAuthConfiguration",
	         json_pack("{s:o}", "TlsAuthConfiguration", tls));
}

enum rc control_get(struct control_call *c, struct err *e)
{
	enum resource_kind kind = kind_of(c->op);
	struct db *db;
	enum rc rc = engine_reader(c->r->en, &db, e);

	if (rc == RC_OK)
		rc = find(c, db, kind, id_of(c), &c->output, e);
	if (rc == RC_OK && kind == RESOURCE_INGRESS_POINT)
		put_trust_store(c, c->output);
	if (rc == RC_OK)
		dress(c, db, kind, c->output);
	engine_reader_end(c->r->en, &db);
	return rc;
}

static size_t page_size(const struct control_call *c, size_t none)
{
	int64_t n = json_member_int(c->input, "PageSize", 0);

	return n > 0 ? (size_t)MIN_OF(n, (int64_t)MEMBER_PAGE) : none;
}

static void put_page(struct control_call *c, json_t *list)
{
	c->output = json_object();
	json_put(c->output, c->op->result, list);
}

static bool shows_archive(void *arg, struct slice id)
{
	return sees(arg, RESOURCE_ARCHIVE, id);
}

static enum rc list_resources(struct control_call *c, struct db *db, json_t **list,
                              struct buf *next, struct err *e)
{
	const struct resource_filter seen = { shows_archive, c };
	enum resource_kind kind = kind_of(c->op);
	char after[CURSOR_ROOM];
	enum rc rc = control_next(c, c->op->name, after, e);

	if (rc != RC_OK)
		return rc;
	return resources_list(db, kind, kind == RESOURCE_ARCHIVE ? &seen : NULL, slice_str(after),
	                      page_size(c, PAGE), list, next, e);
}

/* Neither the items nor the cuts of the pages say anything of what the asker doesn't see. */
enum rc control_list(struct control_call *c, struct err *e)
{
	struct buf next;
	struct db *db;
	json_t *list = NULL;
	enum rc rc = engine_reader(c->r->en, &db, e);

	buf_init(&next, 2048);
	if (rc == RC_OK)
		rc = list_resources(c, db, &list, &next, e);
	if (rc == RC_OK) {
		for (size_t i = 0; i < json_array_size(list); i++)
			dress(c, db, kind_of(c->op), json_array_get(list, i));
		put_page(c, list);
		control_put_next(c, c->op->name, buf_slice(&next));
	}
	engine_reader_end(c->r->en, &db);
	buf_free(&next);
	return rc;
}

/* ---- one change ---- */

struct change {
	struct control_call *c;
	enum resource_kind kind;
	struct apply_result a;
	struct token token;
	json_t *item; /* what is made or changed, as in a file */
	bool prepared;
	enum rc (*run)(struct change *x, struct err *e);
};

static enum rc account_change(void *arg, const struct apply_result *a, struct config *config,
                              struct err *e)
{
	struct change *x = arg;
	struct request *r = x->c->r;
	enum rc rc = config ? engine_check_keys(r->en, config, e) : RC_OK;
	json_t *detail;

	if (rc == RC_OK && config)
		rc = engine_scans_check(r->en->scans, r->en, config, e);
	if (rc == RC_OK && r->en->prepare && config)
		rc = r->en->prepare(r->en->changed_arg, config, e);
	if (rc != RC_OK)
		return rc;
	x->prepared = r->en->prepare && config;
	detail = json_object();
	json_put_text(detail, "operation", slice_str(x->c->op->name));
	json_put(detail, "changes", request_changes(a));
	return request_account(r, "apply", detail, e);
}

/* Nothing is answered before new connections see the change. */
static enum rc carry_out(struct change *x, struct err *e)
{
	struct engine *en = x->c->r->en;
	struct err ignored;
	enum rc rc;

	x->a.before_commit = account_change;
	x->a.arg = x;
	x->a.limits = en->api.open ? NULL : &resource_limits_aws;
	(void)pthread_mutex_lock(&en->writing);
	x->a.base = en->config;
	rc = x->run(x, e);
	if (rc == RC_OK && x->a.made)
		rc = engine_adopt(en, x->a.made, e);
	(void)pthread_mutex_unlock(&en->writing);
	if (rc == RC_OK && x->a.created + x->a.updated + x->a.deleted && en->changed)
		return en->changed(en->changed_arg, e);
	if (rc != RC_OK && x->prepared && en->changed)
		(void)!en->changed(en->changed_arg, &ignored);
	return rc;
}

static void change_begin(struct change *x, struct control_call *c,
                         enum rc (*run)(struct change *x, struct err *e))
{
	*x = (struct change) { .c = c, .kind = kind_of(c->op), .run = run };
	x->item = json_copy((json_t *)(uintptr_t)c->input);
	(void)json_object_del(x->item, "ClientToken");
	(void)json_object_del(x->item, resource_kind_id(x->kind));
}

static void change_end(struct change *x)
{
	apply_result_free(&x->a);
	json_decref(x->item);
}

static enum rc make(struct change *x, struct err *e)
{
	return resources_create(x->c->r->en->control, x->kind, x->item, &x->a, e);
}

/* `parameters`: what the client sent but for its token. */
static enum rc create(struct change *x, const json_t *parameters, struct err *e)
{
	struct control_call *c = x->c;
	enum rc rc;

	x->token = (struct token) { .operation = slice_str(c->op->name),
		                    .principal =
		                            slice_str(c->r->principal ? c->r->principal->name : ""),
		                    .text = control_text(c, "ClientToken"),
		                    .parameters = parameters };
	x->a.token = x->token.text.len ? &x->token : NULL;
	rc = carry_out(x, e);
	if (rc != RC_OK)
		return rc;
	c->output = json_object();
	json_put_text(c->output, resource_kind_id(x->kind), slice_str(x->a.changes[0].id));
	return RC_OK;
}

enum rc control_create(struct control_call *c, struct err *e)
{
	struct change x;
	json_t *parameters;
	enum rc rc = kind_of(c->op) == RESOURCE_ADDON_INSTANCE
	                     ? check_reference(c, RESOURCE_ADDON_SUBSCRIPTION, e)
	                     : RC_OK;

	if (rc != RC_OK)
		return rc;
	change_begin(&x, c, make);
	parameters = json_deep_copy(x.item);
	rc = create(&x, parameters, e);
	json_decref(parameters);
	change_end(&x);
	return rc;
}

static enum rc alter(struct change *x, struct err *e)
{
	return resources_update(x->c->r->en->control, x->kind, id_of(x->c), x->item, &x->a, e);
}

enum rc control_update(struct control_call *c, struct err *e)
{
	struct change x;
	enum rc rc = exists(c, e);

	if (rc != RC_OK)
		return rc;
	change_begin(&x, c, alter);
	rc = carry_out(&x, e);
	change_end(&x);
	return rc;
}

/* What searches or exports work on isn't taken away from under them. */
static enum rc check_jobs(const struct change *x, struct err *e)
{
	struct engine *en = x->c->r->en;
	const struct archive_info *a = config_archive(en->config, id_of(x->c));
	uint64_t searches = 0, exports = 0;
	enum rc rc = RC_OK;

	if (!a)
		return RC_OK;
	rc = job_unended(en->control, JOB_SEARCH, a->number, &searches, e);
	if (rc == RC_OK)
		rc = job_unended(en->control, JOB_EXPORT, a->number, &exports, e);
	if (rc == RC_OK && searches + exports)
		rc = err_set(e, RC_EXISTS, "a search or an export of this archive is under way");
	return rc;
}

static enum rc destroy(struct change *x, struct err *e)
{
	enum rc rc = x->kind == RESOURCE_ARCHIVE ? check_jobs(x, e) : RC_OK;

	return rc != RC_OK ? rc
	                   : resources_delete(x->c->r->en->control, x->kind, id_of(x->c), &x->a, e);
}

/* What isn't there, or goes just now, is deleted already, but for an ingress point (the
 * specification's section 9). */
enum rc control_delete(struct control_call *c, struct err *e)
{
	struct change x;
	enum rc rc = exists(c, e);

	if (rc == RC_OK) {
		change_begin(&x, c, destroy);
		rc = carry_out(&x, e);
		change_end(&x);
	}
	return rc == RC_NOTFOUND && kind_of(c->op) != RESOURCE_INGRESS_POINT ? RC_OK : rc;
}

/* ---- ingress points ---- */

static bool is_used(struct config *c, const struct ip *ip, uint16_t port)
{
	for (size_t i = 0; i < config_ingress_count(c); i++) {
		const struct ingress_point *p = config_ingress_at(c, i);

		if (p->port == port && ip_equal(&p->ip, ip))
			return true;
	}
	return false;
}

static enum rc take_network(struct change *x, struct err *e)
{
	const json_t *network = json_object_get(x->item, "NetworkConfiguration");
	const json_t *open = json_member_object(network, "PublicNetworkConfiguration");
	struct slice type = json_member_text(open, "IpType");
	enum rc rc = RC_OK;

	if (network && !open)
		rc = err_set(e, RC_INVALID,
		             "NetworkConfiguration: there are no VPC endpoints here");
	else if (network && !slice_equal(type, slice_str("IPV4")))
		rc = err_set(e, RC_INVALID,
		             "NetworkConfiguration: an ingress point listens on one address, of "
		             "api.ingress_pool");
	(void)json_object_del(x->item, "NetworkConfiguration");
	return rc;
}

static void put_listen(struct change *x, unsigned port)
{
	const struct api_options *o = &x->c->r->en->api;
	char address[IP_TEXT], listen[IP_TEXT + 16];

	ip_format(address, &o->pool);
	(void)snprintf(listen, sizeof(listen), o->pool.family == 6 ? "[%s]:%u" : "%s:%u", address,
	               port);
	json_put_text(x->item, "Listen", slice_str(listen));
}

/* Was its token used before? Then nothing is made, and no port is needed. */
static bool is_again(const struct change *x)
{
	char id[TOKEN_ID_ROOM];
	struct err ignored;

	return x->a.token && tokens_find(x->c->r->en->control, x->a.token, clock_now_ms(), id,
	                                 &ignored) != RC_NOTFOUND;
}

/* The first port of the pool that nobody has: in the configuration, or, as the front finds out, on
 * this machine. */
static enum rc make_listening(struct change *x, struct err *e)
{
	const struct api_options *o = &x->c->r->en->api;
	bool again = is_again(x);

	if (!o->pool.family)
		return err_set(e, RC_INVALID, "no api.ingress_pool is configured");
	for (unsigned port = o->pool_low; port <= o->pool_high; port++) {
		enum rc rc;

		if (!again && is_used(x->c->r->en->config, &o->pool, (uint16_t)port))
			continue;
		put_listen(x, port);
		rc = make(x, e);
		if (rc == RC_OK || e->sys != EADDRINUSE)
			return rc;
	}
	return err_set(e, RC_LIMIT, "no port of api.ingress_pool is free");
}

/* What the service asks of a point with passwords. `before` is NULL: it is made. */
static enum rc check_login(const json_t *given, const json_t *before, struct err *e)
{
	struct slice type = json_member_text(before ? before : given, "Type");

	if (!slice_equal(type, slice_str("AUTH")))
		return RC_OK;
	if (slice_equal(json_member_text(given, "TlsPolicy"), slice_str("OPTIONAL")))
		return err_set(e, RC_INVALID,
		               "TlsPolicy: OPTIONAL is for ingress points of type OPEN");
	if (!before && !json_object_get(given, "IngressPointConfiguration"))
		return err_set(e, RC_INVALID,
		               "IngressPointConfiguration: an ingress point of type AUTH needs a "
		               "password");
	return RC_OK;
}

/* A password is kept as a slow hash alone, also in what a token is compared by: so its salt is the
 * token. */
static enum rc hide_password(const struct control_call *c, json_t *parameters, struct err *e)
{
	json_t *given = json_object_get(parameters, "IngressPointConfiguration");
	struct slice password = json_member_text(given, "SmtpPassword");
	struct slice token = control_text(c, "ClientToken");
	uint8_t salt[crypto_pwhash_SALTBYTES], hash[32];
	char text[2 * sizeof(hash) + 1];

	if (!password.at || !token.at)
		return RC_OK;
	if (sodium_init() < 0 ||
	    crypto_generichash(salt, sizeof(salt), token.at, token.len, NULL, 0) != 0 ||
	    crypto_pwhash(hash, sizeof(hash), (const char *)password.at, password.len, salt,
	                  crypto_pwhash_OPSLIMIT_INTERACTIVE, crypto_pwhash_MEMLIMIT_INTERACTIVE,
	                  crypto_pwhash_ALG_ARGON2ID13) != 0)
		return err_set(e, RC_CRYPTO, "argon2id: not enough memory to hash a password");
	hex_encode(text, hash, sizeof(hash));
	json_put_text(given, "SmtpPassword", slice_str(text));
	return RC_OK;
}

static enum rc check_references(struct control_call *c, struct err *e)
{
	enum rc rc = check_reference(c, RESOURCE_RULE_SET, e);

	return rc == RC_OK ? check_reference(c, RESOURCE_TRAFFIC_POLICY, e) : rc;
}

enum rc control_create_point(struct control_call *c, struct err *e)
{
	struct change x;
	json_t *parameters;
	enum rc rc = check_login(c->input, NULL, e);

	if (rc == RC_OK)
		rc = check_references(c, e);
	if (rc != RC_OK)
		return rc;
	change_begin(&x, c, make_listening);
	parameters = json_deep_copy(x.item);
	rc = take_network(&x, e);
	if (rc == RC_OK)
		rc = hide_password(c, parameters, e);
	if (rc == RC_OK)
		rc = create(&x, parameters, e);
	json_decref(parameters);
	change_end(&x);
	return rc;
}

static enum rc check_point_update(struct control_call *c, struct err *e)
{
	json_t *before;
	enum rc rc = find_of(c, RESOURCE_INGRESS_POINT, &before, e);

	if (rc == RC_OK)
		rc = check_login(c->input, before, e);
	if (rc == RC_OK)
		rc = check_references(c, e);
	json_decref(before);
	return rc;
}

enum rc control_update_point(struct control_call *c, struct err *e)
{
	struct change x;
	json_t *status;
	enum rc rc = check_point_update(c, e);

	if (rc != RC_OK)
		return rc;
	change_begin(&x, c, alter);
	status = json_object_get(x.item, "StatusToUpdate");
	if (status)
		json_put(x.item, "Status", json_incref(status));
	(void)json_object_del(x.item, "StatusToUpdate");
	rc = carry_out(&x, e);
	change_end(&x);
	return rc;
}

/* ---- members of address lists ---- */

static enum rc add_member(struct change *x, struct err *e)
{
	json_t *addresses = json_array();
	enum rc rc;

	json_push(addresses, json_incref(json_object_get(x->c->input, "Address")));
	rc = resources_register(x->c->r->en->control, id_of(x->c), addresses, &x->a, e);
	json_decref(addresses);
	return rc;
}

static enum rc remove_member(struct change *x, struct err *e)
{
	return resources_deregister(x->c->r->en->control, id_of(x->c),
	                            control_text(x->c, "Address"), &x->a, e);
}

static enum rc change_members(struct control_call *c,
                              enum rc (*run)(struct change *x, struct err *e), struct err *e)
{
	struct change x;
	enum rc rc = exists(c, e);

	if (rc != RC_OK)
		return rc;
	change_begin(&x, c, run);
	rc = carry_out(&x, e);
	change_end(&x);
	return rc;
}

enum rc control_register_member(struct control_call *c, struct err *e)
{
	return change_members(c, add_member, e);
}

enum rc control_deregister_member(struct control_call *c, struct err *e)
{
	return change_members(c, remove_member, e);
}

static void dress_member(json_t *o)
{
	control_put_time(o, "CreatedTimestamp", json_member_int(o, "CreatedMs", 0));
}

enum rc control_get_member(struct control_call *c, struct err *e)
{
	struct db *db;
	enum rc rc = exists(c, e);

	if (rc != RC_OK)
		return rc;
	rc = engine_reader(c->r->en, &db, e);
	if (rc == RC_OK)
		rc = members_get(db, id_of(c), control_text(c, "Address"), &c->output, e);
	if (rc == RC_OK)
		dress_member(c->output);
	else if (rc == RC_NOTFOUND)
		rc = err_set(e, RC_NOTFOUND, "the list has no such member");
	engine_reader_end(c->r->en, &db);
	return rc;
}

enum rc control_list_members(struct control_call *c, struct err *e)
{
	const json_t *filter = json_member_object(c->input, "Filter");
	struct buf next;
	struct db *db;
	json_t *list = NULL;
	enum rc rc = exists(c, e);

	if (rc != RC_OK)
		return rc;
	buf_init(&next, 2048);
	rc = engine_reader(c->r->en, &db, e);
	if (rc == RC_OK)
		rc = members_page(db, id_of(c), json_member_text(filter, "AddressPrefix"),
		                  control_text(c, "NextToken"), page_size(c, MEMBER_PAGE), &list,
		                  &next, e);
	if (rc == RC_OK) {
		for (size_t i = 0; i < json_array_size(list); i++)
			dress_member(json_array_get(list, i));
		put_page(c, list);
		if (next.len)
			json_put_text(c->output, "NextToken", buf_slice(&next));
	}
	engine_reader_end(c->r->en, &db);
	buf_free(&next);
	return rc;
}

/* ---- tags ---- */

/* What the ARN names, of a resource that is there. */
static enum rc find_tagged(const struct control_call *c, struct db *db, enum resource_kind *kind,
                           char id[RESOURCE_ID_ROOM], struct err *e)
{
	const struct arn_home h = home(c);
	struct slice arn = control_text(c, "ResourceArn");
	json_t *found = NULL;
	enum rc rc = arn_read(arn, &h, kind, id, e);

	if (rc == RC_OK)
		rc = find(c, db, *kind, slice_str(id), &found, e);
	if (rc == RC_NOTFOUND)
		rc = err_set(e, RC_NOTFOUND, "there is no resource %.*s",
		             (int)MIN_OF(arn.len, 200U), (const char *)arn.at);
	json_decref(found);
	return rc;
}

static enum rc run_tags(struct change *x, struct err *e)
{
	struct db *control = x->c->r->en->control;
	const json_t *tags = json_member_array(x->c->input, "Tags");
	const json_t *keys = json_member_array(x->c->input, "TagKeys");
	char id[RESOURCE_ID_ROOM];
	enum rc rc = find_tagged(x->c, control, &x->kind, id, e);

	if (rc != RC_OK)
		return rc;
	return tags ? resources_tag(control, x->kind, slice_str(id), tags, &x->a, e)
	            : resources_untag(control, x->kind, slice_str(id), keys, &x->a, e);
}

enum rc control_tag(struct control_call *c, struct err *e)
{
	struct change x = { .c = c, .run = run_tags };
	enum rc rc = carry_out(&x, e);

	change_end(&x);
	return rc;
}

enum rc control_list_tags(struct control_call *c, struct err *e)
{
	char id[RESOURCE_ID_ROOM];
	enum resource_kind kind;
	json_t *list = NULL;
	struct db *db;
	enum rc rc = engine_reader(c->r->en, &db, e);

	if (rc == RC_OK)
		rc = find_tagged(c, db, &kind, id, e);
	if (rc == RC_OK)
		rc = tags_list(db, slice_str(id), &list, e);
	if (rc == RC_OK) {
		c->output = json_object();
		json_put(c->output, "Tags", list);
	}
	engine_reader_end(c->r->en, &db);
	return rc;
}
