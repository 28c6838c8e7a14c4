/* api/op_secret.c - user names and passwords of relays: set, named and removed, never shown */
#include "api/ops.h"
#include "base/codec.h"
#include "ingest/action/secret.h"

static enum rc show(void *arg, struct slice name, int64_t changed_ms, struct err *e)
{
	json_t *o = json_object();
	char changed[25];

	time_format(changed, changed_ms);
	json_put_text(o, "Name", name);
	json_put_text(o, "Changed", slice_str(changed));
	return request_row(arg, o, e);
}

enum rc op_secrets(struct request *r, struct err *e)
{
	struct db *db = NULL;
	enum rc rc = engine_reader(r->en, &db, e);

	if (rc == RC_OK)
		rc = secrets_each(db, show, r, e);
	engine_reader_end(r->en, &db);
	return rc;
}

/* The entry goes before the commit, and has the name alone. */
static enum rc change(struct request *r, const char *what, struct slice name,
                      enum rc (*run)(struct request *r, struct slice name, struct err *e),
                      struct err *e)
{
	struct db *control = r->en->control;
	json_t *detail = json_object();
	enum rc rc;

	json_put_text(detail, "what", slice_str(what));
	json_put_text(detail, "name", name);
	(void)pthread_mutex_lock(&r->en->writing);
	rc = db_begin(control, e);
	if (rc == RC_OK) {
		rc = run(r, name, e);
		if (rc == RC_OK)
			rc = request_account(r, "secret", json_incref(detail), e);
		rc = db_end(control, rc, e);
	}
	(void)pthread_mutex_unlock(&r->en->writing);
	json_decref(detail);
	return rc;
}

static enum rc set(struct request *r, struct slice name, struct err *e)
{
	return secret_set(r->en->control, name, json_member_text(r->args, "username"),
	                  json_member_text(r->args, "password"), e);
}

enum rc op_secret_set(struct request *r, struct err *e)
{
	struct slice name;
	enum rc rc = request_text(r, "name", &name, e);

	return rc == RC_OK ? change(r, "set", name, set, e) : rc;
}

static enum rc delete (struct request *r, struct slice name, struct err *e) {
	return secret_delete(r->en->control, name, e);
}

enum rc op_secret_delete(struct request *r, struct err *e)
{
	struct slice name;
	enum rc rc = request_text(r, "name", &name, e);

	return rc == RC_OK ? change(r, "deleted", name, delete, e) : rc;
}
