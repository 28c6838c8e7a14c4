#include "ingest/mime/entity.h"

#include "ingest/mime/charset.h"
#include "ingest/mime/params.h"

/* The reader of what GMime must not see, or has died of: one pass, no tree. */

struct plain {
	struct findings *f;
	bool inside_attached;
	struct header_block block;
};

static void set_entity(struct entity *e, const struct header_block *b)
{
	size_t from = 0;
	const struct header *h = header_find(b, "Content-Type", &from);

	*e = (struct entity) { .inside_attached = e->inside_attached };
	if (h)
		e->type = h->raw;
	from = 0;
	h = header_find(b, "Content-Transfer-Encoding", &from);
	if (h)
		e->transfer = h->raw;
	from = 0;
	h = header_find(b, "Content-Disposition", &from);
	if (h)
		e->disposition = h->raw;
}

static bool take_name(struct findings *f, struct slice value, const char *param,
                      struct slice *shown)
{
	struct slice name = params_find(value, param, NULL);

	if (name.len) {
		found_filename(f, name);
		*shown = name;
	}
	return name.len > 0;
}

static bool is_message(struct slice type)
{
	return slice_equal_nocase(type, slice_str("message/rfc822")) ||
	       slice_equal_nocase(type, slice_str("message/global")) ||
	       slice_equal_nocase(type, slice_str("message/news"));
}

static void take_part(struct plain *r, const struct entity *e, struct slice content)
{
	struct part p = { .type = params_type(e->type),
		          .charset = params_find(e->type, "charset", NULL),
		          .transfer = transfer_of(e->transfer),
		          .content = content,
		          .inside_attached = r->inside_attached };

	if (slice_trim(content).len == 0)
		return;
	if (entity_has_parts(p.type)) {
		p.type = slice_of(NULL, 0); /* its prologue, or what has no boundary */
		p.transfer = TRANSFER_NONE;
	}
	p.attached = slice_equal_nocase(params_type(e->disposition), slice_str("attachment"));
	p.attached |= take_name(r->f, e->disposition, "filename", &p.name);
	p.attached |= take_name(r->f, e->type, "name", &p.name);
	found_part(r->f, &p);
}

static size_t line_length(struct slice s)
{
	size_t end = slice_find_byte(s, '\n');

	return end == SIZE_MAX ? s.len : end + 1;
}

/* "--something" alone on its line, and behind it a header, an empty line, another of its kind or
 * nothing; "-- " of a signature and "-----" of a table are none. */
static bool is_delimiter(struct slice line, struct slice behind)
{
	struct slice text = slice_trim(line);
	struct slice next = slice_trim(slice_part(behind, 0, line_length(behind)));
	struct slice name, value;

	if (text.len < 3 || text.at[0] != '-' || text.at[1] != '-')
		return false;
	for (size_t i = 2; i < text.len; i++)
		if (text.at[i] == ' ' || text.at[i] == '\t')
			return false;
	return next.len == 0 || slice_ends_nocase(text, slice_str("--")) ||
	       slice_starts_nocase(next, slice_str("--")) || header_line(next, &name, &value);
}

/* The blocks in front of a content: that of a part, and of messages directly inside it. Returns
 * their length. */
static size_t take_blocks(struct plain *r, struct slice s, struct entity *e)
{
	size_t at = 0;

	do {
		header_split(&r->block, slice_from(s, at), true);
		at += r->block.body;
		if (e->type.len && is_message(params_type(e->type)))
			found_inner_headers(r->f, &r->block, PARSED_BODY);
		set_entity(e, &r->block);
	} while (r->block.body && is_message(params_type(e->type)) &&
	         transfer_of(e->transfer) == TRANSFER_NONE);
	return at;
}

/* Where the content ends: at the next delimiter. *next is set behind that line. */
static size_t content_length(struct slice s, size_t *next)
{
	size_t at = 0;

	while (at < s.len) {
		struct slice rest = slice_from(s, at);
		size_t n = line_length(rest);

		if (rest.at[0] == '-' &&
		    is_delimiter(slice_part(rest, 0, n), slice_from(rest, n))) {
			*next = at + n;
			return at;
		}
		at += n;
	}
	*next = s.len;
	return s.len;
}

void plain_read(struct findings *f, const struct entity *outer, struct slice body)
{
	struct plain r = { .f = f, .inside_attached = outer->inside_attached };
	struct entity e = *outer;
	bool blocks = is_message(params_type(e.type)) && transfer_of(e.transfer) == TRANSFER_NONE;

	header_block_init(&r.block);
	while (body.len && f->text_left) {
		size_t next;
		size_t n;

		if (blocks) {
			body = slice_from(body, take_blocks(&r, body, &e));
			e.type = e.type.len ? e.type : slice_str("text/plain");
		}
		n = content_length(body, &next);
		take_part(&r, &e, slice_part(body, 0, n));
		body = slice_from(body, next);
		e.type = slice_of(NULL, 0);
		blocks = true;
	}
	header_block_free(&r.block);
}
