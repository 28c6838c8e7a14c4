#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "query/export.h"
#include "query/package.h"
#include "query/row.h"

/*
 * A package is checked in four passes: the manifest line by line against the bytes, SHA256SUMS
 * against the files and the manifest, the folders against both, and the counts of custody.json
 * against what was found. The package may come from anywhere, so no path in it leaves its folder.
 */

#define LINE_MOST    (1u << 26)
#define MESSAGE_MOST (1u << 30)
#define CHUNK        65536

/* A file that the manifest or SHA256SUMS names. */
struct named {
	char *path;
	uint8_t sha[32];
	bool message; /* an EML file of the manifest */
	bool summed;
};

struct verify {
	const char *dir;
	void (*problem)(void *arg, const char *path, const char *what);
	void *arg;
	struct export_report *out;
	struct err *e;
	struct named *names; /* sorted by path once the manifest is read */
	size_t count;
	size_t room;
	uint64_t mbox_end;  /* of the last message in the mbox */
	const char *folder; /* being listed */
};

static void report(struct verify *v, const char *path, const char *fmt, ...) PRINTF(3, 4);

static void report(struct verify *v, const char *path, const char *fmt, ...)
{
	char text[600];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	v->out->problems++;
	/* Names of files that nobody named can be anything. */
	struct buf shown;

	buf_init(&shown, LINE_MOST);
	(void)!text_escape(slice_str(path), &shown);
	v->problem(v->arg, buf_text(&shown), text);
	buf_free(&shown);
}

/* ---- reading ---- */

/* A file's lines, without their LF. */
struct lines {
	struct file *f;
	struct buf wait;
	uint64_t at;
	size_t used; /* of `wait`: the line given last */
	bool cut;    /* the last line had no LF */
};

static enum rc lines_open(struct lines *l, const char *dir, const char *name, struct err *e)
{
	char *path = path_join(dir, name);
	enum rc rc = file_open(&l->f, path, FILE_READ, e);

	free(path);
	l->at = 0;
	l->used = 0;
	l->cut = false;
	buf_init(&l->wait, LINE_MOST);
	return rc;
}

static void lines_close(struct lines *l)
{
	file_close(&l->f);
	buf_free(&l->wait);
}

/* RC_NOTFOUND at the end. */
static enum rc lines_next(struct lines *l, struct slice *line, struct err *e)
{
	buf_drop(&l->wait, l->used);
	l->used = 0;
	for (size_t seen = 0;;) {
		size_t end = slice_find_byte(slice_from(buf_slice(&l->wait), seen), '\n');
		uint8_t more[CHUNK];
		size_t got;
		enum rc rc;

		if (end != SIZE_MAX) {
			*line = slice_part(buf_slice(&l->wait), 0, seen + end);
			l->used = seen + end + 1;
			return RC_OK;
		}
		seen = l->wait.len;
		rc = file_read_some(l->f, more, sizeof(more), l->at, &got, e);
		if (rc != RC_OK)
			return rc;
		l->at += got;
		if (got && buf_add(&l->wait, slice_of(more, got)) != RC_OK)
			return err_set(e, RC_LIMIT, "a line is too long");
		if (got)
			continue;
		*line = buf_slice(&l->wait);
		l->used = l->wait.len;
		l->cut = l->cut || l->used > 0;
		return l->used ? RC_OK : RC_NOTFOUND;
	}
}

static enum rc hash_file(const char *path, uint8_t sha[32], uint64_t *bytes, struct err *e)
{
	struct sha256 *h;
	struct file *f;
	uint8_t chunk[CHUNK];
	size_t got = 0;
	enum rc rc = file_open(&f, path, FILE_READ, e);

	*bytes = 0;
	if (rc != RC_OK)
		return rc;
	h = sha256_new();
	do {
		rc = file_read_some(f, chunk, sizeof(chunk), *bytes, &got, e);
		sha256_add(h, slice_of(chunk, got));
		*bytes += got;
	} while (rc == RC_OK && got == sizeof(chunk));
	sha256_end(&h, sha);
	file_close(&f);
	return rc;
}

/* Relative, without ".." and without what a shell or a terminal would read in another way. */
static bool is_safe_path(const char *path)
{
	size_t n = strlen(path);

	for (size_t i = 0; i < n; i++) {
		bool begins = i == 0 || path[i - 1] == '/';

		if (path[i] <= ' ' || path[i] >= 0x7f || path[i] == '\\')
			return false;
		if (begins && (path[i] == '.' || path[i] == '/'))
			return false;
	}
	return n > 0 && n < 256;
}

