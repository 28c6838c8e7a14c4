#include "base/certificate.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/cidr.h"

#define REPLACEMENT "\xef\xbf\xbd"
#define OID_ROOM    256

/* ---- text ---- */

/* Length of the UTF-8 sequence at the start of s that may stay; 0: it may not. */
static size_t clean_sequence(struct slice s)
{
	uint8_t c = s.at[0];
	size_t n = c < 0x20 || c == 0x7f ? 0 : c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	return n && n <= s.len && slice_is_utf8(slice_part(s, 0, n)) ? n : 0;
}

static enum rc add_clean(struct buf *b, struct slice s)
{
	enum rc rc = RC_OK;

	while (rc == RC_OK && s.len) {
		size_t n = clean_sequence(s);

		rc = n ? buf_add(b, slice_part(s, 0, n)) : buf_add_str(b, REPLACEMENT);
		s = slice_from(s, n ? n : 1);
	}
	return rc;
}

static enum rc add_name(struct certificate *c, enum certificate_kind kind, struct slice text)
{
	size_t at = c->text.len;
	enum rc rc;

	if (c->count == CERTIFICATE_NAMES_MOST)
		return RC_LIMIT;
	rc = add_clean(&c->text, text);
	c->names[c->count++] = (struct certificate_name) { kind, at, c->text.len - at };
	return rc;
}

static enum rc add_string(struct certificate *c, enum certificate_kind kind, const ASN1_STRING *s)
{
	unsigned char *text = NULL;
	int n = ASN1_STRING_to_UTF8(&text, s);
	enum rc rc;

	if (n < 0)
		return add_name(c, kind, slice_str(REPLACEMENT)); /* no text of its type */
	rc = add_name(c, kind, slice_of(text, (size_t)n));
	OPENSSL_free(text);
	return rc;
}

/* An IA5String as it is: OpenSSL's conversion would take its high bytes for Latin-1. */
static enum rc add_ia5(struct certificate *c, enum certificate_kind kind, const ASN1_IA5STRING *s)
{
	return add_name(c, kind, slice_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)));
}

static enum rc add_directory(struct certificate *c, enum certificate_kind kind, const X509_NAME *n)
{
	BIO *b = BIO_new(BIO_s_mem());
	unsigned long how = XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;
	char *text = NULL;
	long len;
	enum rc rc;

	MUST(b);
	if (X509_NAME_print_ex(b, n, 0, how) < 0) {
		rc = add_name(c, kind, slice_str(REPLACEMENT));
	} else {
		len = BIO_get_mem_data(b, &text);
		rc = add_name(c, kind, slice_of(text, len > 0 ? (size_t)len : 0));
	}
	BIO_free(b);
	return rc;
}

/* ---- what there is ---- */

static enum rc add_common_names(struct certificate *c, const X509_NAME *subject)
{
	enum rc rc = RC_OK;
	int at = -1;

	while (rc == RC_OK && (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0)
		rc = add_string(c, CERTIFICATE_CN,
		                X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	return rc;
}

/* One of another length is no address: it can't be asked for. */
static enum rc add_ip(struct certificate *c, const ASN1_OCTET_STRING *s)
{
	struct ip ip = { .family = 4 };
	char text[IP_TEXT];
	int len = ASN1_STRING_length(s);

	if (len != 4 && len != 16)
		return RC_OK;
	if (len == 16)
		ip.family = 6;
	memcpy(ip.b, ASN1_STRING_get0_data(s), (size_t)len);
	ip_format(text, &ip);
	return add_name(c, CERTIFICATE_IP, slice_str(text));
}

static enum rc add_registered_id(struct certificate *c, const ASN1_OBJECT *o)
{
	char text[OID_ROOM];
	int n = OBJ_obj2txt(text, sizeof(text), o, 1);

	if (n < 0 || n >= (int)sizeof(text))
		return RC_LIMIT;
	return add_name(c, CERTIFICATE_REGISTERED_ID, slice_str(text));
}

static enum rc add_alternative(struct certificate *c, const GENERAL_NAME *n)
{
	switch (n->type) {
	case GEN_EMAIL:
		return add_ia5(c, CERTIFICATE_RFC822, n->d.rfc822Name);
	case GEN_DNS:
		return add_ia5(c, CERTIFICATE_DNS, n->d.dNSName);
	case GEN_URI:
		return add_ia5(c, CERTIFICATE_URI, n->d.uniformResourceIdentifier);
	case GEN_DIRNAME:
		return add_directory(c, CERTIFICATE_DIRECTORY, n->d.directoryName);
	case GEN_IPADD:
		return add_ip(c, n->d.iPAddress);
	case GEN_RID:
		return add_registered_id(c, n->d.registeredID);
	}
	return RC_OK;
}

static enum rc add_alternatives(struct certificate *c, const X509 *x)
{
	int critical;
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, &critical, NULL);
	enum rc rc = RC_OK;

	if (!names) /* -1: there is none; else it is there twice, or can't be read */
		return critical == -1 ? RC_OK : RC_INVALID;
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && rc == RC_OK; i++)
		rc = add_alternative(c, sk_GENERAL_NAME_value(names, i));
	GENERAL_NAMES_free(names);
	return rc;
}

static enum rc add_serial(struct certificate *c, const X509 *x)
{
	BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
	char *hex = n ? BN_bn2hex(n) : NULL;
	enum rc rc = hex ? add_name(c, CERTIFICATE_SERIAL, slice_str(hex)) : RC_INVALID;

	OPENSSL_free(hex);
	BN_free(n);
	return rc;
}

static bool read_time(int64_t *ms, const ASN1_TIME *t)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days;
	int seconds;
	bool good = epoch && ASN1_TIME_diff(&days, &seconds, epoch, t) == 1;

	ASN1_TIME_free(epoch);
	*ms = good ? ((int64_t)days * 86400 + seconds) * 1000 : 0;
	return good;
}

static enum rc read_all(struct certificate *c, const X509 *x)
{
	enum rc rc = add_common_names(c, X509_get_subject_name(x));

	if (rc == RC_OK)
		rc = add_alternatives(c, x);
	if (rc == RC_OK)
		rc = add_serial(c, x);
	if (rc == RC_OK)
		rc = add_directory(c, CERTIFICATE_ISSUER, X509_get_issuer_name(x));
	if (rc == RC_OK && (!read_time(&c->not_before_ms, X509_get0_notBefore(x)) ||
	                    !read_time(&c->not_after_ms, X509_get0_notAfter(x))))
		rc = RC_INVALID;
	return rc;
}

enum rc certificate_read(struct certificate *c, struct slice der, struct err *e)
{
	const unsigned char *at = der.at;
	X509 *x = der.len && der.len <= INT32_MAX ? d2i_X509(NULL, &at, (long)der.len) : NULL;
	enum rc rc = RC_INVALID;

	c->count = 0;
	c->not_before_ms = c->not_after_ms = 0;
	buf_init(&c->text, CERTIFICATE_TEXT);
	if (x)
		rc = read_all(c, x);
	X509_free(x);
	ERR_clear_error();
	if (rc == RC_OK)
		return RC_OK;
	return rc == RC_INVALID
	               ? err_set(e, rc, "a certificate that can't be read")
	               : err_set(e, RC_LIMIT, "a certificate with too many or too long names");
}

struct slice certificate_text(const struct certificate *c, size_t i)
{
	return slice_part(buf_slice(&c->text), c->names[i].at, c->names[i].len);
}

void certificate_free(struct certificate *c)
{
	buf_free(&c->text);
	c->count = 0;
}
