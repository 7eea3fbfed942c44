/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A pass goes over the inactive pages of all guests once, in as many ticks as the policy's
 * quotas make of it.  Each worker keeps its own place (the marker of the seed), so nobody walks
 * over a list of somebody else's.  passes.pass is the number of the pass while it goes on, and
 * 0 between passes and while it rests (no allowance, cleaning): a worker that finds 0 there,
 * which is nearly always, has read one word that nobody writes.
 *
 * The pass is over when as many guests have come to their end as there are.  A guest that comes
 * meanwhile takes part; one that goes is no longer waited for, whether it had ended or not.
 *
 * Quotas are taken before the pages are looked at, and what was not used is given back, if it
 * is of the same tick.  Of what may be given each guest takes one cluster too many at most.
 */

#include "swap/swapcached_priv.h"

bool swapcached_pass_ended(struct swapcached *sd)
{
	struct passes *p = &sd->passes;
	bool ended;

	if (!p->begun)
		return false;
	pthread_mutex_lock(&sd->lock);
	ended = p->ended >= p->guests;
	pthread_mutex_unlock(&sd->lock);
	if (!ended)
		return false;
	p->begun = false;
	__atomic_store_n(&p->pass, 0, __ATOMIC_RELEASE);
	swapcached_count(&sd->npasses, 1);
	return true;
}

void swapcached_pass_orders(struct swapcached *sd, const struct swapcache_orders *o)
{
	struct passes *p = &sd->passes;

	if (!o->pass || swapcached_is_quiet(sd)) {
		__atomic_store_n(&p->pass, 0, __ATOMIC_RELEASE);
		return;
	}
	if (!p->begun) {
		p->begun = true;
		pthread_mutex_lock(&sd->lock);
		p->number++;
		p->ended = 0;
		pthread_mutex_unlock(&sd->lock);
	}
	p->tick++;
	__atomic_store_n(&p->scan, (uint64_t)p->tick << 32 | (uint32_t)o->scan,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&p->launder, (int64_t)o->launder, __ATOMIC_RELAXED);
	__atomic_store_n(&p->pass, p->number, __ATOMIC_RELEASE);
}

void swapcached_join(struct swapcached *sd, struct swapcached_scanner *s)
{
	*s = (struct swapcached_scanner){ 0 };
	pthread_mutex_lock(&sd->lock);
	sd->passes.guests++;
	pthread_mutex_unlock(&sd->lock);
}

void swapcached_leave(struct swapcached *sd, struct swapcached_scanner *s)
{
	swapcached_tell(sd, s, 0, 0);
	pthread_mutex_lock(&sd->lock);
	sd->passes.guests--;
	if (s->ended && s->pass == sd->passes.number)
		sd->passes.ended--;
	pthread_mutex_unlock(&sd->lock);
}

void swapcached_tell(struct swapcached *sd, struct swapcached_scanner *s, uint64_t inactive,
		     uint64_t adds)
{
	if (inactive != s->inactive) {
		__atomic_fetch_add(&sd->passes.inactive, inactive - s->inactive,
				   __ATOMIC_RELAXED);
		s->inactive = inactive;
	}
	if (adds > 0)
		__atomic_fetch_add(&sd->passes.adds, adds, __ATOMIC_RELAXED);
}

uint64_t swapcached_scan(struct swapcached *sd, struct swapcached_scanner *s, uint64_t want)
{
	struct passes *p = &sd->passes;
	uint64_t pass = __atomic_load_n(&p->pass, __ATOMIC_ACQUIRE), scan;
	uint32_t left, got;

	if (pass == 0)
		return 0;
	if (s->pass != pass) {
		s->pass = pass;
		s->ended = false;
	}
	if (s->ended || __atomic_load_n(&p->launder, __ATOMIC_RELAXED) <= 0 ||
	    __atomic_load_n(&sd->room, __ATOMIC_RELAXED) < SWAP_BLOCK ||
	    __atomic_load_n(&sd->busy, __ATOMIC_RELAXED) == SWAPCACHED_PUTS)
		return 0;
	scan = __atomic_load_n(&p->scan, __ATOMIC_RELAXED);
	do {
		left = (uint32_t)scan;
		got = left < want ? left : (uint32_t)want;
	} while (!__atomic_compare_exchange_n(&p->scan, &scan, scan - got, true,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	s->tick = (uint32_t)(scan >> 32);
	return got;
}

void swapcached_scanned(struct swapcached *sd, struct swapcached_scanner *s, uint64_t unused,
			uint64_t given)
{
	struct passes *p = &sd->passes;
	uint64_t scan = __atomic_load_n(&p->scan, __ATOMIC_RELAXED);

	/* of an earlier tick: the quota is another one by now */
	while (unused > 0 && (uint32_t)(scan >> 32) == s->tick &&
	       !__atomic_compare_exchange_n(&p->scan, &scan, scan + unused, true,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	if (given > 0)
		__atomic_fetch_sub(&p->launder, (int64_t)given, __ATOMIC_RELAXED);
}

void swapcached_scan_ended(struct swapcached *sd, struct swapcached_scanner *s)
{
	pthread_mutex_lock(&sd->lock);
	if (s->pass == sd->passes.number && !s->ended) {
		s->ended = true;
		sd->passes.ended++;
	}
	pthread_mutex_unlock(&sd->lock);
}
