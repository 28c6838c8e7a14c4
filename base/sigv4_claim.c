#include "base/sigv4_parts.h"

#include <stdlib.h>

#include "base/codec.h"

const char *sigv4_exception(enum sigv4_verdict v)
{
	switch (v) {
	case SIGV4_GOOD:
		return NULL;
	case SIGV4_MISSING:
		return "MissingAuthenticationTokenException";
	case SIGV4_MALFORMED:
		return "IncompleteSignatureException";
	case SIGV4_TOKEN:
		return "UnrecognizedClientException";
	case SIGV4_SCOPE:
	case SIGV4_OUTDATED:
	case SIGV4_BODY:
	case SIGV4_WRONG:
		break;
	}
	return "InvalidSignatureException";
}

static enum sigv4_verdict malformed(struct err *e, const char *why)
{
	(void)err_set(e, RC_DENIED, "%s", why);
	return SIGV4_MALFORMED;
}

/* ---- small parts ---- */

int sigv4_name_order(struct slice a, struct slice b)
{
	for (size_t i = 0; i < a.len && i < b.len; i++) {
		int order = sigv4_lower(a.at[i]) - sigv4_lower(b.at[i]);

		if (order)
			return order;
	}
	return (a.len > b.len) - (a.len < b.len);
}

bool sigv4_time_parse(struct slice t, int64_t *ms)
{
	static const uint8_t at[] = { 0, 4, 6, 9, 11, 13 };
	static const uint8_t digits[] = { 4, 2, 2, 2, 2, 2 };
	uint64_t n[COUNT(at)];

	if (t.len != SIGV4_TIME || t.at[8] != 'T' || t.at[15] != 'Z')
		return false;
	for (size_t i = 0; i < COUNT(at); i++)
		if (!slice_to_u64(slice_part(t, at[i], digits[i]), &n[i]))
			return false;
	if (n[1] < 1 || n[1] > 12 || n[2] < 1 || n[3] > 23 || n[4] > 59 || n[5] > 59 ||
	    n[2] > days_in_month((int64_t)n[0], (unsigned)n[1]))
		return false;
	*ms = days_from_civil((int64_t)n[0], (unsigned)n[1], (unsigned)n[2]) * MS_PER_DAY +
	      (int64_t)(n[3] * 3600 + n[4] * 60 + n[5]) * 1000;
	return true;
}

const struct http_field *sigv4_field(const struct sigv4_request *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++)
		if (slice_equal_nocase(r->fields[i].name, slice_str(name)))
			return &r->fields[i];
	return NULL;
}

static bool copy_text(char *out, size_t room, struct slice text)
{
	if (text.len == 0 || text.len >= room)
		return false;
	memcpy(out, text.at, text.len);
	out[text.len] = '\0';
	return true;
}

static bool is_name_byte(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-';
}

/* Letters, digits and "-", as regions and services have them. */
static bool copy_word(char *out, size_t room, struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!is_name_byte(text.at[i]))
			return false;
	return copy_text(out, room, text);
}

static bool copy_key_id(char *out, size_t room, struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!is_name_byte(text.at[i]) && text.at[i] != '_' && text.at[i] != '.')
			return false;
	return copy_text(out, room, text);
}

/* KEY/DAY/REGION/SERVICE/aws4_request; the day is compared with the time later. */
static bool read_credential(struct sigv4_claim *c, struct slice text)
{
	struct slice key_id = slice_cut(text, '/', &text);
	struct slice day = slice_cut(text, '/', &text);
	struct slice region = slice_cut(text, '/', &text);
	struct slice service = slice_cut(text, '/', &text);

	return copy_key_id(c->key_id, sizeof(c->key_id), key_id) && day.len == 8 &&
	       copy_text(c->time, sizeof(c->time), day) &&
	       copy_word(c->region, sizeof(c->region), region) &&
	       copy_word(c->service, sizeof(c->service), service) &&
	       slice_equal(text, slice_str(SIGV4_END));
}

static bool read_signature(struct sigv4_claim *c, struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!((text.at[i] >= '0' && text.at[i] <= '9') ||
		      (text.at[i] >= 'a' && text.at[i] <= 'f')))
			return false;
	return text.len == SIGV4_HASH && copy_text(c->signature, sizeof(c->signature), text);
}

/* The scope's day stands in c->time; the whole time must begin with it. */
static bool read_time(struct sigv4_claim *c, struct slice text)
{
	if (!sigv4_time_parse(text, &c->at_ms) || memcmp(c->time, text.at, 8) != 0)
		return false;
	return copy_text(c->time, sizeof(c->time), text);
}

