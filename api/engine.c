#include "api/engine.h"

#include "api/engine_keys.h"
#include "api/engine_queue.h"
#include "api/engine_scans.h"
#include "api/engine_setting.h"
#include "api/engine_verdicts.h"
#include "api/job.h"
#include "api/link.h"
#include "api/requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "retention/clockguard.h"
#include "retention/erase.h"
#include "ingest/action/dkim_sign.h"
#include "ingest/action/secret.h"
#include "ingest/anchor.h"
#include "store/audited.h"
#include "ingest/disposition.h"
#include "ingest/ledger.h"
#include "ingest/resources.h"
#include "store/crypt.h"

char *engine_key_path(const char *dir, const char *key_file)
{
	struct slice s = slice_str(dir);
	struct buf path;
	char *text;

	if (key_file)
		return mem_string(key_file);
	while (s.len > 1 && s.at[s.len - 1] == '/')
		s.len--;
	buf_init(&path, 4096);
	if (buf_add(&path, s) != RC_OK || buf_add_str(&path, ".key") != RC_OK)
		buf_clear(&path);
	text = mem_string(buf_text(&path));
	buf_free(&path);
	return text;
}

/* ---- making a data directory ---- */

static enum rc make_folders(const char *dir, struct err *e)
{
	static const char *const names[] = { "audit", "seg", "index", "spool" };
	enum rc rc = dir_make(dir, e);

	if (rc == RC_OK)
		rc = dir_keep_owner(dir, e);
	for (size_t i = 0; rc == RC_OK && i < COUNT(names); i++) {
		char *path = path_join(dir, names[i]);

		rc = dir_make(path, e);
		free(path);
	}
	return rc == RC_OK ? dir_sync(dir, e) : rc;
}

static enum rc make_keys(struct keyring *kr, struct err *e)
{
	struct key_info control = { .kind = KEY_CONTROL };
	struct key_info audit = { .kind = KEY_AUDIT };
	uint64_t id;
	enum rc rc = keyring_add(kr, &control, &id, e);

	return rc == RC_OK ? keyring_add(kr, &audit, &id, e) : rc;
}

static enum rc prepare_control(struct db *control, uint64_t *changes, struct err *e)
{
	static enum rc (*const prepare[])(struct db * control, struct err * e) = {
		resources_open,  disposition_prepare, ledger_prepare, pipeline_prepare,
		sweep_prepare,   erase_prepare,       anchor_prepare, dkim_keys_prepare,
		secrets_prepare, principals_prepare,  job_prepare,    setting_prepare,
	};
	enum rc rc = db_count_prepare(control, changes, e);

	for (size_t i = 0; rc == RC_OK && i < COUNT(prepare); i++)
		rc = prepare[i](control, e);
	return rc;
}

struct find_key {
	enum key_kind kind;
	uint64_t id;
};

static enum rc find_kind(void *arg, const struct key_info *k)
{
	struct find_key *f = arg;

	if (k->kind == f->kind && k->state == KEY_LIVE && f->id == 0)
		f->id = k->id;
	return RC_OK;
}

static enum rc control_key(struct keyring *kr, uint8_t key[KEY_BYTES], struct err *e)
{
	struct find_key f = { .kind = KEY_CONTROL };

	(void)keyring_each(kr, find_kind, &f);
	if (f.id == 0)
		return err_set(e, RC_CORRUPT, "the key ring has no key for the control database");
	return keyring_get(kr, f.id, key, e);
}

static enum rc make_control(const char *dir, struct keyring *kr, struct err *e)
{
	uint8_t key[KEY_BYTES];
	char *path = path_join(dir, "control.db");
	struct db *control = NULL;
	uint64_t changes;
	enum rc rc = control_key(kr, key, e);

	if (rc == RC_OK)
		rc = db_open(&control, path, key, DB_CREATE, e);
	if (rc == RC_OK)
		rc = prepare_control(control, &changes, e);
	db_close(&control);
	crypt_wipe(key, sizeof(key));
	free(path);
	return rc;
}

