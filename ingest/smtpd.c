#include "ingest/smtpd.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "ingest/smtpd_session.h"
#include "ingest/wire.h"
#include "store/crypt.h"

#define ACCEPTS       64   /* of one listener before others have their turn */
#define NO_FDS_MS     200  /* how long accepting rests when descriptors have run out */
#define FIRST_FILE_MS 5000 /* how long clients wait for the first spool file */
#define STOP_MS       3000 /* for clients to take their last reply */
#define STATS_MS      2000
#define LOG_MS        100     /* records are gathered so long */
#define LOG_SOME      32768   /* or until they are so many bytes */
#define LOG_UNREAD    4194304 /* with more on its way to mmd, records are lost */
#define MOST_CERTS    64
#define PUBLIC_KEY    32
#define MOST_FDS      65536
#define OTHER_FDS     256 /* spool files, listeners, what mmd hands over */
#define PART_LARGE    32  /* one of so many descriptors, at least, is for files of large messages */

struct listener {
	struct listener *next;
	struct smtpd *d;
	uint32_t number;
	int fd;
	struct loop_watch *watch;
	struct ip ip; /* where it listens */
	uint16_t port;
	char *ingress_id;
};

/* An address list that mmd has told of. */
struct list {
	struct list *next;
	char *id;
	struct address_list *list;
};

struct smtpd {
	struct loop *loop;
	struct channel *channel;
	struct gate *gate;     /* NULL before the first configuration */
	struct config *config; /* likewise */
	struct list *lists;
	struct smtpd_sessions *sessions;
	struct listener *listeners;
	struct loop_timer *rest; /* accepting goes on */
	struct loop_timer *stop;
	struct loop_timer *stats;
	struct policy_log *log; /* NULL: mmd doesn't want it */
	struct loop_timer *logging;
	bool log_due; /* the timer runs */
	int64_t complained_ms;
	unsigned descriptors;
	bool accepting; /* there is, or was, a spool file */
	bool paused;
	int64_t floor_ms; /* no message is received before this */
	bool stopping;
	bool failed;
};

/* --- to mmd --- */

static void tell(struct smtpd *d, unsigned type, struct slice body)
{
	struct err e;

	if (channel_send(d->channel, type, body, NULL, 0, &e) != RC_OK) {
		log_error("mmd can't be told: %s", e.text);
		_exit(1);
	}
}

/* Before the replies that follow from it: who has a 250 and asks mmd finds the message counted. */
static void on_progress(void *app, uint64_t file, uint64_t offset, uint64_t messages)
{
	struct smtpd *d = app;
	uint8_t body[24] = { 0 };

	put_le64(body, file);
	put_le64(body + 8, offset);
	put_le64(body + 16, messages);
	tell(d, WIRE_DURABLE, slice_of(body, sizeof(body)));
	channel_flush(d->channel);
}

static void on_need_file(void *app)
{
	tell(app, WIRE_NEED_FILE, slice_of(NULL, 0));
}

static void on_need_big(void *app)
{
	tell(app, WIRE_NEED_BIG, slice_of(NULL, 0));
}

static void on_ask(void *app, struct slice body)
{
	tell(app, WIRE_ASK, body);
}

static void tell_stats(void *arg)
{
	struct smtpd *d = arg;
	struct gate_counts n = { 0 };
	uint8_t body[32] = { 0 };

	if (d->gate)
		gate_count(d->gate, &n);
	put_le64(body, smtpd_sessions_count(d->sessions));
	put_le64(body + 8, n.accepted);
	put_le64(body + 16, n.refused);
	put_le64(body + 24, n.denied);
	tell(d, WIRE_STATS, slice_of(body, sizeof(body)));
	loop_timer_set(d->stats, STATS_MS);
}

/* mmd may be slow: mail goes on. */
static void send_log(void *arg)
{
	struct smtpd *d = arg;
	struct slice batch;

	d->log_due = false;
	while (policy_log_waiting(d->log)) {
		batch = policy_log_take(d->log, channel_waiting(d->channel) < LOG_UNREAD);
		if (!batch.len)
			break;
		tell(d, WIRE_LOG, batch);
	}
}

static void look_at_log(struct smtpd *d)
{
	size_t n = d->log ? policy_log_waiting(d->log) : 0;

	if (n >= LOG_SOME) {
		loop_timer_clear(d->logging);
		send_log(d);
	} else if (n && !d->log_due) {
		d->log_due = true;
		loop_timer_set(d->logging, LOG_MS);
	}
}

