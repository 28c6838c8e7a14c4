/*
 * base/limits.h - every limit that a peer, a file or a user runs into, each with its reason
 */
#ifndef MM_BASE_LIMITS_H
#define MM_BASE_LIMITS_H

/* SMTP, RFC 5321 section 4.5.3.1 */
#define LIMIT_SMTP_LINE       2048     /* 512 and the room that SIZE, DSN, SMTPUTF8 and AUTH add */
#define LIMIT_SMTP_AUTH_LINE  12288    /* RFC 4954 section 4 */
#define LIMIT_SMTP_LOCAL_PART 64       /* 4.5.3.1.1 */
#define LIMIT_SMTP_DOMAIN     255      /* 4.5.3.1.2 */
#define LIMIT_SMTP_PATH       256      /* 4.5.3.1.3 */
#define LIMIT_SMTP_RECIPIENTS 100      /* the service's quota; 4.5.3.1.8 asks for at least 100 */
#define LIMIT_SMTP_REPLY_LINE 2048     /* of a server; 4.5.3.1.5 says 512, EHLO's lines grew beyond */
#define LIMIT_SMTP_REPLY_LINES 200     /* in one reply; the longest EHLO of large providers has about 20 */
#define LIMIT_MESSAGE_BYTES   41943040 /* 40 MB with headers, the service's quota */

/* Spool */
#define LIMIT_SPOOL_INLINE 262144 /* larger messages stream into a file of their own */

/* MIME pre-scan: GMime dies or explodes past these */
#define LIMIT_HEADER_BLOCK  1048576
#define LIMIT_HEADERS       10000
#define LIMIT_HEADER        262144
#define LIMIT_ADDRESSES     10240
#define LIMIT_GROUP_DEPTH   16
#define LIMIT_PARTS         10000
#define LIMIT_PART_DEPTH    100
#define LIMIT_INDEXED_TEXT  16777216
#define LIMIT_WORKER_MEMORY 100663296 /* 96 MiB of address space beside its shared memory */

/* Requests over the Unix socket, resources */
#define LIMIT_REQUEST     67108864
#define LIMIT_QUERY_TEXT  65536
#define LIMIT_QUERY_DEPTH 64
#define LIMIT_CONFIG_FILE 67108864

/* HTTP and its signatures */
#define LIMIT_HTTP_HEAD      16384  /* request line and fields together; the SDKs send about 1,200 bytes */
#define LIMIT_HTTP_LINE      8192   /* the request line; RFC 9112 section 3 asks for 8,000 */
#define LIMIT_HTTP_FIELDS    64
#define LIMIT_HTTP_BODY      41943040 /* the file of an import job; a call's body is far shorter */
#define LIMIT_SIGV4_KEY_ID   128    /* AWS's own bound of an access key id */
#define LIMIT_SIGV4_REGION   64
#define LIMIT_SIGV4_NAMES    2048   /* the list of signed headers */
#define LIMIT_SIGV4_PARAMS   64     /* parameters of a query */
#define LIMIT_SIGV4_TEXT     131072 /* a canonical request: escaping makes three bytes of one */

#endif
