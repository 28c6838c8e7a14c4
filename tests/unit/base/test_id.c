#include "base/id.h"
#include "tests/unit/test.h"

static const uint8_t low[8] = { 0 };
static const uint8_t high[8] = { 255, 255, 255, 255, 255, 255, 255, 255 };

static void test_parts(void **state)
{
	struct message_id id = id_make(1795470379123, 0x12345, high);

	(void)state;
	assert_int_equal(id_received_ms(&id), 1795470379123);
	assert_int_equal(id_rowid(&id), 1795470379123 << ID_SEQUENCE_BITS | 0x12345);
	id = id_make(-5, 0, low);
	assert_int_equal(id_received_ms(&id), 0);
	id = id_make((INT64_C(1) << 42) - 1, UINT32_MAX, high);
	assert_int_equal(id_rowid(&id), INT64_MAX);
	assert_int_equal(id_received_ms(&id), (INT64_C(1) << 42) - 1);
}

/* By time, then sequence, then the random bytes; as bytes, as row id and as text. */
static void test_order(void **state)
{
	struct message_id sorted[6];

	(void)state;
	sorted[0] = id_floor(1000);
	sorted[1] = id_make(1000, 0, high);
	sorted[2] = id_make(1000, 1, low);
	sorted[3] = id_make(1000, (1u << ID_SEQUENCE_BITS) - 1, high);
	sorted[4] = id_floor(1001);
	sorted[5] = id_make(2000000000000, 0, low);
	for (size_t i = 0; i + 1 < COUNT(sorted); i++) {
		char a[ID_TEXT + 1];
		char b[ID_TEXT + 1];

		id_format(a, &sorted[i]);
		id_format(b, &sorted[i + 1]);
		assert_true(id_compare(&sorted[i], &sorted[i + 1]) < 0);
		assert_true(id_compare(&sorted[i + 1], &sorted[i]) > 0);
		assert_int_equal(id_compare(&sorted[i], &sorted[i]), 0);
		assert_true(strcmp(a, b) < 0);
		assert_true(id_rowid(&sorted[i]) <= id_rowid(&sorted[i + 1]));
	}
}

/* Every bit goes to text and back. */
static void test_text(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 8 * ID_BYTES; bit++) {
		struct message_id id = { { 0 } };
		struct message_id back;
		char text[ID_TEXT + 1];

		id.b[bit / 8] = (uint8_t)(1u << bit % 8);
		id_format(text, &id);
		assert_int_equal(strlen(text), ID_TEXT);
		assert_int_equal(strspn(text, "0123456789abcdefghijklmnopqrstuv"), ID_TEXT);
		assert_true(id_parse(&back, slice_str(text)));
		assert_int_equal(id_compare(&id, &back), 0);
	}
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"0000000000000000000000000",
		"000000000000000000000000000",
		"0000000000000000000000000w",
		"0000000000000000000000000V",
		"00000000000000000000000 00",
		"00000000000000000000000001", /* a bit that is not part of the id */
		"00000000000000000000000002",
	};
	struct message_id id;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		EXPECT(bad[i], !id_parse(&id, slice_str(bad[i])));
	assert_false(id_parse(&id, slice_of("0000000000000\0"
	                                    "000000000000",
	                                    ID_TEXT)));
	assert_true(id_parse(&id, slice_str("00000000000000000000000004")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
