/* Where the master key comes from: docs/formats.md, "Master key". */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/log.h"
#include "store/crypt.h"

#define FIRST_LINE     "mm-master-key 1"
#define MASTER_FILE    16384 /* bytes of a master key file */
#define COMMAND_S      60
#define PASSPHRASE     1024
#define CHECK_BYTES    16
#define ARGON2_OPS_MAX 1000
#define ARGON2_MEM_MAX ((size_t)4 << 30)

extern char **environ;

struct key_text {
	uint8_t at[MASTER_FILE + 1];
	size_t len;
	struct err commands; /* why those in it aren't run */
};

static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return mem_string(".");
	return slice_string(slice_of(path, slash == path ? 1 : (size_t)(slash - path)));
}

static enum rc sync_parent(const char *path, struct err *e)
{
	char *dir = parent_of(path);
	enum rc rc = dir_sync(dir, e);

	free(dir);
	return rc;
}

/* Never overwrites: the key that is lost would be the only one to the archive. */
static enum rc write_new(const char *path, struct slice text, struct err *e)
{
	struct file *f;
	enum rc rc = file_open(&f, path, FILE_CREATE, e);

	if (rc != RC_OK)
		return rc;
	rc = file_write_at(f, text, 0, e);
	if (rc == RC_OK)
		rc = file_sync(f, NULL, e);
	file_close(&f);
	if (rc == RC_OK)
		rc = sync_parent(path, e);
	if (rc != RC_OK) /* nobody has the key that may be in it */
		(void)!file_remove(path, NULL);
	return rc;
}

enum rc master_key_copy(const char *path, const uint8_t key[KEY_BYTES], struct err *e)
{
	char hex[2 * KEY_BYTES + 1];
	struct buf text;
	enum rc rc;

	buf_init(&text, MASTER_FILE);
	hex_encode(hex, key, KEY_BYTES);
	rc = buf_addf(&text, "%s\nraw %s\n", FIRST_LINE, hex);
	if (rc == RC_OK)
		rc = write_new(path, buf_slice(&text), e);
	crypt_wipe(hex, sizeof(hex));
	if (text.at)
		crypt_wipe(text.at, text.room);
	buf_free(&text);
	return rc;
}

enum rc master_key_create(const char *path, struct err *e)
{
	uint8_t key[KEY_BYTES];
	enum rc rc;

	crypt_init();
	crypt_random(key, sizeof(key));
	rc = master_key_copy(path, key, e);
	crypt_wipe(key, sizeof(key));
	return rc;
}

static enum rc argon2(uint8_t key[KEY_BYTES], struct slice passphrase, uint64_t ops, uint64_t mem,
                      const uint8_t salt[crypto_pwhash_SALTBYTES], struct err *e)
{
	if (ops < 1 || ops > ARGON2_OPS_MAX || mem < crypto_pwhash_MEMLIMIT_MIN ||
	    mem > ARGON2_MEM_MAX)
		return err_set(e, RC_INVALID, "argon2id costs %llu, %llu are out of range",
		               (unsigned long long)ops, (unsigned long long)mem);
	if (crypto_pwhash(key, KEY_BYTES, (const char *)passphrase.at, passphrase.len, salt, ops,
	                  (size_t)mem, crypto_pwhash_ALG_ARGON2ID13) != 0)
		return err_set(e, RC_LIMIT, "argon2id found no %llu bytes of memory",
		               (unsigned long long)mem);
	return RC_OK;
}

static void check_of(uint8_t check[CHECK_BYTES], const uint8_t key[KEY_BYTES])
{
	uint8_t derived[KEY_BYTES];

	crypt_derive(derived, key, "mm master key check 1");
	memcpy(check, derived, CHECK_BYTES);
	crypt_wipe(derived, sizeof(derived));
}

/* Reads one line from the terminal with the echo off. */
static enum rc ask_terminal(char *line, size_t room, size_t *got, struct err *e)
{
	static const char prompt[] = "Master key passphrase: ";
	struct termios old;
	struct termios quiet;
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	ssize_t n;

