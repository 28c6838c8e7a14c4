/*
 * tests/unit/smtp/test_client.c - conversations of the client with a server that the test plays
 *
 * A talk is lines of a word and its text:
 *   S text      the server sends the line; S-lines that follow each other are one write: the
 * client's output isn't taken before the next C or B R text      the same without CRLF C text the
 * client's next line;  B text  the client's next bytes (a body) send NAME   a mail of mails[]: now,
 * or within the next ops.ready quit, tls, lost ENHANCED TEXT, phase NAME ready, starttls, result
 * END CODE ENHANCED TEXT (one for each recipient), closed, closed END CODE ENHANCED TEXT the next
 * op; all of them are asked for In S, R, B: \r \n \0 \xHH. Each talk is held with both sides' bytes
 * in pieces of several sizes, and with the server's stream cut in two at each of its bytes.
 */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/limits.h"
#include "smtp/client.h"

#define BODY  "Subject: x\r\n\r\nhello\r\n"
#define EHLO  "S 220 mx.test ESMTP\nC EHLO me.test\n"
#define PLAIN EHLO "S 250 mx.test\nready\n" /* nothing is offered */
#define PIPED EHLO "S 250-mx.test\nS 250 PIPELINING\nready\n"
#define QUIT  "quit\nC QUIT\nS 221 bye\nclosed\n"

struct test_mail {
	const char *name;
	struct smtp_client_mail m;
};

static const struct smtp_client_rcpt ann[] = { { "ann@a.test", NULL, NULL } };
static const struct smtp_client_rcpt three[] = { { "ann@a.test", NULL, NULL },
	                                         { "bob@a.test", NULL, NULL },
	                                         { "cem@a.test", NULL, NULL } };
static const struct smtp_client_rcpt dsn[] = {
	{ "ann@a.test", "SUCCESS,DELAY", "rfc822;a+b=c@a.test" },
	{ "bob@a.test", "NEVER\r\nRSET", "rfc822;x\r\ny@a.test" },
	{ "cem@a.test", NULL, "utf-8;j\xc3\xbcrg\\x{2B}@a.test" },
	{ "dan@a.test", NULL, "no type" },
};
static const struct smtp_client_rcpt mixed[] = { { "j\xc3\xbcrg@a.test", NULL, NULL },
	                                         { "bob@a.test", NULL, NULL } };
static const struct smtp_client_rcpt broken[] = { { "ann@a.test>\r\nDATA", NULL, NULL },
	                                          { "postmaster", NULL, NULL },
	                                          { "<ann@a.test>", NULL, NULL } };

#define MAIL(rcpts_, text)                                                                         \
	.mail_from = "from@b.test", .rcpts = rcpts_, .count = COUNT(rcpts_),                       \
	.message = { (const uint8_t *)(text), sizeof(text) - 1 }

static const struct test_mail mails[] = {
	{ "one", { MAIL(ann, BODY) } },
	{ "three", { MAIL(three, BODY) } },
	{ "null",
	  { .mail_from = "", .rcpts = ann, .count = 1, .message = { (const uint8_t *)BODY, 21 } } },
	{ "dots", { MAIL(ann, ".\r\n..\r\n.x\r\na.\r\n.\r\n") } },
	{ "short", { MAIL(ann, "a\r\n.b") } },
	{ "empty", { MAIL(ann, "") } },
	{ "bare", { MAIL(ann, "a\n.\nb\r.\rc\r\n.\r\r\n\n\r\n.\n\r") } },
	{ "eight", { MAIL(ann, "a: b\r\n\r\n\xc3\xbc\r\n"), .eight_bit = true } },
	{ "utf8", { MAIL(ann, "a: \xc3\xbc\r\n\r\nb\r\n"), .eight_bit = true, .smtputf8 = true } },
	{ "utf8-body",
	  { MAIL(ann, "a: b\r\n\r\n\xc3\xbc\r\n"), .eight_bit = true, .smtputf8 = true } },
	{ "utf8-ascii", { MAIL(ann, BODY), .smtputf8 = true } },
	{ "mixed", { MAIL(mixed, BODY) } },
	{ "from-utf8", { .mail_from = "\xc3\xbc@b.test", .rcpts = ann, .count = 1 } },
	{ "from-broken", { .mail_from = "a@b.test> SIZE=1", .rcpts = ann, .count = 1 } },
	{ "broken", { MAIL(broken, BODY) } },
	{ "dsn", { MAIL(dsn, BODY), .ret = "hdrs", .envid = "a b+c" } },
	{ "dsn-utf8", { MAIL(dsn, BODY), .ret = "x", .envid = "", .smtputf8 = true } },
};

struct talk {
	const char *name;
	struct smtp_client_config config;
	const char *text;
};

/* --- the talks --- */

