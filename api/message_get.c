#include "api/message_get.h"

#include "retention/erase.h"

enum rc message_get(struct engine *en, uint32_t archive, const struct message_id *id,
                    struct buf *meta, struct buf *raw, struct err *e)
{
	bool erased = false;
	struct db *db;
	enum rc rc = store_get(en->store, archive, id, meta, raw, e);

	if (rc != RC_OK)
		return rc;
	rc = engine_control(en, &db, e);
	if (rc == RC_OK)
		rc = erased_has(db, archive, id, &erased, e);
	db_close(&db);
	return rc == RC_OK && erased ? err_set(e, RC_NOTFOUND, "it was erased") : rc;
}

enum rc message_parse(struct slice raw, bool show, struct parse_job *job, struct err *e)
{
	struct parse_pool *pool;
	enum rc rc = parse_pool_new(&pool, 1, NULL, e);

	*job = (struct parse_job) { .raw = raw, .show = show };
	if (rc != RC_OK)
		return rc;
	rc = parse_begin(pool, job, 1, e);
	if (rc == RC_OK)
		rc = parse_wait(pool, e);
	parse_pool_free(&pool);
	return rc;
}
