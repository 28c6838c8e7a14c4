/* tools/mm-import.c - archive mail from mbox files, Maildirs and EML files; docs/man/mm-import.1.md
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "ingest/source.h"
#include "tools/cli.h"

#define BATCH_BYTES    (8u << 20)
#define BATCH_MESSAGES 500

static const struct cli_option options[] = {
	{ "archive", "NAME", "into this archive", NULL },
	{ "received", "now|header", "time of receipt: now (default), or the topmost Received: date",
	  NULL },
};

static const struct cli_spec spec = {
	.program = "mm-import",
	.summary = "archive mail from mbox files, Maildirs, EML files and folders of them",
	.arguments = "PATH...",
	.options = options,
	.option_count = COUNT(options),
	.more = "An import may be repeated: what is stored already (the same bytes from the same "
	        "place)\n"
	        "is not stored twice. With --json one line a message: stored, already or failed.\n",
};

/* Messages of the next batch: their heads, and their bytes one after the other. */
struct importing {
	struct cli *cli;
	bool header_dates;
	int64_t now_ms;
	json_t *heads;
	struct buf bytes;
	bool sent_one;
	uint64_t stored;
	uint64_t already;
	uint64_t failed;
	int status;
};

static enum rc on_outcome(void *arg, json_t *row, struct err *e)
{
	struct importing *im = arg;

	(void)e;
	if (im->cli->json)
		cli_print_json(row);
	else if (slice_equal(json_member_text(row, "outcome"), slice_str("failed")))
		fprintf(stderr, "%s: %s\n", json_string_value(json_object_get(row, "source")),
		        json_string_value(json_object_get(row, "reason")));
	return RC_OK;
}

static enum rc send_batch(struct importing *im, bool last, struct err *e)
{
	struct cli_answer a = { .row = on_outcome, .arg = im };
	json_t *request;
	enum rc rc;

	if (json_array_size(im->heads) == 0 && !(last && im->sent_one))
		return RC_OK;
	request = json_object();
	json_put_text(request, "op", slice_str("import"));
	json_put_text(request, "archive", slice_str(cli_get(im->cli, "archive")));
	json_put_bool(request, "first", !im->sent_one);
	json_put_bool(request, "last", last);
	json_put(request, "messages", im->heads);
	im->heads = json_array();
	im->sent_one = true;
	rc = cli_ask(im->cli, request, buf_slice(&im->bytes), &a, e);
	im->stored += (uint64_t)json_member_int(a.result, "stored", 0);
	im->already += (uint64_t)json_member_int(a.result, "already", 0);
	im->failed += (uint64_t)json_member_int(a.result, "failed", 0);
	json_decref(a.result);
	buf_clear(&im->bytes);
	cli_progress(im->cli, "imported", im->stored + im->already, 0);
	return rc;
}

static enum rc on_message(void *arg, const char *name, struct slice raw, struct err *e)
{
	struct importing *im = arg;
	json_t *head = json_object();
	int64_t received_ms;
	enum rc rc = RC_OK;

	if (im->bytes.len && im->bytes.len + raw.len > BATCH_BYTES)
		rc = send_batch(im, false, e);
	json_put(head, "source", json_of_slice(slice_str(name)));
	json_put_int(head, "bytes", (int64_t)raw.len);
	if (im->header_dates && source_received(raw, &received_ms) && received_ms <= im->now_ms)
		json_put_int(head, "received_ms", received_ms);
	json_push(im->heads, head);
	if (rc == RC_OK && buf_add(&im->bytes, raw) != RC_OK)
		rc = err_set(e, RC_LIMIT, "%s: the message is too long", name);
	if (rc == RC_OK && json_array_size(im->heads) >= BATCH_MESSAGES)
		rc = send_batch(im, false, e);
	return rc;
}

static enum rc on_failed(void *arg, const char *name, const char *why, struct err *e)
{
	struct importing *im = arg;
	json_t *row = json_object();
	enum rc rc;

	im->failed++;
	json_put(row, "source", json_of_slice(slice_str(name)));
	json_put_text(row, "outcome", slice_str("failed"));
	json_put(row, "reason", json_of_slice(slice_str(why)));
	rc = on_outcome(im, row, e);
	json_decref(row);
	return rc;
}

static void print_totals(const struct importing *im)
{
	FILE *to = im->cli->json ? stderr : stdout;

	fprintf(to, "%" PRIu64 " stored, %" PRIu64 " already there, %" PRIu64 " failed\n",
	        im->stored, im->already, im->failed);
}

static int import(struct importing *im)
{
	const struct source_ops ops = { on_message, on_failed, im };
	struct err e = { 0 };
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < im->cli->argument_count; i++)
		rc = source_walk(im->cli->arguments[i], &ops, &e);
	if (rc == RC_OK)
		rc = send_batch(im, true, &e);
	cli_progress_end(im->cli);
	if (rc != RC_OK) {
		(void)cli_fail(im->cli, &e);
		return im->cli->no_data ? CLI_NO_DATA : rc_exit(rc);
	}
	print_totals(im);
	return im->failed ? CLI_PARTLY : CLI_OK;
}

int main(int argc, char **argv)
{
	struct cli c;
	struct importing im = { .cli = &c };
	const char *received;
	int status;

	cli_parse(&c, &spec, argc, argv);
	received = cli_get(&c, "received");
	if (!cli_get(&c, "archive"))
		cli_usage(&c, "into which archive? (--archive NAME)");
	if (c.argument_count == 0)
		cli_usage(&c, "import what?");
	if (received && strcmp(received, "now") != 0 && strcmp(received, "header") != 0)
		cli_usage(&c, "--received is now or header");
	im.header_dates = received && strcmp(received, "header") == 0;
	im.now_ms = clock_now_ms();
	im.heads = json_array();
	buf_init(&im.bytes, LIMIT_REQUEST - (1u << 20));
	status = import(&im);
	json_decref(im.heads);
	buf_free(&im.bytes);
	return cli_end(&c, status);
}
