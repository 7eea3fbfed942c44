/* SPDX-License-Identifier: BSD-2-Clause */
/* The watchdog's look at a guest in which faults wait: what it tells, and when. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "vmm/guest.h"

#define PAGES 64u
#define START (1000 * NSEC_PER_SEC)
#define AFTER (20 * NSEC_PER_SEC)
#define RAM   UINT64_C(0x7f0000000000)

static struct guest *g;
static struct paging paging = { .stall_after = AFTER };
static unsigned int told, over;
static char said[400]; /* the last */

static void stalled(void *arg, struct guest *of, const struct guest_stall *s)
{
	cr_assert_eq(of, g);
	cr_assert_eq(arg, &told);
	if (s->over) {
		over++;
		snprintf(said, sizeof(said), "over after %llu", (unsigned long long)s->seconds);
		return;
	}
	told++;
	snprintf(said, sizeof(said), "page %lld, %llu s, %s: %s", (long long)s->page,
		 (unsigned long long)s->seconds, s->path ? s->path : "-", s->why);
}

static const struct guest_ops ops = { .stalled = stalled, .arg = &told };

static unsigned int add(const char *path, uint64_t ino)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC), n;

	n = drum_add(g->drum, device_file_create("file", path, fd, 1, ino, 1 << 20, 0), 0, 0);
	cr_assert_gt(n, 0);
	return (unsigned int)n;
}

static void begin(void)
{
	struct err e = { 0 };

	g = calloc(1, sizeof(*g));
	g->ops = &ops;
	g->paging = &paging;
	g->drum = drum_create();
	g->npages = PAGES;
	g->swap_fd = memfd_create("swblocks", MFD_CLOEXEC);
	g->object = object_open(g->swap_fd, PAGES, NULL, &e);
	cr_assert_not_null(g->object);
	cr_assert_eq(pages_init(&g->pages, PAGES), 0);
	g->pid = 77;
	stall_share_init(g);
	g->mapper[1] = (struct mapper){ .used = true,
					.pid = 77,
					.nranges = 1,
					.range = { { RAM, PAGES << PAGE_SHIFT, 0 } } };
	cr_assert_eq(add("/a", 1), 1);
	cr_assert_eq(add("/b", 2), 2);
}

static void end(void)
{
	object_close(g->object);
	pages_fini(&g->pages);
	close(g->swap_fd);
	drum_destroy(g->drum);
	free(g);
}

static void park(uint64_t page, uint64_t since, enum stall_why why)
{
	g->parked[g->nparked++] =
		(struct parked){ RAM + (page << PAGE_SHIFT), since, 1, (uint8_t)why, false, 0 };
}

/* A page-in of n pages; who waits is told by wait_for. */
static struct pagein *pagein(unsigned int i, uint64_t page, uint32_t n, drum_addr a)
{
	struct pagein *p = &g->pagein[i];

	*p = (struct pagein){ .busy = true, .page = page, .n = n, .addr = a, .begun = i };
	return p;
}

static void wait_for(struct pagein *p, uint32_t k, uint64_t since)
{
	p->waiters[k] = 1u << 1;
	p->since[k] = since;
}

#define SAID(what) cr_assert_str_eq(said, what)

TestSuite(stall, .init = begin, .fini = end, .timeout = 20);

Test(stall, nothing_waits)
{
	pagein(0, 3, 4, drum_make(1, 9)); /* ahead of need */
	stall_look(g, START);
	stall_look(g, START + 10 * AFTER);
	cr_assert_eq(told + over, 0);
	cr_assert_eq(g->stalls.oldest_page, UINT64_MAX);
}

Test(stall, once_and_over)
{
	struct pagein *p = pagein(5, 30, 4, drum_make(2, 100));

	wait_for(p, 2, START);
	stall_look(g, START + AFTER - 1);
	cr_assert_eq(told, 0);
	cr_assert_eq(g->stalls.oldest_page, 32);
	cr_assert_eq(g->stalls.oldest_addr, drum_make(2, 102));
	stall_look(g, START + AFTER + NSEC_PER_SEC);
	cr_assert_eq(told, 1);
	SAID("page 32, 21 s, /b: the read of block 102 does not end");
	for (unsigned int i = 2; i < 200; i++)
		stall_look(g, START + AFTER + i * NSEC_PER_SEC);
	cr_assert_eq(told, 1, "told %u times", told);
	cr_assert_eq(over, 0);
	p->busy = false;
	stall_look(g, START + AFTER + 200 * NSEC_PER_SEC);
	cr_assert_eq(over, 1);
	SAID("over after 220");
	stall_look(g, START + AFTER + 201 * NSEC_PER_SEC);
	cr_assert_eq(told + over, 2);
}