static const struct talk talks[] = {
	{ "one message, nothing offered",
	  { 0 },
	  PLAIN "send one\nphase envelope\nC MAIL FROM:<from@b.test>\nS 250 ok\nC RCPT "
	        "TO:<ann@a.test>\nS 250 ok\n"
	        "C DATA\nS 354 go\nB Subject: x\\r\\n\\r\\nhello\\r\\n.\\r\\n\nphase end\nS 250 "
	        "2.6.0 queued as 7\n"
	        "result done 250 2.6.0 queued as 7\nready\nphase ready\n" QUIT },
	{ "pipelined, three messages over one connection, no RSET between",
	  { 0 },
	  PIPED "send one\nsend null\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS "
	        "250 ok\nS 250 ok\nS 354 go\n"
	        "B Subject: x\\r\\n\\r\\nhello\\r\\n.\\r\\n\nS 250 first\nresult done 250 2.0.0 "
	        "first\nready\n"
	        "C MAIL FROM:<>\nC RCPT TO:<ann@a.test>\nC DATA\nS 250 ok\nS 250 ok\nS 354 go\n"
	        "B Subject: x\\r\\n\\r\\nhello\\r\\n.\\r\\n\nS 250 second\nresult done 250 2.0.0 "
	        "second\nready\n"
	        "send empty\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS 250 "
	        "ok\nS 250 ok\nS 354 go\n"
	        "B .\\r\\n\nS 250\nresult done 250 2.0.0 \nready\n" QUIT },
	{ "some recipients are refused, the rest is delivered",
	  { 0 },
	  PIPED "send three\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC RCPT "
	        "TO:<bob@a.test>\nC RCPT TO:<cem@a.test>\n"
	        "C DATA\nS 250 ok\nS 550-5.1.1 no\nS 550 5.1.1 such user\nS 250 ok\nS 452 4.2.2 "
	        "full\nS 354 go\n"
	        "B Subject: x\\r\\n\\r\\nhello\\r\\n.\\r\\n\nS 250 2.0.0 ok\nresult never 550 "
	        "5.1.1 no such user\n"
	        "result done 250 2.0.0 ok\nresult later 452 4.2.2 full\nready\n" QUIT },
	{ "all refused, no pipelining: DATA isn't said; RSET is, before the next",
	  { 0 },
	  PLAIN "send one\nC MAIL FROM:<from@b.test>\nS 250 ok\nC RCPT TO:<ann@a.test>\nS 550 no\n"
	        "result never 550 5.0.0 no\nready\nsend one\nC RSET\nS 250 ok\nC MAIL "
	        "FROM:<from@b.test>\nS 451 wait\n"
	        "result later 451 4.0.0 wait\nready\nsend one\nC MAIL FROM:<from@b.test>\nS 550 "
	        "5.7.1 no\n"
	        "result never 550 5.7.1 no\nready\n" QUIT },
	{ "all refused, pipelined: DATA is refused too",
	  { 0 },
	  PIPED "send one\nsend one\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS "
	        "250 ok\nS 450 4.2.0 grey\n"
	        "S 554 5.5.1 no recipients\nresult later 450 4.2.0 grey\nready\nC RSET\nC MAIL "
	        "FROM:<from@b.test>\n"
	        "C RCPT TO:<ann@a.test>\nC DATA\nS 250 reset\nS 552 5.2.3 big\nS 503 no\nS 503 no\n"
	        "result never 552 5.2.3 big\nready\n" QUIT },
	{ "all refused, pipelined, and 354 all the same: an empty body",
	  { 0 },
	  PIPED "send one\nsend one\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS "
	        "250 ok\nS 550 no\nS 354 go\n"
	        "B .\\r\\n\nS 250 accepted nothing\nresult never 550 5.0.0 no\nready\n"
	        "C MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS 550 no\nS 250 ok\nS "
	        "354 go\n"
	        "B .\\r\\n\nS 554 no\nresult never 550 5.0.0 no\nready\n" QUIT },
	{ "DATA is refused, then the message",
	  { 0 },
	  PIPED "send one\nsend one\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS "
	        "250 ok\nS 250 ok\n"
	        "S 451 4.3.0 no disk\nresult later 451 4.3.0 no disk\nready\nC RSET\nC MAIL "
	        "FROM:<from@b.test>\n"
	        "C RCPT TO:<ann@a.test>\nC DATA\nS 250 ok\nS 250 ok\nS 250 ok\nS 354 go\n"
	        "B Subject: x\\r\\n\\r\\nhello\\r\\n.\\r\\n\nS 554 5.7.1 spam\nresult never 554 "
	        "5.7.1 spam\nready\n" QUIT },
	{ "too many recipients is passing, a full mailbox isn't",
	  { 0 },
	  PIPED "send three\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC RCPT "
	        "TO:<bob@a.test>\nC RCPT TO:<cem@a.test>\n"
	        "C DATA\nS 250 ok\nS 552 5.2.2 full\nS 552 5.5.3 too many\nS 552 hm\nS 503 "
	        "no\nresult never 552 5.2.2 full\n"
	        "result later 552 5.5.3 too many\nresult never 552 5.0.0 hm\nready\n" QUIT },
	{ "dots",
	  { 0 },
	  PIPED "send dots\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS 250 ok\nS "
	        "250 ok\nS 354 go\n"
	        "B ..\\r\\n...\\r\\n..x\\r\\na.\\r\\n..\\r\\n.\\r\\n\nS 250 ok\nresult done 250 "
	        "2.0.0 ok\nready\n"
	        "send short\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS 250 "
	        "ok\nS 250 ok\nS 354 go\n"
	        "B a\\r\\n..b\\r\\n.\\r\\n\nS 250 ok\nresult done 250 2.0.0 ok\nready\n" QUIT },
	{ "bare CR and LF don't leave",
	  { 0 },
	  PIPED "send bare\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS 250 ok\nS "
	        "250 ok\nS 354 go\n"
	        "B a\\r\\n..\\r\\nb . c\\r\\n.. \\r\\n\\r\\n\\r\\n..\\r\\n \\r\\n.\\r\\n\nS 250 "
	        "ok\nresult done 250 2.0.0 ok\nready\n" QUIT },
	{ "SIZE: said as it goes out, and too big isn't sent",
	  { 0 },
	  EHLO
	  "S 250-x\nS 250 SIZE 22\nready\nsend one\nC MAIL FROM:<from@b.test> SIZE=21\nS 550 no\n"
	  "result never 550 5.0.0 no\nready\nsend short\nC MAIL FROM:<from@b.test> SIZE=7\nS 550 "
	  "no\n"
	  "result never 550 5.0.0 no\nready\nsend bare\n"
	  "result never 0 5.3.4 the message has 27 bytes and the server takes 22\nready\n" QUIT },
	{ "SIZE without a limit",
	  { 0 },
	  EHLO
	  "S 250-x\nS 250-SIZE 99999999999999999999999\nS 250 size 0\nready\nsend one\n"
	  "C MAIL FROM:<from@b.test> SIZE=21\nS 550 no\nresult never 550 5.0.0 no\nready\n" QUIT },
	{ "8BITMIME",
	  { 0 },
	  EHLO "S 250-x\nS 250 8bitmime\nready\nsend eight\nC MAIL FROM:<from@b.test> "
	       "BODY=8BITMIME\nS 550 no\n"
	       "result never 550 5.0.0 no\nready\nsend utf8-body\nC MAIL FROM:<from@b.test> "
	       "BODY=8BITMIME\nS 550 no\n"
	       "result never 550 5.0.0 no\nready\nsend utf8\n"
	       "result never 0 5.6.9 the message's header is UTF-8 and the server does not take "
	       "it\nready\n"
	       "send utf8-ascii\nC MAIL FROM:<from@b.test>\nS 550 no\nresult never 550 5.0.0 "
	       "no\nready\n" QUIT },
	{ "no 8BITMIME",
	  { 0 },
	  PLAIN "send eight\nresult never 0 5.6.1 the message has 8-bit content and the server "
	        "does not take it\nready\n" QUIT },
	{ "no SMTPUTF8: only the recipient that needs it is refused",
	  { 0 },
	  PIPED
	  "send mixed\nC MAIL FROM:<from@b.test>\nC RCPT TO:<bob@a.test>\nC DATA\nS 250 ok\nS 250 "
	  "ok\nS 354 go\n"
	  "B Subject: x\\r\\n\\r\\nhello\\r\\n.\\r\\n\nS 250 ok\n"
	  "result never 0 5.6.7 the recipient's address is UTF-8 and the server does not take it\n"
	  "result done 250 2.0.0 ok\nready\nsend from-utf8\n"
	  "result never 0 5.6.7 the sender's address is UTF-8 and the server does not take "
	  "it\nready\n" QUIT },
	{ "SMTPUTF8",
	  { 0 },
	  EHLO "S 250-x\nS 250-8BITMIME\nS 250 SMTPUTF8\nready\nsend utf8-ascii\nC MAIL "
	       "FROM:<from@b.test> SMTPUTF8\nS 550 no\n"
	       "result never 550 5.0.0 no\nready\nsend mixed\nC MAIL FROM:<from@b.test> "
	       "SMTPUTF8\nS 250 ok\n"
	       "C RCPT TO:<j\xc3\xbcrg@a.test>\nS 550 no\nC RCPT TO:<bob@a.test>\nS 550 no\nresult "
	       "never 550 5.0.0 no\n"
	       "result never 550 5.0.0 no\nready\nsend utf8\nC RSET\nS 250 ok\n"
	       "C MAIL FROM:<from@b.test> BODY=8BITMIME SMTPUTF8\nS 450 no\nresult later 450 4.0.0 "
	       "no\nready\n" QUIT },
	{ "DSN, xtext, and what would break a line is left out",
	  { 0 },
	  EHLO
	  "S 250-x\nS 250-PIPELINING\nS 250 DSN\nready\nsend dsn\nC MAIL FROM:<from@b.test> "
	  "RET=HDRS ENVID=a+20b+2Bc\n"
	  "C RCPT TO:<ann@a.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb+3Dc@a.test\n"
	  "C RCPT TO:<bob@a.test> ORCPT=rfc822;x+0D+0Ay@a.test\n"
	  "C RCPT TO:<cem@a.test> ORCPT=utf-8;j\\x{FC}rg\\x{2B}@a.test\nC RCPT TO:<dan@a.test>\nC "
	  "DATA\n"
	  "S 550 no\nS 503 no\nS 503 no\nS 503 no\nS 503 no\nS 503 no\nresult never 550 5.0.0 no\n"
	  "result never 550 5.0.0 no\nresult never 550 5.0.0 no\nresult never 550 5.0.0 "
	  "no\nready\n" QUIT },
	{ "ORCPT in UTF-8",
	  { 0 },
	  EHLO "S 250-x\nS 250-PIPELINING\nS 250-SMTPUTF8\nS 250 DSN\nready\nsend dsn-utf8\n"
	       "C MAIL FROM:<from@b.test> SMTPUTF8\n"
	       "C RCPT TO:<ann@a.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb+3Dc@a.test\n"
	       "C RCPT TO:<bob@a.test> ORCPT=rfc822;x+0D+0Ay@a.test\n"
	       "C RCPT TO:<cem@a.test> ORCPT=utf-8;j\xc3\xbcrg\\x{2B}@a.test\nC RCPT "
	       "TO:<dan@a.test>\nC DATA\n"
	       "lost 4.4.2 gone\nresult later 0 4.4.2 gone\nresult later 0 4.4.2 gone\nresult "
	       "later 0 4.4.2 gone\n"
	       "result later 0 4.4.2 gone\nclosed later 0 4.4.2 gone\n" },
	{ "addresses that would break a line",
	  { 0 },
	  PIPED
	  "send from-broken\nresult never 0 5.1.7 the sender's address is not valid\nready\nsend "
	  "broken\n"
	  "C MAIL FROM:<from@b.test>\nC RCPT TO:<postmaster>\nC DATA\nS 250 ok\nS 550 no\nS 554 "
	  "no\n"
	  "result never 0 5.1.3 the recipient's address is not valid\nresult never 550 5.0.0 no\n"
	  "result never 0 5.1.3 the recipient's address is not valid\nready\n" QUIT },

	{ "a greeting of several lines",
	  { 0 },
	  "S 220-mx.test ESMTP\nS 220-no spam\nS 220 please\nC EHLO me.test\nS 250 "
	  "mx\nready\n" QUIT },
	{ "HELO", { 0 }, EHLO "S 502 5.5.1 what\nC HELO me.test\nS 250 mx\nready\n" QUIT },
	{ "HELO offers nothing",
	  { 0 },
	  EHLO "S 500 what\nC HELO me.test\nS 250-mx\nS 250 PIPELINING\nready\nsend one\nC MAIL "
	       "FROM:<from@b.test>\n"
	       "lost 4.4.2 gone\nresult later 0 4.4.2 gone\nclosed later 0 4.4.2 gone\n" },
	{ "HELO is refused",
	  { 0 },
	  EHLO
	  "S 550 5.7.1 no\nC HELO me.test\nS 550 5.7.1 no\nclosed later 550 5.7.1 no\nC QUIT\n" },
	{ "EHLO is passingly refused",
	  { 0 },
	  EHLO "S 450 4.7.1 who\nclosed later 450 4.7.1 who\nC QUIT\n" },
	{ "554 is the greeting",
	  { 0 },
	  "S 554 5.7.1 you are listed\nclosed later 554 5.7.1 you are listed\nC QUIT\n" },
	{ "521 is the greeting",
	  { 0 },
	  "S 521 no mail here\nclosed never 521 5.0.0 no mail here\nC QUIT\n" },
	{ "450 is the greeting", { 0 }, "S 450 busy\nclosed later 450 4.0.0 busy\nC QUIT\n" },
	{ "421 is the greeting",
	  { 0 },
	  "S 421-4.3.2 going\nS 421 4.3.2 down\nclosed later 421 4.3.2 going down\n" },
	{ "354 is the greeting",
	  { 0 },
	  "S 354 go\nclosed later 0 4.5.0 the server's greeting has a code of 3xx\n" },

	{ "STARTTLS where it is offered, and EHLO again",
	  { .tls = SMTP_CLIENT_TLS_MAY },
	  EHLO
	  "S 250-mx\nS 250-PIPELINING\nS 250 STARTTLS\nC STARTTLS\nphase starttls\nS 220 "
	  "go\nstarttls\nphase tls\ntls\n"
	  "C EHLO me.test\nS 250-mx\nS 250 SIZE 10\nready\nsend one\n"
	  "result never 0 5.3.4 the message has 21 bytes and the server takes 10\nready\n" QUIT },
	{ "what was offered in the clear isn't remembered",
	  { .tls = SMTP_CLIENT_TLS_MAY },
	  EHLO "S 250-mx\nS 250-PIPELINING\nS 250-SIZE 5\nS 250 STARTTLS\nC STARTTLS\nS 220 "
	       "go\nstarttls\ntls\n"
	       "C EHLO me.test\nS 502 no\nC HELO me.test\nS 250 mx\nready\nsend one\nC MAIL "
	       "FROM:<from@b.test>\nS 550 no\n"
	       "result never 550 5.0.0 no\nready\n" QUIT },
	{ "STARTTLS isn't said where it isn't wanted",
	  { 0 },
	  EHLO "S 250-mx\nS 250 STARTTLS\nready\n" QUIT },
	{ "STARTTLS isn't offered", { .tls = SMTP_CLIENT_TLS_MAY }, PLAIN QUIT },
	{ "STARTTLS is refused: on in the clear",
	  { .tls = SMTP_CLIENT_TLS_MAY },
	  EHLO "S 250-mx\nS 250 STARTTLS\nC STARTTLS\nS 454 4.7.0 no\nready\n" QUIT },
	{ "STARTTLS must be, and isn't offered",
	  { .tls = SMTP_CLIENT_TLS_MUST },
	  EHLO "S 250 mx\nclosed setup 0 5.7.10 TLS is required and the server does not offer "
	       "it\nC QUIT\n" },
	{ "STARTTLS must be, and isn't known by HELO's server",
	  { .tls = SMTP_CLIENT_TLS_MUST },
	  EHLO "S 500 what\nC HELO me.test\nS 250-mx\nS 250 STARTTLS\n"
	       "closed setup 0 5.7.10 TLS is required and the server does not offer it\nC QUIT\n" },
	{ "STARTTLS must be, and is passingly refused",
	  { .tls = SMTP_CLIENT_TLS_MUST },
	  EHLO "S 250-mx\nS 250 STARTTLS\nC STARTTLS\nS 454 4.7.0 later\nclosed later 454 4.7.0 "
	       "later\nC QUIT\n" },
	{ "STARTTLS must be, and is refused",
	  { .tls = SMTP_CLIENT_TLS_MUST },
	  EHLO
	  "S 250-mx\nS 250 STARTTLS\nC STARTTLS\nS 502 no\nclosed setup 502 5.0.0 no\nC QUIT\n" },
	{ "injection: a reply in the clear behind 220 to STARTTLS",
	  { .tls = SMTP_CLIENT_TLS_MUST },
	  EHLO "S 250-mx\nS 250 STARTTLS\nC STARTTLS\nS 220 go\nR 250 injected\\r\\n\n"
	       "closed? later 0 4.5.0 the server sent something in the clear behind STARTTLS\n" },
	{ "the handshake fails",
	  { .tls = SMTP_CLIENT_TLS_MUST },
	  EHLO
	  "S 250-mx\nS 250 STARTTLS\nC STARTTLS\nS 220 go\nstarttls\nlost 4.7.5 bad certificate\n"
	  "closed later 0 4.7.5 bad certificate\n" },
	{ "implicit TLS isn't started twice",
	  { .tls = SMTP_CLIENT_TLS_ON },
	  EHLO "S 250-mx\nS 250 STARTTLS\nready\n" QUIT },

	{ "AUTH PLAIN",
	  { .tls = SMTP_CLIENT_TLS_ON, .user = "tim", .password = "tanstaaftanstaaf" },
	  EHLO "S 250-mx\nS 250 AUTH CRAM-MD5 login PLAIN\nC AUTH PLAIN "
	       "AHRpbQB0YW5zdGFhZnRhbnN0YWFm\nphase auth\n"
	       "S 235 2.7.0 ok\nready\n" QUIT },
	{ "AUTH LOGIN, of an old server",
	  { .tls = SMTP_CLIENT_TLS_ON, .user = "tim", .password = "tanstaaftanstaaf" },
	  EHLO "S 250-mx\nS 250 AUTH=LOGIN\nC AUTH LOGIN\nS 334 VXNlcm5hbWU6\nC dGlt\nS 334 x\nC "
	       "dGFuc3RhYWZ0YW5zdGFhZg==\n"
	       "S 235 ok\nready\n" QUIT },
	{ "credentials don't go out in the clear",
	  { .tls = SMTP_CLIENT_TLS_MAY, .user = "tim", .password = "x" },
	  EHLO "S 250-mx\nS 250 AUTH PLAIN\nclosed setup 0 5.7.11 credentials are not sent without "
	       "TLS\nC QUIT\n" },
	{ "but where the owner says so",
	  { .user = "tim", .password = "x", .auth_clear = true },
	  EHLO "S 250-mx\nS 250 AUTH PLAIN\nC AUTH PLAIN AHRpbQB4\nS 235 ok\nready\n" QUIT },
	{ "AUTH isn't remembered from before STARTTLS",
	  { .tls = SMTP_CLIENT_TLS_MAY, .user = "tim", .password = "x" },
	  EHLO "S 250-mx\nS 250-AUTH PLAIN\nS 250 STARTTLS\nC STARTTLS\nS 220 go\nstarttls\ntls\nC "
	       "EHLO me.test\n"
	       "S 250 mx\nclosed setup 0 5.7.4 the server offers neither AUTH PLAIN nor AUTH "
	       "LOGIN\nC QUIT\n" },
	{ "credentials are refused",
	  { .tls = SMTP_CLIENT_TLS_ON, .user = "tim", .password = "x" },
	  EHLO "S 250-mx\nS 250 AUTH PLAIN\nC AUTH PLAIN AHRpbQB4\nS 535 5.7.8 no\nclosed setup "
	       "535 5.7.8 no\nC QUIT\n" },
	{ "credentials can't be checked now",
	  { .tls = SMTP_CLIENT_TLS_ON, .user = "tim", .password = "x" },
	  EHLO "S 250-mx\nS 250 AUTH PLAIN\nC AUTH PLAIN AHRpbQB4\nS 454 4.7.0 busy\nclosed later "
	       "454 4.7.0 busy\nC QUIT\n" },
	{ "AUTH never ends",
	  { .tls = SMTP_CLIENT_TLS_ON, .user = "tim", .password = "x" },
	  EHLO
	  "S 250-mx\nS 250 AUTH LOGIN\nC AUTH LOGIN\nS 334 a\nC dGlt\nS 334 b\nC eA==\nS 334 c\n"
	  "closed later 0 4.5.0 the server asks for more than AUTH has to say\n" },
	{ "AUTH is granted before the password",
	  { .tls = SMTP_CLIENT_TLS_ON, .user = "tim", .password = "x" },
	  EHLO "S 250-mx\nS 250 AUTH LOGIN\nC AUTH LOGIN\nS 235 ok\n"
	       "closed later 0 4.5.0 the server's reply to AUTH makes no sense\n" },
	{ "an empty password",
	  { .tls = SMTP_CLIENT_TLS_ON, .user = "tim" },
	  EHLO "S 250-mx\nS 250 AUTH PLAIN\nclosed setup 0 5.7.8 user and password must have 1 to "
	       "255 bytes\nC QUIT\n" },
	{ "a relay wants what isn't set up",
	  { 0 },
	  PLAIN "send one\nC MAIL FROM:<from@b.test>\nS 530 5.7.0 authenticate\nresult setup 530 "
	        "5.7.0 authenticate\nready\n" QUIT },

	{ "LMTP: a reply for each recipient",
	  { .lmtp = true },
	  "S 220 lmtp\nC LHLO me.test\nS 250-x\nS 250 PIPELINING\nready\nsend three\nC MAIL "
	  "FROM:<from@b.test>\n"
	  "C RCPT TO:<ann@a.test>\nC RCPT TO:<bob@a.test>\nC RCPT TO:<cem@a.test>\nC DATA\nS 250 "
	  "ok\nS 250 ok\nS 550 5.1.1 no\n"
	  "S 250 ok\nS 354 go\nB Subject: x\\r\\n\\r\\nhello\\r\\n.\\r\\n\nS 250 2.0.0 saved\nS "
	  "452 4.2.2 full\n"
	  "result done 250 2.0.0 saved\nresult never 550 5.1.1 no\nresult later 452 4.2.2 "
	  "full\nready\n" QUIT },
	{ "LMTP: lost between the replies",
	  { .lmtp = true },
	  "S 220 lmtp\nC LHLO me.test\nS 250-x\nS 250 PIPELINING\nready\nsend three\nC MAIL "
	  "FROM:<from@b.test>\n"
	  "C RCPT TO:<ann@a.test>\nC RCPT TO:<bob@a.test>\nC RCPT TO:<cem@a.test>\nC DATA\nS 250 "
	  "ok\nS 250 ok\nS 250 ok\n"
	  "S 250 ok\nS 354 go\nB Subject: x\\r\\n\\r\\nhello\\r\\n.\\r\\n\nS 250 2.0.0 saved\nlost "
	  "4.4.2 gone\n"
	  "result done 250 2.0.0 saved\n"
	  "result later 0 4.4.2 gone; the message was sent to its end and may have been taken\n"
	  "result later 0 4.4.2 gone; the message was sent to its end and may have been taken\n"
	  "closed later 0 4.4.2 gone; the message was sent to its end and may have been taken\n" },
	{ "LMTP: 354 for nobody",
	  { .lmtp = true },
	  "S 220 lmtp\nC LHLO me.test\nS 250-x\nS 250 PIPELINING\nready\nsend one\nC MAIL "
	  "FROM:<from@b.test>\n"
	  "C RCPT TO:<ann@a.test>\nC DATA\nS 250 ok\nS 550 no\nS 354 go\nresult never 550 5.0.0 "
	  "no\n"
	  "closed later 0 4.5.0 the server wants a message for no recipient\n" },
	{ "no LMTP",
	  { .lmtp = true },
	  "S 220 smtp\nC LHLO me.test\nS 500 what\nclosed setup 0 5.5.1 the server does not speak "
	  "LMTP\nC QUIT\n" },

	{ "lost before the end: sent again without harm",
	  { 0 },
	  PIPED "send three\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC RCPT "
	        "TO:<bob@a.test>\nC RCPT TO:<cem@a.test>\n"
	        "C DATA\nS 250 ok\nS 250 ok\nS 550 no\nlost 4.4.2 gone\nresult later 0 4.4.2 "
	        "gone\nresult never 550 5.0.0 no\n"
	        "result later 0 4.4.2 gone\nclosed later 0 4.4.2 gone\n" },
	{ "lost between the dot and its reply: maybe twice",
	  { 0 },
	  PIPED
	  "send one\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS 250 ok\nS 250 "
	  "ok\nS 354 go\n"
	  "B Subject: x\\r\\n\\r\\nhello\\r\\n.\\r\\n\nlost 4.4.2 gone\n"
	  "result later 0 4.4.2 gone; the message was sent to its end and may have been taken\n"
	  "closed later 0 4.4.2 gone; the message was sent to its end and may have been taken\n" },
	{ "421 for the message, and nothing more",
	  { 0 },
	  PIPED "send one\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS 250 ok\nS "
	        "250 ok\nS 354 go\n"
	        "B Subject: x\\r\\n\\r\\nhello\\r\\n.\\r\\n\nS 421 4.3.2 down\nresult later 421 "
	        "4.3.2 down\n"
	        "closed later 421 4.3.2 down\n" },
	{ "421 in the envelope",
	  { 0 },
	  PIPED "send three\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC RCPT "
	        "TO:<bob@a.test>\nC RCPT TO:<cem@a.test>\n"
	        "C DATA\nS 250 ok\nS 550 no\nS 421 down\nresult never 550 5.0.0 no\nresult later "
	        "421 4.0.0 down\n"
	        "result later 421 4.0.0 down\nclosed later 421 4.0.0 down\n" },
	{ "421 while nothing goes on",
	  { 0 },
	  PLAIN "S 421 4.4.2 idle\nclosed later 421 4.4.2 idle\n" },
	{ "552 inside the body",
	  { 0 },
	  PIPED "send one\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS 250 ok\nS "
	        "250 ok\nS 354 go\n"
	        "S 552 5.3.4 big\nresult never 552 5.3.4 big\nclosed never 552 5.3.4 big\n" },
	{ "250 before the final dot is no success",
	  { 0 },
	  PIPED "send one\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS 250 ok\nS "
	        "250 ok\nS 354 go\nS 250 ok\n"
	        "result later 0 4.5.0 the server replied before the end of the message\n"
	        "closed later 0 4.5.0 the server replied before the end of the message\n" },
	{ "250 that begins before the final dot is none either",
	  { 0 },
	  PIPED "send one\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS 250 ok\nS "
	        "250 ok\nS 354 go\nR 2\n"
	        "B Subject: x\\r\\n\\r\\nhello\\r\\n.\\r\\n\nS 50 ok\n"
	        "result later 0 4.5.0 the server replied before the end of the message\n"
	        "closed later 0 4.5.0 the server replied before the end of the message\n" },
	{ "a reply before its command",
	  { 0 },
	  "S 220 mx\nS 250 early\nclosed later 0 4.5.0 the server sent a reply before its "
	  "command\n" },
	{ "all replies at once",
	  { 0 },
	  PLAIN "send one\nC MAIL FROM:<from@b.test>\nS 250 ok\nS 250 ok\n"
	        "result later 0 4.5.0 the server sent a reply before its command\n"
	        "closed later 0 4.5.0 the server sent a reply before its command\n" },
	{ "a reply too many isn't taken for the next message's",
	  { 0 },
	  PIPED "send one\nsend one\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS "
	        "250 ok\nS 250 ok\nS 354 go\n"
	        "B Subject: x\\r\\n\\r\\nhello\\r\\n.\\r\\n\nS 250 ok\nS 250 more\nresult done 250 "
	        "2.0.0 ok\nready\n"
	        "result later 0 4.5.0 the server sent a reply before its command\n"
	        "closed later 0 4.5.0 the server sent a reply before its command\n" },
	{ "half a reply too many isn't either",
	  { 0 },
	  PLAIN "R 25\nsend one\nC MAIL FROM:<from@b.test>\nS 0 ok\n"
	        "result later 0 4.5.0 the server sent a reply before its command\n"
	        "closed later 0 4.5.0 the server sent a reply before its command\n" },
	{ "a reply without a command",
	  { 0 },
	  PLAIN "S 250 hm\nclosed later 0 4.5.0 the server sent a reply without a command\n" },
	{ "another protocol",
	  { 0 },
	  "S HTTP/1.1 400 \\0\\xffBad\nclosed later 0 4.5.0 the server sent what isn't a reply: "
	  "HTTP/1.1 400 ??Bad\n" },
	{ "codes that differ between the lines",
	  { 0 },
	  PLAIN "send one\nC MAIL FROM:<from@b.test>\nS 250-ok\nS 550 no\n"
	        "result later 0 4.5.0 the server sent what isn't a reply: 550 no\n"
	        "closed later 0 4.5.0 the server sent what isn't a reply: 550 no\n" },
	{ "1xx",
	  { 0 },
	  "S 150 hm\nclosed later 0 4.5.0 the server sent what isn't a reply: 150 hm\n" },
	{ "250 to DATA",
	  { 0 },
	  PIPED "send one\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS 250 ok\nS "
	        "250 ok\nS 250 ok\n"
	        "result later 0 4.5.0 the server's reply to DATA has a code of 2xx\n"
	        "closed later 0 4.5.0 the server's reply to DATA has a code of 2xx\n" },
	{ "354 to RCPT",
	  { 0 },
	  PIPED "send one\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS 250 ok\nS "
	        "354 ok\n"
	        "result later 0 4.5.0 the server sent a code of 3xx before DATA\n"
	        "closed later 0 4.5.0 the server sent a code of 3xx before DATA\n" },
	{ "354 to the message",
	  { 0 },
	  PIPED "send one\nC MAIL FROM:<from@b.test>\nC RCPT TO:<ann@a.test>\nC DATA\nS 250 ok\nS "
	        "250 ok\nS 354 go\n"
	        "B Subject: x\\r\\n\\r\\nhello\\r\\n.\\r\\n\nS 354 more\n"
	        "result later 0 4.5.0 the server's reply to the message has a code of 3xx; the "
	        "message was sent to its end and may have been taken\n"
	        "closed later 0 4.5.0 the server's reply to the message has a code of 3xx; the "
	        "message was sent to its end and may have been taken\n" },
	{ "RSET is refused",
	  { 0 },
	  PLAIN "send one\nC MAIL FROM:<from@b.test>\nS 250 ok\nC RCPT TO:<ann@a.test>\nS 550 "
	        "no\nresult never 550 5.0.0 no\n"
	        "ready\nsend one\nC RSET\nS 500 no\nresult later 500 5.0.0 no\nclosed later 500 "
	        "5.0.0 no\n" },
	{ "enhanced codes: of another class, odd, and none",
	  { 0 },
	  PLAIN "send one\nC MAIL FROM:<from@b.test>\nS 550 2.1.0 no\nresult never 550 5.0.0 2.1.0 "
	        "no\nready\n"
	        "send one\nC MAIL FROM:<from@b.test>\nS 550 5.1234.1 no\nresult never 550 5.0.0 "
	        "5.1234.1 no\nready\n"
	        "send one\nC MAIL FROM:<from@b.test>\nS 550 5.123.123\nresult never 550 5.123.123 "
	        "\nready\n"
	        "send one\nC MAIL FROM:<from@b.test>\nS 571 5.7.1\\x01a\\0b\\x7f\nresult never 571 "
	        "5.0.0 5.7.1?a?b?\nready\n"
	        "send one\nC MAIL FROM:<from@b.test>\nS 450-4.7.1  a \nS 450-4.7.1\nS 450 "
	        "b\nresult later 450 4.7.1 a b\nready\n" QUIT },
	{ "lines that end in LF",
	  { 0 },
	  "R 220 mx\\n\nC EHLO me.test\nR 250-mx\\n250 PIPELINING\\n\nready\n" QUIT },
	{ "QUIT's reply doesn't matter", { 0 }, PLAIN "quit\nC QUIT\nS what\nclosed\n" },
	{ "QUIT isn't answered", { 0 }, PLAIN "quit\nC QUIT\nlost 4.4.2 gone\nclosed\n" },
};

