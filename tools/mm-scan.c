/* tools/mm-scan.c - speaks to scanners; mmd starts it (ingest/scans.h) */
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "ingest/scan/serve.h"
#include "ingest/scan_wire.h"

static bool has_channel(void)
{
	int type;
	socklen_t n = sizeof(type);

	return getsockopt(SCAN_FD, SOL_SOCKET, SO_TYPE, &type, &n) == 0;
}

int main(void)
{
	log_init("mm-scan", LOG_INFO);
	if (!has_channel()) {
		log_error("mm-scan is started by mmd, not by hand");
		return 2;
	}
	/* Nothing is left to be done at exit, and what would run then expects no sandbox. */
	_exit(scan_home_main());
}
