#include "tools/mmctl_why.h"

#include <stdio.h>

#include "base/json.h"
#include "tools/mmctl_queue.h"
#include "tools/mmctl_text.h"

static bool has(const json_t *o, const char *member)
{
	return json_object_get(o, member) != NULL;
}

static void print_label(const char *label)
{
	printf("  %-11s ", label);
}

static void print_number(const json_t *o, const char *before, const char *member)
{
	if (has(o, member))
		printf("%s%lld", before, (long long)json_member_int(o, member, 0));
}

/* ---- an archived one ---- */

/* "rule 0 keep of rule set keep-all version 1" */
static void print_rule(const json_t *o)
{
	print_number(o, "rule ", "rule");
	printf(" ");
	print_member(o, "rule_name");
	printf(" of rule set ");
	print_member(o, has(o, "rule_set_name") ? "rule_set_name" : "rule_set");
	print_number(o, " version ", "rule_set_version");
}

static void print_decided(const json_t *decided)
{
	if (!has(decided, "import") && !has(decided, "rule_set"))
		return; /* imported, for who may not read it */
	print_label("decided by");
	if (has(decided, "import")) {
		print_member(decided, "import");
		printf(", which asks no rule\n");
		return;
	}
	print_rule(decided);
	if (json_array_size(json_member_array(decided, "recipients"))) {
		printf(", for ");
		print_list(json_member_array(decided, "recipients"));
	}
	printf("\n");
}

static void print_envelope(const json_t *receipt)
{
	const json_t *to = json_member_array(receipt, "rcpt");

	print_label("envelope");
	if (json_member_text(receipt, "mail_from").len)
		print_member(receipt, "mail_from");
	else
		printf("<>");
	printf(" -> ");
	for (size_t i = 0; i < json_array_size(to); i++) {
		printf("%s", i ? ", " : "");
		print_member(json_array_get(to, i), "to");
	}
	printf("\n");
}

static void print_sender(const json_t *receipt)
{
	const json_t *tls = json_member_object(receipt, "tls");

	print_label("from");
	print_member(receipt, "ip");
	printf(" (");
	print_member(receipt, "helo");
	printf("), ");
	if (tls)
		print_member(tls, "version");
	else
		printf("in the clear");
	if (has(receipt, "auth")) {
		printf(", authenticated as ");
		print_member(receipt, "auth");
	}
	printf("\n");
}

static void print_place(const json_t *receipt)
{
	print_label("by way of");
	printf("ingress point ");
	print_member(receipt, "ingress");
	if (has(receipt, "policy")) {
		printf(", traffic policy ");
		print_member(receipt, "policy");
		print_number(receipt, " version ", "policy_version");
	}
	printf("\n");
}

static void print_import(const json_t *receipt)
{
	print_label("imported");
	printf("from ");
	print_member(receipt, "source");
	printf(" by ");
	print_member(receipt, "by");
	printf("\n");
}

static void print_receipt(const json_t *receipt)
{
	if (has(receipt, "source")) {
		print_import(receipt);
		return;
	}
	if (has(receipt, "rcpt"))
		print_envelope(receipt);
	if (has(receipt, "ip"))
		print_sender(receipt);
	if (has(receipt, "ingress"))
		print_place(receipt);
}

static void print_verdicts(const json_t *verdicts)
{
	static const char *const words[] = { "spf", "dkim", "arc", "dmarc" };
	const char *between = "";

	print_label("verdicts");
	for (size_t i = 0; i < COUNT(words); i++) {
		if (!has(verdicts, words[i]))
			continue;
		printf("%s%s ", between, words[i]);
		print_member(verdicts, words[i]);
		between = ", ";
	}
	if (has(verdicts, "dmarc_asks")) {
		printf(", which asks for ");
		print_member(verdicts, "dmarc_asks");
	}
	printf("\n");
}

static void print_archived(const json_t *o)
{
	print_label("kept");
	printf("%s", slice_equal(json_member_text(o, "kept_until"), slice_str("for ever"))
	                     ? ""
	                     : "until ");
	print_member(o, "kept_until");
	printf(" (");
	print_member(o, "retention");
	printf(", counted from ");
	print_member(o, "counted_from");
	printf(")%s\n",
	       json_member_bool(o, "being_deleted", false) ? "; its archive is being deleted" : "");
	if (has(o, "receipt"))
		print_receipt(json_member_object(o, "receipt"));
	if (has(o, "decided"))
		print_decided(json_member_object(o, "decided"));
	if (has(o, "verdicts"))
		print_verdicts(json_member_object(o, "verdicts"));
}

/* ---- others ---- */

static void print_erased(const json_t *o)
{
	printf(" on ");
	print_member(o, "erased");
	printf(" by ");
	print_member(o, "who");
	if (has(o, "reason")) {
		printf(": ");
		print_member(o, "reason");
	}
	printf("%s\n", json_member_bool(o, "unfinished", false)
	                       ? " (not to its end yet: mm-retention run)"
	                       : "");
}

/* One line, or two where there is something to say. */
static void print_ended(const json_t *o)
{
	if (has(o, "rule")) {
		printf(", by ");
		print_rule(o);
	}
	printf("\n");
	if (has(o, "text")) {
		printf("    ");
		print_member(o, "text");
		printf("\n");
	}
}

static enum rc print_message(void *arg, json_t *row, struct err *e)
{
	const struct cli *c = arg;

	if (has(row, "task"))
		return print_task(arg, row, e);
	if (c->json) {
		cli_print_json(row);
		return RC_OK;
	}
	print_member(row, "id");
	printf("  ");
	print_member(row, "received");
	printf("  ");
	print_member(row, "disposition");
	if (has(row, "archive")) {
		printf(has(row, "erased") ? " from " : " in ");
		print_member(row, "archive");
	}
	if (has(row, "erased")) {
		print_erased(row);
	} else if (has(row, "kept_until")) {
		printf("\n");
		print_archived(row);
	} else {
		print_ended(row);
	}
	return RC_OK;
}

int cmd_list(struct cli *c)
{
	struct cli_answer a = { .row = print_message, .arg = c };
	json_t *request = json_pack("{s:s,s:I}", "op", "list", "limit",
	                            (json_int_t)cli_number(c, "limit", 0));
	int status;

	if (cli_get(c, "disposition"))
		json_put_text(request, "disposition", slice_str(cli_get(c, "disposition")));
	status = cli_request(c, request, &a);
	json_decref(a.result);
	return status;
}

int cmd_why(struct cli *c)
{
	struct cli_answer a = { .row = print_message, .arg = c };
	int status;

	if (c->argument_count != 1)
		cli_usage(c, "why takes a message id");
	status = cli_request(c, json_pack("{s:s,s:s}", "op", "why", "id", c->arguments[0]), &a);
	json_decref(a.result);
	return status;
}
