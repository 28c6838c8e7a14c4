/*
 * tests/helpers/change.c - single changes of resources in a data directory that no mmd has open
 *
 * change --data DIR --key-file FILE create KIND JSON
 * change --data DIR --key-file FILE update KIND NAME JSON
 * change --data DIR --key-file FILE delete KIND NAME
 *
 * Prints the id. Exits with 1 and the reason on stderr when it is refused.
 */
#include <stdio.h>
#include <stdlib.h>

#include "api/engine.h"
#include "base/log.h"
#include "ingest/resources.h"

static void die(const char *what, const struct err *e)
{
	(void)fprintf(stderr, "change: %s: %s: %s\n", what, rc_name(e->code), e->text);
	exit(1);
}

static enum rc change(struct engine *en, char **words, struct apply_result *r, struct err *e)
{
	enum resource_kind kind;
	json_t *json = NULL;
	const char *text = words[0][0] == 'c' ? words[2] : words[0][0] == 'u' ? words[3] : NULL;
	enum rc rc = RC_OK;

	if (!resource_kind_parse(words[1], &kind))
		return err_set(e, RC_INVALID, "no kind %s", words[1]);
	if (text)
		rc = json_read(&json, slice_str(text), e);
	if (rc == RC_OK && words[0][0] == 'c')
		rc = resources_create(en->control, kind, json, r, e);
	else if (rc == RC_OK && words[0][0] == 'u')
		rc = resources_update(en->control, kind, slice_str(words[2]), json, r, e);
	else if (rc == RC_OK)
		rc = resources_delete(en->control, kind, slice_str(words[2]), r, e);
	json_decref(json);
	return rc;
}

int main(int argc, char **argv)
{
	struct engine_options opt = { .program = "change" };
	struct apply_result r = { 0 };
	struct engine *en = NULL;
	struct err e = { 0 };

	if (argc < 8 || strcmp(argv[1], "--data") != 0 || strcmp(argv[3], "--key-file") != 0) {
		(void)fprintf(stderr, "usage: change --data DIR --key-file FILE WORD KIND ...\n");
		return 2;
	}
	log_init("change", LOG_ERROR);
	opt.dir = argv[2];
	opt.key_file = argv[4];
	if (engine_open(&en, &opt, &e) != RC_OK)
		die(opt.dir, &e);
	(void)pthread_mutex_lock(&en->writing);
	if (change(en, argv + 5, &r, &e) != RC_OK)
		die(argv[5], &e);
	(void)pthread_mutex_unlock(&en->writing);
	(void)puts(r.changes[0].id);
	apply_result_free(&r);
	engine_close(&en);
	return 0;
}
