/*
 * tests/fuzz/fuzz_sigv4.c - a request as it came from the network, through the verifier
 *
 * Input    byte 0: the use and the path rule; then a head, and its body behind it.
 * Oracle   What is claimed is in bounds. With the signature that belongs to it, made here from the
 *          canonical request by OpenSSL's one-shot HMAC, a claim that was taken is good; with one
 *          digit of that changed, another body, or another secret it isn't. The claim's own
 *          signature is good only where it is that one.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "api/http_head.h"
#include "base/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW    INT64_C(1440938160000) /* 20150830T123600Z */
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define OTHER  "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEZ"

static void mac(uint8_t key[32], size_t key_len, const uint8_t *old, const char *text)
{
	unsigned n;

	MUST(HMAC(EVP_sha256(), old, (int)key_len, (const uint8_t *)text, strlen(text), key, &n));
}

/* The signature of the claim by the book. */
static void by_the_book(char out[SIGV4_HASH + 1], const struct sigv4_claim *c,
                        const struct sigv4_request *r, struct slice payload)
{
	char hash[SIGV4_HASH + 1];
	char text[512];
	char day[9] = "";
	uint8_t a[32];
	uint8_t b[32];
	struct buf canonical;

	buf_init(&canonical, LIMIT_SIGV4_TEXT);
	MUST(sigv4_canonical(&canonical, r, slice_str(c->names), payload, NULL) == RC_OK);
	sigv4_hash(hash, buf_slice(&canonical));
	buf_free(&canonical);
	memcpy(day, c->time, 8);
	(void)snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%s",
	               c->time, day, c->region, c->service, hash);
	mac(a, strlen("AWS4" SECRET), (const uint8_t *)"AWS4" SECRET, day);
	mac(b, 32, a, c->region);
	mac(a, 32, b, c->service);
	mac(b, 32, a, "aws4_request");
	mac(a, 32, b, text);
	hex_encode(out, a, sizeof(a));
}

static void expect_claim(const struct sigv4_claim *c)
{
	MUST(strlen(c->time) == SIGV4_TIME && strlen(c->signature) == SIGV4_HASH);
	MUST(c->key_id[0] && c->region[0] && strcmp(c->service, "ses") == 0);
	MUST(slice_find(slice_str(c->names), slice_str("host")) != SIZE_MAX);
	MUST(c->at_ms <= NOW + SIGV4_SKEW_MS && c->until_ms > NOW);
	MUST(c->until_ms <= c->at_ms + (int64_t)SIGV4_EXPIRES_MAX * 1000);
}

static void try_all(struct sigv4_claim *c, const struct sigv4_request *r, struct slice payload,
                    size_t digit)
{
	const struct slice secret = slice_str(SECRET);
	struct sigv4_derived derived = { .day = "" };
	char right[SIGV4_HASH + 1];
	struct err e;
	enum sigv4_verdict v = sigv4_verify(c, r, payload, secret, NULL, &e);
	bool same;

	if (v == SIGV4_BODY || v == SIGV4_MALFORMED)
		return;
	by_the_book(right, c, r, c->use == SIGV4_LINK ? slice_str(SIGV4_UNSIGNED) : payload);
	same = strcmp(right, c->signature) == 0;
	MUST(v == (same ? SIGV4_GOOD : SIGV4_WRONG));
	memcpy(c->signature, right, sizeof(right));
	for (int i = 0; i < 2; i++)
		MUST(sigv4_verify(c, r, payload, secret, &derived, &e) == SIGV4_GOOD);
	MUST(sigv4_verify(c, r, payload, slice_str(OTHER), &derived, &e) == SIGV4_WRONG);
	c->signature[digit] = c->signature[digit] == '0' ? '1' : '0';
	MUST(sigv4_verify(c, r, payload, secret, &derived, &e) == SIGV4_WRONG);
	MUST(sigv4_verify(c, r, payload, secret, NULL, &e) == SIGV4_WRONG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_head h;
	struct sigv4_request r;
	struct sigv4_claim c;
	struct slice all;
	char hash[SIGV4_HASH + 1];
	struct err e;

	if (size < 2)
		return 0;
	all = slice_of(data + 1, size - 1);
	http_head_init(&h, 1 << 20);
	if (http_head_read(&h, all) != HTTP_WHOLE)
		return 0;
	r = (struct sigv4_request) {
		h.method_name, h.path,  h.query,
		h.fields,      h.count, data[0] & 2 ? SIGV4_PATH_ONCE : SIGV4_PATH_TWICE
	};
	sigv4_hash(hash, slice_part(all, h.head_bytes, h.body_bytes));
	if (sigv4_claim(&c, &r, data[0] & 1 ? SIGV4_LINK : SIGV4_CALL, "ses", NOW, &e) ==
	    SIGV4_GOOD) {
		expect_claim(&c);
		try_all(&c, &r, slice_str(hash), data[0] >> 2);
	}
	return 0;
}
