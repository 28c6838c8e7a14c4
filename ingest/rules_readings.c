#include "ingest/rules_readings.h"

bool text_hits(const struct rule_condition *c, struct slice text)
{
	if (c->list)
		return address_list_has(c->list, text);
	return text_test_hits(&c->text, text);
}

static bool field_readings(const struct rule_condition *c, const struct rule_field *f,
                           const struct reader_of *to)
{
	for (size_t i = 0; i < f->address_count; i++)
		if (to->see(to->arg, "address", f->addresses[i].address))
			return true;
	if (c->list)
		return false;
	for (size_t i = 0; i < f->address_count; i++)
		if (f->addresses[i].display.len &&
		    to->see(to->arg, "address with name", f->addresses[i].display))
			return true;
	for (size_t i = 0; i < f->value_count; i++)
		if (to->see(to->arg, "header", f->values[i]))
			return true;
	return false;
}

static bool header_readings(const struct rule_condition *c, const struct rule_facts *f,
                            const struct reader_of *to)
{
	for (size_t i = 0; i < f->header_count; i++)
		if (slice_equal_nocase(f->headers[i].name, slice_str(c->header)) &&
		    to->see(to->arg, "header", f->headers[i].value))
			return true;
	return false;
}

/* One text, or any of several. */
static bool certificate_readings(const struct rule_condition *c, const json_t *certificate,
                                 const struct reader_of *to)
{
	const json_t *value = json_object_get(certificate, c->attribute);

	if (json_is_string(value))
		return to->see(to->arg, "certificate", json_text(value));
	for (size_t i = 0; i < json_array_size(value); i++)
		if (to->see(to->arg, "certificate", json_text(json_array_get(value, i))))
			return true;
	return false;
}

/* The texts of the message that a condition compares; those about other things have none. */
bool message_readings(const struct rule_condition *c, const struct rule_facts *f,
                      const struct reader_of *to)
{
	switch (c->about) {
	case ABOUT_MAIL_FROM:
		return to->see(to->arg, "MAIL FROM", f->mail_from);
	case ABOUT_HELO:
		return to->see(to->arg, "HELO", f->helo);
	case ABOUT_FIELD:
		return field_readings(c, &f->fields[c->field], to);
	case ABOUT_HEADER:
		return header_readings(c, f, to);
	case ABOUT_CLIENT_CERT:
		return certificate_readings(c, f->client_cert, to);
	default:
		return false;
	}
}
