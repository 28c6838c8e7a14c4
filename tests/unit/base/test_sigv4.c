#include "base/sigv4.h"

#include <dlfcn.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "tests/unit/test.h"

#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SECRET     "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define NOW_TEXT   "20150830T123600Z"
#define NOW        INT64_C(1440938160000)

/* In front of OpenSSL's: counts what a verification costs. */
static unsigned hmacs;

int EVP_MAC_final(EVP_MAC_CTX *ctx, unsigned char *out, size_t *n, size_t room)
{
	int (*real)(EVP_MAC_CTX *, unsigned char *, size_t *, size_t);
	void *found = dlsym(RTLD_NEXT, "EVP_MAC_final");

	assert_non_null(found);
	memcpy(&real, &found, sizeof(real));
	hmacs++;
	return real(ctx, out, n, room);
}

/* ---- signing: values published by AWS, and others computed by Python's hmac ---- */

struct vector {
	const char *name;
	const char *method;
	const char *path;
	const char *query;
	const char *fields[10]; /* name, value, ... */
	const char *payload;
	const char *key_id;
	const char *secret;
	const char *region;
	const char *service;
	const char *signature;
};

#define AWS_EXAMPLE "AKIDEXAMPLE", SECRET, "us-east-1"
#define S3_EXAMPLE                                                                                 \
	"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3"
#define S3_HOST "Host", "examplebucket.s3.amazonaws.com", "x-amz-date", "20130524T000000Z"

