/* tests/unit/base/test_conn.c - connections, plain and TLS, against OpenSSL's own client */
#include "base/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/unit/cert.h"
#include "tests/unit/test.h"

#define BIG 3000000

static struct buf chain_a, key_a, chain_b, key_b;

/* A server's end that sends back what it got. */
struct echo {
	struct loop *loop;
	struct conn *conn;
	struct tls_context *tls;
	struct buf in; /* all that came in */
	struct buf out;
	size_t most;   /* bytes taken a call; 0: all */
	bool mute;     /* nothing is sent back */
	bool starttls; /* a line STARTTLS begins TLS */
	struct loop_timer *resume;
	bool secured;
	bool closed;
	char why[200];
	char version[16];
};

static void on_resume(void *arg)
{
	struct echo *x = arg;

	if (!x->closed)
		conn_resume(x->conn);
}

static void end_round(void *arg)
{
	loop_stop(arg);
}

static size_t on_input(void *arg, struct slice s)
{
	struct echo *x = arg;
	size_t n = s.len;

	if (x->starttls && !x->secured && slice_starts_nocase(s, slice_str("STARTTLS\r\n"))) {
		MUST(buf_add_str(&x->out, "220 go\r\n") == RC_OK);
		conn_tls_accept(x->conn, x->tls, 5000);
		return 10;
	}
	if (x->most && n > x->most) {
		n = x->most;
		loop_timer_set(x->resume, 0);
	}
	MUST(buf_add(&x->in, slice_part(s, 0, n)) == RC_OK);
	if (!x->mute)
		MUST(buf_add(&x->out, slice_part(s, 0, n)) == RC_OK);
	return n;
}

static struct slice on_output(void *arg)
{
	return buf_slice(&((struct echo *)arg)->out);
}

static void on_sent(void *arg, size_t n)
{
	buf_drop(&((struct echo *)arg)->out, n);
}

static void on_secured(void *arg)
{
	struct echo *x = arg;

	x->secured = true;
	(void)snprintf(x->version, sizeof(x->version), "%s", conn_tls_version(x->conn));
}

static void on_closed(void *arg, const char *why)
{
	struct echo *x = arg;

	x->closed = true;
	(void)snprintf(x->why, sizeof(x->why), "%s", why ? why : "");
	loop_stop(x->loop);
}

static const struct conn_ops echo_ops = {
	on_input, on_output, on_sent, on_secured, on_closed, false
};

