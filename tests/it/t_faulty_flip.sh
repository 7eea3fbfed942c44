#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Swap that returns other bytes than were written: a checksum finds each, and none is delivered.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/faulty.sh"
it_init

faulty_start disk 1G
faulty_loop disk
dev=$(faulty_dev disk)
drum_start
ctl swap on "$dev"
PATROL=--mib=128
guest_start one 256M
guest_up one
guest_attach one --limit 64M
wait_shrunk one $((64 * MIB))
swap_field_is "$dev" checksum-errors -eq 0 || fail "a checksum is wrong, and no bit was flipped"

# In one of seven reads a bit is wrong: it is right when the block is read again.
faulty_set disk read=flip/7
guest_patterns one 2000
ctl guest out one
guest_check one
guest_end one
assert_swap_free
flips=$(faulty_count disk 'read flip')
[ "$flips" -ge 50 ] || fail "only $flips bits were flipped"
swap_field_is "$dev" checksum-errors -eq "$flips" ||
	fail "$flips bits were flipped, and $(swap_field "$dev" checksum-errors) checksums wrong"
swap_field_is "$dev" read-errors -eq "$flips" ||
	fail "$flips bits were flipped, and $(swap_field "$dev" read-errors) reads wrong"
swap_field_is "$dev" write-errors -eq 0 || fail "no write failed, and some are counted"
assert_drum_lives
drum_stop
it_passed
