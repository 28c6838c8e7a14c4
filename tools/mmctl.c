/* tools/mmctl.c - administration: make a data directory, configure it, ask how it is */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/engine.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "tools/cli.h"
#include "tools/mmctl_call.h"
#include "tools/mmctl_endpoint.h"
#include "tools/mmctl_keys.h"
#include "tools/mmctl_trial.h"
#include "tools/mmctl_log.h"
#include "tools/mmctl_queue.h"
#include "tools/mmctl_why.h"

static const struct cli_option options[] = {
	{ "recovery", "FILE", "write a copy of the master key there; keep it elsewhere", "init" },
	{ "passphrase", NULL, "make the master key from a passphrase, which each start asks for",
	  "init" },
	{ "timeout", "S", "give up after S seconds (wait: 60; an answer over --endpoint: 300)",
	  NULL },
	{ "running", NULL, "of a running mmd only", "status" },
	{ "archive", "NAME", "only this archive (principal: that an auditor has; again for more)",
	  "reindex principal explain replay" },
	{ "rule-set", "NAME|FILE", "judge by this rule set, or by that in a file of apply",
	  "explain replay" },
	{ "message", "ID|FILE", "an archived message, or one in a file (log: an ID)",
	  "explain log" },
	{ "from", "ADDRESS", "of a message in a file: MAIL FROM (log: a TIME, from then on)",
	  "explain log" },
	{ "to", "ADDRESS", "RCPT TO; again for more (log: a TIME, before then)", "explain log" },
	{ "helo", "NAME", "what the client called itself", "explain" },
	{ "ip", "ADDRESS", "its address", "explain" },
	{ "tls", "VERSION", "1.2, 1.3 or none", "explain" },
	{ "spf", "VERDICT", "PASS, FAIL, GRAY or PROCESSING_FAILED (the default)", "explain" },
	{ "dkim", "VERDICT", "the same", "explain" },
	{ "dmarc", "POLICY", "what DMARC asks for: NONE, QUARANTINE or REJECT", "explain" },
	{ "all-archives", NULL, "an auditor of all, those to come too", "principal" },
	{ "role", "ROLE", "admin, operator or auditor", "principal" },
	{ "uid", "UID|USER", "this user of the system, instead of an access key", "principal" },
	{ "selector", "NAME", "of the key (default: mm and the date)", "dkim" },
	{ "algorithm", "rsa|ed25519", "rsa without it; not all can check ed25519", "dkim" },
	{ "disposition", "WORD", "unmatched, dropped, delivered, dead-letter ...: mmctl(1)",
	  "list" },
	{ "limit", "N", "at most N messages, tasks, or records of the log",
	  "list replay log queue dead-letter" },
	{ "kind", "WORD", "ingress, rule, policy or gap", "log" },
	{ "follow", NULL, "go on with what comes, until you end it", "log" },
	{ "password-file", "FILE", "read the password from FILE (or - for stdin)", "passwd" },
	{ "endpoint", "URL", "ask the control API there; http or https (docs/man/mmctl.1.md)",
	  NULL },
	{ "credentials", "FILE", "its key, as principal create --json prints it", NULL },
	{ "ca-file", "FILE", "PEM of who may sign its certificate, in place of the system's",
	  NULL },
};

static const struct cli_command commands[] = {
	{ "init", "", "make the data directory, its master key and key ring" },
	{ "apply", "FILE", "create or update resources from a declarative file" },
	{ "show", "[KIND [NAME]]", "print resources as JSON" },
	{ "dump", "", "print all resources as a file that apply takes" },
	{ "call", "OPERATION [JSON]", "an operation of the control API; JSON may be @FILE or -" },
	{ "passwd", "NAME", "set the password of an AUTH ingress point" },
	{ "status", "", "how much is spooled, archived, failed" },
	{ "wait", "", "until everything accepted is archived" },
	{ "list", "", "messages that are in no archive, or were erased from one, and why" },
	{ "why", "ID", "what became of a message, by which rule, kept until when" },
	{ "explain", "", "what a rule set does with a message, condition by condition" },
	{ "replay", "[QUERY]...", "which archived messages a rule set would treat otherwise" },
	{ "log", "", "records of the sealed log: what was accepted, what rules and policies did" },
	{ "queue", "[WHAT [N]]", "list, show, retry, hold, drop what waits to be sent, or called" },
	{ "dead-letter", "[WHAT [N]]",
	  "list, show, retry, drop what could not be, and nobody was told" },
	{ "verify", "", "check store, index and audit log against each other" },
	{ "reindex", "", "rebuild the index from the store" },
	{ "seal", "", "seal the open index shards now" },
	{ "repack", "", "merge the small blocks of past days now" },
	{ "principal", "WHAT [NAME]",
	  "create, list, show, archives, disable, enable, delete, key" },
	{ "dkim", "WHAT [DOMAIN [NAME]]", "create, list, use, delete keys that sign mail" },
	{ "secret", "WHAT [NAME]", "set, list, delete user names and passwords of relays" },
};

