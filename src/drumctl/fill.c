/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * fallocate(2) allocates what is not allocated and leaves the rest alone, so
 * it is called for the whole of the file, piece by piece.  File systems
 * without it get zeros written, into what SEEK_HOLE says is a hole.
 *
 * A hole that gets data between the look and the write would lose it.  The
 * one who writes to such a file unasked is drumd, when the file is switched
 * on; it has a lock on it for as long (an OFD lock of the whole file).  The
 * same lock is therefore taken here: a file that is on is refused, as is one
 * that another drumctl fills.  It is given up when the holes are filled, so
 * that drumd can take it.
 */
#include "drumctl/fill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drumctl/progress.h"

#define PIECE_ALLOCATE (64 << 20) /* bytes; each is a step of the bar */
#define PIECE_WRITE    (1 << 20)

static int failed(const char *path, int code, struct err *e)
{
	return err_set(e, -code, "cannot fill %s: %s%s", path, strerror(code),
		       code == ENOSPC || code == EDQUOT
			       ? "; what was allocated stays, make room or a smaller file"
			       : "");
}

static int lock(int fd, const char *path, struct err *e)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &whole) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return err_set(e, -EBUSY,
			       "cannot fill %s: it is switched on as swap, or being filled",
			       path);
	/* a file system without locks: then drumd has none either */
	if (errno == ENOLCK || errno == EOPNOTSUPP || errno == EINVAL)
		return 0;
	return failed(path, errno, e);
}

/* => 0; -EOPNOTSUPP, nothing was done; another -errno and e */
static int allocate(int fd, off_t size, struct progress *p, const char *path, struct err *e)
{
	off_t at, n;

	for (at = 0; at < size; at += n) {
		n = size - at < PIECE_ALLOCATE ? size - at : PIECE_ALLOCATE;
		while (fallocate(fd, 0, at, n) < 0) {
			if ((errno == EOPNOTSUPP || errno == ENOSYS) && at == 0)
				return -EOPNOTSUPP;
			if (errno != EINTR)
				return failed(path, errno, e);
		}
		progress_set(p, (uint64_t)(at + n), (uint64_t)size);
	}
	return 0;
}

static int write_zeros(int fd, off_t at, off_t end, off_t size, struct progress *p,
		       const char *path, struct err *e)
{
	char *zeros = calloc(1, PIECE_WRITE);

	if (!zeros)
		return failed(path, ENOMEM, e);
	while (at < end) {
		size_t n = end - at < PIECE_WRITE ? (size_t)(end - at) : PIECE_WRITE;
		ssize_t done = pwrite(fd, zeros, n, at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			int code = errno;

			free(zeros);
			return failed(path, code, e);
		}
		at += done;
		progress_set(p, (uint64_t)at, (uint64_t)size);
	}
	free(zeros);
	return 0;
}

static int write_holes(int fd, off_t size, struct progress *p, const char *path, struct err *e)
{
	off_t hole, data = 0;
	int rc;

	while (data < size) {
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return failed(path, errno, e);
		if (hole >= size)
			break; /* the end of a file counts as one */
		data = lseek(fd, hole, SEEK_DATA);
		if (data < 0 && errno != ENXIO)
			return failed(path, errno, e);
		if (data < 0 || data > size)
			data = size;
		rc = write_zeros(fd, hole, data, size, p, path, e);
		if (rc < 0)
			return rc;
	}
	/* some file systems find out only now that they are full */
	if (fsync(fd) < 0)
		return failed(path, errno, e);
	return 0;
}

static int open_file(const char *path, off_t *size, struct err *e)
{
	/* a FIFO would wait for a reader */
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		rc = failed(path, errno, e);
	else if (!S_ISREG(st.st_mode))
		rc = err_set(e, -EINVAL,
			     "cannot fill %s: it is not a regular file; leave --fill away",
			     path);
	else if (st.st_size == 0)
		rc = err_set(e, -EINVAL,
			     "cannot fill %s: it is empty; give it its size with truncate(1)",
			     path);
	if (rc < 0) {
		if (fd >= 0)
			close(fd);
		return rc;
	}
	*size = st.st_size;
	return fd;
}

int fill_holes(const char *path, struct err *e)
{
	struct progress p;
	off_t size;
	int fd = open_file(path, &size, e), rc;

	if (fd < 0)
		return fd;
	rc = lock(fd, path, e);
	if (rc == 0) {
		progress_begin(&p, path);
		rc = allocate(fd, size, &p, path, e);
		if (rc == -EOPNOTSUPP)
			rc = write_holes(fd, size, &p, path, e);
		progress_end(&p);
	}
	close(fd);
	return rc;
}
