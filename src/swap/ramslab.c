/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A slab is in one of these places:
 *
 *	never used	from s->fresh on; its struct is all zeros and untouched
 *	bare, spare	lists of slabs of no class
 *	a group		of its class: by eighths of its slots that are in use
 *			(0 to 7), from which slots are taken, fullest first
 *	apart		of a class and in no list: full, being drained, stuck,
 *			or (class none) in the hands of who took it
 *
 * Per class, `slabs` counts its slabs, those apart included, and `used` its
 * slots in use; needed is the sum over classes of used / slots, rounded up.
 *
 *	needed <= classed, and slabs that are neither are there for any class.
 *
 * Where classed > needed, some class has slabs * slots - used >= slots: as many
 * free slots as a whole slab has, and so whatever is in one of its slabs fits
 * into the others.  Hence as long as needed is less than all slabs, a slab can
 * be had for any class by draining one (ramslabs_drain), and fragmentation
 * never makes memory useless.  A stuck slab, which has a slot that cannot be
 * moved because it is damaged, is the exception.
 */

#include "swap/ramslab.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#define GROUPS	   8u
#define MAP_WORDS  (RAMSLAB_SLOTS / 64)
#define NO_CLASS   0u /* slab.class is 1 + class: zeros are a slab never used */
#define NO_GROUP   0u /* slab.group is 1 + group */
#define CLASS_STEP 8u /* slots' sizes are multiples of it */

/* Slots of a slab: sizes go up by 1/8 or so, and little is left over at a
 * slab's end (0.7 % at most).  The largest is some 3/4 of a page: what does not
 * compress to that is better off on the next device. */
static const uint16_t slots_of[RAMSLAB_CLASSES] = {
	1024, 819, 682, 585, 512, 455, 390, 341, 292, 256, 227, 199, 174, 154, 136,
	120,  106, 94,	83,  74,  66,  58,  51,	 45,  40,  35,	31,  27,  24,  21,
};

enum { NOT_APART, DRAINING, STUCK };

struct slab {
	uint32_t next, prev; /* in its list */
	uint16_t used;
	uint8_t class;
	uint8_t group;
	uint8_t apart;		 /* enum */
	uint64_t map[MAP_WORDS]; /* slots in use */
};

struct class
{
	uint32_t slabs;
	uint64_t used;
	uint32_t group[GROUPS]; /* lists */
};

struct ramslabs {
	uint32_t n;
	uint32_t fresh; /* slabs from here on were never used */
	uint32_t bare, spare;
	uint32_t nspare;
	uint32_t classed, needed;
	struct class class[RAMSLAB_CLASSES];
	struct slab *slab;
};

uint32_t ramslabs_cost(void)
{
	return sizeof(struct slab);
}

uint32_t ramslabs_slots(uint32_t class)
{
	return slots_of[class];
}

uint32_t ramslabs_slot_bytes(uint32_t class)
{
	return RAMSLAB_BYTES / slots_of[class] / CLASS_STEP * CLASS_STEP;
}

