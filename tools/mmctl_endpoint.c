#include "tools/mmctl_endpoint.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/errors.h"
#include "base/file.h"
#include "base/json.h"
#include "base/sigv4.h"
#include "ingest/deliver.h"
#include "store/crypt.h"
#include "tools/mmctl_http.h"

#define KEY_ID_NAME "AWS_ACCESS_KEY_ID"
#define SECRET_NAME "AWS_SECRET_ACCESS_KEY"
#define KEY_FILE    4096
#define CA_FILE     4194304
#define ANSWER_S    300

struct endpoint {
	struct http_site site;
};

/* ---- the key ---- */

static bool is_word(struct slice s, size_t most)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] <= ' ' || s.at[i] >= 127)
			return false;
	return s.len > 0 && s.len <= most;
}

static enum rc keep_key(struct http_site *site, struct slice id, struct slice secret, struct err *e)
{
	if (!is_word(id, sizeof(site->key_id) - 1) || slice_find_byte(id, '/') != SIZE_MAX ||
	    slice_find_byte(id, ',') != SIZE_MAX || !is_word(secret, sizeof(site->secret) - 1))
		return err_set(e, RC_INVALID, "the access key or its secret isn't one");
	memcpy(site->key_id, id.at, id.len);
	memcpy(site->secret, secret.at, secret.len);
	return RC_OK;
}

static void wipe_and_free(void *at)
{
	if (at)
		crypt_wipe(at, malloc_usable_size(at));
	free(at);
}

/* What mmctl principal create --json prints. */
static enum rc take_json(struct http_site *site, struct slice text, struct err *e)
{
	json_t *o = NULL;
	enum rc rc = json_read(&o, text, e);

	if (rc == RC_OK &&
	    !(json_member_text(o, "AccessKeyId").at && json_member_text(o, "SecretAccessKey").at))
		rc = err_set(e, RC_INVALID,
		             "wants what mmctl principal create --json prints: "
		             "{\"AccessKeyId\":...,\"SecretAccessKey\":...}");
	if (rc == RC_OK)
		rc = keep_key(site, json_member_text(o, "AccessKeyId"),
		              json_member_text(o, "SecretAccessKey"), e);
	json_decref(o);
	return rc;
}

static enum rc take_file(struct http_site *site, const char *path, struct err *e)
{
	char text[KEY_FILE];
	struct file *f;
	struct stat st;
	size_t got = 0;
	enum rc rc = file_open(&f, path, FILE_READ, e);

	if (rc != RC_OK)
		return rc;
	if (fstat(file_fd(f), &st) < 0)
		rc = err_sys(e, "%s", path);
	else if (st.st_mode & 077)
		rc = err_set(e, RC_DENIED, "%s is open to others (mode %03o, wants 600)", path,
		             (unsigned)st.st_mode & 0777);
	else
		rc = file_read_some(f, text, sizeof(text), 0, &got, e);
	file_close(&f);
	if (rc == RC_OK && take_json(site, slice_of(text, got), e) != RC_OK)
		rc = err_in(e, "%s", path);
	crypt_wipe(text, sizeof(text));
	return rc;
}

/* A variable is read once: /proc/PID/environ shows it no more. */
static void forget_variable(const char *name)
{
	char *value = getenv(name);

	if (value)
		crypt_wipe(value, strlen(value));
	(void)unsetenv(name);
}

static enum rc take_environment(struct http_site *site, struct err *e)
{
	const char *token = getenv("AWS_SESSION_TOKEN");
	const char *id = getenv(KEY_ID_NAME);
	const char *secret = getenv(SECRET_NAME);

	if (!id || !secret)
		return err_set(e, RC_INVALID,
		               "which key? (--credentials FILE, or " KEY_ID_NAME " and " SECRET_NAME
		               " in the environment)");
	if (token && *token)
		return err_set(e, RC_INVALID,
		               "AWS_SESSION_TOKEN is set: mm knows no session tokens");
	return keep_key(site, slice_str(id), slice_str(secret), e);
}

static enum rc take_key(struct cli *c, struct http_site *site, struct err *e)
{
	const char *path = cli_get(c, "credentials");
	enum rc rc = path ? take_file(site, path, e) : take_environment(site, e);

	c->no_data = path && rc != RC_OK && rc != RC_INVALID;
	forget_variable(SECRET_NAME);
	forget_variable("AWS_SESSION_TOKEN");
	return rc;
}

/* ---- requests ---- */

static const struct {
	const char *op;
	const char *operation;
	const char *members[2][2]; /* of the request, and of the operation */
} mapped[] = {
	{ "apply", "MmApply", { { "text", "Text" } } },
	{ "dump", "MmDump", { { NULL } } },
	{ "show", "MmShow", { { "kind", "Kind" }, { "name", "Name" } } },
	{ "status", "MmStatus", { { NULL } } },
	{ "passwd", "MmPasswd", { { "name", "Name" }, { "password", "Password" } } },
};

