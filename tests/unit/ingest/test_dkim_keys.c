/* tests/unit/ingest/test_dkim_keys.c - keys that sign, and secrets of relays: rows of control.db */
#include "ingest/action/dkim_sign.h"
#include "ingest/action/secret.h"

#include <openssl/evp.h>

#include "ingest/verdict/dkim_key.h"
#include "store/crypt.h"
#include "tests/unit/store/scratch.h"

static const uint8_t key[KEY_BYTES] = { 7 };

struct fixture {
	struct scratch s;
	struct db *db;
	struct err e;
};

static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));
	char *path;

	crypt_init();
	scratch_make(&f->s);
	path = scratch_path(&f->s, "control.db");
	EXPECT_OK(db_open(&f->db, path, key, DB_CREATE, &f->e), &f->e);
	for (unsigned twice = 0; twice < 2; twice++) {
		EXPECT_OK(dkim_keys_prepare(f->db, &f->e), &f->e);
		EXPECT_OK(secrets_prepare(f->db, &f->e), &f->e);
	}
	free(path);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	db_close(&f->db);
	scratch_remove(&f->s);
	free(f);
	return 0;
}

/* ---- keys ---- */

static void create(struct fixture *f, const char *domain, const char *selector,
                   const char *algorithm, const char *want_name)
{
	char *name, *record;

	EXPECT_OK(dkim_key_create(f->db, slice_str(domain), selector, algorithm, &name, &record,
	                          &f->e),
	          &f->e);
	if (want_name)
		assert_string_equal(name, want_name);
	free(name);
	free(record);
}

/* "SELECTOR of DOMAIN" that would sign for this domain, or "" */
static void expect_signer(struct fixture *f, const char *domain, const char *want)
{
	char *found, *selector, got[600] = "";
	EVP_PKEY *pkey;
	enum rc rc = dkim_key_find(f->db, slice_str(domain), &found, &selector, &pkey, &f->e);

	assert_int_equal(rc, want[0] ? RC_OK : RC_NOTFOUND);
	if (rc == RC_OK)
		(void)snprintf(got, sizeof(got), "%s of %s", selector, found);
	assert_string_equal(got, want);
	EVP_PKEY_free(pkey);
	free(found);
	free(selector);
}

/* The record is the key's: a verifier takes it, and finds the signature good. */
static void a_record_fits_its_key(void **state)
{
	static const char *const algorithms[] = { "rsa", "ed25519" };
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(algorithms); i++) {
		enum dkim_algorithm use = i ? DKIM_ED25519_SHA256 : DKIM_RSA_SHA256;
		char *name, *record, *found, *selector;
		struct dkim_key public;
		EVP_PKEY *private;

		EXPECT_OK(dkim_key_create(f->db, slice_str("Shop.Example"), algorithms[i],
		                          algorithms[i], &name, &record, &f->e),
		          &f->e);
		assert_int_equal(strncmp(record, "v=DKIM1; k=", 11), 0);
		EXPECT_OK(dkim_key_read(&public, slice_str(record), use, &f->e), &f->e);
		assert_int_equal(public.bits, i ? 256 : 2048);
		EXPECT_OK(dkim_key_use(f->db, slice_str("shop.example"), slice_str(algorithms[i]),
		                       &f->e),
		          &f->e);
		EXPECT_OK(dkim_key_find(f->db, slice_str("shop.example"), &found, &selector,
		                        &private, &f->e),
		          &f->e);
		assert_int_equal(EVP_PKEY_eq(public.pkey, private), 1);
		dkim_key_free(&public);
		EVP_PKEY_free(private);
		free(name);
		free(record);
		free(found);
		free(selector);
	}
}

