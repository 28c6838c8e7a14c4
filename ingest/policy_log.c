#include "ingest/policy_log.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"

#define TEXT_MOST   2048 /* of one text of a peer: SMTP gives no longer line */
#define SAID_MOST   256  /* of what an add-on says */
#define STEPS_MOST  20480
#define VALUES_MOST 12288 /* values of conditions are told until the steps are so long */
#define QUEUE_MOST  (1 << 20)
#define COUNTS      16

struct policy_log {
	struct log_rate rate; /* its gap is what wasn't told yet */
	uint64_t lost;        /* likewise */
	struct policy_trace trace;
	const struct policy *policy; /* that is being followed */
	int statement;               /* of the last step; -1: none has begun */
	bool cut;                    /* the steps don't fit any more */
	struct buf steps;
	struct buf record;
	struct buf queue; /* records */
	uint64_t queued;
	struct buf out;
};

/* --- following a judgement --- */

/* The one member of a condition that is an object: "StringExpression" or the like. */
static const json_t *expression_of(const json_t *condition)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)condition, name, value)
	{
		if (json_is_object(value))
			return value;
	}
	return NULL;
}

struct said {
	struct slice attribute;
	struct slice compare;
	const json_t *values; /* an array, a string, or NULL */
};

static struct said said_by(const json_t *condition)
{
	const json_t *x = expression_of(condition);
	const json_t *evaluate = json_object_get(x, "Evaluate");
	const json_t *list = json_object_get(evaluate, "IsInAddressList");
	const json_t *analysis = json_object_get(evaluate, "Analysis");
	struct said s = { .attribute = json_member_text(evaluate, "Attribute"),
		          .compare = json_member_text(x, "Operator"),
		          .values = json_object_get(x, "Values") };

	if (list) {
		s.attribute = json_member_text(list, "Attribute");
		s.values = json_object_get(list, "AddressLists");
	} else if (analysis) {
		s.attribute = json_member_text(analysis, "Analyzer");
	}
	if (!s.values)
		s.values = json_object_get(x, "Value");
	return s;
}

static size_t value_count(const json_t *values)
{
	return json_is_string(values) ? 1 : json_array_size(values);
}

static struct slice value_at(const json_t *values, size_t i)
{
	return json_text(json_is_string(values) ? values : json_array_get(values, i));
}

static enum rc put_text(struct buf *b, struct slice s)
{
	return buf_put_slice(b, slice_part(s, 0, TEXT_MOST));
}

static enum rc put_values(struct buf *b, const json_t *values)
{
	size_t n = value_count(values);
	size_t bytes = 0;
	enum rc rc;

	for (size_t i = 0; i < n; i++)
		bytes += 4 + value_at(values, i).len;
	if (b->len + bytes > VALUES_MOST)
		n = 0;
	rc = buf_put_u16(b, (uint16_t)n);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = put_text(b, value_at(values, i));
	return rc;
}

static enum rc put_step(struct buf *b, char kind, bool yes)
{
	enum rc rc = buf_put_u8(b, (uint8_t)kind);

	return rc == RC_OK ? buf_put_u8(b, yes) : rc;
}

static enum rc put_condition(struct buf *b, const json_t *condition, const struct policy_step *step)
{
	struct said s = said_by(condition);
	enum rc rc = buf_put_u8(b, step->asked ? 'A' : 'C');

	if (rc == RC_OK)
		rc = put_text(b, s.attribute);
	if (rc == RC_OK)
		rc = put_text(b, s.compare);
	if (rc == RC_OK)
		rc = put_values(b, s.values);
	if (rc == RC_OK && step->asked)
		rc = put_text(b, step->field);
	if (rc == RC_OK && step->asked)
		rc = put_text(b, slice_part(step->said, 0, SAID_MOST));
	return rc == RC_OK ? buf_put_u8(b, step->held) : rc;
}

static enum rc put_policy_step(struct policy_log *l, const struct policy_step *step)
{
	struct buf *b = &l->steps;
	bool allows = step->action == POLICY_ALLOW;
	enum rc rc = RC_OK;

	if (step->statement < 0)
		return put_step(b, 'D', allows);
	if (step->statement != l->statement)
		rc = put_step(b, 'S', allows);
	l->statement = step->statement;
	if (rc != RC_OK)
		return rc;
	if (step->condition < 0)
		return put_step(b, 'E', step->held);
	return put_condition(b, policy_condition(l->policy, step->statement, step->condition),
	                     step);
}

