#include "ingest/addons.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "ingest/deliver.h"

#define DEADLINE_MOST_S 600
#define URL_MOST        1024

/* ---- places ---- */

static bool is_plain(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] <= ' ' || s.at[i] >= 127 || s.at[i] == '"' || s.at[i] == '\\' ||
		    s.at[i] == '#' || s.at[i] == '@')
			return false;
	return s.len > 0;
}

static char *host_text(struct slice host)
{
	if (host.len > 2 && host.at[0] == '[')
		host = slice_part(host, 1, host.len - 2);
	return slice_string(host);
}

/* "http://HOST[:PORT][/PATH]". rspamd has a path of its own. */
static bool read_url(struct addon *a, struct slice text)
{
	size_t scheme = slice_find(text, slice_str("://"));
	size_t slash;
	struct slice origin = text;
	struct slice host;
	char url[URL_MOST + 16];

	if (scheme == SIZE_MAX || text.len > URL_MOST || !is_plain(text))
		return false;
	slash = slice_find_byte(slice_from(text, scheme + 3), '/');
	if (slash != SIZE_MAX)
		origin = slice_part(text, 0, scheme + 3 + slash);
	if (slice_find_byte(origin, '?') != SIZE_MAX ||
	    !deliver_url(origin, &a->tls, &host, &a->port))
		return false;
	if (a->kind == ADDON_RSPAMD && slice_from(text, origin.len).len > 1)
		return false;
	if (a->kind == ADDON_RSPAMD)
		(void)snprintf(url, sizeof(url), "%.*s/checkv2", (int)origin.len,
		               (const char *)origin.at);
	else
		(void)snprintf(url, sizeof(url), "%.*s", (int)text.len, (const char *)text.at);
	a->url = mem_string(url);
	a->host = host_text(host);
	return true;
}

/* "/PATH", or "HOST:PORT". */
static bool read_clamd(struct addon *a, struct slice text)
{
	char url[300];
	struct slice host;
	size_t colon = text.len;
	uint64_t port;
	bool tls;

	if (text.len && text.at[0] == '/') {
		a->path = slice_string(text);
		return text.len < sizeof(((struct sockaddr_un *)NULL)->sun_path) &&
		       slice_find_byte(text, 0) == SIZE_MAX;
	}
	while (colon > 0 && text.at[colon - 1] != ':')
		colon--;
	if (colon == 0 || text.len > 250 || !slice_to_u64(slice_from(text, colon), &port))
		return false;
	(void)snprintf(url, sizeof(url), "http://%.*s", (int)text.len, (const char *)text.at);
	if (!deliver_url(slice_str(url), &tls, &host, &a->port))
		return false;
	a->host = host_text(host);
	return true;
}

/* Labels of letters, digits, '-' and '_', with dots between them. */
static bool is_zone(struct slice s)
{
	size_t label = 0;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.at[i];
		bool fits =
		        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';

		if (c == '.' ? label == 0 : !fits || label == 63)
			return false;
		label = c == '.' ? 0 : label + 1;
	}
	return label > 0 && s.len <= 120;
}

