/* SPDX-License-Identifier: BSD-2-Clause */
/* The file in which it is kept how much was written to a device: names, saves, damage. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/resource.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "swap/wear.h"
#include "wear_dir.h"

/* --- the file ----------------------------------------------------------------------------- */

Test(wear_file, names, WITH_DIR)
{
	char longest[1024], other[1024];
	const struct {
		const char *path, *name; /* NULL: the path is too long for its name */
	} rows[] = {
		{ "/dev/fast.new", "wear-_dev_fast.new" },
		{ "/dev/fast.damaged", "wear-_dev_fast.damaged" },
		{ "/dev/fast", "wear-_dev_fast" },
		{ "/dev/nvme0n1p3", "wear-_dev_nvme0n1p3" },
		{ "/dev/a_b", "wear-_dev_a%5Fb" },
		{ "/dev/a/b", "wear-_dev_a_b" },
		{ "/dev/a%5Fb", "wear-_dev_a%255Fb" },
		{ "/x y\n\xc3\xa4", "wear-_x%20y%0A%C3%A4" },
		{ "/..", "wear-_.." },
		{ "..", "wear-.." },
		{ "nbd:nbd://h:1/x", "wear-nbd%3Anbd%3A__h%3A1_x" },
		{ longest, NULL },
		{ other, NULL },
	};
	size_t n = sizeof(rows) / sizeof(rows[0]);

	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	strcpy(other, longest);
	other[sizeof(other) - 2] = 'y';
	for (size_t i = 0; i < n; i++) {
		struct wear *w = wear_open(dirfd_, rows[i].path, T0, NULL);

		cr_assert_not_null(w);
		wear_add(w, i + 1, T0);
		wear_close(w, T0);
		if (rows[i].name)
			cr_expect(exists(rows[i].name), "%s", rows[i].name);
	}
	for (size_t i = 0; i < n; i++) {
		struct wear *w = wear_open(dirfd_, rows[i].path, T0, NULL);

		cr_assert_not_null(w);
		cr_expect_eq(wear_written(w, 1, T0), i + 1, "%s has a file of its own",
			     rows[i].path);
		wear_close(w, T0);
	}
	cr_assert(told_nothing());
}

Test(wear_file, nothing_is_kept_without_a_directory, WITH_DIR)
{
	struct wear *w = wear_open(-1, DEV, T0, NULL);

	cr_assert_not_null(w);
	wear_set_budget(w, 100);
	wear_add(w, 30, T0);
	save(w);
	cr_assert_eq(wear_left(w, T0, NULL), 70);
	wear_close(w, T0);
	wear_close(NULL, T0);
	cr_assert_not(exists(FILE_NAME));
}

/* Nothing said, nothing written; then whole, of the size that it stays. */
Test(wear_file, the_file_comes_to_be_whole, WITH_DIR)
{
	struct wear *w = open_at(T0);
	struct stat st;

	save(w);
	cr_assert_not(exists(FILE_NAME));
	wear_set_budget(w, 5);
	/* a dead one was about to */
	close(openat(dirfd_, FILE_NAME "~new", O_CREAT | O_WRONLY, 0600));
	save(w);
	cr_assert_eq(fstatat(dirfd_, FILE_NAME, &st, 0), 0);
	cr_assert_eq(st.st_size, FILE_SIZE);
	cr_assert_eq(st.st_mode & 0777, 0600);
	cr_assert_not(exists(FILE_NAME "~new"));
	killed(w);
	w = open_at(T0);
	cr_assert_eq(wear_budget(w), 5);
	wear_close(w, T0);
}

