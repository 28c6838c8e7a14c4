/* api/op_dkim.c - keys for DKIM: made, put to use, shown and removed */
#include <stdlib.h>

#include "api/ops.h"
#include "base/codec.h"
#include "ingest/action/dkim_sign.h"

/* ---- showing ---- */

static json_t *key_json(const struct dkim_row *row)
{
	json_t *o = json_object();
	char name[600], created[25];

	(void)snprintf(name, sizeof(name), "%s._domainkey.%s", row->selector, row->domain);
	time_format(created, row->created_ms);
	json_put_text(o, "Domain", slice_str(row->domain));
	json_put_text(o, "Selector", slice_str(row->selector));
	json_put_text(o, "Algorithm", slice_str(row->algorithm));
	json_put_bool(o, "InUse", row->in_use);
	json_put_text(o, "Created", slice_str(created));
	json_put_text(o, "Name", slice_str(name));
	json_put_text(o, "Record", slice_str(row->record));
	return o;
}

static enum rc show(void *arg, const struct dkim_row *row, struct err *e)
{
	return request_row(arg, key_json(row), e);
}

enum rc op_dkim_keys(struct request *r, struct err *e)
{
	struct db *db = NULL;
	enum rc rc = engine_reader(r->en, &db, e);

	if (rc == RC_OK)
		rc = dkim_keys_each(db, show, r, e);
	engine_reader_end(r->en, &db);
	return rc;
}

/* ---- changing ---- */

struct change {
	struct request *r;
	const char *what; /* for the audit entry */
	struct slice domain;
	struct slice selector;                           /* empty: one that is made */
	enum rc (*run)(struct change *x, struct err *e); /* in a transaction */
};

static json_t *detail_of(const struct change *x)
{
	json_t *o = json_object();
	struct slice name = json_member_text(x->r->result, "Name");

	json_put_text(o, "what", slice_str(x->what));
	json_put_text(o, "domain", x->domain);
	if (x->selector.len)
		json_put_text(o, "selector", x->selector);
	if (name.at)
		json_put_text(o, "name", name);
	return o;
}

/* The entry goes before the commit, as with all that is changed. */
static enum rc change(struct change *x, struct err *e)
{
	struct db *control = x->r->en->control;
	enum rc rc = request_text(x->r, "domain", &x->domain, e);

	if (rc != RC_OK)
		return rc;
	x->r->result = json_object();
	(void)pthread_mutex_lock(&x->r->en->writing);
	rc = db_begin(control, e);
	if (rc == RC_OK) {
		rc = x->run(x, e);
		if (rc == RC_OK)
			rc = request_account(x->r, "dkim", detail_of(x), e);
		rc = db_end(control, rc, e);
	}
	(void)pthread_mutex_unlock(&x->r->en->writing);
	return rc;
}

static enum rc create(struct change *x, struct err *e)
{
	char *selector = x->selector.len ? slice_string(x->selector) : NULL;
	struct slice given = json_member_text(x->r->args, "algorithm");
	char *algorithm = given.at ? slice_string(given) : mem_string("rsa");
	char *name, *record;
	enum rc rc = dkim_key_create(x->r->en->control, x->domain, selector, algorithm, &name,
	                             &record, e);

	if (rc == RC_OK) {
		json_put_text(x->r->result, "Name", slice_str(name));
		json_put_text(x->r->result, "Record", slice_str(record));
	}
	free(name);
	free(record);
	free(selector);
	free(algorithm);
	return rc;
}

enum rc op_dkim_create(struct request *r, struct err *e)
{
	struct change x = { .r = r,
		            .what = "created",
		            .selector = json_member_text(r->args, "selector"),
		            .run = create };

	return change(&x, e);
}

static enum rc use(struct change *x, struct err *e)
{
	return dkim_key_use(x->r->en->control, x->domain, x->selector, e);
}

enum rc op_dkim_use(struct request *r, struct err *e)
{
	struct change x = { .r = r, .what = "used", .run = use };
	enum rc rc = request_text(r, "selector", &x.selector, e);

	return rc == RC_OK ? change(&x, e) : rc;
}

static enum rc delete (struct change *x, struct err *e) {
	return dkim_key_delete(x->r->en->control, x->domain, x->selector, e);
}

enum rc op_dkim_delete(struct request *r, struct err *e)
{
	struct change x = { .r = r, .what = "deleted", .run = delete };
	enum rc rc = request_text(r, "selector", &x.selector, e);

	return rc == RC_OK ? change(&x, e) : rc;
}
