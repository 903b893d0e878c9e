# SPDX-License-Identifier: MIT
# Job control and traps, without a terminal.
set -m
trap 'echo "trap USR1"' USR1
trap 'echo "trap EXIT"' EXIT
kill -USR1 $$
sleep 100 &
job=$!
# Not while it is still a copy of this shell, with traps of its own.
while [ "$(cat /proc/$job/comm)" != sleep ]; do :; done
kill -STOP %1
while [ "$(awk '{ print $3 }' /proc/$job/stat)" != T ]; do :; done
echo stopped
jobs -s | sed 's/  */ /g'
kill -CONT %1
while [ "$(awk '{ print $3 }' /proc/$job/stat)" = T ]; do :; done
echo continued
kill %1
wait $job
echo "wait: $?"
(trap 'echo "child got TERM"; exit 4' TERM; : >ready; while :; do sleep 0.01; done) &
while [ ! -e ready ]; do :; done
kill -TERM $!
wait $!
echo "child: $?"
sleep 0.05 & sleep 0.01 & wait
echo "all done"
(sleep 0.05; kill -USR1 $$) &
wait $!
while ! wait; do :; done
( trap '' INT; kill -INT $BASHPID; echo "ignored INT" )
timeout 0.2 sleep 10; echo "timeout: $?"
