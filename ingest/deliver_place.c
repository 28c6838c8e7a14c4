/* ingest/deliver_place.c - endpoints and locations, as people write them; mmd and mm-deliver check
 * both */
#include "ingest/deliver.h"

static bool is_host(struct slice s)
{
	bool v6 = s.len > 2 && s.at[0] == '[' && s.at[s.len - 1] == ']';

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.at[i];
		bool letter =
		        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!letter &&
		    !(v6 ? c == ':' || c == '.' || c == '[' || c == ']' : c == '.' || c == '-'))
			return false;
	}
	return s.len > 0 && s.len < 250;
}

bool deliver_url(struct slice url, bool *tls, struct slice *host, uint16_t *port)
{
	size_t colon = SIZE_MAX;
	uint64_t number;

	*tls = slice_starts_nocase(url, slice_str("https://"));
	if (!*tls && !slice_starts_nocase(url, slice_str("http://")))
		return false;
	*port = *tls ? 443 : 80;
	*host = slice_from(url, *tls ? 8 : 7);
	if (host->len && host->at[host->len - 1] == '/')
		host->len--;
	for (size_t i = host->len; i > 0 && colon == SIZE_MAX && host->at[i - 1] != ']'; i--)
		if (host->at[i - 1] == ':')
			colon = i - 1;
	if (colon == SIZE_MAX)
		return is_host(*host);
	if (!slice_to_u64(slice_from(*host, colon + 1), &number) || number == 0 || number > 65535)
		return false;
	*port = (uint16_t)number;
	host->len = colon;
	return is_host(*host);
}

static bool is_bucket(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!(s.at[i] >= 'a' && s.at[i] <= 'z') && !(s.at[i] >= 'A' && s.at[i] <= 'Z') &&
		    !(s.at[i] >= '0' && s.at[i] <= '9') && s.at[i] != '.' && s.at[i] != '-')
			return false;
	return s.len >= 3 && s.len <= 63 && s.at[0] != '.' && s.at[0] != '-' &&
	       s.at[s.len - 1] != '.' && slice_find(s, slice_str("..")) == SIZE_MAX;
}

/* No part that is empty, "." or "..", and no character that ends a line. */
static bool is_prefix(struct slice s)
{
	while (s.len) {
		struct slice part = slice_cut(s, '/', &s);

		if (part.len == 0 || slice_equal(part, slice_str(".")) ||
		    slice_equal(part, slice_str("..")))
			return false;
		for (size_t i = 0; i < part.len; i++)
			if (part.at[i] <= ' ' || part.at[i] >= 127)
				return false;
	}
	return true;
}

bool deliver_location(struct slice location, struct slice *bucket, struct slice *prefix)
{
	if (!slice_equal(slice_part(location, 0, 5), slice_str("s3://")))
		return false;
	*bucket = slice_cut(slice_from(location, 5), '/', prefix);
	while (prefix->len && prefix->at[0] == '/')
		*prefix = slice_from(*prefix, 1);
	while (prefix->len && prefix->at[prefix->len - 1] == '/')
		prefix->len--;
	return is_bucket(*bucket) && prefix->len <= 512 && is_prefix(*prefix);
}
