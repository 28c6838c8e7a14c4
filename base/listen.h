/*
 * base/listen.h - TCP sockets that wait for connections
 *
 * What     Binds and listens; non-blocking, close-on-exec, SO_REUSEADDR, and TCP_NODELAY, which
 *          accepted connections inherit. An IPv6 socket takes IPv6 alone.
 * Why here The processes that face the world can't bind: mmd does, and hands the socket over.
 * Owner    The caller closes it.
 */
#ifndef MM_BASE_LISTEN_H
#define MM_BASE_LISTEN_H

#include "base/cidr.h"
#include "base/err.h"

/* As bind(2) and listen(2); the error says the system's reason alone. */
enum rc listen_tcp(int *out, const struct ip *ip, uint16_t port, struct err *e) MUST_USE;

#endif
