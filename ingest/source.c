#include "ingest/source.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

#define LARGEST_FILE (UINT64_C(64) << 30)

struct walk {
	const struct source_ops *ops;
	struct buf message; /* one at a time */
	unsigned depth;
};

static enum rc failed(struct walk *w, const char *name, const struct err *why, struct err *e)
{
	return w->ops->failed(w->ops->arg, name, why->text, e);
}

/* ---- one message a file ---- */

static enum rc give_file(struct walk *w, const char *path, const char *name, struct err *e)
{
	struct err why = { 0 };

	buf_clear(&w->message);
	if (file_read_all(path, &w->message, &why) != RC_OK)
		return failed(w, name, &why, e);
	return w->ops->message(w->ops->arg, name, buf_slice(&w->message), e);
}

/* ---- mbox ---- */

/* Reads a file line by line with a window that grows to the longest line. */
struct lines {
	struct file *file;
	struct buf window;
	uint64_t at; /* of the window in the file */
	size_t next; /* of the next line in the window */
	bool end;    /* nothing more to read */
};

static enum rc fill(struct lines *l, struct err *e)
{
	size_t got;
	enum rc rc;

	buf_drop(&l->window, l->next);
	l->at += l->next;
	l->next = 0;
	if (buf_reserve(&l->window, 1 << 20) != RC_OK)
		return err_set(e, RC_LIMIT, "a line is too long");
	rc = file_read_some(l->file, l->window.at + l->window.len, 1 << 20, l->at + l->window.len,
	                    &got, e);
	l->window.len += got;
	l->end = got < 1 << 20;
	return rc;
}

/* The next line with its line end; empty at the end of the file. */
static enum rc next_line(struct lines *l, struct slice *line, uint64_t *offset, struct err *e)
{
	for (;;) {
		struct slice rest = slice_from(buf_slice(&l->window), l->next);
		size_t lf = slice_find_byte(rest, '\n');

		if (lf != SIZE_MAX || l->end) {
			*line = lf != SIZE_MAX ? slice_part(rest, 0, lf + 1) : rest;
			*offset = l->at + l->next;
			l->next += line->len;
			return RC_OK;
		}
		enum rc rc = fill(l, e);

		if (rc != RC_OK)
			return rc;
	}
}

/* The line just given (the window may move) and the one behind it, which is not taken. */
static enum rc peek_behind(struct lines *l, struct slice *line, struct slice *behind, struct err *e)
{
	size_t len = line->len;
	enum rc rc;

	l->next -= len;
	for (;;) {
		struct slice both = slice_from(buf_slice(&l->window), l->next);
		struct slice rest = slice_from(both, len);
		size_t lf = slice_find_byte(rest, '\n');

		if (lf != SIZE_MAX || l->end) {
			*line = slice_part(both, 0, len);
			*behind = lf != SIZE_MAX ? slice_part(rest, 0, lf + 1) : rest;
			l->next += len;
			return RC_OK;
		}
		rc = fill(l, e);
		if (rc != RC_OK)
			return rc;
	}
}

static bool is_empty(struct slice line)
{
	return slice_equal(line, slice_str("\n")) || slice_equal(line, slice_str("\r\n"));
}

/* ">From ", ">>From ": one '>' goes. */
static struct slice unquote(struct slice line)
{
	size_t n = 0;

	while (n < line.len && line.at[n] == '>')
		n++;
	if (n && slice_equal(slice_part(line, n, 5), slice_str("From ")))
		return slice_from(line, 1);
	return line;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* "Thu Jan  1 00:00:00 2026" in any order and with zones: a time and a year. */
static bool has_date(struct slice line)
{
	bool time = false;
	bool year = false;

	for (size_t i = 1; i + 2 < line.len; i++)
		time = time || (line.at[i] == ':' && is_digit(line.at[i - 1]) &&
		                is_digit(line.at[i + 1]) && is_digit(line.at[i + 2]));
	while (line.len) {
		struct slice word = slice_trim(slice_cut(line, ' ', &line));

		year = year || (word.len == 4 && is_digit(word.at[0]) && is_digit(word.at[1]) &&
		                is_digit(word.at[2]) && is_digit(word.at[3]));
	}
	return time && year;
}

/* "Name:" in front. */
static bool is_header(struct slice line)
{
	size_t n = 0;

	while (n < line.len && line.at[n] > ' ' && line.at[n] < 0x7f && line.at[n] != ':')
		n++;
	return n > 0 && n < line.len && line.at[n] == ':';
}

struct mbox {
	struct walk *walk;
	const char *path;
	struct lines lines;
	uint64_t begin; /* of the message at hand; its "From " line */
	bool inside;
	bool too_long;
	size_t before_blank; /* length of the message without its last empty line */
	bool blank;          /* the last line was empty */
};

static enum rc give_message(struct mbox *m, struct err *e)
{
	char name[PATH_MAX + 32];
	struct slice raw = buf_slice(&m->walk->message);

