/* SPDX-License-Identifier: MIT */
/* System calls whose buffers nobody has touched: the kernel itself takes the faults. */
#include "check.h"
#include <sys/socket.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <alloca.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>

enum { SIZE = 1 << 20 };

static unsigned char *fresh(void)
{
	return map_anon(SIZE, PROT_READ | PROT_WRITE);
}

static void files(void)
{
	int fd = pattern_file("buffers", SIZE);
	unsigned char *p = fresh(), *q = fresh();
	struct iovec v[16];

	CHECK(pread(fd, p, SIZE, 0) == SIZE);
	for (size_t i = 0; i < SIZE; i++)
		CHECK(p[i] == pattern(i));
	CHECK(pwrite(fd, q, SIZE, 0) == SIZE); /* zeros */
	CHECK(pread(fd, p, SIZE, 0) == SIZE);
	for (size_t i = 0; i < SIZE; i++)
		CHECK(p[i] == 0);
	say("read and write\n");

	CHECK(pwrite(fd, "0123456789abcdef", 16, 0) == 16);
	p = fresh();
	for (int i = 0; i < 16; i++) /* one byte in each of 16 pages, backwards */
		v[i] = (struct iovec){ p + (unsigned)(15 - i) * PAGE + 4095, 1 };
	CHECK(preadv(fd, v, 16, 0) == 16);
	for (int i = 0; i < 16; i++)
		CHECK(p[(unsigned)(15 - i) * PAGE + 4095] == "0123456789abcdef"[i]);
	say("scattered\n");
	close(fd);
}

static void copy_on_write(void)
{
	/* The buffer is shared with a child, or with a file: the kernel's write must copy. */
	int fd = pattern_file("private", 4 * PAGE), pipes[2];
	unsigned char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	unsigned char *q = fresh();
	char c;
	pid_t pid;

	CHECK(p != MAP_FAILED && pipe(pipes) == 0);
	CHECK(p[PAGE] == pattern(PAGE));
	CHECK(write(pipes[1], "private", 7) == 7);
	CHECK(read(pipes[0], p + PAGE - 3, 7) == 7);
	CHECK(!memcmp(p + PAGE - 3, "private", 7) && p[PAGE + 4] == pattern(PAGE + 4));
	CHECK(pread(fd, &c, 1, PAGE) == 1 && (unsigned char)c == pattern(PAGE));
	memset(q, 5, 4 * PAGE);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		int zero = open("/dev/zero", O_RDONLY);

		CHECK(read(zero, q, 4 * PAGE) == (ssize_t)(4 * PAGE));
		CHECK(q[0] == 0 && q[4 * PAGE - 1] == 0 && q[4 * PAGE] == 0);
		_exit(0);
	}
	reap(pid, 0);
	CHECK(q[0] == 5 && q[4 * PAGE - 1] == 5);
	close(fd);
	say("copied on the kernel's write\n");
}

static void other_calls(void)
{
	unsigned char *p = fresh();
	struct msghdr msg = { 0 };
	struct iovec v;
	int s[2];

	CHECK(getcwd((char *)p, 2 * PAGE) && p[0] == '/');
	CHECK(stat("/", (struct stat *)(void *)(p + 4 * PAGE - 40)) == 0); /* across pages */
	CHECK(S_ISDIR(((struct stat *)(void *)(p + 4 * PAGE - 40))->st_mode));
	CHECK(uname((struct utsname *)(void *)(p + 8 * PAGE)) == 0 && p[8 * PAGE]);
	CHECK(clock_gettime(CLOCK_REALTIME, (struct timespec *)(void *)(p + 12 * PAGE)) == 0);
	CHECK(((struct timespec *)(void *)(p + 12 * PAGE))->tv_sec > 0);
	CHECK(pipe((int *)(void *)(p + 16 * PAGE)) == 0 && ((int *)(void *)(p + 16 * PAGE))[0] > 2);
	CHECK(readlink("/proc/self/exe", (char *)p + 20 * PAGE - 2, 100) > 2);

	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
	CHECK(send(s[0], fresh(), 3 * PAGE, 0) == (ssize_t)(3 * PAGE));
	v = (struct iovec){ p + 32 * PAGE, 4 * PAGE };
	msg.msg_iov = &v;
	msg.msg_iovlen = 1;
	msg.msg_control = p + 64 * PAGE;
	msg.msg_controllen = 256;
	CHECK(recvmsg(s[1], &msg, 0) == (ssize_t)(3 * PAGE));
	((struct pollfd *)(void *)(p + 80 * PAGE))->fd = -1;
	CHECK(poll((struct pollfd *)(void *)(p + 84 * PAGE), 2, 0) >= 0);
	say("getcwd, stat, uname, pipe, readlink, sockets, poll\n");
}

