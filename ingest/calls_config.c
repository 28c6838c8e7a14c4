/* ingest/calls_config.c - the endpoints of the configuration, and the home that gets their keys */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/home.h"
#include "ingest/calls.h"
#include "ingest/calls_wire.h"
#include "ingest/deliver.h"

#define SECRET_MOST    4096
#define NAME_MOST      64
#define URL_MOST       2048
#define FUNCTIONS_MOST 256
#define WEBHOOKS       "webhooks/"

static const char *const services[] = { "s3", "lambda", "sns", "qbusiness" };

/* ---- checks ---- */

static enum rc check_members(const json_t *o, const char *where, const char *const *texts,
                             size_t count, struct err *e)
{
	const char *member;
	json_t *value;

	if (!json_is_object(o))
		return err_set(e, RC_INVALID, "endpoints.%s must be an object", where);
	json_object_foreach((json_t *)(uintptr_t)o, member, value)
	{
		size_t i = 0;

		while (i < count && strcmp(texts[i], member) != 0)
			i++;
		if (i == count)
			return err_set(e, RC_INVALID, "endpoints.%s.%.64s is not known", where,
			               member);
		if (!json_is_string(value) && strcmp(member, "functions") != 0)
			return err_set(e, RC_INVALID, "endpoints.%s.%.64s must be a text", where,
			               member);
	}
	return RC_OK;
}

static bool is_visible(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] <= ' ' || s.at[i] >= 127)
			return false;
	return true;
}

/* A secret of its own member, or in a file; never both. */
static enum rc check_secret(const json_t *o, const char *where, const char *member, struct err *e)
{
	char file[40];
	bool has_file;
	bool has_text;

	(void)snprintf(file, sizeof(file), "%s_file", member);
	has_text = json_member_text(o, member).at != NULL;
	has_file = json_member_text(o, file).at != NULL;
	if (has_text != has_file)
		return RC_OK;
	return err_set(e, RC_INVALID, "endpoints.%s has either %s or %s", where, member, file);
}

static enum rc check_service_url(const json_t *o, const char *where, struct err *e)
{
	struct slice host;
	uint16_t port;
	bool tls;

	if (!deliver_url(json_member_text(o, "url"), &tls, &host, &port))
		return err_set(e, RC_INVALID,
		               "endpoints.%s.url is https://HOST:PORT or"
		               " http://HOST:PORT",
		               where);
	if (json_member_text(o, "access_key").len == 0 ||
	    !is_visible(json_member_text(o, "access_key")))
		return err_set(e, RC_INVALID, "endpoints.%s.access_key is missing, or is none",
		               where);
	if (!is_visible(json_member_text(o, "region")))
		return err_set(e, RC_INVALID, "endpoints.%s.region is none", where);
	return check_secret(o, where, "secret_key", e);
}

/* ARN to "webhooks/NAME", each of which is there. */
static enum rc check_functions(const json_t *endpoints, const json_t *functions, struct err *e)
{
	const json_t *hooks = json_member_object(endpoints, "webhooks");
	const char *arn;
	json_t *value;

	if (functions &&
	    (!json_is_object(functions) || json_object_size(functions) > FUNCTIONS_MOST))
		return err_set(e, RC_INVALID,
		               "endpoints.lambda.functions must be an object of"
		               " at most %d members",
		               FUNCTIONS_MOST);
	json_object_foreach((json_t *)(uintptr_t)functions, arn, value)
	{
		const char *to = json_string_value(value);

		if (!to || strncmp(to, WEBHOOKS, strlen(WEBHOOKS)) != 0 ||
		    !json_object_get(hooks, to + strlen(WEBHOOKS)))
			return err_set(e, RC_INVALID,
			               "endpoints.lambda.functions: %.200s must be"
			               " \"" WEBHOOKS "NAME\" of a webhook that is configured",
			               arn);
	}
	return RC_OK;
}

static enum rc check_service(const json_t *endpoints, const char *name, struct err *e)
{
	static const char *const texts[] = { "url",        "region",          "access_key",
		                             "secret_key", "secret_key_file", "functions" };
	const json_t *o = json_object_get(endpoints, name);
	const json_t *functions = json_object_get(o, "functions");
	size_t count = COUNT(texts) - (strcmp(name, "lambda") == 0 ? 0 : 1);
	enum rc rc;

	if (!o || strcmp(name, "s3") == 0) /* mmd has checked that */
		return RC_OK;
	rc = check_members(o, name, texts, count, e);
	if (rc == RC_OK)
		rc = check_functions(endpoints, functions, e);
	if (rc == RC_OK && (json_object_get(o, "url") || json_object_size(functions) == 0))
		rc = check_service_url(o, name, e);
	return rc;
}

static bool is_name(const char *s)
{
	size_t n = strlen(s);

	for (const char *c = s; *c; c++)
		if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') &&
		    !(*c >= '0' && *c <= '9') && *c != '-' && *c != '_' && *c != '.')
			return false;
	return n >= 1 && n <= NAME_MOST;
}

/* https://HOST[:PORT][/PATH][?QUERY], or http. */
static bool is_hook_url(struct slice url)
{
	size_t begin = slice_find(url, slice_str("://"));
	struct slice host;
	uint16_t port;
	size_t slash;
	bool tls;

	if (begin == SIZE_MAX || url.len > URL_MOST || !is_visible(url) ||
	    slice_find_byte(url, '#') != SIZE_MAX)
		return false;
	slash = slice_find_byte(slice_from(url, begin + 3), '/');
	if (slash != SIZE_MAX)
		url.len = begin + 3 + slash;
	return deliver_url(url, &tls, &host, &port);
}

