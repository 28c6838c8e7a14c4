/*
 * ingest/action/s3.h - WriteToS3: PUT of the message as an object
 *
 * What     The key is S3Prefix and the message id as text, with nothing between. The body is the message: the
 *          caller gives it. With S3SseKmsKeyId the object is encrypted under that key
 *          (x-amz-server-side-encryption: aws:kms), without it as the bucket's default says: so does the
 *          service. The bucket stands in the path where endpoints.s3.path_style is true, else in front of the
 *          endpoint's host. RoleArn isn't used: the endpoint's key is ours.
 * Set up   A prefix with a part "." or "..", which a server or proxy between could take for another bucket's; a
 *          name that is no bucket's.
 */
#ifndef MM_INGEST_ACTION_S3_H
#define MM_INGEST_ACTION_S3_H

#include "ingest/action/payload.h"

enum rc s3_payload(struct payload *p, const struct payload_facts *f, struct err *e);
void s3_payload_read(struct payload_result *out, const json_t *action, const struct call_result *r);

#endif
