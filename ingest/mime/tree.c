#include "ingest/mime/entity.h"

#include <gmime/gmime.h>
#include <stdlib.h>

#include "ingest/mime/charset.h"
#include "ingest/mime/params.h"

/* What is the same for the whole tree. */
struct walk {
	struct findings *f;
	struct slice memory; /* what GMime reads: header and body */
	unsigned encoded_depth;
	size_t leaves;
};

static void walk_object(struct walk *w, GMimeObject *o, bool inside_attached);

static struct slice string(const char *s)
{
	return slice_str(s ? s : "");
}

/* --- names --- */

/* Both "filename" and "name", however often: programs differ in which they take. *shown gets one.
 */
static bool take_names(struct findings *f, GMimeParamList *list, const char *name,
                       struct slice *shown)
{
	int n = list ? g_mime_param_list_length(list) : 0;
	bool found = false;

	for (int i = 0; i < n; i++) {
		GMimeParam *p = g_mime_param_list_get_parameter_at(list, i);
		const char *value = g_mime_param_get_value(p);

		if (g_ascii_strcasecmp(g_mime_param_get_name(p), name) != 0 || !value || !*value)
			continue;
		found_filename(f, slice_str(value));
		*shown = slice_str(value);
		found = true;
	}
	return found;
}

static bool object_is_attached(struct findings *f, GMimeObject *o, bool *related,
                               struct slice *name)
{
	GMimeContentType *type = g_mime_object_get_content_type(o);
	GMimeContentDisposition *d = g_mime_object_get_content_disposition(o);
	bool named = type && take_names(f, g_mime_content_type_get_parameters(type), "name", name);
	bool called = d && g_mime_content_disposition_is_attachment(d);

	if (d && take_names(f, g_mime_content_disposition_get_parameters(d), "filename", name))
		named = true;
	*related = !called && g_mime_object_get_content_id(o) &&
	           g_mime_content_type_is_type(type, "image", "*");
	return called || (named && !*related);
}

/* --- leaves --- */

/* What GMime made of the type; a value that is none is read as no header at all (RFC 2045 section
 * 5.2): text/plain. */
static struct slice type_of(const char *made, struct slice value)
{
	return slice_find_byte(params_type(slice_trim(value)), '/') == SIZE_MAX ? slice_of(NULL, 0)
	                                                                        : string(made);
}

/* GMime's content is a window on the memory that it was given. */
static struct slice content_of(const struct walk *w, GMimePart *part)
{
	GMimeDataWrapper *wrapper = g_mime_part_get_content(part);
	GMimeStream *s = wrapper ? g_mime_data_wrapper_get_stream(wrapper) : NULL;
	gint64 end;

	if (!s || !GMIME_IS_STREAM_MEM(s) || s->bound_start < 0)
		return slice_of(NULL, 0);
	end = s->bound_end < 0 ? (gint64)w->memory.len : s->bound_end;
	if (end < s->bound_start)
		return slice_of(NULL, 0);
	return slice_part(w->memory, (size_t)s->bound_start, (size_t)(end - s->bound_start));
}

static struct slice header_of(GMimeObject *o, const char *name)
{
	GMimeHeader *h = g_mime_header_list_get_header(g_mime_object_get_header_list(o), name);

	return string(h ? g_mime_header_get_raw_value(h) : NULL);
}

static bool is_message_type(struct slice type)
{
	return slice_equal_nocase(type, slice_str("message/rfc822")) ||
	       slice_equal_nocase(type, slice_str("message/global")) ||
	       slice_equal_nocase(type, slice_str("message/news"));
}

static void note_encrypted(struct findings *f, struct slice type, struct slice kind)
{
	if (!slice_equal_nocase(type, slice_str("application/pkcs7-mime")) &&
	    !slice_equal_nocase(type, slice_str("application/x-pkcs7-mime")))
		return;
	if (slice_equal_nocase(kind, slice_str("signed-data")) ||
	    slice_equal_nocase(kind, slice_str("certs-only")))
		found_problem(f, PARSED_NOT_INDEXED, "inside S/MIME signed data");
	else
		found_problem(f, PARSED_NOT_INDEXED, "encrypted (S/MIME)");
}

/* A message or multipart in base64: decoded, then read as a message. */
static bool read_encoded(struct findings *f, const struct entity *e, struct slice type,
                         struct slice content)
{
	struct part p = { .transfer = transfer_of(e->transfer), .content = content };
	struct entity inner = { .inside_attached = e->inside_attached,
		                .encoded_depth = e->encoded_depth + 1 };
	struct buf b;
	bool fits;