/* A new passphrase is asked for twice: to make the file, and to read it. */
static enum rc master_for_init(const char *path, const char *recovery, bool passphrase,
                               uint8_t master[KEY_BYTES], struct err *e)
{
	enum rc rc = RC_OK;

	if (passphrase)
		rc = master_key_create_passphrase(path, e);
	else if (!file_exists(path))
		rc = master_key_create(path, e);
	if (rc == RC_OK) {
		rc = master_key_read(path, master, e);
		if (rc == RC_CRYPTO && passphrase)
			(void)!file_remove(path, NULL);
	}
	if (rc == RC_OK && recovery)
		rc = master_key_copy(recovery, master, e);
	return rc;
}

enum rc engine_init(const char *dir, const char *key_file, const char *recovery, bool passphrase,
                    struct err *e)
{
	uint8_t master[KEY_BYTES];
	char *ring = path_join(dir, "keys.a");
	char *key_path = engine_key_path(dir, key_file);
	struct keyring *kr = NULL;
	enum rc rc;

	crypt_init();
	if (file_exists(ring))
		rc = err_set(e, RC_EXISTS, "%s is a data directory already", dir);
	else
		rc = make_folders(dir, e);
	if (rc == RC_OK)
		rc = master_for_init(key_path, recovery, passphrase, master, e);
	if (rc == RC_OK)
		rc = keyring_create(dir, master, e);
	if (rc == RC_OK)
		rc = keyring_open(&kr, dir, master, e);
	if (rc == RC_OK)
		rc = make_keys(kr, e);
	if (rc == RC_OK)
		rc = make_control(dir, kr, e);
	keyring_close(&kr);
	crypt_wipe(master, sizeof(master));
	free(ring);
	free(key_path);
	return rc;
}

/* ---- opening one ---- */

enum rc engine_is_directory(const char *dir, struct err *e)
{
	char *ring = path_join(dir, "keys.a");
	char *other = path_join(dir, "keys.b");
	enum rc rc = RC_OK;

	if (!file_exists(ring) && !file_exists(other))
		rc = err_set(e, RC_NOTFOUND,
		             "%s is no data directory; make one with: mmctl init --data %s", dir,
		             dir);
	free(ring);
	free(other);
	return rc;
}

static enum rc take_lock(struct engine *en, struct err *e)
{
	char *path = path_join(en->dir, "lock");
	enum rc rc = engine_is_directory(en->dir, e);

	if (rc == RC_OK)
		rc = dir_keep_owner(en->dir, e);
	if (rc == RC_OK)
		rc = file_open(&en->lock, path, FILE_APPEND, e);
	if (rc == RC_OK)
		rc = file_lock_soon(en->lock, e);
	free(path);
	return rc;
}

static enum rc open_keys(struct engine *en, const struct engine_options *opt, struct err *e)
{
	enum rc rc = engine_keys_open(en, opt, e);

	if (rc != RC_OK)
		return rc;
	if (keyring_repaired(en->keys))
		log_warn("%u damaged slots of the key ring were repaired from the other replica",
		         keyring_repaired(en->keys));
	return control_key(en->keys, en->control_key, e);
}

static enum rc open_control(struct engine *en, struct db **out, struct err *e)
{
	char *path = path_join(en->dir, "control.db");
	enum rc rc = db_open(out, path, en->control_key, DB_WRITE, e);

	free(path);
	return rc;
}

enum rc engine_control(struct engine *en, struct db **out, struct err *e)
{
	enum rc rc = open_control(en, out, e);

	if (rc == RC_OK)
		db_count(*out, &en->changes);
	return rc;
}

enum rc engine_reader(struct engine *en, struct db **out, struct err *e)
{
	enum rc rc;

	*out = NULL;
	(void)pthread_mutex_lock(&en->config_lock);
	if (en->reader_count)
		*out = en->readers[--en->reader_count];
	(void)pthread_mutex_unlock(&en->config_lock);
	if (*out)
		return RC_OK;
	rc = engine_control(en, out, e);
	if (rc == RC_OK) /* compiling them was a third of what a call took */
		db_keep_statements(*out, ENGINE_STATEMENTS);
	return rc;
}

void engine_reader_end(struct engine *en, struct db **db)
{
	if (!*db)
		return;
	(void)pthread_mutex_lock(&en->config_lock);
	if (en->reader_count < ENGINE_READERS) {
		en->readers[en->reader_count++] = *db;
		*db = NULL;
	}
	(void)pthread_mutex_unlock(&en->config_lock);
	db_close(db);
}

