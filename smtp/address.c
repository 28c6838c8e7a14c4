#include "smtp/address.h"

#include "base/cidr.h"
#include "base/limits.h"
#include "smtp/server.h"

#define LABEL_BYTES 63 /* RFC 1035 section 2.3.4 */

enum class { LETDIG = 1, ATEXT = 2, QTEXT = 4 };

/* RFC 5321 section 4.1.2: Let-dig; RFC 5322 3.2.3: atext; qtextSMTP. */
static const uint8_t classes[128] = {
	[' '] = QTEXT,
	['!'] = ATEXT | QTEXT,
	['#' ... '\''] = ATEXT | QTEXT,
	['(' ... ')'] = QTEXT,
	['*' ... '+'] = ATEXT | QTEXT,
	[','] = QTEXT,
	['-'] = ATEXT | QTEXT,
	['.'] = QTEXT,
	['/'] = ATEXT | QTEXT,
	['0' ... '9'] = LETDIG | ATEXT | QTEXT,
	[':' ... '<'] = QTEXT,
	['='] = ATEXT | QTEXT,
	['>'] = QTEXT,
	['?'] = ATEXT | QTEXT,
	['@'] = QTEXT,
	['A' ... 'Z'] = LETDIG | ATEXT | QTEXT,
	['['] = QTEXT,
	[']'] = QTEXT,
	['^' ... '`'] = ATEXT | QTEXT,
	['a' ... 'z'] = LETDIG | ATEXT | QTEXT,
	['{' ... '~'] = ATEXT | QTEXT,
};

static bool is(uint8_t c, enum class class, unsigned flags)
{
	return c < 128 ? classes[c] & class : (flags & ADDRESS_UTF8) != 0;
}

/* Length of the quoted string at the start, with its quotes; 0: it isn't one. */
static size_t quoted_length(struct slice text, unsigned flags)
{
	for (size_t i = 1; i < text.len; i++) {
		uint8_t c = text.at[i];

		if (c == '"')
			return i + 1;
		if (c == '\\') {
			if (++i == text.len || text.at[i] < ' ' || text.at[i] > '~')
				return 0;
		} else if (!is(c, QTEXT, flags)) {
			return 0;
		}
	}
	return 0;
}

/* Length of the dot-string at the start; 0: none, or a dot in a wrong place. */
static size_t dots_length(struct slice text, unsigned flags)
{
	size_t i = 0;
	bool atom = false;

	for (; i < text.len; i++) {
		if (text.at[i] == '.') {
			if (!atom)
				return 0;
			atom = false;
		} else if (is(text.at[i], ATEXT, flags)) {
			atom = true;
		} else {
			break;
		}
	}
	return atom ? i : 0;
}

static size_t local_length(struct slice text, unsigned flags)
{
	if (text.len && text.at[0] == '"')
		return quoted_length(text, flags);
	return dots_length(text, flags);
}

/* A relay of former times would read user%host and host!user as routes. */
static bool is_odd(struct slice local)
{
	return local.at[0] != '"' &&
	       (slice_find_byte(local, '%') != SIZE_MAX || slice_find_byte(local, '!') != SIZE_MAX);
}

static bool literal_valid(struct slice inside)
{
	struct slice tag = slice_str("IPv6:");
	bool six = slice_starts_nocase(inside, tag);
	struct slice text = six ? slice_from(inside, tag.len) : inside;
	struct ip ip;

	/* The family isn't asked: ::ffff:192.0.2.1 counts as IPv4. */
	return ip_parse(&ip, text) && (slice_find_byte(text, ':') != SIZE_MAX) == six;
}

