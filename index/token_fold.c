#include "index/token_fold.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uscript.h>
#include <unicode/ustring.h>
#include <unicode/utf8.h>

#include "base/compiler.h"

#define BLOCKS 0x1100 /* of 256 characters */
#define SHORT  28     /* folded bytes that the table holds; longer ones are folded each time */
#define UNITS  1024   /* UTF-16 */

const uint8_t ascii_word[256] = {
	['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6',
	['7'] = '7', ['8'] = '8', ['9'] = '9', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd',
	['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k',
	['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r',
	['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y',
	['z'] = 'z', ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f',
	['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm',
	['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't',
	['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z',
};

struct character {
	uint8_t class;
	bool joins; /* may combine with what is before it */
	bool fold;  /* the folding is too long for the table */
	uint8_t len;
	uint8_t text[SHORT];
};

struct block {
	struct character c[256];
};

static _Atomic(struct block *) blocks[BLOCKS];

static const UNormalizer2 *normalizer(const UNormalizer2 *(*get)(UErrorCode *))
{
	UErrorCode code = U_ZERO_ERROR;
	const UNormalizer2 *n = get(&code);

	MUST(U_SUCCESS(code)); /* its data is part of the library */
	return n;
}

static bool is_word(UChar32 c)
{
	return (U_GET_GC_MASK(c) & (U_GC_L_MASK | U_GC_N_MASK | U_GC_M_MASK)) != 0;
}

/* Of a script that puts no spaces between words. */
static bool is_single(UChar32 c)
{
	static const UScriptCode scripts[] = { USCRIPT_HAN,    USCRIPT_HIRAGANA, USCRIPT_KATAKANA,
		                               USCRIPT_HANGUL, USCRIPT_BOPOMOFO, USCRIPT_THAI,
		                               USCRIPT_LAO,    USCRIPT_KHMER,    USCRIPT_MYANMAR };
	UErrorCode code = U_ZERO_ERROR;
	UScriptCode script = uscript_getScript(c, &code);

	for (size_t i = 0; i < COUNT(scripts); i++)
		if (script == scripts[i])
			return true;
	/* What such scripts share, as the mark that makes a kana long. */
	if (script == USCRIPT_COMMON || script == USCRIPT_INHERITED)
		return uscript_hasScript(c, USCRIPT_HIRAGANA) || uscript_hasScript(c, USCRIPT_HAN);
	return false;
}

/* Marks that readers leave out: accents, Hebrew points, Arabic vowels. Marks of other scripts are
 * part of the spelling (Thai, Devanagari), and so is the one that turns ka into ga. */
static bool is_accent(UChar32 c)
{
	UErrorCode code = U_ZERO_ERROR;

	if (u_charType(c) != U_NON_SPACING_MARK || c == 0x3099 || c == 0x309A)
		return false;
	switch (uscript_getScript(c, &code)) {
	case USCRIPT_INHERITED:
	case USCRIPT_HEBREW:
	case USCRIPT_ARABIC:
	case USCRIPT_LATIN:
	case USCRIPT_GREEK:
	case USCRIPT_CYRILLIC:
		return true;
	default:
		return false;
	}
}

static int32_t drop_accents(UChar *to, const UChar *from, int32_t n)
{
	int32_t len = 0;
	int32_t i = 0;

	while (i < n) {
		UChar32 c;

		U16_NEXT(from, i, n, c);
		if (!is_accent(c))
			U16_APPEND_UNSAFE(to, len, c);
	}
	return len;
}

static size_t keep_words(uint8_t out[UNIT_FOLDED], const UChar *from, int32_t n)
{
	int32_t len = 0;
	int32_t i = 0;

	while (i < n && len + 4 <= UNIT_FOLDED) {
		UChar32 c;

		U16_NEXT(from, i, n, c);
		if (is_word(c) && !U_IS_SURROGATE(c))
			U8_APPEND_UNSAFE(out, len, c);
	}
	return (size_t)len;
}

/* NFKC case folding, then without accents, composed again. *ignorable: nothing was left by the case
 * folding itself. */
static size_t fold(uint8_t out[UNIT_FOLDED], const UChar *from, int32_t n, bool *ignorable)
{
	UChar a[UNITS];
	UChar b[UNITS];
	UErrorCode code = U_ZERO_ERROR;
	int32_t len = unorm2_normalize(normalizer(unorm2_getNFKCCasefoldInstance), from, n, a,
	                               UNITS, &code);

	*ignorable = U_SUCCESS(code) && len == 0;
	if (U_SUCCESS(code))
		len = unorm2_normalize(normalizer(unorm2_getNFDInstance), a, len, b, UNITS, &code);
	if (U_SUCCESS(code))
		len = drop_accents(a, b, len);
	if (U_SUCCESS(code))
		len = unorm2_normalize(normalizer(unorm2_getNFCInstance), a, len, b, UNITS, &code);
	return U_SUCCESS(code) ? keep_words(out, b, len) : 0;
}

static enum unit_class class_of_folded(const uint8_t *text, size_t len)
{
	int32_t i = 0;
	UChar32 c;

	if (len == 0)
		return UNIT_IGNORE;
	U8_NEXT(text, i, (int32_t)len, c);
	return c >= 0 && is_single(c) ? UNIT_SINGLE : UNIT_WORD;
}

static void character_make(struct character *x, UChar32 c)
{
	uint8_t text[UNIT_FOLDED];
	UChar from[2];
	int32_t n = 0;
	size_t len;
	bool ignorable;

	if (U_IS_SURROGATE(c))
		return;
	U16_APPEND_UNSAFE(from, n, c);
	len = fold(text, from, n, &ignorable);
	x->joins = !unorm2_hasBoundaryBefore(normalizer(unorm2_getNFKCCasefoldInstance), c) ||
	           u_charType(c) == U_NON_SPACING_MARK;
	if (ignorable)
		x->class = UNIT_IGNORE;
	else if (!is_word(c) || (len == 0 && !x->joins))
		x->class = UNIT_SEPARATE;
	else
		x->class = (uint8_t)class_of_folded(text, len);
	x->fold = len > SHORT;
	if (!x->fold) {
		memcpy(x->text, text, len);
		x->len = (uint8_t)len;
	}
}

static const struct character *character_of(UChar32 c)
{
	_Atomic(struct block *) *at = &blocks[c >> 8];
	struct block *b = atomic_load_explicit(at, memory_order_acquire);
	struct block *none = NULL;

	if (!b) {
		b = mem_new(sizeof(*b));
		for (int i = 0; i < 256; i++)
			character_make(&b->c[i], (c & ~0xff) + i);
		/* Another thread may have been faster. */
		if (!atomic_compare_exchange_strong(at, &none, b)) {
			free(b);
			b = none;
		}
	}
	return &b->c[c & 0xff];
}

/* The end of the unit that begins at `at` with the character that ends at `next`. */
static size_t unit_end(struct slice text, size_t next)
{
	for (int count = 1; next < text.len && count < UNIT_CHARACTERS; count++) {
		size_t i = next;
		UChar32 c;

		if (text.at[next] < 0x80)
			break;
		U8_NEXT(text.at, i, text.len, c);
		/* What joins and is ignorable is left out where it stands. */
		if (c < 0 || !character_of(c)->joins || character_of(c)->class == UNIT_SEPARATE)
			break;
		next = i;
	}
	return next;
}

static void fold_unit(struct unit *u, struct slice text, size_t at)
{
	UChar from[UNIT_CHARACTERS * 2 + 2];
	UErrorCode code = U_ZERO_ERROR;
	int32_t n = 0;
	bool ignorable;

	(void)u_strFromUTF8(from, COUNT(from), &n, (const char *)text.at + at,
	                    (int32_t)(u->next - at), &code);
	u->len = U_SUCCESS(code) ? fold(u->own, from, n, &ignorable) : 0;
	u->text = u->own;
	u->class = class_of_folded(u->own, u->len);
}

void unit_read(struct unit *u, struct slice text, size_t at)
{
	const struct character *x;
	size_t i = at;
	UChar32 c;

	U8_NEXT(text.at, i, text.len, c);
	u->next = i;
	u->len = 0;
	u->class = UNIT_SEPARATE;
	if (c < 0)
		return;
	x = character_of(c);
	u->class = x->class;
	u->text = x->text;
	u->len = x->len;
	if (u->class != UNIT_WORD && u->class != UNIT_SINGLE)
		return;
	u->next = unit_end(text, i);
	if (u->next != i || x->fold)
		fold_unit(u, text, at);
}