/* ---- pass 1: the manifest ---- */

static void remember(struct verify *v, const char *path, const uint8_t sha[32])
{
	if (v->count == v->room) {
		v->room = v->room ? 2 * v->room : 256;
		v->names = mem_resize(v->names, v->room * sizeof(*v->names));
	}
	v->names[v->count] = (struct named) { .path = mem_string(path), .message = true };
	memcpy(v->names[v->count++].sha, sha, 32);
}

struct entry {
	const char *path;
	const char *id;
	uint8_t sha[32];
	uint64_t bytes;
	bool mbox;
	uint64_t offset;
	uint64_t stored;
};

static bool get_number(const json_t *line, const char *key, uint64_t *out)
{
	const json_t *j = json_object_get(line, key);

	*out = json_is_integer(j) && json_integer_value(j) >= 0 ? (uint64_t)json_integer_value(j)
	                                                        : 0;
	return json_is_integer(j) && json_integer_value(j) >= 0;
}

static bool read_entry(const json_t *line, struct entry *en)
{
	const char *sha = json_string_value(json_object_get(line, "sha256"));

	en->path = json_string_value(json_object_get(line, "path"));
	en->id = json_string_value(json_object_get(line, "id"));
	en->mbox = json_object_get(line, "offset") != NULL;
	if (!en->path || !en->id || !sha || !is_safe_path(en->path) ||
	    !hex_decode(en->sha, 32, slice_str(sha)) || !get_number(line, "bytes", &en->bytes))
		return false;
	return !en->mbox || (get_number(line, "offset", &en->offset) &&
	                     get_number(line, "stored_bytes", &en->stored));
}

static bool check_eml(struct verify *v, const struct entry *en)
{
	char *path = path_join(v->dir, en->path);
	uint8_t sha[32];
	uint64_t bytes;
	enum rc rc = hash_file(path, sha, &bytes, v->e);
	bool same = rc == RC_OK && bytes == en->bytes && memcmp(sha, en->sha, 32) == 0;

	remember(v, en->path, en->sha);
	if (rc == RC_NOTFOUND)
		report(v, en->path, "is missing");
	else if (rc != RC_OK)
		report(v, en->path, "can't be read: %s", v->e->text);
	else if (bytes != en->bytes)
		report(v, en->path, "has %llu bytes, the manifest says %llu",
		       (unsigned long long)bytes, (unsigned long long)en->bytes);
	else if (!same)
		report(v, en->path, "has another sha256 than the manifest says");
	free(path);
	return same;
}

/* The message between its offsets, with its quoting taken off. */
static enum rc read_stored(struct verify *v, const struct entry *en, struct buf *raw)
{
	char *path = path_join(v->dir, en->path);
	struct buf stored;
	struct file *f;
	uint64_t size = 0;
	enum rc rc = file_open(&f, path, FILE_READ, v->e);

	free(path);
	if (rc != RC_OK)
		return rc;
	buf_init(&stored, MESSAGE_MOST);
	rc = file_size(f, &size, v->e);
	if (rc == RC_OK && (en->offset > size || en->stored > size - en->offset))
		rc = err_set(v->e, RC_CORRUPT, "ends before this message does");
	if (rc == RC_OK)
		rc = buf_reserve(&stored, en->stored);
	if (rc == RC_OK)
		rc = file_read_at(f, stored.at, en->stored, en->offset, v->e);
	if (rc == RC_OK)
		rc = mbox_unquote(slice_of(stored.at, en->stored), raw);
	buf_free(&stored);
	file_close(&f);
	return rc;
}

static bool check_mbox(struct verify *v, const struct entry *en)
{
	struct buf raw;
	uint8_t sha[32];
	bool same = false;

	buf_init(&raw, MESSAGE_MOST);
	if (strcmp(en->path, PACKAGE_MBOX) != 0)
		report(v, en->path, "is not the mbox of a package");
	else if (read_stored(v, en, &raw) != RC_OK)
		report(v, en->path, "message %s: %s", en->id, v->e->text);
	else if (en->offset < v->mbox_end)
		report(v, en->path, "message %s overlaps the one before", en->id);
	else {
		sha256(sha, buf_slice(&raw));
		same = raw.len == en->bytes && memcmp(sha, en->sha, 32) == 0;
		if (!same)
			report(v, en->path, "message %s has other bytes than the manifest says",
			       en->id);
	}
	v->mbox_end = en->offset + en->stored;
	buf_free(&raw);
	return same;
}

