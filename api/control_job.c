/* api/control_job.c - searches and exports: started, shown, listed, stopped */
#include "api/control_job.h"

#include <inttypes.h>
#include <stdio.h>

#include "api/job.h"
#include "api/job_filter.h"
#include "api/job_rows.h"
#include "api/job_run.h"
#include "api/principal.h"
#include "base/codec.h"
#include "ingest/deliver.h"

#define RANGE_MS     (30 * INT64_C(86400000)) /* the service's quotas */
#define EXPORT_QUOTA 250000
#define PAGE         50

static const char *const names[JOB_KINDS] = { "search", "export" };
static const char *const id_members[JOB_KINDS] = { "SearchId", "ExportId" };

static enum rc fail(struct control_call *c, enum api_error error, struct err *e, const char *text)
{
	c->error = error;
	return err_set(e, RC_INVALID, "%s", text);
}

static bool may_use(const struct request *r, enum job_kind kind, const struct archive_info *a)
{
	return access_may(r->access, kind == JOB_SEARCH ? ACCESS_SEARCH : ACCESS_EXPORT, a->id);
}

/* Nothing of it is searched, exported or shown any more. */
static enum rc deleted(struct control_call *c, const struct archive_info *a, struct err *e)
{
	c->error = API_CONFLICT;
	return err_set(e, RC_EXISTS, "archive %s is being deleted", a->id);
}

static enum rc find_archive(struct control_call *c, enum job_kind kind, struct config *config,
                            const struct archive_info **out, struct err *e)
{
	struct slice id = json_member_text(c->input, "ArchiveId");
	const struct archive_info *a = config_archive(config, id);

	*out = a && slice_equal(slice_str(a->id), id) && may_use(c->r, kind, a) ? a : NULL;
	if (*out && a->pending)
		return deleted(c, a, e);
	if (*out)
		return RC_OK;
	c->error = API_NOT_FOUND;
	return err_set(e, RC_NOTFOUND, "there is no archive %.*s", (int)MIN_OF(id.len, 70U),
	               (const char *)id.at);
}

/* The job of the input's id, if it is of an archive that the asker may use. */
static enum rc find_job(struct control_call *c, enum job_kind kind, struct config *config,
                        struct db *db, struct job *j, const struct archive_info **a, struct err *e)
{
	struct slice id = json_member_text(c->input, id_members[kind]);
	enum rc rc = job_get(db, kind, id, j, e);

	*a = rc == RC_OK ? config_archive_by_number(config, j->archive) : NULL;
	if (rc == RC_OK && *a && may_use(c->r, kind, *a))
		return RC_OK;
	job_free(j);
	if (rc != RC_OK && rc != RC_NOTFOUND)
		return rc;
	c->error = API_VALIDATION;
	return err_set(e, RC_NOTFOUND, "there is no %s %.*s", names[kind], (int)MIN_OF(id.len, 64U),
	               (const char *)id.at);
}

/* ---- start ---- */

static enum rc check_range(struct control_call *c, bool open, struct err *e)
{
	int64_t from = json_member_int(c->input, "FromTimestamp", 0);
	int64_t to = json_member_int(c->input, "ToTimestamp", 0);

	if (from >= to)
		return fail(c, API_VALIDATION, e, "FromTimestamp must be before ToTimestamp");
	if (!open && to - from > RANGE_MS)
		return fail(c, API_VALIDATION, e,
		            "ToTimestamp must be at most 30 days after FromTimestamp");
	return RC_OK;
}

static enum rc check_filters(struct control_call *c, struct err *e)
{
	struct match_tree *tree = match_tree_new();
	struct match *m;
	enum rc rc = job_filter(tree, c->input, &m, e);

	match_tree_free(&tree);
	if (rc == RC_INVALID)
		c->error = API_VALIDATION;
	return rc;
}

/* Beyond the model's bound, which the shape has but for the profile "open". */
static enum rc check_results(struct control_call *c, struct err *e)
{
	unsigned most = c->r->en->api.search_results;

