#include "ingest/scan/serve.h"

#include <curl/curl.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/log.h"
#include "ingest/scan_wire.h"

#define CONNECTORS 128
#define CONNECT_S  8
#define LONGEST_S  30 /* with a name that is slow */
#define REAP_MS    200

struct home {
	struct addons addons;
	int line; /* to the child; -1: there is none */
	unsigned connectors;
	pid_t child; /* the newest; an older one ends by itself */
};

/* ---- a connection ---- */

static bool connect_to(int fd, const struct sockaddr *to, socklen_t n)
{
	const struct timeval most = { .tv_sec = CONNECT_S };

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most));
	if (connect(fd, to, n) == 0)
		return true;
	if (errno == EINPROGRESS)
		errno = ETIMEDOUT;
	return false;
}

static int connect_unix(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	return fd < 0 || connect_to(fd, (const struct sockaddr *)&to, sizeof(to)) ? fd : -1;
}

static int connect_tcp(const char *host, uint16_t port)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char service[8];
	int fd = -1;

	(void)snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(host, service, &hints, &list) != 0) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	for (const struct addrinfo *a = list; fd < 0 && a; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && !connect_to(fd, a->ai_addr, a->ai_addrlen))
			fd = -1;
	}
	return fd; /* what is open, and the list, go with the process */
}

static void send_line(int line, uint64_t number, int fd, int error)
{
	struct scan_line answer = { .number = number, .error = error };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { &answer, sizeof(answer) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		m.msg_control = control.room;
		m.msg_controllen = sizeof(control.room);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	(void)sendmsg(line, &m,
	              MSG_NOSIGNAL | MSG_DONTWAIT); /* a child that doesn't read waits in vain */
}

static void run_connector(const struct addon *a, uint64_t number, int line)
{
	int fd;

	(void)alarm(LONGEST_S);
	fd = a->path ? connect_unix(a->path) : connect_tcp(a->host, a->port);
	send_line(line, number, fd, fd < 0 ? errno : 0);
	_exit(0);
}

static void start_connector(struct home *h, const struct scan_call *call)
{
	bool known = call->addon < h->addons.count && h->addons.at[call->addon].kind != ADDON_DNSBL;
	pid_t pid = known && h->connectors < CONNECTORS ? fork() : -1;

	if (pid == 0) {
		(void)close(SCAN_FD);
		run_connector(&h->addons.at[call->addon], call->number, h->line);
	}
	if (pid > 0)
		h->connectors++;
	else
		send_line(h->line, call->number, -1, known ? EAGAIN : EINVAL);
}

/* ---- the child ---- */

static void drop_line(struct home *h)
{
	if (h->line >= 0)
		(void)close(h->line);
	h->line = -1;
}

static void start_child(struct home *h, int fd)
{
	int ends[2];
	pid_t pid;

	drop_line(h);
	if (h->child > 0) /* mmd asks for one where it gave up the other */
		(void)kill(h->child, SIGKILL);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
		log_error("no socket for a child"); /* mmd finds the channel closed */
		return;
	}
	pid = fork();
	if (pid == 0) {
		(void)close(SCAN_FD);
		(void)close(ends[0]);
		scan_child_run(&h->addons, fd, ends[1]);
	}
	if (pid < 0)
		log_error("no process for a child");
	(void)close(ends[1]);
	h->line = ends[0];
	h->child = pid;
}

static void reap(struct home *h)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		if (pid == h->child)
			h->child = -1;
		else if (h->connectors) /* or an older child, which only lets one more be made */
			h->connectors--;
	}
}

/* ---- the loop ---- */

/* False: mmd has gone. */
static bool hear_mmd(struct home *h, struct buf *body)
{
	struct err e;
	int fds[CHANNEL_FDS];
	size_t nfds;
	unsigned type;

	if (channel_get(SCAN_FD, &type, body, fds, &nfds, &e) != RC_OK)
		return false;
	if (type == SCAN_START && nfds == 1)
		start_child(h, fds[0]);
	for (size_t i = 0; i < nfds; i++)
		(void)close(fds[i]);
	return true;
}

static void hear_child(struct home *h)
{
	struct scan_call call;
	ssize_t n = recv(h->line, &call, sizeof(call), MSG_DONTWAIT | MSG_TRUNC);

	if (n == (ssize_t)sizeof(call))
		start_connector(h, &call);
	else if (n >= 0 || (errno != EAGAIN && errno != EINTR))
		drop_line(h); /* it has ended, or speaks nonsense */
}

static int serve(struct home *h, struct buf *body)
{
	for (;;) {
		struct pollfd p[2] = { { SCAN_FD, POLLIN, 0 }, { h->line, POLLIN, 0 } };
		int n = poll(p, h->line < 0 ? 1 : 2, h->connectors || h->child > 0 ? REAP_MS : -1);

		reap(h);
		if (n > 0 && p[1].revents)
			hear_child(h);
		if (n > 0 && p[0].revents && !hear_mmd(h, body))
			return 0;
	}
}

static int serve_home(void)
{
	struct home h = { .line = -1, .child = -1 };
	struct buf body;
	struct err e = { 0 };
	int fds[CHANNEL_FDS];
	size_t nfds;
	unsigned type;
	json_t *config = NULL;
	enum rc rc;

	buf_init(&body, SCAN_TEXT);
	rc = channel_get(SCAN_FD, &type, &body, fds, &nfds, &e);
	if (rc == RC_OK)
		rc = json_read(&config, buf_slice(&body), &e);
	if (rc == RC_OK)
		rc = addons_read(&h.addons, config, &e);
	if (rc != RC_OK)
		return 1;
	return serve(&h, &body);
}

int scan_home_main(void)
{
	const struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	clock_init();
	(void)signal(SIGPIPE, SIG_IGN);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		log_error("libcurl doesn't start");
		return 1;
	}
	return serve_home();
}
