#include "ingest/trust_store.h"

json_t *trust_store_of(const json_t *point)
{
	const json_t *of = json_member_object(point, "IngressPointConfiguration");

	return json_member_object(json_member_object(of, "TlsAuthConfiguration"), "TrustStore");
}

enum rc trust_store_read(struct tls_trust **out, const json_t *point, struct err *e)
{
	const json_t *store = trust_store_of(point);
	struct slice crls = json_member_text(store, "CrlContent");
	enum rc rc;

	*out = NULL;
	if (!store)
		return err_set(e, RC_INVALID, TRUST_STORE ": Member must not be null");
	rc = tls_trust_new(out, json_member_text(store, "CAContent"), e);
	if (rc != RC_OK)
		return err_in(e, TRUST_STORE ".CAContent");
	if (crls.len)
		rc = tls_trust_add_crls(*out, crls, e);
	if (rc == RC_OK)
		return RC_OK;
	tls_trust_free(out);
	return err_in(e, TRUST_STORE ".CrlContent");
}
