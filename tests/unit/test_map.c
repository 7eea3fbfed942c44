/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A picture of a guest's RAM, against one that is counted page by page.  A guest here is its
 * tables: nothing is paged.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "vmm/guest.h"

static struct guest g;
static struct command *answered[4]; /* in the order of their coming */
static unsigned int nanswered;

static void completed(void *arg, struct command *cmd)
{
	(void)arg;
	answered[nanswered++] = cmd;
}

static const struct guest_ops ops = { .completed = completed };

static void guest_of(uint64_t pages)
{
	memset(&g, 0, sizeof(g));
	snprintf(g.name, sizeof(g.name), "one");
	g.ops = &ops;
	g.npages = pages;
	g.state = GUEST_RUNNING;
	cr_assert_eq(pages_init(&g.pages, pages), 0);
	cr_assert_eq(sample_init(&g.sample, pages), 0);
	cr_assert_eq(kept_init(&g.kept, pages), 0);
	nanswered = 0;
}

static void no_guest(void)
{
	pages_fini(&g.pages);
	sample_fini(&g.sample);
	kept_fini(&g.kept);
}

/* Some state, by the changes that there are, and perhaps a mark. */
static void set(uint64_t page, enum page_state s)
{
	if (s != PAGE_HOLE)
		page_set(&g.pages, page, PAGE_ACTIVE);
	if (s == PAGE_ACTIVE || s == PAGE_HOLE)
		return;
	page_set(&g.pages, page, PAGE_INACTIVE);
	if (s == PAGE_WRITING || s == PAGE_SWAPPED)
		page_set(&g.pages, page, s);
	if (s == PAGE_READING) {
		page_set(&g.pages, page, PAGE_SWAPPED);
		page_set(&g.pages, page, PAGE_READING);
	}
}

static void mark(uint64_t page, unsigned int how)
{
	enum page_state s = page_get(&g.pages, page);

	if (how == 0 && (s == PAGE_ACTIVE || s == PAGE_INACTIVE))
		page_mark_pinned(&g.pages, page, true);
	else if (how == 1 && s == PAGE_ACTIVE)
		page_mark_zapping(&g.pages, page);
	else if (how == 2 && s == PAGE_ACTIVE)
		page_mark_untouched(&g.pages, page);
	else if (how == 3)
		page_mark_held(&g.pages, page, true);
}

/* Runs of all lengths, and single pages of another kind in between. */
static void fill(unsigned int seed)
{
	enum page_state s = PAGE_HOLE;
	uint64_t left = 0;

	srandom(seed);
	for (uint64_t page = 0; page < g.npages; page++) {
		if (left-- == 0) {
			s = (enum page_state)(random() % PAGE_STATES);
			left = (uint64_t)random() % (random() % 4 ? 20 : 2000);
		}
		set(page, random() % 50 ? s : (enum page_state)(random() % PAGE_STATES));
		if (random() % 3 == 0)
			mark(page, (unsigned int)random() % 4);
	}
}

static struct map_order order(uint32_t cells)
{
	return (struct map_order){ .cells = cells,
				   .cell = calloc(cells, sizeof(struct guest_map_cell)) };
}

static const enum guest_map_kind kind_of[PAGE_STATES] = {
	GUEST_MAP_ZERO,	   GUEST_MAP_ACTIVE,  GUEST_MAP_INACTIVE,
	GUEST_MAP_WRITING, GUEST_MAP_SWAPPED, GUEST_MAP_READING
};

static void is_right(const struct map_order *o)
{
	struct guest_map_cell *want = calloc(o->cells, sizeof(*want));
	uint64_t cell_pages = g.npages / o->cells + (g.npages % o->cells != 0);

	cr_assert_eq(o->cell_pages, cell_pages);
	cr_assert_leq(o->n, o->cells);
	cr_assert_eq(o->npages, g.npages);
	cr_assert(o->n * cell_pages >= g.npages && (o->n - 1) * cell_pages < g.npages,
		  "no cell is empty, and none is lacking");
	for (uint64_t page = 0; page < g.npages; page++) {
		uint32_t *kind = want[page / cell_pages].kind;

		kind[kind_of[page_get(&g.pages, page)]]++;
		kind[GUEST_MAP_PINNED] += page_is_pinned(&g.pages, page);
	}
	for (uint32_t i = 0; i < o->cells; i++)
		for (unsigned int k = 0; k < GUEST_MAP_KEPT; k++)
			cr_assert_eq(o->cell[i].kind[k], want[i].kind[k],
				     "%lu pages, %u cells, cell %u, kind %u: %u, not %u",
				     g.npages, o->cells, i, k, o->cell[i].kind[k],
				     want[i].kind[k]);
	free(want);
}