	if (fd < 0)
		return err_set(
		        e, RC_INVALID,
		        "a passphrase is needed: set MM_PASSPHRASE_FILE, there is no terminal");
	if (tcgetattr(fd, &old) < 0) {
		(void)close(fd);
		return err_sys(e, "terminal");
	}
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	(void)tcsetattr(fd, TCSAFLUSH, &quiet);
	n = write(fd, prompt, sizeof(prompt) - 1); /* tidy: a prompt on the terminal */
	if (n > 0)
		n = read(fd, line, room);
	(void)tcsetattr(fd, TCSAFLUSH, &old);
	if (n >= 0)
		(void)!write(fd, "\n", 1); /* tidy: a prompt on the terminal */
	(void)close(fd);
	if (n < 0)
		return err_sys(e, "read the passphrase");
	*got = (size_t)n;
	return RC_OK;
}

/* The line end is not part of a passphrase; everything else is. */
static size_t without_line_end(const char *at, size_t n)
{
	while (n && (at[n - 1] == '\n' || at[n - 1] == '\r'))
		n--;
	return n;
}

static enum rc read_passphrase(char *line, size_t room, size_t *got, struct err *e)
{
	const char *path = getenv("MM_PASSPHRASE_FILE");
	struct file *f;
	enum rc rc;

	if (!path || !*path) {
		rc = ask_terminal(line, room, got, e);
	} else {
		rc = file_open(&f, path, FILE_READ, e);
		if (rc != RC_OK)
			return err_in(e, "MM_PASSPHRASE_FILE");
		rc = file_read_some(f, line, room, 0, got, e);
		file_close(&f);
	}
	if (rc != RC_OK)
		return rc;
	*got = without_line_end(line, *got);
	if (*got == 0 || *got == room)
		return err_set(e, RC_INVALID, "the passphrase is empty or too long");
	return RC_OK;
}

enum rc master_key_create_passphrase(const char *path, struct err *e)
{
	uint64_t ops = crypto_pwhash_OPSLIMIT_MODERATE;
	uint64_t mem = crypto_pwhash_MEMLIMIT_MODERATE;
	uint8_t salt[crypto_pwhash_SALTBYTES];
	uint8_t key[KEY_BYTES];
	uint8_t check[CHECK_BYTES];
	char salt_hex[2 * sizeof(salt) + 1];
	char check_hex[2 * sizeof(check) + 1];
	char line[PASSPHRASE];
	struct buf text;
	size_t n;
	enum rc rc;

	crypt_init();
	crypt_random(salt, sizeof(salt));
	rc = read_passphrase(line, sizeof(line), &n, e);
	if (rc == RC_OK && n < 12)
		rc = err_set(e, RC_INVALID, "a passphrase has at least 12 bytes");
	if (rc == RC_OK)
		rc = argon2(key, slice_of(line, n), ops, mem, salt, e);
	crypt_wipe(line, sizeof(line));
	if (rc != RC_OK)
		return rc;
	check_of(check, key);
	crypt_wipe(key, sizeof(key));
	hex_encode(salt_hex, salt, sizeof(salt));
	hex_encode(check_hex, check, sizeof(check));
	buf_init(&text, MASTER_FILE);
	rc = buf_addf(&text, "%s\npassphrase argon2id %llu %llu %s %s\n", FIRST_LINE,
	              (unsigned long long)ops, (unsigned long long)mem, salt_hex, check_hex);
	if (rc == RC_OK)
		rc = write_new(path, buf_slice(&text), e);
	buf_free(&text);
	return rc;
}

/* "argon2id OPS MEM SALTHEX CHECK" */
static enum rc by_passphrase(struct slice text, uint8_t key[KEY_BYTES], struct err *e)
{
	struct slice algorithm = slice_cut(text, ' ', &text);
	struct slice ops_text = slice_cut(text, ' ', &text);
	struct slice mem_text = slice_cut(text, ' ', &text);
	struct slice salt_text = slice_cut(text, ' ', &text);
	uint8_t salt[crypto_pwhash_SALTBYTES];
	uint8_t want[CHECK_BYTES];
	uint8_t check[CHECK_BYTES];
	uint64_t ops;
	uint64_t mem;
	char line[PASSPHRASE];
	size_t n;
	enum rc rc;

