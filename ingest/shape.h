/*
 * ingest/shape.h - does a JSON value have the shape that the API's model says?
 *
 * What     Shapes as constant tables (structure, union, list, string with length and pattern, enum,
 *          integer, double, boolean, and what isn't built yet), and one function that checks a value
 *          against a shape.
 * Why      Everything that comes from outside is checked in full before any of it is used, and what
 *          is wrong is named by its path: "RuleSets[0].Rules[1].Name: Member must have length less
 *          than or equal to 32".
 * Unknown  members are refused, so that a misspelled or future one is never silently ignored. A
 *          member that is null counts as absent.
 * Threads  Any; shapes are constant.
 */
#ifndef MM_INGEST_SHAPE_H
#define MM_INGEST_SHAPE_H

#include "base/json.h"

enum shape_kind {
	SHAPE_STRUCT, /* an object with these members */
	SHAPE_UNION,  /* an object with exactly one of these members */
	SHAPE_LIST,
	SHAPE_STRING,
	SHAPE_ENUM,
	SHAPE_INT,
	SHAPE_DOUBLE, /* integers too */
	SHAPE_BOOL,
	SHAPE_LATER, /* known to the API, refused by name */
};

struct shape;

struct shape_member {
	const char *name;
	const struct shape *shape;
	bool required;
};

/* A value of a SHAPE_ENUM; `later` is NULL, or what it waits for. */
struct shape_value {
	const char *name;
	const char *later;
};

struct shape {
	enum shape_kind kind;
	/* Characters of a string, items of a list, the range of an integer. max 0: no upper bound. */
	int64_t min;
	int64_t max;
	bool unique; /* items of a list */
	const struct shape_member *members; /* ends with a NULL name */
	const struct shape *item;
	const struct shape_value *values; /* ends with a NULL name */
	const char *later; /* SHAPE_LATER: "it comes with the outbound queue" */
	/* Strings: as shown in the message, and what decides. `fault` returns NULL or what is wrong. */
	const char *pattern;
	bool (*matches)(struct slice text);
	const char *(*fault)(struct slice text);
};

/* A place in a document; on the stack of who walks it. */
struct shape_path {
	const struct shape_path *up;
	const char *member; /* or NULL: an item */
	size_t index;
};

/* `path` is where `value` stands, or NULL. RC_INVALID with path and rule. */
enum rc shape_check(const struct shape *shape, const json_t *value, const struct shape_path *path,
		    struct err *e) MUST_USE;
/* RC_INVALID with "path: text". */
enum rc shape_fault(struct err *e, const struct shape_path *path, const char *fmt, ...) PRINTF(3, 4);

#endif