/* --- who holds them --- */

struct play {
	const char *name;
	struct smtp_client_config config;
	struct smtp_client *c;
	size_t piece;   /* of both sides' bytes; 0: all at once */
	size_t split;   /* the server's stream is cut here; SIZE_MAX: nowhere */
	size_t given;   /* of the server's stream */
	struct buf out; /* that the client sent and nobody looked at */
	struct buf ops; /* lines, the same */
	const struct smtp_client_mail *queue[4];
	size_t queued;
	bool ready;
	bool closed;
};

static const char *const ends[] = { "done", "later", "never", "setup" };

static void note(struct play *p, const char *what, const struct smtp_result *r)
{
	enum rc rc;

	if (r)
		rc = buf_addf(&p->ops, "%s %s %u %s %s\n", what, ends[r->end], r->code, r->enhanced,
		              r->text);
	else
		rc = buf_addf(&p->ops, "%s\n", what);
	assert_int_equal(rc, RC_OK);
}

static void on_starttls(void *app, struct smtp_client *c)
{
	struct play *p = app;

	assert_ptr_equal(c, p->c);
	assert_int_equal(smtp_client_phase(c), PHASE_TLS);
	note(p, "starttls", NULL);
}

static void send_next(struct play *p)
{
	const struct smtp_client_mail *m = p->queue[0];

	p->ready = false;
	p->queued--;
	memmove(p->queue, p->queue + 1, p->queued * sizeof(p->queue[0]));
	smtp_client_send(p->c, m);
}

