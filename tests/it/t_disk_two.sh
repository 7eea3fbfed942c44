#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 30
# Two guests with two disks each: one of its own, and one that both have, read-only.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
disk_init openssl

WORK="--ioengine=libaio --direct=1 --iodepth=16 --rw=randwrite --bsrange=4k-64k --verify=crc32c --do_verify=1"

disk_drum_start
mkdir "$T/root"
random_file "$T/root/data" $((8 * MIB)) two
sum=$(sum_of "$T/root/data")
image_ext4 "$T/ro.img" 32M "$T/root"
cp "$T/ro.img" "$T/ro.copy"
for guest in one two; do
	truncate -s 32M "$T/$guest.img"
	disk_add "$guest" "$T/$guest.img"
	disk_add "ro-$guest" "$T/ro.img" --read-only
done
[ "$DISK_PEER" != drum ] || {
	# one writer, or readers
	refused 'has it open' disk add again --image "$T/one.img"
	refused 'has it open' disk add again --image "$T/ro.img"
	refused 'exist|there is a disk|already' disk add one --image "$T/ro.copy"
}
GUEST_SMP=1
for guest in one two; do
	disk_guest_start $guest 192M $guest ro-$guest
done
for guest in one two; do
	disk_guest_up $guest 90
	guest_says $guest 20 'cat /sys/block/vda/ro' '^0' >/dev/null
	guest_says $guest 20 'cat /sys/block/vdb/ro' '^1' >/dev/null
	guest_do $guest 20 'mount -o ro /dev/vdb /mnt'
	guest_job $guest own "work own $WORK --filename=/dev/vda --size=8m"
	guest_job $guest sum "watch_sum /mnt/data $sum"
done
for guest in one two; do
	wait_until 90 fio_has $guest own 2 || fail "$guest: fio makes no runs"
	wait_until 90 sum_has $guest 2 || fail "$guest: reads nothing"
done
guest_do one 20 '! dd if=/dev/zero of=/dev/vdb bs=4k count=1 oflag=direct 2>/dev/null'
# One ends, the other goes on.
work_stop one 60 own sum
guest_do one 60 'umount /mnt'
guest_do one 60 "fio_once last ${WORK/--bsrange=4k-64k/--bs=16k} --filename=/dev/vda --size=8m --randseed=1"
disk_guest_end one
had=$(fio_runs two own)
wait_until 60 fio_has two own $((had + 1)) || fail "two does not go on without one"
work_stop two 60 own sum
guest_do two 60 "fio_once last ${WORK/--bsrange=4k-64k/--bs=16k} --filename=/dev/vda --size=8m --randseed=2"
guest_do two 60 'umount /mnt'
assert_disks_served two ro-two
disk_guest_end two
# Each has what its own guest wrote.
n=0
for guest in one two; do
	n=$((n + 1))
	disk_remove $guest
	disk_remove ro-$guest
	fio --name=last --filename="$T/$guest.img" --size=8m --rw=randwrite --bs=16k --randseed=$n --verify=crc32c \
		--verify_only --verify_fatal=1 >"$T/verify.log" 2>&1 || fail "$guest: fio of the host: $(tail -n 5 "$T/verify.log")"
done
cmp "$T/ro.img" "$T/ro.copy" || fail "the read-only image has changed"
disk_drum_stop
it_passed
