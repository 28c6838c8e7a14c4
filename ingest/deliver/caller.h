/*
 * ingest/deliver/caller.h - the child of mm-deliver that makes the requests of actions (ingest/calls.h)
 *
 * What     Looks its endpoints up, confines itself, serves mmd's channel (ingest/calls_wire.h) until that
 *          closes. It holds the endpoints' keys, and of mail the bodies of the calls under way. It connects to
 *          the endpoints' ports only, opens no file, and says where to only as the configuration does: mmd
 *          names an endpoint, and for S3 a bucket in front of its host.
 * Threads  One, with a loop.
 */
#ifndef MM_INGEST_DELIVER_CALLER_H
#define MM_INGEST_DELIVER_CALLER_H

#include "base/json.h"

/* In a child of the home; ends when mmd goes. `config` is the home's. */
void caller_run(const json_t *config, int fd, int leash);

#endif