/* => how many steps it took, none of which looks at more than it may */
static unsigned int run(struct command *cmd)
{
	unsigned int steps = 0, before = nanswered;

	while (nanswered == before) {
		uint64_t page = cmd->map->page;

		g.more = false;
		map_step(&g);
		steps++;
		cr_assert_leq(cmd->map->page - page, 32768);
		cr_assert(g.more || nanswered > before, "it comes back soon");
	}
	cr_assert_eq(answered[before], cmd);
	return steps;
}

TestSuite(map, .timeout = 60);

Test(map, is_what_there_is)
{
	static const uint64_t sizes[] = { 1, 7, 8, 9, 513, 1357, 32768, 32769, 100003 };
	static const uint32_t cells[] = { 1, 2, 3, 7, 64, 1000, 1024, 4095, 4096 };

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		guest_of(sizes[i]);
		fill(i);
		for (unsigned int k = 0; k < sizeof(cells) / sizeof(cells[0]); k++) {
			struct map_order o = order(cells[k]);
			struct command cmd = { .type = CMD_MAP, .map = &o };

			nanswered = 0;
			job_command(&g, &cmd);
			run(&cmd);
			cr_assert_eq(cmd.err.code, 0);
			is_right(&o);
			free(o.cell);
		}
		no_guest();
	}
}

/* A fault waits for one of them. */
Test(map, of_a_large_guest_comes_in_steps)
{
	struct map_order o = order(4096);
	struct command cmd = { .type = CMD_MAP, .map = &o };

	guest_of(UINT64_C(4) << 20);
	fill(5);
	job_command(&g, &cmd);
	cr_assert_geq(run(&cmd), (4u << 20) / 32768);
	is_right(&o);
	free(o.cell);
	no_guest();
}

/* What was counted stays as it was, whatever becomes of it meanwhile. */
Test(map, counts_each_page_once)
{
	struct map_order o = order(64);
	struct command cmd = { .type = CMD_MAP, .map = &o };

	guest_of(100000);
	fill(6);
	job_command(&g, &cmd);
	while (nanswered == 0) {
		map_step(&g);
		for (unsigned int i = 0; i < 1000; i++) {
			uint64_t page = (uint64_t)random() % g.npages;

			if (page_get(&g.pages, page) == PAGE_SWAPPED)
				page_set(&g.pages, page, PAGE_HOLE);
			else if (page_get(&g.pages, page) == PAGE_HOLE)
				page_set(&g.pages, page, PAGE_SWAPPED);
		}
	}
	for (uint32_t i = 0; i < o.n; i++) {
		uint64_t sum = 0, pages = o.cell_pages;

		if (i + 1 == o.n)
			pages = g.npages - i * o.cell_pages;
		for (unsigned int k = 0; k < GUEST_MAP_PINNED; k++)
			sum += o.cell[i].kind[k];
		cr_assert_eq(sum, pages, "cell %u has %lu of %lu", i, sum, pages);
	}
	free(o.cell);
	no_guest();
}

Test(map, who_asks_at_the_same_time_is_served_in_turn)
{
	struct map_order first = order(3), second = order(100);
	struct command one = { .type = CMD_MAP, .map = &first };
	struct command two = { .type = CMD_MAP, .map = &second };

	guest_of(70000);
	fill(7);
	g.job = JOB_OUT; /* nor does it wait for a job */
	job_command(&g, &one);
	map_step(&g);
	job_command(&g, &two);
	run(&one);
	is_right(&first);
	set(page_find(&g.pages, 0, g.npages, PAGE_HOLE), PAGE_ACTIVE);
	run(&two);
	is_right(&second);
	cr_assert_eq(nanswered, 2);
	g.more = false;
	map_step(&g);
	cr_assert(!g.more && nanswered == 2, "there is nothing to do");
	free(first.cell);
	free(second.cell);
	no_guest();
}