static const struct cli_spec spec = {
	.program = "mmctl",
	.summary = "administer mm",
	.arguments = "",
	.options = options,
	.option_count = COUNT(options),
	.commands = commands,
	.command_count = COUNT(commands),
};

/* ---- init ---- */

static void warn_of_key(const char *dir, const char *key, const char *recovery)
{
	fprintf(stderr,
	        "mmctl: warning: the master key %s lies on the file system of %s.\n"
	        "mmctl: whoever copies both can read the archive; whoever loses it, never again.\n",
	        key, dir);
	if (recovery)
		fprintf(stderr, "mmctl: its copy is %s; keep it elsewhere.\n", recovery);
	else
		fprintf(stderr, "mmctl: keep a copy of %s elsewhere.\n", key);
}

static bool shares_file_system(const char *a, const char *b)
{
	struct stat x;
	struct stat y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev;
}

static void print_made(const char *dir, const char *key)
{
	json_t *o = json_object();

	json_put(o, "data", json_of_slice(slice_str(dir)));
	json_put(o, "key_file", json_of_slice(slice_str(key)));
	cli_print_json(o);
	json_decref(o);
}

static int cmd_init(struct cli *c)
{
	struct err e = { 0 };
	char *key;

	if (!c->data)
		cli_usage(c, "which data directory? (--data DIR, or MM_DATA)");
	if (engine_init(c->data, c->key_file, cli_get(c, "recovery"), cli_has(c, "passphrase"),
	                &e) != RC_OK) {
		(void)cli_fail(c, &e);
		return CLI_NO_DATA;
	}
	key = engine_key_path(c->data, c->key_file);
	if (c->json)
		print_made(c->data, key);
	else
		printf("made %s; its master key is %s\n", c->data, key);
	if (!cli_has(c, "passphrase") && shares_file_system(c->data, key))
		warn_of_key(c->data, key, cli_get(c, "recovery"));
	free(key);
	return CLI_OK;
}

/* ---- resources ---- */

/* "-" is stdin. */
static void print_changes(const json_t *result)
{
	json_t *list = json_member_array(result, "changes");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);

		printf("%s %s %s (version %lld)\n", json_string_value(json_object_get(one, "what")),
		       json_string_value(json_object_get(one, "kind")),
		       json_string_value(json_object_get(one, "name")),
		       (long long)json_member_int(one, "version", 0));
	}
	if (json_array_size(list) == 0)
		printf("nothing changed\n");
}

static int cmd_apply(struct cli *c)
{
	struct cli_answer a = { .row = NULL };
	struct err e = { 0 };
	struct buf text;
	json_t *request;
	int status;

	if (c->argument_count != 1)
		cli_usage(c, "apply takes one file");
	buf_init(&text, LIMIT_CONFIG_FILE / 2);
	if (cli_read_input(c->arguments[0], &text, &e) != RC_OK) {
		buf_free(&text);
		(void)cli_fail(c, &e);
		return CLI_USAGE;
	}
	request = json_object();
	json_put_text(request, "op", slice_str("apply"));
	json_put(request, "text", json_of_slice(buf_slice(&text)));
	buf_free(&text);
	status = cli_request(c, request, &a);
	if (status == CLI_OK && c->json)
		cli_print_json(a.result);
	else if (status == CLI_OK)
		print_changes(a.result);
	json_decref(a.result);
	return status;
}

static int cmd_show(struct cli *c)
{
	struct cli_answer a = { .row = NULL };
	json_t *request = json_object();
	struct buf text;
	int status;

	if (c->argument_count > 2)
		cli_usage(c, "show takes one kind and one name");
	json_put_text(request, "op", slice_str("show"));
	if (c->argument_count > 0)
		json_put_text(request, "kind", slice_str(c->arguments[0]));
	if (c->argument_count > 1)
		json_put_text(request, "name", slice_str(c->arguments[1]));
	status = cli_request(c, request, &a);
	buf_init(&text, LIMIT_REQUEST);
	if (status == CLI_OK && c->json)
		cli_print_json(a.result);
	else if (status == CLI_OK && json_write_pretty(&text, a.result) == RC_OK)
		printf("%s", buf_text(&text));
	buf_free(&text);
	json_decref(a.result);
	return status;
}

