/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * Objects stand in a list in the order of their coming.  Anybody adds at its end; only the
 * daemon's thread takes out, so it may keep a pointer into the list across steps: that is the
 * marker of the seed, for nothing has to be found again where others have passed.
 *
 * Cleaning.  Each tick says how many blocks are to be freed.  They are taken from the object at
 * the marker, from where it was left (cached.clean_at), a piece at a time between which
 * completions are looked at.  When the object has come to its end, or has cost cleanperobj
 * bytes, the marker goes on to the next one; the last is followed by the first.  What an object
 * costs is its scan factor: the words looked at count as the blocks freed do, so a tick is
 * bounded where nothing can be freed.  It is over, too, when as many ends were met as there
 * are objects: what was spared for having been read is not looked at again within it.
 *
 * (The seed begins each object at its first block again when its turn comes.  Here it goes on
 * where it was, so that blocks that are spared for having been read get the same time as others
 * to be read again.)
 *
 * Leaving.  While drum_moving says that some blocks have to move, all objects are walked over
 * likewise: what is on such devices is dropped, and never moved.  A walk that has ended begins
 * again after LEAVE_NS, for a write may have ended meanwhile; or when somebody has woken the
 * thread.  Cleaning goes on beside it, piece by piece: guests whose blocks have to move are the
 * first to need what is cached elsewhere.
 */

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "swap/swapcached_priv.h"

#define CLEAN_PIECE 256u  /* blocks, or words looked at */
#define LEAVE_PIECE 4096u /* words */
#define LEAVE_NS    (200 * NSEC_PER_MSEC)

int swapcached_add(struct swapcached *sd, struct cacheobj *c,
		   void (*over)(void *arg, struct cacheobj *c), void *arg)
{
	struct cached *o = calloc(1, sizeof(*o)), **tail;

	if (!o)
		return -ENOMEM;
	cacheobj_ref(c);
	o->obj = c;
	o->over = over;
	o->arg = arg;
	pthread_mutex_lock(&sd->lock);
	for (tail = &sd->objects; *tail; tail = &(*tail)->next)
		;
	*tail = o;
	sd->nobjects++;
	pthread_mutex_unlock(&sd->lock);
	return 0;
}

/* => the one after o, NULL: the first; or NULL */
static struct cached *next_of(struct swapcached *sd, const struct cached *o)
{
	struct cached *next;

	pthread_mutex_lock(&sd->lock);
	next = o ? o->next : sd->objects;
	pthread_mutex_unlock(&sd->lock);
	return next;
}

static unsigned int count_objects(struct swapcached *sd)
{
	unsigned int n;

	pthread_mutex_lock(&sd->lock);
	n = sd->nobjects;
	pthread_mutex_unlock(&sd->lock);
	return n;
}

static void take_out(struct swapcached *sd, struct cached *o)
{
	struct cached **at, *next = next_of(sd, o);

	if (sd->cleaning.at == o) {
		sd->cleaning.at = next;
		sd->cleaning.here = 0;
	}
	if (sd->leaving == o)
		sd->leaving = next;
	pthread_mutex_lock(&sd->lock);
	for (at = &sd->objects; *at != o; at = &(*at)->next)
		;
	*at = o->next;
	sd->nobjects--;
	pthread_mutex_unlock(&sd->lock);
}

void swapcached_objects_step(struct swapcached *sd, uint64_t now)
{
	struct cached *o = next_of(sd, NULL), *next;

	for (; o; o = next) {
		next = next_of(sd, o);
		cacheobj_step(o->obj, now);
		if (!cacheobj_is_retired(o->obj) || !cacheobj_is_idle(o->obj))
			continue;
		take_out(sd, o);
		if (o->over)
			o->over(o->arg, o->obj);
		cacheobj_unref(o->obj);
		free(o);
	}
}

void swapcached_objects_fini(struct swapcached *sd)
{
	while (sd->objects) {
		struct cached *o = sd->objects;

		sd->objects = o->next;
		cacheobj_unref(o->obj);
		free(o);
	}
}

void swapcached_clean_begin(struct swapcached *sd, const struct swapcache_orders *o,
			    uint64_t now)
{
	struct cleaning *cl = &sd->cleaning;
	bool quiet = swapcached_is_quiet(sd);

	if (o->clean > 0 && !cl->on) {
		swapcached_count(&sd->cleanings, 1);
		swapcached_count(&sd->hurried, o->hurry);
	}
	cl->on = o->clean > 0;
	cl->left = quiet ? 0 : o->clean;
	cl->hurry = o->hurry;
	cl->ends = 0;
	if (quiet || !drum_moving(sd->drum)) {
		sd->leaving = NULL;
		return;
	}
	if (!sd->leaving && now >= sd->leave_at)
		sd->leaving = next_of(sd, NULL);
	if (sd->due > now + LEAVE_NS)
		sd->due = now + LEAVE_NS;
}

static void clean_piece(struct swapcached *sd)
{
	struct cleaning *cl = &sd->cleaning;
	uint64_t per_object = swapcache_get(sd->policy, SWAPCACHE_CLEANPEROBJ);
	uint64_t want, here, n;

	if (!cl->at)
		cl->at = next_of(sd, NULL);
	if (!cl->at) {
		cl->left = 0;
		return;
	}
	want = cl->left < CLEAN_PIECE ? cl->left : CLEAN_PIECE;
	/* the knob may have been set lower meanwhile */
	here = per_object > cl->here ? (per_object - cl->here) / SWAP_BLOCK + 1 : 1;
	if (want > here)
		want = here;
	n = cacheobj_clean(cl->at->obj, &cl->at->clean_at, want, cl->hurry);
	cl->left -= n < cl->left ? n : cl->left;
	cl->here += n * SWAP_BLOCK;
	if (n == 0) {
		cl->at->clean_at = 0;
		cl->ends++;
	}
	if (n == 0 || cl->here > per_object) {
		cl->at = next_of(sd, cl->at);
		cl->here = 0;
	}
	if (n == 0 && cl->ends >= count_objects(sd))
		cl->left = 0;
}

static void leave_piece(struct swapcached *sd)
{
	struct cached *o = sd->leaving;

	if (cacheobj_leave_devices(o->obj, &o->leave_at, LEAVE_PIECE))
		return;
	o->leave_at = 0;
	sd->leaving = next_of(sd, o);
	if (!sd->leaving)
		sd->leave_at = sd->now() + LEAVE_NS;
}

bool swapcached_clean_step(struct swapcached *sd)
{
	if (swapcached_is_quiet(sd)) {
		sd->cleaning.left = 0;
		sd->leaving = NULL;
	}
	if (sd->leaving)
		leave_piece(sd);
	if (sd->cleaning.left > 0)
		clean_piece(sd);
	return sd->leaving || sd->cleaning.left > 0;
}
