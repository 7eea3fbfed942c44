/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fake of balloon/manager.h over a fake host, for tests of the control layer: what was said
 * of guests is kept and shown again, nothing is decided.  What concerns attached guests goes to
 * the fake host, and what is answered later is answered when that answers.
 */
#ifndef DRUM_TESTS_FAKE_MANAGER_H
#define DRUM_TESTS_FAKE_MANAGER_H

#include "balloon/manager.h"

/* More than this is not admitted. */
#define FAKE_BUDGET (4ull << 30)

/* Its figures of the host, as QMP has them. */
#define FAKE_HOST_JSON                                                                         \
	"{\"budget\":4294967296,\"idle-tax\":75,\"stall-target\":0.1000,\"level\":\"soft\","   \
	"\"used\":3221225472,\"free\":1073741824,\"price\":20480,\"total\":8589934592,"        \
	"\"available\":5368709120,\"admitted-memory\":6442450944,\"committed\":6442450944,"    \
	"\"reserved\":1073741824,"                                                             \
	"\"headroom\":3221225472,\"promised-swap\":2147483648,"                                \
	"\"free-swap\":7516192768,\"stall-some-10s\":0.2500,\"stall-full-10s\":0.0100,"        \
	"\"rounds\":77,\"round-us\":123.5,\"overcommit\":1.500,"                               \
	"\"pressure-some-avg10\":1.2300,\"pressure-full-avg10\":0.4500}"

struct manager *fake_manager_create(struct host *host);
void fake_manager_destroy(struct manager *m);

/* What is said of this guest from now on, beside its name and what is set. */
void fake_manager_show(struct manager *m, const char *name, const struct manager_guest *g);

/* Settings that reached it: "a limit=4096 qmp=/s;host budget=1 tax=2;" */
const char *fake_manager_log(const struct manager *m);

#endif