static void on_ready(void *app, struct smtp_client *c)
{
	struct play *p = app;

	assert_false(p->ready);
	assert_int_equal(smtp_client_phase(c), PHASE_READY);
	note(p, "ready", NULL);
	p->ready = true;
	if (p->queued)
		send_next(p);
}

static void on_ended(void *app, struct smtp_client *c, const struct smtp_result *results,
                     size_t count)
{
	struct play *p = app;

	assert_false(p->ready);
	assert_true(smtp_client_phase(c) != PHASE_READY || results[0].code == 0);
	for (size_t i = 0; i < count; i++)
		note(p, "result", &results[i]);
}

static void on_closed(void *app, struct smtp_client *c, const struct smtp_result *why)
{
	struct play *p = app;

	assert_true(smtp_client_closing(c));
	assert_false(p->closed);
	p->closed = true;
	note(p, "closed", why);
}

static const struct smtp_client_ops ops = { on_starttls, on_ready, on_ended, on_closed };

/* Takes all that the client has to send. */
static void take(struct play *p)
{
	for (;;) {
		struct slice out = smtp_client_output(p->c);
		size_t n = p->piece ? MIN_OF(p->piece, out.len) : out.len;

		if (out.len == 0)
			return;
		assert_int_equal(buf_add(&p->out, slice_part(out, 0, n)), RC_OK);
		smtp_client_output_sent(p->c, n);
	}
}

