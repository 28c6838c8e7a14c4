/* ingest/verdict/resolver_options.c - where lookups go, out of the configuration */
#include "ingest/verdict/resolver.h"

#define DNS_PORT 53

bool resolver_server(struct slice text, struct ip *ip, uint16_t *port)
{
	struct slice number;
	struct slice address = slice_cut(text, '@', &number);
	uint64_t n = DNS_PORT;

	if (address.len < text.len && (!slice_to_u64(number, &n) || n < 1 || n > 65535))
		return false;
	*port = (uint16_t)n;
	return ip_parse(ip, address);
}

size_t resolver_ports(const struct resolver_options *o, uint16_t out[RESOLVER_STUBS + 1])
{
	struct ip ip;
	size_t n = 1;

	out[0] = DNS_PORT;
	if (o->forward)
		(void)resolver_server(slice_str(o->forward), &ip, &out[0]);
	for (size_t i = 0; i < o->stub_count; i++)
		if (resolver_server(slice_str(o->stubs[i].server), &ip, &out[n]))
			n++;
	return n;
}

static enum rc read_stubs(struct resolver_options *o, const json_t *stubs, struct err *e)
{
	const char *zone;
	json_t *server;

	json_object_foreach((json_t *)(uintptr_t)stubs, zone, server)
	{
		struct ip ip;
		uint16_t port;

		if (o->stub_count == RESOLVER_STUBS)
			return err_set(e, RC_INVALID, "dns.stubs: at most %d", RESOLVER_STUBS);
		if (!json_is_string(server) || !resolver_server(json_text(server), &ip, &port))
			return err_set(e, RC_INVALID, "dns.stubs: a server is ADDR@PORT");
		if (!*zone || strlen(zone) > 253 || strpbrk(zone, " \t\r\n\"\\"))
			return err_set(e, RC_INVALID, "dns.stubs: that is no zone");
		o->stubs[o->stub_count++] =
		        (struct resolver_stub) { zone, json_string_value(server) };
	}
	return RC_OK;
}

enum rc resolver_options_read(struct resolver_options *o, const json_t *dns, struct err *e)
{
	static const char *const known[] = { "forward", "resolv_conf", "trust_anchor",
		                             "stubs",   "deadline",    "lists" };
	const json_t *forward = json_object_get(dns, "forward");
	const json_t *anchor = json_object_get(dns, "trust_anchor");
	const json_t *stubs = json_object_get(dns, "stubs");
	const json_t *conf = json_object_get(dns, "resolv_conf");
	struct ip ip;
	uint16_t port;
	size_t found = 0;

	*o = (struct resolver_options) { .forward = json_string_value(forward),
		                         .trust_anchor = json_string_value(anchor),
		                         .resolv_conf = json_is_true(conf) };
	for (size_t i = 0; i < COUNT(known); i++)
		found += json_object_get(dns, known[i]) != NULL;
	if (!json_is_object(dns) || found != json_object_size(dns))
		return err_set(e, RC_INVALID,
		               "dns has forward, resolv_conf, trust_anchor, stubs, deadline");
	if (forward && (!o->forward || !resolver_server(slice_str(o->forward), &ip, &port)))
		return err_set(e, RC_INVALID, "dns.forward is ADDR@PORT");
	if (anchor && !o->trust_anchor)
		return err_set(e, RC_INVALID, "dns.trust_anchor is a file's name");
	if (conf && !json_is_boolean(conf))
		return err_set(e, RC_INVALID, "dns.resolv_conf is true or false");
	if (o->forward && o->resolv_conf)
		return err_set(e, RC_INVALID, "dns.forward and dns.resolv_conf exclude each other");
	if (stubs && !json_is_object(stubs))
		return err_set(e, RC_INVALID, "dns.stubs is an object: zone to server");
	return read_stubs(o, stubs, e);
}

enum rc resolver_deadline(const json_t *dns, int64_t *ms, struct err *e)
{
	const json_t *deadline = json_object_get(dns, "deadline");
	json_int_t s = deadline ? json_integer_value(deadline) : RESOLVER_DEADLINE_S;

	if (deadline && (!json_is_integer(deadline) || s < 1 || s > RESOLVER_DEADLINE_MOST_S))
		return err_set(e, RC_INVALID, "dns.deadline is 1 to %d seconds",
		               RESOLVER_DEADLINE_MOST_S);
	*ms = s * 1000;
	return RC_OK;
}
