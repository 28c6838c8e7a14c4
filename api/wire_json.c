/* api/wire_json.c - AWS JSON 1.0 to a value of a shape */
#include "api/wire_parts.h"

static json_t *convert(const struct shape *shape, const json_t *from, const struct shape_path *path,
                       struct err *e);

static json_t *convert_object(const struct shape *shape, const json_t *from,
                              const struct shape_path *path, struct err *e)
{
	json_t *made = json_object();
	const char *name;
	json_t *item;

	json_object_foreach((json_t *)(uintptr_t)from, name, item)
	{
		const struct shape_member *m = shape_member(shape, name);
		struct shape_path here = { .up = path, .member = name };
		json_t *value;

		if (!m || (m->marks & SHAPE_OURS) || json_is_null(item))
			continue;
		value = convert(m->shape, item, &here, e);
		if (!value) {
			json_decref(made);
			return NULL;
		}
		json_put(made, name, value);
	}
	return made;
}

static json_t *convert_list(const struct shape *shape, const json_t *from,
                            const struct shape_path *path, struct err *e)
{
	json_t *made = json_array();

	for (size_t i = 0; i < json_array_size(from); i++) {
		struct shape_path here = { .up = path, .index = i };
		json_t *value = convert(shape->item, json_array_get(from, i), &here, e);

		if (!value) {
			json_decref(made);
			return NULL;
		}
		json_push(made, value);
	}
	return made;
}

static json_t *convert_number(const struct shape *shape, const json_t *from,
                              const struct shape_path *path, struct err *e)
{
	bool whole = json_is_integer(from);

	if (shape->kind == SHAPE_DOUBLE)
		return wire_number(json_number_value(from), path, e);
	if (shape->kind == SHAPE_TIMESTAMP)
		return whole ? wire_time_whole(json_integer_value(from), path, e)
		             : wire_time(json_real_value(from), path, e);
	return whole ? wire_integer(json_integer_value(from), path, e) : wire_wrong(shape, path, e);
}

static bool is_of_kind(enum shape_kind kind, const json_t *value)
{
	switch (kind) {
	case SHAPE_STRUCT:
	case SHAPE_UNION:
		return json_is_object(value);
	case SHAPE_LIST:
		return json_is_array(value);
	case SHAPE_STRING:
	case SHAPE_ENUM:
		return json_is_string(value);
	case SHAPE_INT:
	case SHAPE_DOUBLE:
	case SHAPE_TIMESTAMP:
		return json_is_number(value);
	case SHAPE_BOOL:
		return json_is_boolean(value);
	}
	return false;
}

static json_t *convert(const struct shape *shape, const json_t *from, const struct shape_path *path,
                       struct err *e)
{
	if (!is_of_kind(shape->kind, from))
		return wire_wrong(shape, path, e);
	if (json_is_object(from))
		return convert_object(shape, from, path, e);
	if (json_is_array(from))
		return convert_list(shape, from, path, e);
	if (json_is_number(from))
		return convert_number(shape, from, path, e);
	return json_incref((json_t *)(uintptr_t)from);
}

/* At least as many values and names as the text has, before any of them is made. */
static size_t count_values(struct slice text)
{
	bool quoted = false;
	size_t n = 1;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.at[i];

		if (c == '"')
			quoted = !quoted;
		else if (quoted)
			i += c == '\\';
		else
			n += c == '[' || c == '{' || c == ',' || c == ':';
	}
	return n;
}

json_t *wire_json_value(const struct shape *shape, struct slice body, struct err *e)
{
	struct err why = { 0 };
	json_t *parsed;
	json_t *made;

	if (count_values(body) > WIRE_VALUES_MAX) {
		(void)err_set(e, RC_INVALID, "too many values");
		return NULL;
	}
	if (json_read(&parsed, body, &why) != RC_OK) {
		char *near = strstr(why.text, " near ");

		/* What follows is of the body, and may be a password. */
		if (near)
			*near = '\0';
		(void)err_set(e, RC_INVALID, "%s", why.text);
		return NULL;
	}
	made = convert(shape, parsed, NULL, e);
	json_decref(parsed);
	return made;
}