/* The log knows more of the control database than this one has: told loudly, and mm goes on with
 * what there is. A damaged log knows nothing of it; verify tells that. */
static enum rc check_changes(struct engine *en, uint64_t changes, struct err *e)
{
	uint64_t known;
	enum rc rc = anchor_changes(en->audit, &known, e);

	if (rc == RC_CORRUPT) {
		log_error("%s: it can't say whether control.db is an older copy", e->text);
		return RC_OK;
	}
	if (rc != RC_OK || changes >= known)
		return rc;
	log_error("control.db is an older copy: it has %llu changes, the audit log knows of %llu."
	          " Resources, principals and their access keys, SMTP passwords, dispositions and"
	          " the import ledger are as they were then; the mail of an archive that it doesn't"
	          " know is kept, but not found; and nothing is swept unattended",
	          (unsigned long long)changes, (unsigned long long)known);
	rc = engine_account(
	        en, "control_older", en->program,
	        json_pack("{s:I, s:I}", "changes", (json_int_t)changes, "known", (json_int_t)known),
	        e);
	return rc == RC_OK ? clockguard_older(en->control, e) : rc;
}

/* Nothing is written to the control database before the log was asked about it. */
static enum rc open_control_and_log(struct engine *en, struct err *e)
{
	uint64_t changes = 0;
	enum rc rc = open_control(en, &en->control, e);

	if (rc == RC_OK)
		rc = prepare_control(en->control, &changes, e);
	if (rc == RC_OK)
		rc = engine_keys_check(en, e);
	if (rc == RC_OK)
		rc = audit_open(&en->audit, en->dir, en->keys, e);
	if (rc != RC_OK)
		return rc;
	atomic_store(&en->changes, changes);
	db_count(en->control, &en->changes);
	audit_witness(en->audit, &en->changes);
	rc = check_changes(en, changes, e);
	return rc == RC_OK ? engine_keys_number(en, e) : rc;
}

static enum rc open_data(struct engine *en, const struct engine_options *opt, struct err *e)
{
	enum rc rc = open_control_and_log(en, e);

	if (rc == RC_OK)
		en->tally = tally_new(en->audit);
	if (rc == RC_OK)
		rc = store_open(&en->store, en->dir, en->keys, &opt->store, e);
	if (rc == RC_OK)
		rc = open_control(en, &en->catalogue, e); /* what it writes can be made anew */
	if (rc == RC_OK)
		rc = index_open(&en->index, en->dir, en->keys, en->catalogue, &opt->index, e);
	if (rc == RC_OK)
		rc = engine_reload(en, e);
	return rc == RC_OK ? engine_reload_principals(en, e) : rc;
}

/* Accepted messages that the disk has lost: their ids are lost too, so the place stands for them.
 * On the pipeline's thread, with `writing` held. */
static void record_damage(void *app, uint64_t file, uint64_t offset, const char *text)
{
	struct engine *en = app;
	struct disposition d = { .received_ms = clock_now_ms(),
		                 .kind = DISPOSITION_LOST,
		                 .rule = -1 };
	uint8_t place[8] = { 0 };
	struct spool_totals spool;
	struct err e = { 0 };

	spool_backlog(en->spool, &spool);
	if (spool.damaged == en->damaged)
		return; /* of a header's second copy: nothing is lost */
	en->damaged = spool.damaged;
	put_le64(place, offset);
	d.id = id_make(0, (uint32_t)file & ((UINT32_C(1) << ID_SEQUENCE_BITS) - 1), place);
	(void)snprintf(d.text, sizeof(d.text), "spool file %llu at %llu: %.150s",
	               (unsigned long long)file, (unsigned long long)offset, text);
	if (disposition_put(en->control, &d, &e) != RC_OK)
		log_error("the loss is not recorded: %s", e.text);
}

static enum rc open_spool(struct engine *en, const struct engine_options *opt, struct err *e)
{
	struct spool_position *positions = NULL;
	struct spool_options so = { .file_bytes = opt->spool_file_bytes,
		                    .max_bytes = opt->spool_max_bytes,
		                    .damage = record_damage,
		                    .app = en };
	enum rc rc = pipeline_positions(en->control, &positions, &so.positions_count, e);

