/*
 * api/http_wire.h - what mmd and mm-httpd tell each other over their channel
 *
 * Calls don't go this way: they have connections to mmd's request server (base/request.h), whose ends mmd
 * makes and sends as lanes: one call at a time each. mmd trusts nothing that comes back: a wrong length or an
 * unknown type ends the child.
 */
#ifndef MM_API_HTTP_WIRE_H
#define MM_API_HTTP_WIRE_H

#define HTTP_WIRE_FD         3 /* the channel, in mm-httpd */
#define HTTP_WIRE_CONFIG_MAX 16777216
#define HTTP_WIRE_NEWS_MAX   4096 /* bodies of what mm-httpd sends */
#define HTTP_WIRE_THREADS    6    /* of mmd, which calls run on */
#define HTTP_WIRE_LANES      64   /* that are open in mmd, and as many that are asked for */

enum http_wire_to_httpd {
	/* JSON {"certs":[{"chain","key"}], "link_secret", "max_connections", "max_per_address"}. Without
	 * a certificate the listener speaks HTTP in the clear. */
	HTTP_WIRE_CONFIG = 1,
	HTTP_WIRE_BEGAN,    /* i64: whoever had the listener before took no call after that time */
	HTTP_WIRE_KEYS,     /* JSON {"Keys":[{"Id","Secret","Principal"}]}: all that work from now on */
	HTTP_WIRE_LISTENER, /* 1 descriptor */
	HTTP_WIRE_LANE,     /* 1 descriptor */
	HTTP_WIRE_MARK,     /* u64, to be sent back when all before it is done */
	HTTP_WIRE_STOP,     /* no further connections; calls under way get their answer; exit 0 */
};

enum http_wire_to_mmd {
	HTTP_WIRE_NEED_LANE = 64,
	HTTP_WIRE_MARKED, /* u64 */
	HTTP_WIRE_FAILED, /* text: it is going to exit; once */
};

#endif