static void bad_buffers(void)
{
	unsigned char *p = map_anon(4 * PAGE, PROT_READ | PROT_WRITE);
	int fd = pattern_file("bad", 4 * PAGE), zero = open("/dev/zero", O_RDONLY);
	void *volatile nowhere = (void *)8;
	ssize_t n;

	CHECK(munmap(p + 2 * PAGE, PAGE) == 0);
	CHECK(mprotect(p + 3 * PAGE, PAGE, PROT_READ) == 0);
	CHECK(read(zero, p + 2 * PAGE, 10) == -1 && errno == EFAULT);
	CHECK(read(zero, p + 3 * PAGE, 10) == -1 && errno == EFAULT);
	CHECK(read(zero, nowhere, 10) == -1 && errno == EFAULT);
	CHECK(write(fd, nowhere, 10) == -1 && errno == EFAULT);
	CHECK(open((char *)p + 2 * PAGE, O_RDONLY) == -1 && errno == EFAULT);
	CHECK(stat("/", (struct stat *)(void *)(p + 3 * PAGE)) == -1 && errno == EFAULT);
	n = pread(fd, p + PAGE, 2 * PAGE, 0); /* half of it fits */
	CHECK(n == (ssize_t)PAGE || (n == -1 && errno == EFAULT));
	CHECK(p[0] == 0 && p[3 * PAGE] == 0);
	close(fd);
	close(zero);
	say("bad buffers: EFAULT\n");
}

static size_t resident(unsigned char *p, size_t size)
{
	unsigned char *in = malloc(size / PAGE);
	size_t n = 0;

	CHECK(in && mincore(p, size, in) == 0);
	for (size_t i = 0; i < size / PAGE; i++)
		n += in[i] & 1;
	free(in);
	return n * PAGE;
}

/* Asked for much more than there is: the buffer does not come into being for it. */
static void huge_buffers(void)
{
	size_t size = 1ul << 30;
	unsigned char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int pipes[2], s[2], fd = pattern_file("huge", PAGE);

	CHECK(p != MAP_FAILED && pipe(pipes) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	CHECK(write(pipes[1], "from a pipe", 11) == 11 && write(s[1], "a socket", 8) == 8);
	CHECK(read(pipes[0], p, size) == 11 && recv(s[0], p + 11, size - 11, 0) == 8);
	CHECK(write(s[1], "once more", 9) == 9 && read(s[0], p + 19, size - 19) == 9);
	CHECK(!memcmp(p, "from a pipea socketonce more", 28));
	CHECK(pread(fd, p, size, 0) == (ssize_t)PAGE && p[PAGE - 1] == pattern(PAGE - 1));
	CHECK(resident(p, size) <= 32u << 20);
	CHECK(syscall(SYS_read, fd, p, -1l) == -1 && (errno == EINVAL || errno == EFAULT));
	say("much more asked for than there is\n");
}

static volatile sig_atomic_t signals;

static void on_signal(int sig)
{
	(void)sig;
	signals = signals + 1;
}

/* So little stack that the handler's frame only just fits above the guard page. */
static void *on_little_stack(void *bottom)
{
	size_t frame = getauxval(AT_MINSIGSTKSZ), keep = frame + 128 + 640;
	char here;
	char *volatile low = alloca((size_t)(&here - (char *)bottom) - keep);

	(void)low;
	asm volatile("syscall"
		     :
		     : "a"(SYS_tgkill), "D"(getpid()), "S"(syscall(SYS_gettid)), "d"(SIGUSR1)
		     : "rcx", "r11", "memory");
	CHECK(signals == 1);
	return NULL;
}

static void frame_at_a_guard(void)
{
	size_t size = 64 * PAGE;
	char *p = mmap(NULL, size + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_attr_t attr;
	pthread_t thread;

	CHECK(p != MAP_FAILED && mprotect(p + PAGE, size, PROT_READ | PROT_WRITE) == 0);
	CHECK(signal(SIGUSR1, on_signal) != SIG_ERR && pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setstack(&attr, p + PAGE, size) == 0);
	CHECK(pthread_create(&thread, &attr, on_little_stack, p + PAGE) == 0);
	CHECK(pthread_join(thread, NULL) == 0 && signals == 1);
	say("a signal's frame at a guard page\n");
}

int main(void)
{
	files();
	copy_on_write();
	other_calls();
	bad_buffers();
	huge_buffers();
	frame_at_a_guard();
	return 0;
}
