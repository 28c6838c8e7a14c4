/* api/wire_write.c - a value of a shape to AWS JSON 1.0 or CBOR */
#include <cbor.h>
#include <inttypes.h>

#include "api/wire_parts.h"

struct writer {
	struct buf *out;
	bool cbor;
	struct err *e;
};

static enum rc put(const struct writer *w, const struct shape *shape, const json_t *value,
                   const struct shape_path *path);

/* One of libcbor's functions that write a head with a number: size_t and uint64_t are one type
 * here. */
typedef size_t (*encode_head)(uint64_t n, unsigned char *at, size_t room);

static enum rc put_head(const struct writer *w, encode_head encode, uint64_t n)
{
	unsigned char at[9];

	return buf_add(w->out, slice_of(at, encode(n, at, sizeof(at))));
}

static enum rc put_open(const struct writer *w, char bracket, size_t n)
{
	if (!w->cbor)
		return buf_add_byte(w->out, (uint8_t)bracket);
	if (bracket == '{')
		return put_head(w, cbor_encode_map_start, n);
	return put_head(w, cbor_encode_array_start, n);
}

static enum rc put_sign(const struct writer *w, char sign)
{
	return w->cbor ? RC_OK : buf_add_byte(w->out, (uint8_t)sign);
}

static enum rc put_text(const struct writer *w, const json_t *value)
{
	struct slice text = json_text(value);
	enum rc rc;

	if (!w->cbor)
		return json_write(w->out, value);
	rc = put_head(w, cbor_encode_string_start, text.len);
	return rc == RC_OK ? buf_add(w->out, text) : rc;
}

static enum rc put_name(const struct writer *w, const char *name)
{
	json_t *text = json_string(name);
	enum rc rc = put_text(w, text);

	json_decref(text);
	return rc == RC_OK ? put_sign(w, ':') : rc;
}

static enum rc put_integer(const struct writer *w, int64_t n)
{
	if (!w->cbor)
		return buf_addf(w->out, "%" PRId64, n);
	if (n >= 0)
		return put_head(w, cbor_encode_uint, (uint64_t)n);
	return put_head(w, cbor_encode_negint, (uint64_t)(-1 - n));
}

static enum rc put_real(const struct writer *w, double n)
{
	unsigned char at[9];

	return buf_add(w->out, slice_of(at, cbor_encode_double(n, at, sizeof(at))));
}

static enum rc put_double(const struct writer *w, const json_t *value)
{
	if (!w->cbor)
		return json_write(w->out, value);
	return put_real(w, json_number_value(value));
}

/* Seconds, in JSON with as many decimals as it needs. */
static enum rc put_time(const struct writer *w, int64_t ms)
{
	int64_t rest = ms % 1000 < 0 ? -(ms % 1000) : ms % 1000;
	enum rc rc;

	if (w->cbor) {
		rc = put_head(w, cbor_encode_tag, 1);
		if (rc != RC_OK || rest == 0)
			return rc == RC_OK ? put_integer(w, ms / 1000) : rc;
		return put_real(w, (double)ms / 1000.0);
	}
	if (ms < 0 && ms > -1000 && buf_add_byte(w->out, '-') != RC_OK)
		return RC_LIMIT;
	rc = put_integer(w, ms / 1000);
	if (rc != RC_OK || rest == 0)
		return rc;
	if (rest % 100 == 0)
		return buf_addf(w->out, ".%" PRId64, rest / 100);
	if (rest % 10 == 0)
		return buf_addf(w->out, ".%02" PRId64, rest / 10);
	return buf_addf(w->out, ".%03" PRId64, rest);
}

static enum rc put_bool(const struct writer *w, bool value)
{
	unsigned char at[9];

	if (w->cbor)
		return buf_add(w->out, slice_of(at, cbor_encode_bool(value, at, sizeof(at))));
	return buf_add_str(w->out, value ? "true" : "false");
}

static const json_t *value_of(const json_t *object, const struct shape_member *m)
{
	const json_t *value = json_object_get(object, m->name);

	return json_is_null(value) ? NULL : value;
}

static enum rc put_object(const struct writer *w, const struct shape *shape, const json_t *value,
                          const struct shape_path *path)
{
	size_t n = 0, i = 0;
	enum rc rc;

	for (const struct shape_member *m = shape->members; m->name; m++)
		n += value_of(value, m) != NULL;
	rc = put_open(w, '{', n);
	for (const struct shape_member *m = shape->members; m->name && rc == RC_OK; m++) {
		struct shape_path here = { .up = path, .member = m->name };

		if (!value_of(value, m))
			continue;
		if (i++)
			rc = put_sign(w, ',');
		if (rc == RC_OK)
			rc = put_name(w, m->name);
		if (rc == RC_OK)
			rc = put(w, m->shape, value_of(value, m), &here);
	}
	return rc == RC_OK ? put_sign(w, '}') : rc;
}

static enum rc put_list(const struct writer *w, const struct shape *shape, const json_t *value,
                        const struct shape_path *path)
{
	enum rc rc = put_open(w, '[', json_array_size(value));

	for (size_t i = 0; i < json_array_size(value) && rc == RC_OK; i++) {
		struct shape_path here = { .up = path, .index = i };

		if (i)
			rc = put_sign(w, ',');
		if (rc == RC_OK)
			rc = put(w, shape->item, json_array_get(value, i), &here);
	}
	return rc == RC_OK ? put_sign(w, ']') : rc;
}

static enum rc put(const struct writer *w, const struct shape *shape, const json_t *value,
                   const struct shape_path *path)
{
	enum shape_kind kind = shape->kind;

	if ((kind == SHAPE_STRUCT || kind == SHAPE_UNION) && json_is_object(value))
		return put_object(w, shape, value, path);
	if (kind == SHAPE_LIST && json_is_array(value))
		return put_list(w, shape, value, path);
	if ((kind == SHAPE_STRING || kind == SHAPE_ENUM) && json_is_string(value))
		return put_text(w, value);
	if (kind == SHAPE_INT && json_is_integer(value))
		return put_integer(w, json_integer_value(value));
	if (kind == SHAPE_TIMESTAMP && json_is_integer(value))
		return put_time(w, json_integer_value(value));
	if (kind == SHAPE_DOUBLE && json_is_number(value))
		return put_double(w, value);
	if (kind == SHAPE_BOOL && json_is_boolean(value))
		return put_bool(w, json_is_true(value));
	(void)wire_wrong(shape, path, w->e);
	return RC_INVALID;
}

enum rc wire_encode(enum wire_protocol protocol, const struct shape *shape, const json_t *value,
                    struct buf *out, struct err *e)
{
	struct writer w = { .out = out, .cbor = protocol == WIRE_RPC_CBOR, .e = e };
	size_t before = out->len;
	enum rc rc = put(&w, shape, value, NULL);

	if (rc == RC_OK)
		return RC_OK;
	if (rc == RC_LIMIT)
		(void)err_set(e, RC_LIMIT, "the answer has more than %zu bytes", out->limit);
	out->len = before;
	if (out->at)
		out->at[before] = '\0';
	return rc;
}
