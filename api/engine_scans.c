#include "api/engine_scans.h"

#include <stdlib.h>

#include "api/engine_setting.h"

struct engine_scans {
	struct addons addons;
	struct home *own; /* a tool's */
	struct scans *scans;
};

enum rc engine_scans_start(struct engine_scans **out, struct engine *en,
                           const struct engine_options *opt, void (*woken)(void *arg), void *arg,
                           struct err *e)
{
	json_t *config = json_incref((json_t *)(uintptr_t)opt->addons);
	enum rc rc = setting_sync(en->control, "addons", opt->keeps_dns, &config, e);
	struct engine_scans *s;

	*out = NULL;
	if (rc != RC_OK || !config) {
		json_decref(config);
		return rc;
	}
	s = mem_new(sizeof(*s));
	rc = addons_read(&s->addons, config, e);
	if (rc == RC_OK && !opt->scan_home && addons_scan(&s->addons))
		rc = scans_home(&s->own, config, NULL, e);
	if (rc == RC_OK)
		rc = scans_new(&s->scans, opt->scan_home ? opt->scan_home : s->own, &s->addons,
		               woken, arg, e);
	json_decref(config);
	if (rc != RC_OK) {
		engine_scans_stop(&s);
		return err_in(e, "add-ons");
	}
	*out = s;
	return RC_OK;
}

void engine_scans_stop(struct engine_scans **at)
{
	struct engine_scans *s = *at;

	*at = NULL;
	if (!s)
		return;
	scans_free(&s->scans);
	home_stop(&s->own);
	addons_free(&s->addons);
	free(s);
}

struct scans *engine_scans_of(struct engine_scans *s)
{
	return s ? s->scans : NULL;
}

int64_t engine_scans_longest_ms(const struct engine_scans *s)
{
	int64_t most = 0;

	for (size_t i = 0; s && i < s->addons.count; i++)
		most = MAX_OF(most, s->addons.at[i].deadline_ms);
	return most;
}