/* Returns the client's end, blocking, with a time limit. */
static int echo_start(struct echo *x)
{
	struct timeval limit = { .tv_sec = 10 };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(ends[1], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	x->loop = loop_new();
	x->resume = loop_timer_new(x->loop, on_resume, x);
	buf_init(&x->in, 64 << 20);
	buf_init(&x->out, 64 << 20);
	x->conn = conn_new(x->loop, ends[0], &echo_ops, x);
	return ends[1];
}

static void echo_end(struct echo *x)
{
	conn_free(&x->conn);
	loop_timer_free(&x->resume);
	tls_context_free(&x->tls);
	buf_free(&x->in);
	buf_free(&x->out);
	loop_free(&x->loop);
}

static struct tls_context *server_context(const char *bound_to)
{
	struct tls_cert certs[2] = { { buf_slice(&chain_a), buf_slice(&key_a) },
		                     { buf_slice(&chain_b), buf_slice(&key_b) } };
	struct tls_context *t = NULL;
	struct err e;

	EXPECT_OK(tls_server_new(&t, certs, 2, slice_str(bound_to), &e), &e);
	return t;
}

/* --- the client, in a thread of its own, with OpenSSL's blocking calls --- */

struct client {
	int fd;
	int version;        /* highest; 0: any */
	const char *before; /* sent in the clear first; the reply up to a line's end is read */
	size_t bytes;       /* sent and read back */
	enum { BYE_NOTIFY, BYE_CLOSE, BYE_PLAIN } bye;
	SSL_SESSION *session; /* in: to resume; out: what was got */
	bool keep_session;
	bool resumed;
	const char *suite; /* of TLS 1.2; NULL: any */
	char failed[200];
};

static void *fail_client(struct client *c, const char *what)
{
	unsigned long n = ERR_peek_error();

	(void)snprintf(c->failed, sizeof(c->failed), "%s: %s", what,
	               n ? ERR_reason_error_string(n) : strerror(errno));
	close(c->fd);
	return NULL;
}

static void read_clear_line(int fd)
{
	char byte = 0;

	while (byte != '\n' && read(fd, &byte, 1) == 1)
		;
}

static bool exchange(SSL *s, size_t bytes)
{
	uint8_t *sent = malloc(bytes + 1), *got = malloc(bytes + 1);
	size_t out = 0, in = 0;
	bool same;

	for (size_t i = 0; i < bytes; i++)
		sent[i] = (uint8_t)(i * 31 + i / 251);
	/* In turns, so that neither side's buffers fill up. */
	while (in < bytes) {
		int n = out < bytes ? SSL_write(s, sent + out, (int)MIN_OF(bytes - out, 20000)) : 0;

		if (n < 0)
			break;
		out += (size_t)n;
		while (in < out) {
			n = SSL_read(s, got + in, (int)(out - in));
			if (n <= 0)
				break;
			in += (size_t)n;
		}
		if (n <= 0)
			break;
	}
	same = in == bytes && memcmp(sent, got, bytes) == 0;
	free(sent);
	free(got);
	return same;
}

static void say_bye(struct client *c, SSL *s)
{
	if (c->bye != BYE_CLOSE)
		(void)SSL_shutdown(s);
	if (c->bye == BYE_PLAIN) /* after close_notify nothing in the clear may count */
		(void)!write(c->fd, "QUIT\r\n", 6);
	if (c->bye == BYE_NOTIFY)
		(void)SSL_shutdown(s);
}

static void *run_client(void *arg)
{
	struct client *c = arg;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	char name[] = "a.test";
	SSL *s;

	if (c->version)
		SSL_CTX_set_max_proto_version(ctx, c->version);
	if (c->suite)
		SSL_CTX_set_cipher_list(ctx, c->suite);
	if (c->before) {
		(void)!write(c->fd, c->before, strlen(c->before));
		read_clear_line(c->fd);
	}
	s = SSL_new(ctx);
	SSL_set_fd(s, c->fd);
	SSL_ctrl(s, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name);
	if (c->session) {
		SSL_set_session(s, c->session);
		SSL_SESSION_free(c->session);
		c->session = NULL;
	}
	if (SSL_connect(s) != 1)
		fail_client(c, "connect");
	else if (c->bytes && !exchange(s, c->bytes))
		fail_client(c, "exchange");
	else {
		c->resumed = SSL_session_reused(s);
		if (c->keep_session)
			c->session = SSL_get1_session(s);
		say_bye(c, s);
		close(c->fd);
	}
	SSL_free(s);
	SSL_CTX_free(ctx);
	return NULL;
}

static void serve(struct echo *x, struct client *c)
{
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, run_client, c), 0);
	loop_run(x->loop, NULL, NULL);
	assert_int_equal(pthread_join(t, NULL), 0);
}

static const struct {
	const char *name;
	int version;
	const char *suite;
	size_t bytes;
	int bye;
	const char *spoken; /* version; NULL: the handshake fails */
} handshakes[] = {
	{ "TLS 1.3", 0, NULL, 100, BYE_NOTIFY, "TLSv1.3" },
	{ "TLS 1.2", TLS1_2_VERSION, NULL, 100, BYE_NOTIFY, "TLSv1.2" },
	{ "TLS 1.3, much", 0, NULL, BIG, BYE_NOTIFY, "TLSv1.3" },
	{ "TLS 1.2, much", TLS1_2_VERSION, NULL, BIG, BYE_NOTIFY, "TLSv1.2" },
	{ "closed without close_notify", 0, NULL, 100, BYE_CLOSE, "TLSv1.3" },
	{ "plaintext after close_notify", 0, NULL, 100, BYE_PLAIN, "TLSv1.3" },
	{ "TLS 1.2, plaintext after it", TLS1_2_VERSION, NULL, 100, BYE_PLAIN, "TLSv1.2" },
	{ "TLS 1.1", TLS1_1_VERSION, NULL, 0, BYE_NOTIFY, NULL },
	{ "CBC", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", 0, BYE_NOTIFY, NULL },
};

static void test_handshakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(handshakes); i++) {
		struct echo x = { .tls = server_context("one") };
		struct client c = { .fd = echo_start(&x),
			            .version = handshakes[i].version,
			            .suite = handshakes[i].suite,
			            .bytes = handshakes[i].bytes,
			            .bye = handshakes[i].bye };

		conn_tls_accept(x.conn, x.tls, 10000);
		serve(&x, &c);
		EXPECT(handshakes[i].name, x.closed);
		EXPECT(handshakes[i].name, x.secured == (handshakes[i].spoken != NULL));
		EXPECT(handshakes[i].name, !handshakes[i].spoken == (c.failed[0] != '\0'));
		if (handshakes[i].spoken)
			assert_string_equal(x.version, handshakes[i].spoken);
		EXPECT(handshakes[i].name, x.in.len == handshakes[i].bytes);
		echo_end(&x);
	}
}

