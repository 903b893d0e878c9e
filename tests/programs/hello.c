/* SPDX-License-Identifier: MIT */
/* Built dynamic, static, static-pie and at fixed addresses. */
#include "check.h"

static int zero[100000];
static int data[1000] = { 1, 2, 3 };

int main(int argc, char **argv)
{
	printf("hello, %d arguments:", argc);
	for (int i = 1; i < argc; i++)
		printf(" [%s]", argv[i]);
	printf("\n");
	for (size_t i = 0; i < sizeof zero / sizeof *zero; i++)
		CHECK(zero[i] == 0);
	CHECK(data[0] == 1 && data[2] == 3 && data[999] == 0);
	zero[99999] = 1;
	data[999] = 4;
	CHECK(zero[99999] + data[999] == 5);
	return 7;
}
