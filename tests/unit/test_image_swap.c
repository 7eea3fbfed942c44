/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An image as a device of the drum: what is in it can be read, nothing can be written or
 * allocated there, and it shows in no sum.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "image_io.h"
#include "vmm/guest.h"
#include "vmm/image_swap.h"

#define LIMIT  .timeout = 60
#define BLOCKS 64u
#define BYTES  (BLOCKS * UINT64_C(4096))
#define SEED   3u

static char path[] = "drum-test-image-swap-XXXXXX";
static struct drum *drum;
static struct disk disk = { .name = "data" };
static struct ring *ring;

static void set_up(void)
{
	struct err e = { 0 };
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)BYTES), 0);
	close(fd);
	fd = image_open(path, IMAGE_CACHE_WRITEBACK, false, &e);
	cr_assert_geq(fd, 0, "%s", e.text);
	disk.image = image_file_open(fd, path, IMAGE_CACHE_WRITEBACK, false, &e);
	cr_assert_not_null(disk.image, "%s", e.text);
	disk.number = 0;
	unlink(path);
	ring = make_ring();
	cr_assert_eq(put(disk.image, ring, 0, BYTES, 4096, 0, SEED), 0);
	drum = drum_create();
	cr_assert_not_null(drum);
	cr_assert_eq(image_swap_on(drum, &disk, &e), 0, "%s", e.text);
}

static void tear_down(void)
{
	drum_destroy(drum);
	image_close(disk.image);
	ring_destroy(ring);
}

TestSuite(image_swap, .init = set_up, .fini = tear_down, LIMIT);

static int ended, end_err;

static void on_end(struct swap_io *io, int err)
{
	(void)io;
	ended++;
	end_err = err;
}

static int io_at(bool write, uint64_t block, uint32_t n, char *buf)
{
	static struct swap_io io;

	io.done = on_end;
	io.write = write;
	io.niov = 2;
	io.iov[0] = (struct iovec){ buf, 4096 };
	io.iov[1] = (struct iovec){ buf + 4096, (n - 1) * 4096 };
	ended = 0;
	drum_submit(drum, ring, &io, drum_make(disk.number, block));
	cr_assert_eq(ended, 0, "never from within");
	while (!ended)
		cr_assert_geq(ring_run(ring, UINT64_MAX), 0);
	return end_err;
}

Test(image_swap, what_is_in_the_image_is_read_and_nothing_is_written)
{
	char *buf = aligned_alloc(4096, 5 * 4096);

	cr_assert_eq(disk.number, DRUM_IMAGE_FIRST);
	for (int i = 0; i < 100; i++) { /* more than it has slots */
		memset(buf, 0, 5 * 4096);
		cr_assert_eq(io_at(false, 7, 5, buf), 0);
		cr_assert(is_filled(buf, UINT64_C(7) * 4096, UINT64_C(5) * 4096, SEED));
	}
	memset(buf, 0x55, 5 * 4096);
	cr_assert_eq(io_at(true, 7, 5, buf), -EROFS);
	cr_assert(holds(disk.image, ring, 0, BYTES, 4096, 0, SEED));
	cr_assert_eq(io_at(false, BLOCKS - 1, 2, buf), -EINVAL, "beyond the end");
	free(buf);
}

Test(image_swap, it_is_no_swap)
{
	struct drum_device_stats stats[4];
	uint64_t got;

	cr_assert_eq(drum_blocks(drum), 0);
	cr_assert_eq(drum_avail(drum), 0);
	cr_assert_eq(drum_stats(drum, stats, 4), 0);
	cr_assert_eq(drum_alloc(drum, NULL, 1, &got), DRUM_NONE);
	cr_assert_eq(drum_alloc_plain(drum, NULL, 1, &got), DRUM_NONE);
	cr_assert_eq(drum_alloc_beside(drum, NULL, drum_make(disk.number, 3), 1, &got),
		     DRUM_NONE);
	cr_assert_eq(drum_level(drum), DRUM_FULL);
	cr_assert(!drum_keeps(drum, NULL, drum_make(disk.number, 3)));
	cr_assert(!drum_tight(drum));
	cr_assert_str_eq(drum_path(drum, drum_make(disk.number, 3)), path);
}

