#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# timeout: 600
# Drum, its guest and something that takes all memory that it can get, together in a memory
# cgroup at its limit: the pager needs nothing that it would have to wait for.
. "$(dirname "$0")/lib.sh"
it_init

# ---- a memory cgroup, of either version ----

CGROUP=

cgroup_v1() {
	local mount own
	mount=$(awk '$3 == "cgroup" && $4 ~ /(^|,)memory(,|$)/ { print $2; exit }' /proc/mounts)
	[ -n "$mount" ] || return 1
	own=$(sed -n 's/^[0-9]*:\([^:]*,\)\?memory\(,[^:]*\)\?://p' /proc/self/cgroup)
	CGROUP=$mount$own/drum-it.$$
	[ -d "$mount$own" ] || CGROUP=$mount/drum-it.$$
	mkdir "$CGROUP" 2>/dev/null || return 1
	CG_LIMIT=memory.limit_in_bytes
	CG_VERSION=1
}

cgroup_v2() {
	local mount
	mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	[ -n "$mount" ] && grep -qw memory "$mount/cgroup.controllers" || return 1
	echo +memory 2>/dev/null >"$mount/cgroup.subtree_control" || return 1
	CGROUP=$mount/drum-it.$$
	mkdir "$CGROUP" 2>/dev/null || return 1
	CG_LIMIT=memory.max
	CG_VERSION=2
}

# How often the limit was met.
cgroup_met() {
	if [ "$CG_VERSION" = 1 ]; then
		cat "$CGROUP/memory.failcnt"
	else
		awk '$1 == "max" { print $2 }' "$CGROUP/memory.events"
	fi
}

# Bytes that only their owners can give back: there is no swap of the kernel's for them.
cgroup_held() {
	awk '$1 ~ /^((in)?active_anon|unevictable)$/ { sum += $2 } END { printf "%d\n", sum }' \
		"$CGROUP/memory.stat"
}

cgroup_v1 || cgroup_v2 || skip "no memory controller of cgroups, of either version"
# Late: all that is in there has to be gone.
at_exit "wait_until 10 rmdir $CGROUP"
cat >"$T/in" <<-END
	#!/bin/sh
	echo \$\$ >$CGROUP/cgroup.procs
	exec "\$@"
END
chmod +x "$T/in"

major_faults() {
	local pid sum=0 n
	for pid in "$@"; do
		# threads of io_uring come and go
		n=$(cat /proc/"$pid"/task/*/stat 2>/dev/null |
			awk '{ sub(/.*\) /, ""); sum += $10 } END { print sum + 0 }') || true
		sum=$((sum + n))
	done
	echo $sum
}

# ---- all of them in it ----

# A copy of the programs, so that their pages are of this cgroup, and can be taken.
mkdir "$T/bin"
"$T/in" cp "$DRUM_BUILD"/drumd "$DRUM_BUILD"/drum-pager "$DRUM_BUILD"/drumctl "$T/bin"
sync
# As /run is.  A file system on a disk would have the pager wait for it when its lists grow.
mkdir "$T/run"
mount -t tmpfs -o mode=755 tmpfs "$T/run" || skip "no tmpfs can be mounted"
at_exit "umount -l $T/run"
DRUM_BUILD=$T/bin
DRUM_RUNNER=$T/in drum_start
events_start
swap_on 1G
PATROL=--share=70
GUEST_RUNNER=$T/in guest_start one 256M
guest_up one 120
guest_attach one --limit 64M
wait_shrunk one $((64 * MIB))
guest_walks one 10000

# What reads a file for ever takes all that is left, and what is used anew each time has to
# wait for it to be given back.
dd if=/dev/zero of="$T/file" bs=1M count=512 oflag=direct status=none
held=$(cgroup_held)
limit=$((held + 48 * MIB))
echo $limit >"$CGROUP/$CG_LIMIT"
"$T/in" "$IT_PYTHON" -c '
import sys
while True:
    with open(sys.argv[1], "rb", buffering=0) as f:
        while f.read(65536):
            pass' "$T/file" &
IT_PIDS[reader]=$!
# If it is too much after all this is what has to go.
"$T/in" "$IT_PYTHON" -c '
open("/proc/self/oom_score_adj", "w").write("1000")
while True:
    b = bytearray(8 << 20)' &
IT_PIDS[hog]=$!
met=$(cgroup_met)
is_met() {
	[ "$(cgroup_met)" -ge $((met + 1000)) ]
}
wait_until 60 is_met || fail "the limit was met $(($(cgroup_met) - met)) times"

met=$(cgroup_met)
from=$(lines_of "$T/one.log")
pager=$(pager)
before=$(major_faults "$pager" "$DRUMD_PID")
guest_patterns one 10000
met=$(($(cgroup_met) - met))
faults=$(($(major_faults "$pager" "$DRUMD_PID") - before))
[ $met -ge 100 ] || fail "the limit was met $met times: that is no pressure"
[ $faults = 0 ] || fail "the pager and its keeper read $faults of their own pages back from a disk"

# A new pager has to be started in there.
kill -KILL "$pager"
wait_until 60 another_pager "$pager" || fail "no other pager"
wait_until 60 guest_listed one || fail "guest one is not taken over"
guest_walks one 10000
guest_check one
stall=$(tail -n +"$from" "$T/one.log" | grep -aoE 'worst_us=[0-9]+' | cut -d= -f2 | sort -n | tail -n 1)
stall=$((stall / 1000))
! grep -a GUEST_STALLED "$T/events.log" || fail "that took long"
assert_drum_lives
[ "$stall" -le $((10000 * IT_SCALE / 100)) ] || fail "a page was waited for for $stall ms"
say "held $((held / MIB)) MiB, limit $((limit / MIB)) MiB, met $met times; longest wait for a" \
	"page $stall ms"
guest_end one
kill "${IT_PIDS[reader]}" "${IT_PIDS[hog]}"
drum_stop
it_passed