static enum rc rc_of(enum api_error error)
{
	switch (error) {
	case API_VALIDATION:
	case API_SERIALIZATION:
		return RC_INVALID;
	case API_NOT_FOUND:
		return RC_NOTFOUND;
	case API_CONFLICT:
		return RC_EXISTS;
	case API_QUOTA:
	case API_TOO_LARGE:
		return RC_LIMIT;
	case API_UNAVAILABLE:
		return RC_IO;
	default:
		return RC_DENIED;
	}
}

/* For a terminal: what the server says, without control characters. */
static json_t *plain(struct slice text)
{
	char *copy = slice_string(slice_part(text, 0, 400));
	json_t *value;

	for (char *c = copy; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
	value = json_of_slice(slice_str(copy));
	free(copy);
	return value;
}

/* {"error","message"}, as the socket's request "api" answers it. */
static json_t *failure_of(const json_t *body)
{
	struct slice name = json_member_text(body, "__type");
	struct slice text = json_member_text(body, "message");
	size_t colon = slice_find_byte(name, '#'); /* "namespace#Name" */
	json_t *o = json_object();
	char said[512];
	json_t *message = plain(text);

	json_put(o, "error", plain(colon == SIZE_MAX ? name : slice_from(name, colon + 1)));
	/* What to do isn't the server's to say: it can't know whose clock is wrong. */
	if (slice_starts_nocase(text, slice_str("Signature expired")) ||
	    slice_starts_nocase(text, slice_str("Signature not yet current"))) {
		(void)snprintf(said, sizeof(said),
		               "%s; the clocks of this machine and of the server differ: set both "
		               "right, a signature is good for 5 minutes",
		               json_string_value(message));
		json_decref(message);
		message = json_of_slice(slice_str(said));
	}
	json_put(o, "message", message);
	return o;
}

static enum rc call(const struct endpoint *ep, const char *operation, struct slice input,
                    json_t **output, json_t **failure, struct err *e)
{
	struct http_reply r = { .status = 0 };
	json_t *body = NULL;
	struct err ignored;
	enum rc rc = http_ask(&ep->site, operation, input, &r, e);

	if (rc == RC_OK &&
	    (json_read(&body, buf_slice(&r.body), &ignored) != RC_OK || !json_is_object(body) ||
	     (r.status != 200 && !json_member_text(body, "__type").len)))
		rc = err_set(e, RC_IO, "%s: an answer that can't be read (HTTP %ld)", ep->site.host,
		             r.status);
	buf_free(&r.body);
	if (rc == RC_OK && r.status == 200)
		*output = json_incref(body);
	else if (rc == RC_OK)
		*failure = failure_of(body);
	json_decref(body);
	return rc;
}

/* An operation by its name; the result has the form of the request "api". */
static enum rc ask_operation(const struct endpoint *ep, const json_t *request, json_t **result,
                             struct err *e)
{
	json_t *output = NULL;
	json_t *failure = NULL;
	char *operation = slice_string(json_member_text(request, "operation"));
	enum rc rc = call(ep, operation, json_member_text(request, "text"), &output, &failure, e);

	free(operation);
	if (rc != RC_OK)
		return rc;
	*result = failure;
	if (output) {
		*result = json_object();
		json_put(*result, "output", output);
	}
	return RC_OK;
}

/* The request's answer is JSON in the text of the operation's. */
static enum rc ask_mapped(const struct endpoint *ep, size_t at, const json_t *request,
                          json_t **result, struct err *e)
{
	json_t *input = json_object();
	json_t *output = NULL;
	json_t *failure = NULL;
	struct buf text;
	struct err ignored;
	enum rc rc;

	for (size_t i = 0; i < 2 && mapped[at].members[i][0]; i++) {
		struct slice value = json_member_text(request, mapped[at].members[i][0]);

		if (value.at)
			json_put_text(input, mapped[at].members[i][1], value);
	}
	buf_init(&text, LIMIT_REQUEST);
	rc = json_write(&text, input);
	json_decref(input);
	if (rc == RC_OK)
		rc = call(ep, mapped[at].operation, buf_slice(&text), &output, &failure, e);
	buf_free(&text);
	if (rc == RC_OK && failure)
		rc = err_set(e, rc_of(api_error_find(json_member_text(failure, "error"))), "%s: %s",
		             json_string_value(json_object_get(failure, "error")),
		             json_string_value(json_object_get(failure, "message")));
	else if (rc == RC_OK &&
	         json_read(result, json_member_text(output, "Text"), &ignored) != RC_OK)
		rc = err_set(e, RC_IO, "%s: an answer that can't be read", ep->site.host);
	json_decref(output);
	json_decref(failure);
	return rc;
}

static enum rc ask(struct cli *c, json_t *request, struct cli_answer *a, struct err *e)
{
	const struct endpoint *ep = c->elsewhere_arg;
	struct slice op = json_member_text(request, "op");
	enum rc rc = RC_INVALID;
	size_t i = 0;

	while (i < COUNT(mapped) && !slice_equal(op, slice_str(mapped[i].op)))
		i++;
	if (i < COUNT(mapped))
		rc = ask_mapped(ep, i, request, &a->result, e);
	else
		rc = ask_operation(ep, request, &a->result, e);
	c->no_data = rc == RC_AGAIN;
	json_decref(request);
	return rc;
}

/* ---- options ---- */

static void check_command(const struct cli *c)
{
	static const char *const commands[] = { "apply", "call",   "dump", "passwd",
		                                "show",  "status", "wait" };

	for (size_t i = 0; i < COUNT(commands); i++)
		if (strcmp(c->command, commands[i]) == 0)
			return;
	cli_usage(c,
	          "%s needs the socket of mmd (--data or --socket): an endpoint answers apply, "
	          "call, dump, passwd, show, status, wait",
	          c->command);
}

/* 127.0.0.0/8, ::1, localhost: it doesn't leave this machine. */
static bool is_loopback(struct slice host)
{
	static const uint8_t one[16] = { [15] = 1 };
	bool six = host.len > 2 && host.at[0] == '[';
	char *text = slice_string(six ? slice_part(host, 1, host.len - 2) : host);
	uint8_t address[16];
	bool yes = slice_equal_nocase(host, slice_str("localhost"));

	if (six)
		yes = inet_pton(AF_INET6, text, address) == 1 && memcmp(address, one, 16) == 0;
	else if (inet_pton(AF_INET, text, address) == 1)
		yes = address[0] == 127;
	free(text);
	return yes;
}

/* Passwords and resources go by it. */
static void check_secrecy(const struct cli *c, const struct http_site *site, struct slice host)
{
	if (!site->tls && !is_loopback(host))
		cli_usage(c,
		          "%s by http to another machine could be read on the way: use "
		          "https://%.*s (api.tls_cert of mmd's configuration)",
		          c->command, (int)host.len, (const char *)host.at);
}

static void take_url(const struct cli *c, struct http_site *site)
{
	const char *url = cli_get(c, "endpoint");
	struct slice host;
	uint16_t port;

	if (!deliver_url(slice_str(url), &site->tls, &host, &port))
		cli_usage(c, "--endpoint %s: wants http://HOST:PORT or https://HOST:PORT", url);
	check_secrecy(c, site, host);
	(void)snprintf(site->host, sizeof(site->host),
	               port == (site->tls ? 443 : 80) ? "%.*s" : "%.*s:%u", (int)host.len,
	               (const char *)host.at, port);
}

static enum rc take_ca(const struct cli *c, struct http_site *site, struct err *e)
{
	const char *path = cli_get(c, "ca-file");
	enum rc rc;

	buf_init(&site->ca, CA_FILE);
	if (path && !site->tls)
		cli_usage(c, "--ca-file is for an endpoint with https");
	if (!path)
		return RC_OK;
	rc = file_read_all(path, &site->ca, e);
	/* None at all would mean the system's. */
	if (rc == RC_OK &&
	    slice_find(buf_slice(&site->ca), slice_str("CERTIFICATE-----")) == SIZE_MAX)
		rc = err_set(e, RC_INVALID, "%s: no certificate is in it (PEM)", path);
	return rc;
}

static void check_options(const struct cli *c)
{
	static const char *const needy[] = { "credentials", "ca-file" };

	for (size_t i = 0; i < COUNT(needy); i++)
		if (cli_has(c, needy[i]))
			cli_usage(c, "--%s is for --endpoint", needy[i]);
	if (cli_has(c, "timeout") && strcmp(c->command, "wait") != 0)
		cli_usage(c, "--timeout is for wait, and for --endpoint");
}

struct endpoint *endpoint_use(struct cli *c)
{
	struct err e = { 0 };
	struct endpoint *ep;
	enum rc rc;

	if (!cli_has(c, "endpoint")) {
		check_options(c);
		return NULL;
	}
	check_command(c);
	json_set_alloc_funcs(malloc, wipe_and_free);
	crypt_init();
	sigv4_init();
	MUST(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
	ep = mem_new(sizeof(*ep));
	take_url(c, &ep->site);
	ep->site.seconds = MAX_OF(cli_number(c, "timeout", ANSWER_S), (uint64_t)1);
	if (strcmp(c->command, "wait") == 0) /* which asks again and again */
		ep->site.seconds = MIN_OF(ep->site.seconds, (uint64_t)ANSWER_S);
	rc = take_ca(c, &ep->site, &e);
	if (rc == RC_OK)
		rc = take_key(c, &ep->site, &e);
	if (rc != RC_OK) {
		int status = cli_fail(c, &e);

		endpoint_close(&ep);
		exit(cli_end(c, c->no_data ? CLI_NO_DATA : status == CLI_OK ? CLI_USAGE : status));
	}
	c->elsewhere = ask;
	c->elsewhere_arg = ep;
	return ep;
}

void endpoint_close(struct endpoint **at)
{
	struct endpoint *ep = *at;

	*at = NULL;
	if (!ep)
		return;
	buf_free(&ep->site.ca);
	crypt_wipe(ep, sizeof(*ep));
	free(ep);
	curl_global_cleanup();
}