static void which_key_signs(void **state)
{
	struct fixture *f = *state;
	struct slice domain = slice_str("shop.example");
	struct compose_key named = { .key = NULL };

	expect_signer(f, "shop.example", "");
	create(f, "shop.example", "s1", "ed25519", "s1._domainkey.shop.example");
	expect_signer(f, "shop.example", "s1 of shop.example");
	expect_signer(f, "NEWS.Shop.example", "s1 of shop.example");
	expect_signer(f, "a.b.c.shop.example", "s1 of shop.example");
	expect_signer(f, "notshop.example", "");
	expect_signer(f, "example", "");
	expect_signer(f, "", "");
	create(f, "shop.example", "s2", "ed25519", NULL);
	create(f, "shop.example", "s3", "ed25519", NULL);
	create(f, "news.shop.example", "n", "ed25519", NULL);
	expect_signer(f, "shop.example", "s1 of shop.example"); /* not before it is put to use */
	EXPECT_OK(dkim_key_named(f->db, domain, slice_str("S2"), &named.key, &f->e), &f->e);
	assert_non_null(named.key);
	compose_key_free(&named);
	assert_int_equal(dkim_key_named(f->db, domain, slice_str("n"), &named.key, &f->e),
	                 RC_NOTFOUND);
	assert_null(named.key);
	expect_signer(f, "news.shop.example", "n of news.shop.example");
	EXPECT_OK(dkim_key_use(f->db, domain, slice_str("s3"), &f->e), &f->e);
	expect_signer(f, "shop.example", "s3 of shop.example");
	EXPECT_OK(dkim_key_use(f->db, domain, slice_str("S2"), &f->e), &f->e);
	expect_signer(f, "shop.example", "s2 of shop.example");
	EXPECT_OK(dkim_key_delete(f->db, domain, slice_str("s2"), &f->e), &f->e);
	expect_signer(f, "shop.example", "s3 of shop.example");
	EXPECT_OK(dkim_key_delete(f->db, domain, slice_str("s3"), &f->e), &f->e);
	EXPECT_OK(dkim_key_delete(f->db, domain, slice_str("s1"), &f->e), &f->e);
	expect_signer(f, "shop.example", "");
	assert_int_equal(dkim_key_use(f->db, domain, slice_str("s1"), &f->e), RC_NOTFOUND);
	assert_int_equal(dkim_key_delete(f->db, domain, slice_str("s1"), &f->e), RC_NOTFOUND);
}

static void keys_that_are_refused(void **state)
{
	static const struct {
		const char *domain, *selector, *algorithm;
		enum rc want;
	} cases[] = {
		{ "shop.example", "s1", "ed25519", RC_OK },
		{ "SHOP.example", "S1", "ed25519", RC_EXISTS },
		{ "shop.example", "s1", "rsa", RC_EXISTS },
		{ "shop.example", "s2", "dsa", RC_INVALID },
		{ "shop.example", "", "rsa", RC_INVALID },
		{ "shop.example", "a b", "rsa", RC_INVALID },
		{ "shop.example", "a;b", "rsa", RC_INVALID },
		{ "example", "s1", "rsa", RC_INVALID },
		{ "", "s1", "rsa", RC_INVALID },
		{ "shop.example.", "s1", "rsa", RC_INVALID },
		{ "shop..example", "s1", "rsa", RC_INVALID },
		{ "shop.example\r\nX", "s1", "rsa", RC_INVALID },
		{ "m\xc3\xbcnchen.example", "s1", "ed25519", RC_OK },
		{ "xn--mnchen-3ya.example", "s1", "ed25519", RC_EXISTS },
	};
	struct fixture *f = *state;
	char long_name[201], *name, *record;

	for (size_t i = 0; i < COUNT(cases); i++) {
		if (dkim_key_create(f->db, slice_str(cases[i].domain), cases[i].selector,
		                    cases[i].algorithm, &name, &record, &f->e) != cases[i].want)
			fail_msg("%s %s: %s", cases[i].domain, cases[i].selector, f->e.text);
		EXPECT(cases[i].domain, !name == (cases[i].want != RC_OK) && !name == !record);
		free(name);
		free(record);
	}
	for (size_t i = 0; i < sizeof(long_name); i++)
		long_name[i] = i % 50 == 49 ? '.' : 'a';
	long_name[200] = 0;
	long_name[199] = 'a';
	assert_int_equal(dkim_key_create(f->db, slice_str(long_name),
	                                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	                                 "ed25519", &name, &record, &f->e),
	                 RC_INVALID);
}