Test(image_swap, a_block_has_any_number_of_owners)
{
	drum_addr a = drum_make(disk.number, 9);

	cr_assert_eq(drum_claim(drum, NULL, a), 0);
	cr_assert_eq(drum_claim_run(drum, NULL, a - 2, 5), 0, "once more");
	cr_assert_eq(drum_image_owners(drum, disk.number), 6);
	cr_assert_eq(image_swap_off(drum, &disk), -EBUSY);
	drum_free(drum, NULL, a - 2, 4);
	drum_free(drum, NULL, a, 1);
	cr_assert_eq(image_swap_off(drum, &disk), -EBUSY);
	drum_free(drum, NULL, a + 2, 1);
	cr_assert_eq(image_swap_off(drum, &disk), 0);
	cr_assert_eq(disk.number, 0);
	cr_assert_eq(image_swap_off(drum, &disk), 0, "it is off");
	cr_assert_eq(drum_claim(drum, NULL, a), -ENODEV);
}

Test(image_swap, blocks_that_it_has_not)
{
	cr_assert_eq(drum_claim(drum, NULL, drum_make(disk.number, BLOCKS)), -ENODEV);
	cr_assert_eq(drum_claim_run(drum, NULL, drum_make(disk.number, BLOCKS - 1), 2),
		     -ENODEV);
	cr_assert_eq(drum_claim(drum, NULL, drum_make(disk.number + 1, 0)), -ENODEV);
	cr_assert_eq(drum_claim(drum, NULL, drum_make(DRUM_NUMBERS_MAX + 1, 0)), -ENODEV);
	cr_assert_eq(drum_image_owners(drum, disk.number), 0);
	/* it has grown */
	__atomic_store_n(&disk.image->info.bytes, BYTES + 4096, __ATOMIC_RELAXED);
	image_swap_grow(drum, &disk);
	cr_assert_eq(drum_claim(drum, NULL, drum_make(disk.number, BLOCKS)), 0);
}

Test(image_swap, freed_too_often_aborts, .signal = SIGABRT)
{
	cr_assert_eq(drum_claim(drum, NULL, drum_make(disk.number, 1)), 0);
	drum_free(drum, NULL, drum_make(disk.number, 1), 2);
}

Test(image_swap, off_has_its_pages_moved_away)
{
	drum_addr a = drum_make(disk.number, 9);

	cr_assert_eq(drum_claim(drum, NULL, a), 0);
	cr_assert_eq(drum_move(drum, a), DRUM_STAY);
	cr_assert(!drum_moving(drum));
	drum_set_image_off(drum, disk.number, true);
	drum_set_image_off(drum, disk.number, true);
	cr_assert_eq(drum_move(drum, a), DRUM_MOVE_AWAY);
	cr_assert(drum_moving(drum));
	drum_set_image_off(drum, disk.number, false);
	cr_assert(!drum_moving(drum));
	drum_set_image_off(drum, disk.number, true);
	drum_free(drum, NULL, a, 1);
	cr_assert_eq(image_swap_off(drum, &disk), 0);
	cr_assert(!drum_moving(drum), "nothing is left to be moved");
}

Test(image_swap, numbers)
{
	struct disk other = { .name = "other", .image = disk.image }, third = other;
	struct err e = { 0 };

	other.number = DRUM_NUMBERS_MAX;
	cr_assert_eq(image_swap_on(drum, &other, &e), 0);
	cr_assert_eq(other.number, DRUM_NUMBERS_MAX);
	third.number = DRUM_IMAGE_FIRST;
	cr_assert_eq(image_swap_on(drum, &third, &e), -EBUSY);
	third.number = DRUM_DEVICES_MAX;
	cr_assert_eq(image_swap_on(drum, &third, &e), -EINVAL, "a swap device's");
	third.number = 0;
	cr_assert_eq(image_swap_on(drum, &third, &e), 0);
	cr_assert_eq(third.number, DRUM_IMAGE_FIRST + 1);
	disk.image->info.block_size = 8192;
	third.number = 0;
	cr_assert_eq(image_swap_on(drum, &third, &e), -EINVAL);
	cr_assert_eq(third.number, 0);
}
