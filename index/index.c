#include "index/index_parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/file.h"
#include "base/log.h"
#include "store/crypt.h"

#define DEFAULT_MESSAGES 50000
#define DEFAULT_DAYS     31

/* ---- shards ---- */

void lock_index(struct index *ix)
{
	MUST(pthread_mutex_lock(&ix->lock) == 0);
}

void unlock_index(struct index *ix)
{
	MUST(pthread_mutex_unlock(&ix->lock) == 0);
}

char *shard_file(const struct index *ix, uint32_t archive, uint64_t number, bool sealed)
{
	size_t room = strlen(ix->dir) + 64;
	char *path = mem_new(room);

	(void)snprintf(path, room, "%s/%u/%08llu.%s", ix->dir, archive, (unsigned long long)number,
	               sealed ? "shard" : "db");
	return path;
}

struct shard *shard_new(struct index *ix, const struct shard_meta *meta, bool sealed)
{
	struct shard *s = mem_new(sizeof(*s));

	s->ix = ix;
	s->holders = 1;
	s->sealed = sealed;
	s->meta = *meta;
	s->path = shard_file(ix, meta->archive, meta->number, sealed);
	return s;
}

static void shard_free(struct shard *s)
{
	struct err e;

	if (s->remove_file && db_remove(s->path, &e) != RC_OK)
		log_warn("%s", e.text);
	crypt_wipe(s->key, sizeof(s->key));
	free(s->path);
	free(s);
}

void shard_list(struct shard *s)
{
	struct index *ix = s->ix;

	lock_index(ix);
	s->listed = true;
	s->next = ix->shards;
	ix->shards = s;
	unlock_index(ix);
}

/* Under the lock: takes the idle connections out, to be closed without it. */
static unsigned take_idle(struct shard *s, struct conn *out[IDLE_A_SHARD])
{
	unsigned count = 0;

	for (unsigned i = 0; i < IDLE_A_SHARD; i++)
		if (s->idle[i]) {
			out[count++] = s->idle[i];
			s->idle[i] = NULL;
			s->ix->idle--;
		}
	return count;
}

static void close_idle(struct shard *s)
{
	struct conn *idle[IDLE_A_SHARD];
	unsigned count;

	lock_index(s->ix);
	count = take_idle(s, idle);
	unlock_index(s->ix);
	for (unsigned i = 0; i < count; i++)
		conn_close(&idle[i]);
}

void shard_unlist(struct shard *s)
{
	struct shard **at = &s->ix->shards;

	lock_index(s->ix);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	s->listed = false;
	unlock_index(s->ix);
	close_idle(s);
	shard_drop(s);
}

void shard_hold(struct shard *s)
{
	lock_index(s->ix);
	s->holders++;
	unlock_index(s->ix);
}

void shard_drop(struct shard *s)
{
	bool last;

	lock_index(s->ix);
	last = --s->holders == 0;
	unlock_index(s->ix);
	if (last)
		shard_free(s);
}

void shard_set_dead(struct shard *s)
{
	lock_index(s->ix);
	s->dead = true;
	unlock_index(s->ix);
	close_idle(s);
}

enum rc shard_borrow(struct shard *s, struct conn **out, struct err *e)
{
	*out = NULL;
	lock_index(s->ix);
	for (unsigned i = 0; i < IDLE_A_SHARD && !*out; i++)
		if (s->idle[i]) {
			*out = s->idle[i];
			s->idle[i] = NULL;
			s->ix->idle--;
		}
	unlock_index(s->ix);
	return *out ? RC_OK : conn_open(out, s->path, s->key, s->sealed, DB_WRITE, e);
}

/* Under the lock: takes out the connection that has rested for longest, to be closed without it. */
static struct conn *take_oldest(struct index *ix)
{
	struct conn **oldest = NULL;
	uint64_t when = UINT64_MAX;
	struct conn *c;

	for (struct shard *s = ix->shards; s; s = s->next)
		for (unsigned i = 0; i < IDLE_A_SHARD; i++)
			if (s->idle[i] && s->rested[i] < when) {
				when = s->rested[i];
				oldest = &s->idle[i];
			}
	if (!oldest)
		return NULL;
	c = *oldest;
	*oldest = NULL;
	ix->idle--;
	return c;
}

