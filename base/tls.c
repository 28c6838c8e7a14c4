#include "base/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* RFC 9325 section 4.2: forward secrecy and AEAD. TLS 1.3's own suites are all of that kind. */
#define SUITES_1_2   "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
#define SUITES_1_3   "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
#define GROUPS       "X25519:P-256:P-384:P-521"
#define CLIENT_CHAIN 32768 /* bytes of certificates that a client may send */

struct tls_context {
	atomic_uint refs;
	SSL_CTX **ctx; /* one a certificate */
	size_t count;
	struct tls_trust *trust; /* NULL: clients need no certificate */
};

struct tls {
	struct tls_context *context;
	SSL *ssl;
	char reason[200];
};

void tls_init(void)
{
	uint8_t seed[32];

	/* Without the system's openssl.cnf: what is allowed is said here, and nowhere else. */
	MUST(OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS |
	                              OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
	                      NULL) == 1);
	MUST(RAND_bytes(seed, sizeof(seed)) == 1 && RAND_priv_bytes(seed, sizeof(seed)) == 1);
	OPENSSL_cleanse(seed, sizeof(seed));
}

static enum rc ssl_err(struct err *e, enum rc code, const char *what)
{
	unsigned long n = ERR_peek_last_error();
	const char *reason = n ? ERR_reason_error_string(n) : NULL;

	ERR_clear_error();
	return err_set(e, code, "%s: %s", what, reason ? reason : "OpenSSL gives no reason");
}

static SSL_CTX *ctx_new(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);
	char groups[] = GROUPS;

	MUST(ctx);
	MUST(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
	MUST(SSL_CTX_set_cipher_list(ctx, SUITES_1_2) == 1);
	MUST(SSL_CTX_set_ciphersuites(ctx, SUITES_1_3) == 1);
	MUST(SSL_CTX_ctrl(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, groups) == 1);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
	                                       SSL_OP_CIPHER_SERVER_PREFERENCE |
	                                       SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
	                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	                                    SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	/* Tickets only: no session of a peer is kept in our memory. */
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(ctx, 1);
	return ctx;
}

static BIO *bio_over(struct slice pem)
{
	BIO *b = BIO_new_mem_buf(pem.at ? (const void *)pem.at : "",
	                         (int)MIN_OF(pem.len, INT32_MAX));

	MUST(b);
	return b;
}

/* The default would ask at the terminal. */
static int no_password(char *to, int room, int writing, void *arg)
{
	(void)to;
	(void)room;
	(void)writing;
	(void)arg;
	return -1;
}

static enum rc add_chain(SSL_CTX *ctx, BIO *b, struct err *e)
{
	X509 *x = PEM_read_bio_X509(b, NULL, no_password, NULL);
	int good;

	if (!x)
		return ssl_err(e, RC_INVALID, "TLS certificate");
	good = SSL_CTX_use_certificate(ctx, x);
	X509_free(x);
	if (good != 1)
		return ssl_err(e, RC_INVALID, "TLS certificate");
	while ((x = PEM_read_bio_X509(b, NULL, no_password, NULL)))
		if (SSL_CTX_add0_chain_cert(ctx, x) != 1) {
			X509_free(x);
			return ssl_err(e, RC_INVALID, "TLS certificate chain");
		}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return ssl_err(e, RC_INVALID, "TLS certificate chain");
	ERR_clear_error();
	return RC_OK;
}

static enum rc add_key(SSL_CTX *ctx, struct slice pem, struct err *e)
{
	BIO *b = bio_over(pem);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(b, NULL, no_password, NULL);
	int good;

	BIO_free(b);
	if (!key)
		return ssl_err(e, RC_INVALID, "TLS key");
	good = SSL_CTX_use_PrivateKey(ctx, key);
	EVP_PKEY_free(key);
	if (good != 1 || SSL_CTX_check_private_key(ctx) != 1)
		return ssl_err(e, RC_INVALID, "TLS key");
	return RC_OK;
}

static enum rc server_ctx(SSL_CTX *ctx, const struct tls_cert *cert, struct err *e)
{
	BIO *b = bio_over(cert->chain);
	enum rc rc = add_chain(ctx, b, e);

	BIO_free(b);
	return rc == RC_OK ? add_key(ctx, cert->key, e) : rc;
}

