/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A blist by hand, after the main() of the BSDs' subr_blist.c: commands are read
 * from a file and their results printed.
 *
 *	blist_driver [--blocks N] -	commands from stdin, see usage below
 *	blist_driver			the script at the end of this file: print
 *					what differs from what is expected
 *
 * Numbers are as in C.  A new blist has nothing free: "f 0 N" frees it all.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "swap/blist.h"
#include "swap/blist_node.h"

#define DEFAULT_BLOCKS 1024

static const char usage[] = "a N           allocate N blocks\n"
			    "m N [HINT]    allocate N, or as many as there are in a row\n"
			    "n N HINT      allocate N at HINT or behind it, then from 0\n"
			    "f BLOCK N     free\n"
			    "F BLOCK N     allocate these, free or not (fill)\n"
			    "r SIZE        resize\n"
			    "p             print the tree\n"
			    "c             count, longest run, memory, and check it all\n"
			    "q             quit\n";

static void print_run(FILE *out, uint64_t at, uint64_t n)
{
	if (at == BLIST_NONE)
		fprintf(out, "none\n");
	else
		fprintf(out, "%" PRIu64 " (%" PRIu64 ")\n", at, n);
}

/* Children that are uniform and neighbours are one line. */
static void print_node(FILE *out, const struct blist *bl, int k, uint64_t idx)
{
	struct masks m = *masks_of(bl, k, idx);
	unsigned i = 0, next;

	for (; i < RADIX; i = next) {
		uint64_t c = idx * RADIX + i;
		struct runs r;

		for (next = i + 1; next < RADIX && !is_mixed(m, i) && !is_mixed(m, next);
		     next++)
			if ((m.full >> i & 1) != (m.full >> next & 1))
				break;
		fprintf(out, "%*s%" PRIu64 "..%" PRIu64 " ", 2 * (bl->top - k + 1), "",
			c << level_shift(k - 1), ((c + next - i) << level_shift(k - 1)) - 1);
		if (!is_mixed(m, i)) {
			fprintf(out, "%s\n", m.full >> i & 1 ? "free" : "allocated");
			continue;
		}
		r = runs_of(bl, k - 1, c);
		fprintf(out, "start %" PRIu64 " end %" PRIu64 " longest %" PRIu64, r.start,
			r.end, r.longest);
		if (k == 1)
			fprintf(out, " bits %016" PRIx64, bl->leaf[c]);
		fputc('\n', out);
		if (k > 1)
			print_node(out, bl, k - 1, c);
	}
}

static void print_tree(FILE *out, const struct blist *bl)
{
	fprintf(out,
		"0..%" PRIu64 " level %d start %" PRIu64 " end %" PRIu64 " longest %" PRIu64
		"\n",
		level_blocks(bl->top) - 1, bl->top, bl->root.start, bl->root.end,
		bl->root.longest);
	print_node(out, bl, bl->top, 0);
}

/* => false: quit */
static bool command(FILE *out, struct blist *bl, const char *line)
{
	uint64_t a = 0, b = 0, got;
	char verb = 0, more = 0;
	int n;

	n = sscanf(line, " %c %" SCNi64 " %" SCNi64 " %c", &verb, (int64_t *)&a, (int64_t *)&b,
		   &more);
	if (n <= 0 || verb == '#')
		return true;
	if (verb == 'q')
		return false;
	if (verb == 'a' && n == 2) {
		print_run(out, blist_alloc(bl, a), a);
	} else if (verb == 'm' && (n == 2 || n == 3)) {
		uint64_t at = blist_alloc_most(bl, a, b, &got);

		print_run(out, at, got);
	} else if (verb == 'n' && n == 3) {
		print_run(out, blist_alloc_near(bl, a, b), a);
	} else if (verb == 'f' && n == 3) {
		fprintf(out, "%s\n", blist_free(bl, a, b) ? "ok" : "refused");
	} else if (verb == 'F' && n == 3) {
		fprintf(out, "%" PRIu64 " were free\n", blist_fill(bl, a, b));
	} else if (verb == 'r' && n == 2) {
		int rc = blist_resize(bl, a);

		fprintf(out, "%s\n", rc == 0 ? "ok" : strerror(-rc));
	} else if (verb == 'p' && n == 1) {
		print_tree(out, bl);
	} else if (verb == 'c' && n == 1) {
		fprintf(out,
			"%" PRIu64 " of %" PRIu64 " free, longest %" PRIu64 ", %" PRIu64
			" KiB, %s\n",
			blist_avail(bl), blist_blocks(bl), blist_longest(bl),
			blist_memory(bl) / 1024, blist_check(bl) ? "sound" : "DAMAGED");
	} else {
		fprintf(out, "%s", usage);
	}
	return true;
}

