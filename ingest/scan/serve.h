/*
 * ingest/scan/serve.h - mm-scan: its home, and the child that speaks to scanners
 *
 * What     The home has the configured places and mmd's channel. It makes a child when mmd asks, and for each scan a
 *          connection, in a process of its own that looks the name up, connects, hands the descriptor to the child and ends:
 *          so neither waits for a slow name or a slow host. The child is confined before its first message: it can make no
 *          socket and connect to nothing, and gets connections by an add-on's number alone. It keeps nothing.
 * Trust    The home reads from the child numbers of a fixed length, and no byte from outside.
 * Bounds   128 processes that connect at a time, 30 seconds each; what the child holds is what mmd lets it have under way.
 */
#ifndef MM_INGEST_SCAN_SERVE_H
#define MM_INGEST_SCAN_SERVE_H

#include "ingest/addons.h"

/* Until mmd goes; the process's exit status. */
int scan_home_main(void);

/* ---- for ingest/scan alone ---- */

/* In a process of its own: serves mmd at `fd`, gets connections at `line`, and doesn't return. */
void scan_child_run(const struct addons *addons, int fd, int line) __attribute__((noreturn));

#endif
