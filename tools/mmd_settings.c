#include "tools/mmd_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/schedule.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/sigv4.h"
#include "ingest/calls.h"
#include "ingest/outbound.h"
#include "ingest/verdicts.h"
#include "store/crypt.h"
#include "tools/mmd_settings_parts.h"

#define S3_PART_LEAST     5242880 /* S3's own bound */
#define S3_PART_MOST      67108864
#define LINK_SECONDS_MOST SIGV4_EXPIRES_MAX

/* ---- certificates ---- */

const char *settings_pem(const json_t *section, const char *member, size_t i)
{
	const json_t *value = json_object_get(section, member);

	if (json_is_string(value))
		return i == 0 ? json_string_value(value) : NULL;
	return json_string_value(json_array_get(value, i));
}

void certificates_free(struct certificates **c)
{
	for (size_t i = 0; *c && i < MAX_CERTS; i++) {
		buf_free(&(*c)->pem[i][0]);
		buf_free(&(*c)->pem[i][1]);
	}
	free(*c);
	*c = NULL;
}

static enum rc read_pem(const json_t *config, const char *section, const char *member, size_t i,
                        struct buf *out, struct err *e)
{
	const char *path = settings_pem(json_object_get(config, section), member, i);

	if (!path)
		return err_set(e, RC_INVALID,
		               "configuration: %s.tls_cert and %s.tls_key belong together", section,
		               section);
	if (file_read_all(path, out, e) != RC_OK)
		return err_in(e, "configuration: %s.%s", section, member);
	return RC_OK;
}

enum rc settings_read_certs(const json_t *config, const char *section, struct certificates **out,
                            struct err *e)
{
	const json_t *from = json_object_get(config, section);
	struct certificates *c = mem_new(sizeof(*c));
	enum rc rc = RC_OK;

	for (size_t i = 0; i < MAX_CERTS; i++) {
		buf_init(&c->pem[i][0], 1 << 20);
		buf_init(&c->pem[i][1], 1 << 20);
	}
	for (size_t i = 0; rc == RC_OK && i <= MAX_CERTS &&
	                   (settings_pem(from, "tls_cert", i) || settings_pem(from, "tls_key", i));
	     i++) {
		if (i == MAX_CERTS) {
			rc = err_set(e, RC_INVALID,
			             "configuration: %s.tls_cert: at most %d certificates", section,
			             MAX_CERTS);
			break;
		}
		rc = read_pem(config, section, "tls_cert", i, &c->pem[i][0], e);
		if (rc == RC_OK)
			rc = read_pem(config, section, "tls_key", i, &c->pem[i][1], e);
		c->at[i] = (struct tls_cert) { buf_slice(&c->pem[i][0]), buf_slice(&c->pem[i][1]) };
		c->count++;
	}
	if (rc != RC_OK)
		certificates_free(&c);
	*out = c;
	return rc;
}

struct certificates *settings_use_certs(struct settings *s, const char *section,
                                        struct certificates *c)
{
	bool api = strcmp(section, "api") == 0;
	struct certificates **at = api ? &s->api_certificates : &s->certificates;
	struct certificates *old = *at;

	*at = c;
	*(api ? &s->api.certs : &s->smtp.certs) = c->at;
	*(api ? &s->api.cert_count : &s->smtp.cert_count) = c->count;
	return old;
}

/* ---- members ---- */

static bool has_type(const json_t *value, enum member_type type)
{
	switch (type) {
	case MEMBER_TEXT:
		return json_is_string(value);
	case MEMBER_NUMBER:
		return json_is_integer(value) && json_integer_value(value) >= 0;
	case MEMBER_OBJECT:
		return json_is_object(value);
	case MEMBER_BOOL:
		return json_is_boolean(value);
	case MEMBER_FILES:
		break;
	}
	for (size_t i = 0; i < json_array_size(value); i++)
		if (!json_is_string(json_array_get(value, i)))
			return false;
	return json_is_string(value) || json_is_array(value);
}

/* A member of another type must not pass for one that isn't there: its default would be taken. */
enum rc settings_members(const json_t *object, const char *where, const struct member *known,
                         size_t count, struct err *e)
{
	static const char *const wanted[] = {
		[MEMBER_TEXT] = "a text",
		[MEMBER_NUMBER] = "a number, 0 or more",
		[MEMBER_FILES] = "a file's name or an array of them",
		[MEMBER_OBJECT] = "an object",
		[MEMBER_BOOL] = "true or false",
	};
	const char *member;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, member, value)
	{
		size_t i = 0;

		while (i < count && strcmp(known[i].name, member) != 0)
			i++;
		if (i == count)
			return err_set(e, RC_INVALID, "configuration: %s%s is not known", where,
			               member);
		if (!has_type(value, known[i].type))
			return err_set(e, RC_INVALID, "configuration: %s%s must be %s", where,
			               member, wanted[known[i].type]);
	}
	return RC_OK;
}

