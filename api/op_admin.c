/* api/op_admin.c - status, resources, passwords, dispositions */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/engine_scans.h"
#include "api/ops.h"
#include "base/codec.h"
#include "ingest/disposition.h"
#include "ingest/resources.h"
#include "retention/erase.h"
#include "store/crypt.h"

static void put_count(json_t *o, const char *name, uint64_t n)
{
	json_put_int(o, name, (int64_t)n);
}

static void put_spool(struct engine *en, json_t *o)
{
	struct spool_totals spool;

	spool_backlog(en->spool, &spool);
	put_count(o, "spooled", spool.messages);
	put_count(o, "spool_bytes", spool.disk_bytes);
	put_count(o, "spool_damaged", spool.damaged);
}

static enum rc put_dispositions(struct db *db, json_t *o, struct err *e)
{
	uint64_t counts[DISPOSITION_KINDS];
	enum rc rc = disposition_count(db, counts, e);

	put_count(o, "failed", counts[DISPOSITION_FAILED] + counts[DISPOSITION_LOST]);
	put_count(o, "unmatched", counts[DISPOSITION_UNMATCHED]);
	put_count(o, "dropped", counts[DISPOSITION_DROPPED]);
	put_count(o, "refused", counts[DISPOSITION_REFUSED]);
	put_count(o, "no_action", counts[DISPOSITION_NO_ACTION]);
	put_count(o, "delivered", counts[DISPOSITION_DELIVERED]);
	put_count(o, "bounced", counts[DISPOSITION_BOUNCED]);
	return rc;
}

/* The sums of what one may see; number 0 is all. */
struct counting {
	struct index_totals index;
	struct store_totals store;
	uint64_t erased;
};

static enum rc count(struct counting *n, struct engine *en, struct db *db, uint32_t archive,
                     struct err *e)
{
	struct index_totals index;
	struct store_totals store;
	uint64_t erased = 0;
	enum rc rc = index_count(en->index, archive, &index, e);

	if (rc == RC_OK)
		rc = erased_count(db, archive, &erased, e);
	if (rc != RC_OK)
		return rc;
	store_count(en->store, archive, &store);
	n->index.messages += index.messages;
	n->index.not_indexed += index.not_indexed;
	n->index.problems += index.problems;
	n->index.shards += index.shards;
	n->index.sealed += index.sealed;
	n->index.disk_bytes += index.disk_bytes;
	n->store.segments += store.segments;
	n->store.disk_bytes += store.disk_bytes;
	n->store.plain_bytes += store.plain_bytes;
	n->erased += erased;
	return RC_OK;
}

static enum rc count_seen(struct counting *n, struct request *r, struct db *db, struct err *e)
{
	struct config *c = engine_config(r->en);
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < config_archive_count(c); i++)
		if (request_sees(r, config_archive_at(c, i)))
			rc = count(n, r->en, db, config_archive_at(c, i)->number, e);
	config_unref(&c);
	return rc;
}

static void put_archives(const struct counting *n, json_t *o)
{
	const struct index_totals index = n->index;
	const struct store_totals store = n->store;

	put_count(o, "archived", index.messages);
	put_count(o, "not_indexed", index.not_indexed);
	put_count(o, "parse_problems", index.problems);
	put_count(o, "shards", index.shards);
	put_count(o, "sealed_shards", index.sealed);
	put_count(o, "index_bytes", index.disk_bytes);
	put_count(o, "segments", store.segments);
	put_count(o, "store_bytes", store.disk_bytes);
	put_count(o, "message_bytes", store.plain_bytes);
	put_count(o, "erased", n->erased);
}

static void put_audit(struct engine *en, json_t *o)
{
	struct audit_head head;
	char when[25];
	char hash[65];

	audit_head(en->audit, &head);
	time_format(when, head.when_ms);
	hex_encode(hash, head.hash, sizeof(head.hash));
	put_count(o, "audit_entries", head.entries);
	json_put_text(o, "audit_head", slice_str(hash));
	json_put_text(o, "audit_time", slice_str(when));
}

/* Since this mmd was started. */
static void put_logs(const struct engine *en, json_t *o)
{
	struct logs_totals n;

	if (!en->logs)
		return;
	logs_count(en->logs, &n);
	put_count(o, "log_records", n.written);
	put_count(o, "log_left_out", n.left_out);
	put_count(o, "log_lost", n.lost);
}

/* Scanners that are configured, by add-on. */
static void put_scans(struct request *r)
{
	struct scans *s = engine_scans_of(r->en->scans);
	json_t *addons = s ? scans_status(s) : NULL;

	if (json_object_size(addons))
		json_put(r->result, "addons", json_incref(addons));
	json_decref(addons);
}

