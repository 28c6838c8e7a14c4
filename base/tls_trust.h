/*
 * base/tls_trust.h - the CAs that client certificates must come from, and their revocation lists
 *
 * What     Made from PEM text; asked during a handshake (tls_server_require). A certificate is good
 * when a chain leads from it, through intermediate ones that the client sends, to a CA of the
 * store, each link is valid now and may be used for TLS clients (where it has an extended key
 * usage), and no revocation list names one of them. Ignored  A CA that is expired or not yet valid;
 * a revocation list that is expired or not yet valid; a CA, of the store or sent, of whose lists
 * none is valid now; a CA that a list of another one names. What is ignored is judged at each
 * handshake. Any CA   of the store is trusted by itself, an intermediate one without its root too.
 * Limits   TLS_TRUST_CAS certificates, TLS_TRUST_CRLS lists: a handshake looks at all of them.
 * Lists    must be complete: delta lists and partitioned ones (any critical extension) are refused.
 * Owner    Counted references.
 * Fails    RC_INVALID with what is wrong and where: "certificate 2: it is not a CA's".
 * Threads  Any, once made.
 */
#ifndef MM_BASE_TLS_TRUST_H
#define MM_BASE_TLS_TRUST_H

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"

#define TLS_TRUST_CAS  512
#define TLS_TRUST_CRLS 64

struct tls_trust;

/* `cas`: one certificate or more, each a CA's (basicConstraints). Text between PEM blocks is passed
 * over; any other block is an error. */
enum rc tls_trust_new(struct tls_trust **out, struct slice cas, struct err *e) MUST_USE;
/* Before the first use, once. One list or more. */
enum rc tls_trust_add_crls(struct tls_trust *t, struct slice crls, struct err *e) MUST_USE;
struct tls_trust *tls_trust_ref(struct tls_trust *t);
void tls_trust_free(struct tls_trust **t); /* drops this reference; NULL is fine */

/* For base/tls.c alone: OpenSSL's callback that verifies a peer's chain, and its argument. */
struct x509_store_ctx_st;
int tls_trust_verify(struct x509_store_ctx_st *chain, void *trust);

#endif
