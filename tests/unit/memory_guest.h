/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest for tests of the worker: RAM in a memfd, tables and a ring, and no process.  Its
 * drum, paging and what else a test is about are the test's.
 */
#ifndef DRUM_TESTS_MEMORY_GUEST_H
#define DRUM_TESTS_MEMORY_GUEST_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/guest.h"

static inline void memory_guest(struct guest *g, uint64_t pages)
{
	struct err e = { 0 };

	snprintf(g->name, sizeof(g->name), "test");
	g->npages = pages;
	g->grant = UINT64_MAX;
	pageout_set_max(g, pages);
	g->ceiling = pages;
	g->state = GUEST_RUNNING;
	g->pin_slot = -1;
	g->nregions = 1;
	g->region[0] = (struct region){ .fd = memfd_create("ram", 0), .pages = pages };
	cr_assert_eq(ftruncate(g->region[0].fd, (off_t)(pages * PAGE_SIZE)), 0);
	g->map = mmap(NULL, pages * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		      g->region[0].fd, 0);
	cr_assert_neq((void *)g->map, MAP_FAILED);
	g->object = object_open(memfd_create("object", 0), pages, NULL, &e);
	cr_assert_not_null(g->object, "%s", e.text);
	cr_assert_eq(pages_init(&g->pages, pages), 0);
	cr_assert_eq(windows_init(&g->windows, pages), 0);
	cr_assert_eq(sample_init(&g->sample, pages), 0);
	cr_assert_eq(pagein_init(g), 0);
	cr_assert_eq(kept_init(&g->kept, pages), 0);
	beside_init(&g->beside);
	g->ring = ring_create(64);
	cr_assert_not_null(g->ring);
}

#endif
