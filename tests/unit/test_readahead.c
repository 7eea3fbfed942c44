/* SPDX-License-Identifier: BSD-2-Clause */
/* What is read before it is asked for: streams, their windows, and nothing else. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/readahead.h"

#define NPAGES (UINT64_C(1) << 18) /* 1 GiB */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* RAM that is on swap, and what becomes of its pages. */
enum is { SWAPPED, READ, MAPPED };

struct ram {
	struct readahead r;
	uint8_t is[NPAGES];
	uint64_t missing, minor,
		free; /* touches: of a swapped page, of one that was read, else */
	uint64_t asked;
};

static struct ram *new_ram(void)
{
	struct ram *m = calloc(1, sizeof(*m));

	cr_assert_not_null(m);
	return m;
}

static void carry_out(struct ram *m, const struct readahead_ask *a)
{
	bool near = a->step == 1 || a->step == -1;

	cr_assert_leq(a->n, near ? READAHEAD_MAX : READAHEAD_MAX_STRIDED);
	for (uint32_t k = 0; k < a->n; k++) {
		uint64_t page = a->from + (uint64_t)a->step * k;

		cr_assert_lt(page, NPAGES, "step %lld", (long long)a->step);
		if (m->is[page] != SWAPPED)
			continue;
		m->is[page] = a->sure && k > 0 ? MAPPED : READ;
		m->asked++;
	}
}

static void touch(struct ram *m, uint64_t page)
{
	enum is was = m->is[page];
	struct readahead_ask a;

	m->is[page] = MAPPED;
	if (was == MAPPED) {
		m->free++;
		return;
	}
	m->missing += was == SWAPPED;
	m->minor += was == READ;
	a = readahead_touch(&m->r, page, NPAGES, was == SWAPPED);
	carry_out(m, &a);
}

static const struct pattern {
	const char *name;
	uint64_t first;
	int64_t step;
	uint64_t touches;
	uint64_t missing, minor; /* at most */
} patterns[] = {
	{ "forward", 1000, 1, 20000, 3, 180 },
	{ "forward from 0", 0, 1, 20000, 3, 180 },
	{ "backward", 30000, -1, 20000, 3, 180 },
	{ "forward to the end", NPAGES - 5000, 1, 5000, 3, 60 },
	{ "backward to 0", 4999, -1, 5000, 3, 60 },
	{ "short, at the end", NPAGES - 3, 1, 3, 3, 0 },
	{ "column of rows of 16", 5, 16, 16000, 4, 1400 },
	{ "column, backward", NPAGES - 1, -16, 16000, 4, 1400 },
	{ "every other page", 1, 2, 16000, 4, 1400 },
	{ "large steps", 7, 3000, 87, 4, 30 },
	{ "the largest", 0, READAHEAD_STRIDE, NPAGES / READAHEAD_STRIDE, 4, 16 },
	{ "steps that are too large", 0, READAHEAD_STRIDE + 1, 63, 63, 0 },
};

/* Each is found at once, and from then on no page is waited for. */
Test(readahead, streams)
{
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		const struct pattern *p = &patterns[i];
		struct ram *m = new_ram();

		for (uint64_t k = 0; k < p->touches; k++)
			touch(m, p->first + (uint64_t)p->step * k);
		cr_expect_leq(m->missing, p->missing, "%s: %d missing", p->name,
			      (int)m->missing);
		cr_expect_leq(m->minor, p->minor, "%s: %d minor", p->name, (int)m->minor);
		/* not more than two windows too much */
		cr_expect_leq(m->asked, p->touches + 2 * READAHEAD_MAX, "%s", p->name);
		free(m);
	}
}

/* Column after column of a table, as bench has it. */
Test(readahead, columns)
{
	struct ram *m = new_ram();

	for (uint64_t column = 0; column < 4; column++)
		for (uint64_t row = 0; row < NPAGES / 16; row++)
			touch(m, row * 16 + column);
	cr_assert_leq(m->missing, 4 * 6);
	cr_assert_geq(m->free, NPAGES / 16 * 4 * 9 / 10);
	free(m);
}

Test(readahead, random_access_reads_nothing_ahead)
{
	struct ram *m = new_ram();
	uint64_t state = 42;

	for (int i = 0; i < 100000; i++)
		touch(m, next_random(&state) % NPAGES);
	/* three or four in a row by chance: at most a first window now and then */
	cr_assert_leq(m->asked, 32, "%d", (int)m->asked);
	free(m);
}

/* Pairs of neighbours are no stream. */
Test(readahead, chance_neighbours_read_nothing_ahead)
{
	struct ram *m = new_ram();
	uint64_t state = 7;

	for (int i = 0; i < 20000; i++) {
		uint64_t page = next_random(&state) % (NPAGES / 8) * 8;

		touch(m, page);
		touch(m, page + 1);
	}
	cr_assert_leq(m->asked, 32, "%d", (int)m->asked);
	free(m);
}