/* What doesn't fit any more is left out from there on: a policy of ordinary size always fits. */
static void on_step(void *arg, const struct policy_step *step)
{
	struct policy_log *l = arg;
	size_t before = l->steps.len;

	if (l->cut || put_policy_step(l, step) == RC_OK)
		return;
	l->steps.len = before;
	l->cut = true;
}

/* --- in mm-smtpd --- */

struct policy_log *policy_log_new(uint64_t rate)
{
	struct policy_log *l = mem_new(sizeof(*l));

	l->rate.most = rate;
	l->trace = (struct policy_trace) { .step = on_step, .arg = l };
	buf_init(&l->steps, STEPS_MOST);
	buf_init(&l->record, POLICY_RECORD_MOST);
	buf_init(&l->queue, QUEUE_MOST);
	buf_init(&l->out, POLICY_BATCH_MOST);
	return l;
}

void policy_log_free(struct policy_log **lp)
{
	struct policy_log *l = *lp;

	if (!l)
		return;
	*lp = NULL;
	buf_free(&l->steps);
	buf_free(&l->record);
	buf_free(&l->queue);
	buf_free(&l->out);
	free(l);
}

bool policy_log_begin(struct policy_log *l, const struct policy *p)
{
	if (!l || !log_rate_take(&l->rate, clock_mono_ms(), clock_now_ms()))
		return false;
	l->policy = p;
	l->statement = -1;
	l->cut = false;
	buf_clear(&l->steps);
	return true;
}

const struct policy_trace *policy_log_trace(struct policy_log *l)
{
	return &l->trace;
}

static enum rc put_head(struct buf *b, const struct policy_record *r)
{
	const struct slice texts[] = { r->ingress_id,  r->session_id, r->policy_id,
		                       r->ip,          r->mail_from,  r->helo,
		                       r->tls_version, r->tls_cipher, r->recipient };
	enum rc rc = buf_put_u64(b, (uint64_t)r->when_ms);

	if (rc == RC_OK)
		rc = buf_put_u8(b, (uint8_t)r->type);
	if (rc == RC_OK)
		rc = buf_put_u8(b, r->accepted);
	if (rc == RC_OK)
		rc = buf_put_u8(b, (uint8_t)r->scope);
	if (rc == RC_OK)
		rc = buf_put_u64(b, r->allowed);
	if (rc == RC_OK)
		rc = buf_put_u64(b, r->received);
	for (size_t i = 0; i < COUNT(texts) && rc == RC_OK; i++)
		rc = put_text(b, texts[i]);
	return rc;
}

void policy_log_add(struct policy_log *l, const struct policy_record *r)
{
	size_t before = l->queue.len;
	enum rc rc;

	buf_clear(&l->record);
	rc = put_head(&l->record, r);
	if (rc == RC_OK)
		rc = buf_add(&l->record, buf_slice(&l->steps));
	buf_clear(&l->steps);
	if (rc == RC_OK)
		rc = buf_put_slice(&l->queue, buf_slice(&l->record));
	if (rc == RC_OK) {
		l->queued++;
		return;
	}
	l->queue.len = before;
	l->lost++;
}

size_t policy_log_waiting(const struct policy_log *l)
{
	return l->queue.len + (l->lost || l->rate.gap.records ? COUNTS : 0);
}

/* How many bytes of the queue fit into one batch, as whole records. */
static size_t fitting(struct policy_log *l)
{
	size_t n = 0;

	while (n < l->queue.len) {
		size_t one = 4 + (size_t)get_le32(l->queue.at + n);

		if (COUNTS + n + one > POLICY_BATCH_MOST)
			break;
		n += one;
		l->queued--;
	}
	return n;
}

struct slice policy_log_take(struct policy_log *l, bool can)
{
	size_t n;

	buf_clear(&l->out);
	if (!can) {
		l->lost += l->queued;
		l->queued = 0;
		buf_clear(&l->queue);
	}
	if (!can || !policy_log_waiting(l))
		return buf_slice(&l->out);
	n = fitting(l);
	MUST(buf_put_u64(&l->out, l->rate.gap.records) == RC_OK &&
	     buf_put_u64(&l->out, l->lost) == RC_OK &&
	     buf_add(&l->out, slice_of(l->queue.at, n)) == RC_OK);
	l->rate.gap = (struct log_gap) { 0 };
	l->lost = 0;
	if (n)
		buf_drop(&l->queue, n);
	return buf_slice(&l->out);
}

