/* tools/mmctl_queue.h - "mmctl queue", "mmctl dead-letter": what waits to be carried out beyond this machine, and
 * what can't be */
#ifndef MM_TOOLS_MMCTL_QUEUE_H
#define MM_TOOLS_MMCTL_QUEUE_H

#include "tools/cli.h"

int cmd_queue(struct cli *c);
int cmd_dead_letter(struct cli *c);
/* A row of their list, which also "mmctl why" gets; `arg` is the struct cli. */
enum rc print_task(void *arg, json_t *row, struct err *e) MUST_USE;

#endif