static enum rc check_hooks(const json_t *hooks, struct err *e)
{
	static const char *const texts[] = { "url", "secret", "secret_file" };
	char where[NAME_MOST + 16];
	const char *name;
	json_t *o;

	if (hooks && !json_is_object(hooks))
		return err_set(e, RC_INVALID, "endpoints.webhooks must be an object");
	json_object_foreach((json_t *)(uintptr_t)hooks, name, o)
	{
		enum rc rc;

		if (!is_name(name))
			return err_set(e, RC_INVALID,
			               "endpoints.webhooks: a name is 1 to %d letters,"
			               " digits, - _ and .",
			               NAME_MOST);
		(void)snprintf(where, sizeof(where), WEBHOOKS "%s", name);
		rc = check_members(o, where, texts, COUNT(texts), e);
		if (rc == RC_OK && !is_hook_url(json_member_text(o, "url")))
			rc = err_set(e, RC_INVALID, "endpoints.%s.url is https://HOST:PORT/PATH",
			             where);
		if (rc == RC_OK)
			rc = check_secret(o, where, "secret", e);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

enum rc calls_configure(const json_t *endpoints, struct err *e)
{
	const json_t *hooks = json_object_get(endpoints, "webhooks");
	enum rc rc = check_hooks(hooks, e);

	for (size_t i = 0; rc == RC_OK && i < COUNT(services); i++)
		rc = check_service(endpoints, services[i], e);
	if (rc == RC_OK && json_object_size(hooks) > CALLS_ENDPOINTS - COUNT(services))
		rc = err_set(e, RC_INVALID, "endpoints.webhooks are at most %zu",
		             CALLS_ENDPOINTS - COUNT(services));
	return rc;
}

/* ---- the home ---- */

static void wipe(struct buf *b)
{
	if (b->at)
		explicit_bzero(b->at, b->room);
	buf_free(b);
}

/* jansson keeps a string where it is until it is freed. */
static void wipe_text(json_t *o, const char *member)
{
	const char *text = json_string_value(json_object_get(o, member));

	if (text) {
		explicit_bzero((char *)(uintptr_t)text, strlen(text));
		json_put_text(o, member, slice_str(""));
	}
}

static enum rc put_secret(json_t *to, const json_t *from, const char *name, const char *member,
                          struct err *e)
{
	char file[40];
	const char *path;
	struct buf secret;
	enum rc rc;

	(void)snprintf(file, sizeof(file), "%s_file", member);
	path = json_string_value(json_object_get(from, file));
	buf_init(&secret, SECRET_MOST);
	rc = path ? file_read_all(path, &secret, e)
	          : buf_add(&secret, json_member_text(from, member));
	if (rc != RC_OK)
		rc = err_in(e, "endpoints.%s.%s", name, path ? file : member);
	else
		secret.len = slice_trim(buf_slice(&secret)).len;
	if (rc == RC_OK && (secret.len == 0 || !is_visible(buf_slice(&secret))))
		rc = err_set(e, RC_INVALID, "endpoints.%s: the secret is empty, or is none", name);
	if (rc == RC_OK)
		json_put_text(to, "secret", buf_slice(&secret));
	wipe(&secret);
	return rc;
}

static enum rc add(json_t *list, const json_t *from, const char *name, bool hook, struct err *e)
{
	json_t *to = json_object();
	struct slice region = json_member_text(from, "region");

	json_push(list, to);
	json_put_text(to, "name", slice_str(name));
	json_put_text(to, "url", json_member_text(from, "url"));
	if (!hook) {
		json_put_text(to, "region", region.len ? region : slice_str("us-east-1"));
		json_put_text(to, "access_key", json_member_text(from, "access_key"));
		json_put_bool(to, "path_style", json_member_bool(from, "path_style", false));
	}
	return put_secret(to, from, name, hook ? "secret" : "secret_key", e);
}

static enum rc add_all(json_t *list, const json_t *endpoints, struct err *e)
{
	char name[NAME_MOST + 16];
	const char *hook;
	json_t *o;
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < COUNT(services); i++) {
		o = json_member_object(endpoints, services[i]);
		if (json_object_get(o, "url"))
			rc = add(list, o, services[i], false, e);
	}
	json_object_foreach(json_member_object(endpoints, "webhooks"), hook, o)
	{
		(void)snprintf(name, sizeof(name), WEBHOOKS "%s", hook);
		if (rc == RC_OK)
			rc = add(list, o, name, true, e);
	}
	return rc;
}

static void wipe_list(json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		wipe_text(json_array_get(list, i), "secret");
}

enum rc calls_home(struct home **out, const json_t *endpoints, const char *program, struct err *e)
{
	json_t *config = json_object();
	json_t *list = json_array();
	enum rc rc = add_all(list, endpoints, e);

	*out = NULL;
	json_put(config, "calls", json_incref(list));
	if (rc == RC_OK && json_array_size(list))
		rc = home_start(out, program ? program : "mm-deliver", config, e);
	else
		json_decref(config);
	wipe_list(list);
	json_decref(list);
	return rc;
}

void calls_wipe(json_t *endpoints)
{
	json_t *o;
	const char *name;

	for (size_t i = 0; i < COUNT(services); i++)
		wipe_text(json_member_object(endpoints, services[i]), "secret_key");
	json_object_foreach(json_member_object(endpoints, "webhooks"), name, o)
	{
		wipe_text(o, "secret");
	}
}