/* A piece in memory of its own. */
static void give_piece(struct play *p, struct slice s)
{
	uint8_t *copy = mem_new(s.len);

	memcpy(copy, s.at, s.len);
	smtp_client_input(p->c, slice_of(copy, s.len));
	free(copy);
	p->given += s.len;
}

static void give(struct play *p, struct slice s)
{
	while (s.len) {
		size_t n = p->piece ? MIN_OF(p->piece, s.len) : s.len;

		if (p->split > p->given)
			n = MIN_OF(n, p->split - p->given);
		give_piece(p, slice_part(s, 0, n));
		s = slice_from(s, n);
	}
}

static void unescape(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t b = s.at[i];

		if (b == '\\' && i + 1 < s.len) {
			b = s.at[++i];
			if (b == 'x') {
				assert_true(hex_decode(&b, 1, slice_part(s, i + 1, 2)));
				i += 2;
			} else {
				b = b == 'r' ? '\r' : b == 'n' ? '\n' : b == '0' ? '\0' : b;
			}
		}
		assert_int_equal(buf_add_byte(out, b), RC_OK);
	}
}

static NORETURN void bad(const struct play *p, const char *what, struct slice want)
{
	struct slice got = slice_of(p->out.at, p->out.len);
	struct slice seen = slice_of(p->ops.at, p->ops.len);

	fail_msg("%s (pieces of %zu, cut at %zu): %s \"%.*s\"; output \"%.*s\", ops \"%.*s\"",
	         p->name, p->piece, p->split, what, (int)want.len, (const char *)want.at,
	         (int)got.len, (const char *)(got.len ? got.at : want.at), (int)seen.len,
	         (const char *)(seen.len ? seen.at : want.at));
	abort();
}

