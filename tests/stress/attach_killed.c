/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who makes another process do system calls is killed at every point of it,
 * and that process must go on as if nothing had been.
 *
 * The victim checks, round after round: all registers, the FPU's too, over a
 * loop without system calls; the red zone; the rounding mode; its signal mask,
 * and that of a ppoll in which it waits; its alternate stack; that waits end
 * as they should; that handlers run.  The tracer attaches it, zaps, and
 * detaches it, and is killed: at each labelled point in turn, then at random
 * times.  It is an own process, as the keeper is.
 *
 * usage: attach_killed [KILLS [SEED]]
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xmmintrin.h>

#include "keeper/attach.h"

#define ZAP_BYTES (UINT64_C(64) << 12)
#define ALT_BYTES 65536

static const char *const points[] = {
	"attach-stopped", "attach-frame",  "attach-regs",   "attach-mask", "attach-set",
	"attach-call",	  "attach-called", "attach-unmask", "attach-back", "attach-resume",
};
#define POINTS (sizeof(points) / sizeof(points[0]))

struct shared {
	uint64_t rounds;  /* [a] of the victim */
	uint64_t handled; /* [a] signals */
	uint64_t eintr;	  /* [a] waits that ended so */
	uint64_t zapped;  /* [a] how often its memory was */
	char wrong[256];  /* what the victim saw */
};

struct order { /* as in base/point.c */
	char name[32];
	int64_t skip, died;
};

static struct shared *shared;
static struct order *order;
static char zapped[ZAP_BYTES] __attribute__((aligned(4096)));

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* --- the victim -------------------------------------------------------------- */

static void wrong(const char *what, long long is)
{
	snprintf(shared->wrong, sizeof(shared->wrong), "%s: %lld", what, is);
	_exit(1);
}

static void on_signal(int signo)
{
	(void)signo;
	__atomic_fetch_add(&shared->handled, 1, __ATOMIC_RELAXED);
}

/* Registers and the red zone over `loops` turns. => 0: nothing has changed */
__attribute__((noinline)) static uint64_t spin(uint64_t seed, uint64_t loops)
{
	asm volatile("lea -128(%%rsp), %%rsp\n"
		     "lea 1(%%rax), %%rbx\n"
		     "lea 2(%%rax), %%rdx\n"
		     "lea 3(%%rax), %%rsi\n"
		     "lea 4(%%rax), %%rdi\n"
		     "lea 5(%%rax), %%r8\n"
		     "lea 6(%%rax), %%r9\n"
		     "lea 7(%%rax), %%r10\n"
		     "lea 8(%%rax), %%r11\n"
		     "lea 9(%%rax), %%r12\n"
		     "lea 10(%%rax), %%r13\n"
		     "vmovq %%rax, %%xmm0\n"
		     "vpbroadcastq %%xmm0, %%ymm0\n"
		     "vpaddq %%ymm0, %%ymm0, %%ymm7\n"
		     "vpaddq %%ymm7, %%ymm7, %%ymm15\n"
		     "mov %%rax, -8(%%rsp)\n"
		     "mov %%rbx, -64(%%rsp)\n"
		     "mov %%rdx, -128(%%rsp)\n"
		     "1: dec %%rcx\n"
		     "jnz 1b\n"
		     "xor %%rcx, %%rcx\n"
		     "mov -8(%%rsp), %%r14\n"
		     "xor %%rax, %%r14\n"
		     "or %%r14, %%rcx\n"
		     "mov -64(%%rsp), %%r14\n"
		     "xor %%rbx, %%r14\n"
		     "or %%r14, %%rcx\n"
		     "mov -128(%%rsp), %%r14\n"
		     "xor %%rdx, %%r14\n"
		     "or %%r14, %%rcx\n"
		     "sub $1, %%rbx\n xor %%rax, %%rbx\n or %%rbx, %%rcx\n"
		     "sub $2, %%rdx\n xor %%rax, %%rdx\n or %%rdx, %%rcx\n"
		     "sub $3, %%rsi\n xor %%rax, %%rsi\n or %%rsi, %%rcx\n"
		     "sub $4, %%rdi\n xor %%rax, %%rdi\n or %%rdi, %%rcx\n"
		     "sub $5, %%r8\n xor %%rax, %%r8\n or %%r8, %%rcx\n"
		     "sub $6, %%r9\n xor %%rax, %%r9\n or %%r9, %%rcx\n"
		     "sub $7, %%r10\n xor %%rax, %%r10\n or %%r10, %%rcx\n"
		     "sub $8, %%r11\n xor %%rax, %%r11\n or %%r11, %%rcx\n"
		     "sub $9, %%r12\n xor %%rax, %%r12\n or %%r12, %%rcx\n"
		     "sub $10, %%r13\n xor %%rax, %%r13\n or %%r13, %%rcx\n"
		     "vmovq %%rax, %%xmm1\n"
		     "vpbroadcastq %%xmm1, %%ymm1\n"
		     "vpxor %%ymm0, %%ymm1, %%ymm2\n"
		     "vpaddq %%ymm1, %%ymm1, %%ymm1\n"
		     "vpxor %%ymm7, %%ymm1, %%ymm3\n"
		     "vpor %%ymm2, %%ymm3, %%ymm2\n"
		     "vpaddq %%ymm1, %%ymm1, %%ymm1\n"
		     "vpxor %%ymm15, %%ymm1, %%ymm3\n"
		     "vpor %%ymm2, %%ymm3, %%ymm2\n"
		     "vextracti128 $1, %%ymm2, %%xmm3\n"
		     "vpor %%xmm2, %%xmm3, %%xmm2\n"
		     "vmovq %%xmm2, %%rax\n"
		     "or %%rax, %%rcx\n"
		     "vpextrq $1, %%xmm2, %%rax\n"
		     "or %%rax, %%rcx\n"
		     "vzeroupper\n"
		     "lea 128(%%rsp), %%rsp\n"
		     : "+a"(seed), "+c"(loops)
		     :
		     : "rbx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
		       "r14", "xmm0", "xmm1", "xmm2", "xmm3", "xmm7", "xmm15", "memory", "cc");
	return loops;
}

