/*
 * tests/helpers/front_run.c - mm-smtpd with mmd's front and a spool, and nothing behind it
 *
 * front_run MM-SMTPD SNAPSHOT.json [OPTION=NUMBER...]
 *
 * Makes a data directory under /tmp and a certificate for "localhost", prints "ready" when clients
 * may connect, prints each message's meta as it becomes readable, and ends on SIGTERM or SIGINT
 * ("N messages"). SIGHUP configures again from the file. Options: max_connections, max_per_address,
 * max_message, command_timeout_s, file_bytes.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "ingest/front.h"
#include "store/crypt.h"
#include "store/keyring.h"
#include "tests/unit/cert.h"

struct run {
	struct loop *loop;
	struct spool *spool;
	struct front *front;
	struct front_options opt;
	const char *snapshot;
	struct spool_record record;
	unsigned long messages;
	bool quiet;
};

static void or_exit(enum rc rc, const struct err *e)
{
	if (rc == RC_OK)
		return;
	(void)fprintf(stderr, "front_run: %s\n", e->text);
	exit(1);
}

static void configure(struct run *r)
{
	struct buf text;
	json_t *j = NULL;
	struct config *c = NULL;
	struct err e;

	buf_init(&text, 1 << 20);
	or_exit(file_read_all(r->snapshot, &text, &e), &e);
	or_exit(json_read(&j, buf_slice(&text), &e), &e);
	or_exit(config_new(&c, j, &e), &e);
	or_exit(front_configure(r->front, &r->opt, c, NULL, NULL, &e), &e);
	config_unref(&c);
	json_decref(j);
	buf_free(&text);
}

static void on_ready(void *arg)
{
	(void)arg;
	(void)puts("ready");
	(void)fflush(stdout);
}

static void on_durable(void *arg)
{
	struct run *r = arg;
	struct err e;
	enum rc rc;

	while ((rc = spool_next(r->spool, &r->record, &e)) == RC_OK) {
		r->messages++;
		if (!r->quiet)
			(void)printf("%zu %.*s\n", r->record.raw.len, (int)r->record.meta.len,
			             (const char *)r->record.meta.at);
		or_exit(spool_done(r->spool, &r->record.after, &e), &e);
	}
	if (rc != RC_AGAIN)
		or_exit(rc, &e);
	(void)fflush(stdout);
}

static void on_answered(void *arg, const struct message_id *id, bool refused)
{
	(void)arg;
	(void)id;
	(void)refused;
}

static void on_failed(void *arg, const char *text)
{
	(void)arg;
	(void)fprintf(stderr, "front_run: failed: %s\n", text);
}

static void on_stopped(void *arg)
{
	struct run *r = arg;

	on_durable(r);
	loop_stop(r->loop);
}

static void on_signal(void *arg)
{
	struct run *r = arg;

	front_stop(r->front);
}

static void on_hangup(void *arg)
{
	configure(arg);
}

static uint64_t option(int argc, char **argv, const char *name, uint64_t otherwise)
{
	for (int i = 3; i < argc; i++) {
		struct slice value;
		struct slice key = slice_cut(slice_str(argv[i]), '=', &value);
		uint64_t n;

		if (slice_equal(key, slice_str(name)) && slice_to_u64(value, &n))
			return n;
	}
	return otherwise;
}

static void open_spool(struct run *r, const char *dir, uint64_t file_bytes, struct keyring **keys)
{
	static const uint8_t master[KEY_BYTES] = { 1 };
	struct spool_options opt = { .file_bytes = file_bytes };
	struct err e;

	or_exit(keyring_create(dir, master, &e), &e);
	or_exit(keyring_open(keys, dir, master, &e), &e);
	or_exit(spool_open(&r->spool, dir, *keys, &opt, &e), &e);
}

static void run_until_signal(struct run *r)
{
	static const struct front_ops ops = { .ready = on_ready,
		                              .durable = on_durable,
		                              .answered = on_answered,
		                              .failed = on_failed,
		                              .stopped = on_stopped };
	struct loop_signal *term = loop_signal_new(r->loop, SIGTERM, on_signal, r);
	struct loop_signal *interrupt = loop_signal_new(r->loop, SIGINT, on_signal, r);
	struct loop_signal *hangup = loop_signal_new(r->loop, SIGHUP, on_hangup, r);

	r->front = front_new(r->loop, r->spool, &ops, r);
	configure(r);
	loop_run(r->loop, NULL, NULL);
	front_free(&r->front);
	loop_signal_free(&term);
	loop_signal_free(&interrupt);
	loop_signal_free(&hangup);
}

static enum rc remove_one(void *arg, const char *name, struct err *e)
{
	char *path = path_join(arg, name);
	enum rc rc = file_remove(path, e);

	free(path);
	return rc;
}

static void remove_dir(const char *dir)
{
	char *spool = path_join(dir, "spool");
	struct err e;

	or_exit(dir_list(spool, remove_one, spool, &e), &e);
	(void)rmdir(spool);
	free(spool);
	or_exit(dir_list(dir, remove_one, (void *)(uintptr_t)dir, &e), &e);
	(void)rmdir(dir);
}

int main(int argc, char **argv)
{
	struct run r = { .quiet = getenv("QUIET") != NULL };
	char dir[] = "/tmp/mm-front.XXXXXX";
	struct keyring *keys = NULL;
	struct buf chain, key;
	struct tls_cert cert;

	if (argc < 3 || !mkdtemp(dir))
		return 2;
	log_init("front_run", LOG_INFO);
	clock_init();
	tls_init();
	crypt_init();
	cert_make("localhost", &chain, &key);
	cert = (struct tls_cert) { buf_slice(&chain), buf_slice(&key) };
	r.loop = loop_new();
	r.snapshot = argv[2];
	r.opt = (struct front_options) {
		.hostname = "gw.test",
		.certs = &cert,
		.cert_count = 1,
		.program = argv[1],
		.max_connections = (unsigned)option(argc, argv, "max_connections", 0),
		.max_per_address = (unsigned)option(argc, argv, "max_per_address", 0),
		.max_message = option(argc, argv, "max_message", 0),
		.command_timeout_s = (unsigned)option(argc, argv, "command_timeout_s", 0),
	};
	spool_record_init(&r.record);
	open_spool(&r, dir, option(argc, argv, "file_bytes", 0), &keys);
	run_until_signal(&r);
	(void)printf("%lu messages\n", r.messages);
	spool_record_free(&r.record);
	spool_close(&r.spool);
	keyring_close(&keys);
	loop_free(&r.loop);
	buf_free(&chain);
	buf_free(&key);
	remove_dir(dir);
	return 0;
}
