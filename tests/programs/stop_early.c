/* SPDX-License-Identifier: MIT */
/* SIGSTOP at any moment of a process's first milliseconds: fork, exec, loading.  None is lost. */
#include "check.h"

int main(void)
{
	for (unsigned n = 0; n < 80; n++) {
		int status;
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid) {
			if (n % 4 == 0)
				for (;;)
					pause();
			execl("/bin/sleep", "sleep", "100", (char *)NULL);
			_exit(1);
		}
		usleep(n % 2 ? n * 37 : 0);
		CHECK(kill(pid, SIGSTOP) == 0);
		CHECK(waitpid(pid, &status, WUNTRACED) == pid);
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
		CHECK(kill(pid, SIGCONT) == 0);
		CHECK(waitpid(pid, &status, WCONTINUED) == pid);
		CHECK(WIFCONTINUED(status));
		CHECK(kill(pid, SIGTERM) == 0);
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	}
	say("stopped, continued, ended\n");
	return 0;
}
