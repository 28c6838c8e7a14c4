#include "base/sigv4_parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"

void sigv4_time(char out[SIGV4_TIME + 1], int64_t ms)
{
	char full[25];
	char text[32];

	time_format(full, ms);
	(void)snprintf(text, sizeof(text), "%.4s%.2s%.2sT%.2s%.2s%.2sZ", full, full + 5, full + 8,
	               full + 11, full + 14, full + 17);
	memcpy(out, text, SIGV4_TIME + 1);
}

/* The names of all fields, lower case, sorted, each once, joined by ";". */
static enum rc names_of_fields(struct buf *out, const struct sigv4_request *r)
{
	struct slice last = { 0 };
	enum rc rc = RC_OK;

	for (size_t round = 0; round < r->count && rc == RC_OK; round++) {
		struct slice next = { 0 };

		for (size_t i = 0; i < r->count; i++) {
			struct slice name = r->fields[i].name;

			if ((last.len == 0 || sigv4_name_order(last, name) < 0) &&
			    (next.len == 0 || sigv4_name_order(name, next) < 0))
				next = name;
		}
		if (next.len == 0)
			break;
		if (out->len)
			rc = buf_add_byte(out, ';');
		for (size_t i = 0; i < next.len && rc == RC_OK; i++)
			rc = buf_add_byte(out, sigv4_lower(next.at[i]));
		last = next;
	}
	return rc;
}

static enum rc check_payload(const struct sigv4_request *r, struct slice payload, struct err *e)
{
	const struct http_field *said = sigv4_field(r, "x-amz-content-sha256");

	if (!sigv4_field(r, "host"))
		return err_set(e, RC_INVALID, "a request without a host can't be signed");
	if (said && !slice_equal(slice_trim(said->value), payload))
		return err_set(e, RC_INVALID, "x-amz-content-sha256 is not what is signed");
	return RC_OK;
}

static enum rc sign_text(char out[SIGV4_HASH + 1], const struct sigv4_signer *s, const char *time,
                         const struct sigv4_request *r, struct slice names, struct slice payload,
                         struct err *e)
{
	const struct sigv4_scope scope = { time, s->region, s->service };
	struct buf text;
	enum rc rc;

	buf_init(&text, LIMIT_SIGV4_TEXT);
	rc = sigv4_string_to_sign(&text, &scope, r, names, payload, e);
	if (rc == RC_OK)
		sigv4_signature(out, &scope, buf_slice(&text), s->secret);
	buf_free(&text);
	return rc;
}

static enum rc add_credential(struct buf *out, const struct sigv4_signer *s, const char *time)
{
	return buf_addf(out, "%.*s/%.8s/%.*s/%.*s/" SIGV4_END, (int)s->key_id.len,
	                (const char *)s->key_id.at, time, (int)s->region.len,
	                (const char *)s->region.at, (int)s->service.len,
	                (const char *)s->service.at);
}

static enum rc too_long(enum rc rc, struct err *e)
{
	return rc == RC_OK ? RC_OK : err_set(e, rc, "the signature is too long");
}

static enum rc add_authorization(struct buf *out, const struct sigv4_signer *s, const char *time,
                                 const struct buf *names, const char *signature)
{
	enum rc rc = buf_add_str(out, SIGV4_ALGORITHM " Credential=");

	if (rc == RC_OK)
		rc = add_credential(out, s, time);
	if (rc == RC_OK)
		rc = buf_addf(out, ", SignedHeaders=%s, Signature=%s", buf_text(names), signature);
	return rc;
}

enum rc sigv4_sign(struct buf *out, const struct sigv4_signer *s, const struct sigv4_request *r,
                   struct slice payload, struct err *e)
{
	const struct http_field *date = sigv4_field(r, "x-amz-date");
	char signature[SIGV4_HASH + 1];
	char time[SIGV4_TIME + 1] = "";
	struct buf names;
	int64_t ms;
	enum rc rc = check_payload(r, payload, e);

	if (rc != RC_OK)
		return rc;
	if (!date || !sigv4_time_parse(date->value, &ms))
		return err_set(e, RC_INVALID,
		               "a request without a good x-amz-date can't be signed");
	memcpy(time, date->value.at, SIGV4_TIME);
	buf_init(&names, LIMIT_SIGV4_NAMES);
	rc = too_long(names_of_fields(&names, r), e);
	if (rc == RC_OK)
		rc = sign_text(signature, s, time, r, buf_slice(&names), payload, e);
	if (rc == RC_OK)
		rc = too_long(add_authorization(out, s, time, &names, signature), e);
	buf_free(&names);
	return rc;
}

/* The query with all that is signed, in front of X-Amz-Signature. */
static enum rc add_query_form(struct buf *out, const struct sigv4_signer *s, struct slice query,
                              struct slice names, const char *time, unsigned seconds)
{
	struct buf credential;
	enum rc rc = buf_add(out, query);

	buf_init(&credential, LIMIT_SIGV4_NAMES);
	if (rc == RC_OK)
		rc = add_credential(&credential, s, time);
	if (rc == RC_OK && query.len)
		rc = buf_add_byte(out, '&');
	if (rc == RC_OK)
		rc = buf_add_str(out, "X-Amz-Algorithm=" SIGV4_ALGORITHM "&X-Amz-Credential=");
	if (rc == RC_OK)
		rc = sigv4_escape(out, buf_slice(&credential), false);
	if (rc == RC_OK)
		rc = buf_addf(out, "&X-Amz-Date=%s&X-Amz-Expires=%u&X-Amz-SignedHeaders=", time,
		              seconds);
	if (rc == RC_OK)
		rc = sigv4_escape(out, names, false);
	buf_free(&credential);
	return rc;
}

static enum rc presign(struct buf *out, struct buf *names, const struct sigv4_signer *s,
                       const struct sigv4_request *r, struct slice payload, const char *time,
                       unsigned seconds, struct err *e)
{
	struct sigv4_request full = *r;
	char signature[SIGV4_HASH + 1];
	size_t before = out->len;
	enum rc rc = too_long(names_of_fields(names, r), e);

	if (rc == RC_OK)
		rc = too_long(add_query_form(out, s, r->query, buf_slice(names), time, seconds), e);
	full.query = slice_from(buf_slice(out), before);
	if (rc == RC_OK)
		rc = sign_text(signature, s, time, &full, buf_slice(names), payload, e);
	if (rc == RC_OK)
		rc = too_long(buf_addf(out, "&X-Amz-Signature=%s", signature), e);
	if (rc != RC_OK)
		out->len = before;
	return rc;
}

enum rc sigv4_presign(struct buf *out, const struct sigv4_signer *s, const struct sigv4_request *r,
                      struct slice payload, int64_t at_ms, unsigned seconds, struct err *e)
{
	char time[SIGV4_TIME + 1];
	struct buf names;
	enum rc rc = check_payload(r, payload, e);

	MUST(seconds >= 1 && seconds <= SIGV4_EXPIRES_MAX);
	if (rc != RC_OK)
		return rc;
	sigv4_time(time, at_ms);
	buf_init(&names, LIMIT_SIGV4_NAMES);
	rc = presign(out, &names, s, r, payload, time, seconds, e);
	buf_free(&names);
	return rc;
}
