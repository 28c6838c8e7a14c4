#include "base/json.h"

#include <stdlib.h>

/* What jansson gets no memory for would be told like text that is no JSON, or be a member too few.
 */
static void *get_memory(size_t bytes)
{
	return mem_resize(NULL, bytes);
}

static void __attribute__((constructor)) let_jansson_abort(void)
{
	json_set_alloc_funcs(get_memory, free);
}

enum rc json_read(json_t **out, struct slice text, struct err *e)
{
	json_error_t where;

	*out = json_loadb(text.at ? (const char *)text.at : "", text.len,
	                  JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
	if (*out)
		return RC_OK;
	return err_set(e, RC_INVALID, "not JSON: line %d, column %d: %s", where.line, where.column,
	               where.text);
}

static int add_bytes(const char *bytes, size_t n, void *arg)
{
	return buf_add(arg, slice_of(bytes, n)) == RC_OK ? 0 : -1;
}

/* The buffer is as it was when the limit is reached. */
static enum rc dump(struct buf *out, const json_t *value, size_t flags)
{
	size_t before = out->len;

	if (value && json_dump_callback(value, add_bytes, out, flags | JSON_ENCODE_ANY) == 0)
		return RC_OK;
	out->len = before;
	if (out->at)
		out->at[before] = '\0';
	return RC_LIMIT;
}

enum rc json_write(struct buf *out, const json_t *value)
{
	return dump(out, value, JSON_COMPACT);
}

enum rc json_write_pretty(struct buf *out, const json_t *value)
{
	size_t before = out->len;

	if (dump(out, value, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) != RC_OK)
		return RC_LIMIT;
	if (buf_add_byte(out, '\n') == RC_OK)
		return RC_OK;
	out->len = before;
	out->at[before] = '\0';
	return RC_LIMIT;
}

struct slice json_text(const json_t *value)
{
	if (!json_is_string(value))
		return slice_of(NULL, 0);
	return slice_of(json_string_value(value), json_string_length(value));
}

struct slice json_member_text(const json_t *object, const char *member)
{
	return json_text(json_object_get(object, member));
}

int64_t json_member_int(const json_t *object, const char *member, int64_t none)
{
	const json_t *value = json_object_get(object, member);

	return json_is_integer(value) ? (int64_t)json_integer_value(value) : none;
}

double json_member_number(const json_t *object, const char *member, double none)
{
	const json_t *value = json_object_get(object, member);

	return json_is_number(value) ? json_number_value(value) : none;
}

bool json_member_bool(const json_t *object, const char *member, bool none)
{
	const json_t *value = json_object_get(object, member);

	return json_is_boolean(value) ? json_is_true(value) : none;
}

json_t *json_member_array(const json_t *object, const char *member)
{
	json_t *value = json_object_get(object, member);

	return json_is_array(value) ? value : NULL;
}

json_t *json_member_object(const json_t *object, const char *member)
{
	json_t *value = json_object_get(object, member);

	return json_is_object(value) ? value : NULL;
}

/* Bytes of a valid sequence at s.at[0] that is no NUL, or 0. */
static size_t good_sequence(struct slice s)
{
	for (size_t n = 1; n <= 4 && n <= s.len; n++)
		if (s.at[0] && slice_is_utf8(slice_part(s, 0, n)))
			return n;
	return 0;
}

static json_t *repaired(struct slice s)
{
	char *text = mem_array(s.len + 1, 3);
	size_t len = 0;
	json_t *made;

	while (s.len) {
		size_t n = good_sequence(s);

		if (n)
			memcpy(text + len, s.at, n);
		else
			memcpy(text + len, "\xef\xbf\xbd", 3);
		len += n ? n : 3;
		s = slice_from(s, n ? n : 1);
	}
	made = json_stringn_nocheck(text, len);
	free(text);
	return made;
}

json_t *json_of_slice(struct slice s)
{
	json_t *made;

	if (slice_is_utf8(s) && slice_find_byte(s, 0) == SIZE_MAX)
		made = json_stringn_nocheck(s.len ? (const char *)s.at : "", s.len);
	else
		made = repaired(s);
	MUST(made);
	return made;
}

void json_put(json_t *object, const char *member, json_t *value)
{
	MUST(json_object_set_new(object, member, value) == 0);
}

void json_put_text(json_t *object, const char *member, struct slice s)
{
	json_put(object, member, json_of_slice(s));
}

void json_put_int(json_t *object, const char *member, int64_t v)
{
	json_put(object, member, json_integer(v));
}

void json_put_bool(json_t *object, const char *member, bool v)
{
	json_put(object, member, json_boolean(v));
}

void json_push(json_t *array, json_t *value)
{
	MUST(json_array_append_new(array, value) == 0);
}
