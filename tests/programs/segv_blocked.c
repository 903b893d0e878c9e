/* SPDX-License-Identifier: MIT */
/*
 * New memory touched with SIGSEGV blocked, or ignored: the program's action must be what it was
 * afterwards [SIG-1].
 */
#include "check.h"

int main(void)
{
	struct sigaction action;
	sigset_t mask;

	signals_all(SIG_BLOCK);
	touch_new(64);
	CHECK(sigprocmask(SIG_SETMASK, NULL, &mask) == 0 && sigismember(&mask, SIGSEGV));
	signals_all(SIG_UNBLOCK);
	say("blocked, without a handler: still blocked\n");

	catch_faults(0);
	signals_all(SIG_BLOCK);
	touch_new(64);
	CHECK(sigprocmask(SIG_SETMASK, NULL, &mask) == 0 && sigismember(&mask, SIGSEGV));
	signals_all(SIG_UNBLOCK);
	CHECK(FAULTS(*(volatile int *)8 = 1) == SIGSEGV);
	say("blocked: the handler is still there\n");

	for (int i = 0; i < 20; i++) {
		signals_all(SIG_BLOCK);
		touch_new(64);
		signals_all(SIG_UNBLOCK);
		CHECK(FAULTS(*(volatile int *)8 = 1) == SIGSEGV);
	}
	say("again and again\n");

	CHECK(signal(SIGSEGV, SIG_IGN) != SIG_ERR);
	touch_new(64);
	CHECK(sigaction(SIGSEGV, NULL, &action) == 0 && action.sa_handler == SIG_IGN);
	CHECK(raise(SIGSEGV) == 0);
	say("ignored: still ignored\n");
	return 0;
}
