/*
 * ingest/trust_store.h - the trust store of an MTLS ingress point: CAs and revocation lists as PEM text
 *
 * It is the member TRUST_STORE of the point as it is stored and as it stands in a file.
 */
#ifndef MM_INGEST_TRUST_STORE_H
#define MM_INGEST_TRUST_STORE_H

#include "base/json.h"
#include "base/tls_trust.h"

#define TRUST_STORE "IngressPointConfiguration.TlsAuthConfiguration.TrustStore"

/* {CAContent, CrlContent}; borrowed; NULL: it has none. */
json_t *trust_store_of(const json_t *point);
/* RC_INVALID names the member: "IngressPointConfiguration...CAContent: certificate 1: it is not a CA's". */
enum rc trust_store_read(struct tls_trust **out, const json_t *point, struct err *e) MUST_USE;

#endif
