/*
 * ingest/config.h - all resources, compiled into one immutable snapshot
 *
 * What     Made from resources_snapshot's JSON, in mmd and (from the same JSON over its socket) in
 *          mm-smtpd. Holds ingress points with their policies, rule sets at their current version,
 *          archives with their numbers, relays, address lists, add-ons' instances (their ids, and names of
 *          add-ons), password
 *          hashes.
 * Why      A change of configuration is a change of one pointer: who works with the old snapshot
 *          keeps it by its reference and is judged by one consistent state.
 * Sharing  What didn't change is not compiled anew: the next configuration shares the parts of the
 *          one before it that have the same id and version. An address list is one object for its
 *          life, and its members are exchanged in it (address_list.h).
 * Owner    Reference-counted. Everything that a look-up returns lives as long as the config; a rule
 *          set from config_compile_rule_set belongs to the caller and may outlive it.
 * Relaying An OPEN ingress point whose rule set has Send or Relay and whose policy doesn't limit recipients
 *          (policy_limits_recipients) doesn't compile, whichever of the three was changed: no open relay by accident.
 * Fails    RC_INVALID or RC_NOTFOUND naming the resource; a snapshot that doesn't compile changes
 *          nothing.
 * Threads  Any.
 */
#ifndef MM_INGEST_CONFIG_H
#define MM_INGEST_CONFIG_H

#include "base/cidr.h"
#include "base/json.h"
#include "base/tls_trust.h"
#include "ingest/policy.h"
#include "ingest/rules.h"
#include "retention/schedule.h"

#define JUDGE_SECONDS 30 /* of BEFORE_REPLY, where the ingress point doesn't say */
#define ARCHIVE_PENDING_DAYS 30 /* from the deletion of an archive to its destruction */

struct config;
struct scan_instance;

enum ingress_type { INGRESS_OPEN, INGRESS_AUTH, INGRESS_MTLS };
enum ingress_tls { INGRESS_TLS_REQUIRED, INGRESS_TLS_OPTIONAL };

struct password_hash {
	const char *hash;   /* crypto_pwhash_str (argon2id), for crypto_pwhash_str_verify */
	int64_t version;
	int64_t expires_ms; /* 0: the current one; else the one before it, until then */
};

struct ingress_point {
	const char *id;
	const char *name;
	enum ingress_type type;
	const char *listen; /* as written: "127.0.0.1:2525", "[::1]:25" */
	const char *host;   /* the address alone, without brackets */
	struct ip ip;
	uint16_t port;
	enum ingress_tls tls;
	bool tls_wrapped; /* implicit TLS */
	bool keep_bare;   /* BareNewlines KEEP */
	bool odd_local;   /* AllowOddLocalParts */
	bool closed;      /* Status CLOSED: doesn't listen */
	int64_t judge_ms; /* Judge BEFORE_REPLY: how long a reply waits for it at most; else 0 */
	const struct policy *policy;
	const struct rule_set *rules; /* the current version */
	const char *rule_set_id;
	int64_t rule_set_version;
	const struct password_hash *passwords; /* AUTH; newest first; none until mmctl passwd */
	size_t password_count;
	struct tls_trust *trust; /* MTLS; lives as long as the configuration. NULL: clients need no certificate */
};

struct archive_info {
	uint32_t number; /* never used again */
	const char *id;
	const char *name;
	struct retention period;
	bool pending; /* PENDING_DELETION: nothing goes in, nothing comes out */
	int64_t pending_since_ms;
	const char *kms; /* the ARN of the further key that it is under; NULL: none */
};

/* A server that mail is relayed to. */
enum relay_tls { RELAY_TLS_OPTIONAL, RELAY_TLS_REQUIRED, RELAY_TLS_WRAPPED };
struct relay_info {
	const char *id;
	const char *name;
	const char *server;
	uint16_t port;
	enum relay_tls tls; /* as it says; else WRAPPED at port 465, REQUIRED with a secret, OPTIONAL without */
	const char *secret; /* SecretArn, or NULL */
};

