#!/bin/sh
# SPDX-License-Identifier: MIT
# Swap and the end of memory under `ondol run`: programs with more than there is, what they are
# told, what goes wrong, and who is ended.
cd "$(dirname "$0")/../.." || exit 2
. tests/programs/expect.sh
skip_if_not_here swap
cc=${CC:-cc}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
for c in swap_use scribble held; do
	$cc -O1 -w -o "$work/$c" "tests/programs/$c.c" -pthread || exit 2
done
cp tests/programs/scripts/big.py "$work"
cd "$work" || exit 2
run="$ONDOL run"

# ---------------------------------------------------------------- more than there is
sum=$(./swap_use fill 48)
for where in '--swap s.img:256M' '--zram 128M' '--zram 16M --swap s.img:256M'; do
	expect "more than there is, $where" 0 "$sum" '' \
		$run --mem 24M $where --validate -- ./swap_use fill 48
	expect "joined threads, $where" 0 joined '' \
		$run --mem 24M $where --validate -- ./swap_use threads 40
	expect "a semaphore between processes, $where" 0 shared '' \
		$run --mem 24M $where --validate -- ./swap_use shared 40
	expect "shared memory, $where" 0 shmem '' \
		$run --mem 24M $where --validate -- ./swap_use shmem 40
	expect "what is told, $where" 0 told '' \
		$run --mem 24M $where --validate -- ./swap_use told 40
done
expect 'more zram than is good, and a file' 0 "$sum" '' \
	$run --mem 12M --zram 64M --swap s.img:256M --validate -- ./swap_use fill 48
expect 'forks' 0 forked '' $run --mem 24M --swap s.img:256M --validate -- ./swap_use forks 32
expect 'forks, compressed' 0 forked '' $run --mem 40M --zram 200M --validate -- ./swap_use forks 32
expect 'two at once, each with more than there is' 0 "$sum
$sum" '' $run --mem 24M --swap s.img --validate -- sh -c './swap_use fill 48 & ./swap_use fill 48; wait'
for how in requeue waitv; do
	expect "a futex by $how" 0 woken '' $run --mem 24M --zram 32M -- ./held $how
done
dd if=/dev/zero of=direct bs=4096 count=1 2>/dev/null
if dd if=direct of=/dev/null iflag=direct bs=4096 2>/dev/null; then
	expect 'a descriptor with O_DIRECT from before' 0 'all stay' '' \
		./held direct direct "$ONDOL" run --mem 24M --zram 32M -- ./held stay
	expect 'and without one' 0 'none stays' '' $run --mem 24M --zram 32M -- ./held stay
else
	echo 'ok - a descriptor with O_DIRECT from before # SKIP no O_DIRECT here'
fi
expect 'with one page a fault' 0 "$sum" '' \
	$run --mem 24M --swap s.img --fault-around 1 --validate -- ./swap_use fill 48
expect 'two nodes' 0 "$sum" '' $run --mem 24M --nodes 2 --swap s.img -- ./swap_use fill 48
if command -v python3 >/dev/null; then
	result=$(python3 big.py)
	for mem in 64M 32M 16M; do
		expect "python3 with $mem" 0 "$result" '' \
			$run --mem $mem --swap s.img:1G -- python3 big.py
	done
	$run --mem 32M --zram 16M --swap s.img:1G --json --stats-file json -- python3 big.py >out 2>err
	python3 - json >out 2>err <<-'END' && good 'the report' || bad 'the report' 'does not agree'
	import json, sys
	r = json.load(open(sys.argv[1]))
	s = r["swap"]
	assert s["out"] >= s["in"] > 1000 and s["refaults"] == s["in"], s
	assert 0 < s["peak_used"] <= s["pages"] == 4096 + (1 << 18) - 1, s
	assert s["refault_distance_sum"] >= s["in"] and s["errors"] == 0, s
	z = s["zram_peak"]
	assert 1000 < z["pages"] <= 4096 and 0 < z["bytes"] <= z["bytes_used"] < z["pages"] * 3072, z
	assert r["faults"]["swap_read"] > 0 and r["faults"]["refused"] == 0, r["faults"]
	assert r["all_frames_back"]
	END
fi

# ---------------------------------------------------------------- many at once
cat >crowd.sh <<'END'
for w in 'fill 16' 'forks 10' 'threads 12' 'shmem 12'; do
	(for i in 1 2; do ./swap_use $w || echo "$w $?"; done >"crowd.${w%% *}") &
