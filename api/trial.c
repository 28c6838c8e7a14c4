#include "api/trial.h"

#include "ingest/document.h"
#include "ingest/resources.h"

static enum rc compile(struct trial *t, struct err *e)
{
	return config_compile_rule_set(t->config, t->json, &t->rules, e);
}

static enum rc load(struct trial *t, struct db *db, struct slice id, int64_t version, struct err *e)
{
	enum rc rc = resources_version(db, RESOURCE_RULE_SET, id, version, &t->json, e);

	return rc == RC_OK ? compile(t, e) : rc;
}

enum rc trial_version(struct trial *t, struct slice id, int64_t version, struct err *e)
{
	struct db *db;
	enum rc rc = engine_reader(t->r->en, &db, e);

	if (rc == RC_OK)
		rc = load(t, db, id, version, e);
	engine_reader_end(t->r->en, &db);
	return rc;
}

/* As it is now. */
static enum rc load_named(struct trial *t, struct db *db, struct slice name, struct err *e)
{
	json_t *shown;
	enum rc rc = resources_get(db, RESOURCE_RULE_SET, name, &shown, e);

	if (rc != RC_OK)
		return rc == RC_NOTFOUND
		               ? err_set(e, RC_INVALID, "there is no rule set \"%.*s\"",
		                         (int)MIN_OF(name.len, (size_t)100), (const char *)name.at)
		               : rc;
	rc = load(t, db, json_member_text(shown, "RuleSetId"), json_member_int(shown, "Version", 0),
	          e);
	json_decref(shown);
	return rc;
}

static enum rc begin(struct trial *t, struct db *db, struct err *e)
{
	const json_t *given = json_member_object(t->r->args, "rules");
	struct slice name = json_member_text(t->r->args, "rule_set");
	enum rc rc;

	if (given) {
		rc = resources_rule_set(db, given, &t->json, e);
		return rc == RC_OK ? compile(t, e) : rc;
	}
	return name.len ? load_named(t, db, name, e) : RC_OK;
}

enum rc trial_begin(struct trial *t, struct request *r, struct err *e)
{
	struct db *db;
	enum rc rc;

	*t = (struct trial) { .r = r, .config = engine_config(r->en) };
	rc = engine_reader(r->en, &db, e);
	if (rc == RC_OK)
		rc = begin(t, db, e);
	engine_reader_end(r->en, &db);
	return rc;
}

void trial_end(struct trial *t)
{
	rule_set_free(&t->rules);
	json_decref(t->json);
	config_unref(&t->config);
}

enum rc trial_run(const struct trial *t, const struct trial_message *m,
                  const struct rule_trace *trace, struct rule_outcome *out, struct err *e)
{
	struct rule_facts facts = { .bytes = m->bytes,
		                    .archive_open = config_archive_open,
		                    .archive_arg = t->config };
	enum rc rc;

	document_facts(&facts, m->parsed);
	mail_facts(m->mail, &facts);
	rc = rules_run(t->rules, &facts, m->mail->recipients, m->mail->envelope_count, out, trace,
	               e);
	document_facts_free(&facts);
	return rc;
}
