#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "index/token.h"

/* "0:word 0p:pair 0a:address 0h:host" in the order in which they come. */
static enum rc write_token(void *arg, const struct token *t)
{
	struct buf *b = arg;
	static const char *const kinds[] = { "", "p", "a", "h" };

	return buf_addf(b, "%s%u%s:%.*s", b->len ? " " : "", t->position, kinds[t->kind],
	                (int)t->text.len, (const char *)t->text.at);
}

static const struct {
	const char *name;
	const char *text;
	const char *tokens;
} cases[] = {
	{ "nothing", "", "" },
	{ "punctuation", " ++ -- !? ", "" },
	{ "words", "Hello, World!", "0:hello 1:world" },
	{ "hyphen", "e-mail", "0:e 1:mail" },
	{ "plus", "C++", "0:c" },
	{ "number with slash", "INV-2024/0815", "0:inv 1:2024 2:0815" },
	{ "underscore", "snake_case", "0:snake 1:case" },
	{ "apostrophe", "don't", "0:don 1:t" },
	{ "address", "foo@bar.example", "0:foo 0a:foo@bar.example 1:bar 1h:bar.example 2:example" },
	{ "address in brackets", "Max <Max.Muster+x@Bar.EXAMPLE>,",
	  "0:max 1:max 1a:max.muster+x@bar.example 2:muster 3:x 4:bar 4h:bar.example 5:example" },
	{ "address at the end of a sentence", "to a@b.c. Next",
	  "0:to 1:a 1a:a@b.c 2:b 2h:b.c 3:c 4:next" },
	{ "address without a dot", "root@localhost", "0:root 0a:root@localhost 1:localhost" },
	{ "punctuation around", "..-foo-@bar.example-.",
	  "0:foo 0a:foo-@bar.example 1:bar 1h:bar.example 2:example" },
	{ "no domain", "foo@ bar", "0:foo 1:bar" },
	{ "no local part", "@bar.example", "0:bar 0h:bar.example 1:example" },
	{ "two ats", "a@b@c", "0:a 0a:a@b 1:b 1a:b@c 2:c" },
	{ "two ats side by side", "a@@b", "0:a 1:b" },
	{ "host", "see www.Example.com/x", "0:see 1:www 1h:www.example.com 2:example 3:com 4:x" },
	{ "host with a hyphen", "my-host.example", "0:my 0h:my-host.example 1:host 2:example" },
	{ "numbers with dots", "1.2.3", "0:1 0h:1.2.3 1:2 2:3" },
	{ "ellipsis", "wait...what", "0:wait 1:what" },
	{ "ellipsis and host", "a..b.c", "0:a 1:b 1h:b.c 2:c" },
	{ "sentence without a blank", "end.Next", "0:end 0h:end.next 1:next" },
	{ "full stop", "end. Next", "0:end 1:next" },
	{ "file name", "rep_q1.v2.pdf", "0:rep 1:q1 1h:q1.v2.pdf 2:v2 3:pdf" },
	{ "local part is no host", "j.doe@x.y", "0:j 0a:j.doe@x.y 1:doe 2:x 2h:x.y 3:y" },
	{ "sharp s", "Straße STRASSE", "0:strasse 1:strasse" },
	{ "accents", "Émile CAFÉ naïve Ångström", "0:emile 1:cafe 2:naive 3:angstrom" },
	{ "combining marks", "E\xcc\x81mile nai\xcc\x88ve", "0:emile 1:naive" },
	{ "many marks",
	  "Z\xcc\x81\xcc\x82\xcc\x83"
	  "al",
	  "0:zal" },
	{ "mark alone", " \xcc\x81 x", "0:x" },
	{ "vietnamese", "Ti\xe1\xba\xbfng Vi\xe1\xbb\x87t", "0:tieng 1:viet" },
	{ "ligature",
	  "\xef\xac\x81nal o\xef\xac\x83"
	  "ce",
	  "0:final 1:office" },
	{ "full width", "\xef\xbc\xa1\xef\xbc\xa2\xef\xbc\xa3\xef\xbc\x91\xef\xbc\x92", "0:abc12" },
	{ "greek", "ΣΊΣΥΦΟΣ", "0:σισυφοσ" },
	{ "cyrillic", "Ёлка", "0:елка" },
	{ "turkish", "İstanbul", "0:istanbul" },
	{ "soft hyphen and joiners",
	  "ex\xc2\xad"
	  "am\xe2\x80\x8bple",
	  "0:example" },
	{ "no-break space",
	  "a\xc2\xa0"
	  "b",
	  "0:a 1:b" },
	{ "umlaut address", "jürgen@bücher.example",
	  "0:jurgen 0a:jurgen@bucher.example 1:bucher 1h:bucher.example 2:example" },
	{ "hebrew points", "\xd7\xa9\xd6\xb8\xd7\x9c", "0:\xd7\xa9\xd7\x9c" },
	{ "devanagari keeps its vowels", "हिन्दी", "0:हिन्दी" },
	{ "japanese", "東京都", "0:東 0p:東京 1:京 1p:京都 2:都" },
	{ "japanese and latin", "東京Tower駅", "0:東 0p:東京 1:京 2:tower 3:駅" },
	{ "separated", "日本。東京", "0:日 0p:日本 1:本 2:東 2p:東京 3:京" },
	{ "wrapped", "東\r\n京\n\nx", "0:東 0p:東京 1:京 2:x" },
	{ "blank between", "東 \n京", "0:東 1:京" },
	{ "one character", "京", "0:京" },
	{ "kana", "カタカナ", "0:カ 0p:カタ 1:タ 1p:タカ 2:カ 2p:カナ 3:ナ" },
	{ "half-width kana", "ｶﾞｰ", "0:ガ 0p:ガー 1:ー" },
	{ "voiced mark apart", "か\xe3\x82\x99", "0:が" },
	{ "korean", "한국", "0:한 0p:한국 1:국" },
	{ "korean of jamo", "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "0:한" },
	{ "thai", "ภาษา", "0:ภ 0p:ภา 1:า 1p:าษ 2:ษ 2p:ษา 3:า" },
	{ "thai am", "น้ำ", "0:น 0p:น้ 1:้ 1p:้\xe0\xb9\x8d 2:\xe0\xb9\x8d 2p:\xe0\xb9\x8dา 3:า" },
	{ "address behind japanese", "宛先foo@bar.example",
	  "0:宛 0p:宛先 1:先 2:foo 2a:foo@bar.example 3:bar 3h:bar.example 4:example" },
	{ "beyond the BMP", "\xf0\xa0\xae\xb7\xe9\x87\x8e",
	  "0:\xf0\xa0\xae\xb7 0p:\xf0\xa0\xae\xb7野 1:野" },
	{ "mathematical letters", "\xf0\x9d\x90\x80\xf0\x9d\x90\x81", "0:ab" },
	{ "emoji separates",
	  "a\xf0\x9f\x98\x80"
	  "b",
	  "0:a 1:b" },
	{ "invalid bytes separate",
	  "a\xff"
	  "b\xc3",
	  "0:a 1:b" },
	{ "surrogate separates",
	  "a\xed\xa0\x80"
	  "b",
	  "0:a 1:b" },
	{ "fraction", "x½", "0:x12" },
};

static void tokens_of(const char *name, struct slice text, struct buf *out)
{
	buf_clear(out);
	if (token_each(text, write_token, out) != RC_OK)
		fail_msg("%s: token_each failed", name);
}

static void test_cases(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < COUNT(cases); i++) {
		tokens_of(cases[i].name, slice_str(cases[i].text), &b);
		EXPECT_SLICE(cases[i].name, buf_slice(&b), cases[i].tokens);
	}
	buf_free(&b);
}

