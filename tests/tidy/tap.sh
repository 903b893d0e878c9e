# SPDX-License-Identifier: MIT
# Sourced: `... | verdict NAME` reads complaints; none means ok.  End with `tap_end`.
# A pipe's last command is a shell of its own, so what is counted goes through a file.
tap_bad=$(mktemp) || exit 2
trap 'rm -f "$tap_bad"' EXIT
verdict() {
	complaints=$(cat)
	if [ -z "$complaints" ]; then
		echo "ok - $1"
		return
	fi
	echo "not ok - $1"
	printf '%s\n' "$complaints" | head -40 | sed 's/^/# /'
	echo "$1" >>"$tap_bad"
}
# said_only PATTERN: complains unless stdin is one line that has it
said_only() {
	awk -v want="$1" '$0 !~ want || NR > 1 { print } END { if (!NR) print "nothing was said" }'
}
skip() { # name, why
	echo "ok - $1 # SKIP $2"
}
tap_end() {
	[ ! -s "$tap_bad" ]
	exit
}
# Lines of tests/tidy/allow that begin with $1, without it.
allowed() {
	sed -n "s/^$1[ 	][ 	]*//p" tests/tidy/allow
}
