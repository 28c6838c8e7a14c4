#include "ingest/verdict/answers.h"

#include <stdlib.h>

#define NAME_BYTES  253
#define LABEL_BYTES 63

struct entry {
	enum dns_type type;
	uint32_t hash;
	bool answered;
	char *name;
	struct dns_answer answer;
	void *memory; /* the records, and behind them their texts */
};

struct answers {
	struct entry *at;
	size_t count;
	size_t room;
	size_t memory; /* of large answers: records and their texts */
	size_t given;  /* those before it were given out, or were answered before anybody asked */
};

static const struct dns_answer failed = { .status = DNS_FAILED };

struct answers *answers_new(void)
{
	return mem_new(sizeof(struct answers));
}

void answers_free(struct answers **a)
{
	if (!*a)
		return;
	for (size_t i = 0; i < (*a)->count; i++) {
		free((*a)->at[i].name);
		free((*a)->at[i].memory);
	}
	free((*a)->at);
	free(*a);
	*a = NULL;
}

static struct slice without_dot(struct slice name)
{
	if (name.len && name.at[name.len - 1] == '.')
		name.len--;
	return name;
}

/* Into lower case, with a NUL; false: no such name can be in DNS. A NUL in a label could be, but we
 * hand names on as strings, and nobody has one. */
static bool normal(char out[NAME_BYTES + 1], struct slice name)
{
	size_t label = 0;

	name = without_dot(name);
	if (name.len == 0 || name.len > NAME_BYTES)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.at[i];

		if (c == '\0' || (c == '.' && label == 0))
			return false;
		label = c == '.' ? 0 : label + 1;
		if (label > LABEL_BYTES)
			return false;
		out[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
	}
	out[name.len] = '\0';
	return label > 0;
}

/* FNV-1a. The list is short enough that names made to collide cost nothing worth a secret. */
static uint32_t hash_of(const char *name, enum dns_type type)
{
	uint32_t h = 2166136261U ^ (uint32_t)type;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619U;
	return h;
}

static struct entry *find(const struct answers *a, enum dns_type type, const char *name)
{
	uint32_t hash = hash_of(name, type);

	for (size_t i = 0; i < a->count; i++)
		if (a->at[i].hash == hash && a->at[i].type == type &&
		    strcmp(a->at[i].name, name) == 0)
			return &a->at[i];
	return NULL;
}

/* NULL: there are too many already. */
static struct entry *add(struct answers *a, enum dns_type type, const char *name)
{
	struct entry *e;

	if (a->count == ANSWERS_QUESTIONS)
		return NULL;
	if (a->count == a->room) {
		a->room = a->room ? a->room * 2 : 16;
		a->at = mem_resize(a->at, a->room * sizeof(*a->at));
	}
	e = &a->at[a->count++];
	*e = (struct entry) {
		.type = type,
		.hash = hash_of(name, type),
		.name = mem_string(name),
	};
	return e;
}

enum rc answers_get(struct answers *a, enum dns_type type, struct slice name,
                    struct dns_answer *out)
{
	char text[NAME_BYTES + 1];
	const struct entry *e;

	*out = (struct dns_answer) { .status = DNS_NO_NAME };
	if (!normal(text, name))
		return RC_OK;
	e = find(a, type, text);
	if (!e && !add(a, type, text)) {
		*out = failed;
		return RC_OK;
	}
	if (!e || !e->answered)
		return RC_AGAIN;
	*out = e->answer;
	return RC_OK;
}

bool answers_wanted(struct answers *a, struct dns_question *out)
{
	while (a->given < a->count) {
		const struct entry *e = &a->at[a->given++];

		if (e->answered)
			continue;
		*out = (struct dns_question) { .type = e->type, .name = e->name };
		return true;
	}
	return false;
}

static size_t text_bytes(const struct dns_answer *answer)
{
	size_t sum = 0;

	for (size_t i = 0; i < answer->count; i++)
		sum += answer->records[i].text.len;
	return sum;
}

/* By preference; what has the same keeps its order. */
static void sort_mx(struct dns_record *r, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct dns_record one = r[i];
		size_t at = i;

		for (; at > 0 && r[at - 1].preference > one.preference; at--)
			r[at] = r[at - 1];
		r[at] = one;
	}
}

static void copy_records(struct entry *e, const struct dns_answer *from, size_t texts)
{
	struct dns_record *records;
	uint8_t *text;

	records = mem_new(from->count * sizeof(*records) + texts);
	text = (uint8_t *)(records + from->count);
	for (size_t i = 0; i < from->count; i++) {
		struct slice s = from->records[i].text;

		records[i] = from->records[i];
		records[i].text = slice_of(text, s.len);
		if (s.len)
			memcpy(text, s.at, s.len);
		text += s.len;
		if (e->type == DNS_MX || e->type == DNS_PTR)
			records[i].text = without_dot(records[i].text);
	}
	if (e->type == DNS_MX)
		sort_mx(records, from->count);
	e->memory = records;
	e->answer.records = records;
	e->answer.count = from->count;
}

/* A key's or a policy's. Whoever writes a message names as many of them as he likes, in zones of
 * his own. */
static bool is_short(const char *name)
{
	return strncmp(name, "_dmarc.", 7) == 0 || strstr(name, "._domainkey.");
}

/* What is large takes of what is left; what is small is always taken. */
static bool fits(struct answers *a, const struct entry *e, const struct dns_answer *answer)
{
	size_t texts = text_bytes(answer);
	size_t bytes = texts + answer->count * sizeof(*answer->records);

	if (answer->count > ANSWERS_RECORDS || texts > ANSWERS_BYTES)
		return false;
	if (bytes <= ANSWERS_SMALL)
		return true;
	if (is_short(e->name) || bytes > ANSWERS_MEMORY - a->memory)
		return false;
	a->memory += bytes;
	return true;
}

void answers_put(struct answers *a, enum dns_type type, struct slice name,
                 const struct dns_answer *answer)
{
	char text[NAME_BYTES + 1];
	struct entry *e;

	if (!normal(text, name))
		return;
	e = find(a, type, text);
	if (!e)
		e = add(a, type, text);
	if (!e || e->answered)
		return;
	e->answered = true;
	e->answer = (struct dns_answer) { .status = answer->status, .secure = answer->secure };
	if (answer->status != DNS_RECORDS)
		return;
	if (answer->count == 0)
		e->answer.status = DNS_NO_DATA;
	else if (fits(a, e, answer))
		copy_records(e, answer, text_bytes(answer));
	else
		e->answer = failed;
}
