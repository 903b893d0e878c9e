#!/bin/sh
# SPDX-License-Identifier: MIT
# The model of the drain protocol, all of its states; and with a mistake in it, which must show.
cd "$(dirname "$0")" || exit 2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
n=0
explore() { # options of spin; prints pan's report
	(cd "$work" && spin -a "$@" "$model" && ${CC:-cc} -w -O2 -DSAFETY -DCOLLAPSE -o pan pan.c &&
		timeout 300 ./pan -m200000) 2>&1
}
model=$PWD/drain.pml

n=$((n + 1))
report=$(explore)
if printf '%s\n' "$report" | grep -q 'errors: 0$' &&
	! printf '%s\n' "$report" | grep -q 'max search depth too small'; then
	echo "ok $n - the drain protocol: $(printf '%s\n' "$report" |
		sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1 states/p')"
else
	echo "not ok $n - the drain protocol"
	printf '%s\n' "$report" | sed 's/^/# /'
fi
for mistake in NO_BARRIER NO_CLAIM_CHECK NO_BUSY_WAIT NO_STEP_BACK NO_ZONE_LOCK; do
	n=$((n + 1))
	if explore -D$mistake | grep -q 'errors: [1-9]'; then
		echo "ok $n - $mistake is found"
	else
		echo "not ok $n - $mistake is not found"
	fi
done