	if ((p.transfer != TRANSFER_BASE64 && p.transfer != TRANSFER_QP) ||
	    !(is_message_type(type) || slice_starts_nocase(type, slice_str("multipart/"))))
		return false;
	if (e->encoded_depth >= DEEPEST_ENCODED) {
		found_problem(f, PARSED_NOT_INDEXED,
		              "not fully parsed: encoded messages inside others");
		return true;
	}
	buf_init(&b, LIMIT_INDEXED_TEXT + LIMIT_HEADER + 64);
	fits = is_message_type(type) ||
	       (buf_add_str(&b, "Content-Type:") == RC_OK && buf_add(&b, e->type) == RC_OK &&
	        buf_add_str(&b, "\n\n") == RC_OK);
	if (fits && buf_add(&b, part_bytes(f, &p)) == RC_OK)
		message_read(f, b.at, b.len, &inner, false);
	else
		found_problem(f, PARSED_NOT_INDEXED, "text over the limit of 16 MiB");
	buf_free(&b);
	return true;
}

static void take_leaf(struct findings *f, const struct entity *e, struct part *p, struct slice kind)
{
	note_encrypted(f, p->type, kind);
	if (read_encoded(f, e, p->type, p->content)) {
		if (p->attached)
			f->flags |= PARSED_HAS_ATTACHMENT;
		return;
	}
	found_part(f, p);
}

static void walk_part(struct walk *w, GMimePart *part, bool inside_attached)
{
	GMimeObject *o = GMIME_OBJECT(part);
	GMimeContentType *type = g_mime_object_get_content_type(o);
	char *name = type ? g_mime_content_type_get_mime_type(type) : NULL;
	struct part p = { .inside_attached = inside_attached };
	struct entity e = { .transfer = header_of(o, "Content-Transfer-Encoding"),
		            .type = header_of(o, "Content-Type"),
		            .encoded_depth = w->encoded_depth };

	w->leaves++;
	p.type = type_of(name, e.type);
	p.charset = string(type ? g_mime_content_type_get_parameter(type, "charset") : NULL);
	p.transfer = transfer_of(e.transfer);
	p.content = content_of(w, part);
	p.attached = object_is_attached(w->f, o, &p.related, &p.name);
	e.inside_attached = inside_attached || p.attached;
	take_leaf(w->f, &e, &p,
	          string(type ? g_mime_content_type_get_parameter(type, "smime-type") : NULL));
	g_free(name);
}

/* --- inner nodes --- */

static void walk_message(struct walk *w, GMimeMessagePart *part, bool inside_attached)
{
	GMimeMessage *m = g_mime_message_part_get_message(part);
	GMimeHeaderList *list = m ? g_mime_object_get_header_list(GMIME_OBJECT(m)) : NULL;
	struct header_block b;
	struct slice name;
	bool related;
	bool attached = object_is_attached(w->f, GMIME_OBJECT(part), &related, &name);
	int n = list ? g_mime_header_list_get_count(list) : 0;

	attached = attached || inside_attached;
	if (attached)
		w->f->flags |= PARSED_HAS_ATTACHMENT;
	if (!m)
		return;
	header_block_init(&b);
	b.at = n ? mem_array((size_t)n, sizeof(*b.at)) : NULL;
	for (int i = 0; i < n; i++) {
		GMimeHeader *h = g_mime_header_list_get_header_at(list, i);

		b.at[b.count++] = (struct header) { string(g_mime_header_get_name(h)),
			                            string(g_mime_header_get_raw_value(h)) };
	}
	found_inner_headers(w->f, &b, attached ? PARSED_ATTACHMENT : PARSED_BODY);
	header_block_free(&b);
	if (g_mime_message_get_mime_part(m))
		walk_object(w, g_mime_message_get_mime_part(m), attached);
}

/* Text in front of the first boundary and behind the last. */
static void found_around(struct walk *w, const char *text, bool inside_attached)
{
	struct buf *b = &w->f->scratch[1];
	struct slice s = slice_trim(string(text));

	/* What every mailer writes there isn't worth a hit. */
	if (s.len == 0 || (s.len < 300 && slice_contains_nocase(s, slice_str("MIME"))))
		return;
	buf_clear(b);
	charset_guess(b, s);
	found_text(w->f, inside_attached ? PARSED_ATTACHMENT : PARSED_BODY, buf_slice(b));
}