void shard_return(struct shard *s, struct conn **c)
{
	struct index *ix = s->ix;
	struct conn *oldest = NULL;

	if (!*c)
		return;
	conn_rest(*c);
	lock_index(ix);
	for (unsigned i = 0; i < IDLE_A_SHARD && *c; i++)
		if (s->listed && !s->dead && !s->idle[i]) {
			oldest = ix->idle == IDLE_IN_ALL ? take_oldest(ix) : NULL;
			s->idle[i] = *c;
			s->rested[i] = ++ix->tick;
			ix->idle++;
			*c = NULL;
		}
	unlock_index(ix);
	conn_close(c);
	conn_close(&oldest);
}

size_t shards_hold(struct index *ix, uint32_t archive, bool dead, struct shard ***out)
{
	size_t count = 0;
	struct shard *s;

	lock_index(ix);
	for (s = ix->shards; s; s = s->next)
		count++;
	*out = mem_array(count + 1, sizeof(**out));
	count = 0;
	for (s = ix->shards; s; s = s->next)
		if ((archive == 0 || s->meta.archive == archive) && (dead || !s->dead)) {
			s->holders++;
			(*out)[count++] = s;
		}
	unlock_index(ix);
	return count;
}

void shards_drop(struct shard ***list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		shard_drop((*list)[i]);
	free(*list);
	*list = NULL;
}

/* ---- opening ---- */

enum rc index_open(struct index **out, const char *dir, struct keyring *kr, struct db *control,
                   const struct index_options *opt, struct err *e)
{
	struct index *ix = mem_new(sizeof(*ix));
	enum rc rc;

	ix->dir = path_join(dir, "index");
	ix->kr = kr;
	ix->control = control;
	if (opt)
		ix->opt = *opt;
	if (ix->opt.shard_messages == 0)
		ix->opt.shard_messages = DEFAULT_MESSAGES;
	if (ix->opt.shard_days == 0)
		ix->opt.shard_days = DEFAULT_DAYS;
	MUST(pthread_mutex_init(&ix->lock, NULL) == 0);
	rc = dir_make(ix->dir, e);
	if (rc == RC_OK)
		rc = dir_sync(dir, e);
	if (rc == RC_OK)
		rc = catalogue_load(ix, e);
	if (rc != RC_OK)
		index_close(&ix);
	*out = ix;
	return rc;
}

static void close_last_other(struct index *ix)
{
	struct other *o = &ix->others[--ix->others_count];

	conn_close(&o->conn);
	shard_drop(o->shard);
}

/* The writer's own: among the idle ones each shard that was full once would have one for ever. */
static void close_others(struct index *ix)
{
	while (ix->others_count)
		close_last_other(ix);
}

void index_close(struct index **ix)
{
	if (!*ix)
		return;
	sealing_settle(*ix);
	close_others(*ix);
	while ((*ix)->writers)
		writer_free(*ix, (*ix)->writers);
	while ((*ix)->shards)
		shard_unlist((*ix)->shards);
	(void)pthread_mutex_destroy(&(*ix)->lock);
	free((*ix)->rebuilding);
	free((*ix)->dir);
	free(*ix);
	*ix = NULL;
}

/* ---- writing ---- */

struct writer *writer_find(struct index *ix, uint32_t archive)
{
	struct writer *w = ix->writers;

	while (w && w->archive != archive)
		w = w->next;
	return w;
}

void writer_free(struct index *ix, struct writer *w)
{
	struct writer **at = &ix->writers;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	if (w->begun)
		db_rollback(conn_db(w->conn));
	conn_close(&w->conn);
	shard_drop(w->shard);
	free(w);
}

enum rc shard_key_new(struct index *ix, struct shard *s, struct err *e)
{
	struct key_info want = { .kind = KEY_SHARD,
		                 .archive = s->meta.archive,
		                 .object = s->meta.number };
	enum rc rc = keyring_add(ix->kr, &want, &s->key_id, e);

	return rc == RC_OK ? keyring_get(ix->kr, s->key_id, s->key, e) : rc;
}

void shard_abandon(struct shard *s)
{
	struct err e;

	if (s->key_id && keyring_destroy(s->ix->kr, &s->key_id, 1, &e) != RC_OK)
		log_warn("%s", e.text);
	s->remove_file = true;
	shard_drop(s);
}