/* ---- the header form ---- */

/* Each of the three once, in any order, behind the algorithm. */
static bool read_authorization(struct sigv4_claim *c, struct slice text)
{
	static const char *const names[] = { "Credential", "SignedHeaders", "Signature" };
	struct slice values[COUNT(names)] = { 0 };
	struct slice algorithm = slice_cut(slice_trim(text), ' ', &text);

	if (!slice_equal(algorithm, slice_str(SIGV4_ALGORITHM)))
		return false;
	while (text.len) {
		struct slice value;
		struct slice name = slice_cut(slice_trim(slice_cut(text, ',', &text)), '=', &value);
		size_t i = 0;

		while (i < COUNT(names) && !slice_equal(name, slice_str(names[i])))
			i++;
		if (i == COUNT(names) || values[i].len || value.len == 0)
			return false;
		values[i] = value;
	}
	return read_credential(c, values[0]) && copy_text(c->names, sizeof(c->names), values[1]) &&
	       read_signature(c, values[2]);
}

static enum sigv4_verdict read_header_form(struct sigv4_claim *c, const struct sigv4_request *r,
                                           struct slice text, struct err *e)
{
	const struct http_field *date = sigv4_field(r, "x-amz-date");

	if (!read_authorization(c, text))
		return malformed(e, "Authorization is not \"" SIGV4_ALGORITHM
		                    " Credential=KEY/DAY/REGION/SERVICE/" SIGV4_END
		                    ", SignedHeaders=..., Signature=...\"");
	if (!date || !read_time(c, date->value))
		return malformed(e,
		                 "X-Amz-Date is missing, is no time, or is of another day than the "
		                 "credential's scope");
	c->until_ms = c->at_ms + SIGV4_SKEW_MS;
	return SIGV4_GOOD;
}

/* ---- the query form ---- */

enum { Q_ALGORITHM, Q_CREDENTIAL, Q_DATE, Q_EXPIRES, Q_NAMES, Q_SIGNATURE, Q_TOKEN, Q_COUNT };

static const char *const query_names[] = {
	[Q_ALGORITHM] = "X-Amz-Algorithm",
	[Q_CREDENTIAL] = "X-Amz-Credential",
	[Q_DATE] = "X-Amz-Date",
	[Q_EXPIRES] = "X-Amz-Expires",
	[Q_NAMES] = "X-Amz-SignedHeaders",
	[Q_SIGNATURE] = "X-Amz-Signature",
	[Q_TOKEN] = "X-Amz-Security-Token",
};

struct query_form {
	struct slice values[Q_COUNT]; /* as on the wire */
	bool there[Q_COUNT];
	bool any;
	bool twice; /* or in another spelling */
};

static void find_query_form(struct query_form *q, struct slice query)
{
	char name[64];

	*q = (struct query_form) { .any = false };
	while (query.len) {
		struct sigv4_param p = sigv4_param_next(&query);
		size_t i = 0;

		if (!sigv4_decode(name, sizeof(name), p.name))
			continue; /* too long for one of these */
		while (i < Q_COUNT &&
		       !slice_equal_nocase(slice_str(name), slice_str(query_names[i])))
			i++;
		if (i == Q_COUNT)
			continue;
		if (q->there[i] || !slice_equal(p.name, slice_str(query_names[i])))
			q->twice = true;
		q->there[i] = q->any = true;
		q->values[i] = p.value;
	}
}

static bool read_expires(struct sigv4_claim *c, struct slice text)
{
	uint64_t seconds;

	if (text.len > 6 || !slice_to_u64(text, &seconds) || seconds < 1 ||
	    seconds > SIGV4_EXPIRES_MAX)
		return false;
	c->until_ms = c->at_ms + (int64_t)seconds * 1000;
	return true;
}

static enum sigv4_verdict read_query_form(struct sigv4_claim *c, const struct query_form *q,
                                          struct err *e)
{
	char credential[LIMIT_SIGV4_KEY_ID + 2 * LIMIT_SIGV4_REGION + 32];

