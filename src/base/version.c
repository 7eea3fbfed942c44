/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/version.h"

#include "config.h"

const char drum_version[] = DRUM_VERSION;

_Static_assert(sizeof(drum_version) <= VERSION_MAX, "messages have room for it");
