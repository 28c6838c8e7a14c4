/* tools/mm-export.c - export archived mail with its proof; docs/man/mm-export.1.md */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/json.h"
#include "base/limits.h"
#include "query/export.h"
#include "query/row_read.h"
#include "tools/cli.h"

static const struct cli_option options[] = {
	{ "archive", "NAME", "export from this archive", NULL },
	{ "to", "DIR", "the package's folder: new or empty", NULL },
	{ "as", "eml|mbox", "one file a message (default), or one file for all (mboxrd)", NULL },
	{ "limit", "N", "at most N messages", NULL },
	{ "case", "TEXT", "what it is for; goes into custody.json and the audit log", NULL },
};

static const struct cli_spec spec = {
	.program = "mm-export",
	.summary = "export archived mail with its proof",
	.arguments = "[QUERY]... | verify DIR",
	.options = options,
	.option_count = COUNT(options),
	.more = "\"mm-export verify DIR\" checks a package by itself; it needs no data "
	        "directory.\n",
};

/* The answer comes as a head, then for each hit a row and its bytes. */
struct writing {
	const struct cli *cli;
	const char *query;
	struct export *export;
	json_t *row; /* whose bytes come next */
	struct buf memory;
	uint64_t done;
	uint64_t total;
};

static enum rc begin(struct writing *w, const json_t *head, struct err *e)
{
	struct export_info info = {
		.who = json_string_value(json_object_get(head, "who")),
		.when_ms = clock_now_ms(),
		.archive = cli_get(w->cli, "archive"),
		.query = w->query,
		.canonical = json_string_value(json_object_get(head, "canonical")),
		.low = json_member_int(head, "low", INT64_MIN),
		.high = json_member_int(head, "high", INT64_MAX),
		.case_name = cli_get(w->cli, "case"),
		.version = "0.1",
	};
	const char *as = cli_get(w->cli, "as");

	info.has_audit_head =
	        audit_head_parse(&info.audit_head, json_member_text(head, "audit_head"));
	w->total = (uint64_t)json_member_int(head, "hits", 0);
	return export_open(&w->export, cli_get(w->cli, "to"),
	                   as && strcmp(as, "mbox") == 0 ? EXPORT_MBOX : EXPORT_EML, &info, e);
}

static void advance(struct writing *w)
{
	if (++w->done % 100 == 0)
		cli_progress(w->cli, "exported", w->done, w->total);
}

static enum rc on_row(void *arg, json_t *row, struct err *e)
{
	struct writing *w = arg;
	struct message_id id;
	const char *failure = json_string_value(json_object_get(row, "failure"));

	if (!w->export)
		return begin(w, row, e);
	if (failure) {
		advance(w);
		if (!id_parse(&id, json_member_text(row, "id")))
			return err_set(e, RC_INVALID, "a row has no id");
		return export_fail(w->export, &id, "read", failure, e);
	}
	json_decref(w->row);
	w->row = json_incref(row);
	return RC_OK;
}

static enum rc on_bytes(void *arg, struct slice raw, struct err *e)
{
	struct writing *w = arg;
	struct index_row row;
	enum rc rc;

	if (!w->row)
		return err_set(e, RC_INVALID, "bytes came without a row");
	rc = row_read(w->row, &row, &w->memory, e);
	if (rc == RC_OK)
		rc = export_add(w->export, &row, raw, e);
	json_decref(w->row);
	w->row = NULL;
	advance(w);
	return rc;
}

static void print_counts(const struct cli *c, const struct export_counts *n, const char *sums)
{
	if (c->json)
		printf("{\"found\":%" PRIu64 ",\"exported\":%" PRIu64 ",\"failed\":%" PRIu64
		       ",\"bytes\":%" PRIu64 ",\"sums_sha256\":\"%s\"}\n",
		       n->found, n->exported, n->failed, n->bytes, sums);
	else
		printf("exported %" PRIu64 " of %" PRIu64 " messages to %s; %" PRIu64
		       " failed (failures.csv)\n"
		       "sha256 of SHA256SUMS: %s\n",
		       n->exported, n->found, cli_get(c, "to"), n->failed, sums);
}

