/*
 * control_calls DIR OPTIONS - the operations on searches, exports and messages, without HTTP
 *
 * Opens the data directory, runs its jobs, and answers a line of JSON
 * {"operation","input","principal"} (internal form: times are milliseconds) with {"output"} or
 * {"error","message"}. OPTIONS is JSON: open, jobs_kept, url, link_seconds, s3 {url, region,
 * path_style, access_key, secret_key, part_bytes, tries, wait_ms}. Operation "api-message" takes
 * the link's parts as input and answers {"rows":[...],"bytes":BASE64}. With "wait" in OPTIONS
 * nothing runs until operation "run".
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/control_job.h"
#include "api/job_run.h"
#include "api/principal.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/sigv4.h"
#include "base/tls.h"
#include "store/crypt.h"

static const struct {
	const char *name;
	control_run run;
} operations[] = {
	{ "StartArchiveSearch", control_start_search },
	{ "GetArchiveSearch", control_get_search },
	{ "GetArchiveSearchResults", control_search_results },
	{ "ListArchiveSearches", control_list_searches },
	{ "StopArchiveSearch", control_stop_search },
	{ "StartArchiveExport", control_start_export },
	{ "GetArchiveExport", control_get_export },
	{ "ListArchiveExports", control_list_exports },
	{ "StopArchiveExport", control_stop_export },
	{ "GetArchiveMessage", control_get_message },
	{ "GetArchiveMessageContent", control_get_message_content },
};

static const struct access everything = { .role = ROLE_ADMIN };

static json_t *run(struct request *r, struct slice operation)
{
	struct control_call c = { .r = r, .input = r->args, .error = API_ERRORS };
	json_t *answer = json_object();
	struct err e = { 0 };
	enum rc rc = RC_INVALID;

	for (size_t i = 0; i < COUNT(operations); i++)
		if (slice_equal(operation, slice_str(operations[i].name)))
			rc = operations[i].run(&c, &e);
	if (rc == RC_OK) {
		json_put(answer, "output", c.output ? c.output : json_object());
		return answer;
	}
	json_decref(c.output);
	json_put_text(answer, "error",
	              slice_str(c.error == API_ERRORS ? rc_name(rc) : api_error_name(c.error)));
	json_put(answer, "message", json_of_slice(slice_str(e.text)));
	return answer;
}

/* ---- a link ---- */

struct followed {
	struct request *r;
	json_t *rows;
	struct buf bytes;
	size_t longest;
};

static enum rc take_row(void *arg, struct slice line, struct err *e)
{
	struct followed *f = arg;
	json_t *row;
	enum rc rc = json_read(&row, line, e);

	if (rc == RC_OK)
		json_push(f->rows, row);
	return rc;
}

static enum rc take_bytes(void *arg, struct slice bytes, struct err *e)
{
	struct followed *f = arg;

	(void)e;
	f->longest = MAX_OF(f->longest, bytes.len);
	return buf_add(&f->bytes, bytes);
}

static void serve_link(void *arg, const struct request_peer *peer, struct slice json,
                       struct request_writer *w)
{
	struct followed *f = arg;
	struct err e = { 0 };
	enum rc rc;

	(void)peer;
	(void)json;
	f->r->w = w;
	rc = control_send_message(f->r, &e);
	if (rc == RC_OK)
		rc = request_done(w, slice_str("{}"), &e);
	if (rc != RC_OK)
		request_fail(w, &e);
}

static json_t *follow(struct request *r)
{
	struct followed f = { .r = r, .rows = json_array() };
	const struct request_reader reader = { take_row, take_bytes, &f };
	json_t *answer = json_object();
	struct buf text;
	struct buf result;
	struct err e = { 0 };
	enum rc rc;

	buf_init(&f.bytes, LIMIT_REQUEST);
	buf_init(&text, LIMIT_REQUEST * 2);
	buf_init(&result, LIMIT_REQUEST);
	rc = request_local(serve_link, &f, slice_str("{}"), &reader, &result, &e);
	if (rc == RC_OK) {
		MUST(base64_encode(&text, buf_slice(&f.bytes)) == RC_OK);
		json_put(answer, "rows", f.rows);
		json_put_int(answer, "longest", (int64_t)f.longest);
		json_put_text(answer, "bytes", buf_slice(&text));
	} else {
		json_decref(f.rows);
		json_put_text(answer, "error", slice_str(rc_name(rc)));
		json_put(answer, "message", json_of_slice(slice_str(e.text)));
	}
	buf_free(&result);
	buf_free(&text);
	buf_free(&f.bytes);
	return answer;
}

