/*
 * tools/mmctl_text.h - what mmctl prints for people, of texts that come from mail and other servers
 *
 * Nothing of them steers a terminal: what is no plain character is escaped (text_escape).
 */
#ifndef MM_TOOLS_MMCTL_TEXT_H
#define MM_TOOLS_MMCTL_TEXT_H

#include <jansson.h>

#include "base/slice.h"

void print_text(struct slice text);
/* A member that is a text; nothing where there is none. */
void print_member(const json_t *o, const char *member);
/* Texts, with ", " between them. */
void print_list(const json_t *list);

#endif
