/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a pager makes of what a dead one has left: words, intents and late blocks
 * against the memfd and against each other.  A guest here is what recovery
 * looks at, and no more: its object's file, its page states, the drum.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/guest.h"

#define LIMIT  .timeout = 30
#define BLOCKS 512u
#define PAGES  256u

static struct drum *drum;
static unsigned int ncontested, nquarantined;
static drum_addr contested_at;

static void on_quarantined(void *arg, struct guest *g)
{
	(void)arg;
	(void)g;
	nquarantined++;
}

static void on_contested(void *arg, struct guest *g, drum_addr a)
{
	(void)arg;
	(void)g;
	ncontested++;
	contested_at = a;
}

static const struct guest_ops ops = { .quarantined = on_quarantined,
				      .contested = on_contested };

/* The drum as a new pager has it: nothing is claimed yet. */
static void new_drum(void)
{
	struct swap_device *dev =
		device_file_create("file", "/swap", dup(2), 1, 1, BLOCKS * SWAP_BLOCK, 0);

	cr_assert_not_null(dev);
	drum_destroy(drum);
	drum = drum_create();
	cr_assert_not_null(drum);
	cr_assert_eq(drum_add(drum, dev, 0, 1), 1);
}

static void open_guest(struct guest *g, int fd)
{
	struct err e = { 0 };

	memset(g, 0, sizeof(*g));
	strcpy(g->name, "test");
	g->ops = &ops;
	g->drum = drum;
	g->npages = PAGES;
	g->swap_fd = fd;
	g->state = GUEST_RUNNING;
	cr_assert_eq(pages_init(&g->pages, PAGES), 0);
	g->object = object_open(fd, PAGES, NULL, &e);
	cr_assert_not_null(g->object, "%s", e.text);
}

static int new_file(void)
{
	int fd = memfd_create("object", 0);

	cr_assert_geq(fd, 0);
	return fd;
}

static void close_guest(struct guest *g)
{
	object_close(g->object);
	pages_fini(&g->pages);
}

/* The pager dies, and the next one opens the same file. */
static void restart(struct guest *g)
{
	int fd = g->swap_fd;

	close_guest(g);
	new_drum();
	open_guest(g, fd);
}

static void store(struct guest *g, uint64_t page, uint64_t word)
{
	cr_assert_eq(object_set(g->object, page, word), 0);
}

static void recovers(struct guest *g)
{
	struct err e = { 0 };

	cr_assert_eq(recover(g, &e), 0, "%s", e.text);
}

/* Blocks in use, of a kind that drum_claim would refuse. */
static uint64_t in_use(void)
{
	return drum_blocks(drum) - drum_avail(drum);
}

static bool is_used(drum_addr a)
{
	if (drum_claim(drum, NULL, a) == -EEXIST)
		return true;
	drum_free(drum, NULL, a, 1);
	return false;
}

TestSuite(recover, .init = new_drum, LIMIT);

Test(recover, valid_words)
{
	struct guest g;

	open_guest(&g, new_file());
	store(&g, 3, drum_make(1, 7) | SWB_VALID);
	store(&g, 4, drum_make(1, 8) | SWB_VALID);
	restart(&g);
	page_set(&g.pages, 4, PAGE_ACTIVE); /* in the memfd */
	recovers(&g);
	cr_assert_eq(page_get(&g.pages, 3), PAGE_SWAPPED);
	cr_assert_eq(object_get(g.object, 3), (drum_make(1, 7) | SWB_VALID));
	cr_assert_eq(page_get(&g.pages, 4), PAGE_ACTIVE);
	cr_assert_eq(object_get(g.object, 4), 0, "the page is the truth");
	cr_assert(is_used(drum_make(1, 7)) && !is_used(drum_make(1, 8)));
	cr_assert_eq(in_use(), 1);
	close_guest(&g);
}

