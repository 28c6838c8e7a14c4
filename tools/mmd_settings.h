/*
 * tools/mmd_settings.h - the configuration file of mmd
 *
 * What     Reads the file whole, refuses what it doesn't know and what is of another type, and fills the
 *          options of the parts. Certificates are read here and, on SIGHUP, again; plain logs are opened here.
 * Owner    The options point into the settings, which live as long as what was made by them.
 */
#ifndef MM_TOOLS_MMD_SETTINGS_H
#define MM_TOOLS_MMD_SETTINGS_H

#include "api/engine.h"
#include "api/http_front.h"
#include "api/job_run.h"
#include "ingest/addons.h"
#include "ingest/front.h"

#define MAX_CERTS 16

/* What tls_cert and tls_key of a section name, read together or not at all. */
struct certificates {
	struct tls_cert at[MAX_CERTS]; /* into pem */
	struct buf pem[MAX_CERTS][2];  /* certificate, key */
	size_t count;
};

struct settings {
	json_t *json;
	struct engine_options engine; /* what is not of the file is the caller's */
	struct front_options smtp;
	struct http_front_options api; /* without `listen`: no API */
	struct job_options jobs;       /* without `s3`, which the caller starts */
	struct logs_options logs;
	struct deliver_options s3;     /* without `url`: no exports of the API */
	struct buf s3_secret;
	struct addons addons;
	json_t *dns; /* the section, with block lists of `addons` as its member "lists" */
	char hostname[256]; /* ours, in what is sent */
	char link_url[300];
	struct certificates *certificates;
	struct certificates *api_certificates;
	int sweep_minute;
	int shared_fd; /* of socket.path, bound; -1: none, or taken by the caller */
};

/* `path` may be NULL: all defaults. Binds socket.path, since the sandbox lets mmd do nothing outside its
 * own places later. RC_INVALID names the member. settings_free follows in any case. */
enum rc settings_read(struct settings *s, const char *path, struct err *e) MUST_USE;
void settings_free(struct settings *s);

/* Of the section "smtp" or "api". */
enum rc settings_read_certs(const json_t *config, const char *section, struct certificates **out,
			    struct err *e) MUST_USE;
void certificates_free(struct certificates **c);
/* For that section from now on; returns those that were used until now. */
struct certificates *settings_use_certs(struct settings *s, const char *section,
					struct certificates *c);
/* File i of a member that is one path or an array of them; NULL when there is none. */
const char *settings_pem(const json_t *section, const char *member, size_t i);
const char *settings_anchor(const struct settings *s); /* NULL: none */
/* The path of a log that is a plain file; NULL: it is none. */
const char *settings_log(const struct settings *s, enum log_name name);

#endif
