#include "ingest/scan/serve.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/home.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/sealed.h"
#include "ingest/ca_file.h"
#include "ingest/scan/clamd.h"
#include "ingest/scan/http.h"

#define MOST    (ADDONS_MOST * ADDON_AT_ONCE_MOST) /* scans under way; mmd has fewer */
#define WAIT_MS 60000                              /* something always wakes it before */
/* Most of it are messages, which mmd has as well. */
#define ADDRESS_SPACE ((uint64_t)4 << 30)

struct scan {
	struct scan *next;
	uint64_t number;
	const struct addon *addon;
	json_t *facts;
	struct slice message;
	int line; /* to who connects; -1: that is done */
	int fd;   /* of clamd's; -1 */
	struct clamd clamd;
	struct scan_http *http;
};

struct child {
	const struct addons *addons;
	int fd; /* mmd */
	struct scan *scans;
	size_t count;
	CURLM *multi;
	struct buf ca;
};

/* mmd or the home has gone, or the system fails: so it ends, and mmd starts another where it still
 * wants one. */
static void end(const char *why) __attribute__((noreturn));

static void end(const char *why)
{
	if (why)
		log_error("%s", why);
	_exit(why ? 1 : 0);
}

/* ---- a scan ---- */

static struct scan *find(struct child *c, uint64_t number)
{
	struct scan *s = c->scans;

	while (s && s->number != number)
		s = s->next;
	return s;
}

static void drop(struct child *c, struct scan *s)
{
	struct scan **at = &c->scans;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	c->count--;
	if (s->http) {
		(void)curl_multi_remove_handle(c->multi, scan_http_easy(s->http));
		scan_http_free(&s->http);
	}
	if (s->fd >= 0) {
		clamd_free(&s->clamd);
		(void)close(s->fd);
	}
	if (s->line >= 0)
		(void)close(s->line);
	sealed_unmap(&s->message);
	json_decref(s->facts);
	free(s);
}

static void say(const struct child *c, uint64_t number, const struct scan_answer *a)
{
	json_t *o = json_object();
	struct buf text;
	struct err e;

	json_put_int(o, "n", (int64_t)number);
	json_put_int(o, "end", a->end);
	json_put(o, "why", scan_result_text(slice_str(a->why), SCAN_WHY));
	if (a->result)
		json_put(o, "result", json_incref(a->result));
	buf_init(&text, SCAN_TEXT);
	if (json_write(&text, o) != RC_OK ||
	    channel_put(c->fd, SCAN_SAID, buf_slice(&text), NULL, 0, &e) != RC_OK)
		end(NULL);
	buf_free(&text);
	json_decref(o);
}

/* Takes the answer's result over. */
static void finish(struct child *c, struct scan *s, struct scan_answer *a)
{
	say(c, s->number, a);
	json_decref(a->result);
	drop(c, s);
}

static void refuse(struct child *c, struct scan *s, enum scan_end how, const char *why)
{
	struct scan_answer a = { .end = how };

	(void)snprintf(a.why, sizeof(a.why), "%s", why);
	finish(c, s, &a);
}

/* ---- from mmd ---- */

/* Takes both descriptors over. */
static void on_ask(struct child *c, const json_t *o, int fds[2])
{
	int64_t place = json_member_int(o, "scanner", -1);
	struct scan *s;
	struct err e;

	if (place < 0 || place >= (int64_t)c->addons->count || c->count >= MOST)
		end("mmd says nonsense");
	s = mem_new(sizeof(*s));
	s->number = (uint64_t)json_member_int(o, "n", 0);
	s->addon = &c->addons->at[place];
	s->facts = json_incref(json_member_object(o, "facts"));
	s->fd = -1;
	s->line = fds[1];
	s->next = c->scans;
	c->scans = s;
	c->count++;
	if (sealed_map(&s->message, fds[0], &e) != RC_OK)
		refuse(c, s, SCAN_BROKEN, "the message can't be mapped");
	(void)close(fds[0]);
	fds[0] = fds[1] = -1;
}

static void on_drop(struct child *c, const json_t *o)
{
	struct scan *s = find(c, (uint64_t)json_member_int(o, "n", 0));
	struct err e;

	if (s)
		drop(c, s);
	if (channel_put(c->fd, SCAN_DROPPED, slice_of(NULL, 0), NULL, 0, &e) != RC_OK)
		end(NULL);
}

