/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * One thread, drum-swapcache, with a ring of its own, so that no guest's fault ever waits for
 * it: its writes are not urgent to a device, and workers give it buffers and go on.  It decides
 * nothing: each tick it shows the policy (swapcache.h) what there is, and does what that says.
 *
 *	swapcached.c		the thread: ticks, sleep, start and end
 *	swapcached_put.c	buffers, the allowance, writes
 *	swapcached_clean.c	objects: cleaning, devices that are left, ends
 *	swapcached_pass.c	passes of guests' workers
 *	swapcached_wear.c	records of what was written to devices
 *
 * A turn: wait for completions, until the next tick at most; a tick if it is due or somebody
 * has woken the thread; else, or after it, one bounded piece of cleaning.  While there is
 * more to clean the wait is 0, so writes that end are looked at between any two pieces.  Once
 * a second, or when a budget was set, it looks at devices (wear), whatever the policy sleeps.
 *
 * Who wakes it sets `woken` and writes to an eventfd that the ring polls.  A tick that comes
 * early does no harm: the policy goes by the time that has passed.
 *
 * Time is that of options.now and wall; the sleep is a real one.  So with a clock that a test
 * moves nothing happens but when the test wakes the thread.
 *
 * Locks: one mutex, `lock`, for the list of objects, the pool of puts with the allowance, how
 * many guests are in a pass, and the tables of wear that others see.  It is a leaf, held for
 * arithmetic (and a write to the eventfd).  No function of cacheobj, drum or wear is called
 * with it held.
 *
 * The end.  From swapcached_quiesce on nothing is taken (swapcached_get says NULL), given puts
 * are dropped rather than written, and nothing is cleaned: after the seed's
 * shutdown_swapcache.
 * Writes that a device has end.  swapcached_stop waits until every put is back, then the thread
 * goes.
 */

#include "swap/swapcached.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memlock.h"
#include "swap/swapcached_priv.h"

#define RING_ENTRIES 64u
#define LOOK_NS	     NSEC_PER_SEC
#define STOP_NS	     NSEC_PER_SEC /* real: a device that hangs is not waited for longer */

static int64_t wall_clock(void)
{
	return (int64_t)time(NULL);
}

static void on_wake(struct ring_op *op, int res)
{
	struct swapcached *sd =
		(struct swapcached *)((char *)op - offsetof(struct swapcached, wake_poll));
	uint64_t n;

	(void)res;
	(void)!read(sd->wake_fd, &n, sizeof(n));
}

void swapcached_wake(struct swapcached *sd)
{
	uint64_t one = 1;

	__atomic_store_n(&sd->woken, true, __ATOMIC_RELEASE);
	(void)!write(sd->wake_fd, &one, sizeof(one));
}

void swapcached_pressure(void *arg)
{
	swapcached_wake(arg);
}

/* What is done each second, the policy awake or not. */
static void look(struct swapcached *sd, uint64_t now)
{
	if (now < sd->look_at && !swapcached_budget_asked(sd))
		return;
	sd->look_at = now + LOOK_NS;
	swapcached_wear_look(sd);
}

static void tick(struct swapcached *sd, uint64_t now)
{
	struct swapcache_orders o = { 0 };
	struct swapcache_view v = {
		.now = now,
		.swap_max = drum_cache_blocks(sd->drum),
		.cache_use = drum_cached(sd->drum),
		.inactive = __atomic_load_n(&sd->passes.inactive, __ATOMIC_RELAXED),
		.adds = __atomic_exchange_n(&sd->passes.adds, 0, __ATOMIC_RELAXED),
		.wear_left = swapcached_wear_left(sd),
		.pressure = drum_pressure(sd->drum),
		.stopping = swapcached_is_quiet(sd),
	};

	if (swapcached_pass_ended(sd))
		swapcache_reached_end(sd->policy);
	swapcache_tick(sd->policy, &v, &o);
	sd->due = now + o.sleep;
	swapcached_allow(sd, o.allowance);
	swapcached_pass_orders(sd, &o);
	swapcached_clean_begin(sd, &o, now);
}

static void turn(struct swapcached *sd, bool more)
{
	uint64_t now = sd->now(), until = sd->due < sd->look_at ? sd->due : sd->look_at;
	bool woken;
	int ret = ring_run(sd->ring, more || until <= now ? 0 : until - now);

	if (ret < 0) {
		log_err("swapcache: io_uring: %s", strerror(-ret));
		BROKEN("the ring does not run");
	}
	woken = __atomic_exchange_n(&sd->woken, false, __ATOMIC_ACQ_REL);
	now = sd->now();
	if (woken)
		sd->leave_at = 0;
	if (woken || now >= sd->look_at) {
		look(sd, now);
		swapcached_objects_step(sd, now);
	}
	if (woken || now >= sd->due) {
		tick(sd, now);
		sd->ticked = now;
	}
}

static bool is_over(struct swapcached *sd)
{
	bool over;

	pthread_mutex_lock(&sd->lock);
	over = sd->stop && sd->busy == 0;
	pthread_mutex_unlock(&sd->lock);
	return over;
}

static void become(struct swapcached *sd, int state, int err)
{
	pthread_mutex_lock(&sd->lock);
	sd->state = state;
	if (err)
		err_set(&sd->start_err, err, "swapcache: io_uring: %s", strerror(-err));
	pthread_cond_signal(&sd->cond);
	pthread_mutex_unlock(&sd->lock);
}

