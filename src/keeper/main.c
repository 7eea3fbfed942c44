/* SPDX-License-Identifier: BSD-2-Clause */
/* drumd(8): options, configuration file, going into the background. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/log.h"
#include "base/memlock.h"
#include "config.h"
#include "keeper/keeper.h"

struct options {
	bool foreground;
	bool leave;
	const char *config;    /* NULL: the default file, if there is one */
	const char *run_dir;   /* NULL: as configured */
	const char *log_level; /* NULL: as configured */
};

static void usage(FILE *f)
{
	fprintf(f,
		"usage: drumd [--foreground] [--config FILE] [--run-dir DIR] [--log-level "
		"LEVEL]\n"
		"             [--leave]\n"
		"       drumd --help | --version\n"
		"\n"
		"  -f, --foreground       stay in the foreground, log to standard error\n"
		"  -c, --config FILE      read FILE instead of " DRUM_CONF_FILE "\n"
		"  -r, --run-dir DIR      keep sockets and state in DIR (default " DRUM_RUN_DIR
		")\n"
		"  -l, --log-level LEVEL  error, warn, info, debug or trace (default info)\n"
		"      --leave            when stopped, leave guests attached and waiting for "
		"the\n"
		"                         next drumd instead of paging them in\n"
		"  -h, --help             print this\n"
		"  -V, --version          print the version\n");
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "foreground", no_argument, NULL, 'f' },
		{ "config", required_argument, NULL, 'c' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "leave", no_argument, NULL, 'L' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "fc:r:l:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'f':
			o->foreground = true;
			break;
		case 'c':
			o->config = optarg;
			break;
		case 'r':
			o->run_dir = optarg;
			break;
		case 'l':
			o->log_level = optarg;
			break;
		case 'L':
			o->leave = true;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		case 'V':
			puts("drumd " DRUM_VERSION);
			exit(0);
		default:
			return -EINVAL;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "drumd: unexpected argument: %s\n", argv[optind]);
		return -EINVAL;
	}
	return 0;
}

static int configure(const struct options *o, struct conf *conf, struct err *e)
{
	const char *file = o->config ? o->config : DRUM_CONF_FILE;
	int ret = conf_defaults(conf, e);

	if (ret == 0 && (o->config || access(file, F_OK) == 0))
		ret = conf_read(conf, file, e);
	if (ret < 0)
		return ret;
	if (o->log_level && log_level_parse(o->log_level, &conf->log_level) < 0)
		return err_set(e, -EINVAL,
			       "--log-level: '%s' is none of error, warn, info, debug, trace",
			       o->log_level);
	if (o->run_dir) {
		char *dir = o->run_dir[0] == '/' ? strdup(o->run_dir) : NULL;

		if (!dir)
			return err_set(e, -EINVAL, "--run-dir: '%s' is not an absolute path",
				       o->run_dir);
		free(conf->run_dir);
		conf->run_dir = dir;
	}
	conf->leave |= o->leave;
	return 0;
}

/*
 * Go on in a child; the parent waits until the child serves and exits with 0,
 * or with 1 if it never does.
 * => in the child: a descriptor to write a byte to
 */
static int background(void)
{
	int fds[2];
	char byte;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		fprintf(stderr, "drumd: cannot go into the background: %s\n", strerror(errno));
		exit(1);
	}
	if (pid > 0) {
		close(fds[1]);
		exit(read(fds[0], &byte, 1) == 1 ? 0 : 1);
	}
	close(fds[0]);
	setsid();
	if (chdir("/") < 0)
		fprintf(stderr, "drumd: chdir /: %s\n", strerror(errno));
	return fds[1];
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	struct conf conf = { 0 };
	struct err e = { 0 };
	struct keeper_options k = { .ready_fd = -1 };
	int ret;

	if (parse(argc, argv, &o) < 0) {
		usage(stderr);
		return 2;
	}
	umask(022);
	ret = configure(&o, &conf, &e);
	if (ret == 0) {
		if (!o.foreground)
			k.ready_fd = background();
		log_init("drumd", conf.log_level, !o.foreground);
		memlock_all();
		memlock_spare_me();
		k.run_dir = conf.run_dir;
		k.to_syslog = !o.foreground;
		k.leave = conf.leave;
		k.swap = conf.swap;
		k.nswap = conf.swaps;
		k.dump = conf.dump;
		k.paging = &conf.paging;
		ret = keeper_run(&k, &e);
	}
	if (ret < 0)
		fprintf(stderr, "drumd: %s\n", e.text);
	conf_free(&conf);
	return ret < 0 ? 1 : 0;
}
