/* tools/cli_request.c - a request put to mmd, or answered without one when no mmd runs */
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "tools/cli.h"

static enum rc on_json(void *arg, struct slice line, struct err *e)
{
	struct cli_answer *a = arg;
	json_t *row;
	enum rc rc;

	if (!a->row)
		return RC_OK;
	rc = json_read(&row, line, e);
	if (rc != RC_OK)
		return rc;
	rc = a->row(a->arg, row, e);
	json_decref(row);
	return rc;
}

static enum rc on_bytes(void *arg, struct slice bytes, struct err *e)
{
	struct cli_answer *a = arg;

	return a->bytes ? a->bytes(a->arg, bytes, e) : RC_OK;
}

static enum rc ask(struct cli *c, struct slice request, struct cli_answer *a, struct buf *result,
                   struct err *e)
{
	const struct request_reader reader = { on_json, on_bytes, a };
	char *path;
	enum rc rc;

	if (c->engine)
		return cli_alone(c, request, &reader, result, e);
	path = c->socket ? mem_string(c->socket) : path_join(c->data, "mmd.sock");
	rc = request_call(path, request, &reader, result, e);
	if (rc == RC_DENIED && e->sys != 0 && !c->socket)
		(void)err_in(e,
		             "%s is its owner's and root's; others ask by --socket (mmd(8), "
		             "socket.path)",
		             c->data);
	free(path);
	/* What mmd itself answers comes without a number of the system's. */
	if (rc == RC_AGAIN && e->sys != 0 && !c->only_running && !c->socket)
		return cli_alone(c, request, &reader, result, e);
	c->no_data = (rc == RC_AGAIN || rc == RC_DENIED) && e->sys != 0;
	return rc;
}

static enum rc build(json_t *request, struct slice bytes, struct buf *out, struct err *e)
{
	enum rc rc = json_write(out, request);

	json_decref(request);
	if (rc == RC_OK && bytes.len)
		rc = buf_add_byte(out, 0);
	if (rc == RC_OK)
		rc = buf_add(out, bytes);
	return rc == RC_OK ? RC_OK : err_set(e, rc, "the request is too long");
}

enum rc cli_ask(struct cli *c, json_t *request, struct slice bytes, struct cli_answer *a,
                struct err *e)
{
	struct buf text;
	struct buf result;
	enum rc rc;

	if (c->elsewhere && !bytes.len)
		return c->elsewhere(c, request, a, e);
	if (!c->data && !c->socket)
		cli_usage(c, "which data directory? (--data DIR, or MM_DATA; or --socket PATH)");
	buf_init(&text, LIMIT_REQUEST);
	buf_init(&result, LIMIT_REQUEST);
	a->result = NULL;
	rc = build(request, bytes, &text, e);
	if (rc == RC_OK)
		rc = ask(c, buf_slice(&text), a, &result, e);
	if (rc == RC_OK)
		rc = json_read(&a->result, buf_slice(&result), e);
	buf_free(&text);
	buf_free(&result);
	return rc;
}

int cli_request(struct cli *c, json_t *request, struct cli_answer *a)
{
	struct err e = { 0 };
	enum rc rc = cli_ask(c, request, slice_of(NULL, 0), a, &e);

	if (rc == RC_OK)
		return CLI_OK;
	(void)cli_fail(c, &e);
	return c->no_data ? CLI_NO_DATA : rc_exit(rc);
}
