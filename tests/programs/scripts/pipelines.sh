# SPDX-License-Identifier: MIT
# Pipelines, subshells, here documents, process substitution, arrays, exit statuses.
set -o pipefail
seq 20000 | grep 7 | sort -rn | head -n 3
(cd / && x=5 && pwd && echo $x); echo "x is ${x:-unset}"
{ echo b; echo a; } | sort | tr a-z A-Z | paste -s -d,
cat <<END | wc -lc
one $(echo two)
three
END
diff <(seq 5) <(seq 4) | cat
a=($(seq 1000)); echo ${#a[@]} ${a[999]}
false | true; echo "status $? ${PIPESTATUS[*]}"
yes | head -n 100000 | wc -l
big=$(head -c 300000 /dev/zero | tr '\0' y); echo ${#big}
for i in 1 2 3; do (exit $i); echo "exit $?"; done
{ sh -c 'kill -9 $$'; } 2>/dev/null; echo "killed: $?"
mkdir -p d/e && for f in a b c; do echo $f >d/e/$f; done; cat d/e/* | sort -r
exec 3<>fifo-file; echo hi >&3; exec 3>&-; cat fifo-file
echo done | { read -r w; echo "read $w"; }
exit 23
