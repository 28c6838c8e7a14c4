/*
 * api/wire_cbor.c - CBOR to a value of a shape
 *
 * libcbor's streaming decoder gives one token after the other; here they are put together by the
 * shape. So nothing is allocated by a length that is only claimed, and depth is counted.
 */
#include <cbor.h>

#include "api/wire_parts.h"

#define TAG_TIME 1

enum token_kind {
	TOKEN_UNSIGNED, /* n */
	TOKEN_NEGATIVE, /* -1 - n */
	TOKEN_REAL,
	TOKEN_BOOL, /* n */
	TOKEN_NULL, /* undefined, too */
	TOKEN_TEXT,
	TOKEN_BYTES,
	TOKEN_TEXT_OPEN, /* pieces until TOKEN_BREAK */
	TOKEN_BYTES_OPEN,
	TOKEN_LIST, /* n items */
	TOKEN_LIST_OPEN,
	TOKEN_MAP, /* n pairs */
	TOKEN_MAP_OPEN,
	TOKEN_TAG, /* n */
	TOKEN_BREAK,
};

struct token {
	enum token_kind kind;
	uint64_t n;
	double real;
	struct slice text;
};

struct reader {
	struct slice body;
	struct slice rest;
	struct token token;
	unsigned tokens;
	unsigned depth;
	struct err *e;
};

/* ---- tokens ---- */

#define ON_NUMBER(name, type, as)                                                                  \
	static void name(void *arg, type n)                                                        \
	{                                                                                          \
		*(struct token *)arg = (struct token) { .kind = as, .n = n };                      \
	}
#define ON_REAL(name, type)                                                                        \
	static void name(void *arg, type real)                                                     \
	{                                                                                          \
		*(struct token *)arg =                                                             \
		        (struct token) { .kind = TOKEN_REAL, .real = (double)real };               \
	}
#define ON_SIGN(name, as)                                                                          \
	static void name(void *arg)                                                                \
	{                                                                                          \
		*(struct token *)arg = (struct token) { .kind = as };                              \
	}
#define ON_STRING(name, as)                                                                        \
	static void name(void *arg, cbor_data at, size_t len)                                      \
	{                                                                                          \
		*(struct token *)arg = (struct token) { .kind = as, .text = slice_of(at, len) };   \
	}

ON_NUMBER(on_uint8, uint8_t, TOKEN_UNSIGNED)
ON_NUMBER(on_uint16, uint16_t, TOKEN_UNSIGNED)
ON_NUMBER(on_uint32, uint32_t, TOKEN_UNSIGNED)
ON_NUMBER(on_uint64, uint64_t, TOKEN_UNSIGNED)
ON_NUMBER(on_negint8, uint8_t, TOKEN_NEGATIVE)
ON_NUMBER(on_negint16, uint16_t, TOKEN_NEGATIVE)
ON_NUMBER(on_negint32, uint32_t, TOKEN_NEGATIVE)
ON_NUMBER(on_negint64, uint64_t, TOKEN_NEGATIVE)
ON_NUMBER(on_list, size_t, TOKEN_LIST)
ON_NUMBER(on_map, size_t, TOKEN_MAP)
ON_NUMBER(on_tag, uint64_t, TOKEN_TAG)
ON_NUMBER(on_bool, bool, TOKEN_BOOL)
ON_REAL(on_float, float)
ON_REAL(on_double, double)
ON_STRING(on_text, TOKEN_TEXT)
ON_STRING(on_bytes, TOKEN_BYTES)
ON_SIGN(on_text_open, TOKEN_TEXT_OPEN)
ON_SIGN(on_bytes_open, TOKEN_BYTES_OPEN)
ON_SIGN(on_list_open, TOKEN_LIST_OPEN)
ON_SIGN(on_map_open, TOKEN_MAP_OPEN)
ON_SIGN(on_null, TOKEN_NULL)
ON_SIGN(on_break, TOKEN_BREAK)

