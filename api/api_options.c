#include "api/api_options.h"

#include <stdio.h>
#include <string.h>

static bool all_in(struct slice s, const char *set)
{
	for (size_t i = 0; i < s.len; i++)
		if (!s.at[i] || !strchr(set, s.at[i]))
			return false;
	return true;
}

static enum rc read_word(char *out, size_t room, size_t least, const char *set, const json_t *api,
                         const char *member, const char *none, struct err *e)
{
	struct slice text = json_member_text(api, member);

	if (!text.at)
		text = slice_str(none);
	if (text.len < least || text.len >= room || !all_in(text, set))
		return err_set(e, RC_INVALID, "configuration: api.%s must be %zu to %zu of %s",
		               member, least, room - 1, set);
	(void)snprintf(out, room, "%.*s", (int)text.len, (const char *)text.at);
	return RC_OK;
}

static enum rc read_number(unsigned *out, const json_t *api, const char *member, int64_t none,
                           int64_t least, int64_t most, struct err *e)
{
	int64_t n = json_member_int(api, member, none);

	*out = (unsigned)n;
	return n >= least && n <= most
	               ? RC_OK
	               : err_set(e, RC_INVALID, "configuration: api.%s is %lld to %lld", member,
	                         (long long)least, (long long)most);
}

/* "127.0.0.1:2600-2699" */
static bool read_pool(struct api_options *o, struct slice text)
{
	struct slice high;
	struct slice low = slice_cut(text, '-', &high);
	uint64_t last;

	if (!ip_port_parse(&o->pool, &o->pool_low, low) || !slice_to_u64(high, &last) ||
	    last < o->pool_low || last > UINT16_MAX)
		return false;
	o->pool_high = (uint16_t)last;
	return true;
}

enum rc api_configure(struct api_options *out, const json_t *api, struct err *e)
{
	struct slice profile = json_member_text(api, "profile");
	struct slice pool = json_member_text(api, "ingress_pool");
	enum rc rc;

	*out = (struct api_options) { .open = slice_equal(profile, slice_str("open")) };
	if (profile.at && !out->open && !slice_equal(profile, slice_str("aws")))
		return err_set(e, RC_INVALID, "configuration: api.profile is \"aws\" or \"open\"");
	if (pool.at && !read_pool(out, pool))
		return err_set(e, RC_INVALID,
		               "configuration: api.ingress_pool is ADDRESS:PORT-PORT, such as "
		               "127.0.0.1:2600-2699");
	rc = read_number(&out->jobs_kept, api, "jobs_kept", 1000, 1, 100000, e);
	if (rc == RC_OK) /* what one answer can hold: api/job_rows.c */
		rc = read_number(&out->search_results, api, "search_results", 10000, 1000, 80000,
		                 e);
	if (rc == RC_OK)
		rc = read_word(out->region, sizeof(out->region), 1,
		               "abcdefghijklmnopqrstuvwxyz0123456789-", api, "region", "us-east-1",
		               e);
	if (rc == RC_OK)
		rc = read_word(out->account, sizeof(out->account), 12, "0123456789", api, "account",
		               "000000000000", e);
	return rc;
}
