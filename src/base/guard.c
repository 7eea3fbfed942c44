/* SPDX-License-Identifier: BSD-2-Clause */

#include "base/guard.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

/* Where to go on SIGBUS.  Volatile: only the handler reads it, which the
 * compiler does not see. */
static __thread sigjmp_buf *volatile way_out;

static void on_sigbus(int sig, siginfo_t *si, void *context)
{
	(void)si;
	(void)context;
	if (way_out)
		siglongjmp(*way_out, 1);
	/* a hole was touched by mistake, or memory is broken: be loud */
	signal(sig, SIG_DFL);
	raise(sig);
}

static void install(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus,
				.sa_flags = SA_SIGINFO | SA_NODEFER };

	sigaction(SIGBUS, &sa, NULL);
}

int guard_run(void (*fn)(void *arg), void *arg)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	sigjmp_buf env;

	pthread_once(&once, install);
	if (sigsetjmp(env, 0)) {
		way_out = NULL;
		return -EFAULT;
	}
	way_out = &env;
	fn(arg);
	way_out = NULL;
	return 0;
}
