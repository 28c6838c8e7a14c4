/*
 * ingest/deliver/serve.h - mm-deliver: its home, and a child for each export
 *
 * What     The home hears the endpoint once, then makes a child for each START and reaps none (the kernel
 *          does). It ends with its channel. A child looks names up, confines itself, serves one channel
 *          (ingest/deliver_wire.h), and takes back what isn't ended when that closes.
 * Threads  None.
 */
#ifndef MM_INGEST_DELIVER_SERVE_H
#define MM_INGEST_DELIVER_SERVE_H

/* The exit status. */
int deliver_home_main(void);

#endif
