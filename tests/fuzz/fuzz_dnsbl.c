/*
 * tests/fuzz/fuzz_dnsbl.c - any envelope and any answers, asked about at a DNS block list
 *
 * Input    byte 0: bit 0 a list of addresses, bit 1 with a key, bit 2 a client by IPv6; byte 1:
 * what DNS says; bytes 2 to 5: the address in its answer; then lines: MAIL FROM, HELO, domains of
 * From. Oracle   Every question is for an A record of a name below the zone (and the key), as DNS
 * can have it, once. Two rounds suffice. Listed only when DNS answered with an address in 127/8;
 * what failed says why.
 */
#include "ingest/verdict/dnsbl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer_all(struct answers *a, const uint8_t *data, const char *end)
{
	struct dns_record r = { .ip = { .family = 4,
		                        .b = { data[2], data[3], data[4], data[5] } } };
	struct dns_question q;
	unsigned n = 0;

	while (answers_wanted(a, &q)) {
		enum dns_status status = (enum dns_status)((data[1] >> (n++ % 4 * 2)) & 3);
		struct dns_answer d = { .status = status,
			                .records = &r,
			                .count = status == DNS_RECORDS };
		size_t len = strlen(q.name);

		MUST(q.type == DNS_A && len <= 253 && len > strlen(end));
		MUST(strcmp(q.name + len - strlen(end), end) == 0);
		for (const char *c = q.name; *c; c++)
			MUST((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-' ||
			     *c == '_' || (*c == '.' && c > q.name && c[-1] != '.'));
		answers_put(a, q.type, slice_str(q.name), &d);
	}
	MUST(n <= DNSBL_DOMAINS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char zone[] = "bl.example";
	static char key[] = "s3cret";
	struct addon list = { .kind = ADDON_DNSBL, .zone = zone };
	struct slice rest = slice_of(data + 6, size < 6 ? 0 : size - 6);
	struct slice from[20];
	struct dnsbl_question q = { .from_domains = from };
	struct answers *a;
	struct dnsbl_answer out;
	json_t *o;

	if (size < 6)
		return 0;
	list.lists_ip = data[0] & 1;
	list.key = data[0] & 2 ? key : NULL;
	q.client = (struct ip) { .family = data[0] & 4 ? 6 : 4, .b = { data[5], data[4], 7 } };
	q.mail_from = slice_cut(rest, '\n', &rest);
	q.helo = slice_cut(rest, '\n', &rest);
	while (rest.len && q.from_count < COUNT(from))
		from[q.from_count++] = slice_cut(rest, '\n', &rest);
	a = answers_new();
	if (dnsbl_check(&list, &q, a, &out) == RC_AGAIN) {
		answer_all(a, data, list.key ? ".s3cret.bl.example" : ".bl.example");
		MUST(dnsbl_check(&list, &q, a, &out) == RC_OK);
	}
	MUST(out.result != DNSBL_LISTED || (data[2] == 127 && out.what[0] && out.codes[0]));
	MUST(!strstr(out.codes, key));
	MUST((out.result == DNSBL_FAILED) == (out.why[0] != 0));
	o = dnsbl_json(&list, &out);
	MUST(json_object_get(o, "verdict"));
	json_decref(o);
	answers_free(&a);
	return 0;
}
