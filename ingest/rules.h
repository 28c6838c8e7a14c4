/*
 * ingest/rules.h - rule sets: what is done with a message, for which recipients
 *
 * What     A compiled RuleSet and its run over one message. Rules are judged in order, each for
 *          every recipient (spec section 3.1): a rule applies to a recipient when all Conditions
 *          hold and none of Unless does. Its actions then run in order for those recipients. All
 *          rules are judged; the first match does not end the run.
 * Actions  Drop             takes the recipients out; when none is left, the run ends.
 *          ReplaceRecipient puts the new addresses in their place, for the rule's later actions and
 *                           for later rules. `To:` and the bytes stay.
 *          AddHeader        is seen by later MimeHeaderAttribute conditions of the same recipients
 *                           and never changes bytes.
 *          Archive          one execution for each archive, at its first place; what later rules or
 *                           other recipients add to it is the union of recipients. It fails when
 *                           the archive isn't there or isn't open; with ActionFailurePolicy DROP
 *                           these recipients are then taken out as by Drop.
 *          All others are tasks (docs/outbound.md): an execution each, for the caller to carry out later.
 * Stop     Where `facts.stops` the run ends at a task whose result decides what follows: InvokeLambda with
 *          REQUEST_RESPONSE, or ActionFailurePolicy DROP (outcome.waits). When the result is there, the run is made
 *          again with what is known of this one (struct rule_past): rules that were judged aren't asked
 *          again, so that it comes to the same place whatever has changed since, and goes on behind it. Else
 *          such tasks count as done.
 * Readings A header of addresses can be read in several ways, and a rule must not be escaped by the
 *          choice of one: a positive operator on FROM, SENDER, TO, CC, SUBJECT holds when it holds
 *          for any bare address, any display form or any raw decoded header value; NOT_EQUALS only
 *          when none of them equals any value. A header that is absent has no reading: positive
 *          operators don't hold for it, NOT_EQUALS does. IsInAddressList asks the bare addresses.
 * Text     ASCII letters compare without case, subject and headers too. Matching is linear in the texts
 *          (ingest/operator.h).
 * Verdicts EQUALS holds when one of the values is the verdict, NOT_EQUALS when none is. A verdict that
 *          nobody found out is PROCESSING_FAILED; what DMARC asks for is then unknown: it equals no
 *          value, so that EQUALS doesn't hold and NOT_EQUALS does.
 * Analysis of an add-on's instance: a field is a verdict, a text or a boolean, whatever its scanner says. Where
 *          it says nothing (it is down, or has no such field, or that field is of another kind than the
 *          expression asks for), a VerdictExpression compares PROCESSING_FAILED, and a String- or
 *          BooleanExpression doesn't hold, whatever its operator: nothing is concluded from
 *          nothing, neither that mail is listed nor that it isn't.
 * Limits   LIMIT_RULE_RECIPIENTS addresses in a run, replacements included: more than any rule set
 *          in shape can bring to an envelope of 100.
 * Owner    The rule set owns its texts and a reference to each address list; an outcome borrows
 *          texts of the rule set and of the recipients given: keep both while it is used.
 * Fails    A rule set that compiles always judges; there is no error while running but RC_LIMIT.
 * Threads  Any; a rule set is immutable.
 */
#ifndef MM_INGEST_RULES_H
#define MM_INGEST_RULES_H

#include "base/cidr.h"
#include "base/json.h"
#include "ingest/address_list.h"
#include "ingest/policy.h"

#define LIMIT_RULE_RECIPIENTS 65536

enum rule_field_name { RULE_SUBJECT, RULE_FROM, RULE_SENDER, RULE_TO, RULE_CC, RULE_FIELDS };

struct rule_address {
	struct slice address; /* bare local@domain */
	struct slice display; /* "Name <local@domain>", decoded; may be empty */
};

/* All readings of one header of the message. */
struct rule_field {
	const struct rule_address *addresses; /* none for SUBJECT */
	size_t address_count;
	const struct slice *values; /* each header of that name: unfolded, decoded to UTF-8 */
	size_t value_count;
};

struct rule_header {
	struct slice name;
	struct slice value; /* unfolded, decoded */
};

/* The API's words. 0 is what a facts nobody filled has. */
enum rule_verdict { RULE_PROCESSING_FAILED, RULE_PASS, RULE_FAIL, RULE_GRAY };
/* What the domain of From asks for this message (docs/verdicts.md). */
enum rule_dmarc { RULE_DMARC_UNKNOWN, RULE_DMARC_NONE, RULE_DMARC_QUARANTINE, RULE_DMARC_REJECT };

/* "PROCESSING_FAILED"; "UNKNOWN", "QUARANTINE". Read with case; false for any other word (UNKNOWN is none). */
const char *rule_verdict_word(enum rule_verdict v);
bool rule_verdict_parse(struct slice word, enum rule_verdict *out);
const char *rule_dmarc_word(enum rule_dmarc d);
bool rule_dmarc_parse(struct slice word, enum rule_dmarc *out);

