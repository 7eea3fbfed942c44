#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# timeout: 900
#
# Have spin look at everything that pages.pml can do: that no assertion fails, that every
# waiter is woken, that the search was complete and met each event in each state;
# and that each variant of the model in which one rule is broken is found to fail.

set -u
: "${DRUM_SRC:?}"
model=$DRUM_SRC/tests/model/pages.pml
CC=${CC:-cc}
command -v spin >/dev/null || { echo 'needs spin (package spin)'; exit 77; }
top=$(mktemp -d "${TMPDIR:-/tmp}/drum-model.XXXXXX") || exit 1
trap 'rm -rf "$top"' EXIT

wrong()
{
	echo "not ok: $*"
	: >"$top/bad"
}

# build NAME OPTIMISATION CC-FLAGS... -- SPIN-FLAGS...: $top/NAME/pan
build()
{
	local name=$1
	local -a cc=("$2")
	shift 2
	while [ "$1" != -- ]; do cc+=("$1"); shift; done
	shift
	mkdir "$top/$name" && cd "$top/$name" || return 1
	if spin "$@" -a "$model" >log 2>&1 &&
		$CC -w "${cc[@]}" -DNOREDUCE -DMEMLIM=1500 -DVECTORSZ=256 -o pan pan.c >>log 2>&1
	then
		return 0
	fi
	cat log
	return 1
}

# states NAME: of its search
states()
{
	sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' "$top/$1/out"
}

# complete NAME WHAT: the search found nothing, and left nothing out
complete()
{
	local out=$top/$1/out
	if ! grep -q 'errors: 0$' "$out" || grep -qE 'not completed|too small|out of memory' "$out"
	then
		wrong "$2"
		grep -vE '^(Depth=|$)' "$out" | head -n 40
		[ ! -e "$top/$1/pages.pml.trail" ] || (cd "$top/$1" && ./pan -C | tail -n 40)
	fi
	# numbers in prose that a program can check are checked by a program
	grep -qE "^\| $2 \| $(states "$1") \|" "$DRUM_SRC/HACKING.md" ||
		wrong "HACKING.md has another number of states than $(states "$1") for: $2"
	echo "$2: $(states "$1") states," \
		"$(sed -n 's/^ *\([0-9.]*\).total actual memory usage/\1 MiB/p' "$out")," \
		"$(sed -n 's/^pan: elapsed time \(.*\) seconds/\1 s/p' "$out")"
}

# --- the model as it is -----------------------------------------------------------

{ build safe -O2 -DSAFETY -- -DCOVER && ./pan -m200000 -w24 >out 2>&1; } &
{ build live -O2 -DNFAIR=4 -- -DLIVE -DDEATHS=1 && ./pan -a -f -m100000 -w22 >out 2>&1; } &
wait
complete safe 'nothing stale, nothing lost, one owner'
complete live 'each waiter is woken'

# All code is reached: what never is, is the end of processes that do not end.
grep -E '^\s.*state [0-9]+,' "$top/safe/out" | grep -v -- '-end-' |
	sed 's/^/never reached: /' >"$top/unreached"
[ ! -s "$top/unreached" ] || { wrong 'some of the model is never used'; cat "$top/unreached"; }

# Which event was met in which state.  The rest cannot be: only an inactive page is
# looked at for references; one that is read is not written; after a restart a page is
# a hole, active or swapped.
while read -r event where; do
	for state in hole active inactive writing swapped reading; do
		met=no
		! grep -q "met: $state $event\$" "$top/safe/out" || met=yes
		case " $where " in
		*" $state "* | *' all '*) [ $met = yes ] || wrong "no $event in state $state" ;;
		*) [ $met = no ] || wrong "$event in state $state" ;;
		esac
	done
	echo "met: $event: $where"
done <<'END'
fault all
REMOVE all
REMOVE-in-zap all
punch-without-event all
zapped all
death all
written hole active inactive writing
write-failed hole active inactive writing
write-late hole active inactive writing
pinned inactive
move reading
restart hole active swapped
END

