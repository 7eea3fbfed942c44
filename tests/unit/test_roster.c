/* SPDX-License-Identifier: BSD-2-Clause */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "balloon/roster.h"

static char dir[] = "/tmp/roster-XXXXXX";
static int dir_fd;

static void setup(void)
{
	cr_assert_not_null(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
}

static void teardown(void)
{
	(void)unlinkat(dir_fd, ROSTER_FILE, 0);
	(void)unlinkat(dir_fd, ROSTER_FILE ".new", 0);
	close(dir_fd);
	cr_assert_eq(rmdir(dir), 0);
}

TestSuite(roster, .init = setup, .fini = teardown, .timeout = 60);

static void put(const char *text)
{
	int fd = openat(dir_fd, ROSTER_FILE, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static const struct arbiter_conf conf = {
	.budget = UINT64_C(1) << 40, .tax = 99, .stall_target = 7, .reading = UINT64_MAX
};

static const struct roster_entry entries[] = {
	{ .name = "web-1.a_b",
	  .terms = { .memory = UINT64_C(4) << 30, .reservation = 1, .limit = 2, .shares = 3 },
	  .admitted = true,
	  .attached = true,
	  .promised = UINT64_C(1) << 62,
	  .qmp = "/run/a \"b\"\n\\c/\xc3\xa4.sock",
	  .balloon = "balloon0" },
	{ .name = "b", .domain = "a domain" },
};

Test(roster, what_was_saved_is_read)
{
	struct arbiter_conf read = { 0 };
	struct roster_entry *set;

	cr_assert_eq(roster_save(dir_fd, &conf, entries, 2), 0);
	cr_assert_eq(roster_read(dir_fd, &read, &set), 2);
	cr_assert_eq(memcmp(&read.budget, &conf.budget, sizeof(read.budget)), 0);
	cr_assert_eq(read.tax, 99);
	cr_assert_eq(read.stall_target, 7);
	cr_assert_eq(read.reading, UINT64_MAX);
	for (int i = 0; i < 2; i++) {
		cr_assert_str_eq(set[i].name, entries[i].name);
		cr_assert_eq(memcmp(&set[i].terms, &entries[i].terms, sizeof(set[i].terms)), 0);
		cr_assert_eq(set[i].admitted, entries[i].admitted);
		cr_assert_eq(set[i].attached, entries[i].attached);
		cr_assert_eq(set[i].promised, entries[i].promised);
		cr_assert_str_eq(set[i].qmp, entries[i].qmp);
		cr_assert_str_eq(set[i].balloon, entries[i].balloon);
		cr_assert_str_eq(set[i].domain, entries[i].domain);
	}
	free(set);
}

Test(roster, no_file_is_no_error_and_changes_nothing)
{
	struct arbiter_conf read = conf;
	struct roster_entry *set;

	cr_assert_eq(roster_read(dir_fd, &read, &set), 0);
	cr_assert_null(set);
	cr_assert_eq(read.tax, 99);
}

Test(roster, later_builds_may_add_members)
{
	struct arbiter_conf read = { 0 };
	struct roster_entry *set;

	put("{\"version\":1,\"x\":[],\"host\":{\"new\":1,\"tax\":5},"
	    "\"guests\":[{\"name\":\"a\",\"y\":{}}]}");
	cr_assert_eq(roster_read(dir_fd, &read, &set), 1);
	cr_assert_eq(read.tax, 5);
	cr_assert_str_eq(set[0].name, "a");
	free(set);
}

Test(roster, what_is_not_ours_is_refused)
{
	static const char *const bad[] = {
		"",
		"x",
		"[]",
		"null",
		"{}",
		"{\"version\":2,\"host\":{},\"guests\":[]}",
		"{\"version\":1,\"host\":{},\"guests\":{}}",
		"{\"version\":1,\"host\":[],\"guests\":[]}",
		"{\"version\":1,\"host\":{},\"guests\":[",
		"{\"version\":1,\"host\":{},\"guests\":[{}]}",
		"{\"version\":1,\"host\":{},\"guests\":[1]}",
		"{\"version\":1,\"host\":{\"tax\":-1},\"guests\":[]}",
		"{\"version\":1,\"host\":{\"tax\":4294967296},\"guests\":[]}",
		"{\"version\":1,\"host\":{\"budget\":\"1\"},\"guests\":[]}",
		"{\"version\":1,\"host\":{},\"guests\":[{\"name\":\"a\\u0000b\"}]}",
		"{\"version\":1,\"host\":{},\"guests\":[{\"name\":\"a\",\"admitted\":1}]}",
		"{\"version\":1,\"host\":{},\"guests\":[{\"name\":"
		"\"0123456789012345678901234567890123456789012345678901234567890123\"}]}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct arbiter_conf read = conf;
		struct roster_entry *set;

		put(bad[i]);
		cr_assert_eq(roster_read(dir_fd, &read, &set), -EINVAL, "%s", bad[i]);
		cr_assert_eq(read.tax, 99, "%s", bad[i]);
	}
}

Test(roster, what_cannot_be_written_leaves_the_old_one)
{
	struct arbiter_conf read = { 0 };
	struct roster_entry *set;

	cr_assert_eq(roster_save(dir_fd, &conf, entries, 2), 0);
	cr_assert_eq(mkdirat(dir_fd, ROSTER_FILE ".new", 0700), 0);
	cr_assert_lt(roster_save(dir_fd, &conf, entries, 1), 0);
	cr_assert_eq(unlinkat(dir_fd, ROSTER_FILE ".new", AT_REMOVEDIR), 0);
	cr_assert_eq(roster_read(dir_fd, &read, &set), 2);
	free(set);
}
