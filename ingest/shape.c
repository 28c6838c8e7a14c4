#include "ingest/shape.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/pattern.h"

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

/* A value, where it stands, and who asks. */
struct at {
	const json_t *value;
	const struct shape_path *path;
	unsigned how;
	struct err *e;
};

static enum rc check(const struct shape *shape, struct at at);

static bool api(struct at at)
{
	return at.how & SHAPE_API;
}

const struct shape_member *shape_member(const struct shape *shape, const char *name)
{
	for (const struct shape_member *m = shape->members; m->name; m++)
		if (strcmp(m->name, name) == 0)
			return m;
	return NULL;
}

/* What is no member for who asks. */
static bool foreign(const struct shape_member *m, struct at at)
{
	return !m || (api(at) && (m->marks & SHAPE_OURS));
}

static enum rc check_member(const struct shape *shape, const char *name, struct at at,
                            const json_t *item)
{
	const struct shape_member *m = shape_member(shape, name);
	struct shape_path here = { .up = at.path, .member = name };

	if (json_is_null(item) || (foreign(m, at) && api(at)))
		return RC_OK;
	if (!m)
		return shape_fault(at.e, at.path, "unknown member \"%.100s\"", name);
	if (m->later)
		return shape_fault(at.e, at.path, "\"%s\" is not built yet; %s", name, m->later);
	return check(m->shape, (struct at) { item, &here, at.how, at.e });
}

static enum rc check_members(const struct shape *shape, struct at at)
{
	const char *name;
	json_t *item;

	if (!json_is_object(at.value))
		return shape_fault(at.e, at.path, "must be an object");
	json_object_foreach((json_t *)(uintptr_t)at.value, name, item)
	{
		enum rc rc = check_member(shape, name, at, item);

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

static enum rc check_struct(const struct shape *shape, struct at at)
{
	enum rc rc = check_members(shape, at);

	if (rc != RC_OK)
		return rc;
	for (const struct shape_member *m = shape->members; m->name; m++) {
		struct shape_path here = { .up = at.path, .member = m->name };

		if ((m->marks & (SHAPE_REQUIRED | SHAPE_REQUIRED_HERE)) && !foreign(m, at) &&
		    !has(at.value, m->name))
			return shape_fault(at.e, &here, "Member must not be null");
	}
	return RC_OK;
}

static enum rc check_union(const struct shape *shape, struct at at)
{
	struct buf names;
	size_t set = 0;
	enum rc rc = check_members(shape, at);

	if (rc != RC_OK)
		return rc;
	buf_init(&names, 4096);
	for (const struct shape_member *m = shape->members; m->name; m++) {
		if (foreign(m, at))
			continue;
		set += has(at.value, m->name);
		if (!m->later && buf_addf(&names, "%s%s", names.len ? ", " : "", m->name) != RC_OK)
			break;
	}
	rc = set == 1
	             ? RC_OK
	             : shape_fault(at.e, at.path, "must have exactly one of: %s", buf_text(&names));
	buf_free(&names);
	return rc;
}

static enum rc check_bounds(int64_t min, int64_t max, int64_t n, const char *what, struct at at)
{
	if (n < min)
		return shape_fault(at.e, at.path,
		                   "Member must have %s greater than or equal to %" PRId64, what,
		                   min);
	if (max && n > max)
		return shape_fault(at.e, at.path,
		                   "Member must have %s less than or equal to %" PRId64, what, max);
	return RC_OK;
}

static enum rc check_unique(struct at at)
{
	json_t *seen = json_object();
	enum rc rc = RC_OK;

	for (size_t i = 0; i < json_array_size(at.value) && rc == RC_OK; i++) {
		struct shape_path here = { .up = at.path, .index = i };
		const char *text = json_string_value(json_array_get(at.value, i));

		if (!text)
			continue;
		if (json_object_get(seen, text))
			rc = shape_fault(at.e, &here, "is there twice");
		else
			json_put_bool(seen, text, true);
	}
	json_decref(seen);
	return rc;
}

static enum rc check_list(const struct shape *shape, struct at at)
{
	size_t n = json_array_size(at.value);
	bool quota = shape->quota && !(at.how & (SHAPE_API | SHAPE_OPEN));
	int64_t most = quota ? shape->quota : shape->max;
	enum rc rc;

	if (!json_is_array(at.value))
		return shape_fault(at.e, at.path, "must be a list");
	rc = check_bounds(shape->min, most, (int64_t)n, "length", at);
	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		struct shape_path here = { .up = at.path, .index = i };

		rc = check(shape->item,
		           (struct at) { json_array_get(at.value, i), &here, at.how, at.e });
	}
	return rc == RC_OK && shape->unique ? check_unique(at) : rc;
}

/* Characters, not bytes; jansson lets no broken UTF-8 in. */
static int64_t characters(struct slice s)
{
	int64_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += (s.at[i] & 0xc0) != 0x80;
	return n;
}

static enum rc check_string(const struct shape *shape, struct at at)
{
	struct slice text = json_text(at.value);
	const char *fault = NULL;
	enum rc rc;

