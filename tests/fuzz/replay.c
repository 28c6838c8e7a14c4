/* tests/fuzz/replay.c - runs a fuzz target once for each file of a folder, without libFuzzer */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct replay {
	const char *dir;
	unsigned    files;
};

static enum rc replay_one(void *arg, const char *name, struct err *e)
{
	struct replay *r = arg;
	struct buf     input;
	char          *path = path_join(r->dir, name);
	enum rc        rc;

	buf_init(&input, 64 << 20);
	rc = file_read_all(path, &input, e);
	if (rc == RC_OK)
		(void)LLVMFuzzerTestOneInput(input.at, input.len);
	buf_free(&input);
	free(path);
	r->files++;
	return rc;
}

int main(int argc, char **argv)
{
	struct replay r = { argc > 1 ? argv[1] : ".", 0 };
	struct err    e = { 0 };

	if (dir_list(r.dir, replay_one, &r, &e) != RC_OK) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	printf("%u inputs replayed\n", r.files);
	return r.files ? 0 : 1;
}
