#include "query/export.h"
#include "query/package.h"

static bool is_from_line(struct slice s, bool quoted)
{
	size_t marks = 0;

	while (marks < s.len && s.at[marks] == '>')
		marks++;
	return marks >= quoted && s.len - marks >= 5 && memcmp(s.at + marks, "From ", 5) == 0;
}

static size_t next_line(struct slice s, size_t at)
{
	size_t end = slice_find_byte(slice_from(s, at), '\n');

	return end == SIZE_MAX ? s.len : at + end + 1;
}

enum rc mbox_pieces(struct slice raw, enum rc (*add)(void *arg, struct slice piece, struct err *e),
                    void *arg, struct err *e)
{
	size_t done = 0;
	enum rc rc = RC_OK;

	for (size_t at = 0; at < raw.len && rc == RC_OK; at = next_line(raw, at)) {
		if (!is_from_line(slice_from(raw, at), false))
			continue;
		rc = add(arg, slice_part(raw, done, at - done), e);
		if (rc == RC_OK)
			rc = add(arg, slice_str(">"), e);
		done = at;
	}
	return rc == RC_OK ? add(arg, slice_from(raw, done), e) : rc;
}

static enum rc piece_to_buf(void *arg, struct slice piece, struct err *e)
{
	(void)e;
	return buf_add(arg, piece);
}

enum rc mbox_quote(struct slice raw, struct buf *out)
{
	return mbox_pieces(raw, piece_to_buf, out, NULL);
}

enum rc mbox_unquote(struct slice stored, struct buf *out)
{
	size_t done = 0;
	enum rc rc = RC_OK;

	for (size_t at = 0; at < stored.len && rc == RC_OK; at = next_line(stored, at)) {
		if (!is_from_line(slice_from(stored, at), true))
			continue;
		rc = buf_add(out, slice_part(stored, done, at - done));
		done = at + 1;
	}
	return rc == RC_OK ? buf_add(out, slice_from(stored, done)) : rc;
}