	if (json_member_int(c->input, "MaxResults", 0) <= most)
		return RC_OK;
	c->error = API_VALIDATION;
	return err_set(e, RC_INVALID, "MaxResults must be at most %u (api.search_results)", most);
}

static enum rc check_export(struct control_call *c, bool open, struct err *e)
{
	const json_t *s3 = json_member_object(
	        json_member_object(c->input, "ExportDestinationConfiguration"), "S3");
	struct slice bucket;
	struct slice prefix;
	int64_t most = json_member_int(c->input, "MaxResults", 0);

	if (!deliver_location(json_member_text(s3, "S3Location"), &bucket, &prefix))
		return fail(
		        c, API_VALIDATION, e,
		        "ExportDestinationConfiguration.S3.S3Location is not s3://BUCKET/PREFIX");
	if (most < 0)
		return fail(c, API_VALIDATION, e, "MaxResults must be 0 (all) or more");
	if (!open && most > EXPORT_QUOTA)
		return fail(c, API_QUOTA, e, "an export has at most 250,000 messages");
	if (!jobs_options(c->r->en->jobs)->s3)
		return fail(c, API_VALIDATION, e, "no S3 endpoint is configured (endpoints.s3)");
	return RC_OK;
}

/* One of a kind at a time, as the service has it for a customer: here for who asks, so that nobody
 * is told what others do. `count` of his have not ended. */
static enum rc check_count(struct control_call *c, enum job_kind kind, uint64_t count,
                           struct err *e)
{
	const struct api_options *o = &c->r->en->api;

	if (count < (o->open ? o->jobs_kept : 1))
		return RC_OK;
	c->error = API_QUOTA;
	return o->open ? err_set(e, RC_LIMIT, "%" PRIu64 " of your %s have not ended", count,
	                         kind == JOB_SEARCH ? "searches" : "exports")
	               : err_set(e, RC_LIMIT, "another %s is running", names[kind]);
}

/* In a transaction: his oldest that ended make room. */
static enum rc make_job(struct control_call *c, enum job_kind kind, struct job *j, struct err *e)
{
	struct db *control = c->r->en->control;
	uint64_t count = 0;
	enum rc rc = job_unended_of(control, kind, j->principal, &count, e);

	if (rc == RC_OK)
		rc = check_count(c, kind, count, e);
	if (rc != RC_OK)
		return rc;
	MUST(count < c->r->en->api.jobs_kept);
	rc = job_keep(control, kind, j->principal, c->r->en->api.jobs_kept - count - 1, e);
	return rc == RC_OK ? job_add(control, j, e) : rc;
}

static enum rc add_job(struct control_call *c, enum job_kind kind, struct job *j, struct err *e)
{
	struct engine *en = c->r->en;
	enum rc rc;

	(void)pthread_mutex_lock(&en->writing);
	rc = db_begin(en->control, e);
	if (rc == RC_OK)
		rc = db_end(en->control, make_job(c, kind, j, e), e);
	(void)pthread_mutex_unlock(&en->writing);
	return rc;
}

static enum rc start_job(struct control_call *c, enum job_kind kind, const struct archive_info *a,
                         struct err *e)
{
	bool open = c->r->en->api.open;
	struct job j = { .kind = kind, .archive = a->number };
	enum rc rc = check_range(c, open, e);

	if (rc == RC_OK)
		rc = check_filters(c, e);
	if (rc == RC_OK)
		rc = kind == JOB_EXPORT ? check_export(c, open, e) : check_results(c, e);
	if (rc != RC_OK)
		return rc;
	j.who = mem_string(c->r->who);
	j.principal = c->r->principal ? mem_string(c->r->principal->name) : NULL;
	j.input = json_copy((json_t *)(uintptr_t)c->input);
	(void)json_object_del(j.input, "ArchiveId");
	rc = add_job(c, kind, &j, e);
	if (rc == RC_OK) {
		jobs_wake(c->r->en->jobs);
		c->output = json_object();
		json_put_text(c->output, id_members[kind], slice_str(j.id));
	}
	job_free(&j);
	return rc;
}

