/*
 * ingest/addons.h - which scanner or DNS block list stands for which add-on
 *
 * What     The configuration's section "addons": names of the service's add-ons (or any other), each with one
 *          scanner that a self-hoster runs (docs/scanners.md). What isn't named there is asked nothing:
 *          an instance of such an add-on is as one whose scanner is down.
 * Allowed  By construction, what is connected to is what stands here: mm-scan is told these places once, and
 *          asks its home for a connection by an add-on's number, never by an address.
 * Owner    The addons own their texts.
 * Threads  Any; nobody changes them.
 */
#ifndef MM_INGEST_ADDONS_H
#define MM_INGEST_ADDONS_H

#include "base/json.h"

#define ADDONS_MOST       32
#define ADDON_NAME_MOST   64
#define ADDON_DEADLINE_MS 30000
#define ADDON_AT_ONCE     8
#define ADDON_AT_ONCE_MOST 32

enum addon_kind {
	ADDON_CLAMD,
	ADDON_RSPAMD,
	ADDON_HTTP,  /* the contract of docs/scanners.md */
	ADDON_DNSBL, /* asked by mm-verdict (ingest/verdict/dnsbl.h), not by mm-scan */
};

struct addon {
	char *name;
	enum addon_kind kind;
	/* a scanner */
	char *path;     /* clamd's Unix socket; NULL: host and port */
	char *host;     /* a name or an address, without brackets */
	uint16_t port;
	char *url;      /* rspamd, HTTP: what is asked; whole */
	bool tls;
	int64_t deadline_ms; /* from when it is asked for, in line or not */
	unsigned at_once;
	/* a DNS block list */
	char *zone; /* without the final dot, lower case */
	char *key;  /* a secret; stands before the zone; NULL: none */
	bool lists_ip; /* addresses; else domains */
};

struct addons {
	struct addon *at;
	size_t count;
};

/* `config` is the section, or NULL: none. RC_INVALID names the member ("addons.NAME: ..."). addons_free follows in any
 * case. */
enum rc addons_read(struct addons *out, const json_t *config, struct err *e) MUST_USE;
void    addons_free(struct addons *a);
/* NULL: it isn't configured. Names are compared with case. */
const struct addon *addons_find(const struct addons *a, struct slice name);
/* Is anything for mm-scan among them? */
bool    addons_scan(const struct addons *a);

#endif
