/*
 * tests/bench/smtp_load.c - an SMTP load generator for tests/bench/run
 *
 *   smtp_load [--tls] [--sessions N] [--messages N | --seconds S] [--rate R] [--each]
 *             [--size BYTES | --files FILE] [--log FILE] PORT
 *
 * Sends to 127.0.0.1:PORT over N connections (50), one command at a time as smtp-source does: MAIL,
 * RCPT, DATA, the message. One thread and epoll. --tls: after STARTTLS, TLS 1.3 alone. --each: a
 * connection each message. --files: FILE names one message a line; they are sent in that order,
 * over and over; line ends become CRLF. Else messages of --size bytes (4096), lines of X.
 * --rate: so many a second, each at its time. --log: a line "NANOSECONDS ID" for each 250 after
 * the data (CLOCK_MONOTONIC, and the id that mm says). Prints one JSON object.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ULL

struct bytes {
	char *at;
	size_t len;
};

/* What the session waits for the reply to. */
enum state { IDLE, GREETING, EHLO, STARTTLS, HANDSHAKE, MAIL, RCPT, DATA, BODY, RSET, QUIT };

struct session {
	int fd;
	SSL *ssl;
	enum state state;
	char in[4096];
	size_t in_len;
	struct bytes out; /* not owned; what is left to send */
	size_t number;    /* of the message */
	struct session *next;
};

static struct {
	bool tls, each;
	unsigned sessions, port;
	uint64_t messages, seconds, size;
	double rate;
	FILE *log;
} opt = { .sessions = 50, .messages = 1000, .size = 4096 };

static struct bytes *messages;
static size_t message_count;
static SSL_CTX *tls;
static char tls_version[32] = "none";
static int poller;
static struct session *idle;
static unsigned working;
static uint64_t began, ended, started, accepted, refused, lost, bytes_sent, losses;
static unsigned refusals[1000];

static void die(const char *what)
{
	fprintf(stderr, "smtp_load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *need(void *p)
{
	if (!p)
		die("memory");
	return p;
}

static uint64_t now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* --- messages --- */

/* As it goes over the wire: CRLF, dots doubled, the end of data behind it. */
static struct bytes wire_form(const char *at, size_t len)
{
	struct bytes out = { .at = need(malloc(2 * len + 8)) };
	bool start = true;

	for (size_t i = 0; i < len; i++) {
		char c = at[i];

		if (start && c == '.')
			out.at[out.len++] = '.';
		start = c == '\n' || (c == '\r' && (i + 1 == len || at[i + 1] != '\n'));
		if (start) {
			out.at[out.len++] = '\r';
			out.at[out.len++] = '\n';
		} else if (c != '\r') {
			out.at[out.len++] = c;
		}
	}
	if (!start) {
		memcpy(out.at + out.len, "\r\n", 2);
		out.len += 2;
	}
	memcpy(out.at + out.len, ".\r\n", 3);
	out.len += 3;
	out.at = need(realloc(out.at, out.len));
	return out;
}

static struct bytes read_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct bytes b = { 0 };
	struct bytes wire;

	if (!f || fseek(f, 0, SEEK_END) < 0)
		die(path);
	b.len = (size_t)ftell(f);
	rewind(f);
	b.at = need(malloc(b.len + 1));
	if (fread(b.at, 1, b.len, f) != b.len)
		die(path);
	(void)fclose(f);
	wire = wire_form(b.at, b.len);
	free(b.at);
	return wire;
}

static void read_files(const char *list)
{
	FILE *f = fopen(list, "r");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	if (!f)
		die(list);
	while ((n = getline(&line, &room, f)) > 0) {
		line[n - (line[n - 1] == '\n')] = '\0';
		messages = need(realloc(messages, (message_count + 1) * sizeof(*messages)));
		messages[message_count++] = read_file(line);
	}
	free(line);
	(void)fclose(f);
	if (message_count == 0)
		die("no messages");
}

static void make_message(void)
{
	static const char head[] =
	        "From: <s@out.example>\r\nTo: <a@corp.example>\r\nSubject: X\r\n\r\n";
	char *text = need(malloc(opt.size + sizeof(head) + 80));
	size_t len = sizeof(head) - 1;

	memcpy(text, head, len);
	while (len < opt.size) {
		for (int i = 0; i < 78; i++)
			text[len++] = 'X';
		text[len++] = '\r';
		text[len++] = '\n';
	}
	messages = need(malloc(sizeof(*messages)));
	messages[0] = wire_form(text, len);
	message_count = 1;
	free(text);
}

/* --- one session --- */

static void step(struct session *s);

static bool again(const struct session *s, int n)
{
	if (!s->ssl)
		return errno == EAGAIN || errno == EWOULDBLOCK;
	n = SSL_get_error(s->ssl, n);
	return n == SSL_ERROR_WANT_READ || n == SSL_ERROR_WANT_WRITE;
}

static void connect_session(struct session *s)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port) };
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = s };
	int one = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("connect");
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)fcntl(s->fd, F_SETFL, O_NONBLOCK);
	if (epoll_ctl(poller, EPOLL_CTL_ADD, s->fd, &ev) < 0)
		die("epoll_ctl");
	s->state = GREETING;
	s->in_len = 0;
	s->out.len = 0;
}