/* However often pagers die, and whichever of the two tells of it. */
Test(recover, writes_of_the_dead_are_late)
{
	struct guest g;

	open_guest(&g, new_file());
	for (uint64_t p = 0; p < 20; p++)
		store(&g, p, drum_make(1, 100 + p) | SWB_WRITING);
	object_intent(g.object, 5, drum_make(1, 300), 3);
	for (int deaths = 0; deaths < 40; deaths++) {
		restart(&g);
		recovers(&g);
		cr_assert_eq(in_use(), 23, "after death %d", deaths);
		cr_assert_eq(object_count(g.object), 0, "no page has a word");
		for (uint64_t b = 0; b < 20; b++)
			cr_assert(is_used(drum_make(1, 100 + b)));
		cr_assert(is_used(drum_make(1, 302)));
	}
	late_step(&g, clock_ns() + DRUM_HOLD_NS / 2);
	cr_assert_eq(in_use(), 23, "not yet");
	late_step(&g, clock_ns() + 2 * DRUM_HOLD_NS);
	cr_assert_eq(in_use(), 0);
	restart(&g);
	recovers(&g);
	cr_assert_eq(in_use(), 0, "and it is over");
	close_guest(&g);
}

/* A death in the middle of recovery: words whose blocks are late already. */
Test(recover, killed_in_the_middle)
{
	struct guest g;

	open_guest(&g, new_file());
	for (uint64_t p = 0; p < 4; p++)
		store(&g, p, drum_make(1, 100 + p) | SWB_WRITING);
	for (uint64_t p = 0; p < 2; p++) { /* as far as the first one came */
		cr_assert_eq(drum_claim(drum, NULL, drum_make(1, 100 + p)), 0);
		late_hold(&g, drum_make(1, 100 + p));
	}
	object_pop(g.object, 0);
	restart(&g);
	recovers(&g);
	cr_assert_eq(in_use(), 4);
	cr_assert_eq(object_count(g.object), 0);
	late_step(&g, clock_ns() + 2 * DRUM_HOLD_NS);
	cr_assert_eq(in_use(), 0);
	close_guest(&g);
}

/* The move was done, all but the end of its intent; of a part the page was touched. */
Test(recover, an_intent_whose_words_are_stored)
{
	struct guest g;

	open_guest(&g, new_file());
	store(&g, 0, drum_make(1, 50) | SWB_VALID);
	store(&g, 1, drum_make(1, 51) | SWB_VALID);
	object_intent(g.object, 0, drum_make(1, 50), 3);
	restart(&g);
	recovers(&g);
	cr_assert_eq(in_use(), 3);
	cr_assert_eq(page_count(&g.pages, PAGE_SWAPPED), 2);
	late_step(&g, clock_ns() + 2 * DRUM_HOLD_NS);
	cr_assert_eq(in_use(), 2);
	close_guest(&g);
}

/* There are notes for so many runs; what is above that is kept out of use all the same. */
Test(recover, more_late_runs_than_notes)
{
	struct guest g;

	open_guest(&g, new_file());
	for (unsigned int i = 0; i < OBJECT_LATES + 10; i++) {
		cr_assert_eq(drum_claim(drum, NULL, drum_make(1, 2 * i)), 0);
		late_hold(&g, drum_make(1, 2 * i));
	}
	late_step(&g, clock_ns() + 2 * DRUM_HOLD_NS);
	cr_assert_eq(in_use(), 10, "the drum holds them");
	drum_release_held(drum, clock_ns() + 2 * DRUM_HOLD_NS);
	cr_assert_eq(in_use(), 0);
	close_guest(&g);
}

Test(recover, late_blocks_outlive_the_guest)
{
	struct guest g;

	open_guest(&g, new_file());
	cr_assert_eq(drum_claim(drum, NULL, drum_make(1, 9)), 0);
	late_hold(&g, drum_make(1, 9));
	late_bury(&g);
	late_step(&g, clock_ns() + 2 * DRUM_HOLD_NS);
	cr_assert(is_used(drum_make(1, 9)));
	drum_release_held(drum, clock_ns() + 2 * DRUM_HOLD_NS);
	cr_assert_eq(in_use(), 0);
	close_guest(&g);
}

