/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages with descriptors over a SOCK_SEQPACKET pair: what the keeper and
 * the pager say to each other.  A message is sent whole or not at all.
 */
#ifndef DRUM_BASE_IPC_H
#define DRUM_BASE_IPC_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

#define IPC_FDS_MAX 8

/* => 0 or -errno; -EPIPE when the other end is gone, -EAGAIN only with a
 *    non-blocking socket */
int must_check ipc_send(int sock, const void *buf, size_t len, const int *fds, int nfds);

/* The same without descriptors and without waiting. => -EAGAIN: there is no room now */
int must_check ipc_try_send(int sock, const void *buf, size_t len);

/*
 * Receive one message of at most len bytes.  Descriptors arrive close-on-exec;
 * *nfds says how many, the rest of fds is -1.  If more came than IPC_FDS_MAX
 * or the message was longer than len, all are closed and it is -EMSGSIZE.
 * => bytes, 0 at the end, or -errno
 */
ssize_t must_check ipc_recv(int sock, void *buf, size_t len, int fds[IPC_FDS_MAX], int *nfds);

/* A connected pair, both close-on-exec. => 0 or -errno */
int must_check ipc_pair(int sock[2]);

#endif
