#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A balloon is blown up and let down while the guest is paged: blocks of dead pages are free.
. "$(dirname "$0")/lib.sh"
it_init

balloon_is() {
	local actual
	actual=$(guest_qmp one query-balloon | json actual)
	test "$actual" "$1" "$2"
}

balloon() { # balloon MIB: what the guest shall have
	guest_qmp one balloon "{\"value\": $(($1 * MIB))}" >/dev/null
}

swap_falls_to() {
	[ "$(swap_used)" -le "$1" ]
}

drum_start
swap_on 1G
# patrol in 240 MiB: there must be something that a balloon can take.
PATROL=--mib=240
guest_start one 512M -device virtio-balloon-pci,id=balloon
guest_up one
guest_attach one --limit 128M
wait_shrunk one $((128 * MIB))

# Under load, up and down.
for round in 1 2; do
	balloon 360
	wait_until 60 balloon_is -le $((364 * MIB)) || fail "round $round: the balloon does not grow"
	guest_walks one 5000
	balloon 512
	wait_until 60 balloon_is -ge $((508 * MIB)) || fail "round $round: the balloon does not shrink"
	guest_walks one 5000
done
guest_check one

# What patrol frees lies on swap; the balloon takes it, and its blocks are free.
guest_ask one pause 'PATROL PAUSED' >/dev/null
guest_ask one 'free 160' 'PATROL FREED' >/dev/null
ctl guest out one
used=$(swap_used)
discarded=$(guest_field one pages-discarded)
balloon 192
wait_until 90 balloon_is -le $((196 * MIB)) || fail "the balloon does not grow"
wait_until 20 swap_falls_to $((used - 120 * MIB)) ||
	fail "swap used fell from $((used / MIB)) to $(($(swap_used) / MIB)) MiB only"
guest_is one pages-discarded -gt "$discarded" || fail "no page counted as discarded"
assert_resident one
guest_check one
balloon 512
wait_until 60 balloon_is -ge $((508 * MIB)) || fail "the balloon does not shrink"
# The same pages anew: they must not come back from swap.
guest_ask one 'alloc 160' 'PATROL READY' >/dev/null
guest_ask one resume 'PATROL RESUMED' >/dev/null
guest_walks one 10000
guest_check one
guest_end one
assert_swap_free
drum_stop
it_passed
