/*
 * api/httpd.h - the process that talks to clients of the control API
 *
 * What     Takes the listening socket, certificates and access keys from mmd over its channel, accepts
 *          connections, checks who asks, and passes calls on to mmd (api/http_exchange.h).
 * Confined Enters its sandbox before the first message of mmd: no file, no new socket, no process. It
 *          exits when mmd goes.
 * Threads  One loop.
 */
#ifndef MM_API_HTTPD_H
#define MM_API_HTTPD_H

/* The whole program: returns its exit code. The channel is at HTTP_WIRE_FD. */
int httpd_main(void);

#endif
