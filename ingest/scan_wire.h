/*
 * ingest/scan_wire.h - what mmd, the home of mm-scan and its child tell each other
 *
 * mmd and the home have a channel (base/channel.h): CONFIG once, then a START with a descriptor for each child: the end
 * of its channel. mmd and the child: READY once, then an ASK for each scan, which is answered by one SAID, and a
 * DROP for one that isn't waited for any more. The child and the home have a SOCK_SEQPACKET pair: the child calls
 * (struct scan_call) and gets a struct scan_line for each call, in any order, with a connected descriptor or an error.
 */
#ifndef MM_INGEST_SCAN_WIRE_H
#define MM_INGEST_SCAN_WIRE_H

#include <stdint.h>

#define SCAN_FD   3      /* the home's channel */
#define SCAN_TEXT 262144 /* longest frame: facts of 100 recipients, or a result */

enum scan_to_home {
	SCAN_CONFIG = 1, /* JSON: the configuration's section "addons", scanners alone */
	SCAN_START,      /* 1 descriptor; no answer but the child's READY */
};

enum scan_to_child {
	/* JSON {"n","addon":its place in the configuration,"facts":{...}}, 1 descriptor: the message, sealed */
	SCAN_ASK = 16,
	SCAN_DROP, /* JSON {"n"} */
};

enum scan_to_mmd {
	SCAN_READY = 32,
	SCAN_SAID, /* JSON {"n","end":enum scan_end,"why","result"} */
};

enum scan_end {
	SCAN_RESULT, /* a verdict */
	SCAN_UNFIT,  /* the scanner works, and doesn't judge this message */
	SCAN_BROKEN, /* it hung up, or spoke nonsense */
	SCAN_AWAY,   /* there is no connection to it */
	SCAN_ENDS,
};

struct scan_call {
	uint64_t number; /* of the scan */
	uint32_t addon;
};

struct scan_line {
	uint64_t number;
	int32_t error; /* errno; 0: a descriptor came along */
};

#endif
