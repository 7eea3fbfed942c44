/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Two machines side by side, as in DragonFly's vm_swapcached_thread.  How full swap may get:
 *
 *	WRITING		until the cache has more than maxswappct percent of its swap, or guests
 *			need swap
 *	CLEANING	until it has less than ten points below that, or nothing; nothing is
 *			written
 *
 * And how fast the device may wear.  curburst is what may be written.  It grows by accrate a
 * second, up to maxburst, in every state but only while the daemon is on, and whatever is
 * written is taken off:
 *
 *	BURSTING	until curburst is used up
 *	RECOVERING	until it is more than minburst, or as much as it can be
 *
 * In either nothing is written unless there is a second's worth, and a cluster: little writes
 * make fragments.  "Used up" is less than a cluster, for nobody is ever allowed more than
 * curburst; the seed goes below 0 by the end of a cluster, and looks for that.  It is looked
 * for before curburst grows: the writes since the last tick are what it is about.
 *
 *	Whoever never takes more than the allowance writes, in any time, at most curburst at
 *	its beginning and accrate for each second: allowance <= curburst at each tick, what is
 *	written is taken off, and nothing else adds to it but accumulate().
 *
 * accumulate() counts parts of a byte, so that ticks may come at any time: the daemon is woken
 * for many reasons.  Time that went back, after a reboot with a run directory that outlived
 * it, adds nothing.  Nor does time for which the daemon was off (`last` is 0 then).  Time
 * without a pager counts if it was on before and after: it is no gift, since the sum
 * of all that is written stays below accrate times the time.
 *
 * Knobs are set one by one, so any combination has to make sense: a full curburst is
 * enough, although accrate or minburst say more than maxburst.
 *
 * The trigger.  A pass over inactive pages is worth its time when there are many new ones.
 * wtrigger is -hysteresis after a pass that came to the end, grows by each page that becomes
 * inactive, in every state, and from 0 on there are passes, until one comes to the end.
 * Who fills the cache with what is read anyway needs no pass, and no trigger.
 *
 * curburst, write_count and hysteresis are knobs that the daemon changes too; they have fields
 * of their own, and their places in knob[] are unused.
 */

#include "swap/swapcache.h"

#include <string.h>

#define MAGIC	UINT64_C(0x3143575350434444) /* "DDCPSWC1" */
#define VERSION UINT64_C(1)

#define BLOCK	     UINT64_C(4096)
#define SEC	     UINT64_C(1000000000)
#define HYST_POINTS  10u		/* between full and clean enough, percent of swap */
#define CURBURST_MAX (INT64_C(1) << 50) /* as its knob */