/* Both pages are lost: nobody can tell whose the block is. */
Test(recover, two_owners_in_one_guest)
{
	struct guest g;

	open_guest(&g, new_file());
	store(&g, 10, drum_make(1, 42) | SWB_VALID);
	store(&g, 20, drum_make(1, 43) | SWB_VALID);
	store(&g, 30, drum_make(1, 42) | SWB_VALID);
	for (int deaths = 0; deaths < 2; deaths++) {
		restart(&g);
		recovers(&g);
		cr_assert_eq(object_get(g.object, 10), (drum_make(1, 42) | SWB_LOST));
		cr_assert_eq(object_get(g.object, 30), (drum_make(1, 42) | SWB_LOST));
		cr_assert_eq(object_get(g.object, 20), (drum_make(1, 43) | SWB_VALID));
		cr_assert_eq(page_get(&g.pages, 10), PAGE_SWAPPED,
			     "not a hole, which is zeros");
		cr_assert_eq(page_get(&g.pages, 30), PAGE_SWAPPED);
		cr_assert(strstr(g.why, "2 pages are lost") ||
				  strstr(g.why, "1 pages are lost"),
			  "%s", g.why);
	}
	object_free_all(g.object, drum);
	cr_assert_eq(object_count(g.object), 0);
	close_guest(&g);
}

Test(recover, two_owners_in_two_guests)
{
	struct guest a, b;

	open_guest(&a, new_file());
	open_guest(&b, new_file());
	store(&a, 1, drum_make(1, 5) | SWB_VALID);
	store(&a, 2, drum_make(1, 6) | SWB_VALID);
	store(&b, 7, drum_make(1, 5) | SWB_VALID);
	recovers(&a);
	recovers(&b);
	cr_assert_eq(ncontested, 1);
	cr_assert_eq(contested_at, drum_make(1, 5));
	cr_assert_eq(object_get(b.object, 7), (drum_make(1, 5) | SWB_LOST));
	cr_assert(b.why[0] && !a.why[0]);
	recover_contested(&a, contested_at);
	cr_assert_eq(object_get(a.object, 1), (drum_make(1, 5) | SWB_LOST));
	cr_assert_eq(object_get(a.object, 2), (drum_make(1, 6) | SWB_VALID));
	cr_assert_eq(a.state, GUEST_QUARANTINED);
	cr_assert_eq(nquarantined, 1);
	cr_assert(strstr(a.why, "block 5 of /swap"), "%s", a.why);
	recover_contested(&a, drum_make(1, 77)); /* of a third one */
	cr_assert_eq(nquarantined, 1);
	close_guest(&a);
	close_guest(&b);
}

/* Nothing is touched: the device may come back. */
Test(recover, a_device_is_missing)
{
	struct err e = { 0 };
	struct guest g;
	drum_addr a;

	open_guest(&g, new_file());
	store(&g, 1, drum_make(1, 5) | SWB_VALID);
	store(&g, 2, drum_make(2, 6) | SWB_VALID);
	store(&g, 3, drum_make(1, BLOCKS + 5) | SWB_VALID); /* beyond its end */
	store(&g, 4, drum_make(2, 7) | SWB_WRITING);
	object_intent(g.object, 0, drum_make(2, 8), 2);
	restart(&g);
	cr_assert_eq(recover(&g, &e), -ENODEV);
	cr_assert(strstr(e.text, "page 2 is at device 2, block 6"), "%s", e.text);
	cr_assert_eq(object_get(g.object, 2), (drum_make(2, 6) | SWB_VALID));
	cr_assert_eq(object_get(g.object, 3), (drum_make(1, BLOCKS + 5) | SWB_VALID));
	cr_assert(is_used(drum_make(1, 5)), "what can be claimed is");
	/* what was being written there is late whenever the device is back */
	cr_assert_eq(object_intent_get(g.object, OBJECT_INTENTS, &a), 3);
	cr_assert_eq(a, drum_make(2, 7));
	late_step(&g, clock_ns() + 2 * DRUM_HOLD_NS);
	cr_assert_eq(object_intent_get(g.object, OBJECT_INTENTS, &a), 3, "and not before");
	recover_abandon(&g);
	cr_assert_eq(in_use(), 0);
	cr_assert_eq(object_count(g.object), 0);
	close_guest(&g);
}
