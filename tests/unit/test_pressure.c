/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>

#include "base/pressure.h"

Test(pressure, the_kernels_text)
{
	struct pressure p;

	pressure_parse("some avg10=12.34 avg60=1.00 avg300=0.00 total=85941497\n"
		       "full avg10=0.07 avg60=0.00 avg300=0.00 total=42861869\n",
		       &p);
	cr_assert(p.there);
	cr_assert_eq(p.some, 123400);
	cr_assert_eq(p.full, 700);
	pressure_parse("some avg10=100.00 avg60=1.00 avg300=0.00 total=1\n"
		       "full avg10=99.99 avg60=0.00 avg300=0.00 total=1\n",
		       &p);
	cr_assert_eq(p.some, 1000000);
	cr_assert_eq(p.full, 999900);
}

/* One that has none, or half of it: nothing is told rather than something wrong. */
Test(pressure, what_is_not_there)
{
	static const char *const texts[] = {
		"", "some avg10=12.34 avg60=1.00 avg300=0.00 total=85941497\n",
		"some avg10=x\nfull avg10=1.00\n", "full avg10=1.00 avg60=0.00\n"
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct pressure p = { .there = true, .some = 1, .full = 1 };

		pressure_parse(texts[i], &p);
		cr_expect(!p.there && !p.some && !p.full, "case %zu", i);
	}
}

/* Whatever this kernel has, it is a share. */
Test(pressure, of_this_host)
{
	struct pressure p;

	pressure_memory(&p);
	cr_assert(p.some <= 1000000 && p.full <= p.some + 10000);
}
