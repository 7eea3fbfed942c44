#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# No worker asks for memory once its guest runs, whatever it does for it: a fault would wait
# for as long as that takes, and when there is none it would be for ever.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/faulty.sh"
it_init
plugin=$DRUM_BUILD/tests/it/count_alloc.so
[ -e "$plugin" ] || fail "no $plugin; build it first"
! grep -aq libasan <(ldd "$DRUM_BUILD/drum-pager") || skip "the sanitizer wants to be loaded first"

count_on() {
	printf '\1' | dd of="$T/count" conv=notrunc status=none
}

# => how often, since count_on
counted() {
	od -An -t u8 -j 8 -N 8 "$T/count" | tr -d ' '
}

callers() {
	od -An -v -t x8 -j 16 -N 512 -w8 "$T/count" | grep -v ' 0000000000000000' | sort | uniq -c
}

assert_none() {
	[ "$(counted)" = 0 ] || fail "$1: workers asked for memory $(counted) times, first at" \
		"$(callers | tr '\n' ';')"
}

truncate -s 4096 "$T/count"
faulty_start disk 1G
faulty_loop disk
export COUNT_ALLOC=$T/count
LD_PRELOAD=$plugin drum_start
unset COUNT_ALLOC
ctl swap on "$(faulty_dev disk)" --priority 5
# Full after a while: then events come from workers.
swap_make "$T/small" 32M
ctl swap on "$T/small" --priority 10
grep -aq count_alloc.so "/proc/$(pager)/maps" || fail "the pager is not looked at"
PATROL=--share=60
guest_start one 256M
guest_up one
guest_attach one --limit 64M
guest_walks one 2000

count_on
guest_patterns one 5000
assert_none 'faults and page-out'
ctl guest out one
guest_check one
ctl guest set one --limit 48M
ctl guest set one --limit 256M
ctl guest in one
ctl guest set one --limit 64M
wait_shrunk one $((64 * MIB))
assert_none 'commands'

# Errors are told, from where they happen.
events_start
faulty_set disk read=EIO/50 write=EIO/50
faulty_wait disk '(read|write) EIO' 20
faulty_set disk none
wait_for 'SWAP_DEVICE_ERROR' "$T/events.log" 20 >/dev/null
guest_walks one 2000
assert_none 'errors'

# Blocks that move.
ctl swap off "$T/small"
guest_walks one 2000
assert_none 'swap off'
guest_check one
assert_none 'all'
guest_end one
drum_stop
it_passed
