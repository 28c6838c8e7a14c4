#include "ingest/action/dkim_sign.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "ingest/verdict/dkim_key.h"
#include "ingest/verdict/sign.h"
#include "store/crypt.h"

#define FIELD_MOST 65536
#define RSA_BITS   2048
#define PEM_MOST   8192
#define NAME_MOST  253 /* of a name in DNS */

/* ---- signing ---- */

/* What readers are shown, once more than it is there: nothing can be put above it. Of fields that a
 * server may add where they lack (RFC 6409 section 8), and that lists add, as many as there are. */
static const struct sign_name signed_names[] = {
	{ "From", SIGN_OVER },
	{ "To", SIGN_OVER },
	{ "Cc", SIGN_OVER },
	{ "Reply-To", SIGN_OVER },
	{ "Subject", SIGN_OVER },
	{ "Date", SIGN_OVER_PRESENT },
	{ "Message-ID", SIGN_OVER_PRESENT },
	{ "MIME-Version", SIGN_OVER_PRESENT },
	{ "Content-Type", SIGN_OVER },
	{ "Content-Transfer-Encoding", SIGN_OVER },
	{ "In-Reply-To", SIGN_OVER_PRESENT },
	{ "References", SIGN_OVER_PRESENT },
	{ "Sender", SIGN_PRESENT },
	{ "Auto-Submitted", SIGN_PRESENT },
	{ "List-Id", SIGN_PRESENT },
	{ "List-Unsubscribe", SIGN_PRESENT },
	{ "List-Unsubscribe-Post", SIGN_PRESENT },
};

struct signer {
	struct sign_key key;
	char domain[256];
	char selector[256];
};

static enum rc signer_of(struct signer *by, const struct compose_key *k, struct err *e)
{
	by->key = (struct sign_key) { k->key, k->selector };
	if (!dkim_name(by->domain, slice_str(k->domain), 2) ||
	    !dkim_name(by->selector, slice_str(k->selector), 1))
		return err_set(e, RC_INVALID,
		               "d= and s= of a signature are names of DNS, not \"%.80s\" and "
		               "\"%.80s\"",
		               k->domain, k->selector);
	return sign_check_key(&by->key, e);
}

static enum rc write_field(const struct signer *by, const struct raw_message *m, int64_t now_s,
                           struct buf *field, struct err *e)
{
	struct fold f;
	enum rc rc;

	fold_begin(&f, field, "DKIM-Signature");
	sign_word(&f, "v=", "1", ";");
	sign_word(&f, "a=", sign_algorithm(&by->key), ";");
	sign_word(&f, "c=", "relaxed/relaxed", ";");
	sign_word(&f, "d=", by->domain, ";");
	sign_word(&f, "s=", by->selector, ";");
	sign_number(&f, "t=", now_s);
	sign_names(&f, m, signed_names, COUNT(signed_names));
	rc = sign_body(&f, m);
	if (rc != RC_OK || sign_begin(&f) != RC_OK)
		return err_set(e, RC_LIMIT, "a DKIM-Signature that is too long");
	return sign_message(&by->key, m, field, "DKIM-Signature", e);
}

enum rc dkim_sign(const struct compose_key *k, const struct raw_message *m, int64_t now_s,
                  struct buf *out, struct err *e)
{
	struct signer by;
	struct buf field;
	enum rc rc = signer_of(&by, k, e);

	buf_init(&field, FIELD_MOST);
	if (rc == RC_OK)
		rc = write_field(&by, m, now_s, &field, e);
	if (rc == RC_OK && buf_add(out, buf_slice(&field)) != RC_OK)
		rc = err_set(e, RC_LIMIT, "no room for a DKIM-Signature");
	buf_free(&field);
	return rc;
}

/* ---- the table ---- */

enum rc dkim_keys_prepare(struct db *control, struct err *e)
{
	static const char schema[] =
	        "CREATE TABLE IF NOT EXISTS dkim_key ("
	        " domain TEXT NOT NULL, selector TEXT NOT NULL, algorithm TEXT NOT NULL,"
	        " private TEXT NOT NULL, record TEXT NOT NULL, created_ms INTEGER NOT NULL,"
	        " used INTEGER NOT NULL, PRIMARY KEY (domain, selector)) STRICT;";

