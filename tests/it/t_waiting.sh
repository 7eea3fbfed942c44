#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A guest that cannot be taken over, since its swap is not there, waits and is listed with the
# reason; nothing of it is touched, and when its swap is back it goes on.  One whose VMM is
# killed while it waits is forgotten.
. "$(dirname "$0")/lib.sh"
it_init

waits() {
	guest_is one state = waiting
}

drum_start
swap_on 256M
guest_start one 128M
guest_up one
guest_attach one --limit 48M
wait_shrunk one $((48 * MIB))
guest_walks one 1000

kill -KILL "$DRUMD_PID"
wait "$DRUMD_PID" 2>/dev/null || true
mv "$T/swap" "$T/swap.away"
drum_start
wait_until 20 waits || fail "it is $(guest_field one state)"
guest_field one reason | grep -q 'device 1, block .* not switched on' || fail "reason: $(guest_field one reason)"
from=$(lines_of "$T/one.log")
refused 'guest one waits: .*not switched on' guest set one --limit 64M
refused 'guest one waits: ' guest out one
refused 'guest one waits: ' guest detach one
# it does not get anything in place of its pages: it stands still once it needs one
stands() {
	local now
	now=$(patrol_field one checked)
	sleep 2.5
	[ "$now" = "$(patrol_field one checked)" ]
}
wait_until 30 stands || fail "the guest goes on"
drum_stop

mv "$T/swap.away" "$T/swap"
drum_start
wait_until 20 guest_is one state = running || fail "it is $(guest_field one state): $(guest_field one reason)"
guest_walks one 1000
guest_check one

kill -KILL "$DRUMD_PID"
wait "$DRUMD_PID" 2>/dev/null || true
mv "$T/swap" "$T/swap.away"
drum_start
wait_until 20 waits || fail "it is $(guest_field one state)"
guest_kill one
wait_until 20 guest_not_listed one || fail "its VMM is dead, and it is $(guest_field one state)"
[ ! -e "$T/run/guest-one.swap" ] || fail "its file is left"
assert_drum_lives
drum_stop
it_passed