/* CVE-2011-0411 and its many cousins: what came in the clear is not part of the TLS session. */
static void test_injected(void **state)
{
	struct echo x = { .starttls = true, .tls = server_context("one") };
	struct client c = { .fd = echo_start(&x),
		            .before = "STARTTLS\r\nEVIL\r\nEVIL\r\n",
		            .bytes = 1000 };

	(void)state;
	serve(&x, &c);
	assert_string_equal(c.failed, "");
	assert_true(x.secured);
	assert_int_equal(x.in.len, 1000);
	assert_true(slice_find(buf_slice(&x.in), slice_str("EVIL")) == SIZE_MAX);
	echo_end(&x);
}

static bool resumes(const char *first, const char *second)
{
	struct tls_context *one = server_context(first);
	struct tls_context *two = strcmp(first, second) == 0 ? one : server_context(second);
	SSL_SESSION *session = NULL;
	bool resumed = false;

	for (int i = 0; i < 2; i++) {
		struct echo x = { .mute = false };
		struct client c = { .fd = echo_start(&x),
			            .bytes = 10,
			            .session = session,
			            .version = TLS1_2_VERSION,
			            .keep_session = i == 0 };

		conn_tls_accept(x.conn, i ? two : one, 10000);
		serve(&x, &c);
		assert_string_equal(c.failed, "");
		session = c.session;
		resumed = c.resumed;
		echo_end(&x);
	}
	if (two != one)
		tls_context_free(&two);
	tls_context_free(&one);
	return resumed;
}

static void test_tickets_are_bound(void **state)
{
	(void)state;
	assert_true(resumes("one", "one"));
	assert_false(resumes("one", "two"));
}

/* Our own client against our own server, on one loop. True: bytes went there and back. */
static bool talks(const char *host, const struct buf *trust, const struct tls_dane *dane)
{
	struct echo x = { .tls = server_context("one") };
	struct echo y = { .mute = true };
	struct err e;
	int fd = echo_start(&x);
	bool good;

	y.loop = x.loop;
	buf_init(&y.in, 1000);
	buf_init(&y.out, 1000);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	EXPECT_OK(tls_client_new(&y.tls, buf_slice(trust), &e), &e);
	y.conn = conn_new(x.loop, fd, &echo_ops, &y);
	conn_tls_accept(x.conn, x.tls, 10000);
	if (dane)
		conn_tls_connect_dane(y.conn, y.tls, dane, 10000);
	else
		conn_tls_connect(y.conn, y.tls, host, 10000);
	MUST(buf_add_str(&y.out, "hello") == RC_OK);
	while (!x.closed && !y.closed && y.in.len < 5) {
		struct loop_timer *t = loop_timer_new(x.loop, end_round, x.loop);

		if (y.secured)
			conn_send(y.conn);
		loop_timer_set(t, 5);
		loop_run(x.loop, NULL, NULL);
		loop_timer_free(&t);
	}
	good = y.in.len == 5;
	conn_free(&y.conn);
	tls_context_free(&y.tls);
	buf_free(&y.in);
	buf_free(&y.out);
	echo_end(&x);
	return good;
}

