#include "ingest/mime/charset.h"

#include <ctype.h>
#include <errno.h>
#include <iconv.h>

#define REPLACEMENT "\xef\xbf\xbd"
#define CHUNK       4096

/* Names that glibc knows; "//" would be appended by it. */
static const char *const names[] = {
	"UTF-7",
	"UTF-16LE",
	"UTF-16BE",
	"UTF-32LE",
	"UTF-32BE",
	"ISO-8859-1",
	"ISO-8859-2",
	"ISO-8859-3",
	"ISO-8859-4",
	"ISO-8859-5",
	"ISO-8859-6",
	"ISO-8859-7",
	"ISO-8859-8",
	"ISO-8859-9",
	"ISO-8859-10",
	"ISO-8859-11",
	"ISO-8859-13",
	"ISO-8859-14",
	"ISO-8859-15",
	"ISO-8859-16",
	"CP1250",
	"CP1251",
	"CP1252",
	"CP1253",
	"CP1254",
	"CP1255",
	"CP1256",
	"CP1257",
	"CP1258",
	"CP437",
	"CP850",
	"CP852",
	"CP855",
	"CP857",
	"CP860",
	"CP861",
	"CP862",
	"CP863",
	"CP864",
	"CP865",
	"CP866",
	"CP869",
	"CP874",
	"CP932",
	"CP949",
	"KOI8-R",
	"KOI8-U",
	"KOI8-RU",
	"KOI8-T",
	"EUC-JP",
	"EUC-JP-MS",
	"EUC-KR",
	"EUC-TW",
	"EUC-CN",
	"GBK",
	"GB18030",
	"BIG5",
	"BIG5-HKSCS",
	"CP950",
	"SHIFT_JIS",
	"ISO-2022-JP",
	"ISO-2022-JP-2",
	"ISO-2022-JP-3",
	"ISO-2022-KR",
	"ISO-2022-CN",
	"JOHAB",
	"TIS-620",
	"VISCII",
	"TCVN",
	"MACINTOSH",
	"MAC-CYRILLIC",
	"MAC-UK",
	"MAC-CENTRALEUROPE",
	"ARMSCII-8",
	"GEORGIAN-PS",
	"GEORGIAN-ACADEMY",
	"HP-ROMAN8",
	"PT154",
	"RK1048",
	"IBM037",
	"IBM500",
	"IBM1047",
	"ISO_6937",
	"SHIFT_JISX0213",
};

static iconv_t converters[COUNT(names)];
static size_t opened;

/* What mailers write, in lower case without "x-", and what they mean. */
static const struct {
	const char *label;
	const char *name;
} aliases[] = {
	{ "iso-8859-1", "CP1252" },
	{ "latin1", "CP1252" },
	{ "latin-1", "CP1252" },
	{ "l1", "CP1252" },
	{ "ansi", "CP1252" },
	{ "cp819", "CP1252" },
	{ "iso-8859-9", "CP1254" },
	{ "latin5", "CP1254" },
	{ "latin2", "ISO-8859-2" },
	{ "iso-8859-11", "CP874" },
	{ "tis-620", "CP874" },
	{ "iso-8859-8-i", "ISO-8859-8" },
	{ "iso-8859-8-e", "ISO-8859-8" },
	{ "iso-8859-6-i", "ISO-8859-6" },
	{ "shift_jis", "CP932" },
	{ "shift-jis", "CP932" },
	{ "sjis", "CP932" },
	{ "ms_kanji", "CP932" },
	{ "windows-31j", "CP932" },
	{ "euc-jp", "EUC-JP-MS" },
	{ "eucjp", "EUC-JP-MS" },
	{ "ujis", "EUC-JP-MS" },
	{ "iso-2022-jp", "ISO-2022-JP-3" },
	{ "iso-2022-jp-ms", "ISO-2022-JP-3" },
	{ "cp50220", "ISO-2022-JP-3" },
	{ "cp50221", "ISO-2022-JP-3" },
	{ "iso2022-jp", "ISO-2022-JP-3" },
	{ "gb2312", "GB18030" },
	{ "gb_2312-80", "GB18030" },
	{ "gbk", "GB18030" },
	{ "euc-cn", "GB18030" },
	{ "cp936", "GB18030" },
	{ "chinese", "GB18030" },
	{ "gb18030-2000", "GB18030" },
	{ "big5", "BIG5-HKSCS" },
	{ "big-5", "BIG5-HKSCS" },
	{ "cn-big5", "BIG5-HKSCS" },
	{ "euc-kr", "CP949" },
	{ "euckr", "CP949" },
	{ "ks_c_5601-1987", "CP949" },
	{ "ks_c_5601", "CP949" },
	{ "ksc5601", "CP949" },
	{ "korean", "CP949" },
	{ "uhc", "CP949" },
	{ "koi8r", "KOI8-R" },
	{ "koi8", "KOI8-R" },
	{ "koi8-ru", "KOI8-U" },
	{ "unicode-1-1-utf-7", "UTF-7" },
	{ "utf7", "UTF-7" },
	{ "ucs-2", "UTF-16BE" },
	{ "iso-10646-ucs-2", "UTF-16BE" },
	{ "mac-roman", "MACINTOSH" },
	{ "macroman", "MACINTOSH" },
	{ "mac-ce", "MAC-CENTRALEUROPE" },
	{ "hp-roman8", "HP-ROMAN8" },
};