/* Lower case, for it is looked for in DNS. */
static char *lower(struct slice s)
{
	char *text = slice_string(s);

	for (char *c = text; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	return text;
}

static enum rc read_dnsbl(struct addon *a, const json_t *o, struct err *e)
{
	struct slice zone = json_member_text(o, "dnsbl");
	struct slice key = json_member_text(o, "key");
	struct slice lists = json_member_text(o, "lists");

	if (zone.len && zone.at[zone.len - 1] == '.')
		zone.len--;
	a->zone = lower(zone);
	a->key = key.at ? lower(key) : NULL;
	if (!is_zone(slice_str(a->zone)))
		return err_set(e, RC_INVALID, "addons.%s: dnsbl is a zone, as zen.spamhaus.org",
		               a->name);
	if (a->key && (!is_zone(slice_str(a->key)) || strchr(a->key, '.')))
		return err_set(e, RC_INVALID, "addons.%s: key is letters and digits, at most 63",
		               a->name);
	a->lists_ip = slice_equal(lists, slice_str("ip"));
	if (!a->lists_ip && !slice_equal(lists, slice_str("domain")))
		return err_set(e, RC_INVALID, "addons.%s: lists is \"ip\" or \"domain\"", a->name);
	return RC_OK;
}

/* ---- one ---- */

static const struct {
	const char *member;
	enum addon_kind kind;
	const char *form;
} kinds[] = {
	{ "clamd", ADDON_CLAMD, "HOST:PORT, or the path of its Unix socket" },
	{ "rspamd", ADDON_RSPAMD, "http://HOST:PORT, without a path" },
	{ "http", ADDON_HTTP, "http://HOST:PORT/PATH, or https" },
	{ "dnsbl", ADDON_DNSBL, "a zone" },
};

static bool may_have(const struct addon *a, const char *member)
{
	static const char *const scanner[] = { "deadline", "at_once" };
	static const char *const list[] = { "key", "lists" };
	const char *const *more = a->kind == ADDON_DNSBL ? list : scanner;

	return strcmp(member, kinds[a->kind].member) == 0 || strcmp(member, more[0]) == 0 ||
	       strcmp(member, more[1]) == 0;
}

static enum rc find_kind(struct addon *a, const json_t *o, struct err *e)
{
	size_t found = 0;
	const char *member;
	json_t *value;

	for (size_t i = 0; i < COUNT(kinds); i++)
		if (json_object_get(o, kinds[i].member)) {
			a->kind = kinds[i].kind;
			found++;
		}
	if (found != 1)
		return err_set(e, RC_INVALID,
		               "addons.%s: it has one of clamd, rspamd, http and dnsbl", a->name);
	json_object_foreach((json_t *)(uintptr_t)o, member, value)
	{
		bool number = strcmp(member, "deadline") == 0 || strcmp(member, "at_once") == 0;

		if (!may_have(a, member))
			return err_set(e, RC_INVALID, "addons.%s.%.64s is not known", a->name,
			               member);
		if (number ? !json_is_integer(value) : !json_is_string(value))
			return err_set(e, RC_INVALID, "addons.%s.%.64s must be a %s", a->name,
			               member, number ? "number" : "text");
	}
	return RC_OK;
}

static enum rc read_scanner(struct addon *a, const json_t *o, struct err *e)
{
	struct slice place = json_member_text(o, kinds[a->kind].member);
	int64_t deadline = json_member_int(o, "deadline", ADDON_DEADLINE_MS / 1000);
	int64_t at_once = json_member_int(o, "at_once", ADDON_AT_ONCE);

	if (!(a->kind == ADDON_CLAMD ? read_clamd(a, place) : read_url(a, place)))
		return err_set(e, RC_INVALID, "addons.%s: %s is %s", a->name, kinds[a->kind].member,
		               kinds[a->kind].form);
	if (deadline < 1 || deadline > DEADLINE_MOST_S)
		return err_set(e, RC_INVALID, "addons.%s: deadline is 1 to %d seconds", a->name,
		               DEADLINE_MOST_S);
	if (at_once < 1 || at_once > ADDON_AT_ONCE_MOST)
		return err_set(e, RC_INVALID, "addons.%s: at_once is 1 to %d", a->name,
		               ADDON_AT_ONCE_MOST);
	a->deadline_ms = deadline * 1000;
	a->at_once = (unsigned)at_once;
	return RC_OK;
}

static enum rc read_one(struct addon *a, const char *name, const json_t *o, struct err *e)
{
	enum rc rc;

	a->name = mem_string(name);
	if (!is_plain(slice_str(name)) || strlen(name) > ADDON_NAME_MOST)
		return err_set(e, RC_INVALID, "addons: a name is 1 to %d printable characters",
		               ADDON_NAME_MOST);
	if (!json_is_object(o))
		return err_set(e, RC_INVALID, "addons.%s must be an object", name);
	rc = find_kind(a, o, e);
	if (rc != RC_OK)
		return rc;
	return a->kind == ADDON_DNSBL ? read_dnsbl(a, o, e) : read_scanner(a, o, e);
}

/* ---- all ---- */

enum rc addons_read(struct addons *out, const json_t *config, struct err *e)
{
	const char *name;
	json_t *value;

	*out = (struct addons) { NULL, 0 };
	if (json_object_size(config) > ADDONS_MOST)
		return err_set(e, RC_INVALID, "addons: at most %d", ADDONS_MOST);
	out->at = mem_array(json_object_size(config) + 1, sizeof(*out->at));
	json_object_foreach((json_t *)(uintptr_t)config, name, value)
	{
		enum rc rc = read_one(&out->at[out->count++], name, value, e);

		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

void addons_free(struct addons *a)
{
	for (size_t i = 0; i < a->count; i++) {
		free(a->at[i].name);
		free(a->at[i].path);
		free(a->at[i].host);
		free(a->at[i].url);
		free(a->at[i].zone);
		free(a->at[i].key);
	}
	free(a->at);
	*a = (struct addons) { NULL, 0 };
}

const struct addon *addons_find(const struct addons *a, struct slice name)
{
	for (size_t i = 0; i < a->count; i++)
		if (slice_equal(name, slice_str(a->at[i].name)))
			return &a->at[i];
	return NULL;
}

bool addons_scan(const struct addons *a)
{
	for (size_t i = 0; i < a->count; i++)
		if (a->at[i].kind != ADDON_DNSBL)
			return true;
	return false;
}
