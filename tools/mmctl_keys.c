#include "tools/mmctl_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "store/crypt.h"

#define STRING_MOST 255 /* of a string in a TXT record (RFC 1035 section 3.3) */
#define SECRET_MOST 8192

struct verb {
	const char *what;
	size_t arguments; /* with itself */
	int (*run)(struct cli *c);
};

static int run_verb(struct cli *c, const struct verb *verbs, size_t count, const char *usage)
{
	for (size_t i = 0; c->argument_count && i < count; i++)
		if (strcmp(c->arguments[0], verbs[i].what) == 0 &&
		    c->argument_count == verbs[i].arguments)
			return verbs[i].run(c);
	cli_usage(c, "%s", usage);
}

static const char *text_of(const json_t *o, const char *member)
{
	const char *text = json_string_value(json_object_get(o, member));

	return text ? text : "";
}

/* ---- dkim ---- */

/* The record's strings, as DNS has them. */
static json_t *strings_of(struct slice record)
{
	json_t *list = json_array();

	for (; record.len; record = slice_from(record, STRING_MOST))
		json_push(list, json_of_slice(slice_part(record, 0, STRING_MOST)));
	return list;
}

/* As a zone file has it. No quote and no backslash is in a record. */
static void print_record(const json_t *key)
{
	json_t *list = strings_of(json_member_text(key, "Record"));

	printf("%s. IN TXT (", text_of(key, "Name"));
	for (size_t i = 0; i < json_array_size(list); i++)
		printf("\n    \"%s\"", json_string_value(json_array_get(list, i)));
	printf(" )\n");
	json_decref(list);
}

static void print_key_json(json_t *key)
{
	json_put(key, "Strings", strings_of(json_member_text(key, "Record")));
	cli_print_json(key);
}

static int dkim_create(struct cli *c)
{
	struct cli_answer a = { .row = NULL };
	json_t *request = json_pack("{s:s,s:s}", "op", "dkim-create", "domain", c->arguments[1]);
	int status;

	if (cli_get(c, "selector"))
		json_put_text(request, "selector", slice_str(cli_get(c, "selector")));
	if (cli_get(c, "algorithm"))
		json_put_text(request, "algorithm", slice_str(cli_get(c, "algorithm")));
	status = cli_request(c, request, &a);
	if (status == CLI_OK && c->json)
		print_key_json(a.result);
	else if (status == CLI_OK)
		print_record(a.result);
	if (status == CLI_OK)
		fprintf(stderr,
		        "mmctl: publish this record. The first key of a domain signs from now on; "
		        "a "
		        "further one\n"
		        "mmctl: once it is put to use, when the record is to be had everywhere: "
		        "mmctl dkim use DOMAIN SELECTOR\n");
	json_decref(a.result);
	return status;
}

static enum rc print_key(void *arg, json_t *row, struct err *e)
{
	const struct cli *c = arg;

	(void)e;
	if (c->json) {
		print_key_json(row);
		return RC_OK;
	}
	printf("; %s %s %s, made %s%s\n", text_of(row, "Domain"), text_of(row, "Selector"),
	       text_of(row, "Algorithm"), text_of(row, "Created"),
	       json_member_bool(row, "InUse", false) ? ", in use" : "");
	print_record(row);
	return RC_OK;
}

static int dkim_list(struct cli *c)
{
	struct cli_answer a = { .row = print_key, .arg = c };
	int status = cli_request(c, json_pack("{s:s}", "op", "dkim-keys"), &a);

	json_decref(a.result);
	return status;
}

/* A change that answers nothing. */
static int changed(struct cli *c, json_t *request, const char *done)
{
	struct cli_answer a = { .row = NULL };
	int status = cli_request(c, request, &a);

	if (status == CLI_OK && c->json)
		cli_print_json(a.result);
	else if (status == CLI_OK)
		printf("%s\n", done);
	json_decref(a.result);
	return status;
}

