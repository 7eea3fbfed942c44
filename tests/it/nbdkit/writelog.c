/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A plugin of nbdkit: a disk in a file, and a log of all that changes it, in order.
 *
 * Requests run one after the other, so the log's order is what happened: when a flush is
 * answered all that was written before it is durable, and nothing that came after need be. What
 * is written goes to the file at once; what a disk that loses its cache would have had at any
 * moment is for who reads the log to say (tests/it/replay).
 *
 * A record: op, flags (bit 0: durable when answered), offset, bytes: 64 bits each, in this
 * machine's byte order; then the bytes, of a write.  Ops: 'w' write, 'z' zero, 't' trim,
 * 'f' flush, and 'o': a client has connected.
 *
 * With late=MS requests run in parallel, as on a real server, and the log's order tells
 * nothing: one write in 16 is late by up to so many milliseconds, and is done then although its
 * client has gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

static char *file_path, *log_path;
static int file = -1, log_fd = -1;
static int64_t size;
static unsigned int late_ms;

static void be_late(void)
{
	if (late_ms && random() % 16 == 0)
		usleep(1000 * ((useconds_t)random() % late_ms));
}

static int note(char op, bool durable, uint64_t offset, uint64_t count, const void *data)
{
	uint64_t head[4] = { (uint64_t)op, durable, offset, count };
	struct iovec iov[2] = { { head, sizeof(head) }, { (void *)(uintptr_t)data, count } };
	size_t len = sizeof(head) + (data ? count : 0);

	if (writev(log_fd, iov, data ? 2 : 1) == (ssize_t)len)
		return 0;
	nbdkit_error("cannot write the log: %s", strerror(errno));
	return -1;
}

static int writelog_pread(void *handle, void *buf, uint32_t count, uint64_t offset,
			  uint32_t flags)
{
	(void)handle;
	(void)flags;
	return pread(file, buf, count, (off_t)offset) == (ssize_t)count ? 0 : -1;
}

static int writelog_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset,
			   uint32_t flags)
{
	(void)handle;
	be_late();
	if (pwrite(file, buf, count, (off_t)offset) != (ssize_t)count)
		return -1;
	return note('w', flags & NBDKIT_FLAG_FUA, offset, count, buf);
}

static int punch(char op, uint32_t count, uint64_t offset, uint32_t flags)
{
	if (fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, count))
		return -1;
	return note(op, flags & NBDKIT_FLAG_FUA, offset, count, NULL);
}

static int writelog_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	(void)handle;
	return punch('z', count, offset, flags);
}

static int writelog_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	(void)handle;
	return punch('t', count, offset, flags);
}

static int writelog_flush(void *handle, uint32_t flags)
{
	(void)handle;
	(void)flags;
	return note('f', false, 0, 0, NULL);
}

static int64_t writelog_get_size(void *handle)
{
	(void)handle;
	return size;
}

static int writelog_can_fua(void *handle)
{
	(void)handle;
	return NBDKIT_FUA_NATIVE;
}

static int writelog_can_multi_conn(void *handle)
{
	(void)handle;
	return 1;
}

static void *writelog_open(int readonly)
{
	(void)readonly;
	return note('o', false, 0, 0, NULL) < 0 ? NULL : NBDKIT_HANDLE_NOT_NEEDED;
}

static int writelog_config(const char *key, const char *value)
{
	if (!strcmp(key, "late"))
		return nbdkit_parse_unsigned(key, value, &late_ms);

	char **path = !strcmp(key, "file")  ? &file_path
		      : !strcmp(key, "log") ? &log_path
					    : NULL;

	if (!path) {
		nbdkit_error("unknown parameter '%s': there are file, log, late", key);
		return -1;
	}
	free(*path);
	*path = nbdkit_absolute_path(value);
	return *path ? 0 : -1;
}

static int writelog_thread_model(void)
{
	return late_ms ? NBDKIT_THREAD_MODEL_PARALLEL
		       : NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS;
}

static int writelog_get_ready(void)
{
	struct stat st;

	if (!file_path || !log_path) {
		nbdkit_error("file= and log= must be given");
		return -1;
	}
	file = open(file_path, O_RDWR | O_CLOEXEC);
	log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (file < 0 || log_fd < 0 || fstat(file, &st)) {
		nbdkit_error("cannot open %s or %s: %s", file_path, log_path, strerror(errno));
		return -1;
	}
	size = st.st_size;
	return 0;
}

static struct nbdkit_plugin plugin = {
	.name = "writelog",
	.config = writelog_config,
	.thread_model = writelog_thread_model,
	.get_ready = writelog_get_ready,
	.open = writelog_open,
	.get_size = writelog_get_size,
	.can_fua = writelog_can_fua,
	.can_multi_conn = writelog_can_multi_conn,
	.pread = writelog_pread,
	.pwrite = writelog_pwrite,
	.zero = writelog_zero,
	.trim = writelog_trim,
	.flush = writelog_flush,
	.errno_is_preserved = 1,
};

NBDKIT_REGISTER_PLUGIN(plugin)
