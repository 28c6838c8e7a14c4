/*
 * api/engine.h - one data directory, opened whole
 *
 * What     The lock, master key, key ring, control database, audit log, store, index, spool and the
 *          pipeline that moves accepted mail from the spool into archives. mmd keeps one open for its
 *          life; a tool without a running mmd opens one for its request. Both get here the same
 *          recovery: what a killed process left in the spool is archived, an interrupted purge is
 *          finished, before anything is answered.
 * Locks    `writing` is held by whoever writes to store, index, key ring's lots or control database:
 *          the pipeline for a batch, a request for its change. `config_lock` guards the
 *          pointers to configuration and principals only.
 * Fails    RC_AGAIN: another process has the directory. RC_NOTFOUND: it is no data directory.
 *          RC_CRYPTO: the key is another. All else as the parts.
 */
#ifndef MM_API_ENGINE_H
#define MM_API_ENGINE_H

#include <pthread.h>

#include "api/account.h"
#include "api/api_options.h"
#include "api/link.h"
#include "api/principal.h"
#include "base/file.h"
#include "base/loop.h"
#include "index/index.h"
#include "ingest/config.h"
#include "ingest/logs.h"
#include "ingest/pipeline.h"
#include "ingest/spool/spool.h"
#include "retention/sweep.h"
#include "store/audit.h"
#include "store/store.h"

#define ENGINE_READERS 8
#define ENGINE_STATEMENTS 32 /* that each keeps compiled */

struct engine_options {
	const char *dir;
	const char *key_file; /* NULL: DIR.key */
	const struct key_file *keys; /* read by the caller; NULL: read from key_file */
	const char *program;  /* "mmd", "mm-search": for the audit log */
	struct index_options index;
	struct store_options store;
	uint64_t    spool_file_bytes; /* 0: 64 MiB */
	uint64_t    spool_max_bytes;
	uint64_t    spool_min_free; /* less room than this on the disk: no new mail; 0: see engine_room */
	unsigned    parse_workers; /* 0: one a processor */
	struct api_options api;
	/* "dns" of the configuration, NULL: none. mmd has it kept for tools (`keeps_dns`), which read what is
	 * kept; and
	 * has started the home of mm-verdict (ingest/verdicts.h), where there is one. */
	const json_t *dns;
	bool keeps_dns;
	struct home *verdict_home;
	struct logs_options *logs; /* its files are taken over; NULL: no logs are written */
	const json_t *addons; /* likewise */
	struct home *scan_home; /* of mm-scan (ingest/scans.h) */
	/* "send" and "endpoints" of the configuration, checked; NULL: none. mmd carries out what is in the
	 * outbound queue
	 * (`sends`), by homes of mm-deliver that it has started. */
	const json_t *send;
	const json_t *endpoints;
	const char *hostname; /* ours, in what is sent; NULL: localhost */
	struct home *sender_home;
	struct home *caller_home;
	bool sends;
	/* The pipeline has stopped for good (disk); on its thread. mmd ends and is started again. */
	void (*broken)(void *arg);
	/* The pipeline waits for room on the disk, or no longer does; on its thread. */
	void (*full)(void *arg, bool full);
	/* pipeline_parts.judged; on the pipeline's thread. NULL: nobody waits. */
	void (*judged)(void *arg, const struct message_id *id, bool refuse, const char *text);
	void *broken_arg; /* of these */
};

