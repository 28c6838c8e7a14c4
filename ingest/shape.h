/*
 * ingest/shape.h - does a JSON value have the shape that the API's model says?
 *
 * What     Shapes as constant tables (structure, union, list, text with length and pattern, enumeration,
 *          numbers, timestamp), and one function that checks a value against a shape.
 * Why      Everything that comes from outside is checked in full before any of it is used, and what
 *          is wrong is named by its path: "RuleSets[0].Rules[1].Name: Member must have length less
 *          than or equal to 32". No text of a value is ever in it.
 * Who asks decides by `how`. What people write by hand and what is stored (SHAPE_STRICT): a member that
 *          isn't known is an error, so that a misspelled or future one is never silently ignored; what
 *          mm adds to the model is allowed; the service's quotas of items hold, but with SHAPE_OPEN (what
 *          is stored: it was judged by the profile of its day). The API (SHAPE_API): as the service does
 *          it, what isn't known is ignored; quotas are for the operations. In both, what isn't built yet
 *          is refused by name, and a member that is null counts as absent.
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
	SHAPE_DOUBLE,    /* integers too */
	SHAPE_TIMESTAMP, /* an integer: milliseconds since 1970 */
	SHAPE_BOOL,
};

enum shape_how {
	SHAPE_STRICT = 0,
	SHAPE_API = 1,  /* as the service does it */
	SHAPE_MORE = 2, /* with values of enumerations, and of numbers, that mm adds */
	SHAPE_OPEN = 4, /* without quotas */
};

enum shape_mark {
	SHAPE_REQUIRED = 1,
	SHAPE_REQUIRED_HERE = 2, /* mm asks for it, the model doesn't */
	SHAPE_OURS = 4,          /* not in the model */
};

struct shape;

struct shape_member {
	const char *name;
	const struct shape *shape;
	unsigned marks;
	const char *later; /* NULL, or what it waits for: "it comes with the outbound queue" */
};

struct shape {
	const char *name; /* in the model */
	enum shape_kind kind;
	bool unique;    /* items of a list */
	bool sensitive; /* not to be logged */
	/* Characters of a text, items of a list, the range of an integer. max 0: no upper bound. */
	int64_t min;
	int64_t max;
	int64_t max_more;                   /* of an integer under SHAPE_MORE; 0: max holds */
	int64_t quota;                      /* items of a list; 0: none */
	const struct shape_member *members; /* ends with a NULL name */
	const struct shape *item;
	const char *pattern; /* of a text: base/pattern.h; the model's word for word */
	/* What mm asks of a text beyond the model: NULL or what is wrong. It decides in the pattern's place
	 * under SHAPE_STRICT, beside it under SHAPE_API. */
	const char *(*fault)(struct slice text);
	/* Of an enumeration, a blank between two: the model's values, ours (SHAPE_MORE), and those of the
	 * model that are refused by name, with the reason. */
	const char *values;
	const char *more;
	const char *not_yet;
	const char *later;
};

/* A place in a document; on the stack of who walks it. */
struct shape_path {
	const struct shape_path *up;
	const char *member; /* or NULL: an item */
	size_t index;
};

/* `path` is where `value` stands, or NULL; `how` of enum shape_how. RC_INVALID with path and rule. */
enum rc shape_check(const struct shape *shape, const json_t *value, const struct shape_path *path,
		    unsigned how, struct err *e) MUST_USE;
/* The member of that name, or NULL. */
const struct shape_member *shape_member(const struct shape *shape, const char *name);
/* RC_INVALID with "path: text". */
enum rc shape_fault(struct err *e, const struct shape_path *path, const char *fmt, ...) PRINTF(3, 4);

#endif
