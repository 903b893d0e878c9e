# SPDX-License-Identifier: MIT
# Sourced by malloc.sh: whole programs, processor time (user and system) in ms and peak RSS in MiB,
# each the least of five.
measure() { # command -> "ms MiB", the best of five
	for i in 1 2 3 4 5; do
		LD_PRELOAD=$preload python3 -c '
import os, resource, subprocess, sys
subprocess.run(["sh", "-c", sys.argv[1]], stdout=subprocess.DEVNULL, check=True)
r = resource.getrusage(resource.RUSAGE_CHILDREN)
print(round((r.ru_utime + r.ru_stime) * 1000, 1), round(r.ru_maxrss / 1024, 1))' "$1"
	done | sort -n | awk 'NR == 1 { ms = $1 } NR == 1 || $2 < rss { rss = $2 } END { print ms, rss }'
}
whole() { # title, program, command
	command -v "$2" >/dev/null 2>&1 || return
	out=$(for name in $names; do
		eval "preload=\$$name"
		measure "$3"
	done)
	echo "$out" | row "$1, ms" 1
	echo "$out" | row "$1, peak MiB" 2
}

programs() {
	head_line 'programs'
	whole python3 python3 'PYTHONMALLOC=malloc python3 -c "
d = {str(i): [i, str(i) * 3, {i: i}] for i in range(150000)}
import json; print(len(json.dumps(d)))"'
	whole gcc gcc 'gcc -std=gnu11 -O2 -ffreestanding -Iinclude -Icore -c -o /dev/null \
		core/phys/buddy.c'
	whole g++ g++ 'printf "#include <regex>\n#include <map>\nstd::map<int,std::regex> m;" |
		g++ -x c++ -O1 -c -o /dev/null -'
	whole sqlite3 sqlite3 'sqlite3 :memory: "create table t(a, b text);
with recursive c(x) as (select 1 union all select x+1 from c where x<300000)
insert into t select x, hex(x*7919) from c; create index i on t(b);
select count(*) from t x join t y on x.b = y.b;"'
	whole perl perl 'perl -e "my %h; \$h{\$_ % 50003} .= \"x\$_\" for 1..800000;"'
}
