/* tools/mm-search.c - find archived mail; docs/man/mm-search.1.md */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/limits.h"
#include "query/row.h"
#include "query/row_read.h"
#include "tools/cli.h"

static const struct cli_option options[] = {
	{ "archive", "NAME", "search this archive", NULL },
	{ "count", NULL, "print the number of hits", NULL },
	{ "ids", NULL, "print the ids of the hits", NULL },
	{ "limit", "N", "at most N hits (no limit by default)", NULL },
	{ "sort", "ORDER", "newest (default), oldest, sent, -sent, largest, smallest, rank", NULL },
	{ "explain", NULL, "show how the query was understood, and search nothing", NULL },
	{ "show", "ID", "print one message for a reader", NULL },
	{ "raw", "ID", "print one message's exact bytes", NULL },
};

static const struct cli_spec spec = {
	.program = "mm-search",
	.summary = "find archived mail",
	.arguments = "[QUERY]...",
	.options = options,
	.option_count = COUNT(options),
	.more = "An empty query finds every message. The words are in mm-query(7):\n"
	        "  from:ann subject:\"order 7\" -draft lantern* after:2026-01-01 has:attachment\n",
};

struct output {
	const struct cli *cli;
	bool ids;
};

static enum rc print_row(void *arg, json_t *row, struct err *e)
{
	const struct output *o = arg;
	struct index_row read;
	struct buf memory;
	struct buf text;
	enum rc rc;

	if (o->ids) {
		printf("%s\n", json_string_value(json_object_get(row, "id")));
		return RC_OK;
	}
	if (o->cli->json) {
		cli_print_json(row);
		return RC_OK;
	}
	buf_init(&text, LIMIT_REQUEST);
	buf_init(&memory, LIMIT_REQUEST);
	rc = row_read(row, &read, &memory, e);
	if (rc == RC_OK && row_text(&read, &text) != RC_OK)
		rc = err_set(e, RC_LIMIT, "a row is too long");
	if (rc == RC_OK)
		(void)fwrite(text.at, 1, text.len, stdout);
	buf_free(&memory);
	buf_free(&text);
	return rc;
}

static enum rc print_bytes(void *arg, struct slice bytes, struct err *e)
{
	(void)arg;
	if (fwrite(bytes.at, 1, bytes.len, stdout) != bytes.len)
		return err_set(e, RC_IO, "can't write the message");
	return RC_OK;
}

static int show_message(struct cli *c, const char *id, const char *form)
{
	struct cli_answer a = { .bytes = print_bytes };
	json_t *request = json_pack("{s:s,s:s,s:s}", "op", "message", "id", id, "form", form);
	int status;

	if (c->argument_count)
		cli_usage(c, "--show and --raw take one id and no query");
	if (cli_get(c, "archive"))
		json_put_text(request, "archive", slice_str(cli_get(c, "archive")));
	status = cli_request(c, request, &a);
	json_decref(a.result);
	return status;
}

/* What was searched, in which zone, and what could not be searched: on stderr, so that stdout is
 * the result alone. */
static void print_head(const struct cli *c, const json_t *head)
{
	json_t *notes = json_member_array(head, "notes");

	for (size_t i = 0; i < json_array_size(notes); i++)
		fprintf(stderr, "note: %s\n", json_string_value(json_array_get(notes, i)));
	if (c->json) {
		(void)json_dumpf(head, stderr, JSON_COMPACT);
		fputc('\n', stderr);
		return;
	}
	fprintf(stderr, "%lld hits in archive %s for %s; zone UTC; %lld messages searched",
	        (long long)json_member_int(head, "hits", 0), cli_get(c, "archive"),
	        json_string_value(json_object_get(head, "query")),
	        (long long)json_member_int(head, "messages", 0));
	if (json_member_int(head, "not_indexed", 0))
		fprintf(stderr, ", %lld of them not in full (find them by is:unindexed)",
		        (long long)json_member_int(head, "not_indexed", 0));
	fputc('\n', stderr);
}

static void print_explanation(const struct cli *c, const json_t *head)
{
	struct buf tree;

	if (c->json) {
		cli_print_json(head);
		return;
	}
	buf_init(&tree, LIMIT_REQUEST);
	printf("query   %s\n", json_string_value(json_object_get(head, "query")));
	if (json_write_pretty(&tree, json_object_get(head, "tree")) == RC_OK)
		printf("tree    %s", buf_text(&tree));
	printf("engine  %s\n", json_string_value(json_object_get(head, "engine")));
	buf_free(&tree);
}

static int search(struct cli *c, const char *mode)
{
	struct output o = { c, cli_has(c, "ids") };
	struct cli_answer a = { .row = print_row, .arg = &o };
	char *query = cli_join(c);
	json_t *request = json_object();
	int status;

	json_put_text(request, "op", slice_str("search"));
	json_put_text(request, "archive", slice_str(cli_get(c, "archive")));
	json_put(request, "query", json_of_slice(slice_str(query)));
	json_put_text(request, "mode", slice_str(mode));
	json_put_int(request, "limit", (int64_t)cli_number(c, "limit", 0));
	if (cli_get(c, "sort"))
		json_put_text(request, "sort", slice_str(cli_get(c, "sort")));
	status = cli_request(c, request, &a);
	free(query);
	if (status == CLI_OK && strcmp(mode, "explain") == 0)
		print_explanation(c, a.result);
	else if (status == CLI_OK)
		print_head(c, a.result);
	if (status == CLI_OK && strcmp(mode, "count") == 0)
		printf("%lld\n", (long long)json_member_int(a.result, "hits", 0));
	json_decref(a.result);
	return status;
}

static int run(struct cli *c)
{
	if (cli_get(c, "show"))
		return show_message(c, cli_get(c, "show"), c->json ? "json" : "show");
	if (cli_get(c, "raw"))
		return show_message(c, cli_get(c, "raw"), "raw");
	if (!cli_get(c, "archive"))
		cli_usage(c, "which archive? (--archive NAME)");
	if (cli_has(c, "explain"))
		return search(c, "explain");
	if (cli_has(c, "count"))
		return search(c, "count");
	return search(c, cli_has(c, "ids") ? "ids" : "rows");
}

int main(int argc, char **argv)
{
	struct cli c;
	int status;

	cli_parse(&c, &spec, argc, argv);
	status = run(&c);
	return cli_end(&c, status);
}
