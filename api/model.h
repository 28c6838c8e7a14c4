/*
 * api/model.h - the 60 operations of the control API
 *
 * What     One table: name, shapes of input and output, who may, which exceptions it lists, how it pages.
 *          It drives routing, decoding, validation, authorisation, the answer, and docs/api.md.
 * Shapes   of inputs and outputs are NAMERequest and NAMEResponse, in api/model.c; what they are made of
 *          is in ingest/shape_model.h.
 * Roles    A principal has one. `admin` may all; `operator` manages the flow and the archives, but
 *          searches, exports and reads no mail; `auditor` sees the archives that it was given, searches and
 *          exports them and reads their messages, and changes nothing. What an auditor was given isn't
 *          known here (api/principal).
 * Threads  Any; all is constant.
 */
#ifndef MM_API_MODEL_H
#define MM_API_MODEL_H

#include "api/errors.h"
#include "ingest/shape_model.h"

#define MODEL_OPERATIONS 60
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

/* What a role is asked for. */
enum model_class {
	MODEL_ARCHIVE_READ,   /* which archives there are */
	MODEL_ARCHIVE_CHANGE, /* create, change, delete one */
	MODEL_SEARCH,
	MODEL_EXPORT,
	MODEL_MESSAGE,       /* read one message */
	MODEL_CONFIG_READ,   /* all resources but archives */
	MODEL_CONFIG_CHANGE, /* of the flow: points, policies, rule sets, relays, lists, add-ons, tags */
	MODEL_CLASSES
};

enum model_role { MODEL_ADMIN, MODEL_OPERATOR, MODEL_AUDITOR, MODEL_ROLES };

/* As the model marks it. */
enum model_trait { MODEL_READONLY, MODEL_IDEMPOTENT, MODEL_UNMARKED };

struct model_operation {
	const char *name;
	enum model_group group;
	enum model_class class;
	enum model_trait trait;
	bool once;       /* a signature that was seen before is refused */
	unsigned errors; /* bits 1 << enum api_error, of those that the model lists */
	const struct shape *input;
	const struct shape *output;
	const char *result; /* the member of the output that pages, or NULL */
};

extern const struct model_operation model_operations[MODEL_OPERATIONS];

/* NULL when there is none of that name (case matters). */
const struct model_operation *model_find(struct slice name);
/* Has it a ClientToken, so that the same call twice has one effect? */
bool model_has_token(const struct model_operation *op);

bool model_may(enum model_role role, enum model_class class);
/* "auditor" */
const char *model_role_name(enum model_role role);
/* False when no role has that name. */
bool model_role_find(struct slice name, enum model_role *role);
/* "search" */
const char *model_class_name(enum model_class class);
/* "Traffic policies" */
const char *model_group_name(enum model_group group);

#endif