static enum rc make_folder(struct index *ix, uint32_t archive, struct err *e)
{
	char name[16];
	char *path;
	enum rc rc;

	(void)snprintf(name, sizeof(name), "%u", archive);
	path = path_join(ix->dir, name);
	rc = dir_make(path, e);
	if (rc == RC_OK)
		rc = dir_sync(ix->dir, e);
	free(path);
	return rc;
}

static struct writer *writer_new(struct index *ix, struct shard *s, struct conn *c)
{
	struct writer *w = mem_new(sizeof(*w));

	w->archive = s->meta.archive;
	w->shard = s;
	w->conn = c;
	w->next = ix->writers;
	ix->writers = w;
	shard_hold(s);
	return w;
}

static enum rc open_new(struct index *ix, uint32_t archive, struct writer **out, struct err *e)
{
	struct shard_meta meta = { .archive = archive,
		                   .number = ++ix->last_number,
		                   .created_ms = clock_now_ms() };
	struct shard *s = shard_new(ix, &meta, false);
	struct conn *c = NULL;
	enum rc rc = make_folder(ix, archive, e);

	if (rc == RC_OK)
		rc = shard_key_new(ix, s, e);
	if (rc == RC_OK)
		rc = conn_create(&c, s->path, s->key, &meta, e);
	if (rc == RC_OK)
		rc = catalogue_put(ix, s, e);
	if (rc != RC_OK) {
		conn_close(&c);
		shard_abandon(s);
		return rc;
	}
	shard_list(s);
	*out = writer_new(ix, s, c);
	return RC_OK;
}

static bool is_full(const struct index *ix, const struct shard *s, uint64_t pending)
{
	uint64_t messages = s->stats.messages + pending;
	int64_t age = clock_now_ms() - s->meta.created_ms;

	return messages >= ix->opt.shard_messages ||
	       (messages > 0 && age >= (int64_t)ix->opt.shard_days * MS_PER_DAY);
}

/* Nothing is added to a shard that damage keeps from being written: searches say so until a
 * reindex, and another takes its place. */
static void shard_give_up(struct shard *s, enum rc rc, const struct err *why)
{
	struct index *ix = s->ix;

	if (rc != RC_CORRUPT)
		return;
	log_error("%s; nothing is added to that shard any more: reindex",
	          why ? why->text : s->path);
	s->damaged = true;
	ix->gave_up = true;
}

bool index_gave_up(struct index *ix)
{
	bool gave_up = ix->gave_up;

	ix->gave_up = false;
	return gave_up;
}

/* An unsealed shard with room, as a restart leaves it behind. */
static struct shard *find_open(struct index *ix, uint32_t archive)
{
	struct shard *s;

	lock_index(ix);
	for (s = ix->shards; s; s = s->next)
		if (s->meta.archive == archive && !s->sealed && !s->dead && !s->damaged &&
		    s != ix->sealing.shard && !is_full(ix, s, 0))
			break;
	unlock_index(ix);
	return s;
}

static enum rc writer_get(struct index *ix, uint32_t archive, struct writer **out, struct err *e)
{
	struct conn *c;
	struct shard *s;
	enum rc rc;

	*out = writer_find(ix, archive);
	if (*out && is_full(ix, (*out)->shard, (*out)->pending.messages)) {
		rc = writer_commit(*out, e);
		if (rc != RC_OK)
			return rc;
		writer_free(ix, *out);
		*out = NULL;
	}
	if (*out)
		return RC_OK;
	s = find_open(ix, archive);
	if (!s)
		return open_new(ix, archive, out, e);
	rc = conn_open(&c, s->path, s->key, false, DB_WRITE, e);
	if (rc == RC_OK)
		*out = writer_new(ix, s, c);
	else
		shard_give_up(s, rc, e);
	return rc;
}

/* Shards overlap in time when mail of an import goes between mail that has waited in the spool, and
 * then each message is looked for in all of them: to open one for each would take much longer than
 * all else that is done for it. When there are too many the last one makes room: the shards are
 * always gone through in the same order, so the first ones are still there the next time. */
static enum rc open_other(struct index *ix, struct shard *s, struct conn **out, struct err *e)
{
	struct other *o = ix->others;
	enum rc rc;