	return db_exec(control, schema, e);
}

/* Those that weren't put to use yet have 0: who came first is ahead of them. */
#define IN_USE_FIRST "used DESC, created_ms, rowid"

static enum rc name_of(char out[256], struct slice name, unsigned labels, const char *what,
                       struct err *e)
{
	if (dkim_name(out, name, labels))
		return RC_OK;
	return err_set(e, RC_INVALID, "\"%.*s\" is no %s", (int)MIN_OF(name.len, (size_t)80),
	               (const char *)name.at, what);
}

/* The row's name in canonical form. */
static enum rc names_of(char domain[256], char selector[256], struct slice d, struct slice s,
                        struct err *e)
{
	enum rc rc = name_of(domain, d, 2, "domain (of two labels at least)", e);

	return rc == RC_OK ? name_of(selector, s, 1, "selector", e) : rc;
}

/* ---- making ---- */

static EVP_PKEY *generate(bool rsa)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, rsa ? "RSA" : "ED25519", NULL);
	EVP_PKEY *key = NULL;

	if (ctx && EVP_PKEY_keygen_init(ctx) == 1 &&
	    (!rsa || EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, RSA_BITS) == 1))
		(void)EVP_PKEY_generate(ctx, &key);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

/* "v=DKIM1; k=rsa; p=..." */
static enum rc write_record(struct buf *out, EVP_PKEY *key, const char *algorithm)
{
	uint8_t raw[1024];
	uint8_t *end = raw;
	size_t len = 32;
	enum rc rc;

	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
		int n = i2d_PUBKEY(key, NULL);

		if (n <= 0 || (size_t)n > sizeof(raw) || i2d_PUBKEY(key, &end) != n)
			return RC_CRYPTO;
		len = (size_t)n;
	} else if (EVP_PKEY_get_raw_public_key(key, raw, &len) != 1) {
		return RC_CRYPTO;
	}
	rc = buf_addf(out, "v=DKIM1; k=%s; p=", algorithm);
	return rc == RC_OK ? base64_encode(out, slice_of(raw, len)) : rc;
}

static enum rc insert(struct db *control, const struct dkim_row *row, struct slice pem,
                      struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "INSERT INTO dkim_key VALUES (?1, ?2, ?3, ?4, ?5, ?6,"
	                        " NOT EXISTS (SELECT 1 FROM dkim_key WHERE domain = ?1))",
	                        e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(row->domain));
	stmt_bind_text(s, 2, slice_str(row->selector));
	stmt_bind_text(s, 3, slice_str(row->algorithm));
	stmt_bind_text(s, 4, pem);
	stmt_bind_text(s, 5, slice_str(row->record));
	stmt_bind_int(s, 6, row->created_ms);
	rc = stmt_run(s, e);
	stmt_free(&s);
	return rc;
}

/* The private key leaves OpenSSL for the row alone. */
static enum rc keep(struct db *control, const struct dkim_row *row, EVP_PKEY *key, struct err *e)
{
	BIO *b = BIO_new(BIO_s_secmem());
	char *at = NULL;
	long len = 0;
	enum rc rc = RC_CRYPTO;

	if (b && PEM_write_bio_PKCS8PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) == 1)
		len = BIO_get_mem_data(b, &at);
	if (len > 0 && len <= PEM_MOST)
		rc = insert(control, row, slice_of(at, (size_t)len), e);
	else
		rc = err_set(e, RC_CRYPTO, "OpenSSL can't write a key");
	if (at)
		crypt_wipe(at, (size_t)len);
	BIO_free(b);
	return rc;
}

static enum rc make(struct db *control, struct dkim_row *row, char **record, struct err *e)
{
	EVP_PKEY *key = generate(strcmp(row->algorithm, "rsa") == 0);
	struct buf text;
	enum rc rc = key ? RC_OK : RC_CRYPTO;

	buf_init(&text, 2048);
	if (rc == RC_OK)
		rc = write_record(&text, key, row->algorithm);
	row->record = buf_text(&text);
	if (rc != RC_OK)
		rc = err_set(e, RC_CRYPTO, "OpenSSL can't make a key");
	else
		rc = keep(control, row, key, e);
	if (rc == RC_OK)
		*record = mem_string(row->record);
	buf_free(&text);
	EVP_PKEY_free(key);
	return rc;
}