/* The name is a word of the greeting and of every answer to EHLO. */
static enum rc read_hostname(struct settings *s, const json_t *smtp, struct err *e)
{
	const char *name = json_string_value(json_object_get(smtp, "hostname"));
	size_t n = 0;

	s->smtp.hostname = name;
	if (!name)
		return RC_OK;
	while (name[n] > ' ' && name[n] < 0x7f)
		n++;
	if (n == 0 || n > 255 || name[n])
		return err_set(e, RC_INVALID,
		               "configuration: smtp.hostname must be a host's name in ASCII");
	return RC_OK;
}

static enum rc read_smtp(struct settings *s, struct err *e)
{
	static const struct member known[] = {
		{ "hostname", MEMBER_TEXT },          { "tls_cert", MEMBER_FILES },
		{ "tls_key", MEMBER_FILES },          { "max_connections", MEMBER_NUMBER },
		{ "max_per_address", MEMBER_NUMBER }, { "max_message", MEMBER_NUMBER },
	};
	const json_t *smtp = json_object_get(s->json, "smtp");
	int64_t connections = json_member_int(smtp, "max_connections", 0);
	int64_t per_address = json_member_int(smtp, "max_per_address", 0);
	int64_t message = json_member_int(smtp, "max_message", 0);
	struct certificates *c;
	enum rc rc = settings_members(smtp, "smtp.", known, COUNT(known), e);

	if (rc == RC_OK)
		rc = read_hostname(s, smtp, e);
	if (rc != RC_OK)
		return rc;
	if (connections > 100000 || per_address > 100000 || message > LIMIT_MESSAGE_BYTES)
		return err_set(
		        e, RC_INVALID,
		        "configuration: smtp.max_connections and smtp.max_per_address are at most"
		        " 100000, smtp.max_message at most %d",
		        LIMIT_MESSAGE_BYTES);
	s->smtp.max_connections = (unsigned)connections;
	s->smtp.max_per_address = (unsigned)per_address;
	s->smtp.max_message = (uint64_t)message;
	rc = settings_read_certs(s->json, "smtp", &c, e);
	if (rc == RC_OK)
		(void)settings_use_certs(s, "smtp", c); /* the first ones */
	return rc;
}

/* "0660": four octal digits that give rights to read and write alone. */
static bool read_mode(const char *text, mode_t *mode)
{
	*mode = 0;
	if (strlen(text) != 4 || text[0] != '0')
		return false;
	for (const char *c = text; *c; c++) {
		if (*c != '0' && *c != '2' && *c != '4' && *c != '6')
			return false;
		*mode = *mode << 3 | (mode_t)(*c - '0');
	}
	return true;
}

/* Where links to messages lead: to the listener, unless another address is told. */
static enum rc read_links(struct settings *s, const json_t *api, struct err *e)
{
	const char *url = json_string_value(json_object_get(api, "url"));
	int64_t seconds = json_member_int(api, "link_seconds", 0);
	struct slice host;
	uint16_t port;
	bool tls;

	if (url && !deliver_url(slice_str(url), &tls, &host, &port))
		return err_set(e, RC_INVALID,
		               "configuration: api.url is https://HOST:PORT or http://HOST:PORT");
	if (seconds > LINK_SECONDS_MOST)
		return err_set(e, RC_INVALID, "configuration: api.link_seconds is at most %d",
		               LINK_SECONDS_MOST);
	if (s->api.listen)
		(void)snprintf(s->link_url, sizeof(s->link_url), "http%s://%s",
		               s->api.cert_count ? "s" : "", s->api.listen);
	s->jobs.home = s->api.listen ? s->link_url : NULL;
	s->jobs.url = url;
	s->jobs.link_seconds = (unsigned)seconds;
	return RC_OK;
}

