#include "tools/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"

#define MM_VERSION "0.1"

static const struct cli_option common[] = {
	{ "data", "DIR", "the data directory (or MM_DATA)", NULL },
	{ "key-file", "FILE", "the master key's file (or MM_KEY_FILE; DIR.key by default)", NULL },
	{ "json", NULL, "print JSON, one object a line", NULL },
	{ "help", NULL, "print this help", NULL },
	{ "version", NULL, "print the version", NULL },
	{ "socket", "PATH", "ask the mmd that listens there (or MM_SOCKET), without a directory",
	  NULL },
};

static size_t common_count(const struct cli_spec *s)
{
	return COUNT(common) - (s->serves ? 1 : 0);
}

static void print_option(const struct cli_option *o)
{
	char left[48];

	(void)snprintf(left, sizeof(left), "--%s %s", o->name, o->value ? o->value : "");
	printf("  %-26s %s%s%s\n", left, o->command ? o->command : "", o->command ? ": " : "",
	       o->help);
}

static void print_help(const struct cli_spec *s)
{
	printf("%s - %s\n\nusage: %s %s[OPTION]...%s%s\n", s->program, s->summary, s->program,
	       s->commands ? "COMMAND " : "", *s->arguments ? " " : "", s->arguments);
	if (s->commands)
		printf("\ncommands:\n");
	for (size_t i = 0; i < s->command_count; i++) {
		char left[48];

		(void)snprintf(left, sizeof(left), "%s %s", s->commands[i].name,
		               s->commands[i].arguments);
		printf("  %-26s %s\n", left, s->commands[i].help);
	}
	printf("\noptions:\n");
	for (size_t i = 0; i < s->option_count; i++)
		print_option(&s->options[i]);
	for (size_t i = 0; i < common_count(s); i++)
		print_option(&common[i]);
	if (s->more)
		printf("\n%s", s->more);
	printf("\nexit status: 0 done (no hit too); 1 done, but something failed or was found "
	       "damaged;"
	       "\n2 usage or configuration; 3 the data directory or key can't be opened\n");
}

void cli_usage(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", c->spec->program);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nTry '%s --help'.\n", c->spec->program);
	exit(CLI_USAGE);
}

/* What a full disk or a closed pipe took is not success. */
static int flushed(const char *program, int status)
{
	bool lost = fflush(stdout) != 0;

	if (!lost && !ferror(stdout))
		return status;
	fprintf(stderr, "%s: the output can't be written%s%s\n", program, lost ? ": " : "",
	        lost ? strerror(errno) : "");
	return status == CLI_OK ? CLI_PARTLY : status;
}

static size_t find_option(const struct cli_option *table, size_t count, struct slice name)
{
	for (size_t i = 0; i < count; i++)
		if (slice_equal(name, slice_str(table[i].name)))
			return i;
	return SIZE_MAX;
}

static void set_common(struct cli *c, size_t which, const char *value)
{
	switch (which) {
	case 0:
		c->data = value;
		break;
	case 1:
		c->key_file = value;
		break;
	case 2:
		c->json = true;
		break;
	case 3:
		print_help(c->spec);
		exit(flushed(c->spec->program, CLI_OK));
	case 5:
		c->socket = value;
		break;
	default:
		printf("%s %s\n", c->spec->program, MM_VERSION);
		exit(flushed(c->spec->program, CLI_OK));
	}
}

/* argv[*i] is "--name" or "--name=value"; takes the next word as value where one is needed. */
static void take_option(struct cli *c, int argc, char **argv, int *i)
{
	struct slice value;
	struct slice name = slice_cut(slice_str(argv[*i] + 2), '=', &value);
	size_t own = find_option(c->spec->options, c->spec->option_count, name);
	size_t shared = find_option(common, common_count(c->spec), name);
	const struct cli_option *o;
	const char *text = "";

	if (own == SIZE_MAX && shared == SIZE_MAX)
		cli_usage(c, "there is no option %s", argv[*i]);
	o = own != SIZE_MAX ? &c->spec->options[own] : &common[shared];
	if (!o->value && value.at)
		cli_usage(c, "--%s takes no value", o->name);
	if (o->value && value.at)
		text = (const char *)value.at;
	else if (o->value && ++*i < argc)
		text = argv[*i];
	else if (o->value)
		cli_usage(c, "--%s needs a value (%s)", o->name, o->value);
	c->given[c->given_count++] = (struct cli_given) { o, text };
	if (own != SIZE_MAX)
		c->value[own] = text;
	else
		set_common(c, shared, text);
}

static const struct cli_command *take_command(struct cli *c)
{
	if (c->argument_count == 0)
		cli_usage(c, "which command?");
	c->command = c->arguments[0];
	c->arguments++;
	c->argument_count--;
	for (size_t i = 0; i < c->spec->command_count; i++)
		if (strcmp(c->command, c->spec->commands[i].name) == 0)
			return &c->spec->commands[i];
	cli_usage(c, "there is no command %s", c->command);
}

