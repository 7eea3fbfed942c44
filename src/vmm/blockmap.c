/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * The table (blocktable.h) says which block of a disk a page held when it was last read from
 * there or written to it, and a hash of that.  From then on the guest may change the page, and
 * nobody is told; it is when the page is to go out, inactive and not pinned, that its hash is
 * compared, as with clean copies (kept.c):
 *
 *	same	the word says "valid" at {image, block}, then punch: it is swapped, and
 *		nothing was written
 *	another	the record is dropped, the page is written like any other
 *
 * The word is stored before the punch, and the block holds the page already: a death between
 * any two of these leaves the page in memory, or on the image.  docs/order.md.
 *
 * An evicted page comes in like any other, by a read of the image; its word goes, its
 * record stays.  What was read must have the hash that was noted: an image that somebody else
 * has changed is an error, and never a guest's page.  After a restart no hash is known;
 * that of what is read first is taken.
 *
 * The block may not change while a page lives there.  How that is so is in blockmap.h.  A
 * change that finds evicted pages in its blocks waits until they have been read, with the
 * haste of a fault.  It need not hold them: with a change of it in the list their block gets
 * no record any more, so if they leave again it is for swap.
 *
 * A write that has failed may be carried out later, by a server that was away: for as long as
 * late blocks of swap are kept out of use (DRUM_HOLD_NS), nothing is noted of that disk.
 * So it is after a restart, for writes of the dead.
 *
 * A disk is left as a swap device is: its image is "off", so nobody leaves memory for it
 * any more, and move.c moves what is there.
 *
 * Memory: the table is made when a disk is attached and the guest has a limit or a grant, or
 * gets one, and touched piece by piece.  After a restart it is made while words are looked at.
 * Should it have no place for one of them (another version's table had), what is not
 * in it is counted, no block of any image changes before all of those are in, and they
 * are moved.
 */

#include "vmm/blockmap.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

/* xxHash is compiled in, for it is faster so */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/clock.h"
#include "base/guard.h"
#include "base/log.h"
#include "vmm/disk.h"
#include "vmm/guest.h"

#define POPULATE_BYTES (UINT64_C(1) << 20) /* in one step: some 200 us */
#define DROPS	       8192u		   /* records that one step looks at */

static_assert(DRUM_IMAGE_FIRST + DRUM_IMAGES_MAX <= BLOCKTABLE_DISK_MAX + 1, "a disk fits");
static_assert(DRUM_IMAGES_MAX <= 64, "a bit for each");

static struct blockmap_disk *of(struct guest *g, unsigned int number)
{
	return &g->blockmap.of[number - DRUM_IMAGE_FIRST];
}

static const struct blockmap_disk *of_const(const struct guest *g, unsigned int number)
{
	return &g->blockmap.of[number - DRUM_IMAGE_FIRST];
}

static void count(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}

static uint32_t find(const struct guest *g, uint64_t page)
{
	return g->blockmap.ready ? blocktable_find(&g->blockmap.t, page) : BLOCKTABLE_NONE;
}

struct block_hash blockmap_hash(const struct guest *g, const void *data)
{
	XXH128_hash_t h = XXH3_128bits_withSecret(data, PAGE_SIZE, g->kept.secret,
						  sizeof(g->kept.secret));

	return (struct block_hash){ { h.low64, h.high64 } };
}

static bool same_hash(const struct block_hash *a, const struct block_hash *b)
{
	return a->half[0] == b->half[0] && a->half[1] == b->half[1];
}

/* --- the table, and whose it is --------------------------------------------------------- */

static void give_up_table(struct guest *g, const char *why)
{
	log_warn("guest %s: its disks are not mapped to its pages: %s", g->name, why);
	blocktable_fini(&g->blockmap.t);
	g->blockmap.ready = false;
	g->blockmap.failed = true;
}

static void make_table(struct guest *g)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		give_up_table(g, "no random numbers");
	else if (blocktable_init(&g->blockmap.t, g->npages, seed) < 0)
		give_up_table(g, "out of memory");
}

