#include "store/vfs.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct entry {
	struct entry *next;
	int64_t number;
	uint8_t key[KEY_BYTES];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *entries;
static int64_t last_number;
static _Thread_local struct err last_error;

int64_t vfs_key_add(const uint8_t key[KEY_BYTES])
{
	struct entry *x = mem_new(sizeof(*x));

	memcpy(x->key, key, KEY_BYTES);
	MUST(pthread_mutex_lock(&lock) == 0);
	x->number = ++last_number;
	x->next = entries;
	entries = x;
	MUST(pthread_mutex_unlock(&lock) == 0);
	return x->number;
}

bool vfs_key_get(int64_t number, uint8_t key[KEY_BYTES])
{
	bool found = false;

	MUST(pthread_mutex_lock(&lock) == 0);
	for (struct entry *x = entries; x && !found; x = x->next) {
		found = x->number == number;
		if (found)
			memcpy(key, x->key, KEY_BYTES);
	}
	MUST(pthread_mutex_unlock(&lock) == 0);
	return found;
}

void vfs_key_drop(int64_t number)
{
	struct entry **at = &entries;
	struct entry *x;

	MUST(pthread_mutex_lock(&lock) == 0);
	while (*at && (*at)->number != number)
		at = &(*at)->next;
	x = *at;
	if (x)
		*at = x->next;
	MUST(pthread_mutex_unlock(&lock) == 0);
	if (x)
		crypt_wipe(x, sizeof(*x));
	free(x);
}

struct err *vfs_error(void)
{
	return &last_error;
}

void vfs_error_clear(void)
{
	/* Called for every step of a statement: not the whole text. */
	last_error.code = RC_OK;
	last_error.sys = 0;
	last_error.text[0] = '\0';
}

int vfs_code(enum rc rc)
{
	switch (rc) {
	case RC_OK:
		return SQLITE_OK;
	case RC_NOSPACE:
		return SQLITE_FULL;
	case RC_CORRUPT:
	case RC_CRYPTO:
		return SQLITE_IOERR_DATA;
	default:
		return SQLITE_IOERR;
	}
}

void vfs_uri(char *out, size_t room, const char *path, const char *tail)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	memcpy(out, "file:", 5);
	n = 5;
	for (; *path && n + 4 < room; path++) {
		unsigned char c = (unsigned char)*path;

		if (c == '%' || c == '?' || c == '#' || c < 0x20) {
			out[n++] = '%';
			out[n++] = digits[c >> 4];
			out[n++] = digits[c & 15];
		} else {
			out[n++] = (char)c;
		}
	}
	(void)snprintf(out + n, room - n, "%s", tail);
}

static void init_once(void)
{
	sqlite3_vfs *base;

	crypt_init();
	/* Statement journals stay in memory, whatever their size. */
	MUST(sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, -1) == SQLITE_OK);
	MUST(sqlite3_initialize() == SQLITE_OK);
	base = sqlite3_vfs_find(NULL);
	MUST(base);
	MUST(sqlite3_vfs_register(vfs_crypt_make(base), 0) == SQLITE_OK);
	MUST(sqlite3_vfs_register(vfs_sealed_make(base), 0) == SQLITE_OK);
}

void vfs_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	MUST(pthread_once(&once, init_once) == 0);
}

bool vfs_full_path(const char *path, char full[PATH_MAX])
{
	sqlite3_vfs *v;

	vfs_init();
	v = sqlite3_vfs_find(VFS_CRYPT);
	MUST(v);
	/* The higher bits say that a link was followed. */
	return (v->xFullPathname(v, path, PATH_MAX, full) & 0xff) == SQLITE_OK;
}
