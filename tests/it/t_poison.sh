#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# takes: 30
# timeout: 600
# Pages that cannot be read for too long: who touches one gets SIGBUS, for that page and no
# other, and what can be read again is right.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/faulty.sh"
it_init
toucher=$DRUM_BUILD/tests/bench/vmm_toucher
[ -x "$toucher" ] || fail "no $toucher; build it first"

SIZE=$((32 * MIB))

# vmm_run WORD...: an experiment; prints its answer
vmm_run() {
	local from
	from=$(lines_of "$T/vmm.log")
	echo "run threads=1 order=sequential touches=$((SIZE / 4096)) $*" >"$T/vmm.in"
	wait_for '"event":"experiment"' "$T/vmm.log" 120 "$from"
}

poisoned_pages() {
	grep -c '"event":"poisoned"' "$T/vmm.log" || true
}

out_is_done() {
	ctl guest out vmm >/dev/null 2>&1 || true
	guest_is vmm resident -eq 0
}

faulty_start disk 256M
faulty_loop disk
dev=$(faulty_dev disk)
drum_start
events_start
ctl swap on "$dev"
ctl paging set --give-up 2
mkfifo "$T/vmm.in"
"$toucher" --size $SIZE --survive <>"$T/vmm.in" >"$T/vmm.log" 2>"$T/vmm.err.log" &
IT_PIDS[vmm]=$!
wait_for '"event":"ready"' "$T/vmm.log" 30 >/dev/null
ctl guest attach "${IT_PIDS[vmm]}" --name vmm
wait_until 60 out_is_done || fail "$(guest_field vmm resident) bytes are still in memory"

# Blocks that 1021 divides cannot be read: one page in each.
faulty_set disk read=EIO%1021
answer=$(vmm_run op=read)
[[ $answer = *'"bad":0,'* ]] || fail "wrong bytes: ${answer:0:200}"
poisoned=$(poisoned_pages)
blocks=$(faulty_blocks disk 'read EIO')
[ "$poisoned" -ge 1 ] || fail "no page was given up"
[ "$poisoned" -le "$blocks" ] || fail "$poisoned pages were given up for $blocks bad blocks"
page=$(grep -om 1 '"poisoned","page":[0-9]*' "$T/vmm.log")
page=${page##*:}
wait_for "PAGE_POISONED .*path=$dev" "$T/events.log" 20 >/dev/null
grep -a 'PAGE_POISONED' "$T/events.log" | grep -a 'guest=vmm' | grep -aqE "page=$page( |\$)" ||
	fail "page $page is not told: $(grep -a POISONED "$T/events.log" | head -n 3)"
guest_is vmm poisoned -eq "$poisoned" || fail "the guest has $(guest_field vmm poisoned) of $poisoned"

# Nobody is let go with less than all it had.
refused 'cannot be read|stays|unreadable' guest detach vmm
guest_listed vmm || fail "refused and not listed"

# It can be read again: out once more, all is right.
faulty_set disk none
wait_until 60 out_is_done || fail "$(guest_field vmm resident) bytes are still in memory"
answer=$(vmm_run op=read)
[[ $answer = *'"bad":0,'* ]] || fail "wrong bytes: ${answer:0:200}"
[ "$(poisoned_pages)" = "$poisoned" ] || fail "$(($(poisoned_pages) - poisoned)) pages are still given up"
answer=$(vmm_run op=write)
[[ $answer = *'"bad":0,'* ]] || fail "wrong bytes: ${answer:0:200}"
ctl guest detach vmm
answer=$(vmm_run op=read)
[[ $answer = *'"bad":0,'* ]] || fail "wrong bytes: ${answer:0:200}"
assert_swap_free
assert_drum_lives
drum_stop
it_passed "$poisoned pages were given up"
