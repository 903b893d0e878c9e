#!/bin/sh
# SPDX-License-Identifier: MIT
# /proc/sys/vm/compact_memory under `ondol run`: pages of running programs move together.
cd "$(dirname "$0")/../.." || exit 2
. tests/programs/expect.sh
begin_with compact compact

valid 'refused to who is not root' '' 'Permission denied' --compact -- ./compact refused
if [ "$(id -u)" -ne 0 ]; then
	echo 'ok - pages move together # SKIP needs root, who alone may ask for it'
	exit $failed
fi
valid 'pages move together' '^blocks' moved \
	--mem 64M --fault-around 1 --compact -- ./compact moves 44
valid 'with windows' '^blocks' moved --mem 64M --compact -- ./compact moves 44
valid 'with swap' '^blocks' moved --mem 64M --swap s.img:64M -- ./compact moves 44
valid 'on two nodes' '^blocks' moved --mem 96M --nodes 2 --compact -- ./compact moves 64
# Root sees the numbers of frames, too.
valid 'not where nobody looks who has frames' '' 'all stayed' --mem 64M -- ./compact stays 44
valid 'and else they do' '' 'some moved' --mem 64M --compact -- ./compact stays 44
exit $failed
