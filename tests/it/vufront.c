/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vufront: a front end of a vhost-user-blk device without a guest, see front/front.h.
 *
 *	vufront show SOCKET		what the back end offers, as JSON
 *	vufront bench SOCKET		six workloads, a line of JSON each
 *	vufront verify SOCKET		random requests, every answer checked; writes to the
 * image vufront hostile SOCKET		what no front end and no driver may do; may write
 * anywhere
 *
 * Exit status: 0 if all was well, 1 if not, 2 for wrong usage.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front/modes.h"

volatile sig_atomic_t mode_ended;

static const struct mode {
	const char *name;
	int (*run)(const struct mode_options *o);
} modes[] = {
	{ "show", mode_show },
	{ "bench", mode_bench },
	{ "verify", mode_verify },
	{ "hostile", mode_hostile },
};

static const char usage_text[] =
	"usage: vufront show|bench|verify|hostile SOCKET [OPTION]...\n"
	"  --seconds N     bench: of each case [2]; verify: in all [until SIGTERM]\n"
	"  --ram MIB       [64]\n"
	"  --queues N      [all]        --num N        entries of a ring [256]\n"
	"  --wait N        s, for an answer and for somebody to listen [60]\n"
	"  --no-indirect, --no-event-idx, --no-inflight\n"
	"  --only CASE     of bench or hostile\n"
	"  --steps         bench: wait for a line on standard input before each case\n"
	"  --seed N        [1]\n"
	"of verify:\n"
	"  --depth N       most requests in flight [32]\n"
	"  --first BYTES, --region BYTES   of the image to write to [64 MiB from 0]\n"
	"  --reads N       percent of requests that are reads, and of the others half [0]\n"
	"  --flat          RAM is one region\n"
	"  --log           have what is written logged, and look at the log\n"
	"  --reconnect     go on when the connection is closed\n"
	"  --stop-every N  s: stop the rings with requests in flight, and start them again\n"
	"  --reset-every N s: begin the rings anew, as a guest that reboots\n"
	"  --errors        I/O errors are no failure\n"
	"  --serial S      is to be the serial\n"
	"  --stall N       s, after which a request is lost [60]\n";

static void usage(void)
{
	fputs(usage_text, stderr);
	exit(2);
}

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 0);

	if (!*text || *end)
		usage();
	return n;
}

static void ended(int signum)
{
	(void)signum;
	mode_ended = 1;
}

static void parse(struct mode_options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "seconds", 1, NULL, 's' },	  { "ram", 1, NULL, 'm' },
		{ "queues", 1, NULL, 'q' },	  { "num", 1, NULL, 'n' },
		{ "wait", 1, NULL, 'w' },	  { "no-indirect", 0, NULL, 'I' },
		{ "no-event-idx", 0, NULL, 'E' }, { "no-inflight", 0, NULL, 'F' },
		{ "only", 1, NULL, 'o' },	  { "steps", 0, NULL, 'S' },
		{ "seed", 1, NULL, 'r' },	  { "depth", 1, NULL, 'd' },
		{ "first", 1, NULL, '1' },	  { "region", 1, NULL, 'g' },
		{ "reads", 1, NULL, 'D' },	  { "flat", 0, NULL, 'f' },
		{ "log", 0, NULL, 'l' },	  { "reconnect", 0, NULL, 'c' },
		{ "stop-every", 1, NULL, 'p' },	  { "reset-every", 1, NULL, 'R' },
		{ "errors", 0, NULL, 'e' },	  { "serial", 1, NULL, 'i' },
		{ "stall", 1, NULL, 't' },	  { .name = NULL },
	};

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (c) {
		case 's':
			o->seconds = (double)strtod(optarg, NULL);
			break;
		case 'm':
			o->front.ram = number(optarg) << 20;
			break;
		case 'q':
			o->front.queues = (unsigned int)number(optarg);
			break;
		case 'n':
			o->front.num = (unsigned int)number(optarg);
			break;
		case 'w':
			o->front.wait_s = (unsigned int)number(optarg);
			break;
		case 'I':
			o->front.no_indirect = true;
			break;
		case 'E':
			o->front.no_event_idx = true;
			break;
		case 'F':
			o->front.no_inflight = true;
			break;
		case 'o':
			o->only = optarg;
			break;
		case 'S':
			o->steps = true;
			break;
		case 'r':
			o->seed = number(optarg);
			break;
		case 'd':
			o->depth = (unsigned int)number(optarg);
			break;
		case '1':
			o->first = number(optarg);
			break;
		case 'g':
			o->region = number(optarg);
			break;
		case 'D':
			o->reads = (unsigned int)number(optarg);
			break;
		case 'f':
			o->front.scattered = false;
			break;
		case 'l':
			o->front.log = true;
			break;
		case 'c':
			o->reconnect = true;
			break;
		case 'p':
			o->stop_every = (unsigned int)number(optarg);
			break;
		case 'R':
			o->reset_every = (unsigned int)number(optarg);
			break;
		case 'e':
			o->errors_allowed = true;
			break;
		case 'i':
			o->serial = optarg;
			break;
		case 't':
			o->stall_s = (unsigned int)number(optarg);
			break;
		default:
			usage();
		}
	}
}

int main(int argc, char **argv)
{
	struct mode_options o = { .front = { .ram = 64 << 20, .scattered = true },
				  .depth = 32,
				  .seed = 1,
				  .stall_s = 60 };
	struct sigaction sa = { .sa_handler = ended };

	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(&o, argc, argv);
	if (argc - optind != 2)
		usage();
	o.front.socket = argv[optind + 1];
	for (unsigned int i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(argv[optind], modes[i].name) != 0)
			continue;
		if (modes[i].run == mode_verify) {
			sigaction(SIGTERM, &sa, NULL);
			sigaction(SIGINT, &sa, NULL);
		}
		return modes[i].run(&o);
	}
	usage();
	return 2;
}
