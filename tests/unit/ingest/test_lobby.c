/* Messages of the spool and parked ones that are to be judged on share the lobby: neither keeps the
 * other from being judged. */
#include "ingest/lobby.h"
#include "tests/unit/fault.h"
#include "tests/unit/ingest/quoted.h"
#include "tests/unit/ingest/spool_rig.h"
#include "tests/unit/store/scratch.h"

#define AT_ONCE 256 /* are judged in a round */

struct hall {
	struct rig *rig;
	struct pipeline_parts parts;
	struct lobby *l;
	struct checkpoint *c;
	int64_t parked; /* so far */
	size_t new;     /* of the last round */
	size_t on;
	struct err e;
};

static void hall_begin(struct hall *h)
{
	memset(h, 0, sizeof(*h));
	h->rig = rig_new(0);
	rig_open_writer(h->rig);
	EXPECT_OK(queue_open(&h->parts.queue, h->rig->dir, h->rig->kr, 1 << 20, &h->e), &h->e);
	h->parts.spool = h->rig->sp;
	h->l = lobby_new(&h->parts);
	h->c = checkpoint_new(&h->parts);
}

static void hall_end(struct hall *h)
{
	char *path = path_join(h->rig->dir, "queue");

	fault_later(0);
	lobby_free(&h->l);
	checkpoint_free(&h->c);
	queue_close(&h->parts.queue);
	scratch_remove_path(path);
	free(path);
	rig_free(&h->rig);
}

/* One more that waited for an action's answer, which is there. */
static void park(struct hall *h)
{
	const struct queue_answer done = { .said = RULE_SAID_DONE };
	const uint8_t random[8] = { 1 };
	json_t *past = quoted("{'matched':[[0,1]],'action':0,'answers':[]}");
	struct queue_task task = { .kind = RULE_SEND,
		                   .destination = "a.example",
		                   .spec = quoted("{'recipients':[]}"),
		                   .decides = true };
	const struct queue_message m = { .id = id_make(h->parked, 0, random),
		                         .meta = slice_str("{\"receipt\":{}}"),
		                         .raw = slice_str("Subject: x\r\n\r\n"),
		                         .rule_set = "rs-1",
		                         .past = past };

	EXPECT_OK(queue_park(h->parts.queue, &m, &task, 1, &h->e), &h->e);
	EXPECT_OK(queue_done(h->parts.queue, ++h->parked, false, &done, &h->e), &h->e);
	json_decref(past);
}

/* As the pipeline does: so many are taken, judged and settled. */
static void judge_some(struct hall *h)
{
	struct lobby_item *it;

	h->new = h->on = 0;
	EXPECT_OK(lobby_fill(h->l, AT_ONCE, 1 << 20, h->c, &h->e), &h->e);
	while (h->new + h->on < AT_ONCE && (it = lobby_take(h->l))) {
		const struct queue_message m = { .id = it->record.id, .rule_set = "" };

		if (it->parked)
			queue_judged(h->parts.queue, &m, NULL, 0);
		h->on += it->parked;
		h->new += !it->parked;
		lobby_settle(h->l, it, h->c);
		lobby_done(h->l, it);
	}
}

static void who_is_judged_on_doesn_t_wait_for_new_ones(void **state)
{
	struct hall h;

	(void)state;
	hall_begin(&h);
	for (size_t i = 0; i < 2 * AT_ONCE + 10; i++)
		(void)rig_commit(h.rig, 10);
	rig_drain(h.rig);
	judge_some(&h);
	assert_int_equal(h.new, AT_ONCE);
	park(&h);
	judge_some(&h);
	assert_int_equal(h.on, 1);
	assert_int_equal(h.new, AT_ONCE - 1);
	judge_some(&h);
	assert_int_equal(h.on, 0); /* it isn't taken again, until it lands */
	assert_int_equal(h.new, 11);
	hall_end(&h);
}

/* As many as are judged come after, half a second a round: after a while no more are let in, until
 * those that are there have landed. */
static void new_ones_don_t_wait_for_a_stream_of_who_is_judged_on(void **state)
{
	struct hall h;
	unsigned rounds = 0;

	(void)state;
	hall_begin(&h);
	for (size_t i = 0; i < LOBBY_MESSAGES + AT_ONCE; i++)
		park(&h);
	(void)rig_send(h.rig, 10);
	do {
		assert_true(++rounds <= LOBBY_MESSAGES / AT_ONCE + 4);
		judge_some(&h);
		for (size_t i = 0; i < h.on; i++)
			park(&h);
		fault_later(500 * rounds);
	} while (!h.new);
	assert_true(rounds > LOBBY_MESSAGES / AT_ONCE); /* the control: they were ahead of it */
	judge_some(&h);
	assert_int_equal(h.on, 0);
	EXPECT_OK(queue_land(h.parts.queue, &h.e), &h.e);
	judge_some(&h);
	assert_int_equal(h.on, AT_ONCE);
	hall_end(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_judged_on_doesn_t_wait_for_new_ones),
		cmocka_unit_test(new_ones_don_t_wait_for_a_stream_of_who_is_judged_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
