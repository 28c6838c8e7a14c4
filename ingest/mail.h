/*
 * ingest/mail.h - what was known of a message when it was received, read back from its JSON
 *
 * The spool's record carries the "receipt" (ingest/meta.h writes it, or an import); the store keeps it
 * with what the rules decided as {"receipt":{...},"archive":{...}}. docs/formats.md, "Meta of a message".
 *
 * Verdicts ("verdicts" of the receipt, docs/verdicts.md) are found out by us, not by the front, which faces the
 * Internet: mail_read takes none from it, and who has found them out puts them in by mail_set_verdicts.
 */
#ifndef MM_INGEST_MAIL_H
#define MM_INGEST_MAIL_H

#include "base/json.h"
#include "ingest/document.h"
#include "ingest/ledger.h"
#include "ingest/rules.h"

struct mail {
	struct message_id id; /* of the archived message */
	int64_t received_ms;
	bool import;          /* no rules: straight into `archive` */
	uint32_t archive;
	uint8_t ledger[LEDGER_KEY];
	struct slice mail_from;
	struct slice helo;
	struct slice ip;
	struct slice ingress;
	struct slice policy;
	int64_t policy_version;
	struct slice rule_set;
	int64_t rule_set_version;
	struct slice odd; /* "a bare LF" */
	enum policy_tls tls;
	bool tls_wrapped;
	bool judge_first; /* its sender waits for the judgement */
	const json_t *client_cert; /* or NULL */
	struct slice *recipients; /* as received; behind them those of ReplaceRecipient (stored mail) */
	size_t recipient_count;
	size_t envelope_count; /* those as received */
	json_t *json; /* what the slices point into */
	json_t *receipt; /* of `json` */
};

/* From the spool's record. `import`: of the import writer's file; only there may a record name its
 * archive. A meta that can't be read, or with more recipients than the gate lets in, is RC_INVALID: the
 * message is archived nowhere without one, so the caller records the failure. */
enum rc mail_read(struct mail *m, const struct message_id *id, int64_t received_ms,
		  struct slice meta, bool import, struct err *e) MUST_USE;
/* From the store's meta. */
enum rc mail_read_stored(struct mail *m, const struct message_id *id, struct slice meta,
			 struct err *e) MUST_USE;
void mail_free(struct mail *m);

/* NULL: nobody looked. Of the mail's JSON. */
const json_t *mail_verdicts(const struct mail *m);
/* Takes the reference over. */
void mail_set_verdicts(struct mail *m, json_t *verdicts);
/* What add-ons' instances said (docs/scanners.md), by their ids; NULL: nobody was asked. Of the mail's JSON. */
const json_t *mail_addons(const struct mail *m);
/* Takes the reference over; those that are there already stay beside them. mail_read takes none from the front. */
void mail_add_addons(struct mail *m, json_t *addons);

/* The envelope part of an index document. */
void mail_envelope(const struct mail *m, struct document_envelope *env);
/* The parts of a rule's facts that come from the envelope, and the verdicts: without them PROCESSING_FAILED, and
 * it isn't known what DMARC asks for. What add-ons said is asked of the mail, which lives as long as the facts. */
void mail_facts(const struct mail *m, struct rule_facts *facts);

#endif