static const struct vector vectors[] = {
	/* "Signature Version 4 signing process", IAM's ListUsers */
	{ "iam",
	  "GET",
	  "/",
	  "Action=ListUsers&Version=2010-05-08",
	  { "Content-Type", "application/x-www-form-urlencoded; charset=utf-8", "Host",
	    "iam.amazonaws.com", "X-Amz-Date", NOW_TEXT },
	  EMPTY_HASH,
	  AWS_EXAMPLE,
	  "iam",
	  "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7" },
	/* "Signature Calculations for the Authorization Header", Amazon S3 */
	{ "s3 get",
	  "GET",
	  "/test.txt",
	  "",
	  { S3_HOST, "Range", "bytes=0-9", "x-amz-content-sha256", EMPTY_HASH },
	  EMPTY_HASH,
	  S3_EXAMPLE,
	  "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
	{ "s3 put",
	  "PUT",
	  "/test%24file.text",
	  "",
	  { S3_HOST, "Date", "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class",
	    "REDUCED_REDUNDANCY", "x-amz-content-sha256",
	    "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072" },
	  "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
	  S3_EXAMPLE,
	  "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
	{ "s3 valueless",
	  "GET",
	  "/",
	  "lifecycle",
	  { S3_HOST, "x-amz-content-sha256", EMPTY_HASH },
	  EMPTY_HASH,
	  S3_EXAMPLE,
	  "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
	{ "s3 list",
	  "GET",
	  "/",
	  "prefix=J&max-keys=2",
	  { S3_HOST, "x-amz-content-sha256", EMPTY_HASH },
	  EMPTY_HASH,
	  S3_EXAMPLE,
	  "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
	/* Python */
	{ "call",
	  "POST",
	  "/",
	  "",
	  { "x-amz-target", "MailManagerSvc.CreateArchive", "content-type",
	    "application/x-amz-json-1.0", "x-amz-date", NOW_TEXT, "host", "mm.test:8025",
	    "x-amz-content-sha256",
	    "108e085f90c39a0997fc2bcadad8f61911e74c94109d9a034e84c541103407cd" },
	  "108e085f90c39a0997fc2bcadad8f61911e74c94109d9a034e84c541103407cd",
	  AWS_EXAMPLE,
	  "ses",
	  "9be6fa448ea276e547f02b50e726a029c3013b4fba18fd1e038f7cfae429cf65" },
	{ "odd",
	  "GET",
	  "/a%20b/c%3Fd/",
	  "versions&b=/=&&a-b=1&a=b&a=%20&a",
	  { "X", " a  b\tc", "Host", "mm.test", "x", "", "X-Amz-Date", NOW_TEXT, "X", "d" },
	  EMPTY_HASH,
	  AWS_EXAMPLE,
	  "ses",
	  "adefacc366f1f6ef887fa636ff3b32a1affe9634022c044148cbc5fb87b077c1" },
};

static struct sigv4_request request_of(const struct vector *v, struct http_field fields[5])
{
	struct sigv4_request r = { .method = slice_str(v->method),
		                   .path = slice_str(v->path),
		                   .query = slice_str(v->query),
		                   .fields = fields,
		                   .rule = strcmp(v->service, "s3") == 0 ? SIGV4_PATH_ONCE
		                                                         : SIGV4_PATH_TWICE };

	for (; r.count < 5 && v->fields[2 * r.count]; r.count++)
		fields[r.count] = (struct http_field) { slice_str(v->fields[2 * r.count]),
			                                slice_str(v->fields[2 * r.count + 1]) };
	return r;
}

static struct sigv4_signer signer_of(const struct vector *v)
{
	return (struct sigv4_signer) { slice_str(v->key_id), slice_str(v->secret),
		                       slice_str(v->region), slice_str(v->service) };
}

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(vectors); i++) {
		struct http_field fields[5];
		struct sigv4_request r = request_of(&vectors[i], fields);
		struct sigv4_signer s = signer_of(&vectors[i]);
		struct buf out;
		struct err e = { 0 };

		buf_init(&out, 4096);
		EXPECT_OK(sigv4_sign(&out, &s, &r, slice_str(vectors[i].payload), &e), &e);
		EXPECT_SLICE(vectors[i].name,
		             slice_from(buf_slice(&out), out.len - MIN_OF(out.len, SIGV4_HASH)),
		             vectors[i].signature);
		buf_free(&out);
	}
}

static void test_authorization(void **state)
{
	struct http_field fields[5];
	struct sigv4_request r = request_of(&vectors[6], fields);
	struct sigv4_signer s = signer_of(&vectors[6]);
	struct buf out;
	struct err e = { 0 };

	(void)state;
	buf_init(&out, 4096);
	EXPECT_OK(sigv4_sign(&out, &s, &r, slice_str(EMPTY_HASH), &e), &e);
	EXPECT_SLICE("header", buf_slice(&out),
	             "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/ses/aws4_request, "
	             "SignedHeaders=host;x;x-amz-date, "
	             "Signature=adefacc366f1f6ef887fa636ff3b32a1affe9634022c044148cbc5fb87b077c1");
	buf_free(&out);
}

static void test_canonical(void **state)
{
	struct http_field fields[5];
	struct sigv4_request r = request_of(&vectors[6], fields);
	struct buf out;
	struct err e = { 0 };

	(void)state;
	buf_init(&out, 4096);
	EXPECT_OK(sigv4_canonical(&out, &r, slice_str("host;x"), slice_str("hash"), &e), &e);
	EXPECT_SLICE("twice", buf_slice(&out),
	             "GET\n/a%2520b/c%253Fd/\na=&a=%20&a=b&a-b=1&b=%2F%3D&versions=\n"
	             "host:mm.test\nx:a b c,,d\n\nhost;x\nhash");
	buf_clear(&out);
	r.rule = SIGV4_PATH_ONCE;
	r.path = slice_str("/a b/%7e%2f(c)//./%e4");
	r.query = slice_str("X-Amz-Signature=x&%41=%62+c");
	EXPECT_OK(sigv4_canonical(&out, &r, slice_str("host"), slice_str("hash"), &e), &e);
	EXPECT_SLICE("once", buf_slice(&out),
	             "GET\n/a%20b/~/%28c%29//./%E4\nA=b%2Bc\nhost:mm.test\n\nhost\nhash");
	buf_clear(&out);
	assert_int_equal(sigv4_canonical(&out, &r, slice_str("host;y"), slice_str("hash"), &e),
	                 RC_INVALID);
	r.query = slice_str("a=%4");
	assert_int_equal(sigv4_canonical(&out, &r, slice_str("host"), slice_str("hash"), &e),
	                 RC_INVALID);
	buf_free(&out);
}

static void test_signer_refuses(void **state)
{
	struct http_field fields[5];
	struct sigv4_request r = request_of(&vectors[5], fields);
	struct sigv4_signer s = signer_of(&vectors[5]);
	struct buf out;
	struct err e = { 0 };

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(sigv4_sign(&out, &s, &r, slice_str(EMPTY_HASH), &e), RC_INVALID);
	r.count = 4; /* without x-amz-content-sha256 */
	EXPECT_OK(sigv4_sign(&out, &s, &r, slice_str(EMPTY_HASH), &e), &e);
	fields[2].value = slice_str("20150830T126000Z");
	assert_int_equal(sigv4_sign(&out, &s, &r, slice_str(EMPTY_HASH), &e), RC_INVALID);
	fields[2].value = slice_str(NOW_TEXT);
	r.count = 3; /* without host */
	assert_int_equal(sigv4_sign(&out, &s, &r, slice_str(EMPTY_HASH), &e), RC_INVALID);
	buf_free(&out);
}

static void test_escape(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	assert_int_equal(sigv4_escape(&out, slice_str("/a b+c/~%\xc3\xa4"), true), RC_OK);
	EXPECT_SLICE("path", buf_slice(&out), "/a%20b%2Bc/~%25%C3%A4");
	buf_clear(&out);
	assert_int_equal(sigv4_escape(&out, slice_str("a/b"), false), RC_OK);
	EXPECT_SLICE("value", buf_slice(&out), "a%2Fb");
	buf_free(&out);
}

/* ---- presigned ---- */

/* Amazon S3, "Authenticating Requests: Using Query Parameters" */
static void test_presign_published(void **state)
{
	struct http_field host = { slice_str("Host"), slice_str("examplebucket.s3.amazonaws.com") };
	struct sigv4_request r = {
		slice_str("GET"), slice_str("/test.txt"), slice_str(""), &host, 1, SIGV4_PATH_ONCE
	};
	struct sigv4_signer s = signer_of(&vectors[1]);
	struct buf out;
	struct err e = { 0 };

	(void)state;
	buf_init(&out, 4096);
	EXPECT_OK(sigv4_presign(&out, &s, &r, slice_str(SIGV4_UNSIGNED), INT64_C(1369353600000),
	                        86400, &e),
	          &e);
	EXPECT_SLICE(
	        "query", buf_slice(&out),
	        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524"
	        "%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
	        "&X-Amz-SignedHeaders=host&X-Amz-Signature="
	        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
	buf_free(&out);
}

/* ---- checking: a good request, and what may be changed in it ---- */

#define FIELDS 12

struct call {
	const char *method;
	const char *path;
	char query[1024];
	struct {
		const char *name;
		char value[512];
	} fields[FIELDS];
	char body[64];
	const char *secret;
	int64_t now_ms;
	enum sigv4_use use;
	struct sigv4_derived *derived;
	char text[496]; /* of the error */
};

static void set(struct call *c, const char *name, const char *value)
{
	size_t i = 0;

	while (c->fields[i].name && strcmp(c->fields[i].name, name) != 0)
		i++;
	assert_true(i < FIELDS && strlen(value) < sizeof(c->fields[i].value));
	c->fields[i].name = name;
	strncpy(c->fields[i].value, value, sizeof(c->fields[i].value) - 1);
}

static void append(struct call *c, const char *name, const char *value)
{
	size_t i = 0;

	while (c->fields[i].name)
		i++;
	assert_true(i < FIELDS);
	c->fields[i].name = name;
	strncpy(c->fields[i].value, value, sizeof(c->fields[i].value) - 1);
}

static char *get(struct call *c, const char *name)
{
	for (size_t i = 0; i < FIELDS && c->fields[i].name; i++)
		if (strcmp(c->fields[i].name, name) == 0)
			return c->fields[i].value;
	fail_msg("no field %s", name);
	return NULL;
}

static void take_out(struct call *c, const char *name)
{
	for (size_t i = 0; i < FIELDS && c->fields[i].name; i++)
		if (strcmp(c->fields[i].name, name) == 0)
			c->fields[i].name = "x-other";
}

/* In the text, which stays no longer than it was by more than its room allows. */
static void replace(char *text, const char *what, const char *by)
{
	char *at = strstr(text, what);
	char rest[1024];

	if (!at)
		fail_msg("no %s in %s", what, text);
	strncpy(rest, at + strlen(what), sizeof(rest) - 1);
	rest[sizeof(rest) - 1] = '\0';
	memcpy(at, by, strlen(by));
	memcpy(at + strlen(by), rest, strlen(rest) + 1);
}

static struct sigv4_request request_of_call(const struct call *c, struct http_field fields[FIELDS])
{
	struct sigv4_request r = { .method = slice_str(c->method),
		                   .path = slice_str(c->path),
		                   .query = slice_str(c->query),
		                   .fields = fields };

	for (; r.count < FIELDS && c->fields[r.count].name; r.count++)
		fields[r.count] = (struct http_field) { slice_str(c->fields[r.count].name),
			                                slice_str(c->fields[r.count].value) };
	return r;
}

static struct sigv4_signer signer(void)
{
	return (struct sigv4_signer) { slice_str("AKIDEXAMPLE"), slice_str(SECRET),
		                       slice_str("eu-central-1"), slice_str("ses") };
}

/* Signs what the call has now, all of its fields. */
static void sign(struct call *c)
{
	struct http_field fields[FIELDS];
	struct sigv4_request r;
	struct sigv4_signer s = signer();
	char hash[SIGV4_HASH + 1];
	struct buf out;
	struct err e = { 0 };

	take_out(c, "Authorization");
	sigv4_hash(hash, slice_str(c->body));
	r = request_of_call(c, fields);
	buf_init(&out, 4096);
	EXPECT_OK(sigv4_sign(&out, &s, &r, slice_str(hash), &e), &e);
	set(c, "Authorization", buf_text(&out));
	buf_free(&out);
}

static struct call good_call(void)
{
	struct call c = { .method = "POST",
		          .path = "/",
		          .body = "{\"ArchiveName\":\"x1\"}",
		          .secret = SECRET,
		          .now_ms = NOW };
	char hash[SIGV4_HASH + 1];

	sigv4_hash(hash, slice_str(c.body));
	set(&c, "Host", "mm.test:8025");
	set(&c, "Content-Type", "application/x-amz-json-1.0");
	set(&c, "X-Amz-Target", "MailManagerSvc.CreateArchive");
	set(&c, "X-Amz-Date", NOW_TEXT);
	set(&c, "x-amz-content-sha256", hash);
	sign(&c);
	append(&c, "User-Agent", "aws-sdk");
	return c;
}

static void presign(struct call *c, const char *payload, unsigned seconds)
{
	struct http_field fields[FIELDS];
	struct sigv4_request r = request_of_call(c, fields);
	struct sigv4_signer s = signer();
	struct buf out;
	struct err e = { 0 };

	buf_init(&out, sizeof(c->query) - 1);
	EXPECT_OK(sigv4_presign(&out, &s, &r, slice_str(payload), NOW, seconds, &e), &e);
	memcpy(c->query, buf_text(&out), out.len + 1);
	buf_free(&out);
}

static struct call good_link(void)
{
	struct call c = { .method = "GET",
		          .path = "/content/0e5k1m2",
		          .query = "archive=a-1",
		          .secret = SECRET,
		          .now_ms = NOW,
		          .use = SIGV4_LINK };

	set(&c, "Host", "mm.test:8025");
	presign(&c, SIGV4_UNSIGNED, 3600);
	append(&c, "Accept", "*/*");
	return c;
}

static enum sigv4_verdict check(struct call *c)
{
	struct http_field fields[FIELDS];
	struct sigv4_request r = request_of_call(c, fields);
	struct sigv4_claim claim;
	char hash[SIGV4_HASH + 1];
	struct err e = { 0 };
	enum sigv4_verdict v = sigv4_claim(&claim, &r, c->use, "ses", c->now_ms, &e);

	sigv4_hash(hash, slice_str(c->body));
	if (v == SIGV4_GOOD)
		v = sigv4_verify(&claim, &r, slice_str(hash), slice_str(c->secret), c->derived, &e);
	memcpy(c->text, e.text, sizeof(c->text));
	assert_true((v == SIGV4_GOOD) == (c->text[0] == '\0'));
	assert_true((v == SIGV4_GOOD) == (sigv4_exception(v) == NULL));
	return v;
}

static void test_link_by_python(void **state)
{
	struct http_field host = { slice_str("Host"), slice_str("mm.test:8025") };
	struct sigv4_request r = { .method = slice_str("GET"),
		                   .path = slice_str("/content/0e5k1m2"),
		                   .query = slice_str("archive=a-1"),
		                   .fields = &host,
		                   .count = 1 };
	struct sigv4_signer s = { slice_str("mm-links"), slice_str(SECRET), slice_str("local"),
		                  slice_str("ses") };
	struct buf out;
	struct err e = { 0 };

	(void)state;
	buf_init(&out, 4096);
	EXPECT_OK(sigv4_presign(&out, &s, &r, slice_str(SIGV4_UNSIGNED), NOW, 3600, &e), &e);
	EXPECT_SLICE("signature", slice_from(buf_slice(&out), out.len - SIGV4_HASH),
	             "36e70c06fdc6b939602337cf81cb404b662111e8d38966b48436774d1dc7c5f9");
	buf_free(&out);
}

/* ---- changes that don't count ---- */

static void test_good(void **state)
{
	struct sigv4_derived derived = { .day = "" };
	struct call c = good_call();

	(void)state;
	c.derived = &derived;
	for (int i = 0; i < 2; i++) /* without and with the derived key at hand */
		assert_int_equal(check(&c), SIGV4_GOOD);
	assert_string_equal(derived.region, "eu-central-1");
	set(&c, "User-Agent", "another");
	append(&c, "X-Forwarded-For", "192.0.2.1");
	assert_int_equal(check(&c), SIGV4_GOOD);
	c = good_link();
	assert_int_equal(check(&c), SIGV4_GOOD);
	strncpy(c.body, "whatever", sizeof(c.body) - 1);
	assert_int_equal(check(&c), SIGV4_GOOD);
}

/* The algorithm takes runs of blanks for one, in headers that nothing is decided by. */
static void test_blanks_that_do_not_count(void **state)
{
	struct call c = good_call();

	(void)state;
	set(&c, "User-Agent", "one  two");
	sign(&c);
	assert_int_equal(check(&c), SIGV4_GOOD);
	set(&c, "User-Agent", " one \t two ");
	assert_int_equal(check(&c), SIGV4_GOOD);
	set(&c, "User-Agent", "onetwo");
	assert_int_equal(check(&c), SIGV4_WRONG);
}

static void test_authorization_spelled_otherwise(void **state)
{
	struct call c = good_call();
	char *text = get(&c, "Authorization");

	(void)state;
	replace(text, ", SignedHeaders", ",SignedHeaders");
	replace(text, ", Signature", ",   Signature");
	assert_int_equal(check(&c), SIGV4_GOOD);
}

static void test_presigned_call(void **state)
{
	struct call c = good_call();
	char hash[SIGV4_HASH + 1];

	(void)state;
	take_out(&c, "Authorization");
	take_out(&c, "User-Agent");
	sigv4_hash(hash, slice_str(c.body));
	presign(&c, hash, 60);
	assert_int_equal(check(&c), SIGV4_GOOD);
	c.body[0] = '[';
	assert_int_equal(check(&c), SIGV4_BODY);
	take_out(&c, "x-amz-content-sha256");
	assert_int_equal(check(&c), SIGV4_MALFORMED); /* it was signed */
}

static void test_window(void **state)
{
	struct call c = good_call();

	(void)state;
	c.now_ms = NOW - SIGV4_SKEW_MS;
	assert_int_equal(check(&c), SIGV4_GOOD);
	c.now_ms = NOW - SIGV4_SKEW_MS - 1;
	assert_int_equal(check(&c), SIGV4_OUTDATED);
	c.now_ms = NOW + SIGV4_SKEW_MS - 1;
	assert_int_equal(check(&c), SIGV4_GOOD);
	c.now_ms = NOW + SIGV4_SKEW_MS;
	assert_int_equal(check(&c), SIGV4_OUTDATED);
	c = good_link();
	c.now_ms = NOW + 3600 * 1000 - 1;
	assert_int_equal(check(&c), SIGV4_GOOD);
	c.now_ms++;
	assert_int_equal(check(&c), SIGV4_OUTDATED);
	c.now_ms = NOW - SIGV4_SKEW_MS - 1;
	assert_int_equal(check(&c), SIGV4_OUTDATED);
}

/* ---- changes that do: each alone, each refused ---- */

/* What is changed: "path", "method", "body", "query", "secret"; "+NAME" adds a field, "-NAME" takes
 * one out, NAME is set to `by`, or has `what` replaced by it. */
struct change {
	const char *where;
	const char *what;
	const char *by;
	enum sigv4_verdict verdict;
	bool sign_anew;
};

static void apply(struct call *c, const struct change *ch)
{
	if (strcmp(ch->where, "path") == 0)
		c->path = ch->by;
	else if (strcmp(ch->where, "method") == 0)
		c->method = ch->by;
	else if (strcmp(ch->where, "secret") == 0)
		c->secret = ch->by;
	else if (strcmp(ch->where, "body") == 0)
		strncpy(c->body, ch->by, sizeof(c->body) - 1);
	else if (strcmp(ch->where, "query") == 0)
		strncpy(c->query, ch->by, sizeof(c->query) - 1);
	else if (ch->where[0] == '+')
		append(c, ch->where + 1, ch->by);
	else if (ch->where[0] == '-')
		take_out(c, ch->where + 1);
	else if (ch->what)
		replace(get(c, ch->where), ch->what, ch->by);
	else
		set(c, ch->where, ch->by);
	if (ch->sign_anew)
		sign(c);
}

#define AUTH(what, by, verdict)                                                                    \
	{                                                                                          \
		"Authorization", what, by, SIGV4_##verdict, false                                  \
	}

static const struct change changes[] = {
	AUTH(";host", "", MALFORMED),
	AUTH(";host;", ";host;range;", MALFORMED),
	AUTH(";host;", ";host;user-agent;", WRONG),
	AUTH("content-type;host", "host;content-type", MALFORMED),
	AUTH(";host", ";Host", MALFORMED),
	AUTH(";host;", ";host;host;", MALFORMED),
	AUTH(";host;", ";;host;", MALFORMED),
	AUTH("target,", "target;,", MALFORMED),
	AUTH("target,", "target;user-agent,", MALFORMED),
	AUTH("target,", "target;x-other,", MALFORMED),
	AUTH(";x-amz-target", "", MALFORMED),
	AUTH(";x-amz-date", "", MALFORMED),
	AUTH("content-type;", "", MALFORMED),
	AUTH("/20150830/", "/20150831/", MALFORMED),
	AUTH("/20150830/", "/2015083/", MALFORMED),
	AUTH("/eu-central-1/", "/eu-central-2/", WRONG),
	AUTH("/eu-central-1/", "//", MALFORMED),
	AUTH("/ses/", "/s3/", SCOPE),
	AUTH("/ses/", "/", MALFORMED),
	AUTH("/aws4_request", "", MALFORMED),
	AUTH("/aws4_request", "/aws4_request/x", MALFORMED),
	AUTH("/aws4_request", "/AWS4_request", MALFORMED),
	AUTH("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", MALFORMED),
	AUTH("AWS4-HMAC-SHA256", "aws4-hmac-sha256", MALFORMED),
	AUTH(", SignedHeaders=", ", Signedheaders=", MALFORMED),
	AUTH(", SignedHeaders=", ", Signature=00, SignedHeaders=", MALFORMED),
	AUTH(", SignedHeaders=", ", Other=1, SignedHeaders=", MALFORMED),
	AUTH("AKIDEXAMPLE", "AKID EXAMPLE", MALFORMED),
	AUTH("AKIDEXAMPLE", "", MALFORMED),
	AUTH("Signature=", "Signature=0", MALFORMED),
	AUTH("Signature=", "Signature= ", MALFORMED),
	{ "Authorization", NULL, "Basic QUtJRDpTRUNSRVQ=", SIGV4_MALFORMED, false },
	{ "Authorization", NULL, "", SIGV4_MALFORMED, false },
	{ "-Authorization", NULL, NULL, SIGV4_MISSING, false },
	{ "-X-Amz-Date", NULL, NULL, SIGV4_MALFORMED, false },
	{ "X-Amz-Date", NULL, "20150830T126000Z", SIGV4_MALFORMED, false },
	{ "X-Amz-Date", NULL, "20150830T123601Z", SIGV4_WRONG, false },
	{ "-Host", NULL, NULL, SIGV4_MALFORMED, false },
	{ "Host", NULL, "mm.test", SIGV4_WRONG, false },
	{ "X-Amz-Target", NULL, "MailManagerSvc.DeleteArchive", SIGV4_WRONG, false },
	{ "+X-Amz-Target", NULL, "MailManagerSvc.DeleteArchive", SIGV4_MALFORMED, false },
	{ "+x-amz-target", NULL, "MailManagerSvc.DeleteArchive", SIGV4_MALFORMED, true },
	{ "Content-Type", NULL, "application/cbor", SIGV4_WRONG, false },
	{ "+X-Amz-Copy-Source", NULL, "/a/b", SIGV4_MALFORMED, false },
	{ "+X-Amz-Security-Token", NULL, "FwoGZXIvYXdzE", SIGV4_TOKEN, false },
	{ "+X-Amz-Security-Token", NULL, "FwoGZXIvYXdzE", SIGV4_TOKEN, true },
	{ "query", NULL, "X-Amz-Security-Token=x", SIGV4_TOKEN, false },
	{ "query", NULL, "x-amz-signature=x", SIGV4_MALFORMED, false },
	{ "query", NULL, "a", SIGV4_WRONG, false },
	{ "X-Amz-Target", NULL, "MailManagerSvc.  CreateArchive", SIGV4_MALFORMED, true },
	{ "Content-Type", NULL, "application/json;\tcharset=utf-8", SIGV4_MALFORMED, true },
	{ "body", NULL, "{\"ArchiveName\":\"x2\"}", SIGV4_BODY, false },
	{ "body", NULL, "", SIGV4_BODY, false },
	{ "x-amz-content-sha256", NULL, EMPTY_HASH, SIGV4_BODY, false },
	{ "x-amz-content-sha256", NULL, SIGV4_UNSIGNED, SIGV4_MALFORMED, false },
	{ "x-amz-content-sha256", NULL, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", SIGV4_MALFORMED,
	  false },
	{ "x-amz-content-sha256", NULL, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", SIGV4_MALFORMED,
	  false },
	{ "path", NULL, "/a/../", SIGV4_MALFORMED, false },
	{ "path", NULL, "//", SIGV4_MALFORMED, false },
	{ "path", NULL, "/%2e", SIGV4_MALFORMED, false },
	{ "path", NULL, "/a/%2E%2e/b", SIGV4_MALFORMED, true },
	{ "path", NULL, "/a/./b", SIGV4_MALFORMED, true },
	{ "path", NULL, "a", SIGV4_MALFORMED, true },
	{ "path", NULL, "", SIGV4_MALFORMED, true },
	{ "path", NULL, "/service", SIGV4_WRONG, false },
	{ "method", NULL, "PUT", SIGV4_WRONG, false },
	{ "secret", NULL, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEZ", SIGV4_WRONG, false },
	{ "secret", NULL, "", SIGV4_WRONG, false },
};

/* With a derived key at hand the answers are the same. */
static void test_changes(void **state)
{
	struct sigv4_derived derived = { .day = "" };

	(void)state;
	for (int warm = 0; warm < 2; warm++) {
		struct call good = good_call();

		good.derived = warm ? &derived : NULL;
		assert_int_equal(check(&good), SIGV4_GOOD);
		for (size_t i = 0; i < COUNT(changes); i++) {
			struct call c = good;
			enum sigv4_verdict v;

			apply(&c, &changes[i]);
			v = check(&c);
			if (v != changes[i].verdict)
				fail_msg("%s, %s: %s (%s)", changes[i].where,
				         changes[i].by ? changes[i].by : "",
				         v ? sigv4_exception(v) : "accepted", c.text);
		}
		assert_int_equal(check(&good), SIGV4_GOOD);
	}
}

static void test_body_and_its_hash(void **state)
{
	struct call c = good_call();
	char hash[SIGV4_HASH + 1];

	(void)state;
	c.body[0] = '[';
	sigv4_hash(hash, slice_str(c.body));
	set(&c, "x-amz-content-sha256", hash);
	assert_int_equal(check(&c), SIGV4_WRONG);
}

static void test_no_date_at_all(void **state)
{
	struct call c = good_call();

	(void)state;
	replace(get(&c, "Authorization"), ";x-amz-date", "");
	take_out(&c, "X-Amz-Date");
	assert_int_equal(check(&c), SIGV4_MALFORMED);
}

static void test_upper_case_signature(void **state)
{
	struct call c = good_call();

	(void)state;
	for (char *p = strstr(get(&c, "Authorization"), "Signature=") + 10; *p; p++)
		if (*p >= 'a')
			*p = (char)(*p - 32);
	assert_int_equal(check(&c), SIGV4_MALFORMED);
}

static void test_long_key_id(void **state)
{
	struct call c = good_call();
	char id[LIMIT_SIGV4_KEY_ID + 2];

	(void)state;
	memset(id, 'A', sizeof(id));
	id[LIMIT_SIGV4_KEY_ID + 1] = '\0';
	replace(get(&c, "Authorization"), "AKIDEXAMPLE", id);
	assert_int_equal(check(&c), SIGV4_MALFORMED);
	/* The longest. An id is no part of what is signed: whose secret it is, the caller says. */
	replace(get(&c, "Authorization"), "AA", "A");
	assert_int_equal(check(&c), SIGV4_GOOD);
}

static void test_every_digit_counts(void **state)
{
	struct call good = good_call();

	(void)state;
	for (size_t i = 0; i < SIGV4_HASH; i++) {
		struct call c = good;
		char *digit = strstr(get(&c, "Authorization"), "Signature=") + 10 + i;

		*digit = *digit == 'f' ? 'e' : 'f';
		assert_int_equal(check(&c), SIGV4_WRONG);
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_null(sigv4_exception(SIGV4_GOOD));
	assert_string_equal(sigv4_exception(SIGV4_MISSING), "MissingAuthenticationTokenException");
	assert_string_equal(sigv4_exception(SIGV4_MALFORMED), "IncompleteSignatureException");
	assert_string_equal(sigv4_exception(SIGV4_TOKEN), "UnrecognizedClientException");
	assert_string_equal(sigv4_exception(SIGV4_WRONG), "InvalidSignatureException");
	assert_string_equal(sigv4_exception(SIGV4_OUTDATED), "InvalidSignatureException");
}

/* ---- the same for links ---- */

static const struct {
	const char *what;
	const char *by;
	enum sigv4_verdict verdict;
} link_changes[] = {
	{ "&X-Amz-Expires=3600", "", SIGV4_MALFORMED },
	{ "Expires=3600", "Expires=0", SIGV4_MALFORMED },
	{ "Expires=3600", "Expires=-1", SIGV4_MALFORMED },
	{ "Expires=3600", "Expires=%31", SIGV4_MALFORMED },
	{ "Expires=3600", "Expires=604801", SIGV4_MALFORMED },
	{ "Expires=3600", "Expires=18446744073709551617", SIGV4_MALFORMED },
	{ "Expires=3600", "Expires=604800", SIGV4_WRONG },
	{ "&X-Amz-Signature=", "&X-Amz-Signature=x&X-Amz-Signature=", SIGV4_MALFORMED },
	{ "&X-Amz-Signature=", "&x-amz-signature=x&X-Amz-Signature=", SIGV4_MALFORMED },
	{ "&X-Amz-Signature=", "&X%2DAmz-Signature=", SIGV4_MALFORMED },
	{ "&X-Amz-Signature=", "&X-Amz-Security-Token=x&X-Amz-Signature=", SIGV4_TOKEN },
	{ "&X-Amz-Signature=", "&b=c&X-Amz-Signature=", SIGV4_WRONG },
	{ "archive=a-1", "archive=a-2", SIGV4_WRONG },
	{ "archive=a-1", "", SIGV4_WRONG },
	{ "archive=a-1", "archive=a-%", SIGV4_MALFORMED },
	{ "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512", SIGV4_MALFORMED },
	{ "Date=20150830", "Date=20150829", SIGV4_MALFORMED },
	{ "T123600Z", "T123601Z", SIGV4_WRONG },
	{ "%2Fses%2F", "%2Fs3%2F", SIGV4_SCOPE },
	{ "%2Fses%2F", "/ses/", SIGV4_GOOD },
	{ "SignedHeaders=host", "SignedHeaders=accept", SIGV4_MALFORMED },
	{ "SignedHeaders=host", "SignedHeaders=accept%3Bhost", SIGV4_WRONG },
	{ "SignedHeaders=host", "SignedHeaders=", SIGV4_MALFORMED },
	{ "SignedHeaders=host", "SignedHeaders=host%0A", SIGV4_MALFORMED },
};

static void test_link_changes(void **state)
{
	struct call good = good_link();

	(void)state;
	for (size_t i = 0; i < COUNT(link_changes); i++) {
		struct call c = good;
		enum sigv4_verdict v;

		replace(c.query, link_changes[i].what, link_changes[i].by);
		v = check(&c);
		if (v != link_changes[i].verdict)
			fail_msg("%s for %s: %d (%s)", link_changes[i].by, link_changes[i].what, v,
			         c.text);
	}
}

static void test_link_headers(void **state)
{
	struct call c = good_link();

	(void)state;
	append(&c, "x-amz-copy-source", "/a/b");
	assert_int_equal(check(&c), SIGV4_MALFORMED);
	c = good_link();
	append(&c, "x-amz-security-token", "x");
	assert_int_equal(check(&c), SIGV4_TOKEN);
	c = good_link();
	append(&c, "Content-Type", "text/csv"); /* nothing is decided by it */
	assert_int_equal(check(&c), SIGV4_GOOD);
	c = good_link();
	c.method = "PUT";
	assert_int_equal(check(&c), SIGV4_WRONG);
	c = good_link();
	c.path = "/content/0e5k1m3";
	assert_int_equal(check(&c), SIGV4_WRONG);
	c = good_call(); /* a call's signature opens no link, and a link's makes no call */
	c.use = SIGV4_LINK;
	assert_int_equal(check(&c), SIGV4_MISSING);
	c = good_link();
	c.use = SIGV4_CALL;
	assert_int_equal(check(&c), SIGV4_WRONG);
}

/* ---- a key that isn't known ---- */

static void test_unknown_is_as_wrong(void **state)
{
	struct sigv4_derived derived = { .day = "" };
	struct call wrong = good_call();
	struct call unknown = good_call();

	(void)state;
	set(&wrong, "X-Amz-Target", "MailManagerSvc.DeleteArchive");
	wrong.derived = &derived;
	replace(get(&unknown, "Authorization"), "AKIDEXAMPLE", "AKIDNOTHERE");
	unknown.secret = "0123456789012345678901234567890123456789";
	assert_int_equal(check(&wrong), SIGV4_WRONG);
	assert_int_equal(check(&unknown), SIGV4_WRONG);
	assert_string_equal(wrong.text, unknown.text);
	assert_int_equal(derived.day[0], 0); /* only a good signature fills it */
}

static unsigned cost(struct call *c, enum sigv4_verdict want)
{
	hmacs = 0;
	assert_int_equal(check(c), want);
	return hmacs;
}

static void test_failures_cost_the_same(void **state)
{
	struct sigv4_derived warm = { .day = "" };
	struct sigv4_derived cold = { .day = "" };
	struct call good = good_call();
	struct call wrong;

	(void)state;
	good.derived = &warm;
	assert_int_equal(cost(&good, SIGV4_GOOD), 6);
	assert_int_equal(cost(&good, SIGV4_GOOD), 1);
	wrong = good;
	set(&wrong, "X-Amz-Target", "MailManagerSvc.DeleteArchive");
	assert_int_equal(cost(&wrong, SIGV4_WRONG), 6); /* a key in use */
	wrong.derived = &cold;
	assert_int_equal(cost(&wrong, SIGV4_WRONG), 6); /* one that wasn't used today */
	wrong.derived = NULL;
	wrong.secret = "0123456789012345678901234567890123456789";
	assert_int_equal(cost(&wrong, SIGV4_WRONG), 6); /* one that isn't known */
}

static void test_derived_of_another_day(void **state)
{
	struct sigv4_derived derived = { .day = "" };
	struct sigv4_derived before;
	struct call c = good_call();

	(void)state;
	c.derived = &derived;
	assert_int_equal(check(&c), SIGV4_GOOD);
	before = derived;
	set(&c, "X-Amz-Date", "20150831T123600Z");
	take_out(&c, "User-Agent");
	sign(&c);
	c.now_ms += MS_PER_DAY;
	assert_int_equal(check(&c), SIGV4_GOOD);
	assert_memory_not_equal(before.key, derived.key, sizeof(derived.key));
}

static void test_claim_says(void **state)
{
	struct call c = good_call();
	struct http_field fields[FIELDS];
	struct sigv4_request r = request_of_call(&c, fields);
	struct sigv4_claim claim;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(sigv4_claim(&claim, &r, SIGV4_CALL, "ses", NOW, &e), SIGV4_GOOD);
	assert_string_equal(claim.key_id, "AKIDEXAMPLE");
	assert_string_equal(claim.region, "eu-central-1");
	assert_string_equal(claim.time, NOW_TEXT);
	assert_int_equal(claim.at_ms, NOW);
	assert_int_equal(claim.until_ms, NOW + SIGV4_SKEW_MS);
	assert_false(claim.presigned);
	c = good_link();
	r = request_of_call(&c, fields);
	assert_int_equal(sigv4_claim(&claim, &r, SIGV4_LINK, "ses", NOW, &e), SIGV4_GOOD);
	assert_int_equal(claim.until_ms, NOW + 3600000);
	assert_true(claim.presigned);
}

static void test_times(void **state)
{
	char text[SIGV4_TIME + 1];

	(void)state;
	sigv4_time(text, NOW);
	assert_string_equal(text, NOW_TEXT);
	sigv4_time(text, NOW + 999);
	assert_string_equal(text, NOW_TEXT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_authorization),
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_signer_refuses),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_presign_published),
		cmocka_unit_test(test_link_by_python),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_blanks_that_do_not_count),
		cmocka_unit_test(test_authorization_spelled_otherwise),
		cmocka_unit_test(test_presigned_call),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_body_and_its_hash),
		cmocka_unit_test(test_no_date_at_all),
		cmocka_unit_test(test_upper_case_signature),
		cmocka_unit_test(test_long_key_id),
		cmocka_unit_test(test_every_digit_counts),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_link_changes),
		cmocka_unit_test(test_link_headers),
		cmocka_unit_test(test_unknown_is_as_wrong),
		cmocka_unit_test(test_failures_cost_the_same),
		cmocka_unit_test(test_derived_of_another_day),
		cmocka_unit_test(test_claim_says),
		cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
