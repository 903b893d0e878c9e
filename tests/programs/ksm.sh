#!/bin/sh
# SPDX-License-Identifier: MIT
# Same-page merging under `ondol run --ksm`: frames are saved, programs see no difference, and what
# they write separates pages again, in every combination with what else moves and shares frames.
cd "$(dirname "$0")/../.." || exit 2
. tests/programs/expect.sh
begin_with ksm ksm

native=$(./ksm pair 4)
valid 'two processes without it' '' "$native" -- ./ksm pair 4
valid 'its files then' '' 'run 0
pages_to_scan 0
sleep_millisecs 100
pages_shared 0
pages_sharing 0
opened Permission denied' -- ./ksm views
valid 'its files' '' 'run 1
pages_to_scan 2000
sleep_millisecs 100
pages_shared 0
pages_sharing 0
opened Permission denied' --ksm -- ./ksm views

# 128 MiB of sixteen pages are less than 8, and the writes' quarter is there again.  How much there
# was before they were merged is told, too: on a busy machine merging begins before all is filled.
answer 120 "$ONDOL" run --validate --stats-file stats --ksm -- ./ksm pair 64 tell
judge '64 MiB in two processes each' 0 '^used' "$native"
if sed 's/[^0-9]\{1,\}/ /g' err | {
	read -r used merged separated
	[ "$used" -ge "$merged" ] && [ "$merged" -lt 8192 ] && [ "$separated" -gt 16384 ]
}; then
	good 'frames are saved, and come back'
else
	bad 'frames are saved, and come back' "$(cat err)"
fi
if grep -q '^  ksm .*at most 32752 saved, by 16 frames$' stats; then
	good 'the summary tells'
else
	bad 'the summary tells' "$(grep ksm stats)"
fi
answer 120 "$ONDOL" run --json --stats-file stats --ksm=100000 -- ./ksm pair 8
judge 'and as JSON' 0 '' "$native"
if grep -q '"ksm":{"full_scans":[1-9].*"peak_sharing":4080,"peak_shared":16}' stats; then
	good 'the numbers in it'
else
	bad 'the numbers in it' "$(cut -c 1-300 stats)"
fi

for options in '' '--trap=user' '--trap=ptrace' '--thp always' '--nodes 2' '--fault-around 1' \
	'--mem 16M --swap s.img:64M' '--mem 16M --zram 32M --swap s.img:64M' \
	'--compact --thp always --mem 64M'; do
	case $options in
	--trap=*)
		"$ONDOL" run "$options" true 2>/dev/null || continue
		;;
	esac
	valid "threads that write meanwhile, $options" '' right --ksm=1000000 $options -- ./ksm threads 4
	valid "readers keep it, $options" '' right --ksm=1000000 $options -- ./ksm readers 4
done
expect 'a rate of nothing' 125 '' 'want a whole number from 1' "$ONDOL" run --ksm=0 -- true
exit $failed