static enum rc start(struct control_call *c, enum job_kind kind, struct err *e)
{
	struct config *config = engine_config(c->r->en);
	const struct archive_info *a;
	enum rc rc = find_archive(c, kind, config, &a, e);

	if (rc == RC_OK)
		rc = start_job(c, kind, a, e);
	config_unref(&config);
	return rc;
}

/* ---- show ---- */

static json_t *status_of(const struct job *j)
{
	json_t *o = json_object();

	json_put_int(o, "SubmissionTimestamp", j->submitted_ms);
	if (j->completed_ms)
		json_put_int(o, "CompletionTimestamp", j->completed_ms);
	json_put_text(o, "State", slice_str(job_state_name(j->kind, j->state)));
	if (j->error)
		json_put(o, "ErrorMessage", json_of_slice(slice_str(j->error)));
	return o;
}

static void show(struct control_call *c, const struct job *j, const struct archive_info *a)
{
	static const char *const members[] = { "Filters", "FromTimestamp", "ToTimestamp",
		                               "MaxResults", "ExportDestinationConfiguration" };

	c->output = json_object();
	json_put_text(c->output, "ArchiveId", slice_str(a->id));
	for (size_t i = 0; i < COUNT(members); i++)
		if (json_object_get(j->input, members[i]))
			json_put(c->output, members[i],
			         json_incref(json_object_get(j->input, members[i])));
	json_put(c->output, "Status", status_of(j));
}

static enum rc with_job(struct control_call *c, enum job_kind kind,
                        enum rc (*use)(struct control_call *c, const struct job *j,
                                       const struct archive_info *a, struct db *db, struct err *e),
                        struct err *e)
{
	struct config *config = engine_config(c->r->en);
	const struct archive_info *a;
	struct job j = { .number = 0 };
	struct db *db;
	enum rc rc = engine_control(c->r->en, &db, e);

	if (rc == RC_OK)
		rc = find_job(c, kind, config, db, &j, &a, e);
	if (rc == RC_OK)
		rc = use(c, &j, a, db, e);
	job_free(&j);
	db_close(&db);
	config_unref(&config);
	return rc;
}

static enum rc get(struct control_call *c, const struct job *j, const struct archive_info *a,
                   struct db *db, struct err *e)
{
	(void)db;
	(void)e;
	show(c, j, a);
	return RC_OK;
}

/* Of a job; the entry goes before what it tells of. */
static enum rc account(struct control_call *c, const char *event, const struct job *j,
                       const struct archive_info *a, json_t *detail, struct err *e)
{
	json_put_text(detail, "archive", slice_str(a->name));
	json_put_int(detail, "archive_number", a->number);
	json_put_text(detail, "job", slice_str(j->id));
	return request_account(c->r, event, detail, e);
}

static enum rc account_rows(struct control_call *c, const struct job *j,
                            const struct archive_info *a, struct err *e)
{
	json_t *detail = json_object();

	json_put_int(detail, "rows", (int64_t)json_array_size(json_object_get(c->output, "Rows")));
	return account(c, "results", j, a, detail, e);
}

static enum rc results(struct control_call *c, const struct job *j, const struct archive_info *a,
                       struct db *db, struct err *e)
{
	enum rc rc;

	if (!j->completed_ms) {
		c->error = API_CONFLICT;
		return err_set(e, RC_AGAIN, "search %s is still in progress", j->id);
	}
	if (a->pending)
		return deleted(c, a, e);
	if (j->state != JOB_COMPLETED)
		return fail(c, API_CONFLICT, e,
		            j->state == JOB_FAILED ? "the search failed: it has no results"
		                                   : "the search was stopped: it has no results");
	c->output = json_object();
	rc = job_rows(c->r, db, j, a, c->output, e);
	if (rc == RC_LIMIT)
		c->error = API_VALIDATION;
	return rc == RC_OK ? account_rows(c, j, a, e) : rc;
}

/* ---- list ---- */

struct listing {
	json_t *list;
	enum job_kind kind;
	unsigned count;
	unsigned size;
	int64_t last;
	bool more;
};