static enum rc collect(void *arg, const struct dkim_row *row, struct err *e)
{
	(void)e;
	assert_int_equal(strncmp(row->record, "v=DKIM1; k=ed25519; p=", 22), 0);
	return buf_addf(arg, "%s %s %s%s,", row->domain, row->selector, row->algorithm,
	                row->in_use ? " in use" : "");
}

static enum rc refuse(void *arg, const struct dkim_row *row, struct err *e)
{
	(void)arg;
	return err_set(e, RC_LIMIT, "%s", row->domain);
}

static void a_list(void **state)
{
	struct fixture *f = *state;
	struct buf got;

	buf_init(&got, 4096);
	EXPECT_OK(dkim_keys_each(f->db, collect, &got, &f->e), &f->e);
	assert_int_equal(got.len, 0);
	create(f, "shop.example", "a", "ed25519", NULL);
	create(f, "shop.example", "b", "ed25519", NULL);
	create(f, "corp.example", "c", "ed25519", NULL);
	EXPECT_OK(dkim_key_use(f->db, slice_str("shop.example"), slice_str("b"), &f->e), &f->e);
	EXPECT_OK(dkim_keys_each(f->db, collect, &got, &f->e), &f->e);
	assert_string_equal(buf_text(&got),
	                    "corp.example c ed25519 in use,"
	                    "shop.example b ed25519 in use,shop.example a ed25519,");
	assert_int_equal(dkim_keys_each(f->db, refuse, NULL, &f->e), RC_LIMIT);
	buf_free(&got);
}

static void a_selector_of_the_date(void **state)
{
	struct fixture *f = *state;
	char *name, *record;

	EXPECT_OK(dkim_key_create(f->db, slice_str("shop.example"), NULL, "ed25519", &name, &record,
	                          &f->e),
	          &f->e);
	assert_int_equal(strlen(name), strlen("mm20261129._domainkey.shop.example"));
	assert_int_equal(strncmp(name, "mm20", 4), 0);
	free(name);
	free(record);
}

static void a_key_that_rotted(void **state)
{
	struct fixture *f = *state;
	char *found, *selector;
	EVP_PKEY *pkey;

	create(f, "shop.example", "a", "ed25519", NULL);
	EXPECT_OK(db_exec(f->db, "UPDATE dkim_key SET private = 'x'", &f->e), &f->e);
	assert_int_equal(
	        dkim_key_find(f->db, slice_str("shop.example"), &found, &selector, &pkey, &f->e),
	        RC_CORRUPT);
	assert_true(!found && !selector && !pkey);
}

/* ---- secrets ---- */

#define ARN "arn:aws:secretsmanager:us-east-1:123456789012:secret:"

static void expect_secret(struct fixture *f, const char *arn, const char *want)
{
	char *user, *password;
	enum rc rc = secret_find(f->db, slice_str(arn), &user, &password, &f->e);

	assert_int_equal(rc, want ? RC_OK : RC_NOTFOUND);
	if (want)
		assert_string_equal(user, want);
	if (want)
		assert_string_equal(password, "pass word");
	secret_free(&user);
	secret_free(&password);
	assert_true(!user && !password);
}

static void set(struct fixture *f, const char *name, const char *user)
{
	EXPECT_OK(
	        secret_set(f->db, slice_str(name), slice_str(user), slice_str("pass word"), &f->e),
	        &f->e);
}

