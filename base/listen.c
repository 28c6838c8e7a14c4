#include "base/listen.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t address_of(union address *a, const struct ip *ip, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	if (ip->family == 6) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons(port);
		memcpy(&a->v6.sin6_addr, ip->b, 16);
		return sizeof(a->v6);
	}
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = htons(port);
	memcpy(&a->v4.sin_addr, ip->b, 4);
	return sizeof(a->v4);
}

enum rc listen_tcp(int *out, const struct ip *ip, uint16_t port, struct err *e)
{
	union address a;
	socklen_t len = address_of(&a, ip, port);
	int one = 1;
	int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int bad;
	enum rc rc;

	if (fd < 0)
		return err_sys(e, "socket");
	bad = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) ||
	      (ip->family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one))) ||
	      bind(fd, &a.any, len) || listen(fd, BACKLOG);
	if (!bad) {
		*out = fd;
		return RC_OK;
	}
	rc = err_sys(e, "listen");
	(void)close(fd);
	return rc;
}