	if (!slice_equal(algorithm, slice_str("argon2id")) || !slice_to_u64(ops_text, &ops) ||
	    !slice_to_u64(mem_text, &mem) || !hex_decode(salt, sizeof(salt), salt_text) ||
	    !hex_decode(want, sizeof(want), text))
		return err_set(e, RC_INVALID, "wants: passphrase argon2id OPS MEM SALT CHECK");
	rc = read_passphrase(line, sizeof(line), &n, e);
	if (rc == RC_OK)
		rc = argon2(key, slice_of(line, n), ops, mem, salt, e);
	crypt_wipe(line, sizeof(line));
	if (rc != RC_OK)
		return rc;
	check_of(check, key);
	if (sodium_memcmp(check, want, sizeof(check)) != 0)
		return err_set(e, RC_CRYPTO, "the passphrase is wrong");
	return RC_OK;
}

/* Until there is something to be had of it, or the command's time is over. */
static enum rc wait_for(int fd, int64_t until_ms, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		int64_t left = until_ms - clock_mono_ms();
		int n = left > 0 ? poll(&p, 1, (int)MIN_OF(left, (int64_t)1000)) : 0;

		if (n > 0)
			return RC_OK;
		if (n < 0 && errno != EINTR)
			return err_sys(e, "wait for the key file's command");
		if (left <= 0)
			return err_set(e, RC_CRYPTO,
			               "the key file's command took longer than %d seconds",
			               COMMAND_S);
	}
}

/* Reads until the end; what is past the room is dropped and makes the key invalid. */
static enum rc drain(int fd, int64_t until_ms, char *out, size_t room, size_t *got, struct err *e)
{
	char more[256];

	*got = 0;
	for (;;) {
		size_t left = room - *got;
		enum rc rc = wait_for(fd, until_ms, e);
		ssize_t n;

		if (rc != RC_OK)
			return rc;
		n = left ? read(fd, out + *got, left) : read(fd, more, sizeof(more));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read the output of the key file's command");
		if (n == 0)
			return RC_OK;
		if (left)
			*got += (size_t)n;
	}
}

static enum rc wait_end(pid_t pid, int64_t until_ms, struct err *e)
{
	int fd = pidfd_open(pid, 0);
	enum rc rc =
	        fd < 0 ? err_sys(e, "wait for the key file's command") : wait_for(fd, until_ms, e);

	if (fd >= 0)
		(void)close(fd);
	return rc;
}

static enum rc reap(pid_t pid, struct err *e)
{
	int status = 0;
	pid_t got;

	do
		got = waitpid(pid, &status, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return err_sys(e, "wait for the key file's command");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(e, RC_CRYPTO, "the key file's command failed (status %d)", status);
	return RC_OK;
}

/* A command that may ask at the terminal has to stay in the group that the terminal listens to; all
 * others get one, so that what they started ends with them. */
static bool has_terminal(void)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

static enum rc spawn_shell(const char *command, int out, bool own_group, pid_t *pid, struct err *e)
{
	char shell[] = "sh";
	char flag[] = "-c";
	char *text = mem_string(command);
	char *argv[] = { shell, flag, text, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int failed;

	MUST(posix_spawn_file_actions_init(&actions) == 0 && posix_spawnattr_init(&attr) == 0);
	MUST(posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO) == 0);
	if (own_group)
		MUST(posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP) == 0);
	failed = posix_spawn(pid, "/bin/sh", &actions, &attr, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attr);
	free(text);
	errno = failed;
	return failed ? err_sys(e, "start the key file's command") : RC_OK;
}

static enum rc run_command(const char *command, char *out, size_t room, size_t *got, struct err *e)
{
	int64_t until_ms = clock_mono_ms() + COMMAND_S * 1000;
	bool own_group = !has_terminal();
	int ends[2];
	pid_t pid;
	enum rc rc;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, "pipe");
	rc = spawn_shell(command, ends[1], own_group, &pid, e);
	(void)close(ends[1]);
	if (rc != RC_OK) {
		(void)close(ends[0]);
		return rc;
	}
	rc = drain(ends[0], until_ms, out, room, got, e);
	(void)close(ends[0]);
	if (rc == RC_OK)
		rc = wait_end(pid, until_ms, e);
	if (rc == RC_OK)
		return reap(pid, e);
	(void)kill(own_group ? -pid : pid, SIGKILL);
	(void)reap(pid, NULL);
	return rc;
}

