/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * What an adopted guest has on swap is told by the words of its object.  They
 * are checked against the memfds, which say what is resident, and against all
 * others by claiming their blocks:
 *
 *	valid, and the page is in the memfd
 *			the page is the truth, the word goes (a death between
 *			"valid" and the punch, or after a page has come in)
 *	valid, and it is a hole
 *			the page is swapped, the block claimed
 *	late		noted by an earlier recovery: claimed, late anew
 *	writing		its block is late, the word goes; the page is in the memfd, or
 *			was given back
 *	intents		after all words: what of their blocks nobody has claimed
 *			is late
 *
 * Each block has one owner.  A block that two words name, in one guest or in
 * two, holds one page at most, and nobody can tell whose: both pages are lost.
 * They are never read; who touches one gets SIGBUS.  Their guests are
 * quarantined, and the block is bad.  Words of a guest that claims last are looked for
 * in the others by recover_contested.  One of them may have read the page by then:
 * it cannot be told any more.
 *
 * A block of a disk's image may have any number of owners.  Which pages live in which of them
 * is known by these words alone after a restart (blockmap_found).
 *
 * Words on a device that is not there: the guest waits as a whole, and its file
 * is left as it is; the next pager may find the device.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/point.h"
#include "vmm/guest.h"

#define RUN_MAX 256u

struct recovery {
	struct guest *g;
	/* valid words of holes whose blocks follow each other, not claimed yet */
	drum_addr run;
	uint32_t nrun;
	uint64_t run_page[RUN_MAX];
	bool moving, writing; /* there are such words */
	uint64_t lost;
	drum_addr lost_at; /* the last one's */
	struct err *e;	   /* the first page that is on a missing device */
};

/* It has a word: this cannot fail. */
static void change(struct guest *g, uint64_t page, uint64_t word)
{
	(void)!object_set(g->object, page, word);
}

/* Its block is the object's already; is a write of an earlier pager on its way there? */
static void keep_reserved(struct guest *g, uint64_t page, uint64_t word)
{
	bool held = word & SWB_BUSY;

	if (held)
		g->held_until = clock_ns() + DRUM_HOLD_NS;
	change(g, page, (word & DRUM_ADDR_MASK) | SWB_RESERVED | (held ? SWB_HELD : 0));
}

/* Lose every page whose word names the block. => how many there are */
static uint64_t lose_all_at(struct guest *g, drum_addr a)
{
	uint64_t page = 0, word, n = 0;

	for (; object_next(g->object, page, &page, &word); page++)
		if ((word & SWB_KEPT) && (word & DRUM_ADDR_MASK) == a)
			n += kept_lose(g, page);
		else if ((word & SWB_VALID) && (word & DRUM_ADDR_MASK) == a) {
			change(g, page, a | SWB_LOST);
			n++;
		}
	g->any_lost |= n > 0;
	return n;
}

static void lose(struct recovery *r, uint64_t page, drum_addr a)
{
	struct guest *g = r->g;
	uint64_t n;

	r->lost_at = a;
	log_err("guest %s: page %llu is lost: it is at device %u, block %llu, and so is "
		"another",
		g->name, (unsigned long long)page, drum_device_of(a),
		(unsigned long long)drum_block_of(a));
	n = lose_all_at(g, a);
	r->lost += n;
	/* the other one is this guest's, and had claimed it: nobody will free it */
	if (n > 1)
		drum_mark_bad(g->drum, g->share, a);
	g->ops->contested(g->ops->arg, g, a);
}

static void not_there(struct recovery *r, uint64_t page, drum_addr a)
{
	if (r->e->code == 0)
		err_set(r->e, -ENODEV,
			"guest %s: page %llu is at device %u, block %llu, which is not "
			"switched on",
			r->g->name, (unsigned long long)page, drum_device_of(a),
			(unsigned long long)drum_block_of(a));
}

/* A word whose block was claimed, or could not be. */
static void take_word(struct recovery *r, uint64_t page, uint64_t word, int claimed)
{
	struct guest *g = r->g;

	if (claimed == -EEXIST && (word & SWB_MOVING)) {
		object_pop(g->object, page); /* the other one has it by now */
	} else if (claimed == -EEXIST) {
		lose(r, page, word & DRUM_ADDR_MASK);
		page_set(&g->pages, page, PAGE_SWAPPED);
	} else if (claimed < 0) {
		if (drum_is_image(word & DRUM_ADDR_MASK))
			blockmap_missing(g, word & DRUM_ADDR_MASK);
		not_there(r, page, word & DRUM_ADDR_MASK);
	} else if (word & SWB_RESERVED) {
		keep_reserved(g, page, word);
	} else {
		if (word & SWB_MOVING)
			change(g, page, word & ~SWB_MOVING);
		if (drum_is_image(word & DRUM_ADDR_MASK))
			blockmap_found(g, page, word & DRUM_ADDR_MASK);
		page_set(&g->pages, page, PAGE_SWAPPED);
		counter_add(&g->found, 1);
	}
}

