/*
 * tests/helpers/spool_load.c - kills a writer and its reader at random moments, and counts what is
 * lost
 *
 * spool_load DIR ROUNDS SEED
 *
 * A child opens the spool under DIR, writes messages of all sizes as fast as it can, and behind the
 * writer plays the pipeline: archive, store positions, spool_done. It says through a pipe what it
 * commits and what it was told is done. The parent kills it, reads what the spool has, and checks:
 * whatever was acknowledged is archived under its one id, byte for byte. The directory goes on from
 * round to round. Exit 0: nothing was lost; 1: something was; 2: the test itself failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/log.h"
#include "ingest/spool/record.h"
#include "ingest/spool/spool.h"
#include "store/crypt.h"

#define IN_FLIGHT     40
#define CHECKPOINT    25 /* messages */
#define MAX_MESSAGES  (1u << 20)
#define POSITIONS_MAX 64

struct note { /* through the pipe, and in the archive */
	uint64_t number;
	uint8_t acknowledged;
	uint8_t pad[7];
	struct message_id id;
};

struct load {
	const char *dir;
	char archive[256];
	char positions_path[256];
	struct keyring *kr;
	struct spool *sp;
	struct spool_writer *w;
	int pipe;
	int archive_fd;
	uint64_t next;
	struct spool_position upto[POSITIONS_MAX];
	size_t upto_count;
	size_t unsaved;
};

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "spool_load: %s: %s\n", what, e ? e->text : strerror(errno));
	_exit(2);
}

#define OK(call)                                                                                   \
	do {                                                                                       \
		struct err e = { 0 };                                                              \
		if ((call) != RC_OK)                                                               \
			die(#call, &e);                                                            \
	} while (0)

static void write_note(int fd, const struct note *n)
{
	if (write(fd, n, sizeof(*n)) != (ssize_t)sizeof(*n))
		die("write", NULL);
}

/* ---- messages ---- */

static size_t size_of(uint64_t number)
{
	uint64_t x = number * UINT64_C(0x9e3779b97f4a7c15);

	x ^= x >> 31;
	if (number % 40 == 11)
		return 70000 + (size_t)(x % 200000); /* a file of its own */
	return 8 + (size_t)(x % 9000);
}

static void fill(uint64_t number, uint8_t *out, size_t n)
{
	put_le64(out, number);
	for (size_t i = 8; i < n; i++)
		out[i] = (uint8_t)(number * 31 + i);
}

static void commit_one(struct load *l)
{
	static uint8_t bytes[300000];
	uint64_t number = l->next;
	struct note n = { .number = number };
	struct spool_draft *d;
	size_t size = size_of(number);
	struct err e = { 0 };

	if (spool_begin(l->w, &d, &e) != RC_OK)
		return; /* no file just now */
	l->next++;
	fill(number, bytes, size);
	(void)!spool_add(d, slice_of(bytes, size), NULL);
	if (number % 97 == 5) {
		spool_abort(&d);
		return;
	}
	write_note(l->pipe, &n);
	spool_commit(&d, slice_str("{}"), (void *)(uintptr_t)(number + 1));
}

/* ---- the pipeline's part ---- */

static void save_positions(struct load *l)
{
	struct spool_position *all;
	size_t count;
	struct buf b;

	spool_positions(l->sp, l->upto, l->upto_count, &all, &count);
	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < count; i++) {
		OK(buf_put_u64(&b, all[i].file));
		OK(buf_put_u64(&b, all[i].offset));
		OK(buf_put_u64(&b, all[i].records));
	}
	OK(file_replace(l->positions_path, buf_slice(&b), &e));
	for (size_t i = 0; i < l->upto_count; i++)
		OK(spool_done(l->sp, &l->upto[i], &e));
	l->upto_count = 0;
	l->unsaved = 0;
	buf_free(&b);
	free(all);
}

static void note_position(struct load *l, const struct spool_position *p)
{
	size_t i = 0;

	while (i < l->upto_count && l->upto[i].file != p->file)
		i++;
	l->upto[i] = *p;
	if (i == l->upto_count)
		l->upto_count++;
	if (++l->unsaved >= CHECKPOINT || l->upto_count == POSITIONS_MAX)
		save_positions(l);
}

