#include "base/certificate.h"

#include <openssl/x509v3.h>
#include <stdio.h>

#include "tests/unit/test.h"

/* One certificate, put together by hand; nothing in it is checked on the way. */
struct odd {
	X509 *x;
	X509_NAME *subject;
	GENERAL_NAMES *names;
};

static void odd_begin(struct odd *o)
{
	o->x = X509_new();
	o->subject = X509_NAME_new();
	o->names = GENERAL_NAMES_new();
	assert_true(o->x && o->subject && o->names && X509_set_version(o->x, 2));
	ASN1_INTEGER_set(X509_get_serialNumber(o->x), 0x0a1b);
	assert_true(ASN1_TIME_set_string(X509_getm_notBefore(o->x), "20260302081500Z"));
	assert_true(ASN1_TIME_set_string(X509_getm_notAfter(o->x), "20991231235959Z"));
}

static void odd_cn(struct odd *o, int type, const void *bytes, size_t len)
{
	X509_NAME_ENTRY *entry =
	        X509_NAME_ENTRY_create_by_NID(NULL, NID_commonName, type, bytes, (int)len);

	assert_true(entry && X509_NAME_add_entry(o->subject, entry, -1, 0));
	X509_NAME_ENTRY_free(entry);
}

static void odd_name(struct odd *o, int kind, const void *bytes, size_t len)
{
	GENERAL_NAME *n = GENERAL_NAME_new();
	ASN1_STRING *s =
	        ASN1_STRING_type_new(kind == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

	assert_true(n && s && ASN1_STRING_set(s, bytes, (int)len));
	GENERAL_NAME_set0_value(n, kind, s);
	assert_true(sk_GENERAL_NAME_push(o->names, n) > 0);
}

/* What stands for `in` in the DER becomes `out`: OpenSSL would make no such certificate. */
static void patch(unsigned char *der, size_t len, const char *in, const void *out)
{
	unsigned char *at = memmem(der, len, in, strlen(in));

	assert_non_null(at);
	while (at) {
		memcpy(at, out, strlen(in));
		at = memmem(der, len, in, strlen(in));
	}
}

/* Signs, changes `in` to `out` (NULL: nothing), and reads what came of it. */
static enum rc odd_read_as(struct odd *o, const char *in, const void *out, struct certificate *c,
                           struct err *e)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	unsigned char *der = NULL;
	int len;
	enum rc rc;

	assert_true(X509_set_subject_name(o->x, o->subject) &&
	            X509_set_issuer_name(o->x, o->subject) && X509_set_pubkey(o->x, key));
	if (sk_GENERAL_NAME_num(o->names))
		assert_true(X509_add1_ext_i2d(o->x, NID_subject_alt_name, o->names, 0, 0));
	assert_true(X509_sign(o->x, key, EVP_sha256()));
	len = i2d_X509(o->x, &der);
	assert_true(len > 0);
	if (in)
		patch(der, (size_t)len, in, out);
	rc = certificate_read(c, slice_of(der, (size_t)len), e);
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	X509_free(o->x);
	X509_NAME_free(o->subject);
	GENERAL_NAMES_free(o->names);
	return rc;
}

static enum rc odd_read(struct odd *o, struct certificate *c, struct err *e)
{
	return odd_read_as(o, NULL, NULL, c, e);
}

/* The texts of one kind, a '|' behind each. */
static const char *all_of(const struct certificate *c, enum certificate_kind kind)
{
	static char text[65536];
	size_t n = 0;

	for (size_t i = 0; i < c->count; i++) {
		struct slice s = certificate_text(c, i);

		assert_true(slice_is_utf8(s));
		if (c->names[i].kind != kind)
			continue;
		assert_true(n + s.len + 2 < sizeof(text));
		memcpy(text + n, s.at, s.len);
		n += s.len;
		text[n++] = '|';
	}
	text[n] = '\0';
	return text;
}