done
seq 100000 | sort -rn | cksum
wait
cat crowd.fill crowd.forks crowd.threads crowd.shmem
END
crowd=$(sh crowd.sh)
for where in '--mem 24M --swap s.img:256M' '--mem 32M --zram 128M' \
	'--mem 20M --zram 32M --swap s.img:256M'; do
	expect "a crowd, $where" 0 "$crowd" '' $run $where --validate -- sh crowd.sh
done
# Too little for all of them: some are ended, the others are right, and it comes to an end.
timeout -k 5 120 $run --mem 10M --zram 8M --validate --stats -- sh crowd.sh >out 2>err
status=$?
if [ $status -eq 0 ] && grep -q 'is killed' err && grep -q 'every frame is back' err &&
	! grep -q 'contents' out && ! grep -q 'internal error' err; then
	good 'a crowd with too little'
else
	bad 'a crowd with too little' "status $status"
fi

# ---------------------------------------------------------------- files
expect 'a file of no size' 125 '' 'how large' $run --swap new.img -- true
expect 'a file that is something else' 125 '' 'holds something else' \
	$run --swap swap_use:64M -- true
cmp -s swap_use "$work/swap_use" && [ -x swap_use ] && ./swap_use fill 1 >/dev/null &&
	good 'and stays so' || bad 'and stays so' 'it was written to'
expect 'a folder' 125 '' 'directory' $run --swap .:64M -- true
expect 'a folder that is not there' 125 '' 'No such file' $run --swap none/s.img:64M -- true
expect 'a size that is none' 125 '' 'want FILE or FILE:SIZE' $run --swap s.img:1K -- true
expect 'a size with a letter that is none' 125 '' 'want FILE or FILE:SIZE' \
	$run --swap s.img:1X -- true
expect 'zram of no size' 125 '' 'want a size' $run --zram much -- true
expect 'a table larger than memory' 125 '' 'more with --mem' $run --mem 8M --swap s.img:64G -- true
rm -f s.img
expect 'two runs, one file' 125 '' 'another run uses it' \
	$run --swap s.img:16M -- "$ONDOL" run --swap s.img:16M -- true
mkdir full 2>/dev/null && mount -t tmpfs -o size=1m none full 2>/dev/null && {
	expect 'a full disk' 125 '' 'No space left' $run --swap full/s.img:16M -- true
	umount full
}
if command -v mkswap >/dev/null; then
	head -c 67108864 /dev/zero >made.img
	mkswap made.img >/dev/null 2>&1
	expect 'a file of mkswap' 0 "$sum" '' $run --mem 24M --swap made.img -- ./swap_use fill 48
fi
rm -f s.img
expect 'what was there is gone: SIGBUS' 0 'SIGBUS' 'cannot be read: the file has been cut' \
	$run --mem 24M --swap s.img:64M -- ./swap_use cut 40 s.img
rm -f s.img

# ---------------------------------------------------------------- the end of memory
expect 'swap is full, too' 137 '' 'out of memory: scribble .* is killed' \
	$run --mem 24M --swap s.img:8M -- ./scribble hog
grep -q '0 of [0-9]* KiB of swap free' err && good 'and it is told' || bad 'and it is told' 'not so'
expect 'the largest is ended, the others go on' 0 'small 0
large 137' 'swap_use \([0-9]*\) is killed' $run --mem 40M -- sh -c '
	./swap_use sleep 8 & small=$!
	sleep 0.3; ./swap_use fill 36 >/dev/null; large=$?
	wait $small; echo small $?; echo large $large'
expect 'oom_score_adj' 0 'small 137
large 0' 'is killed for swap_use' $run --mem 48M -- sh -c '
	(echo 900 >/proc/self/oom_score_adj; exec ./swap_use sleep 12) & small=$!
	sleep 0.3; ./swap_use fill 36 >/dev/null; large=$?
	wait $small; echo small $?; echo large $large'
row='\[ *[0-9]+\] +[0-9]+ +[0-9]+ +[0-9]+ +[0-9]+ +[0-9]+ +[0-9]+ +'
grep -qE "^ondol:   $row  *900 swap_use\$" err && grep -qE "^ondol:   $row  *0 sh\$" err &&
	good 'the table of processes' || bad 'the table of processes' 'not as Linux has it'
if sh -c 'echo -1000 >/proc/self/oom_score_adj' 2>/dev/null; then
	expect 'oom_score_adj -1000: exempt' 0 'small 137
large 0' 'is killed for swap_use' $run --mem 48M -- sh -c '
		./swap_use sleep 12 & small=$!
		sleep 0.3
		(echo -1000 >/proc/self/oom_score_adj; exec ./swap_use fill 36) >/dev/null
		large=$?; wait $small; echo small $?; echo large $large'
else
	echo 'ok - oom_score_adj -1000: exempt # SKIP it may not be lowered here'
fi
exit $failed
