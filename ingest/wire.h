/*
 * ingest/wire.h - what mmd and mm-smtpd tell each other over their channel
 *
 * Numbers are little endian (base/codec.h). mmd trusts nothing that comes back: a wrong length or an
 * unknown type ends the child.
 */
#ifndef MM_INGEST_WIRE_H
#define MM_INGEST_WIRE_H

#define WIRE_CHANNEL_FD 3 /* in mm-smtpd */
#define WIRE_CONFIG_MAX 67108864
#define WIRE_LIST_MAX   1048576 /* bodies of WIRE_LIST; several make a long list */
#define WIRE_NEWS_MAX   65536 /* bodies of what mm-smtpd sends */
#define WIRE_ASKS_MOST  4096 /* WIRE_ASKs without a WIRE_TOLD at a time */

enum wire_to_smtpd {
	/* JSON {"smtp":{"hostname", "max_connections", "max_per_address", "max_message",
	 * "command_timeout_s", "data_timeout_s", "message_timeout_s", "min_rate", "ask_ms" (how long a WIRE_ASK
	 * may take at most), "policy_log" (records a second; absent: how policies judge is not to be told)},
	 * "certs":[{"chain","key"}], "snapshot":{config_write, since the WIRE_CONFIG before}} */
	WIRE_CONFIG = 1,
	/* Before the WIRE_CONFIG that names the list, or alone: id of an address list, then lines: '+' or '-'
	 * and an entry in its normal form. */
	WIRE_LIST,
	WIRE_LISTENER,       /* u32 number, then the ingress point's id; 1 descriptor */
	WIRE_CLOSE_LISTENER, /* u32 number */
	WIRE_SPOOL_FILE,     /* u64 number, u64 capacity, 32 bytes public key; 1 descriptor */
	WIRE_BIG_FILE,       /* u64 number; 1 descriptor */
	WIRE_END_FILE,       /* end the current spool file */
	WIRE_PAUSE,          /* u8: 1 pause, 0 go on */
	WIRE_MARK,           /* u64, to be sent back when all before it is done */
	WIRE_FLOOR,          /* i64 ms, before the first WIRE_CONFIG: nothing is received earlier */
	WIRE_JUDGED,         /* u8: 1 refuse, 0 accept; 16 bytes id of a message that waits for it; reply text */
	/* To each WIRE_ASK: u64 its number; JSON {"<id>":{...}}, a result (ingest/scan_result.h) for each add-on's
	 * instance; with "connection" true where it holds for the client, whatever its HELO and MAIL FROM. */
	WIRE_TOLD,
	WIRE_STOP,           /* 421 to all, write what was committed, exit 0 */
};

enum wire_to_mmd {
	WIRE_NEED_FILE = 64,
	WIRE_NEED_BIG,
	WIRE_DURABLE, /* u64 file, u64 offset, u64 messages in it */
	WIRE_MARKED,  /* u64 */
	WIRE_FAILED,  /* text: it is going to exit */
	WIRE_ANSWERED, /* to WIRE_JUDGED: u8: 1 it was refused, 0 not (it had its 250, or nobody waits); id */
	WIRE_LOG,     /* how policies judged, see ingest/policy_log.h; only where WIRE_CONFIG asks for it */
	/* What do add-ons say of a client? u64 number; slices (u32 length, bytes): its address or nothing, HELO,
	 * MAIL FROM, then at most POLICY_ADDONS ids of instances. */
	WIRE_ASK,
	WIRE_STATS,   /* u64 connections open, accepted messages, refused ones, denied recipients */
};

#endif
