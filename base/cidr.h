/*
 * base/cidr.h - IP addresses and networks
 *
 * An IPv4 address that came in IPv6 clothes (::ffff:192.0.2.1, as a dual-stack socket gives it) is
 * an IPv4 address here, so a rule on 192.0.2.0/24 can't be escaped by the way the peer connected.
 * A network of one family never contains an address of the other.
 */
#ifndef MM_BASE_CIDR_H
#define MM_BASE_CIDR_H

#include "base/slice.h"

#define IP_TEXT 46 /* with the NUL */

struct ip {
	uint8_t family; /* 4, 6, or 0: unknown, in no network */
	uint8_t b[16];  /* network order; IPv4 in the first four, the rest zero */
};

struct cidr {
	struct ip base;
	uint8_t bits; /* 0..32, 0..128 */
};

struct sockaddr;

/* Dotted quad of four decimal numbers (no leading zero, no octal, no short form) or RFC 4291
 * section 2.2, without brackets or zone. */
bool ip_parse(struct ip *out, struct slice text);
/* AF_INET and AF_INET6; family 0 for all else (a Unix socket). */
struct ip ip_of_sockaddr(const struct sockaddr *from);
/* RFC 5952; "unknown" for family 0. */
void ip_format(char out[IP_TEXT], const struct ip *ip);
bool ip_equal(const struct ip *a, const struct ip *b);

/* "192.0.2.0/24", "2001:db8::/32". Bits of the host part may be set and are ignored. Without "/n" a
 * single address where `bare` is true, else false. */
bool cidr_parse(struct cidr *out, struct slice text, bool bare);
bool cidr_contains(const struct cidr *net, const struct ip *ip);

/* "ADDR:PORT" or "[ADDR6]:PORT", an address literal and a port of 1..65535. */
bool ip_port_parse(struct ip *ip, uint16_t *port, struct slice text);

#endif
