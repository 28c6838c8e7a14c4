/* api/op_retention.c - what a sweep would destroy, and destroying it */
#include <stdio.h>
#include <stdlib.h>

#include "api/ops.h"
#include "api/sweeping.h"
#include "base/codec.h"

static json_t *lot_json(const struct due_lot *lot)
{
	json_t *o = json_object();
	char due[25];
	char day[16];
	int64_t year;
	unsigned month;
	unsigned mday;

	civil_from_days(lot->day, &year, &month, &mday);
	(void)snprintf(day, sizeof(day), "%04d-%02u-%02u", (int)(year % 10000), month % 100,
	               mday % 100);
	time_format(due, lot->due_ms);
	json_put_text(o, "archive", slice_str(lot->archive_name));
	json_put_text(o, "received_on", slice_str(day));
	json_put_text(o, "due", slice_str(due));
	json_put_int(o, "lot", (int64_t)lot->lot);
	json_put_int(o, "generation", lot->generation);
	return o;
}

static json_t *plan_json(const struct sweep_plan *plan)
{
	json_t *o = json_object();
	json_t *lots = json_array();
	char when[25];

	time_format(when, plan->made_ms);
	for (size_t i = 0; i < plan->count; i++)
		json_push(lots, lot_json(&plan->lots[i]));
	json_put_text(o, "plan", slice_str(plan->id));
	json_put_text(o, "made", slice_str(when));
	json_put_int(o, "lots", (int64_t)plan->count);
	json_put_int(o, "days", plan->days);
	json_put(o, "due", lots);
	return o;
}

enum rc op_retention_plan(struct request *r, struct err *e)
{
	struct sweeping s;
	struct sweep_plan plan = { 0 };
	struct err why = { 0 };
	json_t *detail;
	enum rc rc;

	rc = sweeping_begin(&s, r->en, NULL, e);
	if (rc == RC_OK)
		rc = sweep_plan_make(&s.sweep, &plan, e);
	if (rc == RC_OK) {
		r->result = plan_json(&plan);
		if (sweep_guard(&s.sweep, &plan, &why) != RC_OK)
			json_put_text(r->result, "guard", slice_str(why.text));
		detail = json_object();
		json_put_text(detail, "plan", slice_str(plan.id));
		json_put_int(detail, "lots", (int64_t)plan.count);
		rc = request_account(r, "plan", detail, e);
	}
	sweep_plan_free(&plan);
	sweeping_end(&s);
	return rc;
}

/* "plan" names the very plan that a person has seen; another one now is refused. */
static enum rc check_plan(const struct request *r, const struct sweep_plan *plan, struct err *e)
{
	struct slice wanted = json_member_text(r->args, "plan");

	if (!wanted.at || slice_equal(wanted, slice_str(plan->id)))
		return RC_OK;
	return err_set(e, RC_INVALID,
	               "the plan is %s now, not %.*s: look at mm-retention plan again", plan->id,
	               (int)MIN_OF(wanted.len, 64u), (const char *)wanted.at);
}

enum rc op_retention_run(struct request *r, struct err *e)
{
	struct sweeping s;
	struct sweep_plan plan = { 0 };
	struct sweep_report report = { 0 };
	struct sweeping_waits waits = sweeping_asked(r);
	bool attended = !json_member_bool(r->args, "unattended", false);
	enum rc rc;

	rc = sweeping_begin(&s, r->en, &waits, e);
	if (rc == RC_OK)
		rc = sweep_plan_make(&s.sweep, &plan, e);
	if (rc == RC_OK)
		rc = check_plan(r, &plan, e);
	if (rc == RC_OK)
		rc = sweep_run(&s.sweep, &plan, r->who, attended, &report, e);
	r->accounted = plan.count && (rc == RC_OK || rc == RC_DENIED); /* by the sweep */
	if (rc == RC_OK)
		rc = sweeping_end_archives(&s, r->who, attended, e);
	if (rc == RC_OK) {
		r->result = plan_json(&plan);
		json_put_int(r->result, "lots_destroyed", (int64_t)report.lots);
		json_put_int(r->result, "messages_destroyed", (int64_t)report.messages);
		json_put_int(r->result, "shards_rewritten", report.shards_rewritten);
		sweeping_tell(&s, r->result);
	}
	sweep_plan_free(&plan);
	sweeping_end(&s);
	return rc;
}
