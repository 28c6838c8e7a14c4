/*
 * tests/fuzz/fuzz_payload.c - any bytes as an endpoint's answer, and as the message that a request
 * is made of
 *
 * Input    byte 0: 's' S3, 'n' SNS, 'l' Lambda, 'q' Q Business; byte 1: 'a' to 'p', the answer's
 * status, and the rest the answer; or 'E', and the rest a message. Oracle   An answer: one of the
 * four ends; a text of printable ASCII; done only behind a 2xx; a disposition other than CONTINUE
 * only where the answer has its word, behind a 2xx, and a function is waited for. A message: the
 * body is as long as it may be and no longer; it is JSON (of SNS a form with JSON), its names and
 * values valid.
 */
#include "base/codec.h"
#include "base/sealed.h"
#include "ingest/action/lambda.h"
#include "ingest/action/payload.h"
#include "ingest/action/sns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char receipt[] = "{\"receipt\":{\"mail_from\":\"a@b\",\"rcpt\":[{\"to\":\"c@d\"}]}}";
static const char action[] =
        "{\"S3Bucket\":\"mail\",\"TopicArn\":\"arn:t\",\"FunctionArn\":\"arn:f\","
        "\"InvocationType\":\"REQUEST_RESPONSE\",\"ApplicationId\":\"a\",\"IndexId\":\"i\"}";

static const struct payload_kind *kind_of(uint8_t c)
{
	switch (c) {
	case 's':
		return payload_kind(slice_str("WriteToS3"));
	case 'n':
		return payload_kind(slice_str("PublishToSns"));
	case 'l':
		return payload_kind(slice_str("InvokeLambda"));
	case 'q':
		return payload_kind(slice_str("DeliverToQBusiness"));
	default:
		return NULL;
	}
}

static void try_answer(const struct payload_kind *k, const json_t *spec, unsigned status,
                       struct slice answer)
{
	const struct call_result r = { .end = CALL_ANSWERED,
		                       .status = status,
		                       .answer = answer,
		                       .function_error = "",
		                       .why = "" };
	struct payload_result out;

	k->read(&out, spec, &r);
	MUST(out.end <= PAYLOAD_SET_UP && out.disposition <= PAYLOAD_STOP_RULE_SET);
	MUST(strlen(out.text) < PAYLOAD_TEXT);
	for (const char *c = out.text; *c; c++)
		MUST(*c >= ' ' && *c < 127);
	MUST(out.end != PAYLOAD_DONE || status / 100 == 2);
	MUST(out.end == PAYLOAD_DONE || out.text[0]);
	if (out.disposition != PAYLOAD_CONTINUE) {
		MUST(out.end == PAYLOAD_DONE && strcmp(k->action, "InvokeLambda") == 0);
		MUST(slice_find(answer, slice_str("STOP_RULE")) != SIZE_MAX ||
		     slice_find(answer, slice_str("\\u")) != SIZE_MAX);
	}
}

/* Of a form that we wrote. */
static void check_form(struct slice s)
{
	size_t at = slice_find(s, slice_str("&Message="));
	struct slice rest;
	struct buf text;
	json_t *o;
	struct err e;

	MUST(at != SIZE_MAX);
	s = slice_cut(slice_from(s, at + 9), '&', &rest);
	buf_init(&text, SNS_MESSAGE);
	for (size_t i = 0; i < s.len; i++) {
		uint8_t byte = s.at[i];

		if (byte == '%') {
			MUST(hex_decode(&byte, 1, slice_part(s, i + 1, 2)));
			i += 2;
		}
		MUST(buf_add_byte(&text, byte) == RC_OK);
	}
	MUST(json_read(&o, buf_slice(&text), &e) == RC_OK);
	json_decref(o);
	buf_free(&text);
}

static void check_body(const struct payload_kind *k, const struct payload *p)
{
	struct slice s;
	struct err e;
	json_t *o;

	MUST(sealed_map(&s, p->call.body, &e) == RC_OK);
	if (strcmp(k->action, "PublishToSns") == 0) {
		check_form(s);
	} else {
		MUST(json_read(&o, s, &e) == RC_OK);
		json_decref(o);
	}
	sealed_unmap(&s);
}

static void try_message(const struct payload_kind *k, const json_t *spec, struct slice raw)
{
	const struct message_id id = { { 1 } };
	struct payload_facts f = { .raw = raw, .action = spec, .now_ms = 1796000000000 };
	struct payload p;
	struct mail m;
	struct err e;

	MUST(mail_read_stored(&m, &id, slice_str(receipt), &e) == RC_OK);
	f.mail = &m;
	payload_init(&p);
	MUST(payload_make(&p, k, &f, &e) == RC_OK);
	if (k->gives_body)
		check_body(k, &p);
	payload_free(&p);
	mail_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned statuses[] = { 200, 202, 204, 299, 301, 400, 401, 403,
		                             404, 409, 413, 429, 500, 501, 503, 999 };
	const struct payload_kind *k = size < 2 ? NULL : kind_of(data[0]);
	struct slice rest = slice_of(data + 2, size < 2 ? 0 : size - 2);
	json_t *spec;
	struct err e;

	if (!k)
		return 0;
	MUST(json_read(&spec, slice_str(action), &e) == RC_OK);
	if (data[1] == 'E')
		try_message(k, spec, rest);
	else if (data[1] >= 'a' && data[1] < 'a' + COUNT(statuses))
		try_answer(k, spec, statuses[data[1] - 'a'], rest);
	json_decref(spec);
	return 0;
}
