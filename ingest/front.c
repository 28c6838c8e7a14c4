#include "ingest/front.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/child.h"
#include "base/codec.h"
#include "base/limits.h"
#include "base/listen.h"
#include "base/log.h"
#include "ingest/front_maker.h"
#include "ingest/spool/writer.h"
#include "ingest/wire.h"

#define RETRY_MS 1000 /* after a spool file couldn't be made */
#define STOP_MS  15000
#define KILL_MS  2000

struct listener {
	struct listener *next;
	uint32_t number;
	struct ip ip;
	uint16_t port;
	int fd;
	char *ingress_id;
	bool wanted; /* by the configuration that is being applied */
};

/* Who waits for mm-smtpd to have come to a mark. */
struct mark {
	struct mark *next;
	uint64_t number;
	void (*done)(void *arg);
	void *arg;
};

/* The members of an address list that mm-smtpd has. */
struct sent_list {
	struct sent_list *next;
	char *id;
	struct address_set *set;
};

struct front {
	struct loop *loop;
	struct spool *spool;
	const struct front_ops *ops;
	void *arg;
	char *program;
	struct child *child;     /* NULL before the first configuration */
	struct channel *channel; /* NULL while no mm-smtpd runs */
	struct front_maker *maker;
	struct listener *listeners;
	uint32_t last_listener;
	const struct front_options *opt; /* of the last front_configure */
	struct config *config;           /* likewise; NULL: none yet */
	struct config *sent;             /* what this mm-smtpd has */
	const struct tls_cert *sent_certs;
	struct sent_list *lists; /* what it has of address lists */
	const struct tls_cert *tls_checked;
	struct mark *marks;
	uint64_t last_mark;
	uint64_t life;        /* which mm-smtpd it is, counted from 1 */
	unsigned files_asked; /* for by this mm-smtpd, not given */
	unsigned bigs_asked;
	unsigned files_wanted; /* of those, what couldn't be made and is tried again */
	unsigned bigs_wanted;
	struct loop_timer *retry;
	struct loop_timer *killer; /* of an mm-smtpd that closed its channel and stays */
	struct front_stats stats;
	bool writing;      /* an mm-smtpd was given, or may be given, spool files */
	bool gone_to_tell; /* the spool wasn't told yet that the last writer ended */
	bool has_file;
	bool cut_off; /* not all that was sent to this mm-smtpd fitted */
	bool configured;
	bool ready;
	bool paused;
	bool stopping;
	bool complained;
};

/* --- to mm-smtpd --- */

static void to_child(struct front *f, unsigned type, struct slice body, const int *fd)
{
	struct err e;

	if (!f->channel)
		return; /* the next one gets everything at its start */
	if (channel_send(f->channel, type, body, fd, fd ? 1 : 0, &e) == RC_OK)
		return;
	log_error("mm-smtpd: %s", e.text);
	f->cut_off = true;
	child_kill(f->child);
}

static void send_listener(struct front *f, const struct listener *l)
{
	uint8_t body[256] = { 0 };
	size_t len = MIN_OF(strlen(l->ingress_id), sizeof(body) - 4);

	put_le32(body, l->number);
	memcpy(body + 4, l->ingress_id, len);
	to_child(f, WIRE_LISTENER, slice_of(body, 4 + len), &l->fd);
}

static void send_mark(struct front *f, uint64_t number)
{
	uint8_t body[8] = { 0 };

	put_le64(body, number);
	to_child(f, WIRE_MARK, slice_of(body, sizeof(body)), NULL);
}

static void send_pause(struct front *f)
{
	uint8_t body = f->paused;

	to_child(f, WIRE_PAUSE, slice_of(&body, 1), NULL);
}

static void send_floor(struct front *f)
{
	uint8_t body[8] = { 0 };

	put_le64(body, (uint64_t)spool_newest_ms(f->spool));
	to_child(f, WIRE_FLOOR, slice_of(body, sizeof(body)), NULL);
}

static void put_number(json_t *o, const char *name, uint64_t n, uint64_t otherwise)
{
	json_put_int(o, name, (int64_t)(n ? n : otherwise));
}

