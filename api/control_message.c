/* api/control_message.c - one message: what is known of it, a link to it, its text, its bytes */
#include "api/control_job.h"
#include "api/job_run.h"
#include "api/link.h"
#include "api/message_get.h"
#include "api/message_view.h"
#include "api/principal.h"
#include "base/clock.h"
#include "base/limits.h"

#define PIECE 262144

struct found_message {
	struct config *config;
	const struct archive_info *archive;
	struct message_id id;
	struct buf meta;
	struct buf raw;
};

static void found_free(struct found_message *f)
{
	buf_free(&f->meta);
	buf_free(&f->raw);
	config_unref(&f->config);
}

static enum rc not_there(struct slice id, struct err *e)
{
	return err_set(e, RC_NOTFOUND, "there is no message %.*s", (int)MIN_OF(id.len, 100U),
	               (const char *)id.at);
}

/* In an archive that the asker may read from. found_free follows, also after a failure. */
static enum rc find(struct request *r, struct slice archive, bool is_id, struct found_message *f,
                    struct slice shown, struct err *e)
{
	enum rc rc;

	buf_init(&f->meta, LIMIT_REQUEST);
	buf_init(&f->raw, LIMIT_REQUEST);
	f->config = engine_config(r->en);
	f->archive = config_archive(f->config, archive);
	if (!is_id || !f->archive || f->archive->pending ||
	    !slice_equal(slice_str(f->archive->id), archive) ||
	    !access_may(r->access, ACCESS_READ_MESSAGE, f->archive->id))
		return not_there(shown, e);
	rc = message_get(r->en, f->archive->number, &f->id, &f->meta, &f->raw, e);
	return rc == RC_NOTFOUND ? not_there(shown, e) : rc;
}

static enum rc find_input(struct control_call *c, struct found_message *f, struct err *e)
{
	struct slice whole = json_member_text(c->input, "ArchivedMessageId");
	struct slice archive;
	bool is_id = link_split(whole, &archive, &f->id);
	enum rc rc = find(c->r, archive, is_id, f, whole, e);

	if (rc == RC_NOTFOUND)
		c->error = API_VALIDATION;
	return rc;
}

static enum rc account(struct request *r, const struct found_message *f, const char *form,
                       struct err *e)
{
	json_t *detail = json_object();
	char id[ID_TEXT + 1];

	id_format(id, &f->id);
	json_put_text(detail, "archive", slice_str(f->archive->name));
	json_put_int(detail, "archive_number", f->archive->number);
	json_put_text(detail, "id", slice_str(id));
	json_put_text(detail, "form", slice_str(form));
	return request_account(r, "read", detail, e);
}

/* ---- GetArchiveMessage ---- */

/* Absent where no address is configured that it could lead to. */
static enum rc put_link(struct control_call *c, const struct found_message *f, struct err *e)
{
	const struct job_options *opt = jobs_options(c->r->en->jobs);
	struct link l = { .url = control_url(c),
		          .secret = c->r->en->link_secret,
		          .region = c->r->en->api.region,
		          .archive = f->archive->id,
		          .principal = c->r->principal ? c->r->principal->name : "",
		          .id = f->id,
		          .at_ms = clock_now_ms(),
		          .seconds = opt->link_seconds };
	struct buf text;
	enum rc rc;

	if (!l.url)
		return RC_OK;
	buf_init(&text, 8192);
	rc = link_make(&l, &text, e);
	if (rc == RC_OK)
		json_put_text(c->output, "MessageDownloadLink", buf_slice(&text));
	buf_free(&text);
	return rc;
}

static enum rc describe(struct control_call *c, const struct found_message *f, struct err *e)
{
	const struct message_view v = { .archive = f->archive,
		                        .options = &c->r->en->api,
		                        .id = f->id,
		                        .meta = buf_slice(&f->meta) };
	json_t *metadata;
	json_t *envelope;
	enum rc rc = view_metadata(&v, &metadata, &envelope, e);

	if (rc != RC_OK)
		return rc;
	c->output = json_object();
	json_put(c->output, "Metadata", metadata);
	json_put(c->output, "Envelope", envelope);
	return put_link(c, f, e);
}

enum rc control_get_message(struct control_call *c, struct err *e)
{
	struct found_message f;
	enum rc rc = find_input(c, &f, e);

	if (rc == RC_OK)
		rc = account(c->r, &f, "envelope", e);
	if (rc == RC_OK)
		rc = describe(c, &f, e);
	found_free(&f);
	return rc;
}

/* ---- GetArchiveMessageContent ---- */

static void put_text(json_t *body, const char *member, struct slice text)
{
	if (text.len)
		json_put(body, member, json_of_slice(text));
}

static enum rc put_body(struct control_call *c, struct slice raw, struct err *e)
{
	struct parse_job job;
	json_t *body;
	enum rc rc = message_parse(raw, true, &job, e);

	if (rc != RC_OK)
		return rc;
	body = json_object();
	put_text(body, "Text", job.parsed.text[PARSED_PLAIN]);
	put_text(body, "Html", job.parsed.text[PARSED_HTML]);
	json_put_bool(body, "MessageMalformed",
	              job.outcome != PARSE_OK || (job.parsed.flags & PARSED_HAS_PROBLEM));
	parse_job_free(&job);
	c->output = json_object();
	json_put(c->output, "Body", body);
	return RC_OK;
}

enum rc control_get_message_content(struct control_call *c, struct err *e)
{
	struct found_message f;
	enum rc rc = find_input(c, &f, e);

	if (rc == RC_OK)
		rc = account(c->r, &f, "content", e);
	if (rc == RC_OK)
		rc = put_body(c, buf_slice(&f.raw), e);
	found_free(&f);
	return rc;
}

/* ---- a link was followed ---- */

static enum rc send_head(struct request *r, const struct found_message *f, struct err *e)
{
	json_t *row = json_object();
	char name[ID_TEXT + 1];

	id_format(name, &f->id);
	json_put_int(row, "bytes", (int64_t)f->raw.len);
	json_put_text(row, "name", slice_str(name));
	return request_row(r, row, e);
}

enum rc control_send_message(struct request *r, struct err *e)
{
	struct slice id = json_member_text(r->args, "id");
	struct found_message f;
	bool is_id = id_parse(&f.id, id);
	enum rc rc = find(r, json_member_text(r->args, "archive"), is_id, &f, id, e);

	if (rc == RC_OK)
		rc = account(r, &f, "raw", e);
	if (rc == RC_OK)
		rc = send_head(r, &f, e);
	for (size_t at = 0; rc == RC_OK && at < f.raw.len; at += PIECE)
		rc = request_piece(r, slice_part(buf_slice(&f.raw), at, PIECE), e);
	found_free(&f);
	return rc;
}
