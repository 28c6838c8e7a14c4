/*
 * ingest/action/lambda.h - InvokeLambda: Invoke (2015-03-31) of a function, or the same payload to a webhook
 *
 * What     The payload is SES's event of a Lambda action,
 *          {"Records":[{"eventSource":"aws:ses","eventVersion":"1.0","ses":{"mail", "receipt"}}]}, at most 256
 *          KiB: header fields beyond that, or 100 KB of them, are cut (`headersTruncated`). It has no body of
 *          the message. X-Amz-Invocation-Type is Event or RequestResponse. A FunctionArn that
 *          `endpoints.lambda.functions` names goes to that webhook, with X-MM-Invocation-Type.
 * Answer   EVENT: a 2xx is done. REQUEST_RESPONSE: of a JSON object the member "disposition", STOP_RULE,
 *          STOP_RULE_SET or CONTINUE, letter for letter. An answer without one is CONTINUE, and so is one that
 *          is something else: a function that says nonsense takes no mail away. A function that failed
 *          (X-Amz-Function-Error) is PAYLOAD_LATER: it is tried again until RetryTimeMinutes are over.
 */
#ifndef MM_INGEST_ACTION_LAMBDA_H
#define MM_INGEST_ACTION_LAMBDA_H

#include "ingest/action/payload.h"

#define LAMBDA_BODY    262144
#define LAMBDA_HEADERS 102400

enum rc lambda_payload(struct payload *p, const struct payload_facts *f, struct err *e);
void lambda_payload_read(struct payload_result *out, const json_t *action, const struct call_result *r);

#endif