static json_t *smtp_members(const struct front_options *opt)
{
	json_t *o = json_object();
	char host[256] = "localhost";

	MUST(o);
	if (gethostname(host, sizeof(host) - 1) != 0 || !host[0])
		memcpy(host, "localhost", sizeof("localhost"));
	json_put_text(o, "hostname", slice_str(opt->hostname ? opt->hostname : host));
	put_number(o, "max_connections", opt->max_connections, 1000);
	put_number(o, "max_per_address", opt->max_per_address, 50);
	put_number(o, "max_message", opt->max_message, LIMIT_MESSAGE_BYTES);
	put_number(o, "command_timeout_s", opt->command_timeout_s, 300);
	put_number(o, "data_timeout_s", opt->data_timeout_s, 180);
	put_number(o, "message_timeout_s", opt->message_timeout_s, 3600);
	put_number(o, "min_rate", opt->min_rate, 128);
	json_put_int(o, "ask_ms", opt->ask_ms);
	if (logs_wants(opt->logs, LOG_POLICY_DEBUG))
		json_put_int(o, "policy_log", logs_rate(opt->logs));
	return o;
}

static enum rc write_config(struct buf *out, const struct front_options *opt,
                            const struct config *c, const struct config *had)
{
	json_t *j = json_object();
	json_t *certs = json_array();
	enum rc rc;

	MUST(j && certs);
	for (size_t i = 0; i < opt->cert_count; i++) {
		json_t *one = json_object();

		MUST(one);
		json_put_text(one, "chain", opt->certs[i].chain);
		json_put_text(one, "key", opt->certs[i].key);
		json_push(certs, one);
	}
	json_put(j, "smtp", smtp_members(opt));
	json_put(j, "certs", certs);
	rc = json_write(out, j);
	json_decref(j);
	if (rc != RC_OK)
		return rc;
	out->len--; /* the brace: one member more */
	rc = buf_add(out, slice_str(",\"snapshot\":"));
	if (rc == RC_OK)
		rc = config_write(c, had, out);
	return rc == RC_OK ? buf_add_byte(out, '}') : rc;
}

static void forget_sent(struct front *f)
{
	config_unref(&f->sent);
	while (f->lists) {
		struct sent_list *l = f->lists;

		f->lists = l->next;
		address_set_unref(&l->set);
		free(l->id);
		free(l);
	}
}

struct sending {
	struct front *f;
	const char *id;
	struct buf body;
};

static void begin_lines(struct sending *s)
{
	buf_clear(&s->body);
	MUST(buf_add(&s->body, slice_str(s->id)) == RC_OK);
}

static void send_lines(struct sending *s)
{
	to_child(s->f, WIRE_LIST, buf_slice(&s->body), NULL);
	begin_lines(s);
}

static void add_line(void *arg, bool added, struct slice form)
{
	struct sending *s = arg;

	if (s->body.len + form.len + 2 > WIRE_LIST_MAX)
		send_lines(s);
	MUST(buf_addf(&s->body, "\n%c", added ? '+' : '-') == RC_OK &&
	     buf_add(&s->body, form) == RC_OK);
}

static struct sent_list *sent_list(struct front *f, const char *id)
{
	struct sent_list *l = f->lists;

	while (l && strcmp(l->id, id) != 0)
		l = l->next;
	if (l)
		return l;
	l = mem_new(sizeof(*l));
	*l = (struct sent_list) { .next = f->lists, .id = mem_string(id) };
	f->lists = l;
	return l;
}

/* What the members are now, as the difference to what mm-smtpd has. */
static void send_list(struct front *f, const char *id, struct address_list *list)
{
	struct sending s = { .f = f, .id = id };
	struct address_set *now = address_list_set(list);
	struct sent_list *l = sent_list(f, id);

	if (l->set != now) {
		buf_init(&s.body, WIRE_LIST_MAX);
		begin_lines(&s);
		address_set_compare(l->set, now, add_line, &s);
		send_lines(&s);
		buf_free(&s.body);
	}
	address_set_unref(&l->set);
	l->set = now;
}

/* Those that the configuration doesn't have any more: mm-smtpd forgets them by itself. */
static void forget_lists(struct front *f)
{
	for (struct sent_list **at = &f->lists; *at;) {
		struct sent_list *l = *at;

		if (config_has(f->config, "AddressLists", slice_str(l->id), 0)) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		address_set_unref(&l->set);
		free(l->id);
		free(l);
	}
}