/* The control API, where it is wanted. */
static enum rc read_api(struct settings *s, struct err *e)
{
	static const struct member known[] = {
		{ "listen", MEMBER_TEXT },
		{ "ingress_pool", MEMBER_TEXT },
		{ "region", MEMBER_TEXT },
		{ "account", MEMBER_TEXT },
		{ "profile", MEMBER_TEXT },
		{ "tls_cert", MEMBER_FILES },
		{ "tls_key", MEMBER_FILES },
		{ "max_connections", MEMBER_NUMBER },
		{ "max_per_address", MEMBER_NUMBER },
		{ "url", MEMBER_TEXT },
		{ "link_seconds", MEMBER_NUMBER },
		{ "jobs_kept", MEMBER_NUMBER },
		{ "search_results", MEMBER_NUMBER },
	};
	const json_t *api = json_object_get(s->json, "api");
	struct certificates *c;
	enum rc rc = settings_members(api, "api.", known, COUNT(known), e);

	if (rc == RC_OK)
		rc = api_configure(&s->engine.api, api, e);
	if (rc != RC_OK || !api)
		return rc;
	s->api.listen = json_string_value(json_object_get(api, "listen"));
	s->api.max_connections = (unsigned)json_member_int(api, "max_connections", 0);
	s->api.max_per_address = (unsigned)json_member_int(api, "max_per_address", 0);
	rc = settings_read_certs(s->json, "api", &c, e);
	if (rc != RC_OK)
		return rc;
	(void)settings_use_certs(s, "api", c); /* the first ones */
	(void)snprintf(s->engine.api.hostname, sizeof(s->engine.api.hostname), "%s",
	               s->smtp.hostname ? s->smtp.hostname : "localhost");
	return read_links(s, api, e);
}

/* Of the secret, what stands in a file of its own isn't read by who may read the configuration. */
static enum rc read_s3_secret(struct settings *s, const json_t *s3, struct err *e)
{
	struct slice text = json_member_text(s3, "secret_key");
	const char *path = json_string_value(json_object_get(s3, "secret_key_file"));
	struct buf *b = &s->s3_secret;
	enum rc rc = RC_OK;

	buf_init(b, 4096);
	if (!text.at == !path)
		return err_set(
		        e, RC_INVALID,
		        "configuration: endpoints.s3 has either secret_key or secret_key_file");
	rc = path ? file_read_all(path, b, e) : buf_add(b, text);
	if (rc != RC_OK)
		return err_in(e, "configuration: endpoints.s3.secret_key_file");
	b->len = slice_trim(buf_slice(b)).len;
	if (b->len == 0 || buf_add_byte(b, 0) != RC_OK)
		return err_set(e, RC_INVALID, "configuration: endpoints.s3: the secret is empty");
	s->s3.secret_key = buf_text(b);
	return RC_OK;
}

static enum rc read_s3(struct settings *s, const json_t *s3, struct err *e)
{
	static const struct member known[] = {
		{ "url", MEMBER_TEXT },          { "region", MEMBER_TEXT },
		{ "path_style", MEMBER_BOOL },   { "access_key", MEMBER_TEXT },
		{ "secret_key", MEMBER_TEXT },   { "secret_key_file", MEMBER_TEXT },
		{ "part_bytes", MEMBER_NUMBER },
	};
	int64_t part = json_member_int(s3, "part_bytes", 0);
	struct slice host;
	uint16_t port;
	bool tls;
	enum rc rc = settings_members(s3, "endpoints.s3.", known, COUNT(known), e);

	if (rc != RC_OK)
		return rc;
	s->s3.url = json_string_value(json_object_get(s3, "url"));
	s->s3.region = json_string_value(json_object_get(s3, "region"));
	s->s3.path_style = json_member_bool(s3, "path_style", false);
	s->s3.access_key = json_string_value(json_object_get(s3, "access_key"));
	s->s3.part_bytes = (uint64_t)part;
	if (!s->s3.url || !deliver_url(slice_str(s->s3.url), &tls, &host, &port))
		return err_set(
		        e, RC_INVALID,
		        "configuration: endpoints.s3.url is https://HOST:PORT or http://HOST:PORT");
	if (!s->s3.access_key)
		return err_set(e, RC_INVALID, "configuration: endpoints.s3.access_key is missing");
	if (part && (part < S3_PART_LEAST || part > S3_PART_MOST))
		return err_set(e, RC_INVALID, "configuration: endpoints.s3.part_bytes is %d to %d",
		               S3_PART_LEAST, S3_PART_MOST);
	return read_s3_secret(s, s3, e);
}

