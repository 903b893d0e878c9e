#!/bin/sh
# SPDX-License-Identifier: MIT
# Limits of a run, --mem-max and --mem-high, and pressure: that a machine with memory to spare gives
# its programs no more, who is ended and who waits, what is told of it.
cd "$(dirname "$0")/../.." || exit 2
. tests/programs/expect.sh
begin_with memcg swap_use
run="$ONDOL run --mem 256M"

# in_json NAME: a number of the last --json, which is in ./json
in_json() {
	sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" json
}

check() { # name, a condition, what to show
	if [ "$2" ]; then good "$1"; else bad "$1" "$3"; fi
}

told="--validate --json --stats-file json"

# ---------------------------------------------------------------- memory.max
sum=$(./swap_use fill 20)
for where in '--swap s.img:256M' '--zram 128M' '--zram 16M --swap s.img:256M'; do
	expect "more than --mem-max, $where" 0 "$sum" '' \
		$run --mem-max 12M $where $told -- ./swap_use fill 20
	peak=$(in_json peak) max=$(in_json max) oom=$(in_json oom)
	check "never beyond it, $where" \
		"$([ "$peak" -gt 2700 ] && [ "$peak" -le 3072 ] && [ "$max" -gt 10 ] && [ "$oom" -eq 0 ] && echo yes)" \
		"peak $peak max $max oom $oom"
done
expect 'forks below --mem-max' 0 forked '' \
	$run --mem-max 24M --swap s.img --validate -- ./swap_use forks 32
expect 'joined threads' 0 joined '' $run --mem-max 24M --swap s.img --validate -- ./swap_use threads 40
expect 'shared memory' 0 shmem '' $run --mem-max 24M --zram 64M --validate -- ./swap_use shmem 40
expect 'two at once below one limit' 0 "$sum
$sum" '' $run --mem-max 24M --swap s.img $told -- sh -c './swap_use fill 20 & ./swap_use fill 20; wait'
check 'never beyond it together' "$([ "$(in_json peak)" -le 6144 ] && echo yes)" "$(in_json peak)"
expect 'one page a fault, two nodes' 0 "$sum" '' \
	$run --nodes 2 --fault-around 1 --mem-max 12M --zram 64M --validate -- ./swap_use fill 20
expect 'files stream by' 0 "$(cksum <"$ONDOL")" '' \
	$run --mem-max 2M $told -- sh -c "cksum <'$ONDOL'"
expect 'what fits is not touched' 0 "$sum" '' $run --mem-max 64M $told -- ./swap_use fill 20
check 'nor counted as an event' "$([ "$(in_json max)" -eq 0 ] && echo yes)" "$(in_json max)"

expect 'without swap: ended, and the limit is named' 137 '' \
	'out of memory: swap_use .* is killed, touching .*: memory\.max' \
	$run --mem-max 16M --validate -- ./swap_use fill 32
grep -q 'memory.max: usage 163[0-9][0-9]kB, limit 16384kB, failcnt [1-9]' err &&
	grep -q 'more with --mem-max' err && good 'as Linux tells it' || bad 'as Linux tells it' 'not so'
expect 'the largest is ended, the others go on' 0 'small 0
large 137' 'swap_use \([0-9]*\) is killed' $run --mem-max 32M $told -- sh -c '
	./swap_use sleep 8 & small=$!
	sleep 0.3; ./swap_use fill 36 >/dev/null; large=$?
	wait $small; echo small $?; echo large $large'
check 'the events' "$([ "$(in_json oom)" -ge 1 ] && [ "$(in_json oom_kill)" -eq 1 ] && echo yes)" \
	"oom $(in_json oom) oom_kill $(in_json oom_kill)"
expect 'oom_score_adj' 0 'small 137
large 0' 'is killed for swap_use' $run --mem-max 40M -- sh -c '
	(echo 900 >/proc/self/oom_score_adj; exec ./swap_use sleep 12) & small=$!
	sleep 0.3; ./swap_use fill 32 >/dev/null; large=$?
	wait $small; echo small $?; echo large $large'
expect 'too little for anything' 137 '' 'memory\.max' $run --mem-max 256K --validate -- ./swap_use fill 1
expect 'the machine is as large as ever' 0 yes '' $run --mem-max 16M -- \
	awk '/^MemTotal/ { print ($2 > 250000 ? "yes" : $2) }' /proc/meminfo

