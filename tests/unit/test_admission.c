/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "balloon/admission.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static const struct admission_host host = {
	.budget = 8 * GIB, .total = 16 * GIB, .reserved = 5 * GIB, .swap = 4 * GIB
};

Test(admission, what_fits_is_backed_by_swap_above_its_reservation)
{
	struct guest_terms t = { .memory = 4 * GIB, .reservation = 3 * GIB };
	uint64_t swap = 0;
	struct err e = { 0 };

	cr_assert_eq(admission_check("a", &t, &host, &swap, &e), 0, "%s", e.text);
	cr_assert_eq(swap, GIB);
	t.reservation = 4 * GIB;
	t.memory = 4 * GIB;
	cr_assert_eq(admission_check("a", &t, &host, &swap, &e), -ENOSPC);
	t.reservation = 0;
	cr_assert_eq(admission_check("a", &t, &host, &swap, &e), 0, "%s", e.text);
	cr_assert_eq(swap, 4 * GIB);
}

static const struct {
	const char *what;
	struct guest_terms terms;
	struct admission_host host;
	int code;
	const char *says[4];
} refusals[] = {
	{ "budget",
	  { .memory = 4 * GIB, .reservation = 3 * GIB + MIB },
	  { .budget = 8 * GIB, .total = 16 * GIB, .reserved = 5 * GIB, .swap = 4 * GIB },
	  -ENOSPC,
	  { "the budget", "8G", "5G", "3G" } },
	{ "no budget",
	  { .memory = 4 * GIB, .reservation = 4 * GIB },
	  { .total = 8 * GIB, .reserved = 5 * GIB, .swap = 4 * GIB },
	  -ENOSPC,
	  { "the host's RAM", "8G", "5G", "3G" } },
	{ "swap",
	  { .memory = 4 * GIB, .reservation = GIB },
	  { .total = 8 * GIB, .swap = 2 * GIB },
	  -ENOSPC,
	  { "4G", "1G", "3G of swap", "2G can be promised" } },
	{ "more is reserved than there is",
	  { .memory = GIB, .reservation = GIB },
	  { .budget = GIB, .total = 8 * GIB, .reserved = 2 * GIB, .swap = GIB },
	  -ENOSPC,
	  { "leaves 0", "", "", "" } },
	{ "low",
	  { .memory = GIB },
	  { .total = 8 * GIB, .swap = 2 * GIB, .low = true },
	  -EAGAIN,
	  { "low", "", "", "" } },
	{ "no memory",
	  { .memory = 0 },
	  { .total = 8 * GIB },
	  -EINVAL,
	  { "is not said", "", "", "" } },
	{ "too much",
	  { .memory = UINT64_MAX },
	  { .total = 8 * GIB, .swap = UINT64_MAX },
	  -EINVAL,
	  { "nobody has", "", "", "" } },
	{ "reservation",
	  { .memory = GIB, .reservation = 2 * GIB },
	  { .total = 8 * GIB },
	  -EINVAL,
	  { "2G", "1G", "", "" } },
	{ "limit",
	  { .memory = GIB, .reservation = 512 * MIB, .limit = 256 * MIB },
	  { .total = 8 * GIB },
	  -EINVAL,
	  { "256M", "512M", "", "" } },
	{ "shares",
	  { .memory = GIB, .shares = SHARES_MAX + 1ull },
	  { .total = 8 * GIB },
	  -EINVAL,
	  { "shares", "", "", "" } },
};

Test(admission, refusals_show_the_arithmetic)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		uint64_t swap;
		struct err e = { 0 };
		int ret = admission_check("web1", &refusals[i].terms, &refusals[i].host, &swap,
					  &e);

		cr_assert_eq(ret, refusals[i].code, "%s: %d %s", refusals[i].what, ret, e.text);
		cr_assert(strstr(e.text, "guest web1: "), "%s", e.text);
		for (int k = 0; k < 4; k++)
			cr_assert(strstr(e.text, refusals[i].says[k]), "%s: not '%s' in: %s",
				  refusals[i].what, refusals[i].says[k], e.text);
	}
}
