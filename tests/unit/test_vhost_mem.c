/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses of the guest and of its VMM, true and false ones, and the log of writes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/vhost_mem.h"

#define P   4096u
#define TOP (UINT64_MAX - P + 1) /* the last page of all */

static struct err e;
static struct vhost_mem mem;
static _Alignas(4096) uint8_t ram[16 * 4096];

static int add(uint64_t gpa, uint64_t size, uint64_t uva, void *ptr, uint64_t page)
{
	struct vhost_region r = { .gpa = gpa, .size = size, .uva = uva };

	return vhost_mem_add(&mem, &r, ptr, page, &e);
}

/* Two that adjoin, but not in our memory; one by itself; one at the very end. */
static void four(void)
{
	memset(&mem, 0, sizeof(mem));
	for (size_t i = 0; i < sizeof(ram); i++)
		ram[i] = (uint8_t)(i * 7 + i / P);
	cr_assert_eq(add(0, 4 * P, 0x7f0000000000, ram + 4 * P, 100), 0);
	cr_assert_eq(add(4 * P, 2 * P, 0x7f8000000000, ram, 200), 0);
	cr_assert_eq(add(64 * P, 3 * P, 0x7f0000000000 + 4 * P, ram + 8 * P, 300), 0);
	cr_assert_eq(add(TOP, P, TOP, ram + 12 * P, 400), 0);
}

Test(vhost_mem, guest_addresses)
{
	struct vhost_place place;

	four();
	cr_assert_eq(vhost_mem_gpa(&mem, 0, 1, &place), 0);
	cr_assert_eq(place.ptr, ram + 4 * P);
	cr_assert_eq(place.len, 1);
	cr_assert_eq(place.page, 100);
	/* the region ends before it does */
	cr_assert_eq(vhost_mem_gpa(&mem, 3 * P + 5, 2 * P, &place), 0);
	cr_assert_eq(place.ptr, ram + 7 * P + 5);
	cr_assert_eq(place.len, P - 5);
	cr_assert_eq(place.page, 103);
	cr_assert_eq(vhost_mem_gpa(&mem, 4 * P, P + 5, &place), 0);
	cr_assert_eq(place.ptr, ram);
	cr_assert_eq(place.len, P + 5);
	cr_assert_eq(place.page, 200);
	cr_assert_eq(vhost_mem_gpa(&mem, UINT64_MAX, UINT64_MAX, &place), 0);
	cr_assert_eq(place.ptr, ram + 13 * P - 1);
	cr_assert_eq(place.len, 1);
	cr_assert_eq(place.page, 400);
	cr_assert_eq(vhost_mem_gpa(&mem, 6 * P, 1, &place), -EFAULT);
	cr_assert_eq(vhost_mem_gpa(&mem, 64 * P - 1, 1, &place), -EFAULT);
	cr_assert_eq(vhost_mem_gpa(&mem, 67 * P, 1, &place), -EFAULT);
	cr_assert_eq(vhost_mem_gpa(&mem, TOP - 1, P, &place), -EFAULT);
}

Test(vhost_mem, a_range_is_there_with_all_its_bytes)
{
	four();
	cr_assert(vhost_mem_has(&mem, 0, 6 * P));
	cr_assert_not(vhost_mem_has(&mem, 0, 6 * P + 1));
	cr_assert(vhost_mem_has(&mem, 6 * P - 1, 1));
	cr_assert(vhost_mem_has(&mem, 6 * P, 0));
	cr_assert_not(vhost_mem_has(&mem, 0, UINT64_MAX));
	cr_assert(vhost_mem_has(&mem, TOP, P));
	/* on from the end of all memory to its beginning, which is there too */
	cr_assert_not(vhost_mem_has(&mem, TOP, P + 1));
	cr_assert_not(vhost_mem_has(&mem, TOP, UINT64_MAX));
}

Test(vhost_mem, addresses_of_the_vmm)
{
	uint64_t page = 0;

	four();
	cr_assert_eq(vhost_mem_uva(&mem, 0x7f0000000000, 4 * P, &page), ram + 4 * P);
	cr_assert_eq(page, 100);
	cr_assert_eq(vhost_mem_uva(&mem, 0x7f0000000000 + 4 * P + 16, 1, &page),
		     ram + 8 * P + 16);
	cr_assert_eq(page, 300);
	cr_assert_eq(vhost_mem_uva(&mem, 0x7f8000000000 + P, P, NULL), ram + P);
	/* the next region begins where this one ends, but it is another */
	cr_assert_null(vhost_mem_uva(&mem, 0x7f0000000000, 4 * P + 1, &page));
	cr_assert_null(vhost_mem_uva(&mem, 0x7f0000000000 - 1, 2, &page));
	cr_assert_null(vhost_mem_uva(&mem, 0x7f8000000000 + 2 * P, 1, &page));
	cr_assert_null(vhost_mem_uva(&mem, 0x7f8000000000 + P, UINT64_MAX, &page));
	cr_assert_eq(vhost_mem_uva(&mem, UINT64_MAX, 1, &page), ram + 13 * P - 1);
	cr_assert_null(vhost_mem_uva(&mem, UINT64_MAX, 2, &page));
}

