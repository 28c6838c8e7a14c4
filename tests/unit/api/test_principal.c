/* tests/unit/api/test_principal.c - principals and their keys, as rows and as the list that is
 * asked */
#include "api/principal.h"

#include "tests/unit/store/scratch.h"

static const uint8_t key[KEY_BYTES] = { 7 };

struct fixture {
	struct scratch s;
	struct db *db;
	struct principals *ps;
	struct err e;
};

static void reload(struct fixture *f)
{
	principals_unref(&f->ps);
	EXPECT_OK(principals_load(f->db, &f->ps, &f->e), &f->e);
}

static int setup(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));
	char *path;

	scratch_make(&f->s);
	path = scratch_path(&f->s, "control.db");
	EXPECT_OK(db_open(&f->db, path, key, DB_CREATE, &f->e), &f->e);
	EXPECT_OK(principals_prepare(f->db, &f->e), &f->e);
	EXPECT_OK(principals_prepare(f->db, &f->e), &f->e);
	reload(f);
	free(path);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	principals_unref(&f->ps);
	db_close(&f->db);
	scratch_remove(&f->s);
	free(f);
	return 0;
}

static enum rc create(struct fixture *f, const char *name, const struct access *a, int64_t uid,
                      struct access_key *k)
{
	const struct principal_new n = { slice_str(name), *a, uid };

	return principal_create(f->db, &n, k, &f->e);
}

static const char *const two[] = { "a-one", "a-two" };
static const struct access admin = { .role = ROLE_ADMIN };
static const struct access auditor = { ROLE_AUDITOR, false, two, COUNT(two) };

static const struct principal *find(struct fixture *f, const char *name)
{
	reload(f);
	return principal_by_name(f->ps, slice_str(name));
}

