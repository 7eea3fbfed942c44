#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Free page reporting: what the guest frees is discarded, from memory and from swap.
. "$(dirname "$0")/lib.sh"
it_init

swap_falls_to() {
	[ "$(swap_used)" -le "$1" ]
}

drum_start
swap_on 1G
guest_start one 512M -device virtio-balloon-pci,id=balloon,free-page-reporting=on
guest_up one
guest_attach one --limit 160M
wait_shrunk one $((160 * MIB))

# Under load: memory goes and comes all the time.
for _ in 1 2 3; do
	discarded=$(guest_field one pages-discarded)
	guest_ask one 'free 200' 'PATROL FREED' >/dev/null
	guest_walks one 3000
	wait_until 30 guest_is one pages-discarded -gt "$discarded" || fail "nothing was discarded"
	guest_ask one 'alloc 200' 'PATROL READY' >/dev/null
	guest_walks one 3000
done
guest_check one

# Asleep and all on swap: what is freed then frees its blocks.
guest_ask one pause 'PATROL PAUSED' >/dev/null
ctl guest out one
used=$(swap_used)
discarded=$(guest_field one pages-discarded)
guest_ask one 'free 240' 'PATROL FREED' >/dev/null
wait_until 60 swap_falls_to $((used - 160 * MIB)) ||
	fail "swap used fell from $((used / MIB)) to $(($(swap_used) / MIB)) MiB only"
guest_is one pages-discarded -gt "$discarded" || fail "no page counted as discarded"
assert_resident one
guest_check one
guest_ask one 'alloc 240' 'PATROL READY' >/dev/null
guest_ask one resume 'PATROL RESUMED' >/dev/null
guest_walks one 10000
guest_check one
guest_end one
assert_swap_free
drum_stop
it_passed