struct engine {
	char             *dir;
	char             *program;
	struct file      *lock;
	struct keyring   *keys;
	struct key_file  *given; /* which further keys there are; itself without a key */
	struct db        *control; /* the writers' connection: only with `writing` held */
	struct audit     *audit;
	struct store     *store;
	struct db        *catalogue; /* the index's connection: it is written to beside the pipeline's judging */
	struct index     *index;
	struct spool     *spool;
	struct logs      *logs; /* NULL: none are written */
	struct pipeline  *pipeline;
	struct engine_verdicts *verdicts; /* NULL: no DNS */
	struct engine_queue *queue; /* outbound */
	struct pipeline  *to_wake;        /* by a verdict; with `config_lock` held */
	uint8_t           control_key[KEY_BYTES];
	_Atomic uint64_t  changes; /* of control.db that are on disk: db_count */
	char              link_secret[LINK_SECRET + 1];
	bool              log_cut; /* the audit log has not what the control database says of it */
	pthread_mutex_t   writing;
	pthread_mutex_t   config_lock;
	struct db        *readers[ENGINE_READERS]; /* idle; with `config_lock` held */
	size_t            reader_count;
	pthread_mutex_t   importing; /* one import at a time */
	struct config    *config;
	struct principals *principals;
	struct tally     *tally;
	struct import_line *import_line; /* api/op_import.c; with `importing` held */
	struct engine_scans *scans; /* NULL: no add-on is configured */
	struct jobs      *jobs; /* api/job_run.h; NULL where nobody runs any */
	int64_t           opened_ms; /* the lock was taken: whoever had it does nothing after that */
	uint64_t          damaged; /* records of the spool whose loss is recorded */
	/* Called before a change of resources is committed: can the front work with it? It then holds what
	 * it needs for it until `changed`. */
	enum rc (*prepare)(void *arg, struct config *c, struct err *e);
	/* Called, with no lock held, when resources or passwords have changed; mmd reconfigures its front
	 * and returns when new connections see it. */
	enum rc (*changed)(void *arg, struct err *e);
	/* Called, with no lock held, before the spool is counted: what was acknowledged is known to it when
	 * this returns. */
	void (*hear)(void *arg);
	/* Ends the front's current spool file soon. */
	void (*end_files)(void *arg);
	void *changed_arg; /* of these, and principals_changed */
	void (*broken)(void *arg); /* from engine_options */
	void (*full)(void *arg, bool full);
	void (*judged)(void *arg, const struct message_id *id, bool refuse, const char *text);
	void *broken_arg;
	/* Called when principals or access keys have changed: mm-httpd works with them when it returns. */
	enum rc (*principals_changed)(void *arg, struct err *e);
	struct api_options api;
	struct imports *imports; /* api/import_run.h; NULL: none run */
	uint64_t spool_min_free;
};

/* "mmctl init": DIR, its key ring, control database and audit log; the master key in `key_file` if that
 * is absent: a random one, or with `passphrase` that of a passphrase that is asked for (RC_EXISTS where
 * `key_file` is there). `recovery` (may be NULL) gets a copy of it. RC_EXISTS when DIR has a key ring. */
enum rc engine_init(const char *dir, const char *key_file, const char *recovery, bool passphrase,
		    struct err *e) MUST_USE;
/* RC_NOTFOUND, with advice, when there is no key ring. */
enum rc engine_is_directory(const char *dir, struct err *e) MUST_USE;
enum rc engine_open(struct engine **out, const struct engine_options *opt, struct err *e) MUST_USE;
/* Stops the pipeline at a checkpoint and closes everything. NULL is fine. */
void    engine_close(struct engine **en);
/* The current snapshot, with a reference for the caller. */
struct config *engine_config(struct engine *en);
/* The pipeline looks for what it has to do; any thread. */
void engine_wake_pipeline(struct engine *en);
/* Compiles what has changed in the control database; `writing` is held. */
enum rc engine_reload(struct engine *en, struct err *e) MUST_USE;
/* The same of the principals. */
struct principals *engine_principals(struct engine *en);
enum rc engine_reload_principals(struct engine *en, struct err *e) MUST_USE;
/* May `c` be adopted? RC_INVALID: a new archive wants a further key (KmsKeyArn) that there isn't. RC_CORRUPT:
 * the ring can't say whether it has a key, for a slot is lost, or has one for a new one. */
enum rc engine_check_keys(struct engine *en, const struct config *c, struct err *e) MUST_USE;
/* `c` is what a change of resources made (apply_result.made); takes its own reference. `writing` is held. */
enum rc engine_adopt(struct engine *en, struct config *c, struct err *e) MUST_USE;
/* A connection for one reader's thread. */
enum rc engine_control(struct engine *en, struct db **out, struct err *e) MUST_USE;
/* The same from a few that are kept open, for what is asked often: to open one takes longer than to read
 * a row. engine_reader_end takes it back, whatever became of it; NULL in *db is fine. */
enum rc engine_reader(struct engine *en, struct db **out, struct err *e) MUST_USE;
void    engine_reader_end(struct engine *en, struct db **db);
/* What a sweep works on; `archives` points into memory to be freed. `writing` is held. */
void    engine_sweep(struct engine *en, struct config *c, struct sweep *s);
/* An entry for the log, and its sync: what is answered afterwards is accounted for. */
enum rc engine_account(struct engine *en, const char *event, const char *who, json_t *detail,
		       struct err *e) MUST_USE;
/* Has the disk room for more mail? The reserve (spool_min_free; a twentieth of the disk by default, and
 * 256 MiB at most) must be free, and what accepted mail will need to be archived. */
bool    engine_room(struct engine *en);
/* Merges the small blocks of past days; takes `writing` itself. */
enum rc engine_repack(struct engine *en, struct err *e) MUST_USE;
/* Defaults for a directory: DIR.key. In memory to be freed. */
char   *engine_key_path(const char *dir, const char *key_file);

/* Options from the configuration file's JSON (index{}, store{}, spool{}); unknown members are
 * RC_INVALID. */
enum rc engine_configure(struct engine_options *opt, const json_t *config, struct err *e) MUST_USE;

#endif
