#include "tools/mmctl_queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "tools/mmctl_text.h"

static const char *text(const json_t *row, const char *member)
{
	const char *s = json_string_value(json_object_get(row, member));

	return s ? s : "";
}

enum rc print_task(void *arg, json_t *row, struct err *e)
{
	const struct cli *c = arg;

	(void)e;
	if (c->json) {
		cli_print_json(row);
		return RC_OK;
	}
	printf("%-8lld %s  %-16s %-6s ", (long long)json_member_int(row, "task", 0),
	       text(row, "message"), text(row, "action"), text(row, "state"));
	print_member(row, "destination");
	if (*text(row, "due"))
		printf("  due %s", text(row, "due"));
	if (*text(row, "reason")) {
		printf("\n         %lld tries: ", (long long)json_member_int(row, "tries", 0));
		print_member(row, "reason");
	}
	printf("\n");
	return RC_OK;
}

static int list(struct cli *c, bool dead)
{
	struct cli_answer a = { .row = print_task, .arg = c };
	json_t *request = json_pack("{s:s,s:b,s:I}", "op", "queue-list", "dead", dead, "limit",
	                            (json_int_t)cli_number(c, "limit", 0));
	int status = cli_request(c, request, &a);

	json_decref(a.result);
	return status;
}

static void print_recipient(const json_t *one)
{
	printf("  ");
	print_member(one, "address");
	printf("  %s", text(one, "state"));
	if (*text(one, "said")) {
		printf(": ");
		print_member(one, "said");
	}
	if (*text(one, "host")) {
		printf(" (");
		print_member(one, "host");
		printf(")");
	}
	printf("\n");
}

static void print_whole(const struct cli *c, const json_t *o)
{
	static const char *const lines[] = { "message",     "action",   "rule_set", "state",
		                             "destination", "received", "since",    "due",
		                             "died",        "reason" };
	const json_t *to = json_member_array(o, "recipients");

	if (c->json) {
		cli_print_json(o);
		return;
	}
	printf("task         %lld, tried %lld times\n", (long long)json_member_int(o, "task", 0),
	       (long long)json_member_int(o, "tries", 0));
	for (size_t i = 0; i < COUNT(lines); i++)
		if (*text(o, lines[i])) {
			printf("%-12s ", lines[i]);
			print_member(o, lines[i]);
			printf("\n");
		}
	for (size_t i = 0; i < json_array_size(to); i++)
		print_recipient(json_array_get(to, i));
}

/* The number of a task, or -1 for "all". */
static int64_t task_of(const struct cli *c)
{
	const char *word = c->arguments[1];
	uint64_t n;

	if (strcmp(word, "all") == 0)
		return -1;
	if (!slice_to_u64(slice_str(word), &n) || n > INT64_MAX)
		cli_usage(c,
		          "\"%s\" is not the number of a task (the first column of list), nor all",
		          word);
	return (int64_t)n;
}

static int show(struct cli *c)
{
	struct cli_answer a = { .row = NULL };
	int64_t task = task_of(c);
	int status;

	if (task < 0)
		cli_usage(c, "which task?");
	status = cli_request(
	        c, json_pack("{s:s,s:I}", "op", "queue-show", "task", (json_int_t)task), &a);
	if (status == CLI_OK)
		print_whole(c, a.result);
	json_decref(a.result);
	return status;
}

static int change(struct cli *c, const char *what, bool dead)
{
	struct cli_answer a = { .row = NULL };
	int64_t task = task_of(c);
	json_t *request =
	        json_pack("{s:s,s:s,s:b}", "op", "queue-change", "do", what, "dead", dead);
	int status;

	if (task >= 0)
		json_put_int(request, "task", task);
	status = cli_request(c, request, &a);
	if (status == CLI_OK && c->json)
		cli_print_json(a.result);
	else if (status == CLI_OK)
		printf("%lld changed\n", (long long)json_member_int(a.result, "changed", 0));
	json_decref(a.result);
	return status;
}

static int run(struct cli *c, bool dead)
{
	const char *verb = c->argument_count ? c->arguments[0] : "list";
	bool takes_task = strcmp(verb, "list") != 0;

	if (c->argument_count > (takes_task ? 2u : 1u) || (takes_task && c->argument_count < 2))
		cli_usage(c, "list; or show, retry, %sdrop and the number of a task, or all",
		          dead ? "" : "hold, ");
	if (!takes_task)
		return list(c, dead);
	if (strcmp(verb, "show") == 0)
		return show(c);
	if (strcmp(verb, "retry") == 0 || strcmp(verb, "drop") == 0 ||
	    (strcmp(verb, "hold") == 0 && !dead))
		return change(c, verb, dead);
	cli_usage(c, "there is no \"%s %s\"", c->command, verb);
}

int cmd_queue(struct cli *c)
{
	return run(c, false);
}

int cmd_dead_letter(struct cli *c)
{
	return run(c, true);
}
