/* api/op_log.c - records of the sealed log, as far as the asker may see them */
#include <stdatomic.h>
#include <string.h>

#include "api/ops.h"
#include "base/clock.h"
#include "ingest/logs.h"
#include "store/logbook.h"

#define FOLLOW_MS 500
#define FOLLOWERS 2 /* at once: each has a thread of the requests' */

/*
 * The log has the addresses of all mail, whatever archive it went into, or none. So it is for who
 * sees how mail flows; and only who may read all mail sees who wrote to whom. An auditor has
 * archives, not the flow.
 */
struct reading {
	struct request *r;
	int64_t from_ms;
	int64_t to_ms;
	enum log_kind kind; /* LOG_KINDS: all */
	struct slice id;    /* empty: all */
	uint64_t left;      /* rows that may still be sent; UINT64_MAX: all */
	bool addresses;
};

static void drop_addresses(json_t *row)
{
	static const char *const names[] = { "sender_ip_address", "smtp_mail_from",
		                             "smtp_helo",         "recipients",
		                             "recipient",         "recipients_matched" };
	json_t *metadata = json_object_get(row, "ingress_point_metadata");

	for (size_t i = 0; i < COUNT(names); i++)
		if (strcmp(names[i], "recipients_matched") != 0 ||
		    json_array_size(json_object_get(row, names[i])))
			(void)json_object_del(row, names[i]);
	(void)json_object_del(metadata, "client_certificate_details");
	if (metadata && json_object_size(metadata) == 0)
		(void)json_object_del(row, "ingress_point_metadata");
}

static bool is_wanted(const struct reading *x, const struct logbook_entry *entry)
{
	return entry->when_ms >= x->from_ms && entry->when_ms < x->to_ms &&
	       (x->kind == LOG_KINDS || entry->kind == x->kind) &&
	       (!x->id.len || slice_find(entry->text, x->id) != SIZE_MAX);
}

static enum rc show_problem(void *arg, const char *text, struct err *e)
{
	struct reading *x = arg;
	json_t *row = json_object();

	json_put_text(row, "problem", slice_str(text));
	return request_row(x->r, row, e);
}

static enum rc show_entry(void *arg, const struct logbook_entry *entry, struct err *e)
{
	struct reading *x = arg;
	json_t *row;

	if (!is_wanted(x, entry))
		return request_gone(x->r->w) ? err_set(e, RC_IO, "the client has gone") : RC_OK;
	if (json_read(&row, entry->text, NULL) != RC_OK)
		return show_problem(x, "a record that is no JSON", e);
	if (x->id.len && !slice_equal(json_member_text(row, "message_id"), x->id)) {
		json_decref(row);
		return RC_OK;
	}
	if (!x->addresses)
		drop_addresses(row);
	if (x->left == 0) {
		json_decref(row);
		return RC_EXISTS; /* enough: ends the walk */
	}
	if (x->left != UINT64_MAX)
		x->left--;
	return request_row(x->r, row, e);
}

static enum rc account_reading(const struct reading *x, struct err *e)
{
	json_t *detail = json_object();

	if (x->from_ms != INT64_MIN)
		json_put_int(detail, "from", x->from_ms);
	if (x->to_ms != INT64_MAX)
		json_put_int(detail, "to", x->to_ms);
	if (x->kind != LOG_KINDS)
		json_put_text(detail, "kind", slice_str(log_kind_name(x->kind)));
	if (x->id.len)
		json_put(detail, "id", json_of_slice(x->id));
	json_put_bool(detail, "addresses", x->addresses);
	return request_account(x->r, "log", detail, e);
}

static enum rc read_arguments(struct reading *x, struct err *e)
{
	const json_t *args = x->r->args;
	struct slice kind = json_member_text(args, "kind");
	int64_t limit = json_member_int(args, "limit", 0);
	struct message_id id;

	x->from_ms = json_member_int(args, "from", INT64_MIN);
	x->to_ms = json_member_int(args, "to", INT64_MAX);
	x->kind = LOG_KINDS;
	x->left = limit > 0 ? (uint64_t)limit : UINT64_MAX;
	x->addresses = access_may(x->r->access, ACCESS_READ_MESSAGE, NULL);
	x->id = json_member_text(args, "id");
	if (x->id.at && !id_parse(&id, x->id))
		return request_id(x->r, &id, e);
	if (kind.at && !log_kind_parse(kind, &x->kind))
		return err_set(e, RC_INVALID, "a kind of record is ingress, rule, policy or gap");
	return RC_OK;
}

/* What is there, and with `follow` what comes, until the client goes. */
static enum rc show(struct reading *x, bool follow, struct err *e)
{
	const struct logbook_reader reader = { show_entry, show_problem, x };
	struct logbook_place place = { 0 };
	struct logbook *book;
	enum rc rc;

	logs_flush(x->r->en->logs);
	rc = logbook_open(&book, x->r->en->dir, x->r->en->keys, e);
	while (rc == RC_OK) {
		rc = logbook_read(book, &place, &reader, e);
		if (rc != RC_OK || !follow)
			break;
		rc = request_flush(x->r->w, e);
		if (rc == RC_OK)
			rc = request_allowed(x->r, e);
		if (rc != RC_OK || request_gone(x->r->w))
			break;
		clock_sleep_ms(FOLLOW_MS);
		rc = logbook_relist(book, e);
	}
	logbook_close(&book);
	return rc == RC_EXISTS ? RC_OK : rc;
}

enum rc op_log(struct request *r, struct err *e)
{
	static _Atomic unsigned followers;
	struct reading x = { .r = r };
	bool follow = json_member_bool(r->args, "follow", false);
	enum rc rc = read_arguments(&x, e);

	if (rc == RC_OK)
		rc = account_reading(&x, e);
	if (rc != RC_OK)
		return rc;
	if (follow && atomic_fetch_add(&followers, 1) >= FOLLOWERS)
		rc = err_set(e, RC_AGAIN, "%d follow the log already", FOLLOWERS);
	if (rc == RC_OK)
		rc = show(&x, follow, e);
	if (follow)
		(void)atomic_fetch_sub(&followers, 1);
	return rc;
}