static void test_names(void **state)
{
	static const struct {
		const char *name, *host;
		struct buf *trust;
		bool good;
	} cases[] = {
		{ "first certificate", "a.test", &chain_a, true },
		{ "second certificate by SNI", "b.test", &chain_b, true },
		{ "not trusted", "b.test", &chain_a, false },
		{ "name of neither", "c.test", &chain_a, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		EXPECT(cases[i].name, talks(cases[i].host, cases[i].trust, NULL) == cases[i].good);
	}
}

/* SHA-256 of the certificate of a PEM text, or of its key. */
static void hash_of(uint8_t out[32], const struct buf *pem, bool key)
{
	BIO *b = BIO_new_mem_buf(pem->at, (int)pem->len);
	X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
	unsigned char *der = NULL;
	int n = key ? i2d_PUBKEY(X509_get0_pubkey(x), &der) : i2d_X509(x, &der);

	MUST(n > 0 && EVP_Digest(der, (size_t)n, out, NULL, EVP_sha256(), NULL) == 1);
	OPENSSL_free(der);
	X509_free(x);
	BIO_free(b);
}

static void test_dane(void **state)
{
	static uint8_t cert_a[32], public_a[32], cert_b[32];
	static const struct {
		const char *name, *base, *also;
		uint8_t usage, selector, matching;
		struct slice data;
		bool good;
	} cases[] = {
		{ "its key", "a.test", NULL, 3, 1, 1, { public_a, 32 }, true },
		{ "its certificate", "a.test", NULL, 3, 0, 1, { cert_a, 32 }, true },
		{ "another's", "a.test", NULL, 3, 0, 1, { cert_b, 32 }, false },
		{ "its key as a certificate", "a.test", NULL, 3, 0, 1, { public_a, 32 }, false },
		{ "under any name", "c.test", NULL, 3, 1, 1, { public_a, 32 }, true },
		{ "another issuer", "a.test", NULL, 2, 0, 1, { cert_b, 32 }, false },
		{ "a usage that isn't for mail", "a.test", NULL, 1, 0, 1, { cert_b, 32 }, true },
		{ "a hash that is cut", "a.test", NULL, 3, 0, 1, { cert_b, 31 }, true },
		{ "a hash that isn't known", "a.test", NULL, 3, 0, 9, { cert_b, 32 }, true },
	};

	(void)state;
	hash_of(cert_a, &chain_a, false);
	hash_of(public_a, &chain_a, true);
	hash_of(cert_b, &chain_b, false);
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct tls_tlsa record = { cases[i].usage, cases[i].selector,
			                         cases[i].matching, cases[i].data };
		const struct tls_dane d = { cases[i].base, cases[i].also, &record, 1 };
		static const struct buf none;

		EXPECT(cases[i].name, talks(NULL, &none, &d) == cases[i].good);
		EXPECT(cases[i].name, talks(NULL, &chain_b, &d) == cases[i].good);
	}
}

/* --- plain --- */

struct raw {
	int fd;
	size_t bytes;
	size_t got;
	bool half; /* closes its sending side before it reads */
};

static void *run_raw(void *arg)
{
	struct raw *r = arg;
	uint8_t block[5000];
	ssize_t n;

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)i;
	for (size_t left = r->bytes; left; left -= (size_t)n) {
		n = send(r->fd, block, MIN_OF(left, sizeof(block)), MSG_NOSIGNAL);
		if (n <= 0)
			break;
	}
	if (r->half)
		shutdown(r->fd, SHUT_WR);
	while (r->got < r->bytes && (n = recv(r->fd, block, sizeof(block), 0)) > 0)
		r->got += (size_t)n;
	close(r->fd);
	return NULL;
}

static const struct {
	const char *name;
	size_t bytes, most;
	bool half, mute;
} plains[] = {
	{ "little", 5, 0, false, false },
	{ "half-closed", 3000, 0, true, false },
	{ "more, half-closed", 60000, 0, true, false },
	{ "taken in pieces", 20000, 7, false, false },
	{ "taken in pieces, half-closed", 20000, 7, true, false },
	{ "much, nothing sent back", 4000000, 0, true, true },
};

