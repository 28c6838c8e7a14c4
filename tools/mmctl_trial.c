#include "tools/mmctl_trial.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cidr.h"
#include "base/id.h"
#include "base/json.h"
#include "base/limits.h"
#include "query/row.h"
#include "tools/mmctl_text.h"

/* ---- what is asked ---- */

/* The files that say more than a name can. */
static bool is_file(const char *text)
{
	return strchr(text, '/') || strcmp(text, "-") == 0 ||
	       slice_ends_nocase(slice_str(text), slice_str(".json"));
}

/* A rule set, or a file of apply that has one. A new reference. */
static enum rc rules_of(json_t *file, json_t **out, struct err *e)
{
	const json_t *list = json_member_array(file, "RuleSets");

	if (list && json_array_size(list) != 1)
		return err_set(e, RC_INVALID, "has %zu rule sets; one is wanted",
		               json_array_size(list));
	*out = json_incref(list ? json_array_get(list, 0) : file);
	return RC_OK;
}

static enum rc read_rules(const char *path, json_t *request, struct err *e)
{
	json_t *file = NULL;
	json_t *rules;
	struct buf text;
	enum rc rc;

	buf_init(&text, LIMIT_CONFIG_FILE / 2);
	rc = cli_read_input(path, &text, e);
	if (rc == RC_OK && json_read(&file, buf_slice(&text), e) != RC_OK)
		rc = err_in(e, "%s", path);
	if (rc == RC_OK && rules_of(file, &rules, e) != RC_OK)
		rc = err_in(e, "%s", path);
	else if (rc == RC_OK)
		json_put(request, "rules", rules);
	json_decref(file);
	buf_free(&text);
	return rc;
}

/* `needed`: without it nothing can be judged. */
static enum rc put_rule_set(struct cli *c, json_t *request, bool needed, struct err *e)
{
	const char *given = cli_get(c, "rule-set");

	if (!given && needed)
		cli_usage(c, "which rule set? (--rule-set NAME, or a FILE with one)");
	if (given && is_file(given))
		return read_rules(given, request, e);
	if (given)
		json_put_text(request, "rule_set", slice_str(given));
	return RC_OK;
}

/* The word in capitals, as the API has it; it must be one of `words`, a blank between two. */
static json_t *api_word(const struct cli *c, const char *option, const char *words)
{
	const char *given = cli_get(c, option);

	for (const char *at = words; *at;) {
		size_t n = strcspn(at, " ");

		if (slice_equal_nocase(slice_str(given), slice_of(at, n)))
			return json_of_slice(slice_of(at, n));
		at += n + strspn(at + n, " ");
	}
	cli_usage(c, "--%s is one of: %s", option, words);
}

static void put_verdict(const struct cli *c, json_t *verdicts, const char *option,
                        const char *member, const char *words)
{
	json_t *part;

	if (!cli_get(c, option))
		return;
	part = json_object();
	json_put(part, member, api_word(c, option, words));
	json_put(verdicts, option, part);
}

static json_t *given_verdicts(const struct cli *c)
{
	static const char words[] = "PASS FAIL GRAY PROCESSING_FAILED";
	json_t *verdicts = json_object();

	put_verdict(c, verdicts, "spf", "verdict", words);
	put_verdict(c, verdicts, "dkim", "verdict", words);
	put_verdict(c, verdicts, "dmarc", "asks", "NONE QUARANTINE REJECT");
	return verdicts;
}

static void put_tls(const struct cli *c, json_t *receipt)
{
	const char *given = cli_get(c, "tls");
	json_t *tls;

	if (!given || strcmp(given, "none") == 0)
		return;
	if (strcmp(given, "1.2") != 0 && strcmp(given, "1.3") != 0)
		cli_usage(c, "--tls is 1.2, 1.3 or none");
	tls = json_object();
	json_put_text(tls, "version", slice_str(strcmp(given, "1.2") == 0 ? "TLSv1.2" : "TLSv1.3"));
	json_put(receipt, "tls", tls);
}

/* What would be kept beside a message that came so. */
static json_t *given_receipt(const struct cli *c)
{
	static const char *const texts[][2] = { { "from", "mail_from" },
		                                { "helo", "helo" },
		                                { "ip", "ip" } };
	json_t *receipt = json_object();
	json_t *recipients = json_array();
	const char *value;
	struct ip ip;

	for (size_t i = 0; i < COUNT(texts); i++)
		if (cli_get(c, texts[i][0]))
			json_put(receipt, texts[i][1],
			         json_of_slice(slice_str(cli_get(c, texts[i][0]))));
	if (cli_get(c, "ip") && !ip_parse(&ip, slice_str(cli_get(c, "ip"))))
		cli_usage(c, "--ip is an IP address");
	for (size_t i = 0; (value = cli_get_at(c, "to", i)) != NULL; i++) {
		json_t *one = json_object();

		json_put(one, "to", json_of_slice(slice_str(value)));
		json_push(recipients, one);
	}
	if (json_array_size(recipients) == 0)
		cli_usage(c, "to whom? (--to ADDRESS, again for more)");
	json_put(receipt, "rcpt", recipients);
	put_tls(c, receipt);
	json_put(receipt, "verdicts", given_verdicts(c));
	return receipt;
}

