#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs test programs and counts.  Each argument is one command; a program may speak TAP
# ("ok 1 - name", "not ok 2 - name", "ok 3 - name # SKIP why") or just exit with 0.
# One line per program; for a failure its log and the command that repeats it.  The last
# line is "N passed, N failed" or "N passed, N failed, N skipped".
#
#   T=substring   only programs whose command contains it
#   LIMIT=600     seconds a program may take
#   LOGS=dir      where the logs go (build/test-logs)
logs=${LOGS:-build/test-logs}
limit=${LIMIT:-900}
passed=0 failed=0 skipped=0 names=
CMOCKA_MESSAGE_OUTPUT=TAP
export CMOCKA_MESSAGE_OUTPUT
mkdir -p "$logs" || exit 2

# Counts one log: "passed failed skipped".
count() {
	awk '
	/^[ \t]*not ok( |$)/ { bad++; next }
	/^[ \t]*ok .*# *[Ss][Kk][Ii][Pp]/ { skip++; next }
	/^[ \t]*ok( |$)/ { good++ }
	END { print good + 0, bad + 0, skip + 0 }' "$1"
}

run_one() {
	cmd=$1
	name=$(printf '%s' "$cmd" | sed 's|^build/||; s|[^A-Za-z0-9_.-]|_|g')
	log=$logs/$name.log
	start=$(date +%s)
	timeout -k 10 "$limit" sh -c "$cmd" >"$log" 2>&1 </dev/null
	status=$?
	took=$(($(date +%s) - start))
	set -- $(count "$log")
	p=$1 f=$2 s=$3
	if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
		f=1 # died, or failed outside its tests
	elif [ "$status" -eq 0 ] && [ $((p + f + s)) -eq 0 ]; then
		p=1
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	line=$(printf '%-46s %4d passed' "$cmd" "$p")
	[ "$f" -gt 0 ] && line="$line, $f FAILED"
	[ "$s" -gt 0 ] && line="$line, $s skipped"
	[ "$took" -gt 4 ] && line="$line (${took} s)"
	echo "$line"
	[ "$s" -gt 0 ] && sed -n 's/^[ \t]*ok .*- *\(.*\)# *[Ss][Kk][Ii][Pp] */    skipped: \1/p' "$log"
	if [ "$f" -gt 0 ]; then
		# Once more at the end: a long run's beginning may be gone from the screen.
		names="${names}failed: $cmd, log: $log
$(sed -n 's/^[ \t]*not ok[ 0-9-]*/    /p' "$log" | head -5)
"
		# Only the failures of a long log; all of it stays in the file.
		if [ "$(wc -l <"$log")" -gt 60 ]; then
			grep -n -A 12 '^[ \t]*not ok' "$log" | head -80 | sed 's/^/    /'
			tail -n 15 "$log" | sed 's/^/    /'
		else
			grep -v '^[ \t]*ok ' "$log" | sed 's/^/    /'
		fi
		[ "$status" -eq 124 ] && echo "    did not end within $limit s"
		[ "$status" -gt 128 ] && echo "    killed by signal $((status - 128))"
		echo "    log: $log"
		echo "    again: $cmd"
	fi
}

for cmd; do
	case $cmd in
	*"${T:-}"*) run_one "$cmd" ;;
	esac
done

printf '%s' "$names" | sed '/^$/d'
if [ "$skipped" -gt 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped"
else
	echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