	while (o < ix->others + ix->others_count && o->shard != s)
		o++;
	if (o == ix->others + OTHERS) {
		close_last_other(ix);
		o--;
	}
	if (o == ix->others + ix->others_count) {
		rc = shard_borrow(s, &o->conn, e);
		if (rc != RC_OK)
			return rc;
		shard_hold(s);
		o->shard = s;
		ix->others_count++;
	}
	*out = o->conn;
	return RC_OK;
}

/* Is the id in a shard other than the writer's? One that can't be read can't tell; a message that
 * is indexed twice does less harm than one that is not indexed at all. */
static bool in_others(struct index *ix, uint32_t archive, const struct message_id *id,
                      const struct shard *own)
{
	int64_t ms = id_received_ms(id);
	struct shard **list;
	size_t count = shards_hold(ix, archive, false, &list);
	bool found = false;

	for (size_t i = 0; i < count && !found; i++) {
		struct shard *s = list[i];
		struct conn *c = NULL;
		struct err e;
		int64_t at;
		enum rc rc;

		if (s == own || s->stats.messages == 0 || ms < s->stats.received_low ||
		    ms > s->stats.received_high)
			continue;
		rc = open_other(ix, s, &c, &e);
		if (rc == RC_OK)
			rc = conn_find(c, id, &at, &e);
		if (c)
			conn_rest(c);
		found = rc == RC_OK;
		if (rc != RC_OK && rc != RC_NOTFOUND)
			log_warn("%s", e.text);
	}
	shards_drop(&list, count);
	return found;
}

bool index_has(struct index *ix, uint32_t archive, const struct message_id *id)
{
	struct writer *w = writer_find(ix, archive);
	int64_t at;

	if (w && conn_find(w->conn, id, &at, NULL) == RC_OK)
		return true;
	return in_others(ix, archive, id, w ? w->shard : NULL);
}

static enum rc add(struct index *ix, struct writer *w, const struct index_doc *d, struct err *e)
{
	enum rc rc = RC_OK;

	if (in_others(ix, w->archive, &d->id, w->shard))
		return RC_OK;
	if (!w->begun)
		rc = db_begin(conn_db(w->conn), e);
	if (rc == RC_OK) {
		w->begun = true;
		rc = conn_add(w->conn, d, &w->pending, e);
	}
	shard_give_up(w->shard, rc, e);
	return rc;
}

enum rc index_add(struct index *ix, uint32_t archive, const struct index_doc *d, struct err *e)
{
	struct writer *w;
	struct err why = { 0 };
	enum rc rc;

	if (ix->lost.code != RC_OK)
		return err_set(e, ix->lost.code, "%s", ix->lost.text);
	rc = writer_get(ix, archive, &w, &why);
	if (rc == RC_OK)
		rc = add(ix, w, d, &why);
	if (rc == RC_OK)
		return RC_OK;
	/* The words of a message may be half in: the transaction can't be kept. */
	ix->lost = why;
	return err_set(e, rc, "%s", why.text);
}

enum rc writer_commit(struct writer *w, struct err *e)
{
	enum rc rc;

	if (!w->begun)
		return RC_OK;
	rc = db_commit(conn_db(w->conn), e);
	if (rc != RC_OK)
		db_rollback(conn_db(w->conn));
	shard_give_up(w->shard, rc, e);
	w->begun = false;
	if (rc == RC_OK) {
		lock_index(w->shard->ix);
		stats_add(&w->shard->stats, &w->pending);
		unlock_index(w->shard->ix);
	}
	w->pending = (struct shard_stats) { 0 };
	return rc;
}

void index_rollback(struct index *ix)
{
	close_others(ix);
	ix->lost.code = RC_OK;
	for (struct writer *w = ix->writers, *next; w; w = next) {
		next = w->next;
		db_rollback(conn_db(w->conn));
		w->begun = false;
		w->pending = (struct shard_stats) { 0 };
		if (w->shard->damaged)
			writer_free(ix, w);
	}
}

enum rc index_commit(struct index *ix, struct err *e)
{
	enum rc rc = RC_OK;

	close_others(ix);
	if (ix->lost.code != RC_OK) {
		rc = err_set(e, ix->lost.code, "%s", ix->lost.text);
		index_rollback(ix);
		return rc;
	}
	for (struct writer *w = ix->writers; w && rc == RC_OK; w = w->next)
		rc = writer_commit(w, e);
	if (rc != RC_OK)
		index_rollback(ix);
	return rc;
}

