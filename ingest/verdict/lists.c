#include "ingest/verdict/lists.h"

#include <stdlib.h>

#include "ingest/scan_result.h"

#define ADDRESS 1024 /* longest MAIL FROM that is looked at */
#define HOST    256

struct one {
	const struct addon *list;
	char *id;
	bool done;
	struct dnsbl_answer answer;
};

struct lists {
	struct one at[ADDONS_MOST];
	size_t count;
	struct dnsbl_question q; /* its texts are these: */
	char mail_from[ADDRESS];
	char helo[HOST];
	char from[DNSBL_DOMAINS][HOST];
	struct slice domains[DNSBL_DOMAINS];
};

/* The end of an address counts, and the whole of a name. */
static struct slice keep(char *to, size_t room, struct slice s)
{
	if (s.len > room)
		s = slice_from(s, s.len - room);
	if (s.len)
		memcpy(to, s.at, s.len);
	return slice_of(to, s.len);
}

static void keep_question(struct lists *l, const struct dnsbl_question *q)
{
	l->q.client = q->client;
	l->q.mail_from = keep(l->mail_from, ADDRESS, q->mail_from);
	l->q.helo = q->helo.len <= HOST ? keep(l->helo, HOST, q->helo) : slice_of(NULL, 0);
	l->q.from_domains = l->domains;
	for (size_t i = 0; i < q->from_count && l->q.from_count < DNSBL_DOMAINS; i++)
		if (q->from_domains[i].len <= HOST) {
			size_t n = l->q.from_count++;

			l->domains[n] = keep(l->from[n], HOST, q->from_domains[i]);
		}
}

struct lists *lists_new(const struct addons *addons, const json_t *asked,
                        const struct dnsbl_question *q)
{
	struct lists *l = mem_new(sizeof(*l));

	for (size_t i = 0; i < json_array_size(asked) && l->count < ADDONS_MOST; i++) {
		const json_t *one = json_array_get(asked, i);
		const struct addon *a = addons_find(addons, json_member_text(one, "addon"));

		if (!a || a->kind != ADDON_DNSBL)
			continue;
		l->at[l->count].list = a;
		l->at[l->count++].id = slice_string(json_member_text(one, "id"));
	}
	if (l->count == 0)
		lists_free(&l);
	else
		keep_question(l, q);
	return l;
}

void lists_free(struct lists **at)
{
	struct lists *l = *at;

	*at = NULL;
	if (!l)
		return;
	for (size_t i = 0; i < l->count; i++)
		free(l->at[i].id);
	free(l);
}

enum rc lists_run(struct lists *l, struct answers *a)
{
	enum rc rc = RC_OK;

	for (size_t i = 0; l && i < l->count; i++) {
		struct one *o = &l->at[i];

		if (!o->done)
			o->done = dnsbl_check(o->list, &l->q, a, &o->answer) == RC_OK;
		if (!o->done)
			rc = RC_AGAIN;
	}
	return rc;
}

json_t *lists_json(const struct lists *l)
{
	json_t *all = l ? json_object() : NULL;

	for (size_t i = 0; l && i < l->count; i++) {
		const struct one *o = &l->at[i];

		json_put(all, o->id,
		         o->done ? dnsbl_json(o->list, &o->answer)
		                 : scan_result_failed("no answer of DNS in time"));
	}
	return all;
}
