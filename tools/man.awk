# tools/man.awk - a page of docs/man as roff
#
#   awk -v version=0.1 -v date=2026-01-31 -v root=/usr/local/share/doc/mm/ -f tools/man.awk docs/man/mm-search.1.md >mm-search.1
#
# It knows the Markdown that the pages use: "# name(1) - what it is" as the first line, headings, paragraphs, indented code, lists of two
# levels, tables, `code`, *emphasis*, **strong**. An item that begins with code and a colon ("- `--limit N`: at most N") becomes a tagged
# paragraph; a page of docs is named as it is installed, in the folder `root`; references as mmd(8) are bold. What it can't read is an error.

function fail(text)
{
	printf "%s:%d: %s\n", FILENAME, FNR, text >"/dev/stderr"
	failed = 1
	exit 1
}

# ---- inside a line ----

function literal(s)
{
	gsub(/\\/, "\\e", s)
	gsub(/-/, "\\-", s)
	gsub(/'/, "\\(aq", s)
	gsub(/\^/, "\\(ha", s)
	gsub(/~/, "\\(ti", s)
	return s
}

# Puts each match of `pattern` into a font, without `cut` characters at both its ends; the `plain` last ones stay outside.
function in_font(s, pattern, font, cut, plain,    out)
{
	while (match(s, pattern)) {
		out = out substr(s, 1, RSTART - 1) "\\f" font literal(substr(s, RSTART + cut, RLENGTH - 2 * cut - plain)) "\\fR" \
			substr(s, RSTART + RLENGTH - plain, plain)
		s = substr(s, RSTART + RLENGTH)
	}
	return out s
}

function prose(s)
{
	s = in_font(s, "\\*\\*[^*]+\\*\\*", "B", 2, 0)
	s = in_font(s, "\\*[^* ][^*]*\\*", "I", 1, 0)
	s = in_font(s, "mm[a-z-]*\\([178]\\)", "B", 0, 3)
	gsub(/docs\/[a-z-]+\.md/, root "&", s)
	return s
}

function inline(s,    n, part, i, out)
{
	n = split(s, part, "`")
	if (n && n % 2 == 0)
		fail("a ` without its partner: " s)
	for (i = 1; i <= n; i++) {
		if (i % 2 == 0)
			gsub(/\n/, " ", part[i])
		out = out (i % 2 ? prose(part[i]) : "\\fB" literal(part[i]) "\\fR")
	}
	return out
}

# Prints lines, none of which is taken for a request, and `end` (a line's end by default).
function put(s, end,    n, line, i)
{
	n = split(s, line, "\n")
	for (i = 1; i <= n; i++)
		printf "%s%s%s", line[i] ~ /^[.']/ ? "\\&" : "", line[i], i < n || end == "" ? "\n" : end
	if (!n)
		printf "%s", end
}

# ---- blocks ----

function heading(request, name)
{
	enter_list(0)
	print request " \"" name "\""
	fresh = 1
}

# Room above a block; a heading has its own.
function gap(request)
{
	if (!fresh)
		print request
	fresh = 0
}

function enter_list(to)
{
	for (; depth < to; depth++)
		if (depth)
			print ".RS"
	for (; depth > to; depth--)
		if (depth > 1)
			print ".RE"
}

function put_item(s,    length_of_tag)
{
	fresh = 0
	if (match(s, /^(`[^`]*`|\*\*[^*]*\*\*)(,[ \n](`[^`]*`|\*\*[^*]*\*\*))*:[ \n]/)) {
		length_of_tag = RLENGTH - 2
		print ".TP"
		put(inline(substr(s, 1, length_of_tag)))
		s = substr(s, length_of_tag + 3)
	} else {
		print ".IP \\(bu 2"
	}
	put(inline(s))
}

function put_code(s)
{
	gap(".PP")
	if (section != "SYNOPSIS")
		print ".RS 4"
	print ".EX"
	put(literal(s))
	print ".EE"
	if (section != "SYNOPSIS")
		print ".RE"
}

# The length of a cell's text, or with `pattern` that of its longest part between matches of it.
function longest(s, pattern,    n, part, i, most)
{
	gsub(/[`*]/, "", s)
	n = split(s, part, pattern)
	for (i = 1; i <= n; i++)
		if (length(part[i]) > most)
			most = length(part[i])
	return most + 0
}

# The widest column takes the room that the others leave; each of them has room for its longest word.
function put_table(    row, column, size, word, wide, widest, format, text)
{
	for (column = 1; column <= columns; column++) {
		size[column] = word[column] = 0
		for (row = 1; row <= rows; row++) {
			size[column] = greater(size[column], longest(cell[row, column], "\n"))
			word[column] = greater(word[column], longest(cell[row, column], " "))
		}
		if (size[column] > size[widest])
			widest = column
	}
	for (column = 1; column <= columns; column++) {
		wide[column] = column == widest || size[column] > 16
		text = column == widest ? "x" : wide[column] ? "w(" greater(word[column], 16) "n)" : ""
		format = format (column > 1 ? " l" : "l") text
	}
	gap(".sp")
	text = format
	gsub(/l/, "lb", text)
	print ".TS\n" text "\n" format "."
	for (row = 1; row <= rows; row++)
		for (column = 1; column <= columns; column++) {
			text = inline(cell[row, column])
			if (wide[column] && text != "")
				text = "T{\n" text "\nT}"
			put(text, column < columns ? "\t" : "\n")
		}
	print ".TE"
	rows = 0
}

function greater(a, b)
{
	return a > b ? a : b
}

function add_row(line,    n, part, i)
{
	if (line ~ /^[| :-]+$/)
		return
	n = split(line, part, "|")
	columns = n - 2
	rows++
	for (i = 2; i < n; i++) {
		gsub(/^ +| +$/, "", part[i])
		cell[rows, i - 1] = part[i]
	}
}

function flush(    s, was)
{
	s = block
	was = kind
	block = kind = ""
	if (was == "table") {
		put_table()
	} else if (was == "code") {
		sub(/\n+$/, "", s)
		put_code(s)
	} else if (was == "item") {
		put_item(s)
	} else if (was == "text") {
		gap(".PP")
		put(inline(s))
	}
}

function begin(what)
{
	flush()
	kind = what
}

function add(line)
{
	block = block (block == "" ? "" : "\n") line
}

FNR == 1 {
	if (!match($0, /^# [a-z-]+\([178]\) - /))
		fail("the first line must be \"# name(1) - what it is\"")
	name = substr($0, 3, RLENGTH - 8)
	printf ".TH %s %s %s \"mm %s\" mm\n.nr HY 0\n.nh\n.ad l\n", toupper(name), substr($0, RLENGTH - 4, 1), date, version
	printf ".SH NAME\n%s \\- %s\n", name, inline(substr($0, RLENGTH + 1))
	next
}

/^## / {
	begin("")
	section = toupper(substr($0, 4))
	heading(".SH", section)
	next
}

/^### / {
	begin("")
	heading(".SS", substr($0, 5))
	next
}

kind != "item" && kind != "text" && /^    / {
	if (kind != "code") {
		begin("code")
		enter_list(0)
	}
	add(substr($0, 5))
	next
}

kind == "code" && /^$/ {
	add("")
	next
}

/^ *- / {
	begin("item")
	enter_list(match($0, /^ /) ? 2 : 1)
	sub(/^ *- /, "")
	add($0)
	next
}

/^\|/ {
	if (kind != "table") {
		begin("table")
		enter_list(0)
	}
	add_row($0)
	next
}

/^$/ {
	flush()
	next
}

{
	if (kind != "item" && kind != "text") {
		begin("text")
		enter_list(0)
	}
	sub(/^ +/, "")
	add($0)
}

END {
	if (failed)
		exit 1
	flush()
	enter_list(0)
}
