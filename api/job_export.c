/* api/job_export.c - an export: found, accounted, written message by message, then its manifest */
#include <stdio.h>
#include <stdlib.h>

#include "api/job_run_parts.h"
#include "api/message_get.h"
#include "api/message_view.h"
#include "base/codec.h"
#include "base/limits.h"
#include "store/crypt.h"

#define QUOTA    250000 /* the service's: messages of an export */
#define AT_ONCE  32     /* messages between two notes of what is done */
#define MANIFEST "manifest.jsonl"

struct export
{
	struct job_running *x;
	struct deliver *to;
	bool metadata;
	struct slice location;
	/* what is read, and not yet written or not yet noted */
	struct job_hit hits[AT_ONCE];
	char problems[AT_ONCE][120];
	uint64_t places[AT_ONCE];
	size_t count;
	struct buf meta;
	struct buf raw;
	/* the manifest */
	struct sha256 *hash;
	uint64_t written;
	uint64_t failed;
};

/* ---- what is to be written ---- */

struct plan {
	int64_t number;
	const struct message_id *ids;
	size_t count;
};

static enum rc set_state(void *arg, struct db *control, struct err *e)
{
	const struct job *j = arg;

	return job_set_state(control, j->number, j->state, e);
}

static enum rc put_plan(void *arg, struct db *control, struct err *e)
{
	const struct plan *p = arg;
	enum rc rc = job_put_hits(control, p->number, p->ids, p->count, e);

	return rc == RC_OK ? job_set_state(control, p->number, JOB_RUNNING, e) : rc;
}

/* An export may end on its way, by a failure or by somebody: what can have left is told beforehand.
 */
static enum rc account(struct export *x, struct slice query, uint64_t hits, size_t count,
                       struct err *e)
{
	json_t *detail = job_detail(x->x, query, hits);

	json_put_int(detail, "messages", (int64_t)count);
	json_put(detail, "destination", json_of_slice(x->location));
	return engine_account(x->x->en, "export", x->x->job->who, detail, e);
}

/* The ids are fixed here: mail that comes later isn't in it, and a restart goes on with them. */
static enum rc plan(struct export *x, struct err *e)
{
	uint64_t limit = (uint64_t)json_member_int(x->x->job->input, "MaxResults", 0);
	struct job state = { .number = x->x->job->number, .state = JOB_PREPROCESSING };
	struct plan p = { .number = state.number };
	struct message_id *ids = NULL;
	uint64_t hits = 0;
	struct buf query;
	enum rc rc = job_change(x->x, set_state, &state, e);

	buf_init(&query, LIMIT_REQUEST);
	if (rc == RC_OK)
		rc = job_find(x->x, limit, &ids, &p.count, &hits, &query, e);
	if (rc == RC_OK && p.count > QUOTA && !x->x->en->api.open)
		rc = err_set(e, RC_LIMIT, "more than 250,000 messages: narrow the filters");
	if (rc == RC_OK)
		rc = account(x, buf_slice(&query), hits, p.count, e);
	p.ids = ids;
	if (rc == RC_OK)
		rc = job_change(x->x, put_plan, &p, e);
	free(ids);
	buf_free(&query);
	return rc;
}

/* ---- a message ---- */

static enum rc go_on(void *arg, struct err *e)
{
	return job_may_go_on(arg, e);
}

static enum rc put_object(struct export *x, const char *name, const char *type, struct slice bytes,
                          struct err *e)
{
	char key[200];
	enum rc rc;

	(void)snprintf(key, sizeof(key), "%s/%s", x->x->job->id, name);
	rc = deliver_begin(x->to, key, type, e);
	if (rc == RC_OK)
		rc = deliver_add(x->to, bytes, e);
	return rc == RC_OK ? deliver_end(x->to, e) : rc;
}

static enum rc put_metadata(struct export *x, const struct job_hit *hit, const char *id,
                            struct err *e)
{
	const struct message_view v = { .archive = x->x->archive,
		                        .options = &x->x->en->api,
		                        .id = hit->id,
		                        .meta = buf_slice(&x->meta) };
	json_t *metadata;
	json_t *envelope;
	char hex[65];
	char text[200];
	struct buf out;
	json_t *o;
	enum rc rc = view_metadata(&v, &metadata, &envelope, e);