static void check_state(const sigset_t *want)
{
	sigset_t mask;
	stack_t alt;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int s = 1; s < 32; s++)
		if (sigismember(&mask, s) != sigismember(want, s))
			wrong("signal mask", s);
	sigaltstack(NULL, &alt);
	if (alt.ss_size != ALT_BYTES || alt.ss_flags != 0)
		wrong("alternate stack", (long long)alt.ss_size);
	if (_MM_GET_ROUNDING_MODE() != _MM_ROUND_DOWN)
		wrong("rounding mode", _MM_GET_ROUNDING_MODE());
}

static void check_wait(const char *what, int ret, int want)
{
	if (ret < 0 && errno == EINTR)
		__atomic_fetch_add(&shared->eintr, 1, __ATOMIC_RELAXED);
	else if (ret != want)
		wrong(what, ret < 0 ? -errno : ret);
}

static void victim(void)
{
	static char alt_bytes[ALT_BYTES];
	stack_t alt = { .ss_sp = alt_bytes, .ss_size = ALT_BYTES };
	struct timespec soon = { 0, 300000 };
	sigset_t mask, inner;
	int pipes[2];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGUSR1, on_signal);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	inner = mask;
	sigaddset(&inner, SIGUSR1);
	if (sigaltstack(&alt, NULL) < 0 || pipe(pipes) < 0)
		wrong("set-up", errno);
	_MM_SET_ROUNDING_MODE(_MM_ROUND_DOWN);
	for (uint64_t i = 1;; i++) {
		struct pollfd pfd = { .fd = pipes[0], .events = POLLIN };
		uint64_t diff = spin(i * UINT64_C(0x9e3779b97f4a7c15), 200000);
		char byte = 0;

		if (diff)
			wrong("registers", (long long)diff);
		check_wait("ppoll", ppoll(&pfd, 1, &soon, &inner), 0);
		check_state(&mask);
		check_wait("poll", poll(&pfd, 1, 1), 0);
		check_wait("nanosleep", nanosleep(&soon, NULL), 0);
		/* an interrupted write that starts again must not write twice */
		check_wait("write", (int)write(pipes[1], "x", 1), 1);
		check_wait("read", (int)read(pipes[0], &byte, 1), 1);
		check_state(&mask);
		raise(SIGUSR1);
		if (!zapped[0])
			__atomic_fetch_add(&shared->zapped, 1, __ATOMIC_RELAXED);
		zapped[0] = 1;
		__atomic_store_n(&shared->rounds, i, __ATOMIC_RELEASE);
	}
}

/* --- the tracer -------------------------------------------------------------- */

static void tracer(pid_t pid)
{
	struct attach_range range[2] = {
		{ (uintptr_t)zapped, ZAP_BYTES / 2 },
		{ (uintptr_t)zapped + ZAP_BYTES / 2, ZAP_BYTES / 2 },
	};
	struct attach_target target = { .pid = pid };
	struct err e = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	target.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	for (;;) {
		int fd, remote;

		if (attach_userfaultfd(&target, -1, &fd, &remote, &e) < 0)
			break;
		close(fd);
		if (attach_zap(&target, range, 2, &e) < 0 ||
		    attach_close(&target, remote, &e) < 0)
			break;
	}
	fprintf(stderr, "tracer: %s\n", e.text);
	_exit(1);
}

