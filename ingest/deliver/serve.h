/*
 * ingest/deliver/serve.h - mm-deliver: its home, and a child for each export
 *
 * What     The home (base/home.h) hears the endpoint, and makes a child for each export. A child looks names up,
 *          confines itself, serves one channel (ingest/deliver_wire.h), and takes back what isn't ended when
 *          that closes.
 * Threads  None.
 */
#ifndef MM_INGEST_DELIVER_SERVE_H
#define MM_INGEST_DELIVER_SERVE_H

/* The exit status. */
int deliver_home_main(void);

#endif
