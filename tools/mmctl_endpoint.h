/*
 * tools/mmctl_endpoint.h - mmctl --endpoint: mmd asked over its control API, in place of its socket
 *
 * What     Requests of apply, call, dump, passwd, show, status and wait become operations (api/model.h), each a
 *          call of tools/mmctl_http. What fails reads as over the socket, with the exception's name in front.
 * Key      From --credentials FILE, which nobody else may read, or the environment, which is wiped: it isn't
 *          to be seen in /proc. It is never an argument, and is wiped at the end.
 */
#ifndef MM_TOOLS_MMCTL_ENDPOINT_H
#define MM_TOOLS_MMCTL_ENDPOINT_H

#include "tools/cli.h"

struct endpoint;

/* With --endpoint: from now on cli_ask of `c` asks there; ends the program (2, 3) when the command can't, or
 * when an option or the key is wrong. Without: NULL. */
struct endpoint *endpoint_use(struct cli *c);
void endpoint_close(struct endpoint **ep); /* NULL is fine */

#endif
