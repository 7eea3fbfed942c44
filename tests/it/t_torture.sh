#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 60
# Swap devices that come, go and fail at random under two guests; a minute of `torture`.
# timeout: 600
exec "$(dirname "$0")/torture" --steps 22 "${SEED:-1}"
