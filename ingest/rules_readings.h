/*
 * ingest/rules_readings.h - the texts of a message that a condition compares; for ingest/rules_run.c alone
 */
#ifndef MM_INGEST_RULES_READINGS_H
#define MM_INGEST_RULES_READINGS_H

#include "ingest/rule_set.h"

/* Gets one reading after the other until it returns true. */
struct reader_of {
	bool (*see)(void *arg, const char *what, struct slice text);
	void *arg;
};

bool text_hits(const struct rule_condition *c, struct slice text);
/* True: `to` took one. Conditions about other things have no text. */
bool message_readings(const struct rule_condition *c, const struct rule_facts *f, const struct reader_of *to);

#endif