/* `words`: a blank between two. */
static bool is_among(const char *words, const char *word)
{
	struct slice rest = slice_str(words);

	while (rest.len)
		if (slice_equal(slice_cut(rest, ' ', &rest), slice_str(word)))
			return true;
	return false;
}

/* What would have no effect is refused: whoever typed it meant something. */
static void check_command(struct cli *c)
{
	const struct cli_spec *s = c->spec;
	const struct cli_command *command = s->commands ? take_command(c) : NULL;
	const char *name = command ? command->name : s->program;

	for (size_t i = 0; command && i < c->given_count; i++) {
		const struct cli_option *o = c->given[i].option;

		if (o->command && !is_among(o->command, name))
			cli_usage(c, "--%s belongs to %s, %s doesn't take it", o->name, o->command,
			          name);
	}
	if (c->argument_count && !*(command ? command->arguments : s->arguments))
		cli_usage(c, "%s takes no arguments, and there is \"%s\"", name, c->arguments[0]);
}

/* NULL where it is empty, too: a variable that a script left so names nothing. */
static const char *from_environment(const char *name)
{
	const char *text = getenv(name);

	return text && *text ? text : NULL;
}

void cli_parse(struct cli *c, const struct cli_spec *spec, int argc, char **argv)
{
	bool options = true;

	MUST(spec->option_count <= CLI_MAX_OPTIONS);
	*c = (struct cli) { .spec = spec, .argv = argv, .terminal = isatty(STDERR_FILENO) };
	(void)signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
	c->data = from_environment("MM_DATA");
	c->key_file = from_environment("MM_KEY_FILE");
	c->socket = from_environment("MM_SOCKET");
	c->given = mem_array((size_t)argc + 1, sizeof(*c->given));
	c->arguments = mem_array((size_t)argc + 1, sizeof(*c->arguments));
	for (int i = 1; i < argc; i++) {
		if (options && strcmp(argv[i], "--") == 0)
			options = false;
		else if (options && strncmp(argv[i], "--", 2) == 0)
			take_option(c, argc, argv, &i);
		else
			c->arguments[c->argument_count++] = argv[i];
	}
	check_command(c);
}

int cli_end(struct cli *c, int status)
{
	cli_close(c);
	if (c->command)
		c->arguments--;
	free(c->arguments);
	free(c->given);
	c->arguments = NULL;
	c->given = NULL;
	return flushed(c->spec->program, status);
}

const char *cli_get(const struct cli *c, const char *name)
{
	size_t at = find_option(c->spec->options, c->spec->option_count, slice_str(name));

	MUST(at != SIZE_MAX);
	return c->value[at];
}

const char *cli_get_at(const struct cli *c, const char *name, size_t i)
{
	for (size_t k = 0; k < c->given_count; k++)
		if (strcmp(c->given[k].option->name, name) == 0 && i-- == 0)
			return c->given[k].value;
	return NULL;
}

bool cli_has(const struct cli *c, const char *name)
{
	return cli_get(c, name) != NULL;
}

uint64_t cli_number(const struct cli *c, const char *name, uint64_t none)
{
	const char *text = cli_get(c, name);
	uint64_t n;

	if (!text)
		return none;
	if (!slice_to_u64(slice_str(text), &n))
		cli_usage(c, "--%s %s: not a number", name, text);
	return n;
}

int cli_fail(const struct cli *c, const struct err *e)
{
	fprintf(stderr, "%s: %s\n", c->spec->program, e->text[0] ? e->text : rc_name(e->code));
	return rc_exit(e->code);
}

char *cli_join(const struct cli *c)
{
	size_t room = 1;
	char *text;
	size_t at = 0;

	for (size_t i = 0; i < c->argument_count; i++)
		room += strlen(c->arguments[i]) + 1;
	text = mem_new(room);
	for (size_t i = 0; i < c->argument_count; i++) {
		size_t n = strlen(c->arguments[i]);

		if (i)
			text[at++] = ' ';
		memcpy(text + at, c->arguments[i], n);
		at += n;
	}
	return text;
}

void cli_progress(const struct cli *c, const char *what, uint64_t done, uint64_t total)
{
	if (!c->terminal)
		return;
	if (total)
		fprintf(stderr, "\r%s: %llu of %llu (%u %%)\033[K", what, (unsigned long long)done,
		        (unsigned long long)total, (unsigned)(done * 100 / total));
	else
		fprintf(stderr, "\r%s: %llu\033[K", what, (unsigned long long)done);
}

void cli_progress_end(const struct cli *c)
{
	if (c->terminal)
		fprintf(stderr, "\r\033[K");
}

void cli_print_json(const json_t *value)
{
	if (json_dumpf(value, stdout, JSON_COMPACT) == 0)
		putchar('\n');
}

enum rc cli_read_input(const char *path, struct buf *out, struct err *e)
{
	uint8_t block[65536];
	size_t n;

	if (strcmp(path, "-") != 0)
		return file_read_all(path, out, e);
	while ((n = fread(block, 1, sizeof(block), stdin)) > 0)
		if (buf_add(out, slice_of(block, n)) != RC_OK)
			return err_set(e, RC_LIMIT, "the input is too long");
	return RC_OK;
}
