/*
 * ingest/shape_resources.h - the shapes of the resources that mmctl apply takes, in the form that is stored
 *
 * Their parts are the model's (ingest/shape_model.h); what is here is the frame of the file and what is
 * ours: of ingress points Listen, TlsWrapped, BareNewlines, AllowOddLocalParts, Status, and names in place
 * of ids. docs/resources.md is the reference for people.
 */
#ifndef MM_INGEST_SHAPE_RESOURCES_H
#define MM_INGEST_SHAPE_RESOURCES_H

#include "ingest/shape_model.h"

extern const struct shape shape_apply_file; /* the whole file */
extern const struct shape shape_apply_archive;
extern const struct shape shape_apply_address_list;
extern const struct shape shape_apply_traffic_policy;
extern const struct shape shape_apply_rule_set;
extern const struct shape shape_apply_ingress_point;
extern const struct shape shape_apply_relay;
extern const struct shape shape_apply_addon_subscription;
extern const struct shape shape_apply_addon_instance;

/* Parts of them */
extern const struct shape shape_ListenAddress, shape_BareNewlines, shape_Addresses;
extern const struct shape shape_apply_archives, shape_apply_address_lists,
        shape_apply_traffic_policies, shape_apply_rule_sets, shape_apply_ingress_points, shape_apply_relays,
        shape_apply_addon_subscriptions, shape_apply_addon_instances;

#endif
