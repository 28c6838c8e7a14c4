#include "tools/mmctl_text.h"

#include <stdio.h>

#include "base/json.h"
#include "base/limits.h"
#include "query/row.h"

void print_text(struct slice text)
{
	struct buf out;

	buf_init(&out, LIMIT_REQUEST);
	if (text_escape(text, &out) == RC_OK)
		(void)fwrite(out.at, 1, out.len, stdout);
	buf_free(&out);
}

void print_member(const json_t *o, const char *member)
{
	print_text(json_member_text(o, member));
}

void print_list(const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		printf("%s", i ? ", " : "");
		print_text(json_text(json_array_get(list, i)));
	}
}
