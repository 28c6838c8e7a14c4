#include "api/http_call.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "api/http_wire.h"
#include "base/codec.h"
#include "base/conn.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/request.h"

#define AHEAD      4                       /* lanes that wait for calls */
#define LINKS      2                       /* calls for links that are under way */
#define SHARE      (HTTP_WIRE_THREADS / 2) /* of a principal's, likewise */
#define FRAME_HEAD 5                       /* the length and the kind */

struct lane {
	struct lane *next; /* of the idle ones, or of the others */
	struct http_lanes *lanes;
	int fd; /* the connection's */
	struct conn *conn;
	struct http_call
	        *call; /* NULL: idle, or mmd is not yet through with one that was given up */
	bool busy;
	bool closed;
	bool link; /* of what it has been used for last */
	char *who;
};

struct http_lanes {
	struct loop *loop;
	void (*need)(void *arg);
	void *arg;
	struct lane *idle;
	struct lane *busy;
	unsigned idle_count;
	unsigned asked;          /* for, and not come yet */
	unsigned working;        /* busy ones */
	unsigned links;          /* of them, for a link */
	struct http_call *first; /* in line */
	struct http_call **last;
};

struct http_call {
	struct http_call *next; /* in line */
	struct http_lanes *lanes;
	const struct http_call_ops *ops;
	void *arg;
	struct lane *lane; /* NULL while it waits in line */
	char *who;         /* NULL: nobody, or its lane has it */
	bool link;
	bool done; /* the lane is good for another one */
	struct buf out;
	size_t sent;
	struct buf frame;  /* what came of a frame: its head, and the payload but for bytes */
	size_t bytes_left; /* of a frame of bytes, whose head was read */
	bool *freed;       /* while a callback runs */
};

/* ---- lanes ---- */

static unsigned under_way(const struct http_lanes *l, const char *who)
{
	unsigned n = 0;

	for (const struct lane *i = l->busy; i; i = i->next)
		n += i->who && strcmp(i->who, who) == 0;
	return n;
}

static bool may_begin(const struct http_lanes *l, const struct http_call *c)
{
	return (!c->link || l->links < LINKS) && (!c->who || under_way(l, c->who) < SHARE);
}

/* As many as are needed now, and a few ahead. */
static void ask_for_lanes(struct http_lanes *l)
{
	unsigned waiting = 0;

	for (const struct http_call *c = l->first; c; c = c->next)
		waiting += may_begin(l, c);
	while (l->asked + l->idle_count < waiting + AHEAD &&
	       l->asked + l->idle_count + l->working < HTTP_WIRE_LANES) {
		l->asked++;
		l->need(l->arg);
	}
}

struct http_lanes *http_lanes_new(struct loop *loop, void (*need)(void *arg), void *arg)
{
	struct http_lanes *l = mem_new(sizeof(*l));

	*l = (struct http_lanes) { .loop = loop, .need = need, .arg = arg };
	l->last = &l->first;
	ask_for_lanes(l);
	return l;
}

static void lane_free(struct lane *i)
{
	conn_free(&i->conn);
	free(i->who);
	free(i);
}

static void free_all(struct lane *i)
{
	while (i) {
		struct lane *next = i->next;

		lane_free(i);
		i = next;
	}
}

static void add_idle(struct lane *i)
{
	i->next = i->lanes->idle;
	i->lanes->idle = i;
	i->lanes->idle_count++;
}

static void add_busy(struct lane *i, struct http_call *c)
{
	struct http_lanes *l = i->lanes;

	i->call = c;
	i->link = c->link;
	i->who = c->who;
	c->who = NULL;
	i->busy = true;
	i->next = l->busy;
	l->busy = i;
	l->working++;
	l->links += i->link;
}

static void take_from(struct lane **at, const struct lane *i)
{
	while (*at != i)
		at = &(*at)->next;
	*at = i->next;
}

static void take_idle(struct lane *i)
{
	take_from(&i->lanes->idle, i);
	i->lanes->idle_count--;
}

static void take_busy(struct lane *i)
{
	take_from(&i->lanes->busy, i);
	i->busy = false;
	i->lanes->working--;
	i->lanes->links -= i->link;
	free(i->who);
	i->who = NULL;
}

void http_lanes_free(struct http_lanes **at)
{
	struct http_lanes *l = *at;

	if (!l)
		return;
	*at = NULL;
	free_all(l->idle);
	free_all(l->busy);
	free(l);
}

