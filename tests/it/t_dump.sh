#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 30
# A guest's memory on a dump device: every byte of it, read from swap where it is there, and no
# header before all of it is written.
# timeout: 600
. "$(dirname "$0")/lib.sh"
it_init
umask 077 # dumps are warned of otherwise
command -v readelf >/dev/null || skip "no readelf"

RAM=$((192 * MIB))
SIZE=$((RAM + 4096))

pager() {
	pgrep -P "$DRUMD_PID" -x drum-pager
}

another_pager() {
	local now
	now=$(pager) && [ "$now" != "$1" ] && ctl stat >/dev/null 2>&1
}

# junk FILE BYTES: old data, so that zeros have to be written
junk() {
	head -c "$2" /dev/zero | tr '\0' '\377' >"$1"
}

no_header() {
	cmp -s -n 4096 "$1" /dev/zero
}

dump_says() { # dump_says LINE: of `dump show`
	ctl dump show | grep -qE "^ *$1\$"
}

is_dumping() {
	[ "$(guest_field one dump-done)" -gt 0 ]
}

# The whole of the RAM, as the kernel has it; only right when all of it is in memory.
memfd() {
	echo "/proc/${GUEST_PID[one]}/map_files/$(ram_ranges "${GUEST_PID[one]}" | head -n 1)"
}

drum_start
swap_on 512M
guest_start one 192M
guest_up one
guest_attach one --limit 64M
wait_shrunk one $((64 * MIB))
guest_walks one 2000
ctl dump guest one 2>"$T/err" && fail "dumped to nowhere"
grep -q 'no dump device' "$T/err" || fail "not said that there is none: $(cat "$T/err")"

# What cannot be a dump device.
ctl dump set "$T/swap" 2>"$T/err" && fail "swap was taken for a dump device"
grep -q 'a swap device already' "$T/err" || fail "not said what it is: $(cat "$T/err")"
ctl dump set "$T/none" 2>/dev/null && fail "a file that is not there was taken"
ctl dump set ram:1M 2>/dev/null && fail "ram: was taken"
if command -v mkfs.ext4 >/dev/null; then
	truncate -s 16M "$T/ext4"
	mkfs.ext4 -q "$T/ext4"
	ctl dump set "$T/ext4" 2>"$T/err" && fail "a file system was taken"
	grep -q ext4 "$T/err" || fail "not said what it holds: $(cat "$T/err")"
	ctl dump set "$T/ext4" --force || fail "not even by force"
	ctl dump off
fi

# Too small: nothing is written.
junk "$T/small" $((SIZE - 4096))
cp "$T/small" "$T/small.was"
ctl dump set "$T/small"
ctl dump guest one 2>"$T/err" && fail "dumped to what is too small"
grep -q "takes $SIZE bytes" "$T/err" || fail "not said how much it takes: $(cat "$T/err")"
cmp "$T/small" "$T/small.was" || fail "refused, but written to"
dump_says 'last dump +-' || fail "shown as dumped: $(ctl dump show)"

# A guest that goes on, and pages meanwhile, sees nothing of it.
junk "$T/full" $((SIZE + MIB))
ctl dump set "$T/full"
for _ in 1 2 3; do
	ctl dump guest one
	guest_walks one 2000
done
ctl dump off

# The guest stands still: three ways to read its memory must agree.
guest_qmp one stop >/dev/null
ctl guest out one
before=$(guest_field one pages-in)
swapped=$(guest_field one swapped)
[ "$swapped" -gt $((64 * MIB)) ] || fail "nearly nothing is swapped"
truncate -s $((SIZE + MIB)) "$T/sparse"
ctl dump set "$T/full"
ctl swap on "$T/full" 2>"$T/err" && fail "the dump device was taken for swap"
grep -q 'the dump device already' "$T/err" || fail "not said what it is: $(cat "$T/err")"
ctl dump one | grep -qx "$T/full: 192M of guest one written" || fail "not said what was written"
dump_says 'last dump +one' || fail "not shown: $(ctl dump show)"
dump_says 'complete +yes' || fail "not complete: $(ctl dump show)"
ctl dump set "$T/sparse"
ctl dump guest one
ctl dump guest one
[ $(($(stat -c '%b * 512' "$T/sparse"))) -lt "$SIZE" ] || fail "the holes of a sparse file were filled"
files=("$T/full" "$T/sparse")
if loop=$(junk "$T/image" $((SIZE + MIB)) && losetup --find --show "$T/image" 2>/dev/null); then
	at_exit "losetup -d $loop"
	ctl dump set "$T/image" 2>/dev/null && fail "a file under a loop device was taken"
	ctl dump set "$loop"
	ctl dump guest one
	dd if="$loop" of="$T/loop" bs=1M iflag=direct status=none # readelf wants a file
	files+=("$T/loop")
fi
[ "$(guest_field one pages-in)" = "$before" ] || fail "the dump has paged in"
[ "$(guest_field one swapped)" = "$swapped" ] || fail "the dump has changed what is on swap"

# A device that fails ends the dump, and can be used when it is mended.
if mkdir "$T/mnt" && mount -t tmpfs -o size=64M none "$T/mnt" 2>/dev/null; then
	at_exit "umount $T/mnt"
	truncate -s $((SIZE + MIB)) "$T/mnt/dump"
	ctl dump set "$T/mnt/dump"
	ctl dump guest one 2>"$T/err" && fail "dumped to a full file system"
	grep -q 'No space left' "$T/err" || fail "not said why: $(cat "$T/err")"
	no_header "$T/mnt/dump" || fail "there is a header of a dump that failed"
	dump_says 'complete +no' || fail "shown as complete: $(ctl dump show)"
	mount -o remount,size=512M "$T/mnt"
	ctl dump guest one
	cp "$T/mnt/dump" "$T/mended"
	files+=("$T/mended")
