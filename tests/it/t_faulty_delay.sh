#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 45
# Swap that takes half a second for each write (nbdkit's delay filter) and for each read.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/faulty.sh"
it_init

drum_start
swap_on 512M
# Little that is touched: at half a second for each fault, more would be a longer test and
# no better one.  What is never touched again leaves for a fast device first.
PATROL=--mib=8
guest_start one 128M
guest_up one
guest_attach one
ctl guest out one
guest_walks one 20000

faulty_start disk 1G --filter=delay delay-write=500ms
faulty_loop disk
dev=$(faulty_dev disk)
ctl swap on --priority 10 "$dev"
# Not before: to look for signatures takes dozens of reads, one after the other.
faulty_set disk read=500ms
guest_ask one pause 'PATROL PAUSED' >/dev/null
limit=$(($(guest_field one resident) - 2 * MIB))
ctl guest set one --limit $limit
wait_until 60 guest_is one resident -le $limit || fail "$(guest_field one resident) bytes are resident"
ctl guest set one --limit 128M
guest_ask one resume 'PATROL RESUMED' >/dev/null
guest_walks one 1000
guest_check one
swap_field_is "$dev" write-bytes -gt $MIB || fail "$(swap_field "$dev" write-bytes) bytes went to it"
faulty_has disk 'read 500ms' 10 || fail "hardly any read was slow"
[ "$(guest_field one fault-max-us | cut -d. -f1)" -ge 500000 ] || fail "no fault took half a second"
for field in read-errors write-errors bad; do
	swap_field_is "$dev" $field -eq 0 || fail "slow is no error, and $field is not 0"
done

# Quick again: what is out comes in at once.
faulty_set disk none
ctl guest in one
guest_is one swapped -eq 0 || fail "$(guest_field one swapped) bytes are out"
guest_check one
guest_end one
assert_swap_free
assert_drum_lives
drum_stop
it_passed
