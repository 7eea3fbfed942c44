# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
#
# Guests whose disks are vhost-user-blk devices.  A test sources this after lib.sh and calls
# disk_init instead of it_init.
#
#	DISK_PEER  who serves the disks: drum, or qsd, which is QEMU's storage daemon: to tell
#		what is the fault of a test (default drum)
#
# The guest runs guest/disk-init: it does what guest_do tells it on the console.  What it must
# not say there is DISK_COMPLAINTS.

DISK_PEER=${DISK_PEER:-drum}
DISK_QUEUES=${DISK_QUEUES:-2}
declare -A SERVER_SOCK=()	# of NBD servers, by name
DISK_JOB=0

# disk_init [TOOL...]: that it needs besides
disk_init() {
	local tool
	for tool in fio mke2fs e2fsck debugfs "$@"; do
		command -v "$tool" >/dev/null || skip "no $tool"
	done
	it_init
	case $DISK_PEER in
	drum) it_need_drum ;;
	qsd) command -v qemu-storage-daemon >/dev/null || skip "no qemu-storage-daemon" ;;
	*) fail "DISK_PEER=$DISK_PEER" ;;
	esac
	"$IT_SRC/guest/build-disk" "$DRUM_GUEST"
}

# disk_needs_drum: what the storage daemon cannot do
disk_needs_drum() {
	[ "$DISK_PEER" = drum ] || skip "$DISK_PEER cannot do this"
}

# disk_drum_start ARGUMENT...: as drum_start, if it is wanted
disk_drum_start() {
	[ "$DISK_PEER" != drum ] || drum_start "$@"
}

disk_drum_stop() {
	[ "$DISK_PEER" = drum ] || return 0
	assert_drum_lives
	drum_stop
}

# ---- images ----

# image_ext4 FILE SIZE [DIRECTORY]: with what is in the directory
image_ext4() {
	rm -f "$1"
	truncate -s "$2" "$1"
	mke2fs -q -F -t ext4 ${3:+-d "$3"} "$1" >"$T/mke2fs.log" 2>&1 || fail "mke2fs: $(cat "$T/mke2fs.log")"
}

# image_dump IMAGE PATH FILE: out of its file system
image_dump() {
	rm -f "$3"
	debugfs -R "dump $2 $3" "$1" >"$T/debugfs.log" 2>&1
	[ -e "$3" ] || fail "no $2 in ${1##*/}: $(cat "$T/debugfs.log")"
}

# assert_image_clean IMAGE: a file system that was unmounted
assert_image_clean() {
	e2fsck -fn "$1" >"$T/e2fsck.log" 2>&1 || fail "e2fsck of ${1##*/}: $(cat "$T/e2fsck.log")"
}

sum_of() {
	local sum
	sum=$(sha256sum "$1")
	echo "${sum%% *}"
}

# random_file FILE BYTES SEED: the same for the same seed
random_file() {
	openssl enc -aes-128-ctr -nosalt -pass "pass:$3" -md sha256 </dev/zero 2>/dev/null | head -c "$2" >"$1" || true
	[ "$(stat -c %s "$1")" = "$2" ] || fail "no random bytes"
}

# ---- disks ----

disk_sock() {
	case $DISK_PEER in
	drum) echo "$T/run/disk-$1.sock" ;;
	*) echo "$T/disk-$1.sock" ;;
	esac
}

# disk_add NAME IMAGE [ARGUMENT...]: arguments of `disk add`; the image is a file or nbd:URI
disk_add() {
	local name=$1 image=$2
	case $DISK_PEER in
	drum)
		shift 2
		ctl disk add "$name" --image "$image" "$@"
		[ -S "$(disk_sock "$name")" ] || fail "no $(disk_sock "$name")"
		;;
	qsd) qsd_start "$@" ;;
	esac
}

qsd_start() {
	local name=$1 image=$2 writable=on node readonly=off
	shift 2
	[[ " $* " != *' --read-only '* ]] || writable=off readonly=on
	case $image in
	nbd:*) node=driver=nbd,server.type=unix,server.path=${image##*socket=} ;;
	*) node=driver=file,filename=$image,aio=io_uring,cache.direct=on ;;
	esac
	rm -f "$T/qsd-$name.pid"
	qemu-storage-daemon --blockdev "$node,node-name=$name-file,discard=unmap,read-only=$readonly" \
		--blockdev "driver=raw,file=$name-file,node-name=$name,discard=unmap,read-only=$readonly" \
		--export "vhost-user-blk,id=$name,node-name=$name,addr.type=unix,addr.path=$(disk_sock "$name"),writable=$writable,num-queues=$DISK_QUEUES" \
		--chardev "socket,id=qmp,path=$T/qsd-$name.qmp,server=on,wait=off" --monitor chardev=qmp \
		--pidfile "$T/qsd-$name.pid" </dev/null >>"$T/qsd-$name.log" 2>&1 &
	IT_PIDS["qsd-$name"]=$!
	wait_until 20 test -s "$T/qsd-$name.pid" || fail "no storage daemon: $(cat "$T/qsd-$name.log")"
}

