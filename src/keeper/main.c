/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drumd(8): options, configuration file, going into the background; and going back to
 * the drumd that was replaced by this one, if this one does not start.
 */

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
#include "base/version.h"
#include "config.h"
#include "keeper/backend.h"
#include "keeper/keeper.h"
#include "keeper/program.h"
#include "keeper/store.h"

struct options {
	bool check;
	bool foreground;
	bool leave;
	const char *config;    /* NULL: the default file, if there is one */
	const char *file;      /* one of these; absolute, so that it is found again */
	const char *run_dir;   /* NULL: as configured */
	const char *log_level; /* NULL: as configured */
	struct backend_options backend;
};

static void usage(FILE *f)
{
	fprintf(f,
		"usage: drumd [--foreground] [--config FILE] [--run-dir DIR] [--log-level "
		"LEVEL]\n"
		"             [--leave]\n"
		"             [--socket-path PATH --blk-file IMAGE [--read-only]]\n"
		"       drumd --check [--config FILE]\n"
		"       drumd --help | --version | --print-capabilities\n"
		"\n"
		"  -f, --foreground       stay in the foreground, log to standard error\n"
		"  -c, --config FILE      read FILE instead of " DRUM_CONF_FILE "\n"
		"  -r, --run-dir DIR      keep sockets and state in DIR (default " DRUM_RUN_DIR
		")\n"
		"  -l, --log-level LEVEL  error, warn, info, debug or trace (default info)\n"
		"      --leave            when stopped, leave guests attached and waiting for "
		"the\n"
		"                         next drumd instead of paging them in\n"
		"      --socket-path PATH, --blk-file IMAGE, --read-only\n"
		"                         serve this disk too, and stay in the foreground\n"
		"      --print-capabilities  print what it is as a vhost-user back end\n"
		"      --check            look at options, configuration and drum-pager, and "
		"leave\n"
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
		{ "check", no_argument, NULL, 'C' },
		{ "socket-path", required_argument, NULL, 'S' },
		{ "blk-file", required_argument, NULL, 'B' },
		{ "read-only", no_argument, NULL, 'R' },
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
		case 'C':
			o->check = true;
			break;
		case 'S':
			o->backend.socket_path = optarg;
			break;
		case 'B':
			o->backend.blk_file = optarg;
			break;
		case 'R':
			o->backend.read_only = true;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		case 'V':
			printf("drumd %s\n", drum_version);
			exit(0);
		default:
			return -EINVAL;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "drumd: unexpected argument: %s\n", argv[optind]);
		return -EINVAL;
	}
	/* in the background, the working directory is another */
	o->file = o->config ? realpath(o->config, NULL) : DRUM_CONF_FILE;
	if (!o->file)
		o->file = o->config;
	/* whoever starts back ends watches them himself */
	o->foreground |= backend_wanted(&o->backend);
	return 0;
}

static struct options options; /* of this drumd, and of the file when it is read again */

/* Options override what the file says. => 0, or -errno and e */
static int override(const struct options *o, struct conf *conf, struct err *e)
{
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
	return backend_wanted(&o->backend) ? backend_add_disk(conf, &o->backend, e) : 0;
}

/* Of conf what the file and options say. file: it must be there. => 0, or -errno and errors */
#define OLD_FILE DRUM_SYSCONFDIR "/drumd.conf"

static int configure(struct conf *conf, bool file, struct conf_errors *errors)
{
	const struct options *o = &options;
	int ret;

	errors->n = 1;
	errors->more = false;
	ret = conf_defaults(conf, &errors->err[0]);
	if (ret == 0 && !o->config && access(o->file, F_OK) < 0 && access(OLD_FILE, F_OK) == 0)
		ret = err_set(&errors->err[0], -ENOENT,
			      "%s is not read any more: rename it to " DRUM_CONF_FILE,
			      OLD_FILE);
	if (ret == 0 && (file || o->config || access(o->file, F_OK) == 0))
		ret = conf_read_all(conf, o->file, errors);
	if (ret == 0) {
		errors->n = 1;
		ret = override(o, conf, &errors->err[0]);
	}
	return ret;
}