	if (rc != RC_OK)
		return rc;
	o = json_object();
	(void)snprintf(text, sizeof(text), "%s.%s", x->x->archive->id, id);
	json_put_text(o, "ArchivedMessageId", slice_str(text));
	hex_encode(hex, hit->sha256, 32);
	json_put_text(o, "Sha256", slice_str(hex));
	json_put_int(o, "Bytes", (int64_t)hit->bytes);
	json_put(o, "Envelope", envelope);
	json_put(o, "Metadata", metadata);
	buf_init(&out, LIMIT_REQUEST);
	rc = json_write_pretty(&out, o);
	if (rc == RC_OK) {
		(void)snprintf(text, sizeof(text), "%s.json", id);
		rc = put_object(x, text, "application/json", buf_slice(&out), e);
	}
	buf_free(&out);
	json_decref(o);
	return rc;
}

/* One that can't be read is told in the manifest; that it can't be written ends the export. */
static enum rc put_message(struct export *x, size_t i, struct err *e)
{
	struct job_hit *hit = &x->hits[i];
	struct err why = { 0 };
	char id[ID_TEXT + 1];
	char name[ID_TEXT + 8];
	enum rc rc;

	buf_clear(&x->meta);
	buf_clear(&x->raw);
	id_format(id, &hit->id);
	rc = message_get(x->x->en, x->x->archive->number, &hit->id, &x->meta, &x->raw, &why);
	if (rc != RC_OK) {
		(void)snprintf(x->problems[i], sizeof(x->problems[i]), "%.110s",
		               rc == RC_NOTFOUND ? "it was destroyed" : why.text);
		hit->problem = x->problems[i];
		return RC_OK;
	}
	sha256(hit->sha256, buf_slice(&x->raw));
	hit->bytes = x->raw.len;
	(void)snprintf(name, sizeof(name), "%s.eml", id);
	rc = put_object(x, name, "message/rfc822", buf_slice(&x->raw), e);
	return rc == RC_OK && x->metadata ? put_metadata(x, hit, id, e) : rc;
}

static enum rc note(void *arg, struct db *control, struct err *e)
{
	const struct export *x = arg;
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < x->count; i++)
		rc = job_put_done(control, x->x->job->number, x->places[i], &x->hits[i], e);
	return rc;
}

/* RC_LIMIT stops the walk when a batch is full; none of its own. */
static enum rc collect(void *arg, uint64_t place, const struct job_hit *hit, struct err *e)
{
	struct export *x = arg;

	if (x->count == AT_ONCE)
		return err_set(e, RC_LIMIT, "a batch is full");
	x->places[x->count] = place;
	x->hits[x->count++] = (struct job_hit) { .id = hit->id };
	return RC_OK;
}

/* `*next`: the first place that isn't done; moves on. */
static enum rc put_batch(struct export *x, uint64_t *next, struct err *e)
{
	enum rc rc;

	x->count = 0;
	rc = job_each_hit(x->x->db, x->x->job->number, *next, collect, x, e);
	if (rc == RC_LIMIT)
		rc = RC_OK;
	for (size_t i = 0; rc == RC_OK && i < x->count; i++) {
		rc = job_may_go_on(x->x, e);
		if (rc == RC_OK)
			rc = put_message(x, i, e);
	}
	*next += x->count;
	return rc == RC_OK ? job_change(x->x, note, x, e) : rc;
}

/* ---- the manifest ---- */

static json_t *manifest_line(const struct job_hit *hit)
{
	char id[ID_TEXT + 1];
	char path[ID_TEXT + 8];
	char hex[65];
	json_t *o = json_object();

	id_format(id, &hit->id);
	json_put_text(o, "id", slice_str(id));
	if (hit->problem[0]) {
		json_put(o, "problem", json_of_slice(slice_str(hit->problem)));
		return o;
	}
	(void)snprintf(path, sizeof(path), "%s.eml", id);
	hex_encode(hex, hit->sha256, 32);
	json_put_text(o, "path", slice_str(path));
	json_put_text(o, "sha256", slice_str(hex));
	json_put_int(o, "bytes", (int64_t)hit->bytes);
	return o;
}

static enum rc add_line(void *arg, uint64_t place, const struct job_hit *hit, struct err *e)
{
	struct export *x = arg;
	json_t *o = manifest_line(hit);
	enum rc rc;