/* Where mm itself connects to; nothing else is ever connected to. */
/* Where DeliverToMailbox delivers: LMTP. */
static enum rc read_mailbox(const json_t *mailbox, struct err *e)
{
	static const struct member known[] = {
		{ "host", MEMBER_TEXT },
		{ "port", MEMBER_NUMBER },
		{ "tls", MEMBER_BOOL },
	};
	int64_t port = json_member_int(mailbox, "port", 24);
	enum rc rc = settings_members(mailbox, "endpoints.mailbox.", known, COUNT(known), e);

	if (rc != RC_OK || !mailbox)
		return rc;
	if (!json_member_text(mailbox, "host").len || port < 1 || port > 65535)
		return err_set(e, RC_INVALID,
		               "configuration: endpoints.mailbox has a host, and a port of 1 to "
		               "65535 (24 without)");
	return RC_OK;
}

static enum rc read_endpoints(struct settings *s, struct err *e)
{
	static const struct member known[] = {
		{ "s3", MEMBER_OBJECT },       { "lambda", MEMBER_OBJECT },
		{ "sns", MEMBER_OBJECT },      { "qbusiness", MEMBER_OBJECT },
		{ "webhooks", MEMBER_OBJECT }, { "mailbox", MEMBER_OBJECT },
	};
	const json_t *endpoints = json_object_get(s->json, "endpoints");
	const json_t *s3 = json_object_get(endpoints, "s3");
	enum rc rc = settings_members(endpoints, "endpoints.", known, COUNT(known), e);

	if (rc == RC_OK && s3)
		rc = read_s3(s, s3, e);
	if (rc == RC_OK)
		rc = read_mailbox(json_object_get(endpoints, "mailbox"), e);
	s->engine.endpoints = endpoints;
	if (rc != RC_OK || !endpoints)
		return rc;
	rc = calls_configure(endpoints, e);
	return rc == RC_OK ? rc : err_in(e, "configuration");
}

/* What is sent to other servers; mmd alone sends. */
static enum rc read_send(struct settings *s, struct err *e)
{
	enum rc rc;

	s->engine.send = json_object_get(s->json, "send");
	s->engine.sends = true;
	if (gethostname(s->hostname, sizeof(s->hostname) - 1) != 0 || !s->hostname[0])
		(void)snprintf(s->hostname, sizeof(s->hostname), "localhost");
	s->engine.hostname = s->smtp.hostname ? s->smtp.hostname : s->hostname;
	rc = outbound_configure(s->engine.send, e);
	return rc == RC_OK ? rc : err_in(e, "configuration");
}

/* Who judges mail for which add-on; what isn't there is never connected to. */
static enum rc read_addons(struct settings *s, struct err *e)
{
	enum rc rc;

	s->engine.addons = json_object_get(s->json, "addons");
	rc = addons_read(&s->addons, s->engine.addons, e);
	return rc == RC_OK ? rc : err_in(e, "configuration");
}

static enum rc need_no_lists(const struct addons *a, struct err *e)
{
	for (size_t i = 0; i < a->count; i++)
		if (a->at[i].kind == ADDON_DNSBL)
			return err_set(
			        e, RC_INVALID,
			        "configuration: addons.%s: a DNS block list needs the section dns, "
			        "{} at least",
			        a->at[i].name);
	return RC_OK;
}

static void put_lists(struct settings *s)
{
	json_t *lists = json_object();
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)s->engine.addons, name, value)
	{
		if (json_object_get(value, "dnsbl"))
			json_put(lists, name, json_incref(value));
	}
	if (json_object_size(lists))
		json_put(s->dns, "lists", json_incref(lists));
	json_decref(lists);
}

/* Where mm-verdict looks names up; without it there are no verdicts. */
static enum rc read_dns(struct settings *s, struct err *e)
{
	static const struct member known[] = {
		{ "forward", MEMBER_TEXT },      { "resolv_conf", MEMBER_BOOL },
		{ "trust_anchor", MEMBER_TEXT }, { "stubs", MEMBER_OBJECT },
		{ "deadline", MEMBER_NUMBER },
	};
	const json_t *dns = json_object_get(s->json, "dns");
	enum rc rc = settings_members(dns, "dns.", known, COUNT(known), e);

	if (rc != RC_OK)
		return rc;
	if (!dns)
		return need_no_lists(&s->addons, e);
	s->dns = json_copy((json_t *)(uintptr_t)dns);
	put_lists(s);
	s->engine.dns = s->dns;
	rc = verdicts_configure(dns, e);
	return rc == RC_OK ? rc : err_in(e, "configuration");
}

/* The socket for those who can't reach the directory; bound now, since the sandbox lets mmd do
 * nothing outside its own places. */
