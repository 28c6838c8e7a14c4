/* ingest/deliver/s3_parts.h - requests to one S3 server; for ingest/deliver/s3*.c alone */
#ifndef MM_INGEST_DELIVER_S3_PARTS_H
#define MM_INGEST_DELIVER_S3_PARTS_H

#include <curl/curl.h>

#include "ingest/deliver/s3.h"

#define S3_ANSWER 65536 /* bytes of an answer that are kept */
#define S3_ETAG   128

struct s3_line {
	CURL *curl;
	struct curl_slist *addresses; /* CURLOPT_RESOLVE: "host:port:address" */
	struct buf ca;
	char *scheme; /* "https" */
	char *host;   /* as in the Host field: with the port where it isn't the scheme's own */
	uint16_t port;
	char *region;
	char *access_key;
	char *secret_key;
	unsigned tries;
	unsigned wait_ms;
	bool (*gone)(void *arg);
	void *arg;
};

struct s3_request {
	const char *method;
	const char *path;  /* escaped */
	const char *query; /* escaped and sorted; "" */
	const char *type;  /* NULL: none */
	struct slice body;
	/* the answer */
	long status;
	char etag[S3_ETAG];
	struct buf answer;
};

/* What the line needs of `config`; host and addresses follow with the name. Before the sandbox. */
enum rc s3_line_open(struct s3_line *l, const json_t *config, struct err *e) MUST_USE;
/* The name that is connected to (of a bucket, or of the server), looked up. */
enum rc s3_line_look_up(struct s3_line *l, const char *name, bool tls, uint16_t port,
			struct err *e) MUST_USE;
void s3_line_close(struct s3_line *l);
/* RC_OK: a 2xx. `r->answer` is initialised here and the caller's to free, also after a failure. */
enum rc s3_line_ask(struct s3_line *l, struct s3_request *r, struct err *e) MUST_USE;
/* The text between <name> and </name>, or an empty slice. */
struct slice s3_element(struct slice xml, const char *name);

#endif
