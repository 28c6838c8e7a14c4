/*
 * tools/mmctl_why.h - mmctl why and mmctl list: what became of messages
 */
#ifndef MM_TOOLS_MMCTL_WHY_H
#define MM_TOOLS_MMCTL_WHY_H

#include "tools/cli.h"

/* why ID */
int cmd_why(struct cli *c);
/* list [--disposition WORD] [--limit N]: those that are in no archive, and erased ones. */
int cmd_list(struct cli *c);

#endif
