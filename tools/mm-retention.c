/* tools/mm-retention.c - plan and run the destruction of what is past its retention */
#include <stdio.h>

#include "base/json.h"
#include "tools/cli.h"

static const struct cli_option options[] = {
	{ "plan", "ID", "run: only if the plan is still this one" },
	{ "unattended", NULL, "run: under the clock guard, as a scheduled sweep is" },
};

static const struct cli_command commands[] = {
	{ "plan", "", "show what a sweep would destroy now" },
	{ "run", "", "destroy it" },
};

static const struct cli_spec spec = {
	.program = "mm-retention",
	.summary = "plan and run the destruction of mail past its retention",
	.arguments = "",
	.options = options,
	.option_count = COUNT(options),
	.commands = commands,
	.command_count = COUNT(commands),
	.more = "Retention counts from the end of the UTC day of receipt. \"now\" is the clock's: "
	        "a run takes\n"
	        "no date. A run without --unattended is a person's word that the clock is right.\n",
};

static void print_lots(const json_t *plan)
{
	json_t *lots = json_member_array(plan, "due");

	for (size_t i = 0; i < json_array_size(lots); i++) {
		const json_t *lot = json_array_get(lots, i);

		printf("%-20s received on %s, due %s\n",
		       json_string_value(json_object_get(lot, "archive")),
		       json_string_value(json_object_get(lot, "received_on")),
		       json_string_value(json_object_get(lot, "due")));
	}
}

static int plan(struct cli *c)
{
	struct cli_answer a = { .row = NULL };
	int status = cli_request(c, json_pack("{s:s}", "op", "retention-plan"), &a);

	if (status == CLI_OK && c->json) {
		cli_print_json(a.result);
	} else if (status == CLI_OK) {
		print_lots(a.result);
		printf("plan %s: %lld days of mail in all\n",
		       json_string_value(json_object_get(a.result, "plan")),
		       (long long)json_member_int(a.result, "lots", 0));
		if (json_object_get(a.result, "guard"))
			printf("a scheduled sweep would refuse: %s\n",
			       json_string_value(json_object_get(a.result, "guard")));
	}
	json_decref(a.result);
	return status;
}

static int destroy(struct cli *c)
{
	struct cli_answer a = { .row = NULL };
	json_t *request = json_pack("{s:s,s:b}", "op", "retention-run", "unattended",
	                            cli_has(c, "unattended"));
	int status;

	if (cli_get(c, "plan"))
		json_put_text(request, "plan", slice_str(cli_get(c, "plan")));
	status = cli_request(c, request, &a);
	if (status == CLI_OK && c->json) {
		cli_print_json(a.result);
	} else if (status == CLI_OK) {
		print_lots(a.result);
		printf("destroyed: %lld messages of %lld days; %lld index shards rewritten\n",
		       (long long)json_member_int(a.result, "messages_destroyed", 0),
		       (long long)json_member_int(a.result, "lots_destroyed", 0),
		       (long long)json_member_int(a.result, "shards_rewritten", 0));
	}
	json_decref(a.result);
	return status;
}

int main(int argc, char **argv)
{
	struct cli c;
	int status;

	cli_parse(&c, &spec, argc, argv);
	if (c.argument_count)
		cli_usage(&c, "%s takes no arguments", c.command);
	status = strcmp(c.command, "plan") == 0 ? plan(&c) : destroy(&c);
	cli_free(&c);
	return status;
}
