/* SPDX-License-Identifier: BSD-2-Clause */

#include "keeper/left.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/point.h"

static void file_name(char buf[PATH_MAX], const char *run_dir, const char *name,
		      const char *suffix)
{
	snprintf(buf, PATH_MAX, "%s/guest-%s.%s", run_dir, name, suffix);
}

void left_save(const char *run_dir, const char *name, const struct left_guest *left)
{
	char path[PATH_MAX], temp[PATH_MAX];
	bool ok;
	FILE *f;

	file_name(path, run_dir, name, "state");
	file_name(temp, run_dir, name, "state.new");
	f = fopen(temp, "we");
	if (!f) {
		log_err("guest %s: cannot write %s: %s", name, temp, strerror(errno));
		return;
	}
	fprintf(f, "drum-guest 1\npid %d\nlimit %" PRIu64 "\n", (int)left->pid, left->limit);
	for (int i = 0; i < left->nmemfds; i++)
		fprintf(f, "memfd %" PRIu64 " %" PRIu64 "\n", left->memfd[i].dev,
			left->memfd[i].ino);
	for (int i = 0; i < left->nmappers; i++)
		fprintf(f, "mapper %d %" PRIu64 " %d\n", (int)left->mapper[i].pid,
			left->mapper[i].start_time, left->mapper[i].remote);
	ok = !ferror(f);
	if (fclose(f) != 0)
		ok = false;
	point_crash("state-new");
	if (!ok || rename(temp, path) < 0)
		log_err("guest %s: cannot write %s: %s", name, path, strerror(errno));
	point_crash("state-saved");
}

/* => whether the line is one that there is */
static bool take_line(struct left_guest *left, const char *line, int *version)
{
	struct left_mapper m;
	struct left_memfd f;
	int pid;

	if (sscanf(line, "mapper %d %" SCNu64 " %d", &pid, &m.start_time, &m.remote) == 3) {
		m.pid = pid;
		if (left->nmappers == PROTO_MAPPERS_MAX)
			return false;
		left->mapper[left->nmappers++] = m;
	} else if (sscanf(line, "memfd %" SCNu64 " %" SCNu64, &f.dev, &f.ino) == 2) {
		if (left->nmemfds == PROTO_MEMFDS_MAX)
			return false;
		left->memfd[left->nmemfds++] = f;
	} else if (sscanf(line, "pid %d", &pid) == 1) {
		left->pid = pid;
	} else if (sscanf(line, "limit %" SCNu64, &left->limit) != 1) {
		return sscanf(line, "drum-guest %d", version) == 1 && *version == 1;
	}
	return true;
}

int left_read(const char *run_dir, const char *name, struct left_guest *left, struct err *e)
{
	char path[PATH_MAX], line[256];
	int version = 0, ret = 0;
	FILE *f;

	*left = (struct left_guest){ 0 };
	file_name(path, run_dir, name, "state");
	f = fopen(path, "re");
	if (!f)
		return err_set(e, -errno, "cannot read %s: %s", path, strerror(errno));
	while (ret == 0 && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (!take_line(left, line, &version))
			ret = err_set(e, -EINVAL, "%s: unexpected line: %.60s", path, line);
	}
	fclose(f);
	if (ret == 0 && version != 1)
		ret = err_set(e, -EINVAL, "%s is no file of a guest", path);
	return ret;
}

void left_forget(const char *run_dir, const char *name)
{
	char path[PATH_MAX];

	/* in this order: another guest of that name must not find this one's words */
	file_name(path, run_dir, name, "swap");
	unlink(path);
	/* what its working set was */
	file_name(path, run_dir, name, "wset");
	unlink(path);
	point_crash("state-left");
	file_name(path, run_dir, name, "state");
	unlink(path);
}