static enum rc by_command(const struct key_text *t, struct slice text, uint8_t key[KEY_BYTES],
                          struct err *e)
{
	char out[256];
	char *command;
	size_t got = 0;
	enum rc rc;

	if (t->commands.code != RC_OK)
		return err_set(e, t->commands.code, "%s", t->commands.text);
	command = slice_string(text);
	rc = run_command(command, out, sizeof(out), &got, e);
	free(command);
	if (rc == RC_OK && !hex_decode(key, KEY_BYTES, slice_trim(slice_of(out, got))))
		rc = err_set(e, RC_CRYPTO, "the key file's command did not print 64 hex digits");
	crypt_wipe(out, sizeof(out));
	return rc;
}

static enum rc by_text(const struct key_text *t, uint8_t key[KEY_BYTES], struct err *e)
{
	struct slice text = slice_of(t->at, t->len);
	struct slice first = slice_trim(slice_cut(text, '\n', &text));
	struct slice rest;
	struct slice line;
	struct slice how;

	if (!slice_equal(first, slice_str(FIRST_LINE)))
		return err_set(e, RC_INVALID, "is not a master key file (\"%s\")", FIRST_LINE);
	line = slice_trim(slice_cut(text, '\n', &rest));
	how = slice_cut(line, ' ', &line);
	line = slice_trim(line);
	if (slice_equal(how, slice_str("raw"))) {
		if (hex_decode(key, KEY_BYTES, line))
			return RC_OK;
		return err_set(e, RC_INVALID, "line 2 wants 64 hex digits after \"raw\"");
	}
	if (slice_equal(how, slice_str("passphrase")))
		return by_passphrase(line, key, e);
	if (slice_equal(how, slice_str("command")) && line.len)
		return by_command(t, line, key, e);
	return err_set(e, RC_INVALID, "line 2 is none of raw, passphrase, command");
}

static void warn_of_mode(const struct file *f)
{
	struct stat st;

	if (fstat(file_fd(f), &st) == 0 && (st.st_mode & 077))
		log_warn("%s: the master key file is open to others (mode %03o, wants 600)",
		         file_name(f), (unsigned)st.st_mode & 0777);
}

static bool of_root_alone(const struct stat *st)
{
	return st->st_uid == 0 && !(st->st_mode & 022);
}

/* Who can write a file whose commands root runs is root. In a sticky folder nobody but its owner
 * can put another in a file's place. */
static void judge_commands(const struct file *f, const char *path, struct err *why)
{
	char *dir = parent_of(path);
	struct stat st;

	if (geteuid() == 0 &&
	    (fstat(file_fd(f), &st) < 0 || !of_root_alone(&st) || stat(dir, &st) < 0 ||
	     (!of_root_alone(&st) && !(st.st_uid == 0 && (st.st_mode & S_ISVTX)))))
		(void)err_set(
		        why, RC_DENIED,
		        "root runs the commands of a key file only where it and its folder "
		        "are root's and nobody else can write them: chown root and chmod go-w "
		        "both, or be the user that mmd runs as");
	free(dir);
}

static enum rc read_text(const char *path, struct key_text *t, struct err *e)
{
	struct file *f;
	enum rc rc = file_open(&f, path, FILE_READ, e);

	if (rc == RC_NOTFOUND)
		return err_set(e, rc,
		               "the master key %s is not there: put its copy back (mmctl init"
		               " --recovery wrote one) or name it by --key-file",
		               path);
	if (rc != RC_OK)
		return rc;
	warn_of_mode(f);
	t->commands.code = RC_OK;
	judge_commands(f, path, &t->commands);
	rc = file_read_some(f, t->at, sizeof(t->at), 0, &t->len, e);
	file_close(&f);
	if (rc == RC_OK && t->len > MASTER_FILE)
		rc = err_set(e, RC_INVALID, "%s: is longer than %d bytes", path, MASTER_FILE);
	return rc;
}