static int cmd_passwd(struct cli *c)
{
	struct cli_answer a = { .row = NULL };
	struct err e = { 0 };
	struct buf text;
	struct slice password;
	json_t *request;
	int status;

	if (c->argument_count != 1)
		cli_usage(c, "passwd takes the name of an ingress point");
	buf_init(&text, 4096);
	if (cli_get(c, "password-file")) {
		if (cli_read_input(cli_get(c, "password-file"), &text, &e) != RC_OK) {
			(void)cli_fail(c, &e);
			return CLI_USAGE;
		}
		password = slice_trim(buf_slice(&text));
	} else {
		password = slice_str(getpass("Password: "));
	}
	request = json_pack("{s:s,s:s}", "op", "passwd", "name", c->arguments[0]);
	json_put(request, "password", json_of_slice(password));
	status = cli_request(c, request, &a);
	buf_free(&text);
	if (status == CLI_OK && c->json)
		cli_print_json(a.result);
	else if (status == CLI_OK)
		printf("set; one that was set before is valid for 14 more days\n");
	json_decref(a.result);
	return status;
}

/* ---- how it is ---- */

static void print_object(const json_t *o)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)o, name, value)
	{
		char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

		printf("%-20s %s\n", name,
		       json_is_string(value) ? json_string_value(value)
		       : text                ? text
		                             : "");
		free(text);
	}
}

static int simple(struct cli *c, json_t *request)
{
	struct cli_answer a = { .row = NULL };
	int status = cli_request(c, request, &a);

	if (status == CLI_OK && c->json)
		cli_print_json(a.result);
	else if (status == CLI_OK)
		print_object(a.result);
	json_decref(a.result);
	return status;
}

static int cmd_status(struct cli *c)
{
	c->only_running = cli_has(c, "running");
	return simple(c, json_pack("{s:s}", "op", "status"));
}

static int cmd_wait(struct cli *c)
{
	int64_t until = clock_mono_ms() + (int64_t)cli_number(c, "timeout", 60) * 1000;

	for (;;) {
		struct cli_answer a = { .row = NULL };
		int status = cli_request(c, json_pack("{s:s}", "op", "status"), &a);
		int64_t left = json_member_int(a.result, "spooled", 1);

		bool known = json_object_get(a.result, "spooled") != NULL;

		json_decref(a.result);
		if (status != CLI_OK)
			return status;
		if (!known) {
			fprintf(stderr, "mmctl: this role isn't told what is in the spool\n");
			return CLI_PARTLY;
		}
		if (left == 0)
			return CLI_OK;
		if (clock_mono_ms() >= until) {
			fprintf(stderr, "mmctl: %lld messages are still in the spool\n",
			        (long long)left);
			return CLI_PARTLY;
		}
		cli_progress(c, "in the spool", (uint64_t)left, 0);
		clock_sleep_ms(100);
	}
}

static enum rc print_row(void *arg, json_t *row, struct err *e)
{
	const struct cli *c = arg;
	char *text;

	(void)e;
	if (c->json) {
		cli_print_json(row);
		return RC_OK;
	}
	text = json_dumps(row, JSON_COMPACT);
	printf("%s\n", text ? text : "");
	free(text);
	return RC_OK;
}

static enum rc show_progress(void *arg, json_t *row, struct err *e)
{
	(void)e;
	cli_progress(arg, "messages", (uint64_t)json_member_int(row, "done", 0),
	             (uint64_t)json_member_int(row, "total", 0));
	return RC_OK;
}

/* Rows are problems, and now and then how far it is. */
static enum rc print_problem(void *arg, json_t *row, struct err *e)
{
	if (json_object_get(row, "done"))
		return show_progress(arg, row, e);
	cli_progress_end(arg);
	return print_row(arg, row, e);
}

static int cmd_verify(struct cli *c)
{
	struct cli_answer a = { .row = print_problem, .arg = c };
	int status = cli_request(c, json_pack("{s:s}", "op", "verify"), &a);

	cli_progress_end(c);
	if (status != CLI_OK)
		return status;
	if (c->json)
		cli_print_json(a.result);
	else
		printf("%lld messages, %lld index rows, %lld problems\n",
		       (long long)json_member_int(a.result, "messages", 0),
		       (long long)json_member_int(a.result, "rows", 0),
		       (long long)json_member_int(a.result, "problems", 0));
	if (json_member_int(a.result, "problems", 0))
		status = CLI_PARTLY;
	json_decref(a.result);
	return status;
}