fi

# Half of it in memory: the same bytes.
ctl swap set "$T/swap" --max-bandwidth 0
ctl guest set one --limit 192M
guest_qmp one pmemsave "{\"val\":$((96 * MIB)),\"size\":$((32 * MIB)),\"filename\":\"$T/part\"}" >/dev/null
[ "$(guest_field one resident)" -ge $((24 * MIB)) ] || fail "pmemsave has paged nothing in"
junk "$T/mixed" $((SIZE + MIB))
ctl dump set "$T/mixed"
ctl dump guest one
cp "$T/mixed" "$T/mixed.was"
files+=("$T/mixed.was")

# In mid-dump: the pager dies, and leaves no header; the next one knows the device.
ctl swap set "$T/swap" --max-bandwidth 2M
ctl dump guest one 2>/dev/null &
IT_PIDS[dump]=$!
wait_until 20 is_dumping || fail "no progress is shown"
dump_says 'dumping +one' || fail "not shown as under way: $(ctl dump show)"
ctl dump off 2>/dev/null && fail "let go of in the middle"
old=$(pager)
kill -KILL "$old"
wait_until 20 another_pager "$old" || fail "no pager after $old was killed"
wait "${IT_PIDS[dump]}" && fail "a dump that was killed is told to be done"
unset 'IT_PIDS[dump]'
no_header "$T/mixed" || fail "there is a header of a dump that was killed"
dump_says "path +$T/mixed" || fail "the dump device is forgotten: $(ctl dump show)"
dump_says 'complete +no' || fail "shown as complete: $(ctl dump show)"

ctl dump guest one 2>"$T/err" && fail "written to while the dead pager's writes may come"
grep -q 'may still be on their way' "$T/err" || fail "not said why: $(cat "$T/err")"
truncate -s $((SIZE + MIB)) "$T/last"
ctl dump set "$T/last"
files+=("$T/last")

# Pages that cannot be read are told, and the others are there.
ctl swap set "$T/swap" --max-bandwidth 0
wait_until 20 guest_is one swapped -gt $((32 * MIB)) || fail "not swapped any more"
cp --sparse=never "$T/swap" "$T/swap.was"
dd if=/dev/urandom of="$T/swap" bs=64K count=1 conv=notrunc oflag=direct status=none
ctl dump guest one 2>"$T/err"
grep -qE '[1-9][0-9]* pages could not be read' "$T/err" || fail "lost pages are not told: $(cat "$T/err")"
lost=$(grep -oE '[0-9]+ pages could' "$T/err")
[ "${lost%% *}" -le 16 ] || fail "$lost not be read, of 16"
dump_says "lost pages +${lost%% *}" || fail "lost pages are not shown: $(ctl dump show)"
dd if="$T/swap.was" of="$T/swap" bs=64K count=1 conv=notrunc oflag=direct status=none
rm "$T/swap.was"
ctl dump guest one 2>"$T/err"
[ ! -s "$T/err" ] || fail "pages are lost that are there again: $(cat "$T/err")"

# A debugger reads it: nearly all of this was on swap when it was dumped.
if command -v gdb >/dev/null; then
	gdb -nx -batch -c "$T/full" -ex "dump binary memory $T/gdb $MIB $RAM" >"$T/gdb.log" 2>&1 ||
		fail "gdb: $(tail -n 3 "$T/gdb.log")"
fi

# All of it in memory; the low megabyte of what the guest sees is not its RAM everywhere.
guest_qmp one pmemsave "{\"val\":0,\"size\":$RAM,\"filename\":\"$T/pmem\"}" >/dev/null
ctl guest in one
for file in "${files[@]}"; do
	[ "$(readelf -lW "$file" | awk '$1 == "LOAD" { print $2, $3, $4, $5, $6 }')" = \
		"$(printf '0x001000 0x%016x 0x%016x 0x%07x 0x%07x' 0 0 "$RAM" "$RAM")" ] ||
		fail "$file: $(readelf -lW "$file")"
	readelf -nW "$file" | grep -q DRUM || fail "$file has no note of ours"
	cmp -i 4096:0 -n "$RAM" "$file" "$(memfd)" || fail "$file is not what is in memory"
	cmp -i $((4096 + MIB)):$MIB -n $((RAM - MIB)) "$file" "$T/pmem" || fail "$file is not what QEMU reads"
done

if [ -e "$T/gdb" ]; then
	cmp -i 0:$MIB -n $((RAM - MIB)) "$T/gdb" "$T/pmem" || fail "gdb reads something else than QEMU"
fi

# A detach ends a dump.
ctl guest out one
ctl swap set "$T/swap" --max-bandwidth 2M
ctl dump guest one 2>"$T/err" &
IT_PIDS[dump]=$!
wait_until 20 is_dumping || fail "no progress is shown"
ctl guest detach one &
IT_PIDS[detach]=$!
wait_until 20 is_gone "${IT_PIDS[dump]}" || fail "the dump goes on"
wait "${IT_PIDS[dump]}" && fail "a dump that was cancelled is told to be done"
grep -q 'being detached' "$T/err" || fail "not said why it ended: $(cat "$T/err")"
unset 'IT_PIDS[dump]'
ctl swap set "$T/swap" --max-bandwidth 0
wait "${IT_PIDS[detach]}" || fail "not detached"
unset 'IT_PIDS[detach]'
no_header "$T/last" || fail "there is a header of a dump that was cancelled"

assert_no_trace "${GUEST_PID[one]}"
guest_qmp one cont >/dev/null
guest_check one
assert_drum_lives
guest_end one
assert_swap_free
drum_stop
it_passed
