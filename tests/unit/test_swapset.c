/* SPDX-License-Identifier: BSD-2-Clause */
/* The file of swap devices in the run directory. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/swapset.h"

static char dir[] = "/tmp/drum-test-swapset-XXXXXX";
static int dir_fd;

static void make_dir(void)
{
	cr_assert_not_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(dir_fd, 0);
}

static void remove_dir(void)
{
	unlinkat(dir_fd, SWAPSET_FILE, 0);
	close(dir_fd);
	rmdir(dir);
}

static void write_file(const char *text)
{
	int fd = openat(dir_fd, SWAPSET_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

TestSuite(swapset, .init = make_dir, .fini = remove_dir);

Test(swapset, no_file_is_no_device)
{
	struct swapset_entry set[2];

	cr_assert_eq(swapset_read(dir_fd, set, 2), 0);
}

Test(swapset, what_was_saved_is_read)
{
	struct swapset_entry set[] = {
		{ .number = 3,
		  .half = 1,
		  .flags = SWAPSET_MIRROR | SWAPSET_DISCARD,
		  .priority = -5,
		  .max_inflight = UINT32_MAX,
		  .max_bandwidth = UINT64_MAX - 1,
		  .dev = UINT64_MAX,
		  .ino = 1,
		  .bytes = UINT64_MAX - 2,
		  .path = (char *)"/dev/a b  c" },
		{ .number = 1,
		  .priority = 32767,
		  .ino = UINT64_C(1) << 63,
		  .bytes = 4096,
		  .path = (char *)"/swap" },
	};
	struct swapset_entry got[2];

	cr_assert_eq(swapset_save(dir_fd, set, 1), 0);
	cr_assert_eq(swapset_save(dir_fd, set, 2), 0);
	cr_assert_eq(faccessat(dir_fd, SWAPSET_FILE ".new", F_OK, 0), -1);
	cr_assert_eq(swapset_read(dir_fd, got, 2), 2);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(got[i].number, set[i].number);
		cr_assert_eq(got[i].priority, set[i].priority);
		cr_assert_eq(got[i].half, set[i].half);
		cr_assert_eq(got[i].flags, set[i].flags);
		cr_assert_eq(got[i].max_inflight, set[i].max_inflight);
		cr_assert_eq(got[i].max_bandwidth, set[i].max_bandwidth);
		cr_assert_eq(got[i].bytes, set[i].bytes);
		cr_assert_eq(got[i].dev, set[i].dev);
		cr_assert_eq(got[i].ino, set[i].ino);
		cr_assert_str_eq(got[i].path, set[i].path);
		free(got[i].path);
	}
	cr_assert_eq(swapset_read(dir_fd, got, 1), -EINVAL, "more than there is room for");
}

Test(swapset, what_is_not_ours_is_refused)
{
	static const char *const bad[] = { "1 0 0 5 0 0 6 7 8\n",
					   "x\n",
					   "1 0 5 6 /swap\n",
					   "\n",
					   "1 2 0 5 0 0 6 7 8 /third-half\n",
					   "1 0 0 5 0 0 6 7 8 /ok\nrubbish\n" };
	struct swapset_entry set[4];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(bad[i]);
		cr_assert_eq(swapset_read(dir_fd, set, 4), -EINVAL, "%s", bad[i]);
	}
}

Test(swapset, errors_of_the_directory)
{
	struct swapset_entry set[1] = { { .number = 1, .path = (char *)"/swap" } };

	cr_assert_eq(swapset_save(-1, set, 1), -EBADF);
	cr_assert_eq(swapset_read(-1, set, 1), -EBADF);
}
