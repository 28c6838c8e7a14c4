#include "ingest/verdict/arc_set.h"

#include "ingest/verdict/cfws.h"
#include "ingest/verdict/tags.h"

/* 1*2DIGIT, 1 to 50; 0: it is none. */
static unsigned instance_of(struct slice text)
{
	uint64_t n = 0;

	if (text.len > 2 || !slice_to_u64(text, &n) || n > ARC_SETS)
		return 0;
	return (unsigned)n;
}

/* "i=1;" at the beginning, comments allowed. */
static unsigned results_instance(struct slice value)
{
	struct slice rest = value;
	struct slice digits;
	size_t n = 0;

	if (!cfws_skip(&rest) || !cfws_byte(&rest, 'i') || !cfws_skip(&rest) ||
	    !cfws_byte(&rest, '=') || !cfws_skip(&rest))
		return 0;
	while (n < rest.len && rest.at[n] >= '0' && rest.at[n] <= '9')
		n++;
	digits = slice_part(rest, 0, n);
	rest = slice_from(rest, n);
	return cfws_skip(&rest) && cfws_byte(&rest, ';') ? instance_of(digits) : 0;
}

static unsigned signature_instance(struct slice value)
{
	struct taglist tags;

	return taglist_read(&tags, value) ? 0 : instance_of(taglist_value(&tags, "i"));
}

/* The place that a field belongs to; NULL: it is none of ARC's, or (`*odd`) one without a proper
 * instance. */
static const struct raw_field **place_of(struct arc_sets *s, const struct raw_field *f, bool *odd)
{
	bool results = raw_named(f, "ARC-Authentication-Results");
	bool message = raw_named(f, "ARC-Message-Signature");
	bool seal = raw_named(f, "ARC-Seal");
	struct arc_set *set;
	unsigned i;

	*odd = false;
	if (!results && !message && !seal)
		return NULL;
	i = results ? results_instance(f->value) : signature_instance(f->value);
	if (i == 0) {
		*odd = true;
		return NULL;
	}
	s->highest = MAX_OF(s->highest, i);
	set = &s->at[i - 1];
	return results ? &set->results : message ? &set->message : &set->seal;
}

enum rc arc_sets_read(struct arc_sets *out, const struct raw_message *m, struct err *e)
{
	bool any_odd = false;
	bool twice = false;
	bool odd;

	*out = (struct arc_sets) { 0 };
	for (size_t i = 0; i < m->count; i++) {
		const struct raw_field **place = place_of(out, &m->fields[i], &odd);

		any_odd |= odd;
		if (!place)
			continue;
		twice |= *place != NULL;
		*place = &m->fields[i];
	}
	if (any_odd)
		return err_set(e, RC_INVALID, "a field of ARC without a proper instance (i=)");
	if (twice)
		return err_set(e, RC_INVALID,
		               "a field of ARC is there twice with the same instance");
	for (unsigned i = 0; i < out->highest; i++)
		if (!out->at[i].results || !out->at[i].message || !out->at[i].seal)
			return err_set(e, RC_INVALID, "set %u of ARC isn't whole", i + 1);
	out->count = out->highest;
	return RC_OK;
}
