/* SPDX-License-Identifier: BSD-2-Clause */
#include "drumctl/save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(const char *path, int code, struct err *e)
{
	return err_set(e, -code, "cannot write %s: %s", path, strerror(code));
}

/* Where it is really, and a name beside that.  => 0 or -errno */
static int choose_names(struct save *s, const char *path)
{
	char *real = realpath(path, NULL); /* a link stays one */
	const char *slash;
	int n;

	n = snprintf(s->to, sizeof(s->to), "%s", real ? real : path);
	free(real);
	if (n >= (int)sizeof(s->to))
		return -ENAMETOOLONG;
	slash = strrchr(s->to, '/');
	n = snprintf(s->beside, sizeof(s->beside), "%.*s.drumctl-XXXXXX",
		     slash ? (int)(slash - s->to) + 1 : 0, s->to);
	return n < (int)sizeof(s->beside) ? 0 : -ENAMETOOLONG;
}

/* => a descriptor, or -errno; old is of what is there, or NULL */
static int open_beside(struct save *s, const char *path, const struct stat *old)
{
	mode_t mask;
	int rc = choose_names(s, path), fd;

	if (rc < 0)
		return rc;
	fd = mkostemp(s->beside, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* with the mode that it has, or that open(2) would have given it */
	mask = umask(0);
	umask(mask);
	if (fchmod(fd, old ? old->st_mode & 0777 : 0666 & ~mask) < 0) {
		rc = -errno;
		close(fd);
		unlink(s->beside);
		return rc;
	}
	return fd;
}

int save_begin(struct save *s, const char *path, struct err *e)
{
	struct stat st;
	bool there;
	int fd;

	*s = (struct save){ .path = path };
	there = stat(path, &st) == 0;
	if (there && !S_ISREG(st.st_mode)) {
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
	} else {
		fd = open_beside(s, path, there ? &st : NULL);
	}
	if (fd < 0) {
		s->beside[0] = '\0';
		return failed(path, -fd, e);
	}
	s->file = fdopen(fd, "w");
	if (!s->file) {
		if (s->beside[0])
			unlink(s->beside);
		close(fd);
		return failed(path, ENOMEM, e);
	}
	return 0;
}

void save_abort(struct save *s)
{
	fclose(s->file);
	if (s->beside[0])
		unlink(s->beside);
}

int save_end(struct save *s, struct err *e)
{
	int code = 0;

	errno = EIO; /* should an error before have left none */
	if (fflush(s->file) != 0 || ferror(s->file) ||
	    (s->beside[0] && fsync(fileno(s->file)) < 0))
		code = errno;
	if (fclose(s->file) != 0 && code == 0)
		code = errno;
	if (code == 0 && s->beside[0] && rename(s->beside, s->to) < 0)
		code = errno;
	if (code == 0)
		return 0;
	if (s->beside[0])
		unlink(s->beside);
	return failed(s->path, code, e);
}