static void fail(struct smtpd *d, const char *text)
{
	log_error("%s", text);
	if (!d->failed)
		tell(d, WIRE_FAILED, slice_str(text));
	d->failed = true;
}

/* --- listeners --- */

static void rest_from_accepting(struct smtpd *d, const char *why)
{
	int64_t now = clock_mono_ms();

	if (!d->complained_ms || now - d->complained_ms > 60000)
		log_warn("no connection can be accepted for a moment: %s", why);
	d->complained_ms = now;
	for (struct listener *l = d->listeners; l; l = l->next)
		loop_watch_set(l->watch, 0);
	loop_timer_set(d->rest, NO_FDS_MS);
}

/* Clients wait in the sockets' queues until there is a spool file, or none has come for a while. */
static void accept_again(void *arg)
{
	struct smtpd *d = arg;

	d->accepting = true;
	for (struct listener *l = d->listeners; l; l = l->next)
		loop_watch_set(l->watch, LOOP_READ);
}

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_storage room;
};

static uint16_t port_of(const union address *a)
{
	return ntohs(a->any.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port);
}

static void start_session(struct listener *l, int fd, const union address *from)
{
	struct gate_point *p = gate_point(l->d->gate, slice_str(l->ingress_id));
	struct gate_peer peer = { .ip = ip_of_sockaddr(&from->any),
		                  .port = port_of(from),
		                  .local_ip = l->ip,
		                  .local_port = l->port };

	if (!p) {
		(void)close(fd);
		return;
	}
	smtpd_session_start(l->d->sessions, l->d->gate, p, fd, &peer);
	gate_point_free(&p);
}

static void on_listener(void *arg, unsigned what)
{
	struct listener *l = arg;

	(void)what;
	for (int i = 0; i < ACCEPTS; i++) {
		union address from = { .room = { 0 } };
		socklen_t len = sizeof(from);
		int fd = accept4(l->fd, &from.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			start_session(l, fd, &from);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			rest_from_accepting(l->d, strerror(errno));
			return;
		}
		/* All else is about that one connection, accept(2). */
	}
}

static void listener_free(struct smtpd *d, uint32_t number)
{
	for (struct listener **at = &d->listeners; *at; at = &(*at)->next) {
		struct listener *l = *at;

		if (l->number != number)
			continue;
		*at = l->next;
		loop_watch_free(&l->watch);
		(void)close(l->fd);
		free(l->ingress_id);
		free(l);
		return;
	}
}

static void on_new_listener(struct smtpd *d, struct slice body, int *fd)
{
	struct reader r = reader_over(body);
	struct listener *l = mem_new(sizeof(*l));
	union address at = { .room = { 0 } };
	socklen_t len = sizeof(at);

	l->d = d;
	l->number = read_u32(&r);
	l->ingress_id = slice_string(r.rest);
	l->fd = *fd;
	*fd = -1;
	if (getsockname(l->fd, &at.any, &len) == 0) {
		l->ip = ip_of_sockaddr(&at.any);
		l->port = port_of(&at);
	}
	l->next = d->listeners;
	d->listeners = l;
	l->watch = loop_watch_new(d->loop, l->fd, d->accepting ? LOOP_READ : 0, on_listener, l);
}

static void close_listeners(struct smtpd *d)
{
	while (d->listeners)
		listener_free(d, d->listeners->number);
}

/* --- the end --- */

/* Everything that was committed gets its answer and mmd its news; then this program ends. */
static void end_now(void *arg)
{
	struct smtpd *d = arg;

	if (d->gate)
		gate_stop(d->gate);
	smtpd_sessions_stop(d->sessions);
	smtpd_sessions_free(&d->sessions);
	gate_free(&d->gate);
	if (d->log)
		send_log(d);
	loop_stop(d->loop);
}

static void stop(struct smtpd *d)
{
	if (d->stopping)
		return;
	d->stopping = true;
	close_listeners(d);
	if (d->gate)
		gate_wait_no_more(d->gate);
	smtpd_sessions_stop(d->sessions);
	loop_timer_set(d->stop, smtpd_sessions_count(d->sessions) ? STOP_MS : 0);
}

/* --- address lists --- */

static struct list *find_list(struct smtpd *d, struct slice id)
{
	struct list *l = d->lists;

	while (l && !slice_equal(id, slice_str(l->id)))
		l = l->next;
	return l;
}

static struct list *new_list(struct smtpd *d, struct slice id)
{
	struct address_set *empty = address_set_new();
	struct list *l = mem_new(sizeof(*l));

