/*
 * tools/alone_exec.c - a request without a running mmd, of a tool that doesn't link the engine
 *
 * The engine's libraries take longer to load than mmd takes to answer a search. So mm-search has
 * only what asks mmd, and becomes mm-search-alone, the same program with the engine, when none
 * runs.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/child.h"
#include "tools/cli.h"

enum rc cli_alone(struct cli *c, struct slice request, const struct request_reader *reader,
                  struct buf *result, struct err *e)
{
	char name[64];
	char path[4096];
	enum rc rc;

	(void)request;
	(void)reader;
	(void)result;
	(void)snprintf(name, sizeof(name), "%s-alone", c->spec->program);
	rc = child_path(name, path, sizeof(path), e);
	if (rc != RC_OK)
		return rc;
	(void)execv(path, c->argv);
	c->no_data = true;
	return err_sys(e, "no mmd runs, and this can't be started instead: %s", path);
}

void cli_close(struct cli *c)
{
	(void)c;
}
