#include "ingest/action/payload.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sealed.h"
#include "ingest/action/lambda.h"
#include "ingest/action/qbusiness.h"
#include "ingest/action/s3.h"
#include "ingest/action/sns.h"

#define CODE_MOST 64

const struct payload_kind *payload_kind(struct slice action)
{
	static const struct payload_kind kinds[] = {
		{ "WriteToS3", false, s3_payload, s3_payload_read },
		{ "PublishToSns", true, sns_payload, sns_payload_read },
		{ "InvokeLambda", true, lambda_payload, lambda_payload_read },
		{ "DeliverToQBusiness", true, qbusiness_payload, qbusiness_payload_read },
	};

	for (size_t i = 0; i < COUNT(kinds); i++)
		if (slice_equal(action, slice_str(kinds[i].action)))
			return &kinds[i];
	return NULL;
}

void payload_init(struct payload *p)
{
	*p = (struct payload) { .memory = -1 };
}

enum rc payload_make(struct payload *p, const struct payload_kind *k, const struct payload_facts *f,
                     struct err *e)
{
	enum rc rc;

	p->call = (struct call) {
		.method = "POST", .host_prefix = "", .query = "", .fields = p->fields, .body = -1
	};
	rc = k->make(p, f, e);
	if (rc != RC_OK || !k->gives_body)
		return rc;
	rc = sealed_new(&p->memory, "mm-call", buf_slice(&p->body), e);
	p->call.body = p->memory;
	p->call.body_bytes = p->body.len;
	buf_free(&p->body);
	return rc;
}

void payload_free(struct payload *p)
{
	if (p->memory >= 0)
		(void)close(p->memory);
	for (size_t i = 0; i < p->owned_count; i++)
		free(p->owned[i]);
	buf_free(&p->body);
	payload_init(p);
}

const char *payload_own(struct payload *p, struct buf *b)
{
	MUST(p->owned_count < PAYLOAD_OWNED);
	p->owned[p->owned_count] = slice_string(buf_slice(b));
	buf_free(b);
	return p->owned[p->owned_count++];
}

void payload_field(struct payload *p, const char *name, const char *value)
{
	MUST(p->call.field_count < PAYLOAD_FIELDS);
	p->fields[p->call.field_count++] = (struct call_field) { name, value };
}

const char *payload_member(const struct payload_facts *f, const char *member)
{
	return json_string_value(json_object_get(f->action, member));
}

/* ---- answers ---- */

void payload_say(struct payload_result *out, enum payload_end end, const char *format, ...)
{
	va_list args;

	out->end = end;
	va_start(args, format);
	(void)vsnprintf(out->text, sizeof(out->text), format, args);
	va_end(args);
	for (char *c = out->text; *c; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c >= 127)
			*c = '?';
}

static bool is_code(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!(s.at[i] >= 'a' && s.at[i] <= 'z') && !(s.at[i] >= 'A' && s.at[i] <= 'Z') &&
		    !(s.at[i] >= '0' && s.at[i] <= '9') && s.at[i] != '.')
			return false;
	return s.len >= 1 && s.len < CODE_MOST;
}

/* <Code>Throttling</Code> of the query protocol and S3. */
static struct slice xml_code(struct slice answer)
{
	size_t at = slice_find(answer, slice_str("<Code>"));
	struct slice rest;

	if (at == SIZE_MAX)
		return slice_of(NULL, 0);
	return slice_cut(slice_from(answer, at + 6), '<', &rest);
}

/* {"__type":"com.amazonaws.lambda#TooManyRequestsException"} */
static struct slice json_code(const json_t *o)
{
	static const char *const members[] = { "__type", "code", "Code" };

	for (size_t i = 0; i < COUNT(members); i++) {
		struct slice s = json_member_text(o, members[i]);
		struct slice rest;
		size_t hash = s.len ? slice_find_byte(s, '#') : SIZE_MAX;

		if (hash != SIZE_MAX)
			s = slice_from(s, hash + 1);
		s = slice_cut(s, ':', &rest);
		if (is_code(s))
			return s;
	}
	return slice_of(NULL, 0);
}

