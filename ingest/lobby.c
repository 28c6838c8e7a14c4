#include "ingest/lobby.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "ingest/scans.h"
#include "store/crypt.h"
#include "ingest/verdicts.h"

/* A record's buffer is used again, unless it was a large message's. */
#define ITEM_KEPT 262144
#define MOST_FREE 256
#define PARKED_MS 1000

/* A message's place in its file of the spool. */
struct lobby_place {
	struct lobby_place *next;
	struct spool_position after;
	bool done;
};

/* The places of one file, in the order of its records, those before the first that isn't done left
 * out. */
struct lobby_file {
	struct lobby_file *next;
	uint64_t number;
	struct lobby_place *first;
	struct lobby_place *last;
};

struct lobby {
	struct spool *spool;
	struct db *control;
	struct verdicts *verdicts;
	struct scans *scans;
	struct queue *queue;
	int64_t parked_upto; /* number of the last parked message that was taken */
	int64_t parked_ms;   /* since when they are taken from the first one on */
	size_t parked;       /* how many are here */
	struct config *(*config)(void *arg);
	void *arg;
	struct lobby_item *first; /* in the order of reading */
	struct lobby_item *last;
	struct lobby_item *free;
	size_t free_count;
	size_t count; /* of items in the line */
	size_t bytes;
	size_t ready; /* of them */
	size_t ready_bytes;
	size_t held;
	struct lobby_file *files;
	size_t places;
	struct beyond *beyond; /* done before, by file and offset */
	size_t beyond_count;
	size_t beyond_left; /* that weren't read yet */
};

struct lobby *lobby_new(const struct pipeline_parts *parts)
{
	struct lobby *l = mem_new(sizeof(*l));

	l->spool = parts->spool;
	l->control = parts->control;
	l->verdicts = parts->verdicts;
	l->scans = parts->scans;
	l->queue = parts->queue;
	l->config = parts->config;
	l->arg = parts->arg;
	return l;
}

/* ---- items ---- */

static struct lobby_item *get_item(struct lobby *l)
{
	struct lobby_item *it = l->free;

	if (it) {
		l->free = it->next;
		l->free_count--;
		it->next = NULL;
		return it;
	}
	it = mem_new(sizeof(*it));
	spool_record_init(&it->record);
	return it;
}

static void put_item(struct lobby *l, struct lobby_item *it)
{
	mail_free(&it->mail);
	if (it->parked) {
		past_free(&it->past);
		queue_parked_free(&it->from_queue);
		l->parked--;
	}
	it->place = NULL;
	it->ready = it->readable = it->refused = it->answered = it->parked = false;
	it->asked = it->scanned = 0;
	it->held_until = 0;
	if (it->record.bytes.room > ITEM_KEPT)
		spool_record_free(&it->record);
	if (l->free_count >= MOST_FREE) {
		spool_record_free(&it->record);
		free(it);
		return;
	}
	it->next = l->free;
	l->free = it;
	l->free_count++;
}

/* ---- places ---- */

static struct lobby_file *file_of(struct lobby *l, uint64_t number)
{
	struct lobby_file *f = l->files;

	while (f && f->number != number)
		f = f->next;
	if (f)
		return f;
	f = mem_new(sizeof(*f));
	f->number = number;
	f->next = l->files;
	l->files = f;
	return f;
}

static void add_place(struct lobby *l, struct lobby_item *it)
{
	struct lobby_file *f = file_of(l, it->record.after.file);
	struct lobby_place *p = mem_new(sizeof(*p));

	p->after = it->record.after;
	if (f->last)
		f->last->next = p;
	else
		f->first = p;
	f->last = p;
	l->places++;
	it->place = p;
}

static void drop_file(struct lobby *l, const struct lobby_file *f)
{
	struct lobby_file **at = &l->files;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	free((void *)(uintptr_t)f);
}

static void drop_first(struct lobby *l, struct lobby_file *f)
{
	struct lobby_place *p = f->first;

	f->first = p->next;
	if (!f->first)
		f->last = NULL;
	free(p);
	l->places--;
}

/* True when its file is done as far as behind it. */
static bool end_place(struct lobby *l, struct lobby_item *it, struct checkpoint *c)
{
	struct lobby_file *f = file_of(l, it->record.after.file);
	bool first = f->first == it->place;
	struct spool_position upto = it->record.after;

	it->place->done = true;
	it->place = NULL;
	for (; f->first && f->first->done; drop_first(l, f))
		upto = f->first->after;
	checkpoint_message(c);
	if (first)
		checkpoint_position(c, &upto);
	if (!f->first)
		drop_file(l, f);
	return first;
}

void lobby_settle(struct lobby *l, struct lobby_item *it, struct checkpoint *c)
{
	if (!it->place) /* it comes from the queue */
		checkpoint_message(c);
	else if (!end_place(l, it, c))
		checkpoint_beyond(c, &it->record);
}

/* ---- what was done before ---- */

