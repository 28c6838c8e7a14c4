#include "base/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

static const uint8_t mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

static struct ip ip_of_v6(const uint8_t b[16])
{
	struct ip ip = { .family = 6 };

	if (memcmp(b, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		ip.family = 4;
		memcpy(ip.b, b + 12, 4);
	} else {
		memcpy(ip.b, b, 16);
	}
	return ip;
}

bool ip_parse(struct ip *out, struct slice text)
{
	char copy[INET6_ADDRSTRLEN];
	uint8_t raw[16] = { 0 };

	*out = (struct ip) { 0 };
	if (text.len == 0 || text.len >= sizeof(copy) || slice_find_byte(text, 0) != SIZE_MAX)
		return false;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	if (slice_find_byte(text, ':') == SIZE_MAX) {
		if (inet_pton(AF_INET, copy, raw) != 1)
			return false;
		out->family = 4;
		memcpy(out->b, raw, 4);
		return true;
	}
	if (inet_pton(AF_INET6, copy, raw) != 1)
		return false;
	*out = ip_of_v6(raw);
	return true;
}

struct ip ip_of_sockaddr(const struct sockaddr *from)
{
	struct ip ip = { 0 };

	if (from->sa_family == AF_INET) {
		struct sockaddr_in v4;

		memcpy(&v4, from, sizeof(v4));
		ip.family = 4;
		memcpy(ip.b, &v4.sin_addr, 4);
	} else if (from->sa_family == AF_INET6) {
		struct sockaddr_in6 v6;

		memcpy(&v6, from, sizeof(v6));
		ip = ip_of_v6(v6.sin6_addr.s6_addr);
	}
	return ip;
}

void ip_format(char out[IP_TEXT], const struct ip *ip)
{
	int family = ip->family == 4 ? AF_INET : AF_INET6;

	if (ip->family == 0 || !inet_ntop(family, ip->b, out, IP_TEXT))
		(void)snprintf(out, IP_TEXT, "unknown");
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
	return a->family == b->family && memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

/* "::ffff:192.0.2.0/120" was written for the mapped range: 120 - 96 bits of the IPv4 address. */
static bool network_bits(struct cidr *out, uint64_t bits, bool v6_text)
{
	if (v6_text && out->base.family == 4) {
		if (bits < 96)
			return false;
		bits -= 96;
	}
	if (bits > (out->base.family == 4 ? 32 : 128))
		return false;
	out->bits = (uint8_t)bits;
	return true;
}

bool cidr_parse(struct cidr *out, struct slice text, bool bare)
{
	struct slice digits;
	struct slice address = slice_cut(text, '/', &digits);
	bool v6_text = slice_find_byte(address, ':') != SIZE_MAX;
	uint64_t bits;

	*out = (struct cidr) { 0 };
	if (!ip_parse(&out->base, address))
		return false;
	if (address.len == text.len) {
		out->bits = out->base.family == 4 ? 32 : 128;
		return bare;
	}
	if (digits.len > 3 || (digits.len > 1 && digits.at[0] == '0'))
		return false;
	return slice_to_u64(digits, &bits) && network_bits(out, bits, v6_text);
}

bool cidr_contains(const struct cidr *net, const struct ip *ip)
{
	size_t whole = net->bits / 8;
	unsigned rest = net->bits % 8;

	if (ip->family == 0 || net->base.family != ip->family)
		return false;
	if (memcmp(net->base.b, ip->b, whole) != 0)
		return false;
	return rest == 0 || ((net->base.b[whole] ^ ip->b[whole]) >> (8 - rest)) == 0;
}

bool ip_port_parse(struct ip *ip, uint16_t *port, struct slice text)
{
	struct slice host;
	struct slice digits;
	uint64_t n;

	if (text.len && text.at[0] == '[') {
		host = slice_cut(slice_from(text, 1), ']', &digits);
		if (digits.len == 0 || digits.at[0] != ':' ||
		    slice_find_byte(host, ':') == SIZE_MAX)
			return false;
		digits = slice_from(digits, 1);
	} else {
		host = slice_cut(text, ':', &digits);
	}
	if (digits.len == 0 || digits.len > 5 || !slice_to_u64(digits, &n) || n < 1 || n > 65535)
		return false;
	*port = (uint16_t)n;
	return ip_parse(ip, host);
}