	*l = (struct list) { d->lists, slice_string(id), address_list_of(empty) };
	address_set_unref(&empty);
	d->lists = l;
	return l;
}

static void on_list(struct smtpd *d, struct slice body)
{
	struct slice lines;
	struct slice id = slice_cut(body, '\n', &lines);
	struct list *l = find_list(d, id);
	struct address_set *before;
	struct address_set *set;

	if (!l)
		l = new_list(d, id);
	before = address_list_set(l->list);
	set = address_set_copy(before);
	while (lines.len) {
		struct slice line = slice_cut(lines, '\n', &lines);

		if (line.len > 1 && line.at[0] == '+')
			address_set_add(set, slice_from(line, 1));
		else if (line.len > 1)
			address_set_remove(set, slice_from(line, 1));
	}
	address_list_take(l->list, set);
	address_set_unref(&set);
	address_set_unref(&before);
}

static struct address_list *given_list(void *arg, struct slice id)
{
	struct list *l = find_list(arg, id);

	return l ? l->list : NULL;
}

/* Those that the configuration doesn't name; NULL: all. */
static void forget_lists(struct smtpd *d, const struct config *c)
{
	for (struct list **at = &d->lists; *at;) {
		struct list *l = *at;

		if (c && config_has(c, "AddressLists", slice_str(l->id), 0)) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		address_list_unref(&l->list);
		free(l->id);
		free(l);
	}
}

/* --- configuration --- */

static const struct gate_host host = {
	.need_file = on_need_file,
	.need_big = on_need_big,
	.progress = on_progress,
	.ask = on_ask,
};

static size_t read_certs(const json_t *list, struct tls_cert *out)
{
	size_t n = MIN_OF(json_array_size(list), MOST_CERTS);

	for (size_t i = 0; i < n; i++) {
		const json_t *c = json_array_get(list, i);

		out[i].chain = json_member_text(c, "chain");
		out[i].key = json_member_text(c, "key");
	}
	return n;
}

/* Who has no descriptor left can't take a spool file either, and would have to end. */
static unsigned within_descriptors(const struct smtpd *d, unsigned wanted)
{
	unsigned all = d->descriptors;
	unsigned room = all > 2 * OTHER_FDS ? all - OTHER_FDS : all / 2;

	room -= room / PART_LARGE;
	if (wanted <= room)
		return wanted;
	log_warn("smtp.max_connections is %u, but %u descriptors allow %u", wanted, all, room);
	return room;
}

static void read_limits(const struct smtpd *d, const json_t *smtp, struct smtpd_limits *l)
{
	*l = (struct smtpd_limits) {
		.connections = within_descriptors(
		        d, (unsigned)json_member_int(smtp, "max_connections", 1000)),
		.per_address = (unsigned)json_member_int(smtp, "max_per_address", 50),
		.command_ms = json_member_int(smtp, "command_timeout_s", 300) * 1000,
		.data_ms = json_member_int(smtp, "data_timeout_s", 180) * 1000,
		.message_ms = json_member_int(smtp, "message_timeout_s", 3600) * 1000,
		.min_rate = (uint64_t)json_member_int(smtp, "min_rate", 128),
	};
}

/* mmd's configuration stays as it is while it runs. */
static void start_log(struct smtpd *d, const json_t *smtp)
{
	int64_t rate = json_member_int(smtp, "policy_log", 0);

	if (rate > 0 && !d->log)
		d->log = policy_log_new((uint64_t)rate);
	gate_log(d->gate, d->log);
}

static enum rc start_gate(struct smtpd *d, unsigned connections, struct err *e)
{
	struct spool_writer_options opt = { .writer = SPOOL_WRITER_SMTP, .floor_ms = d->floor_ms };
	enum rc rc;

	if (d->gate)
		return RC_OK;
	/* What connections and others leave: mmd's configuration of them stays while it runs. */
	opt.bigs_most =
	        MAX_OF(d->descriptors, connections + OTHER_FDS + 1) - connections - OTHER_FDS;
	rc = gate_new(&d->gate, d->loop, &opt, &host, d, e);
	if (rc == RC_OK)
		gate_pause(d->gate, d->paused);
	return rc;
}

static enum rc configure(struct smtpd *d, const json_t *j, struct err *e)
{
	const json_t *smtp = json_member_object(j, "smtp");
	struct slice hostname = json_member_text(smtp, "hostname");
	struct tls_cert certs[MOST_CERTS];
	struct smtpd_limits limits;
	struct gate_options opt = { .certs = certs };
	struct config_source from = { .base = d->config, .list = given_list, .arg = d };
	struct config *c = NULL;
	enum rc rc = config_next(&c, json_member_object(j, "snapshot"), &from, e);
	char *name;

