#include "ingest/deliver/public.h"

#define SMTP_PORT 25

/* IANA's registries of special-purpose addresses. */
static const char *const special[] = {
	"0.0.0.0/8",
	"10.0.0.0/8",
	"100.64.0.0/10",
	"127.0.0.0/8",
	"169.254.0.0/16",
	"172.16.0.0/12",
	"192.0.0.0/24",
	"192.0.2.0/24",
	"192.88.99.0/24",
	"192.168.0.0/16",
	"198.18.0.0/15",
	"198.51.100.0/24",
	"203.0.113.0/24",
	"224.0.0.0/4",
	"240.0.0.0/4",
	/* of 2000::/3, which alone is given out */
	"2001::/23",
	"2001:db8::/32",
	"2002::/16",
	"3fff::/20",
};

static bool is_in(const struct ip *ip, const char *net)
{
	struct cidr c;

	return cidr_parse(&c, slice_str(net), false) && cidr_contains(&c, ip);
}

bool public_address(const struct ip *ip)
{
	if (ip->family == 0 || (ip->family == 6 && !is_in(ip, "2000::/3")))
		return false;
	for (size_t i = 0; i < COUNT(special); i++)
		if (is_in(ip, special[i]))
			return false;
	return true;
}

bool public_allows(const struct outbound_settings *s, const struct ip *ip)
{
	if (s->port != SMTP_PORT && (is_in(ip, "127.0.0.0/8") || is_in(ip, "::1/128")))
		return true;
	for (size_t i = 0; i < s->allow_count; i++)
		if (cidr_contains(&s->allow[i], ip))
			return true;
	return public_address(ip);
}