/* ---- a call ---- */

static void fail(struct http_call *c, enum rc code, const char *text)
{
	struct err why = { 0 };

	(void)err_set(&why, code, "%s", text);
	c->ops->failed(c->arg, &why);
}

static void take_error(struct http_call *c, struct slice payload)
{
	struct err why = { 0 };
	json_t *j = NULL;
	struct slice text, word;
	enum rc code = RC_IO;

	if (json_read(&j, payload, &why) != RC_OK) {
		fail(c, RC_IO, "an error that can't be read");
		return;
	}
	text = json_member_text(j, "text");
	word = json_member_text(j, "code");
	for (int i = RC_AGAIN; i <= RC_CRYPTO; i++)
		if (slice_equal(word, slice_str(rc_name((enum rc)i))))
			code = (enum rc)i;
	(void)err_set(&why, code, "%.*s", (int)MIN_OF(text.len, 400U), (const char *)text.at);
	json_decref(j);
	c->ops->failed(c->arg, &why);
}

/* A whole frame; false when it was the last. */
static bool take_frame(struct http_call *c, enum request_kind kind, struct slice payload)
{
	switch (kind) {
	case REQUEST_JSON:
		if (c->ops->row)
			c->ops->row(c->arg, payload);
		return true;
	case REQUEST_DONE:
		c->done = true;
		c->ops->done(c->arg, payload);
		return false;
	case REQUEST_ERROR:
		take_error(c, payload);
		return false;
	case REQUEST_BYTES:
		break;
	}
	fail(c, RC_IO, "an answer that can't be read");
	return false;
}

/* Of a frame of bytes: straight to who asked. */
static size_t take_bytes(struct http_call *c, struct slice in)
{
	size_t n = MIN_OF(in.len, c->bytes_left);

	if (c->ops->bytes)
		n = c->ops->bytes(c->arg, slice_part(in, 0, n));
	return n;
}

/* The head of a frame, then as much as it says; 0: no more can be taken. */
static size_t take_some(struct http_call *c, struct slice in)
{
	size_t want = FRAME_HEAD;
	size_t n;

	if (c->frame.len >= FRAME_HEAD)
		want = 4 + (size_t)get_le32(c->frame.at);
	n = MIN_OF(in.len, want - c->frame.len);
	return buf_add(&c->frame, slice_part(in, 0, n)) == RC_OK ? n : 0;
}

static bool frame_is_whole(const struct http_call *c)
{
	return c->frame.len >= FRAME_HEAD && c->frame.len == 4 + (size_t)get_le32(c->frame.at);
}

/* What begins here: false when the call has ended, or was freed. */
static bool advance(struct http_call *c)
{
	struct slice frame = buf_slice(&c->frame);
	bool more = true;

	if (frame.len == FRAME_HEAD && frame.at[4] == REQUEST_BYTES && get_le32(frame.at)) {
		c->bytes_left = get_le32(frame.at) - 1;
		buf_clear(&c->frame);
	} else if (frame.len >= 4 && get_le32(frame.at) == 0) {
		fail(c, RC_IO, "an answer's frame without a kind");
		return false;
	} else if (frame_is_whole(c)) {
		bool freed = false;

		c->freed = &freed;
		more = take_frame(c, frame.at[4], slice_from(frame, FRAME_HEAD));
		if (freed)
			return false;
		c->freed = NULL;
		buf_clear(&c->frame);
	}
	return more;
}

static size_t on_input(void *arg, struct slice bytes)
{
	struct lane *i = arg;
	struct http_call *c = i->call;
	size_t taken = 0;

	while (c && taken < bytes.len) {
		struct slice rest = slice_from(bytes, taken);
		bool freed = false;
		size_t n;

		if (c->bytes_left) {
			c->freed = &freed;
			n = take_bytes(c, rest);
			if (freed)
				return bytes.len;
			c->freed = NULL;
			c->bytes_left -= n;
			taken += n;
			if (!n)
				return taken;
			continue;
		}
		n = take_some(c, rest);
		if (!n) {
			fail(c, RC_LIMIT, "an answer that is too long");
			return bytes.len;
		}
		taken += n;
		if (!advance(c))
			return bytes.len;
	}
	return c ? taken : bytes.len;
}

static struct slice on_output(void *arg)
{
	const struct lane *i = arg;

