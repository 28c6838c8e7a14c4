#include "api/wire.h"

#include <math.h>

#include "api/wire_parts.h"

/* 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z */
#define FIRST_SECOND (-62135596800)
#define LAST_SECOND  253402300799
#define WHOLE_MOST   9007199254740992.0

/* ---- values ---- */

json_t *wire_wrong(const struct shape *shape, const struct shape_path *path, struct err *e)
{
	static const char *const texts[] = {
		[SHAPE_STRUCT] = "must be an object",
		[SHAPE_UNION] = "must be an object",
		[SHAPE_LIST] = "must be a list",
		[SHAPE_STRING] = "must be a string",
		[SHAPE_ENUM] = "must be a string",
		[SHAPE_INT] = "must be an integer of 32 bits",
		[SHAPE_DOUBLE] = "must be a number",
		[SHAPE_TIMESTAMP] = "must be a time",
		[SHAPE_BOOL] = "must be true or false",
	};

	(void)shape_fault(e, path, "%s", texts[shape->kind]);
	return NULL;
}

json_t *wire_number(double number, const struct shape_path *path, struct err *e)
{
	if (!isfinite(number)) {
		(void)shape_fault(e, path, "must be a finite number");
		return NULL;
	}
	if (fabs(number) <= WHOLE_MOST && trunc(number) == number)
		return json_integer((json_int_t)number);
	return json_real(number);
}

json_t *wire_integer(int64_t number, const struct shape_path *path, struct err *e)
{
	if (number >= INT32_MIN && number <= INT32_MAX)
		return json_integer(number);
	(void)shape_fault(e, path, "must be an integer of 32 bits");
	return NULL;
}

json_t *wire_time_whole(int64_t seconds, const struct shape_path *path, struct err *e)
{
	if (seconds >= FIRST_SECOND && seconds <= LAST_SECOND)
		return json_integer(seconds * 1000);
	(void)shape_fault(e, path, "must be a time in the years 1 to 9999, in seconds since 1970");
	return NULL;
}

json_t *wire_time(double seconds, const struct shape_path *path, struct err *e)
{
	/* false for what is no number, too */
	if (seconds >= FIRST_SECOND && seconds < LAST_SECOND + 1.0)
		return json_integer(llround(seconds * 1000));
	return wire_time_whole(INT64_MAX, path, e);
}

/* ---- requests ---- */

enum rc wire_decode(enum wire_protocol protocol, const struct shape *shape, struct slice body,
                    json_t **out, struct err *e)
{
	*out = NULL;
	if (body.len > WIRE_BODY_MAX)
		return err_set(e, RC_LIMIT, "the body has more than %u bytes", WIRE_BODY_MAX);
	if (body.len == 0)
		*out = json_object();
	else if (protocol == WIRE_AWS_JSON)
		*out = wire_json_value(shape, body, e);
	else
		*out = wire_cbor_value(shape, body, e);
	return *out ? RC_OK : RC_INVALID;
}

/* ---- answers ---- */

const char *wire_content_type(enum wire_protocol protocol)
{
	return protocol == WIRE_AWS_JSON ? "application/x-amz-json-1.0" : "application/cbor";
}

enum rc wire_encode_error(enum wire_protocol protocol, enum api_error error, const char *message,
                          struct buf *out)
{
	static const struct shape text = { .kind = SHAPE_STRING };
	static const struct shape_member members[] = {
		{ .name = "__type", .shape = &text },
		{ .name = "Message", .shape = &text },
		{ .name = "message", .shape = &text },
		{ .name = NULL },
	};
	static const struct shape shape = { .kind = SHAPE_STRUCT, .members = members };
	json_t *body = json_object();
	enum rc rc;

	json_put_text(body, "__type", slice_str(api_error_name(error)));
	json_put_text(body, "Message", slice_str(message));
	json_put_text(body, "message", slice_str(message));
	rc = wire_encode(protocol, &shape, body, out, NULL);
	json_decref(body);
	return rc;
}