/* What is known of an archived message can't be told otherwise. */
static void refuse_given(const struct cli *c)
{
	static const char *const given[] = { "from", "to",  "helo", "ip",
		                             "tls",  "spf", "dkim", "dmarc" };

	for (size_t i = 0; i < COUNT(given); i++)
		if (cli_get(c, given[i]))
			cli_usage(c, "--%s is for a message in a file", given[i]);
}

static bool is_id(const char *text)
{
	struct message_id id;

	return id_parse(&id, slice_str(text));
}

/* ---- texts ---- */

/* Nothing but ASCII: it may be of a message. */
static void print_compact(const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);

	printf("%s", text ? text : "");
	free(text);
}

static void print_rule(const json_t *row, const char *number)
{
	printf("rule %lld", (long long)json_member_int(row, number, 0));
	if (json_member_text(row, "rule_name").len) {
		printf(" ");
		print_member(row, "rule_name");
	}
}

/* ---- explain ---- */

static void print_compared(const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);

		if (json_object_get(one, "more")) {
			printf("        and %lld more\n",
			       (long long)json_member_int(one, "more", 0));
			continue;
		}
		printf("        %s ", json_member_bool(one, "hit", false) ? "=" : "-");
		print_member(one, "what");
		printf(": ");
		print_member(one, "value");
		if (json_object_get(one, "bytes"))
			printf("... (%lld bytes)", (long long)json_member_int(one, "bytes", 0));
		printf("\n");
	}
}

static void print_judged(const json_t *row)
{
	const json_t *conditions = json_member_array(row, "conditions");

	print_rule(row, "rule");
	printf(" %s ", json_member_bool(row, "applies", false) ? "applies to" : "doesn't apply to");
	print_list(json_member_array(row, "recipients"));
	printf("\n");
	for (size_t i = 0; i < json_array_size(conditions); i++) {
		const json_t *one = json_array_get(conditions, i);

		printf("    %s  ", json_member_bool(one, "held", false) ? "holds   " : "does not");
		print_member(one, "in");
		printf("[%lld] ", (long long)json_member_int(one, "index", 0));
		print_compact(json_object_get(one, "condition"));
		printf("\n");
		print_compared(json_member_array(one, "compared"));
	}
}

static void print_done(const json_t *row)
{
	print_rule(row, "done_by");
	printf(" %s ", json_member_bool(row, "failed", false) ? "fails to" : "does");
	print_compact(json_object_get(row, "action"));
	printf(" for ");
	print_list(json_member_array(row, "recipients"));
	printf("\n");
}

static enum rc print_explained(void *arg, json_t *row, struct err *e)
{
	const struct cli *c = arg;

	(void)e;
	if (c->json)
		cli_print_json(row);
	else if (json_object_get(row, "done_by"))
		print_done(row);
	else
		print_judged(row);
	return RC_OK;
}

static void print_outcome(const struct cli *c, const json_t *result)
{
	const json_t *recipients = json_member_array(result, "recipients");

	if (c->json) {
		cli_print_json(result);
		return;
	}
	for (size_t i = 0; i < json_array_size(recipients); i++) {
		const json_t *one = json_array_get(recipients, i);

		print_member(one, "address");
		printf(": ");
		print_member(one, "state");
		printf("%s%s\n", json_member_bool(one, "archived", false) ? ", archived" : "",
		       json_member_bool(one, "matched", false) ? "" : ", no rule applied");
	}
	printf("by rule set ");
	print_member(result, "rule_set_name");
	printf(" version %lld: ", (long long)json_member_int(result, "rule_set_version", 0));
	print_member(result, "disposition");
	printf("\n");
}

static enum rc build_explain(struct cli *c, json_t *request, struct buf *raw, struct err *e)
{
	const char *message = cli_get(c, "message");
	enum rc rc;

	if (!message)
		cli_usage(c, "which message? (--message ID, or a FILE)");
	json_put_text(request, "op", slice_str(is_id(message) ? "explain-message" : "explain"));
	rc = put_rule_set(c, request, !is_id(message), e);
	if (rc != RC_OK)
		return rc;
	if (!is_id(message)) {
		json_put(request, "receipt", given_receipt(c));
		return cli_read_input(message, raw, e);
	}
	refuse_given(c);
	json_put_text(request, "id", slice_str(message));
	if (cli_get(c, "archive"))
		json_put_text(request, "archive", slice_str(cli_get(c, "archive")));
	return RC_OK;
}