uint32_t ramslabs_class(uint32_t bytes)
{
	uint32_t low = 0, high = RAMSLAB_CLASSES - 1;

	assert(bytes <= RAMSLAB_SLOT_MAX);
	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (ramslabs_slot_bytes(mid) >= bytes)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

struct ramslabs *ramslabs_create(uint32_t n)
{
	struct ramslabs *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	/* touched only where it is used */
	s->slab = mmap(NULL, (size_t)n * sizeof(*s->slab), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->slab == MAP_FAILED) {
		free(s);
		return NULL;
	}
	s->n = n;
	s->bare = s->spare = RAMSLAB_NONE;
	for (uint32_t c = 0; c < RAMSLAB_CLASSES; c++)
		for (uint32_t g = 0; g < GROUPS; g++)
			s->class[c].group[g] = RAMSLAB_NONE;
	return s;
}

void ramslabs_destroy(struct ramslabs *s)
{
	if (!s)
		return;
	munmap(s->slab, (size_t)s->n * sizeof(*s->slab));
	free(s);
}

/* --- lists ------------------------------------------------------------------ */

static void push(struct ramslabs *s, uint32_t *head, uint32_t i)
{
	s->slab[i].prev = RAMSLAB_NONE;
	s->slab[i].next = *head;
	if (*head != RAMSLAB_NONE)
		s->slab[*head].prev = i;
	*head = i;
}

static void take_out(struct ramslabs *s, uint32_t *head, uint32_t i)
{
	struct slab *b = &s->slab[i];

	if (b->prev != RAMSLAB_NONE)
		s->slab[b->prev].next = b->next;
	else
		*head = b->next;
	if (b->next != RAMSLAB_NONE)
		s->slab[b->next].prev = b->prev;
}

static bool pop(struct ramslabs *s, uint32_t *head, uint32_t *i)
{
	if (*head == RAMSLAB_NONE)
		return false;
	*i = *head;
	take_out(s, head, *i);
	return true;
}

static struct class *class_of(struct ramslabs *s, const struct slab *b)
{
	return &s->class[b->class - 1];
}

static void leave_group(struct ramslabs *s, uint32_t i)
{
	struct slab *b = &s->slab[i];

	if (b->group != NO_GROUP)
		take_out(s, &class_of(s, b)->group[b->group - 1], i);
	b->group = NO_GROUP;
}

/* Into the group in which it should be; a full one is in none. */
static void join_group(struct ramslabs *s, uint32_t i)
{
	struct slab *b = &s->slab[i];
	uint32_t slots = slots_of[b->class - 1];
	uint32_t group = b->used * GROUPS / slots;

	if (b->group == group + 1)
		return;
	leave_group(s, i);
	if (b->used == slots)
		return;
	push(s, &class_of(s, b)->group[group], i);
	b->group = (uint8_t)(group + 1);
}

/* --- counting --------------------------------------------------------------- */

static void mark(struct ramslabs *s, uint32_t i, uint32_t slot)
{
	struct slab *b = &s->slab[i];
	struct class *c = class_of(s, b);

	b->map[slot / 64] |= UINT64_C(1) << slot % 64;
	b->used++;
	s->needed += c->used++ % slots_of[b->class - 1] == 0;
}

static void unmark(struct ramslabs *s, uint32_t i, uint32_t slot)
{
	struct slab *b = &s->slab[i];
	struct class *c = class_of(s, b);

	b->map[slot / 64] &= ~(UINT64_C(1) << slot % 64);
	b->used--;
	s->needed -= --c->used % slots_of[b->class - 1] == 0;
}

static bool is_marked(const struct slab *b, uint32_t slot)
{
	return b->map[slot / 64] >> slot % 64 & 1;
}

static void set_class(struct ramslabs *s, uint32_t i, uint32_t class)
{
	s->slab[i].class = (uint8_t)(class + 1);
	s->class[class].slabs++;
	s->classed++;
}

/* It is empty and in no list. */
static void end_class(struct ramslabs *s, uint32_t i)
{
	assert(s->slab[i].used == 0);
	class_of(s, &s->slab[i])->slabs--;
	s->slab[i].class = NO_CLASS;
	s->slab[i].apart = NOT_APART;
	s->classed--;
	ramslabs_put_spare(s, i);
}

/* --- slots ------------------------------------------------------------------ */

static uint32_t free_slot(const struct slab *b)
{
	uint32_t w = 0;

	while (b->map[w] == UINT64_MAX)
		w++;
	return w * 64 + (uint32_t)__builtin_ctzll(~b->map[w]);
}

bool ramslabs_take(struct ramslabs *s, uint32_t class, struct ramslot *at)
{
	struct class *c = &s->class[class];

	for (uint32_t g = GROUPS; g-- > 0;) {
		if (c->group[g] == RAMSLAB_NONE)
			continue;
		at->slab = c->group[g];
		at->slot = free_slot(&s->slab[at->slab]);
		mark(s, at->slab, at->slot);
		join_group(s, at->slab);
		return true;
	}
	return false;
}

/* A slab that is being drained is not given back under the drainer's hands. */
void ramslabs_give(struct ramslabs *s, struct ramslot at)
{
	struct slab *b = &s->slab[at.slab];

	assert(ramslabs_used(s, at, ramslabs_class_of(s, at.slab)));
	unmark(s, at.slab, at.slot);
	if (b->apart == DRAINING)
		return;
	if (b->used == 0) {
		leave_group(s, at.slab);
		end_class(s, at.slab);
	} else if (b->apart == NOT_APART) {
		join_group(s, at.slab);
	}
}

bool ramslabs_used(const struct ramslabs *s, struct ramslot at, uint32_t class)
{
	return at.slab < s->fresh && s->slab[at.slab].class == class + 1 &&
	       at.slot < slots_of[class] && is_marked(&s->slab[at.slab], at.slot);
}

uint32_t ramslabs_next(const struct ramslabs *s, uint32_t slab, uint32_t slot)
{
	const struct slab *b = &s->slab[slab];
	uint64_t rest;

	for (uint32_t w = slot / 64; w < MAP_WORDS; w++, slot = w * 64) {
		rest = b->map[w] >> slot % 64;
		if (rest)
			return slot + (uint32_t)__builtin_ctzll(rest);
	}
	return RAMSLAB_NONE;
}

uint32_t ramslabs_class_of(const struct ramslabs *s, uint32_t slab)
{
	return s->slab[slab].class - 1u;
}

/* --- recovery --------------------------------------------------------------- */

bool ramslabs_claim(struct ramslabs *s, struct ramslot at, uint32_t class)
{
	struct slab *b;

	if (at.slab >= s->n || class >= RAMSLAB_CLASSES || at.slot >= slots_of[class])
		return false;
	b = &s->slab[at.slab];
	if (b->class == NO_CLASS)
		set_class(s, at.slab, class);
	else if (b->class != class + 1 || is_marked(b, at.slot))
		return false;
	mark(s, at.slab, at.slot);
	if (at.slab >= s->fresh)
		s->fresh = at.slab + 1;
	return true;
}

void ramslabs_claimed(struct ramslabs *s)
{
	for (uint32_t i = s->fresh; i-- > 0;) {
		if (s->slab[i].class == NO_CLASS)
			ramslabs_put_bare(s, i);
		else
			join_group(s, i);
	}
}

bool ramslabs_occupied(const struct ramslabs *s, uint32_t slab)
{
	return slab < s->fresh && s->slab[slab].used > 0;
}

/* --- slabs ------------------------------------------------------------------ */

bool ramslabs_take_bare(struct ramslabs *s, uint32_t *slab)
{
	if (pop(s, &s->bare, slab))
		return true;
	if (s->fresh == s->n)
		return false;
	*slab = s->fresh++;
	return true;
}

bool ramslabs_take_spare(struct ramslabs *s, uint32_t *slab)
{
	if (!pop(s, &s->spare, slab))
		return false;
	s->nspare--;
	return true;
}

void ramslabs_put_bare(struct ramslabs *s, uint32_t slab)
{
	push(s, &s->bare, slab);
}

void ramslabs_put_spare(struct ramslabs *s, uint32_t slab)
{
	push(s, &s->spare, slab);
	s->nspare++;
}

uint32_t ramslabs_spare(const struct ramslabs *s)
{
	return s->nspare;
}

void ramslabs_assign(struct ramslabs *s, uint32_t slab, uint32_t class)
{
	set_class(s, slab, class);
	join_group(s, slab);
}

/* The emptiest slab of a class, or one that is nearly that. */
static uint32_t emptiest(const struct class *c)
{
	for (uint32_t g = 0; g < GROUPS; g++)
		if (c->group[g] != RAMSLAB_NONE)
			return c->group[g];
	return RAMSLAB_NONE;
}

bool ramslabs_drain(struct ramslabs *s, uint32_t *slab)
{
	uint64_t least = UINT64_MAX;

	for (uint32_t k = 0; k < RAMSLAB_CLASSES; k++) {
		const struct class *c = &s->class[k];
		uint32_t i = emptiest(c);
		uint64_t bytes;

		if (i == RAMSLAB_NONE ||
		    (uint64_t)c->slabs * slots_of[k] - c->used < slots_of[k])
			continue;
		bytes = (uint64_t)s->slab[i].used * ramslabs_slot_bytes(k);
		if (bytes < least) {
			least = bytes;
			*slab = i;
		}
	}
	if (least == UINT64_MAX)
		return false;
	leave_group(s, *slab);
	s->slab[*slab].apart = DRAINING;
	return true;
}

void ramslabs_drained(struct ramslabs *s, uint32_t slab, bool stuck)
{
	struct slab *b = &s->slab[slab];

	b->apart = NOT_APART;
	if (b->used == 0)
		end_class(s, slab);
	else if (stuck)
		b->apart = STUCK;
	else
		join_group(s, slab);
}

uint32_t ramslabs_classed(const struct ramslabs *s)
{
	return s->classed;
}

uint32_t ramslabs_needed(const struct ramslabs *s)
{
	return s->needed;
}
