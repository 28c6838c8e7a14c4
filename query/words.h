/*
 * query/words.h - the field names of the query language and their values (inside query/)
 */
#ifndef MM_QUERY_WORDS_H
#define MM_QUERY_WORDS_H

#include "base/err.h"
#include "index/doc_verdict.h"
#include "index/match.h"

enum word_kind {
	WORD_TEXT, /* words in `fields` */
	WORD_RECEIVED,
	WORD_SENT,
	WORD_AFTER,
	WORD_BEFORE,
	WORD_OLDER_THAN,
	WORD_NEWER_THAN,
	WORD_SIZE,
	WORD_LARGER,
	WORD_SMALLER,
	WORD_HAS,
	WORD_HAS_ATTACHMENT,
	WORD_VERDICT, /* of the kind in `fields` (enum doc_verdict) */
	WORD_ID,
	WORD_MSGID,
	WORD_INGRESS,
	WORD_IP,
	WORD_SHA256,
};

struct word {
	const char    *name;
	enum word_kind kind;
	uint32_t       fields;
};

/* NULL when there is no such field. Names have no case. */
const struct word *word_find(struct slice name);
/* The name that the canonical text has for these fields; NULL when they have none ("" for all). */
const char *word_of_fields(uint32_t fields);
/* Whether `received>=2024` may stand without a colon. */
bool word_compares(const struct word *w);

enum compare { COMPARE_NONE, COMPARE_LESS, COMPARE_LESS_EQUAL, COMPARE_EQUAL, COMPARE_MORE_EQUAL,
	       COMPARE_MORE };
/* Takes an operator off the front of `s`. */
enum compare compare_take(struct slice *s);

/* The values of typed fields. RC_INVALID with a text that says what is accepted (without column). */
enum rc value_dates(struct slice text, enum compare op, int64_t now_ms, int64_t *low, int64_t *high,
		    struct err *e) MUST_USE;
/* One date: where it begins. For after: and before:. */
enum rc value_date(struct slice text, int64_t now_ms, int64_t *begin, struct err *e) MUST_USE;
/* "2d", "1y": that long before now. */
enum rc value_age(struct slice text, int64_t now_ms, int64_t *when, struct err *e) MUST_USE;
/* `at_least`: the text was a single size, which means "that many bytes or more". */
enum rc value_sizes(struct slice text, enum compare op, int64_t *low, int64_t *high, bool *at_least,
		    struct err *e) MUST_USE;
enum rc value_size(struct slice text, int64_t *bytes, struct err *e) MUST_USE;
enum rc value_has(struct slice text, uint32_t *flags, struct err *e) MUST_USE;
enum rc value_bool(struct slice text, bool *yes, struct err *e) MUST_USE;
/* `kind` becomes DOC_DMARC_ASKS where the word is one that DMARC asks for. */
enum rc value_verdict(struct slice text, enum doc_verdict *kind, uint32_t *bits, struct err *e) MUST_USE;
enum rc value_ip(struct slice text, struct err *e) MUST_USE;
enum rc value_sha256(struct slice text, struct err *e) MUST_USE;
/* Whether the text is the id of a message; `id` gets it in lower case. */
bool value_id(struct slice text, char id[ID_TEXT + 1]);
/* Without blanks and angle brackets around it. */
struct slice value_msgid(struct slice text);

#endif
