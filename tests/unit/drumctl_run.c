/* SPDX-License-Identifier: BSD-2-Clause */
#include "unit/drumctl_run.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/qmp_server.h"

static struct loop *loop;
struct host *host;
struct manager *manager;
static struct qmp_server *server;
static int listen_fd;
static pthread_t thread;
struct sockaddr_un addr = { .sun_family = AF_UNIX };
char dir[] = "/tmp/drum-test-drumctl-XXXXXX";
char program[PATH_MAX], manual[4096];

int code;
char out[65536], errors[65536];

static void *serve(void *arg)
{
	(void)arg;
	loop_run(loop);
	return NULL;
}

void start_serving(void)
{
	struct err e;

	unlink(addr.sun_path);
	listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert(bind(listen_fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	cr_assert(listen(listen_fd, 16) == 0);
	cr_assert(qmp_server_start(loop, listen_fd, host, manager, &server, &e) == 0);
	cr_assert(pthread_create(&thread, NULL, serve, NULL) == 0);
}

void drumctl_setup(void)
{
	const char *build = getenv("DRUM_BUILD"), *src = getenv("DRUM_SRC");
	char path[4096];

	snprintf(manual, sizeof(manual), "%s/man/drumctl.8", src ? src : "..");
	/* absolute, as it is run in another directory */
	snprintf(path, sizeof(path), "%s/drumctl", build ? build : ".");
	if (!realpath(path, program))
		program[0] = '\0';
	cr_assert(mkdtemp(dir));
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/qmp.sock", dir);
	loop = loop_create();
	host = fake_host_create(loop);
	manager = fake_manager_create(host);
	start_serving();
	setenv("DRUM_SOCKET", addr.sun_path, 1);
}

void stop_serving(void)
{
	if (!server)
		return;
	loop_stop(loop);
	pthread_join(thread, NULL);
	qmp_server_stop(server);
	server = NULL;
	close(listen_fd);
}

void drumctl_teardown(void)
{
	stop_serving();
	fake_host_destroy(host);
	fake_manager_destroy(manager);
	loop_destroy(loop);
	unlink(addr.sun_path);
	rmdir(dir);
}

void slurp(FILE *f, char *to, size_t room)
{
	size_t n;

	rewind(f);
	n = fread(to, 1, room - 1, f);
	to[n] = '\0';
	fclose(f);
}

pid_t begin(const char *line, int out_fd, int error_fd, void (*prepare)(void))
{
	char *copy = strdup(line), *argv[24] = { program }, *save;
	int n = 1;
	pid_t pid;

	/* not in setup: a test goes on after an assertion that failed there */
	cr_assert(program[0], "no drumctl in the build directory: make drumctl");
	while (n < 23 && (argv[n] = strtok_r(n == 1 ? copy : NULL, " ", &save)))
		n++;
	pid = fork();
	if (pid == 0) {
		alarm(30); /* should it never end */
		dup2(out_fd, 1);
		dup2(error_fd, 2);
		if (prepare)
			prepare();
		if (chdir(dir) == 0)
			execv(program, argv);
		_exit(127);
	}
	free(copy);
	return pid;
}

int end(pid_t pid)
{
	int status;

	cr_assert(waitpid(pid, &status, 0) == pid);
	cr_assert(WIFEXITED(status), "drumctl died of signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

void run_prepared(const char *line, void (*prepare)(void))
{
	FILE *o = tmpfile(), *e = tmpfile();

	code = end(begin(line, fileno(o), fileno(e), prepare));
	slurp(o, out, sizeof(out));
	slurp(e, errors, sizeof(errors));
}

void run(const char *line)
{
	run_prepared(line, NULL);
}
