/* tools/mm-httpd.c - the process that talks to clients of the control API; mmd starts it
 * (api/httpd.h) */
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/http_wire.h"
#include "api/httpd.h"
#include "base/log.h"

static bool has_channel(void)
{
	int type;
	socklen_t n = sizeof(type);

	return getsockopt(HTTP_WIRE_FD, SOL_SOCKET, SO_TYPE, &type, &n) == 0;
}

#ifdef MM_COVERAGE
void __gcov_dump(void);
#endif

int main(void)
{
	int status;

	if (!has_channel()) {
		log_init("mm-httpd", LOG_INFO);
		log_error("mm-httpd is started by mmd, not by hand");
		return 2;
	}
	/* Nothing is left to be done at exit, and what would run then expects no sandbox. */
	status = httpd_main();
#ifdef MM_COVERAGE
	__gcov_dump();
#endif
	_exit(status);
}
