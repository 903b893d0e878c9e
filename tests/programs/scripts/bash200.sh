# SPDX-License-Identifier: MIT
# 200 forks in $(...), then nested ones.
s=0
for i in $(seq 200); do
	x=$(echo $((i * i)))
	s=$((s + x))
done
echo "$s"
deep() { if [ "$1" -gt 0 ]; then echo "$1 $(deep $(($1 - 1)))"; fi; }
deep 12
