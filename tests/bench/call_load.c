/*
 * tests/bench/call_load.c - one client of the control API, at a steady rate
 *
 * call_load PORT RATE: sends what it reads from standard input, a whole signed request, RATE times
 * a second over one connection to 127.0.0.1:PORT, each when the one before is answered, until it
 * gets SIGTERM. Then it prints how many were answered. Anything but a 200 ends it with status 1. A
 * read may be sent again for as long as its signature lives (5 minutes).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROOM 65536

static volatile sig_atomic_t over;

static void on_term(int signal)
{
	(void)signal;
	over = 1;
}

static void die(const char *what)
{
	(void)fprintf(stderr, "call_load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int connect_to(long port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		                 .sin_port = htons((uint16_t)port),
		                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof(a)) != 0)
		die("connect");
	return fd;
}

/* Head and body; how long they are together, 0 while they aren't there yet. */
static size_t answer_length(const char *at, size_t len)
{
	static const char field[] = "\r\nContent-Length: ";
	const char *body = memmem(at, len, "\r\n\r\n", 4);
	const char *length = memmem(at, len, field, strlen(field));

	if (!body)
		return 0;
	if (len < 12 || memcmp(at, "HTTP/1.1 200", 12) != 0 || !length || length > body) {
		(void)fprintf(stderr, "call_load: %.*s\n", (int)len, at);
		exit(1);
	}
	return (size_t)(body + 4 - at) + strtoul(length + strlen(field), NULL, 10);
}

static void call(int fd, const char *request, size_t len)
{
	char answer[ROOM];
	size_t got = 0;
	size_t whole = 0;

	if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
		die("send");
	while (whole == 0 || got < whole) {
		ssize_t n = recv(fd, answer + got, sizeof(answer) - got, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			die("receive");
		got += (size_t)n;
		whole = answer_length(answer, got);
	}
}

/* From 1 to `most`; 0 for anything else. */
static long number(const char *text, long most)
{
	char *end;
	long n = strtol(text, &end, 10);

	return end > text && !*end && n >= 1 && n <= most ? n : 0;
}

int main(int argc, char **argv)
{
	char request[ROOM];
	struct sigaction term = { .sa_handler = on_term };
	struct timespec next;
	unsigned long made = 0;
	size_t len;
	long gap;
	int fd;
	long port = argc == 3 ? number(argv[1], 65535) : 0;
	long rate = argc == 3 ? number(argv[2], 1000000) : 0;

	if (!port || !rate) {
		(void)fprintf(stderr, "usage: call_load PORT RATE <REQUEST\n");
		return 2;
	}
	len = fread(request, 1, sizeof(request), stdin);
	gap = 1000000000L / rate;
	(void)sigaction(SIGTERM, &term, NULL);
	fd = connect_to(port);
	(void)clock_gettime(CLOCK_MONOTONIC, &next); /* tidy: a bench's own pace */
	while (!over) {
		call(fd, request, len);
		made++;
		next.tv_nsec += gap;
		next.tv_sec += next.tv_nsec / 1000000000L;
		next.tv_nsec %= 1000000000L;
		while (!over &&
		       clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR)
			;
	}
	(void)close(fd);
	(void)printf("%lu\n", made);
	return 0;
}
