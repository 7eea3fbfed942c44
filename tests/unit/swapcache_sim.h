/* SPDX-License-Identifier: BSD-2-Clause */
/* What tests of the swapcache daemon's policy have in common. */
#ifndef DRUM_TESTS_SWAPCACHE_SIM_H
#define DRUM_TESTS_SWAPCACHE_SIM_H

#include <criterion/criterion.h>
#include <string.h>

#include "swap/swapcache.h"

#define SEC   UINT64_C(1000000000)
#define POLL  SWAPCACHE_POLL_NS
#define BLOCK UINT64_C(4096)
#define MB    INT64_C(1000000)
#define MAX   UINT64_MAX
#define ACC   100000		/* accrate of the defaults */
#define SWAP  UINT64_C(1000000) /* blocks that it may use: a percent is 10,000 */

static inline void set(struct swapcache *sc, enum swapcache_knob k, uint64_t value)
{
	struct err e = { 0 };

	cr_assert_eq(swapcache_set(sc, k, value, &e), 0, "%s", e.text);
}

static inline void new_one(struct swapcache *sc)
{
	swapcache_init(sc);
	set(sc, SWAPCACHE_DATA_ENABLE, 1);
}

static inline struct swapcache_orders tick(struct swapcache *sc, const struct swapcache_view *v)
{
	struct swapcache_orders o;

	memset(&o, 0xa5, sizeof(o));
	swapcache_tick(sc, v, &o);
	cr_assert(swapcache_is_sane(sc));
	return o;
}

#endif
