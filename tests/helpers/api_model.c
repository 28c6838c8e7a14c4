/*
 * tests/helpers/api_model.c - the table of the control API as JSON
 *
 *     api_model {"Roles","Errors","Operations":[...],"Shapes":{NAME:{...}}}, in the order of the
 * table; for tests/lib/api_page.py and T805-model.py api_model matches NAME < lines     for each
 * line "1" or "0": does the text have that shape in the API?
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/model.h"
#include "base/file.h"

static const char *const kinds[] = {
	[SHAPE_STRUCT] = "structure", [SHAPE_UNION] = "union",  [SHAPE_LIST] = "list",
	[SHAPE_STRING] = "string",    [SHAPE_ENUM] = "enum",    [SHAPE_INT] = "integer",
	[SHAPE_DOUBLE] = "double",    [SHAPE_BOOL] = "boolean", [SHAPE_TIMESTAMP] = "timestamp",
};

static void put_if(json_t *object, const char *member, const char *text)
{
	if (text)
		json_put_text(object, member, slice_str(text));
}

static void put_number(json_t *object, const char *member, int64_t n, bool is_bound)
{
	if (is_bound)
		json_put_int(object, member, n);
}

static void add_shape(json_t *shapes, const struct shape *s);

static json_t *members_of(json_t *shapes, const struct shape *s)
{
	json_t *list = json_array();

	for (const struct shape_member *m = s->members; m->name; m++) {
		json_t *one = json_object();

		put_if(one, "Name", m->name);
		put_if(one, "Shape", m->shape->name);
		put_if(one, "Later", m->later);
		json_put_bool(one, "Required", m->marks & SHAPE_REQUIRED);
		json_put_bool(one, "RequiredHere", m->marks & SHAPE_REQUIRED_HERE);
		json_put_bool(one, "Ours", m->marks & SHAPE_OURS);
		json_push(list, one);
		add_shape(shapes, m->shape);
	}
	return list;
}

/* The shape and all that it is made of, each once. */
static void add_shape(json_t *shapes, const struct shape *s)
{
	bool whole = s->kind == SHAPE_INT;
	json_t *one;

	if (json_object_get(shapes, s->name))
		return;
	one = json_object();
	json_put(shapes, s->name, json_incref(one));
	put_if(one, "Kind", kinds[s->kind]);
	put_number(one, "Min", s->min, whole ? s->min != INT32_MIN : s->max || s->min);
	put_number(one, "Max", s->max, s->max && (!whole || s->max != INT32_MAX));
	put_number(one, "MaxMore", s->max_more, s->max_more);
	put_number(one, "Quota", s->quota, s->quota);
	put_if(one, "Pattern", s->pattern);
	put_if(one, "Values", s->values);
	put_if(one, "More", s->more);
	put_if(one, "NotYet", s->not_yet);
	put_if(one, "Later", s->later);
	json_put_bool(one, "Sensitive", s->sensitive);
	json_put_bool(one, "Unique", s->unique);
	json_put_bool(one, "CheckedMore", s->fault);
	if (s->members)
		json_put(one, "Members", members_of(shapes, s));
	if (s->item) {
		put_if(one, "Item", s->item->name);
		add_shape(shapes, s->item);
	}
	json_decref(one);
}

static json_t *operation(json_t *shapes, const struct model_operation *op)
{
	static const char *const traits[] = { "readonly", "idempotent", "" };
	json_t *one = json_object();
	json_t *errors = json_array();
	json_t *roles = json_array();

	for (enum api_error i = 0; i < API_ERRORS; i++)
		if (op->errors >> i & 1)
			json_push(errors, json_string(api_error_name(i)));
	for (enum access_role i = 0; i < ROLES; i++)
		if (access_may(&(struct access) { .role = i }, op->class, NULL))
			json_push(roles, json_string(access_role_name(i)));
	put_if(one, "Name", op->name);
	put_if(one, "Group", model_group_name(op->group));
	put_if(one, "Class", access_class_name(op->class));
	put_if(one, "Trait", traits[op->trait]);
	put_if(one, "Input", op->input->name);
	put_if(one, "Output", op->output->name);
	put_if(one, "Result", op->result);
	json_put_bool(one, "Once", op->once);
	json_put_bool(one, "Token", model_has_token(op));
	json_put(one, "Errors", errors);
	json_put(one, "Roles", roles);
	add_shape(shapes, op->input);
	add_shape(shapes, op->output);
	return one;
}

static json_t *table(void)
{
	json_t *all = json_object();
	json_t *operations = json_array();
	json_t *shapes = json_object();
	json_t *errors = json_object();

	for (enum api_error i = 0; i < API_ERRORS; i++)
		json_put_int(errors, api_error_name(i), api_error_status(i));
	for (size_t i = 0; i < MODEL_OPERATIONS; i++)
		json_push(operations, operation(shapes, &model_operations[i]));
	json_put(all, "Errors", errors);
	json_put(all, "Operations", operations);
	json_put(all, "Shapes", shapes);
	return all;
}

static const struct shape *find_in(const struct shape *s, const char *name)
{
	const struct shape *found = NULL;

	if (strcmp(s->name, name) == 0)
		return s;
	if (s->item)
		return find_in(s->item, name);
	for (const struct shape_member *m = s->members; m && m->name && !found; m++)
		found = find_in(m->shape, name);
	return found;
}

static const struct shape *find_shape(const char *name)
{
	const struct shape *found = NULL;

	for (size_t i = 0; i < MODEL_OPERATIONS && !found; i++) {
		found = find_in(model_operations[i].input, name);
		if (!found)
			found = find_in(model_operations[i].output, name);
	}
	return found;
}

static int matches(const char *name)
{
	const struct shape *shape = find_shape(name);
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	if (!shape)
		return 2;
	while ((n = getline(&line, &room, stdin)) > 0) {
		json_t *text = NULL;
		struct err e = { 0 };

		if (json_read(&text, slice_of(line, (size_t)n), &e) != RC_OK)
			return 2;
		printf("%d\n", shape_check(shape, text, NULL, SHAPE_API, &e) == RC_OK);
		json_decref(text);
	}
	free(line);
	return 0;
}

int main(int argc, char **argv)
{
	struct buf out;
	json_t *all;

	if (argc == 3 && strcmp(argv[1], "matches") == 0)
		return matches(argv[2]);
	all = table();
	buf_init(&out, 4u << 20);
	MUST(json_write_pretty(&out, all) == RC_OK);
	json_decref(all);
	MUST(fwrite(out.at, 1, out.len, stdout) == out.len);
	buf_free(&out);
	return 0;
}
