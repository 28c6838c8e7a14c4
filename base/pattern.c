#include "base/pattern.h"

#include <limits.h>
#include <stdlib.h>

#define OPS_MOST 1024
#define NO_LIMIT UINT_MAX

enum op_kind {
	OP_SET,   /* a character of `set`, then the next op */
	OP_SPLIT, /* both the next op and `to` */
	OP_JUMP,  /* `to` */
	OP_END,   /* matched, if the text ends here */
};

struct op {
	enum op_kind kind;
	uint16_t to;
	const char *set; /* where its text begins in the pattern */
};

struct program {
	struct op ops[OPS_MOST];
	unsigned count;
	const char *at; /* what of the pattern is still to be read */
};

/* ---- from a pattern to a program ---- */

static unsigned emit(struct program *p, enum op_kind kind, const char *set)
{
	MUST(p->count < OPS_MOST);
	p->ops[p->count] = (struct op) { .kind = kind, .set = set };
	return p->count++;
}

static void read_choice(struct program *p);

/* Past one character, escape or class. */
static const char *after_set(const char *at)
{
	if (*at == '\\')
		return at[1] == 'P' ? at + 5 : at + 2;
	if (*at != '[')
		return at + 1;
	for (at++; *at != ']'; at = after_set(at))
		MUST(*at);
	return at + 1;
}

static void read_atom(struct program *p)
{
	MUST(*p->at && *p->at != ')' && *p->at != '|');
	if (*p->at == '(') {
		p->at++;
		read_choice(p);
		MUST(*p->at == ')');
		p->at++;
		return;
	}
	(void)emit(p, OP_SET, p->at);
	p->at = after_set(p->at);
}

static unsigned read_number(struct program *p)
{
	unsigned n = 0;

	while (*p->at >= '0' && *p->at <= '9')
		n = n * 10 + (unsigned)(*p->at++ - '0');
	return n;
}

/* How often the atom before comes; false when nothing says so. */
static bool read_count(struct program *p, unsigned *least, unsigned *most)
{
	char c = *p->at;

	if (c == '?' || c == '*' || c == '+') {
		p->at++;
		*least = c == '+';
		*most = c == '?' ? 1 : NO_LIMIT;
		return true;
	}
	if (c != '{')
		return false;
	p->at++;
	*least = *most = read_number(p);
	if (*p->at == ',') {
		p->at++;
		*most = *p->at == '}' ? NO_LIMIT : read_number(p);
	}
	MUST(*p->at == '}' && *most >= *least);
	p->at++;
	return true;
}

/* The atom at `atom` once more. */
static void repeat_atom(struct program *p, const char *atom)
{
	p->at = atom;
	read_atom(p);
}

static void read_repeated(struct program *p)
{
	const char *atom = p->at;
	unsigned begin = p->count;
	unsigned least, most, optional, split;
	const char *after;

	read_atom(p);
	if (!read_count(p, &least, &most))
		return;
	after = p->at;
	p->count = begin;
	for (unsigned i = 0; i < least; i++)
		repeat_atom(p, atom);
	optional = p->count;
	if (most == NO_LIMIT) {
		split = emit(p, OP_SPLIT, NULL);
		repeat_atom(p, atom);
		p->ops[emit(p, OP_JUMP, NULL)].to = (uint16_t)split;
		p->ops[split].to = (uint16_t)p->count;
	} else {
		/* Each leads out of all that follow; they are found by their mark. */
		for (unsigned i = least; i < most; i++) {
			p->ops[emit(p, OP_SPLIT, NULL)].set = atom;
			repeat_atom(p, atom);
		}
		for (unsigned i = optional; i < p->count; i++)
			if (p->ops[i].kind == OP_SPLIT && p->ops[i].set == atom)
				p->ops[i].to = (uint16_t)p->count;
	}
	p->at = after;
}

static void read_choice(struct program *p)
{
	const char *mark = p->at;
	unsigned begin = p->count;
	unsigned split;

	for (;;) {
		split = emit(p, OP_SPLIT, NULL);
		while (*p->at && *p->at != '|' && *p->at != ')' && !(*p->at == '$' && !p->at[1]))
			read_repeated(p);
		if (*p->at != '|')
			break;
		p->at++;
		emit(p, OP_JUMP, mark);
		p->ops[split].to = (uint16_t)p->count;
	}
	p->ops[split].to = (uint16_t)(split + 1); /* the last has no other */
	for (unsigned i = begin; i < p->count; i++)
		if (p->ops[i].kind == OP_JUMP && p->ops[i].set == mark)
			p->ops[i].to = (uint16_t)p->count;
}

