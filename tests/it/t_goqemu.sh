#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# go-qemu, a client of QEMU's monitor that nobody here wrote, connects to drumd, admits a guest,
# attaches it, pages it out and in, and follows the events; see goqmp/main.go.

. "$(dirname "$0")/lib.sh"
it_init
command -v go >/dev/null || skip "no go (package golang-go)"
GOPATH=/usr/share/gocode
[ -d "$GOPATH/src/github.com/digitalocean/go-qemu/qmp" ] ||
	skip "no go-qemu (package golang-github-digitalocean-go-qemu-dev)"
# nothing but what is packaged; kept, so that only the first time costs something
export GOPATH GO111MODULE=off GOFLAGS='' GOPROXY=off GOCACHE=$DRUM_BUILD/tests/go-cache
swap_make "$T/swap" 512M
drum_start
PATROL=--share=20 guest_start web1 256M
go build -o "$T/goqmp" "$IT_SRC/goqmp/main.go"

guest_up web1
"$T/goqmp" "$T/run/qmp.sock" "${GUEST_PID[web1]}" "$T/swap" >"$T/goqmp.log" 2>&1 ||
	fail "$(tail -n 1 "$T/goqmp.log")"
guest_check web1
guest_kill web1
drum_stop
it_passed