	return i->call ? slice_from(buf_slice(&i->call->out), i->call->sent) : slice_of(NULL, 0);
}

static void on_sent(void *arg, size_t n)
{
	struct lane *i = arg;

	i->call->sent += n;
}

/* ---- the line ---- */

static void leave_line(struct http_call *c)
{
	struct http_lanes *l = c->lanes;
	struct http_call **at = &l->first;

	while (*at && *at != c)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = c->next;
	if (!*at)
		l->last = at;
}

/* The first that may begin, or NULL. */
static struct http_call *next_in_line(const struct http_lanes *l)
{
	struct http_call *c = l->first;

	while (c && !may_begin(l, c))
		c = c->next;
	return c;
}

/* Whenever a lane, a call or room for one has come. */
static void serve_line(struct http_lanes *l)
{
	struct http_call *c;

	while (l->idle && (c = next_in_line(l)) != NULL) {
		struct lane *i = l->idle;

		take_idle(i);
		leave_line(c);
		c->lane = i;
		add_busy(i, c);
		conn_send(i->conn);
	}
	ask_for_lanes(l);
}

static void on_closed(void *arg, const char *why)
{
	struct lane *i = arg;
	struct http_lanes *l = i->lanes;

	(void)why;
	i->closed = true;
	if (i->call) {
		fail(i->call, RC_AGAIN, "mmd can't be asked now");
		return;
	}
	if (i->busy)
		take_busy(i);
	else
		take_idle(i);
	lane_free(i);
	serve_line(l);
}

/* mmd's thread sees by the end of input that its asker has gone, at its leisure; what it writes
 * until then is dropped. */
static void give_up(struct lane *i)
{
	(void)shutdown(i->fd, SHUT_WR);
	conn_resume(i->conn);
}

/* Its call is over. */
static void leave_lane(struct lane *i, bool done)
{
	i->call = NULL;
	if (!done && !i->closed) {
		give_up(i);
		return;
	}
	take_busy(i);
	if (done)
		add_idle(i);
	else
		lane_free(i);
}

void http_lanes_add(struct http_lanes *l, int fd)
{
	static const struct conn_ops ops = {
		.input = on_input, .output = on_output, .sent = on_sent, .closed = on_closed
	};
	struct lane *i = mem_new(sizeof(*i));

	i->lanes = l;
	i->fd = fd;
	i->conn = conn_new(l->loop, fd, &ops, i);
	add_idle(i);
	l->asked -= l->asked > 0;
	serve_line(l);
}

static enum rc write_question(struct buf *out, const struct http_question *q)
{
	uint8_t head[4] = { 0 };
	enum rc rc;

	put_le32(head, (uint32_t)(q->text.len + (q->bytes.len ? q->bytes.len + 1 : 0)));
	rc = buf_add(out, slice_of(head, sizeof(head)));
	if (rc == RC_OK)
		rc = buf_add(out, q->text);
	if (rc == RC_OK && q->bytes.len)
		rc = buf_add(out, slice_of("", 1));
	return rc == RC_OK ? buf_add(out, q->bytes) : rc;
}

struct http_call *http_call_new(struct http_lanes *l, const struct http_question *q,
                                const struct http_call_ops *ops, void *arg)
{
	struct http_call *c = mem_new(sizeof(*c));

	*c = (struct http_call) { .lanes = l, .ops = ops, .arg = arg, .link = q->link };
	c->who = q->who ? mem_string(q->who) : NULL;
	buf_init(&c->out, (size_t)LIMIT_REQUEST);
	buf_init(&c->frame, (size_t)LIMIT_REQUEST + FRAME_HEAD);
	MUST(write_question(&c->out, q) == RC_OK); /* bodies of HTTP are far shorter */
	*l->last = c;
	l->last = &c->next;
	serve_line(l);
	return c;
}

void http_call_resume(struct http_call *c)
{
	if (c->lane)
		conn_resume(c->lane->conn);
}

void http_call_free(struct http_call **at)
{
	struct http_call *c = *at;
	struct http_lanes *l;

	if (!c)
		return;
	*at = NULL;
	l = c->lanes;
	if (c->freed)
		*c->freed = true;
	if (c->lane)
		leave_lane(c->lane, c->done);
	else
		leave_line(c);
	free(c->who);
	buf_free(&c->out);
	buf_free(&c->frame);
	free(c);
	serve_line(l);
}
