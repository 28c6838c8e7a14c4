#include "ingest/verdict/fold.h"

static void add(struct fold *f, struct slice s)
{
	if (f->rc == RC_OK)
		f->rc = buf_add(f->out, s);
	f->column += s.len;
}

static void line(struct fold *f, const char *begin)
{
	add(f, slice_str("\r\n"));
	f->column = 0;
	add(f, slice_str(begin));
}

void fold_begin(struct fold *f, struct buf *out, const char *name)
{
	*f = (struct fold) { .out = out };
	add(f, slice_str(name));
	add(f, slice_str(":"));
}

void fold_word(struct fold *f, struct slice word)
{
	if (f->column + 1 + word.len > FOLD_COLUMNS)
		line(f, " ");
	else
		add(f, slice_str(" "));
	add(f, word);
}

void fold_more(struct fold *f, struct slice word)
{
	if (f->column + word.len > FOLD_COLUMNS)
		line(f, "\t");
	add(f, word);
}

void fold_text(struct fold *f, struct slice text)
{
	while (text.len) {
		struct slice word = slice_cut(text, ' ', &text);

		if (word.len)
			fold_word(f, word);
	}
}

enum rc fold_end(struct fold *f)
{
	add(f, slice_str("\r\n"));
	return f->rc;
}
