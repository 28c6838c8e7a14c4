#include "api/control.h"
#include "api/model.h"
#include "base/pattern.h"
#include "tests/unit/test.h"

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static void test_find(void **state)
{
	(void)state;
	for (size_t i = 0; i < MODEL_OPERATIONS; i++)
		EXPECT(model_operations[i].name,
		       model_find(slice_str(model_operations[i].name)) == &model_operations[i]);
	assert_null(model_find(slice_str("")));
	assert_null(model_find(slice_str("createArchive")));
	assert_null(model_find(slice_str("CreateArchives")));
	assert_null(model_find(slice_str("CreateArchiv")));
}

/* What mm adds: found by the same name everywhere, answered by a text, built; once where it
 * changes. */
static void test_ours(void **state)
{
	(void)state;
	for (size_t i = 0; i < MODEL_OURS; i++) {
		const struct model_operation *op = &model_ours[i];

		EXPECT(op->name, begins(op->name, "Mm") && model_find(slice_str(op->name)) == op);
		EXPECT(op->name, control_find(slice_str(op->name)) != NULL);
		EXPECT(op->name, shape_member(op->output, "Text") != NULL);
		EXPECT(op->name, op->once == (op->trait != MODEL_READONLY));
		EXPECT(op->name, op->errors & 1u << API_ACCESS_DENIED);
	}
}

/* Start, Stop, and whatever isn't marked, but for two that read. */
static void test_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < MODEL_OPERATIONS; i++) {
		const struct model_operation *op = &model_operations[i];
		bool reads = strcmp(op->name, "GetArchiveExport") == 0 ||
		             strcmp(op->name, "GetArchiveMessageContent") == 0;
		bool once = begins(op->name, "Start") || begins(op->name, "Stop") ||
		            (op->trait == MODEL_UNMARKED && !reads);

		EXPECT(op->name, op->once == once);
	}
}

static void test_pages(void **state)
{
	size_t paged = 0, tokens = 0;

	(void)state;
	for (size_t i = 0; i < MODEL_OPERATIONS; i++) {
		const struct model_operation *op = &model_operations[i];
		bool pages = shape_member(op->input, "NextToken") &&
		             shape_member(op->input, "PageSize") &&
		             shape_member(op->output, "NextToken");

		EXPECT(op->name, pages == (op->result != NULL));
		if (pages)
			EXPECT(op->name,
			       shape_member(op->output, op->result)->shape->kind == SHAPE_LIST);
		paged += pages;
		tokens += model_has_token(op);
		EXPECT(op->name, op->errors & 1u << API_VALIDATION);
		EXPECT(op->name, op->errors < 1u << API_UNKNOWN_OPERATION);
	}
	assert_int_equal(paged, 12);
	assert_int_equal(tokens, 9);
}

/* Which class an operation is of, by its name; and what reads changes nothing. */
static void test_classes(void **state)
{
	(void)state;
	for (size_t i = 0; i < MODEL_OPERATIONS; i++) {
		const struct model_operation *op = &model_operations[i];
		bool get = begins(op->name, "Get") || begins(op->name, "List");
		enum access_class want = get ? ACCESS_READ_CONFIG : ACCESS_CHANGE_FLOW;

		if (strstr(op->name, "ArchiveSearch"))
			want = ACCESS_SEARCH;
		else if (strstr(op->name, "ArchiveExport"))
			want = ACCESS_EXPORT;
		else if (strstr(op->name, "ArchiveMessage"))
			want = ACCESS_READ_MESSAGE;
		else if (strstr(op->name, "Archive"))
			want = get ? ACCESS_READ_ARCHIVE : ACCESS_MANAGE_ARCHIVE;
		EXPECT(op->name, op->class == want);
		EXPECT(op->name, op->trait != MODEL_READONLY || get);
		EXPECT(op->name, op->group == MODEL_ARCHIVES || want == ACCESS_READ_CONFIG ||
		                         want == ACCESS_CHANGE_FLOW);
	}
}

/* Every pattern can be read: a wrong one ends the process. */
static void read_patterns(const struct shape *s)
{
	if (s->pattern)
		(void)pattern_matches(s->pattern, slice_str("a-0:/\xc3\xa9"));
	if (s->item)
		read_patterns(s->item);
	for (const struct shape_member *m = s->members; m && m->name; m++)
		read_patterns(m->shape);
}

static void test_patterns(void **state)
{
	(void)state;
	for (size_t i = 0; i < MODEL_OPERATIONS; i++) {
		read_patterns(model_operations[i].input);
		read_patterns(model_operations[i].output);
	}
}

static void test_errors(void **state)
{
	(void)state;
	for (enum api_error i = 0; i < API_ERRORS; i++)
		EXPECT(api_error_name(i), api_error_find(slice_str(api_error_name(i))) == i);
	assert_int_equal(api_error_find(slice_str("Validation")), API_ERRORS);
	assert_int_equal(api_error_status(API_QUOTA), 402);
	for (enum api_error i = 0; i < API_ERRORS; i++)
		EXPECT(api_error_name(i),
		       (api_error_status(i) >= 500) == (i == API_INTERNAL || i == API_UNAVAILABLE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),    cmocka_unit_test(test_ours),
		cmocka_unit_test(test_once),    cmocka_unit_test(test_pages),
		cmocka_unit_test(test_classes), cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
