/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Ten times a second the thread takes what the rate allows of runs that are
 * free and were not discarded yet.  Such a run is allocated while it is being
 * discarded: a block that somebody has just written can never be hit.  Short
 * runs are left until they have grown; what still has not when nothing else was
 * found for some time is discarded as it is, a few at a time: its neighbours were
 * discarded before.
 *
 * A device that cannot do it (EOPNOTSUPP) or fails is told of once by its
 * listener; its runs are given back as discarded.
 */

#include "swap/discard.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/clock.h"

#define TICK_NS (100 * NSEC_PER_MSEC)
#define RUN_MIN 16u   /* blocks: 64 KiB */
#define RUN_MAX 4096u /* 16 MiB in one call */

#define SHORT_AFTER 20u /* ticks without a longer run: then short ones, */
#define SHORT_MAX   64u /* so many in a tick */

struct discarder {
	struct drum *drum;
	uint64_t blocks_a_tick;
	unsigned int idle; /* ticks since there was a run that is not short */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool stop; /* [lock] */
};

static int discard_run(struct drum *d, drum_addr a, uint64_t n)
{
	struct swap_device *dev = drum_device(d, drum_device_of(a));
	int ret = dev->ops->discard ? dev->ops->discard(dev, drum_block_of(a), n) : -EOPNOTSUPP;

	if (ret == 0)
		__atomic_fetch_add(&dev->count.discard_bytes, n << SWAP_BLOCK_SHIFT,
				   __ATOMIC_RELAXED);
	else if (!__atomic_exchange_n(&dev->discard_failed, true, __ATOMIC_RELAXED))
		device_tell(dev, SWAP_EVENT_ERROR, ret, "discard: %s", strerror(-ret));
	return ret;
}

static void tick(struct discarder *dc)
{
	uint64_t left = dc->blocks_a_tick, n;
	unsigned int runs = 0;

	dc->idle++;
	while (left >= RUN_MIN && runs < SHORT_MAX) {
		uint64_t min = dc->idle > SHORT_AFTER ? 1 : RUN_MIN;
		drum_addr a = drum_take_undiscarded(dc->drum, min,
						    left < RUN_MAX ? left : RUN_MAX, &n);

		if (a == DRUM_NONE)
			return;
		/* one that was given up may still be carried out, over what is
		 * written there next */
		if (drum_is_late(discard_run(dc->drum, a, n)))
			drum_hold(dc->drum, NULL, a, n);
		else
			drum_discarded(dc->drum, a, n);
		left -= n;
		if (n >= RUN_MIN)
			dc->idle = 0;
		else
			runs++;
	}
}

static void *run(void *arg)
{
	struct discarder *dc = arg;

	prctl(PR_SET_NAME, "drum-discard");
	pthread_mutex_lock(&dc->lock);
	while (!dc->stop) {
		struct timespec until;

		pthread_mutex_unlock(&dc->lock);
		tick(dc);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += (long)TICK_NS;
		until.tv_sec += until.tv_nsec / (long)NSEC_PER_SEC;
		until.tv_nsec %= (long)NSEC_PER_SEC;
		pthread_mutex_lock(&dc->lock);
		if (!dc->stop)
			pthread_cond_timedwait(&dc->cond, &dc->lock, &until);
	}
	pthread_mutex_unlock(&dc->lock);
	return NULL;
}

struct discarder *discard_start(struct drum *d, uint64_t bytes)
{
	struct discarder *dc = calloc(1, sizeof(*dc));
	pthread_condattr_t attr;
	int ret;

	if (!dc)
		return NULL;
	dc->drum = d;
	dc->blocks_a_tick = (bytes >> SWAP_BLOCK_SHIFT) / (NSEC_PER_SEC / TICK_NS);
	if (dc->blocks_a_tick < RUN_MIN)
		dc->blocks_a_tick = RUN_MIN;
	pthread_mutex_init(&dc->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&dc->cond, &attr);
	pthread_condattr_destroy(&attr);
	ret = pthread_create(&dc->thread, NULL, run, dc);
	if (ret == 0)
		return dc;
	pthread_cond_destroy(&dc->cond);
	pthread_mutex_destroy(&dc->lock);
	free(dc);
	errno = ret;
	return NULL;
}

void discard_stop(struct discarder *dc)
{
	if (!dc)
		return;
	pthread_mutex_lock(&dc->lock);
	dc->stop = true;
	pthread_cond_signal(&dc->cond);
	pthread_mutex_unlock(&dc->lock);
	pthread_join(dc->thread, NULL);
	pthread_cond_destroy(&dc->cond);
	pthread_mutex_destroy(&dc->lock);
	free(dc);
}