/* ---- sealing ---- */

static enum rc seal_file(struct shard *s, const char *path, struct err *e)
{
	struct conn *c;
	enum rc rc = conn_open(&c, s->path, s->key, false, DB_WRITE, e);

	if (rc != RC_OK)
		return rc;
	rc = conn_optimize(c, e);
	if (rc == RC_OK)
		rc = db_seal(conn_db(c), path, s->key, e);
	conn_close(&c);
	return rc;
}

/* What takes its place, under the same number and key; nothing is added to the open one any more.
 */
static struct shard *sealed_of(struct index *ix, struct shard *s)
{
	struct writer *w = writer_find(ix, s->meta.archive);
	struct shard *sealed;

	if (w && w->shard == s)
		writer_free(ix, w);
	sealed = shard_new(ix, &s->meta, true);
	sealed->stats = s->stats;
	sealed->key_id = s->key_id;
	memcpy(sealed->key, s->key, KEY_BYTES);
	return sealed;
}

/* A view that is opened in between sees both or none; so no gap and no view in between. */
static void exchange(struct index *ix, struct shard *s, struct shard *sealed)
{
	lock_index(ix);
	for (struct shard **at = &ix->shards; *at; at = &(*at)->next)
		if (*at == s) {
			*at = sealed;
			sealed->next = s->next;
			break;
		}
	sealed->listed = true;
	s->listed = false;
	s->remove_file = true;
	unlock_index(ix);
	close_idle(s);
	shard_drop(s);
}

/* `rc`: of making its file. */
static enum rc put_sealed(struct index *ix, struct shard *s, struct shard *sealed, enum rc rc,
                          struct err *e)
{
	if (rc == RC_OK)
		rc = catalogue_put(ix, sealed, e);
	if (rc == RC_OK) {
		exchange(ix, s, sealed);
		return RC_OK;
	}
	/* The open file goes on being written, so this one may not be found beside it. */
	sealed->remove_file = true;
	shard_drop(sealed);
	return rc;
}

static enum rc seal(struct index *ix, struct shard *s, struct err *e)
{
	struct shard *sealed = sealed_of(ix, s);

	return put_sealed(ix, s, sealed, seal_file(s, sealed->path, e), e);
}

/* ---- sealing beside ---- */

static void *run_sealing(void *arg)
{
	struct sealing *g = arg;

	g->rc = seal_file(g->shard, g->sealed->path, &g->why);
	atomic_store(&g->done, true);
	return NULL;
}

/* Takes over the caller's hold. */
static enum rc sealing_begin(struct index *ix, struct shard *s, struct err *e)
{
	struct sealing *g = &ix->sealing;

	*g = (struct sealing) { .shard = s, .sealed = sealed_of(ix, s) };
	if (pthread_create(&g->thread, NULL, run_sealing, g) == 0)
		return RC_OK;
	shard_drop(g->sealed);
	shard_drop(s);
	g->shard = NULL;
	return err_set(e, RC_LIMIT, "no thread to seal a shard");
}

static enum rc sealing_end(struct index *ix, struct err *e)
{
	struct sealing *g = &ix->sealing;
	struct shard *s = g->shard;
	enum rc rc;

	MUST(pthread_join(g->thread, NULL) == 0);
	g->shard = NULL;
	rc = put_sealed(ix, s, g->sealed, g->rc, e);
	if (g->rc != RC_OK)
		*e = g->why;
	shard_give_up(s, g->rc, &g->why);
	(void)index_gave_up(ix); /* nothing was lost by it */
	shard_drop(s);
	return g->rc == RC_CORRUPT ? RC_OK : rc; /* it is sealed no more */
}

void sealing_settle(struct index *ix)
{
	struct err e;

	if (ix->sealing.shard && sealing_end(ix, &e) != RC_OK)
		log_warn("a shard stays open: %s", e.text);
}

static bool can_be_sealed(const struct index *ix, const struct shard *s, bool all)
{
	return !s->sealed && !s->damaged && s->stats.messages && (all || is_full(ix, s, 0));
}

enum rc index_seal_beside(struct index *ix, bool *busy, struct err *e)
{
	struct shard **list;
	struct shard *next = NULL;
	size_t count;
	enum rc rc = RC_OK;

