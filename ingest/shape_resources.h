/*
 * ingest/shape_resources.h - the shapes of the resources that mmctl apply takes
 *
 * From the service model (spec appendices A to C), with what is ours: Retention.RetentionDays, and
 * of ingress points Listen, TlsWrapped, BareNewlines, AllowOddLocalParts, Status. docs/resources.md
 * is the reference for people.
 */
#ifndef MM_INGEST_SHAPE_RESOURCES_H
#define MM_INGEST_SHAPE_RESOURCES_H

#include "ingest/shape.h"

extern const struct shape shape_apply_file; /* the whole file */
extern const struct shape shape_archive;
extern const struct shape shape_address_list;
extern const struct shape shape_traffic_policy;
extern const struct shape shape_rule_set;
extern const struct shape shape_ingress_point;
extern const struct shape shape_smtp_password;

#endif