static int cmd_reindex(struct cli *c)
{
	struct cli_answer a = { .row = print_problem, .arg = c };
	json_t *request = json_pack("{s:s}", "op", "reindex");
	int status;

	if (cli_get(c, "archive"))
		json_put_text(request, "archive", slice_str(cli_get(c, "archive")));
	status = cli_request(c, request, &a);
	cli_progress_end(c);
	if (status == CLI_OK && c->json)
		cli_print_json(a.result);
	else if (status == CLI_OK)
		print_object(a.result);
	if (status == CLI_OK && json_member_int(a.result, "failed", 0))
		status = CLI_PARTLY;
	json_decref(a.result);
	return status;
}

static int cmd_seal(struct cli *c)
{
	return simple(c, json_pack("{s:s}", "op", "seal"));
}

static int cmd_repack(struct cli *c)
{
	return simple(c, json_pack("{s:s}", "op", "repack"));
}

/* ---- principals ---- */

static json_t *principal_request(const struct cli *c, const char *op)
{
	json_t *request = json_pack("{s:s}", "op", op);

	if (c->argument_count > 1)
		json_put_text(request, "name", slice_str(c->arguments[1]));
	return request;
}

static void put_archives(const struct cli *c, json_t *request)
{
	json_t *list = json_array();
	const char *name;

	for (size_t i = 0; (name = cli_get_at(c, "archive", i)) != NULL; i++)
		json_push(list, json_of_slice(slice_str(name)));
	json_put(request, "archives", list);
	json_put_bool(request, "all_archives", cli_has(c, "all-archives"));
}

/* A number is one; else the name of a user of this system. */
static int64_t uid_of(const struct cli *c, const char *text)
{
	const struct passwd *user;
	uint64_t uid;

	if (slice_to_u64(slice_str(text), &uid) && uid < UINT32_MAX)
		return (int64_t)uid;
	user = getpwnam(text);
	if (!user)
		cli_usage(c, "there is no user %s", text);
	return (int64_t)user->pw_uid;
}

/* What a change answers: a new key, or nothing. */
static int principal_changed(struct cli *c, json_t *request, const char *done)
{
	struct cli_answer a = { .row = NULL };
	int status = cli_request(c, request, &a);

	if (status == CLI_OK && c->json) {
		cli_print_json(a.result);
	} else if (status == CLI_OK) {
		printf("%s %s\n", done, c->arguments[1]);
		print_object(a.result);
	}
	if (status == CLI_OK && json_object_get(a.result, "SecretAccessKey"))
		fprintf(stderr, "mmctl: the secret is shown this once: keep it now. Who loses it "
		                "gets another key (mmctl principal key add NAME).\n");
	json_decref(a.result);
	return status;
}

static int cmd_principal_create(struct cli *c)
{
	const char *role = cli_get(c, "role");
	const char *user = cli_get(c, "uid");
	json_t *request = principal_request(c, "principal-create");
	int status;

	if (!role)
		cli_usage(c, "which role? (--role admin, operator or auditor)");
	json_put_text(request, "role", slice_str(role));
	put_archives(c, request);
	if (user)
		json_put_int(request, "uid", uid_of(c, user));
	status = principal_changed(c, request, "created");
	if (status == CLI_OK && strcmp(role, "auditor") == 0 && !cli_get(c, "archive") &&
	    !cli_has(c, "all-archives"))
		fprintf(stderr,
		        "mmctl: %s sees nothing yet; give it archives: mmctl principal archives %s "
		        "--archive NAME\n",
		        c->arguments[1], c->arguments[1]);
	return status;
}

static void print_archives(const json_t *row)
{
	const json_t *names = json_member_array(row, "Archives");

	if (json_member_bool(row, "AllArchives", false))
		printf(" all archives");
	for (size_t i = 0; i < json_array_size(names); i++)
		printf("%s%s", i ? ", " : " ", json_string_value(json_array_get(names, i)));
}

static enum rc print_principal(void *arg, json_t *row, struct err *e)
{
	const json_t *keys = json_member_array(row, "Keys");
	const struct cli *c = arg;

