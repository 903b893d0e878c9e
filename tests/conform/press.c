/* SPDX-License-Identifier: MIT */
/*
 * press MIB PROGRAM [ARGUMENT...]: run the program beside one that goes on touching so much memory
 * until the program and all that it has started have ended.  With less memory than that and swap
 * the program's own pages come and go all the time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define END_FD 230 /* the program's end of the pipe, out of the way */

static void press(size_t pages, int end)
{
	char *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), byte;

	if (at == MAP_FAILED)
		_exit(1);
	fcntl(end, F_SETFL, O_NONBLOCK);
	for (size_t i = 0;; i = (i + 1) % pages) {
		at[i * PAGE]++;
		if (i % 32)
			continue;
		if (read(end, &byte, 1) == 0)
			_exit(0);
		usleep(100);
	}
}

int main(int argc, char **argv)
{
	int end[2];

	if (argc < 3 || pipe(end) || dup2(end[1], END_FD) < 0)
		return 2;
	close(end[1]);
	pid_t pid = fork();

	if (pid < 0)
		return 2;
	if (!pid) {
		close(END_FD);
		if (fork()) /* nobody's child, so that the program does not wait for it */
			_exit(0);
		press(strtoul(argv[1], NULL, 10) << 8, end[0]);
	}
	close(end[0]);
	waitpid(pid, NULL, 0);
	execv(argv[2], argv + 2);
	perror(argv[2]);
	return 2;
}