static uint64_t get(const uint64_t *field)
{
	return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static void put(uint64_t *field, uint64_t value)
{
	__atomic_store_n(field, value, __ATOMIC_RELAXED);
}

static int64_t curburst(const struct swapcache *sc)
{
	return __atomic_load_n(&sc->curburst, __ATOMIC_RELAXED);
}

static void set_state(struct swapcache *sc, enum swapcache_state state)
{
	__atomic_store_n(&sc->state, (uint32_t)state, __ATOMIC_RELAXED);
}

static void set_burst(struct swapcache *sc, enum swapcache_burst burst)
{
	__atomic_store_n(&sc->burst, (uint32_t)burst, __ATOMIC_RELAXED);
}

void swapcache_init(struct swapcache *sc)
{
	*sc = (struct swapcache){
		.magic = MAGIC,
		.version = VERSION,
		.curburst = (int64_t)swapcache_knob[SWAPCACHE_CURBURST].def,
		.write_count = swapcache_knob[SWAPCACHE_WRITE_COUNT].def,
		.hysteresis = swapcache_knob[SWAPCACHE_HYSTERESIS].def,
		.wtrigger = -(int64_t)swapcache_knob[SWAPCACHE_HYSTERESIS].def,
		.state = SWAPCACHE_WRITING,
		.burst = SWAPCACHE_BURSTING,
	};
	for (unsigned int k = 0; k < SWAPCACHE_KNOBS; k++)
		sc->knob[k] = swapcache_knob[k].def;
}

bool swapcache_is_sane(const struct swapcache *sc)
{
	if (sc->magic != MAGIC || sc->version != VERSION)
		return false;
	for (unsigned int k = 0; k < SWAPCACHE_KNOBS; k++) {
		if (sc->knob[k] < swapcache_knob[k].min || sc->knob[k] > swapcache_knob[k].max)
			return false;
	}
	return sc->curburst >= -CURBURST_MAX && sc->curburst <= CURBURST_MAX &&
	       sc->write_count <= swapcache_knob[SWAPCACHE_WRITE_COUNT].max &&
	       sc->hysteresis <= swapcache_knob[SWAPCACHE_HYSTERESIS].max &&
	       sc->wtrigger >= -(int64_t)swapcache_knob[SWAPCACHE_HYSTERESIS].max &&
	       (sc->state == SWAPCACHE_WRITING || sc->state == SWAPCACHE_CLEANING) &&
	       (sc->burst == SWAPCACHE_BURSTING || sc->burst == SWAPCACHE_RECOVERING) &&
	       sc->part < SEC;
}

int swapcache_set(struct swapcache *sc, enum swapcache_knob k, uint64_t value, struct err *e)
{
	int ret = swapcache_knob_check(k, value, e);

	if (ret < 0)
		return ret;
	if (k == SWAPCACHE_CURBURST)
		__atomic_store_n(&sc->curburst, (int64_t)value, __ATOMIC_RELAXED);
	else if (k == SWAPCACHE_WRITE_COUNT)
		put(&sc->write_count, value);
	else
		put(&sc->knob[k], value);
	return 0;
}

uint64_t swapcache_get(const struct swapcache *sc, enum swapcache_knob k)
{
	int64_t cur;

	switch (k) {
	case SWAPCACHE_CURBURST:
		cur = curburst(sc);
		return cur > 0 ? (uint64_t)cur : 0;
	case SWAPCACHE_WRITE_COUNT:
		return get(&sc->write_count);
	case SWAPCACHE_HYSTERESIS:
		return get(&sc->hysteresis);
	default:
		return get(&sc->knob[k]);
	}
}

/* So many percent of swap. */
static uint64_t swap_share(const struct swapcache_view *v, uint64_t percent)
{
	return (uint64_t)((unsigned __int128)v->swap_max * percent / 100);
}

static bool is_on(const struct swapcache *sc, const struct swapcache_view *v, uint64_t most)
{
	return v->swap_max && (get(&sc->knob[SWAPCACHE_DATA_ENABLE]) ||
			       get(&sc->knob[SWAPCACHE_META_ENABLE]) || v->cache_use > most);
}

/* curburst grows by `bytes`, to maxburst at most; it stays where it is above that. */
static void grow(struct swapcache *sc, uint64_t bytes, int64_t max)
{
	int64_t was = curburst(sc), now;

	do {
		if (was >= max)
			return;
		now = bytes >= (uint64_t)(max - was) ? max : was + (int64_t)bytes;
	} while (!__atomic_compare_exchange_n(&sc->curburst, &was, now, false, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
}

static void accumulate(struct swapcache *sc, uint64_t now)
{
	uint64_t rate = get(&sc->knob[SWAPCACHE_ACCRATE]);
	int64_t max = (int64_t)get(&sc->knob[SWAPCACHE_MAXBURST]);
	unsigned __int128 parts;

	if (sc->last && now > sc->last) {
		parts = (unsigned __int128)(now - sc->last) * rate + sc->part;
		sc->part = (uint64_t)(parts % SEC);
		parts /= SEC;
		grow(sc, parts > CURBURST_MAX ? 2 * CURBURST_MAX : (uint64_t)parts, max);
	}
	sc->last = now ? now : 1;
}

/* How many pages a pass waits for, from now on. */
static void set_hysteresis(struct swapcache *sc, uint64_t inactive)
{
	uint64_t least = get(&sc->knob[SWAPCACHE_MIN_HYSTERESIS]);
	uint64_t hyst = inactive / 4 > least ? inactive / 4 : least;

	put(&sc->hysteresis, hyst);
	if (sc->wtrigger < -(int64_t)hyst)
		sc->wtrigger = -(int64_t)hyst;
}

/* How many bytes may be written now? */
static uint64_t may_write(struct swapcache *sc)
{
	int64_t cur = curburst(sc), max = (int64_t)get(&sc->knob[SWAPCACHE_MAXBURST]);
	int64_t enough = (int64_t)get(&sc->knob[SWAPCACHE_ACCRATE]);
	int64_t least = (int64_t)get(&sc->knob[SWAPCACHE_MINBURST]);

	if (enough < (int64_t)SWAPCACHE_CLUSTER)
		enough = (int64_t)SWAPCACHE_CLUSTER;
	if (cur < enough && cur < max)
		return 0;
	if (sc->burst == SWAPCACHE_RECOVERING) {
		if (cur <= least && cur < max)
			return 0;
		set_burst(sc, SWAPCACHE_BURSTING);
	}
	return (uint64_t)cur;
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void swapcache_tick(struct swapcache *sc, const struct swapcache_view *v,
		    struct swapcache_orders *out)
{
	uint64_t percent = get(&sc->knob[SWAPCACHE_MAXSWAPPCT]);
	uint64_t most = swap_share(v, percent);
	bool hurry = v->pressure && v->cache_use;
	bool on = is_on(sc, v, most);

	*out = (struct swapcache_orders){ .sleep = SWAPCACHE_IDLE_NS };
	if (__builtin_add_overflow(sc->wtrigger, v->adds, &sc->wtrigger))
		sc->wtrigger = INT64_MAX;
	if (v->stopping || (!on && !hurry)) {
		sc->last = 0;
		sc->part = 0;
		return;
	}
	out->sleep = hurry ? SWAPCACHE_HURRY_NS : SWAPCACHE_POLL_NS;

	if (hurry || v->cache_use > most)
		set_state(sc, SWAPCACHE_CLEANING);
	else if (!v->cache_use || v->cache_use < swap_share(v, percent - HYST_POINTS))
		set_state(sc, SWAPCACHE_WRITING);

	if (curburst(sc) < (int64_t)SWAPCACHE_CLUSTER)
		set_burst(sc, SWAPCACHE_RECOVERING);
	if (on) {
		accumulate(sc, v->now);
	} else {
		sc->last = 0;
		sc->part = 0;
	}
	set_hysteresis(sc, v->inactive);

	if (sc->state == SWAPCACHE_CLEANING) {
		out->clean = get(&sc->knob[SWAPCACHE_MAXLAUNDER]);
		out->hurry = hurry;
		return;
	}
	if (v->pressure)
		return;
	out->allowance = least_of(may_write(sc), v->wear_left);
	out->launder = least_of(get(&sc->knob[SWAPCACHE_MAXLAUNDER]), out->allowance / BLOCK);
	out->scan = get(&sc->knob[SWAPCACHE_MAXSCAN]);
	out->pass = out->launder && sc->wtrigger >= 0;
	if (!out->pass)
		out->launder = out->scan = 0;
}

void swapcache_wrote(struct swapcache *sc, uint64_t bytes)
{
	const uint64_t max = swapcache_knob[SWAPCACHE_WRITE_COUNT].max;
	int64_t was = curburst(sc), now;
	uint64_t count = get(&sc->write_count);

	do {
		now = bytes > (uint64_t)CURBURST_MAX || was < (int64_t)bytes - CURBURST_MAX
			      ? -CURBURST_MAX
			      : was - (int64_t)bytes;
	} while (!__atomic_compare_exchange_n(&sc->curburst, &was, now, false, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	while (!__atomic_compare_exchange_n(&sc->write_count, &count,
					    bytes > max - count ? max : count + bytes, false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

void swapcache_reached_end(struct swapcache *sc)
{
	sc->wtrigger = -(int64_t)get(&sc->hysteresis);
}

const char *swapcache_state_name(uint32_t state)
{
	static const char *const name[] = { "writing", "cleaning" };

	return state < 2 ? name[state] : "?";
}

const char *swapcache_burst_name(uint32_t burst)
{
	static const char *const name[] = { "bursting", "recovering" };

	return burst < 2 ? name[burst] : "?";
}
