#include "query/export.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/limits.h"
#include "query/package.h"
#include "query/parse.h"
#include "query/row.h"
#include "query/text.h"

#define FOLDER_FILES 1000
#define LINE_LIMIT   (1u << 26)
#define PATH_ROOM    64 /* "native/NNNN/ID.eml", and room for more folders */

struct export
{
	enum export_kind kind;
	char *dir;
	char *archive;
	json_t *custody;
	struct export_counts counts;
	struct out manifest;
	struct out failures;
	struct out index;
	struct out sums;
	struct out mbox;
	struct buf line; /* what is being put together */
	bool broken;     /* a file could not be written: there will be no manifest */
};

static const char index_head[] = "id,archive,received,sent,from,to,cc,bcc,subject,message_id,bytes,"
                                 "sha256,envelope_from,envelope_to,has_attachment,parse_problem,"
                                 "path\r\n";

/* ---- beginning ---- */

static void set_text(json_t *j, const char *key, const char *text)
{
	struct buf clean;

	if (!text)
		return;
	buf_init(&clean, LINE_LIMIT);
	if (text_utf8(slice_str(text), &clean) == RC_OK)
		(void)json_object_set_new(j, key, json_string(buf_text(&clean)));
	buf_free(&clean);
}

static void set_time(json_t *j, const char *key, int64_t ms)
{
	char text[25];

	time_format(text, ms);
	(void)json_object_set_new(j, key, json_string(text));
}

static json_t *custody_of(const struct export_info *info, enum export_kind kind)
{
	json_t *j = json_pack("{s:s, s:s}", "tool", "mm-export", "format",
	                      kind == EXPORT_MBOX ? "mbox (mboxrd)" : "eml");

	set_text(j, "version", info->version);
	set_text(j, "who", info->who);
	set_time(j, "when", info->when_ms);
	(void)json_object_set_new(j, "zone", json_string(QUERY_ZONE));
	set_text(j, "case", info->case_name);
	set_text(j, "archive", info->archive);
	set_text(j, "query", info->query);
	set_text(j, "canonical", info->canonical);
	if (info->low > INT64_MIN)
		set_time(j, "received_from", info->low);
	if (info->high < INT64_MAX)
		set_time(j, "received_before", info->high);
	if (info->has_audit_head) {
		json_t *head = json_object();
		char hex[65];

		hex_encode(hex, info->audit_head.hash, 32);
		(void)json_object_set_new(head, "entries",
		                          json_integer((json_int_t)info->audit_head.entries));
		(void)json_object_set_new(head, "hash", json_string(hex));
		set_time(head, "when", info->audit_head.when_ms);
		(void)json_object_set_new(j, "audit_head", head);
	}
	return j;
}

static enum rc must_be_empty(void *arg, const char *name, struct err *e)
{
	return err_set(e, RC_EXISTS, "%s is not empty (%s): an export wants a new folder",
	               (const char *)arg, name);
}

static enum rc make_folder(struct export *x, const char *name, struct err *e)
{
	char *path = path_join(x->dir, name);
	enum rc rc = dir_make(path, e);

	free(path);
	return rc;
}

static enum rc open_files(struct export *x, struct err *e)
{
	enum rc rc = make_folder(x, PACKAGE_NATIVE, e);

	if (rc == RC_OK)
		rc = out_open(&x->manifest, x->dir, PACKAGE_PART, e);
	if (rc == RC_OK)
		rc = out_open(&x->failures, x->dir, PACKAGE_FAILURES, e);
	if (rc == RC_OK)
		rc = out_open(&x->index, x->dir, PACKAGE_INDEX, e);
	if (rc == RC_OK)
		rc = out_open(&x->sums, x->dir, PACKAGE_SUMS, e);
	if (rc == RC_OK && x->kind == EXPORT_MBOX)
		rc = out_open(&x->mbox, x->dir, PACKAGE_MBOX, e);
	if (rc == RC_OK)
		rc = out_str(&x->failures, "id,stage,reason\r\n", e);
	if (rc == RC_OK)
		rc = out_str(&x->index, index_head, e);
	return rc;
}