	(void)place;
	x->written += !hit->problem[0];
	x->failed += hit->problem[0] != 0;
	buf_clear(&x->raw);
	rc = json_write(&x->raw, o);
	json_decref(o);
	if (rc == RC_OK)
		rc = buf_add_byte(&x->raw, '\n');
	if (rc != RC_OK)
		return err_set(e, rc, "a line of the manifest is too long");
	sha256_add(x->hash, buf_slice(&x->raw));
	return deliver_add(x->to, buf_slice(&x->raw), e);
}

/* The last object: where it is, all others are. */
static enum rc put_manifest(struct export *x, uint8_t hash[32], struct err *e)
{
	char key[100];
	enum rc rc;

	(void)snprintf(key, sizeof(key), "%s/" MANIFEST, x->x->job->id);
	x->hash = sha256_new();
	rc = deliver_begin(x->to, key, "application/jsonl", e);
	if (rc == RC_OK)
		rc = job_each_hit(x->x->db, x->x->job->number, 0, add_line, x, e);
	sha256_end(&x->hash, hash);
	if (rc == RC_OK)
		rc = job_may_go_on(x->x, e);
	return rc == RC_OK ? deliver_end(x->to, e) : rc;
}

static enum rc account_end(struct export *x, const uint8_t hash[32], struct err *e)
{
	json_t *detail = json_object();
	char hex[65];

	hex_encode(hex, hash, 32);
	json_put_text(detail, "archive", slice_str(x->x->archive->name));
	json_put_int(detail, "archive_number", x->x->archive->number);
	json_put_text(detail, "job", slice_str(x->x->job->id));
	json_put_int(detail, "messages", (int64_t)x->written);
	json_put_int(detail, "failed", (int64_t)x->failed);
	json_put(detail, "destination", json_of_slice(x->location));
	json_put_text(detail, "manifest_sha256", slice_str(hex));
	return engine_account(x->x->en, "exported", x->x->job->who, detail, e);
}

static enum rc complete(void *arg, struct db *control, struct err *e)
{
	const struct export *x = arg;
	char text[100];

	(void)snprintf(text, sizeof(text), "%llu of %llu messages could not be read",
	               (unsigned long long)x->failed, (unsigned long long)(x->failed + x->written));
	return job_end(control, x->x->job->number, JOB_COMPLETED, x->failed ? text : NULL, e);
}

/* ---- the whole ---- */

static enum rc write_all(struct export *x, uint64_t next, uint64_t hits, struct err *e)
{
	uint8_t hash[32];
	enum rc rc = RC_OK;

	while (rc == RC_OK && next < hits)
		rc = put_batch(x, &next, e);
	if (rc == RC_OK)
		rc = put_manifest(x, hash, e);
	if (rc == RC_OK)
		rc = account_end(x, hash, e);
	return rc == RC_OK ? job_change(x->x, complete, x, e) : rc;
}

static enum rc begin(struct export *x, struct deliver_home *s3, struct err *e)
{
	struct slice bucket;
	struct slice prefix;

	if (!deliver_location(x->location, &bucket, &prefix))
		return err_set(e, RC_INVALID, "the destination is not s3://BUCKET/PREFIX");
	return deliver_new(&x->to, s3, bucket, prefix, go_on, x->x, e);
}

enum rc job_export(struct job_running *r, struct deliver_home *s3, struct err *e)
{
	struct export *x = mem_new(sizeof(*x));
	const json_t *to = json_member_object(r->job->input, "ExportDestinationConfiguration");
	uint64_t next;
	uint64_t hits;
	enum rc rc = RC_OK;

	x->x = r;
	x->metadata = json_member_bool(r->job->input, "IncludeMetadata", false);
	x->location = json_member_text(json_member_object(to, "S3"), "S3Location");
	buf_init(&x->meta, LIMIT_REQUEST);
	buf_init(&x->raw, LIMIT_REQUEST);
	if (r->job->state != JOB_RUNNING)
		rc = plan(x, e);
	if (rc == RC_OK)
		rc = job_progress(r->db, r->job->number, &next, &hits, e);
	if (rc == RC_OK)
		rc = begin(x, s3, e);
	if (rc == RC_OK)
		rc = write_all(x, next, hits, e);
	deliver_free(&x->to);
	buf_free(&x->meta);
	buf_free(&x->raw);
	free(x);
	return rc;
}