size_t charset_start(void)
{
	if (opened)
		return opened;
	for (size_t i = 0; i < COUNT(names); i++) {
		converters[i] = iconv_open("UTF-8", names[i]);
		if (converters[i] != (iconv_t)-1)
			opened++;
	}
	return opened;
}

/* --- labels --- */

#define LABEL 40

/* Lower case, without blanks, quotes, a language (RFC 2231 section 5) or "x-". */
static struct slice tidy_label(struct slice label, char out[LABEL])
{
	size_t n = 0;

	label = slice_trim(label);
	if (label.len && (label.at[0] == '"' || label.at[0] == '\''))
		label = slice_from(label, 1);
	if (slice_starts_nocase(label, slice_str("x-")) && label.len > 2)
		label = slice_from(label, 2);
	for (size_t i = 0; i < label.len; i++) {
		uint8_t c = label.at[i];

		if (c == '*' || c == '"' || c == '\'' || c == ';' || c == ' ')
			break;
		if (n == LABEL - 1)
			return slice_of(NULL, 0); /* nothing that we know is that long */
		out[n++] = (char)tolower(c);
	}
	out[n] = '\0';
	return slice_of(out, n);
}

static bool is_one_of(struct slice s, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (slice_equal(s, slice_str(list[i])))
			return true;
	return false;
}

static bool means_nothing(struct slice s)
{
	static const char *const list[] = { "",        "us-ascii", "ascii",        "ansi_x3.4-1968",
		                            "7bit",    "8bit",     "unknown-8bit", "unknown",
		                            "default", "none",     "user-defined" };

	return is_one_of(s, list, COUNT(list));
}

static bool means_utf8(struct slice s)
{
	static const char *const list[] = { "utf-8",     "utf8",    "unicode-1-1-utf-8",
		                            "utf-8-mac", "unicode", "cp65001" };

	return is_one_of(s, list, COUNT(list));
}

static iconv_t by_name(struct slice name)
{
	for (size_t i = 0; i < COUNT(names); i++)
		if (slice_equal_nocase(name, slice_str(names[i])))
			return converters[i] ? converters[i]
			                     : (iconv_t)-1; /* 0: before charset_start */
	return (iconv_t)-1;
}

/* "windows-1251", "win1251", "cp-1251", "ibm850": CP and the number; "iso8859-5",
 * "iso_8859-5:1988": ISO-8859-5. */
static iconv_t by_family(struct slice label)
{
	static const char *const cp[] = {
		"windows-", "windows", "win-", "win", "cp-", "cp", "ibm"
	};
	static const char *const iso[] = { "iso_8859-", "iso8859-",  "iso8859_", "iso-8859_",
		                           "iso_8859_", "iso-8859-", "8859-" };
	char name[LABEL + 16] = "";
	iconv_t found = (iconv_t)-1;

	for (size_t i = 0; i < COUNT(cp) + COUNT(iso); i++) {
		const char *prefix = i < COUNT(cp) ? cp[i] : iso[i - COUNT(cp)];
		const char *ours = i < COUNT(cp) ? "CP" : "ISO-8859-";
		struct slice rest;
		size_t n = strlen(ours);

		if (!slice_starts_nocase(label, slice_str(prefix)))
			continue;
		rest = slice_from(label, strlen(prefix));
		memcpy(name, ours, n);
		for (size_t k = 0; k < rest.len && isdigit(rest.at[k]); k++)
			name[n++] = (char)rest.at[k];
		found = by_name(slice_of(name, n));
		if (found != (iconv_t)-1)
			break;
	}
	return found;
}

static iconv_t find_converter(struct slice label)
{
	iconv_t found;

	for (size_t i = 0; i < COUNT(aliases); i++)
		if (slice_equal(label, slice_str(aliases[i].label)))
			return by_name(slice_str(aliases[i].name));
	found = by_name(label);
	return found != (iconv_t)-1 ? found : by_family(label);
}

