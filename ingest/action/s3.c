#include "ingest/action/s3.h"

#include "base/sigv4.h"
#include "ingest/deliver.h"

#define DEADLINE_MS 300000

static bool has_dots(struct slice s)
{
	while (s.len) {
		struct slice part = slice_cut(s, '/', &s);

		if (slice_equal(part, slice_str(".")) || slice_equal(part, slice_str("..")))
			return true;
	}
	return false;
}

static bool is_bucket(struct slice name)
{
	struct slice bucket;
	struct slice prefix;
	struct buf location;
	bool good;

	buf_init(&location, 256);
	good = buf_add_str(&location, "s3://") == RC_OK && buf_add(&location, name) == RC_OK &&
	       deliver_location(buf_slice(&location), &bucket, &prefix) &&
	       slice_equal(bucket, name) && prefix.len == 0;
	buf_free(&location);
	return good;
}

/* "/BUCKET/KEY", or "/KEY" where the bucket is in the host's name. */
static enum rc make_path(struct buf *out, struct slice bucket, struct slice prefix, const char *id)
{
	enum rc rc = buf_add_byte(out, '/');

	if (rc == RC_OK && bucket.len)
		rc = buf_add(out, bucket);
	if (rc == RC_OK && bucket.len)
		rc = buf_add_byte(out, '/');
	if (rc == RC_OK)
		rc = sigv4_escape(out, prefix, true);
	return rc == RC_OK ? buf_add_str(out, id) : rc;
}

static enum rc place(struct payload *p, const struct payload_facts *f, struct slice bucket,
                     struct slice prefix, struct err *e)
{
	const json_t *s3 = json_member_object(f->endpoints, "s3");
	bool path_style = json_member_bool(s3, "path_style", false);
	char id[ID_TEXT + 1];
	struct buf path;
	struct buf host;

	id_format(id, &f->mail->id);
	buf_init(&path, 4096);
	buf_init(&host, 256);
	if (make_path(&path, path_style ? bucket : slice_of(NULL, 0), prefix, id) != RC_OK ||
	    (!path_style &&
	     buf_addf(&host, "%.*s.", (int)bucket.len, (const char *)bucket.at) != RC_OK)) {
		buf_free(&path);
		buf_free(&host);
		return err_set(e, RC_INVALID, "S3Prefix is too long");
	}
	p->call.path = payload_own(p, &path);
	p->call.host_prefix = payload_own(p, &host);
	return RC_OK;
}

enum rc s3_payload(struct payload *p, const struct payload_facts *f, struct err *e)
{
	struct slice bucket = json_member_text(f->action, "S3Bucket");
	struct slice prefix = json_member_text(f->action, "S3Prefix");
	const char *key = payload_member(f, "S3SseKmsKeyId");

	if (!is_bucket(bucket))
		return err_set(e, RC_INVALID, "S3Bucket is no bucket's name");
	if (has_dots(prefix))
		return err_set(e, RC_INVALID, "S3Prefix has a part \".\" or \"..\"");
	p->call.endpoint = "s3";
	p->call.method = "PUT";
	p->call.deadline_ms = DEADLINE_MS;
	payload_field(p, "content-type", "message/rfc822");
	if (key) {
		payload_field(p, "x-amz-server-side-encryption", "aws:kms");
		payload_field(p, "x-amz-server-side-encryption-aws-kms-key-id", key);
	}
	return place(p, f, bucket, prefix, e);
}

void s3_payload_read(struct payload_result *out, const json_t *action, const struct call_result *r)
{
	(void)action;
	(void)payload_refused(out, "S3", r);
}
