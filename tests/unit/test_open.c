/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening swap devices, and holding them: real files, loop devices and file
 * systems.  Most of it needs root, and says what else it lacks here.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/open.h"
#include "keeper/swap.h"

#define MIB 1048576

static char dir[64], undo[4096];
static struct swaps swaps;

/* Run by the shell in the test's directory.  => did it succeed? */
static bool sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static bool sh(const char *fmt, ...)
{
	char cmd[4096];
	va_list ap;
	int n = snprintf(cmd, sizeof(cmd), "cd %s && { ", dir);

	va_start(ap, fmt);
	n += vsnprintf(cmd + n, sizeof(cmd) - (size_t)n, fmt, ap);
	va_end(ap);
	snprintf(cmd + n, sizeof(cmd) - (size_t)n, "; } >>log 2>&1");
	return system(cmd) == 0;
}

/* To be run at the end, before what was said earlier. */
static void at_end(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void at_end(const char *fmt, ...)
{
	char before[sizeof(undo)];
	va_list ap;
	int n;

	strcpy(before, undo);
	va_start(ap, fmt);
	n = vsnprintf(undo, sizeof(undo), fmt, ap);
	va_end(ap);
	snprintf(undo + n, sizeof(undo) - (size_t)n, "; %s", before);
}

static void set_up(void)
{
	swaps.n = 0;
	strcpy(undo, "true");
	/* not /tmp, which may be in memory */
	strcpy(dir, "/var/tmp/drum-test-open-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
}

static void clean_up(void)
{
	while (swaps.n)
		swaps_close(&swaps, &swaps.held[0].opened);
	(void)sh("%s", undo);
	(void)sh("rm -rf --one-file-system %s", dir);
}

TestSuite(open, .init = set_up, .fini = clean_up);

/* Criterion does not clean up after a test that it skips. */
#define SKIP(what)                                                                             \
	do {                                                                                   \
		clean_up();                                                                    \
		cr_skip_test("needs " what);                                                   \
	} while (0)

#define NEED_ROOT()                                                                            \
	do {                                                                                   \
		if (geteuid() != 0)                                                            \
			SKIP("root");                                                          \
	} while (0)

/* A command that a machine may lack, or its kernel. */
#define NEED(what, ...)                                                                        \
	do {                                                                                   \
		if (!sh(__VA_ARGS__))                                                          \
			SKIP(what);                                                            \
	} while (0)

static struct proto_msg ask(const char *name)
{
	struct proto_msg m = { .type = MSG_SWAP_OPEN, .seq = 7 };

	if (name[0] == '/')
		snprintf(m.u.swap.path, sizeof(m.u.swap.path), "%s", name);
	else
		snprintf(m.u.swap.path, sizeof(m.u.swap.path), "%s/%s", dir, name);
	return m;
}

static struct proto_msg on(const char *name)
{
	struct proto_msg m = ask(name);
	int fd = swaps_open(&swaps, &m);

	cr_assert_eq(m.type, MSG_SWAP_OPENED);
	cr_assert_eq(m.seq, 7);
	cr_assert_eq(fd < 0, m.err.code != 0);
	return m;
}

static void assert_has(struct proto_msg m, const char *piece)
{
	cr_assert(strstr(m.err.text, piece), "no '%s' in: %s", piece, m.err.text);
}

static void assert_refused(struct proto_msg m, int error, const char *piece)
{
	cr_assert_eq(m.err.code, error, "%d: %s", m.err.code, m.err.text);
	assert_has(m, piece);
}

static void assert_on(struct proto_msg m)
{
	cr_assert_eq(m.err.code, 0, "refused: %s", m.err.text);
}

static void assert_no_warning(struct proto_msg m)
{
	assert_on(m);
	cr_assert_str_empty(m.err.text, "%s", m.err.text);
}

/* A file of that size, all of it allocated, mode 0600. */
#define make_file(name, size)                                                                  \
	cr_assert(sh("fallocate -l %s %s && chmod 600 %s", size, name, name))

/* => the path of a loop device; options as of losetup */
static const char *loop_of(const char *file, const char *options)
{
	static char path[2][64];
	static int which;
	char *p = path[which++ & 1], name[128];
	FILE *f;

	if (!sh("losetup --find --show %s %s >loop", options, file))
		return NULL;
	snprintf(name, sizeof(name), "%s/loop", dir);
	f = fopen(name, "re");
	cr_assert(f && fgets(p, sizeof(path[0]), f));
	fclose(f);
	p[strcspn(p, "\n")] = '\0';
	at_end("losetup -d %s", p);
	return p;
}

#define NEED_LOOP(path, file, options)                                                         \
	do {                                                                                   \
		(path) = loop_of(file, options);                                               \
		if (!(path))                                                                   \
			SKIP("loop devices");                                                  \
	} while (0)

/* ---- regular files ---- */

Test(open, a_file_that_is_all_there_is_taken_without_a_word)
{
	struct proto_msg m;
	int flags;

	make_file("f", "1M");
	m = on("f");
	if (geteuid() == 0) /* and not on a file system that deserves one */
		assert_no_warning(m);
	cr_assert_eq(m.bytes, MIB);
	cr_assert_str_eq(m.u.swap.kind, "file");
	cr_assert_eq(m.u.swap.skip, 0);
	flags = fcntl(swaps.held[0].fd, F_GETFL);
	cr_assert(flags & O_DIRECT);
	cr_assert_eq(flags & O_ACCMODE, O_RDWR);
}

Test(open, what_is_no_file_or_device_is_refused)
{
	cr_assert(sh("mkfifo fifo; ln -s nowhere dangling; mkdir sub; : >empty; "
		     "head -c 4095 /dev/zero >small"));
	assert_refused(on("absent"), -ENOENT, "No such file");
	assert_refused(on("dangling"), -ENOENT, "No such file");
	assert_refused(on("sub"), -EINVAL, "neither a regular file nor a block device");
	assert_refused(on("fifo"), -EINVAL, "neither a regular file nor a block device");
	assert_refused(on("/dev/null"), -EINVAL, "neither a regular file nor a block device");
	assert_refused(on("empty"), -EINVAL, "too small");
	assert_refused(on("small"), -EINVAL, "too small");
	cr_assert_eq(swaps.n, 0);
}

Test(open, a_relative_path_is_refused)
{
	struct proto_msg m = { .type = MSG_SWAP_OPEN };
	struct err e = { 0 };

	strcpy(m.u.swap.path, "f");
	cr_assert_eq(open_swap(&m, &e), -EINVAL);
	cr_assert(strstr(e.text, "absolute"));
}

Test(open, a_sparse_file_is_refused_with_what_to_do)
{
	cr_assert(sh("truncate -s 1M all; truncate -s 1M some; "
		     "dd if=/dev/zero of=some bs=64k count=1 seek=4 conv=notrunc"));
	assert_refused(on("all"), -EINVAL, "sparse");
	assert_has(on("all"), "--fill");
	assert_has(on("all"), "fallocate -l 1048576");
	assert_refused(on("some"), -EINVAL, "65536 of 1048576 bytes");
	cr_assert(sh("fallocate -l 1048576 some"));
	assert_on(on("some"));
}

Test(open, a_hole_is_found_though_there_are_blocks_enough_past_the_end)
{
	NEED("a file system that can punch holes",
	     "fallocate -l 1M f && fallocate -p -o 256K -l 4K f && fallocate -n -o 1M -l 1M f");
	assert_refused(on("f"), -EINVAL, "hole at byte 262144");
}

Test(open, many_extents_are_looked_at_to_the_last)
{
	/* every other page is written, what is between stays allocated only */
	NEED("fallocate", "fallocate -l 2M f && for i in $(seq 0 2 511); do "
			  "dd if=/dev/zero of=f bs=4k count=1 seek=$i conv=notrunc; done");
	assert_on(on("f"));
	NEED("a file system that can punch holes",
	     "cp --sparse=never f g && fallocate -l 2M g && for i in $(seq 0 2 500); do "
	     "fallocate -z -o $((i * 4096)) -l 4096 g; done && "
	     "fallocate -p -o $((505 * 4096)) -l 4096 g && fallocate -n -o 2M -l 1M g");
	assert_refused(on("g"), -EINVAL, "hole at byte 2068480");
}

Test(open, lax_permissions_are_warned_of)
{
	struct proto_msg m;

	make_file("f", "1M");
	cr_assert(sh("chmod 640 f"));
	m = on("f");
	assert_on(m);
	assert_has(m, "0640");
}

Test(open, another_owner_is_warned_of)
{
	struct proto_msg m;

	NEED_ROOT();
	make_file("f", "1M");
	cr_assert(sh("chown 12345 f"));
	m = on("f");
	assert_on(m);
	assert_has(m, "user 12345");
}

Test(open, several_warnings_are_in_one_text)
{
	struct proto_msg m;

	NEED_ROOT();
	make_file("f", "1M");
	cr_assert(sh("chown 12345 f; chmod 666 f"));
	m = on("f");
	assert_has(m, "0666");
	assert_has(m, "; user 12345");
	cr_assert_eq(strstr(m.err.text, dir), m.err.text, "the path first: %s", m.err.text);
}

Test(open, swap_space_of_the_kernel_is_refused)
{
	struct proto_msg m;
	bool off;

	NEED_ROOT();
	make_file("f", "1M");
	at_end("swapoff %s/f", dir);
	NEED("swapon", "mkswap f && swapon f");
	m = on("f");
	off = sh("swapoff f");
	assert_refused(m, -EBUSY, "swap space of the kernel");
	cr_assert(off);
	assert_on(on("f"));
}

Test(open, a_locked_file_is_refused)
{
	struct proto_msg m;
	struct swaps *other = calloc(1, sizeof(*other));
	struct proto_msg first = { .type = MSG_SWAP_OPEN };

	cr_assert_not_null(other);
	make_file("f", "1M");
	first = ask("f");
	cr_assert_geq(swaps_open(other, &first), 0);
	m = on("f");
	assert_refused(m, -EBUSY, "locked");
	swaps_close(other, &first);
	assert_on(on("f"));
	free(other);
}

/* ---- file systems ---- */

/* Mount something on m by that command. */
#define NEED_MOUNT(what, ...)                                                                  \
	do {                                                                                   \
		NEED_ROOT();                                                                   \
		cr_assert(sh("mkdir m"));                                                      \
		at_end("umount %s/m", dir);                                                    \
		NEED(what, __VA_ARGS__);                                                       \
	} while (0)

static bool is_direct(void)
{
	int flags = fcntl(swaps.held[0].fd, F_GETFL);

	/* one or the other: a write that is done is done */
	cr_assert_eq(!(flags & O_DIRECT), (flags & O_DSYNC) == O_DSYNC);
	return flags & O_DIRECT;
}

Test(open, a_file_on_tmpfs_is_warned_of)
{
	struct proto_msg m;

	NEED_MOUNT("tmpfs", "mount -t tmpfs none m");
	make_file("m/f", "1M");
	m = on("m/f");
	assert_on(m);
	assert_has(m, "ram:SIZE");
}

Test(open, a_file_without_direct_io_is_written_through_the_page_cache)
{
	struct proto_msg m;

	NEED_MOUNT("ramfs", "mount -t ramfs none m");
	cr_assert(sh("head -c 1M /dev/zero >m/f && chmod 600 m/f"));
	m = on("m/f");
	assert_on(m);
	assert_has(m, "ram:SIZE");
	cr_assert_not(is_direct());
}

Test(open, direct_io_in_name_only_is_seen)
{
	struct proto_msg m;

	NEED_MOUNT("mkfs.ext4", "truncate -s 64M i && mkfs.ext4 -q i && "
				"mount -o loop,data=journal i m");
	make_file("m/f", "1M");
	m = on("m/f");
	assert_on(m);
	assert_has(m, "no O_DIRECT");
	cr_assert_not(is_direct());
}

Test(open, shared_blocks_are_warned_of)
{
	struct proto_msg m;

	NEED_MOUNT("mkfs.xfs", "truncate -s 320M i && mkfs.xfs -q i && mount -o loop i m");
	cr_assert(sh("head -c 1M /dev/zero >m/f && chmod 600 m/f && sync m/f"));
	m = on("m/f");
	assert_no_warning(m);
	cr_assert(is_direct());
	swaps_close(&swaps, &m);
	NEED("cp --reflink", "cp --reflink=always m/f m/g && chmod 600 m/g");
	m = on("m/f");
	assert_on(m);
	assert_has(m, "shares blocks");
}

Test(open, copy_on_write_is_warned_of)
{
	struct proto_msg m;

	NEED_MOUNT("mkfs.btrfs", "truncate -s 200M i && mkfs.btrfs -q i && mount -o loop i m");
	make_file("m/f", "1M");
	m = on("m/f");
	assert_on(m);
	assert_has(m, "chattr +C");
	cr_assert(is_direct());
	cr_assert(sh(": >m/n && chattr +C m/n"));
	make_file("m/n", "1M");
	assert_no_warning(on("m/n"));
	/* even so */
	NEED("cp --reflink", "head -c 1M /dev/zero >m/n && sync m/n && : >m/r && chattr +C m/r "
			     "&& cp --reflink=always m/n m/r && chmod 600 m/r");
	m = on("m/r");
	assert_on(m);
	assert_has(m, "shares blocks");
}

Test(open, a_file_on_overlayfs_is_as_the_one_under_it)
{
	NEED_MOUNT("overlayfs", "mkdir lo up work && mount -t overlay -o "
				"lowerdir=lo,upperdir=up,workdir=work none m");
	make_file("m/f", "1M");
	assert_no_warning(on("m/f"));
	cr_assert(is_direct());
	cr_assert(sh("truncate -s 1M m/s"));
	assert_refused(on("m/s"), -EINVAL, "sparse");
}

Test(open, a_file_of_unknown_blocks_is_taken_on_trust)
{
	struct proto_msg m;

	NEED_ROOT();
	at_end("umount %s/n", dir); /* which ends nbdfuse */
	NEED("nbdfuse and nbdkit", ": >n; command -v nbdkit nbdfuse && "
				   "{ nbdfuse --pidfile=pid \"$PWD/n\" [ nbdkit memory 1M ] & "
				   "until [ -s pid ] || ! kill -0 $!; do sleep 0.1; done; } && "
				   "[ -s pid ]");
	m = on("n");
	assert_on(m);
	assert_has(m, "does not tell");
	assert_has(m, "FUSE");
	cr_assert_eq(m.bytes, MIB);
}

/* ---- block devices ---- */

Test(open, a_block_device_is_taken_but_for_its_first_page)
{
	struct proto_msg m;
	const char *loop;

	NEED_ROOT();
	make_file("i", "1M");
	NEED_LOOP(loop, "i", "--direct-io=on");
	m = on(loop);
	assert_no_warning(m);
	cr_assert_str_eq(m.u.swap.kind, "block");
	cr_assert_eq(m.u.swap.ino, 0);
	cr_assert_eq(m.u.swap.skip, 4096);
	cr_assert_eq(m.bytes, MIB);
	cr_assert(is_direct());
}

Test(open, a_loop_device_in_the_page_cache_is_warned_of)
{
	struct proto_msg m;
	const char *loop;

	NEED_ROOT();
	make_file("i", "1M");
	NEED_LOOP(loop, "i", "--direct-io=off");
	m = on(loop);
	assert_on(m);
	assert_has(m, "--direct-io=on");
}

Test(open, a_device_of_one_page_is_too_small)
{
	const char *loop;

	NEED_ROOT();
	make_file("i", "4096");
	NEED_LOOP(loop, "i", "");
	assert_refused(on(loop), -EINVAL, "too small");
}

Test(open, a_signature_is_named_and_passed_by_force_only)
{
	struct proto_msg m;
	const char *loop;

	NEED_ROOT();
	make_file("i", "16M");
	NEED_LOOP(loop, "i", "--direct-io=on");
	NEED("mkfs.ext4", "mkfs.ext4 -q -L precious %s", loop);
	m = on(loop);
	assert_refused(m, -EBUSY, "ext4 'precious'");
	assert_has(m, "--force");
	assert_has(m, "wipefs -a");
	m = ask(loop);
	m.u.swap.force = 1;
	cr_assert_geq(swaps_open(&swaps, &m), 0, "%s", m.err.text);
}

Test(open, a_partition_table_is_a_signature)
{
	const char *loop;

	NEED_ROOT();
	make_file("i", "16M");
	NEED_LOOP(loop, "i", "");
	NEED("sfdisk", "printf 'label: gpt\nsize=4M\n' | sfdisk -q %s", loop);
	assert_refused(on(loop), -EBUSY, "gpt partition table");
	/* the second table, at the end, is one as well */
	cr_assert(sh("dd if=/dev/zero of=%s bs=64k count=1 && sync %s", loop, loop));
	assert_refused(on(loop), -EBUSY, "gpt partition table");
	cr_assert(sh("wipefs -a %s", loop));
	assert_on(on(loop));
}

Test(open, old_swap_space_of_the_kernel_is_no_signature)
{
	const char *loop;

	NEED_ROOT();
	make_file("i", "1M");
	NEED_LOOP(loop, "i", "--direct-io=on");
	NEED("mkswap", "mkswap %s", loop);
	assert_no_warning(on(loop));
}

Test(open, what_is_mounted_is_refused_also_by_force)
{
	struct proto_msg m;
	const char *loop;

	NEED_ROOT();
	make_file("i", "16M");
	NEED_LOOP(loop, "i", "");
	cr_assert(sh("mkdir m"));
	at_end("umount %s/m", dir);
	NEED("mkfs.ext4", "mkfs.ext4 -q %s && mount %s m", loop, loop);
	m = ask(loop);
	m.u.swap.force = 1;
	cr_assert_lt(swaps_open(&swaps, &m), 0);
	assert_refused(m, -EBUSY, "is mounted on");
	assert_has(m, dir);
	/* and what it is made of */
	assert_refused(on("i"), -EBUSY, loop);
}

Test(open, a_device_that_the_kernel_swaps_to_is_refused_also_by_force)
{
	struct proto_msg m;
	const char *loop;
	bool off;

	NEED_ROOT();
	make_file("i", "1M");
	NEED_LOOP(loop, "i", "");
	at_end("swapoff %s", loop);
	NEED("swapon", "mkswap %s && swapon %s", loop, loop);
	m = ask(loop);
	m.u.swap.force = 1;
	cr_assert_lt(swaps_open(&swaps, &m), 0);
	off = sh("swapoff %s", loop);
	assert_refused(m, -EBUSY, "swap space of the kernel");
	cr_assert(off);
}

Test(open, a_disk_of_which_a_part_is_in_use_is_refused)
{
	const char *loop;

	NEED_ROOT();
	make_file("i", "32M");
	NEED_LOOP(loop, "i", "--partscan");
	cr_assert(sh("mkdir m"));
	at_end("umount %s/m", dir);
	NEED("addpart", "addpart %s 1 2048 20480 && addpart %s 2 22528 20480", loop, loop);
	NEED("partitions in /dev", "test -b %sp1", loop);
	NEED("mkfs.ext4", "mkfs.ext4 -q %sp1 && mount %sp1 m", loop, loop);
	assert_refused(on(loop), -EBUSY, "p1 is mounted on");
	/* the other one is free, and then the disk is in use by us */
	cr_assert(sh("ln -s %sp2 two && umount m", loop));
	assert_on(on("two"));
	assert_refused(on(loop), -EBUSY, "in use");
}

Test(open, a_device_in_use_by_someone_else_is_refused)
{
	const char *loop;
	int fd;

	NEED_ROOT();
	make_file("i", "1M");
	NEED_LOOP(loop, "i", "");
	fd = open(loop, O_RDONLY | O_EXCL | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	assert_refused(on(loop), -EBUSY, "another program");
	close(fd);
	assert_on(on(loop));
}

Test(open, a_read_only_device_is_refused)
{
	const char *loop;

	NEED_ROOT();
	make_file("i", "1M");
	NEED_LOOP(loop, "i", "--read-only");
	assert_refused(on(loop), -EROFS, "read-only");
}

Test(open, a_device_of_larger_blocks_is_not_read_past_the_page_cache)
{
	struct proto_msg m;
	const char *loop;

	NEED_ROOT();
	make_file("i", "1M");
	loop = loop_of("i", "-b 16384");
	if (!loop)
		SKIP("loop devices with blocks larger than a page");
	m = on(loop);
	assert_on(m);
	assert_has(m, "larger than a page");
	cr_assert_not(is_direct());
}

/* ---- identity ---- */

Test(open, another_path_to_the_same_file_is_refused_with_the_first)
{
	struct proto_msg m;

	make_file("f", "1M");
	cr_assert(sh("ln f hard; ln -s f soft; mkdir bound"));
	assert_on(on("f"));
	assert_refused(on("f"), -EBUSY, "swap device already");
	m = on("hard");
	assert_refused(m, -EBUSY, "hard is a swap device already, as ");
	assert_has(m, "/f");
	assert_refused(on("soft"), -EBUSY, "already, as ");
	assert_refused(on("bound/../f"), -EBUSY, "already, as ");
	NEED_ROOT();
	at_end("umount %s/bound", dir);
	NEED("bind mounts", "mount --bind . bound");
	assert_refused(on("bound/f"), -EBUSY, "already, as ");
	cr_assert_eq(swaps.n, 1);
}

Test(open, another_node_of_the_same_device_is_refused)
{
	struct stat st;
	const char *loop;
	char node[128];

	NEED_ROOT();
	make_file("i", "1M");
	NEED_LOOP(loop, "i", "");
	cr_assert(stat(loop, &st) == 0);
	snprintf(node, sizeof(node), "%s/node", dir);
	cr_assert(mknod(node, S_IFBLK | 0600, st.st_rdev) == 0);
	assert_on(on(loop));
	assert_refused(on("node"), -EBUSY, loop);
}

Test(open, a_loop_device_of_a_swap_file_is_refused)
{
	struct proto_msg m;
	const char *loop;

	NEED_ROOT();
	make_file("f", "1M");
	assert_on(on("f"));
	NEED_LOOP(loop, "f", "");
	m = on(loop);
	assert_refused(m, -EBUSY, "is a loop device of");
	assert_has(m, "/f");
}

Test(open, the_file_under_a_loop_device_that_is_on_is_refused)
{
	const char *loop, *above;

	NEED_ROOT();
	make_file("f", "1M");
	NEED_LOOP(loop, "f", "");
	assert_on(on(loop));
	assert_refused(on("f"), -EBUSY, loop);
	/* a loop device of a loop device */
	NEED_LOOP(above, loop, "");
	assert_refused(on(above), -EBUSY, loop);
}

Test(open, what_was_let_go_can_be_taken_again)
{
	struct proto_msg a, b;

	make_file("a", "1M");
	make_file("b", "2M");
	a = on("a");
	b = on("b");
	swaps_close(&swaps, &a);
	cr_assert_eq(swaps.n, 1);
	swaps_close(&swaps, &a); /* nothing happens */
	cr_assert_eq(swaps.n, 1);
	assert_refused(on("b"), -EBUSY, "already");
	assert_on(on("a"));
	swaps_close(&swaps, &b);
	assert_on(on("b"));
}

/* ---- a new pager, a new keeper ---- */

static struct proto_msg again(const struct proto_msg *was)
{
	struct proto_msg m = ask("");

	strcpy(m.u.swap.path, was->u.swap.path);
	m.u.swap.dev = was->u.swap.dev;
	m.u.swap.ino = was->u.swap.ino;
	m.u.swap.priority = 5;
	m.u.swap.again = 1;
	return m;
}

Test(open, a_new_pager_gets_what_is_held_whatever_became_of_its_path)
{
	struct proto_msg was, m;
	int fd;

	make_file("f", "1M");
	cr_assert(sh("chmod 640 f"));
	was = on("f");
	assert_has(was, "0640"); /* which was said once, and is enough */
	fd = swaps.held[0].fd;
	m = again(&was);
	cr_assert_eq(swaps_open(&swaps, &m), fd);
	cr_assert_eq(m.seq, 7);
	cr_assert_eq(m.u.swap.priority, 5);
	cr_assert_eq(m.u.swap.ino, was.u.swap.ino);
	cr_assert_eq(m.bytes, MIB);
	assert_no_warning(m);
	cr_assert(sh("mv f moved"));
	m = again(&was);
	cr_assert_eq(swaps_open(&swaps, &m), fd);
	cr_assert(sh("rm moved"));
	make_file("f", "2M"); /* another one */
	m = again(&was);
	cr_assert_eq(swaps_open(&swaps, &m), fd);
	cr_assert_eq(m.bytes, MIB);
	cr_assert_eq(swaps.n, 1);
}

Test(open, a_new_keeper_finds_it_by_its_path)
{
	struct proto_msg was, m;

	make_file("f", "1M");
	was = on("f");
	swaps_close(&swaps, &was);
	m = again(&was);
	cr_assert_geq(swaps_open(&swaps, &m), 0);
	cr_assert_eq(m.u.swap.ino, was.u.swap.ino);
	swaps_close(&swaps, &was);
	/* without an identity to compare it with too */
	m = again(&was);
	m.u.swap.dev = m.u.swap.ino = 0;
	cr_assert_geq(swaps_open(&swaps, &m), 0);
}

Test(open, a_new_keeper_refuses_another_thing_at_its_path)
{
	struct proto_msg was, m;

	make_file("f", "1M");
	was = on("f");
	swaps_close(&swaps, &was);
	cr_assert(sh("mv f moved"));
	make_file("f", "1M");
	m = again(&was);
	cr_assert_lt(swaps_open(&swaps, &m), 0);
	assert_refused(m, -ENXIO, "not what it was");
	cr_assert_eq(swaps.n, 0);
	assert_on(on("f")); /* nothing is left locked */
}

Test(open, what_we_wrote_ourselves_is_no_signature)
{
	struct proto_msg was, m;
	const char *loop;

	NEED_ROOT();
	make_file("i", "16M");
	NEED_LOOP(loop, "i", "");
	was = on(loop);
	assert_on(was);
	swaps_close(&swaps, &was);
	NEED("mkfs.ext4", "mkfs.ext4 -q %s", loop);
	m = again(&was);
	cr_assert_geq(swaps_open(&swaps, &m), 0, "%s", m.err.text);
}

/* ---- growth ---- */

static struct proto_msg look(const struct proto_msg *was)
{
	struct proto_msg m = { .type = MSG_SWAP_LOOK, .seq = 9 };

	m.u.swap.dev = was->u.swap.dev;
	m.u.swap.ino = was->u.swap.ino;
	swaps_look(&swaps, &m);
	cr_assert_eq(m.type, MSG_SWAP_LOOKED);
	cr_assert_eq(m.seq, 9);
	return m;
}

Test(open, a_file_that_grew_is_seen)
{
	struct proto_msg was, m;

	make_file("f", "1M");
	was = on("f");
	m = look(&was);
	assert_no_warning(m);
	cr_assert_eq(m.bytes, MIB);
	cr_assert(sh("fallocate -l 3M f"));
	/* the next pager is told when this one knows */
	m = again(&was);
	cr_assert_geq(swaps_open(&swaps, &m), 0);
	cr_assert_eq(m.bytes, MIB);
	m = look(&was);
	assert_no_warning(m);
	cr_assert_eq(m.bytes, 3 * MIB);
	m = again(&was);
	cr_assert_geq(swaps_open(&swaps, &m), 0);
	cr_assert_eq(m.bytes, 3 * MIB);
}

Test(open, a_file_that_grew_by_a_hole_is_refused)
{
	struct proto_msg was, m;

	make_file("f", "1M");
	was = on("f");
	cr_assert(sh("truncate -s 2M f"));
	m = look(&was);
	assert_refused(m, -EINVAL, "sparse");
	cr_assert(sh("fallocate -l 2M f"));
	m = look(&was);
	assert_on(m);
	cr_assert_eq(m.bytes, 2 * MIB);
}

Test(open, a_file_that_shrank_is_told_as_it_is)
{
	struct proto_msg was, m;

	make_file("f", "2M");
	was = on("f");
	cr_assert(sh("truncate -s 1M f"));
	m = look(&was);
	assert_on(m);
	cr_assert_eq(m.bytes, MIB);
}

Test(open, a_block_device_that_grew_is_seen)
{
	struct proto_msg was, m;
	const char *loop;

	NEED_ROOT();
	make_file("i", "1M");
	NEED_LOOP(loop, "i", "");
	was = on(loop);
	cr_assert(sh("fallocate -l 4M i"));
	m = look(&was);
	assert_on(m);
	cr_assert_eq(m.bytes, MIB);
	cr_assert(sh("losetup -c %s", loop));
	m = look(&was);
	assert_on(m);
	cr_assert_eq(m.bytes, 4 * MIB);
}

Test(open, what_is_not_held_cannot_be_looked_at)
{
	struct proto_msg was = { 0 };

	was.u.swap.ino = 4711;
	assert_refused(look(&was), -ENOENT, "4711");
}

/* ---- the configuration ---- */

/* --- the dump device ----------------------------------------------------------------- */

static struct proto_msg dump_on(const char *name, bool force)
{
	struct proto_msg m = ask(name);

	m.u.swap.dump = 1;
	m.u.swap.force = force;
	(void)swaps_open(&swaps, &m);
	return m;
}

Test(open, a_file_for_dumps_may_be_sparse_and_is_used_from_its_start)
{
	struct proto_msg m;

	cr_assert(sh("truncate -s 1M f; chmod 600 f"));
	m = dump_on("f", false);
	assert_on(m);
	cr_assert_eq(m.u.swap.dump, 1);
	cr_assert_eq(m.u.swap.skip, 0);
	cr_assert_eq(m.bytes, MIB);
	cr_assert_str_eq(m.err.text, "");
}

Test(open, a_file_for_dumps_that_holds_something_is_refused)
{
	NEED("mkfs.ext4", "truncate -s 16M f && mkfs.ext4 -q f && chmod 644 f");
	assert_refused(dump_on("f", false), -EBUSY, "ext4");
	assert_on(dump_on("f", true));
}

Test(open, others_that_can_read_dumps_are_warned_of)
{
	struct proto_msg m;

	cr_assert(sh("truncate -s 1M f; chmod 644 f"));
	m = dump_on("f", false);
	assert_on(m);
	assert_has(m, "0644");
}

Test(open, dumps_and_swap_are_not_on_one_device)
{
	make_file("f", "1M");
	make_file("g", "1M");
	assert_on(on("f"));
	assert_refused(dump_on("f", true), -EBUSY, "is a swap device already");
	assert_on(dump_on("g", false));
	assert_refused(on("g"), -EBUSY, "is the dump device already");
	assert_refused(dump_on("g", false), -EBUSY, "is the dump device already");
}

Test(open, all_that_the_configuration_says_is_passed_on)
{
	char path[] = "ram:512M", mirror[] = "nbd:nbd://h/x";
	struct conf_swap conf = { .path = path,
				  .mirror = mirror,
				  .priority = 7,
				  .discard = true,
				  .no_checksums = true,
				  .max_inflight = 32,
				  .max_bandwidth = 200 * MIB };
	struct proto_msg m;
	struct err e = { 0 };

	cr_assert_eq(swaps_add(&conf, &m, &e), 0);
	cr_assert_eq(m.type, MSG_SWAP_ADD);
	cr_assert_str_eq(m.u.swap_add.path, path);
	cr_assert_str_eq(m.u.swap_add.mirror, mirror);
	cr_assert_eq(m.u.swap_add.priority, 7);
	cr_assert_eq(m.u.swap_add.discard, 1);
	cr_assert_eq(m.u.swap_add.no_checksums, 1);
	cr_assert_eq(m.u.swap_add.max_inflight, 32);
	cr_assert_eq(m.u.swap_add.max_bandwidth, 200 * MIB);
	conf = (struct conf_swap){ .path = path };
	cr_assert_eq(swaps_add(&conf, &m, &e), 0);
	cr_assert_str_empty(m.u.swap_add.mirror);
}

Test(open, a_path_too_long_is_not_cut)
{
	static char path[PROTO_PATH_MAX + 1];
	struct conf_swap conf = { .path = path };
	struct proto_msg m;
	struct err e = { 0 };

	memset(path, 'a', PROTO_PATH_MAX - 1);
	cr_assert_eq(swaps_add(&conf, &m, &e), 0);
	path[PROTO_PATH_MAX - 1] = 'a';
	cr_assert_eq(swaps_add(&conf, &m, &e), -ENAMETOOLONG);
	cr_assert(strstr(e.text, "too long"));
}