	so.positions = positions;
	if (rc == RC_OK)
		rc = pipeline_newest(en->control, &so.newest_ms, e);
	if (rc == RC_OK)
		rc = spool_open(&en->spool, en->dir, en->keys, &so, e);
	free(positions);
	return rc;
}

static enum rc queue_forgets(void *arg, uint32_t archive, int32_t day, const struct message_id *id,
                             struct err *e)
{
	const struct engine *en = arg;
	size_t count;

	return queue_forget(engine_queue_of(en->queue), archive, day, id, &count, e);
}

static enum rc queue_has_forgotten(void *arg, struct err *e)
{
	const struct engine *en = arg;

	return queue_rotate(engine_queue_of(en->queue), e);
}

void engine_sweep(struct engine *en, struct config *c, struct sweep *s)
{
	struct retention_archive *archives =
	        mem_array(config_archive_count(c), sizeof(struct retention_archive));

	for (size_t i = 0; i < config_archive_count(c); i++) {
		const struct archive_info *a = config_archive_at(c, i);

		archives[i].number = a->number;
		archives[i].name = a->name;
		archives[i].period = a->period;
		archives[i].end_ms = archive_end_ms(a);
	}
	*s = (struct sweep) {
		.keys = en->keys,
		.store = en->store,
		.index = en->index,
		.audit = en->audit,
		.control = en->control,
		.archives = archives,
		.archive_count = config_archive_count(c),
		.forget = queue_forgets,
		.forgotten = queue_has_forgotten,
		.copies = en,
	};
}

struct pending {
	struct audited *known;
	struct block_list *blocks;
};

static bool is_audited(void *arg, uint64_t segment, uint32_t block)
{
	const struct pending *p = arg;

	return audited_place(p->known, segment, block);
}

static void take_pending(void *arg, const struct store_block *b)
{
	const struct pending *p = arg;

	block_list_add(p->blocks, b);
}

/* Blocks that reached the disk just before a crash, and their audit entries didn't. Where a damaged log
 * doesn't say which they are some are entered twice, which counts once when it is whole again. */
static enum rc account_pending(struct engine *en, struct err *e)
{
	struct pending p;
	enum rc rc = audited_load(&p.known, en->audit, e);
	enum rc accounted;

	if (rc == RC_CORRUPT)
		log_error("%s: blocks that it doesn't tell of are entered again", e->text);
	else if (rc != RC_OK)
		return rc;
	p.blocks = block_list_new();
	rc = store_pending_blocks(en->store, is_audited, take_pending, &p, e);
	accounted = block_list_account(&p.blocks, en->audit, BLOCKS_NEW, rc == RC_OK ? e : NULL);
	audited_free(&p.known);
	return rc == RC_OK ? accounted : rc;
}

/* A log that was cut is told now and by every verify. Mail is taken and found all the same. */
static enum rc check_log(struct engine *en, struct err *e)
{
	enum rc rc = anchor_check(en->control, en->audit, e);

	if (rc != RC_CORRUPT)
		return rc;
	en->log_cut = true;
	log_error("%s", e->text);
	return RC_OK;
}

/* Who can't start can't repair: what damage keeps from its end, or that it may not go any more, was
 * logged, and the next run goes on with it. */
static enum rc but_for_damage(enum rc rc)
{
	return rc == RC_CORRUPT || is_forbidden(rc) ? RC_OK : rc;
}

/* What a killed process left half done in the archives, before the pipeline runs. */
static enum rc recover(struct engine *en, struct err *e)
{
	struct audit_head head;
	struct sweep s;
	struct sweep_report report;
	struct config *c = engine_config(en);
	enum rc rc;

	rc = check_log(en, e);
	if (rc != RC_OK)
		return rc;
	audit_head(en->audit, &head);
	rc = clockguard_start(en->control, head.entries ? head.when_ms : 0, e);
	engine_sweep(en, c, &s);
	if (rc == RC_OK)
		rc = but_for_damage(sweep_recover(&s, &report, e));
	if (rc == RC_OK)
		rc = but_for_damage(erase_recover(&s, e));
	free((void *)(uintptr_t)s.archives);
	config_unref(&c);
	if (rc == RC_OK)
		rc = index_drop_dead(en->index, e);
	if (rc == RC_OK)
		rc = account_pending(en, e);
	if (rc == RC_OK)
		rc = engine_account(en, "start", en->program, NULL, e);
	return rc;
}

