#!/bin/sh
# SPDX-License-Identifier: MIT
# Transparent huge pages under `ondol run`: who gets them, what splits them and brings them
# together, and that programs do not see a difference.
cd "$(dirname "$0")/../.." || exit 2
. tests/programs/expect.sh
begin_with thp thp

valid 'never' '' '0 huge' --thp never -- ./thp modes
valid 'where madvise asks for it' '' '2 huge' -- ./thp modes
valid 'always, but where madvise speaks against it' '' '6 huge' --thp always -- ./thp modes
valid 'with one page a fault otherwise' '' '6 huge' --thp always --fault-around 1 -- ./thp modes
valid 'on two nodes' '' '6 huge' --thp always --nodes 2 -- ./thp modes
for options in '' '--thp always' '--mem 64M --swap s.img:64M' '--compact'; do
	valid "parts of ranges, $options" '' '8 huge
5 huge
status 0, 0' $options -- ./thp split
done
valid 'a machine too small for them' '' '' --mem 28M --thp always -- sh -c './thp split >/dev/null'
valid 'collapse' '' '0 huge
not wanted: Invalid argument
8 huge' --compact -- ./thp collapse
valid 'khugepaged' '' '0 huge
8 huge' --compact -- ./thp wait
valid 'PR_SET_THP_DISABLE' '' 'at first 0
wrong -1
set 0
is 1
0 huge
in a child 1
after exec 1
8 huge' -- ./thp disable
exit $failed