static const struct cbor_callbacks callbacks = {
	.uint8 = on_uint8,
	.uint16 = on_uint16,
	.uint32 = on_uint32,
	.uint64 = on_uint64,
	.negint8 = on_negint8,
	.negint16 = on_negint16,
	.negint32 = on_negint32,
	.negint64 = on_negint64,
	.byte_string_start = on_bytes_open,
	.byte_string = on_bytes,
	.string_start = on_text_open,
	.string = on_text,
	.indef_array_start = on_list_open,
	.array_start = on_list,
	.indef_map_start = on_map_open,
	.map_start = on_map,
	.tag = on_tag,
	.float2 = on_float,
	.float4 = on_float,
	.float8 = on_double,
	.undefined = on_null,
	.null = on_null,
	.boolean = on_bool,
	.indef_break = on_break,
};

static bool broken(struct reader *r, const char *what)
{
	(void)err_set(r->e, RC_INVALID, "not CBOR: byte %zu: %s", r->body.len - r->rest.len, what);
	return false;
}

/* Reads the next token; false with a text. */
static bool next(struct reader *r)
{
	struct cbor_decoder_result got = { .status = CBOR_DECODER_NEDATA };

	if (r->rest.len)
		got = cbor_stream_decode(r->rest.at, r->rest.len, &callbacks, &r->token);
	if (got.status == CBOR_DECODER_NEDATA)
		return broken(r, "it ends too early");
	if (got.status != CBOR_DECODER_FINISHED)
		return broken(r, "no such item");
	if (++r->tokens > WIRE_VALUES_MAX) {
		(void)err_set(r->e, RC_INVALID, "too many values");
		return false;
	}
	r->rest = slice_from(r->rest, got.read);
	return true;
}

/* ---- what is put together of several tokens ---- */

static bool text_piece(struct reader *r, struct slice piece, struct buf *to)
{
	if (!slice_is_utf8(piece))
		return broken(r, "text that isn't UTF-8");
	if (slice_find_byte(piece, 0) != SIZE_MAX)
		return broken(r, "text with NUL");
	return buf_add(to, piece) == RC_OK || broken(r, "too long");
}

/* The text that the token begins. */
static bool read_text(struct reader *r, struct buf *to)
{
	buf_clear(to);
	if (r->token.kind == TOKEN_TEXT)
		return text_piece(r, r->token.text, to);
	for (;;) {
		if (!next(r))
			return false;
		if (r->token.kind == TOKEN_BREAK)
			return true;
		if (r->token.kind != TOKEN_TEXT)
			return broken(r, "a piece of text that is none");
		if (!text_piece(r, r->token.text, to))
			return false;
	}
}

static bool is_text(const struct token *t)
{
	return t->kind == TOKEN_TEXT || t->kind == TOKEN_TEXT_OPEN;
}

/* Items of the list or map that `open` began, `i` of which were read: is there another? Its first
 * token is read, then. */
static bool another(struct reader *r, const struct token *open, uint64_t i, bool *failed)
{
	bool endless = open->kind == TOKEN_LIST_OPEN || open->kind == TOKEN_MAP_OPEN;

	if (!endless && i == open->n)
		return false;
	*failed = !next(r);
	if (*failed || r->token.kind != TOKEN_BREAK)
		return !*failed;
	*failed = !endless && !broken(r, "an end of nothing");
	return false;
}

static bool enter(struct reader *r)
{
	return ++r->depth <= WIRE_DEPTH_MAX || broken(r, "too many levels");
}

static bool skip(struct reader *r);

static bool skip_next(struct reader *r)
{
	return next(r) && skip(r);
}

static bool skip_text(struct reader *r)
{
	struct buf text;
	bool ok;

	buf_init(&text, WIRE_BODY_MAX);
	ok = read_text(r, &text);
	buf_free(&text);
	return ok;
}