# disk_remove NAME: nobody is connected any more
disk_remove() {
	case $DISK_PEER in
	drum) wait_until 20 ctl disk remove "$1" 2>"$T/remove.err" || fail "$1 stays: $(cat "$T/remove.err")" ;;
	qsd)
		kill -TERM "${IT_PIDS["qsd-$1"]}"
		wait "${IT_PIDS["qsd-$1"]}" || true
		unset "IT_PIDS[qsd-$1]"
		;;
	esac
}

# disk_field NAME FIELD...: of `disk show`
disk_field() {
	local name=$1
	shift
	ctl disk show "$name" --json | json "$@"
}

# disk_is NAME FIELD OPERATOR VALUE: as in [ ]
disk_is() {
	local value
	value=$(disk_field "$1" "$2" 2>/dev/null) || return
	test "$value" "$3" "$4"
}

# disk_served NAME FIELD: the daemon counted something
disk_served() {
	[ "$DISK_PEER" = drum ] || return 0
	disk_is "$1" "$2" -gt 0 || fail "disk $1 has no $2"
}

# assert_disks_served DISK...: none of the requests failed, none is still there
assert_disks_served() {
	local disk
	[ "$DISK_PEER" = drum ] || return 0
	for disk; do
		wait_until 10 disk_is "$disk" inflight = 0 || fail "$disk: $(disk_field "$disk" inflight) requests in flight"
		disk_is "$disk" errors = 0 || fail "$disk: $(disk_field "$disk" errors) errors"
	done
}

# ---- NBD servers ----

# nbd_serve NAME COMMAND...: its last words are --unix or --socket, as it calls it; nbd_uri NAME
nbd_serve() {
	local name=$1
	shift
	SERVER_SOCK[$name]=$T/nbd-$name.sock
	rm -f "${SERVER_SOCK[$name]}"
	"$@" </dev/null >>"$T/nbd-$name.log" 2>&1 &
	IT_PIDS["nbd-$name"]=$!
	wait_until 20 test -S "${SERVER_SOCK[$name]}" || fail "$1 does not listen: $(cat "$T/nbd-$name.log")"
}

nbd_end() {
	kill -TERM "${IT_PIDS["nbd-$1"]}"
	wait "${IT_PIDS["nbd-$1"]}" || true
	unset "IT_PIDS[nbd-$1]"
}

nbd_uri() {
	echo "nbd:nbd+unix:///?socket=$T/nbd-$1.sock"
}

# ---- guests ----

# disk_args DISK...: DISK_ARGS is what QEMU is told of them
disk_args() {
	local disk
	DISK_ARGS=()
	for disk; do
		DISK_ARGS+=(-chardev "socket,id=chr-$disk,path=$(disk_sock "$disk"),reconnect=1"
			-device "vhost-user-blk-pci,id=$disk,chardev=chr-$disk,num-queues=$DISK_QUEUES${DISK_DEVICE:+,$DISK_DEVICE}")
	done
}

