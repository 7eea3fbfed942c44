#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A block device as swap; one that holds something else is refused.
. "$(dirname "$0")/lib.sh"
it_init
for tool in losetup mkfs.ext4; do
	command -v $tool >/dev/null || skip "no $tool"
done

fallocate -l 512M "$T/image"
loop=$(losetup --find --show --direct-io=on "$T/image" 2>/dev/null) || skip "no loop device"
at_exit "losetup -d $loop"

drum_start
mkfs.ext4 -q "$loop"
ctl swap on "$loop" 2>"$T/err" && fail "a file system was taken for swap"
grep -q ext4 "$T/err" || fail "not said what it holds: $(cat "$T/err")"
mkdir "$T/mnt"
mount "$loop" "$T/mnt" || skip "cannot mount"
at_exit "umount $T/mnt"
ctl swap on "$loop" 2>"$T/err" && fail "a mounted device was taken for swap"
grep -q 'in use' "$T/err" || fail "not said that it is mounted: $(cat "$T/err")"
umount "$T/mnt"
e2fsck -fn "$loop" >/dev/null 2>&1 || fail "refused, but written to"

wipefs -qa "$loop"
ctl swap on "$loop"
[ "$(ctl swap list --json | json type)" = block ] || fail "not listed as a block device"
ctl swap on "$loop" 2>/dev/null && fail "taken twice"
guest_start one 256M
guest_up one
guest_attach one --limit 64M
wait_shrunk one $((64 * MIB))
guest_patterns one 5000
ctl guest out one
guest_check one
guest_end one
assert_swap_free
drum_stop
it_passed
