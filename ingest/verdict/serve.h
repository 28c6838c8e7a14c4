/*
 * ingest/verdict/serve.h - mm-verdict: its home, and the child that judges
 *
 * What     The home (base/home.h) knows where lookups go, and makes a child when mmd asks for one. The child reads
 *          what it needs, confines itself, and hears batches of messages (ingest/verdict_wire.h). One
 *          message a round of
 *          the loop is read and hashed; when all of a batch are, its memory goes. Then its lookups are under way; when
 *          all answers are there, or its time is over, its verdict is said.
 * Bounds   VERDICT_UNDER_WAY messages; CPU_MS of processor time for one step, then SIGPROF ends the
 *          child, and mmd knows of which message; its address space.
 * Threads  The loop's.
 */
#ifndef MM_INGEST_VERDICT_SERVE_H
#define MM_INGEST_VERDICT_SERVE_H

/* The exit status. */
int verdict_home_main(void);

#endif