static void compile(struct program *p, const char *pattern)
{
	MUST(*pattern == '^');
	p->count = 0;
	p->at = pattern + 1;
	read_choice(p);
	MUST(strcmp(p->at, "$") == 0);
	(void)emit(p, OP_END, NULL);
}

/* ---- sets ---- */

static bool is_digit(uint32_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(uint32_t c)
{
	return is_digit(c) || c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_space(uint32_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_line_break(uint32_t c)
{
	return c == '\n' || c == '\r' || c == 0x85 || c == 0x2028 || c == 0x2029;
}

/* The single character that is written at `at`: itself, \r, \n, \xHH, or an escaped sign. */
static uint32_t literal(const char *at)
{
	static const char digits[] = "0123456789abcdef";

	if (*at != '\\')
		return (uint8_t)*at;
	if (at[1] == 'r')
		return '\r';
	if (at[1] == 'n')
		return '\n';
	if (at[1] == 'x')
		return (uint32_t)((strchr(digits, at[2]) - digits) * 16 +
		                  (strchr(digits, at[3]) - digits));
	return (uint8_t)at[1];
}

static bool escape_has(char kind, uint32_t c, bool *is_class)
{
	*is_class = true;
	switch (kind) {
	case 'd':
		return is_digit(c);
	case 'w':
		return is_word(c);
	case 's':
		return is_space(c);
	case 'P':
		return c >= 0x20 && !(c >= 0x7f && c <= 0x9f);
	default:
		*is_class = false;
		return false;
	}
}

static const char *after_literal(const char *at)
{
	return *at == '\\' && at[1] == 'x' ? at + 4 : after_set(at);
}

static bool class_has(const char *at, uint32_t c)
{
	MUST(at[1] != '^');
	for (at++; *at != ']';) {
		bool is_class = false;
		uint32_t first;

		if (*at == '\\' && escape_has(at[1], c, &is_class))
			return true;
		if (is_class) {
			at = after_set(at);
			continue;
		}
		first = literal(at);
		at = after_literal(at);
		if (*at == '-' && at[1] != ']') {
			if (c >= first && c <= literal(at + 1))
				return true;
			at = after_literal(at + 1);
		} else if (c == first) {
			return true;
		}
	}
	return false;
}

static bool set_has(const char *at, uint32_t c)
{
	bool is_class = false;

	if (*at == '[')
		return class_has(at, c);
	if (*at == '.')
		return !is_line_break(c);
	if (*at == '\\' && escape_has(at[1], c, &is_class))
		return true;
	return !is_class && c == literal(at);
}

/* ---- running ---- */

/* The ops that the text so far leads to. */
struct front {
	uint16_t ops[OPS_MOST];
	unsigned count;
	bool has[OPS_MOST];
};

static void follow(const struct program *p, struct front *f, unsigned op)
{
	while (!f->has[op]) {
		f->has[op] = true;
		if (p->ops[op].kind == OP_SPLIT) {
			follow(p, f, op + 1);
			op = p->ops[op].to;
		} else if (p->ops[op].kind == OP_JUMP) {
			op = p->ops[op].to;
		} else {
			f->ops[f->count++] = (uint16_t)op;
		}
	}
}

static void front_clear(struct front *f, unsigned count)
{
	f->count = 0;
	memset(f->has, 0, count * sizeof(f->has[0]));
}

/* The character that begins at s->at, which is taken from it. */
static uint32_t next_character(struct slice *s)
{
	uint8_t lead = s->at[0];
	size_t n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	uint32_t c = n == 1 ? lead : lead & (0x7fu >> n);

	for (size_t i = 1; i < n && i < s->len; i++)
		c = c << 6 | (s->at[i] & 0x3fu);
	*s = slice_from(*s, n);
	return c;
}

static bool ended(const struct program *p, const struct front *f)
{
	for (unsigned i = 0; i < f->count; i++)
		if (p->ops[f->ops[i]].kind == OP_END)
			return true;
	return false;
}

bool pattern_matches(const char *pattern, struct slice text)
{
	struct program *p = mem_new(sizeof(*p));
	struct front *fronts = mem_array(2, sizeof(*fronts));
	struct front *now = &fronts[0];
	struct front *next = &fronts[1];
	bool matched;

	compile(p, pattern);
	front_clear(now, p->count);
	follow(p, now, 0);
	while (text.len && now->count) {
		uint32_t c = next_character(&text);
		struct front *swap = now;

		front_clear(next, p->count);
		for (unsigned i = 0; i < now->count; i++) {
			const struct op *op = &p->ops[now->ops[i]];

			if (op->kind == OP_SET && set_has(op->set, c))
				follow(p, next, now->ops[i] + 1u);
		}
		now = next;
		next = swap;
	}
	matched = !text.len && ended(p, now);
	free(fronts);
	free(p);
	return matched;
}
