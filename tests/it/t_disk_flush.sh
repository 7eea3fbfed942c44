#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 20
# A flush that the guest has been told of is durable.  Its disk is on a server that logs what it
# is asked to do; in the guest a program writes, flushes, and marks on the same disk that the
# flush has come back.  The disk as it would be had it lost, at any marker, all that no flush
# had followed, must hold what the program knew to be there, raw and by way of ext4.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
disk_init nbdkit

RAW_STEPS=150
FILE_STEPS=60
CUTS=6
FS=$((32 * MIB))	# behind it is a block for the marker

[ -e "$DRUM_BUILD/tests/it/writelog.so" ] || skip "no writelog.so (it needs nbdkit-plugin-dev and another configure)"

replay() { # replay NAME WORD...
	"$IT_PYTHON" -IS "$IT_SRC/replay" "$T/$1.first" "$T/$1.writes" "${@:2}"
}

disk_drum_start
truncate -s $((FS + 4096)) "$T/raw.img"
image_ext4 "$T/fs.img" $FS
truncate -s $((FS + 4096)) "$T/fs.img"
for name in raw fs; do
	cp "$T/$name.img" "$T/$name.first"
	nbd_serve $name nbdkit --foreground --unix "$T/nbd-$name.sock" "$DRUM_BUILD/tests/it/writelog.so" \
		file="$T/$name.img" log="$T/$name.writes"
	disk_add $name "$(nbd_uri $name)"
done
disk_guest_start one 256M raw fs
disk_guest_up one
# the storage daemon says that there is no cache, and does as if there were one
[ "$DISK_PEER" = drum ] || guest_do one 20 'echo "write back" | tee /sys/block/vda/cache_type >/sys/block/vdb/cache_type'
guest_says one 20 'cat /sys/block/vd[ab]/cache_type | uniq -c' '2 write back' >/dev/null
guest_do one 120 "flusher /dev/vda $((FS / 4096)) $RAW_STEPS /dev/vda $FS"
guest_do one 20 'mount /dev/vdb /mnt'
guest_do one 120 "flusher /mnt/file 2048 $FILE_STEPS /dev/vdb $FS"
guest_do one 60 'umount /mnt'
disk_served fs flushes

# Written through: durable without a flush, or with one that is asked for by who serves the disk
guest_do one 20 'echo "write through" >/sys/block/vda/cache_type'
guest_do one 120 "flusher /dev/vda 512 $RAW_STEPS /dev/vda $FS direct"
assert_disks_served raw fs
disk_guest_end one
for name in raw fs; do
	disk_remove $name
	nbd_end $name
done

said=$(replay raw raw $FS) || fail "$said"
say "raw: $said"
read -r marks flushes <<<"$(replay fs count $FS)"
[ "$marks" = $FILE_STEPS ] || fail "$marks markers of $FILE_STEPS on the file system's disk"
[ "$flushes" -ge $FILE_STEPS ] || fail "only $flushes flushes on the file system's disk"
for ((n = 0; n < CUTS; n++)); do
	nth=$((n * (FILE_STEPS - 1) / (CUTS - 1)))
	for seed in none $n; do
		step=$(replay fs cut $FS $nth "$T/cut.img" "$seed")
		truncate -s $FS "$T/cut.img"
		status=0
		e2fsck -fy "$T/cut.img" >"$T/e2fsck.log" 2>&1 || status=$?
		# 1: the journal was replayed, or a little was put right
		[ $status -le 1 ] || fail "e2fsck at step $step: $(cat "$T/e2fsck.log")"
		assert_image_clean "$T/cut.img"
		image_dump "$T/cut.img" /file "$T/dumped"
		said=$(replay fs file $FS $nth "$T/dumped") || fail "$said"
	done
done
say "file: $marks markers, $flushes flushes; at its last cut $said"
disk_drum_stop
it_passed