/* What belongs to no archive: the spool, mail that was not archived, what fails. */
static enum rc put_flow(struct request *r, struct db *db, struct err *e)
{
	const struct err *failure = pipeline_failure(r->en->pipeline);
	enum rc rc = put_dispositions(db, r->result, e);

	if (strcmp(r->en->program, "mmd") == 0)
		put_count(r->result, "pid", (uint64_t)getpid());
	put_logs(r->en, r->result);
	if (failure)
		json_put_text(r->result, "failure", slice_str(failure->text));
	put_scans(r);
	return rc == RC_OK ? request_queue_counts(r, e) : rc;
}

enum rc op_status(struct request *r, struct err *e)
{
	bool flow = access_may(r->access, ACCESS_READ_CONFIG, NULL);
	struct counting n = { .erased = 0 };
	struct db *db;
	enum rc rc = engine_control(r->en, &db, e);

	if (rc != RC_OK)
		return rc;
	if (r->en->hear)
		r->en->hear(r->en->changed_arg);
	/* The spool first: what leaves it between two looks is counted as archived, not missing. */
	r->result = json_object();
	if (flow)
		put_spool(r->en, r->result);
	rc = request_sees_all(r) ? count(&n, r->en, db, 0, e) : count_seen(&n, r, db, e);
	if (rc == RC_OK)
		put_archives(&n, r->result);
	if (rc == RC_OK && flow)
		rc = put_flow(r, db, e);
	put_audit(r->en, r->result);
	db_close(&db);
	return rc;
}

/* ---- resources ---- */

json_t *request_changes(const struct apply_result *a)
{
	json_t *list = json_array();

	for (size_t i = 0; i < a->count; i++) {
		const struct apply_change *c = &a->changes[i];
		json_t *one;

		if (c->what == APPLY_UNCHANGED)
			continue;
		one = json_object();
		json_put_text(one, "kind", slice_str(resource_kind_plural(c->kind)));
		json_put_text(one, "name", slice_str(c->name));
		json_put_text(one, "id", slice_str(c->id));
		json_put_int(one, "version", c->version);
		json_put_text(one, "what",
		              slice_str(c->what == APPLY_CREATED   ? "created"
		                        : c->what == APPLY_DELETED ? "deleted"
		                                                   : "updated"));
		if (c->members_added)
			json_put_int(one, "members_added", c->members_added);
		if (c->members_removed)
			json_put_int(one, "members_removed", c->members_removed);
		json_push(list, one);
	}
	return list;
}

struct applying {
	struct request *r;
	bool prepared; /* the front holds something for it */
};

static enum rc account_apply(void *arg, const struct apply_result *a, struct config *c,
                             struct err *e)
{
	struct applying *p = arg;
	struct engine *en = p->r->en;
	json_t *detail;
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < a->count; i++)
		if (a->changes[i].kind == RESOURCE_ARCHIVE && a->changes[i].what != APPLY_UNCHANGED)
			rc = request_need(p->r, ACCESS_MANAGE_ARCHIVE, e);
	if (rc == RC_OK && c)
		rc = engine_check_keys(en, c, e);
	if (rc == RC_OK && c)
		rc = engine_scans_check(en->scans, en, c, e);
	if (rc == RC_OK && en->prepare && c)
		rc = en->prepare(en->changed_arg, c, e);
	if (rc != RC_OK)
		return rc;
	p->prepared = en->prepare && c;
	detail = json_object();
	json_put(detail, "changes", request_changes(a));
	return request_account(p->r, "apply", detail, e);
}

static json_t *describe_apply(const struct apply_result *a)
{
	json_t *o = json_object();

	json_put(o, "changes", request_changes(a));
	put_count(o, "created", a->created);
	put_count(o, "updated", a->updated);
	put_count(o, "unchanged", a->unchanged);
	return o;
}

enum rc op_apply(struct request *r, struct err *e)
{
	struct applying p = { .r = r };
	struct apply_result a = { .before_commit = account_apply,
		                  .arg = &p,
		                  .open = r->en->api.open };
	struct err ignored;
	struct slice text;
	enum rc rc = request_text(r, "text", &text, e);

	if (rc != RC_OK)
		return rc;
	(void)pthread_mutex_lock(&r->en->writing);
	a.base = r->en->config;
	rc = resources_apply(r->en->control, text, &a, e);
	if (rc == RC_OK && a.made)
		rc = engine_adopt(r->en, a.made, e);
	(void)pthread_mutex_unlock(&r->en->writing);
	if (rc == RC_OK) {
		r->result = describe_apply(&a);
		if (r->en->changed)
			rc = r->en->changed(r->en->changed_arg, e);
	} else if (p.prepared) {
		(void)!r->en->changed(r->en->changed_arg, &ignored);
	}
	apply_result_free(&a);
	return rc;
}

