# SPDX-License-Identifier: MIT
# Sourced by malloc.sh: whole programs.  Wall time, processor time and the peak RSS of the biggest
# process, medians of ROUNDS runs; in each round every malloc has its turn.  A program's output must
# be what it is with glibc's malloc.  What is not installed is skipped.  Processor time is there
# because it says more than wall time does on a machine where others work.
ROUNDS=${ROUNDS:-5}
repo=$PWD
timed=$PWD/$B/bench/timed warm=$PWD/$B/bench/warm
runs=$PWD/$B/bench/malloc-runs.out          # program, malloc, wall ms, processor ms, peak MiB
medians=$PWD/$B/bench/malloc-programs.out   # the same, one line for each program and malloc
whole() { # name, program needed, what prepares its input, script; both in a folder of its own
	[ -z "${PROGRAMS:-}" ] || case " $PROGRAMS " in *" $1 "*) ;; *) return ;; esac
	if ! command -v "$2" >/dev/null 2>&1; then
		echo "# $1 skipped: no $2"
		return
	fi
	mkdir "$work/$1" && cd "$work/$1" || exit 1
	eval "$3" || exit 1
	round=0
	while [ $round -lt "$ROUNDS" ]; do
		round=$((round + 1))
		for name in $names; do
			"$warm" "${BENCH_WARM:-1024}" # see warm.c
			eval "preload=\$$name"
			# A program may be linked with a malloc: Debian's redis-server has jemalloc's.
			[ $name = glibc ] && preload=$(find_peer libc.so.6)
			figures=$("$timed" "$preload" "$name.txt" "$4" 2>log) &&
				cmp -s glibc.txt "$name.txt" ||
				{ echo "$1 with $name failed:"; tail -3 log; exit 1; }
			echo "$1 $name $figures" >>"$runs"
		done
	done
	cd "$repo" && rm -rf "${work:?}/$1"
	medians "$1" >>"$medians"
	for name in $names; do awk -v p="$1" -v m="$name" '$1 == p && $2 == m' "$medians"
	done >"$work/rows"
	row "$1, ms" 3 <"$work/rows"
	row "$1, CPU ms" 4 <"$work/rows"
	row "$1, peak MiB" 5 <"$work/rows"
}
medians() { # program
	for name in $names; do
		printf '%s %s' "$1" "$name"
		for field in 3 4 5; do
			awk -v p="$1" -v m="$name" -v f=$field '$1 == p && $2 == m { print $f }' "$runs" |
				sort -n | awk '{ v[NR] = $1 } END { printf " %s", v[int((NR + 1) / 2)] }'
		done
		echo
	done
}
mean() { # title, field: geometric mean over all programs of each malloc's figure over glibc's
	for name in $names; do
		awk -v m="$name" -v f="$2" '
		$2 == "glibc" { base = $f }
		$2 == m { sum += log($f / base); n++ }
		END { if (n) print exp(sum / n) }' "$medians"
	done | row "$1" 1
}

