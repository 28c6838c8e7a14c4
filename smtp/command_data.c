#include "smtp/session.h"

void smtp_command_data(struct smtp_session *s, struct slice args)
{
	(void)args;
	if (s->rcpts)
		smtp_body_begin(s, false);
	else if (s->rcpts_tried)
		smtp_refuse(s, 554, "5.5.1", "No valid recipients");
	else
		smtp_refuse(s, 503, "5.5.1", "No recipients");
}

size_t smtp_data_input(struct smtp_session *s, struct slice bytes)
{
	struct slice in = bytes;

	while (in.len && !smtp_data_ended(&s->data))
		smtp_body_take(s, smtp_data_next(&s->data, &in));
	if (smtp_data_ended(&s->data)) {
		s->steps++;
		smtp_body_finish(s);
	}
	return bytes.len - in.len;
}
