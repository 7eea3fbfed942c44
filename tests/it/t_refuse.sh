#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What cannot be done is refused with one clear line, and nothing is changed by it.
. "$(dirname "$0")/lib.sh"
it_init

# refused REGEX COMMAND...: by drumctl, in one line that matches
refused() {
	local regex=$1 status=0
	shift
	ctl "$@" >"$T/out" 2>"$T/err" </dev/null || status=$?
	[ $status != 0 ] || fail "accepted: $*"
	[ $status -lt 126 ] || fail "'$*' ended with $status"
	[ ! -s "$T/out" ] || fail "'$*' was refused, but printed: $(cat "$T/out")"
	# What drumctl cannot even read it answers with its usage too.
	sed -i '2{/^Usage: /d}' "$T/err"
	[ "$(wc -l <"$T/err")" = 1 ] || fail "'$*' was refused with $(wc -l <"$T/err") lines: $(cat "$T/err")"
	grep -qiE -- "$regex" "$T/err" || fail "'$*': no '$regex' in: $(cat "$T/err")"
	cases=$((cases + 1))
}

# refused_vmm NAME REGEX: attaching it is refused and leaves the process as it was
refused_vmm() {
	local pid=${GUEST_PID[$1]} before
	wait_until 10 guest_qmp "$1" query-status >/dev/null 2>&1 || fail "QEMU '$1' does not start"
	before=$(vmm_state "$pid")
	refused "$2" guest attach "$pid" --name "$1"
	[ "$before" = "$(vmm_state "$pid")" ] || fail "$1: refused, but changed"
	assert_no_trace "$pid"
	guest_not_listed "$1" || fail "$1: refused, but listed"
	guest_kill "$1"
}

cases=0
GUEST_SMP=1
drum_start

# ---- processes ----

true &
gone=$!
wait $gone
refused 'no such process' guest attach $gone --name one
sleep 1000 &
IT_PIDS[sleep]=$!
refused 'not a VMM' guest attach "${IT_PIDS[sleep]}" --name one
assert_no_trace "${IT_PIDS[sleep]}"
refused 'not a VMM' guest attach "$DRUMD_PID" --name one
refused 'not a VMM|no such process|kernel' guest attach 2 --name one

# ---- RAM that cannot be paged: stopped before the first instruction, so all stays as it is ----

qemu_start private -S -m 128M
refused_vmm private 'private'
qemu_start unshared -S -m 128M -object memory-backend-memfd,id=mem,size=128M,share=off \
	-machine memory-backend=mem
refused_vmm unshared 'share=on'
qemu_start file -S -m 128M -object "memory-backend-file,id=mem,size=128M,share=on,mem-path=$T/ram" \
	-machine memory-backend=mem
refused_vmm file 'not a memfd'
if [ -w /proc/sys/kernel/core_pattern ]; then
	guest_start locked 128M -S -overcommit mem-lock=on
	refused_vmm locked 'locked'
fi
pages=$(cat /proc/sys/vm/nr_hugepages)
at_exit "echo $pages >/proc/sys/vm/nr_hugepages"
echo $((pages + 64)) >/proc/sys/vm/nr_hugepages
if [ "$(cat /proc/sys/vm/nr_hugepages)" -ge $((pages + 64)) ]; then
	qemu_start huge -S -m 128M -object memory-backend-memfd,id=mem,size=128M,share=on,hugetlb=on \
		-machine memory-backend=mem
	refused_vmm huge 'huge'
else
	say "note: no huge pages can be reserved; that case was left out"
fi

# ---- VMMs that do DMA: a pager that cannot see pinned pages must not take any of theirs ----

# A fake: VFIO is told by the path of what is open, and any file there will do.
made=
[ -d /dev/vfio ] || made=/dev/vfio
mkdir -p /dev/vfio
: >/dev/vfio/drum-test
at_exit "rm -f /dev/vfio/drum-test; [ -z '$made' ] || rmdir '$made'"
cat >"$T/with-vfio" <<-'END'
	#!/bin/sh
	exec 9</dev/vfio/drum-test
	exec "$@"
