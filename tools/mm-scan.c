/* tools/mm-scan.c - speaks to scanners; mmd starts it (ingest/scans.h) */
#include <unistd.h>

#include "ingest/scan/serve.h"

int main(void)
{
	/* Nothing is left to be done at exit, and what would run then expects no sandbox. */
	_exit(scan_home_main());
}
