#include "index/fts.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "base/cidr.h"
#include "index/token.h"

struct fts {
	bool raw;
};

/* FTS5's object for one tokenizer of one table. */
struct instance {
	struct fts *fts;
};

typedef int (*token_callback)(void *arg, int flags, const char *token, int n, int from, int to);

struct feed {
	token_callback each;
	void *arg;
	int code;
};

static int instance_make(void *arg, const char **argv, int argc, Fts5Tokenizer **out)
{
	struct instance *x = mem_new(sizeof(*x));

	(void)argv;
	(void)argc;
	x->fts = arg;
	*out = (Fts5Tokenizer *)(void *)x;
	return SQLITE_OK;
}

static void instance_free(Fts5Tokenizer *t)
{
	free(t);
}

static enum rc feed_token(void *arg, const struct token *t)
{
	struct feed *f = arg;
	int flags = t->kind == TOKEN_WORD ? 0 : FTS5_TOKEN_COLOCATED;

	f->code = f->each(f->arg, flags, (const char *)t->text.at, (int)t->text.len, (int)t->from,
	                  (int)t->to);
	return f->code == SQLITE_OK ? RC_OK : RC_AGAIN;
}

/* Ready tokens, one blank between them. */
static int feed_query(struct feed *f, struct slice text)
{
	while (text.len && f->code == SQLITE_OK) {
		struct slice word = slice_cut(text, ' ', &text);

		if (word.len)
			f->code = f->each(f->arg, 0, (const char *)word.at, (int)word.len, 0, 0);
	}
	return f->code;
}

/* Each token: the step from the position before (0 or 1) plus 1, its length, its bytes. */
static int feed_raw(struct feed *f, struct slice list)
{
	while (list.len >= 2 && f->code == SQLITE_OK) {
		int flags = list.at[0] == 1 ? FTS5_TOKEN_COLOCATED : 0;
		size_t n = list.at[1];

		if (list.at[0] < 1 || list.at[0] > 2 || n == 0 || n > list.len - 2)
			return SQLITE_CORRUPT;
		f->code = f->each(f->arg, flags, (const char *)list.at + 2, (int)n, 0, 0);
		list = slice_from(list, n + 2);
	}
	return list.len && f->code == SQLITE_OK ? SQLITE_CORRUPT : f->code;
}

static int tokenize(Fts5Tokenizer *t, void *arg, int flags, const char *text, int n,
                    token_callback each)
{
	struct instance *x = (struct instance *)(void *)t;
	struct feed f = { each, arg, SQLITE_OK };
	struct slice s = slice_of(text, n > 0 ? (size_t)n : 0);

	if (flags & FTS5_TOKENIZE_QUERY)
		return feed_query(&f, s);
	if (x->fts->raw)
		return feed_raw(&f, s);
	(void)!token_each(s, feed_token, &f);
	return f.code;
}

void fts_set_raw(struct fts *f, bool raw)
{
	f->raw = raw;
}

enum rc fts_raw_add(struct buf *list, struct slice term, uint32_t position, uint32_t *last)
{
	uint32_t step = position - *last; /* the first position is 0, one behind UINT32_MAX */

	*last = position;
	if (step > 1 || term.len == 0 || term.len > 255)
		return RC_CORRUPT;
	if (buf_add_byte(list, (uint8_t)(step + 1)) != RC_OK ||
	    buf_add_byte(list, (uint8_t)term.len) != RC_OK)
		return RC_LIMIT;
	return buf_add(list, term);
}

/* ---- SQL functions ---- */

static bool is_ascii(struct slice s)
{
	uint8_t any = 0;

	for (size_t i = 0; i < s.len; i++)
		any |= s.at[i];
	return any < 0x80;
}

