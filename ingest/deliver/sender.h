/*
 * ingest/deliver/sender.h - the child of mm-deliver that hands mail to other servers (ingest/outbound.h)
 *
 * What     Looks names up (libunbound), keeps a pool of lines to destinations (pool.c), and serves mmd's channel
 *          (ingest/outbound_wire.h) until that closes. It confines itself before its first byte from outside: TCP to
 *          the ports of its task, of DNS and of MTA-STS, UDP, and nothing else: no file, no thread. It keeps
 *          nothing; of mail it holds what is under way, of secrets the credentials of the relays for which it has a
 *          message.
 * Threads  One, with a loop.
 */
#ifndef MM_INGEST_DELIVER_SENDER_H
#define MM_INGEST_DELIVER_SENDER_H

#include "base/json.h"

/* In a child of the home. `config` is the home's member "sender", `task` the task's. */
void sender_run(const json_t *config, const json_t *task, int fd, int leash);

#endif
