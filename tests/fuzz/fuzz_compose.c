/*
 * tests/fuzz/fuzz_compose.c - any bytes as a message that is sent on, and as one that a
 * notification is about
 *
 * Input    Up to the first NUL: a text that is HELO, recipient, a rule's value, what a server said;
 * behind it: the message. Oracle   In front of the message stand our fields, each once, in their
 * order, in printable ASCII; what follows is the message but for whole fields that are cut; a
 * signature is verified by what verifies others'. A notification has its ten fields, three parts,
 * one block for its recipient, and lines of 7 bits.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "ingest/action/compose.h"
#include "ingest/action/dsn.h"
#include "ingest/verdict/dkim.h"

#define NOW_S INT64_C(1700000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static EVP_PKEY *key;
static struct answers *answers;

static void make_key(void)
{
	static const uint8_t seed[32] = { 7 };
	struct dns_record record;
	struct dns_answer answer = { .status = DNS_RECORDS, .records = &record, .count = 1 };
	uint8_t public[32];
	size_t len = sizeof(public);
	struct buf text;

	key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
	MUST(key && EVP_PKEY_get_raw_public_key(key, public, &len) == 1);
	buf_init(&text, 256);
	MUST(buf_add_str(&text, "v=DKIM1; k=ed25519; p=") == RC_OK &&
	     base64_encode(&text, slice_of(public, len)) == RC_OK);
	record = (struct dns_record) { .text = buf_slice(&text) };
	answers = answers_new();
	answers_put(answers, DNS_TXT, slice_str("s._domainkey.shop.example"), &answer);
	buf_free(&text);
}

static void expect_pass(struct slice message)
{
	struct raw_message m;
	struct dkim *d;

	MUST(raw_read(&m, message, NULL) == RC_OK);
	d = dkim_new(&m, NOW_S);
	MUST(dkim_check(d, answers) == RC_OK && dkim_at(d, 0)->result == DKIM_PASS);
	dkim_free(&d);
	raw_free(&m);
}

static void expect_ours(struct slice front, bool is_signed)
{
	static const char *const ours[] = { "DKIM-Signature", "X-Rule", "Authentication-Results",
		                            "Received" };
	struct raw_message m;
	size_t at = !is_signed;

	MUST(raw_read(&m, front, NULL) == RC_OK && m.body.len == 0);
	for (size_t i = 0; i < m.count; i++) {
		MUST(at < COUNT(ours) && raw_named(&m.fields[i], ours[at]));
		at++;
	}
	MUST(at == COUNT(ours));
	for (size_t i = 0; i < front.len; i++)
		MUST((front.at[i] >= ' ' && front.at[i] < 127) ||
		     strchr("\r\n\t", front.at[i] ? front.at[i] : 'x'));
	raw_free(&m);
}

static json_t *receipt_of(struct slice text)
{
	json_t *o = json_object();
	json_t *spf = json_object();
	json_t *verdicts = json_object();

	json_put_text(o, "helo", text);
	json_put_text(o, "auth", slice_str("i-1"));
	json_put_text(spf, "result", slice_str("fail"));
	json_put_text(spf, "why", text);
	json_put(verdicts, "spf", spf);
	json_put(o, "verdicts", verdicts);
	return o;
}

static struct mail mail_of(struct slice text)
{
	struct mail m = { .json = receipt_of(text) };

	m.receipt = m.json;
	m.helo = json_member_text(m.json, "helo");
	m.mail_from = m.helo;
	return m;
}

static void try_compose(struct slice text, struct slice raw)
{
	static const struct compose_key dkim = { "shop.example", "s", NULL };
	struct compose_key k = dkim;
	struct mail m = mail_of(text);
	json_t *headers = json_array();
	json_t *one = json_object();
	char *recipient = slice_string(text);
	struct compose c = { &m,   raw, "mm.test", "k7q2w9x4b1n8m3z6", headers, recipient,
		             true, &k,  NULL,      NOW_S * 1000 };
	struct compose_cut cuts[COMPOSE_CUTS];
	size_t count, front, at = 0;
	bool is_signed;
	struct buf out;
	struct err e;

	k.key = key;
	json_put_text(one, "name", slice_str("X-Rule"));
	json_put_text(one, "value", text);
	json_push(headers, one);
	buf_init(&out, 8 << 20);
	if (compose_front(&c, &out, cuts, &count, &e) == RC_OK) {
		front = out.len;
		for (size_t i = 0; i < count; i++) {
			MUST(cuts[i].from >= at && cuts[i].to > cuts[i].from &&
			     cuts[i].to <= raw.len);
			MUST(buf_add(&out, slice_part(raw, at, cuts[i].from - at)) == RC_OK);
			at = cuts[i].to;
		}
		MUST(buf_add(&out, slice_from(raw, at)) == RC_OK);
		is_signed = slice_starts_nocase(buf_slice(&out), slice_str("DKIM-Signature:"));
		if (is_signed)
			expect_pass(buf_slice(&out));
		if (front > 4 && memcmp(out.at + front - 4, "\r\n\r\n", 4) == 0)
			front -= 2;
		expect_ours(slice_part(buf_slice(&out), 0, front), is_signed);
	}
	(void)compose_loop(raw, c.instance);
	buf_free(&out);
	json_decref(headers);
	free(recipient);
	mail_free(&m);
}

static unsigned count_of(struct slice s, const char *begin)
{
	unsigned n = 0;

	while (s.len) {
		n += slice_starts_nocase(s, slice_str(begin));
		(void)slice_cut(s, '\n', &s);
	}
	return n;
}

static void expect_report(struct slice out)
{
	struct raw_message m;
	struct slice report = slice_from(
	        out, slice_find(out, slice_str("\r\nContent-Type: message/delivery-status\r\n"
	                                       "Content-Description: Delivery report\r\n")));
	size_t column = 0;

	MUST(raw_read(&m, out, NULL) == RC_OK && (m.count == 8 || m.count == 10));
	raw_free(&m);
	for (size_t i = 0; i < out.len; i++) {
		bool ends = out.at[i] == '\n';

		MUST(out.at[i] && out.at[i] < 128 && (!ends || out.at[i - 1] == '\r') &&
		     (out.at[i] != '\r' || (i + 1 < out.len && out.at[i + 1] == '\n')));
		column = ends ? 0 : column + 1;
		MUST(column <= 999);
	}
	report = slice_part(report, 0, slice_find(report, slice_str("\n--=_mm_")));
	MUST(count_of(report, "Action:") == 1 && count_of(report, "Final-Recipient:") == 1 &&
	     count_of(report, "Status:") == 1 && count_of(report, "Reporting-MTA:") == 1);
}

static void try_dsn(struct slice text, struct slice raw)
{
	char *said = slice_string(text);
	const struct dsn_recipient r = {
		said, said, (enum dsn_kind)(text.len % 3), said, said, said
	};
	struct mail m = mail_of(text);
	struct dsn d = { .mail = &m,
		         .raw = raw,
		         .hostname = "mm.test",
		         .envid = said,
		         .full = raw.len % 2,
		         .recipients = &r,
		         .recipient_count = 1,
		         .id = "1" };
	struct buf out;
	struct err e;

	buf_init(&out, 8 << 20);
	MUST(dsn_write(&d, &out, &e) == RC_OK);
	expect_report(buf_slice(&out));
	(void)dsn_forbidden(&m, raw, said, r.kind);
	buf_free(&out);
	free(said);
	mail_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice raw;
	struct slice text = slice_cut(slice_of(data, size), '\0', &raw);

	if (!key)
		make_key();
	if (text.len > 2000)
		return 0;
	try_compose(text, raw);
	try_dsn(text, raw);
	return 0;
}
