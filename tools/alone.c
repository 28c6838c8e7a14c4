/* tools/alone.c - a request without a running mmd: the data directory is opened in this process */
#include "api/requests.h"
#include "base/log.h"
#include "tools/cli.h"

static enum rc open_engine(const struct cli *c, struct engine **en, struct err *e)
{
	struct engine_options opt = { .dir = c->data,
		                      .key_file = c->key_file,
		                      .program = c->spec->program };
	enum rc rc;

	log_init(c->spec->program, LOG_WARN);
	rc = api_configure(&opt.api, NULL, e);
	if (rc == RC_OK)
		rc = engine_open(en, &opt, e);
	if (rc == RC_AGAIN)
		return err_in(e, "%s is in use, but no mmd answers yet; try again", c->data);
	return rc;
}

/* The same recovery, the same handlers as in mmd. */
enum rc cli_alone(struct cli *c, struct slice request, const struct request_reader *reader,
                  struct buf *result, struct err *e)
{
	struct engine *en = c->engine;
	enum rc rc = en ? RC_OK : open_engine(c, &en, e);

	if (rc != RC_OK) {
		c->no_data = true;
		return rc;
	}
	c->engine = en;
	rc = pipeline_drain(en->pipeline, INT64_MAX, e);
	return rc == RC_OK ? request_local(api_handle, en, request, reader, result, e) : rc;
}

void cli_close(struct cli *c)
{
	engine_close(&c->engine);
}
