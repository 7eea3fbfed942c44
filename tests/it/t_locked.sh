#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Both processes keep their own memory in RAM, and only that: what of guests' RAM they map, and
# what of sparse files nobody has touched, is not brought in by it.
. "$(dirname "$0")/lib.sh"
it_init

# mappings_of PID: address, bytes in memory, bytes locked, flags with a space at both ends, file
mappings_of() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { range = $1; file = $6 }
		$1 == "Rss:" { rss = $2 * 1024 }
		$1 == "Locked:" { locked = $2 * 1024 }
		$1 == "VmFlags:" { sub("VmFlags:", ""); gsub(" *$", " "); gsub(" ", ",");
			print range, rss, locked, $0, file }' "/proc/$1/smaps"
}

locked_bytes() {
	awk '$1 == "VmLck:" { print $2 * 1024 }' "/proc/$1/status"
}

# major_faults PID: of all threads
major_faults() {
	awk '{ sub(/.*\) /, ""); sum += $10 } END { print sum + 0 }' /proc/"$1"/task/*/stat
}

drum_start
swap_on 1G
if grep -q 'own memory is not locked' "$T/drumd.log"; then
	skip "memory cannot be locked here"
fi
PATROL=--share=60
guest_start one 256M
guest_up one
before=$(ram_blocks "${GUEST_PID[one]}")
guest_attach one
pager=$(pager)

# To be attached brings nothing in: neither guest RAM, a part of which nobody has touched, nor
# the list of addresses, which are none yet.
after=$(ram_blocks "${GUEST_PID[one]}")
[ "$after" -le $((before + 8 * MIB)) ] || fail "guest RAM went from $before to $after bytes"
mappings_of "$pager" >"$T/mappings"
read -r range rss _ < <(grep -aF guest-one.swap "$T/mappings") || fail "no list of addresses"
[ "$rss" -le 65536 ] || fail "the list of addresses at $range has $rss bytes"
ctl guest set one --limit 64M
wait_shrunk one $((64 * MIB))
guest_walks one 5000

for pid in "$DRUMD_PID" "$pager"; do
	[ "$(locked_bytes "$pid")" -gt 0 ] || fail "process $pid has no memory locked"
	mappings_of "$pid" >"$T/mappings"
	# Not ours: the kernel's own pages, and io_uring's, which are never paged out.
	while read -r range rss locked flags file; do
		case $file in
		/memfd:memory-backend-memfd)
			[[ $flags != *,lo,* && $locked = 0 ]] ||
				fail "guest RAM at $range is locked: $locked of $rss bytes, $flags"
			echo ram >>"$T/seen"
			;;
		\[v*\] | anon_inode:*) ;;
		*)
			[[ $flags = *,lo,* ]] || fail "$range of process $pid is not locked: $file $flags"
			;;
		esac
	done <"$T/mappings"
done
[ -s "$T/seen" ] || fail "the pager maps no guest RAM: $(cat "$T/mappings")"

# Where it is allowed at all: not the first to be killed.
if (echo -900 >/proc/self/oom_score_adj) 2>/dev/null; then
	for pid in "$DRUMD_PID" "$pager"; do
		[ "$(cat "/proc/$pid/oom_score_adj")" = -900 ] ||
			fail "process $pid has oom_score_adj $(cat "/proc/$pid/oom_score_adj")"
	done
fi

# Nothing of it has to be read back, ever.
before=$(major_faults "$pager")
guest_patterns one 5000
[ "$(major_faults "$pager")" = "$before" ] ||
	fail "the pager had $(($(major_faults "$pager") - before)) faults of its own that read a disk"
guest_end one
drum_stop

# Refused: a warning, and all goes on.
if command -v setpriv >/dev/null && command -v prlimit >/dev/null; then
	: >"$T/drumd.log"
	DRUM_RUNNER='setpriv --bounding-set=-ipc_lock,-sys_resource prlimit --memlock=65536:65536' drum_start
	ctl swap on "$T/swap"
	guest_start two 256M
	guest_up two
	guest_attach two --limit 64M
	wait_shrunk two $((64 * MIB))
	guest_check two
	guest_end two
	[ "$(grep -ac 'drum-pager: warn: own memory is not locked' "$T/drumd.log")" = 1 ] ||
		fail "not told that memory is not locked"
	assert_drum_lives
	drum_stop
fi
it_passed
