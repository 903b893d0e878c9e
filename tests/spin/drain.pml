/* SPDX-License-Identifier: MIT */
/*
 * The drain protocol (core/base/spinlock.h: struct cpu_lock; core/phys/pcp.c, page_free.c).
 *
 * CPU 0 takes from its list, puts on it, refills it and drains it itself, then goes idle; two
 * others drain it, and take a frame of the zone for themselves.  What CPU 0 stores to `busy` waits
 * in its store buffer, as on x86, until the memory takes it, which may be at any time, or until
 * an exchange of its own or the barrier of sync_cpus.  All other stores are seen at once.
 *
 * Checked: only one at a time is at the list; no frame is lost or there twice, though each
 * change is a read and a write; there is no deadlock.
 *
 * NO_BARRIER, NO_CLAIM_CHECK, NO_BUSY_WAIT, NO_STEP_BACK, NO_ZONE_LOCK: mistakes that it must find.
 */
#define ROUNDS 2
#define FRAMES 3

bit busy, claimed, zone_locked;
byte listed = 1, zone_free = FRAMES - 1, out, taken;
byte at_list; /* how many think that the list is theirs */
chan buffer = [4] of { bit };
byte running = 3;

inline commit_all() {
	do
	:: buffer?busy
	:: empty(buffer) -> break
	od
}

inline lock_zone() {
#ifndef NO_ZONE_LOCK
	atomic { !zone_locked -> zone_locked = 1 }
#endif
	skip
}

inline unlock_zone() { zone_locked = 0 }

inline cpu_lock() {
	buffer!1;
	if
#ifndef NO_CLAIM_CHECK
	:: claimed ->
		do
		::
#ifndef NO_STEP_BACK
			buffer!0;
#endif
			!claimed;
			buffer!1;
			if
			:: claimed
			:: !claimed -> break
			fi
		od
	:: !claimed
#else
	:: true
#endif
	fi;
	at_list++
}

inline cpu_unlock() {
	at_list--;
	buffer!0
}

inline claim() {
	atomic { !claimed -> claimed = 1 }
}

/* sync_cpus, then wait until the owner is out. */
inline claimed_now() {
#ifndef NO_BARRIER
	d_step { commit_all() };
#endif
#ifndef NO_BUSY_WAIT
	!busy;
#endif
	at_list++
}

inline drain() {
	lock_zone();
	n = listed;
	z = zone_free;
	zone_free = z + n;
	listed = 0;
	unlock_zone();
	at_list--;
	claimed = 0
}

proctype owner() {
	byte round, n, z;

	do
	:: round < ROUNDS ->
		round++;
		if
		:: cpu_lock(); /* alloc: pop, after a refill if it is empty */
			if
			:: listed == 0 ->
				lock_zone();
				z = zone_free;
				n = (z > 0 -> 1 : 0);
				zone_free = z - n;
				listed = n;
				unlock_zone()
			:: else
			fi;
			n = listed;
			if
			:: n > 0 -> listed = n - 1; out++
			:: else
			fi;
			cpu_unlock()
		:: out > 0 -> /* free: push */
			cpu_lock();
			n = listed;
			out--;
			listed = n + 1;
			cpu_unlock()
		:: true -> /* drains its own; the exchange empties its buffer */
			atomic { d_step { commit_all() }; !claimed -> claimed = 1 };
			claimed_now();
			drain()
		:: true /* idle */
		fi
	:: else -> break
	od;
	running--
}

proctype visitor() {
	byte round, n, z;

	do
	:: round < ROUNDS ->
		round++;
		if
		:: claim(); claimed_now(); drain()
		:: lock_zone();
			z = zone_free;
			n = (z > 0 -> 1 : 0);
			zone_free = z - n;
			unlock_zone();
			taken = taken + n
		fi
	:: else -> break
	od;
	running--
}

/* The memory takes a store when it likes; at the end, at last. */
proctype memory() {
	do
	:: buffer?busy
	:: running == 0 && empty(buffer) -> break
	od
}

active proctype watch() {
end:	at_list > 1 -> assert(false)
}

init {
	atomic { run owner(); run visitor(); run visitor(); run memory() };
	running == 0;
	assert(listed + zone_free + out + taken == FRAMES);
	assert(!claimed && !zone_locked && at_list == 0)
}