static void disconnect(struct session *s)
{
	SSL_free(s->ssl);
	s->ssl = NULL;
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
}

/* False when the connection is lost. */
static bool flush(struct session *s)
{
	while (s->out.len) {
		int part = s->out.len > 1 << 20 ? 1 << 20 : (int)s->out.len;
		int n = s->ssl ? SSL_write(s->ssl, s->out.at, part)
		               : (int)send(s->fd, s->out.at, (size_t)part, MSG_NOSIGNAL);

		if (n <= 0)
			return again(s, n);
		s->out.at += n;
		s->out.len -= (size_t)n;
	}
	return true;
}

static void say(struct session *s, const char *text, enum state waits)
{
	static char room[128]; /* commands are short and go at once, or the connection is lost */

	(void)snprintf(room, sizeof(room), "%s", text);
	s->out = (struct bytes) { room, strlen(room) };
	s->state = waits;
	if (!flush(s))
		s->out.len = 0; /* the read says that it is lost */
	if (s->out.len)
		die("a command that is not taken at once");
}

/* May another message start now? */
static bool due(void)
{
	uint64_t t = now();

	if (opt.seconds ? t - began >= opt.seconds * SECOND : started >= opt.messages)
		return false;
	return opt.rate <= 0 || (double)(t - began) * opt.rate >= (double)started * (double)SECOND;
}

static bool over(void)
{
	return opt.seconds ? now() - began >= opt.seconds * SECOND : started >= opt.messages;
}

static void next_message(struct session *s)
{
	if (due()) {
		if (s->fd < 0) {
			connect_session(s);
			return;
		}
		s->number = started++;
		say(s, "MAIL FROM:<s@out.example>\r\n", MAIL);
	} else if (over()) {
		if (s->fd >= 0)
			say(s, "QUIT\r\n", QUIT);
		else
			working--;
	} else {
		s->state = IDLE;
		s->next = idle;
		idle = s;
	}
}

/* The word of the reply that is as long as mm's ids. */
static const char *id_of(char *reply)
{
	char *word;

	while ((word = strsep(&reply, " .\r\n")) != NULL) {
		if (strlen(word) == 26)
			return word;
	}
	return "-";
}

static void count_reply(struct session *s, unsigned code)
{
	uint64_t t = now();

	if (code / 100 != 2) {
		refused++;
		refusals[code < 1000 ? code : 0]++;
		return;
	}
	accepted++;
	ended = t;
	bytes_sent += messages[s->number % message_count].len;
	if (opt.log)
		fprintf(opt.log, "%" PRIu64 " %s\n", t, id_of(s->in));
}

static void after_data(struct session *s, unsigned code)
{
	count_reply(s, code);
	if (opt.each)
		say(s, "QUIT\r\n", QUIT);
	else
		next_message(s);
}

static void lose(struct session *s)
{
	if (s->state >= MAIL && s->state <= BODY)
		lost++;
	if (++losses > 1000)
		die("connections are lost again and again");
	disconnect(s);
	next_message(s);
}

/* A reply is complete. */
static void replied(struct session *s, unsigned code)
{
	bool good = code / 100 == 2 || code == 354;

	s->in_len = 0;
	if (!good && (s->state == MAIL || s->state == RCPT || s->state == DATA)) {
		count_reply(s, code);
		say(s, "RSET\r\n", RSET);
	} else if (s->state == GREETING) {
		say(s, "EHLO load.example\r\n", EHLO);
	} else if (s->state == EHLO && opt.tls && !s->ssl) {
		say(s, "STARTTLS\r\n", STARTTLS);
	} else if (s->state == STARTTLS) {
		s->ssl = need(SSL_new(tls));
		(void)SSL_set_fd(s->ssl, s->fd);
		SSL_set_connect_state(s->ssl);
		s->state = HANDSHAKE;
	} else if (s->state == EHLO || s->state == RSET) {
		next_message(s);
	} else if (s->state == MAIL) {
		say(s, "RCPT TO:<a@corp.example>\r\n", RCPT);
	} else if (s->state == RCPT) {
		say(s, "DATA\r\n", DATA);
	} else if (s->state == DATA) {
		s->state = BODY;
		s->out = messages[s->number % message_count];
	} else if (s->state == BODY) {
		after_data(s, code);
	} else if (s->state == QUIT) {
		disconnect(s);
		next_message(s);
	}
}

