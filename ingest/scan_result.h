/*
 * ingest/scan_result.h - what an add-on's instance says of a message
 *
 * What     {"verdict":"PASS","fields":{"isPassed":true,"category":"CLEAN"}}, or
 *          {"verdict":"PROCESSING_FAILED","why":"..."}. A scanner's words come from outside, and so do those
 *          of mm-scan, which hears them: both are read here, and what is kept is made anew. The receipt of
 *          a message has them as "addons":{"<instance id>":{...}}; docs/scanners.md names the fields.
 * Texts    Printable ASCII; what isn't becomes '?'. Numbers become texts, for rules compare those.
 * Names    Of fields: letters, digits, '_' and blanks, as a ResultField may have. They are found without case,
 *          blanks and '_': "is passed", "is_passed" and "isPassed" are one field.
 * Threads  Pure functions.
 */
#ifndef MM_INGEST_SCAN_RESULT_H
#define MM_INGEST_SCAN_RESULT_H

#include "base/json.h"
#include "ingest/rules.h"

#define SCAN_FIELDS     32
#define SCAN_FIELD_NAME 64
#define SCAN_FIELD_TEXT 2048
#define SCAN_WHY        160

/* A new reference; isPassed is added where it isn't given. RC_INVALID: it is no result. */
enum rc scan_result_read(json_t **out, const json_t *from, struct err *e) MUST_USE;
/* PROCESSING_FAILED; `why` is for people. */
json_t *scan_result_failed(const char *why);
/* A text as it is kept; at most `most` bytes of it. */
json_t *scan_result_text(struct slice s, size_t most);

/* For rules (rule_facts.analysis): what the instance says in that field, by the receipt's "addons", which may be
 * NULL. "verdict", and "result" where no field has that name, are the verdict. Its text lives as long as `addons`. */
struct rule_result scans_field(const json_t *addons, struct slice instance, struct slice field);

/* Is it the same name of a field? */
bool scans_same_field(struct slice a, struct slice b);

#endif
