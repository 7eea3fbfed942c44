#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 30
# Swap that cannot be written to: pages stay in memory, and nothing is lost.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/faulty.sh"
it_init
limit=$((64 * MIB))

faulty_start disk 4G
faulty_loop disk
dev=$(faulty_dev disk)
drum_start
ctl swap on "$dev"
PATROL=--mib=128
guest_start one 256M
guest_up one

# Every write fails.
faulty_set disk write=EIO
guest_attach one --limit 64M
faulty_wait disk 'write EIO' 20
guest_walks one 1000
guest_is one swapped -eq 0 || fail "swapped out to where nothing can be written"
guest_is one write-errors -gt 0 || fail "the guest's write-errors are 0"
swap_field_is "$dev" write-errors -gt 0 || fail "the device's write-errors are 0"
swap_field_is "$dev" bad -gt 0 || fail "no block is bad"
grep -q "of $dev cannot be written: Input/output error" "$T/drumd.log" || fail "the log does not say it"

# It recovers, and so does the guest.
faulty_set disk none
wait_shrunk one $limit
guest_walks one 2000
guest_check one

# The disk is full, whatever it said its size was.
faulty_set disk write=ENOSPC
ctl guest set one --limit 48M
faulty_wait disk 'write ENOSPC' 20
guest_walks one 1000
grep -q "$dev: error: write of .*: No space left" "$T/drumd.log" || fail "the log does not say it"
faulty_set disk none
wait_shrunk one $((48 * MIB))
guest_check one

# Every third request fails.
faulty_set disk write=EIO/3
guest_walks one 5000
ctl guest out one
guest_patterns one 2000
faulty_has disk 'write EIO' 50 || fail "hardly any write failed"
guest_check one
faulty_set disk none
guest_check one

guest_end one
assert_swap_free
swap_field_is "$dev" bad -gt 0 || fail "the bad blocks are forgotten"
drum_stop

# The same blocks fail each time: each of these is found out, and no other.
drum_start
faulty_set disk write=EIO%50
ctl swap on "$dev"
guest_start two 256M
guest_up two
guest_attach two --limit 64M
guest_walks two 5000
ctl guest out two
guest_check two
guest_end two
assert_swap_free
bad=$(faulty_blocks disk 'write EIO')
[ "$bad" -gt 100 ] || fail "only $bad blocks failed"
swap_field_is "$dev" bad -eq $((bad * 4096)) ||
	fail "$bad blocks failed, and $(swap_field "$dev" bad) bytes are bad"
assert_drum_lives
drum_stop
it_passed
