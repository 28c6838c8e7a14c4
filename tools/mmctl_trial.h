/*
 * tools/mmctl_trial.h - mmctl explain and mmctl replay: what a rule set does, and would do
 */
#ifndef MM_TOOLS_MMCTL_TRIAL_H
#define MM_TOOLS_MMCTL_TRIAL_H

#include "tools/cli.h"

/* explain --rule-set NAME|FILE --message ID|FILE: rule by rule, condition by condition. */
int cmd_explain(struct cli *c);
/* replay --rule-set NAME|FILE --archive NAME [QUERY]...: exit 1 when a message could not be judged. */
int cmd_replay(struct cli *c);

#endif
