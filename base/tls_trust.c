#include "base/tls_trust.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/certificate.h"
#include "base/clock.h"

#define LONGEST_CHAIN 8 /* intermediate ones */

struct tls_trust {
	atomic_uint refs;
	X509 **cas;
	size_t ca_count;
	X509_CRL **crls;
	size_t crl_count;
	bool *signed_by; /* [list * ca_count + CA] */
};

/* ---- reading ---- */

static enum rc openssl_err(struct err *e, const char *what, size_t number)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return err_set(e, RC_INVALID, "%s %zu: %s", what, number,
	               reason ? reason : "it can't be read");
}

/* Calls `add` with the DER of each block, which must be named so. */
static enum rc each_block(struct slice pem, const char *name, const char *what,
                          enum rc (*add)(struct tls_trust *t, struct slice der, struct err *e),
                          struct tls_trust *t, struct err *e)
{
	BIO *b = BIO_new_mem_buf(pem.at ? (const void *)pem.at : "",
	                         (int)MIN_OF(pem.len, INT32_MAX));
	char *is = NULL;
	char *header = NULL;
	unsigned char *der = NULL;
	long len = 0;
	size_t n = 0;
	enum rc rc = RC_OK;

	MUST(b);
	ERR_clear_error();
	while (rc == RC_OK && PEM_read_bio(b, &is, &header, &der, &len) == 1) {
		n++;
		rc = strcmp(is, name) == 0 && !header[0]
		             ? add(t, slice_of(der, (size_t)len), e)
		             : err_set(e, RC_INVALID, "it has a PEM block that is no %s", name);
		if (rc != RC_OK)
			(void)err_in(e, "%s %zu", what, n);
		OPENSSL_free(is);
		OPENSSL_free(header);
		OPENSSL_clear_free(der, (size_t)len);
	}
	BIO_free(b);
	if (rc == RC_OK && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return openssl_err(e, what, n + 1);
	ERR_clear_error();
	return rc == RC_OK && !n ? err_set(e, RC_INVALID, "it has no PEM block \"%s\"", name) : rc;
}

static enum rc add_ca(struct tls_trust *t, struct slice der, struct err *e)
{
	const unsigned char *at = der.at;
	X509 *x;

	if (t->ca_count == TLS_TRUST_CAS)
		return err_set(e, RC_INVALID, "more than %d are too many", TLS_TRUST_CAS);
	x = d2i_X509(NULL, &at, (long)der.len);
	if (x && at == der.at + der.len && X509_check_ca(x) == 1) {
		t->cas = mem_resize(t->cas, (t->ca_count + 1) * sizeof(*t->cas));
		t->cas[t->ca_count++] = x;
		return RC_OK;
	}
	X509_free(x);
	return err_set(e, RC_INVALID, x ? "it is not a CA's" : "it can't be read");
}

static bool is_complete(const X509_CRL *crl)
{
	for (int i = 0; i < X509_CRL_get_ext_count(crl); i++)
		if (X509_EXTENSION_get_critical(X509_CRL_get_ext(crl, i)))
			return false;
	return true;
}

static enum rc add_crl(struct tls_trust *t, struct slice der, struct err *e)
{
	const unsigned char *at = der.at;
	X509_CRL *crl;

	if (t->crl_count == TLS_TRUST_CRLS)
		return err_set(e, RC_INVALID, "more than %d are too many", TLS_TRUST_CRLS);
	crl = d2i_X509_CRL(NULL, &at, (long)der.len);
	if (crl && at == der.at + der.len && is_complete(crl)) {
		t->crls = mem_resize(t->crls, (t->crl_count + 1) * sizeof(*t->crls));
		t->crls[t->crl_count++] = crl;
		return RC_OK;
	}
	X509_CRL_free(crl);
	return err_set(e, RC_INVALID,
	               crl ? "it has a critical extension: only complete lists can be used"
	                   : "it can't be read");
}

static bool is_of(X509_CRL *crl, X509 *ca)
{
	EVP_PKEY *key = X509_get0_pubkey(ca);

	return X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(ca)) == 0 && key &&
	       X509_CRL_verify(crl, key) == 1;
}

enum rc tls_trust_new(struct tls_trust **out, struct slice cas, struct err *e)
{
	struct tls_trust *t = mem_new(sizeof(*t));
	enum rc rc;

	atomic_init(&t->refs, 1);
	*out = NULL;
	rc = each_block(cas, PEM_STRING_X509, "certificate", add_ca, t, e);
	if (rc == RC_OK)
		*out = t;
	else
		tls_trust_free(&t);
	return rc;
}

enum rc tls_trust_add_crls(struct tls_trust *t, struct slice crls, struct err *e)
{
	enum rc rc = each_block(crls, PEM_STRING_X509_CRL, "list", add_crl, t, e);

	if (rc != RC_OK)
		return rc;
	t->signed_by = mem_array(t->crl_count * t->ca_count, sizeof(*t->signed_by));
	for (size_t k = 0; k < t->crl_count; k++)
		for (size_t i = 0; i < t->ca_count; i++)
			t->signed_by[k * t->ca_count + i] = is_of(t->crls[k], t->cas[i]);
	ERR_clear_error();
	return RC_OK;
}

struct tls_trust *tls_trust_ref(struct tls_trust *t)
{
	(void)atomic_fetch_add(&t->refs, 1);
	return t;
}