static void hear_mmd(struct child *c)
{
	int fds[CHANNEL_FDS];
	size_t nfds;
	unsigned type;
	struct buf body;
	struct err e;
	json_t *o;

	buf_init(&body, SCAN_TEXT);
	if (channel_get(c->fd, &type, &body, fds, &nfds, &e) != RC_OK)
		end(NULL);
	if (json_read(&o, buf_slice(&body), &e) != RC_OK)
		end("mmd says nonsense");
	if (type == SCAN_ASK && nfds == 2)
		on_ask(c, o, fds);
	else if (type == SCAN_DROP)
		on_drop(c, o);
	for (size_t i = 0; i < nfds; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	json_decref(o);
	buf_free(&body);
}

/* ---- from who connects ---- */

static void begin(struct child *c, struct scan *s, int fd)
{
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	if (s->addon->kind == ADDON_CLAMD) {
		s->fd = fd;
		clamd_begin(&s->clamd, fd, s->message);
		return;
	}
	s->http = scan_http_new(s->addon, fd, s->message, s->facts, buf_slice(&c->ca));
	if (!s->http || curl_multi_add_handle(c->multi, scan_http_easy(s->http)) != CURLM_OK)
		end("libcurl doesn't take a scan");
}

static void hear_connector(struct child *c, struct scan *s)
{
	int fds[CHANNEL_FDS];
	size_t nfds = 0;
	unsigned type = 0;
	struct buf body;
	struct err e;
	enum rc rc;

	buf_init(&body, SCAN_LINE);
	rc = channel_get(s->line, &type, &body, fds, &nfds, &e);
	(void)close(s->line);
	s->line = -1;
	if (rc == RC_OK && type == SCAN_CONNECTED && nfds == 1)
		begin(c, s, fds[0]);
	else
		refuse(c, s, SCAN_AWAY, rc == RC_OK ? buf_text(&body) : "no connection in time");
	buf_free(&body);
}

/* ---- from scanners ---- */

static void hear_http(struct child *c)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
		struct scan_answer a;
		struct scan_http *h = NULL;
		CURLcode code = m->data.result;
		struct scan *s = c->scans;

		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&h);
		while (s && s->http != h)
			s = s->next;
		if (!s)
			end("libcurl ends what wasn't begun");
		scan_http_end(h, code, &a);
		finish(c, s, &a);
	}
}

/* A descriptor of a scan's: clamd's, or of who connects. */
static void hear_scan(struct child *c, int fd)
{
	struct scan_answer a;
	struct scan *s = c->scans;

	while (s && s->fd != fd && s->line != fd)
		s = s->next;
	if (s && s->line == fd)
		hear_connector(c, s);
	else if (s && clamd_go(&s->clamd, &a))
		finish(c, s, &a);
}

/* ---- the loop ---- */

static size_t fill(const struct child *c, struct curl_waitfd *fds)
{
	size_t n = 1;

	fds[0] = (struct curl_waitfd) { c->fd, CURL_WAIT_POLLIN, 0 };
	for (const struct scan *s = c->scans; s; s = s->next) {
		bool out = s->fd >= 0 && (clamd_waits(&s->clamd) & POLLOUT) != 0;
		int fd = s->line >= 0 ? s->line : s->fd;

		if (fd >= 0) /* others are libcurl's */
			fds[n++] = (struct curl_waitfd) {
				fd, (short)(CURL_WAIT_POLLIN | (out ? CURL_WAIT_POLLOUT : 0)), 0
			};
	}
	return n;
}

/* A descriptor that is new in a round can't have the number of one that is still to be heard: those
 * are open. */
static void serve(struct child *c)
{
	static struct curl_waitfd fds[MOST + 1];

	for (;;) {
		size_t n = fill(c, fds);
		int running;

		if (curl_multi_poll(c->multi, fds, (unsigned)n, WAIT_MS, NULL) != CURLM_OK)
			end("libcurl doesn't wait");
		for (size_t i = 1; i < n; i++)
			if (fds[i].revents)
				hear_scan(c, fds[i].fd);
		if (curl_multi_perform(c->multi, &running) != CURLM_OK)
			end("libcurl doesn't work");
		hear_http(c);
		if (fds[0].revents)
			hear_mmd(c);
	}
}

/* No socket is made in it, and none connected: they come from who connects. */
static enum rc confine(struct err *e)
{
	static const int calls[] = {
		__NR_poll,       __NR_ppoll,       __NR_recvfrom,    __NR_recvmsg,
		__NR_sendto,     __NR_sendmsg,     __NR_shutdown,    __NR_getsockopt,
		__NR_setsockopt, __NR_getsockname, __NR_getpeername, __NR_fcntl,
		__NR_geteuid,    __NR_getuid,      __NR_getgid,      __NR_getegid,
	};
	const struct sandbox_profile p = { .syscalls = calls,
		                           .count = COUNT(calls),
		                           .address_space = ADDRESS_SPACE,
		                           .nofile = MOST + 64 };

	return sandbox_enter(&p, e);
}

static bool wants_tls(const struct addons *a)
{
	for (size_t i = 0; i < a->count; i++)
		if (a->at[i].tls)
			return true;
	return false;
}

void scan_child_run(const struct addons *addons, int fd, int leash)
{
	struct child c = { .addons = addons, .fd = fd };
	struct err e = { 0 };
	enum rc rc = RC_OK;

	buf_init(&c.ca, CA_FILE_MOST);
	if (!home_put_on(leash))
		return;
	if (wants_tls(addons))
		rc = ca_file_read(&c.ca, &e);
	c.multi = curl_multi_init();
	if (rc == RC_OK && !c.multi)
		rc = err_set(&e, RC_IO, "libcurl doesn't start");
	if (rc == RC_OK)
		rc = confine(&e);
	if (rc == RC_OK)
		rc = channel_put(fd, SCAN_READY, slice_of(NULL, 0), NULL, 0, &e);
	if (rc != RC_OK)
		end(e.text);
	serve(&c);
}