	(void)e;
	if (c->json) {
		cli_print_json(row);
		return RC_OK;
	}
	printf("%-20s %-8s", json_string_value(json_object_get(row, "Name")),
	       json_string_value(json_object_get(row, "Role")));
	if (json_object_get(row, "Uid"))
		printf(" uid %lld", (long long)json_member_int(row, "Uid", 0));
	for (size_t i = 0; i < json_array_size(keys); i++)
		printf(" %s",
		       json_string_value(json_object_get(json_array_get(keys, i), "AccessKeyId")));
	print_archives(row);
	printf("%s\n", json_member_bool(row, "Disabled", false) ? " (disabled)" : "");
	return RC_OK;
}

static int cmd_principal_list(struct cli *c)
{
	struct cli_answer a = { .row = print_principal, .arg = c };
	int status = cli_request(c, principal_request(c, "principals"), &a);

	json_decref(a.result);
	return status;
}

static int cmd_principal_archives(struct cli *c)
{
	json_t *request = principal_request(c, "principal-archives");

	put_archives(c, request);
	return principal_changed(c, request, "changed");
}

static int cmd_principal_enable(struct cli *c)
{
	bool enabled = strcmp(c->arguments[0], "enable") == 0;
	json_t *request = principal_request(c, "principal-enable");

	json_put_bool(request, "enabled", enabled);
	return principal_changed(c, request, enabled ? "enabled" : "disabled");
}

static int cmd_principal_delete(struct cli *c)
{
	return principal_changed(c, principal_request(c, "principal-delete"), "deleted");
}

/* principal key add NAME, principal key remove NAME KEY: `key` has gone from the arguments. */
static int cmd_principal_key(struct cli *c)
{
	bool add = strcmp(c->arguments[0], "add") == 0;
	json_t *request = principal_request(c, add ? "principal-key-add" : "principal-key-remove");

	if (!add)
		json_put_text(request, "key", slice_str(c->arguments[2]));
	return principal_changed(c, request, add ? "a new key for" : "removed a key of");
}

static int cmd_principal(struct cli *c)
{
	static const struct {
		const char *what;
		size_t arguments; /* with itself */
		int (*run)(struct cli *c);
	} verbs[] = {
		{ "create", 2, cmd_principal_create },  { "list", 1, cmd_principal_list },
		{ "show", 2, cmd_principal_list },      { "archives", 2, cmd_principal_archives },
		{ "disable", 2, cmd_principal_enable }, { "enable", 2, cmd_principal_enable },
		{ "delete", 2, cmd_principal_delete },  { "key add", 2, cmd_principal_key },
		{ "key remove", 3, cmd_principal_key },
	};
	struct cli rest = *c; /* from the verb's last word on */
	char what[32] = "";
	int status = CLI_USAGE;
	size_t i = 0;

	if (c->argument_count > 1 && strcmp(c->arguments[0], "key") == 0) {
		(void)snprintf(what, sizeof(what), "key %s", c->arguments[1]);
		rest.arguments++;
		rest.argument_count--;
	} else if (c->argument_count > 0) {
		(void)snprintf(what, sizeof(what), "%s", c->arguments[0]);
	}
	while (i < COUNT(verbs) &&
	       (strcmp(what, verbs[i].what) != 0 || rest.argument_count != verbs[i].arguments))
		i++;
	if (i < COUNT(verbs)) {
		status = verbs[i].run(&rest);
		c->engine = rest.engine;
		return status;
	}
	cli_usage(c, "principal create NAME, list, show NAME, archives NAME, disable NAME, "
	             "enable NAME, delete NAME, key add NAME, key remove NAME KEY");
}

/* In the order of `commands`. */
static int (*const handlers[])(struct cli *c) = {
	cmd_init,   cmd_apply,     cmd_show,        cmd_dump,   cmd_call,    cmd_passwd,
	cmd_status, cmd_wait,      cmd_list,        cmd_why,    cmd_explain, cmd_replay,
	cmd_log,    cmd_queue,     cmd_dead_letter, cmd_verify, cmd_reindex, cmd_seal,
	cmd_repack, cmd_principal, cmd_dkim,        cmd_secret
};

int main(int argc, char **argv)
{
	struct cli c;
	struct endpoint *endpoint;
	int status = CLI_USAGE;

	MUST(COUNT(handlers) == COUNT(commands));
	cli_parse(&c, &spec, argc, argv);
	endpoint = endpoint_use(&c);
	for (size_t i = 0; i < COUNT(commands); i++)
		if (strcmp(c.command, commands[i].name) == 0)
			status = handlers[i](&c);
	endpoint_close(&endpoint);
	return cli_end(&c, status);
}
