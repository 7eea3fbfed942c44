/* SPDX-License-Identifier: BSD-2-Clause */
/* Fault points: which hits fail. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/point.h"

#define LIMIT .timeout = 30

/* Of n hits, bit i is set where the i-th failed. */
static unsigned int hits(const char *name, int n)
{
	unsigned int failed = 0;

	for (int i = 0; i < n; i++)
		failed |= (unsigned int)(point_hit(name) != 0) << i;
	return failed;
}

Test(point, nothing_is_set, LIMIT)
{
	cr_assert_eq(hits("a", 10), 0);
	point_set("b", -EIO, 0, 1, 0);
	cr_assert_eq(hits("a", 10), 0);
	cr_assert_eq(point_failed("a"), 0);
}

Test(point, gives_its_error, LIMIT)
{
	point_set("a", -EIO, 0, 1, 0);
	point_set("b", -ENOSPC, 0, 1, 0);
	cr_assert_eq(point_hit("a"), -EIO);
	cr_assert_eq(point_hit("b"), -ENOSPC);
	cr_assert_eq(point_failed("a"), 1);
}

Test(point, skip_every_times, LIMIT)
{
	point_set("a", -EIO, 0, 1, 0);
	cr_assert_eq(hits("a", 8), 0xff);
	point_set("a", -EIO, 3, 1, 0);
	cr_assert_eq(hits("a", 8), 0xf8);
	point_set("a", -EIO, 0, 3, 0);
	cr_assert_eq(hits("a", 9), 0x124, "the third, the sixth, the ninth");
	point_set("a", -EIO, 2, 2, 2);
	cr_assert_eq(hits("a", 12), 0x28, "after two, every second, twice");
	cr_assert_eq(point_failed("a"), 2, "since it was set");
}

Test(point, taken_away, LIMIT)
{
	point_set("a", -EIO, 0, 1, 0);
	point_set("b", -EIO, 0, 1, 0);
	point_set("a", 0, 0, 1, 0);
	cr_assert_eq(hits("a", 4), 0);
	cr_assert_eq(hits("b", 4), 0xf);
	point_set("never", 0, 0, 1, 0);
	point_clear_all();
	cr_assert_eq(hits("b", 4), 0);
}

/* One that was taken away leaves its place to another. */
Test(point, places, LIMIT)
{
	char name[POINT_NAME_MAX + 1];

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "a-name-of-31-characters-in-all%c", 'a' + i % 26);
		point_set(name, -EIO, 0, 1, 0);
		cr_assert_eq(point_hit(name), -EIO);
		point_set(name, 0, 0, 1, 0);
		snprintf(name, sizeof(name), "point %d", i);
		point_set(name, -EIO, 0, 1, 0);
		cr_assert_eq(point_hit(name), -EIO);
		point_set(name, 0, 0, 1, 0);
	}
}

static void *hit_many(void *arg)
{
	(void)arg;
	for (int i = 0; i < 10000; i++)
		(void)point_hit("a");
	return NULL;
}

Test(point, from_several_threads, LIMIT)
{
	pthread_t t[4];

	point_set("a", -EIO, 0, 4, 0);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&t[i], NULL, hit_many, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	cr_assert_eq(point_failed("a"), 10000);
}