static void archive_all(struct load *l, bool to_end)
{
	static uint8_t want[300000];
	struct spool_record r;
	enum rc rc;
	struct err e = { 0 };

	spool_record_init(&r);
	while ((rc = spool_next(l->sp, &r, &e)) == RC_OK) {
		struct note n = { .acknowledged = 1, .id = r.id };

		n.number = r.raw.len >= 8 ? get_le64(r.raw.at) : 0;
		if (r.raw.len < 8 || r.raw.len != size_of(n.number))
			die("a message has another size than it was sent with", NULL);
		fill(n.number, want, r.raw.len);
		if (!slice_equal(r.raw, slice_of(want, r.raw.len)))
			die("a message has other bytes than it was sent with", NULL);
		write_note(l->archive_fd, &n);
		note_position(l, &r.after);
	}
	if (rc != RC_AGAIN)
		die("spool_next", &e);
	if (to_end)
		save_positions(l);
	spool_record_free(&r);
}

static void on_damage(void *app, uint64_t file, uint64_t offset, const char *text)
{
	(void)app;
	fprintf(stderr, "damage in %llu at %llu: %s\n", (unsigned long long)file,
	        (unsigned long long)offset, text);
	_exit(1);
}

static void open_spool(struct load *l)
{
	static const uint8_t master[KEY_BYTES] = { 42 };
	struct spool_position seeds[POSITIONS_MAX * 4];
	struct spool_options opt = { .file_bytes = SPOOL_MIN_CAPACITY,
		                     .damage = on_damage,
		                     .positions = seeds };
	struct buf b;
	struct reader r;

	OK(keyring_open(&l->kr, l->dir, master, &e));
	buf_init(&b, 1 << 20);
	if (file_exists(l->positions_path))
		OK(file_read_all(l->positions_path, &b, &e));
	r = reader_over(buf_slice(&b));
	while (r.rest.len && opt.positions_count < COUNT(seeds)) {
		struct spool_position *p = &seeds[opt.positions_count++];

		p->file = read_u64(&r);
		p->offset = read_u64(&r);
		p->records = read_u64(&r);
	}
	OK(spool_open(&l->sp, l->dir, l->kr, &opt, &e));
	buf_free(&b);
	l->archive_fd = open(l->archive, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (l->archive_fd < 0)
		die("open the archive", NULL);
}

/* ---- the child ---- */

static void need_file(void *app)
{
	struct load *l = app;
	struct spool_new_file nf;

	OK(spool_make_file(l->sp, 0, &nf, &e));
	OK(spool_writer_give_file(l->w, nf.number, nf.fd, nf.capacity, nf.public_key, &e));
}

static void need_big(void *app)
{
	struct load *l = app;
	struct spool_new_file nf;

	OK(spool_make_big(l->sp, 0, &nf, &e));
	spool_writer_give_big(l->w, nf.number, nf.fd);
}

static void on_progress(void *app, uint64_t file, uint64_t offset, uint64_t messages)
{
	spool_durable(((struct load *)app)->sp, 0, file, offset, messages);
}

static void on_done(void *app, void *cookie, const struct message_id *id, int64_t received_ms,
                    const struct durable *proof, const struct err *err)
{
	struct load *l = app;
	struct note n = { .number = (uint64_t)(uintptr_t)cookie - 1, .acknowledged = 1, .id = *id };

	(void)received_ms;
	if (!proof)
		die("a commit failed", err);
	write_note(l->pipe, &n);
}

/* Until it is killed. */
static void run_child(struct load *l)
{
	static const struct spool_writer_ops ops = { .need_file = need_file,
		                                     .need_big = need_big,
		                                     .progress = on_progress,
		                                     .done = on_done };
	struct spool_writer_options opt = { .floor_ms = clock_now_ms() };

	open_spool(l);
	OK(spool_writer_new(&l->w, &opt, &ops, l, &e));
	spool_writer_flush(l->w);
	for (;;) {
		struct pollfd p = { .fd = spool_writer_event_fd(l->w), .events = POLLIN };

		while (spool_writer_waiting(l->w) < IN_FLIGHT)
			commit_one(l);
		spool_writer_flush(l->w);
		(void)poll(&p, 1, 100);
		spool_writer_reap(l->w);
		archive_all(l, false);
	}
}

/* ---- the parent ---- */

struct fate {
	uint8_t committed;
	uint8_t acknowledged;
	uint8_t archived; /* under how many ids */
	struct message_id id;
	struct message_id archived_id;
};

static struct fate *fates;
static uint64_t highest;

static void take_note(const struct note *n, unsigned *committed, unsigned *acknowledged)
{
	struct fate *f = &fates[n->number % MAX_MESSAGES];

	if (n->number > highest)
		highest = n->number;
	if (!n->acknowledged) {
		f->committed = 1;
		(*committed)++;
		return;
	}
	f->acknowledged = 1;
	f->id = n->id;
	(*acknowledged)++;
}

/* Listens until it is time to kill, then to the end. */
static void listen_and_kill(int fd, pid_t child, int64_t life_ms, unsigned *committed,
                            unsigned *acknowledged)
{
	int64_t until = INT64_MAX;
	bool killed = false;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		struct note n;
		int64_t now = clock_mono_ms();
		ssize_t got;

		if (!killed && now >= until) {
			(void)kill(child, SIGKILL);
			killed = true;
		}
		if (!killed && poll(&p, 1, until == INT64_MAX ? 30000 : (int)(until - now)) == 0)
			continue;
		got = read(fd, &n, sizeof(n));
		if (got == 0)
			return;
		if (got != (ssize_t)sizeof(n))
			die("read", NULL);
		take_note(&n, committed, acknowledged);
		if (until == INT64_MAX) /* it lives: its time begins */
			until = clock_mono_ms() + life_ms;
	}
}

