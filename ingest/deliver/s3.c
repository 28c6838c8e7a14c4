#include "ingest/deliver/s3_parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/sigv4.h"
#include "ingest/deliver.h"

#define PARTS 10000 /* S3's bound */

struct s3 {
	struct s3_line line;
	char *root; /* "/BUCKET/PREFIX/", or "/PREFIX/" where the bucket is in the host's name */
	uint64_t part_bytes;
	/* the object under way */
	struct buf path;
	char *type;
	struct buf part;   /* what isn't sent yet */
	struct buf upload; /* the multipart upload's id, escaped; empty: none was begun */
	struct buf etags;  /* the body that ends it */
	unsigned parts;
};

/* ---- which bucket ---- */

static enum rc make_root(struct s3 *s, const json_t *bucket, bool path_style, struct err *e)
{
	struct slice prefix = json_member_text(bucket, "prefix");
	struct buf root;
	enum rc rc;

	buf_init(&root, 4096);
	rc = buf_add_byte(&root, '/');
	if (rc == RC_OK && path_style)
		rc = buf_add(&root, json_member_text(bucket, "bucket"));
	if (rc == RC_OK && path_style)
		rc = buf_add_byte(&root, '/');
	if (rc == RC_OK)
		rc = sigv4_escape(&root, prefix, true);
	if (rc == RC_OK && prefix.len)
		rc = buf_add_byte(&root, '/');
	s->root = slice_string(buf_slice(&root));
	buf_free(&root);
	return rc == RC_OK ? rc : err_set(e, rc, "the prefix is too long");
}

static enum rc make_host(struct s3 *s, const json_t *config, const json_t *bucket, bool path_style,
                         struct err *e)
{
	struct slice name = json_member_text(bucket, "bucket");
	struct slice host;
	char text[400];
	uint16_t port;
	bool tls;

	if (!deliver_url(json_member_text(config, "url"), &tls, &host, &port))
		return err_set(e, RC_INVALID, "the endpoint's URL");
	(void)snprintf(text, sizeof(text), "%.*s%s%.*s", path_style ? 0 : (int)name.len,
	               (const char *)name.at, path_style ? "" : ".", (int)host.len,
	               (const char *)host.at);
	return s3_line_look_up(&s->line, text, tls, port, e);
}

/* mmd has checked it; this is where it counts. */
static enum rc check_bucket(const json_t *bucket, struct err *e)
{
	struct slice name = json_member_text(bucket, "bucket");
	struct slice prefix = json_member_text(bucket, "prefix");
	struct slice got[2];
	struct buf location;
	bool good;

	buf_init(&location, 4096);
	good = buf_add_str(&location, "s3://") == RC_OK && buf_add(&location, name) == RC_OK &&
	       buf_add_byte(&location, '/') == RC_OK && buf_add(&location, prefix) == RC_OK &&
	       deliver_location(buf_slice(&location), &got[0], &got[1]) &&
	       slice_equal(got[0], name) && slice_equal(got[1], prefix);
	buf_free(&location);
	return good ? RC_OK : err_set(e, RC_INVALID, "this is no bucket and prefix");
}

enum rc s3_new(struct s3 **out, const json_t *config, const json_t *bucket, bool (*gone)(void *arg),
               void *arg, struct err *e)
{
	struct s3 *s = mem_new(sizeof(*s));
	bool path_style = json_member_bool(config, "path_style", false);
	enum rc rc;

	s->line.gone = gone;
	s->line.arg = arg;
	s->part_bytes = (uint64_t)json_member_int(config, "part_bytes", 8388608);
	buf_init(&s->path, 8192);
	buf_init(&s->part, s->part_bytes + 1);
	buf_init(&s->upload, 4096);
	buf_init(&s->etags, 4194304);
	rc = check_bucket(bucket, e);
	if (rc == RC_OK)
		rc = s3_line_open(&s->line, config, e);
	if (rc == RC_OK)
		rc = make_host(s, config, bucket, path_style, e);
	if (rc == RC_OK)
		rc = make_root(s, bucket, path_style, e);
	if (rc == RC_OK)
		*out = s;
	else
		s3_free(&s);
	return rc;
}

void s3_free(struct s3 **at)
{
	struct s3 *s = *at;

	*at = NULL;
	if (!s)
		return;
	s3_line_close(&s->line);
	free(s->root);
	free(s->type);
	buf_free(&s->path);
	buf_free(&s->part);
	buf_free(&s->upload);
	buf_free(&s->etags);
	free(s);
}

uint16_t s3_port(const struct s3 *s)
{
	return s->line.port;
}

/* ---- requests on the object ---- */

static enum rc ask(struct s3 *s, struct s3_request *r, struct err *e)
{
	r->path = buf_text(&s->path);
	return s3_line_ask(&s->line, r, e);
}