static void test_create(void **state)
{
	struct fixture *f = *state;
	struct access_key k;
	const struct principal *p;

	EXPECT_OK(create(f, "ann", &auditor, NO_UID, &k), &f->e);
	p = find(f, "ann");
	assert_non_null(p);
	assert_int_equal(p->access.role, ROLE_AUDITOR);
	assert_int_equal(p->access.archive_count, 2);
	assert_true(access_may(&p->access, ACCESS_SEARCH, "a-two"));
	assert_false(access_may(&p->access, ACCESS_SEARCH, "a-three"));
	assert_int_equal(p->key_count, 1);
	assert_string_equal(p->keys[0].id, k.id);
	assert_ptr_equal(principal_by_key(f->ps, slice_str(k.id)), p);
	assert_int_equal(strlen(k.id), 20);
	assert_int_equal(strspn(k.id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"), 20);
	assert_memory_equal(k.id, "MM", 2);
	assert_int_equal(strlen(k.secret), 40);
	assert_int_equal(principals_generation(f->ps), 1);
	EXPECT_OK(create(f, "bob", &admin, 1000, NULL), &f->e);
	p = find(f, "bob");
	assert_ptr_equal(principal_by_uid(f->ps, 1000), p);
	assert_null(principal_by_uid(f->ps, 1001));
	assert_null(principal_by_uid(f->ps, UINT32_MAX)); /* who has no uid isn't that one */
	assert_int_equal(p->key_count, 0);
}

static void test_refused(void **state)
{
	static const char *const names[] = { "",         "a b", "a/b",  "\xc3\xa4", "a\nb",
		                             "a(uid 0)", "a\"", "a\\b", "a:b" };
	struct access given = admin;
	struct fixture *f = *state;
	char longest[PRINCIPAL_NAME + 2];

	for (size_t i = 0; i < COUNT(names); i++)
		EXPECT(names[i], create(f, names[i], &admin, NO_UID, NULL) == RC_INVALID);
	memset(longest, 'x', sizeof(longest));
	longest[PRINCIPAL_NAME + 1] = '\0';
	assert_int_equal(create(f, longest, &admin, NO_UID, NULL), RC_INVALID);
	longest[PRINCIPAL_NAME] = '\0';
	EXPECT_OK(create(f, longest, &admin, 7, NULL), &f->e);
	assert_int_equal(create(f, longest, &admin, NO_UID, NULL), RC_EXISTS);
	assert_int_equal(create(f, "other", &admin, 7, NULL), RC_EXISTS);
	assert_int_equal(create(f, "other", &admin, UINT32_MAX, NULL), RC_INVALID);
	assert_int_equal(create(f, "other", &admin, -2, NULL), RC_INVALID);
	given.all_archives = true;
	assert_int_equal(create(f, "other", &given, NO_UID, NULL), RC_INVALID);
	given = auditor;
	given.role = ROLE_OPERATOR;
	assert_int_equal(create(f, "other", &given, NO_UID, NULL), RC_INVALID);
	given = auditor;
	given.all_archives = true;
	assert_int_equal(create(f, "other", &given, NO_UID, NULL), RC_INVALID);
	assert_null(find(f, "other"));
	assert_int_equal(principals_count(f->ps), 1);
}

/* At most two keys; the first goes without a gap. */
static void test_rotation(void **state)
{
	struct fixture *f = *state;
	struct access_key first;
	struct access_key second;
	struct access_key third;
	const struct slice ann = slice_str("ann");

	EXPECT_OK(create(f, "ann", &admin, NO_UID, &first), &f->e);
	EXPECT_OK(principal_add_key(f->db, ann, &second, &f->e), &f->e);
	assert_string_not_equal(first.id, second.id);
	assert_string_not_equal(first.secret, second.secret);
	assert_int_equal(principal_add_key(f->db, ann, &third, &f->e), RC_LIMIT);
	assert_int_equal(find(f, "ann")->key_count, 2);
	assert_string_equal(find(f, "ann")->keys[0].id, first.id);
	EXPECT_OK(principal_remove_key(f->db, ann, slice_str(first.id), &f->e), &f->e);
	reload(f);
	assert_null(principal_by_key(f->ps, slice_str(first.id)));
	assert_non_null(principal_by_key(f->ps, slice_str(second.id)));
	assert_int_equal(principal_remove_key(f->db, ann, slice_str(first.id), &f->e), RC_NOTFOUND);
	EXPECT_OK(principal_add_key(f->db, ann, &third, &f->e), &f->e);
	EXPECT_OK(create(f, "bob", &admin, NO_UID, &first), &f->e);
	assert_int_equal(principal_remove_key(f->db, ann, slice_str(first.id), &f->e), RC_NOTFOUND);
}

static void test_changes(void **state)
{
	static const char *const one[] = { "a-three" };
	const struct access other = { ROLE_AUDITOR, false, one, 1 };
	const struct access all = { .role = ROLE_AUDITOR, .all_archives = true };
	struct fixture *f = *state;
	const struct slice ann = slice_str("ann");
	struct access_key k;
	int64_t before;

	EXPECT_OK(create(f, "ann", &auditor, 1000, &k), &f->e);
	EXPECT_OK(principal_set_disabled(f->db, ann, true, &f->e), &f->e);
	assert_true(find(f, "ann")->disabled);
	EXPECT_OK(principal_set_disabled(f->db, ann, false, &f->e), &f->e);
	assert_false(find(f, "ann")->disabled);
	before = principals_generation(f->ps);
	EXPECT_OK(principal_set_archives(f->db, ann, &other, &f->e), &f->e);
	assert_true(access_may(&find(f, "ann")->access, ACCESS_SEARCH, "a-three"));
	assert_int_equal(f->ps ? principals_generation(f->ps) : 0, before + 1);
	assert_false(access_may(&find(f, "ann")->access, ACCESS_SEARCH, "a-one"));
	EXPECT_OK(principal_set_archives(f->db, ann, &all, &f->e), &f->e);
	assert_true(access_may(&find(f, "ann")->access, ACCESS_SEARCH, "a-one"));
	EXPECT_OK(principal_delete(f->db, ann, &f->e), &f->e);
	assert_null(find(f, "ann"));
	assert_null(principal_by_uid(f->ps, 1000));
	assert_null(principal_by_key(f->ps, slice_str(k.id)));
	assert_int_equal(create(f, "ann", &auditor, NO_UID, NULL), RC_EXISTS); /* for ever */
	EXPECT_OK(create(f, "ann2", &auditor, 1000, NULL), &f->e);             /* its uid is free */
	assert_int_equal(principal_set_disabled(f->db, ann, false, &f->e), RC_NOTFOUND);
	assert_int_equal(principal_delete(f->db, ann, &f->e), RC_NOTFOUND);
	assert_int_equal(principal_add_key(f->db, ann, &k, &f->e), RC_NOTFOUND);
	assert_int_equal(principal_set_archives(f->db, ann, &all, &f->e), RC_NOTFOUND);
	EXPECT_OK(create(f, "boss", &admin, NO_UID, NULL), &f->e);
	assert_int_equal(principal_set_archives(f->db, slice_str("boss"), &other, &f->e),
	                 RC_INVALID);
}

static size_t snapshot(struct fixture *f, const struct access_key *k, int64_t *generation)
{
	json_t *out;
	json_t *keys;
	size_t n = 0;

	EXPECT_OK(principals_snapshot(f->db, &out, &f->e), &f->e);
	*generation = json_member_int(out, "Generation", -1);
	keys = json_member_array(out, "Keys");
	for (size_t i = 0; i < json_array_size(keys); i++) {
		const json_t *one = json_array_get(keys, i);

		if (!slice_equal(json_member_text(one, "AccessKeyId"), slice_str(k->id)))
			continue;
		EXPECT_SLICE("secret", json_member_text(one, "SecretAccessKey"), k->secret);
		EXPECT_SLICE("principal", json_member_text(one, "Principal"), "ann");
		n++;
	}
	json_decref(out);
	return n;
}

static void test_snapshot(void **state)
{
	struct fixture *f = *state;
	struct access_key k;
	struct access_key other;
	int64_t g[5];

	EXPECT_OK(create(f, "ann", &auditor, NO_UID, &k), &f->e);
	EXPECT_OK(create(f, "bob", &auditor, NO_UID, &other), &f->e);
	assert_int_equal(snapshot(f, &k, &g[0]), 1);
	EXPECT_OK(principal_set_disabled(f->db, slice_str("ann"), true, &f->e), &f->e);
	assert_int_equal(snapshot(f, &k, &g[1]), 0);
	EXPECT_OK(principal_set_disabled(f->db, slice_str("ann"), false, &f->e), &f->e);
	assert_int_equal(snapshot(f, &k, &g[2]), 1);
	EXPECT_OK(principal_remove_key(f->db, slice_str("ann"), slice_str(k.id), &f->e), &f->e);
	assert_int_equal(snapshot(f, &k, &g[3]), 0);
	EXPECT_OK(principal_delete(f->db, slice_str("bob"), &f->e), &f->e);
	assert_int_equal(snapshot(f, &other, &g[4]), 0);
	for (size_t i = 1; i < COUNT(g); i++)
		assert_int_equal(g[i], g[i - 1] + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_create, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_snapshot, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