enum rc export_open(struct export **out, const char *dir, enum export_kind kind,
                    const struct export_info *info, struct err *e)
{
	struct export *x;
	enum rc rc = dir_make(dir, e);

	*out = NULL;
	crypt_init();
	if (rc == RC_OK)
		rc = dir_list(dir, must_be_empty, (void *)(uintptr_t)dir, e);
	if (rc != RC_OK)
		return rc;
	x = mem_new(sizeof(*x));
	x->kind = kind;
	x->dir = mem_string(dir);
	x->archive = mem_string(info->archive ? info->archive : "");
	x->custody = custody_of(info, kind);
	buf_init(&x->line, LINE_LIMIT);
	rc = open_files(x, e);
	if (rc != RC_OK) {
		export_abort(&x);
		return rc;
	}
	*out = x;
	return RC_OK;
}

void export_abort(struct export **xp)
{
	struct export *x = *xp;

	if (!x)
		return;
	out_drop(&x->manifest);
	out_drop(&x->failures);
	out_drop(&x->index);
	out_drop(&x->sums);
	out_drop(&x->mbox);
	buf_free(&x->line);
	json_decref(x->custody);
	free(x->archive);
	free(x->dir);
	free(x);
	*xp = NULL;
}

/* ---- messages ---- */

static enum rc add_sum(struct export *x, const uint8_t sha[32], const char *path, struct err *e)
{
	char hex[65];

	hex_encode(hex, sha, 32);
	buf_clear(&x->line);
	MUST(buf_addf(&x->line, "%s  %s\n", hex, path) == RC_OK);
	return out_add(&x->sums, buf_slice(&x->line), e);
}

/* Makes the path and, for the first of a folder, the folder. */
static enum rc eml_path(struct export *x, const struct message_id *id, char path[PATH_ROOM],
                        struct err *e)
{
	uint64_t folder = x->counts.exported / FOLDER_FILES + 1;
	char text[ID_TEXT + 1];

	id_format(text, id);
	(void)snprintf(path, PATH_ROOM, PACKAGE_NATIVE "/%04llu", (unsigned long long)folder);
	if (x->counts.exported % FOLDER_FILES == 0) {
		enum rc rc = make_folder(x, path, e);

		if (rc != RC_OK)
			return rc;
	}
	(void)snprintf(path, PATH_ROOM, PACKAGE_NATIVE "/%04llu/%s.eml", (unsigned long long)folder,
	               text);
	return RC_OK;
}

static enum rc write_eml(struct export *x, const char *path, struct slice raw, struct err *e)
{
	struct file *f;
	char *full = path_join(x->dir, path);
	enum rc rc = file_open(&f, full, FILE_CREATE, e);

	free(full);
	if (rc != RC_OK)
		return rc;
	rc = file_write_at(f, raw, 0, e);
	file_close(&f);
	return rc;
}

/* An address that can stand in the line that begins a message. */
static bool is_from_address(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] <= ' ' || s.at[i] >= 0x7f)
			return false;
	return s.len > 0 && s.len <= LIMIT_SMTP_PATH;
}

/* "From sender Thu Jan  1 00:00:00 1970", RFC 4155: the time is UTC. */
static enum rc write_from_line(struct export *x, const struct index_row *row, struct err *e)
{
	static const char days[] = "ThuFriSatSunMonTueWed";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct slice sender = is_from_address(row->envelope_from) ? row->envelope_from
	                                                          : slice_str("MAILER-DAEMON");
	int64_t day = day_of_ms(row->received_ms);
	unsigned seconds = (unsigned)((row->received_ms - day * MS_PER_DAY) / 1000);
	int64_t year;
	unsigned month;
	unsigned mday;

	civil_from_days(day, &year, &month, &mday);
	buf_clear(&x->line);
	MUST(buf_addf(&x->line, "From %.*s %.3s %.3s %2u %02u:%02u:%02u %lld\n", (int)sender.len,
	              (const char *)sender.at, days + 3 * (((day % 7) + 7) % 7),
	              months + (size_t)3 * (month - 1), mday, seconds / 3600, seconds / 60 % 60,
	              seconds % 60, (long long)year) == RC_OK);
	return out_add(&x->mbox, buf_slice(&x->line), e);
}

static enum rc piece_to_mbox(void *arg, struct slice piece, struct err *e)
{
	return out_add(arg, piece, e);
}

static enum rc write_mbox(struct export *x, const struct index_row *row, struct slice raw,
                          uint64_t *offset, uint64_t *stored, struct err *e)
{
	bool ends = raw.len && raw.at[raw.len - 1] == '\n';
	enum rc rc = write_from_line(x, row, e);

	*offset = x->mbox.at;
	if (rc == RC_OK)
		rc = mbox_pieces(raw, piece_to_mbox, &x->mbox, e);
	*stored = x->mbox.at - *offset;
	return rc == RC_OK ? out_str(&x->mbox, ends ? "\n" : "\n\n", e) : rc;
}

