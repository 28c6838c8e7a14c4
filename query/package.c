#include "query/package.h"

#include <stdlib.h>

#define OUT_WAIT 65536

enum rc out_open(struct out *o, const char *dir, const char *name, struct err *e)
{
	char *path = path_join(dir, name);
	enum rc rc;

	*o = (struct out) { 0 };
	buf_init(&o->wait, OUT_WAIT);
	rc = file_open(&o->f, path, FILE_CREATE, e);
	if (rc == RC_OK)
		o->hash = sha256_new();
	free(path);
	return rc;
}

static enum rc out_flush(struct out *o, struct err *e)
{
	enum rc rc = file_write_at(o->f, buf_slice(&o->wait), o->at - o->wait.len, e);

	buf_clear(&o->wait);
	return rc;
}

enum rc out_add(struct out *o, struct slice s, struct err *e)
{
	enum rc rc = RC_OK;

	sha256_add(o->hash, s);
	if (o->wait.len + s.len > OUT_WAIT)
		rc = out_flush(o, e);
	if (rc != RC_OK)
		return rc;
	o->at += s.len;
	if (s.len >= OUT_WAIT)
		return file_write_at(o->f, s, o->at - s.len, e);
	return buf_add(&o->wait, s);
}

enum rc out_str(struct out *o, const char *s, struct err *e)
{
	return out_add(o, slice_str(s), e);
}

enum rc out_end(struct out *o, uint8_t sha[32], struct err *e)
{
	enum rc rc = out_flush(o, e);

	sha256_end(&o->hash, sha);
	out_drop(o);
	return rc;
}

void out_drop(struct out *o)
{
	uint8_t unused[32];

	if (o->hash)
		sha256_end(&o->hash, unused);
	file_close(&o->f);
	buf_free(&o->wait);
}
