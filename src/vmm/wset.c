/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/wset.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "DRUMWSET"

static_assert(sizeof(struct wset_head) == 64, "the words follow in the file");

static uint64_t words(uint64_t pages)
{
	return (pages + WSET_BITS - 1) / WSET_BITS;
}

static size_t file_bytes(uint64_t pages)
{
	return sizeof(struct wset_head) + words(pages) * sizeof(uint64_t);
}

/* => 0 or -errno; all of the file is there: storing a bit waits for nothing */
static int map(struct wset *w, int fd, uint64_t pages)
{
	size_t bytes = file_bytes(pages);
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);

	if (at == MAP_FAILED)
		return -errno;
	*w = (struct wset){ .head = at,
			    .word = (uint64_t *)((struct wset_head *)at + 1),
			    .pages = pages,
			    .bytes = bytes };
	return 0;
}

int wset_create(struct wset *w, int dir_fd, const char *file, uint64_t pages)
{
	int ret, fd;

	wset_close(w);
	/* not an old one's blocks: one that is mapped elsewhere must not change its size */
	unlinkat(dir_fd, file, 0);
	fd = openat(dir_fd, file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	/* room that is lacking is to be told here, and not by SIGBUS */
	ret = -posix_fallocate(fd, 0, (off_t)file_bytes(pages));
	if (ret == 0)
		ret = map(w, fd, pages);
	close(fd);
	if (ret < 0) {
		unlinkat(dir_fd, file, 0);
		return ret;
	}
	w->head->pages = pages;
	w->head->use = WSET_NEW;
	memcpy(w->head->magic, MAGIC, sizeof(w->head->magic));
	return 0;
}

static int check(const struct wset *w, const char *file, uint64_t pages, struct err *e)
{
	if (memcmp(w->head->magic, MAGIC, sizeof(w->head->magic)) != 0)
		return err_set(e, -EINVAL, "%s is no record of a working set", file);
	if (w->head->pages != pages)
		return err_set(e, -EINVAL, "%s is of a guest with %llu pages, not %llu", file,
			       (unsigned long long)w->head->pages, (unsigned long long)pages);
	return 0;
}

int wset_open(struct wset *w, int dir_fd, const char *file, uint64_t pages, struct err *e)
{
	int ret = 0, fd = openat(dir_fd, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? -ENOENT
				       : err_set(e, -errno, "%s: %s", file, strerror(errno));
	if (fstat(fd, &st) < 0)
		ret = err_set(e, -errno, "%s: %s", file, strerror(errno));
	else if (!S_ISREG(st.st_mode) || st.st_size != (off_t)file_bytes(pages))
		ret = err_set(e, -EINVAL, "%s has %lld bytes, not %zu", file,
			      (long long)st.st_size, file_bytes(pages));
	if (ret == 0) {
		ret = map(w, fd, pages);
		if (ret < 0)
			err_set(e, ret, "%s: %s", file, strerror(-ret));
	}
	close(fd);
	if (ret == 0)
		ret = check(w, file, pages, e);
	if (ret < 0) {
		wset_close(w);
		return ret;
	}
	for (uint64_t page = 0; page < pages; page += WSET_BITS)
		w->count += (uint64_t)__builtin_popcountll(wset_get(w, page));
	return 0;
}

void wset_close(struct wset *w)
{
	if (w->head)
		munmap(w->head, w->bytes);
	*w = (struct wset){ 0 };
}

enum wset_use wset_use(const struct wset *w)
{
	return w->head && w->head->use <= WSET_REPLAY ? (enum wset_use)w->head->use : WSET_NEW;
}

uint64_t wset_since(const struct wset *w)
{
	return w->head ? w->head->since : 0;
}

void wset_set_use(struct wset *w, enum wset_use use, uint64_t since)
{
	if (!w->head)
		return;
	/* in this order: one that is armed has rested since then */
	__atomic_store_n(&w->head->since, since, __ATOMIC_RELEASE);
	__atomic_store_n(&w->head->use, use, __ATOMIC_RELEASE);
}

/* Bits of pages that there are: others come from a file that somebody else has written. */
static uint64_t mask(const struct wset *w, uint64_t page)
{
	uint64_t left = w->pages - page;

	return left >= WSET_BITS ? UINT64_MAX : (UINT64_C(1) << left) - 1;
}

void wset_put(struct wset *w, uint64_t page, uint64_t bits)
{
	uint64_t *word;

	if (!w->head || page >= w->pages)
		return;
	word = &w->word[page / WSET_BITS];
	bits &= mask(w, page);
	w->count += (uint64_t)__builtin_popcountll(bits);
	w->count -= (uint64_t)__builtin_popcountll(wset_get(w, page));
	*word = bits;
}

uint64_t wset_get(const struct wset *w, uint64_t page)
{
	return w->head && page < w->pages ? w->word[page / WSET_BITS] & mask(w, page) : 0;
}

void wset_add(struct wset *w, uint64_t page)
{
	if (!w->head || page >= w->pages || wset_has(w, page))
		return;
	w->word[page / WSET_BITS] |= UINT64_C(1) << page % WSET_BITS;
	w->count++;
}

bool wset_has(const struct wset *w, uint64_t page)
{
	return w->head && page < w->pages &&
	       (w->word[page / WSET_BITS] >> page % WSET_BITS & 1);
}

uint64_t wset_next(const struct wset *w, uint64_t page, uint64_t to)
{
	if (!w->head)
		return to;
	if (to > w->pages)
		to = w->pages;
	while (page < to) {
		uint64_t bits = w->word[page / WSET_BITS] >> page % WSET_BITS;

		if (bits) {
			page += (uint64_t)__builtin_ctzll(bits);
			return page < to ? page : to;
		}
		page = (page / WSET_BITS + 1) * WSET_BITS;
	}
	return to;
}

uint32_t wset_run(const struct wset *w, uint64_t page, uint32_t most)
{
	uint32_t n = 0;

	while (n < most && wset_has(w, page + n))
		n++;
	return n;
}
