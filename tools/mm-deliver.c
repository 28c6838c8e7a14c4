/* tools/mm-deliver.c - puts exports to S3; mmd starts it (ingest/deliver.h) */
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "ingest/deliver/serve.h"
#include "ingest/deliver_wire.h"

static bool has_channel(void)
{
	int type;
	socklen_t n = sizeof(type);

	return getsockopt(DELIVER_FD, SOL_SOCKET, SO_TYPE, &type, &n) == 0;
}

int main(void)
{
	log_init("mm-deliver", LOG_INFO);
	if (!has_channel()) {
		log_error("mm-deliver is started by mmd, not by hand");
		return 2;
	}
	/* Nothing is left to be done at exit, and what would run then expects no sandbox. */
	_exit(deliver_home_main());
}
