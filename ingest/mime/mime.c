#include "ingest/mime/mime.h"

#include <gmime/gmime.h>
#include <stdio.h>
#include <stdlib.h>

#include "ingest/mime/charset.h"
#include "ingest/mime/entity.h"
#include "ingest/mime/params.h"
#include "ingest/mime/prescan.h"

#define MOST_READINGS 3 /* of a header that is there several times */

struct mime {
	struct findings found;
};

struct mime *mime_new(void)
{
	struct mime *m = mem_new(sizeof(*m));

	MUST(charset_start() > 0);
	g_mime_init();
	findings_init(&m->found);
	return m;
}

void mime_free(struct mime **m)
{
	if (!*m)
		return;
	findings_free(&(*m)->found);
	free(*m);
	*m = NULL;
}

bool entity_has_parts(struct slice type)
{
	return slice_starts_nocase(type, slice_str("multipart/"));
}

/* --- a message and its readings --- */

struct readings {
	struct slice at[MOST_READINGS];
	size_t count; /* at least one; empty when the header isn't there */
};

/* Values are copied: the header's place in the message is overwritten. */
static void collect(struct readings *r, struct findings *f, const struct header_block *b,
                    const char *name)
{
	size_t from = 0;
	const struct header *h;

	*r = (struct readings) { .count = 0 };
	while (r->count < MOST_READINGS && (h = header_find(b, name, &from)) != NULL) {
		struct slice value = slice_trim(h->raw);
		bool known = false;

		for (size_t i = 0; i < r->count; i++)
			known = known || slice_equal(r->at[i], value);
		if (!known)
			r->at[r->count++] = arena_copy(&f->arena, value);
	}
	r->count = MAX_OF(r->count, (size_t)1);
}

static bool is_tree(const struct entity *e)
{
	struct slice type = params_type(e->type);

	return entity_has_parts(type) || slice_equal_nocase(type, slice_str("message/rfc822")) ||
	       slice_equal_nocase(type, slice_str("message/global")) ||
	       slice_equal_nocase(type, slice_str("message/news"));
}

static void read_body(struct findings *f, const struct entity *e, uint8_t *front, size_t front_len,
                      struct slice body)
{
	enum transfer t = transfer_of(e->transfer);
	bool encoded = t == TRANSFER_BASE64 || t == TRANSFER_QP;

	if (!is_tree(e) || encoded) {
		leaf_read(f, e, body);
		/* "Content-Transfer-Encoding: quoted-printable" above parts that aren't. */
		if (!entity_has_parts(params_type(e->type)))
			return;
	}
	if (!tree_read(f, e, front, front_len, body) && !encoded) {
		found_problem(f, 0, "no parts where there should be some");
		plain_read(f, e, body);
	}
}

static void read_all(struct findings *f, const struct header_block *b, const struct entity *outer,
                     uint8_t *bytes, size_t len, bool plain)
{
	struct readings types, transfers, disposition;
	struct slice body = slice_of(bytes + b->body, len - b->body);

	collect(&types, f, b, "Content-Type");
	collect(&transfers, f, b, "Content-Transfer-Encoding");
	collect(&disposition, f, b, "Content-Disposition");
	for (size_t i = 0; i < types.count; i++)
		for (size_t k = 0; k < transfers.count && body.len; k++) {
			struct entity e = *outer;

			e.type = types.at[i];
			e.transfer = transfers.at[k];
			e.disposition = disposition.at[0];
			if (plain)
				plain_read(f, &e, body);
			else
				read_body(f, &e, bytes, b->body, body);
		}
	if (types.count > 1 || transfers.count > 1)
		found_problem(f, 0, "several Content-Type or Content-Transfer-Encoding headers");
}

void message_read(struct findings *f, uint8_t *bytes, size_t len, const struct entity *e,
                  bool plain)
{
	struct slice whole = slice_of(bytes, len);
	struct header_block b;
	char what[96];
	const char *over = plain ? NULL : prescan(whole);
	enum parsed_text where = e->inside_attached ? PARSED_ATTACHMENT : PARSED_BODY;

	header_block_init(&b);
	header_split(&b, whole, false);
	if (e->encoded_depth == 0)
		found_headers(f, &b);
	else
		found_inner_headers(f, &b, where);
	if (over) {
		(void)snprintf(what, sizeof(what), "not fully parsed: %s", over);
		found_problem(f, PARSED_NOT_INDEXED, what);
	}
	read_all(f, &b, e, bytes, len, plain || over);
	found_junk(f, &b, where);
	header_block_free(&b);
}

enum rc mime_read(struct mime *m, uint8_t *bytes, size_t len, unsigned mode, struct buf *out)
{
	struct entity e = { .encoded_depth = 0 };

	findings_clear(&m->found);
	m->found.show = (mode & MIME_SHOW) != 0;
	message_read(&m->found, bytes, len, &e, (mode & MIME_PLAIN) != 0);
	return findings_encode(&m->found, out);
}