/* RFC 6066 section 3: the certificate whose names cover what the client asked for. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
	struct tls_context *t = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	if (!name)
		return SSL_TLSEXT_ERR_NOACK;
	for (size_t i = 0; i < t->count; i++) {
		X509 *leaf = SSL_CTX_get0_certificate(t->ctx[i]);

		if (X509_check_host(leaf, name, 0, 0, NULL) != 1)
			continue;
		if (i > 0)
			MUST(SSL_set_SSL_CTX(ssl, t->ctx[i]));
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_NOACK;
}

static void bind_sessions(SSL_CTX *ctx, struct slice bound_to)
{
	uint8_t id[SSL_MAX_SID_CTX_LENGTH];

	MUST(EVP_Digest(bound_to.at ? (const void *)bound_to.at : "", bound_to.len, id, NULL,
	                EVP_sha256(), NULL) == 1);
	MUST(SSL_CTX_set_session_id_context(ctx, id, sizeof(id)) == 1);
}

static struct tls_context *context_new(size_t count)
{
	struct tls_context *t = mem_new(sizeof(*t));

	atomic_init(&t->refs, 1);
	t->ctx = mem_array(count, sizeof(SSL_CTX *));
	return t;
}

enum rc tls_server_new(struct tls_context **out, const struct tls_cert *certs, size_t count,
                       struct slice bound_to, struct err *e)
{
	struct tls_context *t = context_new(count);

	MUST(count >= 1);
	for (; t->count < count; t->count++) {
		SSL_CTX *ctx = ctx_new(TLS_server_method());

		t->ctx[t->count] = ctx;
		bind_sessions(ctx, bound_to);
		if (server_ctx(ctx, &certs[t->count], e) == RC_OK)
			continue;
		t->count++;
		tls_context_free(&t);
		return RC_INVALID;
	}
	(void)SSL_CTX_set_tlsext_servername_callback(t->ctx[0], on_server_name);
	(void)SSL_CTX_set_tlsext_servername_arg(t->ctx[0], t);
	*out = t;
	return RC_OK;
}

void tls_server_require(struct tls_context *t, struct tls_trust *trust)
{
	t->trust = tls_trust_ref(trust);
	for (size_t i = 0; i < t->count; i++) {
		SSL_CTX *ctx = t->ctx[i];

		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		SSL_CTX_set_cert_verify_callback(ctx, tls_trust_verify, trust);
		(void)SSL_CTX_set_max_cert_list(ctx, CLIENT_CHAIN);
		(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		(void)SSL_CTX_set_num_tickets(ctx, 0);
	}
}

static enum rc add_trust(SSL_CTX *ctx, struct slice trust, struct err *e)
{
	BIO *b = bio_over(trust);
	X509 *x;
	size_t n = 0;

	while ((x = PEM_read_bio_X509(b, NULL, no_password, NULL))) {
		MUST(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x) == 1);
		X509_free(x);
		n++;
	}
	BIO_free(b);
	if (!n)
		return ssl_err(e, RC_INVALID, "trusted TLS certificates");
	ERR_clear_error();
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	return RC_OK;
}

enum rc tls_client_new(struct tls_context **out, struct slice trust, struct err *e)
{
	struct tls_context *t = context_new(1);

	t->ctx[t->count++] = ctx_new(TLS_client_method());
	MUST(SSL_CTX_dane_enable(t->ctx[0]) == 1);
	if (trust.len && add_trust(t->ctx[0], trust, e) != RC_OK) {
		tls_context_free(&t);
		return RC_INVALID;
	}
	*out = t;
	return RC_OK;
}

struct tls_context *tls_context_ref(struct tls_context *t)
{
	(void)atomic_fetch_add(&t->refs, 1);
	return t;
}

void tls_context_free(struct tls_context **at)
{
	struct tls_context *t = *at;

	if (!t)
		return;
	*at = NULL;
	if (atomic_fetch_sub(&t->refs, 1) > 1)
		return;
	for (size_t i = 0; i < t->count; i++)
		SSL_CTX_free(t->ctx[i]);
	tls_trust_free(&t->trust);
	free(t->ctx);
	free(t);
}

static struct tls *tls_new(struct tls_context *context, int fd)
{
	struct tls *t = mem_new(sizeof(*t));

	atomic_fetch_add(&context->refs, 1);
	t->context = context;
	t->ssl = SSL_new(context->ctx[0]);
	MUST(t->ssl && SSL_set_fd(t->ssl, fd) == 1);
	return t;
}

struct tls *tls_server(struct tls_context *context, int fd)
{
	struct tls *t = tls_new(context, fd);

	SSL_set_accept_state(t->ssl);
	return t;
}

struct tls *tls_client(struct tls_context *context, int fd, const char *host)
{
	struct tls *t = tls_new(context, fd);

	SSL_set_connect_state(t->ssl);
	if (host && X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), host) != 1) {
		MUST(SSL_set1_host(t->ssl, host) == 1);
		MUST(SSL_ctrl(t->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
		              (void *)(uintptr_t)host) == 1);
	}
	ERR_clear_error();
	return t;
}

/* One that OpenSSL can't use counts as none (RFC 7671 section 10.2). */
static bool add_record(SSL *ssl, const struct tls_tlsa *r)
{
	return (r->usage == TLS_DANE_TA || r->usage == TLS_DANE_EE) &&
	       SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching, r->data.at,
	                         r->data.len) == 1;
}