	c->presigned = true;
	for (size_t i = 0; i <= Q_SIGNATURE; i++)
		if (!q->there[i] || q->twice)
			return malformed(
			        e, "a presigned request has X-Amz-Algorithm, -Credential, -Date, "
			           "-Expires, -SignedHeaders and -Signature, each once");
	if (!slice_equal(q->values[Q_ALGORITHM], slice_str(SIGV4_ALGORITHM)))
		return malformed(e, "X-Amz-Algorithm is not " SIGV4_ALGORITHM);
	if (!sigv4_decode(credential, sizeof(credential), q->values[Q_CREDENTIAL]) ||
	    !read_credential(c, slice_str(credential)))
		return malformed(e, "X-Amz-Credential is not KEY/DAY/REGION/SERVICE/" SIGV4_END);
	if (!read_time(c, q->values[Q_DATE]))
		return malformed(e, "X-Amz-Date is no time, or of another day than the scope");
	if (!read_expires(c, q->values[Q_EXPIRES]))
		return malformed(e, "X-Amz-Expires is not a number from 1 to 604800");
	if (!sigv4_decode(c->names, sizeof(c->names), q->values[Q_NAMES]) ||
	    !read_signature(c, q->values[Q_SIGNATURE]))
		return malformed(e, "X-Amz-SignedHeaders or X-Amz-Signature is malformed");
	return SIGV4_GOOD;
}

/* ---- what is signed ---- */

static bool is_signed(const struct sigv4_claim *c, struct slice name)
{
	struct slice names = slice_str(c->names);

	while (names.len)
		if (slice_equal_nocase(slice_cut(names, ';', &names), name))
			return true;
	return false;
}

static enum sigv4_verdict check_names(const struct sigv4_claim *c, const struct sigv4_request *r,
                                      struct err *e)
{
	struct slice names = slice_str(c->names);
	struct slice last = { 0 };

	if (names.len == 0 || names.at[names.len - 1] == ';')
		return malformed(e, "SignedHeaders is empty or ends in \";\"");
	while (names.len) {
		struct slice name = slice_cut(names, ';', &names);
		bool there = false;

		for (size_t i = 0; i < name.len; i++)
			if (name.at[i] != sigv4_lower(name.at[i]))
				return malformed(e, "SignedHeaders is not in lower case");
		if (name.len == 0 || (last.len && sigv4_name_order(last, name) >= 0))
			return malformed(e, "SignedHeaders is not sorted, or has a name twice");
		for (size_t i = 0; i < r->count && !there; i++)
			there = slice_equal_nocase(r->fields[i].name, name);
		if (!there) {
			(void)err_set(e, RC_DENIED, "the signed header %.*s is not there",
			              (int)name.len, (const char *)name.at);
			return SIGV4_MALFORMED;
		}
		last = name;
	}
	return SIGV4_GOOD;
}

/* What changes the meaning of a request, or how it is checked. */
static bool decides(const struct sigv4_claim *c, struct slice name)
{
	return slice_starts_nocase(name, slice_str("x-amz-")) ||
	       slice_equal_nocase(name, slice_str("host")) ||
	       (c->use == SIGV4_CALL && slice_equal_nocase(name, slice_str("content-type")));
}

/* Those whose value we go by ourselves. */
static bool is_read(const struct sigv4_claim *c, struct slice name)
{
	static const char *const names[] = { "x-amz-date", "x-amz-target", "x-amz-content-sha256",
		                             "host" };

	for (size_t i = 0; i < COUNT(names); i++)
		if (slice_equal_nocase(name, slice_str(names[i])))
			return true;
	return c->use == SIGV4_CALL && slice_equal_nocase(name, slice_str("content-type"));
}

static bool has_run_of_blanks(struct slice value)
{
	value = slice_trim(value);
	for (size_t i = 0; i < value.len; i++)
		if (value.at[i] == '\t' ||
		    (value.at[i] == ' ' && i + 1 < value.len && value.at[i + 1] == ' '))
			return true;
	return false;
}

static enum sigv4_verdict check_fields(const struct sigv4_claim *c, const struct sigv4_request *r,
                                       struct err *e)
{
	if (!is_signed(c, slice_str("host")))
		return malformed(e, "host is not a signed header");
	for (size_t i = 0; i < r->count; i++) {
		struct slice name = r->fields[i].name;
		const char *why = NULL;
		char text[LIMIT_SIGV4_REGION + 1] = "";

		if (decides(c, name) && !is_signed(c, name))
			why = "is not signed";
		else if (is_read(c, name) && has_run_of_blanks(r->fields[i].value))
			why = "has more than one blank in a row";
		for (size_t j = 0; j < i && !why && is_read(c, name); j++)
			if (slice_equal_nocase(r->fields[j].name, name))
				why = "is there twice";
		if (why) {
			(void)copy_text(text, sizeof(text), slice_part(name, 0, sizeof(text) - 1));
			(void)err_set(e, RC_DENIED, "the header %s %s", text, why);
			return SIGV4_MALFORMED;
		}
	}
	return SIGV4_GOOD;
}

