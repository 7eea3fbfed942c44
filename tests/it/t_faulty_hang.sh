#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 80
# Swap that answers nothing for a while, and a pager that is killed meanwhile: what it was
# writing may reach the disk after the next pager has begun.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/faulty.sh"
it_init
limit=$((64 * MIB))

pager_of() {
	pgrep -P "$DRUMD_PID" drum-pager
}

# Any one but the given, and it answers.
another_pager() {
	local now
	now=$(pager_of) && [ "$now" != "$1" ] && ctl stat >/dev/null 2>&1
}

faulty_start disk 2G
faulty_loop disk
drum_start
ctl swap on "$(faulty_dev disk)"
PATROL=--mib=128
guest_start one 256M
guest_up one
guest_attach one --limit 64M
wait_shrunk one $limit
guest_walks one 2000

# All that was asked for is answered, later.
for what in write read; do
	faulty_set disk $what=hang
	faulty_wait disk "$what hang" 1
	ctl stat >/dev/null
	faulty_set disk none
	guest_walks one 5000
done
guest_check one

# The pager dies with I/O under way.
for what in write=hang 'read=hang write=hang'; do
	# shellcheck disable=SC2086 # words
	faulty_set disk $what
	faulty_wait disk '(read|write) hang' 1
	old=$(pager_of)
	kill -KILL "$old"
	wait_until 30 another_pager "$old" || fail "no other pager"
	faulty_set disk none
	guest_walks one 10000
	ctl guest out one
	guest_check one
done
guest_end one
assert_swap_free 90
assert_drum_lives
drum_stop
it_passed