static void secrets_by_their_arn(void **state)
{
	struct fixture *f = *state;

	expect_secret(f, ARN "relay-AbCdEf", NULL);
	set(f, "relay", "a");
	expect_secret(f, ARN "relay-AbCdEf", "a");
	expect_secret(f, ARN "relay", "a");
	expect_secret(f, "relay", "a");
	expect_secret(f, ARN "relay-AbCdE", NULL);
	expect_secret(f, ARN "relayXAbCdEf", NULL);
	expect_secret(f, ARN "other", NULL);
	expect_secret(f, ARN, NULL);
	expect_secret(f, "", NULL);
	set(f, "relay-AbCdEf", "b");
	expect_secret(f, ARN "relay-AbCdEf", "b");
	set(f, ARN "relay-AbCdEf", "c");
	expect_secret(f, ARN "relay-AbCdEf", "c");
	set(f, ARN "relay-AbCdEf", "d");
	expect_secret(f, ARN "relay-AbCdEf", "d");
	EXPECT_OK(secret_delete(f->db, slice_str(ARN "relay-AbCdEf"), &f->e), &f->e);
	expect_secret(f, ARN "relay-AbCdEf", "b");
	assert_int_equal(secret_delete(f->db, slice_str(ARN "relay-AbCdEf"), &f->e), RC_NOTFOUND);
}

static void secrets_that_are_refused(void **state)
{
	static const struct {
		const char *name, *user, *password;
	} cases[] = {
		{ "", "u", "p" },      { "a b", "u", "p" },   { "a\r\nb", "u", "p" },
		{ "a", "", "p" },      { "a", "u", "" },      { "a", "u\r\nX", "p" },
		{ "a", "u", "p\x7f" }, { "a", "u\xff", "p" }, { "a'b", "u", "p" },
	};
	struct fixture *f = *state;
	char large[SECRET_TEXT + 2];

	for (size_t i = 0; i < COUNT(cases); i++)
		EXPECT(cases[i].name,
		       secret_set(f->db, slice_str(cases[i].name), slice_str(cases[i].user),
		                  slice_str(cases[i].password), &f->e) == RC_INVALID);
	memset(large, 'a', sizeof(large));
	large[SECRET_TEXT + 1] = 0;
	assert_int_equal(secret_set(f->db, slice_str("a"), slice_str(large), slice_str("p"), &f->e),
	                 RC_INVALID);
	large[SECRET_TEXT] = 0;
	EXPECT_OK(secret_set(f->db, slice_str("a"), slice_str(large), slice_str(large), &f->e),
	          &f->e);
}

static enum rc collect_name(void *arg, struct slice name, int64_t changed_ms, struct err *e)
{
	(void)e;
	assert_true(changed_ms > 0);
	return buf_addf(arg, "%.*s,", (int)name.len, (const char *)name.at);
}

static void names_of_secrets(void **state)
{
	struct fixture *f = *state;
	struct buf got;

	set(f, "b", "u");
	set(f, "a", "u");
	buf_init(&got, 4096);
	EXPECT_OK(secrets_each(f->db, collect_name, &got, &f->e), &f->e);
	assert_string_equal(buf_text(&got), "a,b,");
	buf_free(&got);
}

/* Neither is in the file in the clear. */
static void nothing_lies_open(void **state)
{
	static const char *const needles[] = { "PRIVATE KEY", "pass word", "PRIMARY KEY" };
	struct fixture *f = *state;
	char *path = scratch_path(&f->s, "control.db-wal");
	struct buf file;

	create(f, "shop.example", "a", "ed25519", NULL);
	set(f, "relay", "u");
	buf_init(&file, 64 << 20);
	EXPECT_OK(file_read_all(path, &file, &f->e), &f->e);
	assert_true(file.len > 8192);
	for (size_t i = 0; i < COUNT(needles); i++)
		assert_int_equal(slice_find(buf_slice(&file), slice_str(needles[i])), SIZE_MAX);
	buf_free(&file);
	free(path);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_record_fits_its_key),  T(which_key_signs),
		T(keys_that_are_refused),  T(a_list),
		T(a_selector_of_the_date), T(a_key_that_rotted),
		T(secrets_by_their_arn),   T(secrets_that_are_refused),
		T(names_of_secrets),       T(nothing_lies_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
