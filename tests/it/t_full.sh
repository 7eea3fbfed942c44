#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What does not fit is refused: into RAM at a stop or a detach, onto swap at a limit.
#
# How much RAM is free is faked: the daemon sees a /proc/meminfo of ours.
. "$(dirname "$0")/lib.sh"
it_init

refuses_stop() {
	tail -n +"$from" "$T/drumd.log" | grep -q "not stopping: .*do not fit into the 100 MiB"
}

say_available 4096
drum_start
swap_on 256M
guest_start one 256M
guest_up one
guest_attach one --limit 64M
wait_shrunk one $((64 * MIB))
guest_walks one 3000

# Neither a detach nor a stop begins what it cannot end.
say_available 100
for round in 1 2; do
	! ctl guest detach one >"$T/out" 2>&1 || fail "detached, and where is its memory?"
	grep -q 'do not fit into the 100 MiB of RAM' "$T/out" || fail "unclear: $(cat "$T/out")"
	from=$(($(lines_of "$T/drumd.log") + 1))
	kill -TERM "$DRUMD_PID"
	wait_until 10 refuses_stop || fail "round $round: the stop was not refused"
	assert_drum_lives
	guest_is one state = running || fail "the guest is $(guest_field one state)"
	guest_walks one 3000
done
guest_check one

# More guests than swap: limits that cannot be met are refused, nobody hangs.
guest_start two 512M
guest_up two
guest_attach two
! ctl guest set two --limit 64M >"$T/out" 2>&1 || fail "a limit without the swap for it"
grep -q 'are free there' "$T/out" || fail "unclear: $(cat "$T/out")"
# Resting, or it would bring its pages back as fast as they leave.
guest_ask two pause 'PATROL PAUSED' >/dev/null
! ctl guest out two >"$T/out" 2>&1 || fail "all out, onto too little swap"
grep -q 'swap is full' "$T/out" || fail "unclear: $(cat "$T/out")"
guest_ask two resume 'PATROL RESUMED' >/dev/null
guest_walks two 3000
guest_walks one 1000
guest_check two
guest_check one

# There is room again: all comes in.
say_available 4096
guest_end two
drum_stop
guest_walks one 10000
guest_check one
it_passed
