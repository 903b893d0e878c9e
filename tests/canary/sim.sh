#!/bin/sh
# SPDX-License-Identifier: MIT
# The simulator must see mistakes in locking: each is made in a copy of a file of the core, that
# is built in its place, and tests/unit/phys_sim or slab_sim must fail within its usual rounds.
cd "$(dirname "$0")/../.." || exit 2
n=0
work=build/sim/canary
lib=build/sim/libondol.a
cc=${CC:-cc}
flags='-O1 -g -w -std=gnu11 -D_GNU_SOURCE -Iports -include ports/sim/points.h -Iinclude -Icore -Itests'
rm -rf $work
mkdir -p $work

sim=phys_sim
# name, file, sed script: the file's copy, and what includes it, in front of the library's.
mistake() {
	n=$((n + 1))
	name=$1 file=$2
	dir=$work/$n
	mkdir -p "$dir/$(dirname "$file")"
	sed "$3" "core/$file" >"$dir/$file"
	if cmp -s "core/$file" "$dir/$file"; then
		echo "not ok $n - $name: core/$file has no such line"
		return
	fi
	case $file in
	*.h) sources=$(grep -rl "cpu_lock\|pcp" core/phys --include='*.c') ;;
	*) sources=$dir/$file ;;
	esac
	for source in $sources; do
		$cc -I"$dir" $flags -ffreestanding -c -o "$dir/$(basename "$source").o" "$source" ||
			exit 2
	done
	$cc $flags -o "$dir/sim" tests/unit/$sim.c ports/sim/sim.c "$dir"/*.o $lib -lcmocka ||
		exit 2
	if CMOCKA_MESSAGE_OUTPUT=STDOUT timeout 60 "$dir/sim" "$4" >"$dir/log" 2>&1; then
		echo "not ok $n - $name: nobody noticed"
	elif grep -q '# again: ' "$dir/log" && grep -q 'operations and .* switches do it' "$dir/log"; then
		echo "ok $n - $name: $(sed -n 's/^# \([0-9]* operations.*\)/\1/p' "$dir/log" | head -1)"
	else
		echo "not ok $n - $name: not explained, see $dir/log"
	fi
}

mistake 'a drain without the zone lock' phys/pcp.c \
	'/^void pcp_drain/,/^}/s/bool smp = .*/bool smp = false;/' lists
mistake 'a refill without the zone lock' phys/pcp.c \
	'/^bool pcp_refill/,/^}/s/bool smp = .*/bool smp = false;/' lists
mistake 'a remote drain that does not claim the lists' phys/page_free.c \
	'/^static void drain_cpus/,/^}/s/if (phys->smp)/if (0)/' lists
mistake 'an owner that does not look for a claim' base/spinlock.h \
	'/^static inline void cpu_lock(/,/^}/s/cpu_lock_wait(port, lock);/;/' lists
mistake 'an owner without interrupts that does not look for a claim' base/spinlock.h \
	'/^static inline bool cpu_try_lock(/,/^}/s/if (.*claimed.*/if (1)/' 'drains, calm'
mistake 'an allocation without interrupts that does not lock its list' phys/page_alloc.c \
	'/alloc_as_cpu(/,/^}/{s/!cpu_try_lock(&cpu->lock)/0/;s/cpu_try_unlock(&cpu->lock);//;}' \
	'drains, calm'
mistake 'a claim that does not wait for the owner' base/spinlock.h \
	'/^static inline void cpu_lock_claim/,/^}/s/while (.*busy.*/if (0)/' lists
mistake 'a claim without the barrier' base/spinlock.h \
	'/^static inline void cpu_lock_claim/,/^}/s/port->sync_cpus(port->ctx);/;/' drains
mistake 'an allocation that does not lock its list' phys/page_alloc.c \
	'/^alloc_hooked/,/^}/s/pcp_\(un\)*lock(m, cpu);//' drains
mistake 'page lists open to interrupts' phys/page_alloc.c \
	'/^alloc_hooked/,/^}/{s/port_irq_save(m->port)/0/;s/port_irq_restore(m->port, irq);//;}' interrupts
mistake 'two that reclaim at a time' phys/page_alloc.c \
	'/^static struct ondol_page \*reclaim/,/^}/s/__ATOMIC_RELAXED)) {/__ATOMIC_RELAXED) \&\& 0) {/' reclaim
mistake 'a section brought up by two' phys/section.c \
	'/^void section_grow/,/^}/s/== seen && seen/>= 0 \&\& seen/' 'late records'
sim=slab_sim
mistake 'a cache drained without a claim to the magazines' slab/depot.c \
	'/^static void drain_cpu(/,/^}/s/if (cache->smp)/if (0)/' depot
mistake 'a depot without its lock' slab/depot.c \
	'/^static void lock_depot/,/^}/s/if (!cache->smp ||.*/if (1)/;/^static void unlock_depot/,/^}/s/if (cache->smp)/if (0)/' depot
mistake 'magazines open to interrupts' slab/magazine.c \
	'/^lock_cpu(/,/^}/s/port_irq_save(m->port)/0/;/^unlock_cpu(/,/^}/s/port_irq_restore(.*/;/' interrupts
