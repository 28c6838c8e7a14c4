/* tools/mm-smtpd.c - the process that talks to SMTP clients; mmd starts it (ingest/smtpd.h) */
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "ingest/smtpd.h"
#include "ingest/wire.h"

static bool has_channel(void)
{
	int type;
	socklen_t n = sizeof(type);

	return getsockopt(WIRE_CHANNEL_FD, SOL_SOCKET, SO_TYPE, &type, &n) == 0;
}

#ifdef MM_COVERAGE
void __gcov_dump(void);
#endif

int main(void)
{
	int status;

	if (!has_channel()) {
		log_init("mm-smtpd", LOG_INFO);
		log_error("mm-smtpd is started by mmd, not by hand");
		return 2;
	}
	/* Nothing is left to be done at exit, and what would run then expects no sandbox. */
	status = smtpd_main();
#ifdef MM_COVERAGE
	__gcov_dump();
#endif
	_exit(status);
}