	if (!json_is_string(at.value))
		return shape_fault(at.e, at.path, "must be a string");
	rc = check_bounds(shape->min, shape->max, characters(text), "length", at);
	if (rc != RC_OK)
		return rc;
	if (shape->fault)
		fault = shape->fault(text);
	if (fault)
		return shape_fault(at.e, at.path, "%s", fault);
	if (shape->pattern && (!shape->fault || api(at)) && !pattern_matches(shape->pattern, text))
		return shape_fault(at.e, at.path, "must match %s", shape->pattern);
	return RC_OK;
}

/* Is it one of these words? */
static bool is_word_of(struct slice text, const char *words)
{
	struct slice rest = slice_str(words);

	while (rest.len)
		if (slice_equal(text, slice_cut(rest, ' ', &rest)))
			return true;
	return false;
}

static enum rc check_enum(const struct shape *shape, struct at at)
{
	struct slice text = json_text(at.value);
	struct slice rest = slice_str(shape->values);
	struct buf names;
	enum rc rc;

	if (!json_is_string(at.value))
		return shape_fault(at.e, at.path, "must be a string");
	if (is_word_of(text, shape->not_yet))
		return shape_fault(at.e, at.path, "\"%s\" is not built yet; %s",
		                   json_string_value(at.value), shape->later);
	if (is_word_of(text, shape->values) ||
	    ((at.how & SHAPE_MORE) && is_word_of(text, shape->more)))
		return RC_OK;
	buf_init(&names, 4096);
	while (rest.len) {
		struct slice word = slice_cut(rest, ' ', &rest);

		if (!is_word_of(word, shape->not_yet) &&
		    buf_addf(&names, "%s%.*s", names.len ? ", " : "", (int)word.len,
		             (const char *)word.at) != RC_OK)
			break;
	}
	rc = shape_fault(at.e, at.path, "Member must satisfy enum value set: [%s]",
	                 buf_text(&names));
	buf_free(&names);
	return rc;
}

static enum rc check_int(const struct shape *shape, struct at at)
{
	int64_t max = at.how & SHAPE_MORE && shape->max_more ? shape->max_more : shape->max;

	if (!json_is_integer(at.value))
		return shape_fault(at.e, at.path, "must be an integer");
	return check_bounds(shape->min, max, json_integer_value(at.value), "value", at);
}

static enum rc check_kind(bool right, const char *text, struct at at)
{
	return right ? RC_OK : shape_fault(at.e, at.path, "%s", text);
}

static enum rc check(const struct shape *shape, struct at at)
{
	switch (shape->kind) {
	case SHAPE_STRUCT:
		return check_struct(shape, at);
	case SHAPE_UNION:
		return check_union(shape, at);
	case SHAPE_LIST:
		return check_list(shape, at);
	case SHAPE_STRING:
		return check_string(shape, at);
	case SHAPE_ENUM:
		return check_enum(shape, at);
	case SHAPE_INT:
		return check_int(shape, at);
	case SHAPE_DOUBLE:
		return check_kind(json_is_number(at.value), "must be a number", at);
	case SHAPE_TIMESTAMP:
		return check_kind(json_is_integer(at.value), "must be a time", at);
	case SHAPE_BOOL:
		break;
	}
	return check_kind(json_is_boolean(at.value), "must be true or false", at);
}

enum rc shape_check(const struct shape *shape, const json_t *value, const struct shape_path *path,
                    unsigned how, struct err *e)
{
	return check(shape, (struct at) { value, path, how, e });
}