/* --- conversion --- */

bool charset_add(struct buf *out, struct slice s)
{
	size_t room = out->limit - out->len;

	if (s.len <= room)
		return buf_add(out, s) == RC_OK;
	while (room && (s.at[room] & 0xc0) == 0x80)
		room--;
	(void)!buf_add(out, slice_part(s, 0, room));
	return false;
}

/* Valid UTF-8, but for NUL. */
static bool add_text(struct buf *out, struct slice s)
{
	while (s.len) {
		size_t nul = slice_find_byte(s, 0);

		if (!charset_add(out, slice_part(s, 0, nul)))
			return false;
		if (nul == SIZE_MAX)
			break;
		if (buf_add_byte(out, ' ') != RC_OK)
			return false;
		s = slice_from(s, nul + 1);
	}
	return true;
}

static void add_damaged_utf8(struct buf *out, struct slice s, struct charset_result *r);

/* Some sets keep a letter back to see whether a mark follows. */
static void flush(struct buf *out, iconv_t c, struct charset_result *r)
{
	char last[64];
	char *to = last;
	size_t room = sizeof(last);

	(void)iconv(c, NULL, NULL, &to, &room);
	if (!add_text(out, slice_of(last, sizeof(last) - room)))
		r->cut = true;
}

static void convert(struct buf *out, struct slice bytes, iconv_t c, size_t unit,
                    struct charset_result *r)
{
	char *in = (char *)(uintptr_t)bytes.at; /* iconv's type; it isn't written to */
	size_t left = bytes.len;
	char chunk[CHUNK];

	if (c == (iconv_t)-1) { /* this system's C library came without it */
		add_damaged_utf8(out, bytes, r);
		return;
	}
	(void)iconv(c, NULL, NULL, NULL, NULL);
	while (left) {
		char *to = chunk;
		size_t room = sizeof(chunk);
		size_t piece =
		        MIN_OF(left, (size_t)CHUNK); /* a character cut at its end comes again */
		bool whole = piece == left;
		char *before = in;
		size_t n = iconv(c, &in, &piece, &to, &room);
		int why = errno;

		left -= (size_t)(in - before);
		if (!add_text(out, slice_of(chunk, sizeof(chunk) - room))) {
			r->cut = true;
			return;
		}
		if (n != (size_t)-1 || why == E2BIG || (why == EINVAL && !whole && in != before))
			continue;
		r->damaged = true;
		if (buf_add_str(out, REPLACEMENT) != RC_OK) {
			r->cut = true;
			return;
		}
		in += MIN_OF(unit, left);
		left -= MIN_OF(unit, left);
	}
	flush(out, c, r);
}

static size_t utf8_length(struct slice s)
{
	size_t n = s.at[0] < 0x80 ? 1 : s.at[0] >= 0xf0 ? 4 : s.at[0] >= 0xe0 ? 3 : 2;

	return s.at[0] < 0x80 || (n <= s.len && slice_is_utf8(slice_part(s, 0, n))) ? n : 0;
}

/* Bytes that are not UTF-8 become U+FFFD. */
static void add_damaged_utf8(struct buf *out, struct slice s, struct charset_result *r)
{
	size_t from = 0;
	size_t at = 0;

	r->damaged = true;
	while (at < s.len) {
		size_t n = utf8_length(slice_from(s, at));

		if (n) {
			at += n;
			continue;
		}
		if (!add_text(out, slice_part(s, from, at - from)) ||
		    buf_add_str(out, REPLACEMENT) != RC_OK) {
			r->cut = true;
			return;
		}
		from = ++at;
	}
	if (!add_text(out, slice_from(s, from)))
		r->cut = true;
}

/* More right than wrong sequences: it is UTF-8 with damage. */
static bool is_mostly_utf8(struct slice s)
{
	size_t right = 0;
	size_t wrong = 0;

	for (size_t at = 0; at < s.len && at < 65536;) {
		size_t n = s.at[at] < 0x80 ? 1 : utf8_length(slice_from(s, at));

		right += n > 1;
		wrong += n == 0;
		at += MAX_OF(n, (size_t)1);
	}
	return right > wrong;
}

static bool has_jis_escapes(struct slice s)
{
	return slice_find(s, slice_str("\x1b$B")) != SIZE_MAX ||
	       slice_find(s, slice_str("\x1b$@")) != SIZE_MAX;
}

