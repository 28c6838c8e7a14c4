#include "ingest/deliver.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/home.h"
#include "base/json.h"
#include "ingest/deliver_wire.h"

#define LOOK_MS 200

struct deliver_home {
	struct home *home;
};

struct deliver {
	int fd;
	enum rc (*go_on)(void *arg, struct err *e);
	void *arg;
};

/* ---- frames ---- */

static enum rc put_json(int fd, unsigned type, json_t *o, struct err *e)
{
	struct buf text;
	enum rc rc;

	buf_init(&text, DELIVER_TEXT);
	rc = json_write(&text, o);
	if (rc != RC_OK)
		rc = err_set(e, rc, "too long for mm-deliver");
	else
		rc = channel_put(fd, type, buf_slice(&text), NULL, 0, e);
	buf_free(&text);
	json_decref(o);
	return rc;
}

static enum rc wait_for(struct deliver *d, struct err *e)
{
	struct pollfd p = { d->fd, POLLIN, 0 };

	for (;;) {
		int n = poll(&p, 1, LOOK_MS);
		enum rc rc;

		if (n > 0)
			return RC_OK;
		if (n < 0 && errno != EINTR)
			return err_sys(e, "wait for mm-deliver");
		rc = d->go_on ? d->go_on(d->arg, e) : RC_OK;
		if (rc != RC_OK)
			return rc;
	}
}

static enum rc failure(struct slice body, struct err *e)
{
	json_t *o = NULL;
	int64_t code = RC_IO;
	enum rc rc = json_read(&o, body, e);

	if (rc != RC_OK)
		return err_set(e, RC_IO, "mm-deliver says nonsense");
	code = json_member_int(o, "code", RC_IO);
	if (code != RC_DENIED && code != RC_INVALID)
		code = RC_IO;
	rc = err_set(e, (enum rc)code, "%.400s",
	             json_string_value(json_object_get(o, "text"))
	                     ? json_string_value(json_object_get(o, "text"))
	                     : "");
	json_decref(o);
	return rc;
}

static enum rc hear(struct deliver *d, struct err *e)
{
	int fds[CHANNEL_FDS];
	size_t nfds;
	unsigned type;
	struct buf body;
	enum rc rc = wait_for(d, e);

	if (rc != RC_OK)
		return rc;
	buf_init(&body, DELIVER_TEXT);
	rc = channel_get(d->fd, &type, &body, fds, &nfds, e);
	for (size_t i = 0; rc == RC_OK && i < nfds; i++)
		(void)close(fds[i]);
	if (rc != RC_OK)
		rc = err_set(e, RC_IO, "mm-deliver has ended");
	else if (type == DELIVER_FAILED)
		rc = failure(buf_slice(&body), e);
	else if (type != DELIVER_OK)
		rc = err_set(e, RC_IO, "mm-deliver says nonsense");
	buf_free(&body);
	return rc;
}

/* ---- the home ---- */

static json_t *options_json(const struct deliver_options *o)
{
	json_t *j = json_object();

	json_put_text(j, "url", slice_str(o->url));
	json_put_text(j, "region", slice_str(o->region ? o->region : "us-east-1"));
	json_put_bool(j, "path_style", o->path_style);
	json_put_text(j, "access_key", slice_str(o->access_key));
	json_put_text(j, "secret_key", slice_str(o->secret_key));
	json_put_int(j, "part_bytes", o->part_bytes ? (int64_t)o->part_bytes : 8388608);
	json_put_int(j, "tries", o->tries ? o->tries : 4);
	json_put_int(j, "wait_ms", o->wait_ms ? o->wait_ms : 500);
	return j;
}

enum rc deliver_home_start(struct deliver_home **out, const struct deliver_options *o,
                           struct err *e)
{
	struct slice host;
	struct home *home;
	uint16_t port;
	bool tls;
	enum rc rc;

	*out = NULL;
	if (!deliver_url(slice_str(o->url), &tls, &host, &port))
		return err_set(e, RC_INVALID,
		               "an S3 endpoint is https://HOST:PORT or http://HOST:PORT");
	rc = home_start(&home, o->program ? o->program : "mm-deliver", options_json(o), e);
	if (rc != RC_OK)
		return rc;
	*out = mem_new(sizeof(**out));
	(*out)->home = home;
	return RC_OK;
}

void deliver_home_stop(struct deliver_home **at)
{
	struct deliver_home *h = *at;

	*at = NULL;
	if (!h)
		return;
	home_stop(&h->home);
	free(h);
}

/* ---- an export ---- */

enum rc deliver_new(struct deliver **out, struct deliver_home *h, struct slice bucket,
                    struct slice prefix, enum rc (*go_on)(void *arg, struct err *e), void *arg,
                    struct err *e)
{
	struct deliver *d = mem_new(sizeof(*d));
	json_t *task = json_object();
	enum rc rc;

	*out = NULL;
	*d = (struct deliver) { .fd = -1, .go_on = go_on, .arg = arg };
	json_put_text(task, "bucket", bucket);
	json_put_text(task, "prefix", prefix);
	rc = home_child(h->home, &d->fd, task, NULL, 0, e);
	if (rc == RC_OK)
		rc = hear(d, e);
	if (rc == RC_OK)
		*out = d;
	else
		deliver_free(&d);
	return rc;
}

void deliver_free(struct deliver **at)
{
	struct deliver *d = *at;

	*at = NULL;
	if (!d)
		return;
	if (d->fd >= 0)
		(void)close(d->fd);
	free(d);
}

/* What the child says also when it is no longer there to hear. */
static enum rc ask(struct deliver *d, unsigned type, struct slice body, struct err *e)
{
	struct err gone;

	(void)!channel_put(d->fd, type, body, NULL, 0, &gone);
	return hear(d, e);
}

enum rc deliver_begin(struct deliver *d, const char *key, const char *type, struct err *e)
{
	json_t *o = json_object();
	struct err gone;

	json_put_text(o, "key", slice_str(key));
	json_put_text(o, "type", slice_str(type));
	(void)!put_json(d->fd, DELIVER_BEGIN, o, &gone);
	return hear(d, e);
}

enum rc deliver_add(struct deliver *d, struct slice bytes, struct err *e)
{
	enum rc rc = RC_OK;

	for (; rc == RC_OK && bytes.len; bytes = slice_from(bytes, DELIVER_PIECE))
		rc = ask(d, DELIVER_DATA, slice_part(bytes, 0, DELIVER_PIECE), e);
	return rc;
}

enum rc deliver_end(struct deliver *d, struct err *e)
{
	return ask(d, DELIVER_END, slice_of(NULL, 0), e);
}
