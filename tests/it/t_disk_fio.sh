#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 35
# fio in a guest checks all that it reads: random mixes of every kind, past the page cache and
# through it, on a file system and on the disk itself; discards and zeroes; and afterwards all
# of it is looked at on the host, where the image is a file.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
disk_init

# 4 jobs of 8 MiB each, then 8 MiB for discards and zeroes
RAW="--filename=/dev/vdb --numjobs=4 --size=8m --offset_increment=8m --thread --verify=crc32c --ioengine=libaio"
HOLES=$((32 * MIB))

disk_drum_start
image_ext4 "$T/fs.img" 96M
truncate -s 40M "$T/raw.img"
random_file "$T/holes" $((8 * MIB)) holes
dd if="$T/holes" of="$T/raw.img" bs=1M seek=$((HOLES / MIB)) conv=notrunc status=none
disk_add fs "$T/fs.img"
disk_add raw "$T/raw.img"
disk_guest_start one 256M fs raw
disk_guest_up one
guest_do one 20 'mount -o discard /dev/vda /mnt'

# The disk itself.
n=0
for mix in '--bs=4k --iodepth=32 --direct=1' \
	'--bsrange=4k-128k --iodepth=16 --direct=1' \
	'--bs=128k --iodepth=4 --direct=1' \
	'--bsrange=4k-64k --iodepth=8 --direct=0 --fsync=16'; do
	n=$((n + 1))
	guest_do one 120 "fio_once raw$n $RAW $mix --rw=randwrite --do_verify=1 --verify_backlog=64 --io_size=4m"
done

# On the file system, several kinds at once, one with discards (which the file system makes
# of what is deleted).
guest_job one direct "fio_once direct --directory=/mnt --numjobs=2 --size=6m --thread --ioengine=libaio --direct=1 --iodepth=16 --rw=randwrite --bsrange=4k-128k --verify=crc32c"
guest_job one buffered "fio_once buffered --directory=/mnt --numjobs=2 --size=6m --ioengine=psync --rw=randrw --rwmixread=40 --bsrange=4k-64k --verify=crc32c --fsync=32"
guest_job one mapped "fio_once mapped --directory=/mnt --size=6m --ioengine=mmap --rw=randwrite --bs=4k --verify=crc32c"
guest_job one ring "fio_once ring --directory=/mnt --size=6m --ioengine=io_uring --direct=1 --iodepth=8 --rw=randwrite --bs=16k --verify=crc32c"
for job in direct buffered mapped ring; do
	guest_job_end one $job 120
done
guest_do one 60 'rm /mnt/direct* /mnt/mapped*; sync; fstrim /mnt'
disk_served fs discards

# What was discarded or zeroed is zero, its neighbours are as they were.
at() {
	echo $((HOLES + $1 * 1024))
}
guest_do one 60 "blkdiscard -z -o $(at 64) -l $((256 * 1024)) /dev/vdb &&
	fallocate -z -o $(at 1024) -l $((512 * 1024)) /dev/vdb &&
	fallocate -p -o $(at 3072) -l $((60 * 1024)) /dev/vdb &&
	blkdiscard -o $(at 4096) -l $((1024 * 1024)) /dev/vdb && sync"
disk_served raw zeroes
disk_served raw discards
guest_says one 60 "echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vdb bs=1M skip=$((HOLES / MIB)) | sha256sum" ' -$' >"$T/guest.sum"
# the last writes of all jobs, with seeds that the host knows
guest_do one 120 "fio_once last $RAW --direct=1 --iodepth=8 --rw=randwrite --bs=16k --randseed=4711 --do_verify=0"
guest_do one 60 'umount /mnt'
assert_disks_served fs raw
disk_guest_end one
disk_remove fs
disk_remove raw

assert_image_clean "$T/fs.img"
for file in buffered.0.0 ring.0.0; do
	image_dump "$T/fs.img" $file "$T/dumped"
	[ "$(stat -c %s "$T/dumped")" = $((6 * MIB)) ] || fail "$file on the image is $(stat -c %s "$T/dumped") bytes"
done
# shellcheck disable=SC2086 # words
fio --name=last ${RAW/\/dev\/vdb/$T/raw.img} --rw=randwrite --bs=16k --randseed=4711 --verify_only \
	--verify_fatal=1 >"$T/verify.log" 2>&1 || fail "fio of the host: $(tail -n 5 "$T/verify.log")"
for hole in 64/256 1024/512 3072/60 4096/1024; do
	dd if=/dev/zero of="$T/holes" bs=1K seek=${hole%/*} count=${hole#*/} conv=notrunc status=none
done
dd if="$T/raw.img" of="$T/holes.now" bs=1M skip=$((HOLES / MIB)) status=none
cmp "$T/holes" "$T/holes.now" || fail "holes are elsewhere"
[ "$(cut -d' ' -f1 "$T/guest.sum")" = "$(sum_of "$T/holes")" ] || fail "the guest has read something else"
[ $(($(stat -c '%b * 512' "$T/raw.img"))) -lt $((40 * MIB - 512 * 1024)) ] || fail "nothing was discarded"
disk_drum_stop
it_passed
