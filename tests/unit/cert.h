/* tests/unit/cert.h - a self-signed certificate and its key as PEM text, for tests */
#ifndef MM_TESTS_UNIT_CERT_H
#define MM_TESTS_UNIT_CERT_H

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/buf.h"

static inline void cert_take(BIO *b, struct buf *out)
{
	char *text;
	long n = BIO_get_mem_data(b, &text);

	MUST(n > 0 && buf_add(out, slice_of(text, (size_t)n)) == RC_OK);
	BIO_free(b);
}

/* `name` becomes a DNS name of the certificate. Both buffers are initialized here. */
static inline void cert_make(const char *name, struct buf *chain, struct buf *key)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *b = BIO_new(BIO_s_mem());
	char names[300];
	X509_EXTENSION *ext;

	(void)snprintf(names, sizeof(names), "DNS:%s", name);
	MUST(k && x && b && X509_set_version(x, 2));
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600 * 24);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, k);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
	MUST(ext && X509_add_ext(x, ext, -1) && X509_sign(x, k, EVP_sha256()));
	X509_EXTENSION_free(ext);
	buf_init(chain, 65536);
	buf_init(key, 65536);
	MUST(PEM_write_bio_X509(b, x));
	cert_take(b, chain);
	b = BIO_new(BIO_s_mem());
	MUST(b && PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL));
	cert_take(b, key);
	X509_free(x);
	EVP_PKEY_free(k);
}

#endif
