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

int main(void)
{
	if (!has_channel()) {
		log_init("mm-smtpd", LOG_INFO);
		log_error("mm-smtpd is started by mmd, not by hand");
		return 2;
	}
	/* Nothing is left to be done at exit, and what would run then expects no sandbox. */
	_exit(smtpd_main());
}
