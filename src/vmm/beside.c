/* SPDX-License-Identifier: BSD-2-Clause */

#include "vmm/beside.h"

#define GOOD_READS 64u /* and more may be written */
#define STEP	   16u /* pages, by which it grows */
#define SHARE	   16  /* of the mean, that one read has */

void beside_init(struct beside *b)
{
	*b = (struct beside){ .pages = BESIDE_FIRST };
}

static void note_alone(struct beside *b, uint64_t ns)
{
	if (b->alone == 0)
		b->alone = ns > 0 ? ns : 1;
	else if (ns > b->alone * 4)
		b->alone += b->alone / SHARE; /* one that hung says little */
	else
		b->alone = (b->alone * (SHARE - 1) + ns) / SHARE + 1;
}

void beside_read(struct beside *b, uint64_t ns, bool alone)
{
	if (alone) {
		note_alone(b, ns);
		return;
	}
	if (b->alone == 0)
		return;
	if (ns / 2 > b->alone) {
		b->pages = b->pages / 2 > BESIDE_MIN ? b->pages / 2 : BESIDE_MIN;
		b->good = 0;
	} else if (++b->good >= GOOD_READS) {
		b->pages = b->pages + STEP < BESIDE_MAX ? b->pages + STEP : BESIDE_MAX;
		b->good = 0;
	}
}