/* Some of its memory, so that a step is short. */
static void populate(struct guest *g, size_t bytes)
{
	int ret = blocktable_populate(&g->blockmap.t, bytes);

	if (ret < 0)
		give_up_table(g, "out of memory");
	else if (ret > 0)
		g->blockmap.ready = true;
	else
		g->again = true;
}

static bool is_limited(const struct guest *g)
{
	return g->limit < g->npages || g->ever_taken;
}

void blockmap_limit(struct guest *g)
{
	struct blockmap *m = &g->blockmap;
	bool any = false;

	for (unsigned int i = 0; i < DRUM_IMAGES_MAX; i++)
		any |= m->of[i].disk && !m->of[i].left;
	if (any && is_limited(g) && !m->t.entry && !m->failed)
		make_table(g);
}

/* Drop records of pages in memory, a step's worth. => whether the disk has none of any kind */
static bool drop_records(struct guest *g, unsigned int number)
{
	struct blockmap_disk *d = of(g, number);
	struct blocktable *t = &g->blockmap.t;
	uint32_t left = DROPS;

	if (!g->blockmap.ready)
		return true;
	for (; t->of[number].n > t->of[number].evicted && left > 0; left--, d->next++) {
		struct block_record r;

		if (d->next >= blocktable_size(t))
			d->next = 0;
		if (!blocktable_used(t, d->next))
			continue;
		r = blocktable_get(t, d->next);
		if (r.at.disk == number && !r.evicted)
			blocktable_drop(t, d->next);
	}
	return t->of[number].n == 0;
}

void blockmap_attach(struct guest *g, struct disk *disk)
{
	struct blockmap_disk *d;

	if (!disk->map || disk->number == 0)
		return;
	d = of(g, disk->number);
	assert(!d->left);
	d->disk = disk;
	d->told = false;
	if (disk->resumed)
		disk->no_map_until = clock_ns() + DRUM_HOLD_NS;
	else /* what is still known may not be so any more: nobody has watched the image */
		while (g->blockmap.t.of[disk->number].n >
		       g->blockmap.t.of[disk->number].evicted)
			(void)drop_records(g, disk->number);
	if (g->blockmap.unlisted == 0)
		drum_set_image_off(g->drum, disk->number, false);
	blockmap_limit(g);
}

bool blockmap_has_others(const struct guest *g, const struct disk *disk)
{
	return disk->number > 0 &&
	       drum_image_owners(g->drum, disk->number) >
		       g->blockmap.t.of[disk->number].evicted + g->blockmap.unlisted;
}

bool blockmap_may_note(const struct guest *g, const struct disk *disk)
{
	const struct blockmap_disk *d;

	if (!g->blockmap.ready || disk->number == 0)
		return false;
	d = of_const(g, disk->number);
	return d->disk == disk && !d->left &&
	       (disk->no_map_until == 0 || clock_ns() >= disk->no_map_until);
}

bool blockmap_needed(const struct guest *g, const struct disk *disk)
{
	return is_limited(g) && blockmap_may_note(g, disk);
}

bool blockmap_leave(struct guest *g, struct disk *disk, blockmap_left_fn left)
{
	struct blockmap_disk *d;

	if (disk->number == 0)
		return true;
	d = of(g, disk->number);
	assert(!d->left && (!d->disk || d->disk == disk));
	d->disk = disk;
	d->left = left;
	d->next = 0;
	g->blockmap.leaving++;
	drum_set_image_off(g->drum, disk->number, true);
	return false;
}

static void leave_step(struct guest *g, unsigned int number)
{
	struct blockmap_disk *d = of(g, number);
	bool none = drop_records(g, number);
	blockmap_left_fn left = d->left;
	struct disk *disk = d->disk;
	uint64_t owners = drum_image_owners(g->drum, number);

	if (none && owners == 0) {
		d->disk = NULL;
		d->left = NULL;
		g->blockmap.leaving--;
		left(g, disk);
		return;
	}
	if (!none)
		g->again = true;
	if (owners > 0 && !d->told && __atomic_load_n(&g->no_room, __ATOMIC_RELAXED) > 0) {
		d->told = true;
		log_warn("guest %s: %llu KiB of it are in the image of disk %s alone, which is "
			 "to be let go, and neither swap nor its limit has room for them",
			 g->name, (unsigned long long)owners << 2, disk->name);
	}
}