Test(wear_file, only_what_has_changed_is_written, WITH_DIR)
{
	static uint8_t was[FILE_SIZE], is[FILE_SIZE];
	struct wear *w = open_at(T0);
	unsigned int slots = 0;

	wear_set_budget(w, 1000);
	for (int h = 0; h < 10; h++)
		wear_add(w, 1, T0 + h * HOUR);
	save(w);
	/* whatever is written again will not look like this */
	memset(was, 0xa5, sizeof(was));
	put_file(was, sizeof(was));
	wear_add(w, 0, T0 + 9 * HOUR + 5);
	wear_set_budget(w, 1000);
	(void)wear_left(w, T0 + 9 * HOUR + 10, NULL);
	save(w);
	get_file(is);
	cr_assert_eq(memcmp(was, is, sizeof(is)), 0, "nothing is new");

	wear_add(w, 1, T0 + 9 * HOUR + 11);
	save(w);
	get_file(is);
	cr_assert_neq(memcmp(was, is, HEADER), 0);
	for (size_t i = 0; i < SLOTS; i++)
		slots += memcmp(was + HEADER + i * SLOT, is + HEADER + i * SLOT, SLOT) != 0;
	cr_assert_eq(slots, 1);

	put_file(was, sizeof(was));
	(void)wear_left(w, T0 + 10 * HOUR, NULL);
	save(w);
	get_file(is);
	cr_assert_neq(memcmp(was, is, HEADER), 0, "an hour has passed");
	cr_assert_eq(memcmp(was + HEADER, is + HEADER, SLOT * SLOTS), 0);
	killed(w);
}

/* A save that was cut off by death: some slots are new, the header is not. */
Test(wear_file, new_slots_and_an_old_header, WITH_DIR)
{
	static uint8_t old[FILE_SIZE], new[FILE_SIZE];
	struct wear *w = open_at(T0);

	wear_set_budget(w, 1000);
	wear_add(w, 100, T0);
	save(w);
	get_file(old);
	wear_add(w, 200, T0 + 3 * HOUR);
	save(w);
	get_file(new);
	memcpy(new, old, HEADER);
	killed(w);
	put_file(new, sizeof(new));
	w = open_at(T0 + 2 * HOUR); /* and the clock is back, too */
	cr_assert_eq(wear_left(w, T0 + 2 * HOUR, NULL), 700);
	wear_close(w, T0 + 2 * HOUR);
	cr_assert(told_nothing());
}

/* The same while the clock is ten years ahead: that hour must not count for so long. */
Test(wear_file, a_new_slot_of_a_wrong_year_and_an_old_header, WITH_DIR)
{
	static uint8_t old[FILE_SIZE], new[FILE_SIZE];
	struct wear *w = open_at(T0);

	wear_set_budget(w, 1000);
	save(w);
	get_file(old);
	wear_add(w, 1000, T0 + 3650 * DAY);
	save(w);
	get_file(new);
	memcpy(new, old, HEADER);
	killed(w);
	put_file(new, sizeof(new));
	w = open_at(T0);
	for (int64_t t = T0; t < T0 + 24 * HOUR; t += 600)
		cr_assert_eq(wear_left(w, t, NULL), 0);
	for (int64_t t = T0 + 24 * HOUR; t < T0 + 26 * HOUR; t += 600)
		(void)wear_left(w, t, NULL);
	cr_assert_eq(wear_left(w, T0 + 26 * HOUR, NULL), 1000);
	wear_close(w, T0 + 26 * HOUR);
}

Test(wear_file, a_save_that_fails_is_tried_again, WITH_DIR)
{
	struct wear *w = open_at(T0);

	cr_assert_eq(mkdirat(dirfd_, FILE_NAME "~new", 0700), 0);
	wear_add(w, 100, T0);
	cr_assert_lt(wear_save(w), 0);
	cr_assert_lt(wear_save(w), 0);
	cr_assert_eq(unlinkat(dirfd_, FILE_NAME "~new", AT_REMOVEDIR), 0);
	save(w);
	killed(w);
	w = open_at(T0);
	cr_assert_eq(wear_written(w, 1, T0), 100);
	/* at the end, there is only the log to tell */
	cr_assert_eq(unlinkat(dirfd_, FILE_NAME, 0), 0);
	wear_close(w, T0);
	w = open_at(T0);
	cr_assert_eq(mkdirat(dirfd_, FILE_NAME "~new", 0700), 0);
	wear_add(w, 100, T0);
	wear_close(w, T0);
	cr_assert(told("cannot be written"));
}

/* --- damage ------------------------------------------------------------------------------- */

/* A file of three hours with 100 bytes each, and a budget of 1000 a day. */
static void good_file(uint8_t *buf)
{
	struct wear *w = open_at(T0);

	wear_set_budget(w, 1000);
	for (int h = 0; h < 3; h++)
		wear_add(w, 100, T0 + h * HOUR);
	wear_close(w, T0 + 2 * HOUR);
	get_file(buf);
}

