/* SPDX-License-Identifier: BSD-2-Clause */
/* When the swapcache daemon writes, cleans and waits: transitions for each state and knob. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "swap/swapcache.h"
#include "swapcache_sim.h"

#define LIMIT .timeout = 60

#define HURRY  SWAPCACHE_HURRY_NS
#define IDLE   SWAPCACHE_IDLE_NS
#define W      SWAPCACHE_WRITING
#define C      SWAPCACHE_CLEANING
#define B      SWAPCACHE_BURSTING
#define R      SWAPCACHE_RECOVERING
#define LAST   (1000 * SEC)
#define A_POLL (ACC / 10) /* what accumulates from one tick to the next */

struct knob {
	enum swapcache_knob k;
	uint64_t value;
};

/* One tick, a tenth of a second after the last one. */
struct row {
	const char *what;
	struct knob knobs[4]; /* besides data_enable; the first that is all 0 ends them */
	struct {
		uint32_t state, burst;
		int64_t curburst, wtrigger;
	} before;
	struct {
		uint64_t use, inactive, adds, wear_left;
		bool pressure, stopping, no_swap;
	} view;
	struct {
		uint64_t sleep, allowance, scan, launder, clean;
		bool hurry;
	} orders; /* a pass is ordered if it may look at something */
	struct {
		uint32_t state, burst;
		int64_t curburst, wtrigger;
		bool counts; /* time: the next tick accumulates */
	} after;
};

/* clang-format off */
/* knobs */
#define DATA_OFF { SWAPCACHE_DATA_ENABLE, 0 }
#define META_ON { SWAPCACHE_META_ENABLE, 1 }
/* orders */
#define SLEEPS { .sleep = IDLE }
#define NOTHING { .sleep = POLL }
#define MAY(bytes) { .sleep = POLL, .allowance = bytes }
#define PASS(bytes, pages, most) \
	{ .sleep = POLL, .allowance = bytes, .scan = pages, .launder = most }
#define CLEANS(n) { .sleep = POLL, .clean = n }
#define HURRIES { .sleep = HURRY, .clean = 4096, .hurry = true }

