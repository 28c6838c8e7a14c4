#include "ingest/shape.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static enum rc path_write(struct buf *b, const struct shape_path *path)
{
	enum rc rc;

	if (!path)
		return RC_OK;
	rc = path_write(b, path->up);
	if (rc != RC_OK)
		return rc;
	if (!path->member)
		return buf_addf(b, "[%zu]", path->index);
	return buf_addf(b, "%s%s", b->len ? "." : "", path->member);
}

enum rc shape_fault(struct err *e, const struct shape_path *path, const char *fmt, ...)
{
	char text[400];
	struct buf where;
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	buf_init(&where, 4096);
	if (path_write(&where, path) != RC_OK || where.len == 0)
		(void)err_set(e, RC_INVALID, "%s", text);
	else
		(void)err_set(e, RC_INVALID, "%s: %s", buf_text(&where), text);
	buf_free(&where);
	return RC_INVALID;
}

static enum rc check(const struct shape *shape, const json_t *value, const struct shape_path *path,
                     struct err *e);

static const struct shape_member *member_of(const struct shape *shape, const char *name)
{
	for (const struct shape_member *m = shape->members; m->name; m++)
		if (strcmp(m->name, name) == 0)
			return m;
	return NULL;
}

static enum rc check_members(const struct shape *shape, const json_t *value,
                             const struct shape_path *path, struct err *e)
{
	const char *name;
	json_t *item;

	json_object_foreach((json_t *)(uintptr_t)value, name, item)
	{
		const struct shape_member *m = member_of(shape, name);
		struct shape_path here = { .up = path, .member = name };
		enum rc rc;

		if (json_is_null(item))
			continue;
		if (!m)
			return shape_fault(e, path, "unknown member \"%.100s\"", name);
		if (m->shape->kind == SHAPE_LATER)
			return shape_fault(e, path, "\"%s\" is not built yet; %s", name,
			                   m->shape->later);
		rc = check(m->shape, item, &here, e);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static bool has(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	return value && !json_is_null(value);
}

static enum rc check_struct(const struct shape *shape, const json_t *value,
                            const struct shape_path *path, struct err *e)
{
	enum rc rc;

	if (!json_is_object(value))
		return shape_fault(e, path, "must be an object");
	rc = check_members(shape, value, path, e);
	if (rc != RC_OK)
		return rc;
	for (const struct shape_member *m = shape->members; m->name; m++) {
		struct shape_path here = { .up = path, .member = m->name };

		if (m->required && !has(value, m->name))
			return shape_fault(e, &here, "Member must not be null");
	}
	return RC_OK;
}

static enum rc check_union(const struct shape *shape, const json_t *value,
                           const struct shape_path *path, struct err *e)
{
	struct buf names;
	size_t set = 0;
	enum rc rc;

	if (!json_is_object(value))
		return shape_fault(e, path, "must be an object");
	rc = check_members(shape, value, path, e);
	if (rc != RC_OK)
		return rc;
	buf_init(&names, 4096);
	for (const struct shape_member *m = shape->members; m->name; m++) {
		set += has(value, m->name);
		if (m->shape->kind != SHAPE_LATER &&
		    buf_addf(&names, "%s%s", names.len ? ", " : "", m->name) != RC_OK)
			break;
	}
	rc = set == 1 ? RC_OK
	              : shape_fault(e, path, "must have exactly one of: %s", buf_text(&names));
	buf_free(&names);
	return rc;
}

static bool bounds_hold(const struct shape *shape, int64_t n)
{
	return n >= shape->min && (shape->max == 0 || n <= shape->max);
}

static enum rc length_fault(const struct shape *shape, int64_t n, const struct shape_path *path,
                            struct err *e)
{
	if (n < shape->min)
		return shape_fault(e, path,
		                   "Member must have length greater than or equal to %" PRId64,
		                   shape->min);
	return shape_fault(e, path, "Member must have length less than or equal to %" PRId64,
	                   shape->max);
}

static enum rc check_unique(const json_t *value, const struct shape_path *path, struct err *e)
{
	json_t *seen = json_object();
	enum rc rc = RC_OK;

	for (size_t i = 0; i < json_array_size(value) && rc == RC_OK; i++) {
		struct shape_path here = { .up = path, .index = i };
		const char *text = json_string_value(json_array_get(value, i));

		if (!text)
			continue;
		if (json_object_get(seen, text))
			rc = shape_fault(e, &here, "is there twice");
		else
			json_put_bool(seen, text, true);
	}
	json_decref(seen);
	return rc;
}

static enum rc check_list(const struct shape *shape, const json_t *value,
                          const struct shape_path *path, struct err *e)
{
	size_t n = json_array_size(value);

	if (!json_is_array(value))
		return shape_fault(e, path, "must be a list");
	if (!bounds_hold(shape, (int64_t)n))
		return length_fault(shape, (int64_t)n, path, e);
	for (size_t i = 0; i < n; i++) {
		struct shape_path here = { .up = path, .index = i };
		enum rc rc = check(shape->item, json_array_get(value, i), &here, e);

		if (rc != RC_OK)
			return rc;
	}
	return shape->unique ? check_unique(value, path, e) : RC_OK;
}

/* Characters, not bytes; jansson lets no broken UTF-8 in. */
static int64_t characters(struct slice s)
{
	int64_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += (s.at[i] & 0xc0) != 0x80;
	return n;
}

static enum rc check_string(const struct shape *shape, const json_t *value,
                            const struct shape_path *path, struct err *e)
{
	struct slice text = json_text(value);
	const char *fault;

	if (!json_is_string(value))
		return shape_fault(e, path, "must be a string");
	if (!bounds_hold(shape, characters(text)))
		return length_fault(shape, characters(text), path, e);
	if (shape->matches && !shape->matches(text))
		return shape_fault(e, path, "must match %s", shape->pattern);
	fault = shape->fault ? shape->fault(text) : NULL;
	return fault ? shape_fault(e, path, "%s", fault) : RC_OK;
}

static enum rc check_enum(const struct shape *shape, const json_t *value,
                          const struct shape_path *path, struct err *e)
{
	struct slice text = json_text(value);
	struct buf names;
	enum rc rc;

	if (!json_is_string(value))
		return shape_fault(e, path, "must be a string");
	buf_init(&names, 4096);
	for (const struct shape_value *v = shape->values; v->name; v++) {
		if (slice_equal(text, slice_str(v->name))) {
			buf_free(&names);
			if (!v->later)
				return RC_OK;
			return shape_fault(e, path, "\"%s\" is not built yet; %s", v->name,
			                   v->later);
		}
		if (!v->later && buf_addf(&names, "%s%s", names.len ? ", " : "", v->name) != RC_OK)
			break;
	}
	rc = shape_fault(e, path, "Member must satisfy enum value set: [%s]", buf_text(&names));
	buf_free(&names);
	return rc;
}

static enum rc check_int(const struct shape *shape, const json_t *value,
                         const struct shape_path *path, struct err *e)
{
	int64_t n = json_integer_value(value);

	if (!json_is_integer(value))
		return shape_fault(e, path, "must be an integer");
	if (n < shape->min)
		return shape_fault(e, path,
		                   "Member must have value greater than or equal to %" PRId64,
		                   shape->min);
	if (shape->max && n > shape->max)
		return shape_fault(e, path, "Member must have value less than or equal to %" PRId64,
		                   shape->max);
	return RC_OK;
}

static enum rc check(const struct shape *shape, const json_t *value, const struct shape_path *path,
                     struct err *e)
{
	switch (shape->kind) {
	case SHAPE_STRUCT:
		return check_struct(shape, value, path, e);
	case SHAPE_UNION:
		return check_union(shape, value, path, e);
	case SHAPE_LIST:
		return check_list(shape, value, path, e);
	case SHAPE_STRING:
		return check_string(shape, value, path, e);
	case SHAPE_ENUM:
		return check_enum(shape, value, path, e);
	case SHAPE_INT:
		return check_int(shape, value, path, e);
	case SHAPE_DOUBLE:
		return json_is_number(value) ? RC_OK : shape_fault(e, path, "must be a number");
	case SHAPE_BOOL:
		return json_is_boolean(value) ? RC_OK
		                              : shape_fault(e, path, "must be true or false");
	case SHAPE_LATER:
		break;
	}
	return shape_fault(e, path, "is not built yet; %s", shape->later ? shape->later : "");
}

enum rc shape_check(const struct shape *shape, const json_t *value, const struct shape_path *path,
                    struct err *e)
{
	return check(shape, value, path, e);
}