static enum rc is_absent(struct db *control, const struct dkim_row *row, struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "SELECT 1 FROM dkim_key WHERE domain = ?1 AND selector = ?2", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(row->domain));
	stmt_bind_text(s, 2, slice_str(row->selector));
	rc = stmt_step(s, e);
	stmt_free(&s);
	if (rc == RC_OK)
		return err_set(e, RC_EXISTS,
		               "%s has a key with the selector %s: name another (--selector)",
		               row->domain, row->selector);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static void selector_of_date(char out[256], int64_t ms)
{
	int64_t year;
	unsigned month, day;

	civil_from_days(day_of_ms(ms), &year, &month, &day);
	(void)snprintf(out, 256, "mm%04lld%02u%02u", (long long)year, month, day);
}

enum rc dkim_key_create(struct db *control, struct slice domain, const char *selector,
                        const char *algorithm, char **name, char **record, struct err *e)
{
	char d[256], s[256], given[256];
	struct dkim_row row = {
		.domain = d, .selector = s, .algorithm = algorithm, .created_ms = clock_now_ms()
	};
	enum rc rc;

	*name = *record = NULL;
	if (strcmp(algorithm, "rsa") != 0 && strcmp(algorithm, "ed25519") != 0)
		return err_set(e, RC_INVALID, "an algorithm is rsa or ed25519");
	if (!selector)
		selector_of_date(given, row.created_ms);
	rc = names_of(d, s, domain, slice_str(selector ? selector : given), e);
	if (rc == RC_OK && strlen(d) + strlen(s) + strlen("._domainkey.") > NAME_MOST)
		rc = err_set(e, RC_INVALID, "%s and %s are too long for a name in DNS", s, d);
	if (rc == RC_OK)
		rc = is_absent(control, &row, e);
	if (rc == RC_OK)
		rc = make(control, &row, record, e);
	if (rc == RC_OK) {
		*name = mem_new(512 + 16);
		(void)snprintf(*name, 512 + 16, "%s._domainkey.%s", s, d);
	}
	return rc;
}

/* ---- changing ---- */

static enum rc change(struct db *control, const char *sql, struct slice domain,
                      struct slice selector, struct err *e)
{
	char d[256], s[256];
	struct stmt *stmt;
	enum rc rc = names_of(d, s, domain, selector, e);

	if (rc == RC_OK)
		rc = db_prepare(control, &stmt, sql, e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_text(stmt, 1, slice_str(d));
	stmt_bind_text(stmt, 2, slice_str(s));
	rc = stmt_run(stmt, e);
	stmt_free(&stmt);
	if (rc == RC_OK && db_changes(control) == 0)
		rc = err_set(e, RC_NOTFOUND, "%s has no key with the selector %s", d, s);
	return rc;
}

enum rc dkim_key_use(struct db *control, struct slice domain, struct slice selector, struct err *e)
{
	return change(control,
	              "UPDATE dkim_key SET used = 1 + (SELECT max(used) FROM dkim_key"
	              " WHERE domain = ?1) WHERE domain = ?1 AND selector = ?2",
	              domain, selector, e);
}

enum rc dkim_key_delete(struct db *control, struct slice domain, struct slice selector,
                        struct err *e)
{
	return change(control, "DELETE FROM dkim_key WHERE domain = ?1 AND selector = ?2", domain,
	              selector, e);
}

/* ---- reading ---- */

static enum rc give(struct stmt *s, char *last,
                    enum rc (*each)(void *arg, const struct dkim_row *row, struct err *e),
                    void *arg, struct err *e)
{
	char *texts[4];
	struct dkim_row row;
	enum rc rc;

	for (int i = 0; i < 4; i++)
		texts[i] = slice_string(stmt_text(s, i));
	row = (struct dkim_row) { texts[0], texts[1],       texts[2],
		                  texts[3], stmt_int(s, 4), strcmp(last, texts[0]) != 0 };
	(void)snprintf(last, 256, "%s", row.domain);
	rc = each(arg, &row, e);
	for (int i = 0; i < 4; i++)
		free(texts[i]);
	return rc;
}

enum rc dkim_keys_each(struct db *control,
                       enum rc (*each)(void *arg, const struct dkim_row *row, struct err *e),
                       void *arg, struct err *e)
{
	char last[256] = "";
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "SELECT domain, selector, algorithm, record, created_ms"
	                        " FROM dkim_key ORDER BY domain, " IN_USE_FIRST,
	                        e);