static void test_plain(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(plains); i++) {
		struct echo x = { .most = plains[i].most, .mute = plains[i].mute };
		struct raw r = { .fd = echo_start(&x),
			         .bytes = plains[i].bytes,
			         .half = plains[i].half };
		pthread_t t;

		if (x.mute)
			r.got = r.bytes;
		assert_int_equal(pthread_create(&t, NULL, run_raw, &r), 0);
		loop_run(x.loop, NULL, NULL);
		assert_int_equal(pthread_join(t, NULL), 0);
		EXPECT(plains[i].name, x.closed && x.why[0] == '\0');
		EXPECT(plains[i].name, x.in.len == plains[i].bytes);
		EXPECT(plains[i].name, r.got == plains[i].bytes);
		for (size_t k = 0; k < x.in.len; k++)
			EXPECT(plains[i].name, x.in.at[k] == (uint8_t)(k % 5000));
		echo_end(&x);
	}
}

/* Output that the peer doesn't read waits, is not lost, and stops the reading of input. */
static void test_slow_reader(void **state)
{
	struct echo x = { .mute = true };
	struct raw r = { .fd = echo_start(&x), .bytes = 8000000 };
	uint8_t *all = calloc(1, r.bytes);
	uint8_t block[5000];
	size_t got = 0;

	(void)state;
	MUST(buf_add(&x.out, slice_of(all, r.bytes)) == RC_OK);
	free(all);
	conn_send(x.conn);
	assert_true(conn_sends(x.conn));
	assert_int_equal(send(r.fd, "x", 1, 0), 1);
	while (got < r.bytes) {
		ssize_t n = recv(r.fd, block, sizeof(block), MSG_DONTWAIT);

		if (n > 0) {
			got += (size_t)n;
			continue;
		}
		struct loop_timer *t = loop_timer_new(x.loop, end_round, x.loop);

		loop_timer_set(t, 1);
		loop_run(x.loop, NULL, NULL);
		loop_timer_free(&t);
	}
	assert_int_equal(x.out.len, 0);
	close(r.fd);
	loop_run(x.loop, NULL, NULL);
	assert_true(x.closed);
	assert_int_equal(x.in.len, 1);
	echo_end(&x);
}

static void test_handshake_deadline(void **state)
{
	struct echo x = { .tls = server_context("one") };
	int fd = echo_start(&x);

	(void)state;
	conn_tls_accept(x.conn, x.tls, 20);
	loop_run(x.loop, NULL, NULL);
	assert_string_equal(x.why, "the handshake took too long");
	close(fd);
	echo_end(&x);
}

/* The last words arrive although the peer has sent more than was read. */
static void test_finish(void **state)
{
	struct echo x = { .most = 1 };
	int fd = echo_start(&x);
	char text[100] = "";
	size_t at = 0;
	ssize_t n;

	(void)state;
	assert_int_equal(send(fd, "junk junk junk", 14, 0), 14);
	MUST(buf_add_str(&x.out, "421 bye\r\n") == RC_OK);
	conn_finish(x.conn, 50);
	assert_false(x.closed);
	while ((n = recv(fd, text + at, sizeof(text) - at, 0)) > 0)
		at += (size_t)n;
	assert_string_equal(text, "421 bye\r\n");
	close(fd);
	loop_run(x.loop, NULL, NULL);
	assert_true(x.closed);
	assert_int_equal(x.in.len, 0);
	echo_end(&x);
}

static void test_bad_certificates(void **state)
{
	struct tls_context *t = NULL;
	struct err e;
	const struct tls_cert bad[] = { { slice_str("junk"), buf_slice(&key_a) },
		                        { buf_slice(&chain_a), slice_str("junk") },
		                        { buf_slice(&chain_a), buf_slice(&key_b) },
		                        { slice_str(""), slice_str("") } };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(tls_server_new(&t, &bad[i], 1, slice_str("x"), &e), RC_INVALID);
		assert_null(t);
	}
	assert_int_equal(tls_client_new(&t, slice_str("junk"), &e), RC_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshakes),
		cmocka_unit_test(test_injected),
		cmocka_unit_test(test_tickets_are_bound),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_dane),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_handshake_deadline),
		cmocka_unit_test(test_finish),
		cmocka_unit_test(test_bad_certificates),
	};
	int failed;

	tls_init();
	cert_make("a.test", &chain_a, &key_a);
	cert_make("b.test", &chain_b, &key_b);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	buf_free(&chain_a);
	buf_free(&key_a);
	buf_free(&chain_b);
	buf_free(&key_b);
	return failed;
}
