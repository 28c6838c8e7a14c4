/* ingest/scan_home.c - mmd and the home of mm-scan */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/child.h"
#include "ingest/scan_wire.h"
#include "ingest/scans.h"

struct scan_home {
	pid_t pid;
	int fd;
	pthread_mutex_t lock;
};

/* Without DNS block lists, whose keys are no scanner's business. */
static json_t *scanners_of(const json_t *config)
{
	json_t *o = json_object();
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)config, name, value)
	{
		if (!json_object_get(value, "dnsbl"))
			json_put(o, name, json_incref(value));
	}
	return o;
}

static enum rc tell_config(const struct scan_home *h, const json_t *config, struct err *e)
{
	json_t *o = scanners_of(config);
	struct buf text;
	enum rc rc;

	buf_init(&text, SCAN_TEXT);
	rc = json_write(&text, o);
	if (rc != RC_OK)
		rc = err_set(e, rc, "addons: it is too long");
	else
		rc = channel_put(h->fd, SCAN_CONFIG, buf_slice(&text), NULL, 0, e);
	buf_free(&text);
	json_decref(o);
	return rc;
}

enum rc scan_home_start(struct scan_home **out, const json_t *config, const char *program,
                        struct err *e)
{
	struct child_start s = { .nfds = 1 };
	struct scan_home *h;
	int ends[2];
	enum rc rc = channel_pair(ends, e);

	*out = NULL;
	if (rc != RC_OK)
		return rc;
	h = mem_new(sizeof(*h));
	h->fd = ends[0];
	h->pid = -1;
	(void)pthread_mutex_init(&h->lock, NULL);
	s.fds[0].fd = ends[1];
	s.fds[0].at = SCAN_FD;
	rc = child_spawn(program ? program : "mm-scan", &s, &h->pid, e);
	if (rc == RC_OK)
		rc = tell_config(h, config, e);
	if (rc == RC_OK)
		*out = h;
	else
		scan_home_stop(&h);
	return rc;
}

void scan_home_stop(struct scan_home **at)
{
	struct scan_home *h = *at;

	*at = NULL;
	if (!h)
		return;
	(void)close(h->fd);
	while (h->pid > 0 && waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
		;
	(void)pthread_mutex_destroy(&h->lock);
	free(h);
}

enum rc scan_home_child(struct scan_home *h, int *fd, struct err *e)
{
	int ends[2];
	enum rc rc = channel_pair(ends, e);

	if (rc != RC_OK)
		return rc;
	(void)pthread_mutex_lock(&h->lock);
	rc = channel_put(h->fd, SCAN_START, slice_of(NULL, 0), &ends[1], 1, e);
	(void)pthread_mutex_unlock(&h->lock);
	(void)close(ends[1]);
	if (rc == RC_OK) {
		*fd = ends[0];
		return RC_OK;
	}
	(void)close(ends[0]);
	return err_set(e, RC_IO, "mm-scan has ended; mmd must be restarted");
}
