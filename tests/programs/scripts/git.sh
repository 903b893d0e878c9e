# SPDX-License-Identifier: MIT
# A repository with two branches, cloned.
export GIT_CONFIG_NOSYSTEM=1 HOME=$PWD GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@b
git init -q -b main r && cd r || exit 1
for i in 1 2 3 4 5; do seq $((i * 1000)) >f$i; git add f$i; git commit -q -m "commit $i"; done
git checkout -q -b side HEAD~2 && seq 7 >g && git add g && git commit -q -m side
git checkout -q main && git merge -q -m merged side
cd .. && git clone -q r c 2>&1 && cd c && git log --format='%h %s' --graph && git fsck 2>&1 && git rev-parse HEAD
git gc -q && git diff --stat HEAD~1 | tail -n 1 && wc -l f5
cd .. && rm -rf r c
