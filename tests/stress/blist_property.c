/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blist against a naive bitmap for as many operations as one likes.
 *
 *	blist_property [--seed N] [--ops N]
 *
 * Prints the seed first, and "ok" at the end; the same seed gives the same
 * operations again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "blist_model.h"

#define DEFAULT_OPS UINT64_C(10000000)
#define ROUND_OPS   16384
#define COMPARE_OPS 1024

/* Blocks in a granule: alone, a leaf, odd, across every level. */
static const uint64_t scales[] = {
	1, 1, 1, 1, 2, 3, 16, 63, 64, 65, 1000, 1024, 12345, 262144, 1048583, 99999989,
};

static bool number(const char *text, uint64_t *n)
{
	char *end;

	*n = strtoull(text, &end, 0);
	return *text != '\0' && *text != '-' && *end == '\0';
}

/* Sizes around leaves and nodes, and any other up to some 30000 granules. */
static uint64_t pick_granules(struct model *dice)
{
	static const uint64_t borders[] = { 1, 2, 64, 128, 1024, 2048, 16384 };
	uint64_t n = borders[model_random(dice) % (sizeof(borders) / sizeof(borders[0]))];

	switch (model_random(dice) % 8) {
	case 0:
		return n;
	case 1:
		return n + 1;
	case 2:
		return n > 1 ? n - 1 : n;
	case 3:
		return model_length(dice, 30000);
	default:
		return 1 + model_random(dice) % 8000;
	}
}

int main(int argc, char **argv)
{
	uint64_t seed = (uint64_t)time(NULL), ops = DEFAULT_OPS, done = 0;
	struct model dice = { 0 };

	for (int i = 1; i < argc; i += 2) {
		uint64_t *to = strcmp(argv[i], "--seed") == 0  ? &seed
			       : strcmp(argv[i], "--ops") == 0 ? &ops
							       : NULL;

		if (!to || i + 1 == argc || !number(argv[i + 1], to)) {
			fprintf(stderr, "usage: blist_property [--seed N] [--ops N]\n");
			return 2;
		}
	}
	printf("seed %" PRIu64 "\n", seed);
	fflush(stdout);

	dice.rng = seed;
	while (done < ops) {
		uint64_t granules = pick_granules(&dice);
		uint64_t scale =
			scales[model_random(&dice) % (sizeof(scales) / sizeof(scales[0]))];
		struct model m;

		while (granules * scale > BLIST_MAX_BLOCKS)
			granules /= 2;
		if (!model_open(&m, granules, scale, model_random(&dice))) {
			fprintf(stderr, "blist_property: no memory for %" PRIu64 " blocks\n",
				granules * scale);
			return 1;
		}
		for (uint64_t i = 0; i < ROUND_OPS && done < ops; i++, done++) {
			if (!model_step(&m) || (i % COMPARE_OPS == 0 && !model_compare(&m)))
				break;
		}
		if (m.error[0] == '\0')
			(void)model_compare(&m);
		if (m.error[0] != '\0') {
			fprintf(stderr,
				"blist_property: seed %" PRIu64 ", operation %" PRIu64 ": %s\n",
				seed, done, m.error);
			model_close(&m);
			return 1;
		}
		model_close(&m);
	}
	printf("%" PRIu64 " operations\nok\n", done);
	return 0;
}