/* Who has the package can make all its checksums anew, but not the log's. */
static int account(struct cli *c, const struct export_counts *n, const char *sums)
{
	struct cli_answer a = { 0 };
	json_t *request = json_object();
	int status;

	json_put_text(request, "op", slice_str("exported"));
	json_put_text(request, "archive", slice_str(cli_get(c, "archive")));
	json_put_int(request, "messages", (int64_t)n->exported);
	json_put_int(request, "failed", (int64_t)n->failed);
	json_put_text(request, "sums_sha256", slice_str(sums));
	json_put_text(request, "case", slice_str(cli_get(c, "case") ? cli_get(c, "case") : ""));
	status = cli_request(c, request, &a);
	json_decref(a.result);
	return status;
}

static int finish(struct cli *c, struct writing *w, int status)
{
	struct export_counts counts;
	struct err e = { 0 };
	char sums[65];

	cli_progress_end(c);
	if (status != CLI_OK || !w->export) {
		export_abort(&w->export);
		return status;
	}
	if (export_close(&w->export, &counts, &e) != RC_OK)
		return cli_fail(c, &e);
	hex_encode(sums, counts.sums_sha256, sizeof(counts.sums_sha256));
	status = account(c, &counts, sums);
	print_counts(c, &counts, sums);
	if (status != CLI_OK) {
		fprintf(stderr,
		        "mm-export: %s is complete, but the audit log doesn't have its checksum\n",
		        cli_get(c, "to"));
		return status;
	}
	return counts.failed ? CLI_PARTLY : CLI_OK;
}

static int export_query(struct cli *c)
{
	char *query = cli_join(c);
	struct writing w = { .cli = c, .query = query };
	struct cli_answer a = { on_row, on_bytes, &w, NULL };
	json_t *request = json_object();
	int status;

	json_put_text(request, "op", slice_str("export"));
	json_put_text(request, "archive", slice_str(cli_get(c, "archive")));
	json_put(request, "query", json_of_slice(slice_str(query)));
	json_put_int(request, "limit", (int64_t)cli_number(c, "limit", 0));
	json_put_text(request, "case", slice_str(cli_get(c, "case") ? cli_get(c, "case") : ""));
	buf_init(&w.memory, LIMIT_REQUEST);
	status = finish(c, &w, cli_request(c, request, &a));
	json_decref(a.result);
	json_decref(w.row);
	buf_free(&w.memory);
	free(query);
	return status;
}

static void print_problem(void *arg, const char *path, const char *what)
{
	const struct cli *c = arg;
	json_t *row;

	if (!c->json) {
		printf("%s: %s\n", path, what);
		return;
	}
	row = json_object();
	json_put(row, "path", json_of_slice(slice_str(path)));
	json_put(row, "problem", json_of_slice(slice_str(what)));
	cli_print_json(row);
	json_decref(row);
}

static int verify(struct cli *c)
{
	struct export_report r;
	struct err e = { 0 };
	char sums[65];

	if (c->argument_count != 2)
		cli_usage(c, "verify takes the folder of a package");
	if (export_verify(c->arguments[1], print_problem, c, &r, &e) != RC_OK) {
		(void)cli_fail(c, &e);
		return CLI_PARTLY;
	}
	hex_encode(sums, r.sums_sha256, sizeof(r.sums_sha256));
	if (c->json)
		printf("{\"messages\":%" PRIu64 ",\"good\":%" PRIu64 ",\"failures\":%" PRIu64
		       ",\"problems\":%" PRIu64 ",\"sums_sha256\":\"%s\"}\n",
		       r.messages, r.good, r.failures, r.problems, sums);
	else
		printf("%" PRIu64 " of %" PRIu64 " messages are as exported; %" PRIu64
		       " problems; %" PRIu64 " could not be exported (failures.csv)\n"
		       "sha256 of SHA256SUMS: %s (to be compared with the one that mm-export "
		       "printed, or the audit log has: mm-audit list --event exported)\n",
		       r.good, r.messages, r.problems, r.failures, sums);
	return r.problems ? CLI_PARTLY : CLI_OK;
}

static int run(struct cli *c)
{
	const char *as = cli_get(c, "as");

	if (c->argument_count && strcmp(c->arguments[0], "verify") == 0 && !cli_get(c, "archive"))
		return verify(c);
	if (!cli_get(c, "archive"))
		cli_usage(c, "which archive? (--archive NAME)");
	if (!cli_get(c, "to"))
		cli_usage(c, "where to? (--to DIR)");
	if (as && strcmp(as, "eml") != 0 && strcmp(as, "mbox") != 0)
		cli_usage(c, "--as is eml or mbox");
	return export_query(c);
}

int main(int argc, char **argv)
{
	struct cli c;
	int status;

	cli_parse(&c, &spec, argc, argv);
	status = run(&c);
	return cli_end(&c, status);
}