static const struct row rows[] = {
	/* --- how full: WRITING and CLEANING --- */
	{ "writing, nothing in the cache yet", {},
	  { W, B, 500 * MB, -1024 }, { .use = 0, .wear_left = MAX },
	  MAY(500 * MB + A_POLL), { W, B, 500 * MB + A_POLL, -1024, true } },
	{ "writing, at 75 percent exactly", {},
	  { W, B, 500 * MB, -1024 }, { .use = 750000, .wear_left = MAX },
	  MAY(500 * MB + A_POLL), { W, B, 500 * MB + A_POLL, -1024, true } },
	{ "writing, more than 75 percent: it cleans in the same tick", {},
	  { W, B, 500 * MB, -1024 }, { .use = 750001, .wear_left = MAX },
	  CLEANS(4096), { C, B, 500 * MB + A_POLL, -1024, true } },
	{ "cleaning, between 65 and 75 percent: it goes on", {},
	  { C, B, 500 * MB, -1024 }, { .use = 700000, .wear_left = MAX },
	  CLEANS(4096), { C, B, 500 * MB + A_POLL, -1024, true } },
	{ "cleaning, 65 percent exactly: it goes on", {},
	  { C, B, 500 * MB, -1024 }, { .use = 650000, .wear_left = MAX },
	  CLEANS(4096), { C, B, 500 * MB + A_POLL, -1024, true } },
	{ "cleaning, less than 65 percent: it writes in the same tick", {},
	  { C, B, 500 * MB, -1024 }, { .use = 649999, .wear_left = MAX },
	  MAY(500 * MB + A_POLL), { W, B, 500 * MB + A_POLL, -1024, true } },
	{ "cleaning, a pass is due: not now, and it is not forgotten", {},
	  { C, B, 500 * MB, 5 }, { .use = 700000, .adds = 10, .wear_left = MAX },
	  CLEANS(4096), { C, B, 500 * MB + A_POLL, 15, true } },
	{ "cleaning while recovering", {},
	  { C, R, 1 * MB, -1024 }, { .use = 700000, .wear_left = MAX },
	  CLEANS(4096), { C, R, 1 * MB + A_POLL, -1024, true } },
	{ "maxswappct: 30 of it, written until there", { { SWAPCACHE_MAXSWAPPCT, 30 } },
	  { W, B, 500 * MB, -1024 }, { .use = 300000, .wear_left = MAX },
	  MAY(500 * MB + A_POLL), { W, B, 500 * MB + A_POLL, -1024, true } },
	{ "maxswappct: 30, and one block more", { { SWAPCACHE_MAXSWAPPCT, 30 } },
	  { W, B, 500 * MB, -1024 }, { .use = 300001, .wear_left = MAX },
	  CLEANS(4096), { C, B, 500 * MB + A_POLL, -1024, true } },
	{ "maxswappct: 30, cleaned down to 20", { { SWAPCACHE_MAXSWAPPCT, 30 } },
	  { C, B, 500 * MB, -1024 }, { .use = 199999, .wear_left = MAX },
	  MAY(500 * MB + A_POLL), { W, B, 500 * MB + A_POLL, -1024, true } },
	{ "maxlaunder: so much is cleaned", { { SWAPCACHE_MAXLAUNDER, 100 } },
	  { C, B, 500 * MB, -1024 }, { .use = 700000, .wear_left = MAX },
	  CLEANS(100), { C, B, 500 * MB + A_POLL, -1024, true } },

	/* --- how fast: BURSTING and RECOVERING --- */
	{ "bursting, a second's worth exactly", {},
	  { W, B, 90000, 0 }, { .wear_left = MAX },
	  PASS(100000, 8192, 24), { W, B, 100000, 0, true } },
	{ "bursting, less than a second's worth", {},
	  { W, B, 89999, 0 }, { .wear_left = MAX },
	  NOTHING, { W, B, 99999, 0, true } },
	{ "bursting, a cluster is left and no more", {},
	  { W, B, 65536, 0 }, { .wear_left = MAX },
	  NOTHING, { W, B, 65536 + A_POLL, 0, true } },
	{ "bursting, used up but for less than a cluster: recovering", {},
	  { W, B, 65535, 0 }, { .wear_left = MAX },
	  NOTHING, { W, R, 65535 + A_POLL, 0, true } },
	{ "bursting, used up: recovering", {},
	  { W, B, 0, 0 }, { .wear_left = MAX },
	  NOTHING, { W, R, A_POLL, 0, true } },
	{ "bursting, below 0, for curburst was set while writes were under way", {},
	  { W, B, -50000, 0 }, { .wear_left = MAX },
	  NOTHING, { W, R, -50000 + A_POLL, 0, true } },
	{ "bursting, used up while there is a lot a second: recovering all the same",
	  { { SWAPCACHE_ACCRATE, 1000 * 1000 * 1000 } },
	  { W, B, 4096, 0 }, { .wear_left = MAX },
	  NOTHING, { W, R, 4096 + 100 * MB, 0, true } },
	{ "used up by the tick that begins cleaning", {},
	  { W, B, 0, 0 }, { .use = 750001, .wear_left = MAX },
	  CLEANS(4096), { C, R, A_POLL, 0, true } },
	{ "recovering, a second's worth is not enough", {},
	  { W, R, 1 * MB, 0 }, { .wear_left = MAX },
	  NOTHING, { W, R, 1 * MB + A_POLL, 0, true } },
	{ "recovering, minburst exactly is not enough", {},
	  { W, R, 10 * MB - A_POLL, 0 }, { .wear_left = MAX },
	  NOTHING, { W, R, 10 * MB, 0, true } },
	{ "recovering, more than minburst: bursting", {},
	  { W, R, 10 * MB - A_POLL + 1, 0 }, { .wear_left = MAX },
	  PASS(10 * MB + 1, 8192, 2441), { W, B, 10 * MB + 1, 0, true } },
	{ "recovering, more than minburst, no pass due: bursting all the same", {},
	  { W, R, 20 * MB, -10 }, { .wear_left = MAX },
	  MAY(20 * MB + A_POLL), { W, B, 20 * MB + A_POLL, -10, true } },
	{ "minburst: less to wait for", { { SWAPCACHE_MINBURST, 1000000 } },
	  { W, R, 1 * MB, 0 }, { .wear_left = MAX },
	  PASS(1 * MB + A_POLL, 8192, 246), { W, B, 1 * MB + A_POLL, 0, true } },
	{ "minburst: 0, and there is a second's worth to wait for", { { SWAPCACHE_MINBURST, 0 } },
	  { W, R, 80000, 0 }, { .wear_left = MAX },
	  NOTHING, { W, R, 90000, 0, true } },
	{ "minburst: more than there can be: what there can be is enough",
	  { { SWAPCACHE_MINBURST, 1 << 30 }, { SWAPCACHE_MAXBURST, 1 << 20 } },
	  { W, R, (1 << 20) - A_POLL, 0 }, { .wear_left = MAX },
	  PASS(1 << 20, 8192, 256), { W, B, 1 << 20, 0, true } },
	{ "accrate: more than there can be: what there can be is enough",
	  { { SWAPCACHE_ACCRATE, 1 << 30 }, { SWAPCACHE_MAXBURST, 1 << 20 } },
	  { W, B, 1 << 19, 0 }, { .wear_left = MAX },
	  PASS(1 << 20, 8192, 256), { W, B, 1 << 20, 0, true } },
	{ "accrate: little: a cluster has to be there", { { SWAPCACHE_ACCRATE, 1024 } },
	  { W, B, 65536 - 103, 0 }, { .wear_left = MAX },
	  NOTHING, { W, R, 65535, 0, true } },
	{ "accrate: little, and minburst: it has to be there then, too",
	  { { SWAPCACHE_ACCRATE, 10240 }, { SWAPCACHE_MINBURST, 0 } },
	  { W, R, 50000, 0 }, { .wear_left = MAX },
	  NOTHING, { W, R, 51024, 0, true } },
	{ "accrate: a tenth of it in a tenth of a second", { { SWAPCACHE_ACCRATE, 5000000 } },
	  { W, B, 500 * MB, -1024 }, { .wear_left = MAX },
	  MAY(500500000), { W, B, 500500000, -1024, true } },
	{ "maxburst: no more accumulates", {},
	  { W, B, 2000 * MB - 5, -1024 }, { .wear_left = MAX },
	  MAY(2000 * MB), { W, B, 2000 * MB, -1024, true } },
	{ "maxburst: less of it", { { SWAPCACHE_MAXBURST, 1000000 } },
	  { W, B, 995000, -1024 }, { .wear_left = MAX },
	  MAY(1 * MB), { W, B, 1 * MB, -1024, true } },
	{ "curburst: set above maxburst for the first load-in, stays there", {},
	  { W, B, 4000 * MB, 0 }, { .wear_left = MAX },
	  PASS(4000 * MB, 8192, 4096), { W, B, 4000 * MB, 0, true } },

	/* --- the trigger --- */
	{ "trigger: not enough pages have come", {},
	  { W, B, 500 * MB, -10 }, { .adds = 9, .wear_left = MAX },
	  MAY(500 * MB + A_POLL), { W, B, 500 * MB + A_POLL, -1, true } },
	{ "trigger: enough have", {},
	  { W, B, 500 * MB, -10 }, { .adds = 10, .wear_left = MAX },
	  PASS(500 * MB + A_POLL, 8192, 4096), { W, B, 500 * MB + A_POLL, 0, true } },
	{ "trigger: a pass goes on until its end is reached", {},
	  { W, B, 500 * MB, 70 }, { .wear_left = MAX },
	  PASS(500 * MB + A_POLL, 8192, 4096), { W, B, 500 * MB + A_POLL, 70, true } },
	{ "trigger: no lower than a quarter of what is inactive", {},
	  { W, B, 500 * MB, -9000 }, { .inactive = 20000, .wear_left = MAX },
	  MAY(500 * MB + A_POLL), { W, B, 500 * MB + A_POLL, -5000, true } },
	{ "min_hysteresis: no lower than that either", { { SWAPCACHE_MIN_HYSTERESIS, 30 } },
	  { W, B, 500 * MB, -9000 }, { .inactive = 40, .wear_left = MAX },
	  MAY(500 * MB + A_POLL), { W, B, 500 * MB + A_POLL, -30, true } },
	{ "trigger: pages that come while recovering count", {},
	  { W, R, 1 * MB, -10 }, { .adds = 20, .wear_left = MAX },
	  NOTHING, { W, R, 1 * MB + A_POLL, 10, true } },
	{ "trigger: and while it is off", { DATA_OFF },
	  { W, B, 500 * MB, -10 }, { .adds = 20, .wear_left = MAX },
	  SLEEPS, { W, B, 500 * MB, 10, false } },
	{ "trigger: it does not overflow", {},
	  { W, B, 500 * MB, INT64_MAX - 1 }, { .adds = 20, .wear_left = MAX },
	  PASS(500 * MB + A_POLL, 8192, 4096),
	  { W, B, 500 * MB + A_POLL, INT64_MAX, true } },
	{ "maxscan, maxlaunder: so much in a pass",
	  { { SWAPCACHE_MAXSCAN, 300 }, { SWAPCACHE_MAXLAUNDER, 200 } },
	  { W, B, 500 * MB, 0 }, { .wear_left = MAX },
	  PASS(500 * MB + A_POLL, 300, 200), { W, B, 500 * MB + A_POLL, 0, true } },

	/* --- on and off --- */
	{ "data_enable: off, and meta_enable: it sleeps", { DATA_OFF },
	  { W, B, 500 * MB, 0 }, { .use = 700000, .wear_left = MAX },
	  SLEEPS, { W, B, 500 * MB, 0, false } },
	{ "data_enable: off, cleaning was: it is not gone on with", { DATA_OFF },
	  { C, R, 500 * MB, 0 }, { .use = 700000, .wear_left = MAX },
	  SLEEPS, { C, R, 500 * MB, 0, false } },
	{ "meta_enable: on alone is on", { DATA_OFF, META_ON },
	  { W, B, 500 * MB, 0 }, { .wear_left = MAX },
	  PASS(500 * MB + A_POLL, 8192, 4096), { W, B, 500 * MB + A_POLL, 0, true } },
	{ "fill_enable: on alone is off", { DATA_OFF, { SWAPCACHE_FILL_ENABLE, 1 } },
	  { W, B, 500 * MB, 0 }, { .wear_left = MAX },
	  SLEEPS, { W, B, 500 * MB, 0, false } },
	{ "fill_enable: writes need no trigger", { { SWAPCACHE_FILL_ENABLE, 1 } },
	  { W, B, 500 * MB, -1024 }, { .wear_left = MAX },
	  MAY(500 * MB + A_POLL), { W, B, 500 * MB + A_POLL, -1024, true } },
	{ "off, but it has too much: it cleans", { DATA_OFF },
	  { W, B, 500 * MB, 0 }, { .use = 750001, .wear_left = MAX },
	  CLEANS(4096), { C, B, 500 * MB + A_POLL, 0, true } },
	{ "no swap", {},
	  { W, B, 500 * MB, 0 }, { .no_swap = true, .wear_left = MAX },
	  SLEEPS, { W, B, 500 * MB, 0, false } },
	{ "no swap, and still something in the cache", {},
	  { W, B, 500 * MB, 0 }, { .use = 10, .no_swap = true, .wear_left = MAX },
	  SLEEPS, { W, B, 500 * MB, 0, false } },
	{ "read_enable: off changes nothing here", { { SWAPCACHE_READ_ENABLE, 0 } },
	  { W, B, 500 * MB, 0 }, { .wear_left = MAX },
	  PASS(500 * MB + A_POLL, 8192, 4096), { W, B, 500 * MB + A_POLL, 0, true } },

	/* --- shutdown --- */
	{ "stopping: nothing, although a pass is due", {},
	  { W, B, 500 * MB, 0 }, { .wear_left = MAX, .stopping = true },
	  SLEEPS, { W, B, 500 * MB, 0, false } },
	{ "stopping: nothing, although it is too full", {},
	  { C, B, 500 * MB, 0 }, { .use = 900000, .wear_left = MAX, .stopping = true },
	  SLEEPS, { C, B, 500 * MB, 0, false } },
	{ "stopping: nothing, although guests need swap", {},
	  { W, B, 500 * MB, 0 },
	  { .use = 900000, .wear_left = MAX, .pressure = true, .stopping = true },
	  SLEEPS, { W, B, 500 * MB, 0, false } },

	/* --- guests need swap --- */
	{ "pressure: it cleans, however little it has", {},
	  { W, B, 500 * MB, 0 }, { .use = 10, .wear_left = MAX, .pressure = true },
	  HURRIES, { C, B, 500 * MB + A_POLL, 0, true } },
	{ "pressure: although it is off", { DATA_OFF },
	  { W, B, 500 * MB, 0 }, { .use = 10, .wear_left = MAX, .pressure = true },
	  HURRIES, { C, B, 500 * MB, 0, false } },
	{ "pressure: although none of its swap is there", {},
	  { W, B, 500 * MB, 0 },
	  { .use = 10, .no_swap = true, .wear_left = MAX, .pressure = true },
	  HURRIES, { C, B, 500 * MB, 0, false } },
	{ "pressure: there is nothing to clean, and nothing is written", {},
	  { C, B, 500 * MB, 0 }, { .use = 0, .wear_left = MAX, .pressure = true },
	  NOTHING, { W, B, 500 * MB + A_POLL, 0, true } },
	{ "pressure: nothing to clean, and off", { DATA_OFF },
	  { W, B, 500 * MB, 0 }, { .use = 0, .wear_left = MAX, .pressure = true },
	  SLEEPS, { W, B, 500 * MB, 0, false } },
	{ "pressure is over, the cache is small: it writes", {},
	  { C, B, 500 * MB, 0 }, { .use = 10, .wear_left = MAX },
	  PASS(500 * MB + A_POLL, 8192, 4096), { W, B, 500 * MB + A_POLL, 0, true } },

	/* --- endurance --- */
	{ "wear: less is left than of the burst", {},
	  { W, B, 500 * MB, 0 }, { .wear_left = 1 << 20 },
	  PASS(1 << 20, 8192, 256), { W, B, 500 * MB + A_POLL, 0, true } },
	{ "wear: nothing is left", {},
	  { W, B, 500 * MB, 0 }, { .wear_left = 0 },
	  NOTHING, { W, B, 500 * MB + A_POLL, 0, true } },
	{ "wear: less than a block is left", {},
	  { W, B, 500 * MB, 0 }, { .wear_left = 4095 },
	  MAY(4095), { W, B, 500 * MB + A_POLL, 0, true } },
	{ "wear: cleaning goes on", {},
	  { C, B, 500 * MB, 0 }, { .use = 700000, .wear_left = 0 },
	  CLEANS(4096), { C, B, 500 * MB + A_POLL, 0, true } },
};
/* clang-format on */
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void prepare(struct swapcache *sc, const struct row *r)
{
	new_one(sc);
	for (size_t i = 0; i < 4; i++) {
		if (r->knobs[i].k || r->knobs[i].value)
			set(sc, r->knobs[i].k, r->knobs[i].value);
	}
	sc->state = r->before.state;
	sc->burst = r->before.burst;
	sc->curburst = r->before.curburst;
	sc->wtrigger = r->before.wtrigger;
	sc->last = LAST;
}

