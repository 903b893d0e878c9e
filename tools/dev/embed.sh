#!/bin/sh
# SPDX-License-Identifier: MIT
# embed.sh FILE...: a C file that holds the texts, for tools/lab/files.c.  Names lose "lab/".
echo '#include "lab/machine.h"'
echo 'const struct lab_file lab_files[] = {'
for f; do
	printf '{ "%s",\n' "${f#lab/}"
	sed 's/\\/\\\\/g; s/"/\\"/g; s/?/\\?/g; s/	/\\t/g; s/^/"/; s/$/\\n"/' "$f"
	printf ', %d },\n' "$(wc -c <"$f")"
done
echo '{ 0, 0, 0 } };'