static struct config *config_for_pipeline(void *arg)
{
	return engine_config(arg);
}

static void pipeline_broke(void *arg, const struct err *e)
{
	struct engine *en = arg;

	(void)e; /* the pipeline has logged it */
	if (en->broken)
		en->broken(en->broken_arg);
}

static void pipeline_filled(void *arg, bool full)
{
	struct engine *en = arg;

	if (en->full)
		en->full(en->broken_arg, full);
}

static void pipeline_judged(void *arg, const struct message_id *id, bool refuse, const char *text)
{
	struct engine *en = arg;

	en->judged(en->broken_arg, id, refuse, text);
}

static void wake_pipeline(struct engine *en, struct pipeline *p)
{
	(void)pthread_mutex_lock(&en->config_lock);
	en->to_wake = p;
	(void)pthread_mutex_unlock(&en->config_lock);
}

void engine_wake_pipeline(struct engine *en)
{
	(void)pthread_mutex_lock(&en->config_lock);
	if (en->to_wake)
		pipeline_wake(en->to_wake);
	(void)pthread_mutex_unlock(&en->config_lock);
}

static void result_came(void *arg)
{
	engine_wake_pipeline(arg);
}

static bool room_for_logs(void *arg)
{
	return engine_room(arg);
}

static enum rc start_logs(struct engine *en, const struct engine_options *opt, struct err *e)
{
	const struct arn_home home = { en->api.region, en->api.account };

	return opt->logs ? logs_new(&en->logs, opt->logs, en->dir, en->keys, &home, room_for_logs,
	                            en, e)
	                 : RC_OK;
}

static enum rc start_pipeline(struct engine *en, const struct engine_options *opt, struct err *e)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct pipeline_parts parts = {
		.keys = en->keys,
		.store = en->store,
		.index = en->index,
		.audit = en->audit,
		.control = en->control,
		.spool = en->spool,
		.verdicts = engine_verdicts_of(en->verdicts),
		.logs = en->logs,
		.scans = engine_scans_of(en->scans),
		.queue = engine_queue_of(en->queue),
		.writing = &en->writing,
		.config = config_for_pipeline,
		.failed = pipeline_broke,
		.full = pipeline_filled,
		.judged = en->judged ? pipeline_judged : NULL,
		.arg = en,
		.keep_anchor = en->log_cut,
		.workers = opt->parse_workers ? opt->parse_workers : (unsigned)MAX_OF(cores, 1L),
	};

	enum rc rc = pipeline_new(&en->pipeline, &parts, e);

	wake_pipeline(en, en->pipeline);
	return rc;
}

enum rc engine_open(struct engine **out, const struct engine_options *opt, struct err *e)
{
	struct engine *en = mem_new(sizeof(*en));
	enum rc rc;

	crypt_init();
	*out = NULL;
	en->dir = mem_string(opt->dir);
	en->program = mem_string(opt->program);
	en->broken = opt->broken;
	en->full = opt->full;
	en->judged = opt->judged;
	en->spool_min_free = opt->spool_min_free;
	en->api = opt->api;
	en->broken_arg = opt->broken_arg;
	MUST(pthread_mutex_init(&en->writing, NULL) == 0);
	MUST(pthread_mutex_init(&en->config_lock, NULL) == 0);
	MUST(pthread_mutex_init(&en->importing, NULL) == 0);
	rc = take_lock(en, e);
	en->opened_ms = clock_now_ms();
	link_draw(en->link_secret);
	if (rc == RC_OK)
		rc = open_keys(en, opt, e);
	if (rc == RC_OK)
		rc = open_data(en, opt, e);
	if (rc == RC_OK)
		rc = engine_queue_open(&en->queue, en, opt, e);
	if (rc == RC_OK)
		rc = recover(en, e);
	if (rc == RC_OK)
		rc = open_spool(en, opt, e);
	if (rc == RC_OK)
		rc = engine_verdicts_start(&en->verdicts, en, opt, result_came, en, e);
	if (rc == RC_OK)
		rc = engine_scans_start(&en->scans, en, opt, result_came, en, e);
	if (rc == RC_OK)
		rc = start_logs(en, opt, e);
	if (rc == RC_OK)
		rc = start_pipeline(en, opt, e);
	if (rc == RC_OK)
		rc = engine_queue_start(en->queue, en, opt, e);
	if (rc != RC_OK) {
		engine_close(&en);
		return rc;
	}
	*out = en;
	return RC_OK;
}