Test(swapcache, table_of_transitions, LIMIT)
{
	_Static_assert(SWAPCACHE_READ_ENABLE == 0, "all 0 is a knob: rows say it with 0 first");

	for (size_t i = 0; i < ROWS; i++) {
		const struct row *r = &rows[i];
		struct swapcache_orders o;
		struct swapcache sc;

		prepare(&sc, r);
		/* the one row that sets knob 0 to 0 */
		if (strncmp(r->what, "read_enable: off", 16) == 0)
			set(&sc, SWAPCACHE_READ_ENABLE, 0);
		o = tick(&sc, &(struct swapcache_view){
				      .now = LAST + POLL,
				      .swap_max = r->view.no_swap ? 0 : SWAP,
				      .cache_use = r->view.use,
				      .inactive = r->view.inactive,
				      .adds = r->view.adds,
				      .wear_left = r->view.wear_left,
				      .pressure = r->view.pressure,
				      .stopping = r->view.stopping,
			      });

		cr_expect_eq(o.sleep, r->orders.sleep, "%s: sleep %lu", r->what, o.sleep);
		cr_expect_eq(o.allowance, r->orders.allowance, "%s: allowance %lu", r->what,
			     o.allowance);
		cr_expect_eq(o.pass, r->orders.scan > 0, "%s: pass %d", r->what, o.pass);
		cr_expect_eq(o.scan, r->orders.scan, "%s: scan %lu", r->what, o.scan);
		cr_expect_eq(o.launder, r->orders.launder, "%s: launder %lu", r->what,
			     o.launder);
		cr_expect_eq(o.clean, r->orders.clean, "%s: clean %lu", r->what, o.clean);
		cr_expect_eq(o.hurry, r->orders.hurry, "%s: hurry %d", r->what, o.hurry);

		cr_expect_eq(sc.state, r->after.state, "%s: %s", r->what,
			     swapcache_state_name(sc.state));
		cr_expect_eq(sc.burst, r->after.burst, "%s: %s", r->what,
			     swapcache_burst_name(sc.burst));
		cr_expect_eq(sc.curburst, r->after.curburst, "%s: curburst %ld", r->what,
			     sc.curburst);
		cr_expect_eq(sc.wtrigger, r->after.wtrigger, "%s: wtrigger %ld", r->what,
			     sc.wtrigger);
		cr_expect_eq(sc.last, r->after.counts ? LAST + POLL : 0, "%s: last %lu",
			     r->what, sc.last);
	}
}

