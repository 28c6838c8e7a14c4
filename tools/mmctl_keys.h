/* tools/mmctl_keys.h - "mmctl dkim" and "mmctl secret": what mm signs with, and what it says to relays */
#ifndef MM_TOOLS_MMCTL_KEYS_H
#define MM_TOOLS_MMCTL_KEYS_H

#include "tools/cli.h"

int cmd_dkim(struct cli *c);
int cmd_secret(struct cli *c);

#endif
