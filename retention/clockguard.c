#include "retention/clockguard.h"

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"

#define HOUR_MS      INT64_C(3600000)
#define TRUST_MS     (36 * HOUR_MS) /* design: 36 h ahead, 36 h of keeping pace */
#define DRIFT_MS     HOUR_MS        /* what time synchronisation may correct at once */
#define BACKWARDS_MS (5 * INT64_C(60000))

/* Where the two clocks stood, 36 h ago at most: small steps add up to a jump. */
static struct {
	int64_t wall_ms;
	int64_t mono_ms;
} pace;

enum rc clockguard_prepare(struct db *control, struct err *e)
{
	return db_exec(
	        control,
	        "CREATE TABLE IF NOT EXISTS sweep_state (name TEXT PRIMARY KEY, value INTEGER)"
	        " STRICT;",
	        e);
}

static enum rc state_set(struct db *control, const char *name, int64_t value, struct err *e)
{
	struct stmt *st;
	enum rc rc = db_prepare(control, &st, "INSERT OR REPLACE INTO sweep_state VALUES(?,?)", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(st, 1, slice_str(name));
	stmt_bind_int(st, 2, value);
	rc = stmt_run(st, e);
	stmt_free(&st);
	return rc;
}

static enum rc state_get(struct db *control, const char *name, int64_t none, int64_t *value,
                         struct err *e)
{
	struct stmt *st;
	enum rc rc = db_prepare(control, &st, "SELECT value FROM sweep_state WHERE name = ?", e);

	if (rc != RC_OK)
		return rc;
	stmt_bind_text(st, 1, slice_str(name));
	rc = stmt_step(st, e);
	*value = rc == RC_OK ? stmt_int(st, 0) : none;
	stmt_free(&st);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static void set_pace(void)
{
	pace.wall_ms = clock_now_ms();
	pace.mono_ms = clock_mono_ms();
}

static enum rc suspect(struct db *control, const char *why, struct err *e)
{
	log_warn("the clock is not trusted for unattended sweeps: %s", why);
	set_pace();
	return state_set(control, "suspect", 1, e);
}

enum rc clockguard_start(struct db *control, int64_t newest_ms, struct err *e)
{
	int64_t now_ms = clock_now_ms();
	int64_t swept;
	enum rc rc;

	set_pace();
	rc = state_get(control, "swept_ms", 0, &swept, e);
	if (rc == RC_OK && swept == 0)
		rc = state_set(control, "swept_ms", now_ms, e);
	if (rc != RC_OK || newest_ms == 0)
		return rc;
	if (now_ms > newest_ms + TRUST_MS)
		return suspect(control, "it is more than 36 h ahead of the newest audit entry", e);
	if (now_ms < newest_ms - BACKWARDS_MS)
		return suspect(control, "it is behind the newest audit entry", e);
	return RC_OK;
}

enum rc clockguard_tick(struct db *control, struct err *e)
{
	int64_t passed = clock_mono_ms() - pace.mono_ms;
	int64_t drift = clock_now_ms() - pace.wall_ms - passed;
	int64_t suspected;
	enum rc rc;

	if (drift > DRIFT_MS || drift < -DRIFT_MS)
		return suspect(control, "it was set while mm was running", e);
	if (passed < TRUST_MS)
		return RC_OK;
	set_pace();
	rc = state_get(control, "suspect", 0, &suspected, e);
	if (rc == RC_OK && suspected) {
		log_info("the clock has kept pace for 36 h and is trusted again");
		rc = state_set(control, "suspect", 0, e);
	}
	return rc;
}

enum rc clockguard_check(struct db *control, unsigned days, struct err *e)
{
	int64_t now_ms = clock_now_ms();
	int64_t suspected = 0;
	int64_t older = 0;
	int64_t swept = 0;
	enum rc rc = clockguard_tick(control, e);

	if (rc == RC_OK)
		rc = state_get(control, "older", 0, &older, e);
	if (rc == RC_OK)
		rc = state_get(control, "suspect", 0, &suspected, e);
	if (rc == RC_OK)
		rc = state_get(control, "swept_ms", now_ms, &swept, e);
	if (rc != RC_OK)
		return rc;
	if (suspected)
		return err_set(
		        e, RC_DENIED,
		        "the clock jumped and has not yet kept pace for 36 h; check it, then run"
		        " mm-retention plan and mm-retention run");
	if (older)
		return err_set(
		        e, RC_DENIED,
		        "an older copy of the control database was put back; check the retention"
		        " periods, then run mm-retention plan and mm-retention run");
	if (now_ms < swept)
		return err_set(e, RC_DENIED, "the clock is behind the last sweep; check it");
	if ((int64_t)days > day_of_ms(now_ms) - day_of_ms(swept) + 1)
		return err_set(
		        e, RC_DENIED,
		        "%u days of mail fall due, but only %lld passed since the last sweep; look"
		        " at mm-retention plan, then confirm by mm-retention run",
		        days, (long long)(day_of_ms(now_ms) - day_of_ms(swept)));
	return RC_OK;
}

enum rc clockguard_last_sweep(struct db *control, int64_t *ms, struct err *e)
{
	return state_get(control, "swept_ms", clock_now_ms(), ms, e);
}

enum rc clockguard_swept(struct db *control, struct err *e)
{
	return state_set(control, "swept_ms", clock_now_ms(), e);
}

enum rc clockguard_older(struct db *control, struct err *e)
{
	return state_set(control, "older", 1, e);
}

enum rc clockguard_attended(struct db *control, struct err *e)
{
	struct stmt *st;
	enum rc rc = db_prepare(control, &st, "DELETE FROM sweep_state WHERE name = 'older'", e);

	if (rc != RC_OK)
		return rc;
	rc = stmt_run(st, e);
	stmt_free(&st);
	return rc;
}
