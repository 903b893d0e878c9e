/* SPDX-License-Identifier: MIT */
/*
 * A lock of four bytes that may be held across fork() and before there is a thread library.
 * Drepper, "Futexes are tricky", 2004, the third mutex.
 */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

#define SPINS 64 /* what is done under these locks is mostly shorter than a sleep */

void lock_slow(struct lock *lock)
{
	for (int i = 0; i < SPINS; i++) {
		if (!__atomic_load_n(&lock->word, __ATOMIC_RELAXED) && lock_try(lock))
			return;
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#endif
	}
	while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE))
		(void)syscall(SYS_futex, &lock->word, FUTEX_WAIT_PRIVATE, 2, NULL);
}

void lock_wake(struct lock *lock)
{
	(void)syscall(SYS_futex, &lock->word, FUTEX_WAKE_PRIVATE, 1);
}
