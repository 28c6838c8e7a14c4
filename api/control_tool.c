#include "api/control_tool.h"

#include "api/ops.h"
#include "base/limits.h"

/* Members as the requests call them. */
static json_t *arguments(const struct control_call *c)
{
	static const char *const names[][2] = { { "Text", "text" },
		                                { "Kind", "kind" },
		                                { "Name", "name" },
		                                { "Password", "password" } };
	json_t *args = json_object();

	for (size_t i = 0; i < COUNT(names); i++) {
		struct slice text = control_text(c, names[i][0]);

		if (text.at)
			json_put_text(args, names[i][1], text);
	}
	return args;
}

static enum rc put_text(struct control_call *c, struct err *e)
{
	struct buf text;
	enum rc rc;

	buf_init(&text, LIMIT_REQUEST / 2);
	rc = json_write(&text, c->r->result);
	if (rc == RC_OK) {
		c->output = json_object();
		json_put_text(c->output, "Text", buf_slice(&text));
	} else {
		rc = err_set(e, rc, "the answer is too long for an endpoint; ask over the socket");
	}
	buf_free(&text);
	return rc;
}

typedef enum rc (*tool_request)(struct request *r, struct err *e);

static tool_request find_request(const char *operation)
{
	static const struct {
		const char *operation;
		tool_request run;
	} requests[] = { { "MmApply", op_apply },
		         { "MmDump", op_dump },
		         { "MmShow", op_show },
		         { "MmStatus", op_status },
		         { "MmPasswd", op_passwd } };
	size_t i = 0;

	while (i < COUNT(requests) && strcmp(operation, requests[i].operation) != 0)
		i++;
	MUST(i < COUNT(requests));
	return requests[i].run;
}

enum rc control_as_tool(struct control_call *c, struct err *e)
{
	const json_t *call = c->r->args;
	json_t *args = arguments(c);
	enum rc rc;

	c->r->args = args;
	rc = find_request(c->op->name)(c->r, e);
	c->r->args = call;
	json_decref(args);
	if (rc == RC_OK)
		rc = put_text(c, e);
	json_decref(c->r->result);
	c->r->result = NULL;
	return rc;
}
