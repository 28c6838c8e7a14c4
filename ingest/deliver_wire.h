/*
 * ingest/deliver_wire.h - what mmd and the children of mm-deliver tell each other
 *
 * The home (base/home.h) has the JSON of struct deliver_options as its configuration; a child's task is
 * {"bucket","prefix"}, which it answers as if it were a frame. Each frame on a child's channel has an answer, so at
 * most one is under way.
 */
#ifndef MM_INGEST_DELIVER_WIRE_H
#define MM_INGEST_DELIVER_WIRE_H

#define DELIVER_TEXT  65536  /* longest frame but DATA */
#define DELIVER_PIECE 65536  /* longest DATA */

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
