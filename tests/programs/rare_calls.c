/* SPDX-License-Identifier: MIT */
/* Memory calls that few programs make: what they answer, also where Ondol does not have them. */
#include "try.h"
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PR_SET_VMA_ 0x53564d41
#define ADDR 0x10000000

static unsigned char *const p = (unsigned char *)ADDR;

static void others_memory(void)
{
	unsigned char here[64] = "here", there[64] = "there";
	struct iovec a = { here, 64 }, b = { there, 64 }, bad = { (void *)8, 64 };
	struct iovec two[2] = { { there, 10 }, { (void *)8, 10 } };

	TRY(process_vm_readv(getpid(), &a, 1, &b, 1, 0));
	say("%s\n", here);
	TRY(process_vm_readv(getpid(), &a, 1, &bad, 1, 0));
	TRY(process_vm_readv(getpid(), &a, 1, two, 2, 0));
	TRY(process_vm_writev(getpid(), &bad, 1, &b, 1, 0));
	TRY(process_vm_readv(getpid(), &a, 1, &b, 1, 1));
	TRY(process_vm_readv(999999999, &a, 1, &b, 1, 0));
	/* Into memory that nobody has touched yet. */
	unsigned char *q = map_anon(8 * PAGE, PROT_READ | PROT_WRITE);
	struct iovec fresh = { q + PAGE - 10, 64 };

	TRY(process_vm_writev(getpid(), &b, 1, &fresh, 1, 0));
	say("%s\n", q + PAGE - 10);
	CHECK(mprotect(q, PAGE, PROT_READ) == 0);
	TRY(process_vm_writev(getpid(), &b, 1, &fresh, 1, 0));
}

static void descriptors(void)
{
	TRY(syscall(SYS_memfd_create, "x", 0x10000));
	TRY(syscall(SYS_memfd_create, NULL, 0));
	TRY(syscall(SYS_membarrier, 0, 0, 0) > 0);
	TRY(syscall(SYS_membarrier, 99, 0, 0));
	TRY(posix_fadvise(1, 0, 0, POSIX_FADV_WILLNEED) != 0);
	if (linux_is(5, 15)) {
		TRY(syscall(448 /* process_mrelease */, -1, 0));
		TRY(syscall(448, -1, 1));
	}
	TRY(syscall(SYS_mlock2, p, PAGE, 8));
	TRY(syscall(SYS_msync, p, PAGE, 7));
}

static void refused(const char *what, bool here, long r, int wanted)
{
	if (here && (r != -1 || errno != wanted))
		say("%s: %ld %s\n", what, r, strerror(errno));
	else
		say("%s: refused where it is not to be had\n", what);
	if (r > 2) /* a descriptor; a key of a processor that has them is 1 */
		close((int)r);
}

/* What Ondol does not have, and says so; natively it is there or not. */
static void refusals(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	bool here = false;
	uint64_t ring[16] = { 0 }, context = 0;

	CHECK(f);
	while (fgets(line, sizeof line, f))
		here |= strstr(line, "[ondol]") != NULL;
	fclose(f);
	refused("userfaultfd", here, syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY), EPERM);
	refused("memfd_secret", here, syscall(447, 0), ENOSYS);
	refused("io_uring_setup", here, syscall(425, 1, ring), ENOSYS);
	refused("io_setup", here, syscall(SYS_io_setup, 1, &context), ENOSYS);
	refused("pkey_alloc", here, syscall(SYS_pkey_alloc, 0, 0), EINVAL);
	refused("set_mempolicy_home_node", here, syscall(450, p, PAGE, 0, 0), ENOSYS);
	refused("a name for a region", here, prctl(PR_SET_VMA_, 0, p, PAGE, "name"), EINVAL);
	refused("map_shadow_stack", here, syscall(453, 0, PAGE, 0), ENOSYS);
	pid_t pid = fork(); /* natively it is traced from here on */

	CHECK(pid >= 0);
	if (!pid) {
		refused("ptrace", here, ptrace(PTRACE_TRACEME, 0, NULL, NULL) ? -1 : -2, EPERM);
		_exit(0);
	}
	reap(pid, 0);
	refused("cachestat", here, syscall(451, 0, NULL, NULL, 0), ENOSYS);
}

int main(void)
{
	CHECK(mmap(p, 8 * PAGE, 3, ANON | MAP_FIXED, -1, 0) == p);
	others_memory();
	descriptors();
	refusals();
	return 0;
}
