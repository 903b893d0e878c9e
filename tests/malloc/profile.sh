# SPDX-License-Identifier: MIT
# Sourced by run.sh: a heap profile, read by pprof itself.  400 samples of the 200 MB: a quarter is
# five times their standard deviation.
$cc -O1 -g -Wall -o "$tmp/profiled" tests/malloc/profiled.c || exit 1
profile_says() { # sample type, function, MB
	go tool pprof -sample_index="$1" -unit=MB -top "$tmp"/profile.* 2>"$tmp/log" |
		awk -v name="$2" -v want="$3" '
		$NF == name { found = 1; mb = $1 + 0 }
		END {
			bad = want ? !found || mb < want * .75 || mb > want * 1.25 : mb > 0
			if (bad) print "# " name ": " mb " MB, not " want
			exit bad
		}'
	verdict $? "profile: $1 of $2, by pprof"
}
if go tool pprof -h 2>&1 | grep -q sample_index; then
	ONDOL_MALLOC_PROFILE=$tmp/profile.%p LD_PRELOAD=$so "$tmp/profiled"
	verdict $? 'profile: written'
	profile_says inuse_space keeper 191
	profile_says inuse_space churner 0
	profile_says alloc_space churner 95
	profile_says inuse_space one 50
	go tool pprof -sample_index=inuse_space -lines -top "$tmp"/profile.* 2>&1 | grep -q 'keeper.*profiled.c:'
	verdict $? 'profile: lines'
else
	skip 'profile' 'no go tool pprof (golang-go)'
fi
ONDOL_MALLOC_PROFILE=/nowhere/file LD_PRELOAD=$so "$tmp/profiled" 2>&1 | grep -q 'not written'
verdict $? 'profile: a file that cannot be written'
ONDOL_MALLOC_PROFILE=$tmp/p.%p suite profiled env LD_PRELOAD="$so" T=e "$conf"
