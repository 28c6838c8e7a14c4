#include "api/http_exchange.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/errors.h"
#include "api/model.h"
#include "api/wire.h"
#include "base/clock.h"
#include "base/json.h"

#define OPERATION_PATH "/service/" MODEL_SERVICE "/operation/"
#define TARGET         MODEL_SERVICE "."
#define UUID           36

enum route { ROUTE_CALL, ROUTE_MESSAGE, ROUTE_IMPORT };

struct http_exchange {
	struct http_conn *conn;
	enum route route;
	enum wire_protocol protocol;
	char request_id[UUID + 1];
	struct sigv4_claim claim;
	const struct model_operation *operation;
	struct http_call *call;
	bool announced; /* the head of a message's answer was sent */
};

/* ---- answers ---- */

/* A random one, RFC 9562 section 5.4. */
static void new_request_id(char out[UUID + 1])
{
	uint8_t b[16];

	randombytes_buf(b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	(void)snprintf(out, UUID + 1,
	               "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
	               b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
	               b[13], b[14], b[15]);
}

static void answer(const struct http_exchange *x, unsigned status, const char *error,
                   struct slice body)
{
	char more[200];
	struct http_answer a = { .status = status,
		                 .type = wire_content_type(x->protocol),
		                 .error = error,
		                 .more = more,
		                 .body = body };

	/* A client that signs again behind its next second has another signature. */
	(void)snprintf(more, sizeof(more), "%s: %s\r\n%s%s", WIRE_REQUEST_ID, x->request_id,
	               x->protocol == WIRE_RPC_CBOR ? WIRE_PROTOCOL ": " WIRE_PROTOCOL_VALUE "\r\n"
	                                            : "",
	               status == 429 ? "Retry-After: 1\r\n" : "");
	http_conn_answer(x->conn, &a);
}

static void answer_error(const struct http_exchange *x, enum api_error error, const char *text)
{
	struct buf body;

	buf_init(&body, 65536);
	if (wire_encode_error(x->protocol, error, text, &body) != RC_OK)
		buf_clear(&body);
	answer(x, (unsigned)api_error_status(error), api_error_name(error), buf_slice(&body));
	buf_free(&body);
}

/* What mmd's result says: {"output":{...}} or {"error":NAME,"message":TEXT}. */
static void answer_result(const struct http_exchange *x, const json_t *result)
{
	const json_t *output = json_member_object(result, "output");
	enum api_error error = api_error_find(json_member_text(result, "error"));
	const char *text = json_string_value(json_object_get(result, "message"));
	struct buf body;
	struct err e = { 0 };

	if (!output) {
		answer_error(x, error == API_ERRORS ? API_INTERNAL : error, text ? text : "");
		return;
	}
	buf_init(&body, (size_t)64 << 20);
	if (wire_encode(x->protocol, x->operation->output, output, &body, &e) != RC_OK)
		answer_error(x, API_INTERNAL, e.text);
	else if (!http_conn_has_room(x->conn, body.len))
		answer_error(x, API_UNAVAILABLE,
		             "too many long answers wait for their readers; try again");
	else
		answer(x, 200, NULL, buf_slice(&body));
	buf_free(&body);
}

/* The call is over before the answer is sent: that may take its time, and mmd ends the lane. */
static void on_done(void *arg, struct slice text)
{
	struct http_exchange *x = arg;
	struct err e = { 0 };
	json_t *result = NULL;
	bool readable = x->announced || json_read(&result, text, &e) == RC_OK;

	http_call_free(&x->call);
	if (x->announced)
		http_conn_end(x->conn, true);
	else if (!readable)
		answer_error(x, API_INTERNAL, "mmd's answer can't be read");
	else if (x->route == ROUTE_CALL || json_object_get(result, "error"))
		answer_result(x, result);
	else
		answer(x, 200, NULL, slice_str("{}"));
	json_decref(result);
}

static void on_failed(void *arg, const struct err *why)
{
	struct http_exchange *x = arg;

	http_call_free(&x->call);
	if (x->announced)
		http_conn_end(x->conn, false);
	else if (why->code == RC_AGAIN)
		answer_error(x, API_UNAVAILABLE, why->text);
	else
		answer_error(x, API_INTERNAL, why->text);
}

/* Before a message's bytes: {"bytes":N,"name":"ID"}. */
static void on_row(void *arg, struct slice line)
{
	struct http_exchange *x = arg;
	struct err e;
	json_t *row = NULL;
	struct slice name;
	char more[200];
	struct http_answer a = { .status = 200, .type = "message/rfc822", .more = more };

	if (x->announced || json_read(&row, line, &e) != RC_OK)
		return;
	name = json_member_text(row, "name");
	a.bytes = (uint64_t)json_member_int(row, "bytes", 0);
	(void)snprintf(more, sizeof(more),
	               "%s: %s\r\nContent-Disposition: attachment; filename=\"%.*s.eml\"\r\n"
	               "X-Content-Type-Options: nosniff\r\n",
	               WIRE_REQUEST_ID, x->request_id, (int)MIN_OF(name.len, 64U),
	               (const char *)name.at);
	json_decref(row);
	x->announced = true;
	http_conn_answer(x->conn, &a);
}

static size_t on_bytes(void *arg, struct slice bytes)
{
	struct http_exchange *x = arg;

	return x->announced ? http_conn_more(x->conn, bytes) : bytes.len;
}

/* ---- the call to mmd ---- */

static void call(struct http_exchange *x, const char *who, json_t *request, struct slice bytes)
{
	static const struct http_call_ops ops = {
		.row = on_row, .bytes = on_bytes, .done = on_done, .failed = on_failed
	};
	struct http_question q = { .bytes = bytes, .who = who, .link = !who };
	char from[IP_TEXT];
	struct buf text;

	ip_format(from, http_conn_peer(x->conn));
	json_put_text(request, "address", slice_str(from));
	json_put_text(request, "request", slice_str(x->request_id));
	buf_init(&text, (size_t)32 << 20);
	if (json_write(&text, request) == RC_OK) {
		q.text = buf_slice(&text);
		x->call = http_call_new(http_conn_site(x->conn)->lanes, &q, &ops, x);
	} else {
		answer_error(x, API_TOO_LARGE, "the request is too large");
	}
	buf_free(&text);
	json_decref(request);
}

/* Where the client found us, for links that an answer has: it signed the Host. */
static void put_origin(const struct http_exchange *x, const struct http_head *head, json_t *request)
{
	struct slice host = http_head_field(head, "host");
	char text[300];

	(void)snprintf(text, sizeof(text), "%s://%.*s",
	               http_conn_site(x->conn)->tls ? "https" : "http", (int)MIN_OF(host.len, 255U),
	               (const char *)host.at);
	json_put(request, "origin", json_of_slice(slice_str(text)));
}

static void call_operation(struct http_exchange *x, const char *principal,
                           const struct http_head *head, json_t *input)
{
	json_t *request = json_object();

	put_origin(x, head, request);

	json_put_text(request, "op", slice_str("api"));
	json_put_text(request, "principal", slice_str(principal));
	json_put_text(request, "key", slice_str(x->claim.key_id));
	json_put_text(request, "operation", slice_str(x->operation->name));
	json_put(request, "input", input);
	call(x, principal, request, slice_of(NULL, 0));
}

/* What the signed path says: ".../A/B". */
static void call_link(struct http_exchange *x, const struct http_head *head, struct slice body)
{
	json_t *request = json_object();
	struct slice rest, second;
	struct slice first;

	(void)slice_cut(slice_from(head->path, 1), '/', &rest);
	first = slice_cut(rest, '/', &second);
	json_put_text(request, "op",
	              slice_str(x->route == ROUTE_MESSAGE ? "api-message" : "api-import"));
	json_put(request, x->route == ROUTE_MESSAGE ? "archive" : "job", json_of_slice(first));
	json_put(request, "query", json_of_slice(head->query));
	if (x->route == ROUTE_MESSAGE)
		json_put(request, "id", json_of_slice(second));
	call(x, NULL, request, body);
}

/* ---- what is asked, and by whom ---- */

static bool has_prefix(struct slice path, const char *prefix)
{
	return slice_equal(slice_part(path, 0, strlen(prefix)), slice_str(prefix));
}

/* False: nothing is there. */
static bool find_route(struct http_exchange *x, const struct http_head *head)
{
	struct slice path = head->path;

	x->protocol = WIRE_AWS_JSON;
	x->route = ROUTE_CALL;
	if (head->method == HTTP_POST && has_prefix(path, "/service/")) {
		x->protocol = WIRE_RPC_CBOR;
		return true;
	}
	if (head->method == HTTP_POST)
		return path.len == 1;
	x->route = head->method == HTTP_PUT ? ROUTE_IMPORT : ROUTE_MESSAGE;
	return has_prefix(path, x->route == ROUTE_IMPORT ? "/import/" : "/message/");
}

static struct sigv4_request signed_part(const struct http_head *head)
{
	return (struct sigv4_request) { .method = head->method_name,
		                        .path = head->path,
		                        .query = head->query,
		                        .fields = head->fields,
		                        .count = head->count,
		                        .rule = SIGV4_PATH_TWICE };
}

static void refuse(struct http_exchange *x, enum sigv4_verdict v, const char *text)
{
	const char *why = sigv4_exception(v);
	enum api_error error = api_error_find(slice_str(why));

	http_keys_refused(http_conn_site(x->conn)->keys, why, x->claim.key_id,
	                  http_conn_peer(x->conn));
	answer_error(x, error == API_ERRORS ? API_WRONG_SIGNATURE : error, text);
}

static enum sigv4_verdict verify_link(struct http_exchange *x, const struct sigv4_request *r,
                                      struct err *e)
{
	const char *principal;
	const char *later;

	return http_keys_verify(http_conn_site(x->conn)->keys, &x->claim, r, slice_of(NULL, 0),
	                        false, clock_now_ms(), &principal, &later, e);
}

struct http_exchange *http_exchange_new(struct http_conn *c, const struct http_head *head)
{
	struct http_exchange *x = mem_new(sizeof(*x));
	struct sigv4_request r = signed_part(head);
	struct err e = { 0 };
	enum sigv4_verdict v;

	x->conn = c;
	new_request_id(x->request_id);
	if (!find_route(x, head)) {
		answer_error(x, API_UNKNOWN_OPERATION, "there is nothing at this path");
	} else if (x->route == ROUTE_CALL && head->body_bytes > WIRE_BODY_MAX) {
		answer_error(x, API_TOO_LARGE, "the body is too large");
	} else {
		v = sigv4_claim(&x->claim, &r, x->route == ROUTE_CALL ? SIGV4_CALL : SIGV4_LINK,
		                "ses", clock_now_ms(), &e);
		/* A link's signature doesn't cover the body: who has none sends none. */
		if (v == SIGV4_GOOD && x->route != ROUTE_CALL)
			v = verify_link(x, &r, &e);
		if (v == SIGV4_GOOD)
			return x;
		refuse(x, v, e.text);
	}
	http_exchange_free(&x);
	return NULL;
}

/* NULL: it has no such operation. */
static const struct model_operation *find_operation(const struct http_exchange *x,
                                                    const struct http_head *head)
{
	bool cbor = x->protocol == WIRE_RPC_CBOR;
	struct slice name = cbor ? head->path : http_head_field(head, "x-amz-target");
	const char *prefix = cbor ? OPERATION_PATH : TARGET;

	if (cbor &&
	    !slice_equal(http_head_field(head, WIRE_PROTOCOL), slice_str(WIRE_PROTOCOL_VALUE)))
		return NULL;
	return has_prefix(name, prefix) ? model_find(slice_from(name, strlen(prefix))) : NULL;
}

static void run_call(struct http_exchange *x, const char *principal, const struct http_head *head,
                     struct slice body)
{
	struct err e = { 0 };
	json_t *input = NULL;
	enum rc rc = wire_decode(x->protocol, x->operation->input, body, &input, &e);

	if (rc == RC_LIMIT)
		answer_error(x, API_TOO_LARGE, e.text);
	else if (rc != RC_OK)
		answer_error(x, API_SERIALIZATION, e.text);
	else
		call_operation(x, principal, head, input);
}

void http_exchange_run(struct http_exchange *x, const struct http_head *head, struct slice body)
{
	struct sigv4_request r = signed_part(head);
	struct err e = { 0 };
	const char *principal = NULL;
	const char *later;
	bool once;
	enum sigv4_verdict v;

	x->operation = x->route == ROUTE_CALL ? find_operation(x, head) : NULL;
	once = x->operation && x->operation->once; /* a file may be put again */
	v = http_keys_verify(http_conn_site(x->conn)->keys, &x->claim, &r, body, once,
	                     clock_now_ms(), &principal, &later, &e);
	if (v != SIGV4_GOOD)
		refuse(x, v, e.text);
	else if (later)
		answer_error(x, API_THROTTLING, later);
	else if (x->route != ROUTE_CALL)
		call_link(x, head, body);
	else if (!x->operation)
		answer_error(x, API_UNKNOWN_OPERATION, "there is no such operation");
	else
		run_call(x, principal, head, body);
}

void http_exchange_resume(struct http_exchange *x)
{
	if (x && x->call)
		http_call_resume(x->call);
}

void http_exchange_free(struct http_exchange **at)
{
	struct http_exchange *x = *at;

	if (!x)
		return;
	*at = NULL;
	http_call_free(&x->call);
	free(x);
}
