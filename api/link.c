#include "api/link.h"

#include <stdio.h>

#include "api/http_keys.h"
#include "base/codec.h"
#include "base/sigv4.h"
#include "store/crypt.h"

void link_draw(char out[LINK_SECRET + 1])
{
	uint8_t random[LINK_SECRET / 2];

	crypt_random(random, sizeof(random));
	hex_encode(out, random, sizeof(random));
	crypt_wipe(random, sizeof(random));
}

bool link_split(struct slice archived_id, struct slice *archive, struct message_id *id)
{
	struct slice rest;

	*archive = slice_cut(archived_id, '.', &rest);
	return archive->len && id_parse(id, rest);
}

bool link_principal(struct slice query, struct slice *name)
{
	static const char member[] = "principal=";

	while (query.len) {
		struct slice one = slice_cut(query, '&', &query);

		/* Nothing of a name is ever escaped (api/principal.h). */
		if (slice_equal(slice_part(one, 0, sizeof(member) - 1), slice_str(member))) {
			*name = slice_from(one, sizeof(member) - 1);
			return true;
		}
	}
	return false;
}

static enum rc add_principal(struct buf *query, const struct link *l)
{
	enum rc rc = buf_add_str(query, "principal=");

	return rc == RC_OK ? sigv4_escape(query, slice_str(l->principal), false) : rc;
}

static enum rc sign(const struct link *l, const char *method, struct slice path, struct slice query,
                    struct buf *out, struct err *e)
{
	struct slice host = slice_str(l->url);
	size_t scheme = slice_find(host, slice_str("://"));
	struct http_field field = { slice_str("host"), host };
	const struct sigv4_signer signer = { .key_id = slice_str(HTTP_LINK_KEY),
		                             .secret = slice_str(l->secret),
		                             .region = slice_str(l->region),
		                             .service = slice_str("ses") };
	struct sigv4_request r = { .method = slice_str(method),
		                   .path = path,
		                   .query = query,
		                   .fields = &field,
		                   .count = 1,
		                   .rule = SIGV4_PATH_TWICE };

	if (scheme != SIZE_MAX)
		field.value = slice_from(host, scheme + 3);
	return sigv4_presign(out, &signer, &r, slice_str(SIGV4_UNSIGNED), l->at_ms, l->seconds, e);
}

static enum rc make(const struct link *l, const char *method, struct slice path, struct buf *out,
                    struct err *e)
{
	struct buf query;
	enum rc rc;

	buf_init(&query, 4096);
	rc = add_principal(&query, l);
	if (rc == RC_OK)
		rc = buf_addf(out, "%s%.*s?", l->url, (int)path.len, (const char *)path.at);
	if (rc == RC_OK)
		rc = sign(l, method, path, buf_slice(&query), out, e);
	else
		rc = err_set(e, rc, "the link is too long");
	buf_free(&query);
	return rc;
}

enum rc link_make(const struct link *l, struct buf *out, struct err *e)
{
	char id[ID_TEXT + 1];
	char path[300];

	id_format(id, &l->id);
	(void)snprintf(path, sizeof(path), "/message/%s/%s", l->archive, id);
	return make(l, "GET", slice_str(path), out, e);
}

enum rc link_make_upload(const struct link *l, struct slice job, struct buf *out, struct err *e)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "/import/%.*s", (int)MIN_OF(job.len, 255U),
	               (const char *)job.at);
	return make(l, "PUT", slice_str(path), out, e);
}
