/* SPDX-License-Identifier: BSD-2-Clause */
/* What is read before it is asked for: streams, their windows, and nothing else. */
#include <criterion/criterion.h>

#include "vmm/readahead.h"

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

Test(readahead, random_access_reads_nothing_ahead)
{
	struct readahead r = { 0 };
	uint64_t state = 42, from;

	for (int i = 0; i < 100000; i++) {
		/* at least 9 pages from any other: no chance neighbours */
		uint64_t page = next_random(&state) % (UINT64_C(1) << 40) * 64;

		cr_assert_eq(readahead_fault(&r, page), 1, "fault %d", i);
		cr_assert_eq(readahead_hit(&r, page, &from), 0, "hit %d", i);
	}
}

Test(readahead, backwards_and_far_strides_are_no_stream)
{
	static const int64_t strides[] = { -1, -2, -63, 0, 9, 64, 1000 };

	for (size_t k = 0; k < sizeof(strides) / sizeof(strides[0]); k++) {
		struct readahead r = { 0 };

		for (int64_t i = 0; i < 1000; i++)
			cr_assert_eq(readahead_fault(&r, (uint64_t)(100000 + i * strides[k])),
				     1, "stride %lld, fault %lld", (long long)strides[k],
				     (long long)i);
	}
}

/* Page 0 of a fresh one, where all is 0, is as any other. */
Test(readahead, first_fault_reads_one_page)
{
	for (uint64_t page = 0; page < 20; page++) {
		struct readahead r = { 0 };
		uint64_t from;

		cr_assert_eq(readahead_hit(&r, page, &from), 0);
		cr_assert_eq(readahead_fault(&r, page), 1);
		cr_assert_eq(readahead_hit(&r, page, &from), 0, "one page is no window");
	}
}

Test(readahead, stream_grows_to_the_maximum)
{
	struct readahead r = { 0 };
	uint64_t page = 1000;
	uint32_t want = 1;

	for (int i = 0; i < 1000; i++) {
		cr_assert_eq(readahead_fault(&r, page), want, "fault %d", i);
		page += want;
		want = want * 2 > READAHEAD_MAX ? READAHEAD_MAX : want * 2;
	}
}

/* Some of a stream's pages were resident: up to 7 left out are no end of it. */
Test(readahead, stream_may_skip_a_little)
{
	for (uint64_t skip = 0; skip < 20; skip++) {
		struct readahead r = { 0 };

		cr_assert_eq(readahead_fault(&r, 500), 1);
		cr_assert_eq(readahead_fault(&r, 501 + skip), skip < 8 ? 2 : 1, "skip %d",
			     (int)skip);
	}
}

/* The window counts from where it goes on, not from where it was expected. */
Test(readahead, stream_goes_on_behind_a_skip)
{
	struct readahead r = { 0 };
	uint64_t from = 0;

	cr_assert_eq(readahead_fault(&r, 100), 1);
	cr_assert_eq(readahead_fault(&r, 106), 2); /* 106, 107 */
	cr_assert_eq(readahead_hit(&r, 105, &from), 0, "before the window");
	cr_assert_eq(readahead_hit(&r, 108, &from), 0, "behind it");
	cr_assert_eq(readahead_hit(&r, 107, &from), 4);
	cr_assert_eq(from, 108);
	cr_assert_eq(readahead_fault(&r, 112), 8);
}

Test(readahead, hit_asks_for_the_next_window_once)
{
	struct readahead r = { 0 };
	uint64_t from, at = 0, asked;
	uint32_t window;

	for (asked = 0; asked < 3; asked += window)
		window = readahead_fault(&r, asked);
	at = asked - window;
	/* touched one after the other: each window asks at its first page */
	for (int i = 0; i < 50; i++) {
		uint32_t want = window * 2 > READAHEAD_MAX ? READAHEAD_MAX : window * 2;

		from = UINT64_MAX;
		cr_assert_eq(readahead_hit(&r, at, &from), want, "window %d", i);
		cr_assert_eq(from, asked, "no page twice and none left out");
		for (uint32_t k = 0; k < window; k++)
			cr_assert_eq(readahead_hit(&r, at + k, &from), 0, "window %d, page %u",
				     i, k);
		at = asked;
		asked += want;
		window = want;
	}
	cr_assert_eq(window, READAHEAD_MAX);
}

/* Any page of the last window asks, not the first alone: some are touched never. */
Test(readahead, any_page_of_the_window_asks)
{
	for (uint64_t k = 0; k < 16; k++) {
		struct readahead r = { 0 };
		uint64_t page = 2000, from = 0;
		uint32_t n;

		while ((n = readahead_fault(&r, page)) < 16)
			page += n;
		cr_assert_eq(readahead_hit(&r, page + k, &from), 32, "page %d", (int)k);
		cr_assert_eq(from, page + 16);
	}
}

Test(readahead, streams_do_not_disturb_each_other)
{
	struct readahead r = { 0 };
	uint64_t page[READAHEAD_STREAMS], from, state = 7;
	uint32_t window[READAHEAD_STREAMS];

	for (unsigned int s = 0; s < READAHEAD_STREAMS; s++) {
		page[s] = 1000000 * (s + 1);
		window[s] = 1;
	}
	/* the first time in turn, so that each has its place, then as it comes */
	for (int i = 0; i < 2000; i++) {
		unsigned int s =
			(unsigned int)(i < READAHEAD_STREAMS
					       ? (uint64_t)i
					       : next_random(&state) % READAHEAD_STREAMS);

		if (window[s] >= 4 && next_random(&state) % 2 == 0) {
			/* in its last window */
			cr_assert_eq(readahead_hit(&r, page[s] - 1, &from), window[s]);
			cr_assert_eq(from, page[s]);
		} else {
			cr_assert_eq(readahead_fault(&r, page[s]), window[s],
				     "stream %u, step %d", s, i);
		}
		page[s] += window[s];
		window[s] = window[s] * 2 > READAHEAD_MAX ? READAHEAD_MAX : window[s] * 2;
	}
}

/* A fifth takes the place of the one that has rested longest, over the clock's end too. */
Test(readahead, oldest_stream_gives_way)
{
	static const uint32_t clocks[] = { 0, UINT32_MAX - 6, UINT32_MAX - 3 };

	for (size_t k = 0; k < sizeof(clocks) / sizeof(clocks[0]); k++) {
		struct readahead r = { .clock = clocks[k] };
		uint64_t from;

		for (int i = 0; i < READAHEAD_STREAMS; i++)
			r.stream[i].used = clocks[k];
		cr_assert_eq(readahead_fault(&r, 0), 1);
		cr_assert_eq(readahead_fault(&r, 1), 2);
		for (uint64_t s = 1; s < READAHEAD_STREAMS; s++)
			cr_assert_eq(readahead_fault(&r, 1000 * s), 1);
		cr_assert_eq(readahead_hit(&r, 2, &from), 4);	       /* 0 goes on, by a hit */
		cr_assert_eq(readahead_fault(&r, 9000), 1, "a fifth"); /* instead of 1 */
		cr_assert_eq(readahead_fault(&r, 2001), 2, "2 is there");
		cr_assert_eq(readahead_fault(&r, 3001), 2, "3 is there");
		cr_assert_eq(readahead_fault(&r, 9001), 2, "the fifth is there");
		cr_assert_eq(readahead_fault(&r, 7), 8, "0 is there");
		cr_assert_eq(readahead_fault(&r, 1001), 1, "1 had to go");
	}
}