/* It is noticed, told, put aside, and there is a file again, which is right. */
static void expect_aside(const char *what, uint64_t budget, uint64_t written)
{
	struct wear *w = open_at(T0 + 2 * HOUR);

	cr_assert(told(FILE_NAME " in the state directory is damaged"), "%s", what);
	cr_assert(exists(FILE_NAME "~damaged"), "%s", what);
	cr_assert_not(exists(FILE_NAME), "%s", what);
	cr_assert_eq(wear_budget(w), budget, "%s: %lu", what, wear_budget(w));
	cr_assert_eq(wear_written(w, 28, T0 + 2 * HOUR), written, "%s: %lu", what,
		     wear_written(w, 28, T0 + 2 * HOUR));
	wear_add(w, 7, T0 + 2 * HOUR);
	wear_close(w, T0 + 2 * HOUR);
	w = open_at(T0 + 2 * HOUR);
	cr_assert_eq(wear_written(w, 28, T0 + 2 * HOUR), written + 7, "%s", what);
	cr_assert_eq(wear_budget(w), budget, "%s", what);
	wear_close(w, T0 + 2 * HOUR);
	cr_assert(told_nothing(), "%s", what);
	cr_assert_eq(renameat(dirfd_, FILE_NAME "~damaged", dirfd_, "aside"), 0);
}

/* Each byte of the header, of a used slot and of an unused one. */
Test(wear_file, every_damaged_byte_is_noticed, WITH_DIR)
{
	static uint8_t good[FILE_SIZE];
	const off_t used = HEADER + (T0 / HOUR % SLOTS) * SLOT;
	const off_t unused = HEADER + ((T0 / HOUR + 99) % SLOTS) * SLOT;
	char what[64];

	good_file(good);
	for (off_t i = 0; i < HEADER + 2 * SLOT; i++) {
		off_t at = i < HEADER	       ? i
			   : i < HEADER + SLOT ? used + i - HEADER
					       : unused + i - HEADER - SLOT;

		put_file(good, sizeof(good));
		poke(at, (uint8_t)(good[at] ^ (1u << rnd(8))));
		snprintf(what, sizeof(what), "byte %ld", (long)at);
		if (i < HEADER)
			expect_aside(what, 0, 0);
		else /* the other hours, and the budget, can be believed */
			expect_aside(what, 1000, i < HEADER + SLOT ? 200 : 300);
	}
}

/* A header that is whole, and of another build, or of nobody. */
Test(wear_file, headers_of_others, WITH_DIR)
{
	static const struct {
		const char *what;
		size_t at;
		uint64_t add;
	} rows[] = {
		{ "magic", 0, 1 },
		{ "version", 8, 1 },
		{ "slots", 8, UINT64_C(1) << 32 },
		{ "a clock of 300,000 years", 24, INT64_C(9000000000000) },
		{ "a clock before 1970", 24, UINT64_C(1) << 63 },
		{ "a wall clock after 9999", 32, INT64_C(260000000000) },
		{ "a wall clock before 1970", 32, UINT64_C(1) << 63 },
		{ "behind since the future", 40, T0 / HOUR + 4 },
	};
	static uint8_t bad[FILE_SIZE];
	uint64_t value;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unlinkat(dirfd_, FILE_NAME, 0);
		good_file(bad);
		memcpy(&value, bad + rows[i].at, 8);
		value += rows[i].add;
		memcpy(bad + rows[i].at, &value, 8);
		value = XXH3_64bits(bad, 56);
		memcpy(bad + 56, &value, 8);
		put_file(bad, sizeof(bad));
		expect_aside(rows[i].what, 0, 0);
	}
}

/* What could be believed is in a file again at once. */
Test(wear_file, what_is_believed_is_kept, WITH_DIR)
{
	static uint8_t bad[FILE_SIZE];
	struct wear *w;

	good_file(bad);
	bad[HEADER + T0 / HOUR % SLOTS * SLOT] ^= 1;
	put_file(bad, sizeof(bad));
	w = open_at(T0 + 2 * HOUR);
	save(w);
	killed(w);
	w = open_at(T0 + 2 * HOUR);
	cr_assert_eq(wear_left(w, T0 + 2 * HOUR, NULL), 800);
	wear_close(w, T0 + 2 * HOUR);
}