# --- variants that must fail --------------------------------------------------------

# breaks NAME DEATHS WHEN TEXT: spin finds an assertion that fails.  The pager dies that
# often at most, and at such moments only: so the search is short.  (spin runs a shell.)
breaks()
{
	await
	{
		if build "$1" -O1 -DSAFETY ${order:+"$order"} -- \
			"-D$1" "-DDEATHS=$2" "-DDIES_WHEN='($3)'"; then
			timeout 300 ./pan -m20000 -w20 >out 2>&1
		fi
		found "$1" 'assertion violated' "$4"
	} &
}

# hangs NAME WHEN TEXT: spin finds a waiter that is never woken
hangs()
{
	await
	{
		if build "$1" -O1 -DNFAIR=4 -- \
			-DLIVE -DDEATHS=1 "-D$1" "-DDIES_WHEN='($2)'"; then
			timeout 300 ./pan -a -f -m100000 -w20 >out 2>&1
		fi
		found "$1" 'acceptance cycle' "$3"
	} &
}

# Two at a time.
await()
{
	while [ "$(jobs -rp | wc -l)" -ge 2 ]; do
		wait -n
	done
}

found()
{
	if grep -q "^pan:1: $2" "$top/$1/out"; then
		echo "$1: found after $(states "$1") states: $3"
	else
		wrong "$1 is not found: $3"
		cat "$top/$1/out"
	fi
	rm -rf "${top:?}/$1"
}

late='late[0] || late[1]' order=
breaks BUG_PUNCH_BEFORE_VALID 0 false 'the page is punched before its address is valid'
breaks BUG_TOUCHED_IS_VALID 0 false 'a write that was overtaken by a touch counts'
breaks BUG_FREE_BEFORE_PLACE 0 false 'the block is free before the page is in place'
breaks BUG_MOVE_FREES_FIRST 0 false 'the old block is free before the new address is stored'
breaks BUG_REMOVE_IN_ZAP_FREES 0 false 'a REMOVE of our own zap frees a block'
breaks BUG_WRITING_IS_VALID 1 'wr == FLIGHT' 'a restart believes an address that is being written'
breaks BUG_NO_HOLD 1 'wr == FLIGHT' 'a restart does not hold what a dead pager was writing to'
breaks BUG_INTENT_DROPPED 2 "wr == FLIGHT || $late" 'a second death within the hold forgets it'
breaks BUG_MOVE_WITHOUT_INTENT 1 'mw == FLIGHT' 'a move writes without an intent'
breaks BUG_KEPT_NOT_COMPARED 0 false 'a copy is taken for clean without a look at the page'
breaks BUG_KEPT_PUNCHED_FIRST 1 'mem == NONE' 'a clean page is punched before its word is valid'
breaks BUG_LATE_NOT_HELD 0 false 'a block whose write may still come is free'
breaks BUG_NO_PINCHECK 0 false 'nobody asks whether DMA goes on'
breaks BUG_PINCHECK_LATE 0 false 'it is asked only after the content was read'
breaks STRICT_DISCARD 1 'word == V && mem != NONE' \
	'known: after a death, an older content of a page that was given back'
order=-DT_REVERSE # the other way round these take less time
breaks BUG_ZAP_NOT_TOLD 1 'zapping && word == V' 'a new pager is not told of the zap under way'
breaks BUG_ZAP_NOT_NOTED 1 'zap && word == V' \
	'a new pager comes between the receipt of a zap and its note'
breaks BUG_BLOCK_WINS 1 'word == V && mem != NONE' 'a restart believes the block, not the memory'
breaks BUG_LATE_NOT_NOTED 1 "$late" 'such a block is not held again after a death'
breaks BUG_INTENT_AFTER_FREE 1 'intent[0] || intent[1]' \
	'a block is free before its intent is taken away'
hangs BUG_NO_WAKE 'v[0] != RUN' 'a restart wakes nobody'
hangs BUG_DISCARD_NO_WAKE false 'a page that is given back while it is read wakes nobody'

wait
[ ! -e "$top/bad" ]
