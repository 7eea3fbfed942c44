/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Theory of operation
 *
 * search:  rt_sigreturn is what every C library gives the kernel as
 *	    sa_restorer, and `syscall; ret` is in every one too.  The dynamic
 *	    linker has both, small and high in the address space, so the
 *	    search goes from there downwards.
 * frame:   as the kernel lays it out (struct rt_sigframe), from low to high:
 *
 *		*sp	address of rt_sigreturn, which `ret` takes
 *		+8	ucontext: registers, mask
 *		..	FPU state, 64-byte aligned, and its end mark
 *		top
 *
 *	    The alternate stack is not known here, so the frame has one that
 *	    the kernel refuses, and it stays as it is.
 * restart: rt_sigreturn does not restart system calls, so what the kernel
 *	    would have done is done to the registers here.  ERESTART_RESTARTBLOCK
 *	    becomes EINTR: rt_sigreturn drops what the kernel had noted for it; and
 *	    ERESTARTNOHAND too, since nobody knows whether a handler has run.
 */

#include "keeper/sigframe.h"

#include <cpuid.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <ucontext.h>

#define RANGES_MAX 512
#define CHUNK	   65536u
#define OVERLAP	   16u /* a pattern may lie across two chunks */

/* As the kernel has them; a program never sees them otherwise. */
#define ERESTARTSYS	      512
#define ERESTARTNOINTR	      513
#define ERESTARTNOHAND	      514
#define ERESTART_RESTARTBLOCK 516

#define UC_FP_XSTATE	     0x1u
#define UC_SIGCONTEXT_SS     0x2u
#define UC_STRICT_RESTORE_SS 0x4u
#define NO_SUCH_STACK	     0x1234 /* ss_flags that sigaltstack refuses */

#define KERNEL_UCONTEXT 304u /* the C library's is longer */
#define XSAVE_HEADER	512u /* its place: xstate_bv */
#define XSAVE_MIN	576u
#define SW_BYTES	464u /* ptrace has the mask of features there, a frame its marks */
#define XTILEDATA	18

static const uint8_t call_code[] = { 0x0f, 0x05, 0xc3 };
static const uint8_t glibc_code[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };
static const uint8_t musl_code[] = { 0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05 };

struct range {
	uint64_t start, end;
};

static ssize_t read_there(pid_t pid, uint64_t at, void *buf, size_t len)
{
	struct iovec local = { buf, len }, remote = { (void *)(uintptr_t)at, len };

	return process_vm_readv(pid, &local, 1, &remote, 1, 0);
}

static bool has_shadow_stack(pid_t pid)
{
	char path[64], line[256];
	bool has = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		has |= strncmp(line, "x86_Thread_features:", 20) == 0 && strstr(line, "shstk");
	if (f)
		fclose(f);
	return has;
}

/* => how many, or -errno */
static int executable_ranges(pid_t pid, struct range range[RANGES_MAX])
{
	char path[64], line[4096 + 128], perms[5];
	int n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (n < RANGES_MAX && fgets(line, sizeof(line), f)) {
		struct range *r = &range[n];

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &r->start, &r->end, perms) ==
			    3 &&
		    perms[0] == 'r' && perms[2] == 'x')
			n++;
	}
	fclose(f);
	return n;
}

static void look_for(uint64_t *found, uint64_t base, const uint8_t *bytes, size_t n,
		     const uint8_t *code, size_t len)
{
	const uint8_t *at = *found ? NULL : memmem(bytes, n, code, len);

	if (at)
		*found = base + (uint64_t)(at - bytes);
}

static void search(pid_t pid, const struct range *r, struct sigframe_site *site)
{
	uint8_t bytes[CHUNK];

	for (uint64_t at = r->start; at < r->end && !(site->call && site->sigreturn);
	     at += CHUNK - OVERLAP) {
		size_t want = r->end - at < CHUNK ? r->end - at : CHUNK;
		ssize_t n = read_there(pid, at, bytes, want);

		if (n <= 0)
			return;
		look_for(&site->call, at, bytes, (size_t)n, call_code, sizeof(call_code));
		look_for(&site->sigreturn, at, bytes, (size_t)n, glibc_code,
			 sizeof(glibc_code));
		look_for(&site->sigreturn, at, bytes, (size_t)n, musl_code, sizeof(musl_code));
	}
}

int sigframe_find(pid_t pid, struct sigframe_site *site, struct err *e)
{
	struct range range[RANGES_MAX];
	int n = executable_ranges(pid, range);

	*site = (struct sigframe_site){ 0 };
	if (n == -ENOENT || n == -ESRCH || n == 0)
		return err_set(e, -ESRCH, "process %d is gone", (int)pid);
	if (n < 0)
		return err_set(e, n, "cannot read the mappings of process %d: %s", (int)pid,
			       strerror(-n));
	if (has_shadow_stack(pid))
		return err_set(e, -ENOTSUP,
			       "process %d has a shadow stack, which does not let it be "
			       "traced safely: start it with "
			       "GLIBC_TUNABLES=glibc.cpu.x86_shstk=off",
			       (int)pid);
	while (n-- > 0 && !(site->call && site->sigreturn))
		search(pid, &range[n], site);
	if (!site->call || !site->sigreturn)
		return err_set(e, -ENOTSUP,
			       "process %d has no rt_sigreturn of a C library, so it cannot be "
			       "traced safely",
			       (int)pid);
	return 0;
}

