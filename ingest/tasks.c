#include "ingest/tasks.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "ingest/decided.h"
#include "store/hash.h"

#define DESTINATION 300

struct making {
	struct tasks *tasks;
	const struct rule_set *rs;
	const struct rule_outcome *o;
	const struct rule_execution *x;
	const json_t *rcpt; /* of the receipt */
	bool decides;
};

/* ---- one task ---- */

static json_t *recipient_json(const struct making *k, uint32_t index)
{
	const json_t *given = index < k->o->envelope_count ? json_array_get(k->rcpt, index) : NULL;
	json_t *one = json_object();

	json_put_int(one, "i", index);
	json_put_text(one, "to", k->o->recipients[index].address);
	if (json_member_text(given, "notify").at)
		json_put_text(one, "notify", json_member_text(given, "notify"));
	if (json_member_text(given, "orcpt").at)
		json_put_text(one, "orcpt", json_member_text(given, "orcpt"));
	return one;
}

/* `headers` is taken over. */
static void add_task(const struct making *k, const char *destination, json_t *headers)
{
	struct tasks *t = k->tasks;
	json_t *spec = json_object();

	json_put_text(spec, "rule_set", slice_str(rule_set_id(k->rs)));
	json_put_text(spec, "rule_set_name", slice_str(rule_set_name(k->rs)));
	json_put_int(spec, "rule", k->x->rule);
	json_put_text(spec, "rule_name", slice_str(k->x->rule_name));
	json_put_int(spec, "action", k->x->action);
	json_put(spec, "do", json_incref((json_t *)(uintptr_t)k->x->what->spec));
	json_put(spec, "recipients", json_array());
	if (json_array_size(headers))
		json_put(spec, "headers", headers);
	else
		json_decref(headers);
	if (t->count == t->room) {
		t->room = t->room ? t->room * 2 : 8;
		t->at = mem_resize(t->at, t->room * sizeof(*t->at));
	}
	t->at[t->count++] = (struct queue_task) { .kind = k->x->what->kind,
		                                  .destination = mem_string(destination),
		                                  .spec = spec,
		                                  .decides = k->decides };
}

/* ---- mail: who goes with whom ---- */

static void domain_of(char out[DESTINATION], struct slice address)
{
	struct slice domain = address;

	for (size_t i = address.len; i-- > 0;)
		if (address.at[i] == '@') {
			domain = slice_from(address, i + 1);
			break;
		}
	(void)snprintf(out, DESTINATION, "%.*s", (int)MIN_OF(domain.len, (size_t)DESTINATION - 1),
	               (const char *)domain.at);
	for (char *c = out; *c; c++)
		*c = (char)tolower((unsigned char)*c);
}

static void where_to(const struct making *k, char out[DESTINATION], struct slice address)
{
	struct slice relay = json_member_text(k->x->what->spec, "Relay");

	switch (k->x->what->kind) {
	case RULE_SEND:
		domain_of(out, address);
		break;
	case RULE_RELAY:
		(void)snprintf(out, DESTINATION, "relay/%.*s", (int)MIN_OF(relay.len, (size_t)200),
		               (const char *)relay.at);
		break;
	case RULE_MAILBOX:
		(void)snprintf(out, DESTINATION, "mailbox");
		break;
	default:
		(void)snprintf(out, DESTINATION, "bounce");
		break;
	}
}

/* A task of an execution: whoever goes there with the same headers goes with it. */
struct way {
	UT_hash_handle hh;
	size_t task;
	size_t key_len;
	char key[]; /* destination, line end, headers */
};

static void make_key(struct buf *key, const char *destination, const json_t *headers)
{
	buf_clear(key);
	MUST(buf_add(key, slice_str(destination)) == RC_OK &&
	     buf_add(key, slice_str("\n")) == RC_OK);
	if (json_array_size(headers))
		MUST(json_write(key, headers) == RC_OK);
}

static struct way *find_way(struct way *ways, struct slice key)
{
	struct way *w;

	HASH_FIND(hh, ways, key.at, key.len, w);
	return w;
}

static struct way *add_way(struct way **ways, struct slice key, size_t task)
{
	struct way *w = mem_new(sizeof(*w) + key.len);

	w->task = task;
	w->key_len = key.len;
	memcpy(w->key, key.at, key.len);
	HASH_ADD_KEYPTR(hh, *ways, w->key, w->key_len, w);
	return w;
}

static void free_ways(struct way *ways)
{
	struct way *w;
	struct way *next;

	HASH_ITER(hh, ways, w, next)
	{
		HASH_DEL(ways, w);
		free(w);
	}
}

static void make_mail(const struct making *k)
{
	struct way *ways = NULL;
	struct buf key;

	buf_init(&key, LIMIT_REQUEST);
	for (size_t i = 0; i < k->x->recipient_count; i++) {
		uint32_t index = k->x->recipients[i];
		json_t *headers = decided_headers(k->o, k->x, index);
		char destination[DESTINATION];
		struct way *w;

		where_to(k, destination, k->o->recipients[index].address);
		make_key(&key, destination, headers);
		w = find_way(ways, buf_slice(&key));
		if (w) {
			json_decref(headers);
		} else {
			w = add_way(&ways, buf_slice(&key), k->tasks->count);
			add_task(k, destination, headers);
		}
		json_push(json_member_array(k->tasks->at[w->task].spec, "recipients"),
		          recipient_json(k, index));
	}
	buf_free(&key);
	free_ways(ways);
}

/* ---- calls ---- */

static void make_call(const struct making *k)
{
	static const char *const endpoints[RULE_ACTION_KINDS] = {
		[RULE_S3] = "s3",
		[RULE_SNS] = "sns",
		[RULE_LAMBDA] = "lambda",
		[RULE_QBUSINESS] = "qbusiness",
	};
	json_t *list;

	add_task(k, endpoints[k->x->what->kind], decided_headers(k->o, k->x, UINT32_MAX));
	list = json_member_array(k->tasks->at[k->tasks->count - 1].spec, "recipients");
	for (size_t i = 0; i < k->x->recipient_count; i++)
		json_push(list, recipient_json(k, k->x->recipients[i]));
}

void tasks_make(struct tasks *t, const struct rule_set *rs, const struct rule_outcome *o,
                const struct mail *m)
{
	struct making k = {
		.tasks = t, .rs = rs, .o = o, .rcpt = json_member_array(m->receipt, "rcpt")
	};

	*t = (struct tasks) { .count = 0 };
	for (size_t i = 0; i < o->execution_count; i++) {
		k.x = &o->executions[i];
		if (k.x->past || !rule_is_task(k.x->what->kind))
			continue;
		k.decides = o->waits && i + 1 == o->execution_count;
		if (k.x->what->kind >= RULE_S3)
			make_call(&k);
		else
			make_mail(&k);
	}
}

void tasks_free(struct tasks *t)
{
	for (size_t i = 0; i < t->count; i++)
		free((void *)(uintptr_t)t->at[i].destination);
	free(t->at);
	*t = (struct tasks) { .count = 0 };
}
