#include "tools/mmctl_log.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/json.h"

struct printing {
	const struct cli *c;
	bool damaged;
	bool any;
};

/* With --json as it is in the log; else with its time in front, for people. */
static enum rc print_record(void *arg, json_t *row, struct err *e)
{
	struct printing *p = arg;
	const char *problem = json_string_value(json_object_get(row, "problem"));
	char when[25];
	char *text;

	(void)e;
	p->any = true;
	if (problem) {
		fprintf(stderr, "mmctl: %s\n", problem);
		p->damaged = true;
		return RC_OK;
	}
	text = json_dumps(row, JSON_COMPACT | JSON_ENSURE_ASCII);
	time_format(when, json_member_int(row, "event_timestamp", 0));
	printf("%s%s%s\n", p->c->json ? "" : when, p->c->json ? "" : " ", text ? text : "");
	free(text);
	return fflush(stdout) == 0 ? RC_OK : err_sys(e, "write");
}

static void put_time(const struct cli *c, json_t *request, const char *option)
{
	const char *text = cli_get(c, option);
	int64_t ms;

	if (!text)
		return;
	if (!time_parse(slice_str(text), &ms))
		cli_usage(c,
		          "--%s is a day (2026-11-23), a time (2026-11-23T21:46:19Z) or seconds "
		          "since 1970",
		          option);
	json_put_int(request, option, ms);
}

int cmd_log(struct cli *c)
{
	struct printing p = { .c = c };
	struct cli_answer a = { .row = print_record, .arg = &p };
	json_t *request =
	        json_pack("{s:s,s:I,s:b}", "op", "log", "limit",
	                  (json_int_t)cli_number(c, "limit", 0), "follow", cli_has(c, "follow"));
	int status;

	put_time(c, request, "from");
	put_time(c, request, "to");
	if (cli_get(c, "message"))
		json_put_text(request, "id", slice_str(cli_get(c, "message")));
	if (cli_get(c, "kind"))
		json_put_text(request, "kind", slice_str(cli_get(c, "kind")));
	c->only_running = cli_has(c, "follow");
	status = cli_request(c, request, &a);
	json_decref(a.result);
	if (status == CLI_OK && !p.any)
		fprintf(stderr,
		        "mmctl: no records; mmd keeps them where its configuration has logs that "
		        "are \"sealed\" (mmd(8))\n");
	return status == CLI_OK && p.damaged ? CLI_PARTLY : status;
}