	*busy = ix->sealing.shard && !atomic_load(&ix->sealing.done);
	if (*busy)
		return RC_OK;
	if (ix->sealing.shard)
		rc = sealing_end(ix, e);
	if (rc == RC_OK)
		rc = index_commit(ix, e);
	if (rc != RC_OK)
		return rc;
	count = shards_hold(ix, 0, false, &list);
	for (size_t i = 0; i < count && !next; i++)
		if (can_be_sealed(ix, list[i], false))
			next = list[i];
	if (next)
		shard_hold(next);
	shards_drop(&list, count);
	if (!next)
		return RC_OK;
	rc = sealing_begin(ix, next, e);
	*busy = rc == RC_OK;
	return rc;
}

enum rc index_seal(struct index *ix, bool all, unsigned *sealed, struct err *e)
{
	struct shard **list;
	size_t count;
	enum rc rc;

	*sealed = 0;
	sealing_settle(ix);
	rc = index_commit(ix, e);
	if (rc != RC_OK)
		return rc;
	count = shards_hold(ix, 0, false, &list);
	for (size_t i = 0; rc == RC_OK && i < count; i++) {
		struct shard *s = list[i];

		if (!can_be_sealed(ix, s, all))
			continue;
		rc = seal(ix, s, e);
		*sealed += rc == RC_OK;
	}
	shards_drop(&list, count);
	return rc;
}

/* ---- counting and checking ---- */

uint64_t index_room(const struct index *ix)
{
	uint64_t unused = 0;
	uint64_t whole;

	return dir_space(ix->dir, &unused, &whole, NULL) == RC_OK ? unused : 0;
}

static uint64_t file_bytes(const char *path)
{
	struct file *f;
	uint64_t bytes = 0;

	if (file_open(&f, path, FILE_READ, NULL) != RC_OK)
		return 0;
	if (file_size(f, &bytes, NULL) != RC_OK)
		bytes = 0;
	file_close(&f);
	return bytes;
}

enum rc index_count(struct index *ix, uint32_t archive, struct index_totals *out, struct err *e)
{
	struct shard **list;
	size_t count = shards_hold(ix, archive, false, &list);

	(void)e;
	*out = (struct index_totals) { 0 };
	for (size_t i = 0; i < count; i++) {
		struct shard_stats stats;

		lock_index(ix);
		stats = list[i]->stats;
		unlock_index(ix);
		out->messages += stats.messages;
		out->not_indexed += stats.not_indexed;
		out->problems += stats.problems;
		out->disk_bytes += file_bytes(list[i]->path);
		out->shards++;
		out->sealed += list[i]->sealed;
	}
	shards_drop(&list, count);
	return RC_OK;
}

static enum rc check_shard(struct shard *s, struct err *e)
{
	struct shard_stats stats;
	struct conn *c = NULL;
	enum rc rc = db_check(s->path, s->key, s->sealed, e);

	if (rc == RC_OK && s->damaged)
		rc = err_set(e, RC_CORRUPT, "%s was damaged when it was written: reindex", s->path);
	if (rc == RC_OK)
		rc = shard_borrow(s, &c, e);
	if (rc == RC_OK)
		rc = conn_check(c, e);
	if (rc == RC_OK)
		rc = conn_stats(c, &stats, e);
	if (rc == RC_OK && s->sealed && stats.messages != s->stats.messages)
		rc = err_set(e, RC_CORRUPT, "%s has %llu messages, its catalogue row says %llu",
		             s->path, (unsigned long long)stats.messages,
		             (unsigned long long)s->stats.messages);
	shard_return(s, &c);
	return rc;
}

enum rc index_verify(struct index *ix, uint32_t archive,
                     enum rc (*damage)(void *arg, const char *shard, const char *problem,
                                       struct err *e),
                     void *arg, struct err *e)
{
	struct shard **list;
	size_t count;
	enum rc rc = RC_OK;

	sealing_settle(ix);
	count = shards_hold(ix, archive, false, &list);
	for (size_t i = 0; rc == RC_OK && i < count; i++) {
		struct err why = { 0 };
		char name[48];

		if (check_shard(list[i], &why) == RC_OK)
			continue;
		(void)snprintf(name, sizeof(name), "%u/%08llu", list[i]->meta.archive,
		               (unsigned long long)list[i]->meta.number);
		rc = damage(arg, name, why.text, e);
	}
	shards_drop(&list, count);
	return rc;
}
