/*
 * ingest/resources_db.h - the tables behind resources.h; for resources.c and resources_apply.c alone
 */
#ifndef MM_INGEST_RESOURCES_DB_H
#define MM_INGEST_RESOURCES_DB_H

#include "ingest/resources.h"

struct resource_kind_info {
	const char *plural; /* member of the file, and the word in the tables */
	const char *id;     /* "RuleSetId" */
	const char *name;   /* "RuleSetName" */
	const char *prefix; /* of ids: "rs-" */
};

extern const struct resource_kind_info resource_kinds[RESOURCE_KINDS];

/* The resource in the snapshot's form: as stored, with its id and Version, an archive with its
 * ArchiveNumber. */
enum rc resource_frame(struct db *control, enum resource_kind kind, struct slice id,
		       int64_t version, struct slice stored, json_t **out,
		       struct err *e) MUST_USE;

#endif