/* The code of a complete reply in s->in (its last line is "NNN text"), or 0. */
static unsigned complete(struct session *s)
{
	char *line = s->in;
	char *end;

	s->in[s->in_len] = '\0';
	while ((end = strchr(line, '\n')) != NULL) {
		if (end - line >= 4 && line[3] != '-') {
			(void)memmove(s->in, line, strlen(line) + 1);
			return (unsigned)strtoul(s->in, NULL, 10);
		}
		line = end + 1;
	}
	return 0;
}

static bool handshake(struct session *s)
{
	int n = SSL_do_handshake(s->ssl);

	if (n == 1) {
		(void)snprintf(tls_version, sizeof(tls_version), "%s", SSL_get_version(s->ssl));
		say(s, "EHLO load.example\r\n", EHLO);
		return true;
	}
	if (!again(s, n))
		die("TLS handshake");
	return false;
}

/* Everything that can be done until the socket would block. */
static void step(struct session *s)
{
	while (s->fd >= 0 && s->state != IDLE) {
		size_t room = sizeof(s->in) - 1 - s->in_len;
		enum state before;
		unsigned code;
		int n;

		if (s->state == HANDSHAKE && !handshake(s))
			return;
		if (!flush(s)) {
			lose(s);
			return;
		}
		if (s->state == BODY && s->out.len)
			return;
		n = s->ssl ? SSL_read(s->ssl, s->in + s->in_len, (int)room)
		           : (int)recv(s->fd, s->in + s->in_len, room, 0);
		if (n <= 0) {
			if (n < 0 && again(s, n))
				return;
			lose(s);
			return;
		}
		s->in_len += (size_t)n;
		code = complete(s);
		before = s->state;
		if (code)
			replied(s, code);
		/* A reply was all there was to read; what comes after it wakes us. */
		if (!s->ssl && s->state != BODY && before != QUIT)
			return;
	}
}

/* --- all of them --- */

static void wake_idle(void)
{
	while (idle && (due() || over())) {
		struct session *s = idle;

		idle = s->next;
		next_message(s);
	}
}

static void run(void)
{
	struct session *all = need(calloc(opt.sessions, sizeof(*all)));
	struct epoll_event events[64];

	began = now();
	working = opt.sessions;
	for (unsigned i = 0; i < opt.sessions; i++) {
		all[i].fd = -1;
		connect_session(&all[i]);
	}
	while (working) {
		int n = epoll_wait(poller, events, 64, idle ? 1 : 1000);

		for (int i = 0; i < n; i++)
			step(events[i].data.ptr);
		wake_idle();
	}
	free(all);
}

static void options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "tls", no_argument, 0, 't' },
		{ "sessions", required_argument, 0, 's' },
		{ "messages", required_argument, 0, 'm' },
		{ "seconds", required_argument, 0, 'S' },
		{ "rate", required_argument, 0, 'r' },
		{ "each", no_argument, 0, 'e' },
		{ "size", required_argument, 0, 'l' },
		{ "files", required_argument, 0, 'f' },
		{ "log", required_argument, 0, 'L' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 't')
			opt.tls = true;
		else if (c == 'e')
			opt.each = true;
		else if (c == 's')
			opt.sessions = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'm')
			opt.messages = strtoull(optarg, NULL, 10);
		else if (c == 'S')
			opt.seconds = strtoull(optarg, NULL, 10);
		else if (c == 'r')
			opt.rate = strtod(optarg, NULL);
		else if (c == 'l')
			opt.size = strtoull(optarg, NULL, 10);
		else if (c == 'f')
			read_files(optarg);
		else if (c != 'L' || !(opt.log = fopen(optarg, "w")))
			exit(2);
	}
	if (optind + 1 != argc)
		exit(2);
	opt.port = (unsigned)strtoul(argv[optind], NULL, 10);
}

static void report(void)
{
	double seconds = (double)(ended - began) / (double)SECOND;

	printf("{\"accepted\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"lost\":%" PRIu64, accepted,
	       refused, lost);
	printf(",\"bytes\":%" PRIu64 ",\"seconds\":%.3f,\"rate\":%.1f", bytes_sent, seconds,
	       ended ? (double)accepted / seconds : 0.0);
	printf(",\"began\":%" PRIu64 ",\"tls\":\"%s\",\"refusals\":{", began, tls_version);
	for (unsigned i = 0, any = 0; i < 1000; i++) {
		if (refusals[i])
			printf("%s\"%u\":%u", any++ ? "," : "", i, refusals[i]);
	}
	printf("}}\n");
}

int main(int argc, char **argv)
{
	options(argc, argv);
	if (!messages)
		make_message();
	(void)signal(SIGPIPE, SIG_IGN);
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (opt.tls) {
		tls = need(SSL_CTX_new(TLS_client_method()));
		(void)SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
		(void)SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
		                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
		SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL); /* a test certificate of our own */
	}
	run();
	if (opt.log)
		(void)fclose(opt.log);
	report();
	return lost ? 1 : 0;
}
