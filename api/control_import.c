/* api/control_import.c - import jobs of address lists: made, given their file, started, stopped,
 * shown */
#include "api/control_import.h"

#include "api/import_run.h"
#include "api/link.h"
#include "ingest/import_job.h"
#include "ingest/tokens.h"

#define PAGE        50
#define LINK_LIFE_S 86400

/* ---- reading ---- */

/* Where the file is put: the same link until mmd is started again. Without an address that it could
 * lead to there is none, and the model wants a text. */
static enum rc put_upload(struct control_call *c, json_t *job, struct err *e)
{
	struct link l = { .url = control_url(c),
		          .secret = c->r->en->link_secret,
		          .region = c->r->en->api.region,
		          .principal = c->r->principal ? c->r->principal->name : "",
		          .at_ms = json_member_int(job, "CreatedMs", 0),
		          .seconds = LINK_LIFE_S };
	struct buf text;
	enum rc rc = RC_OK;

	buf_init(&text, 8192);
	if (l.url)
		rc = link_make_upload(&l, json_member_text(job, "JobId"), &text, e);
	if (rc == RC_OK)
		json_put_text(job, "PreSignedUrl", buf_slice(&text));
	buf_free(&text);
	return rc;
}

static enum rc dress(struct control_call *c, json_t *job, struct err *e)
{
	control_put_time(job, "CreatedTimestamp", json_member_int(job, "CreatedMs", 0));
	control_put_time(job, "StartTimestamp", json_member_int(job, "StartMs", 0));
	control_put_time(job, "CompletedTimestamp", json_member_int(job, "CompletedMs", 0));
	return put_upload(c, job, e);
}

enum rc control_get_import(struct control_call *c, struct err *e)
{
	struct db *db;
	enum rc rc = engine_reader(c->r->en, &db, e);

	if (rc == RC_OK)
		rc = import_job_get(db, control_text(c, "JobId"), &c->output, e);
	engine_reader_end(c->r->en, &db);
	return rc == RC_OK ? dress(c, c->output, e) : rc;
}

enum rc control_list_imports(struct control_call *c, struct err *e)
{
	int64_t size = json_member_int(c->input, "PageSize", PAGE);
	char after[CURSOR_ROOM];
	struct buf next;
	json_t *list = NULL;
	struct db *db;
	enum rc rc = engine_reader(c->r->en, &db, e);

	buf_init(&next, 2048);
	if (rc == RC_OK)
		rc = control_next(c, c->op->name, after, e);
	if (rc == RC_OK)
		rc = import_job_list(db, control_text(c, "AddressListId"), slice_str(after),
		                     (size_t)size, &list, &next, e);
	for (size_t i = 0; rc == RC_OK && i < json_array_size(list); i++)
		rc = dress(c, json_array_get(list, i), e);
	if (rc == RC_OK) {
		c->output = json_object();
		json_put(c->output, c->op->result, json_incref(list));
		control_put_next(c, c->op->name, buf_slice(&next));
	}
	json_decref(list);
	engine_reader_end(c->r->en, &db);
	buf_free(&next);
	return rc;
}

/* ---- changing ---- */

static enum rc account(struct control_call *c, struct slice job, struct err *e)
{
	json_t *detail = json_object();

	json_put_text(detail, "operation", slice_str(c->op->name));
	json_put_text(detail, "job", job);
	return request_account(c->r, "apply", detail, e);
}

static enum rc create(struct control_call *c, const json_t *parameters, char id[RESOURCE_ID_ROOM],
                      struct err *e)
{
	struct slice type = json_member_text(json_member_object(c->input, "ImportDataFormat"),
	                                     "ImportDataType");
	struct engine *en = c->r->en;
	struct token token = { .operation = slice_str(c->op->name),
		               .principal = slice_str(c->r->principal ? c->r->principal->name : ""),
		               .text = control_text(c, "ClientToken"),
		               .parameters = parameters };
	enum rc rc;

	(void)pthread_mutex_lock(&en->writing);
	rc = import_job_create(en->control, control_text(c, "AddressListId"),
	                       control_text(c, "Name"),
	                       slice_equal(type, slice_str("CSV")) ? IMPORT_CSV : IMPORT_JSON,
	                       token.text.len ? &token : NULL, en->api.jobs_kept, id, e);
	(void)pthread_mutex_unlock(&en->writing);
	return rc;
}

/* It changes nothing that mail goes by, so its entry may follow it. */
enum rc control_create_import(struct control_call *c, struct err *e)
{
	json_t *parameters = json_copy((json_t *)(uintptr_t)c->input);
	char id[RESOURCE_ID_ROOM];
	struct db *db = NULL;
	enum rc rc;

	(void)json_object_del(parameters, "ClientToken");
	rc = create(c, parameters, id, e);
	json_decref(parameters);
	if (rc == RC_OK)
		rc = account(c, slice_str(id), e);
	if (rc == RC_OK)
		rc = engine_reader(c->r->en, &db, e);
	if (rc == RC_OK)
		rc = import_job_get(db, slice_str(id), &c->output, e);
	engine_reader_end(c->r->en, &db);
	return rc == RC_OK ? dress(c, c->output, e) : rc;
}

/* The entry of what can be done, before it is: what is started goes on by itself. */
static enum rc switch_job(struct control_call *c,
                          enum rc (*run)(struct db *control, struct slice id, struct err *e),
                          struct err *e)
{
	struct engine *en = c->r->en;
	struct slice id = control_text(c, "JobId");
	enum rc rc;

	(void)pthread_mutex_lock(&en->writing);
	rc = db_begin(en->control, e);
	if (rc == RC_OK) {
		rc = run(en->control, id, e);
		if (rc == RC_OK)
			rc = account(c, id, e);
		rc = db_end(en->control, rc, e);
	}
	(void)pthread_mutex_unlock(&en->writing);
	imports_wake(en->imports);
	return rc;
}

enum rc control_start_import(struct control_call *c, struct err *e)
{
	return switch_job(c, import_job_start, e);
}

enum rc control_stop_import(struct control_call *c, struct err *e)
{
	return switch_job(c, import_job_stop, e);
}

/* ---- the file ---- */

enum rc control_take_upload(struct request *r, struct err *e)
{
	struct slice job = json_member_text(r->args, "job");
	struct slice rest = r->bytes;
	json_t *detail;
	enum rc rc;

	(void)pthread_mutex_lock(&r->en->writing);
	rc = import_job_clear(r->en->control, job, e);
	while (rc == RC_OK && rest.len) {
		struct slice piece = slice_part(rest, 0, IMPORT_JOB_CHUNK);

		rc = import_job_add(r->en->control, job, piece, e);
		rest = slice_from(rest, piece.len);
	}
	(void)pthread_mutex_unlock(&r->en->writing);
	if (rc != RC_OK)
		return rc;
	detail = json_object();
	json_put_text(detail, "operation", slice_str("upload"));
	json_put_text(detail, "job", job);
	json_put_int(detail, "bytes", (int64_t)r->bytes.len);
	return request_account(r, "apply", detail, e);
}