static void *run(void *arg)
{
	struct swapcached *sd = arg;
	bool more = false;

	prctl(PR_SET_NAME, "drum-swapcache");
	memlock_touch_stack();
	sd->ring = ring_create(RING_ENTRIES);
	if (!sd->ring) {
		become(sd, SWAPCACHED_OVER, -errno);
		return NULL;
	}
	ring_poll(sd->ring, &sd->wake_poll, sd->wake_fd);
	become(sd, SWAPCACHED_RUNS, 0);
	while (!is_over(sd)) {
		turn(sd, more);
		more = swapcached_clean_step(sd);
		if (!more)
			__atomic_store_n(&sd->looked, sd->ticked, __ATOMIC_RELEASE);
	}
	ring_destroy(sd->ring);
	swapcached_wear_look(sd);
	swapcached_wear_fini(sd);
	swapcached_objects_fini(sd);
	become(sd, SWAPCACHED_OVER, 0);
	return NULL;
}

static void destroy(struct swapcached *sd)
{
	if (sd->wake_fd >= 0)
		close(sd->wake_fd);
	if (sd->buffers)
		swapcached_puts_fini(sd);
	pthread_cond_destroy(&sd->cond);
	pthread_mutex_destroy(&sd->lock);
	free(sd);
}

static struct swapcached *create(const struct swapcached_options *o)
{
	struct swapcached *sd = aligned_alloc(64, (sizeof(*sd) + 63) & ~(size_t)63);
	pthread_condattr_t attr;

	if (!sd)
		return NULL;
	memset(sd, 0, sizeof(*sd));
	sd->drum = o->drum;
	sd->policy = o->policy;
	sd->state_dir = o->state_dir;
	sd->now = o->now ? o->now : clock_ns;
	sd->wall = o->wall ? o->wall : wall_clock;
	sd->wake_poll.done = on_wake;
	pthread_mutex_init(&sd->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&sd->cond, &attr);
	pthread_condattr_destroy(&attr);
	sd->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (sd->wake_fd >= 0 && swapcached_puts_init(sd) == 0)
		return sd;
	destroy(sd);
	return NULL;
}

struct swapcached *swapcached_start(const struct swapcached_options *o, struct err *e)
{
	struct swapcached *sd = create(o);
	int ret;

	if (!sd) {
		err_set(e, -ENOMEM, "swapcache: out of memory, or of descriptors");
		return NULL;
	}
	ret = pthread_create(&sd->thread, NULL, run, sd);
	if (ret) {
		err_set(e, -ret, "swapcache: no thread: %s", strerror(ret));
		destroy(sd);
		return NULL;
	}
	pthread_mutex_lock(&sd->lock);
	while (sd->state == SWAPCACHED_STARTING)
		pthread_cond_wait(&sd->cond, &sd->lock);
	pthread_mutex_unlock(&sd->lock);
	if (sd->start_err.code) {
		*e = sd->start_err;
		pthread_join(sd->thread, NULL);
		destroy(sd);
		return NULL;
	}
	drum_on_pressure(sd->drum, swapcached_pressure, sd);
	return sd;
}

void swapcached_quiesce(struct swapcached *sd)
{
	__atomic_store_n(&sd->quiet, true, __ATOMIC_RELEASE);
	swapcached_wake(sd);
}

void swapcached_resume(struct swapcached *sd)
{
	__atomic_store_n(&sd->quiet, false, __ATOMIC_RELEASE);
	swapcached_wake(sd);
}

bool swapcached_stop(struct swapcached *sd)
{
	struct timespec until;
	bool over;

	if (!sd)
		return true;
	swapcached_quiesce(sd);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(STOP_NS / NSEC_PER_SEC);
	pthread_mutex_lock(&sd->lock);
	sd->stop = true;
	pthread_mutex_unlock(&sd->lock);
	swapcached_wake(sd);
	pthread_mutex_lock(&sd->lock);
	while (sd->state != SWAPCACHED_OVER &&
	       pthread_cond_timedwait(&sd->cond, &sd->lock, &until) == 0)
		;
	over = sd->state == SWAPCACHED_OVER;
	pthread_mutex_unlock(&sd->lock);
	if (!over) {
		log_warn("swapcache: a write has not ended");
		return false;
	}
	pthread_join(sd->thread, NULL);
	drum_on_pressure(sd->drum, NULL, NULL);
	destroy(sd);
	return true;
}

static uint64_t get(const uint64_t *c)
{
	return __atomic_load_n(c, __ATOMIC_RELAXED);
}

void swapcached_get_stats(struct swapcached *sd, struct swapcached_stats *out)
{
	const struct swapcache *sc = sd->policy;

	*out = (struct swapcached_stats){
		.looked = __atomic_load_n(&sd->looked, __ATOMIC_ACQUIRE),
		.state = __atomic_load_n(&sc->state, __ATOMIC_RELAXED),
		.burst = __atomic_load_n(&sc->burst, __ATOMIC_RELAXED),
		.curburst = __atomic_load_n(&sc->curburst, __ATOMIC_RELAXED),
		.write_count = get(&sc->write_count),
		.swap_max = drum_cache_blocks(sd->drum),
		.use = drum_cached(sd->drum),
		.passes = get(&sd->npasses),
		.cleanings = get(&sd->cleanings),
		.hurried = get(&sd->hurried),
		.inflight = __atomic_load_n(&sd->busy, __ATOMIC_RELAXED),
		.write_errors = get(&sd->write_errors),
	};
}