static void add_unlabelled(struct buf *out, struct slice bytes, bool utf8, struct charset_result *r)
{
	if (slice_is_utf8(bytes)) {
		if (!utf8 && has_jis_escapes(bytes))
			convert(out, bytes, find_converter(slice_str("iso-2022-jp")), 1, r);
		else if (!add_text(out, bytes))
			r->cut = true;
	} else if (is_mostly_utf8(bytes)) {
		add_damaged_utf8(out, bytes, r);
	} else {
		r->damaged = r->damaged || utf8;
		convert(out, bytes, find_converter(slice_str("windows-1252")), 1, r);
	}
}

/* A byte order mark, else the zeros of plain letters tell the order. */
static bool is_little_endian(struct slice s, size_t unit)
{
	size_t first = 0;
	size_t last = 0;

	if (s.len >= 2 && s.at[0] == 0xff && s.at[1] == 0xfe)
		return true;
	if (s.len >= unit && s.at[unit - 2] == 0xfe && s.at[unit - 1] == 0xff)
		return false;
	for (size_t i = 0; i + unit <= s.len && i < 4096; i += unit) {
		first += s.at[i] == 0;
		last += s.at[i + unit - 1] == 0;
	}
	return last > first;
}

static bool add_wide(struct buf *out, struct slice bytes, struct slice label,
                     struct charset_result *r)
{
	bool wide16 = slice_starts_nocase(label, slice_str("utf-16")) ||
	              slice_equal(label, slice_str("utf16"));
	bool wide32 = slice_starts_nocase(label, slice_str("utf-32")) ||
	              slice_equal(label, slice_str("ucs-4"));
	size_t unit = wide16 ? 2 : 4;
	bool little;
	const char *name;

	if (!wide16 && !wide32)
		return false;
	little = slice_ends_nocase(label, slice_str("le")) ||
	         (!slice_ends_nocase(label, slice_str("be")) && is_little_endian(bytes, unit));
	name = wide16 ? (little ? "UTF-16LE" : "UTF-16BE") : little ? "UTF-32LE" : "UTF-32BE";
	convert(out, bytes, by_name(slice_str(name)), unit, r);
	return true;
}

/* RFC 1843: "~{" begins pairs of 7-bit GB2312 bytes, "~}" ends them, "~~" is a tilde. */
static void add_hz(struct buf *out, struct slice bytes, struct charset_result *r)
{
	struct buf gb;
	bool wide = false;

	buf_init(&gb, bytes.len);
	for (size_t i = 0; i < bytes.len; i++) {
		uint8_t c = bytes.at[i];
		uint8_t next = i + 1 < bytes.len ? bytes.at[i + 1] : 0;

		if (c == '~' && (next == '{' || next == '}')) {
			wide = next == '{';
			i++;
		} else if (c == '~' && (next == '~' || next == '\n')) {
			i++;
			if (next == '~' && buf_add_byte(&gb, '~') != RC_OK)
				break;
		} else {
			if (c == '\n')
				wide = false;
			if (buf_add_byte(&gb, wide && c > ' ' ? c | 0x80 : c) != RC_OK)
				break;
		}
	}
	convert(out, buf_slice(&gb), find_converter(slice_str("gb2312")), 1, r);
	buf_free(&gb);
}

/* A byte order mark says nothing to a reader. */
static void drop_mark(struct buf *out, size_t from)
{
	if (out->len >= from + 3 && memcmp(out->at + from, "\xef\xbb\xbf", 3) == 0) {
		memmove(out->at + from, out->at + from + 3, out->len - from - 3);
		out->len -= 3;
		out->at[out->len] = '\0';
	}
}

void charset_to_utf8(struct buf *out, struct slice bytes, struct slice label,
                     struct charset_result *r)
{
	char tidied[LABEL];
	struct slice name = tidy_label(label, tidied);
	size_t from = out->len;
	iconv_t c;

	if (bytes.len == 0)
		return;
	if (means_utf8(name) || (means_nothing(name) && label.len < LABEL)) {
		add_unlabelled(out, bytes, means_utf8(name), r);
	} else if (slice_equal(name, slice_str("hz-gb-2312")) ||
	           slice_equal(name, slice_str("hz"))) {
		add_hz(out, bytes, r);
	} else if (!add_wide(out, bytes, name, r)) {
		c = find_converter(name);
		if (c != (iconv_t)-1) {
			convert(out, bytes, c, 1, r);
		} else {
			r->unknown = true;
			add_unlabelled(out, bytes, false, r);
		}
	}
	drop_mark(out, from);
}

void charset_guess(struct buf *out, struct slice bytes)
{
	struct charset_result ignored = { 0 };

	if (bytes.len)
		add_unlabelled(out, bytes, false, &ignored);
}
