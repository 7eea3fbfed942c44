#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 25
# The image is a qcow2 with a backing file, that qemu-nbd serves.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
disk_init qemu-nbd qemu-img openssl

WORK="--ioengine=libaio --direct=1 --iodepth=32 --rw=randwrite --bsrange=4k-128k --verify=crc32c --do_verify=1"

disk_drum_start
mkdir "$T/root"
random_file "$T/root/data" $((8 * MIB)) qcow2
sum=$(sum_of "$T/root/data")
image_ext4 "$T/base.img" 64M "$T/root"
cp "$T/base.img" "$T/base.copy"
qemu-img create -q -f qcow2 -b "$T/base.img" -F raw "$T/disk.qcow2"
nbd_serve qcow2 qemu-nbd --persistent --shared=4 --socket="$T/nbd-qcow2.sock" --format=qcow2 --discard=unmap \
	--cache=none --aio=native "$T/disk.qcow2"
disk_add disk "$(nbd_uri qcow2)"
disk_guest_start one 256M disk
disk_guest_up one
guest_says one 20 'size /dev/vda' "^SIZE /dev/vda $((64 * MIB))" >/dev/null
guest_do one 20 'mount /dev/vda /mnt'
guest_job one sum "watch_sum /mnt/data $sum"
guest_job one fs "work fs $WORK --directory=/mnt --size=6m --numjobs=2"
wait_until 90 fio_has one fs 2 || fail "fio makes no runs"
wait_until 90 sum_has one 2 || fail "the file is not read"
work_stop one 60 sum fs
guest_do one 60 'cp /mnt/data /mnt/copy; rm /mnt/fs.*; sync; fstrim /mnt; umount /mnt'
assert_disks_served disk
disk_guest_end one
disk_remove disk
nbd_end qcow2
qemu-img check -q "$T/disk.qcow2" || fail "qemu-img check: $(qemu-img check "$T/disk.qcow2" 2>&1)"
qemu-img convert -O raw "$T/disk.qcow2" "$T/raw.img"
assert_image_clean "$T/raw.img"
for file in data copy; do
	image_dump "$T/raw.img" /$file "$T/dumped"
	[ "$(sum_of "$T/dumped")" = "$sum" ] || fail "another /$file in the qcow2"
done
cmp "$T/base.img" "$T/base.copy" || fail "the backing file has changed"
disk_drum_stop
it_passed