static bool skip_pieces(struct reader *r)
{
	while (next(r)) {
		if (r->token.kind == TOKEN_BREAK)
			return true;
		if (r->token.kind != TOKEN_BYTES)
			return broken(r, "a piece of a byte string that is none");
	}
	return false;
}

static bool skip_items(struct reader *r)
{
	struct token open = r->token;
	bool map = open.kind == TOKEN_MAP || open.kind == TOKEN_MAP_OPEN;
	bool failed = false;

	if (!enter(r))
		return false;
	for (uint64_t i = 0; another(r, &open, i, &failed); i++) {
		if (map && !is_text(&r->token))
			return broken(r, "a name that is no text");
		if (!skip(r) || (map && !skip_next(r)))
			return false;
	}
	r->depth--;
	return !failed;
}

static bool is_number(const struct token *t)
{
	return t->kind == TOKEN_UNSIGNED || t->kind == TOKEN_NEGATIVE || t->kind == TOKEN_REAL;
}

/* The number behind the tag of a time. */
static bool read_tagged(struct reader *r)
{
	if (r->token.n != TAG_TIME)
		return broken(r, "an unknown tag");
	return next(r) && (is_number(&r->token) || broken(r, "a time that is no number"));
}

/* Passes over the value that the token begins. */
static bool skip(struct reader *r)
{
	switch (r->token.kind) {
	case TOKEN_TEXT:
	case TOKEN_TEXT_OPEN:
		return skip_text(r);
	case TOKEN_BYTES_OPEN:
		return skip_pieces(r);
	case TOKEN_LIST:
	case TOKEN_LIST_OPEN:
	case TOKEN_MAP:
	case TOKEN_MAP_OPEN:
		return skip_items(r);
	case TOKEN_TAG:
		return read_tagged(r);
	case TOKEN_BREAK:
		return broken(r, "an end of nothing");
	case TOKEN_UNSIGNED:
	case TOKEN_NEGATIVE:
	case TOKEN_REAL:
	case TOKEN_BOOL:
	case TOKEN_NULL:
	case TOKEN_BYTES:
		break;
	}
	return true;
}

/* ---- by the shape ---- */

static json_t *read_value(struct reader *r, const struct shape *shape,
                          const struct shape_path *path);

/* One pair, whose name's first token was read, into `made`. */
static bool read_pair(struct reader *r, const struct shape *shape, const struct shape_path *path,
                      struct buf *name, json_t *seen, json_t *made)
{
	struct shape_path here = { .up = path };
	const struct shape_member *m;
	json_t *value;

	if (!is_text(&r->token))
		return broken(r, "a name that is no text");
	if (!read_text(r, name))
		return false;
	if (json_object_get(seen, buf_text(name)))
		return broken(r, "a member that is there twice");
	json_put_bool(seen, buf_text(name), true);
	m = shape_member(shape, buf_text(name));
	if (!next(r))
		return false;
	if (!m || (m->marks & SHAPE_OURS) || r->token.kind == TOKEN_NULL)
		return skip(r);
	here.member = m->name;
	value = read_value(r, m->shape, &here);
	if (value)
		json_put(made, m->name, value);
	return value;
}

static json_t *read_map(struct reader *r, const struct shape *shape, const struct shape_path *path)
{
	struct token open = r->token;
	json_t *made = json_object();
	json_t *seen = json_object();
	struct buf name;
	bool failed = !enter(r);

	buf_init(&name, WIRE_BODY_MAX);
	for (uint64_t i = 0; !failed && another(r, &open, i, &failed); i++)
		failed = !read_pair(r, shape, path, &name, seen, made);
	buf_free(&name);
	json_decref(seen);
	r->depth--;
	if (!failed)
		return made;
	json_decref(made);
	return NULL;
}

