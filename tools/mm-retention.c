/* tools/mm-retention.c - plan and run the destruction of what is past its retention, and erasures
 */
#include <stdio.h>

#include "base/json.h"
#include "tools/cli.h"

static const struct cli_option options[] = {
	{ "plan", "ID", "only if the plan is still this one", "run" },
	{ "archive", "NAME", "the archive", "erase" },
	{ "reason", "TEXT", "why; kept in the audit log", "erase" },
	{ "yes", NULL, "do it", "erase" },
	{ "unattended", NULL, "under the clock guard, as a scheduled sweep is", "run" },
};

static const struct cli_command commands[] = {
	{ "plan", "", "show what a sweep would destroy now" },
	{ "run", "", "destroy it" },
	{ "erase", "ID...", "show, and with --yes destroy, single messages before their time" },
};

static const struct cli_spec spec = {
	.program = "mm-retention",
	.summary = "destroy mail past its retention, or single messages",
	.arguments = "",
	.options = options,
	.option_count = COUNT(options),
	.commands = commands,
	.command_count = COUNT(commands),
	.more = "Retention counts from the end of the UTC day of receipt. \"now\" is the clock's: "
	        "a run takes\n"
	        "no date. A run without --unattended is a person's word that the clock is right.\n"
	        "An erasure cannot be undone; the message stays in other archives that have it.\n",
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

/* What was asked for is done; something from before is not. */
static int tell_unfinished(const struct cli *c, const json_t *result)
{
	struct err e = { 0 };

	if (!json_object_get(result, "unfinished"))
		return CLI_OK;
	(void)err_set(&e, RC_CORRUPT, "what was begun earlier can't be finished: %s",
	              json_string_value(json_object_get(result, "unfinished")));
	return cli_fail(c, &e);
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
	if (status == CLI_OK)
		status = tell_unfinished(c, a.result);
	json_decref(a.result);
	return status;
}

static void print_erased(const json_t *result)
{
	json_t *list = json_member_array(result, "messages");
	bool erased = json_member_bool(result, "erased", false);

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *m = json_array_get(list, i);
		json_t *also = json_member_array(m, "also_in");

		printf("%s received %s, %lld bytes, sha256 %s\n",
		       json_string_value(json_object_get(m, "id")),
		       json_string_value(json_object_get(m, "received")),
		       (long long)json_member_int(m, "bytes", 0),
		       json_string_value(json_object_get(m, "sha256")));
		for (size_t k = 0; k < json_array_size(also); k++)
			printf("  it stays in archive %s\n",
			       json_string_value(json_array_get(also, k)));
	}
	printf(erased ? "%zu messages erased from archive %s\n"
	              : "%zu messages of archive %s would be erased; --yes does it\n",
	       json_array_size(list), json_string_value(json_object_get(result, "archive")));
}

static int erase(struct cli *c)
{
	struct cli_answer a = { .row = NULL };
	json_t *request = json_pack("{s:s,s:b}", "op", "erase", "run", cli_has(c, "yes"));
	json_t *ids = json_array();
	int status;

	if (!cli_get(c, "archive") || !cli_get(c, "reason") || c->argument_count == 0)
		cli_usage(c, "erase needs --archive, --reason and message ids");
	for (size_t i = 0; i < c->argument_count; i++)
		json_push(ids, json_of_slice(slice_str(c->arguments[i])));
	json_put_text(request, "archive", slice_str(cli_get(c, "archive")));
	json_put_text(request, "reason", slice_str(cli_get(c, "reason")));
	json_put(request, "ids", ids);
	status = cli_request(c, request, &a);
	if (status == CLI_OK && c->json)
		cli_print_json(a.result);
	else if (status == CLI_OK)
		print_erased(a.result);
	if (status == CLI_OK)
		status = tell_unfinished(c, a.result);
	json_decref(a.result);
	return status;
}

int main(int argc, char **argv)
{
	struct cli c;
	int status;

	cli_parse(&c, &spec, argc, argv);
	if (strcmp(c.command, "erase") == 0)
		status = erase(&c);
	else
		status = strcmp(c.command, "plan") == 0 ? plan(&c) : destroy(&c);
	return cli_end(&c, status);
}
