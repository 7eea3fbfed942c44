/* SPDX-License-Identifier: BSD-2-Clause */
/* What is kept of writes until they are flushed. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/image_log.h"

#define SIZE 5000

static char byte_at(unsigned int n, uint32_t i)
{
	return (char)(n * 31 + i * 7);
}

static void check_record(const struct image_record *rec, const char *data, unsigned int n)
{
	cr_assert_eq(rec->off, n * 512ull);
	cr_assert_eq(rec->len, n % 700 + 1);
	cr_assert_eq(rec->zeroes, n % 5 == 0);
	cr_assert_eq(rec->unmap, n % 3 == 0);
	for (uint32_t i = 0; i < rec->len && !rec->zeroes; i++)
		cr_assert_eq(data[i], byte_at(n, i));
}

/* Numbered records, added while there is room, and forgotten some at a time. */
Test(image_log, at_random)
{
	struct image_log log;
	unsigned int first = 0, next = 0, state = 99, full = 0;
	uint64_t marks[10000];
	char data[1024];

	cr_assert_eq(image_log_init(&log, SIZE), 0);
	while (next < 9000) {
		struct image_record rec = {
			.off = next * 512ull,
			.len = next % 700 + 1,
			.zeroes = next % 5 == 0,
			.unmap = next % 3 == 0,
		};
		uint64_t at = log.tail;
		unsigned int n = first;

		for (uint32_t i = 0; i < rec.len; i++)
			data[i] = byte_at(next, i);
		if (image_log_add(&log, &rec, data)) {
			marks[next++] = log.head;
			continue;
		}
		full++;
		cr_assert_gt(log.head - log.tail + sizeof(rec) + rec.len, SIZE);
		while (image_log_get(&log, &at, &rec, data))
			check_record(&rec, data, n++);
		cr_assert_eq(n, next);
		state = state * 1103515245u + 12345u;
		first += 1 + (state >> 8) % (next - first);
		image_log_trim(&log, marks[first - 1]);
		/* an older flush that ends later */
		image_log_trim(&log, marks[first - 1] - 1);
		cr_assert_eq(log.tail, marks[first - 1]);
	}
	cr_assert_gt(full, 100);
	image_log_fini(&log);
}