static enum rc add_manifest(struct export *x, json_t *line, struct err *e)
{
	char *text = json_dumps(line, JSON_COMPACT);
	enum rc rc;

	MUST(text);
	rc = out_str(&x->manifest, text, e);
	free(text);
	return rc == RC_OK ? out_str(&x->manifest, "\n", e) : rc;
}

/* The row's own names, so that manifest, index and mm-search --json agree. */
static json_t *manifest_line(const json_t *row, const char *path)
{
	static const char *const keys[] = { "sha256",     "bytes",         "id",
		                            "archive",    "received",      "sent",
		                            "message_id", "envelope_from", "envelope_to" };
	json_t *line = json_pack("{s:s}", "path", path);

	for (size_t i = 0; i < COUNT(keys); i++)
		(void)json_object_set(line, keys[i], json_object_get(row, keys[i]));
	return line;
}

/* One cell of any JSON value; an array has its values with "; " in between. */
static enum rc add_cell(const json_t *value, struct buf *out)
{
	struct buf text;
	enum rc rc = RC_OK;
	size_t i;
	json_t *item;

	buf_init(&text, LINE_LIMIT);
	if (json_is_string(value))
		rc = buf_add_str(&text, json_string_value(value));
	else if (json_is_integer(value))
		rc = buf_addf(&text, "%lld", (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		rc = buf_add_str(&text, json_is_true(value) ? "true" : "false");
	json_array_foreach(value, i, item)
	{
		if (rc == RC_OK)
			rc = buf_addf(&text, "%s%s", i ? "; " : "", json_string_value(item));
	}
	if (rc == RC_OK)
		rc = csv_cell(buf_slice(&text), out);
	buf_free(&text);
	return rc;
}

static enum rc add_index(struct export *x, json_t *row, const char *path, struct err *e)
{
	struct slice head = slice_of(index_head, sizeof(index_head) - 3);
	enum rc rc = RC_OK;

	buf_clear(&x->line);
	(void)json_object_set_new(row, "path", json_string(path));
	while (head.len && rc == RC_OK) {
		struct slice name = slice_cut(head, ',', &head);
		char *key = slice_string(name);

		rc = add_cell(json_object_get(row, key), &x->line);
		if (rc == RC_OK)
			rc = buf_add_str(&x->line, head.len ? "," : "\r\n");
		free(key);
	}
	if (rc != RC_OK)
		return err_set(e, rc, "%s: a row is too long", PACKAGE_INDEX);
	return out_add(&x->index, buf_slice(&x->line), e);
}

/* What is said about a message once its bytes are written. */
static enum rc add_lines(struct export *x, const struct index_row *row, const char *path,
                         const uint64_t *place, struct err *e)
{
	json_t *j = row_json(row, x->archive);
	json_t *line;
	enum rc rc;

	MUST(j);
	line = manifest_line(j, path);
	if (place) {
		(void)json_object_set_new(line, "offset", json_integer((json_int_t)place[0]));
		(void)json_object_set_new(line, "stored_bytes", json_integer((json_int_t)place[1]));
	}
	rc = add_manifest(x, line, e);
	if (rc == RC_OK)
		rc = add_index(x, j, path, e);
	if (rc == RC_OK && !place)
		rc = add_sum(x, row->sha256, path, e);
	json_decref(line);
	json_decref(j);
	return rc;
}

static enum rc add_message(struct export *x, const struct index_row *row, struct slice raw,
                           struct err *e)
{
	uint64_t place[2];
	char path[PATH_ROOM] = PACKAGE_MBOX;
	bool mbox = x->kind == EXPORT_MBOX;
	enum rc rc = mbox ? RC_OK : eml_path(x, &row->id, path, e);

	if (rc != RC_OK)
		return rc;
	rc = mbox ? write_mbox(x, row, raw, &place[0], &place[1], e) : write_eml(x, path, raw, e);
	if (rc == RC_EXISTS)
		return export_fail(x, &row->id, "write", "this id is in the package already", e);
	if (rc == RC_OK)
		rc = add_lines(x, row, path, mbox ? place : NULL, e);
	if (rc != RC_OK)
		return rc;
	x->counts.found++;
	x->counts.exported++;
	x->counts.bytes += raw.len;
	return RC_OK;
}

enum rc export_add(struct export *x, const struct index_row *row, struct slice raw, struct err *e)
{
	uint8_t sha[32];
	enum rc rc;

	sha256(sha, raw);
	if (memcmp(sha, row->sha256, 32) != 0)
		return export_fail(x, &row->id, "verify",
		                   "the bytes don't have the hash recorded at receipt", e);
	rc = add_message(x, row, raw, e);
	x->broken = x->broken || rc != RC_OK;
	return rc;
}

enum rc export_fail(struct export *x, const struct message_id *id, const char *stage,
                    const char *reason, struct err *e)
{
	char text[ID_TEXT + 1];
	enum rc rc;

	id_format(text, id);
	buf_clear(&x->line);
	MUST(buf_addf(&x->line, "%s,%s,", text, stage) == RC_OK);
	rc = csv_cell(slice_str(reason), &x->line);
	if (rc == RC_OK)
		rc = buf_add_str(&x->line, "\r\n");
	if (rc == RC_OK)
		rc = out_add(&x->failures, buf_slice(&x->line), e);
	x->counts.found++;
	x->counts.failed++;
	x->broken = x->broken || rc != RC_OK;
	return rc;
}

/* ---- the end ---- */

static const char readme_head[] =
        "Export of archived mail\n"
        "=======================\n\n"
        "manifest.jsonl  one line of JSON for each message: path, sha256 (of the message), bytes,\n"
        "                id, times of receipt and sending (UTC), Message-ID, envelope\n"
        "native/         the messages, byte for byte as they were received\n"
        "failures.csv    messages that could not be exported, and why; empty but for its head\n"
        "                when there are none\n"
        "index.csv       one row for each message, for spreadsheets (a cell that a spreadsheet\n"
        "                could take for a formula begins with an apostrophe)\n"
        "summary.csv     counts: found = exported + failed\n"
        "custody.json    who exported, when, by what query from which archive, with what version;\n"
        "                the head of the archive's audit log at that time\n"
        "SHA256SUMS      checksums of all these files\n\n"
        "To check that nothing was changed, lost or added, without any special program:\n\n"
        "    sha256sum -c SHA256SUMS\n"
        "    find . ! -type d ! -path ./SHA256SUMS | wc -l\n"
        "    wc -l <SHA256SUMS\n\n"
        "The first prints one line for each file, and says FAILED where a file isn't what it was\n"
        "or is lost; where none was added, the other two print the same number. Whoever made all\n"
        "checksums anew is found by that of SHA256SUMS itself (sha256sum SHA256SUMS): mm-export\n"
        "printed it, and the archive's audit log has it (mm-audit list --event exported). A "
        "package\n"
        "without manifest.jsonl was not finished.\n";

static const char readme_eml[] =
        "\nEach file native/NNNN/ID.eml is one message. Its checksum in SHA256SUMS is the one "
        "that\n"
        "was recorded when the message was received, and stands in manifest.jsonl too.\n";

static const char readme_mbox[] =
        "\nnative/mail.mbox holds all messages in the mboxrd format. Before each stands a line\n"
        "\"From SENDER DATE\" that ends in LF. Then come the bytes of the message with their line\n"
        "ends as they were received (most often CRLF); before every line that begins with \"From "
        "\",\n"
        "or with one or more \">\" and then \"From \", stands one \">\" more. A line begins at "
        "the\n"
        "message's first byte and after each LF. Behind the message stand one LF, when the "
        "message\n"
        "itself doesn't end in one, and one empty line (LF).\n\n"
        "manifest.jsonl gives, for each message, the offset of its first byte in the file and\n"
        "stored_bytes, its length there. The exact message, whose length and checksum stand "
        "beside,\n"
        "is had by taking one \">\" away from each such line. In Python:\n\n"
        "    import hashlib, json, re\n"
        "    box = open('native/mail.mbox', 'rb')\n"
        "    for line in open('manifest.jsonl', encoding='utf-8'):\n"
        "        m = json.loads(line)\n"
        "        box.seek(m['offset'])\n"
        "        stored = box.read(m['stored_bytes'])\n"
        "        raw = re.sub(rb'(^|\\n)>(>*From )', rb'\\1\\2', stored)\n"
        "        assert hashlib.sha256(raw).hexdigest() == m['sha256'], m['id']\n";

/* A small file at the end, with its line in SHA256SUMS. */
static enum rc write_file(struct export *x, const char *name, const char *const *parts,
                          size_t count, struct err *e)
{
	struct out o;
	uint8_t sha[32];
	enum rc rc = out_open(&o, x->dir, name, e);

	for (size_t i = 0; i < count && rc == RC_OK; i++)
		rc = out_str(&o, parts[i], e);
	if (rc == RC_OK)
		rc = out_end(&o, sha, e);
	if (rc == RC_OK)
		rc = add_sum(x, sha, name, e);
	out_drop(&o);
	return rc;
}

static enum rc write_custody(struct export *x, struct err *e)
{
	const struct export_counts *c = &x->counts;
	json_t *counts = json_pack("{s:I, s:I, s:I, s:I}", "found", (json_int_t)c->found,
	                           "exported", (json_int_t)c->exported, "failed",
	                           (json_int_t)c->failed, "bytes", (json_int_t)c->bytes);
	char *text;
	enum rc rc;

	set_time(x->custody, "finished", clock_now_ms());
	(void)json_object_set_new(x->custody, "counts", counts);
	text = json_dumps(x->custody, JSON_INDENT(2));
	MUST(text);
	rc = write_file(x, PACKAGE_CUSTODY, (const char *const[]) { text, "\n" }, 2, e);
	free(text);
	return rc;
}

static enum rc write_summary(struct export *x, struct err *e)
{
	static const char head[] = "archive,found,exported,failed,bytes\r\n";
	const struct export_counts *c = &x->counts;
	struct buf row;
	enum rc rc;

	buf_init(&row, LINE_LIMIT);
	rc = csv_cell(slice_str(x->archive), &row);
	if (rc == RC_OK)
		rc = buf_addf(&row, ",%llu,%llu,%llu,%llu\r\n", (unsigned long long)c->found,
		              (unsigned long long)c->exported, (unsigned long long)c->failed,
		              (unsigned long long)c->bytes);
	if (rc == RC_OK)
		rc = write_file(x, PACKAGE_SUMMARY, (const char *const[]) { head, buf_text(&row) },
		                2, e);
	buf_free(&row);
	return rc;
}

static enum rc end_file(struct export *x, struct out *o, const char *name, struct err *e)
{
	uint8_t sha[32];
	enum rc rc = out_end(o, sha, e);

	return rc == RC_OK ? add_sum(x, sha, name, e) : rc;
}

/* Everything but the manifest's name, synced. */
static enum rc finish_files(struct export *x, struct err *e)
{
	bool mbox = x->kind == EXPORT_MBOX;
	const char *const readme[] = { readme_head, mbox ? readme_mbox : readme_eml };
	enum rc rc = end_file(x, &x->manifest, PACKAGE_MANIFEST, e);

	if (rc == RC_OK)
		rc = end_file(x, &x->failures, PACKAGE_FAILURES, e);
	if (rc == RC_OK)
		rc = end_file(x, &x->index, PACKAGE_INDEX, e);
	if (rc == RC_OK && mbox)
		rc = end_file(x, &x->mbox, PACKAGE_MBOX, e);
	if (rc == RC_OK)
		rc = write_custody(x, e);
	if (rc == RC_OK)
		rc = write_summary(x, e);
	if (rc == RC_OK)
		rc = write_file(x, PACKAGE_README, readme, COUNT(readme), e);
	if (rc == RC_OK)
		rc = out_end(&x->sums, x->counts.sums_sha256, e);
	return rc == RC_OK ? dir_sync_all(x->dir, e) : rc;
}

static enum rc publish(struct export *x, struct err *e)
{
	char *part = path_join(x->dir, PACKAGE_PART);
	char *name = path_join(x->dir, PACKAGE_MANIFEST);
	enum rc rc = file_rename(part, name, e);

	free(part);
	free(name);
	return rc == RC_OK ? dir_sync(x->dir, e) : rc;
}

enum rc export_close(struct export **xp, struct export_counts *counts, struct err *e)
{
	struct export *x = *xp;
	enum rc rc = RC_OK;

	if (x->broken)
		rc = err_set(e, RC_IO, "%s: the package could not be written in full", x->dir);
	if (rc == RC_OK)
		rc = finish_files(x, e);
	if (rc == RC_OK)
		rc = publish(x, e);
	if (counts)
		*counts = x->counts;
	export_abort(xp);
	return rc;
}
