/*
 * tools/mmctl_call.h - mmctl call and mmctl dump: the control API from a shell
 */
#ifndef MM_TOOLS_MMCTL_CALL_H
#define MM_TOOLS_MMCTL_CALL_H

#include "tools/cli.h"

/* call OPERATION [JSON|@FILE|-]: exit 1 when the API refuses. */
int cmd_call(struct cli *c);
/* dump: all resources as a file that apply takes. */
int cmd_dump(struct cli *c);

#endif
