/* tests/unit/api/test_http_keys.c - signatures that count once: the share of a key, presigned ones,
 * and what was signed before the process began */
#include "api/http_keys.h"

#include <stdio.h>

#include "tests/unit/test.h"

#define NOW    INT64_C(1440938160000) /* 20150830T123600Z */
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

static struct http_keys *keys_of(const char *text)
{
	struct http_keys *k = http_keys_new();
	json_t *all;
	struct err e = { 0 };

	EXPECT_OK(json_read(&all, slice_str(text), &e), &e);
	EXPECT_OK(http_keys_set(k, all, &e), &e);
	json_decref(all);
	return k;
}

/* With one secret for all: their signatures of one call are the same. */
#define ONE_KEY(id)                                                                                \
	"{\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"" SECRET "\",\"Principal\":\"of " id    \
	"\"}"
#define TWO_KEYS "{\"Keys\":[" ONE_KEY("MMA") "," ONE_KEY("MMB") "]}"

struct call {
	struct http_field fields[3];
	struct sigv4_request r;
	struct buf text; /* of the signature's field, or of the query */
	char date[SIGV4_TIME + 1];
	char body[32];
};

/* `seconds` 0: signed in the header. */
static void sign(struct call *c, const char *id, int64_t at_ms, unsigned seconds, unsigned number)
{
	const struct sigv4_signer s = { slice_str(id), slice_str(SECRET), slice_str("eu"),
		                        slice_str("ses") };
	char hash[SIGV4_HASH + 1];
	struct err e = { 0 };

	*c = (struct call) { .r = { .method = slice_str("POST"), .path = slice_str("/") } };
	(void)snprintf(c->body, sizeof(c->body), "{\"n\":%u}", number);
	sigv4_hash(hash, slice_str(c->body));
	sigv4_time(c->date, at_ms);
	c->fields[0] = (struct http_field) { slice_str("host"), slice_str("mm.test") };
	c->fields[1] = (struct http_field) { slice_str("x-amz-date"), slice_str(c->date) };
	c->r.fields = c->fields;
	c->r.count = seconds ? 1 : 2;
	buf_init(&c->text, 4096);
	if (seconds) {
		EXPECT_OK(sigv4_presign(&c->text, &s, &c->r, slice_str(hash), at_ms, seconds, &e),
		          &e);
		c->r.query = buf_slice(&c->text);
		return;
	}
	EXPECT_OK(sigv4_sign(&c->text, &s, &c->r, slice_str(hash), &e), &e);
	c->fields[2] = (struct http_field) { slice_str("authorization"), buf_slice(&c->text) };
	c->r.count = 3;
}

enum got { TAKEN, REFUSED, LATER };

static enum got ask(struct http_keys *k, struct call *c, int64_t now_ms, bool once)
{
	const char *principal;
	const char *later;
	struct sigv4_claim claim;
	struct err e = { 0 };
	enum sigv4_verdict v = sigv4_claim(&claim, &c->r, SIGV4_CALL, "ses", now_ms, &e);

	if (v == SIGV4_GOOD)
		v = http_keys_verify(k, &claim, &c->r, slice_str(c->body), once, now_ms, &principal,
		                     &later, &e);
	buf_free(&c->text);
	if (v != SIGV4_GOOD) {
		assert_true(e.text[0]);
		return REFUSED;
	}
	assert_non_null(principal);
	return later ? LATER : TAKEN;
}

static enum got call(struct http_keys *k, const char *id, int64_t at_ms, unsigned seconds,
                     unsigned number, int64_t now_ms)
{
	struct call c;

	sign(&c, id, at_ms, seconds, number);
	return ask(k, &c, now_ms, true);
}

