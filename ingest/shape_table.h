/*
 * ingest/shape_table.h - rows of the tables of shapes; only for the files that have tables
 *
 * STRUCT(Name, MEMBER, ...) defines shape_Name, and so do the others. A member is NEED(Name, Shape) where
 * the model requires it, else MAY; LATER says what it waits for, OURS isn't in the model, NEED_HERE is
 * required by mm alone. What follows the fixed arguments are fields of struct shape.
 */
#ifndef MM_INGEST_SHAPE_TABLE_H
#define MM_INGEST_SHAPE_TABLE_H

#include "ingest/shape.h"

/* Before the include: `static` where no other file uses the tables. */
#ifndef SHAPE_SCOPE
#define SHAPE_SCOPE
#endif

/* clang-format off */

#define MEMBER(text, of, how, wait) { .name = #text, .shape = of, .marks = how, .later = wait }
#define NEED(text, of)        MEMBER(text, &shape_##of, SHAPE_REQUIRED, NULL)
#define NEED_HERE(text, of)   MEMBER(text, &shape_##of, SHAPE_REQUIRED_HERE, NULL)
#define NEED_OURS(text, of)   MEMBER(text, &shape_##of, SHAPE_REQUIRED | SHAPE_OURS, NULL)
#define MAY(text, of)         MEMBER(text, &shape_##of, 0, NULL)
#define OURS(text, of)        MEMBER(text, &shape_##of, SHAPE_OURS, NULL)
#define LATER(text, of, wait) MEMBER(text, &shape_##of, 0, wait)

#define OBJECT(of, what, ...)                                                                      \
	static const struct shape_member of##_members[] = { __VA_ARGS__ };                         \
	SHAPE_SCOPE const struct shape shape_##of = { .name = #of, .kind = what, .members = of##_members }
#define STRUCT(of, ...) OBJECT(of, SHAPE_STRUCT, __VA_ARGS__, { .name = NULL })
#define UNION(of, ...)  OBJECT(of, SHAPE_UNION, __VA_ARGS__, { .name = NULL })
#define EMPTY(of)       OBJECT(of, SHAPE_STRUCT, { .name = NULL })

#define TEXT(of, least, most, ...)                                                                 \
	SHAPE_SCOPE const struct shape shape_##of = {                                              \
		.name = #of, .kind = SHAPE_STRING, .min = least, .max = most, __VA_ARGS__ }
#define WHOLE(of, least, most)                                                                     \
	SHAPE_SCOPE const struct shape shape_##of = {                                              \
		.name = #of, .kind = SHAPE_INT, .min = least, .max = most }
#define ENUM(of, words, ...)                                                                       \
	SHAPE_SCOPE const struct shape shape_##of = {                                              \
		.name = #of, .kind = SHAPE_ENUM, .values = words, __VA_ARGS__ }
#define LIST(of, of_items, least, most, ...)                                                       \
	SHAPE_SCOPE const struct shape shape_##of = {                                              \
		.name = #of, .kind = SHAPE_LIST, .item = &shape_##of_items, .min = least,          \
		.max = most, __VA_ARGS__ }

/* clang-format on */

#endif