static pid_t start(void (*run)(pid_t), pid_t arg)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0)
		run(arg);
	return pid;
}

static void run_victim(pid_t unused)
{
	(void)unused;
	victim();
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* The victim makes two more rounds, untraced. */
static void victim_goes_on(pid_t pid, const char *when)
{
	uint64_t from = __atomic_load_n(&shared->rounds, __ATOMIC_ACQUIRE);
	uint64_t until = now_ms() + 20000;
	int status;

	while (__atomic_load_n(&shared->rounds, __ATOMIC_ACQUIRE) < from + 2) {
		if (waitpid(pid, &status, WNOHANG) == pid) {
			fprintf(stderr, "%s: the victim ended, status %#x: %s\n", when, status,
				shared->wrong[0] ? shared->wrong : "by itself");
			exit(1);
		}
		if (now_ms() > until) {
			fprintf(stderr, "%s: the victim hangs\n", when);
			kill(pid, SIGKILL);
			exit(1);
		}
		usleep(500);
	}
}

static void *map_shared(size_t size, int fd)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

/* What a new keeper does first: a zap of nothing. */
static void settler(pid_t pid)
{
	struct attach_target target = { .pid = pid };
	struct err e = { 0 };

	target.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (attach_zap(&target, NULL, 0, &e) < 0) {
		fprintf(stderr, "settler: %s\n", e.text);
		_exit(1);
	}
	_exit(0);
}

/*
 * The victim is stopped when its tracer dies, with the madvise still before it.  Once
 * another one has settled that, it must not come any more.
 */
static void stopped_before_the_call(pid_t pid)
{
	uint64_t before;
	pid_t t;
	int status;

	kill(pid, SIGSTOP);
	/* the second call: the first one makes the userfaultfd */
	*order = (struct order){ .name = "attach-set", .skip = 1 };
	t = start(tracer, pid);
	if (waitpid(t, &status, 0) != t || order->died != t)
		die("the tracer does not die");
	*order = (struct order){ 0 };
	before = shared->zapped;
	t = start(settler, pid);
	if (waitpid(t, &status, 0) != t || status != 0)
		die("the settler fails");
	kill(pid, SIGCONT);
	victim_goes_on(pid, "stopped before the call");
	if (shared->zapped != before) {
		fprintf(stderr, "a zap came after it was settled\n");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	unsigned int kills = argc > 1 ? (unsigned int)atoi(argv[1]) : 400;
	unsigned int seed = argc > 2 ? (unsigned int)atoi(argv[2]) : 1;
	unsigned int skips[POINTS] = { 0 };
	char path[64];
	pid_t pid;
	int fd;

	if (geteuid() != 0) {
		puts("needs root");
		return 77;
	}
	if (!__builtin_cpu_supports("avx2")) {
		puts("needs a CPU with AVX2");
		return 77;
	}
	fd = memfd_create("points", 0);
	if (fd < 0 || ftruncate(fd, 4096) < 0)
		die("memfd");
	shared = map_shared(sizeof(*shared), -1);
	order = map_shared(4096, fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	setenv("DRUM_POINTS", path, 1);
	srandom(seed);
	memset(zapped, 1, sizeof(zapped));
	pid = start(run_victim, 0);
	victim_goes_on(pid, "alone");
	for (int i = 0; i < 5; i++)
		stopped_before_the_call(pid);

	for (unsigned int i = 0; i < kills; i++) {
		bool labelled = i % 2 == 0;
		unsigned int which = i / 2 % POINTS;
		char when[64];
		pid_t t;
		int status;

		*order = (struct order){ 0 };
		if (labelled) {
			order->skip = skips[which]++ % 5;
			strcpy(order->name, points[which]);
			snprintf(when, sizeof(when), "killed at %s, hit %lld", points[which],
				 (long long)order->skip + 1);
		} else {
			snprintf(when, sizeof(when), "killed at random, number %u", i);
		}
		t = start(tracer, pid);
		if (!labelled) {
			usleep(2000 + (unsigned int)random() % 3000);
			kill(t, SIGKILL);
		}
		if (waitpid(t, &status, 0) != t || !WIFSIGNALED(status) ||
		    WTERMSIG(status) != SIGKILL || (labelled && order->died != t)) {
			fprintf(stderr, "%s: the tracer ended by itself, status %#x\n", when,
				status);
			kill(pid, SIGKILL);
			return 1;
		}
		victim_goes_on(pid, when);
	}
	kill(pid, SIGKILL);
	printf("%u kills, %zu points, %llu rounds, %llu handlers run, %llu waits ended with "
	       "EINTR\n",
	       kills, POINTS, (unsigned long long)shared->rounds,
	       (unsigned long long)shared->handled, (unsigned long long)shared->eintr);
	return 0;
}
