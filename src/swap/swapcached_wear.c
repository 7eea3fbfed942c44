/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Once a second the thread looks which devices are on, opens or closes their records
 * (wear.h), and adds what their own counters of written bytes have grown by: so guests' pages
 * count as well.  A device that was taken out and put back counts from 0 again.
 *
 * Between two looks `left` goes down by what the daemon itself begins to write.  What is still
 * in flight at a look is in no counter yet, and is taken off there; a write that ends is
 * counted by its device before its done is called, on this thread, so nothing is missed.
 *
 * Records are this thread's alone.  Others see a copy, and ask for budgets in a table, which
 * is looked at as soon as the thread has woken up.  A device without a record, for there was no
 * memory, gets nothing: nobody knows what it may have.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "swap/swapcached_priv.h"

static const unsigned int days[3] = { 1, 7, 28 };

static void drop_record(struct worn *w, int64_t wall)
{
	wear_close(w->wear, wall);
	free(w->path);
	w->wear = NULL;
	w->path = NULL;
	w->counted = 0;
	w->left = 0;
	w->failures = 0;
	w->save_failed = false;
}

static void open_record(struct swapcached *sd, struct worn *w, int64_t wall)
{
	struct err e = { 0 };

	w->path = strdup(sd->path);
	w->wear = w->path ? wear_open(sd->state_dir, sd->path, wall, &e) : NULL;
	if (!w->wear) {
		log_warn("swapcache: what is written to %s is not counted: %s", sd->path,
			 e.code ? e.text : "out of memory");
		drop_record(w, wall);
	}
}

static void save(struct worn *w)
{
	int ret = wear_save(w->wear);

	if (ret < 0 && !w->save_failed)
		log_warn("swapcache: what was written to %s cannot be noted: %s", w->path,
			 strerror(-ret));
	w->save_failed = ret < 0;
}

static void look_at(struct swapcached *sd, unsigned int number, int64_t wall)
{
	struct worn *w = &sd->worn[number];
	uint64_t bytes = 0;
	struct budget b;
	bool on;

	/* first: it was asked of the device that is on now, or of one that came later */
	pthread_mutex_lock(&sd->lock);
	b = sd->budget[number];
	sd->budget[number].asked = false;
	pthread_mutex_unlock(&sd->lock);
	on = drum_written(sd->drum, number, sd->path, sizeof(sd->path), &bytes);
	if (w->wear && (!on || strcmp(w->path, sd->path) != 0))
		drop_record(w, wall);
	if (on && !w->wear)
		open_record(sd, w, wall);
	if (!w->wear)
		return;
	if (b.asked)
		wear_set_budget(w->wear, b.per_day);
	if (bytes < w->counted)
		w->counted = 0;
	if (bytes > w->counted)
		wear_add(w->wear, bytes - w->counted, wall);
	w->counted = bytes;
	w->left = wear_left(w->wear, wall, NULL);
	if (w->left != UINT64_MAX)
		w->left -= w->inflight < w->left ? w->inflight : w->left;
	save(w);
}

static void show(struct swapcached *sd, int64_t wall)
{
	struct swapcached_wear all[DRUM_DEVICES_MAX];
	size_t n = 0;

	for (unsigned int i = 1; i <= DRUM_DEVICES_MAX; i++) {
		const struct worn *w = &sd->worn[i];
		struct swapcached_wear *s = &all[n];
		unsigned int tightest = 0;

		if (!w->wear)
			continue;
		n++;
		*s = (struct swapcached_wear){ .number = i, .budget = wear_budget(w->wear) };
		s->left = wear_left(w->wear, wall, &tightest);
		s->tightest = s->budget ? tightest : 0;
		for (int d = 0; d < 3; d++)
			s->written[d] = wear_written(w->wear, days[d], wall);
	}
	pthread_mutex_lock(&sd->lock);
	memcpy(sd->shown, all, n * sizeof(all[0]));
	sd->nshown = n;
	pthread_mutex_unlock(&sd->lock);
}

void swapcached_wear_look(struct swapcached *sd)
{
	int64_t wall = sd->wall();

	for (unsigned int i = 1; i <= DRUM_DEVICES_MAX; i++)
		look_at(sd, i, wall);
	show(sd, wall);
}

void swapcached_wear_fini(struct swapcached *sd)
{
	for (unsigned int i = 1; i <= DRUM_DEVICES_MAX; i++)
		if (sd->worn[i].wear)
			drop_record(&sd->worn[i], sd->wall());
}

uint64_t swapcached_wear_left(const struct swapcached *sd)
{
	uint64_t sum = 0;

	for (unsigned int i = 1; i <= DRUM_DEVICES_MAX; i++)
		if (__builtin_add_overflow(sum, sd->worn[i].left, &sum))
			return UINT64_MAX;
	return sum;
}

uint64_t swapcached_wear_allowed(const struct swapcached *sd)
{
	uint64_t allowed = 0;

	_Static_assert(DRUM_DEVICES_MAX == 64, "a bit for each but the last");
	for (unsigned int i = 1; i < DRUM_DEVICES_MAX; i++)
		if (sd->worn[i].left >= SWAP_BLOCK)
			allowed |= UINT64_C(1) << i;
	return allowed;
}

uint64_t swapcached_wear_fits(const struct swapcached *sd, drum_addr a, uint64_t n)
{
	uint64_t left = sd->worn[drum_device_of(a)].left / SWAP_BLOCK;

	return left < n ? left : n;
}

void swapcached_wear_begin(struct swapcached *sd, drum_addr a, uint64_t bytes)
{
	struct worn *w = &sd->worn[drum_device_of(a)];

	w->inflight += bytes;
	if (w->left != UINT64_MAX)
		w->left -= bytes < w->left ? bytes : w->left;
}

void swapcached_wear_end(struct swapcached *sd, drum_addr a, uint64_t bytes)
{
	sd->worn[drum_device_of(a)].inflight -= bytes;
}

bool swapcached_budget_asked(struct swapcached *sd)
{
	bool asked = false;

	pthread_mutex_lock(&sd->lock);
	for (unsigned int i = 1; i <= DRUM_DEVICES_MAX; i++)
		asked |= sd->budget[i].asked;
	pthread_mutex_unlock(&sd->lock);
	return asked;
}

/* Any thread. */

void swapcached_set_budget(struct swapcached *sd, unsigned int number, uint64_t per_day)
{
	if (number == 0 || number > DRUM_DEVICES_MAX)
		return;
	pthread_mutex_lock(&sd->lock);
	sd->budget[number] = (struct budget){ .asked = true, .per_day = per_day };
	pthread_mutex_unlock(&sd->lock);
	swapcached_wake(sd);
}

size_t swapcached_get_wear(struct swapcached *sd, struct swapcached_wear *out, size_t max)
{
	size_t n;

	pthread_mutex_lock(&sd->lock);
	n = sd->nshown < max ? sd->nshown : max;
	memcpy(out, sd->shown, n * sizeof(*out));
	pthread_mutex_unlock(&sd->lock);
	return n;
}
