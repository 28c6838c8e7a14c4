#include "ingest/client_cert.h"

#include "base/certificate.h"
#include "ingest/meta.h"

static const struct {
	const char *member;
	const char *attribute; /* of a rule; NULL: none asks it */
	bool list;
} kinds[CERTIFICATE_KINDS] = {
	[CERTIFICATE_CN] = { "cn", "CN", true },
	[CERTIFICATE_RFC822] = { "rfc822", "SAN_RFC822_NAME", true },
	[CERTIFICATE_DNS] = { "dns", "SAN_DNS_NAME", true },
	[CERTIFICATE_DIRECTORY] = { "directory", "SAN_DIRECTORY_NAME", true },
	[CERTIFICATE_URI] = { "uri", "SAN_UNIFORM_RESOURCE_IDENTIFIER", true },
	[CERTIFICATE_IP] = { "ip", "SAN_IP_ADDRESS", true },
	[CERTIFICATE_REGISTERED_ID] = { "registered_id", "SAN_REGISTERED_ID", true },
	[CERTIFICATE_SERIAL] = { "serial", "SERIAL_NUMBER", false },
	[CERTIFICATE_ISSUER] = { "issuer", NULL, false },
};

const char *client_cert_member(struct slice attribute)
{
	for (size_t i = 0; i < COUNT(kinds); i++)
		if (kinds[i].attribute && slice_equal(attribute, slice_str(kinds[i].attribute)))
			return kinds[i].member;
	return NULL;
}

static enum rc add_item(struct buf *out, bool first, struct slice text)
{
	enum rc rc = first ? RC_OK : buf_add_byte(out, ',');

	return rc == RC_OK ? meta_string(out, text) : rc;
}

/* A kind that there is none of is left out. */
static enum rc write_kind(struct buf *out, const struct certificate *c, enum certificate_kind kind)
{
	size_t n = 0;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < c->count && rc == RC_OK; i++) {
		if (c->names[i].kind != kind)
			continue;
		if (!kinds[kind].list)
			return meta_text(out, kinds[kind].member, certificate_text(c, i));
		if (n == 0)
			rc = meta_open(out, kinds[kind].member, '[');
		if (rc == RC_OK)
			rc = add_item(out, n++ == 0, certificate_text(c, i));
	}
	return rc == RC_OK && n ? meta_close(out, ']') : rc;
}

enum rc client_cert_write(struct buf *out, struct slice der, struct err *e)
{
	struct certificate c;
	enum rc rc = certificate_read(&c, der, e);

	if (rc == RC_OK) {
		for (int k = 0; k < CERTIFICATE_KINDS && rc == RC_OK; k++)
			rc = write_kind(out, &c, (enum certificate_kind)k);
		if (rc == RC_OK)
			rc = meta_int(out, "not_before", c.not_before_ms);
		if (rc == RC_OK)
			rc = meta_int(out, "not_after", c.not_after_ms);
		if (rc != RC_OK)
			rc = err_set(e, rc, "the names of a certificate are too long");
	}
	certificate_free(&c);
	return rc;
}