static void test_kinds(void **state)
{
	static const uint8_t v4[] = { 192, 0, 2, 1 };
	static const uint8_t v6[16] = { 0x20, 1, 0x0d, 0xb8, [15] = 1 };
	struct certificate c;
	struct odd o;
	struct err e;
	GENERAL_NAME *n = GENERAL_NAME_new();

	(void)state;
	odd_begin(&o);
	odd_cn(&o, V_ASN1_UTF8STRING, "Ann \xc3\x84", 6);
	odd_cn(&o, V_ASN1_PRINTABLESTRING, "second", 6);
	odd_name(&o, GEN_DNS, "a.example", 9);
	odd_name(&o, GEN_DNS, "b.example", 9);
	odd_name(&o, GEN_EMAIL, "ann@a.example", 13);
	odd_name(&o, GEN_URI, "urn:x:1", 7);
	odd_name(&o, GEN_IPADD, v4, sizeof(v4));
	odd_name(&o, GEN_IPADD, v6, sizeof(v6));
	odd_name(&o, GEN_IPADD, v6, 5); /* no address */
	GENERAL_NAME_set0_value(n, GEN_RID, OBJ_txt2obj("1.3.6.1.4.1.99999.7", 1));
	sk_GENERAL_NAME_push(o.names, n);
	n = GENERAL_NAME_new();
	GENERAL_NAME_set0_value(n, GEN_DIRNAME, X509_NAME_dup(o.subject));
	sk_GENERAL_NAME_push(o.names, n);
	EXPECT_OK(odd_read(&o, &c, &e), &e);
	assert_string_equal(all_of(&c, CERTIFICATE_CN), "Ann \xc3\x84|second|");
	assert_string_equal(all_of(&c, CERTIFICATE_DNS), "a.example|b.example|");
	assert_string_equal(all_of(&c, CERTIFICATE_RFC822), "ann@a.example|");
	assert_string_equal(all_of(&c, CERTIFICATE_URI), "urn:x:1|");
	assert_string_equal(all_of(&c, CERTIFICATE_IP), "192.0.2.1|2001:db8::1|");
	assert_string_equal(all_of(&c, CERTIFICATE_REGISTERED_ID), "1.3.6.1.4.1.99999.7|");
	assert_string_equal(all_of(&c, CERTIFICATE_DIRECTORY), "CN=second,CN=Ann \xc3\x84|");
	assert_string_equal(all_of(&c, CERTIFICATE_ISSUER), "CN=second,CN=Ann \xc3\x84|");
	assert_string_equal(all_of(&c, CERTIFICATE_SERIAL), "0A1B|");
	assert_int_equal(c.not_before_ms, INT64_C(1772439300000));
	assert_int_equal(c.not_after_ms, INT64_C(4102444799000));
	certificate_free(&c);
}

#define GONE "\xef\xbf\xbd"

/* No name reads as a shorter one, and all are UTF-8. */
static void test_hostile_text(void **state)
{
	struct certificate c;
	struct odd o;
	struct err e;

	(void)state;
	odd_begin(&o);
	odd_cn(&o, V_ASN1_UTF8STRING, "good.example\0.evil", 18);
	odd_cn(&o, V_ASN1_BMPSTRING, "\0A\0n\0n\x67\x71", 8);
	odd_cn(&o, V_ASN1_T61STRING, "caf\xe9", 4);
	odd_name(&o, GEN_DNS, "good.example\0.evil", 18);
	odd_name(&o, GEN_DNS, "a\xff\r\n", 4);
	odd_name(&o, GEN_EMAIL, "", 0);
	EXPECT_OK(odd_read(&o, &c, &e), &e);
	assert_string_equal(all_of(&c, CERTIFICATE_CN),
	                    "good.example" GONE ".evil|Ann\xe6\x9d\xb1|caf\xc3\xa9|");
	assert_string_equal(all_of(&c, CERTIFICATE_DNS),
	                    "good.example" GONE ".evil|a" GONE GONE GONE "|");
	assert_string_equal(all_of(&c, CERTIFICATE_RFC822), "|");
	certificate_free(&c);
}