	if (rc != RC_OK)
		return rc;
	name = slice_string(hostname.len ? hostname : slice_str("localhost"));
	opt.hostname = name;
	opt.message_bytes = (uint64_t)json_member_int(smtp, "max_message", LIMIT_MESSAGE_BYTES);
	opt.ask_ms = json_member_int(smtp, "ask_ms", 0);
	opt.cert_count = read_certs(json_member_array(j, "certs"), certs);
	read_limits(d, smtp, &limits);
	rc = start_gate(d, limits.connections, e);
	if (rc == RC_OK)
		start_log(d, smtp);
	if (rc == RC_OK)
		rc = gate_configure(d->gate, c, &opt, e);
	smtpd_sessions_limit(d->sessions, &limits);
	if (rc == RC_OK) {
		config_unref(&d->config);
		d->config = config_ref(c);
		forget_lists(d, c);
	}
	config_unref(&c);
	free(name);
	return rc;
}

static void on_config(struct smtpd *d, struct slice body)
{
	json_t *j = NULL;
	struct err e;
	enum rc rc = json_read(&j, body, &e);

	if (rc == RC_OK)
		rc = configure(d, j, &e);
	json_decref(j);
	if (rc == RC_OK)
		return;
	fail(d, e.text);
	stop(d); /* the next one of us gets everything anew */
}

/* --- spool files --- */

static void on_spool_file(struct smtpd *d, struct slice body, int *fd)
{
	struct reader r = reader_over(body);
	uint64_t number = read_u64(&r);
	uint64_t capacity = read_u64(&r);
	struct slice key = read_bytes(&r, PUBLIC_KEY);
	struct err e;
	enum rc rc;

	if (!r.ok || !d->gate)
		return;
	rc = spool_writer_give_file(gate_spool(d->gate), number, *fd, capacity, key.at, &e);
	*fd = -1;
	if (rc != RC_OK)
		fail(d, e.text);
	else if (!d->accepting)
		accept_again(d);
}

static void on_big_file(struct smtpd *d, struct slice body, int *fd)
{
	struct reader r = reader_over(body);
	uint64_t number = read_u64(&r);

	if (!r.ok || !d->gate)
		return;
	spool_writer_give_big(gate_spool(d->gate), number, *fd);
	*fd = -1;
}

/* --- from mmd --- */

static void on_judged(struct smtpd *d, struct slice body)
{
	struct reader r = reader_over(body);
	bool refuse = read_bytes(&r, 1).at[0];
	struct slice id_bytes = read_bytes(&r, ID_BYTES);
	char *text = slice_string(r.rest);
	uint8_t answer[1 + ID_BYTES] = { 0 };
	struct message_id id;

	memcpy(id.b, id_bytes.at, ID_BYTES);
	memcpy(answer + 1, id_bytes.at, ID_BYTES);
	answer[0] = d->gate && gate_judged(d->gate, &id, refuse, text);
	tell(d, WIRE_ANSWERED, slice_of(answer, sizeof(answer)));
	free(text);
}

static void on_pause(struct smtpd *d, struct slice body)
{
	d->paused = body.len == 1 && body.at[0];
	if (d->gate)
		gate_pause(d->gate, d->paused);
}

static void on_message(void *arg, unsigned type, struct slice body, int *fds, size_t nfds)
{
	struct smtpd *d = arg;
	struct reader r = reader_over(body);

	if (type == WIRE_CONFIG)
		on_config(d, body);
	else if (type == WIRE_LIST)
		on_list(d, body);
	else if (type == WIRE_LISTENER && nfds == 1 && d->gate && !d->stopping)
		on_new_listener(d, body, &fds[0]);
	else if (type == WIRE_CLOSE_LISTENER)
		listener_free(d, read_u32(&r));
	else if (type == WIRE_SPOOL_FILE && nfds == 1)
		on_spool_file(d, body, &fds[0]);
	else if (type == WIRE_BIG_FILE && nfds == 1)
		on_big_file(d, body, &fds[0]);
	else if (type == WIRE_END_FILE && d->gate)
		spool_writer_end_file(gate_spool(d->gate));
	else if (type == WIRE_PAUSE)
		on_pause(d, body);
	else if (type == WIRE_FLOOR)
		d->floor_ms = (int64_t)read_u64(&r);
	else if (type == WIRE_JUDGED && body.len > 1 + ID_BYTES)
		on_judged(d, body);
	else if (type == WIRE_TOLD && d->gate)
		gate_told(d->gate, body);
	else if (type == WIRE_MARK)
		tell(d, WIRE_MARKED, body);
	else if (type == WIRE_STOP)
		stop(d);
}

