/* tools/mmctl_log.h - "mmctl log": records of the sealed log */
#ifndef MM_TOOLS_MMCTL_LOG_H
#define MM_TOOLS_MMCTL_LOG_H

#include "tools/cli.h"

int cmd_log(struct cli *c);

#endif
