/* tools/mm-smtpd.c - the process that talks to SMTP clients; mmd starts it (ingest/smtpd.h) */
#include "ingest/smtpd.h"

int main(void)
{
	return smtpd_main();
}