# ---------------------------------------------------------------- memory.high
expect 'more than --mem-high with swap' 0 "$sum" '' \
	$run --mem-high 12M --zram 128M $told -- ./swap_use fill 20
check 'nobody is held for it' \
	"$([ "$(in_json held)" -eq 0 ] && [ "$(in_json high)" -gt 10 ] && [ "$(in_json peak)" -le 3136 ] && echo yes)" \
	"held $(in_json held) high $(in_json high) peak $(in_json peak)"
sum=$(./swap_use fill 16)
expect 'and without: slower, not ended' 0 "$sum" '' $run --mem-high 15M $told -- ./swap_use fill 16
check 'held, and waited for' \
	"$([ "$(in_json held)" -gt 2 ] && [ "$(in_json held_us)" -gt 100000 ] && [ "$(in_json oom)" -eq 0 ] && echo yes)" \
	"held $(in_json held) for $(in_json held_us) us"
check 'which is told as pressure' "$([ "$(sed 's/.*"full":[^}]*"total_us":\([0-9]*\).*/\1/' json)" -gt 100000 ] && echo yes)" \
	"$(sed 's/.*"pressure"//' json)"
# Far beyond a thread is held for two seconds a fault; it can be ended meanwhile, and others go on.
expect 'who is held can be ended' 124 '' '' \
	$run --mem-high 4M --validate -- timeout 3 ./swap_use fill 64
expect 'others are served meanwhile' 0 served '' $run --mem-high 6M -- sh -c '
	awk "BEGIN { for (i = 0; i < 4000; i++) { while ((getline l <\"/etc/passwd\") > 0); close(\"/etc/passwd\") }
		print \"served\" }" & awk=$!
	sleep 0.5; ./swap_use fill 32 & wait $awk; kill $!'
expect 'forks while others are held' 0 forked '' $run --mem-high 31M --validate -- ./swap_use forks 16

# ---------------------------------------------------------------- pressure
line='avg10=[0-9]+\.[0-9]{2} avg60=[0-9]+\.[0-9]{2} avg300=[0-9]+\.[0-9]{2} total='
pressure() { # of a run: what it says of `some` and `full`
	answer 120 "$@"
	some=$(sed -n 's/^some .*total=//p' out) full=$(sed -n 's/^full .*total=//p' out)
}
pressure $run -- cat /proc/pressure/memory
check 'no pressure' "$(grep -cE "^(some|full) ${line}0\$" out | grep -x 2)" "$(cat out)"
pressure $run --mem-max 12M --zram 64M --proc texts -- \
	sh -c './swap_use fill 20 >/dev/null; sleep 2.1; cat /proc/pressure/memory'
# The shell may still be on its way to wait for it.
check 'pressure of one: full is some' "$([ "$some" -gt 50000 ] && [ "$full" -le "$some" ] &&
	[ $((full * 100)) -ge $((some * 99)) ] && echo yes)" "$(cat out)"
check 'it is in the averages' "$(grep -E "^some ${line}" out | grep -vE 'avg10=0\.0')" "$(cat out)"
check '--proc has it' "$([ "$(sed -n 's/^some .*total=//p' texts/pressure)" -ge "$some" ] && echo yes)" \
	"$(cat texts/pressure)"
pressure $run --mem-max 12M --zram 64M -- sh -c '
	(while :; do :; done) & ./swap_use fill 20 >/dev/null; kill $!; cat /proc/pressure/memory'
check 'beside one that runs: some, not full' \
	"$([ "$some" -gt 50000 ] && [ "$full" -lt $((some / 2)) ] && echo yes)" "$(cat out)"
expect 'no triggers' 2 '' 'not supported' $run -- sh -c 'echo some 150000 1000000 >/proc/pressure/memory'
expect 'from its folder' 0 2 '' $run -- sh -c 'cd /proc/pressure && grep -c avg10 memory'

# ---------------------------------------------------------------- what is no limit
for wrong in '--mem-max 1K' '--mem-max much' '--mem-high 0' '--mem-high 99999T'; do
	expect "$wrong" 125 '' 'want a size' $run $wrong -- true
done
exit $failed