/* A resource of the snapshot that has this member, true, and besides it only id and Version is the
 * one that the base has. */
#define CONFIG_SAME "Same"

struct config_source {
	const struct config *base; /* may be NULL */
	/* A list that base doesn't have; NULL: there is none, "Addresses" has its members. */
	struct address_list *(*list)(void *arg, struct slice id);
	void *arg;
};

enum rc config_next(struct config **out, const json_t *snapshot, const struct config_source *from,
		    struct err *e) MUST_USE;
/* From nothing. */
enum rc config_new(struct config **out, const json_t *snapshot, struct err *e) MUST_USE;
struct config *config_ref(struct config *c);
void config_unref(struct config **c);
/* Grows with every change of a resource or password. */
int64_t config_generation(const struct config *c);
/* Is it in there, at this version (0: at any)? `plural` is the kind: "RuleSets". */
bool config_has(const struct config *c, const char *plural, struct slice id, int64_t version);
/* Adds the snapshot that mm-smtpd needs if it has `had` (NULL: nothing): no archives, rule sets without
 * rules, lists without members. */
enum rc config_write(const struct config *c, const struct config *had, struct buf *out) MUST_USE;
size_t config_list_count(const struct config *c);
struct address_list *config_list_at(const struct config *c, size_t i, const char **id);

size_t config_ingress_count(const struct config *c);
const struct ingress_point *config_ingress_at(const struct config *c, size_t i);
/* These return NULL when there is none. */
const struct ingress_point *config_ingress_by_name(const struct config *c, struct slice name);
const struct ingress_point *config_ingress_by_id(const struct config *c, struct slice id);
/* The user of AUTH: an ingress point's id or name. */
bool ingress_is_user(const struct ingress_point *p, struct slice user);

/* When an archive that is being deleted is to be destroyed; 0: it isn't being deleted. */
int64_t archive_end_ms(const struct archive_info *a);
size_t config_archive_count(const struct config *c);
const struct archive_info *config_archive_at(const struct config *c, size_t i);
/* By name, id or ARN (what follows the last '/'). */
const struct archive_info *config_archive(const struct config *c, struct slice reference);
const struct archive_info *config_archive_by_number(const struct config *c, uint32_t number);

size_t config_relay_count(const struct config *c);
const struct relay_info *config_relay_at(const struct config *c, size_t i);
const struct relay_info *config_relay(const struct config *c, struct slice reference);

/* Is it there, and not being deleted? A rule's archive_open. */
bool config_archive_open(const void *config, uint32_t number);

/* The rule set at its current version; NULL when `version` is another: then the caller gets its JSON
 * from resources_version and compiles it. */
const struct rule_set *config_rule_set(const struct config *c, struct slice id, int64_t version);
/* The add-on instances (ingest/scans.h) that the rule set asks; all there are where `version` isn't the current one.
 * Returns how many; texts live as long as the config. */
size_t config_scans(const struct config *c, struct slice rule_set, int64_t version,
		    struct scan_instance *out, size_t room);
/* The name of the add-on that the instance of that id is of; lives as long as the config. Empty: there is no such
 * instance. */
struct slice config_addon(const struct config *c, struct slice instance);
/* All traffic policies, at their current versions. */
size_t config_policy_count(const struct config *c);
const struct policy *config_policy_at(const struct config *c, size_t i);
/* Compiles a rule set's JSON as resources_version gives it, with this config's archives and lists.
 * The caller frees it (rule_set_free). */
enum rc config_compile_rule_set(const struct config *c, const json_t *json, struct rule_set **out,
				struct err *e) MUST_USE;
/* The address list of that name, id or ARN; lives as long as the config. */
struct address_list *config_address_list(const struct config *c, struct slice reference);

#endif
