/*
 * tools/cli.h - what all tools share: options, exit codes, and asking mmd
 *
 * Options are long ("--name VALUE" or "--name=VALUE") and may stand anywhere; "--" ends them. What
 * begins with one dash is an argument, so a query may exclude words ("-draft"). Every tool knows
 * --data, --key-file, --json, --help and --version, and whoever asks mmd --socket.
 */
#ifndef MM_TOOLS_CLI_H
#define MM_TOOLS_CLI_H

#include <jansson.h>

#include "base/err.h"
#include "base/request.h"

struct engine;
struct cli_answer;

enum cli_exit { CLI_OK = 0, CLI_PARTLY = 1, CLI_USAGE = 2, CLI_NO_DATA = 3 };

struct cli_option {
	const char *name;  /* without dashes */
	const char *value; /* what it takes, for --help; NULL for a switch */
	const char *help;
	const char *command; /* those that take it, a blank between two; NULL: it belongs to the tool */
};

struct cli_command {
	const char *name;
	const char *arguments; /* for --help; "" if it takes none */
	const char *help;
};

struct cli_spec {
	const char               *program;
	const char               *summary;   /* one line */
	const char               *arguments; /* "QUERY..."; "" if it takes none */
	const struct cli_option  *options;
	size_t                    option_count;
	const struct cli_command *commands; /* NULL for a tool without subcommands */
	size_t                    command_count;
	bool                      serves; /* asks no mmd: has no --socket */
	const char               *more; /* further lines of --help; may be NULL */
};

#define CLI_MAX_OPTIONS 32

struct cli {
	const struct cli_spec *spec;
	char                 **argv;
	const char            *data; /* --data, MM_DATA */
	const char            *key_file;
	const char            *socket; /* --socket, MM_SOCKET: ask there, and never open the directory */
	bool                   json;
	bool                   terminal; /* stderr is one: progress may be shown */
	const char            *value[CLI_MAX_OPTIONS]; /* parallel to spec->options; "" for switches */
	struct cli_given {
		const struct cli_option *option;
		const char              *value;
	}                     *given; /* all of them, in their order */
	size_t                 given_count;
	const char            *command;
	const char           **arguments;
	size_t                 argument_count;
	struct engine         *engine;       /* opened here, because no mmd runs */
	bool                   only_running; /* ask a running mmd, or fail */
	bool                   no_data;      /* the directory or key could not be opened */
	/* What cli_ask does instead, where it is set: takes the request over, sets a->result. */
	enum rc (*elsewhere)(struct cli *c, json_t *request, struct cli_answer *a, struct err *e);
	void *elsewhere_arg;
};

/* Parses, or prints help, version or what is wrong and ends the program (exit 0 or 2). An option of
 * another command is wrong, and so is an argument where none is taken. */
void cli_parse(struct cli *c, const struct cli_spec *spec, int argc, char **argv);
/* Closes and frees what `c` holds. Returns the status to exit with: CLI_PARTLY in place of CLI_OK when
 * stdout could not be written to its end, which it has said then. */
int cli_end(struct cli *c, int status);
/* The value of an option, or NULL when it was not given. The option must be in the table. */
const char *cli_get(const struct cli *c, const char *name);
/* The value that it was given as the i-th time (from 0), or NULL. */
const char *cli_get_at(const struct cli *c, const char *name, size_t i);
bool        cli_has(const struct cli *c, const char *name);
/* A decimal option, or `none`; ends the program with exit 2 when it is not a number. */
uint64_t cli_number(const struct cli *c, const char *name, uint64_t none);
/* Prints "program: text" and, for RC_INVALID, how to get help; returns the exit code for `code`. */
int cli_fail(const struct cli *c, const struct err *e);
NORETURN void cli_usage(const struct cli *c, const char *fmt, ...) PRINTF(2, 3);
/* The arguments joined by blanks, in memory to be freed. */
char *cli_join(const struct cli *c);

/* What comes back from a request; either function may be NULL. Not RC_OK stops it. */
struct cli_answer {
	enum rc (*row)(void *arg, json_t *row, struct err *e);
	enum rc (*bytes)(void *arg, struct slice bytes, struct err *e);
	void   *arg;
	json_t *result; /* set when done; the caller's to decref */
};

/* Sends the request (its reference is taken over) to mmd; without a running mmd, and without --socket,
 * opens the data directory and answers it in this process (and further ones; cli_close ends that). Returns an exit code
 * and has printed what went wrong when it is not CLI_OK. */
int cli_request(struct cli *c, json_t *request, struct cli_answer *a);
/* The same with bytes behind the request, and without printing. */
enum rc cli_ask(struct cli *c, json_t *request, struct slice bytes, struct cli_answer *a,
		struct err *e) MUST_USE;
/* The request without a running mmd (tools/alone.c); a tool without the engine starts itself again with it, and
 * returns only if it can't (tools/alone_exec.c): it makes one request and prints nothing before. */
enum rc cli_alone(struct cli *c, struct slice request, const struct request_reader *reader,
		  struct buf *result, struct err *e) MUST_USE;
/* Closes what was opened; before the program ends. */
void cli_close(struct cli *c);
/* One line of progress on a terminal's stderr; nothing elsewhere. total 0: unknown. */
void cli_progress(const struct cli *c, const char *what, uint64_t done, uint64_t total);
void cli_progress_end(const struct cli *c);
/* Prints a JSON value and a newline on stdout. */
void cli_print_json(const json_t *value);
/* A file, or stdin where `path` is "-". */
enum rc cli_read_input(const char *path, struct buf *out, struct err *e) MUST_USE;

#endif
