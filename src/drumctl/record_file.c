/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * A line is one write(2) to a file that was opened with O_APPEND: who reads
 * meanwhile sees whole lines, and a recorder that is killed leaves a whole line
 * at the end.  What the disk has no room for is taken away again.  Should the
 * machine stop in the middle all the same, the next recorder begins a new
 * line, and the reader leaves the torn one out.
 *
 * flock keeps a second recorder away: two would make the same sample twice,
 * and what one takes away could be the other's.
 */
#include "drumctl/record_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "drumctl/record_members.h"

#define HEADER_MAX 4096 /* bytes of a first line */

bool record_is_header(struct json_object *line)
{
	return json_object_is_type(line, json_type_object) &&
	       json_object_object_get_ex(line, RECORD_MAGIC, NULL);
}

/* => 0, or -EINVAL: what is there was not written by a recorder */
static int look(struct record_file *f, off_t size, struct err *e)
{
	char text[HEADER_MAX + 1], *end, last = '\n';
	ssize_t n = pread(f->fd, text, HEADER_MAX, 0);
	struct json_object *o = NULL;
	bool good;

	if (n < 0 || (size > 0 && pread(f->fd, &last, 1, size - 1) < 0))
		return err_set(e, -errno, "cannot read %s: %s", f->path, strerror(errno));
	text[n] = '\0';
	end = strchr(text, '\n');
	if (end) {
		*end = '\0';
		o = json_tokener_parse(text);
	}
	good = record_is_header(o);
	json_object_put(o);
	if (!good)
		return err_set(e, -EINVAL,
			       "%s is no record; name a file that does not exist yet, or one "
			       "that 'drumctl record' has made",
			       f->path);
	f->torn = last != '\n';
	return 0;
}

int record_file_open(struct record_file *f, const char *path, struct err *e)
{
	struct stat st;
	int rc = 0;

	*f = (struct record_file){ .path = path };
	/* no link that somebody has put there, in a directory of all for instance */
	f->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW,
		     0644);
	if (f->fd < 0 && errno == ELOOP)
		return err_set(e, -ELOOP,
			       "%s is a symbolic link, or leads through a loop of them; name "
			       "the file itself",
			       path);
	if (f->fd < 0)
		return err_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
	if (fstat(f->fd, &st) < 0 || !S_ISREG(st.st_mode))
		rc = err_set(e, -EINVAL, "%s is not a regular file", path);
	else if (flock(f->fd, LOCK_EX | LOCK_NB) < 0)
		rc = err_set(e, -EBUSY, "another drumctl writes to %s", path);
	/* another may have begun it since */
	else if (fstat(f->fd, &st) == 0 && st.st_size > 0)
		rc = look(f, st.st_size, e);
	if (rc < 0)
		record_file_close(f);
	return rc;
}

int record_file_put(struct record_file *f, struct json_object *line, struct err *e)
{
	const char *text = json_object_to_json_string_ext(
		line, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	struct iovec iov[3];
	struct stat st;
	size_t len;
	ssize_t n;

	if (!text || fstat(f->fd, &st) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	len = strlen(text);
	iov[0] = (struct iovec){ "\n", f->torn ? 1 : 0 };
	iov[1] = (struct iovec){ (char *)(uintptr_t)text, len };
	iov[2] = (struct iovec){ "\n", 1 };
	len += iov[0].iov_len + 1;
	do {
		n = writev(f->fd, iov, 3);
	} while (n < 0 && errno == EINTR);
	if (n == (ssize_t)len) {
		f->torn = false;
		return 0;
	}
	if (n >= 0)
		errno = ENOSPC; /* as a second one would have said */
	len = (size_t)errno;
	if (n > 0 && ftruncate(f->fd, st.st_size) < 0)
		f->torn = true;
	return err_set(e, -(int)len, "cannot write to %s: %s", f->path, strerror((int)len));
}

void record_file_close(struct record_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}
