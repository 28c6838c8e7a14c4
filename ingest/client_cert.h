/*
 * ingest/client_cert.h - what is kept of a client's certificate beside its messages
 *
 * What     The member "client_cert" of a message's meta (docs/formats.md): names by kind, serial number,
 *          issuer, dates. And which of its members a rule's ClientCertificateAttribute asks.
 * Limits   As base/certificate.h; at most CLIENT_CERT_MOST bytes of JSON.
 * Threads  Pure functions.
 */
#ifndef MM_INGEST_CLIENT_CERT_H
#define MM_INGEST_CLIENT_CERT_H

#include "base/buf.h"

#define CLIENT_CERT_MOST 49152

/* Adds the members, without braces. RC_INVALID, RC_LIMIT: see certificate_read. */
enum rc client_cert_write(struct buf *out, struct slice der, struct err *e) MUST_USE;
/* "SAN_DNS_NAME" is in "dns"; NULL: there is no such attribute. */
const char *client_cert_member(struct slice attribute);

#endif