static json_t *read_list(struct reader *r, const struct shape *shape, const struct shape_path *path)
{
	struct token open = r->token;
	json_t *made = json_array();
	bool failed = !enter(r);

	for (uint64_t i = 0; !failed && another(r, &open, i, &failed); i++) {
		struct shape_path here = { .up = path, .index = i };
		json_t *value = read_value(r, shape->item, &here);

		failed = !value;
		if (value)
			json_push(made, value);
	}
	r->depth--;
	if (!failed)
		return made;
	json_decref(made);
	return NULL;
}

static json_t *read_string(struct reader *r)
{
	struct buf text;
	json_t *made = NULL;

	buf_init(&text, WIRE_BODY_MAX);
	if (read_text(r, &text))
		made = json_of_slice(buf_slice(&text));
	buf_free(&text);
	return made;
}

/* The number as a whole one; false when it has no such value. */
static bool whole(const struct token *t, int64_t *n)
{
	if (t->kind == TOKEN_REAL || t->n > INT64_MAX)
		return false;
	*n = t->kind == TOKEN_UNSIGNED ? (int64_t)t->n : -1 - (int64_t)t->n;
	return true;
}

static double real(const struct token *t)
{
	if (t->kind == TOKEN_REAL)
		return t->real;
	return t->kind == TOKEN_UNSIGNED ? (double)t->n : -1.0 - (double)t->n;
}

static json_t *read_number(struct reader *r, const struct shape *shape,
                           const struct shape_path *path)
{
	int64_t n;

	if (shape->kind == SHAPE_DOUBLE)
		return wire_number(real(&r->token), path, r->e);
	if (shape->kind == SHAPE_TIMESTAMP) {
		if (!read_tagged(r))
			return NULL;
		return whole(&r->token, &n) ? wire_time_whole(n, path, r->e)
		                            : wire_time(real(&r->token), path, r->e);
	}
	return whole(&r->token, &n) ? wire_integer(n, path, r->e) : wire_wrong(shape, path, r->e);
}

static bool is_of_kind(enum shape_kind kind, const struct token *t)
{
	switch (kind) {
	case SHAPE_STRUCT:
	case SHAPE_UNION:
		return t->kind == TOKEN_MAP || t->kind == TOKEN_MAP_OPEN;
	case SHAPE_LIST:
		return t->kind == TOKEN_LIST || t->kind == TOKEN_LIST_OPEN;
	case SHAPE_STRING:
	case SHAPE_ENUM:
		return is_text(t);
	case SHAPE_INT:
	case SHAPE_DOUBLE:
		return is_number(t);
	case SHAPE_TIMESTAMP:
		return t->kind == TOKEN_TAG;
	case SHAPE_BOOL:
		return t->kind == TOKEN_BOOL;
	}
	return false;
}

/* The value that the token begins. */
static json_t *read_value(struct reader *r, const struct shape *shape,
                          const struct shape_path *path)
{
	if (!is_of_kind(shape->kind, &r->token))
		return wire_wrong(shape, path, r->e);
	switch (shape->kind) {
	case SHAPE_STRUCT:
	case SHAPE_UNION:
		return read_map(r, shape, path);
	case SHAPE_LIST:
		return read_list(r, shape, path);
	case SHAPE_STRING:
	case SHAPE_ENUM:
		return read_string(r);
	case SHAPE_INT:
	case SHAPE_DOUBLE:
	case SHAPE_TIMESTAMP:
		return read_number(r, shape, path);
	case SHAPE_BOOL:
		break;
	}
	return json_boolean(r->token.n);
}

json_t *wire_cbor_value(const struct shape *shape, struct slice body, struct err *e)
{
	struct reader r = { .body = body, .rest = body, .e = e };
	json_t *made;

	if (!next(&r))
		return NULL;
	made = read_value(&r, shape, NULL);
	if (made && r.rest.len) {
		(void)broken(&r, "something behind the value");
		json_decref(made);
		return NULL;
	}
	return made;
}