/* What the present mm-smtpd hasn't got yet. */
static void send_config(struct front *f)
{
	struct buf text;

	for (size_t i = 0; i < config_list_count(f->config) && f->channel; i++) {
		const char *id;
		struct address_list *list = config_list_at(f->config, i, &id);

		send_list(f, id, list);
	}
	if (!f->channel || (f->sent == f->config && f->sent_certs == f->opt->certs))
		return;
	buf_init(&text, WIRE_CONFIG_MAX);
	if (write_config(&text, f->opt, f->config, f->sent) == RC_OK) {
		to_child(f, WIRE_CONFIG, buf_slice(&text), NULL);
	} else {
		f->cut_off = true;
		child_kill(f->child);
	}
	buf_free(&text);
	config_unref(&f->sent);
	f->sent = config_ref(f->config);
	f->sent_certs = f->opt->certs;
	forget_lists(f);
}

static void send_everything(struct front *f)
{
	forget_sent(f);
	send_floor(f);
	send_config(f);
	send_pause(f);
	for (struct listener *l = f->listeners; l; l = l->next)
		if (l->number) /* else it is prepared, and not in use */
			send_listener(f, l);
	send_mark(f, f->last_mark);
}

/* --- spool files --- */

static void check_ready(struct front *f)
{
	if (f->ready || !f->has_file || !f->configured)
		return;
	f->ready = true;
	f->ops->ready(f->arg);
}

static void ask_for_files(struct front *f)
{
	if (!f->channel)
		return;
	for (unsigned i = 0; i < f->files_wanted; i++)
		front_maker_ask(f->maker, false);
	for (unsigned i = 0; i < f->bigs_wanted; i++)
		front_maker_ask(f->maker, true);
	f->files_wanted = 0;
	f->bigs_wanted = 0;
}

static void on_retry(void *arg)
{
	ask_for_files(arg);
}

static void not_made(struct front *f, bool big, const struct err *why)
{
	if (!f->complained)
		f->ops->failed(f->arg, why->text);
	f->complained = true;
	if (!f->channel)
		return;
	*(big ? &f->bigs_wanted : &f->files_wanted) += 1;
	loop_timer_set(f->retry, RETRY_MS);
}

/* The spool is told once nothing that was made for the old writer is still on its way. */
static void tell_gone(struct front *f)
{
	if (!f->gone_to_tell || front_maker_owes(f->maker))
		return;
	f->gone_to_tell = false;
	spool_writer_gone(f->spool, SPOOL_WRITER_SMTP);
	f->ops->durable(f->arg);
}

static void on_made(void *arg, bool big, const struct spool_new_file *file, const struct err *why)
{
	struct front *f = arg;
	uint8_t body[48] = { 0 };

	if (!file) {
		not_made(f, big, why);
		tell_gone(f);
		return;
	}
	f->complained = false;
	put_le64(body, file->number);
	put_le64(body + 8, file->capacity);
	memcpy(body + 16, file->public_key, sizeof(file->public_key));
	if (f->channel)
		--*(big ? &f->bigs_asked : &f->files_asked);
	if (big)
		to_child(f, WIRE_BIG_FILE, slice_of(body, 8), &file->fd);
	else
		to_child(f, WIRE_SPOOL_FILE, slice_of(body, sizeof(body)), &file->fd);
	(void)close(file->fd);
	f->has_file |= !big && f->channel;
	tell_gone(f);
	check_ready(f);
}

/* --- from mm-smtpd, which may say anything --- */

static bool on_need(struct front *f, bool big)
{
	unsigned *asked = big ? &f->bigs_asked : &f->files_asked;

	if (*asked >= (big ? SPOOL_ASKED_BIGS : SPOOL_ASKED_FILES))
		return false;
	++*asked;
	front_maker_ask(f->maker, big);
	return true;
}

static bool on_durable(struct front *f, struct slice body)
{
	struct reader r = reader_over(body);
	uint64_t file = read_u64(&r);
	uint64_t offset = read_u64(&r);
	uint64_t messages = read_u64(&r);

	if (!r.ok || r.rest.len)
		return false;
	spool_durable(f->spool, SPOOL_WRITER_SMTP, file, offset, messages);
	f->ops->durable(f->arg);
	return true;
}

static bool on_marked(struct front *f, struct slice body)
{
	struct reader r = reader_over(body);
	uint64_t number = read_u64(&r);

	if (!r.ok || r.rest.len || number > f->last_mark)
		return false;
	f->configured = true;
	while (f->marks && f->marks->number <= number) {
		struct mark *m = f->marks;

		f->marks = m->next;
		if (m->done)
			m->done(m->arg);
		free(m);
	}
	check_ready(f);
	return true;
}