static enum rc list_one(void *arg, const struct job *j, struct err *e)
{
	struct listing *l = arg;
	json_t *o;

	(void)e;
	l->more = l->count == l->size;
	if (l->more)
		return RC_OK;
	o = json_object();
	json_put_text(o, id_members[l->kind], slice_str(j->id));
	json_put(o, "Status", status_of(j));
	json_push(l->list, o);
	l->last = j->number;
	l->count++;
	return RC_OK;
}

static enum rc list_jobs(struct control_call *c, enum job_kind kind, const struct archive_info *a,
                         struct err *e)
{
	struct listing l = { .kind = kind };
	struct db *db = NULL;
	char name[100];
	char cursor[CURSOR_ROOM];
	uint64_t below = 0;
	enum rc rc;

	(void)snprintf(name, sizeof(name), "%s %s", names[kind], a->id);
	rc = control_next(c, name, cursor, e);
	if (rc != RC_OK)
		c->error = API_VALIDATION;
	else if (cursor[0])
		MUST(slice_to_u64(slice_str(cursor), &below));
	l.size = (unsigned)json_member_int(c->input, "PageSize", PAGE);
	l.list = json_array();
	if (rc == RC_OK)
		rc = engine_control(c->r->en, &db, e);
	if (rc == RC_OK)
		rc = job_list(db, kind, a->number, (int64_t)below, l.size + 1, list_one, &l, e);
	db_close(&db);
	if (rc != RC_OK) {
		json_decref(l.list);
		return rc;
	}
	c->output = json_object();
	json_put(c->output, kind == JOB_SEARCH ? "Searches" : "Exports", l.list);
	(void)snprintf(cursor, sizeof(cursor), "%lld", (long long)l.last);
	if (l.more)
		control_put_next(c, name, slice_str(cursor));
	return RC_OK;
}

static enum rc list(struct control_call *c, enum job_kind kind, struct err *e)
{
	struct config *config = engine_config(c->r->en);
	const struct archive_info *a;
	enum rc rc = find_archive(c, kind, config, &a, e);

	if (rc == RC_OK)
		rc = list_jobs(c, kind, a, e);
	config_unref(&config);
	return rc;
}

/* ---- stop ---- */

/* One that has ended stays as it is: the same call twice has one effect. */
static enum rc stop(struct control_call *c, const struct job *j, const struct archive_info *a,
                    struct db *db, struct err *e)
{
	struct engine *en = c->r->en;
	enum rc rc;

	(void)db;
	if (j->completed_ms)
		return RC_OK;
	rc = account(c, "cancel", j, a, json_object(), e);
	if (rc != RC_OK)
		return rc;
	(void)pthread_mutex_lock(&en->writing);
	rc = job_end(en->control, j->number, JOB_CANCELLED, NULL, e);
	(void)pthread_mutex_unlock(&en->writing);
	jobs_wake(en->jobs);
	return rc;
}

/* ---- the operations ---- */

enum rc control_start_search(struct control_call *c, struct err *e)
{
	return start(c, JOB_SEARCH, e);
}

enum rc control_get_search(struct control_call *c, struct err *e)
{
	return with_job(c, JOB_SEARCH, get, e);
}

enum rc control_search_results(struct control_call *c, struct err *e)
{
	return with_job(c, JOB_SEARCH, results, e);
}

enum rc control_list_searches(struct control_call *c, struct err *e)
{
	return list(c, JOB_SEARCH, e);
}

enum rc control_stop_search(struct control_call *c, struct err *e)
{
	return with_job(c, JOB_SEARCH, stop, e);
}

enum rc control_start_export(struct control_call *c, struct err *e)
{
	return start(c, JOB_EXPORT, e);
}

enum rc control_get_export(struct control_call *c, struct err *e)
{
	return with_job(c, JOB_EXPORT, get, e);
}

enum rc control_list_exports(struct control_call *c, struct err *e)
{
	return list(c, JOB_EXPORT, e);
}

enum rc control_stop_export(struct control_call *c, struct err *e)
{
	return with_job(c, JOB_EXPORT, stop, e);
}
