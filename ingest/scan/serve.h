/*
 * ingest/scan/serve.h - mm-scan: its home, who connects, and who speaks to scanners
 *
 * What     The home (base/home.h) has the configured places. A connection is made in a child of its own, which
 *          looks the name up, connects, hands the descriptor on and ends: nobody waits for a slow name or host.
 *          The child that gets it speaks to the scanner. It is confined before its first message: it can make no
 *          socket and connect to nothing, and opens no file. It keeps nothing.
 * Trust    Neither the home nor who connects reads a byte of a scanner's.
 */
#ifndef MM_INGEST_SCAN_SERVE_H
#define MM_INGEST_SCAN_SERVE_H

#include "ingest/addons.h"

/* Until mmd goes; the process's exit status. */
int scan_home_main(void);

/* ---- for ingest/scan alone ---- */

/* In a child of the home: serves mmd at `fd` until it goes. */
void scan_child_run(const struct addons *addons, int fd, int leash);

#endif
