/*
 * api/model.h - the 60 operations of the control API, and those that mm adds for its own tool
 *
 * What     One table: name, shapes of input and output, who may, which exceptions it lists, how it pages.
 *          It drives routing, decoding, validation, authorisation, the answer, and docs/api.md.
 * Ours     What mmctl --endpoint asks beside them, as requests on the socket would: resources as a file, all
 *          or nothing. They are called and answered as the others are; no SDK knows them.
 * Shapes   of inputs and outputs are NAMERequest and NAMEResponse, in api/model.c; what they are made of
 *          is in ingest/shape_model.h.
 * Who      A class of api/access.h, which has the roles.
 * Threads  Any; all is constant.
 */
#ifndef MM_API_MODEL_H
#define MM_API_MODEL_H

#include "api/access.h"
#include "api/errors.h"
#include "ingest/shape_model.h"

#define MODEL_OPERATIONS 60
#define MODEL_OURS       5
#define MODEL_SERVICE    "MailManagerSvc"
#define MODEL_NAMESPACE  "com.amazonaws.mailmanager"

enum model_group {
	MODEL_ARCHIVES,
	MODEL_RULE_SETS,
	MODEL_TRAFFIC_POLICIES,
	MODEL_INGRESS_POINTS,
	MODEL_RELAYS,
	MODEL_ADDRESS_LISTS,
	MODEL_ADD_ONS,
	MODEL_TAGS,
	MODEL_GROUPS
};

/* As the model marks it. */
enum model_trait { MODEL_READONLY, MODEL_IDEMPOTENT, MODEL_UNMARKED };

struct model_operation {
	const char *name;
	enum model_group group;
	enum access_class class;
	enum model_trait trait;
	bool once;       /* a signature that was seen before is refused */
	unsigned errors; /* bits 1 << enum api_error, of those that the model lists */
	const struct shape *input;
	const struct shape *output;
	const char *result; /* the member of the output that pages, or NULL */
};

extern const struct model_operation model_operations[MODEL_OPERATIONS];
extern const struct model_operation model_ours[MODEL_OURS];

/* Of both tables; NULL when there is none of that name (case matters). */
const struct model_operation *model_find(struct slice name);
/* Has it a ClientToken, so that the same call twice has one effect? */
bool model_has_token(const struct model_operation *op);

/* "Traffic policies" */
const char *model_group_name(enum model_group group);

#endif