/* What an add-on's instance says in one result field. */
enum rule_result_kind { RULE_RESULT_NONE, RULE_RESULT_VERDICT, RULE_RESULT_TEXT, RULE_RESULT_BOOLEAN };
struct rule_result {
	enum rule_result_kind kind; /* NONE: it says nothing */
	enum rule_verdict verdict;
	struct slice text;
	bool yes;
};

/* Everything a rule can ask about. Slices live for the call. */
struct rule_facts {
	struct slice mail_from; /* empty for <> */
	struct slice helo;
	struct ip peer;
	enum policy_tls tls;
	bool tls_wrapped; /* implicit TLS */
	/* {"cn":["Ann"],"serial":"0A",...} as in the receipt (ingest/client_cert.h); NULL: there is none */
	const json_t *client_cert;
	uint64_t bytes;   /* of the message as received */
	bool read_receipt; /* there is a Disposition-Notification-To */
	struct rule_field fields[RULE_FIELDS];
	const struct rule_header *headers; /* in order; those that begin with "X-" suffice */
	size_t header_count;
	enum rule_verdict spf;
	enum rule_verdict dkim;
	enum rule_dmarc dmarc;
	/* What the add-on's instance of that id says in that field, which comes without "addon." in front. NULL: no
	 * instance says anything. A text lives until the run ends. */
	struct rule_result (*analysis)(const void *arg, struct slice instance, struct slice field);
	const void *analysis_arg;
	/* Can mail be put into the archive of that number? NULL: into every one. */
	bool (*archive_open)(const void *arg, uint32_t archive);
	const void *archive_arg;
	bool stops; /* at tasks whose result decides */
};

enum rule_action_kind {
	RULE_ARCHIVE, RULE_DROP, RULE_ADD_HEADER, RULE_REPLACE_RECIPIENT,
	/* tasks; these numbers are on disk (docs/formats.md, "Outbound queue") */
	RULE_SEND, RULE_RELAY, RULE_MAILBOX, RULE_BOUNCE, RULE_S3, RULE_SNS, RULE_LAMBDA, RULE_QBUSINESS,
	RULE_ACTION_KINDS
};
/* "Archive", "WriteToS3": the member of the API's union. */
const char *rule_action_word(enum rule_action_kind k);
bool rule_action_parse(struct slice word, enum rule_action_kind *out);
bool rule_is_task(enum rule_action_kind k);
/* ActionFailurePolicy; CONTINUE when omitted. */
enum rule_on_failure { RULE_CONTINUE, RULE_DROP_MESSAGE };

/* One action as the rule set says it. */
struct rule_action {
	enum rule_action_kind kind;
	enum rule_on_failure on_failure;
	const char *archive_ref; /* Archive: TargetArchive as stored (an id) */
	uint32_t archive;        /* its number; 0: there is no such archive (any more) */
	const char *header_name; /* AddHeader */
	const char *header_value;
	const char *const *replace_with; /* ReplaceRecipient */
	size_t replace_count;
	const json_t *spec; /* tasks: the action's members as they are stored */
	bool decides; /* a task whose result decides what follows */
};

/* A recipient's fate. The first `envelope_count` ones are the envelope as it was received, in its
 * order; those behind were brought by ReplaceRecipient. */
enum rule_recipient_state { RECIPIENT_LIVE, RECIPIENT_DROPPED, RECIPIENT_REPLACED };
struct rule_recipient {
	struct slice address;
	enum rule_recipient_state state;
	int brought_by; /* index of the execution that brought it, or -1 */
	int ended_by;   /* index of the execution that dropped or replaced it, or -1 */
	bool acted;     /* some rule applied to it or to one that it replaces */
	bool archived;  /* an Archive action whose archive is there covers it or all it replaces */
	bool handed;    /* the same of a task */
};

/* One action carried out (or, for Archive, to be carried out by the caller). */
struct rule_execution {
	unsigned rule; /* index in Rules */
	const char *rule_name; /* "" when it has none */
	unsigned action; /* index in the rule's Actions */
	const struct rule_action *what;
	bool failed; /* Archive: there is no such archive, or it is not open. A task: its result says so */
	bool past;   /* it was carried out in the run that stopped */
	/* Indices into the outcome's recipients, ascending. Of AddHeader also those that replaced one of
	 * them later: the header stands for them too. */
	const uint32_t *recipients;
	size_t recipient_count;
};

/* Whom a rule applied to: indices into the outcome's recipients, ascending. */
struct rule_matched {
	const uint32_t *recipients;
	size_t count;
};

/* What became of an action. */
enum rule_said { RULE_SAID_DONE, RULE_SAID_FAILED, RULE_SAID_STOP_RULE, RULE_SAID_STOP_RULE_SET, RULE_SAIDS };
struct rule_answer {
	unsigned rule;
	unsigned action;
	enum rule_said said;
	const uint32_t *failed; /* FAILED: for these; none: for all */
	size_t failed_count;
};