static void expect(struct play *p, struct buf *from, struct slice want)
{
	if (!slice_equal(slice_part(buf_slice(from), 0, want.len), want))
		bad(p, "not", want);
	buf_drop(from, want.len);
}

static const struct smtp_client_mail *mail_named(struct slice name)
{
	for (size_t i = 0; i < COUNT(mails); i++)
		if (slice_equal(name, slice_str(mails[i].name)))
			return &mails[i].m;
	fail_msg("no mail %.*s", (int)name.len, (const char *)name.at);
	return NULL;
}

static void check_phase(struct play *p, struct slice name)
{
	static const char *const names[] = { "greeting", "hello", "starttls", "tls",
		                             "auth",     "ready", "envelope", "body",
		                             "end",      "quit",  "closed" };

	if (!slice_equal(name, slice_str(names[smtp_client_phase(p->c)])))
		bad(p, "not in phase", name);
}

static void act(struct play *p, struct slice word, struct slice text)
{
	if (slice_equal(word, slice_str("send"))) {
		assert_true(p->queued < COUNT(p->queue));
		p->queue[p->queued++] = mail_named(text);
		if (p->ready)
			send_next(p);
	} else if (slice_equal(word, slice_str("quit"))) {
		assert_true(p->ready);
		smtp_client_quit(p->c);
	} else if (slice_equal(word, slice_str("tls"))) {
		smtp_client_tls_started(p->c);
		assert_true(smtp_client_tls(p->c));
		assert_int_equal(smtp_client_has(p->c), 0);
	} else if (slice_equal(word, slice_str("lost"))) {
		struct slice rest;
		char *enhanced = slice_string(slice_cut(text, ' ', &rest));
		char *why = slice_string(rest);

		smtp_client_lost(p->c, enhanced, why);
		free(enhanced);
		free(why);
	} else {
		check_phase(p, text);
	}
}