static void test_share(void **state)
{
	struct http_keys *k = keys_of(TWO_KEYS);
	json_t *all;
	struct err e = { 0 };
	struct call c;

	(void)state;
	for (unsigned i = 0; i < ONCE_SHARE; i++)
		assert_int_equal(call(k, "MMA", NOW, ONCE_SECONDS, i, NOW), TAKEN);
	assert_int_equal(call(k, "MMA", NOW, 0, ONCE_SHARE, NOW), LATER);
	/* Others go on, and so do its calls that may be made again. */
	assert_int_equal(call(k, "MMB", NOW, 0, 1 + ONCE_SHARE, NOW), TAKEN);
	sign(&c, "MMA", NOW, 0, ONCE_SHARE);
	assert_int_equal(ask(k, &c, NOW, false), TAKEN);
	/* It is the key's wherever it stands among the keys, and a new one has a share of its own.
	 */
	EXPECT_OK(json_read(&all, slice_str("{\"Keys\":[" ONE_KEY("MM9") "," ONE_KEY("MMA") "]}"),
	                    &e),
	          &e);
	EXPECT_OK(http_keys_set(k, all, &e), &e);
	json_decref(all);
	assert_int_equal(call(k, "MMA", NOW, 0, ONCE_SHARE, NOW + 1000), LATER);
	assert_int_equal(call(k, "MM9", NOW, 0, 2 + ONCE_SHARE, NOW + 1000), TAKEN);
	/* It lasts as long as a signature may live, and no longer. */
	assert_int_equal(call(k, "MMA", NOW + 599000, 0, 1, NOW + 599000), LATER);
	assert_int_equal(call(k, "MMA", NOW + 600000, 0, 1, NOW + 600000), TAKEN);
	http_keys_free(&k);
}

static void test_presigned(void **state)
{
	struct http_keys *k = keys_of(TWO_KEYS);
	struct call c;

	(void)state;
	assert_int_equal(call(k, "MMA", NOW, ONCE_SECONDS, 1, NOW), TAKEN);
	assert_int_equal(call(k, "MMA", NOW, ONCE_SECONDS, 1, NOW + 1), REFUSED); /* again */
	assert_int_equal(call(k, "MMA", NOW, ONCE_SECONDS + 1, 2, NOW), REFUSED);
	assert_int_equal(call(k, "MMA", NOW, SIGV4_EXPIRES_MAX, 3, NOW), REFUSED);
	sign(&c, "MMA", NOW, SIGV4_EXPIRES_MAX, 3);
	assert_int_equal(ask(k, &c, NOW, false), TAKEN);
	http_keys_free(&k);
}

/* Of what carries the second of the beginning nobody can tell. */
static void test_before_the_beginning(void **state)
{
	static const struct {
		int64_t began_ms;
		int64_t at_ms;
		enum got want;
	} cases[] = {
		{ NOW, NOW - 1000, LATER },        { NOW, NOW, TAKEN },
		{ NOW + 1, NOW, LATER },           { NOW + 999, NOW, LATER },
		{ NOW + 999, NOW + 1000, TAKEN },  { NOW + 1000, NOW, LATER },
		{ NOW + 1000, NOW + 1000, TAKEN },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(cases); i++) {
		struct http_keys *k = keys_of(TWO_KEYS);
		int64_t now_ms = MAX_OF(cases[i].began_ms, cases[i].at_ms) + 100;
		struct call c;

		http_keys_set_began(k, cases[i].began_ms);
		assert_int_equal(call(k, "MMA", cases[i].at_ms, 0, i, now_ms), cases[i].want);
		assert_int_equal(call(k, "MMA", cases[i].at_ms, 60, i, now_ms), cases[i].want);
		/* One that was put off isn't used up. */
		if (cases[i].want == LATER)
			assert_int_equal(call(k, "MMA", cases[i].at_ms, 0, i, now_ms), LATER);
		sign(&c, "MMA", cases[i].at_ms, 0, i);
		assert_int_equal(ask(k, &c, now_ms, false), TAKEN);
		http_keys_free(&k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_presigned),
		cmocka_unit_test(test_before_the_beginning),
	};

	sigv4_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
