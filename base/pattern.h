/*
 * base/pattern.h - does the whole text match a pattern of the API's model?
 *
 * What     The part of regular expressions that the service model uses: characters, ".", classes
 *          ("[a-z_\-]", \d \w \s and \P{C} in them), groups, "|", "?", "*", "+", {n}, {m,n}. A pattern
 *          begins with "^", ends with "$", and is about the whole text. Characters are those of UTF-8,
 *          \d \w \s are ASCII, "." is any character but a line break; of \P{C} ("no control character")
 *          the controls of Unicode (Cc) are left out, other invisible ones are not known here.
 * Why      The text of a pattern in the table of shapes is what decides, so it can be compared with
 *          the model's; and the time is bounded: all ways are followed at once (Thompson), no text makes
 *          it try one after the other.
 * Patterns are constants of ours; a wrong one ends the process (MUST), as a test of all finds.
 * Threads  Any.
 */
#ifndef MM_BASE_PATTERN_H
#define MM_BASE_PATTERN_H

#include <stdbool.h>

#include "base/slice.h"

/* `text` is UTF-8. */
bool pattern_matches(const char *pattern, struct slice text);

#endif
