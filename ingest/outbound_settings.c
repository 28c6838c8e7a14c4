#include "ingest/outbound_settings.h"

#include "ingest/outbound.h"
#include "smtp/address.h"

#define HOUR_MS      3600000
#define AT_ONCE_MOST 1000
#define RATE_MOST    1000000
#define SMTP_PORT    25

struct number {
	const char *name;
	int64_t least;
	int64_t most;
	int64_t none;
};

static enum rc read_number(const json_t *o, const struct number *n, int64_t *out, struct err *e)
{
	const json_t *value = json_object_get(o, n->name);

	*out = n->none;
	if (!value)
		return RC_OK;
	*out = json_integer_value(value);
	if (json_is_integer(value) && *out >= n->least && *out <= n->most)
		return RC_OK;
	return err_set(e, RC_INVALID, "send.%s is %lld to %lld", n->name, (long long)n->least,
	               (long long)n->most);
}

/* Hours may have a fraction. */
static enum rc read_hours(const json_t *o, const struct number *n, int64_t *ms, struct err *e)
{
	const json_t *value = json_object_get(o, n->name);
	double hours = json_number_value(value);

	*ms = n->none * HOUR_MS;
	if (!value)
		return RC_OK;
	*ms = (int64_t)(hours * HOUR_MS);
	if (json_is_number(value) && hours >= (double)n->least && hours <= (double)n->most)
		return RC_OK;
	return err_set(e, RC_INVALID, "send.%s is %lld to %lld hours", n->name, (long long)n->least,
	               (long long)n->most);
}

static enum rc read_text(const json_t *o, const char *name, const char **out, struct err *e)
{
	const json_t *value = json_object_get(o, name);

	*out = json_string_value(value);
	if (!value || (*out && **out))
		return RC_OK;
	return err_set(e, RC_INVALID, "send: %s is a text", name);
}

static enum rc read_bool(const json_t *o, const char *name, bool *out, struct err *e)
{
	const json_t *value = json_object_get(o, name);

	*out = !json_is_false(value);
	if (!value || json_is_boolean(value))
		return RC_OK;
	return err_set(e, RC_INVALID, "send.%s is true or false", name);
}

static enum rc only_known(const json_t *o, const char *const *known, size_t count, const char *of,
                          struct err *e)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)o, name, value)
	{
		size_t i = 0;

		while (i < count && strcmp(known[i], name) != 0)
			i++;
		if (i == count)
			return err_set(e, RC_INVALID, "%s has no member %s", of, name);
	}
	return RC_OK;
}

static enum rc read_allow(struct outbound_settings *s, const json_t *send, struct err *e)
{
	const json_t *list = json_object_get(send, "allow");

	if (list && !json_is_array(list))
		return err_set(e, RC_INVALID, "send.allow is a list of networks");
	if (json_array_size(list) > OUTBOUND_NETS)
		return err_set(e, RC_INVALID, "send.allow: at most %d networks", OUTBOUND_NETS);
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!cidr_parse(&s->allow[s->allow_count++], json_text(json_array_get(list, i)),
		                true))
			return err_set(e, RC_INVALID,
			               "send.allow: a network is ADDR/BITS, as \"10.1.0.0/16\"");
	return RC_OK;
}

static enum rc read_retry(struct outbound_settings *s, const json_t *send, struct err *e)
{
	/* RFC 5321 section 4.5.4.1: two tries in the first hour, then every two or three. */
	static const int64_t usual[] = { 120, 300, 900, 1800, 3600, 7200 };
	const json_t *list = json_object_get(send, "retry");

	for (size_t i = 0; !list && i < COUNT(usual); i++)
		s->retry_ms[s->retry_count++] = usual[i] * 1000;
	if (list && (!json_is_array(list) || json_array_size(list) == 0 ||
	             json_array_size(list) > OUTBOUND_RETRIES))
		return err_set(e, RC_INVALID, "send.retry is a list of 1 to %d numbers of seconds",
		               OUTBOUND_RETRIES);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *value = json_array_get(list, i);
		json_int_t seconds = json_integer_value(value);

		if (!json_is_integer(value) || seconds < 1 || seconds > 86400)
			return err_set(e, RC_INVALID, "send.retry: 1 to 86400 seconds each");
		s->retry_ms[s->retry_count++] = seconds * 1000;
	}
	return RC_OK;
}

static enum rc read_queue(struct outbound_settings *s, const json_t *send, struct err *e)
{
	static const struct number lifetime = { "lifetime", 0, 24 * 60, 120 };
	static const struct number notice = { "delay_notice", 0, 24 * 60, 4 };
	static const struct number bytes = { "max_bytes", 1 << 20, (int64_t)1 << 50,
		                             (int64_t)4 << 30 };
	static const struct number days = { "dead_letter_days", 1, 3650, 30 };
	int64_t n = 0;
	enum rc rc = read_retry(s, send, e);

	if (rc == RC_OK)
		rc = read_hours(send, &lifetime, &s->lifetime_ms, e);
	if (rc == RC_OK)
		rc = read_hours(send, &notice, &s->delay_notice_ms, e);
	if (rc == RC_OK)
		rc = read_number(send, &bytes, &n, e);
	s->max_bytes = (uint64_t)n;
	if (rc == RC_OK)
		rc = read_number(send, &days, &n, e);
	s->dead_letter_days = (unsigned)n;
	return rc;
}

