/*
 * tests/unit/verdict/dns_server.h - a DNS server on a loopback port, in a thread
 *
 * What it answers is told by the first label of a name: "txt" (the text `text`), "spf" (v=spf1 ip4:192.0.2.1 -all), "a"
 * (192.0.2.1), "mx", "alias" (an alias of txt.NAME), "none" (no data), "fail" (SERVFAIL), "garbage" (no packet of
 * DNS), "wrong" (another question's answer), "silent" (nothing at all, ever). A name below listed.test has the address
 * 127.0.0.2, one below mute.test no answer; every other name doesn't exist.
 */
#ifndef MM_TESTS_UNIT_VERDICT_DNS_SERVER_H
#define MM_TESTS_UNIT_VERDICT_DNS_SERVER_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/verdict/packet.h"

struct dns_server {
	int fd;
	pthread_t thread;
	char forward[40]; /* "127.0.0.1@PORT" */
	char text[256];
	atomic_uint asked;
	atomic_bool mute; /* hears, and answers nothing */
	pthread_mutex_t lock; /* last */
	char last[256];
};

/* The name that was asked for last. */
static inline void dns_last(struct dns_server *s, char out[256])
{
	MUST(pthread_mutex_lock(&s->lock) == 0);
	memcpy(out, s->last, sizeof(s->last));
	MUST(pthread_mutex_unlock(&s->lock) == 0);
}

static inline bool dns_label(const char *name, const char *label)
{
	size_t n = strlen(label);

	return strncmp(name, label, n) == 0 && (name[n] == '.' || !name[n]);
}

static inline bool dns_below(const char *name, const char *zone)
{
	size_t n = strlen(name);
	size_t z = strlen(zone);

	return n > z + 1 && name[n - z - 1] == '.' && strcmp(name + n - z, zone) == 0;
}

static inline size_t dns_question(const uint8_t *in, size_t len, char name[256], unsigned *type)
{
	size_t at = 12;
	size_t n = 0;

	while (at < len && in[at] && at + 1U + in[at] < len) {
		for (unsigned i = 0; i < in[at] && n < 254; i++)
			name[n++] = (char)in[at + 1 + i];
		at += 1U + in[at];
		if (n < 254)
			name[n++] = '.';
	}
	name[n ? n - 1 : 0] = 0;
	*type = at + 4 < len ? (unsigned)in[at + 1] << 8 | in[at + 2] : 0;
	return at + 5;
}

static inline void dns_records(struct dns_server *s, struct packet *p, const char *name, unsigned type)
{
	char alias[300];

	if (dns_label(name, "txt") && type == DNS_TXT)
		packet_text(p, "@", s->text);
	if (dns_label(name, "spf") && type == DNS_TXT)
		packet_text(p, "@", "v=spf1 ip4:192.0.2.1 -all");
	if (dns_label(name, "a") && type == DNS_A)
		packet_raw(p, "@", DNS_A, slice_of("\300\0\2\1", 4));
	if (dns_below(name, "listed.test") && type == DNS_A)
		packet_raw(p, "@", DNS_A, slice_of("\177\0\0\2", 4));
	if (dns_label(name, "mx") && type == DNS_MX) {
		packet_pointing(p, "@", DNS_MX, 2, 20, "second.example");
		packet_pointing(p, "@", DNS_MX, 2, 10, "first.example");
	}
	if (dns_label(name, "alias")) {
		(void)snprintf(alias, sizeof(alias), "txt.%s", name);
		packet_pointing(p, "@", PACKET_CNAME, 0, 0, alias);
		if (type == DNS_TXT)
			packet_text(p, alias, s->text);
	}
}

static inline unsigned dns_code(const char *name)
{
	static const char *const known[] = { "txt", "spf", "a", "mx", "alias", "none", "wrong" };

	if (dns_label(name, "fail"))
		return 2;
	if (dns_below(name, "listed.test"))
		return 0;
	for (size_t i = 0; i < COUNT(known); i++)
		if (dns_label(name, known[i]))
			return 0;
	return 3;
}

static inline void dns_answer_one(struct dns_server *s, const uint8_t *in, size_t len,
				  const struct sockaddr_in *to)
{
	char name[256] = { 0 };
	unsigned type;
	struct packet p;

	(void)dns_question(in, len, name, &type);
	for (char *c = name; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c | 0x20);
	MUST(pthread_mutex_lock(&s->lock) == 0);
	memcpy(s->last, name, sizeof(name));
	MUST(pthread_mutex_unlock(&s->lock) == 0);
	atomic_fetch_add(&s->asked, 1);
	if (atomic_load(&s->mute) || dns_label(name, "silent") || dns_below(name, "mute.test"))
		return;
	packet_begin(&p, dns_code(name), dns_label(name, "wrong") ? "x.example" : name, type);
	dns_records(s, &p, name, type);
	memcpy(p.bytes.at, in, 2);
	if (dns_label(name, "garbage"))
		p.bytes.len = 20;
	(void)sendto(s->fd, p.bytes.at, p.bytes.len, 0, (const struct sockaddr *)to, sizeof(*to));
	buf_free(&p.bytes);
}

static inline void *dns_serve(void *arg)
{
	struct dns_server *s = arg;
	uint8_t in[4096];
	struct sockaddr_in from;
	socklen_t n = sizeof(from);
	ssize_t len;

	/* One byte ends it: dns_server_stop. */
	while ((len = recvfrom(s->fd, in, sizeof(in), 0, (struct sockaddr *)&from, &n)) != 1) {
		if (len > 16)
			dns_answer_one(s, in, (size_t)len, &from);
		n = sizeof(from);
	}
	return NULL;
}

static inline void dns_server_start(struct dns_server *s)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t n = sizeof(at);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memset(s, 0, sizeof(*s));
	MUST(pthread_mutex_init(&s->lock, NULL) == 0);
	(void)snprintf(s->text, sizeof(s->text), "hello");
	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	MUST(s->fd >= 0 && bind(s->fd, (struct sockaddr *)&at, n) == 0);
	MUST(getsockname(s->fd, (struct sockaddr *)&at, &n) == 0);
	(void)snprintf(s->forward, sizeof(s->forward), "127.0.0.1@%u", ntohs(at.sin_port));
	MUST(pthread_create(&s->thread, NULL, dns_serve, s) == 0);
}

static inline void dns_server_stop(struct dns_server *s)
{
	struct sockaddr_in at;
	socklen_t n = sizeof(at);

	MUST(getsockname(s->fd, (struct sockaddr *)&at, &n) == 0);
	MUST(sendto(s->fd, "", 1, 0, (struct sockaddr *)&at, n) == 1);
	MUST(pthread_join(s->thread, NULL) == 0);
	(void)close(s->fd);
}

#endif