bool sigframe_holds(pid_t pid, const struct sigframe_site *site)
{
	uint8_t call[sizeof(call_code)], ret[sizeof(glibc_code)];

	return site->call &&
	       read_there(pid, site->call, call, sizeof(call)) == (ssize_t)sizeof(call) &&
	       read_there(pid, site->sigreturn, ret, sizeof(ret)) == (ssize_t)sizeof(ret) &&
	       memcmp(call, call_code, sizeof(call)) == 0 &&
	       (memcmp(ret, glibc_code, sizeof(glibc_code)) == 0 ||
		memcmp(ret, musl_code, sizeof(musl_code)) == 0);
}

/*
 * Which of the features that ptrace shows the frame has, and where they end.
 * AMX's tiles are in a frame only of a thread that has asked for them; who uses
 * them has.
 */
static uint64_t features_of(const uint8_t *xstate, size_t len, uint32_t *size)
{
	uint64_t mask, used;

	memcpy(&mask, xstate + SW_BYTES, sizeof(mask));
	memcpy(&used, xstate + XSAVE_HEADER, sizeof(used));
	if (!(used >> XTILEDATA & 1))
		mask &= ~(UINT64_C(1) << XTILEDATA);
	*size = XSAVE_MIN;
	for (unsigned int i = 2; i < 63; i++) {
		unsigned int bytes, at, c, d;

		if (!(mask >> i & 1) || !__get_cpuid_count(0xd, i, &bytes, &at, &c, &d))
			continue;
		if (at + bytes > len)
			mask &= ~(UINT64_C(1) << i);
		else if (at + bytes > *size)
			*size = at + bytes;
	}
	return mask;
}

/* What rt_sigreturn is to give a call that was interrupted. */
static void restart(greg_t *rax, greg_t *rip, int64_t orig_rax)
{
	if (orig_rax < 0)
		return; /* not in a system call */
	switch (-*rax) {
	case ERESTARTSYS:
	case ERESTARTNOINTR:
		*rax = orig_rax;
		*rip -= 2;
		break;
	case ERESTARTNOHAND: /* had a handler run, it must not start again */
	case ERESTART_RESTARTBLOCK:
		*rax = -EINTR;
		break;
	}
}

static void fill_registers(greg_t *g, const struct user_regs_struct *r)
{
	g[REG_R8] = (greg_t)r->r8;
	g[REG_R9] = (greg_t)r->r9;
	g[REG_R10] = (greg_t)r->r10;
	g[REG_R11] = (greg_t)r->r11;
	g[REG_R12] = (greg_t)r->r12;
	g[REG_R13] = (greg_t)r->r13;
	g[REG_R14] = (greg_t)r->r14;
	g[REG_R15] = (greg_t)r->r15;
	g[REG_RDI] = (greg_t)r->rdi;
	g[REG_RSI] = (greg_t)r->rsi;
	g[REG_RBP] = (greg_t)r->rbp;
	g[REG_RBX] = (greg_t)r->rbx;
	g[REG_RDX] = (greg_t)r->rdx;
	g[REG_RAX] = (greg_t)r->rax;
	g[REG_RCX] = (greg_t)r->rcx;
	g[REG_RSP] = (greg_t)r->rsp;
	g[REG_RIP] = (greg_t)r->rip;
	g[REG_EFL] = (greg_t)r->eflags;
	g[REG_CSGSFS] = (greg_t)(r->cs | (uint64_t)r->ss << 48);
	restart(&g[REG_RAX], &g[REG_RIP], (int64_t)r->orig_rax);
}

size_t sigframe_build(uint8_t buf[SIGFRAME_MAX], const struct user_regs_struct *regs,
		      uint64_t sigmask, const uint8_t *xstate, size_t xstate_len, uint64_t top,
		      const struct sigframe_site *site, uint64_t *sp)
{
	struct _fpx_sw_bytes marks = { .magic1 = FP_XSTATE_MAGIC1 };
	const uint32_t end_mark = FP_XSTATE_MAGIC2;
	uint64_t fpu, uc_at;
	ucontext_t uc;
	uint32_t size;
	uint8_t *at;

	if (xstate_len < XSAVE_MIN)
		return 0;
	marks.xstate_bv = features_of(xstate, xstate_len, &size);
	marks.xstate_size = size;
	marks.extended_size = size + (uint32_t)sizeof(end_mark);
	fpu = (top - marks.extended_size) & ~UINT64_C(63);
	uc_at = (fpu - KERNEL_UCONTEXT) & ~UINT64_C(15);
	*sp = uc_at - sizeof(uint64_t);
	if (top - *sp > SIGFRAME_MAX)
		return 0;

	memset(&uc, 0, sizeof(uc));
	uc.uc_flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
	uc.uc_stack.ss_flags = NO_SUCH_STACK;
	fill_registers(uc.uc_mcontext.gregs, regs);
	uc.uc_mcontext.fpregs = (void *)(uintptr_t)fpu;
	memcpy(&uc.uc_sigmask, &sigmask, sizeof(sigmask));

	memset(buf, 0, top - *sp);
	memcpy(buf, &site->sigreturn, sizeof(uint64_t));
	memcpy(buf + (uc_at - *sp), &uc, KERNEL_UCONTEXT);
	at = buf + (fpu - *sp);
	memcpy(at, xstate, size);
	memcpy(at + SW_BYTES, &marks, sizeof(marks));
	memcpy(at + size, &end_mark, sizeof(end_mark));
	return top - *sp;
}