static bool is_called(const json_t *archive, const char *name)
{
	return slice_equal(slice_str(name), json_member_text(archive, "ArchiveId")) ||
	       slice_equal(slice_str(name), json_member_text(archive, "ArchiveName"));
}

/* Numbers count all archives that there ever were, so they go as well. */
static void keep_seen(const struct request *r, json_t *archives, const char *name)
{
	for (size_t i = json_array_size(archives); i-- > 0;) {
		json_t *one = json_array_get(archives, i);
		const char *id = json_string_value(json_object_get(one, "ArchiveId"));

		(void)json_object_del(one, "ArchiveNumber");
		if (!id || !access_may(r->access, ACCESS_READ_ARCHIVE, id) ||
		    (name && !is_called(one, name)))
			(void)json_array_remove(archives, i);
	}
}

/* For who doesn't see how mail flows: archives, of those that are his. Another one and one that
 * isn't there are the same list without it. */
static enum rc show_archives(struct request *r, struct db *db, const char *kind, const char *name,
                             struct err *e)
{
	enum resource_kind only = RESOURCE_ARCHIVE;
	json_t *archives;
	enum rc rc;

	if (kind && resource_kind_parse(kind, &only) && only != RESOURCE_ARCHIVE)
		return request_need(r, ACCESS_READ_CONFIG, e);
	rc = resources_show(db, kind ? kind : "Archives", NULL, &r->result, e);
	if (rc != RC_OK)
		return rc;
	archives = json_member_array(r->result, "Archives");
	keep_seen(r, archives, name);
	if (name && json_array_size(archives) == 0)
		return err_set(e, RC_NOTFOUND, "Archives: none is named or has the id \"%s\"",
		               name);
	return RC_OK;
}

enum rc op_show(struct request *r, struct err *e)
{
	const char *kind = json_string_value(json_object_get(r->args, "kind"));
	const char *name = json_string_value(json_object_get(r->args, "name"));
	struct db *db;
	enum rc rc = engine_control(r->en, &db, e);

	if (rc == RC_OK && access_may(r->access, ACCESS_READ_CONFIG, NULL))
		rc = resources_show(db, kind, name, &r->result, e);
	else if (rc == RC_OK)
		rc = show_archives(r, db, kind, name, e);
	db_close(&db);
	return rc;
}

enum rc op_dump(struct request *r, struct err *e)
{
	struct db *db;
	enum rc rc = engine_control(r->en, &db, e);

	if (rc == RC_OK)
		rc = resources_dump(db, &r->result, e);
	db_close(&db);
	return rc;
}

enum rc op_passwd(struct request *r, struct err *e)
{
	struct slice name;
	struct slice password;
	json_t *detail;
	int64_t version = 0;
	enum rc rc = request_text(r, "name", &name, e);

	if (rc == RC_OK)
		rc = request_text(r, "password", &password, e);
	if (rc != RC_OK)
		return rc;
	detail = json_object();
	json_put_text(detail, "ingress_point", name);
	(void)pthread_mutex_lock(&r->en->writing);
	rc = resources_check_password(r->en->control, name, password, e);
	if (rc == RC_OK)
		rc = request_account(r, "passwd", json_incref(detail), e);
	json_decref(detail);
	if (rc == RC_OK)
		rc = resources_set_password(r->en->control, name, password, &version, e);
	if (rc == RC_OK)
		rc = engine_reload(r->en, e);
	(void)pthread_mutex_unlock(&r->en->writing);
	if (rc == RC_OK && r->en->changed)
		rc = r->en->changed(r->en->changed_arg, e);
	r->result = json_object();
	json_put_int(r->result, "version", version);
	return rc;
}

/* ---- dispositions ---- */

json_t *disposition_json(const struct disposition *d)
{
	json_t *o = json_object();
	char id[ID_TEXT + 1];
	char when[25];

	id_format(id, &d->id);
	time_format(when, d->received_ms);
	json_put_text(o, "id", slice_str(id));
	json_put_text(o, "received", slice_str(when));
	json_put_text(o, "disposition", slice_str(disposition_name(d->kind)));
	if (d->policy[0]) {
		json_put_text(o, "policy", slice_str(d->policy));
		json_put_int(o, "policy_version", d->policy_version);
	}
	if (d->rule_set[0]) {
		json_put_text(o, "rule_set", slice_str(d->rule_set));
		json_put_int(o, "rule_set_version", d->rule_set_version);
	}
	if (d->rule >= 0) {
		json_put_int(o, "rule", d->rule);
		json_put_text(o, "rule_name", slice_str(d->rule_name));
	}
	if (d->text[0])
		json_put_text(o, "text", slice_str(d->text));
	return o;
}