	if (!m->inside)
		return RC_OK;
	if (m->blank)
		raw = slice_part(raw, 0, m->before_blank);
	(void)snprintf(name, sizeof(name), "%s#%llu", m->path, (unsigned long long)m->begin);
	if (m->too_long)
		return m->walk->ops->failed(m->walk->ops->arg, name, "the message is too long", e);
	return m->walk->ops->message(m->walk->ops->arg, name, raw, e);
}

static void begin_message(struct mbox *m, uint64_t offset)
{
	m->inside = true;
	m->begin = offset;
	m->blank = false;
	m->too_long = false;
	buf_clear(&m->walk->message);
}

static void add_line(struct mbox *m, struct slice line)
{
	m->blank = is_empty(line);
	if (m->blank)
		m->before_blank = m->walk->message.len;
	if (buf_add(&m->walk->message, unquote(line)) != RC_OK)
		m->too_long = true;
}

/* Does a "From " line begin a message? Programs that don't quote leave "From here on" in texts,
 * others write no empty line in front of it. So of three signs two must be there: an empty line in
 * front, a date (or Netscape's "-"), a header behind. */
static enum rc separates(struct mbox *m, struct slice *line, bool after_blank, bool *yes,
                         struct err *e)
{
	bool dated = has_date(*line) || slice_equal(slice_trim(*line), slice_str("From -"));
	struct slice next;
	enum rc rc;

	*yes = !m->inside || (after_blank && dated);
	if (*yes || (!after_blank && !dated))
		return RC_OK;
	rc = peek_behind(&m->lines, line, &next, e);
	*yes = rc == RC_OK && is_header(next);
	return rc;
}

static enum rc read_mbox(struct mbox *m, struct err *e)
{
	struct slice line;
	uint64_t offset;
	bool after_blank = true;
	enum rc rc;

	while ((rc = next_line(&m->lines, &line, &offset, e)) == RC_OK && line.len) {
		bool begins = false;

		if (slice_equal(slice_part(line, 0, 5), slice_str("From ")))
			rc = separates(m, &line, after_blank, &begins, e);
		if (rc == RC_OK && begins)
			rc = give_message(m, e);
		if (rc != RC_OK)
			return rc;
		if (begins)
			begin_message(m, offset);
		else if (m->inside)
			add_line(m, line);
		after_blank = is_empty(line);
	}
	return rc == RC_OK ? give_message(m, e) : rc;
}

static enum rc give_mbox(struct walk *w, const char *path, struct err *e)
{
	struct mbox m = { .walk = w, .path = path };
	struct err why = { 0 };
	enum rc rc = file_open(&m.lines.file, path, FILE_READ, &why);

	if (rc != RC_OK)
		return failed(w, path, &why, e);
	buf_init(&m.lines.window, 256u << 20);
	rc = read_mbox(&m, e);
	buf_free(&m.lines.window);
	file_close(&m.lines.file);
	return rc;
}

/* ---- folders ---- */

static enum rc give_path(struct walk *w, const char *path, struct err *e);

struct folder {
	struct walk *walk;
	const char *path;
	const char *name_as; /* a Maildir's own path; NULL elsewhere */
};

static enum rc give_entry(void *arg, const char *name, struct err *e)
{
	struct folder *f = arg;
	char *path = path_join(f->path, name);
	enum rc rc;

	if (f->name_as) {
		struct slice rest;
		char *plain = slice_string(slice_cut(slice_str(name), ':', &rest));
		char *stable = path_join(f->name_as, plain);

		rc = name[0] == '.' ? RC_OK : give_file(f->walk, path, stable, e);
		free(plain);
		free(stable);
	} else {
		rc = give_path(f->walk, path, e);
	}
	free(path);
	return rc;
}

static enum rc list(struct walk *w, const char *path, const char *name_as, struct err *e)
{
	struct folder f = { w, path, name_as };

	return dir_list(path, give_entry, &f, e);
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static enum rc give_maildir(struct walk *w, const char *path, struct err *e)
{
	static const char *const parts[] = { "cur", "new" };
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < COUNT(parts); i++) {
		char *part = path_join(path, parts[i]);

		if (is_folder(part))
			rc = list(w, part, path, e);
		free(part);
	}
	return rc;
}

static enum rc give_folder(struct walk *w, const char *path, struct err *e)
{
	char *cur = path_join(path, "cur");
	char *fresh = path_join(path, "new");
	bool maildir = is_folder(cur) && is_folder(fresh);
	enum rc rc;

	free(cur);
	free(fresh);
	if (w->depth >= 64)
		return w->ops->failed(w->ops->arg, path, "folders lie too deep", e);
	w->depth++;
	rc = maildir ? give_maildir(w, path, e) : list(w, path, NULL, e);
	w->depth--;
	return rc;
}

static bool is_mbox(const char *path)
{
	struct file *f;
	char head[5];
	size_t got = 0;

	if (file_open(&f, path, FILE_READ, NULL) != RC_OK)
		return false;
	if (file_read_some(f, head, sizeof(head), 0, &got, NULL) != RC_OK)
		got = 0;
	file_close(&f);
	return got == sizeof(head) && memcmp(head, "From ", sizeof(head)) == 0;
}

static enum rc give_path(struct walk *w, const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return w->ops->failed(w->ops->arg, path, strerror(errno), e);
	if (S_ISDIR(st.st_mode))
		return give_folder(w, path, e);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > LARGEST_FILE)
		return w->ops->failed(w->ops->arg, path, "not a file that can be read", e);
	return is_mbox(path) ? give_mbox(w, path, e) : give_file(w, path, path, e);
}

enum rc source_walk(const char *path, const struct source_ops *ops, struct err *e)
{
	struct walk w = { .ops = ops };
	char real[PATH_MAX];
	enum rc rc;

	if (!realpath(path, real))
		return ops->failed(ops->arg, path, strerror(errno), e);
	buf_init(&w.message, 128u << 20);
	rc = give_path(&w, real, e);
	buf_free(&w.message);
	return rc;
}
