/*
 * ingest/verdict/dkim.h - signatures of a message, checked (RFC 6376, 8301, 8463)
 *
 * What     All DKIM-Signature fields, from the top, at most DKIM_SIGNATURES; those behind, up to DKIM_REPORTED in
 *          all, are reported as DKIM_UNCHECKED. Raw bytes are hashed; the body is read once, whatever is asked for.
 * Strict   rsa-sha1 (RFC 8301), RSA keys under 1024 bits, keys whose h=, s= or t=s forbid the use, expired
 *          signatures (x=), From not signed, a domain of i= outside d=: permerror or fail, each with its reason.
 *          RSA keys above 4096 bits aren't tried (time). Length tags are judged safely: a signature whose l=
 *          leaves bytes of the body unsigned is `partial`, which never makes the verdict a pass.
 * Testing  t=y of a key is reported and changes nothing (section 3.6.1: no better treatment).
 * Time     Two steps, so that a body is read once: dkim_new reads signatures and hashes bodies, dkim_check asks
 *          for keys and verifies. The message may go after dkim_new: what is needed of its header is copied.
 * Owner    The struct dkim owns all texts.
 * Threads  One.
 */
#ifndef MM_INGEST_VERDICT_DKIM_H
#define MM_INGEST_VERDICT_DKIM_H

#include "ingest/verdict/answers.h"
#include "ingest/verdict/raw.h"

#define DKIM_SIGNATURES 10
#define DKIM_REPORTED   20 /* of more, a message has as many as this */

enum dkim_result {
	DKIM_NONE,
	DKIM_PASS,
	DKIM_FAIL,
	DKIM_POLICY,    /* good, but not to be trusted: partial */
	DKIM_NEUTRAL,   /* can't be read (RFC 8601 section 2.7.1) */
	DKIM_TEMPERROR, /* the key couldn't be had now */
	DKIM_PERMERROR, /* no such key, a forbidden algorithm... */
	DKIM_UNCHECKED,
};

struct dkim_signature {
	enum dkim_result result;
	struct slice domain;    /* d=, lower case; empty where it can't be read */
	struct slice selector;  /* s= */
	struct slice identity;  /* i=, or "@" and d= */
	struct slice algorithm; /* a= */
	struct slice start;     /* the first 8 characters of b= (header.b of RFC 6008) */
	unsigned key_bits;      /* 0 until the key is known */
	bool testing;           /* t=y */
	bool partial;           /* l= leaves bytes out */
	char why[160];          /* for people; empty for a pass */
};

struct dkim;

/* Fetches what OpenSSL reads from its configuration; to be called before a sandbox is entered. For ARC, too. */
void dkim_init(void);
/* Never fails: what can't be read is a result. `now_s` judges t= and x=. */
struct dkim *dkim_new(const struct raw_message *m, int64_t now_s);
void dkim_free(struct dkim **d); /* NULL is fine */
/* RC_OK: all results are there; or RC_AGAIN. */
enum rc dkim_check(struct dkim *d, struct answers *a) MUST_USE;
size_t dkim_count(const struct dkim *d);
const struct dkim_signature *dkim_at(const struct dkim *d, size_t i);
/* The best one: PASS when any passes; NONE without signatures. */
enum dkim_result dkim_best(const struct dkim *d);
const char *dkim_word(enum dkim_result r);

#endif
