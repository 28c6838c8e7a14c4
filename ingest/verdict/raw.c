#include "ingest/verdict/raw.h"

#include <stdlib.h>

#include "base/buf.h"

/* The line that `rest` begins with, its end included; a bare LF ends one too. */
static struct slice first_line(struct slice rest)
{
	size_t at = slice_find_byte(rest, '\n');

	return at == SIZE_MAX ? rest : slice_part(rest, 0, at + 1);
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static bool is_empty(struct slice line)
{
	return slice_equal(line, slice_str("\r\n")) || slice_equal(line, slice_str("\n"));
}

/* A line of one field and those that go on with it. */
static struct slice whole_field(struct slice rest)
{
	struct slice line = first_line(rest);
	size_t len = line.len;

	while (len < rest.len && is_blank(rest.at[len]))
		len += first_line(slice_from(rest, len)).len;
	return slice_part(rest, 0, len);
}

static bool is_name(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] < 33 || name.at[i] > 126)
			return false;
	return name.len > 0;
}

static struct raw_field cut(struct slice whole)
{
	struct raw_field f = { slice_part(whole, 0, 0), whole, whole };
	struct slice value;
	struct slice name = slice_cut(first_line(whole), ':', &value);

	if (value.at == NULL)
		return f;
	value = slice_from(whole, name.len + 1);
	while (name.len && is_blank(name.at[name.len - 1]))
		name.len--;
	if (is_name(name)) {
		f.name = name;
		f.value = value;
	}
	return f;
}

static enum rc read_fields(struct buf *fields, struct slice *rest, struct err *e)
{
	size_t left = LIMIT_HEADER_BLOCK;

	while (rest->len && !is_empty(first_line(*rest))) {
		struct slice whole = whole_field(*rest);
		struct raw_field f = cut(whole);

		if (whole.len > left)
			return err_set(e, RC_LIMIT, "a header of more than %d bytes",
			               LIMIT_HEADER_BLOCK);
		left -= whole.len;
		if (buf_add(fields, slice_of(&f, sizeof(f))) != RC_OK)
			return err_set(e, RC_LIMIT, "more than %d header fields", RAW_FIELDS);
		*rest = slice_from(*rest, whole.len);
	}
	return RC_OK;
}

enum rc raw_read(struct raw_message *out, struct slice message, struct err *e)
{
	struct slice rest = message;
	struct buf fields;
	enum rc rc;

	*out = (struct raw_message) { 0 };
	buf_init(&fields, RAW_FIELDS * sizeof(struct raw_field));
	rc = read_fields(&fields, &rest, e);
	if (rc != RC_OK) {
		buf_free(&fields);
		return rc;
	}
	out->fields = (struct raw_field *)(void *)fields.at;
	out->count = fields.len / sizeof(struct raw_field);
	out->body = slice_from(rest, first_line(rest).len);
	return RC_OK;
}

void raw_free(struct raw_message *m)
{
	free(m->fields);
	*m = (struct raw_message) { 0 };
}

bool raw_named(const struct raw_field *f, const char *name)
{
	return slice_equal_nocase(f->name, slice_str(name));
}