	if (rc != RC_OK)
		return rc;
	while ((rc = stmt_step(s, e)) == RC_OK && (rc = give(s, last, each, arg, e)) == RC_OK)
		;
	stmt_free(&s);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static int no_passphrase(char *at, int room, int writing, void *arg)
{
	(void)at, (void)room, (void)writing, (void)arg;
	return -1;
}

static EVP_PKEY *read_pem(struct slice pem)
{
	BIO *b = BIO_new_mem_buf(pem.at, (int)pem.len);
	EVP_PKEY *key = b ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL) : NULL;

	BIO_free(b);
	return key;
}

/* The row that a statement finds: selector and private key. */
static enum rc read_key(struct stmt *s, const char *domain, char **selector, EVP_PKEY **key,
                        struct err *e)
{
	enum rc rc = stmt_step(s, e);

	if (rc != RC_OK)
		return rc;
	*key = read_pem(stmt_text(s, 1));
	*selector = slice_string(stmt_text(s, 0));
	if (!*key)
		rc = err_set(e, RC_CORRUPT, "the key %s of %s can't be read", *selector, domain);
	return rc;
}

/* RC_NOTFOUND: this very domain has none. */
static enum rc find_one(struct db *control, const char *domain, char **selector, EVP_PKEY **key,
                        struct err *e)
{
	struct stmt *s;
	enum rc rc = db_prepare(control, &s,
	                        "SELECT selector, private FROM dkim_key WHERE domain = ?1"
	                        " ORDER BY " IN_USE_FIRST " LIMIT 1",
	                        e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(s, 1, slice_str(domain));
	rc = read_key(s, domain, selector, key, e);
	stmt_free(&s);
	return rc;
}

enum rc dkim_key_named(struct db *control, struct slice domain, struct slice selector,
                       EVP_PKEY **key, struct err *e)
{
	char d[256], s[256];
	char *found = NULL;
	struct stmt *stmt;
	enum rc rc = names_of(d, s, domain, selector, e);

	*key = NULL;
	if (rc == RC_OK)
		rc = db_prepare(control, &stmt,
		                "SELECT selector, private FROM dkim_key"
		                " WHERE domain = ?1 AND selector = ?2",
		                e);
	if (rc != RC_OK)
		return rc;
	stmt_bind_text(stmt, 1, slice_str(d));
	stmt_bind_text(stmt, 2, slice_str(s));
	rc = read_key(stmt, d, &found, key, e);
	stmt_free(&stmt);
	free(found);
	if (rc == RC_NOTFOUND)
		rc = err_set(e, RC_NOTFOUND, "%s has no key with the selector %s", d, s);
	return rc;
}

void compose_key_free(struct compose_key *k)
{
	EVP_PKEY_free(k->key);
	k->key = NULL;
}

enum rc dkim_key_find(struct db *control, struct slice domain, char **found, char **selector,
                      EVP_PKEY **key, struct err *e)
{
	char name[256];
	const char *at = name;
	enum rc rc = RC_NOTFOUND;

	*found = *selector = NULL;
	*key = NULL;
	if (!dkim_name(name, domain, 2))
		return err_set(e, RC_NOTFOUND, "no domain, no key");
	for (; at; at = strchr(at, '.') ? strchr(at, '.') + 1 : NULL) {
		rc = find_one(control, at, selector, key, e);
		if (rc != RC_NOTFOUND)
			break;
	}
	if (rc == RC_OK)
		*found = mem_string(at);
	else if (rc == RC_NOTFOUND)
		rc = err_set(e, RC_NOTFOUND, "there is no DKIM key for %s", name);
	if (rc != RC_OK) {
		free(*selector);
		*selector = NULL;
	}
	return rc;
}