Test(stall, over_while_a_younger_one_waits)
{
	wait_for(pagein(0, 1, 1, drum_make(1, 1)), 0, START);
	stall_look(g, START + AFTER);
	cr_assert_eq(told, 1);
	wait_for(pagein(0, 9, 1, drum_make(1, 1)), 0, START + AFTER);
	stall_look(g, START + AFTER + NSEC_PER_SEC);
	cr_assert_eq(over, 1);
	stall_look(g, START + AFTER + AFTER);
	cr_assert_eq(told, 2);
}

/* Looks are some way apart, however often the worker comes round. */
Test(stall, looks_seldom)
{
	stall_look(g, START);
	wait_for(pagein(0, 1, 1, drum_make(1, 1)), 0, START - AFTER);
	stall_look(g, START + NSEC_PER_MSEC);
	cr_assert_eq(told, 0);
	stall_look(g, START + NSEC_PER_SEC);
	cr_assert_eq(told, 1);
}

Test(stall, another_device_is_told_later)
{
	wait_for(pagein(0, 1, 1, drum_make(1, 1)), 0, START);
	wait_for(pagein(1, 2, 1, drum_make(2, 2)), 0, START + 1);
	stall_look(g, START + AFTER);
	SAID("page 1, 20 s, /a: the read of block 1 does not end");
	g->pagein[0].busy = false;
	stall_look(g, START + AFTER + NSEC_PER_SEC);
	cr_assert_eq(told, 1);
	stall_look(g, START + 2 * AFTER);
	cr_assert_eq(told, 2);
	SAID("page 2, 39 s, /b: the read of block 2 does not end");
	cr_assert_eq(over, 0);
}

/* By which state of a page-in, or parked why, what is said. */
static const struct {
	enum stall_why why;
	bool filled, failing;
	const char *what;
} whys[] = {
	{ STALL_READ, false, false, "page 4, 20 s, /a: the read of block 50 does not end" },
	{ STALL_FAILING, false, true,
	  "page 4, 20 s, /a: block 50 cannot be read, it is tried again" },
	{ STALL_CHANGING, true, false,
	  "page 4, 20 s, /a: the address space of process 77 keeps changing" },
	{ STALL_NO_MEMORY, true, false,
	  "page 4, 20 s, /a: there is no memory for it: that of process 77's cgroup, or the "
	  "host's, is in use" },
};

ParameterizedTestParameters(stall, of_a_pagein)
{
	static unsigned int i[] = { 0, 1, 2, 3 };

	return cr_make_param_array(unsigned int, i, 4);
}

ParameterizedTest(unsigned int *i, stall, of_a_pagein)
{
	struct pagein *p = pagein(0, 4, 1, drum_make(1, 50));

	wait_for(p, 0, START);
	p->filled = whys[*i].filled;
	p->failing = whys[*i].failing;
	if (p->filled)
		p->why = (uint8_t)whys[*i].why;
	stall_look(g, START + AFTER);
	SAID(whys[*i].what);
}

static const struct {
	enum stall_why why;
	const char *what;
} parked[] = {
	{ STALL_LIMIT, "page 7, 20 s, /b: the guest is at its limit" },
	{ STALL_CHANGING, "page 7, 20 s, /b: the address space of process 77 keeps changing" },
	{ STALL_NO_MEMORY, "page 7, 20 s, /b: there is no memory for it: that of process 77's "
			   "cgroup, or the host's, is in use" },
	/* not the page's own device, but the one that all wait for */
	{ STALL_NO_PAGEIN,
	  "page 7, 20 s, /a: all page-ins are busy, the oldest reads block 60" },
};

ParameterizedTestParameters(stall, of_a_parked_fault)
{
	static unsigned int i[] = { 0, 1, 2, 3 };

	return cr_make_param_array(unsigned int, i, 4);
}

