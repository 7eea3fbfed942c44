/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drum-pager: the process that serves faults and requests.
 *
 * It is started by drumd(8), which gives it one end of the main channel as
 * descriptor 3, and everything else in the first message.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/ipc.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/memlock.h"
#include "base/proto.h"
#include "base/version.h"
#include "balloon/manager.h"
#include "balloon/monitor.h"
#include "control/metrics_serve.h"
#include "control/qmp_server.h"
#include "vmm/host.h"

#define KEEPER_FD 3

struct start {
	struct host_options host;
	int listen_fd, monitor_fd;
	int metrics_fd; /* or -1 */
	struct proto_group group, monitor_group;
};

static int greet(struct start *s, struct err *e)
{
	struct proto_msg m;
	int fds[IPC_FDS_MAX], nfds;
	ssize_t n = ipc_recv(KEEPER_FD, &m, sizeof(m), fds, &nfds);

	if (n != (ssize_t)sizeof(m) || m.type != MSG_HELLO || nfds < 3)
		return err_set(e, -EPROTO, "this program is started by drumd, not by hand");
	log_init("drum-pager", (enum log_level)m.u.hello.log_level, m.u.hello.to_syslog != 0);
	if (strncmp(m.u.hello.build, drum_version, sizeof(m.u.hello.build)) != 0)
		return err_set(e, -EPROTO,
			       "drumd is version %.31s and this is %s: restart drumd",
			       m.u.hello.build, drum_version);
	s->listen_fd = fds[0];
	s->monitor_fd = fds[2];
	s->group = m.u.hello.group;
	s->monitor_group = m.u.hello.monitor_group;
	s->host.keeper = KEEPER_FD;
	s->host.dir_fd = fds[1];
	s->metrics_fd = m.u.hello.metrics && nfds > 3 ? fds[--nfds] : -1;
	s->host.state_fd = m.u.hello.state_dir && nfds > 3 ? fds[--nfds] : -1;
	s->host.dev_uffd = nfds > 3 ? fds[3] : -1;
	s->host.since = m.u.hello.since;
	s->host.after = m.u.hello.after;
	s->host.daemon.pid = m.u.hello.keeper;
	s->host.daemon.replaced = m.u.hello.replaced;
	s->host.daemon.restarts = m.u.hello.restarts;
	memcpy(s->host.daemon.from, m.u.hello.from, sizeof(m.u.hello.from));
	memcpy(s->host.daemon.failed, m.u.hello.failed, sizeof(m.u.hello.failed));
	return 0;
}

static int run(struct err *e)
{
	struct qmp_server *server = NULL;
	struct metrics_server *metrics = NULL;
	struct manager *manager = NULL;
	struct start s = { 0 };
	struct host *host = NULL;
	int ret = greet(&s, e);

	if (ret < 0)
		return ret;
	/* the log is where it should be by now */
	memlock_all();
	s.host.loop = loop_create();
	if (!s.host.loop)
		return err_set(e, -errno, "cannot start: %s", strerror(errno));
	ret = host_create(&s.host, &host, e);
	if (ret == 0)
		ret = manager_create(s.host.loop, host, s.host.dir_fd, &manager, e);
	if (ret == 0)
		ret = qmp_server_start(s.host.loop, s.listen_fd, host, manager, &server, e);
	if (ret == 0) {
		qmp_server_set_groups(server, &s.group, &s.monitor_group);
		ret = qmp_server_listen_read_only(server, s.monitor_fd, e);
	}
	if (ret == 0 && s.metrics_fd >= 0 &&
	    metrics_start(s.host.loop, s.metrics_fd, host, manager, server, &metrics, e) < 0)
		log_err("metrics are not served: %s", e->text);
	if (ret == 0)
		ret = host_serve(host, e);
	if (ret < 0)
		return ret;
	ret = loop_run(s.host.loop);
	metrics_stop(metrics);
	qmp_server_stop(server);
	if (host_forgotten(host)) {
		manager_give_back(manager);
		manager_forget(manager);
	}
	if (ret < 0)
		return err_set(e, ret, "the control loop: %s", strerror(-ret));
	/* everything else is the kernel's to take back; workers that still
	 * run hold nothing that an exit could lose */
	return host_stopped(host) ? 0 : err_set(e, -EPIPE, "the keeper is gone");
}

int main(int argc, char **argv)
{
	struct err e = { 0 };

	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return printf("drum-pager %s\n", drum_version) < 0;
	/* executed by descriptor it would be named after that */
	prctl(PR_SET_NAME, "drum-pager");
	signal(SIGPIPE, SIG_IGN);
	log_init("drum-pager", LOG_LVL_INFO, false);
	if (run(&e) < 0) {
		log_err("%s", e.text);
		monitor_exit(1);
	}
	monitor_exit(0);
}
