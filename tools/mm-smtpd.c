/* tools/mm-smtpd.c - the process that talks to SMTP clients; mmd starts it (ingest/smtpd.h) */
#include <unistd.h>

#include "ingest/smtpd.h"

int main(void)
{
	/* Nothing is left to be done at exit, and what would run then expects no sandbox. */
	_exit(smtpd_main());
}
