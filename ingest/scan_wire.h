/*
 * ingest/scan_wire.h - what mmd and the children of mm-scan's home tell each other
 *
 * The home (base/home.h) makes two kinds of child. The task {} is the one that speaks to scanners; it says
 * READY, gets an ASK for each scan, which is answered by one SAID, and a DROP for one that isn't waited for any
 * more, which is answered by a DROPPED. The task {"connect":N} connects to the scanner N, says CONNECTED or NOBODY
 * on its channel, and ends: mmd gives its end of that channel to the first one with the ASK. So that one never
 * says where to connect to.
 */
#ifndef MM_INGEST_SCAN_WIRE_H
#define MM_INGEST_SCAN_WIRE_H

#include <stdint.h>

#define SCAN_TEXT 262144 /* longest frame: facts of 100 recipients, or a result */
#define SCAN_LINE 256    /* longest frame of who connects */

enum scan_to_child {
	/* JSON {"n","scanner":its place in the configuration,"facts":{...}}, 2 descriptors: the message,
	 * sealed, and the channel of who connects */
	SCAN_ASK = 16,
	SCAN_DROP, /* JSON {"n"} */
};

enum scan_to_mmd {
	SCAN_READY = 32,
	SCAN_SAID,    /* JSON {"n","end":enum scan_end,"why","result"} */
	SCAN_DROPPED,
};

enum scan_of_connector {
	SCAN_CONNECTED = 48, /* 1 descriptor */
	SCAN_NOBODY,         /* a text: why */
};

enum scan_end {
	SCAN_RESULT, /* a verdict */
	SCAN_UNFIT,  /* the scanner works, and doesn't judge this message */
	SCAN_BROKEN, /* it hung up, or spoke nonsense */
	SCAN_AWAY,   /* there is no connection to it */
	SCAN_ENDS,
};

#endif