/* Case-folded UTF-16, to be freed; NULL when the text is too long for ICU. */
static UChar *fold_case(struct slice s, int32_t *len)
{
	const UNormalizer2 *n;
	UErrorCode code = U_ZERO_ERROR;
	int32_t room = (int32_t)MIN_OF(s.len + 1, (size_t)INT32_MAX / 32);
	UChar *text = mem_array((size_t)room, sizeof(UChar));
	UChar *out;

	n = unorm2_getNFKCCasefoldInstance(&code);
	(void)u_strFromUTF8WithSub(text, room, len, (const char *)s.at, (int32_t)s.len, 0xfffd,
	                           NULL, &code);
	room = *len * 18 + 1; /* the longest folding of a character */
	out = mem_array((size_t)room, sizeof(UChar));
	*len = U_SUCCESS(code) ? unorm2_normalize(n, text, *len, out, room, &code) : 0;
	free(text);
	if (U_SUCCESS(code))
		return out;
	free(out);
	return NULL;
}

static bool contains(struct slice text, struct slice part)
{
	int32_t text_len = 0;
	int32_t part_len = 0;
	UChar *a;
	UChar *b;
	bool found;

	if (is_ascii(text) && is_ascii(part))
		return slice_contains_nocase(text, part);
	if (text.len > INT32_MAX / 64 || part.len > INT32_MAX / 64)
		return false;
	a = fold_case(text, &text_len);
	b = fold_case(part, &part_len);
	found = a && b && (part_len == 0 || u_strFindFirst(a, text_len, b, part_len));
	free(a);
	free(b);
	return found;
}

static struct slice value_text(sqlite3_value *v)
{
	const void *at = sqlite3_value_text(v);

	return slice_of(at, (size_t)sqlite3_value_bytes(v));
}

static void sql_contains(sqlite3_context *c, int n, sqlite3_value **v)
{
	(void)n;
	sqlite3_result_int(c, contains(value_text(v[0]), value_text(v[1])));
}

static void sql_in_net(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct ip ip;
	struct cidr net;

	(void)n;
	sqlite3_result_int(c, ip_parse(&ip, value_text(v[0])) &&
	                              cidr_parse(&net, value_text(v[1]), true) &&
	                              cidr_contains(&net, &ip));
}

/* FNV-1a, ASCII letters alike. */
static void sql_hash(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct slice s = value_text(v[0]);
	uint32_t h = UINT32_C(2166136261);

	(void)n;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t b = s.at[i];

		h = (h ^ (b >= 'A' && b <= 'Z' ? b | 0x20u : b)) * UINT32_C(16777619);
	}
	sqlite3_result_int(c, (int32_t)h);
}

static fts5_api *api_of(sqlite3 *s)
{
	fts5_api *api = NULL;
	sqlite3_stmt *stmt;

	if (sqlite3_prepare_v2(s, "SELECT fts5(?1)", -1, &stmt, NULL) != SQLITE_OK)
		return NULL;
	if (sqlite3_bind_pointer(stmt, 1, &api, "fts5_api_ptr", NULL) == SQLITE_OK)
		(void)sqlite3_step(stmt);
	(void)sqlite3_finalize(stmt);
	return api;
}

enum rc fts_register(struct fts **out, struct db *db, struct err *e)
{
	static const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY;
	fts5_tokenizer methods = { instance_make, instance_free, tokenize };
	sqlite3 *s = db_sqlite(db);
	fts5_api *api = api_of(s);
	struct fts *f;

	if (!api)
		return err_set(e, RC_IO, "%s: this SQLite has no FTS5", db_path(db));
	f = mem_new(sizeof(*f));
	if (api->xCreateTokenizer(api, "mm", f, &methods, free) != SQLITE_OK) {
		free(f);
		return err_set(e, RC_IO, "%s: no tokenizer", db_path(db));
	}
	if (sqlite3_create_function_v2(s, "mm_contains", 2, flags, NULL, sql_contains, NULL, NULL,
	                               NULL) != SQLITE_OK ||
	    sqlite3_create_function_v2(s, "mm_in_net", 2, flags, NULL, sql_in_net, NULL, NULL,
	                               NULL) != SQLITE_OK ||
	    sqlite3_create_function_v2(s, "mm_hash", 1,
	                               SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL,
	                               sql_hash, NULL, NULL, NULL) != SQLITE_OK)
		return err_set(e, RC_IO, "%s: %s", db_path(db), sqlite3_errmsg(s));
	*out = f;
	return RC_OK;
}