static bool on_failed(struct front *f, struct slice body)
{
	char *text = slice_string(body);

	log_error("mm-smtpd gives up: %s", text);
	f->ops->failed(f->arg, text);
	free(text);
	return true;
}

static bool on_stats(struct front *f, struct slice body)
{
	struct reader r = reader_over(body);

	f->stats.connections = read_u64(&r);
	f->stats.accepted = read_u64(&r);
	f->stats.refused = read_u64(&r);
	f->stats.denied = read_u64(&r);
	return r.ok && !r.rest.len;
}

static bool on_answered(struct front *f, struct slice body)
{
	struct reader r = reader_over(body);
	struct slice refused = read_bytes(&r, 1);
	struct slice id_bytes = read_bytes(&r, ID_BYTES);
	struct message_id id;

	if (!r.ok || r.rest.len)
		return false;
	memcpy(id.b, id_bytes.at, ID_BYTES);
	f->ops->answered(f->arg, &id, refused.at[0] != 0);
	return true;
}

static bool take_message(struct front *f, unsigned type, struct slice body)
{
	switch (type) {
	case WIRE_NEED_FILE:
		return on_need(f, false);
	case WIRE_NEED_BIG:
		return on_need(f, true);
	case WIRE_DURABLE:
		return on_durable(f, body);
	case WIRE_MARKED:
		return on_marked(f, body);
	case WIRE_FAILED:
		return on_failed(f, body);
	case WIRE_ANSWERED:
		return on_answered(f, body);
	case WIRE_ASK:
		return f->ops->ask && f->ops->ask(f->arg, f->life, body);
	case WIRE_LOG:
		return f->opt && logs_policy(f->opt->logs, body);
	case WIRE_STATS:
		return on_stats(f, body);
	}
	return false;
}

static void on_message(void *arg, unsigned type, struct slice body, int *fds, size_t nfds)
{
	struct front *f = arg;

	(void)fds;
	if (nfds == 0 && take_message(f, type, body))
		return;
	log_error("mm-smtpd says nonsense (type %u, %zu bytes): it is ended", type, body.len);
	child_kill(f->child);
}

static void on_channel_closed(void *arg, const char *why)
{
	struct front *f = arg;

	(void)why; /* how the child ended tells more */
	channel_free(&f->channel);
	if (!f->stopping)
		loop_timer_set(f->killer, KILL_MS);
}

static void on_killer(void *arg)
{
	struct front *f = arg;

	if (f->child)
		child_kill(f->child);
	else
		f->ops->stopped(f->arg); /* there never was one */
}

/* --- the child --- */

static enum rc on_start(void *arg, struct child_start *s, struct err *e)
{
	static const struct channel_ops ops = { .message = on_message,
		                                .closed = on_channel_closed };
	struct front *f = arg;
	int ends[2];
	enum rc rc;

	tell_gone(f);
	if (f->gone_to_tell)
		return err_set(e, RC_AGAIN, "a spool file of the last one is still being made");
	rc = channel_pair(ends, e);
	if (rc != RC_OK)
		return rc;
	s->fds[0].fd = ends[1];
	s->fds[0].at = WIRE_CHANNEL_FD;
	s->nfds = 1;
	f->channel = channel_new(f->loop, ends[0], WIRE_NEWS_MAX, &ops, f);
	f->writing = true;
	f->life++;
	f->cut_off = false;
	send_everything(f);
	/* What doesn't fit is the configuration: without a part of it policies would judge wrongly.
	 */
	return f->cut_off ? err_set(e, RC_LIMIT,
	                            "the configuration with its address lists is too long for it")
	                  : RC_OK;
}

static void on_ended(void *arg, const char *how, int64_t again_ms)
{
	struct front *f = arg;

	front_hear(f); /* its last words */
	channel_free(&f->channel);
	forget_sent(f);
	loop_timer_clear(f->killer);
	front_maker_drop(f->maker);
	f->files_asked = 0;
	f->bigs_asked = 0;
	f->files_wanted = 0;
	f->bigs_wanted = 0;
	f->stats = (struct front_stats) { .restarts = child_restarts(f->child) };
	f->gone_to_tell |= f->writing;
	f->writing = false;
	tell_gone(f);
	if (again_ms < 0) {
		f->ops->stopped(f->arg);
		return;
	}
	log_warn("mm-smtpd ended: %s; it is started again in %lld ms", how, (long long)again_ms);
	f->ops->failed(f->arg, how);
}