# disk_guest_start NAME MEM DISK... [-- ARGUMENT...]: vda, vdb, ... in this order.
# DISK_ROOT: the one to start from. DISK_PATROL: patrol runs too, with these options.
disk_guest_start() {
	local name=$1 mem=$2 disks=()
	shift 2
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		disks+=("$1")
		shift
	done
	[ $# = 0 ] || shift
	disk_args "${disks[@]}"
	# What goes wrong with a disk the kernel tells at level 3.
	GUEST_APPEND="rdinit=/disk-init loglevel=4 ${DISK_ROOT:+diskroot=/dev/$DISK_ROOT} ${GUEST_APPEND:-}" \
		PATROL=${DISK_PATROL:-none} guest_start "$name" "$mem" -initrd "$DRUM_GUEST/initramfs-disk.gz" \
		"${DISK_ARGS[@]}" "$@"
}

# disk_guest_up NAME [SECONDS [LINES]]: after so many lines of its console
disk_guest_up() {
	wait_until "${2:-60}" disk_guest_is_up "$1" "${3:-0}" || fail "guest $1 does not come up"
	[ "$DISK_PEER" != drum ] || disk_guest_attached "$1"
}

disk_guest_is_up() {
	assert_disks_ok "$1"
	line_is_there 'DISK UP' "$T/$1.log" $(($2 + 1))
}

# It was attached when it connected, under whatever name: GUEST_NAME[$1] is that.
declare -A GUEST_NAME=()
disk_guest_attached() {
	wait_until 20 disk_guest_named "$1" || fail "guest $1 was not attached: $(ctl guest list)"
	wait_until 20 guest_is "${GUEST_NAME[$1]}" state = running ||
		fail "guest $1 is $(guest_field "${GUEST_NAME[$1]}" state)"
}

disk_guest_named() {
	local name
	name=$(ctl guest list --json | "$IT_PYTHON" -ISc 'import json, sys
for guest in json.load(sys.stdin):
    if str(guest["pid"]) == sys.argv[1]:
        print(guest["name"])' "${GUEST_PID[$1]}") || return
	[ -n "$name" ] || return
	GUEST_NAME[$1]=$name
}

DISK_COMPLAINTS='I/O error|EXT4-fs (error|warning)|JBD2: .*rror|blocked for more than|(FIO|SUM|HAMMER|GUEST) FAILED'
DISK_COMPLAINTS+='|PATROL (BAD|FAILED)|(CHECKED|t=.*) bad=[1-9]|Kernel panic|Oops|BUG:|segfault|general protection'
DISK_COMPLAINTS+='|virtio_blk.*rror|is not a head|qemu-system.*([Ee]rror|[Ff]ail)'

# assert_disks_ok NAME: neither the kernel nor a program of the guest has complained, nor QEMU.
# DISK_EXPECTED: a pattern of what they may say in this test
assert_disks_ok() {
	local line
	[ -z "${GUEST_PID[$1]:-}" ] || ! is_gone "${GUEST_PID[$1]}" || fail "QEMU of $1 is gone: $(tail -n 3 "$T/$1.log")"
	line=$(grep -avE "${DISK_EXPECTED:-^\$}" "$T/$1.log" | grep -aE -m 1 "$DISK_COMPLAINTS") || return 0
	fail "guest $1: $line
$(grep -aE '^FIO: ' "$T/$1.log" | tail -n 30)"
}

# guest_job NAME JOB COMMAND: in the background; its lines become one
declare -A JOB_FROM=()	# by guest and job: lines of the console before it
guest_job() {
	JOB_FROM[$1/$2]=$(lines_of "$T/$1.log")
	guest_say "$1" "$2 ${3//$'\n'/ }"
}

# guest_job_is NAME JOB: it has ended; JOB_STATUS
guest_job_is() {
	local line
	assert_disks_ok "$1"
	# another guest's, if this one was saved meanwhile
	line=$(tail -n +$((${JOB_FROM[$1/$2]:-0} + 1)) "$T/$1.log" | grep -aE "^DISK $2 [0-9]+" | tail -n 1) || return
	JOB_STATUS=${line##* }
	JOB_STATUS=${JOB_STATUS%%[^0-9]*}
}

# guest_job_end NAME JOB SECONDS: well
guest_job_end() {
	wait_until "$3" guest_job_is "$1" "$2" || fail "guest $1: job $2 does not end in $3 s"
	[ "$JOB_STATUS" = 0 ] || fail "guest $1: job $2 ended with $JOB_STATUS: $(tail -n 5 "$T/$1.log")"
}

# guest_do NAME SECONDS COMMAND: and it must succeed
guest_do() {
	DISK_JOB=$((DISK_JOB + 1))
	guest_job "$1" "do$DISK_JOB" "$3"
	guest_job_end "$1" "do$DISK_JOB" "$2"
}

# guest_says NAME SECONDS COMMAND PATTERN: prints the line of what it writes
guest_says() {
	local line from
	guest_do "$1" "$2" "$3"
	from=${JOB_FROM[$1/do$DISK_JOB]}
	line=$(tail -n +$((from + 1)) "$T/$1.log" | grep -aE -m 1 -- "$4") || fail "guest $1: '$3' does not say $4"
	echo "${line%%$'\r'*}"
}

# disk_guest_end NAME: it powers off; what is mounted was unmounted
disk_guest_end() {
	local pid=${GUEST_PID[$1]} status=0
	assert_disks_ok "$1"
	guest_job "$1" off 'sync; poweroff -f'
	wait_until 60 is_gone "$pid" || fail "guest $1 does not power off"
	unset "GUEST_PID[$1]"
	wait "$pid" || status=$?
	[ $status = 0 ] || fail "QEMU of $1 ended with $status"
	assert_disks_ok "$1"
	[ "$DISK_PEER" != drum ] || wait_until 20 guest_not_listed "${GUEST_NAME[$1]}" ||
		fail "guest $1 has ended and is listed"
}

# fio_runs NAME JOB: of `work` that ended well
fio_runs() {
	grep -acE "^FIO $2 runs=" "$T/$1.log" || true
}

fio_has() { # fio_has NAME JOB RUNS
	assert_disks_ok "$1"
	[ "$(fio_runs "$1" "$2")" -ge "$3" ]
}

# sum_reads NAME: of `watch_sum` that were right
sum_reads() {
	grep -ac '^SUM OK' "$T/$1.log" || true
}

sum_has() {
	assert_disks_ok "$1"
	[ "$(sum_reads "$1")" -ge "$2" ]
}

# work_stop NAME SECONDS JOB...: the jobs come to their end
work_stop() {
	local name=$1 seconds=$2 job
	shift 2
	guest_do "$name" "$seconds" 'touch /tmp/stop'
	for job; do
		guest_job_end "$name" "$job" "$seconds"
	done
	guest_do "$name" "$seconds" 'rm /tmp/stop'
}

# guest_qmp_state NAME STATE: as QEMU calls it
guest_qmp_state() {
	[ "$(guest_qmp "$1" query-status | json status)" = "$2" ]
}

disk_state_is() {
	[ "$(disk_field "$1" state)" = "$2" ]
}