static void check_line(struct verify *v, struct slice text)
{
	json_error_t error;
	json_t *line = json_loadb((const char *)text.at, text.len, JSON_REJECT_DUPLICATES, &error);
	struct entry en = { 0 };

	v->out->messages++;
	if (!line || !read_entry(line, &en))
		report(v, PACKAGE_MANIFEST, "line %llu can't be read",
		       (unsigned long long)v->out->messages);
	else if (en.mbox ? check_mbox(v, &en) : check_eml(v, &en))
		v->out->good++;
	json_decref(line);
}

static int by_path(const void *a, const void *b)
{
	const struct named *x = a;
	const struct named *y = b;

	return strcmp(x->path, y->path);
}

static struct named *find(const struct verify *v, const char *path)
{
	struct named key = { .path = (char *)(uintptr_t)path };

	return v->count ? bsearch(&key, v->names, v->count, sizeof(key), by_path) : NULL;
}

static enum rc check_manifest(struct verify *v)
{
	struct lines l;
	struct slice line;
	enum rc rc = lines_open(&l, v->dir, PACKAGE_MANIFEST, v->e);

	if (rc == RC_NOTFOUND) {
		report(v, PACKAGE_MANIFEST, "is missing: the package is not finished");
		return RC_OK;
	}
	while (rc == RC_OK && (rc = lines_next(&l, &line, v->e)) == RC_OK)
		check_line(v, line);
	if (l.cut)
		report(v, PACKAGE_MANIFEST, "the last line is cut off");
	lines_close(&l);
	if (v->count)
		qsort(v->names, v->count, sizeof(*v->names), by_path);
	for (size_t i = 1; i < v->count; i++)
		if (strcmp(v->names[i].path, v->names[i - 1].path) == 0)
			report(v, v->names[i].path, "stands in the manifest twice");
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* ---- pass 2: SHA256SUMS ---- */

static const char *const package_files[] = { PACKAGE_MANIFEST, PACKAGE_FAILURES, PACKAGE_INDEX,
	                                     PACKAGE_SUMMARY,  PACKAGE_CUSTODY,  PACKAGE_README,
	                                     PACKAGE_MBOX };

static void check_sum(struct verify *v, const char *path, const uint8_t want[32], bool seen[])
{
	struct named *known = find(v, path);
	uint8_t sha[32];
	uint64_t bytes;
	char *full;

	for (size_t i = 0; i < COUNT(package_files); i++)
		if (strcmp(path, package_files[i]) == 0)
			seen[i] = true;
	if (known) {
		known->summed = true;
		if (memcmp(known->sha, want, 32) != 0)
			report(v, path, "manifest and %s differ", PACKAGE_SUMS);
		return;
	}
	full = path_join(v->dir, path);
	if (hash_file(full, sha, &bytes, v->e) != RC_OK)
		report(v, path, "is in %s and can't be read", PACKAGE_SUMS);
	else if (memcmp(sha, want, 32) != 0)
		report(v, path, "has another sha256 than %s says", PACKAGE_SUMS);
	else if (strncmp(path, PACKAGE_NATIVE "/", 7) == 0 && strcmp(path, PACKAGE_MBOX) != 0)
		report(v, path, "is in %s and not in the manifest", PACKAGE_SUMS);
	free(full);
}

/* "hex, two blanks, path" */
static void check_sum_line(struct verify *v, struct slice line, bool seen[])
{
	uint8_t want[32];
	char *path = slice_string(slice_from(line, 66));

	if (line.len < 67 || !hex_decode(want, 32, slice_part(line, 0, 64)) || line.at[64] != ' ' ||
	    line.at[65] != ' ' || !is_safe_path(path))
		report(v, PACKAGE_SUMS, "a line can't be read");
	else
		check_sum(v, path, want, seen);
	free(path);
}

static enum rc check_sums(struct verify *v)
{
	bool seen[COUNT(package_files)] = { false };
	char *full = path_join(v->dir, PACKAGE_SUMS);
	struct lines l;
	struct slice line;
	uint64_t bytes;
	enum rc rc = hash_file(full, v->out->sums_sha256, &bytes, v->e);

