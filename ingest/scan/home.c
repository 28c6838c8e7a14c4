#include "ingest/scan/serve.h"

#include <curl/curl.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/home.h"
#include "base/log.h"
#include "ingest/scan_wire.h"

#define CONNECT_S 8
#define LONGEST_S 30 /* with a name that is slow */

/* ---- a connection; what is open otherwise goes with the process ---- */

static bool connect_to(int fd, const struct sockaddr *to, socklen_t n, struct err *e)
{
	const struct timeval most = { .tv_sec = CONNECT_S };

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most));
	if (connect(fd, to, n) == 0)
		return true;
	if (errno == EINPROGRESS || errno == EAGAIN)
		errno = ETIMEDOUT;
	(void)err_sys(e, "no connection");
	return false;
}

static int connect_unix(const char *path, struct err *e)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	return connect_to(fd, (const struct sockaddr *)&to, sizeof(to), e) ? fd : -1;
}

static int connect_tcp(const char *host, uint16_t port, struct err *e)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char service[8];
	int fd = -1;
	int bad;

	(void)snprintf(service, sizeof(service), "%u", port);
	bad = getaddrinfo(host, service, &hints, &list);
	if (bad)
		(void)err_set(e, RC_IO, "no address of %s: %s", host, gai_strerror(bad));
	for (const struct addrinfo *a = list; !bad && fd < 0 && a; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (!connect_to(fd, a->ai_addr, a->ai_addrlen, e))
			fd = -1;
	}
	return fd;
}

static void run_connector(const struct addon *a, int channel)
{
	struct err e = { 0 };
	struct err ignored;
	int fd;

	(void)alarm(LONGEST_S);
	fd = a->path ? connect_unix(a->path, &e) : connect_tcp(a->host, a->port, &e);
	if (fd >= 0)
		(void)!channel_put(channel, SCAN_CONNECTED, slice_of(NULL, 0), &fd, 1, &ignored);
	else
		(void)!channel_put(channel, SCAN_NOBODY,
		                   slice_part(slice_str(e.text), 0, SCAN_LINE), NULL, 0, &ignored);
}

/* ---- the home ---- */

static bool prepare(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		return true;
	log_error("libcurl doesn't start");
	return false;
}

static void run(const json_t *config, const json_t *task, int fd, const int extra[HOME_EXTRA])
{
	int64_t place = json_member_int(task, "connect", -1);
	struct addons addons;
	struct err e = { 0 };

	if (addons_read(&addons, config, &e) != RC_OK)
		log_error("%s", e.text);
	else if (place < 0)
		scan_child_run(&addons, fd, extra[0]);
	else if (place < (int64_t)addons.count)
		run_connector(&addons.at[place], fd);
}

int scan_home_main(void)
{
	static const struct home_program program = { "mm-scan", prepare, run };

	return home_main(&program);
}