/* mmd has gone: whoever comes next starts another one of us. */
static void on_closed(void *arg, const char *why)
{
	(void)arg;
	log_info("the channel ended: %s", why);
	_exit(1);
}

static const struct channel_ops channel_callbacks = {
	.message = on_message,
	.closed = on_closed,
};

/* After each round: what came up in it goes out together. */
static void after_round(void *arg)
{
	struct smtpd *d = arg;
	const struct err *why;

	if (!d->gate)
		return;
	gate_flush(d->gate);
	look_at_log(d);
	why = spool_writer_failed(gate_spool(d->gate));
	if (why && !d->failed) {
		fail(d, why->text);
		stop(d);
	}
	if (d->stopping && !smtpd_sessions_count(d->sessions) && !gate_waiting(d->gate))
		end_now(d);
}

/* --- the program --- */

static enum rc confine(struct err *e)
{
	static const int calls[] = {
		__NR_accept4,   __NR_recvfrom,    __NR_recvmsg,   __NR_sendto,     __NR_sendmsg,
		__NR_shutdown,  __NR_getsockname, __NR_epoll_ctl, __NR_epoll_wait, __NR_epoll_pwait,
		__NR_eventfd2,  __NR_pwrite64,    __NR_pwritev,   __NR_pwritev2,   __NR_fdatasync,
		__NR_ftruncate, __NR_fcntl,       __NR_pread64,
	};
	struct sandbox_profile p = { .syscalls = calls, .count = COUNT(calls), .threads = true };

	return sandbox_enter(&p, e);
}

/* The limit on connections is ours, not the shell's. How many there are. */
static unsigned raise_descriptors(void)
{
	struct rlimit r;
	rlim_t before;

	MUST(getrlimit(RLIMIT_NOFILE, &r) == 0);
	before = r.rlim_cur;
	r.rlim_cur = MIN_OF(r.rlim_max, MOST_FDS);
	if (setrlimit(RLIMIT_NOFILE, &r) == 0)
		return (unsigned)r.rlim_cur;
	log_warn("the limit of descriptors stays as it is: %s", strerror(errno));
	return (unsigned)MIN_OF(before, MOST_FDS);
}

static void end_round(void *arg)
{
	loop_stop(arg);
}

/* For at most ten seconds: mmd reads what was told last. */
static void send_the_rest(struct smtpd *d)
{
	struct loop_timer *t = loop_timer_new(d->loop, end_round, d->loop);

	for (int i = 0; i < 1000 && channel_waiting(d->channel); i++) {
		loop_timer_set(t, 10);
		loop_run(d->loop, NULL, NULL);
	}
	loop_timer_free(&t);
}

int smtpd_main(void)
{
	struct smtpd d = { .paused = false };
	struct err e;
	int code;

	clock_init();
	log_init("mm-smtpd", LOG_INFO);
	tls_init();
	crypt_init();
	d.loop = loop_new();
	d.descriptors = raise_descriptors();
	if (confine(&e) != RC_OK) {
		log_error("the sandbox can't be entered: %s", e.text);
		return 1;
	}
	d.sessions = smtpd_sessions_new(d.loop);
	d.channel = channel_new(d.loop, WIRE_CHANNEL_FD, WIRE_CONFIG_MAX, &channel_callbacks, &d);
	d.rest = loop_timer_new(d.loop, accept_again, &d);
	d.stop = loop_timer_new(d.loop, end_now, &d);
	d.stats = loop_timer_new(d.loop, tell_stats, &d);
	d.logging = loop_timer_new(d.loop, send_log, &d);
	loop_timer_set(d.stats, STATS_MS);
	loop_timer_set(d.rest, FIRST_FILE_MS);
	loop_run(d.loop, after_round, &d);
	loop_timer_clear(d.stop);
	loop_timer_clear(d.stats);
	loop_timer_clear(d.logging);
	send_the_rest(&d);
	code = d.failed ? 1 : 0;
	config_unref(&d.config);
	forget_lists(&d, NULL);
	channel_free(&d.channel);
	loop_timer_free(&d.rest);
	loop_timer_free(&d.stop);
	loop_timer_free(&d.stats);
	loop_timer_free(&d.logging);
	policy_log_free(&d.log);
	loop_free(&d.loop);
	return code;
}