struct tls *tls_client_dane(struct tls_context *context, int fd, const struct tls_dane *d)
{
	struct tls *t = tls_new(context, fd);
	size_t usable = 0;

	SSL_set_connect_state(t->ssl);
	MUST(SSL_dane_enable(t->ssl, d->base) == 1);
	MUST(SSL_set1_host(t->ssl, d->base) == 1);
	if (d->also)
		MUST(SSL_add1_host(t->ssl, d->also) == 1);
	(void)SSL_dane_set_flags(t->ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	for (size_t i = 0; i < d->count; i++)
		usable += add_record(t->ssl, &d->records[i]);
	SSL_set_verify(t->ssl, usable ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	ERR_clear_error();
	return t;
}

void tls_free(struct tls **at)
{
	struct tls *t = *at;

	if (!t)
		return;
	*at = NULL;
	SSL_free(t->ssl);
	tls_context_free(&t->context);
	free(t);
}

static void keep_reason(struct tls *t, int why)
{
	unsigned long n = ERR_peek_error();
	const char *reason = n ? ERR_reason_error_string(n) : NULL;
	long verified = SSL_get_verify_mode(t->ssl) & SSL_VERIFY_PEER
	                        ? SSL_get_verify_result(t->ssl)
	                        : X509_V_OK;

	if (why == SSL_ERROR_SYSCALL)
		reason = "the connection broke";
	(void)snprintf(t->reason, sizeof(t->reason), "%s%s%s", reason ? reason : "TLS failed",
	               verified == X509_V_OK ? "" : ": ",
	               verified == X509_V_OK ? "" : X509_verify_cert_error_string(verified));
}

static enum tls_io result_of(struct tls *t, int got)
{
	int why = SSL_get_error(t->ssl, got);
	enum tls_io r = TLS_FAILED;

	if (why == SSL_ERROR_WANT_READ)
		return TLS_WANT_READ;
	if (why == SSL_ERROR_WANT_WRITE)
		return TLS_WANT_WRITE;
	if (why == SSL_ERROR_ZERO_RETURN)
		return TLS_CLOSED;
	keep_reason(t, why);
	if (why == SSL_ERROR_SSL &&
	    ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		r = TLS_CLOSED;
	ERR_clear_error();
	return r;
}

enum tls_io tls_handshake(struct tls *t)
{
	int got;

	ERR_clear_error();
	got = SSL_do_handshake(t->ssl);
	return got == 1 ? TLS_DONE : result_of(t, got);
}

enum tls_io tls_read(struct tls *t, void *to, size_t room, size_t *n)
{
	int got;

	ERR_clear_error();
	*n = 0;
	got = SSL_read_ex(t->ssl, to, room, n);
	return got == 1 ? TLS_DONE : result_of(t, got);
}

enum tls_io tls_write(struct tls *t, struct slice s, size_t *n)
{
	int got;

	ERR_clear_error();
	*n = 0;
	got = SSL_write_ex(t->ssl, s.at, s.len, n);
	return got == 1 ? TLS_DONE : result_of(t, got);
}

void tls_notify_close(struct tls *t)
{
	ERR_clear_error();
	if (SSL_is_init_finished(t->ssl))
		(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
}

const char *tls_version(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

const char *tls_cipher(const struct tls *t)
{
	const char *name = SSL_get_cipher(t->ssl);

	return name ? name : "";
}

enum rc tls_peer(const struct tls *t, struct buf *der)
{
	X509 *x = t->context->trust ? SSL_get0_peer_certificate(t->ssl) : NULL;
	unsigned char *at = NULL;
	int len = x ? i2d_X509(x, &at) : 0;
	enum rc rc = len > 0 ? buf_add(der, slice_of(at, (size_t)len)) : RC_OK;

	OPENSSL_free(at);
	return rc;
}

bool tls_resumed(const struct tls *t)
{
	return SSL_session_reused(t->ssl) == 1;
}

const char *tls_reason(const struct tls *t)
{
	return t->reason;
}
