#include "api/http_keys.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sigv4_seen.h"

#define SEEN_ROOM   (8 * ONCE_SHARE) /* 6 MB; a principal has two keys */
#define SECRET_MAX  64
#define REFUSED_MAX 16
#define ID_MAX      LIMIT_SIGV4_KEY_ID

struct key {
	char id[ID_MAX + 1];
	char secret[SECRET_MAX + 1];
	char *principal;
	uint32_t owner; /* in `seen` */
	struct sigv4_derived derived;
};

struct refused {
	char why[64];
	char key[ID_MAX + 1];  /* of the first one */
	char address[IP_TEXT]; /* likewise */
	bool known;            /* it is a key that there is; else the line is for all that aren't */
	uint64_t count;
};

struct http_keys {
	struct key *keys; /* by id */
	size_t count;
	struct key link;
	char unknown[41]; /* the secret of every key that isn't known */
	struct sigv4_seen *seen;
	uint32_t owners; /* that were ever given out */
	int64_t began_ms;
	struct refused refused[REFUSED_MAX];
	size_t refused_count;
};

static void random_secret(char out[41])
{
	static const char digits[] =
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < 40; i++)
		out[i] = digits[randombytes_uniform(64)];
	out[40] = '\0';
}

struct http_keys *http_keys_new(void)
{
	struct http_keys *k = mem_new(sizeof(*k));

	random_secret(k->unknown);
	random_secret(k->link.secret);
	k->seen = sigv4_seen_new(SEEN_ROOM, ONCE_SHARE);
	return k;
}

static void free_keys(struct key *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(keys[i].principal);
	if (keys)
		sodium_memzero(keys, count * sizeof(*keys));
	free(keys);
}

void http_keys_free(struct http_keys **at)
{
	struct http_keys *k = *at;

	if (!k)
		return;
	*at = NULL;
	free_keys(k->keys, k->count);
	sigv4_seen_free(&k->seen);
	sodium_memzero(k, sizeof(*k));
	free(k);
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct key *)a)->id, ((const struct key *)b)->id);
}

static struct key *find(const struct http_keys *k, const char *id)
{
	struct key wanted = { .principal = NULL };

	(void)snprintf(wanted.id, sizeof(wanted.id), "%s", id);
	return k->count ? bsearch(&wanted, k->keys, k->count, sizeof(*k->keys), by_id) : NULL;
}

static enum rc read_key(struct http_keys *k, const json_t *from, struct key *to, struct err *e)
{
	struct slice id = json_member_text(from, "AccessKeyId");
	struct slice secret = json_member_text(from, "SecretAccessKey");
	const struct key *old;

	if (!id.len || id.len > ID_MAX || !secret.len || secret.len > SECRET_MAX)
		return err_set(e, RC_INVALID, "an access key that is none");
	memcpy(to->id, id.at, id.len);
	memcpy(to->secret, secret.at, secret.len);
	to->principal = slice_string(json_member_text(from, "Principal"));
	old = find(k, to->id);
	to->owner = old ? old->owner : k->owners++;
	if (old && strcmp(old->secret, to->secret) == 0)
		to->derived = old->derived;
	return RC_OK;
}

enum rc http_keys_set(struct http_keys *k, const json_t *all, struct err *e)
{
	const json_t *list = json_member_array(all, "Keys");
	size_t count = json_array_size(list);
	struct key *keys = mem_array(count + 1, sizeof(*keys));
	enum rc rc = RC_OK;

	for (size_t i = 0; i < count && rc == RC_OK; i++)
		rc = read_key(k, json_array_get(list, i), &keys[i], e);
	if (rc != RC_OK) {
		free_keys(keys, count);
		return rc;
	}
	if (count)
		qsort(keys, count, sizeof(*keys), by_id);
	free_keys(k->keys, k->count);
	k->keys = keys;
	k->count = count;
	return RC_OK;
}

void http_keys_set_link(struct http_keys *k, struct slice secret)
{
	sodium_memzero(&k->link, sizeof(k->link));
	memcpy(k->link.secret, secret.at, MIN_OF(secret.len, (size_t)SECRET_MAX));
}

void http_keys_set_began(struct http_keys *k, int64_t ms)
{
	k->began_ms = ms;
}

/* A time of signing has whole seconds: what is stamped with the second of the beginning may be from
 * before it. */
