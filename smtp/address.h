/*
 * smtp/address.h - the grammar of paths and addresses, RFC 5321 section 4.1.2 and RFC 6531 3.3
 *
 * Strict: no comment, no blank, no source route, no underscore in a domain, no address literal but
 * IPv4 and IPv6. Nothing is re-read: what stands in quotes is a local part and never an address.
 */
#ifndef MM_SMTP_ADDRESS_H
#define MM_SMTP_ADDRESS_H

#include "base/err.h"
#include "base/slice.h"

struct smtp_path;

enum smtp_address_flag {
	ADDRESS_UTF8 = 1,       /* SMTPUTF8 was given */
	ADDRESS_NULL = 2,       /* <> is allowed (MAIL) */
	ADDRESS_POSTMASTER = 4, /* <postmaster> without a domain is allowed (RCPT) */
	ADDRESS_ODD = 8,        /* unquoted % and ! in the local part are allowed */
};

/* Reads "<...>" at the start of `text`; *rest is what follows the '>'. A source route is refused.
 * RC_INVALID with a text for the peer; RC_LIMIT when a part is too long; RC_DENIED for % and !. */
enum rc smtp_path_parse(struct smtp_path *out, struct slice text, unsigned flags,
			struct slice *rest, struct err *e) MUST_USE;
/* A bare local@domain, whole. */
bool smtp_address_valid(struct slice address, unsigned flags);
/* Labels of letters, digits and inner hyphens (and UTF-8 with ADDRESS_UTF8), or an address literal
 * in brackets. */
bool smtp_domain_valid(struct slice domain, unsigned flags);

#endif
