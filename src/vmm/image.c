/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all images have in common: a request is checked here, once, and counted; its
 * kind of image then has one that is within bounds and of whole blocks.  Of an image with a
 * cache it goes there first (image_swapcache.h), which gives to the kind of image what it
 * does not serve itself.
 *
 * What guest memory is copied is copied within guard_run: who owns it may have punched
 * it.  The kernel says -EFAULT by itself.
 */

#include "vmm/image.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/guard.h"
#include "vmm/image_swapcache.h"

_Alignas(4096) const char image_zeros[IMAGE_ZERO_BYTES];

int image_init(struct image *image, const struct image_ops *ops, const char *name,
	       enum image_cache cache, bool read_only)
{
	image->ops = ops;
	image->info.cache = cache;
	image->info.read_only = read_only;
	image->name = strdup(name);
	return image->name ? 0 : -ENOMEM;
}

bool image_is_durable(const struct image *image, const struct image_req *req)
{
	return image->info.cache != IMAGE_CACHE_UNSAFE &&
	       (req->durable || image_cache_is_through(image->info.cache));
}

void image_end(struct image_req *req, int err)
{
	assert(req->image->under_way > 0);
	if (req->cached.told)
		image_swapcache_changed(req, err);
	req->image->under_way--;
	req->done(req, err);
}

static void on_ended(struct ring_op *op, int res)
{
	image_end(image_req_of(op), res);
}

void image_end_later(struct image_req *req, int err)
{
	req->ring_op.done = on_ended;
	ring_post(req->ring, &req->ring_op, err);
}

static int check_iov(const struct image_req *req)
{
	uint64_t left = req->len;

	for (unsigned int i = 0; i < req->niov; i++) {
		if (req->iov[i].iov_len > left)
			return -EINVAL;
		left -= req->iov[i].iov_len;
	}
	return left == 0 ? 0 : -EINVAL;
}

static int check(const struct image *image, const struct image_req *req)
{
	uint64_t mask = image->info.block_size - 1, bytes = image_bytes(image);

	if (req->op == IMAGE_FLUSH)
		return 0;
	if (req->op != IMAGE_READ && image->info.read_only)
		return -EROFS;
	if ((req->off | req->len) & mask || req->off > bytes || req->len > bytes - req->off)
		return -EINVAL;
	if (req->op == IMAGE_READ || req->op == IMAGE_WRITE)
		return check_iov(req);
	return req->op == IMAGE_DISCARD || req->op == IMAGE_ZEROES ? 0 : -EINVAL;
}

/* Is there nothing to be done? */
static bool is_void(const struct image *image, const struct image_req *req)
{
	if (req->op == IMAGE_FLUSH)
		return image->info.read_only || image->info.cache == IMAGE_CACHE_UNSAFE;
	return req->len == 0;
}

static void begin(struct image *image, struct ring *ring, struct image_req *req)
{
	req->image = image;
	req->ring = ring;
	req->next = NULL;
	req->at = 0;
	req->now = 0;
	req->phase = 0;
	req->tries = 0;
	req->bounce = NULL;
	req->cached = (struct image_cached){ .told = false };
	image->under_way++;
}

void image_submit_raw(struct image *image, struct ring *ring, struct image_req *req)
{
	begin(image, ring, req);
	image->ops->submit(image, req);
}

void image_submit(struct image *image, struct ring *ring, struct image_req *req)
{
	int err = check(image, req);

	begin(image, ring, req);
	if (err || is_void(image, req))
		image_end_later(req, err);
	else if (image->swapcache)
		image_swapcache_submit(image, req);
	else
		image->ops->submit(image, req);
}

int image_refresh(struct image *image, struct err *e)
{
	uint64_t old = image_bytes(image), bytes;
	int ret = image->ops->refresh(image, &bytes, e);

	if (ret < 0)
		return ret;
	bytes &= ~(uint64_t)(image->info.block_size - 1);
	if (bytes < old)
		return err_set(e, -ERANGE,
			       "%s has become smaller, %llu bytes of %llu: what the guest has "
			       "beyond is lost, and a disk that is in use does not shrink",
			       image->name, (unsigned long long)bytes, (unsigned long long)old);
	__atomic_store_n(&image->info.bytes, bytes, __ATOMIC_RELAXED);
	return bytes > old;
}

void image_cancel(struct image *image)
{
	if (!image->ops->cancel)
		return;
	image_swapcache_cancel(image);
	image->ops->cancel(image);
}

void image_close(struct image *image)
{
	char *name;

	if (!image)
		return;
	assert(image->under_way == 0);
	image_swapcache_off(image);
	name = image->name;
	image->ops->close(image);
	free(name);
}

/* --- vectors ------------------------------------------------------------------------- */

const struct iovec *image_iov_from(struct image_req *req, uint64_t skip, unsigned int *n)
{
	const struct iovec *v = req->iov;
	unsigned int left = req->niov;

	while (left > 0 && skip >= v->iov_len) {
		skip -= v->iov_len;
		v++;
		left--;
	}
	if (skip == 0 || left == 0) {
		*n = left < IOV_MAX ? left : IOV_MAX;
		return v;
	}
	*n = left < IMAGE_PARTS ? left : IMAGE_PARTS;
	memcpy(req->part, v, *n * sizeof(*v));
	req->part[0].iov_base = (char *)v->iov_base + skip;
	req->part[0].iov_len -= skip;
	return req->part;
}

struct copy {
	const struct image_req *req;
	uint64_t skip;
	char *buf;
	uint32_t len;
	bool to_iov;
};

static void copy_iov(void *arg)
{
	const struct copy *c = arg;
	const struct iovec *v = c->req->iov, *end = v + c->req->niov;
	uint64_t skip = c->skip;
	char *buf = c->buf;
	uint32_t left = c->len;

	for (; left > 0 && v < end; v++) {
		char *base = (char *)v->iov_base + skip;
		uint32_t n = left;

		if (skip >= v->iov_len) {
			skip -= v->iov_len;
			continue;
		}
		if (n > v->iov_len - skip)
			n = (uint32_t)(v->iov_len - skip);
		if (c->to_iov)
			memcpy(base, buf, n);
		else
			memcpy(buf, base, n);
		buf += n;
		left -= n;
		skip = 0;
	}
}

int image_gather(const struct image_req *req, uint64_t skip, void *buf, uint32_t len)
{
	struct copy c = { .req = req, .skip = skip, .buf = buf, .len = len };

	return guard_run(copy_iov, &c);
}

int image_scatter(const struct image_req *req, uint64_t skip, const void *buf, uint32_t len)
{
	struct copy c = { req, skip, (char *)(uintptr_t)buf, len, true };

	return guard_run(copy_iov, &c);
}
