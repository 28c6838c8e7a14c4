#include "ingest/arn.h"

#include <stdio.h>

#define REGION_MOST    20
#define ACCOUNT_DIGITS 12

static bool is_region(struct slice s)
{
	if (s.len == 0 || s.len > REGION_MOST)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.at[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
			return false;
	}
	return true;
}

static bool is_account(struct slice s)
{
	if (s.len != ACCOUNT_DIGITS)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] < '0' || s.at[i] > '9')
			return false;
	return true;
}

enum rc arn_check_home(const struct arn_home *home, struct err *e)
{
	if (!is_region(slice_str(home->region)))
		return err_set(e, RC_INVALID,
		               "a region is 1 to 20 of a-z, 0-9 and '-', such as us-east-1");
	if (!is_account(slice_str(home->account)))
		return err_set(e, RC_INVALID, "an account is twelve digits");
	return RC_OK;
}

void arn_write(char out[ARN_ROOM], const struct arn_home *home, enum resource_kind kind,
               const char *id)
{
	(void)snprintf(out, ARN_ROOM, "arn:aws:ses:%s:%s:%s/%s", home->region, home->account,
	               resource_kind_arn(kind), id);
}

static bool is_partition(struct slice s)
{
	static const char *const known[] = { "aws", "aws-cn", "aws-us-gov", "aws-eusc" };

	for (size_t i = 0; i < COUNT(known); i++)
		if (slice_equal(s, slice_str(known[i])))
			return true;
	return false;
}

static bool find_kind(struct slice type, enum resource_kind *kind)
{
	for (int k = 0; k < RESOURCE_KINDS; k++) {
		*kind = (enum resource_kind)k;
		if (slice_equal(type, slice_str(resource_kind_arn(*kind))))
			return true;
	}
	return false;
}

enum rc arn_read(struct slice text, const struct arn_home *home, enum resource_kind *kind,
                 char id[RESOURCE_ID_ROOM], struct err *e)
{
	struct slice part[5]; /* arn, partition, service, region, account */
	struct slice name;
	struct slice type;
	struct slice rest = text;

	for (size_t i = 0; i < COUNT(part); i++)
		part[i] = slice_cut(rest, ':', &rest);
	type = slice_cut(rest, '/', &name);
	if (!slice_equal(part[0], slice_str("arn")) || !is_partition(part[1]) ||
	    !slice_equal(part[2], slice_str("ses")) || !is_region(part[3]) ||
	    !is_account(part[4]) || !type.len || !name.len)
		return err_set(e, RC_INVALID, "must be arn:aws:ses:REGION:ACCOUNT:TYPE/ID");
	if (!slice_equal(part[1], slice_str("aws")) ||
	    !slice_equal(part[3], slice_str(home->region)) ||
	    !slice_equal(part[4], slice_str(home->account)) || !find_kind(type, kind) ||
	    name.len >= RESOURCE_ID_ROOM)
		return err_set(e, RC_NOTFOUND, "there is no such resource");
	(void)snprintf(id, RESOURCE_ID_ROOM, "%.*s", (int)name.len, (const char *)name.at);
	return RC_OK;
}