/* A run that stopped, and why it may go on. The last of `rules` is the one that it stopped in, at `action`, whose
 * answer is among the answers; so are those of all Archive actions. ingest/past.h writes and reads it. */
struct rule_past {
	const struct rule_matched *rules;
	size_t rule_count;
	unsigned action;
	const struct rule_answer *answers;
	size_t answer_count;
};

struct rule_outcome {
	struct rule_recipient *recipients;
	size_t recipient_count;
	size_t envelope_count;
	struct rule_execution *executions;
	size_t execution_count;
	bool unmatched;     /* no rule applied to any recipient */
	size_t live;        /* recipients left at the end: the envelope after all replacements */
	size_t unsettled;   /* of these, not covered by any Archive or task: nothing final happens to them */
	bool waits;         /* it stopped at the last of the executions */
	const struct rule_matched *matched; /* of each rule that was judged */
	size_t matched_count;
	void *memory;       /* private */
};

/* For "explain": every condition judged. */
struct rule_step {
	unsigned rule;
	const char *rule_name;
	struct slice recipient;
	bool unless;   /* the condition stands in Unless */
	int condition; /* its index; -1: the rule as a whole */
	bool held;
	/* What was compared of the message was told ahead of an earlier step of this condition, and isn't again: a
	 * hostile message has many readings, and a rule set asks for each recipient. */
	bool again;
};

/* One thing that a condition looked at; all of them come ahead of the condition's step. */
struct rule_compared {
	const char *what;   /* "address", "MAIL FROM", "DKIM": for people */
	struct slice value; /* as it was compared; of any length and make */
	bool hit;           /* the operator holds for it, but for the NOT in front of some */
	bool own;           /* of this recipient alone: is told for each, also in a step that says `again` */
};

/* An action of a rule, as it is carried out; or a rule that applied to nobody. */
struct rule_deed {
	unsigned rule;
	const char *rule_name;
	unsigned action;                /* 0 where `what` is NULL */
	const struct rule_action *what; /* NULL: the rule applied to nobody */
	bool failed;                    /* as in struct rule_execution */
	const struct rule_recipient *recipients; /* of the run so far, for this call */
	const uint32_t *matched;                 /* whom the action is for, before it changes them */
	size_t matched_count;
};

struct rule_trace {
	void (*step)(void *arg, const struct rule_step *step);
	void *arg;
	void (*compared)(void *arg, const struct rule_compared *c); /* may be NULL */
	void (*deed)(void *arg, const struct rule_deed *d); /* may be NULL */
};

struct rule_set;

/* What a rule set refers to, by name, id or ARN. */
struct rule_lookup {
	address_list_finder *list;
	uint32_t (*archive)(void *arg, struct slice reference); /* its number, or 0 */
	void *arg;
	/* The id of an add-on's instance, or NULL; lives for the call. NULL: there are none. */
	const char *(*analyzer)(void *arg, struct slice reference);
};

/* `json` is a RuleSet in the API's shape (ingest/shape_resources.h checks it first). An address list
 * or an add-on's instance that isn't there: RC_NOTFOUND. An archive that isn't there is no error here (number 0): the
 * action fails when it runs, and its ActionFailurePolicy says what then. */
enum rc rule_set_new(struct rule_set **out, const json_t *json, const struct rule_lookup *look,
		     struct err *e) MUST_USE;
void rule_set_free(struct rule_set **rs);
const char *rule_set_name(const struct rule_set *rs);
const char *rule_set_id(const struct rule_set *rs);
int64_t rule_set_version(const struct rule_set *rs);
size_t rule_set_rules(const struct rule_set *rs);
/* Has it an action that sends mail on to who is in the envelope: Send or Relay? */
bool rule_set_sends(const struct rule_set *rs);
/* Does a condition ask the add-on's instance of that id? */
bool rule_set_asks(const struct rule_set *rs, const char *instance);

/* Judges. `trace` may be NULL; it isn't told of what is past. The same input gives the same outcome. RC_LIMIT
 * leaves *out empty.
 * Free the outcome with rule_outcome_free. */
enum rc rules_run(const struct rule_set *rs, const struct rule_facts *facts,
		  const struct slice *recipients, size_t count, struct rule_outcome *out,
		  const struct rule_trace *trace, struct err *e) MUST_USE;
/* Goes on behind a run that stopped, of the same rule set, recipients and message. RC_CORRUPT: `past` isn't of
 * those. */
enum rc rules_run_on(const struct rule_set *rs, const struct rule_facts *facts,
		     const struct slice *recipients, size_t count, const struct rule_past *past,
		     struct rule_outcome *out, const struct rule_trace *trace, struct err *e) MUST_USE;
void rule_outcome_free(struct rule_outcome *out);

#endif