static int dkim_change(struct cli *c)
{
	bool use = strcmp(c->arguments[0], "use") == 0;

	return changed(c,
	               json_pack("{s:s,s:s,s:s}", "op", use ? "dkim-use" : "dkim-delete", "domain",
	                         c->arguments[1], "selector", c->arguments[2]),
	               use ? "in use" : "deleted; its record in DNS may go in some days");
}

int cmd_dkim(struct cli *c)
{
	static const struct verb verbs[] = {
		{ "create", 2, dkim_create },
		{ "list", 1, dkim_list },
		{ "use", 3, dkim_change },
		{ "delete", 3, dkim_change },
	};

	return run_verb(c, verbs, COUNT(verbs),
	                "dkim create DOMAIN, list, use DOMAIN SELECTOR, delete DOMAIN SELECTOR");
}

/* ---- secret ---- */

/* {"username","password"}; a new reference in *out. */
static enum rc read_secret(json_t **out, struct err *e)
{
	struct buf text;
	enum rc rc;

	buf_init(&text, SECRET_MOST);
	rc = cli_read_input("-", &text, e);
	if (rc == RC_OK)
		rc = json_read(out, buf_slice(&text), e);
	if (text.at)
		crypt_wipe(text.at, text.len);
	buf_free(&text);
	if (rc == RC_OK &&
	    (!json_member_text(*out, "username").at || !json_member_text(*out, "password").at)) {
		json_decref(*out);
		*out = NULL;
		rc = RC_INVALID;
	}
	return rc == RC_OK ? RC_OK
	                   : err_set(e, RC_INVALID,
	                             "a secret is read from stdin as "
	                             "{\"username\":\"...\",\"password\":\"...\"}");
}

static json_t *ask_secret(void)
{
	json_t *o = json_object();
	char *line = NULL;
	size_t room = 0;

	(void)fprintf(stderr, "User name: ");
	if (getline(&line, &room, stdin) > 0)
		json_put(o, "username", json_of_slice(slice_trim(slice_str(line))));
	free(line);
	line = getpass("Password: ");
	if (line) {
		json_put(o, "password", json_of_slice(slice_str(line)));
		crypt_wipe(line, strlen(line));
	}
	return o;
}

static int secret_set(struct cli *c)
{
	json_t *given = NULL;
	json_t *request;
	struct err e = { 0 };

	if (isatty(STDIN_FILENO))
		given = ask_secret();
	else if (read_secret(&given, &e) != RC_OK)
		return cli_fail(c, &e);
	request = json_pack("{s:s,s:s}", "op", "secret-set", "name", c->arguments[1]);
	json_put_text(request, "username", json_member_text(given, "username"));
	json_put_text(request, "password", json_member_text(given, "password"));
	json_decref(given);
	return changed(c, request, "set");
}

static enum rc print_secret(void *arg, json_t *row, struct err *e)
{
	const struct cli *c = arg;

	(void)e;
	if (c->json)
		cli_print_json(row);
	else
		printf("%s (set %s)\n", text_of(row, "Name"), text_of(row, "Changed"));
	return RC_OK;
}

static int secret_list(struct cli *c)
{
	struct cli_answer a = { .row = print_secret, .arg = c };
	int status = cli_request(c, json_pack("{s:s}", "op", "secrets"), &a);

	json_decref(a.result);
	return status;
}

static int secret_delete(struct cli *c)
{
	return changed(c, json_pack("{s:s,s:s}", "op", "secret-delete", "name", c->arguments[1]),
	               "deleted");
}

int cmd_secret(struct cli *c)
{
	static const struct verb verbs[] = {
		{ "set", 2, secret_set },
		{ "list", 1, secret_list },
		{ "delete", 2, secret_delete },
	};

	return run_verb(
	        c, verbs, COUNT(verbs),
	        "secret set ARN-OR-NAME (reads {\"username\",\"password\"} from stdin), list, "
	        "delete ARN-OR-NAME");
}