/* A text that is none of its type. */
static void test_broken_text(void **state)
{
	static const char *const utf8[] = { "\xff\xc0\x80x", "\xed\xa0\x80x", "\xf4\x90\x80\x80",
		                            "abc\xe2" };
	struct certificate c;
	struct odd o;
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT(utf8); i++) {
		odd_begin(&o);
		odd_cn(&o, V_ASN1_UTF8STRING, "~~~~", 4);
		assert_int_equal(odd_read_as(&o, "~~~~", utf8[i], &c, &e), RC_INVALID);
		certificate_free(&c);
	}
	odd_begin(&o);
	odd_cn(&o, V_ASN1_BMPSTRING, "~~~~", 4);
	assert_int_equal(odd_read_as(&o, "~~~~", "\xd8\x00\0A", &c, &e), RC_INVALID);
	certificate_free(&c);
	odd_begin(&o); /* the control */
	odd_cn(&o, V_ASN1_UTF8STRING, "~~~~", 4);
	EXPECT_OK(odd_read_as(&o, "~~~~", "\xf0\x9f\x93\xac", &c, &e), &e);
	assert_string_equal(all_of(&c, CERTIFICATE_CN), "\xf0\x9f\x93\xac|");
	certificate_free(&c);
}

static enum rc with_names(size_t count, size_t len, struct err *e)
{
	static char text[20000];
	struct certificate c;
	struct odd o;
	enum rc rc;

	memset(text, 'x', sizeof(text));
	odd_begin(&o);
	odd_cn(&o, V_ASN1_UTF8STRING, "many", 4);
	for (size_t i = 0; i < count; i++)
		odd_name(&o, GEN_DNS, text, len);
	rc = odd_read(&o, &c, e);
	if (rc == RC_OK)
		assert_int_equal(c.count, count + 3);
	certificate_free(&c);
	return rc;
}

static void test_limits(void **state)
{
	struct err e;

	(void)state;
	EXPECT_OK(with_names(CERTIFICATE_NAMES_MOST - 3, 20, &e), &e);
	assert_int_equal(with_names(CERTIFICATE_NAMES_MOST - 2, 20, &e), RC_LIMIT);
	assert_int_equal(with_names(20000, 5, &e), RC_LIMIT);
	EXPECT_OK(with_names(1, CERTIFICATE_TEXT - 64, &e), &e);
	assert_int_equal(with_names(1, CERTIFICATE_TEXT, &e), RC_LIMIT);
}

static void test_no_certificate(void **state)
{
	static const char extension[] = "no names at all";
	struct certificate c;
	struct odd o;
	struct err e;
	ASN1_OCTET_STRING *bytes = ASN1_OCTET_STRING_new();
	X509_EXTENSION *x;

	(void)state;
	assert_int_equal(certificate_read(&c, slice_of(NULL, 0), &e), RC_INVALID);
	certificate_free(&c);
	assert_int_equal(certificate_read(&c, slice_str("0\x82\x01"), &e), RC_INVALID);
	certificate_free(&c);
	/* Alternative names that can't be read are not none. */
	odd_begin(&o);
	odd_cn(&o, V_ASN1_UTF8STRING, "x", 1);
	ASN1_OCTET_STRING_set(bytes, (const uint8_t *)extension, sizeof(extension));
	x = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, bytes);
	assert_true(x && X509_add_ext(o.x, x, -1));
	X509_EXTENSION_free(x);
	ASN1_OCTET_STRING_free(bytes);
	assert_int_equal(odd_read(&o, &c, &e), RC_INVALID);
	certificate_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),          cmocka_unit_test(test_hostile_text),
		cmocka_unit_test(test_broken_text),    cmocka_unit_test(test_limits),
		cmocka_unit_test(test_no_certificate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
