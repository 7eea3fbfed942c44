#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A guest that is paged out reboots, by itself and by a reset from outside.
. "$(dirname "$0")/lib.sh"
it_init

drum_start
swap_on 1G
guest_start one 256M
guest_up one
guest_attach one --limit 64M
wait_shrunk one $((64 * MIB))
guest_walks one 10000

from=$(lines_of "$T/one.log")
guest_ask one reboot 'PATROL REBOOT bad=0' >/dev/null
wait_for 'GUEST UP' "$T/one.log" 120 "$from" >/dev/null
wait_for 'PATROL READY' "$T/one.log" 120 "$from" >/dev/null
guest_walks one 10000
guest_check one
wait_shrunk one $((64 * MIB))

# With all of it out: the firmware starts in pages that are on swap.
ctl guest out one
from=$(lines_of "$T/one.log")
guest_qmp one system_reset >/dev/null
wait_for 'PATROL READY' "$T/one.log" 120 "$from" >/dev/null
guest_patterns one 5000
guest_check one
guest_is one state = running || fail "state is $(guest_field one state)"
guest_end one
assert_swap_free
drum_stop
it_passed
