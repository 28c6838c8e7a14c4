/*
 * ingest/tags.h - tags of resources, by the resource's id
 *
 * What     Up to TAGS_MOST pairs of key and value for each resource; they go with it. Shapes are those
 *          of the API (ingest/shape_resources.h, shape_tags, shape_tag_keys).
 * Inside   a transaction of the caller, but for reading.
 * Threads  As the struct db: one at a time.
 * On disk  docs/formats.md, "Resources"
 */
#ifndef MM_INGEST_TAGS_H
#define MM_INGEST_TAGS_H

#include "base/json.h"
#include "store/db.h"

#define TAGS_MOST 200

enum rc tags_open(struct db *control, struct err *e) MUST_USE;
/* [{"Key","Value"}] in the order of their keys. */
enum rc tags_list(struct db *control, struct slice id, json_t **out, struct err *e) MUST_USE;
/* Adds, or gives a new value. Of a key that is there twice the last one counts. RC_LIMIT past
 * TAGS_MOST. `changed` becomes true when something did. */
enum rc tags_add(struct db *control, struct slice id, const json_t *tags, bool *changed,
		 struct err *e) MUST_USE;
/* `keys` is a list of texts; those that aren't there don't matter. */
enum rc tags_remove(struct db *control, struct slice id, const json_t *keys, bool *changed,
		    struct err *e) MUST_USE;
/* From now on exactly these. */
enum rc tags_replace(struct db *control, struct slice id, const json_t *tags, bool *changed,
		     struct err *e) MUST_USE;
enum rc tags_drop(struct db *control, struct slice id, struct err *e) MUST_USE;

#endif