/* Each knob that the policy goes by has a row that begins with its name. */
Test(swapcache, each_knob_of_the_policy_is_in_the_table, LIMIT)
{
	static const enum swapcache_knob others[] = {
		SWAPCACHE_USE_CHFLAGS, SWAPCACHE_MAXFILESIZE, /* who looks at images */
		SWAPCACHE_CLEANPEROBJ,			      /* who cleans them */
		SWAPCACHE_HYSTERESIS,  SWAPCACHE_WRITE_COUNT, /* figures: tests of their own */
	};

	for (unsigned int k = 0; k < SWAPCACHE_KNOBS; k++) {
		const char *name = swapcache_knob[k].name;
		bool found = false;

		for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
			found |= others[i] == (enum swapcache_knob)k;
		for (size_t i = 0; i < ROWS; i++)
			found |= strncmp(rows[i].what, name, strlen(name)) == 0 ||
				 (k == SWAPCACHE_MAXLAUNDER &&
				  strncmp(rows[i].what, "maxscan, maxlaunder", 19) == 0);
		cr_expect(found, "%s", name);
	}
}

Test(swapcache, a_new_one, LIMIT)
{
	struct swapcache sc;

	memset(&sc, 0xff, sizeof(sc));
	cr_assert_not(swapcache_is_sane(&sc));
	memset(&sc, 0, sizeof(sc));
	cr_assert_not(swapcache_is_sane(&sc));
	swapcache_init(&sc);
	cr_assert(swapcache_is_sane(&sc));
	for (unsigned int k = 0; k < SWAPCACHE_KNOBS; k++)
		cr_expect_eq(swapcache_get(&sc, (enum swapcache_knob)k), swapcache_knob[k].def,
			     "%s", swapcache_knob[k].name);
	cr_expect_str_eq(swapcache_state_name(sc.state), "writing");
	cr_expect_str_eq(swapcache_burst_name(sc.burst), "bursting");
	cr_expect_str_eq(swapcache_state_name(SWAPCACHE_CLEANING), "cleaning");
	cr_expect_str_eq(swapcache_burst_name(SWAPCACHE_RECOVERING), "recovering");
	cr_expect_str_eq(swapcache_state_name(2), "?");
	cr_expect_str_eq(swapcache_burst_name(UINT32_MAX), "?");
}