/* "closed?": the same but that the op before it may have come too, as it depends on the pieces. */
static void expect_op(struct play *p, struct slice line)
{
	struct buf want;

	buf_init(&want, 1 << 16);
	if (slice_starts_nocase(line, slice_str("closed?"))) {
		struct slice starttls = slice_str("starttls\n");

		if (slice_starts_nocase(buf_slice(&p->ops), starttls))
			buf_drop(&p->ops, starttls.len);
		assert_int_equal(buf_addf(&want, "closed%.*s\n", (int)line.len - 7,
		                          (const char *)line.at + 7),
		                 RC_OK);
	} else {
		assert_int_equal(buf_addf(&want, "%.*s\n", (int)line.len, (const char *)line.at),
		                 RC_OK);
	}
	expect(p, &p->ops, buf_slice(&want));
	buf_free(&want);
}

/* The S and R lines that follow each other are one write. */
static struct slice server(struct play *p, struct slice text)
{
	struct buf bytes;

	buf_init(&bytes, 1 << 20);
	while (text.len > 1 && (text.at[0] == 'S' || text.at[0] == 'R') && text.at[1] == ' ') {
		bool whole = text.at[0] == 'S';
		struct slice line = slice_cut(text, '\n', &text);

		unescape(&bytes, slice_from(line, 2));
		if (whole)
			assert_int_equal(buf_add_str(&bytes, "\r\n"), RC_OK);
	}
	give(p, buf_slice(&bytes));
	buf_free(&bytes);
	return text;
}

static void client(struct play *p, struct slice line)
{
	struct buf want;

	buf_init(&want, 1 << 16);
	if (line.at[0] == 'B') {
		unescape(&want, slice_from(line, 2));
	} else {
		assert_int_equal(buf_add(&want, slice_from(line, 2)), RC_OK);
		assert_int_equal(buf_add_str(&want, "\r\n"), RC_OK);
	}
	if (p->out.len == 0)
		take(p);
	expect(p, &p->out, buf_slice(&want));
	buf_free(&want);
}

static size_t play_talk(const struct talk *t, size_t piece, size_t split)
{
	struct play p = { .name = t->name, .config = t->config, .piece = piece, .split = split };
	struct slice text = slice_str(t->text);

	p.config.hostname = "me.test";
	buf_init(&p.out, 1 << 20);
	buf_init(&p.ops, 1 << 20);
	p.c = smtp_client_new(&p.config, &ops, &p);
	while (text.len) {
		struct slice rest;
		struct slice line = slice_cut(text, '\n', &rest);
		struct slice after;
		struct slice word = slice_cut(line, ' ', &after);

		if (word.len == 1 && (word.at[0] == 'S' || word.at[0] == 'R')) {
			text = server(&p, text);
			continue;
		}
		if (word.len == 1)
			client(&p, line);
		else if (slice_equal(word, slice_str("ready")) ||
		         slice_equal(word, slice_str("starttls")) ||
		         slice_equal(word, slice_str("result")) ||
		         slice_starts_nocase(word, slice_str("closed")))
			expect_op(&p, line);
		else
			act(&p, word, after);
		text = rest;
	}
	take(&p);
	if (p.out.len || p.ops.len)
		bad(&p, "left over at the end of", slice_str(t->name));
	EXPECT(t->name, p.closed);
	smtp_client_free(&p.c);
	buf_free(&p.out);
	buf_free(&p.ops);
	return p.given;
}

static void test_talks(void **state)
{
	static const size_t pieces[] = { 1, 2, 3, 7 };

	(void)state;
	for (size_t i = 0; i < COUNT(talks); i++) {
		size_t all = play_talk(&talks[i], 0, SIZE_MAX);

		for (size_t n = 0; n < COUNT(pieces); n++)
			(void)play_talk(&talks[i], pieces[n], SIZE_MAX);
		for (size_t at = 1; at < all; at++)
			(void)play_talk(&talks[i], 0, at);
	}
}

/* --- what isn't a talk --- */

static void greet(struct play *p, const char *caps)
{
	buf_init(&p->out, 64 << 20);
	buf_init(&p->ops, 1 << 20);
	p->split = SIZE_MAX;
	p->config.hostname = "me.test";
	p->c = smtp_client_new(&p->config, &ops, p);
	give(p, slice_str("220 mx\r\n"));
	take(p);
	give(p, slice_str(caps));
	take(p);
	buf_clear(&p->out);
	buf_clear(&p->ops);
}

static void end(struct play *p)
{
	smtp_client_free(&p->c);
	buf_free(&p->out);
	buf_free(&p->ops);
}

/* Replies without end, of each kind, end the connection within bounds. */
static void test_endless(void **state)
{
	static const char *const endless[] = { "250-x\r\n", "250-\n", "x", "2", "250 ", "\0" };

	(void)state;
	for (size_t i = 0; i < COUNT(endless); i++) {
		struct play p = { .name = "endless" };
		size_t n = 0;
		struct slice s = slice_of(endless[i], MAX_OF(strlen(endless[i]), (size_t)1));

		greet(&p, "250 mx\r\n");
		p.queue[p.queued++] = mail_named(slice_str("one"));
		send_next(&p);
		take(&p);
		for (; n < 100000 && !p.closed; n += s.len)
			give(&p, s);
		EXPECT(endless[i], p.closed && n <= 4096);
		EXPECT(endless[i],
		       slice_starts_nocase(buf_slice(&p.ops), slice_str("result later 0 4.5.0 ")));
		end(&p);
	}
}

/* The text is cut, whatever comes. */
static void test_text(void **state)
{
	struct play p = { .name = "text" };
	char line[128];

	(void)state;
	greet(&p, "250 mx\r\n");
	p.queue[p.queued++] = mail_named(slice_str("one"));
	send_next(&p);
	take(&p);
	memset(line, 'a', sizeof(line));
	memcpy(line, "550-", 4);
	memcpy(line + sizeof(line) - 3, "\r\n", 3);
	for (int i = 0; i < 20; i++)
		give(&p, slice_str(line));
	give(&p, slice_str("550 end\r\n"));
	assert_int_equal(p.ops.len,
	                 strlen("result never 550 5.0.0 \nready\n") + SMTP_RESULT_TEXT - 1);
	end(&p);
}

