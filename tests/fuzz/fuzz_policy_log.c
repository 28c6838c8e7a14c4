/*
 * tests/fuzz/fuzz_policy_log.c - what an mm-smtpd that was broken into may say of judgements
 *
 * Input    a WIRE_LOG.
 * Oracle   What is taken makes lines: printable ASCII, bounded, JSON with the members of such a
 * record; without addresses nothing of the client is in one.
 */
#include "ingest/log_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const struct policy_record *r, bool addresses)
{
	const struct log_style style = { { "us-east-1", "000000000000" }, addresses };
	struct buf line;
	json_t *j = NULL;

	buf_init(&line, 2 * LOG_LINE_MOST);
	MUST(log_line_policy(&line, &style, r) == RC_OK);
	MUST(line.len <= LOG_LINE_MOST);
	for (size_t i = 0; i < line.len; i++)
		MUST(line.at[i] >= 0x20 && line.at[i] < 0x7f);
	MUST(json_read(&j, buf_slice(&line), NULL) == RC_OK);
	MUST(json_member_array(j, "traffic_policy_evaluation"));
	MUST(json_member_text(j, "traffic_policy_verdict").at);
	MUST(!json_object_get(j, "smtp_helo") == !addresses);
	MUST(!json_object_get(j, "recipient") ==
	     !(addresses && r->scope == POLICY_SCOPE_RECIPIENT));
	json_decref(j);
	buf_free(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_batch b;
	struct policy_record r;

	if (size > POLICY_BATCH_MOST || !policy_batch_read(&b, slice_of(data, size)))
		return 0;
	while (policy_batch_next(&b, &r)) {
		check_line(&r, true);
		check_line(&r, false);
	}
	MUST(b.records.len == 0);
	return 0;
}