static enum rc keep_longest(void *arg, const struct token *t)
{
	size_t *longest = arg;

	*longest = MAX_OF(*longest, t->text.len);
	assert_true(slice_is_utf8(t->text));
	assert_true(t->text.len > 0 && t->text.len <= TOKEN_MAX);
	return RC_OK;
}

static void test_long_words(void **state)
{
	char *text = mem_new(10240 + 64);
	struct buf b;
	size_t longest;

	(void)state;
	buf_init(&b, 1 << 20);
	memset(text, 'x', 10240);
	tokens_of("x", slice_str(text), &b);
	assert_int_equal(b.len, 2 + TOKEN_MAX);
	memcpy(text + 10200, "@bar.example.com", 17);
	longest = 0;
	assert_int_equal(token_each(slice_str(text), keep_longest, &longest), RC_OK);
	assert_int_equal(longest, TOKEN_MAX);
	/* Cut on a character: 1 + 2 n is odd. */
	for (int i = 0; i < 5000; i++)
		memcpy(text + 1 + 2 * i, "ж", 2);
	text[10001] = 0;
	longest = 0;
	assert_int_equal(token_each(slice_str(text), keep_longest, &longest), RC_OK);
	assert_int_equal(longest, TOKEN_MAX - 1);
	buf_free(&b);
	free(text);
}

static enum rc stop_at_two(void *arg, const struct token *t)
{
	(void)arg;
	return t->position == 2 ? RC_LIMIT : RC_OK;
}

static void test_stops(void **state)
{
	(void)state;
	assert_int_equal(token_each(slice_str("a b c d"), stop_at_two, NULL), RC_LIMIT);
	assert_int_equal(token_each(slice_str("あいうえ"), stop_at_two, NULL), RC_LIMIT);
}

struct order {
	struct slice text;
	uint32_t next;
	const char *name;
};

static enum rc check_order(void *arg, const struct token *t)
{
	struct order *o = arg;

	if (t->kind == TOKEN_WORD)
		EXPECT(o->name, t->position == o->next++);
	else
		EXPECT(o->name, t->position + 1 == o->next);
	EXPECT(o->name, t->from < t->to && t->to <= o->text.len);
	EXPECT(o->name, t->text.len > 0 && t->text.len <= TOKEN_MAX && slice_is_utf8(t->text));
	return RC_OK;
}

/* Random texts of what the rules are about: positions grow by one a word, whole tokens stand at the
 * word before them, all is valid. */
static void test_random(void **state)
{
	static const char *const pieces[] = { "a",           "B",    "7",
		                              ".",           "@",    "-",
		                              "_",           "+",    " ",
		                              "東",          "京",   "ภ",
		                              "ß",           "é",    "\xcc\x81",
		                              "\xc2\xad",    "ｶ",    "ﾞ",
		                              "ﬁ",           "\xff", "\xe6\x9d",
		                              "word",        "..",   "@b.c",
		                              "½",           "İ",    "\xe1\x84\x92",
		                              "\xe1\x85\xa1" };
	unsigned seed = (unsigned)getpid();
	char text[400];

	(void)state;
	print_message("seed %u\n", seed);
	for (int round = 0; round < 20000; round++) {
		struct order o = { .name = text };

		text[0] = '\0';
		for (int i = rand_r(&seed) % 24; i > 0; i--)
			strcat(text, pieces[(size_t)rand_r(&seed) % COUNT(pieces)]);
		o.text = slice_str(text);
		assert_int_equal(token_each(o.text, check_order, &o), RC_OK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_stops),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
