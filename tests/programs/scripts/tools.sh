# SPDX-License-Identifier: MIT
# awk, sed, find, sort, grep, cut, xargs over a tree made here.
for d in a b c d; do
	mkdir -p tree/$d/sub
	for n in 1 2 3 4 5; do
		seq $((n * 100)) | sed "s/^/$d$n line /" >tree/$d/sub/$n.txt
	done
done
find tree -type f | sort | xargs wc -l | tail -n 1
find tree -name '[35].txt' -exec sed -i 's/line \([0-9]*\)5$/LINE \1five/' {} +
grep -rc five tree | sort | head -n 4
awk '{ n[substr($0, 1, 1)] += NF; m[$2]++ } END { for (k in n) print k, n[k]; for (k in m) print k, m[k] }' tree/*/sub/*.txt | sort
cut -d' ' -f3 tree/a/sub/5.txt | sort -rn | uniq -c | head -n 3
find tree -type f -print0 | xargs -0 -n 3 cat | cksum
sort -k3n tree/b/sub/3.txt | tail -n 2 | tr 'a-z' 'A-Z'