int cmd_explain(struct cli *c)
{
	struct cli_answer a = { .row = print_explained, .arg = c };
	json_t *request = json_object();
	struct err e = { 0 };
	struct buf raw;
	int status = CLI_OK;

	buf_init(&raw, LIMIT_MESSAGE_BYTES);
	if (build_explain(c, request, &raw, &e) != RC_OK) {
		json_decref(request);
		buf_free(&raw);
		(void)cli_fail(c, &e);
		return CLI_USAGE;
	}
	if (cli_ask(c, request, buf_slice(&raw), &a, &e) != RC_OK) {
		status = cli_fail(c, &e);
		status = c->no_data ? CLI_NO_DATA : status;
	} else {
		print_outcome(c, a.result);
	}
	buf_free(&raw);
	json_decref(a.result);
	return status;
}

/* ---- replay ---- */

static void print_keys(const json_t *differs)
{
	const char *before = "";
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)differs, name, value)
	{
		printf("%s%s", before, strcmp(name, "not_archived") == 0 ? "not archived" : name);
		before = ", ";
	}
}

/* "ID  TIME  keep -> dropped by spf-fail  (not archived)" */
static void print_difference(const json_t *row)
{
	const json_t *now = json_object_get(row, "now");
	const json_t *rules = json_member_array(now, "rules");

	print_member(row, "id");
	printf("  %.19sZ  ", json_string_value(json_object_get(row, "received")));
	print_member(json_object_get(row, "then"), "rule_name");
	printf(" -> ");
	print_member(now, "disposition");
	for (size_t i = 0; i < json_array_size(rules); i++) {
		printf("%s", i ? ", " : " by ");
		print_rule(json_array_get(rules, i), "rule");
	}
	printf("  (");
	print_keys(json_object_get(row, "differs"));
	printf(")\n");
}

static enum rc print_replayed(void *arg, json_t *row, struct err *e)
{
	const struct cli *c = arg;

	(void)e;
	if (json_object_get(row, "done")) {
		cli_progress(c, "messages", (uint64_t)json_member_int(row, "done", 0),
		             (uint64_t)json_member_int(row, "total", 0));
		return RC_OK;
	}
	cli_progress_end(c);
	if (c->json) {
		cli_print_json(row);
	} else if (json_object_get(row, "problem")) {
		print_member(row, "id");
		printf("  can't be judged: ");
		print_member(row, "problem");
		printf("\n");
	} else {
		print_difference(row);
	}
	return RC_OK;
}

static void print_counts(const json_t *result)
{
	static const struct {
		const char *member;
		const char *text;
	} more[] = {
		{ "imported", "were imported: no rules judged them" },
		{ "without_verdicts", "have no verdicts: SPF and DKIM PROCESSING_FAILED" },
		{ "failed", "could not be judged" },
	};
	const char *name;
	json_t *count;

	printf("%lld messages: %lld as it is recorded, %lld otherwise",
	       (long long)json_member_int(result, "messages", 0),
	       (long long)json_member_int(result, "same", 0),
	       (long long)json_member_int(result, "differ", 0));
	json_object_foreach((json_t *)(uintptr_t)json_member_object(result, "now"), name, count)
	{
		printf(", %s %lld", name, (long long)json_integer_value(count));
	}
	printf("\n");
	for (size_t i = 0; i < COUNT(more); i++)
		if (json_member_int(result, more[i].member, 0))
			printf("%lld %s\n", (long long)json_member_int(result, more[i].member, 0),
			       more[i].text);
}

static int print_replay(const struct cli *c, const json_t *result)
{
	const json_t *notes = json_member_array(result, "notes");

	for (size_t i = 0; i < json_array_size(notes); i++)
		fprintf(stderr, "note: %s\n", json_string_value(json_array_get(notes, i)));
	if (c->json)
		cli_print_json(result);
	else
		print_counts(result);
	return json_member_int(result, "failed", 0) ? CLI_PARTLY : CLI_OK;
}

int cmd_replay(struct cli *c)
{
	struct cli_answer a = { .row = print_replayed, .arg = c };
	json_t *request = json_object();
	struct err e = { 0 };
	char *query;
	int status;

	if (!cli_get(c, "archive"))
		cli_usage(c, "which archive? (--archive NAME)");
	if (put_rule_set(c, request, true, &e) != RC_OK) {
		json_decref(request);
		(void)cli_fail(c, &e);
		return CLI_USAGE;
	}
	query = cli_join(c);
	json_put_text(request, "op", slice_str("replay"));
	json_put_text(request, "archive", slice_str(cli_get(c, "archive")));
	json_put(request, "query", json_of_slice(slice_str(query)));
	json_put_int(request, "limit", (int64_t)cli_number(c, "limit", 0));
	free(query);
	status = cli_request(c, request, &a);
	cli_progress_end(c);
	if (status == CLI_OK)
		status = print_replay(c, a.result);
	json_decref(a.result);
	return status;
}
