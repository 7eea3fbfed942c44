#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Switching a swap device off beside a ram: device, which comes first and does not take
# everything: what it refuses goes to the next device, by the same pager.
. "$(dirname "$0")/lib.sh"
it_init

LIMIT=$((48 * MIB))
A=$T/a
B=$T/b
RAM=ram:256M

# ram: keeps its pages in the run directory, which is memory
mkdir "$T/run"
mount -t tmpfs -o mode=700,size=512m tmpfs "$T/run" 2>/dev/null || skip "no mount"
at_exit "umount -l $T/run"
drum_start
swap_make "$A" 256M
swap_make "$B" 256M
ctl swap on "$A"
guest_start one 192M
guest_up one
guest_attach one --limit $LIMIT
wait_shrunk one $LIMIT
guest_ask one pause 'PATROL PAUSED' >/dev/null
ctl swap on "$RAM" --priority 1
ctl swap on "$B"
old=$(pager)
ctl swap off "$A" 2>"$T/err" || fail "$(cat "$T/err")"
! another_pager "$old" || fail "the pager has died: $(tail -n 5 "$T/drumd.log")"
! swap_listed "$A" || fail "$A is still listed"
swap_is "$B" used -gt 0 || fail "$RAM took everything, nothing was tried"
guest_check one
guest_end one
assert_swap_free
ctl swap off "$B"
ctl swap off "$RAM"
assert_drum_lives
drum_stop
it_passed "ram: refused some, and the pager lives"