/* --- in mmd --- */

static struct slice read_text(struct reader *r)
{
	struct slice s = read_slice(r);

	r->ok = r->ok && s.len <= TEXT_MOST;
	return s;
}

static bool read_flag(struct reader *r)
{
	uint8_t v = read_u8(r);

	r->ok = r->ok && v <= 1;
	return v == 1;
}

static void read_condition(struct reader *r, struct policy_told *out)
{
	const uint8_t *begin;

	out->attribute = read_text(r);
	out->compare = read_text(r);
	out->value_count = read_u16(r);
	begin = r->rest.at;
	for (unsigned i = 0; i < out->value_count && r->ok; i++)
		(void)read_text(r);
	out->values = slice_of(begin, r->ok ? (size_t)(r->rest.at - begin) : 0);
	if (!out->asked)
		return;
	out->field = read_text(r);
	out->said = read_text(r);
}

bool policy_step_next(struct slice *evaluation, struct policy_told *out)
{
	struct reader r = reader_over(*evaluation);
	uint8_t kind;

	if (evaluation->len == 0)
		return false;
	*out = (struct policy_told) { 0 };
	kind = read_u8(&r);
	out->asked = kind == 'A';
	if (kind == 'C' || kind == 'A')
		read_condition(&r, out);
	out->yes = read_flag(&r);
	out->kind = kind == 'S'                  ? POLICY_STEP_STATEMENT
	            : kind == 'C' || kind == 'A' ? POLICY_STEP_CONDITION
	            : kind == 'E'                ? POLICY_STEP_END
	                                         : POLICY_STEP_DEFAULT;
	*evaluation = r.rest;
	return r.ok && (kind == 'S' || kind == 'C' || kind == 'A' || kind == 'E' || kind == 'D');
}

/* A statement has conditions, then its end; nothing of one stands outside of it. */
static bool steps_are_good(struct slice evaluation)
{
	struct policy_told t;
	bool inside = false;

	while (evaluation.len) {
		if (!policy_step_next(&evaluation, &t))
			return false;
		if (inside != (t.kind == POLICY_STEP_CONDITION || t.kind == POLICY_STEP_END))
			return false;
		inside = t.kind == POLICY_STEP_STATEMENT || t.kind == POLICY_STEP_CONDITION;
	}
	return true;
}

static bool record_read(struct policy_record *out, struct slice bytes)
{
	struct slice *const texts[] = { &out->ingress_id,  &out->session_id, &out->policy_id,
		                        &out->ip,          &out->mail_from,  &out->helo,
		                        &out->tls_version, &out->tls_cipher, &out->recipient };
	struct reader r = reader_over(bytes);
	uint8_t type;

	out->when_ms = (int64_t)read_u64(&r);
	type = read_u8(&r);
	out->type = (enum ingress_type)type;
	out->accepted = read_flag(&r);
	out->scope = read_flag(&r) ? POLICY_SCOPE_DATA : POLICY_SCOPE_RECIPIENT;
	out->allowed = read_u64(&r);
	out->received = read_u64(&r);
	for (size_t i = 0; i < COUNT(texts); i++)
		*texts[i] = read_text(&r);
	out->evaluation = r.rest;
	return r.ok && type <= INGRESS_MTLS && bytes.len <= POLICY_RECORD_MOST &&
	       out->session_id.len <= POLICY_SESSION_ID && steps_are_good(out->evaluation);
}

bool policy_batch_next(struct policy_batch *b, struct policy_record *out)
{
	struct reader r = reader_over(b->records);
	struct slice record = read_slice(&r);

	if (b->records.len == 0 || !r.ok)
		return false;
	b->records = r.rest;
	return record_read(out, record);
}

bool policy_batch_read(struct policy_batch *out, struct slice body)
{
	struct reader r = reader_over(body);
	struct policy_batch all;
	struct policy_record record;

	out->left_out = read_u64(&r);
	out->lost = read_u64(&r);
	out->records = r.rest;
	all = *out;
	while (all.records.len)
		if (!policy_batch_next(&all, &record))
			return false;
	return r.ok;
}