/* Claim what has been gathered: most pages have neighbours, and that is much cheaper. */
static void end_run(struct recovery *r)
{
	struct guest *g = r->g;
	bool all = r->nrun > 0 && drum_claim_run(g->drum, g->share, r->run, r->nrun) == 0;

	for (uint32_t k = 0; k < r->nrun; k++) {
		drum_addr a = r->run + k;

		take_word(r, r->run_page[k], a | SWB_VALID,
			  all ? 0 : drum_claim(g->drum, g->share, a));
	}
	r->nrun = 0;
}

static void add_to_run(struct recovery *r, uint64_t page, drum_addr a)
{
	if (r->nrun == RUN_MAX || a != r->run + r->nrun ||
	    drum_device_of(a) != drum_device_of(r->run))
		end_run(r);
	if (r->nrun == 0)
		r->run = a;
	r->run_page[r->nrun++] = page;
}

/*
 * All words but those that are moving or being written.  All that can be claimed is,
 * also after an error: what is not would be given to somebody else.
 */
static void take_words(struct recovery *r)
{
	struct guest *g = r->g;
	uint64_t page = 0, word;

	for (; object_next(g->object, page, &page, &word); page++) {
		drum_addr a = word & DRUM_ADDR_MASK;
		bool reserved = word & SWB_RESERVED;
		bool hole = page_get(&g->pages, page) == PAGE_HOLE;

		point_crash("recover-word");
		if (word & SWB_MOVING) {
			r->moving = true;
		} else if ((word & SWB_WRITING) && !reserved) {
			r->writing = true;
		} else if (hole && (word & SWB_FLAGS) == SWB_VALID) {
			add_to_run(r, page, a);
		} else if ((word & SWB_LOST) && hole) {
			page_set(&g->pages, page, PAGE_SWAPPED);
			g->any_lost = true;
			r->lost++;
			r->lost_at = a;
		} else if (!reserved && (!hole || !(word & SWB_VALID))) {
			object_pop(g->object, page);
		} else {
			take_word(r, page, word, drum_claim(g->drum, g->share, a));
		}
	}
	end_run(r);
}

/* Words that are moving are void if another one has their block. */
static void take_moving(struct recovery *r)
{
	struct guest *g = r->g;
	uint64_t page = 0, word;

	for (; object_next(g->object, page, &page, &word); page++)
		if (!(word & SWB_MOVING))
			continue;
		else if (!(word & SWB_RESERVED) && page_get(&g->pages, page) != PAGE_HOLE)
			object_pop(g->object, page);
		else
			take_word(r, page, word,
				  drum_claim(g->drum, g->share, word & DRUM_ADDR_MASK));
}

static void take_writing(struct recovery *r)
{
	struct guest *g = r->g;
	uint64_t page = 0, word;

	for (; object_next(g->object, page, &page, &word); page++)
		if ((word & SWB_WRITING) && !(word & SWB_RESERVED)) {
			late_claim(g, word & DRUM_ADDR_MASK);
			point_crash("recover-late");
			object_pop(g->object, page);
		}
}

int recover(struct guest *g, struct err *e)
{
	struct recovery r = { .g = g, .e = e };
	uint64_t since = clock_ns();

	/* what a page has is no late block, whatever an old note says */
	take_words(&r);
	if (r.moving)
		take_moving(&r);
	late_recover(g);
	if (r.writing)
		take_writing(&r);
	point_crash("recover-words");
	late_recover_intents(g);
	g->recovered = true;
	log_info("guest %s: %llu pages found on swap in %llu ms", g->name,
		 (unsigned long long)g->found,
		 (unsigned long long)((clock_ns() - since) / NSEC_PER_MSEC));
	if (r.lost > 0 && e->code == 0)
		snprintf(g->why, sizeof(g->why),
			 "%llu pages are lost: their blocks have two owners, as block %llu of "
			 "%s",
			 (unsigned long long)r.lost,
			 (unsigned long long)drum_block_of(r.lost_at),
			 drum_path(g->drum, r.lost_at));
	return e->code;
}

void recover_contested(struct guest *g, drum_addr a)
{
	char why[ERR_TEXT_MAX];

	if (!g->object || lose_all_at(g, a) == 0)
		return;
	/* this guest had claimed it */
	drum_mark_bad(g->drum, g->share, a);
	if (g->state == GUEST_WAITING)
		return; /* it is served nothing as it is */
	snprintf(why, sizeof(why), "block %llu of %s has two owners",
		 (unsigned long long)drum_block_of(a), drum_path(g->drum, a));
	job_quarantine(g, why);
}

void recover_abandon(struct guest *g)
{
	uint64_t page = 0, word;

	if (!g->object)
		return;
	late_bury(g);
	for (; object_next(g->object, page, &page, &word); page++) {
		drum_addr a = word & DRUM_ADDR_MASK;

		/* claimed once more: those of a device that is there */
		if (drum_is_image(a)) {
			if (g->recovered && !blockmap_is_missing(g, a))
				drum_free(g->drum, g->share, a, 1);
		} else if (!(word & SWB_LOST) && drum_claim(g->drum, g->share, a) != -ENODEV) {
			drum_free(g->drum, g->share, a, 1);
		}
		object_pop(g->object, page);
	}
	blockmap_fini(g);
}