void engine_close(struct engine **enp)
{
	struct engine *en = *enp;
	struct err e = { 0 };
	bool whole;

	if (!en)
		return;
	whole = en->pipeline != NULL;
	import_line_free(&en->import_line);
	wake_pipeline(en, NULL);
	pipeline_free(&en->pipeline);
	engine_queue_close(&en->queue);
	engine_verdicts_stop(&en->verdicts);
	logs_free(&en->logs); /* it looks at the spool's room */
	engine_scans_stop(&en->scans);
	spool_close(&en->spool);
	tally_free(&en->tally);
	if (en->audit && en->store && engine_account(en, "stop", en->program, NULL, &e) != RC_OK)
		log_error("the audit log: %s", e.text);
	else if (whole && !en->log_cut && anchor_put(en->control, en->audit, &e) != RC_OK)
		log_error("the audit log's head: %s", e.text);
	config_unref(&en->config);
	principals_unref(&en->principals);
	index_close(&en->index);
	db_close(&en->catalogue);
	store_close(&en->store);
	audit_close(&en->audit);
	while (en->reader_count)
		db_close(&en->readers[--en->reader_count]);
	db_close(&en->control);
	keyring_close(&en->keys);
	if (en->given)
		key_file_free(en->given);
	free(en->given);
	crypt_wipe(en->control_key, sizeof(en->control_key));
	crypt_wipe(en->link_secret, sizeof(en->link_secret));
	file_close(&en->lock);
	(void)pthread_mutex_destroy(&en->writing);
	(void)pthread_mutex_destroy(&en->config_lock);
	(void)pthread_mutex_destroy(&en->importing);
	free(en->dir);
	free(en->program);
	free(en);
	*enp = NULL;
}

struct config *engine_config(struct engine *en)
{
	struct config *c;

	(void)pthread_mutex_lock(&en->config_lock);
	c = config_ref(en->config);
	(void)pthread_mutex_unlock(&en->config_lock);
	return c;
}

struct principals *engine_principals(struct engine *en)
{
	struct principals *ps;

	(void)pthread_mutex_lock(&en->config_lock);
	ps = principals_ref(en->principals);
	(void)pthread_mutex_unlock(&en->config_lock);
	return ps;
}

enum rc engine_reload_principals(struct engine *en, struct err *e)
{
	struct principals *fresh;
	struct principals *old;
	enum rc rc = principals_load(en->control, &fresh, e);

	if (rc != RC_OK)
		return rc;
	(void)pthread_mutex_lock(&en->config_lock);
	old = en->principals;
	en->principals = fresh;
	(void)pthread_mutex_unlock(&en->config_lock);
	principals_unref(&old);
	return RC_OK;
}

enum rc engine_adopt(struct engine *en, struct config *c, struct err *e)
{
	struct config *old;
	enum rc rc = engine_keys_ensure(en, c, e);

	if (rc != RC_OK)
		return rc;
	(void)pthread_mutex_lock(&en->config_lock);
	old = en->config;
	en->config = config_ref(c);
	(void)pthread_mutex_unlock(&en->config_lock);
	config_unref(&old);
	return RC_OK;
}

enum rc engine_reload(struct engine *en, struct err *e)
{
	struct config *fresh;
	enum rc rc = resources_compile(en->control, en->config, &fresh, e);

	if (rc == RC_OK)
		rc = engine_adopt(en, fresh, e);
	config_unref(&fresh);
	return rc;
}

enum rc engine_account(struct engine *en, const char *event, const char *who, json_t *detail,
                       struct err *e)
{
	enum rc rc = audit_add(en->audit, event, who, detail, e);

	return rc == RC_OK ? audit_sync(en->audit, e) : rc;
}

bool engine_room(struct engine *en)
{
	struct spool_totals spool;
	uint64_t unused;
	uint64_t whole;
	uint64_t reserve = en->spool_min_free;

	if (en->queue && queue_full(engine_queue_of(en->queue)))
		return false;
	if (dir_space(en->dir, &unused, &whole, NULL) != RC_OK)
		return true; /* an error of the disk is told by what is written to it */
	if (!reserve)
		reserve = MIN_OF(whole / 20, (uint64_t)256 << 20);
	spool_backlog(en->spool, &spool);
	return unused >= reserve && unused - reserve >= spool.bytes;
}