static enum rc read_socket(struct settings *s, struct err *e)
{
	static const struct member known[] = { { "path", MEMBER_TEXT }, { "mode", MEMBER_TEXT } };
	const json_t *socket = json_object_get(s->json, "socket");
	const char *path = json_string_value(json_object_get(socket, "path"));
	const char *given = json_string_value(json_object_get(socket, "mode"));
	const char *text = given ? given : "0660";
	mode_t mode;
	enum rc rc = settings_members(socket, "socket.", known, COUNT(known), e);

	if (rc != RC_OK || !socket)
		return rc;
	if (!path || path[0] != '/')
		return err_set(e, RC_INVALID,
		               "configuration: socket.path must be set, to an absolute path");
	if (!read_mode(text, &mode))
		return err_set(e, RC_INVALID,
		               "configuration: socket.mode is four octal digits, as \"0660\"");
	rc = request_socket(path, mode, &s->shared_fd, e);
	return rc == RC_OK ? rc : err_in(e, "configuration: socket.path");
}

enum rc settings_read(struct settings *s, const char *path, struct err *e)
{
	static const struct member sections[] = {
		{ "smtp", MEMBER_OBJECT },   { "index", MEMBER_OBJECT },
		{ "store", MEMBER_OBJECT },  { "spool", MEMBER_OBJECT },
		{ "parse", MEMBER_OBJECT },  { "retention", MEMBER_OBJECT },
		{ "audit", MEMBER_OBJECT },  { "socket", MEMBER_OBJECT },
		{ "api", MEMBER_OBJECT },    { "endpoints", MEMBER_OBJECT },
		{ "addons", MEMBER_OBJECT }, { "dns", MEMBER_OBJECT },
		{ "logs", MEMBER_OBJECT },   { "send", MEMBER_OBJECT },
	};
	static const struct member retention[] = { { "schedule", MEMBER_TEXT } };
	static const struct member audit[] = { { "anchor", MEMBER_TEXT } };
	struct buf text;
	enum rc rc = RC_OK;

	buf_init(&text, LIMIT_CONFIG_FILE);
	s->json = json_object();
	if (path) {
		rc = file_read_all(path, &text, e);
		json_decref(s->json);
		s->json = NULL;
		if (rc == RC_OK)
			rc = json_read(&s->json, buf_slice(&text), e);
		if (rc != RC_OK)
			(void)err_in(e, "configuration %s", path);
	}
	buf_free(&text);
	if (rc == RC_OK && !json_is_object(s->json))
		rc = err_set(e, RC_INVALID, "configuration: it must be an object: {}");
	if (rc == RC_OK)
		rc = settings_members(s->json, "", sections, COUNT(sections), e);
	if (rc == RC_OK)
		rc = settings_members(json_object_get(s->json, "retention"), "retention.",
		                      retention, 1, e);
	if (rc == RC_OK)
		rc = settings_members(json_object_get(s->json, "audit"), "audit.", audit, 1, e);
	if (rc == RC_OK)
		rc = schedule_parse(json_string_value(json_object_get(
		                            json_object_get(s->json, "retention"), "schedule")),
		                    &s->sweep_minute, e);
	if (rc == RC_OK)
		rc = engine_configure(&s->engine, s->json, e);
	if (rc == RC_OK)
		rc = read_smtp(s, e);
	if (rc == RC_OK)
		rc = read_api(s, e);
	if (rc == RC_OK)
		rc = read_endpoints(s, e);
	if (rc == RC_OK)
		rc = read_addons(s, e);
	if (rc == RC_OK)
		rc = read_dns(s, e);
	if (rc == RC_OK)
		rc = read_send(s, e);
	if (rc == RC_OK)
		rc = settings_read_logs(s, e);
	return rc == RC_OK ? read_socket(s, e) : rc;
}

void settings_free(struct settings *s)
{
	if (s->shared_fd >= 0)
		(void)close(s->shared_fd);
	for (size_t i = 0; i < LOG_NAMES; i++)
		file_close(&s->logs.file[i]);
	json_decref(s->json);
	if (s->s3_secret.at)
		crypt_wipe(s->s3_secret.at, s->s3_secret.room);
	buf_free(&s->s3_secret);
	addons_free(&s->addons);
	json_decref(s->dns);
	certificates_free(&s->certificates);
	certificates_free(&s->api_certificates);
}

const char *settings_anchor(const struct settings *s)
{
	return json_string_value(json_object_get(json_object_get(s->json, "audit"), "anchor"));
}