static enum rc read_master(const char *path, const struct key_text *t, uint8_t key[KEY_BYTES],
                           struct err *e)
{
	enum rc rc = by_text(t, key, e);

	if (rc != RC_OK) {
		crypt_wipe(key, KEY_BYTES);
		(void)err_in(e, "%s", path);
	}
	return rc;
}

enum rc master_key_read(const char *path, uint8_t key[KEY_BYTES], struct err *e)
{
	struct key_text t;
	enum rc rc;

	crypt_init();
	rc = read_text(path, &t, e);
	if (rc == RC_OK)
		rc = read_master(path, &t, key, e);
	crypt_wipe(t.at, sizeof(t.at));
	return rc;
}

/* --- further keys ------------------------------------------------------------------------------*/

/* "ARN COMMAND", behind "kms". What isn't given now may be given at the next start. */
static enum rc take_outer(struct key_file *f, const struct key_text *t, struct slice line,
                          struct err *e)
{
	struct key_outer *o = &f->outer[f->outers];
	struct slice command;
	struct slice arn = slice_cut(line, ' ', &command);
	struct err why = { 0 };

	command = slice_trim(command);
	if (arn.len == 0 || command.len == 0 || f->outers == KEY_OUTERS)
		return err_set(e, RC_INVALID, "wants: kms ARN COMMAND, %d of them at most",
		               KEY_OUTERS);
	if (key_file_outer(f, arn))
		return err_set(e, RC_INVALID, "%.*s is there twice", (int)arn.len,
		               (const char *)arn.at);
	*o = (struct key_outer) { .arn = slice_string(arn) };
	f->outers++;
	o->there = by_command(t, command, o->key, &why) == RC_OK;
	if (!o->there)
		log_error("%s: %s", o->arn, why.text);
	return RC_OK;
}

/* From the third line on; what is no such line never meant anything. */
static enum rc take_outers(struct key_file *f, const struct key_text *t, struct err *e)
{
	struct slice text = slice_of(t->at, t->len);
	enum rc rc = RC_OK;

	(void)slice_cut(text, '\n', &text);
	(void)slice_cut(text, '\n', &text);
	while (rc == RC_OK && text.len) {
		struct slice line = slice_trim(slice_cut(text, '\n', &text));
		struct slice how = slice_cut(line, ' ', &line);

		if (slice_equal(how, slice_str("kms")))
			rc = take_outer(f, t, slice_trim(line), e);
	}
	return rc;
}

enum rc key_file_read(const char *path, struct key_file *out, struct err *e)
{
	struct key_text t;
	enum rc rc;

	memset(out, 0, sizeof(*out));
	crypt_init();
	rc = read_text(path, &t, e);
	if (rc == RC_OK)
		rc = read_master(path, &t, out->master, e);
	if (rc == RC_OK && take_outers(out, &t, e) != RC_OK)
		rc = err_in(e, "%s", path);
	crypt_wipe(t.at, sizeof(t.at));
	if (rc != RC_OK)
		key_file_free(out);
	return rc;
}

const struct key_outer *key_file_outer(const struct key_file *f, struct slice arn)
{
	for (size_t i = 0; i < f->outers; i++)
		if (slice_equal(arn, slice_str(f->outer[i].arn)))
			return &f->outer[i];
	return NULL;
}

void key_file_copy(struct key_file *to, const struct key_file *from)
{
	*to = *from;
	for (size_t i = 0; i < to->outers; i++)
		to->outer[i].arn = mem_string(from->outer[i].arn);
}

void key_file_wipe(struct key_file *f)
{
	crypt_wipe(f->master, sizeof(f->master));
	for (size_t i = 0; i < f->outers; i++)
		crypt_wipe(f->outer[i].key, sizeof(f->outer[i].key));
}

void key_file_free(struct key_file *f)
{
	key_file_wipe(f);
	for (size_t i = 0; i < f->outers; i++)
		free(f->outer[i].arn);
	f->outers = 0;
}