/* "" where there is none. */
static void code_of(char out[CODE_MOST], struct slice answer)
{
	struct slice code = xml_code(answer);
	json_t *o = NULL;

	if (!is_code(code) && json_read(&o, answer, NULL) == RC_OK)
		code = json_code(o);
	if (!is_code(code))
		code = slice_of("", 0);
	memcpy(out, code.at, code.len);
	out[code.len] = 0;
	json_decref(o);
}

static const struct {
	const char *begins;
	enum payload_end end;
} known_codes[] = {
	{ "Throttl", PAYLOAD_LATER },
	{ "TooManyRequests", PAYLOAD_LATER },
	{ "RequestLimitExceeded", PAYLOAD_LATER },
	{ "RequestThrottled", PAYLOAD_LATER },
	{ "RequestTimeout", PAYLOAD_LATER },
	{ "RequestTimeTooSkewed", PAYLOAD_LATER }, /* our clock, or theirs */
	{ "RequestExpired", PAYLOAD_LATER },
	{ "SlowDown", PAYLOAD_LATER },
	{ "ServiceUnavailable", PAYLOAD_LATER },
	{ "InternalError", PAYLOAD_LATER },
	{ "InternalFailure", PAYLOAD_LATER },
	{ "InternalServer", PAYLOAD_LATER },
	{ "OperationAborted", PAYLOAD_LATER },
	{ "KMSThrottling", PAYLOAD_LATER },
	{ "KMS", PAYLOAD_SET_UP },
	{ "AccessDenied", PAYLOAD_SET_UP },
	{ "AuthorizationError", PAYLOAD_SET_UP },
	{ "AuthorizationHeaderMalformed", PAYLOAD_SET_UP }, /* a wrong region */
	{ "InvalidAccessKeyId", PAYLOAD_SET_UP },
	{ "InvalidClientTokenId", PAYLOAD_SET_UP },
	{ "UnrecognizedClient", PAYLOAD_SET_UP },
	{ "SignatureDoesNotMatch", PAYLOAD_SET_UP },
	{ "InvalidSignature", PAYLOAD_SET_UP },
	{ "IncompleteSignature", PAYLOAD_SET_UP },
	{ "ExpiredToken", PAYLOAD_SET_UP },
	{ "InvalidBucketName", PAYLOAD_SET_UP },
	{ "ResourceNotFound", PAYLOAD_SET_UP },
	{ "NotFound", PAYLOAD_SET_UP },
	{ "NotImplemented", PAYLOAD_SET_UP },
	{ "ServiceQuotaExceeded", PAYLOAD_SET_UP },
};

static enum payload_end end_of(unsigned status, const char *code)
{
	for (size_t i = 0; i < COUNT(known_codes); i++)
		if (strncmp(code, known_codes[i].begins, strlen(known_codes[i].begins)) == 0)
			return known_codes[i].end;
	if (status == 408 || status == 409 || status == 425 || status == 429 ||
	    (status >= 500 && status != 501))
		return PAYLOAD_LATER;
	if (status < 400 || (status >= 401 && status <= 407) || status == 410 || status == 501)
		return PAYLOAD_SET_UP;
	return PAYLOAD_NEVER;
}

bool payload_refused(struct payload_result *out, const char *who, const struct call_result *r)
{
	char code[CODE_MOST];

	*out = (struct payload_result) { .end = PAYLOAD_DONE };
	if (r->end != CALL_ANSWERED) {
		payload_say(out, r->end == CALL_LATER ? PAYLOAD_LATER : PAYLOAD_SET_UP, "%s: %s",
		            who, r->why);
		return true;
	}
	if (r->status / 100 == 2)
		return false;
	code_of(code, r->answer);
	payload_say(out, end_of(r->status, code), "%s answers %u%s%s", who, r->status,
	            code[0] ? " " : "", code);
	return true;
}