struct repacking {
	struct engine *en;
	struct block_list *blocks;
};

static void repacked_block(void *arg, const struct store_block *b)
{
	const struct repacking *r = arg;

	block_list_add(r->blocks, b);
}

static enum rc account_repacked(void *arg, struct err *e)
{
	struct repacking *r = arg;
	enum rc rc = block_list_account(&r->blocks, r->en->audit, BLOCKS_MOVED, e);

	r->blocks = block_list_new();
	return rc == RC_OK ? audit_sync(r->en->audit, e) : rc;
}

enum rc engine_repack(struct engine *en, struct err *e)
{
	struct repacking r = { en, block_list_new() };
	const struct store_repacked to = { repacked_block, account_repacked, &r };
	enum rc rc;
	enum rc emptied;

	(void)pthread_mutex_lock(&en->writing);
	rc = store_repack(en->store, (int32_t)day_of_ms(clock_now_ms()), &to, e);
	emptied = block_list_account(&r.blocks, en->audit, BLOCKS_MOVED, rc == RC_OK ? e : NULL);
	(void)pthread_mutex_unlock(&en->writing);
	return rc == RC_OK ? emptied : rc;
}

/* ---- options ---- */

/* Takes the numbers of one section; every member must be known. */
static enum rc section(const json_t *config, const char *name, const char *const *members,
                       uint64_t *const *values, size_t count, struct err *e)
{
	json_t *object = json_object_get(config, name);
	const char *member;
	json_t *value;

	if (!object)
		return RC_OK;
	if (!json_is_object(object))
		return err_set(e, RC_INVALID, "configuration: %s must be an object", name);
	json_object_foreach(object, member, value)
	{
		size_t i = 0;

		while (i < count && strcmp(members[i], member) != 0)
			i++;
		if (i == count)
			return err_set(e, RC_INVALID, "configuration: %s.%s is not known", name,
			               member);
		if (!json_is_integer(value) || json_integer_value(value) < 0)
			return err_set(e, RC_INVALID,
			               "configuration: %s.%s must be a number, 0 or more", name,
			               member);
		*values[i] = (uint64_t)json_integer_value(value);
	}
	return RC_OK;
}

enum rc engine_configure(struct engine_options *opt, const json_t *config, struct err *e)
{
	uint64_t shard_messages = opt->index.shard_messages;
	uint64_t shard_days = opt->index.shard_days;
	uint64_t segment_bytes = opt->store.segment_bytes;
	uint64_t block_bytes = opt->store.block_bytes;
	uint64_t workers = opt->parse_workers;
	enum rc rc =
	        section(config, "index", (const char *const[]) { "shard_messages", "shard_days" },
	                (uint64_t *const[]) { &shard_messages, &shard_days }, 2, e);

	if (rc == RC_OK)
		rc = section(config, "store",
		             (const char *const[]) { "segment_bytes", "block_bytes" },
		             (uint64_t *const[]) { &segment_bytes, &block_bytes }, 2, e);
	if (rc == RC_OK)
		rc = section(config, "spool",
		             (const char *const[]) { "file_bytes", "max_bytes", "min_free" },
		             (uint64_t *const[]) { &opt->spool_file_bytes, &opt->spool_max_bytes,
		                                   &opt->spool_min_free },
		             3, e);
	if (rc == RC_OK)
		rc = section(config, "parse", (const char *const[]) { "workers" },
		             (uint64_t *const[]) { &workers }, 1, e);
	if (rc != RC_OK)
		return rc;
	if (shard_messages > UINT32_MAX || shard_days > UINT32_MAX || block_bytes > (64u << 20) ||
	    workers > 64)
		return err_set(e, RC_INVALID,
		               "configuration: a number of index, store or parse is too large");
	opt->index.shard_messages = (uint32_t)shard_messages;
	opt->index.shard_days = (uint32_t)shard_days;
	opt->store.segment_bytes = segment_bytes;
	opt->store.block_bytes = (uint32_t)block_bytes;
	opt->parse_workers = (unsigned)workers;
	return RC_OK;
}