/* A hundred recipients with long addresses: the output stays small, and all are asked for. */
static void test_many(void **state)
{
	struct play p = { .name = "many" };
	struct smtp_client_rcpt rcpts[LIMIT_SMTP_RECIPIENTS];
	struct smtp_client_mail m = { .mail_from = "", .rcpts = rcpts, .count = COUNT(rcpts) };
	char orcpt[480];
	size_t lines = 0;

	(void)state;
	memset(orcpt, 'x', sizeof(orcpt));
	memcpy(orcpt, "rfc822;", 7);
	orcpt[sizeof(orcpt) - 1] = '\0';
	for (size_t i = 0; i < COUNT(rcpts); i++)
		rcpts[i] =
		        (struct smtp_client_rcpt) { "ann@a.test", "SUCCESS,FAILURE,DELAY", orcpt };
	greet(&p, "250-mx\r\n250-PIPELINING\r\n250 DSN\r\n");
	p.queue[p.queued++] = &m;
	send_next(&p);
	assert_true(smtp_client_output(p.c).len < 36000);
	take(&p);
	for (size_t i = 0; i < p.out.len; i++)
		lines += p.out.at[i] == '\n';
	assert_int_equal(lines, COUNT(rcpts) + 2);
	assert_true(slice_ends_nocase(buf_slice(&p.out), slice_str("DATA\r\n")));
	for (size_t i = 0; i < COUNT(rcpts) + 1; i++)
		give(&p, slice_str("250 ok\r\n"));
	give(&p, slice_str("354 go\r\n"));
	take(&p);
	assert_int_equal(smtp_client_phase(p.c), PHASE_END);
	give(&p, slice_str("250 ok\r\n"));
	assert_int_equal(p.ops.len,
	                 COUNT(rcpts) * strlen("result done 250 2.0.0 ok\n") + strlen("ready\n"));
	end(&p);
}

/* The longest credentials, which don't fit into the line of the command. */
static void test_long_secret(void **state)
{
	char user[256];
	char password[256];
	char password_long[257];
	struct play p = { .config = {
		                  .tls = SMTP_CLIENT_TLS_ON, .user = user, .password = password } };
	struct buf plain;

	(void)state;
	memset(user, 'u', sizeof(user));
	memset(password, 'p', sizeof(password));
	memset(password_long, 'p', sizeof(password_long));
	user[255] = password[255] = password_long[256] = '\0';
	buf_init(&plain, 4096);
	greet(&p, "250-mx\r\n250 AUTH PLAIN\r\n");
	give(&p, slice_str("334 \r\n"));
	take(&p);
	assert_int_equal(base64_decode(&plain, slice_part(buf_slice(&p.out), 0, p.out.len - 2)),
	                 RC_OK);
	assert_int_equal(plain.len, 512);
	give(&p, slice_str("235 ok\r\n"));
	EXPECT_SLICE("secret", buf_slice(&p.ops), "ready\n");
	end(&p);
	p = (struct play) {
		.config = { .tls = SMTP_CLIENT_TLS_ON, .user = user, .password = password_long }
	};
	greet(&p, "250-mx\r\n250 AUTH PLAIN\r\n");
	assert_true(p.closed);
	end(&p);
	buf_free(&plain);
}

/* Messages of all bytes that matter: what leaves is what make_plain says, stuffed, whatever the
 * pieces. */
static void body_case(const char *text, size_t len, size_t piece)
{
	struct play p = { .name = "body", .piece = piece };
	struct smtp_client_mail m = {
		.mail_from = "", .rcpts = ann, .count = 1, .message = { (const uint8_t *)text, len }
	};
	struct buf want;
	struct buf stuffed;
	char size[64];

	buf_init(&want, 64 << 20);
	buf_init(&stuffed, 64 << 20);
	assert_int_equal(smtp_client_make_plain(&want, m.message), RC_OK);
	assert_int_equal(smtp_client_plain(m.message), slice_equal(buf_slice(&want), m.message));
	assert_true(smtp_client_plain(buf_slice(&want)));
	greet(&p, "250-mx\r\n250-SIZE\r\n250 PIPELINING\r\n");
	p.queue[p.queued++] = &m;
	send_next(&p);
	take(&p);
	(void)snprintf(size, sizeof(size), "MAIL FROM:<> SIZE=%zu\r\n", want.len);
	assert_true(slice_starts_nocase(buf_slice(&p.out), slice_str(size)));
	give(&p, slice_str("250 ok\r\n250 ok\r\n354 ok\r\n"));
	buf_clear(&p.out);
	take(&p);
	for (size_t i = 0; i < want.len; i++) {
		if (want.at[i] == '.' && (i == 0 || want.at[i - 1] == '\n'))
			assert_int_equal(buf_add_byte(&stuffed, '.'), RC_OK);
		assert_int_equal(buf_add_byte(&stuffed, want.at[i]), RC_OK);
		/* no bare CR, no bare LF */
		assert_int_equal(want.at[i] == '\n', i > 0 && want.at[i - 1] == '\r');
	}
	assert_int_equal(smtp_client_body_sent(p.c), stuffed.len + 3);
	assert_int_equal(buf_add_str(&stuffed, ".\r\n"), RC_OK);
	assert_true(slice_equal(buf_slice(&p.out), buf_slice(&stuffed)));
	end(&p);
	buf_free(&want);
	buf_free(&stuffed);
}

static void test_bodies(void **state)
{
	static const char letters[] = "\r\n.a";
	char text[6];

	(void)state;
	for (size_t len = 0; len <= sizeof(text); len++)
		for (size_t n = 0; n < (size_t)1 << 2 * len; n++) {
			for (size_t i = 0; i < len; i++)
				text[i] = letters[n >> 2 * i & 3];
			body_case(text, len, 0);
		}
}

static void test_long_body(void **state)
{
	static const char *const lines[] = {
		".\r\n", "a long line or so with words\r\n", "\n", "\r", ".\n", "x", "\r\r\n"
	};
	char *text = mem_new(200000);

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		size_t len = 0;
		size_t n = strlen(lines[i]);

		for (; len + n < 200000; len += n)
			memcpy(text + len, lines[i], n);
		body_case(text, len, 0);
		body_case(text, len, 1000);
		body_case(text, len - 1, 32768);
	}
	free(text);
}

/* The steps move with whole replies alone. */
static void test_steps(void **state)
{
	struct play p = { .name = "steps" };
	uint64_t before;

	(void)state;
	greet(&p, "250-mx\r\n250 PIPELINING\r\n");
	p.queue[p.queued++] = mail_named(slice_str("one"));
	send_next(&p);
	take(&p);
	before = smtp_client_steps(p.c);
	give(&p, slice_str("250-a\r\n250-b\r\n250 "));
	assert_int_equal(smtp_client_steps(p.c), before);
	give(&p, slice_str("c\r\n250 d\r\n"));
	assert_int_equal(smtp_client_steps(p.c), before + 2);
	end(&p);
}

/* Freed in the middle of all: no op comes. */
static void test_freed(void **state)
{
	struct play p = { .name = "free" };
	struct smtp_client *none = NULL;

	(void)state;
	greet(&p, "250 mx\r\n");
	p.queue[p.queued++] = mail_named(slice_str("three"));
	send_next(&p);
	end(&p);
	assert_false(p.closed);
	smtp_client_free(&none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_talks),       cmocka_unit_test(test_endless),
		cmocka_unit_test(test_text),        cmocka_unit_test(test_many),
		cmocka_unit_test(test_long_secret), cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_long_body),   cmocka_unit_test(test_steps),
		cmocka_unit_test(test_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