static bool is_from_before(const struct http_keys *k, const struct sigv4_claim *c)
{
	return c->at_ms < (k->began_ms + 999) / 1000 * 1000;
}

/* What may be used once; the signature is good. */
static enum sigv4_verdict use_once(struct http_keys *k, const struct key *key,
                                   const struct sigv4_claim *c, int64_t now_ms, const char **later,
                                   struct err *e)
{
	if (c->presigned && c->until_ms - c->at_ms > ONCE_SECONDS * 1000) {
		(void)err_set(
		        e, RC_DENIED,
		        "X-Amz-Expires: a presigned call of an operation whose signature counts "
		        "once lives at most %d seconds",
		        ONCE_SECONDS);
		return SIGV4_OUTDATED;
	}
	if (is_from_before(k, c)) {
		*later = "mm was started after this call was signed; sign it again";
		return SIGV4_GOOD;
	}
	switch (sigv4_seen_add(k->seen, key->owner, c->signature, c->until_ms, now_ms)) {
	case SIGV4_AGAIN:
		(void)err_set(e, RC_DENIED, "this signature was used before; sign the call again");
		return SIGV4_OUTDATED;
	case SIGV4_SHARE:
		*later = "too many calls under this key whose signatures count once; try later";
		break;
	case SIGV4_FULL:
		*later = "too many calls whose signatures count once; try later";
		break;
	case SIGV4_FIRST:
		break;
	}
	return SIGV4_GOOD;
}

enum sigv4_verdict http_keys_verify(struct http_keys *k, const struct sigv4_claim *c,
                                    const struct sigv4_request *r, struct slice body, bool once,
                                    int64_t now_ms, const char **principal, const char **later,
                                    struct err *e)
{
	bool link = c->use == SIGV4_LINK;
	struct key *key = link ? &k->link : find(k, c->key_id);
	const char *secret = key ? key->secret : k->unknown;
	char payload[SIGV4_HASH + 1];
	enum sigv4_verdict v;

	*principal = NULL;
	*later = NULL;
	sigv4_hash(payload, body);
	v = sigv4_verify(c, r, slice_str(payload), slice_str(secret), key ? &key->derived : NULL,
	                 e);
	if (v != SIGV4_GOOD)
		return v;
	/* A random secret is guessed by nobody, but who knows. */
	if (!key || (link && strcmp(c->key_id, HTTP_LINK_KEY) != 0)) {
		(void)err_set(e, RC_DENIED, "the signature is wrong");
		return SIGV4_WRONG;
	}
	*principal = key->principal;
	return once ? use_once(k, key, c, now_ms, later, e) : SIGV4_GOOD;
}

/* ---- who was refused ---- */

void http_keys_refused(struct http_keys *k, const char *why, const char *key, const struct ip *from)
{
	struct refused r = { .count = 1, .known = find(k, key) != NULL };
	struct refused *at = k->refused;

	(void)snprintf(r.why, sizeof(r.why), "%s", why);
	(void)snprintf(r.key, sizeof(r.key), "%s", key);
	ip_format(r.address, from);
	for (; at < k->refused + k->refused_count; at++)
		if (strcmp(at->why, r.why) == 0 && at->known == r.known &&
		    (!r.known || strcmp(at->key, r.key) == 0)) {
			at->count++;
			return;
		}
	if (k->refused_count < REFUSED_MAX) {
		k->refused[k->refused_count++] = r;
		return;
	}
	/* Many different ones: the last line is for all the others. */
	at = &k->refused[REFUSED_MAX - 1];
	r.count = at->count + 1;
	(void)snprintf(r.key, sizeof(r.key), "(several)");
	(void)snprintf(r.address, sizeof(r.address), "(several)");
	*at = r;
}

json_t *http_keys_take_refused(struct http_keys *k)
{
	json_t *list = k->refused_count ? json_array() : NULL;

	for (size_t i = 0; i < k->refused_count; i++) {
		const struct refused *r = &k->refused[i];
		json_t *j = json_object();

		json_put_text(j, "why", slice_str(r->why));
		json_put(j, "key", json_of_slice(slice_str(r->key)));
		json_put_text(j, "address", slice_str(r->address));
		json_put_int(j, "count", (int64_t)r->count);
		json_push(list, j);
	}
	k->refused_count = 0;
	return list;
}
