#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Reads and writes that fail by chance (nbdkit's error filter).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/faulty.sh"
it_init

nbdkit_start disk --filter=error error-pread-rate=10% error-pwrite-rate=10% error-pwrite=ENOSPC \
	error-file="$T/inject" memory size=1G
faulty_loop disk
dev=$(faulty_dev disk)
drum_start
ctl swap on "$dev"
PATROL=--mib=128
guest_start one 256M
guest_up one
: >"$T/inject"
guest_attach one --limit 64M
for _ in 1 2 3; do
	guest_walks one 3000
	ctl guest out one
done
guest_check one
for field in read-errors write-errors; do
	guest_is one $field -gt 0 || fail "the guest's $field are 0"
	swap_field_is "$dev" $field -gt 0 || fail "the device's $field are 0"
done
# a disk that is full is no reason to give its blocks up
swap_field_is "$dev" bad -eq 0 || fail "$(swap_field "$dev" bad) bytes are bad"
rm "$T/inject"
guest_check one
guest_end one
assert_swap_free
assert_drum_lives
drum_stop
it_passed