static int read_again(struct conf *conf, struct conf_errors *errors)
{
	int ret = configure(conf, true, errors);

	if (ret < 0)
		conf_free(conf);
	return ret;
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

/* What the drumd after this one is started with: wherever it is started. */
static void keep_arguments(const struct options *o)
{
	static char *argv[16];
	char *config = o->config ? realpath(o->config, NULL) : NULL;
	int n = 0;

	argv[n++] = strdup("drumd");
	if (o->foreground)
		argv[n++] = strdup("--foreground");
	if (o->config) {
		argv[n++] = strdup("--config");
		argv[n++] = config ? config : strdup(o->config);
	}
	if (o->run_dir) {
		argv[n++] = strdup("--run-dir");
		argv[n++] = strdup(o->run_dir);
	}
	if (o->log_level) {
		argv[n++] = strdup("--log-level");
		argv[n++] = strdup(o->log_level);
	}
	if (o->leave)
		argv[n++] = strdup("--leave");
	if (o->backend.blk_file && o->backend.socket_path) {
		argv[n++] = strdup("--socket-path");
		argv[n++] = strdup(o->backend.socket_path);
		argv[n++] = strdup("--blk-file");
		argv[n++] = strdup(o->backend.blk_file);
	}
	if (o->backend.read_only)
		argv[n++] = strdup("--read-only");
	argv[n] = NULL;
	program_set_arguments(argv);
}

/* => 0: with this program, these options and this configuration it would start */
static int check(struct err *e)
{
	char version[VERSION_MAX];
	int ret = program_pager_version(version, e);

	if (ret == 0 && strcmp(version, drum_version) != 0)
		ret = err_set(e, -EPROTO, "this is drumd %s and its drum-pager is version %s",
			      drum_version, version);
	if (ret == 0)
		printf("drumd %s\n", drum_version);
	return ret;
}

static int run(const struct options *o, struct conf *conf, struct err *e)
{
	struct keeper_options k = {
		.conf = conf,
		.to_syslog = !o->foreground,
		.ready_fd = -1,
		.read_conf = read_again,
		.file = o->file,
	};

	keep_arguments(o);
	/* what this process was before is in the background already */
	if (!o->foreground && !store_was_handed_over())
		k.ready_fd = background();
	log_init("drumd", conf->log_level, !o->foreground);
	memlock_all();
	memlock_spare_me();
	return keeper_run(&k, e);
}

/* Whatever else is given: so it is convention. */
static bool wants_capabilities(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--print-capabilities"))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	struct options *o = &options;
	struct conf_errors errors = { 0 };
	struct conf conf = { 0 };
	struct err e = { 0 };
	int ret, status = 1;

	if (wants_capabilities(argc, argv)) {
		backend_print_capabilities(stdout);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	store_init();
	umask(022);
	ret = parse(argc, argv, o);
	if (ret < 0) {
		usage(stderr);
		status = 2;
		err_set(&e, ret, "it does not know these options");
	} else {
		ret = configure(&conf, false, &errors);
		for (unsigned int i = 0; ret < 0 && i + 1 < errors.n; i++)
			fprintf(stderr, "drumd: %s\n", errors.err[i].text);
		if (ret < 0)
			e = errors.err[errors.n - 1];
		if (ret == 0)
			ret = program_init(&e);
		if (ret == 0)
			ret = o->check ? check(&e) : run(o, &conf, &e);
		if (ret < 0)
			fprintf(stderr, "drumd: %s\n", e.text);
	}
	if (ret < 0 && store_was_handed_over() && !store_get("failed")[0]) {
		struct err back = { 0 };

		keep_arguments(o);
		if (program_exec_back(e.text, &back) < 0)
			fprintf(stderr, "drumd: %s\n", back.text);
	}
	conf_free(&conf);
	return ret < 0 ? status : 0;
}