/* A slot that was copied to where it does not belong would count twice. */
Test(wear_file, a_slot_in_the_wrong_place_is_noticed, WITH_DIR)
{
	static uint8_t bad[FILE_SIZE];

	good_file(bad);
	memcpy(bad + HEADER + (T0 / HOUR + 50) % SLOTS * SLOT,
	       bad + HEADER + T0 / HOUR % SLOTS * SLOT, SLOT);
	put_file(bad, sizeof(bad));
	expect_aside("a slot twice", 1000, 300);
}

Test(wear_file, files_of_a_wrong_length, WITH_DIR)
{
	static uint8_t good[FILE_SIZE + 1];
	const size_t at = HEADER + (size_t)(T0 / HOUR % SLOTS) * SLOT;

	good_file(good);
	put_file(good, 0);
	expect_aside("empty", 0, 0);
	put_file(good, HEADER - 1);
	expect_aside("less than a header", 0, 0);
	put_file(good, HEADER);
	expect_aside("a header", 1000, 0);
	put_file(good, at + SLOT);
	expect_aside("to the first hour", 1000, 100);
	put_file(good, at + SLOT + 5);
	expect_aside("into the second hour", 1000, 100);
	put_file(good, FILE_SIZE - 1);
	expect_aside("one byte less", 1000, 300);
	put_file(good, FILE_SIZE + 1);
	expect_aside("one byte more", 1000, 300);
}

Test(wear_file, what_is_no_file, WITH_DIR)
{
	static uint8_t good[FILE_SIZE];

	good_file(good);
	cr_assert_eq(unlinkat(dirfd_, FILE_NAME, 0), 0);
	cr_assert_eq(mkdirat(dirfd_, FILE_NAME, 0700), 0);
	expect_aside("a directory", 0, 0);
	cr_assert_eq(unlinkat(dirfd_, "aside", AT_REMOVEDIR), 0);

	/* what it points to is let alone */
	put_file(good, sizeof(good));
	cr_assert_eq(renameat(dirfd_, FILE_NAME, dirfd_, "other"), 0);
	cr_assert_eq(symlinkat("other", dirfd_, FILE_NAME), 0);
	expect_aside("a link", 0, 0);
	cr_assert_eq(renameat(dirfd_, "other", dirfd_, FILE_NAME), 0);
	get_file(good);
	cr_assert_eq(unlinkat(dirfd_, FILE_NAME, 0), 0);

	cr_assert_eq(mkfifoat(dirfd_, FILE_NAME, 0600), 0);
	expect_aside("a pipe", 0, 0);
	cr_assert_not_null(strstr(told_text, "not a regular file"), "%s", told_text);
}

/* Damaged, and it cannot be put aside: it is not written over, and counting goes on. */
Test(wear_file, what_cannot_be_put_aside_stays, WITH_DIR)
{
	static uint8_t bad[FILE_SIZE], is[FILE_SIZE];
	struct wear *w;

	good_file(bad);
	bad[0] ^= 1;
	put_file(bad, sizeof(bad));
	cr_assert_eq(mkdirat(dirfd_, FILE_NAME "~damaged", 0700), 0);
	w = open_at(T0);
	cr_assert(told("cannot be put aside"));
	wear_set_budget(w, 50);
	wear_add(w, 20, T0);
	save(w);
	cr_assert_eq(wear_left(w, T0, NULL), 30);
	wear_close(w, T0);
	get_file(is);
	cr_assert_eq(memcmp(bad, is, sizeof(is)), 0);
}

/* It may be as good as ever: no descriptors are no damage. */
Test(wear_file, what_cannot_be_opened_is_left_alone, WITH_DIR)
{
	static uint8_t good[FILE_SIZE], is[FILE_SIZE];
	struct rlimit was, none;
	struct wear *w;
	int fd;

	good_file(good);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	fd = dup(dirfd_); /* the next that would be given away */
	cr_assert_geq(fd, 0);
	close(fd);
	none.rlim_cur = (rlim_t)fd;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	w = open_at(T0 + 2 * HOUR);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
	cr_assert(told("cannot be opened"));
	wear_add(w, 20, T0 + 2 * HOUR);
	save(w);
	wear_close(w, T0 + 2 * HOUR);
	cr_assert_not(exists(FILE_NAME "~damaged"));
	get_file(is);
	cr_assert_eq(memcmp(good, is, sizeof(is)), 0);
}