/* A file of which one field is not what it can be. */
Test(swapcache, sanity, LIMIT)
{
	struct swapcache sc;

#define WRONG(field, value)                                                                    \
	do {                                                                                   \
		new_one(&sc);                                                                  \
		sc.field = value;                                                              \
		cr_expect_not(swapcache_is_sane(&sc), "%s", #field);                           \
	} while (0)
	WRONG(magic, sc.magic + 1);
	WRONG(version, sc.version + 1);
	WRONG(state, 2);
	WRONG(burst, 2);
	WRONG(part, SEC);
	WRONG(curburst, INT64_MAX);
	WRONG(curburst, INT64_MIN);
	WRONG(write_count, UINT64_MAX);
	WRONG(hysteresis, UINT64_MAX);
	WRONG(wtrigger, INT64_MIN);
	for (unsigned int k = 0; k < SWAPCACHE_KNOBS; k++) {
		WRONG(knob[k], swapcache_knob[k].max + 1);
		if (swapcache_knob[k].min)
			WRONG(knob[k], swapcache_knob[k].min - 1);
	}
#undef WRONG
}

Test(swapcache, set_and_get, LIMIT)
{
	struct swapcache sc, was;
	struct err e = { 0 };

	new_one(&sc);
	for (unsigned int k = 0; k < SWAPCACHE_KNOBS; k++) {
		const struct swapcache_knob_info *i = &swapcache_knob[k];
		enum swapcache_knob knob = (enum swapcache_knob)k;

		if (i->read_only)
			continue;
		set(&sc, knob, i->max);
		cr_expect_eq(swapcache_get(&sc, knob), i->max, "%s", i->name);
		set(&sc, knob, i->min);
		cr_expect_eq(swapcache_get(&sc, knob), i->min, "%s", i->name);
		cr_expect(swapcache_is_sane(&sc), "%s", i->name);
		was = sc;
		cr_expect_eq(swapcache_set(&sc, knob, i->max + 1, &e), -EINVAL);
		cr_expect_not_null(strstr(e.text, i->name), "%s", e.text);
		cr_expect_eq(memcmp(&was, &sc, sizeof(sc)), 0, "%s: it is as it was", i->name);
	}
	cr_expect_eq(swapcache_set(&sc, SWAPCACHE_HYSTERESIS, 2000, &e), -EINVAL);

	sc.curburst = -4096;
	cr_expect_eq(swapcache_get(&sc, SWAPCACHE_CURBURST), 0, "below 0 is nothing");
}

/* hysteresis shows what is waited for; the end of a pass begins the wait anew. */
Test(swapcache, reached_end_waits_for_a_quarter, LIMIT)
{
	struct swapcache_view v = { .now = SEC, .swap_max = SWAP, .wear_left = MAX };
	struct swapcache sc;

	new_one(&sc);
	cr_assert_not(tick(&sc, &v).pass, "nothing has come yet");
	v.adds = 1024;
	cr_assert(tick(&sc, &v).pass);
	v.adds = 0;
	v.inactive = 40000;
	cr_assert(tick(&sc, &v).pass, "until its end is reached");
	cr_assert_eq(swapcache_get(&sc, SWAPCACHE_HYSTERESIS), 10000);
	swapcache_reached_end(&sc);
	cr_assert_eq(sc.wtrigger, -10000);
	v.adds = 9999;
	cr_assert_not(tick(&sc, &v).pass);
	v.adds = 1;
	cr_assert(tick(&sc, &v).pass);
	swapcache_reached_end(&sc);
	/* there is less to wait for meanwhile */
	v.adds = 0;
	v.inactive = 8000;
	cr_assert_not(tick(&sc, &v).pass);
	cr_assert_eq(sc.wtrigger, -2000);
	cr_assert_eq(swapcache_get(&sc, SWAPCACHE_HYSTERESIS), 2000);
}

Test(swapcache, write_count, LIMIT)
{
	struct swapcache sc;

	new_one(&sc);
	swapcache_wrote(&sc, 65536);
	swapcache_wrote(&sc, 4096);
	cr_assert_eq(swapcache_get(&sc, SWAPCACHE_WRITE_COUNT), 69632);
	cr_assert_eq(swapcache_get(&sc, SWAPCACHE_CURBURST), 4000 * MB - 69632);
	set(&sc, SWAPCACHE_WRITE_COUNT, 0);
	swapcache_wrote(&sc, 4096);
	cr_assert_eq(swapcache_get(&sc, SWAPCACHE_WRITE_COUNT), 4096);
	/* whatever is said, it stays what can be */
	swapcache_wrote(&sc, UINT64_MAX);
	cr_assert(swapcache_is_sane(&sc));
	swapcache_wrote(&sc, UINT64_MAX);
	swapcache_wrote(&sc, 4096);
	cr_assert(swapcache_is_sane(&sc));
	cr_assert_eq(swapcache_get(&sc, SWAPCACHE_WRITE_COUNT), INT64_MAX);
}