/* --- listeners --- */

static struct listener *find_listener(struct front *f, const struct ingress_point *i)
{
	for (struct listener *l = f->listeners; l; l = l->next)
		if (l->port == i->port && ip_equal(&l->ip, &i->ip))
			return l;
	return NULL;
}

static enum rc want_listener(struct front *f, const struct ingress_point *i, struct err *e)
{
	struct listener *l = find_listener(f, i);
	int fd = -1;
	enum rc rc;

	if (l && l->wanted)
		return err_set(e, RC_INVALID, "ingress point %s: %s is another one's", i->name,
		               i->listen);
	if (l) {
		l->wanted = true;
		return RC_OK;
	}
	rc = listen_tcp(&fd, &i->ip, i->port, e);
	if (rc != RC_OK)
		return err_in(e, "ingress point %s: %s", i->name, i->listen);
	l = mem_new(sizeof(*l));
	*l = (struct listener) { .next = f->listeners, .ip = i->ip, .port = i->port, .fd = fd };
	l->wanted = true;
	l->ingress_id = mem_string(""); /* given by hand_over */
	f->listeners = l;
	return RC_OK;
}

static enum rc want_listeners(struct front *f, const struct config *c, struct err *e)
{
	for (struct listener *l = f->listeners; l; l = l->next)
		l->wanted = false;
	for (size_t i = 0; i < config_ingress_count(c); i++) {
		const struct ingress_point *p = config_ingress_at(c, i);
		enum rc rc = p->closed ? RC_OK : want_listener(f, p, e);

		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static void close_listener(struct front *f, struct listener *l)
{
	uint8_t body[4] = { 0 };

	put_le32(body, l->number);
	if (l->number)
		to_child(f, WIRE_CLOSE_LISTENER, slice_of(body, sizeof(body)), NULL);
	(void)close(l->fd);
	free(l->ingress_id);
	free(l);
}

/* Closes listeners: those that nobody wants, or after a failure those that are new (number 0). */
static void drop_listeners(struct front *f, bool new_ones)
{
	for (struct listener **at = &f->listeners; *at;) {
		struct listener *l = *at;

		if (new_ones ? l->number : l->wanted) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		close_listener(f, l);
	}
}

/* New listeners, and those that are another ingress point's now, go to mm-smtpd. */
static void hand_over(struct front *f, const struct config *c)
{
	for (size_t i = 0; i < config_ingress_count(c); i++) {
		const struct ingress_point *p = config_ingress_at(c, i);
		struct listener *l = p->closed ? NULL : find_listener(f, p);
		uint8_t body[4] = { 0 };

		if (!l || (l->number && strcmp(l->ingress_id, p->id) == 0))
			continue;
		put_le32(body, l->number);
		if (l->number)
			to_child(f, WIRE_CLOSE_LISTENER, slice_of(body, sizeof(body)), NULL);
		l->number = ++f->last_listener;
		free(l->ingress_id);
		l->ingress_id = mem_string(p->id);
		send_listener(f, l);
	}
}

/* --- configuration --- */

static enum rc check_tls(struct front *f, const struct front_options *opt, const struct config *c,
                         struct err *e)
{
	struct tls_context *t = NULL;
	enum rc rc;

	for (size_t i = 0; i < config_ingress_count(c) && !opt->cert_count; i++) {
		const struct ingress_point *p = config_ingress_at(c, i);

		if (!p->closed && (p->tls_wrapped || p->tls == INGRESS_TLS_REQUIRED))
			return err_set(
			        e, RC_INVALID,
			        "ingress point %s: it needs TLS, and smtp.tls_cert isn't set",
			        p->name);
	}
	if (!opt->cert_count || f->tls_checked == opt->certs)
		return RC_OK;
	rc = tls_server_new(&t, opt->certs, opt->cert_count, slice_str("check"), e);
	if (rc != RC_OK)
		(void)err_in(e, "smtp.tls_cert, smtp.tls_key");
	tls_context_free(&t);
	f->tls_checked = rc == RC_OK ? opt->certs : NULL;
	return rc;
}

static void add_mark(struct front *f, void (*done)(void *arg), void *arg)
{
	struct mark *m = mem_new(sizeof(*m));
	struct mark **at = &f->marks;

	m->number = ++f->last_mark;
	m->done = done;
	m->arg = arg;
	while (*at)
		at = &(*at)->next;
	*at = m;
}

enum rc front_prepare(struct front *f, const struct front_options *opt, const struct config *c,
                      struct err *e)
{
	enum rc rc = check_tls(f, opt, c, e);

	if (rc == RC_OK)
		rc = want_listeners(f, c, e);
	if (rc != RC_OK)
		drop_listeners(f, true);
	return rc;
}

enum rc front_configure(struct front *f, const struct front_options *opt, struct config *c,
                        void (*done)(void *arg), void *arg, struct err *e)
{
	static const struct child_ops ops = { .start = on_start, .ended = on_ended };
	struct config *before = f->config;
	enum rc rc = front_prepare(f, opt, c, e);

	if (rc != RC_OK)
		return rc;
	f->config = config_ref(c);
	config_unref(&before);
	f->opt = opt;
	add_mark(f, done, arg);
	send_config(f);
	hand_over(f, c);
	drop_listeners(f, false);
	send_mark(f, f->last_mark);
	if (!f->child) {
		f->program = mem_string(opt->program ? opt->program : "mm-smtpd");
		f->child = child_new(f->loop, f->program, &ops, f);
	}
	return RC_OK;
}

/* --- the whole --- */

struct front *front_new(struct loop *l, struct spool *sp, const struct front_ops *ops, void *arg)
{
	struct front *f = mem_new(sizeof(*f));

	f->loop = l;
	f->spool = sp;
	f->ops = ops;
	f->arg = arg;
	f->maker = front_maker_new(l, sp, on_made, f);
	f->retry = loop_timer_new(l, on_retry, f);
	f->killer = loop_timer_new(l, on_killer, f);
	return f;
}

void front_pause(struct front *f, bool pause)
{
	if (f->paused == pause)
		return;
	f->paused = pause;
	send_pause(f);
}

void front_hear(struct front *f)
{
	if (f->channel)
		channel_hear(f->channel);
}

void front_judged(struct front *f, const struct message_id *id, bool refuse, const char *text)
{
	uint8_t body[1 + ID_BYTES + 200] = { refuse };
	size_t len = MIN_OF(strlen(text), sizeof(body) - 1 - ID_BYTES);

	memcpy(body + 1, id->b, ID_BYTES);
	memcpy(body + 1 + ID_BYTES, text, len);
	if (f->channel)
		to_child(f, WIRE_JUDGED, slice_of(body, 1 + ID_BYTES + len), NULL);
	else
		f->ops->answered(f->arg, id, false);
}

void front_told(struct front *f, uint64_t life, struct slice body)
{
	if (f->channel && life == f->life)
		to_child(f, WIRE_TOLD, body, NULL);
}

void front_end_file(struct front *f)
{
	to_child(f, WIRE_END_FILE, slice_of(NULL, 0), NULL);
}

void front_stop(struct front *f)
{
	if (f->stopping)
		return;
	f->stopping = true;
	drop_listeners(f, true);
	for (struct listener *l = f->listeners; l; l = l->next)
		l->wanted = false;
	drop_listeners(f, false);
	if (!f->child) {
		loop_timer_set(f->killer, 0);
		return;
	}
	to_child(f, WIRE_STOP, slice_of(NULL, 0), NULL);
	child_stop(f->child, -1, STOP_MS);
}

void front_free(struct front **at)
{
	struct front *f = *at;

	if (!f)
		return;
	*at = NULL;
	channel_free(&f->channel);
	child_free(&f->child);
	front_maker_free(&f->maker);
	if (f->gone_to_tell || f->writing)
		spool_writer_gone(f->spool, SPOOL_WRITER_SMTP);
	for (struct listener *l = f->listeners; l; l = l->next)
		l->wanted = false;
	drop_listeners(f, false);
	while (f->marks) {
		struct mark *m = f->marks;

		f->marks = m->next;
		free(m);
	}
	loop_timer_free(&f->retry);
	loop_timer_free(&f->killer);
	forget_sent(f);
	config_unref(&f->config);
	free(f->program);
	free(f);
}

void front_count(const struct front *f, struct front_stats *out)
{
	*out = f->stats;
	out->restarts = f->child ? child_restarts(f->child) : 0;
}
