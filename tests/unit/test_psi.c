/* SPDX-License-Identifier: BSD-2-Clause */
/* Averages of stalls against their closed form, at whatever pace they are updated. */
#include <criterion/criterion.h>
#include <math.h>

#include "balloon/psi.h"

#define SEC   UINT64_C(1000000000)
#define LIMIT .timeout = 30

static const double window_s[PSI_WINDOWS] = { 10, 60, 300 };

/* Updates each `step` ns for `span`, in which `share` of the time is stalled. */
static void run(struct psi *p, uint64_t span, uint64_t step, double share)
{
	uint64_t from = p->at, total = p->total;

	for (uint64_t t = step; t <= span; t += step)
		psi_update(p, total + (uint64_t)(share * (double)t), from + t);
}

static void expect(const struct psi *p, int w, double wanted, const char *what)
{
	double got = psi_share(p, (enum psi_window)w);

	cr_expect(fabs(got - wanted * PSI_ONE) <= 1.5, "%s, %g s: %.0f, not %.1f", what,
		  window_s[w], got, wanted * PSI_ONE);
}

/* avg(t) = share * (1 - e^(-t/window)), then * e^(-t/window) when nothing stalls any more. */
Test(psi, is_its_closed_form_at_any_pace, LIMIT)
{
	static const uint64_t steps[] = { SEC / 4, SEC, 2 * SEC, 7 * SEC + 1, 90 * SEC };

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		uint64_t n = (120 * SEC + steps[i] - 1) / steps[i];
		double t = (double)(n * steps[i]) / (double)SEC;
		struct psi p = { 0 };

		psi_update(&p, 12345, 777 * SEC);
		run(&p, n * steps[i], steps[i], 0.25);
		for (int w = 0; w < PSI_WINDOWS; w++)
			expect(&p, w, 0.25 * (1 - exp(-t / window_s[w])), "rise");
		run(&p, n * steps[i], steps[i], 0);
		for (int w = 0; w < PSI_WINDOWS; w++)
			expect(&p, w,
			       0.25 * (1 - exp(-t / window_s[w])) * exp(-t / window_s[w]),
			       "fall");
	}
}

/* The kernel: each 2 s, avg = avg * e + share * (1 - e) in 11 bits, with these constants. */
Test(psi, is_what_the_kernel_has, LIMIT)
{
	static const unsigned long kernel[PSI_WINDOWS] = { 1677, 1981, 2034 };
	unsigned long avg[PSI_WINDOWS] = { 0 };
	struct psi p = { 0 };
	uint64_t total = 0;

	psi_update(&p, 0, SEC);
	for (int i = 1; i <= 200; i++) {
		unsigned long percent = (unsigned long)(i * 7919 % 101);

		total += percent * 2 * SEC / 100;
		psi_update(&p, total, SEC + (uint64_t)i * 2 * SEC);
		for (int w = 0; w < PSI_WINDOWS; w++) {
			unsigned long new =
				avg[w] * kernel[w] + percent * 2048 * (2048 - kernel[w]);

			if (percent * 2048 >= avg[w])
				new += 2047;
			avg[w] = new / 2048;
		}
	}
	for (int w = 0; w < PSI_WINDOWS; w++)
		cr_expect(fabs((double)avg[w] / 2048 / 100 - p.avg[w]) < 0.01, "%g s: %g, %g",
			  window_s[w], (double)avg[w] / 204800, p.avg[w]);
}

Test(psi, has_bounds, LIMIT)
{
	struct psi p = { 0 };

	psi_update(&p, 5 * SEC, 0);
	cr_expect_eq(psi_share(&p, PSI_10S), 0, "what was before the first look is not known");
	for (uint64_t i = 1; i < 4000; i++)
		psi_update(&p, 5 * SEC + i * 3 * SEC, i * SEC); /* more than all */
	for (int w = 0; w < PSI_WINDOWS; w++)
		cr_expect(psi_share(&p, (enum psi_window)w) > PSI_ONE - 10 &&
				  psi_share(&p, (enum psi_window)w) <= PSI_ONE,
			  "%u", psi_share(&p, (enum psi_window)w));
	psi_update(&p, UINT64_MAX, UINT64_MAX);
	for (int w = 0; w < PSI_WINDOWS; w++)
		cr_expect(psi_share(&p, (enum psi_window)w) <= PSI_ONE);
}

Test(psi, the_same_instant_and_what_falls_change_nothing, LIMIT)
{
	struct psi p = { 0 };
	uint32_t before;

	psi_update(&p, 0, SEC);
	run(&p, 20 * SEC, SEC, 0.5);
	before = psi_share(&p, PSI_10S);
	psi_update(&p, p.total + SEC, p.at);
	cr_expect_eq(psi_share(&p, PSI_10S), before, "no time has passed");
	psi_update(&p, 3, p.at + SEC);
	cr_expect_eq(psi_share(&p, PSI_10S), before, "another count");
	run(&p, 10 * SEC, SEC, 1);
	cr_expect_gt(psi_share(&p, PSI_10S), before, "which goes on from there");
	before = psi_share(&p, PSI_10S);
	psi_update(&p, p.total, SEC);
	cr_expect_eq(psi_share(&p, PSI_10S), before, "time went backwards");
}
