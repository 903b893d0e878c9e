# SPDX-License-Identifier: MIT
# Compile, link and run two files and a library.
cat >a.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
int helper(int);
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int main(void)
{
	static int v[1000];
	for (int i = 0; i < 1000; i++)
		v[i] = helper(i);
	qsort(v, 1000, sizeof *v, compare);
	printf("%d %d %.3f\n", v[0], v[999], sqrt(v[500]));
	return v[1] & 63;
}
END
echo 'int helper(int n) { return (n * 7919 + 13) % 1009; }' >b.c
gcc -O2 -Wall -c a.c -o a.o && gcc -O2 -fPIC -shared -o libb.so b.c && gcc -o program a.o -L. -lb -lm -Wl,-rpath,. &&
	./program
echo "program: $?"
gcc -O2 -o whole a.c b.c -lm && ./whole
echo "whole: $?"
echo 'int main(void) { return undeclared; }' | gcc -x c - -o no 2>&1 | grep -c error
