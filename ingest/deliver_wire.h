/*
 * ingest/deliver_wire.h - what mmd, the home of mm-deliver and its children tell each other
 *
 * The home has one channel: CONFIG once, then a START with a descriptor for each export: the end of the
 * child's channel. Each frame on a child's channel has an answer, so at most one is under way.
 */
#ifndef MM_INGEST_DELIVER_WIRE_H
#define MM_INGEST_DELIVER_WIRE_H

#define DELIVER_FD    3      /* the home's channel */
#define DELIVER_TEXT  65536  /* longest frame but DATA */
#define DELIVER_PIECE 65536  /* longest DATA */

enum deliver_to_home {
	DELIVER_CONFIG = 1, /* JSON: struct deliver_options */
	DELIVER_START,      /* JSON {"bucket","prefix"}, 1 descriptor; no answer but the child's first one */
};

enum deliver_to_child {
	DELIVER_BEGIN = 16, /* JSON {"key","type"} */
	DELIVER_DATA,
	DELIVER_END,
};

enum deliver_to_mmd {
	DELIVER_OK = 32,
	DELIVER_FAILED, /* JSON {"code": enum rc, "text"}: the child ends */
};

#endif
