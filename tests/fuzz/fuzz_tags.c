/*
 * tests/fuzz/fuzz_tags.c - any bytes as a list of tags, as a key record and as a base64 text
 *
 * Oracle   A list that is taken has names of the grammar, each once, and values without blanks
 *          around them; written down again it reads the same. A key that is taken is one of 1024
 *          to 4096 bits, or of Ed25519. A value that is base64 is what it decodes to, written
 *          again.
 */
#include "base/codec.h"
#include "ingest/verdict/dkim_key.h"
#include "ingest/verdict/tags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(struct buf *b, struct slice s)
{
	MUST(buf_add(b, s) == RC_OK);
}

static void try_base64(struct slice text)
{
	struct buf bytes, again, packed;

	buf_init(&bytes, 8192);
	buf_init(&again, 8192);
	buf_init(&packed, text.len + 4);
	if (fws_base64(&bytes, text) == RC_OK) {
		for (size_t i = 0; i < text.len; i++)
			if (!fws_is(text.at[i]))
				add(&packed, slice_part(text, i, 1));
		while (packed.len % 4)
			add(&packed, slice_str("="));
		MUST(base64_encode(&again, buf_slice(&bytes)) == RC_OK);
		MUST(slice_equal(buf_slice(&again), buf_slice(&packed)));
	} else {
		MUST(bytes.len == 0);
	}
	buf_free(&bytes);
	buf_free(&again);
	buf_free(&packed);
}

static void try_list(struct slice text)
{
	struct taglist t, second;
	struct buf again;

	if (taglist_read(&t, text))
		return;
	buf_init(&again, text.len + 4 * TAGLIST_TAGS);
	MUST(t.count > 0 && t.count <= TAGLIST_TAGS);
	for (size_t i = 0; i < t.count; i++) {
		MUST(t.at[i].name.len > 0 && slice_equal(fws_trim(t.at[i].value), t.at[i].value));
		MUST(slice_find_byte(t.at[i].name, ' ') == SIZE_MAX &&
		     slice_find_byte(t.at[i].raw, ';') == SIZE_MAX);
		for (size_t j = 0; j < i; j++)
			MUST(!slice_equal(t.at[i].name, t.at[j].name));
		add(&again, t.at[i].name);
		add(&again, slice_str("="));
		add(&again, t.at[i].value);
		add(&again, slice_str("; "));
		try_base64(t.at[i].value);
	}
	MUST(taglist_read(&second, buf_slice(&again)) == NULL && second.count == t.count);
	for (size_t i = 0; i < t.count; i++)
		MUST(slice_equal(t.at[i].value, second.at[i].value));
	buf_free(&again);
}

static void try_key(struct slice record, enum dkim_algorithm use)
{
	struct dkim_key k;
	struct err e = { 0 };

	if (dkim_key_read(&k, record, use, &e) == RC_OK) {
		MUST(k.pkey && (use == DKIM_ED25519_SHA256 ? k.bits == 256
		                                           : k.bits >= 1024 && k.bits <= 4096));
		MUST(!dkim_key_verifies(&k, use, (const uint8_t[32]) { 0 }, record));
	} else {
		MUST(!k.pkey && e.text[0]);
	}
	dkim_key_free(&k);
}

/* In the form that DNS has, whatever it came in. */
static void try_name(struct slice text)
{
	char name[256], again[256];

	if (!dkim_name(name, text, 2)) {
		MUST(name[0] == '\0');
		return;
	}
	MUST(strlen(name) <= 253 && strchr(name, '.'));
	for (const char *c = name; *c; c++)
		MUST((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || strchr("-_.", *c));
	MUST(dkim_name(again, slice_str(name), 2) && strcmp(name, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size);

	try_list(text);
	try_base64(text);
	try_key(text, DKIM_RSA_SHA256);
	try_key(text, DKIM_ED25519_SHA256);
	try_name(text);
	return 0;
}
