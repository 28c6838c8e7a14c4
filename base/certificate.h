/*
 * base/certificate.h - the names in an X.509 certificate, as text that can be kept and compared
 *
 * What     The common names of the subject, the subject alternative names by kind, the serial
 * number, the issuer and the two dates. Text     UTF-8 always: what is none, and control
 * characters, a NUL too, are U+FFFD; so no name reads as a shorter one. Limits   A certificate with
 * more than CERTIFICATE_NAMES_MOST names, or more than CERTIFICATE_TEXT of text, or with
 * alternative names that can't be read, is refused whole: were some left out, a rule that asks for
 * one of them would be escaped. Fails    RC_INVALID, RC_LIMIT. Threads  Pure functions.
 */
#ifndef MM_BASE_CERTIFICATE_H
#define MM_BASE_CERTIFICATE_H

#include "base/buf.h"

#define CERTIFICATE_NAMES_MOST 100
#define CERTIFICATE_TEXT       16384

enum certificate_kind {
	CERTIFICATE_CN,
	CERTIFICATE_RFC822,
	CERTIFICATE_DNS,
	CERTIFICATE_DIRECTORY, /* RFC 4514: "CN=Ann,O=Shop" */
	CERTIFICATE_URI,
	CERTIFICATE_IP,            /* as ip_format */
	CERTIFICATE_REGISTERED_ID, /* "1.2.3" */
	CERTIFICATE_SERIAL,        /* upper-case hex digits */
	CERTIFICATE_ISSUER,        /* RFC 4514 */
	CERTIFICATE_KINDS,
};

struct certificate_name {
	enum certificate_kind kind;
	size_t at; /* in the text */
	size_t len;
};

struct certificate {
	struct certificate_name names[CERTIFICATE_NAMES_MOST];
	size_t count;
	int64_t not_before_ms;
	int64_t not_after_ms;
	struct buf text;
};

/* Other kinds of alternative names (otherName, X.400, EDI) are passed over. certificate_free in any
 * case. */
enum rc certificate_read(struct certificate *c, struct slice der, struct err *e) MUST_USE;
struct slice certificate_text(const struct certificate *c, size_t i);
void certificate_free(struct certificate *c);

#endif