void tls_trust_free(struct tls_trust **at)
{
	struct tls_trust *t = *at;

	*at = NULL;
	if (!t || atomic_fetch_sub(&t->refs, 1) > 1)
		return;
	for (size_t i = 0; i < t->ca_count; i++)
		X509_free(t->cas[i]);
	for (size_t i = 0; i < t->crl_count; i++)
		X509_CRL_free(t->crls[i]);
	free(t->cas);
	free(t->crls);
	free(t->signed_by);
	free(t);
}

/* ---- judging ---- */

static bool within(const ASN1_TIME *from, const ASN1_TIME *to, time_t now)
{
	return X509_cmp_time(from, &now) < 0 && (!to || X509_cmp_time(to, &now) > 0);
}

static bool is_current(const X509_CRL *crl, time_t now)
{
	return within(X509_CRL_get0_lastUpdate(crl), X509_CRL_get0_nextUpdate(crl), now);
}

static bool is_listed(X509_CRL *crl, X509 *x)
{
	X509_REVOKED *entry;

	return X509_CRL_get0_by_cert(crl, &entry, x) == 1;
}

/* Neither itself nor its lists are out of date. */
static bool is_fresh(const struct tls_trust *t, size_t ca, time_t now)
{
	bool has = false;

	if (!within(X509_get0_notBefore(t->cas[ca]), X509_get0_notAfter(t->cas[ca]), now))
		return false;
	for (size_t k = 0; k < t->crl_count; k++) {
		if (!t->signed_by[k * t->ca_count + ca])
			continue;
		if (is_current(t->crls[k], now))
			return true;
		has = true;
	}
	return !has;
}

/* It is valid now and of a CA that isn't out of date. */
static bool speaks(const struct tls_trust *t, size_t crl, const bool *fresh, time_t now)
{
	for (size_t i = 0; i < t->ca_count; i++)
		if (fresh[i] && t->signed_by[crl * t->ca_count + i])
			return is_current(t->crls[crl], now);
	return false;
}

/* Of the store, and named by a list of it. */
static bool is_revoked(const struct tls_trust *t, size_t ca, const bool *speaking)
{
	for (size_t k = 0; k < t->crl_count; k++)
		if (speaking[k] && is_listed(t->crls[k], t->cas[ca]))
			return true;
	return false;
}

/* The caller frees the stack, not what is in it. */
static STACK_OF(X509) * usable_cas(const struct tls_trust *t, time_t now)
{
	STACK_OF(X509) *usable = sk_X509_new_null();
	bool fresh[TLS_TRUST_CAS];
	bool speaking[TLS_TRUST_CRLS];

	MUST(usable);
	for (size_t i = 0; i < t->ca_count; i++)
		fresh[i] = is_fresh(t, i, now);
	for (size_t k = 0; k < t->crl_count; k++)
		speaking[k] = speaks(t, k, fresh, now);
	for (size_t i = 0; i < t->ca_count; i++)
		if (fresh[i] && !is_revoked(t, i, speaking))
			MUST(sk_X509_push(usable, t->cas[i]) > 0);
	return usable;
}

/* What the issuer's lists say of one link of the chain. */
static int check_link(const struct tls_trust *t, X509 *x, X509 *issuer, time_t now)
{
	bool has = false;
	bool current = false;

	for (size_t k = 0; k < t->crl_count; k++) {
		if (!is_of(t->crls[k], issuer))
			continue;
		has = true;
		if (!is_current(t->crls[k], now))
			continue;
		current = true;
		if (is_listed(t->crls[k], x))
			return X509_V_ERR_CERT_REVOKED;
	}
	return has && !current ? X509_V_ERR_CRL_HAS_EXPIRED : X509_V_OK;
}

/* Names that wouldn't all be known to rules. */
static int check_names(const X509 *x)
{
	unsigned char *der = NULL;
	int len = i2d_X509(x, &der);
	struct certificate c;
	int result = X509_V_OK;

	MUST(len > 0);
	if (certificate_read(&c, slice_of(der, (size_t)len), NULL) != RC_OK)
		result = X509_V_ERR_APPLICATION_VERIFICATION;
	certificate_free(&c);
	OPENSSL_free(der);
	return result;
}

/* One that no CA of the store has signed but itself is no client. */
static int check_chain(const struct tls_trust *t, STACK_OF(X509) * chain, time_t now)
{
	int n = sk_X509_num(chain);
	int result = n < 2 ? X509_V_ERR_CERT_REJECTED : check_names(sk_X509_value(chain, 0));

	for (int i = 0; i + 1 < n && result == X509_V_OK; i++)
		result = check_link(t, sk_X509_value(chain, i), sk_X509_value(chain, i + 1), now);
	return result;
}

int tls_trust_verify(X509_STORE_CTX *sc, void *arg)
{
	const struct tls_trust *t = arg;
	time_t now = (time_t)(clock_now_ms() / 1000);
	STACK_OF(X509) *usable = usable_cas(t, now);
	X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(sc);
	int result;

	X509_STORE_CTX_set0_trusted_stack(sc, usable);
	X509_VERIFY_PARAM_set_time(p, now);
	X509_VERIFY_PARAM_set_depth(p, LONGEST_CHAIN);
	MUST(X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_PARTIAL_CHAIN) == 1);
	if (X509_verify_cert(sc) == 1)
		result = check_chain(t, X509_STORE_CTX_get0_chain(sc), now);
	else if ((result = X509_STORE_CTX_get_error(sc)) == X509_V_OK)
		result = X509_V_ERR_UNSPECIFIED;
	X509_STORE_CTX_set0_trusted_stack(sc, NULL);
	sk_X509_free(usable);
	ERR_clear_error();
	if (result == X509_V_OK)
		return 1;
	X509_STORE_CTX_set_error(sc, result);
	return 0;
}