static enum rc read_rate(struct outbound_settings *s, const json_t *send, struct err *e)
{
	static const char *const known[] = { "destination", "user" };
	static const struct number destination = { "destination", 0, RATE_MOST, 0 };
	static const struct number user = { "user", 0, RATE_MOST, 0 };
	const json_t *rate = json_object_get(send, "rate");
	int64_t n = 0;
	enum rc rc;

	if (rate && !json_is_object(rate))
		return err_set(e, RC_INVALID, "send.rate has destination and user");
	rc = only_known(rate, known, COUNT(known), "send.rate", e);
	if (rc == RC_OK)
		rc = read_number(rate, &destination, &n, e);
	s->rate_destination = (unsigned)n;
	if (rc == RC_OK)
		rc = read_number(rate, &user, &n, e);
	s->rate_user = (unsigned)n;
	return rc;
}

static enum rc read_composer(struct outbound_settings *s, const json_t *send, struct err *e)
{
	static const char *const known[] = { "domain", "selector" };
	const json_t *arc = json_object_get(send, "arc");
	enum rc rc = read_text(send, "sender", &s->sender, e);

	if (rc != RC_OK)
		return rc;
	if (s->sender && !smtp_address_valid(slice_str(s->sender), 0))
		return err_set(e, RC_INVALID, "send.sender is an address, as relay@corp.example");
	if (!arc)
		return RC_OK;
	rc = only_known(arc, known, COUNT(known), "send.arc", e);
	if (rc == RC_OK)
		rc = read_text(arc, "domain", &s->arc_domain, e);
	if (rc == RC_OK)
		rc = read_text(arc, "selector", &s->arc_selector, e);
	if (rc != RC_OK)
		return rc;
	if (!s->arc_domain || !s->arc_selector || !smtp_domain_valid(slice_str(s->arc_domain), 0) ||
	    !smtp_domain_valid(slice_str(s->arc_selector), 0))
		return err_set(e, RC_INVALID, "send.arc has domain and selector, of a DKIM key");
	return RC_OK;
}

static enum rc read_bounds(struct outbound_settings *s, const json_t *send, struct err *e)
{
	static const struct number port = { "port", 1, 65535, SMTP_PORT };
	static const struct number sts_port = { "sts_port", 1, 65535, 443 };
	static const struct number at_once = { "at_once", 1, AT_ONCE_MOST, 100 };
	static const struct number each = { "per_destination", 1, AT_ONCE_MOST, 10 };
	static const struct number deadline = { "deadline", 1, 86400, 1800 };
	int64_t n = 0;
	enum rc rc = read_number(send, &port, &n, e);

	s->port = (uint16_t)n;
	if (rc == RC_OK)
		rc = read_number(send, &sts_port, &n, e);
	s->sts_port = (uint16_t)n;
	if (rc == RC_OK)
		rc = read_number(send, &at_once, &n, e);
	s->at_once = (unsigned)n;
	if (rc == RC_OK)
		rc = read_number(send, &each, &n, e);
	s->per_destination = (unsigned)n;
	if (rc == RC_OK)
		rc = read_number(send, &deadline, &n, e);
	s->deadline_ms = n * 1000;
	return rc;
}

static enum rc read_sender(struct outbound_settings *s, const json_t *send, struct err *e)
{
	enum rc rc = read_bounds(s, send, e);

	if (rc == RC_OK)
		rc = read_bool(send, "sts", &s->sts, e);
	if (rc == RC_OK)
		rc = read_bool(send, "dane", &s->dane, e);
	if (rc == RC_OK)
		rc = read_text(send, "ca", &s->ca, e);
	if (rc == RC_OK)
		rc = read_text(send, "hostname", &s->hostname, e);
	if (rc == RC_OK && s->hostname && !smtp_domain_valid(slice_str(s->hostname), 0))
		rc = err_set(e, RC_INVALID, "send.hostname is a host's name");
	return rc == RC_OK ? read_allow(s, send, e) : rc;
}

enum rc outbound_settings_read(struct outbound_settings *s, const json_t *send, struct err *e)
{
	static const char *const known[] = {
		"port",  "sts_port", "at_once",      "per_destination", "deadline",
		"sts",   "dane",     "ca",           "hostname",        "allow",
		"retry", "lifetime", "delay_notice", "max_bytes",       "dead_letter_days",
		"rate",  "sender",   "arc",
	};
	enum rc rc;

	*s = (struct outbound_settings) { .port = SMTP_PORT };
	if (send && !json_is_object(send))
		return err_set(e, RC_INVALID, "send is an object");
	rc = only_known(send, known, COUNT(known), "send", e);
	if (rc == RC_OK)
		rc = read_sender(s, send, e);
	if (rc == RC_OK)
		rc = read_queue(s, send, e);
	if (rc == RC_OK)
		rc = read_rate(s, send, e);
	return rc == RC_OK ? read_composer(s, send, e) : rc;
}