void blockmap_step(struct guest *g, uint64_t now)
{
	struct blockmap *m = &g->blockmap;

	if (m->waiting > 0)
		blockmap_io_step(g, now);
	if (g->job == JOB_LEAVE)
		return; /* the next pager goes on with the rest */
	if (m->t.entry && !m->ready)
		populate(g, POPULATE_BYTES);
	for (unsigned int i = 0; m->leaving > 0 && i < DRUM_IMAGES_MAX; i++)
		if (m->of[i].left)
			leave_step(g, DRUM_IMAGE_FIRST + i);
}

void blockmap_fini(struct guest *g)
{
	blocktable_fini(&g->blockmap.t);
	g->blockmap.ready = false;
	g->blockmap.unlisted = 0;
}

void blockmap_get_counts(const struct guest *g, unsigned int number,
			 struct blockmap_counts *out)
{
	const struct blocktable_count *t = &g->blockmap.t.of[number];
	const struct blockmap_counts *c = &of_const(g, number)->count;

	*out = (struct blockmap_counts){
		.mapped = __atomic_load_n(&t->n, __ATOMIC_RELAXED),
		.evicted = __atomic_load_n(&t->evicted, __ATOMIC_RELAXED),
		.out = __atomic_load_n(&c->out, __ATOMIC_RELAXED),
		.in = __atomic_load_n(&c->in, __ATOMIC_RELAXED),
		.brought_in = __atomic_load_n(&c->brought_in, __ATOMIC_RELAXED),
		.wrong = __atomic_load_n(&c->wrong, __ATOMIC_RELAXED),
	};
}

/* --- pages ------------------------------------------------------------------------------ */

void blockmap_page_overwritten(struct guest *g, uint64_t page)
{
	uint32_t i = find(g, page);

	if (i != BLOCKTABLE_NONE && !blocktable_get(&g->blockmap.t, i).evicted)
		blocktable_drop(&g->blockmap.t, i);
}

struct comparison {
	struct guest *g;
	const uint64_t *page;
	uint32_t n;
	volatile uint32_t at; /* where a page that is gone stops it */
	volatile uint64_t same, other;
};

static void compare(void *arg)
{
	struct comparison *c = arg;
	struct guest *g = c->g;

	for (; c->at < c->n; c->at++) {
		uint32_t i = find(g, c->page[c->at]);
		struct block_hash now;
		struct block_record r;

		if (i == BLOCKTABLE_NONE)
			continue;
		r = blocktable_get(&g->blockmap.t, i);
		now = blockmap_hash(g, g->map + (c->page[c->at] << PAGE_SHIFT));
		if (r.hashed && same_hash(&now, &r.hash))
			c->same |= UINT64_C(1) << c->at;
		else
			c->other |= UINT64_C(1) << c->at;
	}
}

/* The page is what its block is. => false: it may not live there now */
static bool move_to_image(struct guest *g, uint64_t page)
{
	uint32_t i = find(g, page);
	struct block_record r = blocktable_get(&g->blockmap.t, i);
	drum_addr a = drum_make(r.at.disk, r.at.block);
	const struct blockmap_disk *d = of(g, r.at.disk);

	if (r.evicted)
		BROKEN("a page that is evicted is in memory");
	if (!d->disk || d->left || drum_claim(g->drum, g->share, a) < 0)
		return false;
	if (drum_move(g->drum, a) != DRUM_STAY)
		goto no;
	kept_drop(g, page);
	if (object_set(g->object, page, a | SWB_VALID) < 0)
		goto no;
	blocktable_set_evicted(&g->blockmap.t, i, true);
	count(&of(g, r.at.disk)->count.out, 1);
	return true;
no:
	drum_free(g->drum, g->share, a, 1);
	return false;
}

