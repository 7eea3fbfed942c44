/* SPDX-License-Identifier: BSD-2-Clause */
/* What tests of wear have in common: a state directory, the file in it, the log. */
#ifndef DRUM_TESTS_WEAR_DIR_H
#define DRUM_TESTS_WEAR_DIR_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "swap/wear.h"

#define HOUR	  INT64_C(3600)
#define DAY	  (24 * HOUR)
#define T0	  INT64_C(1800000000) /* 2027-01-15, the beginning of an hour */
#define DEV	  "/dev/fast"
#define FILE_NAME "wear-_dev_fast"

/* The file's format: another build reads it. */
enum { HEADER = 64, SLOT = 16, SLOTS = 720, FILE_SIZE = HEADER + SLOT * SLOTS };

static char dir[] = "/tmp/drum-wear-XXXXXX";
static int dirfd_ = -1, log_fd_ = -1;

static inline void setup(void)
{
	cr_assert_not_null(mkdtemp(dir));
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(dirfd_, 0);
	log_fd_ = memfd_create("log", MFD_CLOEXEC);
	cr_assert_geq(log_fd_, 0);
	fcntl(log_fd_, F_SETFL, O_APPEND);
	cr_assert_geq(dup2(log_fd_, STDERR_FILENO), 0);
}

static inline void teardown(void)
{
	DIR *d = opendir(dir);

	for (struct dirent *e; d && (e = readdir(d));) {
		if (unlinkat(dirfd_, e->d_name, 0) < 0)
			unlinkat(dirfd_, e->d_name, AT_REMOVEDIR);
	}
	if (d)
		closedir(d);
	rmdir(dir);
	close(dirfd_);
}

#define WITH_DIR .init = setup, .fini = teardown, .timeout = 120

static char told_text[8192]; /* what told() has read */

/* Was this told? (All that was told is forgotten.) */
static inline bool told(const char *what)
{
	memset(told_text, 0, sizeof(told_text));
	cr_assert_geq(pread(log_fd_, told_text, sizeof(told_text) - 1, 0), 0);
	cr_assert_eq(ftruncate(log_fd_, 0), 0);
	return strstr(told_text, what) != NULL;
}

static inline bool told_nothing(void)
{
	struct stat st;

	cr_assert_eq(fstat(log_fd_, &st), 0);
	return st.st_size == 0;
}

static inline bool exists(const char *name)
{
	return faccessat(dirfd_, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline struct wear *open_at(int64_t now)
{
	struct err e = { 0 };
	struct wear *w = wear_open(dirfd_, DEV, now, &e);

	cr_assert_not_null(w, "%s", e.text);
	return w;
}

static inline void save(struct wear *w)
{
	int rc = wear_save(w);

	cr_assert_eq(rc, 0, "%s", strerror(-rc));
}

static inline void get_file(uint8_t *buf)
{
	int fd = openat(dirfd_, FILE_NAME, O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pread(fd, buf, FILE_SIZE, 0), FILE_SIZE);
	close(fd);
}

static inline void put_file(const uint8_t *buf, size_t size)
{
	int fd = openat(dirfd_, FILE_NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, buf, size, 0), (ssize_t)size);
	close(fd);
}

static inline void poke(off_t at, uint8_t value)
{
	int fd = openat(dirfd_, FILE_NAME, O_RDWR | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, &value, 1, at), 1);
	close(fd);
}

/* It dies: what was not saved is gone. */
static inline void killed(struct wear *w)
{
	static uint8_t was[FILE_SIZE];
	bool had = exists(FILE_NAME);

	if (had)
		get_file(was);
	wear_close(w, 0);
	if (had)
		put_file(was, FILE_SIZE);
	else
		unlinkat(dirfd_, FILE_NAME, 0);
}

static uint64_t rnd_state = 88172645463325252u;

static inline uint64_t rnd(uint64_t n)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return rnd_state % n;
}

static inline ino_t inode(void)
{
	struct stat st;

	cr_assert_eq(fstatat(dirfd_, FILE_NAME, &st, 0), 0);
	return st.st_ino;
}

#endif
