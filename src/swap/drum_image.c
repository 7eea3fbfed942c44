/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Images have the numbers behind those of swap devices, and stand in no order[]: so nothing
 * that looks for blocks, sums up or lists finds them.  They have no blist but a number of
 * owners, which is all that has to be known before one is removed.
 */

#include <errno.h>
#include <limits.h>
#include <pthread.h>

#include "swap/drum_private.h"

static bool is_image_number(unsigned int number)
{
	return number >= DRUM_IMAGE_FIRST && number <= DRUM_NUMBERS_MAX;
}

int drum_add_image(struct drum *d, struct swap_device *dev, unsigned int number)
{
	int ret = -ENOSPC;

	if (number != 0 && !is_image_number(number))
		return -EINVAL;
	pthread_mutex_lock(&d->lock);
	for (unsigned int i = DRUM_IMAGE_FIRST; number == 0 && i <= DRUM_NUMBERS_MAX; i++)
		if (!d->entry[i].dev)
			number = i;
	if (number != 0)
		ret = d->entry[number].dev ? -EBUSY : (int)number;
	if (ret > 0)
		d->entry[number] = (struct entry){ .dev = dev };
	pthread_mutex_unlock(&d->lock);
	return ret;
}

void drum_set_image_off(struct drum *d, unsigned int number, bool off)
{
	struct entry *en = &d->entry[number];

	pthread_mutex_lock(&d->lock);
	if (is_image_number(number) && en->dev && en->off != off) {
		__atomic_store_n(&en->off, off, __ATOMIC_RELAXED);
		d->images_off += off ? 1 : UINT_MAX;
	}
	pthread_mutex_unlock(&d->lock);
}

uint64_t drum_image_owners(struct drum *d, unsigned int number)
{
	return __atomic_load_n(&d->entry[number].owners, __ATOMIC_ACQUIRE);
}

struct swap_device *drum_image(struct drum *d, unsigned int number)
{
	struct swap_device *dev = NULL;

	pthread_mutex_lock(&d->lock);
	if (is_image_number(number))
		dev = d->entry[number].dev;
	pthread_mutex_unlock(&d->lock);
	return dev;
}

struct swap_device *drum_remove_image(struct drum *d, unsigned int number)
{
	struct swap_device *dev = NULL;
	struct entry *en = &d->entry[number];

	pthread_mutex_lock(&d->lock);
	if (is_image_number(number) && en->dev && drum_image_owners(d, number) == 0 &&
	    __atomic_load_n(&en->dev->count.inflight, __ATOMIC_ACQUIRE) == 0) {
		dev = en->dev;
		d->images_off -= en->off;
		*en = (struct entry){ 0 };
	}
	pthread_mutex_unlock(&d->lock);
	return dev;
}