void blockmap_compare(struct guest *g, const uint64_t *page, uint32_t n, uint64_t *same)
{
	struct comparison c = { .g = g, .page = page, .n = n };

	*same = 0;
	if (!g->blockmap.ready || g->blockmap.t.n == 0)
		return;
	/* one that is gone is another page than before */
	while (guard_run(compare, &c) < 0) {
		c.other |= UINT64_C(1) << c.at;
		c.at++;
	}
	for (uint32_t k = 0; k < n; k++)
		if (c.other >> k & 1)
			blockmap_page_overwritten(g, page[k]);
		else if ((c.same >> k & 1) && move_to_image(g, page[k]))
			*same |= UINT64_C(1) << k;
}

/* All that the table has no place for is in memory, or on swap. */
static void all_listed(struct guest *g)
{
	struct blockmap *m = &g->blockmap;

	for (unsigned int i = 0; i < DRUM_IMAGES_MAX; i++)
		if (m->of[i].disk && !m->of[i].left)
			drum_set_image_off(g->drum, DRUM_IMAGE_FIRST + i, false);
}

/* The page does not live in the image any more. */
static void came_in(struct guest *g, uint64_t page, drum_addr a, const void *data)
{
	struct blockmap *m = &g->blockmap;
	uint32_t i = find(g, page);
	struct blockmap_disk *d = of(g, drum_device_of(a));
	struct block_record r;

	if (data)
		count(&d->count.in, 1);
	if (i == BLOCKTABLE_NONE || !blocktable_get(&m->t, i).evicted) {
		if (m->unlisted == 0)
			BROKEN("a page was in an image, and nobody knew");
		if (--m->unlisted == 0)
			all_listed(g);
		return;
	}
	r = blocktable_get(&m->t, i);
	assert(drum_make(r.at.disk, r.at.block) == a);
	blocktable_set_evicted(&m->t, i, false);
	if (!data || d->left || blockmap_is_changing(g, r.at)) {
		blocktable_drop(&m->t, i);
	} else if (!r.hashed) {
		struct block_hash h = blockmap_hash(g, data);

		blocktable_set_hash(&m->t, i, &h);
	}
}

void blockmap_free(struct guest *g, uint64_t page, uint64_t word, const void *data)
{
	drum_addr a = word & DRUM_ADDR_MASK;

	if (word & SWB_LOST)
		return;
	if (drum_is_image(a))
		came_in(g, page, a, data);
	drum_free(g->drum, g->share, a, 1);
}

bool blockmap_is_right(struct guest *g, uint64_t page, uint32_t n, const void *data)
{
	for (uint32_t k = 0; k < n; k++) {
		uint32_t i = find(g, page + k);
		struct block_record r;
		struct block_hash h;

		if (i == BLOCKTABLE_NONE)
			continue;
		r = blocktable_get(&g->blockmap.t, i);
		if (!r.evicted || !r.hashed)
			continue;
		h = blockmap_hash(g, (const char *)data + ((size_t)k << PAGE_SHIFT));
		if (same_hash(&h, &r.hash))
			continue;
		count(&of(g, r.at.disk)->count.wrong, 1);
		return false;
	}
	return true;
}

void blockmap_found(struct guest *g, uint64_t page, drum_addr a)
{
	struct blockmap *m = &g->blockmap;
	struct block_record r = { .page = page,
				  .at = { drum_device_of(a), drum_block_of(a) },
				  .evicted = true };

	if (!m->t.entry && !m->failed)
		make_table(g);
	if (m->t.entry && !m->ready)
		populate(g, SIZE_MAX);
	if (m->ready && blocktable_put(&m->t, &r))
		return;
	m->unlisted++;
	drum_set_image_off(g->drum, drum_device_of(a), true);
}

static uint64_t bit_of(drum_addr a)
{
	return UINT64_C(1) << (drum_device_of(a) - DRUM_IMAGE_FIRST) % 64;
}

void blockmap_missing(struct guest *g, drum_addr a)
{
	g->blockmap.missing |= bit_of(a);
}

bool blockmap_is_missing(const struct guest *g, drum_addr a)
{
	return g->blockmap.missing & bit_of(a);
}
