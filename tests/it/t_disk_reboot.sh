#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 40
# A guest reboots, by itself and by resets from outside in the middle of I/O: each time the
# disks are there again, and hold what was synced.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
disk_init

RESETS=2
WORK="--ioengine=libaio --direct=1 --iodepth=32 --rw=randwrite --bsrange=4k-128k --verify=crc32c --do_verify=1 --verify_backlog=64"

disk_drum_start
image_ext4 "$T/fs.img" 64M
truncate -s 32M "$T/raw.img"
disk_add fs "$T/fs.img"
disk_add raw "$T/raw.img"
disk_guest_start one 256M fs raw
disk_guest_up one
guest_do one 20 'mount /dev/vda /mnt; echo 0 >/mnt/boots; sync; umount /mnt'

# boot_again COMMAND...: it comes up anew, and what was synced is there
boots=0
boot_again() {
	local from said
	from=$(lines_of "$T/one.log")
	"$@"
	disk_guest_up one 90 "$from"
	# the file system was not unmounted: its journal is replayed
	guest_do one 60 'mount /dev/vda /mnt'
	said=$(guest_says one 20 'sed s/^/BOOTS\ / /mnt/boots' '^BOOTS')
	[ "$said" = "BOOTS $boots" ] || fail "after boot $boots the disk says $said"
	boots=$((boots + 1))
	guest_do one 60 "echo $boots >/mnt/boots; sync"
}

boot_again guest_job one reboot 'reboot -f'
for ((n = 0; n < RESETS; n++)); do
	had=$(fio_runs one raw)
	guest_job one raw "work raw $WORK --filename=/dev/vdb --size=4m --numjobs=2 --offset_increment=4m"
	guest_job one fs "work fs $WORK --directory=/mnt --size=8m"
	wait_until 60 fio_has one raw $((had + 1)) || fail "fio makes no run"
	# hardly ever is nothing under way
	boot_again guest_qmp one system_reset >/dev/null
done
# Reset twice in a row: the firmware has just begun with it.
boot_again eval 'guest_qmp one system_reset; guest_qmp one system_reset' >/dev/null
# Paused for a while with I/O under way, then reset without having gone on.
guest_job one raw "work raw $WORK --filename=/dev/vdb --size=8m"
guest_qmp one stop >/dev/null
guest_qmp one cont >/dev/null
guest_qmp one stop >/dev/null
boot_again eval 'guest_qmp one system_reset; guest_qmp one cont' >/dev/null

guest_do one 60 "fio_once last $WORK --filename=/dev/vdb --size=8m"
assert_disks_served fs raw
guest_do one 60 'umount /mnt'
disk_guest_end one
disk_remove fs
disk_remove raw
assert_image_clean "$T/fs.img"
image_dump "$T/fs.img" /boots "$T/boots"
[ "$(cat "$T/boots")" = $boots ] || fail "the image says $(cat "$T/boots") boots, not $boots"
disk_drum_stop
it_passed "$boots boots"