/* A process of its own reads what is there, as mmd does when it starts. */
static void recover(struct load *l)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		open_spool(l);
		archive_all(l, true);
		archive_all(l, true);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		die("recovery failed", NULL);
}

static void read_archive(struct load *l)
{
	int fd = open(l->archive, O_RDONLY | O_CLOEXEC);
	struct note n;

	for (uint64_t i = 0; i <= highest; i++)
		fates[i].archived = 0;
	while (fd >= 0 && read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n)) {
		struct fate *f = &fates[n.number % MAX_MESSAGES];

		if (f->archived && id_compare(&f->archived_id, &n.id) == 0)
			continue; /* read again after a kill: the same id, superseded */
		f->archived++;
		f->archived_id = n.id;
	}
	if (fd >= 0)
		(void)close(fd);
}

static unsigned count_wrong(void)
{
	unsigned wrong = 0;

	for (uint64_t i = 0; i <= highest; i++) {
		const struct fate *f = &fates[i];

		if (f->archived > 1 || (f->archived && !f->committed) ||
		    (f->acknowledged && (!f->archived || id_compare(&f->id, &f->archived_id) != 0)))
			wrong++;
	}
	return wrong;
}

/* False when the round doesn't count: nothing acknowledged, or nothing in flight. */
static bool run_round(struct load *l, unsigned round, unsigned *wrong)
{
	unsigned committed = 0;
	unsigned acknowledged = 0;
	int64_t life = 1 + rand() % 80;
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		die("pipe", NULL);
	child = fork();
	if (child < 0)
		die("fork", NULL);
	if (child == 0) {
		(void)close(ends[0]);
		l->pipe = ends[1];
		run_child(l);
	}
	(void)close(ends[1]);
	listen_and_kill(ends[0], child, life, &committed, &acknowledged);
	(void)close(ends[0]);
	if (waitpid(child, NULL, 0) != child)
		die("waitpid", NULL);
	l->next = highest + 1;
	recover(l);
	read_archive(l);
	*wrong = count_wrong();
	printf("round %u: %lld ms, %u acknowledged, %u in flight, %u lost or wrong so far\n", round,
	       (long long)life, acknowledged, committed - acknowledged, *wrong);
	(void)fflush(stdout);
	return acknowledged > 0 && committed > acknowledged;
}

int main(int argc, char **argv)
{
	static const uint8_t master[KEY_BYTES] = { 42 };
	struct load l = { 0 };
	unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 50;
	unsigned seed = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : (unsigned)time(NULL);
	unsigned good = 0;
	unsigned wrong = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: spool_load DIR [ROUNDS [SEED]]\n");
		return 2;
	}
	log_init("spool_load", LOG_ERROR);
	crypt_init();
	srand(seed);
	printf("seed %u\n", seed);
	l.dir = argv[1];
	(void)snprintf(l.archive, sizeof(l.archive), "%s/archive", l.dir);
	(void)snprintf(l.positions_path, sizeof(l.positions_path), "%s/positions", l.dir);
	fates = mem_array(MAX_MESSAGES, sizeof(*fates));
	l.next = 1;
	OK(dir_make(l.dir, &e));
	OK(keyring_create(l.dir, master, &e));
	for (unsigned i = 0; good < rounds && i < rounds * 3 && highest < MAX_MESSAGES / 2; i++)
		good += run_round(&l, i, &wrong);
	printf("%u rounds counted, %llu messages, %u lost or wrong\n", good,
	       (unsigned long long)highest, wrong);
	free(fates);
	if (good < rounds)
		return 2;
	return wrong ? 1 : 0;
}
