/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A round: bounds and working set of each guest; the equilibrium (arbiter_price.c), which says
 * what each is due; its target, which follows that; the level; its grant, which is what the
 * level makes of the target; and what is cold.
 *
 * **What it can use** is what is resident and room to grow: a 32nd of what it uses, or twice of
 * what it has grown by in the last round, so who grows doubles his pace.  What is on swap does
 * not count: a guest that needs it brings it in and is seen to grow, and what it does not need
 * would be kept free for it in vain.
 *
 * **Working set.**  A guest can touch only what it gets, and while it waits it touches little,
 * so with what it is due its measured working set would fall too, and with that what it is due.
 * Therefore a measurement is believed as far as the guest does not miss anything: while it
 * stalls more than the target, its working set may only rise; when it has stalled ten times as
 * much over a minute, all that it has in memory and on swap counts as used, and is not taxed.
 * It takes no more of that than it needs, for what it can use follows what is resident.  Rising
 * is fast (8 s), falling slow (60 s): memory that was given up too early costs more than memory
 * that was kept too long.  Of a guest that nobody has looked at yet all counts as used: it
 * keeps what its shares buy, and no more.
 *
 * **Targets** follow what is due: not at all within a 512th, slowly (30 s) within a 64th, as
 * noise does, and else so fast as memory can be moved.  Down at most a 16th a second, and up a
 * quarter, but 64 MiB always; at HARD and LOW down at once.  What a guest does not have
 * is no memory: a target falls to what is resident without delay.
 *
 * **Grants.**  A target above what is resident is a permission to grow, and all grow at memory
 * speed.  So what all may grow by together is limited to what is free less 2 %; reservations
 * come first, and are granted even if nothing is free.  At HIGH who is above his target
 * keeps what he has while there is enough for all, and else gives it up slowly (30 s), for
 * there is no need, but it is what others are due; when these have used up the free memory the
 * level falls, and it is taken faster.  When there is enough for all, what is left of the
 * budget is granted as well, by shares, so that nobody waits for a round who needs more at
 * once.
 *
 * **Cold memory** is taken each 6 s of who stalls less than the target, as TMO's senpai
 * does (ASPLOS'22), here from what is known to be cold: the rate rises while it is not missed,
 * scaled by how far stalls are from the target, and is halved when they are above.
 */
#include "balloon/arbiter_priv.h"

#include "base/clock.h"

#define MIB	 (UINT64_C(1) << 20)
#define PAGE	 UINT64_C(4096)
#define DT_MAX	 (2 * NSEC_PER_SEC)
#define RISE_NS	 (8 * NSEC_PER_SEC)
#define FALL_NS	 (60 * NSEC_PER_SEC)
#define DRIFT_NS (30 * NSEC_PER_SEC)
#define TAKE_NS	 (6 * NSEC_PER_SEC)
#define COLD_NS                                                                                \
	(300 * NSEC_PER_SEC)  /* so long is a guest said to be without what was taken          \
			       */
#define THRASHES   10	      /* times the target */
#define MOVE_LEAST (64 * MIB) /* a second */

typedef unsigned __int128 wide;

const char *arbiter_level_name(enum arbiter_level level)
{
	static const char *const name[] = { "high", "soft", "hard", "low" };

	_Static_assert(sizeof(name) / sizeof(name[0]) == ARBITER_LEVELS, "a name for each");
	return name[level];
}

const char *arbiter_why_name(enum arbiter_why why)
{
	static const char *const name[] = { "off",	   "enough", "price", "limit",
					    "reservation", "cold",   "busy" };

	_Static_assert(sizeof(name) / sizeof(name[0]) == ARBITER_WHYS, "a name for each");
	return name[why];
}

/* --- what is seen ------------------------------------------------------------------------ */

/* Towards y, as far as a first-order lag of tau goes in dt; stable for any dt. */
static uint64_t lag(uint64_t x, uint64_t y, uint64_t dt, uint64_t tau)
{
	return y > x ? x + part_u64(y - x, dt, tau + dt) : x - part_u64(x - y, dt, tau + dt);
}

static void look_at_working_set(const struct arbiter_conf *conf, struct arbiter_guest *g,
				uint64_t used, uint64_t dt)
{
	uint64_t target = conf->stall_target ? conf->stall_target : ARBITER_STALL_TARGET;
	uint64_t seen = min_u64(g->working_set, used);

	/* the first, and the first that is no guess, is believed at once, unless it stalls */
	if (!g->keep.known || (g->keep.guess && !g->guess && g->some_10s <= target)) {
		g->keep.active = seen;
		g->keep.guess = g->guess;
		return;
	}
	/* some_60s of one that waited all the time takes seven minutes to fall to the target,
	 * so whether that is over the short average says */
	if (g->some_10s > target && g->some_60s > target * THRASHES)
		seen = used;
	if (seen > g->keep.active)
		g->keep.active = lag(g->keep.active, seen, dt, RISE_NS);
	else if (g->some_10s <= target)
		g->keep.active = lag(g->keep.active, seen, dt, FALL_NS);
	g->keep.active = min_u64(g->keep.active, used);
}

static uint64_t growth(const struct arbiter_guest *g, uint64_t used)
{
	uint64_t grown = less_u64(g->resident, g->keep.resident);

	if (!g->keep.known)
		return max_u64(ARBITER_LEAST, used / 8);
	return max_u64(max_u64(ARBITER_LEAST, used / 32),
		       min_u64(sum_u64(grown, grown), used / 2));
}

static void sane(struct arbiter_guest *g)
{
	g->limit = min_u64(g->limit, g->size);
	g->reservation = min_u64(g->reservation, g->limit);
	g->shares = max_u64(g->shares, 1);
}

static void look_at(const struct arbiter_conf *conf, struct arbiter_guest *g, uint64_t dt)
{
	uint64_t used = sum_u64(g->resident, g->swapped);

	look_at_working_set(conf, g, used, dt);
	g->work.least = max_u64(g->reservation, min_u64(g->limit, ARBITER_LEAST));
	g->work.most = max_u64(g->work.least,
			       min_u64(g->limit, sum_u64(g->resident, growth(g, used))));
}

/* --- the host ---------------------------------------------------------------------------- */

static bool below(uint64_t free, uint64_t budget, unsigned int percent)
{
	return (wide)free * 100 < (wide)budget * percent;
}

static enum arbiter_level next_level(enum arbiter_level level, uint64_t free, uint64_t budget)
{
	/* [level]: the next worse one is entered below, and it is left again at */
	static const unsigned int enter[] = { 4, 2, 1 }, leave[] = { 6, 4, 2 };

	while (level < ARBITER_LOW && below(free, budget, enter[level]))
		level++;
	while (level > ARBITER_HIGH && !below(free, budget, leave[level - 1]))
		level--;
	return level;
}

/* What can be given to guests: 15/16 of the budget, or of what the host can have. */
static uint64_t pool_of(const struct arbiter_conf *conf, const struct arbiter_host *host)
{
	uint64_t spare = conf->budget / 16;

	return less_u64(min_u64(conf->budget, sum_u64(host->used, host->available)), spare);
}

/* --- targets ----------------------------------------------------------------------------- */

static uint64_t moved(const struct arbiter_guest *g, uint64_t dt, bool at_once)
{
	uint64_t old = g->keep.target, due = g->work.due, apart, step;

	if (due < old)
		old = max_u64(due, min_u64(old, g->resident));
	apart = due < old ? old - due : due - old;
	if (apart <= old / 512)
		return old;
	if (apart <= old / 64)
		step = max_u64(PAGE, part_u64(apart, dt, DRIFT_NS + dt));
	else if (due > old)
		step = part_u64(max_u64(MOVE_LEAST, old / 4), dt, NSEC_PER_SEC);
	else if (at_once)
		step = apart;
	else
		step = part_u64(max_u64(MOVE_LEAST, old / 16), dt, NSEC_PER_SEC);
	step = min_u64(step, apart);
	return due < old ? old - step : old + step;
}

static enum arbiter_why why(const struct arbiter_conf *conf, const struct arbiter_guest *g)
{
	if (g->work.due >= g->work.most) {
		if (g->work.most == g->limit && g->limit < g->size)
			return ARBITER_AT_LIMIT;
		if (g->keep.took_at && g->swapped && g->some_10s < conf->stall_target)
			return ARBITER_COLD;
		return ARBITER_ENOUGH;
	}
	return g->work.due <= g->work.least ? ARBITER_RESERVATION : ARBITER_PRICE;
}

static void decide_target(const struct arbiter_conf *conf, struct arbiter_guest *g, uint64_t dt,
			  enum arbiter_level level)
{
	if (!g->keep.known)
		g->keep.target = g->resident;
	g->target = moved(g, dt, level >= ARBITER_HARD);
	g->target = max_u64(g->work.least, min_u64(g->limit, g->target));
	g->why = why(conf, g);
	g->keep.target = g->target;
	g->keep.resident = g->resident;
	g->keep.known = true;
}

/* --- grants ------------------------------------------------------------------------------ */

/* What it would be granted, were there free memory enough. dt: until the next round */
static uint64_t goal(const struct arbiter_host *host, const struct arbiter_guest *g,
		     uint64_t dt)
{
	uint64_t most = g->target;

	if (host->level <= ARBITER_SOFT)
		most = sum_u64(most, min_u64(g->balloon, less_u64(g->resident, g->target)));
	if (host->level == ARBITER_HIGH) {
		most = sum_u64(most, g->work.room);
		if (most < g->resident)
			most = host->price ? lag(g->resident, most, dt, DRIFT_NS) : g->resident;
	}
	return min_u64(most, g->limit);
}

/* What is granted whether anything is free or not: what it has, and what is reserved. */
static uint64_t sure(const struct arbiter_host *host, const struct arbiter_guest *g,
		     uint64_t dt)
{
	return max_u64(g->work.least, min_u64(goal(host, g, dt), g->resident));
}

static void decide_grants(const struct arbiter_conf *conf, struct arbiter_host *host,
			  struct arbiter_guest *guest, size_t n, uint64_t dt)
{
	uint64_t free = less_u64(host->free, (uint64_t)((wide)conf->budget * 2 / 100));
	bool enough = host->level == ARBITER_HIGH && host->price == 0;
	wide wishes = 0;

	for (size_t i = 0; i < n; i++) {
		struct arbiter_guest *g = &guest[i];

		if (g->busy)
			continue;
		/* also of one that has no more than it is due, and pages for want of it */
		if (!enough)
			g->balloon =
				min_u64(less_u64(sum_u64(g->resident, g->swapped), g->target),
					g->balloon_gives);
		g->grant = sure(host, g, dt);
		free = less_u64(free, less_u64(g->grant, g->resident));
		wishes += less_u64(goal(host, g, dt), g->grant);
	}
	for (size_t i = 0; i < n; i++) {
		struct arbiter_guest *g = &guest[i];
		uint64_t wish;

		if (g->busy)
			continue;
		wish = less_u64(goal(host, g, dt), g->grant);
		if (wishes > free)
			wish = (uint64_t)((wide)wish * free / wishes);
		g->grant += wish;
	}
	host->steps += 2 * n;
}

/* --- what is cold ------------------------------------------------------------------------ */

static void take_cold(const struct arbiter_conf *conf, struct arbiter_guest *g, uint64_t now)
{
	uint64_t rate = g->keep.rate, can;

	if (conf->stall_target == 0) {
		g->keep.rate = 0;
		return;
	}
	if (g->keep.looked_at == 0)
		g->keep.looked_at = now;
	if (now - g->keep.looked_at < TAKE_NS)
		return;
	g->keep.looked_at = now;
	if (g->some_10s >= conf->stall_target) {
		g->keep.rate = rate / 2;
		return;
	}
	rate = sum_u64(rate, max_u64(g->resident / 16384, 64 * 1024));
	g->keep.rate = rate = min_u64(rate, max_u64(g->resident / 512, MIB));
	if (g->resident > g->grant)
		return; /* it goes already */
	/* what is on swap is cold, as the coldest went first */
	can = min_u64(less_u64(g->cold, g->swapped), less_u64(g->resident, g->work.least));
	can = min_u64(can, rate * (TAKE_NS / NSEC_PER_SEC));
	g->take = part_u64(can, conf->stall_target - g->some_10s, conf->stall_target) / PAGE *
		  PAGE;
	if (g->take > 0)
		g->keep.took_at = now;
}

/* --- rounds ------------------------------------------------------------------------------ */

static void decide_nothing(struct arbiter_host *host, struct arbiter_guest *guest, size_t n)
{
	host->level = ARBITER_HIGH;
	host->free = host->available;
	host->price = 0;
	for (size_t i = 0; i < n; i++) {
		struct arbiter_guest *g = &guest[i];

		g->target = g->grant = g->limit;
		g->price = g->next = 0;
		g->why = ARBITER_OFF;
		g->keep.known = false;
		g->keep.rate = g->keep.took_at = g->keep.looked_at = 0;
	}
}

/* What it has is what it has: nothing of that can be had for others. */
static uint64_t leave_alone(struct arbiter_guest *g)
{
	uint64_t has = max_u64(g->resident, g->reservation);

	g->target = max_u64(g->reservation,
			    min_u64(g->keep.known ? g->keep.target : has, g->limit));
	g->grant = has;
	g->why = ARBITER_BUSY;
	g->keep.resident = g->resident;
	return has;
}

void arbiter_decide(const struct arbiter_conf *conf, struct arbiter_host *host,
		    struct arbiter_guest *guest, size_t n, uint64_t now)
{
	uint64_t dt = host->decided_at ? min_u64(less_u64(now, host->decided_at), DT_MAX)
				       : NSEC_PER_SEC;
	uint32_t tax = conf->tax < 99 ? conf->tax : 99;
	uint64_t pool;

	host->decided_at = now ? now : 1;
	host->used = 0;
	host->steps = n;
	for (size_t i = 0; i < n; i++) {
		sane(&guest[i]);
		guest[i].take = guest[i].balloon = 0;
		host->used = sum_u64(host->used, guest[i].resident);
	}
	if (conf->budget == 0) {
		decide_nothing(host, guest, n);
		return;
	}
	host->free = min_u64(less_u64(conf->budget, host->used), host->available);
	host->level = next_level(host->level, host->free, conf->budget);
	pool = pool_of(conf, host);
	for (size_t i = 0; i < n; i++) {
		if (guest[i].busy)
			pool = less_u64(pool, leave_alone(&guest[i]));
		else
			look_at(conf, &guest[i], dt);
	}
	host->price = arbiter_equilibrium(guest, n, pool, tax, &host->steps);
	for (size_t i = 0; i < n; i++)
		if (!guest[i].busy)
			decide_target(conf, &guest[i], dt, host->level);
	decide_grants(conf, host, guest, n, dt);
	for (size_t i = 0; i < n; i++) {
		struct arbiter_guest *g = &guest[i];

		if (!g->busy)
			take_cold(conf, g, now);
		g->price = arbiter_price_of(g, g->target, tax);
		g->next = arbiter_price_of(g, sum_u64(g->target, MIB), tax);
	}
	host->steps += 3 * n;
}