/* What a command prints, one after the other on the same blist of 1024. */
static const struct {
	const char *command, *result;
} script[] = {
	{ "p", "0..1023 level 1 start 0 end 0 longest 0\n  0..1023 allocated\n" },
	{ "a 1", "none\n" },
	{ "f 0 1024", "ok\n" },
	{ "f 5 1", "refused\n" },
	{ "c", "1024 of 1024 free, longest 1024, 8 KiB, sound\n" },
	{ "a 16", "0 (16)\n" },
	{ "n 16 100", "100 (16)\n" },
	{ "p", "0..1023 level 1 start 0 end 908 longest 908\n"
	       "  0..63 start 0 end 48 longest 48 bits ffffffffffff0000\n"
	       "  64..127 start 36 end 12 longest 36 bits fff0000fffffffff\n"
	       "  128..1023 free\n" },
	{ "m 2000 50", "116 (908)\n" },
	{ "m 84", "16 (84)\n" },
	{ "a 1", "none\n" },
	{ "f 40 100", "ok\n" },
	{ "F 60 10", "10 were free\n" },
	{ "F 50 1000000", "80 were free\n" },
	{ "c", "10 of 1024 free, longest 10, 8 KiB, sound\n" },
	{ "r 20000", "ok\n" },
	{ "f 1000 17500", "ok\n" },
	{ "p", "0..262143 level 3 start 0 end 0 longest 17500\n"
	       "  0..16383 start 0 end 15384 longest 15384\n"
	       "    0..1023 start 0 end 24 longest 24\n"
	       "      0..63 start 0 end 0 longest 10 bits 0003ff0000000000\n"
	       "      64..959 allocated\n"
	       "      960..1023 start 0 end 24 longest 24 bits ffffff0000000000\n"
	       "    1024..16383 free\n"
	       "  16384..32767 start 2116 end 0 longest 2116\n"
	       "    16384..18431 free\n"
	       "    18432..19455 start 68 end 0 longest 68\n"
	       "      18432..18495 free\n"
	       "      18496..18559 start 4 end 0 longest 4 bits 000000000000000f\n"
	       "      18560..19455 allocated\n"
	       "    19456..32767 allocated\n"
	       "  32768..262143 allocated\n" },
	{ "n 17500 1001", "1000 (17500)\n" },
	{ "r 0x10000000000", "ok\n" },
	{ "r 0x10000000001", "Invalid argument\n" },
	{ "f 0xffffffffff 1", "ok\n" },
	{ "f 0xffffffffff 2", "refused\n" },
	{ "n 1 0xff00000000", "1099511627775 (1)\n" },
	{ "r 45", "ok\n" },
	{ "m 7", "40 (5)\n" },
	{ "f 40 2", "ok\n" },
	{ "f 44 1", "ok\n" },
	{ "f 42 2", "ok\n" },
	{ "c", "5 of 45 free, longest 5, 8 KiB, sound\n" },
	{ "n 5 41", "40 (5)\n" },
	{ "", "" },
	{ "f 5", usage },
	{ "n 1 2 3", usage },
	{ "x", usage },
};

/* => exit status */
static int run_script(void)
{
	struct blist *bl = blist_create(DEFAULT_BLOCKS);
	int bad = 0;

	if (!bl) {
		perror("blist_driver: cannot create a blist");
		return 1;
	}
	for (size_t i = 0; i < sizeof(script) / sizeof(script[0]); i++) {
		char *text = NULL;
		size_t len;
		FILE *out = open_memstream(&text, &len);

		if (!out) {
			perror("blist_driver: cannot write to memory");
			blist_destroy(bl);
			return 1;
		}
		(void)command(out, bl, script[i].command);
		fclose(out);
		if (strcmp(text, script[i].result) != 0) {
			printf("%s: expected\n%s, got\n%s", script[i].command, script[i].result,
			       text);
			bad++;
		}
		free(text);
	}
	blist_destroy(bl);
	printf("%zu commands, %d wrong\n", sizeof(script) / sizeof(script[0]), bad);
	return bad ? 1 : 0;
}

int main(int argc, char **argv)
{
	uint64_t blocks = DEFAULT_BLOCKS;
	char line[256], *end = NULL;
	struct blist *bl;

	if (argc == 1)
		return run_script();
	if (argc == 4 && strcmp(argv[1], "--blocks") == 0)
		blocks = strtoull(argv[2], &end, 0);
	if ((argc != 2 && argc != 4) || (argc == 4 && (!end || *end != '\0')) ||
	    strcmp(argv[argc - 1], "-") != 0) {
		fprintf(stderr, "usage: blist_driver [[--blocks N] -]\n%s", usage);
		return 2;
	}
	bl = blist_create(blocks);
	if (!bl) {
		perror("blist_driver: cannot create a blist");
		return 1;
	}
	while (fgets(line, sizeof(line), stdin) && command(stdout, bl, line))
		fflush(stdout);
	blist_destroy(bl);
	return 0;
}