static enum rc put_whole(struct s3 *s, struct err *e)
{
	struct s3_request r = {
		.method = "PUT", .query = "", .type = s->type, .body = buf_slice(&s->part)
	};
	enum rc rc = ask(s, &r, e);

	buf_free(&r.answer);
	return rc;
}

static enum rc begin_upload(struct s3 *s, struct err *e)
{
	struct s3_request r = { .method = "POST", .query = "uploads=", .type = s->type };
	struct slice id;
	enum rc rc = ask(s, &r, e);

	id = s3_element(buf_slice(&r.answer), "UploadId");
	if (rc == RC_OK && (id.len == 0 || sigv4_escape(&s->upload, id, false) != RC_OK)) {
		buf_clear(&s->upload);
		rc = err_set(e, RC_IO, "the S3 endpoint gives no upload id");
	}
	s->parts = 0;
	buf_clear(&s->etags);
	if (rc == RC_OK)
		rc = buf_add_str(&s->etags, "<CompleteMultipartUpload>");
	if (rc == RC_OK)
		rc = buf_add_byte(&s->upload, 0);
	buf_free(&r.answer);
	return rc;
}

/* An ETag is quoted text; what XML would take for more isn't one. */
static bool is_etag(const char *s)
{
	for (const char *c = s; *c; c++)
		if (*c <= ' ' || *c >= 127 || *c == '<' || *c == '>' || *c == '&')
			return false;
	return *s != 0;
}

static enum rc put_part(struct s3 *s, struct err *e)
{
	char query[4300];
	struct s3_request r = { .method = "PUT", .query = query, .body = buf_slice(&s->part) };
	enum rc rc = RC_OK;

	if (s->upload.len == 0)
		rc = begin_upload(s, e);
	if (rc != RC_OK)
		return rc;
	if (++s->parts > PARTS)
		return err_set(e, RC_INVALID, "an object of more than %d parts", PARTS);
	(void)snprintf(query, sizeof(query), "partNumber=%u&uploadId=%s", s->parts,
	               buf_text(&s->upload));
	rc = ask(s, &r, e);
	buf_free(&r.answer);
	if (rc == RC_OK && !is_etag(r.etag))
		rc = err_set(e, RC_IO, "the S3 endpoint gives no ETag");
	if (rc == RC_OK)
		rc = buf_addf(&s->etags, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>",
		              s->parts, r.etag);
	buf_clear(&s->part);
	return rc;
}

static enum rc end_upload(struct s3 *s, struct err *e)
{
	char query[4200];
	struct s3_request r = { .method = "POST", .query = query, .type = "application/xml" };
	enum rc rc = s->part.len ? put_part(s, e) : RC_OK;

	if (rc == RC_OK)
		rc = buf_add_str(&s->etags, "</CompleteMultipartUpload>");
	if (rc != RC_OK)
		return rc;
	(void)snprintf(query, sizeof(query), "uploadId=%s", buf_text(&s->upload));
	r.body = buf_slice(&s->etags);
	rc = ask(s, &r, e);
	buf_free(&r.answer);
	if (rc == RC_OK)
		buf_clear(&s->upload);
	return rc;
}

/* ---- the object ---- */

enum rc s3_begin(struct s3 *s, struct slice key, struct slice type, struct err *e)
{
	enum rc rc;

	buf_clear(&s->path);
	buf_clear(&s->part);
	buf_clear(&s->upload);
	free(s->type);
	s->type = slice_string(type);
	rc = buf_add_str(&s->path, s->root);
	if (rc == RC_OK)
		rc = sigv4_escape(&s->path, key, true);
	if (rc == RC_OK)
		rc = buf_add_byte(&s->path, 0);
	return rc == RC_OK ? rc : err_set(e, RC_INVALID, "an object's name is too long");
}

enum rc s3_add(struct s3 *s, struct slice bytes, struct err *e)
{
	enum rc rc = RC_OK;

	while (rc == RC_OK && bytes.len) {
		struct slice fits = slice_part(bytes, 0, s->part_bytes - s->part.len);

		rc = buf_add(&s->part, fits);
		bytes = slice_from(bytes, fits.len);
		if (rc == RC_OK && s->part.len == s->part_bytes)
			rc = put_part(s, e);
	}
	return rc;
}

enum rc s3_end(struct s3 *s, struct err *e)
{
	return s->upload.len ? end_upload(s, e) : put_whole(s, e);
}

static bool stays(void *arg)
{
	(void)arg;
	return false;
}

void s3_abort(struct s3 *s)
{
	char query[4200];
	struct s3_request r = { .method = "DELETE", .query = query };
	struct err e = { 0 };

	if (s->upload.len == 0)
		return;
	s->line.gone = stays; /* whoever has gone wants this done */
	(void)snprintf(query, sizeof(query), "uploadId=%s", buf_text(&s->upload));
	(void)!ask(s, &r, &e);
	buf_free(&r.answer);
	buf_clear(&s->upload);
}