static bool label_valid(struct slice label, unsigned flags)
{
	bool ascii = true;

	if (label.len == 0 || label.at[0] == '-' || label.at[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++) {
		if (label.at[i] != '-' && !is(label.at[i], LETDIG, flags))
			return false;
		ascii = ascii && label.at[i] < 128;
	}
	return !ascii || label.len <= LABEL_BYTES;
}

bool smtp_domain_valid(struct slice domain, unsigned flags)
{
	struct slice rest = domain;

	if (domain.len == 0 || domain.len > LIMIT_SMTP_DOMAIN)
		return false;
	if (domain.at[0] == '[')
		return domain.at[domain.len - 1] == ']' &&
		       literal_valid(slice_part(domain, 1, domain.len - 2));
	if (domain.at[domain.len - 1] == '.' || !slice_is_utf8(domain))
		return false;
	while (rest.len)
		if (!label_valid(slice_cut(rest, '.', &rest), flags))
			return false;
	return true;
}

bool smtp_address_valid(struct slice address, unsigned flags)
{
	size_t n = local_length(address, flags);
	struct slice local = slice_part(address, 0, n);

	if (n == 0 || n > LIMIT_SMTP_LOCAL_PART || address.len > LIMIT_SMTP_PATH - 2)
		return false;
	if (!slice_is_utf8(local) || (!(flags & ADDRESS_ODD) && is_odd(local)))
		return false;
	return n < address.len && address.at[n] == '@' &&
	       smtp_domain_valid(slice_from(address, n + 1), flags);
}

/* The part behind '<'; `inside` ends before '>' or, when there is none, at the end of the line. */
static enum rc mailbox_parse(struct smtp_path *out, struct slice text, unsigned flags,
                             struct slice *rest, struct err *e)
{
	size_t n = local_length(text, flags);
	size_t end;

	if (text.len && text.at[0] == '@')
		return err_set(e, RC_INVALID, "source routes are not accepted");
	out->local = slice_part(text, 0, n);
	if (n == 0 || !slice_is_utf8(out->local))
		return err_set(e, RC_INVALID, "the local part is not valid");
	if (n > LIMIT_SMTP_LOCAL_PART)
		return err_set(e, RC_LIMIT, "the local part is longer than %d octets",
		               LIMIT_SMTP_LOCAL_PART);
	end = slice_find_byte(slice_from(text, n), '>');
	if (end == SIZE_MAX)
		return err_set(e, RC_INVALID, "the path has no closing bracket");
	out->address = slice_part(text, 0, n + end);
	*rest = slice_from(text, n + end + 1);
	if (end == 0 && (flags & ADDRESS_POSTMASTER) &&
	    slice_equal_nocase(out->local, slice_str("postmaster")))
		return RC_OK;
	if (end == 0 || text.at[n] != '@')
		return err_set(e, RC_INVALID, "the local part is not followed by @ and a domain");
	out->domain = slice_part(text, n + 1, end - 1);
	if (out->domain.len > LIMIT_SMTP_DOMAIN || out->address.len > LIMIT_SMTP_PATH - 2)
		return err_set(e, RC_LIMIT, "the path is longer than %d octets", LIMIT_SMTP_PATH);
	if (!smtp_domain_valid(out->domain, flags))
		return err_set(e, RC_INVALID, "the domain is not valid");
	return RC_OK;
}

enum rc smtp_path_parse(struct smtp_path *out, struct slice text, unsigned flags,
                        struct slice *rest, struct err *e)
{
	enum rc rc;

	*out = (struct smtp_path) { 0 };
	*rest = slice_of(NULL, 0);
	if (text.len == 0 || text.at[0] != '<')
		return err_set(e, RC_INVALID, "the path is not in angle brackets");
	if (text.len > 1 && text.at[1] == '>') {
		*rest = slice_from(text, 2);
		if (flags & ADDRESS_NULL)
			return RC_OK;
		return err_set(e, RC_INVALID, "the path is empty");
	}
	rc = mailbox_parse(out, slice_from(text, 1), flags, rest, e);
	if (rc == RC_OK && !(flags & ADDRESS_ODD) && is_odd(out->local))
		return err_set(e, RC_DENIED, "unquoted %% and ! are not accepted in a local part");
	return rc;
}
