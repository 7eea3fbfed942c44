#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 30
# What ram: refuses goes to other devices, also where the next one has short runs only: swap
# is not full as long as any device has room.
. "$(dirname "$0")/lib.sh"
it_init

mkdir "$T/run"
mount -t tmpfs -o size=256M,mode=755 none "$T/run" || skip "no tmpfs"
at_exit "umount -l $T/run"
for dev in short:100M large:512M from:200M; do
	swap_make "$T/${dev%:*}" "${dev#*:}"
done
drum_start
ctl swap on "$T/short" --priority 5
ctl swap on "$T/large" --priority 0
GUEST_SMP=1
guest_start one 256M
guest_up one
guest_attach one --limit 85M
wait_shrunk one $((85 * MIB))
# Pages that come and go leave short runs behind.
guest_patterns one 3000
ctl swap on ram:32M --priority 9
for _ in 1 2 3; do
	guest_walks one 3000
	ctl guest out one || fail "there is room on $T/large"
done
swap_is ram:32M ram-refused -gt 1000 || fail "ram: takes what patrol writes"

# The same while a device is switched off, which is full of long runs.
ctl swap off ram:32M
ctl swap on "$T/from" --priority 9
guest_ask one pause 'PATROL PAUSED' >/dev/null
ctl guest set one --limit 256M
ctl guest in one
ctl guest out one
swap_is "$T/from" used -gt $((64 * MIB)) || fail "$T/from holds $(swap_field "$T/from" used) bytes"
swap_is "$T/short" used -gt 0 || fail "$T/short is empty"
ctl swap on ram:32M --priority 9
ctl guest set one --limit 16M
ctl swap off "$T/from" || fail "there is room on $T/large"
guest_check one
guest_end one
assert_swap_free
assert_drum_lives
drum_stop
it_passed