Test(map, of_a_guest_that_ends)
{
	struct map_order o[3] = { order(3), order(3), order(3) };
	struct command cmd[3];

	guest_of(70000);
	for (unsigned int i = 0; i < 3; i++)
		cmd[i] = (struct command){ .type = CMD_MAP, .map = &o[i] };
	job_command(&g, &cmd[0]);
	job_command(&g, &cmd[1]);
	map_step(&g);
	g.state = GUEST_GONE;
	job_command(&g, &cmd[2]);
	cr_assert_eq(nanswered, 0);
	map_step(&g);
	cr_assert_eq(nanswered, 3);
	for (unsigned int i = 0; i < 3; i++) {
		cr_assert_eq(answered[i], &cmd[i]);
		cr_assert_eq(cmd[i].err.code, -ESRCH);
		cr_assert_str_eq(cmd[i].err.text,
				 "guest one has ended, and there is no map of it");
	}
	/* the worker ends, and the guest does not */
	g.state = GUEST_RUNNING;
	cmd[0] = (struct command){ .type = CMD_MAP, .map = &o[0] };
	nanswered = 0;
	job_command(&g, &cmd[0]);
	map_abandon(&g);
	cr_assert_eq(nanswered, 1);
	cr_assert_eq(cmd[0].err.code, -ESRCH);
	cr_assert_str_eq(cmd[0].err.text,
			 "drumd lets go of guest one: ask again when it is back");
	/* nothing is known of one that waits */
	g.state = GUEST_WAITING;
	cmd[0] = (struct command){ .type = CMD_MAP, .map = &o[0] };
	job_command(&g, &cmd[0]);
	cr_assert_eq(cmd[0].err.code, -EBUSY);
	for (unsigned int i = 0; i < 3; i++)
		free(o[i].cell);
	no_guest();
}

/* Copies are in the table without an order, and in the picture where their pages are. */
Test(map, of_clean_copies)
{
	const uint64_t pages = 65536, step = 7;
	struct map_order o = order(100);
	struct command cmd = { .type = CMD_MAP, .map = &o };
	struct paging paging = { .zone.max = pages };
	uint32_t want[100] = { 0 }, sum = 0;
	char data[PAGE_SIZE] = { 0 };
	struct err e = { 0 };

	guest_of(pages);
	g.drum = drum_create();
	g.paging = &paging;
	g.object = object_open(memfd_create("object", 0), pages, NULL, &e);
	cr_assert_eq(drum_add(g.drum,
			      device_file_create("file", "/swap", dup(2), 1, 1,
						 2 * pages * SWAP_BLOCK, 0),
			      0, 1),
		     1);
	for (uint64_t page = 0; page < pages; page += step) {
		uint64_t got;
		drum_addr a = drum_alloc(g.drum, NULL, 1, &got);

		set(page, PAGE_ACTIVE);
		cr_assert_eq(object_set(g.object, page, a | SWB_VALID), 0);
		cr_assert(kept_put(&g, page, data));
	}
	job_command(&g, &cmd);
	run(&cmd);
	is_right(&o);
	for (uint64_t page = 0; page < pages; page++)
		want[page / o.cell_pages] += (object_get(g.object, page) & SWB_KEPT) != 0;
	for (uint32_t i = 0; i < o.n; i++) {
		cr_assert_eq(o.cell[i].kind[GUEST_MAP_KEPT], want[i], "cell %u: %u, not %u", i,
			     o.cell[i].kind[GUEST_MAP_KEPT], want[i]);
		sum += want[i];
	}
	cr_assert_eq(sum, kept_count(&g.kept));
	free(o.cell);
	no_guest();
}

/* Of a unit with pages of several ages, which lies in one cell or in many; other cells have
 * none.  A hole has no age, whatever it was when it was looked at. */
Test(map, of_ages)
{
	static const uint32_t cells[] = { 64, 4096, 4000 };
	const uint64_t pages = 32768;
	uint64_t now = clock_ns(), first;

	guest_of(pages);
	first = sample_page(&g.sample, 3);
	for (unsigned int k = 0; k < SAMPLE_PAGES; k++)
		set(first + k, PAGE_ACTIVE);
	sample_begin(&g.sample, 3, now - 11 * NSEC_PER_SEC);
	sample_touch(&g.sample, first + 1);
	sample_end(&g.sample, 3, now, 0xff);
	page_set(&g.pages, first, PAGE_HOLE);
	for (unsigned int i = 0; i < 3; i++) {
		struct map_order o = order(cells[i]);
		struct command cmd = { .type = CMD_MAP, .map = &o };
		uint32_t young = 0, old = 0, any = 0;

		nanswered = 0;
		job_command(&g, &cmd);
		run(&cmd);
		for (uint32_t c = 0; c < o.n; c++)
			for (unsigned int a = 0; a < GUEST_MAP_AGES; a++)
				any += o.cell[c].age[a];
		for (uint32_t c = (uint32_t)(first / o.cell_pages);
		     c <= (first + SAMPLE_PAGES - 1) / o.cell_pages; c++) {
			young += o.cell[c].age[0];
			old += o.cell[c].age[1];
		}
		cr_assert(any == 7 && young == 1 && old == 6, "%u: %u %u %u", cells[i], any,
			  young, old);
		cr_assert_eq(o.cell[(first + 1) / o.cell_pages].age[0], 1);
		free(o.cell);
	}
	no_guest();
}