ParameterizedTest(unsigned int *i, stall, of_a_parked_fault)
{
	cr_assert_eq(object_set(g->object, 7, drum_make(2, 70) | SWB_VALID), 0);
	pagein(9, 20, 1, drum_make(2, 61));
	pagein(3, 40, 1, drum_make(1, 60));
	park(8, START + 1, STALL_LIMIT);
	park(7, START, parked[*i].why);
	stall_look(g, START + AFTER);
	SAID(parked[*i].what);
}

/* A hole has no device. */
Test(stall, of_a_hole)
{
	park(7, START, STALL_CHANGING);
	stall_look(g, START + AFTER);
	SAID("page 7, 20 s, -: the address space of process 77 keeps changing");
}

/* --- the accounting: who waits is looked at, and why ------------------------------------- */

static void faults(pid_t tid, uint64_t page)
{
	stall_begin(g, &g->mapper[1], tid, RAM + (page << PAGE_SHIFT), clock_ns());
}

/* => what is waited for from one look to the next; HOST_STALLS: nothing */
static enum host_stall waited_for(void)
{
	uint64_t by[HOST_STALLS];
	enum host_stall found = HOST_STALLS;

	g->stalled.look_at = 0;
	stall_share_step(g);
	memcpy(by, g->stalled.by, sizeof(by));
	g->stalled.upto -= g->stalled.n > 0 ? 1000 : 0; /* that time has passed */
	stall_share_step(g);
	for (int i = 0; i < HOST_STALLS; i++) {
		if (g->stalled.by[i] == by[i])
			continue;
		cr_assert_eq(found, HOST_STALLS, "%d and %d", (int)found, i);
		found = (enum host_stall)i;
	}
	return found;
}

Test(stall, accounts_for_a_read)
{
	struct pagein *p = pagein(3, 30, 4, drum_make(2, 100));

	page_set(&g->pages, 31, PAGE_ACTIVE);
	page_set(&g->pages, 31, PAGE_INACTIVE);
	page_set(&g->pages, 31, PAGE_WRITING);
	page_set(&g->pages, 31, PAGE_SWAPPED);
	page_set(&g->pages, 31, PAGE_READING);
	faults(5, 31);
	cr_assert_eq(waited_for(), HOST_STALL_READ);
	p->failing = 1;
	cr_assert_eq(waited_for(), HOST_STALL_FAILING);
	p->filled = true;
	p->why = STALL_NO_MEMORY;
	cr_assert_eq(waited_for(), HOST_STALL_NO_MEMORY);
	stall_page_done(g, 30);
	cr_assert_eq(g->stalled.n, 1);
	stall_page_done(g, 31);
	cr_assert_eq(g->stalled.n, 0);
	/* and if nobody tells */
	faults(5, 31);
	page_set(&g->pages, 31, PAGE_ACTIVE);
	cr_assert_eq(waited_for(), HOST_STALLS);
	cr_assert_eq(g->stalled.n, 0);
}

Test(stall, accounts_for_what_is_parked)
{
	static const struct {
		enum stall_why why;
		enum host_stall is;
	} of[] = {
		{ STALL_LIMIT, HOST_STALL_LIMIT },
		{ STALL_NO_PAGEIN, HOST_STALL_NO_PAGEIN },
		{ STALL_CHANGING, HOST_STALL_CHANGING },
		{ STALL_NO_MEMORY, HOST_STALL_NO_MEMORY },
	};

	for (unsigned int i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		g->nparked = 0;
		park(7, clock_ns(), of[i].why);
		g->parked[0].tid = 5;
		faults(5, 7);
		cr_assert_eq(waited_for(), of[i].is);
	}
	/* of another thread's, or of another page, it is not */
	g->parked[0].tid = 6;
	cr_assert_eq(waited_for(), HOST_STALLS);
	g->parked[0].tid = 5;
	faults(5, 8);
	cr_assert_eq(waited_for(), HOST_STALLS);
}

Test(stall, another_process_is_no_vcpu)
{
	g->mapper[1].pid = 78;
	faults(5, 7);
	cr_assert_eq(g->stalled.n, 0);
}
