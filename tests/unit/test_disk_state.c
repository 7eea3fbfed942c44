/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk's state file: what the next pager finds. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/disk_state.h"

static const struct vhost_disk disk = {
	.sectors = 2048, .blk_size = 512, .num_queues = 2, .wce = true
};
static char dir[] = "/tmp/drum-disk-state-XXXXXX";
static int dir_fd;

static void set_up(void)
{
	cr_assert(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
	cr_assert(dir_fd >= 0);
}

static void tear_down(void)
{
	disk_state_remove(dir_fd, "d");
	close(dir_fd);
	rmdir(dir);
}

TestSuite(disk_state, .init = set_up, .fini = tear_down);

static struct disk_state *reopen(struct disk_state *s)
{
	struct err e = { 0 };

	disk_state_close(s);
	s = disk_state_open(dir_fd, "d", &e);
	cr_assert(s, "%s", e.text);
	return s;
}

Test(disk_state, keeps_what_was_committed)
{
	struct disk_state *s = reopen(NULL);
	struct disk_now next;

	cr_assert_eq(disk_state_now(s)->pid, 0);
	disk_state_begin(s, &disk, 77, "one");
	next = *disk_state_now(s);
	cr_assert(next.dev.wce);
	next.dev.features = 0x1234;
	next.owed = 20;
	next.number = 9;
	next.reply.payload.u64 = 5;
	disk_state_commit(s, &next);
	s = reopen(s);
	cr_assert_eq(disk_state_now(s)->pid, 77);
	cr_assert_str_eq(disk_state_now(s)->guest, "one");
	cr_assert_eq(disk_state_now(s)->dev.features, 0x1234);
	cr_assert_eq(disk_state_now(s)->owed, 20);
	cr_assert_eq(disk_state_now(s)->reply.payload.u64, 5);
	disk_state_close(s);
}

Test(disk_state, numbers_go_on_over_connections)
{
	struct disk_state *s = reopen(NULL);
	struct disk_now next;

	disk_state_begin(s, &disk, 77, "one");
	next = *disk_state_now(s);
	next.number = 9;
	disk_state_commit(s, &next);
	disk_state_end(s);
	cr_assert_eq(disk_state_now(s)->pid, 0);
	disk_state_begin(s, &disk, 78, "two");
	cr_assert_eq(disk_state_now(s)->number, 9);
	cr_assert_eq(disk_state_now(s)->owed, 0);
	disk_state_close(s);
}

/* Whoever dies while it commits leaves one or the other, whole. */
Test(disk_state, a_commit_is_whole_or_not_at_all)
{
	struct disk_state *s = reopen(NULL);
	unsigned int kills = 0;

	disk_state_begin(s, &disk, 1, "one");
	for (int i = 0; i < 50; i++) {
		pid_t child = fork();
		const struct disk_now *now;

		if (child == 0) {
			static struct disk_now next;

			for (uint64_t n = 1;; n++) {
				next = *disk_state_now(s);
				next.number = next.dev.features = n;
				memset(&next.reply, (int)n & 0xff, sizeof(next.reply));
				disk_state_commit(s, &next);
			}
		}
		usleep(1000 + (unsigned int)rand() % 2000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		now = disk_state_now(s);
		cr_assert_eq(now->number, now->dev.features);
		for (size_t k = 0; k < sizeof(now->reply); k++)
			cr_assert_eq(((const uint8_t *)&now->reply)[k], now->number & 0xff);
		kills += now->number > 0;
	}
	cr_assert(kills > 25);
	disk_state_close(s);
}

Test(disk_state, a_file_of_something_else_is_made_anew)
{
	struct disk_state *s = reopen(NULL);
	int fd;

	disk_state_begin(s, &disk, 77, "one");
	disk_state_close(s);
	fd = openat(dir_fd, "disk-d.state", O_WRONLY);
	cr_assert_eq(pwrite(fd, "something else", 14, 0), 14);
	close(fd);
	s = reopen(NULL);
	cr_assert_eq(disk_state_now(s)->pid, 0);
	disk_state_close(s);
}