END
chmod 755 "$T/with-vfio"
truncate -s 16M "$T/disk"
start_direct() {
	guest_start direct 128M -S -drive "file=$T/disk,if=virtio,format=raw,cache=none"
}
start_vfio() {
	GUEST_RUNNER=$T/with-vfio guest_start vfio 128M -S
}
drum_stop
DRUM_RUNNER='setpriv --bounding-set -bpf,-sys_admin' drum_start
grep -a 'no pin check: .*CAP_BPF' "$T/drumd.log" >/dev/null ||
	fail "without CAP_BPF, and the log does not say so"
start_direct
refused_vmm direct 'O_DIRECT: without a pin check'
start_vfio
refused_vmm vfio 'VFIO .*without a pin check'
# A guest that begins it later is let go.
guest_start later 128M -S
wait_until 10 guest_qmp later query-status >/dev/null 2>&1 || fail "QEMU 'later' does not start"
guest_attach later
guest_qmp later blockdev-add '{"driver":"file","node-name":"disk","filename":"'"$T/disk"'","cache":{"direct":true}}' >/dev/null
wait_until 30 guest_not_listed later || fail "it has a file open O_DIRECT, and is still paged"
grep -a 'guest later: quarantined.*O_DIRECT' "$T/drumd.log" >/dev/null || fail "let go, but not for O_DIRECT"
assert_no_trace "${GUEST_PID[later]}"
guest_kill later

# One that sees them may.
drum_stop
: >"$T/drumd.log"
drum_start
if grep -a 'no pin check' "$T/drumd.log"; then
	say "note: no pin check on this kernel; those cases were left out"
else
	for name in direct vfio; do
		start_$name
		wait_until 10 guest_qmp $name query-status >/dev/null 2>&1 || fail "QEMU '$name' does not start"
		before=$(vmm_state "${GUEST_PID[$name]}")
		guest_attach $name
		sleep 2		# the keeper looks once a second
		guest_is $name state = running || fail "$name: $(guest_field $name state)"
		ctl guest detach $name
		[ "$before" = "$(vmm_state "${GUEST_PID[$name]}")" ] || fail "$name: not as before"
		guest_kill $name
	done
fi

# Somebody else traces it: only one can.
guest_start traced 128M -S
wait_until 10 guest_qmp traced query-status >/dev/null 2>&1 || fail "QEMU does not start"
"$IT_PYTHON" -c 'import ctypes, sys, time
if ctypes.CDLL(None).ptrace(0x4206, int(sys.argv[1]), None, None) == 0:
    print("traced", flush=True)
    time.sleep(1000)' "${GUEST_PID[traced]}" >"$T/tracer.log" 2>&1 &
IT_PIDS[tracer]=$!
wait_for traced "$T/tracer.log" 10 >/dev/null
refused 'traced' guest attach "${GUEST_PID[traced]}" --name traced
[ -z "$(userfaultfds "${GUEST_PID[traced]}")" ] || fail "refused, but it has a userfaultfd"
kill -KILL "${IT_PIDS[tracer]}"
wait "${IT_PIDS[tracer]}" 2>/dev/null || true
unset "IT_PIDS[tracer]"
guest_attach traced
ctl guest detach traced
assert_no_trace "${GUEST_PID[traced]}"
guest_kill traced

# ---- names, sizes and limits ----

guest_start good 256M
guest_start other 128M -S
wait_until 10 guest_qmp other query-status >/dev/null 2>&1 || fail "QEMU does not start"
guest_up good		# it must hold more than the limits below
pid=${GUEST_PID[good]}
before=$(vmm_state "$pid")
for name in '' 'a b' a/b ../x 'ä' "$(printf '%064d' 0)"; do
	refused 'name' guest attach "$pid" --name "$name"
done
for number in 0 -1 x 99999999999; do
	refused 'pid|process id' guest attach --name good -- $number
done
for size in '' 0x M 12Q 1.5.5M '1 G' 99999999999999999999 99999999999G; do
	refused 'size|limit' guest attach "$pid" --name good --limit "$size"
