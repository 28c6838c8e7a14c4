/*
 * ingest/operator.h - the operators that policies and rules share
 *
 * What     Values of a StringExpression or IpExpression with their operator, compiled, and the
 *          question whether any value hits. Negated operators (NOT_EQUALS, NOT_CIDR_MATCHES) hold
 *          when nothing hits; that is for the caller, who may have several readings to ask about.
 * Text     ASCII letters compare without case.
 * Cost     Linear: a value is asked in at most two steps a byte of the text, whatever both are (CONTAINS
 *          by Knuth, Morris and Pratt), so that no sender's text makes a rule slow. Rules, which may have thousands,
 *          look for all that compare the same texts at once (ingest/matcher.h).
 * Owner    The test owns copies of its values.
 * Threads  Any; immutable once made.
 */
#ifndef MM_INGEST_OPERATOR_H
#define MM_INGEST_OPERATOR_H

#include "base/cidr.h"
#include "base/json.h"

enum text_operator { TEXT_EQUALS, TEXT_STARTS_WITH, TEXT_ENDS_WITH, TEXT_CONTAINS };

struct text_test {
	enum text_operator op;
	bool negated;
	struct slice *values; /* in lower case; one block of memory */
	size_t count;
	uint32_t *borders; /* of CONTAINS: for each byte of the values, which lie one behind the other */
};

struct net_test {
	bool negated;
	struct cidr *nets;
	size_t count;
};

/* From an expression object: its Operator and Values. RC_INVALID when they are not in shape. */
enum rc text_test_new(struct text_test *out, const json_t *expression, struct err *e) MUST_USE;
void text_test_free(struct text_test *t);
bool text_test_hits(const struct text_test *t, struct slice text);

enum rc net_test_new(struct net_test *out, const json_t *expression, struct err *e) MUST_USE;
void net_test_free(struct net_test *t);
bool net_test_hits(const struct net_test *t, const struct ip *ip);

#endif
