/*
 * ingest/action/sns.h - PublishToSns: SNS Publish (query protocol, 2010-03-31)
 *
 * What     Message is SES's email-receiving notification:
 *          {"notificationType":"Received","mail":{...},"receipt":{...}} and, with PayloadType CONTENT,
 *          "content": the message, in base64 with Encoding BASE64; with UTF-8 (the default) as text, in which
 *          bytes that are no UTF-8 become U+FFFD. With HEADERS there is no content.
 * Bounds   `mail.headers` has 20 KB (20,480 bytes) with CONTENT, 100 KB with HEADERS; the rest is cut
 *          (`headersTruncated`). A Message has 256 KiB: a message whose CONTENT makes a longer one is refused
 *          for good; with HEADERS more fields are cut.
 */
#ifndef MM_INGEST_ACTION_SNS_H
#define MM_INGEST_ACTION_SNS_H

#include "ingest/action/payload.h"

#define SNS_MESSAGE         262144
#define SNS_CONTENT_HEADERS 20480
#define SNS_HEADERS         102400

enum rc sns_payload(struct payload *p, const struct payload_facts *f, struct err *e);
void sns_payload_read(struct payload_result *out, const json_t *action, const struct call_result *r);

#endif
