/* SPDX-License-Identifier: BSD-2-Clause */
/* The file of disks in the run directory. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/diskset.h"

static char dir[] = "/tmp/drum-test-diskset-XXXXXX";
static int dir_fd;

static void make_dir(void)
{
	cr_assert_not_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(dir_fd, 0);
}

static void remove_dir(void)
{
	unlinkat(dir_fd, DISKSET_FILE, 0);
	close(dir_fd);
	rmdir(dir);
}

static void write_file(const char *text)
{
	int fd = openat(dir_fd, DISKSET_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

TestSuite(diskset, .init = make_dir, .fini = remove_dir);

static struct diskset_entry got[2];

Test(diskset, no_file_is_no_disk)
{
	cr_assert_eq(diskset_read(dir_fd, got, 2), 0);
}

Test(diskset, what_was_saved_is_read)
{
	static const struct diskset_entry one = { .name = "one",
						  .serial = "a b  c ",
						  .guest = "",
						  .image = "/images/a b  c",
						  .socket = "/run/end",
						  .cache = 3,
						  .read_only = 1,
						  .map = 1,
						  .queues = 64,
						  .number = 65,
						  .fence = UINT64_MAX,
						  .dev = UINT64_MAX - 1,
						  .ino = UINT64_MAX - 2,
						  .bytes = UINT64_C(1) << 63,
						  .block_size = 4096,
						  .can_discard = 1,
						  .can_zero = 1,
						  .swapcache = 2 },
					  two = { .name = "two",
						  .image = "nbd:unix:/x",
						  .socket = "/s",
						  .queues = 1,
						  .block_size = 512 };
	const struct diskset_entry *set[] = { &one, &two };

	cr_assert_eq(diskset_save(dir_fd, set, 1), 0);
	cr_assert_eq(diskset_save(dir_fd, set, 2), 0);
	cr_assert_eq(faccessat(dir_fd, DISKSET_FILE ".new", F_OK, 0), -1);
	memset(got, 'x', sizeof(got));
	cr_assert_eq(diskset_read(dir_fd, got, 2), 2);
	for (int i = 0; i < 2; i++) {
		cr_assert_str_eq(got[i].name, set[i]->name);
		cr_assert_str_eq(got[i].serial, set[i]->serial);
		cr_assert_str_eq(got[i].guest, set[i]->guest);
		cr_assert_str_eq(got[i].image, set[i]->image);
		cr_assert_str_eq(got[i].socket, set[i]->socket);
		cr_assert_eq(got[i].cache, set[i]->cache);
		cr_assert_eq(got[i].read_only, set[i]->read_only);
		cr_assert_eq(got[i].map, set[i]->map);
		cr_assert_eq(got[i].queues, set[i]->queues);
		cr_assert_eq(got[i].number, set[i]->number);
		cr_assert_eq(got[i].fence, set[i]->fence);
		cr_assert_eq(got[i].dev, set[i]->dev);
		cr_assert_eq(got[i].ino, set[i]->ino);
		cr_assert_eq(got[i].bytes, set[i]->bytes);
		cr_assert_eq(got[i].block_size, set[i]->block_size);
		cr_assert_eq(got[i].can_discard, set[i]->can_discard);
		cr_assert_eq(got[i].can_zero, set[i]->can_zero);
		cr_assert_eq(got[i].swapcache, set[i]->swapcache);
	}
	cr_assert_eq(diskset_read(dir_fd, got, 1), -EINVAL, "more than there is room for");
	cr_assert_eq(diskset_save(dir_fd, set, 0), 0);
	cr_assert_eq(diskset_read(dir_fd, got, 1), 0);
}

#define WHOLE "image /i\nsocket /s\nqueues 1\nblock_size 512\n"

Test(diskset, of_a_later_version)
{
	write_file("disk one\ncolour blue of sorts\n" WHOLE "end\n");
	cr_assert_eq(diskset_read(dir_fd, got, 1), 1);
	cr_assert_str_eq(got[0].image, "/i");
	cr_assert_eq(got[0].swapcache, 0, "and of an earlier one");
}

Test(diskset, what_is_not_ours_is_refused)
{
	static const char *const bad[] = {
		"x\n",
		"\n",
		"disk\n",
		"disk \n",
		"disk one\n" WHOLE,
		"disk one\nend\n",
		"disk one\n" WHOLE "end\nend\n",
		"disk one\n" WHOLE "bytes -1\nend\n",
		"disk one\n" WHOLE "bytes 1x\nend\n",
		"disk one\n" WHOLE "bytes \nend\n",
		"disk one\n" WHOLE "bytes\nend\n",
		"disk one\n" WHOLE "cache 4294967296\nend\n",
		"disk one\n" WHOLE "bytes 18446744073709551616\nend\n",
		"disk one\n" WHOLE "swapcache 4\nend\n",
		"disk one\n" WHOLE "serial 123456789012345678901\nend\n",
		"disk 1234567890123456789012345678901234567890123456789012345678901234\n" WHOLE
		"end\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(bad[i]);
		cr_assert_eq(diskset_read(dir_fd, got, 2), -EINVAL, "%s", bad[i]);
	}
}

Test(diskset, errors_of_the_directory)
{
	cr_assert_eq(diskset_save(-1, NULL, 0), -EBADF);
	cr_assert_eq(diskset_read(-1, got, 1), -EBADF);
}