programs() {
	work=$(mktemp -d) || exit 1
	trap 'rm -rf "$work"' EXIT
	: >"$runs"
	: >"$medians"
	{ programs_table; echo $? >"$work/status"; } | tee "$work/table"
	[ "$(cat "$work/status" 2>/dev/null)" = 0 ] || exit 1
	bench/malloc_plot.sh "$medians" >"$B/bench/malloc.svg" || return
	[ -z "${WRITE:-}" ] || [ -n "${PROGRAMS:-}" ] || write_docs # the whole table only
}
programs_table() {
	head_line 'programs'
	compilers
	interpreters
	data
	mean 'geometric mean, ms' 3
	mean 'geometric mean, CPU ms' 4
	mean 'geometric mean, peak' 5
}
write_docs() { # the picture, and the table between its head and the end of its block
	cp "$B/bench/malloc.svg" docs/pictures/malloc.svg
	awk -v table="$work/table" '
	/^programs  / { while ((getline line < table) > 0) print line; skip = 1 }
	/^```/ { skip = 0 }
	!skip' docs/benchmarks.md >"$work/page" && cat "$work/page" >docs/benchmarks.md
}

compilers() {
	core="-std=gnu11 -O2 -ffreestanding -I$repo/include -I$repo/core -c -o x.o $repo/core"
	whole gcc gcc : "gcc $core/phys/buddy.c && cksum <x.o"
	whole clang clang : "clang $core/phys/buddy.c && cksum <x.o"
	whole g++ g++ 'printf "#include <regex>\n#include <map>\nstd::map<int,std::regex> m;" >x.cc' \
		'g++ -O1 -c -o x.o x.cc && cksum <x.o'
}

interpreters() {
	# Not the shim of a version manager, which is a shell script.
	python=$(python3 -c 'import sys; print(sys.executable)' 2>/dev/null)
	whole python3 "${python:-python3}" : "PYTHONMALLOC=malloc $python -c '
d = {str(i): [i, str(i) * 3, {i: i}] for i in range(100000)}
import json; print(len(json.dumps(d)))'"
	whole perl perl : 'perl -e "my %h; \$h{\$_ % 50003} .= \"x\$_\" for 1..800000;
my \$n; \$n += length for values %h; print \$n"'
	whole ruby ruby : 'ruby -e "
h = Hash.new { |k, v| k[v] = [] }
300000.times { |i| h[i % 9973] << \"a string longer than its slot #{i}\" }
puts h.sum { |k, v| v.map(&:upcase).join.size }"'
	whole php php : 'USE_ZEND_ALLOC=0 php -n -d memory_limit=-1 -r "\$a = [];
for (\$i = 0; \$i < 800000; \$i++) { \$a[\"k\" . (\$i % 50021)][] = str_repeat(\"x\", \$i % 37); }
\$n = 0; foreach (\$a as \$v) \$n += strlen(implode(\$v)); echo \$n, md5(json_encode(\$a));"'
	whole lua lua5.4 : 'lua5.4 -e "
local t, h, n = {}, {}, 0
for i = 1, 150000 do t[i] = {i, \"k\" .. i} end
for i = 1, #t do
	local k = t[i][2]:sub(1, 4)
	h[k] = h[k] or {}
	table.insert(h[k], t[i][2] .. i)
end
for _, v in pairs(h) do n = n + #table.concat(v) end
print(n)"'
	whole node node : 'node -e "const m = new Map(), z = require(\"zlib\"); let n = 0;
for (let i = 0; i < 100000; i++) m.set(\"k\" + i, new Uint8Array(100 + i % 1000));
for (const [k, v] of m) n += v.length;
for (let i = 0; i < 100; i++) n += z.deflateSync(Buffer.alloc(1 << 16, i)).length;
console.log(n);"'
}

data() {
	whole sqlite3 sqlite3 : 'sqlite3 :memory: "create table t(a, b text);
with recursive c(x) as (select 1 union all select x+1 from c where x<200000)
insert into t select x, hex(x*7919) from c; create index i on t(b);
select count(*) from t x join t y on x.b = y.b;"'
	whole jq jq objects \
		'jq -s "map(select(.x.y % 3 == 0) | .name + .tags[1]) | group_by(.[-2:]) |
map(length)" x.json'
	whole xmllint xmllint '{ echo "<a>"; seq 200000 |
sed "s|.*|<b c=\"&\"><d>&7</d>t&</b>|"; echo "</a>"; } >x.xml' \
		'xmllint --xpath "count(//b[@c mod 7 = 0]/d)" x.xml'
	whole git git history \
		'git -C g log -p | cksum; git -C g -c pack.threads=1 repack -adfq'
	whole redis redis-server load 'redis-server --port 0 --unixsocket "$PWD/s" --save "" \
	--appendonly no >/dev/null & pid=$!
while [ ! -S s ]; do sleep 0.01; done
LD_PRELOAD= redis-cli -s s --pipe <load | tail -1
LD_PRELOAD= redis-cli -s s DBSIZE; LD_PRELOAD= redis-cli -s s SHUTDOWN NOSAVE; wait $pid'
}
objects() {
	awk 'BEGIN { for (i = 1; i <= 50000; i++) printf "{\"id\":%d,\"name\":\"n%d\"," \
		"\"tags\":[%d,\"t%d\",null],\"x\":{\"y\":%d}}\n", i, i * 7919, i % 97, i % 13, i }' >x.json
}
history() { # a repository of 200 commits, each of 4 files of 800 lines
	git init -q -b main g && awk 'BEGIN { for (c = 1; c <= 200; c++) {
		printf "commit refs/heads/main\ncommitter n <a@b> %d +0000\ndata 2\nc\n", 1767225600 + c
		for (f = 1; f <= 4; f++) {
			s = ""
			for (i = 0; i < 800; i++)
				s = s (i * 7919 + (c % 40 == i % 40 ? c : 0)) * f "\n"
			printf "M 644 inline d%d/f%d\ndata %d\n%s\n", c % 17, f, length(s), s
		}
	} }' | git -C g fast-import --quiet && git -C g repack -adq
}
load() { # 130,000 commands: strings, lists, hashes, and keys that go
	awk 'BEGIN { for (i = 0; i < 40000; i++) {
		k = "k" (i * 7919 % 10007)
		printf "SET %s value-%d-%d\r\nRPUSH l%d %s\r\nHSET h%d %s %d\r\n",
			k, i, i * i, i % 1009, k, i % 997, k, i
		if (i % 3 == 0)
			printf "DEL k%d\r\n", i * 31 % 10007
	} }' >load
}