/* Why it was erased may say whose it was: that is for who may read mail. */
json_t *erased_json(const struct request *r, const struct erased *x, const struct config *c)
{
	json_t *o = json_object();
	char id[ID_TEXT + 1];
	char when[25];

	id_format(id, &x->id);
	json_put_text(o, "id", slice_str(id));
	time_format(when, id_received_ms(&x->id));
	json_put_text(o, "received", slice_str(when));
	json_put_text(o, "disposition", slice_str("erased"));
	for (size_t i = 0; i < config_archive_count(c); i++)
		if (config_archive_at(c, i)->number == x->archive)
			json_put_text(o, "archive", slice_str(config_archive_at(c, i)->name));
	time_format(when, x->when_ms);
	json_put_text(o, "erased", slice_str(when));
	json_put_text(o, "who", x->who);
	if (access_may(r->access, ACCESS_READ_MESSAGE, NULL))
		json_put_text(o, "reason", x->reason);
	if (!x->done)
		json_put_bool(o, "unfinished", true);
	return o;
}

/* Two tables, each from the newest message on. */
struct listing {
	struct request *r;
	struct config *c;
	struct stmt *rows;
	struct erased erased; /* the next one */
	bool more;            /* there is one */
	uint64_t left;        /* rows that may still be given */
};

static enum rc next_erased(struct listing *l, struct err *e)
{
	enum rc rc = erased_next(l->rows, &l->erased, e);

	l->more = rc == RC_OK;
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* From an archive that may be seen; what was erased from one that is gone is for who sees all. */
static bool sees_erased(const struct listing *l)
{
	const struct archive_info *a = config_archive_by_number(l->c, l->erased.archive);

	return a ? request_sees(l->r, a) : request_sees_all(l->r);
}

/* The erased ones that were received after `until`; NULL: all that are left. */
static enum rc list_erased(struct listing *l, const struct message_id *until, struct err *e)
{
	enum rc rc = RC_OK;

	while (rc == RC_OK && l->more && l->left &&
	       (!until || id_compare(&l->erased.id, until) > 0)) {
		if (sees_erased(l)) {
			l->left--;
			rc = request_row(l->r, erased_json(l->r, &l->erased, l->c), e);
		}
		if (rc == RC_OK)
			rc = next_erased(l, e);
	}
	return rc;
}

static enum rc list_one(void *arg, const struct disposition *d, struct err *e)
{
	struct listing *l = arg;
	enum rc rc = list_erased(l, &d->id, e);

	if (rc != RC_OK || !l->left)
		return rc;
	l->left--;
	return request_row(l->r, disposition_json(d), e);
}

/* `kind` DISPOSITION_KINDS: all. */
static enum rc list(struct listing *l, struct db *db, enum disposition_kind kind, bool only_erased,
                    struct err *e)
{
	enum rc rc = RC_OK;

	if (only_erased || kind == DISPOSITION_KINDS) {
		rc = erased_select(db, NULL, &l->rows, e);
		if (rc == RC_OK)
			rc = next_erased(l, e);
	}
	if (rc == RC_OK && !only_erased)
		rc = disposition_each(db, kind, l->left == UINT64_MAX ? 0 : l->left, list_one, l,
		                      e);
	if (rc == RC_OK)
		rc = list_erased(l, NULL, e);
	stmt_free(&l->rows);
	return rc;
}

enum rc op_list(struct request *r, struct err *e)
{
	struct slice word = json_member_text(r->args, "disposition");
	int64_t limit = json_member_int(r->args, "limit", 0);
	bool only_erased = word.at && slice_equal(word, slice_str("erased"));
	enum disposition_kind kind = DISPOSITION_KINDS;
	struct listing l = { .r = r, .left = limit > 0 ? (uint64_t)limit : UINT64_MAX };
	struct db *db;
	enum rc rc;

	if (word.at && !only_erased && !disposition_parse(word, &kind))
		return err_set(e, RC_INVALID,
		               "a disposition is one of unmatched, dropped, no-action, failed, "
		               "lost, refused, delivered, bounced, dead-letter, erased");
	if (!word.at && !access_may(r->access, ACCESS_READ_CONFIG, NULL))
		only_erased = true; /* the rest is in no archive */
	if (!only_erased) {
		rc = request_need(r, ACCESS_READ_CONFIG, e);
		if (rc != RC_OK)
			return rc;
	}
	rc = engine_control(r->en, &db, e);
	if (rc != RC_OK)
		return rc;
	l.c = engine_config(r->en);
	rc = list(&l, db, kind, only_erased, e);
	config_unref(&l.c);
	db_close(&db);
	return rc;
}
