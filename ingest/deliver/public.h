/*
 * ingest/deliver/public.h - which addresses mail from strangers may be sent to
 *
 * What     Who writes a recipient writes the name whose addresses the sender connects to. So only public ones are:
 *          none of RFC 6890's special-purpose addresses (this host, private, link-local, documentation, multicast,
 *          ...), and none of IPv6 that carries one of IPv4 (mapped, 6to4, Teredo, NAT64) and would lead to it.
 * Threads  Any.
 */
#ifndef MM_INGEST_DELIVER_PUBLIC_H
#define MM_INGEST_DELIVER_PUBLIC_H

#include "ingest/outbound_settings.h"

bool public_address(const struct ip *ip);
/* May a mail server have this address? A public one, one of `send.allow`; and loopback where `send.port` isn't 25,
 * as only a test has it. */
bool public_allows(const struct outbound_settings *s, const struct ip *ip);

#endif