/* As many as there are places, in any order, with random access in between. */
Test(readahead, streams_do_not_disturb_each_other)
{
	for (unsigned int noise = 0; noise < 3; noise++) {
		struct ram *m = new_ram();
		uint64_t at[8], state = 3 + noise;

		for (unsigned int s = 0; s < 8; s++)
			at[s] = s * (NPAGES / 8);
		for (int i = 0; i < 100000; i++) {
			if (next_random(&state) % 4 < noise)
				touch(m, NPAGES / 2 + NPAGES / 4 + 20000 +
						 next_random(&state) % 10000);
			else
				touch(m, at[next_random(&state) % 8]++);
		}
		for (unsigned int s = 0; s < 8; s++)
			for (uint64_t k = 0; k < 64; k++)
				cr_assert_neq(m->is[at[s] - k - 1], SWAPPED);
		if (noise == 0)
			cr_assert_leq(m->missing, 8 * 4, "%d", (int)m->missing);
		cr_assert_geq(m->free, 100000u * (4 - noise) / 4 * 9 / 10, "noise %u: %d",
			      noise, (int)m->free);
		free(m);
	}
}

/* The window is asked for once, from the page that was not asked for yet on. */
Test(readahead, marker_asks_for_the_next_window)
{
	struct readahead r = { 0 };
	struct readahead_ask a = { 0 }, b;

	for (uint64_t page = 100; page < 103; page++)
		a = readahead_touch(&r, page, NPAGES, true);
	cr_assert_eq(a.from, 103);
	for (uint32_t n = 4; n < 10 * READAHEAD_MAX; n *= 2) {
		cr_assert_eq(a.n, n < READAHEAD_MAX ? n : READAHEAD_MAX);
		cr_assert_eq(a.sure, n >= 8);
		b = readahead_touch(&r, a.from, NPAGES, false);
		cr_assert_eq(b.from, a.from + a.n);
		cr_assert_eq(readahead_touch(&r, a.from, NPAGES, false).n, 0, "asked for");
		cr_assert_eq(readahead_touch(&r, a.from + 1, NPAGES, false).n, 0);
		a = b;
	}
}

/* Pages that were asked for and are on swap again: less is asked for each time. */
Test(readahead, evicted_before_its_turn)
{
	struct readahead r = { 0 };
	uint64_t page = 0;
	struct readahead_ask a = { 0 };

	while (a.n < READAHEAD_MAX)
		a = readahead_touch(&r, page++, NPAGES, false);
	page = a.from + 1;
	for (uint32_t n = READAHEAD_MAX / 2; n >= 1; n /= 2) {
		a = readahead_touch(&r, page, NPAGES, true);
		cr_assert_eq(a.n, n);
		cr_assert_eq(a.from, page + 1);
		page += n > 1;
	}
}

/* What was not done is asked for again. */
Test(readahead, cut)
{
	for (uint32_t n = 0; n <= 4; n++) {
		struct readahead r = { 0 };
		struct readahead_ask a = { 0 };

		for (uint64_t page = 100; page < 103; page++)
			a = readahead_touch(&r, page, NPAGES, true);
		readahead_cut(&r, &a, n);
		a = readahead_touch(&r, 103, NPAGES, n == 0);
		cr_assert_eq(a.n, 8);
		cr_assert_eq(a.from, n == 0 ? 104 : 103 + n);
	}
}

/* A 17th takes the place of the one that has rested longest, over the clock's end too. */
Test(readahead, oldest_stream_gives_way)
{
	static const uint32_t clocks[] = { 0, UINT32_MAX - 20, UINT32_MAX - 3 };

	for (size_t k = 0; k < sizeof(clocks) / sizeof(clocks[0]); k++) {
		struct readahead r = { .clock = clocks[k] };

		for (int i = 0; i < READAHEAD_STREAMS; i++)
			r.stream[i].used = clocks[k];
		for (uint64_t s = 0; s <= READAHEAD_STREAMS; s++)
			for (uint64_t page = 0; page < 3; page++)
				cr_assert_eq(
					readahead_touch(&r, 10000 * s + page, NPAGES, true).n,
					page < 2 ? 0 : 4);
		cr_assert_eq(readahead_touch(&r, 3, NPAGES, false).n, 0, "0 had to go");
		for (uint64_t s = 1; s <= READAHEAD_STREAMS; s++)
			cr_assert_eq(readahead_touch(&r, 10000 * s + 3, NPAGES, false).n, 8);
	}
}

/* No sequence of touches, in RAM of any size, asks for what is not there. */
Test(readahead, hostile)
{
	static const uint64_t sizes[] = { 1,	   2,	       3,
					  5,	   17,	       4097,
					  1 << 20, UINT64_MAX, (UINT64_C(1) << 63) + 1 };
	uint64_t state = 11;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct readahead r = { 0 };
		uint64_t page = 0;

		for (int k = 0; k < 50000; k++) {
			static const uint64_t steps[] = { 0, 1, 2, 16, 4096, 4097, 1 << 30 };
			uint64_t by = steps[next_random(&state) % 7];
			struct readahead_ask a;

			if (next_random(&state) % 8 == 0)
				page = next_random(&state) % 3 == 0 ? UINT64_MAX - by
								    : sizes[i] - 1 - by;
			page = next_random(&state) % 2 ? page + by : page - by;
			a = readahead_touch(&r, page, sizes[i], next_random(&state) % 2);
			for (uint32_t n = 0; n < a.n; n++)
				cr_assert_lt(a.from + (uint64_t)a.step * n, sizes[i]);
			if (a.n > 0 && next_random(&state) % 4 == 0)
				readahead_cut(&r, &a, next_random(&state) % (a.n + 1));
		}
	}
}