done
refused 'swap' guest attach "$pid" --name good --limit 64M
[ "$before" = "$(vmm_state "$pid")" ] || fail "refused, but changed"
guest_not_listed good || fail "refused, but listed"

guest_attach good
refused 'attached' guest attach "$pid" --name again
refused "good" guest attach "${GUEST_PID[other]}" --name good
assert_no_trace "${GUEST_PID[other]}"
refused 'swap' guest set good --limit 64M
refused 'swap' guest out good
for verb in 'detach nobody' 'set nobody --limit 64M' 'out nobody' 'in nobody' 'show nobody'; do
	# shellcheck disable=SC2086 # words
	refused "no guest .*nobody" guest $verb
done

# ---- swap ----

refused 'no such file' swap on "$T/missing"
refused 'neither a regular file nor a block device' swap on "$T"
refused 'neither a regular file nor a block device' swap on /dev/null
refused 'neither a regular file nor a block device' swap on "$T/good.in"
truncate -s 64M "$T/sparse"
refused 'sparse.*--fill.*fallocate' swap on "$T/sparse"
dd if=/dev/zero of="$T/sparse" bs=1M count=1 seek=8 conv=notrunc status=none
refused 'sparse' swap on "$T/sparse"
# As many blocks as it should have, but some of them past its end.
if fallocate -l 64M "$T/hidden" && fallocate -p -o 8M -l 4K "$T/hidden" && fallocate -n -o 64M -l 1M "$T/hidden"; then
	refused 'sparse.*hole at byte 8388608' swap on "$T/hidden"
fi
: >"$T/empty"
refused 'too small' swap on "$T/empty"
head -c 4095 /dev/zero >"$T/small"
refused 'too small' swap on "$T/small"
[ "$(ctl swap list --json | json count)" = 0 ] || fail "refused, but on"

swap_on 64M
refused 'is a swap device already' swap on "$T/swap"
ln -s swap "$T/link"
ln "$T/swap" "$T/hard"
refused "is a swap device already" swap on "$T/link"
refused "$T/hard is a swap device already, as $T/swap" swap on "$T/hard"
if loop=$(losetup --find --show "$T/swap" 2>/dev/null); then
	at_exit "losetup -nO NAME -j $T/swap | xargs -r losetup -d"
	refused "$loop is a loop device of $T/swap" swap on "$loop"
	losetup -d "$loop"
fi
# What the kernel swaps to can be opened; it is never left on.
swap_make "$T/kernel" 1M
mkswap "$T/kernel" >/dev/null
at_exit "swapoff $T/kernel"
if swapon "$T/kernel" 2>/dev/null; then
	refused 'swap space of the kernel' swap on "$T/kernel"
	swapoff "$T/kernel"
fi
[ "$(ctl swap list --json | json count)" = 1 ] || fail "one device, but not one listed"

for size in 0 1 4096 64K; do
	refused 'limit|at least|minimum' guest set good --limit $size
done
refused 'would have to go to swap' guest set good --limit 8M
guest_is good limit -eq $((256 * MIB)) || fail "refused, but the limit is $(guest_field good limit)"

# Another daemon for the same run directory; the first one goes on.
status=0
timeout 20 "$DRUM_BUILD/drumd" --config "$T/state.conf" --foreground --run-dir "$T/run" >"$T/second.log" 2>&1 </dev/null || status=$?
case $status in
0 | 124) fail "a second drumd runs in the same directory" ;;
esac
[ "$(wc -l <"$T/second.log")" = 1 ] || fail "refused with not one line: $(cat "$T/second.log")"
ctl stat >/dev/null || fail "the first drumd was disturbed"

# After all of it, everything that is right still works.
ctl guest set good --limit 200M
wait_shrunk good $((200 * MIB))
ctl guest detach good
assert_no_trace "$pid"
[ "$before" = "$(vmm_state "$pid")" ] || fail "not as before"
guest_walks good 10000
guest_check good
guest_end good
assert_drum_lives
drum_stop
it_passed "$cases cases"