Test(vhost_mem, reads_across_regions)
{
	uint8_t got[3 * 4096], want[3 * 4096];

	four();
	for (uint64_t from = 3 * P - 9; from < 3 * P + 9; from++) {
		uint64_t first = 4 * P - from;

		for (uint64_t len = first - 9; len < first + 20; len++) {
			memset(got, 0xee, sizeof(got));
			memset(want, 0xee, sizeof(want));
			memcpy(want, ram + 4 * P + from, len < first ? len : first);
			if (len > first)
				memcpy(want + first, ram, len - first);
			cr_assert_eq(vhost_mem_read(&mem, from, got, len), 0);
			cr_assert_arr_eq(got, want, sizeof(got));
		}
	}
	/* nothing is copied if not all of it can be */
	memset(got, 0xee, sizeof(got));
	cr_assert_eq(vhost_mem_read(&mem, 5 * P, got, P + 1), -EFAULT);
	cr_assert_eq(got[0], 0xee);
}

Test(vhost_mem, regions_that_cannot_be)
{
	memset(&mem, 0, sizeof(mem));
	cr_assert_eq(add(0, 0, 0, ram, 0), -EPROTO);
	cr_assert_eq(add(1, P, P, ram, 0), -EPROTO);
	cr_assert_eq(add(P, P + 1, P, ram, 0), -EPROTO);
	cr_assert_eq(add(P, P, 16, ram, 0), -EPROTO);
	cr_assert_eq(add(P, P, P, ram + 16, 0), -EPROTO);
	cr_assert_eq(add(TOP, 2 * P, P, ram, 0), -EPROTO);
	cr_assert_eq(add(P, 2 * P, TOP, ram, 0), -EPROTO);
	cr_assert_eq(add(0, 2 * P, 0, (void *)TOP, 0), -EPROTO);
	cr_assert_eq(add(0, 2 * P, 0, ram, UINT64_MAX), -EPROTO);
	cr_assert_eq(add(0, TOP, P, ram, 0), -EPROTO);
	cr_assert_eq(mem.n, 0);
	cr_assert_eq(add(8 * P, 4 * P, 80 * P, ram, 0), 0);
	/* each of the ways to overlap, by guest address and by the VMM's */
	for (uint64_t at = 4; at < 14; at++)
		for (uint64_t size = 1; size < 9; size++) {
			bool apart = at + size <= 8 || at >= 12;

			cr_assert_eq(add(at * P, size * P, 200 * P, ram, 0),
				     apart ? 0 : -EPROTO);
			mem.n = 1;
			cr_assert_eq(add(200 * P, size * P, (72 + at) * P, ram, 0),
				     apart ? 0 : -EPROTO);
			mem.n = 1;
		}
	for (uint64_t i = 1; i < 8; i++)
		cr_assert_eq(add((100 + i) * P, P, (100 + i) * P, ram, 0), 0);
	cr_assert_eq(add(300 * P, P, 300 * P, ram, 0), -EPROTO);
	cr_assert_eq(mem.n, 8);
}

Test(vhost_mem, writes_are_logged_by_page)
{
	uint8_t *bits = calloc(1, 3); /* 24 pages */
	struct vhost_log log = { .bits = bits, .size = 3 };

	cr_assert(vhost_log_mark(&log, 0, 1));
	cr_assert(vhost_log_mark(&log, 2 * P - 1, 2));
	cr_assert_eq(bits[0], 0x07);
	cr_assert_eq(bits[1], 0);
	cr_assert(vhost_log_mark(&log, 7 * P + 4095, 2));
	cr_assert_eq(bits[0], 0x87);
	cr_assert_eq(bits[1], 0x01);
	cr_assert(vhost_log_mark(&log, 10 * P, 0));
	cr_assert_eq(bits[1], 0x01);
	cr_assert(vhost_log_mark(&log, 23 * P, P));
	cr_assert_eq(bits[2], 0x80);
	cr_assert_not(vhost_log_mark(&log, 22 * P, 2 * P + 1));
	cr_assert_not(vhost_log_mark(&log, 24 * P, 1));
	cr_assert_not(vhost_log_mark(&log, UINT64_MAX, 1));
	cr_assert_not(vhost_log_mark(&log, UINT64_MAX, 2));
	cr_assert_not(vhost_log_mark(&log, 0, UINT64_MAX));
	cr_assert_eq(bits[2], 0x80);
	log.bits = NULL;
	cr_assert(vhost_log_mark(&log, UINT64_MAX, 2)); /* nothing is logged */
	free(bits);
}

Test(vhost_mem, the_log_covers_all_memory_or_not)
{
	uint8_t bits[9] = { 0 };
	struct vhost_log log = { .bits = bits, .size = 9 };

	four();
	cr_assert_not(vhost_log_covers(&log, &mem));
	mem.n = 3; /* without the one at the end */
	cr_assert(vhost_log_covers(&log, &mem));
	log.size = 8; /* 64 pages, and the third region has pages 64 to 66 */
	cr_assert_not(vhost_log_covers(&log, &mem));
	log.bits = NULL;
	cr_assert(vhost_log_covers(&log, &mem));
}
