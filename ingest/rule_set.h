/*
 * ingest/rule_set.h - what rules.c compiles and rules_run.c judges by; for these two alone
 */
#ifndef MM_INGEST_RULE_SET_H
#define MM_INGEST_RULE_SET_H

#include "ingest/matcher.h"
#include "ingest/operator.h"
#include "ingest/rules.h"

enum rule_subject_kind {
	ABOUT_READ_RECEIPT,
	ABOUT_TLS,
	ABOUT_TLS_WRAPPED,
	ABOUT_MAIL_FROM,
	ABOUT_HELO,
	ABOUT_RECIPIENT,
	ABOUT_FIELD,  /* SUBJECT, FROM, SENDER, TO, CC */
	ABOUT_HEADER, /* MimeHeaderAttribute */
	ABOUT_CLIENT_CERT,
	ABOUT_SIZE,
	ABOUT_IP,
	ABOUT_SPF,
	ABOUT_DKIM,
	ABOUT_DMARC,
	ABOUT_ANALYSIS,
	ABOUT_NOTHING,
};

enum number_operator {
	NUMBER_EQUALS,
	NUMBER_NOT_EQUALS,
	NUMBER_LESS,
	NUMBER_GREATER,
	NUMBER_LESS_OR_EQUAL,
	NUMBER_GREATER_OR_EQUAL,
};

/* A condition hits or not; `negated` turns that around. What it is about and the kind of test are
 * apart: an address list may be asked about a field, the recipient or the sender. */
struct rule_condition {
	enum rule_subject_kind about;
	enum rule_field_name field;
	bool negated;
	struct address_list *list; /* IsInAddressList, else `text` */
	struct text_test text;
	struct net_test nets;
	enum number_operator number_op;
	double number;
	char *header;
	const char *attribute; /* ClientCertificateAttribute: the member of rule_facts.client_cert */
	unsigned words; /* Verdict-, DmarcExpression: a bit for each value, of enum rule_verdict or rule_dmarc */
	enum rule_result_kind wants; /* Analysis: the kind that the expression asks for */
	char *analyzer;              /* Analysis: the instance's id */
	char *result_field;          /* Analysis: without "addon." */
	size_t slot; /* of the run's cache; unique in the rule set */
	struct rule_words *words_in; /* CONTAINS: whose matcher has its values; NULL: none has */
	size_t first_word;           /* of them, in that matcher */
};

#define RULE_WORDS_BYTES 1048576 /* of values in one matcher; conditions beyond are asked one by one */

/* All CONTAINS conditions that compare the same texts of a message: those are read once for all of them. */
struct rule_words {
	struct rule_words *next;
	const struct rule_condition *of; /* any of them: it says which texts */
	struct slice *values;            /* while it is made */
	size_t count;
	size_t bytes;
	size_t slot; /* of the run's */
	struct matcher *matcher;
};

struct rule_conditions {
	struct rule_condition *at;
	size_t count;
};

struct rule {
	char *name;
	struct rule_conditions conditions;
	struct rule_conditions unless;
	struct rule_action *actions;
	size_t action_count;
	size_t first_action; /* number of actions in the rules before it */
};

struct rule_set {
	char *name;
	char *id;
	int64_t version;
	struct rule *rules;
	size_t count;
	size_t condition_count; /* of all rules */
	struct rule_words *words;
	size_t words_count;
	size_t action_count;
};

#endif
