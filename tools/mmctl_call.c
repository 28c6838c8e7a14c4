#include "tools/mmctl_call.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"

static void print_pretty(const struct cli *c, const json_t *value)
{
	struct buf text;

	buf_init(&text, LIMIT_REQUEST);
	if (c->json)
		cli_print_json(value);
	else if (json_write_pretty(&text, value) == RC_OK)
		printf("%s", buf_text(&text));
	buf_free(&text);
}

int cmd_dump(struct cli *c)
{
	struct cli_answer a = { .row = NULL };
	json_t *request = json_object();
	int status;

	json_put_text(request, "op", slice_str("dump"));
	status = cli_request(c, request, &a);
	if (status == CLI_OK)
		print_pretty(c, a.result);
	json_decref(a.result);
	return status;
}

/* The text itself, or what @FILE or - holds; {} when there is none. */
static enum rc read_argument(const char *argument, struct buf *out, struct err *e)
{
	if (argument && strcmp(argument, "-") == 0)
		return cli_read_input(argument, out, e);
	if (argument && argument[0] == '@')
		return cli_read_input(argument + 1, out, e);
	return buf_add_str(out, argument ? argument : "{}");
}

static json_t *call_request(const struct cli *c, struct slice input)
{
	json_t *request = json_object();

	json_put_text(request, "op", slice_str("api"));
	json_put_text(request, "operation", slice_str(c->arguments[0]));
	json_put(request, "text", json_of_slice(input));
	return request;
}

int cmd_call(struct cli *c)
{
	struct cli_answer a = { .row = NULL };
	struct err e = { 0 };
	struct buf input;
	const json_t *output;
	int status;

	if (c->argument_count < 1 || c->argument_count > 2)
		cli_usage(c, "call takes an operation and its input as JSON, @FILE or -");
	buf_init(&input, LIMIT_REQUEST / 2);
	if (read_argument(c->argument_count > 1 ? c->arguments[1] : NULL, &input, &e) != RC_OK) {
		buf_free(&input);
		(void)cli_fail(c, &e);
		return CLI_USAGE;
	}
	status = cli_request(c, call_request(c, buf_slice(&input)), &a);
	buf_free(&input);
	output = json_member_object(a.result, "output");
	if (status == CLI_OK && output) {
		print_pretty(c, output);
	} else if (status == CLI_OK) {
		fprintf(stderr, "%s: %s: %s\n", c->spec->program,
		        json_string_value(json_object_get(a.result, "error")),
		        json_string_value(json_object_get(a.result, "message")));
		status = CLI_PARTLY;
	}
	json_decref(a.result);
	return status;
}