static void forget_beyond(struct lobby *l)
{
	free(l->beyond);
	l->beyond = NULL;
	l->beyond_count = l->beyond_left = 0;
}

enum rc lobby_resume(struct lobby *l, struct err *e)
{
	enum rc rc;

	forget_beyond(l);
	rc = checkpoint_beyond_read(l->control, &l->beyond, &l->beyond_count, e);
	l->beyond_left = l->beyond_count;
	if (rc != RC_OK)
		forget_beyond(l);
	return rc;
}

static int by_place(const void *a, const void *b)
{
	const struct beyond *x = a;
	const struct beyond *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static bool was_done(struct lobby *l, const struct spool_record *r)
{
	struct beyond key = { .file = r->after.file, .offset = r->after.offset };
	const struct beyond *b;

	if (!l->beyond_left)
		return false;
	b = bsearch(&key, l->beyond, l->beyond_count, sizeof(key), by_place);
	if (!b || id_compare(&b->id, &r->id) != 0)
		return false;
	l->beyond_left--;
	return true;
}

/* ---- the line ---- */

static void set_ready(struct lobby *l, struct lobby_item *it)
{
	it->ready = true;
	l->ready++;
	l->ready_bytes += it->record.raw.len;
}

/* Each takes of the add-ons' instances what is his: block lists, or scanners. */
static void ask_about(struct lobby *l, struct lobby_item *it)
{
	struct scan_instance asked[ADDONS_MOST];
	struct scan_instance lists[ADDONS_MOST];
	struct config *c = l->config(l->arg);
	size_t n = l->scans ? config_scans(c, it->mail.rule_set, it->mail.rule_set_version, asked,
	                                   ADDONS_MOST)
	                    : 0;

	if (l->verdicts)
		it->asked = verdicts_ask_lists(l->verdicts, &it->mail, it->record.raw, lists,
		                               n ? scans_lists(l->scans, asked, n, lists) : 0);
	if (n)
		it->scanned = scans_ask_mail(l->scans, asked, n, &it->mail, it->record.raw);
	config_unref(&c);
}

static void ask(struct lobby *l, struct lobby_item *it)
{
	if (it->readable && !it->mail.import && (l->verdicts || l->scans))
		ask_about(l, it);
	if (!it->asked && !it->scanned)
		set_ready(l, it);
}

static void read_envelope(struct lobby_item *it)
{
	struct err e = { 0 };
	char id[ID_TEXT + 1];

	it->readable = mail_read(&it->mail, &it->record.id, it->record.received_ms, it->record.meta,
	                         it->record.writer == SPOOL_WRITER_IMPORT, &e) == RC_OK;
	if (it->readable)
		return;
	id_format(id, &it->record.id);
	log_error("message %s: %s", id, e.text);
}

static void append(struct lobby *l, struct lobby_item *it)
{
	if (l->last)
		l->last->next = it;
	else
		l->first = it;
	l->last = it;
	l->count++;
	l->bytes += it->record.raw.len;
}

void lobby_hold(struct lobby *l, struct lobby_item *it, int64_t until_ms)
{
	it->ready = false;
	it->held_until = until_ms;
	it->next = l->first;
	l->first = it;
	if (!l->last)
		l->last = it;
	l->count++;
	l->bytes += it->record.raw.len;
	l->held++;
}

static void release(struct lobby *l, struct lobby_item *it, bool refused)
{
	it->held_until = 0;
	it->refused = refused;
	it->answered = true;
	l->held--;
	set_ready(l, it);
}

void lobby_release(struct lobby *l, const struct message_id *id, bool refused)
{
	for (struct lobby_item *it = l->first; it; it = it->next)
		if (it->held_until && id_compare(&it->record.id, id) == 0) {
			release(l, it, refused);
			return;
		}
}

static void release_late(struct lobby *l)
{
	int64_t now = l->held ? clock_mono_ms() : 0;

	for (struct lobby_item *it = l->first; it && l->held; it = it->next)
		if (it->held_until && it->held_until <= now)
			release(l, it, false);
}

static bool has_room(const struct lobby *l)
{
	return l->count == 0 ||
	       (l->count < LOBBY_MESSAGES && l->bytes < LOBBY_BYTES && l->places < LOBBY_PLACES);
}

static void take_verdicts(struct lobby *l)
{
	uint64_t number;
	json_t *said;

	while (l->verdicts && l->ready < l->count && verdicts_take(l->verdicts, &number, &said)) {
		struct lobby_item *it = l->first;

		while (it && it->asked != number)
			it = it->next;
		if (!it) {
			json_decref(said);
			continue;
		}
		mail_add_addons(&it->mail, json_incref(json_object_get(said, "addons")));
		(void)json_object_del(said, "addons");
		mail_set_verdicts(&it->mail, said);
		it->asked = 0;
		if (!it->scanned)
			set_ready(l, it);
	}
}

static void take_scans(struct lobby *l)
{
	uint64_t number;
	json_t *said;

	while (l->scans && l->ready < l->count && scans_take(l->scans, &number, &said)) {
		struct lobby_item *it = l->first;

		while (it && it->scanned != number)
			it = it->next;
		if (!it) {
			json_decref(said);
			continue;
		}
		mail_add_addons(&it->mail, said);
		it->scanned = 0;
		if (!it->asked)
			set_ready(l, it);
	}
}

/* The record of a message that the spool doesn't have any more. */
static void dress_parked(struct lobby_item *it)
{
	struct queue_parked *q = &it->from_queue;
	struct err e = { 0 };
	char id[ID_TEXT + 1];
	enum rc rc = q->whole ? past_read(&it->past, q->past, &e)
	                      : err_set(&e, RC_CORRUPT, "its bytes are gone");

	it->record.id = q->id;
	it->record.received_ms = q->received_ms;
	it->record.writer = SPOOL_WRITER_SMTP;
	it->record.meta = buf_slice(&q->meta);
	it->record.raw = buf_slice(&q->raw);
	sha256(it->record.sha256, it->record.raw);
	it->answered = true; /* its sender heard long ago */
	if (rc == RC_OK)
		rc = mail_read_stored(&it->mail, &q->id, it->record.meta, &e);
	it->readable = rc == RC_OK;
	if (it->readable)
		return;
	id_format(id, &q->id);
	log_error("message %s of the outbound queue: %s", id, e.text);
}

/* From the first one again, when all that were taken have landed. That it comes to that no more are
 * taken after a while. */
static bool may_take_parked(struct lobby *l)
{
	if (!l->queue || !has_room(l))
		return false;
	if (!l->parked && !queue_has_judged(l->queue)) {
		l->parked_upto = 0;
		l->parked_ms = clock_mono_ms();
	}
	return clock_mono_ms() - l->parked_ms < PARKED_MS;
}

static enum rc take_parked(struct lobby *l, struct err *e)
{
	while (may_take_parked(l)) {
		struct lobby_item *it = get_item(l);
		enum rc rc = queue_go_on_next(l->queue, l->parked_upto, &l->parked_upto,
		                              &it->from_queue, e);

		if (rc != RC_OK) {
			put_item(l, it);
			return rc == RC_NOTFOUND ? RC_OK : rc;
		}
		it->parked = true;
		l->parked++;
		dress_parked(it);
		set_ready(l, it);
		append(l, it);
	}
	return RC_OK;
}

enum rc lobby_fill(struct lobby *l, size_t messages, size_t bytes, struct checkpoint *c,
                   struct err *e)
{
	enum rc parked;

	take_verdicts(l);
	take_scans(l);
	release_late(l);
	parked = take_parked(l, e);
	if (parked != RC_OK)
		return parked;
	while (l->ready < messages && l->ready_bytes < bytes && has_room(l)) {
		struct lobby_item *it = get_item(l);
		enum rc rc = spool_next(l->spool, &it->record, e);

		if (rc != RC_OK) {
			put_item(l, it);
			if (rc != RC_AGAIN)
				return rc;
			break;
		}
		add_place(l, it);
		if (was_done(l, &it->record)) {
			(void)end_place(l, it, c);
			put_item(l, it);
			continue;
		}
		read_envelope(it);
		ask(l, it);
		append(l, it);
	}
	return RC_OK;
}

static struct lobby_item *unlink_after(struct lobby *l, struct lobby_item *before)
{
	struct lobby_item *it = before ? before->next : l->first;

	if (before)
		before->next = it->next;
	else
		l->first = it->next;
	if (l->last == it)
		l->last = before;
	it->next = NULL;
	l->count--;
	l->bytes -= it->record.raw.len;
	if (it->ready) {
		l->ready--;
		l->ready_bytes -= it->record.raw.len;
	}
	if (it->held_until)
		l->held--;
	return it;
}

struct lobby_item *lobby_take(struct lobby *l)
{
	struct lobby_item *before = NULL;

	for (struct lobby_item *it = l->first; it; before = it, it = it->next)
		if (it->ready)
			return unlink_after(l, before);
	return NULL;
}

void lobby_done(struct lobby *l, struct lobby_item *it)
{
	put_item(l, it);
}

void lobby_clear(struct lobby *l)
{
	/* They read the messages' bytes. */
	if (l->verdicts)
		verdicts_forget(l->verdicts);
	if (l->scans)
		scans_forget(l->scans);
	while (l->first)
		put_item(l, unlink_after(l, NULL));
	l->parked_upto = 0;
	while (l->files) {
		while (l->files->first)
			drop_first(l, l->files);
		drop_file(l, l->files);
	}
}

size_t lobby_waiting(const struct lobby *l)
{
	return l->count - l->ready;
}

void lobby_free(struct lobby **at)
{
	struct lobby *l = *at;

	if (!l)
		return;
	lobby_clear(l);
	forget_beyond(l);
	while (l->free) {
		struct lobby_item *it = l->free;

		l->free = it->next;
		spool_record_free(&it->record);
		free(it);
	}
	free(l);
	*at = NULL;
}
