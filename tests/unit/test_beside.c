/* SPDX-License-Identifier: BSD-2-Clause */

#include <criterion/criterion.h>

#include "vmm/beside.h"

#define US 1000u

static struct beside of_a_disk(uint64_t alone)
{
	struct beside b;

	beside_init(&b);
	for (int i = 0; i < 200; i++)
		beside_read(&b, alone, true);
	return b;
}

static void reads(struct beside *b, unsigned int n, uint64_t ns)
{
	while (n-- > 0)
		beside_read(b, ns, false);
}

Test(beside, nothing_is_known_at_first)
{
	struct beside b;

	beside_init(&b);
	reads(&b, 1000, 100000 * US);
	cr_assert_eq(b.pages, BESIDE_FIRST);
}

Test(beside, the_mean_of_reads_that_were_alone)
{
	struct beside b = of_a_disk(50 * US);

	cr_assert(b.alone > 49 * US && b.alone < 51 * US, "%llu", (unsigned long long)b.alone);
	for (int i = 0; i < 200; i++)
		beside_read(&b, 90 * US, true);
	cr_assert(b.alone > 88 * US && b.alone < 92 * US, "%llu", (unsigned long long)b.alone);
}

Test(beside, one_that_hung_says_little)
{
	struct beside b = of_a_disk(50 * US);

	beside_read(&b, UINT64_MAX, true);
	cr_assert_lt(b.alone, 60 * US);
}

Test(beside, slow_reads_halve_it_down_to_the_least)
{
	struct beside b = of_a_disk(50 * US);

	reads(&b, 1, 120 * US);
	cr_assert_eq(b.pages, BESIDE_FIRST / 2);
	reads(&b, 100, 120 * US);
	cr_assert_eq(b.pages, BESIDE_MIN);
}

Test(beside, reads_as_quick_as_alone_let_it_grow_up_to_the_most)
{
	struct beside b = of_a_disk(50 * US);

	reads(&b, 63, 60 * US);
	cr_assert_eq(b.pages, BESIDE_FIRST);
	reads(&b, 1, 60 * US);
	cr_assert_gt(b.pages, BESIDE_FIRST);
	reads(&b, 100000, 60 * US);
	cr_assert_eq(b.pages, BESIDE_MAX);
}

Test(beside, a_slow_one_ends_a_row_of_good_ones)
{
	struct beside b = of_a_disk(50 * US);

	for (int i = 0; i < 100; i++) {
		reads(&b, 63, 60 * US);
		reads(&b, 1, 120 * US);
	}
	cr_assert_eq(b.pages, BESIDE_MIN);
}

Test(beside, reads_of_no_time_at_all_are_borne)
{
	struct beside b;

	beside_init(&b);
	beside_read(&b, 0, true);
	beside_read(&b, 0, false);
	beside_read(&b, UINT64_MAX, false);
	cr_assert(b.pages >= BESIDE_MIN && b.pages <= BESIDE_MAX);
}
