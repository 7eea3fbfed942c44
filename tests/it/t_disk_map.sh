#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 65
# timeout: 600
# What a guest has read from its disk leaves memory without a write, and comes back from the
# image: also after the pager was killed, and before the guest overwrites it there.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
disk_needs_drum
disk_init openssl

PAGES=12000	# of the 16384 that the file has

drum_start
swap_on 512M
mkdir "$T/root"
random_file "$T/root/data" $((64 * MIB)) map
sum=$(sum_of "$T/root/data")
# blocks of a page, as file systems that are not small have them
truncate -s 160M "$T/fs.img"
mke2fs -q -F -t ext4 -b 4096 -d "$T/root" "$T/fs.img" >"$T/mke2fs.log" 2>&1 || fail "mke2fs: $(cat "$T/mke2fs.log")"
disk_add fs "$T/fs.img"
DISK_PATROL=--mib=32 disk_guest_start one 288M fs
disk_guest_up one
guest_up one
guest=${GUEST_NAME[one]}
ctl guest set "$guest" --limit 192M
guest_do one 20 'mount /dev/vda /mnt'

# has_sum: what the guest reads
has_sum() {
	guest_do one 120 "[ \$(sha256sum </mnt/data | cut -c1-64) = $sum ]"
}

# all_out FIELD: and some of it without a write
all_out() {
	ctl guest out "$guest" 2>>"$T/warnings.log"
	disk_is fs image-pages -gt $PAGES || fail "only $(disk_field fs image-pages) pages are in the image: $(ctl disk show fs --json; ctl guest show "$guest" --json)"
}

has_sum
all_out
avoided=$(disk_field fs writes-avoided)
[ "$avoided" -gt $PAGES ] || fail "only $avoided writes avoided"
has_sum
[ "$(disk_field fs image-reads)" -gt $PAGES ] || fail "only $(disk_field fs image-reads) pages came from the image"
disk_is fs image-pages -lt $PAGES || fail "it has not come in"

# What is overwritten there comes in before.  Not through the guest's cache, which would have
# its pages first.
all_out
guest_do one 120 'dd if=/dev/urandom of=/mnt/data bs=1M count=64 conv=notrunc oflag=direct 2>/dev/null; sync'
disk_is fs brought-in -gt $PAGES || fail "only $(disk_field fs brought-in) pages were brought in"
# shellcheck disable=SC2016 # for the guest to expand
sum=$(guest_says one 120 'echo "DATA $(sha256sum </mnt/data)"' '^DATA [0-9a-f]{64}')
sum=${sum#DATA } sum=${sum%% *}

# the next pager finds it
all_out
PAGER=$(pager)
kill -KILL "$PAGER"
wait_until 20 another_pager "$PAGER" || fail "no pager after $PAGER"
wait_until 20 disk_state_is fs connected || fail "the disk is $(disk_field fs state)"
disk_is fs image-pages -gt $((PAGES / 2)) || fail "only $(disk_field fs image-pages) are found in the image"
has_sum
guest_ask one 'patrol check' 'PATROL CHECKED.* bad=0' 120 >/dev/null
assert_disks_ok one
assert_disks_served fs
guest_do one 60 'umount /mnt'
disk_guest_end one
assert_image_clean "$T/fs.img"
image_dump "$T/fs.img" /data "$T/data"
[ "$(sum_of "$T/data")" = "$sum" ] || fail "/data of the image is not what the guest has read"
assert_swap_free
disk_remove fs
disk_drum_stop
it_passed "$avoided writes avoided"
