#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 30
# timeout: 600
# Swap on two devices that hold the same: either may fail, and no page is lost or old.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/faulty.sh"
it_init

# half_of PATH: "STATE LACKING", of the half of the mirror $A
half_of() {
	ctl swap show "$A" --json | "$IT_PYTHON" -c '
import json, sys
dev = json.load(sys.stdin)
dev = dev[0] if isinstance(dev, list) else dev
for half in dev["halves"]:
    if half["path"] == sys.argv[1]:
        print(half["state"], half["lacking"])' "$1"
}

half_is() { # half_is PATH STATE
	[ "$(half_of "$1" | cut -d' ' -f1)" = "$2" ]
}

events_of() {
	grep -ac "$1 " "$T/events.log" || true
}

has_events() { # has_events NAME MANY
	[ "$(events_of "$1")" -ge "$2" ]
}

pager_dies() {
	local old
	old=$(pager)
	kill -KILL "$old"
	wait_until 20 another_pager "$old" || fail "no pager after $old was killed"
	wait_until 20 guest_is one state = running || fail "the guest was not taken over"
}

# sectors_of DEVICE: that were written
sectors_of() {
	awk '{ print $7 }' "/sys/block/${1#/dev/}/stat"
}

for name in a b c; do
	faulty_start $name 512M
	faulty_loop $name
done
A=$(faulty_dev a)
B=$(faulty_dev b)
C=$(faulty_dev c)
drum_start
events_start
refused '.' swap on "$A" --mirror "$A"
ctl swap on "$A" --mirror "$B"
refused '.' swap mirror "$A" "$C"
GUEST_SMP=1
PATROL=--mib=128 guest_start one 256M
guest_up one
guest_attach one --limit 64M
wait_shrunk one $((64 * MIB))
guest_walks one 2000
for dev in "$A" "$B"; do
	half_is "$dev" whole || fail "half $dev is $(half_of "$dev")"
	[ "$(sectors_of "$dev")" -gt $((32 * MIB / 512)) ] || fail "$(sectors_of "$dev") sectors of $dev written"
done

# A wrong bit of one half: the other has the right one.
faulty_set a read=flip/3
guest_walks one 2000
ctl guest out one
guest_check one
faulty_has a 'read flip' 1 || fail "no bit was flipped"
swap_is "$A" checksum-errors -gt 0 || fail "no checksum was wrong"
faulty_set a none

# One half fails in everything.
faulty_set a read=EIO write=EIO
guest_walks one 2000
ctl guest out one
wait_until 30 has_events SWAP_MIRROR_LOST 1 || fail "no event of the lost half"
half_is "$A" lost || fail "the half that fails is $(half_of "$A")"
guest_check one
[ "$(events_of SWAP_MIRROR_LOST)" = 1 ] || fail "$(events_of SWAP_MIRROR_LOST) events of one lost half"
guest_is one poisoned -eq 0 || fail "pages were poisoned"

# The pager dies; the half can be read again, and is old.
pager_dies
faulty_set a none
guest_walks one 1000
pager_dies
# it listened to the one that died
events_start
guest_walks one 1000
guest_check one

# Another takes its place, and is filled; then the first other may fail.
faulty_set a read=EIO write=EIO
ctl guest out one
wait_until 60 half_is "$A" lost || fail "half $A is $(half_of "$A")"
wholes=$(events_of SWAP_MIRROR_WHOLE)
ctl swap mirror "$A" "$C"
A=$C
wait_until 120 half_is "$C" whole || fail "half $C is $(half_of "$C")"
wait_until 20 has_events SWAP_MIRROR_WHOLE $((wholes + 1)) || fail "no event that it is whole"
faulty_set b read=EIO write=EIO
guest_walks one 2000
ctl guest out one
guest_check one
half_is "$B" lost || fail "the second half that fails is $(half_of "$B")"
guest_is one poisoned -eq 0 || fail "pages were poisoned"

# Off, from the half that is left.
swap_make "$T/file" 512M
ctl swap on "$T/file"
ctl swap off "$A" 2>"$T/err" || fail "$(cat "$T/err")"
guest_check one
guest_end one
assert_swap_free
ctl swap off "$T/file"
assert_drum_lives
drum_stop
it_passed