static void walk_multipart(struct walk *w, GMimeMultipart *m, bool inside_attached)
{
	int n = g_mime_multipart_get_count(m);
	struct slice name;
	bool related;
	bool attached =
	        object_is_attached(w->f, GMIME_OBJECT(m), &related, &name) || inside_attached;

	if (GMIME_IS_MULTIPART_ENCRYPTED(m))
		found_problem(w->f, PARSED_NOT_INDEXED, "encrypted (PGP/MIME)");
	if (n == 0)
		return; /* then all of it is text, which the caller reads */
	found_around(w, g_mime_multipart_get_prologue(m), attached);
	for (int i = 0; i < n; i++)
		walk_object(w, g_mime_multipart_get_part(m, i), attached);
	found_around(w, g_mime_multipart_get_epilogue(m), attached);
}

static void walk_object(struct walk *w, GMimeObject *o, bool inside_attached)
{
	if (GMIME_IS_MULTIPART(o))
		walk_multipart(w, GMIME_MULTIPART(o), inside_attached);
	else if (GMIME_IS_MESSAGE_PART(o))
		walk_message(w, GMIME_MESSAGE_PART(o), inside_attached);
	else if (GMIME_IS_PART(o))
		walk_part(w, GMIME_PART(o), inside_attached);
}

/* --- entrance --- */

/* A header of our own right in front of the body, so that GMime reads what we read and parses no
 * address. */
static uint8_t *put_header(const struct entity *e, uint8_t *front, size_t front_len)
{
	static const char name[] = "Content-Type:";
	size_t need = sizeof(name) - 1 + e->type.len + 2;
	uint8_t *at;

	if (need > front_len)
		return NULL;
	at = front + front_len - need;
	memcpy(at, name, sizeof(name) - 1);
	memcpy(at + sizeof(name) - 1, e->type.at, e->type.len);
	at[need - 2] = at[need - 1] = '\n';
	return at;
}

static GMimeObject *parse(struct slice memory)
{
	/* Only read; GMime must neither copy nor free it. */
	GByteArray view = { .data = (guint8 *)(uintptr_t)memory.at, .len = (guint)memory.len };
	GMimeStream *s = g_mime_stream_mem_new();
	GMimeParser *p;
	GMimeObject *o;

	g_mime_stream_mem_set_byte_array(GMIME_STREAM_MEM(s), &view);
	g_mime_stream_mem_set_owner(GMIME_STREAM_MEM(s), FALSE);
	p = g_mime_parser_new_with_stream(s);
	g_mime_parser_set_persist_stream(p, TRUE);
	o = g_mime_parser_construct_part(p, NULL);
	g_object_unref(p);
	g_object_unref(s);
	return o;
}

bool tree_read(struct findings *f, const struct entity *e, uint8_t *front, size_t front_len,
               struct slice body)
{
	uint8_t *at = put_header(e, front, front_len);
	struct walk w = { .f = f, .encoded_depth = e->encoded_depth };
	GMimeObject *o;

	if (!at)
		return false;
	w.memory = slice_of(at, (size_t)(body.at + body.len - at));
	o = parse(w.memory);
	if (!o)
		return false;
	walk_object(&w, o, e->inside_attached);
	g_object_unref(o);
	return w.leaves > 0;
}

void leaf_read(struct findings *f, const struct entity *e, struct slice content)
{
	struct buf *line = &f->scratch[2];
	struct part p = { .content = content, .inside_attached = e->inside_attached };
	GMimeContentType *type;
	GMimeContentDisposition *d;
	char *name;

	buf_clear(line);
	header_unfold(line, e->type);
	type = g_mime_content_type_parse(NULL, buf_text(line));
	buf_clear(line);
	header_unfold(line, e->disposition);
	d = g_mime_content_disposition_parse(NULL, buf_text(line));
	name = g_mime_content_type_get_mime_type(type);
	p.type = type_of(name, e->type);
	p.charset = string(g_mime_content_type_get_parameter(type, "charset"));
	p.transfer = transfer_of(e->transfer);
	p.attached = take_names(f, g_mime_content_type_get_parameters(type), "name", &p.name);
	if (e->disposition.len) {
		p.attached |= g_mime_content_disposition_is_attachment(d);
		p.attached |= take_names(f, g_mime_content_disposition_get_parameters(d),
		                         "filename", &p.name);
	}
	take_leaf(f, e, &p, string(g_mime_content_type_get_parameter(type, "smime-type")));
	g_free(name);
	g_object_unref(type);
	g_object_unref(d);
}
