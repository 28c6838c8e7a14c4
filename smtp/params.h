/*
 * smtp/params.h - parameters of MAIL and RCPT
 *
 * SIZE (RFC 1870), BODY (6152), SMTPUTF8 (6531), AUTH (4954), RET, ENVID, NOTIFY, ORCPT (3461, 6533).
 * Values are checked against their grammar. What xtext hides is decoded and must be printable, so
 * that nothing that is kept can break a line later.
 */
#ifndef MM_SMTP_PARAMS_H
#define MM_SMTP_PARAMS_H

#include "base/err.h"
#include "base/limits.h"
#include "smtp/server.h"

/* Where decoded values lie; on the caller's stack. A value is never longer than its line. */
struct smtp_params_room {
	uint8_t at[LIMIT_SMTP_LINE];
	size_t used;
};

/* `text` is what follows the path, with its blank. RC_NOTFOUND: a parameter that we don't know (555);
 * RC_INVALID: a bad, double or missing value (501). Slices point into text, room or constants. */
enum rc smtp_mail_params_parse(struct smtp_mail_params *p, struct slice text,
                               struct smtp_params_room *room, struct err *e) MUST_USE;
/* `utf8`: MAIL had SMTPUTF8, so ORCPT of type utf-8 may hold it. */
enum rc smtp_rcpt_params_parse(struct smtp_rcpt_params *p, struct slice text, bool utf8,
                               struct smtp_params_room *room, struct err *e) MUST_USE;
/* RFC 3461 section 4: "+HH" is a byte, '+' and '=' stand only so. The result is added to the room.
 * False when it isn't xtext, or what it hides isn't printable ASCII. */
bool smtp_xtext_decode(struct slice text, struct smtp_params_room *room, struct slice *out);
bool smtp_is_ascii(struct slice s);

#endif