/* ---- lines ---- */

static json_t *answer_line(struct engine *en, const json_t *line)
{
	struct slice name = json_member_text(line, "principal");
	struct slice operation = json_member_text(line, "operation");
	struct principals *ps = engine_principals(en);
	struct request r = { .en = en, .who = "uid 0", .access = &everything, .principals = ps };
	char who[WHO_ROOM];
	json_t *answer;

	r.args = json_member_object(line, "input");
	r.known = principals_generation(ps);
	if (name.at) {
		r.principal = principal_by_name(ps, name);
		MUST(r.principal);
		(void)snprintf(who, sizeof(who), "principal %s", r.principal->name);
		r.who = who;
		r.access = &r.principal->access;
	}
	answer = slice_equal(operation, slice_str("api-message")) ? follow(&r) : run(&r, operation);
	principals_unref(&ps);
	return answer;
}

static void serve(struct engine *en, const struct job_options *jo)
{
	static char line[1048576];
	struct err e;
	json_t *in;

	while (fgets(line, sizeof(line), stdin)) {
		json_t *out;

		MUST(json_read(&in, slice_str(line), &e) == RC_OK);
		if (slice_equal(json_member_text(in, "operation"), slice_str("run"))) {
			MUST(jobs_start(en, jo, &e) == RC_OK);
			json_decref(in);
			continue;
		}
		out = answer_line(en, in);
		(void)json_dumpf(out, stdout, JSON_COMPACT | JSON_SORT_KEYS);
		(void)putchar('\n');
		(void)fflush(stdout);
		json_decref(out);
		json_decref(in);
	}
}

static const char *text_of(const json_t *o, const char *member)
{
	return json_string_value(json_object_get(o, member));
}

int main(int argc, char **argv)
{
	struct engine_options eo = { .program = "control_calls" };
	struct job_options jo = { 0 };
	struct deliver_options s3 = { 0 };
	struct engine *en;
	struct err e = { 0 };
	json_t *options;
	const json_t *s;

	MUST(argc == 3);
	log_init("control_calls", LOG_WARN);
	clock_init();
	crypt_init();
	tls_init();
	sigv4_init();
	(void)signal(SIGPIPE, SIG_IGN);
	MUST(json_read(&options, slice_str(argv[2]), &e) == RC_OK);
	s = json_member_object(options, "s3");
	MUST(api_configure(&eo.api, NULL, &e) == RC_OK);
	eo.api.open = json_member_bool(options, "open", false);
	eo.api.jobs_kept = (unsigned)json_member_int(options, "jobs_kept", eo.api.jobs_kept);
	jo.url = text_of(options, "url");
	jo.link_seconds = (unsigned)json_member_int(options, "link_seconds", 0);
	if (s) {
		s3 = (struct deliver_options) {
			.url = text_of(s, "url"),
			.region = text_of(s, "region"),
			.path_style = json_member_bool(s, "path_style", true),
			.access_key = text_of(s, "access_key"),
			.secret_key = text_of(s, "secret_key"),
			.part_bytes = (uint64_t)json_member_int(s, "part_bytes", 0),
			.tries = (unsigned)json_member_int(s, "tries", 0),
			.wait_ms = (unsigned)json_member_int(s, "wait_ms", 0),
		};
		MUST(deliver_home_start(&jo.s3, &s3, &e) == RC_OK);
	}
	eo.dir = argv[1];
	if (engine_open(&en, &eo, &e) != RC_OK ||
	    (!json_member_bool(options, "wait", false) && jobs_start(en, &jo, &e) != RC_OK)) {
		log_error("%s", e.text);
		return 1;
	}
	serve(en, &jo);
	jobs_stop(en);
	engine_close(&en);
	deliver_home_stop(&jo.s3);
	json_decref(options);
	return 0;
}
