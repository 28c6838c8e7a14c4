/*
 * ingest/outbound_wire.h - what mmd and the sender tell each other
 *
 * The home of mm-deliver (base/home.h) has {"sender":{"send","dns","hostname"}} as its configuration. The task
 * {"sender":{"ports":[...]}} makes a sender; its only extra descriptor is its leash. It says READY or FAILED, then
 * answers each ASK with one ENDED, in any order, and each PING with a PONG at once.
 */
#ifndef MM_INGEST_OUTBOUND_WIRE_H
#define MM_INGEST_OUTBOUND_WIRE_H

#define OUTBOUND_ASK_MOST  524288 /* longest frame to the child: 100 recipients */
#define OUTBOUND_SAID_MOST 262144 /* and from it: 100 results */
#define OUTBOUND_WHY       400

enum outbound_to_child {
	/* JSON {"n","target":{...},"from","ret","envid","utf8","eight","rcpt":[{"to","notify","orcpt"}]}, 1
	 * descriptor: the message, sealed. The target: {"domain"}, or {"host","port","tls":enum
	 * outbound_tls,"lmtp","user","password"} */
	OUTBOUND_ASK = 16,
	OUTBOUND_PING,
};

enum outbound_to_mmd {
	OUTBOUND_READY = 32,
	OUTBOUND_FAILED, /* a text: why it doesn't run */
	OUTBOUND_ENDED,  /* JSON {"n","host","tls","results":[{"end","code","enhanced","text","dsn"}]} */
	OUTBOUND_PONG,
};

#endif
