#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 120
# The pager, the keeper and both are killed at random moments; the short form of `make torture`.
# timeout: 600
exec "$(dirname "$0")/torture" --kills 22 "${SEED:-1}"