	free(full);
	if (rc == RC_OK)
		rc = lines_open(&l, v->dir, PACKAGE_SUMS, v->e);
	if (rc == RC_NOTFOUND) {
		report(v, PACKAGE_SUMS, "is missing");
		return RC_OK;
	}
	if (rc != RC_OK)
		return rc;
	while (rc == RC_OK && (rc = lines_next(&l, &line, v->e)) == RC_OK)
		check_sum_line(v, line, seen);
	lines_close(&l);
	for (size_t i = 0; i < COUNT(package_files); i++)
		if (!seen[i] && (strcmp(package_files[i], PACKAGE_MBOX) != 0 || v->mbox_end))
			report(v, package_files[i], "is not in %s", PACKAGE_SUMS);
	for (size_t i = 0; i < v->count; i++)
		if (v->names[i].message && !v->names[i].summed)
			report(v, v->names[i].path, "is not in %s", PACKAGE_SUMS);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

/* ---- pass 3: files that nobody named ---- */

static enum rc check_name(void *arg, const char *name, struct err *e)
{
	struct verify *v = arg;
	char *path = v->folder[0] ? path_join(v->folder, name) : mem_string(name);
	char *full = path_join(v->dir, path);
	const char *outer = v->folder;
	bool known = strcmp(path, PACKAGE_SUMS) == 0 || find(v, path);
	enum rc rc = RC_OK;

	for (size_t i = 0; i < COUNT(package_files); i++)
		known = known || strcmp(path, package_files[i]) == 0;
	if (!known && dir_exists(full) && strlen(path) < 256 &&
	    strncmp(path, PACKAGE_NATIVE, strlen(PACKAGE_NATIVE)) == 0) {
		v->folder = path;
		rc = dir_list(full, check_name, v, e);
		v->folder = outer;
	} else if (!known) {
		report(v, path, "does not belong to the package");
	}
	free(full);
	free(path);
	return rc;
}

/* ---- pass 4: the counts ---- */

/* Rows of a CSV file behind its head; a line end within quotes ends no row. */
static enum rc count_rows(struct verify *v, const char *name, uint64_t *rows)
{
	struct lines l;
	struct slice line;
	bool quoted = false;
	enum rc rc = lines_open(&l, v->dir, name, v->e);

	*rows = 0;
	while (rc == RC_OK && (rc = lines_next(&l, &line, v->e)) == RC_OK) {
		for (size_t i = 0; i < line.len; i++)
			quoted = quoted != (line.at[i] == '"');
		*rows += !quoted;
	}
	if (rc == RC_NOTFOUND && l.f)
		rc = RC_OK;
	*rows -= *rows > 0;
	lines_close(&l);
	return rc;
}

static enum rc check_counts(struct verify *v)
{
	struct buf text;
	char *path = path_join(v->dir, PACKAGE_CUSTODY);
	json_error_t error;
	json_t *j = NULL;
	const json_t *counts;
	uint64_t found;
	uint64_t exported;
	uint64_t failed;

	buf_init(&text, LINE_MOST);
	if (count_rows(v, PACKAGE_FAILURES, &v->out->failures) != RC_OK)
		report(v, PACKAGE_FAILURES, "can't be read");
	if (file_read_all(path, &text, v->e) == RC_OK)
		j = json_loadb(buf_text(&text), text.len, 0, &error);
	counts = json_object_get(j, "counts");
	if (!get_number(counts, "found", &found) || !get_number(counts, "exported", &exported) ||
	    !get_number(counts, "failed", &failed))
		report(v, PACKAGE_CUSTODY, "has no counts");
	else if (found != exported + failed || exported != v->out->messages ||
	         failed != v->out->failures)
		report(v, PACKAGE_CUSTODY,
		       "counts %llu found, %llu exported, %llu failed; the package has %llu and "
		       "%llu failures",
		       (unsigned long long)found, (unsigned long long)exported,
		       (unsigned long long)failed, (unsigned long long)v->out->messages,
		       (unsigned long long)v->out->failures);
	json_decref(j);
	buf_free(&text);
	free(path);
	return RC_OK;
}

enum rc export_verify(const char *dir,
                      void (*problem)(void *arg, const char *path, const char *what), void *arg,
                      struct export_report *out, struct err *e)
{
	struct err unused;
	struct verify v = {
		.dir = dir, .problem = problem, .arg = arg, .out = out, .e = e ? e : &unused
	};
	enum rc rc;

	*out = (struct export_report) { 0 };
	if (!dir_exists(dir))
		return err_set(e, RC_NOTFOUND, "%s is no folder", dir);
	crypt_init();
	rc = check_manifest(&v);
	if (rc == RC_OK)
		rc = check_sums(&v);
	v.folder = "";
	if (rc == RC_OK)
		rc = dir_list(dir, check_name, &v, v.e);
	if (rc == RC_OK)
		rc = check_counts(&v);
	for (size_t i = 0; i < v.count; i++)
		free(v.names[i].path);
	free(v.names);
	return rc;
}
