/*
 * api/ask.h - a request's query, parsed and bound to its archive
 */
#ifndef MM_API_ASK_H
#define MM_API_ASK_H

#include "api/requests.h"
#include "query/parse.h"
#include "query/run.h"

struct ask {
	struct request            *r;
	struct config             *config;
	const struct archive_info *archive;
	struct match_tree         *tree;
	struct slice               text; /* as typed */
	struct query               query;
	struct query_notes         notes;
	bool                       ids_only;
};

/* From arguments archive, query, sort, limit. ask_end is called also after a failure. */
enum rc ask_begin(struct ask *a, struct request *r, struct err *e) MUST_USE;
void    ask_end(struct ask *a);
json_t *ask_notes(const struct ask *a); /* a new reference: ["column 7: ..."] */

#endif
