/*
 * scan_ask CONFIG - messages judged by a scanner, without mmd
 *
 * CONFIG is the configuration's section "addons" as JSON. Reads lines "ADDON FILE" from stdin, asks
 * for each, all at once, and prints a line of JSON for each result as it comes, {"file","said"}; an
 * empty line waits for all, and prints {"status"}.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "ingest/scans.h"

struct wait {
	pthread_mutex_t lock;
	pthread_cond_t woken;
};

static char *files[100000];

static void on_woken(void *arg)
{
	struct wait *w = arg;

	(void)pthread_mutex_lock(&w->lock);
	(void)pthread_cond_broadcast(&w->woken);
	(void)pthread_mutex_unlock(&w->lock);
}

static void print(json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);

	(void)puts(text);
	(void)fflush(stdout);
	free(text);
	json_decref(o);
}

static void print_result(uint64_t number, json_t *addons)
{
	json_t *o = json_object();

	json_put_text(o, "file", slice_str(files[number]));
	json_put(o, "said", json_incref(json_object_get(addons, "ai-1")));
	json_decref(addons);
	print(o);
}

static void take_all(struct wait *w, struct scans *s, size_t *open)
{
	uint64_t number;
	json_t *addons;

	(void)pthread_mutex_lock(&w->lock);
	while (*open) {
		if (scans_take(s, &number, &addons)) {
			print_result(number, addons);
			(*open)--;
		} else {
			(void)pthread_cond_wait(&w->woken, &w->lock);
		}
	}
	(void)pthread_mutex_unlock(&w->lock);
}

static void ask(struct scans *s, const char *addon, const char *path)
{
	const struct slice to = slice_str("b@corp.example");
	struct scan_instance i = { slice_str("ai-1"), slice_str(addon) };
	struct scan_facts f = { .id = slice_str("01ABC"),
		                .helo = slice_str("mx.shop.example"),
		                .mail_from = slice_str("a@shop.example"),
		                .recipients = &to,
		                .recipient_count = 1 };
	struct buf raw;
	struct err e = { 0 };
	uint64_t number;

	buf_init(&raw, (size_t)64 << 20);
	if (file_read_all(path, &raw, &e) != RC_OK)
		log_error("%s", e.text);
	(void)ip_parse(&f.client, slice_str("192.0.2.9"));
	number = scans_ask(s, &i, 1, buf_slice(&raw), &f);
	MUST(number < COUNT(files));
	files[number] = mem_string(path);
	buf_free(&raw);
}

static void serve(struct wait *w, struct scans *s)
{
	char line[4096];
	size_t open = 0;

	while (fgets(line, sizeof(line), stdin)) {
		char *file = strchr(line, ' ');

		line[strcspn(line, "\n")] = 0;
		if (file) {
			*file++ = 0;
			ask(s, line, file);
			open++;
		} else {
			json_t *o = json_object();

			take_all(w, s, &open);
			json_put(o, "status", scans_status(s));
			print(o);
		}
	}
}

int main(int argc, char **argv)
{
	struct wait w = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER };
	struct home *home = NULL;
	struct addons addons;
	struct scans *s = NULL;
	json_t *config = NULL;
	struct err e = { 0 };
	enum rc rc = argc == 2 ? json_read(&config, slice_str(argv[1]), &e) : RC_INVALID;

	log_init("scan_ask", LOG_INFO);
	(void)signal(SIGPIPE, SIG_IGN);
	if (rc == RC_OK)
		rc = addons_read(&addons, config, &e);
	if (rc == RC_OK)
		rc = scans_home(&home, config, NULL, &e);
	if (rc == RC_OK)
		rc = scans_new(&s, home, &addons, on_woken, &w, &e);
	if (rc != RC_OK) {
		log_error("%s", e.text);
		return 1;
	}
	serve(&w, s);
	scans_free(&s);
	home_stop(&home);
	addons_free(&addons);
	json_decref(config);
	for (size_t i = 0; i < COUNT(files); i++)
		free(files[i]);
	return 0;
}
