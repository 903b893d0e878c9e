# SPDX-License-Identifier: MIT
# tar and gzip of a tree, there and back.
mkdir -p t/x t/y && seq 50000 >t/x/numbers && head -c 200000 /dev/zero >t/y/zeros
ln -s x/numbers t/link && chmod 640 t/y/zeros
tar --sort=name --owner=0 --group=0 --mtime=@0 -cf t.tar t
gzip -9 -n -k t.tar && gzip -t t.tar.gz && gzip -l t.tar.gz | awk 'NR == 2 { print $2 }'
mkdir out && gunzip -c t.tar.gz | tar -xf - -C out && diff -r t out/t && echo same
tar -tzf t.tar.gz
