/* tools/mm-audit.c - list the audit log, and check that nobody tampered with it */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "tools/cli.h"

static const struct cli_option options[] = {
	{ "event", "WORD", "only this kind (search, export, purge_done, ...)", "list" },
	{ "from", "N", "from entry N on", "list" },
	{ "limit", "N", "at most N entries", "list" },
	{ "anchor", "LINE", "the log must contain this head (a line that verify printed)",
	  "verify" },
	{ "anchor-file", "FILE", "the same with the last line of the anchor file", "verify" },
};

static const struct cli_command commands[] = {
	{ "list", "", "print the entries, oldest first" },
	{ "verify", "", "check the chain from the first entry to the head" },
};

static const struct cli_spec spec = {
	.program = "mm-audit",
	.summary = "list and verify the audit log",
	.arguments = "",
	.options = options,
	.option_count = COUNT(options),
	.commands = commands,
	.command_count = COUNT(commands),
	.more = "Keep the line that \"verify\" prints somewhere else: with it as --anchor, a log "
	        "that was cut\n"
	        "behind your back is found too.\n",
};

static enum rc print_entry(void *arg, json_t *row, struct err *e)
{
	const struct cli *c = arg;
	char *detail;

	(void)e;
	if (c->json) {
		cli_print_json(row);
		return RC_OK;
	}
	detail = json_dumps(json_object_get(row, "detail"), JSON_COMPACT);
	printf("%6lld  %s  %-14s %-12s %s\n", (long long)json_member_int(row, "number", 0),
	       json_string_value(json_object_get(row, "time")),
	       json_string_value(json_object_get(row, "event")),
	       json_string_value(json_object_get(row, "who")), detail ? detail : "");
	free(detail);
	return RC_OK;
}

static int list(struct cli *c)
{
	struct cli_answer a = { .row = print_entry, .arg = c };
	json_t *request = json_pack("{s:s,s:I,s:I}", "op", "audit-list", "from",
	                            (json_int_t)cli_number(c, "from", 1), "limit",
	                            (json_int_t)cli_number(c, "limit", 0));
	int status;

	if (cli_get(c, "event"))
		json_put_text(request, "event", slice_str(cli_get(c, "event")));
	status = cli_request(c, request, &a);
	json_decref(a.result);
	return status;
}

static struct slice last_line(struct slice text)
{
	size_t at;

	text = slice_trim(text);
	at = text.len;
	while (at && text.at[at - 1] != '\n')
		at--;
	return slice_from(text, at);
}

static int verify(struct cli *c)
{
	struct cli_answer a = { .row = NULL };
	struct err e = { 0 };
	struct buf text;
	json_t *request = json_pack("{s:s}", "op", "audit-verify");
	enum rc rc;
	int status;

	buf_init(&text, 64 << 20);
	if (cli_get(c, "anchor")) {
		json_put_text(request, "anchor", slice_str(cli_get(c, "anchor")));
	} else if (cli_get(c, "anchor-file")) {
		if (file_read_all(cli_get(c, "anchor-file"), &text, &e) != RC_OK)
			cli_usage(c, "%s", e.text);
		json_put(request, "anchor", json_of_slice(last_line(buf_slice(&text))));
	}
	rc = cli_ask(c, request, slice_of(NULL, 0), &a, &e);
	buf_free(&text);
	status = rc == RC_OK ? CLI_OK : cli_fail(c, &e);
	/* A broken log, which is what was asked, keeps the directory from being opened, too. */
	if (c->no_data && rc != RC_CORRUPT)
		status = CLI_NO_DATA;
	if (status == CLI_OK && c->json)
		cli_print_json(a.result);
	else if (status == CLI_OK)
		printf("%lld entries, unbroken\n%s\n",
		       (long long)json_member_int(a.result, "entries", 0),
		       json_string_value(json_object_get(a.result, "head")));
	json_decref(a.result);
	return status;
}

int main(int argc, char **argv)
{
	struct cli c;
	int status;

	cli_parse(&c, &spec, argc, argv);
	status = strcmp(c.command, "list") == 0 ? list(&c) : verify(&c);
	return cli_end(&c, status);
}