static enum sigv4_verdict check_payload_kind(const struct sigv4_claim *c,
                                             const struct sigv4_request *r, struct err *e)
{
	const struct http_field *said = sigv4_field(r, "x-amz-content-sha256");
	struct slice value = said ? slice_trim(said->value) : slice_of(NULL, 0);

	if (slice_starts_nocase(value, slice_str("STREAMING-")))
		return malformed(e, "payloads signed in chunks are not supported");
	if (said && c->use == SIGV4_CALL && slice_equal(value, slice_str(SIGV4_UNSIGNED)))
		return malformed(e, "the body must be signed");
	return SIGV4_GOOD;
}

static enum sigv4_verdict check_scope(const struct sigv4_claim *c, const char *service,
                                      int64_t now_ms, struct err *e)
{
	char now[SIGV4_TIME + 1];

	if (strcmp(c->service, service) != 0) {
		(void)err_set(e, RC_DENIED, "Credential should be scoped to the service %s",
		              service);
		return SIGV4_SCOPE;
	}
	sigv4_time(now, now_ms);
	if (c->at_ms > now_ms + SIGV4_SKEW_MS) {
		(void)err_set(e, RC_DENIED,
		              "Signature not yet current: %s is more than 5 minutes after %s",
		              c->time, now);
		return SIGV4_OUTDATED;
	}
	if (now_ms >= c->until_ms) {
		(void)err_set(e, RC_DENIED, "Signature expired: signed at %s, it is now %s",
		              c->time, now);
		return SIGV4_OUTDATED;
	}
	return SIGV4_GOOD;
}

/* ---- the two steps ---- */

static enum sigv4_verdict read_form(struct sigv4_claim *c, const struct sigv4_request *r,
                                    struct err *e)
{
	const struct http_field *authorization = sigv4_field(r, "authorization");
	struct query_form q;

	find_query_form(&q, r->query);
	if (q.there[Q_TOKEN] || sigv4_field(r, "x-amz-security-token")) {
		(void)err_set(e, RC_DENIED,
		              "session tokens are not supported: use a key without one");
		return SIGV4_TOKEN;
	}
	if (authorization && q.any)
		return malformed(e, "signed by header and by query at once");
	if (authorization && c->use == SIGV4_CALL)
		return read_header_form(c, r, authorization->value, e);
	if (q.any)
		return read_query_form(c, &q, e);
	(void)err_set(e, RC_DENIED, "the request is not signed");
	return SIGV4_MISSING;
}

enum sigv4_verdict sigv4_claim(struct sigv4_claim *c, const struct sigv4_request *r,
                               enum sigv4_use use, const char *service, int64_t now_ms,
                               struct err *e)
{
	enum sigv4_verdict v;

	*c = (struct sigv4_claim) { .use = use };
	if (!sigv4_path_is_plain(r->path))
		return malformed(e, "a path with empty parts, dots or such escapes is not signed");
	v = read_form(c, r, e);
	if (v == SIGV4_GOOD)
		v = check_names(c, r, e);
	if (v == SIGV4_GOOD)
		v = check_fields(c, r, e);
	if (v == SIGV4_GOOD)
		v = check_payload_kind(c, r, e);
	return v == SIGV4_GOOD ? check_scope(c, service, now_ms, e) : v;
}

static enum sigv4_verdict wrong(struct err *e)
{
	(void)err_set(
	        e, RC_DENIED,
	        "The signature does not match: the key is not known, its secret is another, or "
	        "the request was changed after it was signed.");
	return SIGV4_WRONG;
}

enum sigv4_verdict sigv4_verify(const struct sigv4_claim *c, const struct sigv4_request *r,
                                struct slice payload, struct slice secret, struct sigv4_derived *d,
                                struct err *e)
{
	const struct sigv4_scope scope = { c->time, slice_str(c->region), slice_str(c->service) };
	const struct http_field *said = sigv4_field(r, "x-amz-content-sha256");
	struct buf text;
	bool good;

	if (c->use == SIGV4_LINK)
		payload = slice_str(SIGV4_UNSIGNED);
	if (said && !slice_equal(slice_trim(said->value), payload)) {
		(void)err_set(e, RC_DENIED, "x-amz-content-sha256 is not the hash of the body");
		return SIGV4_BODY;
	}
	buf_init(&text, LIMIT_SIGV4_TEXT);
	if (sigv4_string_to_sign(&text, &scope, r, slice_str(c->names), payload, e) != RC_OK) {
		buf_free(&text);
		return SIGV4_MALFORMED;
	}
	good = sigv4_matches(c->signature, &scope, buf_slice(&text), secret, d);
	buf_free(&text);
	return good ? SIGV4_GOOD : wrong(e);
}
